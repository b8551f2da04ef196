"""Kernels that several threads of Python call at once, each with threads of its own, on the same arrays.

`make sanitize-python` runs these under ThreadSanitizer.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import chandra_bin
import spectral_scenes
from chandra_bin._kernels._interpolate import interpolate
from chandra_bin._kernels._nearest_values import nearest_values
from chandra_bin._kernels._select_events import Selection
from chandra_bin.binning.boxes import cover_with_boxes
from chandra_bin.regions import parse_regions
from chandra_bin.spectral import fit_bins
from fuzz.targets import OF_KERNEL

RNG = np.random.default_rng(11)
COUNTS = RNG.poisson(3, (150, 140)).astype(np.float32)
EXPOSURE = np.full(COUNTS.shape, 7, np.float32)
BINMAP = chandra_bin.contour_bin(COUNTS, sn=20, smooth_sn=10).binmap
OUTLINES = chandra_bin.trace_polygons(BINMAP)
X, Y = RNG.uniform(0, 140, (2, 100_000))
CHANNELS = RNG.integers(1, 1025, X.size)
TEMPLATES = spectral_scenes.templates(20)
SPECTRA, _ = spectral_scenes.draw(TEMPLATES, [1000.0] * 4)
SHAPES = parse_regions("circle(60,60,30)\n-ellipse(70,60,20,10,30)\npolygon(1,1,50,4,30,80)")


def passing() -> NDArray[np.bool_]:
    selection = Selection(X.size)
    selection.ranges(X, np.array([10.0]), np.array([90.0]), closed=False)
    flags = np.empty(X.size, np.uint8)
    selection.evaluate(2, flags)
    return flags.astype(bool)


def turned() -> NDArray[np.float32]:
    values = np.empty(COUNTS.shape, np.float32)
    interpolate(COUNTS.astype(np.float64), np.array([[0.8, -0.6], [0.6, 0.8]]), np.array([20.0, -9.0]), values=values)
    return values


def spread() -> NDArray[np.float64]:
    values = COUNTS.astype(np.float64)
    nearest_values((COUNTS > 4).astype(np.uint8), threads=2, progress=None, values=values)
    return values


CALLS: dict[str, Callable[[], Any]] = {
    "bin_spectra": lambda: chandra_bin.bin_spectra(BINMAP, CHANNELS, x=X, y=Y, threads=2),
    "boxes": lambda: cover_with_boxes(BINMAP).x,
    "contour_bin": lambda: chandra_bin.contour_bin(COUNTS, sn=20, smooth_sn=10, threads=2).binmap,
    "counts_scale": lambda: chandra_bin.apply_scale(
        COUNTS, chandra_bin.counts_scale(COUNTS, sn=8, threads=2), threads=2),
    "event_histogram": lambda: chandra_bin.event_histogram(
        X, Y, x_range=(0, 140), y_range=(0, 140), shape=(70, 70), threads=2),
    "fit_spectra": lambda: fit_bins(SPECTRA, TEMPLATES, threads=2).kt,
    "interpolate": turned,
    "nearest_values": spread,
    "points_in_region": lambda: chandra_bin.points_in_region(SHAPES, X, Y, threads=2),
    "polygon_trace": lambda: chandra_bin.trace_polygons(BINMAP).areas(),
    "rasterize": lambda: chandra_bin.rasterize(OUTLINES, BINMAP.shape),
    "select_events": passing,
    "smooth": lambda: chandra_bin.smooth(COUNTS, sn=10, exposure=EXPOSURE, threads=2),
    "smooth_gaussian": lambda: chandra_bin.smooth_gaussian(COUNTS / 7, EXPOSURE, sn=10, threads=2),
}


def test_all_kernels_are_called() -> None:
    assert CALLS.keys() == OF_KERNEL.keys()


@pytest.mark.parametrize("name", CALLS)
def test_threads_of_python_call_one_kernel_at_once(name: str) -> None:
    want = CALLS[name]()
    with ThreadPoolExecutor(4) as pool:
        for made in [pool.submit(CALLS[name]) for _ in range(8)]:
            np.testing.assert_array_equal(made.result(), want)


def test_threads_of_python_call_all_kernels_at_once() -> None:
    want = {name: call() for name, call in CALLS.items()}
    with ThreadPoolExecutor(4) as pool:
        made = [(name, pool.submit(call)) for _ in range(2) for name, call in CALLS.items()]
        for name, each in made:
            np.testing.assert_array_equal(each.result(), want[name], err_msg=name)
