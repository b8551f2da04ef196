"""Conversion of event coordinates between tangent planes.

A pixel of a tangent-plane (gnomonic) image is a direction: the vector (xi, eta, 1) along the axes east, north, outward
at the tangent point (Calabretta & Greisen 2002, A&A 395, 1077, sec. 5.1.3). Converting from one plane to another is one
3 x 3 matrix and two divisions, without angles: exact, also at the poles and across RA 0.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin.errors import InputError

from .frames import convert_frame, sky_frame
from .sexagesimal import may_be_hours, parse_sexagesimal
from .wcs import ImageCoords, physical_agree

if TYPE_CHECKING:
    from astropy.wcs import WCS

# Rows converted at once: intermediate results stay in the processor's cache.
_CHUNK = 1 << 14
# An eighth of a pixel: bin edges of whole, half, quarter and eighth pixels are multiples of it.
_CELL = 0.125
_AXES = ("RA---TAN", "DEC--TAN")
_USUAL_POLE_DEG = 180.0

# Converts x and y, which broadcast.
PlaneMap = Callable[[ArrayLike, ArrayLike], tuple[Floats, Floats]]


def reproject(events: ImageCoords, to: ImageCoords, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    """Convert physical coordinates of events to those of another tangent plane, through the sky.

    Parameters
    ----------
    events, to : coordinates of an event list (`ImageCoords.from_events`) or an image, with a sky WCS.
    x, y : sky pixels of ``events``, any shape.

    Returns
    -------
    x, y : float64, same shape; NaN for NaN and for positions more than 90 degrees from the new tangent point.

    Raises
    ------
    InputError : if one has no sky coordinates.
    """
    return _plane_map(events, to)(x, y)


def _plane_map(events: ImageCoords, to: ImageCoords) -> PlaneMap:
    """Return a function that does `reproject`; it reads the headers once."""
    matrix = _matrix(events, to)

    def through_the_sky(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        return to.sky_to_physical(*events.physical_to_sky(x, y, "icrs"), "icrs")

    if matrix is None:  # other projections, distortions, unlike frames
        return through_the_sky
    return lambda x, y: _between_planes(matrix, np.asarray(x, np.float64), np.asarray(y, np.float64))


def _between_planes(matrix: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Convert physical coordinates, which broadcast, by the matrix between two planes."""
    if x.shape != y.shape:  # a lattice: products of rows and columns, sums of pixels
        return _divided(matrix, x, y)
    new_x, new_y = np.empty(x.shape), np.empty(x.shape)
    flat = [np.reshape(each, -1) for each in (x, y, new_x, new_y)]
    for first in range(0, x.size, _CHUNK):
        part = slice(first, first + _CHUNK)
        flat[2][part], flat[3][part] = _divided(matrix, flat[0][part], flat[1][part])
    return new_x, new_y


