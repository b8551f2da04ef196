"""Energy bands."""

from dataclasses import dataclass

from .errors import ToolError

_NAMED = {"broad": (0.5, 7.0, 2.3), "soft": (0.5, 1.2, 0.92), "medium": (1.2, 2.0, 1.56), "hard": (2.0, 7.0, 3.8),
          "ultrasoft": (0.2, 0.5, 0.4)}


@dataclass(frozen=True)
class Band:
    label: str
    low_ev: float
    high_ev: float
    effective_kev: float


def bands_of(text: str) -> list[Band]:
    """Names, or lo:hi:effective in keV; the label is what was typed, ``0.5:7:2.3`` makes 0.5-7."""
    made = []
    for part in ("broad" if text == "default" else text).split(","):
        names = ("soft", "medium", "hard") if part == "csc" else (part,)
        for name in names:
            if name in _NAMED:
                low, high, at = _NAMED[name]
                made.append(Band(name, low * 1000, high * 1000, at))
            else:
                made.append(_typed(name))
    return made


def _typed(text: str) -> Band:
    parts = text.split(":")
    try:
        low, high, at = map(float, parts)
    except ValueError:
        raise ToolError(f"bands: {text!r} is neither a known band nor low:high:effective energy") from None
    if not (0.1 <= low < high <= 10 and low <= at <= high):
        raise ToolError(f"bands: {text!r}: energies are in keV, from 0.1 to 10, and the effective one is between")
    return Band(f"{parts[0]}-{parts[1]}", low * 1000, high * 1000, at)
