"""Linear interpolation: every bit is that of scipy's, or of numpy's sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import affine_transform

from chandra_bin._kernels import _interpolate
from chandra_bin.sources._grids import doubled

SIDES = st.integers(1, 12)


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.floats(-7, 7), st.floats(0.1, 2), st.integers(0, 99))
def test_values_are_those_of_scipy(shape, out, angle, step, seed):
    draw = np.random.default_rng(seed)
    image = draw.normal(size=shape)
    matrix = step * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    offset = draw.uniform(-2, 8, 2)
    values = np.full(out, np.nan, np.float32)
    _interpolate.interpolate(image, matrix, offset, values=values)
    np.testing.assert_array_equal(values, affine_transform(image, matrix, offset, out, np.float32, order=1))


def test_places_on_the_last_pixels_have_their_values():
    image = np.arange(6.0).reshape(2, 3)
    values = np.empty((4, 5), np.float32)
    _interpolate.interpolate(image, np.eye(2), np.array([-1.0, -1.0]), values=values)
    np.testing.assert_array_equal(values, np.pad(image, ((1, 1), (1, 1)))[:4, :5])


@given(SIDES, SIDES, st.integers(0, 99))
def test_pixels_of_half_the_size_have_three_quarters_of_their_own(ny, nx, seed):
    image = np.random.default_rng(seed).normal(size=(ny, nx)).astype(np.float32)
    tall = image
    for _ in range(2):  # along y, then along x
        above, below = np.vstack([tall[:1], tall[:-1]]), np.vstack([tall[1:], tall[-1:]])
        both = np.stack([np.float32(0.75) * tall + np.float32(0.25) * each for each in (above, below)], axis=1)
        tall = both.reshape(-1, tall.shape[1]).T
    np.testing.assert_array_equal(doubled(image), tall)


@pytest.mark.parametrize(("matrix", "offset", "reason"), [
    (np.eye(3), np.zeros(2), r"\(3, 3\)"), (np.eye(2), np.zeros(3), "offset has 3 values")])
def test_other_shapes_are_refused(matrix, offset, reason):
    with pytest.raises(ValueError, match=reason):
        _interpolate.interpolate(np.ones((3, 3)), matrix, offset, values=np.ones((3, 3), np.float32))


def test_images_without_pixels_are_refused():
    with pytest.raises(ValueError, match="no pixels"):
        _interpolate.interpolate(np.ones((0, 3)), np.eye(2), np.zeros(2), values=np.ones((3, 3), np.float32))


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 5\)"):
        _interpolate.doubled(np.ones((2, 3), np.float32), values=np.ones((4, 5), np.float32))
