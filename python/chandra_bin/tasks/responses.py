"""Responses of all bins: which tiles of a detector each bin lies on, and for how long, from one pass over the events.

A tile is a place on a chip with an ARF and an RMF. The response of a bin is the sum over tiles of seconds x ARF x RMF,
so the cost follows tiles, not bins, and no matrix of a bin is stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s, Floats, Wholes
from chandra_bin._checks.options import Limits, Options, documented, option
from chandra_bin.acis import geometry as acis
from chandra_bin.acis.channels import channels_of
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, counted, warn
from chandra_bin.events.reader import Events
from chandra_bin.events.spectra import SOFT_EV, band_channels
from chandra_bin.exposure.maps import chip_exposures
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.virtual import Name, VirtualFile, named_files
from chandra_bin.spectral.ogip import Arf, Rmf, read_arf, read_rmf
from chandra_bin.spectral.response_files import arf_content, mixed, rmf_content
from chandra_bin.spectral.weights import ResponseTile, ResponseWeights, read_tiles

from ._bin_exposure import PixelsOfBins, grid_around, pixels_of_events, places_of, read_places
from ._bin_pixels import BinPixels, read_bin_pixels
from ._blanksky import checked_chips
from ._common import history, listed, reporting
from ._observed import observed
from ._pha import naming_responses
from ._read_responses import read_areas
from ._spectra_table import read_spectra_of_bins
from .brightness import LEAST_SEEN, pixel_weights, warn_of_partly_seen, weighing
from .inputs import files_of, plain_name
from .options import AncillaryChoice
from .spectra import ALL_BINS, obsids_of

# A bin with more than this fraction on chips without a tile has no response in that observation.
_MOST_LOST = 0.01
# Bins of which more than a part is seen so far from the middle of its tile are warned of.
_FAR_ARCMIN, _MOST_FAR = 4.0, 0.1
# Pixels whose nearest tile is sought at once: intermediate results stay in the processor's cache.
_PIXELS = 1 << 14
# Areas and matrices that are held in memory: some 10 kB and some MB each.
_AREAS, _MATRICES = 1024, 16


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
    partly: tuple[int, ...] = ()
    """Numbers of the bins whose area the observation sees by less than 0.9."""


def write_responses(events: Name | Sequence[Name], binmap: Path, tiles: Path | tuple[Path, Path], out: Path, *,
                    options: WeightOptions | None = None, brightness: Path | None = None, final: Path | None = None,
                    mask: Path | None = None, exclude: Sequence[Path] = (), keep: Sequence[Path] = (),
                    clobber: bool = False) -> list[BinsOfObservation]:
    """Write the responses of each bin in each observation, with their exposures, into one FITS file.

    Parameters
    ----------
    events : virtual name of an ACIS event file, or those of several observations, as `write_spectra` takes them.
    binmap : FITS image of bin numbers.
    tiles : table of the responses there are (.ecsv, .csv, .fits): columns ``obsid``, ``arf`` and ``rmf`` (files,
        relative to the table), and for several of an observation ``ccd_id``, and ``ra`` and ``dec`` of the tile's
        middle in degrees (ICRS). Places on a chip belong to its nearest tile. Or the ARF and the RMF of the only
        observation.
    out : the file that `fit_spectra_files` reads: blocks TILES and WEIGHTS.
    options : how the parts of a bin are weighed; None: the defaults.
    brightness : image of smoothed net counts over exposure on the pixels of the binmap, in any unit, such as
        contbin_smoothed.fits of `bin_image` with an exposure map; None: even in each bin.
    final : where ``out`` will be moved to, which the names in it are relative to; None: it stays.
    mask, exclude, keep : those that the spectra were made with.

    The seconds of a bin on a tile are the mean over the bin's pixels, weighed by their brightness, of the exposure time
    there, so that the norm is that of the whole bin. The ARF has the vignetting of the tile's middle: where tiles have
    places, the time of a pixel is multiplied by the vignetting there over that of the middle, by the formula of
    exposure maps, and by 1 / FRACEXPO, which mkarf puts into the area. A response without a place is taken to be that
    of the optical axis; a warning and CALIB = 'APPROX' state this. Without ``brightness``, a warning counts the
    bins whose area an observation sees by less than 0.9. The keyword PIXWT is BRIGHTNESS or AREA.
    Raises `InputError` and `OutputError`; no file is written then.
    """
    options = WeightOptions.or_defaults(options)
    names = named_files(events)
    obsids = obsids_of(names)
    known = read_tiles(tiles) if isinstance(tiles, Path) else _one_response(obsids, *tiles)
    given = [tiles] if isinstance(tiles, Path) else []
    responses = [file for tile in known for file in (tile.arf, tile.rmf)]
    inputs = [*files_of(*names, binmap, brightness, mask, *exclude, *keep), *given, *responses]
    with Outputs([out], inputs=inputs, clobber=clobber) as outputs:
        bins = read_bin_pixels(binmap, mask, exclude, keep)
        places = places_of(bins)
        weight = pixel_weights(brightness, bins, places)
        parts, made = [], []
        for obsid, name in reporting(list(zip(obsids, names, strict=True))):
            of_obs = [index for index, tile in enumerate(known) if tile.obsid == obsid]
            if not of_obs:
                raise InputError(f"{tiles}: has no response of ObsID {obsid}, of which {name} is")
            part, about = _observation(name, obsid, bins, places, weight, known, of_obs, options)
            parts.append(part)
            made.append(about)
        warn_of_partly_seen(binmap, (about.partly for about in made), brightness)
        lines = history("responses", {"events": " ".join(map(plain_name, names)), "binmap": binmap, "tiles": tiles,
                                      "brightness": brightness, "mask": mask, "exclude": tuple(exclude),
                                      "keep": tuple(keep), **asdict(options)})
        with outputs.open(out) as file:
            ids = bins.ids | weighing(brightness) | approximate(known)
            ResponseWeights.joined(known, parts, areas_of(bins), ids).write(file, (final or out).parent, lines)
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


def write_response_files(responses: Path, folder: Path, bins: Sequence[int] | None = None, *,
                         clobber: bool = False) -> list[Path]:
    """Write the responses of some bins as files for XSPEC and Sherpa: ``{obsid}/xaf_N.arf`` and ``.rmf``.

    Parameters
    ----------
    responses : the file of `write_responses`.
    folder : that of `write_spectra`, whose spectra the files belong to.
    bins : numbers of bins; None: all.

    The area is that of all tiles, times the part of EXPOSURE that each saw of the bin. Bins that an observation does
    not see have no files there. The spectra ``xaf_N.pi`` and ``xaf_N_grp.pi`` that are in the folder get the names of
    their responses (ANCRFILE, RESPFILE), so that XSPEC and Sherpa find them. Returns the files of responses. Raises
    `InputError`, for bins that are in no observation too, and `OutputError`; no file is written then.
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
    named = _named_spectra(stems)
    response_of = MixedResponses(weights)
    with Outputs(files, inputs=[responses], clobber=clobber) as outputs:
        for stem, (obsid, number, at) in reporting(list(zip(stems, rows, strict=True))):
            table = tables[obsid]
            seconds = table.exposure_s[table.bin == number]
            if not (seconds.size and seconds[0] > 0):
                raise InputError(f"{folder / f'{obsid:05d}' / ALL_BINS}: has no exposure in bin {number}")
            arf, rmf = response_of(at, float(seconds[0]))
            lines = history("responses", {"responses": responses, "bin": number, "obsid": obsid})
            outputs.write(stem.with_suffix(".arf"), arf_content(arf, lines))
            outputs.write(stem.with_suffix(".rmf"), rmf_content(rmf, lines))
    with Outputs(named, clobber=True) as outputs:  # responses first: no spectrum names a file that does not exist
        for path, content in named.items():
            outputs.write(path, content)
    return files


