"""Steps 9 and 10 of the pipeline: spectra and responses of the bins, fits, maps, and what the report shows of them."""

import html
import json
import re
import shutil
import zlib
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from apec_files import write_apec, write_plasma
from chandra_bin.cli import run as command
from chandra_bin.errors import ChandraBinWarning, InputError
from chandra_bin.pipeline import runner
from chandra_bin.pipeline.config import read_config
from chandra_bin.pipeline.layout import Layout
from chandra_bin.pipeline.survey import begin, survey
from chandra_bin.report import write_report
from chandra_bin.spectral import read_arf, write_arf
from chandra_bin.spectral.fit_table import read_fit
from chandra_bin.spectral.grouped import GroupedSpectra
from chandra_bin.spectral.models import ModelOptions, thermal_model
from chandra_bin.spectral.weights import ResponseWeights
from pipeline_work import change_settings
from test_spectral_table_models import EDGES, table_file

FITS = {"spectra": True, "response_tiles": "../cluster/truth/tiles.ecsv", "redshift": 0.1, "nh": 0.05, "model": "brems"}


@pytest.fixture
def work(archive, finished, tmp_path):
    """A copy of the finished pipeline, next to its archive."""
    (tmp_path / "cluster").symlink_to(archive)
    shutil.copytree(finished, tmp_path / "work", symlinks=True)
    return tmp_path / "work"


def ran(work, **options):
    return set(runner.run(work, **options).ran)


@pytest.mark.usefixtures("without_pictures", "plain_report")
def test_temperatures_of_a_simulated_cluster(work):
    change_settings(work, **FITS)
    assert ran(work) == {"bin-spectra", "bin-responses", "fit", "maps"}
    layout = Layout.of(work, read_config(work).settings)
    result = read_fit(layout.fit).result
    assert (result.reason == "ok").mean() > 0.8
    header = fits.getheader(layout.bin_responses, "BINS")
    assert header["PIXWT"] == "BRIGHTNESS"
    assert "brightness = brightness.fits" in str(header["HISTORY"])
    brightness, inside = fits.getdata(layout.brightness), fits.getdata(layout.binmap) >= 0
    assert np.isfinite(brightness[inside]).all()
    image = fits.getdata(layout.maps / "kt.fits")
    assert 1.5 < np.nanmedian(image) < 10
    truth = (layout.maps / "truth.ecsv").read_text()
    assert "true_kt" in truth
    flags = json.loads((work / "config.json").read_text())["flags"]
    assert flags["spectra"]
    assert flags["maps"]

    # Another column density makes the fits and maps again, and nothing else.
    change_settings(work, nh=0.1)
    assert ran(work) == {"fit", "maps"}
    page = write_report(work).read_text()
    assert "All 10 steps are done." in page
    assert 'id="fits"' in page
    assert 'data-column="kt"' in page
    check_report_of_fits(work, layout, page, result.bin.size)
    check_report_of_free_column_densities(work, layout)
    # A file that is lost is to be made again.
    layout.bin_responses.unlink()
    assert {each.task.name for each in runner.status(work) if each.kind == "to do"} == {"bin-responses"}


@pytest.mark.full
@pytest.mark.usefixtures("without_pictures", "plain_report")
def test_responses_of_bins_are_found_again_where_an_arf_changed(work, archive):
    shutil.copytree(archive / "truth", work.parent / "responses")
    change_settings(work, **FITS | {"response_tiles": "../responses/tiles.ecsv"})
    assert ran(work) == {"bin-spectra", "bin-responses", "fit", "maps"}
    layout = Layout.of(work, read_config(work).settings)
    weights = ResponseWeights.read(layout.bin_responses)
    arf = read_arf(weights.tiles[weights.tile[0]].arf)
    write_arf(arf.file, replace(arf, area_cm2=0.9 * arf.area_cm2), clobber=True)
    assert ran(work) == {"bin-responses", "fit", "maps"}
    assert ran(work) == set()


