// Strips of columns, which smoothers walk downwards, so that the rows that a disc needs are still in the cache.
// Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "chandra_bin/control.hpp"
#include "chandra_bin/parallel.hpp"
#include "channel.hpp"

namespace chandra_bin::detail {

constexpr int kChunkRows = 128;          // rows of a strip that make one piece of work
constexpr double kReAddLimit = 1 << 16;  // pixels of the largest disc that is added up in contbin's order

// Cuts the image into strips as wide as `Shape` and calls strip(x0, first_row, last_row) for pieces of them.
template <class Shape = LanesInRow, class Strip>
void for_strips(const Grid& grid, int threads, const Control& control, const Strip& strip) {
    const int strips = (grid.nx - 1) / Shape::columns + 1;
    const int chunks = (grid.ny - 1) / kChunkRows + 1;
    parallel_for(static_cast<std::size_t>(strips) * static_cast<std::size_t>(chunks), threads, control, 0, 1,
                 [&](std::size_t i, const auto&) {
                     const int x0 = static_cast<int>(i) % strips * Shape::columns;
                     const int y0 = static_cast<int>(i) / strips * kChunkRows;
                     strip(x0, y0, std::min(y0 + kChunkRows, grid.ny));
                 });
}

// The lanes whose pixels lie in the image and are used.
template <class Shape = LanesInRow>
typename Shape::Mask used_lanes(const Grid& grid, const Pixels& pixels, int y, int x0) {
    typename Shape::Mask mask = 0;
    for (std::size_t lane = 0; lane < Shape::lanes; ++lane) {
        const auto [v, x] = Shape::pixel(y, x0, lane);
        if (v < grid.ny && x < grid.nx && pixels.used(v, x)) mask |= typename Shape::Mask{1} << lane;
    }
    return mask;
}

inline void fill_strip_row(const Grid& grid, int y, int x0, int columns, float value, float* out) {
    std::fill(out + grid.at(y, x0), out + grid.at(y, std::min(x0 + columns, grid.nx)), value);
}

// True when rounding to float32 could go either way within the error.
inline bool rounds_apart(double value, double error) {
    return static_cast<float>(value - error) != static_cast<float>(value + error);
}

}  // namespace chandra_bin::detail
