"""Boxes that cover the bins of a binmap; see chandra_bin/boxes.hpp."""

from libc.stdint cimport int32_t, int64_t
from libcpp.vector cimport vector

from chandra_bin.boxes cimport Boxes
from chandra_bin.boxes cimport cover_with_boxes as cpp_cover_with_boxes

include "arrays.pxi"


cdef object int32_array(const vector[int32_t]& values):
    return as_array(values.data(), values.size(), sizeof(int32_t), np.int32)


def cover_with_boxes(const int32_t[:, ::1] labels not None, int32_t bins):
    """Return x, y, w, h of all boxes (int32) and the index of the first box of each bin (int64, bins + 1)."""
    cdef Boxes boxes
    cdef const int32_t* first = NULL
    cdef size_t ny = labels.shape[0]
    cdef size_t nx = labels.shape[1]
    if ny and nx:
        first = &labels[0, 0]
    with nogil:
        boxes = cpp_cover_with_boxes(first, ny, nx, bins)
    return (int32_array(boxes.x), int32_array(boxes.y), int32_array(boxes.w), int32_array(boxes.h),
            as_array(boxes.offsets.data(), boxes.offsets.size(), sizeof(int64_t), np.int64))
