"""Read the image and the files of `bin_image` as arrays for the binning."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.binning.bins import BinSums, ContourBins, sum_bins
from chandra_bin.binning.contour import ImageArrays, automask
from chandra_bin.binning.options import BinningOptions
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.fits.images import Image

from ._common import check_counts, coords_if_usable, mask_values, need_positive, read_like_if_given
from .image_files import ImageFiles
from .inputs import read_image, read_like, read_on_grid, refuse_filled

logger = logging.getLogger(__name__)

# Fraction of an image in empty blocks above which a note names the options that exclude them.
_MOST_EMPTY = 0.3


@dataclass(frozen=True, eq=False)
class CountsImage:
    """The counts image of an image in other units, the background counts, and the background scale."""

    counts: Image
    background: Image | None
    scale: Image | None

    @classmethod
    def read(cls, files: ImageFiles, image: Image) -> "CountsImage | None":
        """Read the images, which must be on the grid of ``image``; None without a counts image."""
        if files.counts_image is None:
            return None
        background, scale = (None if path is None else read_on_grid(path, image, what) for path, what in (
            (files.counts_image_background, "background"), (files.counts_image_scale, "background scale")))
        return cls(read_on_grid(files.counts_image, image, "counts image"), background, scale)

    def sums(self, bins: ContourBins) -> BinSums:
        """Return the sums of each bin."""
        return sum_bins(bins.binmap, self.counts.data,
                        background=None if self.background is None else self.background.data,
                        background_scale=None if self.scale is None else self.scale.data)


@dataclass(frozen=True, eq=False)
class BinInputs:
    """An image to bin, with its mask, background and counts image."""

    image: Image
    coords: ImageCoords
    arrays: ImageArrays
    mask: NDArray[np.int16]
    """(ny, nx): 0 excluded, 1 used, 2 and more may start a bin but never join one."""
    background: Image | None
    """The background of the counts."""
    counts_image: CountsImage | None


def read_bin_inputs(path: Path, options: BinningOptions, files: ImageFiles) -> BinInputs:
    """Read an image and its files. Raises `InputError` for a file that cannot be read or is on another grid."""
    image = refuse_filled(read_image(path))
    coords = coords_if_usable(image)
    excluded = np.zeros(image.data.shape, dtype=bool)
    exposure = None if files.expmap is None else _positive(files.expmap, image, "exposure map", excluded)
    scaling = _scaling(image, files, excluded)
    mask = mask_values(image, files.mask, options.automask, files.exclude, files.keep)
    mask[excluded] = 0
    check_counts(image, mask, options.constrain)
    if not (options.automask or exposure is not None or files.mask or files.keep):
        _note_empty(image)
    background = None if files.background is None else refuse_filled(read_like(files.background, image, "background"))
    arrays = ImageArrays(
        image.data, background=None if background is None else background.data, exposure=exposure, **scaling,
        noise=read_like_if_given(files.noisemap, image, "noise map"),
        smoothed=read_like_if_given(files.smoothed, image, "smoothed image"), mask=mask < 1, seed_only=mask > 1)
    counts_image = CountsImage.read(files, image)
    return BinInputs(image, coords, arrays, mask, background if counts_image is None else counts_image.background,
                     counts_image)


def _note_empty(image: Image) -> None:
    """Log how to exclude empty parts of an image that are large."""
    empty = int(np.count_nonzero(automask(image.data)))
    if empty > _MOST_EMPTY * image.data.size:
        logger.info("%s: %d of %d pixels are in blocks without counts; --automask or --keep excludes empty parts",
                    image.path, empty, image.data.size)


def _scaling(image: Image, files: ImageFiles, excluded: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the number or image that scales the background, by its name among `ImageArrays`."""
    if files.background is None:
        return {}
    if (path := files.background_expmap) is not None:
        return {"background_exposure": _positive(path, image, "exposure map of the background", excluded)}
    if isinstance(scale := files.background_scale, Path):
        return {"background_scale": _positive(scale, image, "background scale", excluded)}
    if scale is None:
        logger.info("%s is taken to be on the image's own exposure (scale 1)", files.background)
    return {"background_scale": 1.0 if scale is None else scale}


def _positive(path: Path, image: Image, name: str, excluded: NDArray[np.bool_]) -> NDArray[Any]:
    """Return an exposure map or scale; where its value is not above 0, the pixel is ``excluded`` and the value is 1."""
    read = read_like(path, image, name)
    need_positive(read, name)
    values = read.data
    without = ~(values > 0)
    if without.any():
        logger.info("%s: %d pixels without a value above 0 are excluded", path, np.count_nonzero(without))
    excluded |= without
    return np.where(without, 1, values)
