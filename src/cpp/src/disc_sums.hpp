// Sums over discs around neighbouring pixels. Private to src/cpp/src.
//
// A sum along each row, made once, turns the sum over a disc of radius r into 2 (2r + 1) reads; with sums down columns and
// over both they are 2.3 r. Sixteen neighbouring pixels of a row ("lanes") are evaluated at the same radius, with
// contiguous reads that the compiler vectorises.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#include "chandra_bin/control.hpp"
#include "chandra_bin/parallel.hpp"
#include "disc.hpp"
#include "large.hpp"

namespace chandra_bin::detail {

// Sums side by side. The vector type keeps them in registers: left to itself, GCC at times takes a loop over the
// lanes apart instead.
template <class T, int count = kLanes, std::size_t bytes = 16>
class LaneSums {
public:
    [[gnu::always_inline]] void add_difference(const T* right, const T* left) {
        for (std::size_t i = 0; i < kVectors; ++i) {
            Vector a;
            Vector b;
            std::memcpy(&a, right + i * kPerVector, sizeof a);
            std::memcpy(&b, left + i * kPerVector, sizeof b);
            sums_[i] += a - b;
        }
    }
    void add(const T* values) {
        for (std::size_t i = 0; i < kVectors; ++i) {
            Vector a;
            std::memcpy(&a, values + i * kPerVector, sizeof a);
            sums_[i] += a;
        }
    }
    void store(T* out) const { std::memcpy(out, sums_, sizeof sums_); }

private:
    static constexpr std::size_t kPerVector = std::min<std::size_t>(bytes / sizeof(T), count);
    static constexpr std::size_t kVectors = count / kPerVector;
    using Vector [[gnu::vector_size(kPerVector * sizeof(T))]] = T;
    Vector sums_[kVectors] = {};
};

// Rows of sums, [-kLanes] .. [nx + kLanes]: with room on both sides for lanes that reach over the edge.
template <class T>
class LaneRows {
public:
    LaneRows(const Grid& grid, int rows)
        : stride_(grid.nx + 1 + 2 * kLanes), data_(static_cast<std::size_t>(rows) * static_cast<std::size_t>(stride_)) {
    }

    std::ptrdiff_t stride() const { return stride_; }
    T* row(int y) { return data_.data() + y * stride_ + kLanes; }
    const T* row(int y) const { return data_.data() + y * stride_ + kLanes; }

private:
    std::ptrdiff_t stride_;
    LargeVector<T> data_;
};

// Running sums of each row: [j] is the sum of its first j pixels.
template <class T>
class RowSums {
public:
    explicit RowSums(Grid grid) : grid_(grid), sums_(grid, grid.ny) {}

    const Grid& grid() const { return grid_; }
    const T* row(int y) const { return sums_.row(y); }
    const LaneRows<T>& sums() const { return sums_; }
    std::ptrdiff_t stride() const { return sums_.stride(); }

    // pixel(x) gives the value of a pixel; to(total) converts a running sum to T.
    template <class Sum, class Pixel, class To>
    void fill_row(int y, const Pixel& pixel, const To& to) {
        T* const sums = sums_.row(y);
        std::fill(sums - kLanes, sums + 1, T{0});
        Sum total{0};
        Sum lost{0};  // compensation (Kahan 1965): each running sum is then right to its last digit
        for (int x = 0; x < grid_.nx; ++x) {
            if constexpr (std::is_floating_point_v<Sum>) {
                const Sum term = pixel(x) - lost;
                const Sum next = total + term;
                lost = (next - total) - term;
                total = next;
            } else {
                total += static_cast<Sum>(pixel(x));
            }
            sums[x + 1] = to(total);
        }
        std::fill(sums + grid_.nx + 1, sums + grid_.nx + 1 + kLanes, to(total));
    }

