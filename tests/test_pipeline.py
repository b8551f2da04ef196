"""The pipeline: what it makes, what it makes again, and what it says when it cannot go on."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table

from chandra_bin.cli import run as command
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError
from chandra_bin.fits.images import read_image_file
from chandra_bin.pipeline import proposing, runner
from chandra_bin.pipeline.config import read_config
from chandra_bin.pipeline.layout import Layout
from chandra_bin.regions import read_regions, region_mask
from chandra_bin.tasks.copy import copy_file
from chandra_bin.workflow.records import State
from file_traffic import bytes_written, counted_files, whole_reads
from pipeline_work import SMALL, change_settings, configured, products, started

TASKS = ["look", "reprocess/90001", "images/90001", "clean/90001", "reprocess/90002", "images/90002", "clean/90002",
         "merge", "flux", "sources", "crop", "bin", "sky-regions"]


@pytest.fixture
def whole(finished):
    """A finished pipeline, which tests read only."""
    return finished


@pytest.fixture
def work(whole, archive, tmp_path):
    """A finished pipeline of its own."""
    copy = tmp_path / "work"
    shutil.copytree(whole, copy, symlinks=True)
    change_settings(copy, cluster_directory=str(archive))
    state = copy / ".chandra-bin/state.json"
    here, there = (os.path.relpath(archive, folder) for folder in (whole, copy))
    state.write_text(state.read_text().replace(here + "/", there + "/"))
    return copy


def layout_of(work):
    settings = read_config(work).settings
    return Layout.of(work, settings)


def data(path):
    return read_image_file(path).data


def test_all_tasks_are_done(whole):
    assert {each.task.name: each.kind for each in runner.status(whole)} == dict.fromkeys(TASKS, "done")


def test_files_have_the_paths_of_the_step_scripts(whole):
    for name in ("reprocessed_data/90001/acisf90001_repro_evt2.fits", "reprocessed_data/90001/90001_0.5-7_thresh.img",
                 "reprocessed_data/90001/90001_0.5-7_thresh.expmap", "reprocessed_data/90001/90001_0.5-7.psf",
                 "reprocessed_data/90001/90001_src_0.5-7.fits", "reprocessed_data/90001/90001_src_0.5-7-noem.reg",
                 "reprocessed_data/90001/90001_0.5-7.lc", "reprocessed_data/90001/90001_0.5-7.gti",
                 "reprocessed_data/90001/acisf90001_clean_evt.fits",
                 "reprocessed_data/90001/90001_background_clean.evt",
                 "merge_small/merged_evt.fits", "merge_small/broad_thresh.img", "merge_small/broad_flux.img",
                 "merge_small/broad_thresh.expmap", "merge_small/scaled_broad_flux.fits",
                 "merge_small/broad_thresh_noem.img", "merge_small/scaled_broad_flux_cropped.fits",
                 "merge_small/scaled_broad_flux_final.fits", "merge_small/square.reg", "merge_small/min_xy.reg",
                 "merge_small_20_15/broad_mask.fits", "map_files/scaled_broad_flux_final.fits",
                 "spec_files/contbin_sn15_smooth20/contbin_binmap.fits",
                 "spec_files/contbin_sn15_smooth20/outreg/xaf_0.reg",
                 "spec_files/contbin_sn15_smooth20/outreg/sex/xaf_0_sex.reg"):
        assert (whole / name).is_file(), name
    assert os.readlink(whole / "merge_small_20_15") == "merge_small"


def test_counts_are_conserved_from_step_to_step(whole):
    layout = layout_of(whole)
    for obsid in ("90001", "90002"):
        obs = layout.obs(obsid)
        with fits.open(obs.clean_events) as file:
            rows = file["EVENTS"].data
            header = file["EVENTS"].header
        assert header["CALIB"] == "ARCHIVE"
        band = (rows["energy"] >= 500) & (rows["energy"] < 7000) & (rows["ccd_id"] == 7)
        image, exposure = data(obs.image), data(obs.expmap)
        # What the threshold cut is at the rim, and little.
        assert 0.99 * band.sum() < image.sum() <= band.sum()
        assert not image[exposure == 0].any()
        times = fits.getdata(obs.good_times, "GTI")
        inside = np.logical_or.reduce([(rows["time"] >= a) & (rows["time"] < b) for a, b in times])
        assert inside.all()
    merged = data(layout.image)
    assert merged.sum() == sum(data(layout.merged / f"{obsid}_broad_thresh.img").sum() for obsid in ("90001", "90002"))
    facts = State(whole).records["crop"].facts
    assert facts["counts kept"] + facts["counts in sources"] + facts["counts outside the area"] == merged.sum()
    assert data(layout.final_image)[data(layout.mask) == 1].sum() == facts["counts kept"]


def test_regions_cover_the_binmap_exactly(whole):
    layout = layout_of(whole)
    binmap = read_image_file(layout.binmap)
    coords = ImageCoords(binmap.header)
    for folder, ending in ((layout.bin_regions, ""), (layout.sky_regions, "_sex")):
        painted = np.full(binmap.data.shape, -1)
        for number in range(binmap.data.max() + 1):
            inside = region_mask(read_regions(folder / f"xaf_{number}{ending}.reg"), coords, binmap.data.shape)
            assert (painted[inside] == -1).all()
            painted[inside] = number
        np.testing.assert_array_equal(painted, binmap.data)


@pytest.mark.full
def test_bands_are_settings_and_part_of_names(work):
    change_settings(work, band="0.5:2:1.5", bands=["hard"])
    runner.run(work)
    layout = layout_of(work)
    assert layout.image == work / "merge_small/0.5-2_thresh.img"
    assert layout.scaled_flux == work / "merge_small/scaled_0.5-2_flux.fits"
    rows = fits.getdata(layout.obs("90001").clean_events, "EVENTS")
    for label, low, high in (("0.5-2", 500, 2000), ("hard", 2000, 7000)):
        band = (rows["energy"] >= low) & (rows["energy"] < high) & (rows["ccd_id"] == 7)
        image = data(work / f"reprocessed_data/90001/90001_{label}_thresh.img")
        assert 0.99 * band.sum() < image.sum() <= band.sum()
        merged = data(work / f"merge_small/{label}_thresh.img")
        assert merged.sum() == sum(data(work / f"merge_small/{obsid}_{label}_thresh.img").sum()
                                   for obsid in ("90001", "90002"))
        assert (work / f"merge_small/{label}_flux.img").is_file()
    assert data(layout.final_image).sum() <= data(layout.image).sum()
    assert not list(work.glob("merge_small/broad_*"))
    assert not list(work.glob("reprocessed_data/*/*_0.5-7*"))


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("binning_image", ["scaled_flux", pytest.param("counts", marks=pytest.mark.full)])
def test_the_table_has_both_signals_to_noise(work, binning_image):
    change_settings(work, binning_image=binning_image)
    runner.run(work)
    layout = layout_of(work)
    table = Table.read(layout.bin_table)
    binmap, counts = data(layout.binmap), data(layout.final_image)
    np.testing.assert_allclose(table["counts"], [counts[binmap == b].sum() for b in table["bin"]])
    expected = data(layout.final_background) * data(layout.final_background_ratio)
    np.testing.assert_allclose(table["background"], [expected[binmap == b].sum() for b in table["bin"]], rtol=1e-5)
    np.testing.assert_allclose(table["sn"], table["signal"] / table["noise"])
    np.testing.assert_array_equal(data(layout.bins / "contbin_sn.fits")[binmap >= 0],
                                  np.asarray(table["sn"], np.float32)[binmap[binmap >= 0]])
    assert not table["reached"][table["sn"] < 15].any()
    if binning_image == "counts":
        np.testing.assert_allclose(table["sn"], table["sn_image"], rtol=1e-6)
        assert np.median(table["sn"]) == pytest.approx(15, rel=0.05)
        assert not layout.bins.joinpath("contbin_sn_image.fits").exists()
    else:
        scaled = data(layout.final_flux)
        sums = np.array([scaled[binmap == b].sum(dtype=float) for b in table["bin"]])
        np.testing.assert_allclose(table["sn_image"], sums / (1 + np.sqrt(sums + 0.75)), rtol=1e-4)
        assert np.median(table["sn_image"]) == pytest.approx(15, rel=0.05)
        assert "the target is 15 in the scaled flux; bins have" in State(work).records["bin"].facts["S/N in counts"]


def test_a_finished_pipeline_runs_no_task(work):
    before = products(work)
    assert runner.run(work).ran == ()
    assert products(work) == before
    assert {each.kind for each in runner.status(work, verify=True)} == {"done"}


# What each change makes run again: the tasks that depend on it, and no others.
CHANGES = {
    "sn": (40, ["bin", "sky-regions"]),
    "smooth_sn": (30, ["bin", "sky-regions"]),
    "constrain": (2, ["bin", "sky-regions"]),
    "binning_image": ("scaled_flux", ["bin", "sky-regions"]),
    "contours": ("counts", ["bin", "sky-regions"]),
    "background_systematic": (0.1, ["bin", "sky-regions"]),
    "flux_factor": (2.0, ["flux", "crop"]),
    "ccd_ids": ("6:7", ["images/90001", "clean/90001", "images/90002", "clean/90002", "merge", "flux", "sources",
                        "crop", "bin", "sky-regions"]),
}


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("name", [name if name in ("sn", "flux_factor") else
                                  pytest.param(name, marks=pytest.mark.full) for name in CHANGES])
def test_a_changed_setting_makes_dependent_tasks_again(work, name):
    value, expected = CHANGES[name]
    change_settings(work, **{name: value})
    assert list(runner.run(work).ran) == expected
    assert runner.run(work).ran == ()


def test_a_setting_that_records_lack_makes_tasks_again_unless_it_has_its_default(work):
    """As the records of an earlier version, which did not have the setting."""
    file = work / ".chandra-bin/state.json"
    content = json.loads(file.read_text())
    assert content["tasks"]["bin"]["settings"].pop("contours") == "flux"
    file.write_text(json.dumps(content))
    assert {each.kind for each in runner.status(work)} == {"done"}
    change_settings(work, contours="counts")
    assert {each.task.name: each.why for each in runner.status(work)}["bin"] == "contours is new: 'counts'"


@pytest.mark.usefixtures("without_pictures")
def test_the_order_of_observations_is_that_of_merged_events(work):
    change_settings(work, obs_ids=["90002", "90001"])
    assert list(runner.run(work, last=4).ran) == ["look", "merge"]


@pytest.mark.full
def test_aspect_of_other_names_is_used_by_all_steps(archive, tmp_path):
    """Names that are not those of the header, and too long for one card of it."""
    folder = tmp_path / "sim"
    shutil.copytree(archive / "90001", folder / "90001")
    (aspect,) = folder.rglob("*asol1.fits")
    first, second = (aspect.with_name(f"{letter * 40}_asol1.fits") for letter in "ab")
    shutil.copyfile(aspect, second)
    with fits.open(aspect, mode="update") as file:
        file[1].data = file[1].data[:len(file[1].data) // 2]
    with fits.open(second, mode="update") as file:
        file[1].data = file[1].data[len(file[1].data) // 2:]
    aspect.rename(first)
    work = configured(tmp_path / "work", folder)
    runner.run(work, last=4)
    records = State(work).records
    layout = layout_of(work)
    for task, expmap in (("images/90001", layout.obs("90001").raw_expmap), ("merge", layout.merged /
                                                                             "90001_broad_thresh.expmap")):
        assert {f"reprocessed_data/90001/{path.name}" for path in (first, second)} <= set(records[task].inputs)
        assert fits.getheader(expmap)["EXPASP"] == "asol"
    assert not any("ASOLFILE" in text for text in records["merge"].warnings)


# A pipeline in a process of its own, which notes of each task the settings that it reads, and the files that it opens.
WATCHED = """
import json, os, sys
from pathlib import Path
from chandra_bin.pipeline import runner
from chandra_bin.pipeline.config import Settings

