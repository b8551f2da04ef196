"""Energy bands in CIAO's words: ``broad``, ``csc``, ``0.5:7:2.3``.

Names and limits are those of CIAO's fluximage (https://cxc.cfa.harvard.edu/ciao/ahelp/fluximage.html). A band's label
is part of file names, ``broad_thresh.img`` and ``0.5-7_thresh.img``, so this is the one place that makes it.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from chandra_bin.errors import InputError

# keV: from, to, and the energy that stands for the band in exposure maps.
_NAMED = {
    "broad": ("0.5", "7.0", "2.3"),
    "soft": ("0.5", "1.2", "0.92"),
    "medium": ("1.2", "2.0", "1.56"),
    "hard": ("2.0", "7.0", "3.8"),
    "ultrasoft": ("0.2", "0.5", "0.4"),
}
_SETS = {"csc": ("soft", "medium", "hard")}
BAND_NAMES = (*_NAMED, *_SETS)
_NUMBER = re.compile(r"\d+\.?\d*|\.\d+", re.ASCII)
# What the telescope can see, keV.
_LOWEST, _HIGHEST = Decimal("0.1"), Decimal("10")


@dataclass(frozen=True)
class Band:
    """Energies from ``low_kev``, included, to ``high_kev``, excluded."""

    label: str
    """A name, or the limits as they were written: ``0.5:7.0:2.3`` has ``0.5-7.0``."""
    low_kev: float
    high_kev: float
    effective_kev: float
    """The one energy at which exposure maps of the band are made."""

    @property
    def low_ev(self) -> float:
        """The lower limit in eV; 0.57 keV is exactly 570."""
        return _in_ev(self.low_kev)

    @property
    def high_ev(self) -> float:
        """The upper limit in eV."""
        return _in_ev(self.high_kev)


def parse_bands(text: str) -> list[Band]:
    """The bands of a list such as ``broad,0.5:2:1.5``, in its order; one that is named twice is there once.

    Each is ``broad``, ``soft``, ``medium``, ``hard``, ``ultrasoft``, ``csc`` (soft, medium and hard) in any case, or
    ``low:high:effective`` in keV. Raises `InputError` that names the word, also for two bands of one label.
    """
    bands: dict[str, Band] = {}
    for word in (part.strip() for part in text.split(",")):
        name = word.lower()
        made = [_named(each) for each in _SETS.get(name, (name,))] if name in {**_NAMED, **_SETS} else [_limits(word)]
        for band in made:
            if bands.setdefault(band.label, band) != band:
                raise InputError(f"the bands {text} hold two of the label {band.label}, whose files would be the same; "
                                 "write one limit with another number of digits")
    return list(bands.values())


def parse_energies(text: str) -> tuple[float, float]:
    """The limits in eV of one band: as `parse_bands` takes it, or ``low:high`` in keV. Raises `InputError`."""
    bands = [_limits(text.strip(), effective=False)] if text.count(":") == 1 else parse_bands(text)
    if len(bands) > 1:
        raise InputError(f"{text!r} are {len(bands)} bands, and one is needed: give low:high in keV, 0.5:7 say")
    return bands[0].low_ev, bands[0].high_ev


def _named(name: str) -> Band:
    return Band(name, *map(float, _NAMED[name]))


def _limits(word: str, effective: bool = True) -> Band:
    """A band by its limits; those without an effective energy have the lower limit for it."""
    parts = [part.strip() for part in word.split(":")]
    if not effective:
        parts.insert(2, parts[0])
    if len(parts) != 3 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise InputError(f"unknown energy band {word!r}: give {', '.join(BAND_NAMES)}, or low:high:effective in "
                         "keV, 0.5:7:2.3 say")
    low, high, middle = map(Decimal, parts)
    if not low < high:
        raise InputError(f"the energy band {word} ends before it begins: give low:high:effective in keV")
    if high > _HIGHEST or low < _LOWEST:
        raise InputError(f"the energy band {word} is not within {_LOWEST} - {_HIGHEST} keV: limits are in keV, "
                         "0.5:7:2.3 say")
    if not low <= middle <= high:
        raise InputError(f"the energy band {word} does not hold its effective energy, {middle} keV: give "
                         "low:high:effective")
    return Band(f"{parts[0]}-{parts[1]}", float(low), float(high), float(middle))


def _in_ev(kev: float) -> float:
    """The number that is written for it in eV: 1000 times the decimal, and not 2299.9999999999995 for 2.3."""
    return float(Decimal(repr(kev)).scaleb(3))
