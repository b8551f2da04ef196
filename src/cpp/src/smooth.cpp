#include "chandra_bin/smooth.hpp"

#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>
#include <vector>

#include "chandra_bin/noise.hpp"
#include "discs.hpp"

namespace chandra_bin {
namespace {

using namespace detail;

using LaneMask = std::uint32_t;

template <class Visit>  // visit(lane)
void for_lanes(LaneMask mask, const Visit& visit) {
    for (; mask != 0; mask &= mask - 1) visit(static_cast<std::size_t>(std::countr_zero(mask)));
}

LaneMask used_lanes(const Grid& grid, const Pixels& pixels, int y, int x0) {
    LaneMask mask = 0;
    for (int x = x0; x < std::min(x0 + kLanes, grid.nx); ++x) {
        if (pixels.used(y, x)) mask |= LaneMask{1} << (x - x0);
    }
    return mask;
}

void fill_strip_row(const Grid& grid, int y, int x0, float value, float* out) {
    std::fill(out + grid.at(y, x0), out + grid.at(y, std::min(x0 + kLanes, grid.nx)), value);
}

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

// True when rounding to float32 could go either way within the error.
bool rounds_apart(double value, double error) {
    return static_cast<float>(value - error) != static_cast<float>(value + error);
}

// ---------------------------------------------------------------------------------------------------------------
// Sums that only rise with the radius: a neighbour's radius differs by one at most, so it is where a search begins.

struct RisingSearch {
    Grid grid;
    const Pixels& pixels;
    const Discs& discs;
    const Channel& weights;
    const Channel* values;  // null: the weights themselves are averaged
    double threshold;

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
        Lanes sum;

        const auto reached = [&](int y, int radius, LaneMask lanes) {
            const Disc& disc = discs.at(radius, scratch);
            weights.disc(disc, y, x0, sum);
            LaneMask mask = 0;
            if (weights.exact()) {
                for (std::size_t lane = 0; lane < kLanes; ++lane) {
                    mask |= LaneMask{sum[lane] >= threshold && sum[lane] > 0} << lane;
                }
                return mask & lanes;
            }
            for_lanes(lanes, [&](std::size_t lane) {
                double weight = sum[lane];
                const double error = weights.error(disc, disc.area(), weight);
                if (std::abs(weight - threshold) <= error && disc.area() <= kReAddLimit) {
                    weight = add_again(y, x0 + static_cast<int>(lane), radius, weight_at);
                }
                if (weight >= threshold && weight > 0) mask |= LaneMask{1} << lane;
            });
            return mask;
        };

        for (int y = first_row; y < last_row; ++y) {
            fill_strip_row(grid, y, x0, outside, out);
            const LaneMask wanted = used_lanes(grid, pixels, y, x0);
            if (wanted == 0) continue;
            const int max_radius = grid.max_radius();
            if (!guess)
                guess = first_guess(wanted & (~wanted + 1), max_radius,
                                    [&](int r, LaneMask l) { return reached(y, r, l); });

            First first;
            const LaneMask at_guess = reached(y, *guess, wanted);
            first.note(wanted, *guess, sum);
            LaneMask above = at_guess;
            for (int r = *guess; above != 0; above = reached(y, r, above)) {
                first.note(above, r, sum);
                if (--r < 0) break;
            }
            LaneMask below = wanted & ~at_guess;
            for (int r = *guess + 1; below != 0 && r <= max_radius; ++r) {
                const LaneMask mask = reached(y, r, below);
                first.note(r < max_radius ? mask : below, r, sum);  // no disc is larger
                below &= ~mask;
            }
            guess = first.radius[static_cast<std::size_t>(std::countr_zero(wanted))];
            average(y, x0, wanted, first, scratch, value_at, out);
        }
    }

    // The first radius that reaches, a lane each, and the sum of the weights there.
    struct First {
        std::array<int, kLanes> radius;
        Lanes sum;

