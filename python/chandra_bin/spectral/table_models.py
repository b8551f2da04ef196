"""Additive table models of XSPEC (OGIP/92-009, Arnaud 1995), read from files: spectra on a grid of parameters."""

import itertools
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin.errors import InputError, warn
from chandra_bin.fits.headers import text_of
from chandra_bin.fits.tables import Hdu, Rows, open_fits

from .ogip import SAME_ENERGY
from .plasma import integrals
from .ragged import arrays_of

_TEMPERATURE = re.compile(r"k?t|k?temp(erature)?", re.IGNORECASE)
_ABUNDANCE = re.compile(r"abund\w*|metal\w*", re.IGNORECASE)
_PHOTONS = re.compile(r"ph(oton)?s?\s*[/ ]\s*cm", re.IGNORECASE)
# Steps in ln kT between two temperatures of a table that is interpolated in the logarithm.
_LOG_STEP = 0.025
# A larger deviation from a linear dependence on the abundance, as a fraction of the peak, raises a warning.
_LINEAR = 0.01


@dataclass(frozen=True, eq=False)
class TableParameter:
    """A parameter of a table model."""

    name: str
    initial: float
    is_logarithmic: bool = False
    """Whether spectra are linear in the logarithm of the parameter (METHOD 1)."""
    values: Floats | None = None
    """(values,), ascending, of the spectra; None for an additional parameter, which multiplies a spectrum."""

    def weights(self, value: float) -> Floats:
        """Return the weights of the spectra at `values`, (values,), whose sum is the spectrum at one value."""
        assert self.values is not None
        if not self.values[0] <= value <= self.values[-1]:
            raise InputError(f"{self.name} is {value:g}: the table model goes from {self.values[0]:g} to "
                             f"{self.values[-1]:g}")
        grid, at = (np.log(self.values), np.log(value)) if self.is_logarithmic else (self.values, value)
        return np.array([np.interp(at, grid, each) for each in np.eye(len(grid))])


@dataclass(frozen=True, eq=False)
class TableModel:
    """Spectra of a table model, as its file has them."""

    name: str
    parameters: tuple[TableParameter, ...]
    """First the parameters that spectra are interpolated in, then additional parameters."""
    edges_kev: Floats
    """(bins + 1,)."""
    spectra: NDArray[Any]
    """(values of the first parameter, values of the second, .., 1 + additional parameters, bins), photons cm⁻² s⁻¹ in
    each bin for norm 1."""
    has_redshift: bool
    file: str

    def spectrum(self, **values: float) -> Floats:
        """Return photons cm⁻² s⁻¹ in each bin of the table, (bins,), for norm 1, parameters not named at their INITIAL.

        Raises `InputError` for a name that the model does not have, and for a value outside the table.
        """
        if unknown := set(values) - {each.name for each in self.parameters}:
            raise InputError(f"{self.file}: has no parameter {', '.join(sorted(unknown))}, only "
                             f"{', '.join(each.name for each in self.parameters)}")
        factors = [1.0]
        left = self.spectra
        for each in self.parameters:
            value = values.get(each.name, each.initial)
            if each.values is None:
                factors.append(value)
            else:
                weights = each.weights(value)
                used = np.flatnonzero(weights)  # two at most
                left = np.tensordot(weights[used], left[used], axes=1)
        return np.asarray(np.array(factors) @ left)

    def rebinned(self, photons: Floats, edges_kev: Floats) -> Floats:
        """Return a spectrum of the table in other bins; photons are shared by width."""
        ends = np.repeat(self.edges_kev, 2)[1:-1]
        return integrals(ends, np.repeat(photons / np.diff(self.edges_kev), 2), edges_kev)


