"""The language of virtual file names, and stacks."""

import glob
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from .errors import ToolError


@dataclass(frozen=True)
class Range:
    """low <= value < high, or equality; ends of columns of integers count both."""

    low: float
    high: float
    single: bool


@dataclass(frozen=True)
class Term:
    """``ranges`` of a column, a ``region`` or a ``mask`` of the sky, or good times (``gti``)."""

    kind: str
    column: str = ""
    ranges: tuple[Range, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class Filter:
    terms: tuple[Term, ...]
    exclude: bool = False


@dataclass(frozen=True)
class Axis:
    column: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    count: int | None = None


@dataclass
class Name:
    """A virtual file."""

    path: Path
    block: str = ""
    filters: list[Filter] = field(default_factory=list)
    axes: list[Axis] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)


_SKY = {"sky", "(x,y)", "pos"}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")


def parse(text: str) -> Name:
    """What a virtual file name says."""
    start = text.find("[")
    name = Name(Path(text if start < 0 else text[:start]))
    if not str(name.path) or " " in str(name.path):
        raise ToolError(f"DM Parse error: bad file name in {text!r}")
    for position, part in enumerate(_brackets("" if start < 0 else text[start:], text)):
        words = part.split(None, 1)
        first = words[0].lower() if words else ""
        rest = words[1].strip() if len(words) > 1 else ""
        if first == "bin":
            name.axes = [_axis(each, text) for each in split(rest, ",")]
        elif first in ("opt", "option"):
            name.options.update(_options(rest))
        elif first == "exclude":
            name.filters.append(Filter(_terms(rest, text), exclude=True))
        elif position == 0 and re.fullmatch(r"\w+", part):
            name.block = part
        else:
            name.filters.append(Filter(_terms(part, text)))
    return name


def _brackets(rest: str, whole: str) -> list[str]:
    parts, depth, first = [], 0, 0
    for n, letter in enumerate(rest):
        if letter == "[":
            depth += 1
            first = n + 1 if depth == 1 else first
        elif letter == "]":
            depth -= 1
            if depth == 0:
                parts.append(rest[first:n].strip())
        elif depth == 0:
            raise ToolError(f"DM Parse error: unexpected {letter!r} in {whole!r}")
        if depth < 0:
            break
    if depth:
        raise ToolError(f"DM Parse error: unbalanced brackets in {whole!r}")
    return parts


def split(text: str, letter: str) -> list[str]:
    """Parts of a text, not cut inside parentheses or brackets."""
    parts, depth = [""], 0
    for each in text:
        depth += (each in "([") - (each in ")]")
        if each == letter and depth == 0:
            parts.append("")
        else:
            parts[-1] += each
    return [part.strip() for part in parts]


def _options(text: str) -> dict[str, str]:
    found = {}
    for part in split(text, ","):
        key, _, value = part.partition("=")
        found[key.strip().lower()] = value.strip()
    return found


def _terms(text: str, whole: str) -> tuple[Term, ...]:
    terms: list[Term] = []
    for part in split(text, ","):
        if part.startswith("@"):
            terms.append(Term("gti", text=part[1:]))
            continue
        key, equals, value = _at_equals(part)
        if not equals:
            if not terms or terms[-1].kind != "ranges":
                raise ToolError(f"DM Parse error: {part!r} in {whole!r}")
            terms[-1] = Term("ranges", terms[-1].column, (*terms[-1].ranges, _range(part, whole)))
        elif key.lower() in _SKY or key.replace(" ", "").lower() in _SKY:
            inside = re.fullmatch(r"mask\((.*)\)", value, re.IGNORECASE)
            terms.append(Term("mask", text=inside[1]) if inside else Term("region", text=value))
        else:
            terms.append(Term("ranges", key.lower(), (_range(value, whole),)))
    return tuple(terms)


def _at_equals(part: str) -> tuple[str, str, str]:
    depth = 0
    for n, each in enumerate(part):
        depth += (each in "([") - (each in ")]")
        if each == "=" and depth == 0:
            return part[:n].strip(), "=", part[n + 1:].strip()
    return part, "", ""


def _range(text: str, whole: str) -> Range:
    ends = text.split(":")
    for end in ends:
        if end.strip() and not _NUMBER.match(end.strip()):
            raise ToolError(f"DM Parse error: {end!r} is no number in {whole!r}")
    if len(ends) == 1:
        return Range(float(text), float(text), single=True)
    low, high = (float(end) if end.strip() else math.inf for end in ends[:2])
    return Range(-math.inf if not ends[0].strip() else low, high, single=False)


def _axis(text: str, whole: str) -> Axis:
    column, _, limits = text.partition("=")
    column = column.strip().lower()
    parts = limits.split(":") if limits else []
    if len(parts) == 1:
        parts = ["", "", *parts]
    values = [each.strip() for each in [*parts, "", "", ""][:3]]
    try:
        low, high = (float(each) if each else None for each in values[:2])
        if values[2].startswith("#"):
            return Axis(column, low, high, count=int(values[2][1:]))
        return Axis(column, low, high, float(values[2]) if values[2] else None)
    except ValueError:
        raise ToolError(f"DM Parse error: {text!r} in {whole!r}") from None


def stack(text: str) -> list[str]:
    """The files of a stack: names joined by commas or blanks, wildcards, ``@list``, ``@-list``, ``@list[filter]``."""
    found: list[str] = []
    for part in split(text.replace("\t", " "), ","):
        for word in filter(None, split(part, " ")):
            found += _listed(word) if word.startswith("@") else _wild(word)
    return found


def _wild(word: str) -> list[str]:
    start = word.find("[")
    path, rest = (word, "") if start < 0 else (word[:start], word[start:])
    if "*" not in path and "?" not in path:
        return [word]
    return [each + rest for each in sorted(glob.glob(path))]


def _listed(word: str) -> list[str]:
    start = word.find("[")
    path, rest = (word[1:], "") if start < 0 else (word[1:start], word[start:])
    as_is = path.startswith("-")
    file = Path(path.removeprefix("-"))
    try:
        lines = [line.strip() for line in file.read_text().splitlines()]
    except OSError:
        raise ToolError(f"Unable to open stack file {file}") from None
    return [(line if as_is or line.startswith("/") else str(file.parent / line)) + rest
            for line in lines if line and not line.startswith("#")]
