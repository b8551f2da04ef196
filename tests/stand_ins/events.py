"""Event files: rows, good times of each chip, and what filters leave of them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from . import files
from .errors import ToolError
from .files import Block
from .regions import region_of
from .sky import Grid, Plane, plane_of_columns
from .subspace import Component, add_region, limit, read_subspace, write_subspace
from .virtual import Filter, Name, Range, Term, parse

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Intervals = list[tuple[float, float]]


@dataclass
class GoodTimes:
    """A block of good times; ``chip`` None: of all."""

    block: Block
    chip: int | None
    intervals: Intervals

    @property
    def total(self) -> float:
        return sum(stop - start for start, stop in self.intervals)

    @property
    def name(self) -> str:
        return self.block.name

    def written(self) -> Block:
        """The block, with what is left."""
        made = files.table(self.name, [("START", "1D", "s", [a for a, _ in self.intervals]),
                                       ("STOP", "1D", "s", [b for _, b in self.intervals])])
        made.header.extend(files.without_columns(self.block.header).cards, unique=True)
        made.header["EXTNAME"] = self.block.header.get("EXTNAME", "GTI")
        if self.chip is not None:
            made.header["EXTVER"], made.header["CCD_ID"] = self.chip, self.chip
        return made


@dataclass
class EventList:
    """The events of a file, with what has been done to them."""

    path: Path
    primary: fits.Header
    block: Block
    good_times: list[GoodTimes]
    subspace: list[Component]

    @property
    def header(self) -> fits.Header:
        return self.block.header

    @property
    def rows(self) -> NDArray[Any]:
        assert self.block.data is not None
        return self.block.data

    @property
    def plane(self) -> Plane:
        return plane_of_columns(self.block)

    def column(self, name: str) -> NDArray[Any]:
        return self.block.column(name)

    def has(self, name: str) -> bool:
        return self.block.field(name) is not None

    def keep(self, passing: Flags) -> None:
        """Only these rows."""
        self.block = Block(self.header, self.rows[passing])

    def blocks(self, *, with_times: bool = True) -> list[Block]:
        """What is written: an empty primary, the events, good times."""
        header = self.header.copy()
        write_subspace(header, self.subspace)
        times = [each.written() for each in self.good_times] if with_times else []
        return [Block(self.primary), Block(header, self.rows), *times]


def merge_intervals(*lists: Intervals) -> Intervals:
    """The times in any of these, joined where they touch."""
    made: Intervals = []
    for start, stop in sorted(each for some in lists for each in some if each[1] > each[0]):
        if made and start <= made[-1][1]:
            made[-1] = made[-1][0], max(stop, made[-1][1])
        else:
            made.append((start, stop))
    return made


def cut(one: Intervals, other: Intervals) -> Intervals:
    """The times in both."""
    both = [(max(a, c), min(b, d)) for a, b in one for c, d in other]
    return merge_intervals([each for each in both if each[0] < each[1]])


def inside(intervals: Intervals, times: Floats) -> Flags:
    """True where start <= time < stop."""
    found = np.zeros(len(times), bool)
    for start, stop in intervals:
        found |= (times >= start) & (times < stop)
    return found


def read_good_times(text: str) -> list[GoodTimes]:
    """The blocks of good times of a file, or the one that is named."""
    path, _, block = text.partition("[")
    wanted = block.rstrip("]").upper()
    found = [_good_times(each) for each in files.read(path) if each.field("start") and each.field("stop")
             and wanted in ("", each.name)]
    if not found:
        raise ToolError(f"Failed to open GTI table {text}: no START and STOP in it")
    return found


def _good_times(block: Block) -> GoodTimes:
    chip = block.header.get("CCD_ID", block.header.get("CCDNR"))
    starts, stops = (block.column(name).tolist() for name in ("start", "stop"))
    return GoodTimes(block, chip if isinstance(chip, int) else None,
                     merge_intervals(list(zip(starts, stops, strict=True))))


def open_events(text: str | Name) -> EventList:
    """The events of a virtual file, filtered; bins are left to the caller."""
    name = parse(text) if isinstance(text, str) else text
    blocks = files.read(name.path)
    tables = [each for each in blocks if each.is_table]
    wanted = name.block.upper() or "EVENTS"
    chosen = next((each for each in tables if each.name == wanted), None)
    if chosen is None and not name.block:
        chosen = next((each for each in tables if not (each.field("start") and each.field("stop"))), None)
    if chosen is None:
        raise ToolError(f"Failed to open virtual file {name.path}: block {wanted} not found")
    times = [_good_times(each) for each in tables if each.name.startswith(("GTI", "STDGTI")) and each.field("start")]
    events = EventList(name.path, blocks[0].header, chosen, times, read_subspace(chosen.header))
    for each in name.filters:
        apply_filter(events, each)
    return events


def apply_filter(events: EventList, wanted: Filter) -> None:
    """Cuts rows, good times, keywords and the subspace, in place."""
    before = [(each.name, each.intervals) for each in events.good_times]
    passing = np.ones(len(events.rows), bool)
    for term in wanted.terms:
        passing &= _TESTS[term.kind](events, term, wanted.exclude)
    events.keep(~passing if wanted.exclude else passing)
    if [(each.name, each.intervals) for each in events.good_times] != before:
        _put_exposures(events)


def _in_ranges(events: EventList, term: Term, exclude: bool) -> Flags:
    if term.column == "time":
        return _in_times(events, term, exclude)
    values = events.column(term.column)
    if values.ndim > 1:  # bits: the highest first
        if any(not (each.single and each.low == 0) for each in term.ranges):
            raise ToolError(f"filter on the bits of {term.column}: only {term.column}=0 is in these stand-ins")
        return np.asarray(~values.any(axis=tuple(range(1, values.ndim))), bool)
    whole = values.dtype.kind in "iu"
    found = np.zeros(len(values), bool)
    for each in term.ranges:
        if each.single:
            found |= values == each.low
        else:
            found |= (values >= each.low) & ((values <= each.high) if whole else (values < each.high))
    if term.column == "ccd_id":
        _choose_chips(events, term.ranges, exclude)
    if not exclude:
        unit = str(events.header.get(f"TUNIT{events.block.number(term.column)}", ""))
        events.subspace = limit(events.subspace, term.column, term.ranges, whole=whole, unit=unit)
    return found


def _choose_chips(events: EventList, ranges: tuple[Range, ...], exclude: bool) -> None:
    """Good times and components of other chips go."""
    def left(chip: int | None) -> bool:
        return chip is None or any(each.low <= chip <= each.high for each in ranges) != exclude

    events.good_times = [each for each in events.good_times if left(each.chip)]
    if exclude:
        kept = []
        for each in events.subspace:
            text = each.get("ccd_id", {}).get("VAL", "")
            low, _, high = text.partition(":")
            if not (low and low == high and not left(int(low))):
                kept.append(each)
        events.subspace = kept


def _in_times(events: EventList, term: Term, exclude: bool) -> Flags:
    wanted = [(each.low, each.high) for each in term.ranges]
    if not exclude:
        for times in events.good_times:
            times.intervals = cut(times.intervals, wanted)
    return inside(wanted, events.column("time"))


def _in_gti(events: EventList, term: Term, exclude: bool) -> Flags:
    blocks = read_good_times(term.text)
    times = events.column("time")
    of_chip = {each.chip: each.intervals for each in blocks}
    if None in of_chip or len(blocks) == 1 or not events.has("ccd_id"):
        of_all = merge_intervals(*(each.intervals for each in blocks))
        found = inside(of_all, times)
        of_chip = {}
    else:
        of_all = []
        chips = events.column("ccd_id")
        found = np.zeros(len(times), bool)
        for chip, intervals in of_chip.items():
            found |= (chips == chip) & inside(intervals, times)
    if not exclude:
        for each in events.good_times:
            each.intervals = cut(each.intervals, of_chip.get(each.chip, of_all))
    return found


def _in_region(events: EventList, term: Term, exclude: bool) -> Flags:
    region = region_of(term.text, events.plane)
    events.subspace = add_region(events.subspace, region.said(exclude=exclude))
    return region.contains(events.column("x").astype(float), events.column("y").astype(float))


def _in_mask(events: EventList, term: Term, exclude: bool) -> Flags:
    del exclude
    image = next(each for each in files.read(parse(term.text).path) if each.data is not None and not each.is_table)
    grid = Grid.of_image(image.header)
    assert image.data is not None
    good = np.nan_to_num(image.data) != 0
    column, row = (np.floor((events.column(name).astype(float) - axis.first) / axis.step).astype(int)
                   for name, axis in (("x", grid.x), ("y", grid.y)))
    there = (column >= 0) & (column < grid.x.size) & (row >= 0) & (row < grid.y.size)
    found = np.zeros(len(events.rows), bool)
    found[there] = good[row[there], column[there]]
    return found


_TESTS = {"ranges": _in_ranges, "gti": _in_gti, "region": _in_region, "mask": _in_mask}


def live_fraction(header: fits.Header, chip: int | None) -> float:
    """Live time over good time."""
    for live, good in ((f"LIVTIME{chip}", f"ONTIME{chip}"), ("LIVETIME", "ONTIME")):
        if live in header and good in header and header[good] > 0:
            return float(header[live] / header[good])
    return float(header.get("DTCOR", 1.0))


def _put_exposures(events: EventList) -> None:
    """ONTIMEn, LIVTIMn, EXPOSURn of each chip; the bare ones are those of the first, the aim point's."""
    header = events.header.copy()
    for number, each in enumerate(events.good_times):
        live = each.total * live_fraction(events.header, each.chip)
        if each.chip is not None:
            header[f"ONTIME{each.chip}"] = each.total
            header[f"LIVTIME{each.chip}"], header[f"EXPOSUR{each.chip}"] = live, live
        if number == 0:
            header["ONTIME"], header["LIVETIME"], header["EXPOSURE"] = each.total, live, live
    events.block = replace(events.block, header=header)
