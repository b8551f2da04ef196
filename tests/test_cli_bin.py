"""``chandra-bin bin``: a folder of products from an image."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import sysconfig
import termios
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.wcs import WCS

import chandra_bin
from chandra_bin.binning.bins import sum_bins
from chandra_bin.cli import run
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.fits.images import write_image
from chandra_bin.regions import parse_regions, read_regions, region_mask
from chandra_bin.simulate import cluster_header, cluster_image
from file_traffic import counted_files, whole_reads
from files import INPUTS, golden_folder, listing, summary, write_fits
from golden_data import read_expected, read_region_files
from pictures import colours_of
from processes import cpu_seconds, wait_until

PROGRAM = Path(sysconfig.get_path("scripts")) / "chandra-bin"
IMAGE = f"{INPUTS}/counts_96x80.fits.gz"
OPTIONS = ["--sn=20", "--smooth-sn=30", "--constrain=3"]
SMOOTHED = "contbin_smoothed.fits"
SIX = ["bin_signal_stats.qdp", "bin_sn_stats.qdp", "contbin_binmap.fits", "contbin_mask.fits", "contbin_out.fits",
       "contbin_sn.fits"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def binmap(folder="d"):
    return fits.getdata(f"{folder}/contbin_binmap.fits", output_verify="ignore")


def test_all_products(capsys):
    assert run(["bin", IMAGE, "-o", "d/e", *OPTIONS]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("65 bins, S/N 20")
    assert summary(out).endswith("products in d/e/; look at d/e/bins.png\n")
    assert not err
    assert listing("d/e") == sorted(
        [*SIX, SMOOTHED, "bins.ecsv", "bins.png", "outreg", *(f"outreg/xaf_{n}.reg" for n in range(65))])
    golden = read_expected("constrain3")
    for key in ("binmap", "out", "sn", "mask"):
        np.testing.assert_array_equal(fits.getdata(f"d/e/contbin_{key}.fits"), golden[key])
    assert Path("d/e/bin_sn_stats.qdp").read_text() == str(golden["sn_qdp"])


@pytest.mark.usefixtures("without_pictures")
def test_region_files_are_in_physical_coordinates_from_the_header(tmp_path):
    """The same outlines as `chandra-bin regions` writes, with the pixels of the original's boxes."""
    assert run(["bin", IMAGE, "-o", "d", *OPTIONS]) == 0
    assert run(["regions", "d/contbin_binmap.fits", "-o", "outlines"]) == 0
    header = fits.getheader("d/contbin_binmap.fits")
    boxes = read_region_files("constrain3")
    assert len(boxes) == len(list((tmp_path / "d/outreg").iterdir()))
    for name, text in boxes.items():
        outline = (tmp_path / "d/outreg" / name).read_text()
        assert outline == (tmp_path / "outlines" / name).read_text()
        masks = [region_mask(parse_regions(t), ImageCoords(header), (header["NAXIS2"], header["NAXIS1"]))
                 for t in (outline, text)]
        np.testing.assert_array_equal(*masks)


@pytest.mark.usefixtures("without_pictures")
def test_region_files_in_image_coordinates_where_the_header_has_no_others(capsys):
    write_fits("a.fits", np.full((3, 2), 100, "i4"))
    assert run(["bin", "a.fits", "-o", "d", "--sn", "20"]) == 0
    assert "note: the header has no physical coordinates" in capsys.readouterr().err
    assert Path("d/outreg/xaf_0.reg").read_text() == (
        "# Region file format: DS9 version 4.1\nglobal color=green width=1\nimage\n"
        "polygon(0.5,0.5,2.5,0.5,2.5,3.5,0.5,3.5)\n")


@pytest.mark.usefixtures("without_pictures")
def test_one_region_file_of_all_bins():
    """It takes the place of the files of each bin, and they take its place."""
    assert run(["bin", IMAGE, "-o", "d", *OPTIONS]) == 0
    each = [name for name in listing("d") if name.startswith("outreg/")]
    assert run(["bin", IMAGE, "-o", "d", *OPTIONS, "--regions", "one-file", "--clobber", "-q"]) == 0
    assert not any(Path("d/outreg").glob("*"))
    coords, labels = ImageCoords(fits.getheader(IMAGE)), binmap()
    bins = read_regions("d/bins.reg", for_ciao=False).bins
    assert list(bins) == list(range(len(each)))
    for number in (0, 17, len(each) - 1):
        np.testing.assert_array_equal(region_mask(bins[number], coords, labels.shape), labels == number)
    assert run(["bin", IMAGE, "-o", "d", *OPTIONS, "--clobber", "-q"]) == 0
    assert [name for name in listing("d") if name.endswith(".reg")] == each


