"""Exact outlines of bins, and their pixels back.

The vertices of an outline lie on pixel corners, so that every pixel centre is at least half a pixel from an
edge: whoever reads the outline, whatever his edge rule, finds the same pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.arrays import as_labels, as_shape
from chandra_bin._checks.given import ImageLike
from chandra_bin._kernels._polygon_trace import polygon_trace
from chandra_bin._kernels._rasterize import rasterize_polygons
from chandra_bin.errors import InputError, counted


@dataclass(frozen=True, eq=False, repr=False)
class Polygons:
    """Ragged polygons, flat. A polygon is one part of one bin: its outer ring first, then its holes.

    Outer rings run counter-clockwise (x to the right, y up), holes clockwise; the first vertex is not
    repeated.
    """

    points: NDArray[np.float64]
    """Vertices (n, 2), x and y in array coordinates: pixel centres at whole numbers, corners at halves."""
    ring_offsets: NDArray[np.int64]
    """Ring r has the points ``ring_offsets[r]:ring_offsets[r + 1]``."""
    polygon_offsets: NDArray[np.int64]
    """Polygon p has the rings ``polygon_offsets[p]:polygon_offsets[p + 1]``."""
    labels: NDArray[np.int32]
    """The bin of each polygon, not decreasing."""

    def __repr__(self) -> str:
        return f"<Polygons: {counted(len(self), 'polygon')} of {counted(np.unique(self.labels).size, 'bin')}>"

    def __len__(self) -> int:
        return len(self.labels)

    def rings(self, polygon: int) -> list[NDArray[np.float64]]:
        """The rings of one polygon, each (n, 2): the outer one, then the holes."""
        if not 0 <= polygon < len(self):
            raise InputError(f"polygon is {polygon}: there are {len(self)}, from 0 on")
        first, last = self.polygon_offsets[polygon : polygon + 2]
        return [self.points[self.ring_offsets[r] : self.ring_offsets[r + 1]] for r in range(first, last)]

    def areas(self) -> NDArray[np.float64]:
        """The area of each polygon in pixels, holes taken off: for traced bins the exact number of pixels."""
        rings = np.diff(self.ring_offsets)
        following = np.arange(len(self.points)) + 1
        following[self.ring_offsets[1:][rings > 0] - 1] = self.ring_offsets[:-1][rings > 0]
        x, y = self.points.T
        twice = np.concatenate([[0.0], np.cumsum(x * y[following] - x[following] * y)])
        return np.diff(twice[self.ring_offsets[self.polygon_offsets]]) / 2


def trace_polygons(binmap: ImageLike) -> Polygons:
    """The outlines of all bins of ``binmap`` (ny, nx), whole numbers, below 0 outside bins.

    A part of a bin is made of pixels joined through their sides. Two pixels that touch by a corner only are in
    one ring where they belong to one part, and in rings of their own where they do not, so that no ring crosses
    or touches itself. Raises `InputError` for an image of floats and for labels above int32.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin import trace_polygons
    >>> trace_polygons(np.array([[0, 0, 1], [0, 1, 1]], np.int32))
    <Polygons: 2 polygons of 2 bins>
    """
    return Polygons(*polygon_trace(as_labels(binmap)))


def rasterize(polygons: Polygons, shape: tuple[int, int]) -> NDArray[np.int32]:
    """The label image (ny, nx), int32, of ``polygons``: -1 outside, later polygons over earlier ones.

    A pixel belongs to a polygon where its centre lies inside or on an edge; inside is where an odd number of
    rings is, so that a ring in a ring is a hole. ``rasterize(trace_polygons(binmap), binmap.shape)`` is
    ``binmap``, with -1 for every label below 0. Raises `InputError` for points that are not finite and for offsets
    that do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin import rasterize, trace_polygons
    >>> binmap = np.array([[0, 0, 1], [0, 1, 1]], np.int32)
    >>> bool((rasterize(trace_polygons(binmap), binmap.shape) == binmap).all())
    True
    """
    if not isinstance(polygons, Polygons):
        raise InputError(f"polygons is of the type {type(polygons).__name__}: give those of trace_polygons")
    image = np.full(as_shape(shape), -1, np.int32)
    try:
        rasterize_polygons(
            np.ascontiguousarray(polygons.points, np.float64),
            np.ascontiguousarray(polygons.ring_offsets, np.int64),
            np.ascontiguousarray(polygons.polygon_offsets, np.int64),
            np.ascontiguousarray(polygons.labels, np.int32),
            x_first=0.0, x_step=1.0, y_first=0.0, y_step=1.0, image=image,
        )
    except ValueError as error:
        raise InputError(f"the polygons cannot be used: {error}") from None
    return image
