"""Steps 5 and 6 of the pipeline: scaled flux, removal of sources, cropped images, and the mask of each set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.paths import FileName, as_path, as_path_or_none, as_paths
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, counted, warn
from chandra_bin.events.region_files import read_regions
from chandra_bin.fits.images import Image, moved_header, product_header, size_text, write_image
from chandra_bin.fits.outputs import Outputs
from chandra_bin.regions import region_box, region_mask
from chandra_bin.sources.removal import FLUX_FACTOR, fill_sources, scaled_flux, sn_in_counts

from ._common import about, calib_of, excluded_by_regions, history, need_positive, read_exposure
from .inputs import files_of, plain_name, read_image, read_on_grid, refuse_filled

_FILLED_END = "_filled.img"


@dataclass(frozen=True)
class ScaledFlux:
    """The factors that a flux image was multiplied by."""

    file: Path
    scale: float
    factor: float

    def sn_in_counts(self, sn: float) -> float:
        """Return the S/N in counts of bins that reach ``sn`` in this image."""
        return sn_in_counts(sn, self.factor)


@dataclass(frozen=True)
class ImageCounts:
    """The parts of the sum of an image: ``kept + removed + outside`` is the sum of the input."""

    kept: float
    removed: float
    """Sum in sources, and where another image of the set has no data."""
    outside: float
    """Sum outside the area."""


@dataclass(frozen=True)
class Cleaned:
    """A set of images without sources, on one grid."""

    mask_file: Path
    shape: tuple[int, int]
    first: tuple[int, int]
    """The pixel (x, y) of the input that is the first of the output."""
    used: int
    """Number of pixels that are 1 in the mask."""
    sums: Mapping[Path, ImageCounts]
    """By output."""


@dataclass(frozen=True)
class Filled:
    """An image with filled sources, for display."""

    file: Path
    pixels: int
    """Filled ones."""


def scale_flux(flux: FileName, counts: FileName, out: FileName, *, factor: float = FLUX_FACTOR,
               clobber: bool = False) -> ScaledFlux:
    """Write the scaled flux of the step scripts (``scaled_broad_flux.fits``): ``factor`` F mean(C) / mean(F), float32.

    Its S/N differs from that of counts, see `ScaledFlux.sn_in_counts`: prefer to bin counts with background and
    exposure. The header has FLUXFAC (``factor``) and FLUXSCAL (the product that multiplies F). Raises `InputError` and
    `OutputError`.
    """
    flux, counts, out = as_path(flux, "flux"), as_path(counts, "counts"), as_path(out, "out")
    with Outputs([out], inputs=files_of(flux, counts), clobber=clobber) as outputs:
        fluxes = refuse_filled(read_image(flux))
        image = refuse_filled(read_on_grid(counts, fluxes, "image of counts"))
        need_positive(fluxes, "flux")
        need_positive(image, "image of counts")
        with about(fluxes.path):
            scaled, scale = scaled_flux(fluxes.data, image.data, factor)
        header = product_header(fluxes.header, history("scaled flux", {
            "flux": plain_name(flux), "counts": plain_name(counts), "factor": factor}), FLUXFAC=factor, FLUXSCAL=scale,
            HDUNAME="SCALED_FLUX", CONTENT="SCALED_FLUX", **calib_of(image.header))
        # The scaled flux is neither in the unit of the flux nor in counts.
        header.remove("EFFAREA", ignore_missing=True)
        with outputs.open(out) as file:
            write_image(file, scaled.astype(np.float32), header)
    return ScaledFlux(out, scale, factor)


def remove_sources(images: Mapping[Path, Path] | Mapping[str, str], mask_out: FileName, *,
                   exclude: Sequence[FileName] = (), area: FileName | None = None, expmap: FileName | None = None,
                   mask: FileName | None = None, clobber: bool = False) -> Cleaned:
    """Remove sources from images of one grid, crop the images, and write the mask of the remaining pixels.

    Parameters
    ----------
    images : output to input (virtual names): counts, exposure map, flux, background, ratio ...
    mask_out : ``broad_mask.fits``: int16, 1 where a pixel is used, for the binner.
    exclude : region files of the sources to remove.
    area : region file of the area of interest (``square.reg``): images are cropped to the box around it, and pixels
        outside it are removed, too.
    expmap : exposure map: pixels whose exposure is not above 0 are excluded from the mask.
    mask : FITS mask to begin with: pixels of 0 are excluded.

    Removed pixels are 0 in images of whole numbers and NaN in others; the mask also excludes pixels where an image of
    the set is NaN. Sky and physical coordinates of the pixels do not change. Raises `InputError`, also where no pixel
    is left, and `OutputError`; no file is written then.
    """
    area, expmap, mask = as_path_or_none(area, "area"), as_path_or_none(expmap, "expmap"), as_path_or_none(mask, "mask")
    mask_out, regions = as_path(mask_out, "mask_out"), as_paths(exclude, "exclude")
    if not images:
        raise InputError("images is empty: give at least one image to remove sources from")
    named = {as_path(out, "output"): as_path(name, "image") for out, name in images.items()}
    inputs = [*files_of(*named.values(), expmap, mask), *regions, *([] if area is None else [area])]
    with Outputs([*named, mask_out], inputs=inputs, clobber=clobber) as outputs:
        read = _read_set(named)
        first_image = next(iter(read.values()))
        coords = ImageCoords(first_image.header)
        shape = first_image.data.shape
        inside, box = _area(area, coords, first_image)
        use = np.ones(shape, bool)
        if mask is not None:
            use &= np.nan_to_num(read_on_grid(mask, first_image, "mask", of_any=True).data, nan=0) >= 1
        exposure = None if expmap is None else read_exposure(expmap, first_image)
        if exposure is not None:
            use &= exposure.data > 0
        if regions:
            use &= ~excluded_by_regions(first_image, regions, ())
        for image in read.values():
            use &= ~np.isnan(image.data)
        if not (use & inside).any():
            raise InputError(f"{first_image.path}: all {size_text(shape)} pixels are removed; at least one must remain")
        (x0, x1), (y0, y1) = box
        cut = slice(y0, y1), slice(x0, x1)
        lines = history("remove sources", {"images": tuple(named.values()), "exclude": regions, "area": area,
                                           "expmap": expmap, "mask": mask})
        by_exposure = {} if exposure is None else calib_of(exposure.header)
        calib = {**by_exposure, **calib_of(*(image.header for image in read.values()))}
        first_image, exposure = first_image.without_pixels(), None
        final = (use & inside)[cut]
        sums = {}
        for out in named:
            image = read.pop(out)  # releases its memory when it is written
            sums[out] = _counts(image.data, use, inside)
            unit = {"BUNIT": image.header["BUNIT"]} if "BUNIT" in image.header else {}
            _write(outputs, out, _removed(image.data[cut], final), image, (x0, y0), lines, **unit, **by_exposure)
        _write(outputs, mask_out, final.astype(np.int16), first_image, (x0, y0), lines, HDUNAME="MASK", CONTENT="MASK",
               **calib)
    return Cleaned(mask_out, final.shape, (x0, y0), int(np.count_nonzero(final)), sums)


def fill_image(image: FileName, sources: Sequence[FileName], out: FileName | None = None, *,
               expmap: FileName | None = None, mask: FileName | None = None, seed: int = 0,
               clobber: bool = False) -> Filled:
    """Write ``{image}_filled.img``, for display: sources are filled with random values from their surroundings.

    Its header has FILLED, and the binning and the spectra refuse it. ``out`` must end in ``_filled.img``.
    Raises `InputError` and `OutputError`.
    """
    image, regions = as_path(image, "image"), as_paths(sources, "sources")
    expmap, mask = as_path_or_none(expmap, "expmap"), as_path_or_none(mask, "mask")
    out = as_path_or_none(out, "out") or image.with_name(f"{image.name.split('.')[0]}{_FILLED_END}")
    if not out.name.endswith(_FILLED_END):
        raise InputError(f"{out}: the name of a filled image must end in {_FILLED_END}, as its pixels are not counts")
    with Outputs([out], inputs=[*files_of(image, expmap, mask), *regions], clobber=clobber) as outputs:
        pixels = refuse_filled(read_image(image))
        exposure = None if expmap is None else read_exposure(expmap, pixels)
        unused = None if mask is None else ~(read_on_grid(mask, pixels, "mask", of_any=True).data >= 1)
        removed = excluded_by_regions(pixels, regions, ())
        with about(pixels.path):
            filled, lost = fill_sources(pixels.data, removed, exposure=None if exposure is None else exposure.data,
                                        mask=unused, seed=seed)
        if lost:
            warn(f"{image}: {counted(lost, 'pixel')} of sources had no surroundings to fill from; the value there "
                 "is 0")
        header = product_header(pixels.header, history("fill sources", {
            "image": plain_name(image), "sources": regions, "expmap": expmap, "mask": mask, "seed": seed}),
            BUNIT="count", **({} if exposure is None else calib_of(exposure.header)))
        header["FILLED"] = (True, "pixels are made up: not for science")
        with outputs.open(out) as file:
            write_image(file, filled, header)
    return Filled(out, int(np.count_nonzero(removed)))


def _read_set(images: Mapping[Path, Path]) -> dict[Path, Image]:
    read: dict[Path, Image] = {}
    for out, name in images.items():
        first = next(iter(read.values()), None)
        read[out] = refuse_filled(read_image(name) if first is None else
                                  read_on_grid(name, first, "image", of_any=True))
    return read


def _area(area: Path | None, coords: ImageCoords, image: Image) -> tuple[NDArray[np.bool_], list[list[int]]]:
    """Return the pixels of the area of interest, and the box [[x0, x1], [y0, y1]] to crop to."""
    ny, nx = image.data.shape
    if area is None:
        return np.ones((ny, nx), bool), [[0, nx], [0, ny]]
    region = read_regions(area)
    with about(image.path):
        inside = region_mask(region, coords, (ny, nx))
        if not inside.any():
            raise InputError(f"no pixel is inside {area}")
        box: list[list[int]] = region_box(region, coords, (ny, nx)).tolist()
    return inside, box


def _removed(data: NDArray[Any], use: NDArray[np.bool_]) -> NDArray[Any]:
    removed = 0 if data.dtype.kind in "iu" else np.nan
    return np.where(use, data, np.asarray(removed, data.dtype))


def _counts(data: NDArray[Any], use: NDArray[np.bool_], inside: NDArray[np.bool_]) -> ImageCounts:
    return ImageCounts(*(_sum(data, where) for where in (use & inside, ~use & inside, ~inside)))


def _sum(data: NDArray[Any], where: NDArray[np.bool_]) -> float:
    chosen = data[where]
    return float(np.nansum(chosen, dtype=np.int64 if data.dtype.kind in "iu" else np.float64))


def _write(outputs: Outputs, path: Path, data: NDArray[Any], image: Image, first: tuple[int, int],
           lines: Sequence[str], **keywords: str) -> None:
    header = product_header(moved_header(image, first), lines, **keywords)
    with outputs.open(path) as file:
        write_image(file, np.ascontiguousarray(data), header)
