"""Runs the tasks that are not done, in order, and keeps their records."""

import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, Literal

from chandra_bin import __version__
from chandra_bin.errors import ChandraBinError, InputError, OutputError, counted, heard, reason, warn, writing
from chandra_bin.regions.marks import is_users
from chandra_bin.workflow.pool import InlineExecutor, Processes, WorkerLost
from chandra_bin.workflow.records import FOLDER, Record, Stamp, State, is_same, locked, stamp_of, stamps_of

from .archive import ObservationFiles, find_observation
from .config import Config, Settings, read_config
from .engines import by_ciao_if_taken, engine_of, function_of, versions_at_hand, versions_of
from .graph import STEPS, Task, tasks_of
from .job import Job
from .layout import Layout
from .reprocessing import why_not
from .warned import join_warnings

SCRATCH = "scratch"
# What the language of names with filters cannot hold in a file's name.
_ODD = re.compile(r"[^\w./-]")
Kind = Literal["done", "to do", "waits"]


@dataclass(frozen=True)
class TaskState:
    """Whether a task is done, and if not, why."""

    task: Task
    kind: Kind
    why: str
    record: Record | None


@dataclass(frozen=True)
class Event:
    """Something that happened in a run, for whoever watches it."""

    kind: Literal["begins", "done", "warning", "kept", "recovered"]
    task: Task | None
    text: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Done:
    """What a run did."""

    ran: tuple[str, ...]
    """Names of tasks."""
    states: tuple[TaskState, ...]
    report: Path
    """Where the report of this folder is to be, relative to it."""
    is_reported: bool = False
    """Whether it is there, and younger than all that was done."""


Watcher = Callable[[Event], None]


class Pipeline:
    """A configured folder; ``engine`` takes the place of the setting.

    Raises `InputError` for a configuration, or an archive, that cannot be used.
    """

    def __init__(self, work: Path, engine: str | None = None) -> None:
        self.work = work.resolve()  # names in records lead out of it by "..", which is not where a link to it lies
        if not self.work.is_dir():
            if self.work.exists():
                raise InputError(f"{work}: is a file; give the folder of a pipeline")
            raise InputError(f"{work}: there is no such folder: make one by 'chandra-bin init DIR -o {work}'")
        self.config: Config = read_config(work)
        self.settings: Settings = self.config.settings if engine is None else (
            self.config.settings.model_copy(update={"engine": engine}))
        settings = self.settings
        self.layout = Layout.of(self.work, settings)
        folder = Path(os.path.abspath(self.config.cluster_directory))
        if settings.engine == "ciao" and settings.sigthresh == "auto":
            raise InputError("sigthresh = 'auto': CIAO's wavdetect takes a number: give about 1 / (number of pixels "
                             "with exposure), 1e-6 say")
        self.archive = [find_observation(folder, obsid, settings.blank_sky) for obsid in settings.obs_ids]
        self.tasks = tasks_of(self.layout, settings, self.archive)

    def states(self, state: State, *, verify: bool = False) -> list[TaskState]:
        """All tasks, in order; one after another that is not done waits for it."""
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
        """Why a task, whose predecessors are done, is to be run; None where it is done."""
        record = state.records.get(task.name)
        if record is None:
            return "has not run"
        reasons = chain(self._of_settings(task, record), self._of_inputs(task, record, verify=verify),
                        self._of_outputs(record, verify=verify))
        return next(reasons, None)

    def _of_settings(self, task: Task, record: Record) -> Iterator[str]:
        engine = engine_of(task.kind, self.settings, task.archive)
        if not record.versions:
            yield "is to be made again"
        if record.engine != engine and not self._stays(task, record):
            yield f"was made by {record.engine}, and {engine} is chosen"
        elif dict(record.versions) != {**record.versions, **versions_at_hand(record.engine)}:
            yield f"was made by {', '.join(f'{name} {value}' for name, value in record.versions.items())}"
        for name, value in self.settings.chosen(task.settings).items():
            if name not in record.settings or record.settings[name] != value:
                yield f"{name} was {record.settings.get(name)!r}, and is {value!r}"

    def _of_inputs(self, task: Task, record: Record, *, verify: bool) -> Iterator[str]:
        try:
            inputs = {os.path.relpath(path, self.work): path for path in inputs_of(task)}
        except InputError as error:
            yield str(error)
            return
        for name, path in inputs.items():
            if name not in record.inputs:
                yield f"{name} is new"
            elif not is_same(path, record.inputs[name], verify=verify):
                yield f"{name} has changed"
        for name, stamp in record.inputs.items():
            if name not in inputs and not (self._stays(task, record) and is_same(self.work / name, stamp)):
                yield f"{name} is not used any more"

    def _stays(self, task: Task, record: Record) -> bool:
        """Whether CIAO made something, and is not set up now: it was the best at hand. It may have read more files."""
        engine = engine_of(task.kind, self.settings, task.archive)
        return self.settings.engine == "auto" and (record.engine, engine) == ("ciao", "native")

    def _of_outputs(self, record: Record, *, verify: bool) -> Iterator[str]:
        for name, stamp in record.outputs.items():
            path = self.work / name
            if not path.exists():
                yield f"{name} is missing"
            elif not is_same(path, stamp, verify=verify):
                yield f"{name} is not as it was made"

    def refresh(self, task: Task, state: State) -> None:
        """Takes over what files look like, where only that has changed, so that they are not read again."""
        record = state.records[task.name]
        inputs = stamps_of(self.work, (self.work / name for name in record.inputs), record.inputs)
        outputs = stamps_of(self.work, (self.work / name for name in record.outputs), record.outputs)
        if inputs != record.inputs or outputs != record.outputs:
            state.touch(task.name, inputs, outputs)


