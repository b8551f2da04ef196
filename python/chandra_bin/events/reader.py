"""Event files opened by a virtual name: the rows that pass, in blocks, then good times and exposures."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._kernels._select_events import Selection
from chandra_bin.acis import geometry as acis
from chandra_bin.acis.channels import channels_of
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, counted, warn
from chandra_bin.fits.headers import add_history, text_of
from chandra_bin.fits.subspace import read_subspace, write_subspace
from chandra_bin.fits.tables import Column, Hdu, Rows, open_fits
from chandra_bin.fits.virtual import Block, Filter, Name, Step, VirtualFile, named_file
from chandra_bin.fits.virtual import Rows as RowNumbers

from .clocks import seconds_of
from .filters import RowFilter, no_column, pair_of
from .gti import GTI
from .gti_files import GtiBlock, gti_block

if TYPE_CHECKING:
    from astropy.io.fits import Header

GoodTimes = Mapping[int | None, GTI]
Change = Callable[[Rows, int], None]


@dataclass(frozen=True, eq=False, repr=False)
class Events:
    """Photons of one observation.

    ``columns`` are arrays (n,) in native byte order by lower-case name: ``time`` (s), ``x`` and ``y`` (sky pixels),
    ``energy`` (eV), ``pi``, ``ccd_id``, ... ``status`` bits are uint32.
    """

    columns: Mapping[str, NDArray[Any]]
    header: "Header"
    """Header of the EVENTS block, with the exposures that the filters leave."""
    good_times: GoodTimes
    """By chip in the order of the file, the aim point's first; None stands for all chips."""
    file: Path

    def __repr__(self) -> str:
        return f"<Events: {counted(len(self), 'event')} of ObsID {self.obsid or 'unknown'}, {', '.join(self.columns)}>"

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    @property
    def coords(self) -> ImageCoords:
        """Physical and sky coordinates of the columns X and Y."""
        return ImageCoords.from_events(self.header)

    @property
    def obsid(self) -> str:
        """OBS_ID without leading zeros; empty if the header has none."""
        return text_of(self.header, "OBS_ID").lstrip("0")

    def good_times_of(self, chip: int | None) -> GTI:
        """Return the good times of a chip (None: all chips); empty for a chip that the file does not have."""
        return self.good_times.get(chip, self.good_times.get(None, GTI.of([], [])))

    def livetime(self, chip: int | None = None) -> float:
        """Return the live time of a chip (None: the aim point's) in seconds: good time without dead time."""
        if chip is None:
            chip = next(iter(self.good_times), None)
        return self.good_times_of(chip).total * livetime_fraction(self.header, chip)

    def channels(self) -> NDArray[np.int32]:
        """Return the PI channel of each event: the column PI, or 1 + floor(E / 14.6 eV), at most 1024."""
        if "pi" in self.columns:
            return self.columns["pi"].astype(np.int32, copy=False)
        return channels_of(self.columns["energy"])


def livetime_fraction(header: "Header", chip: int | None = None) -> float:
    """Return live time / good time, from the chip's keywords, LIVETIME and ONTIME, or DTCOR; by default 1."""
    for live, good in ((f"LIVTIME{chip}", f"ONTIME{chip}"), ("LIVETIME", "ONTIME"), ("EXPOSURE", "ONTIME")):
        try:
            fraction = float(header[live]) / float(header[good])
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            continue
        if 0 < fraction <= 1 + 1e-9:
            return fraction
    value = header.get("DTCOR", 1.0)
    return float(value) if isinstance(value, int | float) and 0 < value <= 1 else 1.0


