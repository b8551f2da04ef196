"""The steps of the CIAO engine: run the plans of `ciao_steps`."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import singledispatchmethod
from pathlib import Path
from typing import TYPE_CHECKING

from chandra_bin.ciao import Command, File, Runner, need_installation
from chandra_bin.errors import InputError, ToolError, warn
from chandra_bin.events import vfaint
from chandra_bin.events.reader import open_events
from chandra_bin.pipeline.job import Job
from chandra_bin.pipeline.reprocessing import why_not
from chandra_bin.pipeline.spectra import flare_free_events
from chandra_bin.regions import has_shapes
from chandra_bin.tasks.options import TileOptions
from chandra_bin.tasks.tiles import plan_tiles
from chandra_bin.workflow.records import FOLDER

from . import plan
from . import steps as ciao_steps
from .links import linked
from .tiles import make_tiles

if TYPE_CHECKING:
    from astropy.io.fits import Header

_HOUR_S = 3600.0


def reprocess(job: Job) -> None:
    """Do step 2."""
    (files,) = job.archive
    if why := why_not(files):
        raise InputError(f'{why}; or choose engine = "native"')
    _run(job, lambda job: ciao_steps.reprocess(job.layout, job.settings, *job.archive))
    with open_events(job.out(job.obs.events)) as events:
        job.note(**{vfaint.NOTE: _screening(events.hdu.header, asked=job.settings.check_vf_pha)})


def _screening(header: "Header", *, asked: bool) -> str:
    """Return whether chandra_repro removed the particles that VFAINT data identify."""
    if not asked:
        return "no (check_vf_pha = false)"
    if not vfaint.is_vfaint(header):
        mode = header.get("DATAMODE", "unknown")
        return f"not done: the data mode is {mode}, and only VFAINT events have outer pixels"
    return "yes, by chandra_repro" + ("" if vfaint.is_cleaned(header) else " (no CHKVFPHA: CIAO before 4.16)")


def make_images(job: Job) -> None:
    """Do the first part of step 3."""
    _run(job, lambda job: ciao_steps.images(job.layout, job.settings, *job.archive), _of_step_2)


def clean_events(job: Job) -> None:
    """Do the second part of step 3."""
    _run(job, lambda job: ciao_steps.clean(job.layout, job.settings, *job.archive), _of_step_2)


def merge_all(job: Job) -> None:
    """Do step 4."""
    _run(job, lambda job: ciao_steps.merge(job.layout, job.settings, job.archive), _observations)


def find_sources(job: Job) -> None:
    """Do the first part of step 6."""
    _run(job, lambda job: ciao_steps.sources(job.layout, job.settings), _observations)


def crop(job: Job) -> None:
    """Do the second part of step 6."""
    _run(job, lambda job: ciao_steps.crop(job.layout, job.settings), _observations)


def extract_spectra(job: Job) -> None:
    """Do step 8 for ``responses``: extract spectra with responses."""
    _run(job, lambda job: ciao_steps.spectra(job.layout, job.settings, job.archive[0], job.threads), _of_step_2)
    folder = job.out(job.layout.spectra(job.obs.obsid) / "xaf").parent
    if job.facts[ciao_steps.BINS_WITH_EVENTS] and not any(folder.glob("*.pi")):
        raise InputError(f"specextract did not extract a spectrum of any bin: see {job.logs}")


def make_bin_tiles(asked: Job) -> None:
    """Step 9: responses of places on the chips that see bins.

    They are made in a folder with records of its own, since they take hours: tiles that an earlier run made stay.
    """
    with linked(asked) as job:
        layout, settings = job.layout, job.settings
        options = TileOptions(per_chip=settings.tiles_per_chip)
        observations = job.call(plan_tiles, flare_free_events(job), job.made(layout.binmap), options=options)
        made = make_tiles(observations, layout.work / FOLDER / "tiles", options, jobs=job.threads,
                          tool_hours=settings.tool_hours)
        for path in (made.table, *(file for pair in made.made.values() for file in pair)):
            shutil.copyfile(path, job.out(layout.made_tiles.parent / path.relative_to(made.table.parent)))
        for each in observations:
            count = sum(obsid == each.obsid for obsid, _ in made.made)
            job.note(**{f"ObsID {each.obsid}": f"{count} of {len(each.tiles)} tiles have responses, by "
                                               f"{', '.join(sorted(set(each.rmf_tools.values())))}"})


def _run(asked: Job, plan_of: Callable[[Job], plan.Plan],
         read: Callable[[Job], Sequence[Path]] = lambda _job: ()) -> None:
    """Do a plan; its input files from other tasks, ``read``, are linked in scratch."""
    with linked(asked) as job:
        own = job.scratch.with_name(f"{job.scratch.name}.tools")
        own.mkdir(parents=True)
        runner = Runner(need_installation(), own, job.logs, job.scratch.name, job.settings.tool_hours * _HOUR_S)
        plan_runner = _PlanRunner(job, runner)
        try:
            with _in_scratch(job, read(job)):
                plan_runner.all(plan_of(job))
        finally:
            for folder in (own, *plan_runner.staged):
                shutil.rmtree(folder, ignore_errors=True)


def _of_step_2(job: Job) -> list[Path]:
    """Return the companion files of events that tools search for: aspect, bad pixels, masks; no products of step 3."""
    obs = job.obs
    return [path for path in sorted(obs.folder.iterdir())
            if not path.name.startswith((f"{obs.obsid}_", f"{obs.obsid}.")) and path != obs.clean_events]


def _observations(job: Job) -> list[Path]:
    """Return all files of the observations: lists of events have names relative to the list."""
    return [path for files in job.archive for path in sorted(job.layout.obs(files.obsid).folder.iterdir())]


@contextmanager
def _in_scratch(job: Job, read: Sequence[Path]) -> Iterator[None]:
    """Link files of other tasks in scratch; a tool that wrote to a link would change the file itself."""
    links = [job.out(path) for path in read]
    for link, path in zip(links, read, strict=True):
        link.symlink_to(path)
    try:
        yield
    finally:
        for link in links:
            if link.is_symlink():
                link.unlink()


@dataclass(frozen=True)
class _JobFiles:
    """Paths of files while a job runs."""

    job: Job

    def of(self, file: File) -> Path:
        return self.job.out(file.path) if file.is_output else self.job.made(file.path)

    def has_shapes(self, region: File) -> bool:
        return has_shapes(self.job.made(region.path))


@dataclass
class _PlanRunner:
    """Runs the steps of a plan one after another."""

    job: Job
    runner: Runner
    staged: list[Path] = field(default_factory=list)

    @singledispatchmethod
    def do(self, step: plan.Step) -> None:
        """Do one step."""
        raise NotImplementedError(type(step))

    @do.register
    def _(self, command: Command) -> None:
        job = self.job
        made = self.runner.run(command, _JobFiles(job))
        job.calls.append(job.relative(made.line))
        for text in made.warnings:
            warn(f"{command.tool}: {job.relative(text)}")
        if made.facts:
            job.note(**{command.tool: "; ".join(made.facts)})

    @do.register
    def _(self, step: plan.PythonStep) -> None:
        step.function(self.job)

    @do.register
    def _(self, step: plan.Fallback) -> None:
        before = _files_in(self.job.scratch)
        try:
            self.all(step.steps)
        except ToolError as error:
            # Also remove outputs of steps that succeeded: the plan is incomplete.
            for path in _files_in(self.job.scratch) - before:
                path.unlink()
            warn(f"{step.warning} ({error})")
            self.all(step.instead)

    @do.register
    def _(self, step: plan.IfFiles) -> None:
        there = has_shapes if step.has_shapes else Path.exists
        self.all(step.steps if all(there(self.job.made(path)) for path in step.files) else step.otherwise)

    @do.register
    def _(self, step: plan.Warn) -> None:
        warn(step.text)

    @do.register
    def _(self, step: plan.CopyFile) -> None:
        source, target = self.job.made(step.source), self.job.out(step.target)
        if step.moves:
            source.rename(target)
        else:
            shutil.copyfile(source, target)

    @do.register
    def _(self, step: plan.WriteLines) -> None:
        self.job.out(step.target).write_text("".join(f"{line}\n" for line in step.lines))

    @do.register
    def _(self, step: plan.CopyInto) -> None:
        target = self.job.out(step.target)
        self.staged.append(target)
        for name, paths in step.files.items():
            folder = target / name
            folder.mkdir(parents=True, exist_ok=True)
            for path in paths:
                shutil.copyfile(path, folder / path.name)

    @do.register
    def _(self, step: plan.RemoveFolder) -> None:
        shutil.rmtree(self.job.out(step.folder))

    @do.register
    def _(self, step: plan.ShortenLists) -> None:
        for path in self.job.out(step.folder).glob("*.lis"):
            # Names in a list are relative to the folder of the list.
            path.write_text("".join(f"{Path(line).name}\n" for line in path.read_text().splitlines()))

    @do.register
    def _(self, step: plan.ForEachList) -> None:
        job = self.job
        folder = job.made(step.folder)
        for roots in sorted(folder.glob("root_*.list")):
            names = [Path(line).name for line in roots.read_text().splitlines()]
            outputs = [step.roots / f"{name}{ending}" for name in names for ending in step.endings]
            sources = roots.with_name(f"source{roots.name.removeprefix('root')}")
            before = _files_in(self.job.scratch)
            try:
                self.do(step.of(step.folder / sources.name, step.folder / roots.name, outputs))
            except ToolError as error:
                for path in _files_in(self.job.scratch) - before:
                    path.unlink()
                job.note(**{f"bins of {roots.name}": f"one by one, as together: {job.relative(str(error))}"})
                self.all(each for name in names for each in step.alone(name.removeprefix("xaf_")))

    @do.register
    def _(self, step: plan.WithMeasured) -> None:
        self.all(step.of(step.measure(self.job)))

    def all(self, steps: Iterable[plan.Step]) -> None:
        for step in steps:
            self.do(step)


def _files_in(folder: Path) -> set[Path]:
    return {Path(place, name) for place, _, names in os.walk(folder) for name in names}
