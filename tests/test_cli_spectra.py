"""``chandra-bin spectra``: OGIP files of all bins, with backgrounds, from simulated and real events."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from chandra_bin.cli import run
from chandra_bin.events.images import event_image
from chandra_bin.events.reader import read_events
from event_files import TANGENT, random_events, write_events
from files import listing, summary, write_fits
from golden_data import shared_folder

SIZE = 24
BIN_PX = 16
LOW = 3904.5  # edge of the binmap, sky pixels
EVENTS, BACKGROUND = 6000, 40_000
CHIPS = (3, 0, 1, 2)
GOOD = {3: [(82_650_000.0, 82_660_000.0)], 0: [(82_650_000.0, 82_659_000.0)], 1: [(82_650_000.0, 82_658_000.0)],
        2: [(82_650_000.0, 82_657_000.0)]}
SCALES = {"BKGSCAL0": 0.031, "BKGSCAL1": 0.052, "BKGSCAL2": 0.044, "BKGSCAL3": 0.067}
DTCOR = 0.98734


def labels_of(bins=9):
    """Bins as blocks, with a border outside."""
    labels = np.full((SIZE, SIZE), -1, np.int32)
    side = int(np.sqrt(bins))
    edges = np.linspace(2, SIZE - 2, side + 1).astype(int)
    for n in range(bins):
        j, i = divmod(n, side)
        labels[edges[j]:edges[j + 1], edges[i]:edges[i + 1]] = n
    return labels


def write_binmap(path, labels, events="evt2.fits", **changes):
    high = LOW + SIZE * BIN_PX
    header = event_image(f"{events}[bin x={LOW}:{high}:{BIN_PX},y={LOW}:{high}:{BIN_PX}]").header
    header.update(changes)
    fits.writeto(path, labels, header, overwrite=True)
    return path


SOURCE = random_events(EVENTS, 1, chips=CHIPS, spread_px=120)
BEHIND = random_events(BACKGROUND, 2, chips=CHIPS, spread_px=200)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """evt2.fits has SOURCE, bkg.fits BEHIND and BKGSCALn, binmap.fits nine bins."""
    folder = tmp_path_factory.mktemp("observation")
    write_events(folder / "evt2.fits", SOURCE, good_times=GOOD, dtcor=DTCOR)
    write_events(folder / "bkg.fits", BEHIND, header=SCALES)
    write_binmap(folder / "binmap.fits", labels_of(), folder / "evt2.fits")
    return folder


@pytest.fixture(autouse=True)
def _in_a_folder_with_an_observation(written, tmp_path, monkeypatch):
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def bin_of(events, labels=None):
    """The bin of each event, -1 outside."""
    labels = labels_of() if labels is None else labels
    i, j = (np.floor((events[axis].astype(float) - LOW) / BIN_PX).astype(int) for axis in "xy")
    inside = (i >= 0) & (i < SIZE) & (j >= 0) & (j < SIZE)
    return np.where(inside, labels[np.clip(j, 0, SIZE - 1), np.clip(i, 0, SIZE - 1)], -1)


def spectrum(path):
    with fits.open(path) as hdus:
        return hdus["SPECTRUM"].data.copy(), hdus["SPECTRUM"].header.copy()


def error_of(capsys, *words):
    before = listing(".")
    assert run(["spectra", *words]) == 2
    assert listing(".") == before
    text = capsys.readouterr().err
    assert text.startswith("chandra-bin spectra: error: ")
    assert text.count("\n") == 1
    return text


def warnings_of(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]


def test_the_command_of_the_pipeline(capsys):
    Path("binmap.fits").rename("contbin_binmap.fits")
    assert run(["spectra", "evt2.fits", "contbin_binmap.fits", "-o", "spectra"]) == 0
    names = [f"00754/xaf_{n}{end}.pi" for n in range(9) for end in ("", "_grp")]
    assert listing("spectra") == sorted(["00754", "00754/spectra.ecsv", "00754/spectra.fits", *names])
    inside = np.count_nonzero(bin_of(SOURCE) >= 0)
    assert summary(capsys.readouterr().out) == (
        f"ObsID 754: 9 bins with {inside} counts, {EVENTS - inside} events in no bin; in spectra/00754/\n")


def test_counts_exposure_and_area_of_each_bin():
    assert run(["spectra", "evt2.fits", "binmap.fits"]) == 0
    of_bin, labels = bin_of(SOURCE), labels_of()
    for n in range(9):
        rows, header = spectrum(f"spectra/00754/xaf_{n}.pi")
        mine = of_bin == n
        expected = np.bincount(SOURCE["pi"][mine], minlength=1025)[1:]
        np.testing.assert_array_equal(rows["COUNTS"], expected)
        np.testing.assert_array_equal(rows["CHANNEL"], np.arange(1, 1025))
        by_chip = np.bincount(SOURCE["ccd_id"][mine], minlength=4)
        chip = max(CHIPS, key=lambda c: by_chip[c])
        live = {c: (GOOD[c][0][1] - GOOD[c][0][0]) * DTCOR for c in CHIPS}
        assert header["EXPOSURE"] == pytest.approx(live[chip], rel=1e-12)
        assert header["CCD_ID"] == chip
        assert all(header[f"EXPOSUR{c}"] == pytest.approx(live[c], rel=1e-12) for c in CHIPS)
        assert header["BACKSCAL"] == pytest.approx(np.count_nonzero(labels == n) * BIN_PX**2 / 8192**2, rel=1e-12)
        assert header["TOTCTS"] == expected.sum()


def test_one_table_holds_the_spectra_of_all_bins():
    assert run(["spectra", "evt2.fits", "binmap.fits", "--background", "bkg.fits"]) == 0
    with fits.open("spectra/00754/spectra.fits") as hdus:
        for block, end in (("SPECTRUM", ""), ("BACKGROUND", "_bkg")):
            table, about = hdus[block].data, hdus[block].header
            assert about["HDUCLAS4"] == "TYPE:II"
            np.testing.assert_array_equal(table["SPEC_NUM"], table["BINNUM"] + 1)
            for row in table:
                rows, header = spectrum(f"spectra/00754/xaf_{row['BINNUM']}{end}.pi")
                np.testing.assert_array_equal(row["COUNTS"], rows["COUNTS"])
                np.testing.assert_array_equal(row["CHANNEL"], rows["CHANNEL"])
                assert {key: row[key] for key in ("EXPOSURE", "BACKSCAL", "CCD_ID")} == pytest.approx(
                    {key: header[key] for key in ("EXPOSURE", "BACKSCAL", "CCD_ID")}, rel=1e-12)
                assert header["HDUCLAS2"] == about["HDUCLAS2"]


def test_blank_skies_may_be_one_a_chip(capsys):
    assert run(["spectra", "evt2.fits", "binmap.fits", "--background", "bkg.fits", "-o", "whole", "-q"]) == 0
    Path("skies.list").write_text("".join(f"bkg.fits[ccd_id={chip}]\n" for chip in CHIPS))
    assert run(["spectra", "evt2.fits", "binmap.fits", "--background", "@skies.list", "-o", "parts", "-q"]) == 0
    for n in range(9):
        for end in ("", "_bkg"):
            whole, header = spectrum(f"whole/00754/xaf_{n}{end}.pi")
            parts, other = spectrum(f"parts/00754/xaf_{n}{end}.pi")
            np.testing.assert_array_equal(whole["COUNTS"], parts["COUNTS"])
            assert header["BACKSCAL"] == pytest.approx(other["BACKSCAL"], rel=1e-12)
    Path("twice.list").write_text("bkg.fits\nbkg.fits\n")
    said = error_of(capsys, "evt2.fits", "binmap.fits", "--background", "@twice.list", "-o", "no")
    assert "duplicate events of chip" in said


def test_headers_are_those_of_ogip():
    assert run(["spectra", "evt2.fits", "binmap.fits"]) == 0
    _, header = spectrum("spectra/00754/xaf_0.pi")
    wanted = {
        "HDUCLASS": "OGIP", "HDUCLAS1": "SPECTRUM", "HDUCLAS2": "TOTAL", "HDUCLAS3": "COUNT", "HDUCLAS4": "TYPE:I",
        "PHAVERSN": "1992a", "CHANTYPE": "PI", "DETCHANS": 1024, "TLMIN1": 1, "TLMAX1": 1024, "POISSERR": True,
        "AREASCAL": 1.0, "CORRSCAL": 0.0, "SYS_ERR": 0.0, "QUALITY": 0, "GROUPING": 0, "RESPFILE": "none",
        "ANCRFILE": "none", "BACKFILE": "none", "CORRFILE": "none", "TELESCOP": "CHANDRA", "INSTRUME": "ACIS",
        "FILTER": "none", "OBJECT": "Simulated", "OBS_ID": "754", "DATE-OBS": "2000-08-14T13:32:51"}
    assert {key: header[key] for key in wanted} == wanted
    assert "  events = evt2.fits" in list(header["HISTORY"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("xaf_0.pi", "xaf_0_grp.pi"):
            with fits.open(f"spectra/00754/{name}") as hdus:
                hdus.verify("exception")


def test_grouped_copies():
    assert run(["spectra", "evt2.fits", "binmap.fits", "--group", "40"]) == 0
    plain, _ = spectrum("spectra/00754/xaf_4.pi")
    rows, header = spectrum("spectra/00754/xaf_4_grp.pi")
    np.testing.assert_array_equal(rows["COUNTS"], plain["COUNTS"])
    starts = np.flatnonzero(rows["GROUPING"] == 1)
    sums = np.add.reduceat(rows["COUNTS"], starts)
    assert (sums[:-1] >= 40).all()
    assert set(rows["QUALITY"][:starts[-1]]) == {0}
    assert "GROUPING" not in header
    assert "QUALITY" not in header


def test_net_counts_are_the_sum_by_chip():
    assert run(["spectra", "evt2.fits", "binmap.fits", "--background", "bkg.fits"]) == 0
    source_bin, background_bin = bin_of(SOURCE), bin_of(BEHIND)
    table = Table.read("spectra/00754/spectra.ecsv")
    for n in range(9):
        rows, header = spectrum(f"spectra/00754/xaf_{n}.pi")
        behind, behind_header = spectrum(f"spectra/00754/xaf_{n}_bkg.pi")
        assert header["BACKFILE"] == f"xaf_{n}_bkg.pi"
        assert spectrum(f"spectra/00754/xaf_{n}_grp.pi")[1]["BACKFILE"] == f"xaf_{n}_bkg.pi"
        assert behind_header["HDUCLAS2"] == "BKG"
        assert behind_header["EXPOSURE"] == header["EXPOSURE"]
        raw = np.bincount(BEHIND["pi"][background_bin == n], minlength=1025)[1:]
        np.testing.assert_array_equal(behind["COUNTS"], raw)
        by_chip = np.bincount(BEHIND["ccd_id"][background_bin == n], minlength=4)
        scaled = sum(SCALES[f"BKGSCAL{c}"] * by_chip[c] for c in CHIPS)
        net = rows["COUNTS"].sum() - behind["COUNTS"].sum() * header["BACKSCAL"] / behind_header["BACKSCAL"]
        assert net == pytest.approx(np.count_nonzero(source_bin == n) - scaled, rel=1e-9)
        assert table["total_background"][n] == pytest.approx(scaled, rel=1e-9)


def test_scales_from_the_particles():
    """Without BKGSCALn: counts of 9 - 12 keV of source and background, over the whole field, chip by chip."""
    write_events("plain.fits", BEHIND)
    assert run(["spectra", "evt2.fits", "binmap.fits", "--background", "plain.fits"]) == 0
    _, header = spectrum("spectra/00754/xaf_0.pi")
    for chip in CHIPS:
        high = [np.count_nonzero((each["ccd_id"] == chip) & (each["energy"] >= 9000) & (each["energy"] < 12_000))
                for each in (SOURCE, BEHIND)]
        assert header[f"BKGSCAL{chip}"] == pytest.approx(high[0] / high[1], rel=1e-12)


def test_energies_stand_in_for_channels():
    assert run(["spectra", "evt2.fits", "binmap.fits", "-o", "by_pi", "--background", "bkg.fits"]) == 0
    write_events("energy.fits", SOURCE, good_times=GOOD, dtcor=DTCOR, drop=("pi",))
    assert run(["spectra", "energy.fits", "binmap.fits", "-o", "by_energy", "--background", "bkg.fits"]) == 0
    for n in range(9):
        for end in ("", "_bkg"):
            ours, theirs = (spectrum(f"{folder}/00754/xaf_{n}{end}.pi")[0] for folder in ("by_pi", "by_energy"))
            np.testing.assert_array_equal(ours, theirs)


def test_without_energies_particles_are_found_by_channel():
    write_events("plain.fits", BEHIND, drop=("energy",))
    write_events("pi.fits", SOURCE, good_times=GOOD, drop=("energy",))
    assert run(["spectra", "pi.fits", "binmap.fits", "--background", "plain.fits"]) == 0
    _, header = spectrum("spectra/00754/xaf_0.pi")
    high = [np.count_nonzero((each["ccd_id"] == 3) & (each["pi"] >= 617) & (each["pi"] <= 822))
            for each in (SOURCE, BEHIND)]
    assert header["BKGSCAL3"] == pytest.approx(high[0] / high[1], rel=1e-12)


def test_a_bin_without_background_counts():
    draw = bin_of(BEHIND) != 4
    write_events("bkg.fits", {name: values[draw] for name, values in BEHIND.items()}, header=SCALES)
    assert run(["spectra", "evt2.fits", "binmap.fits", "--background", "bkg.fits"]) == 0
    _, header = spectrum("spectra/00754/xaf_4.pi")
    _, behind = spectrum("spectra/00754/xaf_4_bkg.pi")
    assert behind["TOTCTS"] == 0
    scale = SCALES[f"BKGSCAL{header['CCD_ID']}"]
    assert header["BACKSCAL"] / behind["BACKSCAL"] == pytest.approx(scale, rel=1e-12)


def test_excluded_sources_take_their_events_and_area():
    Path("src.reg").write_text(f"# Region file format: CIAO version 1.0\ncircle({TANGENT},{TANGENT},33)\n")
    words = ["evt2.fits", "binmap.fits", "--background", "bkg.fits", "--exclude", "src.reg"]
    assert run(["spectra", *words]) == 0
    labels = labels_of()
    middles = LOW + (np.arange(SIZE) + 0.5) * BIN_PX - TANGENT
    source = np.hypot(middles[:, None], middles[None, :]) <= 33
    assert (labels[source] >= 0).all()
    labels[source] = -1
    for n in (4, 0):
        rows, header = spectrum(f"spectra/00754/xaf_{n}.pi")
        behind, _ = spectrum(f"spectra/00754/xaf_{n}_bkg.pi")
        assert rows["COUNTS"].sum() == np.count_nonzero(bin_of(SOURCE, labels) == n)
        assert behind["COUNTS"].sum() == np.count_nonzero(bin_of(BEHIND, labels) == n)
        assert header["BACKSCAL"] == pytest.approx(np.count_nonzero(labels == n) * BIN_PX**2 / 8192**2, rel=1e-12)


def test_masks_and_regions_to_keep():
    mask = np.ones((SIZE, SIZE), np.int16)
    mask[:, :12] = 0
    write_fits("mask.fits", mask)
    Path("keep.reg").write_text(f"# Region file format: CIAO version 1.0\nrectangle(1,{TANGENT},8192,8192)\n")
    assert run(["spectra", "evt2.fits", "binmap.fits", "--mask", "mask.fits", "--keep", "keep.reg"]) == 0
    labels = labels_of()
    labels[:, :12] = labels[:12] = -1
    table = Table.read("spectra/00754/spectra.ecsv")
    assert table["bin"].tolist() == np.unique(labels[labels >= 0]).tolist()
    of_bin = bin_of(SOURCE, labels)
    assert table["total_counts"].tolist() == [np.count_nonzero(of_bin == n) for n in table["bin"]]


def test_a_bin_of_excluded_pixels_only_has_no_files(capsys):
    labels = labels_of()
    write_fits("mask.fits", (labels != 5).astype(np.int16))
    assert run(["spectra", "evt2.fits", "binmap.fits", "--mask", "mask.fits"]) == 0
    assert "1 bin lies in excluded pixels, without a spectrum; the first is 5" in warnings_of(capsys)[0]
    assert not Path("spectra/00754/xaf_5.pi").exists()
    assert Path("spectra/00754/xaf_6.pi").exists()


def test_the_table():
    assert run(["spectra", "evt2.fits", "binmap.fits", "--background", "bkg.fits"]) == 0
    table = Table.read("spectra/00754/spectra.ecsv")
    assert table["bin"].tolist() == list(range(9))
    assert table.meta["parameters"]["background"] == "bkg.fits"
    of_bin, of_background = bin_of(SOURCE), bin_of(BEHIND)
    n = 4

    def band(events, mine, low, high):
        chosen = (mine == n) & (events["pi"] >= low) & (events["pi"] <= high)
        return np.bincount(events["ccd_id"][chosen], minlength=4)

    scales = np.array([SCALES[f"BKGSCAL{chip}"] for chip in range(4)])
    row = table[n]
    counts, behind = band(SOURCE, of_bin, 35, 479), band(BEHIND, of_background, 35, 479)
    net = counts.sum() - scales @ behind
    assert row["counts"] == counts.sum()
    assert row["background"] == pytest.approx(scales @ behind)
    assert row["net"] == pytest.approx(net)
    error = np.sqrt(counts.sum() + scales**2 @ behind)
    assert row["net_err"] == pytest.approx(error)
    assert row["rate"] == pytest.approx(net / row["exposure"])
    assert row["rate_err"] == pytest.approx(error / row["exposure"])
    soft, hard = (band(SOURCE, of_bin, *ends).sum() - scales @ band(BEHIND, of_background, *ends)
                  for ends in ((35, 137), (138, 479)))
    assert row["hardness"] == pytest.approx((hard - soft) / (hard + soft))
    assert row["hardness_err"] > 0
    assert row["file"] == "xaf_4.pi"
    assert table["area"].unit == "pix2"
    assert str(table["rate"].unit) == "ct / s"


def test_the_table_can_be_painted():
    assert run(["spectra", "evt2.fits", "binmap.fits", "-q"]) == 0
    assert run(["paint", "-n", "binmap.fits", "--table", "spectra/00754/spectra.ecsv", "-o", "maps", "-q"]) == 0
    table = Table.read("spectra/00754/spectra.ecsv")
    np.testing.assert_allclose(fits.getdata("maps/hardness_out.fits")[12, 12], table["hardness"][4])


def test_events_meet_a_binmap_of_another_tangent_point():
    """Through the sky: the same binmap on a plane that touches 3' away, by its WCS."""
    events = write_events("other.fits", random_events(1, 0), ra=228.475 + 0.05 / np.cos(np.radians(59.14)), dec=-59.14)
    labels = labels_of()
    write_binmap("shifted.fits", labels, events)
    assert run(["spectra", "evt2.fits", "shifted.fits"]) == 0

    def tangent_plane(keys, value):
        """astropy's own projection, by the keywords of a header."""
        plane = WCS(naxis=2)
        plane.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        plane.wcs.crpix, plane.wcs.crval, plane.wcs.cdelt = ([value[f"{key}{n}"] for n in keys[1]] for key in keys[0])
        return plane

    from_events = tangent_plane((("TCRPX", "TCRVL", "TCDLT"), (5, 6)), fits.getheader("evt2.fits", 1))
    to_image = tangent_plane((("CRPIX", "CRVAL", "CDELT"), (1, 2)), fits.getheader("shifted.fits"))
    sky = from_events.wcs_pix2world(SOURCE["x"], SOURCE["y"], 1)
    i, j = (np.floor(axis + 0.5).astype(int) for axis in to_image.wcs_world2pix(*sky, 0))
    inside = (i >= 0) & (i < SIZE) & (j >= 0) & (j < SIZE)
    found = np.bincount(labels[j[inside], i[inside]] + 1, minlength=10)[1:]
    assert 0 < found.sum() < EVENTS
    table = Table.read("spectra/00754/spectra.ecsv")
    assert table["total_counts"].tolist() == found.tolist()
    np.testing.assert_allclose(table["area"], [np.count_nonzero(labels == n) * BIN_PX**2 for n in range(9)],
                               rtol=5e-6)  # pixels 3' from the tangent point are smaller by 2e-6


