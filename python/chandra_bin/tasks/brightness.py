"""The brightness of the sky, which weighs the exposures of the pixels of a bin, and bins that are seen in part."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from chandra_bin._checks.array_types import Float32s
from chandra_bin._checks.paths import FileName, as_path
from chandra_bin.binning.options import BinningOptions
from chandra_bin.binning.smoothing import smooth_flux
from chandra_bin.errors import InputError, counted, warn
from chandra_bin.fits.headers import text_of
from chandra_bin.fits.images import Image, product_header, write_image
from chandra_bin.fits.outputs import Outputs

from ._bin_inputs import read_bin_inputs
from ._bin_pixels import BinPixels
from ._common import about, history, need_positive
from .image_files import ImageFiles
from .inputs import files_of, read_on_grid, refuse_filled

# An observation that sees less than this fraction of a bin, by area, sees it in part.
LEAST_SEEN = 0.9
# The brightness of a bin is noise where its negative pixels sum to this part of its positive ones.
_MOST_NEGATIVE = 0.5
_UNITS_OF_EXPOSURE = ("s", "cm**2 s", "cm**2")
# The contours of bins are smoothed too much: within a bin they are nearly even.
_REMEDY = ("contbin_smoothed.fits of 'chandra-bin bin' with the same images, --expmap and --smooth-sn 10, in another "
           "folder than the binmap's")


def write_brightness(image: FileName, files: ImageFiles, out: FileName, *, sn: float = 10.0, threads: int = 1,
                     clobber: bool = False) -> None:
    """Write the exposure-corrected brightness of a counts image, for ``brightness`` of `write_responses`.

    Parameters
    ----------
    image : counts image (FITS).
    files : its exposure map, background and scale, and mask, as for `bin_image`.
    out : image of net counts per pixel at the mean exposure; NaN in excluded pixels.
    sn : S/N of the counts in the discs that are averaged (`chandra_bin.smooth_flux`). Larger discs flatten the
        brightness within bins; smaller ones end at single counts, which biases them.

    Raises `InputError` and `OutputError`; no file is written then.
    """
    image, out = as_path(image, "image"), as_path(out, "out")
    with Outputs([out], inputs=files_of(image, *files.all), clobber=clobber) as outputs:
        read = read_bin_inputs(image, BinningOptions(), files)
        if files.expmap is None or read.arrays.exposure is None:
            raise InputError(f"{image}: a brightness needs the exposure map of the image (expmap)")
        scale = 1.0 if read.arrays.background_scale is None else read.arrays.background_scale
        with about(image):
            made = smooth_flux(read.arrays.counts, read.arrays.exposure, sn=sn, background=read.arrays.background,
                               background_scale=scale, mask=read.arrays.mask, threads=threads)
        lines = history("brightness", {"image": image, "sn": sn, **files.given})
        with outputs.open(out) as file:
            write_image(file, made, product_header(read.image.header, lines, SMOOTHSN=sn, BUNIT="count/pixel"))


def weighing(brightness: Path | None) -> dict[str, str]:
    """Return the keyword PIXWT of a file of responses: what weighs the pixels of a bin."""
    return {"PIXWT": "AREA" if brightness is None else "BRIGHTNESS"}


def pixel_weights(path: Path | None, bins: BinPixels) -> Float32s | None:
    """Return the brightness of the pixels of the binmap (ny, nx) over its mean in their bin; 1 outside bins.

    Without a file the result is None. Pixels without a value (NaN) get the mean of their bin. Negative pixels stay
    negative: means over bins would be biased without them. A bin whose negative pixels sum to more than half of its
    positive ones is even, with a warning. Raises `InputError` for another grid, infinite pixels, images of counts,
    exposure maps, and images without a pixel above 0.
    """
    if path is None:
        return None
    image = refuse_filled(read_on_grid(path, bins.image, "brightness"))
    _check_kind(image)
    need_positive(image, "brightness")
    inside, size = bins.labels >= 0, len(bins.numbers)
    values, bin_of = image.data[inside].astype(np.float64), bins.labels[inside]
    known = ~np.isnan(values)
    if not known.all():
        warn(f"{image.path}: {counted(np.count_nonzero(~known), 'pixel of a bin has', 'pixels of bins have')} no value "
             "(NaN): they get the mean of their bins")
        values = np.where(known, values, 0)
    negative = np.bincount(bin_of, np.maximum(-values, 0), size)
    total = np.bincount(bin_of, values, size)
    mean = total / np.maximum(np.bincount(bin_of[known], minlength=size), 1)
    even = negative >= _MOST_NEGATIVE * (total + negative)
    if even.any():
        warn(f"{image.path}: {counted(np.count_nonzero(even), 'bin has', 'bins have')} no significant brightness: "
             f"exposure there is the mean over the area; the first is {bins.numbers[int(np.argmax(even))]}")
    known &= ~even[bin_of]
    weights = np.ones(inside.shape, np.float32)
    weights[inside] = np.divide(values, mean[bin_of], out=np.ones(values.shape), where=known)
    return weights


def _check_kind(image: Image) -> None:
    """Raise `InputError` for other images; warn of smoothed counts that are not corrected for exposure."""
    if image.data.dtype.kind in "iu":
        raise InputError(f"{image.path}: holds whole numbers, as counts images do, and must be a brightness: give "
                         f"{_REMEDY}")
    unit = text_of(image.header, "BUNIT")
    if unit in _UNITS_OF_EXPOSURE or (not unit and text_of(image.header, "CONTENT") == "EXPMAP"):
        raise InputError(f"{image.path}: is an exposure map ({f'BUNIT {unit}' if unit else 'CONTENT'}), and must be a "
                         f"brightness: give {_REMEDY}")
    if text_of(image.header, "CONTOURS") == "counts":
        warn(f"{image.path}: is of counts that are not corrected for exposure (CONTOURS): give {_REMEDY}")
    values = image.data[np.isfinite(image.data)]
    if values.max(initial=0) > 1 and (values == np.rint(values)).all():
        warn(f"{image.path}: holds whole numbers only: if these are counts, their noise changes exposures; give "
             f"{_REMEDY}")


def warn_of_partly_seen(binmap: Path, partly: Iterable[tuple[int, ...]], brightness: Path | None) -> None:
    """Warn of bins that an observation sees in part, where no brightness weighs their pixels."""
    bins = sorted({number for each in partly for number in each})
    if bins and brightness is None:
        warn(f"{binmap}: {counted(len(bins), 'bin is', 'bins are')} seen only in part by an observation (less than "
             f"{LEAST_SEEN:.0%} of the area; the first is {bins[0]}), and norms are right there only if the brightness "
             f"is even: give --brightness, {_REMEDY}")
