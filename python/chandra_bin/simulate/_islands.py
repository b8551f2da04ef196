"""Pulse heights of the 3 x 3 or 5 x 5 pixels around simulated events (PHAS)."""

import numpy as np
from numpy.typing import NDArray

from chandra_bin.events.vfaint import OUTER, SPLIT_ADU

from ._photons import PARTICLE, Photons, flagged_fraction

# The assumed fraction of X-ray photons with charge in an outer pixel. Soft protons of flares stop in the silicon like
# photons.
FLAGGED_PHOTONS = 0.015
# Charge in an outer pixel, and its readout noise, in ADU.
_LEAST_ADU, _MOST_ADU, _NOISE_ADU = SPLIT_ADU + 1, 90, 2.0
# Index of the neighbour with the rest of the charge of a split event, by grade.
_SPLIT_TO = np.array([4, 0, 7, 3, 5, 2, 7, 1])
_LARGEST_ADU = 4095
# Runs of outer pixels in an island, and the number of islands drawn at once, which suit the cache.
_OUTER_RUNS = (slice(0, 6), slice(9, 11), slice(14, 16), slice(19, 25))
_ROWS = 1 << 13


def islands(events: Photons, pha: NDArray[np.int64], side: int, seed: list[int]) -> NDArray[np.int16]:
    """Return the pulse heights in ADU of the pixels around each event, (n, side * side).

    A split event has three quarters of its charge in the central pixel and the rest in one neighbour. The outer pixels
    of 5 x 5 islands have readout noise, charge of other events of the frame, and charge of particles (often) and
    photons (rarely).
    """
    count = len(events)
    island = np.zeros((count, side * side), np.int16)
    rest = np.where(events.grade == 0, 0, pha // 4)
    column, row = _SPLIT_TO[events.grade] % 3 - 1, _SPLIT_TO[events.grade] // 3 - 1
    middle = side * side // 2
    every = np.arange(count)
    island[every, middle] = np.minimum(pha - rest, _LARGEST_ADU)
    other = middle + row * side + column
    split = rest > 0
    island[every[split], other[split]] = np.minimum(rest[split], _LARGEST_ADU)
    if side == 5:
        _fill_outer(island, events, pha, np.random.default_rng(seed))
    return island


def _fill_outer(island: NDArray[np.int16], events: Photons, pha: NDArray[np.int64],
                draw: np.random.Generator) -> None:
    """Draw the outer 16 pixels in place."""
    count = len(events)
    outer = np.flatnonzero(OUTER)
    for first in range(0, count, _ROWS):
        some = island[first:first + _ROWS]
        noise = draw.normal(0, _NOISE_ADU, (len(some), len(outer)))
        np.rint(noise, out=noise)
        done = 0
        for run in _OUTER_RUNS:
            some[:, run] = noise[:, done:done + run.stop - run.start]
            done += run.stop - run.start
    chance = np.where(events.origin == PARTICLE, flagged_fraction(events.energy_ev, events.chip), FLAGGED_PHOTONS)
    hit = np.flatnonzero(draw.random(count) < chance)
    island[hit, draw.choice(outer, len(hit))] = draw.integers(_LEAST_ADU, _MOST_ADU, len(hit))
    _add_neighbours(island, events, pha)


def _add_neighbours(island: NDArray[np.int16], events: Photons, pha: NDArray[np.int64]) -> None:
    """Add the charge of other events of the same frame in outer pixels, in place."""
    order = np.lexsort((events.chip, events.frame))
    frame, chip, x, y = (each[order] for each in (events.frame, events.chip, events.chipx, events.chipy))
    apart = 1
    while True:
        same = (frame[apart:] == frame[:-apart]) & (chip[apart:] == chip[:-apart])
        if not same.any():
            return
        dx, dy = x[apart:] - x[:-apart], y[apart:] - y[:-apart]
        near = np.flatnonzero(same & (np.maximum(abs(dx), abs(dy)) == 2))
        for first, second, sign in ((near, near + apart, 1), (near + apart, near, -1)):
            place = 12 + sign * (5 * dy[near] + dx[near])
            charge = island[order[first], place] + pha[order[second]]
            island[order[first], place] = np.minimum(charge, _LARGEST_ADU)
        apart += 1
