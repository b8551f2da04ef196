// Sums over discs around square blocks of pixels. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

#include "avx2.hpp"
#include "chandra_bin/control.hpp"
#include "chandra_bin/parallel.hpp"
#include "disc_sums.hpp"

namespace chandra_bin::detail {

// As AreaSums, but the running sums of each column lie together in memory. A block of 8 x 8 pixels reads eight of them in each of
// eight columns: these are eight short rows, as those that it reads in rows, and the next column of the disc needs seven of
// them again.
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
    template <class Shape>
    void disc(const Disc& disc, int y, int x0, T* out) const {
#ifdef CHANDRA_BIN_AVX2
        if (avx2_) return disc_avx2<Shape>(disc, y, x0, out);
#endif
        disc_plain<Shape>(disc, y, x0, out);
    }

    // The same on any processor.
    template <class Shape>
    [[gnu::noinline]] void disc_plain(const Disc& disc, int y, int x0, T* out) const {
        in_vectors<Shape, 16>(disc, y, x0, out);
    }

private:
    static constexpr int kRegisters = 8;       // for sums
    static constexpr int kPiece = 64;          // columns that are filled together
    static constexpr int kPollRows = 1 << 14;  // rows between two looks at whether to stop

    template <int rows, int columns, std::size_t bytes>
    struct Sums {
        LaneSums<T, columns, bytes> lanes[rows];
    };

#ifdef CHANDRA_BIN_AVX2
    template <class Shape>
    [[gnu::target("avx2"), gnu::noinline]] void disc_avx2(const Disc& disc, int y, int x0, T* out) const {
        in_vectors<Shape, 32>(disc, y, x0, out);
    }
    bool avx2_ = __builtin_cpu_supports("avx2") != 0;
#endif

    // As many rows of the block at once as registers have room for.
    template <class Shape, std::size_t bytes>
    [[gnu::always_inline]] void in_vectors(const Disc& disc, int y, int x0, T* out) const {
        constexpr int side = Shape::rows;
        static_assert(side == Shape::columns);
        const Grid& grid = rows_.grid();
        if (disc.mostly_beyond(grid, y)) {
            for (int i = 0; i < side; ++i) {
                rows_.template disc<side>(disc, std::min(y + i, grid.ny - 1), x0, out + i * side);
            }
            return;
        }
        constexpr int vectors = std::max<int>(side * sizeof(T) / bytes, 1);  // of a row
        constexpr int together = std::min(kRegisters / vectors, side);
        T turned[Shape::lanes];
        for (int i = 0; i < side; i += together) {
            Sums<together, side, bytes> by_row;
            add_square(disc, y + i, x0, by_row);
            add_caps(rows_.sums(), grid, disc, y + i, x0, by_row);
            Sums<together, side, bytes> by_column;
            add_caps(columns_, turned_, disc, x0 + i, y, by_column);
            for (int k = 0; k < together; ++k) {
                by_row.lanes[k].store(out + (i + k) * side);
                by_column.lanes[k].store(turned + (i + k) * side);
            }
        }
        for (std::size_t i = 0; i < side; ++i) {
            for (std::size_t j = 0; j < side; ++j) {
                T& sum = out[i * side + j];
                sum = static_cast<T>(sum + turned[j * side + i]);
            }
        }
    }

    template <int rows, int columns, std::size_t bytes>
    [[gnu::always_inline]] void add_square(const Disc& disc, int y, int x0, Sums<rows, columns, bytes>& sum) const {
        const Grid& grid = rows_.grid();
        const int s = disc.square();
        const int from = std::max(x0 - s, -kLanes);
        const int to = std::min(x0 + s + 1, grid.nx);
        for (int i = 0; i < rows; ++i) {
            const T* const top = areas_.row(std::clamp(y + i - s, 0, grid.ny));
            const T* const bottom = areas_.row(std::min(y + i + s + 1, grid.ny));
            sum.lanes[i].add_difference(bottom + to, bottom + from);
            sum.lanes[i].add_difference(top + from, top + to);
        }
    }

    // Adds the rows of the discs above and below the square, from the sums along the rows of the grid.
    template <int rows, int columns, std::size_t bytes>
    [[gnu::always_inline]] static void add_caps(const LaneRows<T>& lines, const Grid& grid, const Disc& disc, int y,
                                                int x0, Sums<rows, columns, bytes>& out) {
        const int* const widths = disc.widths();
        const int s = disc.square();
        const int r = disc.rows();
        const std::ptrdiff_t stride = lines.stride();
        Sums<rows, columns, bytes> sum = out;  // in registers
        if (y >= r && y + rows - 1 + r < grid.ny && x0 + kLanes >= s && x0 + s < grid.nx) {
            const T* above = lines.row(y - s) + x0;
            const T* below = lines.row(y + s) + x0;
            for (int d = s + 1; d <= r; ++d) {
                const std::ptrdiff_t w = widths[d];
                above -= stride;
                below += stride;
                const T* left[] = {above - w, below - w};
                const T* right[] = {above + w + 1, below + w + 1};
#pragma GCC unroll 8
                for (std::ptrdiff_t i = 0; i < rows; ++i) {
                    for (int k = 0; k < 2; ++k) {
                        sum.lanes[i].add_difference(right[k], left[k]);
                        left[k] += stride;
                        right[k] += stride;
                    }
                }
            }
            out = sum;
            return;
        }
        // What lies beyond the edge is zero.
        for (const int side : {-1, 1}) {
            const int last = side < 0 ? std::min(r, y + rows - 1) : std::min(r, grid.ny - 1 - y);
            for (int d = s + 1; d <= last; ++d) {
                const int v = y + side * d;
                const int from = std::max(x0 - widths[d], -kLanes);
                const int to = std::min(x0 + widths[d] + 1, grid.nx);
                const int top = std::max(v, 0);  // of the lines that lie in the grid
                const T* left = lines.row(top) + from;
                const T* right = lines.row(top) + to;
                const auto add = [&](int i) __attribute__((always_inline)) {
                    sum.lanes[i].add_difference(right, left);
                    left += stride;
                    right += stride;
                };
                if (v >= 0 && v + rows <= grid.ny) {
#pragma GCC unroll 8
                    for (int i = 0; i < rows; ++i) add(i);
                } else {
#pragma GCC unroll 8
                    for (int i = 0; i < rows; ++i) {
                        if (v + i >= 0 && v + i < grid.ny) add(i);
                    }
                }
            }
        }
        out = sum;
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