def test_each_observation_of_a_stack_has_its_folder():
    write_events("evt3.fits", random_events(100, 8), obsid="12345")
    Path("evt.list").write_text("evt2.fits\nevt3.fits\n")
    write_events("bkg3.fits", BEHIND, obsid="12345", header=SCALES)
    Path("bkg.list").write_text("bkg.fits\nbkg3.fits\n")
    assert run(["spectra", "@evt.list", "binmap.fits", "--background", "@bkg.list"]) == 0
    tables = [Table.read(f"spectra/{folder}/spectra.ecsv") for folder in ("00754", "12345")]
    assert run(["spectra", "evt3.fits", "binmap.fits", "--background", "bkg3.fits", "-o", "alone"]) == 0
    np.testing.assert_array_equal(tables[1]["total_counts"], Table.read("alone/12345/spectra.ecsv")["total_counts"])
    assert tables[0]["total_counts"].sum() > tables[1]["total_counts"].sum()


def pointing(ra, dec, roll):
    return {"RA_PNT": ra, "DEC_PNT": dec, "ROLL_PNT": roll}


HERE, THERE = pointing(228.475, -59.14, 10.0), pointing(228.475, -59.14, 13.0)
# Headers of two observations and of the blank sky of the second, and the error for both skies in the wrong order.
OTHER_ORDER = {
    "ObsIDs": (HERE, THERE, THERE, "754", "12345", "b_bkg.fits: is of ObsID 12345, but was given for evt2.fits of 754"),
    "pointings": (HERE, THERE, THERE, "", "", "b_bkg.fits: has the pointing of evt3.fits, but was given for evt2.fits"),
    "pointings that are nearly equal": (HERE, HERE | {"ROLL_PNT": 10.01}, HERE | {"ROLL_PNT": 10.01}, "", "",
                                        "b_bkg.fits: has the pointing of evt3.fits, but was given for evt2.fits"),
}


