"""Whole commands: their start, and batches."""

import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
        [PROGRAM, "contbin", "--sn=70", "--smoothsn=100", "--constrainfill", "--constrainval=3", "counts.fits"], None),
}


def _run(words: list[str], folder: Path) -> None:
    subprocess.run(words, cwd=folder, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("command", STARTS)
def bench_start(command: str, quick: bool, measure: Callable[..., None], tmp_path: Path) -> None:
    from astropy.io import fits

    words, limit = STARTS[command]
    if "counts.fits" in words:
        inputs = ngc5044() if shared_file(NGC5044).is_file() else cluster(364, 5e5)
        fits.writeto(tmp_path / "counts.fits", inputs(quick)["counts"])
    measure(lambda: _run(words, tmp_path), least=5, command=command, limit_s=limit)


@pytest.mark.parametrize("jobs", [1, 2])
def bench_batch(jobs: int, quick: bool, measure: Callable[..., None], tmp_path: Path) -> None:
    """20 clusters: 8 of 256², 8 of 512² and 4 of 1024² pixels with 0.2, 0.5 and 1 million counts."""
    from astropy.io import fits

    sides = [64, 64] if quick else [256, 512] * 8 + [1024] * 4
    for number, side in enumerate(sides):
        counts = {64: 4e4, 256: 2e5, 512: 5e5, 1024: 1e6}[side]
        fits.writeto(tmp_path / f"{number:02}_{side}.fits", cluster(side, counts)(quick)["counts"])
    outputs: list[Any] = []

    def call() -> None:
        outputs.append(f"out{len(outputs)}")
        _run([PROGRAM, "batch", f"{tmp_path}/*.fits", "-o", outputs[-1], "--sn", "30", "--smooth-sn", "50",
              "--constrain", "3", "--jobs", str(jobs), "--threads", "1", "-q"], tmp_path)

    measure(call, 1.0, command=f"batch of {len(sides)} clusters, {jobs} processes", limit_s=None)
