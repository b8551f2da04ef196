"""Fits by Sherpa compared with those of the kernel: values, errors, reasons, statistics, and bins that it fails on."""

import subprocess
import sys
from concurrent.futures import Future

import numpy as np
import pytest

from chandra_bin.cli import run
from chandra_bin.errors import ChandraBinWarning, InputError
from chandra_bin.spectral import BinSpectra, FitOptions, SherpaEngine, Templates, engines, fit_bins
from chandra_bin.spectral.backgrounds import STATISTICS, background_model
from chandra_bin.spectral.fit_table import read_fit
from chandra_bin.workflow.pool import InlineExecutor
from spectral_scenes import draw, draw_varied, family, templates
from test_cli_fit import FIT, cluster, here  # noqa: F401 - fixtures

pytestmark = pytest.mark.usefixtures("sherpa")


def few_channels(spectra, made, width):
    """The same spectra in channels of another width: a fit takes less than a second."""
    starts = np.arange(0, spectra.counts.shape[1], width)
    counts, off = (np.add.reduceat(values, starts, axis=1) for values in (spectra.counts, spectra.off_counts))
    rates = np.add.reduceat(made.rates, starts, axis=3)
    return (BinSpectra(bin=spectra.bin, counts=counts, exposure_s=spectra.exposure_s,
                       weight_offsets=spectra.weight_offsets, weight_response=spectra.weight_response,
                       weight=spectra.weight, off_counts=off, off_ratio=spectra.off_ratio, group=spectra.group,
                       off_hard=spectra.off_hard),
            Templates(made.kt_kev, rates, 1, made.has_abundance, made.model))


def assert_same_fits(ours, theirs, of_value=0.02, of_errors=0.02):
    """Values agree within a part of their errors, and errors as a fraction."""
    assert ours.reason.tolist() == theirs.reason.tolist()
    for name in ("kt", "norm", "abundance"):
        value, low, high = (getattr(ours, f"{name}{end}") for end in ("", "_low", "_high"))
        error = np.fmax(low, high)  # NaN where fixed
        shift = np.abs(getattr(theirs, name) - value) / error
        assert np.nanmax(shift, initial=0) < of_value, name
        for end in ("_low", "_high"):
            np.testing.assert_allclose(getattr(theirs, f"{name}{end}"), getattr(ours, f"{name}{end}"), rtol=of_errors,
                                       err_msg=f"{name}{end}")
    np.testing.assert_allclose(theirs.statistic, ours.statistic, atol=0.02)
    np.testing.assert_allclose(theirs.expected, ours.expected, rtol=1e-3)
    np.testing.assert_allclose(theirs.variance, ours.variance, rtol=1e-3)
    np.testing.assert_allclose(theirs.ends, ours.ends, rtol=0.01)
    np.testing.assert_allclose(theirs.background_amounts, ours.background_amounts, atol=2e-3)
    np.testing.assert_allclose(theirs.covariance, ours.covariance, rtol=0.02, atol=1e-6)


@pytest.mark.parametrize(("statistic", "background", "off_times", "kinds"), [
    ("cstat", 0.15, 10, {"cstat"}), ("wstat", 0.3, 10, {"wstat"}), ("chi2", 0.15, 10, {"chi2"}),
    ("cstat", 0.85, 3, {"cstat", "wstat"})])
def test_sherpa_finds_the_minima_and_errors_of_the_kernel(statistic, background, off_times, kinds):
    """In the last case one of two data sets has so uncertain a background that C gives way to W."""
    made = templates(temperatures=15)
    spectra, folded = few_channels(draw(made, [4000], background=background, off_times=off_times, sets=2, seed=4)[0],
                                   made, width=30)
    if len(kinds) == 2:
        spectra.off_ratio[1] *= 3
        spectra.off_counts[1] //= 3
    options = FitOptions(statistic=statistic, kt_min=0.5)
    used = background_model(spectra, statistic).statistic.tolist()
    assert set(used) == {STATISTICS[kind] for kind in kinds}
    ours = fit_bins(spectra, folded, options)
    theirs = fit_bins(spectra, folded, options, engine=SherpaEngine())
    assert_same_fits(ours, theirs)
    assert (ours.engine, theirs.engine) == ("native", "sherpa")


@pytest.mark.full
def test_sherpa_fits_two_components_of_the_background():
    """The share of the sky varies from bin to bin: each data set has two amounts, measured in six bands.

    The temperatures of the templates are dense: at a kink between coarse ones, the kernel's profile may follow the
    higher of two valleys, which moves an end of an error by some percent.
    """
    made = templates(temperatures=60)
    share = np.linspace(0.1, 0.7, 10)
    spectra, folded = few_channels(draw(made, np.full(10, 3000), background=0.5, sets=1, sky=share, seed=8)[0], made,
                                   width=30)
    options = FitOptions(kt_min=0.5)
    ours, theirs = (fit_bins(spectra, folded, options, engine=engine) for engine in (None, SherpaEngine()))
    assert ours.background_amounts.shape == (10, 2)
    assert np.isfinite(ours.background_amounts).all()
    assert_same_fits(ours, theirs)


