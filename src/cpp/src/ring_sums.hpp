// Sums over parts of rings around blocks of pixels. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "chandra_bin/control.hpp"
#include "chandra_bin/parallel.hpp"
#include "disc_sums.hpp"
#include "rings.hpp"

namespace chandra_bin::detail {

// Calls add(dy, dx) for the offsets and their mirror images.
template <class Add>
void for_mirrored(std::span<const RingOffset> offsets, const Add& add) {
    const auto both_sides = [&](int dy, int dx) {
        add(dy, dx);
        if (dx != 0) add(dy, -dx);
    };
    const auto all_sides = [&](int dy, int dx) {
        both_sides(dy, dx);
        if (dy != 0) both_sides(-dy, dx);
    };
    for (const RingOffset& offset : offsets) {
        all_sides(offset.far, offset.near);
        if (offset.far != offset.near) all_sides(offset.near, offset.far);
    }
}

// Whether all pixels within `radius` of the block at (y, x0) lie in the image.
template <class Shape>
bool is_inside(const Grid& grid, int radius, int y, int x0) {
    return y >= radius && y + Shape::rows - 1 + radius < grid.ny && x0 >= radius
           && x0 + Shape::columns - 1 + radius < grid.nx;
}

// Adds the pixels at `offsets`, each of them the difference of two running sums.
template <class Shape, class T>
void add_ring(const RowSums<T>& sums, std::span<const RingOffset> offsets, int radius, int y, int x0,
              typename Shape::Lanes& out) {
    constexpr int side = Shape::rows;
    const Grid& grid = sums.grid();
    LaneSums<T, side> sum[side];
    const bool inside = is_inside<Shape>(grid, radius, y, x0);
    for_mirrored(offsets, [&](int dy, int dx) {
        const std::ptrdiff_t x = inside ? x0 + dx : std::clamp(x0 + dx, -kLanes, grid.nx);
        for (int i = inside ? 0 : std::max(0, -y - dy); i < (inside ? side : std::min(side, grid.ny - y - dy)); ++i) {
            const T* const pixel = sums.row(y + dy + i) + x;
            sum[i].add_difference(pixel + 1, pixel);
        }
    });
    T pixels[Shape::lanes];
    for (int i = 0; i < side; ++i) sum[i].store(pixels + i * side);
    for (std::size_t lane = 0; lane < Shape::lanes; ++lane) out[lane] += static_cast<double>(pixels[lane]);
}

// Pixels in 16 bits, each together with the one below it, so that half as many rows of a block are read.
class PixelPairs {
public:
    static constexpr double kLargest = 4095;  // units of a pixel: the pixels of two offsets fit 16 bits

    // pixel(y, x) gives values from 0 to kLargest units.
    template <class Pixel>
    PixelPairs(Grid grid, int threads, const Control& control, double unit, const Pixel& pixel)
        : grid_(grid), unit_(unit), pairs_(grid, grid.ny + 1) {
        parallel_for(static_cast<std::size_t>(grid.ny) + 1, threads, control, 0, 0, [&](std::size_t i, const auto&) {
            const int y = static_cast<int>(i) - 1;
            std::uint32_t* const row = pairs_.row(y + 1);
            std::fill(row - kLanes, row, 0U);
            std::fill(row + grid.nx, row + grid.nx + 1 + kLanes, 0U);
            const auto in_units = [&](int v, int x) {
                return v < 0 || v == grid.ny ? 0U : static_cast<std::uint32_t>(std::floor(pixel(v, x) / unit + 0.5));
            };
            for (int x = 0; x < grid.nx; ++x) row[x] = in_units(y, x) | in_units(y + 1, x) << 16;
        });
    }

    double unit() const { return unit_; }

    // Adds the pixels at `offsets` of a ring of `radius` around the block at (y, x0).
    template <class Shape>
    void add_ring(std::span<const RingOffset> offsets, int radius, int y, int x0, typename Shape::Lanes& out) const {
        const bool inside = is_inside<Shape>(grid_, radius, y, x0);
        while (!offsets.empty()) {
            const auto part = offsets.first(std::min(offsets.size(), kOffsets));
            offsets = offsets.subspan(part.size());
            inside ? add_few<Shape, true>(part, y, x0, out) : add_few<Shape, false>(part, y, x0, out);
        }
    }

private:
    static constexpr std::size_t kOffsets = 2;

    template <class Shape, bool inside>
    void add_few(std::span<const RingOffset> offsets, int y, int x0, typename Shape::Lanes& out) const {
        constexpr int columns = Shape::columns;
        constexpr int pieces = Shape::rows / 2;
        LaneSums<std::uint32_t, columns> sums[pieces];
        for_mirrored(offsets, [&](int dy, int dx) {
            const std::ptrdiff_t x = inside ? x0 + dx : std::clamp(x0 + dx, -kLanes, grid_.nx);
            for (int i = 0; i < pieces; ++i) {
                const int v = y + dy + 2 * i;
                if (inside || (v >= -1 && v < grid_.ny)) sums[i].add(pairs_.row(v + 1) + x);
            }
        });
        for (int i = 0; i < pieces; ++i) {
            std::uint32_t pairs[columns];
            sums[i].store(pairs);
            double* const rows = out.data() + 2 * i * columns;
            for (std::size_t x = 0; x < columns; ++x) {
                rows[x] += static_cast<std::int32_t>(pairs[x] & 0xffffU) * unit_;
                rows[x + columns] += static_cast<std::int32_t>(pairs[x] >> 16) * unit_;
            }
        }
    }

    Grid grid_;
    double unit_;
    LaneRows<std::uint32_t> pairs_;  // row v + 1, [x]: the pixels (v, x) and (v + 1, x)
};

}  // namespace chandra_bin::detail
