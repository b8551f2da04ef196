#include "chandra_bin/smooth.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "chandra_bin/noise.hpp"
#include "signal_search.hpp"
#include "strips.hpp"
#include "weight_search.hpp"

namespace chandra_bin {
namespace {

using namespace detail;

constexpr double kExactSquares = 1 << 26;  // the squares of whole numbers below it are exact

// The least float64 c with c^2 / g(c) >= sn^2: without background (S/N)^2 rises with the counts alone.
double counts_for_sn(double sn2) {
    const auto reaches = [=](double counts) { return counts * counts / gehrels_variance(counts) >= sn2; };
    double below = 0;
    double above = 1;
    while (!reaches(above)) above *= 2;
    for (;;) {
        const double middle = below + (above - below) / 2;
        if (middle <= below || middle >= above) return above;
        (reaches(middle) ? above : below) = middle;
    }
}

// The answer where even the whole image falls short: the mean of it all, everywhere.
template <class At>
bool fill_with_mean(const Grid& grid, const Pixels& pixels, double threshold, const At& weight_at, const At& value_at,
                    float outside, float* out) {
    double weight = 0;
    double value = 0;
    double npix = 0;
    for (int y = 0; y < grid.ny; ++y) {
        for (int x = 0; x < grid.nx; ++x) {
            if (!pixels.used(y, x)) continue;
            weight += weight_at(y, x);
            value += value_at(y, x);
            ++npix;
        }
    }
    const double error = 4 * npix * std::numeric_limits<double>::epsilon() * weight;
    if (weight > 0 && weight + error >= threshold) return false;
    for (int y = 0; y < grid.ny; ++y) {
        for (int x = 0; x < grid.nx; ++x) {
            out[grid.at(y, x)] = pixels.used(y, x) ? static_cast<float>(value / npix) : outside;
        }
    }
    return true;
}

}  // namespace

void smooth_to_weight(std::size_t ny, std::size_t nx, const double* weights, const float* values,
                      const std::uint8_t* use, double threshold, float outside, int threads, const Control& control,
                      float* smoothed) {
    const Grid grid = make_grid(ny, nx);
    check_finite(grid, values);
    const Pixels pixels(grid, use, threads, control);
    const Discs discs(grid.max_radius());
    const auto weight_at = [&](int y, int x) { return weights[grid.at(y, x)]; };
    const auto value_at = [&](int y, int x) { return double{values[grid.at(y, x)]}; };
    const auto used = [&](const auto& at) { return [&](int y, int x) { return pixels.used(y, x) ? at(y, x) : 0.0; }; };
    const Channel weight(Asked::discs, grid, threads, control, used(weight_at));
    if (weight.negative()) throw std::invalid_argument("the weights must not be negative");
    const Channel value(Asked::averages, grid, threads, control, used(value_at));
    const WeightSearch search{grid, pixels, discs, weight, &value, nullptr, threshold, grid.max_radius()};
    for_strips(grid, threads, control, [&](int x0, int first, int last) {
        search.strip(x0, first, last, weight_at, value_at, outside, smoothed);
    });
}

void smooth(const Images& images, double sn, int threads, const Control& control, float* smoothed) {
    check_sn(sn);
    const Grid grid = make_grid(images.ny, images.nx);
    for (const float* image : {images.counts, images.background, images.ratio, images.noise}) check_finite(grid, image);
    const Pixels pixels(grid, images.use, threads, control);
    const Discs discs(grid.max_radius());
    if (images.background == nullptr && images.noise == nullptr) {
        const auto counts_at = [&](int y, int x) { return double{images.counts[grid.at(y, x)]}; };
        const Channel counts(Asked::discs, grid, threads, control,
                             [&](int y, int x) { return pixels.used(y, x) ? counts_at(y, x) : 0.0; });
        if (!counts.negative()) {
            const double threshold = counts_for_sn(sn * sn);
            const bool may_fall_short = counts.total() < 2 * threshold;  // whatever was rounded
            if (may_fall_short && fill_with_mean(grid, pixels, threshold, counts_at, counts_at, 0.0F, smoothed)) return;
            const WeightSearch search{grid, pixels, discs, counts, nullptr, nullptr, threshold, grid.max_radius()};
            for_strips(grid, threads, control, [&](int x0, int first, int last) {
                search.strip(x0, first, last, counts_at, counts_at, 0.0F, smoothed);
            });
            return;
        }
    }
    const Variance variance = images.noise != nullptr ? Variance::map : Variance::gehrels;
    const SignalRule rule{sn, variance, nullptr, 0.0F, grid.max_radius()};
    smooth_to_signal(images, pixels, discs, rule, threads, control, smoothed);
}

void smooth_exposure(std::size_t ny, std::size_t nx, const float* counts, const float* background,
                     const float* exposure, const std::uint8_t* use, double exposure_time,
                     double background_exposure_time, double sn, long max_radius, int threads, const Control& control,
                     float* smoothed) {
    check_sn(sn);
    const Grid grid = make_grid(ny, nx);
    for (const float* image : {counts, background, exposure}) check_finite(grid, image);
    const Pixels pixels(grid, use, threads, control);
    const int largest =
        max_radius < 0 ? grid.max_radius() : static_cast<int>(std::min<long>(max_radius, grid.max_radius()));
    const Discs discs(largest);
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    if (background == nullptr) {
        const auto counts_at = [&](int y, int x) { return double{counts[grid.at(y, x)]}; };
        const auto used = [&](int y, int x) { return pixels.used(y, x) ? counts_at(y, x) : 0.0; };
        const Channel weights(Asked::discs, grid, threads, control, used);
        if (weights.exact() && !weights.negative() && weights.total() < kExactSquares) {  // then F^2 / F is F
            const Channel divisor(Asked::averages, grid, threads, control, [&](int y, int x) {
                return pixels.used(y, x) ? std::max(double{exposure[grid.at(y, x)]}, 0.0) : 0.0;
            });
            const WeightSearch search{grid, pixels, discs, weights, nullptr, &divisor, sn * sn, largest};
            for_strips(grid, threads, control, [&](int x0, int first, int last) {
                search.strip(x0, first, last, counts_at, counts_at, nan, smoothed);
            });
            return;
        }
    }
    Images images;
    images.ny = ny;
    images.nx = nx;
    images.counts = counts;
    images.background = background;
    images.constant_ratio = exposure_time / background_exposure_time;
    images.use = use;
    // Divided by t^2 on both sides, contbin's expression is (F - B e)^2 / (F + B e^2) with e = t / tb.
    const SignalRule rule{sn, Variance::plain, exposure, nan, largest};
    smooth_to_signal(images, pixels, discs, rule, threads, control, smoothed);
}

}  // namespace chandra_bin
