"""Folders of the archive: which observations and files they hold, and what headers say."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.errors import ChandraBinWarning, InputError, NoImaging
from chandra_bin.exposure.ancillary import find_ancillary
from chandra_bin.pipeline import runner
from chandra_bin.pipeline.archive import find_observation, look, look_through
from chandra_bin.pipeline.survey import survey
from chandra_bin.workflow.records import State
from event_files import random_events, write_events
from pipeline_work import configured

ROOT = "acisf90001_000N001"


@pytest.fixture
def archive(simulated, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(simulated, tmp_path / "sim")


def touch(folder, *names):
    """Empty files: finding goes by names only."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def events_of(folder, name="16626/primary/acisf16626_000N001_evt2.fits", obsid="16626", **attributes):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_events(folder / name, random_events(20), obsid=obsid, **attributes)
    return folder


def names(files):
    return [path.name for path in files]


def only(folder):
    (found,) = look_through(folder)[0]
    return found


def test_all_files_of_simulated_observations_are_found(simulated):
    first, second = look_through(simulated)[0]
    assert (first.obsid, second.obsid) == ("90001", "90002")
    folder = simulated / "90001"
    assert first.folder == folder
    assert first.events == folder / f"primary/{ROOT}_evt2.fits.gz"
    assert first.events_level1 == (folder / f"secondary/{ROOT}_evt1.fits.gz",)
    assert first.aspect == (folder / "primary/pcadf90001_000N001_asol1.fits",)
    assert first.bad_pixels == folder / f"primary/{ROOT}_bpix1.fits.gz"
    assert first.field_of_view == folder / f"primary/{ROOT}_fov1.fits.gz"
    assert first.mask == folder / f"secondary/{ROOT}_msk1.fits.gz"
    assert first.filter == folder / f"secondary/{ROOT}_flt1.fits.gz"
    assert names(first.blank_sky) == [f"acisf90001_ccd{chip}_blanksky.fits" for chip in range(4)]


def test_one_observation_is_found_as_all_are(simulated):
    assert [find_observation(simulated, obsid) for obsid in ("90001", "090002")] == look_through(simulated)[0]


def test_the_folder_of_an_obsid_is_an_archive_too(simulated):
    assert look_through(simulated / "90002")[0] == [find_observation(simulated, "90002")]


def test_obsids_are_in_the_order_of_their_numbers(tmp_path):
    for obsid in ("16626", "754", "02345"):
        touch(tmp_path, f"{obsid}/primary/acisf{obsid:0>5}_evt2.fits")
    assert [files.obsid for files in look_through(tmp_path)[0]] == ["754", "2345", "16626"]


