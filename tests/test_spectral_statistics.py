"""Statistics of spectra against Sherpa's, direct sums and minimisation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import poisson

from chandra_bin.errors import InputError
from chandra_bin.spectral import chi_square, cstat, cstat_expectation, wstat
from chandra_bin.spectral.statistics import expectation_table, profiled_background
from required import absent


def drawn(seed=4, size=400):
    rng = np.random.default_rng(seed)
    source = rng.gamma(0.3, 3, size)
    return rng.poisson(source + 0.4), rng.poisson(4.0 * rng.uniform(0, 1, size)), source


def sherpa():
    try:
        from sherpa.stats import _statfcts
    except ImportError as error:
        absent("ciao", f"Sherpa is missing (tests/external): {error}")
    return _statfcts


def test_c_is_sherpas():
    counts, _, source = drawn()
    one = np.ones(counts.size)
    total, _ = sherpa().calc_cstat_stat(counts.astype(float), source, one, 1e-25)
    assert cstat(counts, source).sum() == pytest.approx(total, rel=1e-10)


@pytest.mark.parametrize("ratio", [0.05, 1.0, 3.0])
def test_w_is_sherpas(ratio):
    counts, off, source = drawn()
    one = np.ones(counts.size)
    total, _ = sherpa().calc_wstat_stat(counts.astype(float), source, [counts.size], one, one, off.astype(float),
                                        one / ratio, 1e-25)
    assert wstat(counts, off, source, ratio).sum() == pytest.approx(total, rel=1e-10)


@given(st.integers(0, 30), st.integers(0, 30), st.floats(0, 30), st.floats(0.01, 5))
def test_the_background_of_w_is_the_best(counts, off, source, ratio):
    def of(b):
        return (cstat(counts, source + ratio * b) + cstat(off, b)).item()

    b = profiled_background(counts, off, source, ratio).item()
    best = minimize_scalar(of, bounds=(0, 100 + 2000 / ratio), method="bounded", options={"xatol": 1e-9})
    assert of(b) <= min(best.fun, of(b * 1.001), of(b * 0.999)) + 1e-9
    assert wstat(counts, off, source, ratio).item() == pytest.approx(of(b), abs=1e-12)


@given(st.integers(0, 9), st.integers(0, 9), st.floats(-3, 3), st.floats(0.05, 3))
def test_w_is_convex_in_the_source_beyond_zero(counts, off, source, ratio):
    a, b, c = (wstat(counts, off, source + step, ratio).item() for step in (-0.01, 0, 0.01))
    assert a + c - 2 * b > -1e-9


@pytest.mark.parametrize(("m", "mean", "variance"), [
    (0.01, 0.0922, 0.5243), (0.1, 0.4741, 0.8604), (1, 1.1468, 1.3646), (5, 1.0467, 2.2668), (10, 1.0188, 2.0877)])
def test_expectations_are_those_of_kaastra(m, mean, variance):
    found = cstat_expectation([m])
    assert found[0][0] == pytest.approx(mean, abs=3e-4)
    assert found[1][0] == pytest.approx(variance, abs=3e-4)


def test_expectations_are_sums_over_the_distribution():
    m = np.array([1e-9, 1e-4, 0.3, 7.7, 49.9, 50.1, 400.0])
    d = np.arange(900)[:, None]
    probability = poisson.pmf(d, m)
    each = cstat(np.broadcast_to(d, probability.shape), np.broadcast_to(m, probability.shape))
    mean = (probability * each).sum(axis=0)
    found = cstat_expectation(m)
    np.testing.assert_allclose(found[0], mean, rtol=3e-4)
    np.testing.assert_allclose(found[1], (probability * each**2).sum(axis=0) - mean**2, rtol=1e-3)


def test_the_table_of_the_kernel_is_fine_enough():
    table, first, step = expectation_table()
    m = np.random.default_rng(3).uniform(first, np.log(50), 300)
    place = first + step * np.arange(table.shape[1])
    for values, exact in zip(table, cstat_expectation(np.exp(m)), strict=True):
        np.testing.assert_allclose(np.interp(m, place, values), exact, rtol=1e-4)


def test_chi_square_is_the_sum_of_squares():
    assert chi_square([5], [4], [1], 0.5, [2.0]).tolist() == [2.0]


@pytest.mark.parametrize(("call", "message"), [
    (lambda: cstat([-1], [1.0]), "counts holds -1"), (lambda: cstat([1], [np.nan]), "expected holds nan"),
    (lambda: wstat([1], [1], [1.0], 0), "ratio is 0"), (lambda: wstat([1], [-2], [1.0], 1), "off holds -2"),
    (lambda: cstat_expectation([np.inf]), "expected holds inf")])
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
