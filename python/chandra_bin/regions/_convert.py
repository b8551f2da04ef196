"""Conversion of shapes between coordinate systems, through the pixels of an image."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from chandra_bin._checks.array_types import Floats
from chandra_bin.coords.wcs import ImageCoords, physical_agree
from chandra_bin.errors import InputError, counted, warn

from ._shapes import DEGREES, EVERYWHERE, IMAGE, PHYSICAL, PIXEL_SYSTEMS, WCS, Format, Region, Shape


@dataclass(frozen=True)
class SkyRule:
    """The meaning of sky lengths and angles on an image, for readers of a format.

    An image has one scale, that of its central pixel. CIAO measures angles from the image's +x, DS9 from the west, with
    one north per image, that of its central pixel.
    """

    scale: float
    """Degrees a pixel."""
    north: float
    """The angle of a shape in the sky minus its angle in the image."""
    mirrored: bool
    """East is right of north, so DS9's angles run clockwise."""

    @classmethod
    def of(cls, coords: ImageCoords, format: Format, frame: str | None) -> "SkyRule":
        """Return the rule for a format and a frame (None: the image's own)."""
        x, y = coords.ds9_centre
        scale, north = coords.scale_and_north(x, y, frame)
        lon, lat = coords.image_to_sky([x, x + 1, x], [y, y, y + 1])
        east, north_ward = (lon - lon[0] + 180) % 360 - 180, lat - lat[0]
        mirrored = bool(east[1] * north_ward[2] >= east[2] * north_ward[1])
        return cls(float(scale), float(north) if format == "ds9" else 0.0, format == "ds9" and mirrored)

    def in_image(self, angles: tuple[float, ...], norths: int = 1) -> tuple[float, ...]:
        """Return sky angles as angles from the image's +x; see `Shape.norths`."""
        self._check(angles)
        return tuple(angle - norths * self.north for angle in angles)

    def in_sky(self, angles: tuple[float, ...]) -> tuple[float, ...]:
        """Return angles from the image's +x as sky angles."""
        self._check(angles)
        return tuple((angle + self.north) % 360 for angle in angles) if self.north else angles

    def _check(self, angles: tuple[float, ...]) -> None:
        """Raise `InputError` for angles on a mirrored image."""
        if angles and self.mirrored:
            raise InputError("the image is mirrored (east is right of north): angles in the sky cannot be converted")


Rules = Callable[[Format, str | None], SkyRule]


def convert_region(region: Region, coords: ImageCoords, system: str, format: Format | None = None) -> Region:
    """Return a region with all shapes in ``system``: ``image``, ``physical``, ``wcs`` or a sky frame.

    ``format`` is that of the future readers (None: unchanged); it affects angles in the sky. Raises `InputError` with
    the line for shapes that cannot be converted, and if the image lacks the coordinates.

    A shape off the image's projection, such as on the opposite side of the sky, covers nothing; a `ChandraBinWarning`
    counts such shapes.
    """
    to_format = format or region.format
    region = _on_sky_of(region, coords)
    shapes = list(dict.fromkeys([*region.areas, *(region.other.areas if region.other else ())]))
    in_image = dict(zip(shapes, _shapes_in_image(shapes, coords, region), strict=True))
    reached = {shape: measured for shape, measured in in_image.items() if measured is not None}
    made = dict(zip(reached, _shapes_in_system(reached, coords, system, region, to_format), strict=True))
    if beyond := len(shapes) - len(reached):
        warn(f"{region.source}: "
             f"{counted(beyond, f'of {len(shapes)} shapes lies', f'of {len(shapes)} shapes lie')} where the "
             "image's projection does not reach: no pixel is covered")
    return _converted(region, made, to_format)


def _converted(region: Region, made: dict[Shape, Shape], to_format: Format) -> Region:
    """Return a region with the shapes in ``made``; other shapes cover nothing."""
    components = [tuple(made[shape] for shape in component if shape in made) or (EVERYWHERE,)
                  for component in region.components
                  if all(shape in made or shape.complement for shape in component)]
    return replace(region, components=tuple(components), cuts=tuple(made[cut] for cut in region.cuts if cut in made),
                   format=to_format, coords=None,
                   other=_converted(region.other, made, to_format) if region.other else None)


