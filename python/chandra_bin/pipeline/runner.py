"""Run the pending tasks of a pipeline in order, and record them."""

import os
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from chandra_bin import __version__
from chandra_bin._checks.paths import FileName, as_path
from chandra_bin.errors import ChandraBinError, InputError, OutputError, collect_warnings, counted, reason, warn
from chandra_bin.regions.marks import is_users
from chandra_bin.workflow.records import FOLDER, Record, State
from chandra_bin.workflow.runner import Runner
from chandra_bin.workflow.system import return_freed_arrays
from chandra_bin.workflow.task import (
    Assignment,
    Made,
    Outcome,
    Recipe,
    Session,
    make,
    opened,
    running,
    scratch_name,
    why_not_done,
)

from .archive import find_observation
from .config import Config, Settings, read_config
from .engines import by_ciao_if_taken, engine_of, function_of, versions_at_hand, versions_of
from .graph import STEPS, Task, tasks_of
from .job import Job
from .layout import Layout
from .models import check_fits
from .reprocessing import why_not
from .run_log import RunLog
from .warned import join_warnings

Kind = Literal["done", "to do", "waits", "running"]


@dataclass(frozen=True)
class TaskState:
    """Whether a task is done, and the reason if not."""

    task: Task
    kind: Kind
    why: str
    record: Record | None

    def __repr__(self) -> str:
        why = f": {self.why}" if self.why else ""
        return f"<TaskState {self.task.name}, step {self.task.step}: {self.kind}{why}>"


@dataclass(frozen=True)
class Event:
    """An event of a run, for watchers."""

    kind: Literal["planned", "begins", "done", "warning", "kept", "recovered"]
    task: Task | None
    text: str
    seconds: float = 0.0
    tasks: int = 0
    """The number of tasks that will be run, for ``planned``; 0 in a dry run."""


@dataclass(frozen=True)
class Done:
    """The result of a run."""

    ran: tuple[str, ...]
    """Names of the tasks that ran."""
    states: tuple[TaskState, ...]
    report: Path
    """Path of the report, relative to the folder of the pipeline."""
    is_reported: bool = False
    """Whether the report exists and is newer than all products."""

    def __repr__(self) -> str:
        return f"<Done: {self.summary}>"

    @property
    def finished(self) -> int:
        """The number of tasks that are done."""
        return sum(each.kind == "done" for each in self.states)

    @property
    def summary(self) -> str:
        """How many tasks were run, and how many are done."""
        every = len(self.states)
        ran = counted(len(self.ran), f"of {every} tasks was", f"of {every} tasks were")
        return f"{ran} run, {counted(self.finished, 'is', 'are')} done"


Watcher = Callable[[Event], None]


class Pipeline:
    """A configured folder; ``engine`` overrides the setting.

    Raises `InputError` for an invalid configuration or archive.
    """

    def __init__(self, work: FileName, engine: str | None = None) -> None:
        work = as_path(work, "work")
        self.work = work.resolve()  # records have paths with "..", which would be wrong from a link to the folder
        if not self.work.is_dir():
            if self.work.exists():
                raise InputError(f"{work}: is a file: give the folder of a pipeline")
            raise InputError(f"{work}: no such folder: make one by chandra-bin init DIR -o {shlex.quote(str(work))}")
        self.config: Config = read_config(work)
        self.settings: Settings = self.config.settings if engine is None else (
            self.config.settings.model_copy(update={"engine": engine}))
        settings = self.settings
        self.layout = Layout.of(self.work, settings)
        folder = Path(os.path.abspath(self.config.cluster_directory))
        if settings.engine == "ciao" and settings.sigthresh == "auto":
            raise InputError("sigthresh = 'auto': CIAO's wavdetect needs a number: give about 1 / (number of pixels "
                             "with exposure), e.g. 1e-6")
        self.archive = [find_observation(folder, obsid, settings.blank_sky) for obsid in settings.obs_ids]
        self.tasks = tasks_of(self.layout, settings, self.archive)

    def states(self, state: State, *, verify: bool = False) -> list[TaskState]:
        """Return the states of all tasks in order; a task with a pending predecessor waits for it."""
        found: dict[str, TaskState] = {}
        for task in self.tasks:
            waits = next((name for name in task.after if found[name].kind != "done"), None)
            record = state.records.get(task.name)
            if waits:
                found[task.name] = TaskState(task, "waits", f"for {waits}", record)
            else:
                why = self.why(task, state, verify=verify)
                found[task.name] = TaskState(task, "to do" if why else "done", why or "", record)
        return list(found.values())

    def why(self, task: Task, state: State, *, verify: bool = False) -> str | None:
        """Return why a task, whose predecessors are done, must run; None if it is done."""
        return why_not_done(state, task.name, self._compared(task, state.records.get(task.name)), verify=verify)

    def recipe(self, task: Task) -> Recipe:
        """Return how a task is made. Raises `InputError` if it needs CIAO and CIAO is not set up."""
        engine = engine_of(task.kind, self.settings, task.archive)
        return Recipe(engine, versions_of(engine), self.settings.chosen(task.settings), partial(inputs_of, task))

    def _compared(self, task: Task, record: Record | None) -> Recipe:
        """Return the recipe that the record of a task is compared with; CIAO need not be set up."""
        engine = engine_of(task.kind, self.settings, task.archive)
        # Products of CIAO stay valid without CIAO; CIAO may have read more files.
        stays = (record is not None and self.settings.engine == "auto"
                 and (record.engine, engine) == ("ciao", "native"))
        made_by = "ciao" if stays else engine
        return Recipe(made_by, versions_at_hand(made_by), self.settings.chosen(task.settings),
                      partial(inputs_of, task), may_read_less=stays, defaults=self.settings.defaults())


