from libc.stdint cimport uint8_t

from .control cimport Control


cdef extern from "chandra_bin/smooth_gaussian.hpp" namespace "chandra_bin" nogil:
    void smooth_gaussian(size_t ny, size_t nx, const float* flux, const float* exposure, const uint8_t* use,
                         double sn, int threads, const Control& control, float* smoothed) except +
