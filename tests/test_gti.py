"""Good time intervals: exactly the algebra of sets."""

import math
import operator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandra_bin.errors import InputError
from chandra_bin.events.gti import GTI

INF = math.inf
CELLS = range(-12, 12)  # [n, n + 1) each; the first stands for all before it, the last for all after

cells = st.frozensets(st.sampled_from(CELLS))
times = st.lists(st.integers(-2**40, 2**40).map(lambda n: n / 1024), max_size=12)


def of_cells(wanted):
    """The same set of times as intervals, the outer cells without end."""
    start = [-INF if n == CELLS[0] else float(n) for n in wanted]
    stop = [INF if n == CELLS[-1] else n + 1.0 for n in wanted]
    return GTI.of(start, stop)


def to_cells(gti):
    return frozenset(n for n in CELLS if gti.contains(n + 0.5))


@st.composite
def dyadic(draw):
    """Bounded sets whose sums of seconds are exact in floating point."""
    numbers = sorted(set(draw(times)))
    return GTI.of(numbers[0 : len(numbers) // 2 * 2 : 2], numbers[1::2])


@given(cells, cells)
def test_the_algebra_is_that_of_sets(a, b):
    for rule in (operator.and_, operator.or_, operator.sub):
        assert rule(of_cells(a), of_cells(b)) == of_cells(rule(a, b))
        assert to_cells(rule(of_cells(a), of_cells(b))) == rule(a, b)
    assert ~of_cells(a) == of_cells(frozenset(CELLS) - a)


@given(cells, cells)
def test_the_laws_hold(a, b):
    a, b = of_cells(a), of_cells(b)
    nothing = GTI.of([], [])
    assert ~(a | b) == ~a & ~b
    assert ~(a & b) == ~a | ~b
    assert ~~a == a
    assert a - b == a & ~b
    assert a & ~a == nothing
    assert a | ~a == ~nothing


@given(dyadic(), dyadic())
def test_totals_add_up(a, b):
    assert a.total + b.total == (a | b).total + (a & b).total


@given(cells)
def test_intervals_ascend_and_do_not_touch(wanted):
    gti = of_cells(wanted)
    assert (gti.start < gti.stop).all()
    assert (gti.stop[:-1] < gti.start[1:]).all()


@given(st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 9)), max_size=12))
def test_any_intervals_become_the_times_in_one_of_them(pairs):
    gti = GTI.of([float(n) for n, _ in pairs], [float(n + length) for n, length in pairs])
    wanted = {cell for n, length in pairs for cell in range(n, n + length)}
    assert {n for n in range(-20, 40) if gti.contains(n + 0.5)} == wanted
    assert gti.total == len(wanted)


@given(dyadic(), st.lists(st.integers(-2**40, 2**40).map(lambda n: n / 1024), min_size=2, max_size=20))
def test_seconds_between_edges(gti, edges):
    edges = sorted(edges)
    expected = [(gti & GTI.of(lo, hi)).total for lo, hi in pairwise(edges)]
    assert gti.seconds_in(edges).tolist() == expected


def test_seconds_of_times_as_in_real_files():
    gti = GTI.of([740621379.0], [740641484.43])
    edges = 740620303.07753 + 300.0 * np.arange(75)
    seconds = gti.seconds_in(edges)
    assert (seconds[4:70] == np.diff(edges)[4:70]).all()
    assert math.fsum(seconds) == gti.total
    assert (~gti).seconds_in(edges).tolist() == (np.diff(edges) - seconds).tolist()


def test_a_start_is_good_and_a_stop_is_not():
    gti = GTI.of([10.0, 30.0], [20.0, 40.0])
    assert gti.contains([[9.9, 10.0, np.nan], [20.0, np.nextafter(20, 0), 30.0]]).tolist() == [
        [False, True, False], [False, True, True]]
    assert not (~gti).contains(np.nan)


def test_equal_sets_are_equal_and_have_no_hash():
    assert GTI.of([2, 0, 5], [4, 2, 5]) == GTI.of(0, 4)
    assert GTI.of(0, 4) != GTI.of(0, 5)
    assert GTI.of(0, 4) != "a GTI"
    with pytest.raises(TypeError):
        hash(GTI.of(0, 4))


def test_good_times_cannot_be_changed():
    times = np.array([0.0])
    gti = GTI.of(times, [1.0])
    times[0] = 5  # the caller's array is the caller's
    with pytest.raises(ValueError, match="read-only"):
        gti.start[0] = 5.0


@pytest.mark.parametrize(("start", "stop", "text"), [
    ([0.0, np.nan], [1.0, 2.0], "interval 2 goes from nan to 2.0 s; a start must not be NaN or after"),
    ([5.0], [4.0], "a.fits: good time interval 1 goes from 5.0 to 4.0 s"),
    ([5.0, 6.0], [7.0], "a.fits: there are 2 starts of good times but 1 stops"),
])
def test_wrong_intervals_are_refused(start, stop, text):
    with pytest.raises(InputError, match=text):
        GTI.of(start, stop, where="a.fits")


def test_intervals_that_are_not_in_order_need_of():
    with pytest.raises(InputError, match=r"GTI\.of"):
        GTI(np.array([5.0, 0.0]), np.array([6.0, 1.0]))


@pytest.mark.parametrize("edges", [[0.0], [0.0, np.nan], [1.0, 0.0], [0.0, INF], [[0.0, 1.0]]])
def test_wrong_edges_are_refused(edges):
    with pytest.raises(InputError, match="edges of time bins"):
        GTI.of(0, 1).seconds_in(edges)