def inputs_of(task: Task) -> list[Path]:
    """Return the input files of a task. Raises `InputError` for a missing file."""
    for path in task.needs:
        if not path.is_file():
            raise InputError(f"{path}: does not exist, but step {task.step} needs it")
    there = [*task.needs, *(path for path in task.may_need if path.is_file())]
    there += [path for pattern in task.patterns for path in sorted(pattern.parent.glob(pattern.name))]
    there += [path for path in task.regions if is_users(path)]
    return list(dict.fromkeys(there))


def run(work: FileName, *, first: int = 1, last: int = max(STEPS), redo: Sequence[int] = (),
        verify: bool = False, dry_run: bool = False, engine: str | None = None, jobs: int = 1, threads: int = 1,
        watch: Watcher | None = None) -> Done:
    """Run the pending tasks of the steps ``first`` to ``last``.

    Only one run at a time can work in a folder. A failure keeps all products that are done.

    Parameters
    ----------
    redo : steps to make again even if they are done.
    verify : read all files, not only those whose size, time or inode has changed.
    dry_run : run nothing, and return the states that a run would start from.
    engine : "auto", "native" or "ciao", which overrides the setting.
    jobs : number of observations to process at once, each in its own process.
    threads : threads per job; a task of all observations uses those of all jobs. Results do not depend on them.
    watch : called with each `Event`.

    Raises `InputError`, with step and ObsID if a task fails, and for an invalid folder, steps or settings; and
    `OutputError` if files cannot be written.
    """
    _check_steps(first, last, redo)
    pipeline = Pipeline(work, engine)
    report = pipeline.layout.report.relative_to(pipeline.work)
    if dry_run:
        return _dry_run(pipeline, first, last, redo, verify, watch or (lambda _event: None))
    with opened(pipeline.work) as session:
        state = session.state
        log = RunLog(pipeline.layout.logs)
        engines = dict.fromkeys(engine_of(task.kind, pipeline.settings, task.archive) for task in pipeline.tasks)
        log.write(f"chandra-bin {__version__}, steps {first} to {last}, engine {pipeline.settings.engine}: "
                  f"{', '.join(engines)}")
        notify = _notifier(log, watch)
        if session.recovered:
            notify(Event("recovered", None, f"the products of {session.recovered} were complete and are now in place"))
        _check_ciao(pipeline, state, first, last)
        _check_fits(pipeline, _planned(pipeline, state, first, last, redo), first, last)
        for task in pipeline.tasks:
            if task.step in redo:
                state.forget(task.name)
        planned = sum(each.kind != "done" for each in pipeline.states(state) if each.task.step <= last)
        notify(Event("planned", None, _plan_text(pipeline, planned), tasks=planned))
        going = _Run(pipeline, session, notify, log, jobs, threads, verify, first)
        try:
            going.run([task for task in pipeline.tasks if task.step <= last])
        except BaseException as error:
            # Report the first error.
            with suppress(ChandraBinError):
                log.write(f"ends: {type(error).__name__}: {error}")
            with suppress(ChandraBinError):
                _finish(pipeline, session)
            raise
        states = _finish(pipeline, session)
        log.write(f"ends: {counted(len(going.ran), 'task was', 'tasks were')} run")
        page = pipeline.layout.report
        is_reported = page.is_file() and page.stat().st_mtime_ns >= state.file.stat().st_mtime_ns
    return Done(tuple(going.ran), tuple(states), report, is_reported)


def _check_steps(first: int, last: int, redo: Sequence[int]) -> None:
    """Raise `InputError` for steps that do not exist or are out of the range of the run."""
    for step in (first, last, *redo):
        if step not in STEPS:
            raise InputError(f"step must be 1 to {max(STEPS)}, got {step}")
    if first > last:
        raise InputError(f"first step {first} is after last step {last}: give a first step up to {last}")
    if beyond := [step for step in redo if not first <= step <= last]:
        raise InputError(f"step {beyond[0]} cannot be made again in a run of steps {first} to {last}: extend the range")


