"""Areas of the pixels of images, on the sky or in sky pixels of events."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from chandra_bin._checks.array_types import Floats

from .tangent_plane import sky_pixel_map
from .wcs import ImageCoords

# Corners converted at once: intermediate results stay in the processor's cache.
_CORNERS = 1 << 15


def pixel_areas_arcsec2(image: ImageCoords, x: ArrayLike, y: ArrayLike) -> Floats:
    """Return the sky areas, in arcsec^2, of the pixels with centres at these array coordinates, any shape.

    Each is the area of the quadrangle of the pixel's corners; NaN if a corner is off the sky. Raises `InputError` if
    the image has no sky coordinates.
    """
    import erfa

    def on_sphere(x: Floats, y: Floats) -> Sequence[Floats]:
        lon, lat = image.image_to_sky(x, y)
        return list(np.moveaxis(erfa.s2c(np.radians(lon), np.radians(lat)), -1, 0))

    def area_of(one: Sequence[Floats], other: Sequence[Floats]) -> Floats:
        across = np.cross(np.stack(one, axis=-1), np.stack(other, axis=-1))
        return np.asarray(np.degrees(np.degrees(np.linalg.norm(across, axis=-1) / 2)) * 3600.0**2)

    return _from_diagonals(x, y, on_sphere, area_of)


def pixel_areas_in(image: ImageCoords, events: ImageCoords) -> Callable[[ArrayLike, ArrayLike], Floats]:
    """Return a function like `pixel_areas_arcsec2` of an image, for areas in sky pixels of events."""
    to_sky = sky_pixel_map(image, events)

    def area_of(one: Sequence[Floats], other: Sequence[Floats]) -> Floats:
        return np.asarray(np.abs(one[0] * other[1] - one[1] * other[0]) / 2, np.float64)

    return lambda x, y: _from_diagonals(x, y, to_sky, area_of)


def _from_diagonals(x: ArrayLike, y: ArrayLike, convert: Callable[[Floats, Floats], Sequence[Floats]],
                    area_of: Callable[[Sequence[Floats], Sequence[Floats]], Floats]) -> Floats:
    """Return the areas of pixels from their diagonals, for array coordinates x and y of any shape.

    ``convert`` takes array coordinates of corners, which broadcast, to the components of vectors. ``area_of`` takes two
    diagonals, the components of differences of the vectors of opposite corners, to the area: from lower left to upper
    right, and from lower right to upper left. Neighbouring pixels share corners: if whole-number pixels fill most of a
    box, each corner is converted once.
    """
    x, y = np.broadcast_arrays(np.asarray(x), np.asarray(y))
    if x.size and x.dtype.kind == y.dtype.kind == "i":
        left, low = int(x.min()), int(y.min())
        width, height = int(x.max()) - left + 1, int(y.max()) - low + 1
        if (width + 1) * (height + 1) <= 2 * x.size:
            areas = np.empty((height, width))
            columns = np.arange(left, left + width + 1, dtype=float)[None] - 0.5
            rows = max(1, _CORNERS // width)
            for first in range(0, height, rows):
                some = areas[first : first + rows]
                at = convert(columns, np.arange(low + first, low + first + len(some) + 1, dtype=float)[:, None] - 0.5)
                some[:] = area_of([each[1:, 1:] - each[:-1, :-1] for each in at],
                                  [each[1:, :-1] - each[:-1, 1:] for each in at])
            return np.asarray(areas[y - low, x - left])
    corner = {(dx, dy): convert(x + dx, y + dy) for dx in (-0.5, 0.5) for dy in (-0.5, 0.5)}

    def diagonal(one: tuple[float, float], other: tuple[float, float]) -> list[Floats]:
        return [end - begin for end, begin in zip(corner[one], corner[other], strict=True)]

    return area_of(diagonal((0.5, 0.5), (-0.5, -0.5)), diagonal((-0.5, 0.5), (0.5, -0.5)))
