"""Simulated observations: a folder like the archive's for each ObsID, and a folder with the truth."""

import json
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chandra_bin import simulate
from chandra_bin._checks.paths import FileName, as_path
from chandra_bin.acis import geometry as acis
from chandra_bin.coords.grids import Grid, GridAxis
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import OutputError
from chandra_bin.fits.headers import add_history
from chandra_bin.fits.images import write_image
from chandra_bin.fits.new_table import NewColumn, new_table
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.tables import write_empty_primary, write_rows
from chandra_bin.simulate import event_tables, tables
from chandra_bin.spectral.models import ModelOptions, thermal_model
from chandra_bin.spectral.response_files import arf_content, rmf_content

from ._common import ecsv, history, program, reporting
from .options import SimulationSettings

if TYPE_CHECKING:
    from astropy.io.fits import Header

# A file that marks a folder of simulations and lists its files: only these may be replaced.
_MARKER = "simulation.json"
# Folder of the blank skies in the calibration database.
_CALDB = "caldb/data/chandra/acis/bkgrnd"
_EXPOSURE_BIN = 16


@dataclass(frozen=True)
class Simulated:
    """The files and exposure of one ObsID."""

    obsid: int
    events: Path
    """The level-2 event file."""
    count: int
    """Its events."""
    exposure_s: float
    """Live time of the aim point's chip, s."""


def simulate_observations(folder: FileName, settings: SimulationSettings | None = None, *,
                          clobber: bool = False) -> list[Simulated]:
    """Write simulated observations of one cluster into a folder, and the truth about them into ``folder/truth``.

    The folder must be new or empty; ``clobber`` replaces an earlier simulation if the folder holds no other files.
    Raises `OutputError` for other folders, `InputError` for invalid settings.
    """
    folder = as_path(folder, "folder")
    settings = SimulationSettings.or_defaults(settings)
    old = _files_there(folder, clobber)
    scene = scene_of(settings)
    observations = simulate.make_observations(settings.seed, settings.obsids, settings.exposure, settings.array,
                                              settings.datamode, scene.ra_deg, scene.dec_deg)
    done, rows = [], []
    with _Writer(folder, old, clobber) as writer:
        for observation in reporting(observations, end=0.95):
            done.append(_write_observation(writer, scene, observation, settings))
            rows.append(_write_truth(writer, scene, observation, settings))
        _write_scene(writer, scene, settings)
        writer.content("truth/observations.ecsv", _table(rows, settings))
        _write_responses(writer, observations, settings)
        writer.finish(settings)
    for path in sorted({path.parent for path in old}, reverse=True):
        with suppress(OSError):  # removes only empty folders of the earlier simulation
            while path != folder:
                path.rmdir()
                path = path.parent  # noqa: PLW2901
    return done


def scene_of(settings: SimulationSettings) -> simulate.Scene:
    """Return the scene on the sky. Raises `InputError` where the tables of a plasma are not found."""
    model = thermal_model(ModelOptions(settings.model, settings.redshift, settings.nh, apec=settings.apec))
    return simulate.make_scene(settings.seed, settings.counts, settings.exposure * simulate.LIVE_FRACTION, model)


class _Writer:
    """Writes files by names relative to the folder, and lists them."""

    def __init__(self, folder: Path, old: Sequence[Path], clobber: bool) -> None:
        self.folder = folder
        self._names: list[str] = []
        self._outputs = Outputs([folder / _MARKER], series=old, clobber=clobber)

    def __enter__(self) -> "_Writer":
        self._outputs.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._outputs.__exit__(*error)

    def fits(self, name: str, primary: "Header", blocks: Sequence[tables.Block]) -> Path:
        with self._outputs.open(self._path(name)) as file:
            write_empty_primary(file, primary)
            for header, rows in blocks:
                write_rows(file, header, [rows])
        return self.folder / name

    def image(self, name: str, data: Any, header: "Header") -> None:
        with self._outputs.open(self._path(name)) as file:
            write_image(file, data, header)

    def content(self, name: str, content: str | bytes) -> None:
        self._outputs.write(self._path(name), content)

    def finish(self, settings: SimulationSettings) -> None:
        values = asdict(settings) | {"apec": None if settings.apec is None else _from(self.folder, settings.apec)}
        content = {"program": program(), "settings": values, "files": [*sorted(self._names), _MARKER]}
        self._outputs.write(self.folder / _MARKER, json.dumps(content, indent=1) + "\n")

    def _path(self, name: str) -> Path:
        self._names.append(name)
        return self.folder / name


def _from(folder: Path, path: Path) -> str:
    """Return an absolute path as it is, and one that is relative to the current folder relative to ``folder``."""
    # ".." leads to the true parent of a folder, not to that of a link.
    return str(path) if path.is_absolute() else os.path.relpath(path.resolve(), folder.resolve())


