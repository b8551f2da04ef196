"""Conditions on table rows, and the numbers that they compare."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._kernels._select_events import Selection
from chandra_bin.fits.tables import Column
from chandra_bin.fits.virtual import Bits, RangeTerm, Term
from chandra_bin.regions import Region

from .gti import GTI

Values = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class RowTest:
    """A condition on table columns."""

    columns: tuple[Column, ...]
    add: Callable[[Selection, Values, bool], None]
    """Adds the condition, or its opposite, to a selection of rows with these values."""
    term: Term | None = None
    region: Region | None = None
    """Region in the coordinates of the columns."""
    found: list[int] = field(default_factory=list)
    """Number of rows inside the region so far."""
    gti: Mapping[int | None, GTI] | None = None
    """The times that pass, by chip; the key None means all chips."""

    def times_of(self, chip: int | None) -> GTI:
        """Return the times that pass on a chip (None: on any)."""
        gti = self.gti or {}
        if chip is None and None not in gti:
            return reduce(or_, gti.values(), GTI.of([], []))
        return gti.get(chip, gti.get(None, GTI.of([], [])))


@dataclass(frozen=True)
class RowTests:
    """Conditions of one bracket, joined by AND, whose matches may be excluded."""

    tests: tuple[RowTest, ...]
    exclude: bool


def ends(ranges: Iterable[tuple[float | None, float | None]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lower and upper limits, infinite if open."""
    pairs = [(-np.inf if low is None else low, np.inf if high is None else high) for low, high in ranges]
    lows, highs = np.array(pairs, np.float64).T
    return lows.copy(), highs.copy()


def ends_of(term: RangeTerm) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lower and upper limits of a term, infinite if open."""
    return ends((each.lo, each.hi) for each in term.ranges)


def mask_and_value(bits: Bits, count: int) -> tuple[int, int] | None:
    """Return the bits to compare and their values; None if the pattern's length differs from the column's."""
    if not bits.pattern:
        return (1 << count) - 1, bits.number
    if len(bits.pattern) != count:
        return None
    mask = int("".join("0" if bit == "x" else "1" for bit in bits.pattern), 2)
    return mask, int(bits.pattern.replace("x", "0"), 2)


def comparable(values: NDArray[Any]) -> NDArray[Any]:
    """Return numbers of a type that the kernel compares."""
    return values.astype(np.int64) if values.dtype == np.uint32 else values


def coordinates(values: Values, x: str, y: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two columns as floats of one type."""
    kind = np.float32 if values[x].dtype == values[y].dtype == np.float32 else np.float64
    return values[x].astype(kind, copy=False), values[y].astype(kind, copy=False)


def is_about(test: RowTest, column: str) -> bool:
    """Return whether a test is a range of this column."""
    return isinstance(test.term, RangeTerm) and test.term.column == column


def holds(test: RowTest, value: float) -> bool:
    """Return whether a value is in the ranges of a test."""
    assert isinstance(test.term, RangeTerm)
    lows, highs = ends_of(test.term)
    return bool(((lows <= value) & (value <= highs)).any())
