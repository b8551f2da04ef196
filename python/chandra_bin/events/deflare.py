"""Removal of flares from light curves: the two methods of CIAO's ``deflare``, and a robust one for when they fail.

``clean`` and ``sigma`` follow the documentation of ``lc_clean`` and ``lc_sigma_clip`` in CIAO's ``lightcurves`` module
(threads "Filtering lightcurves" and "Background flares").
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.arrays import as_number, as_whole
from chandra_bin.errors import InputError, NoQuietTime, counted, warn

from . import _poisson
from .gti import GTI
from .lightcurve import LightCurve

Method = Literal["clean", "sigma", "robust"]
# Edges of neighbouring bins closer than this fraction of a bin are equal.
_JOINED = 1e-6

# The options of each method. ``margin`` is for robust, which replaces a method that leaves no time.
_OPTIONS: dict[Method, tuple[str, ...]] = {
    "clean": ("mean", "nsigma", "scale", "stddev", "minfrac", "margin"),
    "sigma": ("sigma", "minlength", "margin"),
    "robust": ("nsigma", "margin"),
}

# With fewer counts a bin, Poisson noise hides any other scatter, and the MAD is a whole number of counts.
_ENOUGH_FOR_SCATTER = 10.0
_MAD_TO_SIGMA = 1.4826

# Beyond this, quantiles of the Poisson distribution are too close to 1 to be computed.
_EXACT_SIGMA = 5.0

# The quantile at which the search for the quiescent rate begins, and the sigma within which bins are used.
_START = 0.3
_WINDOW = 2.0


@dataclass(frozen=True, eq=False, repr=False)
class Deflared:
    """The result of flare removal. Rates are counts per second; arrays are (n,), one value a bin of the light curve."""

    method: Method
    """The method that gave the result."""
    mean: float
    """The quiescent rate."""
    low: float
    high: float
    """Bins with rates strictly between ``low`` and ``high`` are kept (``robust``: for a bin of full exposure)."""
    good: NDArray[np.bool_]
    """True for bins that are kept."""
    usable: NDArray[np.bool_]
    """True for bins with a rate above 0."""
    gti: GTI
    """The good time intervals: kept bins, neighbours joined."""
    within: int
    """Number of bins kept before ``minlength`` dropped short runs."""
    failure: str = ""
    """Why the requested method failed, if ``robust`` replaced it."""
    cut_by_noise: float = 0.0
    """The number of bins that Poisson noise alone would cut at the constant rate ``mean``.

    It includes the margins that ``robust`` cuts, but not the short runs that ``sigma`` drops.
    """

    def __repr__(self) -> str:
        return (f"<Deflared: {self.kept} of {counted(self.good.size, 'bin')} kept by {self.method}, "
                f"{self.gti.total:.10g} s of good time>")

    @property
    def kept(self) -> int:
        """The number of bins kept."""
        return int(np.count_nonzero(self.good))


def cut_flares(curve: LightCurve, method: Method = "clean", *, mean: float | None = None, nsigma: float = 3.0,
               scale: float = 1.2, stddev: float | None = None, minfrac: float = 0.1, sigma: float = 3.0,
               minlength: int = 3, margin: int = 1) -> Deflared:
    """Remove flares from a light curve.

    Parameters
    ----------
    curve : LightCurve
        The light curve; ``clean`` needs exposures.
    method : {"clean", "sigma", "robust"}
        ``clean`` and ``sigma`` are CIAO's ``lc_clean`` and ``lc_sigma_clip``. ``robust`` keeps bins whose counts are
        consistent with Poisson noise around the quiescent rate.
    mean, nsigma, scale, stddev, minfrac
        For ``clean``. Bins strictly between mean / scale and mean * scale are kept or, with ``stddev``, those strictly
        within ``stddev`` Poisson errors of the mean. ``mean`` (count/s) defaults to that of the bins within ``nsigma``
        Poisson errors of the overall mean. At least a fraction ``minfrac`` of the bins must be kept.
    sigma, minlength
        For ``sigma``. Bins beyond ``sigma`` standard deviations are dropped until none is left, then short runs.
    nsigma, margin
        For ``robust``. ``nsigma`` is the Gaussian equivalent of the Poisson limits; ``margin`` bins before and after
        each bin above the upper limit are cut too.

    Returns
    -------
    Deflared
        If ``clean`` or ``sigma`` leaves no time, the result of ``robust``, with a `ChandraBinWarning`. Raises
        `InputError` for invalid parameters, those of another method, and a light curve without rates above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin import GTI, cut_flares, light_curve
    >>> times = np.append(np.arange(0, 1000, 0.1), np.arange(500, 550, 0.01))
    >>> cut_flares(light_curve(times, GTI.of(0, 1000), bin_length_s=50), "robust")
    <Deflared: 17 of 20 bins kept by robust, 850 s of good time>
    """
    if not isinstance(curve, LightCurve):
        raise InputError(f"curve is of the type {type(curve).__name__}: give a LightCurve, of light_curve(...)")
    if method not in _OPTIONS:
        raise InputError(f"unknown method {method!r}; choose one of {', '.join(_OPTIONS)}")
    _refuse_others(method, mean=mean, nsigma=nsigma, scale=scale, stddev=stddev, minfrac=minfrac, sigma=sigma,
                   minlength=minlength)
    mean = None if mean is None else as_number(mean, "mean", "1 / s")
    stddev = None if stddev is None else as_number(stddev, "stddev")
    nsigma, scale, minfrac, sigma = (as_number(value, name) for name, value in (
        ("nsigma", nsigma), ("scale", scale), ("minfrac", minfrac), ("sigma", sigma)))
    minlength, margin = as_whole(minlength, "minlength", 1), as_whole(margin, "margin")
    try:
        if method == "clean":
            found = clean(curve, mean=mean, nsigma=nsigma, scale=scale, stddev=stddev, minfrac=minfrac)
        elif method == "sigma":
            found = sigma_clip(curve, sigma=sigma, minlength=minlength)
        else:
            found = robust(curve, nsigma=nsigma, margin=margin)
    except NoQuietTime as failure:
        found = replace(robust(curve, nsigma=nsigma, margin=margin), failure=f"{method}: {failure}")
        warn(f"{found.failure}; the robust limits are used instead")
    if method == "clean" and stddev is None:
        _warn_of_noise(curve, found.mean, scale)
    return found


def _refuse_others(method: Method, **options: Any) -> None:
    """Raise `InputError` for a non-default option that the method does not use."""
    defaults = cast("dict[str, Any]", cut_flares.__kwdefaults__)
    for name, value in options.items():
        if name not in _OPTIONS[method] and value != defaults[name]:
            raise InputError(f"the method {method} has no option {name}; its options are {', '.join(_OPTIONS[method])}")


def clean(curve: LightCurve, *, mean: float | None = None, nsigma: float = 3.0, scale: float = 1.2,
          stddev: float | None = None, minfrac: float = 0.1) -> Deflared:
    """Keep bins near the mean rate after one clip (CIAO's ``lc_clean``).

    Parameters
    ----------
    curve : light curve with exposures; the largest exposure, w, defines the Poisson errors.
    mean : mean rate. By default that of the bins within ``nsigma`` sqrt(m0 / w) of m0, the mean of the bins with a rate
        above 0. This clip is not repeated.
    scale : keep bins strictly between mean / scale and mean * scale.
    stddev : if given, keep bins strictly within ``stddev`` sqrt(mean / w) of the mean instead.
    minfrac : minimum fraction of the bins with a rate above 0 that must be kept.

    Raises `NoQuietTime` if no bin, or too small a fraction, is kept, and `InputError` for invalid parameters or a light
    curve without exposures or rates above 0.
    """
    _check(nsigma=nsigma, mean=mean, stddev=stddev)
    if not (scale >= 1 and math.isfinite(scale)):
        raise InputError(f"scale is {scale:.15g}; it must be 1 or more")
    if not 0 <= minfrac <= 1:
        raise InputError(f"minfrac is {minfrac:.15g}; it must be a fraction, from 0 to 1")
    usable = _usable(curve)
    if curve.exposure_s is None:
        raise InputError("the light curve has no column EXPOSURE, which the method clean needs; "
                         "use the method sigma or robust")
    width = float(curve.exposure_s.max())
    if width <= 0:
        raise InputError("the light curve has no exposure: the column EXPOSURE is 0 in all bins")
    rate = curve.rate
    if mean is None:
        first = float(rate[usable].mean())
        reach = nsigma * math.sqrt(first / width)
        near = (rate > first - reach) & (rate < first + reach)
        if not near.any():
            raise NoQuietTime(f"no bin is within {nsigma:g} sigma of the mean rate {first:.6g} count/s")
        mean = float(rate[near].mean())
    low, high = mean / scale, mean * scale
    if stddev is not None:
        reach = stddev * math.sqrt(mean / width)
        low, high = mean - reach, mean + reach
    good = (rate > low) & (rate < high)
    kept, total = int(np.count_nonzero(good)), int(np.count_nonzero(usable))
    if not kept:
        raise NoQuietTime(f"no bin has a rate between {low:.6g} and {high:.6g} count/s")
    if kept / total < minfrac:
        raise NoQuietTime(f"the fraction of bins kept, {kept} of {total} = {kept / total:.3f}, is below the limit "
                          f"{minfrac:.15g}")
    return Deflared("clean", mean, low, high, good, usable, _gti_of(curve, good), kept,
                    cut_by_noise=_cut_by_noise(curve, mean, low, high))


def sigma_clip(curve: LightCurve, *, sigma: float = 3.0, minlength: int = 3) -> Deflared:
    """Drop bins beyond ``sigma`` standard deviations of the mean until all are within (``lc_sigma_clip``).

    Bins without a rate above 0 are not used. Finally, runs of neighbours shorter than ``minlength`` bins are dropped.
    If no run is that short, all bins strictly within the last limits are kept, as in CIAO: empty bins too if the lower
    limit is below 0. Otherwise empty bins end a run and are dropped.

    Raises `NoQuietTime` if no bin is kept, and `InputError` as `clean` does.
    """
    _check(sigma=sigma, minlength=minlength)
    usable = _usable(curve)
    rate = curve.rate
    survives = usable.copy()
    while True:
        mean, reach = float(rate[survives].mean()), sigma * float(rate[survives].std())
        dropped = survives & (np.abs(rate - mean) > reach)
        if not dropped.any():
            break
        survives &= ~dropped
        if not survives.any():
            raise NoQuietTime(f"no bin is within {sigma:g} standard deviations of the mean")
    runs = runs_of(survives)
    short = np.diff(runs) < minlength
    if not short.any():
        good = survives | ((rate > mean - reach) & (rate < mean + reach))
    else:
        good = np.zeros_like(survives)
        for begin, end in runs[~short[:, 0]]:
            good[begin:end] = True
        if not good.any():
            raise NoQuietTime(f"no run of bins reaches minlength, {minlength} bins")
    low, high = mean - reach, mean + reach
    return Deflared("sigma", mean, low, high, good, usable, _gti_of(curve, good), int(np.count_nonzero(survives)),
                    cut_by_noise=_cut_by_noise(curve, mean, low, high))


def robust(curve: LightCurve, *, nsigma: float = 3.0, margin: int = 1) -> Deflared:
    """Keep bins whose counts are consistent with Poisson noise around the quiescent rate.

    The search starts at a low quantile of the rates. It keeps the bins whose counts a Poisson distribution reaches with
    at least the probability of ``nsigma`` of a Gaussian, on either side, computes their joint rate, and repeats until
    the same bins remain. The exposure of each bin is used. If rates below the quiescent one scatter more than Poisson
    noise, by the median of their distances (a one-sided MAD, as flares are above), the limits are widened accordingly;
    below 10 counts a bin this cannot be measured.

    The ``margin`` bins before and after each bin above the upper limit are cut too: a flare begins and ends within a
    bin, and a bin that it fills by a third does not exceed the noise.

    All bins with exposure are used, also empty ones; without exposures, bins count with their full length. Flares may
    fill nearly half of the bins. Raises `InputError` as `clean` does.
    """
    _check(nsigma=nsigma)
    if margin < 0:
        raise InputError(f"margin is {margin}; it must be 0 or more bins")
    usable = _usable(curve)
    exposure = curve.time_max - curve.time_min if curve.exposure_s is None else curve.exposure_s
    used = (exposure > 0) & np.isfinite(curve.rate)
    if not (usable & used).any():
        raise InputError("the light curve has no exposure: the column EXPOSURE is 0 in all bins with a rate")
    width = float(exposure.max())
    # Start at the rate of a bin, so that a bin is near; up to ln 2 counts a bin low quantiles are 0.
    start = max(float(np.quantile(curve.rate[used], _START, method="lower")), math.log(2) / width)
    mean = _centre(curve.rate[used], exposure[used], start, _WINDOW)
    wider = _scatter(curve.rate[used & (exposure > 0.5 * width)], mean, width)
    if wider > 1:
        mean = _centre(curve.rate[used], exposure[used], mean, _WINDOW * wider)
    good = used.copy()
    good[used] = _likely(curve.rate[used], exposure[used], mean, nsigma * wider)[0]
    within = int(np.count_nonzero(good))
    good &= ~_grown(used & ~good & (curve.rate > mean), margin)
    if not good.any():
        raise NoQuietTime(f"no bin has a rate near {mean:.6g} count/s")
    low, high = (float(limit[0]) / width for limit in _count_limits(np.array([mean * width]), nsigma * wider))
    below, above = np.zeros((2, len(used)))
    expected = mean * exposure[used]
    below[used], above[used] = _beyond(expected, *_count_limits(expected, nsigma * wider))
    stays = (1 - below - above) * _none_beside(above, margin)
    noise = float((1 - stays)[used].sum())
    return Deflared("robust", mean, low, high, good, usable, _gti_of(curve, good), within, cut_by_noise=noise)


def _grown(flags: NDArray[np.bool_], margin: int) -> NDArray[np.bool_]:
    """Return the flags with ``margin`` neighbours added on either side of each."""
    from scipy.ndimage import maximum_filter1d

    grown: NDArray[np.bool_] = maximum_filter1d(flags.view(np.uint8), 2 * margin + 1, mode="constant").astype(bool)
    return grown


def _cut_by_noise(curve: LightCurve, mean: float, low: float, high: float) -> float:
    """Return the number of bins that Poisson noise around ``mean`` moves beyond the limits of the rate."""
    exposure = curve.time_max - curve.time_min if curve.exposure_s is None else curve.exposure_s
    exposure = exposure[(exposure > 0) & np.isfinite(curve.rate)]
    return float(np.sum(_beyond(mean * exposure, low * exposure, high * exposure)))


def _beyond(expected: NDArray[np.float64], low: NDArray[np.float64],
            high: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probabilities, (n,), that noise gives counts of ``low`` or less, and of ``high`` or more."""
    kinds, kind = np.unique(np.round(np.stack([expected, low, high]), 9), axis=1, return_inverse=True)  # few
    expected, low, high = kinds
    kind = kind.ravel()
    return _poisson.cdf(np.floor(low), expected)[kind], _poisson.sf(np.ceil(high) - 1, expected)[kind]


def _none_beside(chance: NDArray[np.float64], margin: int) -> NDArray[np.float64]:
    """Return the probability, (n,), that none of the ``margin`` bins before and after a bin exceeds its limit.

    ``chance`` is the probability of each bin to exceed it, (n,).
    """
    none = np.ones(len(chance))
    for shift in range(1, min(margin, len(chance) - 1) + 1):
        none[shift:] *= 1 - chance[:-shift]
        none[:-shift] *= 1 - chance[shift:]
    return none


def _centre(rate: NDArray[np.float64], exposure: NDArray[np.float64], mean: float, nsigma: float) -> float:
    """Return the mean rate of the bins near it, iterated from ``mean`` until it is stable."""
    counts = rate * exposure
    seen: set[float] = set()
    while mean not in seen:
        seen.add(mean)
        near, share = _likely(rate, exposure, mean, nsigma)
        if not counts[near].any():
            break
        mean = float(counts[near].sum() / (exposure * share)[near].sum())
    return mean


def _likely(rate: NDArray[np.float64], exposure: NDArray[np.float64], mean: float,
            nsigma: float) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return the bins with counts within ``nsigma``, and the mean of counts within relative to the mean of all."""
    kinds, kind = np.unique(np.round(exposure, 3), return_inverse=True)  # few values, so this is fast
    expected = mean * kinds
    low, high = _count_limits(expected, nsigma)
    share = ((_poisson.cdf(high - 1, expected) - _poisson.cdf(low - 1, expected))
             / (_poisson.cdf(high, expected) - _poisson.cdf(low, expected)))
    counts = rate * exposure
    return (counts > low[kind]) & (counts < high[kind]), share[kind]


def _count_limits(expected: NDArray[np.float64], nsigma: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return half-integers around the counts within ``nsigma`` of a Gaussian in probability."""
    if nsigma <= _EXACT_SIGMA:
        tail = _poisson.gaussian_tail(nsigma)
        return _poisson.ppf(tail, expected) - 0.5, _poisson.isf(tail, expected) + 0.5
    noise = np.sqrt(expected)  # Cornish-Fisher expansion: a Gaussian with the skewness of the counts
    middle = expected + (nsigma**2 - 1) / 6
    low = np.where(nsigma < 3 * noise, middle - nsigma * noise, 0.0)
    return np.ceil(np.maximum(low, 0)) - 0.5, np.floor(middle + nsigma * noise) + 0.5


def _scatter(rate: NDArray[np.float64], mean: float, width: float) -> float:
    """Return how much wider than Poisson noise the rates below the mean scatter, at least 1."""
    below = mean - rate[rate < mean]
    if mean * width < _ENOUGH_FOR_SCATTER or not below.size:
        return 1.0
    measured = _MAD_TO_SIGMA * float(np.median(below)) / math.sqrt(mean / width)
    return max(1.0, measured / (1 + 2 / math.sqrt(below.size)))


def _usable(curve: LightCurve) -> NDArray[np.bool_]:
    """Return the bins with a rate above 0."""
    if len(curve) < 2:
        raise InputError(f"the light curve has {counted(len(curve), 'time bin')}; at least 2 are needed")
    usable: NDArray[np.bool_] = curve.rate > 0
    if not usable.any():
        raise InputError(f"the light curve has no rate above 0 in any of its {len(curve)} bins")
    return usable


def _check(**limits: float | None) -> None:
    """Raise `InputError` for values that are given but not above 0."""
    for name, value in limits.items():
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise InputError(f"{name} is {value:.15g}; it must be above 0")


def runs_of(flags: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return begin and end (n, 2) of each run of True."""
    changes = np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8))
    return np.column_stack([np.flatnonzero(changes == 1), np.flatnonzero(changes == -1)])


def _gti_of(curve: LightCurve, good: NDArray[np.bool_]) -> GTI:
    """Return the good bins as intervals, without gaps due to rounding between neighbours."""
    start, stop = curve.time_min[good], curve.time_max[good].copy()
    touching = np.abs(start[1:] - stop[:-1]) <= _JOINED * (stop - curve.time_min[good])[:-1]
    stop[:-1][touching] = start[1:][touching]
    return GTI.of(start, stop)


def _warn_of_noise(curve: LightCurve, mean: float, scale: float) -> None:
    """Warn if limits by ``scale`` are narrower than the noise of a bin, and recommend a bin length."""
    if curve.exposure_s is None or scale <= 1:
        return
    width = float(curve.exposure_s.max())
    wanted = (scale - 1) ** -2
    if mean * width < wanted * (1 - 1e-9):
        length = math.ceil(curve.bin_length_s * wanted / (mean * width))
        warn(f"quiescent bins have {mean * width:.3g} counts: their Poisson noise, "
             f"{100 / math.sqrt(mean * width):.0f} %, exceeds the {100 * (scale - 1):.0f} % that clean "
             f"allows (scale {scale:.15g}); bins of {length} s would have {wanted:.0f} counts")
