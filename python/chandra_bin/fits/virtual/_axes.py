"""The axes of an image in a virtual file name: ``[bin sky=4]``, ``[bin x=1:100:2,y=1:100:2]``."""

import re

from ._shapes import BEGINS_SHAPES
from ._steps import BinAxis, Binning, number_text
from ._text import NUMBER, WORD, NameText

# More bins indicate a wrong step; as float64 their edges alone take 0.8 GB.
MOST_BINS = 100_000_000


def read_axes(name: NameText, at: int, end: int, begin: int) -> Binning:
    """Return all axes. Raises `VirtualNameError` if there are more than two, or one is binned twice."""
    weight = name.text.find(";", at, end)
    if weight >= 0:
        name.fail(weight, "weights, [bin ..;column], are not supported here")
    axes: list[BinAxis] = []
    while True:
        at = name.blanks(at)
        if at >= end:
            name.fail(end, "an axis is missing after the comma")
        new, after = _axis(name, at, end)
        for axis in new:
            if axis.column in {one.column for one in axes}:
                name.fail(at, f"{axis.column} is binned twice: write each axis once")
            axes.append(axis)
        if len(axes) > 2 or (len(axes) == 2 and "sky" in {axis.column for axis in axes}):
            name.fail(at, "more than two axes (sky is two, x and y): at most two can be binned")
        if after >= end:
            return Binning(tuple(axes), begin)
        at = after + 1


def _axis(name: NameText, at: int, end: int) -> tuple[list[BinAxis], int]:
    """Return one axis, or the two of ``(x,y)=..``, and the position of the comma after it."""
    text = name.text
    if text[at] == "(":
        columns, after = name.pair(at, end)
    else:
        word = WORD.match(text, at, end)
        if word is None:
            value = name.bare(at, name.comma(at, end))
            cure = f"[bin sky={value}]" if NUMBER.fullmatch(value) else "[bin sky=4] or [bin time=::100]"
            name.fail(at, f"'{value}' is not the name of a column: write {cure}")
        columns, after = (word[0].lower(),), word.end()
    written = name.bare(at, after)
    equals = name.blanks(after)
    if equals >= end or text[equals] == ",":
        return [BinAxis(column, at=at) for column in columns], min(equals, end)
    if text[equals] != "=":
        name.fail(equals, f"= is missing after '{written}': write [bin {written}=lo:hi:step]")
    comma = name.comma(equals + 1, end)
    first, last = name.trim(equals + 1, comma)
    if first == last:
        name.fail(first, f"a value is missing: write [bin {written}=4] or [bin {written}=lo:hi:step]")
    if text[first] == "@" or BEGINS_SHAPES.match(text, first, last):
        name.fail(first, "region bins are not supported here: filter with [sky=region(f.reg)], then bin")
    lo, hi, step, count = _grid(name, columns[0], first, last)
    return [BinAxis(column, lo, hi, step, count, at) for column in columns], comma


def _grid(name: NameText, column: str, at: int,
          end: int) -> tuple[float | None, float | None, float | None, int | None]:
    """Parse ``lo:hi:step``, ``lo:hi:#count``, ``lo:hi`` or ``step``."""
    text = name.text
    parts: list[tuple[int, int]] = []
    begin = at
    while len(parts) < 3:
        colon = text.find(":", begin, end)
        parts.append(name.trim(begin, colon if colon >= 0 else end))
        if colon < 0:
            break
        begin = colon + 1
    else:
        name.fail(begin - 1, f"too many colons: write [bin {column}=lo:hi:step]")
    if len(parts) == 1:
        parts = [(at, at), (at, at), *parts]
    form = "lo:hi:step"
    lo, hi = (name.number(*part, column, form) if part[0] < part[1] else None for part in parts[:2])
    if lo is not None and hi is not None and lo > hi:
        name.fail(at, f"the lower limit is above the upper one: write {column}={number_text(hi)}:{number_text(lo)}")
    if len(parts) == 2 or parts[2][0] >= parts[2][1]:
        return lo, hi, None, None
    first, last = parts[2]
    if text[first] == "#":
        word = text[first + 1 : last].strip()
        if not re.fullmatch(r"[0-9]{1,18}", word) or not 1 <= int(word) <= MOST_BINS:
            name.fail(first, f"{name.shown(first, last)} is not a valid number of bins: give a whole number from 1 to "
                             f"{MOST_BINS}, such as #512")
        return lo, hi, None, int(word)
    step = name.number(first, last, column, form)
    if step <= 0:
        name.fail(first, f"the step {name.shown(first, last)} must be above 0")
    if lo is not None and hi is not None and (hi - lo) / step > MOST_BINS:
        name.fail(first, f"the step {name.shown(first, last)} makes more than {MOST_BINS} bins")
    return lo, hi, step, None
