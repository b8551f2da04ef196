"""``chandra-bin simulate``: files like the archive's, whose contents agree with the truth."""

import dataclasses
import json
import math
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table

from acis_inverses import from_sky, pointing_at, pointing_offset, to_chip
from apec_files import write_plasma
from chandra_bin import cut_flares, light_curve, simulate
from chandra_bin.acis import geometry as acis
from chandra_bin.cli import run
from chandra_bin.events.gti_files import read_gti
from chandra_bin.events.reader import read_events
from chandra_bin.fits.subspace import read_subspace
from chandra_bin.pipeline.config import read_config
from chandra_bin.pipeline.survey import begin, survey
from chandra_bin.regions import read_regions
from chandra_bin.simulate import _islands, _photons, tables
from chandra_bin.simulate import _telescope as telescope
from chandra_bin.simulate._photons import CLUSTER, FLARE, SOURCE
from chandra_bin.tasks.options import SimulationSettings
from chandra_bin.tasks.simulate import scene_of, simulate_observations

SETTINGS = SimulationSettings(seed=5, obsids=2, array="I", exposure=20_000, counts=20_000, truth_photons=300_000)
SMALL = ["--exposure", "300", "--counts", "500", "--blank-sky", "2", "-q"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of two observations, and where their files are."""
    folder = tmp_path_factory.mktemp("simulated") / "sim"
    done = simulate_observations(folder, SETTINGS)
    return SimpleNamespace(folder=folder, done=done, truth=folder / "truth",
                           observations=Table.read(folder / "truth/observations.ecsv"))


@pytest.fixture(scope="module")
def model():
    """The same observations, as the simulator has them before they are files."""
    scene = scene_of(SETTINGS)
    observations = simulate.make_observations(SETTINGS.seed, 2, SETTINGS.exposure, "I", "mixed", scene.ra_deg,
                                              scene.dec_deg)
    return SimpleNamespace(scene=scene, observations=observations,
                           events=[simulate.observe(scene, each, SETTINGS.seed) for each in observations])


@pytest.fixture
def quick(monkeypatch):
    """Commands, too, take few photons for the truth's exposure."""
    thorough = simulate.flat_exposure
    monkeypatch.setattr(simulate, "flat_exposure", lambda each, x, y, _, seed: thorough(each, x, y, 10_000, seed))


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.full
def test_equal_seeds_give_equal_bytes(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        simulate_observations(tmp_path / name, SimulationSettings(seed=seed, exposure=300, counts=500,
                                                                  truth_photons=10_000))
    a, b, c = (files(tmp_path / name) for name in "abc")
    assert a == b
    assert a.keys() == c.keys()
    events = "90001/primary/acisf90001_000N001_evt2.fits.gz"
    assert a[events] != c[events]


def test_the_folder_is_the_archives(made):
    names = {name for name in files(made.folder) if name.startswith("90002")}
    root = "acisf90002_000N001"
    assert names == {
        f"90002/primary/{root}_evt2.fits.gz", "90002/primary/pcadf90002_000N001_asol1.fits",
        f"90002/primary/{root}_bpix1.fits.gz", f"90002/primary/{root}_fov1.fits.gz",
        *(f"90002/secondary/{root}_{kind}.fits.gz" for kind in ("evt1", "flt1", "msk1", "mtl1", "stat1")),
        "90002/secondary/acisf104000000N001_pbk0.fits.gz",
        *(f"90002/secondary/acisf103998000N001_{n}_bias0.fits.gz" for n in range(4)),
        *(f"90002/blanksky/acisf90002_ccd{chip}_blanksky.fits" for chip in range(4))}


def test_astropy_finds_nothing_wrong(made):
    for path in sorted(made.folder.rglob("*.fits*")):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with fits.open(path) as hdus:
                hdus.verify("exception")
                for hdu in hdus[1:] or hdus:
                    assert hdu.data is not None


# What the archive's files have and a simulation has no use for: names of calibration files, telemetry, history.
ABSENT = {
    "BTIMCORR", "BTIMDRFT", "BTIMNULL", "BTIMRATE", "CALDBVER", "CHECKSUM", "CLSTBITS", "CTIFILE",
    "DATASUM", "DS_IDENT", "FLSHTIMA", "FLSHTIMB", "FSW_VERS", "GAINFILE", "GEOMFILE", "GRD_FILE",
    "HDUDOC", "HDUSPEC", "HDUVERS", "HISTNUM", "HISTORY", "LATP9", "LONGSTRN", "LONP9", "ORC_MODE",
    "RUN_ID", "SHELLFIL", "SKYFILE", "STARTBEP", "STARTOBT", "STOPBEP", "STARTMJF", "STARTMNF", "STOPMJF",
    "STOPMNF", "SUBPIXFL", "TDETFILE", "TGAINCOR", "TGAINFIL", "THRFILE", "TIMEDELA", "TIMEDELB", "TIME_ADJ",
    "TLMVER", "AIMPFILE", "STATFILT", "COMMENT", "", "CONVERS", "STARTROW", "ROWCNT", "FEP_ID", "PHAMIN", "PHARANGE",
    "PBLOCK", "WIND_ID", "LASTROW", "ONTIME", "MTYPE6", "MFORM6", "MTYPE7", "MFORM7",
}


@pytest.mark.parametrize(("template", "ours", "block"), [
    ("structure_only_evt.fits.gz", "primary/acisf90001_000N001_evt2.fits.gz", 1),
    ("structure_only_evt.fits.gz", "primary/acisf90001_000N001_evt2.fits.gz", 2),
    ("structure_only_bpix.fits.gz", "primary/acisf90001_000N001_bpix1.fits.gz", 1),
    ("structure_only_msk.fits.gz", "secondary/acisf90001_000N001_msk1.fits.gz", 1),
])
def test_columns_and_keywords_are_those_of_the_archive(made, shared, template, ours, block):
    theirs = fits.getheader(shared / "data/templates" / template, block)
    header = fits.getheader(made.folder / "90001" / ours, block)
    columns = [[each.get(f"TTYPE{n}") for n in range(1, each["TFIELDS"] + 1)] for each in (theirs, header)]
    assert columns[1] == columns[0]
    forms = [{each[f"TTYPE{n}"]: each[f"TFORM{n}"] for n in range(1, each["TFIELDS"] + 1)} for each in (theirs, header)]
    assert forms[0].items() <= forms[1].items()

    def plain(keys):
        return {key for key in keys if not key[-1:].isdigit() and key not in ABSENT}

    missing = plain(theirs) - plain(header)
    assert missing <= ({"BPIXFILE"} if "bpix" in template else set())
    assert theirs["EXTNAME"] == header["EXTNAME"]


def test_an_aspect_solution_leads_from_the_detector_to_the_sky(made):
    for done in made.done:
        events = read_events(done.events, ["time", "detx", "dety", "x", "y"])
        aspect = Table.read(next(done.events.parent.glob("pcadf*")))
        header = events.header
        offset = pointing_offset(aspect["ra"], aspect["dec"], header["RA_NOM"], header["DEC_NOM"])
        at = [np.interp(events["time"], aspect["time"], axis) for axis in offset]
        x, y = acis.to_sky(events["detx"], events["dety"], header["ROLL_NOM"], *at)
        assert np.abs(x - events["x"]).max() < 0.01
        assert np.abs(y - events["y"]).max() < 0.01
        assert np.ptp(offset[0]) * acis.PIXEL_ARCSEC == pytest.approx(16, abs=8 * math.sqrt(2))


@pytest.mark.parametrize("array", ["I", "S"])
def test_simulator_and_exposure_maps_agree_on_positions(array):
    sim_z = acis.AIM_SIM_Z_MM[array]
    grid = np.linspace(0.5, 1024.5, 9)
    chipx, chipy = (axis.ravel() for axis in np.meshgrid(grid, grid))
    time = 1e8 + 97.3 * np.arange(len(chipx))
    for index, (roll, dec) in enumerate([(0, 0.0), (37.5, -23.4), (90, 62.0), (171, -80.0), (262.3, 45.0),
                                         (359.9, 10.0)]):
        (observation,) = simulate.make_observations(index, 1, 1000, array, "FAINT", 5.0, dec)
        observation = dataclasses.replace(observation, roll_deg=roll)
        offset = pointing_offset(*observation.pointing(time)[:2], observation.ra_deg, observation.dec_deg)
        for chip in acis.CHIPS:
            # From the chip to the sky,
            body = telescope.behind(telescope.chip_to_focus(chip, chipx, chipy, sim_z))
            ours = observation.sky_pixels(observation.on_sky(body, observation.turns(time)))
            theirs = acis.to_sky(*acis.to_detector(chip, chipx, chipy, sim_z), roll, *offset)
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=0.01)
            # from the sky, as degrees, to the chip,
            ra, dec_at = pointing_at(*(axis - acis.CENTRE_PX for axis in theirs), observation.ra_deg,
                                          observation.dec_deg)
            body = observation.seen_by(telescope.unit_vectors(ra, dec_at), observation.turns(time))
            place = telescope.focus_to_chip(chip, telescope.focus(body), sim_z)
            np.testing.assert_allclose(place, (chipx, chipy), rtol=0, atol=0.01)
            np.testing.assert_allclose(place, to_chip(chip, *telescope.pixels(body), sim_z), rtol=0, atol=1e-6)
            # and how far that is off axis.
            np.testing.assert_allclose(telescope.off_axis_arcmin(body), acis.off_axis_arcmin(*telescope.pixels(body)),
                                       rtol=1e-4, atol=1e-6)


def test_simulator_and_exposure_maps_have_formulas_of_equal_values():
    theta, energy = np.linspace(0, 30, 100), np.linspace(100, 12_000, 200)
    np.testing.assert_allclose(telescope.throughput(theta), acis.vignetting(theta), atol=1e-12)
    np.testing.assert_allclose(telescope.r90_arcsec(theta), acis.psf_radius_arcsec(theta))
    np.testing.assert_allclose(telescope.area_cm2(energy), acis.effective_area_cm2(energy))
    body = telescope.scattered(telescope.at_pixels(*np.repeat([[5000.0], [4500.0]], 100_000, axis=1)),
                               np.random.default_rng(1))
    x, y = telescope.pixels(body)
    r90 = acis.psf_radius_arcsec(acis.off_axis_arcmin(5000.0, 4500.0)) / acis.PIXEL_ARCSEC
    for part in (0.3, 1.0, 1.4):
        expected = 1 - 0.1 ** part**2
        assert (np.hypot(x - 5000, y - 4500) < part * r90).mean() == pytest.approx(expected, abs=0.006)


def test_the_dither_differs_from_the_assumed_one(model):
    from chandra_bin.exposure.aspect import assumed_aspect

    observation = model.observations[0]
    assumed = assumed_aspect(observation.good_times(3), observation.roll_deg)
    true = observation.aspect_offset(assumed.time)
    for ours, theirs in zip(true, (assumed.x, assumed.y), strict=True):
        assert abs(np.corrcoef(ours, theirs)[0, 1]) < 0.2


def test_every_header_states_the_missing_calibration(made):
    for path in [*made.folder.rglob("*.fits*"), *made.folder.rglob("*.gti")]:
        with fits.open(path) as hdus:
            for hdu in hdus[1:] or hdus:
                assert hdu.header["CALIB"] == "APPROX", (path.name, hdu.name)


def test_dither_is_a_lissajous_figure(model):
    observation = model.observations[0]
    time = observation.tstart_s + np.arange(0, 20_000, 1.0)
    u, v = from_sky(*(acis.CENTRE_PX + axis for axis in observation.aspect_offset(time)), observation.roll_deg)
    for axis, period in ((u, 941), (v, 683)):
        assert np.ptp(axis) * acis.PIXEL_ARCSEC == pytest.approx(16, rel=1e-3)
        assert np.allclose(axis[period:], axis[:-period], atol=1e-6)


def test_events_lie_on_chips_but_not_on_bad_pixels_nor_at_bad_times(made):
    for done in made.done:
        events = read_events(done.events, ["time", "ccd_id", "chipx", "chipy", "detx", "dety", "grade", "status"])
        assert set(np.unique(events["grade"])) == {0, 2, 3, 4, 6}
        assert not events["status"].any()
        with fits.open(done.events.with_name(done.events.name.replace("evt2", "bpix1"))) as bad:
            for chip in range(4):
                on = events["ccd_id"] == chip
                x, y = events["chipx"][on], events["chipy"][on]
                assert x.min() == y.min() == 2
                assert x.max() == y.max() == 1023
                assert events.good_times_of(chip).contains(events["time"][on]).all()
                place = to_chip(chip, events["detx"][on], events["dety"][on], events.header["SIM_Z"])
                assert max(np.abs(place[0] - x).max(), np.abs(place[1] - y).max()) < 0.51
                hit = np.zeros(len(x), bool)
                for row in bad[f"BADPIX{chip}" if f"BADPIX{chip}" in bad else ("BADPIX", chip)].data:
                    hit |= ((x >= row["CHIPX"][0]) & (x <= row["CHIPX"][1])
                            & (y >= row["CHIPY"][0]) & (y <= row["CHIPY"][1]))
                assert not hit.any()


def test_level_2_is_level_1_filtered(made):
    for done in made.done:
        name = done.events.name.replace("evt2", "evt1")
        with fits.open(done.events.parents[1] / "secondary" / name) as one, fits.open(done.events) as two:
            rows = one["EVENTS"].data
            kept = np.isin(rows["grade"], [0, 2, 3, 4, 6]) & ~rows["status"].any(axis=1)
            good = read_events(done.events, ["time"]).good_times
            for chip, gti in good.items():
                on = rows["ccd_id"] == chip
                kept[on] &= gti.contains(rows["time"][on])
            assert {*rows.dtype.names} - {*two["EVENTS"].data.dtype.names} == {"phas"}
            for column in two["EVENTS"].data.dtype.names:
                assert rows[kept][column].tobytes() == two["EVENTS"].data[column].tobytes()
            assert 1.05 < len(rows) / kept.sum() < 1.6


def test_exposures_agree_with_good_times_and_the_subspace(made):
    for done in made.done:
        events = read_events(done.events, ["time"])
        header = events.header
        assert [each.chip() for each in read_subspace(header)] == list(events.good_times) == [3, 0, 1, 2]
        assert len({gti.total for gti in events.good_times.values()}) > 1
        for chip, gti in events.good_times.items():
            assert header[f"ONTIME{chip}"] == pytest.approx(gti.total, abs=1e-6)
            assert header[f"EXPOSUR{chip}"] == pytest.approx(events.livetime(chip), abs=1e-6)
        assert header["EXPOSURE"] == pytest.approx(done.exposure_s)
        filtered = done.events.parents[1] / "secondary" / done.events.name.replace("evt2", "flt1")
        with fits.open(filtered) as hdus:
            assert [hdu.header.get("CCD_ID") for hdu in hdus[2:]] == [3, 0, 1, 2]


def test_fast_ways_give_the_numbers_of_plain_ones():
    draw = np.random.default_rng(3)
    frame, chip = draw.integers(0, 40, 5000), draw.integers(0, 10, 5000).astype(np.int8)
    assert np.array_equal(_photons.order_of_time(frame, chip), np.lexsort((chip, frame)))
    assert _photons.order_of_time(frame[:0], chip[:0]).size == 0
    grades = np.random.default_rng(4).choice(_photons.GOOD_GRADES, 5000, p=_photons._GRADE_WEIGHTS)
    assert np.array_equal(_photons._good_grades(5000, np.random.default_rng(4)), grades)
    edges = 3940.37 + 16 * np.arange(41)
    places = np.concatenate([edges, np.nextafter(edges[:-1], np.inf), np.nextafter(edges[1:], -np.inf)])
    counts = np.bincount(_photons._pixels_of(places, edges), minlength=40)
    assert np.array_equal(counts, np.histogram(places, edges)[0])
    runs = [np.arange(25)[run] for run in _islands._OUTER_RUNS]
    assert np.array_equal(np.concatenate(runs), np.flatnonzero(_islands.OUTER))


@pytest.mark.parametrize(("datamode", "size"), [("VFAINT", 25), ("FAINT", 9)])
def test_islands_are_those_of_the_data_mode(made, datamode, size):
    row = made.observations[made.observations["datamode"] == datamode][0]
    events = read_events(made.folder / f"{row['obsid']}/secondary/acisf{row['obsid']}_000N001_evt1.fits.gz",
                         ["phas", "pha", "energy", "pi"])
    assert events.header["DATAMODE"] == datamode
    assert events["phas"].shape[1:] == (size,)
    inner = events["phas"].reshape(-1, math.isqrt(size), math.isqrt(size))
    inner = inner if size == 9 else inner[:, 1:4, 1:4]
    np.testing.assert_array_equal(inner.sum(axis=(1, 2)), events["pha"])
    np.testing.assert_array_equal(events["pi"], np.clip(np.float64(events["energy"]) // 14.6 + 1, 1, 1024))


def test_the_field_of_view_holds_all_events_tightly(made):
    for done in made.done:
        region = read_regions(done.events.with_name(done.events.name.replace("evt2", "fov1")))
        assert len(region.components) == 4
        from chandra_bin.regions import points_in_region

        events = read_events(done.events, ["x", "y"])
        inside = points_in_region(region, events["x"], events["y"])
        assert inside.mean() > 0.9999


def annuli(x, y, weights, edges_px):
    return np.histogram(np.hypot(x, y), bins=edges_px, weights=weights)[0]


@pytest.mark.parametrize("number", [0, pytest.param(1, marks=pytest.mark.full)])
def test_counts_are_the_model_times_the_exposure(model, number):
    scene, observation, events = model.scene, model.observations[number], model.events[number]
    edges = acis.CENTRE_PX + np.arange(-2400, 2401, 16.0)
    exposure, _ = simulate.flat_exposure(observation, edges, edges, 2_000_000, 1)
    ny, nx = scene.gas.norm.shape
    y, x = np.indices((ny, nx))
    u, v = (x + 0.5 - nx / 2) * scene.bin_px, (y + 0.5 - ny / 2) * scene.bin_px
    place = pointing_offset(*pointing_at(u, v, scene.ra_deg, scene.dec_deg), observation.ra_deg,
                                 observation.dec_deg)
    column, row = (((axis + 2400) // 16).astype(int) for axis in place)
    at = np.where((column >= 0) & (column < 300) & (row >= 0) & (row < 300),
                  exposure[np.clip(row, 0, 299), np.clip(column, 0, 299)], 0)
    rings = np.array([0, 40, 80, 140, 220, 320, 480, 768])
    expected = annuli(u, v, scene.gas.rate(simulate.FLUX_BAND_EV) * at, rings)
    centre = pointing_offset(scene.ra_deg, scene.dec_deg, observation.ra_deg, observation.dec_deg)
    low, high = simulate.FLUX_BAND_EV
    seen = (events.pass_level_2(observation) & (events.origin == CLUSTER) & (events.energy_ev >= low)
            & (events.energy_ev < high))
    counts = annuli(events.x[seen] - acis.CENTRE_PX - centre[0], events.y[seen] - acis.CENTRE_PX - centre[1], None,
                    rings)
    # The exposure map has noise of its own, and the PSF moves a few photons over the first edge.
    assert (np.abs(counts - expected) < 3.5 * np.sqrt(expected) + 0.01 * expected).all()
    assert counts.sum() == pytest.approx(expected.sum(), rel=0.02)


def test_vignetting_of_thinned_photons_is_the_formula(model):
    observation = model.observations[0]
    edges = acis.CENTRE_PX + np.arange(-1600, 1601, 16.0)
    exposure, _ = simulate.flat_exposure(observation, edges, edges, 3_000_000, 2)
    y, x = np.meshgrid(*(0.5 * (edges[1:] + edges[:-1]),) * 2, indexing="ij")
    detx, dety = from_sky(x, y, observation.roll_deg)
    theta = acis.off_axis_arcmin(detx, dety)
    inside = np.zeros(theta.shape, bool)
    for chip in observation.chips:  # where dither takes no place off the chip
        chipx, chipy = to_chip(chip, detx, dety, observation.sim_z_mm)
        inside |= (np.abs(chipx - 512.5) < 470) & (np.abs(chipy - 512.5) < 470)
    for low in range(0, 11, 2):
        ring = inside & (theta >= low) & (theta < low + 2)
        expected = acis.vignetting(theta[ring]).mean() * observation.livetime(3)
        # Bad columns take 0.2 %, frames that a chip lost as much.
        assert exposure[ring].mean() == pytest.approx(expected, rel=0.02)


def test_sources_have_the_counts_and_the_spread_of_the_truth(model, made):
    found = []
    for observation, events in zip(model.observations, model.events, strict=True):
        truth = Table.read(made.truth / f"{observation.obsid}_sources.ecsv")
        own = events[events.pass_level_2(observation) & (events.origin == SOURCE)]
        bright = truth[(truth["counts"] > 50)]
        for row in bright:
            distance = np.hypot(own.x - row["x"], own.y - row["y"]) * acis.PIXEL_ARCSEC
            near = distance < 3 * row["r90"]
            found.append(((near.sum() - row["counts"]) / np.sqrt(row["counts"]), (distance[near] < row["r90"]).mean()))
    assert len(found) >= 5
    pull, inside = np.array(found).T
    assert np.abs(pull).max() < 4.5  # all energies here, 0.5 - 7 keV there, and now and then a neighbour
    assert inside.mean() == pytest.approx(0.9, abs=0.03)


def test_flares_are_found_within_three_percent_of_good_time(made):
    for row in made.observations:
        name = f"{made.folder}/{row['obsid']}/primary/acisf{row['obsid']}_000N001_evt2.fits.gz[energy=500:7000]"
        events = read_events(name, ["time"])
        gti = events.good_times_of(3)
        truth = read_gti(made.truth / f"{row['obsid']}_clean.gti")[None].gti
        assert truth.total == pytest.approx(row["clean_ontime"])
        assert truth.total < 0.95 * gti.total
        for length in (150, 259.28):
            curve = light_curve(events["time"], gti, bin_length_s=length, livetime_fraction=simulate.LIVE_FRACTION)
            for method in ("clean", "robust"):
                found = gti & cut_flares(curve, method, margin=0).gti
                assert found.total == pytest.approx(truth.total, rel=0.03), method
                assert (found & truth).total > 0.97 * truth.total


def test_flare_times_are_recorded(model, made):
    for observation, events in zip(model.observations, model.events, strict=True):
        table = QTable.read(made.truth / f"{observation.obsid}_flares.ecsv")
        assert len(table) == 1
        times = observation.frame_times(events.frame[events.origin == FLARE])
        assert times.min() == pytest.approx(table["start"][0].value, abs=10)
        assert times.max() == pytest.approx(table["stop"][0].value, abs=10)


def test_hard_counts_scale_with_the_blank_sky(made):
    ratios = []
    for done in made.done:
        for chip in range(4):
            blank = done.events.parents[1] / f"blanksky/acisf{done.obsid}_ccd{chip}_blanksky.fits"
            ours, theirs = (read_events(f"{path}[ccd_id={chip},energy=9000:12000]", ["energy"])
                            for path in (done.events, blank))
            assert len(ours) > 500
            expected = ours.livetime(chip) / theirs.livetime(chip)
            assert expected == pytest.approx(0.1)
            ratios.append(len(ours) / len(theirs) / expected)
            assert abs(ratios[-1] - 1) < 4 / math.sqrt(len(ours))
    assert np.mean(ratios) == pytest.approx(1, abs=0.02)


def test_blank_sky_lies_on_the_observation(made):
    done = made.done[0]
    blank = read_events(done.events.parents[1] / f"blanksky/acisf{done.obsid}_ccd3_blanksky.fits", ["x", "y", "ccd_id"])
    ours = read_events(f"{done.events}[ccd_id=3,energy=9000:12000]", ["x", "y"])
    assert (blank["ccd_id"] == 3).all()
    assert blank.header["RA_NOM"] == ours.header["RA_NOM"]
    for axis in "xy":
        assert np.percentile(blank[axis], [1, 50, 99]) == pytest.approx(np.percentile(ours[axis], [1, 50, 99]), abs=40)


def test_truth_images_have_coordinates_and_units(made):
    cluster = fits.getheader(made.truth / "cluster.fits")
    assert cluster["BUNIT"] == "photon/cm**2/s"
    assert fits.getdata(made.truth / "cluster.fits").sum() * cluster["AREA"] * 20_000 * simulate.LIVE_FRACTION == (
        pytest.approx(SETTINGS.counts, rel=1e-4))
    with fits.open(made.truth / "90001_exposure.fits") as hdus:
        assert hdus[0].header["BUNIT"] == "s"
        assert (hdus[0].header["CRVAL1P"] - 0.5) % 16 == 0
        assert 0.05 < hdus[0].header["NOISE"] < 0.3
        assert np.median(hdus[0].data[hdus[0].data > 0]) == pytest.approx(made.done[0].exposure_s * 0.9, rel=0.1)


def test_acis_s_has_its_own_chips(tmp_path):
    (done,) = simulate_observations(tmp_path / "s", SimulationSettings(array="S", obsids=1, exposure=2000, counts=2000,
                                                                       truth_photons=1000, blank_sky=0))
    events = read_events(done.events, ["ccd_id", "chipx", "chipy", "energy", "tdetx"])
    assert events.header["DETNAM"] == "ACIS-5678"
    assert np.bincount(events["ccd_id"]).argmax() == 7
    assert list(events.good_times) == [7, 5, 6, 8]
    assert not (tmp_path / "s/90001/blanksky").exists()
    hard = np.bincount(events["ccd_id"][events["energy"] > 9000], minlength=10)
    assert hard[5] > 1.4 * hard[8]  # back-illuminated chips have more background


@pytest.mark.full
@pytest.mark.parametrize("array", ["I", "S"])
def test_the_shortest_observation(tmp_path, array):
    (done,) = simulate_observations(tmp_path / "s", SimulationSettings(array=array, obsids=1, exposure=10, counts=1,
                                                                       truth_photons=1000))
    assert done.exposure_s == pytest.approx(3 * 3.2)
    assert len(Table.read(tmp_path / "s/truth/90001_flares.ecsv")) == 0
    read_events(tmp_path / "s/90001/secondary/acisf90001_000N001_evt1.fits.gz", ["time", "status"])


@pytest.mark.usefixtures("quick")
def test_the_folder_of_a_plasmas_tables_is_recorded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_plasma(tmp_path / "atomdb")
    assert run(["simulate", "sim", "--obsids", "1", "--exposure", "30", "--counts", "20", "--blank-sky", "0",
                "--model", "apec", "--apec", "atomdb", "-q"]) == 0
    settings = json.loads((tmp_path / "sim/simulation.json").read_text())["settings"]
    assert (settings["model"], settings["apec"]) == ("apec", "../atomdb")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    begin(survey(Path("../sim")), Path("work"))
    assert read_config(Path("work")).settings.apec == "../../atomdb"


@pytest.mark.full
@pytest.mark.usefixtures("quick")
def test_clobber_replaces_a_simulation_and_nothing_else(tmp_path, capsys):
    folder = tmp_path / "sim"
    assert run(["simulate", str(folder), *SMALL, "--obsids", "3"]) == 0
    assert run(["simulate", str(folder), *SMALL]) == 2
    assert "--clobber" in capsys.readouterr().err
    assert run(["simulate", str(folder), *SMALL, "--obsids", "1", "--clobber"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["90001", "caldb", "simulation.json", "truth"]
    assert run(["simulate", str(folder), *SMALL, "--obsids", "1", "--blank-sky", "0", "--clobber"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["90001", "simulation.json", "truth"]
    assert json.loads((folder / "simulation.json").read_text())["settings"]["obsids"] == 1
    precious = folder / "90001/primary/notes.txt"
    precious.write_text("mine")
    before = files(folder)
    assert run(["simulate", str(folder), *SMALL, "--clobber"]) == 2
    error = capsys.readouterr().err
    assert "notes.txt: is not a file of the simulation" in error
    assert error.count("\n") == 1
    assert files(folder) == before


def test_folders_of_others_are_refused(tmp_path, capsys):
    (tmp_path / "acisf00754_000N001_evt2.fits").write_text("real")
    assert run(["simulate", str(tmp_path), *SMALL, "--clobber"]) == 2
    assert "holds files other than a simulation" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert run(["simulate", str(tmp_path / "file"), *SMALL]) == 2
    assert "is not a folder" in capsys.readouterr().err
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(("option", "value"), [("--obsids", "0"), ("--exposure", "-3"), ("--counts", "nan"),
                                               ("--seed", "-1"), ("--blank-sky", "inf"),
                                               ("--seed", "12345678901234567891"), ("--exposure", "123456789.5")])
def test_settings_without_sense_are_refused(tmp_path, capsys, option, value):
    assert run(["simulate", str(tmp_path / "new"), *SMALL, option, value]) == 2
    error = capsys.readouterr().err
    assert value.strip("-").rstrip("0") in error
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "statistics_blocks", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        simulate_observations(tmp_path / "sim", SimulationSettings(exposure=300, counts=100, truth_photons=100))
    assert not (tmp_path / "sim").exists()


def test_both_observations_see_the_same_sky(model, made):
    sources = Table.read(made.truth / "sources.ecsv")
    places = []
    for done, observation, events in zip(made.done, model.observations, model.events, strict=True):
        coords = read_events(done.events, ["time"]).coords
        truth = Table.read(made.truth / f"{done.obsid}_sources.ecsv")
        # The file's coordinates, through astropy's WCS, not the simulator's own.
        assert np.allclose(coords.sky_to_physical(sources["ra"], sources["dec"]), (truth["x"], truth["y"]), atol=1e-3)
        own = events[events.pass_level_2(observation) & (events.origin == SOURCE)]
        for row in truth[(truth["counts"] > 50) & (truth["theta"] < 6)]:
            near = np.hypot(own.x - row["x"], own.y - row["y"]) < 3 * row["r90"] / acis.PIXEL_ARCSEC
            error = row["r90"] / acis.PIXEL_ARCSEC / 2.146 / np.sqrt(near.sum())
            assert np.hypot(own.x[near].mean() - row["x"], own.y[near].mean() - row["y"]) < 5 * error
        cluster = events.origin == CLUSTER
        places.append(coords.physical_to_sky(np.median(events.x[cluster]), np.median(events.y[cluster])))
    assert np.allclose(places[0], places[1], atol=3 / 3600)
