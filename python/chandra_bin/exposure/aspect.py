"""The aspect of an observation: its dither, and the positions of the chips on the sky.

A photon detected at position c of a chip at time t comes from the sky position

    s(c, t) = s0 + M c + d(t)

where M and s0 belong to the chip, and the dither d(t) is common to all chips. An aspect solution gives d(t). Events
give all three, as each has chip coordinates, sky coordinates and a time. Changes of roll during an observation are
neglected (a few arcseconds move the edge of ACIS by a hundredth of a pixel).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin.acis import geometry as acis
from chandra_bin.errors import InputError
from chandra_bin.events.gti import GTI

# Mean events per time bin when the dither is measured from events, and the limits of the bin length in seconds.
_EVENTS_A_BIN = 8
_LONGEST_BIN_S = 40.0
_SHORTEST_BIN_S = 5.0
_ROUNDS = 4
# More events do not improve the dither.
_ENOUGH_EVENTS = 250_000
# Error of an event's position (chip coordinates are whole pixels), and the required accuracy of a chip's corners.
_EVENT_ERROR_PX = 0.3
_CORNER_ERROR_PX = 0.5
# Chips are not placed by events if the sky scatters more than this around the fit to chip coordinates, or if the fitted
# pixel size is wrong by more than this factor.
_MOST_SCATTER_PX = 1.5
_MOST_STRETCH = 1.05
# The usual dither, assumed if there is no other information: 8 arcsec to both sides with these periods.
_ASSUMED_PX = 8 / acis.PIXEL_ARCSEC
_ASSUMED_PERIODS_S = (1000.0, 707.1)
_MOST_SAMPLES = 200_000
_SAMPLE_S = 0.5
# Rows of an aspect solution (several per second) farther apart than this have a gap between them.
_LONGEST_GAP_S = 10.0
# Pointings farther apart than this belong to different observations.
_FARTHEST_PX = 1500.0


@dataclass(frozen=True, eq=False)
class Dither:
    """Offsets on the sky from the mean position in sky pixels, (n,) each, with weights that sum to 1."""

    x: Floats
    y: Floats
    weight: Floats


@dataclass(frozen=True, eq=False)
class Aspect:
    """The dither d(t): sky pixels (x, y) at times in s, with linear interpolation."""

    time: Floats
    x: Floats
    y: Floats
    source: str
    """``asol``, ``events`` or ``assumed``."""

    def at(self, times: ArrayLike) -> tuple[Floats, Floats]:
        """Return the offsets at these times; beyond the ends those of the ends."""
        when = np.asarray(times, np.float64)
        return np.interp(when, self.time, self.x), np.interp(when, self.time, self.y)

    def known(self, gti: GTI) -> GTI:
        """Return the good times covered by the rows of an aspect solution, without gaps of more than 10 s."""
        gaps = np.flatnonzero(np.diff(self.time) > _LONGEST_GAP_S)
        return gti & GTI.of(self.time[np.append(0, gaps + 1)], self.time[np.append(gaps, len(self.time) - 1)])

    def over(self, gti: GTI) -> Dither:
        """Return the offsets during good times, weighted by time.

        For an aspect solution, times without rows are excluded if other times have rows.
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
        """Return the dither shifted to a mean of 0 over good times, and its original mean, (2,)."""
        dither = self.over(gti)
        mean = _products(dither.weight[:, None], np.stack([dither.x, dither.y], axis=1))[0]
        return Aspect(self.time, self.x - mean[0], self.y - mean[1], self.source), mean


@dataclass(frozen=True, eq=False)
class Placement:
    """The position of a chip on the sky at zero dither: sky = origin + matrix @ (chipx, chipy), in sky pixels."""

    origin: Floats
    matrix: Floats
    source: str
    """``events`` or ``header``."""

    def to_sky(self, chip_places: Floats) -> Floats:
        """Return sky coordinates (n, 2) of chip coordinates (n, 2)."""
        return self.origin + chip_places @ self.matrix.T


