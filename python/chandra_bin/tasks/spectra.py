"""Spectra of the bins of a binmap, one set of files per observation."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats, Wholes
from chandra_bin._checks.paths import FileName, as_path, as_path_or_none, as_paths
from chandra_bin.acis import geometry as acis
from chandra_bin.acis.channels import PI_CHANNELS, PI_WIDTH_EV, channels_of
from chandra_bin.acis.obsids import obsid_number
from chandra_bin.coords.tangent_plane import pixel_map
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, counted, rename_hint, warn
from chandra_bin.events.arrays import bin_spectra
from chandra_bin.events.reader import EventFile, Events, open_events
from chandra_bin.events.spectra import (
    BROAD_EV,
    HARD_EV,
    SOFT_EV,
    background_ratios,
    band_channels,
    empty_spectra,
    group_counts,
    hardness,
    main_chips,
    net_counts,
)
from chandra_bin.fits.headers import text_of
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.tables import write_empty_primary
from chandra_bin.fits.virtual import Name, VirtualFile, named_files

from ._bin_pixels import BinPixels, areas_in, read_bin_pixels
from ._blanksky import ParticleCounts, checked_chips, need_on_sky, scale_by_particles
from ._common import Parameters, about, ecsv, has_sky_filter, history, listed, reporting
from ._in_order import Poll, in_order
from ._own_skies import check_skies, header_of
from ._pha import PhaWriter
from .inputs import files_of, plain_name

if TYPE_CHECKING:
    from astropy.table import Table

# BACKSCAL is a fraction of the plane of sky coordinates.
_SKY_PIXELS = 8192**2
# Observations that are in memory at once: their spectra are large, and reading takes most of the time.
_MOST_ITEMS = 2
ALL_BINS = "spectra.fits"  # the spectra of all bins of an observation, in one table
_COORDINATES = ("x", "y", "ccd_id")
_WHOLE = ("ccd_id", "pi")



@dataclass(frozen=True)
class ObservationSpectra:
    """The spectra of one observation."""

    obsid: int
    folder: Path
    bins: int
    """Number of bins that have pixels and therefore files."""
    counts: int
    """Number of events in bins, of all channels."""
    outside: int
    """Number of events that passed the filters and are outside all bins."""
    table: "Table" = field(repr=False)
    """The table ``spectra.ecsv``."""


@dataclass(frozen=True, eq=False)
class _Counted:
    """The events of a file in the bins."""

    spectra: NDArray[np.int32]
    """(chips, bins, channels)"""
    of_chip: Wholes
    """All events that passed, in bins or not, (chips,)."""
    particles: ParticleCounts
    """Counts of 9 - 12 keV, where requested."""
    events: Events
    """Without columns."""
    coords: ImageCoords
    """Coordinates of the events."""

    @property
    def by_chip(self) -> Wholes:
        """Counts of all channels, (chips, bins)."""
        return np.asarray(self.spectra.sum(axis=2, dtype=np.int64))

    def in_band(self, band_ev: tuple[float, float]) -> Wholes:
        """Return the counts of a band, (chips, bins)."""
        return np.asarray(self.spectra[:, :, band_channels(band_ev)].sum(axis=2, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class _Background:
    """Background counts on the chips of the source, and their scales."""

    counted: _Counted
    scales: Floats
    """(chips,): counts in the source's exposure for one background count; NaN for chips without counts in bins."""
    keywords: dict[str, float | str]
    """Scales with their errors and counts, for headers."""
    name: str


@dataclass(frozen=True, eq=False)
class _OfBins:
    """The spectra of an observation; arrays (bins,) and (bins, 1024)."""

    numbers: list[int]
    spectra: NDArray[np.int32]
    backscal: Floats
    exposure_s: Floats
    chips: Wholes
    background: NDArray[np.int32] | None
    """Background spectra."""
    ratios: Floats | None
    """Scale of one background count."""


