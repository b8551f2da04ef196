"""Whole commands: their start, batches, and a run of the pipeline from simulated photons to its report."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chandra_bin

from .scenes import NGC5044, cluster, ngc5044, shared_file

PROGRAM = str(Path(sysconfig.get_path("scripts")) / "chandra-bin")
# The commands that are started, and their limits in seconds.
STARTS = {
    "`python -c pass`": ([sys.executable, "-c", "pass"], None),
    "`python -c 'import astropy.io.fits'`": ([sys.executable, "-c", "import astropy.io.fits"], None),
    "`python -c 'import chandra_bin'`": ([sys.executable, "-c", "import chandra_bin"], None),
    "`python -c 'from chandra_bin import contour_bin'`": (
        [sys.executable, "-c", "from chandra_bin import contour_bin"], None),
    "`chandra-bin --help`": ([PROGRAM, "--help"], 0.15),
    "`chandra-bin contbin`, NGC 5044 (or 364²)": (
        [PROGRAM, "contbin", "--sn=70", "--smoothsn=100", "--constrainfill", "--constrainval=3", "counts.fits"], 0.35),
}
# Sides and counts of the images of a batch, and the limit in seconds for two processes.
BATCHES = {
    "20 images, 256² to 1024²": ([(256, 2e5), (512, 5e5)] * 8 + [(1024, 1e6)] * 4, None),
    "200 images, 300²": ([(300, 3e5)] * 200, 200 / 6),
}

# The stages of a whole run, in order, with the most CPU seconds that each is to take, and those of all its steps.
RUN_LIMIT_S = 60.0
_STEP = "from pathlib import Path; from chandra_bin.pipeline import run; run(Path('work'), first={0}, last={0})"
STAGES: dict[str, tuple[list[str], float | None]] = {
    "`simulate`": ([PROGRAM, "simulate", "sim", "--array", "I"], 25.0),
    "`init`": ([PROGRAM, "init", "sim", "-o", "work"], None),
    **{f"`run`, step {step}": ([sys.executable, "-c", _STEP.format(step)], 8.0 if step == 7 else None)
       for step in range(1, 9)},
    "`report`": ([PROGRAM, "report", "work"], 5.0),
}


def run_command(words: list[str], folder: Path) -> None:
    """Run a command in a folder, without its output."""
    subprocess.run(words, cwd=folder, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


# Linux counts the memory of a process that starts a program in the peak of the program: a small one starts it here.
_MEASURE = """if True:
    import resource, subprocess, sys
    status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)
