"""Images of events that pass a virtual name, and histograms of one column."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from chandra_bin._kernels._event_histogram import event_histogram
from chandra_bin._kernels._select_events import Selection
from chandra_bin.acis.bands import Band
from chandra_bin.coords.grids import Grid, GridAxis
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, did_you_mean
from chandra_bin.fits.subspace import Component, read_subspace, write_subspace
from chandra_bin.fits.tables import Column
from chandra_bin.fits.virtual import BinAxis, Binning, Name, VirtualFile, named_file

from .clocks import seconds_of
from .columns import coords_of, without_columns
from .filters import pair_of, pairs_in
from .gti_files import GtiBlock
from .reader import EventFile, open_events
from .row_tests import coordinates

if TYPE_CHECKING:
    from astropy.io.fits import Header

# Columns whose images share one grid, whatever their limits.
_POSITIONS = ("x", "y", "detx", "dety")
# Values of `opt type=` in CIAO's tools.
TYPES = {"i2": np.int16, "i4": np.int32, "r4": np.float32, "r8": np.float64}

_IMAGE = {"HDUNAME": "EVENTS_IMAGE", "CONTENT": "IMAGE", "HDUCLASS": "OGIP", "HDUCLAS1": "IMAGE"}


@dataclass(frozen=True, eq=False)
class EventImage:
    """Counts (ny, nx), or (n,) for one column, with an image header; int32, or the type given by ``opt type``."""

    data: NDArray[Any]
    header: "Header"
    gti_blocks: list[GtiBlock]
    """Good times, as from `EventFile.gti_blocks`."""


def event_image(name: Name) -> EventImage:
    """Return the image of ``evt2.fits[energy=500:7000][bin sky=4]``, or the histogram of ``evt2.fits[bin pi]``.

    Open limits are those of the filters, extended to edges at 0.5 + k bin, else (and with ``[opt full]``) those of the
    column (TLMIN, TLMAX). Raises `InputError`.
    """
    name = named_file(name)
    binning = name.binning
    if binning is None:
        raise InputError(f"{name}: no image binning given; add e.g. [bin sky=4]")
    with open_events(name, also=(Binning,), options=("type", "full")) as file:
        axes = _axes(file, binning)
        if len(axes) == 1:
            counts = _histogram(file, *axes[0])
        else:
            counts = _image(file, [column for column, _ in axes], Grid(axes[0][1], axes[1][1]))
        header = _image_header(file, axes)
        return EventImage(_as_type(counts, name, binning.at), header, file.gti_blocks())


def event_image_shape(name: Name) -> tuple[int, int]:
    """Return the shape (ny, nx) of the result of `event_image`, 1 for a missing axis, without reading events."""
    name = named_file(name)
    assert name.binning is not None
    with open_events(name, also=(Binning,), options=("type", "full")) as file:
        sizes = [axis.size for _, axis in _axes(file, name.binning)]
    return sizes[1] if len(sizes) > 1 else 1, sizes[0]


def add_to_image(image: NDArray[np.int32], grid: Grid, columns: Mapping[str, NDArray[Any]], band: Band, *,
                 threads: int = 1) -> int:
    """Add events of an energy band, from columns ``x``, ``y``, ``energy`` (eV), to ``image``; return their number."""
    selection = Selection(len(columns["energy"]))
    selection.ranges(columns["energy"], np.array([band.low_ev]), np.array([band.high_ev]), closed=False)
    return event_histogram(*coordinates(columns, "x", "y"), x_first_edge=grid.x.first, x_step=grid.x.step,
                           y_first_edge=grid.y.first, y_step=grid.y.step, selection=selection, threads=threads,
                           image=image)


def image_header(header: "Header", grid: Grid, band: Band) -> "Header":
    """Return the header of an image of a band, from that of the events."""
    made = without_columns(header)
    grid.put_into(made, ImageCoords.from_events(header))
    made.update(_IMAGE)
    components = read_subspace(header) or [Component()]
    limits = [(band.low_ev, band.high_ev)]
    write_subspace(made, [each for component in components
                          if (each := component.within("energy", limits, "E", "eV")) is not None])
    return made


def _axes(file: EventFile, binning: Binning) -> list[tuple[Column, GridAxis]]:
    """Return the columns and grid axes of a binning."""
    named: list[tuple[str, BinAxis]] = []
    for axis in binning.axes:
        pair = None if axis.column in file.hdu.columns else pair_of(file.hdu, axis.column)
        named += [(column, axis) for column in pair or (axis.column,)]
    if len(named) > 2:
        raise file.name.error(binning.at, f"{len(named)} columns cannot be binned: give one or two")
    if len({column for column, _ in named}) < len(named):
        raise file.name.error(binning.at, f"the column {named[0][0]} is binned twice")
    return [_axis(file, column, axis) for column, axis in named]


def _axis(file: EventFile, name: str, axis: BinAxis) -> tuple[Column, GridAxis]:
    """Return a column and its grid axis."""
    column = file.hdu.columns.get(name)
    if column is None or not column.is_scalar or column.letter == "X":
        could = [each for each, one in file.hdu.columns.items() if one.is_scalar and one.letter != "X"]
        raise file.name.error(axis.at, f"block {file.hdu.name} has no column {name} that could be binned, only "
                                       f"{', '.join(could)}{did_you_mean(name, (*could, *pairs_in(file.hdu)))}")
    low, high = axis.lo, axis.hi
    half = 0.5 if column.is_whole else 0.0
    given = low is not None or high is not None
    if low is None or high is None:
        filters = (-math.inf, math.inf) if "full" in file.name.options else file.filter.limits(name)
        if column.is_whole:
            filters = _whole(filters[0], math.ceil), _whole(filters[1], math.floor)
        limits = [_limit(given, filtered, natural, inner) for given, filtered, natural, inner in zip(
            (low, high), filters, (column.lowest, column.highest), (max, min), strict=True)]
        if name == "time":
            limits = [_time(limit, file, key) for limit, key in zip(limits, ("TSTART", "TSTOP"), strict=True)]
        if None in limits:
            raise file.name.error(axis.at, f"the file has no limits of the column {name} (TLMIN, TLMAX): give them, "
                                           f"{name}=low:high:step")
        low, high = cast(tuple[float, float], tuple(limits))
        if not low < high + 2 * half:
            raise file.name.error(axis.at, f"the filters leave no values of the column {name} to bin")
    low, high = low - half, high + half
    try:
        if axis.count is not None:
            return column, GridAxis(low, (high - low) / axis.count, axis.count)
        step = 1.0 if axis.step is None else axis.step
        if given or name not in _POSITIONS:
            return column, GridAxis.between(low, high, step)
        return column, GridAxis.around(low, high, step)
    except InputError as error:
        raise file.name.error(axis.at, f"the column {name}: {error}") from None


def _whole(limit: float, rounded: Callable[[float], int]) -> float:
    """Return a finite limit rounded to a whole number."""
    return float(rounded(limit)) if math.isfinite(limit) else limit


def _limit(given: float | None, filtered: float, natural: float | None,
           inner: Callable[[float, float], float]) -> float | None:
    """Return one limit of an axis: as given, else the ``inner`` one of the filters' and the column's, or None."""
    if given is not None:
        return given
    if natural is None or not math.isfinite(filtered):
        return filtered if math.isfinite(filtered) else natural
    return inner(filtered, natural)


def _time(limit: float | None, file: EventFile, key: str) -> float | None:
    """Return a limit of the time axis in the unit of the column, by default that of the header."""
    seconds = seconds_of(file.hdu.header, key)
    return limit if limit is not None or seconds is None else seconds / file.filter.clock().unit_s


def _image(file: EventFile, columns: list[Column], grid: Grid) -> NDArray[np.int32]:
    """Return the counts on a grid."""
    image = np.zeros(grid.shape, np.int32)
    x, y = (column.name.lower() for column in columns)
    for block in file.blocks(x, y):
        event_histogram(*coordinates(block.values, x, y), x_first_edge=grid.x.first, x_step=grid.x.step,
                        y_first_edge=grid.y.first, y_step=grid.y.step, selection=block.selection, threads=1,
                        image=image)
    return image


def _histogram(file: EventFile, column: Column, axis: GridAxis) -> NDArray[np.int32]:
    """Return the counts of one column, binned as an image with one row."""
    counts = np.zeros((1, axis.size), np.int32)
    name = column.name.lower()
    for block in file.blocks(name):
        values = block.values[name].astype(np.float64, copy=False)
        event_histogram(values, np.zeros_like(values), x_first_edge=axis.first, x_step=axis.step, y_first_edge=-0.5,
                        y_step=1.0, selection=block.selection, threads=1, image=counts)
    row: NDArray[np.int32] = counts[0]
    return row


def _image_header(file: EventFile, axes: list[tuple[Column, GridAxis]]) -> "Header":
    """Return the header of an image or histogram."""
    header = without_columns(file.header())
    names = [column.name for column, _ in axes]
    if len(axes) == 2:
        coords = coords_of(file.hdu, *names)
        try:
            Grid(axes[0][1], axes[1][1]).put_into(header, coords, (names[0].lower(), names[1].lower()))
        except InputError as error:
            raise InputError(f"{file.name.file}: {error}") from None
    else:
        column, axis = axes[0]
        header.update(CTYPE1=column.name, CRPIX1=0.5, CRVAL1=axis.first, CDELT1=axis.step)
        if column.unit:
            header["CUNIT1"] = column.unit
    header.update(_IMAGE)
    return header


def _as_type(counts: NDArray[np.int32], name: VirtualFile, at: int) -> NDArray[Any]:
    """Return the counts as the type of ``opt type``."""
    kind = name.options.get("type")
    if kind is None:
        return counts
    made = counts.astype(TYPES[kind])
    if made.dtype.kind == "i" and (made != counts).any():
        raise name.error(at, f"a pixel has {counts.max()} counts, too many for the type {kind}")
    return made
