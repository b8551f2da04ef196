"""Blank skies of the calibration database: the files of an observation, and the places of their events on its sky."""

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.cli import run
from chandra_bin.errors import ChandraBinWarning, InputError
from chandra_bin.events.vfaint import is_cleaned
from chandra_bin.exposure.blank_skies import find_blank_skies, is_in_chip_coordinates
from chandra_bin.pipeline.archive import look_through
from chandra_bin.tasks.background import add_backgrounds, blank_sky_background
from chandra_bin.tasks.blanksky import blank_sky_events
from chandra_bin.tasks.options import SimulationSettings
from chandra_bin.tasks.simulate import simulate_observations
from chandra_bin.tasks.spectra import write_spectra

# As in CALDB 4.9.7.
NAMES = [
    *(f"acis{chip}i{period}bkgrnd_cti{version}.fits" for chip in (0, 1, 2, 3, 6)
      for period, version in (("D2000-12-01", "N0002"), ("D2005-09-01", "N0001"), ("D2009-09-21", "N0001"),
                              ("D2012-01-01", "N0001"), ("D2012-01-01", "N0002"))),
    *(f"acis{chip}s{period}bkgrnd_ctiN0001.fits" for chip in (1, 2, 3, 5, 6, 7, 8)
      for period in ("D2000-12-01", "D2005-09-01", "D2009-09-21", "D2012-01-01")),
    *(f"acis{chip}sD2000-12-01bkgrndN0003.fits" for chip in (5, 7, 9)),
    "acis7sD2000-12-01bgstow_ctiN0001.fits", "acis7D2005-09-01bgstow_ctiN0002.fits", "readme.txt",
]
I3_MM, S3_MM = -233.6, -190.1


@pytest.fixture
def caldb(tmp_path):
    folder = tmp_path / "CALDB/data/chandra/acis/bkgrnd"
    folder.mkdir(parents=True)
    for name in NAMES:
        (folder / name).touch()
    return tmp_path / "CALDB"


def header(**changes):
    return {"SIM_Z": I3_MM, "DATE-OBS": "2007-03-04T05:06:07", "CTI_APP": "PPPPPBPBPP"} | changes


def chosen(folder, chips, **changes):
    return [path.name for path in find_blank_skies(folder, header(**changes), chips, "evt2.fits")[0]]


@pytest.mark.parametrize(("changes", "chips", "names"), [
    ({}, [3, 0], ["acis0iD2005-09-01bkgrnd_ctiN0001.fits", "acis3iD2005-09-01bkgrnd_ctiN0001.fits"]),
    ({"SIM_Z": S3_MM}, [7], ["acis7sD2005-09-01bkgrnd_ctiN0001.fits"]),
    ({"DATE-OBS": "2005-08-31T23:59:59"}, [1], ["acis1iD2000-12-01bkgrnd_ctiN0002.fits"]),
    ({"DATE-OBS": "2005-09-01T00:00:00"}, [1], ["acis1iD2005-09-01bkgrnd_ctiN0001.fits"]),
    ({"DATE-OBS": "2019-01-01"}, [2], ["acis2iD2012-01-01bkgrnd_ctiN0002.fits"]),  # the newest version
    ({"SIM_Z": S3_MM, "DATE-OBS": "2001-01-01", "CTI_APP": "PPPPPNPNPP"}, [7], ["acis7sD2000-12-01bkgrndN0003.fits"]),
])
def test_the_file_is_that_of_chip_aim_point_date_and_cti(caldb, changes, chips, names):
    assert chosen(caldb, chips, **changes) == names
    assert chosen(caldb / "data/chandra/acis/bkgrnd", chips, **changes) == names


@pytest.mark.parametrize(("changes", "chips", "message"), [
    ({"DATE-OBS": "2000-01-01"}, [3], r"no blank-sky file for evt2\.fits \(chip 3, aim point on ACIS-I, 2000"),
    ({"CTI_APP": "NNNNNNNNNN"}, [3], "without CTI correction"),
    # Period E has corrected events alone: those of period D are of another background.
    ({"SIM_Z": S3_MM, "CTI_APP": "PPPPPNPNPP"}, [7], "2007-03-04, without CTI correction"),
    ({}, [7], "chip 7, aim point on ACIS-I"),
    ({"SIM_Z": S3_MM}, [0], "no blank-sky file for evt2.fits: .*chip 0"),
    ({"SIM_Z": "x"}, [3], "has no SIM_Z"),
    ({"DATE-OBS": ""}, [3], "DATE-OBS, which selects the blank sky by date, is ''"),
    ({"CTI_APP": None}, [3], "CTI_APP, which .*, is None"),
])
def test_what_cannot_be_matched_is_refused(caldb, changes, chips, message):
    with pytest.raises(InputError, match=message):
        chosen(caldb, chips, **changes)


