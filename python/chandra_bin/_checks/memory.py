"""The memory that the machine or the container has available."""

import math
import os
from pathlib import Path

from chandra_bin.errors import InputError

# Linux files with the limits of the machine and of containers, and the word before the number.
_LIMITS = {Path("/proc/meminfo"): "MemAvailable:", Path("/sys/fs/cgroup/memory.max"): "",
           Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"): ""}


def available_bytes() -> float:
    """Return the available memory, limited to that of the container; infinite if the system reports no limit."""
    there = math.inf
    if hasattr(os, "sysconf"):  # missing on Windows
        there = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path, word in _LIMITS.items():
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            value = line.removeprefix(word).removesuffix("kB").strip()
            if line.startswith(word) and value.isdecimal():
                there = min(there, float(value) * (1024 if line.endswith("kB") else 1))
    return there


def check_memory(needed: float, subject: str, advice: str) -> None:
    """Raise `InputError` with the bytes that a subject (plural) needs and an advice, where fewer are available."""
    there = available_bytes()
    if needed > there:
        raise InputError(f"{subject} need about {needed / 1e9:.3g} GB of memory, and {there / 1e9:.3g} are available: "
                         f"{advice}")