def aspect_of_rows(time_s: ArrayLike, x: ArrayLike, y: ArrayLike) -> Aspect:
    """Return the dither of an aspect solution with pointings (n,) in sky pixels. Raises `InputError` if invalid."""
    time, x, y = (np.asarray(values, np.float64) for values in (time_s, x, y))
    order = np.argsort(time, kind="stable")
    good = order[np.isfinite(time[order]) & np.isfinite(x[order]) & np.isfinite(y[order])]
    if not good.size:
        raise InputError("the aspect solution has no rows")
    time, x, y = time[good], x[good], y[good]
    reach = max(np.abs(x - x.mean()).max(), np.abs(y - y.mean()).max())
    if reach > _FARTHEST_PX:
        raise InputError(f"the aspect solution moves by {reach * acis.PIXEL_ARCSEC / 60:.3g} arcmin from its mean: "
                         "this is too large for dither; give the observations one by one")
    return Aspect(time, x, y, "asol")


def assumed_aspect(gti: GTI, roll_deg: float) -> Aspect:
    """Return the usual dither: a Lissajous figure of 8 arcsec to both sides."""
    time = np.arange(gti.start[0], gti.stop[-1] + 2.0, max(2.0, (gti.stop[-1] - gti.start[0]) / _MOST_SAMPLES))
    u, v = (_ASSUMED_PX * np.sin(2 * np.pi * (time - time[0]) / period) for period in _ASSUMED_PERIODS_S)
    x, y = acis.to_sky(acis.CENTRE_PX + u, acis.CENTRE_PX + v, roll_deg)
    return Aspect(time, x - acis.CENTRE_PX, y - acis.CENTRE_PX, "assumed")


def aspect_of_events(events: Mapping[str, NDArray[np.generic]], gti: GTI) -> Aspect | None:
    """Return the dither measured from the time, ccd_id, chipx, chipy, x and y of events; None if there are too few.

    Linear fits of sky against chip coordinates, per chip, alternate with means of the residuals in time bins.
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
    fits = [(rows, design, _products(design, design)) for rows in _rows_of_chips(events).values()
            for design in (_design(events, rows),)]
    offsets = np.zeros((2, len(when)))
    for _ in range(_ROUNDS):
        dither = np.stack([np.interp(time, when, each) for each in offsets], axis=1)
        left = np.empty_like(sky)
        for rows, design, normal in fits:
            still = sky[rows] - dither[rows]
            left[rows] = sky[rows] - design @ _solution(normal, _products(design, still))
        offsets = np.stack([np.bincount(bins, left[:, axis]) / counts for axis in (0, 1)])
    dither = np.stack([np.interp(time, when, each) for each in offsets], axis=1)
    scatter = np.concatenate([(left[rows] - dither[rows]).ravel() for rows, _, _ in fits]).std()
    if scatter > _MOST_SCATTER_PX:
        return None
    return Aspect(when, offsets[0], offsets[1], "events").centred(gti)[0]


def place_by_events(events: Mapping[str, NDArray[np.generic]], aspect: Aspect) -> dict[int, Placement]:
    """Return the positions of chips from their events.

    A chip is included if its corners are known within half a pixel and its sky coordinates follow from chip
    coordinates.
    """
    found = {}
    known = _between(events["time"], aspect.time[0] - _LONGEST_BIN_S, aspect.time[-1] + _LONGEST_BIN_S)
    if not known.all():
        events = {name: values[known] for name, values in events.items()}
    offsets = np.stack(aspect.at(np.asarray(events["time"], np.float64)), axis=1)
    for chip, rows in _rows_of_chips(events).items():
        design = _design(events, rows)
        normal = _products(design, design)
        if np.linalg.matrix_rank(normal) < len(normal):
            continue
        half = acis.CHIP_PX / 2
        corners = np.array([(1, u, v) for u in (-half, half) for v in (-half, half)])
        errors = _EVENT_ERROR_PX * np.sqrt(np.einsum("ci,ij,cj->c", corners, np.linalg.inv(normal), corners))
        if errors.max() > _CORNER_ERROR_PX:
            continue
        still = _sky(events, rows)
        still -= offsets.take(rows, axis=0)
        moments = _products(design, still)
        solved = _solution(normal, moments)
        matrix = solved[1:].T.copy()
        # The sum of the squared residuals of a least-squares fit. OpenBLAS shares the product design @ solved, which
        # would give the residuals, among threads, which then wait for the next one at full speed.
        square = np.einsum("na,na", still, still) - (solved * moments).sum()
        stretches = np.linalg.svd(matrix, compute_uv=False)
        if square > _MOST_SCATTER_PX**2 * still.size or np.abs(np.log(stretches)).max() > np.log(_MOST_STRETCH):
            continue
        found[chip] = Placement(solved[0] - matrix @ np.full(2, half + 0.5), matrix, "events")
    return found


def place_by_header(chip: int, sim_z_mm: float, roll_deg: float, pointing: ArrayLike) -> Placement:
    """Return the position of a chip from ACIS's dimensions and the pointing, (2,) in sky pixels."""
    x, y = acis.to_detector(chip, [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], sim_z_mm)
    places = np.stack(acis.to_sky(x, y, roll_deg), axis=1)
    origin = places[0] - acis.CENTRE_PX + np.asarray(pointing, np.float64)
    return Placement(origin, (places[1:] - places[0]).T, "header")


