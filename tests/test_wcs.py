"""Array, physical and sky coordinates of images and event lists."""

import copy
import pickle
import threading

import numpy as np
import pytest
from astropy.io.fits import Header, getheader

from chandra_bin.coords.frames import convert_frame, sky_frame
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError

SKY = {
    "CTYPE1": "RA---TAN", "CRVAL1": 198.875, "CRPIX1": 141.5, "CDELT1": -5.4666666667e-4, "CUNIT1": "deg",
    "CTYPE2": "DEC--TAN", "CRVAL2": -16.366, "CRPIX2": 251.5, "CDELT2": 5.4666666667e-4, "CUNIT2": "deg",
    "RADESYS": "ICRS", "NAXIS1": 364, "NAXIS2": 366, "MJD-OBS": 54532.7,
}
PHYSICAL = {"CRVAL1P": 3532.5, "CRPIX1P": 0.5, "CDELT1P": 4.0, "CRVAL2P": 3092.5, "CRPIX2P": 0.5, "CDELT2P": 4.0}


def coords(**changes):
    return ImageCoords(Header({**SKY, **PHYSICAL, **changes}))


def test_physical_coordinates_of_pixel_edges():
    image = coords()
    assert image.lower_left_edge == (3532.5, 3092.5)
    assert [float(v) for v in image.image_to_physical(0, 0)] == [3534.5, 3094.5]
    assert [float(v) for v in image.physical_to_image(3534.5, 3094.5)] == [0, 0]


def test_ltv_and_crvalp_agree():
    ltv = ImageCoords(Header({"LTV1": -882.625, "LTM1_1": 0.25, "LTV2": -772.625, "LTM2_2": 0.25}))
    for x in (0.0, 17.25):
        np.testing.assert_allclose(ltv.image_to_physical(x, x), coords().image_to_physical(x, x), rtol=1e-14)


def test_cropped_and_binned_images_have_the_same_sky():
    """What astropy or dmcopy do to the keywords when an image is cut out of another."""
    cut = coords(CRPIX1=141.5 - 40, CRPIX2=251.5 - 30, CRVAL1P=3532.5 + 160, CRVAL2P=3092.5 + 120)
    physical = (4000.0, 3900.0)
    np.testing.assert_allclose(cut.physical_to_sky(*physical), coords().physical_to_sky(*physical), rtol=1e-14)
    fine = coords(CRPIX1=(141.5 - 0.5) * 4 + 0.5, CRPIX2=(251.5 - 0.5) * 4 + 0.5, CDELT1P=1.0, CDELT2P=1.0,
                  CDELT1=SKY["CDELT1"] / 4, CDELT2=SKY["CDELT2"] / 4)
    np.testing.assert_allclose(fine.physical_to_sky(*physical), coords().physical_to_sky(*physical), rtol=1e-12)


@pytest.mark.parametrize("frame", [None, "icrs", "fk5", "galactic", "fk4", "ecliptic", "J2000"])
@pytest.mark.parametrize("turn", [0.0, 33.0])
def test_there_and_back(frame, turn):
    image = coords(CROTA2=turn)
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 364, (2, 1000))
    # astropy's way to FK4 and its way back differ by 0.025 milliarcsec.
    back = image.sky_to_image(*image.image_to_sky(x, y, frame), frame)
    np.testing.assert_allclose(back, (x, y), atol=2e-5 if frame == "fk4" else 1e-6)
    back = image.sky_to_physical(*image.physical_to_sky(x, y, frame), frame)
    np.testing.assert_allclose(back, (x, y), atol=1e-4 if frame == "fk4" else 1e-5)


def test_fk5_is_that_of_ds9(shared):
    """The number in ds9/README.md: DS9 takes the spin of FK5 at the date of the observation."""
    image = ImageCoords(getheader(shared / "contbin/golden/inputs/ngc5044_364x366.fits.gz"))
    np.testing.assert_allclose(image.image_to_sky(108.7, 145.9, "fk5"), (198.89329866, -16.42333224), atol=6e-9)
    np.testing.assert_allclose(image.image_to_sky(108.7, 145.9), (198.8932889, -16.4233332), atol=6e-8)
    scale, north = image.scale_and_north(*image.ds9_centre, "fk5")
    assert north == pytest.approx(0.0064966782, abs=1e-8)
    assert scale == pytest.approx(5.4666666667e-4, rel=1e-6)


def test_dates():
    assert coords().mjd == 54532.7
    dated = ImageCoords(Header({**SKY, "MJD-OBS": None, "DATE-OBS": "2008-03-07T16:53:35"}))
    assert dated.mjd == pytest.approx(54532.70388)
    assert ImageCoords(Header({"DATE-OBS": "nonsense"})).mjd == 51544.5


