"""Backgrounds of images from blank-sky events or a local estimate: an image of counts and one of their scale."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from chandra_bin._checks.paths import FileName, as_path_or_none
from chandra_bin.acis import geometry as acis
from chandra_bin.acis.bands import parse_energies
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError
from chandra_bin.events.reader import open_events
from chandra_bin.fits.headers import is_number, text_of
from chandra_bin.fits.images import Image, product_header, write_image
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.subspace import Component, parse_ranges, read_subspace
from chandra_bin.fits.virtual import Binning, Filter, Name, Step, VirtualFile, named_file, named_files
from chandra_bin.fits.virtual import Options as NameOptions
from chandra_bin.sources.background import UNKNOWN_SKY, Background, ChipScale, sum_backgrounds
from chandra_bin.sources.background import local_background as measure_background
from chandra_bin.sources.local_background import LocalFit, fit_local_background

from ._blanksky import (
    BLANKSKY,
    LOCAL,
    Energies,
    Pixels,
    SourceCounts,
    count_source,
    scaled_sky,
    warn_of_sky_filters,
)
from ._common import about, calib_of, history, mask_values, names_root, read_exposure
from ._own_skies import check_other_file, check_skies
from .inputs import files_of, is_table, plain_name, read_image, read_on_grid, refuse_filled
from .options import MeasuredPart
from .particles import particle_map

if TYPE_CHECKING:
    from astropy.io.fits import Header

_ENERGIES = ("energy", "pi", "pha")
_LIVE_TIMES_AGREE = 0.01
# Keywords of the scales of a background.
_OF_BACKGROUND = re.compile(r"BKG(SCAL|ERR|OBS|SKY|FIL)\d|BKGFERR|BKGS[FE]\d{3}")


@dataclass(frozen=True, eq=False)
class MadeBackground:
    """The background of an image, and its files."""

    background: Background
    counts_file: Path
    ratio_file: Path
    band_ev: Energies | None
    """None for a local estimate."""
    scales: dict[int, ChipScale]
    """Scales by chip; empty for a local estimate."""
    outside: int
    """Number of events of the band and the chips that lie outside the image."""
    measured: float = 0.0
    """Counts in the region of a local estimate; 0 for others."""
    fit: LocalFit | None = None
    """Fit of a local background of particles and sky."""


def background_files(outroot: FileName) -> tuple[Path, Path]:
    """Return ``{outroot}_bkg.img`` and ``{outroot}_bkg_ratio.img``; in a folder where ``outroot`` ends with /."""
    stem = names_root(outroot)
    return Path(f"{stem}bkg.img"), Path(f"{stem}bkg_ratio.img")


def blank_sky_background(image: Name, blanksky: Name | Sequence[Name], outroot: FileName, *,
                         events: Name | SourceCounts | None = None, band: str | None = None, threads: int = 1,
                         clobber: bool = False) -> MadeBackground:
    """Make the background of an image from blank-sky events: an image of raw counts, and an image of their scale.

    Parameters
    ----------
    image : virtual name of an image, or of events with ``[bin ..]``.
    blanksky : virtual names of blank-sky events: all chips in one file, or one chip per file; matched to the image by
        sky coordinates.
    outroot : the files are ``{outroot}_bkg.img`` and ``{outroot}_bkg_ratio.img``.
    events : virtual name of the observation's events, with its chips and good times but no filter of energies: for
        ratios of 9 - 12 keV where a blank-sky header has no BKGSCALn. Or their counts from `blank_sky_events`. None:
        the events that ``image`` is binned from, if any.
    band : energies in keV, ``0.5:7`` or a name that `make_flux_images` takes. None: those of the image's subspace.

    The chips are those of ``events``, or else of the image's subspace (else all). Raises `InputError`, also where the
    live times of ``image`` and ``events`` differ by more than 1 %, and `OutputError`; no file is written then.
    """
    image, names = named_file(image), named_files(blanksky)
    counted = events if isinstance(events, SourceCounts) else None
    source_name = (_events_behind(image) if events is None else
                   events.name if isinstance(events, SourceCounts) else named_file(events))
    files = background_files(outroot)
    inputs = files_of(image, *names, None if events is None else source_name)
    with Outputs(files, inputs=inputs, clobber=clobber) as outputs:
        pixels = refuse_filled(read_image(image))
        with about(pixels.path):
            ImageCoords(pixels.header).need_sky()
        check_skies({image: pixels.header}, [names])
        for name in names:
            check_other_file(name, [] if source_name is None else [source_name])
        components = read_subspace(pixels.header)
        band_ev = _band(pixels, components, band)
        source = None if source_name is None else _source_counts(
            source_name, None if events is None else pixels, counted)
        chips = _chips(components, source)
        shape = cast(tuple[int, int], pixels.data.shape)
        sky = scaled_sky(names, Pixels(str(pixels.path), ImageCoords(pixels.header), shape), [band_ev], chips, source)
        made, outside = sky.background(band_ev, threads=threads)
        lines = history("background", {
            "image": plain_name(image), "blanksky": tuple(names),
            "events": None if source_name is None else plain_name(source_name),
            "band_ev": f"{band_ev[0]:g}:{band_ev[1]:g}",
            **sky.header_entries})
        write_background(outputs, files, made, pixels.header, lines, sky.keywords)
    return MadeBackground(made, *files, band_ev, sky.scales, outside)


def local_background(image: Name, expmap: Name, outroot: FileName, part: MeasuredPart | None = None, *,
                     cluster: FileName | None = None, events: Sequence[Name] = (),
                     particle_ratio: tuple[float, float] | None = None, threads: int = 1,
                     clobber: bool = False) -> MadeBackground:
    """Measure the background in a part of an image, and extend it to the whole image.

    Parameters
    ----------
    image : virtual name of a counts image.
    expmap : its exposure map.
    part : where the background is measured. Either ``part`` or ``cluster`` must be given.
    cluster : region of the cluster, whose outskirts are fitted with the background; needs ``events``.
    events : virtual names of the events of all observations of the image, with its good times and no filter of
        energies: particles (distributed as the exposure time) and the sky (distributed as the exposure map) are fitted
        as two components. None: the whole background is distributed as the exposure map.
    particle_ratio : particle counts in the image's band for one at 9 - 12 keV, and the 1-sigma error. None: free.

    On arrays it is `chandra_bin.local_background`. Raises `InputError` and `OutputError`; no file is written then.
    """
    cluster = as_path_or_none(cluster, "cluster")
    _check_local(image, cluster, events, particle_ratio)
    part = MeasuredPart.or_defaults(part)
    if cluster is None and not any(vars(part).values()):
        raise InputError(f"{image}: state where to measure the background: give a background region (--keep), the "
                         "region of the cluster (--exclude), or a mask")
    files = background_files(outroot)
    image, names = named_file(image), named_files(events)
    with Outputs(files, inputs=files_of(image, expmap, part.mask, *part.exclude, *part.keep, cluster, *names),
                 clobber=clobber) as outputs:
        pixels = refuse_filled(read_image(image))
        exposure = read_exposure(expmap, pixels)
        use = mask_values(pixels, part.mask, False, part.exclude, part.keep)
        inside = None if cluster is None else mask_values(pixels, None, False, [cluster], []) < 1
        fit = None
        keywords: dict[str, str | float] = {"BKGMETH": "local", "BKGTYPE": LOCAL}
        if names:
            particles = particle_map(image, names, threads=threads)
            with about(pixels.path):
                fit = fit_local_background(pixels.data, exposure.data, particles, use < 1, cluster=inside,
                                           particle_ratio=particle_ratio)
            made, measured = fit.background, fit.measured
            keywords |= {"BKGMETH": "local fit", "BKGNPART": fit.particles, "BKGNSKY": fit.sky}
        else:
            with about(pixels.path):
                made = measure_background(pixels.data, exposure.data, use < 1)
            measured = float(np.sum(pixels.data, where=(use >= 1) & (exposure.data > 0) & np.isfinite(pixels.data)))
        lines = history("background", {
            "image": plain_name(image), "expmap": plain_name(expmap), "mask": part.mask,
            "exclude": part.exclude, "keep": part.keep, "cluster": cluster, "events": tuple(names) or None,
            "particle_ratio": None if particle_ratio is None else "{:g} +- {:g}".format(*particle_ratio)})
        write_background(outputs, files, made, pixels.header, lines,
                         {**keywords, "BKGCOUNT": measured, **calib_of(exposure.header)})
    return MadeBackground(made, *files, None, {}, 0, measured, fit)


def _check_local(image: Name, cluster: Path | None, events: Sequence[Name],
                 particle_ratio: tuple[float, float] | None) -> None:
    """Raise `InputError` for arguments of a fit without events, and for a ratio of 0 or below."""
    if not events and (cluster is not None or particle_ratio is not None):
        what = "the region of the cluster" if cluster is not None else "the ratio of particles"
        raise InputError(f"{image}: {what} is used by a fit of particles and sky: give the events of the image's "
                         "observations, too (--events)")
    if particle_ratio is not None and not all(np.isfinite(each) and each > 0 for each in particle_ratio):
        raise InputError("{:g} +- {:g}: a ratio of particles and its error must be above 0".format(*particle_ratio))


def add_backgrounds(outroots: Sequence[FileName], outroot: FileName, *, clobber: bool = False) -> MadeBackground:
    """Add the backgrounds of merged observations, which must be on one grid.

    Parameters
    ----------
    outroots : begins of the names of the observations' backgrounds, which were made for the images
        ``{obsid}_{band}_thresh.img`` of `merge_observations`.
    outroot : begin of the names of the files to write. Counts add, and scales are weighted by counts.

    Raises `InputError` and `OutputError`; no file is written then.
    """
    sets = [background_files(each) for each in outroots]
    files = background_files(outroot)
    with Outputs(files, inputs=files_of(*(file for each in sets for file in each)), clobber=clobber) as outputs:
        if not sets:
            raise InputError("give at least one background to add")
        first = read_image(sets[0][0])
        read = [(read_on_grid(counts, first, "background", of_any=True),
                 read_on_grid(ratio, first, "ratio of the background", of_any=True)) for counts, ratio in sets]
        made = sum_backgrounds([Background(counts.data, ratio.data, *_error_of(counts.header))
                                for counts, ratio in read])
        types = {str(counts.header.get("BKGTYPE", BLANKSKY)) for counts, _ in read}
        lines = history("background", {"add": tuple(Path(each) for each in outroots)})
        write_background(outputs, files, made, first.header, lines, {
            "BKGMETH": "sum", "BKGTYPE": LOCAL if LOCAL in types else BLANKSKY,
            **calib_of(*(each.header for pair in read for each in pair))})
    return MadeBackground(made, *files, None, {}, 0)


def write_background(outputs: Outputs, files: tuple[Path, Path], made: Background, header: "Header",
                     lines: Sequence[str], keywords: Mapping[str, str | float]) -> None:
    """Write the image of background counts and that of their scale.

    ``header`` is that of an image of the same pixels. Its keywords of chips and errors are not copied, since they
    would be those of one observation in a sum.
    BKGFERR is the fractional error of the background, where known. BKGSFnnn and BKGSEnnn, nnn from 001, are the names
    of blank skies and the fractional errors from their counts, which are parts of BKGFERR.
    """
    header = header.copy()
    for key in filter(_OF_BACKGROUND.fullmatch, list(header)):
        del header[key]
    if made.error is not None:
        keywords = {**keywords, "BKGFERR": made.error}
        for n, (sky, error) in enumerate(sorted(made.shared.items()), start=1):
            keywords |= {f"BKGSF{n:03}": sky, f"BKGSE{n:03}": error}
    for path, data, about_it in (
            (files[0], made.counts, {"HDUNAME": "BKG_IMAGE", "CONTENT": "BKG_IMAGE", "BUNIT": "count"}),
            (files[1], made.ratio, {"HDUNAME": "BKG_RATIO", "CONTENT": "BKG_RATIO"})):
        with outputs.open(path) as file:
            write_image(file, data, product_header(header, lines, **keywords, **about_it))


def _error_of(header: Mapping[str, Any]) -> tuple[float | None, dict[str, float]]:
    """Return the error of a background image, and its parts by blank sky, from the keywords of `write_background`."""
    value = header.get("BKGFERR")
    if not is_number(value):
        return None, {}
    numbers = [key[-3:] for key in header if key.startswith("BKGSE") and is_number(header[key])]
    return float(value), {str(header.get(f"BKGSF{n}", UNKNOWN_SKY)): float(header[f"BKGSE{n}"]) for n in numbers}


def _events_behind(name: VirtualFile) -> VirtualFile | None:
    """Return the name of the events that an image is binned from, without filters of energy; None for other images."""
    if not name.steps or not is_table(name):
        return None
    steps: list[Step] = []
    for step in name.steps:
        if isinstance(step, Binning | NameOptions):
            continue
        if isinstance(step, Filter) and not step.exclude:
            terms = tuple(term for term in step.terms if getattr(term, "column", "") not in _ENERGIES)
            if terms:
                steps.append(Filter(terms, step.exclude))
        else:
            steps.append(step)
    return VirtualFile(name.path, tuple(steps))


def _band(image: Image, components: Sequence[Component], band: str | None) -> Energies:
    """Return the energies of an image, in eV."""
    conditions = {condition.value for each in components if (condition := each.condition("energy")) is not None}
    everywhere = bool(components) and all(each.condition("energy") for each in components)
    ranges = parse_ranges(conditions.pop()) if everywhere and len(conditions) == 1 else None
    known = ranges[0] if ranges and len(ranges) == 1 and np.isfinite(ranges[0]).all() else None
    if band is None:
        if known is None:
            raise InputError(f"{image.path}: its energies are unknown (its subspace, DSTYPn and DSVALn, has no single "
                             "range of energy): give --band, such as 0.5:7")
        return known
    wanted = parse_energies(band)
    if known is not None and known != wanted:
        raise InputError(f"{image.path}: is of {known[0]:g} - {known[1]:g} eV by its subspace, but --band is "
                         f"{wanted[0]:g} - {wanted[1]:g}; leave --band out, or give the image of that band")
    return wanted


def _source_counts(name: VirtualFile, image: Image | None, counted: SourceCounts | None) -> SourceCounts:
    """Return the counts of an observation, read unless they were ``counted`` before.

    Raises `InputError` where their live time differs from that of an image.
    """
    warn_of_sky_filters(name)
    with open_events(name) as file:
        if image is not None:
            headers = image.header, file.hdu.header
            own, other = (text_of(header, "OBS_ID").lstrip("0") for header in headers)
            if own and other and own != other:
                raise InputError(f"{name}: is of ObsID {other}, and the image {image.path} of {own}; give its own "
                                 "events")
        source = counted or count_source(file, name)
        if not source.chips:
            raise InputError(f"{name}: has no events that pass")
        if image is not None and _live_times(file.hdu.header, acis.CHIPS):
            _check_live_times(image, file.header(), name, source.chips)
    return source


def _live_times(header: Mapping[str, Any], chips: Collection[int]) -> dict[str, float]:
    """Return the live times (s) of a header, of chips and of the observation."""
    keys = ("EXPOSURE", "LIVETIME", *(f"{key}{chip}" for chip in chips for key in ("EXPOSUR", "LIVTIME")))
    found = {key: header.get(key) for key in keys}
    return {key: float(value) for key, value in found.items() if is_number(value)}


def _check_live_times(image: Image, header: Mapping[str, Any], name: VirtualFile, chips: Collection[int]) -> None:
    """Raise `InputError` where the live times of events and image differ, by chip where headers have these."""
    here, there = _live_times(image.header, chips), _live_times(header, chips)
    both = [key for key in here if key in there]
    for key in [key for key in both if key[-1].isdigit()] or both:
        if abs(here[key] - there[key]) > _LIVE_TIMES_AGREE * max(here[key], there[key]):
            raise InputError(f"{name}: {key} is {there[key]:.1f} s after its filters, but {here[key]:.1f} s in "
                             f"{image.path}: the background would be scaled to another exposure; make the image of "
                             "these events, or give events of the image's good times")


def _chips(components: Sequence[Component], source: SourceCounts | None) -> list[int] | None:
    """Return the chips of the image; None where they are unknown."""
    if source is not None:
        return source.chips
    found: set[int] = set()
    for each in components:
        condition = each.condition("ccd_id")
        ranges = parse_ranges(condition.value) if condition else None
        if not ranges or not np.isfinite(ranges).all():
            return None
        found.update(chip for low, high in ranges for chip in range(int(low), int(high) + 1))
    return sorted(found) or None
