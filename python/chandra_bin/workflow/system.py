"""Requirements of pipelines and batches on the operating system, and the number of usable cores."""

import os
from contextlib import suppress
from importlib.util import find_spec

from chandra_bin.errors import InputError


def usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def need_posix(what: str) -> None:
    """Raise `InputError` that begins with ``what`` on a system without POSIX locks and signals."""
    if find_spec("fcntl") is None:
        raise InputError(f"{what} needs the locks and signals of Linux or macOS: on Windows, use WSL")


def release_memory() -> None:
    """Return the memory that was freed to the system, where the C library can (glibc).

    It keeps the memory of arrays below 32 MB for the next ones, which would add to the peak of the next task.
    """
    import ctypes

    if os.name == "posix":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
