from libc.stdint cimport uint8_t

from .control cimport Control


cdef extern from "chandra_bin/smooth.hpp" namespace "chandra_bin" nogil:
    cdef cppclass Images:
        size_t ny
        size_t nx
        const float* counts
        const float* background
        const float* ratio
        double constant_ratio
        const float* noise
        const uint8_t* use

    void smooth(const Images& images, double sn, int threads, const Control& control, float* smoothed) except +

    void smooth_to_weight(size_t ny, size_t nx, const double* weights, const float* values, const uint8_t* use,
                          double threshold, float outside, int threads, const Control& control,
                          float* smoothed) except +

    void smooth_exposure(size_t ny, size_t nx, const float* counts, const float* background, const float* exposure,
                         const uint8_t* use, double exposure_time, double background_exposure_time, double sn,
                         long max_radius, int threads, const Control& control, float* smoothed) except +
