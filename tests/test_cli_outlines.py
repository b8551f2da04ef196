"""``chandra-bin regions``, ``convert`` and ``mask``, and regions given to ``bin`` and ``contbin``."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.cli import run
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.regions import read_regions, region_mask
from files import INPUTS, listing, summary, write_fits
from test_wcs import PHYSICAL, SKY

COORDS = {key: value for key, value in {**SKY, **PHYSICAL}.items() if not key.startswith("NAXIS")}
BINMAP = np.array([[0, 0, 0, 0, -1], [0, 1, 1, 0, -1], [0, 1, 1, 0, 2], [0, 0, 0, 0, 2], [2, 2, -1, -1, 2]])


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def binmap():
    write_fits("contbin_binmap.fits", BINMAP.astype("i4"), **COORDS)
    write_fits("img.fits", np.ones(BINMAP.shape, "f4"), **COORDS)
    return BINMAP


def call(line):
    return run(line.split())


def inside(path, shape=BINMAP.shape):
    coords = ImageCoords(fits.getheader("img.fits"))
    return region_mask(read_regions(path, for_ciao=False), coords, shape)


def test_the_last_steps_of_the_pipeline(binmap, capsys):
    """The command lines as users know them."""
    assert call("regions contbin_binmap.fits --format ciao --system physical -o outreg") == 0
    assert listing("outreg") == ["xaf_0.reg", "xaf_1.reg", "xaf_2.reg"]
    assert Path("outreg/xaf_0.reg").read_bytes() == (
        b"# Region file format: CIAO version 1.0\n"
        b"polygon(3532.5,3092.5,3548.5,3092.5,3548.5,3108.5,3532.5,3108.5)"
        b"*!polygon(3536.5,3104.5,3544.5,3104.5,3544.5,3096.5,3536.5,3096.5)\n")
    for number in range(3):
        np.testing.assert_array_equal(inside(f"outreg/xaf_{number}.reg"), binmap == number)
    files = sorted(map(str, Path("outreg").glob("xaf_*.reg")))
    line = "--image img.fits --system fk5 --format ciao --sexagesimal -o outreg/sex"
    assert run(["convert", *files, *line.split()]) == 0
    assert listing("outreg/sex") == ["xaf_0_sex.reg", "xaf_1_sex.reg", "xaf_2_sex.reg"]
    for number in range(3):
        np.testing.assert_array_equal(inside(f"outreg/sex/xaf_{number}_sex.reg"), binmap == number)
    out = capsys.readouterr().out
    assert "3 region files with 4 polygons of 20 vertices in outreg/" in out
    assert "3 region files converted into outreg/sex/" in out


def test_masks(binmap, capsys):
    Path("src.reg").write_text("circle(3538.5,3098.5,5)\n")
    assert call("mask img.fits --exclude src.reg -o mask.fits") == 0
    excluded = np.hypot(*(np.indices(binmap.shape) * 4 + 2 - 6)) <= 5
    np.testing.assert_array_equal(fits.getdata("mask.fits"), ~excluded)
    header = fits.getheader("mask.fits")
    assert header["CRVAL1P"] == COORDS["CRVAL1P"]
    assert "  exclude = src.reg" in list(header["HISTORY"])
    assert summary(capsys.readouterr().out) == f"{25 - excluded.sum()} of 25 pixels are used; mask in mask.fits\n"
    Path("more.reg").write_text("point(3534.5,3094.5)\n")
    assert call("mask img.fits --keep src.reg --exclude more.reg -q -o kept.fits") == 0
    excluded[0, 0] = False
    np.testing.assert_array_equal(fits.getdata("kept.fits"), excluded)


def test_a_mask_is_0_without_exposure_and_without_data(binmap, capsys):
    exposure = np.full(binmap.shape, 1e5, np.float32)
    exposure[0] = 0, np.nan, -1, 1e-3, 1
    write_fits("exp.fits", exposure, **COORDS)
    data = np.ones(binmap.shape, np.float32)
    data[4, :2] = np.nan
    write_fits("holes.fits", data, **COORDS)
    used = np.ones(binmap.shape, bool)
    used[0, :3] = used[4, :2] = False
    assert call("mask holes.fits --expmap exp.fits -o mask.fits") == 0
    np.testing.assert_array_equal(fits.getdata("mask.fits"), used)
    assert "  expmap = exp.fits" in list(fits.getheader("mask.fits")["HISTORY"])
    assert summary(capsys.readouterr().out) == "20 of 25 pixels are used; mask in mask.fits\n"
    Path("src.reg").write_text("circle(3538.5,3098.5,5)\n")
    assert call("mask holes.fits --expmap exp.fits --exclude src.reg -q -o both.fits") == 0
    np.testing.assert_array_equal(fits.getdata("both.fits"), used & ~inside("src.reg"))
    assert call("mask holes.fits --keep src.reg -q -o kept.fits") == 0
    np.testing.assert_array_equal(fits.getdata("kept.fits"), inside("src.reg") & ~np.isnan(data))


def test_outline_of_a_mask(binmap):
    write_fits("mask.fits", (binmap == 1).astype("i2"), **COORDS)
    assert call("regions mask.fits -o out") == 0
    assert listing("out") == ["mask.reg"]
    np.testing.assert_array_equal(inside("out/mask.reg"), binmap == 1)


@pytest.mark.parametrize(("words", "first"), [
    ("--format fits", "xaf_0.fits"), ("--format ds9 --system image", "xaf_0.reg"),
    ("--format ds9 --system galactic --sexagesimal", "xaf_0_sex.reg"), ("--system wcs --sexagesimal", "xaf_0_sex.reg"),
    ("--system icrs", "xaf_0.reg"),
])
def test_formats(binmap, words, first):
    assert run(["regions", "contbin_binmap.fits", "-o", "out", *words.split()]) == 0
    assert listing("out")[0] == first
    for number, name in enumerate(listing("out")):
        np.testing.assert_array_equal(inside(f"out/{name}"), binmap == number)


def test_all_bins_in_one_file(binmap):
    assert call("regions contbin_binmap.fits --all-in-one bins.reg --system icrs -q") == 0
    text = Path("bins.reg").read_text()
    assert text.count("polygon(") == 4
    assert text.count("text={2}") == 1
    assert text.count("tag={bin 2}") == 2
    np.testing.assert_array_equal(inside("bins.reg"), binmap >= 0)


def test_a_gap_in_the_numbers(capsys):
    write_fits("map.fits", np.array([[0, 3, 5]], "i2"), **COORDS)
    assert call("regions map.fits -o out -q") == 0
    assert listing("out") == ["xaf_0.reg", "xaf_3.reg", "xaf_5.reg"]
    assert "warning: map.fits: 3 bin numbers up to 5 have no pixel (the first is 1)" in capsys.readouterr().err


@pytest.mark.usefixtures("binmap")
def test_old_files_are_replaced_when_asked(capsys):
    assert call("regions contbin_binmap.fits -o out") == 0
    assert call("regions contbin_binmap.fits -o out") == 2
    assert "exists already" in capsys.readouterr().err
    write_fits("one.fits", np.zeros((2, 2), "i2"), **COORDS)
    assert call("regions one.fits -o out --clobber") == 0
    assert listing("out") == ["xaf_0.reg"]


def test_wildcards_and_events(shared, capsys):
    events = shared / "data/msh1552/msh1552_acis_evt2.fits.gz"
    Path("a.reg").write_text("circle(4000,4100,10)\n")
    Path("b.reg").write_text("annulus(4000,4100,10,20)\n")
    assert run(["convert", "?.reg", "--image", str(events), "--sexagesimal", "-o", "out"]) == 0
    assert listing("out") == ["a_sex.reg", "b_sex.reg"]
    assert Path("out/a_sex.reg").read_text().splitlines()[1] == "circle(15:14:00.2465,-59:08:22.505,0.08200')"
    assert summary(capsys.readouterr().out) == "2 region files converted into out/\n"


@pytest.mark.usefixtures("binmap")
def test_readers_that_disagree(capsys):
    Path("two.reg").write_text("box(3538.5,3098.5,12,12)\nbox(3546.5,3098.5,12,12)\n-box(3538.5,3098.5,4,4)\n"
                               "-box(3534.5,3094.5,4,4)\n")
    assert call("convert two.reg --image img.fits --system physical -o out") == 0
    said = capsys.readouterr().err
    assert "two.reg: CIAO and DS9 disagree about 2 pixels" in said
    assert "The file is read as CIAO reads it; choose by --semantics ciao or ds9" in said
    assert call("convert two.reg --image img.fits --system physical --semantics ds9 -o ds9") == 0
    ciao, ds9 = inside("out/two_physical.reg"), inside("ds9/two_physical.reg")
    assert np.count_nonzero(ciao != ds9) == 2


@pytest.mark.usefixtures("binmap")
def test_what_ds9_cannot_hold(capsys):
    Path("a.reg").write_text("circle(3538.5,3098.5,9)*!box(3538.5,3098.5,4,4)\nbox(3538.5,3098.5,4,4)\n")
    assert call("convert a.reg --image img.fits --system image --format ds9 -o out") == 0
    assert "DS9's format cannot hold this region: 1 pixel will differ" in capsys.readouterr().err


def test_bins_take_regions():
    Path("src.reg").write_text("physical;circle(3950,3990,16)\n")
    image = f"{INPUTS}/counts_96x80.fits.gz"
    pixels = fits.getdata(image)
    write_fits("img.fits", pixels, **PHYSICAL | {"CRVAL1P": 3900.5, "CRVAL2P": 3950.5, "CDELT1P": 2.0, "CDELT2P": 2.0})
    assert call("bin img.fits -o d --sn 20 --exclude src.reg --constrain 3 -q") == 0
    excluded = inside("src.reg", pixels.shape)
    assert excluded.sum() > 100
    binmap = fits.getdata("d/contbin_binmap.fits")
    assert np.all(binmap[excluded] == -1)
    assert (binmap[~excluded] >= 0).any()
    assert np.all(fits.getdata("d/contbin_mask.fits")[excluded] == 0)
    for number in range(binmap.max() + 1):
        np.testing.assert_array_equal(inside(f"d/outreg/xaf_{number}.reg", pixels.shape), binmap == number)
    assert call("contbin img.fits --sn 20 --keep src.reg -q") == 0
    assert np.all(fits.getdata("contbin_binmap.fits")[~excluded] == -1)
    assert (fits.getdata("contbin_binmap.fits") >= 0).any()


@pytest.mark.parametrize(("words", "said"), [
    ("regions contbin_binmap.fits", "give an output for the outlines"),
    ("regions none.fits -o out", "none.fits: no such file"),
    ("regions half.fits -o out", "half.fits: holds 0.5 where a binmap holds whole bin numbers"),
    ("regions huge.fits -o out", "which is out of range for bin numbers"),
    ("regions empty.fits -o out", "empty.fits: no pixel is in a bin"),
    ("regions bare.fits -o out", "choose another system: --system image, with --format ds9"),
    ("regions sky.fits -o out", "choose another system: --system fk5, icrs, wcs or image"),
    ("convert all.reg rest.reg --image img.fits -o made.reg",
     "made.reg: is the name of a file, but 2 files are converted: give a folder"),
    ("regions bare.fits -o out --system fk5 --format ds9", "bare.fits: the header has no sky coordinates"),
    ("regions contbin_binmap.fits -o out --system nonsense", "unknown sky frame 'nonsense'"),
    ("regions contbin_binmap.fits -o out --system image", "CIAO reads image coordinates as physical ones"),
    ("regions contbin_binmap.fits -o out --format fits --system wcs", "FITS region tables contain physical"),
    ("convert none.reg --image img.fits -o out", "none.reg: cannot be read: no such file"),
    ("convert odd.reg --image img.fits -o out", "odd.reg: line 2: polygon: has an odd number of coordinates"),
    ("convert odd.reg -o out", "Missing option '--image'"),
    ("convert odd.reg --image table.fits -o out", "holds no events (a table EVENTS, or one with columns X and Y)"),
    ("mask img.fits -o mask.fits", "give --exclude FILE.reg, --keep FILE.reg or --expmap FILE"),
    ("mask img.fits --exclude odd.reg -o mask.fits", "odd.reg: line 2"),
    ("mask img.fits --exclude all.reg -o mask.fits", "img.fits: the regions leave no pixel to use"),
    ("mask img.fits --expmap dark.fits -o mask.fits", "dark.fits: no pixel of the exposure map is above 0"),
    ("mask img.fits --expmap bare.fits -o mask.fits", "bare.fits: the exposure map has 2 x 2 pixels"),
    ("mask nan.fits --expmap img.fits -o mask.fits", "nan.fits: no pixel is left to use"),
    ("mask bare.fits --exclude all.reg -o mask.fits", "bare.fits: the header has no physical coordinates"),
    ("mask img.fits --exclude all.reg -o all.reg", "all.reg: is an input and an output at once"),
    ("bin img.fits -o d --exclude odd.reg", "odd.reg: line 2"),
])
@pytest.mark.usefixtures("binmap")
def test_bad_input(words, said, capsys):
    write_fits("half.fits", np.full((2, 2), 0.5), **COORDS)
    write_fits("huge.fits", np.full((2, 2), 2**40), **COORDS)
    write_fits("empty.fits", np.full((2, 2), -1), **COORDS)
    write_fits("bare.fits", np.zeros((2, 2), "i4"))
    write_fits("sky.fits", np.zeros((2, 2), "i4"), **{key: SKY[key] for key in SKY if not key.startswith("NAXIS")})
    fits.BinTableHDU.from_columns([fits.Column("TIME", "D", array=[1.0])]).writeto("table.fits")
    write_fits("dark.fits", np.zeros(BINMAP.shape, "f4"), **COORDS)
    write_fits("nan.fits", np.full(BINMAP.shape, np.nan), **COORDS)
    Path("odd.reg").write_text("# Region file format: CIAO version 1.0\npolygon(1,2,3,4,5)\n")
    Path("all.reg").write_text("box(3538.5,3098.5,1000,1000)\n")
    before = listing(".")
    assert call(words) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert listing(".") == before


@pytest.mark.usefixtures("binmap")
def test_a_region_beside_the_image(capsys):
    Path("far.reg").write_text("circle(9000,9000,5)\n")
    assert call("mask img.fits --exclude far.reg -o mask.fits") == 0
    assert "warning: far.reg: no pixel of img.fits is inside" in capsys.readouterr().err
    assert fits.getdata("mask.fits").all()


def test_a_map_of_two_bins_is_no_mask(capsys):
    data = np.array([[0, 0, 1], [0, 1, 1]])
    write_fits("two.fits", data.astype("i4"), **COORDS)
    write_fits("mask.fits", data.astype("u1"), **COORDS)
    assert call("regions two.fits -o bins") == 0
    assert listing("bins") == ["xaf_0.reg", "xaf_1.reg"]
    assert call("regions mask.fits -o outline") == 0
    assert listing("outline") == ["mask.reg"]
    assert "read as a mask" in capsys.readouterr().err


@pytest.mark.usefixtures("binmap")
def test_no_file_is_two_outputs(capsys):
    assert call("regions contbin_binmap.fits -o out --all-in-one out/xaf_0.reg") == 2
    assert "two outputs have this name" in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.usefixtures("binmap")
def test_converted_files_survive_a_new_set():
    assert call("regions contbin_binmap.fits -o out") == 0
    assert call("regions contbin_binmap.fits -o out --system icrs --sexagesimal") == 0
    before = listing("out")
    assert call("regions contbin_binmap.fits -o out --clobber") == 0
    assert listing("out") == before


@pytest.mark.usefixtures("binmap")
def test_sexagesimal_pixels_are_refused(capsys):
    assert call("regions contbin_binmap.fits -o out --sexagesimal") == 2
    assert "sexagesimal numbers need" in capsys.readouterr().err


@pytest.mark.usefixtures("binmap")
def test_one_file_is_converted_to_the_name_that_is_given(capsys):
    Path("all.reg").write_text("circle(3,3,2)\n")
    assert run(["convert", "all.reg", "--image", "img.fits", "-o", "made.reg"]) == 0
    assert summary(capsys.readouterr().out) == "1 region files converted into made.reg\n"
    assert Path("made.reg").is_file()
