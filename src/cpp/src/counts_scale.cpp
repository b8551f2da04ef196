#include "chandra_bin/counts_scale.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "channel.hpp"

namespace chandra_bin {
namespace {

using namespace detail;

constexpr int kCheckEvery = 32;     // pixels between two looks at whether to stop,
constexpr double kLargeArea = 1e5;  // or one, where each pixel is the mean of so many
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Channel summed(const Grid& grid, const float* image, const std::uint8_t* use, int threads, const Control& control) {
    return Channel(Asked::at_pixels, grid, threads, control, [=](int y, int x) {
        const std::size_t i = grid.at(y, x);
        return use[i] == 1 ? double{image[i]} : 0.0;
    });
}

// The first r^2 that reaches, by bounds over ranges: no disc between `low` and `high` has more counts than the one or less
// background than the other, so a range is halved only when it might reach. Without background that is plain bisection.
class ScaleSearch {
public:
    ScaleSearch(const Grid& grid, const Channel& counts, const Channel& background, double sn)
        : counts_(counts), background_(background), sn_(sn), largest_(limit_of(grid)) {}

    // The r^2 of a disc that covers the image from any pixel.
    static std::int64_t limit_of(const Grid& grid) {
        return std::int64_t{grid.nx - 1} * (grid.nx - 1) + std::int64_t{grid.ny - 1} * (grid.ny - 1);
    }

    // -1 when no disc reaches. `guess` is a neighbour's answer or negative; it does not change the answer.
    std::int64_t first(int y, int x, std::int64_t guess) {
        y_ = y;
        x_ = x;
        Sums low{-1, 0, 0};
        Sums high = sums(guess < 0 ? 1 : std::min(guess, largest_));
        for (;;) {
            const std::int64_t found = first_between(low, high);
            if (found >= 0 || high.limit == largest_) return found;
            low = high;
            high = sums(std::min(2 * high.limit + 8, largest_));
        }
    }

private:
    struct Sums {
        std::int64_t limit;
        double counts;
        double background;
    };

    Sums sums(std::int64_t limit) {
        disc_.set_limit(limit);
        return {limit, counts_.disc_at(disc_, y_, x_), background_.disc_at(disc_, y_, x_)};
    }

    bool reaches(double most, double least_background, double least) const {
        if (!background_.present()) return std::sqrt(most) >= sn_;
        if (least <= 0) return most > 0 && most > least_background;
        return (most - least_background) / std::sqrt(least) >= sn_ * (least < most ? 1 - 1e-12 : 1);
    }

    std::int64_t first_between(const Sums& low, const Sums& high) {
        if (high.limit == low.limit + 1) {
            const bool reached = high.counts > 0 && reaches(high.counts, high.background, high.counts);
            return reached ? high.limit : -1;
        }
        if (!reaches(high.counts, low.background, low.counts)) return -1;
        const Sums middle = sums((low.limit + high.limit) / 2);
        const std::int64_t found = first_between(low, middle);
        return found >= 0 ? found : first_between(middle, high);
    }

    const Channel& counts_;
    const Channel& background_;
    double sn_;
    std::int64_t largest_;
    Disc disc_;
    int y_ = 0;
    int x_ = 0;
};

}  // namespace

void counts_scale(std::size_t ny, std::size_t nx, const float* counts, const float* background, const std::uint8_t* use,
                  double sn, int threads, const Control& control, std::int32_t* scale) {
    check_sn(sn);
    const Grid grid = make_grid(ny, nx);
    if (ScaleSearch::limit_of(grid) > std::numeric_limits<std::int32_t>::max()) {
        throw std::invalid_argument("the image is too large for its r^2 to fit int32");
    }
    const Channel foreground = summed(grid, counts, use, threads, control);
    const Channel behind = background != nullptr ? summed(grid, background, use, threads, control) : Channel();
    if (foreground.negative() || behind.negative()) throw std::invalid_argument("counts must not be negative");
    parallel_for(ny, threads, control, 0, 1, [&](std::size_t row, const auto& check) {
        const int y = static_cast<int>(row);
        ScaleSearch search(grid, foreground, behind, sn);
        std::int64_t guess = -1;
        for (int x = 0; x < grid.nx; ++x) {
            const std::size_t i = grid.at(y, x);
            if (x % kCheckEvery == 0) check();
            scale[i] = -1;
            if (use[i] == 0) continue;
            scale[i] = static_cast<std::int32_t>(search.first(y, x, guess));
            guess = scale[i];
        }
    });
}

void apply_scale(std::size_t ny, std::size_t nx, const float* image, const std::int32_t* scale, const std::uint8_t* use,
                 bool gaussian, int threads, const Control& control, float* applied) {
    const Grid grid = make_grid(ny, nx);
    const auto value_at = [=](std::size_t i) { return use[i] == 1 ? double{image[i]} : 0.0; };
    parallel_for(ny, threads, control, 0, 1, [&](std::size_t row, const auto& check) {
        const int y = static_cast<int>(row);
        Disc disc;
        std::vector<double> weights;
        std::int64_t weights_of = -1;
        for (int x = 0; x < grid.nx; ++x) {
            const std::size_t i = grid.at(y, x);
            applied[i] = kNan;
            if (scale[i] < 0) continue;
            if (x % kCheckEvery == 0 || disc.area() > kLargeArea) check();
            if (scale[i] != weights_of) {
                weights_of = scale[i];
                const double sigma = std::max(1.0, std::sqrt(static_cast<double>(scale[i])));
                const auto reach = static_cast<std::int64_t>(4 * sigma);
                const std::int64_t limit = gaussian ? reach * reach : scale[i];
                disc.set_limit(std::min(limit, ScaleSearch::limit_of(grid)));  // no more than covers the image
                weights.assign(static_cast<std::size_t>(disc.rows()) + 1, 1.0);
                for (std::size_t d = 0; gaussian && d < weights.size(); ++d) {
                    weights[d] = std::exp(-0.5 * static_cast<double>(d) * static_cast<double>(d) / (sigma * sigma));
                }
            }
            double sum = 0;
            double norm = 0;
            for (int dy = std::max(-disc.rows(), -y); dy <= std::min(disc.rows(), grid.ny - 1 - y); ++dy) {
                const int w = disc.width(dy);
                double row_sum = 0;
                double row_norm = 0;
                for (int u = std::max(x - w, 0); u <= std::min(x + w, grid.nx - 1); ++u) {
                    const std::size_t j = grid.at(y + dy, u);
                    const double weight = use[j] == 1 ? weights[static_cast<std::size_t>(std::abs(u - x))] : 0.0;
                    row_sum += weight * value_at(j);
                    row_norm += weight;
                }
                const double weight = weights[static_cast<std::size_t>(std::abs(dy))];
                sum += weight * row_sum;
                norm += weight * row_norm;
            }
            if (norm > 0) applied[i] = static_cast<float>(sum / norm);
        }
    });
}

}  // namespace chandra_bin
