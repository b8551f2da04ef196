"""Fits whose column density or redshift is tied over all bins or free in each, against the truth and plain searches."""

import dataclasses

import numpy as np
import pytest
from scipy.optimize import minimize

import spectral_scenes as scenes
from chandra_bin.errors import InputError
from chandra_bin.spectral import FitOptions, fit_bins, predicted_counts, varied
from chandra_bin.spectral.backgrounds import background_model
from chandra_bin.spectral.engines import ABUNDANCE, KT, MEMBERS, NORM, STATISTIC, Rows
from chandra_bin.spectral.fit_kernel import KernelEngine
from test_spectral_fit import least_over_amount

FAMILY = scenes.family()
EVERY = {"min_counts_abundance": 0, "min_counts_free": 0}
COLUMNS = np.random.default_rng(8).uniform(0.02, 0.3, 30)


@pytest.fixture(scope="module")
def free_nh():
    spectra, truth = scenes.draw_varied(FAMILY, COLUMNS, "nh")
    return spectra, truth, fit_bins(spectra, FAMILY, FitOptions(nh_is="free", **EVERY), threads=2)


def pulls(fit, truth, quantity):
    off = getattr(fit, quantity) - truth[quantity]
    made = off / np.where(off > 0, getattr(fit, f"{quantity}_low"), getattr(fit, f"{quantity}_high"))
    return made[np.isfinite(made)]


def check_pulls(fit, truth, quantities, rms=(0.7, 1.35)):
    for quantity in quantities:
        pull = pulls(fit, truth, quantity)
        assert pull.size > 0.8 * fit.bin.size, quantity
        assert abs(pull.mean()) < 0.5, quantity
        assert rms[0] < pull.std() < rms[1], quantity


def test_a_free_column_density_is_the_simulated_one(free_nh):
    _, truth, fit = free_nh
    assert fit.good().sum() > 27
    assert (fit.nh_is, fit.redshift_is) == ("free", "fixed")
    check_pulls(fit, truth, ("nh", "kt", "abundance", "norm"))
    assert (fit.redshift == 0.1).all()
    assert np.isnan(fit.redshift_low).all()


def test_errors_of_all_parameters_hold_the_uncertainty_of_a_free_column_density(free_nh):
    """At each end the statistic has risen by 1 after all others, nH too, were fitted again by Nelder and Mead."""
    spectra, _, fit = free_nh
    model = background_model(spectra, "cstat")
    place = int(np.argmax(fit.kt_low / fit.kt))

    def statistic(kt, abundance, norm, nh):
        templates, total = FAMILY.at(nh=max(nh, 0.0)), 0.0
        for d in range(*spectra.offsets[place: place + 2]):
            source = predicted_counts(spectra, templates, d, (kt, abundance, norm))
            total += least_over_amount(spectra.counts[d], source, model.background[d, 0], model.band_counts[d, 0])
        return total

    best = np.array([getattr(fit, name)[place] for name in ("kt", "abundance", "norm", "nh")])
    assert statistic(*best) == pytest.approx(fit.statistic[place], abs=0.05)
    wide = fit_bins(spectra, FAMILY.at(nh=float(best[3])), FitOptions(**EVERY))
    assert fit.kt_high[place] > 1.1 * wide.kt_high[place]
    for p, name, side in ((0, "kt", "high"), (0, "kt", "low"), (2, "norm", "high"), (3, "nh", "low")):
        at = best.copy()
        at[p] += {"low": -1, "high": 1}[side] * getattr(fit, f"{name}_{side}")[place]
        others = [q for q in range(4) if q != p]

        def of(x, at=at, others=others):
            at[others] = x * best[others]
            return statistic(*at)

        least = minimize(of, [1.0, 1.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-3}).fun
        assert least - fit.statistic[place] == pytest.approx(fit.delta, abs=0.1), (name, side)


