"""Targets of the kernels: small arrays of all kinds, through the public functions and through the Cython entries.

Public functions take anything. The entries behind them are called as others may call them: with shapes, types and
offsets that do not fit, but with finite pixels, as their contracts ask for.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

import chandra_bin
from chandra_bin._kernels import (
    _bin_spectra,
    _boxes,
    _contour_bin,
    _counts_scale,
    _event_histogram,
    _fit_spectra,
    _interpolate,
    _nearest_values,
    _points_in_region,
    _polygon_trace,
    _rasterize,
    _select_events,
    _smooth,
    _smooth_gaussian,
)
from chandra_bin.binning.boxes import cover_with_boxes
from chandra_bin.errors import InputError
from chandra_bin.sources.background import Background
from chandra_bin.spectral import BinSpectra, FitOptions, Templates, fit_bins

from .draw import FINITE, FINITE32, FLOATS, INTS, Draw

# Params of each kind of rasterize.hpp's table, and of one that is none; a polygon has any even number from 6 on.
_PARAMS = (3, 5, 5, 4, 6, 4, 4, 2, 6, 0, 2)
_POLYGON = 8
_PIXELS = (np.float32, np.float64, np.dtype(">f4"))
_DTYPES = (np.float32, np.float64, np.int32, np.uint8, np.int16, np.int64, np.uint32, np.dtype(">f4"), np.bool_)


def refused(call: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """What a call gives; None where it says that it cannot use what it was given."""
    try:
        return call(*arguments, **keywords)
    except (InputError, ValueError, TypeError):
        return None


def same_by_threads(draw: Draw, call: Callable[[int], Any]) -> Any:
    """What a call gives; now and then threads try it too, and must give the same, bit by bit."""
    made = refused(lambda: call(1))
    if made is not None and draw.rarely():
        again = refused(lambda: call(2))
        np.testing.assert_array_equal(np.asarray(made), np.asarray(again))
    return made


def image(draw: Draw, shape: tuple[int, int]) -> Any:
    return draw.array(shape, FINITE32 if draw.flag() else FLOATS, draw.choice(_PIXELS))


def some_image(draw: Draw, shape: tuple[int, int]) -> Any:
    """An image, or none; seldom of another shape."""
    if draw.seldom():
        return image(draw, draw.shape())
    return image(draw, shape) if draw.flag() else None


def exposures(draw: Draw, shape: tuple[int, int]) -> Any:
    return draw.number() if draw.flag() else some_image(draw, shape)


def mask(draw: Draw, shape: tuple[int, int]) -> Any:
    return draw.flags(shape) if draw.flag() else None


def threshold(draw: Draw) -> float:
    return draw.number() if draw.seldom() else 0.25 + draw.below(40) / 4


def interpolate(data: bytes) -> None:
    draw = Draw(data)
    image = draw.array(draw.shape(), FLOATS, np.float64)
    matrix, offset = (draw.array(shape, FLOATS, np.float64) for shape in ((2, 2), 2))
    values = np.full(draw.shape(), np.nan, np.float32)
    try:
        with np.errstate(all="ignore"):
            _interpolate.interpolate(image, matrix, offset, values=values)
    except ValueError:
        return
    with np.errstate(all="ignore"):
        assert np.isfinite(values).all() or np.abs(image).max() > 1e30 or not np.isfinite(image).all()
    fine = np.empty(tuple(2 * side for side in image.shape), np.float32)
    with np.errstate(all="ignore"):
        _interpolate.doubled(image.astype(np.float32), values=fine)
    assert np.isfinite(fine).all() or np.abs(image).max() > 1e30 or not np.isfinite(image).all()


def nearest_values(data: bytes) -> None:
    draw = Draw(data)
    shape = draw.shape()
    counts, expected = draw.array(shape, INTS, np.int32), draw.array(shape, FLOATS, np.float64)
    with np.errstate(all="ignore"):
        made = refused(lambda: Background.of(counts, expected))
    if made is not None:
        known = counts > 0
        with np.errstate(all="ignore"):
            ratios = expected[known] / counts[known]
        np.testing.assert_array_equal(made.ratio[known], ratios)
        assert np.isin(made.ratio[~known], ratios).all() or np.isnan(ratios).any()


# --- smoothing and binning -------------------------------------------------------------------------------------------


def smooth(data: bytes) -> None:
    draw = Draw(data)
    shape = draw.shape()
    options = {"sn": threshold(draw), "background": some_image(draw, shape), "exposure": exposures(draw, shape),
               "background_exposure": exposures(draw, shape), "noise": some_image(draw, shape),
               "mask": mask(draw, shape)}
    counts = image(draw, shape)
    same_by_threads(draw, lambda threads: chandra_bin.smooth(counts, threads=threads, **options))


def smooth_to_weight(data: bytes) -> None:
    draw = Draw(data)
    shape = draw.shape()
    smoother = draw.choice((chandra_bin.smooth_expmap, chandra_bin.smooth_expcorr))
    options = {"sn": threshold(draw), "mask": mask(draw, shape)}
    first, second = image(draw, shape), image(draw, shape)
    same_by_threads(draw, lambda threads: smoother(first, second, threads=threads, **options))


def smooth_exposure(data: bytes) -> None:
    draw = Draw(data)
    shape = draw.shape()
    options = {"sn": threshold(draw), "background": some_image(draw, shape), "mask": mask(draw, shape),
               "exposure_time": draw.number(), "background_exposure_time": draw.number(),
               "max_radius": None if draw.flag() else draw.below(256) - 1}
    counts, exposure = image(draw, shape), image(draw, shape)
    same_by_threads(draw, lambda threads: chandra_bin.smooth_exposure(counts, exposure=exposure, threads=threads,
                                                                      **options))


def smooth_gaussian(data: bytes) -> None:
    draw = Draw(data)
    shape = draw.shape(7)
    options = {"sn": threshold(draw), "mask": mask(draw, shape)}
    flux, exposure = image(draw, shape), image(draw, shape)
    same_by_threads(draw, lambda threads: chandra_bin.smooth_gaussian(flux, exposure, threads=threads, **options))


def counts_scale(data: bytes) -> None:
    draw = Draw(data)
    shape = draw.shape()
    options = {"sn": threshold(draw), "background": some_image(draw, shape), "mask": mask(draw, shape),
               "fill": mask(draw, shape)}
    counts = image(draw, shape)
    scale = same_by_threads(draw, lambda threads: chandra_bin.counts_scale(counts, threads=threads, **options))
    assert scale is None or (scale.min(initial=0) >= -1 and scale.max(initial=0) <= 2 * 9**2)


def apply_scale(data: bytes) -> None:
    draw = Draw(data)
    shape = draw.shape()
    gaussian, where = draw.flag(), mask(draw, shape)
    scale = draw.array(shape, INTS, draw.choice((np.int32, np.int64, np.int16)))
    pixels = image(draw, shape)
    same_by_threads(draw, lambda threads: chandra_bin.apply_scale(pixels, scale, gaussian=gaussian, mask=where,
                                                                  threads=threads))


def contour_bin(data: bytes) -> None:
    draw = Draw(data)
    shape = draw.shape()
    options = {"sn": threshold(draw), "smooth_sn": threshold(draw),
               "constrain": threshold(draw) if draw.flag() else None,
               "background": some_image(draw, shape), "exposure": exposures(draw, shape),
               "background_exposure": exposures(draw, shape), "noise": some_image(draw, shape),
               "smoothed": some_image(draw, shape), "mask": mask(draw, shape), "seed_only": mask(draw, shape),
               "target": draw.choice(("sn", "counts")), "bin_up": draw.flag(), "scrub": draw.flag(),
               "scrub_large": draw.number() if draw.flag() else None}
    counts = chandra_bin.automask(image(draw, shape)).astype(float) if draw.seldom() else image(draw, shape)
    bins = refused(lambda: chandra_bin.contour_bin(counts, **options))
    if bins is None:
        return
    assert bins.binmap.min(initial=-1) >= -1
    assert bins.binmap.max(initial=-1) < len(bins)
    assert (np.bincount(bins.binmap[bins.binmap >= 0], minlength=len(bins)) == bins.npix).all()
    assert (bins.binmap[bins.use == 0] == -1).all()
    if draw.rarely():
        np.testing.assert_array_equal(chandra_bin.contour_bin(counts, threads=2, **options).binmap, bins.binmap)


# --- label images and outlines ---------------------------------------------------------------------------------------


def labels(draw: Draw) -> Any:
    return draw.array(draw.shape(12), INTS, draw.choice((np.int32, np.int64, np.int16, np.dtype(">i4"))))


def boxes(data: bytes) -> None:
    draw = Draw(data)
    binmap = labels(draw)
    made = refused(lambda: cover_with_boxes(binmap))
    if made is None:
        return
    painted = np.full(binmap.shape, -1, np.int64)
    for number in np.flatnonzero(np.diff(made.offsets)):
        for box in range(made.offsets[number], made.offsets[number + 1]):
            x, y, w, h = (column[box] for column in (made.x, made.y, made.w, made.h))
            painted[y : y + h, x : x + w] = number
    np.testing.assert_array_equal(painted, np.maximum(binmap, -1))


def polygon_trace(data: bytes) -> None:
    draw = Draw(data)
    binmap = labels(draw)
    polygons = refused(lambda: chandra_bin.trace_polygons(binmap))
    if polygons is None:
        return
    np.testing.assert_array_equal(chandra_bin.rasterize(polygons, binmap.shape), np.maximum(binmap, -1))
    assert polygons.areas().sum() == np.count_nonzero(binmap >= 0)


def offsets(draw: Draw, lengths: Any) -> Any:
    """Offsets of these lengths; seldom others."""
    if draw.seldom():
        return draw.array(draw.below(6), INTS, np.int64)
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def axis(draw: Draw) -> tuple[float, float]:
    if draw.seldom():
        return draw.number(), draw.number()
    return draw.below(8) / 2 - 2, draw.choice((1.0, 0.5, -1.0, 3.0))


def axes(draw: Draw) -> dict[str, float]:
    """The axes of an image as the kernels of polygons and shapes take them."""
    (x_first, x_step), (y_first, y_step) = axis(draw), axis(draw)
    return {"x_first": x_first, "x_step": x_step, "y_first": y_first, "y_step": y_step}


def edges(draw: Draw) -> dict[str, float]:
    """The edges of the pixels as the kernels of events take them."""
    drawn = axes(draw)
    return {"x_first_edge": drawn.pop("x_first"), "y_first_edge": drawn.pop("y_first"), **drawn}


def rasterize_polygons(data: bytes) -> None:
    draw = Draw(data)
    rings = [draw.below(7) for _ in range(draw.below(4))]
    parts = [1] * len(rings) if draw.flag() else [len(rings)]
    points = draw.array((sum(rings), 2), FLOATS if draw.seldom() else FINITE)
    names = draw.array(len(parts), INTS, np.int32)
    painted = np.full(draw.shape(), -1, np.int32)
    refused(_rasterize.rasterize_polygons, points, offsets(draw, rings), offsets(draw, parts), names, **axes(draw),
            image=painted)
    assert set(np.unique(painted)) <= {-1, *names.tolist()}


def shapes(draw: Draw) -> tuple[Any, ...]:
    """Shapes as the kernels take them, mostly with as many numbers as their kinds need."""
    kinds = [draw.below(11) for _ in range(draw.below(5))]
    counts = [draw.below(9) if draw.seldom() else _PARAMS[kind] + 2 * (kind == _POLYGON and draw.below(4))
              for kind in kinds]
    params = draw.array(sum(counts), FLOATS if draw.seldom() else np.abs(FINITE))
    components = [1] * len(kinds) if draw.flag() else [len(kinds)]
    return (np.array(kinds, np.uint8), draw.flags(len(kinds)).view(np.uint8), params, offsets(draw, counts),
            offsets(draw, components))


def rasterize_shapes(data: bytes) -> None:
    draw = Draw(data)
    flat, pixels = shapes(draw), axes(draw)
    painted = np.full(draw.shape(), 7, np.uint8)
    try:
        _rasterize.rasterize_shapes(*flat, **pixels, mask=painted)
    except (ValueError, TypeError):
        return
    assert (painted <= 1).all()
    # Events at the centres of the pixels are inside where these are.
    y, x = np.indices(painted.shape)
    inside = np.full(painted.size, 7, np.uint8)
    found = _points_in_region.points_in_region(
        *flat, x=pixels["x_first"] + pixels["x_step"] * x.ravel(), y=pixels["y_first"] + pixels["y_step"] * y.ravel(),
        threads=1, inside=inside)
    np.testing.assert_array_equal(inside, painted.ravel())
    assert found == np.count_nonzero(inside)


# --- events ----------------------------------------------------------------------------------------------------------


def places(draw: Draw) -> tuple[Any, Any]:
    size, dtype = draw.below(40), draw.choice((np.float32, np.float64))
    table = FLOATS if draw.flag() else np.abs(FINITE32)
    return draw.array(size, table, dtype), draw.array(size, table, dtype)


def points_in_region(data: bytes) -> None:
    draw = Draw(data)
    flat, (x, y) = shapes(draw), places(draw)
    inside = np.full(len(x), 7, np.uint8)
    found = refused(lambda: _points_in_region.points_in_region(
        *flat, x=x, y=y, threads=draw.choice((1, 1, 1, 2)), inside=inside))
    assert found is None or found == np.count_nonzero(inside == 1)
    if found is None:
        return
    components = max(len(flat[4]) - 1, 0)
    groups, numbers = offsets(draw, [1] * components), np.full(len(x), 7, np.int32)
    labelled = refused(lambda: _points_in_region.region_labels(
        *flat, group_offsets=groups, x=x, y=y, threads=1, labels=numbers))
    if labelled is not None and len(groups) == components + 1:
        np.testing.assert_array_equal(numbers >= 0, inside == 1)
        assert numbers.max(initial=-1) < components


def selection(draw: Draw, size: int, x: Any, y: Any) -> Any:
    tests = _select_events.Selection(size)
    for _ in range(draw.below(4)):
        exclude = draw.flag()
        kind = draw.below(6)
        rows = size + draw.seldom()
        column = draw.array(rows, draw.choice((FLOATS, INTS)), draw.choice(_DTYPES))
        times = np.sort(draw.array(draw.below(5), FLOATS if draw.seldom() else FINITE))
        start, stop = times[::2].copy(), times[1::2].copy()
        if kind == 0:
            refused(tests.ranges, column, times, draw.array(len(times), FLOATS), closed=draw.flag(), exclude=exclude)
        elif kind == 1:
            refused(tests.bits, column, draw.byte() << 24, draw.byte() << 24, exclude)
        elif kind == 2:
            refused(tests.good_times, column, start, stop, exclude)
        elif kind == 3:
            refused(tests.good_times_by_chip, column, draw.array(rows, INTS, np.int16), start=start, stop=stop,
                    offsets=offsets(draw, [1] * len(stop)), exclude=exclude)
        elif kind == 4:
            where = draw.flags(draw.shape()).view(np.uint8)
            refused(tests.mask, x, y, where, **edges(draw), exclude=exclude)
        else:
            refused(tests.flags, column, exclude)
    return tests


def select_events(data: bytes) -> None:
    draw = Draw(data)
    x, y = places(draw)
    tests = selection(draw, len(x), x, y)
    passes = np.full(len(x), 7, np.uint8)
    passed = refused(lambda: tests.evaluate(draw.choice((1, 1, 1, 2)), passes))
    if passed is not None:
        assert passed == np.count_nonzero(passes)
        assert (passes <= 1).all()


def event_histogram(data: bytes) -> None:
    draw = Draw(data)
    x, y = places(draw)
    keep = draw.choice((None, draw.flags(len(x)), selection(draw, len(x), x, y)))
    weights = draw.array(len(x), FLOATS if draw.flag() else FINITE) if draw.flag() else None
    ranges = {"x_range": (draw.number(), draw.number()), "y_range": (0, 1 + draw.below(9)), "shape": draw.shape()}
    made = same_by_threads(draw, lambda threads: chandra_bin.event_histogram(x, y, weights=weights, keep=keep,
                                                                            threads=threads, **ranges))
    assert made is None or weights is not None or 0 <= made.sum() <= len(x)
    target = np.zeros(draw.shape(), np.int32)
    counted = refused(lambda: _event_histogram.event_histogram(x, y, **edges(draw), selection=None, threads=1,
                                                                image=target))
    assert counted is None or counted == target.sum()


def bin_spectra(data: bytes) -> None:
    draw = Draw(data)
    x, y = places(draw)
    size = len(x)
    on_map = draw.flag()
    options: dict[str, Any] = {"x": x, "y": y} if on_map else {}
    bins = draw.array(draw.shape() if on_map else size, INTS, draw.choice((np.int32, np.int16, np.int64)))
    bins[bins > 300] = 5  # a row of spectra each
    if draw.flag():
        options.update(chips=draw.array(size, INTS, np.int16), chip_numbers=draw.array(draw.below(4), INTS, np.int16))
    channels = draw.array(size, INTS, draw.choice((np.int16, np.int32, np.int64)))
    options.update(first_channel=draw.below(4), channel_count=draw.below(6), keep=selection(draw, size, x, y))
    made = same_by_threads(draw, lambda threads: chandra_bin.bin_spectra(bins, channels, threads=threads, **options))
    assert made is None or 0 <= made.sum() <= size


# --- fits ------------------------------------------------------------------------------------------------------------


def fit_spectra(data: bytes) -> None:
    """Small spectra of a model that may have no effect, no counts, or no minimum."""
    draw = Draw(data)
    channels, temperatures, sets = 1 + draw.below(6), 1 + draw.below(6), draw.below(5)
    table = FLOATS if draw.seldom() else np.abs(FINITE32)
    rates = draw.array((2, temperatures, 2 * channels), table).reshape(2, temperatures, 2, channels)
    templates = Templates(np.cumsum(0.5 + draw.array(temperatures, np.abs(FINITE) % 4)), rates, 1, draw.flag(), "drawn")
    weights = draw.below(9)
    options = refused(lambda: FitOptions(statistic=draw.choice(("cstat", "wstat", "chi2")), kt_min=0.1, kt_max=50,
                                         min_counts_abundance=draw.below(30), min_significance=draw.below(3)))
    spectra = refused(lambda: BinSpectra(
        bin=np.sort(draw.array(sets, INTS % 3, np.int64)), counts=draw.array((sets, channels), np.abs(FINITE32)),
        exposure_s=draw.array(sets, table), weight_offsets=offsets(draw, [weights // max(sets, 1)] * sets),
        weight_response=draw.array(weights // max(sets, 1) * sets, INTS % 3 - 1, np.int64),
        weight=draw.array(weights // max(sets, 1) * sets, table),
        off_counts=draw.array((sets, channels), np.abs(FINITE32)) if draw.flag() else None,
        off_ratio=draw.array(sets, table), group=draw.array(sets, INTS, np.int64)))
    if spectra is None:
        return
    fit = same_by_threads(draw, lambda threads: _fitted(spectra, templates, options, threads))
    if fit is not None:
        assert np.isfinite(fit[fit[:, 2] == 1, :2]).all()


def _fitted(spectra: BinSpectra, templates: Templates, options: FitOptions, threads: int) -> Any:
    fit = fit_bins(spectra, templates, options, threads=threads)
    return np.column_stack([fit.kt, fit.norm, fit.reason == "ok"])


# --- the entries themselves ------------------------------------------------------------------------------------------

ENTRIES = (
    _smooth.smooth, _smooth.smooth_to_weight, _smooth.smooth_exposure, _smooth_gaussian.smooth_gaussian,
    _counts_scale.counts_scale, _counts_scale.apply_scale, _contour_bin.contour_bin, _boxes.cover_with_boxes,
    _polygon_trace.polygon_trace, _rasterize.rasterize_shapes, _rasterize.rasterize_polygons,
    _points_in_region.points_in_region, _points_in_region.region_labels, _event_histogram.event_histogram,
    _event_histogram.weighted_event_histogram, _bin_spectra.bin_spectra, _bin_spectra.bin_spectra_by_map,
    _fit_spectra.fit_spectra, _fit_spectra.fit_background_amounts, _nearest_values.nearest_values,
    _interpolate.interpolate, _interpolate.doubled,
)
_ARGUMENTS = {entry: list(inspect.signature(entry).parameters) for entry in ENTRIES}
# The types of their arguments by name, where these are not images of float32.
_OF_NAME: dict[str, tuple[Any, int]] = {
    "use": (np.uint8, 2), "weights": (np.float64, 2), "scale": (np.int32, 2), "binmap": (np.int32, 2),
    "labels": (np.int32, 2), "kinds": (np.uint8, 1), "complements": (np.uint8, 1), "params": (np.float64, 1),
    "param_offsets": (np.int64, 1), "component_offsets": (np.int64, 1), "group_offsets": (np.int64, 1),
    "ring_offsets": (np.int64, 1), "polygon_offsets": (np.int64, 1), "points": (np.float64, 2), "x": (np.float64, 1),
    "y": (np.float64, 1), "inside": (np.uint8, 1), "mask": (np.uint8, 2), "image": (np.int32, 2),
    "channels": (np.int32, 1), "chips": (np.int16, 1), "chip_numbers": (np.int16, 1), "spectra": (np.int32, 3),
    "known": (np.uint8, 2), "values": (np.float64, 2),
}
_NUMBERS = {"constant_ratio", "threshold", "constrain", "scrub_large", "sn", "outside", "exposure_time", "x_first",
            "x_step", "background_exposure_time", "y_first", "y_step", "x_first_edge", "y_first_edge"}
_WHOLE = {"threads": (1, 1, 0, -1, 2), "max_radius": (-1, 0, 3, 2**31), "bins": (0, 3, 9, -1, 2**20),
          "first_channel": (0, 1, -5), "target_counts": (0, 1), "bin_up": (0, 1), "scrub": (0, 1), "gaussian": (0, 1)}
_NOTHING = {"progress", "selection"}


def entries(data: bytes) -> None:
    """Every entry with arrays of any type, shape and layout, and None: it checks them all before it reads one."""
    draw = Draw(data)
    entry = draw.choice(ENTRIES)
    shape = draw.shape()
    arguments = {name: argument(draw, name, shape) for name in _ARGUMENTS[entry]}
    with np.errstate(all="ignore"):
        refused(lambda: entry(**arguments))


def argument(draw: Draw, name: str, shape: tuple[int, int]) -> Any:
    if name in _NOTHING:
        return None
    if name in _WHOLE:
        return draw.choice(_WHOLE[name])
    if name in _NUMBERS:
        return draw.number(FINITE)
    dtype, axes = _OF_NAME.get(name, (np.float32, 2))
    if draw.seldom():
        return None
    if draw.seldom():
        dtype, axes = draw.choice(_DTYPES), 1 + draw.below(3)
    sides = draw.shape() if draw.seldom() else shape
    size = {1: sides[:1], 2: sides, 3: (1, *sides)}[axes]
    table = FINITE32 if np.dtype(dtype).kind == "f" else INTS
    if name == "use":
        table = np.arange(256) % 3
    made = draw.array((size[0], 2) if name == "points" else size, table, dtype)
    if name == "weights":
        made = abs(made)
    return draw.choice((made, made, made, made[::-1], made.T, made[..., ::2]))
