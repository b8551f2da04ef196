"""Events of several observations on one tangent plane, and their images, with the names of CIAO's merge_obs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.ancillary import Ancillary, find_ancillary
from chandra_bin.bands import Band, parse_bands
from chandra_bin.errors import InputError
from chandra_bin.events import (
    Events,
    RowFilter,
    add_to_image,
    combined_columns,
    combined_good_times,
    combined_header,
    image_header,
    open_events,
    with_columns,
    with_sky,
)
from chandra_bin.exposure import Float32s, chip_exposures, outline_box, sum_exposures
from chandra_bin.grids import Grid, GridAxis
from chandra_bin.gti_files import GtiBlock
from chandra_bin.headers import add_history
from chandra_bin.images import product_header, read_image_file, write_image
from chandra_bin.inputs import files_of, is_table
from chandra_bin.outputs import Outputs
from chandra_bin.reproject import as_float32, mean_point, parse_point, reproject, separation_deg, tangent_point
from chandra_bin.tables import Column, Rows, write_empty_primary, write_rows
from chandra_bin.virtual import Block, Columns, VirtualFile, expand_stack, named_file
from chandra_bin.wcs import ImageCoords, physical_agree

from ._common import about, history, warn
from ._observed import PLACING, Observed, check_filters, check_instrument, observed, without_removed
from .events import chosen_columns, with_fields
from .fluximage import ExposureSettings, above_threshold, write_maps

if TYPE_CHECKING:
    from astropy.io.fits import Header

# Tangent planes farther apart are no mosaic of one object, and at their rims pixels differ in size.
_FARTHEST_DEG = 1.0
_NEEDED = ("x", "y", "energy")
# What an OBS_ID may bring into a file's name.
_UNSAFE = re.compile(r"[^A-Za-z0-9_+-]")
_UNFIT = "ONTIME, LIVETIME, EXPOSURE are sums over observations: make spectra and responses for each observation"
# Images of a band: counts, exposure, and their quotient.
_KINDS = ("thresh.img", "thresh.expmap", "flux.img")
_UNTHRESHOLDED = "no exposure map: no threshold was applied, pixels are the counts"


@dataclass(frozen=True)
class Merged:
    """What was merged."""

    obsids: tuple[str, ...]
    events: int
    tangent_deg: tuple[float, float]
    """Right ascension and declination, in the frame of the files."""
    grid: Grid
    counts: dict[str, int]
    """Events in the image of each band, by its label."""


@dataclass(frozen=True)
class _Source:
    """An observation before its events are read."""

    name: VirtualFile
    obsid: str
    coords: ImageCoords
    header: "Header"

    @property
    def stem(self) -> str:
        return _UNSAFE.sub("_", self.obsid)


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


def merge(names: str | Path | Sequence[str | Path], outdir: Path, *, refcoord: str | None = None, bands: str = "broad",
          binsize: float = 1.0, exposure: ExposureSettings | None = None, clobber: bool = False) -> Merged:
    """Puts the events of observations on one tangent plane, and makes counts images of each and of all.

    Writes into ``outdir``, with the names of CIAO's merge_obs: ``merged_evt.fits``, ``{obsid}_reproj_evt.fits``,
    ``{band}_thresh.img`` and ``{obsid}_{band}_thresh.img``, all images on one grid; with ``exposure`` also
    ``_thresh.expmap`` and ``_flux.img`` of both.

    Parameters
    ----------
    names : event files, virtual names, ``@list`` for those in a list.
    refcoord : the tangent point, ``RA DEC`` (ICRS, degrees or sexagesimal), or a file whose own is taken; None: the
        mean of the observations'.
    bands : see `parse_bands`.
    binsize : sky pixels a pixel of the images.
    exposure : how to make approximate exposure maps, as `fluximage` does. Each observation is cut below the threshold
        before the maps are added; flux is the sum of counts over the sum of exposures.

    Observations without events, with an OBS_ID that came before or is ``Merged``, and in continuous clocking are
    skipped with a warning. The rows that pass the filters are in memory all at once.

    Raises `InputError` and `OutputError`; no file is written then.
    """
    wanted = parse_bands(bands)
    if not (np.isfinite(binsize) and binsize > 0):
        raise InputError(f"pixels of {binsize:g} are none: give a positive --binsize")
    several = [names] if isinstance(names, str | Path) else names
    texts = [text for name in several for text in expand_stack(name)]
    sources = _sources([named_file(text) for text in texts])
    for source in sources if exposure else ():
        check_instrument(source.header, source.name.file)
    like = sources[0].coords
    reference = None if refcoord is None else _reference(refcoord, like)
    _check_near(sources, like, reference)
    lines = history("merge", {"infiles": tuple(map(Path, texts)), "refcoord": refcoord, "bands": bands,
                              "binsize": binsize, **(exposure.parameters() if exposure else {})})

    kinds = _KINDS if exposure else _KINDS[:1]
    claimed = [outdir / "merged_evt.fits"]
    for stem in ("", *(source.stem for source in sources)):
        claimed += [_image_file(outdir, stem, band, kind) for band in wanted for kind in kinds]
    claimed += [_events_file(outdir, source) for source in sources]
    beside = {source.name: find_ancillary(source.name.file, source.header) for source in sources} if exposure else {}
    inputs = [*files_of(*texts), *(file for files in beside.values() for file in files.files)]
    with Outputs(claimed, inputs=inputs, clobber=clobber) as outputs:
        observations = [made for source in sources if (made := _read(source)) is not None]
        if not observations:
            raise InputError("no event is left to merge: the filters of all files leave none")
        for each in observations if exposure else ():
            check_filters(each.source.name, each.rows, wanted)
        point = reference or mean_point([tangent_point(each.source.coords, like) for each in observations])
        plane = _plane_at(point, like)
        moved = [_move(each, plane) for each in observations]
        grid = _grid_of(observations, plane, binsize)
        for each, was_moved in zip(observations, moved, strict=True):
            each.header = with_sky(each.header, plane, point, grid, moved=was_moved)
            _write_events(outputs, _events_file(outdir, each.source), each, lines)
        hows = [_observed(each, beside[each.source.name]) if exposure else None for each in observations]
        if exposure:
            grid = _grid_of_views(observations, [how for how in hows if how is not None], plane, binsize)
        whole = _joined(observations)
        totals = {band: _Total.of(grid, exposure) for band in wanted}
        for each, how in zip(observations, hows, strict=True):
            seconds = None if how is None or exposure is None else _seconds(each, how, plane, grid, exposure)
            for band, total in totals.items():
                image = _counts(each, band, grid)
                about = _Exposed.of(each, seconds, how, band, exposure)
                _write_images(outputs, outdir, each.source.stem, image, about, each, band, grid, lines)
                total.add(image, about)
        for band, total in totals.items():
            about = None if exposure is None else total.exposed(exposure, band)
            _write_images(outputs, outdir, "", total.image, about, whole, band, grid, lines)
        counts = {band.label: int(total.image.sum(dtype=np.int64)) for band, total in totals.items()}
        _move_rows(observations, whole)
        _write_events(outputs, outdir / "merged_evt.fits", whole, [*lines, f"  {_UNFIT}"])
        return Merged(tuple(each.source.obsid for each in observations), sum(map(len, whole.blocks)), point, grid,
                      counts)


def _events_file(outdir: Path, source: _Source) -> Path:
    return outdir / f"{source.stem}_reproj_evt.fits"


def _image_file(outdir: Path, stem: str, band: Band, kind: str) -> Path:
    return outdir / f"{stem}{'_' if stem else ''}{band.label}_{kind}"


def _sources(names: Sequence[VirtualFile]) -> list[_Source]:
    """The observations to merge, from their headers."""
    found: dict[str, _Source] = {}
    for name in names:
        if name.binning is not None:
            raise name.error(name.binning.at, "merge makes the images itself: leave this out, and give --binsize")
        # The filters are for the rows: here they would only warn once more.
        blocks = tuple(step for step in name.steps if isinstance(step, Block))
        with open_events(VirtualFile(name.path, blocks, name.text)) as file:
            header = file.hdu.header
            obsid = str(header.get("OBS_ID", "")).strip()
            if str(header.get("READMODE", "")).strip().upper().startswith("CONT"):
                warn(f"{name}: is in continuous clocking mode, which makes no images, and is skipped")
            elif obsid.lower() == "merged":
                warn(f"{name}: is merged already (OBS_ID), and is skipped")
            elif obsid in found:
                warn(f"{name}: is of ObsID {obsid}, as {found[obsid].name} is, and is skipped")
            elif not file.hdu.rows:
                warn(f"{name}: holds no events, and is skipped")
            else:
                if not obsid:
                    raise file.hdu.error("has no OBS_ID, which names the products: set the keyword")
                for column in file.hdu.need(*_NEEDED)[:2]:
                    if column.letter not in "ED" or not column.is_scalar or (column.scale, column.zero) != (1, 0):
                        raise file.hdu.error(f"has a column {column.name} that holds no plain real numbers (1E or 1D)")
                coords = ImageCoords.from_events(header)
                with about(name.file):
                    coords.need_sky()
                found[obsid] = _Source(name, obsid, coords, header)
    if not found:
        raise InputError(f"no observation is left to merge, of {len(names)} given")
    return list(found.values())


def _reference(text: str, like: ImageCoords) -> tuple[float, float]:
    """The tangent point that a user asks for, in the frame of ``like``."""
    name = named_file(text)
    if not name.file.exists():
        return parse_point(text, like)
    if is_table(name):
        with open_events(name, also=(Columns,)) as file:
            coords = ImageCoords.from_events(file.hdu.header)
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


def _read(source: _Source) -> _Observation | None:
    """The rows that pass; None where none does."""
    name = source.name
    with open_events(name, also=(Columns,)) as file:
        file.need_ev()
        numbers = chosen_columns(name, file)
        columns = list(file.hdu.columns.values())
        if numbers is not None:
            columns = [columns[number] for number in numbers]
        kept = {column.name.lower(): column for column in columns}
        if missing := [column for column in _NEEDED if column not in kept]:
            raise name.error(name.columns[-1].at, f"merge needs the columns {', '.join(_NEEDED)}: keep "
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
                         f"or --binsize above {binsize:g}") from None


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


def _seconds(observation: _Observation, how: Observed, plane: ImageCoords, grid: Grid,
             settings: ExposureSettings) -> Float32s:
    """Seconds of exposure on the grid, none where filters on the sky have taken the events."""
    seconds = sum_exposures(chip_exposures(how.views, grid, how.axis, slope=settings.used_slope), grid)
    return without_removed(seconds, grid, observation.rows,
                           lambda x, y: reproject(plane, observation.source.coords, x, y))


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


def _rim(box: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points around the rim of a box ((x0, x1), (y0, y1))."""
    way = np.linspace(0, 1, 33)
    along, across = (np.concatenate([way, way, np.zeros(33), np.ones(33)]),
                     np.concatenate([np.zeros(33), np.ones(33), way, way]))
    (x0, x1), (y0, y1) = box
    return x0 + along * (x1 - x0), y0 + across * (y1 - y0)


