"""Ratios of a background in pixels without counts: those of the nearest pixel with counts, as scipy chooses it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt

from chandra_bin._kernels import _nearest_values
from chandra_bin.errors import InputError
from chandra_bin.sources.background import Background

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(SHAPES.flatmap(lambda shape: arrays(np.int32, shape, elements=st.sampled_from([0] * 9 + [1, 2]))))
def test_ratios_are_those_of_the_pixels_that_scipy_finds(counts):
    """The indices of equally near pixels, too, so that the ratios of a background do not change in the last digit."""
    expected = np.arange(1.0, counts.size + 1).reshape(counts.shape) / 7
    if not counts.any():
        with pytest.raises(InputError, match="all background counts are 0"):
            Background.of(counts, expected)
        return
    y, x = distance_transform_edt(counts == 0, return_distances=False, return_indices=True)
    np.testing.assert_array_equal(Background.of(counts, expected).ratio, (expected / np.maximum(counts, 1))[y, x])


@pytest.mark.parametrize("share", [0.0003, 0.02, 0.5])
def test_values_do_not_depend_on_threads(share):
    draw = np.random.default_rng(8)
    known = draw.random((300, 4500)) < share
    values = np.where(known, draw.random(known.shape), np.nan)
    made = [values.copy() for _ in range(3)]
    for threads, each in enumerate(made, start=1):
        _nearest_values.nearest_values(known.view(np.uint8), threads=threads, progress=None, values=each)
    y, x = distance_transform_edt(~known, return_distances=False, return_indices=True)
    for each in made:
        np.testing.assert_array_equal(each, values[y, x])


@pytest.mark.parametrize("counts", [
    np.asfortranarray(np.eye(7, dtype=np.int32)), np.eye(7)[::-1], np.eye(14, dtype=np.int32)[::2, ::2]])
def test_counts_of_any_layout_and_type_are_taken(counts):
    expected = np.linspace(1, 2, counts.size).reshape(counts.shape)
    made = Background.of(counts, expected)
    same = Background.of(np.array(counts, np.int32, order="C"), expected)
    np.testing.assert_array_equal(made.ratio, same.ratio)


def test_arrays_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        _nearest_values.nearest_values(np.ones((4, 3), np.uint8), threads=1, progress=None, values=np.ones((3, 4)))
    with pytest.raises(ValueError, match="no pixel has a value"):
        _nearest_values.nearest_values(np.zeros((4, 3), np.uint8), threads=1, progress=None, values=np.ones((4, 3)))
