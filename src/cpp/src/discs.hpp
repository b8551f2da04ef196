// Sums over discs around neighbouring pixels: what every smoother here is made of. Private to src/cpp/src.
//
// A sum along each row, made once, turns the sum over a disc of radius r into 2 (2r + 1) reads; with sums down columns and
// over both they are 2.3 r. Sixteen neighbouring pixels of a row ("lanes") are evaluated at the same radius, with
// contiguous reads that the compiler vectorises, and strips of sixteen columns are walked downwards, so that the rows that
// a disc needs are still in the cache.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "chandra_bin/control.hpp"
#include "chandra_bin/parallel.hpp"

namespace chandra_bin::detail {

constexpr int kLanes = 16;
constexpr int kMadeRadius = 1024;        // discs up to this radius are made once
constexpr int kChunkRows = 128;          // rows of a strip that make one piece of work
constexpr double kReAddLimit = 1 << 16;  // pixels of the largest disc that is added up in contbin's order

using Lanes = std::array<double, kLanes>;

struct Grid {
    int ny;
    int nx;

    std::size_t size() const { return static_cast<std::size_t>(ny) * static_cast<std::size_t>(nx); }
    std::size_t at(int y, int x) const {
        return static_cast<std::size_t>(y) * static_cast<std::size_t>(nx) + static_cast<std::size_t>(x);
    }
    // contbin's largest radius; its disc covers the image from any pixel.
    int max_radius() const {
        return static_cast<int>(std::sqrt(static_cast<double>(nx) * nx + static_cast<double>(ny) * ny));
    }
};

inline Grid make_grid(std::size_t ny, std::size_t nx) {
    constexpr std::size_t limit = std::numeric_limits<std::int32_t>::max();
    if (ny == 0 || nx == 0) throw std::invalid_argument("the image has no pixels");
    if (nx > limit / 4 || ny > limit / 4 || ny * nx > limit) {
        throw std::invalid_argument("the image has more than 2^31 pixels");
    }
    return {static_cast<int>(ny), static_cast<int>(nx)};
}

// Throws where an image holds a NaN or an infinity; null is none.
inline void check_finite(const Grid& grid, const float* image) {
    if (image == nullptr) return;
    constexpr std::uint32_t exponent = 0x7f800000U;
    std::uint32_t largest = 0;  // whole numbers, so that the compiler can compare several at once
    for (std::size_t i = 0; i < grid.size(); ++i) {
        std::uint32_t bits;
        std::memcpy(&bits, image + i, sizeof bits);
        largest = std::max(largest, bits & exponent);
    }
    if (largest == exponent) throw std::invalid_argument("an image holds NaN or infinite pixels");
}

inline void check_sn(double sn) {
    if (!(sn > 0) || !std::isfinite(sn)) throw std::invalid_argument("the signal-to-noise must be positive");
}

// The half-widths of the rows of a disc: row dy holds |dx| <= width(|dy|). Integer radius r: dx^2 + dy^2 < (r + 1)^2.
class Disc {
public:
    void set_radius(int radius) {
        if (radius == radius_) return;
        set_limit(std::int64_t{radius} * (radius + 2));
        radius_ = radius;
    }

    // The disc dx^2 + dy^2 <= limit.
    void set_limit(std::int64_t limit) {
        radius_ = -1;
        area_ = 0;
        std::int64_t w = static_cast<std::int64_t>(std::sqrt(static_cast<double>(limit)));
        rows_ = static_cast<int>(w);
        widths_.resize(static_cast<std::size_t>(w) + 1);
        for (std::int64_t dy = 0; dy <= rows_; ++dy) {
            while (w * w + dy * dy > limit) --w;
            widths_[static_cast<std::size_t>(dy)] = static_cast<int>(w);
            area_ += static_cast<double>((dy == 0 ? 1 : 2) * (2 * w + 1));
        }
        beyond_.resize(widths_.size());
        double beyond = 0;
        for (std::size_t d = widths_.size(); d-- > 0;) {
            beyond_[d] = beyond;
            beyond += 2.0 * widths_[d] + 1.0;
        }
        square_ = static_cast<int>(std::sqrt(static_cast<double>(limit) / 2));
        while (width(square_) < square_) --square_;
        while (square_ < rows_ && width(square_ + 1) > square_) ++square_;
    }

    int rows() const { return rows_; }
    int square() const { return square_; }  // half the side of the largest square within, less half a pixel
    double area() const { return area_; }
    const int* widths() const { return widths_.data(); }  // of the rows 0 .. rows()
    int width(int dy) const { return widths_[static_cast<std::size_t>(dy < 0 ? -dy : dy)]; }

