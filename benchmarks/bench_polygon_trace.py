"""Tracing all bins exactly, beside GDAL's polygonize (rasterio).   python -m benchmarks.bench_polygon_trace"""

import importlib.util

import numpy as np

from chandra_bin.binning.outlines import rasterize, trace_polygons

from ._scenes import random_bins, row
from .harness import best


def main() -> None:
    for size, bins, target in ((1024, 1500, 0.03), (2048, 4000, 0.1)):
        binmap = random_bins(size, bins)
        polygons = trace_polygons(binmap)
        assert np.array_equal(rasterize(polygons, binmap.shape), binmap)
        note = f"{len(polygons)} polygons, {len(polygons.points)} vertices"
        row(f"trace {size}x{size}, {bins} bins", best(lambda b=binmap: trace_polygons(b), 7), target, note)
        row("  rasterio.features.shapes", polygonize(binmap))


def polygonize(binmap: np.ndarray) -> float | None:
    if importlib.util.find_spec("rasterio") is None:
        return None
    from rasterio.features import shapes

    return best(lambda: list(shapes(binmap)), 3)


if __name__ == "__main__":
    main()
