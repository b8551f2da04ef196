// The smallest disc whose sum of weights reaches a threshold. Private to src/cpp/src.
//
// Weights are not negative, so that sums only rise with the radius. The radius of a neighbour differs by one at most, so it
// is where a search begins.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "strips.hpp"

namespace chandra_bin::detail {

struct WeightSearch {
    using Shape = LanesInRow;

    Grid grid;
    const Pixels& pixels;
    const Discs& discs;
    const Channel& weights;
    const Channel* values;   // null: the weights themselves are averaged
    const Channel* divisor;  // its sum divides that of the weights, which are exact; null: the number of pixels does
    double threshold;
    int max_radius;

    // The same sums in contbin's order, for what hangs on rounding.
    template <class At>
    double add_again(int y, int x, int radius, const At& at) const {
        double sum = 0;
        walk_rings(grid, y, x, radius, [&](int v, int u) {
            if (pixels.used(v, u)) sum += at(v, u);
        });
        return sum;
    }

    template <class WeightAt, class ValueAt>
    void strip(int x0, int first_row, int last_row, const WeightAt& weight_at, const ValueAt& value_at, float outside,
               float* out) const {
        Disc scratch;
        std::optional<int> guess;
        Shape::Lanes sum;

        const auto reached = [&](int y, int radius, Shape::Mask lanes) {
            const Disc& disc = discs.at(radius, scratch);
            weights.disc(disc, y, x0, sum);
            Shape::Mask mask = 0;
            if (weights.exact()) {
                for (std::size_t lane = 0; lane < kLanes; ++lane) {
                    mask |= Shape::Mask{sum[lane] >= threshold && sum[lane] > 0} << lane;
                }
                return mask & lanes;
            }
            for_lanes(lanes, [&](std::size_t lane) {
                double weight = sum[lane];
                const double error = weights.error(disc, disc.area(), weight);
                if (std::abs(weight - threshold) <= error && disc.area() <= kReAddLimit) {
                    weight = add_again(y, x0 + static_cast<int>(lane), radius, weight_at);
                }
                if (weight >= threshold && weight > 0) mask |= Shape::Mask{1} << lane;
            });
            return mask;
        };

        for (int y = first_row; y < last_row; ++y) {
            fill_strip_row(grid, y, x0, kLanes, outside, out);
            const Shape::Mask wanted = used_lanes(grid, pixels, y, x0);
            if (wanted == 0) continue;
            if (!guess) {
                guess = first_guess(wanted & (~wanted + 1), max_radius,
                                    [&](int r, Shape::Mask l) { return reached(y, r, l); });
            }

            First first;
            const Shape::Mask at_guess = reached(y, *guess, wanted);
            first.note(wanted, *guess, sum);
            Shape::Mask above = at_guess;
            for (int r = *guess; above != 0; above = reached(y, r, above)) {
                first.note(above, r, sum);
                if (--r < 0) break;
            }
            Shape::Mask below = wanted & ~at_guess;
            for (int r = *guess + 1; below != 0 && r <= max_radius; ++r) {
                const Shape::Mask mask = reached(y, r, below);
                first.note(r < max_radius ? mask : below, r, sum);  // no disc is larger
                below &= ~mask;
            }
            guess = first.radius[static_cast<std::size_t>(std::countr_zero(wanted))];
            average(y, x0, wanted, first, scratch, value_at, out);
        }
    }

    // The first radius that reaches, a lane each, and the sum of the weights there.
    struct First {
        Shape::Radii radius;
        Shape::Lanes sum;

        void note(Shape::Mask lanes, int r, const Shape::Lanes& sums) {
            for_lanes(lanes, [&](std::size_t lane) {
                radius[lane] = r;
                sum[lane] = sums[lane];
            });
        }
    };

    // Sums by areas suffice where they leave no doubt about the rounded mean; else by rows, and then in contbin's order.
    template <class ValueAt>
    void average(int y, int x0, Shape::Mask wanted, const First& first, Disc& scratch, const ValueAt& value_at,
                 float* out) const {
        const Channel& channel = values != nullptr ? *values : weights;
        Shape::Lanes sum = first.sum;
        if (values != nullptr) values->disc_each_by_areas(discs, first.radius, y, x0, wanted, sum);
        Shape::Lanes per;
        if (divisor != nullptr) divisor->disc_each_by_areas(discs, first.radius, y, x0, wanted, per);
        for_radii(wanted, first.radius, [&](int r, Shape::Mask lanes) {
            const Disc& disc = discs.at(r, scratch);
            if (divisor == nullptr) pixels.count(disc, y, x0, lanes, per);
            for_lanes(lanes, [&](std::size_t lane) {
                const int x = x0 + static_cast<int>(lane);
                if (!is_rounded(disc, sum[lane], per[lane])) {
                    const Shape::Mask alone = Shape::Mask{1} << lane;
                    if (values != nullptr) values->disc_each(discs, first.radius, y, x0, alone, sum);
                    if (divisor != nullptr) divisor->disc_each(discs, first.radius, y, x0, alone, per);
                }
                if (divisor == nullptr) {  // with one the weights are whole numbers, and their sums exact
                    const double error = channel.error(disc, per[lane], std::abs(sum[lane]));
                    if (rounds_apart(sum[lane] / per[lane], error / per[lane]) && per[lane] <= kReAddLimit) {
                        sum[lane] = add_again(y, x, r, value_at);
                    }
                }
                out[grid.at(y, x)] = static_cast<float>(sum[lane] / per[lane]);
            });
        });
    }

    // Whether sums by areas round to the mean of those by rows.
    bool is_rounded(const Disc& disc, double sum, double per) const {
        const double above = values != nullptr ? values->area_error(disc, sum) : 0;
        const double below = divisor != nullptr ? divisor->area_error(disc, per) : 0;
        if (above + below == 0) return true;
        if (per <= below) return false;
        return !rounds_apart(sum / per, (above + below * std::abs(sum / per)) / (per - below));
    }

    // A radius near the answer of one lane, by doubling and halving.
    template <class Reached>
    static int first_guess(Shape::Mask lane, int max_radius, const Reached& reached) {
        int below = -1;
        int above = 0;
        while (above < max_radius && reached(above, lane) == 0) {
            below = above;
            above = std::min(2 * above + 1, max_radius);
        }
        while (above - below > 1) {
            const int middle = (below + above) / 2;
            (reached(middle, lane) != 0 ? above : below) = middle;
        }
        return above;
    }
};

}  // namespace chandra_bin::detail
