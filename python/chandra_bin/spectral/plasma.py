"""Thermal plasma in collisional equilibrium by AtomDB's tables, as XSPEC's apec makes it of them."""

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin.errors import InputError

from .abundances import HEAVIEST, AbundanceTable, abundances
from .atomdb import LEAST_KEV, MOST_KEV, ApecTable

METALS = (6, 7, 8, 10, 12, 13, 14, 16, 18, 20, 26, 28)
"""The elements that the abundance Z scales; the other metals stay at the abundance of the table."""
_NORM = 1e14


class Plasma:
    """Photons of a plasma at rest, without broadening of lines.

    Parameters
    ----------
    table : emissivities.
    version : version of AtomDB, for the name.
    kt_limits_kev : the temperatures of the table within these, and one beyond on either side, keV.
    abundance_table : the emissivities of each element are scaled from Anders & Grevesse 1989 to these.

    Notes
    -----
    The continuum, linear between the points of the table, is integrated over each bin. A line gives all its photons to
    the bin that holds its energy. Z scales C, N, O, Ne, Mg, Al, Si, S, Ar, Ca, Fe and Ni.

    References
    ----------
    Smith et al. 2001, ApJ 556, L91; Foster et al. 2012, ApJ 756, 128; XSPEC's manual, model ``apec``.
    """

    has_abundance = True
    has_redshift = True

    def __init__(self, table: ApecTable, version: str, kt_limits_kev: tuple[float, float],
                 abundance_table: AbundanceTable) -> None:
        low, high = kt_limits_kev
        if not (table.kt_kev[0] < high and low < table.kt_kev[-1]):
            raise InputError(f"kt_limits_kev is {low:g} to {high:g}: AtomDB's tables go from {table.kt_kev[0]:.4g} to "
                             f"{table.kt_kev[-1]:.4g} keV")
        first = max(int(np.searchsorted(table.kt_kev, low, side="right")) - 1, 0)
        stop = int(np.searchsorted(table.kt_kev, high)) + 1
        self._table = table
        self._line_kev = table.line_kev
        self._temperatures = range(len(table.kt_kev))[first:stop]
        self.kt_kev = table.kt_kev[first:stop]
        self.name = f"apec (AtomDB {version or 'of unknown version'})"
        with np.errstate(invalid="ignore"):
            ratios = np.nan_to_num(abundances(abundance_table) / abundances("angr"))
        scaled = np.isin(np.arange(HEAVIEST + 1), METALS)
        self._factors = np.stack([np.where(scaled, 0, ratios), np.where(scaled, ratios, 0)])

    def photons(self, edges_kev: Floats) -> Floats:
        """Return photons cm⁻² s⁻¹ in each bin, (temperatures, 2, bins), for norm 1: at Z = 0, and what Z = 1 adds."""
        if not LEAST_KEV <= edges_kev[0] <= edges_kev[-1] <= MOST_KEV:
            raise InputError(f"energies at rest go from {edges_kev[0]:.4g} to {edges_kev[-1]:.4g} keV: the plasma is "
                             f"known from {LEAST_KEV:g} to {MOST_KEV:g} keV; cut the response, or check the redshift")
        made = np.empty((len(self._temperatures), 2, len(edges_kev) - 1))
        for photons, temperature in zip(made, self._temperatures, strict=True):
            photons[:] = self._lines(edges_kev, temperature)
            self._add_continuum(photons, edges_kev, temperature)
        return made * _NORM

    def _lines(self, edges_kev: Floats, temperature: int) -> Floats:
        table = self._table
        lines = slice(*table.line_offsets[temperature: temperature + 2])
        bins = np.searchsorted(edges_kev, self._line_kev[lines], side="right") - 1
        bins[bins < 0] = len(edges_kev) - 1  # the last of one bin more, which is dropped
        element, photons = table.line_element[lines], table.line_photons[lines].astype(np.float64)
        return np.stack([np.bincount(bins, photons * factors[element], len(edges_kev))[:-1]
                         for factors in self._factors])

    def _add_continuum(self, photons: Floats, edges_kev: Floats, temperature: int) -> None:
        table = self._table
        first, last = np.searchsorted(table.piece_temperature, [temperature, temperature + 1])
        for piece in range(first, last):
            points = slice(*table.piece_offsets[piece: piece + 2])
            factors = self._factors[:, table.piece_element[piece]]
            if factors.any():
                photons += np.outer(factors, integrals(table.point_kev[points].astype(np.float64),
                                                       table.point_photons[points].astype(np.float64), edges_kev))


def integrals(energy: NDArray[np.float64], density: NDArray[np.float64], edges: Floats) -> Floats:
    """Return the integrals over bins of a function that is linear between points and 0 beyond them.

    Parameters
    ----------
    energy : (points,), ascending; of two equal ones the first is what comes before.
    density : (points,).
    edges : (bins + 1,), ascending.

    Returns
    -------
    (bins,): each the sum of the trapezoids between points and edges, so that no large numbers are subtracted.
    """
    within = np.clip(edges, energy[0], energy[-1])
    places = np.concatenate([energy, within])
    order = np.argsort(places, kind="stable")
    places = places[order]
    values = np.concatenate([density, np.interp(within, energy, density)])[order]
    bins = np.cumsum(order >= len(energy))[:-1]  # 0: before the first edge
    parts = 0.5 * (values[1:] + values[:-1]) * np.diff(places)
    return np.asarray(np.bincount(bins, parts, len(edges) + 1)[1:-1], dtype=np.float64)
