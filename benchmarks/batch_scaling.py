"""What a batch takes on many nodes, simulated: what was measured of one core, and what a shared file system allows.

Rows go through five places: the client, which gives them out and takes their results; the scheduler; a core; the
server of the file system's names; and its disks. The first two and the last two are shared by all, and do one thing
after another. Nothing else is simulated: no failures, no queue of a batch system.
"""

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """What a cluster needs."""

    core_s: float
    files: int
    """Files that are written."""
    megabytes: float
    """Read and written."""


@dataclass(frozen=True)
class Model:
    """What things cost, in seconds."""

    client_s: float
    """Of the client, a row: its header, its result."""
    scheduler_s: float
    """Of the scheduler, a row: its messages."""
    worker_start_s: float
    """Of a worker, once: Python and what it imports."""
    names_s: float = 1 / 20_000
    """Of the file system, a file made, renamed or opened: assumed, as of a Lustre with one server of names."""
    names_a_file: int = 3
    """How often that is: made under a temporary name, renamed, read for its checksum."""
    names_a_row: int = 60
    megabyte_s: float = 1 / 5_000
    """Of its disks: assumed."""


@dataclass
class _Shared:
    """A place that does one thing after another."""

    free_at: float = 0.0
    busy: float = 0.0

    def use(self, at: float, seconds: float) -> float:
        """When what comes at a time is done."""
        self.free_at = max(self.free_at, at) + seconds
        self.busy += seconds
        return self.free_at


@dataclass(frozen=True)
class Run:
    """What a batch came to."""

    elapsed: float
    used: dict[str, float] = field(default_factory=dict)
    """The share of the time that each place was at work."""

    @property
    def bottleneck(self) -> str:
        return max(self.used, key=lambda name: self.used[name])


def simulate(rows: Sequence[Row], cores: int, model: Model, ahead: int = 2) -> Run:
    """Runs rows in their order on so many cores, each with one thread; ``ahead`` rows a core are given out."""
    client, scheduler, names, disks = (_Shared() for _ in range(4))
    free = [(model.worker_start_s, core) for core in range(cores)]  # when each core is free
    heapq.heapify(free)
    results: list[float] = []  # when each row that is out comes back
    core_busy = end = 0.0
    for row in rows:
        now = heapq.heappop(results) if len(results) >= ahead * cores else 0.0
        given = scheduler.use(client.use(now, model.client_s / 2), model.scheduler_s / 2)
        at, core = heapq.heappop(free)
        start = max(at, given)
        computed = start + row.core_s
        named = names.use(computed, (row.files * model.names_a_file + model.names_a_row) * model.names_s)
        done = max(named, disks.use(computed, row.megabytes * model.megabyte_s))
        core_busy += done - start
        heapq.heappush(free, (done, core))
        told = client.use(scheduler.use(done, model.scheduler_s / 2), model.client_s / 2)
        heapq.heappush(results, told)
        end = max(end, told)
    used = {"cores": sum(row.core_s for row in rows) / (cores * end), "client": client.busy / end,
            "scheduler": scheduler.busy / end, "names of files": names.busy / end, "disks": disks.busy / end}
    return Run(end, used)


def draw(rows: Sequence[Row], number: int, seed: int = 1) -> list[Row]:
    """So many rows like those that were measured."""
    return random.Random(seed).choices(rows, k=number)
