"""``chandra-bin paint``: results of fits and tables as images."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import MaskedColumn, QTable

from chandra_bin.cli import run
from chandra_bin.errors import InputError
from chandra_bin.tasks.paint import paint_table
from files import listing, write_fits

MAP = np.array([[0, 0, 1], [-1, 2, 1]], "i4")


@pytest.fixture(autouse=True)
def _in_a_folder_with_a_binmap(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_fits("binmap.fits", MAP, CRVAL1P=3900.5)


def write_fits_results(folder="."):
    Path(folder).mkdir(exist_ok=True)
    Path(folder, "region_list.txt").write_text("xaf_0 centre\n# a comment\n\nxaf_1 middle\nxaf_2 rim\n")
    Path(folder, "xaf_0_fit_out.txt").write_text("kT 3.5\nZ 0.4\n")
    Path(folder, "xaf_1_fit_out.txt").write_text("# fitted\nkT nan\nZ 0.5\nnorm 1e-4\n")
    Path(folder, "xaf_2_fit_out.txt").write_text("kT 5\n")


def values(of_0, of_1, of_2):
    nan = np.nan
    return [[of_0, of_0, of_1], [nan, of_2, of_1]]


@pytest.mark.parametrize(("words", "folder"), [([], "."), (["-i", "in", "-l", "in/region_list.txt"], "in"),
                                               (["--input_dir=in"], "in")])
def test_each_parameter_becomes_an_image(words, folder, capsys):
    write_fits_results(folder)
    assert run(["paint", *words, "-o", "out"]) == 0
    assert listing("out") == ["Z_out.fits", "kT_out.fits", "norm_out.fits"]
    np.testing.assert_array_equal(fits.getdata("out/kT_out.fits"), values(3.5, np.nan, 5))
    np.testing.assert_array_equal(fits.getdata("out/Z_out.fits"), values(0.4, 0.5, np.nan))
    np.testing.assert_array_equal(fits.getdata("out/norm_out.fits"), values(np.nan, 1e-4, np.nan))
    header = fits.getheader("out/kT_out.fits")
    assert header["BITPIX"] == -64
    assert header["CRVAL1P"] == 3900.5
    assert "  parameter = kT" in list(header["HISTORY"])
    assert capsys.readouterr().out == "3 images in out/: kT_out.fits, Z_out.fits, norm_out.fits\n"


def test_suffix_gzip_and_names():
    write_fits_results()
    Path("binmap.fits").rename("other.fits")
    assert run(["paint", "-n", "other.fits", "-s", "_map.fits", "--gzip", "-o", "out"]) == 0
    assert listing("out") == ["Z_map.fits.gz", "kT_map.fits.gz", "norm_map.fits.gz"]
    np.testing.assert_array_equal(fits.getdata("out/kT_map.fits.gz"), values(3.5, np.nan, 5))
    assert gzip.decompress(Path("out/kT_map.fits.gz").read_bytes()).startswith(b"SIMPLE")
    first = Path("out/kT_map.fits.gz").read_bytes()
    assert run(["paint", "-n", "other.fits", "-s", "_map.fits", "--gzip", "-o", "out", "--clobber"]) == 0
    assert Path("out/kT_map.fits.gz").read_bytes() == first


def test_missing_results_are_told_of(capsys):
    write_fits_results()
    Path("xaf_1_fit_out.txt").unlink()
    assert run(["paint", "-o", "out", "-q"]) == 0
    assert capsys.readouterr().err == "warning: xaf_1_fit_out.txt: no such file; 1 of 3 bins stays without values\n"
    np.testing.assert_array_equal(fits.getdata("out/kT_out.fits"), values(3.5, np.nan, 5))


@pytest.mark.parametrize("name", ["t.csv", "t.ecsv", "t.fits"])
def test_each_numeric_column_of_a_table_becomes_an_image(name, capsys):
    table = QTable({"bin": [2, 0, 1], "kT": [5.0, 3.5, 4.0] * u.keV, "npix": [1, 2, 2], "name": ["a", "b", "c"],
                    "Z/Zsun": MaskedColumn([0.1, 0.2, 0.3], mask=[False, True, False])})
    table.write(name)
    assert run(["paint", "--table", name, "-o", "out"]) == 0
    assert sorted(Path("out").iterdir()) == [Path("out/Z_Zsun_out.fits"), Path("out/kT_out.fits"),
                                            Path("out/npix_out.fits")]
    np.testing.assert_array_equal(fits.getdata("out/kT_out.fits"), values(3.5, 4, 5))
    np.testing.assert_array_equal(fits.getdata("out/npix_out.fits"), values(2, 2, 1))
    np.testing.assert_array_equal(fits.getdata("out/Z_Zsun_out.fits"), values(np.nan, 0.3, 0.1))
    assert fits.getheader("out/kT_out.fits").get("BUNIT") == (None if name == "t.csv" else "keV")
    assert not capsys.readouterr().err


@pytest.mark.parametrize("name", ["t.csv", "t.fits"])
def test_a_column_with_a_word_among_numbers_is_named_with_its_row(name, capsys):
    QTable({"bin": [0, 1, 2], "Z": [1.0, 2, 3], "kT": ["2", "hot", "3"], "name": ["a", "b", "c"]}).write(name)
    assert run(["paint", "--table", name, "-o", "out", "-q"]) == 0
    assert capsys.readouterr().err == (
        f"warning: {name}: the column kT is not painted: row 2 holds 'hot', which is not a number\n")
    assert listing("out") == ["Z_out.fits"]


def test_null_values_and_truths_of_a_fits_table_are_painted():
    fits.BinTableHDU.from_columns([
        fits.Column("bin", "I", array=[0, 1, 2]), fits.Column("n", "J", null=-9, array=[4, -9, 6]),
        fits.Column("good", "L", array=[True, False, True]), fits.Column("pair", "2E", array=np.ones((3, 2))),
    ]).writeto("t.fits")
    assert run(["paint", "--table", "t.fits", "-o", "out", "-q"]) == 0
    assert listing("out") == ["good_out.fits", "n_out.fits"]
    np.testing.assert_array_equal(fits.getdata("out/n_out.fits"), values(4, np.nan, 6))
    np.testing.assert_array_equal(fits.getdata("out/good_out.fits"), values(1, 0, 1))


def test_existing_images_are_refused_without_clobber(capsys):
    write_fits_results()
    assert run(["paint"]) == 0
    before = {name: Path(name).read_bytes() for name in listing(".")}
    assert run(["paint"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert {name: Path(name).read_bytes() for name in listing(".")} == before
    assert run(["paint", "--clobber"]) == 0


def test_bins_without_a_row_are_warned_of(capsys):
    Path("t.csv").write_text("bin,kT\n0,1\n2,9\n")
    assert run(["paint", "--table", "t.csv", "-o", "out", "-q"]) == 0
    assert "warning: t.csv: lacks 1 of 3 bins of binmap.fits, the first is 1: " in capsys.readouterr().err
    np.testing.assert_array_equal(fits.getdata("out/kT_out.fits"), values(1, np.nan, 9))


def test_columns_are_chosen():
    QTable({"bin": [0, 1, 2], "kT": [1.0, 2, 3], "Z": [4.0, 5, 6], "norm": [7.0, 8, 9]}).write("t.ecsv")
    assert run(["paint", "--table", "t.ecsv", "--columns", "norm, kT", "-o", "out", "-q"]) == 0
    assert listing("out") == ["kT_out.fits", "norm_out.fits"]
    np.testing.assert_array_equal(fits.getdata("out/norm_out.fits"), values(7, 8, 9))


def test_an_empty_choice_of_columns_is_refused():
    Path("t.csv").write_text("bin,kT\n0,1\n1,2\n2,9\n")
    with pytest.raises(InputError, match=r"t\.csv: no column is chosen"):
        paint_table(Path("binmap.fits"), Path("t.csv"), columns=[])


def test_a_table_of_another_binmap_is_refused(capsys):
    """By its checksum: the numbers of the bins are the same."""
    counts = np.random.default_rng(1).poisson(9, (20, 20))
    write_fits("img.fits", counts)
    assert run(["bin", "img.fits", "--sn", "15", "-o", "bins", "-q"]) == 0
    labels = fits.getdata("bins/contbin_binmap.fits")
    write_fits("turned.fits", np.ascontiguousarray(labels.T))
    words = ["paint", "--table", "bins/bins.ecsv", "--columns", "counts"]
    assert run([*words, "-n", "turned.fits", "-o", "out"]) == 2
    assert "bins.ecsv: was made from another binmap than turned.fits: give" in capsys.readouterr().err
    assert not Path("out").exists()
    assert run([*words, "-n", "bins/contbin_binmap.fits", "-o", "out", "-q"]) == 0
    sums = np.bincount(labels.ravel(), counts.ravel())
    np.testing.assert_array_equal(fits.getdata("out/counts_out.fits"), sums[labels])


BAD = {
    "no binmap": (["-n", "none.fits", "--table", "strange.csv"], "none.fits: no such file"),
    "no list": (["-l", "none.txt"], "none.txt: cannot be read: no such file"),
    "no results": (["-l", "alone.txt"], "holds no results of 1 region ("),
    "no number": (["-l", "nameless.txt"], "nameless.txt: line 1: 'centre' holds no bin number"),
    "no value": (["-l", "short.txt"], "xaf_5_fit_out.txt: line 2: 'kT' has no value"),
    "not a number": (["-l", "words.txt"], "xaf_6_fit_out.txt: line 1: 'hot' is not a number"),
    "binary list": (["-l", "binmap.gz"], "binmap.gz: cannot be read: is not a text file"),
    "no table": (["--table", "none.csv"], "none.csv: no such file"),
    "no column bin": (["--table", "nobin.csv"], "nobin.csv: has no column named bin, only a, b"),
    "bins are not numbers": (["--table", "float.csv"], "float.csv: the column bin must hold whole numbers"),
    "one bin twice": (["--table", "twice.csv"], "twice.csv: bin 1 has more than one row"),
    "column of another name": (["--table", "bins.csv"], "only bins, kT; if bins is meant, rename it to bin"),
    "no numbers": (["--table", "text.csv"], "text.csv: has no column of numbers"),
    "not FITS": (["--table", "text.fits"], "text.fits: is not a FITS file (it begins with b'hello"),
    "no table in it": (["--table", "binmap.fits"], "binmap.fits: holds no table"),
    "strange format": (["--table", "a.xlsx"], "a.xlsx: unknown table format"),
    "bins of another map": (["--table", "strange.csv"], "strange.csv: has bin 77, but binmap.fits has 0 - 2: give the"),
    "regions of another map": (["-l", "other.txt"], "other.txt: has bin 7, but binmap.fits has 0 - 2: give the binmap"),
    "unknown column": (["--table", "twins.csv", "--columns", "a,kt"],
                       "twins.csv: has no column kt, only bin, a, kT, word; do you mean kT?"),
    "column of words": (["--table", "twins.csv", "--columns", "word"], "twins.csv: the column word holds no numbers"),
    "no column chosen": (["--table", "twins.csv", "--columns", ""], "twins.csv: '' holds an empty name: give names of"),
    "empty column": (["--table", "twins.csv", "--columns", "a,,kT"], "'a', '', 'kT' holds an empty name"),
    "column bin": (["--table", "twins.csv", "--columns", "bin"], "the column bin holds the numbers of the bins"),
    "columns without a table": (["--columns", "a"], "--columns chooses those of --table: give both"),
    "list and table": (["--table", "twice.csv", "-l", "alone.txt"], "exclude each other"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_no_file(name, capsys):
    words, said = BAD[name]
    files = {"alone.txt": "xaf_9 x", "nameless.txt": "centre", "short.txt": "xaf_5", "words.txt": "xaf_6",
             "xaf_5_fit_out.txt": "Z 1\nkT", "xaf_6_fit_out.txt": "kT hot", "nobin.csv": "a,b\n1,2",
             "bins.csv": "bins,kT\n1,2",
             "float.csv": "bin,a\n1.5,2", "twice.csv": "bin,a\n1,2\n1,3", "text.csv": "bin,a\n1,b",
             "text.fits": "hello", "strange.csv": "bin,a\n77,1",
             "twins.csv": "bin,a,kT,word\n0,1,2,x", "other.txt": "xaf_7 x", "xaf_7_fit_out.txt": "kT 1"}
    for file, text in files.items():
        Path(file).write_text(text + "\n")
    Path("binmap.gz").write_bytes(gzip.compress(b"x"))
    before = listing(".")
    assert run(["paint", *words, "-o", "out"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("chandra-bin paint: error: ")
    assert said in err
    assert err.count("\n") == 1
    assert listing(".") == before


def test_a_suffix_cannot_leave_the_folder(capsys):
    write_fits_results()
    before = listing(".")
    assert run(["paint", "-n", "binmap.fits", "-o", "out", "-s", "/../../x.fits"]) == 2
    assert "the suffix" in capsys.readouterr().err
    assert listing(".") == before


def test_a_table_from_a_spreadsheet():
    Path("kT.csv").write_text("\ufeffbin,kT\n0,4.5\n1,5\n2,6\n", encoding="utf-8")
    assert run(["paint", "-n", "binmap.fits", "--table", "kT.csv", "-o", "out"]) == 0
    assert listing("out") == ["kT_out.fits"]
