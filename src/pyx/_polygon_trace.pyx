"""Outlines of the bins of a binmap; see chandra_bin/polygon_trace.hpp."""

from libc.stdint cimport int32_t, int64_t

from chandra_bin.polygon_trace cimport Polygons
from chandra_bin.polygon_trace cimport polygon_trace as c_polygon_trace

include "arrays.pxi"


def polygon_trace(const int32_t[:, ::1] labels not None):
    """Return ``(points (n, 2), ring_offsets, polygon_offsets, labels)`` of all bins of ``labels`` (ny, nx)."""
    cdef size_t ny = labels.shape[0], nx = labels.shape[1]
    cdef const int32_t* first = &labels[0, 0] if ny > 0 and nx > 0 else NULL
    cdef Polygons polygons
    with nogil:
        polygons = c_polygon_trace(first, ny, nx)
    return (
        as_array(polygons.points.data(), polygons.points.size(), sizeof(double), np.float64).reshape(-1, 2),
        as_array(polygons.ring_offsets.data(), polygons.ring_offsets.size(), sizeof(int64_t), np.int64),
        as_array(polygons.polygon_offsets.data(), polygons.polygon_offsets.size(), sizeof(int64_t), np.int64),
        as_array(polygons.labels.data(), polygons.labels.size(), sizeof(int32_t), np.int32),
    )
