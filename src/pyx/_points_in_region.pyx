"""The events inside regions; see chandra_bin/points_in_region.hpp."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from chandra_bin.points_in_region cimport points_in_region as c_points_in_region
from chandra_bin.points_in_region cimport region_labels as c_region_labels
from chandra_bin.rasterize cimport Bytes, Doubles, Offsets, Shapes
from chandra_bin.select_events cimport Coordinates, Edges
from chandra_bin.select_events cimport Selection as CSelection

include "events.pxi"
include "shapes.pxi"


def points_in_region(const uint8_t[::1] kinds not None, const uint8_t[::1] complements not None,
                     const double[::1] params not None, const int64_t[::1] param_offsets not None,
                     const int64_t[::1] component_offsets not None, *, x not None, y not None, int threads,
                     uint8_t[::1] inside not None):
    """Set ``inside`` (n,), uint8, to 1 for events in the region, else to 0; return how many are inside."""
    cdef Py_ssize_t size = inside.shape[0]
    cdef Coordinates xs = coordinates_of(x, size, "x")
    cdef Coordinates ys = coordinates_of(y, size, "y")
    cdef Shapes shapes = shapes_of(kinds, complements, params, param_offsets, component_offsets)
    cdef size_t found
    if size == 0:
        return 0
    with nogil:
        found = c_points_in_region(shapes, <size_t>size, xs, ys, threads, &inside[0])
    return found


def region_labels(const uint8_t[::1] kinds not None, const uint8_t[::1] complements not None,
                  const double[::1] params not None, const int64_t[::1] param_offsets not None,
                  const int64_t[::1] component_offsets not None, *, const int64_t[::1] group_offsets not None,
                  x not None, y not None, int threads, int32_t[::1] labels not None):
    """Set ``labels`` (n,), int32, to the first group of components that contains the event, -1 for none.

    Group g has the components group_offsets[g] .. group_offsets[g + 1] - 1. Returns how many events are in one.
    """
    cdef Py_ssize_t size = labels.shape[0]
    cdef Coordinates xs = coordinates_of(x, size, "x")
    cdef Coordinates ys = coordinates_of(y, size, "y")
    cdef Shapes shapes = shapes_of(kinds, complements, params, param_offsets, component_offsets)
    cdef Offsets groups = offsets_of(group_offsets)
    cdef size_t found
    if size == 0:
        return 0
    with nogil:
        found = c_region_labels(shapes, groups, <size_t>size, xs, ys, threads, &labels[0])
    return found
