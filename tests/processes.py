"""Processes of this machine, and what is waited for. Nothing here is in a hurry: the machine may be busy."""

import time
from pathlib import Path


def _state_and_parent(pid):
    """Of /proc, behind the name in brackets, in which anything may be. None where there is no such process."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return words[0], int(words[1])


def is_alive(pid):
    """Whether a process runs: one that has ended and is not waited for is gone."""
    found = _state_and_parent(pid)
    return found is not None and found[0] != "Z"


def children(pid):
    """The processes that a process has begun, and that run."""
    found = {path.name: _state_and_parent(path.name) for path in Path("/proc").glob("[0-9]*")}
    return [int(name) for name, each in found.items() if each is not None and each[1] == pid and each[0] != "Z"]


def wait_until(holds, seconds=60):
    """Waits for something that is to come, and gives it."""
    end = time.monotonic() + seconds
    while not (came := holds()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
    return came
