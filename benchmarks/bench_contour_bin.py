"""Contour binning: smoothing and binning, one thread and two, and the memory of the whole process."""

import time
from collections.abc import Iterator
from typing import Any

from .cases import Case, is_there, load, prepare, why_skipped
from .harness import Others, Settings, Table, in_child, peak_mb, say, seconds, verdict

_SN70 = {"sn": 70, "smooth_sn": 100, "constrain": 3}
_SN50 = {"sn": 50, "smooth_sn": 80, "constrain": 3}

CASES = [
    Case("NGC 5044 364x366, sn 70, smooth 100", "ngc5044", _SN70, 0.06, original="3.7 - 7 s"),
    Case("1024², 4M counts, sn 70, smooth 100", "sim1024", _SN70, 0.25, original="19 - 27 s"),
    Case("2048², 1.84M counts, sn 50, smooth 80", "sparse2048", _SN50, 0.6, 300, original="275 s, 390 MB"),
    Case("4096², 6M counts, sn 70, smooth 100", "sim4096", _SN70, 4, 1200, original="not run"),
    Case("1024², background and exposure maps", "sim1024_behind", _SN70, 1, original="80 s"),
    Case("1024², scaled flux (floats)", "sim1024_flux", _SN70, 1),
]
QUICK = [
    Case("128², sn 20, smooth 30", "small", {"sn": 20, "smooth_sn": 30, "constrain": 3}),
    Case("128², background and exposure maps", "small_behind", {"sn": 20, "smooth_sn": 30, "constrain": 3}),
]


def tables(settings: Settings) -> Iterator[Table]:
    others = Others()
    table = Table("Contour binning", [
        "image (constrain 3)", "bins", "1 thread: smooth", "bin", "s", "2 threads: smooth", "bin", "s", "gain",
        "at most, s", "used", "peak MB", "at most, MB", "used", "contbin, recorded elsewhere"])
    for case in QUICK if settings.quick else CASES:
        if not is_there(case.image):
            table.remarks.append(why_skipped(case.title))
            continue
        say(f"contour_bin: {case.title}")
        prepare(settings.folder, [case.image])
        one, two = (in_child(timed, folder=settings.folder, image=case.image, options=case.options, threads=threads,
                             repeats=settings.repeats) for threads in (1, 2))
        peak = in_child(memory, folder=settings.folder, image=case.image, options=case.options, threads=2)
        if len({one["binmap"], two["binmap"], peak["binmap"]}) != 1:
            table.remarks.append(f"**{case.title}: the binmaps of one thread and of two differ**")
        table.add(case.title, one["bins"], *_parts(one), *_parts(two), f"{_total(one) / _total(two):.2f}",
                  case.limit_s or "-", verdict(_total(two), case.limit_s), f"{peak['peak_mb']:.0f}",
                  case.limit_mb or "-", verdict(peak["peak_mb"], case.limit_mb), case.original)
    table.remarks += [
        f"Best of {settings.repeats}, elapsed seconds of `chandra_bin.smooth` and of `contour_bin(smoothed=...)`, "
        "checks of the input included; limits are for two threads. gain: one thread over two.",
        "Peak memory: a whole Python process that loads the image and calls `contour_bin` once.",
        others.remark()]
    yield table


def _total(run: dict[str, Any]) -> float:
    return float(run["smooth"] + run["bin"])


def _parts(run: dict[str, Any]) -> list[str]:
    return [seconds(run["smooth"]), seconds(run["bin"]), seconds(_total(run))]


def timed(folder: str, image: str, options: dict[str, Any], threads: int, repeats: int) -> dict[str, Any]:
    """In a child: the parts of the best run."""
    from chandra_bin import contour_bin, smooth

    images = load(folder, image)
    rest = {name: value for name, value in options.items() if name != "smooth_sn"}
    runs = []
    for _ in range(repeats):
        start = time.perf_counter()
        smoothed = smooth(**images, sn=options["smooth_sn"], threads=threads)
        middle = time.perf_counter()
        bins = contour_bin(**images, **rest, smoothed=smoothed, threads=threads)
        runs.append((middle - start, time.perf_counter() - middle))
    smoothing, binning = min(runs, key=sum)
    return {"smooth": smoothing, "bin": binning, "bins": len(bins), "binmap": _sum(bins.binmap)}


def memory(folder: str, image: str, options: dict[str, Any], threads: int) -> dict[str, Any]:
    """In a child: what one call needs."""
    from chandra_bin import contour_bin

    bins = contour_bin(**load(folder, image), **options, threads=threads)
    return {"peak_mb": peak_mb(), "binmap": _sum(bins.binmap)}


def _sum(binmap: Any) -> int:
    import zlib

    return zlib.crc32(binmap)
