"""The races: a kernel, what it is given, and what a user would take instead.

Inputs are arrays by name, and the folder that files go into. A contestant is prepared with them and becomes a call
without arguments, which alone is timed; ``result`` turns what it returns into an array to compare. Peers are called as
their guides say. What they do not compute, and who computes something else, is said in their notes.
"""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .event_scenes import columns, places
from .harness import CHECKOUT, BenchmarkError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Inputs = dict[str, Any]
Call = Callable[[], Any]

OTHER = "other algorithm"


def _as_it_is(result: Any) -> Any:
    return result


@dataclass(frozen=True)
class Peer:
    """What a user would take instead. ``tolerance`` is relative, None where another thing is computed."""

    name: str
    prepare: Callable[[Inputs], Call]
    modules: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    tolerance: float | None = 0.0
    note: str = ""
    result: Callable[[Any], Any] = _as_it_is

    def missing(self) -> list[str]:
        """What would have to be installed."""
        return [*(name for name in self.modules if find_spec(name) is None),
                *(name for name in self.programs if find_program(name) is None)]


@dataclass(frozen=True)
class Race:
    """A case: its kernels (names of ``chandra_bin._kernels``; none for reading files, say), ours and the peers.

    ``inputs`` is called with whether a quick run is wanted. Results are compared as ``pixels``, as ``bins`` (which may
    be numbered otherwise), or as ``sets`` of numbers.
    """

    title: str
    kernels: tuple[str, ...]
    inputs: Callable[[bool], Inputs]
    ours: Callable[[Inputs, int], Call]
    peers: tuple[Peer, ...]
    result: Callable[[Any], Any] = _as_it_is
    compared: str = "pixels"
    threads: tuple[int, ...] = (1, 2)

    def made(self, quick: bool) -> Inputs:
        """The inputs, all of them arrays, as a file of arrays has them."""
        import numpy as np

        return {name: np.asarray(value) for name, value in self.inputs(quick).items()}


def find_program(name: str) -> str | None:
    """A program on PATH; one of contbin's beside the executable that CONTBIN names, too."""
    named = os.environ.get("CONTBIN")
    beside = shutil.which(Path(named).resolve().parent / name) if named and os.sep in named else None
    return beside or shutil.which(name)


# --- smoothing ------------------------------------------------------------------------------------------------------


def _cluster(size: int, counts: float, **others: Any) -> Callable[[bool], Inputs]:
    """A simulated cluster; ``others`` (a S/N, say) become inputs as they are."""

    def inputs(quick: bool) -> Inputs:
        from chandra_bin.simulate import cluster_image

        side, total = (64, 4e4) if quick else (size, counts)
        return {"counts": cluster_image((side, side), total, seed=1), **others}

    return inputs


def _smooth(inputs: Inputs, threads: int) -> Call:
    from chandra_bin import smooth

    return lambda: smooth(inputs["counts"], sn=float(inputs["sn"]), threads=threads)


def _discs(shape: tuple[int, int]) -> Any:
    """x^2 + y^2 of the offsets that a disc can hold."""
    import numpy as np

    y, x = np.ogrid[-shape[0] + 1 : shape[0], -shape[1] + 1 : shape[1]]
    return y**2 + x**2


def _convolved(image: Any, kernel: Any) -> Any:
    from scipy.signal import fftconvolve

    return fftconvolve(image, kernel, mode="same")


def _fft_smooth(inputs: Inputs) -> Call:
    """All pixels by one convolution for each radius, until every pixel has its signal."""
    import numpy as np

    counts = inputs["counts"].astype(np.float64)
    sn = float(inputs["sn"])
    squares = _discs(counts.shape)
    middle = np.array(counts.shape) - 1
    ones = np.ones_like(counts)

    def call() -> Any:
        smoothed = np.zeros(counts.shape, np.float32)
        waiting = np.ones(counts.shape, bool)
        radius = 0
        while waiting.any() and radius < max(counts.shape):
            box = tuple(slice(at - radius, at + radius + 1) for at in middle)
            disc = (np.floor(np.sqrt(squares[box])) <= radius).astype(np.float64)
            total = np.rint(_convolved(counts, disc))  # whole numbers, so that this is exact
            done = waiting & (total >= sn * (1 + np.sqrt(total + 0.75)))
            if done.any():
                smoothed[done] = (total[done] / np.rint(_convolved(ones, disc))[done]).astype(np.float32)
                waiting &= ~done
            radius += 1
        return smoothed

    return call


def _one_gaussian(inputs: Inputs) -> Call:
    from scipy.ndimage import gaussian_filter

    counts = inputs["counts"].astype("f4")
    return lambda: gaussian_filter(counts, 5.0)


def _one_box(inputs: Inputs) -> Call:
    from scipy.ndimage import uniform_filter

    counts = inputs["counts"].astype("f4")
    return lambda: uniform_filter(counts, 11)


def _one_top_hat(inputs: Inputs) -> Call:
    from astropy.convolution import Tophat2DKernel, convolve_fft

    kernel = Tophat2DKernel(10)
    return lambda: convolve_fft(inputs["counts"], kernel)


