"""CIAO's own region library as judge: it finds in our files, and in our kernels' shapes, the same pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chandra_bin.regions import parse_regions, region_mask
from chandra_bin.wcs import ImageCoords

ciao = pytest.importorskip("sherpa.astro.utils._region", reason="CIAO's region library is missing (tests/judges)")

HEAD = "# Region file format: CIAO version 1.0\n"


@pytest.fixture
def judge(tmp_path):
    """Pixels inside a region file's text, as CIAO finds them at the physical coordinates of pixel centres."""

    def mask(text, coords, shape):
        path = tmp_path / "judged.reg"
        path.write_text(text)
        y, x = np.indices(shape, dtype=float)
        x, y = coords.image_to_physical(x.ravel(), y.ravel())
        return ciao.Region(str(path), True).mask(x, y).astype(bool).reshape(shape)

    return mask


def coordinates(step=1.0, x=1.0, y=1.0):
    """Physical coordinates only: those of the first pixel's centre, and the size of a pixel."""
    from astropy.io.fits import Header

    return ImageCoords(Header({"CRVAL1P": x, "CRPIX1P": 1.0, "CDELT1P": step,
                               "CRVAL2P": y, "CRPIX2P": 1.0, "CDELT2P": step}))


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


def kept(text, mask, other):
    """What both found, and how close their edges are: pixels exactly on a slanted edge may go either way."""
    different = np.argwhere(mask != other)
    return f"{text!r}: we {mask.sum()}, CIAO {other.sum()}, different (y, x) {different.tolist()[:8]}"


@settings(max_examples=300, deadline=None)
@given(text=shape_text())
def test_shapes(text, tmp_path_factory):
    check_text(text + "\n", tmp_path_factory)


@settings(max_examples=300, deadline=None)
@given(text=region_text())
def test_joined_shapes(text, tmp_path_factory):
    check_text(text, tmp_path_factory)


def check_text(text, tmp_path_factory):
    coords = coordinates()
    path = tmp_path_factory.getbasetemp() / "judged.reg"
    path.write_text(HEAD + text)
    y, x = np.indices(SHAPE, dtype=float) + 1
    try:
        judged = ciao.Region(str(path), True).mask(x.ravel(), y.ravel()).astype(bool).reshape(SHAPE)
    except ValueError:
        pytest.fail(f"CIAO does not read {text!r}")
    ours = region_mask(parse_regions(HEAD + text, semantics="ciao"), coords, SHAPE) if "-" not in text else \
        quiet_mask(parse_regions(HEAD + text, semantics="ciao"), coords)
    assert np.array_equal(ours, judged), kept(text, ours, judged)


def quiet_mask(region, coords):
    from dataclasses import replace

    return region_mask(replace(region, other=None), coords, SHAPE)