@pytest.mark.parametrize("known_by", OTHER_ORDER)
def test_blank_skies_in_another_order_are_refused(capsys, known_by):
    of_a, of_b, sky_b, obsid_a, obsid_b, message = OTHER_ORDER[known_by]
    write_events("evt2.fits", SOURCE, good_times=GOOD, dtcor=DTCOR, header=of_a)
    write_events("evt3.fits", random_events(100, 8), obsid="12345", header=of_b)
    write_events("a_bkg.fits", BEHIND, obsid=obsid_a, header=SCALES | of_a)
    write_events("b_bkg.fits", BEHIND, obsid=obsid_b, header=SCALES | sky_b)
    Path("evt.list").write_text("evt2.fits\nevt3.fits\n")
    Path("good.list").write_text("a_bkg.fits\nb_bkg.fits\n")
    Path("bad.list").write_text("b_bkg.fits\na_bkg.fits\n")
    assert message in error_of(capsys, "@evt.list", "binmap.fits", "--background", "@bad.list")
    assert run(["spectra", "@evt.list", "binmap.fits", "--background", "@good.list"]) == 0
    assert not warnings_of(capsys)


def test_blank_skies_that_do_not_tell_their_observation_are_warned_of(capsys):
    write_events("evt3.fits", random_events(100, 8), obsid="12345")
    write_events("plain.fits", BEHIND, obsid="", header=SCALES)
    Path("evt.list").write_text("evt2.fits\nevt3.fits\n")
    Path("bkg.list").write_text("plain.fits\nplain.fits\n")
    assert run(["spectra", "@evt.list", "binmap.fits", "--background", "@bkg.list"]) == 0
    assert "plain.fits: 2 blank skies have neither an ObsID (OBS_ID) nor a pointing" in warnings_of(capsys)[0]
    assert run(["spectra", "evt2.fits", "binmap.fits", "--background", "plain.fits", "-o", "alone"]) == 0
    assert not warnings_of(capsys)


