"""Conversion to and from the region objects of astropy's ``regions`` package."""

import operator
from typing import Any

import numpy as np

from chandra_bin._checks.array_types import Floats
from chandra_bin.coords.given import CoordsLike, as_coords
from chandra_bin.errors import InputError

from ._convert import convert_region
from ._shapes import IMAGE, Component, Region, Shape

# Limit of components when the operators of a compound region are expanded.
_MOST_COMPONENTS = 10_000


def to_astropy(region: Region, coords: "CoordsLike", *, sky: bool = False) -> list[Any]:
    """Return regions of astropy's ``regions``, one per component: in array coordinates, or in the sky of ``coords``.

    Excluded shapes are included as compound regions. In the sky, lengths and angles use the local scale and the local
    north, as in that package. Raises `InputError` for pies, sectors and fields, which it does not have.
    """
    coords = as_coords(coords)
    pixels = convert_region(region, coords, IMAGE)
    made = [_joined((*component, *(cut.complemented() for cut in pixels.cuts)), pixels.source)
            for component in pixels.components]
    if not sky:
        return made
    sky_coords = coords.need_sky()
    return [one.to_sky(sky_coords) for one in made]


def from_astropy(objects: Any, coords: "CoordsLike | None" = None) -> Region:
    """Return the region that covers any of ``objects``: one or several astropy regions, in pixels or in the sky.

    Sky regions need ``coords``, as in `region_mask`. Regions with ``include=False`` in their meta are excluded from
    all. Compound regions with ``&``, ``|`` and ``^`` are supported. Raises `InputError` for regions that cover no
    pixels, and for ``include=False`` inside a compound region.
    """
    from regions import Region as OfAstropy
    from regions import SkyRegion

    if isinstance(objects, OfAstropy):
        objects = [objects]
    coords = None if coords is None else as_coords(coords)
    included: list[Component] = []
    cuts: list[Shape] = []
    for number, one in enumerate(objects, start=1):
        in_pixels = one
        if isinstance(one, SkyRegion):
            if coords is None or coords.sky is None:
                raise InputError("sky regions need the coordinates of an image with sky coordinates")
            in_pixels = one.to_pixel(coords.sky)
        components = _components(in_pixels, number)
        if _is_included(one):
            included += components
        elif len(components) == len(components[0]) == 1:
            cuts.append(components[0][0])
        else:
            raise InputError(f"region {number} is a compound region with include=False: subtract it from each of "
                             "the others with ^ or &")
    if not included:
        raise InputError("none of the regions is included")
    return Region(tuple(included), tuple(cuts), source="the regions")


def _joined(component: Component, source: str) -> Any:
    """Return a component as a region of astropy's."""
    included = [_to_pixel_region(shape, source) for shape in component if not shape.complement]
    if not included:
        raise InputError(f"{source}: line {component[0].line}: astropy has no region for everything outside a shape")
    joined = included[0]
    for other in included[1:]:
        joined = joined & other
    for shape in component:
        if shape.complement:
            joined = joined ^ (joined & _to_pixel_region(shape, source))
    return joined


def _to_pixel_region(shape: Shape, source: str) -> Any:
    """Return a shape as a pixel region of astropy's."""
    import regions as package
    from astropy.units import deg
    from regions import PixCoord

    points = shape.points - 1
    centre = PixCoord(*points.mean(axis=0)) if len(points) else None
    angle = shape.angles[0] * deg if shape.angles else None
    makers = {
        "circle": lambda: package.CirclePixelRegion(centre, *shape.lengths),
        "ellipse": lambda: package.EllipsePixelRegion(centre, *(2 * length for length in shape.lengths), angle),
        "box": lambda: package.RectanglePixelRegion(centre, *shape.lengths, angle),
        "rectangle": lambda: package.RectanglePixelRegion(centre, *np.ptp(points, axis=0)),
        "annulus": lambda: package.CircleAnnulusPixelRegion(centre, *shape.lengths),
        "point": lambda: package.PointPixelRegion(centre),
        "polygon": lambda: package.PolygonPixelRegion(PixCoord(*points.T)),
    }
    if shape.kind not in makers:
        raise InputError(f"{source}: line {shape.line}: astropy's regions have no {shape.kind}")
    return makers[shape.kind]()


def _is_included(one: Any) -> bool:
    """Return whether a region is not marked ``include=False``."""
    return one.meta.get("include", True) not in (False, "-")


def _components(one: Any, number: int) -> list[Component]:
    """Return a pixel region as components joined by OR, of shapes joined by AND."""
    if type(one).__name__ != "CompoundPixelRegion":
        return [(_from_pixel_region(one, number),)]
    if not (_is_included(one.region1) and _is_included(one.region2)):
        raise InputError(f"region {number} is a compound region with include=False in a part, which its operator "
                         "ignores: subtract that part with ^ or &")
    first, second = (_components(each, number) for each in (one.region1, one.region2))
    if one.operator is operator.or_:
        return first + second
    if one.operator is operator.and_:
        return _both(first, second)
    return _both(first, _outside(second)) + _both(_outside(first), second)


def _both(first: list[Component], second: list[Component]) -> list[Component]:
    """Return the AND of two lists of components."""
    if len(first) * len(second) > _MOST_COMPONENTS:
        raise InputError("a compound region is too deeply nested: give its parts")
    return [(*one, *other) for one in first for other in second]


def _outside(components: list[Component]) -> list[Component]:
    """Return the complement of all components, from the complement of one shape of each."""
    outside: list[Component] = [()]
    for component in components:
        outside = _both(outside, [(shape.complemented(),) for shape in component])
    return outside


def _from_pixel_region(one: Any, number: int) -> Shape:
    """Return a pixel region of astropy's as a shape."""
    def at(position: Any) -> Floats:
        return np.column_stack([np.atleast_1d(position.x), np.atleast_1d(position.y)]).astype(float) + 1

    def shape(kind: str, points: Floats, lengths: tuple[float, ...] = (), angles: tuple[float, ...] = ()) -> Shape:
        return Shape(kind, points, tuple(map(float, lengths)), angles, IMAGE, IMAGE, line=number)

    name = type(one).__name__
    if name == "CirclePixelRegion":
        return shape("circle", at(one.center), (one.radius,))
    if name == "EllipsePixelRegion":
        return shape("ellipse", at(one.center), (one.width / 2, one.height / 2), (float(one.angle.to_value("deg")),))
    if name == "RectanglePixelRegion":
        return shape("box", at(one.center), (one.width, one.height), (float(one.angle.to_value("deg")),))
    if name == "CircleAnnulusPixelRegion":
        return shape("annulus", at(one.center), (one.inner_radius, one.outer_radius))
    if name in ("PolygonPixelRegion", "RegularPolygonPixelRegion"):
        return shape("polygon", at(one.vertices))
    if name == "PointPixelRegion":
        return shape("point", at(one.center))
    raise InputError(f"region {number}, a {name}, cannot be used: give circles, ellipses, rectangles, circular annuli, "
                     "polygons")
