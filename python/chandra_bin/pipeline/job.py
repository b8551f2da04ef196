"""What a step has at hand while it runs: names, settings, a place for its outputs, and a note of all it calls."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from chandra_bin.fits.virtual import VirtualFile
from chandra_bin.regions.marks import is_users

from .archive import ObservationFiles
from .config import Settings
from .layout import Layout, ObsLayout

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Job:
    """One task. Inputs are read where they are; outputs go to ``scratch``, and are moved when the task is done."""

    layout: Layout
    settings: Settings
    scratch: Path
    logs: Path
    """A folder of this run for what tools print."""
    threads: int = 1
    archive: tuple[ObservationFiles, ...] = ()
    """Of the task's observation, or of all."""
    obsid: str | None = None
    calls: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    users: set[Path] = field(default_factory=set)
    """Region files of the user that the task reads, relative to the folder: no outputs."""

    @property
    def obs(self) -> ObsLayout:
        """The files of the task's observation."""
        assert self.obsid is not None
        return self.layout.obs(self.obsid)

    def out(self, path: Path) -> Path:
        """Where to write what will be ``path``."""
        target = self._in_scratch(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def made(self, path: Path) -> Path:
        """Where a file is: in scratch if this task has just made it."""
        target = self._in_scratch(path)
        return target if target.exists() else path

    def region(self, path: Path) -> Path:
        """Where to propose a region: the user's file is there, if there is one."""
        target = self.out(path)
        if is_users(path):
            shutil.copyfile(path, target)
            self.users.add(path.relative_to(self.layout.work))
        return target

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a function, and notes that."""
        words = [self._word(each) for each in args]
        words += [f"{name}={self._word(each)}" for name, each in kwargs.items()]
        self.calls.append(f"{function.__name__}({', '.join(words)})")
        return function(*args, **kwargs)

    def note(self, **facts: Any) -> None:
        """What is worth telling: `numbers, words, and lists of them`, by what they are."""
        self.facts.update(facts)

    def _in_scratch(self, path: Path) -> Path:
        return self.scratch / path.relative_to(self.layout.work)

    def relative(self, text: str) -> str:
        """A message with the names of files from the folder of work.

        Tasks are given whole paths, and put them into errors and warnings: of what they make, those in scratch, where
        it lies until all of it is made.
        """
        for folder in (self.scratch, self.layout.work):
            text = text.replace(f"{folder}{os.sep}", "")
        return text

    def _word(self, value: Any) -> str:
        """An argument, as calls show it."""
        if isinstance(value, str | Path | VirtualFile):
            return repr(self.relative(str(value)))
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(self._word, value))}]"
        if isinstance(value, Mapping):
            return f"{{{', '.join(f'{self._word(key)}: {self._word(each)}' for key, each in value.items())}}}"
        form: Any = getattr(value, "__dataclass_params__", None)
        if form and form.repr:  # a dataclass without a text of its own
            return f"{type(value).__name__}({', '.join(f'{k}={self._word(v)}' for k, v in vars(value).items())})"
        return self.relative(repr(value))