def inputs_of(task: Task) -> list[Path]:
    """The files that a task reads now. Raises `InputError` for one that is missing."""
    for path in task.needs:
        if not path.is_file():
            raise InputError(f"{path}: is not there, and step {task.step} needs it")
    there = [*task.needs, *(path for path in task.may_need if path.is_file())]
    there += [path for pattern in task.patterns for path in sorted(pattern.parent.glob(pattern.name))]
    there += [path for path in task.regions if is_users(path)]
    return list(dict.fromkeys(there))


def run(work: Path, *, first: int = 1, last: int = 8, redo: Sequence[int] = (), verify: bool = False,
        dry_run: bool = False, engine: str | None = None, jobs: int = 1, threads: int = 1,
        watch: Watcher | None = None) -> Done:
    """Runs what is not done of the steps ``first`` to ``last``.

    Parameters
    ----------
    redo : steps that are made again even if they are done.
    verify : all files are read, not only those that look touched.
    dry_run : nothing is run; the states say what would be.
    engine : ``auto``, ``native`` or ``ciao``, in place of the setting.
    jobs : observations at once, each in a process of its own.
    threads : of each of these; a task of all observations has as many as all of them. Neither changes a result.
    watch : called with each `Event`.

    Raises `InputError`, beginning with step and ObsID where a task failed, and `OutputError`; what was done by then is
    kept. One run at a time works in a folder.
    """
    for step in (first, last, *redo):
        if step not in STEPS:
            raise InputError(f"step {step}: there are steps 1 to {max(STEPS)}")
    if first > last:
        raise InputError(f"from step {first} to step {last}: that is none")
    if beyond := [step for step in redo if not first <= step <= last]:
        raise InputError(f"step {beyond[0]} is to be made again, and is not among steps {first} to {last}")
    pipeline = Pipeline(work, engine)
    report = pipeline.layout.report.relative_to(pipeline.work)
    if dry_run:
        return _dry_run(pipeline, first, last, redo, verify, watch or (lambda _event: None))
    with locked(pipeline.work):
        state = State(pipeline.work)
        log = _Log(pipeline.layout.logs)
        engines = dict.fromkeys(engine_of(task.kind, pipeline.settings, task.archive) for task in pipeline.tasks)
        log.write(f"chandra-bin {__version__}, steps {first} to {last}, engine {pipeline.settings.engine}: "
                  f"{', '.join(engines)}")

        def tell(event: Event) -> None:
            log.event(event)
            if watch:
                watch(event)

        if recovered := state.recover():
            tell(Event("recovered", None, f"{recovered} had been made, and is in place now"))
        if any(engine_of(task.kind, pipeline.settings, task.archive) == "ciao" and task.name not in state.records
               for task in pipeline.tasks if first <= task.step <= last):
            versions_of("ciao")  # before hours of work that come before it
        if pipeline.settings.engine == "ciao" and (why := next(_refused(pipeline, state, first, last), None)):
            raise InputError(f'{why}; or choose engine = "native"')
        scratch = pipeline.work / FOLDER / SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)
        for task in pipeline.tasks:
            if task.step in redo:
                state.forget(task.name)
        going = _Run(pipeline, state, scratch / secrets.token_hex(4), tell, log, jobs, threads, verify)
        try:
            going.run(first, last)
        except BaseException as error:
            # What went wrong first is what is to be said.
            with suppress(ChandraBinError):
                log.write(f"ends: {type(error).__name__}: {error}")
            with suppress(ChandraBinError):
                _finish(pipeline, state, scratch)
            raise
        states = _finish(pipeline, state, scratch)
        log.write(f"ends: {counted(len(going.ran), 'task was', 'tasks were')} run")
        page = pipeline.layout.report
        is_reported = page.is_file() and page.stat().st_mtime_ns >= state.file.stat().st_mtime_ns
    return Done(tuple(going.ran), tuple(states), report, is_reported)


