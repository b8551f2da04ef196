"""Instants of light curves, events and good times: units, zero points, time stamps and lengths of bins."""

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.cli import run
from chandra_bin.errors import ChandraBinWarning, InputError
from chandra_bin.events.clocks import reference, seconds_of, zero_point
from chandra_bin.events.gti_files import read_gti
from chandra_bin.events.images import event_image
from chandra_bin.events.lightcurve_files import read_light_curve
from chandra_bin.events.reader import read_events
from event_files import START, random_events, write_events

DAY = 86_400.0
T0, LENGTH = 1e8, 50.0
RATE = np.array([10.0] * 20 + [30.0] * 5 + [10.0] * 15)
EDGES = T0 + LENGTH * np.arange(41)
MIDDLE = (EDGES[:-1] + EDGES[1:]) / 2
CLOCK = {"MJDREF": 50814.0, "TIMESYS": "TT", "TSTART": T0, "TSTOP": EDGES[-1]}
QUIET = [(EDGES[0], EDGES[20]), (EDGES[25], EDGES[40])]


def table(path, columns, name="RATE", **keywords):
    """Writes one table; columns: {name: (unit, values)}."""
    made = fits.BinTableHDU.from_columns([fits.Column(key, "D", unit=unit or None, array=values)
                                          for key, (unit, values) in columns.items()], name=name)
    for key, value in keywords.items():
        made.header[key] = value
    made.writeto(path, overwrite=True)
    return path


def good_times(path):
    """The rows of a GTI file as instants: seconds since MJD 0."""
    with fits.open(path) as hdus:
        rows, header = hdus["GTI"].data, hdus["GTI"].header
        assert header["TUNIT1"] == header["TUNIT2"] == "s"
        zero = header["MJDREF"] * DAY + header.get("TIMEZERO", 0.0) + header.get("TIMEZERI", 0) * 1.0
        return [(float(start) + zero, float(stop) + zero) for start, stop in rows]


CURVES = {
    "middle": ({"TIME": ("s", MIDDLE), "RATE": ("", RATE)}, {"TIMEDEL": LENGTH}),
    "start": ({"TIME": ("s", EDGES[:-1]), "RATE": ("", RATE)}, {"TIMEDEL": LENGTH, "TIMEPIXR": 0.0}),
    "end, length from the distance": ({"TIME": ("s", EDGES[1:]), "RATE": ("", RATE)}, {"TIMEPIXR": 1}),
    "days": ({"TIME": ("d", MIDDLE / DAY), "RATE": ("", RATE)},
             {"TIMEUNIT": "d", "TIMEDEL": LENGTH / DAY, "TSTART": T0 / DAY, "TSTOP": EDGES[-1] / DAY}),
    "days by TIMEUNIT": ({"TIME": ("", MIDDLE / DAY), "RATE": ("", RATE)},
                         {"TIMEUNIT": "d", "TIMEDEL": LENGTH / DAY}),
    "edges in days": ({"TIME": ("s", MIDDLE), "TIME_MIN": ("d", EDGES[:-1] / DAY), "TIME_MAX": ("d", EDGES[1:] / DAY),
                       "RATE": ("", RATE)}, {}),
    "TIMEZERO": ({"TIME": ("s", MIDDLE - T0), "RATE": ("", RATE)}, {"TIMEDEL": LENGTH, "TIMEZERO": T0}),
    "TIMEZERI": ({"TIME": ("s", MIDDLE - T0), "RATE": ("", RATE)},
                 {"TIMEDEL": LENGTH, "TIMEZERI": int(T0) - 1, "TIMEZERF": 1.0}),
    "lcurve": ({"TIME": ("s", MIDDLE - T0 - LENGTH / 2), "XAX_E": ("s", np.full(40, LENGTH / 2)), "RATE1": ("", RATE),
                "ERROR1": ("", RATE / 9), "FRACEXP": ("", np.ones(40))},
               {"TIMEUNIT": "d", "TIMEZERI": 1157, "TIMEZERF": (T0 + LENGTH / 2) / DAY - 1157,
                "TIMEDEL": (LENGTH, "[s] length of a bin"), "TSTART": T0 / DAY, "TSTOP": EDGES[-1] / DAY}),
    "unit in the comment": ({"TIME": ("s", MIDDLE), "RATE": ("", RATE)},
                            {"TIMEUNIT": "d", "TIMEDEL": (LENGTH, "[s] length of a bin")}),
    "Stingray": ({"time": ("", MIDDLE), "counts": ("", RATE * LENGTH)}, {"DT": LENGTH}),
    "lengths in a column": ({"TIME": ("s", EDGES[:-1]), "TIMEDEL": ("s", np.full(40, LENGTH)), "RATE": ("", RATE)},
                            {"TIMEPIXR": 0.0, "TIMEDEL": 3.0}),
}


