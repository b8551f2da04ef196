"""Fits of all bins: see chandra_bin/fit_spectra.hpp."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from chandra_bin.fit_spectra cimport BinnedSpectra, FitSettings, FitStatistic, FittedBin, SpectralTemplates
from chandra_bin.fit_spectra cimport fit_background_amounts as c_fit_background_amounts
from chandra_bin.fit_spectra cimport fit_spectra as c_fit_spectra

include "monitor.pxi"


cdef int check_size(Py_ssize_t size, Py_ssize_t wanted, str name) except -1:
    if size != wanted:
        raise ValueError(f"{name} has {size} elements along an axis, not {wanted}")
    return 0


cdef int check_sets(const double[:, ::1] array, Py_ssize_t sets, Py_ssize_t channels, str name) except -1:
    check_size(array.shape[0], sets, name)
    return check_size(array.shape[1], channels, name)


cdef int check_backgrounds(const double[:, :, ::1] background, const double[:, ::1] band_counts,
                           const double[:, :, ::1] band_expected, Py_ssize_t sets, Py_ssize_t channels) except -1:
    check_size(background.shape[0], sets, "background")
    check_size(background.shape[2], channels, "background")
    check_size(band_counts.shape[0], sets, "band_counts")
    check_size(band_expected.shape[0], sets, "band_expected")
    check_size(band_expected.shape[1], background.shape[1], "band_expected")
    return check_size(band_expected.shape[2], band_counts.shape[1], "band_expected")


def fit_spectra(const double[::1] kt not None, const double[:, :, :, ::1] rates not None, *,
                const int64_t[::1] bin_offsets not None, const double[:, ::1] counts not None,
                const double[:, :, ::1] background not None, const double[:, ::1] band_counts not None,
                const double[:, :, ::1] band_expected not None, const double[::1] exposure not None,
                const double[::1] ratio not None, const uint8_t[::1] statistic not None,
                const int32_t[:, ::1] groups not None, const int64_t[::1] weight_offsets not None,
                const int32_t[::1] weight_response not None, const double[::1] weight not None,
                double kt_low, double kt_high, double abundance_low, double abundance_high,
                const double[::1] delta not None, const double[::1] fixed_abundance not None,
                const double[:, ::1] table not None, double table_first,
                double table_step, int threads, progress, double[:, ::1] fitted not None,
                int32_t[::1] flags not None, int32_t[::1] evaluations not None, double[:, ::1] amounts not None):
    """Fits each bin; ``fitted`` (bins, 24) has the members of FittedBin, ``table`` (2, size) mean and variance.

    ``background`` is (data sets, components, channels), ``band_counts`` (data sets, bands), ``band_expected`` (data
    sets, components, bands) and ``amounts`` (data sets, components).
    """
    cdef Py_ssize_t sets = counts.shape[0]
    cdef Py_ssize_t channels = rates.shape[3]
    cdef Py_ssize_t bins = flags.shape[0]
    check_size(rates.shape[1], kt.shape[0], "rates")
    check_size(rates.shape[2], 2, "rates")
    check_sets(counts, sets, channels, "counts")
    cdef Py_ssize_t components = background.shape[1]
    cdef Py_ssize_t bands = band_counts.shape[1]
    check_backgrounds(background, band_counts, band_expected, sets, channels)
    check_sets(amounts, sets, components, "amounts")
    check_size(groups.shape[0], sets, "groups")
    check_size(groups.shape[1], channels, "groups")
    check_size(exposure.shape[0], sets, "exposure")
    check_size(ratio.shape[0], sets, "ratio")
    check_size(statistic.shape[0], sets, "statistic")
    check_size(weight_offsets.shape[0], sets + 1, "weight_offsets")
    check_size(weight.shape[0], weight_response.shape[0], "weight")
    check_size(weight.shape[0], weight_offsets[sets], "weight")
    check_size(bin_offsets.shape[0], bins + 1, "bin_offsets")
    check_size(bin_offsets[bins], sets, "bin_offsets")
    check_size(delta.shape[0], bins, "delta")
    check_size(fixed_abundance.shape[0], bins, "fixed_abundance")
    check_size(fitted.shape[0], bins, "fitted")
    check_size(fitted.shape[1], sizeof(FittedBin) // sizeof(double), "fitted")
    check_size(evaluations.shape[0], bins, "evaluations")
    check_size(table.shape[0], 2, "table")
    if table.shape[1] < 2:
        raise ValueError("table has fewer than 2 points")
    if bins == 0 or sets == 0 or channels == 0 or kt.shape[0] == 0:
        flags[:] = 1
        evaluations[:] = 0
        fitted[:, :] = float("nan")
        amounts[:, :] = float("nan")
        return
    if components == 0:
        raise ValueError("background has no component")
    cdef SpectralTemplates templates
    templates.kt = &kt[0]
    templates.rates = &rates[0, 0, 0, 0] if rates.shape[0] > 0 else NULL
    templates.responses = <size_t>rates.shape[0]
    templates.temperatures = <size_t>kt.shape[0]
    templates.channels = <size_t>channels
    cdef BinnedSpectra spectra
    spectra.bin_offsets = &bin_offsets[0]
    spectra.bins = <size_t>bins
    spectra.counts = &counts[0, 0]
    spectra.background = &background[0, 0, 0]
    spectra.components = <size_t>components
    spectra.bands = <size_t>bands
    spectra.band_counts = &band_counts[0, 0] if bands > 0 else NULL
    spectra.band_expected = &band_expected[0, 0, 0] if bands > 0 else NULL
    spectra.exposure = &exposure[0]
    spectra.ratio = &ratio[0]
    spectra.statistic = <const FitStatistic*>&statistic[0]
    spectra.groups = &groups[0, 0]
    spectra.weight_offsets = &weight_offsets[0]
    spectra.weight_response = &weight_response[0] if weight.shape[0] > 0 else NULL
    spectra.weight = &weight[0] if weight.shape[0] > 0 else NULL
    cdef FitSettings settings
    settings.kt_low = kt_low
    settings.kt_high = kt_high
    settings.abundance_low = abundance_low
    settings.abundance_high = abundance_high
    settings.delta = &delta[0]
    settings.fixed_abundance = &fixed_abundance[0]
    settings.table.mean = &table[0, 0]
    settings.table.variance = &table[1, 0]
    settings.table.size = <size_t>table.shape[1]
    settings.table.first = table_first
    settings.table.step = table_step
    with Monitor(progress) as monitor:
        control = (<Monitor>monitor).control()
        with nogil:
            c_fit_spectra(templates, spectra, settings, threads, control, <FittedBin*>&fitted[0, 0], &flags[0],
                          &evaluations[0], &amounts[0, 0])


def fit_background_amounts(const double[:, ::1] source not None, *, const double[:, ::1] counts not None,
                           const double[:, :, ::1] background not None, const double[:, ::1] band_counts not None,
                           const double[:, :, ::1] band_expected not None, const uint8_t[::1] statistic not None,
                           double[:, ::1] amounts not None):
    """Fits the amounts of backgrounds for given source counts, with arrays as for `fit_spectra`."""
    cdef Py_ssize_t sets = counts.shape[0]
    cdef Py_ssize_t channels = counts.shape[1]
    cdef Py_ssize_t bands = band_counts.shape[1]
    check_sets(source, sets, channels, "source")
    check_backgrounds(background, band_counts, band_expected, sets, channels)
    check_size(statistic.shape[0], sets, "statistic")
    check_sets(amounts, sets, background.shape[1], "amounts")
    if sets == 0 or channels == 0 or background.shape[1] == 0:
        amounts[:, :] = float("nan")
        return
    cdef BinnedSpectra spectra
    spectra.counts = &counts[0, 0]
    spectra.background = &background[0, 0, 0]
    spectra.components = <size_t>background.shape[1]
    spectra.bands = <size_t>bands
    spectra.band_counts = &band_counts[0, 0] if bands > 0 else NULL
    spectra.band_expected = &band_expected[0, 0, 0] if bands > 0 else NULL
    spectra.statistic = <const FitStatistic*>&statistic[0]
    with nogil:
        c_fit_background_amounts(spectra, <size_t>sets, <size_t>channels, &source[0, 0], &amounts[0, 0])
