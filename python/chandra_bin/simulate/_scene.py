"""The simulated sky: a cluster and point sources, with their spectra and fluxes."""

import math
from dataclasses import dataclass, field

import numpy as np

from chandra_bin._checks.array_types import Floats
from chandra_bin.acis import geometry as acis

from . import _telescope as telescope
from ._cluster import cluster_model
from ._gas import Gas, Model

# The band of all fluxes, and the band of photons, in eV.
FLUX_BAND_EV = (500.0, 7000.0)
DRAWN_EV = (300.0, 10_000.0)
STEP_EV = 10.0

CLUSTER_RA_DEG, CLUSTER_DEC_DEG = 258.112, -23.375
# Pixels along a side of the model image, and the width of a pixel in sky pixels.
_MODEL_SIZE, _MODEL_BIN = 768, 2
_PHOTON_INDEX = 1.7
# Point sources: number, largest distance from the cluster, range of counts, slope of N(>S) ~ S^-slope, and least
# distance from the cluster.
_SOURCES = 40
_FIELD_ARCMIN = 9.0
_FAINTEST_COUNTS, _BRIGHTEST_COUNTS = 12.0, 800.0
_SLOPE = 0.9
_FREE_OF_SOURCES_ARCMIN = 0.3


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Photons per cm² and s in bins of energy, for one photon per cm² and s in ``FLUX_BAND_EV``."""

    low_ev: Floats
    """Lower edges of bins of 10 eV."""
    photons: Floats

    def __repr__(self) -> str:
        return f"<Spectrum: {self.photons.size} bins of {STEP_EV:g} eV>"

    @classmethod
    def of(cls, shape: Floats, energy_ev: Floats) -> "Spectrum":
        """Return the spectrum of a shape, in any unit, at the centres of bins."""
        inside = (energy_ev > FLUX_BAND_EV[0]) & (energy_ev < FLUX_BAND_EV[1])
        return cls(energy_ev - STEP_EV / 2, shape / shape[inside].sum())

    def counts_per_flux(self, band_ev: tuple[float, float] = DRAWN_EV) -> float:
        """Return the count rate of an on-axis source of unit flux in a band: an area in cm²."""
        inside = (self.low_ev >= band_ev[0]) & (self.low_ev < band_ev[1])
        return float(self._counts()[inside].sum())

    def draw(self, count: int, draw: np.random.Generator) -> Floats:
        """Draw the energies of detected photons in eV."""
        sums = np.cumsum(self._counts())
        bins = np.searchsorted(sums, draw.random(count) * sums[-1], side="right")
        energy: Floats = self.low_ev[np.minimum(bins, self.low_ev.size - 1)] + STEP_EV * draw.random(count)
        return energy

    def _counts(self) -> Floats:
        """Return the counts per second of each bin."""
        counts: Floats = self.photons * telescope.area_cm2(self.low_ev + STEP_EV / 2)
        return counts


@dataclass(frozen=True, eq=False)
class Scene:
    """A cluster, as an image around its centre, and point sources. Fluxes are photon/cm²/s in ``FLUX_BAND_EV``."""

    ra_deg: float
    dec_deg: float
    gas: Gas = field(repr=False)
    """Gas of the cluster, in pixels of ``bin_px`` sky pixels around the tangent point (ra_deg, dec_deg)."""
    bin_px: int
    source_ra_deg: Floats = field(repr=False)
    source_dec_deg: Floats = field(repr=False)
    source_flux: Floats = field(repr=False)
    source_spectrum: Spectrum = field(repr=False)

    def draw_cluster(self, count: int, draw: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        """Draw (RA, Dec) and energies in eV of detected photons of the cluster."""
        rate = self.gas.rate()
        sums = np.cumsum(rate.ravel())
        pixels = np.minimum(np.searchsorted(sums, draw.random(count) * sums[-1], side="right"), sums.size - 1)
        ny, nx = rate.shape
        y, x = np.divmod(pixels, nx)
        ra, dec = _around(self.ra_deg, self.dec_deg, (x + draw.random(count) - nx / 2) * self.bin_px,
                          (y + draw.random(count) - ny / 2) * self.bin_px)
        return ra, dec, self.gas.draw(pixels, draw)


def make_scene(seed: int, counts: float, livetime_s: float, model: Model) -> Scene:
    """Return a cluster with ``counts`` in ``FLUX_BAND_EV`` in ``livetime_s`` on axis, and sources for this livetime.

    ``model`` gives the spectra of the gas.
    """
    energy = np.arange(DRAWN_EV[0], DRAWN_EV[1], STEP_EV) + STEP_EV / 2
    kev = energy / 1000
    power_law = Spectrum.of(kev**-_PHOTON_INDEX * np.exp(-0.3 * kev**-2.6), energy)
    gas = Gas.of(model, cluster_model((_MODEL_SIZE, _MODEL_SIZE)), energy - STEP_EV / 2, STEP_EV,
                 telescope.area_cm2(energy), FLUX_BAND_EV)
    gas = gas.times(counts / livetime_s / float(gas.rate(FLUX_BAND_EV).sum()))
    draw = np.random.default_rng([seed, 1])
    # Uniform over the disc, except for the cluster's core.
    radius = np.sqrt(draw.uniform(_FREE_OF_SOURCES_ARCMIN**2, _FIELD_ARCMIN**2, _SOURCES)) * 60 / acis.PIXEL_ARCSEC
    angle = draw.uniform(0, 2 * math.pi, _SOURCES)
    ra, dec = _around(CLUSTER_RA_DEG, CLUSTER_DEC_DEG, radius * np.cos(angle), radius * np.sin(angle))
    # The inverse of N(>S) between both limits.
    part = draw.uniform((_FAINTEST_COUNTS / _BRIGHTEST_COUNTS) ** _SLOPE, 1, _SOURCES)
    source_counts = np.sort(_FAINTEST_COUNTS * part ** (-1 / _SLOPE))[::-1]
    source_flux = source_counts / (power_law.counts_per_flux(FLUX_BAND_EV) * livetime_s)
    return Scene(CLUSTER_RA_DEG, CLUSTER_DEC_DEG, gas, _MODEL_BIN, ra, dec, source_flux, power_law)


def _around(ra_deg: float, dec_deg: float, right: Floats, up: Floats) -> tuple[Floats, Floats]:
    """Return (RA, Dec) of offsets in sky pixels from a position, in the plane tangent there."""
    upright = telescope.attitude(ra_deg, dec_deg, 0)
    return telescope.places(upright.T @ telescope.at_pixels(acis.CENTRE_PX + right, acis.CENTRE_PX + up))
