"""Contour binning (Sanders 2006, MNRAS 371, 829): `contour_bin`, what it returns, and contbin's automatic mask."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.array_types import Float32s, Floats
from chandra_bin._checks.arrays import as_image, as_progress, as_threads
from chandra_bin._checks.images import KernelImages, exclude_unexposed
from chandra_bin._kernels import _contour_bin, _smooth
from chandra_bin.coords.blocks import block_sums
from chandra_bin.errors import InputError, warn

from .options import BinningOptions, Contours
from .smoothing import flux_of_discs

if TYPE_CHECKING:
    from astropy.table import QTable

    from chandra_bin.coords.wcs import ImageCoords

__all__ = ["BinSums", "ContourBins", "ImageArrays", "automask", "bin_arrays", "contour_bin", "sum_bins"]

# Bins of a lower S/N hold no significant signal.
LOW_SN = 3.0
AUTOMASK_BLOCK = 8
ROW_BLOCK = 128


@dataclass(frozen=True, eq=False)
class BinSums:
    """Counts of bins, indexed by bin number: counts, expected background counts, their difference, its noise, S/N."""

    counts: Floats
    background: Floats
    signal: Floats
    noise: Floats
    sn: Floats

    def sn_with(self, background_error: float) -> Floats:
        """S/N where the background's normalisation has a 1-sigma fractional error: signal / hypot(noise, error B)."""
        total = np.hypot(self.noise, background_error * self.background)
        return np.divide(self.signal, total, out=self.sn.copy(), where=total > 0)


