"""What a virtual file name says: the file, and the steps that are taken with it, from left to right.

`parse_name` makes these objects of text. Code makes them by `VirtualFile.of` and the methods `keep`, `exclude` and
`binned`. Paths need no quotes in an object: no character has a meaning in them.

Every part knows where it stands in the text (``at``, an offset from 0), so that what is found out later, such as a
column that is not in the file, can point at the character: `VirtualFile.error`. Names of columns, blocks and options
are in lower case. Two parts are equal when they say the same; where they stand does not count.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Union

from chandra_bin.errors import InputError, VirtualNameError, printable

_LONGEST_SHOWN = 400
# Options that change nothing in the result of any program.
_HARMLESS = ("mem", "kernel")
# Of columns whose unit is the same in all files of Chandra.
_UNITS = {"energy": "eV", "time": "s"}


def number_text(value: float) -> str:
    """The shortest text of a number that reads back as the same number."""
    return repr(float(value)).removesuffix(".0")


@dataclass(frozen=True)
class Range:
    """Values from ``lo`` to ``hi``; None is open. One value has both, and its ``word`` as it was written.

    In columns of real numbers ``lo <= v < hi``, in columns of integers ``lo <= v <= hi``; one value is equality.
    Raises `InputError` for ends that are not finite, for two open ends, and for a range that begins above its end.
    """

    lo: float | None
    hi: float | None
    word: str = ""

    def __post_init__(self) -> None:
        ends = [end for end in (self.lo, self.hi) if end is not None]
        if not ends or not all(map(math.isfinite, ends)):
            raise InputError(f"{self.lo}, {self.hi}: a range has finite numbers as ends, and None for one open end")
        if ends[0] > ends[-1]:
            raise InputError(f"{self.lo}, {self.hi}: the range begins above its end: give ({self.hi}, {self.lo})")

    @property
    def single(self) -> bool:
        """Whether this is one value."""
        return self.lo is not None and self.lo == self.hi

    def __str__(self) -> str:
        if self.word:
            return self.word
        if self.lo is not None and self.single:
            return number_text(self.lo)
        return ":".join("" if end is None else number_text(end) for end in (self.lo, self.hi))


@dataclass(frozen=True)
class Bits:
    """Either a ``pattern`` of 0, 1 and x (any), the highest bit first, or, where that is empty, a ``number``."""

    pattern: str
    number: int = 0

    def __str__(self) -> str:
        return f"b{self.pattern}" if self.pattern else str(self.number)


@dataclass(frozen=True)
class BitsTerm:
    """Rows whose bits fit one of the ``bits``."""

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
        """Return the term of values, and of ranges ``(lo, hi)``, of a column; None is an open end.

        Quantities become eV for ``energy``, s for ``time``, and have no unit for other columns. Raises `InputError`
        for values that are neither a number nor a range of two.
        """
        if not values:
            raise InputError(f"{column}: a value is missing: give numbers, or ranges (lo, hi)")
        return cls(column, tuple(_range_of(column, each) for each in values))

    def as_bits(self) -> BitsTerm | None:
        """The meaning of this term for a column of bits (FITS type X), which only the file's reader can tell.

        Words of at least 8 digits, all 0 or 1, are patterns; other whole numbers are numbers: ``status=0`` is all bits
        0. None when this is no list of either.
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
        raise InputError(f"{column}: a range has two ends, (lo, hi), not {len(ends)}")
    lo, hi = ends
    return Range(lo, hi, number_text(lo) if lo is not None and lo == hi else "")


def _number(column: str, value: Any) -> float:
    from chandra_bin._checks.arrays import as_number

    return as_number(value, column, _UNITS.get(column.lower(), ""))


def _columns_text(columns: tuple[str, ...]) -> str:
    return columns[0] if len(columns) == 1 else f"({','.join(columns)})"


