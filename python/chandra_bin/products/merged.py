"""Events of several observations on one tangent plane, and their images, with the names of CIAO's merge_obs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.bands import Band, parse_bands
from chandra_bin.errors import InputError
from chandra_bin.events import (
    add_to_image,
    combined_columns,
    combined_good_times,
    combined_header,
    image_header,
    open_events,
    with_columns,
    with_sky,
)
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
from .events import chosen_columns, with_fields

if TYPE_CHECKING:
    from astropy.io.fits import Header

# Tangent planes farther apart are no mosaic of one object, and at their rims pixels differ in size.
_FARTHEST_DEG = 1.0
_NEEDED = ("x", "y", "energy")
# What an OBS_ID may bring into a file's name.
_UNSAFE = re.compile(r"[^A-Za-z0-9_+-]")
_UNFIT = "ONTIME, LIVETIME, EXPOSURE are sums over observations: make spectra and responses for each observation"
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
          binsize: float = 1.0, clobber: bool = False) -> Merged:
    """Puts the events of observations on one tangent plane, and makes counts images of each and of all.

    Writes into ``outdir``, with the names of CIAO's merge_obs: ``merged_evt.fits``, ``{obsid}_reproj_evt.fits``,
    ``{band}_thresh.img`` and ``{obsid}_{band}_thresh.img``, all images on one grid.

    Parameters
    ----------
    names : event files, virtual names, ``@list`` for those in a list.
    refcoord : the tangent point, ``RA DEC`` (ICRS, degrees or sexagesimal), or a file whose own is taken; None: the
        mean of the observations'.
    bands : see `parse_bands`.
    binsize : sky pixels a pixel of the images.

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
    like = sources[0].coords
    reference = None if refcoord is None else _reference(refcoord, like)
    _check_near(sources, like, reference)
    lines = history("merge", {"infiles": tuple(map(Path, texts)), "refcoord": refcoord, "bands": bands,
                              "binsize": binsize})

    claimed = [outdir / "merged_evt.fits", *(_image_file(outdir, "", band) for band in wanted)]
    for source in sources:
        claimed += [_events_file(outdir, source), *(_image_file(outdir, source.stem, band) for band in wanted)]
    with Outputs(claimed, inputs=files_of(*texts), clobber=clobber) as outputs:
        observations = [made for source in sources if (made := _read(source)) is not None]
        if not observations:
            raise InputError("no event is left to merge: the filters of all files leave none")
        point = reference or mean_point([tangent_point(each.source.coords, like) for each in observations])
        plane = _plane_at(point, like)
        moved = [_move(each, plane) for each in observations]
        grid = _grid_of(observations, plane, binsize)
        for each, was_moved in zip(observations, moved, strict=True):
            each.header = with_sky(each.header, plane, point, grid, moved=was_moved)
            _write_events(outputs, _events_file(outdir, each.source), each, lines)
        whole = _joined(observations)
        counts = {band.label: _write_images(outputs, outdir, observations, whole, band, grid, lines)
                  for band in wanted}
        _move_rows(observations, whole)
        _write_events(outputs, outdir / "merged_evt.fits", whole, [*lines, f"  {_UNFIT}"])
        return Merged(tuple(each.source.obsid for each in observations), sum(map(len, whole.blocks)), point, grid,
                      counts)


def _events_file(outdir: Path, source: _Source) -> Path:
    return outdir / f"{source.stem}_reproj_evt.fits"


def _image_file(outdir: Path, stem: str, band: Band) -> Path:
    return outdir / f"{stem}{'_' if stem else ''}{band.label}_thresh.img"


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
                found[obsid] = _Source(name, obsid, coords)
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
        return _Observation(source, file.primary, header, kept, file.gti_blocks(), heap, blocks)


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


def _write_images(outputs: Outputs, outdir: Path, observations: Sequence[_Observation], whole: _Observation,
                  band: Band, grid: Grid, lines: Sequence[str]) -> int:
    """The image of each observation, and their sum; returns the counts."""
    total = np.zeros(grid.shape, np.int32)
    for each in observations:
        image = np.zeros(grid.shape, np.int32)
        for rows in each.blocks:
            add_to_image(image, grid, each.values(rows, *_NEEDED), band)
        _write_image(outputs, _image_file(outdir, each.source.stem, band), image, each, band, grid, lines)
        total += image
    _write_image(outputs, _image_file(outdir, "", band), total, whole, band, grid, lines)
    return int(total.sum(dtype=np.int64))


def _write_image(outputs: Outputs, path: Path, image: NDArray[np.int32], observation: _Observation, band: Band,
                 grid: Grid, lines: Sequence[str]) -> None:
    header = image_header(observation.header, grid, band)
    with outputs.open(path) as file:
        write_image(file, image, product_header(header, [*lines, f"  {_UNTHRESHOLDED}"], BUNIT="count"))
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
