"""Events through virtual names, against numpy on the same columns; good times, exposures and images that follow."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from chandra_bin.cli import run
from chandra_bin.coords.tangent_plane import pixel_map
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import ChandraBinWarning, InputError
from chandra_bin.events.gti import GTI
from chandra_bin.events.images import event_image
from chandra_bin.events.reader import read_events, read_passing_and_all
from chandra_bin.fits.images import write_image
from chandra_bin.fits.subspace import read_subspace
from chandra_bin.simulate import cluster_header
from chandra_bin.tasks.inputs import read_image
from event_files import START, random_events, write_events

REGION = "# Region file format: CIAO version 1.0\ncircle(4096.5,4096.5,200)\nrotbox(4300,4100,150,90,30)\n"


@pytest.fixture(scope="module")
def columns():
    """Events, some of them exactly on the edges of ranges."""
    made = random_events(30_000, seed=5)
    made["energy"][:6] = [500, np.nextafter(np.float32(500), 0, dtype=np.float32), 7000,
                          np.nextafter(np.float32(7000), 0, dtype=np.float32), 2000, np.nan]
    made["x"][:6], made["y"][:6] = 4096.5, [4096.5, 4098.5, 4100.5, 4102.5, 4104.5, np.nan]
    made["time"][6:8] = START + 5000, np.nan
    return made


@pytest.fixture(scope="module")
def evt2(tmp_path_factory, columns):
    return write_events(tmp_path_factory.mktemp("events") / "evt2.fits", columns)


CASES = {
    "[energy=500:7000]": lambda c: (c["energy"] >= 500) & (c["energy"] < 7000),
    "[energy=:500,7000:]": lambda c: (c["energy"] < 500) | (c["energy"] >= 7000),
    "[energy=2000]": lambda c: c["energy"] == 2000,
    "[energy=2000,7000:8000]": lambda c: (c["energy"] == 2000) | ((c["energy"] >= 7000) & (c["energy"] < 8000)),
    "[ccd_id=0:2]": lambda c: c["ccd_id"] <= 2,
    "[CCD_ID=1,3]": lambda c: np.isin(c["ccd_id"], (1, 3)),
    "[pi=35:479,grade=0,2:4]": lambda c: (c["pi"] >= 35) & (c["pi"] <= 479) & np.isin(c["grade"], (0, 2, 3, 4)),
    "[energy=500:7000][ccd_id=3][grade=0]": lambda c: ((c["energy"] >= 500) & (c["energy"] < 7000)
                                                         & (c["ccd_id"] == 3) & (c["grade"] == 0)),
    "[exclude ccd_id=3]": lambda c: c["ccd_id"] != 3,
    "[exclude ccd_id=3,energy=500:7000]": lambda c: ~((c["ccd_id"] == 3) & (c["energy"] >= 500) & (c["energy"] < 7000)),
    "[status=0]": lambda c: ~c["status"].any(axis=1),
    f"[status={'x' * 31}1]": lambda c: c["status"][:, 31],
    f"[time={START + 5000}:{START + 6000}]": lambda c: (c["time"] >= START + 5000) & (c["time"] < START + 6000),
    "[#row=1:5,29990:]": lambda c: np.isin(np.arange(len(c["x"])), [*range(5), *range(29989, 30000)]),
    "[sky=circle(4096.5,4096.5,200)]": lambda c: (np.hypot(c["x"].astype(float) - 4096.5,
                                                            c["y"].astype(float) - 4096.5) <= 200),
    "[exclude sky=circle(4096.5,4096.5,200)]": lambda c: ~(np.hypot(c["x"].astype(float) - 4096.5,
                                                                     c["y"].astype(float) - 4096.5) <= 200),
    "[(x,y)=rectangle(4000,4000,4100,4200)]": lambda c: ((c["x"] >= 4000) & (c["x"] <= 4100) & (c["y"] >= 4000)
                                                         & (c["y"] <= 4200)),
}


@pytest.mark.parametrize("filters", CASES)
def test_filters_are_those_of_numpy(evt2, columns, filters):
    keep = CASES[filters](columns)
    events = read_events(f"{evt2}{filters}", ["time", "x", "energy", "phas"])
    assert 0 < keep.sum() < len(keep)
    for name in ("time", "x", "energy", "phas"):
        np.testing.assert_array_equal(events[name], columns[name][keep])


def test_one_pass_reads_what_passes_and_all(evt2, columns):
    name, limits = f"{evt2}[energy=500:7000,ccd_id=3]", f"[time={START + 5000}:{START + 6000}]"
    passing, every = read_passing_and_all(f"{name}{limits}", ["time", "x", "energy"], of_all=["time", "x"])
    alone, whole = read_events(f"{name}{limits}", ["time", "x", "energy"]), read_events(evt2, ["time", "x"])
    assert 0 < len(passing) < len(every) == len(columns["x"])
    for one, other in ((passing, alone), (every, whole)):
        assert list(one.columns) == list(other.columns)
        for column in one.columns:
            np.testing.assert_array_equal(one[column], other[column])
        assert one.good_times == other.good_times
    assert passing.header == alone.header
    assert passing.good_times[3].total < every.good_times[3].total


@given(st.data())
@settings(max_examples=40)
def test_random_filters_are_those_of_numpy(evt2, columns, data):
    words, keep = [], np.ones(len(columns["x"]), bool)
    for name in data.draw(st.lists(st.sampled_from(["energy", "x", "ccd_id", "pi", "grade"]), unique=True, min_size=1)):
        values = columns[name]
        one = st.sampled_from(values[:200].tolist()).filter(np.isfinite)
        ends = [sorted(pair) for pair in data.draw(st.lists(st.tuples(one, one), min_size=1, max_size=3))]
        whole = values.dtype.kind == "i"
        inside = np.zeros(len(values), bool)
        for low, high in ends:
            inside |= (values >= low) & ((values <= high) if whole or low == high else (values < high))
        words.append(f"{name}={','.join(f'{low!r}:{high!r}' for low, high in ends)}")
        keep &= inside
    exclude = data.draw(st.booleans())
    events = read_events(f"{evt2}[{'exclude ' * exclude}{','.join(words)}]", ["time"])
    np.testing.assert_array_equal(events["time"], columns["time"][keep ^ exclude])


def test_a_region_and_its_complement_share_the_events(evt2, columns, tmp_path):
    (tmp_path / "f.reg").write_text(REGION)
    inside = read_events(f"{evt2}[sky=region({tmp_path}/f.reg)]", ["time"])
    outside = read_events(f"{evt2}[exclude sky=region({tmp_path}/f.reg)]", ["time"])
    assert len(inside) + len(outside) == len(columns["x"])
    assert len(inside) > 1000


def test_a_mask_is_an_image_of_the_events(evt2, tmp_path):
    (tmp_path / "f.reg").write_text(REGION)
    assert run(["copy", f"{evt2}[bin x=3596.5:4596.5:2,y=3596.5:4596.5:2]", f"{tmp_path}/img.fits", "-q"]) == 0
    words = f"mask {tmp_path}/img.fits --keep {tmp_path}/f.reg -o {tmp_path}/mask.fits -q"
    assert run(words.split()) == 0
    events = read_events(f"{evt2}[sky=mask({tmp_path}/mask.fits)]", ["x"])
    image, mask = read_image(tmp_path / "img.fits").data, read_image(tmp_path / "mask.fits").data
    assert len(events) == image[mask == 1].sum() > 1000


@pytest.mark.parametrize("step", [1, 2.5, 4])
def test_images_are_those_of_numpy(evt2, columns, step):
    edges = 3800 + step * np.arange(int(600 / step) + 1)
    made = event_image(f"{evt2}[energy=500:7000][bin x=3800:4400:{step},y=3800:4400:{step}]")
    keep = CASES["[energy=500:7000]"](columns) & np.isfinite(columns["y"])
    x, y = columns["x"][keep].astype(float), columns["y"][keep].astype(float)
    keep = (x >= edges[0]) & (x < edges[-1]) & (y >= edges[0]) & (y < edges[-1])
    expected = np.zeros((len(edges) - 1,) * 2, int)
    np.add.at(expected, tuple(np.searchsorted(edges, each[keep], side="right") - 1 for each in (y, x)), 1)
    np.testing.assert_array_equal(made.data, expected)


def test_pixels_lie_where_their_keywords_say(evt2):
    made = event_image(f"{evt2}[energy=2000][bin sky=4]")
    (y,), (x,) = np.nonzero(made.data)
    event = read_events(f"{evt2}[energy=2000]", ["x", "y"])
    assert len(event) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sky = WCS(made.header).celestial.pixel_to_world_values(x, y)
        events_wcs = WCS(naxis=2)
        events_wcs.wcs.ctype, events_wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [228.475, -59.14]
        events_wcs.wcs.crpix, events_wcs.wcs.cdelt = [4096.5, 4096.5], [-1.3666666666667e-4, 1.3666666666667e-4]
        there = events_wcs.all_world2pix(*sky, 1)
    assert abs(there[0] - event["x"][0]) <= 2
    assert made.header["CDELT1P"] == 4


def test_limits_are_those_of_the_filters(evt2):
    whole = event_image(f"{evt2}[bin sky=4]")
    assert whole.data.shape == (2048, 2048)
    box = event_image(f"{evt2}[sky=circle(4096.5,4000,100)][bin sky=4]")
    header = box.header
    edges = [header["CRVAL1P"], header["CRVAL1P"] + 4 * box.data.shape[1]]
    assert edges == [3996.5, 4196.5]
    assert (header["CRVAL2P"] - 0.5) % 4 == 0
    assert header["CRVAL2P"] <= 3900 < header["CRVAL2P"] + 4
    assert event_image(f"{evt2}[sky=circle(4096.5,4000,100)][bin sky=4][opt full]").data.shape == (2048, 2048)


def test_a_histogram_of_channels(evt2, columns):
    made = event_image(f"{evt2}[ccd_id=3][bin pi]")
    expected = np.bincount(columns["pi"][columns["ccd_id"] == 3], minlength=1025)[1:]
    np.testing.assert_array_equal(made.data, expected)
    assert made.header["CRVAL1"] == 0.5


class TestGoodTimes:
    """What filters leave of good times and exposures."""

    TIMES = {3: [(START, START + 4000), (START + 5000, START + 10_000)], 0: [(START + 100, START + 10_000)]}  # noqa: RUF012

    @pytest.fixture
    def evt2(self, tmp_path):
        return write_events(tmp_path / "evt2.fits", random_events(2000, chips=(0, 3)), good_times=self.TIMES)

    def test_exposures_are_cut_with_the_times(self, evt2, tmp_path):
        out = tmp_path / "cut.fits"
        assert run(["copy", f"{evt2}[time={START + 3000}:{START + 6000}]", str(out), "-q"]) == 0
        with fits.open(out) as hdus:
            hdus.verify("exception")
            header = hdus["EVENTS"].header
            assert {hdu.header["CCD_ID"]: list(map(tuple, hdu.data.tolist())) for hdu in hdus[2:]} == {
                3: [(START + 3000, START + 4000), (START + 5000, START + 6000)], 0: [(START + 3000, START + 6000)]}
            assert (header["ONTIME"], header["ONTIME3"], header["ONTIME0"]) == (2000, 2000, 3000)
            assert header["EXPOSUR0"] == pytest.approx(3000 * 0.98734)
            assert header["LIVETIME"] == header["EXPOSURE"] == header["LIVTIME3"] == pytest.approx(2000 * 0.98734)
            assert len(hdus["EVENTS"].data) > 100
        assert read_events(out, ["time"]).livetime(0) == pytest.approx(3000 * 0.98734)

    def test_excluded_times_go(self, evt2):
        events = read_events(f"{evt2}[exclude time={START}:{START + 9000}]", ["time"])
        assert events.good_times == {chip: GTI.of(START + 9000, START + 10_000) for chip in (3, 0)}

    def test_a_gti_file_cuts_each_chip(self, evt2, tmp_path):
        assert run(["copy", f"{evt2}[time={START + 3000}:{START + 6000}][GTI0]", str(tmp_path / "g.fits")]) == 2
        gti = tmp_path / "good.gti"
        rows = fits.BinTableHDU.from_columns([fits.Column("START", "D", array=[START + 3000, START + 8000]),
                                              fits.Column("STOP", "D", array=[START + 6000, START + 8500])], name="GTI")
        rows.writeto(gti)
        events = read_events(f"{evt2}[@{gti}]", ["time", "ccd_id"])
        assert events.good_times[3].total == 2500
        assert events.good_times[0].total == 3500
        all_times = read_events(evt2, ["time"])["time"]
        keep = GTI.of([START + 3000, START + 8000], [START + 6000, START + 8500]).contains(all_times)
        np.testing.assert_array_equal(events["time"], all_times[keep])

    def test_chips_go_with_their_times(self, evt2, tmp_path):
        out = tmp_path / "chip.fits"
        assert run(["copy", f"{evt2}[ccd_id=0][energy=500:7000]", str(out), "-q"]) == 0
        with fits.open(out) as hdus:
            header = hdus["EVENTS"].header
            assert [hdu.header.get("CCD_ID") for hdu in hdus[2:]] == [0]
            assert header["ONTIME"] == header["ONTIME0"] == 9900
            assert "ONTIME3" not in header
            (component,) = read_subspace(header)
        said = {name: (each.value, each.reference) for name, each in component.conditions.items()}
        assert said == {"ccd_id": ("0:0", ""), "time": ("TABLE", ":GTI0"), "energy": ("500:7000", "")}

    def test_no_chip_leaves_no_exposure(self, evt2, tmp_path, capsys):
        out = tmp_path / "none.fits"
        assert run(["copy", f"{evt2}[ccd_id=9]", str(out), "-q"]) == 0
        with fits.open(out) as hdus:
            header = hdus["EVENTS"].header
            assert (header["ONTIME"], header["LIVETIME"], header["EXPOSURE"]) == (0, 0, 0)
            assert "EXPOSUR0" not in header
            assert len(hdus["GTI"].data) == 0
        assert run(["lightcurve", f"{out}[bin time=::100]", str(tmp_path / "lc.fits")]) == 2
        assert "exclude all chips that have good times" in capsys.readouterr().err

    def test_one_table_for_all_chips(self, tmp_path):
        path = write_events(tmp_path / "evt2.fits", random_events(500, chips=(0, 3)), good_times=self.TIMES)
        with fits.open(path) as hdus:
            gti = hdus[2]
            gti.header.update(EXTNAME="STDGTI", HDUNAME="STDGTI")
            del gti.header["CCD_ID"], gti.header["EXTVER"]
            hdus["EVENTS"].header.update({"DSREF2": ":STDGTI", "2DSREF2": ":STDGTI"})
            fits.HDUList([hdus[0], hdus[1], gti]).writeto(tmp_path / "one.fits")
        out = tmp_path / "cut.fits"
        assert run(["copy", f"{tmp_path}/one.fits[time={START}:{START + 1000}]", str(out), "-q"]) == 0
        with fits.open(out) as hdus:
            header = hdus["EVENTS"].header
            assert [header[f"ONTIME{chip}"] for chip in ("", 0, 3)] == [1000] * 3
            assert header["EXPOSUR0"] == pytest.approx(987.34)
            assert hdus[2].header["HDUNAME"] == header["DSREF2"][1:] == "STDGTI"

    def test_a_region_in_a_table_is_no_keyword(self, evt2, tmp_path):
        with fits.open(evt2) as hdus:
            hdus["EVENTS"].header.update(DSTYP3="sky(x,y)", DSVAL3="TABLE", DSREF3=":REGION")
            hdus.writeto(tmp_path / "with.fits")
        for name, filters in (("a.fits", "[sky=circle(4096,4096,100)]"), ("b.fits", "[energy=500:7000]")):
            assert run(["copy", f"{tmp_path}/with.fits{filters}", str(tmp_path / name), "-q"]) == 0
            header = fits.getheader(tmp_path / name, "EVENTS")
            assert ":REGION" not in [header[key] for key in header if "DSREF" in key]
            assert "(TABLE)" not in str(header)

    def test_without_tables_the_observation_is_taken_whole(self, tmp_path):
        path = write_events(tmp_path / "evt2.fits", random_events(100), good_times={})
        with pytest.warns(ChandraBinWarning, match="no table of good times"):
            events = read_events(path, ["time"])
        assert events.good_times == {None: GTI.of(START, START + 10_000)}

    def test_overlapping_times_are_joined(self, tmp_path):
        path = write_events(tmp_path / "evt2.fits", random_events(100, chips=(3,)),
                            good_times={3: [(START, START + 600), (START + 500, START + 1000)]})
        with pytest.warns(ChandraBinWarning, match="overlap"):
            assert read_events(path, ["time"]).good_times[3].total == 1000


def test_columns_are_chosen(evt2, tmp_path):
    out = tmp_path / "few.fits"
    assert run(["copy", f"{evt2}[cols time,sky,ccd_id]", str(out), "-q"]) == 0
    with fits.open(out) as hdus, fits.open(evt2) as before:
        hdus.verify("exception")
        assert hdus["EVENTS"].columns.names == ["time", "x", "y", "ccd_id"]
        assert hdus["EVENTS"].header["TCTYP2"] == "RA---TAN"
        assert hdus["EVENTS"].header["TLMAX4"] == 9
        for name in ("time", "x", "ccd_id"):
            np.testing.assert_array_equal(hdus["EVENTS"].data[name], before["EVENTS"].data[name])
    assert run(["copy", f"{evt2}[cols -phas,-status]", str(out), "-q", "--clobber"]) == 0
    with fits.open(out) as hdus:
        assert not {"phas", "status"} & set(hdus["EVENTS"].columns.names)


def test_null_values_are_in_no_range(tmp_path):
    columns = random_events(100)
    columns["pi"][:10] = 0
    path = write_events(tmp_path / "evt2.fits", columns, header={"TNULL9": 0})
    assert len(read_events(f"{path}[pi=:1024]", ["time"])) == 90


def test_a_copy_named_gz_is_compressed(evt2, tmp_path, columns):
    for name in ("a.fits.gz", "b.fits.gz"):
        assert run(["copy", f"{evt2}[grade=0]", str(tmp_path / name), "-q"]) == 0
    first, second = ((tmp_path / name).read_bytes() for name in ("a.fits.gz", "b.fits.gz"))
    assert first[:2] == b"\x1f\x8b"
    assert first == second
    assert len(read_events(tmp_path / "a.fits.gz", ["x"])) == (columns["grade"] == 0).sum()


def test_excluding_a_range_keeps_rows_without_a_value(tmp_path):
    columns = random_events(100)
    columns["pi"][:10] = 0
    path = write_events(tmp_path / "evt2.fits", columns, header={"TNULL9": 0})
    assert len(read_events(f"{path}[exclude pi=0:1024]", ["time"])) == 10


def test_null_is_a_stored_number(tmp_path):
    table = fits.BinTableHDU.from_columns(
        [fits.Column("x", "E", array=[1, 2, 3]), fits.Column("y", "E", array=[1, 2, 3]),
         fits.Column("pi", "I", array=np.array([0, 5, 7], np.uint16), bzero=2**15)], name="EVENTS")
    table.header.update(TNULL3=7 - 2**15, TSTART=0.0, TSTOP=1.0)
    table.writeto(tmp_path / "evt.fits")
    with pytest.warns(ChandraBinWarning, match="no table of good times"):
        assert read_events(f"{tmp_path}/evt.fits[pi=0:10]", ["x"])["x"].tolist() == [1, 2]


def test_status_bits_are_read_as_numbers(evt2, columns, tmp_path):
    bits = columns["status"] @ (1 << np.arange(31, -1, -1, dtype=np.uint64))
    np.testing.assert_array_equal(read_events(evt2, ["status"])["status"], bits)
    empty = write_events(tmp_path / "none.fits", random_events(0))
    assert len(read_events(f"{empty}[status=0]", ["status"])) == 0


def test_no_events_at_all(tmp_path, capsys):
    path = write_events(tmp_path / "evt2.fits", random_events(0))
    assert run(["copy", f"{path}[energy=500:7000][bin sky=8]", str(tmp_path / "img.fits")]) == 0
    assert read_image(tmp_path / "img.fits").data.sum() == 0
    for number, filters in enumerate(("[energy=500:7000]", "[cols time,energy]")):
        assert run(["copy", f"{path}{filters}", str(tmp_path / f"{number}.fits")]) == 0
        assert "0 of 0 events" in capsys.readouterr().out
        with fits.open(tmp_path / f"{number}.fits") as hdus:
            hdus.verify("exception")
            assert len(hdus["EVENTS"].data) == 0


@pytest.mark.parametrize(("name", "said"), [
    ("[enrgy=500:7000]", "character {at}: block EVENTS has no column enrgy, only time"),
    ("[Enrgy=500:7000]", "; do you mean energy?"),
    ("[skyy=circle(4096,4096,9)]", "; do you mean sky?"),
    ("[bin grad=1]", "; do you mean grade?"),
    ("[bin skyy=2]", "; do you mean sky?"),
    ("[cols tim,energy]", "; do you mean time?"),
    ("[phas=1:2]", "it has 9 values a row"),
    ("[ccd_id=12]", "there is no chip 12: ccd_id goes from 0 to 9"),
    ("[status=12x]", "status"),
    ("[GTI9]", "the file has no block gti9"),
    ("[bin z=1]", "no column z that could be binned"),
    ("[bin x=4,y=4,energy=10]", "character"),
    ("[bin x=1:9000000000:1,y=1:2:1]", "makes more than"),
    ("[bin x=4200:4100:1,y=1:2:1]", "character"),
    ("[bin x=:100:1,x=1:2:1]", "binned twice"),
    ("[bin sky=4][opt type=q7]", "'type=q7': the value of type must be"),
    ("[sky=region(none.reg)]", "none.reg"),
    ("[@none.gti]", "none.gti: no such file"),
    ("[sky=mask(none.fits)]", "none.fits: no such file"),
    ("[x=9000:9100][bin sky=4]", "leave no values of the column x"),
    ("[cols time,zzz]", "has no column zzz"),
    ("[cols -" + ",-".join(["time", "ccd_id", "chipx", "chipy", "x", "y", "phas", "energy", "pi", "grade", "status"])
     + "]", "leaves no column"),
])
def test_bad_names_are_refused(evt2, tmp_path, capsys, name, said):
    before = sorted(tmp_path.iterdir())
    assert run(["copy", f"{evt2}{name}", str(tmp_path / "out.fits")]) == 2
    error = capsys.readouterr().err
    assert said.format(at=len(str(evt2)) + 2) in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_missing_columns_are_named(tmp_path, columns):
    path = write_events(tmp_path / "evt2.fits", columns, drop=("energy", "pi"))
    with pytest.raises(InputError, match="has no column energy or pi, only time"):
        read_events(path, ["time", "energy", "pi"])


def test_keV_for_eV_is_noticed(evt2, tmp_path, capsys):  # noqa: N802
    assert run(["copy", f"{evt2}[energy=0.5:7]", str(tmp_path / "out.fits")]) == 0
    assert "looks like keV" in capsys.readouterr().err


def test_chip_coordinates_are_no_sky(tmp_path, evt2):
    for name, filters in (("a", "[(chipx,chipy)=box(512,512,100,100)]"), ("b", "[sky=circle(4096,4096,100)]"),
                          ("c", "[x=4000:4100,y=4000:4200]")):
        assert run(["lightcurve", f"{evt2}{filters}[bin time=::1000]", f"{tmp_path}/{name}.fits", "-q"]) == 0
    areas = [fits.getdata(tmp_path / f"{name}.fits", 1)["AREA"][0] for name in "abc"]
    assert areas == pytest.approx([8192**2, np.pi * 100**2, 20_000], rel=2e-3)


def test_other_tables_have_no_good_times(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=np.arange(10))], name="SRC")
    table.header.update(TSTART=0.0, TSTOP=10.0)
    table.writeto(tmp_path / "src.fits")
    assert run(["copy", f"{tmp_path}/src.fits[a=1:3]", f"{tmp_path}/few.fits", "-q"]) == 0
    with fits.open(tmp_path / "few.fits") as hdus:
        assert hdus[1].data["a"].tolist() == [1, 2, 3]
        assert len(hdus) == 2


def test_given_limits_are_edges(evt2):
    made = event_image(f"{evt2}[bin x=4000::4,y=4000:4400:4]")
    assert made.header["CRVAL1P"] == made.header["CRVAL2P"] == 4000
    made = event_image(f"{evt2}[pi=10.5:20.5][bin pi]")
    assert (made.header["CRVAL1"], len(made.data)) == (10.5, 10)


def test_the_subspace_holds_whole_numbers_within(evt2, tmp_path):
    assert run(["copy", f"{evt2}[pi=10.5:20.5]", f"{tmp_path}/pi.fits", "-q"]) == 0
    assert read_subspace(fits.getheader(tmp_path / "pi.fits", "EVENTS"))[0].conditions["pi"].value == "11:20"


@pytest.mark.parametrize(("card", "said"), [
    (b"TSTART  = 'abc", "TSTART"), (b"OBJECT  = 'Abell \xe9'", ""), (b"OBS_ID  = oops 1 2", "OBS_ID")])
def test_odd_cards_are_no_obstacle(evt2, tmp_path, capsys, card, said):
    content = evt2.read_bytes()
    at = content.index(card[:10])
    (tmp_path / "odd.fits").write_bytes(content[:at] + card.ljust(80) + content[at + 80:])
    assert run(["copy", f"{tmp_path}/odd.fits[energy=500:7000]", f"{tmp_path}/out.fits"]) == 0
    error = capsys.readouterr().err
    assert error.count("\n") == bool(said)
    assert said in error


def test_a_full_disk_is_the_outputs_fault(evt2, tmp_path):
    code = ("import resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\nfrom chandra_bin.cli import run\n"
            "sys.exit(run(sys.argv[1:]))")
    done = subprocess.run([sys.executable, "-c", code, "copy", str(evt2), f"{tmp_path}/out.fits"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 2
    assert f"error: {tmp_path}/out.fits: cannot be written" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [
    "copy {evt2}[opt null=0] out.fits", "copy {evt2}[bin sky=8][opt null=0] out.fits",
    "copy {evt2}[opt type=i2] out.fits", "lightcurve {evt2}[cols,x][bin time=::100] out.fits",
    "deflare {evt2}[bin time=::5] out.fits", "spectra {evt2}[bin sky=4] map.fits -o out"])
def test_steps_that_mean_nothing_are_refused(evt2, tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "map.fits").open("wb") as file:
        write_image(file, np.zeros((8, 8), np.int32), cluster_header((8, 8)))
    words = [word.replace("cols,", "cols ").replace("opt", "opt ").replace("bin", "bin ") if "[" in word else word
             for word in words.replace("[opt ", "[opt").replace("[bin ", "[bin").format(evt2=evt2).split()]
    assert run(words) == 2
    error = capsys.readouterr().err
    assert "character" in error
    assert "remove it" in error


def test_other_telescopes_have_images_too(tmp_path, columns, capsys):
    path = write_events(tmp_path / "xmm.fits", columns, drop=("ccd_id", "energy"), header={"TELESCOP": "XMM"},
                        good_times={})
    with pytest.warns(ChandraBinWarning, match="no table of good times"):
        assert event_image(f"{path}[pi=200:700][bin sky=8]").data.sum() > 1000
    assert run(["copy", f"{path}[energy=500:7000]", str(tmp_path / "out.fits")]) == 2
    assert "a file of XMM: filters and images work" in capsys.readouterr().err


def test_an_output_is_no_input(evt2, tmp_path, capsys):
    (tmp_path / "f.reg").write_text(REGION)
    assert run(["copy", f"{evt2}[energy=500:7000]", str(evt2), "--clobber"]) == 2
    assert run(["copy", f"{evt2}[sky=region({tmp_path}/f.reg)]", f"{tmp_path}/f.reg", "--clobber"]) == 2
    assert capsys.readouterr().err.count("is an input and an output at once") == 2


def test_one_output_is_named(evt2, tmp_path, capsys):
    assert run(["copy", str(evt2)]) == 2
    assert run(["copy", str(evt2), f"{tmp_path}/a", "-o", f"{tmp_path}/b"]) == 2
    assert capsys.readouterr().err.count("error:") == 2


@pytest.fixture(scope="module")
def msh(shared):
    return shared / "data/msh1552/msh1552_acis_evt2.fits.gz"


@pytest.fixture(scope="module")
def msh_table(msh):
    with fits.open(msh) as hdus:
        return {name: np.array(hdus["EVENTS"].data[name]) for name in ("x", "y", "energy", "ccd_id")}


class TestMsh1552:
    """ACIS ObsID 754, of the archive."""

    @pytest.mark.parametrize("chip", [0, 1, 2, 3])
    @pytest.mark.parametrize(("low", "high"), [(500, 7000), (500, 1200), (2000, 7000)])
    def test_each_chip_and_band_is_numpys_histogram(self, msh, msh_table, chip, low, high):
        made = event_image(f"{msh}[energy={low}:{high},ccd_id={chip}][bin sky=4]")
        keep = (msh_table["ccd_id"] == chip) & (msh_table["energy"] >= low) & (msh_table["energy"] < high)
        edges = 0.5 + 4.0 * np.arange(2049)
        expected, _, _ = np.histogram2d(msh_table["y"][keep], msh_table["x"][keep], bins=(edges, edges))
        np.testing.assert_array_equal(made.data, expected)
        assert made.data.sum() == keep.sum()

    def test_the_chips_share_all_events(self, msh, msh_table):
        counts = [len(read_events(f"{msh}[ccd_id={chip}]", ["x"])) for chip in range(4)]
        assert sum(counts) == len(msh_table["x"]) == 258_419

    def test_the_flux_image_lines_up(self, msh, shared):
        flux = read_image(shared / "data/msh1552/msh1552_flux_2.1-10keV.fits.gz")
        events = read_events(f"{msh}[energy=2100:10000]", ["x", "y"])
        x, y = pixel_map(events.coords, ImageCoords(flux.header))(events["x"], events["y"])
        edges = [np.arange(size + 1) - 0.5 for size in flux.data.shape]
        counts, _, _ = np.histogram2d(y, x, bins=edges)
        smooth = [gaussian_filter(np.nan_to_num(image.astype(float)), 1.5) for image in (counts, flux.data)]
        # Where the two images match best: the peak of their correlation, between pixels.
        counts_f, flux_f = map(np.fft.rfft2, smooth)
        match = np.fft.fftshift(np.fft.irfft2(counts_f * flux_f.conj(), flux.data.shape))
        peak = np.unravel_index(np.argmax(match), match.shape)
        for axis, centre in enumerate(np.array(match.shape) // 2):
            low, top, high = (match[tuple(np.add(peak, step * np.eye(2, dtype=int)[axis]))] for step in (-1, 0, 1))
            assert abs(peak[axis] - centre + 0.5 * (low - high) / (low - 2 * top + high)) < 0.5
