"""Grids of ever larger pixels: images summed to coarser ones, and interpolated to finer ones."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s

# Kernels are sampled by this many to twice as many pixels a scale: large ones on larger pixels.
_FINE = 4.0
# Pixels that are worked on at once: their temporary arrays stay in the cache of the processor.
_STRIP = 1 << 18


def level_of(scale: float) -> int:
    """Return how many times pixels are doubled for a scale (pixels of the finest grid)."""
    return max(0, int(np.floor(np.log2(scale / _FINE))))


def strips(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield slices of rows that make up an image (ny, nx), each small enough for the cache."""
    rows = max(1, _STRIP // max(shape[1], 1))
    for first in range(0, shape[0], rows):
        yield slice(first, min(first + rows, shape[0]))


def halved(image: Float32s) -> Float32s:
    """Return the sums of 2 x 2 pixels."""
    rows = image[0::2] + image[1::2]
    made: Float32s = rows[:, 0::2] + rows[:, 1::2]
    return made


def doubled(image: Float32s) -> Float32s:
    """Return pixels of half the size, interpolated between the middles of four."""
    ny, nx = image.shape
    tall = np.empty((2 * ny, nx), image.dtype)
    _interpolate(image, tall)
    made: Float32s = np.empty((2 * ny, 2 * nx), image.dtype)
    for rows in strips(made.shape):
        _interpolate(tall[rows].T, made[rows].T)
    return made


def _interpolate(image: Float32s, made: Float32s) -> None:
    """Fill ``made``, which has twice as many rows; beyond the first and the last row is the same value."""
    own, other = 0.75 * image, 0.25 * image
    made[0] = own[0] + other[0]
    np.add(own[1:], other[:-1], out=made[2::2])
    np.add(own[:-1], other[1:], out=made[1:-1:2])
    made[-1] = own[-1] + other[-1]


def repeated(image: NDArray[np.generic], level: int) -> NDArray[np.generic]:
    """Return each pixel as the block of those of the finest grid."""
    return image.repeat(1 << level, 0).repeat(1 << level, 1) if level else image
