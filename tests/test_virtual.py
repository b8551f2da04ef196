"""Virtual file names: what CIAO users write is understood, what is wrong is pointed at, and nothing hangs."""

import math
import os
import pickle
import re
import sys
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chandra_bin.errors import InputError, VirtualNameError
from chandra_bin.fits.virtual import (
    BinAxis,
    Binning,
    Bits,
    BitsTerm,
    Block,
    Columns,
    Filter,
    GtiTerm,
    MaskTerm,
    Options,
    Range,
    RangeTerm,
    RegionTerm,
    Rows,
    VirtualFile,
    expand_stack,
    files_in_filters,
    named_file,
    one_of_stack,
    parse_name,
    read_stack,
    with_paths,
)
from chandra_bin.regions import parse_regions

FILE, SKY = VirtualFile.of("evt2.fits"), BinAxis("sky", step=4)


def one(value, word=None):
    """A single value, as it was written."""
    return Range(value, value, str(value) if word is None else word)


def term(column, *ranges):
    return RangeTerm(column, tuple(Range(*ends) if isinstance(ends, tuple) else one(ends) for ends in ranges))


def keep(*terms):
    return Filter(terms)


def drop(*terms):
    return Filter(terms, exclude=True)


ENERGY = term("energy", (500, 7000))
SOURCES = RegionTerm(("sky",), file="src.reg")

GOOD = {
    "": (),
    # the command lines of the issue
    "[energy=500:7000,ccd_id=0:3][bin sky=4]":
        (keep(ENERGY, term("ccd_id", (0, 3))), Binning((BinAxis("sky", step=4),))),
    "[exclude sky=region(src.reg)][energy=500:7000]": (drop(SOURCES), keep(ENERGY)),
    "[bin time=::259.28]": (Binning((BinAxis("time", step=259.28),)),),
    # ranges and lists
    "[ccd_id=5,7]": (keep(term("ccd_id", 5, 7)),),
    "[energy=1000:2000,4000:8000,grade=0,2:4,6]":
        (keep(term("energy", (1000, 2000), (4000, 8000)), term("grade", 0, (2, 4), 6)),),
    "[time=:100,200:]": (keep(term("time", (None, 100), (200, None))),),
    "[detx=:511.0,513.0:]": (keep(term("detx", (None, 511), (513, None))),),
    "[grade=0:0]": (keep(term("grade", 0)),),
    "[x=-1.5e3:.5]": (keep(term("x", (-1500, 0.5))),),
    "[x=+5.]": (keep(RangeTerm("x", (one(5, "+5."),))),),
    "[Energy=500:7000]": (keep(ENERGY),),
    "[ energy = 500 : 7000 , CCD_ID = 0 : 3 ]": (keep(ENERGY, term("ccd_id", (0, 3))),),
    "[filter energy=500:7000]": (keep(ENERGY),),
    "[EXCLUDE  energy=500:7000,ccd_id=7]": (drop(ENERGY, term("ccd_id", 7)),),
    "[energy=500:7000] [energy=1000:]": (keep(ENERGY), keep(term("energy", (1000, None)))),
    # bits
    "[status=0]": (keep(term("status", 0)),),
    "[status=00000000x000xxxxx000000000000000]":
        (keep(BitsTerm("status", (Bits("00000000x000xxxxx000000000000000"),))),),
    "[exclude status=b01,1XX]": (drop(BitsTerm("status", (Bits("01"), Bits("1xx")))),),
    # regions
    "[sky=region(f.fits[SRCLIST])]": (keep(RegionTerm(("sky",), file="f.fits[SRCLIST]")),),
    "[sky=region(a (1)/b,c=d.reg),energy=500:7000]":
        (keep(RegionTerm(("sky",), file="a (1)/b,c=d.reg"), ENERGY),),
    "[sky=REGION(a.reg[#row=1:3])]": (keep(RegionTerm(("sky",), file="a.reg[#row=1:3]")),),
    "[(x,y)=circle(4096,4096,20)]": (keep(RegionTerm(("x", "y"), text="circle(4096,4096,20)")),),
    "[( X , Y ) = Circle( 4096 , 4096 , 20 ),energy=500:7000]":
        (keep(RegionTerm(("x", "y"), text="circle(4096,4096,20)"), ENERGY),),
    "[sky=field()-ellipse(1,2,3,4,5)*!CIRC(10:11:12,-1:2:3.5,3\")]":
        (keep(RegionTerm(("sky",), text="field()-ellipse(1,2,3,4,5)*!circle(10:11:12,-1:2:3.5,3\")")),),
    "[sky=!box(1,2,3,4) + poly(0,0,1,0,1,1)|rect(0,0,1,1)]":
        (keep(RegionTerm(("sky",), text="!box(1,2,3,4)+polygon(0,0,1,0,1,1)|rectangle(0,0,1,1)")),),
    "[sky=MASK(expmap)]": (keep(MaskTerm(("sky",), "expmap")),),
    # good times
    "[@f.gti]": (keep(GtiTerm("f.gti")),),
    "[@f.fits[GTI7]]": (keep(GtiTerm("f.fits[GTI7]")),),
    "[exclude @a/f.fits[GTI7],ccd_id=7]": (drop(GtiTerm("a/f.fits[GTI7]"), term("ccd_id", 7)),),
    "[ccd_id=7,@a.gti,@b.gti]": (keep(term("ccd_id", 7), GtiTerm("a.gti"), GtiTerm("b.gti")),),
    # blocks
    "[EVENTS]": (Block("events"),),
    "[2][energy=500:7000]": (Block(2), keep(ENERGY)),
    "[GTI7]": (Block("gti7"),),
    # rows and columns
    "[#row=1:5]": (Rows(((1, 5),)),),
    "[#ROW = 3, 10:, :2]": (Rows(((3, 3), (10, None), (None, 2))),),
    "[cols time,X,y]": (Columns(("time", "x", "y")),),
    "[col -phas,!pi][energy=500:7000]": (Columns(("phas", "pi"), drop=True), keep(ENERGY)),
    # bins
    "[bin x=3500:4500:1,y=3500:4500:#512]":
        (Binning((BinAxis("x", 3500, 4500, 1), BinAxis("y", 3500, 4500, count=512))),),
    "[bin (x,y)=::4]": (Binning((BinAxis("x", step=4), BinAxis("y", step=4))),),
    "[bin x=::2, y=::2]": (Binning((BinAxis("x", step=2), BinAxis("y", step=2))),),
    "[bin sky]": (Binning((BinAxis("sky"),)),),
    "[BIN PI]": (Binning((BinAxis("pi"),)),),
    "[bin pi=1:1024]": (Binning((BinAxis("pi", 1, 1024),)),),
    "[bin pi=1:1024:]": (Binning((BinAxis("pi", 1, 1024),)),),
    "[bin sky=4][opt type=i4]": (Binning((BinAxis("sky", step=4),)), Options({"type": "i4"})),
    # options
    "[opt null=NaN,type=r4][option full]": (Options({"null": "nan", "type": "r4"}), Options({"full": ""})),
    "[opt update=no][opt mem=200][opt scale=no,kernel=FITS]":
        (Options({"update": "no"}), Options({"mem": "200"}), Options({"scale": "no", "kernel": "fits"})),
}


