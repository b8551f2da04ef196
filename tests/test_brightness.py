"""``chandra-bin responses --brightness``: exposures of bins that an observation sees only in part."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from chandra_bin.cli import run
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError
from chandra_bin.spectral.ogip import read_arf
from chandra_bin.spectral.response_files import arf_content
from chandra_bin.spectral.weights import ResponseWeights
from chandra_bin.tasks._bin_pixels import read_bin_pixels
from chandra_bin.tasks.brightness import pixel_weights, write_brightness
from chandra_bin.tasks.image_files import ImageFiles
from chandra_bin.tasks.responses import write_responses
from chandra_bin.tasks.truth import compare_with_truth
from cluster_truth import true_brightness
from test_cli_fit import EVENTS, cluster, error_of, here, write_binmap  # noqa: F401 - fixtures

SPECTRA = ["spectra", EVENTS[0], "--background", "sim/90001/blanksky/acisf90001_ccd7_blanksky.fits", "-q"]
RESPONSES = ["responses", EVENTS[0], "--tiles", "sim/truth/tiles.ecsv"]


@pytest.fixture
def wide(here, tmp_path):  # noqa: F811
    """3 x 3 wide bins, all but the middle one partly off chip 7, and the true brightness on their pixels."""
    write_binmap(tmp_path / "wide.fits", EVENTS[0].partition("[")[0], side=3, pixels=60)
    header = fits.getheader(tmp_path / "wide.fits")
    true = true_brightness(ImageCoords(header), (180, 180), here / "sim")
    fits.writeto(tmp_path / "bright.fits", true.astype(np.float32), header)
    return tmp_path


def responses_of(folder, *words):
    """Run ``responses`` on the wide bins; return what it wrote."""
    assert run([*RESPONSES, str(folder / "wide.fits"), "-o", str(folder / "responses.fits"), "--clobber", *words]) == 0
    return ResponseWeights.read(folder / "responses.fits")


def seconds_of(weights, bins=9):
    """The seconds of all tiles of each bin."""
    return np.bincount(weights.bin, weights.seconds, bins)


def pulls_of_norms(folder):
    """Fit the wide bins; return norm less true norm over its error."""
    run(["fit", str(folder / "spectra"), "--responses", str(folder / "responses.fits"), "--model", "brems", "-q",
         "--redshift", "0.1", "--nh", "0.05", "-o", str(folder / "fit.ecsv"), "--clobber"])
    compare_with_truth(folder / "wide.fits", folder / "fit.ecsv", Path("sim/truth"), folder / "out", clobber=True)
    table = Table.read(folder / "out/truth.ecsv")
    low, high = (np.asarray(table[f"norm_{side}"]) for side in ("low", "high"))
    apart = np.asarray(table["norm"] - table["true_norm"])
    return apart / np.where(apart > 0, low, high)


@pytest.mark.usefixtures("without_pictures")
def test_norms_of_bins_seen_in_part_are_those_of_the_whole_bin(wide):
    """Half of bin 3 and a quarter of bin 7 are seen, with their brightest pixels; both hold no bright source."""
    assert run([*SPECTRA, str(wide / "wide.fits"), "-o", str(wide / "spectra")]) == 0
    steep = [3, 7]
    responses_of(wide, "-q")
    assert pulls_of_norms(wide)[steep].min() > 20
    responses_of(wide, "-q", "--brightness", str(wide / "bright.fits"))
    assert np.abs(pulls_of_norms(wide)[steep]).max() < 3


def test_seconds_are_means_weighed_by_brightness(wide, capsys):
    by_area = responses_of(wide)
    warning = capsys.readouterr().err
    assert "8 bins are seen only in part by an observation (less than 90% of the area; the first is 0)" in warning
    even = responses_of(wide, "--brightness", str(_changed(wide, lambda pixels: 0 * pixels + 3)))
    np.testing.assert_allclose(even.seconds, by_area.seconds, rtol=1e-6)
    # Brightness in one pixel of bin 4, which is seen, and of bin 0, which is not.
    one = responses_of(wide, "--brightness", str(_changed(wide, _in_two_pixels)))
    assert "seen only in part" not in capsys.readouterr().err
    assert 0 not in one.bin
    assert seconds_of(by_area)[0] > 0
    assert seconds_of(one)[4] == pytest.approx(seconds_of(by_area)[4], rel=0.05)
    assert fits.getheader(wide / "responses.fits", "BINS")["PIXWT"] == "BRIGHTNESS"
    assert by_area.ids["PIXWT"] == "AREA"
    assert "brightness = changed.fits" in str(fits.getheader(wide / "responses.fits", "BINS")["HISTORY"])


def _in_two_pixels(pixels):
    made = np.ones_like(pixels)
    for place in ((90, 90), (2, 2)):
        rows, columns = (slice(60 * (at // 60), 60 * (at // 60) + 60) for at in place)
        made[rows, columns] = 0
        made[place] = 1
    return made


def _changed(folder, change):
    """The brightness image after a change of its pixels."""
    with fits.open(folder / "bright.fits") as hdus:
        fits.writeto(folder / "changed.fits", change(hdus[0].data), hdus[0].header, overwrite=True)
    return folder / "changed.fits"


def test_shares_of_tiles_by_counts_stay(wide):
    by_area, bright = (responses_of(wide, "-q", *words) for words in ([], ["--brightness", str(wide / "bright.fits")]))
    np.testing.assert_array_equal(by_area.bin, bright.bin)
    np.testing.assert_array_equal(by_area.counts, bright.counts)
    shares = [each.seconds / seconds_of(each)[each.bin] for each in (by_area, bright)]
    np.testing.assert_allclose(*shares, rtol=1e-6)
    assert (seconds_of(bright) > seconds_of(by_area)).all()
    np.testing.assert_array_equal(list(by_area.areas_arcsec2.values()), list(bright.areas_arcsec2.values()))


def test_chips_of_unequal_live_time_see_bins_whole(here, tmp_path):  # noqa: F811
    """Chip 7, which sees all bins but those at an edge, has 0.86 of the live time of its neighbour."""
    shutil.copytree(here / "sim/90001", tmp_path / "90001")
    packed = next((tmp_path / "90001").rglob("*evt2.fits.gz"))
    name = packed.with_suffix("")
    with fits.open(packed) as hdus:
        header = hdus["EVENTS"].header
        for chip, live in ((6, 0.98), (7, 0.84)):
            header[f"ONTIME{chip}"], header[f"LIVTIME{chip}"] = 1.0, live
        hdus.writeto(name)
    packed.unlink()
    with pytest.warns(match="4 bins are seen only in part"):
        made = write_responses(f"{name}[ccd_id=6:7]", Path("binmap.fits"), Path("sim/truth/tiles.ecsv"),
                               tmp_path / "responses.fits")
    assert made[0].partly == (20, 21, 22, 23)


@pytest.fixture
def of_each_bin(wide):
    """Words of ``responses`` that read an ARF and an RMF of each wide bin."""
    middle = next(tile for tile in Table.read("sim/truth/tiles.ecsv") if (tile["obsid"], tile["ccd_id"]) == (90001, 7))
    for number in range(9):
        for kind in ("arf", "rmf"):
            (wide / f"xaf_{number}.{kind}").symlink_to(Path("sim/truth", middle[kind]).resolve())
    return ["responses", EVENTS[0], str(wide / "wide.fits"), "--per-bin", str(wide / "xaf_{bin}")]


def test_files_of_each_bin_have_the_same_exposures(of_each_bin, wide):
    """ARFs weighed by events hold e, and the formula leaves the part of the light that is not seen."""
    bright = ["--brightness", str(wide / "bright.fits")]
    assert run([*of_each_bin, "-q", *bright, "-o", str(wide / "each.fits")]) == 0
    each = ResponseWeights.read(wide / "each.fits")
    assert each.ids["PIXWT"] == "BRIGHTNESS"
    ours, by_tiles = seconds_of(each), seconds_of(responses_of(wide, "-q", *bright))
    np.testing.assert_allclose(ours / ours.max(), by_tiles / by_tiles.max(), atol=0.04)


def weights_of(folder, pixels):
    """The weights of the pixels of nine bins of 2 x 2, (9, 4), of the brightness of each."""
    write_binmap(folder / "small.fits", EVENTS[0].partition("[")[0], side=3, pixels=2)
    image = np.asarray(pixels, np.float64).reshape(3, 3, 2, 2).swapaxes(1, 2).reshape(6, 6)
    fits.writeto(folder / "pixels.fits", image, fits.getheader(folder / "small.fits"))
    bins = read_bin_pixels(folder / "small.fits", None, (), ())
    made = pixel_weights(folder / "pixels.fits", bins)
    return made.reshape(3, 2, 3, 2).swapaxes(1, 2).reshape(9, 4)


def _of_two_halves(columns, pixels):
    """Brightness in which some columns of bin 3 are negative."""
    made = np.ones_like(pixels)
    made[60:120, :60] = 2
    made[60:120, columns] = -0.8
    return made


def test_bins_of_tiles_that_are_negative_where_they_are_seen_are_warned_of(wide, capsys):
    found = []
    for columns in (slice(0, 30), slice(30, 60)):
        brightness = _changed(wide, partial(_of_two_halves, columns))
        bins = responses_of(wide, "--brightness", str(brightness)).bin
        warned = "1 bin has a negative brightness where ObsID 90001 sees it" in capsys.readouterr().err
        found.append((3 in bins, warned))
    assert sorted(found) == [(False, True), (True, False)]


@pytest.mark.parametrize("columns", [slice(0, 30), slice(30, 60)], ids=["left", "right"])
@pytest.mark.parametrize("fraction", [0.9, 1.0])
def test_the_area_gives_the_exposure_where_negative_pixels_give_none(of_each_bin, wide, capsys, columns, fraction):
    """Half of bin 3 is seen, with most of its negative pixels, or with few of them: more than the whole light."""
    change = partial(_of_two_halves, columns)
    for path in wide.glob("xaf_*.arf"):
        content = arf_content(replace(read_arf(path), fraction=fraction))
        path.unlink()
        path.write_bytes(content)
    assert run([*of_each_bin, "-q", "-o", str(wide / "area.fits")]) == 0
    capsys.readouterr()
    assert run([*of_each_bin, "-o", str(wide / "light.fits"), "--brightness", str(_changed(wide, change))]) == 0
    warning = capsys.readouterr().err
    assert "1 bin has so much negative brightness that no exposure follows from it" in warning
    by_area, by_light = (seconds_of(ResponseWeights.read(wide / name)) for name in ("area.fits", "light.fits"))
    np.testing.assert_allclose(by_light, by_area, rtol=1e-5)


@pytest.mark.usefixtures("here")
def test_missing_and_negative_pixels(tmp_path):
    pixels = np.ones((9, 4))
    pixels[0] = [1, 2, 3, np.nan]
    pixels[1] = [-1, 1, 2, 2]
    pixels[2] = np.nan
    pixels[3] = [-2, 1, 1, 1]
    with pytest.warns(match="5 pixels of bins have no value"), \
            pytest.warns(match="2 bins have no significant brightness: .*; the first is 2"):
        made = weights_of(tmp_path, pixels / 10)
    np.testing.assert_allclose(made[0], [0.5, 1, 1.5, 1])
    np.testing.assert_allclose(made[1], [-1, 1, 2, 2])
    np.testing.assert_array_equal(made[2:], 1)


@pytest.mark.parametrize(("change", "message"), [
    (lambda pixels: np.where(pixels == pixels.max(), np.inf, pixels), "has 1 infinite pixel"),
    (lambda pixels: -pixels - 1, "no pixel of the brightness is above 0 (largest value: -1)"),
    (lambda pixels: pixels * np.nan, "changed.fits: all pixels of the brightness are NaN"),
    (lambda pixels: np.ones(pixels.shape, np.int16), "holds whole numbers, as counts images do"),
    (lambda pixels: pixels[1:], "the brightness has 180 x 179 pixels, the image"),
], ids=["infinite", "negative", "NaN", "counts", "size"])
def test_images_that_are_refused(wide, capsys, change, message):
    words = [*RESPONSES[1:], str(wide / "wide.fits"), "-o", str(wide / "no.fits"), "--brightness"]
    assert message in error_of(capsys, "responses", *words, str(_changed(wide, change)))
    assert not (wide / "no.fits").exists()


@pytest.mark.parametrize(("header", "named"), [
    ({"BUNIT": "cm**2 s", "CONTENT": "EXPMAP"}, "BUNIT cm**2 s"), ({"BUNIT": "s"}, "BUNIT s"),
    ({"CONTENT": "EXPMAP"}, "CONTENT")])
def test_an_exposure_map_is_no_brightness(wide, capsys, header, named):
    with fits.open(wide / "bright.fits", mode="update") as hdus:
        hdus[0].header.update(header)
    words = [*RESPONSES[1:], str(wide / "wide.fits"), "-o", str(wide / "no.fits")]
    assert f"bright.fits: is an exposure map ({named}), and must be a brightness: give contbin_smoothed" in error_of(
        capsys, "responses", *words, "--brightness", str(wide / "bright.fits"))


@pytest.mark.parametrize(("keyword", "by", "apart"), [
    ("CRVAL1P", 8, "8 physical pixels"), ("CRVAL2", 1, "3600 arcsec")])
def test_an_image_on_another_grid_is_refused(wide, capsys, keyword, by, apart):
    with fits.open(wide / "bright.fits", mode="update") as hdus:
        hdus[0].header[keyword] += by
    words = [*RESPONSES[1:], str(wide / "wide.fits"), "-o", str(wide / "no.fits")]
    said = error_of(capsys, "responses", *words, "--brightness", str(wide / "bright.fits"))
    assert "the brightness is on another grid than" in said
    assert f"its pixels lie up to {apart} from those" in said


def test_counts_as_floats_are_warned_of(wide, capsys):
    with fits.open(wide / "bright.fits", mode="update") as hdus:
        hdus[0].data = np.random.default_rng(1).poisson(3, hdus[0].data.shape).astype(np.float32)
    responses_of(wide, "--brightness", str(wide / "bright.fits"))
    assert "bright.fits: holds whole numbers only: if these are counts, their noise" in capsys.readouterr().err


def test_smoothed_counts_are_warned_of(wide, capsys):
    with fits.open(wide / "bright.fits", mode="update") as hdus:
        hdus[0].header["CONTOURS"] = "counts"
    responses_of(wide, "--brightness", str(wide / "bright.fits"))
    assert "counts that are not corrected for exposure (CONTOURS)" in capsys.readouterr().err


def test_tiles_of_negative_brightness_are_left_out_and_the_sum_stays(wide):
    """Half of the pixels of bin 4 are negative, and so are the seconds of tiles there."""
    def change(pixels):
        made = np.ones_like(pixels)
        made[60:120, 60:90] = -0.4
        return made

    words = ["-q", "--weights", "exposure"]
    even, uneven = responses_of(wide, *words), responses_of(wide, *words, "--brightness", str(_changed(wide, change)))
    assert (uneven.seconds > 0).all()
    assert np.count_nonzero(uneven.bin == 4) < np.count_nonzero(even.bin == 4)
    assert seconds_of(uneven)[4] == pytest.approx(seconds_of(even)[4], rel=0.05)


def write_images(folder):
    """Half of the exposure in half of the image, and a background of one count a pixel at a scale of 2."""
    exposure = np.full((64, 64), 1e8)
    exposure[:, :32] = 5e7
    exposure[:, 0] = 0
    images = {"counts": np.random.default_rng(5).poisson(exposure * 2e-7) + 2, "exposure": exposure,
              "background": np.ones((64, 64)), "scale": np.full((64, 64), 2.0)}
    for name, pixels in images.items():
        fits.writeto(folder / f"{name}.fits", pixels)
    return exposure, ImageFiles(background=folder / "background.fits", background_scale=folder / "scale.fits",
                                expmap=folder / "exposure.fits")


def test_the_brightness_is_net_counts_over_exposure(tmp_path):
    exposure, files = write_images(tmp_path)
    write_brightness(tmp_path / "counts.fits", files, tmp_path / "out.fits")
    made = fits.getdata(tmp_path / "out.fits")
    assert np.isnan(made[:, 0]).all()
    expected = 2e-7 * exposure[:, 1:].mean()
    assert made[:, 1:32].mean() == pytest.approx(expected, rel=0.02)
    assert made[:, 32:].mean() == pytest.approx(expected, rel=0.02)
    with pytest.raises(InputError, match="a brightness needs the exposure map"):
        write_brightness(tmp_path / "counts.fits", ImageFiles(), tmp_path / "no.fits")


@pytest.mark.usefixtures("without_pictures")
def test_the_command_of_the_warning_makes_the_same_image(tmp_path):
    _, files = write_images(tmp_path)
    write_brightness(tmp_path / "counts.fits", files, tmp_path / "out.fits")
    assert run(["bin", str(tmp_path / "counts.fits"), "-o", str(tmp_path / "bright"), "--smooth-sn", "10", "-q",
                "--expmap", str(files.expmap), "--background", str(files.background), "--background-scale",
                str(files.background_scale)]) == 0
    np.testing.assert_array_equal(*(fits.getdata(tmp_path / name)
                                    for name in ("out.fits", "bright/contbin_smoothed.fits")))
