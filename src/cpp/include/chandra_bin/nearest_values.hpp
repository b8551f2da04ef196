// Values of the nearest pixel that has one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "chandra_bin/control.hpp"

namespace chandra_bin {

// Replaces the value of each pixel with known == 0 by that of the nearest pixel (Euclidean distance between centres) with
// known != 0, whose values stay. Arrays are (ny, nx). Among equally near pixels the choice is that of
// scipy.ndimage.distance_transform_edt: the upper one (of smaller y) of a column, then the left one of two columns that
// the search has kept. Values of unknown pixels are not read. O(pixels); scratch of 4 bytes a pixel. Throws
// std::invalid_argument if no pixel is known.
// Maurer, Qi & Raghavan (2003), IEEE Trans. Pattern Anal. Mach. Intell. 25, 265.
void nearest_values(std::size_t ny, std::size_t nx, const std::uint8_t* known, int threads, const Control& control,
                    double* values);

}  // namespace chandra_bin
