"""Which tile of a detector a place on the sky belongs to, and how far it is from the tile's middle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chandra_bin._checks.array_types import Floats, Wholes
from chandra_bin.acis import geometry as acis
from chandra_bin.errors import InputError
from chandra_bin.events.reader import Events
from chandra_bin.exposure.maps import ChipExposure
from chandra_bin.fits.virtual import VirtualFile
from chandra_bin.spectral.weights import ResponseTile

from ._common import listed

# Pixels whose nearest tile is sought at once: intermediate results stay in the processor's cache.
_PIXELS = 1 << 14
# Squares of distances are compared as float32: those that differ by less may be equal.
_ROUNDING = 1 + 1e-6


@dataclass(frozen=True, eq=False)
class ChipTiles:
    """The exposure of a chip, and its tiles."""

    part: ChipExposure
    livetime_s: float
    """The live time of the chip."""
    chosen: list[int]
    """Indices of the tiles; empty for a chip without a tile."""
    middles: Floats | None
    """(2, chosen) sky pixels of the events; None for a response without a place."""
    axis: Floats
    """The optical axis, (2,) sky pixels of the events."""

    def nearest(self, x: Floats, y: Floats) -> tuple[Wholes, Floats]:
        """Return the tile of each sky pixel, and its distance in arcmin: from the optical axis without a place."""
        if self.middles is None:
            return np.full(x.size, self.chosen[0]), off_axis_arcmin(x, y, self.axis)
        nearest, arcmin = nearest_of(self.middles, x, y)
        return np.array(self.chosen)[nearest], arcmin


def check_chips(tiles: Sequence[ResponseTile], tile_of: Mapping[int, ChipTiles], name: VirtualFile) -> None:
    """Raise `InputError` where one response is given for front- and back-illuminated chips."""
    general = [chip for chip, its in tile_of.items() if tiles[its.chosen[0]].chip is None]
    if len({chip in acis.BACK_ILLUMINATED for chip in general}) > 1:
        raise InputError(f"{name}: one response is given for chips {listed(sorted(general))}, front- and "
                         "back-illuminated: give the tiles of each chip (ccd_id)")


def off_axis_arcmin(x: Floats, y: Floats, axis: Floats) -> Floats:
    """Return angles (n,) of sky pixels of the events from the optical axis."""
    angle: Floats = np.hypot(x - axis[0], y - axis[1]) * acis.PIXEL_ARCSEC / 60
    return angle


def middles_of(events: Events, tiles: Sequence[ResponseTile]) -> Floats:
    """Return the middles of tiles, (2, tiles) sky pixels of the events; NaN for tiles without a place."""
    made = np.full((2, len(tiles)), np.nan)
    placed = np.isfinite([tile.ra_deg + tile.dec_deg for tile in tiles])
    ra, dec = np.array([(tile.ra_deg, tile.dec_deg) for tile in tiles])[placed].T
    made[:, placed] = events.coords.sky_to_physical(ra, dec, "icrs")
    return made


def vignetting_at(events: Events, tiles: Sequence[ResponseTile], middles: Floats, axis: Floats) -> Floats:
    """Return the vignetting (tiles,) at the middles of tiles, which their ARFs include; 1 for tiles without a place.

    Raises `InputError` for places that the mirror does not reach.
    """
    made = np.ones(len(tiles))
    placed = np.flatnonzero([np.isfinite(tile.ra_deg + tile.dec_deg) for tile in tiles])
    angle = off_axis_arcmin(middles[0, placed], middles[1, placed], axis)
    made[placed] = np.where(np.isfinite(angle), acis.vignetting(np.nan_to_num(angle)), 0)
    if (made <= 0).any():
        tile = tiles[int(np.argmax(made <= 0))]
        raise InputError(f"{tile.arf}: its place in the table of tiles, RA {tile.ra_deg:g}, Dec {tile.dec_deg:g}, is "
                         f"far from where {events.file} points: give degrees (ICRS)")
    return made


def nearest_of(middles: Floats, x: Floats, y: Floats) -> tuple[Wholes, Floats]:
    """Return the index of the nearest of some tiles to each sky pixel (n,), and the distance in arcmin.

    ``middles`` are those of the tiles, (2, tiles) sky pixels of the events: distances on this plane are right near the
    poles and across RA 0.
    """
    nearest, arcmin = np.empty(len(x), np.int64), np.empty(len(x))
    for begin in range(0, len(x), _PIXELS):
        part = slice(begin, begin + _PIXELS)
        least, index = np.full(len(x[part]), np.inf, np.float32), np.zeros(len(x[part]), np.int64)
        for each in _near_box(middles, x[part], y[part]):
            square = ((x[part] - middles[0, each]) ** 2 + (y[part] - middles[1, each]) ** 2).astype(np.float32)
            np.copyto(index, each, where=square < least)
            np.fmin(least, square, out=least)
        nearest[part], arcmin[part] = index, np.sqrt(least) * (acis.PIXEL_ARCSEC / 60)
    return nearest, arcmin


def _near_box(middles: Floats, x: Floats, y: Floats) -> list[int]:
    """Return the tiles, of those with a place, that may be the nearest somewhere in the box around sky pixels."""
    ends = np.array([[at.min(), at.max()] for at in (x, y)])[:, :, None] - middles[:, None]
    inside = (ends[:, 0] <= 0) & (ends[:, 1] >= 0)
    least = np.where(inside, 0, np.abs(ends).min(axis=1)) ** 2
    most = np.abs(ends).max(axis=1) ** 2
    return np.flatnonzero(least.sum(axis=0) <= np.nanmin(most.sum(axis=0)) * _ROUNDING).tolist()
