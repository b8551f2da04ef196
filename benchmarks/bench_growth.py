"""How the time of kernels grows: measured over sizes, fitted, and beside the law that is stated for it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .event_scenes import columns, places
from .harness import Others, Settings, Table, in_child, say
from .plots import draw_growth

Call = Callable[[], Any]


@dataclass(frozen=True)
class Point:
    """A size: what is called there, what the time is plotted against, and the terms of the kernel's law."""

    call: Call
    x: float
    terms: list[float]


@dataclass(frozen=True)
class Series:
    """Sizes of a kernel along one axis."""

    kernel: str
    against: str
    sizes: tuple[float, ...]
    quick: tuple[float, ...]
    point: Callable[[float], Point]


# The law of each kernel is a sum of terms, with coefficients that are fitted to all its series at once.
LAWS = {
    "smooth": ("N r", "N"),
    "contour_bin": ("N log N",),
    "boxes": ("N",),
    "polygon_trace": ("N", "V"),
    "rasterize": ("N", "V"),
    "event_histogram": ("E", "N"),
    "select_events": ("E",),
    "points_in_region": ("E",),
    "bin_spectra": ("E", "N"),
}


def _smooth(side: int, sn: float) -> tuple[Call, float]:
    """An image of one count a pixel, where every disc has nearly the same radius; and this radius."""
    import numpy as np

    from chandra_bin import smooth

    counts = np.random.default_rng(1).poisson(1.0, (side, side)).astype(np.float32)
    # F counts in a disc of F pixels, the least F with F >= sn (1 + sqrt(F + 3/4)).
    least = sn * (sn / 2 + 1 + ((sn / 2) ** 2 + sn + 0.75) ** 0.5)
    return lambda: smooth(counts, sn=sn), (least / np.pi) ** 0.5


def _smooth_pixels(side: float) -> Point:
    call, radius = _smooth(int(side), 20)
    return Point(call, side**2, [side**2 * radius, side**2])


def _smooth_radius(sn: float) -> Point:
    call, radius = _smooth(1024, sn)
    return Point(call, radius, [1024**2 * radius, 1024**2])


def _binned(side: float) -> Point:
    """A cluster of 4 counts a pixel."""
    import numpy as np

    from chandra_bin import contour_bin, smooth
    from chandra_bin.simulate import cluster_image

    shape = (int(side), int(side))
    counts = cluster_image(shape, 4 * side**2, seed=1)
    smoothed = smooth(counts, sn=50, threads=2)
    return Point(lambda: contour_bin(counts, sn=50, constrain=3, smoothed=smoothed), side**2,
                 [side**2 * np.log2(side**2)])


def _covered(side: float) -> Point:
    from chandra_bin.binning.boxes import cover_with_boxes

    from ._scenes import random_bins

    binmap = random_bins(int(side), int(side**2 / 700) + 1)
    return Point(lambda: cover_with_boxes(binmap), side**2, [side**2])


def _traced(side: int, bins: int, by_vertices: bool) -> Point:
    from chandra_bin import trace_polygons

    from ._scenes import random_bins

    binmap = random_bins(side, bins)
    vertices = float(len(trace_polygons(binmap).points))
    return Point(lambda: trace_polygons(binmap), vertices if by_vertices else side**2, [side**2, vertices])


def _painted(side: int, bins: int, by_vertices: bool) -> Point:
    from chandra_bin import rasterize, trace_polygons

    from ._scenes import random_bins

    polygons = trace_polygons(random_bins(side, bins))
    vertices = float(len(polygons.points))
    return Point(lambda: rasterize(polygons, (side, side)), vertices if by_vertices else side**2, [side**2, vertices])


def _histogram(events: float) -> Point:
    from chandra_bin import event_histogram

    x, y = places("even", 1024, int(events))
    return Point(lambda: event_histogram(x, y, x_range=(0, 1024), y_range=(0, 1024), shape=(1024, 1024)), events,
                 [events, 1024**2])


