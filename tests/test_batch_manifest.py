"""Manifests of batches: forms, names, and all that is wrong at once."""

import csv
import os
import unicodedata
from dataclasses import fields
from pathlib import Path

import pytest
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from batch_work import statuses, table, write_images
from chandra_bin.batch import read_manifest
from chandra_bin.batch.manifest import COLUMNS, clean_name
from chandra_bin.batch.work import failed
from chandra_bin.binning.options import BinningOptions
from chandra_bin.cli import run
from chandra_bin.errors import InputError
from chandra_bin.tasks.image_files import ImageFiles
from chandra_bin.tasks.options import BinProducts


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def said(text, suffix="csv", **options):
    """What is said of a manifest."""
    Path(f"m.{suffix}").write_text(text)
    with pytest.raises(InputError) as error:
        read_manifest(f"m.{suffix}", **options)
    return str(error.value)


def rows(text, suffix="csv", **options):
    Path(f"m.{suffix}").write_text(text)
    return read_manifest(f"m.{suffix}", **options)


def test_the_three_forms_say_the_same(tmp_path):
    csv = rows("name,image,background,exclude,sn,smooth-sn,automask\n"
               "A 1,a.fits,bkg.fits,x.reg;y.reg,30,50,true\nA2,b.fits,,,,,\n")
    toml = rows('[[cluster]]\nname = "A 1"\nimage = "a.fits"\nbackground = "bkg.fits"\nexclude = ["x.reg", "y.reg"]\n'
                'sn = 30\nsmooth_sn = 50.0\nautomask = true\n[[cluster]]\nname = "A2"\nimage = "b.fits"\n', "toml")
    table = Table({"name": ["A 1", "A2"], "image": ["a.fits", "b.fits"], "background": ["bkg.fits", ""],
                   "exclude": ["x.reg;y.reg", ""], "sn": [30.0, 0], "smooth_sn": [50, 0],
                   "automask": [True, False]}, masked=True)
    for name in ("sn", "smooth_sn"):
        table[name].mask = [False, True]
    table.write("m.ecsv", format="ascii.ecsv")
    assert csv == toml == read_manifest("m.ecsv")
    first, second = csv
    assert (first.name, first.folder, first.image) == ("A 1", "A_1", str(tmp_path / "a.fits"))
    assert first.files == ImageFiles(background=tmp_path / "bkg.fits", exclude=(tmp_path / "x.reg", tmp_path / "y.reg"))
    assert first.options == BinningOptions(sn=30, smooth_sn=50, automask=True)
    assert (second.files, second.options) == (ImageFiles(), BinningOptions())


def test_files_are_relative_to_the_manifest(tmp_path):
    Path("lists").mkdir()
    Path("lists/m.csv").write_text(
        'image,background\n"../evt2.fits[sky=region(f.reg)][bin sky=4]",\na.fits,\n@a.list,\n/x/y.fits,s.fits\n')
    found = read_manifest("lists/m.csv")
    assert found[0].image == f"{tmp_path}/lists/../evt2.fits[sky=region({tmp_path}/lists/f.reg)][bin sky=::4]"
    assert [row.image for row in found[1:]] == [f"{tmp_path}/lists/a.fits", f"@{tmp_path}/lists/a.list", "/x/y.fits"]
    assert found[3].files == ImageFiles(background=tmp_path / "lists/s.fits")


def test_rows_come_before_the_defaults():
    found = rows("image,sn,counts\na.fits,,\nb.fits,70,\nc.fits,,500\n",
                 defaults=BinningOptions(counts=100, constrain=3))
    assert [(row.options.sn, row.options.counts, row.options.constrain) for row in found] == [
        (15, 100, 3), (70, None, 3), (15, 500, 3)]


@pytest.mark.parametrize(("text", "value"), [("0", 0.0), ("0.00", 0.0), ("0e0", 0.0), ("0.05", 0.05)])
def test_the_error_of_the_background_may_be_zero(text, value):
    (row,) = rows(f"image,background_systematic\na.fits,{text}\n")
    assert row.options.background_systematic == value


@pytest.mark.parametrize(("text", "why"), [("-0.1", "must be a fraction, from 0"), ("nan", "from 0 to below 1"),
                                           ("1", "must be a fraction, from 0 to below 1")])
def test_the_error_of_the_background_is_a_fraction(text, why):
    assert why in said(f"image,background_systematic\na.fits,{text}\n")


