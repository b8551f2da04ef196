// Sums over discs of two images at once, in 16 bits each. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "block_sums.hpp"
#include "chandra_bin/control.hpp"
#include "chandra_bin/parallel.hpp"
#include "disc_sums.hpp"

namespace chandra_bin::detail {

// Two images of numbers that are not negative: whole numbers, and multiples of `unit`. A pixel holds both, 16 bits each, since
// speed here is memory traffic. A sum modulo 2^16 is completed by a lower bound that it exceeds by less than 2^16, from sums
// over cells of 8 x 8 pixels or from a smaller disc.
class PairSums {
public:
    // first(y, x) and second(y, x) >= 0, whose sums are below 2^32 (in units). A row's sums of `second` are rounded down to
    // whole units, so that the image of rounded pixels is not negative either.
    template <class First, class Second>
    PairSums(const Grid& grid, int threads, const Control& control, double unit, const First& first,
             const Second& second)
        : grid_(grid), unit_(unit), sums_(packed(threads, control, first, second), threads, control) {}

    double unit() const { return unit_; }
    // How far a sum of rounded pixels may be from that of the image, in units.
    static double rounding(int radius) { return 2.0 * radius + 1.0; }

    // Sums around the block at (y, x0), multiples of eight; of `second`, in units, the sum of rounded pixels. In: lower bounds,
    // whole numbers, which they replace, and `close`: whether these are known to be close enough. False where no bounds are.
    bool disc(const Disc& disc, int y, int x0, bool close, BlockLanes& first, BlockLanes& second) const {
        if (!close) {
            const Cell most = cells(disc, y, x0, true);
            const Cell least = cells(disc, y, x0, false);
            BlockLanes apart;
            for (std::size_t lane = 0; lane < LanesInBlock::lanes; ++lane) {
                first[lane] = std::max(first[lane], static_cast<double>(least.first));
                second[lane] = std::max(second[lane], static_cast<double>(least.second));
                apart[lane] = std::max(most.first - first[lane], most.second - second[lane]);
            }
            if (largest_lane(apart) >= kModulus) return false;
        }
        std::uint32_t both[LanesInBlock::lanes];
        sums_.template disc<LanesInBlock>(disc, y, x0, both);
        for (std::size_t lane = 0; lane < LanesInBlock::lanes; ++lane) {
            const auto low = static_cast<std::uint32_t>(static_cast<std::int64_t>(first[lane]));
            const std::uint32_t sum = low + ((both[lane] - low) & 0xffffU);
            const auto low_second = static_cast<std::uint32_t>(static_cast<std::int64_t>(second[lane]));
            const std::uint32_t modulo = (both[lane] - sum) >> 16;
            first[lane] = sum;
            second[lane] = low_second + ((modulo - low_second) & 0xffffU);
        }
        return true;
    }

    static constexpr double kModulus = 65536;

private:
    static constexpr int kCell = 8;

    struct Cell {
        std::uint32_t first = 0;
        std::uint32_t second = 0;
    };

    template <class First, class Second>
    RowSums<std::uint32_t> packed(int threads, const Control& control, const First& first, const Second& second) {
        RowSums<std::uint32_t> rows(grid_);
        across_ = (grid_.nx - 1) / kCell + 2;
        cells_.resize(static_cast<std::size_t>((grid_.ny - 1) / kCell + 1) * static_cast<std::size_t>(across_));
        parallel_for(static_cast<std::size_t>((grid_.ny - 1) / kCell + 1), threads, control, 0, 0,
                     [&](std::size_t i, const auto&) {
                         const int y0 = static_cast<int>(i) * kCell;
                         for (int y = y0; y < std::min(y0 + kCell, grid_.ny); ++y) fill_row(rows, y, first, second);
                         Cell* const cells = cells_.data() + i * static_cast<std::size_t>(across_);
                         for (int u = 1; u < across_; ++u) {
                             cells[u].first += cells[u - 1].first;
                             cells[u].second += cells[u - 1].second;
                         }
                     });
        return rows;
    }

