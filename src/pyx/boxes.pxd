from libc.stdint cimport int32_t, int64_t
from libcpp.vector cimport vector


cdef extern from "chandra_bin/boxes.hpp" namespace "chandra_bin" nogil:
    cdef cppclass Boxes:
        vector[int32_t] x
        vector[int32_t] y
        vector[int32_t] w
        vector[int32_t] h
        vector[int64_t] offsets

    Boxes cover_with_boxes(const int32_t* labels, size_t ny, size_t nx, int32_t bins) except +
