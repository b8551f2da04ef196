"""Tables of good times: those of event files, one a chip, and GTI files as CIAO's deflare writes them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from chandra_bin.errors import InputError, warn
from chandra_bin.fits.headers import add_history
from chandra_bin.fits.new_table import NewColumn, new_table
from chandra_bin.fits.tables import Hdu, open_fits, write_empty_primary, write_rows
from chandra_bin.fits.virtual import Block, VirtualFile, named_file

from .clocks import CLOCK_KEYS, Clock, put_in_seconds, seconds_between
from .gti import GTI

if TYPE_CHECKING:
    from astropy.io.fits import Header

_NAMES = ("GTI", "STDGTI")
# XMM-Newton's tables are named by the CCD, STDGTI03, and have no keyword that says it.
_OF_CCD = re.compile(r"(?:STD)?GTI(\d{1,2})")
# Keywords that say what the times are counted from, and of which observation they are.
_KEPT = ("MISSION", "TELESCOP", "INSTRUME", "DETNAM", "OBJECT", "OBS_ID", "MJDREF", "MJDREFI", "MJDREFF", "JDREF",
         "JDREFI", "JDREFF", "DATEREF", "TIMEZERO", "TIMESYS", "TIMEUNIT", "TIMEREF", "TSTART", "TSTOP", "DATE-OBS",
         "DATE-END", "TIMEPIXR", "TIMEDEL", "CLOCKAPP")


@dataclass(frozen=True)
class GtiBlock:
    """A table of good times."""

    header: "Header"
    """Of the table, or of the light curve or events whose times these are."""
    chip: int | None
    """None: for every chip."""
    gti: GTI
    """Seconds since the zero of the header's clock (MJDREF + TIMEZERO)."""
    name: str = ""
    """Of the block (HDUNAME), which the data subspace refers to; empty: made of the chip."""
    changed: bool = False
    """Whether filters took something of it."""

    @property
    def block_name(self) -> str:
        """The name that it is written under."""
        return self.name or ("GTI" if self.chip is None else f"GTI{self.chip}")

    def on_clock_of(self, header: "Header") -> "GtiBlock":
        """The same instants, counted from the zero of another header, as of the events they belong to.

        Raises `InputError` where either does not say its zero in a known unit.
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
        """Writes the table, columns START and STOP, in seconds, with these keywords at its end."""
        name = self.block_name
        table, rows = new_table(
            [NewColumn("START", "1D", self.gti.start, "s"), NewColumn("STOP", "1D", self.gti.stop, "s")],
            {"EXTNAME": "GTI" if name.startswith("GTI") else name, "HDUNAME": name})
        table.update(_kept(self.header))
        table.update(HDUCLASS="OGIP", HDUCLAS1="GTI", HDUCLAS2="STANDARD")
        if self.chip is not None:
            table["EXTVER"], table["CCD_ID"] = self.chip, self.chip
        table.update(keywords or {})
        write_rows(file, table, [rows])


def gti_block(hdu: Hdu) -> GtiBlock | None:
    """The good times of a block that is one of good times by its name; None for others.

    Raises `InputError`; a `ChandraBinWarning` tells of intervals that overlap.
    """
    named = any(name.startswith(_NAMES) for name in hdu.block_names)
    return _block(hdu) if named and {"start", "stop"} <= set(hdu.columns) else None


def read_gti(name: str | Path | VirtualFile) -> dict[int | None, GtiBlock]:
    """The good times of a file, by chip; of the block that is named, ``file[GTI7]``, else of all with START and STOP.

    One for every chip (None) where the file does not tell chips apart, or where all are the same. Raises `InputError`.
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
        raise InputError(f"{parsed}: its {len(found)} tables of good times differ, and not all say of which chip they "
                         f"are (CCD_ID): name one, {parsed.path}[{found[0].block_name}]")
    return by_chip


def write_gti_file(file: BinaryIO, header: "Header", gti: GTI, *, keywords: Mapping[str, object] | None = None,
                   history: Sequence[str] = ()) -> None:
    """Writes a GTI file as deflare does: an empty table FILTER, whose subspace names the table GTI, and that table.

    ``header`` is that of the light curve whose times these are, as `read_light_curve` gives it. ``keywords`` go into
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
    """The keywords of a table of good times, those of its clock in seconds."""
    about = header.copy()
    put_in_seconds(about)
    return {key: about[key] for key in _KEPT if key in about}


def _block(hdu: Hdu) -> GtiBlock:
    rows = hdu.table()
    start, stop = (Clock.of(hdu.header, hdu.columns[name].unit, f"{hdu.path}: column {hdu.columns[name].name}")
                   .seconds(hdu.columns[name].values(rows)) for name in ("start", "stop"))
    said = str(hdu.header.get("HDUNAME", hdu.name)).strip()
    gti = GTI.of(start, stop, where=f"{hdu.path}: block {said}")
    order = np.argsort(start, kind="stable")
    if (start[order][1:] < np.maximum.accumulate(stop[order])[:-1]).any():
        warn(f"{hdu.path}: good times of block {said} overlap, and were joined")
    chip = hdu.header.get("CCD_ID", hdu.header.get("CCDNR"))
    named = _OF_CCD.fullmatch(said.upper())
    if not isinstance(chip, int):
        chip = int(named[1]) if named else None
    return GtiBlock(hdu.header, chip, gti, "" if said.upper() == "GTI" else said)
