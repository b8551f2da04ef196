#include "chandra_bin/counts_scale.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

#include "channel.hpp"
#include "strips.hpp"

namespace chandra_bin {
namespace {

using namespace detail;

constexpr int kCheckEvery = 32;     // pixels between two looks at whether to stop,
constexpr double kLargeArea = 1e5;  // or one, where each pixel is the mean of so many
constexpr int kChunkBlocks = 32;    // blocks of a strip that make one piece of work
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

using Shape = LanesInSmallBlock;

// The r^2 of a disc that covers the image from any pixel.
std::int64_t limit_of(const Grid& grid) {
    return std::int64_t{grid.nx - 1} * (grid.nx - 1) + std::int64_t{grid.ny - 1} * (grid.ny - 1);
}

Channel summed(const Grid& grid, const float* image, const std::uint8_t* use, int threads, const Control& control) {
    return Channel(Asked::rings, grid, threads, control, [=](int y, int x) {
        const std::size_t i = grid.at(y, x);
        return use[i] == 1 ? double{image[i]} : 0.0;
    });
}

// Which discs reach sqrt(F) >= sn, or (F - B) / sqrt(F) >= sn.
class ScaleRule {
public:
    ScaleRule(double sn, bool background) : sn_(sn), sn2_(sn * sn), background_(background), least_(sn * sn) {
        constexpr double infinity = std::numeric_limits<double>::infinity();
        while (std::sqrt(std::nextafter(least_, 0.0)) >= sn) least_ = std::nextafter(least_, 0.0);
        while (std::sqrt(least_) < sn) least_ = std::nextafter(least_, infinity);
    }

    bool reached(double counts, double background) const {
        if (!background_) return counts >= least_;
        return counts > 0 && (counts - background) / std::sqrt(counts) >= sn_;
    }

    // The lanes that may reach with no more counts and no less background than that: both terms of
    // sqrt(F) - B / sqrt(F) rise with F. The margin covers the rounding of `reached`.
    Shape::Mask may_reach(const Shape::Lanes& counts, double counts_error, const Shape::Lanes& background,
                          double background_error) const {
        std::array<bool, Shape::lanes> may;
        for (std::size_t lane = 0; lane < Shape::lanes; ++lane) {
            const double most = counts[lane] + counts_error;
            const double net = most - std::max(background[lane] - background_error, 0.0);
            may[lane] = background_ ? net > 0 && net * net >= sn2_ * most * (1 - 1e-12) : most >= least_;
        }
        Shape::Mask mask = 0;
        for (std::size_t lane = 0; lane < Shape::lanes; ++lane) mask |= Shape::Mask{may[lane]} << lane;
        return mask;
    }

private:
    double sn_;
    double sn2_;
    bool background_;
    double least_;  // counts that reach without a background
};

// The first r^2 that reaches. F and B rise with r, so that the sums at two radii bound the S/N at those between them. A
// range of radii that may hold the answer of a lane is halved until it is one ring, whose pixels are added one distance
// after the other.
class ScaleSearch {
public:
    ScaleSearch(const Grid& grid, const Channel& counts, const Channel& background, const Discs& discs,
                const Rings& rings, const ScaleRule& rule)
        : counts_(counts), background_(background), discs_(discs), rings_(rings), rule_(rule),
          max_radius_(static_cast<int>(std::sqrt(static_cast<double>(limit_of(grid)))) + 1) {}

