"""Shapes to pixels: against slow formulas, and what is refused."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandra_bin._kernels._rasterize import rasterize_polygons, rasterize_shapes
from chandra_bin.binning.outlines import Polygons, rasterize
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError
from chandra_bin.regions import parse_regions, region_mask
from chandra_bin.regions._shapes import AREAS

KINDS = list(AREAS)
SHAPE = (17, 19)
PIXELS = {"x_first": 0.0, "x_step": 1.0, "y_first": 0.0, "y_step": 1.0}


def image_coords(step_x=1.0, step_y=1.0, x=1.0, y=1.0):
    from astropy.io.fits import Header

    return ImageCoords(Header({"CRVAL1P": x, "CRPIX1P": 1.0, "CDELT1P": step_x,
                               "CRVAL2P": y, "CRPIX2P": 1.0, "CDELT2P": step_y}))


def mask_of(text, coords=None, shape=SHAPE):
    return region_mask(parse_regions(text), coords or image_coords(), shape)


def centres(shape=SHAPE):
    y, x = np.indices(shape, dtype=float) + 1
    return x, y


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("circle(8,7,5)", lambda x, y: np.hypot(x - 8, y - 7) <= 5),
        ("annulus(8,7,3,5)", lambda x, y: (np.hypot(x - 8, y - 7) <= 5) & (np.hypot(x - 8, y - 7) >= 3)),
        ("ellipse(8,7,6,3,0)", lambda x, y: ((x - 8) / 6) ** 2 + ((y - 7) / 3) ** 2 <= 1),
        ("ellipse(8,7,6,3,90)", lambda x, y: ((x - 8) / 3) ** 2 + ((y - 7) / 6) ** 2 <= 1 + 1e-12),
        ("box(8,7,6,4)", lambda x, y: (abs(x - 8) <= 3) & (abs(y - 7) <= 2)),
        ("rotbox(8.1,7.2,8,4,45)", lambda x, y: (abs(x - 8.1 + y - 7.2) <= 4 * 2**0.5)
         & (abs(y - 7.2 - x + 8.1) <= 2 * 2**0.5)),
        ("rectangle(3,4,8,9)", lambda x, y: (x >= 3) & (x <= 8) & (y >= 4) & (y <= 9)),
        ("polygon(3,4,8,4,8,9,3,9)", lambda x, y: (x >= 3) & (x <= 8) & (y >= 4) & (y <= 9)),
        ("polygon(1,1,15,1,1,15)", lambda x, y: x + y <= 16),
        ("pie(8.1,7.2,2,6,0,90)", lambda x, y: (x >= 8.1) & (y >= 7.2) & (np.hypot(x - 8.1, y - 7.2) <= 6)
         & (np.hypot(x - 8.1, y - 7.2) >= 2)),
        ("pie(8.1,7.2,0,60,270,90)", lambda x, y: (x >= 8.1) | (y < -99)),
        ("sector(8.1,7.2,180,360)", lambda x, y: (y <= 7.2) | (x < -99)),
        ("point(3,4)", lambda x, y: (x == 3) & (y == 4)),
        ("point(3.2,4)", lambda x, y: (x == 3.2) & (y == 4)),
        ("field()", lambda x, y: x + y > 0),
        ("field()*!circle(8,7,5)", lambda x, y: np.hypot(x - 8, y - 7) > 5),
        ("circle(8,7,5)*box(8,7,100,4)", lambda x, y: (np.hypot(x - 8, y - 7) <= 5) & (abs(y - 7) <= 2)),
        ("circle(8,7,5)-box(8,7,100,4)", lambda x, y: (np.hypot(x - 8, y - 7) <= 5) & (abs(y - 7) > 2)),
        ("circle(8,7,2)\npoint(15,15)", lambda x, y: (np.hypot(x - 8, y - 7) <= 2) | ((x == 15) & (y == 15))),
        ("circle(-100,-100,5)", lambda x, y: x + y < 0),
        ("circle(9e14,9e14,1)", lambda x, y: x + y < 0),
        ("polygon(-9e14,-9e14,9e14,-9e14,9e14,7.5,-9e14,7.5)", lambda x, y: (y <= 7.5) & (x > 0)),
    ],
)
def test_against_formulas(text, inside):
    np.testing.assert_array_equal(mask_of(text), inside(*centres()))


def test_a_polygon_that_crosses_itself_holds_what_it_winds_around():
    """CIAO's rule: a ring run twice is not empty; one run backwards inside is a hole."""
    outer = "2,2,12,2,12,12,2,12,2,2"
    assert mask_of(f"polygon({outer},{outer})").sum() == 121
    assert mask_of(f"polygon({outer},4,4,10,4,10,10,4,10,4,4)").sum() == 121
    assert mask_of(f"polygon({outer},4,4,4,10,10,10,10,4,4,4)").sum() == 121 - 25


