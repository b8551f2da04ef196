"""Does the rows of a manifest, on whatever executes them, and keeps the table of their results."""

import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from chandra_bin._checks.memory import available_bytes
from chandra_bin.errors import ChandraBinError, InputError
from chandra_bin.fits.virtual import one_of_stack
from chandra_bin.tasks.inputs import files_of, image_shape
from chandra_bin.workflow.limits import Limits
from chandra_bin.workflow.pool import InlineExecutor
from chandra_bin.workflow.records import locked

from .manifest import Row, read_manifest
from .results import write_page, write_table
from .work import Order, Result, do, failed

# Memory for a row, as measured: of Python and what it imports, and for each pixel of the image, its background and
# exposure maps and many bins included (docs/developers/performance.md).
_BASE_BYTES = 220e6
_BYTES_A_PIXEL = 120.0
# Pipelines read events in blocks, and have images of one field.
_PIPELINE_BYTES = 1e9
# Of what is there, what a batch takes: the rest is for estimates that are too low, and the system's cache.
SHARE = 0.8
# The table is written so many seconds after the last time, or so many times what that took; and at the end.
_TABLE_SECONDS = 10.0
_TABLE_PART = 50.0
# And the executor is asked so often whether it is still there, when nothing ends.
_LOOK_SECONDS = 1.0


class ExecutorLost(ChandraBinError):  # noqa: N818
    """What does the rows is gone; those that are done are kept."""


def estimated_bytes(row: Row) -> float:
    """The memory that a row takes, as the header of its image says; that of an empty one, where it cannot be read."""
    if row.image is None:
        return _PIPELINE_BYTES
    try:
        image = one_of_stack(row.image)
        if not all(file.is_file() for file in files_of(image)):  # a pipe would keep us waiting
            return _BASE_BYTES
        ny, nx = image_shape(image)
    except ChandraBinError:  # which is for the worker to say
        return _BASE_BYTES
    return _BASE_BYTES + _BYTES_A_PIXEL * ny * nx


def run(manifest: str | Path | Sequence[Row], folder: Path = Path("results"), *, executor: Executor | None = None,
        jobs: int | Callable[[], int] = 1, threads: int = 1, limits: Limits | None = None,
        stop: Callable[[], bool] = lambda: False, lost: Callable[[], str | None] = lambda: None) -> Iterator[Result]:
    """Does all rows, and yields the result of each as it is there; rows that are done already are left as they are.

    Parameters
    ----------
    manifest : a file, or images, or rows as `read_manifest` gives them of these.
    folder : where each cluster has a folder of its own, with ``results.ecsv`` and ``index.html`` beside them.
    executor : what does the rows, any of ``concurrent.futures`` (a pool of processes must not fork); None: here.
        Who made it shuts it down.
    jobs : rows given to it at once; may change as long as it runs.
    threads : of each row; they do not change a result.
    limits : what rows may take; None: the defaults.
    stop : asked before rows are begun; if it holds, those that run are finished, and no others begun.
    lost : asked now and then; says why the executor does nothing any more, if so.

    Rows that were not begun are in the table as failed (error ``NotRun``), and are not yielded. Raises `InputError`
    where another batch works in the folder, `OutputError` where that cannot be written to, and `ExecutorLost`.
    """
    rows = read_manifest(str(manifest)) if isinstance(manifest, str | Path) else manifest
    if not rows:
        raise InputError("there is no row")
    limits = Limits.or_defaults(limits)
    with locked(folder):
        going = _Run(rows, folder, executor or InlineExecutor(), jobs, threads, limits)
        try:
            for result in going.results(lambda: stop() or (limits.fail_fast and going.has_failed), lost):
                yield result
                going.keep_table()
        except BaseException as error:
            if isinstance(error, GeneratorExit):  # nobody listens any more; Ctrl-C does not wait
                going.wait_for_running()
            with suppress(ChandraBinError):  # what went wrong first is what is to be said
                going.write(str(error) if isinstance(error, ExecutorLost) else "the batch was ended")
            raise
        going.write("the batch was stopped before")


class _Run:
    """The state of a batch: rows that wait, that run, and that are done."""

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
        """The results of rows, as they are there."""
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
        return self._keep(failed(
            turn.row, "NotEnoughMemory", f"{turn.row.source}: needs about {turn.bytes / 1e9:.3g} GB of memory, and a "
            f"row may take {self.row_memory / 1e9:.3g} (--memory): bin the image, or crop it, [bin sky=2] say"))

    def _begin(self) -> None:
        """Begins rows, in their order, as long as there are hands and memory for the next."""
        jobs = max(self.jobs(), 1)
        while self.waiting and len(self.running) < jobs:
            needed = self.waiting[0].bytes
            if needed > self.row_memory or (self.running and self.taken + needed > self.memory):
                return
            turn = self.waiting.popleft()
            order = Order(turn.row, self.folder.absolute(), self.threads, self.limits.timeout)
            try:
                future = self.executor.submit(do, order)
            except RuntimeError as error:  # a pool that is broken, or was shut down
                raise ExecutorLost(f"what does the rows is gone: {error}") from None
            self.running[future] = turn
            self.taken += needed
            future.add_done_callback(self.ended.put)

    def _result(self, future: "Future[Result]", turn: "_Turn", lost: Callable[[], str | None]) -> Result:
        try:
            result = future.result()
        except (Exception, CancelledError) as error:
            if why := lost():
                raise ExecutorLost(why) from None
            if isinstance(error, BrokenExecutor):
                raise ExecutorLost(f"what does the rows is gone: {error}") from None
            return failed(turn.row, type(error).__name__, str(error), attempts=turn.attempt,
                          seconds=round(time.monotonic() - turn.began, 4))
        return replace(result, attempts=turn.attempt) if result.attempts else result

    def _keep(self, result: Result) -> Result:
        self.done[result.row] = result
        self.has_failed |= not result.is_ok
        return result

    def wait_for_running(self) -> None:
        """Lets rows finish that cannot be called off."""
        for future in self.running:
            future.cancel()
        wait(self.running)
        for future, turn in self.running.items():
            if not future.cancelled() and future.exception() is None:
                self._keep(replace(future.result(), attempts=turn.attempt))

    def keep_table(self) -> None:
        """Writes the table now and then; where that cannot be, the end of the batch says so."""
        start = time.monotonic()
        if start > self.write_at:
            with suppress(ChandraBinError):
                write_table(self.folder, self._all("has not been done yet"))
            end = time.monotonic()
            self.write_at = end + max(_TABLE_SECONDS, _TABLE_PART * (end - start))

    def write(self, why_not: str) -> None:
        """Writes the table and the page. Raises `OutputError`."""
        results = self._all(f"was not run: {why_not}")
        write_table(self.folder, results)
        ok = [result for result in results if result.is_ok]
        write_page(self.folder, results, {
            "Bins": str(sum(result.bins for result in ok)), "Counts": f"{sum(result.counts for result in ok):.0f}",
            "Elapsed": f"{time.monotonic() - self.began:.1f} s",
            "Sum of seconds": f"{sum(result.seconds for result in ok):.1f} s"})

    def _all(self, why_not: str) -> list[Result]:
        return [self.done.get(row.number) or failed(row, "NotRun", why_not) for row in self.rows]


class _Turn:
    """A row that waits, or runs."""

    def __init__(self, row: Row, attempt: int = 1) -> None:
        self.row, self.attempt = row, attempt
        self.began = time.monotonic()

    @cached_property
    def bytes(self) -> float:
        """The memory that it takes."""
        return estimated_bytes(self.row)
