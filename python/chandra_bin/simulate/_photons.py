"""Draw photons and particles one by one, through mirror and dither onto chips, and back to the sky by the aspect."""

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats, Wholes
from chandra_bin.acis import geometry as acis
from chandra_bin.errors import counted
from chandra_bin.events.vfaint import STATUS_BIT

from . import _telescope as telescope
from ._observation import FIRST_PX, LAST_PX, LIVE_FRACTION, TIMEDEL_S, Observation
from ._scene import FLUX_BAND_EV, Scene

# Particles per second and chip in PARTICLE_BAND_EV, front- and back-illuminated.
PARTICLE_RATES = (0.60, 1.10)
PARTICLE_BAND_EV = (300.0, 12_000.0)
# Parts of the particle spectrum: flat, falling as 1/E, and fluorescent lines (eV, weight).
_FLAT, _FALLING = 0.55, 0.30
_LINES = ((1486.7, 0.01), (1740.0, 0.03), (2123.0, 0.04), (7478.0, 0.04), (9713.0, 0.03))
_FLARE_KT_EV = 2500.0
_FLARE_BAND_EV = (300.0, 8000.0)
RESOLUTION_EV = 50.0
# Fraction of particle events with charge in an outer pixel, by energy (eV). It follows from the factors 1 / (1 -
# fraction) of the screened quiescent background in the CXC page "ACIS VFAINT Background Cleaning": above 6 keV 1.4
# (front-illuminated) and 1.25 (back-illuminated), at 1 - 5 keV 1.1 - 1.15, near 0.5 keV 2 (front-illuminated), near
# 0.3 keV 3 (back-illuminated).
_ENERGIES_EV = (300.0, 500.0, 1000.0, 5000.0, 6000.0)
_PARTICLES = ((0.55, 0.50, 0.13, 0.10, 1 - 1 / 1.4), (1 - 1 / 3, 0.45, 0.13, 0.10, 1 - 1 / 1.25))

GOOD_GRADES = (0, 2, 3, 4, 6)
_GRADE_WEIGHTS = (0.66, 0.18, 0.04, 0.04, 0.08)
BAD_GRADES = (1, 5, 7)
# Level 1 also has events that level 2 excludes: with bad grades (a fraction of the particles), and with status bits.
_BAD_GRADE_FRACTION = 0.5
_STATUS_FRACTION = 0.03
_STATUS_BITS = (11, 16, 17, 18, 19)  # a streak, and afterglows
_BAD_PIXEL_BIT = 4
_BAD_PIXEL_EVENTS = 20

CLUSTER, SOURCE, PARTICLE, FLARE = 0, 1, 2, 3


@dataclass(frozen=True, eq=False)
class Photons:
    """Events, arrays (n,)."""

    frame: Wholes
    chip: NDArray[np.int8]
    chipx: NDArray[np.int16]
    chipy: NDArray[np.int16]
    detx: Floats
    dety: Floats
    x: Floats
    y: Floats
    energy_ev: Floats
    origin: NDArray[np.int8]
    """Origin: ``CLUSTER``, ``SOURCE``, ``PARTICLE`` or ``FLARE``."""
    grade: NDArray[np.int8]
    status: NDArray[np.int32]

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.frame)

    def __repr__(self) -> str:
        return f"<Photons: {counted(len(self), 'event')}>"

    def __getitem__(self, rows: NDArray[np.bool_] | Wholes) -> "Photons":
        """Return some of the events."""
        return Photons(*(getattr(self, each.name)[rows] for each in fields(self)))

    @classmethod
    def join(cls, parts: "list[Photons]") -> "Photons":
        """Return all parts, one after another."""
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))

    def in_order(self) -> "Photons":
        """Return the events in order of time."""
        return self[order_of_time(self.frame, self.chip)]

    def pass_level_2(self, observation: Observation) -> NDArray[np.bool_]:
        """Return which events have good grades, no status bits, and are in the GTIs of their chips."""
        good: NDArray[np.bool_] = np.isin(self.grade, GOOD_GRADES) & (self.status == 0)
        for chip in observation.chips:
            good[(self.chip == chip) & observation.lost[chip][self.frame]] = False
        return good


def order_of_time(frame: Wholes, chip: NDArray[np.int8]) -> Wholes:
    """Return the order of events by frame, then chip; events of one chip and frame keep their order.

    The result is that of ``np.lexsort((chip, frame))``, but sorting numbers that combine frame, chip and row is faster.
    """
    bits = max(len(frame) - 1, 1).bit_length()
    keys: Wholes = (frame * acis.CHIP_COUNT + chip << bits) | np.arange(len(frame))
    keys.sort()
    keys &= (1 << bits) - 1
    return keys


