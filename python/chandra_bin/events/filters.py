"""Filters of a virtual file name, prepared for the rows of one table."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from chandra_bin._kernels._select_events import Selection
from chandra_bin.acis.channels import ev_per_unit
from chandra_bin.coords.tangent_plane import pixel_map
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, UnusableSky, did_you_mean, warn
from chandra_bin.fits.headers import text_of
from chandra_bin.fits.images import Image, read_image_file
from chandra_bin.fits.subspace import Component, Condition
from chandra_bin.fits.tables import Column, Hdu
from chandra_bin.fits.virtual import (
    BitsTerm,
    Filter,
    GtiTerm,
    MaskTerm,
    RangeTerm,
    RegionTerm,
    Term,
    VirtualFile,
    named_file,
)
from chandra_bin.fits.virtual import Rows as RowNumbers
from chandra_bin.regions import PHYSICAL, Region, convert_region, points_in_region, region_extent

from .clocks import Clock, differ_in_scale
from .columns import coords_of
from .gti import GTI
from .gti_files import read_gti
from .region_files import region_of
from .row_tests import (
    RowTest,
    RowTests,
    Values,
    comparable,
    coordinates,
    ends,
    ends_of,
    holds,
    is_about,
    mask_and_value,
)

# Upper energy limits below this are probably meant in keV.
_KEV_LOOKALIKE = 20.0

# Columns of the chip number: Chandra's and XMM-Newton's.
CHIP_COLUMNS = ("ccd_id", "ccdnr")

# Longer regions are not written into the subspace: other programs fail on long headers.
_LONGEST_REGION = 2000
_PAIRS = {"sky": "x y", "pos": "x y", "det": "detx dety", "chip": "chipx chipy", "tdet": "tdetx tdety"}


def pair_of(hdu: Hdu, name: str) -> tuple[str, str] | None:
    """Return the two columns of a vector column such as sky, from MTYPEn and MFORMn; None for other columns."""
    header = hdu.header
    for n in range(1, 100):
        if f"MTYPE{n}" not in header:
            break
        names = str(header.get(f"MFORM{n}", "")).lower().replace(" ", "").split(",")
        if str(header[f"MTYPE{n}"]).strip().lower() == name and len(names) == 2 and set(names) <= set(hdu.columns):
            return names[0], names[1]
    names = _PAIRS.get(name, "").split()
    return (names[0], names[1]) if names and set(names) <= set(hdu.columns) else None


class RowFilter:
    """The filters of a virtual name on the rows of a table.

    Raises `InputError`, with the position of the character, for columns that the table does not have.
    """

    def __init__(self, name: VirtualFile, hdu: Hdu) -> None:
        self._name = name
        self._hdu = hdu
        self.groups: list[RowTests] = []
        self._row_numbers: list[RowNumbers] = []
        for step in name.steps:
            if isinstance(step, Filter):
                tests = tuple(self._test(term) for term in step.terms)
                if step.exclude:
                    self.groups.append(RowTests(tests, exclude=True))
                else:
                    self.groups += [RowTests((test,), exclude=False) for test in tests]
            elif isinstance(step, RowNumbers):
                self._row_numbers.append(step)

    @property
    def columns(self) -> dict[str, Column]:
        """The columns that the filters use, by lower-case name."""
        return {column.name.lower(): column
                for group in self.groups for test in group.tests for column in test.columns}

    def selection(self, values: Values, first_row: int, rows: int) -> Selection | None:
        """Return the rows that pass, for a block that begins at ``first_row`` (from 0); None if all rows pass."""
        if not self.groups and not self._row_numbers:
            return None
        selection = Selection(rows)
        for group in self.groups:
            if group.exclude and len(group.tests) > 1:
                together = Selection(rows)
                for test in group.tests:
                    test.add(together, values, False)
                _add_opposite(selection, together, exclude=False)
            else:
                for test in group.tests:
                    test.add(selection, values, group.exclude)
        for named in self._row_numbers:
            numbers = np.arange(first_row + 1, first_row + rows + 1, dtype=np.int64)
            selection.ranges(numbers, *ends(named.ranges), closed=True)
        return selection

    def warn_of_nothing(self) -> None:
        """Warn, after all rows, about excluded regions without events: the sources may not have been removed."""
        for group in self.groups:
            for test in group.tests if group.exclude else ():
                if test.found == [0]:
                    warn(f"{self._name.file}: the excluded region {test.term} contains no event: check its coordinates")

    def good_times(self, gti: GTI, chip: int | None) -> GTI | None:
        """Return a chip's good times (None: all chips) after the filters; None if the chip is filtered out."""
        for group in self.groups:
            chips = [test for test in group.tests if any(is_about(test, name) for name in CHIP_COLUMNS)]
            times = [test.times_of(chip) for test in group.tests if test.gti is not None]
            on_chip = all(chip is None or holds(test, chip) for test in chips)
            if not group.exclude:
                if not on_chip:
                    return None
                for limit in times:
                    gti = gti & limit
            elif on_chip and len(chips) + len(times) == len(group.tests) and (chip is not None or not chips):
                if not times:
                    return None
                together = times[0]
                for limit in times[1:]:
                    together = together & limit
                gti = gti - together
        return gti

    def limits(self, column: str) -> tuple[float, float]:
        """Return the lowest and highest value of a column that the filters let through."""
        low, high = -np.inf, np.inf
        for group in self.groups:
            for test in () if group.exclude else group.tests:
                if isinstance(test.term, RangeTerm) and is_about(test, column):
                    lows, highs = ends_of(test.term)
                    low, high = max(low, lows.min()), min(high, highs.max())
                names = [each.name.lower() for each in test.columns]
                if test.region is not None and column in names:
                    ends = region_extent(test.region)[names.index(column)]
                    low, high = max(low, float(ends[0])), min(high, float(ends[1]))
        return low, high

    def clock(self) -> Clock:
        """Return the clock of the table's times. Good times of filters are in seconds since its zero."""
        column = self._hdu.columns.get("time")
        return Clock.of(self._hdu.header, column.unit if column else "", f"{self._hdu.path}: column TIME")

    def ev_per_unit(self) -> float:
        """Return the eV per unit of the column energy. Raises `InputError` for an unknown unit."""
        column = self._hdu.columns.get("energy")
        factor = ev_per_unit(column.unit if column else "")
        if factor is None:
            raise self._hdu.error(f"has the column energy in the unknown unit {column.unit if column else ''}: use eV "
                                  "or keV (TUNIT)")
        return factor

    def subspace(self, components: Sequence[Component]) -> tuple[list[Component], list[str]]:
        """Return a subspace with the filters added, and text for the filters that keywords cannot express."""
        made: list[Component] = list(components) or [Component()]
        unwritten: list[str] = []
        for group in self.groups:
            if len(group.tests) > 1 or any(isinstance(test.term, BitsTerm | MaskTerm) or test.columns[0].is_logical
                                           for test in group.tests):
                unwritten.append(", ".join(test.columns[0].name for test in group.tests))
                continue
            test = group.tests[0]
            if test.region is not None:
                text = _region_text(test.region, group.exclude)
                if text is None:
                    unwritten.append("a region of many shapes")
                    continue
                x, y = (column.name for column in test.columns)
                name = f"sky({x},{y})" if (x.lower(), y.lower()) == ("x", "y") else f"pos({x},{y})"
                made = [each.with_condition(name, Condition(text, "D", test.columns[0].unit)) for each in made]
            elif isinstance(test.term, RangeTerm) and not group.exclude and test.gti is None:
                column = test.columns[0]
                form = {"I": "I", "J": "J", "E": "E"}.get(column.letter, "D")
                ends = list(zip(*(end.tolist() for end in ends_of(test.term)), strict=True))
                limited = [each.within(column.name, ends, form, column.unit) for each in made]
                made = [each for each in limited if each is not None]
            elif any(is_about(test, name) for name in CHIP_COLUMNS):
                continue  # the components of its chips are removed
            elif isinstance(test.term, RangeTerm) and group.exclude and test.gti is None:
                unwritten.append(f"exclude {test.columns[0].name}")
        return made, unwritten

    def _test(self, term: Term) -> RowTest:
        """Return the test of a term."""
        if isinstance(term, RangeTerm):
            return self._ranges(term)
        if isinstance(term, BitsTerm):
            return self._bits(term)
        if isinstance(term, GtiTerm):
            return self._gti(term)
        if isinstance(term, MaskTerm):
            return self._mask(term)
        return self._region(term)

    def _column(self, name: str, at: int) -> Column:
        """Return a column that can be filtered."""
        column = self._hdu.columns.get(name)
        if column is None and pair_of(self._hdu, name):
            raise self._name.error(at, f"{name} is a pair of columns: give a shape, {name}=circle(x,y,r), or filter "
                                       f"{' and '.join(pair_of(self._hdu, name) or ())}")
        if column is None:
            raise self._name.error(at, no_column(self._hdu, name))
        if not (column.is_scalar or column.is_logical):
            raise self._name.error(at, f"the column {name} cannot be filtered: it has {column.repeat} values a row "
                                       f"(TFORM {column.repeat}{column.letter})")
        return column

    def _ranges(self, term: RangeTerm) -> RowTest:
        """Return the test of ranges."""
        column = self._column(term.column, term.at)
        if column.letter == "X":
            bits = term.as_bits()
            if bits is None:
                raise self._name.error(term.at, f"the column {term.column} contains bits: give a pattern of "
                                                f"{column.repeat} characters 0, 1 or x, or 0 for all bits 0")
            return self._bits(bits)
        self._check_truths(term, column)
        lows, highs = ends_of(term)
        if column.name.lower() == "energy":
            _warn_of_unit(highs, column)
        if column.name.lower() == "ccd_id":
            _check_chips(self._name, term, lows, highs, column)
        single = np.array([each.single for each in term.ranges])
        if column.is_whole or column.is_logical:
            parts = [(lows, highs, True)]
        else:  # a single value of a real column is a closed range of zero width
            parts = [(lows[~single], highs[~single], False), (lows[single], highs[single], True)]
            parts = [part for part in parts if len(part[0])]

        null = None if column.null is None else np.array([column.null], np.float64)

        def add(selection: Selection, values: Values, exclude: bool) -> None:
            numbers = comparable(values[term.column])
            if len(parts) == 1 and null is None:
                selection.ranges(numbers, parts[0][0], parts[0][1], closed=parts[0][2], exclude=exclude)
                return
            none = Selection(len(numbers))
            for low, high, closed in parts:
                none.ranges(numbers, low, high, closed=closed, exclude=True)
            if null is None:
                _add_opposite(selection, none, exclude)
                return
            inside = Selection(len(numbers))  # null values are in no range
            _add_opposite(inside, none, exclude=False)
            inside.ranges(numbers, null, null, closed=True, exclude=True)
            _add_opposite(selection, inside, not exclude)

        gti: Mapping[int | None, GTI] | None = None
        if column.name.lower() == "time" and not single.any():
            clock = self.clock()
            gti = {None: GTI.of(clock.seconds(lows), clock.seconds(highs))}
        return RowTest((column,), add, term, gti=gti)

    def _check_truths(self, term: RangeTerm, column: Column) -> None:
        """Raise an error unless T and F are used for logical columns, and only there."""
        truths = [each.word in ("T", "F") for each in term.ranges]
        if column.is_logical and not all(truths):
            raise self._name.error(term.at, f"the column {term.column} is logical: write {term.column}=T or "
                                            f"{term.column}=F")
        if any(truths) and not column.is_logical:
            raise self._name.error(term.at, f"the column {term.column} contains numbers, not T and F: write "
                                            f"{term.column}=lo:hi")

    def _bits(self, term: BitsTerm) -> RowTest:
        """Return the test of bit patterns."""
        column = self._column(term.column, term.at)
        if column.letter != "X":
            raise self._name.error(term.at, f"the column {term.column} does not contain bits: give numbers")
        words = [mask_and_value(each, column.repeat) for each in term.bits]
        if any(word is None for word in words):
            raise self._name.error(term.at, f"the column {term.column} has {column.repeat} bits: give that many "
                                            "characters 0, 1 or x, or 0 for all bits 0")
        pairs = [word for word in words if word is not None]

        def add(selection: Selection, values: Values, exclude: bool) -> None:
            bits = values[term.column]
            if len(pairs) == 1:
                selection.bits(bits, *pairs[0], exclude=exclude)
            else:
                none = Selection(len(bits))
                for mask, value in pairs:
                    none.bits(bits, mask, value, exclude=True)
                _add_opposite(selection, none, exclude)

        return RowTest((column,), add, term)

    def _gti(self, term: GtiTerm) -> RowTest:
        """Return the test of good times."""
        column = self._column("time", term.at)
        blocks = read_gti(term.file)
        header = self._hdu.header
        for block in blocks.values():
            scales = differ_in_scale(block.header, header)
            if scales:
                raise self._name.error(term.at, f"the times of {term.file} and of the events differ: {scales}; make "
                                                "the good times from events with the same clock")
        gti = {chip: block.on_clock_of(header).gti for chip, block in blocks.items()}
        clock = self.clock()
        if None in gti:
            return RowTest((column,), lambda selection, values, exclude: selection.good_times(
                clock.seconds(values["time"]), gti[None].start, gti[None].stop, exclude=exclude), term, gti=gti)
        name = next((name for name in CHIP_COLUMNS if name in self._hdu.columns), CHIP_COLUMNS[0])
        chips = self._column(name, term.at)
        of_chip = [gti.get(chip, GTI.of([], [])) for chip in range(max(cast(int, chip) for chip in gti) + 1)]
        offsets = np.cumsum([0, *map(len, of_chip)], dtype=np.int64)
        start, stop = (np.concatenate([getattr(each, end) for each in of_chip]) for end in ("start", "stop"))
        return RowTest((column, chips), lambda selection, values, exclude: selection.good_times_by_chip(
            clock.seconds(values["time"]), values[name].astype(np.int16, copy=False), start=start, stop=stop,
            offsets=offsets, exclude=exclude), term, gti=gti)

    def _pair(self, columns: tuple[str, ...], at: int) -> tuple[Column, Column]:
        """Return the two columns of a shape."""
        names = pair_of(self._hdu, columns[0]) if len(columns) == 1 else columns
        if names is None:
            raise self._name.error(at, no_column(self._hdu, columns[0], "pair of columns"))
        return self._column(names[0], at), self._column(names[1], at)

    def _region(self, term: RegionTerm) -> RowTest:
        """Return the test of a region."""
        x, y = self._pair(term.columns, term.at)
        coords = coords_of(self._hdu, x.name, y.name)
        try:
            region = convert_region(region_of(term, self._name), coords, PHYSICAL)
        except UnusableSky as error:
            raise InputError(f"{self._hdu.path}: {error}") from None
        if region.other is not None:
            warn(f"{region.source}: CIAO and DS9 may select different events: CIAO, as here, subtracts an excluded "
                 "shape from the shape before it, DS9 from all shapes; write A*!C, B*!C")
            region = replace(region, other=None)

        found = [0]

        def add(selection: Selection, values: Values, exclude: bool) -> None:
            inside = points_in_region(region, *coordinates(values, x.name.lower(), y.name.lower()))
            found[0] += int(np.count_nonzero(inside))
            selection.flags(inside.view(np.uint8), exclude=exclude)

        return RowTest((x, y), add, term, region=region, found=found)

    def _mask(self, term: MaskTerm) -> RowTest:
        """Return the test of a mask image."""
        x, y = self._pair(term.columns, term.at)
        image = read_mask(term, self._name)
        to_pixels = pixel_map(coords_of(self._hdu, x.name, y.name), ImageCoords(image.header))
        mask = (np.nan_to_num(image.data, nan=0) != 0).astype(np.uint8)

        def add(selection: Selection, values: Values, exclude: bool) -> None:
            column, row = map(np.ascontiguousarray, to_pixels(*coordinates(values, x.name.lower(), y.name.lower())))
            selection.mask(column, row, mask, x_first_edge=-0.5, x_step=1.0, y_first_edge=-0.5, y_step=1.0,
                           exclude=exclude)

        return RowTest((x, y), add, term)


