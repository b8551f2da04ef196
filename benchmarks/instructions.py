"""Instructions that each kernel executes on a small input, counted by valgrind: noise cannot move them.

    python -m benchmarks instructions              the table
    python -m benchmarks.instructions --check      fails where a kernel needs over 10 % more than instructions.json says
    python -m benchmarks.instructions --update     writes instructions.json anew

Compared is what the kernels' own libraries execute, one thread: neither Python nor numpy nor the C library moves it,
but the compiler does. The time of an instruction differs, so counts say what became more work, not what became slower.
"""

import argparse
import json
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .bench_smooth import SMOOTHERS, make_smoother
from .cases import load, prepare
from .contestants import RACES
from .harness import CHECKOUT, BenchmarkError, Settings, Table, compiler, package_version, run_program, say

BASELINE = Path(__file__).with_suffix(".json")
MORE, FEWER = 0.10, 0.05
IMAGE = "small_behind"
# Of these races the quick input is counted; the others are counted with options of their own, below.
FROM_RACES = ["boxes", "polygon_trace", "rasterize", "region_mask", "event_histogram", "select_events",
              "points_in_region", "points_in_polygon", "bin_spectra"]
# A function of the C library that nobody else calls: at each call of it (or of srand48_r, which it calls at once, and
# which callgrind may take for it) callgrind writes down what it has counted.
_MARK = "srand48"
_SN = 15
# Lines of callgrind's files: a position and a count; and what a call costs, which its function has counted already.
_COST = re.compile(r"[+\-*\d]\S* (\d+)")


class NotCountedError(BenchmarkError):
    """Counting is impossible here, whatever the kernels do."""


@dataclass(frozen=True)
class Count:
    """Instructions of one call: all of them, and those in the libraries of ``chandra_bin._kernels``."""

    all: int
    own: int


def tables(settings: Settings) -> Iterator[Table]:
    table = Table("Instructions of the kernels, small inputs, one thread",
                  ["kernel", "million instructions", "of the kernels", "over the baseline"])
    why = why_not_counted()
    if why:
        table.remarks.append(f"Not counted: {why}.")
        yield table
        return
    baseline = read_baseline(BASELINE)
    for name, count in count_instructions(settings.folder).items():
        known = baseline["kernels"].get(name)
        table.add(name, f"{count.all / 1e6:.2f}", f"{count.own / 1e6:.2f}",
                  f"{count.own / known - 1:+.1%}" if known else "-")
    table.remarks += ["The second call of each in one process; checks of the input are included, in Python too."]
    differs = why_not_compared(baseline["made with"], made_with())
    if differs:
        table.remarks.append(f"The baseline is of another build: {differs}.")
    yield table


def why_not_counted() -> str:
    """What hinders counting; "" where nothing does."""
    if not sys.platform.startswith("linux"):
        return "callgrind's marks need Linux"
    return "" if shutil.which("valgrind") else "there is no valgrind on PATH"


def count_instructions(folder: Path) -> dict[str, Count]:
    """By kernel."""
    say("instructions: valgrind is slow, about a minute")
    prepare(folder, [IMAGE])
    home = folder / "callgrind"
    home.mkdir()
    words: list[str | Path] = ["valgrind", "--tool=callgrind", f"--dump-before={_MARK}*", "--compress-strings=no",
                               "--compress-pos=no", f"--callgrind-out-file={home / 'out'}", sys.executable, "-m",
                               "benchmarks.instructions", "--call", folder]
    # Hashes, and with them the work of Python's dictionaries, would change from run to run.
    done = run_program(words, home, {"PYTHONHASHSEED": "0", "PYTHONPATH": str(CHECKOUT)})
    if done.code < 0:
        raise NotCountedError(f"valgrind was ended by signal {-done.code}, as where it does not know the processor")
    if done.code != 0:
        said = done.err.strip().splitlines() or ["no message"]
        raise BenchmarkError(f"valgrind ended with {done.code}: {said[-1]}")
    names = done.out.splitlines()
    dumps = sorted(home.glob("out.*"), key=lambda path: int(path.suffix[1:]))
    # In turns what lies between two kernels, and a kernel.
    counts = [count for count in map(_counted, dumps) if count.all > 100]  # fewer: between srand48 and srand48_r
    if len(counts) != 2 * len(names):
        raise BenchmarkError(f"callgrind wrote {len(counts)} sums for {len(names)} kernels: does it see {_MARK}?")
    return dict(zip(names, counts[1::2], strict=True))


def _counted(dump: Path) -> Count:
    text = dump.read_text()
    found = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
    if found is None:
        raise BenchmarkError(f"{dump.name}: callgrind wrote no sum")
    own = 0
    here = called = False
    for line in text.splitlines():
        if line.startswith("ob="):
            here = "/_kernels/_" in line
        elif line.startswith("calls="):
            called = True
        elif cost := _COST.match(line):
            own += int(cost[1]) if here and not called else 0
            called = False
    return Count(int(found[1]), own)


