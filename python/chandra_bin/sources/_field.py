"""An image on grids of increasing pixel size, its local background, and its correlations with the wavelet."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s
from chandra_bin.coords.blocks import block_sums

from ._annuli import Annuli, Background, Flags
from ._grids import halved, level_of, repeated
from ._threshold import WIDEST_RATIO, Thresholds, estimated_background, known_background
from ._wavelet import Correlator, annulus, hat, reach_px

# Rows of a tile that are compared with thresholds at once.
_ROWS = 64


@dataclass(frozen=True)
class AtScale:
    """Results of one scale, on the grid of its level."""

    scale: float
    level: int
    correlation: Float32s
    background: Float32s
    """Counts per pixel of the finest grid where the exposure is 1."""
    significant: Flags
    strengths: Float32s
    """The correlation over its threshold, of the significant pixels in row order."""


class Field:
    """Counts and exposures (1 at most, 0 without data), both padded to whole blocks of the largest pixels."""

    def __init__(self, counts: Float32s, exposure: Float32s, largest_scale: float) -> None:
        # The mean of the image is as good as wider annuli.
        self.widest = max(counts.shape) / 4
        self.top = level_of(max(self.widest, largest_scale))
        pad = [(0, -side % (1 << self.top)) for side in counts.shape]
        self.inside = counts.shape
        self.counts = np.pad(counts, pad)
        self.exposure = np.pad(exposure, pad)
        self._tables: dict[tuple[float, int, float], Thresholds] = {}

    def is_significant(self, found: AtScale, y: int, x: int, keep: Flags, probability: float) -> bool:
        """Return whether a pixel of a scale's grid is significant from the pixels of ``keep`` alone."""
        kernel = hat(found.scale / 2**found.level)
        counts = self._around(self.counts, found, y, x, keep)
        exposure = self._around(self.exposure, found, y, x, keep)
        background = float(found.background[y, x])
        near = background * float((kernel**2 * exposure).sum() / (kernel**2).sum())
        limit = self.table(found.scale, WIDEST_RATIO, probability)(np.array([near], np.float32))
        return bool((kernel * (counts - background * exposure)).sum() > limit[0])

    def variance(self, found: AtScale, y: int, x: int) -> float:
        """Return the variance of the correlation at a pixel of a scale's grid, from all counts around it."""
        kernel = hat(found.scale / 2**found.level)
        return float((kernel**2 * self._around(self.counts, found, y, x)).sum())

    def _around(self, image: Float32s, found: AtScale, y: int, x: int, keep: Flags | None = None) -> Float32s:
        """Return the pixels of a scale's grid within a kernel around one, summed from the finest grid; 0 outside."""
        pixel = 1 << found.level
        reach = reach_px(found.scale / pixel)
        ny, nx = found.correlation.shape
        y0, y1, x0, x1 = max(y - reach, 0), min(y + reach + 1, ny), max(x - reach, 0), min(x + reach + 1, nx)
        box = (slice(y0 * pixel, y1 * pixel), slice(x0 * pixel, x1 * pixel))
        part = image[box] if keep is None else image[box] * keep[box]
        summed = block_sums(part, pixel)
        made: Float32s = np.pad(summed, ((y0 - y + reach, y + reach + 1 - y1), (x0 - x + reach, x + reach + 1 - x1)))
        return made

    def table(self, scale: float, ratio: int, probability: float) -> Thresholds:
        """Return the thresholds of a scale, for an annulus of ``ratio`` scales; 0: for a known background."""
        key = (scale / 2**level_of(scale), ratio, probability)
        if key not in self._tables:
            self._tables[key] = (estimated_background(*key) if ratio else known_background(key[0], probability))
        return self._tables[key]


