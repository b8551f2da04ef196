"""Texts of regions that CIAO and DS9 take: short names, minutes of 60, and the statements of DS9."""

import numpy as np
import pytest

from chandra_bin.errors import InputError
from chandra_bin.fits.virtual import parse_name
from chandra_bin.regions import parse_regions
from required import absent

DS9 = "# Region file format: DS9 version 4.1\n"
SHORT = {"cir": "circle", "circ": "circle", "ell": "ellipse", "ellip": "ellipse", "poi": "point", "poly": "polygon",
         "rect": "rectangle", "sect": "sector", "secto": "sector"}
TOO_SHORT = ["ci", "el", "po", "pol", "rec", "se", "ann", "rotb", "fiel"]
NUMBERS = {"circle": "9,9,5", "ellipse": "9,9,5,3,20", "point": "9,9", "polygon": "2,3,17,4,9,18",
           "rectangle": "3,4,15,12", "sector": "9,9,10,100", "annulus": "9,9,2,5", "rotbox": "9,9,4,5,20", "field": ""}


@pytest.fixture(scope="module")
def ciao():
    try:
        from sherpa.astro.utils._region import Region
    except ImportError:
        absent("ciao", "needs CIAO's region library (tests/external)")
    return Region


@pytest.mark.full
@pytest.mark.parametrize("short", SHORT)
def test_short_names_are_those_of_ciao(ciao, short):
    kind = SHORT[short]
    text = f"{short}({NUMBERS[kind]})"
    assert [shape.kind for shape in parse_regions(text).shapes] == [kind]
    assert str(ciao(text)) == str(ciao(f"{kind}({NUMBERS[kind]})"))
    (term,) = parse_name(f"f.fits[sky={text}]").filters[0].terms
    assert term.text == f"{kind}({NUMBERS[kind]})"


@pytest.mark.full
@pytest.mark.parametrize("short", TOO_SHORT)
def test_shorter_names_are_refused_as_ciao_refuses_them(ciao, short):
    kind = next(kind for kind in NUMBERS if kind.startswith(short))
    text = f"{short}({NUMBERS[kind]})"
    with pytest.raises(InputError, match="unknown shape"):
        parse_regions(text)
    with pytest.raises(ValueError, match="unable to parse"):
        ciao(text)


@pytest.mark.parametrize(("text", "degrees"), [
    ("9:59:60,2:00:00", (150, 2)),
    ("9:60:00,1:59:60", (150, 2)),
    ("10:00:00,-2:60:00", (150, -3)),
    ("10:00,2:30", (150, 2.5)),
    ("10:00.5,-0:30", (150.125, -0.5)),
    ("10h30m,2d15m", (157.5, 2.25)),
    ("10h0m0s,+2d0m30s", (150, 2 + 30 / 3600)),
])
def test_sexagesimal_forms(text, degrees):
    (shape,) = parse_regions(f"circle({text},3')").shapes
    np.testing.assert_allclose(shape.points, [degrees], rtol=0, atol=1e-12)
    (filtered,) = parse_regions(parse_name(f"f.fits[sky=circle({text},3')]").filters[0].terms[0].text).shapes
    np.testing.assert_array_equal(filtered.points, shape.points)


@pytest.mark.full
def test_ciao_carries_minutes_of_60_over(ciao):
    assert str(ciao("circle(9:59:60,2:00:00,5')")) == str(ciao("circle(10:00:00,2:00:00,5')"))


@pytest.mark.parametrize("words", ["circle point 9 8", "box point(9,8)", "x point 9 8", "point(9,8)"])
def test_marked_points_of_ds9(words):
    (shape,) = parse_regions(f"{DS9}image;{words}").shapes
    assert shape.kind == "point"
    np.testing.assert_array_equal(shape.points, [[9, 8]])


def test_shapes_follow_global_properties_on_their_line():
    region = parse_regions("global color=green font=\"a;b\" text={c;d};image;circle(9,9,3)")
    assert [(shape.kind, shape.system) for shape in region.shapes] == [("circle", "image")]
    assert region.settings == "global color=green font=\"a;b\" text={c;d}"


@pytest.mark.parametrize("drawn", ["text 10 10 {a;b}", "line 1 1 5 5", "vector(1,1,5,5)", "ruler 1 1 5 5"])
def test_shapes_follow_drawings_on_their_line(drawn):
    region = parse_regions(f"{DS9}image;{drawn};circle(9,9,3)")
    assert [shape.kind for shape in region.areas] == ["circle"]
    assert len(region.decorations) == 1


@pytest.mark.parametrize(("shape", "message"), [
    ("box(9,9,1,2,n=2)", "with n= needs the sizes of the inner and the outer box, not 1"),
    ("box(9,9,1,2,3,4,n=0,45)", "has a range that cannot be read"),
    ("ellipse(9,9,1,2,3,4,5,6,n=2)", "with n= needs the sizes of the inner and the outer ellipse, not 3"),
    ("annulus(9,9,1,2,3,n=2)", "with n= needs an inner and an outer radius, not 3"),
    ("box(9,9,1,2,3,4,n=2,n=3)", "has n= more than once"),
    ("epanda(9,9,0,90,1,1,2,3,4)", "needs 11 numbers, not 9"),
    ("epanda(9,9,0,90,99,1,2,3,4,99,0)", "has 99 rings of 99 parts"),
])
def test_rings_that_cannot_be_read(shape, message):
    with pytest.raises(InputError, match=rf"line 2: \w+: {message}"):
        parse_regions(f"{DS9}image;{shape}")


def test_pandas_are_shapes_of_ds9_only():
    with pytest.raises(InputError, match="unknown shape or coordinate system 'epanda'"):
        parse_regions("epanda(9,9,0,90,1,1,2,3,4,1,0)")
