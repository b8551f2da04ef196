"""The public functions on arrays of events: any layout in, equal answers, clear errors."""

import numpy as np
import pytest

from chandra_bin import InputError, bin_spectra, event_histogram, points_in_region, region_labels, region_mask
from chandra_bin.errors import ChandraBinWarning
from chandra_bin.events.arrays import Selection
from chandra_bin.regions import parse_regions
from test_rasterize import image_coords

SIZE = 3000
AXES = {"x_range": (0, 10), "y_range": (2, 12), "shape": (20, 10)}


@pytest.fixture
def events():
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-1, 13, (2, SIZE)).astype(np.float32)
    return x, y


def layouts(values):
    """The same numbers, as arrays come."""
    spread = np.zeros((len(values), 3), values.dtype)
    spread[:, 1] = values
    read_only = values.copy()
    read_only.flags.writeable = False
    return [values, spread[:, 1], read_only, values.astype(values.dtype.newbyteorder(">")), values[::-1].copy()[::-1],
            values.tolist()]


def test_layouts_change_nothing(events):
    x, y = events
    region = parse_regions("circle(5,6,3)\nbox(2,2,3,3)")
    expected = np.histogram2d(y, x, (np.linspace(2, 12, 21), np.linspace(0, 10, 11)))[0]
    inside = points_in_region(region, x, y)
    channels = np.random.default_rng(3).integers(1, 30, SIZE).astype(np.int16)
    spectra = bin_spectra(region_labels([region], x, y), channels, channel_count=29)
    assert spectra.sum() == inside.sum() > 0
    for xs, ys, pi in zip(layouts(x), layouts(y), layouts(channels), strict=True):
        np.testing.assert_array_equal(event_histogram(xs, ys, **AXES), expected)
        np.testing.assert_array_equal(event_histogram(xs, ys, weights=np.ones(SIZE, ">f4"), **AXES), expected)
        np.testing.assert_array_equal(points_in_region(region, xs, ys), inside)
        np.testing.assert_array_equal(bin_spectra(inside - 1, pi, channel_count=29), spectra)
    np.testing.assert_array_equal(event_histogram(x, y.astype(float), **AXES), expected)
    image = event_histogram(x, y, **AXES)
    assert image.dtype == np.int32
    assert image.flags.c_contiguous


def test_keep_is_a_mask_or_a_selection(events):
    x, y = events
    keep = x > y
    tests = Selection(SIZE)
    tests.flags(keep.view(np.uint8))
    expected = event_histogram(x[keep], y[keep], **AXES)
    np.testing.assert_array_equal(event_histogram(x, y, keep=keep, **AXES), expected)
    np.testing.assert_array_equal(event_histogram(x, y, keep=tests, threads=2, **AXES), expected)


def test_a_binmap_is_in_array_coordinates():
    binmap = np.array([[0, 1], [-1, 2]])
    x, y = np.array([0, 0.499, 0.5, -0.5, 1.5, 1, 0]), np.array([0, 0, 0, -0.5, 0, 1, 1.0])
    spectra = bin_spectra(binmap, np.full(7, 5), x=x, y=y, chips=np.full(7, 3), chip_numbers=[7, 3])
    assert spectra.shape == (2, 3, 1024)
    assert spectra[1, :, 4].tolist() == [3, 1, 1]
    assert spectra.sum() == 5


@pytest.mark.parametrize("weighted", [False, True])
def test_parts_of_the_events_add_up_to_one_image(events, weighted):
    x, y = events
    weights = np.round(8 * x) if weighted else None
    whole = event_histogram(x, y, weights=weights, **AXES)
    made = np.zeros_like(whole)
    for part in (slice(0, 1000), slice(1000, 1000), slice(1000, SIZE)):
        assert event_histogram(x[part], y[part], weights=weights[part] if weighted else None, out=made, **AXES) is made
    np.testing.assert_array_equal(made, whole)


def test_parts_of_the_events_add_up_to_one_set_of_spectra():
    labels, channels = np.random.default_rng(5).integers(-1, 6, (2, SIZE))
    whole = bin_spectra(labels, channels, channel_count=4)
    made = np.zeros((6, 4), np.int32)
    for part in (labels < 2, labels >= 2):
        assert bin_spectra(labels[part], channels[part], channel_count=4, out=made) is made
    np.testing.assert_array_equal(made, whole)
    assert bin_spectra([0, 9], [1, 1], channel_count=4, out=np.zeros((2, 4), np.int32)).sum() == 1


@pytest.mark.filterwarnings("ignore:.*CIAO and DS9 disagree")
def test_regions_with_what_is_cut_from_them(events):
    """DS9 takes an excluded shape from all shapes of a file; CIAO from the one before it."""
    x, y = np.round(events)
    for text in ("circle(5,6,3)\nbox(2,2,3,3)\n-circle(4,5,2)", "circle(5,6,3)\n-box(5,6,2,9)",
                 "field()\n-circle(5,6,3)"):
        for semantics in ("ciao", "ds9"):
            region = parse_regions(text, semantics=semantics)
            mask = region_mask(region, image_coords(x=-1.0, y=-1.0), (15, 15))
            inside = points_in_region(region, x, y)
            np.testing.assert_array_equal(inside, mask[y.astype(int) + 1, x.astype(int) + 1])
            np.testing.assert_array_equal(region_labels([region], x, y) == 0, inside)