@pytest.mark.full
@pytest.mark.parametrize("how", ["tied", "free"])
def test_sherpa_fits_the_column_density(how):
    made = family(channels=25)
    spectra, _ = draw_varied(made, [0.2, 0.2], "nh", sets=1)
    options = FitOptions(nh_is=how, abundance=0.4, nh_max=0.5, kt_min=1)
    ours, theirs = (fit_bins(spectra, made, options, engine=engine) for engine in (None, SherpaEngine()))
    assert_same_fits(ours, theirs)
    np.testing.assert_allclose(theirs.nh, ours.nh, atol=0.02 * ours.nh_high.min())
    np.testing.assert_allclose(theirs.nh_low, ours.nh_low, rtol=0.03)
    np.testing.assert_allclose(theirs.nh_high, ours.nh_high, rtol=0.03)


def test_bins_without_data_and_at_limits_have_the_reasons_of_the_kernel():
    made = templates(temperatures=15)
    spectra, _ = draw(made, [3000, 3000, 3000], truth=(np.array([15.5, 4.0, 4.0]), np.full(3, 0.3)), sets=1, seed=2)
    spectra, folded = few_channels(spectra, made, width=30)
    spectra.weight_response[spectra.weight_offsets[1]:spectra.weight_offsets[2]] = -1  # the response of the second
    options = FitOptions(kt_max=5.0, abundance=0.3)
    progress = []
    ours, theirs = (fit_bins(spectra, folded, options, engine=engine, progress=progress.append)
                    for engine in (None, SherpaEngine(InlineExecutor())))
    assert theirs.reason.tolist() == ["kT at limit", "no data", "ok"] == ours.reason.tolist()
    assert progress[-3:] == pytest.approx([1 / 3, 2 / 3, 1])
    assert np.isnan(theirs.kt[1])
    assert theirs.kt[0] == pytest.approx(5.0, abs=1e-3)
    np.testing.assert_allclose(theirs.kt_low[[0, 2]], ours.kt_low[[0, 2]], rtol=0.02)


class LosesOne(InlineExecutor):
    """An executor whose second piece of work is lost, as with a process that is killed."""

    def submit(self, fn, /, *args, **kwargs):
        self.begun = getattr(self, "begun", 0) + 1
        if self.begun != 2:
            return super().submit(fn, *args, **kwargs)
        future = Future()
        future.set_exception(RuntimeError("its process ended by SIGKILL"))
        return future


def test_a_bin_that_fails_has_a_reason_and_the_others_their_fits():
    made = templates(temperatures=10, responses=1)
    spectra, folded = few_channels(draw(made, [2000, 2000], sets=1)[0], made, width=40)
    with pytest.warns(ChandraBinWarning, match="Sherpa fitted 1 bin without success; the first is 1: Runtime"):
        fit = fit_bins(spectra, folded, FitOptions(abundance=0.3), engine=SherpaEngine(LosesOne()))
    assert fit.reason.tolist() == ["ok", "no minimum"]
    assert np.isfinite(fit.kt[0])
    assert np.isnan(fit.kt[1])


def test_what_progress_raises_stops_the_fits():
    made = templates(temperatures=10, responses=1)
    spectra, folded = few_channels(draw(made, [2000, 2000], sets=1)[0], made, width=40)

    def stop(_fraction):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_bins(spectra, folded, FitOptions(abundance=0.3), engine=SherpaEngine(), progress=stop)


def test_without_sherpa_one_line_tells_how_to_get_it(monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"^Sherpa is not installed: pip install 'chandra-bin\[sherpa\]'$"):
        SherpaEngine()


@pytest.mark.full
def test_the_command_fits_by_sherpa_in_processes(here, tmp_path):  # noqa: F811
    """20 bins with their blank-sky backgrounds: kT within 0.02 of its error, and the engine in the header."""
    out = tmp_path / "sherpa.ecsv"
    assert run([*FIT, "-o", str(out), "--engine", "sherpa", "-t", "2", "-q"]) == 0
    ours, theirs = (read_fit(path).result for path in (here / "fit.ecsv", out))
    assert theirs.engine == "sherpa"
    error = (ours.kt_low + ours.kt_high) / 2
    compared = np.isfinite(error)
    assert compared.sum() >= 20
    assert (np.abs(theirs.kt - ours.kt) / error)[compared].max() < 0.02
    np.testing.assert_allclose(theirs.kt_low[compared], ours.kt_low[compared], rtol=0.02)
    assert theirs.reason.tolist() == ours.reason.tolist()


@pytest.mark.full
def test_ctrl_c_ends_the_processes_and_leaves_no_file(here, tmp_path):  # noqa: F811
    import signal
    import time

    process = subprocess.Popen([sys.executable, "-m", "chandra_bin", *FIT, "-o", str(tmp_path / "x.ecsv"), "--engine",
                                "sherpa", "-t", "2"], cwd=here, stderr=subprocess.PIPE, text=True)
    time.sleep(12)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in text
    assert not list(tmp_path.iterdir())
