"""The pictures of bins, light curves and regions: what they show, and the same bytes each time."""

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from astropy.io.fits import Header
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle
from matplotlib.path import Path

from chandra_bin import contour_bin
from chandra_bin.binning.profiles import RadialProfile
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.events.deflare import cut_flares
from chandra_bin.events.gti import GTI
from chandra_bin.events.lightcurve import LightCurve
from chandra_bin.plots.bins import bins_png
from chandra_bin.plots.figures import Frame, box_around
from chandra_bin.plots.light_curves import RateLimits, light_curve_png
from chandra_bin.plots.maps import Panel, Profile, maps_png
from chandra_bin.plots.maps import profile_png as maps_profile_png
from chandra_bin.plots.regions import RegionOverlay, region_png
from chandra_bin.regions import parse_regions, region_mask
from chandra_bin.report.pictures import histogram_png, kept_bins, truth_png
from chandra_bin.report.pictures import profile_png as radial_profile_png
from chandra_bin.simulate import cluster_header, cluster_image
from pictures import CUT, FAINT_OUTLINE, KEPT, OUTLINE, OUTSIDE, colours_of, number_of, pixels_of, points_of

SHAPE = (60, 80)


def picture(counts, coords=None, **options):
    bins = contour_bin(counts, **{"sn": 15, "smooth_sn": 20} | options)
    return bins_png(counts, bins.binmap, bins.sums.sn, coords or ImageCoords(cluster_header(counts.shape)), "A cluster")


def panels(figures, binmap, sn=None, image=None):
    """The panels of a picture of bins: image, bins, brightness; their axes are pixels."""
    image = np.full(binmap.shape, 30, "i4") if image is None else image
    sn = np.full(binmap.max() + 1, 15.0) if sn is None else np.asarray(sn)
    bins_png(image, binmap, sn, ImageCoords(cluster_header(binmap.shape)[:2]), "")
    return figures[-1].axes[:3]


def painted(figures, binmap):
    """The RGB image of the bins (ny, nx, 3), as it is drawn."""
    return panels(figures, binmap)[1].images[0].get_array()


def shown(axes):
    """The part of the image that is shown: first and past-the-end pixel in x and in y."""
    return tuple(int(edge + 0.5) for edge in (*axes.get_xlim(), *axes.get_ylim()))


def test_a_picture_of_three_panels_the_same_each_time():
    counts = cluster_image(SHAPE, 30_000)
    first = picture(counts)
    with mpl.rc_context({"font.size": 30, "image.cmap": "jet"}):  # a user's style changes nothing
        assert picture(counts) == first
    height, width, _ = pixels_of(first).shape
    assert width > 2 * height
    assert len(colours_of(first)) > 100
    assert b"Software" not in first


@pytest.mark.parametrize(("shape", "has_sky"), [
    ((1, 200), True), ((200, 1), True), ((3, 2), True), ((40, 120), True), ((40, 120), False)])
def test_the_panels_show_image_bins_and_brightness_of_any_shape(figures, shape, has_sky):
    counts = np.full(shape, 30, "i4")
    counts[-1, -1] = 90
    bins = contour_bin(counts, sn=15, smooth_sn=20)
    header = cluster_header(shape)
    bins_png(counts, bins.binmap, bins.sn, ImageCoords(header if has_sky else header[:2]), "A cluster")
    image, colours, brightness = (axes.images[0].get_array() for axes in figures[-1].axes[:3])
    np.testing.assert_array_equal(image, counts)
    for number in range(len(bins.sn)):
        inside = bins.binmap == number
        np.testing.assert_allclose(brightness[inside], counts[inside].mean())
    of_bins = [np.unique(colours[bins.binmap == number], axis=0) for number in range(len(bins.sn))]
    assert {len(each) for each in of_bins} == {1}  # one colour in all pixels of a bin
    assert len(np.unique(np.concatenate(of_bins), axis=0)) >= min(2, len(of_bins))


