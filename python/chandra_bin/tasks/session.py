"""Sessions: the spectra, responses and scripts of single bins, for fits by hand in Sherpa and XSPEC."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin._checks.paths import FileName, as_path, as_path_or_none
from chandra_bin.acis.channels import PI_CHANNELS
from chandra_bin.errors import InputError
from chandra_bin.fits.columns import read_columns_and_meta
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.tables import open_fits
from chandra_bin.spectral.backgrounds import STATISTICS, BackgroundModel, background_model
from chandra_bin.spectral.binned import BinSpectra
from chandra_bin.spectral.fit import FitOptions, fitted_sets, predicted_counts
from chandra_bin.spectral.fit_table import read_fit
from chandra_bin.spectral.models import PLASMAS, ModelOptions, ThermalModel, thermal_model
from chandra_bin.spectral.ogip import Response, Rmf, read_arf, read_rmf
from chandra_bin.spectral.response_files import arf_content, rmf_content
from chandra_bin.spectral.statistics import cstat
from chandra_bin.spectral.table_model_files import constant_model_content, table_model_content
from chandra_bin.spectral.templates import FIT_BAND_KEV, Templates, fold

from ._bin_pixels import need_bins
from ._common import history
from ._pha import SPECTRUM_BLOCK, PhaWriter, naming_responses
from ._read_responses import BY_SESSION
from ._session_scripts import DataSet, Session, Start, sherpa_script, xspec_script
from ._spectra_table import SpectraOfBins
from .fit import FitInputs, grid_limits
from .response_files import MixedResponses

# Where a fit begins without a table of fits.
_FIRST_KT, _FIRST_ABUNDANCE = 4.0, 0.3
# Energies at rest of the table model of bremsstrahlung, keV, in bins of 0.2 %, which XSPEC takes to be flat.
_LEAST_KEV, _MOST_KEV, _STEP = 0.1, 60.0, 0.002
_C = STATISTICS["cstat"]


@dataclass(frozen=True, eq=False)
class _Fitted:
    """What a session repeats: model, options and band, and the values that it begins with."""

    model: ModelOptions
    options: FitOptions
    band_kev: tuple[float, float]
    starts: dict[int, Start]
    """By bin; empty without a table of fits."""
    words: str | None = None
    """The model in words, as the table has them."""
    responses_id: str | None = None


@dataclass(frozen=True, eq=False)
class _Data:
    """The spectra of all bins, as fits take them."""

    given: FitInputs
    tables: list[SpectraOfBins]
    binned: BinSpectra
    background: BackgroundModel
    templates: Templates
    """Of one response only: for channels, and for first norms."""
    plasma: ThermalModel


def write_session(spectra: FileName, responses: FileName, folder: FileName, bins: Sequence[int], *,
                  fit: FileName | None = None, model: ModelOptions | None = None, options: FitOptions | None = None,
                  band_kev: tuple[float, float] | None = None, clobber: bool = False) -> list[Path]:
    """Write spectra, responses and scripts of some bins, which repeat their fits in Sherpa and in XSPEC.

    Parameters
    ----------
    spectra : folder of `write_spectra`.
    responses : the file of `write_responses`.
    folder : gets for bin N and each observation ``bin_N_OBSID.pi``, ``.arf``, ``.rmf`` and ``_bkg.pi``, and the
        scripts ``bin_N.py`` (Sherpa) and ``bin_N.xcm`` (XSPEC).
    bins : numbers of bins.
    fit : the table of `fit_spectra_files`: model, statistic and band are the same, and the fitted values are those that
        the scripts begin with. None: the next three tell.
    model, options, band_kev : the plasma, how it is fitted, and the energies; None: the defaults. With a table, of
        ``model`` only the names of files are taken: the table does not hold their folders.

    Returns the scripts. Raises `InputError` for files that are missing, damaged, or do not belong together, and for
    bins without data, and `OutputError`; no file is written then.
    """
    spectra, responses, folder = as_path(spectra, "spectra"), as_path(responses, "responses"), as_path(folder, "folder")
    fit = as_path_or_none(fit, "fit")
    numbers = np.unique(np.asarray(bins, np.int64)).tolist()
    if not numbers:
        raise InputError("no bins are given: name at least one")
    fitted = (_without_table(model, options, band_kev) if fit is None
              else _of_table(fit, model or ModelOptions()))
    given = FitInputs.read(spectra, responses)
    if fitted.responses_id not in (None, given.weights.checksum()):
        raise InputError(f"{fit}: was fitted with other responses than those of {responses}, or by an earlier version: "
                         "give those (--responses), or fit again (chandra-bin fit)")
    need_bins(responses, numbers, given.weights.areas_arcsec2)
    data = _read(given, fitted)
    if fitted.words not in (None, data.plasma.describe()):
        raise InputError(f"{fit}: is a fit of {fitted.words}, and the model here is {data.plasma.describe()}: name the "
                         "same tables (--apec, --model)")
    inputs = given.inputs if fit is None else [*given.inputs, fit]
    contents: dict[Path, bytes | str] = {}
    for number in numbers:
        contents |= {folder / name: content for name, content in _of_bin(number, data, fitted, folder)}
    with Outputs(contents, inputs=inputs, clobber=clobber) as outputs:
        for path, content in contents.items():
            outputs.write(path, content)
    return [folder / f"bin_{number}{end}" for number in numbers for end in (".py", ".xcm")]


def _without_table(model: ModelOptions | None, options: FitOptions | None, band_kev: tuple[float, float] | None
                   ) -> _Fitted:
    options = FitOptions.or_defaults(options)
    if name := options.varies:
        raise InputError(f"{name}_is is {getattr(options, f'{name}_is')!r}: give the table of such a fit (--fit FILE), "
                         f"or give {name} and leave {name}_is out")
    return _Fitted(ModelOptions.or_defaults(model), options, band_kev or FIT_BAND_KEV, {})


def _of_table(path: Path, files: ModelOptions) -> _Fitted:
    """Return the options that a table of fits was made with, and its values."""
    fitted = read_fit(path)
    result = fitted.result
    meta = read_columns_and_meta(path)[1]["parameters"]
    words = {each.name: meta[each.name] for each in fields(ModelOptions) if each.name in meta}
    words |= {"apec": files.apec} if "apec" in words else {}
    if words.get("model", "apec") not in PLASMAS:
        if not isinstance(files.model, Path):
            raise InputError(f"{path}: is a fit of the table model {words['model']}, whose folder it does not hold: "
                             "give its file (--model FILE)")
        words["model"] = files.model
    options = FitOptions(**{each.name: meta[each.name] for each in fields(FitOptions) if each.name in meta})
    if options.nh_is == "tied":
        words["nh"] = float(result.nh[0])
    low, high = (float(part) for part in meta["band_kev"].split(":"))
    starts = {}
    for place, number in enumerate(result.bin.tolist()):
        if np.isfinite(result.kt[place]):
            abundance = float(np.nan_to_num(result.abundance[place]))
            nh, redshift = float(result.nh[place]), float(result.redshift[place])
            starts[number] = Start(float(result.kt[place]), abundance, float(result.norm[place]),
                                   bool(result.abundance_fixed[place]), nh, redshift, float(result.kt_low[place]),
                                   float(result.kt_high[place]), float(result.statistic[place]))
    model = result.model if options.varies is None else result.model.rpartition("; ")[0]
    return _Fitted(ModelOptions(**words), options, (low, high), starts, model, fitted.responses_id)


def _read(given: FitInputs, fitted: _Fitted) -> _Data:
    tables = given.read_spectra()
    plasma = thermal_model(fitted.model, grid_limits(fitted.options))
    first = given.tiles[0]
    templates = fold(plasma, [(read_arf(first.arf), read_rmf(first.rmf))], fitted.band_kev)
    binned = given.joined(tables, templates)
    return _Data(given, tables, binned, background_model(binned, fitted.options.statistic), templates, plasma)


def _of_bin(number: int, data: _Data, fitted: _Fitted, folder: Path) -> Iterator[tuple[str, bytes | str]]:
    """Yield names and contents of the files of one bin."""
    binned = data.binned
    observations = [place for place, table in enumerate(data.tables) if number in table.bin]
    of_bin = np.flatnonzero(binned.bin == number)
    used = fitted_sets(binned)[of_bin]
    if not used.any():
        raise InputError(f"{data.given.responses}: has no response of bin {number} in an observation with exposure")
    stem, sets, net = f"bin_{number}", [], 0.0
    response_of = MixedResponses(data.given.weights, BY_SESSION)
    start = fitted.starts.get(number)
    here = _at_bin(data, start)
    for d, place in zip(of_bin[used].tolist(), np.array(observations)[used].tolist(), strict=True):
        made = _of_observation(stem, number, d, place, here, response_of, start, fitted.band_kev)
        yield from made.files
        sets.append(made.set)
        net += made.net
    if any(each.kind == _C and each.has_sky for each in sets):
        yield f"{stem}_diagonal.rmf", rmf_content(_diagonal(made.rmf))
    if fitted.model.model == "brems":
        yield f"{stem}_gas.mod", _gas(here.plasma)
    start = start or _first(here, fitted.options, net, float(binned.exposure_s[of_bin[used]].sum()))
    session = Session(number, tuple(sets), replace(fitted.model, nh=start.nh, redshift=start.redshift), here.plasma,
                      fitted.options, fitted.band_kev, grid_limits(fitted.options), start, folder)
    yield f"{stem}.py", sherpa_script(session)
    yield f"{stem}.xcm", xspec_script(session)


@dataclass(frozen=True, eq=False)
class _Made:
    """The files of a bin in one observation."""

    set: DataSet
    files: list[tuple[str, bytes | str]]
    rmf: Rmf
    net: float


def _at_bin(data: _Data, start: Start | None) -> _Data:
    """Return the data with the model of a bin, whose column density or redshift may be its own."""
    return data if start is None else replace(data, plasma=replace(data.plasma, nh=start.nh, redshift=start.redshift))


def _of_observation(stem: str, number: int, d: int, place: int, data: _Data, response_of: MixedResponses,
                    start: Start | None, band_kev: tuple[float, float]) -> _Made:
    given, table, binned = data.given, data.tables[place], data.binned
    obsid, row = given.obsids[place], int(np.searchsorted(table.bin, number))
    name, exposure = f"{stem}_{obsid:05d}", float(table.exposure_s[row])
    arf, rmf = response_of(np.flatnonzero((given.weights.obsid == obsid) & (given.weights.bin == number)), exposure)
    kind, background = int(data.background.statistic[d]), data.background.of(np.array([d]))
    lines = history("session", {"bin": number, "obsid": obsid, "responses": given.responses})
    files: list[tuple[str, bytes | str]] = [(f"{name}.arf", arf_content(arf, lines)),
                                            (f"{name}.rmf", rmf_content(rmf, lines))]
    first = data.templates.first_channel
    groups = _grouping(data.background.groups[d], first)
    files += _spectrum_files(name, row, place, data, groups if kind != _C else None, lines)
    amounts, bands_statistic = np.zeros(0), 0.0
    if background.used_bands.any():
        source = None if start is None else _source(data.plasma, (arf, rmf), exposure, start, band_kev)
        amounts = _amounts(background, binned.counts[d], source)
        files += _sky_files(name, background, amounts, first, rmf, exposure)
        in_bands = background.expected_in_bands(amounts[np.newaxis])
        bands_statistic = float(cstat(background.band_counts, in_bands)[background.used_bands].sum())
    channels = background.background.shape[2]
    known = background.background.sum() * (1 if kind == _C else binned.off_ratio[d])
    made = DataSet(obsid, name, kind, tuple(amounts[np.isfinite(amounts)].tolist()), bands_statistic, first, channels,
                   int(background.groups.max()) + 1, has_background=table.off_counts is not None)
    return _Made(made, files, rmf, float(binned.counts[d].sum() - known))


def _source(plasma: ThermalModel, response: Response, exposure_s: float, at: Start, band_kev: tuple[float, float]
            ) -> Floats:
    """Return the expected source counts (channels,) of a fit."""
    templates = fold(plasma, [response], band_kev)
    one = BinSpectra(bin=np.zeros(1, np.int64), counts=np.zeros((1, templates.rates.shape[3])),
                     exposure_s=np.array([exposure_s]), weight_offsets=np.array([0, 1]),
                     weight_response=np.zeros(1, np.int64), weight=np.ones(1))
    return predicted_counts(one, templates, 0, (at.kt_kev, at.abundance, at.norm))


def _amounts(background: BackgroundModel, counts: Floats, source: Floats | None) -> Floats:
    """Return the amounts (components,) of the background of a data set, NaN for those without bands.

    They are the best ones for the source counts of a fit, and 1 without a fit.
    """
    is_measured = background.band_expected.any(axis=2)
    if source is None:
        return np.asarray(np.where(is_measured, 1.0, np.nan)[0])
    return np.asarray(background.fitted_amounts(source[np.newaxis], counts[np.newaxis])[0])


def _sky_files(name: str, background: BackgroundModel, amounts: Floats, first: int, rmf: Rmf, exposure_s: float
               ) -> list[tuple[str, bytes | str]]:
    """Return the files of the expected background of a data set, whose amounts are fitted."""
    measured, used = np.isfinite(amounts), background.used_bands[0]
    sky = np.zeros((np.count_nonzero(measured), PI_CHANNELS))
    sky[:, first - 1:first - 1 + background.background.shape[2]] = background.background[0, measured]
    edges, numbers = np.append(rmf.channel_lo, rmf.channel_hi[-1]), [str(n) for n in range(1, len(sky) + 1)]
    bands = [background.band_counts[0, used], *background.band_expected[0, measured][:, used]]
    return [
        (f"{name}_sky.dat", _columns(["CHANNEL", *(f"COUNTS_{n}" for n in numbers)], [*sky])),
        (f"{name}_bands.dat", _columns(["BAND", "COUNTS", *(f"EXPECTED_{n}" for n in numbers)], bands)),
        (f"{name}_sky.mod", constant_model_content("sky", edges, amounts[measured] @ sky / exposure_s))]


def _spectrum_files(name: str, row: int, place: int, data: _Data,
                    groups: tuple[NDArray[np.int16], NDArray[np.int16]] | None, lines: list[str]
                    ) -> Iterator[tuple[str, bytes]]:
    """Yield the spectrum of a bin and its background.

    A spectrum whose background is expected counts, part of the model, does not name the background (BACKFILE): XSPEC
    would take the W-statistic for it.
    """
    table, file = data.tables[place], data.given.files[place]
    with open_fits(file) as hdus:
        header = next(hdu.header for hdu in hdus if hdu.name == SPECTRUM_BLOCK)
    exposure, backscal = float(table.exposure_s[row]), float(table.backscal[row])
    cards: Any = {"exposure_s": exposure, "chip": int(table.chip[row]), "bin": int(table.bin[row])}
    exposures, keywords = {cards["chip"]: exposure}, dict[str, float | str](table.ids)
    writer = PhaWriter(header, exposures, lines, background=False, keywords=keywords)
    is_named = table.off_counts is not None and table.off_ratio[row] > 0 and groups is not None
    content = naming_responses(
        writer.file(table.counts[row], **cards, backscal=backscal, groups=groups,
                    background=f"{name}_bkg.pi" if is_named else None), f"{name}.arf", f"{name}.rmf")
    assert content is not None  # of our own writer
    yield f"{name}.pi", content
    if table.off_counts is not None and table.off_ratio[row] > 0:
        behind = PhaWriter(header, exposures, lines, background=True, keywords=keywords)
        yield f"{name}_bkg.pi", behind.file(table.off_counts[row], **cards,
                                            backscal=backscal / float(table.off_ratio[row]))


def _grouping(groups: NDArray[np.int32], first_channel: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Return GROUPING and QUALITY of all channels: the groups of the band, and each channel beyond it by itself."""
    grouping = np.ones(PI_CHANNELS, np.int16)
    begins = np.diff(groups, prepend=-1) != 0
    grouping[first_channel - 1:first_channel - 1 + groups.size] = np.where(begins, 1, -1)
    return grouping, np.zeros(PI_CHANNELS, np.int16)


