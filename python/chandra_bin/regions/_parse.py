"""Region files as text: CIAO's and DS9's dialects, read into shapes and what joins them."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NoReturn

import numpy as np

from chandra_bin.errors import InputError

from ._shapes import (
    AREAS,
    DEGREES,
    EVERYWHERE,
    IMAGE,
    PHYSICAL,
    PIXEL_SYSTEMS,
    WCS,
    Component,
    Floats,
    Format,
    Region,
    Semantics,
    Shape,
    check_corners,
)

_SYSTEMS = {
    "image": IMAGE, "logical": IMAGE, "physical": PHYSICAL, "wcs": "fk5", "fk5": "fk5", "j2000": "fk5", "icrs": "icrs",
    "galactic": "galactic", "fk4": "fk4", "b1950": "fk4", "ecliptic": "ecliptic",
}
_UNKNOWN_SYSTEMS = re.compile(r"(linear|amplifier|detector|wcs[a-z])$")
_NAMES = {"rotbox": "box", "cpanda": "panda"}
_DECORATIONS = {"text", "line", "vector", "ruler", "compass", "projection", "segment", "composite"}

_WORD = re.compile(r"[a-z_][a-z0-9_]*", re.I)
_JOIN = re.compile(r"[-+!|&*](?:\s*[-+!|&*])*")
_ARGUMENTS = re.compile(r"\s*\(([^()]*)\)")
_TEXT_ARGUMENTS = re.compile(r"\s*\(((?:[^()\"]|\"[^\"]*\")*)\)")
_BARE_ARGUMENTS = re.compile(r"\s+([^;#{(|&*]+)")
_SPLIT = re.compile(r"[,\s]+")
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)([\"'dpir]?)$", re.I)
# A panda is as many shapes as it has parts.
_MOST_PARTS = 999
_COUNT = re.compile(r"0*[1-9]\d{0,2}", re.ASCII)
_SEXAGESIMAL = re.compile(r"([-+]?)(\d+)[:hd](\d+)[:m](\d+\.?\d*)s?$", re.I)
_UNITS = {'"': 1 / 3600, "'": 1 / 60, "d": 1.0, "r": 180 / np.pi}


@dataclass(frozen=True)
class _Joined:
    """Shapes of one entry of the file (a set of annuli is one entry) and what joins them to those before."""

    how: str  # "or", "and", "cut"
    components: list[Component]


def parse_regions(text: str, source: str = "the region", semantics: Semantics | None = None) -> Region:
    """A region from the text of a CIAO or DS9 file.

    ``semantics`` says what an excluded shape, ``-shape``, is taken from: the component before it (``ciao``), or all
    included shapes (``ds9``). None: as the format of the file has it. Raises `InputError`, its text naming source and
    line, for what cannot be read, and for a file without a shape.
    """
    reader = _Reader(text, source)
    entries = list(reader.entries())
    if not entries:
        raise InputError(f"{source}: holds no shape")
    meanings = {"ciao": _as_ciao, "ds9": _as_ds9}
    chosen = semantics or ("ds9" if reader.format == "ds9" else "ciao")
    if chosen not in meanings:
        raise InputError(f"semantics must be 'ciao' or 'ds9', not {semantics!r}")

    known: dict[str, Any] = {"decorations": tuple(reader.decorations), "format": reader.format,
                             "settings": reader.settings, "source": source}
    components, cuts = meanings[chosen](entries, reader.fail)
    other = None
    if any(entry.how == "cut" for entry in entries):
        with suppress(InputError):  # the other reader refuses the file
            other = Region(*meanings["ds9" if chosen == "ciao" else "ciao"](entries, reader.fail), **known)
    return Region(components, cuts, other=other, **known)


Meaning = tuple[tuple[Component, ...], tuple[Shape, ...]]
Fail = Callable[[int, str], NoReturn]


def _as_ciao(entries: list[_Joined], fail: Fail) -> Meaning:
    """An excluded shape is taken from the component before it."""
    components: list[Component] = []
    for entry in entries:
        line = entry.components[0][0].line
        if entry.how == "or":
            components += entry.components
        elif not components:
            fail(line, "begins with a shape that is taken away, which CIAO refuses: put field() before it")
        else:
            components[-1] += tuple(_single_shapes(entry, fail))
    return tuple(components), ()


def _as_ds9(entries: list[_Joined], fail: Fail) -> Meaning:
    """An excluded shape is taken from all included ones."""
    components: list[Component] = []
    cuts: list[Shape] = []
    for entry in entries:
        if entry.how == "or":
            components += entry.components
        elif entry.how == "cut":
            cuts += [shape.complemented() for shape in _single_shapes(entry, fail)]
        elif not components:
            fail(entry.components[0][0].line, "is joined to a shape before it, but there is none")
        else:
            components[-1] += tuple(_single_shapes(entry, fail))
    return tuple(components) or ((EVERYWHERE,),), tuple(cuts)


def _single_shapes(entry: _Joined, fail: Fail) -> Iterator[Shape]:
    for component in entry.components:
        if len(component) > 1:
            fail(component[0].line, f"rings of {component[0].kind} can be included, but not joined or taken away")
        yield component[0]


class _Reader:
    """Walks through the lines of a file, minding format, coordinate system and what joins shapes."""

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.format: Format = "ciao"
        self.decorations: list[Shape] = []
        self.settings = ""
        self._lines = text.lstrip("\ufeff").split("\n")
        self._system = PHYSICAL

    def fail(self, line: int, what: str) -> NoReturn:
        raise InputError(f"{self.source}: line {line}: {what}")

    def entries(self) -> Iterator[_Joined]:
        for number, line in enumerate(self._lines, start=1):
            yield from self._entries_of(line.strip(), number)

    def _entries_of(self, line: str, number: int) -> Iterator[_Joined]:
        at, join = 0, ""
        made: list[_Joined] = []
        while at < len(line):
            if line[at].isspace() or line[at] == ";":
                at += 1
            elif line[at] == "#":
                self._comment(line[at + 1 :].strip(), number, made)
                break
            elif line[at] == "{":
                at = self._end_of_braces(line, at, number)
            elif joined := _JOIN.match(line, at):
                join, at = joined[0].replace(" ", ""), joined.end()
            else:
                at, join = self._word(line, at, number, join, made)
        if set(join) - {"|"}:  # DS9 ends the parts of a composite with ||
            self.fail(number, f"ends with {join!r}, which joins no shape")
        yield from made

    def _comment(self, comment: str, number: int, made: list[_Joined]) -> None:
        if made:
            with_properties = [tuple(replace(shape, properties=comment) for shape in component)
                               for component in made[-1].components]
            made[-1] = replace(made[-1], components=with_properties)
            return
        if re.match(r"region file format:\s*(ds9|js9)", comment, re.I):
            self.format = "ds9"
        word = _WORD.match(comment)
        if word and word[0].lower() in _DECORATIONS and comment[word.end() :].lstrip().startswith("("):
            self.decorations.append(self._decoration(word[0].lower(), number, comment))

    def _end_of_braces(self, line: str, at: int, number: int) -> int:
        depth = 0
        for end in range(at, len(line)):
            depth += {"{": 1, "}": -1}.get(line[end], 0)
            if depth == 0:
                return end + 1
        return self.fail(number, "a brace is not closed")

    def _word(self, line: str, at: int, number: int, join: str, made: list[_Joined]) -> tuple[int, str]:
        """Reads what begins with a word: a setting, a system, or a shape. Returns where it ends, and the join left."""
        found = _WORD.match(line, at)
        if found is None:
            self.fail(number, f"cannot be read from {line[at : at + 20]!r} on")
        word, end = found[0].lower(), found.end()
        if word == "global":
            self.format = "ds9"
            self.settings = line[at:]
            return len(line), join
        followed = line[end:].lstrip()[:1]
        if word in _SYSTEMS and followed != "(":
            self.format = "ds9"
            self._system = _SYSTEMS[word]
            return end, join
        if _UNKNOWN_SYSTEMS.match(word) and followed != "(":
            self.fail(number, f"the coordinate system {word} is not supported")
        kind = _NAMES.get(word, word)
        if kind in _DECORATIONS:
            arguments = _TEXT_ARGUMENTS.match(line, end)
            self.decorations.append(self._decoration(kind, number, line[at:]))
            return (arguments.end() if arguments else len(line)), ""
        if kind == "rotrectangle":
            self.fail(number, "CIAO reads no rotrectangle: write it as a rotbox or a polygon")
        if kind not in AREAS and (kind != "panda" or self.format != "ds9"):
            self.fail(number, f"unknown shape or coordinate system {found[0]!r}")
        arguments = _ARGUMENTS.match(line, end) or _BARE_ARGUMENTS.match(line, end)
        if arguments is None:
            self.fail(number, f"{found[0]} needs its numbers in parentheses")
        made.append(self._joined(join, _Numbers(kind, arguments[1], self._system, number, self).components(), number))
        return arguments.end(), ""

    def _decoration(self, kind: str, number: int, text: str) -> Shape:
        return Shape(kind, np.empty((0, 2)), system=self._system, properties=text, line=number)

    def _joined(self, join: str, components: list[Component], number: int) -> _Joined:
        """Signs before a shape: ``-`` and ``!`` take away, ``*`` and ``&`` are AND, ``+``, ``|`` and none are OR."""
        how = "and" if set(join) & {"*", "&"} else "or"
        complement = join.count("!") % 2 == 1
        if "-" in join:
            if how == "and":
                self.fail(number, f"{join!r} joins no shapes: use one of * & + | -, and ! for the outside of a shape")
            how, complement = "cut", not complement
        elif complement and how == "or" and self.format == "ds9":
            how = "cut"
        entry = _Joined(how, components)
        if not complement:
            return entry
        return _Joined(how, [(shape.complemented(),) for shape in _single_shapes(entry, self.fail)])


class _Numbers:
    """The numbers of one shape."""

    def __init__(self, kind: str, text: str, system: str, line: int, reader: _Reader) -> None:
        self._kind = kind
        self._words = _SPLIT.split(text.strip().strip(",")) if text.strip() else []
        self._system = system
        self._line = line
        self._reader = reader

    def fail(self, what: str) -> NoReturn:
        self._reader.fail(self._line, f"{self._kind}: {what}")

    def components(self) -> list[Component]:
        """The shape; several for a set of annuli or pies, a pair for a ring between two ellipses or boxes."""
        if self._kind == "polygon":
            return [(self._shape("polygon", self._polygon()),)]
        if self._reader.format == "ds9" and self._kind in ("annulus", "ellipse", "box", "panda"):
            return self._ds9_set()
        need = AREAS[self._kind]
        optional_angle = self._kind == "box" and len(self._words) == 4
        count = 2 * need.points + need.lengths + need.angles
        if len(self._words) != count and not optional_angle:
            self.fail(f"needs {count} numbers, not {len(self._words)}")
        return [(self._plain(self._kind, self._words),)]

    def _plain(self, kind: str, words: list[str]) -> Shape:
        need = AREAS[kind]
        points = np.array([self._position(*words[2 * i : 2 * i + 2]) for i in range(need.points)]).reshape(-1, 2)
        first, last = 2 * need.points, 2 * need.points + need.lengths
        lengths = tuple(self._length(word) for word in words[first:last])
        angles = tuple(self._angle(word) for word in words[last:]) or (0.0,) * need.angles
        return self._shape(kind, points, lengths, angles)

    def _shape(self, kind: str, points: Floats, lengths: tuple[tuple[float, str], ...] = (),
               angles: tuple[float, ...] = ()) -> Shape:
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

    def _ds9_set(self) -> list[Component]:
        """DS9's shapes with more numbers than others: sets of rings, and pandas (pies and annuli)."""
        words = self._words
        if self._kind == "panda":
            if len(words) != 8:
                self.fail(f"needs 8 numbers, not {len(words)}")
            first, last = self._angle(words[2]), self._angle(words[3])
            angles = self._steps(words[2], repr(first + ((last - first) % 360 or 360)), words[4])
            rings = self._steps(*words[5:8])
            if len(rings) * len(angles) > _MOST_PARTS:
                self.fail(f"has {len(rings)} rings of {len(angles)} parts; {_MOST_PARTS} parts at most are read")
            return [(self._plain("pie", [*words[:2], *r, *a]),) for r in rings for a in angles]
        if self._kind == "annulus":
            if len(words) < 4:
                self.fail(f"needs 4 numbers, not {len(words)}")
            if len(words) == 5 and words[4].startswith("n="):
                rings = self._steps(words[2], words[3], words[4][2:])
            else:
                rings = list(pairwise(words[2:]))
            return [(self._plain("annulus", [*words[:2], *ring]),) for ring in rings]
        if len(words) < 4:
            self.fail(f"needs 5 numbers, not {len(words)}")
        if len(words) in (4, 5):  # without an angle it is 0
            return [(self._plain(self._kind, words),)]
        sizes, angle = words[2:-1], words[-1]
        if len(sizes) % 2:
            self.fail(f"needs pairs of lengths and an angle, not {len(words)} numbers")
        nested = [self._plain(self._kind, [*words[:2], *sizes[i : i + 2], angle]) for i in range(0, len(sizes), 2)]
        return [(outer, inner.complemented()) for inner, outer in pairwise(nested)]

    def _steps(self, first: str, last: str, count: str) -> list[tuple[str, str]]:
        """``count`` ranges from first to last, which have one unit."""
        a, b = _NUMBER.match(first), _NUMBER.match(last)
        if a is None or b is None or not _COUNT.fullmatch(count) or a[2] != b[2]:
            self.fail(f"has a range that cannot be read: {first}, {last}, {count}")
        edges = [f"{edge!r}{a[2]}" for edge in np.linspace(float(a[1]), float(b[1]), int(count) + 1).tolist()]
        return list(pairwise(edges))

    def _polygon(self) -> Floats:
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
        """Many hh:mm:ss,dd:mm:ss at once."""
        fields = np.array(":".join(words).split(":"), dtype=float).reshape(-1, 2, 3)
        too_large = (fields[:, :, 1:] >= 60).any(axis=2).ravel()
        if too_large.any():
            self._fail_minutes(words[int(too_large.argmax())])
        values = np.abs(fields) @ [1, 1 / 60, 1 / 3600]
        signs = np.where([word.startswith("-") for word in words], -1, 1).reshape(-1, 2)
        self._enter_sky()
        return np.asarray(values * signs * [self._hours(), 1])

    def _position(self, x: str, y: str) -> tuple[float, float]:
        values: list[float] = []
        for word in (x, y):
            sexagesimal = _SEXAGESIMAL.match(word)
            if sexagesimal:
                self._enter_sky()
                sign, *parts = sexagesimal.groups()
                if max(float(parts[1]), float(parts[2])) >= 60:
                    self._fail_minutes(word)
                value = sum(float(part) / base for part, base in zip(parts, (1, 60, 3600), strict=True))
                in_hours = not values and (":" in word or "h" in word.lower())
                values.append((-value if sign == "-" else value) * (self._hours() if in_hours else 1))
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

    def _fail_minutes(self, word: str) -> NoReturn:
        self.fail(f"the coordinate {word} has minutes or seconds that are not below 60")

    def _enter_sky(self) -> None:
        """Sky coordinates in a file of pixels are in the frame of the image, as CIAO reads them."""
        if self._system in PIXEL_SYSTEMS:
            self._system = WCS

    def _hours(self) -> int:
        return 1 if self._system in ("galactic", "ecliptic") else 15

    def _length(self, word: str) -> tuple[float, str]:
        value, suffix = self._number(word)
        if suffix in _UNITS:
            return value * _UNITS[suffix], DEGREES
        if suffix:
            return value, PHYSICAL if suffix == "p" else IMAGE
        if self._reader.format == "ds9" and self._system not in PIXEL_SYSTEMS:
            return value, DEGREES
        return value, IMAGE if self._system == IMAGE else PHYSICAL

    def _angle(self, word: str) -> float:
        value, suffix = self._number(word)
        if suffix not in ("", "d"):
            self.fail(f"cannot read the angle {word!r}")
        return value

    def _number(self, word: str) -> tuple[float, str]:
        number = _NUMBER.match(word)
        if number is None:
            self.fail(f"cannot read the number {word!r}")
        value = float(number[1])
        if not np.isfinite(value):
            self.fail(f"the number {word} is not finite")
        return value, number[2].lower()
