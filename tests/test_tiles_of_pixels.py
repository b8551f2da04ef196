"""The pixels of bins, their places on the sky of events, and the tile of each."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits

from chandra_bin.acis import geometry as acis
from chandra_bin.coords.grids import GridAxis
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError
from chandra_bin.exposure.maps import ChipExposure
from chandra_bin.fits.images import Image
from chandra_bin.spectral.weights import ResponseTile
from chandra_bin.tasks._bin_exposure import BinsOnSky, ExposedCells, PixelsOnGrid
from chandra_bin.tasks._bin_pixels import BinPixels, _indices_of, _numbers_of, _sizes_and_centres
from chandra_bin.tasks._tile_places import middles_of, nearest_of


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
    return SimpleNamespace(coords=events), tiles, x, y


@pytest.mark.parametrize("dec", [-89.9, 90, 0, 60])
def test_a_pixel_gets_the_tile_at_the_least_angle(dec):
    events, tiles, x, y = tiles_around(dec, np.random.default_rng(1))
    nearest, arcmin = nearest_of(middles_of(events, tiles), x, y)
    at = SkyCoord(*events.coords.physical_to_sky(x, y, "icrs"), unit="deg")
    of_tiles = SkyCoord([(tile.ra_deg, tile.dec_deg) for tile in tiles], unit="deg")
    apart = at[:, None].separation(of_tiles).arcmin
    np.testing.assert_allclose(apart[np.arange(5000), nearest], apart.min(axis=1), rtol=1e-5)
    np.testing.assert_allclose(arcmin, apart.min(axis=1), rtol=1e-4)


def test_tiles_are_the_nearest_of_all_in_small_and_large_boxes_of_pixels():
    """Tiles that are not the nearest anywhere in a box of pixels are left out; those without a place always are."""
    rng = np.random.default_rng(3)
    middles = rng.uniform(0, 3000, (2, 40))
    middles[:, 7] = np.nan
    for side in (0, 20, 300, 3000):
        x, y = (rng.uniform(low, low + side, 500) for low in rng.uniform(-500, 3000, 2))
        squares = ((x[:, None] - middles[0]) ** 2 + (y[:, None] - middles[1]) ** 2).astype(np.float32)
        np.testing.assert_array_equal(nearest_of(middles, x, y)[0], np.nanargmin(squares, axis=1))


def on_sky(labels, centre_deg=(150.0, 60.0), step=1.7, **cards):
    """Bins of a turned image around a place, on the sky of events with another tangent point."""
    ny, nx = labels.shape
    turn = np.radians(25)
    header = fits.Header({
        "NAXIS1": nx, "NAXIS2": ny, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": centre_deg[0],
        "CRVAL2": centre_deg[1], "CRPIX1": nx / 2, "CRPIX2": ny / 2, "CDELT1": -step * acis.PIXEL_ARCSEC / 3600,
        "CDELT2": step * acis.PIXEL_ARCSEC / 3600, "PC1_1": np.cos(turn), "PC1_2": -np.sin(turn),
        "PC2_1": np.sin(turn), "PC2_2": np.cos(turn), "CTYPE1P": "x", "CRVAL1P": 1.0, "CRPIX1P": 1.0, "CDELT1P": step,
        "CTYPE2P": "y", "CRVAL2P": 1.0, "CRPIX2P": 1.0, "CDELT2P": step, **cards})
    bins = BinPixels(Image(labels, header, Path("binmap.fits")), [], labels, np.empty(0), np.empty(0), {})
    events = ImageCoords(fits.Header({
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.1, "CRVAL2": 60.02, "CRPIX1": 4096.5,
        "CRPIX2": 4096.5, "CDELT1": -acis.PIXEL_ARCSEC / 3600, "CDELT2": acis.PIXEL_ARCSEC / 3600,
        "CTYPE1P": "x", "CRVAL1P": 1.0, "CRPIX1P": 1.0, "CDELT1P": 1.0,
        "CTYPE2P": "y", "CRVAL2P": 1.0, "CRPIX2P": 1.0, "CDELT2P": 1.0}))
    return BinsOnSky.of(bins, SimpleNamespace(coords=events, file=Path("evt2.fits")))


def scattered_labels(shape, rng):
    """Bins of squares, with holes and empty blocks."""
    labels = np.add.outer(100 * (np.arange(shape[0]) // 30), np.arange(shape[1]) // 30).astype(np.int32)
    labels[rng.random(shape) < 0.2] = -1
    labels[:280, 300:] = -1
    return labels


def test_blocks_hold_each_pixel_of_a_bin_once_at_its_place():
    labels = scattered_labels((300, 530), np.random.default_rng(4))
    sky = on_sky(labels)
    row, column = np.nonzero(labels >= 0)
    x, y = sky.to_sky(column, row)
    expected = np.stack([labels[row, column], x, y], axis=1)
    found = np.concatenate([np.stack([pixels.of(labels), pixels.x, pixels.y], axis=1) for pixels in sky.blocks()])
    np.testing.assert_array_equal(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)])


def test_the_grid_holds_all_pixels_with_the_margin():
    labels = scattered_labels((300, 530), np.random.default_rng(5))
    sky = on_sky(labels)
    row, column = np.nonzero(labels >= 0)
    for at, axis in zip(sky.to_sky(column, row), (sky.grid().x, sky.grid().y), strict=True):
        assert axis == GridAxis.around(at.min() - 1, at.max() + 1, 4.0)


def test_exposed_pixels_are_those_that_a_chip_has_exposed():
    rng = np.random.default_rng(6)
    labels = scattered_labels((700, 530), rng)
    sky = on_sky(labels)
    grid = sky.grid()
    window = slice(150, 220), slice(100, 155)
    part = ChipExposure(3, window, (rng.random((70, 55)) * (rng.random((70, 55)) < 0.3)).astype(np.float32))
    row, column = np.nonzero(labels >= 0)
    seen, _ = PixelsOnGrid.of(*sky.to_sky(column, row), grid).seconds_of(part)
    expected = np.stack([row[seen], column[seen]], axis=1)
    images = [np.broadcast_to(np.arange(labels.shape[axis]).reshape(shape), labels.shape)
              for axis, shape in ((0, (-1, 1)), (1, (1, -1)))]
    blocks = list(sky.blocks(ExposedCells.of([part], grid)))
    found = np.concatenate([np.stack([pixels.of(image) for image in images], axis=1) for pixels in blocks])
    np.testing.assert_array_equal(found[np.lexsort(found.T[::-1])], expected)
    assert 0 < len(blocks) < len(list(sky.blocks()))


# Rows at constant declination, 60 degrees from the equator of the projection.
PARALLELS = {"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "CRVAL2": 0.0, "CDELT1": -4 / 3600, "CDELT2": 4 / 3600,
             "CRPIX2": 200 - 60 * 900, "PC1_1": 2.0, "PC2_2": 1.0, "PC1_2": 0.0, "PC2_1": 0.0}


@pytest.mark.parametrize("cards", [PARALLELS, {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"}, {}],
                         ids=["CAR", "SIN", "TAN"])
def test_all_pixels_of_a_wide_binmap_are_exposed_in_any_projection(cards):
    """Parallels are curves on the sky of the events: their ends are not the outermost places."""
    labels = np.zeros((400, 400), np.int32)
    sky = on_sky(labels, (150.1, 60.0), step=8.0, **cards)
    grid = sky.grid()
    row, column = np.indices(labels.shape)
    for at, axis in zip(sky.to_sky(column.ravel(), row.ravel()), (grid.x, grid.y), strict=True):
        assert axis == GridAxis.around(at.min() - 1, at.max() + 1, sky.step)
    whole = ChipExposure(3, tuple(slice(0, size) for size in grid.shape), np.ones(grid.shape, np.float32))
    exposed = ExposedCells.of([whole], grid)
    assert sum(len(pixels.x) for pixels in sky.blocks(exposed)) == labels.size
    # No block is left out where one cell under its outermost pixel is exposed.
    for pixels in sky.blocks():
        last = int(np.argmax(pixels.x))
        one = PixelsOnGrid.of(pixels.x[[last]], pixels.y[[last]], grid)
        exposed.flags[:] = False
        exposed.flags[one.row, one.column] = True
        assert sum(len(found.x) for found in sky.blocks(exposed)) > 0


def test_bins_on_the_other_side_of_the_sky_are_refused():
    sky = on_sky(np.zeros((4, 4), np.int32), (330.0, -60.0))
    with pytest.raises(InputError, match=r"binmap.fits: holds bins more than 90 degrees from evt2.fits"):
        sky.grid()


@pytest.mark.parametrize("highest", [3, 900, 2**31 - 1])  # the last is sparse: more numbers than pixels
def test_numbers_of_bins_are_those_of_the_pixels(highest):
    labels = np.random.default_rng(2).integers(0, highest, 1000, dtype=np.int32)
    labels[[10, 500]], labels[[3, 900]] = highest, -1
    labels = labels.reshape(200, 5)
    numbers, inside = _numbers_of(labels), labels >= 0
    np.testing.assert_array_equal(numbers, np.unique(labels[inside]))
    indices = _indices_of(labels, numbers)
    np.testing.assert_array_equal(numbers[indices[inside]], labels[inside])
    assert (indices[~inside] == -1).all()
    assert numbers.dtype == indices.dtype == np.int32
    assert _numbers_of(np.full((2, 3), -1, np.int32)).size == 0


def test_sizes_and_centres_are_those_of_the_pixels():
    labels = scattered_labels((300, 90), np.random.default_rng(7)) % 11
    pixels, centres = _sizes_and_centres(labels, 11)
    for label in range(11):
        row, column = np.nonzero(labels == label)
        assert pixels[label] == len(row)
        assert centres[label].tolist() == [column.sum() / len(row), row.sum() / len(row)]
