"""Region files: read as their readers do, converted, and written with the same pixels inside."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.fits import Header
from hypothesis import given
from hypothesis import strategies as st

from chandra_bin.binning.outlines import trace_polygons
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import ChandraBinWarning, InputError
from chandra_bin.fits.virtual import parse_name
from chandra_bin.plots.regions import RegionOverlay, region_png
from chandra_bin.regions import (
    BinTexts,
    Style,
    convert_region,
    from_astropy,
    parse_regions,
    read_regions,
    region_bytes,
    region_extent,
    region_mask,
    region_of,
    to_astropy,
)
from chandra_bin.regions._format import LONGEST_CIAO_LINE, ciao_line
from chandra_bin.regions._shapes import AREAS
from chandra_bin.regions._split import split_component
from chandra_bin.regions._write import component_of
from golden_data import read_expected, read_region_files
from test_polygon_trace import SPECIAL, binmaps
from test_wcs import PHYSICAL, SKY, turned_physical

CIAO = "# Region file format: CIAO version 1.0\n"
DS9 = "# Region file format: DS9 version 4.1\nglobal color=green\n"
SHAPE = (366, 364)


@pytest.fixture(scope="module")
def coords():
    return ImageCoords(fits.Header({**SKY, **PHYSICAL}))


def small_coords():
    """An image of 1-pixel steps, far from the pole, with everything."""
    return ImageCoords(fits.Header({**SKY, "CRVAL1P": 100.5, "CRPIX1P": 0.5, "CDELT1P": 1.0,
                                    "CRVAL2P": 200.5, "CRPIX2P": 0.5, "CDELT2P": 1.0}))


# --- reading -------------------------------------------------------------------------------------------------------

REAL_FILES = {
    "a2142.reg": (540, {"physical"}), "casa.reg": (6, {"icrs"}), "ciao_bkg.reg": (1, {"physical"}),
    "ciao_contam.reg": (3, {"physical"}), "ciao_mag.reg": (1, {"physical"}), "ciao_sgra.reg": (1, {"physical"}),
    "ciao_src.reg": (13, {"physical"}), "ngc5044_tess_fits.reg.gz": (1162, {"physical"}),
    "regions1_up_box_6714.reg": (22, {"physical"}), "test_region.reg": (2, {"fk5"}),
    "xga_ds9_image_ellipses.reg": (21, {"image"}), "ximpol_casa_multiple.reg": (13, {"icrs"}),
}


@pytest.mark.parametrize("name", REAL_FILES)
def test_files_of_real_tools(shared, name):
    count, systems = REAL_FILES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChandraBinWarning)
        region = read_regions(shared / "data/regions" / name)
    assert len(region.shapes) == count
    assert {shape.system for shape in region.shapes} == systems


def test_region_files_of_contbin(shared):
    """Its boxes, hundreds a file, in six digits."""
    coords = ImageCoords(fits.getheader(shared / "contbin/golden/inputs/ngc5044_364x366.fits.gz"))
    binmap = read_expected("ngc5044_70_100_c3")["binmap"]
    texts = read_region_files("ngc5044_70_100_c3")
    assert len(texts) == 96
    found = np.full(binmap.shape, -1)
    for name, text in texts.items():
        region = parse_regions(text, name)
        assert len(region.shapes) == text.count("rotbox(")
        found[region_mask(region, coords, binmap.shape)] = int(name.removeprefix("xaf_").removesuffix(".reg"))
    np.testing.assert_array_equal(found, binmap)


def test_every_real_file_is_in_the_table(shared):
    assert {path.name for path in (shared / "data/regions").iterdir()} == set(REAL_FILES)


def test_field_of_view_files(shared):
    region = read_regions(shared / "data/sgra_28229/repro/acisf28229_repro_fov1.fits.gz")
    assert [len(component) for component in region.components] == [1, 1]


def test_what_a_file_of_ds9_holds():
    text = DS9 + """
