"""Energy bands as CIAO writes them: ``broad``, ``csc``, ``0.5:7:2.3``.

Names and limits follow CIAO's fluximage (https://cxc.cfa.harvard.edu/ciao/ahelp/fluximage.html). A band's label is part
of file names, such as ``broad_thresh.img`` and ``0.5-7_thresh.img``, so only this module makes labels.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from chandra_bin.errors import InputError

# keV: lower limit, upper limit, and the effective energy for exposure maps.
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
# The energy range of the telescope, keV.
_LOWEST, _HIGHEST = Decimal("0.1"), Decimal("10")


@dataclass(frozen=True)
class Band:
    """Energies from ``low_kev`` (included) to ``high_kev`` (excluded)."""

    label: str
    """A name, or the limits as written: ``0.5:7.0:2.3`` has the label ``0.5-7.0``."""
    low_kev: float
    high_kev: float
    effective_kev: float
    """Energy at which the exposure maps of the band are computed."""

    @property
    def low_ev(self) -> float:
        """The lower limit in eV, exact in decimal: 0.57 keV is 570."""
        return _in_ev(self.low_kev)

    @property
    def high_ev(self) -> float:
        """The upper limit in eV."""
        return _in_ev(self.high_kev)


def parse_bands(text: str) -> list[Band]:
    """Return the bands of a list such as ``broad,0.5:2:1.5``, in order and without duplicates.

    Each is ``broad``, ``soft``, ``medium``, ``hard``, ``ultrasoft``, ``csc`` (soft, medium and hard) in any case, or
    ``low:high:effective`` in keV. Raises `InputError` for an unknown or invalid band, and for two bands of one label.
    """
    bands: dict[str, Band] = {}
    for word in (part.strip() for part in text.split(",")):
        name = word.lower()
        made = [_named(each) for each in _SETS.get(name, (name,))] if name in {**_NAMED, **_SETS} else [_limits(word)]
        for band in made:
            if bands.setdefault(band.label, band) != band:
                raise InputError(f"two of the bands {text} have the label {band.label}, and so the same file names; "
                                 "write one limit with another number of digits")
    return list(bands.values())


def parse_energies(text: str) -> tuple[float, float]:
    """Return the limits in eV of one band: as `parse_bands` takes it, or ``low:high`` in keV. Raises `InputError`."""
    bands = [_limits(text.strip(), effective=False)] if text.count(":") == 1 else parse_bands(text)
    if len(bands) > 1:
        raise InputError(f"{text!r} is {len(bands)} bands, but one is needed: give low:high in keV, e.g. 0.5:7")
    return bands[0].low_ev, bands[0].high_ev


def _named(name: str) -> Band:
    """Return a band by its name."""
    return Band(name, *map(float, _NAMED[name]))


def _limits(word: str, effective: bool = True) -> Band:
    """Return a band by its limits; without an effective energy, the lower limit serves as such."""
    parts = [part.strip() for part in word.split(":")]
    if not effective:
        parts.insert(2, parts[0])
    if len(parts) != 3 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise InputError(f"unknown energy band {word!r}: give {', '.join(BAND_NAMES)}, or low:high:effective in "
                         "keV, e.g. 0.5:7:2.3")
    low, high, middle = map(Decimal, parts)
    if not low < high:
        raise InputError(f"the lower limit of the energy band {word} is not below the upper one: give "
                         "low:high:effective in keV")
    if high > _HIGHEST or low < _LOWEST:
        raise InputError(f"the energy band {word} is not within {_LOWEST} - {_HIGHEST} keV: limits are in keV, "
                         "e.g. 0.5:7:2.3")
    if not low <= middle <= high:
        raise InputError(f"the energy band {word} does not contain its effective energy, {middle} keV: give "
                         "low:high:effective")
    return Band(f"{parts[0]}-{parts[1]}", float(low), float(high), float(middle))


def _in_ev(kev: float) -> float:
    """Return eV as 1000 times the decimal number, so that 2.3 keV is 2300 and not 2299.9999999999995."""
    return float(Decimal(repr(kev)).scaleb(3))
