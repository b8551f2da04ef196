"""How an observation moved over the sky: its dither, and where that puts the chips.

A photon that lands on the place c of a chip at the time t comes from the sky at

    s(c, t) = s0 + M c + d(t)

with M and s0 of the chip, and d(t), the dither, of all chips. An aspect solution says d(t). Events say all three: each
knows its chip coordinates, its sky coordinates and its time. Rolls that change during an observation are left out
(their few arcseconds move the rim of ACIS by a hundredth of a pixel).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin.acis import geometry as acis
from chandra_bin.errors import InputError
from chandra_bin.events.gti import GTI

# Bins of time hold this many events on average where events say the dither, and are at most so long, in seconds.
_EVENTS_A_BIN = 8
_LONGEST_BIN_S = 40.0
_SHORTEST_BIN_S = 5.0
_ROUNDS = 4
# More events than this say no more of it.
_ENOUGH_EVENTS = 250_000
# Chip coordinates are whole pixels: the error of each event's place, and how well the corners of a chip must be known.
_EVENT_ERROR_PX = 0.3
_CORNER_ERROR_PX = 0.5
# Events whose sky does not follow from their chip coordinates, but for this much, do not tell where chips are; nor do
# those whose pixels come out larger or smaller than pixels by this factor.
_MOST_SCATTER_PX = 1.5
_MOST_STRETCH = 1.05
# Where nothing says how it went: an observation dithers by 8 arcsec to both sides, with these periods.
_ASSUMED_PX = 8 / acis.PIXEL_ARCSEC
_ASSUMED_PERIODS_S = (1000.0, 707.1)
_MOST_SAMPLES = 200_000
_SAMPLE_S = 0.5
# Rows of an aspect solution (some a second) that are farther apart leave a gap between them.
_LONGEST_GAP_S = 10.0
# Pointings farther apart than this are no dither.
_FARTHEST_PX = 1500.0


@dataclass(frozen=True, eq=False)
class Dither:
    """Offsets on the sky from the mean place, in sky pixels: (n,) each, with weights that sum to 1."""

    x: Floats
    y: Floats
    weight: Floats


@dataclass(frozen=True, eq=False)
class Aspect:
    """The dither d(t): sky pixels (x, y) at times in s, straight lines between them."""

    time: Floats
    x: Floats
    y: Floats
    source: str
    """``asol``, ``events`` or ``assumed``."""

    def at(self, times: ArrayLike) -> tuple[Floats, Floats]:
        """Offsets at these times; beyond the ends, those of the ends."""
        when = np.asarray(times, np.float64)
        return np.interp(when, self.time, self.x), np.interp(when, self.time, self.y)

    def known(self, gti: GTI) -> GTI:
        """The good times in which an aspect solution has rows, without gaps of more than 10 s between them."""
        gaps = np.flatnonzero(np.diff(self.time) > _LONGEST_GAP_S)
        return gti & GTI.of(self.time[np.append(0, gaps + 1)], self.time[np.append(gaps, len(self.time) - 1)])

    def over(self, gti: GTI) -> Dither:
        """Where the telescope was during good times, each offset weighted by its time.

        Times without rows of an aspect solution do not count, where others have some.
        """
        if self.source == "asol" and len(known := self.known(gti)):
            gti = known
        step = max(gti.total / _MOST_SAMPLES, _SAMPLE_S)
        counts = np.maximum(np.ceil((gti.stop - gti.start) / step).astype(int), 1)
        lengths = (gti.stop - gti.start) / counts
        number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        times = np.repeat(gti.start, counts) + (number + 0.5) * np.repeat(lengths, counts)
        weight = np.repeat(lengths, counts)
        return Dither(*self.at(times), weight / weight.sum())

    def centred(self, gti: GTI) -> tuple["Aspect", Floats]:
        """The same with a mean of 0 over good times, and the mean that it had, (2,)."""
        dither = self.over(gti)
        mean = np.array([dither.weight @ dither.x, dither.weight @ dither.y])
        return Aspect(self.time, self.x - mean[0], self.y - mean[1], self.source), mean


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a chip lies on the sky when the dither is 0: sky = origin + matrix @ (chipx, chipy), in sky pixels."""

    origin: Floats
    matrix: Floats
    source: str
    """``events`` or ``header``."""

    def to_sky(self, chip_places: Floats) -> Floats:
        """Sky (n, 2) of chip coordinates (n, 2)."""
        return self.origin + chip_places @ self.matrix.T


