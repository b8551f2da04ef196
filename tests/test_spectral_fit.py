"""Fits of bins: against the truth of simulated spectra, an independent minimiser, and plain sums."""

import dataclasses
import signal
import threading
import time

import numpy as np
import pytest
from scipy.optimize import brentq, minimize

import spectral_scenes as scenes
from chandra_bin.errors import InputError
from chandra_bin.spectral import BinSpectra, FitOptions, Templates, cstat, fit_bins, predicted_counts, wstat
from chandra_bin.spectral.backgrounds import background_model
from chandra_bin.spectral.statistics import channel_groups

MADE = scenes.templates()
SPECTRA, _ = scenes.draw(MADE, np.full(24, 2000.0))
FREE = FitOptions(min_counts_abundance=0)
QUANTITIES = ("kt", "abundance", "norm")


def least_over_amount(counts, source, background, off):
    """The C-statistic of a spectrum and its background file, minimised over the amount of the background."""
    def slope(amount):
        return (background * (1 - counts / (source + amount * background))).sum() + off * (1 - 1 / amount)

    if off == 0:
        return cstat(counts, source).sum()
    amount = brentq(slope, 1e-3, 50)
    return cstat(counts, source + amount * background).sum() + cstat(off, amount * off)


def statistic_of(spectra, made, name, k):
    """The statistic of the k-th bin as a function of its parameters, by plain sums over its data sets."""
    model = background_model(spectra, name)

    def of(parameters):
        total = 0.0
        for d in range(*spectra.offsets[k : k + 2]):
            source = predicted_counts(spectra, made, d, parameters)
            if model.statistic[d] == 0:
                total += least_over_amount(spectra.counts[d], source, model.background[d, 0], model.band_counts[d, 0])
            else:
                counts, off, expected = (np.bincount(model.groups[d], each) for each in
                                         (spectra.counts[d], spectra.off_counts[d], source))
                total += wstat(counts, off, expected, spectra.off_ratio[d]).sum()
        return total

    return of


def minimised(of, start):
    """The least statistic and its parameters, by Nelder and Mead."""
    x = np.array([np.log(start[0]), start[1], np.log(start[2])])
    for _ in range(2):
        found = minimize(lambda x: of((np.exp(x[0]), x[1], np.exp(x[2]))), x, method="Nelder-Mead",
                         options={"xatol": 1e-4, "fatol": 1e-4, "maxiter": 2000})
        x = found.x
    return found.fun, np.array([np.exp(x[0]), x[1], np.exp(x[2])])


def pulls(fit, truth, quantity):
    low, high = getattr(fit, f"{quantity}_low"), getattr(fit, f"{quantity}_high")
    off = getattr(fit, quantity) - truth[quantity]
    return off / np.where(off > 0, low, high)


@pytest.mark.parametrize("name", ["cstat", "wstat"])
def test_the_statistic_is_the_plain_sum(name):
    fit = fit_bins(SPECTRA, MADE, FitOptions(statistic=name))
    for k in range(0, 24, 7):
        expected = statistic_of(SPECTRA, MADE, name, k)((fit.kt[k], fit.abundance[k], fit.norm[k]))
        assert fit.statistic[k] == pytest.approx(expected, rel=1e-10)


def check_against_nelder_mead(spectra, made, name, places):
    fit = fit_bins(spectra, made, FitOptions(statistic=name, min_counts_abundance=0, abundance_min=-3))
    for k in places:
        least, at = minimised(statistic_of(spectra, made, name, k),
                              (fit.kt[k] * 1.1, fit.abundance[k] + 0.1, fit.norm[k] * 0.95))
        assert fit.statistic[k] < least + 0.02
        if fit.statistic[k] > least - 0.02:  # else it stopped at a kink
            assert abs(fit.kt[k] - at[0]) < 0.02 * np.nanmin([fit.kt_low[k], fit.kt_high[k]])


@pytest.mark.parametrize("name", ["cstat", "wstat"])
def test_the_minimum_is_that_of_an_independent_minimiser(name):
    check_against_nelder_mead(SPECTRA, MADE, name, (3, 17))


@pytest.mark.full
@pytest.mark.parametrize("name", ["cstat", "wstat"])
def test_the_minima_of_24_bins_are_those_of_an_independent_minimiser(name):
    check_against_nelder_mead(SPECTRA, MADE, name, range(24))


