"""``chandra-bin session``: Sherpa runs the scripts as they are, and finds the fit again; files for XSPEC; bad input."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from apec_files import write_apec
from chandra_bin.cli import run
from chandra_bin.spectral import Arf, ModelOptions, fold, read_arf, read_pha, read_rmf, thermal_model
from chandra_bin.spectral.backgrounds import background_model
from chandra_bin.spectral.fit_table import read_fit
from chandra_bin.spectral.table_models import read_table_model
from chandra_bin.tasks.fit import fit_spectra_files
from test_cli_fit import FIT, cluster, copied, error_of, here  # noqa: F401 - fixtures

SESSION = ["session", "spectra", "--responses", "responses.fits"]
MODEL = FIT[4:]


def fitted_by(script):
    """kT, norm and statistic that a script prints, run by a process of its own from another folder."""
    done = subprocess.run([sys.executable, "-W", "error::DeprecationWarning", str(script)], cwd="/", text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    found = re.search(r"^Sherpa: kT (\S+) keV, abundance \S+, norm (\S+), statistic (\S+)$", done.stdout, re.MULTILINE)
    assert found, done.stdout
    return tuple(float(each) for each in found.groups())


def assert_finds_the_fit(script, fit, number):
    kt, norm, statistic = fitted_by(script)
    place = fit.bin.tolist().index(number)
    error = (fit.kt_low + fit.kt_high)[place] / 2
    assert abs(kt - fit.kt[place]) < 0.05 * error
    assert norm == pytest.approx(fit.norm[place], rel=1e-3)
    assert statistic == pytest.approx(fit.statistic[place], abs=0.02)


def begin_elsewhere(script):
    """Let a script begin far from the values of the fit."""
    text = script.read_text()
    for name, factor in (("kt.set(val=", 1.6), ("norm.val = ", 0.7)):
        value = re.search(rf"^{re.escape(name)}([\d.e-]+)", text, re.MULTILINE)[1]
        text = text.replace(f"{name}{value}", f"{name}{factor * float(value)!r}")
    script.write_text(text)


@pytest.mark.usefixtures("sherpa")
def test_sherpa_finds_the_fit_of_a_bin_by_the_script(here, tmp_path):  # noqa: F811
    out = tmp_path / "by hand"
    assert run([*SESSION, "--bins", "12,3", "--fit", "fit.ecsv", "-o", str(out), "-q"]) == 0
    assert {path.name for path in out.glob("bin_12*")} == {
        "bin_12.py", "bin_12.xcm", "bin_12_diagonal.rmf", "bin_12_gas.mod",
        *(f"bin_12_{obsid}{end}" for obsid in (90001, 90002)
          for end in (".pi", ".arf", ".rmf", "_bkg.pi", "_bands.dat", "_sky.dat", "_sky.mod"))}
    begin_elsewhere(out / "bin_12.py")
    assert_finds_the_fit(out / "bin_12.py", read_fit(here / "fit.ecsv").result, 12)


@pytest.mark.full
@pytest.mark.usefixtures("sherpa")
def test_without_a_table_the_options_tell_the_model(here, tmp_path):  # noqa: F811
    assert run([*SESSION, *MODEL, "--bins", "7", "-o", str(tmp_path), "-q"]) == 0
    assert "kt.set(val=4.0, min=0.3, max=25.0)" in (tmp_path / "bin_7.py").read_text()
    assert_finds_the_fit(tmp_path / "bin_7.py", read_fit(here / "fit.ecsv").result, 7)


def thin_background(path, factor):
    """Keep one of ``factor`` counts of the blank sky of the first bin, which then stands for so many more."""
    rng = np.random.default_rng(3)
    with fits.open(path, mode="update") as hdus:
        table = hdus["BACKGROUND"].data
        table["COUNTS"] = rng.binomial(table["COUNTS"], 1 / factor)
        table["COUNTS"][1:] = 0
        table["EXPOSURE"] = table["EXPOSURE"] / factor


@pytest.mark.full
@pytest.mark.usefixtures("sherpa")
@pytest.mark.parametrize(("statistic", "stated", "factor"), [
    ("wstat", 'ui.set_stat("wstat")', None), ("chi2", 'ui.set_stat("chi2")', None),
    ("cstat", "ui.set_stat(BackgroundCStat())", 6)])
def test_other_statistics_are_those_of_the_fit(copied, statistic, stated, factor):  # noqa: F811
    """In the last case the background of one observation is so uncertain that its data set is fitted by W."""
    if factor:
        thin_background("spectra/90002/spectra.fits", factor)
    assert run([*FIT, "--statistic", statistic, "-o", "other.ecsv", "-q"]) == 0
    assert run([*SESSION, "--bins", "0,12", "--fit", "other.ecsv", "-q"]) == 0
    script = copied / "session/bin_0.py"
    assert stated in script.read_text()
    begin_elsewhere(script)
    assert_finds_the_fit(script, read_fit(copied / "other.ecsv").result, 0)


def add_sky(path):
    """Add soft counts to the blank sky of each bin, another number in each."""
    rng = np.random.default_rng(5)
    with fits.open(path, mode="update") as hdus:
        counts = hdus["BACKGROUND"].data["COUNTS"]
        more = np.exp(-np.arange(445) / 60) * np.linspace(0, 20, len(counts))[:, np.newaxis]
        counts[:, 34:479] += rng.poisson(more).astype(counts.dtype)


@pytest.mark.full
@pytest.mark.usefixtures("sherpa")
def test_both_components_of_the_background_are_fitted(copied):  # noqa: F811
    for obsid in (90001, 90002):
        add_sky(Path(f"spectra/{obsid}/spectra.fits"))
    assert run([*FIT, "-o", "sky.ecsv", "-q"]) == 0
    assert run([*SESSION, "--bins", "12", "--fit", "sky.ecsv", "-q"]) == 0
    assert np.loadtxt("session/bin_12_90001_sky.dat").shape == (1024, 3)
    assert np.loadtxt("session/bin_12_90001_bands.dat").shape == (6, 4)
    begin_elsewhere(copied / "session/bin_12.py")
    assert_finds_the_fit(copied / "session/bin_12.py", read_fit(copied / "sky.ecsv").result, 12)


@pytest.mark.full
@pytest.mark.usefixtures("sherpa")
@pytest.mark.parametrize("how", ["tied", "free"])
def test_a_column_density_that_was_fitted_is_held_at_its_value(copied, how):  # noqa: F811
    assert run([*FIT, "--nh-is", how, "--min-counts-free", "0", "-o", "nh.ecsv", "-q"]) == 0
    fit = read_fit(copied / "nh.ecsv").result
    assert run([*SESSION, "--bins", "12", "--fit", "nh.ecsv", "-q"]) == 0
    script = copied / "session/bin_12.py"
    assert f"nh={float(fit.nh[12])!r}" in script.read_text()
    assert f"{float(fit.nh[12])!r} -0.001 0 0 100 100" in (copied / "session/bin_12.xcm").read_text()
    for path in (script, script.with_suffix(".xcm")):
        assert f"# The column density was {how} in the fit, and is held at its value here" in path.read_text()
    begin_elsewhere(script)
    assert_finds_the_fit(script, fit, 12)


@pytest.fixture
def session(here, tmp_path):  # noqa: F811
    """The session of bin 3."""
    assert run(["session", str(here / "spectra"), *SESSION[2:], "--bins", "3", "--fit", "fit.ecsv", "-o",
                str(tmp_path / "s"), "-q"]) == 0
    return tmp_path / "s"


def test_spectra_and_responses_are_those_of_the_bin(here, session):  # noqa: F811
    for obsid in (90001, 90002):
        ours, original = read_pha(session / f"bin_3_{obsid}.pi"), read_pha(here / f"spectra/{obsid}/xaf_3.pi")
        np.testing.assert_array_equal(ours.counts, original.counts)
        assert (ours.exposure_s, ours.backscal) == (original.exposure_s, original.backscal)
        assert (ours.ancillary_file, ours.response_file) == (
            session / f"bin_3_{obsid}.arf", session / f"bin_3_{obsid}.rmf")
        ours.check_channels(read_rmf(ours.response_file))
        assert read_arf(ours.ancillary_file).exposure_s == pytest.approx(ours.exposure_s, rel=1e-12)
        sky, its_sky = read_pha(session / f"bin_3_{obsid}_bkg.pi"), read_pha(here / f"spectra/{obsid}/xaf_3_bkg.pi")
        np.testing.assert_array_equal(sky.counts, its_sky.counts)
        assert ours.scale_of(sky) == pytest.approx(original.scale_of(its_sky))


def test_the_table_models_for_xspec_are_the_plasma_and_the_background(here, session, tmp_path):  # noqa: F811
    """Folded through the diagonal matrix, the model of the sky has the expected background counts of the fit."""
    response = read_arf(session / "bin_3_90001.arf"), read_rmf(session / "bin_3_90001.rmf")
    ours, table = (fold(thermal_model(ModelOptions(model=name, redshift=0.1, nh=0.05), (0.2, 25)), [response]).rates
                   for name in ("brems", session / "bin_3_gas.mod"))
    np.testing.assert_allclose(table, ours, rtol=5e-4, atol=1e-9 * ours.max())
    made = fit_spectra_files(here / "spectra", here / "responses.fits", tmp_path / "fit.ecsv",
                             model=ModelOptions(model="brems", redshift=0.1, nh=0.05))
    expected = background_model(made.spectra, "cstat").expected(made.result.background_amounts)
    amounts = made.result.background_amounts[made.spectra.bin == 3]
    assert (np.abs(amounts - 1) > 1e-4).all()
    for obsid, amount, of_fit in zip((90001, 90002), amounts, expected[made.spectra.bin == 3], strict=True):
        sky, matrix = read_table_model(session / f"bin_3_{obsid}_sky.mod"), read_rmf(session / "bin_3_diagonal.rmf")
        np.testing.assert_allclose(sky.edges_kev, matrix.edges_kev, rtol=1e-6)
        exposure = read_pha(session / f"bin_3_{obsid}.pi").exposure_s
        counts = exposure * (sky.spectrum(unused=0.4) @ matrix.matrix())
        np.testing.assert_allclose(counts[34:479], of_fit, rtol=1e-5)
        for_amount_1 = np.loadtxt(session / f"bin_3_{obsid}_sky.dat")[:, 1]
        np.testing.assert_allclose(amount * for_amount_1, counts, rtol=1e-5)


def test_the_script_for_xspec_states_the_fit(here, session):  # noqa: F811
    """XSPEC itself is not there: files, band, parameters in XSPEC's order, and values."""
    lines = (session / "bin_3.xcm").read_text().splitlines()
    data = next(line for line in lines if line.startswith("data "))
    assert data == "data 1:1 bin_3_90001.pi 1:2 bin_3_90002.pi"
    for name in re.findall(r"bin_3_\w+\.(?:pi|rmf|mod)", "\n".join(lines)):
        assert (session / name).is_file()
    assert {"statistic cstat", "abund angr", "ignore 1:1-34 1:480-**", "ignore 2:1-34 2:480-**"} <= set(lines)
    # Without BACKFILE the statistic is C: the background is in the model.
    assert fits.getval(session / "bin_3_90001.pi", "BACKFILE", 1) == "none"
    fit = read_fit(here / "fit.ecsv").result
    at = lines.index("model tbabs*atable{bin_3_gas.mod}")
    values = [line.split() for line in lines[at + 1:at + 5]]
    assert [float(each[0]) for each in values] == [0.05, fit.kt[3], 0.1, fit.norm[3]]
    assert [float(each[1]) > 0 for each in values] == [False, True, False, True]
    assert lines[-1] == "error 1.001 2 4"


