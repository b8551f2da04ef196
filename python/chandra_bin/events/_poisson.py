"""The Poisson distribution by `scipy.special`: the values of `scipy.stats.poisson`, whose import takes a second."""

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats


def cdf(counts: NDArray[np.generic], mean: Floats) -> Floats:
    """Return the probability of ``counts`` or less."""
    from scipy.special import pdtr

    whole = np.floor(counts)
    made: Floats = np.where(whole < 0, 0.0, pdtr(np.maximum(whole, 0), mean))
    return made


def sf(counts: NDArray[np.generic], mean: Floats) -> Floats:
    """Return the probability of more than ``counts``."""
    from scipy.special import pdtrc

    whole = np.floor(counts)
    made: Floats = np.where(whole < 0, 1.0, pdtrc(np.maximum(whole, 0), mean))
    return made


def ppf(probability: float, mean: Floats) -> Floats:
    """Return the least counts whose `cdf` reaches a probability between 0 and 1."""
    from scipy.special import pdtrik

    found = np.ceil(pdtrik(probability, mean))
    below = np.maximum(found - 1, 0)
    made: Floats = np.where(cdf(below, mean) >= probability, below, found)  # the inverse is not exact
    return made


def isf(probability: float, mean: Floats) -> Floats:
    """Return the least counts that are exceeded with a probability, between 0 and 1, or less."""
    return ppf(1 - probability, mean)


def gaussian_tail(sigmas: float) -> float:
    """Return the probability that a Gaussian exceeds its mean by more than a number of sigmas."""
    from scipy.special import ndtr

    return float(ndtr(-sigmas))
