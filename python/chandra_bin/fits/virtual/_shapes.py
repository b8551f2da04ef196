"""Shapes in a virtual file name, as CIAO reads them: ``sky=circle(4096,4096,20)-box(..)``."""

import re

from ._steps import shortened
from ._text import NUMBER, NameText

# The beginning of a list of shapes, and of a term.
BEGINS_SHAPES = re.compile(r"[-+!|&*\s]*[A-Za-z_]+\s*\(")
BEGINS_TERM = re.compile(r"\s*(?:[A-Za-z_][A-Za-z0-9_]*\s*[=<>!~(]|[(@#])")
_JOIN = re.compile(r"\s*([-+|&*]?)\s*(!?)\s*")
SHAPE_WORD = re.compile(r"([A-Za-z_]+)\s*\(")
_SHAPE_NUMBER = re.compile(
    rf"\s*(?:[-+]?\d+[:hd]\d+(?:\.\d*)?(?:[:m]\d+(?:\.\d*)?s?|m)?|{NUMBER.pattern}[\"'dpir]?)\s*",
    re.IGNORECASE | re.ASCII)
# Allowed numbers of values of each shape, and the shortest form of its name.
_SHAPES = {
    "annulus": ({4}, "annulus"), "box": ({4, 5}, "box"), "circle": ({3}, "cir"), "ellipse": ({5}, "ell"),
    "field": ({0}, "field"), "pie": ({6}, "pie"), "point": ({2}, "poi"), "polygon": (None, "poly"),
    "rectangle": ({4}, "rect"), "rotbox": ({5}, "rotbox"), "sector": ({4}, "sect"),
}
_JOINS = "shapes are joined by + (or), * (and), - (but not)"


def shapes_end(name: NameText, begin: int, end: int) -> int:
    """Return the position of the comma after shapes, or the end."""
    after = name.comma(begin, end)
    if after < end and not BEGINS_TERM.match(name.text, after + 1, end):
        at = name.blanks(after + 1)
        if at >= end:
            name.fail(end, "a term is missing after the comma")
        name.fail(at, f"{name.shown(at, name.comma(at, end))} is not a term: {_JOINS}")
    shape = SHAPE_WORD.match(name.text, name.blanks(after + 1), end) if after < end else None
    if shape:
        name.fail(shape.start(), f"{_JOINS}, and terms begin with column=")
    return after


def read_shapes(name: NameText, at: int, end: int) -> str:
    """Return CIAO's text of shapes without blanks. The values of the numbers are not checked."""
    text = name.text
    parts: list[str] = []
    while True:
        join = _JOIN.match(text, at, end)
        assert join is not None  # it may be empty
        if parts and join.end() >= end and not join[0].strip():
            return "".join(parts)
        if parts and not join[1]:
            name.fail(min(join.end(), end), f"{name.shown(join.end(), end)} follows a shape: {_JOINS}")
        if not parts and join[1]:
            cure = "write field() before it, or [exclude ..]" if join[1] == "-" else "remove it"
            name.fail(join.start(1), f"'{join[1]}' precedes the first shape: {cure}")
        if join[1] == "-" and join[2]:
            name.fail(join.start(1), "'-!' cannot join shapes: write * for the shape itself")
        word = SHAPE_WORD.match(text, join.end(), end)
        if word is None:
            name.fail(min(join.end(), end), f"a shape is expected here: {', '.join(_SHAPES)}")
        close = name.closing[word.end() - 1]
        parts += [join[1], join[2], _shape(name, word[1], word.start(), word.end(), close)]
        at = close + 1


def _shape(name: NameText, word: str, at: int, first: int, close: int) -> str:
    """Return one shape with its full lower-case name."""
    kind = next((full for full, (_, least) in _SHAPES.items()
                 if full.startswith(word.lower()) and word.lower().startswith(least)), None)
    if word.lower() == "region":
        name.fail(at, "region(file) cannot be joined to shapes: write both in separate brackets, "
                      "[sky=circle(..)][exclude sky=region(f.reg)]")
    if word.lower() in ("mask", "bounds"):
        name.fail(at, f"{word}(..) is not supported here")
    if kind is None:
        name.fail(at, f"unknown shape '{shortened(word, 40)}'; CIAO's shapes are {', '.join(_SHAPES)}")
    counts = _SHAPES[kind][0]
    numbers = _shape_numbers(name, kind, first, close)
    if counts is None and (len(numbers) < 6 or len(numbers) % 2):
        name.fail(at, f"{kind} needs pairs of numbers, at least 3, not {len(numbers)} numbers")
    if counts is not None and len(numbers) not in counts:
        name.fail(at, f"{kind} needs {' or '.join(map(str, sorted(counts)))} numbers, not {len(numbers)}")
    return f"{kind}({','.join(numbers)})"


def _shape_numbers(name: NameText, kind: str, at: int, close: int) -> list[str]:
    """Return the numbers of a shape as text."""
    numbers: list[str] = []
    if name.blanks(at) >= close:
        return numbers
    while True:
        comma = name.text.find(",", at, close)
        end = comma if comma >= 0 else close
        if not _SHAPE_NUMBER.fullmatch(name.text, at, end):
            first, last = name.trim(at, end)
            name.fail(first, f"{name.shown(first, last)} is not a valid number in {kind}(..)")
        numbers.append(name.text[at:end].strip())
        if comma < 0:
            return numbers
        at = comma + 1