    // Pixels of the discs around (y, x0 + lane) that lie in the image.
    void clipped_areas(const Grid& grid, int y, int x0, Lanes& out) const {
        const int above = y;
        const int below = grid.ny - 1 - y;
        const double inside = area_ - beyond(above) - beyond(below);
        if (x0 >= rows_ && x0 + kLanes - 1 + rows_ < grid.nx) return out.fill(inside);
        if (mostly_beyond(grid, y)) return count_rows(grid, y, x0, out);
        for (int lane = 0; lane < kLanes; ++lane) {
            const int x = x0 + lane;
            out[static_cast<std::size_t>(lane)] = inside - beyond(x) - beyond(std::max(grid.nx - 1 - x, 0));
        }
        // What lies beyond two sides was taken off twice.
        std::int64_t corners[kLanes] = {};
        for (const int side : {above, below}) {
            for (int d = side + 1; d <= rows_; ++d) {
                const int w = width(d);
                if (w <= x0 && w <= grid.nx - x0 - kLanes) break;
                for (int lane = 0; lane < kLanes; ++lane) {
                    corners[lane] += std::max(w - x0 - lane, 0) + std::max(w - (grid.nx - 1 - x0 - lane), 0);
                }
            }
        }
        for (std::size_t lane = 0; lane < kLanes; ++lane) out[lane] += static_cast<double>(corners[lane]);
    }

    // Whether more rows of a disc around row y lie beyond the image than in it.
    bool mostly_beyond(const Grid& grid, int y) const {
        return std::min(rows_, y) + std::min(rows_, grid.ny - 1 - y) < rows_;
    }

private:
    void count_rows(const Grid& grid, int y, int x0, Lanes& out) const {
        std::int64_t area[kLanes] = {};
        for (int dy = std::max(-rows_, -y); dy <= std::min(rows_, grid.ny - 1 - y); ++dy) {
            const int w = width(dy);
            for (int lane = 0; lane < kLanes; ++lane) {
                area[lane] += std::min(x0 + lane + w, grid.nx - 1) - std::max(x0 + lane - w, 0) + 1;
            }
        }
        std::copy(area, area + kLanes, out.begin());
    }

    // Pixels of the disc that lie farther than `distance` to one side.
    double beyond(int distance) const { return distance >= rows_ ? 0 : beyond_[static_cast<std::size_t>(distance)]; }

    int radius_ = -1;
    int rows_ = -1;
    int square_ = -1;
    double area_ = 0;
    std::vector<int> widths_;
    std::vector<double> beyond_;
};

// The discs of the integer radii, made once and shared by the threads while they are small.
class Discs {
public:
    explicit Discs(int max_radius) : made_(static_cast<std::size_t>(std::min(max_radius, kMadeRadius)) + 1) {
        for (std::size_t r = 0; r < made_.size(); ++r) made_[r].set_radius(static_cast<int>(r));
    }

    const Disc& at(int radius, Disc& scratch) const {
        if (static_cast<std::size_t>(radius) < made_.size()) return made_[static_cast<std::size_t>(radius)];
        scratch.set_radius(radius);
        return scratch;
    }

private:
    std::vector<Disc> made_;
};

// Sixteen sums side by side. The vector type keeps them in registers: left to itself, GCC at times takes a loop over the
// lanes apart instead.
template <class T>
class LaneSums {
public:
    void add_difference(const T* right, const T* left) {
        for (std::size_t i = 0; i < kVectors; ++i) {
            Vector a;
            Vector b;
            std::memcpy(&a, right + i * kPerVector, sizeof a);
            std::memcpy(&b, left + i * kPerVector, sizeof b);
            sums_[i] += a - b;
        }
    }
    void store(T* out) const { std::memcpy(out, sums_, sizeof sums_); }

private:
    using Vector [[gnu::vector_size(16)]] = T;
    static constexpr std::size_t kPerVector = 16 / sizeof(T);
    static constexpr std::size_t kVectors = kLanes / kPerVector;
    Vector sums_[kVectors] = {};
};

// Rows of sums, [-kLanes] .. [nx + kLanes]: with room on both sides for lanes that reach over the edge.
template <class T>
class LaneRows {
public:
    LaneRows(const Grid& grid, int rows)
        : stride_(grid.nx + 1 + 2 * kLanes),
          data_(new T[static_cast<std::size_t>(rows) * static_cast<std::size_t>(stride_)]) {}

