"""The box around a region."""

import numpy as np

from ._shapes import Component, Floats, Region, Shape

# Of sectors, fields and everything outside a shape.
_EVERYWHERE = np.array([[-np.inf, np.inf], [-np.inf, np.inf]])


def region_extent(region: Region) -> Floats:
    """Lowest and highest x, and y, (2, 2), of a region; infinite where it has no end. What cuts take away counts too.

    In the pixel coordinates that its shapes and lengths are all given in (see `convert_region`).
    """
    boxes = np.array([_component_extent(component) for component in region.components])
    boxes = boxes[(boxes[:, :, 0] <= boxes[:, :, 1]).all(axis=1)]
    if not len(boxes):  # no point is in two shapes that are to be joined
        return np.zeros((2, 2))
    return np.stack([boxes[:, :, 0].min(axis=0), boxes[:, :, 1].max(axis=0)], axis=1)


def _component_extent(component: Component) -> Floats:
    boxes = np.array([_shape_extent(shape) for shape in component])
    return np.stack([boxes[:, :, 0].max(axis=0), boxes[:, :, 1].min(axis=0)], axis=1)


def _shape_extent(shape: Shape) -> Floats:
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
    return np.stack([shape.points.min(axis=0) - half, shape.points.max(axis=0) + half], axis=1)