@dataclass(frozen=True, eq=False)
class _Exposed:
    """The exposure map of an image, and what headers say of it."""

    exposure: Float32s
    settings: ExposureSettings
    keywords: dict[str, Any]
    notes: list[str]

    @classmethod
    def of(cls, observation: _Observation, seconds: Float32s | None, how: Observed | None, band: Band,
           settings: ExposureSettings | None) -> "_Exposed | None":
        """None without exposure."""
        if seconds is None or how is None or settings is None:
            return None
        exposure, _ = above_threshold(seconds, band, settings, observation.source.name.file)
        return cls(exposure, settings, {**settings.keywords(band), **how.keywords}, [settings.note(), *how.notes])


@dataclass
class _Total:
    """The sums of a band over observations."""

    image: NDArray[np.int32]
    exposure: Float32s | None

    @classmethod
    def of(cls, grid: Grid, exposure: ExposureSettings | None) -> "_Total":
        return cls(np.zeros(grid.shape, np.int32), None if exposure is None else np.zeros(grid.shape, np.float32))

    def add(self, image: NDArray[np.int32], about: _Exposed | None) -> None:
        """Adds an observation; ``image`` is cut already."""
        self.image += image
        if about is not None and self.exposure is not None:
            self.exposure += about.exposure

    def exposed(self, settings: ExposureSettings, band: Band) -> _Exposed:
        assert self.exposure is not None
        note = "sum of the observations' maps, each cut below its threshold; flux is sum of counts / sum of exposures"
        return _Exposed(self.exposure, settings, settings.keywords(band), [settings.note(), note])


