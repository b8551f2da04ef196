"""Thermal bremsstrahlung of hydrogen and helium: a model of hot plasma that needs no file, without lines."""

from functools import cached_property
from typing import Any

import numpy as np

from chandra_bin._checks.array_types import Floats

from .absorption import DATA
from .abundances import AbundanceTable, abundances

_RYDBERG_KEV = 0.0136056931
# Photons cm⁻² s⁻¹ keV^(-1/2) of hydrogen for norm 1: 1e14 times the constant of Rybicki & Lightman 1979, eq. 5.14.
_PHOTONS = 1e14 * 3.031e-15
# The table of Gaunt factors begins here in both directions (log10), and has these steps.
_TABLE_START, _TABLE_STEP = -5.0, 0.2
# Nodes and weights of Gauss and Legendre over a bin, as parts of its width.
_NODES = 0.5 + np.sqrt(0.15) * np.array([-1, 0, 1])
_WEIGHTS = np.array([5, 8, 5]) / 18
# Steps of the grid of temperatures in ln kT: counts are linear between two of them within 1e-3 of the peak.
_COOL_KEV, _STEP_COOL, _STEP = 1.0, 0.03, 0.07


class Bremsstrahlung:
    """Photons of hydrogen and helium by bremsstrahlung, at rest.

    Parameters
    ----------
    kt_limits_kev : (lower, upper) of the grid of temperatures, keV.
    abundance_table : the table that gives the abundance of helium.

    Notes
    -----
    Per norm 1, with energies E and kT in keV, photons cm⁻² s⁻¹ keV⁻¹ are 1e14 x 3.031e-15 exp(-E/kT) [g(E, kT, 1) +
    4 (n_He / n_H) g(E, kT, 2)] / (E sqrt(kT)), integrated over each bin. Recombination and lines are missing: compared
    with ``apec`` at an abundance of 0.3 the continuum between 2 and 8 keV is 4.5 % low at kT = 11.9 keV, 9 % at 3.9 keV
    and 16 % at 2.06 keV.

    References
    ----------
    Rybicki & Lightman 1979, eq. 5.14; van Hoof et al. 2014, MNRAS 444, 420 (Gaunt factors g, interpolated by a cubic
    spline in the logarithms).
    """

    has_abundance = False
    has_redshift = True

    def __init__(self, kt_limits_kev: tuple[float, float], abundance_table: AbundanceTable) -> None:
        self.kt_kev = _temperatures(*kt_limits_kev)
        self.name = "bremsstrahlung (no lines, no abundance)"
        self._helium = abundances(abundance_table)[2]

    def photons(self, edges_kev: Floats) -> Floats:
        """Return photons cm⁻² s⁻¹ in each bin, (temperatures, 2, bins), for norm 1; the second of each pair is 0."""
        width = np.diff(edges_kev)
        energy = edges_kev[:-1, np.newaxis] + width[:, np.newaxis] * _NODES
        made = np.zeros((len(self.kt_kev), 2, len(width)))
        for photons, kt in zip(made, self.kt_kev, strict=True):
            photons[0] = (self._density(energy, kt) @ _WEIGHTS) * width
        return made

    def _density(self, energy_kev: Floats, kt_kev: float) -> Floats:
        gaunt = sum(share * self._gaunt(energy_kev, kt_kev, charge)
                    for charge, share in ((1, 1.0), (2, 4 * self._helium)))
        return np.asarray(_PHOTONS * np.exp(-energy_kev / kt_kev) * gaunt / (energy_kev * np.sqrt(kt_kev)))

    def _gaunt(self, energy_kev: Floats, kt_kev: float, charge: int) -> Floats:
        u, gamma2 = energy_kev / kt_kev, charge**2 * _RYDBERG_KEV / kt_kev
        return np.asarray(np.exp(self._log_gaunt(np.log10(u), np.log10(gamma2), grid=False)))

    @cached_property
    def _log_gaunt(self) -> Any:
        from scipy.interpolate import RectBivariateSpline

        table = np.loadtxt(DATA / "gaunt.txt")
        of_u, of_gamma2 = (_TABLE_START + _TABLE_STEP * np.arange(size) for size in table.shape)
        return RectBivariateSpline(of_u, of_gamma2, np.log(table))


def _temperatures(lowest_kev: float, highest_kev: float) -> Floats:
    """Return a grid of temperatures that is finer where the spectrum changes faster."""
    parts = []
    for low, high, step in ((lowest_kev, min(highest_kev, _COOL_KEV), _STEP_COOL),
                            (max(lowest_kev, _COOL_KEV), highest_kev, _STEP)):
        if high > low:
            parts.append(np.geomspace(low, high, 1 + int(np.ceil(np.log(high / low) / step))))
    return np.unique(np.concatenate(parts))