@dataclass(frozen=True)
class RegionTerm:
    """Rows, or pixels, in a region: of the ``file``, or of ``text``, CIAO's shapes as `parse_regions` reads them.

    One of the two is empty. ``columns`` is the name of a vector column, ``("sky",)``, or its two, ``("x", "y")``.
    ``file`` is a file, or text as it was written, which may be a virtual name itself.
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
    """Rows in the good times of ``file``, which may name a block: ``@f.fits[GTI7]``."""

    file: Union[str, "VirtualFile"]
    at: int = field(default=0, compare=False)

    @classmethod
    def of(cls, path: Path) -> "GtiTerm":
        """Return the term of a file of good times."""
        return cls(VirtualFile.of(path))

    def __str__(self) -> str:
        return f"@{self.file}"


Term = RangeTerm | BitsTerm | RegionTerm | MaskTerm | GtiTerm


@dataclass(frozen=True)
class Block:
    """The block (HDU) that is meant: its name, or its number, 1 for the first."""

    name: str | int
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"[{self.name}]"


@dataclass(frozen=True)
class Filter:
    """Keeps what all ``terms`` hold for; with ``exclude``, drops exactly that and keeps the rest."""

    terms: tuple[Term, ...]
    exclude: bool = False
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"[{'exclude ' if self.exclude else ''}{','.join(map(str, self.terms))}]"


@dataclass(frozen=True)
class Rows:
    """Rows of the block by number: (first, last), 1 for the first, both ends included; None is open."""

    ranges: tuple[tuple[int | None, int | None], ...]
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        ends = (("" if first is None else str(first), "" if last is None else str(last)) for first, last in self.ranges)
        return f"[#row={','.join(f'{first}:{last}' for first, last in ends)}]"


@dataclass(frozen=True)
class Columns:
    """Columns that are kept, or with ``drop`` left out. ``at_each``: where each name stands."""

    names: tuple[str, ...]
    drop: bool = False
    at: int = field(default=0, compare=False)
    at_each: tuple[int, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return f"[cols {','.join('-' * self.drop + name for name in self.names)}]"


@dataclass(frozen=True)
class BinAxis:
    """An axis of an image, a curve or a spectrum: from ``lo`` to ``hi`` by ``step``, or ``count`` bins.

    None is what the text leaves open. ``column`` may be a vector column such as ``sky``: two axes alike.
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
    """What is binned: one axis, or two."""

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
    """A file and the steps taken with it. ``text`` is the text that was parsed, for messages.

    Code builds one step by step: ``VirtualFile.of(path).keep(RangeTerm.of("ccd_id", (0, 3))).binned(BinAxis("sky"))``.
    """

    path: str
    steps: tuple[Step, ...] = ()
    text: str = field(default="", compare=False)

    @classmethod
    def of(cls, path: str | Path) -> "VirtualFile":
        """Return a whole file; its path may hold any character."""
        return cls(str(path), (), str(path))

    def keep(self, *terms: Term) -> "VirtualFile":
        """Return what all ``terms`` hold for; without terms, the same.

        Raises `InputError` for anything but terms, and `VirtualNameError` behind `binned` and for a column that has
        two terms.
        """
        return self._filtered(terms, exclude=False)

    def exclude(self, *terms: Term) -> "VirtualFile":
        """Return the rest of what all ``terms`` hold for; without terms, the same. Raises as `keep` does."""
        return self._filtered(terms, exclude=True)

    def binned(self, *axes: BinAxis) -> "VirtualFile":
        """Return an image, a curve or a spectrum of these axes.

        Raises `InputError` for what is not an axis, and `VirtualNameError` for axes that ``[bin ..]`` cannot have.
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
            raise name_error(f"{self._shown}{step}", at, f"{twice} is filtered twice here: give all its ranges in one "
                             "term for either, or each term in a call of its own for both")
        return self._with(step)

    def _with(self, step: Filter | Binning) -> "VirtualFile":
        if self.binning is not None:
            raise name_error(f"{self._shown}{step}", step.at, "nothing can follow [bin ..]: filter before it is "
                             "binned, and give all axes at once")
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
        """Whether this is a file and nothing else."""
        return not self.steps

    @property
    def block(self) -> Block | None:
        """The block that is named, if one is."""
        return next((step for step in self.steps if isinstance(step, Block)), None)

    @property
    def filters(self) -> tuple[Filter, ...]:
        """All filters; a row must pass each."""
        return tuple(step for step in self.steps if isinstance(step, Filter))

    @property
    def rows(self) -> Rows | None:
        """The rows that are named, if they are."""
        return next((step for step in self.steps if isinstance(step, Rows)), None)

    @property
    def columns(self) -> tuple[Columns, ...]:
        """All choices of columns, from left to right."""
        return tuple(step for step in self.steps if isinstance(step, Columns))

    @property
    def binning(self) -> Binning | None:
        """What is binned, if anything is."""
        return next((step for step in self.steps if isinstance(step, Binning)), None)

    @property
    def options(self) -> dict[str, str]:
        """All options, name to value."""
        return {name: value for step in self.steps if isinstance(step, Options) for name, value in step.values.items()}

    def need_only(self, *kinds: type[Step], options: Collection[str] = ()) -> None:
        """Raises an error that points at the first step of another kind, or at an option that does nothing here."""
        for step in self.steps:
            if isinstance(step, Options):
                for option in step.values:
                    if option not in (*_HARMLESS, *options):
                        raise self.error(step.at, f"the option {option} changes nothing here: remove it")
            elif not isinstance(step, kinds):
                raise self.error(step.at, f"{step} cannot be used here: remove it")

    def error(self, at: int, message: str) -> VirtualNameError:
        """An error, to be raised, that points at a character of the text."""
        return name_error(self._shown, at, message)

    def __str__(self) -> str:
        return self.path + "".join(map(str, self.steps))

    def __fspath__(self) -> str:
        """The name as text, which ``Path(name)`` takes."""
        return str(self)


def _need(parts: tuple[object, ...], kinds: Any, wanted: str) -> None:
    """Raises `InputError` for the first part that is not of these kinds."""
    for part in parts:
        if not isinstance(part, kinds):
            raise InputError(f"{part!r}: give {wanted}")


def shortened(text: str, longest: int = _LONGEST_SHOWN) -> str:
    """Text as it can stand in a message: no line ends, and the middle left out where it is long."""
    if len(text) > longest:
        text = f"{text[: longest // 2]} ... {text[-longest // 2 :]}"
    return printable(text)


def name_error(text: str, at: int, message: str) -> VirtualNameError:
    """An error that points at a character of a virtual file name; ``at`` counts from 0, the message from 1."""
    return VirtualNameError(f"{shortened(text)}: character {at + 1}: {message}")
