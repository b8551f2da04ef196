"""What the CIAO engine does in a task, as data: `calibrated` runs it, and `scripts` writes it down as shell.

So both do the same: a script is not a second description of the pipeline. Paths are those of `Layout`, where a file is
to be in the end.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from chandra_bin.ciao import Command, Part
from chandra_bin.pipeline.job import Job


@dataclass(frozen=True)
class Tool:
    """A call of a tool of CIAO."""

    command: Command


@dataclass(frozen=True)
class Own:
    """Something that this program does: by a function here, and by a command in a script."""

    does: Callable[[Job], object]
    words: tuple[tuple[Part, ...], ...]
    """Of the command, behind ``chandra-bin``; one that is empty is left out."""
    purpose: str


@dataclass(frozen=True)
class Otherwise:
    """Steps; and what is done instead where a tool among them fails, with a warning."""

    steps: "tuple[Step, ...]"
    instead: "tuple[Step, ...]"
    warning: str


@dataclass(frozen=True)
class Where:
    """Steps where all of some files are there, and others where not."""

    files: tuple[Path, ...]
    steps: "tuple[Step, ...]"
    otherwise: "tuple[Step, ...]" = ()
    has_shapes: bool = False
    """They are region files, and count only with a shape in them."""


@dataclass(frozen=True)
class Warn:
    """Something that a user is to know."""

    text: str


@dataclass(frozen=True)
class Copy:
    """A file under another name."""

    source: Path
    target: Path
    moves: bool = False


@dataclass(frozen=True)
class Text:
    """A small file."""

    target: Path
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """Copies of files of the archive in folders of ``target``, for a tool that changes what it is given."""

    files: Mapping[str, tuple[Path, ...]]
    """By the folder in ``target``."""
    target: Path


@dataclass(frozen=True)
class Remove:
    """Removes a folder with copies."""

    folder: Path


@dataclass(frozen=True)
class LocalNames:
    """Lists of files (``*.lis``) name files in their own folder: the folder they named is removed."""

    folder: Path


@dataclass(frozen=True)
class EachList:
    """One call of a tool for each pair of lists; where it fails, the bins of these lists one by one.

    Lists are ``source_{part}.list`` and ``root_{part}.list`` of `products.write_extraction_lists`.
    """

    folder: Path
    roots: Path
    """The folder of the files that are made: ``xaf_{bin}`` and the endings."""
    endings: tuple[str, ...]
    of: Callable[[Path, Path, Sequence[Path]], Tool]
    """The call, by the two lists and the files that it is to make."""
    alone: "Callable[[str], tuple[Step, ...]]"
    """The steps of one bin, by its number, or by what stands for that."""


@dataclass(frozen=True)
class Measured:
    """Steps that need a number which is measured when they begin."""

    variable: str
    """Holds the number in a script."""
    does: Callable[[Job], str]
    words: tuple[tuple[Part, ...], ...]
    """Of the command that prints the number, behind ``chandra-bin``."""
    of: "Callable[[str], tuple[Step, ...]]"
    """Gets the number, or ``${variable}``."""
    purpose: str


Step: TypeAlias = (
    Tool | Own | Otherwise | Where | Warn | Copy | Text | Stage | Remove | LocalNames | EachList | Measured
)
Plan: TypeAlias = Sequence[Step]
