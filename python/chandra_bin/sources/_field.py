"""An image on grids of ever larger pixels, its local background, and its correlations."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s
from chandra_bin.coords.blocks import block_sums

from ._threshold import ENOUGH_COUNTS, WIDEST_RATIO, Thresholds, estimated_background, known_background
from ._wavelet import Correlator, annulus, hat, reach_px

Flags = NDArray[np.bool_]

# Kernels are sampled by this many to twice as many pixels a scale: large ones on larger pixels.
_FINE = 4.0


def level_of(scale: float) -> int:
    """Of how many halvings the grid for a scale is."""
    return max(0, int(np.floor(np.log2(scale / _FINE))))


def halved(image: Float32s) -> Float32s:
    """Sums of 2 x 2 pixels."""
    rows = image[0::2] + image[1::2]
    made: Float32s = rows[:, 0::2] + rows[:, 1::2]
    return made


def doubled(image: Float32s) -> Float32s:
    """Pixels of half the size, interpolated between the middles of four."""
    for axis in (0, 1):
        before = np.concatenate([image.take([0], axis), image.take(range(image.shape[axis] - 1), axis)], axis)
        after = np.concatenate([image.take(range(1, image.shape[axis]), axis), image.take([-1], axis)], axis)
        parts = np.stack([0.75 * image + 0.25 * before, 0.75 * image + 0.25 * after], axis=axis + 1)
        shape = list(image.shape)
        shape[axis] *= 2
        image = parts.reshape(shape)
    return image


def repeated(image: NDArray[np.generic], level: int) -> NDArray[np.generic]:
    """Each pixel as the block of those of the finest grid."""
    return image.repeat(1 << level, 0).repeat(1 << level, 1) if level else image


@dataclass(frozen=True)
class AtScale:
    """What one scale found, on the grid of its level."""

    scale: float
    level: int
    correlation: Float32s
    background: Float32s
    """Counts per pixel of the finest grid where the exposure is 1."""
    significant: Flags
    strength: Float32s
    """The correlation over its threshold."""


class Field:
    """Counts and exposures (1 at most, 0 where there is no data), both padded to whole blocks of the largest pixels."""

    def __init__(self, counts: Float32s, exposure: Float32s, largest_scale: float) -> None:
        # Wider annuli than this are no better than the mean of the image.
        self.widest = max(counts.shape) / 4
        block = 1 << level_of(max(self.widest, largest_scale))
        pad = [(0, -side % block) for side in counts.shape]
        self.inside = counts.shape
        self.counts = np.pad(counts, pad)
        self.exposure = np.pad(exposure, pad)
        self._tables: dict[tuple[float, int, float], Thresholds] = {}

    @cached_property
    def _levels(self) -> list[tuple[Float32s, Float32s]]:
        return [(self.counts, self.exposure)]

    def at_level(self, level: int) -> tuple[Float32s, Float32s]:
        """Counts and exposures on a grid."""
        while len(self._levels) <= level:
            counts, exposure = self._levels[-1]
            self._levels.append((halved(counts), halved(exposure)))
        return self._levels[level]

    def search(self, scale: float, probability: float, cleaning: float, keep: Flags,
               rounds: int) -> tuple[AtScale, Flags]:
        """Correlations at a scale, and which are significant; ``keep`` without what was found to be no background."""
        level = level_of(scale)
        counts, exposure = self.at_level(level)
        correlator = self._correlator(scale, level)
        transformed = correlator.transform(exposure)
        flat, near = correlator.with_hat(transformed), np.maximum(correlator.with_square(transformed), 0)
        raw = correlator.with_hat(correlator.transform(counts))
        kept = keep
        for _ in range(rounds):
            background, ratio = self.background(scale, kept)
            limit = self._table(scale, level, 0, cleaning)(background * near)
            found = (raw - background * flat > limit) & (exposure > 0)
            before, kept = kept, keep & ~repeated(_grown(found, scale / 2**level), level).astype(bool)
            if np.array_equal(before, kept):
                break
        background, ratio = self.background(scale, kept)
        correlation = raw - background * flat
        expected = background * near
        limit = np.zeros_like(correlation)
        share = np.float32(0.25**level)
        for wider in np.unique(ratio).tolist():
            chosen = ratio == wider
            limit[chosen] = self._table(scale, level, wider, probability)(expected[chosen])
            limit[chosen] *= _at_edges(scale / 2**level, wider, flat[chosen] * share, near[chosen] * share)
        significant = (correlation > limit) & (exposure > 0)
        strength: Float32s = (correlation / np.maximum(limit, 1e-6)).astype(np.float32)
        return AtScale(scale, level, correlation, background, significant, strength), kept

    def background(self, scale: float, keep: Flags) -> tuple[Float32s, NDArray[np.int8]]:
        """The local background for a scale, on its grid, and how many times wider than its annulus the one taken was.

        It is the ratio of the counts and the exposures in the annulus, the narrowest of 1, 2, 4 ... scales that expects
        enough counts: expects by the next wider one, so that a chance excess does not choose itself.
        """
        level = level_of(scale)
        counts, exposure = self.counts * keep, self.exposure * keep
        exposed = float(exposure.sum(dtype=np.float64))
        mean = float(counts.sum(dtype=np.float64)) / exposed if exposed > 0 else 0.0
        pyramid = [(counts, exposure)]
        wider = 1
        while scale * wider * 2 <= self.widest:
            wider *= 2
        top = level_of(scale * wider)
        while len(pyramid) <= top:
            pyramid.append((halved(pyramid[-1][0]), halved(pyramid[-1][1])))
        background = np.full(pyramid[top][0].shape, mean, np.float32)
        ratio = np.full(background.shape, WIDEST_RATIO, np.int8)
        here = top
        while wider >= 1:
            width = scale * wider
            at = level_of(width)
            while here > at:
                background, ratio, here = doubled(background), ratio.repeat(2, 0).repeat(2, 1), here - 1
            kernel = annulus(width / 2**at)
            weight = kernel.sum() / (kernel**2).sum()  # of what the annulus sums, counts
            if float(background.max()) * float(pyramid[at][1].max()) * kernel.sum() * weight < ENOUGH_COUNTS:
                break
            correlator = self._correlator(width, at)
            seen = correlator.with_annulus(correlator.transform(pyramid[at][1]))
            enough = background * seen * np.float32(weight) >= ENOUGH_COUNTS
            summed = correlator.with_annulus(correlator.transform(pyramid[at][0]))
            background = np.where(enough, np.maximum(summed, 0) / np.where(enough, seen, 1), background)
            ratio[enough] = min(wider, WIDEST_RATIO)
            wider //= 2
        while here > level:
            background, ratio, here = doubled(background), ratio.repeat(2, 0).repeat(2, 1), here - 1
        return background, ratio

    def is_significant(self, found: AtScale, y: int, x: int, keep: Flags, probability: float) -> bool:
        """Whether a pixel of a scale's grid is significant by the kept pixels alone."""
        kernel = hat(found.scale / 2**found.level)
        counts = self._around(self.counts, found, y, x, keep)
        exposure = self._around(self.exposure, found, y, x, keep)
        background = float(found.background[y, x])
        near = background * float((kernel**2 * exposure).sum() / (kernel**2).sum())
        limit = self._table(found.scale, found.level, WIDEST_RATIO, probability)(np.array([near], np.float32))
        return bool((kernel * (counts - background * exposure)).sum() > limit[0])

    def variance(self, found: AtScale, y: int, x: int) -> float:
        """The variance of the correlation at a pixel of a scale's grid, by the counts around it, sources included."""
        kernel = hat(found.scale / 2**found.level)
        return float((kernel**2 * self._around(self.counts, found, y, x)).sum())

    def _around(self, image: Float32s, found: AtScale, y: int, x: int, keep: Flags | None = None) -> Float32s:
        """The pixels of a scale's grid that a kernel reaches from one, summed from the finest; zeros beyond all."""
        pixel = 1 << found.level
        reach = reach_px(found.scale / pixel)
        ny, nx = found.correlation.shape
        y0, y1, x0, x1 = max(y - reach, 0), min(y + reach + 1, ny), max(x - reach, 0), min(x + reach + 1, nx)
        box = (slice(y0 * pixel, y1 * pixel), slice(x0 * pixel, x1 * pixel))
        part = image[box] if keep is None else image[box] * keep[box]
        summed = block_sums(part, pixel)
        made: Float32s = np.pad(summed, ((y0 - y + reach, y + reach + 1 - y1), (x0 - x + reach, x + reach + 1 - x1)))
        return made

    def _correlator(self, scale: float, level: int) -> Correlator:
        ny, nx = self.counts.shape
        return Correlator((ny >> level, nx >> level), scale / 2**level)

    def _table(self, scale: float, level: int, ratio: int, probability: float) -> Thresholds:
        key = (scale / 2**level, ratio, probability)
        if key not in self._tables:
            self._tables[key] = (estimated_background(*key) if ratio else known_background(key[0], probability))
        return self._tables[key]


