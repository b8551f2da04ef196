"""What pipelines and batches need of the system, and how many cores it gives them."""

import os
from importlib.util import find_spec

from chandra_bin.errors import InputError


def usable_cores() -> int:
    """The number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def need_posix(what: str) -> None:
    """Raises `InputError`, which begins with ``what``, on a system without POSIX's locks and signals."""
    if find_spec("fcntl") is None:
        raise InputError(f"{what} needs the locks and signals of Linux or macOS: on Windows, use WSL")
