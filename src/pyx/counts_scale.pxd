from libc.stdint cimport int32_t, uint8_t
from libcpp cimport bool

from .control cimport Control


cdef extern from "chandra_bin/counts_scale.hpp" namespace "chandra_bin" nogil:
    void counts_scale(size_t ny, size_t nx, const float* counts, const float* background, const uint8_t* use,
                      double sn, int threads, const Control& control, int32_t* scale) except +

    void apply_scale(size_t ny, size_t nx, const float* image, const int32_t* scale, const uint8_t* use,
                     bool gaussian, int threads, const Control& control, float* applied) except +