def _plan_text(pipeline: Pipeline, tasks: int) -> str:
    """Return how many tasks are to be run, and the S/N of the bins."""
    return f"{counted(tasks, 'task')} to run; {pipeline.settings.sn_text}"


def _notifier(log: "RunLog", watch: Watcher | None) -> Watcher:
    """Return a function that passes events to the log and the watcher."""
    def notify(event: Event) -> None:
        log.event(event)
        if watch:
            watch(event)

    return notify


def _check_ciao(pipeline: Pipeline, state: State, first: int, last: int) -> None:
    """Raise `InputError` if CIAO cannot do its tasks, before hours of other work."""
    if any(engine_of(task.kind, pipeline.settings, task.archive) == "ciao" and task.name not in state.records
           for task in pipeline.tasks if first <= task.step <= last):
        versions_of("ciao")
    if pipeline.settings.engine == "ciao" and (why := next(_refused(pipeline, state, first, last), None)):
        raise InputError(f'{why}; or choose engine = "native"')


def _check_fits(pipeline: Pipeline, planned: Sequence[TaskState], first: int, last: int) -> None:
    """Raise `InputError` if the run is to fit and files of the model are missing, before hours of other work."""
    is_planned = any(each.task.kind == "fit" and each.kind != "done" and first <= each.task.step <= last
                     for each in planned)
    if is_planned and any(files.blank_sky for files in pipeline.archive):  # without a blank sky nothing is fitted
        check_fits(pipeline.settings, pipeline.work)


def status(work: FileName, *, verify: bool = False) -> list[TaskState]:
    """Return the states of all tasks, also during a run; ``verify`` reads all files."""
    pipeline = Pipeline(work)
    begun = running(pipeline.work)
    states = pipeline.states(State(pipeline.work), verify=verify)
    return [replace(each, kind="running", why="") if each.kind == "to do" and scratch_name(each.task.name) in begun
            else each for each in states]


class _Run(Runner[Task]):
    """One run of a pipeline."""

    def __init__(self, pipeline: Pipeline, session: Session, notify: Watcher, log: "RunLog", jobs: int, threads: int,
                 verify: bool, first: int) -> None:
        super().__init__(session, jobs)
        self.pipeline, self.notify, self.log = pipeline, notify, log
        self.threads, self.verify, self.first = threads, verify, first
        self.ran: list[str] = []
        self._held: dict[str, list[tuple[Task, str]]] = {}

    def why(self, task: Task) -> str | None:
        """Return why a task must run, or None."""
        return self.pipeline.why(task, self.session.state, verify=self.verify)

    def recipe(self, task: Task) -> Recipe:
        """Return how a task is made."""
        return self.pipeline.recipe(task)

    def label(self, task: Task) -> str:
        """Return the step and ObsID of a task."""
        return _label(task)

    def begin(self, task: Task, why: str) -> Callable[[Assignment], Made]:
        """Return the function that makes a task. Raises `InputError` for a task of an earlier step."""
        if task.step < self.first:
            raise InputError(f"step {task.step} is not done ({task.name}: {why}): start with it, --from {task.step}")
        self.notify(Event("begins", task, why))
        # No other task runs at the same time as a task of all observations.
        threads = self.threads if task.obsid else self.threads * self.jobs
        return partial(_make, _Order(task, self.pipeline.layout, self.pipeline.settings, threads, self.log.folder))

    def placed(self, task: Task, made: Made, kept: Sequence[str]) -> None:
        """Log a task, and keep its warnings until all tasks of its kind are done."""
        self.ran.append(task.name)
        # Several observations often have the same warning, which becomes one line.
        self._held.setdefault(task.kind, []).extend((task, text) for text in made.record.warnings)
        for name in kept:
            self.notify(Event("kept", task, f"{name} had changed since it was made: moved to {FOLDER}/replaced"))
        self.log.record(made.record)
        self.notify(Event("done", task, "", made.record.seconds))

    def settled(self, pending: Collection[Task]) -> None:
        """Report the warnings of all tasks of a kind when the last one has ended."""
        busy = {task.kind for task in pending}
        turn = {task.name: number for number, task in enumerate(self.pipeline.tasks)}
        for kind in [each for each in self._held if each not in busy]:
            held = sorted(self._held.pop(kind), key=lambda each: turn[each[0].name])  # in the order of tasks
            tasks = {task.name: task for task, _ in held}
            for name, text in join_warnings((task.name, text) for task, text in held):
                self.notify(Event("warning", tasks.get(name, held[0][0]), text))


