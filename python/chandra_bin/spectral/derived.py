"""Density, pressure and entropy of the gas from fits of bins."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from chandra_bin._checks.array_types import Floats
from chandra_bin._checks.arrays import as_number, plain
from chandra_bin._checks.options import POSITIVE, Options, documented, option
from chandra_bin.errors import InputError

from .abundances import AbundanceTable, abundances
from .results import FitResult

if TYPE_CHECKING:
    from astropy.table import QTable

Depth: TypeAlias = Literal["pseudo", "constant", "volume"]
# Elements whose number scales with the abundance: all but hydrogen and helium.
_HELIUM = 2
HUBBLE, OMEGA_MATTER = 70.0, 0.3
"""The flat cosmology of all lengths: H0 in km/s/Mpc, and the density of matter."""
_KM_S = 299_792.458
_CM_PER_KPC = 3.0856775814913673e21
# Powers of kT and norm: K = kT n_e^(-2/3), and n_e is proportional to the root of the norm.
_POWERS = {"pressure": (1.0, 0.5), "entropy": (1.0, -1 / 3), "density": (0.0, 0.5)}
_UNITS = {"density": "cm-3", "pressure": "keV cm-3", "entropy": "keV cm2"}
_PSEUDO_UNITS = {"pressure": "keV cm(-5/2) arcsec-1", "entropy": "keV cm(5/3) arcsec(2/3)"}
_PSEUDO_FORMULAS = {"pressure": "kT (norm / area)^(1/2); projected", "entropy": "kT (norm / area)^(-1/3); projected"}
# Abundance assumed for models without one, for electrons per hydrogen atom.
_ABUNDANCE = 0.3


@documented
@dataclass(frozen=True, repr=False)
class DepthOptions(Options):
    """The depth of the gas along the line of sight. Raises `InputError` for an option that is out of range."""

    depth: Depth = option("pseudo", "No depth: quantities per area of the sky in arbitrary units; one depth for all "
                          "bins; or 2/3 of the bin's area times the chord between its smallest and largest distance "
                          "from the centre (Henry, Finoguenov & Briel 2004, ApJ 615, 181).")
    length_kpc: float = option(1000.0, "The constant depth.", unit="kpc", symbol="L", limits=POSITIVE)
    hubble: float = option(HUBBLE, "H0 of the flat cosmology.", unit="km/s/Mpc", symbol="H0", limits=POSITIVE)
    omega_matter: float = option(OMEGA_MATTER, "Matter density of the flat cosmology.", symbol="OM", limits=POSITIVE)


@dataclass(frozen=True, eq=False, repr=False)
class DerivedQuantities:
    """Quantities of the gas of each bin, none of them deprojected.

    Attributes
    ----------
    values
        ``pressure``, ``entropy`` and, unless pseudo, ``density`` by name: (bins,) numbers.
    low, high
        Their lower and upper errors, as distances; NaN where an error of the fit is open.
    units
        Their units, as text.
    formulas
        How each quantity was computed, for headers.
    depth_kpc
        (bins,): volume behind the bin over its area; NaN for pseudo quantities.

    Notes
    -----
    Pseudo quantities are P' = kT (norm/Ω)^½ and K' = kT (norm/Ω)^-⅓. Otherwise
    n_e = [norm 10¹⁴ 4π (D_A (1+z))² η / V]^½, P = n_e kT and K = kT n_e^-⅔, with η electrons per hydrogen atom and V
    the volume. With a constant depth L, n_e and P scale as L^-½ and K as L^⅓. The total pressure of the gas is 1.92
    times that of its electrons.

    An error is the larger of two: by the covariance of ln kT and ln norm, and by the quantity at the ends of the errors
    of kT and norm, where the other was fitted again. Depths have no statistical error.

    References
    ----------
    Henry, Finoguenov & Briel 2004, ApJ 615, 181 (volume).
    """

    values: dict[str, Floats]
    low: dict[str, Floats]
    high: dict[str, Floats]
    units: dict[str, str]
    formulas: dict[str, str]
    depth_kpc: Floats

    def __repr__(self) -> str:
        return f"<DerivedQuantities: {', '.join(f'{name} ({unit})' for name, unit in self.units.items())}>"

    @property
    def table(self) -> "QTable":
        """Quantities and errors with units, a row for each bin."""
        from astropy.table import QTable
        from astropy.units import Unit

        table = QTable()
        for name, unit in self.units.items():
            for suffix, values in (("", self.values), ("_low", self.low), ("_high", self.high)):
                table[f"{name}{suffix}"] = values[name] * Unit(unit)
        table.meta.update({f"{name.upper()}_FORMULA": text for name, text in self.formulas.items()})
        return table


def electrons_per_hydrogen(abundance: ArrayLike, table: AbundanceTable = "angr") -> Floats:
    """Return electrons per hydrogen atom of a fully ionised gas.

    Parameters
    ----------
    abundance : array
        Abundance of the metals relative to the table.
    table : {"angr", "aspl", "lodd", "wilm"}
        See `abundances`.

    Returns
    -------
    array of float64
        1 + sum of X n_X / n_H, with helium as in the table.

    Examples
    --------
    >>> from chandra_bin.spectral import electrons_per_hydrogen
    >>> round(float(electrons_per_hydrogen(0.3)), 4)
    1.1995
    """
    numbers = abundances(table)
    charges = np.arange(numbers.size) * numbers
    metals = float(charges[_HELIUM + 1:].sum())
    return np.asarray(1 + charges[_HELIUM] + np.asarray(abundance, np.float64) * metals)


def derived_quantities(fit: FitResult, area: ArrayLike, *, redshift: float = 0.0, options: DepthOptions | None = None,
                       radii: tuple[ArrayLike, ArrayLike] | None = None, abundance_table: AbundanceTable = "angr"
                       ) -> DerivedQuantities:
    """Compute pressure, entropy and density of the gas behind each bin.

    Parameters
    ----------
    fit : FitResult
    area : array (bins,), arcsec2
        Area of each bin on the sky, without excluded pixels: the area that the norm refers to.
    redshift : float
        Redshift of the cluster. Only pseudo quantities can be computed without it.
    options : DepthOptions, optional
    radii : (inner, outer), arrays (bins,), arcsec
        Smallest and largest distance of the bin's pixels from the centre, for ``depth="volume"``; inner 0 where the bin
        holds the centre.
    abundance_table : str
        The table of the fit's abundances, for electrons per hydrogen atom.

    Returns
    -------
    DerivedQuantities
        NaN where the fit has no kT or norm.

    Raises
    ------
    InputError
        For areas that are not positive, a missing redshift or radii.

    Examples
    --------
    >>> from chandra_bin.spectral import DepthOptions, derived_quantities
    >>> made = derived_quantities(fit, [30.0], redshift=0.1,
    ...                           options=DepthOptions(depth="constant"))  # doctest: +SKIP
    """
    options = DepthOptions.or_defaults(options)
    omega = _positive(area, "area", "arcsec2", fit.bin.shape)
    if options.depth == "pseudo":
        scale, depth = 1 / omega, np.full(omega.shape, np.nan)
        units, formulas = _PSEUDO_UNITS, _PSEUDO_FORMULAS
    else:
        distance_cm, kpc_per_arcsec = _distances(redshift, options)
        depth = _depth_kpc(options, radii, kpc_per_arcsec, fit.bin.shape)
        electrons = electrons_per_hydrogen(np.where(np.isnan(fit.abundance), _ABUNDANCE, fit.abundance),
                                           abundance_table)
        volume_cm3 = omega * kpc_per_arcsec**2 * depth * _CM_PER_KPC**3
        scale = 1e14 * 4 * np.pi * (distance_cm * (1 + redshift)) ** 2 * electrons / volume_cm3
        units, formulas = _UNITS, _formulas(options, redshift, distance_cm)
    values, low, high = {}, {}, {}
    for name in units:
        kt_power, norm_power = _POWERS[name]
        factor = scale**norm_power
        values[name] = factor * fit.kt**kt_power * fit.norm**norm_power
        low[name], high[name] = _errors(fit, values[name], factor, kt_power, norm_power)
    return DerivedQuantities(values, low, high, units, formulas, depth)


def _errors(fit: FitResult, value: Floats, factor: Floats, kt_power: float, norm_power: float) -> tuple[Floats, Floats]:
    """Return lower and upper errors: by the covariance or at the ends of the profiles, whichever is larger."""
    powers = np.array([kt_power, 0.0, norm_power])
    sigma = np.sqrt(fit.delta * np.maximum(np.einsum("i,bij,j->b", powers, fit.covariance, powers), 0))
    at_ends = factor[:, None] * fit.ends[:, :, 0] ** kt_power * fit.ends[:, :, 1] ** norm_power
    lowest, highest = at_ends.min(axis=1), at_ends.max(axis=1)
    return (np.maximum(value - lowest, value * -np.expm1(-sigma)), np.maximum(highest - value, value * np.expm1(sigma)))


def _positive(values: ArrayLike, name: str, unit: str, shape: tuple[int, ...]) -> Floats:
    array = np.asarray(plain(values, name, unit), np.float64)
    if array.shape != shape:
        raise InputError(f"{name} has shape {array.shape}, the fit {shape}")
    if not np.all(good := np.isfinite(array) & (array > 0)):
        raise InputError(f"{name} holds {array[~good].flat[0]:g}: it must be positive and finite")
    return array


def _distances(redshift: float, options: DepthOptions) -> tuple[float, float]:
    """Return the angular diameter distance (cm), and kpc per arcsec."""
    number = as_number(redshift, "redshift")
    if not number > 0:
        raise InputError(f"redshift is {number:g}: densities need a positive one; without it there are pseudo "
                         "quantities (depth pseudo)")
    distance_kpc = angular_distance_kpc(number, options.hubble, options.omega_matter)
    return distance_kpc * _CM_PER_KPC, distance_kpc * float(np.radians(1 / 3600))


def angular_distance_kpc(redshift: float, hubble: float, omega_matter: float) -> float:
    """Return the angular diameter distance, kpc, in a flat cosmology with H0 in km/s/Mpc.

    The integral takes a millisecond; loading ``astropy.cosmology`` takes more time than a report has for it.
    """
    nodes, weights = np.polynomial.legendre.leggauss(64)
    one_plus_z = 1 + redshift * (nodes + 1) / 2
    comoving = redshift / 2 * float(weights @ (omega_matter * one_plus_z**3 + 1 - omega_matter) ** -0.5)
    return _KM_S / hubble * 1000 * comoving / (1 + redshift)


def _depth_kpc(options: DepthOptions, radii: tuple[ArrayLike, ArrayLike] | None, kpc_per_arcsec: float,
               shape: tuple[int, ...]) -> Floats:
    if options.depth == "constant":
        return np.full(shape, options.length_kpc)
    if radii is None:
        raise InputError("depth volume needs radii: the smallest and the largest distance of each bin from the centre")
    outer = _positive(radii[1], "the outer radius", "arcsec", shape)
    inner = np.asarray(plain(radii[0], "the inner radius", "arcsec"), np.float64)
    if inner.shape != shape or not np.all((inner >= 0) & (inner < outer)):
        raise InputError("the inner radius of each bin must be 0 or more, and below the outer")
    return np.asarray(2 / 3 * 2 * np.sqrt(outer**2 - inner**2) * kpc_per_arcsec)


def _formulas(options: DepthOptions, redshift: float, distance_cm: float) -> dict[str, str]:
    volume = ("area x L, L = 2/3 x 2 (Rout^2 - Rin^2)^(1/2)" if options.depth == "volume" else
              f"area x L, L = {options.length_kpc:g} kpc; n_e and P scale as L^(-1/2), K as L^(1/3)")
    cosmology = (f"z = {redshift:g}, D_A = {distance_cm / _CM_PER_KPC / 1000:.6g} Mpc (flat, H0 = {options.hubble:g} "
                 f"km/s/Mpc, Om0 = {options.omega_matter:g})")
    return {"density": f"n_e = [norm 1e14 4 pi (D_A (1+z))^2 (n_e/n_H) / V]^(1/2), V = {volume}, {cosmology}; "
                       "projected",
            "pressure": f"P = n_e kT, of electrons, V = {volume}, {cosmology}; projected",
            "entropy": f"K = kT n_e^(-2/3), V = {volume}, {cosmology}; projected"}