    // Finds the scales of the lanes `wanted` of the block at (y, x0); others are -1.
    const std::array<std::int32_t, Shape::lanes>& search(int y, int x0, Shape::Mask wanted) {
        y_ = y;
        x0_ = x0;
        found_.fill(-1);
        pending_ = wanted;
        if (wanted == 0) return found_;
        std::vector<Sums>& ladder = ladder_;  // of sums that the search begins with, the largest first
        ladder.assign(1, sums(std::clamp(guess_, 0, max_radius_)));
        for (int gap = 1; may_reach({}, ladder.back(), wanted) != 0 && ladder.back().radius > 0; gap *= 2) {
            ladder.push_back(sums(std::max(ladder.back().radius - gap, 0)));
        }
        Sums low;
        for (int gap = 1; pending_ != 0 && low.radius < max_radius_;) {
            Sums high;
            if (!ladder.empty()) {
                high = ladder.back();
                ladder.pop_back();
            } else {
                high = sums(std::min(low.radius + gap, max_radius_));
            }
            const Shape::Mask before = pending_;
            search_between(low, high);
            gap = pending_ == before && ladder.empty() ? 2 * gap : 1;
            low = high;
        }
        guess_by(wanted & ~pending_);
        return found_;
    }

private:
    // Sums over the discs of one radius.
    struct Sums {
        int radius = -1;
        double area = 0;
        Shape::Lanes counts{}, background{};
        double counts_error = 0;
        double background_error = 0;
    };

    Sums sums(int radius) {
        const Disc& disc = discs_.at(radius, scratch_);
        Sums made;
        made.radius = radius;
        made.area = disc.area();
        const auto add_up = [&](const Channel& channel, Shape::Lanes& sum, double& error) {
            channel.estimate<Shape>(disc, y_, x0_, sum);
            error = channel.ring_error(disc, largest_lane(sum));
        };
        add_up(counts_, made.counts, made.counts_error);
        if (background_.present()) add_up(background_, made.background, made.background_error);
        return made;
    }

    Shape::Mask may_reach(const Sums& low, const Sums& high, Shape::Mask lanes) const {
        return lanes & rule_.may_reach(high.counts, high.counts_error, low.background, low.background_error);
    }

    // Radii above `low` and not above `high`.
    void search_between(const Sums& low, const Sums& high) {
        const Shape::Mask lanes = may_reach(low, high, pending_);
        if (lanes == 0) return;
        if (high.radius == low.radius + 1) return search_ring(low, high, lanes);
        const Sums middle = sums(low.radius + (high.radius - low.radius) / 2);
        search_between(low, middle);
        search_between(middle, high);
    }

    void search_ring(const Sums& low, const Sums& high, Shape::Mask lanes) {
        Shape::Lanes counts = low.counts;
        Shape::Lanes background = low.background;
        const double counts_error = high.counts_error + (high.area - low.area) * counts_.pixel_error();
        const double background_error = high.background_error + (high.area - low.area) * background_.pixel_error();
        rings_.with(high.radius, [&](const Ring& ring) {
            ring.for_squares([&](std::int64_t square, std::span<const RingOffset> offsets) {
                counts_.add_ring<Shape>(offsets, high.radius, y_, x0_, counts);
                if (background_.present()) background_.add_ring<Shape>(offsets, high.radius, y_, x0_, background);
                for_lanes(lanes & rule_.may_reach(counts, counts_error, background, background_error),
                          [&](std::size_t lane) {
                              if (!reached(square, lane, counts[lane], background[lane])) return;
                              found_[lane] = static_cast<std::int32_t>(square);
                              lanes &= ~(Shape::Mask{1} << lane);
                              pending_ &= ~(Shape::Mask{1} << lane);
                          });
                return lanes != 0;
            });
        });
    }

    bool reached(std::int64_t square, std::size_t lane, double counts, double background) {
        if (counts_.exact() && background_.exact()) return rule_.reached(counts, background);
        const auto [y, x] = Shape::pixel(y_, x0_, lane);
        scratch_.set_limit(square);
        return rule_.reached(counts_.disc_at(scratch_, y, x), background_.disc_at(scratch_, y, x));
    }

    // The next block of the strip probably begins where this one and the one before it lead to.
    void guess_by(Shape::Mask lanes) {
        if (lanes == 0) return;
        std::int32_t least = std::numeric_limits<std::int32_t>::max();
        for_lanes(lanes, [&](std::size_t lane) { least = std::min(least, found_[lane]); });
        const int radius = static_cast<int>(std::sqrt(static_cast<double>(least)));
        guess_ = radius - 1 + (least_radius_ < 0 ? 0 : std::clamp(radius - least_radius_, -Shape::rows, Shape::rows));
        least_radius_ = radius;
    }