def test_covariance_and_ends_are_those_of_the_profile(free_nh):
    _, _, fit = free_nh
    ok = fit.good()
    np.testing.assert_allclose(fit.ends[ok, 0, 0], (fit.kt - fit.kt_low)[ok])
    np.testing.assert_allclose(fit.ends[ok, 3, 1], (fit.norm + fit.norm_high)[ok])
    relative = 0.5 * np.log((fit.kt + fit.kt_high) / (fit.kt - fit.kt_low))
    np.testing.assert_allclose(np.sqrt(fit.covariance[ok, 0, 0]) / relative[ok], 1, atol=0.2)


def test_a_tied_column_density_is_the_simulated_one_and_the_minimum_of_the_sum():
    spectra, truth = scenes.draw_varied(FAMILY, np.full(20, 0.12), "nh", net=2000)
    fit = fit_bins(spectra, FAMILY, FitOptions(nh_is="tied", min_counts_abundance=0), threads=2)
    assert np.unique(fit.nh).size == np.unique(fit.nh_low).size == 1
    assert abs(fit.nh[0] - 0.12) < 3 * fit.nh_low[0] < 0.03
    check_pulls(fit, truth, ("kt", "norm"))

    def total(nh):
        return fit_bins(spectra, FAMILY.at(nh=nh), FitOptions(min_counts_abundance=0)).statistic.sum()

    least = fit.statistic.sum()
    assert total(fit.nh[0] + fit.nh_high[0]) - least == pytest.approx(1, abs=0.1)
    assert total(fit.nh[0] - fit.nh_low[0]) - least == pytest.approx(1, abs=0.1)


def test_free_and_tied_redshifts_are_the_simulated_ones():
    redshifts = 0.1 + np.random.default_rng(2).uniform(-0.02, 0.02, 20)
    spectra, truth = scenes.draw_varied(FAMILY, redshifts, "redshift", net=20_000)
    fit = fit_bins(spectra, FAMILY, FitOptions(redshift_is="free", **EVERY), threads=2)
    check_pulls(fit, truth, ("redshift", "kt", "norm"), rms=(0.6, 1.5))
    assert np.median(fit.redshift_low) < 0.008
    spectra, _ = scenes.draw_varied(FAMILY, np.full(10, 0.107), "redshift", net=20_000)
    tied = fit_bins(spectra, FAMILY, FitOptions(redshift_is="tied", min_counts_abundance=0), threads=2)
    assert abs(tied.redshift[0] - 0.107) < 3 * tied.redshift_low[0] < 0.009
    assert "redshift 0.1" in tied.model


def test_bins_with_few_counts_keep_the_given_column_density():
    spectra, _ = scenes.draw_varied(FAMILY, [0.2, 0.2], "nh")
    few = np.where((spectra.bin == 0)[:, None], np.random.default_rng(1).binomial(spectra.counts.astype(int), 0.2),
                   spectra.counts)
    spectra = dataclasses.replace(spectra, counts=few)
    fit = fit_bins(spectra, FAMILY, FitOptions(nh_is="free", min_counts_free=2000))
    alone = fit_bins(spectra, FAMILY.given)
    assert fit.nh[0] == 0.05
    assert np.isnan(fit.nh_low[0])
    assert (fit.kt[0], fit.kt_high[0], fit.statistic[0]) == (alone.kt[0], alone.kt_high[0], alone.statistic[0])
    assert abs(fit.nh[1] - 0.2) < 4 * fit.nh_low[1]
    assert fit.statistic[1] < alone.statistic[1]


def test_a_column_density_at_its_limit_has_a_reason():
    spectra, _ = scenes.draw_varied(FAMILY, [0.23], "nh", net=10_000)
    fit = fit_bins(spectra, FAMILY, FitOptions(nh_is="free", nh_max=0.2, **EVERY))
    assert fit.reason.tolist() == ["nH at limit"]
    assert fit.nh[0] == 0.2
    assert np.isnan(fit.nh_high[0])
    assert np.isfinite(fit.nh_low[0])
    with pytest.warns(UserWarning, match="the tied nh is at a limit of the search, 0.2"):
        tied = fit_bins(spectra, FAMILY, FitOptions(nh_is="tied", nh_max=0.2))
    assert np.isnan(tied.nh_high[0])