def test_old_spellings():
    """RADECSYS, MJD_OBS and degree: as in public images, and no warning of astropy's."""
    header = {key: value for key, value in SKY.items() if key not in ("RADESYS", "MJD-OBS")}
    old = ImageCoords(Header({**header, "RADECSYS": "FK5", "EQUINOX": 2000.0, "CUNIT1": "degree", "CUNIT2": "degree",
                              "MJD_OBS": 54532.7}))
    assert old.frame.name == "fk5"
    assert old.mjd == 54532.7
    np.testing.assert_array_equal(old.image_to_sky(3.0, 4.0, "fk5"), old.image_to_sky(3.0, 4.0))


def test_events_and_their_image(shared):
    """An image's physical coordinates are the sky pixels of the events that it was made of."""
    events = ImageCoords.from_events(getheader(shared / "data/msh1552/msh1552_acis_evt2.fits.gz", 1))
    image = ImageCoords(getheader(shared / "data/msh1552/msh1552_flux_2.1-10keV.fits.gz"))
    np.testing.assert_allclose(events.physical_to_sky(4000, 4100), image.physical_to_sky(4000, 4100), atol=1e-9)
    assert events.mjd == image.mjd
    np.testing.assert_allclose(events.sky_to_physical(*image.physical_to_sky(4321, 4100)), (4321, 4100), atol=1e-6)


def test_events_without_columns():
    header = Header({"TFIELDS": 2, "TTYPE1": "time", "TTYPE2": "x"})
    with pytest.raises(InputError, match="no columns x and y, only time, x"):
        ImageCoords.from_events(header)


def test_region_tables_have_columns_of_their_own_names(shared):
    header = getheader(shared / "data/sgra_28229/repro/acisf28229_repro_fov1.fits.gz", 1)
    lon, lat = ImageCoords.from_events(header, "X", "Y").physical_to_sky(4096.5, 4096.5)
    assert (float(lon), float(lat)) == pytest.approx((266.41821353913, -29.011519493741))


def test_each_thread_has_its_own_wcs():
    image = coords()
    seen = [image.sky]
    x = np.linspace(0, 300, 5000)
    expected = image.image_to_sky(x, x)
    results = []

    def work():
        seen.append(image.sky)
        results.append(image.image_to_sky(x, x))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(sky) for sky in seen}) == 5
    for result in results:
        np.testing.assert_array_equal(result, expected)


def test_far_sky_has_no_pixel():
    x, y = coords().sky_to_image([18.0, 198.875], [16.0, -16.366])
    assert np.isnan(x[0])
    assert np.isnan(y[0])
    assert np.isfinite([x[1], y[1]]).all()


def turned_physical(degrees, binned=4.0, **changes):
    """A header whose image is turned against physical coordinates, as LTM and LTV have it."""
    cosine, sine = np.cos(np.radians(degrees)) / binned, np.sin(np.radians(degrees)) / binned
    return Header({**SKY, "LTM1_1": cosine, "LTM1_2": sine, "LTM2_1": -sine, "LTM2_2": cosine,
                   "LTV1": -800.25, "LTV2": 300.5, **changes})


@pytest.mark.parametrize("turn", [30.0, 90.0, -135.0])
def test_turned_physical_coordinates(turn):
    header = turned_physical(turn)
    image = ImageCoords(header)
    x, y = np.array([0.0, 17.5, 300.0]), np.array([3.0, -4.0, 250.0])
    physical = image.image_to_physical(x, y)
    ltm = np.array([[header["LTM1_1"], header["LTM1_2"]], [header["LTM2_1"], header["LTM2_2"]]])
    np.testing.assert_allclose(ltm @ physical + [[header["LTV1"]], [header["LTV2"]]], [x + 1, y + 1], atol=1e-9)
    np.testing.assert_allclose(image.physical_to_image(*physical), (x, y), atol=1e-9)
    np.testing.assert_allclose(image.physical_to_sky(*physical), coords().image_to_sky(x, y), rtol=1e-12)
    np.testing.assert_array_equal(image.image_to_sky(x, y), coords().image_to_sky(x, y))


def test_only_diagonals_that_are_there_count():
    """A quarter turn has no LTM1_1, and that is 0 then, not 1."""
    image = ImageCoords(Header({"LTM1_2": 0.5, "LTM2_1": -0.5}))
    assert [float(v) for v in image.image_to_physical(1.0, 5.0)] == [-12.0, 4.0]


