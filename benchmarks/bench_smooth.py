"""The smoothers, each on one image, one thread and two."""

from collections.abc import Callable, Iterator
from typing import Any

from .cases import load, prepare
from .harness import Others, Settings, Table, best, in_child, peak_mb, say, seconds

# A function of the API, and what it is given.
SMOOTHERS = ["smooth", "smooth, background and exposures", "smooth, noise map", "smooth_expmap", "smooth_expcorr",
             "counts_scale", "apply_scale", "apply_scale, Gaussian", "smooth_gaussian", "smooth_exposure"]


def tables(settings: Settings) -> Iterator[Table]:
    others = Others()
    size, image, sn = ("128", "small_behind", 15) if settings.quick else ("512", "sim512_behind", 20)
    table = Table(f"Smoothers, {size}² image, sn {sn}", ["smoother", "1 thread, s", "2 threads, s", "gain", "peak MB"])
    prepare(settings.folder, [image])
    for name in SMOOTHERS:
        say(f"smooth: {name}")
        one, two = (in_child(timed, folder=settings.folder, image=image, name=name, sn=sn, threads=threads,
                             repeats=settings.repeats) for threads in (1, 2))
        table.add(name, seconds(one["s"]), seconds(two["s"]), f"{one['s'] / two['s']:.2f}", f"{two['peak_mb']:.0f}")
        if one["sum"] != two["sum"]:
            table.remarks.append(f"**{name}: the images of one thread and of two differ**")
    table.remarks += [f"Best of {settings.repeats}, elapsed seconds. Peak memory: the whole Python process with two "
                      "threads, input images included.", others.remark()]
    yield table


def timed(folder: str, image: str, name: str, sn: float, threads: int, repeats: int) -> dict[str, Any]:
    """In a child: the best run, and a sum that tells whether the pixels are the same."""
    import zlib

    smoother = make_smoother(load(folder, image), name, sn, threads)
    smoothed: list[Any] = []

    def run() -> None:
        smoothed[:] = [smoother()]

    taken = best(run, repeats)
    return {"s": taken, "peak_mb": peak_mb(), "sum": zlib.crc32(smoothed[0])}


def make_smoother(images: dict[str, Any], name: str, sn: float, threads: int) -> Callable[[], Any]:
    """A call of the API without arguments, what it needs made beforehand."""
    import numpy as np

    import chandra_bin.binning.smoothing  # now: the API loads it at its first use, which is timed

    counts, exposure = images["counts"], images["exposure"]
    word, _, kind = name.partition(", ")
    common: dict[str, Any] = {"sn": sn, "threads": threads}
    if word == "smooth":
        maps = {"counts": counts}
        if kind == "background and exposures":
            maps = images
        elif kind == "noise map":
            maps["noise"] = np.sqrt(counts + 0.75) + 1
        return lambda: chandra_bin.smooth(**maps, **common)
    if word == "counts_scale":
        return lambda: chandra_bin.counts_scale(counts, **common)
    if word == "apply_scale":
        scale = chandra_bin.counts_scale(counts, **common)
        return lambda: chandra_bin.apply_scale(counts, scale, gaussian=kind == "Gaussian", threads=threads)
    if word == "smooth_exposure":
        return lambda: chandra_bin.smooth_exposure(counts, exposure=exposure, background=images["background"],
                                                   background_exposure_time=4, **common)
    flux = (counts / exposure).astype(np.float32)
    if word == "smooth_expcorr":
        return lambda: chandra_bin.smooth_expcorr(counts, flux, **common)
    call = {"smooth_expmap": chandra_bin.smooth_expmap, "smooth_gaussian": chandra_bin.smooth_gaussian}[word]
    return lambda: call(flux, exposure, **common)