@dataclass(frozen=True, eq=False)
class ContourBins:
    """The bins of an image. Per-bin arrays are indexed by bin number.

    Attributes
    ----------
    binmap
        (ny, nx) int32: the bin of each pixel, -1 outside.
    smoothed
        (ny, nx) float32: the smoothed image that the bins follow, counts per pixel.
    use
        (ny, nx) uint8: 0 excluded, 1 used, 2 could start a bin only.
    npix, counts, background, signal, noise, sn
        Pixels; counts, expected background counts, their difference, its 1-sigma noise, and their ratio.
    reached
        Whether the bin reached its threshold.
    stuck
        How many bins below the threshold touch no bin they could have been given to.
    contours
        What the smoothed image is of: "flux", "counts", or "given".
    """

    binmap: NDArray[np.int32]
    smoothed: Float32s
    use: NDArray[np.uint8]
    npix: NDArray[np.int64]
    counts: Floats
    background: Floats
    signal: Floats
    noise: Floats
    sn: Floats
    reached: NDArray[np.bool_]
    stuck: int = field(default=0)
    contours: str = field(default="counts")

    def __len__(self) -> int:
        """The number of bins."""
        return len(self.npix)

    def paint(self, values: ArrayLike, outside: float = np.nan) -> Float32s:
        """An image (ny, nx), float32, of one value per bin, and ``outside`` in pixels outside all bins.

        Raises `InputError` unless there is exactly one value for each bin.
        """
        of_bin = np.asarray(getattr(values, "value", values), dtype=np.float64)
        if of_bin.shape != (len(self),):
            raise InputError(f"values has the shape {of_bin.shape}: it must hold one value for each of the {len(self)} "
                             "bins")
        if np.ma.is_masked(values):
            of_bin = np.ma.masked_array(of_bin, np.ma.getmask(values)).filled(outside)
        column: Float32s = np.append(of_bin, outside).astype(np.float32)
        return column[self.binmap]  # -1, outside, is the last

    @property
    def signal_image(self) -> Float32s:
        """(ny, nx) float32: net counts a pixel of each bin, -1 outside (contbin_out.fits)."""
        return self.paint(self.signal / self.npix, outside=-1)

    @property
    def sn_image(self) -> Float32s:
        """(ny, nx) float32: signal-to-noise of each bin, -1 outside (contbin_sn.fits)."""
        return self.paint(self.sn, outside=-1)

    @cached_property
    def table(self) -> "QTable":
        """The bin table in pixels: see `table_with` for physical and sky coordinates."""
        return self.table_with(None)

    @property
    def sums(self) -> BinSums:
        """Counts of the bins; their S/N is negative where the background exceeds the counts."""
        return BinSums(self.counts, self.background, self.signal, self.noise, np.copysign(self.sn, self.signal))

    def table_with(self, coords: "ImageCoords | None", behind: BinSums | None = None, *,
                   reached: NDArray[np.bool_] | None = None, background_error: float = 0.0) -> "QTable":
        """One row per bin, with units; the image's coordinates, where it has them, add columns.

        ``behind``: the sums of the counts image, for an image in other units (see `sum_bins`); by default those of the
        binned image. ``sn`` is the S/N in counts (Poisson noise), ``sn_sys`` the S/N with an error of the background's
        normalisation (fraction ``background_error``, 1 sigma) in quadrature, ``sn_image`` that of the binned image.
        ``background_fraction`` is background over counts; ``low_sn`` marks bins of ``sn`` below 3, which hold no
        significant signal. ``reached`` replaces the attribute of that name.

        ``x``, ``y`` are the mean pixel position (array coordinates: the first pixel's centre is 0), ``brightness`` net
        counts per pixel, ``elongation`` the square root of the ratio of the second moments along and across (1/12
        pixel^2 added to each: a row of n pixels has n). ``x_phys``, ``y_phys`` are the same position in physical
        coordinates and ``ra``, ``dec`` in ICRS, whatever the image's own frame is. ``area_arcsec2`` is the sum of the
        areas of the bin's own pixels.
        """
        from astropy import units as u
        from astropy.table import QTable

        x, y, elongation = bin_shapes(self.binmap, self.npix)
        sums = behind or self.sums
        table = QTable()
        table["bin"] = np.arange(len(self))
        table["npix"] = self.npix
        for name in ("counts", "background", "signal", "noise"):
            table[name] = getattr(sums, name) * u.count
        table["sn"] = sums.sn
        table["sn_sys"] = sums.sn_with(background_error)
        table["sn_image"] = self.sn
        table["background_fraction"] = np.divide(sums.background, sums.counts, out=np.full(len(self), np.nan),
                                                 where=sums.counts > 0)
        table["brightness"] = sums.signal / self.npix * (u.count / u.pixel)
        table["x"] = x * u.pixel
        table["y"] = y * u.pixel
        if coords is not None and coords.physical is not None:
            table["x_phys"], table["y_phys"] = coords.image_to_physical(x, y) * u.pixel
        if coords is not None and coords.sky is not None:
            table["ra"], table["dec"] = coords.image_to_sky(x, y, "icrs") * u.deg
        table["area_px"] = self.npix * u.pixel
        if coords is not None and coords.sky is not None:
            table["area_arcsec2"] = bin_areas(self.binmap, self.npix, coords.pixel_areas_arcsec2) * u.arcsec**2
        table["elongation"] = elongation
        table["reached"] = self.reached & (self.signal >= 0) if reached is None else reached
        table["low_sn"] = sums.sn < LOW_SN
        return table


def sum_bins(binmap: ArrayLike, counts: ArrayLike, *, background: ArrayLike | None = None,
             ratio: ArrayLike = 1.0) -> BinSums:
    """Counts and S/N of the bins of any binmap (-1 outside), as `contour_bin` has them (equations 1 to 4 of the paper).

    ``background`` are counts, each of which stands for ``ratio`` (an image, or a number) in the image of ``counts``.
    NaN pixels count as 0. Raises `InputError` for shapes that differ.
    """
    labels = np.asarray(binmap)
    image = as_image(counts, "counts", np.float64, labels.shape)
    inside = labels >= 0
    bins = labels[inside]
    number = int(bins.max(initial=-1)) + 1

    def total(values: Floats) -> Floats:
        return np.bincount(bins, np.nan_to_num(values[inside]), number).astype(np.float64)

    summed = total(image)
    variance = (1 + np.sqrt(np.maximum(summed + 0.75, 0))) ** 2  # Gehrels (1986), eq. 7
    expected = np.zeros(number)
    if background is not None:
        behind = as_image(background, "background", np.float64, labels.shape)
        ratios = np.full(labels.shape, ratio) if np.ndim(ratio) == 0 else ratio
        scale = as_image(ratios, "ratio", np.float64, labels.shape)
        expected = total(behind * scale)
        npix = np.maximum(np.bincount(bins, minlength=number), 1)
        variance = variance + total(scale**2) / npix * (1 + np.sqrt(total(behind) + 0.75)) ** 2
    signal, noise = summed - expected, np.sqrt(variance)
    return BinSums(summed, expected, signal, noise, signal / noise)


