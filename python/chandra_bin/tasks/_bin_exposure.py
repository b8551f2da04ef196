"""The places of the pixels of bins on the sky of an observation, and their exposure times."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s, Floats, Wholes
from chandra_bin.acis import geometry as acis
from chandra_bin.coords.grids import Grid, GridAxis
from chandra_bin.coords.tangent_plane import PlaneMap, keeps_lines, pixel_map, sky_pixel_map
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, warn
from chandra_bin.events.reader import Events, open_events, read_events
from chandra_bin.exposure.maps import ChipExposure, Window
from chandra_bin.fits.virtual import VirtualFile

from ._bin_pixels import BinPixels
from ._blanksky import need_on_sky
from ._common import has_sky_filter
from ._observed import PLACING
from ._tile_places import off_axis_arcmin
from .brightness import LEAST_SEEN

# Exposure times are means over blocks of this many sky pixels a side: fine enough, as bins hold many blocks.
_FINEST_PX = 4.0
# Sides of the blocks of a binmap whose pixels are processed at once: intermediate results stay in the cache.
_BLOCK_PX = 256


@dataclass(frozen=True, eq=False)
class PixelsOfBins:
    """The pixels of bins in a block of the binmap on the sky of an observation, arrays (n,)."""

    window: Window
    """Rows and columns of the block."""
    inside: NDArray[np.bool_]
    """Which pixels of the block are in bins."""
    x: Floats
    """Sky pixels of the events."""
    y: Floats
    weight: Float32s | None = None
    """Brightness over its mean in the bin; None: the brightness of each bin is even."""

    def of(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return the values (n,) of an image on the pixels of the binmap."""
        return image[self.window][self.inside]

    def only(self, flags: NDArray[np.bool_]) -> "PixelsOfBins":
        """Return the pixels with a flag (n,)."""
        inside = self.inside.copy()
        inside[inside] = flags
        return PixelsOfBins(self.window, inside, self.x[flags], self.y[flags],
                            None if self.weight is None else self.weight[flags])

    def weighed(self, values: Floats, chosen: Wholes | slice = slice(None)) -> Floats:
        """Return the values of the chosen pixels times the weight of each."""
        return values if self.weight is None else values * self.weight[chosen]

    def on(self, grid: Grid) -> "PixelsOnGrid":
        """Return the places of the pixels on a grid of exposures."""
        return PixelsOnGrid.of(self.x, self.y, grid)