class MixedResponses:
    """The responses of bins as files of XSPEC and Sherpa have them; what bins share is read once."""

    def __init__(self, weights: ResponseWeights) -> None:
        self._weights = weights
        self._area, self._matrix = lru_cache(maxsize=_AREAS)(read_arf), lru_cache(maxsize=_MATRICES)(read_rmf)

    def __call__(self, rows: Wholes, exposure_s: float) -> tuple[Arf, Rmf]:
        """Return the response of some rows of the weights, those of a bin in an observation of this EXPOSURE."""
        tiles = [self._weights.tiles[tile] for tile in self._weights.tile[rows]]
        arf, rmf = mixed([(self._area(tile.arf), self._matrix(tile.rmf)) for tile in tiles],
                         self._weights.seconds[rows] / exposure_s)
        return replace(arf, exposure_s=exposure_s), rmf


def _named_spectra(stems: Sequence[Path]) -> dict[Path, bytes]:
    """Return the existing spectra of bins, plain and grouped, with the names of their responses."""
    made = {}
    for stem in stems:
        for path in (stem.with_suffix(".pi"), stem.with_name(f"{stem.name}_grp.pi")):
            if path.is_file():
                content = naming_responses(path.read_bytes(), f"{stem.name}.arf", f"{stem.name}.rmf")
                if content is None:
                    raise InputError(f"{path}: has no keywords ANCRFILE and RESPFILE: make it again with 'chandra-bin "
                                     "spectra'")
                made[path] = content
    return made