found, going = {}, []

def note_file(event, arguments):
    if event == "open" and going and isinstance(arguments[0], (str, os.PathLike)) and not arguments[2] & os.O_WRONLY:
        found[going[0]]["files"].append(os.path.realpath(arguments[0]))

def note_setting(settings, name):
    if going and name in type(settings).model_fields:
        found[going[0]]["settings"].append(name)
    return object.__getattribute__(settings, name)

def note_task(event):
    if event.kind == "begins":
        going[:] = [event.task.name]
        found[going[0]] = {"files": [], "settings": []}
    elif event.kind == "done":
        going.clear()

sys.addaudithook(note_file)
Settings.__getattribute__ = note_setting
runner.run(Path(sys.argv[1]), jobs=1, watch=note_task)
print(json.dumps(found))
"""


@pytest.mark.full
@pytest.mark.parametrize("settings", [{}, {"contours": "counts", "blank_sky": []}, {"ccd_ids": "6:7"}])
def test_tasks_depend_on_all_that_they_read(archive, tmp_path, settings):
    """What a task reads and does not declare could change, and the task would still count as done."""
    work = configured(tmp_path / "work", archive, **settings)
    words = [sys.executable, "-W", "ignore", "-c", WATCHED, work]
    found = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
    assert set(found) == set(TASKS)
    files = 0
    for task in runner.Pipeline(work).tasks:
        # The runner reads the engine, and chooses that of each task.
        assert set(found[task.name]["settings"]) - {"engine"} <= set(task.settings), task.name
        folders = archive, *(work / name for name in ("reprocessed_data", "merge_small", "spec_files", "map_files"))
        data = {path for path in map(Path, found[task.name]["files"]) if any(map(path.is_relative_to, folders))}
        inputs = {Path(os.path.abspath(work / name)) for name in State(work).records[task.name].inputs}
        assert data <= inputs, task.name
        files += len(data)
    assert files > 50


@pytest.mark.full
def test_bins_of_another_target_sn_stay(work):
    before = products(work)
    change_settings(work, sn=40)
    runner.run(work)
    after = products(work)
    assert {name: after.get(name) for name in before} == before
    assert (work / "spec_files/contbin_sn40_smooth20/contbin_binmap.fits").is_file()
    assert os.readlink(work / "merge_small_20_40") == "merge_small"
    change_settings(work, sn=15)
    runner.run(work)
    assert products(work) == after


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(("name", "expected"), [
    ("merge_small/square.reg", ["crop", "bin", "sky-regions"]),
    *(pytest.param(*each, marks=pytest.mark.full) for each in (
        ("merge_small/src_0.5-7-nps-noem.reg", ["crop", "bin", "sky-regions"]),
        ("merge_small/broad_src_0.5-7-pointsources.reg", ["crop", "bin", "sky-regions"]),
        ("reprocessed_data/90001/90001_cluster.reg",
         ["clean/90001", "merge", "flux", "sources", "crop", "bin", "sky-regions"]))),
])
def test_an_edited_region_makes_dependent_tasks_again(work, name, expected):
    region = work / name
    edited = region.read_text().splitlines()
    last = edited[-1].rsplit("(", 1)
    sizes = last[1].rstrip(")").split(",")
    sizes[2] = f"{float(sizes[2].rstrip(chr(39))) * 0.8:.4f}{chr(39) if chr(39) in sizes[2] else ''}"
    edited[-1] = f"{last[0]}({','.join(sizes)})"
    region.write_text("\n".join(edited) + "\n")
    text = region.read_text()
    ran = list(runner.run(work).ran)
    # A task whose inputs came out the same, byte for byte, is not run.
    assert ran[0] == expected[0]
    assert [task for task in expected if task in ran] == ran
    assert region.read_text() == text
    assert runner.run(work).ran == ()
    region.unlink()
    assert runner.run(work).ran[0] == expected[0]
    assert region.read_text() != text


def test_a_damaged_product_is_made_again(work):
    before = products(work)
    layout = layout_of(work)
    layout.flux.write_bytes(layout.flux.read_bytes()[:10_000])
    states = {each.task.name: each for each in runner.status(work)}
    assert states["merge"].kind == "to do"
    assert "broad_flux.img" in states["merge"].why
    assert list(runner.run(work).ran) == ["merge"]
    assert products(work) == before
    kept = list((work / ".chandra-bin/replaced").rglob("broad_flux.img"))
    assert [path.stat().st_size for path in kept] == [10_000]


def test_a_touched_product_is_not_made_again(work):
    layout = layout_of(work)
    content = layout.flux.read_bytes()
    layout.flux.unlink()
    layout.flux.write_bytes(content)
    assert runner.run(work).ran == ()


def spoil_unseen(file):
    """Changes bytes of a file, and nothing that can be seen without reading it."""
    status = file.stat()
    with file.open("r+b") as pixels:
        pixels.seek(-3000, os.SEEK_END)
        pixels.write(b"\x01\x02\x03")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_verify_finds_changes_that_keep_size_and_time(work):
    runner.run(work)  # the files of a copy are other files, and are taken over
    flux = layout_of(work).flux
    spoil_unseen(flux)
    assert {each.kind for each in runner.status(work)} == {"done"}
    assert "broad_flux.img has changed since it was made" in {each.why.split("/")[-1]
                                                      for each in runner.status(work, verify=True)}


@pytest.mark.full
def test_run_makes_tasks_again_that_verify_finds(work, capsys):
    before = products(work)
    runner.run(work)  # the files of a copy are other files, and are taken over
    flux = layout_of(work).flux
    spoil_unseen(flux)
    assert command(["status", str(work), "--verify"]) == 1
    assert "run --verify" in capsys.readouterr().out.splitlines()[-1]
    assert command(["run", str(work), "--verify"]) == 0
    assert products(work) == before
    assert command(["status", str(work), "--verify"]) == 0


@pytest.mark.full
def test_another_name_has_folders_of_its_own(work):
    before = products(work)
    change_settings(work, name="other")
    assert runner.run(work).ran[:4] == ("merge", "flux", "sources", "crop")
    after = products(work)
    assert {name: after.get(name) for name in before} == before
    assert (work / "merge_other/broad_mask.fits").is_file()


@pytest.mark.full
def test_an_empty_source_file_removes_no_source(work):
    (work / "merge_small/broad_src_0.5-7-pointsources.reg").write_text("# Region file format: CIAO version 1.0\n")
    runner.run(work)
    assert State(work).records["crop"].facts["counts in sources"] == 0
    assert runner.run(work).ran == ()


def test_a_step_is_made_again_when_asked(work):
    before = products(work)
    assert list(runner.run(work, redo=[7]).ran) == ["bin"]
    assert products(work) == before


def test_redo_of_a_step_outside_the_range_is_refused(work):
    with pytest.raises(InputError, match="step 7 cannot be made again in a run of steps 1 to 5"):
        runner.run(work, last=5, redo=[7])
    assert {each.kind for each in runner.status(work)} == {"done"}


@pytest.mark.full
def test_a_region_that_is_drawn_while_its_step_runs_is_kept(work, monkeypatch):
    """The step began with a proposal: its products are not those of the user's region."""
    before = products(work)
    region = layout_of(work).area
    make = proposing.propose_area

    def draw(*arguments, **named):
        made = make(*arguments, **named)
        region.write_text(region.read_text() + "# mine\n")
        return made

    monkeypatch.setattr(proposing, "propose_area", draw)
    with pytest.raises(InputError, match=r"step 6: .*square.reg: changed during processing: run again"):
        runner.run(work, redo=[6])
    assert region.read_text().endswith("# mine\n")
    assert {name for name, digest in products(work).items() if digest != before[name]} == {
        str(region.relative_to(work))}
    monkeypatch.undo()
    runner.run(work)
    assert region.read_text().endswith("# mine\n")


