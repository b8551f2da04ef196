"""Parser of virtual file names, in one pass from left to right.

    name    = path { "[" step "]" }
    step    = block | filter | "#row=" rows | "cols" columns | "bin" axes [...] | "opt" options
    filter  = [ "exclude" | "filter" ] term { "," term }
    term    = column "=" range { "," range } | columns "=" shapes | columns "=" "region(" file ")"
            | columns "=" "mask(" file ")" | "@" file

A comma ends a value; the next value belongs to the same column, unless it begins like a term. There is no recursion,
and no pattern backtracks over more than one word, so any text is parsed or rejected in linear time.
"""

import difflib
import math
import re
from typing import NoReturn

from ._axes import read_axes
from ._shapes import BEGINS_SHAPES, BEGINS_TERM, SHAPE_WORD, read_shapes, shapes_end
from ._steps import (
    Binning,
    Bits,
    BitsTerm,
    Block,
    Columns,
    Filter,
    GtiTerm,
    MaskTerm,
    Options,
    Range,
    RangeTerm,
    RegionTerm,
    Rows,
    Step,
    Term,
    VirtualFile,
    number_text,
    shortened,
)
from ._text import NUMBER, WORD, NameText

_BLOCK = re.compile(r"[A-Za-z_][A-Za-z0-9_.+-]*(?:\s+[A-Za-z_][A-Za-z0-9_.+-]*)*|[0-9]+")
_KEYWORD = re.compile(r"(exclude|filter|bin|cols?|columns|opt|option|subspace)(?=[\s=/]|$)", re.I)
_ROW = re.compile(r"#row\b", re.I)
_TRUTHS = {"t": 1.0, "true": 1.0, "f": 0.0, "false": 0.0}
_BITS = re.compile(r"b[01x]+|[01]+x[01x]*|x[01x]+", re.I)
_JOINED = re.compile(r"&&?|\|\|?|;|\s(?:and|or)\s", re.I)
_LOOSE_PAIR = re.compile(r",\s*[A-Za-z_]\w*\s*=\s*[A-Za-z]+\s*\(")
_COMPARISON = re.compile(r"==|!=|<>|>=?|<=?|~")

_OPTIONS = {
    "type": "i2, i4, r4 or r8", "null": "NaN or a number", "full": "nothing", "update": "yes or no",
    "scale": "yes or no", "mem": "a number of megabytes", "kernel": "fits",
}
_KINDS = ("an energy range [energy=500:7000], [exclude sky=region(f.reg)], [@good.gti], [#row=1:5], [cols x,y], "
          "[bin sky=4], [opt type=i4] or a block, [EVENTS]")
_KEYWORDS = ("exclude", "filter", "bin", "cols", "opt")


def parse_name(text: str) -> VirtualFile:
    """Parse a virtual file name into a file and its steps: ``evt2.fits[energy=500:7000,ccd_id=0:3][bin sky=4]``.

    No file is opened. Raises `VirtualNameError`, one line with the position of the character and the remedy.
    """
    return _Reader(text).name()