def observe(scene: Scene, observation: Observation, seed: int) -> Photons:
    """Draw the level-1 events of an observation."""
    draw = np.random.default_rng([seed, 3, observation.obsid])
    seconds = observation.frames * TIMEDEL_S * LIVE_FRACTION
    parts = []
    count = int(draw.poisson(scene.gas.rate().sum() * seconds))
    parts.append(_from_sky(observation, *scene.draw_cluster(count, draw), CLUSTER, draw))
    counts = draw.poisson(scene.source_flux * scene.source_spectrum.counts_per_flux() * seconds)
    parts.append(_from_sky(observation, np.repeat(scene.source_ra_deg, counts), np.repeat(scene.source_dec_deg, counts),
                           scene.source_spectrum.draw(int(counts.sum()), draw), SOURCE, draw))
    for chip in observation.chips:
        rate = PARTICLE_RATES[chip in acis.BACK_ILLUMINATED]
        count = int(draw.poisson(rate * (1 + _BAD_GRADE_FRACTION) * seconds))
        frame = draw.integers(0, observation.frames, count)
        particles = _on_chip(observation, chip, frame, _particle_energies(count, draw), PARTICLE, draw)
        particles.grade[draw.random(len(particles)) < _BAD_GRADE_FRACTION / (1 + _BAD_GRADE_FRACTION)] = -1
        parts.append(particles)
        for flare in observation.flares:
            count = int(draw.poisson(rate * (flare.factor - 1) * (flare.stop - flare.start) * LIVE_FRACTION))
            times = draw.uniform(flare.start, flare.stop, count)
            frame = ((times - observation.tstart_s) / TIMEDEL_S).astype(np.int64)
            energy = _truncated_exponential(count, _FLARE_KT_EV, _FLARE_BAND_EV, draw)
            parts.append(_on_chip(observation, chip, frame, energy, FLARE, draw))
        parts.append(_hot(observation, chip, draw))
    events = Photons.join(parts).in_order()
    bad = events.grade < 0
    events.grade[bad] = draw.choice(BAD_GRADES, int(bad.sum()), p=(0.1, 0.2, 0.7))
    flagged = draw.random(len(events)) < _STATUS_FRACTION * (events.origin == PARTICLE)
    events.status[flagged] |= 1 << draw.choice(_STATUS_BITS, int(flagged.sum()))
    return events


def blank_sky(observation: Observation, chip: int, times_longer: float, seed: int, *,
              whole_chip: bool = False) -> tuple[Photons, float]:
    """Draw particles of one chip at the rate of an observation without flares; return them and their livetime (s).

    Sky positions include the dither of the observation, since frames are those of the observation. STATUS bit 23 is set
    for events that VFAINT data identify as particles, as in CALDB's files. ``whole_chip``: draw other particles, also
    on the observation's bad pixels, as in calibration files.
    """
    draw = np.random.default_rng([seed, 9 if whole_chip else 4, observation.obsid, chip])
    livetime = times_longer * observation.livetime(chip)
    # Status flags exclude the same fraction as in the observation.
    rate = PARTICLE_RATES[chip in acis.BACK_ILLUMINATED] * (1 - _STATUS_FRACTION)
    count = int(draw.poisson(rate * livetime))
    good_frames = np.flatnonzero(~observation.lost[chip])
    frame = np.sort(draw.choice(good_frames, count))
    events = _on_chip(observation, chip, frame, _particle_energies(count, draw), PARTICLE, draw, whole_chip)
    chance = flagged_fraction(events.energy_ev, events.chip)
    draw_flags = np.random.default_rng([seed, 10 if whole_chip else 8, observation.obsid, chip])
    flagged = draw_flags.random(len(events)) < chance
    events.status[flagged] |= 1 << STATUS_BIT
    return events, livetime


def flagged_fraction(energy_ev: Floats, chip: NDArray[np.int8]) -> Floats:
    """Return the probability, (n,), that a particle event has charge above the split threshold in an outer pixel."""
    front, back = (np.interp(energy_ev, _ENERGIES_EV, each) for each in _PARTICLES)
    fraction: Floats = np.where(np.isin(chip, list(acis.BACK_ILLUMINATED)), back, front)
    return fraction


