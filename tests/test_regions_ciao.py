"""CIAO's own region library as the external check: it finds the same pixels in our files and for our shapes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chandra_bin.binning.outlines import trace_polygons
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.regions import BinTexts, Style, parse_regions, region_bytes, region_mask
from golden_data import read_expected
from required import absent
from test_polygon_trace import SPECIAL, binmaps
from test_rasterize import image_coords
from test_regions import comb

pytestmark = pytest.mark.full

try:
    from sherpa.astro.utils import _region as ciao
except ImportError as error:
    absent("ciao", f"CIAO's region library is missing (tests/external): {error}")

HEAD = "# Region file format: CIAO version 1.0\n"


@pytest.fixture(scope="module")
def ciao_mask(tmp_path_factory):
    """Pixels inside a region file's text, as CIAO finds them at the physical coordinates of pixel centres."""
    path = tmp_path_factory.mktemp("ciao") / "checked.reg"

    def mask(text, coords, shape, window=(slice(None), slice(None))):
        path.write_text(text)
        try:
            region = ciao.Region(str(path), True)
        except ValueError:
            pytest.fail(f"CIAO does not read {text[:200]!r}")
        y, x = (axis[window] for axis in np.indices(shape, dtype=float))
        physical = coords.image_to_physical(x.ravel(), y.ravel())
        found = np.zeros(shape, bool)
        found[window] = region.mask(*physical).astype(bool).reshape(x.shape)
        return found

    return mask


SHAPE = (21, 23)
grid = st.integers(-6, 60).map(lambda n: n / 2)
length = st.integers(0, 24).map(lambda n: n / 2)
angle = st.one_of(st.sampled_from([0, 45, 90, 180, 270, 360, -90]), st.floats(-400, 400).map(lambda a: round(a, 3)))


@st.composite
def shape_text(draw):
    kind = draw(st.sampled_from(["circle", "ellipse", "box", "rotbox", "annulus", "pie", "sector", "rectangle", "point",
                                 "polygon", "field"]))
    place = [draw(grid), draw(grid)]
    radii = sorted([draw(length), draw(length)])
    # Off the grid: CIAO finds the straight edges of a pie by sines that are not quite 0, and loses some centres there.
    off_grid = [place[0] + 0.123, place[1] + 0.077]
    numbers = {
        "circle": lambda: [*place, draw(length)],
        "ellipse": lambda: [*place, radii[1] + 0.25, radii[0] + 0.25, draw(angle)],
        "box": lambda: [*place, draw(length), draw(length)],
        "rotbox": lambda: [*place, draw(length), draw(length), draw(angle)],
        "annulus": lambda: [*place, *radii],
        "pie": lambda: [*off_grid, *radii, draw(angle), draw(angle)],
        "sector": lambda: [*place, draw(angle), draw(angle)],
        "rectangle": lambda: [*place, place[0] + draw(length), place[1] + draw(length)],
        "point": lambda: place,
        "polygon": lambda: [draw(grid) for _ in range(2 * draw(st.integers(3, 9)))],
        "field": list,
    }[kind]()
    return f"{kind}({','.join(f'{number:g}' for number in numbers)})"


@st.composite
def region_text(draw):
    lines = []
    for number in range(draw(st.integers(1, 4))):
        sign = draw(st.sampled_from(["", "", "+", "-"])) if number else ""
        line = sign + draw(shape_text())
        for _ in range(draw(st.integers(0, 2))):
            line += draw(st.sampled_from(["*", "*!", "&!", "|", "+", "-"])) + draw(shape_text())
        lines.append(line + "\n")
    return "".join(lines)


@pytest.mark.parametrize("texts", [shape_text(), region_text()], ids=["single", "joined"])
def test_shapes_and_joins(ciao_mask, texts):
    coords = image_coords()

    @settings(max_examples=2 * settings().max_examples)
    @given(text=texts)
    def check(text):
        theirs = ciao_mask(HEAD + text + "\n", coords, SHAPE)
        ours = region_mask(replace(parse_regions(HEAD + text), other=None), coords, SHAPE)
        different = np.argwhere(ours != theirs).tolist()
        assert not different, f"{text!r}: we {ours.sum()}, CIAO {theirs.sum()}, different (y, x) {different[:8]}"

    check()


