"""One task: whether it is done, and how its products are made in a scratch folder and recorded."""

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

from .records import FOLDER, Record, Stamp, State, is_same, locked, stamp_of, stamps_of

_SCRATCH = "scratch"


@dataclass(frozen=True)
class Recipe:
    """How a task is made now: its record is compared with this, and its next record holds this."""

    engine: str
    versions: Mapping[str, str]
    settings: Mapping[str, Any]
    inputs: Callable[[], Iterable[Path]]
    """Finds the files that the task reads. Raises `InputError` for a file that is missing."""
    may_read_less: bool = False
    """Whether a record stays valid that lists more files, as long as those have not changed."""


@dataclass(frozen=True)
class Assignment:
    """What a process needs to make a task of a folder."""

    work: Path
    scratch: Path
    """The products are written here, with their paths relative to ``work``. The folder does not exist yet."""
    recipe: Recipe
    known: Mapping[str, Stamp]
    """Stamps of files, by relative path: those that look untouched are not read again."""


@dataclass(frozen=True)
class Outcome:
    """What a task reports, for its record."""

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
        """Remove the scratch folders, unless products are still to be moved from there by the next run."""
        if not self.state.is_placing:
            shutil.rmtree(self.scratch.parent, ignore_errors=True)


@contextmanager
def opened(work: Path) -> Iterator[Session]:
    """Lock a folder, complete what a killed run was placing there, and remove its scratch folders; again at the end.

    Raises `InputError` where another run has the lock or the records cannot be read, and `OutputError`.
    """
    with locked(work):
        state = State(work)
        session = Session(state, work / FOLDER / _SCRATCH / token_hex(4), state.recover())
        session.clear()
        try:
            yield session
        finally:
            session.clear()


def why_not_done(state: State, task: str, recipe: Recipe, *, verify: bool = False) -> str | None:
    """Return why a task is to be made, or None where it is done.

    Parameters
    ----------
    verify : read all files, not only those whose size, time or inode has changed.
    """
    record = state.records.get(task)
    if record is None:
        return "has not run"
    return next(chain(_changes_of_recipe(record, recipe), _changes_of_inputs(state.work, record, recipe, verify),
                      _changes_of_outputs(state.work, record, verify)), None)


def _changes_of_recipe(record: Record, recipe: Recipe) -> Iterator[str]:
    if not record.versions:
        yield "is to be made again"
    if record.engine != recipe.engine:
        yield f"was made by {record.engine}, and {recipe.engine} is chosen"
    elif dict(record.versions) != {**record.versions, **recipe.versions}:
        yield f"was made by {', '.join(f'{name} {value}' for name, value in record.versions.items())}"
    for name, value in recipe.settings.items():
        if name not in record.settings or record.settings[name] != value:
            yield f"{name} was {record.settings.get(name)!r}, and is {value!r}"


def _changes_of_inputs(work: Path, record: Record, recipe: Recipe, verify: bool) -> Iterator[str]:
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
            yield f"{name} is not used any more"


def _changes_of_outputs(work: Path, record: Record, verify: bool) -> Iterator[str]:
    for name, stamp in record.outputs.items():
        path = work / name
        if not path.exists():
            yield f"{name} is missing"
        elif not is_same(path, stamp, verify=verify):
            yield f"{name} is not as it was made"


def make(assignment: Assignment, do: Callable[[], Outcome]) -> Made:
    """Make the products of a task in its scratch folder, by ``do``, and return the record.

    Raises what ``do`` raises, and `InputError` where an input has changed meanwhile; the scratch folder is gone then.
    """
    work, scratch, recipe = assignment.work, assignment.scratch, assignment.recipe
    began, started = time.monotonic(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        inputs = stamps_of(work, recipe.inputs(), assignment.known)
        scratch.mkdir(parents=True)
        outcome = do()
        # An input may be new, too: a region that the user has drawn meanwhile.
        now = {os.path.relpath(path, work) for path in recipe.inputs()}
        changed = [name for name in now.union(inputs) if name not in inputs or not is_same(work / name, inputs[name])]
        if changed:
            raise InputError(f"{work / min(changed)}: was changed while it was read: run again")
        outputs = {name: stamp_of(os.path.join(scratch, name)) for name in _files_below(scratch)
                   if name not in outcome.not_products}
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return Made(Record(recipe.engine, recipe.versions, recipe.settings, inputs, outputs, started,
                       time.monotonic() - began, outcome.warnings, outcome.calls, outcome.facts), scratch)


def _files_below(folder: Path) -> list[str]:
    """The relative paths of all files, in the order of their folders and names."""
    found = [os.path.relpath(os.path.join(place, name), folder)
             for place, _, names in os.walk(folder) for name in names]
    return sorted((name for name in found if os.path.isfile(os.path.join(folder, name))),
                  key=lambda name: name.split(os.sep))
