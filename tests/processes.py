"""Processes of this machine, and what is waited for. Nothing here is in a hurry: the machine may be busy."""

import os
import time
from pathlib import Path


def _words(pid):
    """What /proc says of a process, from its state on; the name before that may hold anything. None: it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def is_alive(pid):
    """Whether a process runs: one that has ended and is not waited for is gone."""
    words = _words(pid)
    return words is not None and words[0] != "Z"


def children(pid):
    """The processes that a process has begun, and that run."""
    found = {path.name: _words(path.name) for path in Path("/proc").glob("[0-9]*")}
    return [int(name) for name, words in found.items() if words and int(words[1]) == pid and words[0] != "Z"]


def cpu_seconds(pid):
    """That a process has used, all its threads together."""
    words = _words(pid)
    return sum(map(int, words[11:13])) / os.sysconf("SC_CLK_TCK")


def wait_until(holds, seconds=60):
    """Waits for something that is to come, and gives it."""
    end = time.monotonic() + seconds
    while not (came := holds()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
    return came