def aspect_of_rows(time_s: ArrayLike, x: ArrayLike, y: ArrayLike) -> Aspect:
    """The dither of an aspect solution: pointings (n,) in sky pixels. Raises `InputError` for what is none."""
    time, x, y = (np.asarray(values, np.float64) for values in (time_s, x, y))
    order = np.argsort(time, kind="stable")
    good = order[np.isfinite(time[order]) & np.isfinite(x[order]) & np.isfinite(y[order])]
    if not good.size:
        raise InputError("the aspect solution has no rows")
    time, x, y = time[good], x[good], y[good]
    reach = max(np.abs(x - x.mean()).max(), np.abs(y - y.mean()).max())
    if reach > _FARTHEST_PX:
        raise InputError(f"the aspect solution moves by {reach * acis.PIXEL_ARCSEC / 60:.3g} arcmin from its mean: "
                         "this is no dither; give the observations one by one")
    return Aspect(time, x, y, "asol")


def assumed_aspect(gti: GTI, roll_deg: float) -> Aspect:
    """The dither that most observations have: a Lissajous figure of 8 arcsec to both sides."""
    time = np.arange(gti.start[0], gti.stop[-1] + 2.0, max(2.0, (gti.stop[-1] - gti.start[0]) / _MOST_SAMPLES))
    u, v = (_ASSUMED_PX * np.sin(2 * np.pi * (time - time[0]) / period) for period in _ASSUMED_PERIODS_S)
    x, y = acis.to_sky(acis.CENTRE_PX + u, acis.CENTRE_PX + v, roll_deg)
    return Aspect(time, x - acis.CENTRE_PX, y - acis.CENTRE_PX, "assumed")


