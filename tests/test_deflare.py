"""Flares: CIAO's numbers on true flares, the rules of its two methods, and what the robust one promises."""

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chandra_bin.errors import ChandraBinWarning, InputError, NoQuietTime
from chandra_bin.events.deflare import clean, cut_flares, robust, sigma_clip
from chandra_bin.events.gti import GTI
from chandra_bin.events.lightcurve import LightCurve
from chandra_bin.events.lightcurve_files import read_light_curve
from test_lightcurve import REAL

LENGTH, LIVE = 259.28, 0.987


def curve_of(counts, exposure=None, length=100.0):
    counts = np.asarray(counts, float)
    exposure = np.full(counts.size, length) if exposure is None else np.asarray(exposure, float)
    edges = 5e8 + length * np.arange(counts.size + 1)
    rate = np.divide(counts, exposure, out=np.zeros(counts.size), where=exposure > 0)
    return LightCurve(edges[:-1], edges[1:], (edges[:-1] + edges[1:]) / 2, rate, exposure, counts.astype(np.int64))


def real_curve(shared, name):
    return read_light_curve(shared / f"data/sgra_lightcurves/{name}_lc300.fits.gz")


# What CIAO's deflare finds.

def test_clean_and_sigma_keep_what_they_keep_in_ciao(shared):
    curve = real_curve(shared, "15043_2-4keV")
    found = clean(curve)
    assert found.usable.sum() == 146
    assert found.kept == 35
    assert f"{found.low:.6f} {found.high:.6f}" == "0.005733 0.008256"
    assert sigma_clip(curve).within == 124


@pytest.mark.parametrize(("name", "fraction"), [("15043_4-8keV", "0.025"), ("22595_2-4keV", "0.034"),
                                                ("22595_4-8keV", "0.070")])
def test_where_clean_fails_the_robust_limits_are_used(shared, name, fraction):
    curve = real_curve(shared, name)
    with pytest.raises(NoQuietTime, match=f"= {fraction}, is below the limit 0.1"):
        clean(curve)
    with pytest.warns(ChandraBinWarning) as warned:
        found = cut_flares(curve)
    assert "the robust limits are used instead" in str(warned[0].message)
    assert found.method == "robust"
    assert found.failure.startswith("clean: the fraction of bins kept")
    assert found.within > 0.6 * (curve.exposure_s > 0).sum()


@pytest.mark.parametrize("name", REAL)
def test_robust_keeps_no_bin_of_a_true_flare(shared, name):
    curve = real_curve(shared, name)
    found = robust(curve, margin=0)
    excess = curve.counts - found.mean * curve.exposure_s
    assert (excess[found.good] < 5 * np.sqrt(curve.counts[found.good])).all()
    calm = np.abs(excess) <= 2 * np.sqrt(found.mean * curve.exposure_s)
    assert found.good[calm & (curve.exposure_s > 0)].mean() > 0.99


# The rules of clean.

def test_clean_by_hand():
    # The mean of the usable bins is 0.2, w is 100 s: the clip goes from 0.2 - 3 sqrt(0.2 / 100) = 0.066 to 0.334.
    curve = curve_of([11, 10, 11, 0, 80, 7, 11, 10])
    found = clean(curve)
    mean = np.mean([11, 10, 11, 7, 11, 10]) / 100
    assert found.mean == pytest.approx(mean)
    assert (found.low, found.high) == (pytest.approx(mean / 1.2), pytest.approx(mean * 1.2))
    assert found.good.tolist() == [True, True, True, False, False, False, True, True]
    assert found.gti == GTI.of(5e8 + np.array([0, 600.0]), 5e8 + np.array([300, 800.0]))
    assert clean(curve, mean=0.07).good.tolist() == [False] * 5 + [True, False, False]
    wide = clean(curve, mean=0.1, stddev=2)
    assert (wide.low, wide.high) == (0.1 - 2 * math.sqrt(0.1 / 100), 0.1 + 2 * math.sqrt(0.1 / 100))


def test_limits_are_strict():
    curve = curve_of([10, 12, 8])
    assert clean(curve, mean=0.1, scale=1.25).good.tolist() == [True, True, False]
    assert clean(curve, mean=0.1, scale=1.2).kept == 1
    with pytest.raises(NoQuietTime, match=r"no bin has a rate between 0.1 and 0.1 count/s"):
        clean(curve, mean=0.1, scale=1)


