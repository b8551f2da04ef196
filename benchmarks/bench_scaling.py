"""Contour binning against the image's size, its counts, the S/N and threads: time and memory."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .harness import Others, Settings, Table, best, in_child, peak_mb, say, seconds
from .plots import draw_scaling

SIDES, COUNTS_A_PIXEL = (256, 512, 1024, 2048), 2.0
COUNTS = (2.5e5, 1e6, 4e6, 1.6e7)
SIGNALS = (10, 20, 40, 80, 160)
MIDDLE_SIDE, MIDDLE_SN = 1024, 50


def tables(settings: Settings) -> Iterator[Table]:
    others = Others()
    part = 16 if settings.quick else 1
    side = MIDDLE_SIDE // part
    cores = min(os.cpu_count() or 1, 8)
    table = Table("Contour binning against size, counts, S/N and threads",
                  ["pixels", "counts", "S/N", "threads", "bins", "smooth, s", "bin, s", "both, s", "peak MB"])
    middle = {"side": side, "counts": COUNTS_A_PIXEL * side**2, "sn": MIDDLE_SN, "threads": 1}
    axes = {
        "pixels": [{"side": width // part, "counts": COUNTS_A_PIXEL * (width // part) ** 2} for width in SIDES],
        "counts": [{"counts": total / part**2} for total in COUNTS],
        "S/N": [{"sn": sn} for sn in SIGNALS],
        "threads": [{"threads": threads} for threads in range(1, cores + 1)],
    }
    series = []
    for axis, changes in axes.items():
        for threads in (1, 2) if axis != "threads" else (0,):
            points = []
            for change in changes:
                case = {**middle, **({"threads": threads} if threads else {}), **change}
                say(f"scaling: {axis}, {case}")
                run = _run(case, settings)
                points.append({**case, **run})
                table.add(f"{case['side']}²", f"{case['counts']:.2g}", case["sn"], case["threads"], run["bins"],
                          seconds(run["smooth"]), seconds(run["bin"]), seconds(run["smooth"] + run["bin"]),
                          f"{run['peak_mb']:.0f}")
            series.append({"axis": axis, "threads": threads, "points": points})
    table.remarks += [
        f"Simulated clusters, smoothed and binned to the same S/N, constraint 3. Best of {settings.repeats}. Peak "
        "memory: the whole Python process, its image included.", others.remark()]
    if settings.images:
        table.figures.append(in_child(draw_scaling, folder=settings.images, series=series))
    yield table


def _run(case: dict[str, Any], settings: Settings) -> dict[str, Any]:
    image = settings.folder / f"scaling-{case['side']}-{case['counts']:.0f}.npy"
    if not image.exists():
        in_child(make, path=image, side=case["side"], counts=case["counts"])
    found: dict[str, Any] = in_child(timed, path=image, sn=case["sn"], threads=case["threads"],
                                     repeats=settings.repeats)
    return found


def make(path: str, side: int, counts: float) -> None:
    """In a child: an image."""
    import numpy as np

    from chandra_bin.simulate import cluster_image

    np.save(Path(path), cluster_image((side, side), counts, seed=1))


def timed(path: str, sn: float, threads: int, repeats: int) -> dict[str, Any]:
    """In a child: both parts, and the memory."""
    import numpy as np

    from chandra_bin import contour_bin, smooth

    counts = np.load(path)
    smoothed = smooth(counts, sn=sn, threads=threads)
    bins = contour_bin(counts, sn=sn, constrain=3, smoothed=smoothed, threads=threads)
    peak = peak_mb()
    return {"bins": len(bins), "peak_mb": peak,
            "smooth": best(lambda: smooth(counts, sn=sn, threads=threads), repeats),
            "bin": best(lambda: contour_bin(counts, sn=sn, constrain=3, smoothed=smoothed, threads=threads), repeats)}
