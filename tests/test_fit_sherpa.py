"""Sherpa fits the same bins, with the responses that we write, the same model, and a minimiser of its own."""

import warnings

import numpy as np
import pytest

from chandra_bin.cli import run
from chandra_bin.spectral.fit_table import read_fit
from chandra_bin.spectral.models import ModelOptions, thermal_model
from test_cli_fit import EVENTS, FIT, cluster, copied, write_binmap  # noqa: F401 - fixtures

pytestmark = pytest.mark.full
OBSIDS = (90001, 90002)


def user_model():
    """norm, kT -> photons in energy bins: linear between the temperatures of the table, as XSPEC's apec is."""
    model = thermal_model(ModelOptions(model="brems", redshift=0.1, nh=0.05), (0.2, 25))  # the grid of `fit`
    known = {}

    def photons(parameters, low, high):
        kt, norm = parameters
        key = float(low[0]), len(low)
        if key not in known:
            known[key] = model.photons(np.append(low, high[-1]))[:, 0]
        above = int(np.clip(np.searchsorted(model.kt_kev, kt), 1, len(model.kt_kev) - 1))
        part = (kt - model.kt_kev[above - 1]) / (model.kt_kev[above] - model.kt_kev[above - 1])
        return 1e-3 * norm * ((1 - part) * known[key][above - 1] + part * known[key][above])

    return photons


def test_sherpa_finds_the_same_temperatures(copied, sherpa):  # noqa: F811
    """Of 20 bins, without a background, whose expected counts Sherpa's C-statistic has no place for."""
    write_binmap("core.fits", EVENTS[0].partition("[")[0], pixels=8)
    assert run(["spectra", "@evt.list", "core.fits", "-o", "bare", "-q"]) == 0
    assert run(["responses", "@evt.list", "core.fits", "--tiles", "sim/truth/tiles.ecsv", "-o", "bare.fits",
                "--files", "bare", "-q"]) == 0
    assert run(["fit", "bare", "--responses", "bare.fits", *FIT[4:], "-o", "bare.ecsv", "-q"]) == 0
    ours = read_fit(copied / "bare.ecsv").result
    photons, compared = user_model(), 0
    for place, number in enumerate(ours.bin.tolist()):
        if not np.isfinite(ours.kt_low[place] + ours.kt_high[place]) or compared == 20:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sherpa.clean()
            sherpa.load_user_model(photons, "gas")
            sherpa.add_user_pars("gas", ["kt", "norm"], [4.0, 1e3 * ours.norm[place]], [0.3, 0.0], [20.0, 1e6])
            for obsid in OBSIDS:
                stem = copied / f"bare/{obsid}/xaf_{number}"
                sherpa.load_pha(obsid, str(stem.with_suffix(".pi")))
                sherpa.load_arf(obsid, str(stem.with_suffix(".arf")))
                sherpa.load_rmf(obsid, str(stem.with_suffix(".rmf")))
                sherpa.set_source(obsid, sherpa.get_model_component("gas"))
                sherpa.set_analysis(obsid, "channel")
                sherpa.notice_id(obsid, 35, 479)
            sherpa.set_stat("cstat")
            sherpa.set_method("neldermead")
            sherpa.set_method_opt("ftol", 1e-13)  # by default it stops within 0.02 of the error
            sherpa.fit(*OBSIDS)
            found = sherpa.get_fit_results()
        kt, norm = found.parvals
        error = (ours.kt_low[place] + ours.kt_high[place]) / 2
        assert kt == pytest.approx(ours.kt[place], abs=0.02 * error), number
        assert norm / 1e3 == pytest.approx(ours.norm[place], rel=2e-3)
        # Elements of the matrix below 1e-6 and float32 areas are all that differs.
        assert found.statval == pytest.approx(ours.statistic[place], abs=0.02)
        compared += 1
    assert compared == 20
