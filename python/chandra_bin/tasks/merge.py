"""Events of several observations on one tangent plane, and their images, with the names of CIAO's merge_obs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.acis import geometry as acis
from chandra_bin.acis.bands import Band, parse_bands
from chandra_bin.coords.grids import Grid, GridAxis
from chandra_bin.coords.tangent_plane import (
    as_float32,
    mean_point,
    parse_point,
    reproject,
    separation_deg,
    tangent_point,
)
from chandra_bin.coords.wcs import ImageCoords, physical_agree
from chandra_bin.errors import InputError, counted, warn
from chandra_bin.events.columns import coords_of, with_columns
from chandra_bin.events.combined import combined_columns, combined_good_times, combined_header, with_sky
from chandra_bin.events.filters import RowFilter
from chandra_bin.events.gti_files import GtiBlock
from chandra_bin.events.images import add_to_image
from chandra_bin.events.reader import Events, open_events
from chandra_bin.exposure.ancillary import Ancillary, find_ancillary
from chandra_bin.exposure.maps import chip_exposures, outline_box, sum_exposures
from chandra_bin.exposure.psf import check_ecf, psf_map
from chandra_bin.fits.headers import add_history, text_of
from chandra_bin.fits.images import read_image_file
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.tables import Column, Rows, write_empty_primary, write_rows
from chandra_bin.fits.virtual import Block, Columns, VirtualFile, expand_stack, named_file
from chandra_bin.regions import region_bytes

from ._blanksky import ParticleCounts, Pixels, SourceCounts, checked_chips, limits_of, scaled_sky, warn_of_sky_filters
from ._common import about, history, need_memory
from ._fov import fov_region
from ._merged_images import Seen, Total, Wanted, write_images
from ._observed import PLACING, Observed, check_filters, check_instrument, observed, without_removed
from ._parts import labels, obsid_of, same_part
from .copy import chosen_columns, with_fields
from .fluximage import ExposureSettings, check_binsize
from .inputs import files_of, is_table

if TYPE_CHECKING:
    from astropy.io.fits import Header

# Of each observation a file, or several.
BlankSkies = str | Path | Sequence[str | Path | Sequence[str | Path]]

# Tangent planes farther apart are no mosaic of one object, and at their rims pixels differ in size.
_FARTHEST_DEG = 1.0
_NEEDED = ("x", "y", "energy")
_ISLANDS = ("phas", "phas_adj")
# What an OBS_ID may bring into a file's name.
_UNSAFE = re.compile(r"[^A-Za-z0-9_+-]")
_UNFIT = "ONTIME, LIVETIME, EXPOSURE are sums over observations: make spectra and responses for each observation"


@dataclass(frozen=True)
class Merged:
    """What was merged."""

    obsids: tuple[str, ...]
    """As file names have them: parts of one observation are 754e1 and 754e2, or 754_000 and 754_001."""
    events: int
    tangent_deg: tuple[float, float]
    """Right ascension and declination, in the frame of the files."""
    grid: Grid
    counts: dict[str, int]
    """Events in the image of each band, by its label."""
    expected: dict[str, float]
    """How many of these are background, by the blank sky; empty without it."""
    left_out: tuple[str, ...] = ()
    """Columns that are not the same in all files, and so not in ``merged_evt.fits``."""


@dataclass(frozen=True)
class _Source:
    """An observation before its events are read."""

    name: VirtualFile
    label: str
    """OBS_ID, and which part of it this is where there are several."""
    coords: ImageCoords
    header: "Header"
    blanksky: list[str]

    @property
    def stem(self) -> str:
        return _UNSAFE.sub("_", self.label)


@dataclass
class _Observation:
    """An observation and its events."""

    source: _Source
    primary: "Header"
    header: "Header"
    columns: dict[str, Column]
    gti_blocks: list[GtiBlock]
    heap: bytes
    rows: RowFilter
    blocks: list[Rows] = field(default_factory=list)

    def values(self, rows: Rows, *names: str) -> dict[str, NDArray[Any]]:
        return {name: self.columns[name].values(rows) for name in names}

    def reach(self, name: str) -> tuple[float, float]:
        """The least and the greatest of the finite values of a column; infinity, -infinity where there are none."""
        low, high = np.inf, -np.inf
        for rows in self.blocks:
            values = self.values(rows, name)[name]
            low = min(low, float(values.min(initial=np.inf, where=np.isfinite(values))))
            high = max(high, float(values.max(initial=-np.inf, where=np.isfinite(values))))
        return low, high


def merge_observations(names: str | Path | Sequence[str | Path], outdir: Path, *, refcoord: str | None = None,
                       bands: str = "broad", binsize: float = 1.0, exposure: ExposureSettings | None = None,
                       psfecf: float | None = None, blanksky: BlankSkies | None = None, each_events: bool = True,
                       clobber: bool = False) -> Merged:
    """Puts the events of observations on one tangent plane, and makes counts images of each and of all.

    Writes into ``outdir``, with the names of CIAO's merge_obs: ``merged_evt.fits``, ``{obsid}_reproj_evt.fits``,
    ``{band}_thresh.img`` and ``{obsid}_{band}_thresh.img``, all images on one grid; with ``exposure`` also
    ``_thresh.expmap`` and ``_flux.img`` of both, and ``merged.fov``, a region file of all that the chips saw; with
    ``psfecf`` ``_thresh.psfmap``, with ``blanksky`` ``_bkg.img`` and ``_bkg_ratio.img``.

    Parameters
    ----------
    names : event files, virtual names, ``@list`` for those in a list.
    refcoord : the tangent point, ``RA DEC`` (ICRS, degrees or sexagesimal), or a file whose own is taken; None: the
        mean of the observations'.
    bands : as `make_flux_images` has them.
    binsize : sky pixels a pixel of the images.
    exposure : how to make approximate exposure maps, as `make_flux_images` does. Each observation is cut below the
        threshold before the maps are added; flux is the sum of counts over the sum of exposures.
    psfecf : the fraction of a point source within the radii of the PSF maps, which need ``exposure``. Those of all are
        means, weighted with the exposure maps.
    blanksky : the blank-sky events of each observation, in the order of ``names``: a file of all chips, or several
        (``@list``) of one chip each. One ``@list`` alone names those of all observations, a file each. They are put on
        the images and scaled as `blank_sky_background` does; counts add, and ratios are weighted by counts.
    each_events : write the events of each observation, too. Without them events are written once, to
        ``merged_evt.fits``.

    Observations without events, that were given before, with the OBS_ID ``Merged``, and in continuous clocking are
    skipped with a warning. Interleaved exposures and observation intervals of one OBS_ID are merged as parts: their
    files are named ``754e1``, ``754e2`` or ``754_000``, ``754_001``. The rows that pass the filters are in memory all
    at once.

    Raises `InputError` and `OutputError`; no file is written then.
    """
    wanted = parse_bands(bands)
    check_binsize(binsize, exposed=exposure is not None)
    if psfecf is not None:
        check_ecf(psfecf)
        if exposure is None:
            raise InputError("PSF maps are cut and weighted with exposure maps: give --exposure with --psfecf")
    several = [names] if isinstance(names, str | Path) else names
    texts = [text for name in several for text in _names(name)]
    skies = None if blanksky is None else _blank_skies(blanksky, texts)
    sources = _sources([named_file(text) for text in texts], skies or [[] for _ in texts])
    for source in sources if exposure else ():
        check_instrument(source.header, source.name.file)
    _check_obsids(sources)
    like = sources[0].coords
    reference = None if refcoord is None else _reference(refcoord, like)
    _check_near(sources, like, reference)
    lines = history("merge", {
        "infiles": tuple(map(Path, texts)), "refcoord": refcoord, "bands": bands, "binsize": binsize,
        **(exposure.parameters() if exposure else {}), **({} if psfecf is None else {"psfecf": psfecf}),
        **({"blanksky": tuple(Path(name) for each in skies for name in each)} if skies else {})})

    images = Wanted(outdir, exposure, psfecf, skies is not None)
    claimed = [outdir / "merged_evt.fits", *(_events_file(outdir, source) for source in sources if each_events)]
    claimed += [outdir / "merged.fov"] if exposure else []
    claimed += [file for stem in ("", *(source.stem for source in sources)) for band in wanted
                for file in images.files(stem, band)]
    beside = {source.name: find_ancillary(source.name.file, source.header) for source in sources} if exposure else {}
    inputs = files_of(*texts, *(name for each in skies or () for name in each))
    inputs += [file for files in beside.values() for file in files.files]
    with Outputs(claimed, inputs=inputs, clobber=clobber) as outputs:
        observations = [made for source in sources if (made := _read(source, skies is not None)) is not None]
        if not observations:
            raise InputError("no event is left to merge: the filters of all files leave none")
        for each in observations:
            _check_filters(each, wanted, exposure, skies is not None)
        point = reference or mean_point([tangent_point(each.source.coords, like) for each in observations])
        plane = _plane_at(point, like)
        moved = [_move(each, plane) for each in observations]
        grid = _grid_of(observations, plane, binsize)
        for each, was_moved in zip(observations, moved, strict=True):
            each.header = with_sky(each.header, plane, point, grid, moved=was_moved)
            if each_events:
                _write_events(outputs, _events_file(outdir, each.source), each, lines)
        if exposure:
            for each in observations:
                exposure.warn_of_grating(each.header, each.source.name.file)
        hows = [_observed(each, beside[each.source.name]) if exposure else None for each in observations]
        if exposure:
            grid = _grid_of_views(observations, [how for how in hows if how is not None], plane, binsize)
        need_memory(sources[0].name.file, grid.shape, images.bytes_a_pixel(len(wanted)) * grid.x.size * grid.y.size)
        whole, left_out = _joined(observations)
        if exposure:
            _write_fov(outputs, outdir / "merged.fov", hows, grid, plane)
        counts, expected = _write_bands(outputs, observations, hows, whole, plane, grid, images, wanted, lines)
        _move_rows(observations, whole)
        _write_events(outputs, outdir / "merged_evt.fits", whole, [*lines, f"  {_UNFIT}"])
        return Merged(tuple(each.source.label for each in observations), sum(map(len, whole.blocks)), point, grid,
                      counts, expected, left_out)


def _names(given: str | Path) -> list[str]:
    """The names that one stands for. Raises `InputError` for a list of files of which one is not there."""
    names = expand_stack(given)
    for text in names:
        if names != [str(given)] and not named_file(text).file.exists():
            raise InputError(f"{given}: lists {text}, and there is no such file")
    return names


def _events_file(outdir: Path, source: _Source) -> Path:
    return outdir / f"{source.stem}_reproj_evt.fits"


def _blank_skies(given: BlankSkies, texts: Sequence[str]) -> list[list[str]]:
    """The blank-sky files of each observation that is named."""
    each = [[text for name in ([one] if isinstance(one, str | Path) else one) for text in expand_stack(name)]
            for one in ([given] if isinstance(given, str | Path) else given)]
    if len(each) == 1 and len(texts) > 1:
        each = [[name] for name in each[0]]
    if len(each) != len(texts):
        raise InputError(f"{counted(len(texts), 'observation is', 'observations are')} named, and the blank sky of "
                         f"{len(each)} (--blanksky): give it "
                         "once for each, in the same order (a @list where there is a file for each chip), or one "
                         "@list of a file for each observation")
    return each


def _sources(names: Sequence[VirtualFile], skies: Sequence[list[str]]) -> list[_Source]:
    """The observations to merge, from their headers."""
    found: list[_Source] = []
    for name, blanksky in zip(names, skies, strict=True):
        if name.binning is not None:
            raise name.error(name.binning.at, "merge makes the images itself: leave this out, and give --binsize")
        with open_events(_without_filters(name)) as file:
            header = file.hdu.header
            obsid = obsid_of(header)
            same = next((each for each in found if obsid_of(each.header) == obsid and same_part(each.header, header)),
                        None)
            if text_of(header, "READMODE").upper().startswith("CONT"):
                warn(f"{name}: is in continuous clocking mode, which makes no images, and is skipped")
            elif obsid.lower() == "merged":
                warn(f"{name}: is merged already (OBS_ID), and is skipped")
            elif same is not None:
                warn(f"{name}: is of ObsID {obsid}, as {same.name} is, and is skipped: CYCLE and OBI_NUM are the same, "
                     "and the times overlap")
            elif not file.hdu.rows:
                warn(f"{name}: holds no events, and is skipped")
            else:
                if not obsid:
                    raise file.hdu.error("has no OBS_ID, which names the products: set the keyword")
                for column in file.hdu.need(*_NEEDED)[:2]:
                    if column.letter not in "ED" or not column.is_scalar or (column.scale, column.zero) != (1, 0):
                        raise file.hdu.error(f"has a column {column.name} that holds no plain real numbers (1E or 1D)")
                coords = coords_of(file.hdu)
                with about(name.file):
                    coords.need_sky()
                found.append(_Source(name, obsid, coords, header, blanksky))
    if not found:
        raise InputError(f"no observation is left to merge, of {len(names)} given")
    return [replace(source, label=label)
            for source, label in zip(found, labels([each.header for each in found]), strict=True)]


def _without_filters(name: VirtualFile) -> VirtualFile:
    """Filters are for the rows: where only the header is read they would warn once more."""
    return VirtualFile(name.path, tuple(step for step in name.steps if isinstance(step, Block)), name.text)


def _check_obsids(sources: Sequence[_Source]) -> None:
    """Raises `InputError` for a blank sky that says to be of another of the observations."""
    obsids = [obsid_of(source.header).lstrip("0") for source in sources]
    for source, own in zip(sources, obsids, strict=True):
        for sky in source.blanksky:
            with open_events(_without_filters(named_file(sky))) as file:
                obsid = text_of(file.hdu.header, "OBS_ID").lstrip("0")
            if obsid != own and obsid in obsids:
                raise InputError(f"{sky}: is of ObsID {obsid}, and was given for {source.name.file} of {own}: give "
                                 "blank skies in the order of the observations")


def _reference(text: str, like: ImageCoords) -> tuple[float, float]:
    """The tangent point that a user asks for, in the frame of ``like``."""
    name = named_file(text)
    if not name.file.exists():
        return parse_point(text, like)
    if is_table(name):
        with open_events(name, also=(Columns,)) as file:
            coords = coords_of(file.hdu)
    else:
        coords = ImageCoords(read_image_file(name.file, name.block.name if name.block else None).header)
    with about(name.file):
        return tangent_point(coords, like)


def _check_near(sources: Sequence[_Source], like: ImageCoords, reference: tuple[float, float] | None) -> None:
    """Raises `InputError` for observations that are far from each other, or from the tangent point that was given."""
    points = [tangent_point(source.coords, like) for source in sources]
    for i, (one, source) in enumerate(zip(points, sources, strict=True)):
        if reference is not None and separation_deg(one, reference) > _FARTHEST_DEG:
            raise InputError(f"{source.name.file}: its tangent point is {separation_deg(one, reference):.3g} degrees "
                             f"from --refcoord; at most {_FARTHEST_DEG:g} can be merged")
        for two, other in zip(points[:i], sources[:i], strict=True):
            if separation_deg(one, two) > _FARTHEST_DEG:
                raise InputError(f"{source.name.file}: its tangent point is {separation_deg(one, two):.3g} degrees "
                                 f"from that of {other.name.file}; at most {_FARTHEST_DEG:g} can be merged")


def _read(source: _Source, with_chips: bool) -> _Observation | None:
    """The rows that pass; None where none does. ``with_chips``: they must say of which chip they are."""
    name = source.name
    with open_events(name, also=(Columns,)) as file:
        file.need_ev()
        numbers = chosen_columns(name, file)
        columns = list(file.hdu.columns.values())
        if numbers is not None:
            columns = [columns[number] for number in numbers]
        kept = {column.name.lower(): column for column in columns}
        needed = (*_NEEDED, "ccd_id") if with_chips else _NEEDED
        file.hdu.need(*needed)
        if missing := [column for column in needed if column not in kept]:
            raise name.error(name.columns[-1].at, f"merge needs the columns {', '.join(needed)}: keep "
                                                  f"{', '.join(missing)}")
        blocks = []
        for block in file.blocks():
            rows = block.kept(block.rows)
            if len(rows):
                blocks.append(rows if numbers is None else with_fields(rows, numbers))
        heap = file.hdu.heap()
        header = file.header()
        if numbers is not None:
            header = with_columns(header, [number + 1 for number in numbers])
        if not blocks:
            warn(f"{name}: no event passes the filters, and the observation is skipped")
            return None
        return _Observation(source, file.primary, header, kept, file.gti_blocks(), heap, file.filter, blocks)


def _check_filters(observation: _Observation, bands: Sequence[Band], exposure: ExposureSettings | None,
                   background: bool) -> None:
    """Tells where filters have taken events that exposure maps or backgrounds count on."""
    name = observation.source.name
    if exposure is not None:
        check_filters(name, observation.rows, bands)
    if not background:
        return
    warn_of_sky_filters(name)
    for band in bands:
        if limits := limits_of(observation.rows, observation.source.header, (band.low_ev, band.high_ev)):
            raise InputError(f"{name}: holds {limits} only, and its background all of the band {band.label}, "
                             f"{band.low_kev:g} - {band.high_kev:g} keV; do not filter energies")


def _plane_at(point: tuple[float, float], like: ImageCoords) -> ImageCoords:
    """The coordinates of events as they will be: pixels as those of ``like``, around another tangent point."""
    header = like.header.copy()
    header["CRVAL1"], header["CRVAL2"] = point
    return ImageCoords(header)


def _move(observation: _Observation, plane: ImageCoords) -> bool:
    """Puts x and y on the plane, in place; False where they are there already, within 0.01 pixel."""
    coords = observation.source.coords
    if physical_agree(coords, plane):
        return False
    x, y = observation.columns["x"], observation.columns["y"]
    for rows in observation.blocks:
        places = observation.values(rows, "x", "y")
        for column, new in zip((x, y), reproject(coords, plane, places["x"], places["y"]), strict=True):
            rows[column.name] = as_float32(new) if column.letter == "E" else new
    return True


def _grid_of(observations: Sequence[_Observation], plane: ImageCoords, binsize: float) -> Grid:
    """The pixels that hold the events of all. Raises `InputError` that names the event farthest off, where too many."""
    reaches = {name: [(*each.reach(name), each.source.name.file) for each in observations] for name in _NEEDED[:2]}
    for name, reach in reaches.items():
        if not any(low <= high for low, high, _ in reach):
            raise InputError(f"{observations[0].source.name.file}: no event has a place in the sky (column {name})")
    try:
        # One on the last edge needs a pixel above.
        x, y = (GridAxis.around(min(low for low, _, _ in reach), max(high for _, high, _ in reach) + 1e-6 * binsize,
                                binsize) for reach in reaches.values())
        return Grid(x, y)
    except InputError as error:
        tangent = {name: plane.header[f"CRPIX{n}"] for n, name in enumerate(reaches, start=1)}
        _, file, name, end = max((abs(end - tangent[name]), str(file), name, end) for name, reach in reaches.items()
                                 for low, high, file in reach if low <= high for end in (low, high))
        raise InputError(f"{file}: with its event at {name} = {end:.7g}, {error}: [{name}=low:high] behind the file, "
                         f"or --binsize above {binsize:.15g}") from None


def _write_events(outputs: Outputs, path: Path, observation: _Observation, lines: Sequence[str]) -> None:
    header = observation.header.copy()
    add_history(header, lines)
    with outputs.open(path) as file:
        write_empty_primary(file, observation.primary)
        write_rows(file, header, observation.blocks, observation.heap)
        for gti in observation.gti_blocks:
            gti.write(file)


def _counts(observation: _Observation, band: Band, grid: Grid) -> NDArray[np.int32]:
    image = np.zeros(grid.shape, np.int32)
    for rows in observation.blocks:
        add_to_image(image, grid, observation.values(rows, *_NEEDED), band)
    return image


def _observed(observation: _Observation, files: Ancillary) -> Observed:
    """What the chips of an observation saw, on the common plane."""
    names = [name for name in ("x", "y", *PLACING) if name in observation.columns]
    parts = [observation.values(rows, *names) for rows in observation.blocks]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in names}
    times = {block.chip: block.gti for block in observation.gti_blocks}
    return observed(Events(columns, observation.header, times, observation.source.name.file), files)


def _write_bands(outputs: Outputs, observations: Sequence[_Observation], hows: Sequence[Observed | None],
                 whole: _Observation, plane: ImageCoords, grid: Grid, wanted: Wanted, bands: Sequence[Band],
                 lines: Sequence[str]) -> tuple[dict[str, int], dict[str, float]]:
    """Writes all images; the counts in those of all, and their background, by the labels of the bands."""
    totals = {band: Total(grid, wanted) for band in bands}
    for each, how in zip(observations, hows, strict=True):
        seen = _seen(each, how, plane, grid, wanted, bands)
        for band, total in totals.items():
            of_one = seen.images(_counts(each, band, grid), band, wanted.exposure)
            write_images(outputs, wanted, each.source.stem, of_one, band, grid, each.header, each.gti_blocks, lines)
            total.add(of_one)
    counts, expected = {}, {}
    for band, total in totals.items():
        of_all = total.images(band)
        write_images(outputs, wanted, "", of_all, band, grid, whole.header, whole.gti_blocks, lines)
        counts[band.label] = int(of_all.counts.sum(dtype=np.int64))
        if of_all.background is not None:
            expected[band.label] = float(of_all.background.expected.sum())
    return counts, expected


def _seen(observation: _Observation, how: Observed | None, plane: ImageCoords, grid: Grid, wanted: Wanted,
          bands: Sequence[Band]) -> Seen:
    """Exposure, PSF and blank sky of an observation on the grid."""
    source = observation.source
    sky = None
    if wanted.background:
        pixels = Pixels(f"the image of {source.name.file}", _coords_of(grid, plane), grid.shape)
        counted = _source_counts(observation)
        sky = scaled_sky(source.blanksky, pixels, [(band.low_ev, band.high_ev) for band in bands],
                         counted.chips, counted)
    if how is None or wanted.exposure is None:
        return Seen(source.name.file, sky=sky)
    seconds = sum_exposures(chip_exposures(how.views, grid, how.axis, slope=wanted.exposure.used_slope), grid)
    # Filters on the sky have taken the events.
    seconds = without_removed(seconds, grid, observation.rows, lambda x, y: reproject(plane, source.coords, x, y))
    radii = None if wanted.psfecf is None else psf_map(grid, how.axis, ecf=wanted.psfecf)
    return Seen(source.name.file, seconds, radii, how.keywords, how.notes, sky)


def _source_counts(observation: _Observation) -> SourceCounts:
    """Events by chip, and those of 9 - 12 keV."""
    name = str(observation.source.name)
    particles = ParticleCounts(observation.rows, observation.source.header, name)
    of_chip = np.zeros(acis.CHIP_COUNT, np.int64)
    for rows in observation.blocks:
        values = observation.values(rows, "ccd_id", "energy")
        chip = checked_chips(values["ccd_id"], name)
        of_chip += np.bincount(chip, minlength=acis.CHIP_COUNT)
        particles.add(chip, values)
    return SourceCounts(name, of_chip, particles)


def _coords_of(grid: Grid, plane: ImageCoords) -> ImageCoords:
    header = plane.header.copy()
    grid.put_into(header, plane)
    return ImageCoords(header)


def _grid_of_views(observations: Sequence[_Observation], hows: Sequence[Observed], plane: ImageCoords,
                   binsize: float) -> Grid:
    """All that the chips saw, as far as filters leave it."""
    boxes = []
    for each, how in zip(observations, hows, strict=True):
        box = outline_box(how.views)
        limits = np.array([each.rows.limits("x"), each.rows.limits("y")])
        if np.isfinite(limits).any():
            there = np.stack(reproject(plane, each.source.coords, *_rim(box)))
            low, high = np.maximum(there.min(axis=1), limits[:, 0]), np.minimum(there.max(axis=1), limits[:, 1])
            if not (low < high).all():
                raise InputError(f"{each.source.name}: the filters leave nothing of what the chips saw")
            back = np.stack(reproject(each.source.coords, plane, *_rim(np.stack([low, high], axis=1))))
            box = np.stack([np.maximum(back.min(axis=1), box[:, 0]), np.minimum(back.max(axis=1), box[:, 1])], axis=1)
        boxes.append(box)
    low, high = np.min(boxes, axis=0)[:, 0], np.max(boxes, axis=0)[:, 1]
    x, y = (GridAxis.around(float(first), float(last), binsize) for first, last in zip(low, high, strict=True))
    return Grid(x, y)


def _write_fov(outputs: Outputs, path: Path, hows: Sequence[Observed | None], grid: Grid, plane: ImageCoords) -> None:
    """Writes what the chips of all observations saw as a region file: polygons joined by OR."""
    region = fov_region([view for how in hows if how is not None for view in how.views], path.name)
    outputs.write(path, region_bytes(region, _coords_of(grid, plane), format="fits"))


def _rim(box: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points around the rim of a box ((x0, x1), (y0, y1))."""
    way = np.linspace(0, 1, 33)
    along, across = (np.concatenate([way, way, np.zeros(33), np.ones(33)]),
                     np.concatenate([np.zeros(33), np.ones(33), way, way]))
    (x0, x1), (y0, y1) = box
    return x0 + along * (x1 - x0), y0 + across * (y1 - y0)


