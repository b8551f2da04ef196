"""Maps of the size of a point source: the radius that holds a fraction of its photons, off axis."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import acis
from .errors import InputError
from .grids import Grid


def psf_map(grid: Grid, axis: ArrayLike, *, ecf: float = 0.9) -> NDArray[np.float32]:
    """The radius in arcsec at each pixel of a grid, by `acis.psf_radius_arcsec`.

    ``axis``: the optical axis at its mean place, (2,) in sky pixels. Raises `InputError` for an enclosed fraction that
    is not between 0 and 1.
    """
    if not 0 < ecf < 1:
        raise InputError(f"the enclosed fraction is {ecf:g}, and must be between 0 and 1: 0.9 say")
    x0, y0 = np.asarray(axis, np.float64)
    x = grid.x.first + (np.arange(grid.x.size) + 0.5) * grid.x.step - x0
    y = grid.y.first + (np.arange(grid.y.size) + 0.5) * grid.y.step - y0
    theta_arcmin = np.hypot(x, y[:, None]) * acis.PIXEL_ARCSEC / 60
    return acis.psf_radius_arcsec(theta_arcmin, ecf).astype(np.float32)
