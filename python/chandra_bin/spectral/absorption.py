"""Photoelectric absorption by the interstellar medium of our galaxy, from tables in the package's ``data`` folder."""

from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin.errors import InputError

from .abundances import AbundanceTable, abundances

AbsorptionModel: TypeAlias = Literal["tbabs", "phabs"]
DATA = Path(__file__).parent / "data"
# Limits of the table of tbabs, keV; phabs has the same limits.
LEAST_KEV, MOST_KEV = 0.1, 20.0
# A cross section that grows by this between two energies of the table has an edge there.
_EDGE = 1.0005
# In a bin with an edge the transmission is averaged over this many parts of equal width.
_PARTS = 64
_MB_IN_1E22 = 1e-18 * 1e22


def transmission(edges_kev: ArrayLike, nh_1e22: float, model: AbsorptionModel = "tbabs",
                 abundance_table: AbundanceTable = "angr") -> Floats:
    """Return the fraction of the photons of each energy bin that neutral gas transmits.

    Parameters
    ----------
    edges_kev : array (bins + 1,), keV
        Edges of the bins, ascending, within 0.1 to 20 keV.
    nh_1e22 : float, 1e22 cm⁻²
        Column density of hydrogen.
    model : {"tbabs", "phabs"}
        ``phabs`` is absorption by atoms of 18 elements. ``tbabs`` has molecules and grains too: at 1e21 cm⁻² the models
        differ by 3 % at 0.5 keV and 0.3 % at 1 keV.
    abundance_table : {"angr", "aspl", "lodd", "wilm"}
        See `abundances`; for ``tbabs`` there is no ``lodd``.

    Returns
    -------
    array (bins,) of float64

    Raises
    ------
    InputError
        For a column density that is negative or above 100, edges that do not ascend or are beyond the limits, and an
        unknown model or table.

    Notes
    -----
    As in XSPEC, the cross section of a bin is the mean of those at both ends of it. A bin that holds an absorption edge
    has the mean transmission of 64 parts.

    References
    ----------
    Verner & Yakovlev 1995, A&AS 109, 125; Verner, Ferland, Korista & Yakovlev 1996, ApJ 465, 487 (``phabs``). Wilms,
    Allen & McCray 2000, ApJ 542, 914 (``tbabs``; numbers of astromodels).

    Examples
    --------
    >>> from chandra_bin.spectral import transmission
    >>> transmission([0.98, 1.02, 1.06], 0.1, "phabs").round(2).tolist()
    [0.78, 0.8]
    """
    edges = np.asarray(edges_kev, dtype=np.float64)
    check_nh(nh_1e22)
    if edges.ndim != 1 or len(edges) < 2 or not np.all(np.diff(edges) > 0):
        raise InputError(f"edges_kev must be 1-D and ascend, two values at least; its shape is {edges.shape}")
    if not LEAST_KEV <= edges[0] <= edges[-1] <= MOST_KEV:
        raise InputError(f"edges_kev goes from {edges[0]:.4g} to {edges[-1]:.4g} keV: absorption is known from "
                         f"{LEAST_KEV:g} to {MOST_KEV:g} keV")
    if model not in get_args(AbsorptionModel):
        raise InputError(f"absorption is {model!r}: it must be {' or '.join(get_args(AbsorptionModel))}")
    section = _Phabs(abundance_table) if model == "phabs" else _Tbabs(abundance_table)
    at_edges = section.at(edges)
    passed = np.exp(-nh_1e22 * 0.5 * (at_edges[1:] + at_edges[:-1]))
    for each in np.flatnonzero(section.has_edge(edges)):
        width = (edges[each + 1] - edges[each]) / _PARTS
        middles = edges[each] + width * (np.arange(_PARTS) + 0.5)
        passed[each] = np.exp(-nh_1e22 * section.at(middles)).mean()
    return passed


def check_nh(nh_1e22: float) -> None:
    """Raise `InputError` for a column density that is negative, NaN or above 100."""
    if not 0 <= nh_1e22 <= 100:
        raise InputError(f"nh is {nh_1e22:g}: it must be from 0 to 100, in units of 1e22 cm-2")


