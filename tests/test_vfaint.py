"""Particles that the outer pixels of VFAINT events show: the rule, the events of level 1, the pipeline, the truth."""

import re
import shutil

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin import simulate
from chandra_bin.errors import ChandraBinWarning, InputError
from chandra_bin.events import vfaint
from chandra_bin.events.reader import read_events
from chandra_bin.pipeline import runner
from chandra_bin.pipeline.archive import find_observation
from chandra_bin.report import write_report
from chandra_bin.tasks.options import SimulationSettings
from chandra_bin.tasks.simulate import scene_of
from chandra_bin.tasks.vfaint import find_islands, screen_vfaint
from chandra_bin.workflow.records import State
from pipeline_work import configured

PARTICLE = 2
BANDS_EV = ((300, 700), (500, 2000), (500, 7000), (9000, 12000))


def is_particle(island):
    """The rule, pixel by pixel."""
    return any(island[row][column] > 13 for row in range(5) for column in range(5)
               if row in (0, 4) or column in (0, 4))


def test_one_outer_pixel_above_the_threshold_makes_a_particle():
    for pixel in range(25):
        row, column = divmod(pixel, 5)
        for height in (-4096, 0, 13, 14, 4095):
            island = np.zeros((1, 5, 5), np.int16)
            island[0, row, column] = height
            assert vfaint.particles(island)[0] == (height > 13 and (row in (0, 4) or column in (0, 4)))


def test_particles_are_those_of_a_loop_over_pixels():
    islands = np.random.default_rng(1).normal(4, 4, (3000, 5, 5)).astype(">i2")
    expected = [is_particle(each) for each in islands.tolist()]
    assert 100 < sum(expected) < 2900
    np.testing.assert_array_equal(vfaint.particles(islands), expected)
    np.testing.assert_array_equal(vfaint.particles(islands.reshape(-1, 25)), expected)


def test_islands_of_faint_events_are_refused():
    with pytest.raises(InputError, match="9 pulse heights"):
        vfaint.particles(np.zeros((2, 9), np.int16))
    assert vfaint.particles(np.zeros((0, 9), np.int16)).shape == (0,)


def test_events_are_matched_by_frame_chip_and_pixel():
    draw = np.random.default_rng(2)
    numbers = np.unique(np.stack([draw.integers(1, 2**31 - 1, 5000), draw.integers(0, 10, 5000),
                                  draw.integers(1, 1025, 5000), draw.integers(1, 1025, 5000)]), axis=1)
    level1 = vfaint.keys(*numbers)
    assert len(np.unique(level1)) == len(level1)
    flagged = draw.random(len(level1)) < 0.3
    chosen = draw.permutation(len(level1))[:2000]
    matching = vfaint.Matching(np.concatenate([level1[chosen], [0]]))
    for part in np.array_split(np.arange(len(level1)), 7):
        matching.add(level1[part], flagged[part])
    assert matching.missing == 1
    np.testing.assert_array_equal(matching.flagged(), [*flagged[chosen], False])


@pytest.mark.parametrize(("name", "value"), [("expno", -1), ("expno", 1 << 31), ("ccd_id", 16), ("chipx", 2048)])
def test_numbers_that_no_event_has_are_refused(name, value):
    columns = {key: np.array([1]) for key in vfaint.KEY_COLUMNS} | {name: np.array([value])}
    with pytest.raises(InputError, match=f"{name} is from {value}"):
        vfaint.keys(**columns)


@pytest.fixture(scope="module")
def work(archive, tmp_path_factory):
    """Step 2 of a pipeline."""
    folder = configured(tmp_path_factory.mktemp("work"), archive)
    runner.run(folder, last=2)
    return folder


def rows_of(path):
    with fits.open(path) as hdus:
        return hdus["EVENTS"].data.copy(), hdus["EVENTS"].header.copy()


def same_columns(one, other):
    return [name for name in one.dtype.names if name in other.dtype.names]


def level1_of(archive, obsid):
    return next((archive / obsid / "secondary").glob("*evt1.fits*"))


def expected_of(archive, obsid, *, screened):
    """Rows of level 1 that pass grade, status, good times and, where asked for, the rule."""
    rows, _ = rows_of(level1_of(archive, obsid))
    kept = np.isin(rows["grade"], [0, 2, 3, 4, 6]) & ~rows["status"].any(axis=1)
    good = read_events(find_observation(archive, obsid).events, ["time"]).good_times
    for chip, gti in good.items():
        on = rows["ccd_id"] == chip
        kept[on] &= gti.contains(rows["time"][on])
    if screened:
        kept &= ~np.array([is_particle(each) for each in rows["phas"].reshape(-1, 5, 5).tolist()])
    return rows[kept]