class Recorder(KernelEngine):
    """The kernel, which records the column density, the bins and the rise of the statistic of each call."""

    def __init__(self):
        self.calls = []

    def fit(self, fits, templates, delta, progress):
        rows = super().fit(fits, templates, delta, progress)
        self.calls.append((templates.nh, delta, rows.values[:, 9]))
        return rows


def test_bins_are_fitted_again_at_a_value_only_where_its_statistic_is_near_the_least(free_nh):
    spectra, _, fit = free_nh
    engine = Recorder()
    again = fit_bins(spectra, FAMILY, FitOptions(nh_is="free", **EVERY), engine=engine)
    np.testing.assert_array_equal(again.kt_high, fit.kt_high)
    seen, repeated, near = {}, 0, 0
    for nh, delta, statistic in engine.calls[1:]:
        for k in np.flatnonzero(np.isfinite(delta)).tolist():
            assert (nh, k) not in seen or seen[nh, k] == 0 < delta[k]
            repeated += (nh, k) in seen
            seen[nh, k] = delta[k]
            if delta[k] > 0:
                near += statistic[k] - fit.statistic[k] < 5 * fit.delta
    with_errors = sum(each > 0 for each in seen.values())
    assert near > 0.7 * with_errors
    assert repeated < 0.5 * with_errors < 0.2 * len(seen)
    folded = [nh for nh, _, _ in engine.calls[1:]]
    assert len(folded) < 1.25 * len(set(folded))


class GivenStatistic:
    """An engine whose statistic is a function of the column density, the bin and whether errors are computed."""

    name = "given statistic"

    def __init__(self, statistic):
        self.statistic, self.fitted = statistic, {}

    def fit(self, fits, templates, delta, _progress):
        bins, with_errors = np.arange(delta.size), delta > 0
        values = np.full((delta.size, len(MEMBERS)), np.nan)
        for first, (low, value, high) in ((KT, (3.9, 4, 4.1)), (ABUNDANCE, (0.4, 0.5, 0.6)), (NORM, (0.9, 1, 1.1))):
            values[:, first] = value
            values[with_errors, first + 1: first + 3] = low, high
        values[:, STATISTIC] = self.statistic(templates.nh, bins, with_errors)
        values[np.isnan(delta)] = np.nan
        for place in np.flatnonzero(~np.isnan(delta)).tolist():
            self.fitted.setdefault(place, []).append(templates.nh)
        flags, evaluations = np.zeros((2, delta.size), np.int32)
        return Rows(values, flags, evaluations, np.full((fits.spectra.bin.size, 1), np.nan))


def fit_given(statistic, bins):
    spectra, _ = scenes.draw_varied(FAMILY, [0.1] * bins, "nh", sets=1)
    engine = GivenStatistic(statistic)
    return fit_bins(spectra, FAMILY, FitOptions(nh_is="free", **EVERY), engine=engine), engine.fitted


def test_the_values_of_a_bin_do_not_depend_on_the_number_of_its_neighbours():
    true, sigma = np.random.default_rng(3).uniform(0.02, 0.9, 20), 4e-4
    fit, fitted = fit_given(lambda nh, bins, _errors: ((nh - true[bins]) / sigma) ** 2, 20)
    assert fit.reason.tolist() == ["ok"] * 20
    np.testing.assert_allclose(fit.nh, true, atol=0.02 * sigma)
    np.testing.assert_allclose([fit.nh_low, fit.nh_high], sigma, rtol=0.02)
    assert len(set().union(*fitted.values())) > 200 > 5 * max(len(set(each)) for each in fitted.values())


def test_a_lower_minimum_that_a_fit_with_errors_meets_is_searched():
    """The fit without errors at 0.25, a value of the first search, misses a narrow valley there."""
    def statistic(nh, _bins, with_errors):
        wide, narrow = ((nh - 0.23) / 0.05) ** 2, ((nh - 0.252) / 0.004) ** 2 - 40
        return np.where(with_errors | (nh != 0.25), np.minimum(wide, narrow), wide)

    fit, _ = fit_given(statistic, 1)
    assert fit.reason.tolist() == ["ok"]
    assert fit.nh[0] == pytest.approx(0.252, abs=1e-4)
    assert [fit.nh_low[0], fit.nh_high[0]] == pytest.approx([0.004] * 2, rel=0.02)


