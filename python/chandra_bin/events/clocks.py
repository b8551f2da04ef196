"""Clocks of FITS tables: the unit of their times and the instant they count from.

Keywords follow OGIP/93-003 (Angelini, Pence & Tennant 1993) and the FITS time standard (Rots et al. 2015, A&A 574,
A36): an instant is TIME x TUNITn + TIMEZERO + TIMEOFFS after MJDREF. Time keywords are in the unit in brackets at the
start of their comment, else in TIMEUNIT, else in seconds.
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
"""Keywords of the zero and unit of times, and those that depend on them."""
# Time zeros closer than this are equal: MJDREF in days is rounded to microseconds.
_SAME_TIME_S = 1e-3
# Time scales that differ by milliseconds at most; UTC and TAI differ by more than 30 s.
_LIKE_TT = {"TT", "TDT", "ET", "TDB"}


@dataclass(frozen=True)
class Clock:
    """Conversion of the numbers of a column to instants."""

    unit_s: float = 1.0
    """Seconds per unit of the column."""
    zero_s: float = 0.0
    """Seconds from the reference (MJDREF) to the zero of the column: TIMEZERO, TIMEOFFS."""

    @classmethod
    def of(cls, header: "Header", unit: str = "", where: str = "") -> "Clock":
        """Return the clock of a column with this TUNITn. Raises `InputError` that begins with ``where``."""
        try:
            return cls(_seconds(unit) if unit else _seconds(header.get("TIMEUNIT")), zero_point(header))
        except InputError as error:
            raise InputError(f"{where}{': ' if where else ''}{error}") from None

    @property
    def is_plain(self) -> bool:
        """Whether the numbers are seconds since the reference."""
        return self.unit_s == 1 and self.zero_s == 0

    def seconds(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return seconds since the zero of the column; float64 seconds are unchanged to the bit."""
        times: NDArray[np.float64] = np.asarray(values, np.float64)
        return times if self.unit_s == 1 else times * self.unit_s

    def instants(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return seconds since the reference."""
        times = self.seconds(values)
        return times if self.zero_s == 0 else times + self.zero_s


def seconds_of(header: "Header", keyword: str) -> float | None:
    """Return a time keyword in seconds; None if it is not a number. Raises `InputError` for unknown units."""
    value = header.get(keyword)
    if not is_number(value):
        return None
    if value == 0:
        return 0.0
    in_brackets = _IN_BRACKETS.match(str(header.comments[keyword]))
    unit = None if in_brackets is None else _unit(in_brackets[1])
    return float(value) * (_seconds(header.get("TIMEUNIT")) if unit is None else unit)


def zero_point(header: "Header") -> float:
    """Return seconds from MJDREF to the zero of times: TIMEZERO, or TIMEZERI + TIMEZERF, plus TIMEOFFS.

    Raises `InputError` if a keyword is not a number.
    """
    for key in _ZEROS:
        if key in header and not is_number(header[key]):
            raise InputError(f"{key} must be a number, got {header[key]!r}: times count from it")
    parts = {key: seconds_of(header, key) or 0.0 for key in _ZEROS}
    whole = parts["TIMEZERO"] if "TIMEZERO" in header else parts["TIMEZERI"] + parts["TIMEZERF"]
    return whole + parts["TIMEOFFS"]


def reference(header: "Header") -> float | None:
    """Return seconds from MJD 0 to the reference: MJDREF, JDREF (or their I and F parts) or DATEREF, or None."""
    for key, zero in (("MJDREF", 0.0), ("JDREF", _JD_OF_MJD_0)):
        parts = [header.get(name) for name in ((key,) if key in header else (f"{key}I", f"{key}F"))]
        if is_number(parts[0]):
            return (float(parts[0]) - zero) * _DAY + sum(float(part) * _DAY for part in parts[1:] if is_number(part))
    try:
        return (datetime.fromisoformat(str(header["DATEREF"])) - _MJD_0).total_seconds()
    except (KeyError, ValueError, TypeError):
        return None


def seconds_after_reference(header: "Header", mjdref: float) -> float:
    """Return seconds from ``mjdref`` (MJD) to the zero of the header's times; 0 if the header does not state it."""
    zero = reference(header)
    apart = 0.0 if zero is None else zero + zero_point(header) - mjdref * _DAY
    return apart if abs(apart) > _SAME_TIME_S else 0.0


def seconds_between(one: "Header", other: "Header") -> float:
    """Return seconds from the time zero of ``other`` to that of ``one``; 0 if ``one`` does not define its zero.

    References (MJDREF) count as equal if one is unknown. Raises `InputError`.
    """
    begin, end = reference(other), reference(one)
    if end is None and not any(key in one for key in _ZEROS):
        return 0.0
    apart = zero_point(one) - zero_point(other) + (0.0 if begin is None or end is None else end - begin)
    return apart if abs(apart) > _SAME_TIME_S else 0.0


def differ_in_scale(one: "Header", other: "Header") -> str:
    """Return how two headers differ in time scale or reference position; empty if they agree or do not state it.

    The arrival time at the solar system's barycentre (TIMEREF) differs by up to 500 s from that at the telescope.
    """
    for key in ("TIMEREF", "TIMESYS"):
        values = [text_of(header, key).upper() for header in (one, other)]
        if all(values) and values[0] != values[1] and not (key == "TIMESYS" and _LIKE_TT.issuperset(values)):
            return f"{values[0]} and {values[1]} ({key})"
    return ""


def clock_keywords(mjdref: float) -> dict[str, Any]:
    """Return the keywords of Chandra tables with times in seconds since ``mjdref`` (MJD, TT)."""
    return {"TELESCOP": "CHANDRA", "MJDREF": as_number(mjdref, "mjdref", "d"), "TIMEZERO": 0.0, "TIMESYS": "TT",
            "TIMEUNIT": "s"}


def put_in_seconds(header: "Header", *, zero_s: float | None = None) -> None:
    """Convert the clock keywords of a header to seconds: TIMEUNIT, TIMEZERO, TSTART, TSTOP and TIMEDEL.

    Nothing changes if they are in seconds or in an unknown unit. ``zero_s`` replaces the zero. TIMEZERI, TIMEZERF and
    TIMEOFFS are merged into TIMEZERO. Raises `InputError` if the zero is not a number.
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
    """Return the seconds of a unit; None if it is unknown."""
    return _UNITS.get(text, _UNITS.get(text.lower()))


def _seconds(unit: object) -> float:
    """Return the seconds of a unit; 1 for an empty one. Raises `InputError` if it is unknown."""
    text = str(unit or "s").strip() or "s"
    seconds = _unit(text)
    if seconds is None:
        raise InputError(f"unknown unit of time {text!r}: use s, min, h or d (TUNIT, TIMEUNIT)")
    return seconds
