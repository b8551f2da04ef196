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
# Values at which a bin is fitted at most, where the value is free, and how near they may be, as a part of the range.
_MOST_OF_BIN, _NEAREST = 200, 1e-4
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
             ) -> tuple[Rows, Values, NDArray[np.bool_], NDArray[np.bool_]]:
    """Fit all bins, with a value of its own in each bin that is ``free``, and the given one in the others.

    Returns the results, the values with their errors, where the value is at a limit, and the bins whose profile is too
    coarse for errors. Results and errors are those of the profile over the value too: each bin is fitted at several
    values, which are made denser where its statistic rises steeply. Warns of bins whose profile is still too coarse
    then; the errors of their value are NaN.
    """
    rows = fits(of.family.given, np.where(free, np.nan, delta), progress(0.05))
    values, at_limit = Values.fixed(of.given, free.size), np.zeros(free.size, np.bool_)
    search = _FreeSearch(fits, of, delta, progress)
    search.run(free)
    progress(1)
    coarse, offsets = search.coarse(), fits.spectra.offsets
    for place in np.flatnonzero(free):
        found = search.of_bins[place]
        nodes = sorted(value for value, each in found.items() if np.isfinite(each.row[STATISTIC]))
        rows.evaluations[place] = search.evaluations[place]
        if not nodes:
            rows.flags[place] = np.bitwise_or.reduce([each.flags for each in found.values()])
            values.value[place] = np.nan
            continue
        known = [found[value] for value in nodes]
        made = profiled(np.array(nodes), np.stack([each.row for each in known]),
                        np.array([each.flags for each in known], np.int32), delta)
        rows.values[place], rows.flags[place] = made.row, made.flags
        nearest = known[np.argmin(np.abs(np.array(nodes) - made.value))]
        rows.amounts[offsets[place]: offsets[place + 1]] = nearest.amounts
        values.value[place], values.low[place], values.high[place] = made.value, made.low, made.high
        at_limit[place] = made.value <= of.nodes[0] or made.value >= of.nodes[-1]
    values.low[coarse] = values.high[coarse] = np.nan
    return rows, values, at_limit, coarse


@dataclass(frozen=True, eq=False)
class _AtValue:
    """The results of one bin at one value."""

    row: Floats
    flags: int
    amounts: Floats


class _FreeSearch:
    """Fits of bins at values that are dense near the least statistic of each bin.

    Each bin is fitted at values that it needs, with errors at those whose statistic is near the least.
    """

    def __init__(self, fits: Fits, of: Varied, delta: float, progress: Any) -> None:
        bins = fits.spectra.bins.size
        self.of_bins: list[dict[float, _AtValue]] = [{} for _ in range(bins)]
        self.evaluations = np.zeros(bins, np.int32)
        self._fits, self._of, self._delta, self._progress = fits, of, delta, progress
        self._nearest = _NEAREST * float(of.nodes[-1] - of.nodes[0])
        self._statistics: dict[float, Floats] = {}
        self._tried: dict[float, NDArray[np.bool_]] = {}
        self._with_errors: dict[float, NDArray[np.bool_]] = {}

    def run(self, free: NDArray[np.bool_]) -> None:
        """Fit the bins that are free, until each has errors near its least statistic and no interval is wanted."""
        nothing = np.zeros(free.size, np.bool_)
        for value in self._of.nodes.tolist():
            self._fit(value, free, nothing)
        while wanted := self._wanted() or self._without_errors():  # fits with errors may find lower minima
            for each in wanted:
                self._fit(each.middle, each.bins, each.shallow)

    def coarse(self) -> NDArray[np.bool_]:
        """Return the bins whose profile is too coarse for errors, with a warning for each cause."""
        left = np.zeros((2, self.evaluations.size), np.bool_)
        failed = left[0].copy()
        for each in self._steep():
            left[int(each.width > self._nearest)] |= each.bins
            failed |= each.bins & self._tried.get(each.middle, np.False_)
        too_many = left[1] & ~failed
        too_steep = left[0] & ~failed & ~too_many
        name = self._of.name
        for bins, what in ((failed, f"could not be found at a value of {name} near its minimum"),
                           (too_many, f"is not known well after fits at {_MOST_OF_BIN} values of {name}"),
                           (too_steep, f"changes by more than {_STEEP - 1:g} times the rise of errors between values "
                            f"of {name} that are {self._nearest:.2g} apart")):
            if bins.any():
                warn(f"the statistic of {counted(np.count_nonzero(bins), 'bin')}, the first is "
                     f"{self._fits.spectra.bins[bins][0]}, {what}: errors of {name} are left out, and those of kT, "
                     f"abundance and norm are coarse; narrow the range of {name}")
        return np.asarray(failed | left.any(axis=0))

    def _fit(self, value: float, bins: NDArray[np.bool_], with_errors: NDArray[np.bool_]) -> None:
        """Fit bins at a value, and keep what other bins have there."""
        delta = np.where(bins, np.where(with_errors, self._delta, 0.0), np.nan)
        made = self._fits(self._of.at(value), delta, self._progress(0.05))
        offsets = self._fits.spectra.offsets
        for place in np.flatnonzero(bins).tolist():  # copies of rows: most bins are not fitted at most values
            self.of_bins[place][value] = _AtValue(made.values[place].copy(), int(made.flags[place]),
                                                  made.amounts[offsets[place]: offsets[place + 1]].copy())
        self.evaluations += made.evaluations
        statistics = self._statistics.get(value, np.nan)
        self._statistics[value] = np.where(bins, made.values[:, STATISTIC], statistics)
        self._tried[value] = bins | self._tried.get(value, np.False_)
        self._with_errors[value] = with_errors | self._with_errors.get(value, np.False_)

    def _rises(self) -> Floats:
        """Return the statistics (values, bins) above the least of each bin; NaN where a bin was not fitted."""
        table = np.stack([self._statistics[value] for value in sorted(self._statistics)])
        least = np.min(np.where(np.isfinite(table), table, np.inf), axis=0)
        return np.asarray(table - np.where(np.isfinite(least), least, np.nan))

    def _wanted(self) -> list["_Interval"]:
        """Return the intervals to halve, for the bins that may be fitted at more values."""
        left = _MOST_OF_BIN - np.sum(list(self._tried.values()), axis=0)
        found = []
        for each in self._steep():
            bins = each.bins & ~self._tried.get(each.middle, np.False_) & (left > 0)
            if each.width > self._nearest and bins.any():
                left -= bins
                found.append(replace(each, bins=bins, shallow=each.shallow & bins))
        return found

    def _without_errors(self) -> list["_Interval"]:
        """Return the values at which bins are near their least statistic, and have no errors."""
        found = []
        for value, rise in zip(sorted(self._statistics), self._rises(), strict=True):
            near = (rise < WITHIN * self._delta) & ~self._with_errors[value]
            if near.any():
                found.append(_Interval(value, 0.0, near, near))
        return found

    def _steep(self) -> list["_Interval"]:
        """Return the intervals in which the statistic of a bin is low at one end, and high at the other.

        Each bin has values of its own: its intervals are those between two of these.
        """
        values, rises = np.array(sorted(self._statistics)), self._rises()
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
