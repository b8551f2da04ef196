"""Remove the particles that VFAINT data show from event files: STATUS bit 23, as CIAO sets it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.errors import InputError, counted
from chandra_bin.events import vfaint
from chandra_bin.events.reader import Change, EventFile, open_events
from chandra_bin.fits.headers import text_of
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.tables import Column, Rows
from chandra_bin.fits.virtual import Name, named_file

from .copy import Copied, write_filtered
from .inputs import files_of, plain_name

# Bits of STATUS, the highest first, in bytes.
_BITS = 32


@dataclass(frozen=True)
class Islands:
    """The files with the 5 x 5 islands of VFAINT events."""

    files: tuple[Path, ...] = ()
    """Event files with PHAS: the events themselves, or those of level 1; empty if the events cannot be screened."""
    is_done: bool = False
    """Whether the events were screened before (CHKVFPHA)."""
    why_not: str = ""
    """Why the events cannot be screened."""
    is_vfaint: bool = True


@dataclass(frozen=True)
class Screened:
    """The result of a screening."""

    copied: Copied
    flagged: int
    """Number of events of the file that are particles by their outer pixels."""


def find_islands(events: Path, level1: Sequence[Path] = ()) -> Islands:
    """Return the files with the islands of an observation's events, by the headers of the files.

    Parameters
    ----------
    events : the events, of level 2.
    level1 : event files of level 1 of the same observation.

    Raises
    ------
    InputError : for files that cannot be read.
    """
    with open_events(events) as file:
        header = file.hdu.header
        is_done, is_vfaint, has_islands = vfaint.is_cleaned(header), vfaint.is_vfaint(header), _has_islands(file)
        why_not = _why_not(file)
    if is_done or why_not:
        return Islands((), is_done, why_not, is_vfaint)
    if has_islands:
        return Islands((events,))
    for path in level1:
        with open_events(path) as file:
            if not (_has_islands(file) and set(vfaint.KEY_COLUMNS) <= set(file.hdu.columns)):
                return Islands(why_not="the level-1 events have no 5 x 5 pulse heights (PHAS)")
    return Islands(tuple(level1), why_not="" if level1 else "the events have no 5 x 5 pulse heights (PHAS), and "
                                                            "level-1 events (*_evt1.fits) were not found")


def screen_vfaint(name: Name, out: Path, islands: Sequence[Path], *, keywords: Mapping[str, Any] | None = None,
                  clobber: bool = False) -> Screened:
    """Write the events of a virtual name without the particles that VFAINT data show.

    Particles have STATUS bit 23 set before the filters of ``name`` are applied, so ``[status=0]`` removes them; without
    such a filter they stay, flagged. CHKVFPHA in the header is true.

    Parameters
    ----------
    name : virtual name of events of level 1 or 2.
    islands : files with the islands (`find_islands`): that of ``name``, or level 1, whose events are matched by frame,
        chip and pixel.
    keywords : further keywords of the header.

    Raises
    ------
    InputError : for events without STATUS, and for events that are not in ``islands``.
    OutputError : where the file cannot be written.
    """
    parsed = named_file(name)
    with Outputs([out], inputs=[*files_of(parsed), *islands], clobber=clobber) as outputs:
        found = None if list(islands) == [parsed.file] else _matched(parsed.file, islands)
        flagged_rows = 0

        def changing(file: EventFile) -> Change:
            phas, status = (file.hdu.columns.get(column) for column in ("phas", "status"))
            if status is None or (status.letter, status.repeat) != ("X", _BITS):
                raise file.hdu.error(f"has no column STATUS of {_BITS} bits")

            def change(rows: Rows, first: int) -> None:
                nonlocal flagged_rows
                if found is None:
                    assert phas is not None
                    flagged = vfaint.particles(phas.values(rows))
                else:
                    flagged = found[first:first + len(rows)]
                flagged_rows += int(np.count_nonzero(flagged))
                _set_bit(rows[status.name], flagged)

            return change

        copied = write_filtered(parsed, out, outputs, {"infile": plain_name(parsed)},
                                {**(keywords or {}), "CHKVFPHA": True}, changing)
        return Screened(copied, flagged_rows)


def _has_islands(file: EventFile) -> bool:
    column: Column | None = file.hdu.columns.get("phas")
    return column is not None and column.letter in "IJ" and column.repeat == vfaint.PIXELS


def _why_not(file: EventFile) -> str:
    """Return why the events cannot be screened, from their header."""
    if not vfaint.is_vfaint(file.hdu.header):
        mode = text_of(file.hdu.header, "DATAMODE") or "unknown"
        return f"the data mode is {mode}, and only VFAINT events have outer pixels"
    columns = file.hdu.columns
    status = columns.get("status")
    if status is None or (status.letter, status.repeat) != ("X", _BITS):
        return f"the events have no column STATUS of {_BITS} bits, in which particles are flagged"
    lacking = [key for key in vfaint.KEY_COLUMNS if key not in columns]
    if lacking and not _has_islands(file):
        return f"the events have no column {lacking[0]}, so they cannot be found in level 1"
    return ""


def _matched(events: Path, level1: Sequence[Path]) -> NDArray[np.bool_]:
    """Return which events of a file, in its order, are particles by the islands of other files."""
    matching = vfaint.Matching(_keys(events))
    for path in level1:
        with open_events(path) as file:
            phas = file.hdu.columns["phas"]
            for block in file.blocks(*vfaint.KEY_COLUMNS):
                matching.add(vfaint.keys(*(block.values[key] for key in vfaint.KEY_COLUMNS)),
                             vfaint.particles(phas.values(block.rows)))
    if matching.missing:
        raise InputError(f"{events}: {counted(matching.missing, 'event is', 'events are')} not in "
                         f"{', '.join(path.name for path in level1)}: "
                         "the files are not of one observation or one version; fetch them again, or set check_vf_pha "
                         "= false")
    return matching.flagged()


def _keys(events: Path) -> NDArray[np.int64]:
    with open_events(events) as file:
        parts = [vfaint.keys(*(block.values[key] for key in vfaint.KEY_COLUMNS))
                 for block in file.blocks(*vfaint.KEY_COLUMNS)]
    return np.concatenate([np.empty(0, np.int64), *parts])


def _set_bit(status: NDArray[Any], flagged: NDArray[np.bool_]) -> None:
    """Set bit 23 of the STATUS of some rows, in place; others have it cleared, as acis_process_events does."""
    byte, bit = _BITS // 8 - 1 - vfaint.STATUS_BIT // 8, 1 << vfaint.STATUS_BIT % 8
    status[:, byte] &= 0xFF ^ bit
    status[flagged, byte] |= bit
