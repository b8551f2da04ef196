"""Linear interpolation of images; see chandra_bin/interpolate.hpp."""

from chandra_bin.interpolate cimport Places
from chandra_bin.interpolate cimport doubled as cpp_doubled
from chandra_bin.interpolate cimport interpolate as cpp_interpolate

include "shape.pxi"


def interpolate(const double[:, ::1] image not None, const double[:, ::1] matrix not None,
                const double[::1] offset not None, *, float[:, ::1] values not None):
    """Fill ``values`` (rows, columns) from an image (ny, nx) at the places offset + matrix @ (row, column), (y, x)."""
    cdef Places places
    cdef float* made = NULL
    cdef size_t rows = values.shape[0]
    cdef size_t columns = values.shape[1]
    check_shape(matrix.shape[0], matrix.shape[1], 2, 2)
    if offset.shape[0] != 2:
        raise ValueError(f"offset has {offset.shape[0]} values, but must have 2")
    if image.size == 0:
        raise ValueError("the image has no pixels")
    places.matrix[0], places.matrix[1] = matrix[0, 0], matrix[0, 1]
    places.matrix[2], places.matrix[3] = matrix[1, 0], matrix[1, 1]
    places.offset[0], places.offset[1] = offset[0], offset[1]
    if values.size == 0:
        return
    made = &values[0, 0]
    with nogil:
        cpp_interpolate(image.shape[0], image.shape[1], &image[0, 0], places, rows, columns, made)


def doubled(const float[:, ::1] image not None, *, float[:, ::1] values not None):
    """Fill ``values`` (2 ny, 2 nx) with an image (ny, nx) on pixels of half the size."""
    check_shape(2 * image.shape[0], 2 * image.shape[1], values.shape[0], values.shape[1])
    if image.size == 0:
        return
    with nogil:
        cpp_doubled(image.shape[0], image.shape[1], &image[0, 0], &values[0, 0])
