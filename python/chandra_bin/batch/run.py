"""Run the rows of a manifest on any executor, and maintain the table of their results."""

import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from os import PathLike
from pathlib import Path

from chandra_bin._checks.memory import available_bytes
from chandra_bin._checks.paths import FileName, as_path
from chandra_bin.errors import ChandraBinError, InputError
from chandra_bin.fits.virtual import one_of_stack
from chandra_bin.tasks.inputs import files_of, image_shape
from chandra_bin.workflow.limits import Limits
from chandra_bin.workflow.pool import InlineExecutor
from chandra_bin.workflow.records import locked

from .manifest import Row, read_manifest
from .results import write_page, write_table
from .work import Order, Result, do, failed

# Measured memory of a row: of Python with its imports, and per pixel of the image, including background and exposure
# maps and many bins (docs/developers/performance.md).
_BASE_BYTES = 220e6
_BYTES_A_PIXEL = 120.0
# Pipelines read events in blocks, and their images cover one field.
_PIPELINE_BYTES = 1e9
# Fraction of the available memory that a batch uses; the rest is for low estimates and the system's cache.
SHARE = 0.8
# The table is written at the end, and after this many seconds or this many times the duration of the last write.
_TABLE_SECONDS = 10.0
_TABLE_PART = 50.0
# Seconds between two checks that the executor is alive, while no row ends.
_LOOK_SECONDS = 1.0


class ExecutorLost(ChandraBinError):  # noqa: N818
    """The executor was lost; results of finished rows are kept."""


def estimated_bytes(row: Row) -> float:
    """Return the estimated memory of a row in bytes, from the header of its image; the minimum without a header."""
    if row.image is None:
        return _PIPELINE_BYTES
    try:
        image = one_of_stack(row.image)
        if not all(file.is_file() for file in files_of(image)):  # reading a pipe would block
            return _BASE_BYTES
        ny, nx = image_shape(image)
    except ChandraBinError:  # the worker reports it
        return _BASE_BYTES
    return _BASE_BYTES + _BYTES_A_PIXEL * ny * nx


def run(manifest: FileName | Sequence[Row], folder: FileName = "results", *,
        executor: Executor | None = None, jobs: int | Callable[[], int] = 1, threads: int = 1,
        limits: Limits | None = None, stop: Callable[[], bool] = lambda: False,
        lost: Callable[[], str | None] = lambda: None) -> Iterator[Result]:
    """Run all rows and yield the result of each when it ends. Rows that are already done are skipped.

    Rows that were not started are listed in the table as failed (error ``NotRun``), but are not yielded.

    Parameters
    ----------
    manifest : str, os.PathLike or sequence of Row
        A manifest, a pattern of images, or rows from `read_manifest`.
    folder : str or os.PathLike
        Folder for ``results.ecsv``, ``index.html`` and the folders of the clusters.
    executor : Executor, optional
        Any executor of ``concurrent.futures`` (a pool of processes must not fork). The caller shuts it down. Default:
        this process.
    jobs : int or callable
        Number of rows to submit at once; a function may change it during the run.
    threads : int
        Threads per row; does not change results.
    limits : Limits, optional
        Limits on memory, time and retries.
    stop : callable
        Called before rows start; if it returns True, running rows finish and no other row starts.
    lost : callable
        Called repeatedly; returns the reason if the executor is lost.

    Raises
    ------
    InputError
        If another batch works in the folder.
    OutputError
        If the folder cannot be written.
    ExecutorLost
        If the executor is lost.
    """
    rows = read_manifest(manifest) if isinstance(manifest, str | PathLike) else manifest
    folder = as_path(folder, "folder")
    if not rows:
        raise InputError("the manifest has no rows")
    limits = Limits.or_defaults(limits)
    with locked(folder):
        going = _Run(rows, folder, executor or InlineExecutor(), jobs, threads, limits)
        try:
            for result in going.results(lambda: stop() or (limits.fail_fast and going.has_failed), lost):
                yield result
                going.keep_table()
        except BaseException as error:
            if isinstance(error, GeneratorExit):  # the caller stopped iterating; Ctrl-C does not wait
                going.wait_for_running()
            with suppress(ChandraBinError):  # report the first error
                going.write(str(error) if isinstance(error, ExecutorLost) else "the batch was interrupted")
            raise
        going.write("the batch stopped before")


