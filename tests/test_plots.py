"""The picture of the bins: right pixels in the right places, the same bytes each time."""

import io

import matplotlib as mpl
import numpy as np
import pytest
from astropy.io.fits import Header
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

from chandra_bin import contour_bin
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.events.deflare import cut_flares
from chandra_bin.events.lightcurve import LightCurve
from chandra_bin.plots.bins import _bin_colours, _bins_title, _choose_colours, _frame, bins_png
from chandra_bin.plots.light_curves import RateLimits, _curve_figure, light_curve_png
from chandra_bin.plots.regions import RegionOverlay, _outlines, region_png
from chandra_bin.regions import convert_region, parse_regions, region_mask
from chandra_bin.simulate import cluster_header, cluster_image

SHAPE = (60, 80)


def picture(counts, coords=None, target=15, **options):
    bins = contour_bin(counts, **{"sn": 15, "smooth_sn": 20} | options)
    return bins_png(counts, bins.binmap, bins.sums.sn, coords or ImageCoords(cluster_header(counts.shape)), "A cluster",
                    target=target)


def test_a_picture_of_three_panels_the_same_each_time():
    counts = cluster_image(SHAPE, 30_000)
    first = picture(counts)
    with mpl.rc_context({"font.size": 30, "image.cmap": "jet"}):  # a user's style changes nothing
        assert picture(counts) == first
    pixels = imread(io.BytesIO(first))
    assert pixels.shape[1] > 2 * pixels.shape[0]
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 100
    assert b"Software" not in first


@pytest.mark.parametrize("shape", [(1, 200), (200, 1), (3, 2), (40, 120)])
def test_any_shape_and_no_sky(shape):
    counts = np.full(shape, 30, "i4")
    assert picture(counts, ImageCoords(cluster_header(shape)[:2])).startswith(b"\x89PNG")
    assert picture(counts).startswith(b"\x89PNG")


def test_odd_values_and_masks():
    counts = cluster_image(SHAPE, 30_000).astype("f4")
    counts[:5] = 0
    counts[20, 20] = 0.001
    mask = np.zeros(SHAPE, bool)
    mask[:, :30] = True
    assert picture(counts, mask=mask).startswith(b"\x89PNG")
    assert picture(counts.astype(">f4"), sn=1e6).startswith(b"\x89PNG")


@pytest.mark.parametrize(("sn_in", "said"), [("", "Signal to noise"), ("counts", "Signal to noise in counts"),
                                            ("the binned image", "Signal to noise in the binned image")])
def test_bins_say_what_their_sn_is_of(sn_in, said, monkeypatch):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    counts = np.full(SHAPE, 30, "i4")
    bins = contour_bin(counts)
    bins_png(counts, bins.binmap, bins.sn, ImageCoords(cluster_header(SHAPE)), "A cluster", sn_in=sn_in)
    (figure,) = drawn
    (axes,) = [axes for axes in figure.axes if axes.get_title() == said]
    width = axes.title.get_window_extent(FigureCanvasAgg(figure).get_renderer()).width
    assert width < axes.bbox.width


@pytest.mark.parametrize("sn", [[70.0, 70.05, 69.98], [70.0, 2.9, -4.0]])
def test_sn_colours_go_from_zero_past_the_target_and_low_bins_are_hatched(sn, monkeypatch):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    binmap = np.repeat(np.arange(3, dtype=np.int32), 20).reshape(6, 10)
    bins_png(np.full((6, 10), 30, "i4"), binmap, np.array(sn), ImageCoords(cluster_header((6, 10))), "", target=70)
    (figure,) = drawn
    (axes,) = [axes for axes in figure.axes if axes.get_title().startswith("Signal to noise")]
    assert axes.images[0].get_clim() == pytest.approx((0, 84))
    assert ("hatched" in axes.get_title()) == (min(sn) < 3)
    hatches = [each for each in axes.collections if each.hatches]
    assert bool(hatches) == (min(sn) < 3)