def _divided(matrix: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return the coordinates on the new plane; NaN for directions that do not reach it."""
    new_x, new_y, outward = (row[0] * x + row[1] * y + row[2] for row in matrix)
    if not (outward > 0).all():
        outward = np.where(outward > 0, outward, np.nan)
    return new_x / outward, new_y / outward


def pixel_map(events: ImageCoords, image: ImageCoords) -> PlaneMap:
    """Return a function that converts physical coordinates of events to array coordinates of an image.

    If the tangent points agree (`physical_agree`), physical coordinates are used unchanged, else they are converted
    through the sky. Raises `InputError` if one has no sky coordinates.
    """
    if physical_agree(events, image):
        return image.physical_to_image
    if image.physical is None:
        return lambda x, y: image.sky_to_image(*events.physical_to_sky(x, y, "icrs"), "icrs")
    to_plane = _plane_map(events, image)
    return lambda x, y: image.physical_to_image(*to_plane(x, y))


def sky_pixel_map(image: ImageCoords, events: ImageCoords) -> PlaneMap:
    """Return a function that converts array coordinates of an image to physical coordinates (sky pixels) of events.

    The function takes coordinates of any shape; a row (1, nx) and a column (ny, 1) are converted to their lattice. It
    returns NaN more than 90 degrees from the tangent point of the events. Raises `InputError` if one has no sky
    coordinates.
    """
    if image.physical is None or events.physical is None:
        return lambda x, y: events.sky_to_physical(*image.image_to_sky(x, y, "icrs"), "icrs")
    to_plane = _plane_map(image, events)
    return lambda x, y: to_plane(*image.image_to_physical(x, y))


def keeps_lines(image: ImageCoords, events: ImageCoords) -> bool:
    """Return whether lines of an image are lines on the sky pixels of events, too, as between tangent planes."""
    return image.physical is not None and events.physical is not None and _matrix(image, events) is not None


def as_float32(values: Floats) -> NDArray[np.float32]:
    """Round coordinates to float32 without moving an event to another pixel of any grid.

    The result is the nearest float32, or the one below if the nearest would move an event into another eighth of a
    pixel. A bin then contains as many events after storage as before.
    """
    stored: NDArray[np.float32] = values.astype(np.float32)
    over = np.floor(stored.astype(np.float64) / _CELL) > np.floor(values / _CELL)
    stored[over] = np.nextafter(stored[over], np.float32(-np.inf))
    return stored


def tangent_point(coords: ImageCoords, like: ImageCoords | None = None) -> tuple[float, float]:
    """Return RA and declination of the tangent point, in degrees, in the frame of ``like`` (None: its own)."""
    sky = coords.need_sky()
    lon, lat = sky.wcs.crval[sky.wcs.lng], sky.wcs.crval[sky.wcs.lat]
    if like is not None:
        lon, lat = convert_frame(lon, lat, coords.frame, like.frame, coords.mjd)
    return float(lon), float(lat)


def parse_point(text: str, like: ImageCoords) -> tuple[float, float]:
    """Return (lon, lat) in degrees in the frame of ``like`` of a position in ICRS, ``RA DEC``.

    Degrees and sexagesimal values, such as 15:13:54.1 -59:08:24, are accepted. Raises `InputError` for other text.
    """
    words = text.replace(",", " ").split()
    if len(words) == 6:
        words = [":".join(words[:3]), ":".join(words[3:])]
    try:
        lon, lat = (_degrees(word, hours) for word, hours in zip(words, (15, 1), strict=True))
    except ValueError:
        raise InputError(f"{text!r} is neither a file nor a sky position: give RA and Dec in degrees, "
                         "'228.48 -59.14', or '15:13:54 -59:08:24'") from None
    if not (0 <= lon <= 360 and -90 <= lat <= 90):
        raise InputError(f"position {text!r} is off the sky: RA must be 0 to 360 degrees, Dec -90 to 90")
    lon, lat = (float(value) for value in convert_frame(lon, lat, sky_frame("icrs"), like.frame, like.mjd))
    return lon, lat


def mean_point(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the mean of sky positions as unit vectors; longitudes and latitudes in degrees."""
    if len(set(points)) == 1:
        return points[0]
    x, y, z = np.mean([_unit(lon, lat) for lon, lat in points], axis=0)
    return float(np.degrees(np.arctan2(y, x)) % 360 % 360), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


def separation_deg(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the angle between two sky positions in degrees."""
    a, b = _unit(*one), _unit(*other)
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))


def _matrix(events: ImageCoords, to: ImageCoords) -> Floats | None:
    """Return the matrix from (x, y, 1) to the new plane, up to a positive factor; None unless both planes are plain."""
    planes = events.need_sky(), to.need_sky()
    if not all(_is_plain(sky) for sky in planes) or not events.frame.is_equivalent_frame(to.frame):
        return None
    old, new = (_directions(coords, sky) for coords, sky in zip((events, to), planes, strict=True))
    return np.asarray(np.linalg.solve(new, old), np.float64)


def _is_plain(sky: "WCS") -> bool:
    """Return whether a WCS is RA and Dec on a tangent plane with the usual pole and no distortion."""
    return (tuple(sky.wcs.ctype) == _AXES and not sky.has_distortion
            and sky.wcs.lonpole == _USUAL_POLE_DEG and not sky.wcs.get_pv())


def _directions(coords: ImageCoords, sky: "WCS") -> Floats:
    """Return the matrix from physical (x, y, 1) to a direction vector (not normalised)."""
    pixel = np.eye(3)
    pixel[:2, :2] = np.linalg.inv(coords.need_physical().matrix)
    pixel[:2, 2] = -pixel[:2, :2] @ coords.need_physical().offset - (sky.wcs.crpix - 1)
    plane = np.eye(3)
    plane[:2, :2] = np.radians(sky.pixel_scale_matrix)
    lon, lat = np.radians(sky.wcs.crval)
    axes = np.column_stack([
        [-np.sin(lon), np.cos(lon), 0],
        [-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)],
        [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)],
    ])
    directions: Floats = axes @ plane @ pixel
    return directions


def _degrees(word: str, per_hour: int) -> float:
    """Return degrees of a right ascension (``per_hour`` 15) or declination (1)."""
    value = parse_sexagesimal(word, carry=False)  # typed by a user, so 60 is an error
    if value is None:
        return float(word)
    return value * (per_hour if may_be_hours(word) else 1)


def _unit(lon_deg: float, lat_deg: float) -> Floats:
    """Return the unit vector of a direction in degrees."""
    lon, lat = np.radians([lon_deg, lat_deg])
    return np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