def flat_exposure(observation: Observation, x_edges: NDArray[np.floating[Any]],
                  y_edges: NDArray[np.floating[Any]], photons: int, seed: int) -> tuple[Floats, Floats]:
    """Return the vignetted exposure (s) of sky pixels (ny, nx), from photons of a flat field drawn one by one.

    The second image is the number of photons in each pixel, whose square root is the noise.
    """
    draw = np.random.default_rng([seed, 5, observation.obsid])
    seen = np.zeros((len(y_edges) - 1, len(x_edges) - 1))
    left = photons
    while left > 0:
        count = min(left, 1 << 19)
        left -= count
        x = draw.uniform(x_edges[0], x_edges[-1], count)
        y = draw.uniform(y_edges[0], y_edges[-1], count)
        frame = draw.integers(0, observation.frames, count)
        body = observation.seen_by(observation.at_sky_pixels(x, y), observation.frame_turns.of(frame))
        passed = draw.random(count) < telescope.throughput(telescope.off_axis_arcmin(body))
        focal = telescope.focus(body)
        for chip in observation.chips:
            rows, chipx, chipy = _landed(observation, chip, focal, passed)
            rows = rows[~(observation.bad_pixels[chip][chipy - 1, chipx - 1] | observation.lost[chip][frame[rows]])]
            at = _pixels_of(y[rows], y_edges) * (len(x_edges) - 1) + _pixels_of(x[rows], x_edges)
            seen += np.bincount(at, minlength=seen.size).reshape(seen.shape)
    expected = photons / seen.size
    return seen / expected * observation.frames * TIMEDEL_S * LIVE_FRACTION, seen


def _pixels_of(places: Floats, edges: NDArray[np.floating[Any]]) -> Wholes:
    """Return the pixel of each position, for equidistant pixel edges (n + 1,)."""
    last = len(edges) - 2
    pixel: Wholes = np.clip(((places - edges[0]) * ((last + 1) / (edges[-1] - edges[0]))).astype(np.int64), 0, last)
    # Rounding may have selected the neighbouring pixel.
    pixel += (places >= edges[pixel + 1]) & (pixel < last)
    pixel -= places < edges[pixel]
    return pixel


def source_exposure(scene: Scene, observation: Observation) -> tuple[Floats, Floats]:
    """Return the vignetted exposure (s) of each source, averaged over the dither, and its mean off-axis angle (')."""
    frame = np.arange(observation.frames)
    exposure, angle = np.zeros(len(scene.source_flux)), np.zeros(len(scene.source_flux))
    for number, source in enumerate(telescope.unit_vectors(scene.source_ra_deg, scene.source_dec_deg).T):
        body = observation.seen_by(source[:, None], observation.frame_turns)
        theta = telescope.off_axis_arcmin(body)
        angle[number] = theta.mean()
        focal = telescope.focus(body)
        for chip in observation.chips:
            rows, chipx, chipy = _landed(observation, chip, focal, np.ones(len(frame), dtype=bool))
            rows = rows[~(observation.bad_pixels[chip][chipy - 1, chipx - 1] | observation.lost[chip][rows])]
            exposure[number] += telescope.throughput(theta[rows]).sum() * TIMEDEL_S * LIVE_FRACTION
    return exposure, angle


def source_places(scene: Scene, observation: Observation) -> tuple[Floats, Floats]:
    """Return the sky pixels (x, y) of each source."""
    return observation.sky_pixels(telescope.unit_vectors(scene.source_ra_deg, scene.source_dec_deg))


def source_counts(scene: Scene, exposure_s: Floats) -> Floats:
    """Return the expected counts of each source in ``FLUX_BAND_EV``."""
    counts: Floats = scene.source_flux * scene.source_spectrum.counts_per_flux(FLUX_BAND_EV) * exposure_s
    return counts


def _from_sky(observation: Observation, ra: Floats, dec: Floats, energy: Floats, origin: int,
              draw: np.random.Generator) -> Photons:
    """Return the photons that pass the mirror and hit a chip, chip by chip."""
    count = len(ra)
    frame = draw.integers(0, observation.frames, count)
    body = observation.seen_by(telescope.unit_vectors(ra, dec), observation.frame_turns.of(frame))
    passed = draw.random(count) < telescope.throughput(telescope.off_axis_arcmin(body))
    body = telescope.scattered(body, draw)
    focal = telescope.focus(body)
    parts = []
    for chip in observation.chips:
        rows, chipx, chipy = _landed(observation, chip, focal, passed)
        good = ~observation.bad_pixels[chip][chipy - 1, chipx - 1]
        rows = rows[good]
        parts.append(_events(observation, chip, frame[rows], (chipx[good], chipy[good]), body[:, rows],
                             energy[rows], origin, draw))
    return Photons.join(parts)


def _landed(observation: Observation, chip: int, focal_mm: Floats,
            passed: NDArray[np.bool_]) -> tuple[Wholes, Wholes, Wholes]:
    """Return which of the photons that passed the mirror hit usable rows and columns of a chip, and their pixels.

    ``focal_mm`` are the positions of all photons in the focal plane, (2, n).
    """
    x, y = telescope.focus_to_chip(chip, focal_mm, observation.sim_z_mm)
    low, high = FIRST_PX - 0.5, LAST_PX + 0.5
    rows = np.flatnonzero(passed & (x > low) & (x < high) & (y > low) & (y < high))
    return rows, np.rint(x[rows]).astype(np.int64), np.rint(y[rows]).astype(np.int64)


