"""Parsed virtual file names: a file, and the steps applied to it from left to right.

`parse_name` makes these objects from text. Code makes them with `VirtualFile.of` and the methods `keep`, `exclude` and
`binned`. In an object, paths need no quotes: no character has a special meaning.

Every part stores its position in the text (``at``, an offset from 0), so that errors found later, such as a missing
column, can state the position: `VirtualFile.error`. Names of columns, blocks and options are in lower case. Two parts
are equal if they mean the same; positions are not compared.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Union

from chandra_bin.errors import InputError, VirtualNameError, printable

_LONGEST_SHOWN = 400
# Options that never change a result.
_HARMLESS = ("mem", "kernel")
# Columns whose unit is the same in all Chandra files.
_UNITS = {"energy": "eV", "time": "s"}


def number_text(value: float) -> str:
    """Return the shortest text that reads back as the same number."""
    return repr(float(value)).removesuffix(".0")


@dataclass(frozen=True)
class Range:
    """Values from ``lo`` to ``hi``; None is open. A single value has both equal, and its ``word`` as written.

    In columns of real numbers ``lo <= v < hi``, in columns of integers ``lo <= v <= hi``; a single value means
    equality. Raises `InputError` for limits that are not finite, two open limits, and lo > hi.
    """

    lo: float | None
    hi: float | None
    word: str = ""

    def __post_init__(self) -> None:
        ends = [end for end in (self.lo, self.hi) if end is not None]
        if not ends or not all(map(math.isfinite, ends)):
            raise InputError(f"{self.lo}, {self.hi}: a range needs finite limits, or None for one open limit")
        if ends[0] > ends[-1]:
            raise InputError(f"{self.lo}, {self.hi}: the lower limit is above the upper: give ({self.hi}, {self.lo})")

    @property
    def single(self) -> bool:
        """Whether this is a single value."""
        return self.lo is not None and self.lo == self.hi

    def __str__(self) -> str:
        if self.word:
            return self.word
        if self.lo is not None and self.single:
            return number_text(self.lo)
        return ":".join("" if end is None else number_text(end) for end in (self.lo, self.hi))


@dataclass(frozen=True)
class Bits:
    """A ``pattern`` of 0, 1 and x (any), highest bit first, or, if that is empty, a ``number``."""

    pattern: str
    number: int = 0

    def __str__(self) -> str:
        return f"b{self.pattern}" if self.pattern else str(self.number)


@dataclass(frozen=True)
class BitsTerm:
    """Rows whose bits match one of the ``bits``."""

    column: str
    bits: tuple[Bits, ...]
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.column}={','.join(map(str, self.bits))}"


@dataclass(frozen=True)
class RangeTerm:
    """Rows whose value is in one of the ``ranges``."""

    column: str
    ranges: tuple[Range, ...]
    at: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "column", self.column.lower())

    @classmethod
    def of(cls, column: str, *values: Any) -> "RangeTerm":
        """Return the term of a column with values and ranges ``(lo, hi)``; None is an open limit.

        Quantities become eV for ``energy`` and s for ``time``, and must be dimensionless for other columns. Raises
        `InputError` for values that are neither numbers nor ranges of two.
        """
        if not values:
            raise InputError(f"{column}: a value is missing: give numbers, or ranges (lo, hi)")
        return cls(column, tuple(_range_of(column, each) for each in values))

    def as_bits(self) -> BitsTerm | None:
        """Return this term as bit patterns, for a bit column (FITS type X), which only the file's reader can identify.

        Words of at least 8 digits 0 or 1 are patterns; other whole numbers are numbers: ``status=0`` means that all
        bits are 0. None if the ranges are neither.
        """
        bits: list[Bits] = []
        for one in self.ranges:
            word = str(one)
            if not one.single or one.lo is None or one.lo < 0 or not one.lo.is_integer():
                return None
            is_pattern = len(word) >= 8 and set(word) <= {"0", "1"}
            bits.append(Bits(word) if is_pattern else Bits("", int(one.lo)))
        return BitsTerm(self.column, tuple(bits), self.at)

    def __str__(self) -> str:
        return f"{self.column}={','.join(map(str, self.ranges))}"


def _range_of(column: str, value: Any) -> Range:
    if not isinstance(value, Iterable) or isinstance(value, str | bytes) or getattr(value, "ndim", 1) == 0:
        value = (value, value)
    ends = [None if end is None else _number(column, end) for end in value]
    if len(ends) != 2:
        raise InputError(f"{column}: a range needs two limits, (lo, hi), not {len(ends)}")
    lo, hi = ends
    return Range(lo, hi, number_text(lo) if lo is not None and lo == hi else "")


def _number(column: str, value: Any) -> float:
    from chandra_bin._checks.arrays import as_number

    return as_number(value, column, _UNITS.get(column.lower(), ""))


def _columns_text(columns: tuple[str, ...]) -> str:
    return columns[0] if len(columns) == 1 else f"({','.join(columns)})"


@dataclass(frozen=True)
class RegionTerm:
    """Rows, or pixels, in a region: that of ``file``, or that of ``text``, CIAO shapes as `parse_regions` reads them.

    One of the two is empty. ``columns`` is a vector column, ``("sky",)``, or its two parts, ``("x", "y")``. ``file`` is
    a file, or text as written, which may be a virtual name itself.
    """

    columns: tuple[str, ...]
    file: Union[str, "VirtualFile"] = ""
    text: str = ""
    at: int = field(default=0, compare=False)

    @classmethod
    def of(cls, path: Path) -> "RegionTerm":
        """Return the term of a region file, in sky coordinates."""
        return cls(("sky",), VirtualFile.of(path))

    def __str__(self) -> str:
        return f"{_columns_text(self.columns)}={self.text or f'region({self.file})'}"


@dataclass(frozen=True)
class MaskTerm:
    """Rows, or pixels, where the image in ``file`` is not 0."""

    columns: tuple[str, ...]
    file: Union[str, "VirtualFile"]
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{_columns_text(self.columns)}=mask({self.file})"


@dataclass(frozen=True)
class GtiTerm:
    """Rows in the good time intervals of ``file``, which may name a block: ``@f.fits[GTI7]``."""

    file: Union[str, "VirtualFile"]
    at: int = field(default=0, compare=False)

    @classmethod
    def of(cls, path: Path) -> "GtiTerm":
        """Return the term of a GTI file."""
        return cls(VirtualFile.of(path))

    def __str__(self) -> str:
        return f"@{self.file}"


Term = RangeTerm | BitsTerm | RegionTerm | MaskTerm | GtiTerm


@dataclass(frozen=True)
class Block:
    """A block (HDU): its name, or its number, 1 for the first."""

    name: str | int
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"[{self.name}]"


@dataclass(frozen=True)
class Filter:
    """Keep the rows that meet all ``terms``; with ``exclude``, remove exactly these rows."""

    terms: tuple[Term, ...]
    exclude: bool = False
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"[{'exclude ' if self.exclude else ''}{','.join(map(str, self.terms))}]"


@dataclass(frozen=True)
class Rows:
    """Row numbers of the block: (first, last) from 1, both ends included; None is open."""

    ranges: tuple[tuple[int | None, int | None], ...]
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        ends = (("" if first is None else str(first), "" if last is None else str(last)) for first, last in self.ranges)
        return f"[#row={','.join(f'{first}:{last}' for first, last in ends)}]"


@dataclass(frozen=True)
class Columns:
    """Columns to keep, or with ``drop`` to remove. ``at_each`` gives the position of each name."""

    names: tuple[str, ...]
    drop: bool = False
    at: int = field(default=0, compare=False)
    at_each: tuple[int, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return f"[cols {','.join('-' * self.drop + name for name in self.names)}]"


@dataclass(frozen=True)
class BinAxis:
    """An axis of an image, a light curve or a spectrum: from ``lo`` to ``hi`` by ``step``, or with ``count`` bins.

    None is a value that the text leaves open. ``column`` may be a vector column such as ``sky``, for two equal axes.
    """

    column: str
    lo: float | None = None
    hi: float | None = None
    step: float | None = None
    count: int | None = None
    at: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "column", self.column.lower())
        for name in ("lo", "hi", "step"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, float):
                object.__setattr__(self, name, _number(self.column, value))

    def __str__(self) -> str:
        ends = ["" if end is None else number_text(end) for end in (self.lo, self.hi)]
        last = f"#{self.count}" if self.count is not None else "" if self.step is None else number_text(self.step)
        if not any(ends) and not last:
            return self.column
        return f"{self.column}={':'.join([*ends, last] if last else ends)}"


@dataclass(frozen=True)
class Binning:
    """The axes to bin: one or two."""

    axes: tuple[BinAxis, ...]
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"[bin {','.join(map(str, self.axes))}]"


@dataclass(frozen=True)
class Options:
    """Options of the output, name to value, in lower case; a name without a value has an empty one."""

    values: Mapping[str, str]
    at: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", dict(self.values))

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.values.items())))

    def __str__(self) -> str:
        return f"[opt {','.join(name + f'={value}' * bool(value) for name, value in self.values.items())}]"


Step = Block | Filter | Rows | Columns | Binning | Options


@dataclass(frozen=True)
class VirtualFile:
    """A file and the steps applied to it. ``text`` is the parsed text, for messages.

    In code, chain the methods: ``VirtualFile.of(path).keep(RangeTerm.of("ccd_id", (0, 3))).binned(BinAxis("sky"))``.
    """

    path: str
    steps: tuple[Step, ...] = ()
    text: str = field(default="", compare=False)

    @classmethod
    def of(cls, path: str | Path) -> "VirtualFile":
        """Return a whole file; its path may contain any character."""
        return cls(str(path), (), str(path))

    def keep(self, *terms: Term) -> "VirtualFile":
        """Return the file with a filter that keeps the rows that meet all ``terms``; unchanged without terms.

        Raises `InputError` for other types, and `VirtualNameError` after `binned` and for a column with two terms.
        """
        return self._filtered(terms, exclude=False)

    def exclude(self, *terms: Term) -> "VirtualFile":
        """Return the file with a filter that removes the rows that meet all ``terms``. Otherwise as `keep`."""
        return self._filtered(terms, exclude=True)

    def binned(self, *axes: BinAxis) -> "VirtualFile":
        """Return an image, a light curve or a spectrum of these axes.

        Raises `InputError` for other types, and `VirtualNameError` for axes that ``[bin ..]`` does not allow.
        """
        from ._axes import read_axes
        from ._text import NameText

        _need(axes or (None,), BinAxis, 'an axis, BinAxis("sky", step=4)')
        begin = len(self._shown)
        name = NameText(f"{self._shown}{Binning(axes)}")
        name.match_brackets(begin)
        return self._with(read_axes(name, begin + len("[bin "), len(name.text) - 1, begin + 1))

    def _filtered(self, terms: tuple[Term, ...], *, exclude: bool) -> "VirtualFile":
        _need(terms, Term, 'a term, RangeTerm.of("energy", (500, 7000))')
        if not terms:
            return self
        at = len(self._shown) + 1  # an error points at the whole filter
        step = Filter(tuple(replace(term, at=at) for term in terms), exclude, at)
        names = [str(term).partition("=")[0] for term in terms if not isinstance(term, GtiTerm)]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise name_error(f"{self._shown}{step}", at, f"{twice} is filtered twice here: give its ranges in one term "
                             "to join them by OR, or in separate calls to join them by AND")
        return self._with(step)

    def _with(self, step: Filter | Binning) -> "VirtualFile":
        if self.binning is not None:
            raise name_error(f"{self._shown}{step}", step.at, "nothing can follow [bin ..]: filter before "
                             "binning, and give all axes at once")
        return VirtualFile(self.path, (*self.steps, step), f"{self._shown}{step}")

    @property
    def _shown(self) -> str:
        return self.text or str(self)

    @property
    def file(self) -> Path:
        """The file on the disk."""
        return Path(self.path)

    @property
    def is_plain(self) -> bool:
        """Whether this is a file without steps."""
        return not self.steps

    @property
    def block(self) -> Block | None:
        """The named block, if any."""
        return next((step for step in self.steps if isinstance(step, Block)), None)

    @property
    def filters(self) -> tuple[Filter, ...]:
        """All filters; a row must pass each."""
        return tuple(step for step in self.steps if isinstance(step, Filter))

    @property
    def rows(self) -> Rows | None:
        """The named rows, if any."""
        return next((step for step in self.steps if isinstance(step, Rows)), None)

    @property
    def columns(self) -> tuple[Columns, ...]:
        """All column selections, from left to right."""
        return tuple(step for step in self.steps if isinstance(step, Columns))

    @property
    def binning(self) -> Binning | None:
        """The binning, if any."""
        return next((step for step in self.steps if isinstance(step, Binning)), None)

    @property
    def options(self) -> dict[str, str]:
        """All options, name to value."""
        return {name: value for step in self.steps if isinstance(step, Options) for name, value in step.values.items()}

    def need_only(self, *kinds: type[Step], options: Collection[str] = ()) -> None:
        """Raise an error with the position of the first step of another kind, or of an option without effect here."""
        for step in self.steps:
            if isinstance(step, Options):
                for option in step.values:
                    if option not in (*_HARMLESS, *options):
                        raise self.error(step.at, f"the option {option} has no effect here: remove it")
            elif not isinstance(step, kinds):
                raise self.error(step.at, f"{step} cannot be used here: remove it")

    def error(self, at: int, message: str) -> VirtualNameError:
        """Return an error that states the position of a character in the text."""
        return name_error(self._shown, at, message)

    def __str__(self) -> str:
        return self.path + "".join(map(str, self.steps))

    def __fspath__(self) -> str:
        """Return the name as text, for ``Path(name)``."""
        return str(self)


def _need(parts: tuple[object, ...], kinds: Any, wanted: str) -> None:
    """Raise `InputError` for the first part that is not of these kinds."""
    for part in parts:
        if not isinstance(part, kinds):
            raise InputError(f"{part!r}: give {wanted}")


def shortened(text: str, longest: int = _LONGEST_SHOWN) -> str:
    """Return text for a message: one printable line, its middle cut out if it is long."""
    if len(text) > longest:
        text = f"{text[: longest // 2]} ... {text[-longest // 2 :]}"
    return printable(text)


def name_error(text: str, at: int, message: str) -> VirtualNameError:
    """Return an error with a position in a virtual file name; ``at`` counts from 0, the message from 1."""
    return VirtualNameError(f"{shortened(text)}: character {at + 1}: {message}")
