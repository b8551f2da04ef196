"""Units: values with a unit become plain numbers in the documented unit or raise an error; no unit is dropped silently.

Accepts Quantities, columns with a unit and, for times, ``astropy.time.Time`` and ``TimeDelta``. Counts, photons,
pixels and channels are plain numbers: ``ct``, ``ph``, ``adu``, ``pix`` and ``chan`` count as dimensionless.
"""

import sys
import warnings
from functools import cache
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin.errors import InputError

from .array_types import Floats


class TimeHolder(Protocol):
    """``astropy.time.Time`` or ``TimeDelta``."""

    @property
    def scale(self) -> Any: ...
    def to_value(self, *args: Any, **options: Any) -> Any: ...


# Numbers in the documented unit, or Quantities and columns with a unit, which are converted.
QuantityLike: TypeAlias = ArrayLike
# Seconds, or Quantities; ``astropy.time.Time`` and ``TimeDelta``.
TimeLike: TypeAlias = ArrayLike | TimeHolder

# Chandra times are seconds since 1998-01-01T00:00:00 in Terrestrial Time (MJDREF in the headers).
MJDREF = 50814.0
# Units of counts. A higher power, as in variances, is a different dimension.
_COUNTED = ("ct", "ph", "adu", "electron", "DN", "pix", "chan", "bin", "vox")


def numbers(values: Any, name: str, unit: str = "", *others: str) -> NDArray[Any]:
    """Return the numbers of ``values``, converted to ``unit`` if they have a unit; a mask is kept.

    ``others`` are further accepted units, not converted to ``unit``. For a unit of another dimension, raises an
    `InputError` that is also an astropy ``UnitConversionError``.
    """
    values = _joined(values, name)
    given = unit_of(values)
    if given is None:
        return as_array(values, name)
    factor = _factor(given, unit, others)
    if factor is None:
        wanted = " or ".join(each for each in (unit, *others) if each)
        raise _unit_error()(f"{name} has the unit {given}: give it in {wanted}" if wanted else
                            f"{name} has the unit {given}: give numbers without a unit")
    plain = as_array(values.value if hasattr(values, "to_value") else getattr(values, "data", values), name)
    return plain if factor == 1 else np.asanyarray(plain * factor)


def as_array(values: Any, name: str) -> NDArray[Any]:
    """Return an array of real numbers or booleans; masked arrays stay masked. Raises `InputError` for other types."""
    array: NDArray[Any] | None
    try:
        array = np.asanyarray(values)
    except (TypeError, ValueError):
        array = None
    if array is None and isinstance(values, list | tuple):
        raise InputError(f"{name} must be an array, but its rows differ in length")
    if array is None or (array.ndim == 0 and array.dtype.kind == "O"):
        kind = "None" if values is None else f"of the type {type(values).__name__}"
        raise InputError(f"{name} is {kind}: give an array of numbers")
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} must hold real numbers, not {array.dtype}")
    return array


def unit_of(values: Any) -> Any:
    """Return the unit of a Quantity, a column or an image with BUNIT; None if astropy knows no unit for it."""
    unit = getattr(values, "unit", None)
    if unit is None and isinstance(attributes := getattr(values, "attrs", None), dict):  # xarray
        unit = attributes.get("units")
    if unit is None and (header := getattr(values, "header", None)) is not None and header.get("BUNIT"):
        from astropy.units import Unit

        with warnings.catch_warnings(action="ignore"):  # units with several slashes
            unit = Unit(str(header["BUNIT"]), parse_strict="silent")
        if not hasattr(unit, "decompose") or type(unit).__name__ == "UnrecognizedUnit":
            return None
    return unit if isinstance(unit, str) or hasattr(unit, "is_equivalent") else None


def _joined(values: Any, name: str) -> Any:
    """Return a list of Quantities as one Quantity, other values unchanged. Raises `InputError` if the units differ."""
    if not (isinstance(values, list | tuple) and any(hasattr(each, "unit") for each in values)):
        return values
    from astropy.units import Quantity

    try:
        return Quantity(values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} cannot be used: {error}") from None


def seconds(values: Any, name: str, mjdref: float = MJDREF) -> Floats:
    """Return times as float64 seconds, of any shape; ``Time`` becomes seconds since ``mjdref`` (MJD, TT).

    Raises `InputError` as `numbers` does, and for dates without a time scale.
    """
    if (time := sys.modules.get("astropy.time")) is not None:
        if isinstance(values, time.Time):
            values = values - time.Time(mjdref, format="mjd", scale="tt")
        if isinstance(values, time.TimeDelta):
            # Differences below a microsecond are rounding errors.
            return np.asarray(np.round(values.to_value("s"), 6), dtype=np.float64)
    if _is_date(values):
        raise InputError(f"{name} is of the type {type(values).__name__}, without a time scale: give seconds, or an "
                         "astropy Time or TimeDelta")
    return np.asarray(numbers(values, name, "s"), dtype=np.float64)


def _is_date(values: Any) -> bool:
    """Return whether values are dates, time differences or strings: of Python, numpy, pandas or xarray."""
    first = values[0] if isinstance(values, list | tuple) and values else values
    return (isinstance(first, str) or hasattr(first, "isoformat") or hasattr(first, "total_seconds")
            or getattr(getattr(first, "dtype", None), "kind", "") in ("M", "m", "U", "S"))


def in_one_unit(**values: Any) -> list[NDArray[Any]]:
    """Return the numbers of values of one dimension, in the unit of the first that has one.

    Raises `InputError` as `numbers` does, and if only some have a unit.
    """
    values = {name: _joined(each, name) for name, each in values.items()}
    units = {name: unit_of(each) for name, each in values.items()}
    unit = next((str(each) for each in units.values() if each is not None), "")
    without = [name for name, each in units.items() if unit and each is None]
    if without:
        raise InputError(f"{' and '.join(without)} must have a unit, such as {unit}, as the others have one")
    return [numbers(each, name, unit) for name, each in values.items()]


def can_convert(given: Any, unit: str) -> bool:
    """Return whether numbers in the unit ``given`` can be converted to ``unit``."""
    return _factor(given, unit, ()) is not None


@cache
def _unit_error() -> Any:
    """Return the class of unit errors; defined here, as the import of astropy.units is slow."""
    from astropy.units import UnitConversionError

    class UnitError(InputError, UnitConversionError):  # type: ignore[misc]
        """A value has a unit of the wrong dimension."""

        def __reduce__(self) -> Any:
            return _made, (str(self),)

    return UnitError


def _made(text: str) -> Exception:
    """Return a unit error; pickle needs a function at module level."""
    error: Exception = _unit_error()(text)
    return error


def _factor(given: Any, unit: str, others: tuple[str, ...]) -> float | None:
    """Return the factor that converts from the unit ``given``; None for another dimension."""
    from astropy.units import Unit, UnitConversionError

    try:
        known = Unit(given)
    except (ValueError, TypeError):
        return None
    for wanted in (unit, *others):
        try:
            return float(_without_counts(known).to(_without_counts(Unit(wanted))))
        except (UnitConversionError, AttributeError):  # magnitudes have no bases
            continue
    return None


def _without_counts(unit: Any) -> Any:
    """Return a unit without its count units; those in a higher power stay."""
    from astropy.units import CompositeUnit

    parts = unit.decompose()
    left = [(base, power) for base, power in zip(parts.bases, parts.powers, strict=True)
            if base.name not in _COUNTED or abs(power) > 1]
    return CompositeUnit(parts.scale, [base for base, _ in left], [power for _, power in left])
