"""Runner of the pending tasks of a graph: a pipeline has many tasks, each cluster of a batch has one."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from chandra_bin.errors import InputError

from .pool import InlineExecutor, Processes, WorkerLost
from .records import Stamp
from .task import Assignment, Made, Recipe, Session, scratch_name


class Node(Protocol):
    """A task of a graph."""

    @property
    def name(self) -> str:
        """The name of its record."""

    @property
    def after(self) -> Sequence[str]:
        """The names of the tasks whose products it reads."""


N = TypeVar("N", bound=Node)


class Runner(ABC, Generic[N]):
    """Makes each pending task when its predecessors are done, and places and records its products.

    Parameters
    ----------
    session : Session
        The locked folder.
    jobs : int
        Number of tasks that run at once, each in its own process; 1: in this process.
    """

    def __init__(self, session: Session, jobs: int = 1) -> None:
        self.session, self.jobs = session, jobs
        self._waiting: list[N] = []
        self._running: dict[Future[Made], N] = {}
        self._done: set[str] = set()

    @abstractmethod
    def why(self, task: N) -> str | None:
        """Return why a task must be made, or None if it is done."""

    @abstractmethod
    def recipe(self, task: N) -> Recipe:
        """Return how a task is made with the present settings."""

    @abstractmethod
    def begin(self, task: N, why: str) -> Callable[[Assignment], Made]:
        """Return the function that makes a pending task; it must be picklable if ``jobs`` is above 1."""

    @abstractmethod
    def placed(self, task: N, made: Made, kept: Sequence[str]) -> None:
        """Handle a task whose products are in place; ``kept`` are the files that were set aside for them."""

    def lost(self, task: N, scratch: Path, error: WorkerLost) -> Made:  # noqa: ARG002 - for subclasses
        """Return the record of a task whose process was killed; by default, end the run with an `InputError`."""
        raise InputError(f"{self.label(task)}: {error}") from None

    def settled(self, pending: Collection[N]) -> None:
        """Handle the end of some tasks; ``pending`` are the remaining ones."""

    def label(self, task: N) -> str:
        """Return the prefix of the errors of a task."""
        return task.name

    def run(self, tasks: Sequence[N]) -> None:
        """Make the pending tasks; each must come after its predecessors in ``tasks``.

        The first error ends the run once the running tasks have been finished and placed.
        """
        self._waiting = list(tasks)
        with InlineExecutor() if self.jobs == 1 else Processes(self.jobs) as executor:
            try:
                while self._waiting or self._running:
                    self._begin_tasks(executor)
                    if self._running:
                        for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                            task = self._running.pop(future)
                            self._place(task, self._result(task, future))
                    self.settled([*self._waiting, *self._running.values()])
            except BaseException as error:
                # The failure of one task must not lose the work of others. Ctrl-C stops them at once, since a tool may
                # run for hours.
                if isinstance(error, KeyboardInterrupt):
                    executor.interrupt()
                self._finish_running()
                raise

    def _begin_tasks(self, executor: InlineExecutor | Processes) -> None:
        """Start tasks whose predecessors are done, up to the number of processes."""
        state = self.session.state
        for task in [each for each in self._waiting if self._done.issuperset(each.after)]:
            if len(self._running) >= self.jobs:
                return
            self._waiting.remove(task)
            why = self.why(task)
            if why is None:
                state.refresh(task.name)
                self._done.add(task.name)
                continue
            make = self.begin(task, why)
            assignment = Assignment(state.work, self._scratch(task), self.recipe(task), dict(self._known(task)))
            self._running[executor.submit(make, assignment)] = task

    def _scratch(self, task: N) -> Path:
        """Return the folder that a task writes its products to."""
        return self.session.scratch / scratch_name(task.name)

    def _known(self, task: N) -> Iterator[tuple[str, Stamp]]:
        """Yield stamps of files that the task's predecessors read or made, or that it read in an earlier run."""
        records = self.session.state.records
        for name in task.after:
            yield from records[name].inputs.items()
            yield from records[name].outputs.items()
        if task.name in records:
            yield from records[task.name].inputs.items()

    def _result(self, task: N, future: Future[Made]) -> Made:
        """Return the result of a task, or raise its error."""
        try:
            return future.result()
        except WorkerLost as error:
            return self.lost(task, self._scratch(task), error)

    def _place(self, task: N, made: Made) -> None:
        """Move the products of a task to their places."""
        kept = self.session.state.place(task.name, made.record, made.scratch)
        self._done.add(task.name)
        self.placed(task, made, kept)

    def _finish_running(self) -> None:
        """Wait for the running tasks, and place the products of those that succeed."""
        for future, task in self._running.items():
            if not future.cancel() and future.exception() is None:
                self._place(task, future.result())
        self.settled(())
