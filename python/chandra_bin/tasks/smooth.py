"""Smooth image files: one function for each smoother of the original suite, which replaces its output file.

In a ``mask``, pixels >= 1 are used, as in contbin. All functions raise `InputError` and `OutputError`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s
from chandra_bin._checks.paths import FileName, as_path, as_path_or_none
from chandra_bin.binning import smoothing
from chandra_bin.errors import InputError
from chandra_bin.fits.images import Image, product_header, write_image
from chandra_bin.fits.outputs import Outputs

from ._common import Parameters, about, history, read_like_if_given, read_mask
from .inputs import files_of, read_image, read_like

Progress = Callable[[float], None] | None

# The mask value of pixels whose counts are not summed, but that get a scale (accumulate_counts).
_FILL = -2


def smooth_tophat(image: FileName, *, out: FileName = Path("acsmooth.fits"), bg: FileName | None = None,
                  mask: FileName | None = None, sn: float = 15, threads: int = 1, progress: Progress = None) -> None:
    """Write means over the smallest disc that reaches the S/N (``accumulate_smooth``).

    A background is scaled by the ratio of the images' EXPOSURE keywords.
    """
    image, out = as_path(image, "image"), as_path(out, "out")
    bg, mask = as_path_or_none(bg, "bg"), as_path_or_none(mask, "mask")
    parameters = {"image": image, "bg": bg, "mask": mask, "sn": sn}
    with _product(out, "smooth tophat", parameters) as write:
        counts = read_image(image)
        background = None if bg is None else read_like(bg, counts, "background")
        excluded = _excluded(mask, counts)
        with about(image):
            smoothed = smoothing.smooth(
                counts.data, sn=sn, background=None if background is None else background.data,
                exposure=None if background is None else counts.number("EXPOSURE", 1.0),
                background_exposure=None if background is None else background.number("EXPOSURE", 1.0),
                mask=excluded, threads=threads, progress=progress)
        write(smoothed, counts)


def smooth_expmap(expcorr: FileName, expmap: FileName, *, out: FileName = Path("acsmooth.fits"),
                  mask: FileName | None = None, sn: float = 15, threads: int = 1, progress: Progress = None) -> None:
    """Write means of an exposure-corrected image over discs with sn² counts (``accumulate_smooth_expmap``)."""
    expcorr, expmap, out = as_path(expcorr, "expcorr"), as_path(expmap, "expmap"), as_path(out, "out")
    mask = as_path_or_none(mask, "mask")
    _smooth_flux("smooth expmap", smoothing.smooth_expmap, expcorr, expmap, out, mask, sn, threads, progress)


def smooth_expcorr(image: FileName, expcorr: FileName, *, out: FileName = Path("acsmooth.fits"),
                   mask: FileName | None = None, sn: float = 15, threads: int = 1, progress: Progress = None) -> None:
    """Write means of an exposure-corrected image over discs of sn² counts of ``image`` (accumulate_smooth_expcorr)."""
    image, expcorr, out = as_path(image, "image"), as_path(expcorr, "expcorr"), as_path(out, "out")
    mask = as_path_or_none(mask, "mask")
    parameters = {"image": image, "expcorr": expcorr, "mask": mask, "sn": sn}
    with _product(out, "smooth expcorr", parameters) as write:
        counts = read_image(image)
        corrected = read_like(expcorr, counts, "exposure-corrected image")
        excluded = _excluded(mask, counts)
        with about(image):
            smoothed = smoothing.smooth_expcorr(counts.data, corrected.data, sn=sn, mask=excluded,
                                                threads=threads, progress=progress)
        write(smoothed, counts)


def smooth_gaussian(expcorr: FileName, expmap: FileName, *, out: FileName = Path("ags.fits"),
                    mask: FileName | None = None, sn: float = 15, threads: int = 1, progress: Progress = None) -> None:
    """Write Gaussian-weighted means of the least width that reaches the S/N (``adaptive_gaussian_smooth``)."""
    expcorr, expmap, out = as_path(expcorr, "expcorr"), as_path(expmap, "expmap"), as_path(out, "out")
    mask = as_path_or_none(mask, "mask")
    _smooth_flux("smooth gaussian", smoothing.smooth_gaussian, expcorr, expmap, out, mask, sn, threads, progress)


def smooth_exposure(image: FileName, *, out: FileName = Path("expsmooth.fits"), bg: FileName | None = None,
                    mask: FileName | None = None, expmap: FileName | None = None, sn: float = 15,
                    maxrad: int | None = None, threads: int = 1, progress: Progress = None) -> None:
    """Write net counts per exposure over discs that reach the S/N (``exposure_smooth``)."""
    image, out = as_path(image, "image"), as_path(out, "out")
    bg, mask, expmap = as_path_or_none(bg, "bg"), as_path_or_none(mask, "mask"), as_path_or_none(expmap, "expmap")
    parameters = {"image": image, "bg": bg, "mask": mask, "expmap": expmap, "sn": sn, "maxrad": maxrad}
    with _product(out, "smooth exposure", parameters) as write:
        counts = read_image(image)
        background = None if bg is None else read_like(bg, counts, "background")
        exposure = read_like_if_given(expmap, counts, "exposure map")
        excluded = _excluded(mask, counts)
        with about(image):
            smoothed = smoothing.smooth_exposure(
                counts.data, exposure=np.ones(counts.data.shape, np.float32) if exposure is None else exposure,
                background=None if background is None else background.data,
                exposure_time=counts.number("EXPOSURE", 1.0),
                background_exposure_time=1.0 if background is None else background.number("EXPOSURE", 1.0),
                sn=sn, max_radius=maxrad, mask=excluded, threads=threads, progress=progress)
        write(smoothed, counts)


def make_scale(image: FileName, *, out: FileName = Path("acscale.fits"), bg: FileName | None = None,
               mask: FileName | None = None, sn: float = 15, threads: int = 1, progress: Progress = None) -> None:
    """Write the least r² (int32) whose disc reaches the S/N (``accumulate_counts``).

    Mask values above 0 are summed; -2 marks point sources: pixels that are not summed but get a scale.
    """
    image, out = as_path(image, "image"), as_path(out, "out")
    bg, mask = as_path_or_none(bg, "bg"), as_path_or_none(mask, "mask")
    parameters = {"image": image, "bg": bg, "mask": mask, "sn": sn}
    with _product(out, "smooth scale", parameters) as write:
        counts = read_image(image)
        values = None if mask is None else read_mask(mask, counts)
        background = read_like_if_given(bg, counts, "background")
        with about(image):
            scales = smoothing.counts_scale(
                counts.data, sn=sn, background=background,
                mask=None if values is None else values <= 0, fill=None if values is None else values == _FILL,
                threads=threads, progress=progress)
        write(scales, counts)


def apply_scale(image: FileName, *, out: FileName = Path("applied.fits"), scale: FileName = Path("acscale.fits"),
                mask: FileName | None = None, gaussian: bool = False, threads: int = 1,
                progress: Progress = None) -> None:
    """Average an image over the discs of a scale image (``accumulate_counts --apply``)."""
    image, out, scale = as_path(image, "image"), as_path(out, "out"), as_path(scale, "scale")
    mask = as_path_or_none(mask, "mask")
    parameters = {"image": image, "scale": scale, "mask": mask, "gaussian": gaussian}
    with _product(out, "smooth apply", parameters) as write:
        pixels = read_image(image)
        scales = read_like(scale, pixels, "scale image")
        if scales.data.dtype.kind not in "iu":
            raise InputError(f"{scale}: holds {scales.data.dtype.name} values; give what 'smooth scale' wrote")
        values = None if mask is None else read_mask(mask, pixels)
        with about(image):
            smoothed = smoothing.apply_scale(pixels.data, scales.data, gaussian=gaussian,
                                             mask=None if values is None else values <= 0,
                                             threads=threads, progress=progress)
        write(smoothed, pixels)


def _excluded(path: Path | None, image: Image) -> NDArray[np.bool_] | None:
    return None if path is None else read_mask(path, image) < 1


@contextmanager
def _product(out: Path, command: str, parameters: Parameters) -> Iterator[Callable[[NDArray[Any], Image], None]]:
    """Claim ``out`` before the work; yield a function that writes pixels with the header of their image."""
    inputs = [value for value in parameters.values() if isinstance(value, Path)]
    with Outputs([out], inputs=files_of(*inputs), clobber=True) as outputs:

        def write(pixels: NDArray[Any], image: Image) -> None:
            with outputs.open(out) as file:
                write_image(file, pixels, product_header(image.header, history(command, parameters)))

        yield write


def _smooth_flux(command: str, smoother: Callable[..., Float32s], expcorr: Path, expmap: Path, out: Path,
                 mask: Path | None, sn: float, threads: int, progress: Progress) -> None:
    """Write the result of a smoother for an exposure-corrected image and its exposure map."""
    parameters = {"expcorr": expcorr, "expmap": expmap, "mask": mask, "sn": sn}
    with _product(out, command, parameters) as write:
        corrected = read_image(expcorr)
        exposure = read_like(expmap, corrected, "exposure map")
        excluded = _excluded(mask, corrected)
        with about(expcorr):
            smoothed = smoother(corrected.data, exposure.data, sn=sn, mask=excluded, threads=threads,
                                progress=progress)
        write(smoothed, corrected)