@pytest.mark.parametrize("filters", GOOD)
def test_what_is_written(filters):
    name = parse_name("evt2.fits" + filters)
    assert name == VirtualFile("evt2.fits", GOOD[filters])
    assert parse_name(str(name)) == name
    assert name.text == "evt2.fits" + filters
    assert name.is_plain == (not filters)


@pytest.mark.parametrize("path", ["evt2.fits", "../a b/evt2.fits.gz", "/data/é/evt2.fits", "-", "a,b=c(d.fits"])
def test_the_path_is_what_is_before_the_brackets(path):
    name = parse_name(path + "[energy=500:7000]")
    assert name.path == path
    assert name.file == Path(path)


@pytest.mark.parametrize("filters", [filters for filters in GOOD if filters])
def test_names_survive_as_paths(filters):
    """Commands hold names as Path, which joins slashes and leaves out single dots."""
    for folder in ("./", "a//b/./", "/a/../b/"):
        text = f"{folder}evt2.fits" + filters.replace("src.reg", "./r//src.reg")
        steps = parse_name(str(Path(text))).steps
        assert len(steps) == len(GOOD[filters])
        for found, expected in zip(steps, GOOD[filters], strict=True):
            if "src.reg" not in filters:
                assert found == expected
            else:
                assert type(found) is type(expected)


