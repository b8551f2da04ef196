from libc.stddef cimport size_t
from libc.stdint cimport int32_t, uint8_t

from .rasterize cimport Offsets, Shapes
from .select_events cimport Coordinates


cdef extern from "chandra_bin/points_in_region.hpp" namespace "chandra_bin" nogil:
    size_t points_in_region(const Shapes& shapes, size_t events, const Coordinates& x, const Coordinates& y,
                            int threads, uint8_t* inside) except + nogil
    size_t region_labels(const Shapes& shapes, Offsets group_offsets, size_t events, const Coordinates& x,
                         const Coordinates& y, int threads, int32_t* labels) except + nogil
