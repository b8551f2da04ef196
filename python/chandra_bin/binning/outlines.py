"""Trace bins to exact outlines, and rasterize outlines to bins.

The vertices of an outline lie on pixel corners. Every pixel centre is at least half a pixel from an edge, so that every
reader finds the same pixels with any edge rule.
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
    """Polygons in flat arrays. A polygon is one part of one bin: its outer ring first, then its holes.

    Outer rings run counter-clockwise (x to the right, y up), holes clockwise; the first vertex is not repeated.
    """

    points: NDArray[np.float64]
    """Vertices (n, 2), x and y in array coordinates: pixel centres at whole numbers, corners at halves."""
    ring_offsets: NDArray[np.int64]
    """Ring r has the points ``ring_offsets[r]:ring_offsets[r + 1]``."""
    polygon_offsets: NDArray[np.int64]
    """Polygon p has the rings ``polygon_offsets[p]:polygon_offsets[p + 1]``."""
    labels: NDArray[np.int32]
    """The bin number of each polygon, in ascending order."""

    def __repr__(self) -> str:
        return f"<Polygons: {counted(len(self), 'polygon')} of {counted(np.unique(self.labels).size, 'bin')}>"

    def __len__(self) -> int:
        return len(self.labels)

    def rings(self, polygon: int) -> list[NDArray[np.float64]]:
        """Return the rings of one polygon, each (n, 2): the outer ring, then the holes."""
        if not 0 <= polygon < len(self):
            raise InputError(f"polygon is {polygon}: it must be 0 to {len(self) - 1}")
        first, last = self.polygon_offsets[polygon : polygon + 2]
        return [self.points[self.ring_offsets[r] : self.ring_offsets[r + 1]] for r in range(first, last)]

    def areas(self) -> NDArray[np.float64]:
        """Return the area of each polygon in pixels, without its holes: for traced bins the number of pixels."""
        rings = np.diff(self.ring_offsets)
        following = np.arange(len(self.points)) + 1
        following[self.ring_offsets[1:][rings > 0] - 1] = self.ring_offsets[:-1][rings > 0]
        x, y = self.points.T
        twice = np.concatenate([[0.0], np.cumsum(x * y[following] - x[following] * y)])
        return np.diff(twice[self.ring_offsets[self.polygon_offsets]]) / 2


def trace_polygons(binmap: ImageLike) -> Polygons:
    """Return the outlines of all bins of a binmap.

    A part of a bin consists of pixels joined through their sides. Two pixels that touch only at a corner share a ring
    if they belong to the same part, else each has its own ring, so that no ring crosses or touches itself.

    Parameters
    ----------
    binmap : image of int, (ny, nx)
        Bin numbers; below 0 outside bins.

    Raises
    ------
    InputError
        For an image of floats, and for bin numbers above int32.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin import trace_polygons
    >>> trace_polygons(np.array([[0, 0, 1], [0, 1, 1]], np.int32))
    <Polygons: 2 polygons of 2 bins>
    """
    return Polygons(*polygon_trace(as_labels(binmap)))


def rasterize(polygons: Polygons, shape: tuple[int, int]) -> NDArray[np.int32]:
    """Return the binmap (ny, nx), int32, of ``polygons``: -1 outside, later polygons over earlier ones.

    A pixel belongs to a polygon if its centre lies inside or on an edge. Inside means enclosed by an odd number of
    rings, so that a ring in a ring is a hole. ``rasterize(trace_polygons(binmap), binmap.shape)`` equals ``binmap``,
    with -1 for every number below 0.

    Parameters
    ----------
    polygons : Polygons
        Outlines, as `trace_polygons` returns them.
    shape : (int, int)
        Shape (ny, nx) of the binmap.

    Raises
    ------
    InputError
        For points that are not finite, and for inconsistent offsets.

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
