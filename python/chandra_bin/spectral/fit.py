"""Fits of a thermal model to the spectra of all bins: temperature, abundance and norm of each, with errors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin._checks.arrays import as_progress, as_threads
from chandra_bin._checks.options import POSITIVE, Limits, Options, documented, option
from chandra_bin.errors import InputError

from .backgrounds import BackgroundModel, Statistic, background_model
from .binned import MISSING, BinSpectra
from .engines import (
    ABUNDANCE,
    COVARIANCE,
    EXPECTED,
    KT,
    KT_AT_NORM,
    NORM,
    NORM_AT_KT,
    SECOND_DELTA,
    SECOND_KT,
    STATISTIC,
    VARIANCE,
    Engine,
    Fits,
    Rows,
)
from .families import TemplateFamily, given_templates
from .fit_kernel import KernelEngine
from .results import ABUNDANCE_WITHOUT_EFFECT, FLAGS, FitResult, VariedAs, reasons_of
from .templates import Templates
from .varied import Values, fit_free, fit_tied, rising_progress, varied

# Bins whose statistic is this many sigma off its expectation are flagged.
_POOR = 4.0


_FINITE = Limits(lambda _number: True, "it must be finite")


@documented
@dataclass(frozen=True, repr=False)
class FitOptions(Options):
    """How bins are fitted. Raises `InputError` for an option that is out of range."""

    statistic: Statistic = option("cstat", "C-statistic with the expected background, W-statistic on groups of 3 "
                                  "background counts, or chi-square on groups of 25 counts.")
    abundance: float | None = option(None, "Abundance of all bins, which fixes it.", unit="solar", symbol="Z",
                                     otherwise="free", limits=_FINITE)
    min_counts_abundance: float = option(
        500, "Net counts below which the abundance of a bin is fixed at abundance_few.", unit="counts", symbol="N",
        limits=Limits(lambda number: number >= 0, "it must be 0 or more"))
    abundance_few: float = option(0.3, "Abundance of bins with few counts.", unit="solar", symbol="Z", limits=_FINITE)
    abundance_min: float = option(-1.0, "Lower limit of the abundance. Below 0 it keeps means over bins without bias.",
                                  unit="solar", symbol="Z", limits=_FINITE)
    abundance_max: float = option(5.0, "Upper limit of the abundance.", unit="solar", symbol="Z", limits=_FINITE)
    kt_min: float = option(0.3, "Lower limit of kT, not below that of the templates.", unit="keV", symbol="KT",
                           limits=POSITIVE)
    kt_max: float = option(25.0, "Upper limit of kT, not above that of the templates.", unit="keV", symbol="KT",
                           limits=POSITIVE)
    confidence: float = option(0.683, "Confidence of the errors, which come from the profile likelihood.", symbol="P",
                               limits=Limits(lambda number: 0 < number < 1, "it must be above 0 and below 1"))
    min_significance: float = option(3.0, "Net counts of a bin over their noise, below which it is not fitted.",
                                     symbol="S", limits=Limits(lambda number: number >= 0, "it must be 0 or more"))
    nh_is: VariedAs = option("fixed", "Column density: the given one (fixed), the best one for all bins together "
                             "(tied), or a best one for each bin (free).")
    redshift_is: VariedAs = option("fixed", "Redshift: the given one (fixed), the best one for all bins together "
                                   "(tied), or a best one for each bin (free).")
    nh_max: float = option(1.0, "Upper limit of a column density that is tied or free.", unit="1e22 cm-2", symbol="NH",
                           limits=Limits(lambda number: 0 < number <= 100, "it must be above 0 and up to 100"))
    redshift_within: float = option(0.05, "How far a tied or free redshift may be from the given one.", symbol="DZ",
                                    limits=Limits(lambda number: 0 < number <= 1, "it must be above 0 and up to 1"))
    min_counts_free: float = option(
        3000, "Net counts below which a bin keeps the given column density or redshift where it is free.",
        unit="counts", symbol="N", limits=Limits(lambda number: number >= 0, "it must be 0 or more"))
    max_background: float = option(5.0, "Background counts over net counts, above which a bin is flagged.", symbol="R",
                                   limits=POSITIVE)

    def __post_init__(self) -> None:
        """Check each value, and the limits against each other."""
        super().__post_init__()
        if not self.abundance_min < self.abundance_max:
            raise InputError(f"abundance_min is {self.abundance_min:g}: it must be below abundance_max, "
                             f"{self.abundance_max:g}")
        if not self.kt_min < self.kt_max:
            raise InputError(f"kt_min is {self.kt_min:g}: it must be below kt_max, {self.kt_max:g}")
        if "fixed" not in (self.nh_is, self.redshift_is):
            raise InputError(f"nh_is is {self.nh_is!r} and redshift_is is {self.redshift_is!r}: vary one of them, and "
                             "fix the other")

    @property
    def varies(self) -> Literal["nh", "redshift"] | None:
        """The quantity that is not fixed."""
        return "nh" if self.nh_is != "fixed" else "redshift" if self.redshift_is != "fixed" else None

    @property
    def delta(self) -> float:
        """The rise of the statistic at the ends of errors: 1 for 68.3 %, 2.706 for 90 %."""
        from scipy.stats import chi2

        return float(chi2.ppf(self.confidence, 1))


def fit_bins(spectra: BinSpectra, templates: Templates | TemplateFamily, options: FitOptions | None = None, *,
             threads: int = 1, progress: Callable[[float], object] | None = None,
             engine: Engine | None = None) -> FitResult:
    """Fit kT, abundance and norm of each bin to all its data sets at once.

    Parameters
    ----------
    spectra : BinSpectra
        Counts, backgrounds, exposures and weights of the responses.
    templates : Templates or TemplateFamily
        The model folded through the responses; a family where the column density or the redshift is tied or free.
    options : FitOptions, optional
    threads : int
        Threads that fit bins; the results do not depend on it.
    progress : callable, optional
        Called with the fraction done; what it raises stops the work.
    engine : Engine, optional
        It minimises the statistic: `SherpaEngine`, or by default the compiled kernel.

    Returns
    -------
    FitResult
        Each bin has a reason; no value is NaN without one.

    Raises
    ------
    InputError
        For spectra and templates of other channels or responses, limits of kT outside the templates, and a column
        density or redshift that varies without a family of templates or is outside its limits.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin.spectral import BinSpectra, Templates, fit_bins
    >>> energy, kt = np.linspace(0.5, 7, 200), np.geomspace(0.5, 15, 60)
    >>> rates = np.zeros((1, 60, 2, 200))
    >>> rates[0, :, 0] = np.exp(-energy / kt[:, None]) / np.sqrt(kt[:, None])
    >>> templates = Templates(kt, rates, 1, False, "exponential")
    >>> counts = np.random.default_rng(1).poisson(1e5 * 1e-3 * np.exp(-energy / 4) / 2)[None]
    >>> spectra = BinSpectra(bin=[0], counts=counts, exposure_s=[1e5], weight_offsets=[0, 1], weight_response=[0],
    ...                      weight=[1.0])
    >>> fit = fit_bins(spectra, templates)
    >>> str(fit.reason[0]), bool(abs(fit.kt[0] - 4) < 3 * fit.kt_high[0])
    ('ok', True)
    """
    options = FitOptions.or_defaults(options)
    return fit_with_background(spectra, templates, options, background_model(spectra, options.statistic),
                               threads=threads, progress=progress, engine=engine)


def fit_with_background(spectra: BinSpectra, templates: Templates | TemplateFamily, options: FitOptions,
                        model: BackgroundModel, *, threads: int = 1, progress: Callable[[float], object] | None = None,
                        engine: Engine | None = None) -> FitResult:
    """Fit bins as `fit_bins` does, with the background model of these spectra and of the statistic of the options."""
    given = given_templates(templates)
    _check_together(spectra, given)
    net, background, noise = _net_counts(spectra, fitted_sets(spectra))
    fixed = _fixed_abundance(options, given, net)
    fits = Fits(engine or KernelEngine(), spectra, model, _kt_limits(options, given),
                (options.abundance_min, options.abundance_max), fixed, as_threads(threads))
    enough = (net > 0) & (net >= options.min_significance * noise)
    made = _fitted(fits, templates, options, enough, net >= options.min_counts_free, as_progress(progress))
    made.rows.flags[background > options.max_background * np.maximum(net, 0)] |= FLAGS["background dominated"]
    without_effect = _remove_unfit(made.rows, enough, given.has_abundance)
    return _result(spectra, made, options, engine=fits.engine.name, net_counts=net, background_counts=background,
                   abundance_fixed=~np.isnan(fixed) | without_effect)


def _remove_unfit(rows: Rows, enough: NDArray[np.bool_], has_abundance: bool) -> NDArray[np.bool_]:
    """Put NaN for values that no data stand behind; return where the abundance is without effect."""
    flags = rows.flags
    flags[(flags & FLAGS["no data"] == 0) & ~enough] |= FLAGS["too few counts"]
    unfit = FLAGS["no data"] | FLAGS["too few counts"] | FLAGS["degenerate"] | FLAGS["no minimum"]
    rows.values[flags & unfit != 0] = np.nan
    without_effect: NDArray[np.bool_] = flags & ABUNDANCE_WITHOUT_EFFECT != 0
    rows.values[without_effect | (not has_abundance), ABUNDANCE: ABUNDANCE + 3] = np.nan
    return without_effect


@dataclass(frozen=True, eq=False)
class _Fitted:
    """Results of the engine, the column density and redshift of each bin, and the model in words."""

    rows: Rows
    nh: Values
    redshift: Values
    model: str


def _fitted(fits: Fits, templates: Templates | TemplateFamily, options: FitOptions,
            enough: NDArray[np.bool_], many: NDArray[np.bool_], progress: Any) -> _Fitted:
    """Fit all bins, with column density and redshift as the options have it."""
    bins = enough.size
    given = given_templates(templates)
    others = {"nh": Values.fixed(given.nh, bins), "redshift": Values.fixed(given.redshift, bins)}
    if (name := options.varies) is None:
        return _Fitted(fits(given, np.full(bins, options.delta), progress), **others, model=given.model)
    if not isinstance(templates, TemplateFamily):
        raise InputError(f"{name}_is is {getattr(options, f'{name}_is')!r}, and the templates have one {name}: give a "
                         "TemplateFamily")
    of = varied(templates, name, options.nh_max, options.redshift_within)
    if getattr(options, f"{name}_is") == "tied":
        rows, values, at_best = fit_tied(fits, of, enough, options.delta, rising_progress(progress))
        return _Fitted(rows, **{**others, name: values}, model=f"{at_best.model}; tied {name}")
    rows, values, at_limit, coarse = fit_free(fits, of, enough & many, options.delta, rising_progress(progress))
    open_error = (enough & many & np.isfinite(values.value) & ~at_limit & ~coarse
                  & np.isnan(values.low + values.high))
    words = {"nh": "nH", "redshift": "redshift"}[name]
    rows.flags[at_limit] |= FLAGS[f"{words} at limit"]
    rows.flags[open_error] |= FLAGS[f"{words} open"]
    rows.flags[coarse] |= FLAGS[f"{words} coarse"]
    return _Fitted(rows, **{**others, name: values}, model=f"{given.model}; free {name}")


def predicted_counts(spectra: BinSpectra, templates: Templates, dataset: int, parameters: tuple[float, float, float]
                     ) -> Floats:
    """Return the expected source counts (channels,) of a data set.

    Parameters
    ----------
    spectra, templates
        As for `fit_bins`.
    dataset : int
        Its place in ``spectra``.
    parameters : (kT in keV, abundance, norm)
        kT outside the templates is taken for the nearest of them.

    Returns
    -------
    array (channels,) of float64

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin.spectral import BinSpectra, Templates, predicted_counts
    >>> at_2_kev, at_4_kev = [[8.0, 2.0], [1.0, 0.0]], [[6.0, 4.0], [0.5, 0.5]]  # each without metals, and of metals
    >>> templates = Templates(np.array([2.0, 4.0]), np.array([[at_2_kev, at_4_kev]]), 1, True, "two channels")
    >>> spectra = BinSpectra(bin=[0], counts=[[700, 300]], exposure_s=[1000.0], weight_offsets=[0, 1],
    ...                      weight_response=[0], weight=[1.0])
    >>> predicted_counts(spectra, templates, 0, (3.0, 0.4, 0.1)).tolist()
    [730.0, 310.0]
    """
    kt, abundance, norm = parameters
    begin, end = spectra.weight_offsets[dataset:dataset + 2]
    grid = templates.kt_kev
    j = int(np.clip(np.searchsorted(grid, kt, side="right") - 1, 0, grid.size - 2))
    part = np.clip((kt - grid[j]) / (grid[j + 1] - grid[j]), 0, 1)
    made = np.zeros(spectra.counts.shape[1])
    for response, weight in zip(spectra.weight_response[begin:end], spectra.weight[begin:end], strict=True):
        low, high = templates.rates[response, j], templates.rates[response, j + 1]
        rates = low + part * (high - low)
        made += weight * (rates[0] + (0 if np.isnan(abundance) else abundance) * rates[1])
    return np.asarray(made * spectra.exposure_s[dataset] * norm)


def _check_together(spectra: BinSpectra, templates: Templates) -> None:
    """Raise `InputError` where the templates are not those of the spectra."""
    rates = np.asarray(templates.rates)
    kt = np.asarray(templates.kt_kev, np.float64)
    if rates.ndim != 4 or rates.shape[1:3] != (kt.size, 2):
        raise InputError(f"rates has shape {rates.shape}, not (responses, {kt.size} temperatures, 2, channels)")
    if kt.size < 2 or not np.all(np.diff(kt) > 0) or not kt[0] > 0:
        raise InputError("kt_kev must hold two positive temperatures at least, in ascending order")
    if not np.all(np.isfinite(rates)):
        raise InputError("the templates hold NaN or infinity: check the responses that they come from")
    if rates.shape[3] != spectra.counts.shape[1]:
        raise InputError(f"the spectra have {spectra.counts.shape[1]} channels, the templates {rates.shape[3]}: choose "
                         "one band for both")
    if spectra.weight_response.size and spectra.weight_response.max() >= rates.shape[0]:
        raise InputError(f"weight_response holds {spectra.weight_response.max()}, and the templates have "
                         f"{rates.shape[0]} responses, from 0")


def _kt_limits(options: FitOptions, templates: Templates) -> tuple[float, float]:
    first, last = float(templates.kt_kev[0]), float(templates.kt_kev[-1])
    low, high = max(options.kt_min, first), min(options.kt_max, last)
    if not low < high:
        raise InputError(f"kt_min and kt_max are {options.kt_min:g} and {options.kt_max:g} keV, and the templates "
                         f"reach from {first:g} to {last:g} keV: the limits must overlap with these")
    return low, high


def fitted_sets(spectra: BinSpectra) -> NDArray[np.bool_]:
    """Return which data sets have exposure, weights and all responses, those that engines fit."""
    starts = spectra.weight_offsets
    seen = np.add.reduceat(np.append(spectra.weight, 0.0), np.minimum(starts[:-1], spectra.weight.size)) > 0
    missing = np.append(spectra.weight_response == MISSING, False)
    lost = np.logical_or.reduceat(missing, np.minimum(starts[:-1], spectra.weight.size))
    return (np.diff(starts) > 0) & seen & ~lost & (spectra.exposure_s > 0)


def _net_counts(spectra: BinSpectra, fitted: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Net counts, background and noise of each bin, over the data sets that are fitted."""
    counts = spectra.sum_over_bins(spectra.counts.sum(axis=1) * fitted)
    in_files = np.zeros(spectra.bin.size) if spectra.off_counts is None else spectra.off_counts.sum(axis=1) * fitted
    background = spectra.sum_over_bins(spectra.off_ratio * in_files)
    noise = np.sqrt(counts + spectra.sum_over_bins(spectra.off_ratio**2 * in_files))
    return counts - background, background, noise


