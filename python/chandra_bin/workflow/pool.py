"""Executors of ``concurrent.futures`` that do work here, one piece after another, or in processes of their own.

``ProcessPoolExecutor`` gives up all its work when one of its processes is killed, by a system that is short of memory
say, and cannot end what takes too long. Here a process that is gone costs the one piece of work that it did.
"""

import gc
import os
import pickle
import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, ParamSpec, TypeVar

from .system import need_posix

P = ParamSpec("P")
T = TypeVar("T")

_BEGINS = b"begins"


class WorkerLost(Exception):  # noqa: N818
    """The process that did a piece of work is gone, or was ended as it took too long."""


class Here(Executor):
    """Does each piece of work at once, in this thread. Ctrl-C goes through."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Processes(Executor):
    """So many processes, begun when there is work for them.

    Parameters
    ----------
    number : of processes.
    seconds : work that takes longer is ended, with its process; None: never.

    They ignore Ctrl-C, which is for who gives the work, and end with the process that began them, however that ended.
    Raises `InputError` on a system that is not POSIX.
    """

    def __init__(self, number: int, seconds: float | None = None) -> None:
        need_posix("work in processes")
        self._seconds = seconds
        self._work: queue.SimpleQueue[tuple[Future[Any], Any] | None] = queue.SimpleQueue()
        self._workers = [_Worker() for _ in range(number)]
        self._threads = [threading.Thread(target=self._serve, args=(worker,), daemon=True) for worker in self._workers]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        self._work.put((future, (fn, args, kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the processes when their work is done; without ``wait`` at once."""
        if cancel_futures or not wait:
            while True:
                try:
                    item = self._work.get_nowait()
                except queue.Empty:
                    break
                if item and item[0].cancel():
                    item[0].set_running_or_notify_cancel()  # who waits is told
        for _ in self._workers:
            self._work.put(None)
        if not wait:
            for worker in self._workers:
                worker.kill()
        for thread in self._threads:
            thread.join()

    def _serve(self, worker: "_Worker") -> None:
        """Hands work to one process, in a thread of ours."""
        resource_tracker.ensure_running()  # which multiprocessing would begin, and lift the block
        # Sent to all processes of a terminal, or of a job of a batch system; what becomes of the work is not theirs to
        # say, and the process inherits it.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
        while item := self._work.get():
            future, call = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(worker.call(call, self._seconds))
            except BaseException as error:
                future.set_exception(error)
        worker.end()


class _Worker:
    """A process, which is begun again when it is gone."""

    def __init__(self) -> None:
        self._process: Any = None
        self._pipe: Connection | None = None
        self._ended = False
        self._lock = threading.Lock()

    def call(self, call: Any, seconds: float | None) -> Any:
        """What the call returns, or raises, in the process. Raises `WorkerLost`."""
        message = pickle.dumps(call)
        with self._lock:
            if self._ended:
                raise WorkerLost("the processes were ended")
            if self._process is None or not self._process.is_alive():
                self._begin()
        pipe, process = self._pipe, self._process
        assert pipe is not None
        try:
            pipe.send_bytes(message)
            pipe.recv_bytes()  # it has imported what it needs, and begins
            if not wait([pipe], seconds):
                process.kill()
                process.join()
                raise WorkerLost(f"took more than {seconds:g} s, and was ended")
            is_good, value = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            process.join()
            raise WorkerLost(f"its process (PID {process.pid}) ended {_how(process.exitcode)}") from None
        if is_good:
            return value
        raise value

    def _begin(self) -> None:
        context = get_context("spawn")  # never fork: a process with threads must not
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, os.getpid()))
        self._process.start()
        theirs.close()

    def end(self) -> None:
        """Lets the process end, which has nothing to do."""
        self._ended = True
        if self._pipe is not None:
            self._pipe.close()
            self._process.join()

    def kill(self) -> None:
        """Ends the process at once, and begins no other."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()


def _how(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "by SIGKILL: was there not enough memory?"
    return f"by {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"


def _work(pipe: Connection, parent: int) -> None:
    """What a process does."""
    _end_with(parent)
    while True:
        try:
            fn, args, kwargs = pickle.loads(pipe.recv_bytes())
        except EOFError:
            return
        pipe.send_bytes(_BEGINS)
        answer: tuple[bool, Any]
        try:
            answer = True, fn(*args, **kwargs)
        except BaseException as error:
            answer = False, error
        pipe.send_bytes(pickle.dumps(answer))
        if not gc.get_freeze_count():  # what was imported for the first piece of work stays: it need not be looked at
            gc.collect()
            gc.freeze()


def _end_with(parent: int) -> None:
    """Ends this process when its parent is gone: another run may be on its way."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
