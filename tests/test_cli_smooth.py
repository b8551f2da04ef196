"""``chandra-bin smooth``: each method against the original's program."""

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.cli import run
from files import INPUTS, golden_folder, listing, write_fits
from golden_data import read_cases, read_expected

CASES = read_cases("smooth")
METHODS = {
    "accumulate_smooth": "tophat",
    "accumulate_smooth_expmap": "expmap",
    "accumulate_smooth_expcorr": "expcorr",
    "adaptive_gaussian_smooth": "gaussian",
    "exposure_smooth": "exposure",
    "accumulate_counts": "scale",
}
# Programs that sum in float32 (SPEC 9): relative difference, fraction of pixels that may stop at another scale.
LOOSE = {"adaptive_gauss": (1e-4, 1e-3), "exposure_smooth": (1e-4, 1e-3), "accounts_apply_gauss": (1e-4, 1e-3)}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def command_of(name):
    """The words of a case for our command."""
    case, folder = CASES[name], golden_folder(name) / "inputs"
    words = []
    for word in case["args"]:
        if word == "accounts_scale":
            words.append(write_fits("scale.fits", read_expected("accounts_scale")["scale"]))
        elif word.endswith(".fits"):
            words.append(word.replace("=", f"={folder}/") + ".gz" if "=" in word else f"{folder}/{word}.gz")
        elif word != "--apply":
            words.append(word)
    return ["apply" if "--apply" in case["args"] else METHODS[case["program"]], *words]


@pytest.mark.parametrize("name", sorted(CASES))
def test_each_method_gives_the_originals_pixels(name):
    assert run(["smooth", *command_of(name), "--out", "made.fits", "--quiet"]) == 0
    made = fits.getdata("made.fits", output_verify="ignore")
    (key,) = CASES[name]["outputs"]
    expected = read_expected(name)[key]
    assert made.dtype == expected.dtype.newbyteorder(">")
    tolerance, fraction = LOOSE.get(name, (0, 0))
    far = ~np.isclose(made, expected, rtol=tolerance, atol=0, equal_nan=True)
    assert np.count_nonzero(far) <= fraction * made.size


@pytest.mark.parametrize(("words", "default"), [
    (["tophat", "counts_96x80"], "acsmooth.fits"),
    (["expmap", "expcorr_128", "expmap_128"], "acsmooth.fits"),
    (["expcorr", "src_exp_128", "expcorr_128"], "acsmooth.fits"),
    (["gaussian", "expcorr_128", "expmap_128"], "ags.fits"),
    (["exposure", "counts_96x80"], "expsmooth.fits"),
    (["scale", "counts_96x80"], "acscale.fits"),
])
def test_default_output_is_the_originals_and_is_replaced(words, default, tmp_path, capsys):
    method, *images = words
    for _ in range(2):
        assert run(["smooth", method, *(f"{INPUTS}/{image}.fits.gz" for image in images)]) == 0
    assert listing(tmp_path) == [default]
    assert default in capsys.readouterr().out
    assert fits.getheader(default)["HISTORY"][0].endswith(f"smooth {method}")


def test_apply_reads_the_default_scale_image(tmp_path):
    image = f"{INPUTS}/counts_96x80.fits.gz"
    assert run(["smooth", "scale", image, "-s", "20"]) == 0
    assert run(["smooth", "apply", image, "-q"]) == 0
    assert listing(tmp_path) == ["acscale.fits", "applied.fits"]


def test_radius_ends_the_search():
    image = f"{INPUTS}/counts_96x80.fits.gz"
    assert run(["smooth", "exposure", image, "--maxrad=2", "-o", "small.fits"]) == 0
    assert run(["smooth", "exposure", image, "-o", "full.fits"]) == 0
    assert (fits.getdata("small.fits") != fits.getdata("full.fits")).any()


def test_threads_change_nothing(tmp_path):
    for threads in ("1", "2"):
        assert run(["smooth", "tophat", f"{INPUTS}/src_128.fits.gz", "-t", threads, "-o", f"{threads}.fits"]) == 0
    assert (tmp_path / "1.fits").read_bytes() == (tmp_path / "2.fits").read_bytes()


@pytest.mark.parametrize(("words", "said"), [
    (["tophat", "none.fits"], "none.fits: no such file"),
    (["tophat", "IMAGE", "--sn=0"], "sn is 0"),
    (["tophat", "IMAGE", "--bg", "OTHER"], "128 x 128"),
    (["apply", "IMAGE", "--scale", "OTHER"], "128 x 128"),
    (["apply", "IMAGE", "--scale", "FLOATS"], "float32"),
    (["scale", "NEGATIVE"], "negative"),
    (["exposure", "IMAGE", "-e", "none.fits"], "none.fits"),
])
def test_bad_input_is_one_line_and_no_file(words, said, tmp_path, capsys):
    names = {"IMAGE": f"{INPUTS}/counts_96x80.fits.gz", "OTHER": f"{INPUTS}/bg_128.fits.gz",
             "FLOATS": f"{INPUTS}/smooth_96x80.fits.gz",
             "NEGATIVE": write_fits(tmp_path / "minus.fits", -np.ones((9, 9)))}
    before = listing(tmp_path)
    assert run(["smooth", *(names.get(word, word) for word in words)]) == 1
    out, err = capsys.readouterr()
    assert said in err
    assert err.startswith(f"chandra-bin smooth {words[0]}: error: ")
    assert err.count("\n") == 1
    assert not out
    assert listing(tmp_path) == before


@pytest.mark.parametrize("words", [["blur", "x.fits"], ["tophat"], ["tophat", "x.fits", "--gaussian"],
                                   ["gaussian", "x.fits"], ["tophat", "x.fits", "--sn=many"]])
def test_nonsense_shows_the_usage(words, tmp_path, capsys):
    assert run(["smooth", *words]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Usage: chandra-bin smooth")
    assert "error: " in err
    assert listing(tmp_path) == []


def test_a_mask_of_another_shape_is_named_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, shape in (("img.fits", (9, 9)), ("mask.fits", (3, 3))):
        fits.writeto(name, np.ones(shape, np.int32))
    for words in (["tophat", "img.fits"], ["expmap", "img.fits", "img.fits"], ["exposure", "img.fits"]):
        assert run(["smooth", *words, "--mask", "mask.fits", "-q"]) == 1
        assert "error: mask.fits: the mask has 3 x 3 pixels, the image img.fits has" in capsys.readouterr().err
