"""Gas of the simulated cluster: temperature and abundance of each pixel, and photons.

The temperature profile is that of Vikhlinin et al. 2006 (ApJ 640, 691, equation 6) with a cool core, a peak and a
decrease outside. The gas is colder inside the cold front of `cluster_model` than outside, and hotter in front of the
cavities.
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
# Temperature outside the cold front over that inside.
_FRONT_JUMP = 1.5
_CAVITY_RISE = 0.12
_CENTRE_ABUNDANCE, _OUTER_ABUNDANCE, _ABUNDANCE_RADIUS = 0.8, 0.3, 0.12


def cluster_temperature(shape: tuple[int, int]) -> Floats:
    """Return the temperature in keV of the gas of `cluster_model`, (ny, nx)."""
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
    """Return the metal abundance (solar: 1) of the gas of `cluster_model`, (ny, nx)."""
    radius = np.hypot(*plane(shape))
    made: Floats = _OUTER_ABUNDANCE + (_CENTRE_ABUNDANCE - _OUTER_ABUNDANCE) / (1 + (radius / _ABUNDANCE_RADIUS) ** 2)
    return made


class Model(Protocol):
    """A spectral model: a `ThermalModel`."""

    @property
    def kt_kev(self) -> Floats:
        """Grid of temperatures in keV."""

    def photons(self, edges_kev: Floats) -> Floats:
        """Return photons per cm² and s for norm 1, (temperatures, 2, bins): at Z = 0, and the addition of Z = 1."""

    def describe(self) -> str:
        """Return the model in words."""


@dataclass(frozen=True, eq=False)
class Gas:
    """The gas in each pixel of an image, (ny, nx), and the spectra of its photons on axis."""

    kt_kev: Floats
    abundance: Floats
    norm: Floats
    """XSPEC norm of each pixel."""
    model: str
    """The model of the spectra in words."""
    low_ev: Floats
    """Lower edges of energy bins of equal width, (bins,)."""
    width_ev: float
    grid_kev: Floats
    """Temperatures of the spectra, (temperatures,)."""
    counts: Floats
    """Counts per second for norm 1, (temperatures, 2, bins): at Z = 0, and the addition of Z = 1."""
    photons: Floats
    """Photons per cm² and s before the telescope, with the shape of ``counts``."""

    @classmethod
    def of(cls, model: Model, brightness: Floats, low_ev: Floats, width_ev: float, area_cm2: Floats,
           band_ev: tuple[float, float]) -> "Gas":
        """Return gas with this brightness, (ny, nx), in photons per cm² and s in a band.

        ``area_cm2`` (bins,) is the on-axis area of the telescope. Raises `InputError` for a model that does not cover
        the temperatures.
        """
        shape = (brightness.shape[0], brightness.shape[1])
        kt, abundance = cluster_temperature(shape), cluster_abundance(shape)
        grid = model.kt_kev
        if not grid[0] <= kt.min() <= kt.max() <= grid[-1]:
            raise InputError(f"the model {model.describe()} has temperatures of {grid[0]:.3g} to {grid[-1]:.3g} keV, "
                             f"but the cluster needs {kt.min():.3g} to {kt.max():.3g} keV")
        photons = model.photons(np.append(low_ev, low_ev[-1] + width_ev) / 1000)
        made = cls(kt, abundance, np.ones(shape), model.describe(), low_ev, width_ev, grid, photons * area_cm2, photons)
        return replace(made, norm=brightness / made.per_norm(photons, band_ev))

    def times(self, factor: float) -> "Gas":
        """Return gas with the norm multiplied by a factor."""
        return replace(self, norm=self.norm * factor)

    def rate(self, band_ev: tuple[float, float] | None = None) -> Floats:
        """Return the on-axis count rate of each pixel, (ny, nx), in a band or of all photons."""
        return self.norm * self.per_norm(self.counts, band_ev)

    def flux(self, band_ev: tuple[float, float]) -> Floats:
        """Return the photons per cm² and s of each pixel, (ny, nx), in a band."""
        return self.norm * self.per_norm(self.photons, band_ev)

    def per_norm(self, spectra: Floats, band_ev: tuple[float, float] | None) -> Floats:
        """Return the sum over a band of spectra at the temperature and abundance of each pixel, (ny, nx)."""
        band_ev = band_ev or (-np.inf, np.inf)
        sums = spectra[:, :, (self.low_ev >= band_ev[0]) & (self.low_ev < band_ev[1])].sum(axis=2)
        below, part = self._between(self.kt_kev)
        hydrogen, metals = ((1 - part) * sums[below, k] + part * sums[below + 1, k] for k in (0, 1))
        made: Floats = hydrogen + self.abundance * metals
        return made

    def draw(self, pixels: Wholes, draw: np.random.Generator) -> Floats:
        """Draw the energies in eV of detected photons of these pixels (flat indices).

        Each photon has the spectrum of one of the two neighbouring temperatures of the grid, with or without metals, at
        random; on average this is the spectrum of the pixel.
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
        """Return the index of the grid temperature below each, and the fraction of the step to the next."""
        below = np.clip(np.searchsorted(self.grid_kev, kt, side="right") - 1, 0, len(self.grid_kev) - 2)
        return below, (kt - self.grid_kev[below]) / (self.grid_kev[below + 1] - self.grid_kev[below])
