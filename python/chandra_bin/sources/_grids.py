"""Grids of increasing pixel size: sum images to coarser grids, and interpolate them to finer grids."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s
from chandra_bin._kernels import _interpolate

# Kernels have this many to twice as many pixels per scale: large scales are searched on larger pixels.
_FINE = 4.0
# Pixels processed at once, so that temporary arrays stay in the cache of the processor.
_STRIP = 1 << 18


def level_of(scale: float) -> int:
    """Return how often the pixel size is doubled for a scale (in pixels of the finest grid)."""
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
    """Return an image of pixels of half the size, interpolated between pixel centres."""
    ny, nx = image.shape
    made: Float32s = np.empty((2 * ny, 2 * nx), np.float32)
    _interpolate.doubled(image, values=made)
    return made


def repeated(image: NDArray[Any], level: int) -> NDArray[Any]:
    """Return an image (ny, nx) of bytes on the finest grid, in which each pixel is repeated as a block."""
    for _ in range(level):
        pairs = image.view(np.uint8).astype(np.uint16)
        pairs *= np.uint16(257)  # the same byte twice; numpy repeats bytes one by one, eight times as slowly
        image = pairs.view(image.dtype).repeat(2, 0)
    return image
