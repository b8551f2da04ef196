"""The text of a virtual file name: its brackets, commas, blanks and numbers."""

import math
import re
from bisect import bisect_left
from typing import NoReturn

from ._steps import name_error, shortened

WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
_DASHED = re.compile(rf"({NUMBER.pattern})\s*(?:-|\.\.\.?|to)\s*({NUMBER.pattern})", re.ASCII)


class NameText:
    """A name being parsed. Positions are offsets in the text; a part extends from ``at`` to before ``end``."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.closing: dict[int, int] = {}
        """Position of the closing bracket or parenthesis of each opening one."""
        self.commas: list[int] = []
        """Positions of commas outside parentheses and file names."""

    def fail(self, at: int, message: str) -> NoReturn:
        """Raise `VirtualNameError` with the position of a character."""
        raise name_error(self.text, at, message)

    def shown(self, at: int, end: int) -> str:
        """Return a part of the text in quotes, shortened for messages."""
        return f"'{shortened(self.text[at:end].strip(), 40)}'"

    def bare(self, at: int, end: int) -> str:
        """Return a part of the text without surrounding blanks, shortened for messages."""
        return shortened(self.text[at:end].strip(), 40)

    def match_brackets(self, first: int) -> None:
        """Find the closing bracket or parenthesis of each opening one, including those of file names inside filters."""
        opened: list[int] = []
        in_file = False  # between @ and the next comma brackets belong to the file, @f.fits[GTI7]
        for match in re.finditer(r"[][(),@]", self.text[first:]):
            char, at = match[0], first + match.start()
            if char in ",@":
                if len(opened) == 1:
                    in_file = char == "@"
                    self.commas += [at] * (char == ",")
            elif char in "[(":
                if not opened:
                    in_file = False
                if char == "[" and len(opened) == 1 and not in_file:
                    self.fail(opened[0], "this bracket is not closed before the next one begins: add ]")
                opened.append(at)
            else:
                if not opened:
                    what = "bracket" if char == "]" else "parenthesis"
                    self.fail(at, f"this closing {what} has no match: remove it")
                last = opened.pop()
                if self.text[last] + char not in ("[]", "()"):
                    self._fail_open(*((last, "") if char == "]" else (at, "closing ")))
                self.closing[last] = at
        if opened:
            self._fail_open(opened[-1], "")

    def _fail_open(self, at: int, which: str) -> NoReturn:
        """Raise the error for a bracket or parenthesis that is not closed."""
        if which:
            self.fail(at, "this closing parenthesis has no match: remove it")
        what, closer = ("bracket", "]") if self.text[at] == "[" else ("parenthesis", ")")
        self.fail(at, f"this {what} is not closed: add {closer}")

    def pair(self, at: int, end: int) -> tuple[tuple[str, ...], int]:
        """Return the two columns of ``(x,y)``, and the position after them."""
        close = self.closing[at]
        words: list[str] = []
        if close < end and close - at < 200:
            words = [word.strip() for word in self.text[at + 1 : close].split(",")]
        if len(words) != 2 or not all(WORD.fullmatch(word) for word in words):
            self.fail(at, "parentheses here must contain two columns, (x,y)=circle(..); join terms by commas (and), "
                          "or put them in separate brackets")
        return tuple(word.lower() for word in words), close + 1

    def number(self, at: int, end: int, column: str, form: str) -> float:
        """Return the number in a part; ``form`` is the form that messages recommend."""
        text = self.text
        if NUMBER.fullmatch(text, at, end):
            value = float(text[at:end])
            if math.isfinite(value):
                return value
            self.fail(at, f"{self.shown(at, end)} is too large")
        word = text[at:end]
        shown = self.shown(at, end)
        if re.fullmatch(r"[-+]?(nan|inf|infinity|indef)", word[:20], re.I):
            self.fail(at, f"{shown} is not a finite number; an open range is {column}=500:")
        dashed = _DASHED.fullmatch(text, at, end)
        if dashed:
            self.fail(at, f"{shown} is not a number; a range has a colon: write {column}={dashed[1]}:{dashed[2]}")
        if re.match(r"(region|mask)\b", word, re.I) or word.lower().endswith((".reg", ".fits")):
            self.fail(at, f"{shown} is not a number; write {column}=region(file)")
        if word and len(word) < 40:
            guess = word.translate(str.maketrans("oOlI", "0011"))
            if NUMBER.fullmatch(guess):
                self.fail(at, f"{shown} is not a number: do you mean {guess}?")
        return self.fail(at, f"{shown} is not a number; write {column}={form}")

    def comma(self, at: int, end: int) -> int:
        """Return the position of the next comma outside parentheses and file names, or the end."""
        index = bisect_left(self.commas, at)
        return min(self.commas[index], end) if index < len(self.commas) else end

    def blanks(self, at: int) -> int:
        """Return the position of the next character that is not blank."""
        while at < len(self.text) and self.text[at].isspace():
            at += 1
        return at

    def trim(self, at: int, end: int) -> tuple[int, int]:
        """Return a part without surrounding blanks."""
        while at < end and self.text[at].isspace():
            at += 1
        while end > at and self.text[end - 1].isspace():
            end -= 1
        return at, end
