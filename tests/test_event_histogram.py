"""Images of events: against binary searches among the edges, and numpy's sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandra_bin._kernels._event_histogram import event_histogram, weighted_event_histogram
from chandra_bin._kernels._select_events import Selection
from test_select_events import full_selection


def reference(x, y, axes, shape, weights=None, keep=True):
    """The image that binary searches give, and the number of events in it."""
    (x_first, x_step, y_first, y_step), (ny, nx) = axes, shape
    x_edges, y_edges = x_first + np.arange(nx + 1) * x_step, y_first + np.arange(ny + 1) * y_step
    x, y = x.astype(np.float64), y.astype(np.float64)
    column, row = np.searchsorted(x_edges, x, "right") - 1, np.searchsorted(y_edges, y, "right") - 1
    inside = (column >= 0) & (column < nx) & (row >= 0) & (row < ny) & keep & ~np.isnan(x) & ~np.isnan(y)
    weights = None if weights is None else weights[inside]
    image = np.bincount(row[inside] * nx + column[inside], weights, ny * nx).reshape(shape)
    return image, np.count_nonzero(inside)


def edges(x_first, x_step, y_first, y_step):
    return {"x_first_edge": x_first, "x_step": x_step, "y_first_edge": y_first, "y_step": y_step}


def check(x, y, axes, shape, threads=1, selection=None, keep=True):
    image = np.zeros(shape, np.int32)
    expected, number = reference(x, y, axes, shape, keep=keep)
    assert event_histogram(x, y, **edges(*axes), selection=selection, threads=threads, image=image) == number
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, 5000])
def test_uniform_events(dtype, size):
    x, y = np.random.default_rng(size).uniform(-10, 110, (2, size)).astype(dtype)
    check(x, y, (0.5, 1.0, -3.5, 2.5), (40, 90))


@given(first=st.sampled_from([0.0, 0.5, -1.0, 0.1, 4096.5, -1e9, 1e15, -1e300]),
       step=st.sampled_from([1.0, 0.5, 0.1, 1 / 3, 7.3, 1e-3, 1e-9, 1e-12, 1e-300, 5e-324, 1e300, 1e305]),
       size=st.integers(1, 30), dtype=st.sampled_from([np.float32, np.float64]), seed=st.integers(0, 10**6))
def test_values_on_edges_and_next_to_them(first, step, size, dtype, seed):
    rng = np.random.default_rng(seed)
    with np.errstate(over="ignore", under="ignore"):
        edges = first + np.arange(-1, size + 2) * step
        values = np.concatenate([edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf),
                                 rng.uniform(first, edges[-1], 20), [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e308]])
        x = rng.choice(values, 300).astype(dtype)
    y = np.full(300, 0.5, dtype)
    check(x, y, (first, step, 0.0, 1.0), (1, size))
    check(y, x, (0.0, 1.0, first, step), (size, 1))


@pytest.mark.parametrize(("shape", "size"), [((30, 40), 300_001), ((700, 900), 300_001), ((3, 1), 140_000)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_change_nothing(shape, size, dtype):
    rng = np.random.default_rng(8)
    x, y = rng.uniform(0, 10, (2, size)).astype(dtype)
    x[::2] = 5 + 0.01 * rng.normal(size=len(x[::2]))
    axes = (0.0, 10 / shape[1], 0.0, 10 / shape[0])
    weights = rng.normal(size=size) * 10.0 ** rng.integers(-20, 20, size)
    expected, number = reference(x, y, axes, shape, weights)
    for threads in (1, 2, 3, 70):
        check(x, y, axes, shape, threads)
        image = np.zeros(shape)
        assert weighted_event_histogram(x, y, weights, **edges(*axes), selection=None, threads=threads,
                                        image=image) == number
        np.testing.assert_array_equal(image, expected)  # to the last bit: added in the order of events


@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("passing", [0.05, 0.6, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_mask_over_the_same_pixels(dtype, passing, exclude):
    rng = np.random.default_rng(11)
    x, y = rng.uniform(-2, 12, (2, 9000)).astype(dtype)
    mask, flags = (rng.uniform(size=(30, 41)) < 0.7).astype(np.uint8), rng.uniform(size=9000) < passing
    axes = (0.0, 10 / 41, 0.0, 10 / 30)
    selection = Selection(9000)
    selection.mask(x, y, mask, **edges(*axes), exclude=exclude)
    selection.flags(flags.astype(np.uint8))
    column, row = (np.searchsorted(step * np.arange(size + 1), v.astype(float), "right") - 1
                   for v, step, size in ((x, axes[1], 41), (y, axes[3], 30)))
    keep = flags & (mask[row.clip(0, 29), column.clip(0, 40)] != exclude)
    check(x, y, axes, mask.shape, selection=selection, keep=keep)
    weights, image = rng.normal(size=9000), np.zeros(mask.shape)
    expected, number = reference(x, y, axes, mask.shape, weights, keep)
    assert weighted_event_histogram(x, y, weights, **edges(*axes), selection=selection, threads=1,
                                    image=image) == number
    np.testing.assert_array_equal(image, expected)


def test_float32_weights():
    x, y, weights = np.random.default_rng(2).uniform(0, 10, (3, 1000)).astype(np.float32)
    image = np.zeros((5, 5))
    weighted_event_histogram(x, y, weights, **edges(0, 2, 0, 2), selection=None, threads=1, image=image)
    np.testing.assert_array_equal(image, reference(x, y, (0, 2, 0, 2), (5, 5), weights.astype(float))[0])


@pytest.mark.parametrize("size", [0, 1, 3000, 300_001])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_selection_in_the_same_pass(size, threads):
    rng = np.random.default_rng(size)
    selection, x, y, keep = full_selection(rng, size)
    axes = (0.0, 0.01, 0.0, 0.5)
    check(x, y, axes, (20, 1000), threads, selection, keep)
    weights = rng.normal(size=size)
    image = np.zeros((20, 1000))
    weighted_event_histogram(x, y, weights, **edges(*axes), selection=selection, threads=threads, image=image)
    np.testing.assert_array_equal(image, reference(x, y, axes, (20, 1000), weights, keep)[0])


def test_it_adds_to_the_image():
    x = np.full(5, 0.5, np.float32)
    image = np.full((1, 1), 37, np.int32)
    event_histogram(x, x, **edges(0, 1, 0, 1), selection=None, threads=1, image=image)
    assert image[0, 0] == 42


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.zeros(3)}, "y has 3 rows, not 2"),
        ({"y": np.zeros(2, np.float32)}, "differ in type"),
        ({"x": np.zeros(2, int), "y": np.zeros(2, int)}, "float32 or float64"),
        ({"x_step": 0.0}, "step above 0"),
        ({"x_step": -1.0}, "step above 0"),
        ({"x_step": np.nan}, "step above 0"),
        ({"y_first_edge": np.inf}, "finite"),
        ({"x_step": 1e308}, "finite"),
        ({"x": "no"}, "bytes-like"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    given = {"x": np.zeros(2), "y": np.zeros(2), "x_first_edge": 0.0, "x_step": 1.0, "y_first_edge": 0.0, "y_step": 1.0}
    with pytest.raises((ValueError, TypeError), match=message):
        event_histogram(**given | change, selection=None, threads=1, image=np.zeros((4, 4), np.int32))


def test_a_selection_of_other_events_is_refused():
    from chandra_bin._kernels._select_events import Selection

    with pytest.raises(ValueError, match="another number of events"):
        event_histogram(np.zeros(2), np.zeros(2), **edges(0, 1, 0, 1), selection=Selection(3), threads=1,
                        image=np.zeros((4, 4), np.int32))
    with pytest.raises(AttributeError):
        event_histogram(np.zeros(2), np.zeros(2), **edges(0, 1, 0, 1), selection="all", threads=1,
                        image=np.zeros((4, 4), np.int32))