def write_spectra(events: Name | Sequence[Name], binmap: FileName, folder: FileName, *,
                  background: Name | Sequence[Name] = (), group: int = 25, mask: FileName | None = None,
                  exclude: Sequence[FileName] = (), keep: Sequence[FileName] = (), each_bin: bool = True,
                  clobber: bool = False, threads: int = 1) -> list[ObservationSpectra]:
    """Write the spectra of all bins of a binmap into ``folder/{obsid:05d}``, for each observation.

    Parameters
    ----------
    events : virtual name of an ACIS event file, or those of several observations.
    binmap : FITS image of bin numbers, matched to the events by sky coordinates.
    background : virtual names of blank-sky event files on the sky coordinates of the source (CIAO's blanksky): one for
        each observation, or for a single observation several, each chip in one of them. The scale of chip n is BKGSCALn
        of the header, or else the ratio of the counts of 9 - 12 keV on the chip.
    group : least counts of a group in ``xaf_N_grp.pi``.
    each_bin : whether to write files of each bin in addition to the table of all bins.
    mask, exclude, keep : as for `bin_image`: events and areas of excluded pixels are left out.
    threads : number of threads, which changes no result. At most two observations are in memory.

    Files of bin N are ``xaf_N.pi`` (OGIP type I), ``xaf_N_grp.pi`` (grouped) and with a background ``xaf_N_bkg.pi``;
    ``spectra.fits`` has those of all bins in one table (type II), which ``chandra-bin fit`` reads; ``spectra.ecsv`` has
    a row per bin. Raises `InputError` and `OutputError`; no file is written then.
    """
    binmap, folder = as_path(binmap, "binmap"), as_path(folder, "folder")
    mask, exclude, keep = as_path_or_none(mask, "mask"), as_paths(exclude, "exclude"), as_paths(keep, "keep")
    names, skies = named_files(events), named_files(background)
    backgrounds: list[tuple[VirtualFile, ...]] = [tuple(skies)] if len(names) == 1 else [(sky,) for sky in skies]
    if not skies:
        backgrounds = [()] * len(names)
    if len(backgrounds) != len(names):
        raise InputError(f"{counted(len(backgrounds), 'background is', 'backgrounds are')} given for "
                         f"{counted(len(names), 'event file')}; give one for each, in their order")
    if group < 1:
        raise InputError(f"the least counts of a group must be 1 or more, got {group}")
    obsids = obsids_of(names)
    if skies:
        check_skies({name: header_of(name) for name in names}, backgrounds)
    folders = {obsid: folder / f"{obsid:05d}" for obsid in obsids}
    inputs = files_of(*names, *skies, binmap, mask, *exclude, *keep)
    files = [each / file for each in folders.values() for file in ("spectra.ecsv", ALL_BINS)]
    with Outputs(files, inputs=inputs, clobber=clobber,
                 series=[each / f"xaf_*{end}.pi" for each in folders.values() for end in ("[0-9]", "_bkg", "_grp")],
                 ) as outputs:
        bins = read_bin_pixels(binmap, mask, exclude, keep)
        items = list(zip(obsids, names, backgrounds, strict=True))
        made = []
        with closing(in_order(items, partial(_read, bins), partial(_with_areas, bins), threads, _MOST_ITEMS)) as found:
            for obsid, name, behind in reporting(items):
                parameters = {
                    "events": plain_name(name), "binmap": plain_name(binmap),
                    "background": " ".join(map(plain_name, behind)) or None, "group": group, "mask": mask,
                    "exclude": exclude, "keep": keep}
                # No name holds an observation that is written while the next is read.
                made.append(_write(outputs, folders[obsid], *next(found), bins, group if each_bin else None,
                                   parameters))
    return made


@dataclass(frozen=True, eq=False)
class _Read:
    """The files of an observation."""

    obsid: int
    source: _Counted
    background: _Background | None
    exposures: dict[int, float]
    """Live times in s by chip."""
    areas_of: Callable[[BinPixels], Floats]
    """Returns the areas of bins, (bins,), in sky pixels of the events."""


def _read(bins: BinPixels, which: tuple[int, VirtualFile, Sequence[VirtualFile]]) -> _Read:
    obsid, name, skies = which
    source = _count(name, bins, particles=bool(skies))
    _warn_of_sky_filters(name)
    _warn_of_nothing(source, name)
    background = _read_background(skies, source, name, bins) if skies else None
    exposures = _exposures(source, name)
    if not any(exposures.values()):
        warn(f"{name}: has no good time: EXPOSURE is 0")
    return _Read(obsid, source, background, exposures, areas_in(source.coords, ImageCoords(bins.image.header)))


def _with_areas(bins: BinPixels, read: _Read, _poll: Poll) -> tuple[_Read, Floats]:
    return read, read.areas_of(bins)