@dataclass(frozen=True, eq=False)
class BinsOnSky:
    """The bins of a binmap on the sky of an observation."""

    bins: BinPixels
    events: Path
    to_sky: PlaneMap
    """Converts array coordinates of the binmap to sky pixels of the events; NaN more than 90 degrees away."""
    from_sky: PlaneMap
    """Converts sky pixels of the events to array coordinates of the binmap."""
    step: float
    """Length of a side of the pixels in sky pixels of the events."""
    keeps_lines: bool
    """Whether rows and columns of the binmap are straight lines on the sky of the events."""
    weights: Float32s | None = None
    """Image of the weights of pixels; None: 1."""

    @classmethod
    def of(cls, bins: BinPixels, events: Events, weights: Float32s | None = None) -> Self:
        """Return the bins on the sky of some events."""
        image, coords = ImageCoords(bins.image.header), events.coords
        return cls(bins, events.file, sky_pixel_map(image, coords), pixel_map(coords, image),
                   float(np.sqrt(image.pixel_area_arcsec2 / coords.pixel_area_arcsec2)), keeps_lines(image, coords),
                   weights)

    def blocks(self, exposed: "ExposedCells | None" = None) -> Iterator[PixelsOfBins]:
        """Yield the pixels of all bins, or those that are exposed, block by block."""
        ny, nx = self.bins.labels.shape
        for top in range(0, ny, _BLOCK_PX):
            for left in range(0, nx, _BLOCK_PX):
                window = slice(top, min(top + _BLOCK_PX, ny)), slice(left, min(left + _BLOCK_PX, nx))
                inside = self.bins.labels[window] >= 0
                if not inside.any():
                    continue
                if exposed is not None and self.keeps_lines and not exposed.around(
                        *self.to_sky(*_lattice(window, ends=True))):
                    continue
                x, y = self.to_sky(*_lattice(window))
                pixels = PixelsOfBins(window, inside, x[inside], y[inside],
                                      None if self.weights is None else self.weights[window][inside])
                yield pixels if exposed is None else pixels.only(exposed.at(pixels.x, pixels.y))

    def grid(self) -> Grid:
        """Return a grid around all bins in sky pixels of the events, as fine as the binmap, and at least 4 wide."""
        x, y = self._outermost()
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise InputError(f"{self.bins.image.path}: holds bins more than 90 degrees from {self.events}: they are "
                             "not of one field")
        step = max(_FINEST_PX, self.step)
        return Grid(*(GridAxis.around(float(axis.min()) - 1, float(axis.max()) + 1, step) for axis in (x, y)))

    def _outermost(self) -> tuple[Floats, Floats]:
        """Return places of pixels of bins in sky pixels of the events, the outermost among them."""
        if not self.keeps_lines:
            ends = [[[at.min(), at.max()] for at in (pixels.x, pixels.y)] for pixels in self.blocks()]
            x, y = np.array(ends).transpose(1, 0, 2)
            return x, y
        # A row is a line there, too: no pixel lies farther out than all ends of rows.
        inside = self.bins.labels >= 0
        rows = np.flatnonzero(inside.any(axis=1))
        first, last = inside[rows].argmax(axis=1), inside.shape[1] - 1 - inside[rows, ::-1].argmax(axis=1)
        return self.to_sky(np.append(first, last), np.append(rows, rows))

    def seen_in_part(self, share: Floats, axis: Floats | None = None) -> NDArray[np.bool_]:
        """Return which bins (bins,) are seen, but by less than `LEAST_SEEN` of their area.

        Parameters
        ----------
        share : sum over the pixels of each bin of the exposure time over the live time of the chip, (bins,).
        axis : the optical axis, (2,) sky pixels of the events, where exposures have the vignetting, which then weighs
            the area, too; None: they have none.
        """
        partly: NDArray[np.bool_] = (share > 0) & (share < LEAST_SEEN * self.bins.pixels)
        if axis is None or not partly.any():
            return partly
        chosen = np.where(np.append(partly, False)[self.bins.labels], self.bins.labels, -1)
        whole = np.zeros(len(partly))
        for pixels in replace(self, bins=replace(self.bins, labels=chosen)).blocks():
            vignetting = acis.vignetting(off_axis_arcmin(pixels.x, pixels.y, axis))
            whole += np.bincount(pixels.of(chosen), vignetting, len(partly))
        return partly & (share < LEAST_SEEN * whole)

    def pixels_of_events(self, events: Events) -> tuple[NDArray[np.bool_], Wholes, Wholes]:
        """Return which of the events lie on the binmap, (n,), and the rows and columns of those."""
        x, y = self.from_sky(events["x"], events["y"])
        ny, nx = self.bins.labels.shape
        column, row = (np.floor(axis + 0.5) for axis in (x, y))
        inside = (row >= 0) & (row < ny) & (column >= 0) & (column < nx)
        return inside, row[inside].astype(np.int64), column[inside].astype(np.int64)


def _lattice(window: Window, *, ends: bool = False) -> tuple[Floats, Floats]:
    """Return the columns (1, nx) and the rows (ny, 1) of a block, or the first and last of them."""
    rows, columns = (np.array([each.start, each.stop - 1.0]) if ends else
                     np.arange(each.start, each.stop, dtype=np.float64) for each in window)
    return columns[None], rows[:, None]


@dataclass(frozen=True, eq=False)
class ExposedCells:
    """The pixels of a grid of exposures that any chip has exposed."""

    grid: Grid
    flags: NDArray[np.bool_]
    """(ny, nx)."""

    @classmethod
    def of(cls, parts: Sequence[ChipExposure], grid: Grid) -> Self:
        """Return the pixels that some chips have exposed."""
        flags = np.zeros(grid.shape, np.bool_)
        for part in parts:
            flags[part.window] |= part.seconds > 0
        return cls(grid, flags)

    def at(self, x: Floats, y: Floats) -> NDArray[np.bool_]:
        """Return whether places on the grid (n,), in sky pixels, are exposed."""
        places = PixelsOnGrid.of(x, y, self.grid)
        return self.flags.ravel().take(places.row * self.grid.x.size + places.column, mode="clip")

    def around(self, x: Floats, y: Floats) -> bool:
        """Return whether the smallest box that contains these places may have an exposed pixel."""
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            return True
        box = tuple(slice(max(math.floor((at.min() - axis.first) / axis.step) - 1, 0),
                          max(math.floor((at.max() - axis.first) / axis.step) + 2, 0))
                    for at, axis in ((y, self.grid.y), (x, self.grid.x)))
        return bool(self.flags[box].any())


@dataclass(frozen=True, eq=False)
class PixelsOnGrid:
    """The places of the pixels of all bins on a grid of exposures, arrays (n,)."""

    row: NDArray[np.int32]
    column: NDArray[np.int32]

    @classmethod
    def of(cls, x: Floats, y: Floats, grid: Grid) -> Self:
        """Return the places of sky pixels (n,) on a grid."""
        return cls(*(np.floor((at - axis.first) / axis.step).astype(np.int32)
                     for at, axis in ((y, grid.y), (x, grid.x))))

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
