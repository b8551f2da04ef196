"""Good time intervals: sets of times, with the algebra of sets."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.arrays import as_seconds
from chandra_bin.errors import InputError


@dataclass(frozen=True, eq=False)
class GTI:
    """Times in seconds, as intervals [start, stop): a start is good, a stop is not.

    ``start`` and ``stop`` are float64 (n,), ascending, each start before its stop and each stop before the next start;
    the first start may be -inf and the last stop +inf. `of` makes them of intervals in any order.

    ``a & b``, ``a | b``, ``~a`` and ``a - b`` are exact: they only choose among the numbers that are there. Equal sets
    of times are equal.
    """

    start: NDArray[np.float64]
    stop: NDArray[np.float64]

    def __post_init__(self) -> None:
        edges = self._edges()
        if np.shape(self.start) != np.shape(self.stop) or not (edges[1:] > edges[:-1]).all():
            raise InputError("good time intervals must ascend and not touch; make them with GTI.of")
        self.start.setflags(write=False)
        self.stop.setflags(write=False)

    @classmethod
    def of(cls, start: ArrayLike, stop: ArrayLike, *, where: str = "") -> "GTI":
        """The times in any of the intervals [start, stop), which may overlap, touch and be in any order.

        Empty ones (start = stop) vanish. ``where``, a file say, begins the text of the `InputError` that is raised for
        NaN, for a stop before its start, and for unequal numbers of starts and stops.
        """
        said = f"{where}: " if where else ""
        starts = np.array(as_seconds(start, f"{said}start"), ndmin=1)
        stops = np.array(as_seconds(stop, f"{said}stop"), ndmin=1)
        if starts.ndim != 1 or starts.shape != stops.shape:
            raise InputError(f"{said}there are {starts.size} starts of good times and {stops.size} stops")
        wrong = ~(starts <= stops)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(f"{said}good time interval {row + 1} goes from {float(starts[row])!r} to "
                             f"{float(stops[row])!r} s; a start may not be NaN or after its stop")
        order = np.argsort(starts, kind="stable")
        order = order[starts[order] < stops[order]]
        starts, reach = starts[order], np.maximum.accumulate(stops[order])
        apart = starts[1:] > reach[:-1]
        return cls(starts[np.append(True, apart)[: starts.size]], reach[np.append(apart, True)[: starts.size]])

    @property
    def total(self) -> float:
        """Seconds of good time, correctly rounded."""
        return math.fsum([*self.stop.tolist(), *(-self.start).tolist()])

    def __len__(self) -> int:
        return self.start.size

    def __and__(self, other: "GTI") -> "GTI":
        return self._merged(other, np.logical_and)

    def __or__(self, other: "GTI") -> "GTI":
        return self._merged(other, np.logical_or)

    def __sub__(self, other: "GTI") -> "GTI":
        return self._merged(other, np.greater)

    def __invert__(self) -> "GTI":
        edges = self._edges()
        begun, ended = (edges[:1] == -np.inf).any(), (edges[-1:] == np.inf).any()
        edges = edges[1:] if begun else np.append(-np.inf, edges)
        return _of_edges(edges[:-1] if ended else np.append(edges, np.inf))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GTI) and np.array_equal(self._edges(), other._edges())

    __hash__ = None  # type: ignore[assignment]

    def contains(self, times: ArrayLike) -> NDArray[np.bool_]:
        """True where a time is good; NaN never is. Any shape."""
        past = np.searchsorted(self._edges(), as_seconds(times, "times"), side="right")
        inside: NDArray[np.bool_] = (past & 1).astype(bool)
        return inside

    def seconds_in(self, edges: ArrayLike) -> NDArray[np.float64]:
        """Good seconds (n - 1,) between consecutive ``edges`` (n,), which must be finite and ascend.

        A bin that is good throughout has exactly the difference of its edges.
        """
        bins = as_seconds(edges, "edges")
        if bins.ndim != 1 or bins.size < 2 or not np.isfinite(bins).all() or not (bins[1:] >= bins[:-1]).all():
            raise InputError("the edges of time bins must be two or more finite numbers that ascend")
        seconds: NDArray[np.float64] = np.diff(bins)
        if len(self) != 1 or self.start[0] > bins[0] or self.stop[0] < bins[-1]:
            seconds *= self.contains(bins[:-1])
        within = self._edges()
        signs = np.tile([1.0, -1.0], len(self))
        here = (within > bins[0]) & (within < bins[-1])
        place = np.searchsorted(bins, within[here]) - 1  # one on an edge adds 0 to the bin before
        np.add.at(seconds, place, signs[here] * (bins[place + 1] - within[here]))
        return seconds

    def _edges(self) -> NDArray[np.float64]:
        """start, stop, start, stop, ... (2 n,)"""
        edges: NDArray[np.float64] = np.column_stack([self.start, self.stop]).ravel()
        return edges

    def _merged(self, other: "GTI", rule: Any) -> "GTI":
        """The times for which ``rule(good here, good in other)`` holds; it must not hold for (False, False)."""
        edges = np.union1d(self._edges(), other._edges())
        good = rule(self.contains(edges), other.contains(edges))
        return _of_edges(edges[good != np.append(False, good[:-1])[: good.size]])


def _of_edges(edges: NDArray[np.float64]) -> GTI:
    return GTI(edges[0::2].copy(), edges[1::2].copy())
