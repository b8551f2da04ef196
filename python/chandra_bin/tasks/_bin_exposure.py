"""The places of the pixels of bins on the sky of an observation, and their exposure times."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s, Floats, Wholes
from chandra_bin.coords.grids import Grid, GridAxis
from chandra_bin.coords.tangent_plane import pixel_map, sky_pixels_of
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, warn
from chandra_bin.events.reader import Events, open_events, read_events
from chandra_bin.exposure.maps import ChipExposure
from chandra_bin.fits.virtual import VirtualFile

from ._bin_pixels import BinPixels
from ._blanksky import need_on_sky
from ._common import has_sky_filter
from ._observed import PLACING

# Exposure times are means over blocks of this many sky pixels a side: fine enough, as bins hold many blocks.
_FINEST_PX = 4.0


@dataclass(frozen=True, eq=False)
class PixelsOfBins:
    """The pixels of all bins on the sky of an observation, arrays (n,)."""

    bin: NDArray[np.int32]
    x: Floats
    """Sky pixels of the events."""
    y: Floats
    bins: int
    """Number of bins."""
    tiles: int
    """Number of responses of the observation."""
    weight: Float32s | None = None
    """Brightness over its mean in the bin; None: the brightness of each bin is even."""

    @classmethod
    def of(cls, bins: BinPixels, at: tuple[Wholes, Wholes], events: Events, tiles: int,
           weight: Float32s | None) -> Self:
        """Return the pixels of bins at rows and columns of the binmap on the sky of some events."""
        return cls(bins.labels[at], *sky_pixels_of_bins(bins, at, events), len(bins.numbers), tiles, weight)

    def weighed(self, values: Floats, chosen: Wholes | slice = slice(None)) -> Floats:
        """Return the values of the chosen pixels times the weight of each."""
        return values if self.weight is None else values * self.weight[chosen]

    def on(self, grid: Grid) -> "PixelsOnGrid":
        """Return the places of the pixels on a grid of exposures."""
        return PixelsOnGrid(*(np.floor((at - axis.first) / axis.step).astype(np.int32)
                              for at, axis in ((self.y, grid.y), (self.x, grid.x))))


@dataclass(frozen=True, eq=False)
class PixelsOnGrid:
    """The places of the pixels of all bins on a grid of exposures, arrays (n,)."""

    row: NDArray[np.int32]
    column: NDArray[np.int32]

    def seconds_of(self, part: ChipExposure) -> tuple[Wholes, Floats]:
        """Return the pixels that a chip has exposed, as indices, and their exposure times, (m,) s."""
        rows, columns = part.window
        inside = np.flatnonzero((self.row >= rows.start) & (self.row < rows.stop)
                                & (self.column >= columns.start) & (self.column < columns.stop))
        seconds = part.seconds[self.row[inside] - rows.start, self.column[inside] - columns.start]
        seen = seconds > 0
        return inside[seen], seconds[seen].astype(np.float64)


def read_places(name: VirtualFile, energies: Sequence[str] = ("pi", "energy")) -> Events:
    """Read the coordinates of events, and the first column of ``energies`` that the file has.

    Warns
    -----
    ChandraBinWarning
        For filters on the sky: they remove events, but no exposure of the bins.
    """
    if has_sky_filter(name):
        warn(f"{name}: its filters on the sky remove events, but no exposure of the bins; give regions with --exclude "
             "or --keep instead")
    with open_events(name) as file:
        need_on_sky(file.hdu.header, name)
        there = file.hdu.columns
        channel = next((column for column in energies if column in there), "pi")
        file.hdu.need("x", "y", "ccd_id", channel)
        columns = ["x", "y", channel, *(column for column in PLACING if column in there)]
    return read_events(name, columns)


def pixels_of_events(events: Events, bins: BinPixels, chosen: NDArray[np.intp] | slice = slice(None)
                     ) -> tuple[NDArray[np.bool_], Wholes, Wholes]:
    """Return which of the chosen events lie on the binmap, (n,), and the rows and columns of those."""
    to_binmap = pixel_map(events.coords, ImageCoords(bins.image.header))
    x, y = to_binmap(events.columns["x"][chosen], events.columns["y"][chosen])
    ny, nx = bins.labels.shape
    column, row = (np.floor(axis + 0.5) for axis in (x, y))
    inside = (row >= 0) & (row < ny) & (column >= 0) & (column < nx)
    return inside, row[inside].astype(np.int64), column[inside].astype(np.int64)


def places_of(bins: BinPixels) -> tuple[Wholes, Wholes]:
    """Return the rows and columns of the pixels of all bins."""
    row, column = np.nonzero(bins.labels >= 0)
    return row, column


def sky_pixels_of_bins(bins: BinPixels, at: tuple[Wholes, Wholes], events: Events) -> tuple[Floats, Floats]:
    """Return the sky pixels (n,) of events at rows and columns of the binmap; NaN more than 90 degrees away."""
    row, column = at
    return sky_pixels_of(ImageCoords(bins.image.header), events.coords, column, row)


def grid_around(bins: BinPixels, events: Events, pixels: PixelsOfBins) -> Grid:
    """Return a grid around all bins in sky pixels of the events: as fine as the binmap, but at least 4 sky pixels."""
    image = ImageCoords(bins.image.header)
    step = max(_FINEST_PX, float(np.sqrt(image.pixel_area_arcsec2 / events.coords.pixel_area_arcsec2)))
    reached = np.isfinite(pixels.x) & np.isfinite(pixels.y)
    if not reached.all():
        raise InputError(f"{bins.image.path}: holds bins more than 90 degrees from {events.file}: they are not of one "
                         "field")
    return Grid(*(GridAxis.around(float(axis.min()) - 1, float(axis.max()) + 1, step) for axis in (pixels.x, pixels.y)))