def read_table_model(path: Path) -> TableModel:
    """Read an additive table model.

    Parameters
    ----------
    path : a FITS file, gzipped or not, with the tables PARAMETERS, ENERGIES and SPECTRA.

    Raises
    ------
    InputError
        For a file that is damaged or not a table model, that is not additive or not in photons, and whose spectra do
        not fill the grid of its parameters.
    """
    tables: dict[str, tuple[Hdu, Rows, bytes]] = {}
    with open_fits(path) as hdus:
        for hdu in hdus:
            if hdu.index == 0:
                primary = hdu
            elif hdu.is_table:
                tables[hdu.name.upper()] = (hdu, hdu.table(), hdu.heap())
    if missing := [name for name in ("PARAMETERS", "ENERGIES", "SPECTRA") if name not in tables]:
        raise InputError(f"{path}: is not a table model: it has no table {' or '.join(missing)}")
    _check_kind(primary)
    parameters = _parameters(*tables["PARAMETERS"])
    energies, rows, _ = tables["ENERGIES"]
    lower, upper = (energies.need_numbers(name)[0].values(rows).astype(np.float64) for name in ("ENERG_LO", "ENERG_HI"))
    if not len(lower) or not np.all(upper > lower) or not np.allclose(lower[1:], upper[:-1], rtol=SAME_ENERGY, atol=0):
        raise energies.error("has energy bins that are empty, overlap or leave gaps")
    edges = np.append(lower, upper[-1])
    spectra = _spectra(*tables["SPECTRA"], parameters, len(lower))
    return TableModel(text_of(primary.header, "MODLNAME") or path.name, parameters, edges, spectra,
                      primary.header.get("REDSHIFT") is True, str(path))


def _check_kind(primary: Hdu) -> None:
    header, path = primary.header, primary.path
    if header.get("ADDMODEL") is not True:
        raise InputError(f"{path}: is a table model that multiplies others (ADDMODEL = F): give an additive one")
    unit = text_of(header, "MODLUNIT")
    if unit and not _PHOTONS.match(unit):
        raise InputError(f"{path}: is a table model in {unit} (MODLUNIT): it must be in photons/cm^2/s")


def _parameters(hdu: Hdu, rows: Rows, heap: bytes) -> tuple[TableParameter, ...]:
    method, initial, number = (hdu.need_numbers(name)[0].values(rows) for name in ("METHOD", "INITIAL", "NUMBVALS"))
    values, offsets = arrays_of(hdu, rows, heap, "VALUE")
    interpolated = hdu.header.get("NINTPARM", len(rows))
    found = []
    for n, name in enumerate(rows[hdu.need("NAME")[0].name]):
        grid = values[offsets[n]: offsets[n + 1]][:number[n]].astype(np.float64) if n < interpolated else None
        if grid is not None and not (len(grid) and np.all(np.diff(grid) > 0)):
            raise hdu.error(f"has values of the parameter {n + 1} that do not ascend")
        is_logarithmic = bool(method[n] == 1)
        if grid is not None and is_logarithmic and grid[0] <= 0:
            raise hdu.error(f"interpolates the parameter {n + 1} in its logarithm, and its values begin with "
                            f"{grid[0]:g}")
        found.append(TableParameter(name.decode("ascii", "replace").strip(), float(initial[n]), is_logarithmic, grid))
    if not found or found[0].values is None:
        raise hdu.error("has no parameter that spectra are interpolated in (NINTPARM)")
    return tuple(found)


def _spectra(hdu: Hdu, rows: Rows, heap: bytes, parameters: tuple[TableParameter, ...], bins: int
             ) -> NDArray[Any]:
    """Return the spectra on the grid of the parameters; the last parameter varies fastest."""
    grids = [each.values for each in parameters if each.values is not None]
    shape = tuple(map(len, grids))
    if len(rows) != np.prod(shape):
        raise hdu.error(f"has {len(rows)} spectra, and its parameters have {' x '.join(map(str, shape))} values")
    at, _ = arrays_of(hdu, rows, heap, "PARAMVAL")
    expected = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(len(rows), -1)
    if at.size != expected.size or not np.allclose(at.reshape(expected.shape), expected, rtol=1e-5, atol=1e-30):
        raise hdu.error("has spectra that are not in the order of the parameters' values (PARAMVAL)")
    names = ["INTPSPEC", *(f"ADDSP{n + 1:03}" for n in range(len(parameters) - len(grids)))]
    parts: list[NDArray[Any]] = []
    for name in names:
        values, offsets = arrays_of(hdu, rows, heap, name)
        if np.any(np.diff(offsets) != bins):
            raise hdu.error(f"has {name} with another number of energies than the {bins} of ENERGIES")
        parts.append(values.reshape(*shape, bins))
    made = np.stack(parts, axis=-2)
    if not np.all(np.isfinite(made)):
        raise hdu.error("is damaged: it has spectra that are not finite")
    return made


