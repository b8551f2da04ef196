"""Sums over blocks of pixels."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def block_sums(image: NDArray[Any], size: int | tuple[int, int], dtype: DTypeLike | None = None) -> NDArray[Any]:
    """Return the sums over blocks of pixels, starting at the first pixel; blocks at the far edges may be incomplete.

    `astropy.nddata.block_reduce` drops incomplete blocks and is six times slower.

    Parameters
    ----------
    image : (ny, nx).
    size : block size in pixels along both axes, or along (y, x).
    dtype : type of the sums; by default that of `numpy.sum`.

    Returns
    -------
    (ny / size_y, nx / size_x), rounded up.
    """
    steps = (size, size) if isinstance(size, int) else size
    ny, nx = (-(-side // step) for side, step in zip(image.shape, steps, strict=True))
    missing = ny * steps[0] - image.shape[0], nx * steps[1] - image.shape[1]
    whole = np.pad(image, ((0, missing[0]), (0, missing[1]))) if any(missing) else image
    sums: NDArray[Any] = whole.reshape(ny, steps[0], nx, steps[1]).sum(axis=(1, 3), dtype=dtype)
    return sums