def test_chips_that_the_database_never_has_are_told_of(caldb):
    files, without = find_blank_skies(caldb, header(SIM_Z=S3_MM), [0, 4, 7], "evt2.fits")
    assert [path.name for path in files] == ["acis7sD2005-09-01bkgrnd_ctiN0001.fits"]
    assert ["chip 0" in without[0], "chip 4" in without[1]] == [True, True]


def test_a_folder_without_blank_skies_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no blank-sky files"):
        chosen(tmp_path, [3])


@pytest.mark.parametrize(("cards", "expected"), [
    ({"DATAMODE": "VFAINT", "CHKVFPHA": True}, True),
    ({"DATAMODE": "VFAINT", "CHKVFPHA": False, "HISTORY": "check_vf_pha=yes"}, False),
    ({"DATAMODE": "FAINT", "CHKVFPHA": True}, False),
    ({"DATAMODE": "VFAINT"}, False),
    ({"DATAMODE": "VFAINT", "HISTORY": "PARM  :check_vf_pha=yes                       ASC00012"}, True),
    ({"DATAMODE": "VFAINT", "HISTORY": "PARM  :check_vf_pha=no                        ASC00012"}, False),
])
def test_vfaint_cleaning_is_read_from_the_header(cards, expected):
    assert is_cleaned(fits.Header(cards)) == expected


def test_chip_coordinates_are_known_by_the_header():
    assert is_in_chip_coordinates({"CCNM0001": "BKGRND"})
    assert not is_in_chip_coordinates({"CCNM0001": "BKGRND", "BKGMETH": "particle", "BKGSCAL7": 0.1})  # CIAO's blanksky
    assert not is_in_chip_coordinates({})


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    """An observation on ACIS-I with blank skies in both forms, and the forms on the observation's sky."""
    folder = tmp_path_factory.mktemp("sky")
    simulate_observations(folder / "sim", SimulationSettings(
        obsids=1, array="I", exposure=8000, counts=500, datamode="VFAINT", truth_photons=100))
    files = look_through(folder / "sim", ["blanksky/*.fits*"])[0][0]
    events = f"{files.events}[ccd_id=0:3]"
    made = {"sky": blank_sky_events(events, list(map(str, files.blank_sky)), folder / "sky.evt"),
            "chip": blank_sky_events(events, folder / "sim/caldb", folder / "chip.evt")}
    return folder, events, made


def blocks(path, band=(500, 7000), width=128):
    """Counts in squares of ``width`` sky pixels."""
    with fits.open(path) as hdus:
        rows = hdus["EVENTS"].data
        energy = rows["energy"]
        here = (energy >= band[0]) & (energy < band[1])
        edges = np.arange(2500, 5701, width)
        return np.histogram2d(rows["y"][here], rows["x"][here], (edges, edges))[0]


def test_both_forms_give_the_same_background_within_their_noise(sky):
    folder, _, made = sky
    one, other = blocks(folder / "sky.evt"), blocks(folder / "chip.evt")
    enough = one + other > 50
    chi2 = ((one - other)[enough] ** 2 / (one + other)[enough]).sum()
    count = np.count_nonzero(enough)
    assert count > 100
    assert abs(chi2 - count) < 4 * np.sqrt(2 * count)
    for chip in range(4):
        scales = [made[form].scales[chip] for form in ("sky", "chip")]
        assert abs(scales[0].factor - scales[1].factor) < 4 * np.hypot(*(each.error for each in scales))


def test_holes_of_the_observation_are_those_of_the_background(sky):
    """A whole column is bad for the observation: its dithered shadow is in the blank sky too."""
    folder, events, _ = sky
    with fits.open(folder / "chip.evt") as hdus, fits.open(events.split("[")[0]) as source:
        for chip in range(4):
            used = [np.bincount(rows["chipx"][rows["ccd_id"] == chip], minlength=1025)
                    for rows in (hdus["EVENTS"].data, source["EVENTS"].data)]
            assert used[0].max() < 300  # expected: 100 a column
            assert used[0][1] == used[0][1024] == 0