def status(work: Path, *, verify: bool = False) -> list[TaskState]:
    """What is done, and what is not and why; ``verify`` reads all files."""
    pipeline = Pipeline(work)
    return pipeline.states(State(pipeline.work), verify=verify)


class _Run:
    """One run: tasks begin when those that they wait for are done."""

    def __init__(self, pipeline: Pipeline, state: State, scratch: Path, tell: Watcher, log: "_Log",
                 jobs: int, threads: int, verify: bool) -> None:
        self.pipeline, self.state, self.scratch, self.tell, self.log = pipeline, state, scratch, tell, log
        self.jobs, self.threads, self.verify = jobs, threads, verify
        self.ran: list[str] = []
        self._held: dict[str, list[tuple[Task, str]]] = {}

    def run(self, first: int, last: int) -> None:
        waiting = [task for task in self.pipeline.tasks if task.step <= last]
        done: set[str] = set()
        running: dict[Future[_Made], Task] = {}
        with InlineExecutor() if self.jobs == 1 else Processes(self.jobs) as executor:
            try:
                while waiting or running:
                    for task in [each for each in waiting if done.issuperset(each.after)]:
                        if len(running) >= self.jobs:
                            break
                        waiting.remove(task)
                        why = self.pipeline.why(task, self.state, verify=self.verify)
                        if why is None:
                            self.pipeline.refresh(task, self.state)
                            done.add(task.name)
                            continue
                        if task.step < first:
                            raise InputError(f"step {task.step} is not done ({task.name}: {why}): begin there, --from "
                                             f"{task.step}")
                        self.tell(Event("begins", task, why))
                        running[executor.submit(_make, self._order(task))] = task
                    if running:
                        for future in wait(running, return_when=FIRST_COMPLETED).done:
                            task = running.pop(future)
                            self._place(task, _result(task, future))
                            done.add(task.name)
                    busy = {task.kind for task in (*waiting, *running.values())}
                    self._tell_held([kind for kind in self._held if kind not in busy])
            except BaseException as error:
                # Others that are under way are let finish, and kept: their work is not lost by the failure of one. A
                # tool may run for hours, though, and who stops a run means now.
                if isinstance(error, KeyboardInterrupt):
                    executor.interrupt()
                for future, task in running.items():
                    if future.cancel():
                        continue
                    if future.exception() is None:
                        self._place(task, future.result())
                self._tell_held(list(self._held))
                raise

    def _order(self, task: Task) -> "_Order":
        name = task.name.replace("/", "-")
        engine = engine_of(task.kind, self.pipeline.settings, task.archive)
        # Nothing else of weight runs beside a task of all observations.
        threads = self.threads if task.obsid else self.threads * self.jobs
        return _Order(task, self.pipeline.layout, self.pipeline.settings, self.scratch / name, engine, threads,
                      versions_of(engine), self.log.folder, dict(self._known(task)))

    def _known(self, task: Task) -> Iterable[tuple[str, Stamp]]:
        """Stamps of files that the tasks before it read or made, so that they need not be read again."""
        for name in task.after:
            yield from self.state.records[name].inputs.items()
            yield from self.state.records[name].outputs.items()
        if task.name in self.state.records:
            yield from self.state.records[task.name].inputs.items()

    def _place(self, task: Task, made: "_Made") -> None:
        # Nobody who listens, a closed pipe say, may keep it from its place.
        kept = self.state.place(task.name, made.record, made.scratch)
        self.ran.append(task.name)
        # Several observations often warn of the same: that is one line when all of them are done.
        self._held.setdefault(task.kind, []).extend((task, text) for text in made.record.warnings)
        for name in kept:
            self.tell(Event("kept", task, f"{name} was not as it was made: it is kept in {FOLDER}/replaced"))
        self.log.record(made.record)
        self.tell(Event("done", task, "", made.record.seconds))


    def _tell_held(self, kinds: Iterable[str]) -> None:
        """Report the warnings of all tasks of these kinds, in the order of the observations, whichever ended first."""
        order = [task.name for task in self.pipeline.tasks]
        for kind in kinds:
            held = sorted(self._held.pop(kind), key=lambda each: order.index(each[0].name))
            tasks = {task.name: task for task, _ in held}
            for name, text in join_warnings((task.name, text) for task, text in held):
                self.tell(Event("warning", tasks.get(name, held[0][0]), text))