    template <class First, class Second>
    void fill_row(RowSums<std::uint32_t>& rows, int y, const First& first, const Second& second) {
        double sum = 0;
        std::uint32_t units = 0;
        Cell* const cells = cells_.data() + static_cast<std::ptrdiff_t>(y / kCell) * across_;
        const auto pixel = [&](int x) {
            sum += second(y, x);
            const auto next = static_cast<std::uint32_t>(sum / unit_);
            const std::uint32_t more = next - units;
            units = next;
            const auto whole = static_cast<std::uint32_t>(first(y, x));
            cells[x / kCell + 1].first += whole;
            cells[x / kCell + 1].second += more;
            return whole + (more << 16);
        };
        rows.fill_row<std::uint32_t>(y, pixel, [](std::uint32_t total) { return total; });
    }

    // No disc around the block's pixels holds more, or less.
    Cell cells(const Disc& disc, int y, int x0, bool most) const {
        const int r = disc.rows();
        const int y1 = y + LanesInBlock::rows - 1;
        const int x1 = x0 + LanesInBlock::columns - 1;
        const int last = (grid_.ny - 1) / kCell;
        Cell sum;
        for (int v = std::max(y - r, 0) / kCell; v <= std::min((y1 + r) / kCell, last); ++v) {
            const int top = v * kCell;
            const int bottom = top + kCell - 1;
            const int apart = most ? std::max({y - bottom, top - y1, 0}) : std::max(y1 - top, bottom - y);
            if (apart > r) continue;
            const int w = disc.width(apart);
            const int left = most ? std::max(x0 - w, 0) / kCell : (std::max(x1 - w, 0) + kCell - 1) / kCell;
            const int right =
                most ? std::min(x1 + w, grid_.nx - 1) / kCell + 1 : std::min((x0 + w + 1) / kCell, across_ - 1);
            if (left >= right) continue;
            const Cell* const row = cells_.data() + static_cast<std::ptrdiff_t>(v) * across_;
            sum.first += row[right].first - row[left].first;
            sum.second += row[right].second - row[left].second;
        }
        return sum;
    }

    Grid grid_;
    double unit_;
    int across_ = 0;
    std::vector<Cell> cells_;  // sums along each row of cells: [u] is that of the first u
    BlockAreaSums<std::uint32_t> sums_;
};

// Sums of one image of numbers that are not negative, in a unit 2^20 times finer than that of a PairSums, modulo 2^32 of them.
// The pair's sum, whose error is known, completes them.
class FineSums {
public:
    // pixel(y, x) >= 0, the second number of the pair; `pair_unit` is a power of two.
    template <class Pixel>
    FineSums(const Grid& grid, int threads, const Control& control, double pair_unit, const Pixel& pixel)
        : unit_(pair_unit / kFiner), sums_(filled(grid, threads, control, pixel), threads, control) {}

    // Whether the pair's sums over discs of this radius are close enough.
    static bool completes(int radius) { return 2 * (PairSums::rounding(radius) + 1) * (kFiner + 1) < kModulus; }

    // How far sums may be from those of the image.
    double error(int radius) const { return PairSums::rounding(radius) * unit_; }

    // Sums around the block at (y, x0), multiples of eight. In: those of the pair.
    void disc(const Disc& disc, int y, int x0, BlockLanes& sum) const {
        std::uint32_t modulo[LanesInBlock::lanes];
        sums_.template disc<LanesInBlock>(disc, y, x0, modulo);
        const double apart = (PairSums::rounding(disc.rows()) + 1) * (kFiner + 1);
        for (std::size_t lane = 0; lane < LanesInBlock::lanes; ++lane) {
            const auto least = static_cast<std::int64_t>(sum[lane] / unit_ - apart);
            const std::uint32_t above = modulo[lane] - static_cast<std::uint32_t>(least);
            sum[lane] = static_cast<double>(least + above) * unit_;
        }
    }

private:
    static constexpr double kFiner = 1 << 20;
    static constexpr double kModulus = 4294967296;

    template <class Pixel>
    RowSums<std::uint32_t> filled(const Grid& grid, int threads, const Control& control, const Pixel& pixel) const {
        RowSums<std::uint32_t> rows(grid);
        parallel_for(static_cast<std::size_t>(grid.ny), threads, control, 0, 0, [&](std::size_t i, const auto&) {
            const int y = static_cast<int>(i);
            rows.fill_row<double>(
                y, [&](int x) { return pixel(y, x); },
                [&](double sum) { return static_cast<std::uint32_t>(static_cast<std::uint64_t>(sum / unit_)); });
        });
        return rows;
    }

    double unit_;
    BlockAreaSums<std::uint32_t> sums_;
};

}  // namespace chandra_bin::detail
