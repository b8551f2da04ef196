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
from chandra_bin.binning import smoothing
from chandra_bin.errors import InputError
from chandra_bin.fits.images import Image, product_header, write_image
from chandra_bin.fits.outputs import Outputs

from ._common import Parameters, about, history, read_like_if_given, read_mask
from .inputs import files_of, read_image, read_like

Progress = Callable[[float], None] | None

# The mask value of pixels whose counts are not summed, but that get a scale (accumulate_counts).
_FILL = -2


def smooth_tophat(image: Path, *, out: Path = Path("acsmooth.fits"), bg: Path | None = None, mask: Path | None = None,
                  sn: float = 15, threads: int = 1, progress: Progress = None) -> None:
    """Write means over the smallest disc that reaches the S/N (``accumulate_smooth``).

    A background is scaled by the ratio of the images' EXPOSURE keywords.
    """
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


def smooth_expmap(expcorr: Path, expmap: Path, *, out: Path = Path("acsmooth.fits"), mask: Path | None = None,
                  sn: float = 15, threads: int = 1, progress: Progress = None) -> None:
    """Write means of an exposure-corrected image over discs with sn² counts (``accumulate_smooth_expmap``)."""
    _smooth_flux("smooth expmap", smoothing.smooth_expmap, expcorr, expmap, out, mask, sn, threads, progress)


def smooth_expcorr(image: Path, expcorr: Path, *, out: Path = Path("acsmooth.fits"), mask: Path | None = None,
                   sn: float = 15, threads: int = 1, progress: Progress = None) -> None:
    """Write means of an exposure-corrected image over discs of sn² counts of ``image`` (accumulate_smooth_expcorr)."""
    parameters = {"image": image, "expcorr": expcorr, "mask": mask, "sn": sn}
    with _product(out, "smooth expcorr", parameters) as write:
        counts = read_image(image)
        corrected = read_like(expcorr, counts, "exposure-corrected image")
        excluded = _excluded(mask, counts)
        with about(image):
            smoothed = smoothing.smooth_expcorr(counts.data, corrected.data, sn=sn, mask=excluded,
                                                threads=threads, progress=progress)
        write(smoothed, counts)


def smooth_gaussian(expcorr: Path, expmap: Path, *, out: Path = Path("ags.fits"), mask: Path | None = None,
                    sn: float = 15, threads: int = 1, progress: Progress = None) -> None:
    """Write Gaussian-weighted means of the least width that reaches the S/N (``adaptive_gaussian_smooth``)."""
    _smooth_flux("smooth gaussian", smoothing.smooth_gaussian, expcorr, expmap, out, mask, sn, threads, progress)


def smooth_exposure(image: Path, *, out: Path = Path("expsmooth.fits"), bg: Path | None = None,
                    mask: Path | None = None, expmap: Path | None = None, sn: float = 15,
                    maxrad: int | None = None, threads: int = 1, progress: Progress = None) -> None:
    """Write net counts per exposure over discs that reach the S/N (``exposure_smooth``)."""
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


def make_scale(image: Path, *, out: Path = Path("acscale.fits"), bg: Path | None = None, mask: Path | None = None,
               sn: float = 15, threads: int = 1, progress: Progress = None) -> None:
    """Write the least r² (int32) whose disc reaches the S/N (``accumulate_counts``).

    Mask values above 0 are summed; -2 marks point sources: pixels that are not summed but get a scale.
    """
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


def apply_scale(image: Path, *, out: Path = Path("applied.fits"), scale: Path = Path("acscale.fits"),
                mask: Path | None = None, gaussian: bool = False, threads: int = 1,
                progress: Progress = None) -> None:
    """Average an image over the discs of a scale image (``accumulate_counts --apply``)."""
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
