"""Detect sources in images, and write their table, region file and images."""

import glob
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.options import Options
from chandra_bin._checks.paths import FileName, as_path, as_path_or_none
from chandra_bin.coords.pixel_areas import pixel_areas_arcsec2
from chandra_bin.coords.tangent_plane import separation_deg
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, warn
from chandra_bin.events.region_files import read_regions
from chandra_bin.fits.headers import add_history, is_approximate, is_number
from chandra_bin.fits.images import Image, product_header, write_image
from chandra_bin.fits.new_table import NewColumn, new_table
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.sky_keywords import is_of_sky
from chandra_bin.fits.tables import open_fits, write_empty_primary, write_rows
from chandra_bin.fits.virtual import Name, named_file
from chandra_bin.regions import Region, Shape, convert_region, put_sky, region_bytes, region_mask
from chandra_bin.sources._sources import Source
from chandra_bin.sources.detection import Detection, bytes_needed, prepared, search
from chandra_bin.sources.options import DEFAULT_SCALES, DetectionOptions

from ._common import about, coords_if_usable, history, need_memory, read_exposure, warn_of_rims
from .inputs import files_of, is_table, read_image, read_on_grid, refuse_filled

if TYPE_CHECKING:
    from astropy.io.fits import Header

# The enclosed fraction of the radii of a PSF map without a keyword ECF.
_USUAL_ECF = 0.9
# Sides of pixels that differ by less than this fraction count as equal.
_SAME_SCALE = 1e-3


@dataclass(frozen=True, repr=False)
class DetectionFiles(Options):
    """The files that are written."""

    table: Path
    """The sources (FITS, block SRCLIST), which CIAO also reads as a region file."""
    regions: Path | None = None
    """Ellipses in CIAO's physical coordinates. Not written without a source: no tool reads an empty region file."""
    scellfile: Path | None = None
    """An image of the cells: the number of the source."""
    defnbkgfile: Path | None = None
    """An image of the background, per exposure."""
    imagefile: Path | None = None
    """An image of the sources without noise."""


@dataclass(frozen=True, eq=False)
class Detected:
    """The sources, and the files that were written."""

    detection: Detection
    files: list[Path]


def detect_in_image(image: FileName, files: DetectionFiles, options: DetectionOptions | None = None, *,
                    expmap: FileName | None = None, psfmap: FileName | None = None, psfecf: float | None = None,
                    cluster: FileName | None = None, clobber: bool = False,
                    progress: Callable[[float], None] | None = None) -> Detected:
    """Detect the sources of a counts image by `detect_sources`, and write files like those of CIAO's ``wavdetect``.

    Parameters
    ----------
    files : in the table, RA_ERR, DEC_ERR, X_ERR and Y_ERR are the errors of the position (1 sigma), THETA is the
        off-axis angle (arcmin; only where the header of the image has RA_PNT and DEC_PNT), PSFRATIO the size over that
        of the PSF. The header has the expected number of false sources (NFALSE), see `Detection.expected_false`.
    options : options of the search; None: the defaults.
    expmap, psfmap : on the grid of the image. Where one is approximate (CALIB), so are the products. The radii of the
        PSF map hold ``psfecf`` of the photons of a point source (None: its keyword ECF, or else 0.9), in the unit of
        its BUNIT: arcsec, or pixels.
    cluster : region whose sources are left out.

    Raises `InputError` and `OutputError`; no file is written then.
    """
    image = as_path(image, "image")
    expmap = as_path_or_none(expmap, "expmap")
    psfmap, cluster = as_path_or_none(psfmap, "psfmap"), as_path_or_none(cluster, "cluster")
    files, options = DetectionFiles.or_defaults(files), DetectionOptions.or_defaults(options)
    wanted = [path for path in vars(files).values() if path is not None]
    series = [] if files.regions is None else [files.regions.parent / glob.escape(files.regions.name)]
    with Outputs(wanted, series=series, inputs=files_of(image, expmap, psfmap, cluster), clobber=clobber) as outputs:
        number = len(DEFAULT_SCALES if options.scales is None else options.scales)
        if shape := _shape_of(image):
            need_memory(image, shape, bytes_needed(shape, number))
        counts = refuse_filled(read_image(image))
        need_memory(counts.path, counts.data.shape, bytes_needed((counts.data.shape[0], counts.data.shape[1]), number))
        exposure = None if expmap is None else read_exposure(expmap, counts)
        psf = None if psfmap is None else read_on_grid(psfmap, counts, "PSF map")
        sigmas = None if psf is None else _sigmas(psf, psfecf, counts)
        unwanted = _inside(cluster, counts)
        with about(counts.path):
            ready = prepared(counts.data, options, exposure=None if exposure is None else exposure.data,
                             psf_sigma_px=sigmas, unwanted=unwanted)
        if exposure is None:
            warn_of_rims(counts, "the rims of the field look like sources; give --expmap")
        counts = counts.without_pixels()  # free their memory for the search
        exposure, psf = (each and each.without_pixels() for each in (exposure, psf))
        found = search(ready, options, progress)
        used: dict[str, object] = {"infile": image, "expmap": expmap, "psfmap": psfmap, "psfecf": psfecf,
                                   "cluster": cluster}
        _write(outputs, files, found, options, used, counts, exposure, psf)
    if files.regions is not None and not found.sources:
        warn(f"{files.regions}: not written: no source was detected, and no tool reads a region file without a shape")
        wanted.remove(files.regions)
    return Detected(found, wanted)


