"""FITS images: every storage form is read, every bad file says what is wrong, products tell how they were made."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.errors import InputError, NoImage
from chandra_bin.fits.images import product_header, write_image
from chandra_bin.tasks.inputs import read_image, read_like
from files import INPUTS, golden_folder, write_fits

PIXELS = np.arange(12).reshape(3, 4)


def event_table():
    return fits.BinTableHDU.from_columns([fits.Column("energy", "E", array=np.zeros(3))])


@pytest.mark.parametrize("kind", ["u1", "i2", "i4", "i8", "u2", "u4", "f4", "f8"])
def test_every_pixel_type_is_read(kind, tmp_path):
    image = read_image(Path(write_fits(tmp_path / "a.fits", PIXELS.astype(kind))))
    np.testing.assert_array_equal(image.data, PIXELS)
    assert image.data.dtype.kind == np.dtype(kind).kind


def test_scaled_and_blank_pixels(tmp_path):
    hdu = fits.PrimaryHDU(PIXELS.astype("i2"))
    hdu.header.update({"BSCALE": 0.5, "BZERO": 10, "BLANK": 3})
    hdu.writeto(tmp_path / "a.fits")
    expected = PIXELS * 0.5 + 10
    expected[0, 3] = np.nan
    np.testing.assert_array_equal(read_image(tmp_path / "a.fits").data, expected)


def test_gzipped_compressed_and_unpadded_files(tmp_path):
    path = Path(write_fits(tmp_path / "a.fits", PIXELS.astype("i4")))
    content = path.read_bytes()
    (tmp_path / "a.fits.gz").write_bytes(gzip.compress(content))
    (tmp_path / "unpadded.fits").write_bytes(content[: 2880 + PIXELS.size * 4])
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(PIXELS.astype("i4"))]).writeto(tmp_path / "a.fits.fz")
    for name in ("a.fits", "a.fits.gz", "unpadded.fits", "a.fits.fz"):
        np.testing.assert_array_equal(read_image(tmp_path / name).data, PIXELS)


def test_first_2d_image_is_found_behind_other_hdus(tmp_path):
    line, image, other = fits.ImageHDU(np.zeros(5)), fits.ImageHDU(PIXELS, name="COUNTS"), fits.ImageHDU(PIXELS + 1)
    fits.HDUList([fits.PrimaryHDU(), event_table(), line, image, other]).writeto(tmp_path / "a.fits")
    np.testing.assert_array_equal(read_image(tmp_path / "a.fits").data, PIXELS)


def test_axes_of_length_1_are_dropped_with_their_keywords(tmp_path):
    keywords = {"CTYPE1": "RA---TAN", "CTYPE3": "FREQ", "CRVAL3": 1.4e9, "PC3_1": 0.0}
    path = write_fits(tmp_path / "a.fits", PIXELS[np.newaxis], **keywords)
    image = read_image(Path(path))
    assert image.data.shape == (3, 4)
    assert image.header["CTYPE1"] == "RA---TAN"
    assert not {"CTYPE3", "CRVAL3", "PC3_1"} & set(image.header)


def bad_files(folder):
    """Each bad file, and words that its error must hold."""
    good = gzip.decompress((INPUTS / "counts_96x80.fits.gz").read_bytes())
    whole_gz = (INPUTS / "counts_96x80.fits.gz").read_bytes()

    def put(name, content):
        (folder / name).write_bytes(content)
        return name

    def table(name):
        fits.HDUList([fits.PrimaryHDU(), event_table()]).writeto(folder / name)
        return name

    (folder / "folder.fits").mkdir()
    for name, data in (("line.fits", np.zeros(9)), ("cube.fits", np.zeros((2, 3, 4))),
                       ("infinite.fits", np.array([[1, np.inf]])), ("pixelless.fits", np.zeros((0, 4)))):
        write_fits(folder / name, data)
    os.mkfifo(folder / "pipe.fits")
    return {
        "none.fits": "no such file",
        "pipe.fits": "is a pipe or device; save its content as a file first",
        put("negative.fits", good.replace(b"NAXIS1  =                   96", b"NAXIS1  =                  -96")):
            "NAXIS1 must not be negative, got -96",
        "folder.fits": "folder",
        put("empty.fits", b""): "empty",
        put("text.fits", b"hello, I am no image\n"): "not a FITS file",
        put("text.fits.gz", gzip.compress(b"hello")): "not a FITS file",
        put("half.fits.gz", whole_gz[: len(whole_gz) // 2]): "truncated",
        put("wrong.fits.gz", whole_gz[:100] + b"\0" * 50 + whole_gz[150:]): "damaged",
        put("half.fits", good[: len(good) // 2]): "truncated: ",
        put("header.fits", good[:1000]): "damaged",
        put("endless.fits", good[:2880].replace(b"END     ", b"COMMENT ")): "damaged",
        table("events.fits"): "no image",
        "line.fits": "1-D (9)",
        "cube.fits": "3-D (4 x 3 x 2)",
        "infinite.fits": "has 1 infinite pixel; replace",
        "pixelless.fits": "no",
    }


def test_every_bad_file_gives_one_line_that_begins_with_it(tmp_path):
    for name, said in bad_files(tmp_path).items():
        path = tmp_path / name
        with pytest.raises(InputError) as caught:
            read_image(path)
        text = str(caught.value)
        assert text.startswith(f"{path}: ")
        assert said in text


def test_a_file_that_may_not_be_read(tmp_path):
    path = Path(write_fits(tmp_path / "secret.fits", PIXELS))
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything: become somebody else
        for folder in (tmp_path, *tmp_path.parents[:-1]):
            if folder.stat().st_uid == os.getuid() and folder != Path("/tmp"):
                folder.chmod(0o755)
        code = ("import os; os.setuid(65534)\nfrom pathlib import Path\n"
                "from chandra_bin.tasks.inputs import read_image\n"
                f"try:\n    read_image(Path({str(path)!r}))\nexcept ValueError as error:\n    print(error)")
        done = subprocess.run([sys.executable, "-c", "import chandra_bin.fits.images, astropy.io.fits\n" + code],
                              capture_output=True, text=True, check=True)
        assert done.stdout == f"{path}: cannot be read: permission denied\n"
        return
    with pytest.raises(InputError, match="permission denied"):
        read_image(path)


def test_shapes_that_differ_are_both_said(tmp_path):
    image = read_image(Path(write_fits(tmp_path / "a.fits", PIXELS)))
    other = Path(write_fits(tmp_path / "b.fits", PIXELS.T))
    with pytest.raises(InputError, match=r"b\.fits: the mask has 3 x 4 pixels, the image .*a\.fits has 4 x 3"):
        read_like(other, image, "mask")


def test_a_keyword_that_should_be_a_number(tmp_path):
    image = read_image(Path(write_fits(tmp_path / "a.fits", PIXELS, EXPOSURE="long")))
    with pytest.raises(InputError, match=r"a\.fits: the keyword EXPOSURE must be a number, got 'long'"):
        image.number("EXPOSURE", 1)
    assert image.number("ONTIME", 1.5) == 1.5


@pytest.mark.parametrize("kind", ["f4", "i4", "i2", "f8"])
def test_written_images_are_read_back_with_their_header(kind, tmp_path):
    source = read_image(INPUTS / "counts_96x80.fits.gz")
    data = source.data[:7, :5].astype(kind)
    with (tmp_path / "a.fits").open("wb") as file:
        write_image(file, data, product_header(source.header, ["made by a test", "  α = 1\nx"], BUNIT="keV"))
    with fits.open(tmp_path / "a.fits") as hdus:
        hdus.verify("exception")
        assert hdus[0].data.dtype == np.dtype(kind).newbyteorder(">")
        np.testing.assert_array_equal(hdus[0].data, data)
        header = hdus[0].header
        for keyword in ("CRVAL1P", "LTV2", "CTYPE1", "CRVAL2", "OBJECT", "EXPOSURE"):
            assert header[keyword] == source.header[keyword]
        assert list(header["HISTORY"])[-2:] == ["made by a test", "  \\u03b1 = 1\\nx"]
        assert header["BUNIT"] == "keV"
    assert (tmp_path / "a.fits").stat().st_size % 2880 == 0


def test_what_would_lie_is_dropped():
    stale = {"BSCALE": 2.0, "BZERO": 1.0, "BLANK": 5, "DATAMIN": 0.0, "DATAMAX": 9.0, "CHECKSUM": "x", "DATASUM": "1",
             "BUNIT": "count", "EXTNAME": "EVENTS"}
    hdu = fits.ImageHDU(PIXELS.astype("i2"))
    hdu.header.update(stale)
    header = product_header(hdu.header, [])
    assert not set(header) & {*stale, "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "PCOUNT"}


def test_a_real_header_of_900_cards_survives(tmp_path):
    source = read_image(golden_folder("ngc5044") / "inputs/ngc5044_364x366.fits.gz")
    with (tmp_path / "a.fits").open("wb") as file:
        write_image(file, source.data, product_header(source.header, ["end"]))
    again = read_image(tmp_path / "a.fits")
    assert len(again.header) == len(source.header) - 2  # EXTEND is dropped, CHECKSUM and DATASUM; HISTORY is added
    assert again.header["CRVAL1P"] == source.header["CRVAL1P"]


def test_files_without_an_image_have_an_error_of_their_own(tmp_path):
    """So that event files can be told from damaged ones and from cubes."""
    fits.BinTableHDU.from_columns([fits.Column("x", "1D", array=[1.0])]).writeto(tmp_path / "events.fits")
    with pytest.raises(NoImage, match="holds no image"):
        read_image(tmp_path / "events.fits")
    fits.PrimaryHDU(np.zeros((2, 2, 2))).writeto(tmp_path / "cube.fits")
    with pytest.raises(InputError, match="holds no 2-D image") as caught:
        read_image(tmp_path / "cube.fits")
    assert not isinstance(caught.value, NoImage)
