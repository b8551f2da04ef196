from libc.stdint cimport int32_t
from libcpp cimport bool
from libcpp.vector cimport vector

from .control cimport Control
from .smooth cimport Images


cdef extern from "chandra_bin/noise.hpp" namespace "chandra_bin" nogil:
    cdef cppclass PixelSums:
        double counts
        double background
        double scaled_background
        double ratio2
        double noise2
        double npix
        double signal()
        double variance(bool has_background, bool has_noise)


cdef extern from "chandra_bin/contour_bin.hpp" namespace "chandra_bin" nogil:
    cdef enum class Target "chandra_bin::BinningOptions::Target":
        sn
        counts

    cdef cppclass BinningOptions:
        Target target
        double threshold
        double constrain
        bool bin_up
        bool scrub
        double scrub_large

    cdef cppclass Bins:
        vector[PixelSums] sums
        size_t stuck

    Bins contour_bin(const Images& images, const float* smoothed, const BinningOptions& options, int threads,
                     const Control& control, int32_t* binmap) except +
