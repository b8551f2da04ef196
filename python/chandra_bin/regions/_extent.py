"""The bounding box of a region."""

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin.coords.wcs import ImageCoords

from ._convert import convert_region
from ._shapes import PHYSICAL, Component, Region, Shape

# An edge may overlap a pixel by this much without touching it, in pixels.
_ON_EDGE = 1e-6
# The extent of sectors, fields and complements.
_EVERYWHERE = np.array([[-np.inf, np.inf], [-np.inf, np.inf]])


def region_extent(region: Region) -> Floats:
    """Return lowest and highest x, and y, (2, 2), of a region; infinite if unlimited. Cuts are not subtracted.

    All shapes and lengths of the region must be in one pixel system (see `convert_region`).
    """
    boxes = np.array([_component_extent(component) for component in region.components])
    boxes = boxes[(boxes[:, :, 0] <= boxes[:, :, 1]).all(axis=1)]
    if not len(boxes):  # shapes joined by AND do not overlap
        return np.zeros((2, 2))
    return np.stack([boxes[:, :, 0].min(axis=0), boxes[:, :, 1].max(axis=0)], axis=1)


def region_box(region: Region, coords: ImageCoords, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Return the pixels of an image (ny, nx) that a region's box touches, as CIAO crops images: [[x0, x1], [y0, y1]].

    Indices start at 0 with exclusive ends. There is at least one pixel, next to the image for a region outside it.
    Raises `InputError` if the image has no physical coordinates.
    """
    (x0, x1), (y0, y1) = region_extent(convert_region(region, coords.with_shape(shape), PHYSICAL))
    low = np.array(coords.physical_to_image(x0, y0))
    high = np.array(coords.physical_to_image(x1, y1))
    ends = np.sort(np.stack([low, high], axis=1), axis=1)
    first = np.floor(np.clip(ends[:, 0] + 0.5 + _ON_EDGE, 0, shape[::-1])).astype(int)
    last = np.ceil(np.clip(ends[:, 1] + 0.5 - _ON_EDGE, 0, shape[::-1])).astype(int)
    return np.stack([first, np.maximum(last, first + 1)], axis=1)


def _component_extent(component: Component) -> Floats:
    """Return the extent of shapes joined by AND."""
    boxes = np.array([_shape_extent(shape) for shape in component])
    return np.stack([boxes[:, :, 0].max(axis=0), boxes[:, :, 1].min(axis=0)], axis=1)


def _shape_extent(shape: Shape) -> Floats:
    """Return the extent of a shape."""
    if shape.complement or shape.kind in ("field", "sector"):
        return _EVERYWHERE
    half = np.zeros(2)
    if shape.kind in ("circle", "annulus", "pie"):
        half[:] = shape.lengths[-1]
    elif shape.kind in ("ellipse", "box"):
        angle = np.radians(shape.angles[0])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        reach = np.abs(turn * shape.lengths)
        half = np.hypot(*reach.T) if shape.kind == "ellipse" else reach.sum(axis=1) / 2
    elif shape.kind not in ("rectangle", "polygon", "point"):  # limited by their points
        raise AssertionError(f"unknown extent of a {shape.kind}")
    return np.stack([shape.points.min(axis=0) - half, shape.points.max(axis=0) + half], axis=1)
