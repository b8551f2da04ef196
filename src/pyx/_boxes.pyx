"""Covers the bins of a label image with boxes."""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy
from libcpp.vector cimport vector

from boxes cimport Boxes
from boxes cimport cover_with_boxes as cpp_cover_with_boxes

import numpy as np


cdef object int32_array(const vector[int32_t]& values):
    array = np.empty(values.size(), dtype=np.int32)
    cdef int32_t[::1] view = array
    if values.size():
        memcpy(&view[0], values.data(), values.size() * sizeof(int32_t))
    return array


cdef object int64_array(const vector[int64_t]& values):
    array = np.empty(values.size(), dtype=np.int64)
    cdef int64_t[::1] view = array
    if values.size():
        memcpy(&view[0], values.data(), values.size() * sizeof(int64_t))
    return array


def cover_with_boxes(const int32_t[:, ::1] labels not None, int32_t bins):
    """x, y, w, h of all boxes (int32) and where those of each bin begin (int64, bins + 1)."""
    cdef Boxes boxes
    cdef const int32_t* first = NULL
    cdef size_t ny = labels.shape[0]
    cdef size_t nx = labels.shape[1]
    if ny and nx:
        first = &labels[0, 0]
    with nogil:
        boxes = cpp_cover_with_boxes(first, ny, nx, bins)
    return (int32_array(boxes.x), int32_array(boxes.y), int32_array(boxes.w), int32_array(boxes.h),
            int64_array(boxes.offsets))
