"""Images by virtual names: filtered, cropped and binned, and still at their place in the sky."""

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from chandra_bin.cli import run
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError
from chandra_bin.fits.images import write_image
from chandra_bin.regions import parse_regions, region_mask
from chandra_bin.simulate import cluster_header
from chandra_bin.tasks.inputs import files_of, plain_name, read_image

SHAPE = (60, 80)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    draw = np.random.default_rng(3)
    for name, data in (("img", draw.poisson(5, SHAPE).astype(np.int32)), ("flux", draw.random(SHAPE, np.float32))):
        with (folder / f"{name}.fits").open("wb") as file:
            write_image(file, data, cluster_header(SHAPE, bin_px=2))
    return folder


def coords_of(image):
    return ImageCoords(image.header)


def in_place(part, whole):
    """Where in the whole image each pixel of a part is, by the sky; and that physical coordinates agree."""
    ny, nx = part.data.shape
    y, x = np.indices((ny, nx), float)
    there = coords_of(whole).sky_to_image(*coords_of(part).image_to_sky(x, y))
    physical = coords_of(whole).physical_to_image(*coords_of(part).image_to_physical(x, y))
    np.testing.assert_allclose(there, physical, atol=1e-6)
    return there


@given(x=st.floats(4030, 4160), y=st.floats(4040, 4150), r=st.floats(1.5, 60))
@settings(max_examples=40)
def test_a_region_crops_and_blanks(folder, x, y, r):
    whole = read_image(folder / "img.fits")
    inside = region_mask(parse_regions(f"circle({x},{y},{r})"), coords_of(whole), SHAPE)
    if not inside.any():
        with pytest.raises(InputError, match="exclude all pixels"):
            read_image(f"{folder}/img.fits[sky=circle({x},{y},{r})]")
        return
    part = read_image(f"{folder}/img.fits[sky=circle({x},{y},{r})]")
    assert part.data.sum() == whole.data[inside].sum()
    px, py = np.rint(in_place(part, whole)).astype(int)
    np.testing.assert_array_equal(part.data, np.where(inside, whole.data, 0)[py, px])
    assert part.data.shape[1] <= r + 2


def test_excluded_pixels_are_zero_or_nan(folder):
    whole = read_image(folder / "flux.fits")
    inside = region_mask(parse_regions("circle(4096,4096,20)"), coords_of(whole), SHAPE)
    part = read_image(f"{folder}/flux.fits[exclude sky=circle(4096,4096,20)]")
    np.testing.assert_array_equal(part.data, np.where(inside, 0, whole.data))
    part = read_image(f"{folder}/flux.fits[exclude sky=circle(4096,4096,20)][opt null=NaN]")
    np.testing.assert_array_equal(part.data, np.where(inside, np.nan, whole.data))
    part = read_image(f"{folder}/img.fits[exclude sky=circle(4096,4096,20)][opt null=NaN,type=r4]")
    assert part.data.dtype == np.float32
    with pytest.raises(InputError, match="whole numbers of 32 bits cannot hold nan"):
        read_image(f"{folder}/img.fits[exclude sky=circle(4096,4096,20)][opt null=NaN]")


def test_full_keeps_the_size(folder):
    part = read_image(f"{folder}/img.fits[sky=circle(4096,4096,20)][opt full]")
    assert part.data.shape == SHAPE


def test_ranges_of_coordinates(folder):
    whole = read_image(folder / "img.fits")
    part = read_image(f"{folder}/img.fits[x=4060.5:4080.5,y=4070.5:]")
    x, _ = coords_of(whole).image_to_physical(np.arange(SHAPE[1]), 0.0)
    _, y = coords_of(whole).image_to_physical(0.0, np.arange(SHAPE[0]))
    expected = whole.data[np.ix_(y >= 4070.5, (x >= 4060.5) & (x < 4080.5))]
    np.testing.assert_array_equal(part.data, expected)


