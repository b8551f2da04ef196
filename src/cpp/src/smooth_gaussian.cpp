#include "chandra_bin/smooth_gaussian.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "chandra_bin/parallel.hpp"
#include "grid.hpp"

namespace chandra_bin {
namespace {

using namespace detail;

constexpr int kTile = 32;
constexpr double kStep = 0.25;

// The weighted sums of one tile, made anew for each sigma: first along the rows, then along the columns.
class Tile {
public:
    Tile(const Grid& grid, const float* flux, const float* exposure, const std::uint8_t* use, int y0, int x0)
        : grid_(grid), images_{flux, exposure}, use_(use), y0_(y0), x0_(x0), y1_(std::min(y0 + kTile, grid.ny)),
          x1_(std::min(x0 + kTile, grid.nx)) {}

    template <class Check>
    void smooth(double sn2, float* out, const Check& check) {
        int waiting = 0;
        for_pixels([&](std::size_t i, std::size_t) {
            out[i] = std::numeric_limits<float>::quiet_NaN();
            waiting += use_[i] != 0;
        });
        std::vector<std::uint8_t> done(kTile * kTile, 0);
        for (double sigma = kStep; waiting > 0; sigma += kStep) {
            const int half = static_cast<int>(std::ceil(3 * sigma));
            check();
            add_up(sigma, half);
            const double area = std::numbers::pi * (2 * sigma) * (2 * sigma);
            for_pixels([&](std::size_t i, std::size_t k) {
                if (use_[i] == 0 || done[k] != 0) return;
                const double mean = sums_[1][k] / sums_[0][k];
                if (!(mean * (sums_[2][k] / sums_[0][k]) * area >= sn2)) return;
                out[i] = static_cast<float>(mean);
                done[k] = 1;
                --waiting;
            });
            if (half > std::max(grid_.ny, grid_.nx)) break;
        }
    }

private:
    template <class Visit>  // visit(index in the image, index in the tile)
    void for_pixels(const Visit& visit) const {
        for (int y = y0_; y < y1_; ++y) {
            for (int x = x0_; x < x1_; ++x) {
                visit(grid_.at(y, x), static_cast<std::size_t>((y - y0_) * kTile + x - x0_));
            }
        }
    }

    void add_up(double sigma, int half) {
        std::vector<double> weight(static_cast<std::size_t>(half) + 1);
        for (std::size_t d = 0; d < weight.size(); ++d)
            weight[d] = std::exp(-0.5 * static_cast<double>(d) * static_cast<double>(d) / (sigma * sigma));
        for (auto& sum : sums_) sum.fill(0);
        for (int v = std::max(y0_ - half, 0); v < std::min(y1_ + half, grid_.ny); ++v) {
            std::array<std::array<double, kTile>, 3> row{};
            for (int x = x0_; x < x1_; ++x) {
                const auto k = static_cast<std::size_t>(x - x0_);
                for (int u = std::max(x - half, 0); u <= std::min(x + half, grid_.nx - 1); ++u) {
                    const std::size_t i = grid_.at(v, u);
                    if (use_[i] == 0) continue;
                    const double w = weight[static_cast<std::size_t>(std::abs(u - x))];
                    row[0][k] += w;
                    row[1][k] += w * double{images_[0][i]};
                    row[2][k] += w * double{images_[1][i]};
                }
            }
            for (int y = std::max(y0_, v - half); y < std::min(y1_, v + half + 1); ++y) {
                const double w = weight[static_cast<std::size_t>(std::abs(v - y))];
                for (std::size_t which = 0; which < 3; ++which) {
                    double* const sums = sums_[which].data() + static_cast<std::ptrdiff_t>(y - y0_) * kTile;
                    for (std::size_t k = 0; k < kTile; ++k) sums[k] += w * row[which][k];
                }
            }
        }
    }

    Grid grid_;
    std::array<const float*, 2> images_;
    const std::uint8_t* use_;
    int y0_, x0_, y1_, x1_;
    std::array<std::array<double, kTile * kTile>, 3> sums_{};
};

}  // namespace

void smooth_gaussian(std::size_t ny, std::size_t nx, const float* flux, const float* exposure, const std::uint8_t* use,
                     double sn, int threads, const Control& control, float* smoothed) {
    check_sn(sn);
    const Grid grid = make_grid(ny, nx);
    const std::size_t across = (nx - 1) / kTile + 1;
    const std::size_t down = (ny - 1) / kTile + 1;
    parallel_for(across * down, threads, control, 0, 1, [&](std::size_t i, const auto& check) {
        Tile tile(grid, flux, exposure, use, static_cast<int>(i / across) * kTile,
                  static_cast<int>(i % across) * kTile);
        tile.smooth(sn * sn, smoothed, check);
    });
}

}  // namespace chandra_bin
