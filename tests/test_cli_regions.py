"""``chandra-bin make-region-files``: byte for byte the original's files."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.cli import run
from files import INPUTS, listing, write_fits
from golden_data import read_cases, read_expected, read_region_files

CASES = read_cases("region")
PHYSICAL = {"CRPIX1P": 0.5, "CRVAL1P": 3900.5, "CDELT1P": 2.0, "CRPIX2P": 0.5, "CRVAL2P": 3950.5, "CDELT2P": 2.0}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", sorted(CASES))
def test_files_equal_the_originals(name, tmp_path, capsys):
    case = CASES[name]
    write_fits("map.fits", read_expected(name)["binmap"])
    words = [f"--minx={case['minx']}", f"--miny={case['miny']}", "-b", str(case["bin"]), "--outdir", "out/regions"]
    assert run(["make-region-files", "map.fits", *words]) == 0
    made = {path.name: path.read_text() for path in (tmp_path / "out/regions").iterdir()}
    assert made == read_region_files(name)
    assert capsys.readouterr().out.startswith(f"{case['files']} region files with ")


def test_the_grid_comes_from_the_header():
    assert run(["contbin", f"{INPUTS}/counts_96x80.fits.gz", "--sn=20", "--smoothsn=30", "--constrainfill"]) == 0
    assert run(["make-region-files", "contbin_binmap.fits", "-q"]) == 0
    for member, text in read_region_files("constrain3").items():
        assert Path(member).read_text() == text


@pytest.mark.parametrize(("words", "box"), [
    ([], "rotbox(3901.5,3951.5,2,2,0)"),
    (["--minx=0"], "rotbox(1,3951.5,2,2,0)"),
    (["--bin=1"], "rotbox(3901,3951,1,1,0)"),
    (["-x", "0.5", "-y", "-0.5", "-b", "4"], "rotbox(2.5,1.5,4,4,0)"),
])
def test_options_go_before_the_header(words, box):
    write_fits("map.fits", np.zeros((1, 1), "i4"), **PHYSICAL)
    assert run(["make-region-files", "map.fits", *words]) == 0
    assert Path("xaf_0.reg").read_text() == f"# Region file format: CIAO version 1.0\n{box}\n"


def test_without_physical_coordinates_the_originals_defaults(capsys):
    write_fits("map.fits", np.zeros((1, 1), "i4"))
    assert run(["make-region-files", "map.fits"]) == 0
    assert "rotbox(0.5,0.5,1,1,0)" in Path("xaf_0.reg").read_text()
    assert "note: the header has no physical coordinates" in capsys.readouterr().err


def test_files_are_replaced_and_higher_ones_are_told_of(capsys):
    write_fits("map.fits", np.arange(3, dtype="i4").reshape(1, 3))
    assert run(["make-region-files", "map.fits", "-q"]) == 0
    write_fits("map.fits", np.zeros((1, 3), "f4"))  # whole numbers as floats are taken
    assert run(["make-region-files", "map.fits", "-q"]) == 0
    assert capsys.readouterr().err == "warning: xaf_1.reg and others remain from an earlier run with more bins\n"
    assert "rotbox(1.5,0.5,3,1,0)" in Path("xaf_0.reg").read_text()


def test_a_gap_in_the_numbers_ends_the_files(tmp_path, capsys):
    write_fits("map.fits", np.array([[0, 1, 3]], "i2"))
    assert run(["make-region-files", "map.fits", "-q"]) == 0
    assert listing(tmp_path) == ["map.fits", "xaf_0.reg", "xaf_1.reg"]
    assert "no pixel is in bin 2" in capsys.readouterr().err


@pytest.mark.parametrize(("data", "keywords", "said"), [
    (np.full((2, 2), -1), {}, "no pixel is in bin 0"),
    (np.full((2, 2), 0.5), {}, "holds 0.5"),
    (np.full((2, 2), 2**40), {}, "which is out of range for bin numbers"),
    (np.zeros((2, 2, 2)), {}, "no 2-D image"),
    (np.zeros((2, 2), "i4"), {**PHYSICAL, "CDELT2P": 3.0}, "give --bin"),
])
def test_what_is_no_binmap(data, keywords, said, tmp_path, capsys):
    write_fits("map.fits", data, **keywords)
    assert run(["make-region-files", "map.fits", "-o", "d"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("chandra-bin make-region-files: error: map.fits: ")
    assert said in err
    assert err.count("\n") == 1
    assert listing(tmp_path) == ["map.fits"]


def test_header_of_the_binmap_is_left_alone():
    write_fits("map.fits", np.zeros((1, 1), "i4"), **PHYSICAL)
    before = Path("map.fits").read_bytes()
    assert run(["make-region-files", "map.fits"]) == 0
    assert Path("map.fits").read_bytes() == before
    assert fits.getheader("map.fits")["CRVAL1P"] == 3900.5


@pytest.mark.parametrize("words", ["-b nan", "-b 0", "-b -1", "-x inf", "-y nan"])
def test_a_grid_that_is_none(words, capsys):
    write_fits("map.fits", np.zeros((2, 2), "u1"))
    assert run(["make-region-files", "map.fits", "-o", "out", *words.split()]) == 1
    assert "invalid grid" in capsys.readouterr().err
    assert not Path("out").exists()