def _write(outputs: Outputs, folder: Path, read: _Read, areas: Floats, bins: BinPixels, group: int | None,
           parameters: Parameters) -> ObservationSpectra:
    source, background, exposures = read.source, read.background, read.exposures
    chips = main_chips(source.by_chip, bins.centres, _order(source.events))
    exposure = np.array([exposures.get(chip, 0.0) for chip in chips.tolist()])
    table = _table(source, background, bins, chips, exposure, areas)
    lines = history("spectra", parameters)
    header = source.events.header
    scales: dict[str, float | str] = {**bins.ids, **({} if background is None else background.keywords)}
    writer = PhaWriter(header, exposures, lines, background=False, keywords=scales)
    background_writer = PhaWriter(header, exposures, lines, background=True, keywords=scales)
    spectra = source.spectra.sum(axis=0, dtype=np.int32)
    background_spectra = None if background is None else background.counted.spectra.sum(axis=0, dtype=np.int32)
    ratios = None if background is None else background_ratios(
        background.counted.by_chip, background.scales, _scales_without_counts(background, chips))
    made = _OfBins(bins.numbers, spectra, areas / _SKY_PIXELS, exposure, chips, background_spectra, ratios)
    if group is not None:
        _write_each(outputs, folder, made, writer, background_writer, group)
    _write_table(outputs, folder / ALL_BINS, made, writer, background_writer)
    outputs.write(folder / "spectra.ecsv", ecsv(table, {**parameters, "binmap_id": bins.ids["BINMAPID"]}))
    counts = int(spectra.sum(dtype=np.int64))
    return ObservationSpectra(read.obsid, folder, len(bins.numbers), counts, int(source.of_chip.sum()) - counts, table)


def _write_each(outputs: Outputs, folder: Path, made: _OfBins, writer: PhaWriter, background_writer: PhaWriter,
                group: int) -> None:
    """Write the spectra of each bin in its own files."""
    grouping, quality = group_counts(made.spectra, group)
    for i, number in enumerate(made.numbers):
        backscal = float(made.backscal[i])
        background_file = None if made.background is None else f"xaf_{number}_bkg.pi"
        cards: Any = {"exposure_s": float(made.exposure_s[i]), "chip": int(made.chips[i]), "bin": number}
        outputs.write(folder / f"xaf_{number}.pi",
                      writer.file(made.spectra[i], **cards, backscal=backscal, background=background_file))
        outputs.write(folder / f"xaf_{number}_grp.pi",
                      writer.file(made.spectra[i], **cards, backscal=backscal, background=background_file,
                                  groups=(grouping[i], quality[i])))
        if background_file is not None and made.background is not None and made.ratios is not None:
            outputs.write(folder / background_file, background_writer.file(
                made.background[i], **cards, backscal=backscal / float(made.ratios[i])))


def _write_table(outputs: Outputs, path: Path, made: _OfBins, writer: PhaWriter, background_writer: PhaWriter) -> None:
    """Write the spectra of all bins in one file."""
    from astropy.io.fits import Header

    cards: Any = {"exposure_s": made.exposure_s, "chips": made.chips, "bins": made.numbers}
    with outputs.open(path) as file:
        write_empty_primary(file, Header())
        writer.write_table(file, made.spectra, **cards, backscal=made.backscal)
        if made.background is not None and made.ratios is not None:
            background_writer.write_table(file, made.background, **cards, backscal=made.backscal / made.ratios)


def obsids_of(names: Sequence[VirtualFile]) -> list[int]:
    """Return the ObsIDs of event files. Raises `InputError` for other instruments than ACIS and for duplicates."""
    found: dict[int, VirtualFile] = {}
    for name in names:
        with open_events(name) as file:
            header = file.hdu.header
        telescope, instrument = (text_of(header, key).upper() for key in ("TELESCOP", "INSTRUME"))
        if telescope not in ("", "CHANDRA") or instrument not in ("", "ACIS"):
            raise InputError(f"{name}: are events of {telescope} {instrument}: spectra are made of Chandra's ACIS only "
                             f"({PI_CHANNELS} channels of {PI_WIDTH_EV} eV); copy and lightcurve take other files too")
        text = text_of(header, "OBS_ID")
        if obsid_number(text) is None:
            raise InputError(f"{name}: OBS_ID is {text!r}: it must be the number of one observation, which names the "
                             "folder of the spectra; for merged events, give those of each observation (a @list)")
        if int(text) in found:
            raise InputError(f"{name}: is of ObsID {int(text)}, as {found[int(text)]} is; give each observation once")
        found[int(text)] = name
    return list(found)