def _selected(events: float) -> Point:
    import numpy as np

    from .contestants import RACES

    made = columns(int(events))
    call = RACES["select_events"].ours({name: np.asarray(made[name]) for name in ("energy", "chip", "time")}, 1)
    return Point(call, events, [events])


def _inside(events: float) -> Point:
    import numpy as np

    from chandra_bin import points_in_region
    from chandra_bin.regions import parse_regions

    x, y = places("even", 4096, int(events))
    circles = np.random.default_rng(3).uniform(0, 4096, (100, 2))
    region = parse_regions("\n".join(f"circle({x:.3f},{y:.3f},100)" for x, y in circles))
    return Point(lambda: points_in_region(region, x, y), events, [events])


def _spectra(events: float) -> Point:
    import numpy as np

    from chandra_bin import bin_spectra

    x, y = (values - np.float32(0.5) for values in places("even", 1024, int(events)))
    channels = (columns(int(events))["energy"] // np.float32(14.6) + 1).astype(np.int32)
    rows = np.indices((1024, 1024)) // 32
    binmap = (rows[0] * 32 + rows[1]).astype(np.int32)
    return Point(lambda: bin_spectra(binmap, channels, x=x, y=y), events, [events, 1024**2])


_SIDES = (256, 362, 512, 724, 1024, 1448, 2048)
_FEW_SIDES = (32, 48, 64, 96)
_BINS = (30, 100, 300, 1000, 3000, 10000)
_FEW_BINS = (3, 10, 30)
_EVENTS = (1e5, 3e5, 1e6, 3e6, 1e7)
_FEW_EVENTS = (1e3, 3e3, 1e4)

SERIES = {
    "smooth, pixels": Series("smooth", "pixels N (r = 12)", _SIDES, _FEW_SIDES, _smooth_pixels),
    "smooth, radius": Series("smooth", "radius r in pixels (N = 1024²)", (10, 16, 26, 42, 68, 110, 180), (10, 16, 26),
                             _smooth_radius),
    "contour_bin": Series("contour_bin", "pixels N", _SIDES, _FEW_SIDES, _binned),
    "boxes": Series("boxes", "pixels N (700 a bin)", _SIDES, _FEW_SIDES, _covered),
    "polygon_trace, pixels": Series("polygon_trace", "pixels N (700 a bin)", _SIDES, _FEW_SIDES,
                                    lambda side: _traced(int(side), int(side**2 / 700) + 1, False)),
    "polygon_trace, vertices": Series("polygon_trace", "vertices V (N = 1024²)", _BINS, _FEW_BINS,
                                      lambda bins: _traced(1024, int(bins), True)),
    "rasterize, pixels": Series("rasterize", "pixels N (700 a bin)", _SIDES, _FEW_SIDES,
                                lambda side: _painted(int(side), int(side**2 / 700) + 1, False)),
    "rasterize, vertices": Series("rasterize", "vertices V (N = 1024²)", _BINS, _FEW_BINS,
                                  lambda bins: _painted(1024, int(bins), True)),
    "event_histogram": Series("event_histogram", "events E (N = 1024²)", _EVENTS, _FEW_EVENTS, _histogram),
    "select_events": Series("select_events", "events E (three tests)", _EVENTS, _FEW_EVENTS, _selected),
    "points_in_region": Series("points_in_region", "events E (100 circles)", _EVENTS, _FEW_EVENTS, _inside),
    "bin_spectra": Series("bin_spectra", "events E (1024 bins)", _EVENTS, _FEW_EVENTS, _spectra),
}


def tables(settings: Settings) -> Iterator[Table]:
    others = Others()
    runs = {}
    for name in SERIES:
        say(f"growth: {name}")
        runs[name] = in_child(measured, name=name, quick=settings.quick, repeat_s=0.0 if settings.quick else 0.4)
    laws = in_child(fit_laws, runs=runs)
    table = Table("How the time grows", ["kernel", "against", "from", "to", "exponent", "scatter", "of the law", "law",
                                         "nanoseconds each", "scatter"])
    for name, series in SERIES.items():
        run, law = runs[name], laws[series.kernel]
        first = name == next(other for other in SERIES if SERIES[other].kernel == series.kernel)
        table.add(series.kernel if first else "", series.against, f"{run['x'][0]:.3g}", f"{run['x'][-1]:.3g}",
                  f"{run['exponent']:.2f} ± {run['error']:.2f}", f"{run['scatter']:.0%}",
                  f"{law['exponents'][name]:.2f}", " + ".join(LAWS[series.kernel]) if first else "",
                  " + ".join(f"{coefficient * 1e9:.2g}" for coefficient in law["coefficients"]) if first else "",
                  f"{law['scatter']:.0%}" if first else "")
    table.remarks += [
        "One thread, CPU seconds. Exponent: p of t = a x^p, fitted to the logarithms, with its standard error; "
        "scatter: root mean square of the residuals. Of the law: the exponent that the fitted law has over the same "
        "sizes. Nanoseconds each: the coefficients of the law's terms, fitted to all sizes of the kernel at once, none "
        "below 0.",
        "N: pixels, r: radius of the discs, V: vertices, E: events.", others.remark()]
    if settings.images:
        panels = [{"kernel": series.kernel, "against": series.against, "law": " + ".join(LAWS[series.kernel]),
                   **runs[name], "law_s": laws[series.kernel]["times"][name]} for name, series in SERIES.items()]
        table.figures.append(in_child(draw_growth, folder=settings.images, series=panels))
    yield table


def measured(name: str, quick: bool, repeat_s: float) -> dict[str, Any]:
    """In a child: the times of a series, and its exponent."""
    series = SERIES[name]
    found: dict[str, Any] = {"x": [], "terms": [], "s": []}
    for size in series.quick if quick else series.sizes:
        point = series.point(size)
        found["x"].append(float(point.x))
        found["terms"].append([float(term) for term in point.terms])
        found["s"].append(best_of(point.call, repeat_s))
    return {**found, **power_law(found["x"], found["s"])}


def best_of(call: Call, repeat_s: float) -> float:
    """The shortest of the calls that fit into ``repeat_s``, three at least, in CPU seconds: neighbours count less."""
    taken: list[float] = []
    end = time.perf_counter() + repeat_s
    while len(taken) < 3 or time.perf_counter() < end:
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return min(taken)


def power_law(x: list[float], s: list[float]) -> dict[str, float]:
    """Exponent, its standard error, scatter (root mean square, as a fraction) and factor of s = factor x^exponent."""
    import numpy as np

    log_x, log_s = np.log(x), np.log(s)
    (exponent, constant), *_ = np.linalg.lstsq(np.column_stack([log_x, np.ones_like(log_x)]), log_s)
    residuals = log_s - exponent * log_x - constant
    freedom = max(len(x) - 2, 1)
    error = np.sqrt(residuals @ residuals / freedom / np.sum((log_x - log_x.mean()) ** 2))
    return {"exponent": float(exponent), "error": float(error), "factor": float(np.exp(constant)),
            "scatter": float(np.sqrt(residuals @ residuals / len(x)))}


def fit_laws(runs: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """In a child: for each kernel the coefficients of its law, the scatter, and what it gives for each series."""
    import numpy as np

    laws = {}
    for kernel in LAWS:
        names = [name for name in runs if SERIES[name].kernel == kernel]
        terms = np.concatenate([runs[name]["terms"] for name in names])
        taken = np.concatenate([runs[name]["s"] for name in names])
        coefficients = fit_terms(terms, taken)
        times = {name: (np.array(runs[name]["terms"]) @ coefficients).tolist() for name in names}
        residuals = np.log(taken / (terms @ coefficients))
        laws[kernel] = {
            "coefficients": coefficients.tolist(), "times": times, "scatter": float(np.sqrt(np.mean(residuals**2))),
            "exponents": {name: power_law(runs[name]["x"], times[name])["exponent"] for name in names}}
    return laws


def fit_terms(terms: Any, taken: Any) -> Any:
    """The coefficients >= 0 for which the sum of terms differs least from the times, as fractions of these."""
    from scipy.optimize import nnls

    coefficients, _ = nnls(terms / taken[:, None], taken / taken)
    return coefficients
