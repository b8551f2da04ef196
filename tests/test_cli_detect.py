"""``chandra-bin detect``: the table, the region file, the images, and bad input."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from chandra_bin import read_regions, region_mask
from chandra_bin.cli import run
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.simulate import cluster_header
from files import listing, write_fits

PLACES = [(40.0, 50.0, 200), (150.3, 60.7, 120), (90.5, 140.0, 300)]
SHAPE = (200, 200)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An image of three sources, on pixels of two sky pixels, with its exposure and PSF maps."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(1)
    image = draw.poisson(0.05, SHAPE)
    for x, y, counts in PLACES:
        columns, rows = (np.rint(draw.normal(at, 1.2, counts)).astype(int) for at in (x, y))
        np.add.at(image, (rows, columns), 1)
    header = cluster_header(SHAPE, bin_px=2)
    write_fits("img.fits", image.astype(np.int16), **header)
    write_fits("exp.fits", np.full(SHAPE, 4e7, np.float32), **header, BUNIT="cm**2 s")
    write_fits("psf.fits", np.full(SHAPE, 1.2 * 0.984 * 2.146, np.float32), **header, BUNIT="arcsec", ECF=0.9)
    return tmp_path


@pytest.mark.parametrize("size", [3, 4, 8])
def test_tiny_images_are_searched(folder, size):  # noqa: ARG001 - works in it
    image = np.zeros((size, size), np.int16)
    image[size // 2, size // 2] = 40
    write_fits("tiny.fits", image, **cluster_header((size, size), bin_px=2))
    assert run(["detect", "tiny.fits", "-o", "found.fits", "-q"]) == 0
    assert len(Table.read("found.fits", hdu=1)) <= 1


def test_rims_without_an_exposure_map_are_worth_a_word(tmp_path, capsys):
    image = np.zeros((256, 256), np.int32)
    image[64:192, 64:192] = np.random.default_rng(1).poisson(0.5, (128, 128))
    write_fits(tmp_path / "rim.fits", image, **cluster_header(image.shape))
    run(["detect", f"{tmp_path}/rim.fits", "-o", f"{tmp_path}/src.fits", "--scales", "1 2"])
    assert "of the image is empty: without an exposure map" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_the_command_as_written(capsys):
    assert run(["detect", "img.fits", "-o", "src.fits"]) == 0
    table = Table.read("src.fits")
    assert capsys.readouterr().out.startswith(f"{len(table)} sources, sigthresh 2.5e-05")
    assert table.meta["EXTNAME"] == "SRCLIST"
    assert list(table["COMPONENT"]) == list(range(1, len(table) + 1))
    table = table[table["NET_COUNTS"] > 50]  # at auto each scale may take a pixel or so of noise for a source
    coords = ImageCoords(fits.getheader("img.fits"))
    x, y = coords.physical_to_image(table["X"], table["Y"])
    order = np.argsort([place[0] for place in PLACES])
    np.testing.assert_allclose(np.column_stack([x, y]), np.array(PLACES)[order, :2], atol=0.5)
    lon, lat = coords.physical_to_sky(table["X"], table["Y"])
    np.testing.assert_allclose([table["RA"], table["DEC"]], [lon, lat], atol=1e-9)
    np.testing.assert_allclose(table["NET_RATE"], table["NET_COUNTS"] / 1e5)
    assert set(table["SHAPE"]) == {"Ellipse"}
    assert np.isnan(fits.getdata("src.fits", 1)["PSF_SIZE"]).all()
    assert (table["SRC_SIGNIFICANCE"] > 10).all()


@pytest.mark.usefixtures("folder")
def test_the_table_has_the_columns_that_are_documented():
    from pathlib import Path

    assert run(["detect", "img.fits", "src.fits", "-q"]) == 0
    text = (Path(__file__).parents[1] / "docs/reference/file-formats.md").read_text()
    assert [name for name in Table.read("src.fits").colnames if f"`{name}`" not in text] == []


@pytest.mark.usefixtures("folder")
def test_sources_have_off_axis_angles_and_a_number_of_false_ones(capsys):
    assert run(["detect", "img.fits", "src.fits", "-q"]) == 0
    assert "THETA" not in Table.read("src.fits").colnames  # of an image without a pointing
    coords = ImageCoords(fits.getheader("img.fits"))
    ra, dec = coords.image_to_sky(*PLACES[0][:2])
    for key, value in (("RA_PNT", float(ra)), ("DEC_PNT", float(dec) + 0.05)):
        fits.setval("img.fits", key, value=value)
    assert run(["detect", "img.fits", "src.fits", "--clobber"]) == 0
    table, header = Table.read("src.fits"), fits.getheader("src.fits", 1)
    nearest = np.argmin(np.hypot(table["RA"] - ra, table["DEC"] - dec))
    assert table["THETA"][nearest] == pytest.approx(3.0, abs=0.1)
    cos = np.cos(np.radians(dec))
    np.testing.assert_allclose(table["THETA"], 60 * np.hypot((table["RA"] - ra) * cos, table["DEC"] - dec - 0.05),
                               rtol=1e-3)
    assert header["NFALSE"] == pytest.approx(header["SIGTHRSH"] * header["NEXPOSED"])
    assert f"to make up to {header['NFALSE']:.2g} sources at each scale" in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_the_table_is_a_region_file():
    assert run(["detect", "img.fits", "-o", "src.fits", "--regions", "src.reg", "--ellsigma", "5", "-q"]) == 0
    table, text = read_regions("src.fits"), read_regions("src.reg")
    coords = ImageCoords(fits.getheader("img.fits"))
    masks = [region_mask(region, coords, SHAPE) for region in (table, text)]
    np.testing.assert_array_equal(*masks)
    for x, y, _ in PLACES:
        assert masks[0][round(y), round(x)]
    sky = ImageCoords.from_events(fits.getheader("src.fits", 1))
    rows = Table.read("src.fits")
    np.testing.assert_allclose(sky.physical_to_sky(rows["X"], rows["Y"]), [rows["RA"], rows["DEC"]], atol=1e-8)


@pytest.mark.usefixtures("folder")
def test_all_inputs_and_outputs(capsys):
    files = ["--expmap", "exp.fits", "--psfmap", "psf.fits", "--regions", "src.reg", "--scellfile", "scell.fits",
             "--defnbkgfile", "bkg.fits", "--imagefile", "rec.fits"]
    assert run(["detect", "img.fits", "-o", "src.fits", *files, "--scales", "1 2,4", "--sigthresh", "5e-6",
                "--ellsigma", "5"]) == 0
    assert "src.fits, src.reg, scell.fits, bkg.fits, rec.fits" in capsys.readouterr().out
    table, header = Table.read("src.fits"), fits.getheader("src.fits", 1)
    assert np.allclose(table["PSF_SIZE"], 2.4, rtol=1e-3)  # sky pixels
    assert np.allclose(table["PSFRATIO"], 1, atol=0.25)
    assert np.allclose(table["EXPTIME"], 4e7)
    assert header["TUNIT14"] == "count/(cm**2 s)"
    assert "scales = 1 2 4" in str(header["HISTORY"])
    cells = fits.getdata("scell.fits")
    assert set(np.unique(cells)) == {0, 1, 2, 3}
    assert np.bincount(cells.ravel())[1:].tolist() == table["NPIXSOU"].tolist()
    assert fits.getdata("bkg.fits").mean() * 4e7 == pytest.approx(0.05, rel=0.3)
    assert fits.getdata("rec.fits").sum() == pytest.approx(table["NET_COUNTS"].sum(), rel=0.1)
    assert fits.getheader("rec.fits")["CRVAL1P"] == fits.getheader("img.fits")["CRVAL1P"]


def test_sources_in_the_cluster_are_left_out(folder, capsys):
    x, y = ImageCoords(fits.getheader("img.fits")).image_to_physical(40, 50)
    (folder / "cluster.reg").write_text(f"# Region file format: CIAO version 1.0\ncircle({x},{y},40)\n")
    assert run(["detect", "img.fits", "-o", "src.fits", "--sigthresh", "1e-6", "--cluster", "cluster.reg"]) == 0
    assert "2 sources, 1 in the cluster left out" in capsys.readouterr().out
    assert len(Table.read("src.fits")) == 2


def test_no_source_leaves_no_region_file(folder, capsys):
    write_fits("flat.fits", np.full(SHAPE, 3, np.int16), **cluster_header(SHAPE))
    (folder / "src.reg").write_text("old")
    assert run(["detect", "flat.fits", "-o", "src.fits", "--regions", "src.reg"]) == 2
    assert run(["detect", "flat.fits", "-o", "src.fits", "--regions", "src.reg", "--clobber"]) == 0
    assert "no tool reads a region file without a shape" in capsys.readouterr().err
    assert not (folder / "src.reg").exists()
    assert len(Table.read("src.fits")) == 0


@pytest.mark.usefixtures("folder")
def test_images_without_coordinates(capsys):
    write_fits("plain.fits", fits.getdata("img.fits"))
    assert run(["detect", "plain.fits", "-o", "src.fits", "--sigthresh", "1e-6", "--regions", "src.reg"]) == 0
    said = capsys.readouterr().err
    assert "no columns RA and DEC" in said
    assert "X and Y, and regions, are pixels of the image" in said
    table = Table.read("src.fits")
    assert "RA" not in table.colnames
    assert table["X"][0] == pytest.approx(41, abs=0.5)
    assert read_regions("src.reg").components


def test_equal_runs_give_equal_files(folder):
    for name in ("one.fits", "two.fits"):
        assert run(["detect", "img.fits", "-o", name, "-q"]) == 0
    assert (folder / "one.fits").read_bytes() == (folder / "two.fits").read_bytes()


@pytest.mark.parametrize(("words", "text"), [
    (["img.fits"], "the output is missing"),
    (["none.fits", "-o", "src.fits"], "none.fits: no such file"),
    (["img.fits", "-o", "img.fits"], "img.fits"),
    (["img.fits", "-o", "src.fits", "--regions", "src.fits"], "two outputs have this name"),
    (["img.fits", "-o", "src.fits", "--scales", "one"], "must be numbers"),
    (["img.fits", "-o", "src.fits", "--scales", "1 -2"], "scales must be 0.5 pixels or more, got -2"),
    (["img.fits", "-o", "src.fits", "--scales", "200"], "img.fits: the scale 200 is too large"),
    (["img.fits", "-o", "src.fits", "--sigthresh", "some"], "neither a number nor auto"),
    (["img.fits", "-o", "src.fits", "--sigthresh", "2"], "sigthresh is 2"),
    (["img.fits", "-o", "src.fits", "--ellsigma", "0"], "ellsigma is 0"),
    (["img.fits", "-o", "src.fits", "--psfmap", "psf.fits", "--psfecf", "1"], "psf.fits: the enclosed fraction"),
    (["img.fits", "-o", "src.fits", "--expmap", "small.fits"], "small.fits: the exposure map has 10 x 10 pixels"),
    (["img.fits", "-o", "src.fits", "--expmap", "zero.fits"], "error: zero.fits: no pixel of the exposure"),
    (["img.fits", "-o", "src.fits", "--psfmap", "zero.fits"], "error: zero.fits: the unit (BUNIT) must be arcsec"),
    (["img.fits", "-o", "src.fits", "--scales", "1 0.123456789"], "scales must be 0.5 pixels or more, got 0.123456789"),
    (["flat.fits", "-o", "src.fits", "--cluster", "core.reg"], "error: flat.fits: the header has no physical"),
    (["one.fits", "-o", "src.fits"], "error: one.fits: the image of 1 x 1 pixels is too small to search"),
    (["row.fits", "-o", "src.fits"], "error: row.fits: the image of 50 x 2 pixels is too small to search"),
    (["img.fits", "-o", "src.fits", "--expmap", "beside.fits"], "beside.fits: the exposure map is on another grid"),
    (["img.fits", "-o", "src.fits", "--psfmap", "beside.fits"], "beside.fits: the PSF map is on another grid"),
    (["filled.fits", "-o", "src.fits"], "filled.fits: some of its pixels are random values"),
    (["negative.fits", "-o", "src.fits"], "negative.fits: 40000 pixels are negative"),
    (["img.fits", "-o", "src.fits", "--cluster", "none.reg"], "none.reg"),
])
def test_bad_input_is_one_line(folder, capsys, words, text):
    write_fits("small.fits", np.ones((10, 10)))
    write_fits("zero.fits", np.zeros(SHAPE), BUNIT="furlong")
    write_fits("negative.fits", -np.ones(SHAPE))
    write_fits("beside.fits", np.ones(SHAPE), **dict(cluster_header(SHAPE, bin_px=2)) | {"CRVAL1P": 1.0})
    write_fits("filled.fits", np.ones(SHAPE), FILLED=True)
    fits.writeto("flat.fits", np.ones(SHAPE, np.int32))
    (folder / "core.reg").write_text("# Region file format: CIAO version 1.0\ncircle(4096.5,4096.5,8)\n")
    for name, shape in (("one.fits", (1, 1)), ("row.fits", (2, 50))):
        fits.writeto(name, np.ones(shape, np.int32))
    before = listing(folder)
    assert run(["detect", *words]) == 2
    said = capsys.readouterr().err
    assert text in said
    assert said.count("\n") == 1
    assert listing(folder) == before


@pytest.mark.usefixtures("folder")
def test_what_approximate_maps_make_is_approximate():
    for name, changed in (("exp.fits", "approx.fits"), ("psf.fits", "near.fits")):
        with fits.open(name) as hdus:
            hdus[0].header["CALIB"] = "APPROX"
            hdus.writeto(changed)
    for number, words in enumerate((["--expmap", "approx.fits"], ["--psfmap", "near.fits"])):
        made = [f"{kind}{number}.fits" for kind in ("src", "scell", "bkg", "rec")]
        assert run(["detect", "img.fits", *words, "-o", made[0], "--scellfile", made[1], "--defnbkgfile", made[2],
                    "--imagefile", made[3], "-q"]) == 0
        assert [fits.getheader(name, name.startswith("src"))["CALIB"] for name in made] == ["APPROX"] * 4
        assert f"approximate, as {words[1]} is" in str(fits.getheader(made[0], 1)["HISTORY"])
    assert run(["detect", "img.fits", "-o", "true.fits", "--expmap", "exp.fits", "-q"]) == 0
    assert "CALIB" not in fits.getheader("true.fits", 1)


def test_names_that_headers_cannot_hold_are_escaped(folder):
    odd = {name: f"{name[0]}\n\u00e9\udcff.fits" for name in ("img.fits", "exp.fits", "psf.fits")}
    for name, other in odd.items():
        (folder / name).rename(other)
    assert run(["detect", odd["img.fits"], "-o", "src.fits", "--expmap", odd["exp.fits"], "--psfmap", odd["psf.fits"],
                "--scales", "1 2", "-q"]) == 0
    said = "".join(fits.getheader("src.fits", 1)["HISTORY"])
    assert all(f"{name[0]}\\n\\xe9\\udcff.fits" in said for name in odd)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["img.fits", "img.fits[sky=circle(4096.5,4096.5,1000)][opt full]"])
@pytest.mark.parametrize("limit", ["MemAvailable:   1000 kB", "1024000", "machine"])
def test_images_that_do_not_fit_into_memory_are_refused(capsys, monkeypatch, tmp_path, name, limit):
    from chandra_bin._checks import memory
    from chandra_bin.tasks import detect as detected

    (tmp_path / "limit").write_text(f"max\n{limit}\n")
    monkeypatch.setattr(memory, "_LIMITS", {tmp_path / "limit": limit[:13] if limit.startswith("Mem") else "",
                                            tmp_path / "none": ""})
    if limit == "machine":
        monkeypatch.setattr(memory.os, "sysconf", lambda _: 1000)
    if name == "img.fits":
        monkeypatch.setattr(detected, "read_image", lambda _: pytest.fail("the image is read"))
    assert run(["detect", name, "-o", "src.fits"]) == 2
    said = capsys.readouterr().err
    assert "200 x 200 pixels need about 0.00416 GB of memory, and 0.001" in said
    assert said.count("\n") == 1