        void note(LaneMask lanes, int r, const Lanes& sums) {
            for_lanes(lanes, [&](std::size_t lane) {
                radius[lane] = r;
                sum[lane] = sums[lane];
            });
        }
    };

    template <class ValueAt>
    void average(int y, int x0, LaneMask wanted, const First& first, Disc& scratch, const ValueAt& value_at,
                 float* out) const {
        const Channel& channel = values != nullptr ? *values : weights;
        Lanes sum = first.sum;
        Lanes npix;
        while (wanted != 0) {
            const int r = first.radius[static_cast<std::size_t>(std::countr_zero(wanted))];
            LaneMask lanes = 0;
            for_lanes(wanted, [&](std::size_t lane) {
                if (first.radius[lane] == r) lanes |= LaneMask{1} << lane;
            });
            wanted &= ~lanes;
            const Disc& disc = discs.at(r, scratch);
            if (values != nullptr) values->disc(disc, y, x0, sum);
            pixels.count(disc, y, x0, npix);
            for_lanes(lanes, [&](std::size_t lane) {
                const int x = x0 + static_cast<int>(lane);
                const double error = channel.error(disc, npix[lane], std::abs(sum[lane]));
                if (rounds_apart(sum[lane] / npix[lane], error / npix[lane]) && npix[lane] <= kReAddLimit) {
                    sum[lane] = add_again(y, x, r, value_at);
                }
                out[grid.at(y, x)] = static_cast<float>(sum[lane] / npix[lane]);
            });
        }
    }