physical
circle(100,200,5) # color=red text={a; b # c}
-box(110,200,5,6,30)
# text(1,2) text={note}
fk5; ellipse(13:15:24.4358,-16:21:47.908,71.635",0.5',55) # tag={one}
icrs
circle(198.8,-16.4,0.01)
image;point(3,4) # point=cross
galactic;circle(311.2,46.1,2')
j2000;circle 13h15m24s -16d21m47s 30"
"""
    region = parse_regions(text, "some.reg")
    assert [(s.kind, s.system, s.unit, s.line) for s in region.shapes] == [
        ("circle", "physical", "physical", 5), ("box", "physical", "physical", 6), ("text", "physical", "physical", 7),
        ("ellipse", "fk5", "deg", 8), ("circle", "icrs", "deg", 10), ("point", "image", "physical", 11),
        ("circle", "galactic", "deg", 12), ("circle", "fk5", "deg", 13)]
    assert region.shapes[0].properties == "color=red text={a; b # c}"
    assert [cut.kind for cut in region.cuts] == ["box"]
    ellipse = region.shapes[3]
    np.testing.assert_allclose(ellipse.points, [[198.851815833, -16.363307778]], atol=1e-9)
    np.testing.assert_allclose(ellipse.lengths, (71.635 / 3600, 0.5 / 60))
    np.testing.assert_allclose(region.shapes[-1].points, [[198.85, -16.363055556]], atol=1e-9)


@pytest.mark.parametrize(
    ("text", "components"),
    [
        ("circle(1,1,1)\ncircle(2,2,1)", ["circle", "circle"]),
        ("circle(1,1,1)+box(2,2,1,1)|point(3,3)", ["circle", "box", "point"]),
        ("circle(1,1,1)*box(2,2,1,1)&point(3,3)", ["circle box point"]),
        ("circle(1,1,1)-box(2,2,1,1)\n-point(3,3)", ["circle !box !point"]),
        ("circle(1,1,1)*!box(2,2,1,1)", ["circle !box"]),
        ("!circle(1,1,1)", ["!circle"]),
        ("circle(1,1,1)-!box(2,2,1,1)", ["circle box"]),
        ("Circle (1, 1 1 )\r\nFIELD()", ["circle", "field"]),
        ("circle(1,1,1) # a comment", ["circle"]),
    ],
)
def test_joins(text, components):
    region = parse_regions(text)
    assert region.format == "ciao"
    assert [" ".join("!" * s.complement + s.kind for s in c) for c in region.components] == components
    assert not region.cuts


def test_sets_of_ds9():
    region = parse_regions(DS9 + "physical\nannulus(9,9,1,2,5)\nannulus(9,9,1,7,n=3)\npanda(9,9,270,0,2,1,3,1)\n"
                           "ellipse(9,9,1,2,3,4,30)\nbox(9,9,4,4)\n")
    assert len(region.components) == 2 + 3 + 2 + 1 + 1
    assert [shape.lengths for (shape,) in region.components[:5]] == [(1, 2), (2, 5), (1, 3), (3, 5), (5, 7)]
    assert [shape.angles for (shape,) in region.components[5:7]] == [(270, 315), (315, 360)]
    outer, inner = region.components[7]
    assert (outer.lengths, inner.lengths, inner.complement) == ((3, 4), (1, 2), True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("circle(1,1,1)\npolygon(1,2,3,4,5)", "line 2: polygon: has an odd number of coordinates: 5"),
        ("polygon(1,2,3,4)", "line 1: polygon: needs at least 3 vertices, not 2"),
        ("\n\ndiamond(1,2,3,4)", "line 3: unknown shape or coordinate system 'diamond'"),
        ("fk9;circle(1,2,3)", "line 1: unknown shape or coordinate system 'fk9'"),
        (DS9 + "wcsb\ncircle(1,2,3)", "line 3: the coordinate system wcsb is not supported"),
        (DS9 + "linear\ncircle(1,2,3)", "line 3: the coordinate system linear is not supported"),
        ("circle(nan,1,2)", "line 1: circle: cannot read the number 'nan'"),
        ("polygon(1,2,3,4,nan,6)", "line 1: polygon: cannot read the number 'nan'"),
        ("circle(1,1e999,2)", "line 1: circle: the number 1e999 is not finite"),
        ("point(1,1)\ncircle(10:75:99,-16:21:47,3)", "line 2: circle: the coordinate 10:75:99 has minutes or seconds"),
        ("circle(10h15m09s,-16d61m47s,3)", "line 1: circle: the coordinate -16d61m47s has minutes or seconds"),
        ("polygon(1:0:0,2:0:0,1:0:9,2:0:0,1:0:0,2:0:61)", "line 1: polygon: the coordinate 2:0:61 has minutes or"),
        ("polygon(1:0:0,2:0:0,1:0:9,2.0d,1:0:0,-2:61:0.0)", "line 1: polygon: the coordinate -2:61:0.0 has minutes or"),
        ("circle(1,1)", "line 1: circle: needs 3 numbers, not 2"),
        ("circle(1,1,-3)", "line 1: circle: has a length below 0: -3"),
        ("annulus(1,1,3,2)", "line 1: annulus: has an inner radius above the outer one"),
        ("annulus(1,1,1,2,3)", "line 1: annulus: needs 4 numbers, not 5"),
        ("field()\nrectangle(8,9,3,4)", r"line 2: rectangle: has its corners in the wrong order \(8,9,3,4\)"),
        ("rectangle(3,9,8,4)", "line 1: rectangle: has its corners in the wrong order"),
        (DS9 + "image\nrectangle(8,4,3,9)", "line 4: rectangle: has its corners in the wrong order"),
        ("rotrectangle(3,4,8,9,30)", "line 1: CIAO does not read rotrectangle"),
        ("circle 1", "line 1: circle: needs 3 numbers, not 1"),
        ("circle", "line 1: circle needs its numbers in parentheses"),
        ("ellipse(1,1,2\",3,0)", "line 1: ellipse: has lengths in different units"),
        ("circle(1,1,1)*-box(1,1,1,1)", r"line 1: '\*-' cannot join shapes"),
        ("circle(1,1,1)*\n", r"line 1: ends with '\*'"),
        ("-circle(1,1,1)", "line 1: begins with an excluded or joined shape"),
        ("*circle(1,1,1)", "line 1: begins with an excluded or joined shape"),
        ("circle(1,1,1) ?", "line 1: cannot be read from"),
        (DS9 + "physical\n-annulus(1,1,1,2,3)\n-ellipse(1,1,1,2,3,4,0)", "line 5: rings of ellipse can be included"),
        (DS9 + "panda(9,9,0,90,2,1,3)", "line 3: panda: needs 8 numbers, not 7"),
        (DS9 + "panda(9,9,0,90,0,1,3,1)", "line 3: panda: has a range that cannot be read"),
        ("circle(1,1,1) {a", "line 1: a brace is not closed"),
        ("", "holds no shape"),
        (CIAO, "holds no shape"),
    ],
)
def test_what_cannot_be_read(text, message):
    with pytest.raises(InputError, match=r"bad\.reg: " + message):
        parse_regions(text, "bad.reg")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_regions(tmp_path / "none.reg")
    (tmp_path / "binary.reg").write_bytes(b"a\0b")
    with pytest.raises(InputError, match="neither a text file nor a FITS file"):
        read_regions(tmp_path / "binary.reg")
    fits.PrimaryHDU(np.zeros((2, 2))).writeto(tmp_path / "image.fits")
    with pytest.raises(InputError, match="holds no table of regions"):
        read_regions(tmp_path / "image.fits")
    columns = [fits.Column(name, "E", array=[1.0]) for name in ("X", "Y", "SHAPES")]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "shapes.fits")
    with pytest.raises(InputError, match="COMPONENT\\); if SHAPES is meant, rename it to SHAPE"):
        read_regions(tmp_path / "shapes.fits")
    (tmp_path / "cut.reg.gz").write_bytes(b"\x1f\x8b1234")
    with pytest.raises(InputError, match="truncated or damaged"):
        read_regions(tmp_path / "cut.reg.gz")
    with pytest.raises(InputError, match="semantics"):
        parse_regions("circle(1,1,1)", semantics="funtools")


def table(tmp_path, **columns):
    made = fits.BinTableHDU.from_columns([fits.Column(name, form, array=values)
                                          for name, (form, values) in columns.items()])
    made.writeto(tmp_path / "table.fits")
    return tmp_path / "table.fits"


@pytest.mark.parametrize(
    ("shape", "x", "message"),
    [("Banana", 1.0, "row 2: unknown shape 'Banana'"), ("Circle", np.nan, "row 2: a number of the circle is missing"),
     ("Polygon", 1.0, "row 2: a polygon has only 1 vertex"), ("Pie", 1.0, "row 2: the pie needs 2 values of ROTANG")],
)
def test_bad_rows_of_tables(tmp_path, shape, x, message):
    path = table(tmp_path, X=("1D", [1.0, x]), Y=("1D", [1.0, 2.0]), SHAPE=("8A", ["point", shape]),
                 R=("2D", [[1.0, 2.0]] * 2), ROTANG=("1D", [0.0, 0.0]))
    with pytest.raises(InputError, match=message):
        read_regions(path)


@pytest.mark.parametrize(
    ("shape", "x", "angle", "message"),
    [("RotRectangle", [1.0, 5.0], 45.0, "row 2: a rotated rectangle"),
     ("Rectangle", [1.0, 5.0], 45.0, "a rotated rectangle"),
     ("Rectangle", [5.0, 1.0], 0.0, "row 2: the rectangle has its corners in the wrong order"),
     ("!Rectangle", [5.0, 1.0], 0.0, "corners in the wrong order"),
     ("Circle", [1.0, 5.0], 5.0, "the circle has an angle")],
)
def test_rows_that_lose_something(tmp_path, shape, x, angle, message):
    path = table(tmp_path, X=("2D", [[1.0, 1.0], x]), Y=("2D", [[1.0, 1.0], [1.0, 5.0]]),
                 SHAPE=("12A", ["point", shape]), R=("2D", [[1.0, 2.0]] * 2), ROTANG=("1D", [0.0, angle]))
    with pytest.raises(InputError, match=message):
        read_regions(path)


def test_a_rectangle_that_is_not_turned(tmp_path):
    path = table(tmp_path, X=("2D", [[1.0, 5.0]] * 2), Y=("2D", [[1.0, 7.0]] * 2),
                 SHAPE=("12A", ["RotRectangle", "Field"]), ROTANG=("1D", [0.0, np.nan]))
    assert [shape.kind for shape in read_regions(path).shapes] == ["rectangle", "field"]


def test_masks_and_conversions_agree_about_rectangles():
    """Also where an axis of physical coordinates runs backwards, so that the corners change places."""
    for step in (2.0, -2.0):
        coords = ImageCoords(fits.Header({"CRVAL1P": 100.0, "CRPIX1P": 10.0, "CDELT1P": step,
                                          "CRVAL2P": 100.0, "CRPIX2P": 10.0, "CDELT2P": 2.0}))
        region = parse_regions("rectangle(95,91,106,102)")
        expected = region_mask(region, coords, (20, 20))
        assert expected.any()
        made = convert_region(region, coords, "image")
        np.testing.assert_array_equal(region_mask(made, coords, (20, 20)), expected)


def test_numbers_that_ciao_would_misread(tmp_path):
    path = tmp_path / "a.reg"
    path.write_text(DS9 + "fk5\ncircle(13:15:24,-16:21:47,30\")\ncircle(198.8,-16.4,30\")\n")
    with pytest.warns(ChandraBinWarning, match=r"a\.reg: line 5: CIAO silently reads these fk5 degrees as physical"):
        read_regions(path)
    path.write_text(DS9 + "image\ncircle(18,16,3)\n")
    with pytest.warns(ChandraBinWarning, match="line 4: CIAO silently reads these image coordinates"):
        read_regions(path)
    read_regions(path, for_ciao=False)
    path.write_text(DS9 + "physical\ncircle(18,16,3)\n")
    read_regions(path)


# --- what is taken away from what -----------------------------------------------------------------------------------

TWO_READINGS = "circle(4000,3800,200)\ncircle(4100,3800,200)\n-circle(4000,3800,100)\n"


@pytest.mark.parametrize(("text", "default"),
                         [(CIAO + TWO_READINGS, "ciao"), (DS9 + "physical\n" + TWO_READINGS, "ds9")])
def test_semantics(coords, text, default):
    masks = {}
    for semantics in ("ciao", "ds9", None):
        region = parse_regions(text, semantics=semantics)
        with pytest.warns(ChandraBinWarning, match="CIAO and DS9 disagree about") as caught:
            masks[semantics] = region_mask(region, coords, SHAPE)
        number = np.count_nonzero(masks["ciao"] != masks.get("ds9", masks["ciao"]))
    assert f"about {number} pixels" in str(caught[0].message)
    assert number > 100
    np.testing.assert_array_equal(masks[None], masks[default])
    only_second = region_mask(parse_regions("circle(4100,3800,200)"), coords, SHAPE)
    hole = region_mask(parse_regions("circle(4000,3800,100)"), coords, SHAPE)
    first = region_mask(parse_regions("circle(4000,3800,200)"), coords, SHAPE)
    np.testing.assert_array_equal(masks["ciao"], first | (only_second & ~hole))
    np.testing.assert_array_equal(masks["ds9"], (first | only_second) & ~hole)


def test_readings_that_agree_do_not_warn(coords):
    region_mask(parse_regions("circle(4000,3800,200)\n-circle(4000,3800,100)\nbox(3700,3500,80,80)\n"), coords, SHAPE)


def test_ds9_file_of_exclusions_only(coords):
    mask = region_mask(parse_regions(DS9 + "physical\n-circle(4000,3800,200)\n"), coords, SHAPE)
    np.testing.assert_array_equal(~mask, region_mask(parse_regions("circle(4000,3800,200)"), coords, SHAPE))


@pytest.mark.parametrize("semantics", ["ciao", "ds9"])
@pytest.mark.parametrize(("format", "system"), [("ciao", "physical"), ("ciao", "wcs"), ("fits", "physical")])
def test_conversion_keeps_the_pixels_of_either_reading(coords, tmp_path, semantics, format, system):
    region = parse_regions(TWO_READINGS, semantics=semantics)
    with pytest.warns(ChandraBinWarning, match="disagree"):
        expected = region_mask(region, coords, SHAPE)
    path = tmp_path / "made"
    path.write_bytes(region_bytes(region, coords, format=format, system=system))
    made = read_regions(path)
    assert not made.cuts
    assert made.other is None
    np.testing.assert_array_equal(region_mask(made, coords, SHAPE), expected)


def test_cuts_are_written_only_where_they_reach(coords):
    text = DS9 + "physical\ncircle(4000,3800,100)\ncircle(4500,3800,100)\n-circle(4000,3800,50)\n"
    written = region_bytes(parse_regions(text), coords, format="ciao").decode()
    assert written == CIAO + "circle(4000,3800,100)*!circle(4000,3800,50)\ncircle(4500,3800,100)\n"


# --- converting -----------------------------------------------------------------------------------------------------

ALL_KINDS = """circle(4000.3,3800.2,101.7)
ellipse(4300.3,3800.2,101.7,33.1,30)
rotbox(4300.3,4100.2,201.7,33.1,55)
box(4600.3,4100.2,201.7,33.1)
annulus(3700.1,3400.3,21.7,60.2)
pie(4600.1,3400.3,21.7,130.2,20,110)
polygon(3600.1,3900.2,3700.1,4100.5,3800.3,3950.7,3700.2,3990.1)
rectangle(4100.1,3200.3,4300.7,3350.9)
point(3678.1,3238.9)
"""


OF_EACH_KIND = {
    "circle": "circle(20,20,9.3)", "ellipse": "ellipse(20,20,12.2,5.1,30)", "box": "box(20,20,15.5,7.7,30)",
    "annulus": "annulus(20,20,5.2,9.9)", "pie": "pie(20,20,3,12,20,130)", "sector": "sector(20,20,20,130)",
    "rectangle": "rectangle(10,12,25,30)", "point": "point(20,20)", "polygon": "polygon(10,10,30,12,20,33)",
    "field": "field()",
}


@pytest.mark.parametrize("kind", AREAS)
def test_each_kind_is_known_everywhere(kind):
    """Its box holds its pixels, it is drawn, and virtual names and the documentation have it."""
    text = OF_EACH_KIND[kind]
    region = parse_regions(text)
    pixels = {f"{key}{axis}P": 1.0 for key in ("CRVAL", "CRPIX", "CDELT") for axis in (1, 2)}
    coords = ImageCoords(Header(pixels))  # physical coordinates are those of FITS
    y, x = np.nonzero(region_mask(region, coords, (48, 48)))
    (x0, x1), (y0, y1) = region_extent(region)
    assert len(x)
    assert x0 <= x.min() + 1 <= x.max() + 1 <= x1
    assert y0 <= y.min() + 1 <= y.max() + 1 <= y1
    assert region_png(np.ones((48, 48)), [RegionOverlay(region, "a region")], coords, "title")
    assert text in str(parse_name(f"evt.fits[sky={text}]"))
    assert f"`{kind}" in (Path(__file__).parents[1] / "docs/reference/region-files.md").read_text()


@pytest.mark.parametrize("turn", [0.0, 25.0])
@pytest.mark.parametrize(
    ("format", "system", "sexagesimal"),
    [("ciao", "physical", False), ("ciao", "wcs", True), ("ciao", "icrs", False), ("ciao", "fk5", True),
     ("ds9", "image", False), ("ds9", "physical", False), ("ds9", "fk5", False), ("ds9", "icrs", True),
     ("ds9", "galactic", False), ("ds9", "galactic", True), ("ds9", "ecliptic", False), ("fits", "physical", False)],
)
def test_every_kind_in_every_system(tmp_path, turn, format, system, sexagesimal):
    """There and back: the same pixels, but for those within a thousandth of an edge."""
    coords = ImageCoords(fits.Header({**SKY, **PHYSICAL, "CROTA2": turn}))
    expected = region_mask(parse_regions(ALL_KINDS), coords, SHAPE)
    path = tmp_path / "made.reg"
    path.write_bytes(region_bytes(parse_regions(ALL_KINDS), coords, format=format, system=system,
                                  sexagesimal=sexagesimal))
    text = path.read_bytes()
    assert b"\r" not in text
    region = read_regions(path, for_ciao=False)
    if format == "ciao":
        assert b" " not in text.split(b"\n", 1)[1]
        # CIAO knows one sky, the image's own; here it is told that the numbers are in another.
        region = parse_regions(f"{system}\n{text.decode()}" if system not in ("physical", "wcs") else text.decode())
    if format == "ciao" and system in ("icrs", "fk5"):
        return  # angles then are DS9's; the numbers are compared with DS9's own in test_regions_ds9
    assert np.count_nonzero(region_mask(region, coords, SHAPE) != expected) <= 1
    assert len(region.shapes) == 9


def test_numbers_in_their_own_system_stay_as_they_are(coords):
    text = CIAO + "circle(4000.123456,3800.2,101.7)\nrotbox(4300.3,4100.2,201.7,33.1,55)\n"
    assert region_bytes(parse_regions(text), coords, format="ciao").decode() == text


def test_properties_of_ds9_are_kept(coords):
    text = DS9 + "physical\ncircle(4000,3800,100) # color=red text={core}\n-box(4000,3800,10,10,0) # tag={a}\n"
    written = region_bytes(parse_regions(text), coords, format="ds9", system="image").decode()
    assert "global color=green" in written
    assert "circle(117.375,177.375,25) # color=red text={core}" in written
    assert "-box(117.375,177.375,2.5,2.5,0) # tag={a}" in written


def test_the_own_frame_has_its_name_in_ds9_files(coords):
    """DS9 takes the word wcs for FK5."""
    region = parse_regions("circle(4000.3,3800.2,101.7)")
    written = region_bytes(region, coords, format="ds9", system="wcs").decode()
    assert written == region_bytes(region, coords, format="ds9", system="icrs").decode()
    assert written.splitlines()[2] == "icrs"


def test_sexagesimal_numbers_at_their_limits():
    style = Style("ds9", "icrs", True)
    points = np.array([[359.99999999999, 89.99999999999], [0.0, -1e-12], [15.0, -0.5]])
    assert style.points(points) == ["00:00:00.0000,+90:00:00.000", "00:00:00.0000,-00:00:00.000",
                                    "01:00:00.0000,-00:30:00.000"]
    assert Style("ds9", "galactic", True).points(points[2:]) == ["15:00:00.000,-00:30:00.000"]
    region = parse_regions(DS9 + "icrs\npolygon(01:00:00.0,-00:30:00,01:00:04,-00:30:00,01:00:04,+00:30:00)\n")
    np.testing.assert_allclose(region.shapes[0].points[:2], [[15, -0.5], [15 + 1 / 60, -0.5]])


@pytest.mark.parametrize(
    ("text", "call", "message"),
    [
        ("circle(1,1,1)", {"format": "ciao", "system": "galactic"}, "not galactic coordinates"),
        ("circle(1,1,1)", {"format": "ciao", "system": "image"}, "CIAO reads image coordinates as physical"),
        ("circle(1,1,1)", {"format": "fits", "system": "fk5"}, "FITS region tables contain physical"),
        ("sector(1,1,1,20)", {"format": "ds9"}, "DS9 has no shape like CIAO's sector"),
        ("field()", {"format": "ds9"}, "DS9 has no shape for the whole field"),
        ("field()\ncircle(1,1,1)", {"format": "ds9"}, "line 1: DS9 cannot join the field"),
        ("circle(1,1,1)*box(1,1,1,1)", {"format": "ds9"}, "line 1: DS9 has no AND"),
        ("point(1,1)", {"format": "ds9", "system": "supergalactic"}, "DS9 has no coordinate system supergalactic"),
    ],
)
def test_what_cannot_be_written(coords, text, call, message):
    with pytest.raises(InputError, match=message):
        region_bytes(parse_regions(text), coords, **call)


@pytest.mark.parametrize(
    ("header", "text", "message"),
    [
        (SKY, "circle(1,1,1)", "no physical coordinates"),
        (PHYSICAL, "circle(13:15:24,-16:21:47,1')", "no sky coordinates"),
        ({**PHYSICAL, "CDELT2P": 2.0}, DS9 + "image\ncircle(1,1,1)\nphysical;circle(4000,4000,3)", "4 x 2"),
        ({**SKY, "CDELT1": -SKY["CDELT1"]}, DS9 + "fk5;ellipse(198.8,-16.4,3\",4\",10)", "mirrored"),
        (SKY, DS9 + "fk5;polygon(198.8,-16.4,198.8,-16.3,18.8,16.4)",
         "line 3: polygon: is partly off the image's projection"),
    ],
)
def test_images_that_lack_what_is_asked_for(header, text, message):
    with pytest.raises(InputError, match=message):
        region_mask(parse_regions(text), ImageCoords(fits.Header({"NAXIS1": 364, "NAXIS2": 366, **header})), SHAPE)


def test_regions_on_images_turned_against_physical_coordinates(tmp_path):
    """The pixels whose centres, in physical coordinates, are in the shape; and the same after a conversion."""
    coords = ImageCoords(turned_physical(30.0, 1.0, LTV1=0.0, LTV2=100.0))
    x, y = coords.image_to_physical(*np.indices(SHAPE, dtype=float)[::-1])
    u = (x - 150.3) * np.cos(np.radians(20)) + (y - 80.2) * np.sin(np.radians(20))
    v = (y - 80.2) * np.cos(np.radians(20)) - (x - 150.3) * np.sin(np.radians(20))
    inside = {
        "circle(150.3,80.2,31.7)": np.hypot(x - 150.3, y - 80.2) <= 31.7,
        "rotbox(150.3,80.2,61.7,20.3,20)": (abs(u) <= 61.7 / 2) & (abs(v) <= 20.3 / 2),
        "rectangle(120.3,60.2,190.7,101.9)": (x >= 120.3) & (x <= 190.7) & (y >= 60.2) & (y <= 101.9),
        "sector(150.3,80.2,10,90)": np.arctan2(y - 80.2, x - 150.3) % (2 * np.pi) == np.clip(
            np.arctan2(y - 80.2, x - 150.3) % (2 * np.pi), np.radians(10), np.radians(90)),
    }
    for text, expected in inside.items():
        region = parse_regions(text)
        assert 500 < expected.sum() < expected.size
        np.testing.assert_array_equal(region_mask(region, coords, SHAPE), expected, err_msg=text)
        in_image = convert_region(region, coords, "image")
        np.testing.assert_array_equal(region_mask(in_image, coords, SHAPE), expected)
        for format in ("ciao", "fits"):
            (tmp_path / format).write_bytes(region_bytes(in_image, coords, format=format, system="physical"))
            found = region_mask(read_regions(tmp_path / format), coords, SHAPE)
            assert np.count_nonzero(found != expected) <= 1, text
    (made,) = convert_region(parse_regions(DS9 + "image\nrectangle(3,4,50,60)"), coords, "physical").shapes
    assert made.kind == "polygon"


def test_the_sky_of_an_image_turned_against_physical_coordinates(coords):
    text = DS9 + "fk5;circle(198.88,-16.38,0.02)"
    np.testing.assert_array_equal(region_mask(parse_regions(text), ImageCoords(turned_physical(30.0)), SHAPE),
                                  region_mask(parse_regions(text), coords, SHAPE))
    skewed = ImageCoords(turned_physical(30.0, LTM2_2=0.1))
    with pytest.raises(InputError, match="mirrored or skewed"):
        region_mask(parse_regions("circle(4000,3800,100)"), skewed, SHAPE)


def test_headers_without_the_number_of_pixels(coords):
    """Those of products: the image's own shape is taken where it is known."""
    header = fits.Header({key: value for key, value in {**SKY, **PHYSICAL}.items() if not key.startswith("NAXIS")})
    text = DS9 + "fk5;ellipse(198.88,-16.38,0.02,0.03,20)"
    np.testing.assert_array_equal(region_mask(parse_regions(text), ImageCoords(header), SHAPE),
                                  region_mask(parse_regions(text), coords, SHAPE))
    assert region_bytes(parse_regions(text), ImageCoords(header), format="ciao")


def test_texts_cover_nothing(coords):
    with pytest.raises(InputError, match="no shape"):
        parse_regions(DS9 + "physical\n# text(1,1) text={a}\n")
    region = convert_region(parse_regions(DS9 + "physical\ntext(1,1,\"(a)\")\ncircle(4000,4000,3)"), coords, "image")
    assert [shape.kind for shape in region.shapes] == ["text", "circle"]


# --- outlines of bins -------------------------------------------------------------------------------------------------


def read_back(texts, coords, shape):
    image = np.full(shape, -1)
    for label, text in texts:
        inside = region_mask(parse_regions(text), coords, shape)
        assert not (inside & (image >= 0)).any(), "bins overlap"
        image[inside] = label
    return image


@given(binmap=binmaps(), style=st.sampled_from([
    Style("ciao", "physical"), Style("ciao", "wcs", True), Style("ciao", "wcs"), Style("ds9", "image"),
    Style("ds9", "physical"), Style("ds9", "icrs", True)]))
def test_outlines_of_random_bins(binmap, style):
    coords = small_coords()
    texts = BinTexts(trace_polygons(binmap), coords, style).of_bins()
    np.testing.assert_array_equal(read_back(texts, coords, binmap.shape), np.maximum(binmap, -1))


@pytest.mark.parametrize("name", [name for name in SPECIAL if name not in ("all outside", "no pixels")])
def test_outlines_of_special_bins(tmp_path, name):
    coords, binmap = small_coords(), SPECIAL[name]
    polygons = trace_polygons(binmap)
    for label in np.unique(polygons.labels):
        path = tmp_path / "bin.fits"
        path.write_bytes(region_bytes(region_of(polygons, int(label)), coords, format="fits"))
        np.testing.assert_array_equal(region_mask(read_regions(path), coords, binmap.shape), binmap == label)
    text = BinTexts(polygons, coords, Style("ds9", "physical")).all_in_one()
    region = parse_regions(text)
    assert not region.cuts
    np.testing.assert_array_equal(region_mask(region, coords, binmap.shape), binmap >= 0)
    assert len(region.components) == len(polygons)
    assert all(f"tag={{bin {label}}}" in shape.properties
               for label, shape in zip(polygons.labels, region.shapes, strict=True))


def comb(teeth):
    """A bin with a long outline and many holes."""
    binmap = np.full((2 * teeth + 1, 130), -1)
    binmap[:, 1:-1] = 0
    binmap[1::2, 2:64] = -1
    binmap[1::4, 70:120:2] = 3
    return binmap


@pytest.mark.parametrize("style", [
    Style("ciao", "physical"), *(pytest.param(each, marks=pytest.mark.full) for each in (
        Style("ciao", "wcs", True), Style("ciao", "wcs")))])
def test_outlines_too_long_for_a_line(style):
    coords, binmap = small_coords(), comb(130)
    polygons = trace_polygons(binmap)
    assert np.diff(polygons.ring_offsets).sum() > 3500
    texts = dict(BinTexts(polygons, coords, style).of_bins())
    assert max(map(len, texts[0].split("\n"))) < LONGEST_CIAO_LINE
    assert len(texts[0].split("\n")) > 3
    np.testing.assert_array_equal(read_back(texts.items(), coords, binmap.shape), binmap)
    whole = region_bytes(region_of(polygons, 0), coords, format="ciao", system=style.system,
                         sexagesimal=style.sexagesimal)
    np.testing.assert_array_equal(region_mask(parse_regions(whole.decode()), coords, binmap.shape), binmap == 0)


def test_long_polygons_that_cross_themselves(coords):
    t = np.linspace(0, 2 * np.pi, 4000, endpoint=False)  # a ring of loops, wound around once and twice
    x, y = 4100 + 350 * np.cos(t) + 90 * np.cos(31 * t), 3800 + 350 * np.sin(t) + 90 * np.sin(31 * t)
    region = parse_regions(f"polygon({','.join(f'{v:.4f}' for v in np.column_stack([x, y]).ravel())})")
    text = region_bytes(region, coords, format="ciao").decode()
    assert max(map(len, text.split("\n"))) < LONGEST_CIAO_LINE
    np.testing.assert_array_equal(region_mask(parse_regions(text), coords, SHAPE), region_mask(region, coords, SHAPE))


def test_a_line_that_cannot_be_split(coords):
    text = "circle(4000,4000,900)" + "".join(f"*!point(4000,{y})" for y in range(3000))
    with pytest.raises(InputError, match="use a mask"):
        region_bytes(parse_regions(text), coords, format="ciao")


# --- astropy's regions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sky", [False, True])
def test_objects_of_astropy_there_and_back(coords, sky):
    text = "\n".join(line for line in ALL_KINDS.split("\n") if not line.startswith(("pie", "point")))
    region = parse_regions(text)
    made = from_astropy(to_astropy(region, coords, sky=sky), coords)
    expected = region_mask(region, coords, SHAPE)
    assert np.count_nonzero(region_mask(made, coords, SHAPE) != expected) <= 2


def test_objects_of_astropy_find_the_same_pixels(coords):
    region = parse_regions("circle(4000.3,3800.2,101.7)*!ellipse(4000.3,3800.2,81.7,33.1,30)\npolygon(3600.1,3900.2,"
                           "3700.1,4100.5,3800.3,3950.7)")
    expected = region_mask(region, coords, SHAPE)
    found = np.zeros(SHAPE, bool)
    for one in to_astropy(region, coords):
        found |= one.to_mask("center").to_image(SHAPE).astype(bool)
    np.testing.assert_array_equal(found, expected)


def test_astropy_reads_our_ds9_files(coords):
    from regions import Regions

    written = region_bytes(parse_regions(ALL_KINDS), coords, format="ds9", system="image").decode()
    kept = "\n".join(line for line in written.split("\n") if not line.startswith(("panda", "rectangle")))
    expected = parse_regions("\n".join(line for line in ALL_KINDS.split("\n")
                                       if not line.startswith(("pie", "rectangle"))))
    found = from_astropy(Regions.parse(kept, format="ds9"))
    np.testing.assert_array_equal(region_mask(found, coords, SHAPE), region_mask(expected, coords, SHAPE))


def test_bad_objects_of_astropy(coords):
    from regions import CirclePixelRegion, LinePixelRegion, PixCoord, RegionMeta

    circle = CirclePixelRegion(PixCoord(5, 5), 3)
    with pytest.raises(InputError, match="region 2, a LinePixelRegion"):
        from_astropy([circle, LinePixelRegion(PixCoord(5, 5), PixCoord(6, 6))])
    with pytest.raises(InputError, match="none of the regions is included"):
        from_astropy([CirclePixelRegion(PixCoord(5, 5), 3, meta=RegionMeta({"include": False}))])
    with pytest.raises(InputError, match="sky regions need"):
        from_astropy(to_astropy(parse_regions("circle(4000,3800,10)"), coords, sky=True))
    with pytest.raises(InputError, match="have no pie"):
        to_astropy(parse_regions("pie(4000,3800,1,10,0,90)"), coords)
    with pytest.raises(InputError, match="everything outside"):
        to_astropy(parse_regions("!circle(4000,3800,10)"), coords)


@pytest.mark.parametrize("system", ["physical", "wcs"])
def test_pieces_fit_on_a_line_whatever_their_numbers_and_holes(system):
    # Numbers of 10 digits and a sign, and a hole for each few vertices.
    x = np.arange(1400) / 3 - 1234.0 / 7
    up = np.arange(1400) % 2 + 1001 / 3
    comb = np.stack([np.concatenate([x, x[::-1]]), np.concatenate([up, 0 * x - 1000 / 7])], 1)
    square = np.array([[0, 0], [0, 1 / 7], [1 / 7, 1 / 7], [1 / 7, 0]])
    holes = [square + np.array([at, 0]) for at in x[5:-5:7]]
    style = Style("ciao", system)
    pieces = split_component(component_of([comb, *holes]), style.most_vertices)
    assert len(pieces) > 1
    for piece in pieces:
        assert len(ciao_line(piece, style)) <= LONGEST_CIAO_LINE
