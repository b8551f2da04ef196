"""What chandra_repro needs of an observation: staged where it looks for it, and checked before hours of work."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from astropy.io import fits

from chandra_bin.cli import run as command
from chandra_bin.errors import InputError
from chandra_bin.pipeline import reprocessing, runner
from chandra_bin.pipeline.archive import find_observation
from chandra_bin.pipeline.reprocessing import MULTI_OBI, missing_files, staging_folders, why_not
from pipeline_work import configured
from stand_ins.install import install, read_log

EVT1 = "secondary/acisf90001_000N001_evt1.fits.gz"
ASPECT = "primary/pcadf90001_000N001_asol1.fits"
KINDS = {"evt1": "evt1", "asol": "asol1", "bpix": "bpix1", "flt": "flt1", "msk": "msk1", "mtl": "mtl1",
         "stat": "stat1", "pbk": "pbk0", "bias": "bias0"}


@pytest.fixture
def sim(simulated, tmp_path):
    """A copy of the archive, and of one observation of it alone."""
    shutil.copytree(simulated / "90001", tmp_path / "sim/90001")
    return tmp_path / "sim"


@pytest.fixture
def ciao(tmp_path, simulated, monkeypatch):
    """Stand-ins in PATH."""
    made = install(tmp_path / "ciao", blank_sky=sorted(simulated.glob("caldb/**/*.fits")), log=tmp_path / "log")
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    return made


def without(sim, kind):
    for path in sim.glob(f"90001/*/*_{KINDS[kind]}.fits*"):
        path.unlink()


def refusal(sim):
    return why_not(find_observation(sim, "90001"))


def test_files_are_staged_in_the_folders_of_the_archive(sim):
    eph = sim / "90001/primary/orbitf099999999N001_eph1.fits.gz"
    onboard = sim / "90001/secondary/aspect/pcadf100000000N001_osol1.fits.gz"
    onboard.parent.mkdir()
    for path in (eph, onboard):
        path.touch()
    folders = staging_folders(find_observation(sim, "90001"))
    assert {path.relative_to(sim / "90001" / folder).name for folder, paths in folders.items() for path in paths} == {
        path.name for path in sim.glob("90001/*ary/**/*") if path.is_file()}
    assert list(folders) == ["primary", "secondary", "secondary/aspect"]
    assert all(path.parent == sim / "90001" / folder for folder, paths in folders.items() for path in paths)


def test_files_of_one_flat_folder_are_staged_by_kind(sim):
    flat = sim / "90001"
    for path in [*flat.glob("primary/*"), *flat.glob("secondary/*")]:
        path.rename(flat / path.name)
    folders = staging_folders(find_observation(sim, "90001"))
    assert sorted(path.name.split(".")[0].rsplit("_", 1)[1] for path in folders["primary"]) == [
        "asol1", "bpix1", "evt2", "fov1"]
    assert {path.name.split(".")[0].rsplit("_", 1)[1] for path in folders["secondary"]} == {
        "evt1", "flt1", "msk1", "mtl1", "stat1", "pbk0", "bias0"}


@pytest.mark.parametrize("kind", KINDS)
def test_missing_files_are_reported_in_advance(sim, kind):
    assert refusal(sim) is None
    without(sim, kind)
    files = find_observation(sim, "90001")
    assert missing_files(files) == (kind,)
    assert refusal(sim) == (f"{sim / '90001'}: chandra_repro would refuse ObsID 90001: {kind} not found: fetch them "
                            "by 'download_chandra_obsid 90001'")


@pytest.mark.full
@pytest.mark.parametrize("kind", KINDS)
def test_the_tool_misses_the_same_files(sim, ciao, kind):
    without(sim, kind)
    done = subprocess.run(["chandra_repro", f"indir={sim / '90001'}", f"outdir={sim / 'out'}", "mode=h"],
                          env=ciao.variables(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert not (sim / "out/acisf90001_repro_evt2.fits").exists()
    assert f"Could not locate {KINDS[kind]}" in done.stdout or "Unable to locate level=1" in done.stdout


@pytest.mark.parametrize("key", ["ASCDSVER", "ASPTYPE", "DATAMODE"])
def test_keywords_of_the_level_1_events_are_checked(sim, key):
    fits.delval(sim / "90001" / EVT1, key, ext=1)
    assert f"acisf90001_000N001_evt1.fits.gz lacks {key} in its header" in refusal(sim)


def test_other_data_modes_are_refused(sim):
    fits.setval(sim / "90001" / EVT1, "DATAMODE", value="CC33_FAINT", ext=1)
    assert "has DATAMODE 'CC33_FAINT', which must be one of FAINT, VFAINT" in refusal(sim)


def test_an_aspect_solution_from_on_board_needs_its_folder(sim):
    fits.setval(sim / "90001" / EVT1, "ASPTYPE", value="OBC", ext=1)
    assert "ASPTYPE is 'OBC' and secondary/aspect/*_osol1.fits" in refusal(sim)
    (sim / "90001/secondary/aspect").mkdir()
    (sim / "90001" / ASPECT).rename(sim / "90001/secondary/aspect/pcadf100000000N001_osol1.fits")
    assert refusal(sim) is None


def test_two_files_of_a_kind_are_refused(sim):
    path = sim / "90001/secondary/acisf90001_000N001_msk1.fits.gz"
    shutil.copyfile(path, path.with_name("acisf90001_001N001_msk1.fits.gz"))
    assert "acisf90001_000N001_msk1.fits.gz and acisf90001_001N001_msk1.fits.gz are both of the kind msk" in (
        refusal(sim))


def test_two_aspect_solutions_of_the_whole_interval_are_refused(sim):
    path = sim / "90001" / ASPECT
    other = shutil.copyfile(path, path.with_name("pcadf90001_001N001_asol1.fits"))
    files = replace(find_observation(sim, "90001"), reprocessable=(path, other))
    assert any("are both aspect solutions of the whole interval" in text
               for text in reprocessing.other_obstacles(files))
    fits.setval(other, "CONTENT", value="ASPSOL", ext=1)  # of a part: the tool joins these
    assert not any("aspect solutions" in text for text in reprocessing.other_obstacles(files))


@pytest.mark.parametrize("obsid", ["82", "2010", "62796"])
def test_observations_of_several_intervals_are_refused(sim, obsid):
    assert int(obsid) in MULTI_OBI
    assert len(MULTI_OBI) == 30
    why = why_not(replace(find_observation(sim, "90001"), obsid=obsid))
    assert f"would refuse ObsID {obsid}: it has several observation intervals (OBI): split it by CIAO's splitobs" in why


def test_interleaved_observations_are_refused(sim):
    files = find_observation(sim, "90001")
    parts = [Path(f"acisf90001_000N001_{part}_evt1.fits") for part in ("e1", "e2")]
    assert "it is interleaved (e1, e2): split it by CIAO's splitobs" in why_not(replace(
        files, reprocessable=(*files.reprocessable[2:], *parts)))


@pytest.mark.usefixtures("ciao")
def test_a_run_by_ciao_stops_before_any_work(sim, tmp_path):
    without(sim, "pbk")
    work = configured(tmp_path / "work", sim, engine="ciao")
    with pytest.raises(InputError, match=r'would refuse ObsID 90001: pbk not found: .* or choose engine = "native"'):
        runner.run(work)
    assert {call["tool"] for call in read_log(tmp_path / "log")} <= {"ciaover"}
    assert not (work / "reprocessed_data").exists()


@pytest.mark.usefixtures("ciao")
def test_a_dry_run_and_scripts_report_missing_files(sim, tmp_path, capsys):
    without(sim, "bias")
    work = configured(tmp_path / "work", sim, engine="ciao")
    expected = "chandra_repro would refuse ObsID 90001: bias not found"
    assert command(["run", str(work), "--dry-run"]) == 0
    assert expected in capsys.readouterr().err
    assert command(["run", str(work), "--dry-run", "--script", str(tmp_path / "scripts")]) == 0
    assert expected in capsys.readouterr().err
    script = (tmp_path / "scripts/preprocess_data.sh").read_text()
    assert expected in script
    assert command(["run", str(work), "--dry-run", "--engine", "native"]) == 0
    assert expected not in capsys.readouterr().err


@pytest.mark.usefixtures("ciao")
def test_auto_selects_the_native_engine_with_a_reason(sim, tmp_path, capsys):
    without(sim, "pbk")
    work = configured(tmp_path / "work", sim, engine="auto", check_vf_pha=False)
    assert command(["run", str(work), "--dry-run"]) == 0
    warning = capsys.readouterr().err
    assert "pbk not found" in warning
    assert "the native engine is used instead" in warning
    assert command(["run", str(work), "--to", "2", "-j", "1"]) == 0
    assert "chandra_repro would refuse ObsID 90001: pbk not found" in capsys.readouterr().err
    assert "chandra_repro" not in {call["tool"] for call in read_log(tmp_path / "log")}


@pytest.mark.full
@pytest.mark.usefixtures("ciao")
def test_the_list_of_aspect_solutions_names_a_file_that_is_there(sim, tmp_path):
    work = configured(tmp_path / "work", sim, engine="ciao", check_vf_pha=False)
    assert command(["run", str(work), "--to", "2", "-j", "1", "-q"]) == 0
    folder = work / "reprocessed_data/90001"
    check_list(folder)
    assert command(["run", str(work), "--dry-run", "--script", str(tmp_path / "scripts"), "-q"]) == 0
    shutil.rmtree(folder)
    done = subprocess.run([tmp_path / "scripts/preprocess_data.sh"], env=os.environ.copy(), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    check_list(folder)


def check_list(folder):
    lines = (folder / "acisf90001_asol1.lis").read_text().splitlines()
    assert lines == ["pcadf90001_000N001_asol1.fits"]
    assert all((folder / line).is_file() for line in lines)
    assert [path.name for path in folder.parent.iterdir()] == ["90001"]