class _Phabs:
    """Cross sections of atoms, in 1e-22 cm² per hydrogen atom."""

    def __init__(self, table: AbundanceTable) -> None:
        self._abundances = abundances(table)

    def at(self, energy_kev: Floats) -> Floats:
        shells, outer = _verner()
        energy = energy_kev * 1e3
        total = np.zeros_like(energy)
        for number in np.unique(shells[:, 0]).astype(int):
            if self._abundances[number]:
                total += self._abundances[number] * _atom(energy, shells[shells[:, 0] == number], outer.get(number))
        return total * _MB_IN_1E22

    def has_edge(self, edges_kev: Floats) -> NDArray[np.bool_]:
        thresholds = np.sort(_verner()[0][:, 2] / 1e3)
        return np.diff(np.searchsorted(thresholds, edges_kev, side="right")) > 0


def _atom(energy_ev: Floats, shells: Floats, outer: Floats | None) -> Floats:
    """Return the cross section of a neutral atom, Mb.

    Below the outermost edge of its inner shells the fit to all outer shells together holds (Verner et al. 1996), where
    the element has one; else the sum of all shells (Verner & Yakovlev 1995).
    """
    total = np.zeros_like(energy_ev)
    for _, _, threshold, e0, sigma, ya, power, yw, momentum in shells:
        y = energy_ev / e0
        shape = ((y - 1) ** 2 + yw**2) * y ** -(5.5 + momentum - power / 2) * (1 + np.sqrt(y / ya)) ** -power
        total += np.where(energy_ev >= threshold, sigma * shape, 0.0)
    if outer is None:
        return total
    inner = shells[shells[:, 1] == _inner_shell(int(shells[0, 0])), 2]
    low = energy_ev < (inner[0] if len(inner) else np.inf)
    e0, sigma, ya, power, yw, y0, y1 = outer
    x = energy_ev[low] / e0 - y0
    y = np.sqrt(x**2 + y1**2)
    shape = ((x - 1) ** 2 + yw**2) * y ** (power / 2 - 5.5) * (1 + np.sqrt(y / ya)) ** -power
    total[low] = np.where(energy_ev[low] >= shells[-1, 2], sigma * shape, 0.0)
    return total


def _inner_shell(number: int) -> int:
    """Return the outermost of the inner shells of a neutral atom (1: 1s, 3: 2p, 5: 3p); 0 for H and He."""
    return 0 if number <= 2 else 1 if number <= 10 else 3 if number <= 18 else 5


@cache
def _verner() -> tuple[Floats, dict[int, Floats]]:
    """Return all shells (shells, 9), and the fits to outer shells by atomic number."""
    rows = [line.split() for line in (DATA / "verner.txt").read_text().splitlines() if not line.startswith("#")]
    shells = np.array([row[1:] for row in rows if row[0] == "shell"], dtype=np.float64)
    outer = {int(row[1]): np.array(row[2:], dtype=np.float64) for row in rows if row[0] == "outer"}
    return shells, outer


class _Tbabs:
    """Cross sections of gas, molecules and grains, in 1e-22 cm² per hydrogen atom, interpolated in a table."""

    def __init__(self, table: AbundanceTable) -> None:
        abundances(table)
        tables = _tbabs()
        if table not in tables:
            raise InputError(f"abundance_table is {table!r}, which tbabs does not have: choose "
                             f"{', '.join(tables)}, or absorption phabs")
        self._sections = tables[table]
        borders = np.geomspace(LEAST_KEV, MOST_KEV, len(self._sections) + 1)
        self._energies = np.sqrt(borders[1:] * borders[:-1])

    def at(self, energy_kev: Floats) -> Floats:
        return np.exp(np.interp(np.log(energy_kev), np.log(self._energies), np.log(self._sections)))

    def has_edge(self, edges_kev: Floats) -> NDArray[np.bool_]:
        rises = np.flatnonzero(self._sections[1:] > _EDGE * self._sections[:-1])
        first = np.searchsorted(edges_kev, self._energies[rises], side="right") - 1
        last = np.searchsorted(edges_kev, self._energies[rises + 1], side="left") - 1
        held = np.zeros(len(edges_kev) - 1, dtype=bool)
        for low, high in zip(first, last, strict=True):
            held[max(low, 0): max(high + 1, 0)] = True
        return held


@cache
def _tbabs() -> dict[str, Floats]:
    with np.load(DATA / "tbabs.npz", allow_pickle=False) as arrays:
        return {name: arrays[name].astype(np.float64) for name in arrays.files}
