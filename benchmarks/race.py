"""Races: one task, our function, the peers that do the same, and the comparison of their answers.

A module ``bench_*.py`` holds its races in a dictionary ``RACES``; the fixture ``contest`` of ``conftest.py`` runs them.
Each contestant is called once in a process of its own, by ``python -m benchmarks.race``: this gives its answer, its
peak memory, and the time that decides how often it can be repeated.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHECKOUT = Path(__file__).resolve().parents[1]
Inputs = dict[str, Any]
Call = Callable[[], Any]
# Our contestants and their numbers of threads.
OURS = {"1 thread": 1, "2 threads": 2}
# A peer whose first call takes longer is stopped.
LIMIT_S = 60.0
OTHER = "other algorithm"


class ContestantError(Exception):
    """A contestant failed, or was stopped."""


def unchanged(answer: Any) -> Any:
    return answer


@dataclass(frozen=True)
class Peer:
    """An alternative that a user could choose instead of our function.

    ``prepare`` is given the inputs and returns a call without arguments, which alone is timed. ``tolerance`` is the
    largest relative difference from our answer; None where the peer computes another thing. A peer with
    ``may_differ`` is raced although its answer differs, and the table gives the difference.
    """

    name: str
    prepare: Callable[[Inputs], Call]
    modules: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    tolerance: float | None = 0.0
    note: str = ""
    result: Callable[[Any], Any] = unchanged
    may_differ: bool = False

    def missing(self) -> list[str]:
        """The modules and programs that are not installed."""
        return [*(name for name in self.modules if find_spec(name) is None),
                *(name for name in self.programs if find_program(name) is None)]


@dataclass(frozen=True)
class Race:
    """A task. ``inputs(quick)`` makes arrays by name, small ones for a quick run.

    ``kernels`` are names of ``chandra_bin._kernels``. ``result`` turns an answer into an array. Answers are compared as
    ``pixels``, as ``bins`` (whose numbers may differ), or as ``sets`` of numbers. ``needs`` is a file of the shared
    data without which the race is skipped. ``files`` writes files into the folder of the race before it begins.
    """

    title: str
    inputs: Callable[[bool], Inputs]
    ours: Callable[[Inputs, int], Call]
    peers: tuple[Peer, ...] = ()
    kernels: tuple[str, ...] = ()
    result: Callable[[Any], Any] = unchanged
    compared: str = "pixels"
    threads: int = 2
    needs: str = ""
    files: Callable[[Path, Inputs], None] | None = None

    def contestants(self) -> list[str]:
        return [*list(OURS)[: self.threads], *(peer.name for peer in self.peers)]

    def peer(self, contestant: str) -> Peer | None:
        """The peer of this name; None for our own contestants."""
        return next((peer for peer in self.peers if peer.name == contestant), None)

    def prepared(self, contestant: str, inputs: Inputs) -> tuple[Call, Callable[[Any], Any]]:
        """The call of a contestant, and the function that turns its answer into an array."""
        peer = self.peer(contestant)
        if peer is None:
            return self.ours(inputs, OURS[contestant]), self.result
        return peer.prepare(inputs), peer.result


@dataclass(frozen=True)
class First:
    """The first call of a contestant: seconds, peak memory of its process, and the file of its answer."""

    seconds: float
    peak_mb: float
    answer: Path


class Ground:
    """A folder with the inputs of one race and the answers of its contestants.

    Parameters
    ----------
    module : str
        The module whose ``RACES`` hold the race, for example ``benchmarks.bench_smooth``.
    name : str
        The name of the race.
    folder : Path
        An empty or new folder.
    quick : bool
        Whether to make the small inputs.
    """

    def __init__(self, module: str, name: str, folder: Path, quick: bool) -> None:
        self.module, self.name, self.folder = module, name, folder
        self.race: Race = import_module(module).RACES[name]
        self._first: dict[str, First] = {}
        folder.mkdir(parents=True, exist_ok=True)
        inputs = self.race.inputs(quick)
        np.savez(folder / "inputs.npz", **inputs)
        if self.race.files:
            self.race.files(folder, inputs)

    def first(self, contestant: str) -> First:
        """Call a contestant once, in a process of its own. Raises `ContestantError`."""
        if contestant not in self._first:
            answer = self.folder / f"{re.sub(r'[^a-z0-9]+', '-', contestant.lower())}.npy"
            said = in_process("benchmarks.race", self.module, self.name, contestant, self.folder, answer)
            self._first[contestant] = First(said["seconds"], said["peak_mb"], answer)
        return self._first[contestant]

    def difference(self, contestant: str) -> str:
        """How the answer of a contestant differs from that of our one thread; "" where it is equal."""
        peer = self.race.peer(contestant)
        ours, theirs = (np.load(self.first(each).answer) for each in ("1 thread", contestant))
        return difference(ours, theirs, self.race.compared, (peer and peer.tolerance) or 0.0)


def in_process(*words: object) -> Any:
    """Return the last line of the output of ``python -m WORDS``, read as JSON. Raises `ContestantError`."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        try:
            code = subprocess.run([sys.executable, "-m", *map(str, words)], cwd=CHECKOUT, stdin=subprocess.DEVNULL,
                                  stdout=out, stderr=err, timeout=LIMIT_S + 10, check=False).returncode
        except subprocess.TimeoutExpired:
            raise ContestantError(f"> {LIMIT_S:g} s") from None
        out.seek(0)
        err.seek(0)
        if code != 0:
            raise ContestantError(f"failed: {(err.read().strip().splitlines() or [f'exit code {code}'])[-1]}")
        return json.loads(out.read().splitlines()[-1])