class TableEmission:
    """A table model as a plasma: its parameters kT and, where it has one, abundance vary, others stay at INITIAL.

    Parameters
    ----------
    table : has a parameter kT (or temperature, keV).
    kt_limits_kev : the grid of temperatures, keV: the table's own, or a finer one where it is interpolated in ln kT.
    """

    def __init__(self, table: TableModel, kt_limits_kev: tuple[float, float]) -> None:
        self._table = table
        self.has_redshift = table.has_redshift
        self._temperature = self._parameter(_TEMPERATURE)
        if self._temperature is None or self._temperature.values is None:
            raise InputError(f"{table.file}: has no parameter kT, only {', '.join(p.name for p in table.parameters)}")
        self._abundance = self._parameter(_ABUNDANCE)
        self.has_abundance = self._abundance is not None
        self.kt_kev = _temperatures(self._temperature, kt_limits_kev, table.file)
        self.name = f"table model {table.name} ({Path(table.file).name})"

    def _parameter(self, pattern: re.Pattern[str]) -> TableParameter | None:
        return next((each for each in self._table.parameters if pattern.fullmatch(each.name)), None)

    def photons(self, edges_kev: Floats) -> Floats:
        """Return photons cm⁻² s⁻¹ in each bin, (temperatures, 2, bins), for norm 1: at Z = 0, and what Z = 1 adds."""
        table = self._table
        if (edges_kev[0] < table.edges_kev[0] * (1 - SAME_ENERGY)
                or edges_kev[-1] > table.edges_kev[-1] * (1 + SAME_ENERGY)):
            warn(f"{table.file}: covers {table.edges_kev[0]:.4g} to {table.edges_kev[-1]:.4g} keV, but rest energies "
                 f"from {edges_kev[0]:.4g} to {edges_kev[-1]:.4g} keV are needed: photons beyond the table are 0")
        return np.array([[table.rebinned(photons, edges_kev) for photons in pair] for pair in self._pairs])

    @cached_property
    def _pairs(self) -> Floats:
        """Return spectra in the table's bins, (temperatures, 2, bins): at Z = 0, and what Z = 1 adds."""
        temperature, abundance = self._temperature, self._abundance
        assert temperature is not None
        if abundance is None:
            plain = np.array([self._table.spectrum(**{temperature.name: kt}) for kt in self.kt_kev])
            return np.stack([plain, np.zeros_like(plain)], axis=1)

        def at(value: float) -> Floats:
            return np.array([self._table.spectrum(**{temperature.name: kt, abundance.name: value})
                             for kt in self.kt_kev])

        grid = abundance.values
        if grid is not None and not (grid[0] <= 0 and grid[-1] >= 1):
            raise InputError(f"{self._table.file}: has the parameter {abundance.name} from {grid[0]:g} to "
                             f"{grid[-1]:g}: 0 and 1 must be among them")
        pure = at(0)
        metals = at(1) - pure
        self._check_linear(pure, metals, {value: at(value) for value in (() if grid is None else grid.tolist())})
        return np.stack([pure, metals], axis=1)

    def _check_linear(self, pure: Floats, metals: Floats, others: dict[float, Floats]) -> None:
        """Warn where the spectra between Z = 0 and Z = 1 are not linear in Z."""
        for value, spectra in others.items():
            if 0 < value < 1:
                error = np.abs(spectra - pure - value * metals).max(axis=1) / np.abs(spectra).max(axis=1)
                if error.max() > _LINEAR:
                    warn(f"{self._table.file}: is not linear in the abundance: at {value:g} it differs by "
                         f"{100 * error.max():.1f} % of the peak from the linear model used here")
                    return


def _temperatures(parameter: TableParameter, kt_limits_kev: tuple[float, float], file: str) -> Floats:
    """Return the temperatures of a table within limits, and one beyond on either side, refined where needed."""
    values, (low, high) = parameter.values, kt_limits_kev
    assert values is not None
    if not (values[0] < high and low < values[-1]) or len(values) < 2:
        raise InputError(f"{file}: goes from kT = {values[0]:g} to {values[-1]:g} keV, which is not within "
                         f"{low:g} to {high:g} keV")
    first = max(int(np.searchsorted(values, low, side="right")) - 1, 0)
    grid = values[first: int(np.searchsorted(values, high)) + 1]
    if not parameter.is_logarithmic:
        return grid
    parts = [np.geomspace(one, other, 1 + int(np.ceil(np.log(other / one) / _LOG_STEP)))[:-1]
             for one, other in itertools.pairwise(grid)]
    return np.append(np.concatenate(parts), grid[-1])