    const Channel& counts_;
    const Channel& background_;
    const Discs& discs_;
    const Rings& rings_;
    const ScaleRule& rule_;
    int max_radius_;
    Disc scratch_;
    std::vector<Sums> ladder_;
    int y_ = 0;
    int x0_ = 0;
    Shape::Mask pending_ = 0;
    std::array<std::int32_t, Shape::lanes> found_{};
    int guess_ = 8;
    int least_radius_ = -1;
};

// The pixels that a scale averages, with their weights.
class ScaledDisc {
public:
    const Disc& disc() const { return disc_; }

    // The disc of `scale`, or the Gaussian of that sigma^2; no more than `largest` covers the image.
    void set(std::int32_t scale, bool gaussian, std::int64_t largest) {
        if (scale == scale_) return;
        scale_ = scale;
        const double sigma = std::max(1.0, std::sqrt(static_cast<double>(scale)));
        const auto reach = static_cast<std::int64_t>(4 * sigma);
        disc_.set_limit(std::min(gaussian ? reach * reach : std::int64_t{scale}, largest));
        weights_.clear();
        for (int d = 0; gaussian && d <= disc_.rows(); ++d)
            weights_.push_back(std::exp(-0.5 * d * d / (sigma * sigma)));
    }

    // The mean around a pixel, added up pixel by pixel; NaN where none is used.
    float add_up(const Grid& grid, const float* image, const std::uint8_t* use, int y, int x) {
        weights_.resize(static_cast<std::size_t>(disc_.rows()) + 1, 1.0);
        double sum = 0;
        double norm = 0;
        for (int dy = std::max(-disc_.rows(), -y); dy <= std::min(disc_.rows(), grid.ny - 1 - y); ++dy) {
            const int w = disc_.width(dy);
            double row_sum = 0;
            double row_norm = 0;
            for (int u = std::max(x - w, 0); u <= std::min(x + w, grid.nx - 1); ++u) {
                const std::size_t j = grid.at(y + dy, u);
                const bool used = use[j] == 1;
                const double weight = used ? weights_[static_cast<std::size_t>(std::abs(u - x))] : 0.0;
                row_sum += weight * (used ? double{image[j]} : 0.0);
                row_norm += weight;
            }
            const double weight = weights_[static_cast<std::size_t>(std::abs(dy))];
            sum += weight * row_sum;
            norm += weight * row_norm;
        }
        return norm > 0 ? static_cast<float>(sum / norm) : kNan;
    }

private:
    std::int32_t scale_ = -1;
    Disc disc_;
    std::vector<double> weights_;
};

// Means over discs by sums over areas, where these leave no doubt about what adding up the pixels gives.
class DiscMeans {
public:
    DiscMeans() = default;
    DiscMeans(const Grid& grid, const float* image, const std::uint8_t* use, int threads, const Control& control) {
        const auto channel = [&](auto at) {
            return Channel(Asked::at_pixels_by_areas, grid, threads, control, [=](int y, int x) {
                const std::size_t i = grid.at(y, x);
                return use[i] == 1 ? at(i) : 0.0;
            });
        };
        used_ = channel([](std::size_t) { return 1.0; });
        above_ = channel([=](std::size_t i) { return std::max(double{image[i]}, 0.0); });
        bool negative = false;
        for (std::size_t i = 0; i < grid.size(); ++i) negative = negative || (use[i] == 1 && image[i] < 0);
        if (negative) below_ = channel([=](std::size_t i) { return std::max(-double{image[i]}, 0.0); });
    }

