"""Small images for batches, and what comes of them."""

import hashlib
import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress

from astropy.table import Table

from chandra_bin.binning.options import BinningOptions
from chandra_bin.fits.images import write_image
from chandra_bin.simulate import cluster_header, cluster_image
from chandra_bin.workflow.records import State

OPTIONS = ["--sn", "30", "--smooth-sn", "50", "--constrain", "3"]
BINNING = BinningOptions(sn=30.0, smooth_sn=50.0, constrain=3.0)


def write_images(folder, number, side=32, counts=20_000):
    """Simulated clusters, ``c00.fits`` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(number):
        with (folder / f"c{n:02d}.fits").open("wb") as file:
            write_image(file, cluster_image((side, side + n % 3), counts, seed=n), cluster_header((side, side + n % 3)))
    return folder


def slow_image(path, side=1500):
    """One that takes its time, seconds say: so many kinds of bins are in it."""
    with path.open("wb") as file:
        write_image(file, cluster_image((side, side), 6_000_000, seed=1), cluster_header((side, side)))
    return path


def products(results):
    """The checksum of every product of a batch."""
    found = {}
    for path in sorted(results.rglob("*")):
        name = path.relative_to(results)
        if path.is_file() and ".chandra-bin" not in name.parts and len(name.parts) > 1:
            found[str(name)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def leftovers(results):
    """What a run that was killed leaves, and another is to clear away."""
    return [str(path) for path in results.rglob("*") if path.name.endswith((".part", ".old"))
            or (path.name == "scratch" and any(path.iterdir()))]


def table(results):
    """The table of results, by the names of clusters, each of which is there once."""
    read = Table.read(results / "results.ecsv", format="ascii.ecsv").filled("")  # empty texts are masked
    rows = {str(row["name"]): dict(zip(read.colnames, row, strict=True)) for row in read}
    assert len(rows) == len(read)
    return rows


def statuses(results):
    return {name: row["status"] for name, row in table(results).items()}


@contextmanager
def started(*words, **options):
    """``chandra-bin`` as a process of its own, which is gone at the end."""
    code = "import sys; from chandra_bin.cli import main; main()"
    with subprocess.Popen([sys.executable, "-c", code, *map(str, words)], text=True, **{
            "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}) as process:
        try:
            yield process
        finally:
            process.kill()


class Held:
    """A row that waits before it begins, for the state of its folder: a pipe, into which nobody writes."""

    def __init__(self, results, name):
        folder = results / name
        State(folder)._write()  # of a folder in which nothing was done
        self._file = folder / ".chandra-bin/state.json"
        self._content = self._file.read_bytes()
        self.let_go()
        os.mkfifo(self._file)
        self._pipe = None

    def is_reached(self):
        """Whether the row was begun, and waits."""
        if self._pipe is None:
            with suppress(OSError):  # nobody reads
                self._pipe = os.open(self._file, os.O_WRONLY | os.O_NONBLOCK)
        return self._pipe is not None

    def go_on(self):
        """Lets the row that waits be done."""
        os.write(self._pipe, self._content)
        self.let_go()  # before the row sees the end of the pipe: no writer replaces a pipe
        os.close(self._pipe)

    def let_go(self):
        """Nothing holds up who comes to the row from now on."""
        self._file.unlink()


def done_rows(results):
    """The folders of clusters whose products are in place."""
    return {path.parent.name for path in results.glob("*/bins.ecsv")}


class Cluster:
    """A scheduler of Dask on this machine, and workers, each a process."""

    def __init__(self):
        self._processes, self._readers = [], []
        self.scheduler, self.address = self._scheduler()

    def _start(self, *words):
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words, "--no-dashboard"], stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
        self._processes.append(process)
        return process

    def _scheduler(self, port=0):
        process = self._start("scheduler", "--host", "127.0.0.1", "--port", str(port))
        for line in process.stderr:
            if found := re.search(r"Scheduler at:\s+(tcp://\S+)", line):
                self._drain(process)
                return process, found[1]
        raise AssertionError("no scheduler came up")

    def restart_scheduler(self):
        """At the address of the one that was killed."""
        self.scheduler, self.address = self._scheduler(self.address.rpartition(":")[2])

    def worker(self):
        """A worker without the nanny that would begin it anew: who kills it, kills it."""
        process = self._start("worker", self.address, "--nthreads", "1", "--no-nanny")
        self._drain(process)
        return process

    def _drain(self, process):
        """Reads what it says, so that it is not held up."""
        reader = threading.Thread(target=process.stderr.read)
        reader.start()
        self._readers.append(reader)

    def close(self):
        for process in self._processes:
            with suppress(OSError):
                process.kill()
            process.wait()
        for reader in self._readers:
            reader.join()
        for process in self._processes:
            process.stderr.close()


@contextmanager
def cluster():
    made = Cluster()
    try:
        yield made
    finally:
        made.close()