def test_wide_limits_take_empty_bins_as_ciao_does():
    found = clean(curve_of([1, 0, 1, 2, 0, 1]), stddev=3)
    assert found.low < 0
    assert found.good.all()
    assert found.kept == 6
    assert found.usable.sum() == 4


def test_the_widest_exposure_gives_the_noise():
    exposure = [100, 50, 50, 100]
    found = clean(curve_of([10, 5, 5, 10], exposure), stddev=1)
    assert found.high == pytest.approx(0.1 + math.sqrt(0.1 / 100))


def test_failures_of_clean_say_why():
    curve = curve_of([100] * 5 + [3000] * 5)
    with pytest.raises(NoQuietTime, match=r"no bin is within 3 sigma of the mean rate 15.5 count/s"):
        clean(curve)
    with pytest.raises(NoQuietTime, match=r"kept, 5 of 10 = 0.500, is below the limit 0.6"):
        clean(curve, mean=1, minfrac=0.6)


# The rules of sigma.

def test_sigma_by_hand():
    counts = [10, 12, 8, 11, 9, 10, 500, 60, 10, 12, 8, 11, 9, 10, 9, 11]
    found = sigma_clip(curve_of(counts))
    kept = np.array([c for c in counts if c < 50]) / 100
    assert found.mean == pytest.approx(kept.mean())
    assert found.high == pytest.approx(kept.mean() + 3 * kept.std())
    assert found.good.tolist() == [c < 50 for c in counts]
    assert len(found.gti) == 2


def test_short_runs_are_dropped_after_the_clipping():
    counts = [10, 11, 900, 10, 11, 12, 900, 9, 10, 11, 9, 10, 11, 10, 9, 10, 11]
    found = sigma_clip(curve_of(counts), sigma=2.3, minlength=3)
    assert found.within == 15
    assert found.good.tolist() == [False] * 3 + [True] * 3 + [False] + [True] * 10
    assert sigma_clip(curve_of(counts), sigma=2.3, minlength=1).kept == 15
    with pytest.raises(NoQuietTime, match="no run of bins reaches minlength, 11 bins"):
        sigma_clip(curve_of(counts), sigma=2.3, minlength=11)


def test_an_empty_bin_ends_a_run_but_comes_back_with_the_limits():
    counts = [2, 3, 1, 2, 0, 2, 4, 1, 3]
    assert sigma_clip(curve_of(counts), minlength=3).good.all()  # no run is short, and the lower limit is below 0
    assert not sigma_clip(curve_of([*counts, 2]), minlength=5).good[:5].any()
    assert sigma_clip(curve_of([*counts, 2]), minlength=5).good[5:].all()


def test_equal_rates_are_all_kept():
    assert sigma_clip(curve_of([5, 5, 5, 5])).good.all()


# What the robust method promises.

