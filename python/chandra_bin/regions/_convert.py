"""Shapes from one coordinate system to another, through the pixels of an image."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from chandra_bin.errors import InputError
from chandra_bin.wcs import ImageCoords

from ._shapes import DEGREES, EVERYWHERE, IMAGE, PHYSICAL, PIXEL_SYSTEMS, WCS, Floats, Format, Region, Shape


@dataclass(frozen=True)
class SkyRule:
    """What lengths and angles in the sky mean on an image.

    ``scale`` is degrees a pixel; a shape's angle in the sky is its angle in the image plus ``north`` (degrees).
    """

    scale: float
    north: float

    @classmethod
    def of(cls, coords: ImageCoords, format: Format, frame: str | None) -> "SkyRule":
        """The rule of those who read a format: one scale for an image, that of the pixel at its centre.

        CIAO takes angles from the image's +x, DS9 from the west in ``frame``, with one north for an image, that of the
        pixel at its centre.
        """
        scale, north = coords.scale_and_north(*coords.ds9_centre, frame)
        return cls(float(scale), float(north) if format == "ds9" else 0.0)


def convert_region(region: Region, coords: ImageCoords, system: str, format: Format | None = None) -> Region:
    """A region with all shapes in ``system``: ``image``, ``physical``, ``wcs`` or a frame of the sky.

    ``format`` is that of the readers to be (None: as it was); it matters for angles in the sky. Raises `InputError`,
    naming the line, for shapes that cannot be converted, and where the image has no such coordinates.
    """
    to_format = format or region.format
    shapes = list(dict.fromkeys([*region.areas, *(region.other.areas if region.other else ())]))
    in_system = convert_shapes(shapes, coords, system, region.format, to_format, region.source)
    made = dict(zip(shapes, in_system, strict=True))

    def converted(old: Region) -> Region:
        return replace(
            old,
            components=tuple(tuple(made[shape] for shape in component) for component in old.components),
            cuts=tuple(made[shape] for shape in old.cuts),
            format=to_format,
            other=converted(old.other) if old.other else None,
        )

    return converted(region)


def convert_shapes(shapes: list[Shape], coords: ImageCoords, system: str, format: Format = "ciao",
                   to_format: Format = "ciao", source: str = "the region") -> list[Shape]:
    """Shapes of a file of ``format`` in ``system``, for a reader of ``to_format``."""
    in_image = _each_system(shapes, lambda x, y, of: _points_to_image(coords, x, y, of))
    measured = []
    for shape, points in zip(shapes, in_image, strict=True):
        try:
            measured.append(_measured_in_image(shape, points, coords, format))
        except InputError as error:
            raise InputError(f"{source}: {_where(shape)}{error}") from None
    targets = _each_system([replace(shape, system=system) for shape in measured],
                           lambda x, y, of: _points_from_image(coords, x, y, of))
    unit = DEGREES if system not in PIXEL_SYSTEMS else system
    converted = []
    for original, shape, points in zip(shapes, measured, targets, strict=True):
        if original is EVERYWHERE:
            converted.append(original)
        elif (original.system == system and (original.unit == unit or not original.lengths)
              and (format == to_format or not original.angles or system in PIXEL_SYSTEMS)):
            converted.append(original)  # the very numbers of the file
        else:
            converted.append(_measured_in(shape, points, coords, system, unit, to_format))
    return converted


def points_from_array(coords: ImageCoords, points: Floats, system: str) -> Floats:
    """Array coordinates (n, 2) in a system of region files; see `Shape.points`."""
    return np.column_stack(_points_from_image(coords, points[:, 0], points[:, 1], system))


def _each_system(shapes: list[Shape], convert: Callable[[Floats, Floats, str], tuple[Floats, Floats]]) -> list[Floats]:
    """The converted points of every shape, with one call a system: a WCS is quick with many points, not with few."""
    result: list[Floats] = [shape.points for shape in shapes]
    for system in dict.fromkeys(shape.system for shape in shapes):
        indices = [i for i, shape in enumerate(shapes) if shape.system == system and len(shape.points)]
        if not indices:
            continue
        points = np.concatenate([shapes[i].points for i in indices])
        made = np.column_stack(convert(points[:, 0], points[:, 1], system))
        ends = np.cumsum([len(shapes[i].points) for i in indices])
        for i, part in zip(indices, np.split(made, ends[:-1]), strict=True):
            result[i] = part
    return result


def _frame(system: str) -> str | None:
    return None if system == WCS else system


def _points_to_image(coords: ImageCoords, x: Floats, y: Floats, system: str) -> tuple[Floats, Floats]:
    if system == IMAGE:
        return x - 1, y - 1
    if system == PHYSICAL:
        return coords.physical_to_image(x, y)
    return coords.sky_to_image(x, y, _frame(system))


def _points_from_image(coords: ImageCoords, x: Floats, y: Floats, system: str) -> tuple[Floats, Floats]:
    if system == IMAGE:
        return x + 1, y + 1
    if system == PHYSICAL:
        return coords.image_to_physical(x, y)
    return coords.image_to_sky(x, y, _frame(system))


def _measured_in_image(shape: Shape, points: Floats, coords: ImageCoords, format: Format) -> Shape:
    """A shape in array coordinates, lengths in pixels, angles from the image's +x."""
    if not np.isfinite(points).all():
        raise InputError("lies where the image's projection does not reach")
    in_sky = shape.system not in PIXEL_SYSTEMS
    lengths, angles = shape.lengths, shape.angles
    rule = SkyRule.of(coords, format, _frame(shape.system) if in_sky else None) \
        if (in_sky and angles) or (lengths and shape.unit == DEGREES) else None
    if lengths and shape.unit != IMAGE:
        per_pixel = rule.scale if shape.unit == DEGREES and rule else _physical_scale(coords)
        lengths = tuple(length / per_pixel for length in lengths)
    if in_sky and rule and format == "ds9":
        _need_east_left(coords)
        angles = tuple(angle - rule.north for angle in angles)
    if shape.kind == "rectangle":
        points = np.array([points.min(axis=0), points.max(axis=0)])
    return replace(shape, points=points, lengths=lengths, angles=angles, unit=IMAGE)


