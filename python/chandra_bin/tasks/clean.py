"""Steps 5 and 6 of the reference: scaled flux, sources removed, images cropped, and a mask with every set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    """What a flux image was multiplied by."""

    file: Path
    scale: float
    factor: float

    def sn_in_counts(self, sn: float) -> float:
        """The S/N in counts of bins that are made to ``sn`` in this image."""
        return sn_in_counts(sn, self.factor)


@dataclass(frozen=True)
class ImageCounts:
    """Where the sum of an image went: ``kept + removed + outside`` is what the input held."""

    kept: float
    removed: float
    """In sources, or without data in another image of the set."""
    outside: float
    """Outside the area."""


@dataclass(frozen=True)
class Cleaned:
    """A set of images without sources, on one grid."""

    mask_file: Path
    shape: tuple[int, int]
    first: tuple[int, int]
    """The pixel (x, y) of the input that is the first now."""
    used: int
    """Pixels of 1 in the mask."""
    sums: Mapping[Path, ImageCounts]
    """By output."""


@dataclass(frozen=True)
class Filled:
    """An image for looking at."""

    file: Path
    pixels: int
    """Filled ones."""


def scale_flux(flux: str | Path, counts: str | Path, out: str | Path, *, factor: float = FLUX_FACTOR,
               clobber: bool = False) -> ScaledFlux:
    """Writes the reference's scaled flux (``scaled_broad_flux.fits``): ``factor`` F mean(C) / mean(F), float32.

    Its S/N is not that of counts: see `ScaledFlux.sn_in_counts`; the header has FLUXFAC (the factor) and FLUXSCAL (what
    F was multiplied by). Better give the binner counts, background and exposure. Raises `InputError` and `OutputError`.
    """
    out = Path(out)
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
        # The area was divided out of the flux; what this is in is neither that unit nor counts.
        header.remove("EFFAREA", ignore_missing=True)
        with outputs.open(out) as file:
            write_image(file, scaled.astype(np.float32), header)
    return ScaledFlux(out, scale, factor)


def remove_sources(images: Mapping[Path, Path] | Mapping[str, str], mask_out: str | Path, *,
                   exclude: Sequence[str | Path] = (), area: str | Path | None = None, expmap: str | Path | None = None,
                   mask: str | Path | None = None, clobber: bool = False) -> Cleaned:
    """Removes sources from images of one grid, crops them, and writes the mask of what is left.

    Parameters
    ----------
    images : output to input (virtual names): counts, exposure map, flux, background, ratio ...
    mask_out : ``broad_mask.fits``: int16, 1 where a pixel is to be used; the binner is always given it.
    exclude : region files of what is removed.
    area : region file of the area of interest (``square.reg``): images are cropped to the box around it, and what is
        outside it is removed too.
    expmap : exposure map: pixels whose exposure is not above 0 are not used.
    mask : FITS mask to begin with: 0 is not used.

    Removed pixels are 0 in images of whole numbers and NaN in others; those of the mask are also without use where an
    image of the set is NaN. Sky and physical coordinates stay those of the pixels. Raises `InputError`, also where no
    pixel is left, and `OutputError`; no file is written then.
    """
    if not images:
        raise InputError("there is no image to remove sources from")
    named = {Path(out): Path(name) for out, name in images.items()}
    mask_out, regions = Path(mask_out), tuple(map(Path, exclude))
    area, expmap, mask = (None if each is None else Path(each) for each in (area, expmap, mask))
    inputs = [*files_of(*named.values(), expmap, mask), *regions, *([] if area is None else [area])]
    with Outputs([*named, mask_out], inputs=inputs, clobber=clobber) as outputs:
        read = _read_set(named)
        first_image = next(iter(read.values()))
        coords = ImageCoords(first_image.header)
        shape = first_image.data.shape
        inside, box = _area(area, coords, first_image)
        use = np.ones(shape, bool)
        if mask is not None:
            use &= np.nan_to_num(read_on_grid(mask, first_image, "mask").data, nan=0) >= 1
        exposure = None if expmap is None else read_exposure(expmap, first_image)
        if exposure is not None:
            use &= exposure.data > 0
        if regions:
            use &= ~excluded_by_regions(first_image, regions, ())
        for image in read.values():
            use &= ~np.isnan(image.data)
        if not (use & inside).any():
            raise InputError(f"{first_image.path}: all {size_text(shape)} pixels are removed; nothing is left to use")
        (x0, x1), (y0, y1) = box
        cut = slice(y0, y1), slice(x0, x1)
        lines = history("remove sources", {"images": tuple(named.values()), "exclude": regions, "area": area,
                                           "expmap": expmap, "mask": mask})
        by_exposure = {} if exposure is None else calib_of(exposure.header)
        sums = {}
        for out, image in read.items():
            sums[out] = ImageCounts(*(_sum(image.data, where) for where in (
                use & inside, ~use & inside, ~inside)))
            unit = {"BUNIT": image.header["BUNIT"]} if "BUNIT" in image.header else {}
            _write(outputs, out, _removed(image.data, use & inside)[cut], image, (x0, y0), lines, **unit, **by_exposure)
        final = (use & inside)[cut]
        _write(outputs, mask_out, final.astype(np.int16), first_image, (x0, y0), lines, HDUNAME="MASK", CONTENT="MASK",
               **{**by_exposure, **calib_of(*(image.header for image in read.values()))})
    return Cleaned(mask_out, final.shape, (x0, y0), int(np.count_nonzero(final)), sums)


def fill_image(image: str | Path, sources: Sequence[str | Path], out: str | Path | None = None, *,
               expmap: str | Path | None = None, mask: str | Path | None = None, seed: int = 0,
               clobber: bool = False) -> Filled:
    """Writes ``{image}_filled.img``: sources filled with draws of what is around each, to be looked at.

    Its header says FILLED, and neither the binning nor the spectra take it. ``out`` must end in ``_filled.img``.
    Raises `InputError` and `OutputError`.
    """
    image, regions = Path(image), tuple(map(Path, sources))
    expmap, mask = (None if each is None else Path(each) for each in (expmap, mask))
    out = Path(out) if out else image.with_name(f"{image.name.split('.')[0]}{_FILLED_END}")
    if not out.name.endswith(_FILLED_END):
        raise InputError(f"{out}: the name of a filled image ends in {_FILLED_END}, so that nobody takes it for counts")
    with Outputs([out], inputs=[*files_of(image, expmap, mask), *regions], clobber=clobber) as outputs:
        pixels = refuse_filled(read_image(image))
        exposure = None if expmap is None else read_exposure(expmap, pixels)
        unused = None if mask is None else ~(read_on_grid(mask, pixels, "mask").data >= 1)
        removed = excluded_by_regions(pixels, regions, ())
        with about(pixels.path):
            filled, lost = fill_sources(pixels.data, removed, exposure=None if exposure is None else exposure.data,
                                        mask=unused, seed=seed)
        if lost:
            warn(f"{image}: {counted(lost, 'pixel')} of sources had nothing around to be filled from; the "
                 "value there is 0")
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
        read[out] = refuse_filled(read_image(name) if first is None else read_on_grid(name, first, "image"))
    return read


def _area(area: Path | None, coords: ImageCoords, image: Image) -> tuple[NDArray[np.bool_], list[list[int]]]:
    """Pixels of the area of interest, and the box [[x0, x1], [y0, y1]] to crop to."""
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


def _sum(data: NDArray[Any], where: NDArray[np.bool_]) -> float:
    chosen = data[where]
    return float(np.nansum(chosen, dtype=np.int64 if data.dtype.kind in "iu" else np.float64))


def _write(outputs: Outputs, path: Path, data: NDArray[Any], image: Image, first: tuple[int, int],
           lines: Sequence[str], **keywords: str) -> None:
    header = product_header(moved_header(image, first), lines, **keywords)
    with outputs.open(path) as file:
        write_image(file, np.ascontiguousarray(data), header)
