"""What a batch takes on many nodes, simulated: what was measured of one core, and what a shared file system allows.

Rows go through five places: the client, which gives them out and takes their results; the scheduler; a core; the
server of the file system's names; and its disks. The first two and the last two are shared by all, and do one thing
after another. Nothing else is simulated: no failures, no queue of a batch system.
"""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

PLACES = ("cores", "client", "scheduler", "names of files", "disks")


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
    left = iter(rows)
    events: list[tuple[float, int, str, Row]] = []
    order = itertools.count()
    waiting: deque[Row] = deque()
    free = 0
    end = 0.0

    def then(at: float, what: str, row: Row) -> None:
        heapq.heappush(events, (at, next(order), what, row))

    nothing = Row(0, 0, 0)
    for _ in range(cores):
        then(model.worker_start_s, "is free", nothing)
    for row in itertools.islice(left, ahead * cores):
        then(0.0, "is given out", row)
    while events:
        now, _, what, row = heapq.heappop(events)
        if what == "is given out":
            then(client.use(now, model.client_s / 2), "is sent", row)
        elif what == "is sent":
            then(scheduler.use(now, model.scheduler_s / 2), "is there", row)
        elif what == "is there":
            waiting.append(row)
        elif what == "is computed":
            made = names.use(now, (row.files * model.names_a_file + model.names_a_row) * model.names_s)
            then(max(made, disks.use(now, row.megabytes * model.megabyte_s)), "is written", row)
        elif what == "is written":
            then(scheduler.use(now, model.scheduler_s / 2), "is told", row)
            then(now, "is free", nothing)
        elif what == "is told":
            end = client.use(now, model.client_s / 2)
            if (following := next(left, None)) is not None:
                then(end, "is given out", following)
        elif what == "is free":
            free += 1
        while free and waiting:
            free -= 1
            beginning = waiting.popleft()
            then(now + beginning.core_s, "is computed", beginning)
    busy = (sum(row.core_s for row in rows) / cores, client.busy, scheduler.busy, names.busy, disks.busy)
    return Run(end, {place: seconds / end for place, seconds in zip(PLACES, busy, strict=True)})


def draw(rows: Sequence[Row], number: int, seed: int = 1) -> list[Row]:
    """So many rows like those that were measured."""
    return random.Random(seed).choices(rows, k=number)