def test_swapped_axes():
    """An image whose first axis is the declination."""
    swapped = {**SKY}
    for key in ("CTYPE", "CRVAL", "CRPIX", "CDELT"):
        swapped[f"{key}1"], swapped[f"{key}2"] = SKY[f"{key}2"], SKY[f"{key}1"]
    image, x, y = ImageCoords(Header(swapped)), np.array([3.0, 200.0]), np.array([40.0, 7.0])
    for frame in (None, "galactic"):
        there = image.image_to_sky(x, y, frame)
        np.testing.assert_allclose(there, coords().image_to_sky(y, x, frame), rtol=1e-13)
        np.testing.assert_allclose(image.sky_to_image(*there, frame), (x, y), atol=1e-5)
    assert image.pixel_area_arcsec2 == pytest.approx(coords().pixel_area_arcsec2)


def test_headers_without_the_number_of_pixels():
    header = Header({key: value for key, value in SKY.items() if not key.startswith("NAXIS")})
    assert ImageCoords(header).ds9_centre == (SKY["CRPIX1"] - 1, SKY["CRPIX2"] - 1)
    assert ImageCoords(header).with_shape((366, 364)).ds9_centre == coords().ds9_centre
    assert coords().with_shape((1, 1)).ds9_centre == (181, 182)


def test_points_that_a_distortion_cannot_reach_are_nan():
    """Where astropy's iteration does not converge, and beyond the projection; the others keep their pixels."""
    sip = {**SKY, "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 3, "B_ORDER": 3, "A_3_0": 1e-6,
           "B_0_3": 1e-6}
    image = ImageCoords(Header(sip))
    lon, lat = image.image_to_sky([150.0, 120.0], [260.0, 240.0])
    x, y = image.sky_to_image([lon[0], 203.0, lon[1], 18.0], [lat[0], -20.0, lat[1], 16.0])
    np.testing.assert_allclose([x[[0, 2]], y[[0, 2]]], [[150, 120], [260, 240]], atol=1e-4)
    assert np.isnan([x[[1, 3]], y[[1, 3]]]).all()
    alone = image.sky_to_image(18.0, 16.0)
    assert np.isnan(alone).all()
    assert np.shape(alone[0]) == ()


@pytest.mark.parametrize("made", [lambda c: pickle.loads(pickle.dumps(c)), copy.copy, copy.deepcopy])
def test_copies(made):
    image = coords()
    expected = image.image_to_sky(3.0, 4.0)
    np.testing.assert_array_equal(made(image).image_to_sky(3.0, 4.0), expected)


@pytest.mark.parametrize(
    ("header", "call", "message"),
    [
        ({}, lambda c: c.image_to_physical(0, 0), "no physical coordinates"),
        ({}, lambda c: c.physical_to_image(0, 0), "no physical coordinates"),
        ({}, lambda c: c.image_to_sky(0, 0), "no sky coordinates"),
        (SKY, lambda c: c.image_to_sky(0, 0, "nonsense"), "unknown sky frame 'nonsense'"),
        ({"CDELT1P": 4.0}, lambda c: c.physical, "cannot be used"),
        ({**PHYSICAL, "CDELT1P": 0.0}, lambda c: c.physical, "cannot be used"),
        ({"LTM1_1": 0.0}, lambda c: c.physical, "cannot be used"),
        ({"LTM1_2": 0.7, "LTM2_1": -0.7}, lambda c: c.physical.scale, "rotated"),
        ({"LTM1_1": 0.5, "LTM1_2": 0.5, "LTM2_1": 0.5, "LTM2_2": 0.5}, lambda c: c.physical, "cannot be used"),
        ({}, lambda c: c.ds9_centre, "no sky coordinates"),
        ({**SKY, "CDELT1": 0.0}, lambda c: c.sky, "sky coordinates cannot be used"),
    ],
)
def test_bad_headers(header, call, message):
    with pytest.raises(InputError, match=message):
        call(ImageCoords(Header(header)))


def test_frames_by_way_of_each_other():
    lon, lat = np.array([10.0, 200.0]), np.array([-20.0, 60.0])
    icrs, fk5, galactic = sky_frame("icrs"), sky_frame("fk5"), sky_frame("galactic")
    there = convert_frame(lon, lat, fk5, galactic, 55000.0)
    np.testing.assert_allclose(convert_frame(*there, galactic, fk5, 55000.0), (lon, lat), atol=1e-12)
    shift = np.hypot(*(np.array(convert_frame(lon, lat, icrs, fk5, 55000.0)) - (lon, lat))) * 3600
    assert np.all((shift > 0.001) & (shift < 0.1))


@pytest.mark.parametrize("name", ["altaz", "heliocentrictrueecliptic"])
def test_frames_that_need_more_than_a_direction(name):
    with pytest.raises(InputError, match="more than a direction"):
        sky_frame(name)