def test_regions_in_other_coordinates_need_those_of_the_events(events):
    x, y = events
    region = parse_regions("# Region file format: DS9\nimage\ncircle(3,3,2)")
    with pytest.raises(InputError, match="not in physical coordinates"):
        points_in_region(region, x, y)
    inside = points_in_region(region, x, y, coords=image_coords(0.5, 0.5, 4.0, 4.0))
    np.testing.assert_array_equal(inside, points_in_region(parse_regions("circle(5,5,1)"), x, y))


def test_where_ciao_and_ds9_disagree(events):
    region = parse_regions("circle(5,6,3)\nbox(2,2,3,3)\n-circle(4,5,2)")
    with pytest.warns(ChandraBinWarning, match="disagree about [0-9]+ events"):
        points_in_region(region, *events)


X = np.zeros(3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: event_histogram(X, X[1:], **AXES), "y has 2 values, for 3 events"),
        (lambda: event_histogram(X, X + 1j, **AXES), "y must hold real numbers, not complex128"),
        (lambda: event_histogram(X, np.ma.array(X), **AXES), "y is a masked array"),
        (lambda: event_histogram([X], [X], **AXES), "x must be 1-D"),
        (lambda: event_histogram(X, X, **AXES | {"shape": (0, 3)}), r"shape is \(0, 3\)"),
        (lambda: event_histogram(X, X, **AXES | {"shape": (2**20, 2**20)}), "below 2"),
        (lambda: event_histogram(X, X, **AXES | {"x_range": (3, 3)}), r"x_range is \(3, 3\)"),
        (lambda: event_histogram(X, X, **AXES | {"y_range": (3, np.inf)}), r"y_range is \(3, inf\)"),
        (lambda: event_histogram(X, X, weights=X[1:], **AXES), "weights has 2 values"),
        (lambda: event_histogram(X, X, keep=np.ones(3), **AXES), r"keep must be boolean of shape \(3,\), not f"),
        (lambda: event_histogram(X, X, keep=Selection(4), **AXES), "a selection of 4 events, not of 3"),
        (lambda: event_histogram(X, X, threads=0, **AXES), "threads is 0"),
        (lambda: event_histogram(X, X, out=np.zeros((20, 10)), **AXES), r"out must be an array int32 .*not float64"),
        (lambda: event_histogram(X, X, out=np.zeros((20, 9), np.int32), **AXES), r"out must be .* of \(20, 9\)"),
        (lambda: event_histogram(X, X, out=np.zeros((10, 20), np.int32).T, **AXES), "writable, and in C order"),
        (lambda: bin_spectra([0], [1], out=np.zeros((1, 9), np.int32)), r"of the shape \(1, 1024\)"),
        (lambda: bin_spectra([0], [1], out=np.zeros((1, 1024), ">i4")), "not >i4"),
        (lambda: bin_spectra([0], [1], out=[0, 0]), "not list of"),
        (lambda: event_histogram(X, X, out=np.full((20, 10), 2**31 - 1, np.int32), **AXES), "could overflow int32"),
        (lambda: bin_spectra([0], [1], out=np.full((1, 1024), 2**31 - 1, np.int32)), "could overflow int32"),
        (lambda: bin_spectra([0, 1, 2], X), "channels must hold whole numbers, not float64"),
        (lambda: bin_spectra([0, 1, 2], [1, 2, 2**40]), "channels holds numbers beyond"),
        (lambda: bin_spectra([0, 1], [1, 2, 3]), "channels has 3 values, for 2 events"),
        (lambda: bin_spectra([0, 1], [1, 2], x=X, y=X), "bins must be a binmap"),
        (lambda: bin_spectra([[0]], [1, 2, 3], x=X), "bins must be a binmap"),
        (lambda: bin_spectra([[0]], [1, 2, 3], x=X[1:], y=X), "x has 2 values, for 3 events"),
        (lambda: bin_spectra([0], [1], chips=[1]), "give both chips and chip_numbers"),
        (lambda: bin_spectra([0], [1], chips=[1], chip_numbers=[]), "at least one chip"),
        (lambda: bin_spectra([0], [1], chips=[1], chip_numbers=[2, 2]), "no duplicates"),
        (lambda: bin_spectra([0], [1], bin_count=2**30), "cannot be made"),
        (lambda: points_in_region(parse_regions("circle(1,1,1e16)"), X, X), "1e15 or more"),
        (lambda: region_labels([parse_regions("circle(1,1,1e16)")], X, X), "1e15 or more"),
    ],
)
def test_bad_input_is_said(call, message):
    with pytest.raises(InputError, match=message):
        call()