def test_bins_whose_profile_stays_coarse_have_a_reason(monkeypatch):
    monkeypatch.setattr(varied, "_MOST_OF_BIN", 12)
    sigma = np.array([0.1, 1e-3])
    with pytest.warns(UserWarning, match="the statistic of 1 bin, the first is 1, is not known well after fits at 12 "
                                         "values of nh: errors of nh are left out"):
        fit, fitted = fit_given(lambda nh, bins, _errors: ((nh - 0.3) / sigma[bins]) ** 2, 2)
    assert fit.reason.tolist() == ["ok", "nH coarse"]
    assert fit.good().tolist() == [True, False]
    assert len(set(fitted[1])) == 12
    assert np.isnan([fit.nh_low[1], fit.nh_high[1]]).all()
    assert fit.reasons(1) == ["nH coarse"]
    assert fit.is_given("nh").tolist() == [False, False]


@pytest.mark.parametrize(("statistic", "message"), [
    (lambda nh, _bins, _errors: 50.0 * (nh > 0.33) + ((nh - 0.32) / 0.1) ** 2,
     "changes by more than 2 times the rise of errors between values of nh that are 0.0001 apart"),
    (lambda nh, _bins, _errors: np.nan if 0.252 < nh < 0.39 else ((nh - 0.3) / 0.03) ** 2,
     "could not be found at a value of nh near its minimum"),
])
def test_the_warning_of_a_coarse_profile_states_its_cause(statistic, message):
    with pytest.warns(UserWarning, match=f"the statistic of 1 bin, the first is 0, {message}: errors of nh are left"):
        fit, _ = fit_given(statistic, 1)
    assert fit.reason.tolist() == ["nH coarse"]


@pytest.mark.full
def test_each_of_300_bright_bins_has_errors_of_its_column_density():
    columns = np.random.default_rng(2).uniform(0.01, 0.5, 300)
    spectra, truth = scenes.draw_varied(FAMILY, columns, "nh", net=1e5)
    fit = fit_bins(spectra, FAMILY, FitOptions(nh_is="free"), threads=2)
    assert fit.reason.tolist() == ["ok"] * 300
    check_pulls(fit, truth, ("nh", "kt", "norm"), rms=(0.85, 1.15))


def test_threads_and_progress_change_nothing(free_nh):
    spectra, _, fit = free_nh
    seen = []
    again = fit_bins(spectra, FAMILY, FitOptions(nh_is="free", **EVERY), progress=seen.append)
    np.testing.assert_array_equal(again.kt_high, fit.kt_high)
    np.testing.assert_array_equal(again.nh, fit.nh)
    assert seen == sorted(seen)
    assert 0 <= seen[0] < seen[-1] <= 1


@pytest.mark.parametrize(("options", "message"), [
    ({"nh_is": "tied", "redshift_is": "free"}, "nh_is is 'tied' and redshift_is is 'free': vary one of them"),
    ({"nh_is": "loose"}, "nh_is is 'loose': it must be 'fixed' or 'tied' or 'free'"),
    ({"nh_max": 0}, "nh_max is 0: it must be above 0"),
    ({"nh_max": float("nan")}, "nh_max is nan: it must be above 0"),
    ({"redshift_within": -0.1}, "redshift_within is -0.1: it must be above 0"),
])
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        FitOptions(**options)


def test_what_cannot_vary_is_refused(free_nh):
    spectra, _, _ = free_nh
    with pytest.raises(InputError, match="nh_is is 'free', and the templates have one nh: give a TemplateFamily"):
        fit_bins(spectra, FAMILY.given, FitOptions(nh_is="free"))
    with pytest.raises(InputError, match=r"nh is 0\.05: it must not be above nh_max, 0.01"):
        fit_bins(spectra, FAMILY, FitOptions(nh_is="free", nh_max=0.01))
    with pytest.raises(InputError, match="nh_is is 'tied', and no bin has enough counts: fix it"):
        fit_bins(spectra, FAMILY, FitOptions(nh_is="tied", min_significance=1e4))