def simulated(rng, quiet, bins, part, strength, shape):
    """Counts, true flares and full bins' worth: Poisson around ``quiet`` counts a bin, flares on ``part`` of bins."""
    worth = np.ones(bins)
    worth[[0, -1, bins // 3]] = rng.uniform(0.05, 1, 3)
    flare = np.zeros(bins)
    lengths = np.diff(np.r_[0, np.sort(rng.integers(0, int(part * bins) + 1, 2)), int(part * bins)])
    gaps = rng.multinomial(bins - lengths.sum(), np.full(4, 0.25))
    at = 0
    for gap, length in zip(gaps, lengths, strict=False):
        at += gap
        x = (np.arange(length) + 0.5) / max(length, 1)
        profile = {"box": np.ones(length), "decay": np.exp(-3 * x), "hill": 1 - np.abs(2 * x - 1)}[shape]
        flare[at : at + length] = profile * strength * max(math.sqrt(quiet), 1) * rng.uniform(0.5, 1.5)
        at += length
    return rng.poisson((quiet + flare) * worth), flare > 0, worth


@pytest.mark.parametrize(("part", "shape"), [
    (0, "box"), *itertools.product((0.05, 0.25, 0.45), ("box", "decay", "hill"))])
@pytest.mark.parametrize("quiet", [0.5, 60, *(pytest.param(rate, marks=pytest.mark.full) for rate in (2, 10, 1000))])
def test_robust_keeps_quiet_bins_and_no_flare(quiet, part, shape):
    kept = total = 0
    for strength in (3, 6, 15, 50, 400):
        for seed in (0, 2, 4):
            rng = np.random.default_rng([seed, int(10 * quiet), int(100 * part), strength])
            counts, flaring, worth = simulated(rng, quiet, 40 * (1 + seed), part, strength, shape)
            found = robust(curve_of(counts, worth * LIVE * LENGTH, LENGTH), margin=0)
            significant = flaring & (counts - quiet * worth > 5 * np.sqrt(np.maximum(counts, 1)))
            assert not (significant & found.good).any()
            assert found.good[~flaring].mean() > (0.9 if counts.size > 80 else 0.8)  # of 22 bins three may be unlucky
            kept, total = kept + (found.good & ~flaring).sum(), total + (~flaring).sum()
    assert kept > 0.97 * total


def test_robust_widens_where_quiet_rates_scatter_more_than_noise():
    rng = np.random.default_rng(4)
    quiet = rng.poisson(1000 * np.exp(0.1 * rng.standard_normal(300)))  # a scatter three times the noise
    flare = rng.poisson(5000, 60)
    found = robust(curve_of(np.r_[quiet, flare]), margin=0)
    assert found.good[:300].mean() > 0.9
    assert not found.good[300:].any()


def test_robust_takes_empty_bins_for_quiet_ones_if_they_were_exposed():
    found = robust(curve_of([0, 1, 0, 2, 0, 1, 0, 0, 40, 0, 0], [100] * 10 + [0]), margin=0)
    assert found.good.tolist() == [True] * 8 + [False, True, False]


def test_robust_needs_no_exposures():
    curve = curve_of([10, 12, 8, 11, 9, 10, 90, 95, 10, 9])
    curve = LightCurve(curve.time_min, curve.time_max, curve.time, curve.rate)
    found = cut_flares(curve, "robust", margin=0)
    assert found.good.tolist() == [True] * 6 + [False] * 2 + [True] * 2
    assert found.failure == ""


@pytest.mark.parametrize(("margin", "cut"), [(0, [4, 5]), (1, [3, 4, 5, 6]), (2, [2, 3, 4, 5, 6, 7])])
def test_robust_cuts_the_bins_beside_a_flare(margin, cut):
    """A flare that fills a quarter of bins 3 and 6 stands out of the noise in neither."""
    found = robust(curve_of([41, 38, 44, 52, 90, 95, 51, 39, 40, 20, 42]), margin=margin)
    assert np.flatnonzero(~found.good).tolist() == [*cut, 9]  # a low bin has no flare beside it
    assert found.within == 8


def test_robust_refuses_a_negative_margin():
    with pytest.raises(InputError, match="margin is -1; it must be 0 or more bins"):
        robust(curve_of([1, 2]), margin=-1)


@pytest.mark.parametrize("quiet", [3, pytest.param(40, marks=pytest.mark.full), 200])
@pytest.mark.parametrize("method", ["clean", "sigma", "robust"])
def test_the_number_of_bins_that_noise_cuts_is_foreseen(method, quiet):
    """Without a flare, all that a method cuts is noise."""
    cut, foreseen = [], []
    for seed in range(20):
        worth = np.random.default_rng(seed).uniform(0.3, 1, 300) if method == "robust" else np.ones(300)
        curve = curve_of(np.random.default_rng([seed, 1]).poisson(quiet * worth), 100 * worth)
        found = {"clean": lambda curve: clean(curve, minfrac=0), "robust": robust,
                 "sigma": lambda curve: sigma_clip(curve, minlength=1)}[method](curve)
        cut.append(300 - found.kept)
        foreseen.append(found.cut_by_noise)
    error = 5 * np.sqrt(3 * np.mean(foreseen) / 20)  # a bin above the limit takes its two neighbours along
    assert np.mean(cut) == pytest.approx(np.mean(foreseen), abs=error + 0.05 * np.mean(foreseen))


@pytest.mark.parametrize("margin", [0, 1, 2, 9])
def test_margins_count_among_the_bins_that_noise_cuts(margin):
    """Bins at the ends have fewer neighbours, and a bin that was not exposed cuts none."""
    worth = np.array([1, 1, 1, 0, 1, 1, 1, 1])
    found = robust(curve_of([41, 42, 43, 0, 42, 41, 42, 43], 100 * worth), nsigma=1, margin=margin)
    counts = np.random.default_rng(margin).poisson(100 * found.mean * worth, (40_000, 8))
    above, below = counts > 100 * found.high, (counts < 100 * found.low) & (worth > 0)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(above, ((0, 0), (margin, margin))), 2 * margin + 1, axis=1)
    cut = (below | around.any(axis=-1)) & (worth > 0)
    assert found.cut_by_noise == pytest.approx(cut.sum() / len(counts), rel=0.01)


@given(hnp.arrays(np.int64, st.integers(2, 60), elements=st.integers(0, 2000)), st.floats(0.5, 6))
def test_robust_always_ends(counts, nsigma):
    counts[0] += 1
    try:
        found = robust(curve_of(counts), nsigma=nsigma)
    except NoQuietTime:
        return
    assert found.good.any()
    assert found.gti.total == pytest.approx(100 * found.kept)


@pytest.mark.parametrize("counts", [(1, 0, 0, 1, 0), (3,), (50,), (4000,)])
def test_limits_of_robust_go_on_where_quantiles_end(counts):
    curve = curve_of(np.tile(counts, 40))

    def limits(nsigma):
        found = robust(curve, nsigma=nsigma)
        return 100 * np.array([found.low, found.high])  # counts of a bin

    low, high = limits(5.0)
    mean = np.mean(counts)
    assert np.all(np.abs(limits(5.0001) - (low, high)) <= (max(1, 0.01 * mean), max(2, 0.01 * mean)))
    for nsigma in (8, 20, 100, 1e4):
        lower, higher = limits(nsigma)
        assert lower <= low
        assert higher > high


# What all share.

def test_neighbours_are_joined_over_gaps_of_rounding():
    edges = 5e8 + np.arange(4) * 0.1
    stop = edges[1:] - 5e-8
    curve = LightCurve(edges[:-1], stop, edges[:-1], np.array([1.0, 1.0, 1.0]), np.full(3, 1000.0))
    assert clean(curve).gti == GTI.of(edges[0], stop[-1])
    apart = LightCurve(edges[:-1], edges[1:] - 1e-3, edges[:-1], curve.rate, curve.exposure_s)
    assert len(clean(apart).gti) == 3


def test_few_counts_are_warned_of_with_a_better_length():
    curve = curve_of(np.random.default_rng(1).poisson(10, 400), length=100.0)
    with pytest.warns(ChandraBinWarning, match=r"quiescent bins have .* counts: .* exceeds the 20 %") as warned:
        cut_flares(curve)
    length = int(re.search(r"; bins of (\d+) s would have 25 counts", str(warned[0].message))[1])
    assert 230 < length < 270
    enough = curve_of(np.random.default_rng(1).poisson(2000, 400))
    assert cut_flares(enough).method == "clean"  # and no warning
    cut_flares(curve, stddev=3)
    cut_flares(curve, "sigma")


@pytest.mark.parametrize(("call", "text"), [
    (lambda c: clean(c, scale=0.9), "scale is 0.9; it must be 1 or more"),
    (lambda c: clean(c, minfrac=10), "minfrac is 10; it must be a fraction"),
    (lambda c: clean(c, mean=-1), "mean is -1; it must be above 0"),
    (lambda c: clean(c, mean=0), "mean is 0; it must be above 0"),
    (lambda c: clean(c, stddev=0), "stddev is 0; it must be above 0"),
    (lambda c: cut_flares(c, mean=0.0), "mean is 0; it must be above 0"),
    (lambda c: clean(c, nsigma=0), "nsigma is 0; it must be above 0"),
    (lambda c: clean(c, stddev=np.nan), "stddev is nan"),
    (lambda c: sigma_clip(c, sigma=-1), "sigma is -1"),
    (lambda c: sigma_clip(c, minlength=0), "minlength is 0"),
    (lambda c: robust(c, nsigma=np.inf), "nsigma is inf"),
    (lambda c: cut_flares(c, "median"), "unknown method 'median'; choose one of clean, sigma, robust"),
])
def test_wrong_parameters_are_refused(call, text):
    with pytest.raises(InputError, match=text):
        call(curve_of([10, 11, 10]))


@pytest.mark.parametrize("method", ["clean", "sigma", "robust"])
def test_curves_without_rates_are_refused(method):
    with pytest.raises(InputError, match="no rate above 0 in any of its 3 bins"):
        cut_flares(curve_of([0, 0, 0]), method)
    with pytest.raises(InputError, match="the light curve has 1 time bin; at least 2"):
        cut_flares(curve_of([5]), method)


def test_clean_needs_exposures():
    curve = curve_of([10, 10])
    for exposure, text in ((None, "has no column EXPOSURE"), (np.zeros(2), "has no exposure")):
        without = LightCurve(curve.time_min, curve.time_max, curve.time, curve.rate, exposure)
        with pytest.raises(InputError, match=text):
            cut_flares(without)
