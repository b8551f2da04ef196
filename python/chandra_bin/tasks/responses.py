"""Responses of all bins: which tiles of a detector each bin lies on, and for how long, from one pass over the events.

A tile is a place on a chip with an ARF and an RMF. The response of a bin is the sum over tiles of seconds x ARF x RMF,
so the cost follows tiles, not bins, and no matrix of a bin is stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s, Floats, Wholes
from chandra_bin._checks.options import Limits, Options, documented, option
from chandra_bin._checks.paths import FileName, as_path, as_path_or_none, as_paths
from chandra_bin.acis.channels import channels_of
from chandra_bin.coords.grids import Grid
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, counted, warn
from chandra_bin.events.reader import Events
from chandra_bin.events.spectra import SOFT_EV, band_channels
from chandra_bin.exposure.maps import chip_exposures
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.virtual import Name, VirtualFile, named_files
from chandra_bin.spectral.ogip import Arf
from chandra_bin.spectral.weights import ResponseTile, ResponseWeights, read_tiles

from ._bin_exposure import BinsOnSky, ExposedCells, PixelsOnGrid, read_places
from ._bin_pixels import BinPixels, need_bins, read_bin_pixels
from ._blanksky import checked_chips
from ._common import history, listed, reporting
from ._in_order import Poll, in_order
from ._observed import Observed, observed
from ._read_responses import read_areas
from ._tile_places import ChipTiles, check_chips, middles_of, vignetting_at
from .brightness import pixel_weights, warn_of_partly_seen, weighing
from .inputs import files_of, plain_name
from .options import AncillaryChoice
from .response_files import FilesOfBins, PlannedFiles
from .spectra import obsids_of

# A bin with more than this fraction on chips without a tile has no response in that observation.
_MOST_LOST = 0.01
# Bins of which more than a part is seen so far from the middle of its tile are warned of.
_FAR_ARCMIN, _MOST_FAR = 4.0, 0.1
# Part of the progress that finding the tiles of bins takes, where files of bins are written, too.
_SHARE = 0.5


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
    """The bins and tiles of one observation."""

    obsid: int
    bins: int
    """Bins that the observation sees, on chips with tiles."""
    tiles: int
    """Tiles that any of them lies on."""
    by_counts: int
    """Bins whose tiles are weighed by counts; the others by exposed area."""
    files: tuple[Path, ...] = ()
    """The ARF and RMF files of bins that were written, too."""
    partly: tuple[int, ...] = ()
    """Numbers of the bins whose area the observation sees by less than 0.9."""


def write_responses(events: Name | Sequence[Name], binmap: FileName, tiles: FileName | tuple[FileName, FileName],
                    out: FileName | tuple[FileName, FileName], *, options: WeightOptions | None = None,
                    brightness: FileName | None = None, files: FilesOfBins | None = None, mask: FileName | None = None,
                    exclude: Sequence[FileName] = (), keep: Sequence[FileName] = (), clobber: bool = False,
                    threads: int = 1) -> list[BinsOfObservation]:
    """Write the responses of each bin in each observation, with their exposures, into one FITS file.

    Parameters
    ----------
    events : virtual name of an ACIS event file, or those of several observations, as `write_spectra` takes them.
    binmap : FITS image of bin numbers.
    tiles : table of the responses there are (.ecsv, .csv, .fits): columns ``obsid``, ``arf`` and ``rmf`` (files,
        relative to the table), and for several of an observation ``ccd_id``, and ``ra`` and ``dec`` of the tile's
        middle in degrees (ICRS). Places on a chip belong to its nearest tile. Or the ARF and the RMF of the only
        observation.
    out : the file that `fit_spectra_files` reads: blocks TILES and WEIGHTS. Or this file and where it will be moved
        to, which the names in it are relative to.
    options : how the parts of a bin are weighed; None: the defaults.
    brightness : image of smoothed net counts over exposure on the pixels of the binmap, in any unit, as
        `write_brightness` makes it; None: even in each bin.
    files : files of the bins to write, too; None: none.
    mask, exclude, keep : those that the spectra were made with.
    threads : number of threads, which changes no result: an observation is read while others are computed.
        At most four are in memory.

    The seconds of a bin on a tile are the mean over the bin's pixels, weighed by their brightness, of the exposure time
    there, so that the norm is that of the whole bin. The ARF has the vignetting of the tile's middle: where tiles have
    places, the time of a pixel is multiplied by the vignetting there over that of the middle, by the formula of
    exposure maps, and by 1 / FRACEXPO, which mkarf puts into the area. A response without a place is taken to be that
    of the optical axis; a warning and CALIB = 'APPROX' state this. Without ``brightness``, a warning counts the
    bins whose area an observation sees by less than 0.9. The keyword PIXWT is BRIGHTNESS or AREA.
    Raises `InputError` and `OutputError`; no file is written then.
    """
    binmap = as_path(binmap, "binmap")
    brightness, mask = as_path_or_none(brightness, "brightness"), as_path_or_none(mask, "mask")
    exclude, keep = as_paths(exclude, "exclude"), as_paths(keep, "keep")
    options = WeightOptions.or_defaults(options)
    out, final = as_paths(out if isinstance(out, tuple) else (out, out), "out")
    given = ((as_path(tiles[0], "arf"), as_path(tiles[1], "rmf")) if isinstance(tiles, tuple)
             else as_path(tiles, "tiles"))
    names = named_files(events)
    obsids = obsids_of(names)
    known = read_tiles(given) if isinstance(given, Path) else _one_response(obsids, *given)
    inputs = [*files_of(*names, binmap, brightness, mask, *exclude, *keep), *(file for tile in known for file in (
        tile.arf, tile.rmf)), *([given] if isinstance(given, Path) else [])]
    bins = read_bin_pixels(binmap, mask, exclude, keep)
    need_bins(binmap, (files and files.bins) or (), bins.numbers,
              " outside excluded pixels" if mask or exclude or keep else "")
    of_bins = PlannedFiles.of(files, obsids, bins.numbers, binmap, bins.ids) if files else PlannedFiles.none()
    with Outputs([out, *of_bins.paths], inputs=inputs, replaces=of_bins.spectra, clobber=clobber) as outputs:
        share = 1.0 if files is None else _SHARE
        pixels = pixel_weights(brightness, bins)
        found = in_order(_with_tiles(obsids, names, known, given), partial(_read, bins, pixels, known),
                         partial(_observation, bins, options), threads)
        parts, made = zip(*(each for _, each in zip(reporting(obsids, end=share), found, strict=True)), strict=True)
        warn_of_partly_seen(binmap, (about.partly for about in made), brightness)
        lines = history("responses", {"events": " ".join(map(plain_name, names)), "binmap": binmap, "tiles": given,
                                      "brightness": brightness, "mask": mask, "exclude": exclude,
                                      "keep": keep, **asdict(options)})
        ids = bins.ids | weighing(brightness) | approximate(known)
        weights = ResponseWeights.joined(known, parts, areas_of(bins), ids)
        with outputs.open(out) as file:
            weights.write(file, final.parent, lines)
        written = of_bins.write(outputs, weights, out, start=share)
    return [replace(each, files=tuple(written.get(each.obsid, ()))) for each in made]


def _with_tiles(obsids: Sequence[int], names: Sequence[VirtualFile], known: Sequence[ResponseTile],
                given: Path | tuple[Path, Path]) -> list[tuple[int, VirtualFile, list[int]]]:
    """Return each observation with the indices of its tiles. Raises `InputError` for an observation without a tile."""
    made = []
    for obsid, name in zip(obsids, names, strict=True):
        mine = [index for index, tile in enumerate(known) if tile.obsid == obsid]
        if not mine:
            raise InputError(f"{given}: has no response of ObsID {obsid}, that of {name}")
        made.append((obsid, name, mine))
    return made


def _one_response(obsids: Sequence[int], arf: Path, rmf: Path) -> tuple[ResponseTile, ...]:
    """Return the only response of the only observation."""
    if len(obsids) > 1:
        raise InputError(f"{arf}: is the response of one observation, and there are {len(obsids)}: give a table with a "
                         "row for each (--tiles)")
    return (ResponseTile(obsids[0], None, np.nan, np.nan, arf, rmf),)


def approximate(tiles: Sequence[ResponseTile]) -> dict[str, str]:
    """Return the keyword CALIB where a response without a place stands for a whole observation."""
    return {} if all(np.isfinite(tile.ra_deg) for tile in tiles) else {"CALIB": "APPROX"}


def areas_of(bins: BinPixels) -> dict[int, float]:
    """Return the areas of bins by their numbers, arcsec2."""
    areas = bins.pixels * ImageCoords(bins.image.header).pixel_area_arcsec2
    return dict(zip(bins.numbers, areas.tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class _Read:
    """The files of an observation."""

    obsid: int
    name: VirtualFile
    soft: Events
    """Events of 0.5 - 2 keV: x, y and ccd_id."""
    on_sky: BinsOnSky
    grid: Grid
    """The pixels that exposures are computed on."""
    how: Observed
    tiles: list[ResponseTile]
    numbers: list[int]
    """The indices of the tiles among those of all observations."""
    areas: Floats
    """Mean areas of 0.5 - 2 keV, (tiles,) cm2."""
    fractions: Floats
    """Fractions of the time that the areas include, (tiles,)."""
    middles: Floats
    """(2, tiles) sky pixels of the events; NaN for tiles without a place."""
    vignetting: Floats
    """That at the middles, (tiles,)."""


def _read(bins: BinPixels, weights: Float32s | None, tiles: Sequence[ResponseTile],
          which: tuple[int, VirtualFile, list[int]]) -> _Read:
    obsid, name, of_obs = which
    events = read_places(name)
    on_sky = BinsOnSky.of(bins, events, weights)
    mine = [tiles[index] for index in of_obs]
    areas, fractions = np.array([_area_of(*each) for each in zip(mine, read_areas(mine), strict=True)]).T
    grid = on_sky.grid()
    how = observed(events, AncillaryChoice().of(name.file, events.header))
    middles = middles_of(events, mine)
    return _Read(obsid, name, _soft(events, name), on_sky, grid, how, mine, of_obs, areas, fractions, middles,
                 vignetting_at(events, mine, middles, how.axis))


def _observation(bins: BinPixels, options: WeightOptions, read: _Read,
                 poll: Poll) -> tuple[ResponseWeights, BinsOfObservation]:
    name, obsid, of_obs, areas = read.name, read.obsid, read.numbers, read.areas
    seconds, lost_on, partly, tile_of = _seconds(read, bins, poll)
    lost = sum(lost_on.values(), np.zeros(len(bins.numbers)))
    seconds /= read.fractions
    counts = _counts(read, bins, tile_of)
    # Where pixels of negative brightness prevail, the sum stays, and the tile is left out.
    total, seconds = seconds.sum(axis=1), np.maximum(seconds, 0)
    if (dark := total < 0).any():
        warn(f"{name}: {counted(int(dark.sum()), 'bin has', 'bins have')} a negative brightness where ObsID {obsid} "
             f"sees it, and therefore no response there; the first is {bins.numbers[int(np.argmax(dark))]}")
    total = np.maximum(total, 0)
    whole = seconds.sum(axis=1)
    seconds *= (total / np.where(whole > 0, whole, 1))[:, None]
    gone = lost > _MOST_LOST * (total + lost)
    if gone.any():
        chips = sorted(chip for chip, seconds_there in lost_on.items() if seconds_there[gone].any())
        _warn_of_chips(read, chips, np.array(bins.numbers)[gone], int(np.count_nonzero(total[gone] == 0)))
    # Counts go as seconds x area x flux, and shares are those of the flux.
    flux = np.where(seconds > 0, counts / areas, 0)
    by_counts = (options.weights == "counts") & (counts.sum(axis=1) >= options.min_weight_counts) & flux.any(axis=1)
    shares = flux / np.where(by_counts, flux.sum(axis=1), 1)[:, None]
    shared = np.where(by_counts[:, None], total[:, None] * shares, seconds)
    shared[gone] = 0
    b, tile = np.nonzero(shared)
    seen = np.unique(b)
    weights = ResponseWeights((), np.array(bins.numbers)[b], np.full(len(b), obsid), np.array(of_obs)[tile],
                              shared[b, tile], counts[b, tile])
    return weights, BinsOfObservation(obsid, len(seen), len(np.unique(tile)), int(by_counts[seen].sum()),
                                      partly=tuple(np.array(bins.numbers)[partly].tolist()))


def _warn_of_chips(read: _Read, chips: Sequence[int], bins: Wholes, entirely: int) -> None:
    """Warn of the numbers of bins that lie on chips without a tile, some of them entirely."""
    partly = len(bins) - entirely
    how = f"partly ({partly}) or entirely ({entirely})" if partly and entirely else "partly" if partly else "entirely"
    warn(f"{read.name}: {counted(len(bins), 'bin lies', 'bins lie')} {how} on chips without a tile (ccd_id "
         f"{listed(chips)}), and therefore without a response in ObsID {read.obsid}; the first is {bins[0]}: add tiles "
         "of these chips to the table")


def _area_of(tile: ResponseTile, arf: Arf) -> tuple[float, float]:
    """Return the mean area of 0.5 - 2 keV, cm2, and the fraction of the time that the area of a tile includes.

    Raises `InputError` for an ARF without area in this band.
    """
    low, high = (energy / 1000 for energy in SOFT_EV)
    inside = (arf.energy_lo >= low) & (arf.energy_hi <= high)
    area = float(arf.area_cm2[inside].mean()) if inside.any() else 0.0
    if not area > 0:
        raise InputError(f"{tile.arf}: has no area at {low:g} - {high:g} keV: its place may be off the chip; make it "
                         "again, or leave it out of the table")
    return area, arf.fraction


def _chips(read: _Read, poll: Poll) -> list[ChipTiles]:
    """Return the exposures of the chips on the grid, each with its tiles, or those of all chips."""
    made = []
    for view in read.how.views:
        poll()
        chosen = [number for number, tile in enumerate(read.tiles) if tile.chip == view.chip] or [
            number for number, tile in enumerate(read.tiles) if tile.chip is None]
        has_place = any(np.isfinite(read.tiles[number].ra_deg) for number in chosen)
        middles = read.middles[:, chosen] if has_place else None
        made += [ChipTiles(part, view.livetime_s, chosen, middles, read.how.axis)
                 for part in chip_exposures([view], read.grid, read.how.axis)]
    return made


def _seconds(read: _Read, bins: BinPixels, poll: Poll) -> tuple[Floats, dict[int, Floats], NDArray[np.bool_],
                                                                 dict[int, ChipTiles]]:
    """Return the exposure of bins.

    These are mean seconds (bins, tiles), mean seconds (bins,) on each chip without tiles by its number, which bins are
    seen in part (bins,), and the chips that see bins.
    """
    name, tiles = read.name, read.tiles
    number = len(bins.numbers)
    seconds = np.zeros((number, len(tiles)))
    far, by_area = np.zeros((2, number))
    chips = _chips(read, poll)
    lost = {chip.part.chip: np.zeros(number) for chip in chips if not chip.chosen}
    tile_of: dict[int, ChipTiles] = {}
    for pixels in read.on_sky.blocks(ExposedCells.of([chip.part for chip in chips], read.grid)):
        poll()
        places, bin_of_all = pixels.on(read.grid), pixels.of(bins.labels)
        for chip in chips:
            seen, exposed = places.seconds_of(chip.part)
            bin_of = bin_of_all[seen]
            by_area += np.bincount(bin_of, exposed / chip.livetime_s, number)
            exposed = pixels.weighed(exposed, seen)
            if not chip.chosen:
                lost[chip.part.chip] += np.bincount(bin_of, exposed, number)
            elif seen.size:
                tile_of[chip.part.chip] = chip
                nearest, arcmin = chip.nearest(pixels.x[seen], pixels.y[seen])
                flat = np.bincount(bin_of * len(tiles) + nearest, exposed / read.vignetting[nearest], seconds.size)
                seconds += flat.reshape(seconds.shape)
                far += np.bincount(bin_of, exposed * (arcmin > _FAR_ARCMIN), number)
    check_chips(tiles, tile_of, name)
    if without := [tile for tile in tiles if not np.isfinite(tile.ra_deg)]:
        warn(f"{name}: {without[0].arf.name} has no place: it is taken to be that of the optical axis, and the area of "
             "a bin to be its own times the vignetting there, by the formula for 2.3 keV (CALIB = 'APPROX')")
    distant = far > _MOST_FAR * seconds.sum(axis=1)
    if distant.any():
        warn(f"{name}: {counted(int(distant.sum()), 'bin is', 'bins are')} more than {_FAR_ARCMIN:g}' from the middle "
             "of the nearest tile, or from the optical axis where a tile has no place: areas change over such a "
             "distance; give more tiles")
    lost = {chip: its / bins.pixels for chip, its in lost.items()}
    return seconds / bins.pixels[:, None], lost, read.on_sky.seen_in_part(by_area, read.how.axis), tile_of


def _soft(events: Events, name: VirtualFile) -> Events:
    """Return the events of 0.5 - 2 keV. Raises `InputError` for a chip that ACIS does not have."""
    checked_chips(events["ccd_id"], name)
    channel = events["pi"] if "pi" in events.columns else channels_of(events["energy"])
    soft = band_channels(SOFT_EV)
    chosen = (channel > soft.start) & (channel <= soft.stop)
    return replace(events, columns={column: events[column][chosen] for column in ("x", "y", "ccd_id")})


def _counts(read: _Read, bins: BinPixels, tile_of: Mapping[int, ChipTiles]) -> Wholes:
    """Return the events of 0.5 - 2 keV (bins, tiles): those of a pixel belong to the tile of its centre."""
    inside, row, column = read.on_sky.pixels_of_events(read.soft)
    label, chip = bins.labels[row, column], read.soft["ccd_id"][inside]
    counts = np.zeros(len(bins.numbers) * len(read.tiles), np.int64)
    for each, its in tile_of.items():
        found = np.flatnonzero((chip == each) & (label >= 0))
        x, y = read.on_sky.to_sky(column[found], row[found])
        seen, _ = PixelsOnGrid.of(x, y, read.grid).seconds_of(its.part)
        tile = np.full(len(found), its.chosen[0])
        tile[seen], _ = its.nearest(x[seen], y[seen])
        counts += np.bincount(label[found] * len(read.tiles) + tile, minlength=counts.size)
    return counts.reshape(len(bins.numbers), len(read.tiles))
