"""Fits of all bins at once: from the files of `write_spectra` and `write_responses` to a table of temperatures."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chandra_bin._checks.array_types import Wholes
from chandra_bin._checks.paths import FileName, as_path
from chandra_bin.acis import geometry as acis
from chandra_bin.errors import InputError, counted, warn
from chandra_bin.events.spectra import band_channels
from chandra_bin.fits.outputs import Outputs
from chandra_bin.sources.background import PARTICLE_EV
from chandra_bin.spectral.backgrounds import background_model
from chandra_bin.spectral.binned import MISSING, BinSpectra
from chandra_bin.spectral.engines import Engine
from chandra_bin.spectral.families import TemplateFamily
from chandra_bin.spectral.fit import FitOptions, fit_with_background
from chandra_bin.spectral.fit_table import FitFile
from chandra_bin.spectral.grouped import grouped_with_background
from chandra_bin.spectral.models import KT_LIMITS_KEV, ModelOptions, thermal_model
from chandra_bin.spectral.ogip import Response, Rmf, read_arf, read_rmf
from chandra_bin.spectral.results import FitResult
from chandra_bin.spectral.templates import FIT_BAND_KEV, Templates, fold
from chandra_bin.spectral.weights import ResponseTile, ResponseWeights

from ._common import ecsv, history
from ._spectra_table import SpectraOfBins, read_spectra_of_bins
from .spectra import ALL_BINS

# Spectra of one ObsID and one kind of chip, front- or back-illuminated, share the shape of their background.
_KINDS_OF_CHIPS = 2


@dataclass(frozen=True, eq=False)
class FittedSpectra:
    """The spectra and templates, and their fit."""

    spectra: BinSpectra
    result: FitResult


@dataclass(frozen=True, eq=False)
class FitInputs:
    """The files that fits are made of."""

    responses: Path
    weights: ResponseWeights
    obsids: list[int]
    files: list[Path]
    """The table of the spectra of each observation."""

    @classmethod
    def read(cls, folder: Path, responses: Path) -> "FitInputs":
        """Read the weights, and look for the spectra and responses.

        Raises `InputError` for files that are missing or damaged, and for responses that changed after the weights.
        """
        weights = ResponseWeights.read(responses)
        obsids = np.unique(weights.obsid).tolist()
        files = [folder / f"{obsid:05d}" / ALL_BINS for obsid in obsids]
        _check_files(folder, files, responses)
        weights.check_files(responses)
        return cls(responses, weights, obsids, files)

    @property
    def used(self) -> Wholes:
        """Indices of the tiles that any bin is on."""
        return np.unique(self.weights.tile)

    @property
    def tiles(self) -> list[ResponseTile]:
        """The tiles that any bin is on."""
        return [self.weights.tiles[tile] for tile in self.used]

    @property
    def inputs(self) -> list[Path]:
        """All files."""
        return [self.responses, *self.files, *(file for tile in self.tiles for file in (tile.arf, tile.rmf))]

    def read_spectra(self) -> list[SpectraOfBins]:
        """Read the spectra of each observation. Raises `InputError` where they are of other bins."""
        spectra = [read_spectra_of_bins(file) for file in self.files]
        for file, each in zip(self.files, spectra, strict=True):
            each.check_bins(file, self.responses, self.weights.ids)
        return spectra

    def joined(self, spectra: Sequence[SpectraOfBins], templates: Templates) -> BinSpectra:
        """Return the data sets of all observations, sorted by bin, in the channels of the templates."""
        return _joined(self.obsids, spectra, self.weights, self.used, templates)


def grid_limits(options: FitOptions) -> tuple[float, float]:
    """Return the limits of the grid of temperatures of the model, keV."""
    return min(KT_LIMITS_KEV[0], options.kt_min), max(KT_LIMITS_KEV[1], options.kt_max)


def fit_spectra_files(folder: FileName, responses: FileName, out: FileName, *, model: ModelOptions | None = None,
                      options: FitOptions | None = None, band_kev: tuple[float, float] = FIT_BAND_KEV,
                      threads: int = 1, progress: Callable[[float], object] | None = None,
                      engine: Engine | None = None, clobber: bool = False) -> FittedSpectra:
    """Fit temperature, abundance and norm of each bin to its spectra in all observations, and write a table.

    The spectra in groups of channels, with their backgrounds and best models, are written too: see ``shown_file``.

    Parameters
    ----------
    folder : that of `write_spectra`, with ``{obsid}/spectra.fits`` for each observation.
    responses : the file of `write_responses`, made with the same events, binmap, mask and regions.
    out : the table, ECSV; a row for each bin, with units, errors and the reason where a value is missing.
    model, options : the plasma, and how it is fitted; None: the defaults. A tied redshift is that of the maps too.
    band_kev : the energies that are fitted.
    engine : what fits the bins; None: the compiled kernel.

    Raises `InputError` for files that are missing, damaged, or do not belong together, and `OutputError`; no file is
    written then.
    """
    folder, responses, out = as_path(folder, "folder"), as_path(responses, "responses"), as_path(out, "out")
    model, options = ModelOptions.or_defaults(model), FitOptions.or_defaults(options)
    if model.nh == 0 and options.nh_is == "fixed":
        warn("nh is 0: the fits take no absorption by our galaxy into account; give its column density towards the "
             "cluster, in 1e22 cm-2, or fit it (nh_is)")
    given = FitInputs.read(folder, responses)
    weights = given.weights
    if weights.ids.get("CALIB") == "APPROX":
        warn(f"{responses}: one response stands for all of an observation, scaled by a formula (CALIB): temperatures "
             "and norms are approximate")
    shown = shown_file(out)
    with Outputs([out, shown], inputs=given.inputs, clobber=clobber) as outputs:
        spectra = given.read_spectra()
        background = _background(given.files, spectra)
        plasma, of_tiles = thermal_model(model, grid_limits(options)), _Responses(given.tiles)
        family = TemplateFamily(plasma, of_tiles, band_kev) if options.varies else None
        templates = family.given if family else fold(plasma, of_tiles, band_kev)
        binned = given.joined(spectra, templates)
        backgrounds = background_model(binned, options.statistic)
        result = fit_with_background(binned, family or templates, options, backgrounds, threads=threads,
                                     progress=progress, engine=engine)
        redshift = float(result.redshift[0]) if options.redshift_is == "tied" else model.redshift
        lines: dict[str, Any] = {
            "spectra": folder, "responses": responses, "band_kev": "{:g}:{:g}".format(*band_kev), **model.given,
            **options.given, "nh": model.nh}
        made = FitFile(result, np.array([weights.areas_arcsec2[number] for number in result.bin.tolist()]),
                       redshift, model.abundance_table, background, weights.ids.get("BINMAPID", ""),
                       weights.checksum())
        outputs.write(out, ecsv(made.table(), {**lines, **made.meta()}))
        if options.statistic != "cstat":
            backgrounds = background_model(binned, "cstat")
        grouped = grouped_with_background(binned, family or templates, result, binned.group // _KINDS_OF_CHIPS,
                                          backgrounds)
        with outputs.open(shown) as file:
            grouped.write(file, history("fit", {**lines, "binmap_id": made.binmap_id}))
    return FittedSpectra(binned, result)


def shown_file(fit: Path) -> Path:
    """Return the file of grouped spectra and models that belongs to a table of fits: ``fit_spectra.fits``."""
    return fit.with_name(f"{fit.stem}_spectra.fits")


def _background(files: Sequence[Path], spectra: Sequence[SpectraOfBins]) -> str:
    """Return the kind of background of the spectra; warn of spectra without one."""
    without = [file for file, each in zip(files, spectra, strict=True) if each.off_counts is None]
    if without:
        others = f" (and {len(without) - 1} others)" if len(without) > 1 else ""
        warn(f"{without[0]}{others}: has no background: its particles and sky are fitted as emission of the cluster")
    return "blank sky" if not without else "none" if len(without) == len(files) else "partly"


def _check_files(folder: Path, files: Sequence[Path], responses: Path) -> None:
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: is not there, and {responses} has responses of its ObsID: make the spectra by "
                             f"chandra-bin spectra EVENTS BINMAP -o {shlex.quote(str(folder))}")
    others = sorted(file for file in folder.glob(f"*/{ALL_BINS}") if file not in files)
    if others:
        warn(f"{others[0]}: is left out, as {responses} has no response of its ObsID")


@dataclass(frozen=True, eq=False)
class _Responses:
    """The responses of tiles, which are read one after another; a matrix that tiles in a row share is read once."""

    tiles: Sequence[ResponseTile]

    def __len__(self) -> int:
        return len(self.tiles)

    def __iter__(self) -> Iterator[Response]:
        known: dict[Path, Rmf] = {}
        for tile in self.tiles:
            if tile.rmf not in known:
                known = {tile.rmf: read_rmf(tile.rmf)}
            yield read_arf(tile.arf), known[tile.rmf]


def _joined(obsids: Sequence[int], spectra: Sequence[SpectraOfBins], weights: ResponseWeights, used: Wholes,
            templates: Templates) -> BinSpectra:
    """Return the data sets of all observations, sorted by bin."""
    channels = slice(templates.first_channel - 1, templates.first_channel - 1 + templates.rates.shape[3])
    parts = [_of_observation(obsid, each, weights, used, channels) for obsid, each in zip(obsids, spectra, strict=True)]
    bin, counts, exposure, ratio, off, hard, group = (np.concatenate(arrays) for arrays in
                                                      zip(*(part[:7] for part in parts), strict=True))
    rows = [row for part in parts for row in part[7]]
    order = np.argsort(bin, kind="stable")
    rows = [rows[number] for number in order]
    offsets = np.concatenate([[0], np.cumsum([len(row[0]) for row in rows])])
    response, weight = (np.concatenate([row[part] for row in rows]) if rows else np.zeros(0) for part in (0, 1))
    known = any(each.off_counts is not None for each in spectra)
    return BinSpectra(
        bin=bin[order], counts=counts[order], exposure_s=exposure[order], weight_offsets=offsets,
        weight_response=response.astype(np.int64), weight=weight, off_counts=off[order] if known else None,
        off_ratio=ratio[order], group=group[order], off_hard=hard[order] if known else None)


def _of_observation(obsid: int, spectra: SpectraOfBins, weights: ResponseWeights, used: Wholes, channels: slice) -> Any:
    """Arrays of the data sets of an observation, and the responses and weights of each."""
    mine = np.flatnonzero(weights.obsid == obsid)
    mine = mine[np.argsort(weights.bin[mine], kind="stable")]
    first, last = (np.searchsorted(weights.bin[mine], spectra.bin, side=side) for side in ("left", "right"))
    response, of_response = np.searchsorted(used, weights.tile[mine]), weights.seconds[mine]
    strangers = np.setdiff1d(weights.bin[mine], spectra.bin)
    if strangers.size:
        raise InputError(f"the responses of ObsID {obsid} are of {counted(strangers.size, 'bin')} that have no "
                         f"spectrum, the first is {strangers[0]}: make both of one binmap, with the same mask and "
                         "regions")
    rows = []
    for number in range(len(spectra.bin)):
        part = slice(first[number], last[number])
        if first[number] == last[number] and spectra.counts[number].any():
            rows.append((np.array([MISSING]), np.array([1.0])))
        else:
            seconds = spectra.exposure_s[number]
            rows.append((response[part], of_response[part] / (seconds if seconds > 0 else np.inf)))
    counts = spectra.counts[:, channels]
    all_off = np.zeros_like(spectra.counts) if spectra.off_counts is None else spectra.off_counts
    particles = band_channels(PARTICLE_EV)  # outside the fitted band, which holds its counts already
    hard = all_off[:, max(particles.start, channels.stop):particles.stop].sum(axis=1)
    group = _KINDS_OF_CHIPS * obsid + np.isin(spectra.chip, list(acis.BACK_ILLUMINATED))
    return spectra.bin, counts, spectra.exposure_s, spectra.off_ratio, all_off[:, channels], hard, group, rows
