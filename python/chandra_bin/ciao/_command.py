"""The command line of a CIAO tool, as parts: an argument list for a run, and text for a script, come of the same."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from chandra_bin.errors import InputError

# Parameter files, and the tools' own buffers, hold values of this length.
_LONGEST = 1023
# What breaks chandra_repro, blanksky, stacks and names with filters when it is part of a path.
_ODD = re.compile(r"""[\s,;\[\]()+"'`$*?|&<>!#]""")


@dataclass(frozen=True)
class File:
    """A file, or the beginning of the names of several."""

    path: Path
    is_output: bool = False
    """Whether this command makes it."""
    ending: str = ""
    """Behind the path: ``/``, where a tool is to take the root of its outputs for a folder."""


@dataclass(frozen=True)
class Filter:
    """``[exclude sky=region(FILE)]``, or like, where a file has shapes, else nothing: no tool reads one without."""

    before: str
    region: File
    after: str
    when: File | None = None
    """The file that must have shapes, where it is another one."""


@dataclass(frozen=True)
class Temporary:
    """A folder of the command alone, which is gone afterwards."""


Part: TypeAlias = str | File | Filter | Temporary
Value: TypeAlias = str | bool | int | float | Part | tuple[Part, ...]
"""The value of a parameter: parts are joined."""
Name: TypeAlias = Path | tuple[Part, ...]
"""A file, or a virtual name in parts."""


class Files(Protocol):
    """Where the files of a command are, and what is in them."""

    def of(self, file: File) -> Path: ...

    def has_shapes(self, region: File) -> bool: ...


class Places(Files, Protocol):
    """And a folder for its temporary ones."""

    @property
    def temporary(self) -> Path: ...


@dataclass(frozen=True)
class Command:
    """A call of a tool: parameters by their full names, and the files that it must make."""

    tool: str
    parameters: Mapping[str, Value]
    """By their full names; the one without a name is a bare word, for tools without parameter files."""
    outputs: tuple[Path, ...] = ()
    purpose: str = ""
    """One line for a reader."""
    meaning: Callable[[str], Sequence[str]] = field(default=lambda _: ())
    """What its output says that a user should know."""
    ardlib: Mapping[str, Value] = field(default_factory=dict)
    """Values of ``ardlib.par``, by their full names, for tools that find the bad pixels of a chip there."""

    def arguments(self, places: Places) -> list[str]:
        """``name=value`` of each parameter. Raises `InputError` for paths and values that CIAO does not take."""
        return [f"{name}{'=' if name else ''}{self._text(name, value, places)}"
                for name, value in self.parameters.items()]

    def ardlib_texts(self, places: Places) -> dict[str, str]:
        """Return the values of ``ardlib.par`` as text. Raises `InputError` as `arguments` does."""
        return {name: self._text(name, value, places) for name, value in self.ardlib.items()}

    def _text(self, name: str, value: Value, places: Places) -> str:
        text = "".join(_part(each, places) for each in parts_of(value))
        if len(text) > _LONGEST:
            raise InputError(f"{self.tool}: {name} is {len(text)} characters long ({text[:60]}...), and CIAO takes "
                             f"{_LONGEST}: work in a folder with a shorter name")
        return text


def parts_of(value: Value) -> tuple[Part, ...]:
    """The parts of a value, with what is no text as CIAO writes it."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, bool):
        return ("yes" if value else "no",)
    if isinstance(value, int):
        return (str(value),)
    if isinstance(value, float):
        return (f"{value:.15g}",)
    return (value,)


def _part(part: Part, places: Places) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Temporary):
        return checked_path(places.temporary)
    if isinstance(part, File):
        return f"{checked_path(places.of(part))}{part.ending}"
    if not places.has_shapes(part.when or part.region):
        return ""
    return f"{part.before}{checked_path(places.of(part.region))}{part.after}"


def checked_path(path: Path) -> str:
    """A path as text. Raises `InputError` for characters that CIAO's tools trip over."""
    if odd := _ODD.search(str(path)):
        raise InputError(f"{path}: has {odd[0]!r} in its name, which CIAO does not take: rename it, or move it")
    return str(path)


def is_plain_path(path: str | Path) -> bool:
    """Whether a path holds no character that CIAO's tools trip over."""
    return _ODD.search(str(path)) is None