@pytest.mark.parametrize(("dtype", "sn"), [("i4", 15), (">f4", 1e6)])
def test_masked_pixels_are_grey_and_zeros_are_dark(composed, dtype, sn):
    counts = cluster_image(SHAPE, 30_000).astype(dtype)
    counts[:5] = 0
    mask = np.zeros(SHAPE, bool)
    mask[:, :30] = True
    bins = contour_bin(counts, sn=sn, smooth_sn=20, mask=mask)
    image, bins_panel, brightness_panel = panels(composed, bins.binmap, bins.sn, counts)
    x0, x1, y0, y1 = shown(bins_panel)
    here = slice(y0, y1), slice(x0, x1)
    outside = (bins.binmap < 0)[here]
    assert outside.any()
    np.testing.assert_array_equal((bins_panel.images[0].get_array() == OUTSIDE).all(axis=2), outside)
    np.testing.assert_array_equal(np.ma.getmaskarray(brightness_panel.images[0].get_array()), outside)
    brightness = image.images[0].get_array()
    np.testing.assert_allclose(brightness[counts[here] == 0], image.images[0].norm.vmin, rtol=1e-6)
    assert image.images[0].norm.vmax == pytest.approx(counts[here].max())


@pytest.mark.parametrize("sn", [[70.0, 70.05, 69.98], [70.0, 2.9, -4.0]])
def test_bins_of_low_sn_are_hatched_and_the_title_fits(composed, sn):
    binmap = np.repeat(np.arange(3, dtype=np.int32), 20).reshape(6, 10)
    _, bins, axes = panels(composed, binmap, sn)
    assert ("hatched" in axes.get_title()) == (min(sn) < 3)
    for panel in (bins, axes):
        assert any(each.hatches for each in panel.collections) == (min(sn) < 3)
    width = axes.title.get_window_extent(FigureCanvasAgg(composed[-1]).get_renderer()).width
    assert width < axes.bbox.width


def test_pixels_without_data_do_not_change_the_brightness_of_a_bin(composed):
    binmap = np.repeat(np.arange(3, dtype=np.int32), 20).reshape(6, 10)
    image = np.where(binmap == 0, 2.0, np.where(binmap == 1, 8.0, np.nan))
    image[0, :5] = np.nan
    brightness = panels(composed, binmap, image=image)[2].images[0].get_array()
    assert set(brightness.compressed()) == {2.0, 8.0}
    np.testing.assert_array_equal(np.ma.getmaskarray(brightness), binmap == 2)


def test_outlines_on_the_brightness_enclose_the_pixels_of_the_bins(composed):
    binmap = np.full((9, 9), 0, np.int32)
    binmap[2:7, 2:7] = 1
    binmap[4, 4] = 2
    (outlines,) = panels(composed, binmap)[2].patches
    rings = outlines.get_path().to_polygons(closed_only=False)
    boxes = sorted((ring[:, 0].min(), ring[:, 0].max(), len(ring)) for ring in rings)
    assert boxes == [(-0.5, 8.5, 5)] + 2 * [(1.5, 6.5, 5)] + 2 * [(3.5, 4.5, 5)]  # holes are rings of their own


def test_bins_of_few_pixels_of_the_picture_have_no_outlines(composed):
    binmap = np.arange(90 * 90, dtype=np.int32).reshape(90, 90)
    assert not panels(composed, binmap)[2].patches


def test_a_bin_with_most_pixels_is_pale(composed):
    binmap = np.zeros((10, 10), np.int32)
    binmap[:2, :5] = 1
    colours = painted(composed, binmap)
    assert colours[9, 9].min() > 230
    assert np.ptp(colours[9, 9].astype(int)) > 20  # neither the grey outside the bins nor white paper
    assert colours[0, 0].min() < 230


def test_a_title_is_plain_text(composed):
    binmap = np.zeros((5, 5), np.int32)
    bins_png(np.full((5, 5), 30), binmap, np.array([15.0]), ImageCoords(cluster_header((5, 5))), "$x_{ $")
    (title,) = [text for text in composed[0].texts if text.get_text() == "$x_{ $"]
    assert not title.get_parse_math()