    std::ptrdiff_t stride() const { return stride_; }
    T* row(int y) { return data_.get() + y * stride_ + kLanes; }
    const T* row(int y) const { return data_.get() + y * stride_ + kLanes; }

private:
    std::ptrdiff_t stride_;
    std::unique_ptr<T[]> data_;
};

// Running sums of each row: [j] is the sum of its first j pixels.
template <class T>
class RowSums {
public:
    explicit RowSums(Grid grid) : grid_(grid), sums_(grid, grid.ny) {}

    const Grid& grid() const { return grid_; }
    const T* row(int y) const { return sums_.row(y); }

    // pixel(x): what is summed; to(total): how a running sum is kept.
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

    // Sums over the disc around the pixels (y, x0 + lane). Lanes that reach over the edge read the room beside it, and
    // no farther than that.
    void disc(const Disc& disc, int y, int x0, T* out) const {
        LaneSums<T> sum;
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
    Grid grid_;
    LaneRows<T> sums_;
};

// Running sums along rows, down columns, and over both, of which a disc is put together: a square, by its corners, and
// four caps, those above and below by rows, those beside it by columns. T is unsigned: what is too large wraps around,
// and differences are right again.
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

    // As of RowSums, and the very same.
    void disc(const Disc& disc, int y, int x0, T* out) const {
        const int ny = rows_.grid().ny;
        const int nx = rows_.grid().nx;
        const int r = disc.rows();
        const int s = disc.square();
        const int* const widths = disc.widths();
        if (disc.mostly_beyond(rows_.grid(), y)) return rows_.disc(disc, y, x0, out);
        LaneSums<T> sum;
        if (y >= r && y + r < ny && x0 >= r && x0 + r < nx) {
            const T* const top = areas_.row(y - s) + x0;
            const T* const bottom = areas_.row(y + s + 1) + x0;
            sum.add_difference(bottom + s + 1, bottom - s);
            sum.add_difference(top - s, top + s + 1);
            for (int d = s + 1; d <= r; ++d) {
                const int w = widths[d];
                const T* const above = rows_.row(y - d) + x0;
                const T* const below = rows_.row(y + d) + x0;
                sum.add_difference(above + w + 1, above - w);
                sum.add_difference(below + w + 1, below - w);
                const T* const upper = columns_.row(y - w) + x0;
                const T* const lower = columns_.row(y + w + 1) + x0;
                sum.add_difference(lower - d, upper - d);
                sum.add_difference(lower + d, upper + d);
            }
        } else {
            const auto left = [&](int w) { return std::max(x0 - w, -kLanes); };
            const auto right = [&](int w) { return std::min(x0 + w + 1, nx); };
            const T* const top = areas_.row(std::max(y - s, 0));
            const T* const bottom = areas_.row(std::min(y + s + 1, ny));
            sum.add_difference(bottom + right(s), bottom + left(s));
            sum.add_difference(top + left(s), top + right(s));
            for (int d = s + 1; d <= r; ++d) {
                const int w = widths[d];
                for (const int v : {y - d, y + d}) {
                    if (v >= 0 && v < ny) sum.add_difference(rows_.row(v) + right(w), rows_.row(v) + left(w));
                }
                const T* const upper = columns_.row(std::max(y - w, 0));
                const T* const lower = columns_.row(std::min(y + w + 1, ny));
                for (const int x : {x0 - d, x0 + d}) {
                    if (x > -kLanes && x < nx) sum.add_difference(lower + x, upper + x);
                }
            }
        }
        sum.store(out);
    }

private:
    static constexpr int kPollRows = 1 << 14;

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