    // A radius near the answer of one lane, by doubling and halving.
    template <class Reached>
    static int first_guess(LaneMask lane, int max_radius, const Reached& reached) {
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

// ---------------------------------------------------------------------------------------------------------------
// Signal-to-noise with a background or a noise map may rise and fall with the radius, and the first radius counts. All
// sums rise when their terms are not negative (those of signed images are kept apart by sign), so over a range of radii
// (S/N)^2 is bounded by the largest possible signal over the least possible noise. Ranges that cannot reach are
// skipped, others are halved; the decision itself is always made with the exact expression.

enum class Variance { gehrels, plain, map };

struct DiscSums {
    Lanes counts[2]{}, background[2]{}, scaled[2]{}, noise2{};  // [0]: positive terms, [1]: negative terms, negated
    double signal_error = 0;                                    // beyond rounding
    double variance_error = 0;
    int radius = -1;

    double up(std::size_t lane) const { return counts[0][lane] + scaled[1][lane]; }
    double down(std::size_t lane) const { return counts[1][lane] + scaled[0][lane]; }
    double total_counts(std::size_t lane) const { return counts[0][lane] - counts[1][lane]; }
    double total_background(std::size_t lane) const { return background[0][lane] - background[1][lane]; }
    double total_scaled(std::size_t lane) const { return scaled[0][lane] - scaled[1][lane]; }
    double signal(std::size_t lane) const { return total_counts(lane) - total_scaled(lane); }
};

class SignalSearch {
public:
    SignalSearch(const Images& images, const Grid& grid, const Pixels& pixels, const Discs& discs, double sn2,
                 Variance variance, const float* divisor, float outside, int max_radius, int threads,
                 const Control& control)
        : images_(images), grid_(grid), pixels_(pixels), discs_(discs), sn2_(sn2), variance_(variance),
          divisor_image_(divisor), outside_(outside), max_radius_(max_radius),
          constant_ratio2_(images.constant_ratio * images.constant_ratio) {
        if (images.background == nullptr) images_.ratio = nullptr;
        const auto channel = [&](Asked asked, auto at) {
            return Channel(asked, grid, threads, control, [this, at](int y, int x) {
                const std::size_t i = grid_.at(y, x);
                return images_.use[i] != 0 ? std::max(at(i), 0.0) : 0.0;
            });
        };
        const auto both_signs = [&](Channel* channels, auto at) {
            channels[0] = channel(Asked::estimates, at);
            const std::size_t size = grid_.size();
            for (std::size_t i = 0; i < size; ++i) {
                if (images_.use[i] == 0 || !(at(i) < 0)) continue;
                channels[1] = channel(Asked::estimates, [at](std::size_t j) { return -at(j); });
                break;
            }
        };
        both_signs(counts_, [this](std::size_t i) { return double{images_.counts[i]}; });
        if (images.background != nullptr) {
            if (variance != Variance::map) {
                both_signs(background_, [this](std::size_t i) { return double{images_.background[i]}; });
            }
            if (images.ratio != nullptr || variance == Variance::map) {
                both_signs(scaled_, [this](std::size_t i) { return scaled_background(i); });
            }
            if (images_.ratio != nullptr) make_ratio(threads, control);
        }
        if (variance == Variance::map) noise2_ = channel(Asked::estimates, [this](std::size_t i) { return noise2(i); });
        if (divisor != nullptr) {
            divisor_ = channel(Asked::discs, [this](std::size_t i) { return double{divisor_image_[i]}; });
        }
    }

    void strip(int x0, int first_row, int last_row, float* out) const {
        Disc scratch;
        Profile known;
        int guess = 8;
        for (int y = first_row; y < last_row; ++y) {
            fill_strip_row(grid_, y, x0, outside_, out);
            known.grow_older();
            LaneMask pending = used_lanes(grid_, pixels_, y, x0);
            int safe = -1;  // no pending lane reaches at this radius or below
            while (pending != 0) {
                const DiscSums* const known_within = known.within(safe + 1);
                const DiscSums& low = known_within != nullptr ? *known_within : nothing_;
                const Profile::Known* const high = known.beyond(safe);
                if (high != nullptr && high->age == 0 && high->radius == safe + 1) {
                    const LaneMask done = decide(*high->sums, y, x0, pending, scratch, out);
                    if (done != 0) guess = high->radius;
                    pending &= ~done;
                    ++safe;
                } else if (high != nullptr && !may_reach(low, *high->sums, y, x0, pending)) {
                    safe = high->radius - high->age;
                } else {
                    const int next = high != nullptr ? (safe + 1 + high->radius - high->age) / 2
                                                     : propose(low, safe, pending, guess);
                    evaluate(next, y, x0, scratch, known.make_room(next));
                }
                if (safe == max_radius_ && pending != 0) {  // no disc is larger
                    const Disc& disc = discs_.at(max_radius_, scratch);
                    DiscSums& largest = known.make_room(max_radius_);
                    evaluate(max_radius_, y, x0, scratch, largest);
                    refine(disc, y, x0, largest);
                    finish(largest, disc, y, x0, pending, out);
                    break;
                }
            }
        }
    }

private:
    // Sums that are known around the pixels `age` rows above. The disc r of a pixel lies in their disc r + age and
    // holds their disc r - age, so that they bound its sums until they are too old to be of use.
    class Profile {
    public:
        struct Known {
            int radius;
            int age;
            DiscSums* sums;
        };

        void grow_older() {
            for (Known& each : by_radius_) ++each.age;
        }

        // Sums that no disc of `radius` or more falls below; null when there are none.
        const DiscSums* within(int radius) const {
            const DiscSums* best = nullptr;
            for (const Known& each : by_radius_) {
                if (each.radius > radius) break;
                if (each.radius + each.age <= radius) best = each.sums;
            }
            return best;
        }

        // The nearest sums that some disc larger than `radius` does not exceed; null when there are none.
        const Known* beyond(int radius) const {
            for (const Known& each : by_radius_) {
                if (each.radius - each.age > radius) return &each;
            }
            return nullptr;
        }

        // A place for new sums at `radius`, instead of older ones that say less.
        DiscSums& make_room(int radius) {
            std::erase_if(by_radius_, [&](const Known& each) {
                const bool stale = std::abs(each.radius - radius) <= each.age;
                if (stale) free_.push_back(each.sums);
                return stale;
            });
            if (free_.empty()) free_.push_back(owned_.emplace_back(std::make_unique<DiscSums>()).get());
            DiscSums* const sums = free_.back();
            free_.pop_back();
            const auto after = std::find_if(by_radius_.begin(), by_radius_.end(),
                                            [=](const Known& each) { return each.radius > radius; });
            by_radius_.insert(after, {radius, 0, sums});
            return *sums;
        }

    private:
        std::vector<Known> by_radius_;
        std::vector<std::unique_ptr<DiscSums>> owned_;
        std::vector<DiscSums*> free_;
    };

    double scaled_background(std::size_t i) const { return double{images_.background[i]} * ratio(i); }
    double ratio(std::size_t i) const {
        return images_.ratio != nullptr ? double{images_.ratio[i]} : images_.constant_ratio;
    }
    double noise2(std::size_t i) const { return double{images_.noise[i] * images_.noise[i]}; }

    void make_ratio(int threads, const Control& control) {
        ratio2_ = Channel(Asked::estimates, grid_, threads, control, [this](int y, int x) {
            const std::size_t i = grid_.at(y, x);
            return images_.use[i] != 0 ? ratio(i) * ratio(i) : 0.0;
        });
        blocks_x_ = (grid_.nx - 1) / kBlock + 1;
        ratios_.resize(static_cast<std::size_t>(((grid_.ny - 1) / kBlock + 1) * blocks_x_));
        for (int y = 0; y < grid_.ny; ++y) {
            for (int x = 0; x < grid_.nx; ++x) {
                const std::size_t i = grid_.at(y, x);
                if (images_.use[i] == 0) continue;
                ratios_[static_cast<std::size_t>(y / kBlock * blocks_x_ + x / kBlock)].include({ratio(i), ratio(i)});
            }
        }
    }

    struct Range {
        double least = std::numeric_limits<double>::infinity();
        double largest = 0;

        void include(const Range& other) {
            least = std::min(least, other.least);
            largest = std::max(largest, other.largest);
        }
    };

    // e within `radius` of the strip's pixels in row y.
    Range ratios(int y, int x0, int radius) const {
        const double constant = images_.constant_ratio;
        if (images_.ratio == nullptr) return {constant, constant};
        Range range;
        const int first_x = std::max(x0 - radius, 0) / kBlock;
        const int last_x = std::min(x0 + kLanes - 1 + radius, grid_.nx - 1) / kBlock;
        for (int by = std::max(y - radius, 0) / kBlock; by <= std::min(y + radius, grid_.ny - 1) / kBlock; ++by) {
            for (int bx = first_x; bx <= last_x; ++bx) {
                range.include(ratios_[static_cast<std::size_t>(by * blocks_x_ + bx)]);
            }
        }
        return range;
    }

    // Sums good enough for bounds, within the errors that they state.
    void evaluate(int radius, int y, int x0, Disc& scratch, DiscSums& sums) const {
        const Disc& disc = discs_.at(radius, scratch);
        sums.radius = radius;
        sums.signal_error = 0;
        sums.variance_error = noise2_.estimate_error(disc);
        noise2_.estimate(disc, y, x0, sums.noise2);
        const Range range = ratios(y, x0, radius);
        for (std::size_t sign = 0; sign < 2; ++sign) {
            counts_[sign].estimate(disc, y, x0, sums.counts[sign]);
            scaled_[sign].estimate(disc, y, x0, sums.scaled[sign]);
            const double counts_error = counts_[sign].estimate_error(disc);
            double background_error;
            if (background_bounded()) {
                // The background enters the variance alone, and sum(b e) / max(e) says little less than sum(b).
                const double least = range.largest > 0 ? 1 / range.largest : 0;
                for (std::size_t lane = 0; lane < kLanes; ++lane) {
                    sums.background[sign][lane] = sums.scaled[sign][lane] * least;
                }
                background_error = scaled_[sign].estimate_error(disc) * least;
            } else {
                background_[sign].estimate(disc, y, x0, sums.background[sign]);
                background_error = background_[sign].estimate_error(disc);
                scale_background(sums, sign);
            }
            sums.signal_error += counts_error;
            sums.signal_error +=
                scaled_[0].present() ? scaled_[sign].estimate_error(disc) : images_.constant_ratio * background_error;
            // The Poisson variance rises by less than 2.2 a count.
            sums.variance_error += 2.2 * (counts_error + range.largest * range.largest * background_error);
        }
    }

    // Whether the sums of the background, of which bounds need the least value only, are taken from those scaled by e.
    bool background_bounded() const { return ratio2_.present() && !background_[1].present(); }

    // Makes what `evaluate` gave good enough for decisions.
    void refine(const Disc& disc, int y, int x0, DiscSums& sums) const {
        sums.signal_error = 0;
        sums.variance_error = 0;
        if (noise2_.estimated()) noise2_.disc(disc, y, x0, sums.noise2);
        for (std::size_t sign = 0; sign < 2; ++sign) {
            if (counts_[sign].estimated()) counts_[sign].disc(disc, y, x0, sums.counts[sign]);
            if (scaled_[sign].estimated()) scaled_[sign].disc(disc, y, x0, sums.scaled[sign]);
            if (!background_bounded() && !background_[sign].estimated()) continue;
            background_[sign].disc(disc, y, x0, sums.background[sign]);
            scale_background(sums, sign);
        }
    }

    void scale_background(DiscSums& sums, std::size_t sign) const {
        if (images_.background == nullptr || scaled_[0].present()) return;
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            sums.scaled[sign][lane] = sums.background[sign][lane] * images_.constant_ratio;
        }
    }

    // Lower bounds of the variance of any disc that holds the disc `low` and lies in the disc `high`. They share one
    // square root: g(c) = c + 7/4 + 2 sqrt(c + 3/4) is not less than with the least of the lanes' counts under the root.
    void least_variance(const DiscSums& low, const DiscSums& high, double ratio2, Lanes& variance) const {
        if (variance_ == Variance::map) {
            variance = low.noise2;
            return;
        }
        add_least_poisson(low.counts[0], high.counts[1], 1, variance, false);
        if (images_.background != nullptr) {
            add_least_poisson(low.background[0], high.background[1], ratio2, variance, true);
        }
    }

    void add_least_poisson(const Lanes& up, const Lanes& down, double factor, Lanes& variance, bool add) const {
        const double floor = variance_ == Variance::plain ? 0 : -0.75;
        Lanes counts;
        double least = std::numeric_limits<double>::infinity();
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            counts[lane] = std::max(up[lane] - down[lane], floor);
            least = std::min(least, counts[lane]);
        }
        const double more = variance_ == Variance::plain ? 0 : 1.75 + 2 * std::sqrt(least + 0.75);
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            variance[lane] = (add ? variance[lane] : 0) + factor * (counts[lane] + more);
        }
    }

