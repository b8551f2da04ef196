"""``chandra-bin init``: what a folder of the archive holds and lacks, and the configuration made of it."""

import os
import shutil
from pathlib import Path

import pytest
from astropy.io import fits

from chandra_bin.cli import run
from chandra_bin.pipeline.archive import find_observation
from chandra_bin.pipeline.config import read_config
from event_files import random_events, write_events
from files import listing


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sim(simulated, place):
    """A copy of the archive, as ./sim."""
    return shutil.copytree(simulated, place / "sim")


def observation(folder, obsid, **attributes):
    """An ObsID of events only."""
    (folder / obsid / "primary").mkdir(parents=True)
    write_events(folder / obsid / f"primary/acisf{int(obsid):05d}_000N001_evt2.fits", random_events(20), obsid=obsid,
                 **attributes)


def settings(work="work"):
    return read_config(Path(work)).settings


def rows(out):
    """The printed table: a dict for each line, split where the heads begin."""
    head, *lines = out.splitlines()
    words = ["ObsID", "target", "date", "array", "chip", "mode", "ks", "from first", "evt1", "evt2", "asol", "bpix",
             "fov", "msk", "flt", "mtl", "stat", "pbk", "bias", "blank sky"]
    at = [head.index(f"{'  ' if n else ''}{word}") + (2 if n else 0) for n, word in enumerate(words)]
    return [{word: line[start:end].strip() for word, start, end in zip(words, at, [*at[1:], None], strict=True)}
            for line in lines[:-2]]


def fails(capsys, *arguments):
    """The one line of an error, without the name of the command."""
    assert run(["init", *map(str, arguments)]) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("chandra-bin init: error: ")
    return line.removeprefix("chandra-bin init: error: ")