def bin_shapes(binmap: NDArray[np.int32], npix: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """Mean x, mean y (array coordinates) and elongation of each bin."""
    number = len(npix)

    def bin_means(*values: Callable[[Floats, Floats, NDArray[np.int32]], Floats]) -> list[Floats]:
        sums = [np.zeros(number) for _ in values]
        for first in range(0, len(binmap), ROW_BLOCK):  # whole images of float64 would outweigh the kernels
            block = binmap[first : first + ROW_BLOCK]
            rows, columns = np.nonzero(block >= 0)
            labels = block[rows, columns]
            y, x = (rows + first).astype(np.float64), columns.astype(np.float64)
            for i, value in enumerate(values):
                sums[i] += np.bincount(labels, value(x, y, labels), minlength=number)
        return [total / npix for total in sums]

    mean_x, mean_y = bin_means(lambda x, _y, _b: x, lambda _x, y, _b: y)
    xx, yy, xy = bin_means(
        lambda x, _y, b: (x - mean_x[b]) ** 2 + 1 / 12,
        lambda _x, y, b: (y - mean_y[b]) ** 2 + 1 / 12,
        lambda x, y, b: (x - mean_x[b]) * (y - mean_y[b]))
    middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    return mean_x, mean_y, np.sqrt((middle + half) / (middle - half))


def bin_areas(binmap: NDArray[np.integer], npix: NDArray[np.int64],
              area_of: Callable[[ArrayLike, ArrayLike], Floats]) -> Floats:
    """The area of each bin, (bins,), from the areas of its own pixels, in the unit of ``area_of``.

    ``npix`` are the pixels of each bin. ``area_of`` gives the areas of pixels with centres at array coordinates x, y,
    such as `ImageCoords.pixel_areas_arcsec2`, and NaN where a corner is off the sky. These count with the mean area of
    the bin's others; NaN where a bin has no pixel on the sky.
    """
    areas, known = np.zeros(len(npix)), np.zeros(len(npix))
    for first in range(0, len(binmap), ROW_BLOCK):
        rows, columns = np.nonzero(binmap[first : first + ROW_BLOCK] >= 0)
        pixels = area_of(columns, rows + first)
        on_sky = np.isfinite(pixels)
        labels = binmap[first : first + ROW_BLOCK][rows[on_sky], columns[on_sky]]
        areas += np.bincount(labels, pixels[on_sky], minlength=len(npix))
        known += np.bincount(labels, minlength=len(npix))
    with np.errstate(invalid="ignore"):
        return np.asarray(areas / known * npix)


def automask(counts: ArrayLike) -> NDArray[np.bool_]:
    """contbin's ``--automask``: True (excluded) in 8 x 8 blocks, aligned to the first pixel, that hold nothing."""
    image = as_image(counts, "counts")
    ny, nx = image.shape
    empty = np.abs(block_sums(np.nan_to_num(image), AUTOMASK_BLOCK, np.float64)) < 1e-5
    return np.repeat(np.repeat(empty, AUTOMASK_BLOCK, axis=0), AUTOMASK_BLOCK, axis=1)[:ny, :nx]


def contour_bin(counts: ArrayLike, *, sn: float = 15, smooth_sn: float = 15, constrain: float | None = None,
                background: ArrayLike | None = None, background_scale: ArrayLike | None = None,
                exposure: ArrayLike | None = None, background_exposure: ArrayLike | None = None,
                noise: ArrayLike | None = None, contours: Contours | None = None,
                smoothed: ArrayLike | None = None, mask: ArrayLike | None = None,
                seed_only: ArrayLike | None = None, target: Literal["sn", "counts"] = "sn", bin_up: bool = False,
                scrub: bool = True, scrub_large: float | None = None, threads: int = 1,
                progress: Callable[[float], object] | None = None) -> ContourBins:
    """Bin an image along the contours of its smoothed surface brightness (Sanders 2006, MNRAS 371, 829).

    The image is smoothed to ``smooth_sn``. The brightest pixel not yet in a bin starts one,
    which takes the neighbouring pixel nearest to it in smoothed brightness until its signal-to-noise reaches ``sn``;
    bins that fall short are given away pixel by pixel. Pixels, ties and bin numbers are those of contbin 1.7 for
    ``contours="counts"``.

    Parameters
    ----------
    counts, background, exposure, background_exposure, noise
        As for `chandra_bin.smooth`, which states the signal-to-noise (equations 1 to 4 of the paper).
    background_scale
        Number or image that scales the background counts to ``counts``, instead of exposure / background_exposure.
    sn
        Threshold of a bin: its signal-to-noise, or its net counts with ``target="counts"``.
    smooth_sn
        Signal-to-noise of the smoothing.
    constrain
        Geometric constraint (section 2.3): a bin of n pixels takes only pixels nearer to its flux-weighted
        centroid than ``constrain`` times the radius of a disc of n pixels. None: no constraint; 1 to 3 are usual.
    contours
        "counts" smooths the counts image as contbin does (`chandra_bin.smooth`). "flux" corrects it for the exposure
        map ``exposure`` (`chandra_bin.smooth_flux`), so that bins follow the sky and not the exposure. Default: "flux"
        with an exposure map, unless ``noise`` or negative counts are given.
    smoothed
        Follow this image instead of smoothing.
    mask, seed_only
        Boolean: True where a pixel is excluded; where it may start a bin but never join one.
    bin_up
        Start from the faintest pixel instead.
    scrub
        False keeps bins that fall short, and numbers in order of creation.
    scrub_large
        Empty bins that hold this fraction of all binned pixels or more (0 to 1).
    threads
        Never changes a pixel.
    progress
        Called now and then with the fraction done.

    Returns
    -------
    ContourBins
        The binmap, the smoothed image, and the bins' counts and signal-to-noise.

    Raises
    ------
    InputError
        Where an input is unusable: shapes that differ, infinite pixels, thresholds that are not positive, no pixel
        left.
    """
    if target not in ("sn", "counts"):
        raise InputError(f"target is {target!r}: it must be 'sn' or 'counts'")
    options = BinningOptions(sn=sn, counts=sn if target == "counts" else None, smooth_sn=smooth_sn, contours=contours,
                             constrain=constrain, bin_up=bin_up, scrub=scrub, scrub_large=scrub_large)
    images = ImageArrays(counts, background, background_scale, exposure, background_exposure, noise, smoothed, mask,
                         seed_only)
    return bin_arrays(images, options, threads=threads, progress=progress)


@dataclass(frozen=True, eq=False)
class ImageArrays:
    """The images of one binning, all (ny, nx); `contour_bin` says what each is."""

    counts: ArrayLike
    background: ArrayLike | None = None
    background_scale: ArrayLike | None = None
    exposure: ArrayLike | None = None
    background_exposure: ArrayLike | None = None
    noise: ArrayLike | None = None
    smoothed: ArrayLike | None = None
    mask: ArrayLike | None = None
    seed_only: ArrayLike | None = None

    def checked(self) -> tuple[KernelImages, Float32s | None]:
        """The images for the kernels, and the exposure map (ny, nx) where one is given. Raises `InputError`."""
        if self.background_scale is not None and self.background_exposure is not None:
            raise InputError("both background_scale and background_exposure are given: give one of the two")
        scaled = self.background_scale is not None
        images = KernelImages.check(self.counts, self.background, self.background_scale if scaled else self.exposure,
                                    self.background_exposure, self.noise, self.mask, self.seed_only)
        exposure_map = None
        if self.exposure is not None and np.ndim(self.exposure) > 0:
            exposure_map = as_image(self.exposure, "exposure", shape=images.counts.shape)
            exclude_unexposed(exposure_map, images.use)
        used = images.counts[images.use > 0]
        if (used <= 0).all() and used.any():
            raise InputError(f"all {used.size} pixels that are used are negative or zero: nothing can be binned")
        return images, exposure_map


def bin_arrays(arrays: ImageArrays, options: BinningOptions, *, threads: int = 1,
               progress: Callable[[float], object] | None = None) -> ContourBins:
    """Bin images as `contour_bin` does; `automask` and `background_systematic` of the options are for files.

    Raises `InputError` where an image is unusable.
    """
    progress, threads = as_progress(progress), as_threads(threads)
    images, exposure_map = arrays.checked()
    kind = _kind_of_contours(options.contours, arrays.smoothed, exposure_map, images)
    share = 0.0 if kind == "given" else 0.5
    if arrays.smoothed is not None:
        smoothed = as_image(arrays.smoothed, "smoothed", shape=images.counts.shape).copy()
    else:
        smoothed = _smoothed(images, exposure_map if kind == "flux" else None, options.smooth_sn, threads,
                             progress and (lambda done: progress(share * done)))
    # The extremes first: they are found at once, and finite in nearly all images.
    if not (np.isfinite(smoothed.min()) and np.isfinite(smoothed.max())) and not np.isfinite(
            smoothed[images.use > 0]).all():
        raise InputError("smoothed has NaN or infinite pixels where the image is used" if kind == "given" else
                         "the image is too bright: smoothed, it has pixels beyond float32")
    of_counts = options.counts is not None
    threshold = options.sn if options.counts is None else options.counts
    binmap = np.empty(smoothed.shape, dtype=np.int32)
    sums, stuck = _contour_bin.contour_bin(
        images.counts, background=images.background, ratio=images.ratio, constant_ratio=images.constant_ratio,
        noise=images.noise, use=images.use, smoothed=smoothed, target_counts=of_counts, threshold=threshold,
        constrain=options.constrain or 0.0, bin_up=options.bin_up, scrub=options.scrub,
        scrub_large=options.scrub_large or 0.0, threads=threads,
        progress=progress and (lambda done: progress(share + (1 - share) * done)), binmap=binmap)
    npix, total, behind, signal, variance = np.array(sums, dtype=np.float64).reshape(-1, 5).T
    # contbin's guard against bins without noise, its (S/N)^2 then being 1e-7.
    sn2 = np.where(variance < 1e-7, 1e-7, signal * signal / np.maximum(variance, 1e-7))
    reached = signal >= threshold if of_counts else sn2 >= threshold * threshold
    return ContourBins(binmap, smoothed, images.use, npix.astype(np.int64), total, behind, signal,
                       np.sqrt(np.maximum(variance, 0)), np.sqrt(sn2), reached, stuck, kind)


def _smoothed(images: KernelImages, exposure_map: Float32s | None, sn: float, threads: int,
              progress: Callable[[float], object] | None) -> Float32s:
    """The image smoothed to a S/N: its flux with an exposure map, else its counts."""
    if exposure_map is not None:
        return flux_of_discs(images, exposure_map, sn, threads, progress)
    smoothed = np.empty_like(images.counts)
    _smooth.smooth(images.counts, background=images.background, ratio=images.ratio,
                   constant_ratio=images.constant_ratio, noise=images.noise, use=images.use, sn=sn,
                   threads=threads, progress=progress, smoothed=smoothed)
    return smoothed


def _kind_of_contours(contours: Contours | None, smoothed: ArrayLike | None, exposure_map: Float32s | None,
                      images: KernelImages) -> str:
    """ "flux", "counts", or "given" for a smoothed image of the caller's."""
    if smoothed is not None:
        if contours is not None:
            raise InputError("both contours and a smoothed image are given: give one of the two")
        return "given"
    if contours == "flux" and exposure_map is None:
        raise InputError("contours of the flux need an exposure map: give one, or contours='counts'")
    if contours is not None:
        return contours
    if exposure_map is None or images.noise is not None:
        return "counts"
    if np.any(images.counts[images.use > 0] < 0):
        warn("counts has negative pixels: the contours are those of the counts, not of the flux")
        return "counts"
    return "flux"
