"""Bins as boxes: contbin's region files, byte for byte."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chandra_bin.binning.boxes import cover_with_boxes
from chandra_bin.errors import InputError
from chandra_bin.regions._format import CIAO_HEAD
from chandra_bin.regions.box_texts import region_texts
from golden_data import read_cases, read_expected, read_region_files

CASES = read_cases("region")


@pytest.mark.parametrize("name", sorted(CASES))
def test_region_files_equal_the_originals(name):
    case = CASES[name]
    boxes = cover_with_boxes(read_expected(name)["binmap"])
    texts = list(region_texts(boxes, (case["minx"], case["miny"]), (case["bin"], case["bin"])))
    assert {f"xaf_{i}.reg": text for i, text in enumerate(texts)} == read_region_files(name)
    assert len(texts) == case["files"]


labels = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(-1, 3))


@settings(max_examples=300)
@given(labels)
def test_boxes_of_a_bin_are_disjoint_and_cover_it(binmap):
    boxes = cover_with_boxes(binmap)
    covered = np.full_like(binmap, -1)
    for b in range(len(boxes)):
        for i in range(boxes.offsets[b], boxes.offsets[b + 1]):
            x, y, w, h = (int(side[i]) for side in (boxes.x, boxes.y, boxes.w, boxes.h))
            part = covered[y : y + h, x : x + w]
            assert part.shape == (h, w)
            assert (part == -1).all()
            part[:] = b
    np.testing.assert_array_equal(covered, binmap)


def slow_boxes(inside):
    """SPEC 7 word for word, for one bin: a box grows while the new row or column is wholly in the bin."""
    left = inside.copy()
    ny, nx = left.shape
    found = []
    for y in range(ny):
        for x in range(nx):
            if not left[y, x]:
                continue
            w = h = 1
            while True:
                right = x + w < nx and left[y : y + h, x + w].all()
                up = y + h < ny and left[y + h, x : x + w].all()
                if right and up and not left[y + h, x + w]:
                    up = False
                if not right and not up:
                    break
                w, h = w + int(right), h + int(up)
            left[y : y + h, x : x + w] = False
            found.append((x, y, w, h))
    return found


@settings(max_examples=200)
@given(labels)
def test_boxes_equal_a_slow_scan_of_each_bin(binmap):
    boxes = cover_with_boxes(binmap)
    for b in range(len(boxes)):
        of_bin = slice(boxes.offsets[b], boxes.offsets[b + 1])
        got = zip(*(side[of_bin].tolist() for side in (boxes.x, boxes.y, boxes.w, boxes.h)), strict=True)
        assert list(got) == slow_boxes(binmap == b)


@pytest.mark.parametrize("kind", [">i4", "<i2", "u1", "i8"])
def test_any_integer_binmap_gives_the_same_boxes(kind):
    binmap = np.arange(12).reshape(3, 4) // 3
    expected = cover_with_boxes(binmap.astype(np.int32))
    for array in (binmap.astype(kind), np.asfortranarray(binmap.astype(kind))):
        array.flags.writeable = False
        boxes = cover_with_boxes(array)
        for name in ("x", "y", "w", "h", "offsets"):
            np.testing.assert_array_equal(getattr(boxes, name), getattr(expected, name))


def test_files_end_at_the_first_number_without_a_pixel():
    boxes = cover_with_boxes(np.array([[0, 1, 3]]))
    assert len(boxes) == 4
    assert boxes.numbered == 2
    assert len(list(region_texts(boxes, (0.5, 0.5), (1, 1)))) == 2


def test_no_bins_give_no_boxes():
    for binmap in (np.full((3, 4), -1), np.empty((0, 4), int)):
        boxes = cover_with_boxes(binmap)
        assert len(boxes) == boxes.numbered == 0
        assert list(region_texts(boxes, (0, 0), (1, 1))) == []


def test_six_digits_and_axes_that_run_backwards():
    boxes = cover_with_boxes(np.zeros((1, 2), int))
    assert list(region_texts(boxes, (16384.25, 100), (-0.5, 0.5))) == [
        CIAO_HEAD + "rotbox(16383.8,100.25,1,0.5,0)\n"]


@pytest.mark.parametrize(("binmap", "said"), [
    (np.zeros((2, 2)), "whole numbers"),
    (np.zeros(4, int), "2-D"),
    (np.full((2, 2), 2**31), "2147483648"),
    (np.full((2, 2), 2**30), "1073741824"),
])
def test_invalid_binmaps_are_refused(binmap, said):
    with pytest.raises(InputError, match=said):
        cover_with_boxes(binmap)
