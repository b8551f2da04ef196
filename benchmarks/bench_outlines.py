"""Bins to outlines and boxes, and outlines back to pixels, compared with rasterio (GDAL), shapely and others."""

import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from chandra_bin import rasterize, trace_polygons

from .race import Call, Inputs, Peer, Race, contbin_program
from .scenes import long_outline, random_bins


def bench_outlines(contest: Callable[[], None]) -> None:
    contest()


def _binmap(quick: bool) -> Inputs:
    return {"binmap": random_bins(*((64, 20) if quick else (1024, 1500)))}


def _boxes(inputs: Inputs, _threads: int) -> Call:
    from chandra_bin.binning.boxes import cover_with_boxes

    return lambda: cover_with_boxes(inputs["binmap"])


def _boxes_result(boxes: Any) -> Any:
    return np.column_stack([boxes.x, boxes.y, boxes.w, boxes.h])


def _hash_ring(label: int, points: Any, shift: float) -> int:
    """A number for a ring, whatever its first vertex and its sense; vertices on straight lines do not count."""
    ring = np.asarray(points, np.float64) + shift
    if np.array_equal(ring[0], ring[-1]):
        ring = ring[:-1]
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    ring = ring[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
    ordered = ring[np.lexsort(ring.T)] + 0.0
    return (int(label) << 32) + zlib.crc32(np.ascontiguousarray(ordered))


def _traced_rings(polygons: Any) -> Any:
    return np.sort([_hash_ring(polygons.labels[n], ring, 0.5) for n in range(len(polygons))
                    for ring in polygons.rings(n)])


def _gdal_shapes(inputs: Inputs) -> Call:
    from rasterio.features import shapes

    return lambda: list(shapes(inputs["binmap"]))


def _gdal_rings(found: Any) -> Any:
    return np.sort([_hash_ring(label, ring, 0.0) for shape, label in found for ring in shape["coordinates"]])


def _shapely_union(inputs: Inputs) -> Call:
    import shapely

    binmap = inputs["binmap"]
    y, x = np.indices(binmap.shape).reshape(2, -1)
    order = np.argsort(binmap.ravel(), kind="stable")
    parts = np.cumsum(np.bincount(binmap.ravel()))[:-1]

    def call() -> Any:
        pixels = shapely.box(x, y, x + 1, y + 1)
        return [shapely.union_all(part) for part in np.split(pixels[order], parts)]

    return call


def _shapely_rings(unions: Any) -> Any:
    import shapely

    return np.sort([_hash_ring(label, shapely.get_coordinates(ring), 0.0) for label, union in enumerate(unions)
                    for part in shapely.get_parts(union) for ring in [part.exterior, *part.interiors]])


def _painted(inputs: Inputs, _threads: int) -> Call:
    binmap = inputs["binmap"]
    polygons = trace_polygons(binmap)
    return lambda: rasterize(polygons, binmap.shape)


def _gdal_rasterize(inputs: Inputs) -> Call:
    from rasterio import features

    binmap = inputs["binmap"]
    found = list(features.shapes(binmap))
    return lambda: features.rasterize(found, binmap.shape, fill=-1, dtype="int32")


def _outline(quick: bool) -> Inputs:
    return {"outline": long_outline(200 if quick else 12_000), "shape": (364, 364)}


def polygon_text(outline: Any) -> str:
    return f"polygon({','.join(f'{value!r}' for value in outline.ravel().tolist())})"


def _region_mask(inputs: Inputs, _threads: int) -> Call:
    from astropy.io.fits import Header

    from chandra_bin import region_mask
    from chandra_bin.coords.wcs import ImageCoords
    from chandra_bin.regions import parse_regions

    physical = {f"{key}{n}P": 1.0 for key in ("CRVAL", "CRPIX", "CDELT") for n in (1, 2)}
    coords, shape = ImageCoords(Header(physical)), tuple(inputs["shape"])
    region = parse_regions(polygon_text(inputs["outline"] + 1))  # physical: the first pixel is at 1
    return lambda: region_mask(region, coords, shape)


def _gdal_mask(inputs: Inputs) -> Call:
    from rasterio import features

    polygon = {"type": "Polygon", "coordinates": [(inputs["outline"] + 0.5).tolist()]}
    return lambda: features.rasterize([polygon], tuple(inputs["shape"]))


def _shapely_mask(inputs: Inputs) -> Call:
    import shapely

    y, x = np.indices(tuple(inputs["shape"]))
    polygon = shapely.Polygon(inputs["outline"])
    shapely.prepare(polygon)
    return lambda: shapely.contains_xy(polygon, x, y)


def _regions_mask(inputs: Inputs) -> Call:
    from regions import PixCoord, PolygonPixelRegion

    polygon = PolygonPixelRegion(PixCoord(*inputs["outline"].T))
    return lambda: polygon.to_mask("center").to_image(tuple(inputs["shape"]))


RACES = {
    "boxes": Race("1024², 1500 bins", _binmap, _boxes, (
        Peer("contbin's make_region_files", contbin_program("make_region_files", "binmap.fits", output=""),
             programs=("make_region_files",), tolerance=None, note="whole process, 1500 files; not compared"),),
        ("boxes",), _boxes_result, threads=1),
    "polygon_trace": Race("1024², 1500 bins", _binmap, lambda inputs, _: partial(trace_polygons, inputs["binmap"]), (
        Peer("rasterio shapes", _gdal_shapes, ("rasterio",), result=_gdal_rings),
        Peer("shapely union_all", _shapely_union, ("shapely",), result=_shapely_rings)),
        ("polygon_trace",), _traced_rings, "sets", 1),
    "rasterize": Race("1500 bins back to 1024²", _binmap, _painted, (
        Peer("rasterio rasterize", _gdal_rasterize, ("rasterio",)),), ("rasterize",), threads=1),
    "region_mask": Race("a polygon of 12,000 vertices on 364²", _outline, _region_mask, (
        Peer("rasterio rasterize", _gdal_mask, ("rasterio",)),
        Peer("shapely contains_xy", _shapely_mask, ("shapely",)),
        Peer("regions to_mask", _regions_mask, ("regions",))), ("rasterize",), threads=1),
}
