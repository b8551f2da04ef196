"""Responses per bin, such as those of specextract: each bin has its own ARF and RMF."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s, Floats, Wholes
from chandra_bin._checks.paths import FileName, as_path, as_path_or_none, as_paths
from chandra_bin.coords.grids import Grid
from chandra_bin.errors import InputError, counted, warn
from chandra_bin.events.reader import Events
from chandra_bin.exposure.maps import chip_exposures
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.virtual import Name, VirtualFile, named_files
from chandra_bin.spectral.ogip import Arf
from chandra_bin.spectral.weights import ResponseTile, ResponseWeights

from ._bin_exposure import BinsOnSky, ExposedCells, read_places
from ._bin_pixels import BinPixels, read_bin_pixels
from ._common import history
from ._in_order import Poll, in_order
from ._observed import Observed, observed
from ._read_responses import read_areas
from .brightness import pixel_weights, warn_of_partly_seen, weighing
from .inputs import files_of, plain_name
from .options import AncillaryChoice
from .responses import areas_of
from .spectra import obsids_of

_BIN, _OBSID = "{bin}", "{obsid}"
# Largest number of bins that a message lists.
_MOST_LISTED = 10
# ARFs whose EXPOSURE differs by more than this from the live time of the events are warned of.
_MOST_OTHER_EXPOSURE = 0.01
# Exposures over the live time above this are due to pixels of negative brightness, not to rounding.
_MOST_SEEN = 1.01


@dataclass(frozen=True)
class BinsWithFiles:
    """The bins of one observation, by their files."""

    obsid: int
    bins: tuple[int, ...]
    """Bins with an ARF and an RMF."""
    without_events: tuple[int, ...]
    """Bins without files and without events, which specextract skips."""
    missing: tuple[int, ...]
    """Bins with events but without files: they have no response in this observation."""
    partly: tuple[int, ...] = ()
    """Bins with files whose area the observation sees by less than 0.9."""


def write_bin_responses(events: Name | Sequence[Name], binmap: FileName, pattern: str, out: FileName, *,
                        brightness: FileName | None = None, mask: FileName | None = None,
                        exclude: Sequence[FileName] = (), keep: Sequence[FileName] = (), clobber: bool = False,
                        threads: int = 1) -> list[BinsWithFiles]:
    """Write the response files of each bin in each observation into the file that `fit_spectra_files` reads.

    Parameters
    ----------
    events : virtual name of an ACIS event file, or those of several observations, as `write_spectra` takes them.
    binmap : FITS image of bin numbers.
    pattern : name of the ARFs, with ``{bin}`` for the number of a bin and ``{obsid}`` for that of an observation, with
        or without zeros in front; the RMF has the ending ``.rmf`` in place of ``.arf``.
    out, brightness, mask, exclude, keep, threads : as `write_responses` takes them.

    Notes
    -----
    The area of such a file is the mean over the places of a bin's events. It includes the vignetting and the time that
    the dither moved these places off the chip (mkwarf), or that of one place (mkarf: FRACEXPO); neither is applied
    again. It lacks the part of the bin that the observation did not see. With t the live time of these events, not the
    EXPOSURE of the ARF, e the exposure of a pixel over t, and b its brightness over the mean of the bin (1 without
    ``brightness``), the exposure of a bin of N pixels is t (sum b e)^2 / (N sum b e^2), or t (sum b e) / (N FRACEXPO)
    where the file has FRACEXPO: t for a bin that is seen as a whole. Where pixels of negative brightness make a sum
    negative, or an exposure longer than t, b is 1 in that bin.

    Raises `InputError` for a pattern without ``{bin}``, bad or missing files and files of another observation, and
    `OutputError`. Warns of bins with events but without files, ARFs whose EXPOSURE differs by more than 1 % from the
    events' live time, filters on the sky, bins of too negative brightness, and without ``brightness`` of bins that are
    seen in part.
    """
    binmap, out = as_path(binmap, "binmap"), as_path(out, "out")
    brightness, mask = as_path_or_none(brightness, "brightness"), as_path_or_none(mask, "mask")
    exclude, keep = as_paths(exclude, "exclude"), as_paths(keep, "keep")
    names = named_files(events)
    obsids = obsids_of(names)
    _check_pattern(pattern, len(obsids))
    bins = read_bin_pixels(binmap, mask, exclude, keep)
    tiles = _files_of_bins(pattern, obsids, bins.numbers)
    known = [tile for obsid in obsids for tile in tiles[obsid].values()]
    inputs = [*files_of(*names, binmap, brightness, mask, *exclude, *keep),
              *(file for tile in known for file in (tile.arf, tile.rmf))]
    with Outputs([out], inputs=inputs, clobber=clobber) as outputs:
        parts, made, first_tile = [], [], 0
        read = partial(_read, bins, pixel_weights(brightness, bins), tiles)
        found_in = in_order(list(zip(obsids, names, strict=True)), read, partial(_observation, bins), threads)
        for obsid, (part, found) in zip(obsids, found_in, strict=True):
            parts.append(replace(part, tile=part.tile + first_tile))
            first_tile += len(tiles[obsid])
            made.append(found)
        warn_of_partly_seen(binmap, (found.partly for found in made), brightness)
        lines = history("responses", {"events": " ".join(map(plain_name, names)), "binmap": binmap, "per_bin": pattern,
                                      "brightness": brightness, "mask": mask, "exclude": exclude,
                                      "keep": keep})
        weights = ResponseWeights.joined(known, parts, areas_of(bins), bins.ids | weighing(brightness))
        with outputs.open(out) as file:
            weights.write(file, out.parent, lines)
    return made


def _check_pattern(pattern: str, observations: int) -> None:
    """Raise `InputError` for a pattern that names one file for several bins or ObsIDs."""
    if _BIN not in pattern:
        raise InputError(f"{pattern}: mark the place of the bin number in the names: '{_OBSID}/xaf_{_BIN}.arf'")
    if observations > 1 and _OBSID not in pattern:
        raise InputError(f"{pattern}: mark the place of the ObsID in the names, as there are {observations} "
                         f"observations: '{_OBSID}/xaf_{_BIN}.arf'")


def _files_of_bins(pattern: str, obsids: Sequence[int], numbers: Sequence[int]) -> dict[int, dict[int, ResponseTile]]:
    """Return the responses of bins by ObsID. Raises `InputError` where no bin has one."""
    stem = pattern.removesuffix(".arf").removesuffix(".rmf")
    tiles = {obsid: _files_of(stem, obsid, numbers) for obsid in obsids}
    if not any(tiles.values()):
        first = _candidates(stem, obsids[0], numbers[0])[0]
        raise InputError(f"{pattern}: files of all bins are missing, {first}.arf and .rmf for example")
    return tiles


def _candidates(stem: str, obsid: int, number: int) -> list[str]:
    texts = dict.fromkeys((f"{obsid:05d}", str(obsid)))
    return list(dict.fromkeys(stem.replace(_OBSID, text).replace(_BIN, str(number)) for text in texts))


def _files_of(stem: str, obsid: int, numbers: Sequence[int]) -> dict[int, ResponseTile]:
    """Return the response of each bin that has both files. Raises `InputError` where one of the two is missing."""
    found: dict[int, ResponseTile] = {}
    for number in numbers:
        for name in _candidates(stem, obsid, number):
            arf, rmf = Path(f"{name}.arf"), Path(f"{name}.rmf")
            if arf.is_file() != rmf.is_file():
                there, gone = (arf, rmf) if arf.is_file() else (rmf, arf)
                raise InputError(f"{gone}: does not exist, but {there.name} does: make both again, or remove it")
            if arf.is_file():
                found[number] = ResponseTile(obsid, None, np.nan, np.nan, arf, rmf)
                break
    return found


@dataclass(frozen=True, eq=False)
class _Read:
    """The files of an observation."""

    obsid: int
    name: VirtualFile
    tiles: dict[int, ResponseTile]
    """By bin number."""
    arfs: list[Arf]
    events: Events
    """Columns x and y."""
    on_sky: BinsOnSky
    grid: Grid
    """The pixels that exposures are computed on."""
    how: Observed


def _read(bins: BinPixels, weights: Float32s | None, tiles: Mapping[int, dict[int, ResponseTile]],
          which: tuple[int, VirtualFile]) -> _Read:
    obsid, name = which
    arfs = read_areas(list(tiles[obsid].values()))
    events = read_places(name)
    on_sky = BinsOnSky.of(bins, events, weights)
    grid = on_sky.grid()
    how = observed(events, AncillaryChoice().of(name.file, events.header))
    places = replace(events, columns={column: events[column] for column in ("x", "y")})
    return _Read(obsid, name, tiles[obsid], arfs, places, on_sky, grid, how)


def _observation(bins: BinPixels, read: _Read, poll: Poll) -> tuple[ResponseWeights, BinsWithFiles]:
    name, obsid, tiles, arfs = read.name, read.obsid, read.tiles, read.arfs
    counts = _counts(read, bins)
    exposed = _exposures(read, bins, poll)
    number_of = {number: index for index, number in enumerate(bins.numbers)}
    at = np.array([number_of[number] for number in tiles], np.int64)
    _warn_of_exposures(arfs, exposed.live_s[at], name)
    fraction = np.array([arf.fraction for arf in arfs])
    mean, square = _means(read, bins, exposed, at)
    # The pixels of a bin are weighed as its events are, where the file has no FRACEXPO.
    seen = np.where(fraction < 1, mean / fraction, mean**2 / np.where(mean > 0, square, 1))
    seconds = exposed.live_s[at] * seen
    without = [number for number in bins.numbers if number not in tiles]
    missing = tuple(number for number in without if counts[number_of[number]])
    empty = tuple(number for number in without if not counts[number_of[number]])
    if missing:
        more = ", ..." if len(missing) > _MOST_LISTED else ""
        warn(f"{name}: {counted(len(missing), 'bin has', 'bins have')} events but no ARF and RMF, and therefore no "
             f"response in ObsID {obsid}: {', '.join(map(str, missing[:_MOST_LISTED]))}{more}")
    used = np.flatnonzero(seconds > 0)
    mine = np.array(list(tiles), np.int64)[used]
    part = ResponseWeights((), mine, np.full(len(used), obsid), used, seconds[used],
                           counts[[number_of[number] for number in mine.tolist()]])
    partly = mine[exposed.partly[at[used]]]
    return part, BinsWithFiles(obsid, tuple(mine.tolist()), empty, missing, tuple(partly.tolist()))


def _warn_of_exposures(arfs: Sequence[Arf], live_s: Floats, name: VirtualFile) -> None:
    """Warn of ARFs that were made of events with another live time than these, (arfs,) s; bins of 0 s are not seen."""
    others = [(arf, live) for arf, live in zip(arfs, live_s.tolist(), strict=True)
              if arf.exposure_s is not None and live > 0 and abs(arf.exposure_s / live - 1) > _MOST_OTHER_EXPOSURE]
    if others:
        arf, live = others[0]
        warn(f"{name}: {counted(len(others), 'ARF has', 'ARFs have')} another EXPOSURE than these events; {arf.file} "
             f"has {arf.exposure_s:.6g} s, and the events {live:.6g} s, which are used: check that the events are "
             "those of the spectra")


@dataclass(frozen=True, eq=False)
class _Exposures:
    """The exposures of bins, with means over their pixels of e, the exposure time over the live time."""

    live_s: Floats
    """(bins,) mean live time of the chips that see a bin; 0 for a bin that none sees."""
    by_area: Floats
    """(2, bins): means of e and of e^2."""
    by_light: Floats
    """(2, bins): likewise, weighed by brightness."""
    partly: NDArray[np.bool_]
    """(bins,) which bins are seen in part."""


def _means(read: _Read, bins: BinPixels, exposed: _Exposures, at: Wholes) -> Floats:
    """Return the means of e and e^2 (2, n) of some bins, by brightness, or by area where no exposure follows."""
    by_area, (mean, square) = exposed.by_area[:, at], exposed.by_light[:, at]
    sound = (mean > 0) & (mean <= _MOST_SEEN) & (mean**2 <= _MOST_SEEN * square)
    if (negative := ~sound & (by_area[0] > 0)).any():
        warn(f"{read.name}: {counted(int(negative.sum()), 'bin has', 'bins have')} so much negative brightness that no "
             f"exposure follows from it: the mean over the area is used; the first is {bins.numbers[at[negative][0]]}")
    return np.where(sound, (mean, square), by_area)


def _exposures(read: _Read, bins: BinPixels, poll: Poll) -> _Exposures:
    """Return the exposures of bins."""
    seen_by = []
    for view in read.how.views:
        poll()
        seen_by += [(view, part) for part in chip_exposures([view], read.grid, read.how.axis, slope=0)]
    sums = np.zeros((5, len(bins.numbers)))
    for pixels in read.on_sky.blocks(ExposedCells.of([part for _, part in seen_by], read.grid)):
        poll()
        places = pixels.on(read.grid)
        seconds, share = np.zeros(len(pixels.x)), np.zeros(len(pixels.x))
        for view, part in seen_by:
            seen, exposed = places.seconds_of(part)
            seconds[seen] += exposed
            share[seen] += exposed / view.livetime_s
        bin_of = pixels.of(bins.labels)
        sums += [np.bincount(bin_of, values, len(bins.numbers)) for values in (
            seconds, share, share**2, pixels.weighed(share), pixels.weighed(share**2))]
    means = sums / bins.pixels
    live_s = means[0] / np.where(means[1] > 0, means[1], 1)
    return _Exposures(live_s, means[1:3], means[3:], read.on_sky.seen_in_part(sums[1]))


def _counts(read: _Read, bins: BinPixels) -> Wholes:
    """Return the number of events (bins,) of all energies."""
    _, row, column = read.on_sky.pixels_of_events(read.events)
    label = bins.labels[row, column]
    return np.bincount(label[label >= 0], minlength=len(bins.numbers))
