"""Tracing bins and painting them back: exact, for any label image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chandra_bin.binning.outlines import Polygons, rasterize, trace_polygons
from chandra_bin.errors import InputError


@st.composite
def binmaps(draw):
    """Label images with gaps in the labels, blocks, stripes, and much that touches by corners."""
    shape = draw(st.tuples(st.integers(0, 12), st.integers(0, 12)))
    labels = draw(st.lists(st.integers(-3, 40), min_size=1, max_size=4, unique=True))
    image = draw(hnp.arrays(np.int32, shape, elements=st.sampled_from(labels)))
    return np.kron(image, np.ones(draw(st.sampled_from([(1, 1), (2, 2), (1, 3)])), np.int32))


SPECIAL = {
    "checkerboard": np.indices((9, 8)).sum(axis=0) % 2,
    "one bin of a checkerboard": np.indices((9, 8)).sum(axis=0) % 2 - 1,
    "diagonal chain": np.eye(7, dtype=int) - 1,
    "stripes": np.arange(35).reshape(7, 5) // 5 % 2,
    "nested rings": np.maximum(*np.abs(np.indices((11, 11)) - 5)) % 2,
    "nested rings, one bin": np.maximum(*np.abs(np.indices((11, 11)) - 5)) % 2 - 1,
    "single pixel": np.array([[4]]),
    "hole at a corner of the ring": np.array([[0, 0, -1], [0, -1, 0], [0, 0, 0]]),
    "two holes that touch": np.array([[0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 0], [0, 0, 0, 0]]),
    "all outside": np.full((3, 4), -1),
    "no pixels": np.zeros((0, 5), int),
    "gap in the labels": np.array([[0, 7, 7, 2**31 - 1]]),
}


def check(binmap):
    polygons = trace_polygons(binmap)
    inside = binmap >= 0
    np.testing.assert_array_equal(rasterize(polygons, binmap.shape), np.where(inside, binmap, -1))

    areas = polygons.areas()
    for label, count in zip(*np.unique(binmap[inside], return_counts=True), strict=True):
        assert areas[polygons.labels == label].sum() == count
    assert areas.sum() == inside.sum()
    assert np.all(np.diff(polygons.labels) >= 0)

    for p in range(len(polygons)):
        for number, ring in enumerate(polygons.rings(p)):
            check_ring(ring, hole=number > 0)


def check_ring(ring, hole):
    assert len(np.unique(ring, axis=0)) == len(ring), "a ring that meets itself"
    np.testing.assert_array_equal(ring % 1, 0.5)
    along = np.roll(ring, -1, axis=0) - ring
    assert np.all((along != 0).sum(axis=1) == 1), "an edge that is not on the grid"
    assert np.all((along * np.roll(along, -1, axis=0)).sum(axis=1) == 0), "three vertices on a line"
    following = np.roll(ring, -1, axis=0)
    area = (ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1]).sum() / 2
    assert (area < 0) == hole


@settings(max_examples=300, deadline=None)
@given(binmaps())
def test_random_binmaps(binmap):
    check(binmap)


@pytest.mark.parametrize("name", SPECIAL)
def test_special_binmaps(name):
    check(SPECIAL[name])


def test_parts_and_holes_of_a_known_map():
    binmap = np.array([[1, 1, 1, -1, 1], [1, 0, 1, -1, -1], [1, 1, 1, -1, -1]])
    polygons = trace_polygons(binmap)
    assert polygons.labels.tolist() == [0, 1, 1]
    assert polygons.polygon_offsets.tolist() == [0, 1, 3, 4]
    outer, hole = polygons.rings(1)
    assert outer.tolist() == [[-0.5, -0.5], [2.5, -0.5], [2.5, 2.5], [-0.5, 2.5]]
    assert hole.tolist() == [[0.5, 1.5], [1.5, 1.5], [1.5, 0.5], [0.5, 0.5]]


def test_touching_pixels_of_one_part_give_simple_rings():
    polygons = trace_polygons(SPECIAL["hole at a corner of the ring"])
    assert [len(polygons.rings(p)) for p in range(len(polygons))] == [2]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, ">i4", "<i8", np.uint64])
def test_any_whole_numbers(dtype):
    binmap = np.asfortranarray(np.arange(12).reshape(3, 4) // 5).astype(dtype)
    binmap.flags.writeable = False
    np.testing.assert_array_equal(rasterize(trace_polygons(binmap), binmap.shape), binmap)


@pytest.mark.parametrize(
    ("binmap", "message"),
    [
        (np.zeros((2, 2)), "whole numbers"),
        (np.full((2, 2), 2**31), "int32"),
        (np.zeros(4, int), "2-D"),
    ],
)
def test_bad_binmaps(binmap, message):
    with pytest.raises(InputError, match=message):
        trace_polygons(binmap)


def polygons_of(rings, labels):
    """One polygon a ring."""
    offsets = np.concatenate([[0], np.cumsum([len(ring) for ring in rings])])
    return Polygons(np.concatenate(rings), offsets, np.arange(len(rings) + 1), np.array(labels))


def test_edges_belong_to_polygons_and_later_ones_win():
    square = np.array([[1.0, 1.0], [3.0, 1.0], [3.0, 3.0], [1.0, 3.0]])
    image = rasterize(polygons_of([square, square + 2], [5, 6]), (7, 7))
    assert (image == 6).sum() == 9
    assert (image == 5).sum() == 8
    assert image[1, 1] == 5


def test_polygons_beyond_the_image():
    far = np.array([[-9e14, -9e14], [9e14, -9e14], [9e14, 9e14], [-9e14, 9e14]])
    assert np.all(rasterize(polygons_of([far], [3]), (4, 5)) == 3)
    assert np.all(rasterize(polygons_of([np.abs(far[:3]) + 10], [3]), (4, 5)) == -1)


def test_bad_polygons():
    square = np.array([[1.0, 1.0], [3.0, 1.0], [3.0, np.nan]])
    with pytest.raises(ValueError, match="finite"):
        rasterize(polygons_of([square], [5]), (7, 7))
    with pytest.raises(ValueError, match="labels"):
        rasterize(polygons_of([square], [5, 6]), (7, 7))
    with pytest.raises(InputError, match="shape"):
        rasterize(trace_polygons(np.zeros((2, 2), int)), (3, -1))
