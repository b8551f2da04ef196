"""Adaptive smoothing with top hats and Gaussians that grow until they contain enough signal.

Images are (ny, nx) arrays of any numeric dtype and byte order, which are read as float32, as contbin does. Results are
new float32 arrays (ny, nx). ``mask`` is boolean, True in excluded pixels. ``threads`` does not change the result.
``progress`` is called repeatedly with the fraction done (0 to 1). All functions raise `InputError`, a ``ValueError``,
for shapes that differ, infinite pixels, an S/N that is not positive, and if no pixel is left to smooth.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s
from chandra_bin._checks.arrays import as_flags, as_image, as_labels, as_positive, as_progress, as_threads, as_whole
from chandra_bin._checks.given import ImageLike
from chandra_bin._checks.images import (
    EXPOSURE_UNITS,
    FLUX_UNITS,
    KernelImages,
    exclude_nan,
    exclude_unexposed,
    exposure_unit,
    joined_mask,
    require_pixels,
    use_flags,
)
from chandra_bin._kernels import _counts_scale, _smooth, _smooth_gaussian
from chandra_bin.errors import InputError, counted, warn

Progress = Callable[[float], object] | None

# The kernels add whole numbers with a smaller sum exactly, in 32 bits.
_MOST_WHOLE = 4e9

__all__ = [
    "apply_scale",
    "counts_scale",
    "smooth",
    "smooth_expcorr",
    "smooth_expmap",
    "smooth_exposure",
    "smooth_flux",
    "smooth_gaussian",
]


def smooth(counts: ImageLike, *, sn: float = 15, background: ImageLike | None = None,
           exposure: ImageLike | None = None, background_exposure: ImageLike | None = None,
           noise: ImageLike | None = None, mask: ImageLike | None = None, threads: int = 1,
           progress: Progress = None) -> Float32s:
    """Smooth an image to an S/N with top hats (``accumulate_smooth`` of contbin).

    Each pixel becomes the mean net counts in the smallest disc around it whose S/N reaches ``sn``, or of the whole
    image if no disc does; masked pixels become 0. F and B are the sums of counts and background over the pixels of a
    disc, and e = exposure / background_exposure:

        signal = F - sum(background e),   noise^2 = g(F) + mean(e^2) g(B),   g(c) = (1 + sqrt(c + 3/4))^2

    With a noise map, noise^2 is the sum of its squares.

    Parameters
    ----------
    counts, background : image, (ny, nx)
        Counts per pixel. NaN pixels are excluded, with a warning.
    sn : float
        Target S/N.
    exposure, background_exposure : image or float
        Exposures in any common unit (default 1); NaN and <= 0 in an image mean no data.
    noise : image, (ny, nx)
        1-sigma noise of each pixel, in counts.
    mask, threads, progress
        See the module.

    Returns
    -------
    float32 (ny, nx)
        Net counts per pixel.

    References
    ----------
    Sanders (2006), MNRAS 371, 829, section 2.1; Gehrels (1986), ApJ 303, 336, equation 7.

    Examples
    --------
    >>> from chandra_bin import smooth
    >>> from chandra_bin.simulate import cluster_image
    >>> smooth(cluster_image((64, 64), counts=20_000, seed=1), sn=20).shape
    (64, 64)
    """
    sn = as_positive(sn, "sn")
    images = KernelImages.check(counts, background, exposure, background_exposure, noise, mask)
    smoothed = np.empty_like(images.counts)
    _smooth.smooth(images.counts, background=images.background, ratio=images.ratio,
                   constant_ratio=images.constant_ratio, noise=images.noise, use=images.use, sn=sn,
                   threads=as_threads(threads), progress=as_progress(progress), smoothed=smoothed)
    return smoothed


def smooth_expmap(exposure_corrected: ImageLike, exposure: ImageLike, *, sn: float = 15,
                  mask: ImageLike | None = None, threads: int = 1, progress: Progress = None) -> Float32s:
    """Average an exposure-corrected image over the smallest discs of sn^2 counts (``accumulate_smooth_expmap``).

    The counts of a disc are the sum of ``exposure_corrected * exposure``, which must not be negative. Masked pixels
    become 0. Returns float32 (ny, nx) in the unit of ``exposure_corrected``.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin import smooth_expmap
    >>> float(smooth_expmap(np.full((9, 9), 0.5), np.full((9, 9), 8.0), sn=4)[4, 4])
    0.5
    """
    sn = as_positive(sn, "sn")
    flux, map_, use = _flux_and_exposure(exposure_corrected, exposure, mask)
    counts = flux.astype(np.float64) * map_
    return _to_weight(counts, "exposure_corrected * exposure", flux, use, sn, 0.0, threads, as_progress(progress))


def smooth_expcorr(counts: ImageLike, exposure_corrected: ImageLike, *, sn: float = 15,
                   mask: ImageLike | None = None, threads: int = 1, progress: Progress = None) -> Float32s:
    """Average an exposure-corrected image over the smallest discs of sn^2 counts (``accumulate_smooth_expcorr``).

    The counts of a disc are the sum of the counts image. Masked pixels become NaN. Returns float32 (ny, nx) in the
    unit of ``exposure_corrected``.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin import smooth_expcorr
    >>> counts = np.full((9, 9), 4)
    >>> float(smooth_expcorr(counts, counts / 1e8, sn=4)[4, 4])
    3.999999975690116e-08
    """
    sn = as_positive(sn, "sn")
    flux = as_image(exposure_corrected, "exposure_corrected", units=FLUX_UNITS)
    image = as_image(counts, "counts", shape=flux.shape)
    mask = joined_mask(mask, flux.shape, counts=counts, exposure_corrected=exposure_corrected)
    use = _usable(mask, counts=image, exposure_corrected=flux)
    return _to_weight(image.astype(np.float64), "counts", flux, use, sn, np.nan, threads, as_progress(progress))


def counts_scale(counts: ImageLike, *, sn: float = 15, background: ImageLike | None = None,
                 mask: ImageLike | None = None, fill: ImageLike | None = None, threads: int = 1,
                 progress: Progress = None) -> NDArray[np.int32]:
    """Return the smoothing scale of each pixel, for `apply_scale` on other images (``accumulate_counts``).

    Parameters
    ----------
    counts, background : image, (ny, nx)
        Counts per pixel, not negative.
    sn : float
        Target S/N.
    fill : image of bool, (ny, nx), optional
        True in pixels that get a scale but are not summed: sources to be filled.
    mask, threads, progress
        See the module.

    Returns
    -------
    int32 (ny, nx)
        The smallest whole r^2 (pixel^2) for which the disc dx^2 + dy^2 <= r^2 reaches sqrt(F) >= ``sn``, or with a
        background (F - B) / sqrt(F) >= ``sn``; -1 in masked pixels and where no disc reaches the target.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin import counts_scale
    >>> counts_scale(np.ones((9, 9)), sn=3).tolist()[4][4]
    2
    """
    sn = as_positive(sn, "sn")
    image = as_image(counts, "counts")
    use = _usable(joined_mask(mask, image.shape, counts=counts, background=background), counts=image)
    if fill is not None:
        use[as_flags(fill, "fill", image.shape)] = 2
    behind = None
    if background is not None:
        behind = as_image(background, "background", shape=image.shape)
        exclude_nan(use, background=behind)
        behind = _without_nan(behind)
        _require_positive(behind, "background", use)
    _require_positive(image, "counts", use)
    ny, nx = image.shape
    if nx**2 + ny**2 > np.iinfo(np.int32).max:
        raise InputError(f"counts has {nx} x {ny} pixels, which is too large: squared radii exceed int32")
    scale = np.empty(image.shape, dtype=np.int32)
    _counts_scale.counts_scale(_without_nan(image), background=behind, use=use, sn=sn, threads=as_threads(threads),
                               progress=as_progress(progress), scale=scale)
    return scale


def apply_scale(image: ImageLike, scale: ImageLike, *, gaussian: bool = False, mask: ImageLike | None = None,
                threads: int = 1, progress: Progress = None) -> Float32s:
    """Average an image over the discs of `counts_scale` (``accumulate_counts --apply``).

    Only unmasked pixels are averaged, but every pixel with a scale >= 0 gets a value; others are NaN. With
    ``gaussian`` the mean is weighted by a Gaussian of sigma = max(1, r), truncated at 4 sigma. Returns float32
    (ny, nx) in the unit of the image.

    Examples
    --------
    >>> from chandra_bin import apply_scale, counts_scale
    >>> from chandra_bin.simulate import cluster_image
    >>> counts = cluster_image((64, 64), counts=20_000, seed=1)
    >>> apply_scale(counts, counts_scale(counts, sn=5)).shape
    (64, 64)
    """
    pixels = as_image(image, "image")
    use = _usable(joined_mask(mask, pixels.shape, image=image), image=pixels)
    scales = as_labels(scale, "scale", "squares of radii, as counts_scale returns them")
    if scales.shape != pixels.shape:
        raise InputError(f"scale has shape {scales.shape}, the image {pixels.shape}")
    applied = np.empty_like(pixels)
    _counts_scale.apply_scale(_without_nan(pixels), scales, use=use, gaussian=gaussian, threads=as_threads(threads),
                              progress=as_progress(progress), applied=applied)
    return applied


def smooth_gaussian(exposure_corrected: ImageLike, exposure: ImageLike, *, sn: float = 15,
                    mask: ImageLike | None = None, threads: int = 1, progress: Progress = None) -> Float32s:
    """Smooth an exposure-corrected image with adaptive Gaussians (``adaptive_gaussian_smooth``).

    sigma grows in steps of 0.25 pixel until m t pi (2 sigma)^2 >= sn^2. m and t are the Gaussian-weighted means of
    ``exposure_corrected`` and ``exposure`` over the unmasked pixels within ceil(3 sigma). Returns m, float32 (ny, nx),
    NaN in masked pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin import smooth_gaussian
    >>> float(smooth_gaussian(np.full((9, 9), 0.5), np.full((9, 9), 8.0), sn=3)[4, 4])
    0.5
    """
    sn = as_positive(sn, "sn")
    flux, map_, use = _flux_and_exposure(exposure_corrected, exposure, mask)
    smoothed = np.empty_like(flux)
    _smooth_gaussian.smooth_gaussian(_without_nan(flux), _without_nan(map_), use=use, sn=sn,
                                     threads=as_threads(threads), progress=as_progress(progress), smoothed=smoothed)
    return smoothed


def smooth_exposure(counts: ImageLike, *, exposure: ImageLike, background: ImageLike | None = None,
                    exposure_time: float = 1, background_exposure_time: float = 1, sn: float = 15,
                    max_radius: int | None = None, mask: ImageLike | None = None, threads: int = 1,
                    progress: Progress = None) -> Float32s:
    """Smooth counts with exposure-weighted top hats and a background (``exposure_smooth``).

    The smallest disc with (F/t - B/tb)^2 / (F/t^2 + B/tb^2) >= sn^2 gives (F - B t/tb) / sum(exposure). Returns float32
    (ny, nx), NaN in masked pixels and where ``exposure`` is <= 0.

    Parameters
    ----------
    counts, background : image, (ny, nx)
        Counts per pixel.
    exposure : image, (ny, nx)
        Exposure map.
    exposure_time, background_exposure_time : float or Quantity
        Exposure times t and tb in seconds.
    sn : float
        Target S/N.
    max_radius : int, optional
        Largest radius of a disc in pixels: if it misses the target, this disc is used. Default: no limit.
    mask, threads, progress
        See the module.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin import smooth_exposure
    >>> float(smooth_exposure(np.full((9, 9), 4), exposure=np.full((9, 9), 8.0), sn=4)[4, 4])
    0.5
    """
    sn = as_positive(sn, "sn")
    exposure_time = as_positive(exposure_time, "exposure_time", "s")
    background_exposure_time = as_positive(background_exposure_time, "background_exposure_time", "s")
    with np.errstate(over="ignore", under="ignore"):
        ratio = np.float64(exposure_time) / background_exposure_time
    if not 0 < ratio * ratio < np.inf:
        raise InputError(f"exposure_time / background_exposure_time is {ratio:g}: check their units")
    max_radius = None if max_radius is None else as_whole(max_radius, "max_radius")
    images = KernelImages.check(counts, background, exposure, None, None, mask)
    map_ = _without_nan(as_image(exposure, "exposure", units=EXPOSURE_UNITS))
    smoothed = np.empty_like(images.counts)
    _smooth.smooth_exposure(images.counts, background=images.background, exposure=map_, use=images.use,
                            exposure_time=exposure_time, background_exposure_time=background_exposure_time, sn=sn,
                            max_radius=-1 if max_radius is None else max_radius, threads=as_threads(threads),
                            progress=as_progress(progress), smoothed=smoothed)
    return smoothed


def smooth_flux(counts: ImageLike, exposure: ImageLike, *, sn: float = 15, background: ImageLike | None = None,
                background_scale: ImageLike = 1.0, mask: ImageLike | None = None, threads: int = 1,
                progress: Progress = None) -> Float32s:
    """Return the exposure-corrected surface brightness in the smallest discs whose counts reach an S/N of ``sn``.

    F, B and E are the sums of counts, scaled background and exposure over the smallest disc around a pixel with
    F / (1 + sqrt(F + 3/4)) >= ``sn`` (Gehrels 1986, equation 7), or over the largest disc if none reaches ``sn``. The
    pixel becomes

        (F - B) / E * (mean exposure of the used pixels),

    so that neither vignetting nor an unvignetted background leaves a gradient. The counts alone set the radius, since
    their sum increases with radius; a sum of net counts may decrease.

    Parameters
    ----------
    counts : image, (ny, nx)
        Counts per pixel, not negative. NaN pixels are excluded, with a warning.
    exposure : image, (ny, nx)
        Exposure map in any unit; pixels of NaN or <= 0 are excluded.
    sn : float
        Target S/N.
    background : image, (ny, nx)
        Background counts per pixel.
    background_scale : float or image
        Factor that scales ``background`` to ``counts``.
    mask, threads, progress
        See the module.

    Returns
    -------
    float32 (ny, nx)
        Net counts per pixel at the mean exposure; NaN in excluded pixels.

    Raises
    ------
    InputError
        For negative counts, and in the cases that the module lists.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin import smooth_flux
    >>> float(smooth_flux(np.full((9, 9), 4), np.full((9, 9), 1e8), sn=3)[4, 4])
    4.0
    """
    sn = as_positive(sn, "sn")
    images = KernelImages.check(counts, background, None, None, None, mask,
                                background_scale=background_scale if background is not None else None)
    if images.noise is not None:
        warn("the uncertainty of counts is not used here: the S/N of discs is that of Poisson noise")
    map_ = as_image(exposure, "exposure", shape=images.counts.shape, units=EXPOSURE_UNITS)
    exclude_unexposed(map_, images.use)
    return flux_of_discs(images, map_, sn, as_threads(threads), as_progress(progress))


def flux_of_discs(images: KernelImages, exposure: Float32s, sn: float, threads: int, progress: Progress) -> Float32s:
    """Do the work of `smooth_flux` on checked images; ``exposure`` is positive and finite in used pixels."""
    used = images.use > 0
    weights = images.counts.astype(np.float64)
    _require_positive(weights, "counts", images.use)
    weights[~used] = 0
    net = weights
    if images.background is not None:
        ratio = images.constant_ratio if images.ratio is None else images.ratio
        net = np.where(used, weights - images.background.astype(np.float64) * ratio, 0)
    threshold = _counts_for_sn(sn)
    if weights.sum() < threshold:  # the disc of each pixel is the whole image
        return np.where(used, np.float32(net[used].mean()), np.float32(np.nan))
    mean_exposure = exposure[used].mean(dtype=np.float64)
    # The mean net counts and the mean exposure over the same discs.
    means = []
    for begin, values in ((0.0, net), (0.5, exposure / mean_exposure)):
        whole, unit, offset = _whole_numbers(values, used)
        mean = np.empty_like(images.counts)
        _smooth.smooth_to_weight(weights, whole, use=images.use, threshold=threshold, outside=np.nan, threads=threads,
                                 progress=_part(progress, begin), smoothed=mean)
        means.append(mean * np.float32(unit) + np.float32(offset))
    smoothed: Float32s = means[0] / means[1]
    return smoothed


def _whole_numbers(values: NDArray[np.floating], used: NDArray[np.bool_]) -> tuple[Float32s, float, float]:
    """Return ``values`` as whole numbers >= 0, with their unit and offset: the kernel adds whole numbers fastest.

    Their sum stays below 2^32, so that in an image of n pixels the unit is about n / 2^32 of the mean value.
    """
    offset = min(float(values[used].min()), 0.0)
    raised = np.where(used, values - offset, 0)
    total = float(raised.sum(dtype=np.float64))
    is_whole = total < _MOST_WHOLE and bool((raised == np.rint(raised)).all())
    unit = 1.0 if is_whole else total / _MOST_WHOLE
    return np.rint(raised / unit).astype(np.float32), unit, offset


def _part(progress: Progress, begin: float) -> Progress:
    """Return a callback that reports half of the progress, starting from ``begin``."""
    return None if progress is None else lambda done: progress(begin + done / 2)


def _counts_for_sn(sn: float) -> float:
    """Return the counts c with c / (1 + sqrt(c + 3/4)) = ``sn``."""
    root = (sn + np.sqrt(sn * sn + 4 * sn + 3)) / 2
    return float(root * root - 0.75)


def _flux_and_exposure(exposure_corrected: ImageLike, exposure: ImageLike, mask: ImageLike | None
                       ) -> tuple[Float32s, Float32s, NDArray[np.uint8]]:
    """Return the two images in units whose product is counts, and the pixels to use."""
    unit = exposure_unit(exposure=exposure)
    flux = as_image(exposure_corrected, "exposure_corrected", units=(FLUX_UNITS[EXPOSURE_UNITS.index(unit)],))
    map_ = as_image(exposure, "exposure", shape=flux.shape, units=(unit,))
    mask = joined_mask(mask, flux.shape, exposure_corrected=exposure_corrected, exposure=exposure)
    use = _usable(mask, exposure_corrected=flux, exposure=map_)
    return flux, map_, use


def _usable(mask: ImageLike | None, **images: Float32s) -> NDArray[np.uint8]:
    """Return the flags of the pixels to use. Raises `InputError` if all are excluded."""
    first = next(iter(images.values()))
    use = use_flags(mask, first.shape)
    exclude_nan(use, **images)
    require_pixels(use)
    return use


def _without_nan(image: Float32s) -> Float32s:
    """Return the image with 0 for NaN."""
    return image if np.isfinite(image).all() else np.nan_to_num(image, nan=0)


def _require_positive(image: NDArray[np.floating], name: str, use: NDArray[np.uint8]) -> None:
    """Raise `InputError` for negative pixels among those used."""
    values = image[use > 0]
    if np.any(values < 0):
        raise InputError(f"{name} has {counted(np.count_nonzero(values < 0), 'negative pixel')} (lowest: "
                         f"{values.min():g}): they must be 0 or more")


def _to_weight(weights: NDArray[np.float64], name: str, values: Float32s, use: NDArray[np.uint8], sn: float,
               outside: float, threads: int, progress: Progress) -> Float32s:
    """Average ``values`` over the smallest discs whose sum of ``weights`` reaches sn^2."""
    _require_positive(weights, name, use)
    weights[use == 0] = 0
    smoothed = np.empty_like(values)
    _smooth.smooth_to_weight(weights, _without_nan(values), use=use, threshold=sn * sn, outside=outside,
                             threads=as_threads(threads), progress=as_progress(progress), smoothed=smoothed)
    return smoothed