@pytest.mark.usefixtures("here")
def test_groups_of_the_fit_are_in_the_spectra(tmp_path):
    assert run([*SESSION, *MODEL, "--statistic", "wstat", "--bins", "3", "-o", str(tmp_path), "-q"]) == 0
    spectrum = read_pha(tmp_path / "bin_3_90001.pi")
    assert spectrum.background_file == tmp_path / "bin_3_90001_bkg.pi"
    sky = read_pha(spectrum.background_file)
    groups = spectrum.groups()
    in_band = groups[34:479]
    assert groups[33] < groups[34]
    assert groups[478] < groups[479]
    assert np.bincount(in_band - in_band[0], sky.counts[34:479]).min() >= 3
    last = int(in_band[-1] - in_band[0]) + 1
    assert f"ignore 1:1-34 1:{35 + last}-**" in (tmp_path / "bin_3.xcm").read_text()
    assert not list(tmp_path.glob("*sky*"))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("words", "message"), [
    (["--bins", "77", "--fit", "fit.ecsv"], "responses.fits: has no bin 77; it has 0 - 24"),
    (["--bins", "3,-1", "--fit", "fit.ecsv"], "responses.fits: has no bin -1; it has 0 - 24"),
    (["--bins", "3;4", "--fit", "fit.ecsv"], "--bins 3;4: give numbers of bins with commas between"),
    (["--bins", "3"], "the model needs a redshift: give --redshift, or --fit FILE"),
    (["--bins", "3", "--fit", "fit.ecsv", "--nh", "0.1"], "--nh is stated by the table of --fit: leave it out"),
    (["--bins", "3", "--fit", "fit.ecsv", "--band", "1:5"], "--band is stated by the table of --fit: leave it out"),
    (["--bins", "3", "--fit", "binmap.fits"], "binmap.fits"),
    (["--bins", "3", *MODEL, "--nh-is", "free"], "nh_is is 'free': give the table of such a fit (--fit FILE)"),
    (["--bins", "3", "--fit", "fit.ecsv", "--responses", "nowhere.fits"], "nowhere.fits: no such file"),
])
def test_bad_input_is_one_line_and_no_file(capsys, tmp_path, words, message):
    capsys.readouterr()
    assert run([*SESSION, "-o", str(tmp_path / "s"), *words, "-q"]) == 2
    text = capsys.readouterr().err
    assert message in text
    assert text.count("\n") == 1
    assert not (tmp_path / "s").exists()


