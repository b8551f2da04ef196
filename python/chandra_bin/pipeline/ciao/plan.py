"""Plans of the CIAO engine as data, which `run` executes and `scripts` writes as shell scripts.

So both do the same: a script is not a second description of the pipeline. Paths are those of `Layout`, where a file is
to be in the end.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from chandra_bin.ciao import Command, Part
from chandra_bin.pipeline.job import Job

Words: TypeAlias = tuple[Part | tuple[Part, ...], ...]
"""The words of a command line; a tuple is one word in parts."""


@dataclass(frozen=True)
class PythonStep:
    """A step of this program: a function in a run, and a command in a script."""

    function: Callable[[Job], object]
    words: Words
    """Words after ``chandra-bin``; empty words are omitted."""
    purpose: str


@dataclass(frozen=True)
class Fallback:
    """Steps, and their replacement with a warning if a tool fails."""

    steps: "tuple[Step, ...]"
    instead: "tuple[Step, ...]"
    warning: str


@dataclass(frozen=True)
class IfFiles:
    """Steps for the case that all of some files exist, and steps for the other case."""

    files: tuple[Path, ...]
    steps: "tuple[Step, ...]"
    otherwise: "tuple[Step, ...]" = ()
    has_shapes: bool = False
    """Whether the files are region files that must have shapes."""


@dataclass(frozen=True)
class Warn:
    """A warning."""

    text: str


@dataclass(frozen=True)
class CopyFile:
    """Copy or move of a file."""

    source: Path
    target: Path
    moves: bool = False


@dataclass(frozen=True)
class WriteLines:
    """Text file to write."""

    target: Path
    lines: tuple[str, ...]


@dataclass(frozen=True)
class CopyInto:
    """Copies of archive files in folders of ``target``, for a tool that changes its input."""

    files: Mapping[str, tuple[Path, ...]]
    """Files by the folder in ``target``."""
    target: Path


@dataclass(frozen=True)
class RemoveFolder:
    """Removal of a folder with copies."""

    folder: Path


@dataclass(frozen=True)
class ShortenLists:
    """Removal of the folders from names in lists of files (``*.lis``), whose files are in the folder of the list."""

    folder: Path


@dataclass(frozen=True)
class ForEachList:
    """One call of a tool for each pair of lists; if it fails, one call for each bin of the lists.

    Lists are ``source_{part}.list`` and ``root_{part}.list`` of `write_extraction_lists`.
    """

    folder: Path
    roots: Path
    """Folder of the outputs: ``xaf_{bin}`` and the endings."""
    endings: tuple[str, ...]
    of: Callable[[Path, Path, Sequence[Path]], Command]
    """Returns the call for two lists and its outputs."""
    alone: "Callable[[str], tuple[Step, ...]]"
    """Returns the steps of one bin for its number or a variable."""


@dataclass(frozen=True)
class WithMeasured:
    """Steps that need a number, which is measured first."""

    variable: str
    """Name of the number in a script."""
    measure: Callable[[Job], str]
    words: Words
    """Words after ``chandra-bin`` of the command that prints the number."""
    of: "Callable[[str], tuple[Step, ...]]"
    """Returns the steps for the number or ``${variable}``."""
    purpose: str


Step: TypeAlias = (
    Command | PythonStep | Fallback | IfFiles | Warn | CopyFile | WriteLines | CopyInto | RemoveFolder | ShortenLists
    | ForEachList | WithMeasured
)
"""A `Command` is a call of a tool of CIAO."""
Plan: TypeAlias = Sequence[Step]
