"""The whole pipeline by CIAO's stand-ins: it gives what the native engine gives, and its scripts do the same.

The stand-ins are written apart from this code (tests/stand_ins). Where both know the rule, products are equal; exposure
maps and detections are each one's own, so regions are drawn by a user here.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from chandra_bin.ciao import Command, Runner, need_installation, tools
from chandra_bin.cli import run as command
from chandra_bin.errors import ToolError
from chandra_bin.pipeline import runner
from chandra_bin.pipeline.ciao import steps as ciao_steps
from chandra_bin.tasks.copy import copy_file
from chandra_bin.workflow.records import State
from pipeline_work import change_settings, configured, products
from pipeline_work import simulated as simulate
from required import absent
from stand_ins.install import install, read_log

pytestmark = pytest.mark.full

BY_CIAO = ("reprocess", "images", "clean", "merge", "sources", "crop", "spectra", "bin-tiles")
# The archive's events are not screened as VFAINT data can be. Few bins, since each costs a spectrum.
# Short bins of the light curve scatter, so that deflare cuts some.
SETTINGS = {"check_vf_pha": False, "lc_binsize": 120, "deflare_method": "clean",
            "sn": 60, "smooth_sn": 90}
CIAO_HEADER = "# Region file format: CIAO version 1.0\n"
DS9_HEADER = "# Region file format: DS9 version 4.1\n"
# Drawn by a user: for CIAO, and in DS9, whose degrees CIAO takes for pixels.
DRAWN = {
    "reprocessed_data/{obs}/{obs}_cluster.reg": "fk5\nellipse(258.11667,-23.37,252\",216\",38)",
    "reprocessed_data/{obs}/{obs}_src_0.5-7-noem.reg": "circle(17:12:42.5,-23:20:27,9\")\n"
                                                       "circle(17:12:21.0,-23:23:33,7\")",
    "merge_small/src_0.5-7-nps-noem.reg": "ellipse(17:12:28,-23:22:12,5.2',4.2',38)",
    "merge_small/broad_src_0.5-7-pointsources.reg": "circle(17:12:42.5,-23:20:27,9\")\n"
                                                    "circle(17:12:21.0,-23:23:33,7\")",
    "merge_small/square.reg": "rotbox(17:12:25,-23:22:34,7.2',8.4',0)",
}


def drawn(work):
    """A folder with a user's regions."""
    for name, shapes in DRAWN.items():
        for obs in ("90001", "90002") if "{obs}" in name else ("",):
            path = work / name.format(obs=obs)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(header_of(shapes) + shapes + "\n")
    return work


def header_of(shapes):
    return DS9_HEADER if shapes.startswith("fk5") else CIAO_HEADER


@pytest.fixture(scope="module")
def ciao(tmp_path_factory, archive):
    """Stand-ins in PATH, and a folder for what they are given."""
    folder = tmp_path_factory.mktemp("ciao")
    made = install(folder / "install", blank_sky=sorted(archive.glob("caldb/**/*.fits")), log=folder / "log")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in made.env.items():
            patch.setenv(name, value)
        yield folder


@pytest.fixture(scope="module")
def native(tmp_path_factory, archive):
    """With the blank skies of the calibration database, as CIAO has them."""
    work = drawn(configured(tmp_path_factory.mktemp("native"), archive, **SETTINGS,
                            blank_sky=[str(archive / "caldb")]))
    runner.run(work)
    return work


@pytest.fixture(scope="module")
def work(tmp_path_factory, archive, ciao):
    """Run by CIAO, two observations side by side; what the tools were given is in ``calls.json``."""
    folder = tmp_path_factory.mktemp("work")
    work = drawn(configured(folder / "work", archive, **SETTINGS, engine="auto"))
    assert command(["run", str(work), "--engine", "ciao", "--jobs", "2", "--quiet"]) == 0
    (folder / "calls.json").write_text(json.dumps(taken(ciao / "log")))
    return work


def taken(log):
    """The records of the calls so far, which are gone from the log then."""
    records = read_log(log)
    for path in log.glob("*.json"):
        path.unlink()
    return records