@pytest.mark.parametrize("name", ["16626/primary", "16626/secondary", "16626", "16626/repro"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_events_are_found_in_each_folder_of_an_obsid(tmp_path, name, suffix):
    touch(tmp_path, f"{name}/acisf16626_000N002_evt2.fits{suffix}", f"{name}/acisf16626_000N002_msk1.fits{suffix}")
    assert only(tmp_path).events == tmp_path / name / f"acisf16626_000N002_evt2.fits{suffix}"
    assert only(tmp_path).mask == tmp_path / name / f"acisf16626_000N002_msk1.fits{suffix}"


def test_reprocessed_files_take_precedence(tmp_path):
    primary, repro = "16626/primary", "16626/repro"
    touch(tmp_path, f"{primary}/acisf16626_000N002_evt2.fits", f"{primary}/acisf16626_000N002_bpix1.fits",
          f"{primary}/acisf16626_000N002_fov1.fits", f"{repro}/acisf16626_repro_bpix1.fits")
    assert only(tmp_path).bad_pixels.parent.name == "primary"  # of those events
    touch(tmp_path, f"{repro}/acisf16626_repro_evt2.fits")
    files = only(tmp_path)
    assert files.events.name == "acisf16626_repro_evt2.fits"
    assert files.bad_pixels.name == "acisf16626_repro_bpix1.fits"
    assert files.field_of_view.name == "acisf16626_000N002_fov1.fits"


def test_the_highest_version_counts(tmp_path):
    touch(tmp_path, *(f"16626/primary/acisf16626_000N00{n}_{kind}.fits.gz" for n in (1, 3, 2)
                      for kind in ("evt2", "bpix1")), "16626/primary/acisf16626N004_evt2.fits.gz")
    assert only(tmp_path).events.name == "acisf16626N004_evt2.fits.gz"
    assert only(tmp_path).bad_pixels.name == "acisf16626_000N003_bpix1.fits.gz"


def test_unpacked_files_come_before_packed_ones(tmp_path):
    touch(tmp_path, "16626/primary/acisf16626_000N001_evt2.fits.gz", "16626/primary/acisf16626_000N001_evt2.fits")
    assert only(tmp_path).events.suffix == ".fits"


def test_all_parts_of_the_aspect_are_found(tmp_path):
    touch(tmp_path, "754/primary/acisf00754_evt2.fits", "754/primary/pcadf082649999N002_asol1.fits",
          "754/primary/pcadf082659999N002_asol1.fits", "754/primary/pcadf082649999N001_asol1.fits")
    assert names(only(tmp_path).aspect) == ["pcadf082649999N002_asol1.fits", "pcadf082659999N002_asol1.fits"]


@pytest.mark.parametrize(("one", "other", "cure"), [
    ("acisf16626_000N001_evt2.fits", "acisf16626_clean_evt2.fits", "move the one that is not to be used"),
    ("acisf16626_000N001_e1_evt2.fits", "acisf16626_000N001_e2_evt2.fits", "chandra-bin merge --exposure"),
    ("acisf16626_000N001_evt2.fits", "acisf16626_001N001_evt2.fits", "chandra-bin merge --exposure"),
])
def test_two_distinct_event_files_are_refused(tmp_path, one, other, cure):
    touch(tmp_path, f"16626/primary/{one}", f"16626/primary/{other}", "754/primary/acisf00754_evt2.fits")
    for find in (lambda: look_through(tmp_path)[0], lambda: find_observation(tmp_path, "16626")):
        with pytest.raises(InputError, match=cure) as error:
            find()
        assert one in str(error.value)
        assert other in str(error.value)
    assert find_observation(tmp_path, "754").obsid == "754"


def test_two_folders_of_one_obsid_are_refused(tmp_path):
    touch(tmp_path, "754/primary/acisf00754_evt2.fits", "00754/primary/acisf00754_evt2.fits")
    with pytest.raises(InputError, match=r"00754 and .*754: both are of ObsID 754"):
        look_through(tmp_path)


def test_other_folders_and_hidden_files_are_passed_over(tmp_path):
    touch(tmp_path, "16626/primary/acisf16626_evt2.fits", "16626/primary/._acisf16626_evt2.fits", "2019/notes.txt",
          "work/primary/acisf00001_evt2.fits", "0/primary/x_evt2.fits", "16626/old/acisf16626_mine_evt2.fits")
    assert only(tmp_path).events.name == "acisf16626_evt2.fits"


def test_blank_skies_are_found_by_patterns(tmp_path):
    touch(tmp_path, "16626/primary/acisf16626_evt2.fits", "16626/sky/b.fits", "16626/sky/a.fits", "16626/16626_bkg.evt",
          "16626/sky/deep/c.fits")

    def found(*patterns):
        return names(find_observation(tmp_path, "16626", patterns).blank_sky)
    assert only(tmp_path).blank_sky == ()
    assert found("sky/*.fits") == ["a.fits", "b.fits"]
    assert found("*_bkg.evt", "sky/b.fits", "sky/*") == ["16626_bkg.evt", "b.fits", "a.fits"]
    assert found("**/*.fits")[1:] == ["a.fits", "b.fits", "c.fits"]
    assert found(str(tmp_path / "16626/sky/a.fits")) == ["a.fits"]


@pytest.mark.parametrize("name", ["with blank", "größer µ", "b[0-9]{x}*", "a'b\"c", "@list", "#1"])
def test_odd_names_of_folders_are_read(simulated, tmp_path, name):
    folder = shutil.copytree(simulated / "90001", tmp_path / name / "90001").parent
    files = find_observation(folder, "90001")
    assert len(files.blank_sky) == 4
    assert look(files).target == "Simulated cluster"


def test_event_files_in_a_folder_are_assigned_by_their_headers(tmp_path):
    events_of(tmp_path, "first_evt2.fits", "00754")
    assert only(tmp_path).obsid == "754"
    events_of(tmp_path, "second_evt2.fits")
    write_events(tmp_path / "acisf16626_000N001_msk1.fits", random_events(1), obsid="16626")
    write_events(tmp_path / "pcadf082649999N002_asol1.fits", random_events(1), obsid="754")
    first, second = look_through(tmp_path)[0]
    assert (first.obsid, first.events.name, second.obsid, second.events.name) == (
        "754", "first_evt2.fits", "16626", "second_evt2.fits")
    assert (names(first.aspect), first.mask, second.aspect) == (["pcadf082649999N002_asol1.fits"], None, ())
    assert second.mask.name == "acisf16626_000N001_msk1.fits"


@pytest.mark.parametrize("obsid", ["Merged", "", "0"])
def test_merged_events_are_refused(tmp_path, obsid):
    events_of(tmp_path, "x_evt2.fits", obsid)
    with pytest.raises(InputError, match=rf"x_evt2.fits: OBS_ID is '{obsid}'"):
        look_through(tmp_path)


def test_event_files_next_to_folders_are_ignored_with_a_warning(tmp_path):
    touch(tmp_path, "16626/primary/acisf16626_evt2.fits", "merged_evt2.fits")
    with pytest.warns(ChandraBinWarning, match=r"merged_evt2.fits: is ignored"):
        assert only(tmp_path).obsid == "16626"
    assert find_observation(tmp_path, "16626").obsid == "16626"  # and says it no more


def test_an_obsid_without_level_2_is_an_error_with_advice(tmp_path):
    touch(tmp_path, "16626/secondary/acisf16626_000N001_evt1.fits.gz", "754/primary/acisf00754_000N001_bpix1.fits",
          "5/primary/acisf00005_evt2.fits")
    found, without = look_through(tmp_path)
    assert [files.obsid for files in found] == ["5"]
    assert [each.obsid for each in without] == ["754", "16626"]
    with pytest.raises(InputError, match=r"16626 has no level-2 events .* .* by chandra_repro"):
        find_observation(tmp_path, "16626")
    with pytest.raises(InputError, match="'download_chandra_obsid 754'"):
        find_observation(tmp_path, "754")
    shutil.rmtree(tmp_path / "5")
    with pytest.raises(InputError, match="'download_chandra_obsid 754'"):
        survey(tmp_path)


def test_an_unknown_obsid_is_reported_with_the_known_ones(simulated):
    with pytest.raises(InputError, match=r"ObsID 3 not found, only 90001, 90002: .*download_chandra_obsid 3"):
        find_observation(simulated, "3")


def test_a_folder_without_observations_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for folder, message in ((tmp_path, "no observations found"), (tmp_path / "none", "no such folder"),
                            (tmp_path / "file", "is a file: give the folder")):
        with pytest.raises(InputError, match=message):
            look_through(folder)


def test_the_header_of_a_simulated_observation_is_understood(simulated):
    first, second = (look(files) for files in look_through(simulated)[0])
    assert (first.target, first.instrument, first.readmode, first.date[:4]) == (
        "Simulated cluster", "ACIS", "TIMED", "2001")
    assert (first.datamode, second.datamode) == ("VFAINT", "FAINT")
    assert (first.aim_chip, first.is_acis_i, first.chips) == (3, True, "0:3")
    assert 200 < first.exposure_s < 300
    assert np.hypot(first.ra_deg - 258.112, first.dec_deg + 23.375) < 0.3


@pytest.mark.parametrize(("chips", "header", "chip", "used"), [
    ((3, 0, 7), {"SIM_Z": -190.1}, 3, "0:3"),  # the first table of good times counts before all
    ((7, 3, 2), {"SIM_Z": -233.6}, 7, "7"),
    ((6,), {}, 6, "6"),
    (None, {"SIM_Z": -190.14, "DETNAM": "ACIS-0123"}, 7, "7"),
    (None, {"SIM_Z": -232.1, "DETNAM": "ACIS-235678"}, 3, "0:3"),
    (None, {"DETNAM": "ACIS-012367"}, 3, "0:3"),
    (None, {"DETNAM": "ACIS-235678"}, 7, "7"),
    (None, {"DETNAM": "ACIS-56"}, 5, "5"),
    (None, {"DETNAM": "ACIS-012"}, 0, "0:3"),
])
def test_the_chip_of_the_aim_point_is_found(tmp_path, chips, header, chip, used):
    times = {} if chips is None else {number: [(82_650_000.0, 82_651_000.0)] for number in chips}
    extra = {"EXPOSURE": 900.0} if chips is None else {}
    events_of(tmp_path, good_times=times, header={**header, **extra})
    if chips is None:
        with pytest.warns(ChandraBinWarning, match="no table of good times"):
            seen = look(only(tmp_path))
    else:
        seen = look(only(tmp_path))
    assert (seen.aim_chip, seen.chips) == (chip, used)


@pytest.mark.filterwarnings("ignore::chandra_bin.errors.ChandraBinWarning")
@pytest.mark.parametrize("detector", ["ACIS-2367", "ACIS", ""])
def test_an_unknown_aim_point_is_refused(tmp_path, detector):
    events_of(tmp_path, good_times={}, header={"DETNAM": detector})
    with pytest.raises(InputError, match=f"the chip of the aim point: .* DETNAM is '{detector}'"):
        look(only(tmp_path))


@pytest.mark.parametrize(("header", "seconds"), [
    ({"EXPOSURE": 123.0, "LIVETIME": 5.0}, 123.0), ({"EXPOSURE": "none", "LIVETIME": 77.0}, 77.0),
    ({"EXPOSURE": "none", "LIVETIME": "none", "DTCOR": 0.5}, 5000.0)])
def test_the_exposure_is_live_time(tmp_path, header, seconds):
    events_of(tmp_path, header=header, good_times={7: [(82_650_000.0, 82_660_000.0)]})
    assert look(only(tmp_path)).exposure_s == seconds


@pytest.mark.parametrize(("header", "message"), [
    ({"READMODE": "CONTINUOUS"}, "continuous clocking mode"), ({"INSTRUME": "HRC"}, "is of HRC"),
    ({"EXPOSURE": 0.0}, "no good time")])
def test_observations_without_images_are_refused(tmp_path, header, message):
    events_of(tmp_path, header=header)
    with pytest.raises(NoImaging, match=rf"evt2.fits: ObsID 16626 .*{message}.* from obs_ids"):
        look(only(tmp_path))


def test_a_file_without_events_is_refused(tmp_path):
    events_of(tmp_path)
    write_events(only(tmp_path).events, random_events(0), obsid="16626")
    with pytest.raises(NoImaging, match="has no events"):
        look(only(tmp_path))


def test_gratings_are_a_warning(tmp_path):
    events_of(tmp_path, header={"GRATING": "HETG"})
    with pytest.warns(ChandraBinWarning, match="grating HETG: only the zeroth order"):
        assert look(only(tmp_path)).aim_chip == 0


def test_events_of_another_obsid_are_refused(tmp_path):
    events_of(tmp_path, obsid="754")
    with pytest.raises(InputError, match=r"is in the folder of ObsID 16626, but has OBS_ID 754"):
        look(only(tmp_path))


def test_a_header_without_pointing_is_refused(tmp_path):
    events_of(tmp_path, header={"RA_NOM": "somewhere"})
    with pytest.raises(InputError, match="lacks the pointing"):
        look(only(tmp_path))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated_files_are_reported(tmp_path, packed, part):
    events_of(tmp_path)
    path = only(tmp_path).events
    write_events(path, random_events(2000), obsid="16626")
    content = path.read_bytes()
    if packed:
        path.unlink()
        path = path.with_name(path.name + ".gz")
        content = gzip.compress(content)
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(InputError, match=r"evt2.fits.*truncated.*fetch it again"):
        look(only(tmp_path))


def test_a_file_without_events_is_reported(tmp_path):
    touch(tmp_path, "16626/primary/acisf16626_evt2.fits")
    with pytest.raises(InputError, match=r"acisf16626_evt2.fits: is empty"):
        look(only(tmp_path))


def test_nothing_in_the_archive_is_changed(archive):
    before = {path: path.stat().st_mtime_ns for path in archive.rglob("*")}
    for files in look_through(archive)[0]:
        look(files)
    assert {path: path.stat().st_mtime_ns for path in archive.rglob("*")} == before


def test_events_truncated_in_their_last_row_are_reported(tmp_path):
    events_of(tmp_path)
    path = only(tmp_path).events
    write_events(path, random_events(50), obsid="16626")
    with fits.open(path) as hdus:
        info = hdus["EVENTS"].fileinfo()
        width, rows = hdus["EVENTS"].header["NAXIS1"], hdus["EVENTS"].header["NAXIS2"]
    path.write_bytes(path.read_bytes()[: info["datLoc"] + width * rows - 1])
    with pytest.raises(InputError, match=r"block EVENTS is truncated: the file ends in its data; fetch it again"):
        look(only(tmp_path))


# chandra_repro copies the archive's files beside its own.
REPRO = ("16626/repro/acisf16626_000N002_bpix1.fits", "16626/repro/acisf16626_repro_bpix1.fits",
         "16626/repro/acisf16626_000N002_fov1.fits", "16626/repro/acisf16626_repro_fov1.fits",
         "16626/repro/pcadf16626_000N001_asol1.fits", "16626/repro/pcadf16626_repro_asol1.fits",
         "16626/repro/acisf16626_000N002_msk1.fits", "16626/repro/acisf16626_000N002_evt2.fits")
ARCHIVED = ("16626/primary/acisf16626_000N003_evt2.fits", "16626/primary/acisf16626_000N003_bpix1.fits",
            "16626/primary/pcadf16626_000N003_asol1.fits", "16626/secondary/acisf16626_000N003_msk1.fits")


def test_files_that_chandra_repro_made_come_before_higher_versions(tmp_path):
    touch(tmp_path, *ARCHIVED, *REPRO, "16626/repro/acisf16626_repro_evt2.fits")
    files = only(tmp_path)
    assert files.events.name == "acisf16626_repro_evt2.fits"
    assert files.is_reprocessed
    assert files.bad_pixels.name == "acisf16626_repro_bpix1.fits"
    assert files.field_of_view.name == "acisf16626_repro_fov1.fits"
    assert names(files.aspect) == ["pcadf16626_repro_asol1.fits"]
    assert files.mask.name == "acisf16626_000N002_msk1.fits"


def test_the_same_holds_in_one_folder_without_more(tmp_path):
    touch(tmp_path, *(f"16626/{Path(name).name}" for name in (*REPRO, "acisf16626_repro_evt2.fits",
                                                               "acisf16626_000N001_evt1.fits")))
    files = only(tmp_path)
    assert files.events.name == "acisf16626_repro_evt2.fits"
    assert names(files.aspect) == ["pcadf16626_repro_asol1.fits"]
    # chandra_repro begins with the archive's.
    assert not [path.name for path in files.reprocessable if "_repro_" in path.name]
    assert {"acisf16626_000N002_bpix1.fits", "pcadf16626_000N001_asol1.fits"} <= set(names(files.reprocessable))


@pytest.mark.parametrize(("keywords", "attribute", "expected"), [
    ({"BPIXFILE": "acisf16626_000N002_bpix1.fits"}, "bad_pixels", "acisf16626_000N002_bpix1.fits"),
    ({"BPIXFILE": "/home/her/acisf16626_000N003_bpix1.fits"}, "bad_pixels", "acisf16626_000N003_bpix1.fits"),
    ({"BPIXFILE": "acisf16626_gone_bpix1.fits"}, "bad_pixels", "acisf16626_repro_bpix1.fits"),
    ({"BPIXFILE": "NONE"}, "bad_pixels", "acisf16626_repro_bpix1.fits"),
    ({"MASKFILE": "acisf16626_000N003_msk1.fits"}, "mask", "acisf16626_000N003_msk1.fits"),
    ({"FOVFILE": "acisf16626_000N002_fov1.fits"}, "field_of_view", "acisf16626_000N002_fov1.fits"),
    ({"ASOLFILE": "pcadf16626_000N001_asol1.fits"}, "aspect", ["pcadf16626_000N001_asol1.fits"]),
    ({"ASOLFILE": "pcadf16626_000N001_asol1.fits,pcadf16626_000N003_asol1.fits"}, "aspect",
     ["pcadf16626_000N001_asol1.fits", "pcadf16626_000N003_asol1.fits"]),
    ({"ASOLFILE": "pcadf16626_000N001_asol1.fits,gone_asol1.fits"}, "aspect", ["pcadf16626_repro_asol1.fits"]),
    ({"ASOLFILE": "@acisf16626_asol1.lis"}, "aspect", ["pcadf16626_repro_asol1.fits"]),
])
def test_files_that_the_header_names_come_first(tmp_path, keywords, attribute, expected):
    touch(tmp_path, *ARCHIVED, *REPRO)
    events_of(tmp_path, "16626/repro/acisf16626_repro_evt2.fits")
    for key, value in keywords.items():
        fits.setval(tmp_path / "16626/repro/acisf16626_repro_evt2.fits", key, value=value, ext=1)
    found = getattr(only(tmp_path), attribute)
    assert (names(found) if attribute == "aspect" else found.name) == expected


@pytest.mark.parametrize(("keyword", "expected"), [
    (None, "pcadf16626_repro_asol1.fits"), ("pcadf16626_000N001_asol1.fits", "pcadf16626_000N001_asol1.fits"),
    ("pcadf16626_repro_asol1.fits", "pcadf16626_repro_asol1.fits")])
def test_one_aspect_solution_of_two_is_used(tmp_path, keyword, expected):
    """After a boresight update chandra_repro leaves the archive's beside its own."""
    folder = tmp_path / "16626/repro"
    touch(tmp_path, *REPRO)
    for path in folder.glob("*asol1.fits"):
        fits.BinTableHDU.from_columns([], fits.Header({"OBS_ID": "16626"})).writeto(path, overwrite=True)
    header = fits.Header({"OBS_ID": "16626", **({"ASOLFILE": keyword} if keyword else {})})
    found = find_ancillary(folder / "acisf16626_repro_evt2.fits", header)
    assert names(found.aspect) == [expected]
    assert found.bad_pixels.name == "acisf16626_repro_bpix1.fits"
    assert found.field_of_view.name == "acisf16626_repro_fov1.fits"


def test_reprocessed_events_are_used_with_their_own_files(archive, tmp_path):
    """Their exposure is that of the bad pixels and the aspect that chandra_repro made; nobody is told to reprocess."""
    folder = archive / "90001"
    (folder / "repro").mkdir()
    for source, name in ((f"primary/{ROOT}_evt2.fits.gz", "acisf90001_repro_evt2.fits"),
                         (f"primary/{ROOT}_bpix1.fits.gz", "acisf90001_repro_bpix1.fits"),
                         (f"primary/{ROOT}_bpix1.fits.gz", f"{ROOT}_bpix1.fits"),
                         (f"primary/{ROOT}_fov1.fits.gz", "acisf90001_repro_fov1.fits"),
                         ("primary/pcadf90001_000N001_asol1.fits", "pcadf90001_repro_asol1.fits"),
                         ("primary/pcadf90001_000N001_asol1.fits", "pcadf90001_000N001_asol1.fits")):
        with fits.open(folder / source) as hdus:
            hdus[1].header["MARK"] = name
            if "evt2" in name:
                hdus[1].header["CREATOR"] = "cxc - Version DS10.8.3"
                for key in ("ASOLFILE", "BPIXFILE", "MASKFILE"):
                    hdus[1].header.remove(key)
            hdus.writeto(folder / "repro" / name)
    work = configured(tmp_path / "work", archive, obs_ids=["90001"])
    runner.run(work, last=2)
    made = work / "reprocessed_data/90001"
    assert fits.getval(made / "acisf90001_repro_bpix1.fits", "MARK", 1) == "acisf90001_repro_bpix1.fits"
    assert fits.getval(made / "acisf90001_repro_fov1.fits", "MARK", 1) == "acisf90001_repro_fov1.fits"
    assert [path.name for path in made.glob("*asol1.fits")] == ["pcadf90001_repro_asol1.fits"]
    record = State(work).records["reprocess/90001"]
    assert not [text for text in record.warnings if "not reprocessed" in text]
    assert record.facts["of chandra_repro's"] > 0
