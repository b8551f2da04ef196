// Strips of sixteen columns, which smoothers walk downwards, so that the rows that a disc needs are still in the cache.
// Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "chandra_bin/control.hpp"
#include "chandra_bin/parallel.hpp"
#include "channel.hpp"

namespace chandra_bin::detail {

constexpr int kChunkRows = 128;          // rows of a strip that make one piece of work
constexpr double kReAddLimit = 1 << 16;  // pixels of the largest disc that is added up in contbin's order

// Cuts the image into strips of `kLanes` columns and calls strip(x0, first_row, last_row) for pieces of them.
template <class Strip>
void for_strips(const Grid& grid, int threads, const Control& control, const Strip& strip) {
    const int strips = (grid.nx - 1) / kLanes + 1;
    const int chunks = (grid.ny - 1) / kChunkRows + 1;
    parallel_for(static_cast<std::size_t>(strips) * static_cast<std::size_t>(chunks), threads, control, 0, 1,
                 [&](std::size_t i, const auto&) {
                     const int x0 = static_cast<int>(i) % strips * kLanes;
                     const int y0 = static_cast<int>(i) / strips * kChunkRows;
                     strip(x0, y0, std::min(y0 + kChunkRows, grid.ny));
                 });
}

// A bit for each lane.
using LaneMask = std::uint32_t;

template <class Visit>  // visit(lane)
void for_lanes(LaneMask mask, const Visit& visit) {
    for (; mask != 0; mask &= mask - 1) visit(static_cast<std::size_t>(std::countr_zero(mask)));
}

inline LaneMask used_lanes(const Grid& grid, const Pixels& pixels, int y, int x0) {
    LaneMask mask = 0;
    for (int x = x0; x < std::min(x0 + kLanes, grid.nx); ++x) {
        if (pixels.used(y, x)) mask |= LaneMask{1} << (x - x0);
    }
    return mask;
}

inline void fill_strip_row(const Grid& grid, int y, int x0, float value, float* out) {
    std::fill(out + grid.at(y, x0), out + grid.at(y, std::min(x0 + kLanes, grid.nx)), value);
}

// True when rounding to float32 could go either way within the error.
inline bool rounds_apart(double value, double error) {
    return static_cast<float>(value - error) != static_cast<float>(value + error);
}

}  // namespace chandra_bin::detail
