"""Settings of an observation: pointing, times, bad pixels, and background flares."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin.acis import geometry as acis
from chandra_bin.events.gti import GTI

from . import _telescope as telescope

TIMEDEL_S = acis.FRAME_S + acis.TRANSFER_S
LIVE_FRACTION = acis.FRAME_S / TIMEDEL_S
# Amplitude (arcsec) and periods (s) of the dither along the detector's axes. They differ from those that exposure maps
# assume without an aspect solution, so that tests detect a wrong assumption.
DITHER_ARCSEC = 8.0
DITHER_PERIODS_S = (941.0, 683.0)
# Events need neighbouring pixels: the edges of a chip have no events.
FIRST_PX, LAST_PX = 2, acis.CHIP_PX - 1

CHIPS_OF = {"I": (3, 0, 1, 2), "S": (7, 5, 6, 8)}
# ObsID of the first observation of a simulation; no real observation has it.
FIRST_OBSID = 90001
_FIRST_START_S = 1.0e8
_APART_S = 4.0e6
_ROLLS_DEG = (84.0, 262.0, 171.0, 10.0, 306.0)
# Mean position of the cluster on the chip of the aim point, in pixels.
_TARGET_PX = {"I": (650.0, 650.0), "S": (400.0, 512.0)}
_TARGET_SPREAD_PX = 120.0
# Duration of a gap on all chips, and the largest number of lost frames of each chip except the first.
_GAP_S, _MOST_LOST_FRAMES = 60.0, 12
_FLARE_SHORTEST_S = 4000.0
_BAD_POINTS, _BAD_COLUMNS = 30, 2


@dataclass(frozen=True)
class Flare:
    """A flare: the particle background is ``factor`` times brighter between two times in seconds."""

    start: float
    stop: float
    factor: float


@dataclass(frozen=True, eq=False)
class Observation:
    """The settings of one observation. The first chip is that of the aim point."""

    obsid: int
    array: str
    datamode: str
    chips: tuple[int, ...]
    ra_deg: float
    dec_deg: float
    roll_deg: float
    ra_targ_deg: float
    dec_targ_deg: float
    sim_z_mm: float
    tstart_s: float
    frames: int
    dither_phases: tuple[float, float]
    lost: dict[int, NDArray[np.bool_]] = field(repr=False)
    """Frames outside the GTIs of each chip."""
    flares: tuple[Flare, ...]
    bad_pixels: dict[int, NDArray[np.bool_]] = field(repr=False)
    """Bad pixels of each chip, (1024, 1024) as [chipy - 1, chipx - 1]."""
    bad_rectangles: dict[int, list[tuple[int, int, int, int]]] = field(repr=False)
    """Bad pixels of each chip as first and last chipx, first and last chipy."""

    @property
    def tstop_s(self) -> float:
        """The end of the last frame."""
        return self.tstart_s + self.frames * TIMEDEL_S

    @property
    def detnam(self) -> str:
        """DETNAM of the header: ACIS-0123."""
        return "ACIS-" + "".join(map(str, sorted(self.chips)))

    def frame_times(self, frame: NDArray[np.int64]) -> Floats:
        """Return the mid-times of frames, counted from 0, in seconds."""
        times: Floats = np.asarray(self.tstart_s + (frame + 0.5) * TIMEDEL_S, np.float64)
        return times

    def dither(self, time_s: NDArray[np.floating[Any]]) -> tuple[Floats, Floats]:
        """Return the offsets (rad) from the nominal pointing along the telescope's Y and Z, a Lissajous figure."""
        swing = math.radians(DITHER_ARCSEC / 3600)
        yaw, pitch = (swing * np.sin(2 * math.pi * (time_s - self.tstart_s) / period + phase)
                      for period, phase in zip(DITHER_PERIODS_S, self.dither_phases, strict=True))
        return yaw, pitch

    def turns(self, time_s: NDArray[np.floating[Any]]) -> telescope.Turn:
        """Return the turns of the body by dither at these times."""
        return telescope.Turn.by(*self.dither(time_s))

    @cached_property
    def frame_turns(self) -> telescope.Turn:
        """The turn of the body in each frame, which many photons share."""
        return self.turns(self.frame_times(np.arange(self.frames)))

    def seen_by(self, vectors: Floats, turns: telescope.Turn) -> Floats:
        """Return directions on the sky (3, n) in the telescope's body."""
        return telescope.turned(self._attitude() @ vectors, turns)

    def on_sky(self, body: Floats, turns: telescope.Turn) -> Floats:
        """Return directions in the body on the sky: the inverse of `seen_by`."""
        vectors: Floats = self._attitude().T @ telescope.turned_back(body, turns)
        return vectors

    def sky_pixels(self, vectors: Floats) -> tuple[Floats, Floats]:
        """Return the sky pixels (x, y) of directions, in the plane tangent at the nominal pointing."""
        return telescope.pixels(telescope.attitude(self.ra_deg, self.dec_deg, 0) @ vectors)

    def at_sky_pixels(self, x: Floats, y: Floats) -> Floats:
        """Return the directions of sky pixels (x, y), not of unit length: the inverse of `sky_pixels`."""
        vectors: Floats = telescope.attitude(self.ra_deg, self.dec_deg, 0).T @ telescope.at_pixels(x, y)
        return vectors

    def pointing(self, time_s: NDArray[np.floating[Any]]) -> tuple[Floats, Floats, Floats]:
        """Return (RA, Dec, roll) of the telescope in degrees."""
        turns = self.turns(time_s)
        axes = [self.on_sky(np.repeat(axis[:, None], len(time_s), axis=1), turns) for axis in np.eye(3)]
        ra, dec = telescope.places(axes[0])
        # The pole lies in the plane of X and north; the roll distributes north to Y and Z.
        roll = np.degrees(np.arctan2(axes[1][2], axes[2][2])) % 360
        return ra, dec, roll

    def aspect_offset(self, time_s: NDArray[np.floating[Any]]) -> tuple[Floats, Floats]:
        """Return the offset (x, y) in sky pixels from the tangent point to the optical axis."""
        x, y = self.sky_pixels(telescope.unit_vectors(*self.pointing(time_s)[:2]))
        return x - acis.CENTRE_PX, y - acis.CENTRE_PX

    def chip_on_sky(self, chip: int, low: float, high: float, time_s: NDArray[np.floating[Any]]) -> Floats:
        """Return the sky pixels (4 n, 2) of the corners of a square on a chip at each time."""
        focal = telescope.chip_to_focus(chip, [low, high, high, low], [low, low, high, high], self.sim_z_mm)
        body = np.tile(telescope.behind(focal), len(time_s))
        return np.stack(self.sky_pixels(self.on_sky(body, self.turns(np.repeat(time_s, 4)))), axis=1)

    def steady(self) -> Floats:
        """Return the matrix (3, 3) from the body to the sky without dither."""
        return self._attitude().T

    def _attitude(self) -> Floats:
        """Return the matrix (3, 3) from the sky to the body without dither."""
        return telescope.attitude(self.ra_deg, self.dec_deg, self.roll_deg)

    def good_times(self, chip: int) -> GTI:
        """Return the GTIs of a chip, in whole frames."""
        edges = np.flatnonzero(np.diff(np.concatenate([[True], self.lost[chip], [True]]).astype(np.int8)))
        start, stop = edges[::2], edges[1::2]
        return GTI.of(self.tstart_s + start * TIMEDEL_S, self.tstart_s + stop * TIMEDEL_S)

    def flare_times(self) -> GTI:
        """Return the intervals of background flares."""
        return GTI.of([flare.start for flare in self.flares], [flare.stop for flare in self.flares])

    def livetime(self, chip: int) -> float:
        """Return the exposure of a chip's GTIs in seconds."""
        return self.good_times(chip).total * LIVE_FRACTION