def _write(outputs: Outputs, files: DetectionFiles, found: Detection, options: DetectionOptions,
           used: dict[str, object], counts: Image, exposure: Image | None, psf: Image | None) -> None:
    scales = None if options.scales is None else " ".join(f"{scale:.15g}" for scale in options.scales)
    lines = history("detect", used | {
        "scales": scales, "sigthresh": options.sigthresh, "ellsigma": options.ellsigma,
        "bkgsigthresh": options.bkgsigthresh, "expthresh": options.expthresh, "maxiter": options.maxiter})
    maps = [each for each in (exposure, psf) if each is not None and is_approximate(each.header)]
    lines += [f"approximate, as {each.path.name} is (CALIB)" for each in maps]
    calib = {"CALIB": "APPROX"} if maps else {}
    coords = coords_if_usable(counts)
    if coords.physical is None:
        warn(f"{counts.path}: has no physical coordinates: X and Y, and regions, are pixels of the image")
        coords = _pixels_are_physical(coords.header)
    region = _ellipses(found.sources, options.ellsigma)
    with outputs.open(files.table) as file:
        _write_table(file, found, counts, exposure, coords, region, lines, calib)
    if files.regions is not None and found.sources:
        outputs.write(files.regions, region_bytes(region, coords, format="ciao"))
    for path, (pixels, keywords) in zip((files.scellfile, files.defnbkgfile, files.imagefile),
                                        _images(found, exposure), strict=True):
        if path is not None:
            with outputs.open(path) as file:
                write_image(file, pixels, product_header(counts.header, lines, **keywords, **calib))


def _images(found: Detection, exposure: Image | None) -> list[tuple[NDArray[Any], dict[str, str]]]:
    """Return source cells, background per exposure and reconstructed sources, with their keywords."""
    largest, per = np.float32(1), ""
    if exposure is not None:
        largest, per = np.float32(found.largest_exposure), f"/({exposure.header.get('BUNIT') or 'exposure'})"
    return [(found.cells, {"HDUNAME": "SRCELL"}),
            (found.background / largest, {"BUNIT": f"count/pixel{per}"}),
            (found.reconstructed, {"BUNIT": "count/pixel"})]


def _shape_of(name: Name) -> tuple[int, int] | None:
    """Return the shape of an image from its header alone; None where the image must be read."""
    parsed = named_file(name)
    if parsed.steps or not parsed.file.is_file() or is_table(parsed):
        return None
    with open_fits(parsed.file) as hdus:
        for hdu in hdus:
            sides = hdu.header.get("NAXIS2", 1), hdu.header.get("NAXIS1", 1)
            if hdu.is_image and (parsed.block is None or hdu.is_named(parsed.block.name)) and min(sides) > 1:
                return sides
    return None


