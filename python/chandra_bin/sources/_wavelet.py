"""The Mexican hat wavelet, its annulus, and correlations with them."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s, Floats

# The radius of kernels in scales; the hat is below 1e-4 of its central value there.
_REACH = 5.0
# Pixels of a tile along each axis, with the margin that kernels reach: its transforms take 2 MB.
_TILE = 512


def hat(scale: float, reach: float | None = None) -> Floats:
    """Return (2 - r²/s²) exp(-r²/2s²) on pixels out to 5 scales, padded with zeros to 5 ``reach``."""
    square = radius_square(scale if reach is None else reach) / scale**2
    kernel: Floats = (2 - square) * np.exp(-square / 2)
    kernel[square > 2 * _REACH**2] = 0
    return kernel


def annulus(scale: float) -> Floats:
    """Return the negative part of `hat` with positive sign."""
    return np.maximum(-hat(scale), 0)


def radius_square(scale: float) -> Floats:
    """Return the squared distances from the centre of a kernel, in pixels."""
    offsets = np.arange(-reach_px(scale), reach_px(scale) + 1.0)
    square: Floats = offsets[:, None] ** 2 + offsets**2
    return square


def reach_px(scale: float) -> int:
    """Return the radius of a kernel in pixels."""
    return int(np.ceil(_REACH * scale))


class Tile(NamedTuple):
    """A part of an image that is transformed at once."""

    inner: tuple[slice, slice]
    """The pixels whose correlations are computed (y, x)."""
    outer: tuple[slice, slice]
    """The inner pixels and those of the image that a kernel reaches from them."""
    start: tuple[int, int]
    """Offset of the inner pixels in the outer ones."""


@dataclass(frozen=True)
class Correlator:
    """Correlations of images of one shape with the kernels of one scale; images are 0 beyond their edges.

    Images are transformed tile by tile, since a tile fits into the cache of the processor: the transform of a whole
    image of 12 million pixels takes three times as long. Callers can skip tiles that they do not need.

    Each transform uses one thread: scipy (since 1.18) rounds a column that is transformed alone differently from
    columns that are transformed together, which would make results depend on the number of threads.
    """

    shape: tuple[int, int]
    scale: float

    @cached_property
    def tiles(self) -> list[Tile]:
        """Tiles whose inner pixels make up the image."""
        reach = reach_px(self.scale)
        axes = []
        for side, inner in zip(self.shape, self._inner, strict=True):
            firsts = range(0, side, inner)
            axes.append([(slice(first, min(first + inner, side)),
                          slice(max(first - reach, 0), min(first + inner + reach, side))) for first in firsts])
        return [Tile((y, x), (outer_y, outer_x), (y.start - outer_y.start, x.start - outer_x.start))
                for y, outer_y in axes[0] for x, outer_x in axes[1]]

    def transform(self, part: Float32s) -> NDArray[np.complex64]:
        """Return the Fourier transform of the outer pixels of a tile, the input of the other methods."""
        from scipy.fft import rfft2

        transformed: NDArray[np.complex64] = rfft2(part, s=self._padded, workers=1)
        return transformed

    def with_hat(self, transformed: NDArray[np.complex64], tile: Tile) -> Float32s:
        """Return the correlation with `hat` in the inner pixels of a tile."""
        return self._back(transformed, self._hat, tile)

    def with_square(self, transformed: NDArray[np.complex64], tile: Tile) -> Float32s:
        """Return the mean weighted with the square of `hat`, which sets the noise of the background."""
        return self._back(transformed, self._square, tile)

    def with_annulus(self, transformed: NDArray[np.complex64], tile: Tile) -> Float32s:
        """Return the correlation with `annulus`."""
        return self._back(transformed, self._annulus, tile)

    @cached_property
    def _inner(self) -> tuple[int, int]:
        """The number of inner pixels of a tile along each axis, which divides the image into equal parts."""
        widest = max(_TILE - 2 * reach_px(self.scale), _TILE // 2)
        ny, nx = (-(-side // -(-side // widest)) for side in self.shape)
        return ny, nx

    @cached_property
    def _padded(self) -> tuple[int, int]:
        """The shape of a padded tile, which transforms fast."""
        from scipy.fft import next_fast_len

        ny, nx = (next_fast_len(inner + 2 * reach_px(self.scale), real=True) for inner in self._inner)
        return ny, nx

    @cached_property
    def _profiles(self) -> tuple[Floats, Floats]:
        """Functions of one axis whose products make up the hat."""
        square = (np.arange(-reach_px(self.scale), reach_px(self.scale) + 1.0) / self.scale) ** 2
        gauss = np.exp(-square / 2)
        return gauss, (1 - square) * gauss

    @cached_property
    def _hat(self) -> Float32s:
        """The transform of `hat`, a sum of two products of functions of x and y."""
        gauss, bent = self._profiles
        return self._outer(gauss, bent) + self._outer(bent, gauss)

    @cached_property
    def _square(self) -> Float32s:
        """The transform of the squared hat, normalized to a sum of 1."""
        gauss, bent = self._profiles
        square, mixed, curved = gauss**2, gauss * bent, bent**2
        total = 2 * (square.sum() * curved.sum() + mixed.sum() ** 2)
        kernel = self._outer(square, curved) + self._outer(curved, square) + 2 * self._outer(mixed, mixed)
        return kernel / np.float32(total)

    @cached_property
    def _annulus(self) -> Float32s:
        """The transform of `annulus`."""
        from scipy.fft import rfft2

        offsets = np.arange(-reach_px(self.scale), reach_px(self.scale) + 1)
        kernel = np.zeros(self._padded)
        kernel[offsets[:, None], offsets] = annulus(self.scale)
        made: Float32s = rfft2(kernel, workers=1).real.astype(np.float32)  # symmetric kernels have real transforms
        return made

    def _outer(self, along_y: Floats, along_x: Floats) -> Float32s:
        """Return the transform of a product of functions of y and x."""
        transforms = []
        for profile, size in ((along_y, self._padded[0]), (along_x, self._padded[1])):
            wrapped = np.zeros(size)
            wrapped[np.arange(-(len(profile) // 2), len(profile) // 2 + 1)] = profile
            transforms.append(np.fft.fft(wrapped).real.astype(np.float32))
        made: Float32s = transforms[0][:, None] * transforms[1][: self._padded[1] // 2 + 1]
        return made

    def _back(self, transformed: NDArray[np.complex64], kernel: Float32s, tile: Tile) -> Float32s:
        """Return the product of two transforms, transformed back, in the inner pixels of a tile."""
        from scipy.fft import irfft2

        whole = irfft2(transformed * kernel, s=self._padded, workers=1, overwrite_x=True)
        (y, x), (rows, columns) = tile.start, tile.inner
        part: Float32s = whole[y: y + rows.stop - rows.start, x: x + columns.stop - columns.start]
        return part
