"""Splitting of polygons, and joining of holes with their outer ring, for readers with limits; pixels do not change."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from chandra_bin._checks.array_types import Floats

from ._shapes import Component, Shape

# Offset of a cut from a pixel's centre, where there is neither a pixel centre nor a vertex of a traced outline.
_PLACE = 0.51


def split_component(component: Component, most_vertices: int) -> list[Component]:
    """Return components of at most ``most_vertices`` polygon vertices plus shapes, covering the same pixels together.

    The component is in image pixels. Polygons are cut along x or y together with their holes; neighbours share the cut.
    A component without polygons is unchanged.
    """
    vertices = _vertices(component)
    included = [shape for shape in component if shape.kind == "polygon" and not shape.complement]
    if vertices + len(component) <= most_vertices or not included:
        return [component]
    around = max(included, key=lambda shape: len(shape.points))
    # A cut across many teeth may add as many vertices as it removes; then try another cut.
    for axis, value in _cut_places(around.points):
        pieces = [_clipped(component, around, axis, value, below) for below in (True, False)]
        if all(_vertices(piece) < vertices for piece in pieces):
            return [small for piece in pieces for small in split_component(piece, most_vertices)]
    return [component]


def clip_ring(points: Floats, axis: int, value: float, below: bool) -> Floats:
    """Return the part of a ring (n, 2) below or above the line ``axis`` = ``value``, closed along the line.

    Winding numbers of points on that side do not change. Empty if nothing is left.
    """
    kept = (points[:, axis] < value) == below
    following = np.roll(points, -1, axis=0)
    crossed = kept != np.roll(kept, -1)
    share = np.zeros(len(points))
    np.divide(value - points[:, axis], following[:, axis] - points[:, axis], where=crossed, out=share)
    crossings = points + (following - points) * share[:, None]
    crossings[:, axis] = value
    # Each kept vertex, then the crossing of its edge, if any.
    both = np.stack([points, crossings], axis=1).reshape(-1, 2)
    clipped: Floats = both[np.stack([kept, crossed], axis=1).ravel()]
    return clipped


def join_holes(outer: Floats, holes: list[Floats]) -> Floats | None:
    """Return one ring that covers ``outer`` without ``holes``, joined by cuts of zero width along x.

    It is for readers without holes. On traced outlines the cuts run along pixel corners, so no pixel centre is on a
    cut. None if a hole is not inside the ring.
    """
    ring = outer
    for hole in sorted(holes, key=lambda h: float(h[:, 0].min())):
        start = int(np.lexsort((hole[:, 1], hole[:, 0]))[0])
        turned = np.roll(hole, -start, axis=0)
        if (_area(hole) > 0) == (_area(outer) > 0):  # a hole must wind opposite to the ring to cancel it
            turned = np.concatenate([turned[:1], turned[:0:-1]])
        x, y = turned[0]
        following = np.roll(ring, -1, axis=0)
        low, high = np.minimum(ring[:, 1], following[:, 1]), np.maximum(ring[:, 1], following[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(low == high, 0, (y - ring[:, 1]) / (following[:, 1] - ring[:, 1]))
        crossing = ring[:, 0] + (following[:, 0] - ring[:, 0]) * share
        reached = (low <= y) & (y <= high) & (low < high) & (crossing <= x)
        if not reached.any():
            return None
        edge = int(np.flatnonzero(reached)[np.argmax(crossing[reached])])
        bridge = np.array([[crossing[edge], y]])
        ring = np.concatenate([ring[: edge + 1], bridge, turned, turned[:1], bridge, ring[edge + 1 :]])
    return ring


def _vertices(component: Component) -> int:
    """Return the number of polygon vertices."""
    return sum(len(shape.points) for shape in component if shape.kind == "polygon")


def _cut_places(points: Floats) -> Iterator[tuple[int, float]]:
    """Yield axes and values of lines that halve or quarter the vertices of a ring, or its extent; longer side first."""
    low, high = points.min(axis=0), points.max(axis=0)
    for shares in ((0.5,), (0.25, 0.75, 0.1, 0.9)):
        for axis in np.argsort(low - high).tolist():
            for share in shares:
                for place in (np.quantile(points[:, axis], share), low[axis] + share * (high[axis] - low[axis])):
                    value = float(np.floor(place)) + _PLACE
                    if low[axis] < value < high[axis]:
                        yield axis, value


def _clipped(component: Component, around: Shape, axis: int, value: float, below: bool) -> Component:
    """Return a component on one side of a line, without holes that do not reach that side."""
    piece = replace(around, points=clip_ring(around.points, axis, value, below))
    kept = [piece]
    for shape in component:
        if shape.kind == "polygon" and shape.complement:
            ring = clip_ring(shape.points, axis, value, below)
            if len(ring) and not _apart(ring, piece.points):
                kept.append(replace(shape, points=ring))
        elif shape is not around:
            kept.append(shape)
    return tuple(kept)


def _apart(a: Floats, b: Floats) -> bool:
    """Return whether two bounding boxes are disjoint."""
    return bool(np.any(a.min(axis=0) > b.max(axis=0)) or np.any(b.min(axis=0) > a.max(axis=0)))


def _area(ring: Floats) -> float:
    """Return the signed area of a ring."""
    following = np.roll(ring, -1, axis=0)
    return float(np.sum(ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1])) / 2