def _on_sky_of(region: Region, coords: ImageCoords) -> Region:
    """Return a region of a table with its own sky in pixels of an image; unchanged if both skies agree.

    Centres and corners are converted through the sky; lengths and angles by the scales and norths at each centre.
    """
    own = region.coords
    if own is not None and coords.sky is None:
        warn(f"{region.source}: the table has sky coordinates, but the image has none: X and Y are used as "
             "physical coordinates of the image")
    if own is None or coords.sky is None or physical_agree(own, coords):
        return replace(region, coords=None)
    made: dict[Shape, Shape] = {}
    for shape in dict.fromkeys(region.areas):
        corners = _as_polygon(shape) if shape.kind == "rectangle" else shape  # sides follow its own sky
        sky = own.physical_to_sky(corners.points[:, 0], corners.points[:, 1], "icrs")
        points = np.column_stack(coords.sky_to_image(*sky, "icrs"))
        lengths, angles = shape.lengths, shape.angles
        if (lengths or angles) and np.isfinite(points).all():
            ratio, turn = _between(own, shape.points[0], coords, points[0])
            lengths = tuple(length * ratio for length in lengths)
            angles = tuple(angle + turn for angle in angles)
        made[shape] = replace(corners, points=points + 1, lengths=lengths, angles=angles, system=IMAGE, unit=IMAGE)
    return _converted(region, made, region.format)


def _between(own: ImageCoords, place: Floats, coords: ImageCoords, pixel: Floats) -> tuple[float, float]:
    """Return image pixels per pixel of a region's own sky, and the rotation of its angles in degrees, at a position."""
    (scale, north, mirrored), (scale_there, north_there, mirrored_there) = (
        _local_axes(each, np.array(at)) for each, at in ((own, own.physical_to_image(*place)), (coords, pixel)))
    if mirrored != mirrored_there:
        raise InputError("the image is mirrored against the sky of the table: angles cannot be converted")
    return scale / scale_there, (north - north_there) * (-1 if mirrored else 1)


def _local_axes(coords: ImageCoords, pixel: Floats) -> tuple[float, float, bool]:
    """Return degrees per pixel, the angle of +y east of north, and whether east is right of north, at a pixel."""
    x, y = pixel.tolist()
    scale, north = coords.scale_and_north(x, y, "icrs")
    lon, lat = coords.image_to_sky([x, x + 1, x], [y, y, y + 1], "icrs")
    east = (lon[1:] - lon[0] + 180) % 360 - 180
    return float(scale), float(north), bool(east[0] * (lat[2] - lat[0]) > east[1] * (lat[1] - lat[0]))


def _shapes_in_image(given: list[Shape], coords: ImageCoords, region: Region) -> list[Shape | None]:
    """Return shapes in array coordinates, lengths in pixels, angles from +x; None for shapes off the projection."""
    rules = cache(lambda of_format, frame: SkyRule.of(coords, of_format, frame))
    shapes = [_turned_rectangle(shape, coords) for shape in given]
    in_image = _each_system(shapes, lambda x, y, of: _points_to_image(coords, x, y, of))
    measured: list[Shape | None] = []
    for shape, points in zip(shapes, in_image, strict=True):
        if len(points) and not np.isfinite(points).all(axis=1).any():
            measured.append(None)
            continue
        try:
            measured.append(_measured_in_image(shape, points, coords, region.format, rules))
        except InputError as error:
            raise InputError(f"{region.source}: {_where(shape)}{error}") from None
    return measured