def make_observations(seed: int, number: int, exposure_s: float, array: str, datamode: str, ra_deg: float,
                      dec_deg: float) -> list[Observation]:
    """Return observations of a target, each with its own roll, offset and flares.

    ``datamode`` is FAINT or VFAINT, or "mixed" for both alternately.
    """
    return [_make_observation(np.random.default_rng([seed, 2, index]), index, exposure_s, array,
                              ("VFAINT", "FAINT")[index % 2] if datamode == "mixed" else datamode, ra_deg, dec_deg)
            for index in range(number)]


def _make_observation(draw: np.random.Generator, index: int, exposure_s: float, array: str, datamode: str,
                      ra_deg: float, dec_deg: float) -> Observation:
    """Return one observation."""
    chips, sim_z = CHIPS_OF[array], acis.AIM_SIM_Z_MM[array]
    roll = (_ROLLS_DEG[index % len(_ROLLS_DEG)] + draw.uniform(-5, 5)) % 360
    place = np.array(_TARGET_PX[array]) + draw.uniform(-_TARGET_SPREAD_PX, _TARGET_SPREAD_PX, 2)
    ra, dec = _aim(ra_deg, dec_deg, roll, telescope.chip_to_focus(chips[0], place[0], place[1], sim_z))
    frames = max(int(exposure_s / TIMEDEL_S), 1)
    tstart = _FIRST_START_S + index * _APART_S
    rectangles = {chip: _bad_rectangles(draw) for chip in chips}
    lost = _lost_frames(draw, frames, chips)
    flares = _flares(draw, tstart, frames * TIMEDEL_S)
    phases = tuple(draw.uniform(0, 2 * math.pi, 2).tolist())
    return Observation(FIRST_OBSID + index, array, datamode, chips, float(ra), float(dec), float(roll), ra_deg,
                       dec_deg, sim_z, tstart, frames, (phases[0], phases[1]), lost, flares,
                       {chip: _bad_map(rectangles[chip]) for chip in chips}, rectangles)


