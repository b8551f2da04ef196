// Sums over discs around blocks of 4 x 4 pixels. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

#include "chandra_bin/control.hpp"
#include "chandra_bin/parallel.hpp"
#include "disc_sums.hpp"

namespace chandra_bin::detail {

// As AreaSums, but the running sums of each column lie together in memory. A block reads four of them in each of four columns:
// these are four short rows, as those that it reads in rows, and the next column of the disc needs three of them again.
// T is unsigned, as sums wrap around.
template <class T>
class BlockAreaSums {
public:
    BlockAreaSums(RowSums<T> filled, int threads, const Control& control)
        : rows_(std::move(filled)), turned_{rows_.grid().nx, rows_.grid().ny}, columns_(turned_, turned_.ny),
          areas_(rows_.grid(), rows_.grid().ny + 1) {
        const auto pieces = static_cast<std::size_t>((rows_.grid().nx + kLanes) / kPiece) + 2;
        parallel_for(pieces, threads, control, 0, 0,
                     [&](std::size_t i, const auto& check) { fill(static_cast<int>(i) * kPiece - kLanes, check); });
    }

    // Sums over the disc around the pixels of the block at (y, x0), as those of RowSums to the last digit. Pixels beyond the
    // image have sums, too, of no meaning.
    void disc(const Disc& disc, int y, int x0, T* out) const {
        const Grid& grid = rows_.grid();
        if (disc.mostly_beyond(grid, y)) {
            for (int i = 0; i < kSide; ++i) {
                rows_.template disc<kSide>(disc, std::min(y + i, grid.ny - 1), x0, out + i * kSide);
            }
            return;
        }
        Sums by_row;
        Sums by_column;
        add_square(disc, y, x0, by_row);
        add_caps(rows_.sums(), grid, disc, y, x0, by_row);
        add_caps(columns_, turned_, disc, x0, y, by_column);
        T turned[kLanes];
        for (std::size_t i = 0; i < kSide; ++i) {
            by_row.lanes[i].store(out + i * kSide);
            by_column.lanes[i].store(turned + i * kSide);
        }
        for (std::size_t i = 0; i < kSide; ++i) {
            for (std::size_t j = 0; j < kSide; ++j) {
                T& sum = out[i * kSide + j];
                sum = static_cast<T>(sum + turned[j * kSide + i]);
            }
        }
    }

private:
    static constexpr int kSide = LanesInBlock::rows;
    static constexpr int kPiece = 64;          // columns that are filled together
    static constexpr int kPollRows = 1 << 14;  // rows between two looks at whether to stop

    struct Sums {
        LaneSums<T, kSide> lanes[kSide];
    };

    void add_square(const Disc& disc, int y, int x0, Sums& sum) const {
        const Grid& grid = rows_.grid();
        const int s = disc.square();
        const int from = std::max(x0 - s, -kLanes);
        const int to = std::min(x0 + s + 1, grid.nx);
        for (int i = 0; i < kSide; ++i) {
            const T* const top = areas_.row(std::clamp(y + i - s, 0, grid.ny));
            const T* const bottom = areas_.row(std::min(y + i + s + 1, grid.ny));
            sum.lanes[i].add_difference(bottom + to, bottom + from);
            sum.lanes[i].add_difference(top + from, top + to);
        }
    }

    // Adds the rows of the discs above and below the square, from the sums along the rows of the grid.
    static void add_caps(const LaneRows<T>& rows, const Grid& grid, const Disc& disc, int y, int x0, Sums& sum) {
        const int* const widths = disc.widths();
        const int s = disc.square();
        const int r = disc.rows();
        const std::ptrdiff_t stride = rows.stride();
        const auto add = [&](const T* to, const T* from) {
            for (std::ptrdiff_t i = 0; i < kSide; ++i) sum.lanes[i].add_difference(to + i * stride, from + i * stride);
        };
        if (y >= r && y + kSide - 1 + r < grid.ny && x0 + kLanes >= s && x0 + s < grid.nx) {
            const T* above = rows.row(y - s) + x0;
            const T* below = rows.row(y + s) + x0;
            for (int d = s + 1; d <= r; ++d) {
                const std::ptrdiff_t w = widths[d];
                above -= stride;
                below += stride;
                add(above + w + 1, above - w);
                add(below + w + 1, below - w);
            }
            return;
        }
        // What lies beyond the edge is zero.
        const auto add_row = [&](int v, int w) {
            const int from = std::max(x0 - w, -kLanes);
            const int to = std::min(x0 + w + 1, grid.nx);
            if (v >= 0 && v + kSide <= grid.ny) return add(rows.row(v) + to, rows.row(v) + from);
            for (int i = std::max(-v, 0); i < std::min(kSide, grid.ny - v); ++i) {
                sum.lanes[i].add_difference(rows.row(v + i) + to, rows.row(v + i) + from);
            }
        };
        for (int d = s + 1; d <= std::min(r, y + kSide - 1); ++d) add_row(y - d, widths[d]);
        for (int d = s + 1; d <= std::min(r, grid.ny - 1 - y); ++d) add_row(y + d, widths[d]);
    }

    // Fills kPiece columns.
    template <class Check>
    void fill(int first, const Check& check) {
        const Grid& grid = rows_.grid();
        const int last = std::min(first + kPiece, grid.nx + kLanes);
        if (first >= last) return;
        std::fill(areas_.row(0) + first, areas_.row(0) + last, T{0});
        for (int y = 0; y < grid.ny; ++y) {
            if (y % kPollRows == 0) check();
            const T* const row = rows_.row(y);
            const T* const area = areas_.row(y);
            T* const next = areas_.row(y + 1);
            for (int x = first; x < last; ++x) next[x] = static_cast<T>(area[x] + row[x]);
        }
        const int end = std::min(last, grid.nx);
        for (int x0 = std::max(first, 0); x0 < end; x0 += kLanes) {
            check();
            fill_columns(x0, std::min(x0 + kLanes, end));
        }
    }

    void fill_columns(int first, int last) {
        const int ny = rows_.grid().ny;
        T total[kLanes] = {};
        for (int x = first; x < last; ++x) std::fill(columns_.row(x) - kLanes, columns_.row(x) + 1, T{0});
        for (int y = 0; y < ny; ++y) {
            const T* const row = rows_.row(y);
            for (int x = first; x < last; ++x) {
                T& sum = total[x - first];
                sum = static_cast<T>(sum + (row[x + 1] - row[x]));
                columns_.row(x)[y + 1] = sum;
            }
        }
        for (int x = first; x < last; ++x) {
            T* const after = columns_.row(x) + ny + 1;
            std::fill(after, after + kLanes, total[x - first]);
        }
    }

    RowSums<T> rows_;
    Grid turned_;          // columns are its rows
    LaneRows<T> columns_;  // [v] is the sum of the first v pixels
    LaneRows<T> areas_;    // row v, [j]: the sum of the first j pixels of the first v rows
};

}  // namespace chandra_bin::detail