class Search:
    """The search of a field, scale by scale; each scale reuses results of the previous one."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._annuli = Annuli(field.counts, field.exposure, field.widest, field.top)
        self._levels = [(field.counts, field.exposure)]

    def at(self, scale: float, probability: float, cleaning: float, keep: Flags,
           rounds: int) -> tuple[AtScale, Flags]:
        """Return the correlations at a scale with their significant pixels, and ``keep`` without pixels of sources."""
        level = level_of(scale)
        while len(self._levels) <= level:
            self._levels.append((halved(self._levels[-1][0]), halved(self._levels[-1][1])))
        correlations = _Correlations(*self._levels[level], scale)
        kept = keep
        for _ in range(rounds):
            cleaned = {0: self._field.table(scale, 0, cleaning)}
            found, _ = correlations.above(self._annuli.around(scale, kept), cleaned)
            before, kept = kept, keep & ~repeated(_grown(found, scale / 2**level), level)
            if np.array_equal(before, kept):
                kept = before  # the same object, whose background is known
                break
        background = self._annuli.around(scale, kept)
        tables = {wider: self._field.table(scale, wider, probability) for wider in set(background.ratios())}
        significant, strengths = correlations.above(background, tables)
        net = correlations.net(background)
        return AtScale(scale, level, net, background.value, significant, strengths), kept


class _Exposed(NamedTuple):
    """The correlations of the exposures with a hat, in a tile that has any."""

    box: tuple[slice, slice]
    flat: Float32s
    near: Float32s
    """Correlation with the square of the hat, which sets the noise of the background; infinite without exposure."""
    least: float
    most: float
    """The limits of ``near`` where there is exposure."""


class _Correlations:
    """The correlations of a field with the hat of a scale, on the grid of its level."""

    def __init__(self, counts: Float32s, exposure: Float32s, scale: float) -> None:
        self._level = level_of(scale)
        self._width = scale / 2**self._level
        self._counts: Float32s = np.zeros(counts.shape, np.float32)  # their correlation
        self._tiles: list[_Exposed] = []
        correlator = Correlator(counts.shape, self._width)
        for tile in correlator.tiles:
            if not exposure[tile.outer].max() > 0:
                continue
            exposed = correlator.transform(exposure[tile.outer])
            near = np.maximum(correlator.with_square(exposed, tile), 0)
            most = float(near.max())
            near[exposure[tile.inner] <= 0] = np.inf  # no excess is enough without exposure
            self._tiles.append(_Exposed(tile.inner, correlator.with_hat(exposed, tile).copy(), near,
                                        min(float(near.min()), most), most))
            self._counts[tile.inner] = correlator.with_hat(correlator.transform(counts[tile.outer]), tile)

    def net(self, background: Background) -> Float32s:
        """Return the correlation of the counts above the background. It overwrites the correlation of the counts.

        Call no other method afterwards.
        """
        for tile in self._tiles:
            self._counts[tile.box] -= background.value[tile.box] * tile.flat
        return self._counts

    def above(self, background: Background, tables: dict[int, Thresholds]) -> tuple[Flags, Float32s]:
        """Return the pixels with correlations above their thresholds, and the ratios of both for these pixels.

        ``tables`` maps the ratio of annulus to scale to the thresholds for an estimated background; the ratio 0 alone
        means a known background.
        """
        found = np.zeros(self._counts.shape, bool)
        columns = self._counts.shape[-1]
        places: list[NDArray[Any]] = [np.empty(0, np.intp)]
        strengths: list[NDArray[Any]] = [np.empty(0, np.float32)]
        for tile in self._tiles:
            at, excess, expected = self._likely(background.value[tile.box], tile, tables.values())
            limits = self._limits(background, tables, tile, at, expected)
            above = excess > limits
            y, x = np.divmod(at[above], tile.flat.shape[1])
            y, x = y + tile.box[0].start, x + tile.box[1].start
            found[y, x] = True
            places.append(y * columns + x)
            strengths.append(excess[above] / np.maximum(limits[above], np.float32(1e-6)))
        return found, np.concatenate(strengths)[np.argsort(np.concatenate(places))]

    def _likely(self, value: Float32s, tile: _Exposed,
                tables: Iterable[Thresholds]) -> tuple[NDArray[np.intp], Float32s, Float32s]:
        """Return the pixels of a tile that may be above a threshold: most are below the lowest one.

        They are given by their places in the flattened tile, their correlation above the background, and the variance
        of the background. Thresholds are slow to compute. Rows are processed in strips, which stay in the cache.
        """
        places: list[NDArray[np.intp]] = []
        excesses: list[Float32s] = []
        variances: list[Float32s] = []
        ny, nx = value.shape
        counts = self._counts[tile.box]
        buffers = np.empty((3, _ROWS, nx), np.float32)
        with np.errstate(invalid="ignore"):  # 0 x infinity
            for first in range(0, ny, _ROWS):
                rows = slice(first, first + _ROWS)
                strip = value[rows]
                least, most = float(strip.min()) * tile.least, float(strip.max()) * tile.most
                floor = min(table.floor(least, most) for table in tables)
                excess, variance, square = buffers[:, :len(strip)]
                np.multiply(strip, tile.flat[rows], out=excess)
                np.subtract(counts[rows], excess, out=excess)
                np.multiply(strip, tile.near[rows], out=variance)
                np.abs(excess, out=square)
                square *= excess
                square *= np.float32(1 / floor)
                at = np.flatnonzero(square > variance)
                places.append(at + first * nx)
                excesses.append(excess.ravel()[at])
                variances.append(variance.ravel()[at])
        return np.concatenate(places), np.concatenate(excesses), np.concatenate(variances)

    def _limits(self, background: Background, tables: dict[int, Thresholds], tile: _Exposed,
                at: NDArray[np.intp], expected: Float32s) -> Float32s:
        """Return the thresholds of some pixels of a tile, by their places in the flattened tile."""
        if 0 in tables:
            return tables[0](expected)
        ratios = np.array(background.ratios())[background.narrowings[tile.box].ravel()[at]]
        share = np.float32(0.25**self._level)
        flat, near = tile.flat.ravel()[at] * share, tile.near.ravel()[at] * share
        limits = np.empty(len(expected), np.float32)
        for wider in np.unique(ratios).tolist():
            chosen = ratios == wider
            limits[chosen] = tables[wider](expected[chosen]) * _at_edges(self._width, wider, flat[chosen], near[chosen])
        return limits


def _grown(found: Flags, width: float) -> Flags:
    """Return the significant pixels and all pixels within a scale of them."""
    reach = int(width)
    ny, nx = found.shape
    grown = np.zeros((ny + 2 * reach, nx + 2 * reach), bool)
    y, x = np.divmod(np.flatnonzero(found), nx)  # few
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dy * dy + dx * dx <= width * width:
                grown[y + (reach + dy), x + (reach + dx)] = True
    return grown[reach: reach + ny, reach: reach + nx]


def _at_edges(width: float, ratio: int, flat: Float32s, cover: Float32s) -> Float32s:
    """Return the factor, 1 or more, that an estimated background adds to the noise where the exposure varies.

    There C = sum(W D) - b' f with f = sum(W E) not 0. With A the weights of the annulus (of sum 1) the variance of C is
    b (sum(W²) - 2 f sum(W A) + f² sum(A²)). The kernels W and A cover the fraction ``cover`` of exposed pixels.
    """
    both, own, power = _sums_of_kernels(width, ratio)
    cover = np.maximum(cover, np.float32(0.01))
    widened: Float32s = np.sqrt(np.maximum(1 + (flat * flat * (own / cover) - 2 * both * flat) / (power * cover), 1))
    return widened


@lru_cache(64)
def _sums_of_kernels(width: float, ratio: int) -> tuple[float, float, float]:
    """Return sum(W A), sum(A²) and sum(W²)."""
    inner, outer = hat(width, reach=width * ratio), annulus(width * ratio)
    outer = outer / outer.sum()
    return float((inner * outer).sum()), float((outer**2).sum()), float((inner**2).sum())