def _aim(ra_deg: float, dec_deg: float, roll_deg: float, focal_mm: Floats) -> tuple[float, float]:
    """Return (RA, Dec) of the optical axis for a target at this position of the focal plane, to a few arcsec."""
    body = telescope.attitude(ra_deg, dec_deg, roll_deg).T @ telescope.behind(focal_mm)
    target = telescope.unit_vectors(ra_deg, dec_deg)
    # The offset of the axis from the target is opposite to that of the target from the axis.
    ra, dec = telescope.places(2 * (body @ target) * target - body)
    return float(ra), float(dec)


def _lost_frames(draw: np.random.Generator, frames: int, chips: tuple[int, ...]) -> dict[int, NDArray[np.bool_]]:
    """Draw the frames outside the GTIs of each chip."""
    shared = np.zeros(frames, dtype=bool)
    gap = int(_GAP_S / TIMEDEL_S)
    if frames > 4 * gap:
        first = int(draw.integers(frames // 2, frames - 2 * gap))
        shared[first: first + gap] = True
    lost = {chip: shared.copy() for chip in chips}
    for chip in chips[1:]:
        first, count = int(draw.integers(0, frames)), int(draw.integers(1, _MOST_LOST_FRAMES))
        if frames > 10 * _MOST_LOST_FRAMES:
            lost[chip][first: first + count] = True
    return lost


def _flares(draw: np.random.Generator, tstart: float, seconds: float) -> tuple[Flare, ...]:
    """Draw a flare, unless the observation is short."""
    if seconds < _FLARE_SHORTEST_S:
        return ()
    length = seconds * draw.uniform(0.05, 0.08)
    start = tstart + seconds * draw.uniform(0.15, 0.7)
    return (Flare(start, start + length, float(draw.uniform(2, 2.6))),)


def _bad_rectangles(draw: np.random.Generator) -> list[tuple[int, int, int, int]]:
    """Draw bad pixels and parts of columns."""
    points = draw.integers(FIRST_PX, LAST_PX, (_BAD_POINTS, 2))
    columns = draw.integers(FIRST_PX, LAST_PX, (_BAD_COLUMNS, 2))
    return sorted({*((int(x), int(x), int(y), int(y)) for x, y in points),
                   *((int(x), int(x), int(y), acis.CHIP_PX) for x, y in columns)})


def _bad_map(rectangles: list[tuple[int, int, int, int]]) -> NDArray[np.bool_]:
    """Return the map of bad pixels of a chip."""
    bad = np.zeros((acis.CHIP_PX, acis.CHIP_PX), dtype=bool)
    for x_first, x_last, y_first, y_last in rectangles:
        bad[y_first - 1: y_last, x_first - 1: x_last] = True
    return bad
