"""Instructions that each kernel executes on a small input, counted by valgrind: noise cannot change them.

    python -m benchmarks.instructions --check      fails where a kernel needs over 10 % more than instructions.json says
    python -m benchmarks.instructions --update     writes instructions.json anew

Only instructions in the kernels' own libraries count, on one thread: Python, numpy and the C library do not change
them, but the compiler does. Counts show additional work, not slower execution.
"""

import argparse
import ctypes
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import chandra_bin

from .race import CHECKOUT, compiler, every_race, package_version
from .scenes import with_background

BASELINE = Path(__file__).with_suffix(".json")
MORE, FEWER = 0.10, 0.05
# The quick inputs of these races are counted; the smoothers and the binner have options of their own below.
FROM_RACES = ["boxes", "polygon_trace", "rasterize", "region_mask", "event_histogram", "select_events",
              "points_in_region", "points_in_polygon", "bin_spectra", "fit_spectra", "nearest_values",
              "interpolate"]
# A function of the C library that nobody else calls: callgrind writes down its counts at each call of it (or of
# srand48_r, which it calls at once, and which callgrind may take for it).
_MARK = "srand48"
# Lines of callgrind's files: a position and a count. The line after "calls=" repeats what the called function cost.
_COST = re.compile(r"[+\-*\d]\S* (\d+)")


class NotCountedError(Exception):
    """Counting is impossible on this machine, whatever the kernels do."""


@dataclass(frozen=True)
class Count:
    """Instructions of one call: all of them, and those in the libraries of ``chandra_bin._kernels``."""

    all: int
    own: int