def _sigmas(psf: Image, ecf: float | None, image: Image) -> NDArray[np.float32]:
    """Return the PSF's sigma in pixels: a Gaussian holds the fraction f within sigma sqrt(-2 ln(1 - f))."""
    fraction = psf.number("ECF", _USUAL_ECF) if ecf is None else ecf
    if not 0 < fraction < 1:
        raise InputError(f"{psf.path}: the enclosed fraction of the PSF must be between 0 and 1, got "
                         f"{fraction:.15g}: give --psfecf")
    unit = str(psf.header.get("BUNIT", "arcsec")).strip().lower()
    if unit in ("arcsec", "arcsecond", ""):
        with about(image.path):
            pixel = _pixel_arcsec(ImageCoords(image.header), psf.data)
    elif unit in ("pixel", "pixels", "logical"):
        pixel = np.float64(1)
    elif unit == "physical":
        with about(image.path):
            pixel = np.abs(ImageCoords(image.header).need_physical().scale).mean()
    else:
        raise InputError(f"{psf.path}: the unit (BUNIT) must be arcsec, logical or physical, got {unit!r}")
    radius = np.where(psf.data > 0, psf.data, np.nan)
    made: NDArray[np.float32] = (radius / (pixel * np.sqrt(-2 * np.log1p(-fraction)))).astype(np.float32)
    return made


def _pixel_arcsec(coords: ImageCoords, radii: NDArray[Any]) -> Any:
    """Return the side of pixels in arcsec: of each pixel with a radius, or one number where all agree to 0.1 %."""
    ny, nx = radii.shape
    x, y = np.meshgrid(np.linspace(0, nx - 1, 5), np.linspace(0, ny - 1, 5))
    sides = np.sqrt(pixel_areas_arcsec2(coords, x, y))
    if np.ptp(sides) <= _SAME_SCALE * sides.mean():
        return sides.mean()
    made = np.full(radii.shape, np.nan)
    rows, columns = np.nonzero(radii > 0)
    made[rows, columns] = np.sqrt(pixel_areas_arcsec2(coords, columns, rows))
    return made


def _inside(path: Path | None, image: Image) -> NDArray[np.bool_] | None:
    if path is None:
        return None
    region = read_regions(path, for_ciao=False)
    with about(image.path):
        inside = region_mask(region, ImageCoords(image.header), cast(tuple[int, int], image.data.shape))
    if not inside.any():
        warn(f"{path}: no pixel of {image.path} is inside: no source is left out")
    return inside


def _pixels_are_physical(header: "Header") -> ImageCoords:
    made = header.copy()
    made.update(LTV1=0.0, LTV2=0.0, LTM1_1=1.0, LTM2_2=1.0)
    return ImageCoords(made)


def _ellipses(sources: Sequence[Source], ellsigma: float) -> Region:
    shapes = [Shape("ellipse", np.array([[source.x + 1, source.y + 1]]),
                    (ellsigma * source.sigmas[0], ellsigma * source.sigmas[1]), (source.angle_deg,), "image", "image",
                    line=number)
              for number, source in enumerate(sources, start=1)]
    return Region(tuple((shape,) for shape in shapes))


def _write_table(file: BinaryIO, found: Detection, image: Image, exposure: Image | None, coords: ImageCoords,
                 region: Region, lines: list[str], calib: dict[str, str]) -> None:
    from astropy.io.fits import Header

    columns = _columns(found, image, exposure, coords, region)
    names = [column.name for column in columns]
    table, rows = new_table(columns, {"EXTNAME": "SRCLIST", "HDUNAME": "SRCLIST"})
    table.update(MTYPE1="pos", MFORM1="X,Y")
    put_sky(table, coords, (names.index("X") + 1, names.index("Y") + 1))
    kept = [card for card in product_header(image.header, []).cards
            if not card.keyword.startswith(_OF_PIXELS) and not is_of_sky(card.keyword) and card.keyword not in table]
    table.extend(kept, unique=False)
    table.update(CONTENT="SRCLIST", HDUCLASS="ASC", HDUCLAS1="REGION", HDUCLAS2="STANDARD", SIGTHRSH=found.sigthresh,
                 NEXPOSED=found.exposed, NDROPPED=found.dropped, NFALSE=found.expected_false, **calib)
    add_history(table, lines)
    write_empty_primary(file, Header())
    write_rows(file, table, [rows])


# Keywords that describe an image's pixels and would be wrong in a table.
_OF_PIXELS = ("CTYPE", "CUNIT", "CRVAL", "CRPIX", "CDELT", "LTV", "LTM", "WCSTY", "MTYPE", "MFORM", "DSTYP", "DSVAL",
              "DSFORM", "DSREF", "DSUNIT")