def areas_of(bins: BinPixels) -> dict[int, float]:
    """Return the areas of bins by their numbers, arcsec2."""
    areas = bins.pixels * ImageCoords(bins.image.header).pixel_area_arcsec2
    return dict(zip(bins.numbers, areas.tolist(), strict=True))


def _observation(name: VirtualFile, obsid: int, bins: BinPixels, at: tuple[Wholes, Wholes],
                 weight: Float32s | None, tiles: Sequence[ResponseTile], of_obs: list[int], options: WeightOptions
                 ) -> tuple[ResponseWeights, BinsOfObservation]:
    events = read_places(name)
    pixels = PixelsOfBins.of(bins, at, events, len(of_obs), weight)
    mine = [tiles[index] for index in of_obs]
    areas, fractions = np.array([_area_of(*each) for each in zip(mine, read_areas(mine), strict=True)]).T
    seconds, lost, partly, tile_of = _seconds(events, name, bins, pixels, mine)
    seconds /= fractions
    counts = _counts(events, name, bins, at, pixels, tile_of)
    # Where pixels of negative brightness prevail, the sum stays, and the tile is left out.
    total, seconds = np.maximum(seconds.sum(axis=1), 0), np.maximum(seconds, 0)
    whole = seconds.sum(axis=1)
    seconds *= (total / np.where(whole > 0, whole, 1))[:, None]
    gone = lost > _MOST_LOST * (total + lost)
    if gone.any():
        warn(f"{name}: {counted(int(gone.sum()), 'bin lies', 'bins lie')} partly on chips without a tile: without a "
             f"response in ObsID {obsid}; the first is {bins.numbers[int(np.argmax(gone))]}")
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
                                      tuple(np.array(bins.numbers)[partly].tolist()))


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


