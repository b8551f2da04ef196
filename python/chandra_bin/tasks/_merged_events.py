"""The observations of a merge with their events, moved to one plane, and the grid of their images."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.coords.grids import Grid, GridAxis
from chandra_bin.coords.tangent_plane import as_float32, reproject
from chandra_bin.coords.wcs import ImageCoords, physical_agree
from chandra_bin.errors import InputError, warn
from chandra_bin.events.columns import with_columns
from chandra_bin.events.combined import combined_columns, combined_good_times, combined_header
from chandra_bin.events.filters import RowFilter
from chandra_bin.events.gti_files import GtiBlock
from chandra_bin.events.reader import Events, open_events
from chandra_bin.exposure.ancillary import Ancillary
from chandra_bin.exposure.maps import outline_box
from chandra_bin.fits.headers import add_history
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.tables import Column, Rows, write_empty_primary, write_rows
from chandra_bin.fits.virtual import Columns, VirtualFile

from ._observed import PLACING, Observed, observed
from .copy import chosen_columns, with_fields

if TYPE_CHECKING:
    from astropy.io.fits import Header

NEEDED = ("x", "y", "energy")
_ISLANDS = ("phas", "phas_adj")
# Characters that an OBS_ID may add to the name of a file.
_UNSAFE = re.compile(r"[^A-Za-z0-9_+-]")


@dataclass(frozen=True)
class Source:
    """An observation before its events are read."""

    name: VirtualFile
    label: str
    """OBS_ID, followed by the part of the observation where there are several."""
    coords: ImageCoords
    header: "Header"
    blanksky: list[VirtualFile]

    @property
    def stem(self) -> str:
        return _UNSAFE.sub("_", self.label)


@dataclass
class Observation:
    """An observation and its events."""

    source: Source
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
        """Return the least and greatest finite value of a column; infinity, -infinity without finite values."""
        low, high = np.inf, -np.inf
        for rows in self.blocks:
            values = self.values(rows, name)[name]
            low = min(low, float(values.min(initial=np.inf, where=np.isfinite(values))))
            high = max(high, float(values.max(initial=-np.inf, where=np.isfinite(values))))
        return low, high

    def move(self, plane: ImageCoords) -> bool:
        """Move x and y to the plane, in place; return False where they are there already, within 0.01 pixel."""
        coords = self.source.coords
        if physical_agree(coords, plane):
            return False
        x, y = self.columns["x"], self.columns["y"]
        for rows in self.blocks:
            places = self.values(rows, "x", "y")
            for column, new in zip((x, y), reproject(coords, plane, places["x"], places["y"]), strict=True):
                rows[column.name] = as_float32(new) if column.letter == "E" else new
        return True

    def write(self, outputs: Outputs, path: Path, lines: Sequence[str]) -> None:
        """Write the events with their GTIs; ``lines`` are added to HISTORY."""
        header = self.header.copy()
        add_history(header, lines)
        with outputs.open(path) as file:
            write_empty_primary(file, self.primary)
            write_rows(file, header, self.blocks, self.heap)
            for gti in self.gti_blocks:
                gti.write(file)

    def observed(self, files: Ancillary) -> Observed:
        """Return what the chips of the observation saw, on the common plane."""
        names = [name for name in ("x", "y", *PLACING) if name in self.columns]
        parts = [self.values(rows, *names) for rows in self.blocks]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in names}
        times = {block.chip: block.gti for block in self.gti_blocks}
        return observed(Events(columns, self.header, times, self.source.name.file), files)


def read_observation(source: Source, with_chips: bool) -> Observation | None:
    """Read the rows that pass; None if no row passes. ``with_chips`` requires the column of chips."""
    name = source.name
    with open_events(name, also=(Columns,)) as file:
        file.need_ev()
        numbers = chosen_columns(name, file)
        columns = list(file.hdu.columns.values())
        if numbers is not None:
            columns = [columns[number] for number in numbers]
        kept = {column.name.lower(): column for column in columns}
        needed = (*NEEDED, "ccd_id") if with_chips else NEEDED
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
            warn(f"{name}: no event passes the filters: the observation is skipped")
            return None
        return Observation(source, file.primary, header, kept, file.gti_blocks(), heap, file.filter, _together(blocks))


def _together(blocks: list[Rows]) -> list[Rows]:
    """Return the blocks in one piece of memory, which returns to the system when the last of them is released."""
    ends = np.cumsum([len(block) for block in blocks]).tolist()
    rows = np.empty(ends[-1], blocks[0].dtype)  # in the byte order of the file
    whole = f"V{rows.dtype.itemsize}"  # numpy copies rows with fields field by field
    np.concatenate([block.view(whole) for block in blocks], out=rows.view(whole))
    return [rows[end - len(block):end] for block, end in zip(blocks, ends, strict=True)]


def joined(observations: Sequence[Observation]) -> tuple[Observation, tuple[str, ...]]:
    """Return the merged observation without rows: keywords, GTIs, and the columns that all observations have.

    Also return the columns that are left out.
    """
    first = observations[0]
    names = combined_columns([each.columns for each in observations])
    lost = [name for name in NEEDED[:2] if name not in names]
    if lost:
        raise InputError(f"{first.source.name.file}: the column {lost[0]} has a different type in the other files")
    left_out = tuple(dict.fromkeys(name for each in observations for name in each.columns if name not in names))
    # Islands of FAINT and VFAINT events differ in size, and no product of a merge needs them.
    if odd := [name for name in left_out if name not in _ISLANDS]:
        warn(f"the columns {', '.join(odd)} are missing in some files or differ in type: merged_evt.fits omits them")
    header = combined_header([each.header for each in observations])
    header = with_columns(header, [list(first.columns).index(name) + 1 for name in names])
    times = combined_good_times([{block.chip: block.gti for block in each.gti_blocks} for each in observations])
    primary = combined_header([each.primary for each in observations])
    if left_out:
        add_history(header, [f"merge: columns that are not the same in all files were left out: {', '.join(left_out)}"])
    return replace(first, primary=primary, header=header, blocks=[],
                   columns={name: first.columns[name] for name in names}, heap=b"",
                   gti_blocks=[GtiBlock(header, chip, gti) for chip, gti in times.items()]), left_out


def move_rows(observations: Sequence[Observation], whole: Observation, needed: Sequence[str]) -> None:
    """Move the rows of all observations, with the columns of ``whole``, to it; each keeps the columns ``needed``."""
    for each in observations:
        names = list(each.columns)
        numbers = [names.index(name) for name in whole.columns]
        left = [names.index(name) for name in needed]
        all_of_it = numbers == list(range(len(names)))
        for place, block in enumerate(each.blocks):
            whole.blocks.append(block if all_of_it else with_fields(block, numbers))
            each.blocks[place] = with_fields(block, left)
        each.columns = {name: each.columns[name] for name in needed}


def plane_at(point: tuple[float, float], like: ImageCoords) -> ImageCoords:
    """Return coordinates of merged events: pixels like those of ``like``, around another tangent point."""
    header = like.header.copy()
    header["CRVAL1"], header["CRVAL2"] = point
    return ImageCoords(header)


def grid_of(observations: Sequence[Observation], plane: ImageCoords, binsize: float) -> Grid:
    """Return the grid that holds all events. Raises `InputError` for too many pixels, and names the farthest event."""
    reaches = {name: [(*each.reach(name), each.source.name.file) for each in observations] for name in NEEDED[:2]}
    for name, reach in reaches.items():
        if not any(low <= high for low, high, _ in reach):
            raise InputError(f"{observations[0].source.name.file}: no event has finite sky coordinates (column {name})")
    try:
        # An event on the last edge needs a pixel above.
        x, y = (GridAxis.around(min(low for low, _, _ in reach), max(high for _, high, _ in reach) + 1e-6 * binsize,
                                binsize) for reach in reaches.values())
        return Grid(x, y)
    except InputError as error:
        tangent = {name: plane.header[f"CRPIX{n}"] for n, name in enumerate(reaches, start=1)}
        _, file, name, end = max((abs(end - tangent[name]), str(file), name, end) for name, reach in reaches.items()
                                 for low, high, file in reach if low <= high for end in (low, high))
        raise InputError(f"{file}: with its event at {name} = {end:.7g}, {error}: add [{name}=low:high] to the name "
                         f"of the file, or give --binsize above {binsize:.15g}") from None


def grid_of_views(observations: Sequence[Observation], hows: Sequence[Observed], plane: ImageCoords,
                   binsize: float) -> Grid:
    """Return the grid of all that the chips saw, within the filters."""
    boxes = []
    for each, how in zip(observations, hows, strict=True):
        box = outline_box(how.views)
        limits = np.array([each.rows.limits("x"), each.rows.limits("y")])
        if np.isfinite(limits).any():
            there = np.stack(reproject(plane, each.source.coords, *_rim(box)))
            low, high = np.maximum(there.min(axis=1), limits[:, 0]), np.minimum(there.max(axis=1), limits[:, 1])
            if not (low < high).all():
                raise InputError(f"{each.source.name}: the filters exclude all that the chips saw")
            back = np.stack(reproject(each.source.coords, plane, *_rim(np.stack([low, high], axis=1))))
            box = np.stack([np.maximum(back.min(axis=1), box[:, 0]), np.minimum(back.max(axis=1), box[:, 1])], axis=1)
        boxes.append(box)
    low, high = np.min(boxes, axis=0)[:, 0], np.max(boxes, axis=0)[:, 1]
    x, y = (GridAxis.around(float(first), float(last), binsize) for first, last in zip(low, high, strict=True))
    return Grid(x, y)


def _rim(box: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points around the rim of a box ((x0, x1), (y0, y1))."""
    way = np.linspace(0, 1, 33)
    along, across = (np.concatenate([way, way, np.zeros(33), np.ones(33)]),
                     np.concatenate([np.zeros(33), np.ones(33), way, way]))
    (x0, x1), (y0, y1) = box
    return x0 + along * (x1 - x0), y0 + across * (y1 - y0)


def grid_coords(grid: Grid, plane: ImageCoords) -> ImageCoords:
    header = plane.header.copy()
    grid.put_into(header, plane)
    return ImageCoords(header)