@pytest.mark.parametrize(("obsid", "header", "message"), [
    ("99", {}, "bkg.fits: is of ObsID 99, but was given for evt2.fits of 754: check that it was put on the sky"),
    ("99", pointing(228.4755, -59.1402, 10.01), "bkg.fits: is of ObsID 99, but was given for evt2.fits of 754: check"),
    ("99", THERE, "bkg.fits: is of ObsID 99, and its roll (ROLL_PNT) is 3 deg from that of evt2.fits of 754: check"),
    ("", THERE, "bkg.fits: its roll (ROLL_PNT) is 3 deg from that of evt2.fits of 754: check that it was put on the"),
    ("", pointing(228.475, -59.04, 10.0), "bkg.fits: its pointing (RA_PNT, DEC_PNT) is 6 arcmin from that of evt2."),
    ("", pointing(228.475, -59.04, 350.0),
     "its pointing (RA_PNT, DEC_PNT) is 6 arcmin from that and its roll (ROLL_PNT) is 20 deg from that of evt2.fits"),
])
def test_a_blank_sky_of_another_observation_is_warned_of(capsys, obsid, header, message):
    write_events("evt2.fits", SOURCE, good_times=GOOD, dtcor=DTCOR, header=HERE)
    write_events("bkg.fits", BEHIND, obsid=obsid, header=SCALES | header)
    assert run(["spectra", "evt2.fits", "binmap.fits", "--background", "bkg.fits"]) == 0
    assert message in warnings_of(capsys)[0]


