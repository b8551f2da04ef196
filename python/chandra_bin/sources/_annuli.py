"""Local background of an image, from annuli as narrow as the counts allow."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s

from ._grids import doubled, halved, level_of, repeated
from ._threshold import ENOUGH_COUNTS, WIDEST_RATIO
from ._wavelet import Correlator, Tile, annulus

Flags = NDArray[np.bool_]

# Pixels a side of the blocks in which changes of kept pixels are noted.
_BLOCK = 16
# Bytes of sums that are kept for the next background; those of wide annuli are kept first.
_MOST_KEPT = 48 << 20


@dataclass(frozen=True, eq=False)
class Background:
    """The local background for a scale, on the grid of its level."""

    scale: float
    level: int
    value: Float32s
    """Counts per pixel of the finest grid where the exposure is 1."""
    narrowings: NDArray[np.int8]
    """The annulus of each pixel: 1 is the widest, each further one half as wide; 0 is the mean of the image."""
    narrowest: int
    """The narrowing of the scale's own annulus."""

    def at_level(self, level: int) -> tuple[Float32s, NDArray[np.int8]]:
        """Return copies of the background and of the annuli, on this grid or a finer one."""
        value, finer = self.value, self.level - level
        if not finer:
            return value.copy(), self.narrowings.copy()
        for _ in range(finer):
            value = doubled(value)
        return value, repeated(self.narrowings, finer)

    def ratios(self) -> list[int]:
        """Return, for each narrowing, the width of its annulus over that of the scale's own, at most `WIDEST_RATIO`.

        The first, the mean of the image, counts as the widest annulus.
        """
        return [WIDEST_RATIO, *(min(1 << (self.narrowest - each), WIDEST_RATIO)
                                for each in range(1, self.narrowest + 1))]


@dataclass(eq=False)
class _Sums:
    """The sums of kept exposures and counts in the annuli of a tile; the counts only where they were needed."""

    made: int
    """The number of changes of the kept pixels before."""
    most_exposed: float
    """The largest kept exposure of a pixel."""
    exposure: Float32s
    counts: Float32s | None = None


@lru_cache(64)
def _kernel_sums(scale: float) -> tuple[float, float]:
    """Return the sum of `annulus`, and the factor that converts a sum with its weights to effective counts."""
    kernel = annulus(scale)
    return float(kernel.sum()), float(kernel.sum() / (kernel**2).sum())


