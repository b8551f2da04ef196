"""How well fits of bins and their errors agree with the truth, by statistic, background and counts.

The campaign of docs/explanation/validation.md: ``pytest -m long tests/test_campaign_fits.py`` prints its table. Spectra
are drawn from the templates that are fitted: this tests statistics and search, not physics.
"""

import numpy as np
import pytest

import spectral_scenes as scenes
from chandra_bin.spectral import FitOptions, fit_bins
from doc_tables import show

pytestmark = pytest.mark.long

BINS = 400
COUNTS = (300, 1000, 3000, 10_000)
# Statistic, background over net, background counts in the file over those in the spectrum.
WAYS = (("cstat", 0.15, 10), ("cstat", 1.0, 10), ("cstat", 5.0, 10), ("wstat", 0.15, 10), ("wstat", 1.0, 10),
        ("wstat", 5.0, 10), ("cstat", 1.0, 1), ("cstat", 5.0, 1), ("chi2", 0.15, 10))


def pulled(fit, truth, quantity, where):
    off = (getattr(fit, quantity) - truth[quantity])[where]
    low, high = getattr(fit, f"{quantity}_low")[where], getattr(fit, f"{quantity}_high")[where]
    # Beyond an open side lies everything.
    return off / np.where(off > 0, np.nan_to_num(low, nan=np.inf), np.nan_to_num(high, nan=np.inf))


@pytest.fixture(scope="module")
def campaign():
    made = scenes.templates(70)
    found = {}
    for way in WAYS:
        name, background, times = way
        for counts in COUNTS:
            spectra, truth = scenes.draw(made, np.full(BINS, float(counts)), background=background, off_times=times,
                                         seed=counts)
            options = FitOptions(statistic=name, max_background=1e9, min_counts_abundance=0)
            found[(*way, counts)] = fit_bins(spectra, made, options, threads=2), truth
    return found


def test_pulls_and_coverage(campaign, capsys):
    rows = []
    for (name, background, times, counts), (fit, truth) in campaign.items():
        good = np.isin(fit.reason, ["ok", "abundance open", "abundance at limit", "error open"])
        cells = []
        for quantity in ("kt", "abundance", "norm"):
            within = good & (fit.reason != "abundance at limit") if quantity == "abundance" else good
            pull = pulled(fit, truth, quantity, within)
            cells.append(f"{pull.mean():+.2f} / {pull.std():.2f} / {100 * np.mean(abs(pull) < 1):.0f} %")
            if name == "cstat" and times == 10 and background <= 1 and counts >= 3000:
                assert abs(pull.mean()) <= 0.2
                assert 0.85 < pull.std() < 1.15
                assert 0.6 < np.mean(abs(pull) < 1) < 0.76
        error = np.nanmedian(((fit.kt_low + fit.kt_high) / 2 / fit.kt)[good])
        rows.append([{"cstat": "C", "wstat": "W", "chi2": "χ²"}[name], background, times, counts, *cells,
                     f"{100 * error:.1f} %", f"{np.nanmean(fit.goodness):+.2f} / {np.nanstd(fit.goodness):.2f}",
                     np.count_nonzero(~good)])
    show(capsys, "Pulls: mean / rms / within 1 sigma", [
        "statistic", "background / net", "background counts, file / spectrum", "net counts", "kT", "Z", "norm",
        "kT error", "goodness, mean / rms", "at limit, or second minimum"], rows)