@pytest.mark.parametrize("harm", [lambda: "evt2.fits", lambda: shutil.copy("evt2.fits", "copy.fits"),
                                  lambda: Path("link.fits").symlink_to("evt2.fits") or "link.fits",
                                  lambda: "./evt2.fits[energy=500:7000]"],
                         ids=["itself", "copy", "link", "filtered"])
def test_the_events_of_an_observation_are_no_blank_sky_of_it(capsys, harm):
    write_events("evt2.fits", SOURCE, good_times=GOOD, dtcor=DTCOR, header=HERE)
    sky = harm()
    said = error_of(capsys, "evt2.fits[ccd_id=0:3]", "binmap.fits", "--background", sky)
    assert f"{sky}: is the event file of an observation (evt2.fits) and was given as a blank sky: give" in said


def test_a_blank_sky_of_reprocessed_events_is_taken(capsys):
    write_events("evt2.fits", SOURCE, good_times=GOOD, dtcor=DTCOR, header=HERE)
    write_events("bkg.fits", BEHIND, obsid="", header=SCALES | pointing(228.4755, -59.1402, 10.01))
    assert run(["spectra", "evt2.fits", "binmap.fits", "--background", "bkg.fits"]) == 0
    assert not warnings_of(capsys)


def test_filters_hold_for_counts_and_exposure():
    assert run(["spectra", "evt2.fits[energy=500:7000,ccd_id=1]", "binmap.fits"]) == 0
    of_bin = bin_of(SOURCE)
    chosen = (SOURCE["ccd_id"] == 1) & (SOURCE["energy"] >= 500) & (SOURCE["energy"] < 7000)
    for n in range(9):
        rows, header = spectrum(f"spectra/00754/xaf_{n}.pi")
        assert rows["COUNTS"].sum() == np.count_nonzero(chosen & (of_bin == n))
        assert header["EXPOSURE"] == pytest.approx(8000 * DTCOR, rel=1e-12)
        assert not [key for key in header if key in ("EXPOSUR0", "EXPOSUR2", "EXPOSUR3")]