@given(
    points=st.lists(st.tuples(st.integers(-4, 44), st.integers(-4, 44)), min_size=3, max_size=12),
    step=st.sampled_from([0.5, 1.0, 2.0]),
)
def test_polygons_against_winding_numbers(points, step):
    vertices = np.array(points) / 2 + 0.013
    text = f"polygon({','.join(f'{v:.3f}' for v in vertices.ravel())})"
    coords = image_coords(step, step, 2.0, 3.0)
    y, x = np.indices(SHAPE, dtype=float)
    pixels = np.column_stack(coords.image_to_physical(x.ravel(), y.ravel()))
    winding, distance = winding_and_distance(pixels, vertices.round(3))
    ours = mask_of(text, coords).ravel()
    clear = distance > 1e-9
    np.testing.assert_array_equal(ours[clear], (winding != 0)[clear])


def winding_and_distance(pixels, vertices):
    """Of each pixel: how often the ring winds around it, and how far the nearest edge is."""
    winding, nearest = np.zeros(len(pixels), int), np.full(len(pixels), np.inf)
    for start, end in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        along, to = end - start, pixels - start
        share = np.clip(to @ along / max(along @ along, 1e-300), 0, 1)
        nearest = np.minimum(nearest, np.hypot(*(to - share[:, None] * along).T))
        below, above = start[1] <= pixels[:, 1], end[1] > pixels[:, 1]
        rising, falling = below & above, ~below & ~above
        left = along[0] * to[:, 1] - along[1] * to[:, 0]
        winding += (rising & (left > 0)).astype(int) - (falling & (left < 0)).astype(int)
    return winding, nearest


def test_axes_that_run_backwards():
    text = "polygon(3,4,8,4,5,9)\n-circle(5,5,1)"
    backwards = mask_of(text, image_coords(-1.0, -1.0, 19.0, 17.0))
    np.testing.assert_array_equal(backwards, mask_of(text)[::-1, ::-1])


def shapes(kinds, params, components=None, complements=None):
    offsets = np.concatenate([[0], np.cumsum([len(p) for p in params])]).astype(np.int64)
    return (np.array([KINDS.index(k) if isinstance(k, str) else k for k in kinds], np.uint8),
            np.array(complements or [0] * len(kinds), np.uint8), np.array([v for p in params for v in p], float),
            offsets, np.array(components or range(len(kinds) + 1), np.int64))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (shapes([99], [[1.0]]), "unknown kind"),
        (shapes(["circle"], [[1, 1, -2]]), "below 0"),
        (shapes(["circle"], [[1, 1]]), "needs 3 numbers, not 2"),
        (shapes(["circle"], [[1, np.nan, 2]]), "not finite"),
        (shapes(["polygon"], [[1, 1, 2, 2]]), "at least 3 vertices"),
        (shapes(["polygon"], [[1, 1, 2, 2, 3, 3, 4]]), "7 numbers"),
        (shapes(["annulus"], [[1, 1, 3, 2]]), "above the outer"),
        (shapes(["polygon"], [[1, 1, 1e308, 1e308, -1e308, 3]]), "1e15 or more"),
        (shapes(["circle"], [[1, -1e15, 2]]), "1e15 or more"),
        (shapes(["circle"], [[1, 1, 2]], components=[0, 2]), "component_offsets"),
        (shapes(["circle"], [[1, 1, 2]], complements=[0, 0]), "differ in length"),
    ],
)
def test_bad_shapes(given, message):
    with pytest.raises(ValueError, match=message):
        rasterize_shapes(*given, **PIXELS, mask=np.zeros(SHAPE, np.uint8))