@pytest.mark.usefixtures("sim")
def test_a_simulated_folder_is_complete(capsys):
    assert run(["init", "sim", "-o", "work"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    first, second = rows(said.out)
    assert first == {
        "ObsID": "90001", "target": "Simulated cluster", "date": "2001-03-03", "array": "ACIS-I", "chip": "3",
        "mode": "VFAINT", "ks": "0.2", "from first": "0.0'", **dict.fromkeys(
            ("evt1", "evt2", "asol", "bpix", "fov", "msk", "flt", "mtl", "stat", "pbk", "bias"), "yes"),
        "blank sky": "4"}
    assert second["ObsID"] == "90002"
    assert 0 < float(second["from first"].rstrip("'")) < 15
    assert said.out.splitlines()[-2:] == [
        "2 of 2 ObsIDs, 0.5 ks; target S/N 70, contour S/N 42 (0.6 times sn, at least 20); the settings are in "
        "work/config.json",
        "next: chandra-bin run work  # run the pipeline"]
    assert listing("work") == ["config.json"]
    made = settings()
    assert (made.name, made.cluster_directory, made.obs_ids) == ("simulatedcluster", "../sim", ["90001", "90002"])


def test_the_configuration_leads_to_the_files(sim, place):
    assert run(["init", "sim", "-o", "work", "-q"]) == 0
    config = read_config(place / "work")
    for obsid in config.settings.obs_ids:
        found = find_observation(config.cluster_directory, obsid, config.settings.blank_sky)
        assert found.events.samefile(find_observation(sim, obsid).events)
        assert len(found.blank_sky) == 4


@pytest.mark.usefixtures("sim")
def test_options_become_settings():
    assert run(["init", "sim", "-o", "work", "--toml", "--name", "A2029", "--sn", "40", "--smooth-sn", "55.5",
                "--binning-image", "counts", "--obsid", "90002"]) == 0
    assert listing("work") == ["config.toml"]
    made = settings()
    assert (made.name, made.sn, made.smooth_sn, made.binning_image, made.obs_ids) == (
        "A2029", 40, 55.5, "counts", ["90002"])


@pytest.mark.usefixtures("sim")
def test_quiet_prints_nothing(capsys):
    assert run(["init", "sim", "-o", "work", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("target", "name"), [
    ("Abell 2029", "abell2029"), ("MSH 15-52", "msh15-52"), ("Perseus / core", "perseuscore"), ("..-", "groearchive"),
    ("", "groearchive"), ("1E 0657-56", "1e0657-56")])
def test_the_name_is_the_targets_made_safe(place, target, name):
    observation(place / "größe Archive", "754", header={"OBJECT": target})
    assert run(["init", "größe Archive", "-o", "work"]) == 0
    assert settings().name == name


def test_missing_files_are_said_with_the_line_that_fetches_them(sim, capsys):
    (sim / "90002/secondary/acisf90002_000N001_evt1.fits.gz").unlink()
    (sim / "90002/primary/pcadf90002_000N001_asol1.fits").unlink()
    shutil.rmtree(sim / "90002/blanksky")
    assert run(["init", "sim", "-o", "work"]) == 0
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "warning: ObsID 90002: evt1, asol not found (chandra_repro needs evt1, asol)",
        "warning: ObsID 90002: no blank-sky events, unlike 90001",
        "warning: fetch missing files by: cd sim && download_chandra_obsid 90002"]
    first, second = rows(said.out)
    assert {word for word in second if first[word] == "yes" and second[word] == "no"} == {"evt1", "asol"}
    assert second["blank sky"] == "no"


def database(folder, *names):
    """CALDB with empty blank-sky files."""
    skies = folder / "data/chandra/acis/bkgrnd"
    skies.mkdir(parents=True)
    for name in names:
        (skies / name).touch()
    return folder


LATE = [f"acis{chip}iD2012-01-01bkgrnd_ctiN0001.fits" for chip in range(4)]
EARLY = [f"acis{chip}iD2000-12-01bkgrnd_ctiN0002.fits" for chip in (0, 2, 3)]
NO_CTI = "events: CTI_APP, which selects the blank sky by a letter for each of 10 chips, is None: reprocess the events"


@pytest.mark.parametrize(("files", "changes", "said", "counts"), [
    ([*EARLY, "acis1iD2000-12-01bkgrnd_ctiN0002.fits"], {}, [], ["4", "4"]),
    (LATE, {}, ["caldb: has no blank sky for ObsID 90001 (chip 0, 1, 2, 3, aim point on ACIS-I, {0}, with CTI "
                "correction), 90002 (chip 0, 1, 2, 3, aim point on ACIS-I, {1}, with CTI correction): update CALDB's "
                "package acis_bkgrnd"], ["no", "no"]),
    (EARLY, {}, ["caldb: has no blank sky for ObsID 90001 (chip 1, aim point on ACIS-I, {0}, with CTI correction), "
                 "90002 (chip 1, aim point on ACIS-I, {1}, with CTI correction): update CALDB's package acis_bkgrnd"],
     ["3", "3"]),
    ([], {}, ["ObsID 90001, 90002: no blank sky of CALDB: caldb: holds no blank-sky files (acis*bkgrnd*.fits in "
              "data/chandra/acis/bkgrnd): install CALDB's package acis_bkgrnd, or give its folder"], ["no", "no"]),
    (EARLY, {"CTI_APP": None}, [f"ObsID 90001, 90002: no blank sky of CALDB: {NO_CTI} (chandra_repro)"],
     ["no", "no"]),
    # Chip 1 without CTI correction is in no version of the database: an update does not help.
    ([name.replace("_cti", "") for name in EARLY], {"CTI_APP": "N" * 10}, [
        "caldb: has no blank sky for ObsID 90001 (chip 1, aim point on ACIS-I, {0}, without CTI correction), 90002 "
        "(chip 1, aim point on ACIS-I, {1}, without CTI correction)"], ["3", "3"]),
])
def test_the_reason_why_the_database_has_no_blank_sky_is_one_line(sim, capsys, monkeypatch, files, changes, said,
                                                                  counts):
    dates = []
    for path in sorted(sim.glob("*/primary/*evt2*")):
        shutil.rmtree(path.parents[1] / "blanksky")
        with fits.open(path, mode="update") as hdus:
            dates.append(hdus[1].header["DATE-OBS"][:10])
            for key, value in changes.items():
                hdus[1].header[key] = value
                if value is None:
                    del hdus[1].header[key]
    monkeypatch.setenv("CALDB", str(database(sim.parent / "db", *files)))
    assert run(["init", "sim", "-o", "work"]) == 0
    told = capsys.readouterr()
    lines = [line.replace(str(sim.parent / "db"), "caldb") for line in told.err.splitlines()]
    assert lines == [f"warning: {line.format(*dates)}" for line in said]
    assert [row["blank sky"] for row in rows(told.out)] == counts


@pytest.mark.parametrize("kind", ["mtl", "stat", "pbk", "bias"])
def test_all_that_chandra_repro_needs_is_listed(sim, capsys, kind):
    for path in sim.glob(f"90001/secondary/*_{kind}[01].fits.gz"):
        path.unlink()
    assert run(["init", "sim", "-o", "work"]) == 0
    said = capsys.readouterr()
    assert said.err.splitlines()[0] == f"warning: ObsID 90001: {kind} not found (chandra_repro needs {kind})"
    assert rows(said.out)[0][kind] == "no"


def test_two_files_where_chandra_repro_takes_one_are_said(sim, capsys):
    path = sim / "90001/secondary/acisf90001_000N001_flt1.fits.gz"
    shutil.copyfile(path, path.with_name("acisf90001_001N001_flt1.fits.gz"))
    assert run(["init", "sim", "-o", "work"]) == 0
    assert capsys.readouterr().err.startswith("warning: ObsID 90001: chandra_repro would refuse it: acisf90001_000N001")


def test_the_line_that_fetches_names_all_that_lack_something(place, capsys):
    for obsid in ("16626", "754"):
        observation(place / "a b", obsid)
    (place / "a b/5/primary").mkdir(parents=True)
    assert run(["init", "a b", "-o", "work"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == (
        "warning: fetch missing files by: cd 'a b' && download_chandra_obsid 5,754,16626")
    assert run(["init", "a b/754", "-o", "work2"]) == 0
    assert f"by: cd '{place / 'a b'}' && download_chandra_obsid 754\n" in capsys.readouterr().err


def test_obsids_without_use_are_left_out_with_a_warning(place, capsys):
    observation(place / "archive", "1")
    observation(place / "archive", "2", header={"READMODE": "CONTINUOUS"})
    observation(place / "archive", "3", header={"INSTRUME": "HRC"})
    (place / "archive/4/secondary").mkdir(parents=True)
    assert run(["init", "archive", "-o", "work"]) == 0
    assert settings().obs_ids == ["1"]
    said = capsys.readouterr()
    for obsid, why in (("2", "continuous clocking"), ("3", "is of HRC"), ("4", "no level-2 events")):
        assert any(line.startswith(f"warning: ObsID {obsid} is skipped: ") and why in line
                   for line in said.err.splitlines())
    assert [row["target"] for row in rows(said.out)[1:]] == ["left out"] * 3
    assert said.out.splitlines()[-2].startswith("1 of 4 ObsIDs")


def test_nothing_left_is_an_error_that_says_why(place, capsys):
    observation(place / "archive", "2", header={"READMODE": "CONTINUOUS"})
    assert "ObsID 2 is in continuous clocking mode" in fails(capsys, "archive", "-o", "work")
    assert not (place / "work").exists()


@pytest.mark.parametrize(("dec", "word"), [(0.2, False), (0.3, True), (0.9, True)])
def test_observations_that_hardly_meet_are_a_warning(place, capsys, dec, word):
    for obsid, shift in (("1", 0), ("2", dec), ("3", dec / 2)):
        observation(place / "archive", obsid, dec=-59 + shift)
    assert run(["init", "archive", "-o", "work"]) == 0
    assert (f"ObsIDs 1 and 2 point {60 * dec:.0f}' apart" in capsys.readouterr().err) == word


def test_observations_far_apart_make_no_configuration(place, capsys):
    for obsid, dec in (("1", -59), ("2", -59.7), ("3", -58.3), ("4", 20)):
        observation(place / "archive", obsid, dec=dec)
    line = fails(capsys, "archive", "-o", "work")
    assert "too far for one cluster" in line
    assert "4 are" in line
    assert "--obsid" in line
    # Each is within a degree of the first, but not of the other.
    assert "ObsIDs 2 and 3 are 1.4 degrees apart" in fails(
        capsys, "archive", "-o", "work", "--obsid", "1", "--obsid", "2", "--obsid", "3")
    assert not (place / "work").exists()
    assert run(["init", "archive", "-o", "work", "--obsid", "1", "--obsid", "2"]) == 0
    assert settings().obs_ids == ["1", "2"]


@pytest.mark.parametrize("there", ["config.json", "config.toml"])
@pytest.mark.usefixtures("sim")
def test_a_folder_with_a_configuration_is_refused_unharmed(place, capsys, there):
    (place / "work/.chandra-bin").mkdir(parents=True)
    (place / "work/.chandra-bin/state.json").write_text("state")
    (place / "work" / there).write_text("mine")
    assert fails(capsys, "sim", "-o", "work", "--toml") == f"work/{there}: exists already; edit it, or remove it"
    assert capsys.readouterr().out == ""
    assert listing("work") == [".chandra-bin", ".chandra-bin/state.json", there]
    assert (place / "work" / there).read_text() == "mine"
    assert (place / "work/.chandra-bin/state.json").read_text() == "state"


@pytest.mark.parametrize("work", ["sim", "sim/.", "sim/90001", "sim/90001/work", "sim/90002/primary", "link"])
def test_products_do_not_lie_among_the_archives_files(sim, place, capsys, work):
    (place / "link").symlink_to(sim)
    before = listing(sim)
    assert "give another folder, such as" in fails(capsys, "sim", "-o", work)
    assert listing(sim) == before


@pytest.mark.parametrize(("directory", "work", "path"), [
    ("sim", "sim/work", ".."), (".", "work", "../sim"), ("sim/90001", "sim/90001/work", ".."),
    ("sim", "a/b/c", "../../../sim"), ("sim", "a/b/c/d", None), ("sim/90001/..", "work", "../sim"),
    ("link", "work", "../link"), ("sim", "linked", "../../sim")])
def test_the_path_in_the_configuration_is_relative_nearby(sim, place, directory, work, path):
    (place / "link").symlink_to(sim)
    (place / "deep/er").mkdir(parents=True)
    (place / "linked").symlink_to(place / "deep/er")
    if directory == ".":
        os.chdir(sim)
        directory, work = ".", "../work"
    assert run(["init", directory, "-o", work, "-q"]) == 0
    assert settings(work).cluster_directory == (path or str(sim))
    assert read_config(Path(work)).cluster_directory.samefile(directory)


def test_what_has_only_the_root_in_common_is_absolute(sim):
    from chandra_bin.pipeline import survey

    assert survey._path_from(sim.parent / "work", survey.Path("/usr/data")) == "/usr/data"


@pytest.mark.parametrize("name", ["with blank", "größer µ", "b[0-9]{x}*", "a'b\"c\\", "@list"])
@pytest.mark.parametrize("toml", [False, True])
def test_odd_names_of_folders_are_written_and_read(sim, place, name, toml):
    sim.rename(place / name)
    assert run(["init", str(place / name), "-o", f"{name} work", "-q", *["--toml"] * toml]) == 0
    config = read_config(place / f"{name} work")
    assert find_observation(config.cluster_directory, "90001").obsid == "90001"


def test_names_that_are_no_text_are_refused(sim, place, capsys):
    odd = os.fsdecode(b"bad\xff")
    sim.rename(place / odd)
    assert run(["init", odd, "-o", "work"]) == 2
    assert "cluster_directory" in capsys.readouterr().err
    assert not (place / "work").exists()


@pytest.mark.parametrize(("arguments", "message"), [
    (["--sn", "nan"], "sn = nan: input should be a finite number"),
    (["--sn", "0"], "sn = 0.0: input should be greater than 0"),
    (["--smooth-sn", "-1"], "smooth_sn = -1.0"), (["--name", "a b"], "name = 'a b': must have letters"),
    (["--name", ""], "name = ''"), (["--name", "../x"], "name = '../x'"),
    (["--obsid", "7"], "sim: ObsID 7 not found, only 90001, 90002"), (["--obsid", "x"], "ObsID x not found"),
    (["--binning-image", "flux"], "'flux' is not one of"), (["--sn", "x"], "'x' is not a valid float")])
@pytest.mark.usefixtures("sim")
def test_wrong_options_are_said(place, capsys, arguments, message):
    assert run(["init", "sim", "-o", "work", *arguments]) == 2
    assert capsys.readouterr().out == ""
    assert message in fails(capsys, "sim", "-o", "work", *arguments)
    assert not (place / "work").exists()


def test_bad_folders_are_said(place, capsys):
    (place / "empty").mkdir()
    (place / "file").touch()
    assert fails(capsys, "none", "-o", "work") == "none: no such folder"
    assert fails(capsys, "file", "-o", "work").startswith("file: is a file")
    assert fails(capsys, "empty", "-o", "work").startswith("empty: no observations found")
    observation(place / "archive", "1")
    assert fails(capsys, "archive", "-o", "file")== "file: is a file: give a folder"
    assert "Missing option '-o'" in fails(capsys, "archive")
    assert listing(".") == ["archive", "archive/1", "archive/1/primary",
                            "archive/1/primary/acisf00001_000N001_evt2.fits", "empty", "file"]


def test_two_event_files_of_an_obsid_are_said(sim, place, capsys):
    primary = sim / "90002/primary"
    shutil.copy(primary / "acisf90002_000N001_evt2.fits.gz", primary / "acisf90002_mine_evt2.fits.gz")
    line = fails(capsys, "sim", "-o", "work")
    assert "acisf90002_000N001_evt2.fits.gz and sim/90002/primary/acisf90002_mine_evt2.fits.gz: are distinct" in line
    assert not (place / "work").exists()


def test_a_truncated_file_is_said(sim, place, capsys):
    path = sim / "90002/primary/acisf90002_000N001_evt2.fits.gz"
    path.write_bytes(path.read_bytes()[:20_000])
    assert "acisf90002_000N001_evt2.fits.gz: the compressed file is truncated" in fails(capsys, "sim", "-o", "work")
    assert not (place / "work").exists()