# Below each text: where ^ points the message must point, and words of it.
BAD = [
    ("[energy=500:70o0]", "            ^", "'70o0' is not a number: do you mean 7000?"),
    ("[energy=500:70ev]", "            ^", "'70ev' is not a number; write energy=lo:hi"),
    ("[energy=500:7000", "^", "this bracket is not closed: add ]"),
    ("[energy=500:7000[bin sky=4]", "^", "not closed before the next one begins"),
    ("[energy=500:7000]]", "                 ^", "bracket has no match"),
    ("[energy=500:7000)]", "                ^", "parenthesis has no match"),
    ("]", "^", "has no matching [ before it"),
    ("[energy=500:7000]bin", "                 ^", "'bin' follows the brackets"),
    ("[]", " ^", "empty brackets"),
    ("[energy==500]", "       ^", "'==' is not part of the syntax: write energy=500"),
    ("[energy = = 500]", "          ^", "too many ="),
    ("[energy>500]", "       ^", "write energy=500:"),
    ("[energy<=500]", "       ^", "write energy=:500"),
    ("[energy!=500]", "       ^", "write [exclude energy=500]"),
    ("[energy=500-7000]", "        ^", "a range has a colon: write energy=500:7000"),
    ("[energy=500..7000]", "        ^", "write energy=500:7000"),
    ("[energy=]", "        ^", "a value is missing: write energy=lo:hi"),
    ("[energy=,grade=0]", "        ^", "a value is missing"),
    ("[energy=:]", "        ^", "a range without limits"),
    ("[energy=7000:500]", "        ^", "the lower limit is above the upper one: write energy=500:7000"),
    ("[energy=1:2:3]", "           ^", "a range has one colon"),
    ("[energy=nan]", "        ^", "'nan' is not a finite number"),
    ("[energy=0:inf]", "          ^", "an open range is energy=500:"),
    ("[energy=1e999]", "        ^", "'1e999' is too large"),
    ("[energy=1:2,]", "            ^", "a value of energy is missing"),
    ("[energy=1:2,,grade=0]", "            ^", "a value of energy is missing"),
    ("[energy=1:2,grade]", "            ^", "'grade' is not a number"),
    ("[energy=1:2,energy=3:4]", "            ^", "filtered twice here: write its ranges as one list"),
    ("[energy=1:2 && grade=0]", "            ^", "join terms by commas"),
    ("[(energy=1:2)||(energy=3:4)]", " ^", "parentheses here must contain two columns"),
    ("[energy 500:7000]", "        ^", "= is missing after 'energy': write energy=500:7000"),
    ("[500:7000]", " ^", "the name of a column is missing: write [column=500:7000]"),
    ("[1:10,1:10]", " ^", "write [bin x=LOW:HIGH:1,y=LOW:HIGH:1] instead of a section [1:10,1:10]"),
    ("[=500]", " ^", "'=500' is not understood"),
    ("[ccd_id=5,7 grade=0]", "          ^", "'7 grade=0' is not a number"),
    ("[exclud sky=region(f)]", " ^", "do you mean exclude?"),
    ("[exclude]", "        ^", "nothing follows exclude"),
    ("[exclude=5]", "        ^", "no = after exclude"),
    ("[status=0x,5]", "           ^", "is not a bit pattern"),
    ("[status=5,0x]", "          ^", "is a bit pattern"),
    ("[sky=circle(1,2,3]", "           ^", "this parenthesis is not closed: add )"),
    ("[sky=circle(1,2)]", "     ^", "circle needs 3 numbers, not 2"),
    ("[sky=box(1,2)]", "     ^", "box needs 4 or 5 numbers"),
    ("[sky=polygon(1,2,3,4)]", "     ^", "at least 3, not 4 numbers"),
    ("[sky=circle(1,2,3x)]", "                ^", "'3x' is not a valid number in circle(..)"),
    ("[sky=circle(1,,3)]", "              ^", "'' is not a valid number in circle(..)"),
    ("[sky=circle((1),2,3)]", "            ^", "is not a valid number in circle(..)"),
    ("[sky=cirle(1,2,3)]", "     ^", "unknown shape 'cirle'"),
    ("[sky=-circle(1,2,3)]", "     ^", "precedes the first shape: write field() before it"),
    ("[sky=circle(1,2,3)-]", "                   ^", "a shape is expected here"),
    ("[sky=circle(1,2,3)circle(1,2,3)]", "                  ^", "shapes are joined by +"),
    ("[sky=circle(1,2,3),circle(1,2,3)]", "                   ^", "shapes are joined by +"),
    ("[sky=circle(1,2,3),5]", "                   ^", "'5' is not a term"),
    ("[sky=field()-!circle(1,2,3)]", "            ^", "'-!' cannot join shapes"),
    ("[sky=bounds(region(f.reg))]", "     ^", "bounds(..) is not supported"),
    ("[sky=region(f.reg)-circle(1,2,3)]", "                  ^", "in separate brackets"),
    ("[sky=field()-region(f.reg)]", "             ^", "in separate brackets"),
    ("[sky=region()]", "            ^", "the name of a file is missing"),
    ("[sky=region f.reg]", "     ^", "write sky=region(file)"),
    ("[sky=f.reg]", "     ^", "write sky=region(file)"),
    ("[circle(1,2,3)]", " ^", "write sky=circle(..)"),
    ("[region(f.reg)]", " ^", "write sky=region(..)"),
    ("[x,y=circle(1,2,3)]", " ^", "put the two columns of a shape in parentheses"),
    ("[(x,y)=1:2]", "       ^", "two columns need a shape"),
    ("[(x,y,z)=circle(1,2,3)]", " ^", "must contain two columns"),
    ("[@]", "  ^", "a GTI file is missing after @"),
    ("[0]", " ^", "start at 1"),
    ("[energy=1:2][EVENTS]", "             ^", "which must come first"),
    ("[EVENTS][2]", "         ^", "[events] is already chosen"),
    ("[#row]", "     ^", "= is missing after #row"),
    ("[#row=0]", "      ^", "rows are numbered from 1"),
    ("[#row=5:1]", "      ^", "write #row=1:5"),
    ("[#row=1:5,energy=1:2]", "          ^", "in separate brackets"),
    ("[energy=1:2,#row=1:5]", "            ^", "in separate brackets"),
    ("[energy=1:2][#row=1:5]", "             ^", "before all filters"),
    ("[cols]", "     ^", "nothing follows cols"),
    ("[cols x,-y]", "        ^", "not both"),
    ("[cols x,X]", "        ^", "named twice"),
    ("[cols rate=count_rate]", "      ^", "cannot be renamed"),
    ("[cols #3]", "      ^", "by their names"),
    ("[bin]", "    ^", "nothing follows bin"),
    ("[bin 4]", "     ^", "write [bin sky=4]"),
    ("[bin=4]", "    ^", "write [bin sky=4]"),
    ("[bin sky 4]", "         ^", "= is missing after 'sky'"),
    ("[bin sky=]", "         ^", "a value is missing"),
    ("[bin x=::0]", "         ^", "must be above 0"),
    ("[bin x=::-4]", "         ^", "must be above 0"),
    ("[bin x=1:9:#0]", "           ^", "'#0' is not a valid number of bins"),
    ("[bin x=1:9:#2.5]", "           ^", "is not a valid number of bins"),
    ("[bin x=1:9:#999999999999]", "           ^", "from 1 to 100000000"),
    ("[bin x=0:1e9:1e-3]", "             ^", "more than 100000000 bins"),
    ("[bin x=9:1:1]", "       ^", "write x=1:9"),
    ("[bin x=1:2:3:4]", "            ^", "too many colons"),
    ("[bin x=::2,x=::4]", "           ^", "binned twice"),
    ("[bin x=::2,]", "           ^", "an axis is missing after the comma"),
    ("[bin x,y,energy]", "         ^", "at most two"),
    ("[bin sky=4,energy]", "           ^", "at most two"),
    ("[bin sky=4][bin sky=2]", "            ^", "a second [bin ..]"),
    ("[bin sky=4][energy=1:2]", "            ^", "only [opt ..] can follow"),
    ("[bin sky=@a.reg]", "         ^", "not supported"),
    ("[bin x=::2;weight]", "          ^", "weights"),
    ("[bin/f x=::2]", "    ^", "not supported"),
    ("[opt typo=i4]", "     ^", "is not an option: type, null"),
    ("[opt type=r2]", "     ^", "the value of type must be i2, i4, r4 or r8"),
    ("[opt type=i4,type=i2]", "             ^", "set twice"),
    ("[opt type=i4][opt type=i2]", "              ^", "set twice"),
    ("[opt kernel=text/dtf]", "     ^", "the value of kernel must be fits"),
    ("[subspace -time]", " ^", "not supported here"),
]


