"""The images of each observation and of their sum on the grid of a merge: counts, exposure, flux, PSF, background."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s, Floats
from chandra_bin.acis import geometry as acis
from chandra_bin.acis.bands import Band
from chandra_bin.coords.grids import Grid
from chandra_bin.coords.tangent_plane import reproject
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError
from chandra_bin.events.gti_files import GtiBlock
from chandra_bin.events.images import add_to_image, image_header
from chandra_bin.exposure.maps import chip_exposures, sum_exposures
from chandra_bin.exposure.psf import check_ecf, psf_map
from chandra_bin.fits.images import product_header, write_image
from chandra_bin.fits.outputs import Outputs
from chandra_bin.sources.background import Background, ErrorPart

from ._blanksky import (
    BLANKSKY,
    ParticleCounts,
    Pixels,
    ScaledSky,
    SourceCounts,
    checked_chips,
    limits_of,
    scaled_sky,
    warn_of_sky_filters,
)
from ._common import calib_of, reporting
from ._merged_events import NEEDED, Observation, grid_coords
from ._observed import Observed, check_filters, without_removed
from .background import background_files, write_background
from .fluximage import ExposureSettings, above_threshold, check_binsize, write_maps, write_psf_map

if TYPE_CHECKING:
    from astropy.io.fits import Header

# Fraction of the time of a merge that reading events takes, for the progress.
READ_SHARE = 0.5
_UNTHRESHOLDED = "no exposure map: no threshold was applied, pixels are the counts"
_SUMMED = "sum of the observations' maps, each cut below its threshold; flux is sum of counts / sum of exposures"
_MEAN_PSF = "PSF: mean of the observations' radii, weighted with their exposure maps"


@dataclass(frozen=True)
class Request:
    """The files to make, and their folder. Raises `InputError` for parameters out of range."""

    outdir: Path
    bands: tuple[Band, ...]
    binsize: float
    exposure: ExposureSettings | None
    psfecf: float | None
    background: bool
    each_events: bool
    """Whether the events of each observation are written, too."""

    def __post_init__(self) -> None:
        check_binsize(self.binsize, exposed=self.exposure is not None)
        if self.psfecf is not None:
            check_ecf(self.psfecf)
            if self.exposure is None:
                raise InputError("PSF maps are cut and weighted with exposure maps: give --exposure with --psfecf")

    def check(self, observation: Observation) -> None:
        """Warn, or raise `InputError`, where filters removed events that exposure maps or backgrounds assume."""
        name, rows = observation.source.name, observation.rows
        if self.exposure is not None:
            check_filters(name, rows, self.bands)
        if not self.background:
            return
        warn_of_sky_filters(name)
        for band in self.bands:
            if limits := limits_of(rows, observation.source.header, (band.low_ev, band.high_ev)):
                raise InputError(f"{name}: holds only {limits}, but its background has all of the band {band.label}, "
                                 f"{band.low_kev:g} - {band.high_kev:g} keV; do not filter energies")

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns of events that the images need."""
        return (*NEEDED, "ccd_id") if self.background else NEEDED

    def bytes_a_pixel(self) -> int:
        """Return the memory per pixel of the sums of the bands and of the images of one observation."""
        of_band = 4 + 4 * (self.exposure is not None) + 8 * (self.psfecf is not None) + 12 * self.background
        return of_band * len(self.bands) + 8 + 40 * (self.exposure is not None) + 50 * self.background

    def files(self, stems: Sequence[str]) -> list[Path]:
        """Return all files to write; ``stems`` are those of the observations."""
        events = [self.outdir / "merged_evt.fits", *(self.events_file(stem) for stem in stems if self.each_events)]
        return [*events, *([self.outdir / "merged.fov"] if self.exposure else []),
                *(file for stem in ("", *stems) for band in self.bands for file in self._images(stem, band))]

    def events_file(self, stem: str) -> Path:
        """Return the event file of an observation."""
        return self.outdir / f"{stem}_reproj_evt.fits"

    def _images(self, stem: str, band: Band) -> list[Path]:
        """Return the files of a band; ``stem`` is that of an observation, or empty for the sum."""
        kinds = ["thresh.img"]
        if self.exposure is not None:
            kinds += ["thresh.expmap", "flux.img"]
        if self.psfecf is not None:
            kinds.append("thresh.psfmap")
        return [self.file(stem, band, kind) for kind in kinds] + list(
            self.background_files(stem, band) if self.background else ())

    def file(self, stem: str, band: Band, kind: str) -> Path:
        """Return the file of one kind of image."""
        return Path(f"{self._root(stem, band)}_{kind}")

    def background_files(self, stem: str, band: Band) -> tuple[Path, Path]:
        """Return the files of background counts and ratio."""
        return background_files(self._root(stem, band))

    def _root(self, stem: str, band: Band) -> Path:
        return self.outdir / f"{stem}{'_' if stem else ''}{band.label}"


