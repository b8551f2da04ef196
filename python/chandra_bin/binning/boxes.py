"""Boxes that cover bins, as contbin's ``make_region_files`` makes them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.arrays import as_labels
from chandra_bin._kernels import _boxes
from chandra_bin.errors import InputError

# The number of pixels of a 4096 x 4096 image; larger numbers are flags, not bin numbers.
_MOST_BINS = 2**24


@dataclass(frozen=True)
class BinBoxes:
    """Boxes that cover bins: bin ``b`` has the boxes ``offsets[b]:offsets[b + 1]`` of the other arrays.

    A box has ``w`` x ``h`` pixels; its lower left pixel is (``x``, ``y``) in array coordinates (int32, shape (n,)).
    ``offsets`` has shape (bins + 1,).
    """

    x: NDArray[np.int32]
    y: NDArray[np.int32]
    w: NDArray[np.int32]
    h: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of bins: the largest bin number + 1."""
        return self.offsets.size - 1

    @property
    def numbered(self) -> int:
        """The first bin number without pixels."""
        empty = np.flatnonzero(np.diff(self.offsets) == 0)
        return int(empty[0]) if empty.size else len(self)


def cover_with_boxes(binmap: ArrayLike) -> BinBoxes:
    """Cover every bin of ``binmap`` with disjoint boxes.

    From a bin's first uncovered pixel, in row order, a box grows right and up while it stays in the bin. Boxes and
    their order equal those of contbin.

    Parameters
    ----------
    binmap : array_like of int, (ny, nx)
        Bin numbers from 0; -1 outside.

    Raises
    ------
    InputError
        Unless ``binmap`` is 2-D, of whole numbers, and its bins are numbered from 0.
    """
    labels = as_labels(binmap)
    bins = int(labels.max(initial=-1)) + 1
    if bins > max(_MOST_BINS, labels.size):
        raise InputError(f"binmap has the bin number {bins - 1}: number bins from 0")
    return BinBoxes(*_boxes.cover_with_boxes(labels, bins))
