"""Region files as text: shapes written in CIAO's and DS9's dialects."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from chandra_bin._checks.array_types import Floats
from chandra_bin.errors import InputError

from ._shapes import DEGREES, PIXEL_SYSTEMS, WCS, Component, Format, Shape

CIAO_HEAD = "# Region file format: CIAO version 1.0\n"
DS9_HEAD = "# Region file format: DS9 version 4.1\nglobal color=green width=1\n"

# CIAO rejects longer lines.
LONGEST_CIAO_LINE = 32766

_FRAMES_OF_HOURS = (WCS, "fk5", "icrs", "fk4")
_MOST_PIXELS = 1e15  # the limit of the kernels
_SYSTEMS_OF_DS9 = (*PIXEL_SYSTEMS, *_FRAMES_OF_HOURS, "galactic", "ecliptic")


@dataclass(frozen=True)
class Style:
    """The format of numbers in one coordinate system."""

    format: Format
    system: str
    sexagesimal: bool = False

    def __post_init__(self) -> None:
        if self.format == "ds9" and self.system not in _SYSTEMS_OF_DS9:
            raise InputError(f"DS9 has no coordinate system {self.system}: use one of {', '.join(_SYSTEMS_OF_DS9)}")
        if self.format == "ciao" and self.system not in (*PIXEL_SYSTEMS, *_FRAMES_OF_HOURS):
            raise InputError(f"CIAO's region files contain physical coordinates or right ascension and declination, "
                             f"not {self.system} coordinates: use --format ds9")
        if self.format == "ciao" and self.system == "image":
            raise InputError("CIAO reads image coordinates as physical ones: use --format ds9, or --system physical")

    @property
    def most_vertices(self) -> int:
        """The number of vertices that are sure to fit on a line of CIAO; a shape's name needs less space than one."""
        widest = 26 if self.system in PIXEL_SYSTEMS else 28 if self.sexagesimal else 26
        return (LONGEST_CIAO_LINE - 1000) // widest

    def points(self, points: Floats) -> list[str]:
        """Return ``x,y`` of each point (n, 2)."""
        if not len(points):
            return []
        if self.system in PIXEL_SYSTEMS:
            return _formatted("%.10g,%.10g", points.ravel().tolist(), len(points))
        if self.sexagesimal:
            return self._sexagesimal(points)
        pattern = "%.7fd,%.7fd" if self.format == "ciao" else "%.7f,%.7f"
        return _formatted(pattern, points.ravel().tolist(), len(points))

    def _sexagesimal(self, points: Floats) -> list[str]:
        """Return points with seconds of right ascension to 1e-4 and of other coordinates to 1e-3, as in DS9."""
        hours = self.system in _FRAMES_OF_HOURS
        per_second = 10_000 if hours else 1000
        turn = (24 if hours else 360) * 3600 * per_second
        x = np.rint(points[:, 0] % 360 / (15 if hours else 1) * 3600 * per_second).astype(np.int64) % turn
        y = np.rint(np.abs(points[:, 1]) * 3_600_000).astype(np.int64)
        fields: list[object] = [None] * (9 * len(points))
        for first, value, per in ((0, x, per_second), (5, y, 1000)):
            fields[first::9] = (value // (3600 * per)).tolist()
            fields[first + 1 :: 9] = (value // (60 * per) % 60).tolist()
            fields[first + 2 :: 9] = (value // per % 60).tolist()
            fields[first + 3 :: 9] = (value % per).tolist()
        fields[4::9] = np.where(points[:, 1] < 0, "-", "+").tolist()
        pattern = f"%02d:%02d:%02d.%0{4 if hours else 3}d,%s%02d:%02d:%02d.%03d"
        return _formatted(pattern, fields, len(points))

    def length(self, value: float) -> str:
        """Return a length in pixels, or in the sky in arcmin (CIAO) or arcsec (DS9)."""
        in_pixels = self.system in PIXEL_SYSTEMS
        if not value <= (_MOST_PIXELS if in_pixels else 360):
            raise InputError(f"a length of {value:g} {'pixels' if in_pixels else 'degrees'} cannot be written")
        if in_pixels:
            return f"{value:.10g}"
        return f"{value * 60:.5f}'" if self.format == "ciao" else f'{value * 3600:.3f}"'

    def shape(self, shape: Shape) -> str:
        """Return a shape without signs."""
        if shape.lengths and (shape.unit == DEGREES) != (self.system not in PIXEL_SYSTEMS):
            raise InputError(f"the lengths of a {shape.kind} are in another unit than its position: convert it first")
        numbers = [*self.points(shape.points), *map(self.length, shape.lengths)]
        angles = [f"{angle:.8g}" for angle in shape.angles]
        if self.format == "ds9":
            return _ds9_shape(shape, numbers, angles)
        name = "rotbox" if shape.kind == "box" else shape.kind
        return f"{name}({','.join(numbers + angles)})"


def ciao_line(component: Component, style: Style) -> str:
    """Return a component on one line: ``polygon(..)*!polygon(..)``. Raises `InputError` if CIAO would reject it."""
    ordered = sorted(component, key=lambda shape: shape.complement)
    line = "*".join(("!" if shape.complement else "") + style.shape(shape) for shape in ordered)
    if ordered[0].complement:
        line = f"field()*{line}"
    if len(line) >= LONGEST_CIAO_LINE:
        raise InputError(f"a region of {len(component)} joined shapes needs a line of {len(line)} bytes, but CIAO "
                         f"reads at most {LONGEST_CIAO_LINE}: use a mask")
    return line + "\n"


def ciao_bin(number: int) -> str:
    """Return the comment line of a CIAO file that gives the bin of the lines below it."""
    return f"# bin {number}\n"


def ring_texts(texts: Sequence[str], ring_offsets: Sequence[int]) -> list[str]:
    """Return ``polygon(..)`` of each ring, from the texts of all points."""
    return [f"polygon({','.join(texts[a:b])})" for a, b in pairwise(ring_offsets)]


def _ds9_shape(shape: Shape, numbers: list[str], angles: list[str]) -> str:
    """Return a shape in DS9's dialect."""
    if shape.kind == "pie":  # in DS9 the second angle must be larger
        first, last = shape.angles
        angles[1] = f"{first + ((last - first) % 360 or 360):.8g}"
        return f"panda({','.join([numbers[0], *angles, '1', *numbers[1:], '1'])})"
    if shape.kind in ("sector", "field"):
        raise InputError(f"DS9 has no shape like CIAO's {shape.kind}: use --format ciao")
    return f"{shape.kind}({','.join(numbers + angles)})"


def _formatted(pattern: str, values: Sequence[object], count: int) -> list[str]:
    """Return ``pattern`` for each of ``count`` groups of values; a single formatting call is several times faster."""
    return ("\n".join([pattern] * count) % tuple(values)).split("\n")

