from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t

from .control cimport Control


cdef extern from "chandra_bin/fit_spectra.hpp" namespace "chandra_bin" nogil:
    cdef enum FitStatistic "chandra_bin::FitStatistic":
        pass

    cdef cppclass SpectralTemplates:
        const double* kt
        const double* rates
        size_t responses
        size_t temperatures
        size_t channels

    cdef cppclass BinnedSpectra:
        const int64_t* bin_offsets
        size_t bins
        const double* counts
        const double* background
        const double* exposure
        const double* ratio
        const FitStatistic* statistic
        const int32_t* groups
        const int64_t* weight_offsets
        const int32_t* weight_response
        const double* weight
        size_t components
        size_t bands
        const double* band_counts
        const double* band_expected

    cdef cppclass StatisticTable:
        const double* mean
        const double* variance
        size_t size
        double first
        double step

    cdef cppclass FitSettings:
        double kt_low
        double kt_high
        double abundance_low
        double abundance_high
        const double* delta
        const double* fixed_abundance
        StatisticTable table

    cdef cppclass FittedBin:
        double kt

    void fit_spectra(const SpectralTemplates& templates, const BinnedSpectra& spectra, const FitSettings& settings,
                     int threads, const Control& control, FittedBin* fitted, int32_t* flags,
                     int32_t* evaluations, double* amounts) except +

    void fit_background_amounts(const BinnedSpectra& spectra, size_t sets, size_t channels, const double* source,
                                double* amounts) except +
