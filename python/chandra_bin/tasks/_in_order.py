"""Work on several observations: one is read while others are computed."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TypeVar

from chandra_bin._checks.arrays import as_threads
from chandra_bin.errors import deferred_warnings, warn

T = TypeVar("T")
R = TypeVar("R")
M = TypeVar("M")


def in_order(items: Sequence[T], read: Callable[[T], R], compute: Callable[[R], M], threads: int) -> Iterator[M]:
    """Yield ``compute(read(item))`` of each item, in their order.

    Parameters
    ----------
    read : reads files. The calling thread does this, since the filters of Python's warnings, which libraries change
        while they read, belong to all threads.
    compute : works on arrays. With several threads, threads of a pool do this.
    threads : number of items that are computed at once, which changes neither results nor the order of warnings. At
        most this many items are in memory.

    Raises what the first item raises that fails.
    """
    threads = as_threads(threads)
    if threads == 1:
        for item in items:
            yield compute(read(item))
        return
    waiting: deque[tuple[list[str], Future[M]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                with deferred_warnings() as texts:
                    made = _started(item, read, partial(_computed, compute, texts), pool)
                waiting.append((texts, made))
                if made.done() and made.exception():
                    break
                if len(waiting) == threads:
                    yield _result(*waiting.popleft())
            while waiting:
                yield _result(*waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def _started(item: T, read: Callable[[T], R], compute: Callable[[R], M], pool: ThreadPoolExecutor) -> Future[M]:
    """Read an item and begin to compute it; an error of reading is that of the result."""
    try:
        return pool.submit(compute, read(item))
    except Exception as error:
        failed: Future[M] = Future()
        failed.set_exception(error)
        return failed


def _computed(compute: Callable[[R], M], texts: list[str], what: R) -> M:
    """Compute, and list the texts of warnings behind those of reading."""
    with deferred_warnings() as more:
        try:
            return compute(what)
        finally:
            texts += more


def _result(texts: list[str], made: Future[M]) -> M:
    """Wait for a result, and return it after its warnings."""
    wait([made])
    for text in texts:
        warn(text)
    return made.result()
