"""Images, exposure maps, fluxes and PSF maps of an observation, with the file names of CIAO's fluximage."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s
from chandra_bin._checks.paths import FileName, as_path_or_none
from chandra_bin.acis import geometry as acis
from chandra_bin.acis.bands import Band, parse_bands
from chandra_bin.coords.grids import Grid, GridAxis
from chandra_bin.coords.wcs import ImageCoords, physical_agree
from chandra_bin.errors import InputError, warn
from chandra_bin.events.filters import RowFilter
from chandra_bin.events.gti_files import GtiBlock
from chandra_bin.events.images import add_to_image, image_header
from chandra_bin.events.reader import Events, open_events, read_events, read_passing_and_all
from chandra_bin.exposure.maps import chip_exposures, flux_of, outline_box, sum_exposures
from chandra_bin.exposure.psf import check_ecf, psf_map
from chandra_bin.fits.images import product_header, read_image_file, write_image
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.virtual import Name, VirtualFile, named_file

from ._common import history, names_root, need_memory, reporting
from ._observed import PLACING, Observed, check_filters, check_instrument, grating_of, observed, without_removed
from .inputs import files_of
from .options import AncillaryChoice

if TYPE_CHECKING:
    from astropy.io.fits import Header

Units = Literal["area", "time"]

# Memory per pixel of the maps of a band, which are made one after another.
_BYTES_A_PIXEL = 45


@dataclass(frozen=True)
class FluxImage:
    """The images of one band."""

    band: Band
    counts: int
    """Counts in the image, after the threshold."""
    cut: int
    """Counts where the exposure is below the threshold."""
    exposure: float
    """The largest exposure, cm² s, or s."""
    files: tuple[Path, ...]


@dataclass(frozen=True)
class FluxImages:
    """The results of `make_flux_images`."""

    grid: Grid
    bands: tuple[FluxImage, ...]
    sources: dict[str, str]
    """Keywords of the products: the sources of the aspect, the places of chips, and bad pixels."""


@dataclass(frozen=True)
class ExposureSettings:
    """Options of exposure maps."""

    units: Units = "area"
    area_cm2: float | None = None
    slope: float | None = None
    threshold: str = "1.5%"

    def __post_init__(self) -> None:
        if self.units not in ("area", "time"):
            raise InputError(f"units must be area or time, got {self.units!r}")
        if self.area_cm2 is not None and not (np.isfinite(self.area_cm2) and self.area_cm2 > 0):
            raise InputError(f"the area must be above 0, got {self.area_cm2:.15g} cm²")
        if self.slope is not None and not 0 <= self.slope <= 1:
            raise InputError(f"the vignetting must be from 0 (none) to 1, the fraction of the area that is lost at "
                             f"10 arcmin, got {self.slope:.15g}")
        if self.area_cm2 is not None and self.units == "time":
            raise InputError("units=time uses no area: leave --area out")
        self.least(np.zeros((1, 1), np.float32))

    @property
    def used_slope(self) -> float:
        """The slope of the vignetting; 0 for exposure times."""
        if self.slope is not None:
            return self.slope
        return acis.VIGNETTING_SLOPE if self.units == "area" else 0.0

    def area_of(self, band: Band) -> float:
        """Return the area on axis, cm²; 1 for exposure times."""
        if self.units == "time":
            return 1.0
        made = self.area_cm2 or float(acis.effective_area_cm2(1000 * band.effective_kev))
        if made <= 0:
            raise InputError(f"the band {band.label} has no area at its effective energy, {band.effective_kev:g} keV")
        return made

    def warn_of_grating(self, header: "Header", file: Path) -> None:
        """Warn of an observation with a grating for which the area without a grating is used."""
        name = grating_of(header)
        if name and self.units == "area" and self.area_cm2 is None:
            warn(f"{file}: GRATING = {name}: the zeroth-order area is unknown, so the area without a grating is "
                 "used: exposure is 2 to 3 times too high and flux too low by the same factor; give the zeroth-order "
                 "area (cm**2) by --area, or use CIAO's fluximage")

    def least(self, exposure: Float32s) -> float:
        """Return the exposure threshold of pixels."""
        text = self.threshold.strip()
        try:
            value = float(text.removesuffix("%"))
        except ValueError:
            value = np.nan
        if not (value >= 0 and (value < 100 or not text.endswith("%"))):
            raise InputError(f"the threshold must be a percentage of the largest exposure, such as 1.5%, or an "
                             f"exposure, got {self.threshold!r}")
        return float(exposure.max(initial=0)) * value / 100 if text.endswith("%") else value

    def keywords(self, band: Band) -> dict[str, Any]:
        """For headers."""
        made: dict[str, Any] = {"CALIB": "APPROX", "VIGSLOPE": self.used_slope, "ENERGYEF": band.effective_kev}
        return made if self.units == "time" else {**made, "EFFAREA": self.area_of(band)}

    def note(self) -> str:
        """Return a description of the approximation, for HISTORY."""
        mirror = (f"vignetting 1 - {self.used_slope:g} (theta/10')^2 around the pointing" if self.used_slope
                  else "no vignetting")
        area = "" if self.units == "time" else ", one area on axis for all chips (EFFAREA, cm**2)"
        return f"approximate: {mirror}{area}"

    def parameters(self) -> dict[str, object]:
        """For HISTORY."""
        return {"units": self.units, "area": self.area_cm2, "vignetting": self.used_slope,
                "expmapthresh": self.threshold}


def make_flux_images(name: Name, outroot: str, *, bands: str = "broad", binsize: float | None = None,
                     settings: ExposureSettings | None = None, files: AncillaryChoice | None = None,
                     psfecf: float | None = None, xygrid: FileName | None = None, threads: int = 1,
                     clobber: bool = False) -> FluxImages:
    """Write image, exposure map and flux of each band, and the map of PSF radii, all on one grid.

    The files are ``{outroot}_{band}_thresh.img``, ``_thresh.expmap``, ``_flux.img`` and, with ``psfecf``,
    ``_thresh.psfmap``; an ``outroot`` that ends in ``/`` is a folder.

    Parameters
    ----------
    name : event file, with or without filters. The exposure of a pixel is that of the part within region filters.
    bands : broad, soft, medium, hard, ultrasoft, csc (soft, medium and hard), or ``low:high:effective`` in keV, joined
        by commas.
    binsize : size of a pixel in sky pixels; None: 1.
    settings : options of exposure maps; None: the defaults.
    files : aspect solution, bad pixels, mask and outlines; None: those found in the folder of the event file.
    psfecf : the fraction of a point source within the radii of the PSF map.
    xygrid : an image whose grid and pixel size are used; None: a grid around all that the chips saw.

    Exposure maps are approximate, as headers state (CALIB = 'APPROX'). Raises `InputError` and `OutputError`; no file
    is written then.
    """
    xygrid = as_path_or_none(xygrid, "xygrid")
    settings, files = settings or ExposureSettings(), AncillaryChoice.or_defaults(files)
    wanted = parse_bands(bands)
    parsed = named_file(name)
    if parsed.binning is not None:
        raise parsed.error(parsed.binning.at, "fluximage bins the images itself: remove this, and give --binsize")
    if binsize is not None and xygrid is not None:
        raise InputError(f"--binsize {binsize:.15g} and --xygrid {xygrid} both set the size of pixels: give one")
    binsize = 1.0 if binsize is None else binsize
    check_binsize(binsize, exposed=True)
    if psfecf is not None:
        check_ecf(psfecf)
    root = names_root(outroot)
    kinds = ("thresh.img", "thresh.expmap", "flux.img", *(["thresh.psfmap"] if psfecf is not None else []))
    products = {band.label: [Path(f"{root}{band.label}_{kind}") for kind in kinds] for band in wanted}
    header, rows, columns = _look(parsed)
    check_instrument(header, parsed.file)
    check_filters(parsed, rows, wanted)
    beside = files.of(parsed.file, header)
    inputs = [*files_of(parsed), *beside.files, *([xygrid] if xygrid else [])]
    with Outputs([file for each in products.values() for file in each], inputs=inputs, clobber=clobber) as outputs:
        events, every = _events(parsed, columns)
        settings.warn_of_grating(header, parsed.file)
        how = observed(events, beside, every)
        files.warn_of_unused(how)
        grid = _grid(how, events, rows, binsize, xygrid)
        need_memory(parsed.file, grid.shape, _BYTES_A_PIXEL * grid.x.size * grid.y.size)
        lines = history("fluximage", {"infile": parsed, "bands": bands,
                                      "binsize": binsize if xygrid is None else None, "xygrid": xygrid,
                                      "psfecf": psfecf, **settings.parameters()})
        parts = chip_exposures(how.views, grid, how.axis, slope=settings.used_slope, threads=threads)
        seconds = without_removed(sum_exposures(parts, grid), grid, rows)
        if not seconds.any():
            raise InputError(f"{parsed}: no pixel of the grid was exposed; check the filters and --xygrid")
        maps = _Maps(events, grid, seconds, how, settings, psfecf, lines, threads)
        made = tuple(maps.write(outputs, products[band.label], band) for band in reporting(wanted))
        return FluxImages(grid, made, how.keywords)


def _events(name: VirtualFile, columns: list[str]) -> tuple[Events, Events]:
    """Return the events that pass the filters, and all events, which place the chips."""
    if name.filters:
        events, every = read_passing_and_all(name, columns, of_all=[each for each in columns if each != "energy"])
    else:
        events = every = read_events(name, columns)
    if not len(events):
        raise InputError(f"{name}: no event passes the filters: change them to make images")
    return events, every


def check_binsize(binsize: float, *, exposed: bool) -> None:
    """Raise `InputError` for a pixel size that is not positive or, with an exposure map, larger than a chip."""
    if not (np.isfinite(binsize) and binsize > 0):
        raise InputError(f"the pixel size must be positive, not {binsize:.15g}")
    if exposed and binsize > acis.CHIP_PX:
        raise InputError(f"pixels of {binsize:.15g} sky pixels are larger than a chip, {acis.CHIP_PX}: give a smaller "
                         "--binsize for an exposure map")


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Suppress warnings of a file that are issued again when its events are read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _look(name: VirtualFile) -> tuple["Header", RowFilter, list[str]]:
    """Return the header, the filters, and the columns to read; the columns x, y and energy must exist."""
    with _without_warnings(), open_events(name) as file:
        columns = [column.name.lower() for column in file.hdu.need("x", "y", "energy")]
        if not file.hdu.rows:
            raise InputError(f"{name.file}: holds no events")
        there = [column for column in PLACING if column in file.hdu.columns]
        return file.hdu.header, file.filter, [*columns, *there]


def _grid(how: Observed, events: Events, rows: RowFilter, binsize: float, like: Path | None) -> Grid:
    """Return the grid of all images: around all that the chips saw within the filters, or that of another image."""
    if like is not None:
        return _grid_of_image(like, events)
    (x0, x1), (y0, y1) = outline_box(how.views)
    axes = []
    for name, low, high in (("x", x0, x1), ("y", y0, y1)):
        least, most = rows.limits(name)
        if not max(low, least) < min(high, most):
            raise InputError(f"{events.file}: the filters exclude all that the chips saw")
        axes.append(GridAxis.around(max(low, least), min(high, most), binsize))
    return Grid(axes[0], axes[1])


def _grid_of_image(file: Path, events: Events) -> Grid:
    image = read_image_file(file)
    coords = ImageCoords(image.header)
    try:
        scale = coords.need_physical().scale
        same = physical_agree(events.coords, coords)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    if not same:
        raise InputError(f"{file}: its tangent point differs from that of {events.file}; give an image of these "
                         "events, or merge the events first")
    check_binsize(float(scale.max()), exposed=True)
    if not (scale > 0).all():
        raise InputError(f"{file}: its physical coordinates descend; give an image whose coordinates ascend")
    x, y = coords.lower_left_edge
    ny, nx = image.data.shape
    return Grid(GridAxis(x, float(scale[0]), nx), GridAxis(y, float(scale[1]), ny))


@dataclass(frozen=True, eq=False)
class _Maps:
    """Makes the images of all bands from events and exposure times."""

    events: Events
    grid: Grid
    seconds: Float32s
    how: Observed
    settings: ExposureSettings
    psfecf: float | None
    lines: list[str]
    threads: int

    def write(self, outputs: Outputs, files: list[Path], band: Band) -> FluxImage:
        exposure, used = above_threshold(self.seconds, band, self.settings, self.events.file)
        image = np.zeros(self.grid.shape, np.int32)
        add_to_image(image, self.grid, self.events.columns, band, threads=self.threads)
        found = int(image.sum(dtype=np.int64))
        if not found:
            warn(f"{self.events.file}: no event is in the band {band.label}, {band.low_kev:g} - {band.high_kev:g} keV")
        image[~used] = 0
        left = int(image.sum(dtype=np.int64))

        header = image_header(self.events.header, self.grid, band)
        keywords = {**self.settings.keywords(band), **self.how.keywords}
        notes = [*self.lines, *(f"  {note}" for note in (self.settings.note(), *self.how.notes))]

        with outputs.open(files[0]) as file:
            write_image(file, image, product_header(header, notes, BUNIT="count", CALIB="APPROX"))
            for chip, gti in self.events.good_times.items():
                GtiBlock(self.events.header, chip, gti).write(file)
        write_maps(outputs, files[1], files[2], image, exposure, header, notes, self.settings, keywords)
        if self.psfecf is not None:
            radii = psf_map(self.grid, self.how.axis, ecf=self.psfecf)
            radii[~used] = np.nan
            write_psf_map(outputs, files[3], radii, header, notes, keywords, self.psfecf)
        return FluxImage(band, left, found - left, float(exposure.max()), tuple(files))


def above_threshold(seconds: Float32s, band: Band, settings: ExposureSettings,
                    file: Path) -> tuple[Float32s, NDArray[np.bool_]]:
    """Return the exposure map of a band, 0 below the threshold, and where it is above. `InputError` if nowhere."""
    exposure = seconds * np.float32(settings.area_of(band))
    used = (exposure >= settings.least(exposure)) & (exposure > 0)
    if not used.any():
        raise InputError(f"{file}: the threshold of {settings.threshold} is above the largest exposure of the band "
                         f"{band.label}, {exposure.max(initial=0):g}")
    exposure[~used] = 0
    return exposure, used


def write_maps(outputs: Outputs, expmap: Path, flux: Path, image: NDArray[Any], exposure: Float32s, header: "Header",
               lines: list[str], settings: ExposureSettings, keywords: dict[str, Any]) -> None:
    """Write an exposure map, and image / exposure."""
    unit, of_flux = ("cm**2 s", "photon/cm**2/s") if settings.units == "area" else ("s", "count/s")
    _write_map(outputs, expmap, exposure, header, lines, keywords, BUNIT=unit, HDUNAME="EXPMAP", CONTENT="EXPMAP")
    _write_map(outputs, flux, flux_of(image, exposure), header, lines, keywords, BUNIT=of_flux, HDUNAME="FLUX_IMAGE",
               CONTENT="IMAGE")


def write_psf_map(outputs: Outputs, path: Path, radii: Float32s, header: "Header", lines: Sequence[str],
                  keywords: dict[str, Any], ecf: float) -> None:
    """Write a map of radii in arcsec; NaN without exposure."""
    rule = "  PSF: r90 = 1 + 10 (theta/10')^2 arcsec, other fractions as of a Gaussian"
    _write_map(outputs, path, radii, header, [*lines, rule], keywords, BUNIT="arcsec", HDUNAME="PSFMAP",
               CONTENT="PSFMAP", ECF=ecf)


def _write_map(outputs: Outputs, path: Path, data: NDArray[Any], header: "Header", lines: Iterable[str],
               keywords: dict[str, Any], **about: str | float) -> None:
    with outputs.open(path) as file:
        write_image(file, data, product_header(header, lines, **about, **keywords))