def on_one_grid(*paths):
    """Two images on all pixels of both, 0 where there is none."""
    images = []
    for path in paths:
        with fits.open(path) as hdus:
            header, data = hdus[0].header, np.nan_to_num(hdus[0].data).astype(float)
        size = header["CDELT1P"]
        edge = [header[f"CRVAL{n}P"] + (0.5 - header[f"CRPIX{n}P"]) * size for n in (1, 2)]
        first = [(each - 0.5) / size for each in edge]
        assert np.allclose(first, np.round(first), atol=1e-6), "pixels are not those of the grid"
        images.append((data, [round(each) for each in first]))
    corner = np.min([first for _, first in images], axis=0)
    end = np.max([np.add(first, data.shape[::-1]) for data, first in images], axis=0)
    made = []
    for data, first in images:
        whole = np.zeros((end - corner)[::-1])
        x, y = first - corner
        whole[y:y + data.shape[0], x:x + data.shape[1]] = data
        made.append(whole)
    return made


def test_both_engines_did_their_tasks(work, native):
    for folder, name in ((work, "ciao"), (native, "native")):
        for task, record in State(folder).records.items():
            assert record.engine == (name if task.split("/")[0] in BY_CIAO else "native")
    versions = State(work).records["merge"].versions
    assert versions == {"chandra-bin": versions["chandra-bin"], "CIAO": "4.17.0", "contrib": "4.17.0",
                        "CALDB": "4.11.6"}


@pytest.mark.parametrize("name", [
    *(f"reprocessed_data/{obs}/{obs}_{end}" for obs in ("90001", "90002")
      for end in ("raw_0.5-7_thresh.img", "0.5-7_thresh.img")),
    "merge_small/broad_thresh.img", "merge_small/broad_thresh_noem.img", "merge_small/broad_thresh_final.img",
    "merge_small/broad_mask.fits"])
def test_counts_and_masks_are_equal(work, native, name):
    ours, theirs = on_one_grid(native / name, work / name)
    assert ours.any()
    assert np.array_equal(ours, theirs), f"{np.count_nonzero(ours != theirs)} pixels of {name} differ"


