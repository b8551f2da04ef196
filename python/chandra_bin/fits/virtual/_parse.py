"""The text of a virtual file name, read from left to right in one pass.

    name    = path { "[" step "]" }
    step    = block | filter | "#row=" rows | "cols" columns | "bin" axes [...] | "opt" options
    filter  = [ "exclude" | "filter" ] term { "," term }
    term    = column "=" range { "," range } | columns "=" shapes | columns "=" "region(" file ")"
            | columns "=" "mask(" file ")" | "@" file

A comma ends a value; what follows is the next value of the same column, unless it begins like a term. Nothing here
calls itself, and no pattern can go back more than over one word: any text is read, or refused, in linear time.
"""

import difflib
import math
import re
from bisect import bisect_left
from typing import NoReturn

from ._steps import (
    BinAxis,
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
    name_error,
    number_text,
    shortened,
)

MOST_BINS = 100_000_000  # an axis with more is a slip of the pen

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BLOCK = re.compile(r"[A-Za-z_][A-Za-z0-9_.+-]*(?:\s+[A-Za-z_][A-Za-z0-9_.+-]*)*|[0-9]+")
_KEYWORD = re.compile(r"(exclude|filter|bin|cols?|columns|opt|option|subspace)(?=[\s=/]|$)", re.I)
_ROW = re.compile(r"#row\b", re.I)
_BEGINS_TERM = re.compile(r"\s*(?:[A-Za-z_][A-Za-z0-9_]*\s*[=<>!~(]|[(@#])")
_BEGINS_SHAPES = re.compile(r"[-+!|&*\s]*[A-Za-z_]+\s*\(")
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
_DASHED = re.compile(rf"({_NUMBER.pattern})\s*(?:-|\.\.\.?|to)\s*({_NUMBER.pattern})", re.ASCII)
_TRUTHS = {"t": 1.0, "true": 1.0, "f": 0.0, "false": 0.0}
_BITS = re.compile(r"b[01x]+|[01]+x[01x]*|x[01x]+", re.I)
_JOINED = re.compile(r"&&?|\|\|?|;|\s(?:and|or)\s", re.I)
_JOIN = re.compile(r"\s*([-+|&*]?)\s*(!?)\s*")
_SHAPE_WORD = re.compile(r"([A-Za-z_]+)\s*\(")
_SHAPE_NUMBER = re.compile(
    rf"\s*(?:[-+]?\d+[:hd]\d+(?:\.\d*)?(?:[:m]\d+(?:\.\d*)?s?|m)?|{_NUMBER.pattern}[\"'dpir]?)\s*",
    re.IGNORECASE | re.ASCII)
_LOOSE_PAIR = re.compile(r",\s*[A-Za-z_]\w*\s*=\s*[A-Za-z]+\s*\(")
_COMPARISON = re.compile(r"==|!=|<>|>=?|<=?|~")

# Numbers of each shape, and the shortest form of its name.
_SHAPES = {
    "annulus": ({4}, "annulus"), "box": ({4, 5}, "box"), "circle": ({3}, "cir"), "ellipse": ({5}, "ell"),
    "field": ({0}, "field"), "pie": ({6}, "pie"), "point": ({2}, "poi"), "polygon": (None, "poly"),
    "rectangle": ({4}, "rect"), "rotbox": ({5}, "rotbox"), "sector": ({4}, "sect"),
}
_OPTIONS = {
    "type": "i2, i4, r4 or r8", "null": "NaN or a number", "full": "nothing", "update": "yes or no",
    "scale": "yes or no", "mem": "a number of megabytes", "kernel": "fits",
}
_KINDS = ("an energy range [energy=500:7000], [exclude sky=region(f.reg)], [@good.gti], [#row=1:5], [cols x,y], "
          "[bin sky=4], [opt type=i4] or a block, [EVENTS]")
_JOINS = "shapes are joined by + (or), * (and), - (but not)"
_KEYWORDS = ("exclude", "filter", "bin", "cols", "opt")