def test_errors_are_where_the_profile_has_risen_by_delta():
    fit = fit_bins(SPECTRA, MADE, FREE)
    best = np.array([fit.kt[0], fit.abundance[0], fit.norm[0]])
    at_bin = statistic_of(SPECTRA, MADE, "cstat", 0)
    for p, quantity in enumerate(QUANTITIES):
        for sign, side in ((-1, "low"), (1, "high")):
            at = best.copy()
            at[p] += sign * getattr(fit, f"{quantity}_{side}")[0]
            others = [q for q in range(3) if q != p]

            def of(x, at=at, others=others):
                at[others] = x * best[others]
                return at_bin(at)

            least = minimize(of, [1.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-4}).fun
            assert least - fit.statistic[0] == pytest.approx(fit.delta, abs=0.02)


def test_the_ends_hold_the_other_parameter_fitted_again():
    fit = fit_bins(SPECTRA, MADE)
    ok = fit.good()
    np.testing.assert_allclose(fit.ends[ok, 0, 0], (fit.kt - fit.kt_low)[ok])
    np.testing.assert_allclose(fit.ends[ok, 3, 1], (fit.norm + fit.norm_high)[ok])
    correlation = fit.covariance[:, 0, 2] / np.sqrt(fit.covariance[:, 0, 0] * fit.covariance[:, 2, 2])
    moved = np.log(fit.ends[:, 1, 1] / fit.norm) / np.sqrt(fit.covariance[:, 2, 2])
    assert np.corrcoef(correlation[ok], moved[ok])[0, 1] > 0.8


@pytest.mark.parametrize("name", ["cstat", "wstat", "chi2"])
def test_pulls_of_simulated_bins(name):
    spectra, truth = scenes.draw(MADE, np.full(60, 4000.0), seed=3)
    fit = fit_bins(spectra, MADE, FitOptions(statistic=name), threads=2)
    assert np.count_nonzero(fit.good()) > 55
    for quantity in QUANTITIES:
        pull = pulls(fit, truth, quantity)
        pull = pull[np.isfinite(pull)]
        assert abs(pull.mean()) < 0.4
        assert 0.75 < pull.std() < 1.3
    assert abs(np.nanmean(fit.goodness)) < (0.5 if name == "cstat" else 2)
    assert not np.isnan(fit.kt[fit.reason == "ok"]).any()


def test_threads_change_nothing():
    one, four = (fit_bins(SPECTRA, MADE, threads=threads) for threads in (1, 4))
    for name in ("kt", "kt_low", "abundance", "abundance_high", "norm", "statistic", "covariance", "ends", "flags"):
        np.testing.assert_array_equal(getattr(one, name), getattr(four, name))


def asimov(made, kt, abundance=0.4, net=1e4):
    """A bin of the counts that are expected, not drawn."""
    rates = scenes.interpolated(made, kt)[0]
    expected = rates[0] + abundance * rates[1]
    norm = net / expected.sum() / 1e5
    return BinSpectra(bin=[0], counts=norm * 1e5 * expected[None], exposure_s=[1e5], weight_offsets=[0, 1],
                      weight_response=[0], weight=[1.0]), norm