def _rows_of_chips(events: Mapping[str, NDArray[np.generic]]) -> dict[int, NDArray[np.int64]]:
    """Return the indices of events by chip."""
    finite = _placed(events)
    chips = np.asarray(events["ccd_id"])
    there = chips if finite.all() else chips[finite]
    return {int(chip): np.flatnonzero(finite & (chips == chip)) for chip in np.unique(there)}


def _placed(events: Mapping[str, NDArray[np.generic]]) -> NDArray[np.bool_]:
    """Return which events have sky coordinates."""
    x, y = (np.isfinite(np.asarray(events[name])) for name in ("x", "y"))
    return x & y


def _between(times: ArrayLike, low: float, high: float) -> NDArray[np.bool_]:
    """Return which times are finite and in a range."""
    when = np.asarray(times, np.float64)
    return np.isfinite(when) & (when >= low) & (when <= high)


def _design(events: Mapping[str, NDArray[np.generic]], rows: NDArray[np.int64]) -> Floats:
    """Return the design matrix of the linear fit."""
    middle = (acis.CHIP_PX + 1) / 2
    made = np.ones((3, len(rows))).T  # so that columns lie together in memory
    for column, name in enumerate(("chipx", "chipy"), start=1):
        np.subtract(events[name].take(rows), middle, out=made[:, column], dtype=np.float64)
    return made


def _sky(events: Mapping[str, NDArray[np.generic]], rows: NDArray[np.int64]) -> Floats:
    """Return the sky positions (n, 2) of some events."""
    made = np.empty((2, len(rows))).T
    for column, name in enumerate(("x", "y")):
        made[:, column] = events[name].take(rows)
    return made


def _products(first: Floats, second: Floats) -> Floats:
    """Return first.T @ second, of many rows and few columns, with the same rounding on any number of cores.

    OpenBLAS shares long sums among its threads, so that their last digits, and those of exposure maps, would depend on
    how many there are.
    """
    columns = [np.ascontiguousarray(column) for column in second.T]
    return np.array([[np.einsum("n,n", np.ascontiguousarray(row), column) for column in columns] for row in first.T])


def _solution(normal: Floats, moments: Floats) -> Floats:
    """Return the least-squares solution, also for events on one line, from design.T @ design and design.T @ sky."""
    solved: Floats = np.linalg.pinv(normal, hermitian=True) @ moments
    return solved