def test_placed_events_follow_the_observation(sky):
    """Sky coordinates over chip coordinates agree with those of the observation's events within the dither."""
    folder, events, _ = sky
    with fits.open(folder / "chip.evt") as hdus, fits.open(events.split("[")[0]) as source:
        for chip in range(4):
            fits_ = []
            for rows in (hdus["EVENTS"].data, source["EVENTS"].data):
                here = rows["ccd_id"] == chip
                middle = [rows[axis][here] - 512.0 for axis in ("chipx", "chipy")]
                design = np.stack([np.ones(here.sum()), *middle], axis=1)
                sky_px = np.stack([rows["x"][here], rows["y"][here]], axis=1).astype(float)
                solved, *_ = np.linalg.lstsq(design, sky_px, rcond=None)
                fits_.append((solved, (sky_px - design @ solved).std(axis=0)))
            np.testing.assert_allclose(fits_[0][0][0], fits_[1][0][0], atol=1.5)  # the centre: sampling of the dither
            np.testing.assert_allclose(fits_[0][0][1:], fits_[1][0][1:], atol=0.005)
            np.testing.assert_allclose(fits_[0][1], fits_[1][1], rtol=0.1)  # the dither's size: 11.5 pixels


def test_the_same_seed_gives_the_same_file_and_another_one_does_not(sky, tmp_path):
    folder, events, _ = sky
    blank_sky_events(events, folder / "sim/caldb", tmp_path / "chip.evt")
    assert (tmp_path / "chip.evt").read_bytes() == (folder / "chip.evt").read_bytes()
    blank_sky_events(events, folder / "sim/caldb", tmp_path / "other.evt", seed=2)
    assert (tmp_path / "other.evt").read_bytes() != (folder / "chip.evt").read_bytes()


def test_scales_with_errors_and_counts_are_in_the_header(sky):
    folder, events, _ = sky
    with fits.open(folder / "chip.evt") as hdus, fits.open(events.split("[")[0]) as source:
        rows, cards = hdus["EVENTS"].data, hdus["EVENTS"].header
        for chip in range(4):
            high = [int(np.count_nonzero((each["ccd_id"] == chip) & (each["energy"] >= 9000)
                                         & (each["energy"] < 12_000))) for each in (source["EVENTS"].data, rows)]
            assert [cards[f"BKGOBS{chip}"], cards[f"BKGSKY{chip}"]] == high
            assert cards[f"BKGSCAL{chip}"] == pytest.approx(high[0] / high[1])
            assert cards[f"BKGERR{chip}"] == pytest.approx(high[0] / high[1] * np.sqrt(1 / high[0] + 1 / high[1]))
        assert cards["BKGTYPE"] == "BLANKSKY"
        assert cards["OBS_ID"] == "90001"


def test_the_error_of_the_scales_is_that_of_the_background(sky, tmp_path):
    folder, events, made = sky
    image = f"{events}[energy=500:7000][bin x=2500:5700:16,y=2500:5700:16]"
    background = blank_sky_background(image, folder / "chip.evt", tmp_path / "a", events=events)
    expected = dict.fromkeys(range(4), 0.0)
    with fits.open(folder / "chip.evt") as hdus:
        rows = hdus["EVENTS"].data
        inside = (rows["energy"] >= 500) & (rows["energy"] < 7000)
        inside &= (rows["x"] >= 2500) & (rows["x"] < 5700) & (rows["y"] >= 2500) & (rows["y"] < 5700)
        for chip, scale in made["chip"].scales.items():
            expected[chip] = np.count_nonzero(inside & (rows["ccd_id"] == chip)) * scale.error
    total = background.background.expected.sum()
    assert fits.getheader(tmp_path / "a_bkg.img")["BKGFERR"] == pytest.approx(
        np.sqrt(sum(each**2 for each in expected.values())) / total, rel=1e-3)


