"""Backgrounds of particles and sky whose shares vary over the field, against the truth of simulated spectra."""

import dataclasses

import numpy as np
import pytest
from scipy.optimize import minimize

import spectral_scenes as scenes
from chandra_bin.errors import InputError
from chandra_bin.spectral import FitOptions, fit_bins
from chandra_bin.spectral.background_shapes import one_shape, sky_varies, two_shapes
from chandra_bin.spectral.backgrounds import background_model
from chandra_bin.spectral.statistics import cstat

MADE = scenes.templates(40)
SHARES = np.linspace(0.1, 0.6, 60)
SPECTRA, TRUTH = scenes.draw(MADE, np.full(60, 3000.0), background=1.0, sets=2, sky=SHARES, seed=4)
FREE = FitOptions(min_counts_abundance=0)


def drawn_backgrounds(shares, total=4000.0, seed=2):
    """Counts of background spectra, their counts of 9 - 12 keV, and the expected counts of both."""
    rng = np.random.default_rng(seed)
    particles, soft = scenes.two_background_shapes()
    expected = total * ((1 - shares)[:, None] * particles + shares[:, None] * soft)
    hard = 0.8 * total * (1 - shares)
    return rng.poisson(expected).astype(float), rng.poisson(hard).astype(float), expected, hard


def test_two_shapes_describe_spectra_that_one_does_not():
    off, hard, expected, expected_hard = drawn_backgrounds(np.linspace(0.1, 0.6, 80))
    assert sky_varies(off, hard)
    shapes, found_hard = two_shapes(off, hard)
    found = shapes.sum(axis=0)
    assert (shapes >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), off.sum(axis=1), rtol=0.05)
    np.testing.assert_allclose(found_hard, expected_hard, rtol=0.1)

    def error(of):
        coarse = (each.reshape(80, -1, 5).sum(axis=2) for each in (of, expected))
        of, true = coarse
        return np.sqrt(((of - true) ** 2).sum() / (true**2).sum())

    assert error(found) < 0.04
    assert error(one_shape(off)) > 0.15


def test_a_share_of_the_sky_that_varies_by_noise_alone_needs_one_shape():
    for seed in range(5):
        off, hard, _, _ = drawn_backgrounds(np.full(80, 0.3), total=500.0, seed=seed)
        assert not sky_varies(off, hard)
    off, hard, _, _ = drawn_backgrounds(np.linspace(0.1, 0.6, 80))
    assert not sky_varies(off[:9], hard[:9])
    assert not sky_varies(off, np.zeros(80))


def by_share(fit):
    """Median of fitted over true kT, of bins with little and with much sky."""
    ratio = np.where(fit.good(), fit.kt, np.nan) / TRUTH["kt"]
    return np.nanmedian(ratio[SHARES < 0.25]), np.nanmedian(ratio[SHARES > 0.45])


def test_the_bias_of_kt_by_a_varying_sky_is_removed():
    assert background_model(SPECTRA, "cstat").background.shape[1] == 2
    together = dataclasses.replace(SPECTRA, off_hard=None)
    one, two = (fit_bins(each, MADE, FREE, threads=2) for each in (together, SPECTRA))
    little, much = by_share(one)
    assert little > 1.5
    assert much < 0.75
    np.testing.assert_allclose(by_share(two), 1, atol=0.08)
    for quantity in ("kt", "abundance", "norm"):
        off = getattr(two, quantity) - TRUTH[quantity]
        pull = off / np.where(off > 0, getattr(two, f"{quantity}_low"), getattr(two, f"{quantity}_high"))
        pull = pull[np.isfinite(pull)]
        assert pull.size > 50
        assert abs(pull.mean()) < 0.4
        assert 0.75 < pull.std() < 1.3
    assert abs(two.goodness.mean()) < 0.4 < abs(one.goodness.mean())
    assert two.background_amounts.shape == (120, 2)
    assert (two.background_amounts >= 0).all()
    assert abs(np.median(two.background_amounts) - 1) < 0.05


def test_groups_whose_sky_does_not_vary_keep_one_component():
    constant, _ = scenes.draw(MADE, np.full(30, 2000.0), background=1.0, sets=1, sky=np.full(30, 0.3), seed=5)
    varying, _ = scenes.draw(MADE, np.full(30, 2000.0), background=1.0, sets=1, sky=np.linspace(0.1, 0.6, 30), seed=5)
    joined = dataclasses.replace(
        varying, bin=np.arange(60), counts=np.concatenate([varying.counts, constant.counts]),
        weight_offsets=np.concatenate([varying.weight_offsets, constant.weight_offsets[1:] + varying.weight.size]),
        **{name: np.concatenate([getattr(varying, name), getattr(constant, name)]) for name in (
            "exposure_s", "weight_response", "weight", "off_counts", "off_ratio", "off_hard")},
        group=np.repeat([0, 1], 30))
    model = background_model(joined, "cstat")
    assert (model.background[:30, 1].sum(axis=1) > 0).all()
    assert not model.background[30:, 1].any()
    fit = fit_bins(joined, MADE)
    assert np.isfinite(fit.background_amounts[:30]).all()
    np.testing.assert_array_equal(np.isfinite(fit.background_amounts[30:]).all(axis=0), [True, False])
    alone = fit_bins(constant, MADE)
    np.testing.assert_allclose(fit.kt[30:], alone.kt, rtol=1e-6)
    np.testing.assert_allclose(fit.goodness[30:], alone.goodness, atol=1e-4)


def test_counts_of_particles_must_be_counts():
    with pytest.raises(InputError, match=r"off_hard has shape \(3,\), not \(120,\)"):
        dataclasses.replace(SPECTRA, off_hard=[1, 2, 3])
    with pytest.raises(InputError, match="off_hard holds -1"):
        dataclasses.replace(SPECTRA, off_hard=np.full(120, -1.0))


@pytest.mark.parametrize("components", [1, 2])
def test_amounts_for_given_source_counts_are_at_the_minimum(components):
    """Compared with a minimiser of scipy, on the statistic of the channels and of the bands."""
    spectra = SPECTRA if components == 2 else dataclasses.replace(SPECTRA, off_hard=None)
    model = background_model(spectra, "cstat").of(np.arange(5))
    counts = spectra.counts[:5]
    source = np.full(counts.shape, 0.4 * counts.mean())
    amounts = model.fitted_amounts(source, counts)
    assert amounts.shape == (5, components)
    for d in range(5):
        def statistic(logarithms, d=d):
            at = np.ones((5, components))
            at[d] = np.exp(logarithms)
            bands = model.used_bands[d]
            return (cstat(counts[d], source[d] + model.expected(at)[d]).sum()
                    + cstat(model.band_counts[d], model.expected_in_bands(at)[d])[bands].sum())

        found = minimize(statistic, np.zeros(components), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10})
        np.testing.assert_allclose(amounts[d], np.exp(found.x), rtol=1e-4)
        assert statistic(np.log(amounts[d])) <= found.fun + 1e-8


def test_amounts_of_other_statistics_are_not_fitted():
    model = background_model(SPECTRA, "wstat")
    assert np.isnan(model.fitted_amounts(np.ones(SPECTRA.counts.shape), SPECTRA.counts)).all()
    assert not model.used_bands.any()