def test_a_pattern_of_images():
    Path("x").mkdir()
    for name in ("x/b.fits", "x/a.fits.gz", "x/c.img"):
        Path(name).touch()
    assert [row.name for row in read_manifest("x/*.fits*")] == ["a", "b"]
    assert [row.name for row in read_manifest("x/c.img", "x/*.fits")] == ["c", "b"]
    assert read_manifest("x/*.fits[bin sky=2]")[0].image == os.path.abspath("x/b.fits") + "[bin sky=::2]"
    with pytest.raises(InputError, match="no matching file"):
        read_manifest("y/*.fits")


def test_images_with_the_same_name_get_the_names_of_their_folders():
    for name in ("A1/obs/img.fits", "A2/obs/img.fits", "A2/img.fits"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    assert [row.folder for row in read_manifest("**/img.fits")] == ["A1-obs-img", "A2-img", "A2-obs-img"]


def test_names_become_folders_and_rows_say_so():
    found = rows('name,image\nAbell 1835,a.fits\n../../etc,b.fits\nŁódź é,c.fits\n星系,d.fits\nA1,e.fits\nA1,f.fits\n'
                 'a1,g.fits\nresults.ecsv,h.fits\n.hidden,i.fits\n"a/b",j.fits\n')
    assert [row.folder for row in found] == ["Abell_1835", "etc", "odz_e", "cluster-4", "A1", "A1-2", "a1-3",
                                             "results.ecsv-2", "hidden", "a_b"]
    assert [bool(row.note) for row in found] == [True] * 4 + [False] + [True] * 5
    assert found[5].note == "duplicate name 'A1': using the folder A1-2"
    assert found[0].note == "'Abell 1835' is not a valid folder name: using Abell_1835"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=120), min_size=1, max_size=8))