def read_mask(term: MaskTerm, name: VirtualFile) -> Image:
    """Return the image of a mask, whose name may include a block."""
    mask = named_file(term.file)
    if any(step != mask.block for step in mask.steps):
        raise name.error(term.at, f"the mask {mask} has filters of its own: copy it to an image first")
    return read_image_file(mask.file, mask.block.name if mask.block else None)


def _add_opposite(selection: Selection, none: Selection, exclude: bool) -> None:
    """Add the condition "not all of these hold", or with ``exclude`` its opposite."""
    flags = np.empty(none.size, np.uint8)
    none.evaluate(1, flags)
    selection.flags(flags, exclude=not exclude)


def _warn_of_unit(highs: NDArray[np.float64], column: Column) -> None:
    """Warn about energy limits that look like the wrong unit."""
    finite = highs[np.isfinite(highs)]
    if column.unit.lower() == "kev" and (finite > _KEV_LOOKALIKE).any():
        warn(f"an energy range that ends at {finite.max():g} looks like eV: the column {column.name} of this "
             "file is in keV")
    if highs.max() < _KEV_LOOKALIKE and column.unit.lower() in ("", "ev"):
        warn(f"an energy range that ends at {highs.max():g} looks like keV: the column {column.name} is in "
             "eV; write energy=500:7000 for 0.5 - 7 keV")