class Annuli:
    """Local backgrounds of counts and exposures (1 at most, 0 without data).

    ``widest`` is the largest scale of an annulus; the sides of the images are multiples of 2^``top`` pixels.
    """

    def __init__(self, counts: Float32s, exposure: Float32s, widest: float, top: int) -> None:
        self._counts, self._exposure = counts, exposure
        self._widest, self._top = widest, top
        self._keep: Flags | None = None
        self._coarser: list[tuple[Float32s, Float32s]] = []  # of the kept pixels, from level 1 on
        self._ready: Background | None = None
        self._correlators: dict[float, Correlator] = {}
        self._sums: dict[tuple[float, int], _Sums] = {}  # by scale and number of the tile
        self._block = min(1 << top, _BLOCK)
        self._changes = 0
        self._changed = np.zeros([side // self._block for side in counts.shape], np.int32)  # the last change of a block

    def around(self, scale: float, keep: Flags) -> Background:
        """Return the local background for a scale, from the pixels of ``keep``.

        The background is the ratio of counts to exposure in the narrowest annulus of 1, 2, 4 ... scales that expects
        enough counts. The expectation comes from the next wider annulus, so that a chance excess does not select its
        own annulus.

        The caller must not change ``keep`` afterwards: results for it are reused for the next scale if twice as large.
        """
        self._take(keep)
        if self._ready is None or self._ready.scale != scale:
            self._sums = {key: sums for key, sums in self._sums.items() if key[0] >= scale}  # the others are done
            self._ready = self._wider_than(scale)
            return self._narrowed(self._ready, scale)
        return self._ready

    def _wider_than(self, scale: float) -> Background:
        """Return the background from annuli of at least twice the scale, or the mean of the image."""
        wider = 2 * scale
        if wider <= self._widest:
            return self._narrowed(self._wider_than(wider), wider)
        everything = (slice(None), slice(None))
        counts, exposed = (float(self._kept_part(which, min(self._top, 1), everything).sum(dtype=np.float64))
                           for which in (0, 1))
        level = level_of(scale)
        shape = tuple(side >> level for side in self._counts.shape)
        mean = np.full(shape, counts / exposed if exposed > 0 else 0.0, np.float32)
        return Background(wider, level, mean, np.zeros(shape, np.int8), 0)

    def _narrowed(self, wider: Background, scale: float) -> Background:
        """Return the background from the annulus of a scale where it expects enough counts, else from wider ones."""
        level = level_of(scale)
        narrowest = wider.narrowest + 1
        value, narrowings = wider.at_level(level)
        total, weight = _kernel_sums(scale / 2**level)
        correlator = self._correlators.setdefault(scale, Correlator(value.shape, scale / 2**level))
        for number, tile in enumerate(correlator.tiles):
            here = value[tile.inner]
            most = float(here.max()) * total * weight  # where the exposure is 1
            if most * 4**level < ENOUGH_COUNTS:
                continue
            sums = self._known_sums(scale, number, level, tile)
            if sums is None:
                exposure = self._kept_part(1, level, tile.outer)
                most_exposed = float(exposure.max())
                if most * most_exposed < ENOUGH_COUNTS:
                    continue
                sums = _Sums(self._changes, most_exposed,
                             correlator.with_annulus(correlator.transform(exposure), tile).copy())
                self._keep_sums(scale, number, sums)
            elif most * sums.most_exposed < ENOUGH_COUNTS:
                continue
            enough = here * sums.exposure * np.float32(weight) >= ENOUGH_COUNTS
            if not enough.any():
                continue
            if sums.counts is None:
                counts = self._kept_part(0, level, tile.outer)
                sums.counts = np.maximum(correlator.with_annulus(correlator.transform(counts), tile), 0)
            np.divide(sums.counts, sums.exposure, out=here, where=enough)
            narrowings[tile.inner][enough] = narrowest
        return Background(scale, level, value, narrowings, narrowest)

    def _known_sums(self, scale: float, number: int, level: int, tile: Tile) -> _Sums | None:
        """Return the sums of a tile if no kept pixel that they need has changed since."""
        sums = self._sums.get((scale, number))
        if sums is None:
            return None
        box = tuple(slice((side.start << level) // self._block, -(-(side.stop << level) // self._block))
                    for side in tile.outer)
        return sums if sums.made >= self._changed[box].max() else None

    def _keep_sums(self, scale: float, number: int, sums: _Sums) -> None:
        """Keep the sums of a tile for the next background, if there is room."""
        self._sums.pop((scale, number), None)
        if 2 * sum(each.exposure.nbytes for each in self._sums.values()) < _MOST_KEPT:
            self._sums[scale, number] = sums

    def _kept_part(self, which: int, level: int, box: tuple[slice, slice]) -> Float32s:
        """Return the counts (0) or the exposures (1) of the kept pixels of a grid in a box."""
        if level:
            return self._coarser[level - 1][which][box]
        assert self._keep is not None
        return (self._counts, self._exposure)[which][box] * self._keep[box]

    def _take(self, keep: Flags) -> None:
        """Sum the kept pixels on all coarser grids; only blocks that differ from the last call are summed again."""
        if keep is self._keep:
            return
        self._ready = None
        size = 1 << self._top
        ny, nx = (side // size for side in keep.shape)
        if self._keep is None:
            self._coarser = [
                (np.empty(shape, np.float32), np.empty(shape, np.float32))
                for shape in (tuple(side >> level for side in keep.shape) for level in range(1, self._top + 1))]
            changed = np.ones((ny, nx), bool)
        else:
            rows, columns = self._changed.shape
            fine = (keep != self._keep).reshape(rows, self._block, -1).any(axis=1)  # whole rows are compared fast
            fine = fine.reshape(rows, columns, self._block).any(axis=2)
            self._changes += 1
            self._changed[fine] = self._changes
            changed = fine.reshape(ny, size // self._block, nx, size // self._block).any(axis=(1, 3))
        self._keep = keep
        for y, x in np.argwhere(changed).tolist():
            box = (slice(y * size, (y + 1) * size), slice(x * size, (x + 1) * size))
            for which in (0, 1):
                part = self._kept_part(which, 0, box)
                for level, grids in enumerate(self._coarser, start=1):
                    part = halved(part)
                    grids[which][tuple(slice(side.start >> level, side.stop >> level) for side in box)] = part
