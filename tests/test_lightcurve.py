"""Light curves: the numbers of dmextract, and of a count bin by bin."""

import gzip
import math

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from chandra_bin.errors import ChandraBinWarning, InputError, OutputError
from chandra_bin.events.gti import GTI
from chandra_bin.events.lightcurve import LightCurve, light_curve
from chandra_bin.events.lightcurve_files import read_light_curve

START = 495504343.3633
REAL = ["11843_2-4keV", "11843_4-8keV", "14392_2-4keV", "14392_4-8keV", "15043_2-4keV", "15043_4-8keV",
        "22595_2-4keV", "22595_4-8keV"]


@pytest.mark.parametrize("name", REAL)
def test_bins_and_exposures_are_those_of_dmextract(shared, name):
    with fits.open(shared / f"data/sgra_lightcurves/{name}_lc300.fits.gz", memmap=False) as hdus:
        rows, header, good = hdus[1].data, hdus[1].header, hdus[2].data
    events = np.repeat(rows["TIME"], rows["COUNTS"])
    curve = light_curve(events, GTI.of(good["START"], good["STOP"]), bin_length_s=300.0,
                        start=rows["TIME_MIN"][0], stop=header["TSTOP"], livetime_fraction=header["DTCOR"])
    for ours, theirs in ((curve.time_min, "TIME_MIN"), (curve.time, "TIME"), (curve.time_max, "TIME_MAX"),
                         (curve.counts, "COUNTS"), (curve.counts_error, "STAT_ERR")):
        np.testing.assert_array_equal(ours, rows[theirs])
    for ours, theirs in ((curve.exposure_s, "EXPOSURE"), (curve.rate, "COUNT_RATE"),
                         (curve.rate_error, "COUNT_RATE_ERR")):
        np.testing.assert_allclose(ours, rows[theirs], rtol=1e-13)
    assert math.isclose(curve.exposure_s.sum(), header["EXPOSURE"], rel_tol=1e-12)


@given(st.lists(st.floats(0, 40), max_size=30), st.floats(0.05, 7), st.floats(0, 5), st.booleans())
def test_counts_are_those_between_the_edges(times, length, begin, nudge):
    edges = begin + length * np.arange(2000.0)
    times = [*times, *edges[:5], *np.nextafter(edges[:5], -1), *np.nextafter(edges[:5], 99)] if nudge else times
    gti = GTI.of(begin, begin + 20)
    curve = light_curve(times, gti, bin_length_s=length)
    lo, hi = curve.time_min, curve.time_max
    np.testing.assert_array_equal(lo, begin + length * np.arange(len(curve)))
    assert lo[-1] < begin + 20 <= hi[-1]
    assert curve.counts.tolist() == [sum(a <= t < b for t in times) for a, b in zip(lo, hi, strict=True)]
    assert curve.exposure_s.sum() == pytest.approx(20)


def test_frames_on_the_edges_of_bins_fall_into_the_later_bin():
    frame = 3.24104
    edges = START + 80 * frame * np.arange(1001)
    counts = light_curve(edges[:-1], GTI.of(START, edges[-1]), bin_length_s=80 * frame).counts
    assert (counts == 1).all()
    before = light_curve(np.nextafter(edges[1:], 0), GTI.of(START, edges[-1]), bin_length_s=80 * frame).counts
    assert (before == 1).all()


def test_order_and_layout_do_not_matter():
    rng = np.random.default_rng(1)
    times = START + np.sort(rng.uniform(0, 1e5, 20_000))
    gti = GTI.of([START, START + 5e4], [START + 3e4, START + 1e5])
    with pytest.warns(ChandraBinWarning, match="events are in time bins without good time"):
        first = light_curve(times, gti, bin_length_s=259.28)
    for other in (times[::-1], times.astype(">f8"), rng.permutation(times)):
        with pytest.warns(ChandraBinWarning, match="without good time"):
            np.testing.assert_array_equal(light_curve(other, gti, bin_length_s=259.28).counts, first.counts)
    assert first.counts.sum() == times.size
    assert (first.rate[first.exposure_s == 0] == 0).all()
    assert (first.rate_error[first.exposure_s == 0] == 0).all()


