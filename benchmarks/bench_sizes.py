"""Contour binning over sizes, counts, S/N and threads: time, and the memory of a process."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chandra_bin

from .race import Inputs, in_process
from .scenes import NGC5044, cluster, ngc5044, scaled_flux, shared_file, sparse, with_background


@dataclass(frozen=True)
class Case:
    """An image, the options of contour binning, and the limits for two threads."""

    title: str
    inputs: Callable[[bool], Inputs]
    sn: float = 50
    smooth_sn: float = 50
    limit_s: float | None = None
    limit_mb: float | None = None
    needs: str = ""


def _sizes() -> list[Case]:
    """Clusters of 2 counts a pixel and S/N 50; one of the three is changed at a time."""
    sides = [Case(f"{side}²", cluster(side, 2.0 * side**2)) for side in (256, 512, 1024, 2048)]
    counts = [Case(f"1024², {total:.2g} counts", cluster(1024, total)) for total in (2.5e5, 1e6, 4e6, 1.6e7)]
    return sides + counts + [Case("1024²", cluster(1024, 2.0 * 1024**2), sn, sn) for sn in (10, 20, 40, 80, 160)]


CASES = [
    Case("NGC 5044 364x366", ngc5044(), 70, 100, 0.06, needs=NGC5044),
    Case("1024², 4M counts", cluster(1024, 4e6), 70, 100, 0.25),
    Case("2048², 1.84M counts", sparse(2048), 50, 80, 0.45, 300),
    Case("4096², 6M counts", cluster(4096, 6e6), 70, 100, 4, 1200),
    Case("8192², 20M counts", sparse(8192, 20e6 / 8192**2, 0.09, 600 / 8192), 70, 100, 10, 2000),
    Case("1024², background and exposure maps", lambda quick: with_background(*((64, 4e4) if quick else (1024, 4e6))),
         70, 100, 1),
    Case("1024², scaled flux (floats)", lambda quick: scaled_flux(*((64, 4e4) if quick else (1024, 4e6))), 70, 100, 1),
    *_sizes(),
]
# By case: the checksum of its binmap, which may not depend on the number of threads.
_binmaps: dict[int, int] = {}


@lru_cache(maxsize=1)
def _images(number: int, quick: bool) -> tuple[Inputs, Any]:
    """The images of a case, and their smoothed image."""
    images = CASES[number].inputs(quick)
    return images, chandra_bin.smooth(**images, sn=CASES[number].smooth_sn, threads=2)


@pytest.mark.parametrize("part", ["smooth", "bin"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{case.title}, S/N {case.sn:g}" for case in CASES])
def bench_size(number: int, threads: int, part: str, quick: bool, measure: Callable[..., None], tmp_path: Path) -> None:
    case = CASES[number]
    if case.needs and not shared_file(case.needs).is_file():
        pytest.skip(f"no file {case.needs} in $CHANDRA_BIN_SHARED")
    images, smoothed = _images(number, quick)
    about = {"case": case.title, "number": number, "sn": case.sn, "smooth_sn": case.smooth_sn, "threads": threads,
             "part": part, "limit_s": case.limit_s, "limit_mb": case.limit_mb}
    if part == "smooth":
        measure(lambda: chandra_bin.smooth(**images, sn=case.smooth_sn, threads=threads), least=3, **about)
        return
    call = partial(chandra_bin.contour_bin, **images, sn=case.sn, constrain=3, smoothed=smoothed, threads=threads)
    bins = call()
    assert _binmaps.setdefault(number, zlib.crc32(bins.binmap)) == zlib.crc32(bins.binmap)
    np.savez(tmp_path / "inputs.npz", **images)
    peak = in_process("benchmarks.bench_binning", tmp_path, case.sn, case.smooth_sn, threads)
    measure(call, least=3, bins=len(bins), peak_mb=peak, counts=float(images["counts"].sum()), **about)
