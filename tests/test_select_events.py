"""Tests on events: against what numpy says of whole columns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandra_bin._kernels._select_events import Selection

ENDS = [-np.inf, -3.0, -2.5, -1e-300, 0.0, 0.5, 1.0, np.nextafter(1.0, 0), np.nextafter(1.0, 2), 7.0, 1e40, np.inf]
TYPES = [np.int16, np.int32, np.int64, np.float32, np.float64]


def edges(x_first, x_step, y_first, y_step):
    return {"x_first_edge": x_first, "x_step": x_step, "y_first_edge": y_first, "y_step": y_step}


def passes(selection, threads=1):
    flags = np.full(selection.size, 7, np.uint8)
    number = selection.evaluate(threads, flags)
    assert number == np.count_nonzero(flags)
    assert set(flags.tolist()) <= {0, 1}
    return flags.astype(bool)


def in_any(values, lows, highs, closed):
    inside = np.zeros(len(values), bool)
    for low, high in zip(lows, highs, strict=True):
        inside |= (values >= low) & ((values <= high) if closed or high == np.inf else (values < high))
    return inside


def values_of(dtype, rng, size):
    if np.dtype(dtype).kind == "f":
        with np.errstate(over="ignore", under="ignore"):
            ends = np.array(ENDS).astype(dtype)
            around = [ends, np.nextafter(ends, dtype(-np.inf)), np.nextafter(ends, dtype(np.inf)), [dtype(np.nan)]]
        return rng.choice(np.concatenate(around), size)
    limits = np.iinfo(dtype)
    return rng.choice(np.array([limits.min, limits.min + 1, -4, -3, -2, 0, 1, 2, 7, 8, limits.max], dtype), size)


@given(dtype=st.sampled_from(TYPES), seed=st.integers(0, 10**6), size=st.integers(0, 40),
       ends=st.lists(st.tuples(st.sampled_from(ENDS), st.sampled_from(ENDS)), max_size=14),
       closed=st.booleans(), exclude=st.booleans())
def test_ranges(dtype, seed, size, ends, closed, exclude):
    column = values_of(dtype, np.random.default_rng(seed), size)
    lows, highs = (np.array([end[side] for end in ends], float) for side in (0, 1))
    selection = Selection(size)
    selection.ranges(column, lows, highs, closed=closed, exclude=exclude)
    np.testing.assert_array_equal(passes(selection),
                                  in_any(column.astype(np.float64) if dtype == np.float32 else column, lows, highs,
                                         closed) != exclude)


def test_whole_numbers_at_the_limits_of_their_type():
    limits = np.iinfo(np.int64)
    column = np.array([limits.min, -1, 0, limits.max], np.int64)
    selection = Selection(4)
    selection.ranges(column, np.array([-np.inf]), np.array([2.0**63]), closed=False)
    assert passes(selection).tolist() == [True] * 4
    selection.ranges(column, np.array([-0.5]), np.array([np.inf]), closed=True)
    assert passes(selection).tolist() == [False, False, True, True]


@pytest.mark.parametrize("exclude", [False, True])
def test_bits(exclude):
    column = np.arange(64, dtype=np.uint32) | np.uint32(1 << 31)
    selection = Selection(64)
    selection.bits(column, (1 << 31) | 0b101, (1 << 31) | 0b100, exclude)
    np.testing.assert_array_equal(passes(selection), ((column & 0b101) == 0b100) != exclude)


def good(time, start, stop):
    return in_any(time, start, np.where(np.isinf(stop), 1e300, stop), False)


@given(seed=st.integers(0, 10**6), size=st.sampled_from([0, 1, 50, 5000]), exclude=st.booleans(), order=st.booleans())
def test_good_times(seed, size, exclude, order):
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.choice(1000, 2 * rng.integers(0, 6), replace=False)).astype(float)
    start, stop = ends[::2].copy(), ends[1::2].copy()
    time = rng.integers(-5, 1005, size).astype(float)
    time[rng.random(size) < 0.01] = np.nan
    if order:
        time.sort()
    selection = Selection(size)
    selection.good_times(time, start, stop, exclude)
    np.testing.assert_array_equal(passes(selection), good(time, start, stop) != exclude)


@given(seed=st.integers(0, 10**6), size=st.sampled_from([0, 1, 50, 5000]), exclude=st.booleans(), order=st.booleans())
def test_good_times_of_each_chip(seed, size, exclude, order):
    rng = np.random.default_rng(seed)
    lists = []
    for _ in range(4):
        ends = np.sort(rng.choice(1000, 2 * rng.integers(0, 4), replace=False)).astype(float)
        lists.append((ends[::2], ends[1::2]))
    offsets = np.concatenate([[0], np.cumsum([len(start) for start, _ in lists])]).astype(np.int64)
    time = rng.uniform(-5, 1005, size).round()
    if order:
        time.sort()
    chip = rng.integers(-2, 7, size).astype(np.int16)
    expected = np.zeros(size, bool)
    for number, (start, stop) in enumerate(lists):
        expected |= (chip == number) & good(time, start, stop)
    selection = Selection(size)
    selection.good_times_by_chip(time, chip, start=np.concatenate([s for s, _ in lists]),
                                 stop=np.concatenate([s for _, s in lists]), offsets=offsets, exclude=exclude)
    np.testing.assert_array_equal(passes(selection), expected != exclude)


def test_good_times_without_end():
    time = np.array([-np.inf, -5.0, 0.0, 5.0, np.inf, np.nan])
    selection = Selection(6)
    selection.good_times(time, np.array([-np.inf, 0.0]), np.array([-5.0, np.inf]))
    assert passes(selection).tolist() == [True, False, True, True, False, False]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("exclude", [False, True])
def test_mask(dtype, exclude):
    rng = np.random.default_rng(3)
    image = rng.integers(0, 3, (7, 9)).astype(np.uint8)
    x, y = rng.uniform(-2, 8, (2, 4000)).astype(dtype)
    x[:50] = rng.choice([0.5, 1.0, 5.0, np.nan, np.inf, -np.inf], 50)
    selection = Selection(4000)
    selection.mask(x, y, image, **edges(0.5, 0.5, -1.0, 1.0), exclude=exclude)
    column = np.searchsorted(0.5 + 0.5 * np.arange(10), x.astype(float), "right") - 1
    row = np.searchsorted(-1.0 + np.arange(8.0), y.astype(float), "right") - 1
    inside = (column >= 0) & (column < 9) & (row >= 0) & (row < 7)
    inside[inside] = image[row[inside], column[inside]] != 0
    np.testing.assert_array_equal(passes(selection), inside != exclude)


def test_an_empty_mask_holds_nothing():
    x = np.zeros(3)
    for exclude in (False, True):
        selection = Selection(3)
        selection.mask(x, x, np.zeros((0, 4), np.uint8), **edges(0, 1, 0, 1), exclude=exclude)
        assert passes(selection).tolist() == [exclude] * 3


def full_selection(rng, size):
    """A selection of every kind of test, and what numpy says."""
    energy, x, y = rng.uniform(0, 9.999, (3, size)).astype(np.float32)
    time = np.sort(rng.uniform(0, 100, size))
    chip = rng.integers(0, 4, size).astype(np.int16)
    status = rng.integers(0, 4, size).astype(np.uint32)
    flags = rng.integers(0, 5, size).astype(np.uint8)
    image = (rng.random((10, 10)) < 0.7).astype(np.uint8)
    selection = Selection(size)
    selection.ranges(energy, np.array([1.0]), np.array([9.0]), closed=False)
    selection.ranges(chip, np.array([0.0, 2.0]), np.array([0.0, 3.0]), closed=True)
    selection.bits(status, 1, 0)
    selection.good_times(time, np.array([5.0, 50.0]), np.array([40.0, 99.0]))
    selection.mask(x, y, image, **edges(0, 1, 0, 1))
    selection.flags(flags, True)
    expected = ((energy >= 1) & (energy < 9) & (chip != 1) & (status & 1 == 0) & (flags == 0)
                & in_any(time, [5, 50], [40, 99], False) & (image[y.astype(int), x.astype(int)] != 0))
    return selection, x, y, expected


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, 2049, 200_001])
def test_all_tests_together_and_threads_change_nothing(size):
    selection, _, _, expected = full_selection(np.random.default_rng(size), size)
    for threads in (1, 2, 5):
        np.testing.assert_array_equal(passes(selection, threads), expected)


def test_no_test_passes_all():
    assert passes(Selection(3)).all()


def test_arrays_are_kept_alive_and_may_be_read_only():
    column = np.arange(1000.0)
    column.flags.writeable = False
    selection = Selection(1000)
    selection.ranges(column[:], np.array([10.0]), np.array([20.0]), closed=False)
    del column
    np.full(1000, 15.0)
    assert passes(selection).sum() == 10


ONE, TWO = np.zeros(1), np.zeros(2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.ranges(ONE, ONE, ONE, closed=False), "column has 1 rows, not 2"),
        (lambda s: s.ranges(TWO, ONE, TWO, closed=False), "differ in length"),
        (lambda s: s.ranges(TWO, ONE * np.nan, ONE, closed=False), "not a number"),
        (lambda s: s.ranges(TWO.astype(np.uint8), ONE, ONE, closed=False), "must hold int16"),
        (lambda s: s.good_times(TWO, ONE, ONE), "start < stop"),
        (lambda s: s.good_times(TWO, np.array([0.0, 1]), np.array([2.0, 3])), "start < stop"),
        (lambda s: s.good_times_by_chip(TWO, TWO.astype(np.int16), start=ONE, stop=ONE + 1,
                                        offsets=np.array([0, 2])), "offsets"),
        (lambda s: s.mask(TWO, TWO.astype(np.float32), np.zeros((1, 1), np.uint8), **edges(0, 1, 0, 1)),
         "differ in type"),
        (lambda s: s.mask(TWO, TWO, np.zeros((1, 1), np.uint8), **edges(0, 0, 0, 1)), "step above 0"),
        (lambda s: s.mask(TWO, TWO, np.zeros((1, 1), np.uint8), **edges(np.nan, 1, 0, 1)), "finite"),
        (lambda s: s.evaluate(1, np.zeros(3, np.uint8)), "passes has 3 rows"),
        (lambda s: s.ranges(np.zeros((2, 2)), ONE, ONE, closed=False), "not one-dimensional"),
    ],
)
def test_bad_tests_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(Selection(2))