@pytest.mark.usefixtures("here")
def test_the_commands_that_are_suggested_can_be_pasted(capsys, tmp_path):
    out = tmp_path / "Abell 2029's"
    assert run([*SESSION, "--bins", "12", "--fit", "fit.ecsv", "-o", str(out)]) == 0
    _, _, commands = capsys.readouterr().out.partition("; run: ")
    sherpa, _, xspec = commands.strip().partition(", or: ")
    assert shlex.split(sherpa) == ["python", str(out / "bin_12.py")]
    assert shlex.split(xspec) == ["cd", str(out), "&&", "xspec", "-", "bin_12.xcm"]


@pytest.mark.usefixtures("copied")
def test_a_table_of_another_model_is_refused(capsys):
    text = Path("fit.ecsv").read_text()
    Path("old.ecsv").write_text(text.replace("bremsstrahlung (no lines", "bremsstrahlung (old, no lines"))
    assert "old.ecsv: is a fit of tbabs(nH 0.05e22 cm-2) * bremsstrahlung (old" in error_of(
        capsys, *SESSION, "--bins", "3", "--fit", "old.ecsv")
    assert run([*SESSION, "--bins", "3", "--fit", "fit.ecsv", "-q"]) == 0
    assert "exists already" in error_of(capsys, *SESSION, "--bins", "3", "--fit", "fit.ecsv")


