"""Fits in which the column density or the redshift is tied over all bins, or free in each of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin.errors import InputError, counted, warn

from .engines import STATISTIC, Fits, Rows
from .families import TemplateFamily
from .free_profile import WITHIN, profiled
from .templates import Templates

# Points at which the search for a tied value ends: this part of the range apart.
_TIED_STEP = 1e-4
# Evaluations of the search for an end of the error of a tied value, and how near to delta it must be.
_MOST_STEPS, _NEAR = 8, 0.03
# Values at which bins are fitted at most, where the value is free, and how near they may be, as a part of the range.
_MOST_NODES, _NEAREST = 200, 1e-4
# An interval between two values is halved for a bin whose statistic rises from below delta to more than this times it.
_STEEP = 3.0
# Below this many times delta at the far end, the middle is expected to be within WITHIN and is fitted with errors.
_SHALLOW = 12.0


@dataclass(frozen=True, eq=False)
class Varied:
    """The quantity that is not fixed: its name and limits, and the templates at any value of it."""

    name: Literal["nh", "redshift"]
    family: TemplateFamily
    given: float
    nodes: Floats
    """Values at which the search begins, ascending; the first and the last are the limits."""

    def at(self, value: float) -> Templates:
        """Return the templates at a value."""
        return self.family.at(nh=value) if self.name == "nh" else self.family.at(redshift=value)


def varied(family: TemplateFamily, name: Literal["nh", "redshift"], nh_max: float, redshift_within: float) -> Varied:
    """Return the quantity that a fit varies. Raises `InputError` for a given value outside the limits."""
    if name == "nh":
        given = family.model.nh
        if given > nh_max:
            raise InputError(f"nh is {given:g}: it must not be above nh_max, {nh_max:g}")
        nodes = nh_max * np.linspace(0, 1, 9) ** 2
    else:
        given = family.model.redshift
        low, high = max(given - redshift_within, 0.0), given + redshift_within
        nodes = np.linspace(low, high, max(int(np.ceil((high - low) / 0.01)), 4) + 1)
    return Varied(name, family, given, nodes)


@dataclass(frozen=True, eq=False)
class Values:
    """Values of a quantity and the distances to the ends of their errors, (bins,); NaN where open or fixed."""

    value: Floats
    low: Floats
    high: Floats

    @classmethod
    def fixed(cls, value: float, bins: int) -> "Values":
        """Return one value for all bins, without errors."""
        return cls(np.full(bins, value), np.full(bins, np.nan), np.full(bins, np.nan))


def fit_tied(fits: Fits, of: Varied, taking_part: NDArray[np.bool_], delta: float, progress: Any
             ) -> tuple[Rows, Values, Templates]:
    """Fit all bins at the value that minimises the sum of their statistics.

    Returns their results at this value, the value with its errors, where the sum has risen by delta, and its templates.
    """
    if not taking_part.any():
        raise InputError(f"{of.name}_is is 'tied', and no bin has enough counts: fix it")
    search = _TiedSearch(fits, of, np.where(taking_part, 0.0, np.nan), progress)
    value = search.minimum()
    low, high = (search.end(value, delta, bound) for bound in (of.nodes[0], of.nodes[-1]))
    if value in (of.nodes[0], of.nodes[-1]):
        warn(f"the tied {of.name} is at a limit of the search, {value:g}")
    templates = of.at(value)
    bins = taking_part.size
    rows = fits(templates, np.full(bins, delta), progress(1))
    return rows, Values(*(np.full(bins, each) for each in (value, value - low, high - value))), templates


class _TiedSearch:
    """The sum of the statistics of all bins at the values that were asked for."""

    def __init__(self, fits: Fits, of: Varied, delta: Floats, progress: Any) -> None:
        self._fits, self._of, self._delta, self._progress = fits, of, delta, progress
        self._statistics: dict[float, Floats] = {}

    def rise(self, value: float) -> float:
        """Return the sum at a value above the least sum so far, over the bins that could be fitted at all values."""
        self._look(value)
        sums = self._sums()
        return sums[value] - min(sums.values())

    def _look(self, value: float) -> None:
        if value not in self._statistics:
            rows = self._fits(self._of.at(value), self._delta, self._progress(0.1))
            self._statistics[value] = rows.values[:, STATISTIC]

    def _sums(self) -> dict[float, float]:
        together = np.all(np.isfinite(list(self._statistics.values())), axis=0)
        return {value: float(each[together].sum()) for value, each in self._statistics.items()}

    def minimum(self) -> float:
        from scipy.optimize import minimize_scalar

        nodes = self._of.nodes.tolist()
        for value in nodes:
            self._look(value)
        sums = self._sums()
        place = min(range(len(nodes)), key=lambda node: sums[nodes[node]])
        reference = sums[nodes[place]]

        def of(value: float) -> float:
            self._look(value)
            return self._sums()[value] - reference

        limits = nodes[max(place - 1, 0)], nodes[min(place + 1, len(nodes) - 1)]
        minimize_scalar(lambda value: of(float(value)), bounds=limits, method="bounded",
                        options={"xatol": _TIED_STEP * (nodes[-1] - nodes[0])})
        sums = self._sums()
        return min(sums, key=lambda value: sums[value])

    def end(self, best: float, delta: float, bound: float) -> float:
        """Return the value on the side of a limit where the sum has risen by delta; NaN where it rises too little."""
        if best == bound:
            return np.nan
        side = [value for value in self._statistics if (value - best) * (bound - best) > 0]
        high = [(abs(value - best), rise) for value in side if (rise := self.rise(value)) >= delta]
        inner, outer = (0.0, 0.0), min(high, default=(abs(bound - best), self.rise(bound)))
        if outer[1] < delta:
            return np.nan
        sign = np.sign(bound - best)
        for _ in range(_MOST_STEPS):
            part = (np.sqrt(delta) - np.sqrt(inner[1])) / (np.sqrt(outer[1]) - np.sqrt(inner[1]))
            distance = inner[0] + float(np.clip(part, 0.03, 0.97)) * (outer[0] - inner[0])
            rise = self.rise(best + sign * distance)
            if abs(rise - delta) < _NEAR * delta:
                break
            inner, outer = ((distance, max(rise, 0.0)), outer) if rise < delta else (inner, (distance, rise))
        return float(best + sign * distance)


def fit_free(fits: Fits, of: Varied, free: NDArray[np.bool_], delta: float, progress: Any
             ) -> tuple[Rows, Values, NDArray[np.bool_]]:
    """Fit all bins, with a value of its own in each bin that is ``free``, and the given one in the others.

    Returns the results, the values with their errors, and where the value is at a limit. Results and errors are those
    of the profile over the value too: the bins are fitted at a common set of values, which is made finer where the
    statistic of a bin rises steeply. Warns of bins whose profile is still too coarse then; the errors of their value
    are NaN.
    """
    rows = fits(of.family.given, np.where(free, np.nan, delta), progress(0.05))
    values, at_limit = Values.fixed(of.given, free.size), np.zeros(free.size, np.bool_)
    search = _FreeSearch(fits, of, delta, progress)
    coarse = search.run(free)
    progress(1)
    nodes, at_nodes = np.array(sorted(search.rows)), [search.rows[node] for node in sorted(search.rows)]
    stacked = np.stack([each.values for each in at_nodes])
    flags = np.stack([each.flags for each in at_nodes])
    for place in np.flatnonzero(free):
        known = np.isfinite(stacked[:, place, STATISTIC])
        rows.evaluations[place] = sum(int(each.evaluations[place]) for each in at_nodes)
        if not known.any():
            rows.flags[place] = np.bitwise_or.reduce(flags[:, place])
            values.value[place] = np.nan
            continue
        made = profiled(nodes[known], stacked[known, place], flags[known, place], delta)
        rows.values[place], rows.flags[place] = made.row, made.flags
        nearest = np.flatnonzero(known)[np.argmin(np.abs(nodes[known] - made.value))]
        of_bin = slice(*fits.spectra.offsets[place: place + 2])
        rows.amounts[of_bin] = at_nodes[nearest].amounts[of_bin]
        values.value[place], values.low[place], values.high[place] = made.value, made.low, made.high
        at_limit[place] = made.value <= nodes[0] or made.value >= nodes[-1]
    if coarse.any():
        values.low[coarse] = values.high[coarse] = np.nan
        warn(f"the statistic of {counted(np.count_nonzero(coarse), 'bin')}, the first is "
             f"{fits.spectra.bins[coarse][0]}, changes too steeply with {of.name} for {len(nodes)} values: errors of "
             f"{of.name} are left out, and those of kT, abundance and norm are coarse; narrow the range of {of.name}")
    return rows, values, at_limit


class _FreeSearch:
    """Fits of bins at values that are dense near the least statistic of each bin.

    Each bin is fitted at values that it needs, with errors at those whose statistic is near the least.
    """

    def __init__(self, fits: Fits, of: Varied, delta: float, progress: Any) -> None:
        self.rows: dict[float, Rows] = {}
        self._fits, self._of, self._delta, self._progress = fits, of, delta, progress
        self._tried: dict[float, NDArray[np.bool_]] = {}
        self._with_errors: dict[float, NDArray[np.bool_]] = {}

    def run(self, free: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Fit the bins that are free; return those that would need more values than there may be."""
        nothing = np.zeros(free.size, np.bool_)
        for value in self._of.nodes.tolist():
            self._fit(value, free, nothing)
        while (wanted := self._wanted()) and len(self.rows) < _MOST_NODES:
            for each in wanted[: _MOST_NODES - len(self.rows)]:
                self._fit(each.middle, each.bins, each.shallow)
        rises = self._rises()
        for place, value in enumerate(sorted(self.rows)):
            near = (rises[place] < WITHIN * self._delta) & ~self._with_errors[value]
            if near.any():
                self._fit(value, near, near)
        coarse = nothing.copy()
        for each in self._steep():
            coarse |= each.bins
        return coarse

    def _fit(self, value: float, bins: NDArray[np.bool_], with_errors: NDArray[np.bool_]) -> None:
        """Fit bins at a value, and keep what other bins have there."""
        delta = np.where(bins, np.where(with_errors, self._delta, 0.0), np.nan)
        made = self._fits(self._of.at(value), delta, self._progress(0.05))
        if (old := self.rows.get(value)) is not None:
            sets = np.repeat(bins, np.diff(self._fits.spectra.offsets))
            made = Rows(np.where(bins[:, np.newaxis], made.values, old.values), np.where(bins, made.flags, old.flags),
                        made.evaluations + old.evaluations, np.where(sets[:, np.newaxis], made.amounts, old.amounts))
            bins, with_errors = bins | self._tried[value], with_errors | self._with_errors[value]
        self.rows[value], self._tried[value], self._with_errors[value] = made, bins, with_errors

    def _rises(self) -> Floats:
        """Return the statistics (values, bins) above the least of each bin; NaN where a bin was not fitted."""
        table = np.stack([self.rows[value].values[:, STATISTIC] for value in sorted(self.rows)])
        least = np.min(np.where(np.isfinite(table), table, np.inf), axis=0)
        return np.asarray(table - np.where(np.isfinite(least), least, np.nan))

    def _wanted(self) -> list["_Interval"]:
        """Return the intervals to halve, those first that most bins need."""
        nearest = _NEAREST * (self._of.nodes[-1] - self._of.nodes[0])
        found = []
        for each in self._steep():
            bins = each.bins & ~self._tried.get(each.middle, np.False_)
            if each.width > nearest and bins.any():
                found.append(replace(each, bins=bins, shallow=each.shallow & bins))
        return sorted(found, key=lambda each: -np.count_nonzero(each.bins))

    def _steep(self) -> list["_Interval"]:
        """Return the intervals in which the statistic of a bin is low at one end, and high at the other.

        Each bin has values of its own: its intervals are those between two of these.
        """
        values, rises = np.array(sorted(self.rows)), self._rises()
        above = np.full(rises.shape[1], -1)  # the next value of each bin
        found = []
        for low in range(len(values) - 1, -1, -1):
            known = np.isfinite(rises[low])
            for high in np.unique(above[known & (above >= 0)]).tolist():
                ends = rises[[low, high]]
                bins = known & (above == high)
                bins &= (ends.min(axis=0) < self._delta) & (ends.max(axis=0) > _STEEP * self._delta)
                if bins.any():
                    middle, width = 0.5 * float(values[low] + values[high]), float(values[high] - values[low])
                    found.append(_Interval(middle, width, bins, bins & (ends.max(axis=0) < _SHALLOW * self._delta)))
            above[known] = low
        return found


@dataclass(frozen=True, eq=False)
class _Interval:
    """An interval between two values that is to be halved, and the bins (bins,) that need it."""

    middle: float
    width: float
    bins: NDArray[np.bool_]
    shallow: NDArray[np.bool_]
    """Those of the bins whose statistic is low enough at the middle, as it seems, that errors are needed there."""


def rising_progress(progress: Callable[[float], object] | None) -> Callable[[float], Any]:
    """Return what gives each call of the kernel its part of the work that is left, for a number of calls not known."""
    done = 0.0

    def part(share: float) -> Any:
        nonlocal done
        first, done = done, done + share * (1 - done)
        last = done
        if progress is None:
            return None
        progress(first)
        return lambda fraction: progress(first + fraction * (last - first))

    return part