class _Reader(NameText):
    """Parser of the steps of one name."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._steps: list[Step] = []
        self._seen: set[type[Step]] = set()
        self._options: dict[str, str] = {}

    # --- the frame ---------------------------------------------------------------------------------------------------

    def name(self) -> VirtualFile:
        """Return the parsed name."""
        text = self.text
        nul = text.find("\0")
        if nul >= 0:
            self.fail(nul, "a file name cannot contain the character NUL")
        at = text.find("[")
        path = text[: at if at >= 0 else len(text)]
        if "]" in path:
            self.fail(path.index("]"), "this ] has no matching [ before it")
        if not path.strip():
            self.fail(0, "the name of a file is missing")
        if at >= 0:
            self.match_brackets(at)
        while 0 <= at < len(text):
            at = self.blanks(at)
            if at == len(text):
                break
            if text[at] != "[":
                self.fail(at, f"{self.shown(at, len(text))} follows the brackets: put filters into [..]")
            end = self.closing[at]
            self._add(self._step(at + 1, end), at + 1)
            at = end + 1
        return VirtualFile(path.strip(), tuple(self._steps), text)

    def _add(self, step: Step, at: int) -> None:
        """Add a step if it is allowed at this position."""
        if isinstance(step, Block) and self._steps:
            first = self._steps[0]
            if isinstance(first, Block):
                self.fail(at, f"a second block: [{first.name}] is already chosen")
            self.fail(at, f"{self.shown(at, self.closing[at - 1])} is the name of a block, which must come first; "
                          "a filter is written [column=lo:hi]")
        if isinstance(step, Rows) and self._seen & {Filter, Rows}:
            self.fail(at, "[#row=..] counts the rows of the file: write it once, before all filters")
        if Binning in self._seen and not isinstance(step, Options):
            if isinstance(step, Binning):
                self.fail(at, "a second [bin ..]: write all axes in one, [bin x=..,y=..]")
            self.fail(at, "only [opt ..] can follow [bin ..]: write this before it")
        if isinstance(step, Options):
            twice = sorted(self._options.keys() & step.values.keys())
            if twice:
                self.fail(at, f"the option {twice[0]} is set twice")
            self._options |= step.values
        self._seen.add(type(step))
        self._steps.append(step)

    def _step(self, at: int, end: int) -> Step:
        """Return the step of one pair of brackets."""
        text = self.text
        at, end = self.trim(at, end)
        if at == end:
            self.fail(at, f"empty brackets: write {_KINDS}")
        keyword = _KEYWORD.match(text, at, end)
        if keyword:
            return self._keyword(keyword[1].lower(), at, keyword.end(), end)
        if _ROW.match(text, at, end):
            return self._rows(at, end)
        block = _BLOCK.fullmatch(text, at, end)
        if block:
            if not block[0].isdigit():
                return Block(" ".join(block[0].lower().split()), at)
            if len(block[0]) > 6 or int(block[0]) < 1:
                self.fail(at, "block numbers start at 1, the primary block")
            return Block(int(block[0]), at)
        return self._filter(at, end, at, exclude=False)

    def _keyword(self, word: str, at: int, after: int, end: int) -> Step:
        """Return a step that begins with a keyword."""
        begin = self.blanks(after)
        following = self.text[begin : begin + 1] if begin < end else ""
        if word == "subspace":
            self.fail(at, "[subspace ..] is not supported here: leave it out")
        if following == "=":
            example = {"exclude": "exclude energy=500:7000", "filter": "filter energy=500:7000", "bin": "bin sky=4"}
            self.fail(begin, f"no = after {word}: write [{example.get(word, word + ' ..')}]")
        if following == "/":
            self.fail(begin, "[bin/..] is not supported: write [bin ..][opt type=r4] for the type of the image")
        if begin >= end:
            self.fail(end, f"nothing follows {word}: write {_KINDS}")
        if word in ("exclude", "filter"):
            return self._filter(begin, end, at, exclude=word == "exclude")
        if word == "bin":
            return read_axes(self, begin, end, at)
        if word.startswith("col"):
            return self._columns(begin, end, at)
        return self._opt(begin, end, at)

    # --- filters -----------------------------------------------------------------------------------------------------

    def _filter(self, at: int, end: int, begin: int, *, exclude: bool) -> Filter:
        """Return a filter."""
        terms: list[Term] = []
        names: set[str] = set()
        while True:
            at = self.blanks(at)
            if at >= end:
                self.fail(end, "a term is missing after the comma" if terms else "a term is missing")
            term, after = self._term(at, end)
            name = "" if isinstance(term, GtiTerm) else str(term).partition("=")[0]
            if name in names:
                self.fail(at, f"{name} is filtered twice here: write its ranges as one list, {name}=1:2,5:6, to join "
                              "them by OR, or in separate brackets to join them by AND")
            names |= {name} if name else set()
            terms.append(term)
            if after >= end:
                return Filter(tuple(terms), exclude, begin)
            at = after + 1

    def _term(self, at: int, end: int) -> tuple[Term, int]:
        """Return a term, and the position of the comma after it or the end."""
        text = self.text
        if text[at] == "@":
            after = self.comma(at, end)
            first, last = self.trim(at + 1, after)
            if first == last:
                self.fail(last, "the name of a GTI file is missing after @")
            return GtiTerm(text[first:last], at), after
        if _ROW.match(text, at, end):
            self.fail(at, "#row must be in separate brackets before all filters: [#row=1:5]")
        columns, after = self.pair(at, end) if text[at] == "(" else self._column(at, end)
        value = self._equals(at, after, end)
        if BEGINS_SHAPES.match(text, value, end):
            return self._region(columns, at, value, end)
        if len(columns) == 2:
            self.fail(value, f"two columns need a shape: write ({','.join(columns)})=circle(4096,4096,20)")
        return self._values(columns[0], at, value, end)

    def _column(self, at: int, end: int) -> tuple[tuple[str, ...], int]:
        """Return the name of a column, and the position after it."""
        word = WORD.match(self.text, at, end)
        if word is None:
            after = self.comma(at, end)
            if re.match(r"[-+.\d]", self.text[at]):
                value = self.bare(at, after)
                self.fail(at, f"'{value}': the name of a column is missing: write [column={value}]; for an image, "
                              "write [bin x=LOW:HIGH:1,y=LOW:HIGH:1] instead of a section [1:10,1:10]")
            self.fail(at, f"{self.shown(at, after)} is not understood: write {_KINDS}")
        return (word[0].lower(),), word.end()

    def _equals(self, at: int, after: int, end: int) -> int:
        """Skip the = after a column and return the position of its value."""
        text = self.text
        name = self.bare(at, after)
        equals = self.blanks(after)
        comparison = _COMPARISON.match(text, equals, end)
        if comparison:
            limit = self.bare(comparison.end(), self.comma(comparison.end(), end)) or "500"
            cure = {"==": f"{name}={limit}", "!=": f"[exclude {name}={limit}]", "<>": f"[exclude {name}={limit}]"}
            half = f"{name}={limit}:" if ">" in comparison[0] else f"{name}=:{limit}"
            self.fail(equals, f"'{comparison[0]}' is not part of the syntax: write {cure.get(comparison[0], half)}")
        if equals >= end or text[equals] != "=":
            self._fail_word(at, after, equals, end)
        value = self.blanks(equals + 1)
        if value >= end or text[value] == ",":
            self.fail(min(value, end), f"a value is missing: write {name}=lo:hi")
        return value

    def _fail_word(self, at: int, after: int, equals: int, end: int) -> NoReturn:
        """Raise the error for a word without =."""
        text, name = self.text, self.bare(at, after)
        alike = difflib.get_close_matches(name.lower()[:20], _KEYWORDS, 1)
        if alike and text[after : after + 1].isspace():
            self.fail(at, f"'{name}' is not a keyword: do you mean {alike[0]}?")
        if text[equals : equals + 1] == "," and _LOOSE_PAIR.match(text, equals, end):
            self.fail(at, f"put the two columns of a shape in parentheses: ({name},..)=..")
        if text[equals : equals + 1] == "(" and name.lower() not in ("region", "mask"):
            self.fail(at, f"a shape needs columns: write sky={name}(..)")
        if text[equals : equals + 1] == "(":
            self.fail(at, f"write sky={name}(..)")
        if text[equals : equals + 1] in ("-", "+", ".", ":") or text[equals : equals + 1].isdigit():
            self.fail(equals if equals < end else at, f"= is missing after '{name}': write "
                      f"{name}={self.bare(equals, self.comma(equals, end))}")
        self.fail(at, f"'{name}' is not understood: write {_KINDS}")

    def _values(self, column: str, at: int, begin: int, end: int) -> tuple[Term, int]:
        """Return a term with a list of ranges or of bit patterns."""
        ranges: list[Range] = []
        bits: list[Bits] = []
        while True:
            after = self.comma(begin, end)
            first, last = self.trim(begin, after)
            word = self.text[first:last]
            if not word:
                self.fail(first, f"a value of {column} is missing, or there is an extra comma")
            if _BITS.fullmatch(word):
                if ranges:
                    self.fail(first, f"{self.shown(first, last)} is a bit pattern, but the value before it is not")
                bits.append(Bits(word.lower().removeprefix("b")))
            else:
                if bits:
                    self.fail(first, f"{self.shown(first, last)} is not a bit pattern (0, 1, x), but the value before "
                                     "it is: begin it with b")
                ranges.append(self._range(column, first, last))
            if after >= end or BEGINS_TERM.match(self.text, after + 1, end):
                return (BitsTerm(column, tuple(bits), at) if bits else RangeTerm(column, tuple(ranges), at)), after
            begin = after + 1

    def _range(self, column: str, at: int, end: int) -> Range:
        """Return a range or a single value."""
        text = self.text
        if text[at] == "=":
            self.fail(at, f"too many =: write {column}=500:7000")
        joined = _JOINED.search(text, at, end)
        if joined:
            self.fail(joined.start(), f"'{joined[0].strip()}' is not part of the syntax: join terms by commas (and), "
                                      "and values of one column by commas (or)")
        colon = text.find(":", at, end)
        if colon < 0:
            truth = _TRUTHS.get(text[at:end].lower())
            if truth is not None:
                return Range(truth, truth, "T" if truth else "F")
            value = self.number(at, end, column, "lo:hi")
            return Range(value, value, text[at:end])
        second = text.find(":", colon + 1, end)
        if second >= 0:
            self.fail(second, f"a range has one colon, {column}=lo:hi; steps are for [bin {column}=lo:hi:step]")
        lo = self._end(at, colon, column)
        hi = self._end(colon + 1, end, column)
        if lo is None and hi is None:
            self.fail(at, f"a range without limits: write {column}=lo:hi, {column}=lo: or {column}=:hi")
        if lo is not None and hi is not None and lo > hi:
            self.fail(at, f"the lower limit is above the upper one: write {column}={number_text(hi)}:{number_text(lo)}")
        return Range(lo, hi, number_text(lo) if lo is not None and lo == hi else "")

    def _end(self, at: int, end: int, column: str) -> float | None:
        """Return a limit of a range; None if it is open."""
        at, end = self.trim(at, end)
        return self.number(at, end, column, "lo:hi") if at < end else None

    # --- regions -----------------------------------------------------------------------------------------------------

    def _region(self, columns: tuple[str, ...], at: int, begin: int, end: int) -> tuple[Term, int]:
        """Return shapes, a region file or a mask as a term."""
        after = shapes_end(self, begin, end)
        word = SHAPE_WORD.match(self.text, begin, after)
        if word and word[1].lower() in ("region", "mask"):
            close = self.closing[word.end() - 1]
            first, last = self.trim(word.end(), close)
            if first == last:
                self.fail(first, f"the name of a file is missing in {word[1]}()")
            behind = self.blanks(close + 1)
            if behind < after:
                self.fail(behind, f"{word[1]}(file) cannot be joined to shapes: write both in separate brackets, "
                                  "[sky=region(f.reg)][exclude sky=circle(..)]")
            if word[1].lower() == "mask":
                return MaskTerm(columns, self.text[first:last], at), after
            return RegionTerm(columns, file=self.text[first:last], at=at), after
        return RegionTerm(columns, text=read_shapes(self, begin, after), at=at), after

    # --- the other steps ---------------------------------------------------------------------------------------------

    def _rows(self, at: int, end: int) -> Rows:
        """Return the row numbers of ``#row=``."""
        equals = self.blanks(at + len("#row"))
        if equals >= end or self.text[equals] != "=":
            self.fail(equals, "= is missing after #row: write [#row=1:5]")
        ranges: list[tuple[int | None, int | None]] = []
        begin = equals + 1
        while True:
            after = self.comma(begin, end)
            first, last = self.trim(begin, after)
            lo, colon, hi = self.text[first:last].partition(":")
            ends = [self._row(word.strip(), first) for word in (lo, hi if colon else lo)]
            if ends[0] is None and ends[1] is None:
                self.fail(first, "the number of a row is missing: write [#row=1:5]")
            if ends[0] is not None and ends[1] is not None and ends[0] > ends[1]:
                self.fail(first, f"the first row is after the last: write #row={ends[1]}:{ends[0]}")
            ranges.append((ends[0], ends[1]))
            if after >= end:
                return Rows(tuple(ranges), at)
            begin = after + 1

    def _row(self, word: str, at: int) -> int | None:
        """Return a row number; None if it is open."""
        if not word:
            return None
        if not re.fullmatch(r"[0-9]{1,18}", word) or int(word) < 1:
            self.fail(at, f"'{shortened(word, 40)}' is not a row number: rows are numbered from 1, write "
                          "[#row=1:5]; put filters in separate brackets")
        return int(word)

    def _columns(self, at: int, end: int, begin: int) -> Columns:
        """Return the columns of ``cols``."""
        names: dict[str, int] = {}
        drops: list[bool] = []
        while True:
            after = self.comma(at, end)
            first, last = self.trim(at, after)
            drop = self.text[first:last].startswith(("-", "!"))
            word = self.blanks(first + drop)
            name = self.text[word:last]
            if not WORD.fullmatch(name):
                hint = ("columns cannot be renamed here" if "=" in name else
                        "columns are chosen by their names" if name.startswith("#") else
                        "all columns are kept without [cols ..]" if name == "*" else
                        "write [cols time,x,y] or [cols -phas]")
                self.fail(first, f"{self.shown(first, last)} is not a column name; {hint}")
            if name.lower() in names:
                self.fail(first, f"the column {name.lower()} is named twice")
            names[name.lower()] = word
            drops.append(drop)
            if drop != drops[0]:
                self.fail(first, "write the columns to keep, [cols time,x,y], or those to remove, [cols -phas,-pi], "
                                 "not both")
            if after >= end:
                return Columns(tuple(names), drops[0], begin, tuple(names.values()))
            at = after + 1

    def _opt(self, at: int, end: int, begin: int) -> Options:
        """Return the options of ``opt``."""
        values: dict[str, str] = {}
        while True:
            after = self.comma(at, end)
            first, last = self.trim(at, after)
            name, equals, value = self.text[first:last].lower().partition("=")
            name, value = name.strip(), value.strip()
            if name not in _OPTIONS:
                self.fail(first, f"{self.shown(first, last)} is not an option: {', '.join(_OPTIONS)}")
            if name in values:
                self.fail(first, f"the option {name} is set twice")
            if not self._fits(name, value) or (equals and not value):
                self.fail(first, f"{self.shown(first, last)}: the value of {name} must be {_OPTIONS[name]}")
            values[name] = value
            if after >= end:
                return Options(values, begin)
            at = after + 1

    @staticmethod
    def _fits(name: str, value: str) -> bool:
        """Return whether an option accepts this value."""
        if name in ("mem", "null"):
            number = NUMBER.fullmatch(value)
            return (name == "null" and value == "nan") or (number is not None and math.isfinite(float(value)))
        allowed = {"type": ("i2", "i4", "r4", "r8"), "full": ("",), "kernel": ("fits",)}
        return value in allowed.get(name, ("yes", "no"))