@pytest.mark.usefixtures("copied")
def test_a_fit_with_other_responses_is_refused(capsys):
    with fits.open("responses.fits") as hdus:
        hdus["WEIGHTS"].data["SECONDS"] *= 1.01
        hdus.writeto("longer.fits")
    words = ["longer.fits" if word == "responses.fits" else word for word in SESSION]
    assert "fit.ecsv: was fitted with other responses than those of longer.fits, or by an earlier" in error_of(
        capsys, *words, "--bins", "3", "--fit", "fit.ecsv")
    shutil.copy("responses.fits", "same.fits")
    words = ["same.fits" if word == "responses.fits" else word for word in SESSION]
    assert run([*words, "--bins", "3", "--fit", "fit.ecsv", "-q"]) == 0


@pytest.mark.usefixtures("copied")
def test_plasma_is_that_of_the_tables_of_the_fit(tmp_path, capsys):
    """AtomDB's tables are named by --apec again; the script for XSPEC has apec's five parameters."""
    folder = write_apec(tmp_path / "atomdb")
    words = ["--redshift", "0.1", "--nh", "0.05", "--apec", str(folder)]
    assert run(["fit", "spectra", "--responses", "responses.fits", *words, "-o", "apec.ecsv", "-q"]) == 0
    session = [*SESSION, "--bins", "12", "--fit", "apec.ecsv"]
    assert "give their folder (--apec DIR)" in error_of(capsys, *session)
    assert run([*session, "--apec", str(folder), "-q"]) == 0
    text = Path("session/bin_12.xcm").read_text()
    at = text.splitlines().index("model tbabs*apec")
    fit = read_fit(Path("apec.ecsv")).result
    assert [float(line.split()[0]) for line in text.splitlines()[at + 1:at + 6]] == [
        0.05, fit.kt[12], fit.abundance[12], 0.1, fit.norm[12]]
    assert "xset APECROOT ../atomdb/apec_v9.9.1" in text
    assert "apec=FOLDER / '../atomdb'" in Path("session/bin_12.py").read_text()