@pytest.mark.usefixtures("without_pictures")
def test_table_has_the_columns_and_units_of_the_documentation():
    assert run(["bin", IMAGE, "-o", "d", *OPTIONS]) == 0
    table = QTable.read("d/bins.ecsv")
    assert " ".join(table.colnames) == (
        "bin npix counts background signal noise sn sn_sys sn_image background_fraction brightness x y x_phys y_phys "
        "ra dec area_px area_arcsec2 elongation reached low_sn")
    units = {name: str(table[name].unit) for name in table.colnames if getattr(table[name], "unit", None)}
    assert units == {
        "counts": "ct", "background": "ct", "signal": "ct", "noise": "ct", "brightness": "ct / pix",
        "x": "pix", "y": "pix", "x_phys": "pix", "y_phys": "pix", "ra": "deg", "dec": "deg", "area_px": "pix",
        "area_arcsec2": "arcsec2"}
    labels, counts = binmap(), fits.getdata(IMAGE)
    sky = WCS(fits.getheader(IMAGE))
    for row in Table.read("d/bins.ecsv"):
        inside = labels == row["bin"]
        y, x = (places.mean() for places in np.nonzero(inside))
        assert row["npix"] == np.count_nonzero(inside)
        assert row["counts"] == counts[inside].sum()
        assert (row["x"], row["y"]) == pytest.approx((x, y))
        assert (row["x_phys"], row["y_phys"]) == pytest.approx((3901.5 + 2 * x, 3951.5 + 2 * y))
        np.testing.assert_allclose((row["ra"], row["dec"]), sky.all_pix2world(x, y, 0), rtol=0, atol=1e-9)
    assert table.meta["parameters"]["sn"] == 20
    assert table.meta["parameters"]["image"] == "counts_96x80.fits.gz"
    assert table.meta["parameters"]["background"] is None


def test_equal_runs_give_equal_bytes_for_any_threads_and_folder(tmp_path):
    for n in ("1", "2"):
        assert run(["bin", IMAGE, "-o", f"somewhere{n}/d", "--threads", n, *OPTIONS]) == 0
    names = [name for name in listing("somewhere1/d") if "." in name]
    for name in names:
        first, second = (Path(f"somewhere{n}/d/{name}").read_bytes() for n in (1, 2))
        assert first == second, name
        assert str(tmp_path).encode() not in first
        assert b"somewhere" not in first


