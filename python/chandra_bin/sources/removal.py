"""Sources removed from images, and what the reference makes of a flux image before it bins it. Arrays only."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.arrays import as_flags, as_image, as_positive
from chandra_bin._checks.given import ImageLike
from chandra_bin._checks.images import FLUX_UNITS
from chandra_bin.errors import InputError

FLUX_FACTOR = 2.5
"""By which the reference brightens its flux image."""
# Pixels around a source that its fill is drawn from: as many as it has, and no fewer than this.
_FEWEST = 50
_WIDEST = 64


def scaled_flux(flux: ImageLike, counts: ImageLike, factor: float = FLUX_FACTOR) -> tuple[NDArray[np.float64], float]:
    """The reference's scaled flux, ``factor`` F mean(C) / mean(F), and the number that F was multiplied by.

    Parameters
    ----------
    flux : (ny, nx), photon/cm^2/s a pixel; NaN where there is no exposure.
    counts : (ny, nx), of the same pixels. Means are those of pixels where both are numbers.

    Its pixels are ``factor`` times as bright as the counts on average, so that a binner that takes them for counts
    finds a S/N sqrt(factor) times too high (see `sn_in_counts`). Raises `InputError` where there are no counts or no
    flux.

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
            raise InputError(f"the sum of {name} is {total:g}: it must be above 0, or nothing can be scaled")
    scale = factor * sums[0] / sums[1]
    return fluxes * scale, scale


def sn_in_counts(sn: float, factor: float = FLUX_FACTOR) -> float:
    """The S/N in counts of bins that were made to ``sn`` in a scaled flux: sn / sqrt(factor); of 70 it is 44.3.

    That is of source and background together: what is left of the source has less.

    Examples
    --------
    >>> from chandra_bin import sn_in_counts
    >>> round(sn_in_counts(70), 1)
    44.3
    """
    return as_positive(sn, "sn") / math.sqrt(as_positive(factor, "factor"))


def fill_sources(counts: ImageLike, sources: ImageLike, *, exposure: ImageLike | None = None,
                 mask: ImageLike | None = None, seed: int = 0) -> tuple[NDArray[np.int32], int]:
    """Counts with sources replaced by Poisson draws of what is around each. For looking at, and for nothing else.

    Parameters
    ----------
    counts : (ny, nx)
    sources : boolean, True in sources. Those that touch, corners included, are filled as one.
    exposure : (ny, nx): what is around is counts per exposure. None: the same everywhere.
    mask : boolean, True where a pixel has no part in it: it is neither filled nor looked at.
    seed : equal seeds give equal draws.

    Around a source are the pixels within the least distance at which there are as many as it has itself (50 at least).
    Returns the image, and how many pixels had nothing around them within 64 pixels and are 0.
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
