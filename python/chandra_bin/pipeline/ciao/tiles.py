"""Responses of tiles by CIAO: an aspect histogram for each chip, and an ARF and an RMF for each tile.

Each chip and each tile is a task of a folder with records, so that a run that was ended is resumed. A tile that fails,
or whose process is killed, costs that tile alone.
"""

import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from chandra_bin.ciao import Command, File, Runner, checked_path, need_installation, tools
from chandra_bin.errors import InputError, OutputError, ToolError, collect_warnings, counted, warn
from chandra_bin.exposure.ancillary import Ancillary
from chandra_bin.spectral.ogip import check_pair, read_arf, read_rmf
from chandra_bin.tasks.options import TileOptions
from chandra_bin.tasks.tiles import RADIUS_PX, WEIGHT_BAND_EV, Tile, TilesOfObservation, tiles_table, warn_of_chips
from chandra_bin.workflow import runner as workflow
from chandra_bin.workflow.pool import WorkerLost
from chandra_bin.workflow.records import FOLDER, Record, State, is_same
from chandra_bin.workflow.task import Assignment, Made, Outcome, Recipe, Session, make, opened, why_not_done

TABLE = "tiles.ecsv"
_LOGS = "logs"
_HOUR_S = 3600.0
# Advice for users without CIAO.
WITHOUT_CIAO = "give 'chandra-bin responses' a table of responses that you have"
# Fact of a task: the reason why it has no products.
_FAILED = "failed"
# Names of tasks: of chips and of tiles.
_NAME = re.compile(r"\d+/ccd\d(_\d{4}_\d{4})?")


@dataclass(frozen=True)
class MadeTiles:
    """The responses that a run made or found."""

    table: Path
    """The table that `write_responses` reads."""
    made: dict[tuple[int, str], tuple[Path, Path]]
    """ARF and RMF by ObsID and name of the tile."""
    failures: dict[str, str]
    """Reasons why tiles were not made, by task: a line of a tool or of this program."""


@dataclass(frozen=True)
class _Task:
    """The response of a tile, or the aspect histogram of a chip if ``tile`` is None."""

    folder: Path
    observation: TilesOfObservation
    chip: int
    tile: Tile | None = None
    has_histogram: bool = True
    """Whether the aspect histogram of the chip was made of the present events and aspect files.

    Where asphist failed, the folder may hold a histogram of earlier events."""

    @property
    def name(self) -> str:
        return f"{self.observation.obsid}/{self.tile.name if self.tile else f'ccd{self.chip}'}"

    @property
    def after(self) -> tuple[str, ...]:
        return (f"{self.observation.obsid}/ccd{self.chip}",) if self.tile else ()

    @property
    def histogram(self) -> Path:
        return self._file(f"ccd{self.chip}.asphist")

    @property
    def arf(self) -> Path:
        assert self.tile is not None
        return self._file(f"{self.tile.name}.arf")

    @property
    def rmf(self) -> Path:
        assert self.tile is not None
        return self._file(f"{self.tile.name}.rmf")

    @property
    def settings(self) -> dict[str, Any]:
        if self.tile is None:
            return {"chip": self.chip}
        tool = self.observation.rmf_tools[self.chip]
        weights = {"weights_ev": list(WEIGHT_BAND_EV)} if tool == "mkrmf" else {}
        return {"sky": [self.tile.x, self.tile.y], "chip": [self.chip, self.tile.chipx, self.tile.chipy],
                "rmf": tool, "grating": self.observation.grating, **weights}

    def inputs(self) -> list[Path]:
        """Return the input files of the task; the histogram is missing if its tool failed."""
        files = self.observation.files
        if self.tile is None:
            return [self.observation.events, *files.aspect]
        others = (self.histogram if self.has_histogram else None, files.bad_pixels, files.mask)
        return [self.observation.events, *(each for each in others if each is not None and each.is_file())]

    def commands(self) -> list[Command]:
        """Return the calls in their order."""
        about, files, events = self.observation, self.observation.files, self.observation.events
        if self.tile is None:
            return [tools.asphist(files.aspect, events, self.chip, self.histogram)]
        tile, sky = self.tile, (self.tile.x, self.tile.y)
        if about.rmf_tools[self.chip] == "mkacisrmf":
            return [tools.mkacisrmf(events, self.chip, (tile.chipx, tile.chipy), self.rmf),
                    tools.mkarf(self.histogram, events, self.chip, sky, self.rmf, self.arf, grating=about.grating,
                                mask=files.mask, bad_pixels=files.bad_pixels)]
        weights, wfef = (self._file(f"{tile.name}.{kind}") for kind in ("wmap", "wfef"))
        return [tools.sky2tdet(events, self.histogram, self.chip, sky, RADIUS_PX, WEIGHT_BAND_EV, weights),
                tools.mkwarf(weights, self.chip, self.arf, wfef, mask=files.mask, bad_pixels=files.bad_pixels),
                tools.mkrmf(wfef, self.rmf)]

    def why_not(self) -> str | None:
        """Return why the calls are impossible, or None."""
        if self.tile is None:
            return None
        if not (self.has_histogram and self.histogram.is_file()):
            return f"chip {self.chip} has no aspect histogram"
        if self.observation.rmf_tools[self.chip] == "mkrmf" and not self.tile.events:
            return (f"no event of 0.3 - 2 keV within {RADIUS_PX:g} pixels of its place: mkrmf needs events as "
                    "weights")
        return None

    def _file(self, name: str) -> Path:
        return self.folder / f"{self.observation.obsid:05d}" / name