@pytest.mark.parametrize("step", [0.0, np.nan, np.inf, 5e-324, 1e308])
def test_bad_axes(step):
    with pytest.raises(ValueError, match="axis"):
        rasterize_shapes(*shapes(["field"], [[]]), **(PIXELS | {"x_step": step}), mask=np.zeros(SHAPE, np.uint8))


def test_numbers_too_large_are_input_errors():
    with pytest.raises(InputError, match="far: a circle has a number of 1e15 or more"):
        region_mask(parse_regions("circle(1e300,1e300,1)", "far"), image_coords(), SHAPE)
    points = np.array([[0.0, 0.0], [1e308, 0.0], [0.0, -1e308]])
    far = Polygons(points, np.array([0, 3]), np.array([0, 1]), np.array([0]))
    with pytest.raises(InputError, match="below 1e15"):
        rasterize(far, SHAPE)


@pytest.mark.parametrize("inner", ["circle(8,7,3)", "ellipse(8,7,4,2,30)", "rotbox(8,7,5,3,20)", "annulus(8,7,1,3)",
                                   "pie(8,7,1,4,20,200)", "sector(8,7,20,200)", "rectangle(6,5,30,8)",
                                   "point(8,7)",
                                   "polygon(6,5,30,6,7,12)", "field()", "circle(99,99,3)", "polygon(90,9,91,9,91,10)"])
def test_complements_within_others(inner):
    """A complement is looked at only where its shape is, of the pixels that the component has."""
    for outer in ("box(9,8,14,10)", "field()", "polygon(2,2,15,3,12,14,3,9)"):
        expected = mask_of(outer) & ~mask_of(inner)
        np.testing.assert_array_equal(mask_of(f"{outer}*!{inner}"), expected)
        cut_twice = mask_of(f"{outer}*!{inner}*!point(3,3)*!{inner}")
        np.testing.assert_array_equal(cut_twice, expected & ~mask_of("point(3,3)"))
    np.testing.assert_array_equal(mask_of(f"!{inner}"), ~mask_of(inner))


def test_many_small_complements_cost_little():
    """Not a scan of the image each: two thousand of them took 14 s on an image of this size."""
    rng = np.random.default_rng(3)
    holes = "".join(f"*!circle({x:.3f},{y:.3f},3)*!polygon({x:.3f},{y:.3f},{x + 9:.3f},{y:.3f},{x:.3f},{y + 9:.3f})"
                    for x, y in rng.uniform(0, 2048, (1000, 2)))
    region = parse_regions("field()" + holes)
    start = time.process_time()
    mask = region_mask(region, image_coords(), (2048, 2048))
    assert time.process_time() - start < 7  # 0.1 as a rule, and more under sanitizers
    assert 0.9 * mask.size < mask.sum() < mask.size


def test_no_pixels_and_no_shapes():
    rasterize_shapes(*shapes(["field"], [[]]), **PIXELS, mask=np.zeros((0, 3), np.uint8))
    mask = np.ones(SHAPE, np.uint8)
    rasterize_shapes(*shapes([], []), **PIXELS, mask=mask)
    assert not mask.any()
    image = np.zeros((2, 0), np.int32)
    empty = np.zeros(1, np.int64)
    rasterize_polygons(np.empty((0, 2)), empty, empty, np.empty(0, np.int32), **PIXELS, image=image)
    with pytest.raises(ValueError, match=r"\(n, 2\)"):
        rasterize_polygons(np.empty((3, 3)), empty, empty, np.empty(0, np.int32), **PIXELS, image=image)
