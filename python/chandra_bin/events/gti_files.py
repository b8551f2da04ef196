"""Tables of good times: those of event files, one per chip, and GTI files in the form of CIAO's deflare."""

import re
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from chandra_bin.errors import InputError, warn
from chandra_bin.fits.headers import add_history
from chandra_bin.fits.new_table import NewColumn, new_table
from chandra_bin.fits.tables import Hdu, open_fits, write_empty_primary, write_rows
from chandra_bin.fits.virtual import Block, Name, named_file

from .clocks import CLOCK_KEYS, Clock, put_in_seconds, seconds_between
from .gti import GTI

if TYPE_CHECKING:
    from astropy.io.fits import Header

_NAMES = ("GTI", "STDGTI")
# XMM-Newton's tables are named after the CCD, STDGTI03, without a keyword for it.
_OF_CCD = re.compile(r"(?:STD)?GTI(\d{1,2})")
# Keywords of the clock and of the observation.
_KEPT = ("MISSION", "TELESCOP", "INSTRUME", "DETNAM", "OBJECT", "OBS_ID", "MJDREF", "MJDREFI", "MJDREFF", "JDREF",
         "JDREFI", "JDREFF", "DATEREF", "TIMEZERO", "TIMESYS", "TIMEUNIT", "TIMEREF", "TSTART", "TSTOP", "DATE-OBS",
         "DATE-END", "TIMEPIXR", "TIMEDEL", "CLOCKAPP")
_OF_TIMES = frozenset((*_KEPT, *CLOCK_KEYS))


@dataclass(frozen=True)
class GtiBlock:
    """A table of good times."""

    header: "Header"
    """Header of the table, or of the light curve or events that the times belong to."""
    chip: int | None
    """None: all chips."""
    gti: GTI
    """Seconds since the zero of the header's clock (MJDREF + TIMEZERO)."""
    name: str = ""
    """Name of the block (HDUNAME), which the data subspace refers to; empty: derived from the chip."""
    changed: bool = False
    """Whether filters removed any of its time."""

    @property
    def block_name(self) -> str:
        """The name of the block when written."""
        return self.name or ("GTI" if self.chip is None else f"GTI{self.chip}")

    def on_clock_of(self, header: "Header") -> "GtiBlock":
        """Return the same instants counted from the zero of another header, such as that of the events.

        Raises `InputError` if the zero of either is invalid or in an unknown unit.
        """
        shift = seconds_between(self.header, header)
        if not shift:
            return self
        about = self.header.copy()
        for key in CLOCK_KEYS:
            about.remove(key, ignore_missing=True)
            if key in header:
                about[key] = (header[key], header.comments[key])
        return replace(self, header=about, gti=GTI.of(self.gti.start + shift, self.gti.stop + shift))

    def write(self, file: BinaryIO, keywords: Mapping[str, object] | None = None) -> None:
        """Write the table with columns START and STOP in seconds, and these keywords at its end."""
        name = self.block_name
        of_chip = {} if self.chip is None else {"EXTVER": self.chip, "CCD_ID": self.chip}
        table, rows = new_table(
            [NewColumn("START", "1D", self.gti.start, "s"), NewColumn("STOP", "1D", self.gti.stop, "s")],
            {"EXTNAME": "GTI" if name.startswith("GTI") else name, "HDUNAME": name},
            {**_kept(self.header), "HDUCLASS": "OGIP", "HDUCLAS1": "GTI", "HDUCLAS2": "STANDARD", **of_chip,
             **(keywords or {})})
        write_rows(file, table, [rows])


def gti_block(hdu: Hdu) -> GtiBlock | None:
    """Return the good times of a block whose name marks it as a GTI table; None for other blocks.

    Raises `InputError`, and warns about overlapping intervals.
    """
    named = any(name.startswith(_NAMES) for name in hdu.block_names)
    return _block(hdu) if named and {"start", "stop"} <= set(hdu.columns) else None


def read_gti(name: Name) -> dict[int | None, GtiBlock]:
    """Return the good times of a file by chip: of the named block, ``file[GTI7]``, else of all with START and STOP.

    The key is None (all chips) if the file does not distinguish chips, or all tables are equal. Raises `InputError`.
    """
    parsed = named_file(name)
    parsed.need_only(Block)
    found: list[GtiBlock] = []
    seen = []
    with open_fits(parsed.file) as hdus:
        for hdu in hdus:
            seen.append(hdu.name or str(hdu.index))
            if parsed.block is not None and not hdu.is_named(parsed.block.name):
                continue
            if {"start", "stop"} <= set(hdu.columns):
                found.append(_block(hdu))
    if not found:
        raise InputError(f"{parsed}: holds no table of good times (columns START and STOP), only {', '.join(seen)}")
    if all(each.gti == found[0].gti for each in found):
        return {None: found[0]}
    by_chip = {each.chip: each for each in found}
    if len(by_chip) < len(found) or None in by_chip:
        raise InputError(f"{parsed}: its {len(found)} tables of good times differ, and not all name their chip "
                         f"(CCD_ID): name one, {parsed.path}[{found[0].block_name}]")
    return by_chip


def write_gti_file(file: BinaryIO, header: "Header", gti: GTI, *, keywords: Mapping[str, object] | None = None,
                   history: Sequence[str] = ()) -> None:
    """Write a GTI file as deflare does: an empty table FILTER, whose subspace names the table GTI, and that table.

    ``header`` is that of the light curve that the times belong to, as from `read_light_curve`. ``keywords`` go into
    both tables, ``history`` into FILTER.
    """
    from astropy.io.fits import Header

    about = Header(_kept(header))
    write_empty_primary(file, about)
    table, rows = new_table([NewColumn("TIME", "1D", np.empty(0), "s")], {"EXTNAME": "FILTER", "HDUNAME": "FILTER"})
    table.update(about)
    table.update({"DSTYP1": "TIME", "DSVAL1": "TABLE", "DSFORM1": "D", "DSUNIT1": "s", "DSREF1": ":GTI"})
    table.update(keywords or {})
    add_history(table, history)
    write_rows(file, table, [rows])
    GtiBlock(about, None, gti).write(file, keywords)


def _kept(header: "Header") -> dict[str, object]:
    """Return the keywords of a table of good times, with its clock in seconds."""
    from astropy.io.fits import Header

    about = Header([copy(card) for card in header.cards if card.keyword in _OF_TIMES])
    put_in_seconds(about)
    return {key: about[key] for key in _KEPT if key in about}


def _block(hdu: Hdu) -> GtiBlock:
    """Return the good times of a table."""
    rows = hdu.table()
    start, stop = (Clock.of(hdu.header, hdu.columns[end].unit, f"{hdu.path}: column {hdu.columns[end].name}")
                   .seconds(hdu.columns[end].values(rows)) for end in ("start", "stop"))
    name = str(hdu.header.get("HDUNAME", hdu.name)).strip()
    gti = GTI.of(start, stop, where=f"{hdu.path}: block {name}")
    order = np.argsort(start, kind="stable")
    if (start[order][1:] < np.maximum.accumulate(stop[order])[:-1]).any():
        warn(f"{hdu.path}: good times of block {name} overlap and were merged")
    chip = hdu.header.get("CCD_ID", hdu.header.get("CCDNR"))
    named = _OF_CCD.fullmatch(name.upper())
    if not isinstance(chip, int):
        chip = int(named[1]) if named else None
    return GtiBlock(hdu.header, chip, gti, "" if name.upper() == "GTI" else name)
