"""The numbers of a shape in region text: positions, lengths and angles in CIAO's and DS9's dialects."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import NoReturn

import numpy as np

from chandra_bin._checks.array_types import Floats
from chandra_bin.coords.sexagesimal import MOST_MINUTES, may_be_hours, parse_sexagesimal, too_large_text
from chandra_bin.errors import InputError

from ._shapes import (
    AREAS,
    DEGREES,
    IMAGE,
    PHYSICAL,
    PIXEL_SYSTEMS,
    WCS,
    Component,
    Format,
    Shape,
    check_corners,
)

# DS9's shapes with several parts, and the shape that bounds the parts.
PANDAS = {"panda": "pie", "epanda": "ellipse", "bpanda": "box"}
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)([\"'dpir]?)$", re.I)
# The limit of parts of one panda.
_MOST_PARTS = 999
_COUNT = re.compile(r"0*[1-9]\d{0,2}", re.ASCII)
_UNITS = {'"': 1 / 3600, "'": 1 / 60, "d": 1.0, "r": 180 / np.pi}
_SPLIT = re.compile(r"[,\s]+")


class ShapeNumbers:
    """Parser of the numbers of one shape."""

    def __init__(self, kind: str, text: str, system: str, format: Format, line: int,
                 fail: Callable[[int, str], NoReturn]) -> None:
        self._kind = kind
        self._words = _SPLIT.split(text.strip().strip(",")) if text.strip() else []
        self._system = system
        self._format = format
        self._line = line
        self._fail = fail

    def fail(self, what: str) -> NoReturn:
        """Raise the error ``what`` about the shape."""
        self._fail(self._line, f"{self._kind}: {what}")

    def components(self) -> list[Component]:
        """Return the shape; several for a set of annuli or pies, a pair for a ring between two ellipses or boxes."""
        if self._kind == "polygon":
            return [(self._shape("polygon", self._polygon()),)]
        if self._kind in PANDAS:
            return self._panda()
        if self._format == "ds9" and self._kind in ("annulus", "ellipse", "box"):
            return self._ds9_rings()
        need = AREAS[self._kind]
        optional_angle = self._kind == "box" and len(self._words) == 4
        count = 2 * need.points + need.lengths + need.angles
        if len(self._words) != count and not optional_angle:
            self.fail(f"needs {count} numbers, not {len(self._words)}")
        return [(self._plain(self._kind, self._words),)]

    def _plain(self, kind: str, words: list[str]) -> Shape:
        """Return a shape of one kind."""
        need = AREAS[kind]
        points = np.array([self._position(*words[2 * i : 2 * i + 2]) for i in range(need.points)]).reshape(-1, 2)
        first, last = 2 * need.points, 2 * need.points + need.lengths
        lengths = tuple(self._length(word) for word in words[first:last])
        angles = tuple(self._angle(word) for word in words[last:]) or (0.0,) * need.angles
        return self._shape(kind, points, lengths, angles)

    def _shape(self, kind: str, points: Floats, lengths: tuple[tuple[float, str], ...] = (),
               angles: tuple[float, ...] = ()) -> Shape:
        """Return a shape after checks of its lengths."""
        units = {unit for _, unit in lengths}
        if len(units) > 1:
            self.fail("has lengths in different units")
        values = tuple(value for value, _ in lengths)
        if any(value < 0 for value in values):
            self.fail(f"has a length below 0: {min(values):g}")
        if kind in ("annulus", "pie") and values[0] > values[1]:
            self.fail(f"has an inner radius above the outer one: {values[0]:g}, {values[1]:g}")
        if kind == "rectangle" and self._system in PIXEL_SYSTEMS:
            try:
                check_corners(points)
            except InputError as error:
                self.fail(str(error))
        unit = units.pop() if units else PHYSICAL
        return Shape(kind, points, values, angles, self._system, unit, line=self._line)

    def _panda(self) -> list[Component]:
        """Return the parts of DS9's pandas: sectors of rings between circles, ellipses (epanda) or boxes (bpanda)."""
        words, bounding = self._words, PANDAS[self._kind]
        count = 8 if bounding == "pie" else 11
        if len(words) != count and not (bounding != "pie" and len(words) == count - 1):
            self.fail(f"needs {count} numbers, not {len(words)}")
        first, last = self._angle(words[2]), self._angle(words[3])
        angles = self._steps(words[2], repr(first + ((last - first) % 360 or 360)), words[4])
        if bounding == "pie":
            rings = self._steps(*words[5:8])
            self._check_parts(len(rings), len(angles))
            return [(self._plain("pie", [*words[:2], *r, *a]),) for r in rings for a in angles]
        turn = words[10] if len(words) == count else "0"
        nested = [self._plain(bounding, [*words[:2], *size, turn]) for size in self._sizes(words[5:9], words[9])]
        self._check_parts(len(nested) - 1, len(angles))
        # DS9 measures the angles of the parts from the axis of the ellipse or box, and in the sky it rotates both the
        # angle of the part and that of the axis by the north of the image.
        sectors = [replace(self._plain("sector", [*words[:2], *ends]), norths=2) for ends in angles]
        sectors = [replace(sector, angles=tuple(angle + nested[0].angles[0] for angle in sector.angles))
                   for sector in sectors]
        return [(outer, inner.complemented(), sector) for inner, outer in pairwise(nested) for sector in sectors]

    def _check_parts(self, rings: int, angles: int) -> None:
        """Raise an error for too many parts."""
        if rings * angles > _MOST_PARTS:
            self.fail(f"has {rings} rings of {angles} parts; at most {_MOST_PARTS} parts can be read")

    def _ds9_rings(self) -> list[Component]:
        """Return DS9's annuli, ellipses and boxes: one shape, or a set of rings, listed or counted (``n=``)."""
        counts = [word[2:] for word in self._words if word.lower().startswith("n=")]
        words = [word for word in self._words if not word.lower().startswith("n=")]
        least = 4 if self._kind == "annulus" else 5
        if len(words) < 4 or len(counts) > 1:
            self.fail(f"needs {least} numbers, not {len(words)}" if len(words) < 4 else "has n= more than once")
        if self._kind == "annulus":
            if counts and len(words) != 4:
                self.fail(f"with n= needs an inner and an outer radius, not {len(words) - 2} radii")
            rings = self._steps(words[2], words[3], counts[0]) if counts else list(pairwise(words[2:]))
            return [(self._plain("annulus", [*words[:2], *ring]),) for ring in rings]
        angle = words.pop() if len(words) % 2 else "0"  # without an angle it is 0
        sizes = [(words[i], words[i + 1]) for i in range(2, len(words), 2)]
        if counts:
            if len(sizes) != 2:
                self.fail(f"with n= needs the sizes of the inner and the outer {self._kind}, not {len(sizes)} sizes")
            sizes = self._sizes(words[2:], counts[0])
        nested = [self._plain(self._kind, [*words[:2], *size, angle]) for size in sizes]
        if len(nested) == 1:
            return [(nested[0],)]
        return [(outer, inner.complemented()) for inner, outer in pairwise(nested)]

    def _sizes(self, words: list[str], count: str) -> list[tuple[str, str]]:
        """Return the sizes of ``count`` rings, from an inner width and height to an outer width and height."""
        sides = [self._steps(words[axis], words[axis + 2], count) for axis in (0, 1)]
        edges = [[steps[0][0], *(last for _, last in steps)] for steps in sides]
        return list(zip(*edges, strict=True))

    def _steps(self, first: str, last: str, count: str) -> list[tuple[str, str]]:
        """Return ``count`` ranges from first to last, which have one unit."""
        a, b = _NUMBER.match(first), _NUMBER.match(last)
        if a is None or b is None or not _COUNT.fullmatch(count) or a[2] != b[2]:
            self.fail(f"has a range that cannot be read: {first}, {last}, {count}")
        edges = [f"{edge!r}{a[2]}" for edge in np.linspace(float(a[1]), float(b[1]), int(count) + 1).tolist()]
        return list(pairwise(edges))

    def _polygon(self) -> Floats:
        """Return the vertices of a polygon."""
        words = self._words
        if len(words) % 2:
            self.fail(f"has an odd number of coordinates: {len(words)}")
        if len(words) < 6:
            self.fail(f"needs at least 3 vertices, not {len(words) // 2}")
        try:
            if ":" not in words[0]:
                points = np.array(words, dtype=float).reshape(-1, 2)
                if np.isfinite(points).all():
                    return points
            elif all(word.count(":") == 2 for word in words):
                return self._sexagesimal_points(words)
        except InputError:
            raise
        except ValueError:
            pass
        return np.array([self._position(words[i], words[i + 1]) for i in range(0, len(words), 2)])

    def _sexagesimal_points(self, words: list[str]) -> Floats:
        """Return many points hh:mm:ss,dd:mm:ss at once."""
        fields = np.array(":".join(words).split(":"), dtype=float).reshape(-1, 2, 3)
        too_large = (fields[:, :, 1:] > MOST_MINUTES).any(axis=2).ravel()
        if too_large.any():
            self.fail(too_large_text(words[int(too_large.argmax())]))
        values = np.abs(fields) @ [1, 1 / 60, 1 / 3600]
        signs = np.where([word.startswith("-") for word in words], -1, 1).reshape(-1, 2)
        self._enter_sky()
        return np.asarray(values * signs * [self._hours(), 1])

    def _position(self, x: str, y: str) -> tuple[float, float]:
        """Return a position and set its system."""
        values: list[float] = []
        for word in (x, y):
            try:
                angle = parse_sexagesimal(word)
            except ValueError as error:
                self.fail(str(error))
            if angle is not None:
                self._enter_sky()
                values.append(angle * (self._hours() if not values and may_be_hours(word) else 1))
                continue
            value, suffix = self._number(word)
            if suffix in ("d", "r"):
                self._enter_sky()
                value *= _UNITS[suffix]
            elif suffix in ("p", "i"):
                self._system = PHYSICAL if suffix == "p" else IMAGE
            elif suffix:
                self.fail(f"cannot read the coordinate {word!r}")
            values.append(value)
        return values[0], values[1]

    def _enter_sky(self) -> None:
        """Set the system of sky coordinates in a file of pixels to the frame of the image, as in CIAO."""
        if self._system in PIXEL_SYSTEMS:
            self._system = WCS

    def _hours(self) -> int:
        """Return degrees per unit of a sexagesimal longitude."""
        return 1 if self._system in ("galactic", "ecliptic") else 15

    def _length(self, word: str) -> tuple[float, str]:
        """Return a length and its unit."""
        value, suffix = self._number(word)
        if suffix in _UNITS:
            return value * _UNITS[suffix], DEGREES
        if suffix:
            return value, PHYSICAL if suffix == "p" else IMAGE
        if self._format == "ds9" and self._system not in PIXEL_SYSTEMS:
            return value, DEGREES
        return value, IMAGE if self._system == IMAGE else PHYSICAL

    def _angle(self, word: str) -> float:
        """Return an angle in degrees."""
        value, suffix = self._number(word)
        if suffix not in ("", "d"):
            self.fail(f"cannot read the angle {word!r}")
        return value

    def _number(self, word: str) -> tuple[float, str]:
        """Return a number and its suffix."""
        number = _NUMBER.match(word)
        if number is None:
            self.fail(f"cannot read the number {word!r}")
        value = float(number[1])
        if not np.isfinite(value):
            self.fail(f"the number {word} is not finite")
        return value, number[2].lower()