@pytest.mark.parametrize("temperatures", [48, 90])
@pytest.mark.parametrize("net", [1e3, 1e5, 1e7])
def test_kinks_at_table_points_stop_no_fit(temperatures, net):
    made = scenes.templates(temperatures, 1)
    for j in (5, temperatures // 3, temperatures // 2, temperatures - 12):
        for part in (0, 0.3, 0.5, 0.999):
            kt = made.kt_kev[j] + part * (made.kt_kev[j + 1] - made.kt_kev[j])
            spectra, norm = asimov(made, kt, net=net)
            fit = fit_bins(spectra, made, FREE)
            assert not {"no minimum", "degenerate", "kT at limit"} & set(fit.reasons(0))
            assert fit.statistic[0] < 1e-4
            error = np.sqrt(fit.covariance[0, 0, 0]) * kt
            assert abs(fit.kt[0] - kt) < 0.02 * error
            assert abs(fit.abundance[0] - 0.4) < 0.02 * np.sqrt(fit.covariance[0, 1, 1])
            assert abs(np.log(fit.norm[0] / norm)) < 0.02 * np.sqrt(fit.covariance[0, 2, 2])
            assert fit.evaluations[0] < 800
            for side in (fit.kt_low, fit.kt_high):
                assert np.isnan(side[0]) or 0.5 * error < side[0] < 3 * error


def test_a_minimum_at_a_kink_is_found():
    """A table point with a ripple, and data with more of it: on both sides the model loses the ripple."""
    made = scenes.templates(48, 1)
    kinked = np.array(made.rates)
    j = 20
    ripple = np.sin(np.linspace(0, 40, scenes.CHANNELS))
    kinked[:, j] *= 1 + 0.05 * ripple
    bent = Templates(made.kt_kev, kinked, made.first_channel, True, "bent")
    spectra, _ = asimov(bent, bent.kt_kev[j], net=1e6)
    noisy = BinSpectra(bin=[0], counts=spectra.counts * (1 + 0.04 * ripple),
                       exposure_s=[1e5], weight_offsets=[0, 1], weight_response=[0], weight=[1.0])
    fit = fit_bins(noisy, bent, FREE)
    assert "no minimum" not in fit.reasons(0)
    at = (fit.kt[0], fit.abundance[0], fit.norm[0])
    assert at[0] == bent.kt_kev[j]
    of = statistic_of(noisy, bent, "cstat", 0)
    for factor in (0.99, 0.999, 1.001, 1.01):
        assert of((at[0] * factor, *at[1:])) > fit.statistic[0]
    least, _ = minimised(of, at)
    assert fit.statistic[0] < least + 1e-3


def changed(**new):
    old = {name: getattr(SPECTRA, name) for name in ("bin", "counts", "exposure_s", "weight_offsets", "weight_response",
                                                     "weight", "off_counts", "off_ratio", "group")}
    return BinSpectra(**(old | new))


def test_bins_without_counts_and_of_background_only():
    counts = SPECTRA.counts.copy()
    counts[SPECTRA.bin == 0] = 0
    rng = np.random.default_rng(2)
    counts[SPECTRA.bin == 1] = rng.poisson(SPECTRA.off_counts[SPECTRA.bin == 1] / 10)
    fit = fit_bins(changed(counts=counts), MADE)
    assert fit.reason[:2].tolist() == ["too few counts", "too few counts"]
    assert "background dominated" in fit.reasons(1)
    assert np.isnan(fit.kt[:2]).all()
    assert not fit.good()[:2].any()


def test_data_sets_that_see_nothing_or_lack_a_response_are_left_out():
    alone = fit_bins(SPECTRA, MADE)
    weight, response = SPECTRA.weight.copy(), SPECTRA.weight_response.copy()
    weight[:2] = 0
    unseen = fit_bins(changed(weight=weight), MADE)
    response[0] = -1
    missing = fit_bins(changed(weight_response=response), MADE)
    assert unseen.kt[0] == missing.kt[0] != alone.kt[0]
    assert "response missing" in missing.reasons(0)
    assert unseen.reasons(0) == [each for each in missing.reasons(0) if each != "response missing"]
    np.testing.assert_array_equal(unseen.kt[1:], alone.kt[1:])
    response[:6] = -1
    gone = fit_bins(changed(weight_response=response), MADE)
    assert gone.reason[0] == "no data"
    assert np.isnan(gone.kt[0])
    exposure = SPECTRA.exposure_s.copy()
    exposure[:3] = 0
    assert fit_bins(changed(exposure_s=exposure), MADE).reason[0] == "no data"


def test_one_data_set_and_no_background():
    spectra, truth = scenes.draw(MADE, np.full(10, 5000.0), background=0, sets=1)
    fit = fit_bins(spectra, MADE)
    assert (abs(pulls(fit, truth, "kt")) < 4).all()
    assert np.all(fit.background_counts == 0)
    assert fit_bins(spectra, MADE, FitOptions(statistic="wstat")).statistic == pytest.approx(fit.statistic)


def test_temperatures_at_a_limit_have_one_sided_errors():
    spectra, _ = scenes.draw(MADE, [5000.0, 5000.0], truth=(np.array([8.0, 1.5]), np.array([0.3, 0.3])))
    fit = fit_bins(spectra, MADE, FitOptions(kt_min=2, kt_max=5))
    assert fit.reason.tolist() == ["kT at limit", "kT at limit"]
    assert fit.kt.tolist() == [5, 2]
    assert np.isnan([fit.kt_high[0], fit.kt_low[1]]).all()
    assert np.all(np.array([fit.kt_low[0], fit.kt_high[1]]) > 0)


def test_abundances_are_fixed_where_counts_are_few_or_the_model_has_none():
    spectra, _ = scenes.draw(MADE, [300.0, 3000.0])
    fit = fit_bins(spectra, MADE)
    assert fit.abundance_fixed.tolist() == [True, False]
    assert fit.abundance[0] == 0.3
    assert np.isnan(fit.abundance_low[0])
    assert fit.covariance[0, 1].tolist() == [0, 0, 0]
    fixed = fit_bins(spectra, MADE, FitOptions(abundance=0.5))
    assert fixed.abundance.tolist() == [0.5, 0.5]
    plain = scenes.templates(has_abundance=False)
    without = fit_bins(spectra, plain)
    unsaid = fit_bins(spectra, Templates(plain.kt_kev, plain.rates, 1, True, "no lines"), FREE)
    for each in (without, unsaid):
        assert each.abundance_fixed.all()
        assert np.isnan(each.abundance).all()
        assert np.isfinite(each.kt_high[1])
    np.testing.assert_array_equal(without.kt, unsaid.kt)


def test_parameters_that_the_data_cannot_tell_apart_are_said():
    one = Templates(MADE.kt_kev, np.repeat(MADE.rates[:1, ..., 100:101], 3, axis=0), 1, False, "one channel")
    spectra = changed(counts=SPECTRA.counts.sum(axis=1, keepdims=True),
                      off_counts=SPECTRA.off_counts.sum(axis=1, keepdims=True))
    fit = fit_bins(spectra, one)
    assert set(fit.reason) <= {"degenerate", "kT at limit"}
    assert not fit.good().any()


def test_a_second_minimum_is_said():
    """Above 3 keV the table goes back to the spectra of lower temperatures."""
    made = scenes.templates(61, 1)
    mirrored = np.concatenate([made.rates[:, :31], made.rates[:, 29::-1]], axis=1)
    folded = Templates(made.kt_kev, mirrored, 1, True, "mirrored")
    spectra, _ = asimov(folded, made.kt_kev[12], net=3e4)
    fit = fit_bins(spectra, folded, FREE)
    assert fit.reason.tolist() == ["second minimum"]
    assert abs(fit.second_delta[0]) < 0.5
    at = sorted([fit.kt[0], fit.second_kt[0]])
    np.testing.assert_allclose(at, [made.kt_kev[12], made.kt_kev[48]], rtol=0.01)


def test_the_table_has_units_and_every_nan_a_reason():
    spectra, _ = scenes.draw(MADE, np.geomspace(20, 5000, 20), background=1.0)
    fit = fit_bins(spectra, MADE)
    table = fit.table
    assert str(table["kt"].unit) == "keV"
    assert len(table) == 20
    assert table.meta["STATISTIC"] == "cstat"
    for name in ("kt", "norm", "statistic", "expected", "goodness"):
        assert np.isfinite(np.asarray(table[name])[fit.good()]).all(), name
    for name in ("kt_low", "kt_high", "norm_low", "norm_high"):
        assert np.isfinite(np.asarray(table[name])[fit.reason == "ok"]).all(), name


def test_backgrounds_whose_pooled_shape_is_noisy_are_fitted_by_w():
    spectra, _ = scenes.draw(MADE, [1000.0], background=2.0, off_times=1.0)
    model = background_model(spectra, "cstat")
    assert (model.statistic == 1).all()
    for groups, off in zip(model.groups, spectra.off_counts, strict=True):
        assert np.bincount(groups, off).min() >= 3
    assert (background_model(SPECTRA, "cstat").statistic == 0).all()
    many, _ = scenes.draw(MADE, np.full(10, 1000.0), background=2.0, off_times=1.0)
    assert (background_model(many, "cstat").statistic == 0).all()


def test_amounts_of_backgrounds_are_fitted_with_what_their_files_tell():
    """A background file that is as short as the spectrum does not fix the amount: the errors of the norm hold it."""
    spectra, truth = scenes.draw(MADE, np.full(60, 2000.0), background=2.0, off_times=1.0, seed=9)
    fit = fit_bins(spectra, MADE, threads=2)
    model = background_model(spectra, "cstat")
    expected = model.expected(fit.background_amounts).sum(axis=1)
    true = np.array([2 * predicted_counts(spectra, MADE, d, [truth[name][bin] for name in QUANTITIES]).sum()
                     for d, bin in enumerate(spectra.bin)])
    assert np.all(np.isfinite(fit.background_amounts[np.repeat(fit.good(), 3)]))
    # The spectrum, too, tells the amount: it is known better than from the file alone.
    assert (expected - true).std() < 0.95 * (spectra.off_counts.sum(axis=1) - true).std()
    for quantity in QUANTITIES:
        pull = pulls(fit, truth, quantity)
        pull = pull[np.isfinite(pull)]
        assert abs(pull.mean()) < 0.4
        assert 0.75 < pull.std() < 1.3
    held = dataclasses.replace(spectra, off_counts=1e4 * spectra.off_counts, off_ratio=1e-4 * spectra.off_ratio)
    strict = fit_bins(held, MADE)
    np.testing.assert_allclose(strict.background_amounts[np.repeat(strict.good(), 3)], 1, atol=0.01)
    good = fit.good() & strict.good()
    assert np.nanmedian((fit.norm_high / strict.norm_high)[good]) > 1.03


def test_pooled_backgrounds_have_the_counts_of_each_data_set():
    model = background_model(SPECTRA, "cstat")
    np.testing.assert_allclose(model.background[:, 0].sum(axis=1), SPECTRA.off_counts.sum(axis=1) * SPECTRA.off_ratio)
    for group in range(3):
        of = SPECTRA.group == group
        shape = model.background[of, 0] / model.background[of, 0].sum(axis=1, keepdims=True)
        np.testing.assert_allclose(shape, np.broadcast_to(shape[0], shape.shape))
        assert 0.5 * abs(shape[0] - scenes.background_shape()).sum() < 0.1


def test_groups_hold_as_many_counts_as_asked_for():
    assert channel_groups(np.array([0, 2, 1, 0, 3, 1.0]), 3).tolist() == [0, 0, 0, 1, 1, 1]
    assert channel_groups(np.array([3, 3.0]), 3).tolist() == [0, 1]
    assert channel_groups(np.array([1.0, 0]), 3).tolist() == [0, 0]


@pytest.mark.parametrize(("new", "message"), [
    ({"counts": np.where(SPECTRA.counts > 3, np.nan, SPECTRA.counts)}, r"counts holds nan: it must be finite"),
    ({"counts": -SPECTRA.counts}, r"counts holds -.*not negative"),
    ({"counts": SPECTRA.counts[:, 0]}, r"counts must be 2-D"),
    ({"exposure_s": SPECTRA.exposure_s[1:]}, r"exposure_s has shape \(71,\), not \(72,\)"),
    ({"bin": SPECTRA.bin[::-1]}, r"bin must ascend"),
    ({"bin": SPECTRA.bin + 0.5}, r"bin must hold whole numbers"),
    ({"weight_offsets": SPECTRA.weight_offsets - 1}, r"weight_offsets must ascend from 0 to 144"),
    ({"weight_response": SPECTRA.weight_response - 5}, r"weight_response holds -5"),
    ({"off_ratio": SPECTRA.off_ratio * np.inf}, r"off_ratio holds inf"),
])
def test_spectra_that_cannot_be_are_refused(new, message):
    with pytest.raises(InputError, match=message):
        changed(**new)


def test_templates_and_limits_that_do_not_fit_are_refused():
    def with_templates(**new):
        old = {name: getattr(MADE, name) for name in ("kt_kev", "rates", "first_channel", "has_abundance", "model")}
        return Templates(**(old | new))

    for made, message in ((with_templates(rates=MADE.rates[..., 1:]), "445 channels, the templates 444"),
                          (with_templates(rates=MADE.rates[:1]), "templates have 1 responses"),
                          (with_templates(kt_kev=MADE.kt_kev[::-1]), "ascending"),
                          (with_templates(rates=MADE.rates * np.nan), "hold NaN"),
                          (with_templates(rates=MADE.rates[:, 1:]), "rates has shape")):
        with pytest.raises(InputError, match=message):
            fit_bins(SPECTRA, made)
    with pytest.raises(InputError, match="kt_min and kt_max are 20 and 30 keV"):
        fit_bins(SPECTRA, MADE, FitOptions(kt_min=20, kt_max=30))
    with pytest.raises(InputError, match="below kt_max"):
        FitOptions(kt_min=3, kt_max=2)
    with pytest.raises(InputError, match="statistic is 'chi'"):
        FitOptions(statistic="chi")


def test_progress_is_told_and_stops_the_fits():
    spectra, _ = scenes.draw(MADE, np.full(80, 3000.0))
    seen = []
    fit_bins(spectra, MADE, progress=seen.append)
    assert seen == sorted(seen)

    def stop(_):
        raise StopIteration("enough")

    with pytest.raises(StopIteration, match="enough"):
        fit_bins(spectra, MADE, progress=stop)


def test_ctrl_c_stops_the_fits():
    spectra, _ = scenes.draw(MADE, np.full(100, 3000.0), sets=9)
    timer = threading.Timer(0.05, signal.raise_signal, [signal.SIGINT])
    timer.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fit_bins(spectra, MADE, FitOptions(confidence=0.99))
    assert time.monotonic() - started < 3
    timer.join()


def test_an_empty_set_of_bins():
    fit = fit_bins(BinSpectra(bin=np.zeros(0, int), counts=np.zeros((0, scenes.CHANNELS)), exposure_s=[],
                              weight_offsets=[0], weight_response=np.zeros(0, int), weight=[]), MADE)
    assert fit.kt.size == 0
    assert len(fit.table) == 0
