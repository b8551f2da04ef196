"""Responses of all bins: which tiles of a detector each bin lies on, and for how long, from one pass over the events.

A tile is a place on a chip with an ARF and an RMF. The response of a bin is the sum over tiles of seconds x ARF x RMF,
so the cost follows tiles, not bins, and no matrix of a bin is stored.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats, Wholes
from chandra_bin._checks.options import Limits, Options, documented, option
from chandra_bin.acis import geometry as acis
from chandra_bin.acis.channels import channels_of
from chandra_bin.coords.grids import Grid, GridAxis
from chandra_bin.coords.tangent_plane import pixel_map
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, counted, warn
from chandra_bin.events.reader import Events, open_events, read_events
from chandra_bin.events.spectra import SOFT_EV, band_channels
from chandra_bin.exposure.maps import chip_exposures
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.virtual import Name, VirtualFile, named_files
from chandra_bin.spectral.ogip import read_arf, read_rmf
from chandra_bin.spectral.response_files import arf_content, mixed, rmf_content
from chandra_bin.spectral.weights import ResponseTile, ResponseWeights, read_tiles

from ._bin_pixels import BinPixels, read_bin_pixels
from ._blanksky import checked_chips, need_on_sky
from ._common import has_sky_filter, history
from ._observed import PLACING, observed
from ._spectra_table import read_spectra_of_bins
from .inputs import files_of, plain_name
from .options import AncillaryChoice
from .spectra import ALL_BINS, obsids_of

# A bin of which more than this part lies on chips without a tile has no response in that observation.
_MOST_LOST = 0.01
# Matrices that are held in memory, each some MB.
_MATRICES = 16


@documented
@dataclass(frozen=True, repr=False)
class WeightOptions(Options):
    """How the parts of a bin on several tiles are weighed."""

    weights: Literal["counts", "exposure"] = option(
        "counts", "counts: by the events of 0.5 - 2 keV, where a bin has enough; exposure: by exposed area.")
    min_weight_counts: int = option(
        100, "Bins with fewer such events are weighed by exposed area.", symbol="N",
        limits=Limits(lambda number: number >= 1, "it must be 1 or more"))


@dataclass(frozen=True)
class BinsOfObservation:
    """What was found for one observation."""

    obsid: int
    bins: int
    """Bins that the observation sees, on chips with tiles."""
    tiles: int
    """Tiles that any of them lies on."""
    by_counts: int
    """Bins whose tiles are weighed by counts; the others by exposed area."""


def write_responses(events: Name | Sequence[Name], binmap: Path, tiles: Path, out: Path, *,
                    options: WeightOptions | None = None, final: Path | None = None, mask: Path | None = None,
                    exclude: Sequence[Path] = (), keep: Sequence[Path] = (),
                    clobber: bool = False) -> list[BinsOfObservation]:
    """Writes which responses each bin has in each observation, and for how many seconds, into one FITS file.

    Parameters
    ----------
    events : virtual name of an ACIS event file, or those of several observations, as `write_spectra` takes them.
    binmap : FITS image of bin numbers.
    tiles : table of the responses there are (.ecsv, .csv, .fits): columns ``obsid``, ``arf`` and ``rmf`` (files,
        relative to the table), and for several of an observation ``ccd_id``, and ``ra`` and ``dec`` of the tile's
        middle in degrees (ICRS). Places on a chip belong to its nearest tile.
    out : the file that `fit_spectra_files` reads: blocks TILES and WEIGHTS.
    options : how the parts of a bin are weighed; None: the defaults.
    final : where ``out`` will be moved to, which the names in it are relative to; None: it stays.
    mask, exclude, keep : those that the spectra were made with.

    The seconds of a bin on a tile are the mean over the bin's pixels of the exposure time there. The ARF has the
    vignetting of the tile's middle: where tiles have places, the time of a pixel is multiplied by the vignetting there
    over that of the middle, by the formula of exposure maps. Raises `InputError` and `OutputError`; no file is written
    then.
    """
    options = WeightOptions.or_defaults(options)
    names = named_files(events)
    known = read_tiles(tiles)
    responses = [file for tile in known for file in (tile.arf, tile.rmf)]
    inputs = [*files_of(*names, binmap, mask, *exclude, *keep), tiles, *responses]
    with Outputs([out], inputs=inputs, clobber=clobber) as outputs:
        obsids = obsids_of(names)
        bins = read_bin_pixels(binmap, mask, exclude, keep)
        parts, made = [], []
        for obsid, name in zip(obsids, names, strict=True):
            of_obs = [index for index, tile in enumerate(known) if tile.obsid == obsid]
            if not of_obs:
                raise InputError(f"{tiles}: has no response of ObsID {obsid}, of which {name} is")
            part, about = _observation(name, obsid, bins, known, of_obs, options)
            parts.append(part)
            made.append(about)
        lines = history("responses", {"events": " ".join(map(plain_name, names)), "binmap": binmap, "tiles": tiles,
                                      "mask": mask, "exclude": tuple(exclude), "keep": tuple(keep), **asdict(options)})
        with outputs.open(out) as file:
            ResponseWeights.joined(known, parts).write(file, (final or out).parent, lines)
    return made


def write_response_files(responses: Path, folder: Path, bins: Sequence[int] | None = None, *,
                         clobber: bool = False) -> list[Path]:
    """Writes the responses of some bins as files for XSPEC and Sherpa: ``{obsid}/xaf_N.arf`` and ``.rmf``.

    Parameters
    ----------
    responses : the file of `write_responses`.
    folder : that of `write_spectra`, whose spectra the files belong to.
    bins : numbers of bins; None: all.

    The area is that of all tiles, times the part of EXPOSURE that each saw of the bin. Bins that an observation does
    not see have no files there. Returns the files. Raises `InputError`, for bins that are in no observation too, and
    `OutputError`; no file is written then.
    """
    weights = ResponseWeights.read(responses)
    wanted = np.unique(weights.bin) if bins is None else np.unique(bins)
    if (strange := np.setdiff1d(wanted, weights.bin)).size:
        raise InputError(f"{responses}: has no response of bin {strange[0]}")
    rows = [(obsid, number, np.flatnonzero((weights.obsid == obsid) & (weights.bin == number)))
            for obsid in np.unique(weights.obsid).tolist() for number in wanted.tolist()]
    rows = [each for each in rows if len(each[2])]
    stems = [folder / f"{obsid:05d}" / f"xaf_{number}" for obsid, number, _ in rows]
    files = [stem.with_suffix(end) for stem in stems for end in (".arf", ".rmf")]
    tables = {obsid: read_spectra_of_bins(folder / f"{obsid:05d}" / ALL_BINS) for obsid in {row[0] for row in rows}}
    parameters = {"responses": responses}
    read_matrix = lru_cache(maxsize=_MATRICES)(read_rmf)
    with Outputs(files, inputs=[responses], clobber=clobber) as outputs:
        for stem, (obsid, number, at) in zip(stems, rows, strict=True):
            table = tables[obsid]
            seconds = table.exposure_s[table.bin == number]
            if not (seconds.size and seconds[0] > 0):
                raise InputError(f"{folder / f'{obsid:05d}' / ALL_BINS}: has no exposed spectrum of bin {number}")
            tiles = [weights.tiles[tile] for tile in weights.tile[at]]
            arf, rmf = mixed([(read_arf(tile.arf), read_matrix(tile.rmf)) for tile in tiles],
                             weights.seconds[at] / seconds[0])
            lines = history("responses", {**parameters, "bin": number, "obsid": obsid})
            outputs.write(stem.with_suffix(".arf"), arf_content(replace(arf, exposure_s=float(seconds[0])), lines))
            outputs.write(stem.with_suffix(".rmf"), rmf_content(rmf, lines))
    return files


def _observation(name: VirtualFile, obsid: int, bins: BinPixels, tiles: Sequence[ResponseTile], of_obs: list[int],
                 options: WeightOptions) -> tuple[ResponseWeights, BinsOfObservation]:
    events = _read(name)
    if has_sky_filter(name):
        warn(f"{name}: its filters on the sky take events, but no exposure of the bins; give regions with --exclude "
             "or --keep instead")
    y, x = np.nonzero(bins.labels >= 0)
    pixels = _Pixels(bins.labels[y, x], *_on_sky(bins, events, x, y), len(bins.numbers), len(of_obs))
    seconds, lost, tile_of = _seconds(events, name, bins, pixels, [tiles[index] for index in of_obs])
    counts = _counts(events, name, bins, (y, x), pixels, tile_of)
    total = seconds.sum(axis=1)
    gone = lost > _MOST_LOST * (total + lost)
    if gone.any():
        warn(f"{name}: {counted(int(gone.sum()), 'bin lies', 'bins lie')} partly on chips without a tile: without a "
             f"response in ObsID {obsid}; the first is {bins.numbers[int(np.argmax(gone))]}")
    soft = counts.sum(axis=1)
    by_counts = (options.weights == "counts") & (soft >= options.min_weight_counts)
    shared = np.where(by_counts[:, None], total[:, None] * counts / np.maximum(soft, 1)[:, None], seconds)
    shared[gone] = 0
    b, tile = np.nonzero(shared)
    seen = np.unique(b)
    weights = ResponseWeights((), np.array(bins.numbers)[b], np.full(len(b), obsid), np.array(of_obs)[tile],
                              shared[b, tile], counts[b, tile])
    return weights, BinsOfObservation(obsid, len(seen), len(np.unique(tile)), int(by_counts[seen].sum()))


@dataclass(frozen=True, eq=False)
class _Pixels:
    """The pixels of all bins, arrays (n,)."""

    bin: NDArray[np.int32]
    x: Floats
    """Sky pixels of the events."""
    y: Floats
    ra: Floats
    dec: Floats
    bins: int
    tiles: int


def _read(name: VirtualFile) -> Events:
    with open_events(name) as file:
        need_on_sky(file.hdu.header, name)
        there = file.hdu.columns
        channel = next((column for column in ("pi", "energy") if column in there), "pi")
        file.hdu.need("x", "y", "ccd_id", channel)
        columns = ["x", "y", channel, *(column for column in PLACING if column in there)]
    return read_events(name, columns)


def _on_sky(bins: BinPixels, events: Events, x: Wholes, y: Wholes) -> tuple[Floats, Floats, Floats, Floats]:
    """Sky pixels of the events, and RA and Dec in degrees, of pixels of the binmap."""
    ra, dec = ImageCoords(bins.image.header).image_to_sky(x, y, "icrs")
    return *events.coords.sky_to_physical(ra, dec, "icrs"), ra, dec


def _seconds(events: Events, name: VirtualFile, bins: BinPixels, pixels: _Pixels, tiles: Sequence[ResponseTile]
             ) -> tuple[Floats, Floats, dict[int, Wholes]]:
    """Mean seconds (bins, tiles) and on chips without tiles (bins,); and by chip the tile of each pixel."""
    grid = _grid(bins, events, pixels)
    how = observed(events, AncillaryChoice().of(name.file, events.header))
    slope = acis.VIGNETTING_SLOPE if all(np.isfinite(tile.ra_deg) for tile in tiles) else 0.0
    kept = _vignetting(events, tiles, how.axis, slope)
    seconds, lost = np.zeros((pixels.bins, pixels.tiles)), np.zeros(pixels.bins)
    tile_of: dict[int, Wholes] = {}
    column = np.floor((pixels.x - grid.x.first) / grid.x.step).astype(np.int64)
    row = np.floor((pixels.y - grid.y.first) / grid.y.step).astype(np.int64)
    for part in chip_exposures(how.views, grid, how.axis, slope=slope):
        at = row - part.window[0].start, column - part.window[1].start
        ny, nx = part.seconds.shape
        inside = (at[0] >= 0) & (at[0] < ny) & (at[1] >= 0) & (at[1] < nx)
        exposed = np.zeros(len(pixels.bin))
        exposed[inside] = part.seconds[at[0][inside], at[1][inside]]
        if not exposed.any():
            continue
        nearest = _nearest(tiles, part.chip, pixels)
        if nearest is None:
            lost += np.bincount(pixels.bin, exposed, pixels.bins)
            continue
        tile_of[part.chip] = nearest
        flat = np.bincount(pixels.bin * pixels.tiles + nearest, exposed / kept[nearest], seconds.size)
        seconds += flat.reshape(seconds.shape)
    return seconds / bins.pixels[:, None], lost / bins.pixels, tile_of


def _vignetting(events: Events, tiles: Sequence[ResponseTile], axis: Floats, slope: float) -> Floats:
    """The vignetting (tiles,) at the middles of tiles, which their ARFs have; 1 for none."""
    if not slope:
        return np.ones(len(tiles))
    x, y = events.coords.sky_to_physical([tile.ra_deg for tile in tiles], [tile.dec_deg for tile in tiles], "icrs")
    kept = acis.vignetting(np.hypot(x - axis[0], y - axis[1]) * acis.PIXEL_ARCSEC / 60, slope)
    return np.where(kept > 0, kept, 1.0)


def _grid(bins: BinPixels, events: Events, pixels: _Pixels) -> Grid:
    """A grid in sky pixels of the events around all bins, about as fine as the binmap."""
    image = ImageCoords(bins.image.header)
    step = max(1.0, float(np.sqrt(image.pixel_area_arcsec2 / events.coords.pixel_area_arcsec2)))
    reached = np.isfinite(pixels.x) & np.isfinite(pixels.y)
    if not reached.all():
        raise InputError(f"{bins.image.path}: holds bins more than 90 degrees from {events.file}: they are not of one "
                         "field")
    return Grid(*(GridAxis.around(float(axis.min()) - 1, float(axis.max()) + 1, step) for axis in (pixels.x, pixels.y)))


def _nearest(tiles: Sequence[ResponseTile], chip: int, pixels: _Pixels) -> Wholes | None:
    """The index of the nearest tile of a chip to each pixel; None for a chip without tiles."""
    chosen = [index for index, tile in enumerate(tiles) if tile.chip in (None, chip)]
    if not chosen:
        return None
    if len(chosen) == 1:
        return np.full(len(pixels.bin), chosen[0])
    best, nearest = np.full(len(pixels.bin), np.inf), np.empty(len(pixels.bin), np.int64)
    east = np.cos(np.radians(pixels.dec))
    for index in chosen:
        across = (pixels.ra - tiles[index].ra_deg + 180) % 360 - 180
        distance = (across * east) ** 2 + (pixels.dec - tiles[index].dec_deg) ** 2
        closer = distance < best
        best[closer], nearest[closer] = distance[closer], index
    return nearest


def _counts(events: Events, name: VirtualFile, bins: BinPixels, at: tuple[Wholes, Wholes], pixels: _Pixels,
            tile_of: dict[int, Wholes]) -> Wholes:
    """Events of 0.5 - 2 keV (bins, tiles)."""
    values = events.columns
    channel = values["pi"] if "pi" in values else channels_of(values["energy"])
    soft = band_channels(SOFT_EV)
    chip = checked_chips(values["ccd_id"], name)
    chosen = np.flatnonzero((channel > soft.start) & (channel <= soft.stop) & np.isin(chip, list(tile_of)))
    x, y = pixel_map(events.coords, ImageCoords(bins.image.header))(values["x"][chosen], values["y"][chosen])
    number = np.full(bins.labels.shape, -1, np.int64)
    number[at] = np.arange(len(pixels.bin))
    ny, nx = bins.image.data.shape
    column, row = (np.floor(axis + 0.5) for axis in (x, y))
    inside = (row >= 0) & (row < ny) & (column >= 0) & (column < nx)
    place, chip = number[row[inside].astype(np.int64), column[inside].astype(np.int64)], chip[chosen][inside]
    counts = np.zeros(pixels.bins * pixels.tiles, np.int64)
    for each, tiles in tile_of.items():
        found = place[(chip == each) & (place >= 0)]
        counts += np.bincount(pixels.bin[found] * pixels.tiles + tiles[found], minlength=counts.size)
    return counts.reshape(pixels.bins, pixels.tiles)