def _fixed_abundance(options: FitOptions, templates: Templates, net: Floats) -> Floats:
    """Return the abundance of each bin where it is fixed, NaN where it is free."""
    if not templates.has_abundance:
        return np.zeros(net.size)
    if options.abundance is not None:
        return np.full(net.size, options.abundance)
    return np.where(net < options.min_counts_abundance, options.abundance_few, np.nan)


def _result(spectra: BinSpectra, made: _Fitted, options: FitOptions, **others: Any) -> FitResult:
    values, flags = made.rows.values, made.rows.flags
    kt, abundance, norm = (values[:, place] for place in (KT, ABUNDANCE, NORM))
    statistic, expected, variance = (values[:, place] for place in (STATISTIC, EXPECTED, VARIANCE))
    with np.errstate(invalid="ignore", divide="ignore"):
        goodness = (statistic - expected) / np.sqrt(variance)
    flags[np.abs(goodness) > _POOR] |= FLAGS["poor fit"]
    flags &= ~ABUNDANCE_WITHOUT_EFFECT
    covariance = values[:, COVARIANCE][:, [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(-1, 3, 3)
    ends = np.stack([np.column_stack([values[:, KT + 1: KT + 3], values[:, KT_AT_NORM]]),
                     np.column_stack([values[:, NORM_AT_KT], values[:, NORM + 1: NORM + 3]])], axis=2)
    errors = {f"{name}{end}": getattr(values_of, part) for name, values_of in
              (("nh", made.nh), ("redshift", made.redshift))
              for end, part in (("", "value"), ("_low", "low"), ("_high", "high"))}
    for name, place in (("kt", KT), ("abundance", ABUNDANCE), ("norm", NORM)):
        errors[f"{name}_low"] = values[:, place] - values[:, place + 1]
        errors[f"{name}_high"] = values[:, place + 2] - values[:, place]
    return FitResult(
        bin=spectra.bins, kt=kt, abundance=abundance, norm=norm, **errors, statistic=statistic, expected=expected,
        variance=variance, goodness=goodness, covariance=covariance, ends=ends, second_kt=values[:, SECOND_KT],
        second_delta=values[:, SECOND_DELTA], reason=reasons_of(flags), flags=flags, evaluations=made.rows.evaluations,
        background_amounts=made.rows.amounts, delta=options.delta, statistic_name=options.statistic,
        nh_is=options.nh_is, redshift_is=options.redshift_is, model=made.model, **others)
