// The images whose sums over discs a smoother needs, each kept in the form that is read fastest. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "block_sums.hpp"
#include "chandra_bin/control.hpp"
#include "chandra_bin/parallel.hpp"
#include "disc_sums.hpp"
#include "real_area_sums.hpp"
#include "ring_sums.hpp"

namespace chandra_bin::detail {

// What a channel is asked for: sums around single pixels, by rows or by areas; around lanes of them, estimates of these,
// the same and the pixels of rings; and sums over discs that differ from lane to lane.
enum class Asked { at_pixels, at_pixels_by_areas, discs, estimates, rings, averages };

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
            double brightest = 0;
            bool whole = true;
            bool negative = false;
        };
        std::vector<Row> rows(static_cast<std::size_t>(grid.ny));
        parallel_for(rows.size(), threads, control, 0, 0, [&](std::size_t i, const auto&) {
            Row row;
            for (int x = 0; x < grid.nx; ++x) {
                const double value = pixel(static_cast<int>(i), x);
                row.total += std::abs(value);
                row.brightest = std::max(row.brightest, value);
                row.whole = row.whole && value == std::floor(value);
                row.negative = row.negative || value < 0;
            }
            rows[i] = row;
        });
        double total = 0;
        double largest = 0;
        double brightest = 0;
        bool whole = true;
        for (const Row& row : rows) {
            total += row.total;
            largest = std::max(largest, row.total);
            brightest = std::max(brightest, row.brightest);
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
        if (asked == Asked::rings && !negative_) {
            const bool as_they_are = exact_ && brightest <= PixelPairs::kLargest;
            const double unit = as_they_are ? 1 : brightest / PixelPairs::kLargest;
            const double mean = total / static_cast<double>(grid.size());
            if (as_they_are || (!exact_ && unit > 0 && mean >= kPairUnits * unit)) {
                pairs_ = std::make_unique<PixelPairs>(grid, threads, control, unit, pixel);
            }
        }
        if (whole && !negative_ && total < 4294967295.0) {
            wide_ = std::make_unique<RowSums<std::uint32_t>>(grid);
            fill(*wide_, std::uint32_t{0}, same);
            if (asked == Asked::at_pixels) return;
            if (asked == Asked::at_pixels_by_areas) {
                wide_areas_ = std::make_unique<AreaSums<std::uint32_t>>(std::move(*wide_), threads, control);
                wide_.reset();
                return;
            }
            RowSums<std::uint16_t> narrow(grid);
            fill(narrow, std::uint32_t{0}, [](std::uint32_t sum) { return static_cast<std::uint16_t>(sum); });
            narrow_ = std::make_unique<AreaSums<std::uint16_t>>(std::move(narrow), threads, control);
            blocks_ = std::make_unique<BlockSums>(grid, *wide_);
            return;
        }
        real_ = std::make_unique<RowSums<double>>(grid);
        fill(*real_, 0.0, same);
        if (asked == Asked::averages || asked == Asked::at_pixels_by_areas)
            real_areas_ = std::make_unique<RealAreaSums>(*real_, total, threads, control, pixel);
        const double scale = 4294967295.0 / total;
        // Rings take the sums of whole numbers as exact.
        if ((asked != Asked::estimates && (asked != Asked::rings || exact_)) || negative_) return;
        if (!(scale > 0 && scale <= std::numeric_limits<double>::max())) return;  // nor 0 nor beyond doubles
        coarse_unit_ = 1 / scale;
        RowSums<std::uint32_t> coarse(grid);
        fill(coarse, 0.0, [=](double sum) { return static_cast<std::uint32_t>(std::min(sum * scale, 4294967295.0)); });
        coarse_ = std::make_unique<BlockAreaSums<std::uint32_t>>(std::move(coarse), threads, control);
    }

    bool present() const { return present_; }
    bool exact() const { return exact_; }
    bool negative() const { return negative_; }
    double total() const { return total_; }  // of absolute values, not to the last digit

    template <class Shape = LanesInRow>
    [[gnu::noinline]] void disc(const Disc& disc, int y, int x0, typename Shape::Lanes& out) const {
        if (narrow_ && blocks_->bound<Shape>(y, x0, disc.rows()) < 65536) {
            by_areas<Shape>(*narrow_, disc, y, x0, out);
        } else if (wide_) {
            by_rows<Shape>(*wide_, disc, y, x0, out);
        } else if (real_) {
            by_rows<Shape>(*real_, disc, y, x0, out);
        } else {
            out.fill(0);
        }
    }

    // Adds the pixels at `offsets` of a ring of `radius` around the block at (y, x0), each to within `pixel_error`.
    template <class Shape>
    void add_ring(std::span<const RingOffset> offsets, int radius, int y, int x0, typename Shape::Lanes& out) const {
        if (pairs_) return pairs_->add_ring<Shape>(offsets, radius, y, x0, out);
        if (wide_) detail::add_ring<Shape>(*wide_, offsets, radius, y, x0, out);
        if (real_) detail::add_ring<Shape>(*real_, offsets, radius, y, x0, out);
    }
    double pixel_error() const { return pairs_ && !exact_ ? 0.50001 * pairs_->unit() : 0; }

    // How far the sum over a disc by `estimate`, or by `estimate` and `add_ring`, may be from that by `disc_at`. Errors of
    // the pixels of the ring come on top.
    double ring_error(const Disc& disc, double magnitude) const {
        if (exact_) return 0;
        return (estimated() ? estimate_error(disc) : 0) + 3 * error(disc, disc.area(), magnitude);
    }

    // Sums over the disc of radius[lane] around each of `lanes`, as by `disc`.
    template <class Shape = LanesInRow>
    void disc_each(const Discs& discs, const typename Shape::Radii& radius, int y, int x0, typename Shape::Mask lanes,
                   typename Shape::Lanes& out) const {
        if (real_) return by_rows_each<Shape>(*real_, discs, radius, y, x0, lanes, out);
        if (wide_ && !narrow_) return by_rows_each<Shape>(*wide_, discs, radius, y, x0, lanes, out);
        Disc scratch;
        typename Shape::Lanes sums;
        for_radii(lanes, radius, [&](int r, typename Shape::Mask same) {
            disc<Shape>(discs.at(r, scratch), y, x0, sums);
            for_lanes(same, [&](std::size_t lane) { out[lane] = sums[lane]; });
        });
    }

    // The same to within `area_error`.
    void disc_each_by_areas(const Discs& discs, const LanesInRow::Radii& radius, int y, int x0, LanesInRow::Mask lanes,
                            LanesInRow::Lanes& out) const {
        if (!real_areas_) return disc_each(discs, radius, y, x0, lanes, out);
        Disc scratch;
        for_lanes(lanes, [&](std::size_t lane) {
            out[lane] = real_areas_->disc_at(discs.at(radius[lane], scratch), y, x0 + static_cast<int>(lane));
        });
    }
    // The sum around one pixel, to within `error_by_areas` of the true one.
    double disc_by_areas(const Disc& disc, int y, int x) const {
        if (!wide_areas_) return real_areas_ ? real_areas_->disc_at(disc, y, x) : 0;
        std::uint32_t sum;
        wide_areas_->disc<SinglePixel>(disc, y, x, &sum);
        return sum;
    }
    double error_by_areas(const Disc& disc, double magnitude) const {
        return exact_ ? 0 : real_areas_->error(disc) + 8 * (2.0 * disc.rows() + 2) * kRounding * magnitude;
    }

    double area_error(const Disc& disc, double sum) const {
        return real_areas_ ? real_areas_->error(disc) + error(disc, disc.area(), std::abs(sum)) : 0;
    }

    // Sums around a block to within `estimate_error`; the very same as by `disc` unless `estimated()`.
    template <class Shape>
    [[gnu::noinline]] void estimate(const Disc& disc, int y, int x0, typename Shape::Lanes& out) const {
        if (!coarse_) return this->disc<Shape>(disc, y, x0, out);
        std::uint32_t sum[Shape::lanes];
        coarse_->disc<Shape>(disc, y, x0, sum);
        for (std::size_t lane = 0; lane < Shape::lanes; ++lane) out[lane] = sum[lane] * coarse_unit_;
    }
    bool estimated() const { return coarse_ != nullptr; }
    double estimate_error(const Disc& disc) const { return (2.0 * disc.rows() + 1.0) * coarse_unit_; }

    double disc_at(const Disc& disc, int y, int x) const {
        return wide_ ? wide_->disc_at(disc, y, x) : real_ ? real_->disc_at(disc, y, x) : 0;
    }

    // How far a disc's sum may be from what contbin's own additions give: the rounding of ours and of theirs.
    double error(const Disc& disc, double npix, double magnitude) const {
        if (exact_) return 0;
        return 4.0 * (2.0 * disc.rows() + 1.0) * row_error_ + (npix + 8.0 * disc.rows() + 8.0) * kRounding * magnitude;
    }

