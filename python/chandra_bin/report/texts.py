"""Numbers, words and times as the report shows them."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any


def text(value: Any, aligned: bool = False) -> str:
    """Return a number, a word or a list of them as text; ``aligned`` numbers have four digits, for columns."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _number(value, aligned)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {text(each)}" for name, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(text(each) for each in value)
    return str(value)


def _number(value: float, aligned: bool) -> str:
    digits = 4 if aligned else 6
    whole = value.is_integer() or 10**digits <= abs(value)
    if whole and abs(value) < 1e15:
        return f"{value:.0f}"
    return f"{value:#.{digits}g}".removesuffix(".") if aligned else f"{value:.6g}"


def kiloseconds(value: Any) -> str:
    """Return an exposure in seconds as text in ks."""
    return f"{value / 1000:.2f} ks" if isinstance(value, float | int) else "unknown"


def size(number: int) -> str:
    """Return a number of bytes as text."""
    for unit in ("bytes", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000  # type: ignore[assignment]
    return f"{number:.3g} GB"


def utc(mission_s: float) -> str:
    """Return the date and time (UTC) of Chandra's clock: seconds of TT since 1998-01-01, as in event files."""
    from astropy.time import Time

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # future leap seconds are unknown
        return f"{Time(mission_s, format='cxcsec', scale='tt').utc.strftime('%Y-%m-%d %H:%M:%S')} UTC"