    // No disc of `radius` around the pixels (y, x0 + lane) holds more.
    double bound(int y, int x0, int radius) const {
        const int top = std::max(y - radius, 0) / kBlock;
        const int bottom = std::min(y + radius, grid_.ny - 1) / kBlock + 1;
        const int left = std::max(x0 - radius, 0) / kBlock;
        const int right = std::min(x0 + kLanes - 1 + radius, grid_.nx - 1) / kBlock + 1;
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

// What a channel is asked for: sums around single pixels, around lanes of them, and estimates of these.
enum class Asked { at_pixels, discs, estimates };

// One image whose disc sums are wanted. Whole numbers are summed exactly: in uint16, modulo 2^16, wherever the
// surroundings show that the sum is smaller than that, since speed here is memory traffic; else in uint32 or float64.
// Other numbers are summed in float64, or, where a close estimate will do, in fixed point.
class Channel {
public:
    Channel() = default;

    // pixel(y, x): a finite value; 0 where it does not count.
    template <class Pixel>
    Channel(Asked asked, Grid grid, int threads, const Control& control, const Pixel& pixel) : present_(true) {
        struct Row {
            double total = 0;
            bool whole = true;
            bool negative = false;
        };
        std::vector<Row> rows(static_cast<std::size_t>(grid.ny));
        parallel_for(rows.size(), threads, control, 0, 0, [&](std::size_t i, const auto&) {
            Row row;
            for (int x = 0; x < grid.nx; ++x) {
                const double value = pixel(static_cast<int>(i), x);
                row.total += std::abs(value);
                row.whole = row.whole && value == std::floor(value);
                row.negative = row.negative || value < 0;
            }
            rows[i] = row;
        });
        double total = 0;
        double largest = 0;
        bool whole = true;
        for (const Row& row : rows) {
            total += row.total;
            largest = std::max(largest, row.total);
            whole = whole && row.whole;
            negative_ = negative_ || row.negative;
        }
        total_ = total;
        exact_ = whole && total < 9e15;
        row_error_ = exact_ ? 0 : largest * std::numeric_limits<double>::epsilon();
        const auto fill = [&]<class Sum>(auto& sums, Sum, const auto& to) {
            parallel_for(rows.size(), threads, control, 0, 0, [&](std::size_t i, const auto&) {
                const int y = static_cast<int>(i);
                sums.template fill_row<Sum>(y, [&](int x) { return pixel(y, x); }, to);
            });
        };
        const auto same = [](auto sum) { return sum; };
        if (whole && !negative_ && total < 4294967295.0) {
            wide_ = std::make_unique<RowSums<std::uint32_t>>(grid);
            fill(*wide_, std::uint32_t{0}, same);
            if (asked == Asked::at_pixels) return;
            RowSums<std::uint16_t> narrow(grid);
            fill(narrow, std::uint32_t{0}, [](std::uint32_t sum) { return static_cast<std::uint16_t>(sum); });
            narrow_ = std::make_unique<AreaSums<std::uint16_t>>(std::move(narrow), threads, control);
            blocks_ = std::make_unique<BlockSums>(grid, *wide_);
            return;
        }
        real_ = std::make_unique<RowSums<double>>(grid);
        fill(*real_, 0.0, same);
        const double scale = 4294967295.0 / total;
        if (asked != Asked::estimates || negative_) return;
        if (!(scale > 0 && scale <= std::numeric_limits<double>::max())) return;  // nor 0 nor beyond doubles
        coarse_unit_ = 1 / scale;
        RowSums<std::uint32_t> coarse(grid);
        fill(coarse, 0.0, [=](double sum) { return static_cast<std::uint32_t>(std::min(sum * scale, 4294967295.0)); });
        coarse_ = std::make_unique<AreaSums<std::uint32_t>>(std::move(coarse), threads, control);
    }

    bool present() const { return present_; }
    bool exact() const { return exact_; }
    bool negative() const { return negative_; }
    double total() const { return total_; }  // of absolute values, not to the last digit

    [[gnu::noinline]] void disc(const Disc& disc, int y, int x0, Lanes& out) const {
        if (narrow_ && blocks_->bound(y, x0, disc.rows()) < 65536) {
            sum(*narrow_, disc, y, x0, out);
        } else if (wide_) {
            sum(*wide_, disc, y, x0, out);
        } else if (real_) {
            real_->disc(disc, y, x0, out.data());
        } else {
            out.fill(0);
        }
    }

    // The same to within `estimate_error`; the very same unless `estimated()`.
    [[gnu::noinline]] void estimate(const Disc& disc, int y, int x0, Lanes& out) const {
        if (!coarse_) return this->disc(disc, y, x0, out);
        sum(*coarse_, disc, y, x0, out);
        for (double& value : out) value *= coarse_unit_;
    }
    bool estimated() const { return coarse_ != nullptr; }
    double estimate_error(const Disc& disc) const { return (2.0 * disc.rows() + 1.0) * coarse_unit_; }

    double disc_at(const Disc& disc, int y, int x) const {
        return wide_ ? wide_->disc_at(disc, y, x) : real_ ? real_->disc_at(disc, y, x) : 0;
    }

    // How far a disc's sum may be from what contbin's own additions give: the rounding of ours and of theirs.
    double error(const Disc& disc, double npix, double magnitude) const {
        if (exact_) return 0;
        constexpr double unit = std::numeric_limits<double>::epsilon() / 2;
        return 4.0 * (2.0 * disc.rows() + 1.0) * row_error_ + (npix + 8.0 * disc.rows() + 8.0) * unit * magnitude;
    }

private:
    template <template <class> class Sums, class T>
    static void sum(const Sums<T>& sums, const Disc& disc, int y, int x0, Lanes& out) {
        T sum[kLanes];
        sums.disc(disc, y, x0, sum);
        for (std::size_t lane = 0; lane < kLanes; ++lane) out[lane] = sum[lane];
    }

    bool present_ = false;
    bool exact_ = true;
    bool negative_ = false;
    double total_ = 0;
    double row_error_ = 0;
    double coarse_unit_ = 0;
    std::unique_ptr<BlockSums> blocks_;
    std::unique_ptr<AreaSums<std::uint16_t>> narrow_;
    std::unique_ptr<RowSums<std::uint32_t>> wide_;
    std::unique_ptr<RowSums<double>> real_;
    std::unique_ptr<AreaSums<std::uint32_t>> coarse_;
};

// Which pixels count, and how many of them a disc holds.
class Pixels {
public:
    Pixels(Grid grid, const std::uint8_t* use, int threads, const Control& control) : grid_(grid), use_(use) {
        if (std::find(use, use + grid.size(), 0) == use + grid.size()) return;
        excluded_ = Channel(Asked::discs, grid, threads, control,
                            [=](int y, int x) { return use[grid.at(y, x)] == 0 ? 1.0 : 0.0; });
        blocks_x_ = (grid.nx - 1) / kBlock + 1;
        blocks_.assign(static_cast<std::size_t>((grid.ny - 1) / kBlock + 1) * static_cast<std::size_t>(blocks_x_), 0);
        for (int y = 0; y < grid.ny; ++y) {
            for (int x = 0; x < grid.nx; ++x) {
                if (use[grid.at(y, x)] == 0) block(y / kBlock, x / kBlock) = 1;
            }
        }
    }

    bool used(int y, int x) const { return use_[grid_.at(y, x)] != 0; }

    // Used pixels in the discs around (y, x0 + lane).
    void count(const Disc& disc, int y, int x0, Lanes& out) const {
        const int r = disc.rows();
        const bool inside = y >= r && y + r < grid_.ny && x0 >= r && x0 + kLanes - 1 + r < grid_.nx;
        if (inside) {
            out.fill(disc.area());
        } else {
            disc.clipped_areas(grid_, y, x0, out);
        }
        if (!any_excluded(y, x0, r)) return;
        Lanes excluded;
        excluded_.disc(disc, y, x0, excluded);
        for (std::size_t lane = 0; lane < kLanes; ++lane) out[lane] -= excluded[lane];
    }

private:
    static constexpr int kBlock = 32;

    std::uint8_t& block(int by, int bx) { return blocks_[static_cast<std::size_t>(by * blocks_x_ + bx)]; }

    bool any_excluded(int y, int x0, int r) const {
        if (blocks_.empty()) return false;
        const int first_x = std::max(x0 - r, 0) / kBlock;
        const int last_x = std::min(x0 + kLanes - 1 + r, grid_.nx - 1) / kBlock;
        for (int by = std::max(y - r, 0) / kBlock; by <= std::min(y + r, grid_.ny - 1) / kBlock; ++by) {
            const std::uint8_t* const row = blocks_.data() + static_cast<std::ptrdiff_t>(by) * blocks_x_;
            if (std::find(row + first_x, row + last_x + 1, 1) != row + last_x + 1) return true;
        }
        return false;
    }

    Grid grid_;
    const std::uint8_t* use_;
    Channel excluded_;
    int blocks_x_ = 0;
    std::vector<std::uint8_t> blocks_;
};

// Calls visit(y, x) for the pixels of the disc of an integer radius in the order in which contbin adds them: ring
// after ring, in a ring row after row, both ascending.
template <class Visit>
void walk_rings(const Grid& grid, int y0, int x0, int radius, const Visit& visit) {
    Disc inner, outer;
    for (int ring = 0; ring <= radius; ++ring) {
        outer.set_radius(ring);
        for (int dy = std::max(-ring, -y0); dy <= std::min(ring, grid.ny - 1 - y0); ++dy) {
            const int w = outer.width(dy);
            const int hole = ring > 0 && std::abs(dy) < ring ? inner.width(dy) : -1;
            const auto span = [&](int from, int to) {
                for (int x = std::max(x0 + from, 0); x <= std::min(x0 + to, grid.nx - 1); ++x) visit(y0 + dy, x);
            };
            if (hole < 0) {
                span(-w, w);
            } else {
                span(-w, -hole - 1);
                span(hole + 1, w);
            }
        }
        std::swap(inner, outer);
    }
}

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

}  // namespace chandra_bin::detail
