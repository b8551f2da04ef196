"""Polygons and shapes to pixels: chandra-bin beside rasterio, shapely and astropy's regions.

python -m benchmarks.bench_rasterize
"""

import importlib.util

import numpy as np
from astropy.io.fits import Header

from chandra_bin.binning.outlines import rasterize, trace_polygons
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.regions import parse_regions, region_mask

from ._scenes import random_bins, row
from .harness import best

SHAPE = (366, 364)
HEADER = Header({"CRVAL1P": 1.0, "CRPIX1P": 1.0, "CDELT1P": 1.0, "CRVAL2P": 1.0, "CRPIX2P": 1.0, "CDELT2P": 1.0})


def main() -> None:
    for size, bins in ((1024, 1500), (2048, 4000)):
        binmap = random_bins(size, bins)
        polygons = trace_polygons(binmap)
        tracing = best(lambda b=binmap: trace_polygons(b), 7)
        row(f"all {bins} bins back, {size}x{size}",
            best(lambda p=polygons, b=binmap: rasterize(p, b.shape), 7), round(tracing, 4), "target: the tracing time")
    outline = long_outline(12_000)
    text = f"polygon({','.join(f'{v:.4f}' for v in outline.ravel())})"
    coords = ImageCoords(HEADER)
    region = parse_regions(text)
    masking = best(lambda: region_mask(region, coords, SHAPE), 7)
    row(f"mask of a polygon of {len(outline)} vertices, 364x366", masking, 0.005)
    row("  reading it from its text", best(lambda: parse_regions(text), 7))
    row("  rasterio.features.rasterize", by_rasterio(outline))
    row("  shapely.contains_xy", by_shapely(outline))
    row("  regions: PolygonPixelRegion.to_mask", by_regions(outline))
    circles = "\n".join(f"circle({x},{y},6.3)" for x in range(10, 350, 9) for y in range(10, 350, 9))
    many = parse_regions(circles)
    row(f"mask of {len(many.shapes)} circles", best(lambda: region_mask(many, coords, SHAPE), 7))


def long_outline(vertices: int) -> np.ndarray:
    """A ragged ring around the middle of the image."""
    rng = np.random.default_rng(2)
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    radius = 140 + 25 * np.cos(5 * angle) + rng.uniform(-3, 3, vertices)
    return np.column_stack([182 + radius * np.cos(angle), 183 + radius * np.sin(angle)])


def by_rasterio(outline: np.ndarray) -> float | None:
    if importlib.util.find_spec("rasterio") is None:
        return None
    from rasterio.features import rasterize as burn

    shape = {"type": "Polygon", "coordinates": [outline.tolist()]}
    return best(lambda: burn([shape], SHAPE), 3)


def by_shapely(outline: np.ndarray) -> float | None:
    if importlib.util.find_spec("shapely") is None:
        return None
    import shapely

    y, x = np.indices(SHAPE)
    polygon = shapely.Polygon(outline)
    shapely.prepare(polygon)
    return best(lambda: shapely.contains_xy(polygon, x, y), 3)


def by_regions(outline: np.ndarray) -> float:
    from regions import PixCoord, PolygonPixelRegion

    polygon = PolygonPixelRegion(PixCoord(*outline.T))
    return best(lambda: polygon.to_mask("center"), 2)


if __name__ == "__main__":
    main()