@pytest.mark.parametrize("kind", CURVES)
def test_good_times_are_the_same_instants_in_every_form_of_light_curve(tmp_path, kind):
    columns, keywords = CURVES[kind]
    path = table(tmp_path / "lc.fits", columns, **{**CLOCK, **keywords})
    curve = read_light_curve(path)
    np.testing.assert_allclose(curve.time_min, EDGES[:-1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(curve.time_max, EDGES[1:], rtol=0, atol=1e-5)
    np.testing.assert_allclose(curve.time, MIDDLE, rtol=0, atol=1e-5)
    np.testing.assert_allclose(curve.rate, RATE, rtol=1e-12)
    out = tmp_path / "a.gti"
    assert run(["deflare", str(path), str(out), "--method", "sigma", "--sigma", "2"]) == 0
    np.testing.assert_allclose(good_times(out), np.array(QUIET) + 50814 * DAY, rtol=0, atol=1e-5)
    header = fits.getheader(out, "GTI")
    assert [header[key] for key in ("TSTART", "TSTOP")] == pytest.approx([T0, EDGES[-1]], abs=1e-5)
    assert header.get("TIMEDEL", LENGTH) == pytest.approx(3.0 if kind == "lengths in a column" else LENGTH)


def test_bins_with_gaps_are_as_long_as_the_column_says(tmp_path):
    time = T0 + 150.0 * np.arange(30)
    path = table(tmp_path / "lc.fits", {"TIME": ("s", time), "TIMEDEL": ("min", np.full(30, 10 / 60)),
                                        "RATE": ("", np.full(30, 8.0))}, **CLOCK)
    out = tmp_path / "a.gti"
    assert run(["deflare", str(path), str(out), "--method", "robust"]) == 0
    intervals = good_times(out)
    assert len(intervals) == 30
    assert sum(stop - start for start, stop in intervals) == pytest.approx(300, abs=1e-4)


def test_exposures_follow_fracexp_and_units(tmp_path):
    columns = {"TIME": ("s", MIDDLE[:3]), "RATE": ("", RATE[:3])}
    path = table(tmp_path / "lc.fits", {**columns, "FRACEXP": ("", [1.0, 0.5, np.nan])}, TIMEDEL=LENGTH)
    assert read_light_curve(path).exposure_s.tolist() == [50, 25, 0]
    path = table(tmp_path / "lc.fits", {**columns, "EXPOSURE": ("ks", [0.05, 0.025, 0])}, TIMEDEL=LENGTH)
    assert read_light_curve(path).exposure_s.tolist() == [50, 25, 0]
    path = table(tmp_path / "lc.fits", {"TIME": ("s", MIDDLE[:3]), "COUNTS": ("", [5, 5, 0]),
                                        "EXPOSURE": ("s", [50, 25, 0])}, TIMEDEL=LENGTH)
    assert read_light_curve(path).rate.tolist() == [0.1, 0.2, 0]


@pytest.mark.parametrize(("unit", "keywords", "text"), [
    ("furlong", {}, "column TIME: unknown unit of time 'furlong'"),
    ("s", {"TIMEPIXR": 2.0}, "TIMEPIXR = 2.0"),
    ("s", {"TIMEPIXR": "middle"}, "TIMEPIXR = 'middle'"),
    ("s", {"TIMEZERO": "noon"}, "TIMEZERO must be a number, got 'noon'"),
    ("s", {"TIMEZERI": 4, "TIMEUNIT": "bell"}, "unknown unit of time 'bell'"),
])
def test_clocks_that_cannot_be_read_are_refused(tmp_path, unit, keywords, text):
    path = table(tmp_path / "lc.fits", {"TIME": (unit, MIDDLE), "RATE": ("", RATE)}, **keywords)
    with pytest.raises(InputError, match=text) as error:
        read_light_curve(path)
    assert str(error.value).startswith(f"{path}: ")


def test_lengths_of_bins_that_cannot_be_are_refused_or_told_of(tmp_path):
    columns = {"TIME": ("s", MIDDLE[:3]), "RATE": ("", RATE[:3])}
    path = table(tmp_path / "lc.fits", {**columns, "TIMEDEL": ("s", [1, 0, 1])})
    with pytest.raises(InputError, match=r"whose length \(TIMEDEL\) is not above 0"):
        read_light_curve(path)
    path = table(tmp_path / "lc.fits", columns, TIMEDEL=80.0)
    with pytest.warns(ChandraBinWarning, match="time bins overlap by up to 30 s"):
        read_light_curve(path)


def test_light_curves_of_sgr_a_are_read_as_they_were_written(shared):
    path = shared / "data/sgra_lightcurves/15043_2-4keV_lc300.fits.gz"
    curve = read_light_curve(path)
    rows = fits.getdata(path, 1)
    np.testing.assert_array_equal(curve.time_min, rows["TIME_MIN"])
    np.testing.assert_array_equal(curve.time, rows["TIME"])
    np.testing.assert_array_equal(curve.exposure_s, rows["EXPOSURE"])


def test_references_and_zeros_of_headers():
    def header(**cards):
        made = fits.Header()
        for key, value in cards.items():
            made[key] = value
        return made

    for cards in ({"MJDREF": 51544.5}, {"MJDREFI": 51544, "MJDREFF": 0.5}, {"JDREF": 2451545.0},
                  {"JDREFI": 2451545, "JDREFF": 0.0}, {"DATEREF": "2000-01-01T12:00:00"}):
        assert reference(header(**cards)) == 51544.5 * DAY
    assert reference(header(DATEREF="yesterday")) is None
    assert zero_point(header(TIMEZERI=2, TIMEZERF=0.5, TIMEUNIT="d")) == 2.5 * DAY
    assert zero_point(header(TIMEZERO=(2.0, "[h] zero"), TIMEOFFS=3.0)) == 7203
    assert seconds_of(header(TSTART=2.0, TIMEUNIT="ks"), "TSTART") == 2000
    assert seconds_of(header(TSTART=(2.0, "[Ms] start")), "TSTART") == 2e6


@pytest.fixture
def events():
    columns = random_events(3000, chips=(7,))
    columns["time"] = START + np.sort(np.random.default_rng(3).uniform(0, 4000, 3000))
    return columns, {7: [(START, START + 4000.0)]}


GOOD = {"START": ("s", [START + 1000.0]), "STOP": ("s", [START + 1500.0])}
OTHER_CLOCKS = {
    "the same": (GOOD, {"MJDREF": 50814.0}),
    "without a word": (GOOD, {}),
    "days": ({key: ("d", np.array(value) / DAY) for key, (_, value) in GOOD.items()}, {"MJDREF": 50814.0}),
    "another reference": ({key: ("s", np.array(value) - 100 * DAY) for key, (_, value) in GOOD.items()},
                          {"MJDREFI": 50914, "MJDREFF": 0.0}),
    "TIMEZERI": ({key: ("s", np.array(value) - 5e7) for key, (_, value) in GOOD.items()},
                 {"MJDREF": 50814.0, "TIMEZERI": 50_000_000, "TIMEZERF": 0.0}),
}


@pytest.mark.parametrize("kind", OTHER_CLOCKS)
def test_good_times_of_another_clock_take_the_same_events(tmp_path, events, kind):
    columns, good = events
    path = write_events(tmp_path / "evt2.fits", columns, good_times=good)
    made, keywords = OTHER_CLOCKS[kind]
    table(tmp_path / "good.gti", made, name="GTI", **keywords)
    found = read_events(f"{path}[@{tmp_path / 'good.gti'}]", ["time"])
    inside = (columns["time"] >= START + 1000.0 - 1e-4) & (columns["time"] < START + 1500.0 + 1e-4)
    np.testing.assert_array_equal(found.columns["time"], columns["time"][inside])
    assert found.header["ONTIME"] == pytest.approx(500, abs=1e-3)


@pytest.mark.parametrize(("theirs", "ours", "text"), [
    ({"TIMEREF": "SOLARSYSTEM"}, {"TIMEREF": "LOCAL"}, r"SOLARSYSTEM and LOCAL \(TIMEREF\)"),
    ({"TIMESYS": "UTC"}, {}, r"UTC and TT \(TIMESYS\)"),
])
def test_good_times_of_another_time_scale_are_refused(tmp_path, events, theirs, ours, text):
    path = write_events(tmp_path / "evt2.fits", events[0], good_times=events[1], header=ours)
    table(tmp_path / "good.gti", GOOD, name="GTI", MJDREF=50814.0, **theirs)
    with pytest.raises(InputError, match=text):
        read_events(f"{path}[@{tmp_path / 'good.gti'}]", ["time"])
    table(tmp_path / "good.gti", GOOD, name="GTI", MJDREF=50814.0, TIMESYS="TDB")
    assert read_events(f"{path}[@{tmp_path / 'good.gti'}]", ["time"]).header["ONTIME"] == 500


def on_another_clock(path, *, unit_s, zero, gti_zero):
    """Rewrites an event file: times in another unit, counted from other zeros in EVENTS and GTI."""
    unit = {1.0: "s", DAY: "d"}[unit_s]
    with fits.open(path, mode="update", memmap=False) as hdus:
        for hdu, names, begin in ((hdus["EVENTS"], ("time",), zero), (hdus["GTI"], ("START", "STOP"), gti_zero)):
            for name in names:
                hdu.data[name] = (hdu.data[name] - begin) / unit_s
                number = [column.lower() for column in hdu.columns.names].index(name.lower()) + 1
                hdu.columns.change_unit(name, unit)
                for key in (f"TLMIN{number}", f"TLMAX{number}"):
                    hdu.header.remove(key, ignore_missing=True)
            hdu.header["TIMEUNIT"], hdu.header["TIMEZERO"] = unit, begin / unit_s
        for key in ("TSTART", "TSTOP", "TIMEDEL"):
            begin = 0 if key == "TIMEDEL" else zero
            hdus["EVENTS"].header[key] = (hdus["EVENTS"].header[key] - begin) / unit_s
    return path


@pytest.mark.parametrize(("unit_s", "zero", "gti_zero"), [(1.0, 0.0, 0.0), (DAY, 0.0, 0.0), (1.0, START - 7, START - 7),
                                                          (1.0, START - 7, 0.0), (DAY, 100 * DAY, 200 * DAY)])
def test_events_of_any_clock_give_the_same_light_curve_and_good_times(tmp_path, events, unit_s, zero, gti_zero):
    columns, good = events
    columns["time"][::3] = START + 2000 + np.random.default_rng(4).uniform(0, 300, 1000)  # a flare
    columns["time"].sort()
    plain = write_events(tmp_path / "plain.fits", columns, good_times=good)
    path = on_another_clock(write_events(tmp_path / "evt2.fits", columns, good_times=good), unit_s=unit_s, zero=zero,
                            gti_zero=gti_zero)
    for name in (plain, path):
        curve, out = name.with_suffix(".lc"), name.with_suffix(".gti")
        assert run(["lightcurve", f"{name}[bin time=::100]", str(curve)]) == 0
        assert run(["deflare", str(curve), str(out), "--method", "robust"]) == 0
        assert run(["copy", f"{name}[@{out}]", str(name.with_suffix(".clean"))]) == 0
    ours, theirs = read_light_curve(path.with_suffix(".lc")), read_light_curve(plain.with_suffix(".lc"))
    np.testing.assert_allclose(ours.time_min, theirs.time_min, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(ours.counts, theirs.counts)
    np.testing.assert_allclose(ours.exposure_s, theirs.exposure_s, rtol=1e-6)
    np.testing.assert_allclose(good_times(path.with_suffix(".gti")), good_times(plain.with_suffix(".gti")), rtol=0,
                               atol=1e-4)
    kept, all_kept = (fits.getheader(name.with_suffix(".clean"), "EVENTS") for name in (path, plain))
    assert kept["NAXIS2"] == all_kept["NAXIS2"] < 2200
    assert kept["ONTIME"] == pytest.approx(all_kept["ONTIME"], abs=1e-3)
    of_copy = read_gti(path.with_suffix(".clean"))[None]
    begin = zero_point(of_copy.header)
    np.testing.assert_allclose(of_copy.gti.start + begin, read_gti(plain.with_suffix(".clean"))[None].gti.start, rtol=0,
                               atol=1e-4)


def test_histograms_of_times_begin_and_end_as_the_header_says_in_any_unit(tmp_path, events):
    """TSTART and TSTOP in seconds, by TIMEUNIT, beside a column in days, by TUNIT."""
    path = write_events(tmp_path / "evt2.fits", events[0], good_times=events[1], seconds=4000.0)
    with fits.open(path, mode="update", memmap=False) as hdus:
        number = hdus["EVENTS"].columns.names.index("time") + 1
        hdus["EVENTS"].data["time"] /= DAY
        hdus["EVENTS"].columns.change_unit("time", "d")
        for key in (f"TLMIN{number}", f"TLMAX{number}"):
            hdus["EVENTS"].header.remove(key, ignore_missing=True)
    step = 1000 / DAY
    image = event_image(f"{path}[bin time=::{step!r},energy=::6000]")
    assert image.data.sum() == len(events[0]["time"])
    assert image.data.shape[1] in (4, 5)  # 4000 s in bins of 1000 s, to rounding


def test_times_that_are_read_are_seconds(tmp_path, events):
    path = on_another_clock(write_events(tmp_path / "evt2.fits", events[0], good_times=events[1]), unit_s=DAY, zero=0.0,
                            gti_zero=0.0)
    read = read_events(path, ["time"])
    np.testing.assert_allclose(read.columns["time"], events[0]["time"], rtol=0, atol=1e-5)
    assert read.good_times[7].contains(read.columns["time"]).all()