    bool may_reach(const DiscSums& low, const DiscSums& high, int y, int x0, LaneMask lanes) const {
        const double ratio = ratios(y, x0, high.radius).least;
        const double signal_error = low.signal_error + high.signal_error;
        const double variance_error = low.variance_error + high.variance_error;
        Lanes variance;
        least_variance(low, high, ratio * ratio, variance);
        Lanes margin;  // of the largest possible signal over what is wanted
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            const double up = high.up(lane);
            const double down = high.down(lane);
            const double signal =
                std::max(up - low.down(lane), down - low.up(lane)) + signal_error + kSafety * (up + down);
            margin[lane] = signal * signal - sn2_ * (variance[lane] * (1 - kSafety) - variance_error);
        }
        bool may = false;
        for_lanes(lanes, [&](std::size_t lane) { may = may || margin[lane] >= 0; });
        return may;
    }

    // A radius above `safe` up to which `lanes` can probably be skipped, if their sums grow like the area.
    int propose(const DiscSums& low, int safe, LaneMask lanes, int guess) const {
        double radius = guess / 8;
        if (low.radius > 0) {
            double growth = 4;
            Lanes variance;
            least_variance(low, low, constant_ratio2_, variance);
            for_lanes(lanes, [&](std::size_t lane) {
                const double up = std::max(low.up(lane), low.down(lane));
                const double down = std::min(low.up(lane), low.down(lane));
                const double room = std::sqrt(sn2_ * variance[lane]) + down;
                if (up > 0) growth = std::min(growth, room / up);
            });
            radius = low.radius * (1 + kReach * (std::sqrt(std::max(growth, 0.0)) - 1));  // below 0 where the signal is
        }
        return std::clamp(static_cast<int>(radius), safe + 1, max_radius_);
    }

    // The lanes that reach at this very radius; their pixels are written.
    LaneMask decide(DiscSums& sums, int y, int x0, LaneMask lanes, Disc& scratch, float* out) const {
        if (!may_reach(sums, sums, y, x0, lanes)) return 0;
        const Disc& disc = discs_.at(sums.radius, scratch);
        const bool re_adds = disc.area() <= kReAddLimit;
        refine(disc, y, x0, sums);
        Lanes ratio2, npix;
        if (ratio2_.present()) {
            re_adds ? ratio2_.estimate(disc, y, x0, ratio2) : ratio2_.disc(disc, y, x0, ratio2);
            pixels_.count(disc, y, x0, npix);
        } else {
            ratio2.fill(constant_ratio2_);
            npix.fill(1);
        }
        LaneMask done = 0;
        for_lanes(lanes, [&](std::size_t lane) {
            PixelSums pixel;
            pixel.counts = sums.total_counts(lane);
            pixel.background = sums.total_background(lane);
            pixel.scaled_background = sums.total_scaled(lane);
            pixel.noise2 = sums.noise2[lane];
            pixel.ratio2 = ratio2[lane];
            pixel.npix = npix[lane];
            const double signal = std::abs(pixel.signal());
            const double variance = variance_of(pixel);
            const double wanted = std::sqrt(sn2_ * variance);
            // Half the relative error of the variance is that of the signal that is wanted.
            double relative = exact() ? 0 : kRounding;
            if (ratio2_.present() && re_adds) relative += 0.5 * ratio2_.estimate_error(disc) / ratio2[lane];
            const double error = signal_error(disc, sums, lane) + relative * wanted;
            if (std::abs(signal - wanted) <= error && re_adds) {
                pixel = add_again(y, x0 + static_cast<int>(lane), sums.radius);
            }
            const double value = pixel.signal() * pixel.signal() / variance_of(pixel);
            if (value >= sn2_) done |= LaneMask{1} << lane;
        });
        if (done != 0) finish(sums, disc, y, x0, done, out);
        return done;
    }

    double variance_of(const PixelSums& pixel) const {
        if (variance_ != Variance::plain)
            return pixel.variance(images_.background != nullptr, variance_ == Variance::map);
        return pixel.counts + pixel.ratio2 / pixel.npix * pixel.background;
    }

    bool exact() const {
        return counts_[0].exact() && counts_[1].exact() && scaled_[0].exact() && scaled_[1].exact()
               && background_[0].exact() && background_[1].exact() && noise2_.exact() && !ratio2_.present()
               && (images_.background == nullptr || images_.constant_ratio == 1);
    }

    double signal_error(const Disc& disc, const DiscSums& sums, std::size_t lane) const {
        const double npix = disc.area();
        double error = 0;
        for (std::size_t sign = 0; sign < 2; ++sign) {
            error += counts_[sign].error(disc, npix, sums.counts[sign][lane]);
            error += scaled_[sign].error(disc, npix, sums.scaled[sign][lane]);
            if (!scaled_[0].present() && images_.constant_ratio != 1) {
                error += 4 * npix * std::numeric_limits<double>::epsilon() * sums.scaled[sign][lane];
            }
        }
        return error;
    }

    void finish(const DiscSums& sums, const Disc& disc, int y, int x0, LaneMask lanes, float* out) const {
        Lanes divisor;
        if (divisor_.present()) {
            divisor_.disc(disc, y, x0, divisor);
        } else {
            pixels_.count(disc, y, x0, divisor);
        }
        for_lanes(lanes, [&](std::size_t lane) {
            const int x = x0 + static_cast<int>(lane);
            double signal = sums.signal(lane);
            const double error = signal_error(disc, sums, lane);
            if (rounds_apart(signal / divisor[lane], error / divisor[lane]) && disc.area() <= kReAddLimit) {
                signal = add_again(y, x, sums.radius).signal();
            }
            out[grid_.at(y, x)] = static_cast<float>(signal / divisor[lane]);
        });
    }

    PixelSums add_again(int y0, int x0, int radius) const {
        PixelSums sums;
        walk_rings(grid_, y0, x0, radius, [&](int y, int x) {
            const std::size_t i = grid_.at(y, x);
            if (images_.use[i] == 0) return;
            sums.counts += double{images_.counts[i]};
            if (images_.background != nullptr) {
                sums.background += double{images_.background[i]};
                sums.scaled_background += scaled_background(i);
                sums.ratio2 += ratio(i) * ratio(i);
            }
            if (images_.noise != nullptr) sums.noise2 += noise2(i);
            sums.npix += 1;
        });
        return sums;
    }

    static constexpr double kSafety = 1e-9;     // bounds are taken wider by this
    static constexpr double kRounding = 1e-11;  // of a variance that is not made of whole numbers
    static constexpr double kReach = 0.7;       // shorter steps than can be hoped for: their sums serve more rows
    static inline const DiscSums nothing_{};
    static constexpr int kBlock = 32;

    Images images_;
    Grid grid_;
    const Pixels& pixels_;
    const Discs& discs_;
    double sn2_;
    Variance variance_;
    const float* divisor_image_;
    float outside_;
    int max_radius_;
    double constant_ratio2_;
    Channel counts_[2], background_[2], scaled_[2], noise2_, ratio2_, divisor_;
    int blocks_x_ = 0;
    std::vector<Range> ratios_;
};

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
    const Channel value(Asked::discs, grid, threads, control, used(value_at));
    const RisingSearch search{grid, pixels, discs, weight, &value, threshold};
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
    const double sn2 = sn * sn;
    if (images.background == nullptr && images.noise == nullptr) {
        const auto counts_at = [&](int y, int x) { return double{images.counts[grid.at(y, x)]}; };
        const Channel counts(Asked::discs, grid, threads, control,
                             [&](int y, int x) { return pixels.used(y, x) ? counts_at(y, x) : 0.0; });
        if (!counts.negative()) {
            const double threshold = counts_for_sn(sn2);
            const bool may_fall_short = counts.total() < 2 * threshold;  // whatever was rounded
            if (may_fall_short && fill_with_mean(grid, pixels, threshold, counts_at, counts_at, 0.0F, smoothed)) return;
            const RisingSearch search{grid, pixels, discs, counts, nullptr, threshold};
            for_strips(grid, threads, control, [&](int x0, int first, int last) {
                search.strip(x0, first, last, counts_at, counts_at, 0.0F, smoothed);
            });
            return;
        }
    }
    const Variance variance = images.noise != nullptr ? Variance::map : Variance::gehrels;
    const SignalSearch search(images, grid, pixels, discs, sn2, variance, nullptr, 0.0F, grid.max_radius(), threads,
                              control);
    for_strips(grid, threads, control, [&](int x0, int first, int last) { search.strip(x0, first, last, smoothed); });
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
    Images images;
    images.ny = ny;
    images.nx = nx;
    images.counts = counts;
    images.background = background;
    images.constant_ratio = exposure_time / background_exposure_time;
    images.use = use;
    // Divided by t^2 on both sides, contbin's expression is (F - B e)^2 / (F + B e^2) with e = t / tb.
    const SignalSearch search(images, grid, pixels, discs, sn * sn, Variance::plain, exposure,
                              std::numeric_limits<float>::quiet_NaN(), largest, threads, control);
    for_strips(grid, threads, control, [&](int x0, int first, int last) { search.strip(x0, first, last, smoothed); });
}

}  // namespace chandra_bin