def test_only_chips_of_the_observation_count_in_the_background():
    assert run(["spectra", "evt2.fits[ccd_id=1]", "binmap.fits", "--background", "bkg.fits"]) == 0
    behind, _ = spectrum("spectra/00754/xaf_4_bkg.pi")
    assert behind["COUNTS"].sum() == np.count_nonzero((bin_of(BEHIND) == 4) & (BEHIND["ccd_id"] == 1))


def test_equal_runs_give_equal_bytes():
    for folder in ("one", "two"):
        assert run(["spectra", "evt2.fits", "binmap.fits", "--background", "bkg.fits", "-o", folder]) == 0
    assert listing("one") == listing("two")
    for name in listing("one/00754"):
        assert Path("one/00754", name).read_bytes() == Path("two/00754", name).read_bytes()


def test_a_later_run_takes_the_place_of_an_earlier_one(capsys):
    assert run(["spectra", "evt2.fits", "binmap.fits", "--background", "bkg.fits"]) == 0
    Path("spectra/00754/xaf_0_mine.pi").write_text("mine")
    capsys.readouterr()
    assert "exists already" in error_of(capsys, "evt2.fits", "binmap.fits")
    write_binmap("binmap.fits", labels_of(4))
    assert run(["spectra", "evt2.fits", "binmap.fits", "--clobber"]) == 0
    names = [f"xaf_{n}{end}.pi" for n in range(4) for end in ("", "_grp")]
    assert listing("spectra/00754") == sorted(["spectra.ecsv", "spectra.fits", "xaf_0_mine.pi", *names])


def test_large_and_scattered_bin_numbers():
    labels = labels_of()
    write_binmap("binmap.fits", np.where(labels >= 0, labels.astype(np.int32) * 100_000_000, -1))
    assert run(["spectra", "evt2.fits", "binmap.fits"]) == 0
    rows, header = spectrum("spectra/00754/xaf_400000000.pi")
    assert rows["COUNTS"].sum() == np.count_nonzero(bin_of(SOURCE) == 4)
    assert header["BINNUM"] == 400_000_000


def test_missing_columns_are_named(capsys):
    write_events("none.fits", SOURCE, drop=("pi", "energy"))
    assert "none.fits: block EVENTS has no column pi (nor energy), only time" in error_of(
        capsys, "none.fits", "binmap.fits")
    write_events("no_sky.fits", SOURCE, drop=("y", "ccd_id"))
    assert "has no column y, ccd_id, only time" in error_of(capsys, "no_sky.fits", "binmap.fits")


def test_a_binmap_must_have_bins_a_sky_and_whole_numbers(capsys):
    write_fits("plain.fits", labels_of())
    assert "plain.fits: the header has no sky coordinates" in error_of(capsys, "evt2.fits", "plain.fits")
    write_binmap("empty.fits", np.full((SIZE, SIZE), -1, np.int32))
    assert "empty.fits: holds no bins: all 576 pixels are outside" in error_of(capsys, "evt2.fits", "empty.fits")
    write_binmap("real.fits", labels_of() + 0.5)
    assert "real.fits: holds" in error_of(capsys, "evt2.fits", "real.fits")


@pytest.mark.parametrize(("obsid", "said"), [("Merged", "'Merged'"), ("../../x", "'../../x'"), ("", "''")])
def test_what_is_no_obsid_never_names_a_folder(capsys, obsid, said):
    write_events("odd.fits", SOURCE, obsid=obsid)
    assert f"odd.fits: OBS_ID is {said}: it must be the number" in error_of(capsys, "odd.fits", "binmap.fits")


def test_an_observation_comes_once(capsys):
    Path("evt.list").write_text("evt2.fits\nevt2.fits[ccd_id=0]\n")
    assert "is of ObsID 754, as evt2.fits is; give each observation once" in error_of(
        capsys, "@evt.list", "binmap.fits")


def test_a_stack_has_as_many_backgrounds(capsys):
    write_events("evt3.fits", random_events(10, 8), obsid="12345")
    Path("evt.list").write_text("evt2.fits\nevt3.fits\n")
    assert "1 background is given for 2 event files" in error_of(
        capsys, "@evt.list", "binmap.fits", "--background", "bkg.fits")


