"""Angles in sexagesimal notation: hours or degrees, minutes and seconds."""

import re

# 12:34:56.7, 12h34m56.7s, -12d34m56s; without seconds 12:34.5, 12h34.5m.
_FORM = re.compile(r"([-+]?)(\d+)(?:[:hd](\d+)[:m](\d+\.?\d*)s?|:(\d+\.?\d*)|[hd](\d+\.?\d*)m)", re.I | re.ASCII)
# Programs that round may write minutes or seconds of 60; CIAO and DS9 accept them.
MOST_MINUTES = 60


def parse_sexagesimal(word: str, *, carry: bool = True) -> float | None:
    """Return an angle in hours or degrees, the unit of its first number; None for other text.

    ``carry``: accept minutes and seconds of 60, as in files. Raises `ValueError` for larger ones, and for 60 without
    ``carry``.
    """
    match = _FORM.fullmatch(word)
    if match is None:
        return None
    sign, whole, minutes, seconds, *alone = match.groups()
    parts = [float(part) for part in (whole, minutes or alone[0] or alone[1], seconds or "0")]
    if max(parts[1:]) > MOST_MINUTES or (not carry and MOST_MINUTES in parts[1:]):
        raise ValueError(too_large_text(word))
    value = parts[0] + parts[1] / 60 + parts[2] / 3600
    return -value if sign == "-" else value


def too_large_text(word: str) -> str:
    """Return the error message for minutes or seconds that are too large."""
    return f"the coordinate {word} has minutes or seconds above {MOST_MINUTES}"


def may_be_hours(word: str) -> bool:
    """Return whether a right ascension would be in hours: its first number is followed by ``:`` or ``h``."""
    return ":" in word or "h" in word.lower()
