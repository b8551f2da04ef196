// Adaptive Gaussian smoothing of an exposure-corrected image (contbin's adaptive_gaussian_smooth).
#pragma once

#include <cstddef>
#include <cstdint>

#include "chandra_bin/control.hpp"

namespace chandra_bin {

// sigma = 0.25, 0.5, 0.75, ... pixels; m and t are the Gaussian-weighted means of `flux` and `exposure` over the used
// pixels of the square within ceil(3 sigma). The first sigma with m t pi (2 sigma)^2 >= sn^2 gives m. NaN where excluded and where no sigma
// does before the square is wider than the image. Arrays are (ny, nx). Cost: O(pixels * sigma^2 / 0.25).
void smooth_gaussian(std::size_t ny, std::size_t nx, const float* flux, const float* exposure, const std::uint8_t* use,
                     double sn, int threads, const Control& control, float* smoothed);

}  // namespace chandra_bin
