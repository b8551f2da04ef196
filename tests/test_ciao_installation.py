"""CIAO is found as users have it, whole, in part and broken; and the archive's files are fetched by it, whole."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.ciao import find_installation, need_installation, parse_versions
from chandra_bin.ciao._installation import _versions
from chandra_bin.cli import run as command
from chandra_bin.cli._doctor_checks import examine
from chandra_bin.errors import InputError, ToolError
from chandra_bin.pipeline.fetch import fetch
from mirror import served
from pipeline_work import configured
from stand_ins.install import install

SAID = Path(__file__).parent / "ciao_output"


@pytest.mark.parametrize(("name", "versions"), [
    ("ciaover_conda_4.13", {"CIAO": "4.13.0", "contrib": "4.13.0"}),
    ("ciaover_4.18", {"CIAO": "4.18.0", "contrib": "1 (April 21, 2026)"}),
    ("ciaover_tar_4.15", {"CIAO": "4.15", "contrib": "0 (December 05, 2022)", "CALDB": "4.10.4"}),
    ("deflare", {})])
def test_versions_as_they_are_printed(name, versions):
    assert parse_versions((SAID / f"{name}.txt").read_text()) == versions


@pytest.fixture
def shell(monkeypatch, tmp_path):
    """Sets this process up as a shell with an installation: ``shell(made)``, or ``shell(None)``."""

    def set_up(made, **others):
        for name in ("ASCDS_INSTALL", "CALDB", "CONDA_PREFIX", "STAND_IN_FAULTS", "STAND_IN_CIAOVER"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PATH", os.defpath)
        for name, value in {**(made.env if made else {}), **others}.items():
            monkeypatch.setenv(name, str(value))
        _versions.cache_clear()
        return made

    monkeypatch.chdir(tmp_path)
    yield set_up
    _versions.cache_clear()


def test_a_tar_install(shell, tmp_path):
    made = shell(install(tmp_path / "ciao"))
    found = need_installation()
    assert (found.folder, found.caldb, found.is_of_conda) == (made.prefix, made.caldb, False)
    assert found.versions == {"CIAO": "4.17.0", "contrib": "4.17.0", "CALDB": "4.11.6"}
    assert found.has("wavdetect")


def test_a_conda_install_that_sets_nothing_but_path(shell, tmp_path, monkeypatch):
    made = install(tmp_path / "envs/ciao")
    (made.prefix / "conda-meta").mkdir()
    shell(made, CONDA_PREFIX=made.prefix, STAND_IN_CIAOVER="conda")
    monkeypatch.delenv("ASCDS_INSTALL")
    found = need_installation()
    assert (found.folder, found.is_of_conda) == (made.prefix, True)
    assert found.versions == {"CIAO": "4.17.0", "contrib": "4.17.0", "CALDB": "4.11.6"}


def test_none(shell):
    shell(None)
    assert find_installation() is None
    with pytest.raises(InputError, match=r"^CIAO is not set up \(no dmcopy in PATH\): activate"):
        need_installation()


@pytest.mark.parametrize("caldb", ["", "/no/such/folder"])
def test_half_of_one(shell, tmp_path, caldb):
    shell(install(tmp_path / "ciao", caldb=False), CALDB=caldb)
    assert find_installation().caldb is None
    assert not find_installation().has_blank_sky
    with pytest.raises(InputError, match=f"^CALDB must be the folder of the calibration database, got '{caldb}'"):
        need_installation()


@pytest.mark.parametrize("kind", ["exit1", "hang"])
def test_the_file_version_replaces_a_failed_ciaover(shell, tmp_path, monkeypatch, kind):
    monkeypatch.setattr("chandra_bin.ciao._installation._WAIT_S", 2.0)
    made = shell(install(tmp_path / "ciao"), STAND_IN_FAULTS=json.dumps({"ciaover": kind}))
    assert find_installation().versions["CIAO"] == "4.17.0"
    _versions.cache_clear()
    (made.prefix / "VERSION").unlink()
    with pytest.raises(InputError, match="the version of CIAO is unknown"):
        _ = find_installation().versions
    until = time.monotonic() + 10.0  # a killed process lasts until the kernel has taken it down
    while _left_of(made.prefix) and time.monotonic() < until:
        time.sleep(0.01)
    assert not _left_of(made.prefix)


def _left_of(prefix):
    return [path for path in Path("/proc").glob("[0-9]*/cmdline") if _is_of(path, prefix)]


def _is_of(cmdline, prefix):
    try:
        environment = (cmdline.parent / "environ").read_bytes()
        return f"ASCDS_INSTALL={prefix}".encode() in environment and cmdline.read_bytes().startswith(b"sleep")
    except OSError:
        return False


@pytest.mark.parametrize(("version", "is_refused"), [("4.14", True), ("4.15", False)])
def test_the_oldest_version_that_is_taken(shell, simulated, tmp_path, capsys, version, is_refused):
    """4.15: specextract has no resp_pos before."""
    shell(install(tmp_path / "ciao", version=version))
    found = findings(tmp_path)["CIAO"]
    assert found.found == f"{version}.0 (tar)"
    assert found.state == ("limited" if is_refused else "ok")
    assert "4.15 or newer is needed" in found.brings
    work = configured(tmp_path / "work", simulated, engine="ciao")
    if not is_refused:
        assert need_installation().versions["CIAO"] == f"{version}.0"
        return
    assert command(["run", str(work), "--to", "1", "--quiet"]) == 0  # nothing is asked of CIAO
    assert command(["run", str(work), "--to", "2", "--quiet"]) == 2
    assert f"CIAO {version}.0 is too old, 4.15 or newer is needed" in capsys.readouterr().err


def test_the_version_of_caldb_from_its_own_table(shell, tmp_path):
    made = shell(install(tmp_path / "ciao", missing=["ciaover"]))
    assert find_installation().versions == {"CIAO": "4.17.0"}
    fits.BinTableHDU(np.array([("4.11.5",), ("4.12.4",)], [("CALDB_VER", "S20")])).writeto(
        made.caldb / "docs/chandra/caldb_version/caldb_version.fits")
    _versions.cache_clear()
    assert find_installation().versions == {"CIAO": "4.17.0", "CALDB": "4.12.4"}


def test_the_blank_sky_package(shell, tmp_path):
    made = shell(install(tmp_path / "ciao"))
    assert not find_installation().has_blank_sky
    (made.blank_sky / "acis7sD2000-12-01bgstow_ctiN0003.fits").write_text("events")
    assert find_installation().has_blank_sky


# doctor


def findings(folder):
    return {each.what: each for each in examine(folder) if each.what in ("CIAO", "CIAO's tools", "CALDB", "blank sky")}


def test_the_doctor_finds_all(shell, tmp_path):
    made = shell(install(tmp_path / "ciao"))
    (made.blank_sky / "acis7.fits").write_text("events")
    found = findings(tmp_path)
    assert {each.state for each in found.values()} == {"ok"}
    assert found["CIAO"].found == "4.17.0 (tar)"
    assert found["CIAO"].brings.endswith(str(made.prefix))
    assert found["CALDB"].found == "4.11.6"
    assert found["CIAO's tools"].brings == "contributed scripts: 4.17.0"


def test_the_doctor_finds_missing_parts(shell, tmp_path):
    shell(install(tmp_path / "ciao", missing=["deflare", "blanksky"]))
    found = findings(tmp_path)
    assert {what: each.state for what, each in found.items()} == {
        "CIAO": "ok", "CIAO's tools": "missing", "CALDB": "ok", "blank sky": "missing"}
    assert "not in PATH: blanksky, deflare: conda install" in found["CIAO's tools"].brings
    assert found["blank sky"].brings.endswith("acis_bkg_evt")
    assert not any(each.is_needed for each in found.values())


def test_the_doctor_finds_no_calibration(shell, tmp_path):
    shell(install(tmp_path / "ciao", caldb=False, missing=["ciaover"]), CALDB="/gone")
    (tmp_path / "ciao/VERSION").unlink()
    found = findings(tmp_path)
    assert (found["CALDB"].state, found["CALDB"].found) == ("missing", "/gone")
    assert found["CIAO"].state == "limited"
    assert "the version of CIAO is unknown" in found["CIAO"].brings
    assert "blank sky" not in found


def test_the_doctor_finds_none(shell, tmp_path):
    shell(None)
    found = findings(tmp_path)
    assert {what: each.state for what, each in found.items()} == {"CIAO": "missing"}
    assert "activate its environment" in found["CIAO"].brings


# fetch


@pytest.fixture
def mirror(shell, simulated, tmp_path):
    with served(simulated, tmp_path / "mirror") as address:
        shell(install(tmp_path / "ciao", caldb=False), CDA_MIRROR_SITE=address)
        yield simulated


def files_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_observations_are_fetched(mirror, tmp_path, capsys):
    assert command(["init", "arch", "-o", "work", "--fetch", "90001,90002"]) == 0
    assert "2 ObsIDs were fetched into arch" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "arch").iterdir()) == ["90001", "90002"]
    event_file = next((mirror / "90001").rglob("*evt2.fits*")).relative_to(mirror)
    assert (tmp_path / "arch" / event_file).read_bytes() == (mirror / event_file).read_bytes()
    assert len(list((tmp_path / "work/logs").glob("fetch-0?-download_chandra_obsid.log"))) == 2


def test_those_that_are_there_are_left_alone(mirror, tmp_path):  # noqa: ARG001
    (tmp_path / "arch/90001").mkdir(parents=True)
    made = fetch(tmp_path / "arch", ["90001", "090002", "90002"], tmp_path / "logs")
    assert made == [tmp_path / "arch/90002"]
    assert not files_in(tmp_path / "arch/90001")
    assert fetch(tmp_path / "arch", ["90001", "90002"], tmp_path / "logs") == []


def test_fetched_observations_stay_after_an_unknown_obsid(mirror, tmp_path, capsys):  # noqa: ARG001
    assert command(["init", "arch", "-o", "work", "--fetch", "90001,99999,90002"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "ObsID 99999: download_chandra_obsid fetched no file (Skipping ObsId 99999 as it was not found" in line
    assert Path(line.rpartition("see ")[2]).is_file()
    assert [path.name for path in (tmp_path / "arch").iterdir()] == ["90001"]
    assert not (tmp_path / "work/config.json").exists()


@pytest.mark.parametrize("obsid", ["x1", "", "0", "1 2", "٣"])
def test_invalid_obsids_are_refused(tmp_path, obsid):
    with pytest.raises(InputError, match="invalid ObsID"):
        fetch(tmp_path / "arch", [obsid], tmp_path / "logs")
    assert not (tmp_path / "arch").exists()


@pytest.mark.parametrize("kind", ["exit1", "killed", "error-line"])
def test_no_half_observation_appears(mirror, tmp_path, monkeypatch, kind):  # noqa: ARG001
    program = tmp_path / "ciao/bin/download_chandra_obsid"
    end = {"exit1": "exit 1", "killed": "kill -9 $$", "error-line": "echo '# download_chandra_obsid (x): ERROR gone'"}
    program.write_text(f"#!/bin/sh\nmkdir -p $1/primary\necho half >$1/primary/acisf_evt2.fits.gz\n{end[kind]}\n")
    with pytest.raises((InputError, ToolError), match=r"^ObsID 90001: download_chandra_obsid: "):
        fetch(tmp_path / "arch", ["90001"], tmp_path / "logs")
    assert not list((tmp_path / "arch").iterdir())
    monkeypatch.setenv("PATH", os.defpath)
    with pytest.raises(InputError, match="no dmcopy in PATH"):
        fetch(tmp_path / "arch", ["90001"], tmp_path / "logs")
    assert not list((tmp_path / "arch").iterdir())
