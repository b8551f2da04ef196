"""Thresholds that noise exceeds with a given probability, from the distribution of Poisson sums."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats

from ._wavelet import annulus, hat

# Points of the lattice on which distributions are computed.
_LATTICE = 1 << 14
# Points of a table per decade of the background, and its limits in counts over the area of a kernel.
_PER_DECADE = 14
_FEWEST, _MOST = 1e-4, 1e4
# Exponentials below this do not change any digit of a distribution.
_VANISHING = -80.0
# The background from annuli wider than this many scales counts as known.
WIDEST_RATIO = 8
# The hat out to 5 times this many scales has no corners that its kernel cuts off: it is the same for all wider annuli.
_WHOLE = 2
# An annulus is wide enough if it expects this many effective counts: its mean is then known to 10 %.
ENOUGH_COUNTS = 100.0
# If the positive part of a kernel expects fewer counts than this, thresholds are steps and are rounded up.
_FEW_COUNTS = 5.0


@dataclass(frozen=True)
class Thresholds:
    """The threshold of a correlation as a function of the background, in counts per pixel."""

    background: Floats
    correlation: Floats
    steps_below: float

    def floor(self, least: float, most: float) -> float:
        """Return a factor f with f x background below the square of the threshold, at backgrounds in a range."""
        first, last = np.searchsorted(self.background[1:], (least, most)).tolist()
        return float(self._floors[min(max(first - 1, 0), len(self._floors) - 1): last + 2].min())

    @cached_property
    def _floors(self) -> Floats:
        """The factors between one point of the table and the next."""
        # The threshold there is at least that of the lower point.
        return np.asarray(0.99 * self.correlation[:-1] ** 2 / self.background[1:])

    def __call__(self, background: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the thresholds at backgrounds; above the table they grow with the square root (Gaussian noise)."""
        low, high = float(self.background[0]), float(self.background[-1])
        steps = self.correlation.astype(np.float32)
        inside = np.clip(background, low, high)
        at = np.log(inside / low) * float((len(self.background) - 1) / np.log(high / low))
        lower = np.minimum(at.astype(np.intp), len(self.background) - 2)
        part = np.where(inside < self.steps_below, at > lower, at - lower)
        found = steps[lower] + part.astype(np.float32) * (steps[lower + 1] - steps[lower])
        thresholds: NDArray[np.float32] = found * np.sqrt(np.maximum(background / high, 1))
        return thresholds


@lru_cache(64)
def known_background(scale: float, probability: float) -> Thresholds:
    """Return the thresholds of `hat` for a known background."""
    return _increasing(scale, *_known(scale, 1, probability))


@lru_cache(256)
def estimated_background(scale: float, ratio: int, probability: float) -> Thresholds:
    """Return the thresholds of `hat` for a background estimated from the counts in an annulus of ``ratio`` scales.

    Noise exceeds the threshold t if C > t(b'), with b' the estimate of the background b. To first order this is
    C - t'(b) (b' - b) > t(b). The left side is again a sum over counts with fixed weights, whose distribution is known;
    t is the value with the requested tail probability. t' follows from t, and two iterations make both consistent. If
    the annulus would expect too few counts, and is not used, the table has the thresholds for a known background.
    """
    background, known = _known(scale, min(ratio, _WHOLE), probability)
    found = known.copy()
    weights, times = _octant(hat(scale, reach=scale * ratio))
    outer, _ = _octant(annulus(scale * ratio))
    outer = outer / (outer * times).sum()
    effective = 1 / (outer**2 * times).sum()  # effective pixels of the annulus
    used = np.flatnonzero(background * effective >= ENOUGH_COUNTS / 3)
    for _ in range(2):
        slope = _slope(background, found)
        found[used] = [tail_value(weights - slope[i] * outer, times, background[i], probability) for i in used]
    return _increasing(scale, background, found)


@lru_cache(64)
def _known(scale: float, reach: int, probability: float) -> tuple[Floats, Floats]:
    """Return backgrounds in counts per pixel, and the thresholds of `hat`, out to 5 ``reach`` scales, for each."""
    weights, times = _octant(hat(scale, reach=scale * reach))
    decades = np.log10(_MOST / _FEWEST)
    background = np.geomspace(_FEWEST, _MOST, round(decades * _PER_DECADE) + 1) / _area(scale)
    return background, np.array([tail_value(weights, times, b, probability) for b in background])


def _increasing(scale: float, background: Floats, found: Floats) -> Thresholds:
    """Return the table of thresholds, which never decrease with the background."""
    return Thresholds(background, np.maximum.accumulate(found), _FEW_COUNTS / _area(scale))


def _area(scale: float) -> float:
    """Return the area of the positive part of `hat` in pixels."""
    return 2 * np.pi * scale**2


def _slope(background: Floats, found: Floats) -> Floats:
    """Return the derivative, smoothed over a third of a decade because the thresholds have steps."""
    slope: Floats = np.gradient(found, np.log(background)) / background
    width = _PER_DECADE // 3
    padded = np.pad(slope * background, width, mode="edge")
    smooth: Floats = np.convolve(padded, np.full(2 * width + 1, 1 / (2 * width + 1)), mode="valid") / background
    return smooth


def _octant(kernel: Floats) -> tuple[Floats, Floats]:
    """Return the values of a kernel in one octant, and how often each occurs in the kernel."""
    reach = len(kernel) // 2
    y, x = np.nonzero(np.tri(reach + 1))
    times = np.where(y == 0, 1, np.where((x == 0) | (x == y), 4, 8)).astype(float)
    return kernel[reach + y, reach + x], times


def tail_value(weights: Floats, times: Floats, background: float, probability: float) -> float:
    """Return the least t with P(S - E[S] > t) <= ``probability``, for S = sum of weight x Poisson count over pixels.

    Each weight occurs ``times`` times. S takes values on a lattice: each weight is split between its two neighbours
    there, which preserves the mean. The distribution of S is the Fourier transform of
    exp(background x sum(exp(i k w) - 1)), exact except for the lattice.
    """
    spread = np.sqrt(background * (times * weights**2).sum())
    half = 10 * spread + 12 * np.abs(weights).max()
    step = 2 * half / _LATTICE
    place = weights / step
    left = np.floor(place)
    part = place - left
    at = left.astype(np.intp) & (_LATTICE - 1)  # the remainder, also of negative places
    jumps = np.bincount(at, times * (1 - part), _LATTICE) + np.roll(np.bincount(at, times * part, _LATTICE), 1)
    exponent = background * (np.fft.rfft(jumps) - times.sum())
    transform = np.zeros_like(exponent)
    some = exponent.real > _VANISHING
    transform[some] = np.exp(exponent[some])
    density = np.fft.irfft(transform, _LATTICE)
    mean = background * (times * place).sum()
    first = int(np.floor(mean)) - _LATTICE // 2
    tail = np.cumsum(np.roll(density, -first)[::-1])[::-1]  # P(S >= each place)
    above = first + int(np.count_nonzero(tail > probability))  # the first place that is rare enough
    return float((above - mean) * step)