def check_report_of_free_column_densities(work, layout):
    """Look for the map of nH, the parameter of the bins and how many bins have the given one."""
    change_settings(work, nh_is="free")
    assert ran(work) == {"fit", "maps"}
    result = read_fit(layout.fit).result
    known = np.isfinite(result.nh_low + result.nh_high) & result.good()
    page = write_report(work).read_text()
    shown = f"column density, {known.sum()} of {known.size} bins"
    assert f"Three maps of the bins side by side: {shown.replace(',', ', its lower and its upper error;')}." in page
    if (given := result.is_given("nh") & result.good()).any():
        assert f"{given.sum()} column density fixed" in page
    texts = json.loads(zlib.decompress(b64decode(json.loads(re.search(
        r'id="spectra-data"[^>]*>(.*?)</script>', page, re.DOTALL).group(1))["texts"])))
    rows = [each["parameters"][-1] for each in texts["fits"].values() if each["parameters"]]
    assert {row[0] for row in rows} == {"nH (10²² cm⁻²)"}


def check_report_of_fits(work, layout, page, bins):
    """Look for maps, profile, spectra and truth, and for statements on lost and damaged files and hidden bins."""
    for words in ("Maps with their errors", "Pressure of the electrons", "kT of each bin against the mean distance",
                  "crosses are the simulated values", "Comparison with the simulation", 'id="spectra-data"'):
        assert words in page
    fit, truth = Table.read(layout.fit), Table.read(layout.maps / "truth.ecsv")
    good = np.isin(fit["reason"], ["ok", "poor fit", "response missing"])
    pull = (fit["kt"] - truth["true_kt"]) / np.where(fit["kt"] > truth["true_kt"], fit["kt_low"], fit["kt_high"])
    pull = np.asarray(pull.value if hasattr(pull, "value") else pull)[good]
    (row,) = re.findall(r'<th scope="row">kT</th>(.*)</tr>', page)
    cells = re.findall("<td>(.*?)</td>", row)
    assert cells[:4:3] == [str(good.sum()), f"{pull.std():.2f}"]
    assert cells[1] == f"{pull.mean():+.2f}"
    assert cells[5] == f"{(np.abs(pull) < 1).mean():.0%}"

    kept = layout.fit_spectra.read_bytes(), (layout.maps / "maps.ecsv").read_bytes()
    maps = Table.read(layout.maps / "maps.ecsv")
    for name in ("kt", "kt_low", "kt_high"):
        maps[name][0] = np.nan
    maps.write(layout.maps / "maps.ecsv", overwrite=True)
    fit["reason"] = fit["reason"].astype("U24")
    fit["reason"][0] = "too few counts"
    before = layout.fit.read_bytes()
    fit.write(layout.fit, overwrite=True)
    layout.fit_spectra.write_bytes(b"SIMPLE")
    page = write_report(work).read_text()
    assert f"1 of {bins} bins is grey: 1 too few counts" in page
    assert "fit_spectra.fits: " in page[:page.index("<h2>Summary</h2>")]
    assert 'id="spectra-data"' not in page
    maps.remove_column("pressure_low")
    maps.write(layout.maps / "maps.ecsv", overwrite=True)
    assert "maps.ecsv has no column pressure_low: make it again with" in html.unescape(write_report(work).read_text())
    layout.fit_spectra.unlink()
    (layout.maps / "maps.ecsv").unlink()
    page = write_report(work).read_text()
    for name in ("fit_spectra.fits", "maps/maps.ecsv"):
        assert re.search(rf"Nothing to show yet: \S*{name} does not exist", page)
    layout.fit.write_bytes(before)
    layout.fit_spectra.write_bytes(kept[0])
    (layout.maps / "maps.ecsv").write_bytes(kept[1])


@pytest.mark.usefixtures("without_pictures", "plain_report")
def test_without_effective_areas_there_are_maps_of_hardness(work):
    change_settings(work, spectra=True)
    said = []
    done = runner.run(work, watch=lambda event: said.append(event.text) if event.kind == "warning" else None)
    assert set(done.ran) == {"bin-spectra", "hardness"}
    assert any("no effective areas (response_tiles)" in text for text in said)
    layout = Layout.of(work, read_config(work).settings)
    assert (layout.maps / "hardness.fits").is_file()
    assert not (layout.maps / "kt.fits").exists()
    page = write_report(work).read_text()
    assert "the maps show hardness, not temperature" in page
    assert "Hardness (H - S) / (H + S), with net counts" in page
    for words in ("Comparison with the simulation", "spectra-data", "against the mean distance"):
        assert words not in page