    // Sums over the disc around the pixels (y, x0) .. (y, x0 + lanes - 1). Lanes that reach over the edge read the room
    // there, and no farther than that.
    template <int lanes = kLanes>
    void disc(const Disc& disc, int y, int x0, T* out) const {
        LaneSums<T, lanes> sum;
        const int rows = disc.rows();
        const int* const widths = disc.widths();
        const T* const middle = row(y);
        const std::ptrdiff_t stride = sums_.stride();
        const auto add = [&](const T* sums, int w) {
            sum.add_difference(sums + std::min(x0 + w + 1, grid_.nx), sums + std::max(x0 - w, -kLanes));
        };
        add(middle, widths[0]);
        const int above = std::min(rows, y);
        const int below = std::min(rows, grid_.ny - 1 - y);
        const int both = std::min(above, below);
        const T* up = middle;
        const T* down = middle;
        if (x0 >= rows && x0 + rows < grid_.nx) {
            const T* up_left = middle + x0;
            const T* down_left = middle + x0;
            for (int d = 1; d <= both; ++d) {
                const std::ptrdiff_t w = widths[d];
                up_left -= stride;
                down_left += stride;
                sum.add_difference(up_left + w + 1, up_left - w);
                sum.add_difference(down_left + w + 1, down_left - w);
            }
            up = up_left - x0;
            down = down_left - x0;
        } else {
            for (int d = 1; d <= both; ++d) {
                add(up -= stride, widths[d]);
                add(down += stride, widths[d]);
            }
        }
        for (int d = both + 1; d <= above; ++d) add(up -= stride, widths[d]);
        for (int d = both + 1; d <= below; ++d) add(down += stride, widths[d]);
        sum.store(out);
    }

    struct Around {
        const Disc* disc;
        int y, x;
    };

    // Sums over `count` discs, each of them as by `disc` to the last digit: its terms are added in the same order, and these
    // chains of additions run side by side.
    template <std::size_t count>
    void disc_each(const std::array<Around, count>& around, T* out) const {
        T sum[count];
        int together = grid_.ny;
        for (std::size_t k = 0; k < count; ++k) {
            const auto& [disc, y, x] = around[k];
            together = std::min({together, y, grid_.ny - 1 - y, disc->rows()});
            sum[k] = T{0} + span(row(y), x, disc->width(0));
        }
        for (int d = 1; d <= together; ++d) {
            for (std::size_t k = 0; k < count; ++k) {
                const auto& [disc, y, x] = around[k];
                const int w = disc->widths()[d];
                sum[k] += span(row(y - d), x, w);
                sum[k] += span(row(y + d), x, w);
            }
        }
        for (std::size_t k = 0; k < count; ++k) {
            const auto& [disc, y, x] = around[k];
            const int above = std::min(disc->rows(), y);
            const int below = std::min(disc->rows(), grid_.ny - 1 - y);
            const int both = std::min(above, below);
            for (int d = together + 1; d <= both; ++d) {
                sum[k] += span(row(y - d), x, disc->width(d));
                sum[k] += span(row(y + d), x, disc->width(d));
            }
            for (int d = both + 1; d <= above; ++d) sum[k] += span(row(y - d), x, disc->width(d));
            for (int d = both + 1; d <= below; ++d) sum[k] += span(row(y + d), x, disc->width(d));
            out[k] = sum[k];
        }
    }

    // The sum over the disc around the pixel (y, x) alone.
    double disc_at(const Disc& disc, int y, int x) const {
        T sum{0};
        for (int dy = std::max(-disc.rows(), -y); dy <= std::min(disc.rows(), grid_.ny - 1 - y); ++dy) {
            const int w = disc.width(dy);
            const T* const sums = row(y + dy);
            sum = static_cast<T>(sum + (sums[std::min(x + w + 1, grid_.nx)] - sums[std::max(x - w, 0)]));
        }
        return static_cast<double>(sum);
    }

private:
    // The sum of the pixels of a row that are within w of x.
    T span(const T* sums, int x, int w) const { return sums[std::min(x + w + 1, grid_.nx)] - sums[std::max(x - w, 0)]; }

    Grid grid_;
    LaneRows<T> sums_;
};

// Running sums along rows, down columns, and over both. A disc consists of a square, summed by its corners, and four caps:
// the upper and the lower one are summed by rows, the left and the right one by columns. T is unsigned: sums that are too
// large wrap around, and their differences are right again.
template <class T>
class AreaSums {
public:
    // Made in pieces of some columns.
    AreaSums(RowSums<T> filled, int threads, const Control& control, int piece = 512)
        : rows_(std::move(filled)), columns_(rows_.grid(), rows_.grid().ny + 1),
          areas_(rows_.grid(), rows_.grid().ny + 1) {
        const int end = rows_.grid().nx + kLanes;
        const auto pieces = static_cast<std::size_t>((end + kLanes - 1) / piece) + 1;
        parallel_for(pieces, threads, control, 0, 0, [&](std::size_t i, const auto& check) {
            const int first = static_cast<int>(i) * piece - kLanes;
            fill(first, std::min(first + piece, end), check);
        });
    }