@pytest.mark.parametrize(("filters", "caret", "words"), BAD, ids=[filters for filters, *_ in BAD])
def test_what_is_wrong_is_pointed_at(filters, caret, words):
    name = "evt2.fits" + filters
    with pytest.raises(VirtualNameError) as caught:
        parse_name(name)
    message = str(caught.value)
    assert message.startswith(f"{name}: character {len('evt2.fits' + caret)}: ")
    assert words in message


@pytest.mark.parametrize("name", ["", "  ", "[energy=1:2]"])
def test_a_name_without_a_file(name):
    with pytest.raises(VirtualNameError, match="character 1: the name of a file is missing"):
        parse_name(name)


def test_messages_are_one_line_of_bounded_length():
    with pytest.raises(VirtualNameError, match=r"^a\\nb\[x=\\x07\]: character 7: '\\x07' is not a number") as caught:
        parse_name("a\nb[x=\a]")
    assert isinstance(caught.value, InputError)
    with pytest.raises(VirtualNameError) as caught:
        parse_name("evt2.fits[energy=" + "9" * 100_000 + "o]")
    assert len(str(caught.value)) < 700
    with pytest.raises(VirtualNameError, match="character 4: a file name cannot contain"):
        parse_name("evt\0[x=1]")


def test_later_errors_point_at_the_part_that_they_mean():
    text = "evt2.fits[EVENTS][exclude Enrgy=1:2,(x,y)=circle(1,2,3),@f.gti][cols time, -x][bin sky]"
    name = parse_name(text.replace("-x", "x"))
    events, drops, columns, binning = name.steps
    places = {"EVENTS": events.at, "exclude": drops.at, "Enrgy": drops.terms[0].at, "(x,y)": drops.terms[1].at,
              "@f": drops.terms[2].at, "cols": columns.at, "time,": columns.at_each[0]}
    assert {part: text.index(part) for part in places} == places
    assert name.text[binning.at :].startswith("bin sky")
    error = name.error(drops.terms[0].at, "no such column")
    assert isinstance(error, VirtualNameError)
    assert str(error) == f"{name.text}: character 27: no such column"


def test_axes_know_their_place():
    name = parse_name("evt2.fits[bin x=::2, time=::4]")
    assert [name.text[axis.at :].split("=")[0] for axis in name.binning.axes] == ["x", "time"]


def test_parts_by_kind():
    name = parse_name("evt2.fits[EVENTS][#row=1:9][energy=1:2][cols x][exclude x=5][bin x=::4][opt type=i4][opt full]")
    assert name.block == Block("events")
    assert name.rows == Rows(((1, 9),))
    assert [part.exclude for part in name.filters] == [False, True]
    assert name.columns == (Columns(("x",)),)
    assert name.binning == Binning((BinAxis("x", step=4),))
    assert name.options == {"type": "i4", "full": ""}
    plain = parse_name("evt2.fits")
    assert (plain.block, plain.rows, plain.filters, plain.columns, plain.binning, plain.options) == (
        None, None, (), (), None, {})
    assert pickle.loads(pickle.dumps(name)) == name
    assert hash(parse_name(str(name))) == hash(name)