def load_inputs(folder: Path) -> Inputs:
    """The inputs of a race, and under ``folder`` the place for its files."""
    with np.load(folder / "inputs.npz") as made:
        return {"folder": str(folder), **{name: made[name] for name in made.files}}


def peak_mb() -> float:
    """The peak memory of this process, or of the largest program that it ran, in MB of 10^6 bytes."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    try:  # ru_maxrss of this process would begin with that of the process that started it
        own = int(re.findall(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[0]) * 1024
    except OSError:
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return max(own, children) / 1e6


def difference(first: NDArray[Any], second: NDArray[Any], compared: str, tolerance: float) -> str:
    """How two answers differ, in words; "" where they are equal."""
    if compared == "sets":
        odd = len(np.setxor1d(first, second))
        return f"{odd} in one only, of {len(first)} and {len(second)}" if odd else ""
    if first.shape != second.shape:
        return f"shapes differ: {first.shape} and {second.shape}"
    if first.dtype.kind == "f":
        same = np.isclose(second, first, rtol=tolerance, atol=0, equal_nan=True)
    else:
        same = first == second
    odd = int(np.count_nonzero(~same))
    if odd and compared == "bins":
        return f"{same.size - _shared_pixels(first, second)} of {same.size} pixels in another bin"
    return f"{odd} of {same.size} differ" if odd else ""


def _shared_pixels(first: NDArray[Any], second: NDArray[Any]) -> int:
    """The number of pixels in that bin of ``first`` with which their bin of ``second`` shares most pixels."""
    pairs, shared = np.unique(np.stack([second.ravel(), first.ravel()]), axis=1, return_counts=True)
    most = np.zeros(int(pairs[0].max()) + 2, np.int64)  # the last is for pixels outside bins, of number -1
    np.maximum.at(most, pairs[0], shared)
    return int(most.sum())


def find_program(name: str) -> str | None:
    """Return the path of a program of contbin in the folder of the executable CONTBIN, or of a program on PATH."""
    named = os.environ.get("CONTBIN")
    neighbour = shutil.which(Path(named).resolve().parent / name) if named else None
    return neighbour or shutil.which(name)


def contbin_program(*words: str, output: str) -> Callable[[Inputs], Call]:
    """A whole process of one of contbin's programs, which reads and writes files.

    Words are filled with the inputs, as in ``--sn={sn}``; ``output`` is the image that is the answer, if any.
    """

    def prepare(inputs: Inputs) -> Call:
        return run_on_files(inputs, [str(find_program(words[0])), *words[1:]], output)

    return prepare


def run_on_files(inputs: Inputs, words: list[str], output: str) -> Call:
    """A call that runs a program in a folder which holds the images of ``inputs``."""
    from astropy.io import fits

    folder = Path(tempfile.mkdtemp(dir=inputs["folder"]))
    for name, pixels in inputs.items():
        if getattr(pixels, "ndim", 0) == 2:
            fits.writeto(folder / f"{name}.fits", pixels)
    filled = [word.format(**inputs) for word in words]

    def call() -> Any:
        subprocess.run(filled, cwd=folder, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return fits.getdata(folder / output) if output else None

    return call


def package_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def compiler() -> str:
    """The compiler that made the kernels, from its signature in the library."""
    spec = find_spec("chandra_bin._kernels._smooth")
    if spec is None or spec.origin is None:
        return "kernels not installed"
    signed = re.search(rb"(?:GCC: \([^)]*\) [\d.]+|clang version [\d.]+)", Path(spec.origin).read_bytes())
    return signed[0].decode() if signed else "compiler unknown"


def every_race() -> Mapping[str, Race]:
    """The races of all modules ``bench_*.py``."""
    found: dict[str, Race] = {}
    for path in sorted(Path(__file__).parent.glob("bench_*.py")):
        found |= getattr(import_module(f"benchmarks.{path.stem}"), "RACES", {})
    return found


def main(module: str, name: str, contestant: str, folder: str, answer: str) -> None:
    """Call a contestant once, store its answer, and print its seconds and its peak memory."""
    race: Race = import_module(module).RACES[name]
    call, result = race.prepared(contestant, load_inputs(Path(folder)))
    start = time.perf_counter()
    made = call()
    seconds = time.perf_counter() - start
    peak = peak_mb()
    peer = race.peer(contestant)
    if peer is None or peer.tolerance is not None:
        np.save(answer, result(made))
    print(json.dumps({"seconds": seconds, "peak_mb": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
