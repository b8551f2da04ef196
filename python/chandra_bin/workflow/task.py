"""Check whether a task is done, make its products in a scratch folder, and record them."""

import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from secrets import token_hex
from typing import Any

from chandra_bin.errors import InputError

from .pool import need_main_guard
from .records import FOLDER, Record, Stamp, State, is_locked, is_same, locked, stamp_of, stamps_of

_SCRATCH = "scratch"


@dataclass(frozen=True)
class Recipe:
    """How a task is made with the present settings: compared with its record, and stored in its next record."""

    engine: str
    versions: Mapping[str, str]
    settings: Mapping[str, Any]
    inputs: Callable[[], Iterable[Path]]
    """Finds the files that the task reads. Raises `InputError` for a file that is missing."""
    may_read_less: bool = False
    """Whether a record with more inputs stays valid as long as those are unchanged."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Values of settings that a record does not name: of an earlier version, which did not have them."""


@dataclass(frozen=True)
class Assignment:
    """Paths, recipe and known stamps that a process needs to make a task."""

    work: Path
    scratch: Path
    """The products are written here, with their paths relative to ``work``. The folder does not exist yet."""
    recipe: Recipe
    known: Mapping[str, Stamp]
    """Stamps of files by relative path: files that look unchanged are not read again."""


@dataclass(frozen=True)
class Outcome:
    """Results of a task for its record."""

    warnings: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    not_products: Collection[str] = ()
    """Files in the scratch folder that stay there, by relative path."""


@dataclass(frozen=True)
class Made:
    """A task whose products are in ``scratch``."""

    record: Record
    scratch: Path


@dataclass(frozen=True)
class Session:
    """The locked folder of a run: its records, and a scratch folder that no other run uses."""

    state: State
    scratch: Path
    recovered: str | None
    """The task whose products a killed run was placing; they are in place now."""

    def clear(self) -> None:
        """Remove the scratch folders, unless the next run must still move products from there."""
        if not self.state.is_placing:
            shutil.rmtree(self.scratch.parent, ignore_errors=True)


@contextmanager
def opened(work: Path) -> Iterator[Session]:
    """Lock a folder, complete the move of a killed run, and remove scratch folders now and at the end.

    Raises
    ------
    InputError
        If another run has the lock, or the records cannot be read.
    OutputError
        If files cannot be moved or written.
    """
    need_main_guard()
    with locked(work):
        state = State(work)
        session = Session(state, work / FOLDER / _SCRATCH / token_hex(4), state.recover())
        session.clear()
        try:
            yield session
        finally:
            session.clear()


def scratch_name(task: str) -> str:
    """Return the name of a task's scratch folder."""
    return task.replace("/", "-")


def running(work: Path) -> set[str]:
    """Return the `scratch_name` of each task that a run has begun in a folder; empty where no run has the lock."""
    if not is_locked(work):
        return set()
    return {path.name for path in (work / FOLDER / _SCRATCH).glob("*/*")}


def why_not_done(state: State, task: str, recipe: Recipe, *, verify: bool = False) -> str | None:
    """Return why a task must be made, or None if it is done.

    Parameters
    ----------
    state : State
        The records of the folder.
    task : str
        Name of the task.
    recipe : Recipe
        How the task is made with the present settings.
    verify : bool
        Read all files, not only those whose size, time or inode has changed.
    """
    record = state.records.get(task)
    if record is None:
        return "has not run"
    return next(chain(_changes_of_recipe(record, recipe), _changes_of_inputs(state.work, record, recipe, verify),
                      _changes_of_outputs(state.work, record, verify)), None)


def _changes_of_recipe(record: Record, recipe: Recipe) -> Iterator[str]:
    """Yield the changes of engine, versions and settings."""
    if not record.versions:
        yield "must be made again"
    if record.engine != recipe.engine:
        yield f"was made by {record.engine}, but {recipe.engine} is selected"
    elif dict(record.versions) != {**record.versions, **recipe.versions}:
        yield f"was made by {', '.join(f'{name} {value}' for name, value in record.versions.items())}"
    for name, value in recipe.settings.items():
        if name in record.settings:
            if record.settings[name] != value:
                yield f"{name} was {record.settings[name]!r}, now {value!r}"
        elif name not in recipe.defaults or recipe.defaults[name] != value:
            yield f"{name} is new: {value!r}"


def _changes_of_inputs(work: Path, record: Record, recipe: Recipe, verify: bool) -> Iterator[str]:
    """Yield new, changed and missing inputs."""
    try:
        inputs = {os.path.relpath(path, work): path for path in recipe.inputs()}
    except InputError as error:
        yield str(error)
        return
    for name, path in inputs.items():
        if name not in record.inputs:
            yield f"{name} is new"
        elif not is_same(path, record.inputs[name], verify=verify):
            yield f"{name} has changed"
    for name, stamp in record.inputs.items():
        if name not in inputs and not (recipe.may_read_less and is_same(work / name, stamp)):
            yield f"{name} is no longer used"


def _changes_of_outputs(work: Path, record: Record, verify: bool) -> Iterator[str]:
    """Yield missing and changed outputs."""
    for name, stamp in record.outputs.items():
        path = work / name
        if not path.exists():
            yield f"{name} is missing"
        elif not is_same(path, stamp, verify=verify):
            yield f"{name} has changed since it was made"


def make(assignment: Assignment, do: Callable[[], Outcome]) -> Made:
    """Make the products of a task in its scratch folder by calling ``do``, and return them with their record.

    Raises the exceptions of ``do``, and `InputError` if an input has changed meanwhile; the scratch folder is removed
    then.
    """
    work, scratch, recipe = assignment.work, assignment.scratch, assignment.recipe
    began, started = time.monotonic(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        inputs = stamps_of(work, recipe.inputs(), assignment.known)
        scratch.mkdir(parents=True)
        outcome = do()
        # An input may also be new: a region file that the user has saved meanwhile.
        now = {os.path.relpath(path, work) for path in recipe.inputs()}
        changed = [name for name in now.union(inputs) if name not in inputs or not is_same(work / name, inputs[name])]
        if changed:
            raise InputError(f"{work / min(changed)}: changed during processing: run again")
        outputs = {name: stamp_of(os.path.join(scratch, name)) for name in _files_below(scratch)
                   if name not in outcome.not_products}
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return Made(Record(recipe.engine, recipe.versions, recipe.settings, inputs, outputs, started,
                       time.monotonic() - began, outcome.warnings, outcome.calls, outcome.facts), scratch)


def _files_below(folder: Path) -> list[str]:
    """Return the relative paths of all files, sorted by folders and names."""
    found = [os.path.relpath(os.path.join(place, name), folder)
             for place, _, names in os.walk(folder) for name in names]
    return sorted((name for name in found if os.path.isfile(os.path.join(folder, name))),
                  key=lambda name: name.split(os.sep))
