"""``chandra-bin batch``: many clusters in one run."""

import json
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chandra_bin.errors import counted
from chandra_bin.workflow.limits import Limits
from chandra_bin.workflow.system import usable_cores

from ._binning import binning_of, binning_options, products_of, regions_option
from ._command import (
    PATH,
    Command,
    CommandError,
    FileText,
    next_command,
    pick,
    progress_bar,
    quiet_option,
    threads_option,
)
from ._options import options_of
from ._progress import ProgressBar

if TYPE_CHECKING:
    from types import FrameType

    from chandra_bin.batch import Result

_GB = 1e9
# A row checks its time limit itself where it can; its process is ended this many seconds later.
_GRACE_SECONDS = 1.0
_RESUME = "run the same command to continue"


@click.command(cls=Command, name="batch")
@click.argument("manifest", nargs=-1, required=True, type=FileText())
@click.option("-o", "--out", "folder", type=PATH, metavar="DIR", required=True,
              help="Folder for the results, with a folder for each cluster.")
@binning_options
@regions_option("one-file")
@click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N",
              help="Number of clusters at once, each in its own process.  [default: number of cores]")
@click.option("--scheduler", metavar="ADDRESS", help="Run on a Dask cluster, such as tcp://127.0.0.1:8786.")
@click.option("--memory", type=click.FloatRange(min=0, min_open=True), metavar="GB",
              help="Memory limit of all clusters together; with --scheduler, of one.  [default: 80 % of the memory]")
@options_of(Limits, "memory", "row_memory")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each cluster.")
@threads_option
@quiet_option
def command(manifest: tuple[str, ...], folder: Path, jobs: int | None, scheduler: str | None, memory: float | None,
            as_json: bool, threads: int | None, quiet: bool, **options: Any) -> None:
    """Bin the images of MANIFEST, or run its pipelines, each into its own folder in DIR.

    MANIFEST is a table (.csv, .ecsv, .toml) with a row for each cluster, or images, or a pattern of their names in
    quotes. The same command resumes a batch: clusters that are done and unchanged are skipped. Ctrl-C finishes the
    running clusters; a second Ctrl-C stops at once.

    \b
    DIR/results.ecsv   a row for each cluster: status, bins, seconds, message, ...
    DIR/index.html     the same as a page with pictures
    DIR/NAME/          products, like those of chandra-bin bin

    \b
    chandra-bin batch 'images/*.fits' -o results --sn 30 --smooth-sn 50 --constrain 3
    """
    defaults = binning_of(options)
    start = time.monotonic()
    from chandra_bin import batch

    rows = batch.read_manifest(*manifest, defaults=defaults, products=products_of(options))
    if not quiet:
        for row in rows:
            if row.note:
                click.echo(f"note: row {row.number}: {row.note}", err=True)
    failed = False
    with (_executor(scheduler, jobs, options["timeout"]) as hands, _signals() as stopping,
          progress_bar(len(rows), "batch", quiet=quiet or as_json) as bar):
        tell = _Tell(len(rows), quiet, as_json, bar)
        given: dict[str, Any] = {**hands}
        if memory is not None:
            given["row_memory" if scheduler else "memory"] = memory * _GB
        if threads is not None:
            given["threads"] = threads
        try:
            limits = pick(Limits, given, **{name: options[name] for name in ("retry", "timeout", "fail_fast")})
            for result in batch.run(rows, folder, limits=limits, stop=lambda: stopping.asked, **given):
                tell.of(result)
                failed |= not result.is_ok
        except batch.ExecutorLost as error:
            raise CommandError(f"chandra-bin batch: error: {error}: {tell.so_far()}; {_RESUME}", 1) from None
    tell.end(folder, time.monotonic() - start)
    if stopping.asked:
        raise CommandError(f"chandra-bin batch: interrupted: {tell.so_far()}; {_RESUME}", 130)
    if failed:
        click.get_current_context().exit(1)


@contextmanager
def _executor(scheduler: str | None, jobs: int | None, timeout: float | None) -> Iterator[dict[str, Any]]:
    """Yield the arguments of `batch.run` for the executor of the rows."""
    if scheduler is not None:
        if jobs is not None:
            raise click.UsageError("--jobs is for this machine: with --scheduler its number of workers counts")
        import logging

        from chandra_bin.batch.dask import connected

        with connected(scheduler) as dask:
            for name in ("distributed", "distributed.client"):  # a lost scheduler is reported in one line
                logging.getLogger(name).setLevel(logging.CRITICAL)
            yield {"executor": dask.executor, "jobs": dask.jobs, "memory": math.inf, "row_memory": dask.row_memory(),
                   "lost": dask.lost}
        return
    cores = usable_cores()
    jobs = jobs or cores
    threads = max(cores // jobs, 1)
    if jobs == 1 and timeout is None:
        yield {"threads": threads}
        return
    from chandra_bin.workflow.pool import Processes

    with Processes(jobs, None if timeout is None else timeout + _GRACE_SECONDS) as processes:
        yield {"executor": processes, "jobs": jobs, "threads": threads}


class _Stopping:
    """Whether the batch shall end after the running clusters."""

    asked = False

    def ask(self, number: int, frame: "FrameType | None") -> None:
        """Handle a signal: the first requests the end, the second stops at once."""
        if self.asked:
            signal.default_int_handler(number, frame)
        self.asked = True
        # os.write does not mix with buffered output of the main thread.
        os.write(2, b"\nfinishing the running clusters; Ctrl-C again stops at once\n")


@contextmanager
def _signals() -> Iterator[_Stopping]:
    """Treat Ctrl-C and signals of batch systems as a request to finish the running clusters."""
    stopping = _Stopping()
    before = {}
    if threading.current_thread() is threading.main_thread():
        names = (getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
        before = {name: signal.getsignal(name) for name in names}
    for name, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup ignores it
            signal.signal(name, stopping.ask)
    try:
        yield stopping
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


# Number of failures that are printed: a batch of thousands may fail for one reason.
_MOST_FAILURES = 20


class _Tell:
    """The output of a batch: JSON lines, or failures as they happen, a bar on a terminal, and a line at the end."""

    def __init__(self, number: int, quiet: bool, as_json: bool, bar: ProgressBar) -> None:
        self.number, self.bar = number, bar
        self.quiet, self.as_json = quiet, as_json
        self.ok = self.failed = 0

    def of(self, result: "Result") -> None:
        """Print the result of a row."""
        self.ok += result.is_ok
        self.failed += not result.is_ok
        if self.as_json:
            time_utc = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            click.echo(json.dumps({"time": time_utc, **asdict(result)}))
        elif not result.is_ok and self.failed <= _MOST_FAILURES:
            self.bar.line(f"failed: {result.name}: {result.message}", err=True)
        self.bar(self.ok + self.failed)

    def so_far(self) -> str:
        """Return the progress of the batch as text."""
        done = counted(self.ok, f"of {self.number} clusters is", f"of {self.number} clusters are")
        return f"{done} done, {self.failed} failed"

    def end(self, folder: Path, seconds: float) -> None:
        """Print the last lines."""
        if self.failed > _MOST_FAILURES and not self.as_json:
            click.echo(f"failed: {self.failed - _MOST_FAILURES} more; {folder}/results.ecsv lists all", err=True)
        if not self.quiet and not self.as_json:
            click.echo(f"{self.so_far()}, in {seconds:.1f} s; results in {folder}/results.ecsv and {folder}/index.html")
            if self.ok:
                next_command("batch", folder=folder)