def _grown(found: Flags, width: float) -> Flags:
    """Significant pixels and all within a scale of them."""
    reach = int(width)
    ny, nx = found.shape
    grown = np.zeros((ny + 2 * reach, nx + 2 * reach), bool)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dy * dy + dx * dx <= width * width:
                grown[reach + dy: reach + dy + ny, reach + dx: reach + dx + nx] |= found
    return grown[reach: reach + ny, reach: reach + nx]


def _at_edges(width: float, ratio: int, flat: Float32s, cover: Float32s) -> Float32s:
    """By how much an estimated background widens the noise where the exposure varies.

    There C = sum(W D) - b' f with f = sum(W E) not 0, and with A the weights of the annulus (of sum 1) its variance is
    b (sum(W²) - 2 f sum(W A) + f² sum(A²)), of which W and A see the part ``cover``. Never below 1.
    """
    inner, outer = hat(width, reach=width * ratio), annulus(width * ratio)
    outer = outer / outer.sum()
    both, own, power = float((inner * outer).sum()), float((outer**2).sum()), float((inner**2).sum())
    cover = np.maximum(cover, np.float32(0.01))
    widened: Float32s = np.sqrt(np.maximum(1 + (flat * flat * (own / cover) - 2 * both * flat) / (power * cover), 1))
    return widened
