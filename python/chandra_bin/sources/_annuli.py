"""Local background of an image, from annuli as narrow as the counts allow."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s

from ._grids import doubled, halved, level_of
from ._threshold import ENOUGH_COUNTS, WIDEST_RATIO
from ._wavelet import Correlator, annulus

Flags = NDArray[np.bool_]


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
        value, narrowings = self.value, self.narrowings
        if level == self.level:
            return value.copy(), narrowings.copy()
        for _ in range(self.level - level):
            value, narrowings = doubled(value), narrowings.repeat(2, 0).repeat(2, 1)
        return value, narrowings

    def ratios(self) -> list[int]:
        """Return, for each narrowing, the width of its annulus over that of the scale's own, at most `WIDEST_RATIO`.

        The first, the mean of the image, counts as the widest annulus.
        """
        return [WIDEST_RATIO, *(min(1 << (self.narrowest - each), WIDEST_RATIO)
                                for each in range(1, self.narrowest + 1))]


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

    def around(self, scale: float, keep: Flags) -> Background:
        """Return the local background for a scale, from the pixels of ``keep``.

        The background is the ratio of counts to exposure in the narrowest annulus of 1, 2, 4 ... scales that expects
        enough counts. The expectation comes from the next wider annulus, so that a chance excess does not select its
        own annulus.

        The caller must not change ``keep`` afterwards: results for it are reused for the next scale if twice as large.
        """
        self._take(keep)
        if self._ready is None or self._ready.scale != scale:
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
        kernel = annulus(scale / 2**level)
        weight = kernel.sum() / (kernel**2).sum()  # converts the weighted sum of an annulus to effective counts
        correlator = self._correlators.setdefault(scale, Correlator(value.shape, scale / 2**level))
        for tile in correlator.tiles:
            here = value[tile.inner]
            most = float(here.max()) * kernel.sum() * weight  # where the exposure is 1
            if most * 4**level < ENOUGH_COUNTS:
                continue
            exposure = self._kept_part(1, level, tile.outer)
            if most * float(exposure.max()) < ENOUGH_COUNTS:
                continue
            seen = correlator.with_annulus(correlator.transform(exposure), tile)
            enough = here * seen * np.float32(weight) >= ENOUGH_COUNTS
            if not enough.any():
                continue
            counts = self._kept_part(0, level, tile.outer)
            summed = correlator.with_annulus(correlator.transform(counts), tile)
            np.divide(np.maximum(summed, 0), seen, out=here, where=enough)
            narrowings[tile.inner][enough] = narrowest
        return Background(scale, level, value, narrowings, narrowest)

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
            changed = (keep != self._keep).reshape(ny, size, nx, size).any(axis=(1, 3))
        self._keep = keep
        for y, x in np.argwhere(changed).tolist():
            box = (slice(y * size, (y + 1) * size), slice(x * size, (x + 1) * size))
            for which in (0, 1):
                part = self._kept_part(which, 0, box)
                for level, grids in enumerate(self._coarser, start=1):
                    part = halved(part)
                    grids[which][tuple(slice(side.start >> level, side.stop >> level) for side in box)] = part
