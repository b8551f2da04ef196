"""Work on several observations: one is read while others are computed."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from functools import partial
from threading import Event
from typing import TypeVar

from chandra_bin._checks.arrays import as_threads
from chandra_bin.errors import deferred_warnings, warn

T = TypeVar("T")
R = TypeVar("R")
M = TypeVar("M")

# Items that are in memory at once, however many cores a machine has.
MOST_ITEMS = 4
# Long work calls it often; it raises `CancelledError` when the result is not needed any more.
Poll = Callable[[], None]


def in_order(items: Sequence[T], read: Callable[[T], R], compute: Callable[[R, Poll], M], threads: int,
             most: int = MOST_ITEMS) -> Generator[M, None, None]:
    """Yield ``compute(read(item), poll)`` of each item, in their order.

    Parameters
    ----------
    read : reads files. The calling thread does this, since the filters of Python's warnings, which libraries change
        while they read, belong to all threads.
    compute : works on arrays. With several threads, threads of a pool do this. Work that takes long calls ``poll``
        often, which ends it after Ctrl-C or an error of another item.
    threads : number of items that are computed at once, which changes neither results nor the order of warnings.
    most : largest number of items in memory, and therefore that are computed at once.

    Raises what the first item raises that fails. A caller that may leave before the end closes the generator.
    """
    threads = min(as_threads(threads), most)
    if threads == 1:
        for item in items:
            yield compute(read(item), _never)
        return
    closed = Event()
    compute_until = partial(_computed, compute, partial(_refuse, closed))
    waiting: deque[tuple[list[str], Future[M]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                with deferred_warnings() as texts:
                    made = _started(item, read, partial(compute_until, texts), pool)
                waiting.append((texts, made))
                if made.done() and made.exception():
                    break
                if len(waiting) == threads:
                    yield _result(*waiting.popleft())
            while waiting:
                yield _result(*waiting.popleft())
        finally:
            closed.set()
            pool.shutdown(cancel_futures=True)


def _never() -> None:
    """Continue: the calling thread computes, and Ctrl-C interrupts it."""


def _refuse(closed: Event) -> None:
    """Raise `CancelledError` when the generator is closed."""
    if closed.is_set():
        raise CancelledError


def _started(item: T, read: Callable[[T], R], compute: Callable[[R], M], pool: ThreadPoolExecutor) -> Future[M]:
    """Read an item and begin to compute it; an error of reading is that of the result."""
    try:
        return pool.submit(compute, read(item))
    except Exception as error:
        failed: Future[M] = Future()
        failed.set_exception(error)
        return failed


def _computed(compute: Callable[[R, Poll], M], poll: Poll, texts: list[str], what: R) -> M:
    """Compute, and list the texts of warnings behind those of reading."""
    with deferred_warnings() as more:
        try:
            return compute(what, poll)
        finally:
            texts += more


def _result(texts: list[str], made: Future[M]) -> M:
    """Wait for a result, and return it after its warnings."""
    wait([made])
    for text in texts:
        warn(text)
    return made.result()