@pytest.mark.parametrize(("value", "bits"), [
    ("0", (Bits("", 0),)), ("6,4", (Bits("", 6), Bits("", 4))), ("00000000000000000000000000000000", (Bits("0" * 32),)),
    ("01000000", (Bits("01000000"),)), ("0100", (Bits("", 100),)), ("0:4", None), ("-1", None), ("0.5", None),
    ("3:", None),
])
def test_numbers_as_bits(value, bits):
    """The type of a column is not in the name: who reads a column of bits asks for them."""
    (found,) = parse_name(f"evt2.fits[status={value}]").filters[0].terms
    assert found.as_bits() == (None if bits is None else BitsTerm("status", bits))


@pytest.mark.parametrize("filters", [filters for filters in GOOD if re.match(r"\[sky=(?!region|mask)", filters, re.I)])
def test_regions_are_read_as_region_files_are(filters):
    (found,) = parse_name("evt2.fits" + filters).filters[0].terms
    shapes = parse_regions(found.text).shapes
    assert len(shapes) == found.text.count("(")


# --- files on the disk ---------------------------------------------------------------------------------------------


def test_a_file_of_exactly_this_name_is_that_file(tmp_path):
    odd = tmp_path / "evt2[energy=1:2].fits"
    with pytest.raises(VirtualNameError, match="follows the brackets"):
        named_file(odd)
    odd.touch()
    assert named_file(odd) == VirtualFile(str(odd))
    name = parse_name("evt2.fits[x=5]")
    assert named_file(name) is name
    assert named_file(Path("evt2.fits[x=5]")) == name
    with pytest.raises(VirtualNameError):
        named_file("a\0b")
    assert named_file("a" * 5000 + "[x=5]").path == "a" * 5000


def test_a_name_is_a_stack_of_one():
    for name in ("evt2.fits", "a, b.fits[ccd_id=5,7]"):
        assert expand_stack(name) == [parse_name(name)]
        assert one_of_stack(Path(name)) == parse_name(name)


def test_lists(tmp_path, monkeypatch):
    names = "# observations\n\n  a.fits[ccd_id=0:3]\r\n/data/b.fits\nsub/c.fits\n  # no more\n"
    (tmp_path / "evt.list").write_bytes(b"\xef\xbb\xbf" + names.encode())
    folder = str(tmp_path)
    expected = [f"{folder}/a.fits[ccd_id=0:3]", "/data/b.fits", f"{folder}/sub/c.fits"]
    assert expand_stack(f"@{folder}/evt.list") == read_stack(tmp_path / "evt.list") == list(map(parse_name, expected))
    binned = [parse_name(name + "[bin sky=4]") for name in expected]
    assert expand_stack(Path(f"@{folder}/evt.list[bin sky=4]")) == binned
    assert expand_stack(f"@-{folder}/evt.list")[0] == parse_name("a.fits[ccd_id=0:3]")
    monkeypatch.chdir(tmp_path)
    assert list(map(str, expand_stack("@evt.list"))) == ["a.fits[ccd_id=0:3]", "/data/b.fits", "sub/c.fits"]
    with pytest.raises(InputError, match=r"evt.list: lists 3 files, but one file is needed"):
        one_of_stack("@evt.list")
    Path("one.list").write_text("a.fits")
    assert one_of_stack("@one.list[x=1]") == parse_name("a.fits[x=1]")
    Path("@odd.fits").touch()
    assert expand_stack("@odd.fits") == [VirtualFile.of("@odd.fits")]


def test_bad_lists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("nested.list").write_text("a.fits\n@other.list\n")
    Path("empty.list").write_text("# nothing\n")
    Path("evt2.fits").write_bytes(b"SIMPLE  =\0")
    Path("folder").mkdir()
    for name, words in {
        "nested.list": "nested.list: line 2: names a list, @other.list", "empty.list": "lists no file",
        "evt2.fits": "evt2.fits: is not a list of names", "missing.list": "missing.list: cannot read .*: No such",
        "folder": "cannot read", "": "needs the name of a list", "a\0b": "cannot read",
    }.items():
        with pytest.raises(InputError, match=words):
            expand_stack(f"@{name}")


def test_names_in_a_list_are_relative_to_a_folder_of_any_name(tmp_path):
    folder = tmp_path / "a [1], (b)"
    folder.mkdir()
    (folder / "c[x=1].fits").touch()
    (folder / "evt.list").write_text("a.fits[ccd_id=0:3]\nc[x=1].fits\n")
    of_chips, whole = read_stack(folder / "evt.list")
    assert of_chips == VirtualFile.of(folder / "a.fits").keep(RangeTerm.of("ccd_id", (0, 3)))
    assert whole == VirtualFile.of(folder / "c[x=1].fits")
    assert named_file("a.fits[ccd_id=0:3]", folder) == of_chips


# --- names that code makes --------------------------------------------------------------------------------------------