def assert_bins(ciao_mask, binmap, coords):
    """In each bin's file CIAO finds the bin's pixels (it is asked around the bin, and at every pixel of the last)."""
    texts = dict(BinTexts(trace_polygons(binmap), coords, Style("ciao", "physical")).of_bins())
    assert set(texts) == set(np.unique(binmap[binmap >= 0]).tolist())
    for label, text in texts.items():
        y, x = np.nonzero(binmap == label)
        window = (slice(max(0, y.min() - 3), y.max() + 4), slice(max(0, x.min() - 3), x.max() + 4))
        everywhere = (slice(None), slice(None))
        found = ciao_mask(text, coords, binmap.shape, everywhere if label == max(texts) else window)
        np.testing.assert_array_equal(found, binmap == label)


@pytest.mark.parametrize("case", ["ngc5044_30_50", "ngc5044_70_100_c3", "ngc5044_auto"])
def test_bins_of_ngc5044(ciao_mask, shared, case):
    from astropy.io import fits

    coords = ImageCoords(fits.getheader(shared / "contbin/golden/inputs/ngc5044_364x366.fits.gz"))
    binmap = read_expected(case)["binmap"].astype(int)
    assert_bins(ciao_mask, binmap, coords)


@pytest.mark.parametrize("style", [Style("ciao", "physical"), Style("ciao", "wcs", True)])
def test_all_bins_in_one_file(ciao_mask, shared, style):
    """CIAO skips the numbers of bins, and reads every line behind them."""
    from astropy.io import fits

    coords = ImageCoords(fits.getheader(shared / "contbin/golden/inputs/ngc5044_364x366.fits.gz"))
    binmap = np.full((366, 364), -1)
    window = slice(160, 220), slice(140, 230)
    binmap[window] = read_expected("ngc5044_30_50")["binmap"][window]
    text = BinTexts(trace_polygons(binmap), coords, style).all_in_one()
    assert text.count("# bin ") == len(np.unique(binmap)) - 1 > 100
    if style.system == "physical":  # the library knows no sky by itself
        np.testing.assert_array_equal(ciao_mask(text, coords, binmap.shape, window), binmap >= 0)
    bins = parse_regions(text).bins
    for number in np.unique(binmap)[[1, -1]].tolist():
        alone = region_bytes(bins[number], coords, format="ciao").decode()
        np.testing.assert_array_equal(ciao_mask(alone, coords, binmap.shape, window), binmap == number)


@pytest.mark.parametrize("step", [1.0, 0.5, 8.0])
def test_random_bins(ciao_mask, step):
    coords = image_coords(step, step, 3000.5 + step / 2, 4100.5 + step / 2)

    @given(binmap=binmaps())
    def check(binmap):
        assert_bins(ciao_mask, binmap, coords)

    check()


@pytest.mark.parametrize("name", [name for name in SPECIAL if name not in ("all outside", "no pixels")])
def test_special_bins(ciao_mask, name):
    assert_bins(ciao_mask, SPECIAL[name], image_coords(4.0, 4.0))


def test_outlines_too_long_for_a_line(ciao_mask):
    assert_bins(ciao_mask, comb(300), image_coords(4.0, 4.0))


def test_converted_files(ciao_mask, shared):
    """DS9's exclusions, written for CIAO: CIAO finds the pixels that DS9 meant."""
    from astropy.io import fits

    coords = ImageCoords(fits.getheader(shared / "contbin/golden/inputs/ngc5044_364x366.fits.gz"))
    text = ("# Region file format: DS9 version 4.1\nicrs\ncircle(198.8933,-16.4233,40\")\n"
            "box(198.87,-16.40,120\",70\",30)"
            "\n-ellipse(198.88,-16.41,60\",20\",20)\n")
    region = replace(parse_regions(text), other=None)
    ours = region_mask(region, coords, (366, 364))
    assert ours.sum() > 1000
    written = region_bytes(region, coords, format="ciao").decode()
    assert written.count("*!") == 2
    np.testing.assert_array_equal(ciao_mask(written, coords, (366, 364)), ours)


@pytest.mark.parametrize("corners", ["8,9,3,4", "8,4,3,9", "3,9,8,4"])
def test_rectangles_that_we_refuse_hold_nothing(ciao_mask, corners):
    assert not ciao_mask(f"{HEAD}rectangle({corners})\n", image_coords(), SHAPE).any()


@pytest.mark.parametrize("text", ["rotrectangle(3,4,8,9,30)", "rectangle(3,4,8,9,30)"])
def test_ciao_reads_no_turned_rectangles(tmp_path, text):
    (tmp_path / "a.reg").write_text(f"{HEAD}{text}\n")
    with pytest.raises(ValueError, match="unable to"):
        ciao.Region(str(tmp_path / "a.reg"), True)
