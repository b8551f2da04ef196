"""The fit of one bin by Sherpa. Only `fit_bin` imports Sherpa; it may run in a process of its own."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chandra_bin._checks.array_types import Floats

from .backgrounds import STATISTICS
from .engines import MEMBERS
from .results import ABUNDANCE_WITHOUT_EFFECT, FLAGS
from .sherpa_data import BinToFit, Part
from .statistics import cstat_expectation, profiled_background

_C, _W, _CHI2 = (STATISTICS[name] for name in ("cstat", "wstat", "chi2"))
# Temperatures at which the statistic is computed to find where searches begin, and the number of these.
_SCAN, _MOST_STARTS = 16, 3
# A value this close to a limit, as a part of it, is at the limit.
_AT_LIMIT = 1e-4
# Another minimum that is less than this above the best one is flagged, as the kernel does.
_SECOND = 1.0
_FIRST_ABUNDANCE = 0.3
# How often the variances of chi-square follow the model.
_PASSES = 3
# The least variance of counts, that of the kernel.
_LEAST_VARIANCE = 1e-3
# Where the simplex ends: by default it stops within 0.02 of an error.
_FTOL = 1e-13
# The precision of the ends of errors, of Sherpa's conf.
_EPS = 3e-3

@dataclass(frozen=True, eq=False)
class FittedBin:
    """The fit of a bin: `MEMBERS`, flags, how often the statistic was computed, and the amounts of backgrounds."""

    values: Floats
    flags: int
    evaluations: int
    amounts: Floats
    """(datasets, components), in the order of `BinToFit.sets`."""


def fit_bin(given: BinToFit) -> FittedBin:
    """Fit one bin by Sherpa."""
    missing = FLAGS["response missing"] if given.has_missing else 0
    if not given.parts:
        return FittedBin(np.full(len(MEMBERS), np.nan), FLAGS["no data"] | missing, 0, np.zeros((0, 1)))
    with _quiet():
        made = _Search(given).run()
    return replace(made, flags=made.flags | missing)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Sherpa's notes on each fit."""
    import sherpa  # noqa: F401 - it sets the level itself

    logger = logging.getLogger("sherpa")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        logger.setLevel(level)


@dataclass(frozen=True)
class _Minimum:
    statistic: float
    kt: float
    abundance: float
    norm: float
    converged: bool


