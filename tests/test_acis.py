"""Where ACIS's chips lie, against the coordinates of real events, and the shared formulas."""

import itertools

import numpy as np
import pytest

from acis_inverses import chip_outline, from_sky, pointing_at, pointing_offset, to_chip
from chandra_bin.acis import geometry as acis
from chandra_bin.events.reader import read_events


def events_of(shared, file):
    return read_events(shared / file, ["time", "ccd_id", "chipx", "chipy", "detx", "dety", "x", "y"])


@pytest.mark.parametrize(("file", "zero_point_px"), [
    ("data/sgra_28229/repro/acisf28229_repro_evt2.fits.gz", 0.2),
    ("data/msh1552/msh1552_acis_evt2.fits.gz", 10.1),  # the alignment (dy, dz) in its aspect is not known
])
def test_chips_lie_where_real_events_say(shared, file, zero_point_px):
    events = events_of(shared, file)
    offsets = []
    for chip in np.unique(events["ccd_id"]):
        on = events["ccd_id"] == chip
        detx, dety = acis.to_detector(chip, events["chipx"][on], events["chipy"][on], events.header["SIM_Z"])
        difference = np.stack([events["detx"][on] - detx, events["dety"][on] - dety])
        offsets.append(difference.mean(axis=1))
        # Real coordinates are spread over their pixel.
        assert difference.std(axis=1).max() < 0.52
    offsets = np.array(offsets)
    assert np.hypot(*offsets.mean(axis=0)) < zero_point_px
    assert np.abs(offsets - offsets.mean(axis=0)).max() < 0.1


@pytest.mark.parametrize("file", ["data/sgra_28229/repro/acisf28229_repro_evt2.fits.gz",
                                  "data/msh1552/msh1552_acis_evt2.fits.gz"])
def test_sky_follows_from_detector_roll_and_dither(shared, file):
    events = events_of(shared, file)
    x, y = acis.to_sky(events["detx"], events["dety"], events.header["ROLL_NOM"])
    for difference in (events["x"] - x, events["y"] - y):
        # What is left is the dither, 8 or 16 arcsec to either side, and the mean pointing.
        low, middle, high = np.percentile(difference, [0.5, 50, 99.5])
        assert high - middle < 45
        assert middle - low < 45
        assert abs(middle) < 6


def test_chips_do_not_touch():
    for chip in acis.CHIPS:
        for other in acis.CHIPS:
            if other != chip:
                x, y = to_chip(other, *chip_outline(chip, -190.0).T, -190.0)
                assert not ((x > -4) & (x < 1029) & (y > -4) & (y < 1029)).any()


def test_gaps_in_the_row_are_18_pixels():
    edges = [chip_outline(chip, -190.0)[:, 0] for chip in range(4, 10)]
    gaps = [right.min() - left.max() for left, right in itertools.pairwise(edges)]
    assert np.allclose(gaps, 19.5, atol=1.5)


@pytest.mark.parametrize("array", ["I", "S"])
def test_the_optical_axis_falls_on_the_aim_chip(array):
    x, y = to_chip(acis.AIM_CHIP[array], acis.CENTRE_PX, acis.CENTRE_PX, acis.AIM_SIM_Z_MM[array])
    assert 0 < x < 1025
    assert 0 < y < 1025


def test_transformations_have_inverses():
    draw = np.random.default_rng(1)
    chipx, chipy = draw.uniform(0.5, 1024.5, (2, 100))
    for chip in acis.CHIPS:
        detector = acis.to_detector(chip, chipx, chipy, -200.0)
        assert np.allclose(to_chip(chip, *detector, -200.0), (chipx, chipy), atol=1e-9)
        sky = acis.to_sky(*detector, 123.0, 7.0, -5.0)
        assert np.allclose(from_sky(*sky, 123.0, 7.0, -5.0), detector, atol=1e-9)


def test_pointing_offset_agrees_with_the_sky_coordinates_of_events():
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [258.1, -63.4], [4096.5, 4096.5], [-0.492 / 3600, 0.492 / 3600]
    ra, dec = np.array([258.12, 258.05]), np.array([-63.41, -63.39])
    x, y = wcs.wcs_world2pix(ra, dec, 1)
    assert np.allclose(pointing_offset(ra, dec, 258.1, -63.4), (x - 4096.5, y - 4096.5), atol=1e-6)
    assert np.allclose(pointing_at(x - 4096.5, y - 4096.5, 258.1, -63.4), (ra, dec), atol=1e-9)


def test_formulas():
    assert acis.vignetting(0.0) == 1
    assert acis.vignetting(10.0) == pytest.approx(0.78)
    assert acis.vignetting(40.0) == 0
    assert acis.psf_radius_arcsec(10.0) == pytest.approx(11)
    assert acis.psf_radius_arcsec(0.0, 0.39347) == pytest.approx(1 / np.sqrt(2 * np.log(10)), rel=1e-4)
    assert acis.effective_area_cm2([1500, 12000]).tolist() == [560, 0]