def _joined(observations: Sequence[_Observation]) -> tuple[_Observation, tuple[str, ...]]:
    """All observations as one that has no rows yet: keywords, good times, and the columns that all have.

    Also returns the columns that are left out.
    """
    first = observations[0]
    names = combined_columns([each.columns for each in observations])
    lost = [name for name in _NEEDED[:2] if name not in names]
    if lost:
        raise InputError(f"{first.source.name.file}: the column {lost[0]} is of another type than in the other files")
    left_out = tuple(dict.fromkeys(name for each in observations for name in each.columns if name not in names))
    # Islands of FAINT and VFAINT events differ in size, and no product of a merger needs them.
    if odd := [name for name in left_out if name not in _ISLANDS]:
        warn(f"the columns {', '.join(odd)} are not in all files, or not of one type, and are not in merged_evt.fits")
    header = combined_header([each.header for each in observations])
    header = with_columns(header, [list(first.columns).index(name) + 1 for name in names])
    times = combined_good_times([{block.chip: block.gti for block in each.gti_blocks} for each in observations])
    primary = combined_header([each.primary for each in observations])
    if left_out:
        add_history(header, [f"merge: columns that are not the same in all files were left out: {', '.join(left_out)}"])
    return replace(first, primary=primary, header=header, blocks=[],
                   columns={name: first.columns[name] for name in names}, heap=b"",
                   gti_blocks=[GtiBlock(header, chip, gti) for chip, gti in times.items()]), left_out


def _move_rows(observations: Sequence[_Observation], whole: _Observation) -> None:
    """Takes the rows of all, cut to the columns of ``whole``, over to it."""
    for each in observations:
        numbers = [list(each.columns).index(name) for name in whole.columns]
        all_of_it = numbers == list(range(len(each.columns)))
        while each.blocks:  # each goes when it is copied
            block = each.blocks.pop(0)
            whole.blocks.append(block if all_of_it else with_fields(block, numbers))
