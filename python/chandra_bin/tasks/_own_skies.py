"""Check that blank-sky events were put on the sky of the observation that they are given for."""

import filecmp
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chandra_bin.acis.obsids import obsid_number
from chandra_bin.coords.tangent_plane import separation_deg
from chandra_bin.errors import InputError, counted, warn
from chandra_bin.events.reader import open_events
from chandra_bin.fits.headers import is_number, text_of
from chandra_bin.fits.virtual import Block, VirtualFile

if TYPE_CHECKING:
    from astropy.io.fits import Header

_POINTING = ("RA_PNT", "DEC_PNT", "ROLL_PNT")
# Pointings that reprocessing may have changed differ by less than this; those that a tool copied are equal.
_NEAR_DEG, _EQUAL_DEG = 0.005, 1e-6
# Distance from the optical axis to the edge of the field: a roll moves the edge by this times the angle.
_EDGE_DEG = 0.2


@dataclass(frozen=True)
class _Pointed:
    """The observation that a file belongs to, as far as its header tells; nothing of merged observations."""

    name: VirtualFile
    obsid: str | None
    axis_deg: tuple[float, float, float] | None
    """RA, Dec and roll."""

    @classmethod
    def of(cls, name: VirtualFile, header: Mapping[str, Any]) -> "_Pointed":
        if text_of(header, "OBS_ID").lower() == "merged":
            return cls(name, None, None)
        values = [header.get(key) for key in _POINTING]
        ra, dec, roll = (float(each) if is_number(each) else math.nan for each in values)
        axis = (ra, dec, roll) if math.isfinite(ra + dec + roll) else None
        return cls(name, obsid_number(text_of(header, "OBS_ID")), axis)

    def from_deg(self, other: "_Pointed") -> tuple[float, float]:
        """Return the angle between the two axes and the difference in roll; infinite where one is unknown."""
        if self.axis_deg is None or other.axis_deg is None:
            return math.inf, math.inf
        turn = math.remainder(self.axis_deg[2] - other.axis_deg[2], 360)
        return separation_deg(self.axis_deg[:2], other.axis_deg[:2]), abs(turn)

    def apart_deg(self, other: "_Pointed") -> float:
        """Return how far the two pointings are apart within the field; infinite where one is unknown."""
        between_axes, turn = self.from_deg(other)
        return max(between_axes, _EDGE_DEG * math.radians(turn))


def unfiltered(name: VirtualFile) -> VirtualFile:
    """Return a name without filters, which would repeat their warnings where only the header is read."""
    return VirtualFile(name.path, tuple(step for step in name.steps if isinstance(step, Block)), name.text)


def header_of(name: VirtualFile) -> "Header":
    """Return the header of events."""
    with open_events(unfiltered(name)) as file:
        return file.hdu.header


def check_skies(observations: Mapping[VirtualFile, Mapping[str, Any]], skies: Sequence[Sequence[VirtualFile]]) -> None:
    """Check that blank skies are given in the order of their observations.

    Parameters
    ----------
    observations : headers of the observations, or of their images, by their names.
    skies : blank-sky events of each observation; an observation may have none.

    A blank sky belongs to the observation whose ObsID its header has (OBS_ID), or else whose pointing (RA_PNT, DEC_PNT,
    ROLL_PNT): tools that put one on the sky of an observation copy these.

    Raises
    ------
    InputError
        For a blank sky that belongs to another of the observations, and one that is the event file of an observation.

    Warns
    -----
    ChandraBinWarning
        For a blank sky that belongs to none of them, and for several observations where its header does not tell.
    """
    known = [_Pointed.of(name, header) for name, header in observations.items()]
    unknown: list[VirtualFile] = []
    for own, of_own in zip(known, skies, strict=True):
        others = [each for each in known if each is not own]
        for name in of_own:
            sky = _Pointed.of(name, header_of(name))
            check_other_file(name, observations)
            if sky.axis_deg is None and sky.obsid is None:
                unknown.append(name)
            else:
                _check(sky, own, others)
    if unknown and len(known) > 1:
        these = counted(len(unknown), "blank sky has", "blank skies have")
        warn(f"{unknown[0]}: {these} neither an ObsID (OBS_ID) nor a pointing ({', '.join(_POINTING)}): check that "
             "blank skies are in the order of the observations")


def check_other_file(sky: VirtualFile, observations: Iterable[VirtualFile]) -> None:
    """Raise `InputError` for a blank sky that is the file of an observation, or a copy of it."""
    for own in observations:
        if sky.file.samefile(own.file) or filecmp.cmp(sky.file, own.file, shallow=False):
            raise InputError(f"{sky}: is the event file of an observation ({own.file}) and was given as a blank sky: "
                             "give blank-sky events that were put on the sky of the observation")


def _check(sky: _Pointed, own: _Pointed, others: Sequence[_Pointed]) -> None:
    if sky.obsid is not None and sky.obsid == own.obsid:
        return
    order = f"but was given for {_named(own)}: give blank skies in the order of the observations"
    if sky.obsid is not None and any(sky.obsid == other.obsid for other in others):
        raise InputError(f"{sky.name}: is of ObsID {sky.obsid}, {order}")
    apart = sky.apart_deg(own)
    nearest = min(others, key=sky.apart_deg, default=own)
    limit = _EQUAL_DEG if apart <= _NEAR_DEG else _NEAR_DEG
    if apart > _EQUAL_DEG and sky.apart_deg(nearest) <= limit:
        raise InputError(f"{sky.name}: has the pointing of {nearest.name.file}, {order}")
    if math.isfinite(apart) and apart > _NEAR_DEG:
        between_axes, turn = sky.from_deg(own)
        shift = f"its pointing (RA_PNT, DEC_PNT) is {60 * between_axes:.2g} arcmin from that"
        roll = f"its roll (ROLL_PNT) is {turn:.2g} deg from that"
        differs = " and ".join(text for text, size in ((shift, between_axes), (roll, _EDGE_DEG * math.radians(turn)))
                               if size > _NEAR_DEG)
        of_sky = "" if sky.obsid is None else f"is of ObsID {sky.obsid}, and "
        warn(f"{sky.name}: {of_sky}{differs} of {_named(own)}: check that it was put on the sky of this observation")
    elif apart > _EQUAL_DEG and None not in (sky.obsid, own.obsid):
        warn(f"{sky.name}: is of ObsID {sky.obsid}, but was given for {_named(own)}: check that it was put on the sky "
             "of this observation")


def _named(each: _Pointed) -> str:
    return f"{each.name.file}" if each.obsid is None else f"{each.name.file} of {each.obsid}"