@pytest.mark.parametrize(("step", "factor"), [("sky=4", 2), ("sky=20", 10), ("x=::4,y=::6", (2, 3))])
def test_binned_pixels_are_sums(folder, step, factor):
    fx, fy = factor if isinstance(factor, tuple) else (factor, factor)
    whole = read_image(folder / "img.fits")
    part = read_image(f"{folder}/img.fits[bin {step}]")
    expected = whole.data.reshape(SHAPE[0] // fy, fy, SHAPE[1] // fx, fx).sum(axis=(1, 3))
    np.testing.assert_array_equal(part.data, expected)
    x, y = in_place(part, whole)
    np.testing.assert_allclose(x[0], np.arange(SHAPE[1] // fx) * fx + (fx - 1) / 2, atol=1e-6)
    np.testing.assert_allclose(y[:, 0], np.arange(SHAPE[0] // fy) * fy + (fy - 1) / 2, atol=1e-6)


def test_cropped_then_binned(folder):
    whole = read_image(folder / "img.fits")
    part = read_image(f"{folder}/img.fits[sky=rectangle(4060.5,4060.5,4100.5,4100.5)][bin sky=4]")
    assert part.data.shape == (10, 10)
    x, y = in_place(part, whole)
    row, column = round(y[0, 0] - 0.5), round(x[0, 0] - 0.5)
    assert part.data[0, 0] == whole.data[row: row + 2, column: column + 2].sum()


def test_sums_beyond_32_bits_are_kept(tmp_path):
    with (tmp_path / "big.fits").open("wb") as file:
        write_image(file, np.full((4, 4), 2**30, np.int32), cluster_header((4, 4)))
    assert read_image(f"{tmp_path}/big.fits[bin sky=4]").data.tolist() == [[2**34]]


def test_turned_images_are_binned_to_square_and_oblong_pixels(tmp_path):
    header = cluster_header(SHAPE)
    header.update(PC1_1=0.8, PC1_2=-0.6, PC2_1=0.6, PC2_2=0.8)
    with (tmp_path / "turned.fits").open("wb") as file:
        write_image(file, np.ones(SHAPE, np.int32), header)
    whole = read_image(tmp_path / "turned.fits")
    part = read_image(f"{tmp_path}/turned.fits[bin sky=4]")
    x, _ = in_place(part, whole)
    np.testing.assert_allclose(x[0], np.arange(SHAPE[1] // 4) * 4 + 1.5, atol=1e-6)
    oblong = read_image(f"{tmp_path}/turned.fits[bin x=::4,y=::2]")
    x, y = in_place(oblong, whole)
    np.testing.assert_allclose(x[0], np.arange(SHAPE[1] // 4) * 4 + 1.5, atol=1e-6)
    np.testing.assert_allclose(y[:, 0], np.arange(SHAPE[0] // 2) * 2 + 0.5, atol=1e-6)


def test_types_are_those_asked_for(folder):
    assert read_image(f"{folder}/img.fits[opt type=r8]").data.dtype == np.float64
    with pytest.raises(InputError, match="cannot hold the pixels"):
        read_image(f"{folder}/flux.fits[opt type=i2]")
    for null in ("3000000000", "0.5"):
        with pytest.raises(InputError, match="whole numbers of 32 bits cannot hold"):
            read_image(f"{folder}/img.fits[exclude sky=circle(4096,4096,20)][opt null={null}]")


@pytest.mark.parametrize(("name", "said"), [
    ("img.fits[bin sky=3]", "binned by whole pixels"),
    ("img.fits[bin time=3]", "has the axes x and y"),
    ("img.fits[energy=500:7000]", "an image can be filtered by"),
    ("img.fits[cols x]", "[cols x] cannot be used here"),
    ("img.fits[#row=1:2]", "[#row=1:2] cannot be used here"),
    ("img.fits[7]", "no block 7"),
    ("img.fits[sky=circle(100,100,5)]", "exclude all pixels"),
    ("img.fits[sky=mask(small.fits)]", "the mask"),
    ("img.fits[sky=mask(small.fits[sky=circle(1,1,1)])]", "has filters of its own"),
])
def test_bad_names_are_refused(folder, name, said, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    fits.PrimaryHDU(np.ones((3, 3), np.int16)).writeto("small.fits", overwrite=True)
    assert run(["copy", name, "out.fits"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (folder / "out.fits").exists()


def test_a_block_is_chosen(tmp_path):
    pixels = [np.full((2, 3), n, np.int16) for n in range(3)]
    fits.HDUList([fits.PrimaryHDU(pixels[0]), fits.ImageHDU(pixels[1], name="ONE"),
                  fits.ImageHDU(pixels[2], name="TWO")]).writeto(tmp_path / "a.fits")
    values = [read_image(f"{tmp_path}/a.fits{block}").data[0, 0] for block in ("", "[1]", "[2]", "[one]", "[TWO]")]
    assert values == [0, 0, 1, 1, 2]


def test_every_file_of_a_name_is_known(tmp_path):
    names = files_of(f"{tmp_path}/a.fits[sky=region(b.reg)][@c.gti][sky=mask(d.fits)]", None, "e.fits")
    assert [name.name for name in names] == ["a.fits", "b.reg", "c.gti", "d.fits", "e.fits"]


def test_products_hold_names_without_folders(tmp_path):
    assert plain_name(f"{tmp_path}/a.fits[sky=region(b.reg)]") == "a.fits[sky=region(b.reg)]"


def test_lists_name_the_one_file(folder, tmp_path, capsys):
    (tmp_path / "one.lis").write_text(f"{folder}/img.fits\n")
    (tmp_path / "two.lis").write_text(f"{folder}/img.fits\n{folder}/flux.fits\n")
    assert run(["copy", f"@{tmp_path}/one.lis[bin sky=4]", str(tmp_path / "out.fits")]) == 0
    assert read_image(tmp_path / "out.fits").data.shape == (30, 40)
    assert run(["copy", f"@{tmp_path}/two.lis", str(tmp_path / "none.fits")]) == 2
    assert "lists 2 files, but one file is needed" in capsys.readouterr().err