def test_no_events_are_bins_of_zero():
    curve = light_curve([], GTI.of(0, 100), bin_length_s=30, livetime_fraction=0.5)
    assert curve.counts.tolist() == [0] * 4
    assert curve.exposure_s.tolist() == [15, 15, 15, 5]
    assert curve.rate.tolist() == [0] * 4
    assert curve.bin_length_s == 30


def test_events_without_a_time_are_left_out_and_told_of():
    with pytest.warns(ChandraBinWarning, match="2 of 4 events with a time of NaN are ignored"):
        assert light_curve([np.nan, 1, np.nan, 99], GTI.of(0, 2), bin_length_s=1).counts.tolist() == [0, 1]


@pytest.mark.parametrize(("options", "text"), [
    ({"bin_length_s": 0}, "the bin length must be above 0, got 0 s"),
    ({"bin_length_s": -5}, "the bin length must be above 0, got -5 s"),
    ({"bin_length_s": np.nan}, "the bin length must be above 0, got nan s"),
    ({"bin_length_s": 1e-7}, r"bins of 1e-07 s from 0.0 to 100.0 s would be 1e\+09"),
    ({"bin_length_s": 5e-324}, "would be inf"),
    ({"bin_length_s": 1e-8, "start": 7e8, "stop": 7e8 + 1e-6}, "shorter than the float64 resolution"),
    ({"bin_length_s": 1, "start": 5, "stop": 5}, "the start 5.0 s of the light curve must be before its stop 5.0 s"),
    ({"bin_length_s": 1, "stop": np.inf}, "the start 0.0 s of the light curve must be before its stop inf s"),
    ({"bin_length_s": 1, "livetime_fraction": 0}, "the live time fraction"),
])
def test_wrong_bins_are_refused(options, text):
    with np.errstate(over="ignore"), pytest.raises(InputError, match=text):
        light_curve([1.0], GTI.of(0, 100), **options)


def test_no_good_time_needs_a_start_and_a_stop():
    nothing = GTI.of([], [])
    with pytest.raises(InputError, match="there is no good time"):
        light_curve([], nothing, bin_length_s=1)
    assert light_curve([], nothing, bin_length_s=1, start=0, stop=2).exposure_s.tolist() == [0, 0]


def table(path, columns, **keywords):
    fits.BinTableHDU.from_columns(
        [fits.Column(name, "D", array=array) for name, array in columns.items()],
        header=fits.Header({"EXTNAME": "LIGHTCURVE", **keywords})).writeto(path, overwrite=True)
    return path


def test_a_light_curve_is_read_with_what_it_has(tmp_path):
    columns = {"RATE": [3, 1, 2], "Time": [30, 10, 20]}
    curve = read_light_curve(table(tmp_path / "lc.fits", columns, TIMEDEL=8.0))
    assert curve.time.tolist() == [10, 20, 30]  # in the order of time
    assert curve.rate.tolist() == [1, 2, 3]
    assert curve.time_min.tolist() == [6, 16, 26]
    assert curve.exposure_s is curve.counts is None
    with pytest.raises(InputError, match="no counts"):
        _ = curve.rate_error
    curve = read_light_curve(table(tmp_path / "lc.fits", columns))
    assert curve.time_max.tolist() == [15, 25, 35]
    more = {"COUNT_RATE": [9, 8, 7], "TIME_MIN": [29, 9, 19], "TIME_MAX": [39, 19, 29], "EXPOSURE": [2, 2, 0],
            "COUNTS": [18, 16, 0]}
    curve = read_light_curve(table(tmp_path / "lc.fits", columns | more))
    assert curve.rate.tolist() == [8, 7, 9]
    assert curve.time_min.tolist() == [9, 19, 29]
    assert curve.exposure_s.tolist() == [2, 0, 2]
    assert curve.counts.tolist() == [16, 0, 18]