    std::optional<float> mean(const Disc& disc, int y, int x) const {
        const double norm = used_.disc_by_areas(disc, y, x);
        if (!(norm > 0)) return kNan;
        const double above = above_.disc_by_areas(disc, y, x);
        const double below = below_.disc_by_areas(disc, y, x);
        const double mean = (above - below) / norm;
        if (above_.exact() && below_.exact()) return static_cast<float>(mean);
        // Of the true sum, and as much again for the rounding of its additions one by one and of the division.
        const double magnitude = above + below;
        const double error = above_.error_by_areas(disc, magnitude) + below_.error_by_areas(disc, magnitude);
        if (rounds_apart(mean, 2 * error / norm)) return std::nullopt;
        return static_cast<float>(mean);
    }

private:
    Channel used_;
    Channel above_;  // the positive pixels
    Channel below_;  // the negative ones, negated
};

}  // namespace

void counts_scale(std::size_t ny, std::size_t nx, const float* counts, const float* background, const std::uint8_t* use,
                  double sn, int threads, const Control& control, std::int32_t* scale) {
    check_sn(sn);
    const Grid grid = make_grid(ny, nx);
    if (limit_of(grid) > std::numeric_limits<std::int32_t>::max()) {
        throw std::invalid_argument("the image is too large for its r^2 to fit int32");
    }
    const Channel foreground = summed(grid, counts, use, threads, control);
    const Channel behind = background != nullptr ? summed(grid, background, use, threads, control) : Channel();
    if (foreground.negative() || behind.negative()) throw std::invalid_argument("counts must not be negative");
    std::fill(scale, scale + grid.size(), -1);
    const ScaleRule rule(sn, background != nullptr);
    Shape::Lanes all;
    all.fill(foreground.total());
    if (rule.may_reach(all, 1e-9 * foreground.total(), {}, 0) == 0) return;
    const int max_radius = grid.max_radius() + 1;
    const Discs discs(max_radius);
    const Rings rings(max_radius);
    const int strips = (grid.nx - 1) / Shape::columns + 1;
    const int chunks = (grid.ny - 1) / (kChunkBlocks * Shape::rows) + 1;
    const std::size_t pieces = static_cast<std::size_t>(strips) * static_cast<std::size_t>(chunks);
    parallel_for(pieces, threads, control, 0, 1, [&](std::size_t piece, const auto& check) {
        ScaleSearch search(grid, foreground, behind, discs, rings, rule);
        const int x0 = static_cast<int>(piece) % strips * Shape::columns;
        const int y0 = static_cast<int>(piece) / strips * kChunkBlocks * Shape::rows;
        for (int y = y0; y < std::min(y0 + kChunkBlocks * Shape::rows, grid.ny); y += Shape::rows) {
            check();
            Shape::Mask wanted = 0;
            const auto for_pixels = [&](const auto& visit) {
                for (std::size_t lane = 0; lane < Shape::lanes; ++lane) {
                    const auto [v, x] = Shape::pixel(y, x0, lane);
                    if (v < grid.ny && x < grid.nx) visit(lane, grid.at(v, x));
                }
            };
            for_pixels([&](std::size_t lane, std::size_t i) { wanted |= Shape::Mask{use[i] != 0} << lane; });
            const auto& found = search.search(y, x0, wanted);
            for_pixels([&](std::size_t lane, std::size_t i) { scale[i] = found[lane]; });
        }
    });
}

void apply_scale(std::size_t ny, std::size_t nx, const float* image, const std::int32_t* scale, const std::uint8_t* use,
                 bool gaussian, int threads, const Control& control, float* applied) {
    const Grid grid = make_grid(ny, nx);
    const DiscMeans means = gaussian ? DiscMeans() : DiscMeans(grid, image, use, threads, control);
    parallel_for(ny, threads, control, 0, 1, [&](std::size_t row, const auto& check) {
        const int y = static_cast<int>(row);
        ScaledDisc disc;
        for (int x = 0; x < grid.nx; ++x) {
            const std::size_t i = grid.at(y, x);
            applied[i] = kNan;
            if (scale[i] < 0) continue;
            if (x % kCheckEvery == 0 || disc.disc().area() > kLargeArea) check();
            disc.set(scale[i], gaussian, limit_of(grid));
            std::optional<float> mean;
            if (!gaussian) mean = means.mean(disc.disc(), y, x);
            applied[i] = mean ? *mean : disc.add_up(grid, image, use, y, x);
        }
    });
}

}  // namespace chandra_bin