def without_blank_sky(work, obsids):
    """Remove the blank-sky events that step 3 made, and their records of steps 3 and 4, as in a run without them."""
    layout, state = Layout.of(work, read_config(work).settings), work / ".chandra-bin/state.json"
    content = json.loads(state.read_text())
    for obsid in obsids:
        sky = layout.obs(obsid).background_events
        sky.unlink()
        name = str(sky.relative_to(work))
        for record in (each for task, each in content["tasks"].items() if task not in ("bin-spectra", "bin-responses")):
            for kind in ("inputs", "outputs"):
                record[kind].pop(name, None)
    state.write_text(json.dumps(content))


@pytest.mark.usefixtures("without_pictures", "plain_report")
def test_observations_without_a_blank_sky_are_not_fitted(work):
    """One without: the other alone is fitted. None with one: maps of hardness, and fits before are not shown."""
    without_blank_sky(work, ["90002"])
    change_settings(work, **FITS)
    said = []
    runner.run(work, watch=lambda event: said.append(event.text) if event.kind == "warning" else None)
    assert any(text.startswith("ObsID 90002: no blank-sky events (blank_sky)") for text in said)
    layout = Layout.of(work, read_config(work).settings)
    with fits.open(layout.bin_spectra("90001")) as first, fits.open(layout.bin_spectra("90002")) as second:
        assert [len(first), len(second)] == [3, 2]  # with the block of the background, and without
    assert set(GroupedSpectra.read(layout.fit_spectra).obsid.tolist()) == {90001}
    result = read_fit(layout.fit).result
    assert (result.reason == "ok").mean() > 0.7
    assert 1.5 < np.nanmedian(fits.getdata(layout.maps / "kt.fits")) < 10

    without_blank_sky(work, ["90001"])
    said.clear()
    runner.run(work, watch=lambda event: said.append(event.text) if event.kind == "warning" else None)
    (text,) = [text for text in said if "blank-sky" in text]
    assert text.startswith("ObsID 90001, 90002: no blank-sky events (blank_sky)")
    assert "temperatures are not fitted, and the maps are of hardness" in text
    assert (layout.maps / "hardness.fits").is_file()
    assert not (layout.maps / "kt.fits").exists()
    assert all(each.kind == "done" for each in runner.status(work))
    page = write_report(work).read_text()
    assert "Hardness (H - S) / (H + S), with net counts" in page
    assert "not applied: no observation has blank-sky events, so nothing is fitted" in page
    for words in ("Comparison with the simulation", "spectra-data", 'data-column="kt"'):
        assert words not in page


def test_a_missing_table_of_responses_is_reported_at_once(work):
    change_settings(work, **FITS | {"response_tiles": "gone.csv"})
    with pytest.raises(InputError, match=r"gone.csv: no such file"):
        runner.run(work)


