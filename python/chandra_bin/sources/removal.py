"""Removal of sources from images, and the scaled flux image that the step scripts bin. Arrays only."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.arrays import as_flags, as_image, as_positive
from chandra_bin._checks.given import ImageLike
from chandra_bin._checks.images import FLUX_UNITS
from chandra_bin.errors import InputError

FLUX_FACTOR = 2.5
"""Mean of the step scripts' scaled flux image over that of the counts image."""
# The fill of a source is drawn from as many pixels around the source as it has itself, and from at least this many.
_FEWEST = 50
_WIDEST = 64


def scaled_flux(flux: ImageLike, counts: ImageLike, factor: float = FLUX_FACTOR) -> tuple[NDArray[np.float64], float]:
    """Return the scaled flux of the step scripts, ``factor`` F mean(C) / mean(F), and the number that multiplies F.

    The scaled flux is ``factor`` times as bright as the counts on average. A binner that treats it as counts finds an
    S/N that is sqrt(factor) times too high (see `sn_in_counts`).

    Parameters
    ----------
    flux : image, (ny, nx)
        Flux in photon/cm^2/s per pixel; NaN without exposure.
    counts : image, (ny, nx)
        Counts of the same pixels. Means are taken over pixels in which both images are finite.
    factor : float
        Mean of the scaled flux over the mean of the counts.

    Returns
    -------
    scaled : float64 (ny, nx)
        The scaled flux.
    scale : float
        The number that multiplies the flux.

    Raises
    ------
    InputError
        If the sum of the counts or of the flux is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin import scaled_flux
    >>> scaled_flux(np.full((2, 2), 1e-8), np.full((2, 2), 4))[0].tolist()
    [[10.0, 10.0], [10.0, 10.0]]
    """
    fluxes = as_image(flux, "flux", np.float64, units=FLUX_UNITS)
    image = as_image(counts, "counts", np.float64, fluxes.shape)
    factor = as_positive(factor, "factor")
    both = np.isfinite(fluxes) & np.isfinite(image)
    sums = [math.fsum(each[both]) for each in (image, fluxes)]
    for name, total in zip(("counts", "flux"), sums, strict=True):
        if not total > 0:
            raise InputError(f"the sum of {name} must be positive, got {total:g}: the flux cannot be scaled")
    scale = factor * sums[0] / sums[1]
    return fluxes * scale, scale


def sn_in_counts(sn: float, factor: float = FLUX_FACTOR) -> float:
    """Return the S/N in counts of bins with the target ``sn`` in a scaled flux: sn / sqrt(factor).

    The S/N is that of source and background together; the S/N of the net counts is lower.

    Examples
    --------
    >>> from chandra_bin import sn_in_counts
    >>> round(sn_in_counts(70), 1)
    44.3
    """
    return as_positive(sn, "sn") / math.sqrt(as_positive(factor, "factor"))


def fill_sources(counts: ImageLike, sources: ImageLike, *, exposure: ImageLike | None = None,
                 mask: ImageLike | None = None, seed: int = 0) -> tuple[NDArray[np.int32], int]:
    """Fill sources with Poisson draws from their surroundings, for display only.

    The surroundings of a source are its nearest pixels, as many as the source has (at least 50).

    Parameters
    ----------
    counts : image, (ny, nx)
        Counts per pixel.
    sources : image of bool, (ny, nx)
        True in sources. Sources that touch, corners included, are filled as one.
    exposure : image, (ny, nx), optional
        Exposure map, which scales the draws. Default: uniform.
    mask : image of bool, (ny, nx), optional
        True in pixels that are neither filled nor used.
    seed : int
        Seed of the random numbers.

    Returns
    -------
    filled : int32 (ny, nx)
        The filled image.
    lost : int
        Number of pixels without usable surroundings within 64 pixels, which are 0.
    """
    from scipy.ndimage import distance_transform_edt, find_objects, label

    image = as_image(counts, "counts", np.float64)
    removed = as_flags(sources, "sources", image.shape)
    out = as_flags(mask, "mask", image.shape) | ~np.isfinite(image)
    exposed = np.ones(image.shape) if exposure is None else as_image(exposure, "exposure", np.float64, image.shape)
    out |= ~(exposed > 0)
    draw = np.random.default_rng(seed)
    labels, _ = label(removed, np.ones((3, 3)))
    filled = np.where(removed, 0, np.nan_to_num(image))
    lost = 0
    for number, box in enumerate(find_objects(labels), start=1):
        around = tuple(slice(max(axis.start - _WIDEST, 0), axis.stop + _WIDEST) for axis in box)
        here = labels[around] == number
        distance = distance_transform_edt(~here)
        usable = ~removed[around] & ~out[around] & (distance <= _WIDEST)
        wanted = max(int(np.count_nonzero(here)), _FEWEST)
        distances = np.sort(distance[usable])
        inside = here & ~out[around]
        if not len(distances):
            lost += int(np.count_nonzero(inside))
            continue
        ring = usable & (distance <= distances[min(wanted, len(distances)) - 1])
        rate = math.fsum(image[around][ring]) / math.fsum(exposed[around][ring])
        filled[around][inside] = draw.poisson(max(rate, 0.0) * exposed[around][inside])
    return np.rint(filled).astype(np.int32), lost
