"""The pixels inside shapes and polygons; see chandra_bin/rasterize.hpp."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from chandra_bin.rasterize cimport Axis, Bytes, Doubles, Labels, Offsets, Shapes
from chandra_bin.rasterize cimport rasterize_polygons as c_rasterize_polygons
from chandra_bin.rasterize cimport rasterize_shapes as c_rasterize_shapes

include "shapes.pxi"


cdef Axis axis(double first, double step, size_t size):
    cdef Axis made
    made.first = first
    made.step = step
    made.size = size
    return made


def rasterize_shapes(const uint8_t[::1] kinds not None, const uint8_t[::1] complements not None,
                     const double[::1] params not None, const int64_t[::1] param_offsets not None,
                     const int64_t[::1] component_offsets not None, *, double x_first, double x_step, double y_first,
                     double y_step, uint8_t[:, ::1] mask not None):
    """Set ``mask`` (ny, nx), uint8, to 1 inside the region and to 0 elsewhere."""
    if mask.shape[0] == 0 or mask.shape[1] == 0:
        return
    cdef Shapes shapes = shapes_of(kinds, complements, params, param_offsets, component_offsets)
    cdef Axis x = axis(x_first, x_step, mask.shape[1])
    cdef Axis y = axis(y_first, y_step, mask.shape[0])
    with nogil:
        c_rasterize_shapes(shapes, x, y, &mask[0, 0])


def rasterize_polygons(const double[:, ::1] points not None, const int64_t[::1] ring_offsets not None,
                       const int64_t[::1] polygon_offsets not None, const int32_t[::1] labels not None, *,
                       double x_first, double x_step, double y_first, double y_step, int32_t[:, ::1] image not None):
    """Write each polygon's label into the pixels of ``image`` (ny, nx), int32, that it covers."""
    if points.shape[1] != 2:
        raise ValueError(f"points must have the shape (n, 2), not (n, {points.shape[1]})")
    if image.shape[0] == 0 or image.shape[1] == 0:
        return
    cdef Doubles flat = Doubles(&points[0, 0], <size_t>(2 * points.shape[0])) if points.shape[0] > 0 else Doubles()
    cdef Offsets rings = offsets_of(ring_offsets)
    cdef Offsets polygons = offsets_of(polygon_offsets)
    cdef Labels names = Labels(&labels[0], <size_t>labels.shape[0]) if labels.shape[0] > 0 else Labels()
    cdef Axis x = axis(x_first, x_step, image.shape[1])
    cdef Axis y = axis(y_first, y_step, image.shape[0])
    with nogil:
        c_rasterize_polygons(flat, rings, polygons, names, x, y, &image[0, 0])