class _Search:
    """The search for the minimum of one bin. The norm is fitted in units of its first estimate."""

    def __init__(self, given: BinToFit) -> None:
        from sherpa.data import DataSimulFit
        from sherpa.models import SimulFitModel
        from sherpa.stats import Chi2, CStat, WStat

        from .sherpa_models import BackgroundCStat, FoldedGas

        self._given = given
        self._evaluations = 0
        has_effect = any(part.model[:, 1].any() for part in given.parts)
        self._without_effect = math.isnan(given.fixed_abundance) and not has_effect
        self._is_abundance_free = math.isnan(given.fixed_abundance) and has_effect
        net = sum(float(np.sum(part.counts - (1 if part.kind == _C else part.ratio) * part.background))
                  for part in given.parts)
        self._unit = max(net, 1.0) / max(self._folded(float(np.sqrt(np.prod(given.kt_limits)))), 1e-300)
        low, high = given.abundance_limits
        fixed = 0.0 if self._without_effect else given.fixed_abundance
        abundances = (low, high) if self._is_abundance_free else (fixed - 1, fixed + 1)
        gases: list[FoldedGas] = []
        for part in given.parts:
            gases.append(FoldedGas(given.kt_kev, self._unit * part.model, part.expected, given.kt_limits, abundances))
        self._gas = gases[0]
        self._gas.abundance.val = fixed if not self._is_abundance_free else min(max(_FIRST_ABUNDANCE, low), high)
        self._gas.abundance.frozen = not self._is_abundance_free
        for other in gases[1:]:
            other.kt, other.abundance, other.norm = self._gas.kt, self._gas.abundance, self._gas.norm
        self._data = [_data_of(part) for part in given.parts]
        self._simultaneous = DataSimulFit("bin", self._data), SimulFitModel("bin", gases)
        self._is_chi2 = given.parts[0].kind == _CHI2
        kinds = {part.kind for part in given.parts}
        statistics = {_C: CStat, _W: WStat, _CHI2: Chi2}
        self._statistic = BackgroundCStat() if len(kinds) > 1 else statistics[kinds.pop()]()

    def run(self) -> FittedBin:
        """Return the fit."""
        from sherpa.utils.err import EstErr, FitErr

        minima = [self._minimised(start) for start in self._starts()]
        if self._is_chi2:
            for _ in range(_PASSES):
                self._set_variances(min(minima, key=lambda each: each.statistic))
                minima = [self._minimised(each) for each in minima]
        best = min(minima, key=lambda each: each.statistic)
        self._set(best)
        values = dict.fromkeys(MEMBERS, math.nan)
        flags = ABUNDANCE_WITHOUT_EFFECT if self._without_effect else 0
        try:
            best = self._add_errors(values, best) if self._given.delta > 0 else best
        except (EstErr, FitErr):  # all errors stay open
            self._set(best)
        if not self._add_covariance(values, best):
            flags |= FLAGS["degenerate"]
        values.update(kt=best.kt, abundance=best.abundance, norm=best.norm, statistic=best.statistic)
        values["expected"], values["variance"] = self._expectation(best)
        flags |= self._flags(values, best) | self._add_second(values, best, minima)
        for name in ("norm", "norm_low", "norm_high", "norm_at_kt_low", "norm_at_kt_high"):
            values[name] *= self._unit
        sources = zip(self._given.parts, self._source_counts(best), strict=True)
        amounts = [part.amounts(source) for part, source in sources if part.kind == _C]
        return FittedBin(np.array([values[name] for name in MEMBERS]), flags, self._evaluations,
                         amounts[0] if amounts else np.zeros((0, 1)))

    def _starts(self) -> list[_Minimum]:
        """Return the lowest local minima of the statistic along kT, with norms from the net counts."""
        scan = []
        for kt in np.geomspace(*self._given.kt_limits, _SCAN).tolist():
            norm = self._folded(float(np.sqrt(np.prod(self._given.kt_limits)))) / max(self._folded(kt), 1e-300)
            at = _Minimum(0.0, kt, self._gas.abundance.val, norm, False)
            self._set(at)
            statistic = float(self._fit().calc_stat())
            self._evaluations += 1
            scan.append(_Minimum(statistic, kt, at.abundance, norm, False))
        walls = [math.inf, *(each.statistic for each in scan), math.inf]
        low = [each for i, each in enumerate(scan) if walls[i] >= each.statistic <= walls[i + 2]]
        return sorted(low, key=lambda each: each.statistic)[:_MOST_STARTS]

    def _minimised(self, start: _Minimum) -> _Minimum:
        """Return the minimum that Sherpa finds: by Levenberg and Marquardt, and then by a simplex from there.

        The model has kinks at table points, at which the first may stop.
        """
        from sherpa.optmethods import LevMar, NelderMead

        self._set(start)
        simplex = NelderMead()
        simplex.config["ftol"] = _FTOL
        for method in (LevMar(), simplex):
            made = self._fit(method).fit()
            self._evaluations += made.nfev
        return self._here(made.statval, made.succeeded)

    def _add_errors(self, values: dict[str, float], best: _Minimum) -> _Minimum:
        """Add the ends of the errors; return the best minimum, which the profiles may have met."""
        from sherpa.estmethods import Confidence
        from sherpa.optmethods import NelderMead

        limits = Confidence()
        limits.config.update(sigma=math.sqrt(self._given.delta), parallel=False, max_rstat=math.inf, eps=_EPS)
        found = self._fit(NelderMead(), limits).est_errors()
        self._evaluations += found.nfits
        best = self._here(self._fit().calc_stat(), best.converged)
        for name, value, low, high in zip(found.parnames, found.parvals, found.parmins, found.parmaxes, strict=True):
            member = name.rpartition(".")[2]
            for side, error in (("low", low), ("high", high)):
                if error is not None and math.isfinite(error):
                    values[f"{member}_{side}"] = value + error
        for fixed, other in (("kt", "norm"), ("norm", "kt")):
            for side in ("low", "high"):
                values[f"{other}_at_{fixed}_{side}"] = self._other_at(fixed, values[f"{fixed}_{side}"], other, best)
        return best

    def _other_at(self, fixed: str, end: float, other: str, best: _Minimum) -> float:
        """Return the value of one parameter where another is held at the end of its error, and all others refitted."""
        from sherpa.optmethods import NelderMead

        if math.isnan(end):
            return math.nan
        self._set(best)
        held = getattr(self._gas, fixed)
        held.val = end
        held.freeze()
        try:
            self._evaluations += self._fit(NelderMead()).fit().nfev
            return float(getattr(self._gas, other).val)
        finally:
            held.thaw()
            self._set(best)

    def _add_covariance(self, values: dict[str, float], best: _Minimum) -> bool:
        """Add the covariance of (ln kT, Z, ln norm), the inverse of the Fisher matrix; return whether there is one.

        The matrix is that of the profile over the amounts of the background, the Schur complement of theirs.
        Sherpa's own covariance is of second differences, which the kinks of the model at table points spoil.
        """
        places = [0, 1, 2] if self._is_abundance_free else [0, 2]
        fisher = np.zeros((len(places), len(places)))
        grid = self._given.kt_kev
        upper = int(np.clip(np.searchsorted(grid, best.kt, side="right"), 1, len(grid) - 1))
        for part, source, weight in zip(self._given.parts, self._source_counts(best), self._weights(best), strict=True):
            slope, of_metals = (part.model[upper] - part.model[upper - 1]) / (grid[upper] - grid[upper - 1])
            metals = self._at(part, best.kt)[1]
            norm = self._unit * best.norm
            by = np.stack([best.kt * norm * (slope + best.abundance * of_metals), norm * metals, source])[places]
            by = np.pad(by, ((0, 0), (0, weight.size - source.size)))
            amounts = part.slopes_by_amounts(source)
            mixed = (by * weight) @ amounts.T
            fisher += (by * weight) @ by.T - mixed @ np.linalg.pinv((amounts * weight) @ amounts.T) @ mixed.T
        try:
            matrix = np.linalg.inv(fisher)
        except np.linalg.LinAlgError:
            return False
        if not np.all(np.diag(matrix) > 0):
            return False
        whole = np.zeros((3, 3))
        whole[np.ix_(places, places)] = matrix
        first = MEMBERS.index("var_lnkt")
        values.update(zip(MEMBERS[first:first + 6], whole[np.triu_indices(3)].tolist(), strict=True))
        return True

    def _weights(self, at: _Minimum) -> list[Floats]:
        """Return the inverse variances of the data of each part, by the model."""
        made = []
        for part, data, source in zip(self._given.parts, self._data, self._source_counts(at), strict=True):
            if part.kind == _C:
                variance = part.expected(source)
            elif part.kind == _W:
                off = profiled_background(part.counts, part.background, source, part.ratio)
                variance = source + part.ratio * (1 + part.ratio) * off
            else:
                variance = data.staterror**2
            made.append(1 / np.maximum(variance, _LEAST_VARIANCE))
        return made

    def _add_second(self, values: dict[str, float], best: _Minimum, minima: list[_Minimum]) -> int:
        """Add the best other minimum, outside the error of kT; return its flag."""
        low, high = (end if math.isfinite(end) else limit for end, limit in
                     zip((values["kt_low"], values["kt_high"]), self._given.kt_limits, strict=True))
        others = [each for each in minima if not low <= each.kt <= high]
        if not others:
            return 0
        second = min(others, key=lambda each: each.statistic)
        values["second_kt"], values["second_delta"] = second.kt, second.statistic - best.statistic
        return FLAGS["second minimum"] if values["second_delta"] < _SECOND else 0

    def _flags(self, values: dict[str, float], best: _Minimum) -> int:
        flags = 0 if best.converged else FLAGS["no minimum"]
        if _is_at_limit(best.kt, self._given.kt_limits):
            flags |= FLAGS["kT at limit"]
        if self._is_abundance_free and _is_at_limit(best.abundance, self._given.abundance_limits):
            flags |= FLAGS["abundance at limit"]
        if self._given.delta == 0:
            return flags
        if any(math.isnan(values[f"{name}_{side}"]) for name in ("kt", "norm") for side in ("low", "high")):
            flags |= FLAGS["error open"]
        if self._is_abundance_free and math.isnan(values["abundance_low"] + values["abundance_high"]):
            flags |= FLAGS["abundance open"]
        return flags

    def _expectation(self, at: _Minimum) -> tuple[float, float]:
        """Return expected value and variance of the statistic: for the W-statistic a guide, as the kernel has it."""
        total = np.zeros(2)
        for part, model in zip(self._given.parts, self._source_counts(at), strict=True):
            source = np.maximum(model, 0)
            if part.kind == _CHI2:
                total += source.size, 2.0 * source.size
            elif part.kind == _C:
                total += np.sum(part.terms * np.stack(cstat_expectation(part.expected(source))), axis=1)
            else:
                off = profiled_background(part.counts, part.background, source, part.ratio)
                on, behind = source + part.ratio * off, part.ratio**2 * off
                known = on + behind > 0
                for expected, weight in ((on, on), (off, behind)):
                    moments = np.stack(cstat_expectation(expected[known]))
                    total += np.sum(moments * (weight[known] / (on + behind)[known]), axis=1)
        return float(total[0]), float(total[1])

    def _set_variances(self, at: _Minimum) -> None:
        """Set the variances of chi-square by the model, with the background as counted."""
        for part, data, model in zip(self._given.parts, self._data, self._source_counts(at), strict=True):
            behind = part.ratio * part.background
            variance = np.maximum(model, 0) + behind + part.ratio * behind
            data.staterror = np.sqrt(np.maximum(variance, _LEAST_VARIANCE))

    def _source_counts(self, at: _Minimum) -> list[Floats]:
        models = (self._at(part, at.kt) for part in self._given.parts)
        return [self._unit * at.norm * (pure + at.abundance * metals) for pure, metals in models]

    def _at(self, part: Part, kt: float) -> Floats:
        """Return the model of a part at one temperature, (2, groups)."""
        from .sherpa_models import between

        return between(self._given.kt_kev, part.model, kt)

    def _folded(self, kt: float) -> float:
        """Return the counts of norm 1 at the temperature of the grid above kT."""
        place = min(int(np.searchsorted(self._given.kt_kev, kt)), len(self._given.kt_kev) - 1)
        fixed = self._given.fixed_abundance
        abundance = _FIRST_ABUNDANCE if math.isnan(fixed) else fixed
        return float(sum(np.maximum(part.model[place, 0] + abundance * part.model[place, 1], 0).sum()
                         for part in self._given.parts))

    def _fit(self, method: Any = None, errors: Any = None) -> Any:
        from sherpa.fit import Fit

        return Fit(*self._simultaneous, self._statistic, method, errors)

    def _set(self, at: _Minimum) -> None:
        self._gas.kt.val, self._gas.norm.val = at.kt, at.norm
        if self._is_abundance_free:
            self._gas.abundance.val = at.abundance

    def _here(self, statistic: float, converged: bool) -> _Minimum:
        gas = self._gas
        return _Minimum(float(statistic), gas.kt.val, gas.abundance.val, gas.norm.val, bool(converged))


def _data_of(part: Part) -> Any:
    """Return the counts of a part as data of Sherpa, with a background for the W-statistic."""
    from sherpa.astro.data import DataPHA
    from sherpa.data import Data1D

    channels = np.arange(1, part.data.size + 1)
    if part.kind == _W:
        data = DataPHA("W", channels, part.counts, exposure=1.0, backscal=np.ones(channels.size))
        data.set_background(DataPHA("background", channels, part.background, exposure=1.0, backscal=1 / part.ratio))
        return data
    if part.kind == _C:
        return Data1D("C", channels, part.data)
    behind = part.ratio * part.background
    # To begin with, errors by the counts (Gehrels 1986).
    first = np.hypot(1 + np.sqrt(part.counts + 0.75),
                     np.where(part.ratio > 0, part.ratio * (1 + np.sqrt(part.background + 0.75)), 0))
    return Data1D("chi2", channels, part.counts - behind, staterror=first)


def _is_at_limit(value: float, limits: tuple[float, float]) -> bool:
    low, high = limits
    return value - low < _AT_LIMIT * abs(low) or high - value < _AT_LIMIT * abs(high)