def test_code_makes_what_text_means():
    built = (VirtualFile.of("evt2.fits").exclude(RegionTerm.of(Path("src.reg")))
             .keep(RangeTerm.of("energy", (500, 7000))).keep(RangeTerm.of("grade", 0, 2, 3), RangeTerm.of("status", 0))
             .keep(GtiTerm.of(Path("good.gti"))).keep().exclude().binned(BinAxis("time", step=259.28)))
    text = ("evt2.fits[exclude sky=region(src.reg)][energy=500:7000][grade=0,2,3,status=0][@good.gti]"
            "[bin time=::259.28]")
    parsed = parse_name(text)
    assert str(built) == str(parsed) == text
    assert [type(step) for step in built.steps] == [type(step) for step in parsed.steps]
    assert built.filters[2].terms[1].as_bits() == parsed.filters[2].terms[1].as_bits() == BitsTerm(
        "status", (Bits("", 0),))
    assert built.binning == parsed.binning
    assert parse_name("evt2.fits[energy=500:7000]").keep(RangeTerm.of("x", 5)) == parse_name(
        "evt2.fits[energy=500:7000][x=5]")


def test_errors_point_into_what_code_makes():
    name = parse_name("evt2.fits[ENERGY=500:7000.0]").keep(RangeTerm.of("foo", 1))
    with pytest.raises(VirtualNameError, match=r"^evt2\.fits\[ENERGY=500:7000\.0\]\[foo=1\]: character 30: odd$"):
        raise name.error(name.filters[1].terms[0].at, "odd")


@pytest.mark.parametrize("folder", ["a b", "a[1]", "a(,b", "it's", "a]", '"', "@a", "a[x=1]"])
def test_paths_of_made_names_need_no_quotes(folder):
    name = VirtualFile.of(Path(folder, "evt2.fits")).exclude(RegionTerm.of(Path(folder, "src.reg")))
    name = name.keep(GtiTerm.of(Path(folder, "good.gti")))
    assert name.file == Path(folder, "evt2.fits")
    assert [each.file for each in files_in_filters(name)] == [Path(folder, "src.reg"), Path(folder, "good.gti")]
    moved = with_paths(name, lambda path: f"/data/{path}")
    assert moved.file == Path("/data", folder, "evt2.fits")
    assert [each.path for each in files_in_filters(moved)] == [f"/data/{folder}/src.reg", f"/data/{folder}/good.gti"]


@pytest.mark.parametrize(("built", "text"), [
    (lambda: FILE.keep(RangeTerm.of("ENERGY", (500, 7000))), "[energy=500:7000]"),
    (lambda: FILE.keep(RangeTerm.of("energy", (None, 7000), (8000, None))), "[energy=:7000,8000:]"),
    (lambda: FILE.keep(RangeTerm.of("energy", [500, 7000])), "[energy=500:7000]"),
    (lambda: FILE.keep(RangeTerm.of("energy", [0.5, 7] * u.keV)), "[energy=500:7000]"),
    (lambda: FILE.keep(RangeTerm.of("time", (None, 2 * u.ks), 3 * u.ks)), "[time=:2000,3000]"),
    (lambda: FILE.keep(RangeTerm.of("pi", np.array([3, 5]), np.int16(7))), "[pi=3:5,7]"),
    (lambda: FILE.binned(BinAxis("X", 1, 101, 2), BinAxis("Y", count=50)), "[bin x=1:101:2,y=::#50]"),
    (lambda: FILE.binned(BinAxis("TIME", step=1 * u.ks)), "[bin time=::1000]"),
])
def test_parts_are_made_of_what_python_users_have(built, text):
    assert str(built()) == f"evt2.fits{text}"
    assert built() == parse_name(f"evt2.fits{text}")


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: RangeTerm.of("energy", (7000, 500)), InputError, r"is above the upper: give \(500.0, 7000.0\)"),
    (lambda: RangeTerm.of("energy", math.nan), InputError, "finite limits"),
    (lambda: RangeTerm.of("energy", (500, math.inf)), InputError, "None for one open limit"),
    (lambda: RangeTerm.of("energy", (None, None)), InputError, "None for one open limit"),
    (lambda: RangeTerm.of("energy", (1, 2, 3)), InputError, "energy: a range needs two limits"),
    (lambda: RangeTerm.of("energy", "500:7000"), InputError, "energy is '500:7000': it must be one number"),
    (lambda: RangeTerm.of("energy", (500, "7000")), InputError, "energy is '7000': it must be one number"),
    (lambda: RangeTerm.of("energy", [1, 2] * u.s), InputError, "energy has the unit s: give it in eV"),
    (lambda: RangeTerm.of("pi", [1, 2] * u.keV), InputError, "pi has the unit keV: give numbers without a unit"),
    (lambda: RangeTerm.of("energy"), InputError, "energy: a value is missing"),
    (lambda: FILE.keep("energy=500:7000"), InputError, "'energy=500:7000': give a term, RangeTerm"),
    (lambda: FILE.binned("sky=4"), InputError, "'sky=4': give an axis, BinAxis"),
    (FILE.binned, InputError, "None: give an axis"),
    (lambda: FILE.keep(RangeTerm.of("x", 1), RangeTerm.of("X", 2)), VirtualNameError, "x is filtered twice"),
    (lambda: FILE.binned(SKY).keep(RangeTerm.of("x", 1)), VirtualNameError, "24: nothing can follow"),
    (lambda: FILE.binned(SKY).binned(SKY), VirtualNameError, "nothing can follow"),
    (lambda: FILE.binned(SKY, BinAxis("x")), VirtualNameError, "more than two axes"),
    (lambda: FILE.binned(BinAxis("x"), BinAxis("x")), VirtualNameError, "x is binned twice"),
    (lambda: FILE.binned(BinAxis("x", 5, 1, 1)), VirtualNameError, "x=1:5"),
    (lambda: FILE.binned(BinAxis("x", step=-1)), VirtualNameError, "must be above 0"),
    (lambda: FILE.binned(BinAxis("x", step=math.nan)), VirtualNameError, "'nan' is not a finite number"),
])
def test_parts_that_text_cannot_say_are_refused_in_one_line(call, error, text):
    with pytest.raises(error, match=text) as refused:
        call()
    assert "\n" not in str(refused.value)