def _count(name: VirtualFile, bins: BinPixels, *, particles: bool, good_times: bool = True) -> _Counted:
    """Read the events of a file once, block by block, and count them in the bins."""
    with about(bins.image.path):
        spectra = empty_spectra(len(bins.numbers))
    of_chip = np.zeros(acis.CHIP_COUNT, np.int64)
    no_channel = 0
    image = ImageCoords(bins.image.header)
    with open_events(name) as file:
        need_on_sky(file.hdu.header, name)
        columns = _columns(file, particles)
        high = ParticleCounts(file.filter, file.hdu.header, name)
        with about(file.name.file):
            coords = ImageCoords.from_events(file.hdu.header)
            coords.need_sky()
            to_pixels = pixel_map(coords, image)
        for block in file.blocks(*columns):
            values = {column: block.kept(block.values[column]) for column in columns}
            chip = checked_chips(values["ccd_id"], name)
            channel = values["pi"] if "pi" in values else channels_of(values["energy"])
            x, y = to_pixels(values["x"], values["y"])
            bin_spectra(bins.labels, channel, x=x, y=y, chips=chip, chip_numbers=acis.CHIPS, out=spectra)
            no_channel += int(np.count_nonzero((channel < 1) | (channel > spectra.shape[2])))
            of_chip += np.bincount(chip, minlength=acis.CHIP_COUNT)
            if particles:
                high.add(chip, values)
        if good_times:
            events = Events({}, file.header(), file.good_times(), file.name.file)
        else:
            events = Events({}, file.hdu.header.copy(), {}, file.name.file)
        if no_channel:
            warn(f"{name}: {counted(no_channel, 'event has', 'events have')} no channel of 1 - {spectra.shape[2]} "
                 f"({columns[3]} is null, NaN or beyond): left out of the spectra")
    return _Counted(spectra, of_chip, high, events, coords)


def _columns(file: EventFile, particles: bool) -> list[str]:
    """Return the columns x, y, ccd_id, that of the channels, and for particles the energy, too, if it exists."""
    file.need_ev()
    there = file.hdu.columns
    missing = [name for name in _COORDINATES if name not in there]
    channel = [name for name in ("pi", "energy") if name in there]
    if not channel:
        missing.append("pi (nor energy)")
    if missing:
        raise InputError(f"{file.name.file}: block {file.hdu.name} has no column {', '.join(missing)}, only "
                         f"{', '.join(there)}: spectra need x, y, ccd_id, and pi or energy"
                         f"{rename_hint(missing, there)}")
    chosen = [*_COORDINATES, *(channel if particles else channel[:1])]
    for name in chosen:
        if not there[name].is_scalar or (name in _WHOLE and not there[name].is_whole):
            raise InputError(f"{file.name.file}: the column {name} of block {file.hdu.name} must hold one "
                             f"{'whole number' if name in _WHOLE else 'number'} an event")
    return chosen


def _order(events: Events) -> list[int]:
    """Return the chips in the order of their GTIs: the aim point's first."""
    return [chip for chip in events.good_times if chip is not None and chip in acis.CHIPS]


def _exposures(source: _Counted, name: VirtualFile) -> dict[int, float]:
    """Return live times in s by chip, of all chips with GTIs or events."""
    order = _order(source.events)
    seen = np.flatnonzero(source.of_chip).tolist()
    chips = sorted({*order, *seen})
    exposures = {chip: source.events.livetime(chip) for chip in chips}
    if None in source.events.good_times:
        return exposures
    without = [chip for chip in seen if chip not in order]
    for chip in without:
        exposures[chip] = source.events.livetime()
    if without:
        warn(f"{name}: chips {listed(without)} have events, but no good times (GTI): EXPOSURE is that of chip "
             f"{order[0]}")
    return exposures