    // Sums over the disc around the pixels of `Shape` at (y, x0), as those of RowSums to the last digit. Pixels beyond the
    // image have sums, too, of no meaning.
    template <class Shape = LanesInRow>
    void disc(const Disc& disc, int y, int x0, T* out) const {
        constexpr int columns = Shape::columns;
        const Grid& grid = rows_.grid();
        const int r = disc.rows();
        if (disc.mostly_beyond(grid, y)) {
            for (int i = 0; i < Shape::rows; ++i) {
                rows_.template disc<columns>(disc, std::min(y + i, grid.ny - 1), x0, out + i * columns);
            }
            return;
        }
        LaneSums<T, columns> sum[Shape::rows];
        if (y >= r && y + Shape::rows - 1 + r < grid.ny && x0 >= r && x0 + r < grid.nx) {
            add_inner(disc, y, x0, sum);
        } else {
            add_clipped(disc, y, x0, sum);
        }
        for (int i = 0; i < Shape::rows; ++i) sum[i].store(out + i * columns);
    }

private:
    static constexpr int kPollRows = 1 << 14;

    // Adds the sums of discs that lie in the image, one row of lanes after the other.
    template <class Sum, std::size_t count>
    void add_inner(const Disc& disc, int y, int x0, Sum (&sum)[count]) const {
        const std::ptrdiff_t stride = rows_.stride();
        const std::ptrdiff_t s = disc.square();
        const T* const top = areas_.row(y) + x0 - s * stride;
        const T* const bottom = areas_.row(y + 1) + x0 + s * stride;
        for (std::size_t i = 0; i < count; ++i) {
            const std::ptrdiff_t down = static_cast<std::ptrdiff_t>(i) * stride;
            sum[i].add_difference(bottom + down + s + 1, bottom + down - s);
            sum[i].add_difference(top + down - s, top + down + s + 1);
        }
        const T* above = rows_.row(y) + x0 - s * stride;
        const T* below = rows_.row(y) + x0 + s * stride;
        const T* const column = columns_.row(y) + x0;
        const int* const widths = disc.widths();
        for (std::ptrdiff_t d = s + 1; d <= disc.rows(); ++d) {
            const std::ptrdiff_t w = widths[d];
            above -= stride;
            below += stride;
            const T* const upper = column - w * stride;
            const T* const lower = column + (w + 1) * stride;
            for (std::size_t i = 0; i < count; ++i) {
                const std::ptrdiff_t down = static_cast<std::ptrdiff_t>(i) * stride;
                sum[i].add_difference(above + down + w + 1, above + down - w);
                sum[i].add_difference(below + down + w + 1, below + down - w);
                sum[i].add_difference(lower + down - d, upper + down - d);
                sum[i].add_difference(lower + down + d, upper + down + d);
            }
        }
    }