@dataclass(frozen=True)
class _Order:
    """What a worker needs to do a task."""

    task: Task
    layout: Layout
    settings: Settings
    scratch: Path
    engine: str
    threads: int
    versions: dict[str, str]
    logs: Path
    known: dict[str, Stamp]


@dataclass(frozen=True)
class _Made:
    record: Record
    scratch: Path


def _make(order: _Order) -> _Made:
    """Does a task in its scratch folder."""
    task, work = order.task, order.layout.work
    began, started = time.monotonic(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        inputs = stamps_of(work, inputs_of(task), order.known)
        order.scratch.mkdir(parents=True)
        with _readable(order) as job, heard(job.plain) as said:
            function_of(order.engine, task.kind)(job)
            # Tasks do not read the setting "engine": the runner chooses the engine of each.
            if ((task.kind, order.engine) == ("reprocess", "native") and by_ciao_if_taken(order.settings)
                    and (why := why_not(task.archive[0]))):
                warn(why)
        # A region that the user has drawn meanwhile is one more.
        now = {os.path.relpath(path, work) for path in inputs_of(task)}
        changed = [name for name in now.union(inputs) if name not in inputs or not is_same(work / name, inputs[name])]
        if changed:
            raise InputError(f"{work / min(changed)}: was changed while it was read: run again")
        outputs = {str(path.relative_to(order.scratch)): stamp_of(path)
                   for path in sorted(order.scratch.rglob("*"))
                   if path.is_file() and path.relative_to(order.scratch) not in job.users}
    except ChandraBinError as error:
        shutil.rmtree(order.scratch, ignore_errors=True)
        kind = OutputError if isinstance(error, OutputError) else InputError
        raise kind(f"{_label(task)}: {_job(order).plain(str(error))}") from None
    except OSError as error:
        shutil.rmtree(order.scratch, ignore_errors=True)
        raise OutputError(f"{_label(task)}: {error.filename or order.scratch}: "
                          f"{reason(error)}") from None
    except BaseException:
        shutil.rmtree(order.scratch, ignore_errors=True)
        raise
    record = Record(order.engine, order.versions, order.settings.chosen(task.settings), inputs, outputs,
                    started, time.monotonic() - began, tuple(said), tuple(job.calls), job.facts)
    return _Made(record, order.scratch)


def _result(task: Task, future: "Future[_Made]") -> _Made:
    """Return what a task made. Raises `InputError` where its process was killed, or raises what the task raised."""
    try:
        return future.result()
    except WorkerLost as error:
        raise InputError(f"{_label(task)}: {error}") from None


def _job(order: "_Order") -> Job:
    return Job(order.layout, order.settings, order.scratch, order.logs, order.threads, order.task.archive,
               order.task.obsid)


def _refused(pipeline: Pipeline, state: State, first: int, last: int) -> Iterator[str]:
    """Yield why chandra_repro would refuse observations that it is to reprocess, before hours of other work."""
    for task in pipeline.tasks:
        if task.kind != "reprocess" or not first <= task.step <= last or task.name in state.records:
            continue
        if by_ciao_if_taken(pipeline.settings) and (why := why_not(task.archive[0])):
            yield why if pipeline.settings.engine == "ciao" else f"{why}: the native engine takes it instead"


@contextmanager
def _readable(order: _Order) -> Iterator[Job]:
    """The job of a task, with paths that names with filters can hold: links, where folders have odd names."""
    layout, scratch, archive = order.layout, order.scratch, order.task.archive
    folders = {layout.work, *(files.folder for files in archive)}
    odd = sorted((folder for folder in folders if _ODD.search(str(folder))), key=lambda folder: -len(folder.parts))
    if not odd:
        yield _job(order)
        return
    with TemporaryDirectory(prefix="chandra-bin-", dir="/tmp" if _ODD.search(gettempdir()) else None) as place:
        # Names of one length: none is the beginning of another.
        links = {folder: Path(place) / f"{number:05d}" for number, folder in enumerate(odd)}
        for folder, link in links.items():
            link.symlink_to(folder)

        def linked(path: Path) -> Path:
            for folder, link in links.items():
                if path.is_relative_to(folder):
                    return link / path.relative_to(folder)
            return path

        archive = tuple(_moved(files, linked) for files in archive)
        job = replace(_job(order), layout=replace(layout, work=linked(layout.work)), scratch=linked(scratch),
                      archive=archive, links={str(link): str(folder) for folder, link in links.items()})
        try:
            yield job
        except ChandraBinError as error:
            raise type(error)(job.plain(str(error))) from None


def _moved(files: ObservationFiles, to: Callable[[Path], Path]) -> ObservationFiles:
    """The files of an observation, each by another path."""

    def of(value: Any) -> Any:
        return to(value) if isinstance(value, Path) else tuple(map(of, value)) if isinstance(value, tuple) else value

    return replace(files, **{each.name: of(getattr(files, each.name)) for each in fields(files)})


def _label(task: Task) -> str:
    return f"step {task.step}, ObsID {task.obsid}" if task.obsid else f"step {task.step}"


def _dry_run(pipeline: Pipeline, first: int, last: int, redo: Sequence[int], verify: bool, watch: Watcher) -> Done:
    """Return what would be run, and tell what chandra_repro would refuse."""
    state = State(pipeline.work)
    for text in _refused(pipeline, state, first, last):
        watch(Event("warning", None, text))
    return Done((), tuple(_planned(pipeline, state, first, last, redo, verify)),
                pipeline.layout.report.relative_to(pipeline.work))


def _planned(pipeline: Pipeline, state: State, first: int, last: int, redo: Sequence[int],
             verify: bool) -> list[TaskState]:
    """The states with steps outside the range, or to be made again, taken into account."""
    again: set[str] = set()
    planned = []
    for each in pipeline.states(state, verify=verify):
        if not first <= each.task.step <= last:
            planned.append(each if each.kind == "done" else replace(each, why="not asked for"))
        elif each.kind == "done" and each.task.step in redo:
            again.add(each.task.name)
            planned.append(replace(each, kind="to do", why="is to be made again"))
        elif each.kind == "done" and (waits := next((name for name in each.task.after if name in again), None)):
            again.add(each.task.name)
            planned.append(replace(each, kind="waits", why=f"for {waits}"))
        else:
            planned.append(each)
    return planned


def _finish(pipeline: Pipeline, state: State, scratch: Path) -> list[TaskState]:
    """What holds at the end of a run, however it ended; the flags and the link say it too."""
    if not state.is_placing:  # else the next run moves what is there
        shutil.rmtree(scratch, ignore_errors=True)
    states = pipeline.states(state)
    _mirror_flags(pipeline, states)
    _link(pipeline.layout)
    return states


def _mirror_flags(pipeline: Pipeline, states: Sequence[TaskState]) -> None:
    done = {step: all(each.kind == "done" for each in states if each.task.step == step) for step in STEPS}
    pipeline.config.mirror_flags(done)


def _link(layout: Layout) -> None:
    """The reference's name of the merged folder, which has S/N and smoothing in it."""
    link = layout.merged_link
    if layout.merged.is_dir() and not os.path.lexists(link):
        with suppress(OSError):  # a file system without links, or a full disk: the next run tries again
            link.symlink_to(layout.merged.name)


class _Log:
    """The log file of a run: what happened, when, and everything that was called."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}.log"
        self.folder = self.file.with_suffix("")

    def write(self, text: str) -> None:
        """Adds a line with the time. Raises `OutputError`."""
        with writing(self.file):
            self.file.parent.mkdir(exist_ok=True)
            with self.file.open("a", encoding="utf-8", errors="backslashreplace") as log:
                log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")

    def event(self, event: Event) -> None:
        """Adds what happened."""
        where = "" if event.task is None else f"step {event.task.step} {event.task.name}: "
        seconds = f" in {event.seconds:.1f} s" if event.kind == "done" else ""
        self.write(f"{where}{event.kind}{seconds}{f' ({event.text})' if event.text else ''}")

    def record(self, record: Record) -> None:
        """Adds what a task called, and what is worth telling of it."""
        for call in record.calls:
            self.write(f"  {call}")
        for name, value in record.facts.items():
            self.write(f"  {name}: {value}")