def test_no_name_leaves_the_folder_of_results(tmp_path_factory, names):
    folder = tmp_path_factory.getbasetemp() / "names"
    folder.mkdir(exist_ok=True)
    names = [name.replace("\0", "") for name in names]
    with (folder / "m.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["name", "image"], *([name, "a.fits"] for name in names)])
    try:
        found = read_manifest(str(folder / "m.csv"))
    except InputError:  # line ends in a cell, and such, are for CSV's rules
        found = ()
    places = [(folder / row.folder).resolve() for row in found]
    assert all(place.parent == folder.resolve() for place in places)
    assert len({str(place).casefold() for place in places}) == len(found)
    assert not {"results.ecsv", "index.html", ".chandra-bin"} & {row.folder for row in found}


@given(st.text())
def test_clean_names_are_plain(name):
    clean = clean_name(name)
    assert clean == clean_name(clean)
    assert len(clean) <= 80
    assert clean.isascii()
    assert all(each.isalnum() or each in "._+-" for each in clean)
    assert not clean.startswith((".", "-"))
    assert clean_name(unicodedata.normalize("NFC", name)) == clean_name(unicodedata.normalize("NFD", name))


def test_all_errors_are_reported_together():
    text = said("name,image,pipeline,sn,smoth_sn,automask,background_scale,counts\n"
                "A1,a.fits,,abc,3,,,\nA2,,,,,,,\nA3,a.fits,work,,,,,\nA4,a.fits,,-1,,maybe,,\nA5,a.fits,,,,,2,\n"
                "A6,a.fits,,30,,,,100\nA7,,work,30,,,,\nA8,a.fits[bin sky=,,nan,,,,\n")
    for part in ("smoth_sn: unknown column; do you mean smooth_sn?",
                 "row 1: sn = 'abc': input should be a valid number",
                 "row 2: has neither an image nor a pipeline", "row 3: has both an image and a pipeline",
                 "row 4: sn = '-1': it must be positive and finite",
                 "row 4: automask = 'maybe': input should be a valid boolean",
                 "row 5: background_scale needs background: give both", "row 6: sn and counts exclude each other",
                 "row 7: sn: a pipeline has its own settings", "row 8: image = ", "row 8: sn = 'nan'"):
        assert part in text
    assert text.startswith("m.csv: 11 errors: ")


@pytest.mark.parametrize(("text", "suffix", "why"), [
    ("", "csv", "the manifest has no rows"),
    ("name,image\n", "csv", "the manifest has no rows"),
    ("image,image\na,b\n", "csv", "duplicate column image"),
    ("image\na,b\n", "csv", "row 1: has 2 cells for 1 column"),
    ("image\n\"a", "csv", "not a valid CSV file"),
    ("image = 3", "toml", "image: unknown key"),
    ("clusters = 3", "toml", "a table [[cluster]] for each cluster; do you mean cluster?"),
    ("cluster = 3", "toml", "cluster: must be an array of tables"),
    ("[[cluster]]\nimage = 3", "toml", "row 1: image = 3: must be a non-empty text"),
    ("[[cluster]]\nimage = 'a'\nsn = true", "toml", "row 1: sn = True: must be a number"),
    ("[[cluster]]\nimage = 'a'\nexclude = [3]", "toml", "row 1: exclude = [3]: must be a non-empty text"),
    ("[[cluster", "toml", "not a valid TOML file"),
    ("no ecsv", "ecsv", "not a valid ECSV file"),
    ("image,background,background_expmap,background_scale\na,b,c,2\n", "csv", "give one of the two"),
    ("image,scrublarge\na,2\n", "csv", "scrublarge: unknown column; do you mean scrub_large?"),
    ("image,scrub_large\na,2\n", "csv", "row 1: scrub_large = '2': it must be a fraction, above 0 and up to 1"),
    ("image,background,background_expmap\na,b,c\n", "csv", "background_expmap needs expmap: give both"),
    ("image,background,background_scale\na,b,-2\n", "csv", "background_scale = '-2': it must be positive and finite"),
])
def test_invalid_manifests(text, suffix, why):
    assert why in said(text, suffix)


def test_files_that_cannot_be_read():
    with pytest.raises(InputError, match=r"m\.csv: no such file"):
        read_manifest("m.csv")
    Path("m.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"m\.csv: must be a text file in UTF-8"):
        read_manifest("m.csv")
    Path("d.toml").mkdir()
    with pytest.raises(InputError, match=r"d\.toml: cannot be read: is a directory"):
        read_manifest("d.toml")


def test_columns_are_the_options_and_files_of_the_binner():
    names = [each.name for cls in (ImageFiles, BinningOptions, BinProducts) for each in fields(cls)]
    assert list(COLUMNS) == ["name", "image", "pipeline", *names]


def test_every_option_may_be_a_cell():
    Path("m.csv").write_text("image,sn,smooth_sn,contours,background_systematic,constrain,automask,bin_up,scrub,"
                             "scrub_large\na.fits,20,30,counts,0,2,yes,1,no,0.5\n")
    (row,) = read_manifest("m.csv")
    assert row.options == BinningOptions(sn=20, smooth_sn=30, contours="counts", background_systematic=0, constrain=2,
                                         automask=True, bin_up=True, scrub=False, scrub_large=0.5)


def test_a_scale_is_a_number_or_an_image(tmp_path):
    found = rows("image,background,background_scale\na.fits,b.fits,0.5\na.fits,b.fits,s.fits\n")
    assert [row.files.background_scale for row in found] == [0.5, tmp_path / "s.fits"]


def test_names_other_than_utf8_are_written_with_escapes():
    odd = os.fsdecode(b"bad\xff.fits")
    (image,) = write_images(Path("images"), 1, side=16, counts=4000).iterdir()
    image.rename(odd)
    Path("no.fits").write_text("nothing")
    assert run(["batch", odd, "no.fits", "-j", "1", "-o", "r", "--sn", "20", "-q"]) == 1
    assert statuses(Path("r")) == {r"bad\udcff": "ok", "no": "failed"}
    assert table(Path("r"))[r"bad\udcff"]["source"].endswith(r"/bad\udcff.fits")
    assert r"bad\udcff" in Path("r/index.html").read_text(encoding="utf-8")


def test_messages_of_failures_are_printable():
    (row,) = rows("image\na.fits\n")
    assert failed(row, "ValueError", "\x1b[2J\nof \udcff").message == r"\x1b[2J of \udcff"


def test_tabs_and_capitals_in_the_line_of_names():
    assert rows("Name\tImage\tSmooth-SN\nA\ta.fits\t20\n") == rows("name,image,smooth_sn\nA,a.fits,20\n")


def test_semicolons_between_columns_are_named():
    assert said("name;image\nA;a.fits\n") == (
        "m.csv: columns are separated by semicolons: use commas or tabs (semicolons separate the files of one cell)")
