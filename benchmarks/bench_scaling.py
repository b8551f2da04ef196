"""How elapsed and CPU time depend on threads, and a run of the pipeline on its observations."""

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import chandra_bin

from .bench_commands import PROGRAM, cpu_and_peak, run_command
from .bench_events import RACES as EVENT_RACES
from .bench_fits import drawn, fits
from .bench_smooth import RACES as SMOOTH_RACES
from .race import Call, Race
from .scenes import sparse, with_background

THREADS = (1, 2, 4)
OBSERVATIONS = (1, 2, 4)
_STEPS = "from pathlib import Path; from chandra_bin.pipeline import run; run(Path('work'), last=8)"


def _smooth(quick: bool, threads: int) -> Call:
    return partial(chandra_bin.smooth, **sparse(2048)(quick), sn=20 if quick else 80, threads=threads)


def _smooth_background(quick: bool, threads: int) -> Call:
    images = with_background(*((64, 4e4) if quick else (1024, 4e6)))
    return partial(chandra_bin.smooth, **images, sn=20 if quick else 100, threads=threads)


def _contour_bin(quick: bool, threads: int) -> Call:
    counts = sparse(2048)(quick)["counts"]
    smoothed = chandra_bin.smooth(counts, sn=20 if quick else 80, threads=2)
    return partial(chandra_bin.contour_bin, counts, sn=10 if quick else 50, constrain=3, smoothed=smoothed,
                   threads=threads)


def _race(race: Race, quick: bool, threads: int) -> Call:
    return race.ours(dict(race.inputs(quick)), threads)


# A kernel with its input, and how to make a call of it with so many threads.
CASES: dict[str, Callable[[bool, int], Call]] = {
    "smooth, 2048², 1.84M counts, S/N 80": _smooth,
    "smooth with a background, 1024², S/N 100": _smooth_background,
    "contour_bin, 2048², 1.84M counts, S/N 50": _contour_bin,
    **{f"{name}, {size}": partial(_race, races[name]) for name, size, races in (
        ("smooth_gaussian", "128²", SMOOTH_RACES), ("event_histogram", "5x10⁶ events", EVENT_RACES),
        ("select_events", "5x10⁶ events", EVENT_RACES), ("bin_spectra", "5x10⁶ events", EVENT_RACES))},
    "fit_spectra, 1000 bins in four observations": lambda quick, threads: fits(
        drawn(1000, 3, 200)(quick), threads),
}


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("case", CASES)
def bench_threads(case: str, threads: int, quick: bool, measure: Callable[..., None], benchmark: Any) -> None:
    """Elapsed seconds, and the CPU seconds of the process, each the least of at least three calls."""
    call = CASES[case](quick, threads)
    taken: list[float] = []

    def timed() -> None:
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)

    measure(timed, least=3, threads_of=case, threads=threads)
    benchmark.extra_info.update(cpu_s=min(taken))


@pytest.mark.parametrize("observations", OBSERVATIONS)
def bench_observations(observations: int, quick: bool, benchmark: Any, tmp_path: Path) -> None:
    """Steps 1 to 8 in one process, on simulated observations of 20 ks with 200,000 counts of the cluster each."""
    sizes = ["--exposure=5000", "--counts=20000"] if quick else ["--exposure=20000", "--counts=200000"]
    if quick and observations > 1:
        pytest.skip("one observation in a quick run")
    for words in (["simulate", "sim", "--array=I", f"--obsids={observations}", *sizes], ["init", "sim", "-o", "work"]):
        run_command([PROGRAM, *words], tmp_path)

    def call() -> None:
        cpu_s, peak_mb = cpu_and_peak([sys.executable, "-c", _STEPS], tmp_path)
        benchmark.extra_info.update(observations=observations, cpu_s=cpu_s, peak_mb=peak_mb)

    benchmark.pedantic(call, rounds=1, iterations=1)