def _check_chips(name: VirtualFile, term: RangeTerm, lows: NDArray[np.float64], highs: NDArray[np.float64],
                 column: Column) -> None:
    """Raise an error for a chip that does not exist."""
    lowest, highest = column.lowest or 0, column.highest if column.highest is not None else 9
    if (wrong := (highs < lowest) | (lows > highest)).any():
        low = lows[wrong][0] if np.isfinite(lows[wrong][0]) else highs[wrong][0]
        raise name.error(term.at, f"there is no chip {low:g}: ccd_id goes from {lowest:g} to {highest:g}")


def pairs_in(hdu: Hdu) -> list[str]:
    """Return the usual names of pairs of columns, such as sky, that a table has."""
    return [pair for pair in _PAIRS if pair_of(hdu, pair)]


def no_column(hdu: Hdu, name: str, what: str = "column") -> str:
    """Return the message that a table has no column, or pair of columns, of a name."""
    return (f"block {hdu.name} has no {what} {name}, only {', '.join(hdu.columns)}{_of_others(hdu)}"
            f"{did_you_mean(name, (*hdu.columns, *pairs_in(hdu)))}")


def _of_others(hdu: Hdu) -> str:
    """Return a note for files of other telescopes."""
    telescope = text_of(hdu.header, "TELESCOP")
    if telescope in ("", "CHANDRA"):
        return ""
    return (f" (a file of {telescope}: filters and images work on its own columns, but not what needs Chandra's "
            "energy, ccd_id, grade or status)")


def _region_text(region: Region, exclude: bool) -> str | None:
    """Return a region in the form of a subspace; None if it is too long or cannot be expressed."""
    if region.cuts or region.other is not None:
        return None
    components = []
    for component in region.components:
        words = []
        for shape in component:
            numbers = [*shape.points.ravel().tolist(), *shape.lengths, *shape.angles]
            kind = "RotBox" if shape.kind == "box" else shape.kind.capitalize()
            words.append(f"{'!' if shape.complement else ''}{kind}({','.join(f'{number:.10g}' for number in numbers)})")
        components.append("&".join(words))
    text = "|".join(components)
    if exclude:
        if any(shape.complement for shape in region.areas) or any(len(each) > 1 for each in region.components):
            return None
        text = "Field()&" + "&".join(f"!{each}" for each in components)
    return text if len(text) <= _LONGEST_REGION else None
