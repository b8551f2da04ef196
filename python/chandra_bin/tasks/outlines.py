"""Write region files from binmaps and masks, convert region files, and make masks from them."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.paths import FileName, as_path, as_path_or_none, as_paths
from chandra_bin.binning.outlines import Polygons, trace_polygons
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import ChandraBinWarning, InputError, counted, warn
from chandra_bin.events.columns import coords_of
from chandra_bin.events.reader import open_events
from chandra_bin.events.region_files import read_regions
from chandra_bin.fits.images import product_header, write_image
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.virtual import named_file
from chandra_bin.regions import (
    PIXEL_SYSTEMS,
    BinTexts,
    Format,
    Region,
    Semantics,
    Style,
    parse_regions,
    region_bytes,
    region_mask,
    region_of,
)

from ._common import about, calib_of, excluded_by_regions, history, read_binmap, read_exposure
from .inputs import files_of, is_table, read_image

logger = logging.getLogger(__name__)

# The name of a whole mask's outline, where those of bins are xaf_N.
_MASK_NAME = "mask"


@dataclass(frozen=True)
class Outlines:
    """The numbers of files, polygons and vertices that were written."""

    files: int
    polygons: int
    vertices: int


def write_outlines(binmap: FileName, outdir: FileName | None = None, *, all_in_one: FileName | None = None,
                   format: Format | None = None, system: str = "physical", sexagesimal: bool = False,
                   clobber: bool = False) -> Outlines:
    """Write the exact outline of each bin of a binmap as ``outdir/xaf_N.reg``, all of them in one file, or both.

    A 0/1 image of any type except int32, the type of binmaps, is a mask: the outline of its pixels of 1 is written as
    ``outdir/mask.reg``.

    Parameters
    ----------
    all_in_one : a file of all bins with their numbers; `chandra_bin.read_regions` reads it, and ``Region.bins`` of the
        result are the regions of the bins.
    format : ``ciao`` and ``ds9`` (text), or ``fits`` (CIAO's region tables, ``xaf_N.fits``). None: ``ciao`` for the
        files of the folder, and ``ds9`` for ``all_in_one``.
    system : ``physical``, ``image``, ``wcs`` (the image's own frame), ``fk5``, ``icrs``, ``galactic`` or one of
        astropy's.
    sexagesimal : right ascension in hours, declination in degrees, minutes, seconds; files are ``xaf_N_sex.reg``.

    A bin number without pixels gets no file, and a `ChandraBinWarning`. Raises `InputError`, also where the image lacks
    the coordinates of ``system``, and `OutputError`; no file is written then.
    """
    binmap = as_path(binmap, "binmap")
    outdir, all_in_one = as_path_or_none(outdir, "outdir"), as_path_or_none(all_in_one, "all_in_one")
    system = system.lower()
    if outdir is None and all_in_one is None:
        raise InputError("give an output for the outlines: a folder, or one file of all bins")
    each_format, one_format = format or "ciao", format or "ds9"
    _check_sexagesimal(sexagesimal, system, one_format if outdir is None else each_format)
    image, labels = read_binmap(binmap)
    is_mask = _is_mask(image.data)
    if is_mask:
        logger.info("%s holds only 0 and 1: it is read as a mask", binmap)
    with about(binmap):
        polygons = trace_polygons(np.where(labels == 1, 0, -1) if is_mask else labels)
        if not len(polygons):
            raise InputError("no pixel is in a bin: give an image with bins to outline")
        coords = ImageCoords(image.header)
        _need_system(coords, system)
        names = {0: _MASK_NAME} if is_mask else {int(label): f"xaf_{label}" for label in np.unique(polygons.labels)}
        _warn_of_gaps(binmap, names)
        files = {} if outdir is None else _outline_files(polygons, coords, names, each_format, system, sexagesimal)
        together = _all_in_one(polygons, coords, one_format, system, sexagesimal) if all_in_one else ""
    series = [] if outdir is None or is_mask else [outdir / f"xaf_*[0-9]{_suffix(each_format, sexagesimal, '')}"]
    files_made = [all_in_one] if all_in_one else []
    with Outputs(files_made, series=series, inputs=files_of(binmap), clobber=clobber) as outputs:
        for name, content in files.items():
            outputs.write(cast(Path, outdir) / name, content)
        if all_in_one:
            outputs.write(all_in_one, together)
    return Outlines(len(files) + bool(all_in_one), len(polygons), len(polygons.points))


def convert_files(files: Sequence[FileName], image: FileName, outdir: FileName, *, format: Format = "ciao",
                  system: str = "wcs", sexagesimal: bool = False, semantics: Semantics | None = None,
                  clobber: bool = False) -> list[Path]:
    """Convert region files of any kind, by the coordinates of an image or event file, into ``outdir``.

    ``NAME.reg`` becomes ``NAME_sex.reg`` (sexagesimal) or ``NAME_physical.reg``, ``NAME_fk5.reg``, ... A single file
    may also be converted to the file ``outdir``, whose name then ends in ``.reg`` or ``.fits``. The pixels of the image
    that are inside stay the same; a `ChandraBinWarning` gives the number of pixels that CIAO and DS9 interpret
    differently. Parameters are as for `write_outlines`; ``semantics`` is as for `chandra_bin.regions.parse_regions`.
    Raises `InputError` and `OutputError`; no file is written then.
    """
    image, outdir = as_path(image, "image"), as_path(outdir, "outdir")
    files = as_paths(files, "files")
    system = system.lower()
    if not files:
        raise InputError("give at least one region file")
    _check_sexagesimal(sexagesimal, system, format)
    coords, shape = read_coords(image)
    with about(image):
        _need_system(coords, system)
    suffix = _suffix(format, sexagesimal, f"_{system}")
    targets = [outdir / f"{_stem(file)}{suffix}" for file in files]
    if outdir.suffix.lower() in (".reg", ".fits") and not outdir.is_dir():
        if len(files) > 1:
            raise InputError(f"{outdir}: is the name of a file, but {len(files)} files are converted: give a folder")
        targets = [outdir]
    with Outputs(targets, inputs=files_of(*files), clobber=clobber) as outputs:
        for file, target in zip(files, targets, strict=True):
            region = read_regions(file, semantics, for_ciao=False)
            if region.decorations:
                warn(f"{file}: texts, lines or the like ({len(region.decorations)}) cover no pixels, and are "
                     "left out")
            content = region_bytes(region, coords, format=format, system=system, sexagesimal=sexagesimal)
            _compare_readers(region, coords, shape, content, format)
            outputs.write(target, content)
    return targets


def write_mask(image: FileName, out: FileName, *, exclude: Sequence[FileName] = (), keep: Sequence[FileName] = (),
               expmap: FileName | None = None, semantics: Semantics | None = None,
               clobber: bool = False) -> tuple[int, int]:
    """Write a mask for an image: 1 used, 0 inside regions of ``exclude``, and outside all regions of ``keep``.

    The mask is also 0 where the image is NaN, and where ``expmap``, its exposure map, is not above 0. Returns the
    numbers of used and of all pixels. Raises `InputError` and `OutputError`.
    """
    image, out = as_path(image, "image"), as_path(out, "out")
    expmap = as_path_or_none(expmap, "expmap")
    exclude, keep = as_paths(exclude, "exclude"), as_paths(keep, "keep")
    if not exclude and not keep and expmap is None:
        raise InputError("give a region file to exclude or to keep, or an exposure map")
    parameters = {"image": image, "exclude": tuple(exclude), "keep": tuple(keep), "expmap": expmap,
                  "semantics": semantics}
    with Outputs([out], inputs=files_of(image, *exclude, *keep, expmap), clobber=clobber) as outputs:
        pixels = read_image(image)
        used = ~np.isnan(pixels.data)
        if exclude or keep:
            used &= ~excluded_by_regions(pixels, exclude, keep, semantics)
        exposure = None if expmap is None else read_exposure(expmap, pixels)
        if exposure is not None:
            used &= exposure.data > 0
        if not used.any():
            raise InputError(f"{image}: no pixel is left to use: each is NaN, without exposure, or excluded")
        approximate = {} if exposure is None else calib_of(exposure.header)
        header = product_header(pixels.header, history("mask", parameters), **approximate)
        with outputs.open(out) as file:
            write_image(file, used.astype(np.int16), header)
    return int(np.count_nonzero(used)), used.size


def read_coords(path: Path) -> tuple[ImageCoords, tuple[int, int]]:
    """Return the coordinates of an image, or of the events of a file, and the shape (ny, nx) for comparisons."""
    parsed = named_file(path)
    if is_table(parsed) and parsed.binning is None:
        with open_events(parsed) as events:
            coords = coords_of(events.hdu)
            return coords, (coords.header["NAXIS2"], coords.header["NAXIS1"])
    image = read_image(path)
    return ImageCoords(image.header), cast(tuple[int, int], image.data.shape)


def _is_mask(values: NDArray[Any]) -> bool:
    """Return whether an image is a mask: it holds 0 and 1 and is not int32, as a binmap of two bins is."""
    return values.dtype.newbyteorder("=") != np.int32 and bool(np.isin(values, (0, 1)).all() and values.any())


def _check_sexagesimal(sexagesimal: bool, system: str, format: Format) -> None:
    if sexagesimal and (system in PIXEL_SYSTEMS or format == "fits"):
        raise InputError(f"sexagesimal numbers need a text file in a system of the sky, not {system} coordinates in "
                         f"the format {format}: choose --system fk5, icrs or wcs")


def _need_system(coords: ImageCoords, system: str) -> None:
    """Raise `InputError` for an unknown system, or where the image lacks its coordinates."""
    if system == "physical" and coords.physical is None:
        others = "fk5, icrs, wcs or image" if coords.sky is not None else "image, with --format ds9"
        raise InputError("the header has no physical coordinates (CRVAL1P ... or LTV1, LTM1_1); choose another system: "
                         f"--system {others}")
    if system not in PIXEL_SYSTEMS:
        coords.image_to_sky(0.0, 0.0, None if system == "wcs" else system)


def _outline_files(polygons: Polygons, coords: ImageCoords, names: dict[int, str], format: Format, system: str,
                   sexagesimal: bool) -> dict[str, str | bytes]:
    suffix = _suffix(format, sexagesimal, "")
    if format == "fits":
        return {f"{name}{suffix}": region_bytes(region_of(polygons, label), coords, format=format, system=system)
                for label, name in names.items()}
    texts = BinTexts(polygons, coords, Style(format, system, sexagesimal)).of_bins()
    return {f"{names[label]}{suffix}": text for label, text in texts}


def _all_in_one(polygons: Polygons, coords: ImageCoords, format: Format, system: str,
                sexagesimal: bool) -> str | bytes:
    if format == "fits":
        return region_bytes(region_of(polygons), coords, format=format, system=system)
    return BinTexts(polygons, coords, Style(format, system, sexagesimal)).all_in_one()


def _suffix(format: Format, sexagesimal: bool, otherwise: str) -> str:
    return ("_sex" if sexagesimal else otherwise) + (".fits" if format == "fits" else ".reg")


def _stem(path: Path) -> str:
    parsed = named_file(path)
    name = parsed.file.name.removesuffix(".gz")
    stem = name[: name.rindex(".")] if "." in name else name
    return stem if parsed.block is None else f"{stem}_{str(parsed.block.name).replace(' ', '_')}"


def _warn_of_gaps(binmap: Path, names: dict[int, str]) -> None:
    missing = max(names) + 1 - len(names)
    if missing:
        first = next(number for number in range(max(names)) if number not in names)
        warn(f"{binmap}: {missing} bin numbers up to {max(names)} have no pixel (the first is {first}): they "
             "get no region file")


def _compare_readers(region: Region, coords: ImageCoords, shape: tuple[int, int], content: bytes,
                     format: Format) -> None:
    """Warn where CIAO and DS9 interpret a file differently, and where DS9's format cannot hold its region."""
    if region.other is not None or (format == "ds9" and any(shape.complement for shape in region.areas)):
        inside = region_mask(region, coords, shape)
    else:
        return
    if format == "ds9":
        written = parse_regions(content.decode(), semantics="ds9")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ChandraBinWarning)  # CIAO's view of the DS9 file has warnings of its own
            different = np.count_nonzero(inside != region_mask(written, coords, shape))
        if different:
            warn(f"{region.source}: DS9's format cannot hold this region: {counted(different, 'pixel')} "
                 "will differ; use --format ciao")