def test_events_of_other_telescopes(capsys):
    write_events("xmm.fits", SOURCE, header={"TELESCOP": "XMM", "INSTRUME": "EMOS1"})
    assert "xmm.fits: are events of XMM EMOS1: spectra are made of Chandra's ACIS only" in error_of(
        capsys, "xmm.fits", "binmap.fits")
    write_events("strange.fits", {**SOURCE, "ccd_id": np.full(EVENTS, 12, np.int16)}, good_times=GOOD)
    assert "an event is of chip 12 (ccd_id)" in error_of(capsys, "strange.fits", "binmap.fits")


def test_backgrounds_that_cannot_be_scaled(capsys):
    def with_background(name, events="evt2.fits"):
        return error_of(capsys, events, "binmap.fits", "--background", name)

    write_events("wrong.fits", BEHIND, header={"BKGSCAL0": -1.0})
    assert "wrong.fits: BKGSCAL0 must be a positive number, got -1.0" in with_background("wrong.fits")
    write_events("plain.fits", BEHIND)
    for limit, words in (("energy=500:10000", "energies of 500:10000 eV"), ("pi=1:700", "channels (pi) 1:700")):
        for names in (("plain.fits", f"evt2.fits[{limit}]"), (f"plain.fits[{limit}]", "evt2.fits")):
            assert f"fits[{limit}]: holds only {words}, but scaling the background needs all" in with_background(*names)
    assert "bkg.fits[ccd_id=2]: has no events on the chips of evt2.fits[ccd_id=0], 0, but on 2" in with_background(
        "bkg.fits[ccd_id=2]", "evt2.fits[ccd_id=0]")
    write_events("elsewhere.fits", BEHIND, ra=100.0, header=SCALES)
    assert "elsewhere.fits: no background event is in any bin of binmap.fits" in with_background("elsewhere.fits")


def test_chips_with_events_in_bins_need_a_blank_sky(capsys):
    assert run(["spectra", "evt2.fits", "binmap.fits", "--background", "bkg.fits[ccd_id=0:2]"]) == 2
    message = capsys.readouterr().err
    assert "has no events on chips 3, where evt2.fits has some in bins" in message
    assert "leave these chips out by [ccd_id=0,1,2] after the name" in message
    assert not Path("spectra").exists()


def test_no_events_give_zeros_and_a_warning(capsys):
    write_events("none.fits", {name: values[:0] for name, values in SOURCE.items()}, good_times=GOOD)
    assert run(["spectra", "none.fits", "binmap.fits"]) == 0
    assert warnings_of(capsys) == ["warning: none.fits: has no events that pass: the spectra are all zeros"]
    rows, header = spectrum("spectra/00754/xaf_0.pi")
    assert not rows["COUNTS"].any()
    assert header["EXPOSURE"] == pytest.approx(10_000 * DTCOR, rel=1e-6)


def test_events_beside_the_binmap_are_said(capsys):
    write_events("beside.fits", {**SOURCE, "x": SOURCE["x"] + 2000}, good_times=GOOD)
    assert run(["spectra", "beside.fits", "binmap.fits"]) == 0
    assert warnings_of(capsys) == [f"warning: beside.fits: none of {EVENTS} events is in a bin: the spectra are "
                                   "all zeros"]


def test_energies_that_are_none(capsys):
    energy = SOURCE["energy"].copy()
    energy[:30] = np.nan
    write_events("nan.fits", {**SOURCE, "energy": energy}, good_times=GOOD, drop=("pi",))
    assert run(["spectra", "nan.fits", "binmap.fits"]) == 0
    assert "nan.fits: 30 events have no channel of 1 - 1024 (energy is null, NaN or beyond)" in warnings_of(capsys)[0]
    total = Table.read("spectra/00754/spectra.ecsv")["total_counts"].sum()
    assert total == np.count_nonzero(bin_of(SOURCE)[30:] >= 0)


def test_a_background_needs_no_good_times(capsys):
    write_events("bkg.fits", BEHIND, good_times={}, header={**SCALES, "TSTART": "none"})
    assert run(["spectra", "evt2.fits", "binmap.fits", "--background", "bkg.fits"]) == 0
    assert not warnings_of(capsys)


def test_sky_filters_in_a_name_are_said_to_leave_the_area(capsys):
    assert run(["spectra", "evt2.fits[sky=circle(4096.5,4096.5,60)]", "binmap.fits"]) == 0
    assert "its filters on the sky remove events, but not the area of the bins (BACKSCAL)" in warnings_of(capsys)[0]


def test_columns_must_hold_whole_numbers(capsys):
    with fits.open(write_events("real.fits", SOURCE)) as hdus:
        hdus["EVENTS"].header["TSCAL9"] = 0.5  # pi
        assert hdus["EVENTS"].header["TTYPE9"] == "pi"
        hdus.writeto("scaled.fits", output_verify="silentfix")
    assert "the column pi of block EVENTS must hold one whole number an event" in error_of(
        capsys, "scaled.fits", "binmap.fits")


def test_no_good_times(capsys):
    write_events("no_gti.fits", SOURCE, good_times={})
    assert run(["spectra", "no_gti.fits", "binmap.fits"]) == 0
    assert "holds no table of good times (GTI): using TSTART to TSTOP" in warnings_of(capsys)[0]
    assert spectrum("spectra/00754/xaf_0.pi")[1]["EXPOSURE"] == 10_000


def test_a_chip_without_good_times(capsys):
    write_events("some.fits", SOURCE, good_times={3: GOOD[3], 0: GOOD[0], 1: GOOD[1]}, dtcor=DTCOR)
    assert run(["spectra", "some.fits", "binmap.fits"]) == 0
    assert "chips 2 have events, but no good times (GTI): EXPOSURE is that of chip 3" in warnings_of(capsys)[0]