def _shapes_in_system(shapes: dict[Shape, Shape], coords: ImageCoords, system: str, region: Region,
                      to_format: Format) -> list[Shape]:
    """Return shapes in ``system``, for readers of ``to_format``, from the original shapes and those in the image."""
    rules = cache(lambda of_format, frame: SkyRule.of(coords, of_format, frame))
    measured, format = list(shapes.values()), region.format
    targets = _each_system([replace(shape, system=system) for shape in measured],
                           lambda x, y, of: _points_from_image(coords, x, y, of))
    unit = DEGREES if system not in PIXEL_SYSTEMS else system
    converted = []
    for original, shape, points in zip(shapes, measured, targets, strict=True):
        if not np.isfinite(points).all():
            raise InputError(f"{region.source}: {_where(original)}is off the sky of the image's projection")
        if original is EVERYWHERE:
            converted.append(original)
        elif (original.system == system and (original.unit == unit or not original.lengths)
              and (format == to_format or not original.angles or system in PIXEL_SYSTEMS)):
            converted.append(original)  # keep the numbers of the file
        else:
            whole = replace(shape, system=system, unit=unit)
            converted.append(_measured_in(whole, points, coords, to_format, rules))
    return converted


def points_from_array(coords: ImageCoords, points: Floats, system: str) -> Floats:
    """Return array coordinates (n, 2) in a system of region files; see `Shape.points`."""
    return np.column_stack(_points_from_image(coords, points[:, 0], points[:, 1], system))


def _each_system(shapes: list[Shape], convert: Callable[[Floats, Floats, str], tuple[Floats, Floats]]) -> list[Floats]:
    """Return the converted points of every shape, with one call per system: a WCS is fast for many points at once."""
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
    """Return the sky frame of a system, None for the image's own."""
    return None if system == WCS else system


def _points_to_image(coords: ImageCoords, x: Floats, y: Floats, system: str) -> tuple[Floats, Floats]:
    """Return points of a system in array coordinates."""
    if system == IMAGE:
        return x - 1, y - 1
    if system == PHYSICAL:
        return coords.physical_to_image(x, y)
    return coords.sky_to_image(x, y, _frame(system))


def _points_from_image(coords: ImageCoords, x: Floats, y: Floats, system: str) -> tuple[Floats, Floats]:
    """Return array coordinates in a system."""
    if system == IMAGE:
        return x + 1, y + 1
    if system == PHYSICAL:
        return coords.image_to_physical(x, y)
    return coords.image_to_sky(x, y, _frame(system))


def _measured_in_image(shape: Shape, points: Floats, coords: ImageCoords, format: Format, rules: Rules) -> Shape:
    """Return a shape in array coordinates, lengths in pixels, angles from the image's +x."""
    if not np.isfinite(points).all():
        raise InputError("is partly off the image's projection")
    frame = None if shape.system in PIXEL_SYSTEMS else _frame(shape.system)
    lengths, angles = shape.lengths, shape.angles
    if lengths and shape.unit != IMAGE:
        per_pixel = rules(format, frame).scale if shape.unit == DEGREES else _physical_rule(coords)[0]
        lengths = tuple(length / per_pixel for length in lengths)
    if angles and shape.system not in PIXEL_SYSTEMS:
        angles = rules(format, frame).in_image(angles, shape.norths)
    elif shape.kind == "sector" and shape.system == PHYSICAL and shape.norths == 1:
        angles = _directions(angles, np.asarray(np.linalg.inv(coords.need_physical().matrix), np.float64))
    elif angles and shape.system == PHYSICAL and _is_turned(coords):
        angles = tuple(angle - shape.norths * _physical_rule(coords)[1] for angle in angles)
    if shape.kind == "rectangle":
        points = np.array([points.min(axis=0), points.max(axis=0)])
    return replace(shape, points=points, lengths=lengths, angles=angles, unit=IMAGE, norths=1)


