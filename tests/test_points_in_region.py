"""Events in regions: as `rasterize_shapes` has it at the centres of pixels, and as formulas have it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandra_bin._kernels._points_in_region import points_in_region, region_labels
from chandra_bin._kernels._rasterize import rasterize_shapes
from chandra_bin.regions._shapes import AREAS

KINDS = list(AREAS)
PARAMS = {"circle": 3, "ellipse": 5, "box": 5, "annulus": 4, "pie": 6, "sector": 4, "rectangle": 4, "point": 2,
          "field": 0}


def axes(x_first, x_step, y_first, y_step):
    return {"x_first": x_first, "x_step": x_step, "y_first": y_first, "y_step": y_step}


def flatten(components):
    """The arrays of a region: components of (kind, params, complement)."""
    shapes = [shape for component in components for shape in component]
    params = [np.asarray(params, float) for _, params, _ in shapes]
    return (np.array([KINDS.index(kind) for kind, _, _ in shapes], np.uint8),
            np.array([complement for _, _, complement in shapes], np.uint8),
            np.concatenate([np.empty(0), *params]),
            np.concatenate([[0], np.cumsum([len(p) for p in params])]).astype(np.int64),
            np.concatenate([[0], np.cumsum([len(c) for c in components])]).astype(np.int64))


def random_shape(rng, scale=40, quarter=True):
    """A shape of any kind; with `quarter` its numbers are quarters, so that many centres are exactly on an edge."""
    kind = KINDS[rng.integers(len(KINDS))]
    count = 2 * rng.integers(3, 30) if kind == "polygon" else PARAMS[kind]
    params = rng.uniform(-0.2 * scale, 1.2 * scale, count)
    if kind not in ("polygon", "rectangle", "sector", "point"):
        params[2:4] = rng.uniform(0, scale / 2, len(params[2:4]))
    if quarter:
        params = np.round(params * 4) / 4
    if kind in ("annulus", "pie"):
        params[2:4].sort()
    if kind in ("ellipse", "box", "pie", "sector") and rng.random() < 0.7:
        angles = {"ellipse": 1, "box": 1, "pie": 2, "sector": 2}[kind]
        params[-angles:] = rng.choice([0, 30, 45, 90, 135, 180, 270, 360, -90], angles)
    return kind, params, int(rng.random() < 0.25)


def random_region(rng, components, **options):
    return [[random_shape(rng, **options) for _ in range(rng.integers(0, 4))] for _ in range(components)]


def flags_of(arrays, x, y, threads=1):
    inside = np.full(len(x), 9, np.uint8)
    assert points_in_region(*arrays, x=x, y=y, threads=threads, inside=inside) == np.count_nonzero(inside)
    return inside


@given(seed=st.integers(0, 10**9), components=st.integers(0, 12), quarter=st.booleans(),
       step=st.sampled_from([1.0, 0.25, -0.5]), dtype=st.sampled_from([np.float32, np.float64]))
def test_as_rasterize_has_it(seed, components, quarter, step, dtype):
    rng = np.random.default_rng(seed)
    arrays = flatten(random_region(rng, components, quarter=quarter))
    first = -5.0 if step > 0 else 40.0
    mask = np.zeros((70, 80), np.uint8)
    rasterize_shapes(*arrays, **axes(first, step, first + 1, step), mask=mask)
    y, x = np.indices(mask.shape)
    inside = flags_of(arrays, (first + step * x).ravel().astype(dtype), (first + 1 + step * y).ravel().astype(dtype))
    np.testing.assert_array_equal(inside.reshape(mask.shape), mask)


@pytest.mark.parametrize("seed", range(12))
def test_many_events_and_shapes(seed):
    """Enough of them for a fine grid, whose cells know what covers them."""
    rng = np.random.default_rng(seed)
    arrays = flatten(random_region(rng, 150 if seed % 2 else 5, scale=300, quarter=seed % 3 == 0))
    mask = np.zeros((700, 700), np.uint8)
    rasterize_shapes(*arrays, **axes(-30.0, 0.5, -30.0, 0.5), mask=mask)
    y, x = np.indices(mask.shape)
    inside = flags_of(arrays, (-30 + 0.5 * x).ravel(), (-30 + 0.5 * y).ravel(), threads=2)
    np.testing.assert_array_equal(inside.reshape(mask.shape), mask)


def ring(rng, vertices, ragged):
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    radius = 140 + 25 * np.cos(5 * angle) + rng.uniform(-ragged, ragged, vertices)
    return np.column_stack([182 + radius * np.cos(angle), 183 + radius * np.sin(angle)]).ravel()


@pytest.mark.parametrize(("vertices", "ragged"), [(3, 1), (2000, 3), (5000, 120), (1500, 0)])
def test_long_polygons(vertices, ragged):
    rng = np.random.default_rng(vertices)
    circle, everywhere = ("circle", [182, 183, 20], 0), ("field", [], 0)
    for components in ([[("polygon", ring(rng, vertices, ragged), 0)]],
                       [[everywhere, ("polygon", ring(rng, vertices, ragged), 1)], [circle]]):
        arrays = flatten(components)
        mask = np.zeros((500, 500), np.uint8)
        rasterize_shapes(*arrays, **axes(-20.0, 0.8, -20.0, 0.8), mask=mask)
        y, x = np.indices(mask.shape)
        inside = flags_of(arrays, (-20 + 0.8 * x).ravel(), (-20 + 0.8 * y).ravel())
        np.testing.assert_array_equal(inside.reshape(mask.shape), mask)


@given(seed=st.integers(0, 10**9), groups=st.integers(0, 6))
def test_labels_are_the_first_region_that_holds_an_event(seed, groups):
    rng = np.random.default_rng(seed)
    regions = [random_region(rng, rng.integers(0, 4)) for _ in range(groups)]
    x, y = rng.integers(-40, 200, (2, 3000)) / 4
    expected = np.full(3000, -1)
    for label in reversed(range(groups)):
        expected[flags_of(flatten(regions[label]), x, y) == 1] = label
    offsets = np.concatenate([[0], np.cumsum([len(region) for region in regions])]).astype(np.int64)
    labels = np.full(3000, 77, np.int32)
    number = region_labels(*flatten([c for region in regions for c in region]), group_offsets=offsets, x=x, y=y,
                           threads=1, labels=labels)
    np.testing.assert_array_equal(labels, expected)
    assert number == np.count_nonzero(expected >= 0)


def test_edges_are_inside_and_complements_leave_them_out():
    x = np.array([0, 5, np.nextafter(5, 9), -5, 0, 3])
    y = np.array([5, 0, 0, 0, 0, 4.0])
    circle = ("circle", [0, 0, 5])
    assert flags_of(flatten([[(*circle, 0)]]), x, y).tolist() == [1, 1, 0, 1, 1, 1]
    assert flags_of(flatten([[(*circle, 1)]]), x, y).tolist() == [0, 0, 1, 0, 0, 0]
    square = ("polygon", [-5, -5, 5, -5, 5, 5, -5, 5])
    assert flags_of(flatten([[(*square, 0)]]), x, y).tolist() == [1, 1, 0, 1, 1, 1]
    assert flags_of(flatten([[(*square, 1)]]), x, y).tolist() == [0, 0, 1, 0, 0, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_nowhere(bad):
    arrays = flatten([[("field", [], 0)], [("circle", [1, 1, 1], 1)], [("sector", [0, 0, 0, 360], 0)]])
    assert flags_of(arrays, np.array([bad, 1.0, 1.0]), np.array([1.0, bad, 1.0])).tolist() == [0, 0, 1]


def test_far_events_and_huge_shapes():
    arrays = flatten([[("circle", [0, 0, 9e14], 0)], [("point", [3, 3], 0)], [("box", [5, 5, 0, 0, 10], 0)]])
    x = np.array([1e300, 8e14, -9e14, 9.1e14, 3, 1e15])
    assert flags_of(arrays, x, np.zeros(6)).tolist() == [0, 1, 1, 0, 1, 0]
    assert flags_of(flatten([[("point", [3, 3], 0)], [("box", [5, 5, 0, 0, 10], 0)]]), np.array([3, 5, 4.0]),
                    np.array([3, 5, 4.0])).tolist() == [1, 1, 0]


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_change_nothing(threads):
    rng = np.random.default_rng(5)
    arrays = flatten(random_region(rng, 30, quarter=False))
    x, y = rng.uniform(-10, 60, (2, 400_000)).astype(np.float32)
    np.testing.assert_array_equal(flags_of(arrays, x, y, threads), flags_of(arrays, x, y))


def test_no_events_and_no_shapes():
    assert flags_of(flatten([]), np.zeros(2), np.zeros(2)).tolist() == [0, 0]
    assert flags_of(flatten([[("field", [], 0)]]), np.zeros(0), np.zeros(0)).tolist() == []


@pytest.mark.parametrize(
    ("components", "groups", "message"),
    [
        ([[("circle", [1, 1, -2], 0)]], [0, 1], "below 0"),
        ([[("polygon", [1, 1, 2, 2], 0)]], [0, 1], "at least 3 vertices"),
        ([[("circle", [1, 1, 2], 0)]], [0, 2], "group_offsets must rise from 0 to 1"),
    ],
)
def test_bad_regions_are_refused(components, groups, message):
    with pytest.raises(ValueError, match=message):
        region_labels(*flatten(components), group_offsets=np.array(groups, np.int64), x=np.zeros(1), y=np.zeros(1),
                      threads=1, labels=np.zeros(1, np.int32))
