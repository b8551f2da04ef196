"""What the CIAO engine does in a task, as data: `run` does it, and `scripts` writes it down as shell.

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
    """Of the command, behind ``chandra-bin``; an empty one is left out."""
    purpose: str


@dataclass(frozen=True)
class Fallback:
    """Steps, and those that are done instead where a tool among them fails, with a warning."""

    steps: "tuple[Step, ...]"
    instead: "tuple[Step, ...]"
    warning: str


@dataclass(frozen=True)
class IfFiles:
    """Steps for when all of some files are there, and others for when not."""

    files: tuple[Path, ...]
    steps: "tuple[Step, ...]"
    otherwise: "tuple[Step, ...]" = ()
    has_shapes: bool = False
    """They are region files, and count only with a shape in them."""


@dataclass(frozen=True)
class Warn:
    """A warning."""

    text: str


@dataclass(frozen=True)
class CopyFile:
    """Copies, or moves, a file."""

    source: Path
    target: Path
    moves: bool = False


@dataclass(frozen=True)
class WriteLines:
    """Writes a text file."""

    target: Path
    lines: tuple[str, ...]


@dataclass(frozen=True)
class CopyInto:
    """Copies files of the archive into folders of ``target``, for a tool that changes what it is given."""

    files: Mapping[str, tuple[Path, ...]]
    """By the folder in ``target``."""
    target: Path


@dataclass(frozen=True)
class RemoveFolder:
    """Removes a folder with copies."""

    folder: Path


@dataclass(frozen=True)
class ShortenLists:
    """Removes the folders from the names in lists of files (``*.lis``): the files are in the same folder."""

    folder: Path


@dataclass(frozen=True)
class ForEachList:
    """One call of a tool for each pair of lists; where it fails, the bins of these lists one by one.

    Lists are ``source_{part}.list`` and ``root_{part}.list`` of `write_extraction_lists`.
    """

    folder: Path
    roots: Path
    """The folder of the files that are made: ``xaf_{bin}`` and the endings."""
    endings: tuple[str, ...]
    of: Callable[[Path, Path, Sequence[Path]], Command]
    """The call, by the two lists and the files that it is to make."""
    alone: "Callable[[str], tuple[Step, ...]]"
    """The steps of one bin, by its number, or by what stands for that."""


@dataclass(frozen=True)
class WithMeasured:
    """Steps that need a number, which is measured before them."""

    variable: str
    """Holds the number in a script."""
    measure: Callable[[Job], str]
    words: Words
    """Of the command that prints the number, behind ``chandra-bin``."""
    of: "Callable[[str], tuple[Step, ...]]"
    """Gets the number, or ``${variable}``."""
    purpose: str


Step: TypeAlias = (
    Command | PythonStep | Fallback | IfFiles | Warn | CopyFile | WriteLines | CopyInto | RemoveFolder | ShortenLists
    | ForEachList | WithMeasured
)
"""A `Command` is a call of a tool of CIAO."""
Plan: TypeAlias = Sequence[Step]
