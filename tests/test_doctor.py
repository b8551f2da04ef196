"""``chandra-bin doctor``, asked by a stranger: it must work where other things do not."""

import errno
import fcntl
import json
import os
import platform
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import chandra_bin
from apec_files import write_apec
from chandra_bin._checks import memory
from chandra_bin.cli import run
from chandra_bin.cli._doctor_checks import examine
from chandra_bin.pipeline.config import write_config
from files import listing

PROGRAM = Path(sysconfig.get_path("scripts")) / "chandra-bin"


def ask(folder, *words, path="", site=None):
    """Exit code and findings by component, of a process with this PATH, and these modules before others."""
    done = subprocess.run([PROGRAM, "doctor", "--json", *words], cwd=folder, capture_output=True, text=True,
                          check=False, env={"PATH": str(path), **({"PYTHONPATH": str(site)} if site else {})})
    assert not done.stderr
    return done.returncode, {each["what"]: each for each in json.loads(done.stdout)}


def found_in(folder):
    return {each.what: each for each in examine(folder)}


def test_where_all_is_well(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = found_in(tmp_path)
    assert not [each for each in found.values() if each.is_needed and each.state != "ok"]
    assert found["Python"].found == platform.python_version()
    assert found["chandra-bin"].found == chandra_bin.__version__
    assert found["numpy"].found == np.__version__
    kernels = list((Path(chandra_bin.__file__).parent / "_kernels").glob("*.pyi"))
    assert found["compiled kernels"].found == f"{len(kernels)} load"
    assert {"file locking", "symbolic links", "disk", "memory", "cores", "DS9", "distributed"} <= set(found)
    assert not listing(tmp_path)
    assert run(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(found)
    for line, each in zip(lines, found.values(), strict=True):
        assert line.startswith(each.what)
        assert f"  {each.state} " in line
        assert line.endswith(each.brings if each.what not in ("memory", "disk") else "")
    # In columns.
    assert {line.index(each.brings) for line, each in zip(lines, found.values(), strict=True)
            if each.what not in ("memory", "disk")} == {lines[0].index(found["Python"].brings)}


def test_every_package_that_is_needed_is_looked_for(tmp_path):
    project = (Path(__file__).resolve().parents[1] / "pyproject.toml").read_text()
    wanted = project.split("\ndependencies = [")[1].split("]")[0]
    names = {line.split('"')[1].split(">")[0] for line in wanted.splitlines() if '"' in line and ";" not in line}
    assert names
    assert names <= {each.what for each in examine(tmp_path) if each.is_needed}


def test_ds9_is_found_on_the_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = found_in(tmp_path)["DS9"]
    assert (missing.state, missing.found) == ("missing", "")
    assert "https://ds9.si.edu" in missing.brings
    program = tmp_path / "ds9"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    found = found_in(tmp_path)["DS9"]
    assert (found.state, found.found) == ("ok", str(program))


def distribution(site, name, version, *lines):
    """What pip leaves of a package, without the package."""
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}",
                                                *lines, ""]))


def test_packages_that_are_missing_or_old(tmp_path):
    site = tmp_path / "site"
    distribution(site, "chandra_bin", "9.9", "Requires-Python: >=3.99", "Requires-Dist: nowhere-to-be-found>=1.2",
                 "Requires-Dist: numpy>=999.1,<1000", "Requires-Dist: click", "Provides-Extra: more",
                 'Requires-Dist: for-more>=1; extra == "more"',
                 'Requires-Dist: for-dask>=1; extra == "distributed" and python_version > "3"',
                 'Requires-Dist: for-windows>=2; sys_platform == "win32"')
    code, found = ask(tmp_path, site=site)
    assert code == 1
    assert found["chandra-bin"]["found"] == "9.9"
    assert found["nowhere-to-be-found"] == {
        "what": "nowhere-to-be-found", "state": "missing", "found": "", "is_needed": True,
        "brings": "chandra-bin needs it: pip install 'nowhere-to-be-found>=1.2'"}
    assert (found["numpy"]["state"], found["numpy"]["found"]) == ("missing", np.__version__)
    assert "999.1 or newer" in found["numpy"]["brings"]
    assert found["click"]["state"] == "ok"
    for name, brings in (("for-more", "the extra more of chandra-bin uses it: pip install '.[more]'"),
                         ("for-dask", "batches on a cluster of machines, through Dask: pip install "
                                      "'.[distributed]'"),
                         ("for-windows", "chandra-bin uses it: pip install 'for-windows>=2'")):
        assert found[name] == {"what": name, "state": "missing", "found": "", "is_needed": False, "brings": brings}
    assert (found["Python"]["state"], found["Python"]["found"]) == ("missing", platform.python_version())