@dataclass(frozen=True, eq=False)
class Passing:
    """Rows of one block of the file, and which of them pass."""

    rows: Rows
    values: Mapping[str, NDArray[Any]]
    """The requested columns and those of the filters, for all rows."""
    selection: Selection | None
    """None if all rows pass."""

    def kept(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the values of the rows that pass, from values of all rows (or the rows themselves)."""
        # Rows are selected by `compress` in an eighth of the time that an index of flags takes.
        return values if self.selection is None else values.compress(self._flags, axis=0)

    def flags(self) -> NDArray[np.bool_]:
        """Return which rows pass."""
        return self._flags

    @cached_property
    def _flags(self) -> NDArray[np.bool_]:
        if self.selection is None:
            return np.ones(len(self.rows), bool)
        flags = np.empty(len(self.rows), np.uint8)
        self.selection.evaluate(1, flags)
        return flags.view(bool)


class EventFile:
    """An open event file: read the rows first, then `good_times` and `header`, which follow them in the file."""

    def __init__(self, name: VirtualFile, primary: "Header", hdu: Hdu, rest: Iterator[Hdu],
                 before: Sequence[GtiBlock]) -> None:
        self.name = name
        self.primary = primary
        """The header of the file's first block."""
        self.hdu = hdu
        self.filter = RowFilter(name, hdu)
        self._rest = rest
        self._gti_blocks = list(before)
        self._done = False

    def blocks(self, *columns: str, change: Change | None = None) -> Iterator[Passing]:
        """Yield the rows, with the values of these columns and of those that the filters need.

        Parameters
        ----------
        columns : names of columns.
        change : function that changes the rows of a block in place before they are filtered; its arguments are the rows
            and the number of rows before them.
        """
        needed: dict[str, Column] = dict(self.filter.columns)
        for column in self.hdu.need(*columns):
            needed[column.name.lower()] = column
        first = 0
        for rows in self.hdu.blocks():
            if change is not None:
                change(rows, first)
            values = {name: column.values(rows) for name, column in needed.items()}
            yield Passing(rows, values, self.filter.selection(values, first, len(rows)))
            first += len(rows)
        if first:
            self.filter.warn_of_nothing()

    @property
    def is_events(self) -> bool:
        """Whether the table is a list of events."""
        return _is_events(self.hdu)

    def need_ev(self) -> None:
        """Raise `InputError` if the column of energies is in keV instead of eV, the unit of ACIS files."""
        column = self.hdu.columns.get("energy")
        if column is not None and column.unit.lower() == "kev":
            raise InputError(f"{self.name.file}: the column {column.name} is in keV (TUNIT{column.number}); it must "
                             "be in eV, as in ACIS event files")

    def columns_of(self, name: str, at: int) -> tuple[str, ...]:
        """Return a column's name, or those of a pair such as sky; raise `InputError` with the position if missing."""
        if name in self.hdu.columns:
            return (name,)
        pair = pair_of(self.hdu, name)
        if pair is None:
            raise self.name.error(at, no_column(self.hdu, name))
        return pair

    def gti_blocks(self) -> list[GtiBlock]:
        """Return the tables of good times after the filters, in the order of the file; call it after reading the rows.

        The list is empty for tables other than events; if the filters leave no chip, it has one table without
        intervals.
        """
        if not self.is_events:
            return []
        whole = self._whole_gti_blocks()
        left = []
        for block in whole:
            gti = self.filter.good_times(block.gti, block.chip)
            if gti is not None:
                left.append(replace(block, gti=gti, changed=gti != block.gti))
        return left or [replace(whole[0], gti=GTI.of([], []), changed=True)]

    def _whole_gti_blocks(self) -> list[GtiBlock]:
        """Return the unfiltered tables of good times, in the order of the file; call it after reading the rows."""
        if not self._done:
            self._gti_blocks += [block for hdu in self._rest if (block := gti_block(hdu)) is not None]
            self._gti_blocks = [block.on_clock_of(self.hdu.header) for block in self._gti_blocks]
            self._done = True
        if not self._gti_blocks:
            self._gti_blocks = [self._without_table()]
        return self._gti_blocks

    def good_times(self) -> dict[int | None, GTI]:
        """Return the good times by chip; call it after reading the rows."""
        return {block.chip: block.gti for block in self.gti_blocks()}

    def whole_good_times(self) -> dict[int | None, GTI]:
        """Return the unfiltered good times by chip; call it after reading the rows."""
        return {block.chip: block.gti for block in self._whole_gti_blocks()}

    def header(self) -> "Header":
        """Return the header of the events with the filtered exposures and subspace; call it after reading the rows."""
        blocks = self.gti_blocks()
        header = self.hdu.header.copy()
        if self.is_events:
            self._put_exposures(header, blocks)
        components, unwritten = read_subspace(header), list[str]()
        if self.name.options.get("update") != "no":
            components, unwritten = self.filter.subspace(components)
        chips = {block.chip for block in blocks}
        if blocks and None not in chips:
            components = [each for each in components if each.chip() is None or each.chip() in chips]
        kept = {block.block_name.upper() for block in blocks}
        write_subspace(header, [each.without_tables(kept) for each in components])
        add_history(header, [f"chandra-bin: also filtered by {each}, not in the subspace" for each in unwritten])
        return header

    def _put_exposures(self, header: "Header", blocks: Sequence[GtiBlock]) -> None:
        """Set ONTIME, LIVETIME, EXPOSURE of each chip and of the aim point (the first); remove those of other chips."""
        by_chip = {block.chip: block for block in blocks}
        changed = any(block.changed for block in blocks) or len(blocks) < len(self._gti_blocks)
        for chip in acis.CHIPS:
            keys = [f"{key}{chip}" for key in ("ONTIME", "LIVTIME", "EXPOSUR")]
            block = by_chip.get(chip, by_chip.get(None))
            if block is None or self.filter.good_times(block.gti, chip) is None:
                for key in keys:
                    header.remove(key, ignore_missing=True)
            elif changed and (chip in by_chip or keys[0] in header):
                _put_exposure(header, keys, block, chip)
        if changed:
            _put_exposure(header, ["ONTIME", "LIVETIME", "EXPOSURE"], blocks[0], blocks[0].chip)

    def _without_table(self) -> GtiBlock:
        """Return TSTART to TSTOP as good times, for files without a GTI table."""
        header = self.hdu.header
        start, stop = seconds_of(header, "TSTART"), seconds_of(header, "TSTOP")
        if start is None or stop is None:
            raise InputError(f"{self.name.path}: holds neither a table of good times (GTI) nor TSTART and TSTOP: the "
                             "exposure is unknown")
        gti = GTI.of(start, stop, where=f"{self.name.path}: TSTART and TSTOP")
        warn(f"{self.name.path}: holds no table of good times (GTI): using TSTART to TSTOP, "
             f"{gti.total:.0f} s")
        return GtiBlock(header, None, gti)


@contextmanager
def open_events(name: Name, *, also: Collection[type[Step]] = (), options: Collection[str] = (),
                any_table: bool = False) -> Iterator[EventFile]:
    """Open the event table of a file: the named block, EVENTS, or else the first with X and Y.

    The name may contain filters, row numbers, steps of ``also`` and ``options``. With ``any_table`` the first table is
    opened if none contains events. Raises `InputError`.
    """
    name = named_file(name)
    name.need_only(Block, Filter, RowNumbers, *also, options=("update", *options))
    wanted = name.block
    any_block = any_table and wanted is None and not _holds_events(name.file)
    with open_fits(name.file) as hdus:
        before: list[GtiBlock] = []
        seen = []
        primary = None
        for hdu in hdus:
            primary = primary or hdu.header
            seen.append(hdu.name or str(hdu.index))
            if hdu.is_table and (hdu.is_named(wanted.name) if wanted else any_block or _is_events(hdu)):
                yield EventFile(name, primary, hdu, hdus, before)
                return
            if (block := gti_block(hdu)) is not None:
                before.append(block)
    if wanted is not None:
        raise name.error(wanted.at, f"the file has no table {wanted.name}, only {', '.join(seen)}")
    raise InputError(f"{name.file}: holds no events (a table EVENTS, or one with columns X and Y), only "
                     f"{', '.join(seen)}")


def read_events(name: Name, columns: Sequence[str]) -> Events:
    """Read the events of a file that pass a virtual name such as ``evt2.fits[energy=500:7000,ccd_id=0:3]``.

    Parameters
    ----------
    name : str, os.PathLike or VirtualFile
    columns : sequence of str
        Names of the columns to read, in any case; only these are kept in memory.

    Returns
    -------
    Events

    Raises
    ------
    InputError
        If the file cannot be read, or a column is missing.
    """
    with open_events(name) as file:
        passing = _Gathered(file, columns)
        for block in file.blocks(*columns):
            passing.add(block.kept, block.values)
        return Events(passing.in_standard_units(), file.header(), file.good_times(), file.name.file)


def read_passing_and_all(name: Name, columns: Sequence[str], *,
                         of_all: Sequence[str]) -> tuple[Events, Events]:
    """Read the events that pass a virtual name, and all events of its table, in one pass over the file.

    Parameters
    ----------
    name : virtual name of an event file.
    columns : names of the columns of the events that pass.
    of_all : names of the columns of all events, a subset of ``columns``.

    Returns
    -------
    passing : as from `read_events`.
    every : all events, with the header and the good times of the file.

    Raises
    ------
    InputError : as `read_events`.
    """
    with open_events(name) as file:
        passing, every = _Gathered(file, columns), _Gathered(file, of_all)
        for block in file.blocks(*columns):
            passing.add(block.kept, block.values)
            every.add(lambda values: values, block.values)
        return (Events(passing.in_standard_units(), file.header(), file.good_times(), file.name.file),
                Events(every.in_standard_units(), file.hdu.header, file.whole_good_times(), file.name.file))


class _Gathered:
    """Columns of an event table that are filled block by block."""

    def __init__(self, file: EventFile, columns: Sequence[str]) -> None:
        empty = np.empty(0, file.hdu.dtype)
        # Space for all rows: the system provides memory only for pages that are written.
        likes = {column.name.lower(): column.values(empty) for column in file.hdu.need(*columns)}
        self._file = file
        self._values = {name: np.empty((file.hdu.rows, *like.shape[1:]), like.dtype) for name, like in likes.items()}
        self._count = 0

    def add(self, kept: Callable[[NDArray[Any]], NDArray[Any]], values: Mapping[str, NDArray[Any]]) -> None:
        """Add the result of ``kept`` for each column of a block."""
        end = self._count
        for name, column in self._values.items():
            part = kept(values[name])
            end = self._count + len(part)
            column[self._count:end] = part
        self._count = end

    def in_standard_units(self) -> dict[str, NDArray[Any]]:
        """Return the columns by name, (n,): ``energy`` in eV and ``time`` in seconds."""
        read = {name: values[:self._count] for name, values in self._values.items()}
        if "energy" in read and (factor := self._file.filter.ev_per_unit()) != 1:
            read["energy"] = read["energy"] * factor
        if "time" in read:
            read["time"] = self._file.filter.clock().seconds(read["time"])
        return read


def _holds_events(path: Path) -> bool:
    """Return whether a file contains a table of events."""
    with open_fits(path) as hdus:
        return any(_is_events(hdu) for hdu in hdus)


def _is_events(hdu: Hdu) -> bool:
    # Region tables have X and Y too, and SHAPE.
    """Return whether a table contains events."""
    return "EVENTS" in hdu.block_names or ({"x", "y"} <= set(hdu.columns) and "shape" not in hdu.columns)


def _put_exposure(header: "Header", keys: Sequence[str], block: GtiBlock, chip: int | None) -> None:
    """Set three keywords to the good time and twice the live time."""
    live = block.gti.total * livetime_fraction(header, chip)
    for key, value in zip(keys, (block.gti.total, live, live), strict=True):
        header[key] = value