@dataclass(frozen=True)
class _Order:
    """Parameters of a task, besides its assignment, for another process."""

    task: Task
    layout: Layout
    settings: Settings
    threads: int
    logs: Path

    def job(self, scratch: Path) -> Job:
        """Return the job of the task."""
        return Job(self.layout, self.settings, scratch, self.logs, self.threads, self.task.archive, self.task.obsid)


def _make(order: _Order, assignment: Assignment) -> Made:
    """Make a task in its scratch folder. Its errors begin with the step."""
    task, scratch = order.task, assignment.scratch
    return_freed_arrays()
    try:
        return make(assignment, partial(_do, order, scratch, assignment.recipe.engine))
    except ChandraBinError as error:
        kind = OutputError if isinstance(error, OutputError) else InputError
        raise kind(f"{_label(task)}: {order.job(scratch).relative(str(error))}") from None
    except OSError as error:
        raise OutputError(f"{_label(task)}: {error.filename or scratch}: {reason(error)}") from None


def _do(order: _Order, scratch: Path, engine: str) -> Outcome:
    """Do a task with an engine."""
    task = order.task
    job = order.job(scratch)
    with collect_warnings(job.relative) as texts:
        function_of(engine, task.kind)(job)
        # The runner, not the task, selects the engine.
        if ((task.kind, engine) == ("reprocess", "native") and by_ciao_if_taken(order.settings)
                and (why := why_not(task.archive[0]))):
            warn(why)
    return Outcome(tuple(texts), tuple(job.calls), job.facts, {str(path) for path in job.users})


def _refused(pipeline: Pipeline, state: State, first: int, last: int) -> Iterator[str]:
    """Yield why chandra_repro would refuse observations of the run, before hours of other work."""
    for task in pipeline.tasks:
        if task.kind != "reprocess" or not first <= task.step <= last or task.name in state.records:
            continue
        if by_ciao_if_taken(pipeline.settings) and (why := why_not(task.archive[0])):
            yield why if pipeline.settings.engine == "ciao" else f"{why}: the native engine is used instead"


def _label(task: Task) -> str:
    """Return the step and ObsID of a task."""
    return f"step {task.step}, ObsID {task.obsid}" if task.obsid else f"step {task.step}"


def _dry_run(pipeline: Pipeline, first: int, last: int, redo: Sequence[int], verify: bool, watch: Watcher) -> Done:
    """Return the planned states, and report the observations that chandra_repro would refuse."""
    state = State(pipeline.work)
    for text in _refused(pipeline, state, first, last):
        watch(Event("warning", None, text))
    planned = _planned(pipeline, state, first, last, redo, verify)
    try:
        _check_fits(pipeline, planned, first, last)
    except InputError as error:
        watch(Event("warning", None, str(error)))
    wanted = sum(each.kind != "done" and first <= each.task.step <= last for each in planned)
    watch(Event("planned", None, _plan_text(pipeline, wanted)))
    return Done((), tuple(planned), pipeline.layout.report.relative_to(pipeline.work))


def _planned(pipeline: Pipeline, state: State, first: int, last: int, redo: Sequence[int],
             verify: bool = False) -> list[TaskState]:
    """Return the states, adjusted for steps outside the range and steps to be made again."""
    again: set[str] = set()
    planned = []
    for each in pipeline.states(state, verify=verify):
        if not first <= each.task.step <= last:
            planned.append(each if each.kind == "done" else replace(each, why="not selected"))
        elif each.kind == "done" and each.task.step in redo:
            again.add(each.task.name)
            planned.append(replace(each, kind="to do", why="must be made again"))
        elif each.kind == "done" and (waits := next((name for name in each.task.after if name in again), None)):
            again.add(each.task.name)
            planned.append(replace(each, kind="waits", why=f"for {waits}"))
        else:
            planned.append(each)
    return planned


def _finish(pipeline: Pipeline, session: Session) -> list[TaskState]:
    """Return the states at the end of a run, and update flags and link."""
    session.clear()
    states = pipeline.states(session.state)
    _mirror_flags(pipeline, states)
    _link(pipeline.layout)
    return states


def _mirror_flags(pipeline: Pipeline, states: Sequence[TaskState]) -> None:
    """Update the flags of the configuration."""
    done = {step: all(each.kind == "done" for each in states if each.task.step == step) for step in STEPS}
    pipeline.config.mirror_flags(done)


def _link(layout: Layout) -> None:
    """Link the step scripts' name of the merged folder, which has target S/N and contour S/N, to the folder."""
    link = layout.merged_link
    if layout.merged.is_dir() and not os.path.lexists(link):
        with suppress(OSError):  # without links or space on the disk, the next run tries again
            link.symlink_to(layout.merged.name)
