// Smoothing scales from counts, stored as an image and applied to other images (contbin's accumulate_counts).
#pragma once

#include <cstddef>
#include <cstdint>

#include "chandra_bin/control.hpp"

namespace chandra_bin {

// For each pixel with use != 0, computes the smallest whole r^2 whose disc dx^2 + dy^2 <= r^2 reaches
//     sqrt(F) >= sn,  or  (F - B) / sqrt(F) >= sn  with a background;
// or -1 elsewhere and if no disc reaches. F and B are sums over the pixels with use == 1 and must not be negative.
// Pixels with use == 2 are not summed but get a scale (sources to be filled). Arrays are (ny, nx). Cost: O(pixels *
// radius).
void counts_scale(std::size_t ny, std::size_t nx, const float* counts, const float* background, const std::uint8_t* use,
                  double sn, int threads, const Control& control, std::int32_t* scale);

// Computes the mean of `image` over the pixels with use == 1 in the disc dx^2 + dy^2 <= scale around each pixel; NaN if
// the scale is negative or the disc has no such pixel. With `gaussian` the mean is weighted by a Gaussian of sigma =
// max(1, sqrt(scale)), cut at floor(4 sigma). Cost: O(pixels * radius), with `gaussian` O(pixels * radius^2).
void apply_scale(std::size_t ny, std::size_t nx, const float* image, const std::int32_t* scale, const std::uint8_t* use,
                 bool gaussian, int threads, const Control& control, float* applied);

}  // namespace chandra_bin