def kernels(folder: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Each kernel with a call of it."""
    from chandra_bin.binning.contour import contour_bin
    from chandra_bin.binning.smoothing import smooth

    images = load(folder, IMAGE)
    for name in SMOOTHERS:
        yield name, make_smoother(images, name, _SN, 1)
    smoothed = smooth(images["counts"], sn=_SN)
    binning = partial(contour_bin, images["counts"], sn=_SN, smoothed=smoothed)
    yield "contour_bin", binning
    yield "contour_bin, constrain 3", partial(binning, constrain=3)
    yield "contour_bin, background and exposures", partial(contour_bin, **images, sn=_SN, smoothed=smoothed)
    for name in FROM_RACES:
        race = RACES[name]
        yield name, race.ours(race.made(quick=True), 1)


def _call_all(folder: Path) -> None:
    """Under valgrind: call every kernel twice, the second time between marks, and print the names."""
    import ctypes

    mark = getattr(ctypes.CDLL(None), _MARK)
    for name, call in kernels(folder):
        call()
        mark(0)
        call()
        mark(0)
        print(name)


# --- the baseline ---------------------------------------------------------------------------------------------------


def made_with() -> dict[str, str]:
    """What counts may depend on. Some kernels have a way of their own for AVX2."""
    try:
        vectors = "avx2" if re.search(r"\bavx2\b", Path("/proc/cpuinfo").read_text()) else "no avx2"
    except OSError:
        vectors = "unknown vectors"
    return {"machine": f"{platform.machine()}, {vectors}", "compiler": compiler(), "numpy": package_version("numpy"),
            "python": platform.python_version(), "libc": " ".join(platform.libc_ver())}


def why_not_compared(baseline: Mapping[str, str], here: Mapping[str, str]) -> str:
    """How the machine or the compiler's family or major version differ from the baseline's; "" where they do not."""
    if baseline["machine"] != here["machine"]:
        return f"the machine is {here['machine']}, the baseline's {baseline['machine']}"
    if _major(baseline["compiler"]) != _major(here["compiler"]):
        return f"the compiler is {here['compiler']}, the baseline's {baseline['compiler']}"
    return ""


def _major(signed: str) -> tuple[str, str]:
    """Family and major version: ("GCC", "12") of "GCC: (Debian 12.2.0-14) 12.2.0"."""
    return re.split(r"\W", signed)[0], signed.rpartition(" ")[2].partition(".")[0]


def compare(baseline: Mapping[str, int], counts: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """What fails, and what is to be known, a line each."""
    wrong = [f"{name}: not in the baseline" for name in counts if name not in baseline]
    wrong += [f"{name}: in the baseline, but not counted" for name in baseline if name not in counts]
    said = []
    for name in counts.keys() & baseline.keys():
        change = counts[name] / baseline[name] - 1
        line = f"{name}: {counts[name]:,} instructions, {change:+.1%} over the baseline"
        if change > MORE:
            wrong.append(line)
        elif change < -FEWER:
            said.append(f"{line}: update it")
    return sorted(wrong), sorted(said)


def check(path: Path, counts: Callable[[], Mapping[str, int]]) -> int:
    """The exit code; prints what was found. ``counts`` is called only where there is something to compare with."""
    baseline = read_baseline(path)
    here = made_with()
    why = why_not_compared(baseline["made with"], here)
    if why:
        print(f"not compared: {why}")
        return 0
    try:
        found = counts()
    except NotCountedError as error:
        print(f"not compared: {error}")
        return 0
    wrong, said = compare(baseline["kernels"], found)
    for line in [*wrong, *said]:
        print(line)
    if not wrong:
        print(f"{len(found)} kernels, none needs {MORE:.0%} more instructions than the baseline")
        return 0
    others = [f"{name} {here[name]} (baseline {old})" for name, old in baseline["made with"].items()
              if here[name] != old]
    if others:
        print(f"different here: {', '.join(others)}")
    print("if this is meant: python -m benchmarks.instructions --update")
    return 1


def read_baseline(path: Path) -> Any:
    """Raises `BenchmarkError` where there is none."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"{path}: no baseline: {error}") from None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description="Count instructions.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="compare with the baseline; the exit code is 1 if worse")
    what.add_argument("--update", action="store_true", help="make the baseline anew")
    what.add_argument("--call", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--baseline", type=Path, metavar="FILE", default=BASELINE)
    arguments = parser.parse_args()
    if arguments.call:
        _call_all(arguments.call)
        return 0
    why = why_not_counted()
    if why:
        print(f"not compared: {why}")
        return 0 if arguments.check else 2

    with tempfile.TemporaryDirectory(prefix="chandra-bin-instructions-") as folder:

        def counts() -> dict[str, int]:
            return {name: count.own for name, count in count_instructions(Path(folder)).items()}

        if arguments.check:
            return check(arguments.baseline, counts)
        made = {"made with": made_with(), "kernels": counts()}
    arguments.baseline.write_text(json.dumps(made, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchmarkError as error:
        sys.exit(str(error))
