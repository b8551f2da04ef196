"""Executors of ``concurrent.futures``: one works in this process, the other in child processes.

`Processes` gives four guarantees that ``ProcessPoolExecutor`` does not give: a killed process loses one piece of work
only; work that takes too long is stopped; work is interrupted before its process is killed, so that it can stop the
tools that it started; and no process outlives its parent.
"""

import gc
import os
import pickle
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Executor, Future
from multiprocessing import current_process, get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from chandra_bin.errors import ChandraBinError, InputError

from .system import need_posix

P = ParamSpec("P")
T = TypeVar("T")

_BEGINS = b"begins"
# Seconds that interrupted work has to stop its tools and to remove the files that it has written.
_GRACE_S = 10.0
# Seconds between two checks of a process that its parent is still alive.
_WATCH_S = 0.2


class WorkerLost(Exception):  # noqa: N818
    """The process that did a piece of work was killed, interrupted, or stopped because it took too long."""


class InlineExecutor(Executor):
    """Executor that does each piece of work at once, in this thread. Ctrl-C interrupts the work itself."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call the function and return a finished future."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def interrupt(self) -> None:
        """Do nothing: no work can be running while this thread calls this method."""


def need_main_guard() -> None:
    """Raise ``InputError`` in a process that `Processes` started and that imports the script of its parent.

    A script whose calls are not below a main guard makes them again there.
    """
    # multiprocessing marks such a process until its script is imported, and would refuse to start others.
    if getattr(current_process(), "_inheriting", False):
        raise InputError('a process that works for the script imports the script again: put its calls below '
                         '"if __name__ == \'__main__\':"')


class Processes(Executor):
    """Executor of child processes, which start when there is work for them.

    Parameters
    ----------
    number : int
        Number of processes.
    seconds : float, optional
        Time limit in seconds: work that takes longer is interrupted and its process ended. Default: no limit.

    Raises
    ------
    InputError
        On a system without POSIX locks and signals, and where a process that this module starts makes processes while
        it imports the script of its parent.

    Notes
    -----
    The processes ignore SIGINT, SIGTERM and SIGHUP, which terminals and batch systems send to all processes of a job:
    the parent decides whether the work stops. A process whose parent has ended interrupts its work and ends. As a
    context manager, the executor waits for its work, or interrupts the work when an exception leaves the block.
    """

    def __init__(self, number: int, seconds: float | None = None) -> None:
        need_posix("work in processes")
        need_main_guard()
        self._seconds = seconds
        self._work: queue.SimpleQueue[tuple[Future[Any], Any] | None] = queue.SimpleQueue()
        self._workers = [_Worker() for _ in range(number)]
        self._threads = [threading.Thread(target=self._serve, args=(worker,), daemon=True) for worker in self._workers]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a call of the function, and return its future."""
        future: Future[T] = Future()
        self._work.put((future, (fn, args, kwargs)))
        return future

    def interrupt(self) -> None:
        """Interrupt the running work and start no other: futures raise ``WorkerLost``."""
        for worker in self._workers:
            worker.interrupt()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes when their work is done; without ``wait``, interrupt the work and kill it if need be."""
        if cancel_futures or not wait:
            self._cancel_waiting()
        for _ in self._workers:
            self._work.put(None)
        if not wait:
            self.interrupt()
            end = time.monotonic() + _GRACE_S
            try:
                for thread in self._threads:
                    thread.join(max(end - time.monotonic(), 0.0))
            finally:  # also after a second Ctrl-C
                for worker in self._workers:
                    worker.send(signal.SIGKILL)
        for thread in self._threads:
            thread.join()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.shutdown(wait=kind is None)

    def _cancel_waiting(self) -> None:
        """Cancel all work that has not started."""
        while True:
            try:
                item = self._work.get_nowait()
            except queue.Empty:
                return
            if item and item[0].cancel():
                item[0].set_running_or_notify_cancel()  # wakes up callers that wait for the future

    def _serve(self, worker: "_Worker") -> None:
        """Pass work to one process; runs in its own thread of this process."""
        resource_tracker.ensure_running()  # multiprocessing would start it, and unblock the signals
        # The process inherits the mask, so that no signal ends it before it has its handlers.
        signal.pthread_sigmask(signal.SIG_BLOCK, _signals_to_all())
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
    """A process that is restarted when it has ended. One thread calls it; any thread may send it a signal."""

    def __init__(self) -> None:
        self._process: Any = None
        self._pipe: Connection | None = None
        self._is_ended = False
        # No signal may be sent after the process has been waited for: another process may have its PID then.
        self._lock = threading.Lock()

    def call(self, call: Any, seconds: float | None) -> Any:
        """Do a call in the process: return its value, or raise its exception or `WorkerLost`."""
        message = pickle.dumps(call)
        if self._process is not None and not self._hand_over(message):
            self._wait_for_end()  # the process was lost before this call began: start another
        if self._process is None:
            with self._lock:
                if self._is_ended:
                    raise WorkerLost("the executor was shut down")
                self._begin()
            if not self._hand_over(message):
                raise self._lost()
        pipe = self._pipe
        assert pipe is not None
        try:
            if not wait([pipe], seconds):
                self._stop()
                raise WorkerLost(f"took more than {seconds:g} s and was stopped")
            is_good, value = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            raise self._lost() from None
        if is_good:
            return value
        if isinstance(value, KeyboardInterrupt):
            raise WorkerLost(f"its process (PID {self._process.pid}) was interrupted")
        raise value

    def _hand_over(self, message: bytes) -> bool:
        """Send a call to the process, and return whether the process has unpickled it and begins."""
        assert self._pipe is not None
        try:
            self._pipe.send_bytes(message)
            self._pipe.recv_bytes()
        except (EOFError, OSError):
            return False
        return True

    def _lost(self) -> WorkerLost:
        """Return the error of a call whose process has ended."""
        pid = self._process.pid
        return WorkerLost(f"its process (PID {pid}) ended {_how(self._wait_for_end())}")

    def _begin(self) -> None:
        """Start the process."""
        context = get_context("spawn")  # a process with threads must not fork
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, os.getpid()))
        self._process.start()
        theirs.close()

    def _stop(self) -> None:
        """Interrupt the work, and kill the process if it does not end."""
        self.send(signal.SIGUSR1)
        if not wait([self._process.sentinel], _GRACE_S):
            self.send(signal.SIGKILL)
        self._wait_for_end()

    def _wait_for_end(self) -> int | None:
        """Wait until the process has ended, and return its exit code."""
        wait([self._process.sentinel])
        with self._lock:
            process, self._process = self._process, None
            process.join()
        assert self._pipe is not None
        self._pipe.close()
        code: int | None = process.exitcode
        return code

    def end(self) -> None:
        """End the idle process."""
        with self._lock:
            self._is_ended = True
        if self._process is not None:
            assert self._pipe is not None
            self._pipe.close()
            self._wait_for_end()

    def interrupt(self) -> None:
        """Interrupt the work and start no other process."""
        with self._lock:
            self._is_ended = True
        self.send(signal.SIGUSR1)

    def send(self, number: int) -> None:
        """Send a signal to the process, if there is one."""
        with self._lock:
            if self._process is not None:
                os.kill(self._process.pid, number)


def _how(code: int | None) -> str:
    """Describe an exit code."""
    if code == -signal.SIGKILL:
        return "by SIGKILL: out of memory?"
    return f"by {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"


def _signals_to_all() -> tuple[signal.Signals, ...]:
    """Return the signals that terminals and batch systems send to all processes of a job."""
    return signal.SIGINT, signal.SIGTERM, signal.SIGHUP


# In a process of the pool


class _Interruption:
    """Handler of SIGUSR1: the first signal interrupts the work, or ends an idle process."""

    is_at_work = False
    is_asked = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        if self.is_asked:  # the work must be able to stop its tools and to clean up
            return
        self.is_asked = True
        if not self.is_at_work:
            os._exit(1)
        raise KeyboardInterrupt


def _work(pipe: Connection, parent: int) -> None:
    """Do the work that comes through the pipe until the parent closes the pipe or ends."""
    interruption = _Interruption()
    signal.signal(signal.SIGUSR1, interruption)
    for number in _signals_to_all():
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup sets it
            signal.signal(number, _ignore)  # tools would inherit SIG_IGN, but not a handler
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _signals_to_all())
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        while not interruption.is_asked:
            call = pickle.loads(pipe.recv_bytes())
            pipe.send_bytes(_BEGINS)
            pipe.send_bytes(pickle.dumps(_answer(call, interruption)))
            if not gc.get_freeze_count():  # modules that the first piece of work imported stay: exclude them from gc
                gc.collect()
                gc.freeze()
    except (EOFError, OSError, KeyboardInterrupt):  # the pipe is closed, or the signal came just after the work
        return


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal that is not for this process."""


def _answer(call: Any, interruption: _Interruption) -> tuple[bool, Any]:
    """Return whether a call succeeds, and its value or its exception."""
    fn, args, kwargs = call
    try:
        interruption.is_at_work = True
        value = fn(*args, **kwargs)
        interruption.is_at_work = False
    except BaseException as error:
        interruption.is_at_work = False
        if not isinstance(error, ChandraBinError | KeyboardInterrupt):
            error.add_note("".join(traceback.format_exception(error)))  # a traceback object cannot be pickled
        return False, error
    return True, value


def _end_with(parent: int) -> None:
    """Interrupt the work when the parent has ended, and end this process, since another run may start."""
    while os.getppid() == parent:
        time.sleep(_WATCH_S)
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGUSR1)
    time.sleep(_GRACE_S)
    os._exit(1)