def aspect_of_events(events: Mapping[str, NDArray[np.generic]], gti: GTI) -> Aspect | None:
    """The dither as events tell it, by their time, ccd_id, chipx, chipy, x and y; None where they are too few.

    Straight fits of the sky over the chip, for each chip, and means of what is left in bins of time, in turns.
    """
    if gti.total <= 0:
        return None
    known = _placed(events) & _between(events["time"], gti.start[0], gti.stop[-1])
    some = np.flatnonzero(known)[::np.count_nonzero(known) // _ENOUGH_EVENTS + 1]
    events = {name: values[some] for name, values in events.items()}
    time = np.asarray(events["time"], np.float64)
    if len(time) < _EVENTS_A_BIN:
        return None
    span = np.minimum(np.diff(np.sort(time)), _LONGEST_BIN_S).sum()  # without gaps
    length = max(_EVENTS_A_BIN * span / len(time), _SHORTEST_BIN_S)
    if length > _LONGEST_BIN_S:
        return None
    _, bins, counts = np.unique(np.floor((time - time.min()) / length), return_inverse=True, return_counts=True)
    when = np.bincount(bins, time - time.min()) / counts + time.min()
    sky = np.stack([events["x"], events["y"]], axis=1).astype(np.float64)
    fits = [(rows, design, design.T @ design) for rows in _rows_of_chips(events).values()
            for design in (_design(events, rows),)]
    offsets = np.zeros((2, len(when)))
    for _ in range(_ROUNDS):
        dither = np.stack([np.interp(time, when, each) for each in offsets], axis=1)
        left = np.empty_like(sky)
        for rows, design, normal in fits:
            still = sky[rows] - dither[rows]
            left[rows] = sky[rows] - design @ _solve(design, still, normal)
        offsets = np.stack([np.bincount(bins, left[:, axis]) / counts for axis in (0, 1)])
    dither = np.stack([np.interp(time, when, each) for each in offsets], axis=1)
    scatter = np.concatenate([(left[rows] - dither[rows]).ravel() for rows, _, _ in fits]).std()
    if scatter > _MOST_SCATTER_PX:
        return None
    return Aspect(when, offsets[0], offsets[1], "events").centred(gti)[0]


def place_by_events(events: Mapping[str, NDArray[np.generic]], aspect: Aspect) -> dict[int, Placement]:
    """Where chips lie, by the events on them; only those whose corners the events put within half a pixel, and whose
    sky coordinates follow from their chip coordinates."""
    found = {}
    known = _between(events["time"], aspect.time[0] - _LONGEST_BIN_S, aspect.time[-1] + _LONGEST_BIN_S)
    if not known.all():
        events = {name: values[known] for name, values in events.items()}
    offsets = np.stack(aspect.at(np.asarray(events["time"], np.float64)), axis=1)
    for chip, rows in _rows_of_chips(events).items():
        design = _design(events, rows)
        normal = design.T @ design
        if np.linalg.matrix_rank(normal) < len(normal):
            continue
        half = acis.CHIP_PX / 2
        corners = np.array([(1, u, v) for u in (-half, half) for v in (-half, half)])
        errors = _EVENT_ERROR_PX * np.sqrt(np.einsum("ci,ij,cj->c", corners, np.linalg.inv(normal), corners))
        if errors.max() > _CORNER_ERROR_PX:
            continue
        still = _sky(events, rows)
        still -= offsets[rows]
        solved = _solve(design, still, normal)
        matrix = solved[1:].T.copy()
        still -= design @ solved
        stretches = np.linalg.svd(matrix, compute_uv=False)
        if still.std() > _MOST_SCATTER_PX or np.abs(np.log(stretches)).max() > np.log(_MOST_STRETCH):
            continue
        found[chip] = Placement(solved[0] - matrix @ np.full(2, half + 0.5), matrix, "events")
    return found


def place_by_header(chip: int, sim_z_mm: float, roll_deg: float, pointing: ArrayLike) -> Placement:
    """Where a chip lies, by ACIS's dimensions around the pointing, (2,) in sky pixels."""
    x, y = acis.to_detector(chip, [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], sim_z_mm)
    places = np.stack(acis.to_sky(x, y, roll_deg), axis=1)
    origin = places[0] - acis.CENTRE_PX + np.asarray(pointing, np.float64)
    return Placement(origin, (places[1:] - places[0]).T, "header")


def _rows_of_chips(events: Mapping[str, NDArray[np.generic]]) -> dict[int, NDArray[np.int64]]:
    finite = _placed(events)
    chips = np.asarray(events["ccd_id"])
    there = chips if finite.all() else chips[finite]
    return {int(chip): np.flatnonzero(finite & (chips == chip)) for chip in np.unique(there)}


def _placed(events: Mapping[str, NDArray[np.generic]]) -> NDArray[np.bool_]:
    """Events that have a place in the sky."""
    x, y = (np.isfinite(np.asarray(events[name])) for name in ("x", "y"))
    return x & y


def _between(times: ArrayLike, low: float, high: float) -> NDArray[np.bool_]:
    """Finite times in a range."""
    when = np.asarray(times, np.float64)
    return np.isfinite(when) & (when >= low) & (when <= high)


def _design(events: Mapping[str, NDArray[np.generic]], rows: NDArray[np.int64]) -> Floats:
    middle = (acis.CHIP_PX + 1) / 2
    made = np.ones((len(rows), 3))
    for column, name in enumerate(("chipx", "chipy"), start=1):
        np.subtract(events[name][rows], middle, out=made[:, column], dtype=np.float64)
    return made


def _sky(events: Mapping[str, NDArray[np.generic]], rows: NDArray[np.int64]) -> Floats:
    """The places (n, 2) of some events in the sky."""
    made = np.empty((len(rows), 2))
    for column, name in enumerate(("x", "y")):
        made[:, column] = events[name][rows]
    return made


def _solve(design: Floats, sky: Floats, normal: Floats) -> Floats:
    """Least squares, also where the events of a chip lie in one line; ``normal`` is design.T @ design."""
    solved: Floats = np.linalg.pinv(normal, hermitian=True) @ (design.T @ sky)
    return solved