def _seconds(events: Events, name: VirtualFile, bins: BinPixels, pixels: PixelsOfBins, tiles: Sequence[ResponseTile]
             ) -> tuple[Floats, Floats, NDArray[np.bool_], dict[int, Wholes]]:
    """Return the exposure of bins.

    These are mean seconds (bins, tiles), mean seconds on chips without tiles (bins,), which bins are seen in part
    (bins,), and by chip the tile of each pixel.
    """
    grid = grid_around(bins, events, pixels)
    places = pixels.on(grid)
    how = observed(events, AncillaryChoice().of(name.file, events.header))
    middles = _middles(events, tiles)
    kept = _vignetting(events, tiles, middles, how.axis)
    seconds = np.zeros((pixels.bins, pixels.tiles))
    lost, far, by_area = np.zeros((3, pixels.bins))
    tile_of: dict[int, Wholes] = {}
    for view in how.views:
        chosen = [number for number, tile in enumerate(tiles) if tile.chip == view.chip] or [
            number for number, tile in enumerate(tiles) if tile.chip is None]
        has_place = any(np.isfinite(tiles[number].ra_deg) for number in chosen)
        for part in chip_exposures([view], grid, how.axis):
            seen, exposed = places.seconds_of(part)
            bin_of = pixels.bin[seen]
            by_area += np.bincount(bin_of, exposed, pixels.bins)
            exposed = pixels.weighed(exposed, seen)
            if not chosen:
                lost += np.bincount(bin_of, exposed, pixels.bins)
            elif seen.size:
                nearest, arcmin = _nearest(middles, chosen, pixels, seen) if has_place else (
                    np.full(seen.size, chosen[0]),
                    _off_axis_arcmin(pixels.x[seen], pixels.y[seen], how.axis))
                tile_of[view.chip] = np.full(len(pixels.bin), chosen[0])
                tile_of[view.chip][seen] = nearest
                flat = np.bincount(bin_of * pixels.tiles + nearest, exposed / kept[nearest], seconds.size)
                seconds += flat.reshape(seconds.shape)
                far += np.bincount(bin_of, exposed * (arcmin > _FAR_ARCMIN), pixels.bins)
    _check_chips(tiles, tile_of, name)
    if without := [tile for tile in tiles if not np.isfinite(tile.ra_deg)]:
        warn(f"{name}: {without[0].arf.name} has no place: it is taken to be that of the optical axis, and the area of "
             "a bin to be its own times the vignetting there, by the formula for 2.3 keV (CALIB = 'APPROX')")
    distant = far > _MOST_FAR * seconds.sum(axis=1)
    if distant.any():
        warn(f"{name}: {counted(int(distant.sum()), 'bin is', 'bins are')} more than {_FAR_ARCMIN:g}' from the middle "
             "of the nearest tile, or from the optical axis where a tile has no place: areas change over such a "
             "distance; give more tiles")
    live_s = max((view.livetime_s for view in how.views), default=0.0)
    partly = _seen_in_part(pixels, by_area, live_s, how.axis)
    return seconds / bins.pixels[:, None], lost / bins.pixels, partly, tile_of


def _seen_in_part(pixels: PixelsOfBins, exposed: Floats, live_s: float, axis: Floats) -> NDArray[np.bool_]:
    """Return which bins (bins,) are seen, but by less than `LEAST_SEEN` of their area times vignetting.

    ``exposed`` is the sum over the pixels of each bin of their exposure with vignetting, (bins,) s.
    """
    size = np.bincount(pixels.bin, minlength=pixels.bins)
    partly: NDArray[np.bool_] = (exposed > 0) & (exposed < LEAST_SEEN * live_s * size)
    chosen = np.flatnonzero(partly[pixels.bin])
    vignetting = acis.vignetting(_off_axis_arcmin(pixels.x[chosen], pixels.y[chosen], axis))
    return partly & (exposed < LEAST_SEEN * live_s * np.bincount(pixels.bin[chosen], vignetting, pixels.bins))


def _check_chips(tiles: Sequence[ResponseTile], tile_of: Mapping[int, Wholes], name: VirtualFile) -> None:
    """Raise `InputError` where one response is given for front- and back-illuminated chips."""
    general = [chip for chip, nearest in tile_of.items() if tiles[int(nearest[0])].chip is None]
    if len({chip in acis.BACK_ILLUMINATED for chip in general}) > 1:
        raise InputError(f"{name}: one response is given for chips {listed(sorted(general))}, front- and "
                         "back-illuminated: give the tiles of each chip (ccd_id)")


def _off_axis_arcmin(x: Floats, y: Floats, axis: Floats) -> Floats:
    """Return angles (n,) of sky pixels of the events from the optical axis."""
    angle: Floats = np.hypot(x - axis[0], y - axis[1]) * acis.PIXEL_ARCSEC / 60
    return angle