@pytest.mark.parametrize(("obsid", "screened"), [("90001", True), ("90002", False)])
def test_the_pipeline_removes_particles_of_vfaint_events_alone(archive, work, obsid, screened):
    rows, header = rows_of(work / f"reprocessed_data/{obsid}/acisf{obsid}_repro_evt2.fits")
    expected = expected_of(archive, obsid, screened=screened)
    for name in same_columns(rows, expected):
        np.testing.assert_array_equal(rows[name], expected[name])
    assert header["CHKVFPHA"] is screened
    assert vfaint.is_cleaned(header) is screened
    note = State(work).records[f"reprocess/{obsid}"].facts["VFAINT screening"]
    assert note.startswith("yes: " if screened else "not done: the data mode is FAINT")
    before, _ = rows_of(find_observation(archive, obsid).events)
    if screened:
        assert f"{len(before) - len(rows)} of {len(before)} events" in note


@pytest.mark.full
def test_the_blank_sky_of_a_screened_observation_is_screened(archive, work):
    runner.run(work, last=3)
    for obsid, screened in (("90001", True), ("90002", False)):
        made, _ = rows_of(work / f"reprocessed_data/{obsid}/{obsid}_background_clean.evt")
        skies = [rows_of(path)[0] for path in sorted((archive / obsid / "blanksky").glob("*ccd7*"))]
        flagged = [int(each["status"].any(axis=1).sum()) for each in skies]
        assert sum(flagged) > 0.1 * sum(map(len, skies))
        assert len(made) == sum(map(len, skies)) - screened * sum(flagged)


def test_particles_can_be_left_in(archive, tmp_path):
    work = configured(tmp_path, archive, check_vf_pha=False)
    runner.run(work, last=2)
    rows, header = rows_of(work / "reprocessed_data/90001/acisf90001_repro_evt2.fits")
    assert len(rows) == len(expected_of(archive, "90001", screened=False))
    assert header["CHKVFPHA"] is False
    assert State(work).records["reprocess/90001"].facts["VFAINT screening"] == "no (check_vf_pha = false)"
    assert not [name for name in State(work).records["reprocess/90001"].inputs if "evt1" in name]


def test_events_of_level_1_are_an_input(work):
    assert [name for name in State(work).records["reprocess/90001"].inputs if "evt1" in name]
    assert not [name for name in State(work).records["reprocess/90002"].inputs if "evt1" in name]


def test_without_level_1_the_pipeline_warns_once(archive, tmp_path):
    shutil.copytree(archive, tmp_path / "sim")
    level1_of(tmp_path / "sim", "90001").unlink()
    work = configured(tmp_path / "work", tmp_path / "sim")
    runner.run(work, last=2)
    record = State(work).records["reprocess/90001"]
    assert record.facts["VFAINT screening"].startswith("not done: ")
    assert len([text for text in record.warnings if "VFAINT" in text]) == 1
    rows, header = rows_of(work / "reprocessed_data/90001/acisf90001_repro_evt2.fits")
    assert len(rows) == len(expected_of(archive, "90001", screened=False))
    assert header["CHKVFPHA"] is False


def write(path, rows, header):
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(rows, header)]).writeto(path)
    return path


@pytest.mark.filterwarnings("ignore:.*no table of good times")
def test_level_1_events_are_flagged_in_status(archive, tmp_path):
    level1 = level1_of(archive, "90001")
    islands = find_islands(level1)
    assert islands.files == (level1,)
    screened = screen_vfaint(str(level1), tmp_path / "flagged.fits", islands.files)
    before, _ = rows_of(level1)
    after, _ = rows_of(tmp_path / "flagged.fits")
    expected = np.array([is_particle(each) for each in before["phas"].reshape(-1, 5, 5).tolist()])
    # The lowest bit of the column is the last.
    np.testing.assert_array_equal(after["status"][:, 31 - 23], expected)
    others = np.arange(32) != 31 - 23
    np.testing.assert_array_equal(after["status"][:, others], before["status"][:, others])
    assert screened.flagged == expected.sum()
    assert find_islands(tmp_path / "flagged.fits").is_done