def test_a_bin_with_most_pixels_is_pale():
    binmap = np.zeros((10, 10), np.int32)
    binmap[:2, :5] = 1
    painted = _bin_colours(binmap)
    assert painted[9, 9].min() > 230
    assert painted[0, 0].min() < 230


def test_any_title():
    bins = contour_bin(np.full((5, 5), 30, "i4"))
    coords = ImageCoords(cluster_header((5, 5)))
    assert bins_png(np.full((5, 5), 30), bins.binmap, bins.sn, coords, "$x_{ $").startswith(b"\x89PNG")


def test_no_global_state_is_left():
    before = dict(mpl.rcParams)
    picture(np.full((5, 5), 30, "i4"))
    assert dict(mpl.rcParams) == before


@given(hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=10),
                  elements=st.integers(-1, 6)))
def test_bins_that_touch_differ_in_colour(binmap):
    colours = _choose_colours(binmap)
    for first, second in ((binmap[:, :-1], binmap[:, 1:]), (binmap[:-1], binmap[1:]),
                          (binmap[:-1, :-1], binmap[1:, 1:]), (binmap[:-1, 1:], binmap[1:, :-1])):
        border = (first != second) & (first >= 0) & (second >= 0)
        assert (colours[first[border]] != colours[second[border]]).all()  # 7 bins at most, and as many colours


def test_pixels_outside_are_grey():
    painted = _bin_colours(np.array([[0, -1]], np.int32))
    assert painted[0, 1].tolist() == [0xDD] * 3
    assert painted[0, 0].tolist() != [0xDD] * 3


