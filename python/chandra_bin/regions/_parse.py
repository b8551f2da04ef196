"""Parser of region text in CIAO's and DS9's dialects."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from chandra_bin.errors import InputError

from ._numbers import PANDAS, ShapeNumbers
from ._shapes import AREAS, EVERYWHERE, IMAGE, PHYSICAL, Component, Format, Region, Semantics, Shape, bin_tag

_SYSTEMS = {
    "image": IMAGE, "logical": IMAGE, "physical": PHYSICAL, "wcs": "fk5", "fk5": "fk5", "j2000": "fk5", "icrs": "icrs",
    "galactic": "galactic", "fk4": "fk4", "b1950": "fk4", "ecliptic": "ecliptic",
}
_UNKNOWN_SYSTEMS = re.compile(r"(linear|amplifier|detector|wcs[a-z])$")
_NAMES = {"rotbox": "box", "cpanda": "panda"}
# The shortest forms of names that CIAO reads; longer parts of the full name are valid too.
_SHORTEST = {"circle": "cir", "ellipse": "ell", "point": "poi", "polygon": "poly", "rectangle": "rect",
             "sector": "sect"}
# DS9 may write the marker of a point before the word "point".
_MARKED_POINT = re.compile(r"(?:circle|box|diamond|cross|x|arrow|boxcircle)\s+(?=point\b)", re.I)
_DECORATIONS = {"text", "line", "vector", "ruler", "compass", "projection", "segment", "composite"}

_WORD = re.compile(r"[a-z_][a-z0-9_]*", re.I)
_JOIN = re.compile(r"[-+!|&*](?:\s*[-+!|&*])*")
_ARGUMENTS = re.compile(r"\s*\(([^()]*)\)")
_TEXT_ARGUMENTS = re.compile(r"\s*\(((?:[^()\"]|\"[^\"]*\")*)\)")
_BARE_ARGUMENTS = re.compile(r"\s+([^;#{(|&*]+)")
# The rest of a DS9 statement, including semicolons and # in quotes or braces.
_STATEMENT = re.compile(r"(?:[^;#\"{]|\"[^\"]*\"|\{[^}]*\}|[\"{])*")
# A comment of a CIAO file that gives the bin of the shapes below it.
_BIN = re.compile(r"bin (\d+)\s*$")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'|\{[^}]*\}")


@dataclass(frozen=True)
class _Joined:
    """Shapes of one entry of the file (a set of annuli is one entry), and how they join those before."""

    how: str  # "or", "and", "cut"
    components: list[Component]


def parse_regions(text: str, source: str = "the region", semantics: Semantics | None = None) -> Region:
    """Return a region from the text of a CIAO or DS9 file.

    ``semantics`` states what an excluded shape, ``-shape``, is subtracted from: the component before it (``ciao``), or
    all included shapes (``ds9``); None follows the format of the file. Raises `InputError` with source and line for
    text that cannot be read, and for a file without shapes.
    """
    if not isinstance(text, str):
        raise InputError(f"text is of the type {type(text).__name__}: give the text of a region file; a Region, or one "
                         "of astropy's, needs no parsing")
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
        with suppress(InputError):  # the other reader rejects the file
            other = Region(*meanings["ds9" if chosen == "ciao" else "ciao"](entries, reader.fail), **known)
    return Region(components, cuts, other=other, **known)


Meaning = tuple[tuple[Component, ...], tuple[Shape, ...]]
Fail = Callable[[int, str], NoReturn]


def _as_ciao(entries: list[_Joined], fail: Fail) -> Meaning:
    """Subtract an excluded shape from the component before it."""
    components: list[Component] = []
    for entry in entries:
        line = entry.components[0][0].line
        if entry.how == "or":
            components += entry.components
        elif not components:
            fail(line, "begins with an excluded or joined shape, which CIAO rejects: put field() before it")
        else:
            components[-1] += tuple(_single_shapes(entry, fail))
    return tuple(components), ()


def _as_ds9(entries: list[_Joined], fail: Fail) -> Meaning:
    """Subtract an excluded shape from all included shapes."""
    components: list[Component] = []
    cuts: list[Shape] = []
    for entry in entries:
        if entry.how == "or":
            components += entry.components
        elif entry.how == "cut":
            cuts += [shape.complemented() for shape in _single_shapes(entry, fail)]
        elif not components:
            fail(entry.components[0][0].line, "is joined to a shape before it, but no shape precedes it")
        else:
            components[-1] += tuple(_single_shapes(entry, fail))
    return tuple(components) or ((EVERYWHERE,),), tuple(cuts)


def _single_shapes(entry: _Joined, fail: Fail) -> Iterator[Shape]:
    """Yield the shapes of an entry; raise an error for components of several shapes."""
    for component in entry.components:
        if len(component) > 1:
            fail(component[0].line, f"rings of {component[0].kind} can be included, but not joined or excluded")
        yield component[0]


class _Reader:
    """Reader of region text that tracks format, coordinate system and joining of shapes."""

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.format: Format = "ciao"
        self.decorations: list[Shape] = []
        self.settings = ""
        self._lines = text.lstrip("\ufeff").split("\n")
        self._system = PHYSICAL
        self._tag = ""

    def fail(self, line: int, what: str) -> NoReturn:
        """Raise an error about a line."""
        raise InputError(f"{self.source}: line {line}: {what}")

    def entries(self) -> Iterator[_Joined]:
        """Yield the entries of all lines."""
        for number, line in enumerate(self._lines, start=1):
            yield from self._entries_of(line.strip(), number)

    def _entries_of(self, line: str, number: int) -> Iterator[_Joined]:
        """Yield the entries of a line."""
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
        if set(join) - {"|"}:  # DS9 ends parts of a composite with ||
            self.fail(number, f"ends with {join!r}, but no shape follows")
        yield from made

    def _comment(self, comment: str, number: int, made: list[_Joined]) -> None:
        """Process a comment: properties, file format, bin number or decoration."""
        if made:
            with_properties = [tuple(replace(shape, properties=comment) for shape in component)
                               for component in made[-1].components]
            made[-1] = replace(made[-1], components=with_properties)
            return
        if re.match(r"region file format:\s*(ds9|js9)", comment, re.I):
            self.format = "ds9"
        if self.format == "ciao" and (named := _BIN.match(comment)):
            self._tag = bin_tag(int(named[1]))
        word = _WORD.match(comment)
        if word and word[0].lower() in _DECORATIONS and comment[word.end() :].lstrip().startswith("("):
            self.decorations.append(self._decoration(word[0].lower(), number, comment))

    def _end_of_braces(self, line: str, at: int, number: int) -> int:
        """Return the position after a group in braces."""
        depth = 0
        for end in range(at, len(line)):
            depth += {"{": 1, "}": -1}.get(line[end], 0)
            if depth == 0:
                return end + 1
        return self.fail(number, "a brace is not closed")

    def _word(self, line: str, at: int, number: int, join: str, made: list[_Joined]) -> tuple[int, str]:
        """Process a setting, a system, or a shape; return the position after it and the remaining join."""
        found = _WORD.match(line, at)
        if found is None:
            self.fail(number, f"cannot be read from {line[at : at + 20]!r}")
        word, end = found[0].lower(), found.end()
        if word == "global":
            return self._global(line, at, number), join
        followed = line[end:].lstrip()[:1]
        if word in _SYSTEMS and followed != "(":
            self.format = "ds9"
            self._system = _SYSTEMS[word]
            return end, join
        if _UNKNOWN_SYSTEMS.match(word) and followed != "(":
            self.fail(number, f"the coordinate system {word} is not supported")
        if marked := _MARKED_POINT.match(line, at):
            return marked.end(), join
        kind = _full_name(word)
        if kind in _DECORATIONS:
            arguments = _TEXT_ARGUMENTS.match(line, end) or _STATEMENT.match(line, end)
            self.decorations.append(self._decoration(kind, number, line[at:]))
            return (arguments.end() if arguments else len(line)), ""
        if kind == "rotrectangle":
            self.fail(number, "CIAO does not read rotrectangle: write a rotbox or a polygon")
        if kind not in AREAS and (kind not in PANDAS or self.format != "ds9"):
            self.fail(number, f"unknown shape or coordinate system {found[0]!r}")
        arguments = _ARGUMENTS.match(line, end) or _BARE_ARGUMENTS.match(line, end)
        if arguments is None:
            self.fail(number, f"{found[0]} needs its numbers in parentheses")
        numbers = ShapeNumbers(kind, arguments[1], self._system, self.format, number, self.fail)
        components = [tuple(replace(shape, properties=self._tag) for shape in component)
                      for component in numbers.components()] if self._tag else numbers.components()
        made.append(self._joined(join, components, number))
        return arguments.end(), ""

    def _global(self, line: str, at: int, number: int) -> int:
        """Process DS9's global properties; return the position after them."""
        self.format = "ds9"
        found = _STATEMENT.match(line, at)
        end = found.end() if found else len(line)
        self.settings = line[at:end].strip()
        bare = re.sub(r"\s*=\s*", "=", _QUOTED.sub("", self.settings))
        for word in bare.lower().split()[1:]:
            if word in _SYSTEMS or _UNKNOWN_SYSTEMS.match(word):
                self.fail(number, f"the coordinate system {word} is on the line of global properties, where DS9 "
                                  "rejects it: write it on a separate line")
        return end

    def _decoration(self, kind: str, number: int, text: str) -> Shape:
        """Return a decoration as a shape."""
        return Shape(kind, np.empty((0, 2)), system=self._system, properties=text, line=number)

    def _joined(self, join: str, components: list[Component], number: int) -> _Joined:
        """Apply the signs before a shape: ``-`` and ``!`` exclude, ``*`` and ``&`` mean AND, others or none mean OR."""
        how = "and" if set(join) & {"*", "&"} else "or"
        complement = join.count("!") % 2 == 1
        if "-" in join:
            if how == "and":
                self.fail(number, f"{join!r} cannot join shapes: use one of * & + | -, and ! for a shape's outside")
            how, complement = "cut", not complement
        elif complement and how == "or" and self.format == "ds9":
            how = "cut"
        entry = _Joined(how, components)
        if not complement:
            return entry
        return _Joined(how, [(shape.complemented(),) for shape in _single_shapes(entry, self.fail)])


def _full_name(word: str) -> str:
    """Return the full name of a shape from a short form of CIAO."""
    name = next((full for full, least in _SHORTEST.items() if full.startswith(word) and word.startswith(least)), word)
    return _NAMES.get(name, name)
