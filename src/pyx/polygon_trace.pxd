from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t
from libcpp.vector cimport vector


cdef extern from "chandra_bin/polygon_trace.hpp" namespace "chandra_bin" nogil:
    cdef cppclass Polygons:
        vector[double] points
        vector[int64_t] ring_offsets
        vector[int64_t] polygon_offsets
        vector[int32_t] labels

    Polygons polygon_trace(const int32_t* labels, size_t ny, size_t nx) except + nogil
