"""Clocks of FITS tables: the unit of their times, and the instant that these count from.

Keywords are those of OGIP/93-003 (Angelini, Pence & Tennant 1993) and of the FITS time standard (Rots et al. 2015,
A&A 574, A36): an instant is TIME x TUNITn + TIMEZERO + TIMEOFFS after MJDREF. Keywords of time are in the unit in
brackets at the start of their comment, or else in that of TIMEUNIT, or else in seconds.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.arrays import as_number
from chandra_bin.errors import InputError
from chandra_bin.fits.headers import is_number, text_of

if TYPE_CHECKING:
    from astropy.io.fits import Header

_DAY = 86_400.0
_JD_OF_MJD_0 = 2_400_000.5
_MJD_0 = datetime(1858, 11, 17)
_YEAR = 365.25 * _DAY
_UNITS = {"s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "us": 1e-6, "ms": 1e-3, "ks": 1e3,
          "Ms": 1e6, "min": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hr": 3600.0, "hour": 3600.0,
          "hours": 3600.0, "d": _DAY, "day": _DAY, "days": _DAY, "a": _YEAR, "yr": _YEAR, "year": _YEAR, "years": _YEAR}
_IN_BRACKETS = re.compile(r"\s*\[([A-Za-z]+)\]")
_DURATIONS = ("TSTART", "TSTOP", "TIMEDEL")
_ZEROS = ("TIMEZERO", "TIMEZERI", "TIMEZERF", "TIMEOFFS")
CLOCK_KEYS = ("MJDREF", "MJDREFI", "MJDREFF", "JDREF", "JDREFI", "JDREFF", "DATEREF", *_ZEROS, "TIMEUNIT", "TSTART",
              "TSTOP", "TIMEDEL")
"""Keywords that say from which instant times count, in which unit, and what depends on these."""
# Zeros of time that are nearer are one: MJDREF in days is rounded to microseconds.
_SAME_TIME_S = 1e-3
# Time scales that differ by milliseconds at most; UTC and TAI are more than 30 s from them.
_LIKE_TT = {"TT", "TDT", "ET", "TDB"}


@dataclass(frozen=True)
class Clock:
    """How the numbers of a column become instants."""

    unit_s: float = 1.0
    """Seconds of a unit of the column."""
    zero_s: float = 0.0
    """Seconds from the reference (MJDREF) to the zero of the column: TIMEZERO, TIMEOFFS."""

    @classmethod
    def of(cls, header: "Header", unit: str = "", where: str = "") -> "Clock":
        """The clock of a column with this TUNITn. Raises `InputError`, which begins with ``where``."""
        try:
            return cls(_seconds(unit) if unit else _seconds(header.get("TIMEUNIT")), zero_point(header))
        except InputError as error:
            raise InputError(f"{where}{': ' if where else ''}{error}") from None

    @property
    def is_plain(self) -> bool:
        """Whether the numbers are seconds since the reference."""
        return self.unit_s == 1 and self.zero_s == 0

    def seconds(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Seconds since the zero of the column; float64 seconds stay as they are, to the bit."""
        times: NDArray[np.float64] = np.asarray(values, np.float64)
        return times if self.unit_s == 1 else times * self.unit_s

    def instants(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Seconds since the reference."""
        times = self.seconds(values)
        return times if self.zero_s == 0 else times + self.zero_s


def seconds_of(header: "Header", keyword: str) -> float | None:
    """The value of a keyword of time in seconds; None where it is no number. Raises `InputError` for unknown units."""
    value = header.get(keyword)
    if not is_number(value):
        return None
    if value == 0:
        return 0.0
    said = _IN_BRACKETS.match(str(header.comments[keyword]))
    unit = None if said is None else _unit(said[1])
    return float(value) * (_seconds(header.get("TIMEUNIT")) if unit is None else unit)


def zero_point(header: "Header") -> float:
    """Seconds from MJDREF to the zero of times: TIMEZERO, or TIMEZERI + TIMEZERF, and TIMEOFFS. Raises `InputError`."""
    for key in _ZEROS:
        if key in header and not is_number(header[key]):
            raise InputError(f"{key} = {header[key]!r} is no number, and times count from it")
    parts = {key: seconds_of(header, key) or 0.0 for key in _ZEROS}
    whole = parts["TIMEZERO"] if "TIMEZERO" in header else parts["TIMEZERI"] + parts["TIMEZERF"]
    return whole + parts["TIMEOFFS"]


def reference(header: "Header") -> float | None:
    """Seconds from MJD 0 to the reference: MJDREF, JDREF (or their parts I and F) or DATEREF; None where unknown."""
    for key, zero in (("MJDREF", 0.0), ("JDREF", _JD_OF_MJD_0)):
        parts = [header.get(name) for name in ((key,) if key in header else (f"{key}I", f"{key}F"))]
        if is_number(parts[0]):
            return (float(parts[0]) - zero) * _DAY + sum(float(part) * _DAY for part in parts[1:] if is_number(part))
    try:
        return (datetime.fromisoformat(str(header["DATEREF"])) - _MJD_0).total_seconds()
    except (KeyError, ValueError, TypeError):
        return None


def seconds_after_reference(header: "Header", mjdref: float) -> float:
    """Seconds from ``mjdref`` (MJD) to the zero of the header's times; 0 where it does not say its zero."""
    zero = reference(header)
    apart = 0.0 if zero is None else zero + zero_point(header) - mjdref * _DAY
    return apart if abs(apart) > _SAME_TIME_S else 0.0


def seconds_between(one: "Header", other: "Header") -> float:
    """Seconds from the zero of the times of ``other`` to that of ``one``; 0 where ``one`` does not say its zero.

    References (MJDREF) of which one is unknown count as equal. Raises `InputError`.
    """
    begin, end = reference(other), reference(one)
    if end is None and not any(key in one for key in _ZEROS):
        return 0.0
    apart = zero_point(one) - zero_point(other) + (0.0 if begin is None or end is None else end - begin)
    return apart if abs(apart) > _SAME_TIME_S else 0.0


def differ_in_scale(one: "Header", other: "Header") -> str:
    """How the times of two headers differ by more than their zero, as a text; empty where they do not, or do not say.

    The arrival at the solar system's barycentre (TIMEREF) is up to 500 s from that at the telescope.
    """
    for key in ("TIMEREF", "TIMESYS"):
        said = [text_of(header, key).upper() for header in (one, other)]
        if all(said) and said[0] != said[1] and not (key == "TIMESYS" and _LIKE_TT.issuperset(said)):
            return f"{said[0]} and {said[1]} ({key})"
    return ""


def clock_keywords(mjdref: float) -> dict[str, Any]:
    """The keywords of Chandra's tables whose times are seconds since ``mjdref`` (MJD, TT)."""
    return {"TELESCOP": "CHANDRA", "MJDREF": as_number(mjdref, "mjdref", "d"), "TIMEZERO": 0.0, "TIMESYS": "TT",
            "TIMEUNIT": "s"}


def put_in_seconds(header: "Header", *, zero_s: float | None = None) -> None:
    """Changes the keywords of a header that say its clock to seconds: TIMEUNIT, TIMEZERO, TSTART, TSTOP and TIMEDEL.

    Nothing changes where they are in seconds, or in an unknown unit. ``zero_s`` replaces the zero. TIMEZERI, TIMEZERF
    and TIMEOFFS become part of TIMEZERO. Raises `InputError` for a zero that is no number.
    """
    if _unit(str(header.get("TIMEUNIT", "s")).strip() or "s") is None:
        return
    zero = zero_point(header) if zero_s is None else zero_s
    found = {key: value for key in _DURATIONS if (value := seconds_of(header, key)) is not None}
    if zero or "TIMEZERO" in header:
        found["TIMEZERO"] = zero
    for key in _ZEROS[1:]:
        header.remove(key, ignore_missing=True)
    for key, value in found.items():
        if header.get(key) != value:
            header[key] = (value, "[s]")
    if "TIMEUNIT" in header and _seconds(header["TIMEUNIT"]) != 1:
        header["TIMEUNIT"] = "s"


def _unit(text: str) -> float | None:
    return _UNITS.get(text, _UNITS.get(text.lower()))


def _seconds(unit: object) -> float:
    """Seconds of a unit; of an empty one 1."""
    text = str(unit or "s").strip() or "s"
    seconds = _unit(text)
    if seconds is None:
        raise InputError(f"times are in the unit {text!r}, which is not known: give s, min, h or d (TUNIT, TIMEUNIT)")
    return seconds