def test_events_with_islands_of_their_own_need_no_level_1(archive, tmp_path):
    files = find_observation(archive, "90001")
    own = rows_of(level1_of(archive, "90001"))[1]
    kept = write(tmp_path / "kept.fits", expected_of(archive, "90001", screened=False), own)
    assert find_islands(kept).files == (kept,)
    with pytest.warns(ChandraBinWarning, match="no table of good times"):
        screen_vfaint(f"{kept}[status=0]", tmp_path / "a.fits", (kept,))
    screen_vfaint(f"{files.events}[status=0]", tmp_path / "b.fits", find_islands(files.events,
                                                                                files.events_level1).files)
    one, other = rows_of(tmp_path / "a.fits")[0], rows_of(tmp_path / "b.fits")[0]
    for name in same_columns(one, other):
        np.testing.assert_array_equal(one[name], other[name])


def test_events_that_are_not_in_level_1_are_refused(archive, tmp_path):
    files = find_observation(archive, "90001")
    rows, header = rows_of(files.events)
    rows["chipx"][:3] = 1 + rows["chipx"][:3] % 1000
    rows["expno"][:3] = 2**30
    other = write(tmp_path / "evt2.fits", rows, header)
    with pytest.raises(InputError, match=r"3 events are not in .*evt1"):
        screen_vfaint(str(other), tmp_path / "out.fits", files.events_level1)
    assert not (tmp_path / "out.fits").exists()


@pytest.mark.parametrize(("change", "why"), [
    ({"drop": "expno"}, "no column expno"), ({"drop": "status"}, "no column STATUS of 32 bits"),
    ({"DATAMODE": "FAINT"}, "the data mode is FAINT"), ({"DATAMODE": ""}, "the data mode is unknown")])
def test_what_cannot_be_screened_says_why(archive, tmp_path, change, why):
    files = find_observation(archive, "90001")
    rows, header = rows_of(files.events)
    if "drop" in change:
        rows = fits.FITS_rec.from_columns(fits.ColDefs([each for each in rows.columns if each.name != change["drop"]]))
        header = fits.Header({key: header[key] for key in ("EXTNAME", "DATAMODE")})
    else:
        header.update(change)
    islands = find_islands(write(tmp_path / "evt2.fits", rows, header), files.events_level1)
    assert not islands.files
    assert why in islands.why_not
    assert islands.is_vfaint == ("drop" in change)


@pytest.fixture(scope="module")
def truth():
    """Origin and islands of the events of a bright cluster on ACIS-I and on ACIS-S."""
    made = []
    for array in "IS":
        scene = scene_of(SimulationSettings(seed=5, counts=60_000, exposure=20_000))
        (observation,) = simulate.make_observations(5, 1, 20_000, array, "VFAINT", scene.ra_deg, scene.dec_deg)
        events = simulate.observe(scene, observation, 5)
        from chandra_bin.simulate._islands import islands

        heights = islands(events, np.rint(np.maximum(events.energy_ev, 0) / 4.4).astype(np.int64), 25 // 5, [5, 7, 1])
        made.append((array, events, vfaint.particles(heights)))
    return made


def test_a_quarter_of_hard_particles_goes_and_photons_stay(truth):
    """The factors of the CXC's page: 1.4 above 6 keV for front-illuminated chips, 1.25 for back-illuminated ones."""
    for _, events, flagged in truth:
        level2 = np.isin(events.grade, [0, 2, 3, 4, 6]) & (events.status == 0)
        particle = level2 & (events.origin == PARTICLE)
        hard = particle & (events.energy_ev > 6000)
        back = np.isin(events.chip, [5, 7])
        for chips, factor in ((~back, 1.4), (back, 1.25)):
            some = hard & chips
            if some.any():
                assert some.sum() / (some & ~flagged).sum() == pytest.approx(factor, abs=5 / np.sqrt(some.sum()))
        photons = level2 & (events.origin < PARTICLE) & (events.energy_ev > 500)
        assert flagged[photons].mean() == pytest.approx(0.015, abs=0.005)
        soft = particle & (events.energy_ev > 1000) & (events.energy_ev < 5000)
        assert 0.09 < flagged[soft].mean() < 0.14


def test_the_report_states_the_screening(work):
    page = write_report(work).read_text()
    stated = re.findall(r"Particles removed by VFAINT islands</\w+>\s*<\w+[^>]*>([^<]*)", page)
    assert len(stated) == 2
    assert stated[0].startswith("yes: ")
    assert stated[1].startswith("not done: the data mode is FAINT")