def parse_name(text: str) -> VirtualFile:
    """The file and the steps that a virtual file name means: ``evt2.fits[energy=500:7000,ccd_id=0:3][bin sky=4]``.

    Opens nothing. Raises `VirtualNameError`, one line that points at the character and says what to write instead.
    """
    return _Reader(text).name()


class _Reader:
    """Reads one name. Positions are offsets in the text; a part is from ``at`` to before ``end``."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._closing: dict[int, int] = {}  # where each bracket and parenthesis is closed
        self._commas: list[int] = []  # those outside parentheses and names of files
        self._steps: list[Step] = []
        self._seen: set[type[Step]] = set()
        self._options: dict[str, str] = {}

    def fail(self, at: int, message: str) -> NoReturn:
        raise name_error(self._text, at, message)

    def shown(self, at: int, end: int) -> str:
        """A part of the text, in quotes, as messages show it."""
        return f"'{shortened(self._text[at:end].strip(), 40)}'"

    # --- the frame ---------------------------------------------------------------------------------------------------

    def name(self) -> VirtualFile:
        text = self._text
        nul = text.find("\0")
        if nul >= 0:
            self.fail(nul, "a file name cannot hold the character NUL")
        at = text.find("[")
        path = text[: at if at >= 0 else len(text)]
        if "]" in path:
            self.fail(path.index("]"), "this ] closes nothing: the [ before it is missing")
        if not path.strip():
            self.fail(0, "the name of a file is missing")
        if at >= 0:
            self._match_brackets(at)
        while 0 <= at < len(text):
            at = self._blanks(at)
            if at == len(text):
                break
            if text[at] != "[":
                self.fail(at, f"{self.shown(at, len(text))} stands behind the brackets: filters go into [..]")
            end = self._closing[at]
            self._add(self._step(at + 1, end), at + 1)
            at = end + 1
        return VirtualFile(path.strip(), tuple(self._steps), text)

    def _match_brackets(self, first: int) -> None:
        """Finds the end of each bracket and parenthesis. Those of names of files inside filters count too."""
        opened: list[int] = []
        in_file = False  # behind @, to the next comma: brackets belong to the file, @f.fits[GTI7]
        for match in re.finditer(r"[][(),@]", self._text[first:]):
            char, at = match[0], first + match.start()
            if char in ",@":
                if len(opened) == 1:
                    in_file = char == "@"
                    self._commas += [at] * (char == ",")
            elif char in "[(":
                if not opened:
                    in_file = False
                if char == "[" and len(opened) == 1 and not in_file:
                    self.fail(opened[0], "this bracket is not closed before the next one begins: add ]")
                opened.append(at)
            else:
                if not opened:
                    what = "bracket" if char == "]" else "parenthesis"
                    self.fail(at, f"this closing {what} closes nothing: leave it out")
                last = opened.pop()
                if self._text[last] + char not in ("[]", "()"):
                    self._fail_open(*((last, "") if char == "]" else (at, "closing ")))
                self._closing[last] = at
        if opened:
            self._fail_open(opened[-1], "")

    def _fail_open(self, at: int, which: str) -> NoReturn:
        if which:
            self.fail(at, "this closing parenthesis closes nothing: leave it out")
        what, closer = ("bracket", "]") if self._text[at] == "[" else ("parenthesis", ")")
        self.fail(at, f"this {what} is not closed: add {closer}")

    def _add(self, step: Step, at: int) -> None:
        """Adds a step, where it may stand."""
        if isinstance(step, Block) and self._steps:
            first = self._steps[0]
            if isinstance(first, Block):
                self.fail(at, f"a second block: [{first.name}] is chosen already")
            self.fail(at, f"{self.shown(at, self._closing[at - 1])} is the name of a block, which must come first; "
                          "a filter is written [column=lo:hi]")
        if isinstance(step, Rows) and self._seen & {Filter, Rows}:
            self.fail(at, "[#row=..] counts the rows of the file: write it once, before all filters")
        if Binning in self._seen and not isinstance(step, Options):
            if isinstance(step, Binning):
                self.fail(at, "a second bin: write all axes in one, [bin x=..,y=..]")
            self.fail(at, "only [opt ..] can follow [bin ..]: write this before it")
        if isinstance(step, Options):
            twice = sorted(self._options.keys() & step.values.keys())
            if twice:
                self.fail(at, f"the option {twice[0]} is set twice")
            self._options |= step.values
        self._seen.add(type(step))
        self._steps.append(step)

    def _step(self, at: int, end: int) -> Step:
        """What one pair of brackets holds."""
        text = self._text
        at, end = self._trim(at, end)
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
                self.fail(at, "blocks are numbered from 1, the primary one, on")
            return Block(int(block[0]), at)
        return self._filter(at, end, at, exclude=False)

    def _keyword(self, word: str, at: int, after: int, end: int) -> Step:
        """What begins with a word of the language."""
        begin = self._blanks(after)
        following = self._text[begin : begin + 1] if begin < end else ""
        if word == "subspace":
            self.fail(at, "[subspace ..] is not supported here: leave it out")
        if following == "=":
            example = {"exclude": "exclude energy=500:7000", "filter": "filter energy=500:7000", "bin": "bin sky=4"}
            self.fail(begin, f"no = behind {word}: write [{example.get(word, word + ' ..')}]")
        if following == "/":
            self.fail(begin, "[bin/..] is not supported: write [bin ..][opt type=r4] for the type of the image")
        if begin >= end:
            self.fail(end, f"nothing behind {word}: write {_KINDS}")
        if word in ("exclude", "filter"):
            return self._filter(begin, end, at, exclude=word == "exclude")
        if word == "bin":
            return self._binning(begin, end, at)
        if word.startswith("col"):
            return self._columns(begin, end, at)
        return self._opt(begin, end, at)

    # --- filters -----------------------------------------------------------------------------------------------------

    def _filter(self, at: int, end: int, begin: int, *, exclude: bool) -> Filter:
        terms: list[Term] = []
        names: set[str] = set()
        while True:
            at = self._blanks(at)
            if at >= end:
                self.fail(end, "a term is missing behind the comma" if terms else "a term is missing")
            term, after = self._term(at, end)
            name = "" if isinstance(term, GtiTerm) else str(term).partition("=")[0]
            if name in names:
                self.fail(at, f"{name} is filtered twice here: write its ranges as one list, {name}=1:2,5:6, for "
                              "either, or in brackets of their own for both")
            names |= {name} if name else set()
            terms.append(term)
            if after >= end:
                return Filter(tuple(terms), exclude, begin)
            at = after + 1

    def _term(self, at: int, end: int) -> tuple[Term, int]:
        """A term, and where the comma behind it is, or the end."""
        text = self._text
        if text[at] == "@":
            after = self._comma(at, end)
            first, last = self._trim(at + 1, after)
            if first == last:
                self.fail(last, "the name of a file of good times is missing behind @")
            return GtiTerm(text[first:last], at), after
        if _ROW.match(text, at, end):
            self.fail(at, "#row stands in brackets of its own, before all filters: [#row=1:5]")
        columns, after = self._pair(at, end) if text[at] == "(" else self._column(at, end)
        value = self._equals(at, after, end)
        if _BEGINS_SHAPES.match(text, value, end):
            return self._region(columns, at, value, end)
        if len(columns) == 2:
            self.fail(value, f"two columns take a shape: write ({','.join(columns)})=circle(4096,4096,20)")
        return self._values(columns[0], at, value, end)

    def _column(self, at: int, end: int) -> tuple[tuple[str, ...], int]:
        word = _WORD.match(self._text, at, end)
        if word is None:
            after = self._comma(at, end)
            if re.match(r"[-+.\d]", self._text[at]):
                value = self.bare(at, after)
                self.fail(at, f"'{value}': the name of a column is missing: write [column={value}]; of an image, "
                              "whose sections [1:10,1:10] are not read, [bin x=LOW:HIGH:1,y=LOW:HIGH:1]")
            self.fail(at, f"{self.shown(at, after)} is not understood: write {_KINDS}")
        return (word[0].lower(),), word.end()

    def bare(self, at: int, end: int) -> str:
        return shortened(self._text[at:end].strip(), 40)

    def _pair(self, at: int, end: int) -> tuple[tuple[str, ...], int]:
        """Two columns, ``(x,y)``."""
        close = self._closing[at]
        words: list[str] = []
        if close < end and close - at < 200:
            words = [word.strip() for word in self._text[at + 1 : close].split(",")]
        if len(words) != 2 or not all(_WORD.fullmatch(word) for word in words):
            self.fail(at, "a parenthesis here holds two columns, (x,y)=circle(..); terms are joined by commas (and), "
                          "or stand in brackets of their own")
        return tuple(word.lower() for word in words), close + 1

    def _equals(self, at: int, after: int, end: int) -> int:
        """Goes over the = behind a column; returns where its value begins."""
        text = self._text
        name = self.bare(at, after)
        equals = self._blanks(after)
        comparison = _COMPARISON.match(text, equals, end)
        if comparison:
            limit = self.bare(comparison.end(), self._comma(comparison.end(), end)) or "500"
            cure = {"==": f"{name}={limit}", "!=": f"[exclude {name}={limit}]", "<>": f"[exclude {name}={limit}]"}
            half = f"{name}={limit}:" if ">" in comparison[0] else f"{name}=:{limit}"
            self.fail(equals, f"'{comparison[0]}' is not part of the language: write {cure.get(comparison[0], half)}")
        if equals >= end or text[equals] != "=":
            self._fail_word(at, after, equals, end)
        value = self._blanks(equals + 1)
        if value >= end or text[value] == ",":
            self.fail(min(value, end), f"a value is missing: write {name}=lo:hi")
        return value

    def _fail_word(self, at: int, after: int, equals: int, end: int) -> NoReturn:
        """A word without its =."""
        text, name = self._text, self.bare(at, after)
        alike = difflib.get_close_matches(name.lower()[:20], _KEYWORDS, 1)
        if alike and text[after : after + 1].isspace():
            self.fail(at, f"'{name}' is not a word of the language: do you mean {alike[0]}?")
        if text[equals : equals + 1] == "," and _LOOSE_PAIR.match(text, equals, end):
            self.fail(at, f"two columns of one shape stand in parentheses: ({name},..)=..")
        if text[equals : equals + 1] == "(" and name.lower() not in ("region", "mask"):
            self.fail(at, f"a shape belongs to columns: write sky={name}(..)")
        if text[equals : equals + 1] == "(":
            self.fail(at, f"write sky={name}(..)")
        if text[equals : equals + 1] in ("-", "+", ".", ":") or text[equals : equals + 1].isdigit():
            self.fail(equals if equals < end else at, f"= is missing behind '{name}': write "
                      f"{name}={self.bare(equals, self._comma(equals, end))}")
        self.fail(at, f"'{name}' is not understood: write {_KINDS}")

    def _values(self, column: str, at: int, begin: int, end: int) -> tuple[Term, int]:
        """A list of ranges or of bits."""
        ranges: list[Range] = []
        bits: list[Bits] = []
        while True:
            after = self._comma(begin, end)
            first, last = self._trim(begin, after)
            word = self._text[first:last]
            if not word:
                self.fail(first, f"a value of {column} is missing, or a comma too many")
            if _BITS.fullmatch(word):
                if ranges:
                    self.fail(first, f"{self.shown(first, last)} is a pattern of bits, the value before it is not")
                bits.append(Bits(word.lower().removeprefix("b")))
            else:
                if bits:
                    self.fail(first, f"{self.shown(first, last)} is no pattern of bits (0, 1, x), the value before it "
                                     "is: begin it with b")
                ranges.append(self._range(column, first, last))
            if after >= end or _BEGINS_TERM.match(self._text, after + 1, end):
                return (BitsTerm(column, tuple(bits), at) if bits else RangeTerm(column, tuple(ranges), at)), after
            begin = after + 1

    def _range(self, column: str, at: int, end: int) -> Range:
        text = self._text
        if text[at] == "=":
            self.fail(at, f"one = is enough: write {column}=500:7000")
        joined = _JOINED.search(text, at, end)
        if joined:
            self.fail(joined.start(), f"'{joined[0].strip()}' is not part of the language: terms are joined by commas "
                                      "(and), values of one column too (or)")
        colon = text.find(":", at, end)
        if colon < 0:
            truth = _TRUTHS.get(text[at:end].lower())
            if truth is not None:
                return Range(truth, truth, "T" if truth else "F")
            value = self._number(at, end, column, "lo:hi")
            return Range(value, value, text[at:end])
        second = text.find(":", colon + 1, end)
        if second >= 0:
            self.fail(second, f"a range has one colon, {column}=lo:hi; steps are for [bin {column}=lo:hi:step]")
        lo = self._end(at, colon, column)
        hi = self._end(colon + 1, end, column)
        if lo is None and hi is None:
            self.fail(at, f"a range without ends: write {column}=lo:hi, {column}=lo: or {column}=:hi")
        if lo is not None and hi is not None and lo > hi:
            self.fail(at, f"the range begins above its end: write {column}={number_text(hi)}:{number_text(lo)}")
        return Range(lo, hi, number_text(lo) if lo is not None and lo == hi else "")

    def _end(self, at: int, end: int, column: str) -> float | None:
        """An end of a range; None where it is open."""
        at, end = self._trim(at, end)
        return self._number(at, end, column, "lo:hi") if at < end else None

    def _number(self, at: int, end: int, column: str, form: str) -> float:
        text = self._text
        if _NUMBER.fullmatch(text, at, end):
            value = float(text[at:end])
            if math.isfinite(value):
                return value
            self.fail(at, f"{self.shown(at, end)} is too large")
        word = text[at:end]
        shown = self.shown(at, end)
        if re.fullmatch(r"[-+]?(nan|inf|infinity|indef)", word[:20], re.I):
            self.fail(at, f"{shown} is not a number that values can be compared with; an open range is {column}=500:")
        dashed = _DASHED.fullmatch(text, at, end)
        if dashed:
            self.fail(at, f"{shown} is not a number; a range has a colon: write {column}={dashed[1]}:{dashed[2]}")
        if re.match(r"(region|mask)\b", word, re.I) or word.lower().endswith((".reg", ".fits")):
            self.fail(at, f"{shown} is not a number; write {column}=region(file)")
        if word and len(word) < 40:
            guess = word.translate(str.maketrans("oOlI", "0011"))
            if _NUMBER.fullmatch(guess):
                self.fail(at, f"{shown} is not a number: do you mean {guess}?")
        return self.fail(at, f"{shown} is not a number; write {column}={form}")

    # --- regions -----------------------------------------------------------------------------------------------------

    def _region(self, columns: tuple[str, ...], at: int, begin: int, end: int) -> tuple[Term, int]:
        """Shapes, or the file that holds them, or a mask."""
        after = self._shapes_end(begin, end)
        word = _SHAPE_WORD.match(self._text, begin, after)
        if word and word[1].lower() in ("region", "mask"):
            close = self._closing[word.end() - 1]
            first, last = self._trim(word.end(), close)
            if first == last:
                self.fail(first, f"the name of a file is missing in {word[1]}()")
            behind = self._blanks(close + 1)
            if behind < after:
                self.fail(behind, f"{word[1]}(file) cannot be joined to shapes: write both in brackets of their own, "
                                  "[sky=region(f.reg)][exclude sky=circle(..)]")
            if word[1].lower() == "mask":
                return MaskTerm(columns, self._text[first:last], at), after
            return RegionTerm(columns, file=self._text[first:last], at=at), after
        return RegionTerm(columns, text=self._shapes(begin, after), at=at), after

    def _shapes_end(self, begin: int, end: int) -> int:
        """Where the comma behind shapes is, or the end."""
        after = self._comma(begin, end)
        if after < end and not _BEGINS_TERM.match(self._text, after + 1, end):
            at = self._blanks(after + 1)
            if at >= end:
                self.fail(end, "a term is missing behind the comma")
            self.fail(at, f"{self.shown(at, self._comma(at, end))} is no term: {_JOINS}")
        shape = _SHAPE_WORD.match(self._text, self._blanks(after + 1), end) if after < end else None
        if shape:
            self.fail(shape.start(), f"{_JOINS}, and terms begin with column=")
        return after

    def _shapes(self, at: int, end: int) -> str:
        """CIAO's text of shapes, checked but for the values of the numbers; blanks are left out."""
        text = self._text
        parts: list[str] = []
        while True:
            join = _JOIN.match(text, at, end)
            assert join is not None  # it may be empty
            if parts and join.end() >= end and not join[0].strip():
                return "".join(parts)
            if parts and not join[1]:
                self.fail(min(join.end(), end), f"{self.shown(join.end(), end)} follows a shape: {_JOINS}")
            if not parts and join[1]:
                cure = "write field() before it, or [exclude ..]" if join[1] == "-" else "leave it out"
                self.fail(join.start(1), f"'{join[1]}' stands before the first shape: {cure}")
            if join[1] == "-" and join[2]:
                self.fail(join.start(1), "'-!' joins no shapes: write * for the shape itself")
            word = _SHAPE_WORD.match(text, join.end(), end)
            if word is None:
                self.fail(min(join.end(), end), f"a shape is expected here: {', '.join(_SHAPES)}")
            close = self._closing[word.end() - 1]
            parts += [join[1], join[2], self._shape(word[1], word.start(), word.end(), close)]
            at = close + 1

    def _shape(self, name: str, at: int, first: int, close: int) -> str:
        """One shape, its name in full and in lower case."""
        kind = next((full for full, (_, least) in _SHAPES.items()
                     if full.startswith(name.lower()) and name.lower().startswith(least)), None)
        if name.lower() == "region":
            self.fail(at, "region(file) cannot be joined to shapes: write both in brackets of their own, "
                          "[sky=circle(..)][exclude sky=region(f.reg)]")
        if name.lower() in ("mask", "bounds"):
            self.fail(at, f"{name}(..) is not supported here")
        if kind is None:
            self.fail(at, f"unknown shape '{shortened(name, 40)}'; CIAO's shapes are {', '.join(_SHAPES)}")
        counts = _SHAPES[kind][0]
        numbers = self._shape_numbers(kind, first, close)
        if counts is None and (len(numbers) < 6 or len(numbers) % 2):
            self.fail(at, f"{kind} needs pairs of numbers, at least 3, not {len(numbers)} numbers")
        if counts is not None and len(numbers) not in counts:
            self.fail(at, f"{kind} needs {' or '.join(map(str, sorted(counts)))} numbers, not {len(numbers)}")
        return f"{kind}({','.join(numbers)})"

    def _shape_numbers(self, kind: str, at: int, close: int) -> list[str]:
        numbers: list[str] = []
        if self._blanks(at) >= close:
            return numbers
        while True:
            comma = self._text.find(",", at, close)
            end = comma if comma >= 0 else close
            if not _SHAPE_NUMBER.fullmatch(self._text, at, end):
                first, last = self._trim(at, end)
                self.fail(first, f"{self.shown(first, last)} is not a number of {kind}(..)")
            numbers.append(self._text[at:end].strip())
            if comma < 0:
                return numbers
            at = comma + 1

    # --- the other steps ---------------------------------------------------------------------------------------------

    def _rows(self, at: int, end: int) -> Rows:
        equals = self._blanks(at + len("#row"))
        if equals >= end or self._text[equals] != "=":
            self.fail(equals, "= is missing behind #row: write [#row=1:5]")
        ranges: list[tuple[int | None, int | None]] = []
        begin = equals + 1
        while True:
            after = self._comma(begin, end)
            first, last = self._trim(begin, after)
            lo, colon, hi = self._text[first:last].partition(":")
            ends = [self._row(word.strip(), first) for word in (lo, hi if colon else lo)]
            if ends[0] is None and ends[1] is None:
                self.fail(first, "the number of a row is missing: write [#row=1:5]")
            if ends[0] is not None and ends[1] is not None and ends[0] > ends[1]:
                self.fail(first, f"the rows begin behind their end: write #row={ends[1]}:{ends[0]}")
            ranges.append((ends[0], ends[1]))
            if after >= end:
                return Rows(tuple(ranges), at)
            begin = after + 1

    def _row(self, word: str, at: int) -> int | None:
        if not word:
            return None
        if not re.fullmatch(r"[0-9]{1,18}", word) or int(word) < 1:
            self.fail(at, f"'{shortened(word, 40)}' is not the number of a row: rows are numbered from 1 on, write "
                          "[#row=1:5]; filters stand in brackets of their own")
        return int(word)

    def _columns(self, at: int, end: int, begin: int) -> Columns:
        names: dict[str, int] = {}
        drops: list[bool] = []
        while True:
            after = self._comma(at, end)
            first, last = self._trim(at, after)
            drop = self._text[first:last].startswith(("-", "!"))
            word = self._blanks(first + drop)
            name = self._text[word:last]
            if not _WORD.fullmatch(name):
                hint = ("columns cannot be renamed here" if "=" in name else
                        "columns are chosen by their names" if name.startswith("#") else
                        "all columns are kept without [cols ..]" if name == "*" else
                        "write [cols time,x,y] or [cols -phas]")
                self.fail(first, f"{self.shown(first, last)} is not the name of a column; {hint}")
            if name.lower() in names:
                self.fail(first, f"the column {name.lower()} is named twice")
            names[name.lower()] = word
            drops.append(drop)
            if drop != drops[0]:
                self.fail(first, "write the columns to keep, [cols time,x,y], or those to leave out, [cols -phas,-pi], "
                                 "not both")
            if after >= end:
                return Columns(tuple(names), drops[0], begin, tuple(names.values()))
            at = after + 1

    def _binning(self, at: int, end: int, begin: int) -> Binning:
        weight = self._text.find(";", at, end)
        if weight >= 0:
            self.fail(weight, "weights, [bin ..;column], are not supported here")
        axes: list[BinAxis] = []
        while True:
            at = self._blanks(at)
            if at >= end:
                self.fail(end, "an axis is missing behind the comma")
            new, after = self._axis(at, end)
            for axis in new:
                if axis.column in {one.column for one in axes}:
                    self.fail(at, f"{axis.column} is binned twice: write each axis once")
                axes.append(axis)
            if len(axes) > 2 or (len(axes) == 2 and "sky" in {axis.column for axis in axes}):
                self.fail(at, "more than two axes (sky is two, x and y): at most two can be binned")
            if after >= end:
                return Binning(tuple(axes), begin)
            at = after + 1

    def _axis(self, at: int, end: int) -> tuple[list[BinAxis], int]:
        """An axis, or the two of ``(x,y)=..``, and where the comma behind it is."""
        text = self._text
        if text[at] == "(":
            columns, after = self._pair(at, end)
        else:
            word = _WORD.match(text, at, end)
            if word is None:
                value = self.bare(at, self._comma(at, end))
                cure = f"[bin sky={value}]" if _NUMBER.fullmatch(value) else "[bin sky=4] or [bin time=::100]"
                self.fail(at, f"'{value}' is not the name of a column: write {cure}")
            columns, after = (word[0].lower(),), word.end()
        name = self.bare(at, after)
        equals = self._blanks(after)
        if equals >= end or text[equals] == ",":
            return [BinAxis(column, at=at) for column in columns], min(equals, end)
        if text[equals] != "=":
            self.fail(equals, f"= is missing behind '{name}': write [bin {name}=lo:hi:step]")
        comma = self._comma(equals + 1, end)
        first, last = self._trim(equals + 1, comma)
        if first == last:
            self.fail(first, f"a value is missing: write [bin {name}=4] or [bin {name}=lo:hi:step]")
        if text[first] == "@" or _BEGINS_SHAPES.match(text, first, last):
            self.fail(first, "bins that are regions are not supported here: filter, [sky=region(f.reg)], then bin")
        lo, hi, step, count = self._grid(columns[0], first, last)
        return [BinAxis(column, lo, hi, step, count, at) for column in columns], comma

    def _grid(self, column: str, at: int, end: int) -> tuple[float | None, float | None, float | None, int | None]:
        """``lo:hi:step``, ``lo:hi:#count``, ``lo:hi`` or ``step``."""
        text = self._text
        parts: list[tuple[int, int]] = []
        begin = at
        while len(parts) < 3:
            colon = text.find(":", begin, end)
            parts.append(self._trim(begin, colon if colon >= 0 else end))
            if colon < 0:
                break
            begin = colon + 1
        else:
            self.fail(begin - 1, f"a colon too many: write [bin {column}=lo:hi:step]")
        if len(parts) == 1:
            parts = [(at, at), (at, at), *parts]
        form = "lo:hi:step"
        lo, hi = (self._number(*part, column, form) if part[0] < part[1] else None for part in parts[:2])
        if lo is not None and hi is not None and lo > hi:
            self.fail(at, f"the range begins above its end: write {column}={number_text(hi)}:{number_text(lo)}")
        if len(parts) == 2 or parts[2][0] >= parts[2][1]:
            return lo, hi, None, None
        first, last = parts[2]
        if text[first] == "#":
            word = text[first + 1 : last].strip()
            if not re.fullmatch(r"[0-9]{1,18}", word) or not 1 <= int(word) <= MOST_BINS:
                self.fail(first, f"{self.shown(first, last)} is not a number of bins: a whole number from 1 to "
                                 f"{MOST_BINS}, as #512")
            return lo, hi, None, int(word)
        step = self._number(first, last, column, form)
        if step <= 0:
            self.fail(first, f"the step {self.shown(first, last)} is not above 0")
        if lo is not None and hi is not None and (hi - lo) / step > MOST_BINS:
            self.fail(first, f"the step {self.shown(first, last)} makes more than {MOST_BINS} bins")
        return lo, hi, step, None

    def _opt(self, at: int, end: int, begin: int) -> Options:
        values: dict[str, str] = {}
        while True:
            after = self._comma(at, end)
            first, last = self._trim(at, after)
            name, equals, value = self._text[first:last].lower().partition("=")
            name, value = name.strip(), value.strip()
            if name not in _OPTIONS:
                self.fail(first, f"{self.shown(first, last)} is not an option: {', '.join(_OPTIONS)}")
            if name in values:
                self.fail(first, f"the option {name} is set twice")
            if not self._fits(name, value) or (equals and not value):
                self.fail(first, f"{self.shown(first, last)}: the value of {name} is {_OPTIONS[name]}")
            values[name] = value
            if after >= end:
                return Options(values, begin)
            at = after + 1

    @staticmethod
    def _fits(name: str, value: str) -> bool:
        """Whether an option may have this value."""
        if name in ("mem", "null"):
            number = _NUMBER.fullmatch(value)
            return (name == "null" and value == "nan") or (number is not None and math.isfinite(float(value)))
        allowed = {"type": ("i2", "i4", "r4", "r8"), "full": ("",), "kernel": ("fits",)}
        return value in allowed.get(name, ("yes", "no"))

    # --- small things ------------------------------------------------------------------------------------------------

    def _comma(self, at: int, end: int) -> int:
        """Where the next comma outside parentheses and names of files is, or the end."""
        index = bisect_left(self._commas, at)
        return min(self._commas[index], end) if index < len(self._commas) else end

    def _blanks(self, at: int) -> int:
        """Where the blanks from here on end."""
        while at < len(self._text) and self._text[at].isspace():
            at += 1
        return at

    def _trim(self, at: int, end: int) -> tuple[int, int]:
        """A part without the blanks around it."""
        while at < end and self._text[at].isspace():
            at += 1
        while end > at and self._text[end - 1].isspace():
            end -= 1
        return at, end