@pytest.mark.parametrize(("form", "names"), [
    ("chip", [f"acis{chip}iD2000-12-01bkgrnd_ctiN0001.fits[ccd_id={chip}]" for chip in range(4)]),
    ("sky", [f"acisf90001_ccd{chip}_blanksky.fits[ccd_id={chip}]" for chip in range(4)]),
    ("of CIAO", [f"unknown[ccd_id={chip}]" for chip in range(4)]),
])
def test_one_blank_sky_in_two_backgrounds_is_one_error(sky, tmp_path, form, names):
    """In a sum, errors from the blank sky's counts stay as they are; those of the observations shrink."""
    folder, events, _ = sky
    skies = folder / f"{form}.evt"
    if form == "of CIAO":
        skies = tmp_path / "of_ciao.evt"
        with fits.open(folder / "chip.evt") as hdus:
            for key in ("BKGERR", "BKGOBS", "BKGSKY", "BKGFIL"):
                del hdus["EVENTS"].header[f"{key}?"]
            hdus.writeto(skies)
    image = f"{events}[energy=500:7000][bin x=2500:5700:16,y=2500:5700:16]"
    for root in ("one", "two"):
        blank_sky_background(image, skies, tmp_path / root, events=events)
    add_backgrounds([tmp_path / "one", tmp_path / "two"], tmp_path / "both")
    add_backgrounds([tmp_path / "both", tmp_path / "one"], tmp_path / "three")
    one, both, three = (fits.getheader(tmp_path / f"{root}_bkg.img") for root in ("one", "both", "three"))
    assert [one[f"BKGSF{n:03}"] for n in range(1, 5)] == names
    shared = sum(one[f"BKGSE{n:03}"]**2 for n in range(1, 5))
    own = one["BKGFERR"]**2 - shared
    # The blank sky is 10 times as long as the observation.
    assert 0.05 < shared / own < 0.2
    assert both["BKGFERR"]**2 == pytest.approx(own / 2 + shared)
    assert three["BKGFERR"]**2 == pytest.approx(own / 3 + shared)
    assert "BKGSCAL0" in one
    assert not [key for key in both if key.startswith(("BKGSCAL", "BKGERR", "BKGOBS", "BKGSKY", "BKGFIL"))]


@pytest.mark.filterwarnings("ignore:.*is not in its folder")
def test_status_0_where_vfaint_was_cleaned(sky, tmp_path):
    """A calibration file has events that VFAINT shows to be particles: they count only where they were not cleaned."""
    folder, events, _ = sky
    raw = sorted((folder / "sim/caldb/data/chandra/acis/bkgrnd").iterdir())[0]
    with fits.open(raw) as hdus:
        flagged = hdus["EVENTS"].data["status"].any(axis=1).mean()
    assert 0.1 < flagged < 0.4
    with fits.open(events.split("[")[0]) as hdus:
        hdus["EVENTS"].header["CHKVFPHA"] = True
        hdus.writeto(tmp_path / "cleaned.fits")
    on_sky = sorted((folder / "sim/90001/blanksky").iterdir())[0]
    for form in (raw, on_sky):
        whole, cleaned = (blank_sky_events(f"{name}[ccd_id=0]", form, tmp_path / "out.evt", clobber=True)
                          for name in (events.split("[")[0], tmp_path / "cleaned.fits"))
        assert not whole.status_0
        assert cleaned.status_0
        assert cleaned.events == pytest.approx((1 - flagged) * whole.events, rel=0.02)


def test_parts_are_placed_as_the_whole_is(sky):
    from chandra_bin.fits.virtual import named_file
    from chandra_bin.tasks._sky_placement import SkyPlacer

    _, events, _ = sky
    placer = SkyPlacer(named_file(events), None, 1)
    chipx, chipy = np.random.default_rng(0).integers(2, 1024, (2, 1000)).astype(np.int16)
    whole = placer.place(3, chipx, chipy, placer.draws(3))
    draw = placer.draws(3)
    slices = (slice(0, 10), slice(10, 700), slice(700, 1000))
    parts = [placer.place(3, chipx[part], chipy[part], draw) for part in slices]
    for one, several in zip(whole, zip(*parts, strict=True), strict=True):
        assert np.array_equal(one, np.concatenate(several))


def test_chip_coordinates_are_refused_where_a_sky_is_needed(sky, tmp_path):
    folder, events, _ = sky
    raw = sorted((folder / "sim/caldb/data/chandra/acis/bkgrnd").iterdir())[0]
    image = f"{events}[energy=500:7000][bin x=2500:5700:16,y=2500:5700:16]"
    with pytest.raises(InputError, match="in chip coordinates: put it on the observation's sky first"):
        blank_sky_background(image, raw, tmp_path / "a")
    binmap = tmp_path / "binmap.fits"
    assert run(["bin", image, "--sn", "5", "-o", str(tmp_path / "out"), "-q"]) == 0
    binmap = tmp_path / "out/contbin_binmap.fits"
    with pytest.raises(InputError, match="in chip coordinates"):
        write_spectra(events, binmap, tmp_path / "spectra", background=raw)


