"""Observations of one ObsID in parts: interleaved exposures, and several observation intervals (OBI)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chandra_bin.fits.headers import is_number, text_of

if TYPE_CHECKING:
    from astropy.io.fits import Header

# Primary and secondary exposures of interleaved mode, as the archive's file names have them.
_CYCLES = {"P": "e1", "S": "e2"}


def obsid_of(header: "Header") -> str:
    """Return OBS_ID; empty where the header has none."""
    return text_of(header, "OBS_ID")


def same_part(one: "Header", other: "Header") -> bool:
    """Return whether two headers of one ObsID are of the same part of it.

    Parts differ in CYCLE (interleaved exposures) or in OBI_NUM, or the times from TSTART to TSTOP do not overlap.
    """
    for key in (_cycle, _interval):
        if key(one) is not None and key(other) is not None and key(one) != key(other):
            return False
    times = [[header.get(key) for key in ("TSTART", "TSTOP")] for header in (one, other)]
    if not all(is_number(value) for each in times for value in each):
        return True
    (start, stop), (other_start, other_stop) = times
    return bool(start < other_stop and other_start < stop)


def labels(headers: Sequence["Header"]) -> list[str]:
    """Return the name of each observation in file names: OBS_ID, with a suffix for parts of one observation.

    Interleaved parts are ``754e1`` and ``754e2``, observation intervals ``754_000`` and ``754_001`` (OBI_NUM), as in
    CIAO's merge_obs. Other parts are numbered from ``754_001`` in the order in which they are given.
    """
    obsids = [obsid_of(header) for header in headers]
    made = []
    for header, obsid in zip(headers, obsids, strict=True):
        parts = [each for each, other in zip(headers, obsids, strict=True) if other == obsid]
        if len(parts) == 1:
            made.append(obsid)
            continue
        cycles, intervals = len({_cycle(each) for each in parts}), len({_interval(each) for each in parts})
        own = _CYCLES.get(_cycle(header) or "", "") if cycles > 1 else ""
        number = _interval(header)
        if intervals > 1 and number is not None:
            own += f"_{number:03d}"
        told_apart = len({(_cycle(each), _interval(each)) for each in parts}) == len(parts)
        first = next(n for n, each in enumerate(parts, start=1) if each is header)
        made.append(obsid + (own if own and told_apart else f"_{first:03d}"))
    return made


def _cycle(header: "Header") -> str | None:
    return text_of(header, "CYCLE").upper() or None


def _interval(header: "Header") -> int | None:
    number = header.get("OBI_NUM")
    return int(number) if is_number(number) else None