@pytest.mark.full
@pytest.mark.usefixtures("copied", "sherpa")
def test_a_model_of_the_users_is_found_by_its_file(tmp_path, capsys):
    """A table model, with an abundance: the table of fits holds its name only."""
    from test_spectral_table_models import photons, table_file

    table_file(tmp_path / "plasma.mod", kts=tuple(np.geomspace(0.2, 30, 40).tolist()), edges=np.geomspace(0.3, 12, 60),
               spectrum=lambda kt, z=0: 1e-3 * photons(kt, z))
    words = ["--model", "plasma.mod", "--redshift", "0", "--nh", "0.05"]
    assert run(["fit", "spectra", "--responses", "responses.fits", *words, "-o", "own.ecsv", "-q"]) == 0
    session = [*SESSION, "--bins", "12", "--fit", "own.ecsv"]
    assert "whose folder it does not hold: give its file (--model FILE)" in error_of(capsys, *session)
    assert run([*session, "--model", "plasma.mod", "-q"]) == 0
    assert "atable{../plasma.mod}" in Path("session/bin_12.xcm").read_text()
    assert_finds_the_fit(Path("session/bin_12.py").resolve(), read_fit(Path("own.ecsv")).result, 12)


@pytest.mark.usefixtures("sherpa")
def test_the_gas_in_sherpa_is_the_model_folded():
    """Compared with `fold` through a perfect detector; another column density takes effect."""
    from chandra_bin.spectral import Rmf, sherpa_model

    low, high = np.arange(5, 70) / 10, np.arange(6, 71) / 10
    rmf = Rmf(low, high, low, high, 1, np.arange(66), np.arange(65, dtype=np.int32), np.ones(65))
    model = thermal_model(ModelOptions(model="brems", nh=0.05, redshift=0.1), (1, 10))
    templates = fold(model, [(Arf(low, high, np.full(65, 400.0)), rmf)], (0.5, 7))
    gas = sherpa_model(model)
    gas.kt, gas.norm = float(templates.kt_kev[3]), 2.0
    np.testing.assert_allclose(400 * gas(low, high), 2 * templates.rates[0, 3, 0], rtol=1e-12)
    gas.nh = 0.5
    thick = thermal_model(ModelOptions(model="brems", nh=0.5, redshift=0.1), (1, 10))
    np.testing.assert_allclose(gas(low, high), 2 * thick.photons(np.append(low, high[-1]))[3, 0], rtol=1e-12)
