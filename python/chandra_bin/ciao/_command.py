"""The command line of a CIAO tool in parts, which give both the arguments of a run and the text of a script."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from chandra_bin.errors import InputError

# Longest value in parameter files and in buffers of tools.
_LONGEST = 1023
# Characters in paths that break chandra_repro, blanksky, stacks and names with filters.
_ODD = re.compile(r"""[\s,;\[\]()+"'`$*?|&<>!#]""")


@dataclass(frozen=True)
class File:
    """A file, or the common root of several file names."""

    path: Path
    is_output: bool = False
    """Whether the command writes the file."""
    ending: str = ""
    """Text after the path: ``/`` if a tool must treat the root of its outputs as a folder."""


@dataclass(frozen=True)
class Filter:
    """``[exclude sky=region(FILE)]`` or similar if the file has shapes, else nothing: tools cannot read empty files."""

    before: str
    region: File
    after: str
    when: File | None = None
    """The file that must have shapes, if not ``region``."""


@dataclass(frozen=True)
class Temporary:
    """A temporary folder of the command."""


Part: TypeAlias = str | File | Filter | Temporary
Value: TypeAlias = str | bool | int | float | Part | tuple[Part, ...]
"""The value of a parameter: parts are joined."""
Name: TypeAlias = Path | tuple[Part, ...]
"""A file, or a virtual name in parts."""


class Files(Protocol):
    """Paths of the files of a command, and the content of region files."""

    def of(self, file: File) -> Path:
        """Return the path of a file."""

    def has_shapes(self, region: File) -> bool:
        """Return whether a region file exists and has shapes."""


class Places(Files, Protocol):
    """Paths of the files of a command, with a folder for temporary files."""

    @property
    def temporary(self) -> Path:
        """The folder for temporary files."""


@dataclass(frozen=True)
class Command:
    """A call of a tool: its parameters and required outputs."""

    tool: str
    parameters: Mapping[str, Value]
    """Values by full names; the empty name gives a bare word, for tools without parameter files."""
    outputs: tuple[Path, ...] = ()
    purpose: str = ""
    """One line for scripts."""
    meaning: Callable[[str], Sequence[str]] = field(default=lambda _: ())
    """Extracts results for the user from the output."""
    ardlib: Mapping[str, Value] = field(default_factory=dict)
    """Values of ``ardlib.par`` by full names, for tools that read the bad pixels of a chip there."""

    def arguments(self, places: Places) -> list[str]:
        """Return ``name=value`` of each parameter. Raises `InputError` for paths and values that CIAO cannot read."""
        return [f"{name}{'=' if name else ''}{self._text(name, value, places)}"
                for name, value in self.parameters.items()]

    def ardlib_texts(self, places: Places) -> dict[str, str]:
        """Return the values of ``ardlib.par`` as text. Raises `InputError` as `arguments` does."""
        return {name: self._text(name, value, places) for name, value in self.ardlib.items()}

    def _text(self, name: str, value: Value, places: Places) -> str:
        """Return a value as text. Raises `InputError` if it is too long."""
        text = "".join(_part(each, places) for each in parts_of(value))
        if len(text) > _LONGEST:
            raise InputError(f"{self.tool}: {name} has {len(text)} characters ({text[:60]}...), but CIAO accepts "
                             f"{_LONGEST}: work in a folder with a shorter name")
        return text


def parts_of(value: Value) -> tuple[Part, ...]:
    """Return the parts of a value, with numbers and booleans in CIAO's notation."""
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
    """Return a part as text."""
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
    """Return a path as text. Raises `InputError` for characters that CIAO's tools cannot handle."""
    if odd := _ODD.search(str(path)):
        raise InputError(f"{path}: has {odd[0]!r} in its name, which CIAO does not accept: rename it, or move it")
    return str(path)


def is_plain_path(path: str | Path) -> bool:
    """Return whether CIAO's tools can handle all characters of a path."""
    return _ODD.search(str(path)) is None