def _write_images(outputs: Outputs, outdir: Path, stem: str, image: NDArray[np.int32], about: _Exposed | None,
                  observation: _Observation, band: Band, grid: Grid, lines: Sequence[str]) -> None:
    """Image, and exposure map and flux where there is exposure; the image is set to 0 where there is none."""
    header = image_header(observation.header, grid, band)
    if about is None:
        history_lines = [*lines, f"  {_UNTHRESHOLDED}"]
    else:
        history_lines = [*lines, *(f"  {note}" for note in about.notes)]
        image[about.exposure == 0] = 0
        expmap, flux = (_image_file(outdir, stem, band, kind) for kind in _KINDS[1:])
        write_maps(outputs, expmap, flux, image, about.exposure, header, history_lines, about.settings, about.keywords)
    made = product_header(header, history_lines, BUNIT="count", **({"CALIB": "APPROX"} if about else {}))
    with outputs.open(_image_file(outdir, stem, band, _KINDS[0])) as file:
        write_image(file, image, made)
        for gti in observation.gti_blocks:
            gti.write(file)


def _joined(observations: Sequence[_Observation]) -> _Observation:
    """All observations as one that has no rows yet: keywords, good times, and the columns that all have."""
    first = observations[0]
    names = combined_columns([each.columns for each in observations])
    lost = [name for name in _NEEDED[:2] if name not in names]
    if lost:
        raise InputError(f"{first.source.name.file}: the column {lost[0]} is of another type than in the other files")
    left_out = dict.fromkeys(name for each in observations for name in each.columns if name not in names)
    if left_out:
        warn(f"the columns {', '.join(left_out)} are not in all files, or not of one type, and are not in "
             "merged_evt.fits")
    header = combined_header([each.header for each in observations])
    header = with_columns(header, [list(first.columns).index(name) + 1 for name in names])
    times = combined_good_times([{block.chip: block.gti for block in each.gti_blocks} for each in observations])
    primary = combined_header([each.primary for each in observations])
    return replace(first, primary=primary, header=header, blocks=[],
                   columns={name: first.columns[name] for name in names}, heap=b"",
                   gti_blocks=[GtiBlock(header, chip, gti) for chip, gti in times.items()])


def _move_rows(observations: Sequence[_Observation], whole: _Observation) -> None:
    """Takes the rows of all, cut to the columns of ``whole``, over to it."""
    for each in observations:
        numbers = [list(each.columns).index(name) for name in whole.columns]
        all_of_it = numbers == list(range(len(each.columns)))
        while each.blocks:  # each goes when it is copied
            block = each.blocks.pop(0)
            whole.blocks.append(block if all_of_it else with_fields(block, numbers))