@pytest.mark.filterwarnings("ignore:.*holds no table of good times")
def test_a_blank_sky_on_the_sky_of_another_observation_is_warned_of(sky, tmp_path):
    _, events, made = sky
    with fits.open(made["sky"].file) as hdus:
        hdus["EVENTS"].header.update(OBS_ID="99", ROLL_PNT=hdus["EVENTS"].header["ROLL_PNT"] + 5)
        hdus.writeto(tmp_path / "other.evt")
    message = r"other\.evt: is of ObsID 99, and its roll \(ROLL_PNT\) is 5 deg from that"
    with pytest.warns(ChandraBinWarning, match=message):
        blank_sky_events(events, tmp_path / "other.evt", tmp_path / "out.evt")


def test_command(sky, tmp_path, capsys):
    folder, events, made = sky
    out = tmp_path / "a.evt"
    assert run(["blanksky", events, "--blanksky", str(folder / "sim/caldb"), "-o", str(out)]) == 0
    text = capsys.readouterr().out
    scale = made["chip"].scales[3]
    assert f"chip 3: {scale.factor:.5g} +- " in text
    assert f"{scale.source_counts} counts of the observation over {scale.sky_counts} of the blank sky" in text
    assert run(["blanksky", events, "--blanksky", str(tmp_path), "-o", str(out), "--clobber"]) == 2
    assert "holds no blank-sky files" in capsys.readouterr().err


def test_the_pipeline_finds_the_database(sky, monkeypatch):
    folder, _, _ = sky
    database = folder / "sim/caldb"
    for entries in (["nothing/*", str(database)], ["$SOMEWHERE"], [str(database / "data/chandra/acis/bkgrnd")]):
        monkeypatch.setenv("SOMEWHERE", str(database))
        files = look_through(folder / "sim", entries)[0][0]
        assert files.caldb == (database if entries[-1] != str(database / "data/chandra/acis/bkgrnd") else
                               database / "data/chandra/acis/bkgrnd")
        assert [path.name[:6] for path in files.blank_sky] == ["acis0i", "acis1i", "acis2i", "acis3i"]
    files = look_through(folder / "sim", ["$NOWHERE", "blanksky/*", str(database)])[0][0]
    assert files.caldb is None
    assert all("blanksky" in path.name for path in files.blank_sky)


@pytest.mark.filterwarnings("ignore:.*is not in its folder")
@pytest.mark.parametrize("column", ["chipx", "status"])
def test_columns_that_lack_are_named(sky, tmp_path, column):
    folder, events, _ = sky
    raw = sorted((folder / "sim/caldb/data/chandra/acis/bkgrnd").iterdir())[0]
    with fits.open(raw) as hdus, fits.open(events.split("[")[0]) as source:
        hdus["EVENTS"].columns.change_name(column, "other")
        hdus.writeto(tmp_path / "raw.fits")
        source["EVENTS"].header["CHKVFPHA"] = True
        source.writeto(tmp_path / "evt2.fits")
    with pytest.raises(InputError, match=f"{column}"):
        blank_sky_events(f"{tmp_path / 'evt2.fits'}[ccd_id=0]", tmp_path / "raw.fits", tmp_path / "out.evt")
    assert not (tmp_path / "out.evt").exists()


@pytest.mark.filterwarnings("ignore:.*is not in its folder")
def test_a_gain_of_other_calibration_is_told_of(sky, tmp_path):
    folder, events, _ = sky
    raw = sorted((folder / "sim/caldb/data/chandra/acis/bkgrnd").iterdir())[0]
    with fits.open(raw) as hdus, fits.open(events.split("[")[0]) as source:
        hdus["EVENTS"].header["GAINFILE"] = "acisD2000-01-29gain_ctiN0006.fits"
        source["EVENTS"].header["GAINFILE"] = "acisD2000-01-29gain_ctiN0008.fits"
        hdus.writeto(tmp_path / "raw.fits")
        source.writeto(tmp_path / "evt2.fits")
    with pytest.warns(ChandraBinWarning, match="its energies use acisD2000-01-29gain_ctiN0006.fits"):
        blank_sky_events(f"{tmp_path / 'evt2.fits'}[ccd_id=0]", tmp_path / "raw.fits", tmp_path / "out.evt")


def test_energies_in_kev_are_refused(sky, tmp_path):
    folder, events, _ = sky
    raw = sorted((folder / "sim/caldb/data/chandra/acis/bkgrnd").iterdir())[0]
    with fits.open(raw) as hdus:
        hdus["EVENTS"].columns["energy"].unit = "keV"
        hdus.writeto(tmp_path / "raw.fits")
    with pytest.raises(InputError, match=r"raw\.fits: the column energy is in keV"):
        blank_sky_events(events, tmp_path / "raw.fits", tmp_path / "out.evt")
