"""The gas of the simulated cluster: temperature and abundance along each line of sight, one value a pixel, and photons.

A cool core, a rise to a peak and a fall outside, after the profile of Vikhlinin et al. 2006 (ApJ 640, 691, equation 6);
a jump at the cold front of `cluster_model`, cold inside and hot outside; and hotter gas before the cavities.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import numpy as np

from chandra_bin._checks.array_types import Floats, Wholes
from chandra_bin.errors import InputError

from ._cluster import CAVITIES, front_parts, plane

_KT_KEV = 7.0
# The least temperature over _KT_KEV in the core; radii in units of half the image.
_CORE_RATIO, _CORE_RADIUS, _CORE_SLOPE = 0.35, 0.09, 1.9
_OUTER_RADIUS, _OUTER_SLOPE = 0.7, 0.4
# The gas outside the cold front is so many times hotter than inside.
_FRONT_JUMP = 1.5
_CAVITY_RISE = 0.12
_CENTRE_ABUNDANCE, _OUTER_ABUNDANCE, _ABUNDANCE_RADIUS = 0.8, 0.3, 0.12


def cluster_temperature(shape: tuple[int, int]) -> Floats:
    """Temperature in keV of the gas of `cluster_model`, of an image (ny, nx)."""
    u, v = plane(shape)
    radius = np.hypot(u, v)
    core = (radius / _CORE_RADIUS) ** _CORE_SLOPE
    profile = (core + _CORE_RATIO) / (core + 1) / (1 + (radius / _OUTER_RADIUS) ** 2) ** _OUTER_SLOPE
    inside, facing = front_parts(u, v)
    front = 1 + (_FRONT_JUMP - 1) * (1 - inside) * facing
    cavities = sum(np.exp(-((np.hypot(u - x, v - y) / size) ** 4)) for x, y, size in CAVITIES)
    made: Floats = _KT_KEV * profile * front * (1 + _CAVITY_RISE * cavities)
    return made


def cluster_abundance(shape: tuple[int, int]) -> Floats:
    """Abundance of the metals, over the solar one, of the gas of `cluster_model`, of an image (ny, nx)."""
    radius = np.hypot(*plane(shape))
    made: Floats = _OUTER_ABUNDANCE + (_CENTRE_ABUNDANCE - _OUTER_ABUNDANCE) / (1 + (radius / _ABUNDANCE_RADIUS) ** 2)
    return made


class Model(Protocol):
    """What gives the spectra: a `ThermalModel`."""

    @property
    def kt_kev(self) -> Floats: ...

    def photons(self, edges_kev: Floats) -> Floats: ...

    def describe(self) -> str: ...


@dataclass(frozen=True, eq=False)
class Gas:
    """The gas in each pixel of an image, (ny, nx), and the spectra of its photons on axis."""

    kt_kev: Floats
    abundance: Floats
    norm: Floats
    """As XSPEC has it, of each pixel."""
    model: str
    """The model of the spectra in words."""
    low_ev: Floats
    """(bins,): the lower edges of bins of energy, all of one width."""
    width_ev: float
    grid_kev: Floats
    """(temperatures,)"""
    counts: Floats
    """(temperatures, 2, bins): counts per second for norm 1, at Z = 0 and what Z = 1 adds."""
    photons: Floats
    """The same before the telescope, photon/cm²/s."""

    @classmethod
    def of(cls, model: Model, brightness: Floats, low_ev: Floats, width_ev: float, area_cm2: Floats,
           band_ev: tuple[float, float]) -> "Gas":
        """Gas whose photons per cm² and s in a band have this brightness, (ny, nx).

        ``area_cm2`` (bins,) is that of the telescope on axis. Raises `InputError` for a model that does not reach the
        temperatures.
        """
        shape = (brightness.shape[0], brightness.shape[1])
        kt, abundance = cluster_temperature(shape), cluster_abundance(shape)
        grid = model.kt_kev
        if not grid[0] <= kt.min() <= kt.max() <= grid[-1]:
            raise InputError(f"the model {model.describe()} has temperatures of {grid[0]:.3g} to {grid[-1]:.3g} keV, "
                             f"and the cluster {kt.min():.3g} to {kt.max():.3g} keV")
        photons = model.photons(np.append(low_ev, low_ev[-1] + width_ev) / 1000)
        made = cls(kt, abundance, np.ones(shape), model.describe(), low_ev, width_ev, grid, photons * area_cm2, photons)
        return replace(made, norm=brightness / made.per_norm(photons, band_ev))

    def times(self, factor: float) -> "Gas":
        """Gas of another norm."""
        return replace(self, norm=self.norm * factor)

    def rate(self, band_ev: tuple[float, float] | None = None) -> Floats:
        """Counts per second on axis of each pixel, (ny, nx), in a band or of all photons."""
        return self.norm * self.per_norm(self.counts, band_ev)

    def flux(self, band_ev: tuple[float, float]) -> Floats:
        """Photons per cm² and s of each pixel, (ny, nx), in a band."""
        return self.norm * self.per_norm(self.photons, band_ev)

    def per_norm(self, spectra: Floats, band_ev: tuple[float, float] | None) -> Floats:
        """Sums over a band of such spectra at the temperature and abundance of each pixel, (ny, nx)."""
        band_ev = band_ev or (-np.inf, np.inf)
        sums = spectra[:, :, (self.low_ev >= band_ev[0]) & (self.low_ev < band_ev[1])].sum(axis=2)
        below, part = self._between(self.kt_kev)
        hydrogen, metals = ((1 - part) * sums[below, k] + part * sums[below + 1, k] for k in (0, 1))
        made: Floats = hydrogen + self.abundance * metals
        return made

    def draw(self, pixels: Wholes, draw: np.random.Generator) -> Floats:
        """Energies of detected photons of these pixels (flat indices), eV.

        Each has the spectrum of one of two temperatures of the grid, with or without metals, by chance: together they
        have that of the pixel.
        """
        below, part = self._between(self.kt_kev.ravel()[pixels])
        metals = self.abundance.ravel()[pixels]
        sums = self.counts.sum(axis=2)
        chances = np.cumsum([(1 - part) * sums[below, 0], part * sums[below + 1, 0],
                             (1 - part) * metals * sums[below, 1], part * metals * sums[below + 1, 1]], axis=0)
        chosen = (draw.random(len(pixels)) * chances[-1] >= chances[:-1]).sum(axis=0)
        spectrum = 2 * (below + chosen % 2) + chosen // 2
        order = np.argsort(spectrum, kind="stable")
        ends = np.cumsum(np.bincount(spectrum, minlength=2 * len(self.grid_kev)))
        luck, energy = draw.random(len(pixels)), np.empty(len(pixels))
        for which, (first, end) in enumerate(pairwise([0, *ends.tolist()])):
            if first < end:
                of_spectrum = np.cumsum(self.counts[which // 2, which % 2])
                rows = order[first:end]
                bins = np.searchsorted(of_spectrum, luck[rows] * of_spectrum[-1], side="right")
                energy[rows] = self.low_ev[np.minimum(bins, len(self.low_ev) - 1)]
        return energy + self.width_ev * draw.random(len(pixels))

    def _between(self, kt: Floats) -> tuple[Wholes, Floats]:
        """The temperature of the grid below each, and how far it is towards the next, 0 to 1."""
        below = np.clip(np.searchsorted(self.grid_kev, kt, side="right") - 1, 0, len(self.grid_kev) - 2)
        return below, (kt - self.grid_kev[below]) / (self.grid_kev[below + 1] - self.grid_kev[below])