def _measured_in(shape: Shape, points: Floats, coords: ImageCoords, system: str, unit: str, format: Format) -> Shape:
    """A shape of `_measured_in_image`, with its points converted, in ``system``."""
    lengths, angles, kind = shape.lengths, shape.angles, shape.kind
    in_sky = system not in PIXEL_SYSTEMS
    if kind == "rectangle" and in_sky:  # its sides do not follow the sky's
        (x0, y0), (x1, y1) = shape.points
        corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        corners = points_from_array(coords, corners, system)
        return replace(shape, kind="polygon", points=corners, system=system, unit=unit)
    if system == PHYSICAL and lengths:
        per_pixel = _physical_scale(coords)
        lengths = tuple(length * per_pixel for length in lengths)
    elif in_sky and (lengths or angles):
        rule = SkyRule.of(coords, format, _frame(system))
        lengths = tuple(length * rule.scale for length in lengths)
        if format == "ds9" and angles:
            _need_east_left(coords)
            angles = tuple((angle + rule.north) % 360 for angle in angles)
    return replace(shape, points=points, lengths=lengths, angles=angles, system=system, unit=unit)


def _physical_scale(coords: ImageCoords) -> float:
    """Physical pixels a pixel, where both axes agree."""
    if coords.physical is None:
        raise InputError("the image has no physical coordinates (CRVAL1P ... or LTV1, LTM1_1)")
    x, y = coords.physical[1]
    if x <= 0 or abs(x - y) > 1e-6 * x:
        raise InputError(f"pixels are {x:g} x {y:g} in physical coordinates: lengths and angles have no single meaning")
    return float(x)


def _need_east_left(coords: ImageCoords) -> None:
    """Angles in the sky run counter-clockwise in an image only where east is left of north."""
    x, y = coords.ds9_centre
    lon, lat = coords.image_to_sky([x, x + 1, x], [y, y, y + 1])
    east = (lon - lon[0] + 180) % 360 - 180
    if east[1] * (lat[2] - lat[0]) - east[2] * (lat[1] - lat[0]) >= 0:
        raise InputError("the image is mirrored (east is right of north): angles in the sky cannot be converted")


def _where(shape: Shape) -> str:
    return f"line {shape.line}: {shape.kind}: " if shape.line else ""


def bounds(shapes: Iterable[Shape]) -> Floats | None:
    """The box (low, high) x (x, y) around what shapes have in common, in their own units; None: unlimited.

    Complements limit nothing. The shapes are in pixels.
    """
    low, high = np.full(2, -np.inf), np.full(2, np.inf)
    for shape in shapes:
        if shape.complement or shape.kind in ("field", "sector"):
            continue
        around = math.hypot(*shape.lengths) / 2 if shape.kind == "box" else max(shape.lengths, default=0.0)
        low = np.maximum(low, shape.points.min(axis=0) - around)
        high = np.minimum(high, shape.points.max(axis=0) + around)
    return np.array([low, high]) if np.isfinite([low, high]).all() else None
