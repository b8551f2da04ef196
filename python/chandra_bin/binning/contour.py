"""Contour binning (Sanders 2006, MNRAS 371, 829): `contour_bin`, `ContourBinner`, and contbin's automatic mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s
from chandra_bin._checks.arrays import as_flags, as_image, as_progress, as_threads
from chandra_bin._checks.given import ImageLike, given_mask, has_pixels
from chandra_bin._checks.images import EXPOSURE_UNITS, KernelImages, exclude_unexposed, is_finite
from chandra_bin._kernels import _contour_bin, _smooth
from chandra_bin.coords.blocks import block_sums
from chandra_bin.coords.given import coords_of_image
from chandra_bin.errors import InputError, warn

from .bins import ContourBins
from .options import BinningOptions, Contours
from .smoothing import flux_of_discs

__all__ = ["ContourBinner", "ImageArrays", "automask", "bin_arrays", "contour_bin"]

AUTOMASK_BLOCK = 8
# A block with a smaller absolute sum is empty: the limit of contbin, whose binmaps must be reproduced.
_EMPTY_SUM = 1e-5


def automask(counts: ImageLike) -> NDArray[np.bool_]:
    """Return a mask (ny, nx) of empty blocks of 8 x 8 pixels, aligned to the first pixel (contbin's ``--automask``).

    In a sparse field, each block with a count and no neighbour becomes a bin of its own: mask the pixels outside the
    cluster, too.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin import automask
    >>> counts = np.zeros((16, 16))
    >>> counts[3, 3] = 1
    >>> int(automask(counts).sum())
    192
    """
    image = as_image(counts, "counts")
    ny, nx = image.shape
    empty = np.abs(block_sums(np.nan_to_num(image), AUTOMASK_BLOCK, np.float64)) < _EMPTY_SUM
    return np.repeat(np.repeat(empty, AUTOMASK_BLOCK, axis=0), AUTOMASK_BLOCK, axis=1)[:ny, :nx]


def contour_bin(counts: ImageLike, *, sn: float = 15, smooth_sn: float = 15, constrain: float | None = None,
                background: ImageLike | None = None, background_scale: ImageLike | None = None,
                exposure: ImageLike | None = None, background_exposure: ImageLike | None = None,
                noise: ImageLike | None = None, contours: Contours | None = None,
                smoothed: ImageLike | None = None, mask: ImageLike | None = None,
                seed_only: ImageLike | None = None, target: Literal["sn", "counts"] = "sn", bin_up: bool = False,
                scrub: bool = True, scrub_large: float | None = None, threads: int = 1,
                progress: Callable[[float], object] | None = None) -> ContourBins:
    """Bin an image along the contours of its smoothed surface brightness (Sanders 2006, MNRAS 371, 829).

    The image is smoothed to ``smooth_sn``. The brightest unbinned pixel starts a bin, which adds the neighbouring pixel
    nearest in smoothed brightness until its S/N reaches ``sn``; the pixels of bins that miss the target are given to
    their neighbours. Pixels, ties and bin numbers are those of contbin 1.7 for ``contours="counts"``.

    Parameters
    ----------
    counts, background, exposure, background_exposure, noise : image, (ny, nx)
        As for `chandra_bin.smooth`, which defines the S/N (equations 1 to 4 of the paper). Arrays, masked arrays,
        Quantities, ``NDData`` and ``CCDData``, HDUs, or images of `read_image`. Masked pixels are excluded. The
        uncertainty of ``counts`` is the noise map, and its coordinates are those of the bins.
    background_scale : float or image
        Factor that scales the background counts to ``counts``, instead of exposure / background_exposure.
    sn : float
        Target S/N of a bin, or its target net counts with ``target="counts"``.
    smooth_sn : float
        S/N of the smoothing that defines the contours.
    constrain : float, optional
        Geometric constraint (section 2.3): a bin of n pixels adds only pixels nearer to its flux-weighted centroid
        than ``constrain`` times the radius of a disc of n pixels. None: no constraint; 1 to 3 are usual.
    contours : {"flux", "counts"}, optional
        "counts" smooths the counts image as contbin does (`chandra_bin.smooth`). "flux" corrects it for the exposure
        map ``exposure`` (`chandra_bin.smooth_flux`), so that bins do not follow the exposure. Default: "flux" with an
        exposure map, unless ``noise`` or negative counts are given.
    smoothed : image, (ny, nx), optional
        Image that the bins follow, instead of the smoothed image.
    mask, seed_only : image of bool, (ny, nx)
        True in pixels that are excluded, and in pixels that may start a bin but never join one.
    bin_up : bool
        Start with the faintest pixel.
    scrub : bool
        False keeps bins that miss the target, and numbers bins in order of creation.
    scrub_large : float, optional
        Remove bins with at least this fraction (0 to 1) of all binned pixels.
    threads : int
        Number of threads; does not change the result.
    progress : callable, optional
        Called repeatedly with the fraction done.

    Returns
    -------
    ContourBins
        The binmap, the smoothed image, and the counts and S/N of the bins.

    Raises
    ------
    InputError
        For shapes that differ, infinite pixels, targets that are not positive, and if no pixel is left.

    Examples
    --------
    >>> from chandra_bin import contour_bin
    >>> from chandra_bin.simulate import cluster_image
    >>> contour_bin(cluster_image((64, 64), counts=20_000, seed=1), sn=20, smooth_sn=30)
    <ContourBins: 41 bins, S/N 20.3 (median), in 4096 of 64 x 64 pixels>
    """
    if target not in ("sn", "counts"):
        raise InputError(f"target is {target!r}: it must be 'sn' or 'counts'")
    options = BinningOptions(sn=sn, counts=sn if target == "counts" else None, smooth_sn=smooth_sn, contours=contours,
                             constrain=constrain, bin_up=bin_up, scrub=scrub, scrub_large=scrub_large)
    images = ImageArrays(counts, background, background_scale, exposure, background_exposure, noise, smoothed, mask,
                         seed_only)
    return bin_arrays(images, options, threads=threads, progress=progress)


@dataclass(frozen=True)
class ContourBinner:
    """Bins several images with the same options: ``ContourBinner(BinningOptions(sn=30))(image)``.

    The arguments of a call are images, as for `contour_bin`.

    Examples
    --------
    >>> from chandra_bin import BinningOptions, ContourBinner
    >>> from chandra_bin.simulate import cluster_image
    >>> binner = ContourBinner(BinningOptions(sn=20, smooth_sn=30))
    >>> binner(cluster_image((64, 64), counts=20_000, seed=1))
    <ContourBins: 41 bins, S/N 20.3 (median), in 4096 of 64 x 64 pixels>
    """

    options: BinningOptions = field(default_factory=BinningOptions)
    threads: int = 1

    def __post_init__(self) -> None:
        """Raise `InputError` unless the options are `BinningOptions`."""
        BinningOptions.or_defaults(self.options)

    def __call__(self, counts: ImageLike, *, background: ImageLike | None = None,
                 background_scale: ImageLike | None = None, exposure: ImageLike | None = None,
                 background_exposure: ImageLike | None = None, noise: ImageLike | None = None,
                 smoothed: ImageLike | None = None, mask: ImageLike | None = None, seed_only: ImageLike | None = None,
                 progress: Callable[[float], object] | None = None) -> ContourBins:
        """Bin an image. Raises `InputError` as `contour_bin` does."""
        if self.options.automask:
            empty = automask(counts)
            mask = empty if mask is None else empty | as_flags(mask, "mask", empty.shape)
        images = ImageArrays(counts, background, background_scale, exposure, background_exposure, noise, smoothed, mask,
                             seed_only)
        return bin_arrays(images, self.options, threads=self.threads, progress=progress)


@dataclass(frozen=True, eq=False)
class ImageArrays:
    """The images of one binning, all (ny, nx); `contour_bin` describes each."""

    counts: ImageLike
    background: ImageLike | None = None
    background_scale: ImageLike | None = None
    exposure: ImageLike | None = None
    background_exposure: ImageLike | None = None
    noise: ImageLike | None = None
    smoothed: ImageLike | None = None
    mask: ImageLike | None = None
    seed_only: ImageLike | None = None

    def checked(self) -> tuple[KernelImages, Float32s | None]:
        """Return the images for the kernels, and the exposure map (ny, nx) or None. Raises `InputError`."""
        if self.background_scale is not None and self.background_exposure is not None:
            raise InputError("both background_scale and background_exposure are given: give one of them")
        if self.background_scale is not None and self.background is None:
            raise InputError("background_scale is given without a background: give both")
        scaled = self.background_scale is not None
        images = KernelImages.check(self.counts, self.background, None if scaled else self.exposure,
                                    self.background_exposure, self.noise, self.mask, self.seed_only,
                                    background_scale=self.background_scale)
        masked = given_mask(self.smoothed, "smoothed")
        if masked is not None and masked.shape == images.counts.shape:
            images.use[masked] = 0
        exposure_map = None
        if self.exposure is not None and has_pixels(self.exposure):
            exposure_map = as_image(self.exposure, "exposure", shape=images.counts.shape, units=EXPOSURE_UNITS)
            exclude_unexposed(exposure_map, images.use)
        images.refuse_no_counts()
        return images, exposure_map


def bin_arrays(arrays: ImageArrays, options: BinningOptions, *, threads: int = 1,
               progress: Callable[[float], object] | None = None) -> ContourBins:
    """Bin images as `contour_bin` does; the caller must apply the option ``automask``.

    Raises `InputError` as `contour_bin` does.
    """
    progress, threads = as_progress(progress), as_threads(threads)
    images, exposure_map = arrays.checked()
    coords = coords_of_image(images.coords, "counts", images.counts.shape)
    kind = _kind_of_contours(options.contours, arrays.smoothed, exposure_map, images)
    share = 0.0 if kind == "given" else 0.5
    if arrays.smoothed is not None:
        smoothed = as_image(arrays.smoothed, "smoothed", shape=images.counts.shape).copy()
    else:
        smoothed = _smoothed(images, exposure_map if kind == "flux" else None, options.smooth_sn, threads,
                             progress and (lambda done: progress(share * done)))
    of_counts_alone = kind == "counts" and images.background is None  # means of finite pixels are finite
    if not of_counts_alone and not is_finite(smoothed) and not np.isfinite(smoothed[images.use > 0]).all():
        raise InputError("smoothed has NaN or infinite pixels where the image is used: mask or replace them"
                         if kind == "given" else "the smoothed image exceeds float32: scale the image down")
    of_counts = options.counts is not None
    threshold = options.sn if options.counts is None else options.counts
    binmap = np.empty(smoothed.shape, dtype=np.int32)
    sums, stuck = _contour_bin.contour_bin(
        images.counts, background=images.background, ratio=images.ratio, constant_ratio=images.constant_ratio,
        noise=images.noise, use=images.use, smoothed=smoothed, target_counts=of_counts, threshold=threshold,
        constrain=options.constrain or 0.0, bin_up=options.bin_up, scrub=options.scrub,
        scrub_large=options.scrub_large or 0.0, threads=threads,
        progress=progress and (lambda done: progress(share + (1 - share) * done)), binmap=binmap)
    npix, total, behind, signal, variance = np.asarray(sums, dtype=np.float64).reshape(-1, 5).T.copy()
    # contbin gives bins without noise an (S/N)^2 of 1e-7.
    sn2 = np.where(variance < 1e-7, 1e-7, signal * signal / np.maximum(variance, 1e-7))
    reached = signal >= threshold if of_counts else sn2 >= threshold * threshold
    return ContourBins(binmap, smoothed, images.use, npix.astype(np.int64), total, behind, signal,
                       np.sqrt(np.maximum(variance, 0)), np.sqrt(sn2), reached, stuck, kind,
                       coords, options.background_systematic or 0.0)


def _smoothed(images: KernelImages, exposure_map: Float32s | None, sn: float, threads: int,
              progress: Callable[[float], object] | None) -> Float32s:
    """Return the image smoothed to an S/N: its flux with an exposure map, else its counts."""
    if exposure_map is not None:
        return flux_of_discs(images, exposure_map, sn, threads, progress)
    smoothed = np.empty_like(images.counts)
    _smooth.smooth(images.counts, background=images.background, ratio=images.ratio,
                   constant_ratio=images.constant_ratio, noise=images.noise, use=images.use, sn=sn,
                   threads=threads, progress=progress, smoothed=smoothed)
    return smoothed


def _kind_of_contours(contours: Contours | None, smoothed: ImageLike | None, exposure_map: Float32s | None,
                      images: KernelImages) -> str:
    """Return "flux", "counts", or "given" for a smoothed image of the caller."""
    if smoothed is not None:
        if contours is not None:
            raise InputError("both contours and a smoothed image are given: give one of them")
        return "given"
    if contours == "flux" and exposure_map is None:
        raise InputError("contours of the flux need an exposure map: give one, or contours='counts'")
    if contours is not None:
        return contours
    if exposure_map is None or images.noise is not None:
        return "counts"
    if np.any(images.counts[images.use > 0] < 0):
        warn("counts has negative pixels: the contours follow the counts, not the flux")
        return "counts"
    return "flux"