@dataclass(frozen=True, eq=False)
class Images:
    """The images of a band, (ny, nx)."""

    counts: NDArray[np.int32]
    exposure: Float32s | None = None
    keywords: dict[str, Any] = field(default_factory=dict)
    """Keywords of exposure map, flux and PSF map."""
    notes: Sequence[str] = ()

    @property
    def used(self) -> NDArray[np.bool_] | None:
        """The pixels above the threshold of the exposure; None without exposure maps: all."""
        return None if self.exposure is None else self.exposure > 0


@dataclass(frozen=True, eq=False)
class OfSky:
    """The background of a band, from blank skies."""

    background: Background
    keywords: dict[str, Any]
    notes: Sequence[str]


@dataclass(frozen=True, eq=False)
class Extent:
    """Exposure of an observation on the grid."""

    file: Path
    """For messages."""
    seconds: Float32s | None = None
    axis: Floats | None = None
    """The mean position of the optical axis in sky pixels, (2,)."""
    keywords: dict[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def images(self, counts: NDArray[np.int32], band: Band, settings: ExposureSettings | None) -> Images:
        """Return the images of a band; ``counts`` are set to 0 where the exposure is below the threshold."""
        exposure = None
        keywords: dict[str, Any] = {}
        notes: list[str] = [_UNTHRESHOLDED]
        if settings is not None and self.seconds is not None:
            exposure, used = above_threshold(self.seconds, band, settings, self.file)
            counts[~used] = 0
            keywords, notes = {**settings.keywords(band), **self.keywords}, [settings.note(), *self.notes]
        return Images(counts, exposure, keywords, notes)


class Total:
    """The sums of a band over observations."""

    def __init__(self, grid: Grid, request: Request) -> None:
        self._request = request
        self._counts = np.zeros(grid.shape, np.int32)
        self._exposure = None if request.exposure is None else np.zeros(grid.shape, np.float32)
        self._radii = None if request.psfecf is None else np.zeros(grid.shape, np.float64)
        self._background = (np.zeros(grid.shape, np.int32), np.zeros(grid.shape)) if request.background else None
        self._errors: list[ErrorPart] = []
        self._calib: dict[str, str] = {}

    def add(self, images: Images) -> None:
        """Add an observation."""
        self._counts += images.counts
        if self._exposure is not None and images.exposure is not None:
            self._exposure += images.exposure

    def add_radii(self, images: Images, radii: Float32s) -> None:
        """Add the radii of the PSF of an observation in all pixels, weighted with its exposure map."""
        if self._radii is not None and images.exposure is not None:
            for total, weights, row in zip(self._radii, images.exposure, radii, strict=True):
                np.add(total, weights * row, out=total)

    def add_sky(self, of_sky: OfSky) -> None:
        """Add the background of an observation, whose ratio is overwritten by expected counts to save memory."""
        if self._background is not None:
            counts, expected = self._background
            counts += np.asarray(of_sky.background.counts, np.int32)
            of_one = of_sky.background.ratio
            of_one *= of_sky.background.counts
            expected += of_one
            self._errors.append(ErrorPart(float(of_one.sum()), of_sky.background.error, of_sky.background.shared))
            self._calib |= calib_of(of_sky.keywords)

    def images(self, band: Band) -> Images:
        """Return the images of the sum."""
        settings = self._request.exposure
        keywords: dict[str, Any] = {}
        notes = [_UNTHRESHOLDED]
        if settings is not None:
            keywords, notes = settings.keywords(band), [settings.note(), _SUMMED]
        return Images(self._counts, self._exposure, keywords, notes)

    def radii(self) -> Float32s | None:
        """Return the mean radii of the PSF in arcsec, weighted with the exposure maps; None without PSF maps."""
        if self._radii is None or self._exposure is None:
            return None
        radii = np.full(self._radii.shape, np.nan, np.float32)
        np.divide(self._radii, self._exposure, out=radii, where=self._exposure > 0, casting="same_kind")
        return radii

    def of_sky(self) -> OfSky | None:
        """Return the background of the sum, None without blank skies; call this once."""
        if self._background is None:
            return None
        background = Background.of(*self._background, overwrite=True).with_error(self._errors)
        return OfSky(background, {"BKGMETH": "sum", "BKGTYPE": BLANKSKY, **self._calib},
                     ["background: sum of the observations'"])


def write_images(outputs: Outputs, request: Request, stem: str, images: Images, band: Band, made: "Header",
                 good_times: Sequence[GtiBlock], lines: Sequence[str]) -> None:
    """Write counts, exposure and flux of a band; ``made`` is their header."""
    notes = _indented(lines, images.notes)
    calib = _calib(request)
    with outputs.open(request.file(stem, band, "thresh.img")) as file:
        write_image(file, images.counts, product_header(made, notes, BUNIT="count", **calib))
        for gti in good_times:
            gti.write(file)
    if request.exposure is not None and images.exposure is not None:
        expmap, flux = (request.file(stem, band, kind) for kind in ("thresh.expmap", "flux.img"))
        write_maps(outputs, expmap, flux, images.counts, images.exposure, made, notes, request.exposure,
                   images.keywords)


def write_radii(outputs: Outputs, request: Request, stem: str, images: Images, radii: Float32s, band: Band,
                made: "Header", lines: Sequence[str]) -> None:
    """Write the PSF map of a band; ``made`` is the header of its images."""
    notes = [*_indented(lines, images.notes), *([] if stem else [f"  {_MEAN_PSF}"])]
    write_psf_map(outputs, request.file(stem, band, "thresh.psfmap"), radii, made, notes, images.keywords,
                  cast(float, request.psfecf))


def write_sky(outputs: Outputs, request: Request, stem: str, of_sky: OfSky, band: Band, made: "Header",
              lines: Sequence[str]) -> None:
    """Write the background of a band; ``made`` is the header of its images, and ``lines`` are those of the images."""
    write_background(outputs, request.background_files(stem, band), of_sky.background, made,
                     _indented(lines, of_sky.notes), {**of_sky.keywords, **_calib(request)})


def _indented(lines: Sequence[str], notes: Sequence[str]) -> list[str]:
    return [*lines, *(f"  {note}" for note in notes)]


def _calib(request: Request) -> dict[str, str]:
    return {"CALIB": "APPROX"} if request.exposure is not None else {}


def write_bands(outputs: Outputs, request: Request, observations: Sequence[Observation], hows: list[Observed],
                whole: Observation, plane: ImageCoords, grid: Grid,
                lines: Sequence[str]) -> tuple[dict[str, int], dict[str, float]]:
    """Write all images; return the counts of the merged images, and their background, by the labels of the bands.

    ``hows`` and the rows of the observations are released one by one, to save memory. Without exposure maps ``hows`` is
    empty.
    """
    totals = {band: Total(grid, request) for band in request.bands}
    for each in reporting(observations, start=READ_SHARE):
        _write_one(outputs, request, each, hows, totals, plane, grid, lines)
        each.blocks.clear()
    counts, expected = {}, {}
    for band, total in totals.items():
        of_all, made = total.images(band), image_header(whole.header, grid, band)
        write_images(outputs, request, "", of_all, band, made, whole.gti_blocks, lines)
        counts[band.label] = int(of_all.counts.sum(dtype=np.int64))
        if (radii := total.radii()) is not None:
            write_radii(outputs, request, "", of_all, radii, band, made, lines)
        del radii
        if of_sky := total.of_sky():
            write_sky(outputs, request, "", of_sky, band, made, _indented(lines, of_all.notes))
            expected[band.label] = float(of_sky.background.expected.sum())
    return counts, expected


def _write_one(outputs: Outputs, request: Request, observation: Observation, hows: list[Observed],
               totals: Mapping[Band, Total], plane: ImageCoords, grid: Grid, lines: Sequence[str]) -> None:
    """Write the images of an observation, and add them to the sums; the first of ``hows`` is released.

    One kind of image is made after another, to save memory.
    """
    extent = _extent(observation, hows.pop(0) if hows else None, plane, grid, request)
    seen = [_write_seen(outputs, request, observation, extent, band, total, grid, lines)
            for band, total in totals.items()]
    del extent
    if (sky := _sky(observation, plane, grid, request)) is None:
        return
    entries = [f"{key} = {value}" for key, value in sky.header_entries.items()]
    for (band, total), (used, notes) in zip(totals.items(), seen, strict=True):
        background, _ = sky.background((band.low_ev, band.high_ev), use=used)
        of_sky = OfSky(background, sky.keywords, entries)
        write_sky(outputs, request, observation.source.stem, of_sky, band,
                  image_header(observation.header, grid, band), _indented(lines, notes))
        total.add_sky(of_sky)


def _write_seen(outputs: Outputs, request: Request, observation: Observation, extent: Extent, band: Band, total: Total,
                grid: Grid, lines: Sequence[str]) -> tuple[NDArray[np.bool_] | None, Sequence[str]]:
    """Write counts, exposure, flux and PSF map of a band, and add them to the sums; return used pixels and notes."""
    stem = observation.source.stem
    made = image_header(observation.header, grid, band)
    images = extent.images(_counts(observation, band, grid), band, request.exposure)
    write_images(outputs, request, stem, images, band, made, observation.gti_blocks, lines)
    total.add(images)
    used = images.used
    if request.psfecf is not None and extent.axis is not None and used is not None:
        radii = psf_map(grid, extent.axis, ecf=request.psfecf)
        total.add_radii(images, radii)
        radii[~used] = np.nan
        write_radii(outputs, request, stem, images, radii, band, made, lines)
    return used, images.notes


def _extent(observation: Observation, how: Observed | None, plane: ImageCoords, grid: Grid,
            request: Request) -> Extent:
    """Return the exposure of an observation on the grid."""
    source = observation.source
    if how is None or request.exposure is None:
        return Extent(source.name.file)
    seconds = sum_exposures(chip_exposures(how.views, grid, how.axis, slope=request.exposure.used_slope), grid)
    # Filters on the sky removed the events: remove the exposure, too.
    seconds = without_removed(seconds, grid, observation.rows, lambda x, y: reproject(plane, source.coords, x, y))
    return Extent(source.name.file, seconds, how.axis, how.keywords, how.notes)


def _sky(observation: Observation, plane: ImageCoords, grid: Grid, request: Request) -> ScaledSky | None:
    """Return the blank sky of an observation on the grid; None without backgrounds."""
    if not request.background:
        return None
    source = observation.source
    pixels = Pixels(f"the image of {source.name.file}", grid_coords(grid, plane), grid.shape)
    counted = _source_counts(observation)
    return scaled_sky(source.blanksky, pixels, [(band.low_ev, band.high_ev) for band in request.bands], counted.chips,
                      counted)


def _counts(observation: Observation, band: Band, grid: Grid) -> NDArray[np.int32]:
    image = np.zeros(grid.shape, np.int32)
    for rows in observation.blocks:
        add_to_image(image, grid, observation.values(rows, *NEEDED), band)
    return image


def _source_counts(observation: Observation) -> SourceCounts:
    """Return the events of each chip, and those of 9 - 12 keV."""
    name = observation.source.name
    particles = ParticleCounts(observation.rows, observation.source.header, name)
    of_chip = np.zeros(acis.CHIP_COUNT, np.int64)
    for rows in observation.blocks:
        values = observation.values(rows, "ccd_id", "energy")
        chip = checked_chips(values["ccd_id"], name)
        of_chip += np.bincount(chip, minlength=acis.CHIP_COUNT)
        particles.add(chip, values)
    return SourceCounts(name, of_chip, particles)