def _off_axis_arcmin(header: "Header", ra: NDArray[np.float64], dec: NDArray[np.float64]
                     ) -> NDArray[np.float64] | None:
    """Return the angle between positions (degrees) and the pointing of an observation; None where it has none."""
    pointing = [header.get(key) for key in ("RA_PNT", "DEC_PNT")]
    if not all(map(is_number, pointing)):
        return None
    axis = float(pointing[0]), float(pointing[1])
    return np.array([60 * separation_deg(axis, place) for place in zip(ra.tolist(), dec.tolist(), strict=True)])


def _columns(found: Detection, image: Image, exposure: Image | None, coords: ImageCoords,
             region: Region) -> list[NewColumn]:
    sources = found.sources

    def of(name: str) -> NDArray[np.float64]:
        return np.array([getattr(source, name) for source in sources], float)

    scale = np.abs(coords.need_physical().scale)
    placed = [component[0] for component in convert_region(region, coords, "physical").components] if sources else []
    x, y = (np.array([shape.points[0, axis] for shape in placed]) for axis in (0, 1))
    if exposure is None:
        time, unit = np.full(len(sources), image.number("EXPOSURE", np.nan)), "s"
    else:
        time, unit = of("exposure") * found.largest_exposure, str(exposure.header.get("BUNIT") or "").strip()
    per = "count/s" if unit == "s" else f"count/({unit})" if unit else "count"
    net, background = of("net"), of("background")
    columns: list[NewColumn] = []
    if coords.sky is not None:
        lon, lat = coords.image_to_sky(of("x"), of("y"), coords.equatorial)
        degrees = np.sqrt(pixel_areas_arcsec2(coords, of("x"), of("y"))) / 3600
        columns += [NewColumn("RA", "1D", lon, "deg"), NewColumn("DEC", "1D", lat, "deg"),
                    NewColumn("RA_ERR", "1D", of("x_err") * degrees, "deg"),
                    NewColumn("DEC_ERR", "1D", of("y_err") * degrees, "deg")]
        if (theta := _off_axis_arcmin(image.header, lon, lat)) is not None:
            columns.append(NewColumn("THETA", "1D", theta, "arcmin"))
    else:
        warn(f"{image.path}: has no sky coordinates: the table has no columns RA and DEC")
    psf = np.where(of("psf_sigma") > 0, of("psf_sigma"), np.nan)
    sigmas = np.array([source.sigmas for source in sources]).reshape(-1, 2)
    return [
        *columns,
        NewColumn("X", "1D", x, "pixel"),
        NewColumn("Y", "1D", y, "pixel"),
        NewColumn("X_ERR", "1D", of("x_err") * scale[0], "pixel"),
        NewColumn("Y_ERR", "1D", of("y_err") * scale[1], "pixel"),
        NewColumn("NPIXSOU", "1J", of("pixels"), "pixel"),
        NewColumn("NET_COUNTS", "1D", net, "count"),
        NewColumn("NET_COUNTS_ERR", "1D", of("net_err"), "count"),
        NewColumn("BKG_COUNTS", "1D", background, "count"),
        NewColumn("BKG_COUNTS_ERR", "1D", of("background_err"), "count"),
        NewColumn("NET_RATE", "1D", net / time, per),
        NewColumn("NET_RATE_ERR", "1D", of("net_err") / time, per),
        NewColumn("BKG_RATE", "1D", background / time, per),
        NewColumn("BKG_RATE_ERR", "1D", of("background_err") / time, per),
        NewColumn("EXPTIME", "1D", time, unit),
        NewColumn("EXPTIME_ERR", "1D", np.zeros(len(sources)), unit),
        NewColumn("SRC_SIGNIFICANCE", "1D", of("significance")),
        NewColumn("PSF_SIZE", "1D", psf * scale.mean(), "pixel"),
        NewColumn("MULTI_CORREL_MAX", "1J", of("maxima")),
        NewColumn("SHAPE", "16A", ["Ellipse"] * len(sources)),
        NewColumn("R", "2D", np.array([shape.lengths for shape in placed]).reshape(-1, 2), "pixel"),
        NewColumn("ROTANG", "1D", [shape.angles[0] for shape in placed], "deg"),
        NewColumn("PSFRATIO", "1D", np.sqrt(sigmas.prod(axis=1)) / psf),
        NewColumn("COMPONENT", "1J", np.arange(1, len(sources) + 1)),
        NewColumn("WAVELET_SCALE", "1D", of("scale") * scale.mean(), "pixel"),
    ]
