"""Events: to images, filtered, in regions, to spectra, and from files."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import chandra_bin

from .bench_outlines import polygon_text
from .race import CHECKOUT, Call, Inputs, Peer, Race
from .scenes import columns, long_outline, places


def bench_events(contest: Callable[[], None]) -> None:
    contest()


def _events(scene: str, size: int, count: int = 5_000_000) -> Callable[[bool], Inputs]:
    def inputs(quick: bool) -> Inputs:
        x, y = places(scene, size, 50_000 if quick else count)
        return {"x": x, "y": y, "size": size}

    return inputs


def _histogram(inputs: Inputs, threads: int) -> Call:
    size = int(inputs["size"])
    return partial(chandra_bin.event_histogram, inputs["x"], inputs["y"], x_range=(0, size), y_range=(0, size),
                   shape=(size, size), threads=threads)


def _bincount(inputs: Inputs) -> Call:
    x, y, size = inputs["x"], inputs["y"], int(inputs["size"])
    return lambda: np.bincount(y.astype(np.int32) * np.int32(size) + x.astype(np.int32),
                               minlength=size * size).reshape(size, size)


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
    return columns(50_000 if quick else 5_000_000)


def _intervals(inputs: Inputs) -> tuple[Any, Any]:
    end = len(inputs["time"])
    start = np.arange(20) * end / 20
    return start, start + 0.98 * end / 20


def _select(inputs: Inputs, threads: int) -> Call:
    from chandra_bin.events.arrays import Selection

    size = len(inputs["time"])
    start, stop = _intervals(inputs)

    def call() -> Any:
        tests = Selection(size)
        tests.ranges(inputs["energy"], np.array([500.0]), np.array([7000.0]), closed=False)
        tests.ranges(inputs["chip"], np.array([0.0]), np.array([2.0]), closed=True)
        tests.good_times(inputs["time"], start, stop)
        passes = np.empty(size, np.uint8)
        tests.evaluate(threads, passes)
        return passes

    return call


def _numpy_select(inputs: Inputs) -> Call:
    start, stop = _intervals(inputs)

    def call() -> Any:
        energy, chip, time = (inputs[name] for name in ("energy", "chip", "time"))
        interval = np.searchsorted(start, time, side="right") - 1
        return (energy >= 500) & (energy < 7000) & (chip >= 0) & (chip <= 2) & (interval >= 0) & (time < stop[interval])

    return call


def _ellipses(quick: bool) -> Inputs:
    count, events = (10, 5000) if quick else (300, 1_000_000)
    rng = np.random.default_rng(3)
    x, y = places("even", 4096, events)
    return {"x": x, "y": y, "ellipses": np.column_stack([
        rng.uniform(0, 4096, (count, 2)), rng.uniform(5, 60, (count, 2)), rng.uniform(0, 180, count)])}


def _inside(inputs: Inputs, threads: int) -> Call:
    from chandra_bin.regions import parse_regions

    text = polygon_text(inputs["outline"]) if "outline" in inputs else "\n".join(
        f"ellipse({','.join(map(repr, row))})" for row in inputs["ellipses"].tolist())
    return partial(chandra_bin.points_in_region, parse_regions(text), inputs["x"], inputs["y"], threads=threads)


def _numpy_ellipses(inputs: Inputs) -> Call:
    def call() -> Any:
        x, y = (inputs[name].astype(np.float64) for name in "xy")
        inside = np.zeros(len(x), bool)
        for at_x, at_y, a, b, degrees in inputs["ellipses"]:
            cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
            dx, dy = x - at_x, y - at_y
            inside |= ((cos * dx + sin * dy) / a) ** 2 + ((cos * dy - sin * dx) / b) ** 2 <= 1
        return inside

    return call


def _long_polygon(quick: bool) -> Inputs:
    x, y = places("even", 4096, 5000 if quick else 1_000_000)
    return {"x": x, "y": y, "outline": long_outline(200 if quick else 12_000, 2048, 1400)}


def _shapely_points(inputs: Inputs) -> Call:
    import shapely

    polygon = shapely.Polygon(inputs["outline"])
    shapely.prepare(polygon)
    return lambda: shapely.contains_xy(polygon, inputs["x"], inputs["y"])


def _spectra_events(quick: bool) -> Inputs:
    made = _events("cluster", 64 if quick else 1024)(quick)
    size = int(made["size"])
    energy = columns(len(made["x"]))["energy"]
    rows = np.indices((size, size)) * 32 // size
    binmap = (rows[0] * 32 + rows[1]).astype(np.int32)
    return {"x": made["x"] - np.float32(0.5), "y": made["y"] - np.float32(0.5), "binmap": binmap,
            "channels": (energy // np.float32(14.6) + 1).astype(np.int32)}


def _spectra(inputs: Inputs, threads: int) -> Call:
    return partial(chandra_bin.bin_spectra, inputs["binmap"], inputs["channels"], x=inputs["x"], y=inputs["y"],
                   threads=threads)


def _numpy_spectra(inputs: Inputs) -> Call:
    x, y, channels, binmap = (inputs[name] for name in ("x", "y", "channels", "binmap"))
    bins = int(binmap.max()) + 1

    def call() -> Any:
        labels = binmap[np.rint(y).astype(np.int32), np.rint(x).astype(np.int32)]
        good = (labels >= 0) & (channels >= 1) & (channels <= 1024)
        cells = labels[good] * 1024 + channels[good] - 1
        return np.bincount(cells, minlength=bins * 1024).reshape(bins, 1024)

    return call


_COLUMNS = ["time", "ccd_id", "x", "y", "energy"]


def _event_file(folder: Path, inputs: Inputs) -> None:
    sys.path.insert(0, str(CHECKOUT / "tests"))
    from event_files import random_events, write_events

    write_events(folder / "evt2.fits", random_events(int(inputs["rows"])))


def _read_events(inputs: Inputs, _threads: int) -> Call:
    from chandra_bin.events.reader import read_events

    path = Path(inputs["folder"]) / "evt2.fits"

    def call() -> Any:
        read = read_events(path, _COLUMNS).columns
        return [read[name] for name in _COLUMNS]

    return call


def _astropy_events(inputs: Inputs) -> Call:
    from astropy.io import fits

    def call() -> Any:
        with fits.open(Path(inputs["folder"]) / "evt2.fits") as hdus:
            read = [hdus[1].data[name] for name in _COLUMNS]
            return [column.astype(column.dtype.newbyteorder("=")) for column in read]

    return call


def _fitsio_events(inputs: Inputs) -> Call:
    import fitsio

    def call() -> Any:
        with fitsio.FITS(Path(inputs["folder"]) / "evt2.fits") as hdus:
            rows = hdus[1].read(columns=_COLUMNS)
        return [rows[name].astype(rows.dtype[name].newbyteorder("=")) for name in _COLUMNS]

    return call


_HISTOGRAMS = (
    Peer("numpy bincount", _bincount, note="int32 indices, without checks"),
    Peer("fast-histogram", _fast_histogram, ("fast_histogram",)),
    Peer("boost-histogram", _boost_histogram, ("boost_histogram",)),
)
RACES = {
    "event_histogram": Race("5x10⁶ events evenly on 1024²", _events("even", 1024), _histogram, _HISTOGRAMS,
                            ("event_histogram",)),
    "event_histogram_large": Race("5x10⁶ events of a cluster on 4096²", _events("cluster", 4096), _histogram,
                                  _HISTOGRAMS, ("event_histogram",)),
    "select_events": Race("5x10⁶ events: energy, chip, 20 good times", _filtered_events, _select, (
        Peer("numpy masks", _numpy_select),), ("select_events",)),
    "points_in_region": Race("10⁶ events in 300 ellipses", _ellipses, _inside, (
        Peer("numpy, ellipse by ellipse", _numpy_ellipses),), ("points_in_region",)),
    "points_in_polygon": Race("10⁶ events in a polygon of 12,000 vertices", _long_polygon, _inside, (
        Peer("shapely contains_xy", _shapely_points, ("shapely",)),), ("points_in_region",)),
    "bin_spectra": Race("spectra of 1024 bins from 5x10⁶ events", _spectra_events, _spectra, (
        Peer("numpy index and bincount", _numpy_spectra),), ("bin_spectra",)),
    "read_events": Race("five columns of 2x10⁶ events read", lambda quick: {"rows": 10**4 if quick else 2 * 10**6},
                        _read_events, (Peer("astropy.io.fits", _astropy_events),
                                       Peer("fitsio", _fitsio_events, ("fitsio",))), threads=1, files=_event_file),
}