def test_a_link_leads_to_the_folder(work, tmp_path):
    """From elsewhere, so that a relative path from the link leads to another place."""
    link = tmp_path / "some/where/link"
    link.parent.mkdir(parents=True)
    link.symlink_to(work)
    runner.run(work)
    assert runner.run(link).ran == ()
    assert runner.run(link, redo=[2], last=2).ran == ("reprocess/90001", "reprocess/90002")


def test_a_dry_run_lists_the_tasks_to_run(work, capsys):
    change_settings(work, sn=40)
    before = products(work)
    assert command(["run", str(work), "--dry-run"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "2 tasks to run; target S/N 40, contour S/N 20 (smooth_sn)"
    assert [line.split()[2:4] for line in lines if "done" not in line] == [["bin", "to"], ["sky-regions", "waits"]]
    assert "sn was 15" in "\n".join(lines)
    assert products(work) == before


@pytest.mark.parametrize(("settings", "text"), [
    ({"sn": 15, "smooth_sn": None}, "target S/N 15, contour S/N 20 (0.6 times sn, at least 20)"),
    ({"sn": 70, "smooth_sn": None}, "target S/N 70, contour S/N 42 (0.6 times sn, at least 20)"),
    ({"sn": 15, "smooth_sn": 100}, "target S/N 15, contour S/N 100 (smooth_sn)")])
def test_a_run_prints_the_sn_in_use(work, capsys, settings, text):
    change_settings(work, **settings)
    assert command(["run", str(work), "--to", "6"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"0 tasks to run; {text}"
    assert command(["run", str(work), "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith(f" to run; {text}")
    assert command(["run", str(work), "--to", "6", "-q"]) == 0
    assert capsys.readouterr().out == ""


def test_a_dry_run_marks_steps_that_are_not_selected(work, capsys):
    change_settings(work, sn=40)
    assert command(["run", str(work), "--dry-run", "--to", "6"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("0 tasks to run; ")
    assert [line.split()[2:] for line in lines if "done" not in line] == [
        ["bin", "to", "do", "not", "selected"], ["sky-regions", "waits", "not", "selected"]]


@pytest.mark.full
def test_a_report_that_is_older_than_the_state_is_written_again(work, capsys):
    """As after a run that was killed before its report."""
    assert command(["run", str(work)]) == 0
    page = layout_of(work).report
    first = page.stat().st_mtime_ns
    assert command(["run", str(work)]) == 0
    assert page.stat().st_mtime_ns == first
    os.utime(work / ".chandra-bin/state.json")
    assert command(["run", str(work)]) == 0
    assert page.stat().st_mtime_ns > first
    assert capsys.readouterr().out.count("0 of 13 tasks were run") == 3


@pytest.mark.usefixtures("without_pictures")
def test_steps_can_be_run_one_by_one(archive, tmp_path):
    work = configured(tmp_path, archive)
    with pytest.raises(InputError, match=r"step 1 is not done \(look: has not run\)"):
        runner.run(work, first=2, last=2)
    for step in (1, 2):
        runner.run(work, first=step, last=step)
    assert not (work / "merge_small").exists()
    flags = json.loads((work / "config.json").read_text())["flags"]
    assert flags["reprocessed"] is True
    assert flags["flare_filtered"] is False


@pytest.mark.full
def test_jobs_and_threads_change_no_product(archive, whole, tmp_path):
    work = configured(tmp_path, archive)
    runner.run(work, jobs=2, threads=2)
    assert products(work) == products(whole)


@pytest.mark.full
def test_events_are_read_four_times_and_written_three_times(archive, tmp_path, monkeypatch):
    work = configured(tmp_path, archive)
    with counted_files(monkeypatch) as opened:
        runner.run(work)
    files = [*archive.glob("*/primary/*evt2.fits.gz"), *work.glob("reprocessed_data/*/*evt*"),
             *work.glob("merge_small/*evt.fits")]
    reads = {path.name: whole_reads(opened, path) for path in files}
    assert len(reads) == 2 + 2 * 4 + 1
    assert min(reads.values()) >= 1  # the checksum of each
    assert max(reads.values()) <= 4, reads

    written = [path for path in files if archive not in path.parents]
    assert [bytes_written(opened, path) for path in written] == [path.stat().st_size for path in written]
    for obsid in ("90001", "90002"):
        (whole,) = archive.glob(f"{obsid}/primary/*evt2.fits.gz")
        rows = fits.getheader(whole, 1)["NAXIS2"]
        of_it = [path for path in written if "background" not in path.name
                 and path.parent.name in (obsid, "merge_small")]
        # The events of the light curve are a small part.
        large = [path.name for path in of_it if fits.getheader(path, 1)["NAXIS2"] > rows / 3]
        assert len(large) == 3, large


def test_flags_follow_the_state(work):
    flags = json.loads((work / "config.json").read_text())["flags"]
    assert all(flags.values())
    layout_of(work).binmap.unlink()
    runner.run(work, first=1, last=6)
    flags = json.loads((work / "config.json").read_text())["flags"]
    assert flags["contour_binning"] is False
    assert flags["merge_data"] is True


@pytest.mark.full
def test_a_second_run_is_refused(archive, tmp_path, capsys):
    work = configured(tmp_path, archive)
    with started("run", work, "-j", "1") as first:
        lock = work / ".chandra-bin/lock"
        while not (lock.exists() and lock.read_text()):
            time.sleep(0.01)
            assert first.poll() is None
        assert command(["run", str(work)]) == 2
        error = capsys.readouterr().err
        assert f"is in use by PID {first.pid} on {os.uname().nodename}" in error
        assert command(["status", str(work)]) == 0
        first.send_signal(signal.SIGINT)
        assert first.wait(60) == 130
    assert runner.run(work, last=1).ran in ((), ("look",))


def test_the_log_holds_every_call(whole):
    (log,) = (whole / "logs").glob("*.log")
    text = log.read_text()
    assert str(whole) not in text
    for word in ("make_flux_images('reprocessed_data/90001/acisf90001_clean_evt.fits[ccd_id=7]'", "deflare(",
                 "merge_observations(",
                 "bin_image('merge_small/broad_thresh_final.img', 'spec_files/contbin_sn15_smooth20', "
                 "BinningOptions(smooth_sn=20.0, contours='flux', constrain=3.0), ImageFiles(background=",
                 "S/N in counts: the target is 15 in counts; bins have", "contours: flux smoothed to S/N 20"):
        assert word in text


def test_simulated_events_have_no_calibration_warning(whole):
    warnings = [text for record in State(whole).records.values() for text in record.warnings]
    assert not any("not reprocessed" in text for text in warnings)
    facts = [State(whole).records[f"reprocess/{obsid}"].facts for obsid in (90001, 90002)]
    assert all(each["calibration"].startswith("not reprocessed") for each in facts)
    assert not any("good times (GTI)" in text for text in warnings)


@pytest.mark.usefixtures("without_pictures")
def test_bins_far_below_the_target_are_warned_of(whole, work):
    change_settings(work, sn=200)
    runner.run(work)
    text = "S/N in counts is more than 10% below the target"
    (warned,) = [each for each in State(work).records["bin"].warnings if text in each]
    assert warned == f"{text} of 200 in 1 of 1 bins: the counts around them are too few"
    assert not any(text in each for each in State(whole).records["bin"].warnings)


@pytest.mark.full
def test_quiet_time_that_noise_cuts_is_warned_of(whole, work):
    change_settings(work, deflare_method="clean", lc_binsize=40)
    runner.run(work, last=3)
    for obsid in ("90001", "90002"):
        before, after = (State(each).records[f"clean/{obsid}"].warnings for each in (whole, work))
        assert not any("noise alone" in text for text in before)
        (warned,) = [text for text in after if "noise alone" in text]
        assert warned.startswith("noise alone puts ")
        assert re.search(r" [4-7]\d% of quiescent bins .* the limits of clean, and \d\d of (99|100) bins are good: ",
                         warned)


def edited(work, **keywords):
    """A config whose content is an error."""
    content = json.loads((work / "config.json").read_text())
    content["info_dict"].update(keywords)
    (work / "config.json").write_text(json.dumps(content))


@pytest.mark.parametrize(("wrong", "message"), [
    ({"smoth_sn": 3}, "smoth_sn: unknown setting; do you mean smooth_sn"),
    ({"binsize": -1}, "binsize = -1"),
    ({"obs_ids": ["90001", "12"]}, "12"),
    ({"engine": "ciao"}, "CIAO is not set up (no dmcopy in PATH)"),
    ({"name": "a" * 300}, "name = "),
    ({"ccd_ids": "3:0"}, "ccd_ids = '3:0': the first chip of a range must not be above the last"),
    ({"expmapthresh": "150%"}, "expmapthresh = '150%'"),
    ({"lc_binsize": 1e9}, "lc_binsize = "),
    ({"binsize": 1000}, "binsize = 1000"),
])
def test_a_wrong_configuration_is_one_line(work, capsys, wrong, message):
    state = (work / ".chandra-bin/state.json").read_bytes()
    edited(work, **wrong)
    assert command(["run", str(work)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert (work / ".chandra-bin/state.json").read_bytes() == state


def far(folder):
    (events,) = (folder / "90002/primary").glob("*evt2.fits.gz")
    with fits.open(events) as file:
        for key in ("RA_NOM", "RA_PNT", "RA_TARG"):
            file["EVENTS"].header[key] += 5
        file.writeto(events, overwrite=True)


def clocked(folder):
    (events,) = (folder / "90002/primary").glob("*evt2.fits.gz")
    with fits.open(events) as file:
        file["EVENTS"].header["READMODE"] = "CONTINUOUS"
        file.writeto(events, overwrite=True)


def without_events(folder):
    for file in (folder / "90002/primary").glob("*evt2.fits.gz"):
        file.unlink()


def with_two(folder):
    (events,) = (folder / "90002/primary").glob("*evt2.fits.gz")
    shutil.copyfile(events, events.with_name("acisf90002_other_evt2.fits.gz"))


def cut_off(folder):
    (events,) = (folder / "90002/primary").glob("*evt2.fits.gz")
    events.write_bytes(events.read_bytes()[:20_000])


def without_observation(folder):
    shutil.rmtree(folder / "90002")


@pytest.mark.parametrize(("spoil", "message"), [
    (far, "ObsIDs 90001 and 90002 are 4.5 degrees apart"),
    pytest.param(clocked, "ObsID 90002 is in continuous clocking mode", marks=pytest.mark.full),
    (without_events, "has no level-2 events"),
    (with_two, "acisf90002_other_evt2.fits.gz"),
    (cut_off, "acisf90002_000N001_evt2.fits.gz"),
    (without_observation, "ObsID 90002 not found"),
])
def test_an_archive_that_cannot_be_used_is_one_line(simulated, tmp_path, capsys, spoil, message):
    """What is wrong with the archive is said before anything is made."""
    folder = tmp_path / "spoilt"
    shutil.copytree(simulated, folder)
    spoil(folder)
    work = configured(tmp_path / "work", simulated)
    change_settings(work, cluster_directory=str(folder))
    assert command(["run", str(work)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert products(work) == {}


def test_a_lost_observation_does_not_change_products(archive, work, tmp_path):
    folder = tmp_path / "spoilt"
    shutil.copytree(archive / "90001", folder / "90001")
    before = products(work)
    change_settings(work, cluster_directory=str(folder))
    with pytest.raises(InputError, match="ObsID 90002 not found"):
        runner.run(work)
    assert products(work) == before


@pytest.mark.parametrize(("content", "message"), [
    (b"{", "state.json: cannot be read"), (b"[]", "is not a valid state file"), (b'{"format": 99}', "has format 99")])
def test_a_broken_state_is_one_line(work, capsys, content, message):
    file = work / ".chandra-bin/state.json"
    file.write_bytes(content)
    assert command(["run", str(work)]) == 2
    assert message in capsys.readouterr().err
    assert file.read_bytes() == content


@pytest.mark.full
def test_a_region_outside_the_field_is_one_line(work, capsys):
    before = products(work)
    region = work / "merge_small/square.reg"
    region.write_text("# Region file format: CIAO version 1.0\nbox(10:00:00,+40:00:00,1',1',0)\n")
    assert command(["run", str(work), "-j", "1"]) == 2
    error = capsys.readouterr().err
    assert "step 6: " in error
    assert "square.reg" in error
    region.unlink()
    runner.run(work)
    assert products(work) == before


@pytest.mark.full
def test_no_clean_time_is_one_line(archive, tmp_path, capsys):
    """Light curves of one bin: nothing can be told apart in them."""
    work = configured(tmp_path, archive, lc_binsize=100_000)
    assert command(["run", str(work), "-j", "1"]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning: ")]
    assert len(errors) == 1
    assert "step 3, ObsID 90001: reprocessed_data/90001/90001_0.5-7.lc" in errors[0]
    assert "has 1 time bin" in errors[0]


@pytest.mark.full
def test_an_image_without_sources_is_valid(archive, tmp_path):
    """The observations of a cluster whose point sources are cut out of the events."""
    folder = tmp_path / "sim"
    shutil.copytree(archive, folder)
    sources = Table.read(archive / "truth/sources.ecsv")
    places = SkyCoord(sources["ra"], sources["dec"], unit="deg").to_string("hmsdms", sep=":")
    holes = tmp_path / "holes.reg"
    holes.write_text("# Region file format: CIAO version 1.0\n" + "".join(
        f"circle({place.replace(' ', ',')},20\")\n" for place in places))
    for events in folder.glob("9*/primary/*evt2.fits.gz"):
        copy_file(f"{events}[exclude sky=region({holes})]", events.with_name("new.fits.gz"))
        events.with_name("new.fits.gz").replace(events)
    work = configured(tmp_path / "work", folder, sigthresh=1e-10)
    runner.run(work)
    layout = layout_of(work)
    facts = State(work).records["crop"].facts
    assert facts["point sources"] == facts["counts in sources"] == 0
    assert not layout.sources.exists()
    assert not layout.obs("90001").source_regions.exists()
    assert Table.read(layout.bin_table)["counts"].sum() > 0


@pytest.mark.full
def test_without_blank_sky_the_background_is_measured(archive, tmp_path):
    work = configured(tmp_path, archive, blank_sky=[])
    runner.run(work, jobs=2)
    layout = layout_of(work)
    assert not layout.background.exists()
    header = fits.getheader(layout.final_background)
    assert (header["BKGMETH"], header["BKGTYPE"]) == ("local fit", "LOCAL")
    assert 0.03 < header["BKGFERR"] < 0.5
    facts = State(work).records["crop"].facts
    assert facts["of particles"].startswith(f"{header['BKGNPART']:.0f} counts")
    assert facts["background measured in the image"].endswith(f"+- {header['BKGFERR']:.1%}")
    table = Table.read(layout.bin_table)
    assert (table["background"] > 0).all()
    assert np.median(table["sn"]) == pytest.approx(15, rel=0.05)


@pytest.mark.full
@pytest.mark.parametrize("name", ["it's a b,ü[1] (x)"])
def test_odd_names_of_folders(archive, whole, tmp_path, name):
    work = tmp_path / name
    work.mkdir()
    shutil.copytree(archive, work / "sim (1), [a]")
    configured(work, work / "sim (1), [a]")
    assert set(runner.run(work, jobs=2).ran) == set(TASKS)
    state = State(work)
    assert not any("/tmp" in text for record in state.records.values() for text in (*record.warnings, *record.calls))
    assert "sim (1), [a]/90001/primary" in state.records["reprocess/90001"].calls[-1]
    made = {name: digest for name, digest in products(work).items() if not name.startswith("sim (1)")}
    assert made == products(whole)


def test_settings_of_the_small_cluster_are_settings():
    from chandra_bin.pipeline.config import Settings

    assert set(SMALL) <= set(Settings.model_fields)
