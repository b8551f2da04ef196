"""The pixels of the bins of a binmap, without those that masks and regions exclude, for spectra and responses."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats, Wholes
from chandra_bin.binning.bins import ROW_BLOCK, bin_areas
from chandra_bin.coords.pixel_areas import pixel_areas_in
from chandra_bin.coords.wcs import ImageCoords, physical_agree
from chandra_bin.errors import InputError, counted, warn
from chandra_bin.fits.images import Image

from ._common import about, mask_values, read_binmap
from .inputs import refuse_filled


@dataclass(frozen=True, eq=False)
class BinPixels:
    """The bins of a binmap; arrays (bins,) belong to ``numbers``, which ascend."""

    image: Image
    numbers: list[int]
    labels: NDArray[np.int32]
    """(ny, nx), indices into ``numbers``; -1 outside, and where pixels are excluded."""
    pixels: Wholes
    centres: Floats
    """(bins, 2), array coordinates x, y."""
    ids: dict[str, str]
    """Keywords that identify binmaps: BINMAPID of the file, and BINUSED of its pixels that are not excluded."""


def read_bin_pixels(binmap: Path, mask: Path | None, exclude: Sequence[Path], keep: Sequence[Path]) -> BinPixels:
    """Read the bins of a binmap on the sky, without excluded pixels.

    Bins that lie in excluded pixels are left out, with a warning. Raises `InputError` where no bin is left.
    """
    image, labels = read_binmap(binmap)
    refuse_filled(image)
    if not (labels >= 0).any():
        raise InputError(f"{binmap}: holds no bins: all {labels.size} pixels are outside (-1)")
    with about(binmap):
        ImageCoords(image.header).need_sky()
    whole, of_all = labels, _numbers_of(labels)
    if mask is not None or exclude or keep:
        labels = np.where(mask_values(image, mask, False, exclude, keep) < 1, np.int32(-1), labels)
    numbers = of_all if labels is whole else _numbers_of(labels)
    if not len(numbers):
        raise InputError(f"{binmap}: the mask and regions leave no pixel of any bin")
    if len(numbers) < len(of_all):
        gone = np.setdiff1d(of_all, numbers)
        warn(f"{binmap}: {counted(len(gone), 'bin lies', 'bins lie')} in excluded pixels, without a spectrum; the "
             f"first is {gone[0]}")
    used = binmap_id(labels)
    index_map = _indices_of(labels, numbers)
    pixels, centres = _sizes_and_centres(index_map, len(numbers))
    return BinPixels(image, numbers.tolist(), index_map, pixels, centres,
                     {"BINMAPID": used if labels is whole else binmap_id(whole), "BINUSED": used})


def _numbers_of(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the bin numbers of an image (-1 outside), ascending."""
    last = int(labels.max(initial=-1))
    if last > labels.size:  # a table of all numbers would outweigh the pixels
        return np.unique(labels[labels >= 0])
    there = np.zeros(last + 2, np.bool_)
    for first in range(0, len(labels), ROW_BLOCK):
        there[labels[first : first + ROW_BLOCK]] = True  # that of -1 is the last
    return np.flatnonzero(there[:-1]).astype(np.int32)


def _indices_of(labels: NDArray[np.int32], numbers: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the index of each pixel's bin among the numbers; -1 outside."""
    made = np.full(labels.shape, -1, np.int32)
    if numbers[-1] > labels.size:
        inside = labels >= 0
        made[inside] = np.searchsorted(numbers, labels[inside])
        return made
    index = np.full(numbers[-1] + 2, -1, np.int32)
    index[numbers] = np.arange(len(numbers))
    for first in range(0, len(labels), ROW_BLOCK):
        np.take(index, labels[first : first + ROW_BLOCK], out=made[first : first + ROW_BLOCK], mode="wrap")
    return made


def _sizes_and_centres(labels: NDArray[np.int32], bins: int) -> tuple[Wholes, Floats]:
    """Return the numbers of pixels of bins (bins,), and their mean array coordinates x, y, (bins, 2)."""
    pixels, sums = np.zeros(bins, np.int64), np.zeros((bins, 2))
    for first in range(0, len(labels), ROW_BLOCK):
        block = labels[first : first + ROW_BLOCK]
        rows, columns = np.nonzero(block >= 0)
        number = block[rows, columns]
        pixels += np.bincount(number, minlength=bins)
        sums += np.stack([np.bincount(number, at, bins) for at in (columns, rows + first)], axis=1)
    return pixels, sums / pixels[:, None]


def areas_in(events: ImageCoords, image: ImageCoords) -> Callable[[BinPixels], Floats]:
    """Return a function that returns the areas of bins of an image, (bins,), in sky pixels of the events."""
    if physical_agree(events, image):
        (xx, xy), (yx, yy) = image.need_physical().matrix
        area = abs(float(xx * yy - xy * yx))
        return lambda bins: np.asarray(bins.pixels * area, np.float64)
    pixel_areas = pixel_areas_in(image, events)
    mean = image.pixel_area_arcsec2 / events.pixel_area_arcsec2

    def areas_of(bins: BinPixels) -> Floats:
        areas = bin_areas(bins.labels, bins.pixels, pixel_areas)
        # A bin beyond the events' sky coordinates has no events: any area above 0 serves.
        return np.where(np.isfinite(areas), areas, bins.pixels * mean)

    return areas_of


def binmap_id(labels: NDArray[np.int32]) -> str:
    """Return a checksum of a binmap, which differs for maps with the same numbers in other pixels."""
    digest = hashlib.sha256(f"{labels.shape}".encode())
    digest.update(np.ascontiguousarray(labels, "<i4").data)
    return digest.hexdigest()[:16]


def check_binmap(binmap: Path, own_id: str, file: Path, known: str) -> None:
    """Raise `InputError` for a file whose BINMAPID, ``known``, differs from that of the binmap, ``own_id``."""
    if own_id != known:
        raise InputError(f"{file}: was made from another binmap than {binmap}: give the binmap that it was made from")


def bins_text(numbers: Iterable[int]) -> str:
    """Return bin numbers as text for messages: ``0 - 45``; with gaps ``12 bins of 0 - 45``."""
    known = sorted(set(numbers))
    if not known:
        return "none"
    ends = f"{known[0]} - {known[-1]}" if len(known) > 1 else f"{known[0]}"
    return ends if known[-1] - known[0] == len(known) - 1 else f"{len(known)} bins of {ends}"


def need_bins(file: Path, wanted: Iterable[int], numbers: Iterable[int], where: str = "") -> None:
    """Raise `InputError` for wanted bins that are not among the numbers of the bins of a file, or of a part of it."""
    known = set(numbers)
    if strange := sorted(set(wanted) - known):
        raise InputError(f"{file}: has no bin {strange[0]}{where}; it has {bins_text(known)}")
