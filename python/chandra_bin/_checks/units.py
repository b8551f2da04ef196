"""Units: what has one becomes plain numbers in the documented unit, or is refused. No unit is dropped in silence.

Quantities, columns with a unit and, for times, ``astropy.time.Time`` and ``TimeDelta`` are taken. Counts, photons,
pixels and channels are numbers: ``ct``, ``ph``, ``adu``, ``pix`` and ``chan`` have no dimension here.
"""

import sys
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.errors import InputError

from .array_types import Floats

# Times of Chandra are seconds since 1998-01-01T00:00:00 in Terrestrial Time: MJDREF of its files.
MJDREF = 50814.0
# Units of what is counted; more than the first power of them, as in variances, is another dimension.
_COUNTED = ("ct", "ph", "adu", "electron", "DN", "pix", "chan", "bin", "vox")


def numbers(values: Any, name: str, unit: str = "", *others: str) -> NDArray[Any]:
    """The numbers of ``values``, converted to ``unit`` where they have a unit; a mask, if any, stays.

    ``others`` are further units that are taken, each as it is. Raises `InputError` that is an astropy
    ``UnitConversionError``, too, for a unit of another dimension.
    """
    given = getattr(values, "unit", None)
    if given is None or not hasattr(given, "is_equivalent" if not isinstance(given, str) else "lower"):
        return np.asanyarray(values)
    factor = _factor(given, unit, others)
    if factor is None:
        wanted = " or ".join(each for each in (unit, *others) if each)
        raise _unit_error()(f"{name} has the unit {given}: give it in {wanted}" if wanted else
                            f"{name} has the unit {given}: give numbers without a unit")
    plain = np.asanyarray(values.value if hasattr(values, "to_value") else getattr(values, "data", values))
    return plain if factor == 1 else np.asanyarray(plain * factor)


def seconds(values: Any, name: str, mjdref: float = MJDREF) -> Floats:
    """Times as float64 seconds, of any shape; ``Time`` as seconds since ``mjdref`` (MJD, TT).

    Raises `InputError` as `numbers` does, and for what holds no numbers.
    """
    if (time := sys.modules.get("astropy.time")) is not None:
        if isinstance(values, time.Time):
            values = values - time.Time(mjdref, format="mjd", scale="tt")
        if isinstance(values, time.TimeDelta):
            return np.asarray(values.to_value("s"), dtype=np.float64)
    array = numbers(values, name, "s")
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} must hold times in seconds, not {array.dtype}")
    return np.asarray(array, dtype=np.float64)


def in_one_unit(**values: Any) -> list[NDArray[Any]]:
    """The numbers of values that have one dimension, in the unit of the first that has one; plain ones as they are.

    Raises `InputError` as `numbers` does.
    """
    unit = next((str(each.unit) for each in values.values() if getattr(each, "unit", None) is not None), "")
    return [numbers(each, name, unit) for name, each in values.items()]


def can_convert(given: Any, unit: str) -> bool:
    """Whether numbers in the unit ``given`` can be had in ``unit``."""
    return _factor(given, unit, ()) is not None


@cache
def _unit_error() -> Any:
    from astropy.units import UnitConversionError

    class UnitError(InputError, UnitConversionError):  # type: ignore[misc]
        """A value has a unit of another dimension than the one that is wanted."""

    return UnitError


def _factor(given: Any, unit: str, others: tuple[str, ...]) -> float | None:
    """What numbers in the unit ``given`` are multiplied with; None where it has another dimension."""
    from astropy.units import Unit, UnitConversionError

    try:
        known = Unit(given)
    except ValueError:
        return None
    for wanted in (unit, *others):
        try:
            return float(_without_counts(known).to(_without_counts(Unit(wanted))))
        except UnitConversionError:
            continue
    return None


def _without_counts(unit: Any) -> Any:
    """A unit without those of what is counted, each of which must be there once at most."""
    from astropy.units import CompositeUnit

    parts = unit.decompose()
    left = [(base, power) for base, power in zip(parts.bases, parts.powers, strict=True)
            if base.name not in _COUNTED or abs(power) > 1]
    return CompositeUnit(parts.scale, [base for base, _ in left], [power for _, power in left])