"""


def cpu_and_peak(words: list[str], folder: Path) -> tuple[float, float]:
    """Run a command in a folder; return its user and system time in seconds, and the peak of its memory in MB."""
    measured = subprocess.run([sys.executable, "-c", _MEASURE, *words], cwd=folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True, check=True,
                              env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})  # as `chandra-bin run` sets it
    status, cpu_s, peak_mb = map(float, measured.stdout.split())
    assert status == 0, words
    return cpu_s, peak_mb


@pytest.mark.parametrize("command", STARTS)
def bench_start(command: str, quick: bool, measure: Callable[..., None], tmp_path: Path) -> None:
    from astropy.io import fits

    words, limit = STARTS[command]
    if "counts.fits" in words:
        inputs = ngc5044() if shared_file(NGC5044).is_file() else cluster(364, 5e5)
        fits.writeto(tmp_path / "counts.fits", inputs(quick)["counts"])
    measure(lambda: run_command(words, tmp_path), least=5, command=command, limit_s=limit)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("batch", BATCHES)
def bench_batch(batch: str, jobs: int, quick: bool, measure: Callable[..., None], tmp_path: Path) -> None:
    """Images with a sky, as those of Chandra have one: their pictures take longer."""
    from chandra_bin.fits.images import write_image
    from chandra_bin.simulate import cluster_header

    images, limit = BATCHES[batch]
    made: dict[tuple[int, float], Any] = {}
    for number, (side, counts) in enumerate(images[:2] if quick else images):
        if (side, counts) not in made:
            made[side, counts] = cluster(side, counts)(quick)["counts"]
        pixels = made[side, counts]
        with (tmp_path / f"{number:03}_{side}.fits").open("wb") as file:
            write_image(file, pixels, cluster_header(pixels.shape))
    outputs: list[Any] = []

    def call() -> None:
        outputs.append(f"out{len(outputs)}")
        run_command([PROGRAM, "batch", f"{tmp_path}/*.fits", "-o", outputs[-1], "--sn", "30", "--smooth-sn", "50",
                     "--constrain", "3", "--jobs", str(jobs), "--threads", "1", "-q"], tmp_path)

    measure(call, 1.0, command=f"batch of {batch}, {jobs} processes", limit_s=limit if jobs == 2 else None)


# Kernels on the merged image of the run: the call of each with two threads, and the most elapsed seconds that it is to
# take. The background of the first four is that of all chips, in the middle of the image.
MERGED: dict[str, tuple[Callable[["Merged"], Callable[[], Any]], float]] = {
    **{f"`smooth`, background, scale {kind}, S/N {sn}": (
        lambda images, sn=sn, kind=kind: partial(chandra_bin.smooth, sn=sn, threads=2, **images.cropped(kind)), limit)
       for kind, limits in (("a number", (4.0, 6.0)), ("an image", (5.0, 8.0)))
       for sn, limit in zip((40, 100), limits, strict=True)},
    "`smooth_expcorr`, S/N 100": (
        lambda images: partial(chandra_bin.smooth_expcorr, images.counts, images.flux(), sn=100, threads=2), 1.25),
    "`smooth_exposure`, S/N 100": (
        lambda images: partial(chandra_bin.smooth_exposure, images.counts, exposure=images.exposure, sn=100, threads=2),
        1.25),
    "`counts_scale`, S/N 100": (
        lambda images: partial(chandra_bin.counts_scale, images.counts, sn=100, threads=2), 60.0),
    "`apply_scale`, S/N 100": (
        lambda images: partial(chandra_bin.apply_scale, images.flux(),
                               chandra_bin.counts_scale(images.counts, sn=100, threads=2), threads=2), 60.0),
}


class Merged:
    """The images of step 6 of a run, or of their middle."""

    def __init__(self, work: Path, quick: bool) -> None:
        from chandra_bin.fits.images import read_image_file
        from chandra_bin.pipeline.config import read_config
        from chandra_bin.pipeline.layout import Layout

        layout = Layout.of(work, read_config(work).settings)
        images = [read_image_file(path).data for path in (layout.image, layout.expmap, layout.background,
                                                          layout.background_ratio)]
        self.counts, self.exposure, self._background, self._ratio = (
            _middle(image, (64, 64)) if quick else image for image in images)

    def cropped(self, kind: str) -> dict[str, Any]:
        """The middle 1677 x 2496 pixels of counts and background, scaled by a number or an image."""
        counts, background, ratio = (_middle(image, (1677, 2496))
                                     for image in (self.counts, self._background, self._ratio))
        scale = float(np.median(ratio[ratio > 0]))
        return {"counts": counts, "background": background,
                "exposure": np.where(ratio > 0, ratio, scale) if kind == "an image" else scale}

    def flux(self) -> Any:
        """Counts over exposure, 0 where nothing was exposed."""
        return np.divide(self.counts, self.exposure, out=np.zeros(self.counts.shape, np.float32),
                         where=self.exposure > 0)


def _middle(image: Any, most: tuple[int, int]) -> Any:
    return image[tuple(slice(max(size - side, 0) // 2, max(size - side, 0) // 2 + side)
                       for size, side in zip(image.shape, most, strict=True))]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the stages of a run follow each other."""
    return tmp_path_factory.mktemp("run")


@pytest.mark.parametrize("stage", STAGES)
def bench_whole_run(stage: str, quick: bool, benchmark: Any, whole_run: Path) -> None:
    """Five ACIS-I observations of 100 ks, 6 million events, by the native engine in one process: CPU and memory.

    Each stage reads what those before it made, and is measured once.
    """
    words, limit = STAGES[stage]
    if stage == "`simulate`":
        sizes = [1, 5000, 20_000] if quick else [5, 100_000, 1_000_000]
        words = [*words, *(f"--{name}={size}" for name, size in zip(("obsids", "exposure", "counts"), sizes,
                                                                    strict=True))]
    elif not (whole_run / "sim").exists():
        pytest.skip("the stages before were not run")

    def call() -> None:
        cpu_s, peak_mb = cpu_and_peak(words, whole_run)
        benchmark.extra_info.update(stage=stage, limit_s=limit, cpu_s=cpu_s, peak_mb=peak_mb)

    benchmark.pedantic(call, rounds=1, iterations=1)


@pytest.mark.parametrize("title", MERGED)
def bench_merged(title: str, quick: bool, measure: Callable[..., None], whole_run: Path) -> None:
    """Run after `bench_whole_run`, whose images it takes: the best of three calls."""
    if not (whole_run / "work").exists():
        pytest.skip("the run was not made")
    call, limit = MERGED[title]
    measure(call(Merged(whole_run / "work", quick)), least=3, merged=title, limit_s=limit)
