"""How much memory the machine, or the container, has left."""

import math
import os
from pathlib import Path

# Files of Linux that say so, and what stands before the number: of the machine, of a container.
_LIMITS = {Path("/proc/meminfo"): "MemAvailable:", Path("/sys/fs/cgroup/memory.max"): "",
           Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"): ""}


def available_bytes() -> float:
    """The memory that is free or could be, and no more than a container may have; infinite if the system says none."""
    there = math.inf
    if hasattr(os, "sysconf"):  # which Windows has not
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
