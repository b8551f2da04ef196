"""The context of a running task: file names, settings, a folder for outputs, and a record of its calls."""

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
    """A running task. Outputs are written to ``scratch`` and moved when the task is done."""

    layout: Layout
    settings: Settings
    scratch: Path
    logs: Path
    """Folder for the output of tools in this run."""
    threads: int = 1
    archive: tuple[ObservationFiles, ...] = ()
    """Archive files of the task's observation, or of all observations."""
    obsid: str | None = None
    calls: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    users: set[Path] = field(default_factory=set)
    """Region files of the user that the task reads, relative to the folder of the pipeline; these are not outputs."""

    @property
    def obs(self) -> ObsLayout:
        """The files of the task's observation."""
        assert self.obsid is not None
        return self.layout.obs(self.obsid)

    def out(self, path: Path) -> Path:
        """Return where to write the output ``path``, in scratch; make its folder."""
        target = self._in_scratch(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def made(self, path: Path) -> Path:
        """Return where a file is: in scratch if this task has made it."""
        target = self._in_scratch(path)
        return target if target.exists() else path

    def final_background(self) -> tuple[Path | None, Path | None]:
        """Return the background of the image to bin and its scale; None where step 6 made none."""
        files = (self.layout.final_background, self.layout.final_background_ratio)
        background, ratio = (path if path.exists() else None for path in files)
        return background, ratio

    def region(self, path: Path) -> Path:
        """Return where to write a proposed region; a file of the user is copied there first."""
        target = self.out(path)
        if is_users(path):
            shutil.copyfile(path, target)
            self.users.add(path.relative_to(self.layout.work))
        return target

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function, and record the call."""
        words = [self._word(each) for each in args]
        words += [f"{name}={self._word(each)}" for name, each in kwargs.items()]
        self.calls.append(f"{function.__name__}({', '.join(words)})")
        return function(*args, **kwargs)

    def note(self, **facts: Any) -> None:
        """Record facts for log and report, by name: numbers, words, and lists of them."""
        self.facts.update(facts)

    def _in_scratch(self, path: Path) -> Path:
        """Return the path of an output in scratch."""
        return self.scratch / path.relative_to(self.layout.work)

    def relative(self, text: str) -> str:
        """Return a message with file names relative to the folder of the pipeline.

        Errors and warnings of tasks have absolute paths, in scratch for outputs.
        """
        for folder in (self.scratch, self.layout.work):
            text = text.replace(f"{folder}{os.sep}", "")
        return text

    def _word(self, value: Any) -> str:
        """Return an argument as text."""
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