def count_instructions(folder: Path) -> dict[str, int]:
    """Instructions in the kernels' libraries, by kernel. Raises `NotCountedError`."""
    words: list[str | Path] = ["valgrind", "--tool=callgrind", f"--dump-before={_MARK}*", "--compress-strings=no",
                               "--compress-pos=no", f"--callgrind-out-file={folder / 'out'}", sys.executable, "-m",
                               "benchmarks.instructions", "--call"]
    # Hashes, and with them the work of Python's dictionaries, would change from run to run.
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, env=os.environ | {
        "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])})
    if done.returncode < 0:
        raise NotCountedError(f"signal {-done.returncode} ended valgrind, as where it does not know the processor")
    if done.returncode != 0:
        sys.exit(f"valgrind ended with {done.returncode}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    names = done.stdout.splitlines()
    dumps = sorted(folder.glob("out.*"), key=lambda path: int(path.suffix[1:]))
    # Dumps are in turns of what lies between two kernels, and of a kernel. Tiny ones lie between the two marks.
    counts = [count for count in map(_counted, dumps) if count.all > 100]
    if len(counts) != 2 * len(names):
        sys.exit(f"callgrind wrote {len(counts)} sums for {len(names)} kernels: does it see {_MARK}?")
    return {name: count.own for name, count in zip(names, counts[1::2], strict=True)}


def _counted(dump: Path) -> Count:
    text = dump.read_text()
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
    return Count(int(re.findall(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)[0]), own)


def kernels() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Each kernel with a call of it."""
    images = with_background(128, 6e4)
    counts, exposure, sn = images["counts"], images["exposure"], {"sn": 15}
    flux = (counts / exposure).astype(np.float32)
    yield "smooth", partial(chandra_bin.smooth, counts, **sn)
    yield "smooth, background and exposures", partial(chandra_bin.smooth, **images, **sn)
    # The background holds most of the counts, so that discs are large.
    bright = {"counts": counts + np.random.default_rng(5).poisson(8, counts.shape),
              "background": np.random.default_rng(6).poisson(80, counts.shape)}
    yield "smooth, bright background", partial(chandra_bin.smooth, **bright, background_exposure=10, sn=40)
    yield "smooth_exposure, counts alone", partial(chandra_bin.smooth_exposure, counts, exposure=exposure, **sn)
    yield "smooth, noise map", partial(chandra_bin.smooth, counts, noise=np.sqrt(counts + 0.75) + 1, **sn)
    yield "smooth_expmap", partial(chandra_bin.smooth_expmap, flux, exposure, **sn)
    yield "smooth_expcorr", partial(chandra_bin.smooth_expcorr, counts, flux, **sn)
    yield "counts_scale", partial(chandra_bin.counts_scale, counts, **sn)
    scale = chandra_bin.counts_scale(counts, **sn)
    yield "apply_scale", partial(chandra_bin.apply_scale, counts, scale)
    yield "apply_scale, Gaussian", partial(chandra_bin.apply_scale, counts, scale, gaussian=True)
    yield "smooth_gaussian", partial(chandra_bin.smooth_gaussian, flux, exposure, **sn)
    yield "smooth_exposure", partial(chandra_bin.smooth_exposure, counts, exposure=exposure,
                                     background=images["background"], background_exposure_time=4, **sn)
    smoothed = chandra_bin.smooth(counts, **sn)
    binning = partial(chandra_bin.contour_bin, counts, smoothed=smoothed, **sn)
    yield "contour_bin", binning
    yield "contour_bin, constrain 3", partial(binning, constrain=3)
    yield "contour_bin, background and exposures", partial(chandra_bin.contour_bin, **images, smoothed=smoothed, **sn)
    races = every_race()
    for name in FROM_RACES:
        inputs = {key: np.asarray(value) for key, value in races[name].inputs(True).items()}
        yield name, races[name].ours(inputs, 1)


def _call_all() -> None:
    """Under valgrind: call every kernel twice, the second time between marks, and print the names."""
    mark = getattr(ctypes.CDLL(None), _MARK)
    for name, call in kernels():
        call()
        mark(0)
        call()
        mark(0)
        print(name)


# --- the baseline ---------------------------------------------------------------------------------------------------


def made_with() -> dict[str, str]:
    """Return the machine and compiler, which counts may depend on. Some kernels have special code for AVX2."""
    try:
        vectors = "avx2" if re.search(r"\bavx2\b", Path("/proc/cpuinfo").read_text()) else "no avx2"
    except OSError:
        vectors = "unknown vectors"
    return {"machine": f"{platform.machine()}, {vectors}", "compiler": compiler(), "numpy": package_version("numpy"),
            "python": platform.python_version(), "libc": " ".join(platform.libc_ver())}


def why_not_compared(baseline: Mapping[str, str], here: Mapping[str, str]) -> str:
    """Return how machine or compiler (family, major version) differ from the baseline's; "" where they agree."""
    if baseline["machine"] != here["machine"]:
        return f"the machine is {here['machine']}, the baseline's {baseline['machine']}"
    if _major(baseline["compiler"]) != _major(here["compiler"]):
        return f"the compiler is {here['compiler']}, the baseline's {baseline['compiler']}"
    return ""


def _major(signed: str) -> tuple[str, str]:
    """Family and major version: ("GCC", "12") of "GCC: (Debian 12.2.0-14) 12.2.0"."""
    return re.split(r"\W", signed)[0], signed.rpartition(" ")[2].partition(".")[0]


def compare(baseline: Mapping[str, int], counts: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """Lines that fail the check, and lines that ask for an update."""
    wrong = [f"{name}: not in the baseline" for name in counts if name not in baseline]
    wrong += [f"{name}: in the baseline, but not counted" for name in baseline if name not in counts]
    notes = []
    for name in counts.keys() & baseline.keys():
        change = counts[name] / baseline[name] - 1
        line = f"{name}: {counts[name]:,} instructions, {change:+.1%} over the baseline"
        if change > MORE:
            wrong.append(line)
        elif change < -FEWER:
            notes.append(f"{line}: update it")
    return sorted(wrong), sorted(notes)


def check(path: Path, counts: Callable[[], Mapping[str, int]]) -> int:
    """Print the differences and return the exit code. ``counts`` is called only if the baseline is comparable."""
    baseline, here = json.loads(path.read_text()), made_with()
    try:
        if why := why_not_compared(baseline["made with"], here):
            raise NotCountedError(why)
        found = counts()
    except NotCountedError as error:
        print(f"not compared: {error}")
        return 0
    wrong, notes = compare(baseline["kernels"], found)
    for line in [*wrong, *notes]:
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description="Count instructions.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="compare with the baseline; the exit code is 1 if worse")
    what.add_argument("--update", action="store_true", help="make the baseline anew")
    what.add_argument("--call", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--baseline", type=Path, metavar="FILE", default=BASELINE)
    arguments = parser.parse_args()
    if arguments.call:
        _call_all()
        return 0
    if not sys.platform.startswith("linux") or shutil.which("valgrind") is None:
        print("not compared: needs Linux and valgrind on PATH")
        return 0 if arguments.check else 2
    with tempfile.TemporaryDirectory(prefix="chandra-bin-instructions-") as folder:
        counts = partial(count_instructions, Path(folder))
        if arguments.check:
            return check(arguments.baseline, counts)
        made = {"made with": made_with(), "kernels": counts()}
    arguments.baseline.write_text(json.dumps(made, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