def test_light_curves_are_written_and_read_again(tmp_path):
    rng = np.random.default_rng(3)
    path = tmp_path / "made.lc"
    made = light_curve(rng.uniform(START, START + 1000, 500), GTI.of(START, START + 990), bin_length_s=50)
    for curve in (made, LightCurve(made.time_min, made.time_max, made.time, made.rate)):  # all that is known, and rates
        curve.write(path, overwrite=curve is not made)
        found = read_light_curve(path)
        for name in ("time_min", "time_max", "time", "rate", "exposure_s", "counts"):
            np.testing.assert_array_equal(getattr(found, name), getattr(curve, name))
        assert (found.header["MJDREF"], found.header["TIMEDEL"]) == (50814, 50)
        found.write(tmp_path / "again.lc", overwrite=True)
        assert (tmp_path / "again.lc").read_bytes() == path.read_bytes()
    with pytest.raises(OutputError, match=r"made\.lc: exists already"):
        made.write(path)


def test_rows_of_a_light_curve_can_be_chosen(tmp_path):
    path = table(tmp_path / "lc.fits", {"TIME": np.arange(6.0), "RATE": [1, 1, 90, 1, 1, 1]})
    assert read_light_curve(f"{path}[rate=:2]").time.tolist() == [0, 1, 3, 4, 5]
    assert len(read_light_curve(f"{path}[LIGHTCURVE][#row=2:4]")) == 3
    with pytest.raises(InputError, match="rat"):
        read_light_curve(f"{path}[rat=:2]")


@pytest.mark.parametrize(("columns", "text"), [
    ({"TIME": [1, 2], "COUNTS": [1, 2]}, "block LIGHTCURVE has no column COUNT_RATE or RATE"),
    ({"T": [1, 2], "RATE": [1, 2]}, "block LIGHTCURVE has no column TIME"),
    ({"T": [1, 2]}, "block LIGHTCURVE has no column TIME and no COUNT_RATE or RATE"),
    ({"TIME": [1], "RATE": [1]}, "has 1 time bin; at least 2"),
    ({"TIME": [1, np.nan], "RATE": [1, 1]}, "has 1 bin without a TIME"),
    ({"TIME": [1, 2], "RATE": [np.nan, np.nan]}, "has no rate in any of its 2 bins: all are NaN"),
    ({"TIME": [1, 2], "RATE": [np.inf, 1]}, "has 1 infinite rate"),
    ({"TIME": [1, 1], "RATE": [1, 1]}, "all its bins have one TIME"),
    ({"TIME": [1, 2], "RATE": [1, 1], "EXPOSURE": [1, -3]}, "has an EXPOSURE of -3 s"),
    ({"TIME": [1, 2], "RATE": [1, 1], "TIME_MIN": [1, 2], "TIME_MAX": [2, 2]}, "TIME_MIN is not before TIME_MAX"),
])
def test_what_is_no_light_curve_is_refused(tmp_path, columns, text):
    path = table(tmp_path / "lc.fits", columns)
    with pytest.raises(InputError, match=text) as error:
        read_light_curve(path)
    assert str(error.value).startswith(f"{path}: ")


def test_some_rates_that_are_nan_are_told_of(tmp_path):
    path = table(tmp_path / "lc.fits", {"TIME": [1, 2, 3], "RATE": [1, np.nan, 1]})
    with pytest.warns(ChandraBinWarning, match=r"lc.fits: 1 of 3 bins with a rate of NaN are ignored"):
        read_light_curve(path)


def test_damaged_files_are_refused(tmp_path):
    path = table(tmp_path / "lc.fits", {"TIME": np.arange(1000.0), "RATE": np.ones(1000)})
    content = path.read_bytes()
    for short, text in ((content[:9000], "is truncated"), (b"", "is empty"), (b"no FITS" * 999, "is not a FITS file"),
                        (gzip.compress(content)[:500], "truncated or damaged"), (content[:2880], "there is no table")):
        path.write_bytes(short)
        with pytest.raises(InputError, match=text):
            read_light_curve(path)
    with pytest.raises(InputError, match="no such file"):
        read_light_curve(tmp_path / "none.fits")
