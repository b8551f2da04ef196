"""Event coordinates on another tangent plane, against astropy's WCS."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from chandra_bin.coords.blocks import block_sums
from chandra_bin.coords.tangent_plane import (
    as_float32,
    mean_point,
    parse_point,
    reproject,
    separation_deg,
    sky_pixel_map,
    tangent_point,
)
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError

PIXEL_DEG = 1.3666666666667e-4
EXACT_PX = 1e-4


def sky_header(ra, dec, pixel_deg=PIXEL_DEG, **more):
    return fits.Header({
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": dec, "CRPIX1": 4096.5, "CRPIX2": 4096.5,
        "CDELT1": -pixel_deg, "CDELT2": pixel_deg, "CUNIT1": "deg", "CUNIT2": "deg", "RADESYS": "ICRS", **more})


def coords_of(header):
    """The physical coordinates of events: FITS pixels."""
    return ImageCoords(fits.Header([
        *header.cards, *((f"{key}{n}P", 1.0) for key in ("CRVAL", "CRPIX", "CDELT") for n in (1, 2))]))


def by_astropy(old, new, x, y):
    return WCS(new).all_world2pix(*WCS(old).all_pix2world(x, y, 1), 1)


def field(count=2000, seed=1):
    """Places all over the field, its corners among them."""
    places = np.random.default_rng(seed).uniform(0.5, 8192.5, (2, count))
    places[:, :4] = [[0.5, 0.5, 8192.5, 8192.5], [0.5, 8192.5, 0.5, 8192.5]]
    return places


@pytest.mark.parametrize(("old", "new"), [
    ((228.475, -59.14), (228.52, -59.10)),
    ((0.01, 20.0), (359.99, 20.03)),
    ((180.0, 0.0), (180.05, 0.02)),
    ((10.0, 89.0), (40.0, 89.2)),
    ((10.0, -89.0), (12.0, -89.02)),
    ((77.0, -89.95), (257.0, -89.98)),
    ((10.0, 89.99), (190.0, 89.99)),
    ((10.0, 89.9), (0.0, 90.0)),
    ((10.0, -89.9), (0.0, -90.0)),
    ((0.0, 90.0), (0.0, 89.9)),
])
def test_it_is_exact_over_the_whole_field(old, new):
    old, new = sky_header(*old), sky_header(*new)
    x, y = field()
    there = reproject(coords_of(old), coords_of(new), x, y)
    np.testing.assert_allclose(there, by_astropy(old, new, x, y), rtol=0, atol=EXACT_PX / 100)


@given(ra=st.floats(0, 360), dec=st.floats(-90, 90), east=st.floats(-0.7, 0.7), north=st.floats(-0.7, 0.7))
def test_it_is_exact_everywhere_in_the_sky(ra, dec, east, north):
    new_dec = float(np.clip(dec + north, -90, 90))
    new_ra = (ra + east / max(np.cos(np.radians(dec)), 0.02)) % 360
    old, new = sky_header(ra, dec), sky_header(new_ra, new_dec)
    x, y = field(50)
    there = reproject(coords_of(old), coords_of(new), x, y)
    np.testing.assert_allclose(there, by_astropy(old, new, x, y), rtol=0, atol=EXACT_PX / 100)


@pytest.mark.parametrize("other", [
    {"pixel_deg": 3.66e-5}, {"CD1_1": -1e-4, "CD1_2": 4e-5, "CD2_1": 4e-5, "CD2_2": 1e-4}, {"CROTA2": 30.0},
    {"RADESYS": "FK5", "EQUINOX": 2000.0}, {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"}, {"LONPOLE": 150.0}])
def test_other_pixels_and_projections_go_through_the_sky(other):
    old, new = sky_header(228.475, -59.14, **other), sky_header(228.52, -59.10)
    if "CD1_1" in other:
        old.remove("CDELT1")
        old.remove("CDELT2")
    x, y = field(300)
    there = reproject(coords_of(old), coords_of(new), x, y)
    if "RADESYS" in other:
        sky = coords_of(old).physical_to_sky(x, y, "icrs")
        expected = WCS(new).all_world2pix(*sky, 1)
    else:
        expected = by_astropy(old, new, x, y)
    np.testing.assert_allclose(there, expected, rtol=0, atol=EXACT_PX / 100)


def test_binned_images_have_physical_pixels():
    old, new = sky_header(228.475, -59.14), sky_header(228.52, -59.10)
    image = coords_of(new).header.copy()
    for n in (1, 2):  # pixels of 4 from 100.5 on
        image[f"CRPIX{n}"] = 0.5 + (4096.5 - 100.5) / 4
        image[f"CDELT{n}"] *= 4
        image.update({f"CRVAL{n}P": 100.5, f"CRPIX{n}P": 0.5, f"CDELT{n}P": 4.0})
    x, y = field(300)
    np.testing.assert_allclose(reproject(coords_of(old), ImageCoords(image), x, y), by_astropy(old, new, x, y),
                               rtol=0, atol=EXACT_PX / 100)


def test_there_and_back_is_where_it_was():
    old, new = coords_of(sky_header(10, 89.5)), coords_of(sky_header(50, 89.7))
    x, y = field()
    np.testing.assert_allclose(reproject(new, old, *reproject(old, new, x, y)), (x, y), rtol=0, atol=1e-7)


def test_arrays_of_any_kind_give_equal_answers():
    old, new = coords_of(sky_header(10, 20)), coords_of(sky_header(10.05, 20.02))
    x, y = np.floor(field(40_000)).astype(np.float32)
    expected = reproject(old, new, x.astype(float), y.astype(float))
    for kind in (">f4", ">f8", np.int16):
        np.testing.assert_array_equal(reproject(old, new, x.astype(kind), y.astype(kind)), expected)
    read_only = x.copy()
    read_only.setflags(write=False)
    np.testing.assert_array_equal(reproject(old, new, read_only, y), expected)
    np.testing.assert_array_equal(reproject(old, new, x[::-1], y[::-1]), np.array(expected)[:, ::-1])
    np.testing.assert_array_equal(reproject(old, new, x.reshape(200, 200).T, y.reshape(200, 200).T),
                                  np.array(expected).reshape(2, 200, 200).transpose(0, 2, 1))
    assert reproject(old, new, 5.0, 6.0)[0].shape == ()
    assert reproject(old, new, [], [])[0].shape == (0,)


def test_the_other_side_of_the_sky_and_nan_are_nan():
    old, new = coords_of(sky_header(10, 20)), coords_of(sky_header(190, -20))
    assert np.isnan(reproject(old, new, [4096.5, 1.0], [4096.5, 1.0])).all()
    near = coords_of(sky_header(10.1, 20))
    assert np.isnan(reproject(old, near, [np.nan, 5.0], [5.0, np.nan])).all()


def test_without_a_sky_there_is_no_way():
    blank = ImageCoords(fits.Header({"CRVAL1P": 1.0, "CRVAL2P": 1.0}))
    with pytest.raises(InputError, match="no sky coordinates"):
        reproject(blank, coords_of(sky_header(10, 20)), 1, 1)
    with pytest.raises(InputError, match="no sky coordinates"):
        reproject(coords_of(sky_header(10, 20)), blank, 1, 1)


@given(st.lists(st.floats(-9000, 17000), min_size=1), st.sampled_from([0.125, 0.25, 0.5, 1, 2, 3, 8]))
def test_stored_coordinates_stay_in_their_pixel(values, binsize):
    # Beside edges too: the nearest float32 of 4096.49999 would be 4096.5.
    near = np.rint(np.array(values)) + 0.5
    exact = np.concatenate([values, near, near - 1e-5, near + 1e-5, near - 1e-9])
    stored = as_float32(exact)
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(np.floor((stored.astype(float) - 0.5) / binsize), np.floor((exact - 0.5) / binsize))
    assert (np.abs(stored - exact) <= np.spacing(np.abs(stored).astype(np.float32))).all()


def test_nan_is_stored_as_nan():
    np.testing.assert_array_equal(as_float32(np.array([np.nan, 1.0])), np.float32([np.nan, 1.0]))


def test_the_tangent_point_may_be_asked_for_in_another_frame():
    fk5 = coords_of(sky_header(10, 20, RADESYS="FK5", EQUINOX=2000.0))
    icrs = coords_of(sky_header(10, 20))
    assert tangent_point(icrs) == pytest.approx((10, 20), abs=1e-12)
    there = tangent_point(fk5, icrs)
    assert 0 < separation_deg((10, 20), there) * 3600 < 0.1


def test_the_mean_is_one_of_directions():
    assert separation_deg(mean_point([(359.0, 10.0), (1.0, 10.0)]), (0, 10.0015)) < 1e-4
    assert 0 <= mean_point([(359.0, 10.0), (1.0, 10.0)])[0] < 360
    assert mean_point([(0.0, 89.0), (180.0, 89.0)])[1] == pytest.approx(90)
    assert mean_point([(12.345, -6.789)] * 3) == (12.345, -6.789)
    assert separation_deg((359.9, 0.0), (0.1, 0.0)) == pytest.approx(0.2)
    assert separation_deg((10.0, 20.0), (10.0, 20.0)) == 0
    assert separation_deg((10.0, 20.0), (190.0, -20.0)) == pytest.approx(180)


@pytest.mark.parametrize("text", ["228.475 -59.14", "15:13:54 -59:08:24", "15 13 54 -59 08 24", "15h13m54s,-59d08m24s",
                                  "228d28.5m -59:08.4", "15:13:54 -59:07:84"])
def test_places_in_degrees_and_in_hours_and_minutes(text):
    like = coords_of(sky_header(0, 0))
    if "84" in text:
        with pytest.raises(InputError, match="'15:13:54 -59:07:84' is neither a file nor a sky position"):
            parse_point(text, like)
    else:
        np.testing.assert_allclose(parse_point(text, like), (228.475, -59.14), rtol=0, atol=1e-11)


@pytest.mark.parametrize("shape", [(6, 8), (7, 9), (1, 1)])
def test_block_sums_count_every_pixel_once(shape):
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    sums = block_sums(image, (2, 4), np.float64)
    assert sums.shape == (-(-shape[0] // 2), -(-shape[1] // 4))
    for (y, x), value in np.ndenumerate(sums):
        assert value == image[2 * y: 2 * y + 2, 4 * x: 4 * x + 4].sum()


def test_pixels_of_an_image_are_found_on_the_sky_pixels_of_events_with_and_without_physical_coordinates():
    image, events = sky_header(10.0, 60.0, 4 * PIXEL_DEG), sky_header(10.05, 60.02)
    for header in (image, fits.Header({**image, "CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"})):
        x, y = field() - 1
        expected = by_astropy(header, events, x + 1, y + 1)
        for coords in (ImageCoords(header), coords_of(header)):
            np.testing.assert_allclose(sky_pixel_map(coords, coords_of(events))(x, y), expected, rtol=0, atol=1e-5)