def test_the_frame_follows_the_bins():
    binmap = np.full((100, 200), -1, np.int32)
    binmap[40:60, 80:120] = np.arange(40)
    frame = _frame(binmap)
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (78, 122, 38, 62)
    assert _frame(np.full((9, 9), -1, np.int32)).cut == (slice(0, 9), slice(0, 9))
    assert _frame(np.zeros((9, 9), np.int32)).cut == (slice(0, 9), slice(0, 9))

    binmap[:] = 40  # a huge bin around forty small ones does not hide them
    binmap[40:60, 80:120] = np.arange(40)
    frame = _frame(binmap)
    assert 0 < frame.x0 < 80
    assert 120 < frame.x1 < 200
    assert _bins_title(binmap, frame) == "41 bins"
    binmap[0, 0] = 41
    assert _bins_title(binmap, _frame(binmap)) == "42 bins, 41 of them here"

    y, x = np.indices((101, 101))  # rings are shown whole
    rings = (np.hypot(x - 50, y - 50) // 5).astype(np.int32)
    assert _frame(rings).cut == (slice(0, 101), slice(0, 101))


def curve_picture(rate, method="robust", **fields):
    edges = 5e8 + 100.0 * np.arange(len(rate) + 1)
    rate = np.asarray(rate, float)
    counts = np.rint(100 * np.nan_to_num(rate)).astype(int)
    arrays = {"exposure_s": np.full(rate.size, 100.0), "counts": counts} | fields
    curve = LightCurve(edges[:-1], edges[1:], edges[:-1] + 50, rate, **arrays)
    flares = cut_flares(curve, method)
    return light_curve_png(curve, flares.good, "lc_$1.fits",
                           RateLimits(flares.method, flares.mean, flares.low, flares.high, flares.cut_by_noise))


@pytest.mark.parametrize("flare", [1.0, 3.0, 500.0])
def test_a_picture_of_a_light_curve_the_same_each_time(flare):
    rate = np.random.default_rng(1).poisson(100, 80) / 100
    rate[20:30] += flare
    first = curve_picture(rate)
    with mpl.rc_context({"font.size": 30}):
        assert curve_picture(rate) == first
    pixels = np.rint(255 * imread(io.BytesIO(first))[..., :3]).astype(int).reshape(-1, 3).tolist()
    for colour in ("0077bb", "ee7733"):  # kept and cut
        assert list(bytes.fromhex(colour)) in pixels


@pytest.mark.parametrize("limited", [True, False])
def test_the_legend_of_a_light_curve_hides_no_bin(limited):
    counts = np.r_[np.random.default_rng(1).poisson(100, 70), np.full(10, 400)]
    edges = 5e8 + 100.0 * np.arange(counts.size + 1)
    curve = LightCurve(edges[:-1], edges[1:], edges[:-1] + 50, counts / 100, np.full(counts.size, 100.0), counts)
    limits = RateLimits("robust", 1.0, 0.7, 1.3, 0.2) if limited else None
    figure = _curve_figure(curve, curve.rate < 1.3, "title", limits)
    FigureCanvasAgg(figure).draw()
    (axes,), (legend,) = figure.axes, figure.legends
    box = legend.get_window_extent()
    assert not box.overlaps(axes.get_window_extent())
    assert figure.bbox.contains(box.x0, box.y0)
    assert figure.bbox.contains(box.x1, box.y1)
    texts = [text.get_text() for text in legend.get_texts()]
    noise = " (noise alone is expected to cut 0.2)" if limited else ""
    assert texts[1] == f"cut: {np.count_nonzero(curve.rate >= 1.3)} bins{noise}"
    dashed = [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "--"]
    assert dashed == ([1.3, 0.7] if limited else [])
    points = np.concatenate([line.get_xydata() for line in axes.lines if line.get_marker() in {"o", "X"}])
    assert len(points) == counts.size
    low, high = axes.get_ylim()
    assert low < points[:, 1].min()
    assert high > points[:, 1].max() + curve.rate_error.max()


def test_light_curves_with_less_in_them():
    assert curve_picture([1, 0, np.nan, 1, 2, 1], exposure_s=None, counts=None).startswith(b"\x89PNG")
    assert curve_picture(np.full(5000, 2.0)).startswith(b"\x89PNG")
    assert curve_picture([1, 1, 1], "sigma").startswith(b"\x89PNG")


SHAPES = """circle(20,20,5)
ellipse(30,30,8,4,30)
rotbox(40,20,10,6,45)
annulus(20,40,3,6)
rectangle(35,35,45,42)
polygon(5,5,15,5,10,15)
field()
"""


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_pictures_of_regions_hold_all_kinds_of_shapes(dtype):
    image = np.random.default_rng(0).poisson(2, (50, 60)).astype(dtype)
    region = parse_regions(SHAPES, "shapes", "ciao")
    for header in (Header(), cluster_header((50, 60))):
        overlays = [RegionOverlay(region, "all"), RegionOverlay(region, "again", faint=True)]
        if "CRVAL1P" not in header:
            overlays = []
        made = region_png(image, overlays, ImageCoords(header).with_shape((50, 60)), "Title")
        assert made.startswith(b"\x89PNG")


PLAIN = Header({"CRVAL1P": 1.0, "CRVAL2P": 1.0, "CRPIX1P": 1.0, "CRPIX2P": 1.0})


def test_outlines_lie_on_the_edges_of_the_mask():
    from matplotlib.path import Path

    for text in SHAPES.splitlines()[:-1]:
        region = parse_regions(text, "shape", "ciao")
        shape = next(convert_region(region, ImageCoords(PLAIN), "image").areas)
        mask = region_mask(region, ImageCoords(PLAIN), (50, 60))
        y, x = np.indices((50, 60))
        inside = np.zeros(mask.size, bool)
        for line in _outlines(shape):
            inside ^= Path(line.T).contains_points(np.column_stack([x.ravel(), y.ravel()]))
        # Centres on an edge, and the straight pieces that a circle is drawn of, are a few pixels.
        assert np.count_nonzero(inside.reshape(mask.shape) != mask) <= 12, text
