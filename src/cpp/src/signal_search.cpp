#include "signal_search.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "chandra_bin/noise.hpp"
#include "known_sums.hpp"
#include "strips.hpp"

namespace chandra_bin::detail {
namespace {

class SignalSearch {
public:
    SignalSearch(const Images& images, const Pixels& pixels, const Discs& discs, const SignalRule& rule, int threads,
                 const Control& control)
        : images_(images), grid_(make_grid(images.ny, images.nx)), pixels_(pixels), discs_(discs),
          sn2_(rule.sn * rule.sn), variance_(rule.variance), divisor_image_(rule.divisor), outside_(rule.outside),
          max_radius_(rule.max_radius), constant_ratio2_(images.constant_ratio * images.constant_ratio) {
        if (images.background == nullptr) images_.ratio = nullptr;
        const auto channel = [&](Asked asked, auto at) {
            return Channel(asked, grid_, threads, control, [this, at](int y, int x) {
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
            if (variance_ != Variance::map) {
                both_signs(background_, [this](std::size_t i) { return double{images_.background[i]}; });
            }
            if (images.ratio != nullptr || variance_ == Variance::map) {
                both_signs(scaled_, [this](std::size_t i) { return scaled_background(i); });
            }
            if (images_.ratio != nullptr) make_ratio(threads, control);
        }
        if (variance_ == Variance::map)
            noise2_ = channel(Asked::estimates, [this](std::size_t i) { return noise2(i); });
        if (divisor_image_ != nullptr) {
            divisor_ = channel(Asked::discs, [this](std::size_t i) { return double{divisor_image_[i]}; });
        }
    }

    void strip(int x0, int first_row, int last_row, float* out) const {
        Disc scratch;
        KnownSums known;
        int guess = 8;
        for (int y = first_row; y < last_row; ++y) {
            fill_strip_row(grid_, y, x0, outside_, out);
            known.grow_older();
            LaneMask pending = used_lanes(grid_, pixels_, y, x0);
            int safe = -1;  // no pending lane reaches at this radius or below
            while (pending != 0) {
                const DiscSums* const known_within = known.within(safe + 1);
                const DiscSums& low = known_within != nullptr ? *known_within : nothing_;
                const KnownSums::Known* const high = known.beyond(safe);
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

    // Whether the sums of the background are taken from those scaled by e: bounds need only their least value.
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
        Lanes margin;  // of the largest possible signal over the needed one
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

    // A radius above `safe`. Up to it `lanes` can probably be skipped, if their sums grow like the area.
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

void smooth_to_signal(const Images& images, const Pixels& pixels, const Discs& discs, const SignalRule& rule,
                      int threads, const Control& control, float* out) {
    const SignalSearch search(images, pixels, discs, rule, threads, control);
    const Grid grid = make_grid(images.ny, images.nx);
    for_strips(grid, threads, control, [&](int x0, int first, int last) { search.strip(x0, first, last, out); });
}

}  // namespace chandra_bin::detail