def _read_background(names: Sequence[VirtualFile], source: _Counted, source_name: VirtualFile,
                     bins: BinPixels) -> _Background:
    # The scale includes the exposure of a background: its GTIs are not needed.
    skies = [_count(name, bins, particles=True, good_times=False) for name in names]
    wanted = np.flatnonzero(source.of_chip).tolist() or _order(source.events) or list(acis.CHIPS)
    of_chip = np.sum([sky.of_chip for sky in skies], axis=0)
    name = ", ".join(map(str, names))
    if not of_chip[wanted].any():
        others = listed(np.flatnonzero(of_chip).tolist()) or "none"
        raise InputError(f"{name}: has no events on the chips of {source_name}, {listed(wanted)}, but on {others}; "
                         "give the blank sky of these chips")
    spectra = empty_spectra(len(bins.numbers))
    scales = np.full(acis.CHIP_COUNT, np.nan)
    keywords: dict[str, float | str] = {}
    for chip in wanted:
        owners = [sky for sky in skies if sky.of_chip[chip]]
        if len(owners) > 1:
            raise InputError(f"{name}: duplicate events of chip {chip}; give each chip once (select it by "
                             "[ccd_id=..] after the name)")
        if owners and owners[0].spectra[chip].any():
            spectra[chip] = owners[0].spectra[chip]
            scale = scale_by_particles(chip, owners[0].events.header, source.particles, owners[0].particles)
            scales[chip] = scale.factor
            keywords.update(scale.keywords(chip))
    if not spectra.any():
        raise InputError(f"{name}: no background event is in any bin of {bins.image.path}; it must be reprojected to "
                         "the observation (CIAO's blanksky)")
    lacking = [chip for chip in wanted if not of_chip[chip] and source.spectra[chip].any()]
    if lacking:
        others = ",".join(str(chip) for chip in wanted if chip not in lacking)
        raise InputError(f"{name}: has no events on chips {listed(lacking)}, where {source_name} has some in bins; "
                         f"their background would count as source: leave these chips out by [ccd_id={others}] after "
                         "the name of the events, or give their blank skies")
    return _Background(replace(skies[0], spectra=spectra, of_chip=of_chip), scales, keywords, name)


def _scales_without_counts(background: _Background, chips: Wholes) -> Floats:
    """Return the scale (bins,) for bins without background counts: that of the bin's chip, or the mean of all."""
    own = background.scales[chips]
    return np.where(np.isfinite(own), own, np.nanmean(background.scales))


def _table(source: _Counted, background: _Background | None, bins: BinPixels, chips: Wholes, exposure: Floats,
           areas: Floats) -> "Table":
    from astropy import units as u
    from astropy.table import Table

    nothing = np.zeros((acis.CHIP_COUNT, len(bins.numbers)), np.int64)
    scales = np.zeros(acis.CHIP_COUNT) if background is None else background.scales

    def in_band(band_ev: tuple[float, float]) -> tuple[Wholes, Floats, Floats]:
        counts = source.in_band(band_ev)
        blank = nothing if background is None else background.counted.in_band(band_ev)
        return counts.sum(axis=0), *net_counts(counts, blank, scales)

    counts, net, net_error = in_band(BROAD_EV)
    (_, soft, soft_error), (_, hard, hard_error) = in_band(SOFT_EV), in_band(HARD_EV)
    ratio, ratio_error = hardness(soft, soft_error, hard, hard_error)
    all_counts = source.by_chip
    all_net, _ = net_counts(all_counts, nothing if background is None else background.counted.by_chip, scales)
    seconds = np.where(exposure > 0, exposure, np.nan)
    table = Table({
        "bin": np.array(bins.numbers), "chip": chips, "area": areas, "exposure": exposure,
        "counts": counts, "background": counts - net, "net": net, "net_err": net_error,
        "rate": net / seconds, "rate_err": net_error / seconds, "hardness": ratio, "hardness_err": ratio_error,
        "total_counts": all_counts.sum(axis=0), "total_background": all_counts.sum(axis=0) - all_net,
        "file": [f"xaf_{number}.pi" for number in bins.numbers]})
    for name, unit in (("area", u.pix**2), ("exposure", u.s), ("rate", u.ct / u.s), ("rate_err", u.ct / u.s)):
        table[name].unit = unit
    for name in ("counts", "background", "net", "net_err", "total_counts", "total_background"):
        table[name].unit = u.ct
    return table


def _warn_of_sky_filters(name: VirtualFile) -> None:
    if has_sky_filter(name):
        warn(f"{name}: its filters on the sky remove events, but not the area of the bins (BACKSCAL); give regions "
             "with --exclude or --keep instead")


def _warn_of_nothing(source: _Counted, name: VirtualFile) -> None:
    if not source.of_chip.any():
        warn(f"{name}: has no events that pass: the spectra are all zeros")
    elif not source.spectra.any():
        warn(f"{name}: none of {counted(source.of_chip.sum(), 'event')} is in a bin: the spectra are all zeros")
