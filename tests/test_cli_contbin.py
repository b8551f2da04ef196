"""``chandra-bin contbin``: the original's files, option by option."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import chandra_bin
from chandra_bin.cli import run
from files import INPUTS, golden_folder, listing, write_fits
from golden_data import read_cases, read_expected

CASES = read_cases("contbin")
FILES = {"binmap": "contbin_binmap.fits", "out": "contbin_out.fits", "sn": "contbin_sn.fits",
         "mask": "contbin_mask.fits"}
TYPES = {"binmap": ">i4", "out": ">f4", "sn": ">f4", "mask": ">i2"}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def at(folder, words):
    """Options with their files taken from a folder of inputs."""
    return [word.replace("=", f"={folder}/") + ".gz" if word.endswith(".fits") else word for word in words]


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_file_equals_the_originals(name):
    case, golden = CASES[name], golden_folder(name)
    words = at(golden / "inputs", case["args"])
    assert run(["contbin", *words, f"{golden}/inputs/{case['image']}.fits.gz", "--quiet"]) == 0

    expected = read_expected(name)
    tolerance = case.get("tolerance", 0)
    for key, file in FILES.items():
        made = fits.getdata(file, output_verify="ignore")
        assert made.dtype == TYPES[key]
        assert np.count_nonzero(made != expected[key]) <= tolerance * made.size, key
    if not tolerance:
        assert Path("bin_sn_stats.qdp").read_text() == str(expected["sn_qdp"])
        assert Path("bin_signal_stats.qdp").read_text() == str(expected["signal_qdp"])
    assert sorted(path.name for path in Path().iterdir()) == sorted(
        [*FILES.values(), "bin_sn_stats.qdp", "bin_signal_stats.qdp"])


IMAGE = f"{INPUTS}/counts_96x80.fits.gz"
SHORT = {"-s": "--sn", "-b": "--bg", "-m": "--mask", "-o": "--out", "-e": "--outsn", "-n": "--outbinmap"}


def test_short_options_separate_values_and_option_files_mean_the_same(tmp_path):
    """One run with long options, one with short ones, one with options from files: equal pixels in the named files."""
    words = {"--sn": "20", "--smoothsn": "30", "--mask": f"{INPUTS}/mask_96x80.fits.gz", "--constrainval": "2."}
    long = [f"{name}={value}" for name, value in words.items()]
    short = [part for name, value in words.items()
             for part in ({long: short for short, long in SHORT.items()}.get(name, name), value)]
    Path("more.txt").write_text("# the rest\n--constrainval 2.  # a limit\n")
    Path("options.txt").write_text(f"--sn=20 --smoothsn\n30\n--mask='{words['--mask']}'\n@more.txt")
    names = ["a_out.fits", "a_sn.fits", "a_map.fits"]
    pixels = []
    for arguments in (long, short, ["@options.txt"]):
        outputs = ["-o", names[0], "-e", names[1], "-n", names[2]]
        assert run(["contbin", IMAGE, *arguments, "--constrainfill", *outputs]) == 0
        pixels.append([fits.getdata(name).tobytes() for name in names])
        for name in names:
            Path(name).unlink()
    assert pixels[0] == pixels[1] == pixels[2]
    assert listing(tmp_path) == ["bin_signal_stats.qdp", "bin_sn_stats.qdp", "contbin_mask.fits", "more.txt",
                                 "options.txt"]


def test_existing_files_are_replaced_and_equal_runs_give_equal_bytes(tmp_path):
    contents = []
    for folder in ("a", "b"):
        assert run(["contbin", IMAGE, "--threads", "1" if folder == "a" else "2"]) == 0
        contents.append({path.name: path.read_bytes() for path in tmp_path.iterdir()})
    assert contents[0] == contents[1]
    assert len(contents[0]) == 6


def test_headers_hold_every_parameter_and_the_version(tmp_path):
    (tmp_path / "folder").mkdir()
    mask = write_fits("folder/mask.fits", np.ones((80, 96), "i2"))
    assert run(["contbin", IMAGE, f"--mask={mask}", "--sn=25", "--noscrub"]) == 0
    for name in FILES.values():
        header = fits.getheader(name)
        assert header["CRVAL1P"] == 3900.5
        assert header["CTYPE2"] == "DEC--TAN"
        history = list(header["HISTORY"])
        assert history[0] == f"chandra-bin {chandra_bin.__version__}: contbin"
        for line in ("  image = counts_96x80.fits.gz", "  mask = mask.fits", "  sn = 25.0", "  noscrub = yes",
                     "  automask = no", "  scrublarge = none", "  constrainval = 3"):
            assert any(line in got for got in history), line
        assert str(tmp_path) not in "".join(history)


def test_quiet_and_not(capsys):
    assert run(["contbin", IMAGE]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("113 bins, S/N ")
    assert out.count("\n") == 1
    assert not err
    assert run(["contbin", IMAGE, "-q"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("word", ["-V", "--version"])
def test_version(word, capsys):
    assert run(["contbin", word]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"chandra-bin {chandra_bin.__version__}"


def test_a_background_is_scaled_by_the_exposure_keywords():
    counts = np.full((20, 20), 9, "i4")
    background = np.full((20, 20), 20, "i4")
    write_fits("a.fits", counts, EXPOSURE=1e4)
    write_fits("b.fits", background, EXPOSURE=1e5)
    assert run(["contbin", "a.fits", "--bg=b.fits"]) == 0
    np.testing.assert_allclose(fits.getdata("contbin_out.fits"), 7, rtol=1e-6)


def test_small_exposures_are_masked_with_a_warning_when_all_are(tmp_path, capsys):
    write_fits("e.fits", np.full((80, 96), 0.5, "f4"))
    before = listing(tmp_path)
    assert run(["contbin", IMAGE, "--expmap=e.fits"]) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[0].startswith("warning: e.fits: all 7680 pixels have an exposure below 1")
    assert err[1].startswith(f"chandra-bin contbin: error: {IMAGE}: no pixel is left")
    assert len(err) == 2
    assert listing(tmp_path) == before

    exposure = np.full((80, 96), 0.5, "f4")
    exposure[:, 10:] = 1
    write_fits("e.fits", exposure)
    assert run(["contbin", IMAGE, "--expmap=e.fits", "-q"]) == 0
    assert not capsys.readouterr().err
    assert (fits.getdata("contbin_mask.fits") == (exposure >= 1)).all()


def test_unmasked_and_seed_only_pixels():
    counts = np.full((8, 8), 100, "i4")
    mask = np.ones((8, 8), "f4")
    mask[0], mask[1] = 0, 2
    write_fits("a.fits", counts)
    write_fits("m.fits", mask)
    assert run(["contbin", "a.fits", "--mask=m.fits", "--sn=20", "--noscrub"]) == 0
    binmap = fits.getdata("contbin_binmap.fits")
    assert (binmap[0] == -1).all()
    for x in range(8):  # a pixel of mask value 2 starts a bin, or stays out; it never joins one
        assert binmap[1, x] == -1 or np.argwhere(binmap == binmap[1, x])[0].tolist() == [1, x]
    assert fits.getdata("contbin_mask.fits").tolist() == mask.tolist()


BAD = {
    "missing file": (["none.fits"], "none.fits: no such file"),
    "missing background": ([IMAGE, "--bg=none.fits"], "none.fits: no such file"),
    "not FITS": (["text.txt"], "text.txt: is not a FITS file"),
    "shapes differ": ([IMAGE, f"--bg={INPUTS}/bg_128.fits.gz"], "128 x 128"),
    "sn zero": ([IMAGE, "--sn=0"], "sn is 0"),
    "sn negative": ([IMAGE, "--sn=-3"], "sn is -3"),
    "sn not a number": ([IMAGE, "--sn=nan"], "sn is nan"),
    "smoothsn negative": ([IMAGE, "--smoothsn=-1"], "-1"),
    "all NaN": (["nan.fits"], "nan.fits: no pixel is left"),
    "all masked": ([IMAGE, "--mask=zero.fits"], "no pixel is left"),
    "all zero": (["zero.fits"], "zero.fits: all 7680 used pixels are zero"),
    "infinite": (["inf.fits"], "inf.fits: has 1 infinite pixel; replace"),
    "exposure no number": (["words.fits"], "words.fits: the keyword EXPOSURE must be a number, got 'long'"),
    "no folder to write to": ([IMAGE, "--out=/proc/none/a.fits"], "/proc/none: cannot be written"),
    "full device": ([IMAGE, "--outsn=/dev/full"], "/dev/full: is not a regular file"),
    "output is input": (["words.fits", "--out=words.fits"], "words.fits: is an input and an output"),
    "two outputs in one": ([IMAGE, "--out=a.fits", "--outsn=a.fits"], "a.fits: two outputs"),
    "no option file": ([IMAGE, "@none.txt"], "none.txt: cannot be read: no such file"),
    "option file in itself": ([IMAGE, "@self.txt"], "self.txt: includes itself"),
    "quotation mark": ([IMAGE, "@quote.txt"], "quote.txt: is not a list of options"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_leaves_no_file(name, tmp_path, capsys):
    arguments, said = BAD[name]
    write_fits("nan.fits", np.full((9, 9), np.nan, "f4"))
    write_fits("inf.fits", np.array([[1, np.inf]], "f4"))
    write_fits("zero.fits", np.zeros((80, 96), "i2"))
    write_fits("words.fits", np.ones((9, 9), "i2"), EXPOSURE="long")
    Path("text.txt").write_text("no FITS file")
    Path("self.txt").write_text("--sn=3 @self.txt")
    Path("quote.txt").write_text("--sn='3")
    before = listing(tmp_path)
    assert run(["contbin", *arguments]) == 1
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1
    assert lines[0].startswith("chandra-bin contbin: error: ")
    assert said in lines[0]
    assert not out
    assert listing(tmp_path) == before


@pytest.mark.parametrize(("words", "said"), [
    ([], "Missing argument 'IMAGE'"),
    ([IMAGE, "--snn=3"], "--snn"),
    ([IMAGE, "--smooth=3"], "--smooth"),  # names are not abbreviated
    ([IMAGE, "--sn=many"], "'many' is not a valid float"),
    ([IMAGE, "--sn"], "'--sn' requires an argument"),
    ([IMAGE, "--automask=3"], "--automask"),
    ([IMAGE, IMAGE], "unexpected extra argument"),
    ([IMAGE, "--threads=0"], "0"),
])
def test_wrong_options_show_the_usage(words, said, tmp_path, capsys):
    assert run(["contbin", *words]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Usage: chandra-bin contbin [OPTIONS] IMAGE"
    assert lines[1].startswith("chandra-bin contbin: error: ")
    assert said in lines[1]
    assert len(lines) == 2
    assert listing(tmp_path) == []


def test_nan_negative_pixels_and_stuck_bins_are_warned_of(capsys):
    counts = np.full((9, 9), 5, "f4")
    counts[0, :3], counts[4, 4] = np.nan, -2
    write_fits("a.fits", counts)
    assert run(["contbin", "a.fits", "--sn=500", "-q"]) == 0
    warned = capsys.readouterr().err.splitlines()
    assert [line[:9] for line in warned] == ["warning: "] * 3
    assert "3 NaN pixels" in warned[0]
    assert "1 negative pixels" in warned[1]
    assert "the whole image has only S/N 18.6, and the target is 500" in warned[2]
    assert (fits.getdata("contbin_mask.fits") == np.isfinite(counts)).all()


def test_a_constraint_below_1_is_accepted_with_a_warning(capsys):
    assert run(["contbin", IMAGE, "--constrainfill", "--constrainval=0.5", "-q"]) == 0
    assert capsys.readouterr().err.startswith("warning: the constraint is 0.5")
    assert run(["contbin", IMAGE, "--constrainval=0.5", "-q"]) == 0
    assert not capsys.readouterr().err