@pytest.fixture
def no_tables(tmp_path, monkeypatch):
    """No AtomDB tables where they are looked for."""
    for name in ("ATOMDB", "HEADAS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("no_tables")
@pytest.mark.parametrize(("settings", "message"), [
    ({"model": "apec"}, r"step 10, model apec: no AtomDB tables .* in \$ATOMDB.*: fetch them from atomdb.org and give"),
    ({"model": "apec", "apec": "gone"}, r"step 10, model apec: no AtomDB tables .* in \S*/work/gone: fetch them"),
    ({"model": "gone.mod"}, r"step 10, model gone.mod: \S*/work/gone.mod: ")])
def test_missing_files_of_the_model_are_reported_before_the_first_step(work, settings, message):
    change_settings(work, **FITS | settings)
    with pytest.raises(InputError, match=message):
        runner.run(work, redo=[1])
    assert all(each.kind == "done" for each in runner.status(work) if each.task.step < 9)
    said = []
    runner.run(work, dry_run=True, watch=lambda event: said.append(event.text))
    assert len([text for text in said if re.match(message, text)]) == 1


@pytest.mark.usefixtures("no_tables")
def test_runs_that_do_not_fit_need_no_tables(work):
    change_settings(work, **FITS | {"model": "apec"})
    assert ran(work, last=9) == {"bin-spectra", "bin-responses"}
    change_settings(work, spectra=False, response_tiles=None)
    assert ran(work) == set()


@pytest.mark.usefixtures("no_tables", "without_pictures", "plain_report")
@pytest.mark.full
def test_tables_of_the_setting_apec_are_fitted(work, tmp_path):
    change_settings(work, **FITS | {"model": "apec", "apec": "../atomdb"})
    write_plasma(tmp_path / "atomdb")
    assert ran(work) == {"bin-spectra", "bin-responses", "fit", "maps"}
    assert "apec (AtomDB 9.9.2)" in read_fit(Layout.of(work, read_config(work).settings).fit).result.model
    (tmp_path / "atomdb").rename(tmp_path / "elsewhere")
    assert ran(work) == set()  # a finished fit needs no tables
    change_settings(work, apec="../elsewhere")
    assert ran(work) == {"fit", "maps"}


@pytest.mark.usefixtures("without_pictures", "plain_report")
@pytest.mark.full
def test_a_changed_table_model_is_fitted_again(work, tmp_path):
    gas, edges = thermal_model(ModelOptions(model="brems")), np.geomspace(0.05, 40, len(EDGES))
    change_settings(work, **FITS | {"model": "../gas.mod"})
    for scale, expected in ((1, {"bin-spectra", "bin-responses", "fit", "maps"}), (2, {"fit", "maps"})):
        table_file(tmp_path / "gas.mod", edges=edges,
                   spectrum=lambda kt, z, scale=scale: scale * gas.spectrum(edges, kt, z))
        assert ran(work) == expected


@pytest.mark.usefixtures("no_tables")
def test_init_takes_the_tables_of_a_simulation_and_warns_where_there_are_none(archive, tmp_path):
    shutil.copytree(archive, tmp_path / "sim")
    file = tmp_path / "sim/simulation.json"
    content = json.loads(file.read_text())
    content["settings"] |= {"model": "apec", "apec": str(write_apec(tmp_path / "atomdb"))}
    file.write_text(json.dumps(content))
    begin(survey(tmp_path / "sim"), tmp_path / "work")
    assert read_config(tmp_path / "work").settings.apec == "../atomdb"
    (tmp_path / "atomdb").rename(tmp_path / "moved")
    with pytest.warns(ChandraBinWarning, match=r"step 10, model apec: no AtomDB tables"):
        begin(survey(tmp_path / "sim"), tmp_path / "other")
    begin(survey(tmp_path / "sim"), tmp_path / "third", apec=tmp_path / "moved")
    assert read_config(tmp_path / "third").settings.apec == "../moved"
    with pytest.raises(InputError, match=r"no AtomDB tables .* in \S*atomdb: fetch them"):
        begin(survey(tmp_path / "sim"), tmp_path / "fourth", apec=tmp_path / "atomdb")
    assert not (tmp_path / "fourth").exists()


def test_init_takes_the_responses_of_a_simulation(archive, tmp_path):
    begin(survey(archive), tmp_path / "work")
    settings = read_config(tmp_path / "work").settings
    assert settings.spectra
    assert settings.model == "brems"
    assert (settings.redshift, settings.nh) == (0.1, 0.05)
    assert (tmp_path / "work" / str(settings.response_tiles)).resolve() == (archive / "truth/tiles.ecsv").resolve()


def test_real_observations_have_no_responses_by_default(archive, tmp_path):
    shutil.copytree(archive, tmp_path / "copy", ignore=shutil.ignore_patterns("truth", "simulation.json"))
    begin(survey(tmp_path / "copy"), tmp_path / "work")
    settings = read_config(tmp_path / "work").settings
    assert not settings.spectra
    assert settings.response_tiles is None


def test_steps_end_at_ten(capsys):
    assert command(["run", "work", "--only", "11"]) == 2
    assert "1<=x<=10" in capsys.readouterr().err
