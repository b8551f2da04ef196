"""Requirements of pipelines and batches on the operating system, and the number of usable cores."""

import os
from contextlib import suppress
from importlib.util import find_spec

from chandra_bin.errors import InputError

# The parameter M_MMAP_THRESHOLD of glibc's mallopt, and the least number of bytes for which numpy asks for huge pages.
_MMAP_THRESHOLD, _LARGE_ARRAY = -3, 4 << 20


def usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def need_posix(what: str) -> None:
    """Raise `InputError` that begins with ``what`` on a system without POSIX locks and signals."""
    if find_spec("fcntl") is None:
        raise InputError(f"{what} needs the locks and signals of Linux or macOS: on Windows, use WSL")


def return_freed_arrays() -> None:
    """Let the C library (glibc) return the memory of large arrays to the system as soon as they are freed.

    Without this it keeps arrays of up to 32 MB for later ones of the process, and what it keeps adds to the peak of the
    next task. The setting holds for the whole process; repeated calls change nothing.
    """
    import ctypes

    if os.name == "posix":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE_ARRAY)