@pytest.mark.parametrize("name", ["broad_bkg", "broad_bkg_final"])
def test_backgrounds_are_equal(work, native, name):
    """But for times that are drawn, and bad pixels: reproject_events puts events on them too."""
    ours, theirs = on_one_grid(*(folder / f"merge_small/{name}.img" for folder in (native, work)))
    share = ours.sum() / theirs.sum()
    assert theirs.sum() > 10_000
    assert 0.95 < share < 1
    ny, nx = (size // 30 * 30 for size in ours.shape)  # the dither is 8 pixels
    one, other = (image[:ny, :nx].reshape(ny // 30, 30, nx // 30, 30).sum(axis=(1, 3)) for image in (ours, theirs))
    enough = other > 50
    assert enough.sum() > 20
    assert ((one - share * other)[enough] ** 2 / (share * other)[enough]).max() < 16


def test_expected_backgrounds_are_equal(work, native):
    """Bad pixels are in the scale, too: expected counts in a pixel are the same without them."""
    expected = [fits.getdata(folder / "merge_small/broad_bkg.img") * fits.getdata(
        folder / "merge_small/broad_bkg_ratio.img") for folder in (native, work)]
    errors = [fits.getheader(folder / "merge_small/broad_bkg.img")["BKGFERR"] for folder in (native, work)]
    assert expected[0].sum() == pytest.approx(expected[1].sum(), rel=0.02)
    assert errors[0] == pytest.approx(errors[1], rel=0.2)


def table(path, name):
    """The columns of a table."""
    with fits.open(path) as hdus:
        return {column: np.array(hdus[name].data[column]) for column in hdus[name].columns.names}


@pytest.mark.parametrize("obs", ["90001", "90002"])
def test_light_curves_and_good_times_are_equal(work, native, obs):
    ours, theirs = (table(folder / f"reprocessed_data/{obs}/{obs}_0.5-7.lc", 1) for folder in (native, work))
    for column in ("TIME_MIN", "TIME_MAX", "COUNTS"):
        assert np.array_equal(ours[column], theirs[column])
    for column in ("EXPOSURE", "COUNT_RATE", "COUNT_RATE_ERR"):
        np.testing.assert_allclose(ours[column], theirs[column], rtol=1e-9)
    ours, theirs = (table(folder / f"reprocessed_data/{obs}/{obs}_0.5-7.gti", "GTI") for folder in (native, work))
    assert len(ours["START"]) > 1
    for column in ("START", "STOP"):
        assert np.array_equal(ours[column], theirs[column])


@pytest.mark.parametrize("name", ["reprocessed_data/{0}/acisf{0}_repro_evt2.fits",
                                  "reprocessed_data/{0}/{0}_0.5-7_nosources.evt",
                                  "reprocessed_data/{0}/acisf{0}_clean_evt.fits"])
@pytest.mark.parametrize("obs", ["90001", "90002"])
def test_events_are_equal(work, native, name, obs):
    ours, theirs = (table(folder / name.format(obs), "EVENTS") for folder in (native, work))
    for column in ("time", "ccd_id", "x", "y", "energy", "pi"):
        assert np.array_equal(ours[column], theirs[column]), column


@pytest.mark.parametrize("name", ["merge_small/broad_thresh.expmap", "reprocessed_data/90001/90001_0.5-7_thresh.expmap",
                                  "merge_small/broad_flux.img"])
def test_exposures_agree(work, native, name):
    """The formulas are the same, the code is not: at the rims of chips, pixels are cut into pieces of other sizes."""
    ours, theirs = on_one_grid(native / name, work / name)
    apart = np.abs(theirs - ours) / ours.max()
    assert np.count_nonzero(apart > 2e-3) < 0.01 * np.count_nonzero(ours)
    assert apart.max() < 0.03


def test_an_observation_that_merge_obs_leaves_out_is_an_error(work, ciao, tmp_path):
    """The script passes over it, and ends with exit code 0."""
    paths = [work / f"reprocessed_data/{obs}/acisf{obs}_clean_evt.fits" for obs in ("90001", "90002")]
    for path in paths[1].parent.iterdir():
        if path != paths[1]:
            (tmp_path / path.name).symlink_to(path)
    left_out = tmp_path / paths[1].name
    with fits.open(paths[1]) as hdus:
        hdus[1].header["READMODE"] = "CONTINUOUS"
        hdus.writeto(left_out)
    (tmp_path / "events.list").write_text(f"{paths[0]}\n{left_out}\n")
    (tmp_path / "merge").mkdir()
    caught = Runner(need_installation(), tmp_path, tmp_path / "logs", "merge", 600.0)
    call = tools.merge_obs(tmp_path / "events.list", tmp_path / "merge", bands="broad", binsize=16, psfecf=0.9,
                           expmapthresh="1.5%", refcoord=None, nproc=1, outputs=reprojected_by(work, tmp_path))
    with pytest.raises(ToolError, match=rf"not write 90002_reproj_evt.fits \(it warned: Skipping {left_out} as it "):
        caught.run(call, AsNamed())
    assert not list((tmp_path / "merge").glob("*_reproj_evt.fits"))
    taken(ciao / "log")


def reprojected_by(work, folder):
    """What the pipeline wants of merge_obs of each observation."""
    pipeline = runner.Pipeline(work, "ciao")
    plan = ciao_steps.merge(pipeline.layout, pipeline.settings, tuple(pipeline.archive))
    (call,) = [step for step in plan if isinstance(step, Command)]
    names = [path.name for path in call.outputs if path.name.endswith("_reproj_evt.fits")]
    assert names == ["90001_reproj_evt.fits", "90002_reproj_evt.fits"]
    return [folder / "merge" / name for name in names]


class AsNamed:
    def of(self, file):
        return file.path

    def has_shapes(self, region):
        return region.path.exists()


def test_users_regions_are_as_they_were(work, native):
    for name, shapes in DRAWN.items():
        for folder in (work, native):
            path = folder / name.format(obs="90001")
            assert path.read_text() == header_of(shapes) + shapes + "\n"


def test_bins_have_regions(work):
    bins = work / "spec_files/contbin_sn60_smooth90"
    table = Table.read(bins / "bins.ecsv")
    assert len(table) > 1
    assert len(list((bins / "outreg/sex").glob("xaf_*_sex.reg"))) == len(table)


def test_tools_share_no_files(work):
    calls = json.loads((work.parent / "calls.json").read_text())
    seen = [call["PFILES"].split(";")[0] for call in calls if call["tool"] != "ciaover"]
    assert len(seen) == len(set(seen)) > 20
    assert len({call["ASCDS_WORK_PATH"] for call in calls if call["tool"] != "ciaover"}) == len(seen)
    assert all(call["stdin_is_null"] and call["LC_ALL"] == "C" for call in calls)
    # Two observations at once: calls of one begin before one of the other has ended.
    by_obs = {obs: [call for call in calls if any(f"/{obs}" in word for word in call["argv"])
                    and not any(f"/{other}" in word for word in call["argv"] for other in {"90001", "90002"} - {obs})]
              for obs in ("90001", "90002")}
    assert any(one["start"] < other["end"] and other["start"] < one["end"]
               for one in by_obs["90001"] for other in by_obs["90002"])


def test_no_temporary_files_are_left(work, archive):
    assert not list(work.rglob("*.archive"))
    assert not [path for path in work.rglob("*") if path.is_symlink() and path.parent != work]
    assert not list((work / ".chandra-bin").glob("scratch/*"))
    # What chandra_repro unpacks is a copy of the archive's.
    assert (archive / "90001/secondary/acisf90001_000N001_evt1.fits.gz").exists()


def test_a_second_run_calls_no_tool(work, ciao):
    done = runner.run(work, engine="ciao")
    assert done.ran == ()
    assert {call["tool"] for call in taken(ciao / "log")} <= {"ciaover"}


def test_without_ciao_its_products_stay(work, monkeypatch):
    monkeypatch.setenv("PATH", os.defpath)
    assert {state.kind for state in runner.status(work)} == {"done"}


def test_another_version_makes_again(work):
    state = work / ".chandra-bin/state.json"
    content = state.read_text()
    state.write_text(content.replace('"CALDB": "4.11.6"', '"CALDB": "4.11.5"'))
    try:
        states = {each.task.name: each for each in runner.status(work)}
        assert "CALDB 4.11.5" in states["reprocess/90001"].why
    finally:
        state.write_text(content)


def normal(calls, *folders):
    """What tools were given, without what differs from run to run: places, and the order of observations."""
    places = "|".join(re.escape(str(folder)) for folder in folders)
    found = []
    for call in calls:
        words = (re.sub(r"=\S*/tmp$", "=TMP", word) for word in call["argv"])
        found.append((call["tool"], tuple(
            re.sub(rf"({places})/(\.chandra-bin/scratch/[0-9a-f]+/[\w-]+/)?", "", word) for word in words)))
    return sorted(found)


@pytest.fixture(scope="module")
def scripted(tmp_path_factory, archive, ciao, work):  # noqa: ARG001
    """The same, by the scripts; they come after the run, so that the log holds the calls of one of them."""
    folder = tmp_path_factory.mktemp("scripted")
    place = drawn(configured(folder / "work", archive, **SETTINGS, engine="ciao"))
    assert command(["run", str(place), "--dry-run", "--script", str(place / "scripts"), "--quiet"]) == 0
    taken(ciao / "log")
    for name in ("preprocess_data", "deflare_point_sources", "merge_data", "crop_data", "contour_binning",
                 "regCoordChange"):
        run_script(place, name)
    (folder / "calls.json").write_text(json.dumps(taken(ciao / "log")))
    return place


def run_script(work, name):
    """Runs a script from a folder that holds nothing of the pipeline."""
    elsewhere = work.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    made = subprocess.run([work / f"scripts/{name}.sh"], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          cwd=elsewhere, check=False,
                          env={**os.environ, "PATH": f"{chandra_bin_in(work.parent)}:{os.environ['PATH']}"})
    assert made.returncode == 0, f"{name}: {made.stdout[-2000:]}{made.stderr}"
    assert not list(elsewhere.iterdir())
    return made.stdout + made.stderr


def chandra_bin_in(folder):
    """A folder with the command of the package that is tested."""
    place = folder / "bin"
    place.mkdir(exist_ok=True)
    program = place / "chandra-bin"
    program.write_text(f"#!{sys.executable}\nfrom chandra_bin.cli import main\nmain()\n")
    program.chmod(0o755)
    return place


def test_scripts_and_runs_pass_the_same_arguments(work, scripted):
    run, script = (normal([call for call in json.loads((folder.parent / "calls.json").read_text())
                           if call["tool"] != "ciaover"], folder) for folder in (work, scripted))
    assert run == script
    assert len(run) > 25


def test_scripts_and_runs_make_the_same_products(work, scripted):
    """Byte for byte, but for pictures and headers that name the command."""
    names = [name for name in products(work) if name.endswith((".img", ".expmap", ".gti", ".lc", ".evt", ".reg"))
             or "binmap" in name or "mask" in name or "clean_evt" in name]
    assert len(names) > 60
    for name in names:
        one, other = work / name, scripted / name
        if name.endswith((".reg", ".list")):
            assert one.read_text() == other.read_text(), name
            continue
        with fits.open(one) as a, fits.open(other) as b:
            for left, right in zip(a, b, strict=True):
                assert left.data is None or left.data.tobytes() == right.data.tobytes(), name


def test_the_table_of_the_bins_is_that_of_a_run(work, scripted):
    ours, theirs = (Table.read(folder / "spec_files/contbin_sn60_smooth90/bins.ecsv") for folder in (work, scripted))
    assert ours.colnames == theirs.colnames
    for column in ours.colnames:
        assert np.array_equal(ours[column], theirs[column], equal_nan=ours[column].dtype.kind == "f"), column
    assert np.array_equal(ours["sn"], ours["sn_image"])


def test_scripts_make_the_link_of_a_run(work, scripted):
    links = [{path.name: os.readlink(path) for path in folder.iterdir() if path.is_symlink()}
             for folder in (work, scripted)]
    assert links[0] == links[1] == {"merge_small_90_60": "merge_small"}


def test_a_script_that_is_run_again_does_not_detect_again(scripted, ciao):
    """A user edits the regions, and runs it again: detections do not depend on them, and take longest."""
    taken(ciao / "log")
    run_script(scripted, "crop_data")
    assert {call["tool"] for call in taken(ciao / "log")} == {"dmcopy"}
    text = (scripted / "scripts/crop_data.sh").read_text()
    os.utime(scripted / "merge_small/broad_thresh.img")
    assert "is_newer merge_small/broad_src_0.5-7.fits merge_small/broad_thresh.img" in text
    run_script(scripted, "crop_data")
    assert {call["tool"] for call in taken(ciao / "log")} == {"wavdetect", "dmcopy"}


@pytest.mark.long
def test_scripts_run_twice_make_the_same(scripted, ciao):
    before = {name: (scripted / name).read_bytes() for name in products(scripted) if name.endswith((".reg", ".list"))}
    assert len(before) > 10
    pixels = {name: fits.getdata(scripted / name).tobytes() for name in products(scripted)
              if name.endswith((".img", ".expmap"))}
    for name in ("preprocess_data", "deflare_point_sources", "merge_data", "crop_data", "contour_binning",
                 "regCoordChange"):
        run_script(scripted, name)
    assert {name: (scripted / name).read_bytes() for name in before} == before
    assert {name: fits.getdata(scripted / name).tobytes() for name in pixels} == pixels
    taken(ciao / "log")


def test_a_folder_that_scripts_cannot_work_in_is_refused(archive, tmp_path, capsys):
    odd = configured(tmp_path / "a b", archive, engine="ciao")
    assert command(["run", str(odd), "--dry-run", "--script", str(tmp_path / "scripts")]) == 2
    assert "a b: scripts cannot be written for this folder" in capsys.readouterr().err
    assert not (tmp_path / "scripts").exists()


def test_scripts_are_sound(scripted):
    for path in sorted((scripted / "scripts").iterdir()):
        subprocess.run(["bash", "-n", path], check=True)
        text = path.read_text()
        assert text.startswith("#!/usr/bin/env bash\n")
        assert "\nset -euo pipefail\n" in text
        assert os.access(path, os.X_OK)


def test_shellcheck_finds_nothing(scripted):
    program = shutil.which("shellcheck")
    if program is None:
        absent("shellcheck", "shellcheck is not installed")
    found = subprocess.run([program, *sorted((scripted / "scripts").iterdir())], capture_output=True, text=True,
                           check=False)
    assert found.returncode == 0, found.stdout


def test_scripts_of_an_earlier_call_are_replaced_and_others_are_not(scripted, capsys):
    scripts = scripted / "scripts"
    assert command(["run", str(scripted), "--dry-run", "--script", str(scripts), "--quiet"]) == 0
    (scripts / "merge_data.sh").write_text("echo mine\n")
    assert command(["run", str(scripted), "--dry-run", "--script", str(scripts), "--quiet"]) == 2
    assert "merge_data.sh" in capsys.readouterr().err
    assert (scripts / "merge_data.sh").read_text() == "echo mine\n"


def test_an_empty_source_file_is_not_passed_to_tools(work, ciao):
    """An empty region file is not given to a tool, which would not read it."""
    for path in [work / "merge_small/broad_src_0.5-7-pointsources.reg"]:
        path.write_text("# none\n")
    taken(ciao / "log")
    done = runner.run(work, engine="ciao", last=6)
    assert set(done.ran) == {"crop"}
    assert not any("exclude" in word and "pointsources" in word for call in taken(ciao / "log")
                   for word in call["argv"])


def test_spectra_have_responses(work, ciao):
    change_settings(work, responses=True)
    done = runner.run(work, engine="ciao")
    assert {"spectra/90001", "spectra/90002"} <= set(done.ran)
    folder = work / "spec_files/contbin_sn60_smooth90/spectra/90001"
    bins = len(Table.read(folder.parents[1] / "bins.ecsv"))
    assert {path.name for path in folder.iterdir()} == {
        f"xaf_{number}{ending}" for number in range(bins) for ending in (".pi", ".arf", ".rmf", "_grp.pi")}
    calls = [call for call in taken(ciao / "log") if call["tool"] == "specextract"]
    assert len(calls) == 2 * -(-bins // 20)
    for call in calls:
        assert "resp_pos=MAX" in call["argv"]
        assert any(re.fullmatch(r"infile=@.*/lists/source_00\d\.list", word) for word in call["argv"])


def test_bins_are_extracted_one_by_one_if_a_list_fails(work, monkeypatch, capsys):
    """A call fails as a whole where one of its regions fails."""
    monkeypatch.setenv("STAND_IN_FAULTS", json.dumps({"specextract": [
        {"kind": "exit1", "match": "90001/lists/source_001.list"}, {"kind": "exit1", "match": "xaf_0_sex.reg"}]}))
    assert command(["run", str(work), "--engine", "ciao", "--only", "8", "--redo", "8", "-j", "1", "-q"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ObsID 90001: no spectrum of bin 0 (specextract: failed with exit code 1: ")
    folder = work / "spec_files/contbin_sn60_smooth90/spectra"
    for number in (0, 1):
        for ending in (".pi", ".arf", ".rmf", "_grp.pi"):
            assert (folder / f"90001/xaf_{number}{ending}").exists() == (number == 1)
            assert (folder / f"90002/xaf_{number}{ending}").exists()
    assert "one by one" in State(work).records["spectra/90001"].facts["bins of root_001.list"]
    monkeypatch.delenv("STAND_IN_FAULTS")


def test_the_script_extracts_the_spectra(scripted, ciao, monkeypatch, tmp_path):
    """It also extracts bin by bin where a list fails."""
    change_settings(scripted, responses=True)
    shutil.rmtree(scripted / "scripts")
    assert command(["run", str(scripted), "--dry-run", "--script", str(scripted / "scripts"), "--quiet"]) == 0
    script = scripted / "scripts/extract_spectra.sh"
    subprocess.run(["bash", "-n", script], check=True)
    if program := shutil.which("shellcheck"):
        subprocess.run([program, script], check=True)
    monkeypatch.setenv("STAND_IN_FAULTS", json.dumps({"specextract": [
        {"kind": "exit1", "match": "90001/lists/source_001.list"}, {"kind": "exit1", "match": "xaf_0_sex.reg"}]}))
    assert "warning: ObsID 90001: no spectrum of bin 0" in run_script(scripted, "extract_spectra")
    bins = scripted / "spec_files/contbin_sn60_smooth90"
    made = {str(path.relative_to(bins / "spectra")) for path in (bins / "spectra").rglob("*.*")}
    assert made == {f"{obs}/xaf_{number}{ending}" for obs in ("90001", "90002")
                    for number in range(len(Table.read(bins / "bins.ecsv")))
                    for ending in (".pi", ".arf", ".rmf", "_grp.pi") if (obs, number) != ("90001", 0)}
    for path in (bins / "spectra").rglob("xaf_?.pi"):
        obs = path.parent.name
        copy_file(f"{scripted}/reprocessed_data/{obs}/acisf{obs}_clean_evt.fits[ccd_id=7][pi=1:1024]"
                  f"[sky=region({bins}/outreg/sex/{path.stem}_sex.reg)]", tmp_path / f"{obs}_{path.stem}.fits")
        assert fits.getdata(path, 1)["COUNTS"].sum() == len(fits.getdata(tmp_path / f"{obs}_{path.stem}.fits", 1)) > 100
    taken(ciao / "log")


def test_spectra_are_made_in_a_folder_with_a_blank(work, ciao):
    """specextract refuses a current folder with a blank, and chandra-bin reaches the files through a link."""
    odd = work.parent / "a b (c)"
    shutil.copytree(work, odd, symlinks=True)
    taken(ciao / "log")
    assert command(["run", str(odd), "--engine", "ciao", "--only", "8", "--redo", "8", "-j", "1", "-q"]) == 0
    calls = [call for call in taken(ciao / "log") if call["tool"] == "specextract"]
    assert [call["status"] for call in calls] == [0, 0]
    assert all(re.fullmatch(r"[\w./-]+", call["cwd"]) for call in calls)
    for obs in ("90001", "90002"):
        assert (odd / f"spec_files/contbin_sn60_smooth90/spectra/{obs}/xaf_0.pi").is_file()
    shutil.rmtree(odd)


@pytest.mark.long
@pytest.mark.parametrize("array", ["I", "S"])
def test_four_observations_side_by_side_are_as_one_after_another(tmp_path, array, monkeypatch):
    """FAINT and VFAINT take turns."""
    archive = simulate(tmp_path / "archive", array=array, obsids=4, datamode="mixed")
    made = install(tmp_path / "install", blank_sky=sorted(archive.glob("caldb/**/*.fits")))
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    works = [configured(tmp_path / f"jobs{jobs}", archive, engine="ciao") for jobs in (1, 4)]
    for work, jobs in zip(works, (1, 4), strict=True):
        runner.run(work, jobs=jobs)
    names = [sorted(products(work)) for work in works]
    assert names[0] == names[1]
    for name in names[0]:
        if name.endswith((".img", ".expmap", ".fits", ".evt", ".lc", ".gti", ".psfmap", ".psf")):
            with fits.open(works[0] / name) as one, fits.open(works[1] / name) as other:
                for left, right in zip(one, other, strict=True):
                    assert left.data is None or left.data.tobytes() == right.data.tobytes(), name


@pytest.mark.usefixtures("without_pictures", "plain_report")
def test_step_9_makes_the_responses_of_tiles_and_step_10_temperatures(work, ciao):
    """The last test of the module: it adds to the folder."""
    taken(ciao / "log")
    before = set(State(work).records)
    change_settings(work, spectra=True, redshift=0.1, nh=0.05, model="brems", tiles_per_chip=2)
    assert {each.task.name for each in runner.status(work) if each.kind != "done"} > {"bin-tiles", "fit"}
    done = runner.run(work, engine="ciao", jobs=2)
    assert set(done.ran) == {"bin-spectra", "bin-tiles", "bin-responses", "fit", "maps"} - before
    calls = [call["tool"] for call in taken(ciao / "log")]
    assert [calls.count(tool) for tool in ("asphist", "mkacisrmf", "mkarf")] == [2, 4, 4]
    layout = runner.Pipeline(work).layout
    table = Table.read(layout.made_tiles)
    assert len(table) == 4
    assert {path.name for path in layout.made_tiles.parent.glob("90001/*.arf")} == {
        name.rpartition("/")[2] for name in table["arf"][table["obsid"] == 90001]}
    image = fits.getdata(layout.maps / "kt.fits")
    assert 1.5 < np.nanmedian(image) < 10
    assert all(each.kind == "done" for each in runner.status(work))
    # A lost file is made again: by a copy, not by CIAO.
    next(layout.made_tiles.parent.glob("90001/*.arf")).unlink()
    assert "bin-tiles" in runner.run(work, engine="ciao").ran
    assert not {"mkarf", "asphist"} & {call["tool"] for call in taken(ciao / "log")}