def test_what_cannot_be_imported(tmp_path):
    """A kernel of another Python, a package that is broken."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(
        "import sys\nsys.modules['chandra_bin._kernels._boxes'] = sys.modules['numpy'] = None\n")
    code, found = ask(tmp_path, site=tmp_path / "site")
    assert code == 1
    assert found["compiled kernels"]["state"] == "missing"
    assert "_boxes (import of chandra_bin._kernels._boxes halted" in found["compiled kernels"]["brings"]
    assert (found["numpy"]["state"], found["numpy"]["found"]) == ("missing", np.__version__)
    assert "it is broken (ModuleNotFoundError: import of numpy halted" in found["numpy"]["brings"]


@pytest.mark.full
def test_an_optional_package(tmp_path):
    site = tmp_path / "site"
    distribution(site, "distributed", "2042.1")
    (site / "distributed.py").touch()
    code, found = ask(tmp_path, site=site)
    assert code == 0
    assert (found["distributed"]["state"], found["distributed"]["found"]) == ("ok", "2042.1")
    (site / "distributed.py").write_text("raise RuntimeError('no scheduler')\n")
    code, found = ask(tmp_path, site=site)
    assert code == 0
    assert found["distributed"]["state"] == "missing"
    assert "RuntimeError: no scheduler" in found["distributed"]["brings"]


def test_a_folder_where_nothing_can_be_written(capsys):
    assert run(["doctor", "--json", "/proc"]) == 1
    found = {each["what"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["folder"]["state"] == "missing"
    assert found["folder"]["brings"].startswith("/proc cannot be written to (")
    assert (found["disk"]["state"], found["disk"]["found"]) == ("limited", "0.0 GB")
    assert "file locking" not in found


@pytest.mark.parametrize("name", ["none", "file"])
def test_a_folder_that_is_none(tmp_path, name, capsys):
    (tmp_path / "file").touch()
    assert run(["doctor", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err == f"chandra-bin doctor: error: {tmp_path / name}: no such folder\n"


def fails_with(number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    return fail


def test_file_systems_without_locks_and_links(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "symlink", fails_with(errno.EPERM))
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", fails_with(errno.ENOLCK))
        found = found_in(tmp_path)
        assert (found["file locking"].state, found["file locking"].is_needed) == ("missing", True)
        assert f"({os.strerror(errno.ENOLCK)})" in found["file locking"].brings
        assert run(["doctor", str(tmp_path)]) == 1
    assert (found["symbolic links"].state, found["symbolic links"].is_needed) == ("limited", False)
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    found = found_in(tmp_path)
    assert (found["file locking"].state, found["file locking"].found) == ("limited", "has no effect")
    assert not listing(tmp_path)


def test_little_memory_and_one_core(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("500000000\n")
    monkeypatch.setitem(memory._LIMITS, tmp_path / "memory.max", "")
    found = found_in(tmp_path)["memory"]
    assert (found.state, found.found) == ("limited", "0.5 GB")
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert found_in(tmp_path)["cores"].found == "1"
    finally:
        os.sched_setaffinity(0, cores)


def test_the_files_of_the_model_are_looked_for(tmp_path, monkeypatch):
    """AtomDB's tables where programs keep them, and in the folder of a pipeline those of its settings."""
    monkeypatch.delenv("HEADAS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ATOMDB", str(tmp_path / "none"))
    found = found_in(tmp_path)
    assert "model" not in found
    assert (found["AtomDB"].state, found["AtomDB"].is_needed) == ("missing", False)
    assert "fetch them from atomdb.org and give their folder" in found["AtomDB"].brings
    values = {"name": "a", "cluster_directory": ".", "obs_ids": ["1"], "spectra": True, "redshift": 0.1}
    tiles = {"response_tiles": "tiles.ecsv"}
    for name, more, state in (("one", {"apec": "../tables", **tiles}, "missing"),
                              ("two", {"model": "brems", **tiles}, "ok"),
                              ("three", {"apec": "../tables", "spectra": False}, None),
                              ("four", {"apec": "../tables", "engine": "native"}, None),
                              ("five", {"apec": "../tables"}, None)):  # without CIAO no fit is planned
        write_config(tmp_path / name, values | more)
        model = found_in(tmp_path / name).get("model")
        assert (model and model.state) == state
    write_apec(tmp_path / "tables")
    assert found_in(tmp_path / "one")["model"].state == "ok"
    (tmp_path / "one/config.json").write_text("{")
    assert "config.json: cannot be read" in found_in(tmp_path / "one")["model"].brings
    monkeypatch.setenv("ATOMDB", str(tmp_path / "tables"))
    assert found_in(tmp_path)["AtomDB"].found == "9.9.1"