def _measured_in(shape: Shape, points: Floats, coords: ImageCoords, format: Format, rules: Rules) -> Shape:
    """Return a shape from `_measured_in_image` in its new system and unit, with its converted points."""
    if shape.system == IMAGE:
        return replace(shape, points=points)
    turned = shape.system == PHYSICAL and _is_turned(coords)
    if shape.system == PHYSICAL and shape.kind == "sector":
        return replace(shape, points=points, angles=_directions(shape.angles, coords.need_physical().matrix))
    if shape.system == PHYSICAL and not (turned and shape.kind == "rectangle"):
        per_pixel, turn = _physical_rule(coords) if shape.lengths or (shape.angles and turned) else (1.0, 0.0)
        return replace(shape, points=points, lengths=tuple(length * per_pixel for length in shape.lengths),
                       angles=tuple((angle + turn) % 360 for angle in shape.angles) if turn else shape.angles)
    if shape.kind == "rectangle":  # its sides are not parallel to those axes
        (x0, y0), (x1, y1) = shape.points
        corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        return replace(shape, kind="polygon", points=points_from_array(coords, corners, shape.system))
    if not (shape.lengths or shape.angles):
        return replace(shape, points=points)
    rule = rules(format, _frame(shape.system))
    return replace(shape, points=points, lengths=tuple(length * rule.scale for length in shape.lengths),
                   angles=rule.in_sky(shape.angles))


def _directions(angles: tuple[float, ...], matrix: Floats) -> tuple[float, ...]:
    """Return the two angles of a sector after a linear change of axes: exact, also for mirrored or oblong axes."""
    if matrix[0, 0] > 0 and np.allclose(matrix, matrix[0, 0] * np.eye(2), rtol=0, atol=1e-12 * matrix[0, 0]):
        return angles  # keep the numbers of the file
    rays = matrix @ np.array([np.cos(np.radians(angles)), np.sin(np.radians(angles))])
    first, last = (np.degrees(np.arctan2(rays[1], rays[0])) % 360).tolist()
    if np.linalg.det(matrix) < 0:
        first, last = last, first
    if (angles[1] - angles[0]) % 360 == 0:  # all directions
        return first, first
    return first, first + (last - first) % 360


def _is_turned(coords: ImageCoords) -> bool:
    """Return whether physical axes are rotated against the image."""
    return coords.physical is not None and coords.physical.turned


def _turned_rectangle(shape: Shape, coords: ImageCoords) -> Shape:
    """Return a physical rectangle as a polygon if its sides are not parallel to the image's; else the shape itself."""
    if shape.kind != "rectangle" or shape.system != PHYSICAL or not _is_turned(coords):
        return shape
    return _as_polygon(shape)


def _as_polygon(rectangle: Shape) -> Shape:
    """Return a rectangle as a polygon."""
    (x0, y0), (x1, y1) = rectangle.points
    return replace(rectangle, kind="polygon", points=np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))


def _physical_rule(coords: ImageCoords) -> tuple[float, float]:
    """Return physical pixels per pixel, and the physical angle of the image's +x, if all directions agree."""
    physical = coords.need_physical()
    (xx, xy), (yx, yy) = physical.matrix
    if not physical.turned and (xx <= 0 or abs(xx - yy) > 1e-6 * xx):
        raise InputError(f"pixels are {xx:g} x {yy:g} in physical coordinates: lengths and angles are ambiguous")
    scale = math.hypot(xx, yx)
    if abs(xx - yy) > 1e-6 * scale or abs(xy + yx) > 1e-6 * scale:
        raise InputError("physical coordinates are mirrored or skewed (LTM1_1, LTM1_2 ...): lengths and angles are "
                         "ambiguous")
    return float(scale), math.degrees(math.atan2(yx, xx))


def _where(shape: Shape) -> str:
    """Return the line and kind of a shape for messages."""
    return f"line {shape.line}: {shape.kind}: " if shape.line else ""


def bounds(shapes: Iterable[Shape]) -> Floats | None:
    """Return the box (low, high) x (x, y) of the intersection of shapes, in their own units; None if unlimited.

    Complements do not limit it. The shapes are in pixels.
    """
    low, high = np.full(2, -np.inf), np.full(2, np.inf)
    for shape in shapes:
        if shape.complement or shape.kind in ("field", "sector"):
            continue
        around = math.hypot(*shape.lengths) / 2 if shape.kind == "box" else max(shape.lengths, default=0.0)
        low = np.maximum(low, shape.points.min(axis=0) - around)
        high = np.minimum(high, shape.points.max(axis=0) + around)
    return np.array([low, high]) if np.isfinite([low, high]).all() else None