def _middles(events: Events, tiles: Sequence[ResponseTile]) -> Floats:
    """Return the middles of tiles, (2, tiles) sky pixels of the events; NaN for tiles without a place."""
    made = np.full((2, len(tiles)), np.nan)
    placed = np.isfinite([tile.ra_deg + tile.dec_deg for tile in tiles])
    ra, dec = np.array([(tile.ra_deg, tile.dec_deg) for tile in tiles])[placed].T
    made[:, placed] = events.coords.sky_to_physical(ra, dec, "icrs")
    return made


def _vignetting(events: Events, tiles: Sequence[ResponseTile], middles: Floats, axis: Floats) -> Floats:
    """Return the vignetting (tiles,) at the middles of tiles, which their ARFs include; 1 for tiles without a place.

    Raises `InputError` for places that the mirror does not reach.
    """
    made = np.ones(len(tiles))
    placed = np.flatnonzero([np.isfinite(tile.ra_deg + tile.dec_deg) for tile in tiles])
    angle = _off_axis_arcmin(middles[0, placed], middles[1, placed], axis)
    made[placed] = np.where(np.isfinite(angle), acis.vignetting(np.nan_to_num(angle)), 0)
    if (made <= 0).any():
        tile = tiles[int(np.argmax(made <= 0))]
        raise InputError(f"{tile.arf}: its place in the table of tiles, RA {tile.ra_deg:g}, Dec {tile.dec_deg:g}, is "
                         f"far from where {events.file} points: give degrees (ICRS)")
    return made


def _nearest(middles: Floats, chosen: Sequence[int], pixels: PixelsOfBins, seen: Wholes) -> tuple[Wholes, Floats]:
    """Return the index of the nearest of some tiles to each pixel that is seen, and the distance in arcmin.

    ``middles`` are those of all tiles, (2, tiles) sky pixels of the events: distances on this plane are right near the
    poles and across RA 0.
    """
    nearest, arcmin = np.empty(len(seen), np.int64), np.empty(len(seen))
    for begin in range(0, len(seen), _PIXELS):
        part = slice(begin, begin + _PIXELS)
        x, y = pixels.x[seen[part]], pixels.y[seen[part]]
        least, index = np.full(len(x), np.inf, np.float32), np.full(len(x), chosen[0])
        for each in chosen:
            square = ((x - middles[0, each]) ** 2 + (y - middles[1, each]) ** 2).astype(np.float32)
            nearer = square < least
            least[nearer], index[nearer] = square[nearer], each
        nearest[part], arcmin[part] = index, np.sqrt(least) * (acis.PIXEL_ARCSEC / 60)
    return nearest, arcmin


def _counts(events: Events, name: VirtualFile, bins: BinPixels, at: tuple[Wholes, Wholes], pixels: PixelsOfBins,
            tile_of: dict[int, Wholes]) -> Wholes:
    """Return the events of 0.5 - 2 keV (bins, tiles)."""
    values = events.columns
    channel = values["pi"] if "pi" in values else channels_of(values["energy"])
    soft = band_channels(SOFT_EV)
    chip = checked_chips(values["ccd_id"], name)
    chosen = np.flatnonzero((channel > soft.start) & (channel <= soft.stop) & np.isin(chip, list(tile_of)))
    inside, row, column = pixels_of_events(events, bins, chosen)
    number = np.full(bins.labels.shape, -1, np.int64)
    number[at] = np.arange(len(pixels.bin))
    place, chip = number[row, column], chip[chosen][inside]
    counts = np.zeros(pixels.bins * pixels.tiles, np.int64)
    for each, tiles in tile_of.items():
        found = place[(chip == each) & (place >= 0)]
        counts += np.bincount(pixels.bin[found] * pixels.tiles + tiles[found], minlength=counts.size)
    return counts.reshape(pixels.bins, pixels.tiles)