def test_no_global_state_is_left():
    before = dict(mpl.rcParams)
    picture(np.full((5, 5), 30, "i4"))
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("seed", range(4))
def test_bins_that_touch_differ_in_colour(composed, seed):
    """Seven bins at most, and as many colours, in pixels at random: all touch."""
    rng = np.random.default_rng(seed)
    binmap = rng.integers(-1, rng.integers(1, 7), rng.integers(2, 11, 2)).astype(np.int32)
    colours = painted(composed, binmap).astype(int) @ (1 << 16, 1 << 8, 1)
    for first, second in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:]), (np.s_[:-1, :-1], np.s_[1:, 1:]),
                          (np.s_[:-1, 1:], np.s_[1:, :-1])):
        border = binmap[first] != binmap[second]
        assert (colours[first][border] != colours[second][border]).all()


def test_the_picture_shows_the_part_with_bins(composed):
    binmap = np.full((100, 200), -1, np.int32)
    binmap[40:60, 80:120] = np.arange(40)
    assert {shown(axes) for axes in panels(composed, binmap)} == {(78, 122, 38, 62)}
    for no_detail in (np.full((9, 9), -1, np.int32), np.zeros((9, 9), np.int32)):
        assert {shown(axes) for axes in panels(composed, no_detail)} == {(0, 9, 0, 9)}
    y, x = np.indices((101, 101))  # rings are shown whole
    rings = (np.hypot(x - 50, y - 50) // 5).astype(np.int32)
    assert {shown(axes) for axes in panels(composed, rings)} == {(0, 101, 0, 101)}


def test_a_huge_bin_around_many_small_ones_does_not_hide_them(composed):
    binmap = np.full((100, 200), 40, np.int32)
    binmap[40:60, 80:120] = np.arange(40)
    bins = panels(composed, binmap)[1]
    x0, x1, _, _ = shown(bins)
    assert 0 < x0 < 80
    assert 120 < x1 < 200
    assert bins.get_title() == "41 bins"
    binmap[0, 0] = 41
    assert panels(composed, binmap)[1].get_title() == "42 bins, 41 of them here"


def curve_of(rate, **fields):
    edges = 5e8 + 100.0 * np.arange(len(rate) + 1)
    rate = np.asarray(rate, float)
    counts = np.rint(100 * np.nan_to_num(rate)).astype(int)
    curve = LightCurve(edges[:-1], edges[1:], edges[:-1] + 50, rate, np.full(rate.size, 100.0), counts)
    return replace(curve, **fields)


def curve_picture(rate, method="robust", **fields):
    curve = curve_of(rate, **fields)
    flares = cut_flares(curve, method)
    return light_curve_png(curve, flares.good, "lc_$1.fits",
                           RateLimits(flares.method, flares.mean, flares.low, flares.high, flares.cut_by_noise))


@pytest.mark.parametrize("flare", [1.0, 500.0])
def test_a_picture_of_a_light_curve_the_same_each_time(flare):
    rate = np.random.default_rng(1).poisson(100, 80) / 100
    rate[20:30] += flare
    first = curve_picture(rate)
    with mpl.rc_context({"font.size": 30}):
        assert curve_picture(rate) == first
    assert number_of(KEPT, first) > 100
    assert number_of(CUT, first) > 100


@pytest.mark.parametrize("limited", [True, False])
def test_the_legend_of_a_light_curve_hides_no_bin(figures, limited):
    curve = curve_of(np.r_[np.random.default_rng(1).poisson(100, 70), np.full(10, 400)] / 100)
    light_curve_png(curve, curve.rate < 1.3, "title", RateLimits("robust", 1.0, 0.7, 1.3, 0.2) if limited else None)
    (figure,) = figures
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
    points = np.concatenate(points_of(figure))
    assert len(points) == len(curve)
    low, high = axes.get_ylim()
    assert low < points[:, 1].min()
    assert high > points[:, 1].max() + curve.rate_error.max()


def test_light_curves_without_counts_or_with_many_bins(figures):
    curve_picture([1, 0, np.nan, 1, 2, 1], exposure_s=None, counts=None)
    kept, cut = points_of(figures[-1])
    assert sorted([*kept[:, 1], *cut[:, 1]]) == [0, 1, 1, 1, 2]  # the bin without a rate is left out
    assert not figures[-1].axes[0].collections  # no error bars
    curve_picture(np.full(5000, 2.0))
    kept, cut = points_of(figures[-1])
    assert (len(kept), len(cut)) == (5000, 0)
    curve_picture([1, 1, 1], "sigma")
    np.testing.assert_allclose(points_of(figures[-1])[0], [(0.05, 1), (0.15, 1), (0.25, 1)])


@pytest.mark.parametrize("kept", [None, GTI.of([], []), GTI.of([5e8], [5e8 + 300])])
@pytest.mark.parametrize("rates", [[1, 1, 1, 200], [0, 0, 0, 0], [1, 2, 1, 2]])
def test_good_and_cut_bins_of_a_light_curve_differ(composed, rates, kept):
    curve = curve_of(rates)
    good = None if kept is None else kept_bins(curve, kept)
    light_curve_png(curve, good, "a $title_ <b>")
    number = 4 if kept is None else len(kept) * 3
    drawn = [points[:, 1].tolist() for points in points_of(composed[0])]
    assert drawn == [rates[:number], rates[number:]]


@pytest.mark.parametrize("sn_image", [None, [28.0, 31.0, 33.0, 90.0]])
@pytest.mark.parametrize("sn", [[30.0], [30.0, 30.0], [-1.0, 0.0, 5.0]])
def test_a_histogram_counts_each_bin_once(composed, sn, sn_image):
    histogram_png(np.array(sn), None if sn_image is None else np.array(sn_image), 30.0, "bins")
    (axes,) = composed[0].axes
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert sum(bar.get_height() for bar in bars) == len(sn)
    filled = [bar for bar in bars if bar.get_height()]
    for value in sn:
        assert any(bar.get_x() <= value <= bar.get_x() + bar.get_width() for bar in filled)
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert ("in the image that was binned: median 32" in texts) == (sn_image is not None)
    assert "target: 30" in texts


SHAPES = ("circle(20,20,5)", "ellipse(30,30,8,4,30)", "rotbox(40,20,10,6,45)", "annulus(20,40,3,6)",
          "rectangle(35,35,45,42)", "polygon(5,5,15,5,10,15)")
PLAIN = ImageCoords(Header({"CRVAL1P": 1.0, "CRVAL2P": 1.0, "CRPIX1P": 1.0, "CRPIX2P": 1.0}))


def lines_of(figure):
    """The outlines of regions on a picture, each (n, 2) in array coordinates."""
    return [line.get_xydata() for line in figure.axes[0].lines if len(line.get_xydata())]


@pytest.mark.parametrize("text", SHAPES)
def test_outlines_on_a_picture_lie_on_the_edges_of_the_mask(composed, text):
    region = parse_regions(text, "shape", "ciao")
    region_png(np.ones((50, 60), np.float32), [RegionOverlay(region, "a shape")], PLAIN, "")
    mask = region_mask(region, PLAIN, (50, 60))
    y, x = np.indices((50, 60))
    inside = np.zeros(mask.size, bool)
    for line in lines_of(composed[0]):
        inside ^= Path(line).contains_points(np.column_stack([x.ravel(), y.ravel()]))
    # Centres on an edge, and the straight pieces that a circle is drawn of, are a few pixels.
    assert np.count_nonzero(inside.reshape(mask.shape) != mask) <= 12


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_regions_have_outlines_of_their_own_colour_and_a_legend(figures, dtype):
    image = np.random.default_rng(0).poisson(2, (50, 60)).astype(dtype)
    region = parse_regions("\n".join([*SHAPES, "field()"]), "shapes", "ciao")
    coords = ImageCoords(cluster_header((50, 60))).with_shape((50, 60))
    overlays = [RegionOverlay(region, "all"), RegionOverlay(region, "again", faint=True)]
    plain, made = (region_png(image, each, coords, "Title") for each in ([], overlays))
    for colour in (OUTLINE, FAINT_OUTLINE):
        assert number_of(colour, plain) == 0
        assert number_of(colour, made) > 50
    outlines = [line for line in figures[-1].axes[0].lines if line.get_color() == "#00e5ff"]
    assert len(outlines) == 7  # two of the annulus, none of the field
    (legend,) = figures[-1].legends
    assert [text.get_text() for text in legend.get_texts()] == ["all", "again"]
    assert not figures[0].legends


@pytest.mark.parametrize(("image", "label"), [
    (np.eye(40, dtype=np.int32), "Counts per pixel, smoothed"),
    (np.arange(1600, dtype=np.int32).reshape(40, 40) + 1, "Counts per pixel"),
    (np.eye(40), "Counts per pixel"),
], ids=["sparse counts", "counts", "sparse numbers"])
def test_the_label_says_whether_the_image_is_smoothed(composed, image, label):
    panels(composed, np.zeros((40, 40), np.int32), np.array([20.0]), image)
    (figure,) = composed[-1:]
    assert label in [axes.get_ylabel() for axes in figure.axes]


@pytest.mark.parametrize("percentiles", [(0, 100), (1, 99), (5, 90)])
def test_the_box_is_that_of_the_places_of_all_pixels(percentiles):
    draw = np.random.default_rng(1)
    for _ in range(100):
        inside = draw.random(draw.integers(1, 40, 2)) < draw.random()
        if inside.any():
            limits = [np.percentile(places, percentiles, method="nearest") for places in np.nonzero(inside)]
            (y0, y1), (x0, x1) = limits
            room = 1 + int(0.1 * max(x1 - x0, y1 - y0))
            ny, nx = inside.shape
            assert box_around(inside, percentiles, 0.1) == Frame(
                max(x0 - room, 0), min(x1 + room + 1, nx), max(y0 - room, 0), min(y1 + room + 1, ny))


LONG = ("88 bins: (fit - truth) / error has mean -0.37 and rms 0.95; 72% of errors hold the truth (68% by chance)",
        "a name_of.a cluster/" * 30)


def pictures_with(title):
    """Draw a picture of each kind with a title."""
    counts = cluster_image(SHAPE, counts=20_000, seed=1)
    coords = ImageCoords(cluster_header(SHAPE))
    binmap = (np.indices(SHAPE)[0] // 20).astype(np.int32)
    values = np.linspace(2, 5, 3)
    bins_png(counts, binmap, values, coords, title)
    region_png(counts, [], coords, title)
    light_curve_png(curve_of([1.0] * 30), None, title)
    maps_png(binmap, coords, [Panel("Temperature", "keV", values)], title)
    maps_profile_png([Profile(values, values / 9, values, values / 5, values / 5, "kT (keV)", values)], title)
    histogram_png(values, None, 3, title)
    radial = RadialProfile(np.arange(3.0), np.arange(1.0, 4), np.full(3, 4.0), np.full(3, 0.5), np.ones(3))
    radial_profile_png(radial, 2.0, "photons/(cm² s arcsec²), approximate and with a long explanation", 0.1, title)
    truth_png(values, values, values / 5, values / 5, values, title)


def check_texts(figures, title):
    """Check that the titles and labels of figures are readable and inside them."""
    for figure in set(figures):
        texts = [text for text in (*figure.texts, *(part for axes in figure.axes for part in (
            axes.title, axes.xaxis.label, axes.yaxis.label))) if text.get_text()]
        assert any(text.get_text().startswith(title[:10]) for text in texts)
        for text in texts:
            box = text.get_window_extent()
            assert min(box.x0, box.y0) >= 0, text
            assert box.x1 <= figure.bbox.width, text
            assert box.y1 <= figure.bbox.height, text
            assert text.get_fontsize() >= 7


@pytest.mark.full
@pytest.mark.parametrize("title", LONG)
def test_titles_and_labels_of_any_length_are_inside_the_picture(figures, title):
    pictures_with(title)
    assert len(set(figures)) == 8
    check_texts(figures, title)


@pytest.mark.parametrize("title", LONG)
def test_titles_of_profiles_are_inside_the_picture(figures, title):
    values = np.linspace(2, 5, 3)
    maps_profile_png([Profile(values, values / 9, values, values / 5, values / 5, "kT (keV)", values)], title)
    check_texts(figures, title)


def test_short_titles_keep_their_size(figures):
    pictures_with("A cluster")
    sizes = [text.get_fontsize() for figure in dict.fromkeys(figures)
             for text in (*figure.texts, *(axes.title for axes in figure.axes)) if text.get_text() == "A cluster"]
    assert sizes == [16, 12, 12, 16, 12, 12, 12, 13]
