"""Good time intervals (GTI): sets of times, with set operations."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.arrays import as_number, as_seconds
from chandra_bin._checks.given import ImageHolder
from chandra_bin._checks.paths import FileName, as_path
from chandra_bin._checks.units import MJDREF, TimeLike, seconds
from chandra_bin.errors import InputError, counted, rename_hint

if TYPE_CHECKING:
    from astropy.table import QTable
    from astropy.time import Time


class ColumnHolder(Protocol):
    """A table of astropy or pandas, or a structured array."""

    def __getitem__(self, key: Any, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...


# A table, or an HDU, with the columns START and STOP.
TableLike: TypeAlias = ColumnHolder | ImageHolder


@dataclass(frozen=True, eq=False, repr=False)
class GTI:
    """Good times as intervals [start, stop) in seconds: a start is good, a stop is not.

    Attributes
    ----------
    start, stop : ndarray of float64 (n,)
        Ascending: each start is before its stop, each stop before the next start. The first start may be -inf and the
        last stop +inf. `of` accepts intervals in any order.

    Notes
    -----
    ``a & b``, ``a | b``, ``~a`` and ``a - b`` are exact: they only select among the existing numbers. Equal sets of
    times compare equal. Times are numbers in seconds, Quantities, or ``astropy.time.Time``, which becomes seconds of
    Chandra's clock: since MJD 50814 in TT. Iteration yields (start, stop).

    Examples
    --------
    >>> import astropy.units as u
    >>> from chandra_bin import GTI
    >>> GTI.of([0, 20] * u.ks, [10, 30] * u.ks) & GTI.of(5_000, 25_000)
    <GTI: 2 intervals, 10000 s of good time from 5000 to 25000 s>
    """

    start: NDArray[np.float64]
    stop: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in ("start", "stop"):
            object.__setattr__(self, name, np.array(as_seconds(getattr(self, name), name), ndmin=1))
        edges = self._edges()
        if np.shape(self.start) != np.shape(self.stop) or not (edges[1:] > edges[:-1]).all():
            raise InputError("good time intervals must ascend without touching; use GTI.of")
        self.start.setflags(write=False)
        self.stop.setflags(write=False)

    @classmethod
    def of(cls, start: "TimeLike", stop: "TimeLike", *, where: str = "") -> "GTI":
        """Return the union of the intervals [start, stop), which may overlap, touch and be in any order.

        Empty intervals (start = stop) are dropped. ``where``, e.g. a file, begins the text of the `InputError` that is
        raised for NaN, a stop before its start, and unequal numbers of starts and stops.
        """
        prefix = f"{where}: " if where else ""
        starts = np.array(as_seconds(start, f"{prefix}start"), ndmin=1)
        stops = np.array(as_seconds(stop, f"{prefix}stop"), ndmin=1)
        if starts.ndim != 1 or starts.shape != stops.shape:
            raise InputError(f"{prefix}there are {starts.size} starts of good times but {stops.size} stops")
        wrong = ~(starts <= stops)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(f"{prefix}good time interval {row + 1} goes from {float(starts[row])!r} to "
                             f"{float(stops[row])!r} s; a start must not be NaN or after its stop")
        order = np.argsort(starts, kind="stable")
        order = order[starts[order] < stops[order]]
        starts, reach = starts[order], np.maximum.accumulate(stops[order])
        apart = starts[1:] > reach[:-1]
        return cls(starts[np.append(True, apart)[: starts.size]], reach[np.append(apart, True)[: starts.size]])

    @classmethod
    def from_time(cls, start: "Time", stop: "Time", *, mjdref: float = MJDREF) -> "GTI":
        """Return the times between ``start`` and ``stop`` as seconds since ``mjdref`` (MJD, TT); otherwise as `of`."""
        mjdref = as_number(mjdref, "mjdref", "d")
        return cls.of(seconds(start, "start", mjdref), seconds(stop, "stop", mjdref))

    @classmethod
    def from_table(cls, table: TableLike) -> "GTI":
        """Return the times of a table (astropy, FITS, pandas or numpy) with columns START and STOP, in any case.

        Columns without a unit are in seconds. Raises `InputError` for a table without these columns.
        """
        columns: Any = getattr(table, "data", table) if hasattr(table, "header") else table  # of an HDU
        if not hasattr(columns, "__getitem__") or isinstance(columns, str):
            raise InputError(f"{table!r:.80} is not a table with the columns START and STOP")
        names = getattr(columns, "colnames", None) or getattr(getattr(columns, "dtype", None), "names", None)
        names = names or list(columns)
        by_name = {str(name).lower(): name for name in names}
        if not {"start", "stop"} <= set(by_name):
            raise InputError(f"the table has no columns START and STOP, only {', '.join(map(str, names))}"
                             f"{rename_hint(('start', 'stop'), by_name)}")
        return cls.of(*(_column(columns, by_name[name]) for name in ("start", "stop")))

    @classmethod
    def read(cls, name: FileName) -> "GTI":
        """Return the good times of a file: of the named table, ``file[GTI7]``, else of all tables, which must be equal.

        Times become seconds of Chandra's clock; they are shifted if the file has another MJDREF or TIMEZERO. Raises
        `InputError`, also if chips have different good times and no table is named.
        """
        from .clocks import seconds_after_reference
        from .gti_files import read_gti

        blocks = read_gti(name)
        if len(blocks) > 1:
            raise InputError(f"{name}: its chips have different good times: name one, such as "
                             f"{name}[{next(iter(blocks.values())).block_name}]")
        (block,) = blocks.values()
        shift = seconds_after_reference(block.header, MJDREF)
        return cls.of(block.gti.start + shift, block.gti.stop + shift) if shift else block.gti

    def write(self, path: FileName, *, overwrite: bool = False, mjdref: float = MJDREF) -> None:
        """Write a GTI file in OGIP format, which CIAO reads as ``[@file]``; times count from ``mjdref`` (MJD, TT).

        Raises `OutputError` if the file exists, unless ``overwrite`` is True.
        """
        from astropy.io.fits import Header

        from chandra_bin.fits.outputs import Outputs

        from .clocks import clock_keywords
        from .gti_files import write_gti_file

        target = as_path(path)
        with Outputs([target], clobber=overwrite) as outputs, outputs.open(target) as file:
            write_gti_file(file, Header(clock_keywords(mjdref)), self)

    def to_table(self) -> "QTable":
        """Return a table with the columns START and STOP, in seconds."""
        from astropy import units as u
        from astropy.table import QTable

        return QTable([self.start * u.s, self.stop * u.s], names=("START", "STOP"))

    def to_time(self, *, mjdref: float = MJDREF) -> "tuple[Time, Time]":
        """Return starts and stops as ``astropy.time.Time`` in TT, for seconds that count from ``mjdref`` (MJD, TT)."""
        from astropy.time import Time, TimeDelta

        zero = Time(as_number(mjdref, "mjdref", "d"), format="mjd", scale="tt")
        return zero + TimeDelta(self.start, format="sec"), zero + TimeDelta(self.stop, format="sec")

    @property
    def total(self) -> float:
        """Seconds of good time, correctly rounded."""
        return math.fsum([*self.stop.tolist(), *(-self.start).tolist()])

    def __len__(self) -> int:
        return self.start.size

    def __iter__(self) -> Iterator[tuple[float, float]]:
        return zip(self.start.tolist(), self.stop.tolist(), strict=True)

    def __repr__(self) -> str:
        if not len(self):
            return "<GTI: no good time>"
        return (f"<GTI: {counted(len(self), 'interval')}, {self.total:.10g} s of good time from {self.start[0]:.10g} "
                f"to {self.stop[-1]:.10g} s>")

    def __and__(self, other: "GTI") -> "GTI":
        return self._merged(other, np.logical_and) if isinstance(other, GTI) else NotImplemented

    def __or__(self, other: "GTI") -> "GTI":
        return self._merged(other, np.logical_or) if isinstance(other, GTI) else NotImplemented

    def __sub__(self, other: "GTI") -> "GTI":
        return self._merged(other, np.greater) if isinstance(other, GTI) else NotImplemented

    def __invert__(self) -> "GTI":
        edges = self._edges()
        begun, ended = (edges[:1] == -np.inf).any(), (edges[-1:] == np.inf).any()
        edges = edges[1:] if begun else np.append(-np.inf, edges)
        return _of_edges(edges[:-1] if ended else np.append(edges, np.inf))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GTI) and np.array_equal(self._edges(), other._edges())

    __hash__ = None  # type: ignore[assignment]

    def contains(self, times: "TimeLike") -> NDArray[np.bool_]:
        """Return True where a time is good; False for NaN. Any shape."""
        past = np.searchsorted(self._edges(), as_seconds(times, "times"), side="right")
        inside: NDArray[np.bool_] = (past & 1).astype(bool)
        return inside

    def seconds_in(self, edges: "TimeLike") -> NDArray[np.float64]:
        """Return the good seconds (n - 1,) between consecutive ``edges`` (n,), which must be finite and ascending.

        An entirely good bin has exactly the difference of its edges.
        """
        bins = as_seconds(edges, "edges")
        if bins.ndim != 1 or bins.size < 2 or not np.isfinite(bins).all() or not (bins[1:] >= bins[:-1]).all():
            raise InputError("the edges of time bins must be two or more finite, ascending numbers")
        seconds: NDArray[np.float64] = np.diff(bins)
        if len(self) != 1 or self.start[0] > bins[0] or self.stop[0] < bins[-1]:
            seconds *= self.contains(bins[:-1])
        within = self._edges()
        signs = np.tile([1.0, -1.0], len(self))
        here = (within > bins[0]) & (within < bins[-1])
        place = np.searchsorted(bins, within[here]) - 1  # an interval's edge on a bin's edge adds 0 to the bin before
        np.add.at(seconds, place, signs[here] * (bins[place + 1] - within[here]))
        return seconds

    def _edges(self) -> NDArray[np.float64]:
        """Return start, stop, start, stop, ... (2 n,)."""
        edges: NDArray[np.float64] = np.column_stack([self.start, self.stop]).ravel()
        return edges

    def _merged(self, other: "GTI", rule: Any) -> "GTI":
        """Return the times where ``rule(good here, good in other)`` is true; it must be false for (False, False)."""
        edges = np.union1d(self._edges(), other._edges())
        good = rule(self.contains(edges), other.contains(edges))
        return _of_edges(edges[good != np.append(False, good[:-1])[: good.size]])


def _column(table: Any, name: str) -> Any:
    """Return a column with its unit, which FITS tables store separately."""
    units = getattr(getattr(table, "columns", None), "units", None)
    if units is None:
        return table[name]
    from astropy.units import Quantity

    return Quantity(table[name], units[list(table.columns.names).index(name)] or "s")


def as_gti(given: GTI | TableLike, name: str = "gti") -> GTI:
    """Return a `GTI` from a `GTI` or a table with columns START and STOP. Raises `InputError` for other types."""
    if isinstance(given, GTI):
        return given
    if any(hasattr(given, each) for each in ("colnames", "columns", "header")) or getattr(
            getattr(given, "dtype", None), "names", None):
        return GTI.from_table(given)
    raise InputError(f"{name} is of the type {type(given).__name__}: give GTI.of(starts, stops), or a table with the "
                     "columns START and STOP")


def _of_edges(edges: NDArray[np.float64]) -> GTI:
    """Return intervals from alternating starts and stops."""
    return GTI(edges[0::2].copy(), edges[1::2].copy())
