"""PSF maps: the off-axis radius that encloses a fraction of the photons of a point source."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin.acis import geometry as acis
from chandra_bin.coords.grids import Grid
from chandra_bin.errors import InputError

# Rows of a map computed at once: their angles stay in the cache.
_ROWS = 32


def psf_map(grid: Grid, axis: ArrayLike, *, ecf: float = 0.9) -> NDArray[np.float32]:
    """Return the enclosed-energy radius in arcsec at each pixel of a grid (`acis.geometry.psf_radius_arcsec`).

    ``axis`` is the mean position of the optical axis, (2,) in sky pixels. Raises `InputError` unless ``ecf`` is between
    0 and 1.
    """
    check_ecf(ecf)
    x0, y0 = np.asarray(axis, np.float64)
    radii = np.empty(grid.shape, np.float32)
    x_square, y_square = (grid.x.centres - x0) ** 2, (grid.y.centres - y0) ** 2
    for first in range(0, len(y_square), _ROWS):
        rows = slice(first, first + _ROWS)
        theta_arcmin = np.sqrt(x_square + y_square[rows, None]) * acis.PIXEL_ARCSEC / 60  # numpy's hypot is slow
        radii[rows] = acis.psf_radius_arcsec(theta_arcmin, ecf)
    return radii


def check_ecf(ecf: float) -> None:
    """Raise `InputError` unless an enclosed fraction is between 0 and 1."""
    if not 0 < ecf < 1:
        raise InputError(f"the enclosed fraction must be between 0 and 1, got {ecf:.15g}: try 0.9")
