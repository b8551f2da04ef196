from libc.stdint cimport uint8_t

from .control cimport Control


cdef extern from "chandra_bin/nearest_values.hpp" namespace "chandra_bin" nogil:
    void nearest_values(size_t ny, size_t nx, const uint8_t* known, int threads, const Control& control,
                        double* values) except +
