"""Runs the tasks of a graph that are not done: a pipeline is a graph of many, a cluster of a batch of one."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Generic, Protocol, TypeVar

from chandra_bin.errors import InputError

from .pool import InlineExecutor, Processes, WorkerLost
from .records import Stamp
from .task import Assignment, Made, Recipe, Session


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
    """Makes each task that is not done, when those before it are, and places and records its products.

    Parameters
    ----------
    session : the locked folder.
    jobs : number of tasks that are made at once, each in a process of its own; 1: in this process.
    """

    def __init__(self, session: Session, jobs: int = 1) -> None:
        self.session, self.jobs = session, jobs
        self._waiting: list[N] = []
        self._running: dict[Future[Made], N] = {}
        self._done: set[str] = set()

    @abstractmethod
    def why(self, task: N) -> str | None:
        """Return why a task is to be made, or None where it is done."""

    @abstractmethod
    def recipe(self, task: N) -> Recipe:
        """Return how a task is made now."""

    @abstractmethod
    def begin(self, task: N, why: str) -> Callable[[Assignment], Made]:
        """Return the function that makes a task that is not done; it is sent to a process where ``jobs`` is above 1."""

    @abstractmethod
    def placed(self, task: N, made: Made, kept: Sequence[str]) -> None:
        """Take note of a task whose products are in place; ``kept`` are files that were set aside for them."""

    def settled(self, pending: Collection[N]) -> None:
        """Take note that some tasks have ended, and that ``pending`` have not."""

    def label(self, task: N) -> str:
        """Return the beginning of an error of a task."""
        return task.name

    def run(self, tasks: Sequence[N]) -> None:
        """Make the tasks that are not done; each stands behind those that it reads from.

        The first error ends the run, when the tasks that are under way have been finished and placed.
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
                # The work of other tasks is not lost by the failure of one. A tool may run for hours, though, and who
                # stops a run means now.
                if isinstance(error, KeyboardInterrupt):
                    executor.interrupt()
                self._finish_running()
                raise

    def _begin_tasks(self, executor: InlineExecutor | Processes) -> None:
        """Begin the tasks whose predecessors are done, as many as there are processes."""
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
            scratch = self.session.scratch / task.name.replace("/", "-")
            assignment = Assignment(state.work, scratch, self.recipe(task), dict(self._known(task)))
            self._running[executor.submit(make, assignment)] = task

    def _known(self, task: N) -> Iterator[tuple[str, Stamp]]:
        """Stamps of files that the tasks before it read or made, or that it read itself in an earlier run."""
        records = self.session.state.records
        for name in task.after:
            yield from records[name].inputs.items()
            yield from records[name].outputs.items()
        if task.name in records:
            yield from records[task.name].inputs.items()

    def _result(self, task: N, future: Future[Made]) -> Made:
        try:
            return future.result()
        except WorkerLost as error:
            raise InputError(f"{self.label(task)}: {error}") from None

    def _place(self, task: N, made: Made) -> None:
        kept = self.session.state.place(task.name, made.record, made.scratch)
        self._done.add(task.name)
        self.placed(task, made, kept)

    def _finish_running(self) -> None:
        """Wait for the tasks that are under way, and place the products of those that succeed."""
        for future, task in self._running.items():
            if not future.cancel() and future.exception() is None:
                self._place(task, future.result())
        self.settled(())
