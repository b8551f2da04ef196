// Accumulative smoothing: every pixel becomes the mean over the smallest disc around it that has enough signal.
#pragma once

#include <cstddef>
#include <cstdint>

#include "chandra_bin/control.hpp"

namespace chandra_bin {

// The images of one smoothing or binning, each (ny, nx) in C order.
struct Images {
    std::size_t ny = 0;
    std::size_t nx = 0;
    const float* counts = nullptr;
    const float* background = nullptr;  // null: none
    const float* ratio = nullptr;       // e = exposure / background exposure; null: `constant_ratio` everywhere
    double constant_ratio = 1;
    const float* noise = nullptr;       // noise map (1 sigma); null: Poisson noise
    const std::uint8_t* use = nullptr;  // 0: excluded; 1: used; 2: used, may start a bin but never join one
};

// The disc of radius r = 0, 1, 2, ... holds the offsets with floor(sqrt(dx^2 + dy^2)) <= r, clipped to the image and
// to used pixels. `smoothed` (ny, nx) becomes the mean signal of the first disc whose (S/N)^2 reaches sn^2, or of the largest
// disc when none does; 0 where excluded (Sanders 2006, section 2.1).
//
// Images must be finite. Answers do not depend on `threads`, and equal those of adding the pixels ring after ring
// in float64: a disc whose fate hangs on rounding is added up in that very order, unless it holds over 2^16 pixels.
// Cost: O(pixels * radius) in time; 10 bytes a pixel of scratch for counts alone, up to 70 with all images.
void smooth(const Images& images, double sn, int threads, const Control& control, float* smoothed);

// The mean of `values` over the first such disc in which `weights` (>= 0) sum to `threshold` and more than 0, or over the largest
// disc; `outside` where excluded.
void smooth_to_weight(std::size_t ny, std::size_t nx, const double* weights, const float* values,
                      const std::uint8_t* use, double threshold, float outside, int threads, const Control& control,
                      float* smoothed);

// Exposure-weighted top hat: the first disc (radius at most `max_radius`, < 0 for no limit) with
//     (F/t - B/tb)^2 / (F/t^2 + B/tb^2) >= sn^2
// for F, B the sums of counts and background, t and tb their exposure times, gives (F - B t/tb) / sum of `exposure`.
// NaN where excluded and where the disc has no exposure.
void smooth_exposure(std::size_t ny, std::size_t nx, const float* counts, const float* background,
                     const float* exposure, const std::uint8_t* use, double exposure_time,
                     double background_exposure_time, double sn, long max_radius, int threads, const Control& control,
                     float* smoothed);

}  // namespace chandra_bin
