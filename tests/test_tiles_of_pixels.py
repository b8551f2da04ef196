"""The tile of each pixel of a bin, against angles on the sphere, and the numbers of bins against numpy's unique."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits

from chandra_bin.acis import geometry as acis
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.spectral.weights import ResponseTile
from chandra_bin.tasks._bin_exposure import PixelsOfBins
from chandra_bin.tasks._bin_pixels import _numbers_of
from chandra_bin.tasks.responses import _middles, _nearest


def tiles_around(dec, rng):
    """Sky pixels of events at a declination, tiles on a chip there, and pixels of a bin across it."""
    events = ImageCoords(fits.Header({
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 359.99, "CRVAL2": dec, "CRPIX1": 4096.5,
        "CRPIX2": 4096.5, "CDELT1": -acis.PIXEL_ARCSEC / 3600, "CDELT2": acis.PIXEL_ARCSEC / 3600,
        "CTYPE1P": "x", "CRVAL1P": 1.0, "CRPIX1P": 1.0, "CDELT1P": 1.0,
        "CTYPE2P": "y", "CRVAL2P": 1.0, "CRPIX2P": 1.0, "CDELT2P": 1.0}))
    x, y = rng.uniform(3600, 4600, (2, 5000))
    ra, dec = events.physical_to_sky(*rng.uniform(3600, 4600, (2, 30)), "icrs")
    tiles = [ResponseTile(1, None, *place, Path("a"), Path("b")) for place in np.transpose([ra, dec]).tolist()]
    pixels = PixelsOfBins(np.zeros(5000, np.int32), x, y, 1, 30)
    return SimpleNamespace(coords=events), tiles, pixels


@pytest.mark.parametrize("dec", [-89.9, 90, 0, 60])
def test_a_pixel_gets_the_tile_at_the_least_angle(dec):
    events, tiles, pixels = tiles_around(dec, np.random.default_rng(1))
    nearest, arcmin = _nearest(_middles(events, tiles), range(30), pixels, np.arange(5000))
    at = SkyCoord(*events.coords.physical_to_sky(pixels.x, pixels.y, "icrs"), unit="deg")
    of_tiles = SkyCoord([(tile.ra_deg, tile.dec_deg) for tile in tiles], unit="deg")
    apart = at[:, None].separation(of_tiles).arcmin
    np.testing.assert_allclose(apart[np.arange(5000), nearest], apart.min(axis=1), rtol=1e-5)
    np.testing.assert_allclose(arcmin, apart.min(axis=1), rtol=1e-4)


@pytest.mark.parametrize("highest", [3, 900, 2**31 - 1])  # the last is sparse: more numbers than pixels
def test_numbers_of_bins_are_those_of_the_pixels(highest):
    labels = np.random.default_rng(2).integers(0, highest, 1000, dtype=np.int32)
    labels[[10, 500]] = highest
    numbers, indices = _numbers_of(labels)
    np.testing.assert_array_equal(numbers, np.unique(labels))
    np.testing.assert_array_equal(numbers[indices], labels)
    assert numbers.dtype == np.int32
    assert [each.size for each in _numbers_of(labels[:0])] == [0, 0]
