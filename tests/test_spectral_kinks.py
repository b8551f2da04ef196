"""Errors of fits whose templates have few temperatures, against profiles over dense lattices of kT and abundance."""

import numpy as np
import pytest
from scipy.special import xlogy

import spectral_scenes as scenes
from chandra_bin.spectral import BinSpectra, FitOptions, Templates, fit_bins

OPTIONS = FitOptions(min_counts_abundance=0, abundance_min=-3)
ENDS = tuple(f"{name}_{side}" for name in ("kt", "abundance", "norm") for side in ("low", "high"))


def least_over_norm(counts, lines):
    """The C-statistic of counts for lines (..., channels) of norm 1 with the best norm, infinite for negative lines."""
    norm = counts.sum() / lines.sum(axis=-1)
    expected = np.maximum(norm[..., None] * lines, 1e-300)
    each = expected - counts + xlogy(counts, counts / expected)
    return np.where((lines > 0).all(axis=-1), 2 * each.sum(axis=-1), np.inf)


def outermost(values, rise):
    """The first and the last place where the rise passes 1."""
    below = np.flatnonzero(rise < 1)
    return tuple(np.interp(1, rise[[inner, outer]], values[[inner, outer]])
                 for inner, outer in ((below[0], below[0] - 1), (below[-1], below[-1] + 1)))


def dense_ends(spectra, made, fit, k):
    """The errors of a bin of one data set without background, in the order of ENDS."""
    first, last = spectra.weight_offsets[k:k + 2]
    weight = spectra.weight[first:last] * spectra.exposure_s[k]
    low, high = fit.kt[k] - 3 * fit.kt_low[k], fit.kt[k] + 3 * fit.kt_high[k]
    points = made.kt_kev[(made.kt_kev > low) & (made.kt_kev < high)]
    kt = np.union1d(np.linspace(max(low, made.kt_kev[0]), min(high, made.kt_kev[-1]), 150), points)
    abundance = np.linspace(fit.abundance[k] - 2 * fit.abundance_low[k], fit.abundance[k] + 2 * fit.abundance_high[k],
                            101)
    mixed = np.array([np.einsum("r,rpc->pc", weight, scenes.interpolated(made, at)[spectra.weight_response[first:last]])
                      for at in kt])
    counts = spectra.counts[k]
    rise = np.array([least_over_norm(counts, mixed[:, 0] + z * mixed[:, 1]) for z in abundance]) - fit.statistic[k]
    assert rise.min() > -1e-3  # else the fit has missed the minimum
    # For given kT and Z the statistic rises by 2 S (u - 1 - ln u) where the norm is u times its best value.
    near = rise < 1
    total = counts.sum()
    best = (total / np.add.outer(np.zeros(abundance.size), mixed[:, 0].sum(axis=1))
            / (1 + np.outer(abundance, mixed[:, 1].sum(axis=1) / mixed[:, 0].sum(axis=1))))[near]
    norms = []
    for sign in (-1, 1):
        u = 1 + sign * np.sqrt((1 - rise[near]) / total)
        for _ in range(20):
            u -= (2 * total * (u - 1 - np.log(u)) - (1 - rise[near])) / (2 * total * (1 - 1 / u))
        norms.append(sign * (sign * u * best).max())
    ends = (*outermost(kt, rise.min(axis=0)), *outermost(abundance, rise.min(axis=1)), *norms)
    middle = np.repeat([fit.kt[k], fit.abundance[k], fit.norm[k]], 2)
    return np.abs(np.array(ends) - middle)


@pytest.mark.parametrize(("temperatures", "net", "places"), [
    (6, 5000.0, (0, 1, 21)),  # in one of three the norm of the next segment reaches 2.6 times as far
    (8, 1000.0, (0, 1, 4, 14, 18)),
    (12, 1000.0, (4, 13, 17)),
])
def test_errors_reach_into_the_segment_beyond_a_table_point(temperatures, net, places):
    made = scenes.templates(temperatures, 3)
    spectra, _ = scenes.draw(made, np.full(40, net), seed=3, background=0, sets=1)
    fit = fit_bins(spectra, made, OPTIONS)
    for k in places:
        errors = [getattr(fit, end)[k] for end in ENDS]
        np.testing.assert_allclose(errors, dense_ends(spectra, made, fit, k), rtol=0.012, err_msg=str(k))


@pytest.mark.parametrize("place", [19, 21])
def test_an_error_of_kt_reaches_beyond_a_table_point_that_fits_badly(place):
    """The statistic is above the limit at one table point alone, where the templates have a ripple."""
    made = scenes.templates(48, 1, low=2, high=8)
    rates = np.array(made.rates)
    rates[:, place] *= 1 + 0.06 * np.sin(np.linspace(0, 40, scenes.CHANNELS))
    bent = Templates(made.kt_kev, rates, made.first_channel, True, "bent")
    expected = made.rates[0, 20, 0] + 0.4 * made.rates[0, 20, 1]
    spectra = BinSpectra(bin=[0], counts=1500 * expected[None] / expected.sum(), exposure_s=[1e5],
                         weight_offsets=[0, 1], weight_response=[0], weight=[1.0])
    fit = fit_bins(spectra, bent, OPTIONS)
    errors = [getattr(fit, end)[0] for end in ENDS]
    np.testing.assert_allclose(errors, dense_ends(spectra, bent, fit, 0), rtol=0.012)
    beyond = fit.kt[0] + fit.kt_high[0] if place > 20 else fit.kt[0] - fit.kt_low[0]
    assert (beyond - bent.kt_kev[place]) * (place - 20) > 0
