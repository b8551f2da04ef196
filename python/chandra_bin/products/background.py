"""Backgrounds of images: blank-sky events or a local estimate, as an image of counts and one of their ratio."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.background import PARTICLE_EV, Background, chip_scale, join_chips, sum_backgrounds
from chandra_bin.background import local_background as measure_background
from chandra_bin.bands import parse_energies
from chandra_bin.errors import InputError
from chandra_bin.event_arrays import event_histogram
from chandra_bin.events import EventFile, open_events
from chandra_bin.images import Image, product_header, write_image
from chandra_bin.inputs import files_of, is_table, plain_name, read_image, read_on_grid, refuse_filled
from chandra_bin.outputs import Outputs
from chandra_bin.spectra import band_channels
from chandra_bin.subspace import Component, parse_ranges, read_subspace
from chandra_bin.virtual import (
    Binning,
    Filter,
    MaskTerm,
    Options,
    RegionTerm,
    Step,
    VirtualFile,
    expand_stack,
    named_file,
    one_of_stack,
)
from chandra_bin.wcs import ImageCoords, pixel_map

from ._common import about, history, mask_values, warn

if TYPE_CHECKING:
    from astropy.io.fits import Header

_CHIPS = 10
_COLUMNS = ("x", "y", "energy", "ccd_id")
_ENERGIES = ("energy", "pi", "pha")
_LIVE_TIMES_AGREE = 0.01
# A range of pulse heights that leaves nothing out.
_ALL_PHA = (1.0, 4095.0)

Energies = tuple[float, float]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MadeBackground:
    """The background of an image, and its files."""

    background: Background
    counts_file: Path
    ratio_file: Path
    band_ev: Energies | None
    """None for a local estimate."""
    scales: dict[int, float]
    """By chip; none for a local estimate."""
    methods: dict[int, str]
    """Where the scale of a chip comes from: ``BKGSCALn`` or ``9-12 keV``."""
    outside: int
    """Events of the band and the chips that are beside the image."""
    measured: float = 0.0
    """Counts in the region of a local estimate; 0 for others."""


class ParticleCounts:
    """Counts of 9 - 12 keV by chip, of a file that should hold all events of these energies."""

    def __init__(self, file: EventFile, name: str) -> None:
        self.name = name
        self.counts: Counts = np.zeros(_CHIPS, np.int64)
        self._limits = _limits(file, PARTICLE_EV)

    def add(self, chip: NDArray[Any], values: Mapping[str, NDArray[Any]]) -> None:
        """Adds events that pass, by ``energy`` or, where that is not there, by the channel ``pi``."""
        if "energy" in values:
            high = _in_band(values["energy"], PARTICLE_EV)
        else:
            channels = band_channels(PARTICLE_EV)
            high = (values["pi"] > channels.start) & (values["pi"] <= channels.stop)
        self.counts += np.bincount(chip[high], minlength=_CHIPS)

    def of(self, chip: int) -> int:
        """`InputError` where the file holds only some of these energies."""
        if self._limits:
            raise InputError(f"{self.name}: holds {self._limits} only, and not all of the 9 - 12 keV from which the "
                             "background would be scaled; do not filter energies")
        return int(self.counts[chip])


def scale_by_particles(chip: int, header: Mapping[str, Any], source: ParticleCounts, sky: ParticleCounts) -> float:
    """See `chip_scale`; `InputError` also where counts are needed that a filter of energies has taken."""
    if f"BKGSCAL{chip}" in header:
        return chip_scale(chip, header, 0, 0, source=source.name, name=sky.name)
    return chip_scale(chip, header, source.of(chip), sky.of(chip), source=source.name, name=sky.name)


def calib_of(*headers: Mapping[str, Any]) -> dict[str, str]:
    """The keyword CALIB of what is made of files: APPROX where one of them is."""
    approximate = any(str(header.get("CALIB", "")).strip() == "APPROX" for header in headers)
    return {"CALIB": "APPROX"} if approximate else {}


@dataclass(frozen=True, eq=False)
class _Sky:
    """The blank-sky events of one file."""

    name: str
    header: "Header"
    images: dict[int, NDArray[np.int32]]
    """By chip: counts of the band."""
    high: ParticleCounts
    outside: int


def background_files(outroot: str | Path) -> tuple[Path, Path]:
    """``{outroot}_bkg.img`` and ``{outroot}_bkg_ratio.img``; in a folder where ``outroot`` ends with /."""
    stem = f"{outroot}" if str(outroot).endswith("/") else f"{outroot}_"
    return Path(f"{stem}bkg.img"), Path(f"{stem}bkg_ratio.img")


def blank_sky_background(image: str | Path, blanksky: str | Path | Sequence[str | Path], outroot: str | Path, *,
                         events: str | Path | None = None, band: str | None = None, threads: int = 1,
                         clobber: bool = False) -> MadeBackground:
    """Puts blank-sky events on the pixels of an image: counts as they are, and what each stands for.

    Parameters
    ----------
    image : virtual name of an image, or of events with ``[bin ..]``.
    blanksky : virtual names of blank-sky events, ``@list`` for several: all chips in one file, or one chip a file. They
        meet the image through the sky.
    outroot : see `background_files`.
    events : the observation's events, virtual name, with its chips and good times but no filter of energies: for
        ratios of 9 - 12 keV where a blank-sky header has no BKGSCALn. None: those of ``image``, if it is made of some.
    band : energies in keV, ``0.5:7`` or as `parse_bands` has them. None: those of the image's subspace.

    Used are the chips of ``events``, or else of the image's subspace (else all). Raises `InputError`, also where the
    live times of ``image`` and ``events`` differ by more than 1 %, and `OutputError`; no file is written then.
    """
    given = [blanksky] if isinstance(blanksky, str | Path) else blanksky
    names = [text for name in given for text in expand_stack(name)]
    source_name = str(events) if events is not None else _events_behind(image)
    files = background_files(outroot)
    with Outputs(files, inputs=files_of(image, *names, events), clobber=clobber) as outputs:
        pixels = refuse_filled(read_image(image))
        with about(pixels.path):
            ImageCoords(pixels.header).need_sky()
        components = read_subspace(pixels.header)
        band_ev = _band(pixels, components, band)
        of_chip, high = _source_counts(source_name, None if events is None else pixels) if source_name else (None, None)
        chips = _chips(components, of_chip)
        skies = [_read_sky(name, pixels, band_ev, chips, threads) for name in names]
        layers: list[tuple[NDArray[np.int32], float]] = []
        scales: dict[int, float] = {}
        methods: dict[int, str] = {}
        for sky in skies:
            for chip, counts in sky.images.items():
                if chip in scales:
                    raise InputError(f"{sky.name}: has events of chip {chip}, as another blank-sky file has; give each "
                                     "chip once ([ccd_id=..] behind the name chooses)")
                scales[chip] = _scale(chip, sky, high, pixels)
                methods[chip] = f"BKGSCAL{chip}" if f"BKGSCAL{chip}" in sky.header else "9-12 keV"
                layers.append((counts, scales[chip]))
        _check_chips(chips, of_chip, scales, names, source_name or str(pixels.path))
        if not any(counts.any() for counts, _ in layers):
            raise InputError(f"{', '.join(names)}: no background event of {band_ev[0]:g} - {band_ev[1]:g} eV is on "
                             f"{pixels.path} "
                             f"({sum(sky.outside for sky in skies)} are beside it); give the blank sky of this part of "
                             "the sky, reprojected to the observation (CIAO's blanksky)")
        made = join_chips(layers)
        lines = history("background", {
            "image": plain_name(image), "blanksky": tuple(map(Path, names)),
            "events": None if source_name is None else plain_name(source_name),
            "band_ev": f"{band_ev[0]:g}:{band_ev[1]:g}",
            **{f"BKGSCAL{chip}": f"{factor!r} ({methods[chip]})" for chip, factor in sorted(scales.items())}})
        keywords = {f"BKGSCAL{chip}": factor for chip, factor in sorted(scales.items())}
        _write(outputs, files, made, pixels, lines, {
            "BKGMETH": "blanksky", **keywords, **calib_of(*(sky.header for sky in skies))})
    return MadeBackground(made, *files, band_ev, scales, methods, sum(sky.outside for sky in skies))


def local_background(image: str | Path, expmap: str | Path, outroot: str | Path, *, mask: Path | None = None,
                     exclude: Sequence[Path] = (), keep: Sequence[Path] = (), clobber: bool = False) -> MadeBackground:
    """Measures the background in a part of an image, and spreads it with the exposure map.

    Parameters
    ----------
    image : virtual name of an image of counts.
    expmap : its exposure map.
    mask, exclude, keep : the background is measured where the mask is 1 or more, outside the regions of ``exclude``
        (the cluster, the sources) and inside those of ``keep`` (a background region). One of them must be given.

    See `chandra_bin.background.local_background`. Raises `InputError` and `OutputError`; no file is written then.
    """
    if mask is None and not exclude and not keep:
        raise InputError(f"{image}: say where its background is to be measured: a background region (--keep), the "
                         "region of the cluster (--exclude), or a mask; the whole image is no background")
    files = background_files(outroot)
    with Outputs(files, inputs=[*files_of(image, expmap, mask), *exclude, *keep], clobber=clobber) as outputs:
        pixels = refuse_filled(read_image(image))
        exposure = read_on_grid(expmap, pixels, "exposure map")
        use = mask_values(pixels, mask, False, exclude, keep)
        with about(pixels.path):
            made = measure_background(pixels.data, exposure.data, use < 1)
        lines = history("background", {"image": plain_name(image), "expmap": plain_name(expmap), "mask": mask,
                                       "exclude": tuple(exclude), "keep": tuple(keep)})
        measured = float(np.sum(pixels.data, where=(use >= 1) & (exposure.data > 0) & np.isfinite(pixels.data)))
        _write(outputs, files, made, pixels, lines, {
            "BKGMETH": "local", "BKGCOUNT": measured, **calib_of(exposure.header)})
    return MadeBackground(made, *files, None, {}, {}, 0, measured)


def add_backgrounds(outroots: Sequence[str | Path], outroot: str | Path, *, clobber: bool = False) -> MadeBackground:
    """Adds the backgrounds of observations that were merged: their files, as the other two write them, on one grid.

    ``outroots`` are those of the observations, made for the images ``{obsid}_{band}_thresh.img`` that `merge` writes;
    see `sum_backgrounds`. Raises `InputError` and `OutputError`; no file is written then.
    """
    sets = [background_files(each) for each in outroots]
    files = background_files(outroot)
    with Outputs(files, inputs=files_of(*(file for each in sets for file in each)), clobber=clobber) as outputs:
        if not sets:
            raise InputError("there are no backgrounds to add")
        first = read_image(sets[0][0])
        read = [(read_on_grid(counts, first, "background"), read_on_grid(ratio, first, "ratio of the background"))
                for counts, ratio in sets]
        made = sum_backgrounds([Background(counts.data, ratio.data) for counts, ratio in read])
        lines = history("background", {"add": tuple(Path(each) for each in outroots)})
        _write(outputs, files, made, first, lines, {
            "BKGMETH": "sum", **calib_of(*(each.header for pair in read for each in pair))})
    return MadeBackground(made, *files, None, {}, {}, 0)


def _write(outputs: Outputs, files: tuple[Path, Path], made: Background, pixels: Image, lines: Sequence[str],
           keywords: Mapping[str, str | float]) -> None:
    for path, data, about_it in (
            (files[0], made.counts, {"HDUNAME": "BKG_IMAGE", "CONTENT": "BKG_IMAGE", "BUNIT": "count"}),
            (files[1], made.ratio, {"HDUNAME": "BKG_RATIO", "CONTENT": "BKG_RATIO"})):
        with outputs.open(path) as file:
            write_image(file, data, product_header(pixels.header, lines, **keywords, **about_it))


def _events_behind(image: str | Path) -> str | None:
    """The name of the events that an image is binned from, without the energies it takes; None for other images."""
    name = named_file(one_of_stack(image))
    if not name.steps or not is_table(name):
        return None
    steps: list[Step] = []
    for step in name.steps:
        if isinstance(step, Binning | Options):
            continue
        if isinstance(step, Filter) and not step.exclude:
            terms = tuple(term for term in step.terms if getattr(term, "column", "") not in _ENERGIES)
            if terms:
                steps.append(Filter(terms, step.exclude))
        else:
            steps.append(step)
    return str(VirtualFile(name.path, tuple(steps)))


def _band(image: Image, components: Sequence[Component], band: str | None) -> Energies:
    """The energies of an image, in eV."""
    conditions = {condition.value for each in components if (condition := each.condition("energy")) is not None}
    everywhere = bool(components) and all(each.condition("energy") for each in components)
    ranges = parse_ranges(conditions.pop()) if everywhere and len(conditions) == 1 else None
    known = ranges[0] if ranges and len(ranges) == 1 and np.isfinite(ranges[0]).all() else None
    if band is None:
        if known is None:
            raise InputError(f"{image.path}: its energies are unknown (no one range of energy in its subspace, DSTYPn "
                             "and DSVALn): give --band, 0.5:7 say")
        return known
    wanted = parse_energies(band)
    if known is not None and known != wanted:
        raise InputError(f"{image.path}: is of {known[0]:g} - {known[1]:g} eV by its subspace, and --band says "
                         f"{wanted[0]:g} - {wanted[1]:g}; leave --band out, or give the image of that band")
    return wanted


def _source_counts(name: str, image: Image | None) -> tuple[Counts, ParticleCounts]:
    """Events of each chip, and those of 9 - 12 keV; `InputError` where their live time is not that of an image."""
    of_chip = np.zeros(_CHIPS, np.int64)
    parsed = named_file(one_of_stack(name))
    terms = [term for step in parsed.filters for term in step.terms]
    if any(isinstance(term, RegionTerm | MaskTerm) or getattr(term, "column", "") in ("x", "y") for term in terms):
        warn(f"{name}: is filtered on the sky: give the blank-sky files the same filter, or their ratio of 9 - 12 keV "
             "is that of another area")
    with open_events(parsed) as file:
        if image is not None:
            headers = image.header, file.hdu.header
            own, other = (str(header.get("OBS_ID", "")).strip().lstrip("0") for header in headers)
            if own and other and own != other:
                raise InputError(f"{name}: is of ObsID {other}, and the image {image.path} of {own}; give its own "
                                 "events")
        particles = ParticleCounts(file, name)
        for block in file.blocks("energy", "ccd_id"):
            chip = block.kept(_checked_chips(block.values["ccd_id"], name))
            of_chip += np.bincount(chip, minlength=_CHIPS)
            particles.add(chip, {"energy": block.kept(block.values["energy"])})
        if not of_chip.any():
            raise InputError(f"{name}: has no events that pass")
        if image is not None and _live_times(file.hdu.header, range(_CHIPS)):
            _check_live_times(image, file.header(), name, np.flatnonzero(of_chip).tolist())
    return of_chip, particles


def _live_times(header: Mapping[str, Any], chips: Collection[int]) -> dict[str, float]:
    """The live times (s) that a header has, of chips and of all."""
    keys = ("EXPOSURE", "LIVETIME", *(f"{key}{chip}" for chip in chips for key in ("EXPOSUR", "LIVTIME")))
    found = {key: header.get(key) for key in keys}
    return {key: float(value) for key, value in found.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)}


def _check_live_times(image: Image, header: Mapping[str, Any], name: str, chips: Collection[int]) -> None:
    """`InputError` where events are of other good times than the image: chip by chip where headers have that."""
    here, there = _live_times(image.header, chips), _live_times(header, chips)
    both = [key for key in here if key in there]
    for key in [key for key in both if key[-1].isdigit()] or both:
        if abs(here[key] - there[key]) > _LIVE_TIMES_AGREE * max(here[key], there[key]):
            raise InputError(f"{name}: {key} is {there[key]:.1f} s after its filters, and {here[key]:.1f} s in "
                             f"{image.path}: the background would be scaled to another exposure; make the image of "
                             "these events, or give events of the image's good times")


def _chips(components: Sequence[Component], of_chip: Counts | None) -> list[int] | None:
    """The chips of the image; None where nobody knows."""
    if of_chip is not None:
        return [int(chip) for chip in np.flatnonzero(of_chip)]
    found: set[int] = set()
    for each in components:
        condition = each.condition("ccd_id")
        ranges = parse_ranges(condition.value) if condition else None
        if not ranges or not np.isfinite(ranges).all():
            return None
        found.update(chip for low, high in ranges for chip in range(int(low), int(high) + 1))
    return sorted(found) or None


def _read_sky(name: str, image: Image, band_ev: Energies, chips: Sequence[int] | None, threads: int) -> _Sky:
    """Reads a blank-sky file once, into an image of each chip."""
    images: dict[int, NDArray[np.int32]] = {}
    ny, nx = image.data.shape
    in_band = 0
    with open_events(name) as file:
        instrument = str(file.hdu.header.get("INSTRUME", "")).strip().upper()
        if instrument not in ("", "ACIS"):
            raise InputError(f"{name}: are events of {instrument}: a blank sky of ACIS is needed")
        with about(file.name.file):
            file.hdu.need(*_COLUMNS)
            to_pixels = pixel_map(ImageCoords.from_events(file.hdu.header), ImageCoords(image.header))
        if limits := _limits(file, band_ev):
            raise InputError(f"{name}: holds {limits} only, and the image those of {band_ev[0]:g}:{band_ev[1]:g} eV; "
                             "give the blank sky without this filter")
        high = ParticleCounts(file, name)
        for block in file.blocks(*_COLUMNS):
            values = block.values
            chip = _checked_chips(values["ccd_id"], name)
            passing = block.flags()
            high.add(chip[passing], {"energy": values["energy"][passing]})
            for number in np.unique(chip[passing]).tolist():
                if chips is not None and number not in chips:
                    continue
                counts = images.setdefault(number, np.zeros((ny, nx), np.int32))
                here = passing & (chip == number) & _in_band(values["energy"], band_ev)
                in_band += int(np.count_nonzero(here))
                x, y = to_pixels(values["x"][here], values["y"][here])
                event_histogram(x, y, x_range=(-0.5, nx - 0.5), y_range=(-0.5, ny - 0.5), shape=(ny, nx),
                                threads=threads, out=counts)
        header = file.hdu.header.copy()
    inside = sum(int(counts.sum(dtype=np.int64)) for counts in images.values())
    return _Sky(name, header, images, high, in_band - inside)


def _limits(file: EventFile, band_ev: Energies) -> str:
    """What a file is limited to by its subspace and filters, where a band is not all among it; else nothing.

    Pulse heights say nothing exact of energies: any limit on them may take events of the band.
    """
    channels = band_channels(band_ev)
    needed = (("energy", band_ev, "energies of {} eV"), ("pi", (channels.start + 1, channels.stop), "channels (pi) {}"),
              ("pha", _ALL_PHA, "pulse heights (pha) {}"))
    for each in file.filter.subspace(read_subspace(file.hdu.header))[0]:
        for column, (first, last), words in needed:
            condition = each.condition(column)
            ranges = parse_ranges(condition.value) if condition else None
            if condition and ranges and not any(low <= first and last <= high for low, high in ranges):
                return words.format(condition.value)
    return ""


def _scale(chip: int, sky: _Sky, source: ParticleCounts | None, image: Image) -> float:
    if source is None and f"BKGSCAL{chip}" in sky.header:
        return chip_scale(chip, sky.header, 0, 0, source="", name=sky.name)
    if source is None:
        raise InputError(f"{sky.name}: has no BKGSCAL{chip} in its header, and counts of 9 - 12 keV to scale it by are "
                         f"not in {image.path}: give the observation's events too (--events)")
    return scale_by_particles(chip, sky.header, source, sky.high)


def _check_chips(chips: Sequence[int] | None, of_chip: Counts | None, scales: dict[int, float],
                 names: Sequence[str], source: str) -> None:
    """Tells of chips of the image that no blank sky covers."""
    if chips is None:
        return
    lacking = [chip for chip in chips if chip not in scales]
    words = ", ".join(map(str, lacking))
    if len(lacking) == len(chips):
        raise InputError(f"{', '.join(names)}: has no events on the chips of {source}, {words}; give the blank sky of "
                         "these chips")
    if lacking and of_chip is not None:
        warn(f"no blank-sky file has events on chips {words}, where {source} has {int(of_chip[lacking].sum())}: they "
             "stay without background")
    elif lacking:
        warn(f"no blank-sky file has events on chips {words} of {source}: they stay without background")


def _in_band(energy: NDArray[Any], band_ev: Energies) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (energy >= band_ev[0]) & (energy < band_ev[1])
    return inside


def _checked_chips(chip: NDArray[Any], name: str) -> NDArray[Any]:
    if (strange := chip[(chip < 0) | (chip >= _CHIPS)]).size:
        raise InputError(f"{name}: an event is of chip {strange[0]} (ccd_id); ACIS has 0 - {_CHIPS - 1}")
    return chip