    // The same for discs that reach over the edge: what lies beyond it is zero.
    template <class Sum, std::size_t count>
    void add_clipped(const Disc& disc, int y, int x0, Sum (&sum)[count]) const {
        const int ny = rows_.grid().ny;
        const int nx = rows_.grid().nx;
        const int s = disc.square();
        const int* const widths = disc.widths();
        const auto left = [&](int w) { return std::max(x0 - w, -kLanes); };
        const auto right = [&](int w) { return std::min(x0 + w + 1, nx); };
        for (std::size_t i = 0; i < count; ++i) {
            const T* const top = areas_.row(std::clamp(y + static_cast<int>(i) - s, 0, ny));
            const T* const bottom = areas_.row(std::min(y + static_cast<int>(i) + s + 1, ny));
            sum[i].add_difference(bottom + right(s), bottom + left(s));
            sum[i].add_difference(top + left(s), top + right(s));
        }
        const std::ptrdiff_t stride = rows_.stride();
        const int last = static_cast<int>(count) - 1;
        const auto add_rows = [&](int v, int from, int to) {
            if (v >= 0 && v + last < ny) {
                const T* const row = rows_.row(v);
#pragma GCC unroll 4
                for (std::size_t i = 0; i < count; ++i) {
                    const std::ptrdiff_t down = static_cast<std::ptrdiff_t>(i) * stride;
                    sum[i].add_difference(row + down + to, row + down + from);
                }
                return;
            }
            for (int i = std::max(-v, 0); i <= std::min(last, ny - 1 - v); ++i) {
                sum[i].add_difference(rows_.row(v + i) + to, rows_.row(v + i) + from);
            }
        };
        for (int d = s + 1; d <= disc.rows(); ++d) {
            const int w = widths[d];
            add_rows(y - d, left(w), right(w));
            add_rows(y + d, left(w), right(w));
            const int before = left(d);              // zeros where it is beyond the edge
            const int after = std::min(x0 + d, nx);  // likewise
            if (y >= w && y + last + w < ny) {
                const T* const upper = columns_.row(y - w);
                const T* const lower = columns_.row(y + w + 1);
#pragma GCC unroll 4
                for (std::size_t i = 0; i < count; ++i) {
                    const std::ptrdiff_t down = static_cast<std::ptrdiff_t>(i) * stride;
                    sum[i].add_difference(lower + down + before, upper + down + before);
                    sum[i].add_difference(lower + down + after, upper + down + after);
                }
                continue;
            }
            for (int i = 0; i <= last; ++i) {
                const T* const upper = columns_.row(std::clamp(y + i - w, 0, ny));
                const T* const lower = columns_.row(std::min(y + i + w + 1, ny));
                sum[i].add_difference(lower + before, upper + before);
                sum[i].add_difference(lower + after, upper + after);
            }
        }
    }

    template <class Check>
    void fill(int first, int last, const Check& check) {
        std::fill(columns_.row(0) + first, columns_.row(0) + last, T{0});
        std::fill(areas_.row(0) + first, areas_.row(0) + last, T{0});
        for (int y = 0; y < rows_.grid().ny; ++y) {
            if (y % kPollRows == 0) check();
            const T* const row = rows_.row(y);
            const T* const column = columns_.row(y);
            const T* const area = areas_.row(y);
            T* const next_column = columns_.row(y + 1);
            T* const next_area = areas_.row(y + 1);
            for (int x = first; x < last; ++x) {
                next_column[x] = static_cast<T>(column[x] + (row[x + 1] - row[x]));
                next_area[x] = static_cast<T>(area[x] + row[x]);
            }
        }
    }

    RowSums<T> rows_;
    // Row v has the sums of the first v rows: of the column x, and of the columns before x.
    LaneRows<T> columns_;
    LaneRows<T> areas_;
};

// Upper bounds of the sum over a box, from sums over blocks of 32 x 32 pixels.
class BlockSums {
public:
    BlockSums(Grid grid, const RowSums<std::uint32_t>& rows)
        : grid_(grid), across_((grid.nx - 1) / kBlock + 2), down_((grid.ny - 1) / kBlock + 2),
          sums_(static_cast<std::size_t>(across_) * static_cast<std::size_t>(down_), 0) {
        for (int y = 0; y < grid.ny; ++y) {
            for (int u = 1; u < across_; ++u) at(y / kBlock + 1, u) += rows.row(y)[std::min(u * kBlock, grid.nx)];
        }
        for (int v = 1; v < down_; ++v) {
            for (int u = 1; u < across_; ++u) at(v, u) += at(v - 1, u);
        }
    }

    // No disc of `radius` around the pixels of `Shape` at (y, x0) holds more.
    template <class Shape>
    double bound(int y, int x0, int radius) const {
        const int top = std::max(y - radius, 0) / kBlock;
        const int bottom = std::min(y + Shape::rows - 1 + radius, grid_.ny - 1) / kBlock + 1;
        const int left = std::max(x0 - radius, 0) / kBlock;
        const int right = std::min(x0 + Shape::columns - 1 + radius, grid_.nx - 1) / kBlock + 1;
        return at(bottom, right) - at(top, right) - at(bottom, left) + at(top, left);
    }

private:
    static constexpr int kBlock = 32;

    double& at(int v, int u) { return sums_[static_cast<std::size_t>(v * across_ + u)]; }
    double at(int v, int u) const { return sums_[static_cast<std::size_t>(v * across_ + u)]; }

    Grid grid_;
    int across_;
    int down_;
    std::vector<double> sums_;  // cumulative
};

}  // namespace chandra_bin::detail
