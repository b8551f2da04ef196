"""Blank-sky events on the pixels of an image, scaled chip by chip to an observation."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Wholes
from chandra_bin.acis import geometry as acis
from chandra_bin.coords.tangent_plane import pixel_map
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, warn
from chandra_bin.events.arrays import event_histogram
from chandra_bin.events.filters import RowFilter
from chandra_bin.events.reader import EventFile, open_events
from chandra_bin.events.spectra import band_channels
from chandra_bin.exposure.blank_skies import is_in_chip_coordinates
from chandra_bin.fits.headers import is_number, text_of
from chandra_bin.fits.subspace import parse_ranges, read_subspace
from chandra_bin.fits.virtual import VirtualFile
from chandra_bin.sources.background import (
    PARTICLE_EV,
    UNKNOWN_SKY,
    Background,
    ChipScale,
    ChipSum,
    ErrorPart,
    chip_scale,
    scale_error,
)

from ._common import about, calib_of, has_sky_filter

if TYPE_CHECKING:
    from astropy.io.fits import Header

_COLUMNS = ("x", "y", "energy", "ccd_id")
# The full range of pulse heights.
_ALL_PHA = (1.0, 4095.0)
# Values of the keyword BKGTYPE.
BLANKSKY, LOCAL = "BLANKSKY", "LOCAL"

Energies = tuple[float, float]


class ParticleCounts:
    """Counts of 9 - 12 keV by chip, of a file that should hold all events of these energies.

    ``rows`` are the filters of the file, and ``header`` is its header before the filters.
    """

    def __init__(self, rows: RowFilter, header: "Header", name: VirtualFile) -> None:
        self.name = name
        self.counts: Wholes = np.zeros(acis.CHIP_COUNT, np.int64)
        self._limits = limits_of(rows, header, PARTICLE_EV)

    def add(self, chip: NDArray[Any], values: Mapping[str, NDArray[Any]]) -> None:
        """Add events that pass, by ``energy`` or, without it, by the channel ``pi``."""
        if "energy" in values:
            high = _in_band(values["energy"], PARTICLE_EV)
        else:
            channels = band_channels(PARTICLE_EV)
            high = (values["pi"] > channels.start) & (values["pi"] <= channels.stop)
        self.counts += np.bincount(chip[high], minlength=acis.CHIP_COUNT)

    def of(self, chip: int) -> int:
        """Return the counts of a chip. Raises `InputError` where the file holds only some of these energies."""
        if self._limits:
            raise InputError(f"{self.name}: holds only {self._limits}, but scaling the background needs all events of "
                             "9 - 12 keV; do not filter energies")
        return int(self.counts[chip])

    def counted(self, chip: int) -> int:
        """Return the counts of a chip; 0 where the file holds only some of these energies."""
        return 0 if self._limits else int(self.counts[chip])


def scale_by_particles(chip: int, header: Mapping[str, Any], source: ParticleCounts | None, sky: ParticleCounts
                       ) -> ChipScale:
    """Return the scale of a chip: BKGSCALn of the blank sky's header, else the ratio of counts at 9 - 12 keV.

    The error of a BKGSCALn is BKGERRn, else the Poisson error of the counts of the blank sky and of the counts that
    the scale predicts in the observation; see `chip_scale`. Raises `InputError` also where a filter of energies removed
    counts that are needed.
    """
    file = _original_file(chip, header, sky.name)
    if f"BKGSCAL{chip}" not in header:
        assert source is not None
        counted, behind = source.of(chip), sky.of(chip)
        factor = chip_scale(chip, header, counted, behind, source=str(source.name), name=str(sky.name))
        return ChipScale(factor, scale_error(factor, counted, behind), counted, behind, "9-12 keV",
                         1 / math.sqrt(behind), file)
    factor = chip_scale(chip, header, 0, 0, source="", name=str(sky.name))
    known = [header.get(f"{key}{chip}") for key in ("BKGERR", "BKGOBS", "BKGSKY")]
    error, counts = (float(known[0]) if is_number(known[0]) else None,
                     [int(each) if is_number(each) else None for each in known[1:]])
    if error is None and sky.counted(chip) and str(header.get("BKGMETH", "particle")).strip().lower() == "particle":
        error = scale_error(factor, factor * sky.counted(chip), sky.counted(chip))
        sky_error = 1 / math.sqrt(sky.counted(chip))
    elif error is not None and counts[1]:
        sky_error = min(1 / math.sqrt(counts[1]), error / factor)
    else:
        sky_error = 0.0
    return ChipScale(factor, error, counts[0], counts[1], f"BKGSCAL{chip}", sky_error, file)


def _original_file(chip: int, header: Mapping[str, Any], name: VirtualFile) -> str:
    """Return the original file of blank-sky events: BKGFILn, or the file itself where it is one of CALDB."""
    if known := str(header.get(f"BKGFIL{chip}", "")).strip():
        return known
    return name.file.name.removesuffix(".gz") if is_in_chip_coordinates(header) else UNKNOWN_SKY


def limits_of(rows: RowFilter, header: "Header", band_ev: Energies) -> str:
    """Return the limits of a file by its subspace and filters as text; empty where it holds all events of a band.

    Pulse heights only approximate energies: any limit on them may remove events of the band.
    """
    channels = band_channels(band_ev)
    needed = (("energy", band_ev, "energies of {} eV"), ("pi", (channels.start + 1, channels.stop), "channels (pi) {}"),
              ("pha", _ALL_PHA, "pulse heights (pha) {}"))
    for each in rows.subspace(read_subspace(header))[0]:
        for column, (first, last), words in needed:
            condition = each.condition(column)
            ranges = parse_ranges(condition.value) if condition else None
            if condition and ranges and not any(low <= first and last <= high for low, high in ranges):
                return words.format(condition.value)
    return ""


def warn_of_sky_filters(name: VirtualFile) -> None:
    """Warn of an observation that is filtered on the sky: its counts of 9 - 12 keV cover only a part of the chip."""
    if has_sky_filter(name):
        warn(f"{name}: is filtered on the sky: give the blank-sky files the same filter, so that their ratio of "
             "9 - 12 keV is of the same area")


def need_on_sky(header: Mapping[str, Any], name: VirtualFile) -> None:
    """Raise `InputError` for blank-sky events of the calibration database, which are in chip coordinates."""
    if is_in_chip_coordinates(header):
        raise InputError(f"{name}: is a blank sky of the calibration database, in chip coordinates: put it on the "
                         "observation's sky first, by 'chandra-bin blanksky'")


def checked_chips(chip: NDArray[Any], name: VirtualFile) -> NDArray[Any]:
    """Return the chips of events. Raises `InputError` for a chip that ACIS does not have."""
    if (strange := chip[(chip < 0) | (chip >= acis.CHIP_COUNT)]).size:
        raise InputError(f"{name}: an event is of chip {strange[0]} (ccd_id); ACIS has chips 0 - {acis.CHIP_COUNT - 1}")
    return chip


@dataclass(frozen=True, eq=False, repr=False)
class SourceCounts:
    """Counts of the events of an observation, which scale its background."""

    name: VirtualFile
    """The events."""
    of_chip: Wholes
    """(10,), the events on each chip."""
    particles: ParticleCounts

    def __repr__(self) -> str:
        """Return the name, for records of calls."""
        return repr(str(self.name))

    @property
    def chips(self) -> list[int]:
        """The chips with events."""
        found: list[int] = np.flatnonzero(self.of_chip).tolist()
        return found


def count_source(file: EventFile, name: VirtualFile) -> SourceCounts:
    """Count the events of an observation that pass its virtual name, by chip; reads all rows of the open file."""
    of_chip = np.zeros(acis.CHIP_COUNT, np.int64)
    particles = ParticleCounts(file.filter, file.hdu.header, name)
    for block in file.blocks("energy", "ccd_id"):
        chip = block.kept(checked_chips(block.values["ccd_id"], name))
        of_chip += np.bincount(chip, minlength=acis.CHIP_COUNT)
        particles.add(chip, {"energy": block.kept(block.values["energy"])})
    return SourceCounts(name, of_chip, particles)


@dataclass(frozen=True)
class Pixels:
    """The grid of the image that a background is made for."""

    name: str
    coords: ImageCoords
    shape: tuple[int, int]


@dataclass(frozen=True, eq=False)
class _Sky:
    """The blank-sky events of one file."""

    name: VirtualFile
    header: "Header"
    events: dict[int, list[tuple[NDArray[Any], ...]]]
    """Blocks of events by chip: x and y in pixels of the image, and energy."""
    high: ParticleCounts


@dataclass(frozen=True, eq=False)
class ScaledSky:
    """Blank-sky events, and the scale of each chip."""

    names: list[VirtualFile]
    scales: dict[int, ChipScale]
    """By chip."""
    pixels: Pixels
    _skies: list[_Sky]

    @property
    def keywords(self) -> dict[str, Any]:
        """For headers."""
        scales = {key: value for chip, scale in sorted(self.scales.items())
                  for key, value in scale.keywords(chip).items()}
        return {"BKGMETH": "blanksky", "BKGTYPE": BLANKSKY, **scales, **calib_of(*(sky.header for sky in self._skies))}

    @property
    def header_entries(self) -> dict[str, str]:
        """For HISTORY."""
        return {f"BKGSCAL{chip}": f"{scale.factor!r} ({scale.method})" for chip, scale in sorted(self.scales.items())}

    def background(self, band_ev: Energies, *, use: NDArray[np.bool_] | None = None,
                   threads: int = 1) -> tuple[Background, int]:
        """Return the background of a band, and the number of its events outside the image.

        The error of the background is that of the chips' scales, which are independent. Counts outside the pixels
        ``use`` are dropped. Raises `InputError` where the background has no counts.
        """
        outside, any_count = 0, False
        total, parts = ChipSum(self.pixels.shape), list[ErrorPart]()
        for sky in self._skies:
            for chip, blocks in sky.events.items():
                window, counts, beside = self._image(blocks, band_ev, threads)
                outside += beside
                if use is not None:
                    counts[~use[window]] = 0
                any_count |= bool(counts.any())
                scale = self.scales[chip]
                parts.append(scale.error_part(chip, float(counts.sum(dtype=np.int64))))
                total.add(counts, scale.factor, window)
        if not any_count:
            raise InputError(f"{', '.join(map(str, self.names))}: no background event of "
                             f"{band_ev[0]:g} - {band_ev[1]:g} eV is on {self.pixels.name} "
                             f"({outside} lie outside); give the blank sky of this part of the sky, "
                             "reprojected to the observation (CIAO's blanksky)")
        return total.background().with_error(parts), outside

    def _image(self, blocks: Sequence[tuple[NDArray[Any], ...]], band_ev: Energies,
               threads: int) -> tuple[tuple[slice, slice], NDArray[np.int32], int]:
        """Return the window of the image with the events of a chip, their counts in it, and their number outside."""
        chosen = [(x.compress(here), y.compress(here)) for x, y, energy in blocks
                  for here in (_in_band(energy, band_ev),)]
        ny, nx = self.pixels.shape
        columns, rows = (_window([each[axis] for each in chosen], size) for axis, size in ((0, nx), (1, ny)))
        shape = rows.stop - rows.start, columns.stop - columns.start
        counts = np.zeros(shape, np.int32)
        for x, y in chosen:
            event_histogram(x, y, x_range=(columns.start - 0.5, columns.stop - 0.5),
                            y_range=(rows.start - 0.5, rows.stop - 0.5), shape=shape, threads=threads, out=counts)
        in_band = sum(len(x) for x, _ in chosen)
        return (rows, columns), counts, in_band - int(counts.sum(dtype=np.int64))


def _window(places: Sequence[NDArray[Any]], size: int) -> slice:
    """Return the range of the ``size`` pixels of an axis that holds these places; the first pixel without places."""
    low = min((float(np.fmin.reduce(each, initial=np.inf)) for each in places), default=np.inf)
    high = max((float(np.fmax.reduce(each, initial=-np.inf)) for each in places), default=-np.inf)
    first = int(np.clip(np.floor(low + 0.5), 0, size - 1))
    return slice(first, int(np.clip(np.floor(high + 0.5), first, size - 1)) + 1)


def scaled_sky(names: Sequence[VirtualFile], pixels: Pixels, bands_ev: Sequence[Energies], chips: Sequence[int] | None,
               source: SourceCounts | None) -> ScaledSky:
    """Read blank-sky files, each once, and scale their chips to an observation.

    Parameters
    ----------
    names : virtual names: all chips in one file, or one chip per file; matched to the image by sky coordinates.
    bands_ev : energies of the backgrounds that will be made, eV.
    chips : chips of the observation; None: all.
    source : counts of the observation; None: each chip must have a BKGSCALn.

    Raises
    ------
    InputError
        For files that cannot be used, a chip that is in two files, and where no file has any of ``chips``.
    """
    skies = [_read_sky(name, pixels, bands_ev, chips) for name in names]
    scales: dict[int, ChipScale] = {}
    for sky in skies:
        for chip in sky.events:
            if chip in scales:
                raise InputError(f"{sky.name}: has events of chip {chip}, as another blank-sky file has; give each "
                                 "chip once (select it by [ccd_id=..] after the name)")
            scales[chip] = _scale(chip, sky, source, pixels.name)
    _check_chips(chips, source, scales, names, pixels.name)
    return ScaledSky(list(names), scales, pixels, skies)


def _read_sky(name: VirtualFile, pixels: Pixels, bands_ev: Sequence[Energies], chips: Sequence[int] | None) -> _Sky:
    events: dict[int, list[tuple[NDArray[Any], ...]]] = {}
    with open_events(name) as file:
        file.need_ev()
        instrument = text_of(file.hdu.header, "INSTRUME").upper()
        if instrument not in ("", "ACIS"):
            raise InputError(f"{name}: are events of {instrument}: a blank sky of ACIS is needed")
        need_on_sky(file.hdu.header, name)
        with about(file.name.file):
            file.hdu.need(*_COLUMNS)
            to_pixels = pixel_map(ImageCoords.from_events(file.hdu.header), pixels.coords)
        for low, high_ev in bands_ev:
            if limits := limits_of(file.filter, file.hdu.header, (low, high_ev)):
                raise InputError(f"{name}: holds only {limits}, but the image has those of {low:g}:{high_ev:g} eV; "
                                 "give the blank sky without this filter")
        high = ParticleCounts(file.filter, file.hdu.header, name)
        for block in file.blocks(*_COLUMNS):
            values = block.values
            chip = checked_chips(values["ccd_id"], name)
            passing = block.flags()
            high.add(chip[passing], {"energy": values["energy"][passing]})
            wanted = np.logical_or.reduce([_in_band(values["energy"], band_ev) for band_ev in bands_ev])
            for number in np.unique(chip[passing]).tolist():
                if chips is not None and number not in chips:
                    continue
                here = passing & wanted & (chip == number)
                x, y = to_pixels(values["x"][here], values["y"][here])
                events.setdefault(number, []).append((x, y, values["energy"][here]))
        return _Sky(name, file.hdu.header.copy(), events, high)


def _scale(chip: int, sky: _Sky, source: SourceCounts | None, image: str) -> ChipScale:
    if source is None and f"BKGSCAL{chip}" not in sky.header:
        raise InputError(f"{sky.name}: has no BKGSCAL{chip} in its header, and {image} lacks the counts of 9 - 12 keV "
                         "to scale it by: give the observation's events too (--events)")
    return scale_by_particles(chip, sky.header, None if source is None else source.particles, sky.high)


def _check_chips(chips: Sequence[int] | None, source: SourceCounts | None, scales: Mapping[int, ChipScale],
                 names: Sequence[VirtualFile], image: str) -> None:
    """Warn of chips of the image that no blank sky covers; raise `InputError` where no chip is covered."""
    if chips is None:
        return
    of = image if source is None else source.name
    lacking = [chip for chip in chips if chip not in scales]
    words = ", ".join(map(str, lacking))
    if len(lacking) == len(chips):
        raise InputError(f"{', '.join(map(str, names))}: has no events on the chips of {of}, {words}; give the "
                         "blank sky of these chips")
    if lacking and source is not None:
        warn(f"no blank-sky file has events on chips {words}, where {of} has {int(source.of_chip[lacking].sum())}: "
             "these chips get no background")
    elif lacking:
        warn(f"no blank-sky file has events on chips {words} of {of}: these chips get no background")


def _in_band(energy: NDArray[Any], band_ev: Energies) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (energy >= band_ev[0]) & (energy < band_ev[1])
    return inside