# Sherpa reads what we write.


def load(ui, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ui.clean()
        ui.load_pha(str(path))
        return ui.get_data()


def net_of(data):
    """Sherpa's own subtraction, in counts."""
    data.subtract()
    return data.get_dep().sum()


@pytest.mark.full
def test_sherpa_finds_our_numbers(sherpa):
    assert run(["spectra", "evt2.fits", "binmap.fits", "--background", "bkg.fits"]) == 0
    of_bin, of_background = bin_of(SOURCE), bin_of(BEHIND)
    table = Table.read("spectra/00754/spectra.ecsv")
    for n in range(9):
        data = load(sherpa, f"spectra/00754/xaf_{n}.pi")
        assert data.counts.sum() == np.count_nonzero(of_bin == n)
        assert data.exposure == pytest.approx(table["exposure"][n], rel=1e-12)
        assert data.backscal == pytest.approx(table["area"][n] / 8192**2, rel=1e-12)
        by_chip = np.bincount(BEHIND["ccd_id"][of_background == n], minlength=4)
        expected = np.count_nonzero(of_bin == n) - sum(SCALES[f"BKGSCAL{c}"] * by_chip[c] for c in CHIPS)
        assert net_of(data) == pytest.approx(expected, rel=1e-6)


@pytest.mark.full
def test_sherpa_groups_as_we_do(sherpa):
    assert run(["spectra", "evt2.fits", "binmap.fits", "--background", "bkg.fits", "--group", "30"]) == 0
    ours = load(sherpa, "spectra/00754/xaf_4_grp.pi")
    assert ours.grouped
    grouped = ours.get_dep(filter=True)
    assert (grouped[:-1] >= 30).all()
    plain = load(sherpa, "spectra/00754/xaf_4.pi")
    assert not plain.grouped
    try:
        plain.group_counts(30)
    except ImportError:
        pytest.skip("sherpa is built without its group library")
    np.testing.assert_array_equal(plain.get_dep(filter=True), grouped)
    np.testing.assert_array_equal(plain.grouping, ours.grouping)
    np.testing.assert_array_equal(plain.quality, ours.quality)


# Real events: ACIS-I, MSH 15-52.


@pytest.fixture(scope="module")
def msh(tmp_path_factory):
    """Event file and a folder with the binmap of its counts, 0.5 - 7 keV."""
    events = shared_folder() / "data/msh1552/msh1552_acis_evt2.fits.gz"
    folder = tmp_path_factory.mktemp("msh")
    image = folder / "img.fits"
    binned = f"{events}[energy=500:7000][bin x=3600:4600:4,y=3600:4600:4]"
    assert run(["copy", binned, "-o", str(image), "-q"]) == 0
    assert run(["bin", str(image), "-o", str(folder / "out"), "--sn", "40", "--smooth-sn", "20", "-q"]) == 0
    return events, folder / "out/contbin_binmap.fits"


def test_real_events(msh):
    events, binmap = msh
    assert run(["spectra", str(events), str(binmap)]) == 0
    table = Table.read("spectra/00754/spectra.ecsv")
    rows = read_events(events, ["x", "y", "pi", "ccd_id"])
    labels = fits.getdata(binmap)
    image = fits.getheader(binmap)
    i, j = (np.floor((rows[axis].astype(float) - image[f"CRVAL{n}P"]) / 4 + image[f"CRPIX{n}P"] - 0.5).astype(int)
            for axis, n in (("x", 1), ("y", 2)))
    inside = (i >= 0) & (i < labels.shape[1]) & (j >= 0) & (j < labels.shape[0])
    of_bin = np.full(len(rows), -1)
    of_bin[inside] = labels[j[inside], i[inside]]
    assert len(table) == labels.max() + 1 > 10
    for n in range(0, len(table), 7):
        counts, header = spectrum(f"spectra/00754/xaf_{n}.pi")
        mine = of_bin == n
        np.testing.assert_array_equal(counts["COUNTS"], np.bincount(rows["pi"][mine], minlength=1025)[1:])
        chip = np.bincount(rows["ccd_id"][mine]).argmax()
        assert header["EXPOSURE"] == pytest.approx(rows.livetime(chip), rel=1e-12)
        assert header["OBJECT"] == "G320.4-1.2"
        assert header["EXPOSUR1"] < header["EXPOSUR3"]
    assert table["counts"].sum() == (labels >= 0).astype(int)[j[inside], i[inside]][
        (rows["pi"][inside] >= 35) & (rows["pi"][inside] <= 479)].sum()


@pytest.mark.full
def test_real_events_in_sherpa(msh, sherpa):
    """The field as its own background, with scales that differ from chip to chip."""
    events, binmap = msh
    with fits.open(events) as hdus:
        hdus["EVENTS"].header.update(SCALES)
        hdus.writeto("bkg.fits", overwrite=True)
    assert run(["spectra", str(events), str(binmap), "--background", "bkg.fits"]) == 0
    table = Table.read("spectra/00754/spectra.ecsv")
    for n in range(0, len(table), 11):
        data = load(sherpa, f"spectra/00754/xaf_{n}.pi")
        expected = table["total_counts"][n] - table["total_background"][n]
        assert net_of(data) == pytest.approx(expected, rel=1e-6)
