"""``chandra-bin run``: run the pipeline."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chandra_bin.workflow.system import usable_cores

from ._command import PATH, Command, engine_option, next_command, progress_bar, quiet_option
from ._progress import ProgressBar

if TYPE_CHECKING:
    from chandra_bin.pipeline.runner import Done, Event, TaskState

_LAST = 10
_STEP = click.IntRange(1, _LAST)


@click.command(cls=Command, name="run")
@click.argument("work", type=PATH)
@click.option("--from", "first", type=_STEP, default=1, metavar="S", help="First step; earlier ones must be done.")
@click.option("--to", "last", type=_STEP, default=_LAST, metavar="S", help="End with this step.")
@click.option("--only", type=_STEP, metavar="S", help="Run only this step.")
@click.option("--redo", type=_STEP, multiple=True, metavar="S", help="Run this step again, even if it is done.")
@click.option("--verify", is_flag=True, help="Read all files, and make changed products again.")
@click.option("-n", "--dry-run", is_flag=True, help="Show the tasks that would be run, and why; run nothing.")
@click.option("--script", metavar="DIR", type=PATH,
              help="With --dry-run: write shell scripts of the steps by CIAO into this folder.")
@engine_option
@click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N",
              help="Number of observations at once.  [default: number of cores]")
@quiet_option
def command(work: Path, first: int, last: int, only: int | None, dry_run: bool, script: Path | None, jobs: int | None,
            quiet: bool, **options: Any) -> None:
    """Run the pending steps, of 1 to 10, of the pipeline in the folder WORK.

    \b
    1 look at the archive's files   5 scaled flux
    2 events, filtered again        6 regions, mask, cropped images
    3 sources, flares, clean images 7 contour binning
    4 merged images                 8 regions of the bins on the sky
    Where the setting spectra is true:
    9 spectra, responses of bins    10 fits, and maps of temperature

    \b
    chandra-bin init sim -o work
    chandra-bin run work
    chandra-bin run work --dry-run --script scripts
    """
    from chandra_bin.pipeline import runner

    if only is not None and (first, last) != (1, _LAST):
        raise click.UsageError("--only runs a single step: leave out --from and --to")
    if only is not None:
        first = last = only
    if script is not None:
        if not dry_run:
            raise click.UsageError("--script writes scripts without running them: add --dry-run")
        if only is not None or (first, last) != (1, _LAST) or options["redo"] or options["engine"] is not None:
            raise click.UsageError("--script writes all steps by CIAO: leave out --from, --to, --only, --redo and "
                                   "--engine")
        _write_scripts(work, script, quiet)
        return
    cores = usable_cores()
    jobs = jobs or cores

    with progress_bar(1, "run", quiet=quiet) as bar:
        done = runner.run(work, first=first, last=last, dry_run=dry_run, jobs=jobs, threads=max(1, cores // jobs),
                          watch=_Watcher(bar, quiet), **options)
    if dry_run:
        for each in done.states:
            click.echo(task_line(each))
        return
    if not done.is_reported:
        from chandra_bin.report import write_report

        write_report(work)
    _warn_of_background(done)
    if not quiet:
        click.echo(f"{done.summary}; the report is in {work / done.report}")
        if done.finished < len(done.states):
            next_command("run", work=work)


def _warn_of_background(done: "Done") -> None:
    """Print the warning that the report has of bins that this run made."""
    from chandra_bin.pipeline.warned import MOSTLY_BACKGROUND

    for each in done.states:
        facts = each.record.facts if each.record and each.task.name in done.ran else {}
        if many := facts.get(MOSTLY_BACKGROUND):
            click.echo(f"warning: {many} of {facts['bins']} bins {'is' if many == 1 else 'are'} mostly background: "
                       "results there depend on the background's scale (see the report)", err=True)


def _write_scripts(work: Path, folder: Path, quiet: bool) -> None:
    from chandra_bin.pipeline.ciao.scripts import write_scripts

    written = write_scripts(work, folder)
    if not quiet:
        click.echo(f"to be run in this order, where CIAO is set up: {', '.join(str(path) for path in written)}")


def task_line(state: "TaskState") -> str:
    """Return one line of a table of tasks."""
    why = f"  {state.why}" if state.why else ""
    return f"step {state.task.step}  {state.task.name:<20} {state.kind:<6}{why}".rstrip()


class _Watcher:
    """Prints the progress of a run: a line for each task that is done, and a bar on a terminal."""

    def __init__(self, bar: ProgressBar, quiet: bool) -> None:
        self.bar, self.quiet = bar, quiet
        self.planned = self.done = 0
        self.running: list[str] = []

    def __call__(self, event: "Event") -> None:
        if event.kind in ("warning", "kept"):
            self.bar.line(f"warning: {event.text}", err=True)
        elif event.kind == "planned":
            self._line(event.text)
            self.planned = self.bar.total = event.tasks
        elif event.task is None:
            self._line(event.text)
        elif event.kind == "begins":
            self.running.append(event.task.name)
        else:
            self.done += 1
            self.running.remove(event.task.name)
            self._line(f"step {event.task.step}  {event.task.name:<20} {event.seconds:6.1f} s")
        if self.planned:
            self.bar(self.done, ", ".join(self.running))

    def _line(self, text: str) -> None:
        if not self.quiet:
            self.bar.line(text)
