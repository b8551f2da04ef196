"""Maps of the size of a point source: the radius that holds a fraction of its photons, off axis."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin.acis import geometry as acis
from chandra_bin.coords.grids import Grid
from chandra_bin.errors import InputError

# Rows of a map that are made at once: their angles stay in the cache.
_ROWS = 32


def psf_map(grid: Grid, axis: ArrayLike, *, ecf: float = 0.9) -> NDArray[np.float32]:
    """The radius in arcsec at each pixel of a grid, by `chandra_bin.acis.geometry.psf_radius_arcsec`.

    ``axis``: the optical axis at its mean place, (2,) in sky pixels. Raises `InputError` for an enclosed fraction that
    is not between 0 and 1.
    """
    check_ecf(ecf)
    x0, y0 = np.asarray(axis, np.float64)
    radii = np.empty(grid.shape, np.float32)
    x, y = grid.x.centres - x0, grid.y.centres - y0
    for first in range(0, len(y), _ROWS):
        rows = slice(first, first + _ROWS)
        theta_arcmin = np.hypot(x, y[rows, None]) * acis.PIXEL_ARCSEC / 60
        radii[rows] = acis.psf_radius_arcsec(theta_arcmin, ecf)
    return radii


def check_ecf(ecf: float) -> None:
    """Raises `InputError` for an enclosed fraction that is not between 0 and 1."""
    if not 0 < ecf < 1:
        raise InputError(f"the enclosed fraction is {ecf:.15g}, and must be between 0 and 1: 0.9 say")
