"""Bins as boxes, as contbin's ``make_region_files`` covers them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.arrays import as_labels
from chandra_bin._kernels import _boxes
from chandra_bin.errors import InputError

# An image of 4096 x 4096 pixels has no more bins than this; numbers beyond it are invalid.
_MOST_BINS = 2**24


@dataclass(frozen=True)
class BinBoxes:
    """Boxes that cover bins: those of bin ``b`` are ``offsets[b]`` to ``offsets[b + 1]`` of the other arrays.

    A box holds the ``w`` x ``h`` pixels whose lower left one is (``x``, ``y``), array coordinates (int32, shape (n,)).
    ``offsets`` is int64, of shape (bins + 1,).
    """

    x: NDArray[np.int32]
    y: NDArray[np.int32]
    w: NDArray[np.int32]
    h: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        """The number of bins: the largest bin number + 1."""
        return self.offsets.size - 1

    @property
    def numbered(self) -> int:
        """How many bins there are before the first number that no pixel has."""
        empty = np.flatnonzero(np.diff(self.offsets) == 0)
        return int(empty[0]) if empty.size else len(self)


def cover_with_boxes(binmap: ArrayLike) -> BinBoxes:
    """Covers every bin of ``binmap`` (ny, nx; bins from 0, -1 outside) with disjoint boxes.

    From a bin's first uncovered pixel, in row order, a box grows right and up while it stays in the bin: the boxes of
    the original, in its order. Raises `InputError` where ``binmap`` is not 2-D or holds no whole numbers.
    """
    labels = as_labels(binmap)
    bins = int(labels.max(initial=-1)) + 1
    if bins > max(_MOST_BINS, labels.size):
        raise InputError(f"binmap holds the bin number {bins - 1}: bins must be numbered from 0")
    return BinBoxes(*_boxes.cover_with_boxes(labels, bins))