private:
    static constexpr double kRounding = std::numeric_limits<double>::epsilon() / 2;
    static constexpr double kPairUnits = 8;      // the mean pixel, in the unit of pairs that are not exact, is not less
    static constexpr std::size_t kTogether = 4;  // additions of doubles wait for each other: so many chains hide it

    template <class Shape, class T>
    static void by_areas(const AreaSums<T>& sums, const Disc& disc, int y, int x0, typename Shape::Lanes& out) {
        T sum[Shape::lanes];
        sums.template disc<Shape>(disc, y, x0, sum);
        std::copy(sum, sum + Shape::lanes, out.begin());
    }

    template <class Shape, class T>
    static void by_rows(const RowSums<T>& sums, const Disc& disc, int y, int x0, typename Shape::Lanes& out) {
        T sum[Shape::lanes];
        for (int i = 0; i < Shape::rows; ++i) {
            sums.template disc<Shape::columns>(disc, std::min(y + i, sums.grid().ny - 1), x0, sum + i * Shape::columns);
        }
        std::copy(sum, sum + Shape::lanes, out.begin());
    }

    template <class Shape, class T>
    static void by_rows_each(const RowSums<T>& rows, const Discs& discs, const typename Shape::Radii& radius, int y,
                             int x0, typename Shape::Mask lanes, typename Shape::Lanes& out) {
        if (std::has_single_bit(lanes)) return by_rows_few<Shape, 1>(rows, discs, radius, y, x0, lanes, out);
        by_rows_few<Shape, kTogether>(rows, discs, radius, y, x0, lanes, out);
    }

    // `count` lanes at a time.
    template <class Shape, std::size_t count, class T>
    static void by_rows_few(const RowSums<T>& rows, const Discs& discs, const typename Shape::Radii& radius, int y,
                            int x0, typename Shape::Mask lanes, typename Shape::Lanes& out) {
        Disc scratch;
        while (lanes != 0) {
            const auto first = static_cast<std::size_t>(std::countr_zero(lanes));
            std::array<std::size_t, count> lane;
            std::array<typename RowSums<T>::Around, count> around;
            for (std::size_t k = 0; k < count; ++k) {
                lane[k] = lanes != 0 ? static_cast<std::size_t>(std::countr_zero(lanes)) : first;
                // `scratch` has room for one large disc.
                if (k > 0 && std::max(radius[lane[k]], radius[first]) > kMadeRadius) lane[k] = first;
                lanes &= ~(typename Shape::Mask{1} << lane[k]);
                const auto [v, x] = Shape::pixel(y, x0, lane[k]);
                around[k] = {&discs.at(radius[lane[k]], scratch), v, x};
            }
            std::array<T, count> sums;
            rows.disc_each(around, sums.data());
            for (std::size_t k = 0; k < count; ++k) out[lane[k]] = sums[k];
        }
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
    std::unique_ptr<AreaSums<std::uint32_t>> wide_areas_;
    std::unique_ptr<RowSums<double>> real_;
    std::unique_ptr<RealAreaSums> real_areas_;
    std::unique_ptr<BlockAreaSums<std::uint32_t>> coarse_;
    std::unique_ptr<PixelPairs> pairs_;
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

    // Used pixels in the discs around `lanes`.
    template <class Shape = LanesInRow>
    void count(const Disc& disc, int y, int x0, typename Shape::Mask lanes, typename Shape::Lanes& out) const {
        const int r = disc.rows();
        if (y >= r && y + Shape::rows - 1 + r < grid_.ny && x0 >= r && x0 + Shape::columns - 1 + r < grid_.nx) {
            out.fill(disc.area());
        } else if (Shape::rows == 1 && std::popcount(lanes) > 2) {
            disc.clipped_areas<kLanes>(grid_, y, x0, out.data());
        } else {
            for_lanes(lanes, [&](std::size_t lane) {
                const auto [v, x] = Shape::pixel(y, x0, lane);
                // Lanes beyond the last row hold no pixel, and have what its pixels have.
                disc.clipped_areas<1>(grid_, std::min(v, grid_.ny - 1), x, &out[lane]);
            });
        }
        if (!any_excluded<Shape>(y, x0, r)) return;
        typename Shape::Lanes excluded;
        excluded_.disc<Shape>(disc, y, x0, excluded);
        for (std::size_t lane = 0; lane < Shape::lanes; ++lane) out[lane] -= excluded[lane];
    }

private:
    static constexpr int kBlock = 32;

    std::uint8_t& block(int by, int bx) { return blocks_[static_cast<std::size_t>(by * blocks_x_ + bx)]; }

    template <class Shape>
    bool any_excluded(int y, int x0, int r) const {
        if (blocks_.empty()) return false;
        const int first_x = std::max(x0 - r, 0) / kBlock;
        const int last_x = std::min(x0 + Shape::columns - 1 + r, grid_.nx - 1) / kBlock;
        const int last_y = std::min(y + Shape::rows - 1 + r, grid_.ny - 1) / kBlock;
        for (int by = std::max(y - r, 0) / kBlock; by <= last_y; ++by) {
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

}  // namespace chandra_bin::detail