def tasks_of(observations: Sequence[TilesOfObservation], folder: Path) -> list[_Task]:
    """Return the tasks, each after its predecessors."""
    return [task for each in observations for chip in each.rmf_tools
            for task in (_Task(folder, each, chip),
                         *(_Task(folder, each, chip, tile) for tile in each.tiles if tile.chip == chip))]


def lines_of(observations: Sequence[TilesOfObservation], folder: Path) -> Iterator[str]:
    """Yield the calls as lines of a shell, for a reader.

    Raises `InputError` for names of files that CIAO does not take.
    """
    for task in tasks_of(observations, folder):
        for command in task.commands():
            for name, value in command.ardlib_texts(_Shown()).items():
                yield shlex.join(["pset", "ardlib", f"{name}={value}"])
            yield shlex.join([command.tool, *command.arguments(_Shown())])


class _Shown:
    """Files at their final paths."""

    temporary = Path("/tmp")

    def of(self, file: File) -> Path:
        return file.path

    def has_shapes(self, region: File) -> bool:
        raise NotImplementedError(region)


def make_tiles(observations: Sequence[TilesOfObservation], folder: Path, options: TileOptions, *, jobs: int = 1,
               tool_hours: float = 1.0, progress: Callable[[float], object] | None = None) -> MadeTiles:
    """Make the responses of tiles by CIAO's tools, and the table of those that were made.

    Parameters
    ----------
    observations : from `plan_tiles`.
    folder : ``tiles.ecsv``, and ``{obsid}/`` with an ARF and an RMF a tile. Tiles that it holds of an earlier run stay,
        where CIAO, the calibration, the files of the observation and the place are the same.
    options : those that the tiles were planned with.
    jobs : number of tiles that are made at once, each in a process of its own.
    tool_hours : the longest that one tool may take.
    progress : gets the fraction of tasks that have ended.

    Raises
    ------
    InputError
        Without CIAO or its calibration database, for names of files that CIAO does not take, where no tile could be
        made, where another run works in the folder, and for the folder of a pipeline or batch.
    OutputError
        Where ``folder`` cannot be written, or holds a ``tiles.ecsv`` that no earlier run made there as it is now.

    Warns
    -----
    ChandraBinWarning
        For each tile that was not made, with the message of the tool.
    """
    folder = folder.absolute()
    observations = [replace(each, events=each.events.absolute(), files=_absolute(each.files)) for each in observations]
    versions = need_installation(WITHOUT_CIAO).versions
    tasks = tasks_of(observations, folder)
    for file in dict.fromkeys([folder, *(path for task in tasks for path in task.inputs())]):
        checked_path(file)
    warn_of_chips(observations)
    _check_folder(State(folder))  # before anything is made there
    with opened(folder) as session:
        going = _Run(session, jobs, tasks, versions, tool_hours * _HOUR_S, progress)
        going.run(tasks)
        for said, names in going.warnings.items():
            more = f" and {counted(len(names) - 1, 'other')}" if len(names) > 1 else ""
            warn(f"{names[0]}{more}: {said}")
        facts = {task.name: session.state.records[task.name].facts for task in tasks}
        failures = {name: str(of_task[_FAILED]) for name, of_task in facts.items() if _FAILED in of_task}
        made = {(task.observation.obsid, task.tile.name): (task.arf, task.rmf)
                for task in tasks if task.tile and task.name not in failures}
        if not made:
            name, text = next(iter(failures.items()))
            raise InputError(f"{folder}: no tile could be made: {name}: {text}")
        for name, text in failures.items():
            warn(f"{name}: was not made, and is not in the table: {text}")
        recipe = Recipe("native", versions, asdict(options), tuple)
        table = make(Assignment(folder, session.scratch / TABLE, recipe, {}),
                     partial(_write_table, session.scratch / TABLE, tiles_table(observations, made, folder, options)))
        session.state.place(TABLE, table.record, table.scratch)
    return MadeTiles(folder / TABLE, made, failures)


def _check_folder(state: State) -> None:
    """Raise an error for the folder of other commands, and for a table that is not as an earlier run made it."""
    if strange := [name for name in state.records if name != TABLE and not _NAME.fullmatch(name)]:
        raise InputError(f"{state.work}: is the folder of a pipeline or batch (it has a task {strange[0]!r}): give "
                         "another folder (-o)")
    table, record = state.work / TABLE, state.records.get(TABLE)
    if os.path.lexists(table) and not (record and TABLE in record.outputs and is_same(table, record.outputs[TABLE])):
        raise OutputError(f"{table}: was not made by this command, or has been changed since: move it, or give another "
                          "folder (-o)")