def _on_chip(observation: Observation, chip: int, frame: Wholes, energy: Floats, origin: int,
             draw: np.random.Generator, whole_chip: bool = False) -> Photons:
    """Return particles anywhere on a chip, on its bad pixels only with ``whole_chip``."""
    count = len(frame)
    chipx, chipy = (draw.integers(FIRST_PX, LAST_PX + 1, count) for _ in range(2))
    good = whole_chip | ~observation.bad_pixels[chip][chipy - 1, chipx - 1]
    return _at_pixels(observation, chip, frame[good], (chipx[good], chipy[good]), energy[good], origin, draw)


def _hot(observation: Observation, chip: int, draw: np.random.Generator) -> Photons:
    """Return events of bad pixels, with their flag."""
    chipy, chipx = np.nonzero(observation.bad_pixels[chip])
    usable = (chipx >= FIRST_PX) & (chipx < LAST_PX) & (chipy >= FIRST_PX) & (chipy < LAST_PX)
    chosen = draw.choice(np.flatnonzero(usable), _BAD_PIXEL_EVENTS)
    frame = draw.integers(0, observation.frames, _BAD_PIXEL_EVENTS)
    events = _at_pixels(observation, chip, frame, (chipx[chosen] + 1, chipy[chosen] + 1),
                        draw.uniform(*_FLARE_BAND_EV, _BAD_PIXEL_EVENTS), PARTICLE, draw)
    events.status[:] = 1 << _BAD_PIXEL_BIT
    return events


def _at_pixels(observation: Observation, chip: int, frame: Wholes, pixels: tuple[Wholes, Wholes], energy: Floats,
               origin: int, draw: np.random.Generator) -> Photons:
    """Return events anywhere in these pixels."""
    chipx, chipy = pixels
    focal = telescope.chip_to_focus(chip, chipx + draw.uniform(-0.5, 0.5, len(frame)),
                                    chipy + draw.uniform(-0.5, 0.5, len(frame)), observation.sim_z_mm)
    return _events(observation, chip, frame, pixels, telescope.behind(focal), energy, origin, draw)


def _events(observation: Observation, chip: int, frame: Wholes, pixels: tuple[Wholes, Wholes],
            body: Floats, energy: Floats, origin: int, draw: np.random.Generator) -> Photons:
    """Return events of directions in the body, with sky positions by the aspect of their frames."""
    x, y = observation.sky_pixels(observation.on_sky(body, observation.frame_turns.of(frame)))
    count = len(frame)
    blurred = energy if origin in (PARTICLE, FLARE) else energy + RESOLUTION_EV * draw.standard_normal(count)
    return Photons(frame, np.full(count, chip, np.int8), pixels[0].astype(np.int16), pixels[1].astype(np.int16),
                   *telescope.pixels(body), x, y, blurred, np.full(count, origin, np.int8), _good_grades(count, draw),
                   np.zeros(count, np.int32))


def _good_grades(count: int, draw: np.random.Generator) -> NDArray[np.int8]:
    """Draw good grades; the result is that of ``draw.choice``, which is slower."""
    chance = draw.random(count)
    place = np.zeros(count, np.int8)
    for edge in np.cumsum(_GRADE_WEIGHTS)[:-1] / np.sum(_GRADE_WEIGHTS):
        place += chance >= edge
    return np.array(GOOD_GRADES, np.int8)[place]


def _particle_energies(count: int, draw: np.random.Generator) -> Floats:
    """Draw the energies of particles in eV."""
    low, high = PARTICLE_BAND_EV
    part = draw.random(count)
    energy = draw.uniform(low, high, count)
    falling = (part >= _FLAT) & (part < _FLAT + _FALLING)
    energy[falling] = low * (high / low) ** draw.random(int(falling.sum()))
    edge = _FLAT + _FALLING
    for line, weight in _LINES:
        at = (part >= edge) & (part < edge + weight)
        energy[at] = line + RESOLUTION_EV * draw.standard_normal(int(at.sum()))
        edge += weight
    return energy


def _truncated_exponential(count: int, scale: float, band: tuple[float, float], draw: np.random.Generator) -> Floats:
    """Draw energies from an exponential distribution in a band."""
    low, high = (math.exp(-edge / scale) for edge in band)
    energy: Floats = -scale * np.log(low + draw.random(count) * (high - low))
    return energy