@pytest.mark.usefixtures("without_pictures")
def test_an_earlier_set_is_kept_or_wholly_replaced(capsys):
    assert run(["bin", IMAGE, "-o", "d", *OPTIONS]) == 0
    Path("d/notes.txt").write_text("mine")
    before = {name: Path("d", name).read_bytes() for name in listing("d") if "." in name}
    assert run(["bin", IMAGE, "-o", "d", "--sn=40"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert {name: Path("d", name).read_bytes() for name in listing("d") if "." in name} == before
    assert run(["bin", IMAGE, "-o", "d", "--sn=40", "--clobber"]) == 0
    regions = [name for name in listing("d") if name.startswith("outreg/")]
    assert len(regions) == binmap().max() + 1 < 65
    assert Path("d/notes.txt").read_text() == "mine"


def made(name, *words):
    """The binmap of a run with options."""
    assert run(["bin", IMAGE, "-o", name, "-q", *words]) == 0
    return binmap(name)


@pytest.mark.usefixtures("without_pictures")
def test_options_reach_the_binner():
    counts = fits.getdata(IMAGE)
    api = chandra_bin.contour_bin
    base = {"sn": 20, "smooth_sn": 30}
    words = ["--sn=20", "--smooth-sn=30"]
    np.testing.assert_array_equal(made("a", *words), api(counts, **base).binmap)
    np.testing.assert_array_equal(made("b", *words, "--bin-up"), api(counts, **base, bin_up=True).binmap)
    np.testing.assert_array_equal(made("c", *words, "--no-scrub"), api(counts, **base, scrub=False).binmap)
    np.testing.assert_array_equal(made("d", *words, "--scrub-large=0.08"), api(counts, **base, scrub_large=0.08).binmap)
    np.testing.assert_array_equal(made("e", "--counts=300", "--smooth-sn=30"),
                                  api(counts, sn=300, target="counts", smooth_sn=30).binmap)
    smoothed = f"{INPUTS}/smooth_96x80.fits.gz"
    np.testing.assert_array_equal(made("f", *words, "--smoothed", smoothed),
                                  api(counts, sn=20, smoothed=fits.getdata(smoothed)).binmap)
    noise = write_fits("noise.fits", np.full(counts.shape, 3, "f4"))
    np.testing.assert_array_equal(made("g", *words, "--noisemap", noise),
                                  api(counts, **base, noise=np.full(counts.shape, 3.0)).binmap)
    mask = f"{INPUTS}/mask_96x80.fits.gz"
    values = fits.getdata(mask)
    np.testing.assert_array_equal(made("h", *words, "--mask", mask),
                                  api(counts, **base, mask=values < 1, seed_only=values > 1).binmap)
    assert len(np.unique(binmap("a"))) != len(np.unique(binmap("e")))


def step_of_exposure(shape=(160, 160)):
    """The true flux of a round cluster, and an exposure map that falls to a quarter on one half."""
    y, x = np.indices(shape)
    flux = 600 / (1 + ((x - 80) ** 2 + (y - 80) ** 2) / 15**2) ** 1.5 + 2
    return flux, np.where(x < 80, 1.0, 0.25)


def scatter_within(labels, flux, weights):
    """The standard deviation of ln(flux) within bins, weighted by counts."""
    used = labels >= 0
    bins, value, weight = labels[used], np.log(flux[used]), weights[used]
    mean = np.bincount(bins, weight * value) / np.bincount(bins, weight)
    return np.sqrt(np.average((value - mean[bins]) ** 2, weights=weight))


@pytest.mark.usefixtures("without_pictures")
def test_bins_follow_the_flux_where_an_exposure_map_is_given():
    flux, exposure = step_of_exposure()
    counts = write_fits("img.fits", np.random.default_rng(3).poisson(flux * exposure).astype("i4"))
    expmap = write_fits("exp.fits", exposure.astype("f4"))
    words = ["--sn=40", "--smooth-sn=60", "--expmap", expmap]
    by_default, by_flux, by_counts = (
        run_in(folder, counts, *words, *more)
        for folder, more in (("a", ()), ("b", ("--contours=flux",)), ("c", ("--contours=counts",))))
    np.testing.assert_array_equal(by_default, by_flux)
    scatter = scatter_within(by_flux, flux, flux * exposure)
    assert scatter < 0.5 * scatter_within(by_counts, flux, flux * exposure)
    assert scatter < 0.07
    for folder, word in (("a", "flux"), ("c", "counts")):
        assert fits.getheader(f"{folder}/contbin_smoothed.fits")["CONTOURS"] == word
    smoothed = fits.getdata("a/contbin_smoothed.fits")
    np.testing.assert_array_equal(
        smoothed, chandra_bin.smooth_flux(fits.getdata(counts), exposure.astype("f4"), sn=60))
    assert scatter_within(np.zeros(flux.shape, int), smoothed / flux, np.ones(flux.shape)) < 0.15


def run_in(folder, *words):
    assert run(["bin", *map(str, words), "-o", folder]) == 0
    return binmap(folder)


def test_a_background_that_is_not_vignetted_leaves_no_contours():
    y, x = np.indices((120, 120))
    exposure = 1 - 0.6 * np.hypot(x - 60, y - 60) / 85
    generator = np.random.default_rng(4)
    counts, background = generator.poisson(20 * exposure + 30), generator.poisson(300, exposure.shape)
    smoothed = chandra_bin.smooth_flux(counts, exposure, sn=100, background=background, background_scale=0.1)
    untold = chandra_bin.smooth_flux(counts, exposure, sn=100)
    level = 20 * exposure.mean()
    assert smoothed.mean() == pytest.approx(level, rel=0.03)
    assert smoothed.std() < 0.06 * level
    assert untold.std() > 0.3 * level  # the ramp of 30 / exposure


def test_contours_of_the_flux_need_an_exposure_map(capsys):
    assert run(["bin", IMAGE, "-o", "d", "--contours=flux"]) == 2
    assert "need an exposure map" in capsys.readouterr().err


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(("keywords", "words", "error", "said"), [
    ({"BKGTYPE": "BLANKSKY", "BKGFERR": 0.02}, (), np.hypot(0.03, 0.02), False),
    ({"BKGTYPE": "LOCAL", "BKGFERR": 0.04}, (), 0.04, False),
    ({"BKGTYPE": "LOCAL", "BKGFERR": 0.04}, ("--background-systematic=0.05",), np.hypot(0.05, 0.04), False),
    ({}, (), 0.03, True),
    ({"BKGTYPE": "LOCAL"}, (), 0.03, True),
    ({}, ("--background-systematic=0",), 0.0, True)])
def test_the_error_of_the_background_is_in_the_table(keywords, words, error, said, capsys):
    generator = np.random.default_rng(5)
    write_fits("img.fits", generator.poisson(20, (60, 60)).astype("i4"))
    write_fits("bkg.fits", generator.poisson(80, (60, 60)).astype("i4"))
    with fits.open("bkg.fits", mode="update") as file:
        file[0].header.update(keywords)
    assert run(["bin", "img.fits", "-o", "d", "--sn=25", "--background=bkg.fits", "--background-scale=0.2",
                *words]) == 0
    assert ("no BKGFERR" in capsys.readouterr().err) == said
    table = Table.read("d/bins.ecsv")
    np.testing.assert_allclose(table["sn"], table["signal"] / table["noise"])
    np.testing.assert_allclose(table["sn_sys"], table["signal"] / np.hypot(table["noise"], error * table["background"]))
    np.testing.assert_allclose(table["background_fraction"], table["background"] / table["counts"])
    assert (table["background_fraction"] > 0.5).any()


@pytest.mark.usefixtures("without_pictures")
def test_sn_is_of_counts_where_a_scaled_flux_is_binned(capsys):
    flux, exposure = step_of_exposure()
    counts = np.random.default_rng(6).poisson(flux * exposure).astype("i4")
    write_fits("img.fits", counts)
    write_fits("flux.fits", (2.5 * counts).astype("f4"))
    assert run(["bin", "flux.fits", "-o", "d", "--sn=40", "--counts-image=img.fits"]) == 0
    out, err = capsys.readouterr()
    assert float(re.search(r"S/N \S+ to (\S+),", out)[1]) < 40  # in counts
    assert "the median S/N of the bins is 2" in err
    assert "but the target is 40" in err
    table, labels = Table.read("d/bins.ecsv"), binmap()
    sums = sum_bins(labels, counts)
    assert np.median(sums.sn) < 0.7 * 40
    np.testing.assert_allclose(table["sn"], sums.sn)
    np.testing.assert_allclose(fits.getdata("d/contbin_sn.fits")[labels >= 0], sums.sn[labels[labels >= 0]], rtol=1e-6)
    np.testing.assert_allclose(fits.getdata("d/contbin_sn_image.fits")[labels >= 0],
                               np.array(table["sn_image"])[labels[labels >= 0]], rtol=1e-6)
    assert not table["reached"].any()
    lines = Path("d/bin_sn_stats.qdp").read_text().splitlines()
    assert float(lines[-1].split()[0]) < 40  # the largest is in counts


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("words", [["img.fits", "--background=bkg.fits"],
                                   ["flux.fits", "--counts-image=img.fits", "--counts-image-background=bkg.fits"]])
def test_each_image_is_read_once(monkeypatch, words):
    counts = np.random.default_rng(6).poisson(20, (120, 120))
    for name, data in (("img", counts), ("flux", 2.5 * counts), ("bkg", np.full((120, 120), 5))):
        write_fits(f"{name}.fits", data.astype("f4"))
    with counted_files(monkeypatch) as opened:
        assert run(["bin", *words, "-o", "d", "--sn=100"]) == 0
    names = [path for path in map(Path, ("img.fits", "flux.fits", "bkg.fits")) if path.name in " ".join(words)]
    assert {path.name: whole_reads(opened, path) for path in names} == {path.name: 1 for path in names}


@pytest.mark.usefixtures("without_pictures")
def test_bins_without_signal_are_flagged(capsys):
    generator = np.random.default_rng(8)
    counts = generator.poisson(10, (60, 60))
    counts[20:40, 20:40] += generator.poisson(100, (20, 20))
    write_fits("img.fits", counts.astype("i4"))
    write_fits("bkg.fits", np.full((60, 60), 10.2, "f4"))
    assert run(["bin", "img.fits", "-o", "d", "--sn=30", "--background=bkg.fits", "--no-scrub"]) == 0
    table = Table.read("d/bins.ecsv")
    np.testing.assert_array_equal(table["low_sn"], table["sn"] < 3)
    low = int(table["low_sn"].sum())
    assert low
    assert f"S/N in counts is below 3 in {low} of {len(table)} bins" in capsys.readouterr().err
    assert not table["reached"][table["sn"] < 0].any()


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("command", [["bin", "-o", "d"], ["contbin"]])
def test_an_image_that_is_not_in_counts_is_named(command, capsys):
    name, *words = command
    write_fits("flux.fits", fits.getdata(IMAGE) * 1e-7)
    assert run([name, "flux.fits", *words, "-q"]) == 0
    total = fits.getdata(IMAGE).sum() * 1e-7
    assert capsys.readouterr().err == (
        f"warning: flux.fits: pixels sum to {total:.3g} and are not whole numbers: this is not a counts image; bin the "
        "counts image, or give it by --counts-image of bin\n")


@pytest.mark.parametrize(("target", "said"), [(["--sn", "5000"], "S/N {sn:.4g}, and the target is 5000"),
                                              (["--counts", "1e7"], "{counts:.4g} net counts, and the target is 1")])
def test_a_target_above_the_whole_image_is_named(target, said, capsys):
    """Independent S/N: contbin's noise of n counts is 1 + (n + 0.75)^1/2."""
    counts = fits.getdata(IMAGE).sum()
    assert run(["bin", IMAGE, "-o", "d", *target, "-q"]) == 0
    said = said.format(counts=counts, sn=counts / (1 + np.sqrt(counts + 0.75)))
    err = capsys.readouterr().err
    assert err.startswith(f"warning: {IMAGE}: the whole image has only {said}")
    assert err.count("\n") == 1


def test_a_note_names_the_options_that_exclude_empty_parts(capsys):
    image = np.pad(fits.getdata(IMAGE), ((0, 80), (0, 96)))
    write_fits("padded.fits", image)
    known = re.compile(r"note: padded.fits: (\d+) of 30720 pixels are in blocks without counts; --automask or --keep ")
    assert run(["bin", "padded.fits", "-o", "d", "--sn", "20"]) == 0
    noted = known.search(capsys.readouterr().err)
    blocks = image.reshape(20, 8, 24, 8).sum(axis=(1, 3))
    assert noted
    assert int(noted[1]) == 64 * np.count_nonzero(blocks == 0)
    assert run(["bin", "padded.fits", "-o", "d", "--sn", "20", "--automask", "--clobber"]) == 0
    assert not known.search(capsys.readouterr().err)


def test_automask_excludes_empty_blocks():
    image = f"{INPUTS}/sparse_160x120.fits.gz"
    assert run(["bin", image, "-o", "d", "--sn=10", "--smooth-sn=15", "--automask", "--constrain=2"]) == 0
    np.testing.assert_array_equal(binmap(), read_expected("automask")["binmap"])


@pytest.fixture
def backgrounds():
    """An image of 25 counts a pixel, a background of 10 counts, exposures with holes, a scale image."""
    exposure = np.full((40, 40), 2.0, "f4")
    exposure[0], exposure[1, :5] = 0, np.nan
    scale = np.full((40, 40), 0.25, "f4")
    scale[:, 0] = -1
    return {
        "image": write_fits("i.fits", np.full((40, 40), 25, "i4"), EXPOSURE=1e5),
        "background": write_fits("b.fits", np.full((40, 40), 10, "i4"), EXPOSURE=1e6),
        "expmap": write_fits("e.fits", exposure),
        "background_expmap": write_fits("be.fits", np.full((40, 40), 4.0, "f4")),
        "scale": write_fits("s.fits", scale),
    }


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(("words", "signal", "excluded", "said"), [
    ([], 15, 0, "own exposure (scale 1)"),  # never from EXPOSURE
    (["--background-scale", "0.5"], 20, 0, ""),
    (["--background-scale", "s.fits"], 22.5, 40, "40 pixels without"),
    (["--expmap", "e.fits", "--background-expmap", "be.fits"], 20, 45, "45 pixels without"),
    (["--expmap", "e.fits"], 15, 45, "own exposure"),  # the map only masks
    (["--expmap", "e.fits", "--background-scale", "2"], 5, 45, ""),
])
def test_backgrounds_are_scaled_as_asked(words, signal, excluded, said, backgrounds, capsys):
    assert run(["bin", backgrounds["image"], "-o", "d", "--background", backgrounds["background"], *words]) == 0
    assert said in capsys.readouterr().err
    labels = binmap()
    assert np.count_nonzero(labels < 0) == excluded
    np.testing.assert_allclose(fits.getdata("d/contbin_out.fits")[labels >= 0], signal)
    assert np.count_nonzero(fits.getdata("d/contbin_mask.fits") == 0) == excluded


BAD = {
    "missing file": (["none.fits"], "none.fits: no such file"),
    "cube": (["cube.fits"], "cube.fits: holds no 2-D image"),
    "truncated": (["half.fits.gz"], "half.fits.gz: the compressed file is truncated"),
    "shapes differ": ([IMAGE, "--mask", f"{INPUTS}/ones_mask_128.fits.gz"], "128 x 128"),
    "sn zero": ([IMAGE, "--sn=0"], "sn is 0"),
    "all negative": (["negative.fits"], "negative.fits: all 81 used pixels are negative or zero"),
    "all zero": (["zero.fits"], "zero.fits: all 81 used pixels are zero"),
    "no exposure": ([IMAGE, "--expmap=noexp.fits"], "noexp.fits: no pixel of the exposure map is above 0"),
    "scale without background": ([IMAGE, "--background-scale=2"], "background_scale needs background: give both"),
    "map without background": ([IMAGE, "--expmap=noexp.fits", "--background-expmap=noexp.fits"],
                               "background_expmap needs background: give both"),
    "two scales": ([IMAGE, "--background=b", "--background-expmap=c", "--background-scale=1"], "one of the two"),
    "background map alone": ([IMAGE, "--background=b", "--background-expmap=c"],
                             "background_expmap needs expmap: give both"),
    "background of a counts image alone": ([IMAGE, "--counts-image-background=b"],
                                           "counts_image_background needs counts_image: give both"),
    "scale negative": (["zero.fits", "--background=zero.fits", "--background-scale=-1"], "scale is -1"),
    "unknown option": ([IMAGE, "--snn=3"], "--snn"),
    "sn and counts": ([IMAGE, "--sn=3", "--counts=100"], "exclude each other"),
    "no image": ([], "Missing argument 'IMAGE'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_exit_code_2_and_no_file(name, tmp_path, capsys):
    words, said = BAD[name]
    write_fits("cube.fits", np.zeros((2, 3, 4)))
    write_fits("zero.fits", np.zeros((9, 9), "i2"))
    write_fits("negative.fits", np.full((9, 9), -1, "i2"))
    write_fits("noexp.fits", np.zeros((80, 96), "f4"))
    whole = (INPUTS / "counts_96x80.fits.gz").read_bytes()
    Path("half.fits.gz").write_bytes(whole[: len(whole) // 2])
    before = listing(tmp_path)
    assert run(["bin", *words, "-o", "new/d"]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("chandra-bin bin: error: ")
    assert said in err
    assert err.count("\n") == 1
    assert not out
    assert listing(tmp_path) == before


def run_program(*words, limit=None, **options):
    code = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    if limit:
        code += f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
    code += "from chandra_bin.cli import main; main()"
    return subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, **options)


@pytest.mark.full
def test_a_disk_that_fills_up_leaves_nothing(tmp_path):
    with run_program("bin", IMAGE, "-o", "d/e", limit=40_000) as process:
        out, err = process.communicate()
    assert process.returncode == 2
    assert err.startswith("chandra-bin bin: error: ")
    assert "cannot be written: file too large" in err
    assert err.count("\n") == 1
    assert not out
    assert listing(tmp_path) == []


@contextmanager
def on_terminal(*words):
    """``chandra-bin`` as a process whose stderr is a terminal, with the other end of that."""
    reading, writing = pty.openpty()
    termios.tcsetwinsize(writing, (24, 80))
    with subprocess.Popen([PROGRAM, *words], stdout=subprocess.PIPE, stderr=writing, text=True) as process:
        os.close(writing)
        try:
            yield process, reading
        finally:
            process.kill()
            os.close(reading)


def shown_on(reading, is_enough=lambda _: False):
    """Read the output on a terminal until a condition is met or the terminal is closed."""
    seen = b""
    while not is_enough(seen):
        ready, _, _ = select.select([reading], [], [], 120)
        assert ready, f"nothing comes after {seen}"
        try:
            seen += os.read(reading, 4096)
        except OSError:  # the other end is closed
            break
    return seen


@pytest.mark.full
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_stopping_leaves_nothing(stop, tmp_path):
    """Interrupt the run after the first progress report: after the imports, and long before the end."""
    shape = (1024, 1024)
    with Path("big.fits").open("wb") as file:
        write_image(file, cluster_image(shape, 4_000_000), cluster_header(shape))
    with on_terminal("bin", "big.fits", "-o", "d", "--sn=70", "--smooth-sn=300", "--threads=1") as (process, reading):
        shown_on(reading, lambda seen: seen.count(b"binning") >= 2)  # the first is the bar before it moves
        assert Path("d").is_dir()
        process.send_signal(stop)
        said = shown_on(reading)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.endswith(b"chandra-bin bin: interrupted\r\n")
    assert b"Traceback" not in said
    assert not out
    assert listing(tmp_path) == ["big.fits"]


@pytest.mark.full
def test_progress_is_shown_on_a_terminal_only():
    shape = (1500, 1500)  # a bar appears with the first progress, which small images end without
    with Path("big.fits").open("wb") as file:
        write_image(file, cluster_image(shape, 2_000_000), cluster_header(shape))
    shown = {}
    for name, words in (("loud", []), ("quiet", ["--quiet"])):
        with on_terminal("bin", "big.fits", "-o", name, "--smooth-sn=200", "--threads=1", *words) as (process, reading):
            shown[name] = shown_on(reading)
            assert process.wait() == 0
    assert b"binning" in shown["loud"]
    assert b"%" in shown["loud"]
    assert shown["quiet"] == b""


def test_ngc5044_and_its_picture():
    image = golden_folder("ngc5044") / "inputs/ngc5044_364x366.fits.gz"
    assert run(["bin", str(image), "-o", "d", "--sn=50", "--smooth-sn=75", "--constrain=3"]) == 0
    table = Table.read("d/bins.ecsv")
    assert table["reached"].all()
    assert table["npix"].sum() == 364 * 366
    assert Path("d/outreg/xaf_0.reg").exists()
    of_bins = {0x77AADD, 0xEE8866, 0xEEDD88, 0xFFAABB, 0x99DDFF, 0x44BB99, 0xBBCC33}
    assert of_bins <= colours_of(Path("d/bins.png").read_bytes())


@pytest.mark.usefixtures("without_pictures")
def test_a1835_with_its_background_and_exposure_map():
    inputs = golden_folder("a1835") / "inputs"
    assert run(["bin", f"{inputs}/a1835_counts.fits.gz", "-o", "d", "--sn=20", "--smooth-sn=30", "--constrain=3",
                "--background", f"{inputs}/a1835_bkgmap.fits.gz", "--expmap", f"{inputs}/a1835_expmap.fits.gz"]) == 0
    table = Table.read("d/bins.ecsv")
    assert (table["background"] > 0).all()
    exposure = fits.getdata(f"{inputs}/a1835_expmap.fits.gz")
    np.testing.assert_array_equal(fits.getdata("d/contbin_mask.fits", output_verify="ignore") == 1, exposure > 0)


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(("keyword", "by", "apart"), [
    ("CRVAL1P", 3, "3 physical pixels"), ("CRVAL2", 0.01, "36 arcsec"), ("CRVAL2", 1e-5, None),
    ("CRPIX1", 1e-3, None)])
def test_a_mask_on_another_grid_is_told_of(capsys, keyword, by, apart):
    shape = (40, 50)
    with Path("img.fits").open("wb") as file:
        write_image(file, cluster_image(shape, 20_000), cluster_header(shape))
    header = cluster_header(shape)
    header[keyword] += by
    with Path("mask.fits").open("wb") as file:
        write_image(file, np.ones(shape, "i2"), header)
    assert run(["bin", "img.fits", "-o", "out", "--mask", "mask.fits", "-q"]) == 0
    said = capsys.readouterr().err
    assert (f"the mask lies up to {apart} from the image img.fits" if apart else "") in said
    assert apart or "the mask lies" not in said


@pytest.mark.usefixtures("without_pictures")
def test_bins_with_less_than_their_background_are_told_of(capsys):
    write_fits("img.fits", np.full((40, 40), 6, "i2"))
    write_fits("bkg.fits", np.full((40, 40), 20, "i2"))
    assert run(["bin", "img.fits", "-o", "out", "--background", "bkg.fits", "--sn", "10", "-q"]) == 0
    bins = Table.read("out/bins.ecsv")
    assert (bins["signal"] < 0).all()
    assert f"{len(bins)} of {len(bins)} bins have less than the background" in capsys.readouterr().err


def test_a_closed_stderr_is_no_failure():
    write_fits("img.fits", np.full((12, 12), 9, "i2"))
    program = Path(sysconfig.get_path("scripts")) / "chandra-bin"
    done = subprocess.run(f"{program} contbin img.fits --sn 6 2>&-", shell=True, check=False, stdout=subprocess.PIPE)
    assert done.returncode == 0
    assert Path("contbin_binmap.fits").exists()


@pytest.mark.full
def test_an_interrupt_ends_a_smoothing_of_minutes():
    write_fits("faint.fits", np.random.default_rng(0).poisson(0.02, (900, 900)).astype("i2"))
    program = Path(sysconfig.get_path("scripts")) / "chandra-bin"
    words = [program, "smooth", "gaussian", "faint.fits", "faint.fits", "--sn", "500", "-o", "out.fits"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as run_of_minutes:
        wait_until(lambda: cpu_seconds(run_of_minutes.pid) > 4)  # which are not those of imports any more
        run_of_minutes.send_signal(signal.SIGINT)
        _, said = run_of_minutes.communicate(timeout=60)  # a second, and what a busy machine may add
    assert run_of_minutes.returncode == 130
    assert "interrupted" in said
    assert not Path("out.fits").exists()


@pytest.mark.usefixtures("without_pictures")
def test_a_picture_that_cannot_be_drawn_costs_no_product():
    assert run(["bin", IMAGE, "-o", "d", *OPTIONS, "-q"]) == 0
    whole = listing("d")
    ran = subprocess.run([PROGRAM, "bin", IMAGE, "-o", "d", *OPTIONS, "--clobber"], capture_output=True, text=True,
                         env=os.environ | {"MPLBACKEND": "nonsense"}, check=False)
    assert ran.returncode == 0
    assert ran.stderr.startswith("warning: d/bins.png: the picture cannot be drawn (ValueError: ")
    assert ran.stderr.endswith("; all other products are written\n")
    assert listing("d") == [name for name in whole if name != "bins.png"]  # the old picture would show another run


def test_names_that_are_not_utf8_are_drawn_with_escapes():
    name = os.fsdecode(b"n\xe9.fits")
    Path(name).write_bytes(Path(IMAGE).read_bytes())
    assert run(["bin", name, "-o", "d", *OPTIONS, "-q"]) == 0
    assert Path("d/bins.png").stat().st_size > 10_000


@pytest.mark.parametrize("target", [["--sn", "30", "--smooth-sn", "30"], ["--counts", "900", "--smooth-sn", "30"]])
def test_islands_of_the_automask_are_warned_of_with_the_way_out(target, capsys):
    """A cluster in an almost empty field: each block with a count, away from the others, becomes a bin."""
    y, x = np.indices((256, 256)) - 127.5
    model = (1 + (x**2 + y**2) / 20**2) ** -2.0
    image = np.random.default_rng(3).poisson(30_000 * model / model.sum()).astype(np.int32)
    image[:24, ::32] = 1
    write_fits("field.fits", image)
    Path("cluster.reg").write_text("# Region file format: DS9\nimage\ncircle(128.5,128.5,70)\n")
    assert run(["bin", "field.fits", "-o", "all", *target, "-q"]) == 0
    capsys.readouterr()
    assert run(["bin", "field.fits", "-o", "automask", *target, "--automask", "-q"]) == 0
    bins = Table.read("automask/bins.ecsv")
    below = ~np.asarray(bins["reached"])
    share = bins["counts"][below].sum() / bins["counts"].sum()
    assert below.sum() >= 8
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "touch" in line]
    start = f"warning: {below.sum()} bins below the threshold touch no other bin and cannot be joined, with "
    assert line.startswith(f"{start}{100 * share:.2g} % of the counts: the mask has islands; --automask keeps each")
    assert line.endswith("keep one connected area, the region of the cluster by --keep or a mask by --mask")
    assert run(["bin", "field.fits", "-o", "kept", *target, "--automask", "--keep", "cluster.reg", "-q"]) == 0
    assert "touch" not in capsys.readouterr().err
    assert abs(len(Table.read("kept/bins.ecsv")) - len(Table.read("all/bins.ecsv"))) <= 2
