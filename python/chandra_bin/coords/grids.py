"""Pixel grids of event images: their edges, and the keywords that describe them.

Images, exposure maps and backgrounds of a run share grids made here, so that their pixels coincide.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.errors import InputError
from chandra_bin.fits.sky_keywords import is_of_sky, moved_sky, sky_axes

from .wcs import ImageCoords

if TYPE_CHECKING:
    from astropy.io.fits import Header

# Sky pixels have their centres at whole numbers, so edges of binned pixels are at half-integers.
_EDGE = 0.5
_MOST_PIXELS = 2**31 - 1


@dataclass(frozen=True)
class GridAxis:
    """Axis of ``size`` pixels with edges first, first + step, ..."""

    first: float
    step: float
    size: int

    @classmethod
    def between(cls, low: float, high: float, step: float) -> "GridAxis":
        """Return an axis from exactly ``low`` to ``high``; the last pixel may extend beyond ``high``."""
        _check(low, high, step)
        return cls(low, step, _count((high - low) / step))

    @classmethod
    def around(cls, low: float, high: float, step: float) -> "GridAxis":
        """Return an axis that covers ``low`` to ``high``, with edges at 0.5 + k ``step``."""
        _check(low, high, step)
        first = math.floor((low - _EDGE) / step + 1e-9)
        last = max(math.ceil((high - _EDGE) / step - 1e-9), first + 1)
        return cls(_EDGE + first * step, step, _count(last - first))

    @property
    def end(self) -> float:
        """The last edge."""
        return self.first + self.size * self.step

    @property
    def centres(self) -> NDArray[np.float64]:
        """The pixel centres, (size,)."""
        return np.asarray(self.first + (np.arange(self.size) + 0.5) * self.step, np.float64)


@dataclass(frozen=True)
class Grid:
    """Pixels in the physical coordinates of events."""

    x: GridAxis
    y: GridAxis

    def __post_init__(self) -> None:
        if self.x.size * self.y.size > _MOST_PIXELS:
            raise InputError(f"an image of {self.x.size} x {self.y.size} pixels is too large; give limits, or larger "
                             "pixels")

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.y.size, self.x.size

    def put_into(self, header: "Header", coords: ImageCoords, names: tuple[str, str] = ("x", "y")) -> None:
        """Write the physical and sky coordinates of the pixels into a header, as in CIAO's images.

        ``coords`` are those of the events (`ImageCoords.from_events`); ``names`` are their columns.
        """
        header["MTYPE1"], header["MFORM1"] = "sky" if names == ("x", "y") else "pos", ",".join(names)
        for key in [key for key in header if is_of_sky(key)]:
            del header[key]
        for n, axis in ((1, self.x), (2, self.y)):
            header[f"CTYPE{n}P"] = names[n - 1]
            header[f"CRPIX{n}P"], header[f"CRVAL{n}P"], header[f"CDELT{n}P"] = _EDGE, axis.first, axis.step
            header[f"WCSTY{n}P"] = "PHYSICAL"
            header[f"LTM{n}_{n}"], header[f"LTV{n}"] = 1 / axis.step, _EDGE - axis.first / axis.step
        events = self._sky_of_columns(coords, names)
        for key, value in events.items():
            header[key] = value
        axes = sky_axes(events)
        if axes is not None and set(axes) == {"RA--", "DEC-"}:
            header["MTYPE2"], header["MFORM2"] = "EQPOS", "RA,DEC"

    def _sky_of_columns(self, coords: ImageCoords, names: tuple[str, str]) -> dict[str, Any]:
        """Return the sky keywords of an image with these pixels, from those of the events."""
        keywords = {key: value for key, value in coords.header.items() if is_of_sky(key)}
        has_matrix = any(key.startswith("CD") and "_" in key for key in keywords)
        for n in (1, 2):
            needed = [f"CRVAL{n}", f"CRPIX{n}", *([] if has_matrix else [f"CDELT{n}"])]
            if f"CTYPE{n}" in keywords and not all(isinstance(keywords.get(key), int | float) for key in needed):
                raise InputError(f"the sky coordinates of the column {names[n - 1]} are incomplete: they need a "
                                 "reference value, pixel and step (TCRVLn, TCRPXn, TCDLTn)")
            if f"CTYPE{n}" in keywords:
                keywords.setdefault(f"CUNIT{n}", "deg")
            else:
                keywords = {key: value for key, value in keywords.items() if not key.endswith(str(n))}
        moved = moved_sky(keywords, (self.x.first, self.y.first), (self.x.step, self.y.step))
        return {key: value for key, value in (keywords | moved).items() if value is not None}


def _check(low: float, high: float, step: float) -> None:
    """Raise `InputError` unless low < high and the step is positive."""
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"lower limit {low:g} is not below upper limit {high:g}")
    if not (math.isfinite(step) and step > 0):
        raise InputError(f"pixel size must be positive, got {step:.15g}")


def _count(pixels: float) -> int:
    """Return the number of pixels, rounded up and at least 1."""
    count = math.ceil(pixels - 1e-9)
    if count > _MOST_PIXELS:
        raise InputError(f"{count} pixels are too many; give limits, or larger pixels")
    return max(count, 1)
