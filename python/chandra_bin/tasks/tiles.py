"""Tiles: places on chips, under the bins of a binmap, that each get an ARF and an RMF."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from chandra_bin._checks.array_types import Floats
from chandra_bin._checks.paths import FileName, as_path, as_path_or_none, as_paths
from chandra_bin.acis import geometry as acis
from chandra_bin.errors import InputError, counted, warn
from chandra_bin.events.reader import Events
from chandra_bin.events.spectra import band_channels
from chandra_bin.exposure.ancillary import Ancillary
from chandra_bin.exposure.maps import View
from chandra_bin.fits.headers import is_number, text_of
from chandra_bin.fits.virtual import Name, VirtualFile, named_files

from ._bin_exposure import BinsOnSky, read_places
from ._bin_pixels import BinPixels, read_bin_pixels
from ._common import ecsv, listed
from ._observed import grating_of, observed
from .options import AncillaryChoice, TileOptions
from .spectra import obsids_of

if TYPE_CHECKING:
    from astropy.io.fits import Header

# Tiles keep this distance from the edges of a chip, where it is wide enough: the dither moves a place by 16 pixels to
# both sides, and the area of a place closer to the edge would lack the time that it was off the chip.
EDGE_PX = 32
# The least distance of tiles: closer places have the same response, as matrices are calibrated in squares of 32 pixels.
_CLOSEST_PX = 64
# The dither moves pixels of bins onto a chip from this far beyond its edge.
_REACH_PX = 20
# Weights for mkwarf are those of the events of these energies in a circle of this radius, as specextract has them.
RADIUS_PX = 32.0
WEIGHT_BAND_EV = (300.0, 2000.0)
# From this day on the focal plane was at -120 C. Before, mkacisrmf has matrices for the back-illuminated chips up to
# this temperature (K, -109 C).
_COLD_SINCE, _COOL_K = "2000-01-29", 164.15

RmfTool = Literal["mkacisrmf", "mkrmf"]


@dataclass(frozen=True)
class Tile:
    """A place on a chip that gets a response."""

    chip: int
    chipx: int
    chipy: int
    x: float
    """Sky pixels of the events, with the telescope at its mean pointing."""
    y: float
    ra_deg: float
    """ICRS."""
    dec_deg: float
    events: int
    """Events of 0.3 - 2 keV of the chip within 32 sky pixels."""

    @property
    def name(self) -> str:
        """The name of the files of the tile, without an ending."""
        return f"ccd{self.chip}_{self.chipx:04d}_{self.chipy:04d}"


@dataclass(frozen=True)
class TilesOfObservation:
    """The tiles of an observation, and the files and tools of its responses."""

    obsid: int
    events: Path
    files: Ancillary
    grating: str
    """NONE, LETG or HETG."""
    rmf_tools: Mapping[int, RmfTool]
    """By chip: mkacisrmf where it has matrices for the events, else mkrmf."""
    tiles: tuple[Tile, ...]

    def __repr__(self) -> str:
        return f"<TilesOfObservation: {counted(len(self.tiles), 'tile')} of ObsID {self.obsid}, {self.events}>"


def plan_tiles(events: Name | Sequence[Name], binmap: FileName, *, options: TileOptions | None = None,
               mask: FileName | None = None, exclude: Sequence[FileName] = (),
               keep: Sequence[FileName] = ()) -> list[TilesOfObservation]:
    """Return the places of tiles on each chip of each observation that sees any of the bins.

    Parameters
    ----------
    events : virtual name of an ACIS event file, or those of several observations, as `write_spectra` takes them.
    binmap : FITS image of bin numbers.
    options : options of the number of tiles; None: the defaults.
    mask, exclude, keep : as for the spectra.

    Notes
    -----
    The part of a chip that holds bins is divided into cells, at most ``per_chip`` of them and none narrower than 64
    pixels. A cell that holds a bin has a tile in its middle, but 32 pixels or more from the edges of the chip, or of
    the part of it that was read.

    Raises
    ------
    InputError
        Where files are missing or no observation sees a bin, and for events without a known calibration (CTI_APP).
    """
    binmap = as_path(binmap, "binmap")
    mask = as_path_or_none(mask, "mask")
    exclude, keep = as_paths(exclude, "exclude"), as_paths(keep, "keep")
    options = TileOptions.or_defaults(options)
    names = named_files(events)
    obsids = obsids_of(names)
    bins = read_bin_pixels(binmap, mask, exclude, keep)
    made = [_of_observation(name, obsid, bins, options) for obsid, name in zip(obsids, names, strict=True)]
    for each in [each for each in made if not each.tiles]:
        warn(f"{each.events}: no chip of ObsID {each.obsid} holds a bin of {binmap}: it gets no tile")
    if not any(each.tiles for each in made):
        raise InputError(f"{binmap}: no chip of these observations holds a bin: give the binmap of these events")
    return made


def tiles_table(observations: Sequence[TilesOfObservation], made: Mapping[tuple[int, str], tuple[Path, Path]],
                folder: Path, options: TileOptions) -> str:
    """Return the table that `write_responses` reads, as ECSV text.

    Parameters
    ----------
    made : the ARF and the RMF of the tiles that have them, by ObsID and `Tile.name`.
    folder : the folder of the table; file names in the table are relative to it.
    """
    from astropy.table import Table

    rows = [(each.obsid, tile.chip, tile.ra_deg, tile.dec_deg, tile.chipx, tile.chipy,
             *(os.path.relpath(path, folder) for path in made[each.obsid, tile.name]))
            for each in observations for tile in each.tiles if (each.obsid, tile.name) in made]
    names = ("obsid", "ccd_id", "ra", "dec", "chipx", "chipy", "arf", "rmf")
    table = Table(rows=rows, names=names, units={"ra": "deg", "dec": "deg", "chipx": "pixel", "chipy": "pixel"})
    return ecsv(table, asdict(options))


def rmf_tool(header: "Header", chip: int, file: Path) -> RmfTool:
    """Return the tool that makes the RMF of a chip, by the calibration of its events, as specextract chooses it.

    mkacisrmf is for events that were corrected for CTI (CTI_APP has a letter for each chip; N: not corrected), at any
    temperature of the focal plane, and for events of GRADED mode where any chip was corrected. For observations before
    2000-01-29 it is for the back-illuminated chips at -110 C. Raises `InputError` where CTI_APP, DATE-OBS, or for such
    observations FP_TEMP is missing.
    """
    applied, day, kelvin = text_of(header, "CTI_APP").upper(), text_of(header, "DATE-OBS"), header.get("FP_TEMP")
    is_early = day < _COLD_SINCE
    if len(applied) != acis.CHIP_COUNT or not day or (is_early and not is_number(kelvin)):
        raise InputError(f"{file}: CTI_APP is {header.get('CTI_APP')!r}, DATE-OBS {day!r} and FP_TEMP {kelvin!r}: they "
                         "choose the tool that makes RMFs; reprocess the events with chandra_repro")
    if is_early:
        has_matrix = chip in acis.BACK_ILLUMINATED and float(kelvin) <= _COOL_K
    else:
        is_graded = text_of(header, "DATAMODE").upper() == "GRADED"
        has_matrix = applied[chip] != "N" or (is_graded and set(applied) != {"N"})
    return "mkacisrmf" if has_matrix else "mkrmf"


def _of_observation(name: VirtualFile, obsid: int, bins: BinPixels, options: TileOptions) -> TilesOfObservation:
    events = read_places(name, ("energy", "pi"))
    files = AncillaryChoice().of(name.file, events.header)
    if not files.aspect:
        raise InputError(f"{name.file}: the aspect solution (ASOLFILE) is missing: put it into this folder")
    how = observed(events, files)
    places = np.concatenate([np.stack([pixels.x, pixels.y], axis=1)[np.isfinite(pixels.x) & np.isfinite(pixels.y)]
                             for pixels in BinsOnSky.of(bins, events).blocks()])
    tiles = [tile for view in how.views if isinstance(view, View)
             for tile in _of_chip(events, view, places, options.per_chip)]
    chips = sorted({tile.chip for tile in tiles})
    return TilesOfObservation(obsid, name.file, files, grating_of(events.header) or "NONE",
                              {chip: rmf_tool(events.header, chip, name.file) for chip in chips}, tuple(tiles))


def _of_chip(events: Events, view: View, places: Floats, per_chip: int) -> list[Tile]:
    """Return the tiles of a chip; ``places`` are the pixels of all bins, (n, 2) sky pixels."""
    usable = view.response > 0
    if not usable.any():
        return []
    # (chipx, chipy) of the first and last pixel that was read.
    low, high = (np.array([ends(np.flatnonzero(usable.any(axis=axis))) + 1 for axis in (0, 1)]) for ends in (min, max))
    on_chip = np.linalg.solve(view.placement.matrix, (places - view.placement.origin).T).T
    near = np.all((on_chip > low - _REACH_PX) & (on_chip < high + _REACH_PX), axis=1)
    if not near.any():
        return []
    inside = np.clip(on_chip[near], low, high)
    first, extent = inside.min(axis=0), np.ptp(inside, axis=0)
    shape = np.array(grid_shape(float(extent[0]), float(extent[1]), per_chip))
    cell = np.minimum(((inside - first) / np.maximum(extent, 1) * shape).astype(np.int64), shape - 1)
    middles = first + (np.unique(cell, axis=0) + 0.5) * extent / shape
    narrow = high - low < 2 * EDGE_PX
    lowest, highest = (np.where(narrow, (low + high) / 2, end) for end in (low + EDGE_PX, high - EDGE_PX))
    kept = np.unique(np.rint(np.clip(middles, lowest, highest)).astype(np.int64), axis=0)
    return [_tile(events, view, int(chipx), int(chipy)) for chipx, chipy in kept]


def grid_shape(width: float, height: float, most: int) -> tuple[int, int]:
    """Return the numbers of cells of a rectangle (pixels) along both sides, for the smallest cells allowed."""
    widest, highest = (max(1, math.floor(extent / _CLOSEST_PX)) for extent in (width, height))
    shapes = [(nx, min(most // nx, highest)) for nx in range(1, min(most, widest) + 1)]
    # Of cells of equal length, those of less area.
    return min(shapes, key=lambda shape: (max(width / shape[0], height / shape[1]), 1 / (shape[0] * shape[1])))


def _tile(events: Events, view: View, chipx: int, chipy: int) -> Tile:
    x, y = view.placement.to_sky(np.array([[chipx, chipy]], np.float64))[0]
    ra, dec = events.coords.physical_to_sky(np.array([x]), np.array([y]), "icrs")
    columns = events.columns
    if "energy" in columns:
        soft = (columns["energy"] >= WEIGHT_BAND_EV[0]) & (columns["energy"] < WEIGHT_BAND_EV[1])
    else:
        channels = band_channels(WEIGHT_BAND_EV)
        soft = (columns["pi"] > channels.start) & (columns["pi"] <= channels.stop)
    chosen = soft & (columns["ccd_id"] == view.chip)
    near = np.hypot(columns["x"][chosen] - x, columns["y"][chosen] - y) <= RADIUS_PX
    return Tile(view.chip, chipx, chipy, float(x), float(y), float(ra[0]), float(dec[0]), int(near.sum()))


def warn_of_chips(observations: Sequence[TilesOfObservation]) -> None:
    """Warn of chips whose events mkacisrmf has no matrices for."""
    for each in observations:
        if old := [chip for chip, tool in each.rmf_tools.items() if tool == "mkrmf"]:
            warn(f"{each.events}: chips {listed(old)} are not corrected for CTI, or were observed before "
                 f"{_COLD_SINCE}: their RMFs are made by mkrmf, of the events around each tile")