class _Run:
    """The state of a batch: waiting, running and finished rows."""

    def __init__(self, rows: Sequence[Row], folder: Path, executor: Executor, jobs: int | Callable[[], int],
                 threads: int, limits: Limits) -> None:
        self.rows, self.folder, self.executor, self.threads, self.limits = rows, folder, executor, threads, limits
        self.jobs = jobs if callable(jobs) else lambda: jobs
        self.memory = SHARE * available_bytes() if limits.memory is None else limits.memory
        self.row_memory = self.memory if limits.row_memory is None else limits.row_memory
        self.waiting = deque(_Turn(row) for row in rows)
        self.running: dict[Future[Result], _Turn] = {}
        self.ended: queue.SimpleQueue[Future[Result]] = queue.SimpleQueue()
        self.taken = 0.0
        self.done: dict[int, Result] = {}
        self.has_failed = False
        self.began = time.monotonic()
        self.write_at = self.began + _TABLE_SECONDS

    def results(self, stop: Callable[[], bool], lost: Callable[[], str | None]) -> Iterator[Result]:
        """Yield the result of each row when it ends."""
        while self.waiting or self.running:
            if stop():
                self.waiting.clear()
            if self.waiting and self.waiting[0].bytes > self.row_memory:
                yield self._refuse(self.waiting.popleft())
                continue
            self._begin()
            try:
                future = self.ended.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                if why := lost():
                    raise ExecutorLost(why) from None
                continue
            turn = self.running.pop(future)
            self.taken -= turn.bytes
            result = self._result(future, turn, lost)
            if result.is_ok or turn.attempt > self.limits.retry:
                yield self._keep(result)
            else:
                self.waiting.append(_Turn(turn.row, turn.attempt + 1))

    def _refuse(self, turn: "_Turn") -> Result:
        """Return the failure of a row that needs too much memory."""
        return self._keep(failed(
            turn.row, "NotEnoughMemory", f"{turn.row.source}: needs about {turn.bytes / 1e9:.3g} GB of memory, but the "
            f"limit of a row is {self.row_memory / 1e9:.3g} (--memory): bin the image, e.g. [bin sky=2], or crop it"))

    def _begin(self) -> None:
        """Start rows in their order, as long as jobs and memory are free."""
        jobs = max(self.jobs(), 1)
        while self.waiting and len(self.running) < jobs:
            needed = self.waiting[0].bytes
            if needed > self.row_memory or (self.running and self.taken + needed > self.memory):
                return
            turn = self.waiting.popleft()
            order = Order(turn.row, self.folder.absolute(), self.threads, self.limits.timeout)
            try:
                future = self.executor.submit(do, order)
            except RuntimeError as error:  # the pool is broken, or was shut down
                raise ExecutorLost(f"the executor is lost: {error}") from None
            self.running[future] = turn
            self.taken += needed
            future.add_done_callback(self.ended.put)

    def _result(self, future: "Future[Result]", turn: "_Turn", lost: Callable[[], str | None]) -> Result:
        """Return the result of a row, or its failure. Raises `ExecutorLost`."""
        try:
            result = future.result()
        except (Exception, CancelledError) as error:
            if why := lost():
                raise ExecutorLost(why) from None
            if isinstance(error, BrokenExecutor):
                raise ExecutorLost(f"the executor is lost: {error}") from None
            return failed(turn.row, type(error).__name__, str(error), attempts=turn.attempt,
                          seconds=round(time.monotonic() - turn.began, 4))
        return replace(result, attempts=turn.attempt) if result.attempts else result

    def _keep(self, result: Result) -> Result:
        """Store a result and return it."""
        self.done[result.row] = result
        self.has_failed |= not result.is_ok
        return result

    def wait_for_running(self) -> None:
        """Cancel waiting rows, and wait for running ones."""
        for future in self.running:
            future.cancel()
        wait(self.running)
        for future, turn in self.running.items():
            if not future.cancelled() and future.exception() is None:
                self._keep(replace(future.result(), attempts=turn.attempt))

    def keep_table(self) -> None:
        """Write the table if enough time has passed; errors are reported when the batch ends."""
        start = time.monotonic()
        if start > self.write_at:
            with suppress(ChandraBinError):
                write_table(self.folder, self._all("has not been done yet"))
            end = time.monotonic()
            self.write_at = end + max(_TABLE_SECONDS, _TABLE_PART * (end - start))

    def write(self, why_not: str) -> None:
        """Write the table and the page. Raises `OutputError`."""
        results = self._all(f"was not run: {why_not}")
        write_table(self.folder, results)
        ok = [result for result in results if result.is_ok]
        write_page(self.folder, results, {
            "Bins": str(sum(result.bins for result in ok)), "Counts": f"{sum(result.counts for result in ok):.0f}",
            "Elapsed": f"{time.monotonic() - self.began:.1f} s",
            "Sum of seconds": f"{sum(result.seconds for result in ok):.1f} s"})

    def _all(self, why_not: str) -> list[Result]:
        """Return the results of all rows; others fail with the reason ``why_not``."""
        return [self.done.get(row.number) or failed(row, "NotRun", why_not) for row in self.rows]


class _Turn:
    """An attempt to run a row."""

    def __init__(self, row: Row, attempt: int = 1) -> None:
        self.row, self.attempt = row, attempt
        self.began = time.monotonic()

    @cached_property
    def bytes(self) -> float:
        """The estimated memory in bytes."""
        return estimated_bytes(self.row)
