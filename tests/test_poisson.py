"""The Poisson distribution of flares has the values of scipy.stats, bit by bit."""

import numpy as np
import pytest
from scipy import stats

from chandra_bin.events import _poisson

MEANS = np.concatenate([np.geomspace(1e-3, 1e5, 400), np.random.default_rng(2).uniform(0, 900, 2000)])


def test_probabilities_are_those_of_scipy():
    counts = np.floor(MEANS + np.random.default_rng(3).normal(0, 4, MEANS.size) * np.sqrt(MEANS))
    assert (counts < 0).any()
    for shift in (-1.0, -0.5, 0.0, 0.5):
        np.testing.assert_array_equal(_poisson.cdf(counts + shift, MEANS), stats.poisson.cdf(counts + shift, MEANS))
        np.testing.assert_array_equal(_poisson.sf(counts + shift, MEANS), stats.poisson.sf(counts + shift, MEANS))


@pytest.mark.parametrize("sigmas", [0.5, 1.0, 2.0, 3.0, 4.5, 6.0])
def test_limits_are_those_of_scipy(sigmas):
    tail = _poisson.gaussian_tail(sigmas)
    assert tail == stats.norm.sf(sigmas)
    np.testing.assert_array_equal(_poisson.ppf(tail, MEANS), stats.poisson.ppf(tail, MEANS))
    np.testing.assert_array_equal(_poisson.isf(tail, MEANS), stats.poisson.isf(tail, MEANS))