def _write_table(scratch: Path, text: str) -> Outcome:
    (scratch / TABLE).write_text(text, encoding="utf-8")
    return Outcome()


def _absolute(files: Ancillary) -> Ancillary:
    bad_pixels, mask = (path and path.absolute() for path in (files.bad_pixels, files.mask))
    return replace(files, aspect=tuple(path.absolute() for path in files.aspect), bad_pixels=bad_pixels, mask=mask)


class _Run(workflow.Runner[_Task]):
    """A run over all tiles."""

    def __init__(self, session: Session, jobs: int, tasks: Sequence[_Task], versions: dict[str, str], limit_s: float,
                 progress: Callable[[float], object] | None) -> None:
        super().__init__(session, jobs)
        self.versions, self.limit_s = versions, limit_s
        self.progress, self.count = progress, len(tasks)
        self.warnings: dict[str, list[str]] = {}
        """Names of tasks by the texts of warnings, which many tiles share."""

    def why(self, task: _Task) -> str | None:
        record = self.session.state.records.get(task.name)
        if record and _FAILED in record.facts:
            return "failed before"
        return why_not_done(self.session.state, task.name, self.recipe(task))

    def recipe(self, task: _Task) -> Recipe:
        return Recipe("ciao", self.versions, task.settings, self._at_present(task).inputs)

    def begin(self, task: _Task, why: str) -> Callable[[Assignment], Made]:  # noqa: ARG002 - the base's
        return partial(_make, self._at_present(task), self.limit_s)

    def _at_present(self, task: _Task) -> _Task:
        """Return a tile that knows whether the last call for the histogram of its chip succeeded."""
        made = (self.session.state.records[name].outputs for name in task.after)
        return replace(task, has_histogram=all(os.path.relpath(task.histogram, task.folder) in each for each in made))

    def placed(self, task: _Task, made: Made, kept: Sequence[str]) -> None:
        for text in made.record.warnings:
            self.warnings.setdefault(text, []).append(task.name)
        for name in kept:
            warn(f"{task.folder / name}: had changed since it was made: moved to {FOLDER}/replaced")

    def lost(self, task: _Task, scratch: Path, error: WorkerLost) -> Made:
        return Made(Record("ciao", self.versions, task.settings, {}, {}, facts={_FAILED: str(error)}), scratch)

    def settled(self, pending: Any) -> None:
        if self.progress:
            self.progress(1 - len(pending) / self.count)


@dataclass(frozen=True)
class _Places:
    """Outputs of a task are in its scratch folder."""

    work: Path
    scratch: Path

    def of(self, file: File) -> Path:
        if not file.path.is_relative_to(self.work):
            return file.path
        made = self.scratch / file.path.relative_to(self.work)
        return made if file.is_output or made.exists() else file.path

    def has_shapes(self, region: File) -> bool:
        raise NotImplementedError(region)


def _make(task: _Task, limit_s: float, assignment: Assignment) -> Made:
    """Make a task in its scratch folder."""
    return make(assignment, partial(_do, task, limit_s, assignment))


def _do(task: _Task, limit_s: float, assignment: Assignment) -> Outcome:
    """Call the tools of a task; if one fails, the outcome has its message and no products."""
    work, scratch = assignment.work, assignment.scratch
    products = [task.histogram] if task.tile is None else [task.arf, task.rmf]
    wanted = {str(path.relative_to(work)) for path in products}
    places, own = _Places(work, scratch), scratch.with_name(f"{scratch.name}.tools")
    calls: list[str] = []
    failed = task.why_not()
    with collect_warnings(lambda text: _named(text, work, scratch)) as texts:
        if failed is None:
            (scratch / products[0].parent.relative_to(work)).mkdir(parents=True)
            own.mkdir()
            runner = Runner(need_installation(WITHOUT_CIAO), own, work / _LOGS, scratch.name, limit_s)
            try:
                for command in task.commands():
                    made = runner.run(command, places)
                    calls.append(made.line)
                    for text in made.warnings:
                        warn(f"{command.tool}: {text}")
                if task.tile:
                    _check(places.of(File(task.arf)), places.of(File(task.rmf)))
            except (ToolError, InputError) as error:
                failed = _named(str(error), work, scratch)
            finally:
                shutil.rmtree(own, ignore_errors=True)
    # Weight maps, and all files of a failed tile.
    there = {str(path.relative_to(scratch)) for path in scratch.rglob("*") if path.is_file()}
    return Outcome(tuple(texts), tuple(_named(call, work, scratch) for call in calls),
                   {} if failed is None else {_FAILED: failed}, there - wanted if failed is None else there)


def _named(text: str, work: Path, scratch: Path) -> str:
    """Return a message with the final paths of files."""
    return text.replace(str(scratch), str(work))


def _check(arf: Path, rmf: Path) -> None:
    """Raise `InputError` for an area of 0, and for files that do not belong together."""
    area, matrix = read_arf(arf), read_rmf(rmf)
    if not area.area_cm2.any():
        raise InputError(f"{arf}: the area is 0 at all energies: the position is off the chip")
    check_pair(area, matrix)