def test_a_list_in_the_place_of_a_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"@l\.list is a list.*give expand_stack\('@l\.list'\)"):
        named_file("@l.list", tmp_path)
    (tmp_path / "@l.list").touch()
    assert named_file("@l.list", tmp_path).file == tmp_path / "@l.list"


# --- random names ----------------------------------------------------------------------------------------------------

WORDS = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda word: word not in ("bin", "col", "cols", "columns", "exclude", "filter", "opt", "option", "subspace"))
FINITE = st.floats(allow_nan=False, allow_infinity=False)
FILES = st.from_regex(r"[a-z./]{1,8}(\([a-z,=]{1,3}\))?[a-z]{1,4}(\[[A-Z0-9]{1,4}\])?", fullmatch=True)
PLACES = st.one_of(st.sampled_from([("sky",), ("det",)]), st.tuples(WORDS, WORDS))


@st.composite
def ranges(draw):
    ends = sorted(draw(st.tuples(FINITE, FINITE)))
    kind = draw(st.sampled_from(["both", "lo", "hi", "one"]))
    if kind == "one" or ends[0] == ends[1]:
        return Range(ends[0], ends[0], str(Range(ends[0], ends[0])))
    return Range(ends[0] if kind != "hi" else None, ends[1] if kind != "lo" else None)


@st.composite
def shapes(draw):
    words = st.one_of(FINITE.map(lambda value: repr(abs(value))),
                      st.sampled_from(["10:11:12", "-1:2:3.5", "12.5d", "3\""]))
    counts = {"circle": 3, "ellipse": 5, "box": 4, "rotbox": 5, "annulus": 4, "pie": 6, "polygon": 8, "field": 0}
    parts = []
    for join in draw(st.lists(st.sampled_from(["+", "-", "*", "|", "&", "*!", "+!"]), min_size=1, max_size=4)):
        kind = draw(st.sampled_from(sorted(counts)))
        numbers = draw(st.lists(words, min_size=counts[kind], max_size=counts[kind]))
        parts += [join.replace("-", "+")[1:] if not parts else join, f"{kind}({','.join(numbers)})"]
    return "".join(parts)


PATTERNS = st.from_regex(r"[01x]{1,32}", fullmatch=True).map(Bits)
TERMS = st.one_of(
    st.builds(RangeTerm, WORDS, st.lists(ranges(), min_size=1, max_size=4).map(tuple)),
    st.builds(BitsTerm, WORDS, st.lists(PATTERNS, min_size=1, max_size=2).map(tuple)),
    st.builds(lambda place, text: RegionTerm(place, text=text), PLACES, shapes()),
    st.builds(lambda place, file: RegionTerm(place, file=file), PLACES, FILES),
    st.builds(MaskTerm, PLACES, FILES),
    st.builds(GtiTerm, st.from_regex(r"[a-z./]{1,8}(\[GTI[0-9]\])?", fullmatch=True)),
)
DIFFERENT = st.lists(TERMS, min_size=1, max_size=4, unique_by=lambda term: str(term).split("=")[0])
FILTERS = st.builds(Filter, DIFFERENT.map(tuple), st.booleans())
COLUMNS = st.builds(Columns, st.lists(WORDS, min_size=1, max_size=4, unique=True).map(tuple), st.booleans())
BLOCKS = st.builds(Block, st.one_of(WORDS, st.integers(1, 99)))
ROW_RANGES = st.tuples(st.none() | st.integers(1, 50), st.integers(50, 10**9))
ROWS = st.builds(Rows, st.lists(ROW_RANGES, min_size=1, max_size=3).map(tuple))


@st.composite
def axes(draw):
    lo, hi = sorted(draw(st.tuples(st.integers(-9999, 9999), st.integers(-9999, 9999))))
    axis = {"lo": draw(st.sampled_from([None, float(lo)])), "hi": draw(st.sampled_from([None, float(hi)]))}
    kind = draw(st.sampled_from(["step", "count", ""]))
    if kind:
        axis[kind] = draw(st.floats(0.01, 1e9) if kind == "step" else st.integers(1, 10**8))
    return BinAxis(draw(WORDS.filter(lambda word: word != "sky")), **axis)