def _files_there(folder: Path, clobber: bool) -> list[Path]:
    """Return the files of an earlier simulation. Raises `OutputError` for a folder with other files."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is not a folder")
    there = sorted(path for path in folder.rglob("*") if not path.is_dir()) if folder.is_dir() else []
    if not there:
        return []
    try:
        known = json.loads((folder / _MARKER).read_text())["files"]
        known = {folder / name for name in known}
    except (OSError, ValueError, KeyError, TypeError):
        raise OutputError(f"{folder}: holds files other than a simulation ({there[0].name}, ...); give a new folder"
                          ) from None
    for path in there:
        if path not in known or path.is_symlink():
            raise OutputError(f"{path}: is not a file of the simulation; move it away, or give a new folder")
    if not clobber:
        raise OutputError(f"{folder}: already holds a simulation; remove it, or replace it with --clobber")
    return there


def _write_observation(writer: _Writer, scene: simulate.Scene, observation: simulate.Observation,
                       settings: SimulationSettings) -> Simulated:
    seed, root = settings.seed, tables.file_root(observation)
    primary, secondary, blank = (f"{observation.obsid}/{part}" for part in ("primary", "secondary", "blanksky"))
    first = tables.primary(observation)
    events = simulate.observe(scene, observation, seed)
    level_1, level_2 = event_tables.event_blocks(observation, events, seed)
    path = writer.fits(f"{primary}/{root}_evt2.fits.gz", first, level_2)
    writer.fits(f"{secondary}/{root}_evt1.fits.gz", first, level_1)
    for name, blocks in ((f"{primary}/pcadf{observation.obsid:05d}_000N001_asol1.fits", tables.aspect_blocks),
                         (f"{primary}/{root}_bpix1.fits.gz", tables.bad_pixel_blocks),
                         (f"{primary}/{root}_fov1.fits.gz", tables.field_blocks),
                         (f"{secondary}/{root}_flt1.fits.gz", tables.filter_blocks),
                         (f"{secondary}/{root}_msk1.fits.gz", tables.mask_blocks),
                         (f"{secondary}/{root}_mtl1.fits.gz", tables.housekeeping_blocks),
                         (f"{secondary}/{tables.parameter_root(observation)}.fits.gz", tables.parameter_blocks)):
        writer.fits(name, first, blocks(observation))
    writer.fits(f"{secondary}/{root}_stat1.fits.gz", first, tables.statistics_blocks(observation, events))
    for chip in observation.chips:
        writer.image(f"{secondary}/{tables.bias_root(observation, chip)}.fits.gz",
                     *tables.bias_image(observation, chip))
    if settings.blank_sky > 0:
        for chip in observation.chips:
            particles, livetime = simulate.blank_sky(observation, chip, settings.blank_sky, seed)
            writer.fits(f"{blank}/{event_tables.blank_sky_name(observation, chip)}", first,
                        event_tables.blank_sky_blocks(observation, chip, particles, livetime, seed))
            if observation.obsid == simulate.FIRST_OBSID:
                # The calibration database has one file for all observations, of a chip without bad pixels.
                sky = simulate.blank_sky(observation, chip, settings.blank_sky, seed, whole_chip=True)
                writer.fits(f"{_CALDB}/{event_tables.caldb_sky_name(observation, chip)}",
                            event_tables.caldb_sky_primary(), event_tables.caldb_sky_blocks(observation, chip, *sky))
    return Simulated(observation.obsid, path, len(level_2[0][1]), observation.livetime(observation.chips[0]))


def _write_truth(writer: _Writer, scene: simulate.Scene, observation: simulate.Observation,
                 settings: SimulationSettings) -> dict[str, object]:
    """Write exposure map, clean times and sources of one observation; return its row of observations.ecsv."""
    from astropy.table import Table

    name, aim = f"truth/{observation.obsid}", observation.chips[0]
    clean = observation.good_times(aim) - observation.flare_times()
    start = np.array([observation.tstart_s])
    places = np.concatenate([observation.chip_on_sky(chip, 0.5, acis.CHIP_PX + 0.5, start)
                             for chip in observation.chips]).T
    margin = 3 * simulate.DITHER_ARCSEC / acis.PIXEL_ARCSEC
    axes = [GridAxis.around(float(axis.min()) - margin, float(axis.max()) + margin, _EXPOSURE_BIN) for axis in places]
    x_edges, y_edges = (axis.first + axis.step * np.arange(axis.size + 1) for axis in axes)
    exposure, seen = simulate.flat_exposure(observation, x_edges, y_edges, settings.truth_photons, settings.seed)
    header = _image_header(Grid(*axes), observation.ra_deg, observation.dec_deg, settings)
    header["BUNIT"] = "s"
    header["CALIB"] = ("APPROX", "photons thinned one by one")
    header["NOISE"] = (round(float(1 / math.sqrt(np.percentile(seen[seen > 0], 90))), 4),
                       "relative, of a fully exposed pixel")
    writer.image(f"{name}_exposure.fits", exposure.astype(np.float32), header)
    writer.fits(f"{name}_clean.gti", tables.primary(observation), [tables.good_time_block(observation, clean)])
    flares = [(flare.start, flare.stop, flare.factor) for flare in observation.flares]
    writer.content(f"{name}_flares.ecsv", ecsv(Table(
        rows=flares or None, names=("start", "stop", "factor"), dtype=(float, float, float),
        units=("s", "s", None)), asdict(settings)))
    source_exposure, theta = simulate.source_exposure(scene, observation)
    x, y = simulate.source_places(scene, observation)
    number = np.arange(len(source_exposure)) + 1
    writer.content(f"{name}_sources.ecsv", ecsv(Table(
        [number, x, y, theta, simulate.r90_arcsec(theta), source_exposure,
         simulate.source_counts(scene, source_exposure)],
        names=("source", "x", "y", "theta", "r90", "exposure", "counts"),
        units=(None, "pixel", "pixel", "arcmin", "arcsec", "s", "count")), asdict(settings)))
    good = observation.good_times(aim).total
    return {"obsid": observation.obsid, "array": observation.array, "datamode": observation.datamode,
            "ra": observation.ra_deg, "dec": observation.dec_deg, "roll": observation.roll_deg, "ontime": good,
            "livetime": observation.livetime(aim), "clean_ontime": clean.total,
            "clean_livetime": clean.total * simulate.LIVE_FRACTION}


def _write_responses(writer: _Writer, observations: Sequence[simulate.Observation],
                     settings: SimulationSettings) -> None:
    """Write the true responses of places on the chips, and their table for ``chandra-bin responses``."""
    from astropy.table import Table

    rmf = "responses/acis.rmf"
    writer.content(f"truth/{rmf}", rmf_content(simulate.true_rmf(observations[0])))
    rows: list[tuple[object, ...]] = []
    for observation in observations:
        for chip in observation.chips:
            for number, place in enumerate(simulate.response_places()):
                arf = f"responses/{observation.obsid}_ccd{chip}_{number}.arf"
                writer.content(f"truth/{arf}", arf_content(simulate.true_arf(observation, chip, place)))
                rows.append((observation.obsid, chip, *simulate.sky_of_place(observation, chip, place), arf, rmf))
    writer.content("truth/tiles.ecsv", ecsv(Table(
        rows=rows, names=("obsid", "ccd_id", "ra", "dec", "arf", "rmf"), units=(None, None, "deg", "deg", None, None)),
        asdict(settings)))


def _write_scene(writer: _Writer, scene: simulate.Scene, settings: SimulationSettings) -> None:
    from astropy.table import Table

    gas, band = scene.gas, simulate.FLUX_BAND_EV
    ny, nx = gas.norm.shape
    centre = acis.CENTRE_PX
    grid = Grid(GridAxis(centre - nx / 2 * scene.bin_px, scene.bin_px, nx),
                GridAxis(centre - ny / 2 * scene.bin_px, scene.bin_px, ny))
    flux = gas.flux(band)
    images = {"cluster": (flux, "photon/cm**2/s"), "kt": (gas.kt_kev, "keV"), "abundance": (gas.abundance, ""),
              "norm": (gas.norm, "cm**-5")}
    for name, (image, unit) in images.items():
        header = _image_header(grid, scene.ra_deg, scene.dec_deg, settings)
        header["MODEL"] = gas.model
        if unit:
            header["BUNIT"] = unit
        if name == "cluster":
            header["ENERGLO"], header["ENERGHI"] = (edge / 1000 for edge in band)
            header["AREA"] = (float(gas.rate(band).sum() / flux.sum()), "[cm**2] counts/s per unit flux")
        writer.image(f"truth/{name}.fits", image.astype(np.float32), header)
    number = np.arange(len(scene.source_flux)) + 1
    writer.content("truth/sources.ecsv", ecsv(Table(
        [number, scene.source_ra_deg, scene.source_dec_deg, scene.source_flux], names=("source", "ra", "dec", "flux"),
        units=(None, "deg", "deg", "photon / (cm2 s)")), asdict(settings)))


def _image_header(grid: Grid, ra_deg: float, dec_deg: float, settings: SimulationSettings) -> "Header":
    from astropy.io.fits import Header

    header = Header({"OBJECT": "Simulated cluster", "RADESYS": "ICRS", "TELESCOP": "CHANDRA", "INSTRUME": "ACIS"})
    header["CALIB"] = ("APPROX", "simulated: no true calibration")
    plane, _ = new_table([NewColumn(name, "1E", (), keywords=cards)
                          for name, cards in zip("xy", tables.tangent_plane(ra_deg, dec_deg), strict=True)])
    grid.put_into(header, ImageCoords.from_events(plane))
    add_history(header, history("simulate", asdict(settings)))
    return header


def _table(rows: Sequence[dict[str, object]], settings: SimulationSettings) -> str:
    from astropy.table import Table

    table = Table(rows=list(rows))
    for name in table.colnames:
        table[name].unit = {"ra": "deg", "dec": "deg", "roll": "deg"}.get(name, "s" if "time" in name else None)
    return ecsv(table, asdict(settings))
