"""Shapes from one coordinate system to another, through the pixels of an image."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from chandra_bin.errors import InputError
from chandra_bin.wcs import ImageCoords

from ._shapes import DEGREES, EVERYWHERE, IMAGE, PHYSICAL, PIXEL_SYSTEMS, WCS, Floats, Format, Region, Shape


@dataclass(frozen=True)
class SkyRule:
    """What lengths and angles in the sky mean on an image, to those who read a format.

    There is one scale for an image, that of the pixel at its centre. CIAO takes angles from the image's +x, DS9 from
    the west, with one north for an image, that of the pixel at its centre.
    """

    scale: float
    """Degrees a pixel."""
    north: float
    """The angle of a shape in the sky is its angle in the image plus this."""
    mirrored: bool
    """East is right of north: DS9's angles run the other way."""

    @classmethod
    def of(cls, coords: ImageCoords, format: Format, frame: str | None) -> "SkyRule":
        """The rule for a format and a frame (None: the image's own)."""
        x, y = coords.ds9_centre
        scale, north = coords.scale_and_north(x, y, frame)
        lon, lat = coords.image_to_sky([x, x + 1, x], [y, y, y + 1])
        east, north_ward = (lon - lon[0] + 180) % 360 - 180, lat - lat[0]
        mirrored = bool(east[1] * north_ward[2] >= east[2] * north_ward[1])
        return cls(float(scale), float(north) if format == "ds9" else 0.0, format == "ds9" and mirrored)

    def in_image(self, angles: tuple[float, ...], norths: int = 1) -> tuple[float, ...]:
        """Angles of the sky from the image's +x; see `Shape.norths`."""
        self._check(angles)
        return tuple(angle - norths * self.north for angle in angles)

    def in_sky(self, angles: tuple[float, ...]) -> tuple[float, ...]:
        """Angles from the image's +x in the sky."""
        self._check(angles)
        return tuple((angle + self.north) % 360 for angle in angles) if self.north else angles

    def _check(self, angles: tuple[float, ...]) -> None:
        if angles and self.mirrored:
            raise InputError("the image is mirrored (east is right of north): angles in the sky cannot be converted")


Rules = Callable[[Format, str | None], SkyRule]


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
    rules = cache(lambda of_format, frame: SkyRule.of(coords, of_format, frame))
    given = shapes
    shapes = [_turned_rectangle(shape, coords) for shape in shapes]
    in_image = _each_system(shapes, lambda x, y, of: _points_to_image(coords, x, y, of))
    measured = []
    for shape, points in zip(shapes, in_image, strict=True):
        try:
            measured.append(_measured_in_image(shape, points, coords, format, rules))
        except InputError as error:
            raise InputError(f"{source}: {_where(shape)}{error}") from None
    targets = _each_system([replace(shape, system=system) for shape in measured],
                           lambda x, y, of: _points_from_image(coords, x, y, of))
    unit = DEGREES if system not in PIXEL_SYSTEMS else system
    converted = []
    for original, shape, points in zip(given, measured, targets, strict=True):
        if original is EVERYWHERE:
            converted.append(original)
        elif (original.system == system and (original.unit == unit or not original.lengths)
              and (format == to_format or not original.angles or system in PIXEL_SYSTEMS)):
            converted.append(original)  # the very numbers of the file
        else:
            whole = replace(shape, system=system, unit=unit)
            converted.append(_measured_in(whole, points, coords, to_format, rules))
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


def _measured_in_image(shape: Shape, points: Floats, coords: ImageCoords, format: Format, rules: Rules) -> Shape:
    """A shape in array coordinates, lengths in pixels, angles from the image's +x."""
    if not np.isfinite(points).all():
        raise InputError("lies where the image's projection does not reach")
    frame = None if shape.system in PIXEL_SYSTEMS else _frame(shape.system)
    lengths, angles = shape.lengths, shape.angles
    if lengths and shape.unit != IMAGE:
        per_pixel = rules(format, frame).scale if shape.unit == DEGREES else _physical_rule(coords)[0]
        lengths = tuple(length / per_pixel for length in lengths)
    if angles and shape.system not in PIXEL_SYSTEMS:
        angles = rules(format, frame).in_image(angles, shape.norths)
    elif angles and shape.system == PHYSICAL and _is_turned(coords):
        angles = tuple(angle - shape.norths * _physical_rule(coords)[1] for angle in angles)
    if shape.kind == "rectangle":
        points = np.array([points.min(axis=0), points.max(axis=0)])
    return replace(shape, points=points, lengths=lengths, angles=angles, unit=IMAGE, norths=1)


def _measured_in(shape: Shape, points: Floats, coords: ImageCoords, format: Format, rules: Rules) -> Shape:
    """A shape of `_measured_in_image` in its new system and unit, with its points converted."""
    if shape.system == IMAGE:
        return replace(shape, points=points)
    turned = shape.system == PHYSICAL and _is_turned(coords)
    if shape.system == PHYSICAL and not (turned and shape.kind == "rectangle"):
        per_pixel, turn = _physical_rule(coords) if shape.lengths or (shape.angles and turned) else (1.0, 0.0)
        return replace(shape, points=points, lengths=tuple(length * per_pixel for length in shape.lengths),
                       angles=tuple((angle + turn) % 360 for angle in shape.angles) if turn else shape.angles)
    if shape.kind == "rectangle":  # its sides do not follow those axes
        (x0, y0), (x1, y1) = shape.points
        corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        return replace(shape, kind="polygon", points=points_from_array(coords, corners, shape.system))
    if not (shape.lengths or shape.angles):
        return replace(shape, points=points)
    rule = rules(format, _frame(shape.system))
    return replace(shape, points=points, lengths=tuple(length * rule.scale for length in shape.lengths),
                   angles=rule.in_sky(shape.angles))


def _is_turned(coords: ImageCoords) -> bool:
    return coords.physical is not None and coords.physical.turned


def _turned_rectangle(shape: Shape, coords: ImageCoords) -> Shape:
    """A rectangle of physical coordinates whose sides do not follow the image's, as polygon; else the shape itself."""
    if shape.kind != "rectangle" or shape.system != PHYSICAL or not _is_turned(coords):
        return shape
    (x0, y0), (x1, y1) = shape.points
    return replace(shape, kind="polygon", points=np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))


def _physical_rule(coords: ImageCoords) -> tuple[float, float]:
    """Physical pixels a pixel, and the physical angle of the image's +x, where all directions agree."""
    physical = coords.need_physical()
    (xx, xy), (yx, yy) = physical.matrix
    if not physical.turned and (xx <= 0 or abs(xx - yy) > 1e-6 * xx):
        raise InputError(f"pixels are {xx:g} x {yy:g} in physical coordinates: lengths and angles have no single "
                         "meaning")
    scale = math.hypot(xx, yx)
    if abs(xx - yy) > 1e-6 * scale or abs(xy + yx) > 1e-6 * scale:
        raise InputError("physical coordinates are mirrored or skewed (LTM1_1, LTM1_2 ...): lengths and angles have no "
                         "single meaning")
    return float(scale), math.degrees(math.atan2(yx, xx))


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