BINNINGS = st.builds(Binning, st.lists(axes(), min_size=1, max_size=2, unique_by=lambda axis: axis.column).map(tuple))
OPTIONS = st.builds(Options, st.fixed_dictionaries({"type": st.sampled_from(["i2", "i4", "r4", "r8"])}, optional={
    "null": st.just("nan"), "full": st.just(""), "update": st.just("no"), "mem": st.just("200")}))


@st.composite
def virtual_files(draw):
    steps = [*draw(st.lists(BLOCKS, max_size=1)), *draw(st.lists(ROWS, max_size=1)),
             *draw(st.lists(st.one_of(FILTERS, COLUMNS), max_size=4)), *draw(st.lists(BINNINGS, max_size=1)),
             *draw(st.lists(OPTIONS, max_size=1))]
    return VirtualFile(draw(st.from_regex(r"[a-z./-]{1,10}", fullmatch=True)), tuple(steps))


@given(virtual_files())
def test_names_say_what_they_mean(name):
    assert parse_name(str(name)) == name


@given(virtual_files())
def test_blanks_and_capitals_change_nothing(name):
    text = re.sub(r"(?<!\d[eE])([][,=()])", r" \1 ", str(name).replace("#row", "#RoW"))
    text = re.sub(r"\[ +(\w+)(?= )", lambda match: f"[ {match[1].upper()}", text)
    if not re.search(r"region|mask|@", text):
        assert parse_name(text) == name


ALPHABET = st.sampled_from([
    *"[](),:=#@!-+*|&;.019ex \"'\n\0é",
    "energy", "sky=", "bin ", "exclude ", "opt ", "cols ", "region(", "circle(", "1:2", "[@", "#row=", "f.fits["
])


def reads_or_refuses(text):
    try:
        name = parse_name(text)
    except VirtualNameError as error:
        message = str(error)
    else:
        assert parse_name(str(name)) == name
        return
    assert any(1 <= int(at) <= len(text) + 1 for at in re.findall(r": character (\d+): ", message))


@st.composite
def broken_names(draw):
    """A name that was right, with characters left out, added and exchanged."""
    text = str(draw(virtual_files()))
    for _ in range(draw(st.integers(1, 4))):
        at, end = draw(st.integers(0, len(text))), draw(st.integers(0, 3))
        text = text[:at] + draw(st.one_of(st.just(""), ALPHABET, st.characters())) + text[at + end :]
    return text


@given(st.one_of(broken_names(), st.lists(ALPHABET, max_size=30).map("".join).map("f[".__add__), st.text()))
def test_any_text_is_read_or_refused(text):
    reads_or_refuses(text)


@pytest.mark.long
@settings(max_examples=20_000)
@given(st.one_of(broken_names(), st.lists(ALPHABET, max_size=60).map("".join).map("f[".__add__), st.text()))
def test_any_text_is_read_or_refused_many_times(text):
    reads_or_refuses(text)


PIECES = [
    "[", "(", ",", ":", "=", "@", " ", "a", "1", "x", "-", "!", "]", ")", "[]", "()", "[a", "a=", "1,", "a=1,", "[a=1]",
    "@a[", "@a[]", "@a,", "1:2,", "0x,", " ,", "a(", "b0", "1e", "1.", "1-", "circle(1,2,3)+", "#", "&", "(x,y)=",
    "=a(", "1\t", "@[1]",
]
STARTS = [
    "", "f[", "f[a=", "f[(", "f[sky=", "f[sky=circle(", "f[bin ", "f[bin x=", "f[opt ", "f[cols ", "f[#row=", "f[@",
    "f[a=1,",
]


def lines_run(text):
    """How many lines of Python it takes to read a text."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        count += event == "line"
        return trace if frame.f_code.co_filename.endswith(os.path.join("virtual", "_parse.py")) else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        parse_name(text)
    except VirtualNameError:
        pass
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("piece", PIECES)
def test_work_grows_with_the_length_only(piece):
    """Twice the text, twice the work; and nothing that calls itself as deep as the text goes."""
    for start in STARTS:
        short, long = (lines_run(start + piece * count + "]") for count in (30, 60))
        assert long < 2.2 * short + 50


@pytest.mark.parametrize("piece", PIECES)
def test_long_texts_do_not_hang(piece):
    """Patterns that go back would take years for these, and calls of calls have no room."""
    for start in STARTS:
        for tail in ("", "]"):
            try:
                parse_name(start + piece * (10_000 // len(piece)) + tail)
            except VirtualNameError:
                continue


def test_long_names_are_read():
    vertices = ",".join(f"{i}.5,{i % 7}" for i in range(20_000))
    name = parse_name(f"f[sky=polygon({vertices})]" + "[x=1:2]" * 20_000)
    assert len(name.steps) == 20_001
    assert len(parse_name(f"f[x={','.join(['1:2'] * 50_000)}]").filters[0].terms[0].ranges) == 50_000
