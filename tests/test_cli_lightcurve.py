"""``chandra-bin lightcurve`` and ``deflare``: from events to good times, and back to events."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.cli import run
from chandra_bin.events.gti_files import read_gti
from event_files import START, random_events, write_events
from files import listing, summary, write_fits
from pictures import CUT, KEPT, number_of
from test_lightcurve import table

DTCOR = 0.98734
COLUMNS = ["TIME_BIN", "TIME_MIN", "TIME", "TIME_MAX", "COUNTS", "STAT_ERR", "AREA", "EXPOSURE", "COUNT_RATE",
           "COUNT_RATE_ERR"]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def flaring_events(quiet=4000, flare=3000):
    """Events of 10 ks, with a flare from 4 to 4.5 ks."""
    columns = random_events(quiet + flare, seed=3, chips=(3,))
    draw = np.random.default_rng(5)
    columns["time"] = START + np.r_[draw.uniform(0, 10_000, quiet), draw.uniform(4000, 4500, flare)]
    return columns


def one_line(capsys):
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_the_command_line_of_the_manual(capsys):
    columns = flaring_events()
    write_events("evt2.fits", columns)
    assert run(["lightcurve", "evt2.fits[bin time=::259.28]", "lc.fits"]) == 0
    out = capsys.readouterr().out
    assert summary(out) == "7000 counts in 39 bins of 259.28 s, 9873 s of exposure; light curve in lc.fits\n"
    with fits.open("lc.fits", memmap=False) as hdus:
        hdus.verify("exception")
        rows, header = hdus["LIGHTCURVE"].data, hdus["LIGHTCURVE"].header
        assert (hdus[2].header["HDUNAME"], hdus[2].data["START"].tolist()) == ("GTI3", [START])
    assert rows.columns.names == COLUMNS
    assert [rows.columns[name].format for name in COLUMNS] == ["1J", *["1D"] * 3, "1J", *["1D"] * 5]
    assert rows.columns["COUNT_RATE"].unit == "count/s"
    edges = START + 259.28 * np.arange(40)
    np.testing.assert_array_equal(rows["COUNTS"], np.histogram(columns["time"], edges)[0])
    np.testing.assert_array_equal(rows["TIME_MIN"], edges[:-1])
    np.testing.assert_allclose(rows["EXPOSURE"][:-1], 259.28 * DTCOR)
    assert rows["EXPOSURE"].sum() == pytest.approx(header["EXPOSURE"])
    np.testing.assert_array_equal(rows["STAT_ERR"], np.sqrt(rows["COUNTS"]))
    np.testing.assert_array_equal(rows["COUNT_RATE"], rows["COUNTS"] / rows["EXPOSURE"])
    assert (rows["AREA"] == 8192**2).all()
    assert (header["HDUCLAS1"], header["TIMEDEL"], header["TOTCTS"]) == ("LIGHTCURVE", 259.28, 7000)
    assert (header["OBS_ID"], header["MJDREF"], header["TSTART"]) == ("754", 50814.0, START)
    assert not {"TTYPE11", "MTYPE1", "TCRVL5"} & set(header)
    assert "  infile = evt2.fits[bin time=::259.28]" in list(header["HISTORY"])


def test_flares_are_cut_from_the_events(capsys):
    columns = flaring_events()
    write_events("evt2.fits", columns)
    assert run(["lightcurve", "evt2.fits[bin time=::100]", "-o", "lc.fits", "-q"]) == 0
    assert run(["deflare", "lc.fits", "good.gti", "--method", "clean", "--plot", "lc.png"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("clean: mean 0.4")
    assert " of 100 have counts; " in captured.out
    assert summary(captured.out).endswith(" s live) in good.gti\n")
    picture = Path("lc.png").read_bytes()
    assert min(number_of(KEPT, picture), number_of(CUT, picture)) > 100
    gti = read_gti("good.gti")[None].gti
    assert not gti.contains(START + np.arange(4000, 4500, 50)).any()
    assert run(["copy", "evt2.fits[@good.gti]", "good.fits", "-q"]) == 0
    assert fits.getheader("good.fits", "EVENTS")["ONTIME"] == pytest.approx(gti.total)
    assert len(fits.getdata("good.fits", "EVENTS")) == gti.contains(columns["time"]).sum()


@pytest.mark.full
def test_a_picture_that_cannot_be_drawn_costs_no_good_times():
    write_events("evt2.fits", flaring_events())
    assert run(["lightcurve", "evt2.fits[bin time=::100]", "-o", "lc.fits", "-q"]) == 0
    words = [sys.executable, "-m", "chandra_bin", "deflare", "lc.fits", "good.gti", "--plot", "lc.png"]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"MPLBACKEND": "nonsense"},
                          check=False)
    assert done.returncode == 0
    assert done.stderr.startswith("warning: lc.png: the picture cannot be drawn (ValueError: ")
    assert listing(".") == ["evt2.fits", "good.gti", "lc.fits"]


def test_a_gti_file_as_deflare_writes_it():
    write_events("evt2.fits", flaring_events(40_000))
    assert run(["lightcurve", "evt2.fits[bin time=::100]", "lc.fits"]) == 0
    assert run(["deflare", "lc.fits", "-o", "good.gti", "--method", "sigma", "--minlength", "1"]) == 0
    with fits.open("good.gti") as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "FILTER", "GTI"]
        first, second = hdus["FILTER"].header, hdus["GTI"].header
        assert len(hdus["GTI"].data) == 2
    assert first["NAXIS2"] == 0
    assert [first[key] for key in ("DSTYP1", "DSVAL1", "DSREF1")] == ["TIME", "TABLE", ":GTI"]
    assert [second[key] for key in ("HDUCLASS", "HDUCLAS1", "MJDREF", "TSTART")] == ["OGIP", "GTI", 50814.0, START]
    assert [second[key] for key in ("FLRMETH", "FLRKEPT", "FLRUSED")] == ["sigma", 95, 100]
    assert second["FLRLOW"] < 40_000 / 1e4 < second["FLRHIGH"]
    assert "  minlength = 1" in list(first["HISTORY"])
    before = Path("good.gti").read_bytes()
    assert run(["deflare", "lc.fits", "good.gti", "--method", "sigma", "--minlength", "1", "--clobber"]) == 0
    assert Path("good.gti").read_bytes() == before


def test_the_robust_limits_say_that_they_are_used(shared, capsys):
    name = "15043_4-8keV_lc300.fits.gz"
    assert run(["deflare", str(shared / f"data/sgra_lightcurves/{name}"), "good.gti"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("robust: mean 0.0048")
    assert "warning: clean: the fraction of bins kept, 3 of 122 = 0.025, is below the limit 0.1; " in captured.err
    assert "; bins of 57" in captured.err
    header = fits.getheader("good.gti", "FILTER")
    assert header["FLRMETH"] == "robust"
    text = "".join(header["HISTORY"])
    assert "below the limit 0.1; the robust limits are used instead" in text
    assert "method = clean" in text


def test_exposures_are_those_of_the_first_chip_that_is_left(capsys):
    times = {7: [(START, START + 1000)], 3: [(START, START + 900)]}
    write_events("evt2.fits", random_events(500, chips=(3, 7), seconds=900), good_times=times, seconds=1000)
    assert run(["lightcurve", "evt2.fits[bin time=::100]", "lc.fits"]) == 0
    warning = "the good times GTI3 are 900 s, GTI7 1000 s; exposures are those of GTI7: select one by [ccd_id=7]"
    assert warning in one_line(capsys)
    assert fits.getdata("lc.fits", 1)["EXPOSURE"].sum() == pytest.approx(1000 * DTCOR)
    assert run(["lightcurve", "evt2.fits[ccd_id=3][bin time=::100]", "lc.fits", "--clobber"]) == 0
    assert capsys.readouterr().err == ""
    assert fits.getdata("lc.fits", 1)["EXPOSURE"].sum() == pytest.approx(900 * DTCOR)


def test_no_events_and_no_good_times(capsys):
    write_events("none.fits", random_events(0))
    assert run(["lightcurve", "none.fits[bin time=::1000]", "lc.fits"]) == 0
    assert "no event is in any bin" in one_line(capsys)
    assert fits.getdata("lc.fits", 1)["COUNTS"].tolist() == [0] * 10
    assert run(["deflare", "lc.fits", "good.gti"]) == 2
    assert "has no rate above 0 in any of its 10 bins" in one_line(capsys)
    write_events("bare.fits", random_events(100), good_times={})
    assert run(["lightcurve", "bare.fits[bin time=::1000]", "lc.fits", "--clobber"]) == 0
    assert "holds no table of good times (GTI): using TSTART to TSTOP, 10000 s" in one_line(capsys)
    assert fits.getdata("lc.fits", 1)["EXPOSURE"].sum() == pytest.approx(10_000)


def test_time_filters_and_limits():
    write_events("evt2.fits", random_events(5000))
    for name, low, bins in ((f"[time={START + 150}:{START + 1000}][bin time=::100]", 150, 9),
                            (f"[bin time={START + 50}:{START + 650}:100]", 50, 6),
                            (f"[bin time={START}:{START + 1000}:#4]", 0, 4)):
        assert run(["lightcurve", f"evt2.fits{name}", "lc.fits", "--clobber", "-q"]) == 0
        rows = fits.getdata("lc.fits", 1)
        assert rows["TIME_MIN"][0] == START + low
        assert len(rows) == bins
    assert rows["EXPOSURE"] == pytest.approx([250 * DTCOR] * 4)


def test_the_area_is_that_of_the_mask():
    write_events("evt2.fits", random_events(500))
    mask = np.zeros((100, 200), "i2")
    mask[:50] = 1
    write_fits("mask.fits", mask, CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=228.475, CRVAL2=-59.14, CRPIX1=100.5,
               CRPIX2=50.5, CDELT1=-4 * 1.3666666666667e-4, CDELT2=4 * 1.3666666666667e-4)
    assert run(["lightcurve", "evt2.fits[sky=mask(mask.fits)][bin time=::1000]", "lc.fits", "-q"]) == 0
    assert fits.getdata("lc.fits", 1)["AREA"][0] == pytest.approx(200 * 50 * 16, rel=0.03)


@pytest.mark.parametrize(("filters", "area"), [
    ("[sky=circle(4096.5,4096.5,20)]", np.pi * 400),
    ("[sky=ellipse(4100,4090,30,10,40)][exclude sky=circle(4100,4090,5)]", np.pi * 275),
    ("[sky=box(4000,4000,100,50,20),energy=500:7000]", 5000),
    ("[exclude sky=circle(4096.5,4096.5,800)]", 8192**2 - np.pi * 800**2),
    ("[sky=circle(10,4096.5,20)][sky=circle(100,4096.5,20)]", 0),
])
def test_the_area_is_that_of_regions(filters, area):
    write_events("evt2.fits", random_events(500))
    assert run(["lightcurve", f"evt2.fits{filters}[bin time=::1000]", "lc.fits", "-q"]) == 0
    assert fits.getdata("lc.fits", 1)["AREA"][0] == pytest.approx(area, rel=2e-3)


def test_real_events_have_the_exposure_of_their_header(shared, capsys):
    evt2 = shared / "data/msh1552/msh1552_acis_evt2.fits.gz"
    assert run(["lightcurve", f"{evt2}[energy=500:7000,ccd_id=3][bin time=::259.28]", "lc.fits"]) == 0
    assert "warning" not in capsys.readouterr().err
    rows, header = fits.getdata("lc.fits", 1), fits.getheader("lc.fits", 1)
    events, about = fits.getdata(evt2, "EVENTS"), fits.getheader(evt2, "EVENTS")
    kept = (events["energy"] >= 500) & (events["energy"] < 7000) & (events["ccd_id"] == 3)
    assert rows["COUNTS"].sum() == kept.sum()
    assert rows["EXPOSURE"].sum() == pytest.approx(about["EXPOSURE"], rel=1e-9)
    assert header["EXPOSURE"] == pytest.approx(about["EXPOSURE"], rel=1e-9)
    assert rows["TIME_MIN"][0] == pytest.approx(about["TSTART"], abs=1e-3)


@pytest.mark.parametrize(("words", "text"), [
    (["evt2.fits", "lc.fits"], "evt2.fits: time bins are missing: add [bin time=::259.28]"),
    (["evt2.fits[bin sky=4]", "lc.fits"], "character 11: a light curve has bins of time alone"),
    (["evt2.fits[bin time]", "lc.fits"], "the length of a time bin is missing: time=::259.28"),
    (["evt2.fits[bin time=::1e-6]", "lc.fits"], "use longer bins"),
    (["evt2.fits[ccd_id=8][bin time=::10]", "lc.fits"], "exclude all chips"),
    (["evt2.fits[bin time=::10]"], "the output is missing"),
    (["evt2.fits[bin time=::10]", "lc.fits", "-o", "lc2.fits"], "two outputs are given, lc.fits and lc2.fits"),
    (["evt2.fits[bin time=::10]", "evt2.fits"], "evt2.fits: is an input and an output at once"),
    (["notime.fits[bin time=::10]", "lc.fits"], "notime.fits: block EVENTS has no column time"),
    (["none.fits[bin time=::10]", "lc.fits"], "none.fits: no such file"),
])
def test_wrong_light_curves_are_one_line(words, text, capsys):
    write_events("evt2.fits", random_events(100))
    write_events("notime.fits", random_events(100), drop=("time",))
    before = listing(".")
    assert run(["lightcurve", *words]) == 2
    assert text in one_line(capsys)
    assert listing(".") == before


@pytest.mark.parametrize(("columns", "words", "text"), [
    ({"TIME": [1, 2], "RATE": [1, 1]}, [], "lc.fits: the light curve has no column EXPOSURE, which the method clean"),
    ({"TIME": [1, 2], "RATE": [0, 0]}, ["--method", "sigma"], "lc.fits: the light curve has no rate above 0"),
    ({"TIME": [1, 2], "RATE": [1, 1]}, ["--minfrac", "3", "--method", "clean"], "lc.fits: minfrac is 3"),
    ({"TIME": [1, 2], "COUNTS": [1, 1]}, [], "holds no light curve: block LIGHTCURVE has no column COUNT_RATE"),
    ({"TIME": [1], "RATE": [1]}, [], "lc.fits: block LIGHTCURVE has 1 time bin; at least 2"),
    ({"TIME": [1, 2], "RATE": [np.nan] * 2}, [], "lc.fits: block LIGHTCURVE has no rate in any of its 2 bins"),
])
def test_wrong_curves_are_one_line(columns, words, text, capsys):
    table("lc.fits", columns)
    assert run(["deflare", "lc.fits", "good.gti", "--plot", "lc.png", *words]) == 2
    assert text in one_line(capsys)
    assert listing(".") == ["lc.fits"]


def test_bright_bins_can_be_left_out_by_hand():
    table("lc.fits", {"TIME": np.arange(0, 1000, 100.0), "COUNT_RATE": [5, 5, 5, 90, 95, 5, 5, 5, 5, 5],
                      "EXPOSURE": np.full(10, 100.0)}, TIMEDEL=100.0)
    assert run(["deflare", "lc.fits[count_rate=:20]", "good.gti", "-q"]) == 0
    gti = read_gti("good.gti")[None].gti
    assert gti.start.tolist() == [-50, 450]
    assert gti.stop.tolist() == [250, 950]
