// Fits of one spectral model to the spectra of all bins, each bin with all its data sets at once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "chandra_bin/control.hpp"

namespace chandra_bin {

// Count rates of the model for norm 1: rates[response][temperature][part][channel], a C-ordered array, part 0 at Z = 0 and
// part 1 what Z = 1 adds. Rates are linear in kT between the ascending kt[temperature]: they have kinks there.
struct SpectralTemplates {
    const double* kt;
    const double* rates;
    std::size_t responses, temperatures, channels;
};

// C-statistic: `background` holds the expected counts of each component for an amount of 1. W-statistic and chi-square:
// its first component holds the counts of the background file, each of which stands for `ratio` counts of the spectrum.
enum class FitStatistic : std::uint8_t { c, w, chi2 };

// Data sets sorted by bin: those of bin k are bin_offsets[k] .. bin_offsets[k + 1] - 1. `counts` and `groups` are (data
// sets, channels), `background` (data sets, components, channels), with 1 or 2 components. `groups` holds the group of each channel: it starts at 0 and ascends by steps of 0 or 1; the
// statistic is that of groups. Expected source counts are exposure * norm * sum of weight * rates[response] over
// weight_offsets[d] .. weight_offsets[d + 1] - 1. A response of -1 is missing: the data set is left out. So is one whose
// weights or exposure are all 0.
// C-statistic: the amounts of the components are nuisance parameters. They are measured by the counts of the background
// file in some bands, `band_counts` (data sets, bands), expected to be the sum over components of the amount times
// `band_expected` (data sets, components, bands); these are in the statistic. A component whose `band_expected` are all 0 is
// left out, with those after it; if that is the first, the background of the data set is known, with amounts of 1.
struct BinnedSpectra {
    const std::int64_t* bin_offsets;
    std::size_t bins;
    const double *counts, *background, *exposure, *ratio;
    const FitStatistic* statistic;
    const std::int32_t* groups;
    const std::int64_t* weight_offsets;
    const std::int32_t* weight_response;
    const double* weight;
    std::size_t components, bands;
    const double *band_counts, *band_expected;
};

// Expected value and variance of the C-statistic of one channel at ln m = first + i * step, i < size.
struct StatisticTable {
    const double *mean, *variance;
    std::size_t size;
    double first, step;
};

struct FitSettings {
    double kt_low, kt_high;                // within the table of temperatures
    double abundance_low, abundance_high;  // of a free abundance
    const double* delta;                   // of each bin: rise of the statistic at the ends of errors, 1 for 68.3 %;
                                           // 0: without errors; NaN: the bin is left out, with NaN and no flag
    const double* fixed_abundance;         // of each bin; NaN: free
    StatisticTable table;
};

enum FitFlag : std::int32_t {
    kNoData = 1,
    kResponseMissing = 2,
    kNotConverged = 4,
    kDegenerate = 8,
    kTemperatureAtLimit = 16,
    kErrorOpen = 32,  // of kT or norm
    kSecondMinimum = 64,
    kAbundanceAtLimit = 128,
    kAbundanceOpen = 256,
    kAbundanceWithoutEffect = 512,
};

// One row of results; NaN where there is none. `low` and `high` are the ends of profiles.
struct FittedBin {
    double kt, kt_low, kt_high;
    double abundance, abundance_low, abundance_high;
    double norm, norm_low, norm_high;
    double statistic, expected, variance;
    double covariance[6];  // of (ln kT, Z, ln norm): 00, 01, 02, 11, 12, 22
    double norm_at_kt_low, norm_at_kt_high, kt_at_norm_low, kt_at_norm_high;
    double second_kt, second_delta;  // of the best other minimum that was found
};

// Minimises the statistic of each bin over (ln kT, Z, ln norm): for given kT it is convex in (norm, norm Z), so kT alone is
// searched on a grid; from each local minimum of the grid follows Fisher scoring with damping, which treats the kinks at
// table points as ends of segments. Errors are those of the profile likelihood, each end with the others fitted again; from
// minima and ends the search looks into the segments next to theirs, as a kink may lie between two valleys.
// Amounts of backgrounds are fitted in each evaluation, by Newton's method; the Fisher matrix is that of the profile.
// Writes one FittedBin, one set of flags and the number of evaluations per bin, and into `amounts` (data sets, components)
// the amounts at the minimum, NaN where they are fixed or nothing was fitted. Threads change nothing.
// Cost: about 150 evaluations per bin, each O(data sets * channels). Throws std::invalid_argument for fewer than 2
// temperatures, limits outside them, and a response beyond the templates.
void fit_spectra(const SpectralTemplates& templates, const BinnedSpectra& spectra, const FitSettings& settings,
                 int threads, const Control& control, FittedBin* fitted, std::int32_t* flags, std::int32_t* evaluations,
                 double* amounts);

// The amounts (data sets, components) of backgrounds that minimise the statistic for given source counts, `source` (data
// sets, channels), and NaN where they are fixed. Of `spectra` this takes counts, backgrounds, bands and statistics; those of
// the C-statistic must not be grouped. They are exact within rounding, where fits stop earlier. O(data sets * channels).
// Throws std::invalid_argument for more than 2 components.
void fit_background_amounts(const BinnedSpectra& spectra, std::size_t sets, std::size_t channels, const double* source,
                            double* amounts);

}  // namespace chandra_bin