def _columns(names: Sequence[str], values: Sequence[Floats]) -> str:
    """Return a table in text; the first column are numbers from 1."""
    rows = (f"{number} {' '.join(map(repr, row))}" for number, row in enumerate(np.transpose(values).tolist(), start=1))
    return "\n".join([f"# {' '.join(names)}", *rows]) + "\n"


def _diagonal(rmf: Rmf) -> Rmf:
    """Return a matrix that puts photons of the energy of a channel into this channel, with an area of 1 cm²."""
    channels = len(rmf.channel_lo)
    return Rmf(rmf.channel_lo, rmf.channel_hi, rmf.channel_lo, rmf.channel_hi, rmf.first_channel,
               np.arange(channels + 1), np.arange(channels, dtype=np.int32), np.ones(channels), keywords=rmf.keywords)


def _gas(plasma: ThermalModel) -> bytes:
    """Return the plasma at rest, without absorption, as a table model of XSPEC; it has no abundance."""
    edges = np.geomspace(_LEAST_KEV, _MOST_KEV, 1 + round(np.log(_MOST_KEV / _LEAST_KEV) / _STEP))
    photons = plasma.emission.photons(edges)[:, 0]
    return table_model_content("brems", "kT", plasma.kt_kev, edges, photons, has_redshift=True)


def _first(data: _Data, options: FitOptions, net: float, exposure_s: float) -> Start:
    """Return values to begin with if no table of fits is given: the norm is that of the net counts."""
    templates, plasma = data.templates, data.plasma
    kt = float(np.clip(_FIRST_KT, options.kt_min, options.kt_max))
    is_few = net < options.min_counts_abundance
    given = options.abundance if options.abundance is not None else options.abundance_few if is_few else None
    abundance = 0.0 if not templates.has_abundance else _FIRST_ABUNDANCE if given is None else given
    pure, metals = templates.rates[0, int(np.argmin(np.abs(templates.kt_kev - kt)))]
    folded = exposure_s * float(np.maximum(pure + abundance * metals, 0).sum())
    return Start(kt, abundance, max(net, 1.0) / folded, given is not None or not templates.has_abundance, plasma.nh,
                 plasma.redshift)
