"""How the CPU time of kernels grows with their input; ``tables.py`` fits it and compares it with the stated laws."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

import chandra_bin

from .bench_events import RACES as EVENT_RACES
from .bench_fits import drawn, fits
from .race import Call
from .scenes import columns, places, random_bins

# The law of each kernel is a sum of terms, whose coefficients are fitted to all its series at once. N: pixels,
# r: radius of the discs, n: pixels of a bin, V: vertices, E: events, D: data sets, of bins in observations.
LAWS = {"smooth": ("N r", "N"), "smooth, background": ("N r", "N"), "fit_spectra": ("D",),
        "contour_bin": ("N log N", "N log n"), "boxes": ("N",), "polygon_trace": ("N", "V"),
        "rasterize": ("N", "V"), "event_histogram": ("E", "N"), "select_events": ("E",), "points_in_region": ("E",),
        "bin_spectra": ("E", "N")}
# A call, its place on the axis of the series, and the terms of the kernel's law.
Point = tuple[Call, float, list[float]]


@dataclass(frozen=True)
class Series:
    """The sizes of a kernel along one axis."""

    kernel: str
    against: str
    sizes: tuple[float, ...]
    point: Callable[[int], Point]


def _smooth(side: int, sn: float) -> tuple[Call, float]:
    """An image of one count a pixel, where every disc has nearly the same radius; and this radius."""
    counts = np.random.default_rng(1).poisson(1.0, (side, side)).astype(np.float32)
    # A disc of F pixels holds F counts; the least F with F >= sn (1 + sqrt(F + 3/4)).
    least = sn * (sn / 2 + 1 + ((sn / 2) ** 2 + sn + 0.75) ** 0.5)
    return lambda: chandra_bin.smooth(counts, sn=sn), (least / np.pi) ** 0.5


def _smooth_pixels(side: int) -> Point:
    call, radius = _smooth(side, 20)
    return call, side**2, [side**2 * radius, side**2]


def _smooth_radius(sn: int) -> Point:
    call, radius = _smooth(1024, sn)
    return call, radius, [1024**2 * radius, 1024**2]


def _smooth_background(side: int, sn: float) -> Point:
    """An image of half a count a pixel, half of it background, which is measured with ten times the counts."""
    from scipy.optimize import brentq

    rng = np.random.default_rng(1)
    counts, background = (rng.poisson(mean, (side, side)).astype(np.float32) for mean in (0.5, 2.5))

    def missing(pixels: float) -> float:
        """The S/N that a disc of so many pixels lacks."""
        noise = (_gehrels(0.5 * pixels) + 0.01 * _gehrels(2.5 * pixels)) ** 0.5
        return sn - 0.25 * pixels / noise

    radius = (brentq(missing, 1, 1e9) / np.pi) ** 0.5
    call = partial(chandra_bin.smooth, counts, sn=sn, background=background, background_exposure=10)
    return call, radius, [side**2 * radius, side**2]


def _smooth_background_pixels(side: int) -> Point:
    call, _, terms = _smooth_background(side, 20)
    return call, side**2, terms


def _gehrels(counts: float) -> float:
    """The variance of a number of counts."""
    return float((1 + (counts + 0.75) ** 0.5) ** 2)


def _binned(side: int, sn: float, by_bins: bool) -> Point:
    """A cluster of 4 counts a pixel."""
    from chandra_bin.simulate import cluster_image

    counts = cluster_image((side, side), 4 * side**2, seed=1)
    smoothed = chandra_bin.smooth(counts, sn=50, threads=2)
    call = lambda: chandra_bin.contour_bin(counts, sn=sn, constrain=3, smoothed=smoothed)  # noqa: E731
    pixels = side**2 / len(call())
    return call, pixels if by_bins else side**2, [side**2 * np.log2(side**2), side**2 * np.log2(pixels)]


def _covered(side: int) -> Point:
    from chandra_bin.binning.boxes import cover_with_boxes

    binmap = random_bins(side, side**2 // 700 + 1)
    return lambda: cover_with_boxes(binmap), side**2, [side**2]


def _outlined(side: int, bins: int, paint: bool, by_vertices: bool) -> Point:
    """Outlines of a binmap traced, or painted back."""
    binmap = random_bins(side, bins)
    polygons = chandra_bin.trace_polygons(binmap)
    vertices = float(len(polygons.points))
    call: Call = lambda: chandra_bin.trace_polygons(binmap)  # noqa: E731
    if paint:
        call = lambda: chandra_bin.rasterize(polygons, (side, side))  # noqa: E731
    return call, vertices if by_vertices else side**2, [side**2, vertices]


def _histogram(events: int) -> Point:
    x, y = places("even", 1024, events)
    inputs = {"x": x, "y": y, "size": 1024}
    return EVENT_RACES["event_histogram"].ours(inputs, 1), events, [events, 1024**2]


def _selected(events: int) -> Point:
    return EVENT_RACES["select_events"].ours(columns(events), 1), events, [events]


def _inside(events: int) -> Point:
    from chandra_bin.regions import parse_regions

    x, y = places("even", 4096, events)
    circles = np.random.default_rng(3).uniform(0, 4096, (100, 2))
    region = parse_regions("\n".join(f"circle({x:.3f},{y:.3f},100)" for x, y in circles))
    return lambda: chandra_bin.points_in_region(region, x, y), events, [events]


def _fitted(bins: int) -> Point:
    """kT and norm with errors, of bins of 1000 to 3000 counts in four observations each."""
    return fits(drawn(bins, 3, 8)(False), 1), 4 * bins, [4 * bins]


def _spectra(events: int) -> Point:
    x, y = (values - np.float32(0.5) for values in places("even", 1024, events))
    rows = np.indices((1024, 1024)) // 32
    inputs = {"x": x, "y": y, "binmap": (rows[0] * 32 + rows[1]).astype(np.int32),
              "channels": (columns(events)["energy"] // np.float32(14.6) + 1).astype(np.int32)}
    return EVENT_RACES["bin_spectra"].ours(inputs, 1), events, [events, 1024**2]


_SIDES = (256, 362, 512, 724, 1024, 1448, 2048)
_BINS = (30, 100, 300, 1000, 3000, 10000)
_EVENTS = (10**5, 3 * 10**5, 10**6, 3 * 10**6, 10**7)
SERIES = {
    "smooth, pixels": Series("smooth", "pixels N (r = 12)", _SIDES, _smooth_pixels),
    "smooth, radius": Series("smooth", "radius r in pixels (N = 1024²)", (10, 16, 26, 42, 68, 110, 180),
                             _smooth_radius),
    "smooth, background, pixels": Series("smooth, background", "pixels N (r = 33)", (181, 256, 362, 512, 724, 1024),
                                         _smooth_background_pixels),
    "smooth, background, radius": Series("smooth, background", "radius r in pixels (N = 1024²)", (5, 8, 13, 20, 32, 50),
                                         lambda sn: _smooth_background(1024, sn)),
    "contour_bin, pixels": Series("contour_bin", "pixels N (S/N 50)", _SIDES, lambda side: _binned(side, 50, False)),
    "contour_bin, bins": Series("contour_bin", "pixels of a bin n (N = 1024²)", (10, 20, 40, 80, 160),
                                lambda sn: _binned(1024, sn, True)),
    "boxes": Series("boxes", "pixels N (700 a bin)", _SIDES, _covered),
    **{f"{kernel}, pixels": Series(kernel, "pixels N (700 a bin)", _SIDES,
                                   lambda side, paint=paint: _outlined(side, side**2 // 700 + 1, paint, False))
       for kernel, paint in (("polygon_trace", False), ("rasterize", True))},
    **{f"{kernel}, vertices": Series(kernel, "vertices V (N = 1024²)", _BINS,
                                     lambda bins, paint=paint: _outlined(1024, bins, paint, True))
       for kernel, paint in (("polygon_trace", False), ("rasterize", True))},
    "event_histogram": Series("event_histogram", "events E (N = 1024²)", _EVENTS, _histogram),
    "select_events": Series("select_events", "events E (three tests)", _EVENTS, _selected),
    "points_in_region": Series("points_in_region", "events E (100 circles)", _EVENTS, _inside),
    "fit_spectra": Series("fit_spectra", "data sets D (four a bin)", (30, 100, 300, 1000, 3000), _fitted),
    "bin_spectra": Series("bin_spectra", "events E (1024 bins)", _EVENTS, _spectra),
}


@pytest.mark.parametrize(("name", "size"), [(name, size) for name, series in SERIES.items() for size in series.sizes])
def bench_growth(name: str, size: int, quick: bool, measure: Callable[..., None]) -> None:
    if quick and size != SERIES[name].sizes[0]:
        pytest.skip("only the smallest in a quick run")
    call, x, terms = SERIES[name].point(size)
    measure(call, least=3, series=name, x=float(x), terms=[float(term) for term in terms])
