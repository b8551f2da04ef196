"""Areas of the pixels of images, on the sky or in sky pixels of events."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from chandra_bin._checks.array_types import Floats

from .tangent_plane import sky_pixels_of
from .wcs import ImageCoords


def pixel_areas_arcsec2(image: ImageCoords, x: ArrayLike, y: ArrayLike) -> Floats:
    """Return the sky areas, in arcsec^2, of the pixels with centres at these array coordinates, any shape.

    Each is the area of the quadrangle of the pixel's corners; NaN if a corner is off the sky. Raises `InputError` if
    the image has no sky coordinates.
    """
    import erfa

    def on_sphere(x: Floats, y: Floats) -> Floats:
        lon, lat = image.image_to_sky(x, y)
        return np.asarray(erfa.s2c(np.radians(lon), np.radians(lat)))

    def area_of(one: Floats, other: Floats) -> Floats:
        return np.asarray(np.degrees(np.degrees(np.linalg.norm(np.cross(one, other), axis=-1) / 2)) * 3600.0**2)

    return _from_diagonals(x, y, on_sphere, area_of)


def pixel_areas_in(image: ImageCoords, events: ImageCoords, x: ArrayLike, y: ArrayLike) -> Floats:
    """Return the areas of pixels in sky pixels (physical coordinates) of events; see `pixel_areas_arcsec2`."""
    def on_plane(x: Floats, y: Floats) -> Floats:
        return np.stack(sky_pixels_of(image, events, x, y), axis=-1)

    def area_of(one: Floats, other: Floats) -> Floats:
        return np.asarray(np.abs(one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]) / 2, np.float64)

    return _from_diagonals(x, y, on_plane, area_of)


def _from_diagonals(x: ArrayLike, y: ArrayLike, convert: Callable[[Floats, Floats], Floats],
                    area_of: Callable[[Floats, Floats], Floats]) -> Floats:
    """Return the areas of pixels from their diagonals, for array coordinates x and y of any shape.

    ``convert`` takes array coordinates of corners to vectors (..., k). ``area_of`` takes two diagonals, differences
    (..., k) of the vectors of opposite corners, to the area: from lower left to upper right, and from lower right to
    upper left. Neighbouring pixels share corners: if whole-number pixels fill most of a box, each corner is converted
    once.
    """
    x, y = np.broadcast_arrays(np.asarray(x), np.asarray(y))
    if x.size and x.dtype.kind == y.dtype.kind == "i":
        left, low = int(x.min()), int(y.min())
        width, height = int(x.max()) - left + 2, int(y.max()) - low + 2
        if width * height <= 2 * x.size:
            at = convert(*(each - 0.5 for each in np.meshgrid(
                np.arange(left, left + width, dtype=float), np.arange(low, low + height, dtype=float))))
            areas = area_of(at[1:, 1:] - at[:-1, :-1], at[1:, :-1] - at[:-1, 1:])
            return np.asarray(areas[y - low, x - left])
    corner = {(dx, dy): convert(x + dx, y + dy) for dx in (-0.5, 0.5) for dy in (-0.5, 0.5)}
    return area_of(corner[0.5, 0.5] - corner[-0.5, -0.5], corner[-0.5, 0.5] - corner[0.5, -0.5])