def _contbin_program(*words: str, output: str) -> Callable[[Inputs], Call]:
    """One of contbin's programs: a whole process, which reads and writes files."""

    def prepare(inputs: Inputs) -> Call:
        from astropy.io import fits

        folder = Path(tempfile.mkdtemp(dir=inputs["folder"]))
        for name, pixels in inputs.items():
            if getattr(pixels, "ndim", 0) == 2:
                fits.writeto(folder / f"{name}.fits", pixels)
        program = find_program(words[0])
        filled = [str(program), *(word.format(**inputs) for word in words[1:])]

        def call() -> Any:
            subprocess.run(filled, cwd=folder, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            return fits.getdata(folder / output) if output else None

        return call

    return prepare


def _flux(quick: bool) -> Inputs:
    import numpy as np

    made = _cluster(128, 4e5)(quick)
    y, x = np.indices(made["counts"].shape) / made["counts"].shape[0] - 0.5
    exposure = (1e5 * (1 - 0.3 * (x**2 + y**2))).astype(np.float32)
    return {"flux": (made["counts"] / exposure).astype(np.float32), "exposure": exposure, "sn": 15.0}


def _smooth_gaussian(inputs: Inputs, threads: int) -> Call:
    from chandra_bin import smooth_gaussian

    return lambda: smooth_gaussian(inputs["flux"], inputs["exposure"], sn=float(inputs["sn"]), threads=threads)


def _scipy_gaussians(inputs: Inputs) -> Call:
    """scipy's filter with the same truncation, one pass over the image for each sigma."""
    import numpy as np
    from scipy.ndimage import gaussian_filter

    flux, exposure = (inputs[name].astype(np.float64) for name in ("flux", "exposure"))
    sn = float(inputs["sn"])

    def call() -> Any:
        smoothed = np.full(flux.shape, np.nan, np.float32)
        waiting = np.ones(flux.shape, bool)
        sigma = 0.25
        while waiting.any() and 2 * np.ceil(3 * sigma) + 1 <= max(flux.shape):
            how = {"sigma": sigma, "mode": "constant", "radius": int(np.ceil(3 * sigma))}
            weight = gaussian_filter(np.ones_like(flux), **how)
            mean, time = (gaussian_filter(image, **how) / weight for image in (flux, exposure))
            done = waiting & (mean * time * np.pi * (2 * sigma) ** 2 >= sn**2)
            smoothed[done] = mean[done]
            waiting &= ~done
            sigma += 0.25
        return smoothed

    return call


def _one_astropy_gaussian(inputs: Inputs) -> Call:
    from astropy.convolution import Gaussian2DKernel, convolve

    kernel = Gaussian2DKernel(3, x_size=19, y_size=19)
    return lambda: convolve(inputs["flux"], kernel)


def _counts_scale(inputs: Inputs, threads: int) -> Call:
    from chandra_bin import counts_scale

    return lambda: counts_scale(inputs["counts"], sn=float(inputs["sn"]), threads=threads)


def _fft_scale(inputs: Inputs) -> Call:
    """One convolution for each r^2 that adds pixels to the disc."""
    import numpy as np

    counts = inputs["counts"].astype(np.float64)
    least = np.ceil(float(inputs["sn"]) ** 2 - 1e-9)
    squares = _discs(counts.shape)
    middle = np.array(counts.shape) - 1

    def call() -> Any:
        scale = np.full(counts.shape, -1, np.int32)
        for square in np.unique(squares):
            side = int(np.sqrt(square))
            box = tuple(slice(at - side, at + side + 1) for at in middle)
            total = np.rint(_convolved(counts, (squares[box] <= square).astype(np.float64)))
            scale[(scale < 0) & (total >= least)] = square
            if (scale >= 0).all():
                break
        return scale

    return call


def _scaled(quick: bool) -> Inputs:
    from chandra_bin import counts_scale

    made = _cluster(256, 1e6, sn=15.0)(quick)
    return {**made, "scale": counts_scale(made["counts"], sn=15.0)}


def _apply_scale(inputs: Inputs, threads: int) -> Call:
    from chandra_bin import apply_scale

    return lambda: apply_scale(inputs["counts"], inputs["scale"], threads=threads)


def _fft_apply(inputs: Inputs) -> Call:
    """One convolution for each scale that there is."""
    import numpy as np

    counts, scale = inputs["counts"].astype(np.float64), inputs["scale"]
    squares = _discs(counts.shape)
    middle = np.array(counts.shape) - 1
    ones = np.ones_like(counts)

    def call() -> Any:
        applied = np.full(counts.shape, np.nan, np.float32)
        for square in np.unique(scale[scale >= 0]):
            side = int(np.sqrt(square))
            box = tuple(slice(at - side, at + side + 1) for at in middle)
            disc = (squares[box] <= square).astype(np.float64)
            here = scale == square
            applied[here] = (np.rint(_convolved(counts, disc)) / np.rint(_convolved(ones, disc)))[here]
        return applied

    return call


# --- binning --------------------------------------------------------------------------------------------------------


def _contour_bin(inputs: Inputs, threads: int) -> Call:
    from chandra_bin import contour_bin

    options = {name: float(inputs[name]) for name in ("sn", "smooth_sn", "constrain")}
    return lambda: contour_bin(inputs["counts"], **options, threads=threads).binmap


def _pycontbin(inputs: Inputs) -> Call:
    from astropy.io import fits

    folder = Path(tempfile.mkdtemp(dir=inputs["folder"]))
    fits.writeto(folder / "counts.fits", inputs["counts"])
    sn, smooth_sn, constrain = (int(inputs[name]) for name in ("sn", "smooth_sn", "constrain"))
    os.chdir(folder)

    def call() -> Any:
        from contextlib import redirect_stdout

        from pycontbin import ContourBin

        with (folder / "said.txt").open("w") as said, redirect_stdout(said):
            ContourBin("counts.fits", sn, smooth_sn, constrain, 1)
        (binmap,) = folder.glob("contour_binning_*/contbin_binmap.fits")
        return fits.getdata(binmap)

    return call


def _pixels(inputs: Inputs) -> tuple[Any, Any, Any]:
    """x, y and counts of the pixels that hold any: the peers want positive signal."""
    import numpy as np

    y, x = np.nonzero(inputs["counts"])
    return x.astype(float), y.astype(float), inputs["counts"][y, x].astype(float)


def _vorbin(inputs: Inputs) -> Call:
    import warnings

    warnings.simplefilter("ignore")  # of its own deprecation
    import numpy as np
    from vorbin.voronoi_2d_binning import voronoi_2d_binning

    x, y, counts = _pixels(inputs)
    sn = float(inputs["sn"])
    return lambda: voronoi_2d_binning(x, y, counts, np.sqrt(counts), sn, pixelsize=1, plot=False, quiet=True)


def _powerbin(inputs: Inputs) -> Call:
    import numpy as np
    from powerbin import PowerBin

    x, y, counts = _pixels(inputs)
    target = float(inputs["sn"]) ** 2
    return lambda: PowerBin(np.column_stack([x, y]), counts, target, pixelsize=1, verbose=0)


# --- bins to outlines and back --------------------------------------------------------------------------------------


def _binmap(quick: bool) -> Inputs:
    from ._scenes import random_bins

    return {"binmap": random_bins(*((64, 20) if quick else (1024, 1500)))}


def _boxes(inputs: Inputs, _threads: int) -> Call:
    from chandra_bin.binning.boxes import cover_with_boxes

    return lambda: cover_with_boxes(inputs["binmap"])


def _find_objects(inputs: Inputs) -> Call:
    from scipy.ndimage import find_objects

    numbered = inputs["binmap"] + 1
    return lambda: find_objects(numbered)


def _boxes_result(boxes: Any) -> Any:
    import numpy as np

    return np.column_stack([boxes.x, boxes.y, boxes.w, boxes.h])


def _trace(inputs: Inputs, _threads: int) -> Call:
    from chandra_bin import trace_polygons

    return lambda: trace_polygons(inputs["binmap"])


def _hash_ring(label: int, points: Any, shift: float) -> int:
    """A number for a ring, whatever its first vertex and its sense; vertices on straight lines do not count."""
    import zlib

    import numpy as np

    ring = np.asarray(points, np.float64) + shift
    if np.array_equal(ring[0], ring[-1]):
        ring = ring[:-1]
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    ring = ring[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
    ordered = ring[np.lexsort(ring.T)] + 0.0
    return (int(label) << 32) + zlib.crc32(np.ascontiguousarray(ordered))


def _traced_rings(polygons: Any) -> Any:
    import numpy as np

    return np.sort([_hash_ring(polygons.labels[n], ring, 0.5) for n in range(len(polygons))
                    for ring in polygons.rings(n)])


def _gdal_shapes(inputs: Inputs) -> Call:
    from rasterio.features import shapes

    return lambda: list(shapes(inputs["binmap"]))


def _gdal_rings(found: Any) -> Any:
    import numpy as np

    return np.sort([_hash_ring(label, ring, 0.0) for shape, label in found for ring in shape["coordinates"]])


def _shapely_union(inputs: Inputs) -> Call:
    import numpy as np
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
    import numpy as np
    import shapely

    return np.sort([_hash_ring(label, shapely.get_coordinates(ring), 0.0) for label, union in enumerate(unions)
                    for part in shapely.get_parts(union) for ring in [part.exterior, *part.interiors]])


def _find_contours(inputs: Inputs) -> Call:
    import numpy as np
    from skimage.measure import find_contours

    binmap = inputs["binmap"]
    windows = _windows(binmap)

    def call() -> Any:
        return [find_contours(np.pad(binmap[window] == label, 1).astype(float), 0.5)
                for label, window in enumerate(windows)]

    return call


def _filled_contours(inputs: Inputs) -> Call:
    import numpy as np
    from contourpy import contour_generator

    binmap = inputs["binmap"]
    windows = _windows(binmap)

    def call() -> Any:
        return [contour_generator(z=np.pad(binmap[window] == label, 1).astype(float)).filled(0.5, 1.5)
                for label, window in enumerate(windows)]

    return call


def _windows(binmap: Any) -> Any:
    from scipy.ndimage import find_objects

    return find_objects(binmap + 1)


def _label(inputs: Inputs) -> Call:
    from skimage.measure import label

    return lambda: label(inputs["binmap"], background=-1, connectivity=1)


def _painted(inputs: Inputs, _threads: int) -> Call:
    from chandra_bin import rasterize, trace_polygons

    binmap = inputs["binmap"]
    polygons = trace_polygons(binmap)
    return lambda: rasterize(polygons, binmap.shape)


def _gdal_rasterize(inputs: Inputs) -> Call:
    from rasterio.features import rasterize, shapes

    binmap = inputs["binmap"]
    found = list(shapes(binmap))
    return lambda: rasterize(found, binmap.shape, fill=-1, dtype="int32")


def long_outline(vertices: int, middle: float = 182, radius: float = 140) -> "Floats":
    """A ragged ring (n, 2) around the middle of an image of 364 pixels, or of another scale."""
    import numpy as np

    rng = np.random.default_rng(2)
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    scale = radius / 140
    length = scale * (140 + 25 * np.cos(5 * angle) + rng.uniform(-3, 3, vertices))
    return np.column_stack([middle + length * np.cos(angle), middle + length * np.sin(angle)])


def _outline(quick: bool) -> Inputs:
    return {"outline": long_outline(200 if quick else 12_000), "shape": (364, 364)}


def _polygon_text(outline: Any) -> str:
    return f"polygon({','.join(f'{value!r}' for value in outline.ravel().tolist())})"


def _region_mask(inputs: Inputs, _threads: int) -> Call:
    from astropy.io.fits import Header

    from chandra_bin import region_mask
    from chandra_bin.coords.wcs import ImageCoords
    from chandra_bin.regions import parse_regions

    physical = {f"{key}{n}P": 1.0 for key in ("CRVAL", "CRPIX", "CDELT") for n in (1, 2)}
    coords, shape = ImageCoords(Header(physical)), tuple(inputs["shape"])
    region = parse_regions(_polygon_text(inputs["outline"] + 1))  # physical: the first pixel is at 1
    return lambda: region_mask(region, coords, shape)


def _gdal_mask(inputs: Inputs) -> Call:
    from rasterio.features import rasterize

    polygon = {"type": "Polygon", "coordinates": [(inputs["outline"] + 0.5).tolist()]}
    return lambda: rasterize([polygon], tuple(inputs["shape"]))


def _pixel_centres(inputs: Inputs) -> Any:
    import numpy as np

    y, x = np.indices(tuple(inputs["shape"]))
    return x, y


def _shapely_mask(inputs: Inputs) -> Call:
    import shapely

    x, y = _pixel_centres(inputs)
    polygon = shapely.Polygon(inputs["outline"])
    shapely.prepare(polygon)
    return lambda: shapely.contains_xy(polygon, x, y)


def _path_mask(inputs: Inputs) -> Call:
    import numpy as np
    from matplotlib.path import Path as Outline

    x, y = _pixel_centres(inputs)
    outline, at = Outline(inputs["outline"], closed=False), np.column_stack([x.ravel(), y.ravel()])
    return lambda: outline.contains_points(at).reshape(x.shape)


def _skimage_mask(inputs: Inputs) -> Call:
    from skimage.draw import polygon2mask

    outline = inputs["outline"][:, ::-1]
    return lambda: polygon2mask(tuple(inputs["shape"]), outline)


def _regions_mask(inputs: Inputs) -> Call:
    from regions import PixCoord, PolygonPixelRegion

    polygon = PolygonPixelRegion(PixCoord(*inputs["outline"].T))
    return lambda: polygon.to_mask("center").to_image(tuple(inputs["shape"]))


def _truth(result: Any) -> Any:
    return result.astype(bool)


# --- events ---------------------------------------------------------------------------------------------------------


def _events(scene: str, size: int, count: int = 5_000_000) -> Callable[[bool], Inputs]:
    def inputs(quick: bool) -> Inputs:
        x, y = places(scene, size, 50_000 if quick else count)
        return {"x": x, "y": y, "size": size}

    return inputs


def _histogram(inputs: Inputs, threads: int) -> Call:
    from chandra_bin import event_histogram

    size = int(inputs["size"])
    return lambda: event_histogram(inputs["x"], inputs["y"], x_range=(0, size), y_range=(0, size), shape=(size, size),
                                   threads=threads)


def _bincount(inputs: Inputs) -> Call:
    import numpy as np

    x, y, size = inputs["x"], inputs["y"], int(inputs["size"])
    return lambda: np.bincount(y.astype(np.int32) * np.int32(size) + x.astype(np.int32),
                               minlength=size * size).reshape(size, size)


def _histogram2d(inputs: Inputs) -> Call:
    import numpy as np

    size = int(inputs["size"])
    return lambda: np.histogram2d(inputs["y"], inputs["x"], size, [(0, size), (0, size)])[0]


def _fast_histogram(inputs: Inputs) -> Call:
    from fast_histogram import histogram2d

    size = int(inputs["size"])
    return lambda: histogram2d(inputs["y"], inputs["x"], size, [(0, size), (0, size)])


def _boost_histogram(inputs: Inputs) -> Call:
    import boost_histogram as bh

    size = int(inputs["size"])
    axes = [bh.axis.Regular(size, 0, size, underflow=False, overflow=False) for _ in range(2)]
    return lambda: bh.Histogram(*axes, storage=bh.storage.Int64()).fill(inputs["y"], inputs["x"]).values()


def _filtered_events(quick: bool) -> Inputs:
    made = columns(50_000 if quick else 5_000_000)
    return {name: made[name] for name in ("energy", "chip", "time")}


def _intervals(inputs: Inputs) -> tuple[Any, Any]:
    import numpy as np

    end = len(inputs["time"])
    start = np.arange(20) * end / 20
    return start, start + 0.98 * end / 20


def _select(inputs: Inputs, threads: int) -> Call:
    import numpy as np

    from chandra_bin.events.arrays import Selection

    size = len(inputs["time"])
    start, stop = _intervals(inputs)

    def call() -> Any:
        tests = Selection(size)
        tests.ranges(inputs["energy"], np.array([500.0]), np.array([7000.0]), False)
        tests.ranges(inputs["chip"], np.array([0.0]), np.array([2.0]), True)
        tests.good_times(inputs["time"], start, stop)
        passes = np.empty(size, np.uint8)
        tests.evaluate(threads, passes)
        return passes

    return call


def _numpy_select(inputs: Inputs) -> Call:
    import numpy as np

    start, stop = _intervals(inputs)

    def call() -> Any:
        energy, chip, time = (inputs[name] for name in ("energy", "chip", "time"))
        interval = np.searchsorted(start, time, side="right") - 1
        return (energy >= 500) & (energy < 7000) & (chip >= 0) & (chip <= 2) & (interval >= 0) & (time < stop[interval])

    return call


def _ellipses(quick: bool) -> Inputs:
    import numpy as np

    count, events = (10, 5000) if quick else (300, 1_000_000)
    rng = np.random.default_rng(3)
    x, y = places("even", 4096, events)
    return {"x": x, "y": y, "ellipses": np.column_stack([
        rng.uniform(0, 4096, (count, 2)), rng.uniform(5, 60, (count, 2)), rng.uniform(0, 180, count)])}


def _in_ellipses(inputs: Inputs, threads: int) -> Call:
    from chandra_bin import points_in_region
    from chandra_bin.regions import parse_regions

    region = parse_regions("\n".join(f"ellipse({','.join(map(repr, row))})" for row in inputs["ellipses"].tolist()))
    return lambda: points_in_region(region, inputs["x"], inputs["y"], threads=threads)


def _numpy_ellipses(inputs: Inputs) -> Call:
    import numpy as np

    def call() -> Any:
        x, y = (inputs[name].astype(np.float64) for name in "xy")
        inside = np.zeros(len(x), bool)
        for at_x, at_y, a, b, degrees in inputs["ellipses"]:
            cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
            dx, dy = x - at_x, y - at_y
            inside |= ((cos * dx + sin * dy) / a) ** 2 + ((cos * dy - sin * dx) / b) ** 2 <= 1
        return inside

    return call


def _regions_ellipses(inputs: Inputs) -> Call:
    import numpy as np
    from astropy.units import deg
    from regions import EllipsePixelRegion, PixCoord

    shapes = [EllipsePixelRegion(PixCoord(x, y), 2 * a, 2 * b, angle * deg) for x, y, a, b, angle in inputs["ellipses"]]
    at = PixCoord(*(inputs[name].astype(np.float64) for name in "xy"))

    def call() -> Any:
        inside = np.zeros(len(inputs["x"]), bool)
        for shape in shapes:
            inside |= shape.contains(at)
        return inside

    return call


def _long_polygon(quick: bool) -> Inputs:
    x, y = places("even", 4096, 5000 if quick else 1_000_000)
    return {"x": x, "y": y, "outline": long_outline(200 if quick else 12_000, 2048, 1400)}


def _in_polygon(inputs: Inputs, threads: int) -> Call:
    from chandra_bin import points_in_region
    from chandra_bin.regions import parse_regions

    region = parse_regions(_polygon_text(inputs["outline"]))
    return lambda: points_in_region(region, inputs["x"], inputs["y"], threads=threads)


def _shapely_points(inputs: Inputs) -> Call:
    import shapely

    polygon = shapely.Polygon(inputs["outline"])
    shapely.prepare(polygon)
    return lambda: shapely.contains_xy(polygon, inputs["x"], inputs["y"])


def _spectra_events(quick: bool) -> Inputs:
    import numpy as np

    made = _events("cluster", 64 if quick else 1024)(quick)
    size = int(made["size"])
    energy = columns(len(made["x"]))["energy"]
    rows = np.indices((size, size)) * 32 // size
    binmap = (rows[0] * 32 + rows[1]).astype(np.int32)
    return {"x": made["x"] - np.float32(0.5), "y": made["y"] - np.float32(0.5), "binmap": binmap,
            "channels": (energy // np.float32(14.6) + 1).astype(np.int32)}


def _spectra(inputs: Inputs, threads: int) -> Call:
    from chandra_bin import bin_spectra

    return lambda: bin_spectra(inputs["binmap"], inputs["channels"], x=inputs["x"], y=inputs["y"], threads=threads)


def _numpy_spectra(inputs: Inputs) -> Call:
    import numpy as np

    x, y, channels, binmap = (inputs[name] for name in ("x", "y", "channels", "binmap"))
    bins = int(binmap.max()) + 1

    def call() -> Any:
        labels = binmap[np.rint(y).astype(np.int32), np.rint(x).astype(np.int32)]
        good = (labels >= 0) & (channels >= 1) & (channels <= 1024)
        cells = labels[good] * 1024 + channels[good] - 1
        return np.bincount(cells, minlength=bins * 1024).reshape(bins, 1024)

    return call


def _boost_spectra(inputs: Inputs) -> Call:
    import boost_histogram as bh
    import numpy as np

    x, y, channels, binmap = (inputs[name] for name in ("x", "y", "channels", "binmap"))
    bins = int(binmap.max()) + 1
    axes = [bh.axis.Integer(0, bins, underflow=False, overflow=False),
            bh.axis.Integer(1, 1025, underflow=False, overflow=False)]

    def call() -> Any:
        labels = binmap[np.rint(y).astype(np.int32), np.rint(x).astype(np.int32)]
        return bh.Histogram(*axes, storage=bh.storage.Int64()).fill(labels, channels).values()

    return call


# --- detection, regions, files --------------------------------------------------------------------------------------


def _field(quick: bool) -> Inputs:
    from .bench_detect import scene

    made = scene(256 if quick else 1024, 0.05, 20 if quick else 75, 1)
    return {"image": made["image"], "psf": made["psf"]}


def _detect(inputs: Inputs, _threads: int) -> Call:
    from chandra_bin import detect_sources

    image = inputs["image"]
    scales = [scale for scale in (1.0, 2.0, 4.0, 8.0, 16.0) if scale * 2.8 < min(image.shape)]
    return lambda: detect_sources(image, scales=scales, psf_sigma_px=inputs["psf"])


def _detected_by(method: str) -> Callable[[Inputs], Call]:
    def prepare(inputs: Inputs) -> Call:
        import warnings

        from .bench_detect import METHODS

        warnings.simplefilter("ignore")
        return lambda: METHODS[method](inputs["image"], inputs["psf"])

    return prepare


def _region_texts(quick: bool) -> Inputs:
    """Bins as CIAO's region files in physical coordinates, and the image that they are on."""
    from astropy.io.fits import PrimaryHDU

    from chandra_bin import trace_polygons
    from chandra_bin.coords.wcs import ImageCoords
    from chandra_bin.regions import BinTexts, Style
    from chandra_bin.simulate import cluster_header

    from ._scenes import random_bins

    binmap = random_bins(128, 30, 0.2)
    header = PrimaryHDU(binmap, cluster_header(binmap.shape)).header
    texts = BinTexts(trace_polygons(binmap), ImageCoords(header), Style("ciao", "physical")).of_bins()
    chosen = [text for _, text in texts][: 3 if quick else 30]
    return {"binmap": binmap, "header": header.tostring(), "texts": chosen}


def _convert(inputs: Inputs, _threads: int) -> Call:
    from astropy.io.fits import Header

    from chandra_bin.coords.wcs import ImageCoords
    from chandra_bin.regions import parse_regions, region_bytes

    header, texts = Header.fromstring(str(inputs["header"])), inputs["texts"].tolist()

    def call() -> Any:
        coords = ImageCoords(header)
        return [region_bytes(parse_regions(text), coords, format="ds9", system="fk5").decode() for text in texts]

    return call


def _ds9_convert(inputs: Inputs) -> Call:
    from astropy.io import fits

    sys.path.insert(0, str(CHECKOUT / "tests"))
    from test_regions_ds9 import DS9

    folder = Path(tempfile.mkdtemp(dir=inputs["folder"]))
    fits.writeto(folder / "image.fits", inputs["binmap"], fits.Header.fromstring(str(inputs["header"])))
    try:
        ds9 = DS9(folder / "image.fits", folder)
    except BaseException as error:  # a skip of pytest's is no Exception
        raise BenchmarkError(f"DS9 does not start: {error}") from error
    atexit.register(ds9.close)
    return lambda: [ds9.load_and_save(text, "ciao", ("ds9", "wcs", "fk5", "degrees"))
                    for text in inputs["texts"].tolist()]


def _numbers(texts: Any) -> Any:
    """All numbers of the polygons, in their order."""
    import re

    import numpy as np

    return np.array([float(number) for text in texts for inside in re.findall(r"polygon\(([^)]*)\)", text)
                     for number in inside.split(",")])


def _picture(quick: bool) -> Inputs:
    import numpy as np

    size = 256 if quick else 2048
    return {"pixels": np.random.default_rng(1).normal(0, 1, (size, size)).astype(np.float32)}


def _written(inputs: Inputs) -> Path:
    from astropy.io import fits

    path = Path(tempfile.mkdtemp(dir=inputs["folder"])) / "image.fits"
    fits.writeto(path, inputs["pixels"])
    return path


def _read(inputs: Inputs, _threads: int) -> Call:
    import numpy as np

    from chandra_bin.fits.images import read_image_file

    path = _written(inputs)
    return lambda: np.ascontiguousarray(read_image_file(path).data, np.float32)


def _astropy_read(inputs: Inputs) -> Call:
    import numpy as np
    from astropy.io import fits

    path = _written(inputs)
    return lambda: np.ascontiguousarray(fits.getdata(path), np.float32)


def _fitsio_read(inputs: Inputs) -> Call:
    import fitsio
    import numpy as np

    path = _written(inputs)
    return lambda: np.ascontiguousarray(fitsio.read(str(path)), np.float32)


def _write(inputs: Inputs, _threads: int) -> Call:
    from astropy.io.fits import Header

    from chandra_bin.fits.images import write_image

    path = _written(inputs)

    def call() -> Path:
        with path.open("wb") as file:
            write_image(file, inputs["pixels"], Header())
        return path

    return call


def _astropy_write(inputs: Inputs) -> Call:
    from astropy.io import fits

    path = _written(inputs)

    def call() -> Path:
        fits.writeto(path, inputs["pixels"], overwrite=True)
        return path

    return call


def _fitsio_write(inputs: Inputs) -> Call:
    import fitsio

    path = _written(inputs)

    def call() -> Path:
        fitsio.write(str(path), inputs["pixels"], clobber=True)
        return path

    return call


def _file_pixels(path: Any) -> Any:
    from astropy.io import fits

    return fits.getdata(path)


# --- the races ------------------------------------------------------------------------------------------------------

_CUTS = f"{OTHER}: cuts the corners of pixels"
_HISTOGRAMS = (
    Peer("numpy bincount", _bincount, note="int32 indices, nothing is checked"),
    Peer("numpy histogram2d", _histogram2d),
    Peer("fast-histogram", _fast_histogram, ("fast_histogram",)),
    Peer("boost-histogram", _boost_histogram, ("boost_histogram",)),
)

RACES: dict[str, Race] = {
    "smooth": Race("512², 10⁶ counts, S/N 20", ("smooth",), _cluster(512, 1e6, sn=20.0), _smooth, (
        Peer("contbin's accumulate_smooth", _contbin_program("accumulate_smooth", "--sn={sn}", "counts.fits",
                                                             output="acsmooth.fits"),
             programs=("accumulate_smooth",), note="whole process"),
        Peer("scipy fftconvolve", _fft_smooth, note="all pixels, radius by radius"),
        Peer("scipy gaussian_filter", _one_gaussian, tolerance=None, note=f"{OTHER}: one width"),
        Peer("scipy uniform_filter", _one_box, tolerance=None, note=f"{OTHER}: one width"),
        Peer("astropy convolve_fft", _one_top_hat, tolerance=None, note=f"{OTHER}: one top hat"))),
    "smooth_gaussian": Race("128², 4x10⁵ counts, S/N 15", ("smooth_gaussian",), _flux, _smooth_gaussian, (
        Peer("contbin's adaptive_gaussian_smooth",
             _contbin_program("adaptive_gaussian_smooth", "--sn={sn}", "flux.fits", "exposure.fits", output="ags.fits"),
             programs=("adaptive_gaussian_smooth",), tolerance=1e-4, note="whole process"),
        Peer("scipy gaussian_filter", _scipy_gaussians, tolerance=1e-5, note="all pixels, sigma by sigma"),
        Peer("astropy convolve", _one_astropy_gaussian, tolerance=None, note=f"{OTHER}: one width"))),
    "counts_scale": Race("256², 10⁶ counts, S/N 15", ("counts_scale",), _cluster(256, 1e6, sn=15.0), _counts_scale, (
        Peer("contbin's accumulate_counts", _contbin_program("accumulate_counts", "--sn={sn}", "counts.fits",
                                                             output="acscale.fits"),
             programs=("accumulate_counts",), note="whole process"),
        Peer("scipy fftconvolve", _fft_scale, note="all pixels, r² by r²"))),
    "apply_scale": Race("256², the scales of 10⁶ counts, S/N 15", ("counts_scale",), _scaled, _apply_scale, (
        Peer("scipy fftconvolve", _fft_apply, tolerance=1e-5, note="all pixels, r² by r²"),)),
    "contour_bin": Race("364², 5x10⁵ counts, S/N 50, smooth 50, constrain 3", ("contour_bin", "smooth"),
                        _cluster(364, 5e5, sn=50.0, smooth_sn=50.0, constrain=3.0), _contour_bin, (
        Peer("contbin", _contbin_program("contbin", "--sn={sn}", "--smoothsn={smooth_sn}", "--constrainfill",
                                         "--constrainval={constrain}", "counts.fits", output="contbin_binmap.fits"),
             programs=("contbin",), note="whole process"),
        Peer("powerbin", _powerbin, ("powerbin",), tolerance=None, note=f"{OTHER}: power diagram")),
        compared="bins"),
    "contour_bin_small": Race("128², 6x10⁴ counts, S/N 20, smooth 30, constrain 3", ("contour_bin", "smooth"),
                              _cluster(128, 6e4, sn=20.0, smooth_sn=30.0, constrain=3.0), _contour_bin, (
        Peer("pycontbin", _pycontbin, ("pycontbin",), note="files written; once"),
        Peer("vorbin", _vorbin, ("vorbin",), tolerance=None, note=f"{OTHER}: Voronoi"),
        Peer("powerbin", _powerbin, ("powerbin",), tolerance=None, note=f"{OTHER}: power diagram")),
        compared="bins"),
    "boxes": Race("1024², 1500 bins", ("boxes",), _binmap, _boxes, (
        Peer("contbin's make_region_files", _contbin_program("make_region_files", "binmap.fits", output=""),
             programs=("make_region_files",), tolerance=None, note="whole process, 1500 files; not compared here"),
        Peer("scipy find_objects", _find_objects, tolerance=None, note=f"{OTHER}: one bounding box a bin")),
        result=_boxes_result, threads=(1,)),
    "polygon_trace": Race("1024², 1500 bins", ("polygon_trace",), _binmap, _trace, (
        Peer("rasterio shapes", _gdal_shapes, ("rasterio",), result=_gdal_rings),
        Peer("shapely union_all", _shapely_union, ("shapely",), result=_shapely_rings),
        Peer("contourpy filled", _filled_contours, ("contourpy",), tolerance=None, note=_CUTS),
        Peer("scikit-image find_contours", _find_contours, ("skimage",), tolerance=None, note=_CUTS),
        Peer("scikit-image label", _label, ("skimage",), tolerance=None, note=f"{OTHER}: connected parts alone")),
        result=_traced_rings, compared="sets", threads=(1,)),
    "rasterize": Race("1500 bins back to 1024²", ("rasterize",), _binmap, _painted, (
        Peer("rasterio rasterize", _gdal_rasterize, ("rasterio",)),), threads=(1,)),
    "region_mask": Race("a polygon of 12,000 vertices on 364²", ("rasterize",), _outline, _region_mask, (
        Peer("rasterio rasterize", _gdal_mask, ("rasterio",), result=_truth),
        Peer("shapely contains_xy", _shapely_mask, ("shapely",)),
        Peer("matplotlib contains_points", _path_mask, ("matplotlib",)),
        Peer("scikit-image polygon2mask", _skimage_mask, ("skimage",)),
        Peer("regions to_mask", _regions_mask, ("regions",), result=_truth)), threads=(1,)),
    "event_histogram": Race("5x10⁶ events evenly on 1024²", ("event_histogram",), _events("even", 1024), _histogram,
                            _HISTOGRAMS),
    "event_histogram_large": Race("5x10⁶ events of a cluster on 4096²", ("event_histogram",),
                                  _events("cluster", 4096), _histogram, _HISTOGRAMS[:1] + _HISTOGRAMS[2:]),
    "select_events": Race("5x10⁶ events: energy, chip, 20 good times", ("select_events",), _filtered_events, _select, (
        Peer("numpy masks", _numpy_select),), result=_truth),
    "points_in_region": Race("10⁶ events in 300 ellipses", ("points_in_region",), _ellipses, _in_ellipses, (
        Peer("numpy, ellipse by ellipse", _numpy_ellipses),
        Peer("regions contains", _regions_ellipses, ("regions",)))),
    "points_in_polygon": Race("10⁶ events in a polygon of 12,000 vertices", ("points_in_region",), _long_polygon,
                              _in_polygon, (
        Peer("shapely contains_xy", _shapely_points, ("shapely",)),)),
    "bin_spectra": Race("spectra of 1024 bins from 5x10⁶ events", ("bin_spectra",), _spectra_events, _spectra, (
        Peer("numpy index and bincount", _numpy_spectra),
        Peer("boost-histogram", _boost_spectra, ("boost_histogram",)))),
    "detect": Race("sources on 1024², 0.05 counts a pixel", (), _field, _detect, (
        Peer("photutils", _detected_by("photutils, not clipped"), ("photutils",), tolerance=None, note=OTHER),
        Peer("sep", _detected_by("sep, not clipped"), ("sep",), tolerance=None, note=OTHER)),
        result=lambda found: [source.x for source in found.sources], threads=(1,)),
    "convert": Race("30 region files, physical to FK5", (), _region_texts, _convert, (
        Peer("DS9 by XPA", _ds9_convert, ("pytest",), ("ds9", "Xvfb", "xpaset", "xpaget"), tolerance=1e-8,
             note="its start not counted", result=_numbers),), result=_numbers, threads=(1,)),
    "read": Race("a FITS image of 2048² floats read", (), _picture, _read, (
        Peer("astropy.io.fits", _astropy_read),
        Peer("fitsio", _fitsio_read, ("fitsio",))), threads=(1,)),
    "write": Race("a FITS image of 2048² floats written", (), _picture, _write, (
        Peer("astropy.io.fits", _astropy_write, result=_file_pixels),
        Peer("fitsio", _fitsio_write, ("fitsio",), result=_file_pixels)), result=_file_pixels, threads=(1,)),
}
