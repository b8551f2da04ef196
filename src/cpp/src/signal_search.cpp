#include "signal_search.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>

#include "chandra_bin/noise.hpp"
#include "known_sums.hpp"
#include "pair_sums.hpp"
#include "ratio_ranges.hpp"
#include "strips.hpp"
#include "variance_anchor.hpp"

namespace chandra_bin::detail {
namespace {

using Shape = LanesInBlock;

class SignalSearch {
public:
    SignalSearch(const Images& images, const Pixels& pixels, const Discs& discs, const SignalRule& rule, int threads,
                 const Control& control)
        : images_(images), grid_(make_grid(images.ny, images.nx)), pixels_(pixels), discs_(discs),
          sn2_(rule.sn * rule.sn), variance_(rule.variance), divisor_image_(rule.divisor), outside_(rule.outside),
          max_radius_(rule.max_radius), constant_ratio2_(images.constant_ratio * images.constant_ratio),
          ratios_(images.constant_ratio) {
        if (images.background == nullptr) images_.ratio = nullptr;
        const auto channel = [&](Asked asked, auto at) {
            return Channel(asked, grid_, threads, control, [this, at](int y, int x) {
                const std::size_t i = grid_.at(y, x);
                return images_.use[i] != 0 ? std::max(at(i), 0.0) : 0.0;
            });
        };
        const auto counts_at = [this](std::size_t i) { return double{images_.counts[i]}; };
        const auto background_at = [this](std::size_t i) { return double{images_.background[i]}; };
        const auto scaled_at = [this](std::size_t i) { return scaled_background(i); };
        const bool in_pairs = images.background != nullptr && variance_ != Variance::map && whole(counts_at)
                              && (images_.ratio != nullptr ? !negative(background_at) : whole(background_at));
        const Asked asked = in_pairs ? Asked::at_pixels : Asked::estimates;
        const auto both_signs = [&](Channel* channels, Asked asked_of, auto at) {
            channels[0] = channel(asked_of, at);
            if (negative(at)) channels[1] = channel(asked_of, [at](std::size_t j) { return -at(j); });
        };
        both_signs(counts_, asked, counts_at);
        if (images.background != nullptr) {
            if (variance_ != Variance::map) both_signs(background_, asked, background_at);
            if (images.ratio != nullptr || variance_ == Variance::map) both_signs(scaled_, asked, scaled_at);
            if (images_.ratio != nullptr) {
                const auto ratio_at = [this](std::size_t i) { return ratio(i); };
                ratio2_ = channel(Asked::estimates, [=](std::size_t i) { return ratio_at(i) * ratio_at(i); });
                ratios_ = BlockRanges(grid_, [this](std::size_t i) { return images_.use[i] != 0; }, ratio_at);
            }
        }
        if (in_pairs) make_pairs(threads, control);
        if (variance_ == Variance::map)
            noise2_ = channel(Asked::estimates, [this](std::size_t i) { return noise2(i); });
        rises_with_counts_ = variance_ != Variance::map && !counts_[1].present() && !background_[1].present()
                             && !scaled_[1].present() && images_.constant_ratio >= 0;
        if (divisor_image_ != nullptr) {
            divisor_ = channel(Asked::discs, [this](std::size_t i) { return double{divisor_image_[i]}; });
        }
    }

    // The rows first_row .. last_row of the strip at x0, block after block.
    void strip(int x0, int first_row, int last_row, float* out) const {
        Strip strip{x0, {}, {}, NearRanges(ratios_, x0, Shape::columns)};
        for (int y = first_row; y < last_row; y += Shape::rows) {
            for (int v = y; v < std::min(y + Shape::rows, last_row); ++v) {
                fill_strip_row(grid_, v, x0, Shape::columns, outside_, out);
            }
            search(strip, y, out);
            strip.known.grow_older(Shape::rows);
        }
    }

private:
    // What a search keeps while it goes down a strip.
    struct Strip {
        int x0;
        Disc scratch;
        KnownSums known;
        NearRanges ratios;
        int guess = 8;            // a radius
        std::size_t leading = 0;  // a lane
    };

    // The discs that reach, a lane each.
    struct Found {
        Shape::Radii radius{};
        DiscSums sums;
        BlockLanes signal_error{};  // of `sums`, beyond rounding

        void note(Shape::Mask lanes, const DiscSums& from) {
            for_lanes(lanes, [&](std::size_t lane) {
                radius[lane] = from.radius;
                signal_error[lane] = from.signal_error;
                for (std::size_t sign = 0; sign < 2; ++sign) {
                    sums.counts[sign][lane] = from.counts[sign][lane];
                    sums.scaled[sign][lane] = from.scaled[sign][lane];
                }
            });
        }
    };

    void search(Strip& strip, int y, float* out) const {
        const Shape::Mask wanted = used_lanes<Shape>(grid_, pixels_, y, strip.x0);
        Shape::Mask pending = wanted;
        Found found;
        VarianceAnchor anchor;
        KnownSums& known = strip.known;
        int safe = -1;  // no pending lane reaches at this radius or below
        while (pending != 0) {
            const DiscSums* const known_within = known.within(safe + 1);
            const DiscSums& low = known_within != nullptr ? *known_within : nothing_;
            const KnownSums::Known* const high = known.beyond(safe);
            const KnownSums::Known* const fresh = known.made_beyond(safe);
            if (fresh != nullptr && fresh->radius == safe + 1) {
                const Shape::Mask done = decide(strip, y, *fresh->sums, pending, anchor);
                found.note(done, *fresh->sums);
                if (done != 0) strip.guess = fresh->radius;
                pending &= ~done;
                ++safe;
            } else if (fresh != nullptr && !may_reach(strip, y, low, *fresh->sums, pending)) {
                safe = fresh->radius;
            } else if (high != nullptr && high->age != 0 && !may_reach(strip, y, low, *high->sums, pending)) {
                safe = high->radius - high->age;
            } else {
                const int most = fresh != nullptr ? (safe + 1 + fresh->radius) / 2 : max_radius_;
                evaluate(strip, y, propose(strip, y, low, safe, most, pending));
            }
            if (safe == max_radius_ && pending != 0) {  // no disc is larger
                found.note(pending, evaluate(strip, y, max_radius_));
                break;
            }
        }
        write(strip, y, wanted, found, out);
    }

    template <class At>
    bool whole(const At& at) const {
        double total = 0;
        for (std::size_t i = 0; i < grid_.size(); ++i) {
            if (images_.use[i] == 0) continue;
            if (at(i) < 0 || at(i) != std::floor(at(i))) return false;
            total += at(i);
        }
        return total < kMostWhole;
    }
    template <class At>
    bool negative(const At& at) const {
        for (std::size_t i = 0; i < grid_.size(); ++i) {
            if (images_.use[i] != 0 && at(i) < 0) return true;
        }
        return false;
    }

    double scaled_background(std::size_t i) const { return double{images_.background[i]} * ratio(i); }
    double ratio(std::size_t i) const {
        return images_.ratio != nullptr ? double{images_.ratio[i]} : images_.constant_ratio;
    }
    double noise2(std::size_t i) const { return double{images_.noise[i] * images_.noise[i]}; }

    // Pairs of counts and background, or of counts and scaled background in a unit such that the sums over a few rings
    // stay below 2^16 units.
    void make_pairs(int threads, const Control& control) {
        const double pixels = static_cast<double>(grid_.size());
        const double unit = images_.ratio == nullptr
                                ? 1
                                : std::exp2(std::floor(std::log2(scaled_[0].total() / (2048 * std::sqrt(pixels)))));
        if (!(unit > 0 && std::isfinite(unit))) return;  // no background at all
        const auto used = [&](auto at) {
            return [this, at](int y, int x) {
                const std::size_t i = grid_.at(y, x);
                return images_.use[i] != 0 ? at(i) : 0.0;
            };
        };
        pairs_ = std::make_unique<PairSums>(
            grid_, threads, control, unit, used([this](std::size_t i) { return double{images_.counts[i]}; }),
            used([this](std::size_t i) {
                return scaled_[0].present() ? scaled_background(i) : double{images_.background[i]};
            }));
        if (!scaled_[0].present()) return;
        fine_ = std::make_unique<FineSums>(grid_, threads, control, unit,
                                           used([this](std::size_t i) { return scaled_background(i); }));
    }

    // Sums good enough for bounds, within the errors that they state.
    DiscSums& evaluate(Strip& strip, int y, int radius) const {
        const Disc& disc = discs_.at(radius, strip.scratch);
        BlockLanes counts, second;
        const bool paired = pairs_ != nullptr && evaluate_pair(strip, y, disc, radius, counts, second);
        DiscSums& sums = strip.known.make_room(radius);
        sums.radius = radius;
        sums.signal_error = 0;
        sums.variance_error = noise2_.estimate_error(disc);
        sums.sharp = true;
        noise2_.estimate<Shape>(disc, y, strip.x0, sums.noise2);
        if (paired) {
            sums.counts[0] = counts;
            if (!scaled_[0].present()) {
                sums.background[0] = second;
                scale_background(sums, 0);
                return sums;
            }
            for (std::size_t lane = 0; lane < Shape::lanes; ++lane)
                sums.scaled[0][lane] = second[lane] * pairs_->unit();
            sums.signal_error = PairSums::rounding(radius) * pairs_->unit();
            sums.sharp = false;
            bound_background(strip, y, sums);
            return sums;
        }
        for (std::size_t sign = 0; sign < 2; ++sign) {
            counts_[sign].estimate<Shape>(disc, y, strip.x0, sums.counts[sign]);
            scaled_[sign].estimate<Shape>(disc, y, strip.x0, sums.scaled[sign]);
            const double counts_error = counts_[sign].estimate_error(disc);
            double background_error = 0;
            if (!background_bounded()) {
                background_[sign].estimate<Shape>(disc, y, strip.x0, sums.background[sign]);
                background_error = background_[sign].estimate_error(disc);
                scale_background(sums, sign);
            }
            sums.signal_error += counts_error;
            sums.signal_error +=
                scaled_[0].present() ? scaled_[sign].estimate_error(disc) : images_.constant_ratio * background_error;
            const double largest = strip.ratios.within(y, radius).largest;
            sums.variance_error += kPoissonSlope * (counts_error + largest * largest * background_error);
        }
        if (background_bounded()) bound_background(strip, y, sums);
        return sums;
    }

    // Whether the sums of the background are taken from those scaled by e: bounds need only their least value.
    bool background_bounded() const { return ratio2_.present() && !background_[1].present(); }

    // The background enters the variance alone, and sum(b e) / max(e) says little less than sum(b).
    void bound_background(Strip& strip, int y, DiscSums& sums) const {
        const double largest = strip.ratios.within(y, sums.radius).largest;
        for (std::size_t lane = 0; lane < Shape::lanes; ++lane) {
            const double least = std::max(sums.scaled[0][lane] - sums.signal_error, 0.0);
            sums.background[0][lane] = largest > 0 ? least / largest : 0;
        }
    }

    // Sums of the pair, in its units; false where no lower bounds are known that are close enough.
    bool evaluate_pair(const Strip& strip, int y, const Disc& disc, int radius, BlockLanes& counts,
                       BlockLanes& second) const {
        const DiscSums* const low = strip.known.within(radius);
        const KnownSums::Known* const high = strip.known.beyond(radius - 1);
        counts.fill(0);
        second.fill(0);
        bool close = low != nullptr && high != nullptr;
        if (low != nullptr) bound_second(*low, -1, second);
        if (low != nullptr) counts = low->counts[0];
        if (close) {
            BlockLanes most;
            bound_second(*high->sums, 1, most);
            BlockLanes apart;
            for (std::size_t lane = 0; lane < Shape::lanes; ++lane) {
                apart[lane] =
                    std::max(std::abs(most[lane] - second[lane]), std::abs(high->sums->counts[0][lane] - counts[lane]));
            }
            close = largest_lane(apart) < PairSums::kModulus;
        }
        return pairs_->disc(disc, y, strip.x0, close, counts, second);
    }

    // Whole numbers that the pair's second sum exceeds (side = -1), or that exceed it (side = 1).
    void bound_second(const DiscSums& sums, int side, BlockLanes& bound) const {
        if (!scaled_[0].present()) {
            bound = sums.background[0];
            return;
        }
        const double apart = side * (PairSums::rounding(sums.radius) + 1 + sums.signal_error / pairs_->unit());
        for (std::size_t lane = 0; lane < Shape::lanes; ++lane) {
            bound[lane] = static_cast<double>(
                static_cast<std::int64_t>(std::max(sums.scaled[0][lane] / pairs_->unit() + apart, 0.0)));
        }
    }

    // Makes what `evaluate` gave good enough for decisions about `lanes`.
    void refine(const Strip& strip, int y, const Disc& disc, Shape::Mask lanes, DiscSums& sums) const {
        const auto sum = [&](const Channel& channel, BlockLanes& out) {
            sum_lanes(channel, strip, y, disc, lanes, out);
        };
        const bool exact_signal = sums.signal_error == 0;
        sums.signal_error = 0;
        sums.variance_error = 0;
        if (noise2_.estimated()) sum(noise2_, sums.noise2);
        for (std::size_t sign = 0; sign < 2; ++sign) {
            if (counts_[sign].estimated()) sum(counts_[sign], sums.counts[sign]);
            const bool inexact = sign == 0 && fine_ != nullptr && !exact_signal;
            if (scaled_[sign].estimated() || inexact) sum(scaled_[sign], sums.scaled[sign]);
            if (!background_bounded() && !background_[sign].estimated()) continue;
            sum(background_[sign], sums.background[sign]);
            scale_background(sums, sign);
        }
        sums.sharp = true;
    }

    // The channel's sums around `lanes`, which may be those around others too.
    void sum_lanes(const Channel& channel, const Strip& strip, int y, const Disc& disc, Shape::Mask lanes,
                   BlockLanes& out) const {
        if (std::popcount(lanes) > kFewLanes) return channel.disc<Shape>(disc, y, strip.x0, out);
        Shape::Radii radius;
        radius.fill(disc.rows());
        channel.disc_each<Shape>(discs_, radius, y, strip.x0, lanes, out);
    }

    void scale_background(DiscSums& sums, std::size_t sign) const {
        if (images_.background == nullptr || scaled_[0].present()) return;
        for (std::size_t lane = 0; lane < Shape::lanes; ++lane) {
            sums.scaled[sign][lane] = sums.background[sign][lane] * images_.constant_ratio;
        }
    }

    // Lower bounds of the variance of discs that hold the disc `low`, lie in the disc `high` and have no fewer than `counts` of
    // positive sign. They share one square root: g(c) = c + 7/4 + 2 sqrt(c + 3/4) is not less than with the least of the
    // lanes' counts under the root.
    void least_variance(const BlockLanes& counts, const DiscSums& low, const DiscSums& high, double ratio2,
                        BlockLanes& variance) const {
        if (variance_ == Variance::map) {
            variance = low.noise2;
            return;
        }
        add_least_poisson(counts, high.counts[1], 1, variance, false);
        if (images_.background != nullptr) {
            add_least_poisson(low.background[0], high.background[1], ratio2, variance, true);
        }
    }

    void add_least_poisson(const BlockLanes& up, const BlockLanes& down, double factor, BlockLanes& variance,
                           bool add) const {
        const double floor = variance_ == Variance::plain ? 0 : -0.75;
        BlockLanes counts;
        for (std::size_t lane = 0; lane < Shape::lanes; ++lane) counts[lane] = std::max(up[lane] - down[lane], floor);
        const double more = variance_ == Variance::plain ? 0 : 1.75 + 2 * std::sqrt(least_lane(counts) + 0.75);
        for (std::size_t lane = 0; lane < Shape::lanes; ++lane) {
            variance[lane] = (add ? variance[lane] : 0) + factor * (counts[lane] + more);
        }
    }

    // Whether any of `lanes` may reach in a disc that holds the disc `low` and lies in the disc `high`.
    bool may_reach(Strip& strip, int y, const DiscSums& low, const DiscSums& high, Shape::Mask lanes) const {
        // The lane that reached first the last time often does so again.
        const std::size_t lane = strip.leading;
        if (rises_with_counts_ && (lanes >> lane & 1) != 0) {
            const double ratio = strip.ratios.within(y, high.radius).least;
            const double signal = high.counts[0][lane] - low.scaled[0][lane];
            const double noise2 = variance(high.counts[0][lane]) + ratio * ratio * variance(low.background[0][lane]);
            if (signal > 0 && signal * signal >= sn2_ * noise2) return true;
        }
        const Shape::Mask may = lanes_that_may_reach(strip, y, low, high, lanes);
        if (may != 0) strip.leading = static_cast<std::size_t>(std::countr_zero(may));
        return may != 0;
    }

    // Without negative pixels (F - B)^2 / variance(F, B) rises with the counts F where F > B and falls with the background, so
    // that the counts of the disc `high` and the background of the disc `low` bound it; and the other way round where F < B.
    Shape::Mask lanes_that_may_reach(Strip& strip, int y, const DiscSums& low, const DiscSums& high,
                                     Shape::Mask lanes) const {
        const double ratio = strip.ratios.within(y, high.radius).least;
        const double signal_error = low.signal_error + high.signal_error;
        const double variance_error = low.variance_error + high.variance_error;
        BlockLanes signal;  // the largest
        BlockLanes variance;
        const auto reaching = [&] {
            BlockLanes margin;  // of the largest possible signal over the needed one
            for (std::size_t lane = 0; lane < Shape::lanes; ++lane)
                margin[lane] = signal[lane] * signal[lane] - sn2_ * (variance[lane] * (1 - kSafety) - variance_error);
            Shape::Mask may = 0;
            if (largest_lane(margin) < 0) return may;
            for (std::size_t lane = 0; lane < Shape::lanes; ++lane) may |= Shape::Mask{margin[lane] >= 0} << lane;
            return may & lanes;
        };
        if (!rises_with_counts_) {
            for (std::size_t lane = 0; lane < Shape::lanes; ++lane) {
                const double up = high.up(lane);
                const double down = high.down(lane);
                signal[lane] =
                    std::max(up - low.down(lane), down - low.up(lane)) + signal_error + kSafety * (up + down);
            }
            least_variance(low.counts[0], low, high, ratio * ratio, variance);
            return reaching();
        }
        const auto error = [&](std::size_t lane) {
            return signal_error + kSafety * (high.counts[0][lane] + high.scaled[0][lane]);
        };
        for (std::size_t lane = 0; lane < Shape::lanes; ++lane)
            signal[lane] = std::max(high.counts[0][lane] - low.scaled[0][lane] + error(lane), 0.0);
        least_variance(high.counts[0], low, high, ratio * ratio, variance);
        const Shape::Mask above = reaching();
        for (std::size_t lane = 0; lane < Shape::lanes; ++lane)
            signal[lane] = std::max(high.scaled[0][lane] - low.counts[0][lane] + error(lane), 0.0);
        if (largest_lane(signal) == 0) return above;
        least_variance(low.counts[0], low, high, ratio * ratio, variance);
        return above | reaching();
    }

    // A radius above `safe`. Up to it `lanes` can probably be skipped, if their sums grow like the area.
    int propose(Strip& strip, int y, const DiscSums& low, int safe, int most, Shape::Mask lanes) const {
        double radius = strip.guess / 8;
        if (low.radius > 0) {
            double growth = 4;
            BlockLanes variance;
            const double ratio = strip.ratios.within(y, low.radius).least;
            least_variance(low.counts[0], low, low, ratio * ratio, variance);
            for_lanes(lanes, [&](std::size_t lane) {
                const double up = std::max(low.up(lane), low.down(lane));
                const double down = std::min(low.up(lane), low.down(lane));
                double room = std::sqrt(sn2_ * variance[lane]) + down;
                if (rises_with_counts_ && low.up(lane) >= low.down(lane)) {
                    const double rest = variance[lane] - up;
                    const double half = sn2_ / 2;
                    room = down + half + std::sqrt(std::max(half * half + sn2_ * (down + rest), 0.0));
                }
                if (up > 0) growth = std::min(growth, room / up);
            });
            radius = low.radius * (1 + kReach * (std::sqrt(std::max(growth, 0.0)) - 1));  // below 0 where the signal is
        }
        return std::clamp(static_cast<int>(radius), safe + 1, most);
    }

    // The lanes that reach at this very radius.
    Shape::Mask decide(Strip& strip, int y, DiscSums& sums, Shape::Mask lanes, VarianceAnchor& anchor) const {
        lanes = lanes_that_may_reach(strip, y, sums, sums, lanes);
        if (lanes == 0) return 0;
        const Disc& disc = discs_.at(sums.radius, strip.scratch);
        Shape::Mask reached = 0;
        if (background_bounded() && variance_ != Variance::map) {
            sharpen(strip, y, disc, sums);
            lanes = lanes_that_may_reach(strip, y, sums, sums, lanes);
            if (lanes == 0) return 0;
            reached = decide_by_bounds(strip, y, disc, sums, lanes, anchor);
            if (lanes == 0) return reached;
        }
        DiscSums refined = sums;
        refine(strip, y, disc, lanes, refined);
        return reached | decide_exactly(strip, y, disc, refined, lanes);
    }

    // The same sums in a finer unit.
    void sharpen(Strip& strip, int y, const Disc& disc, DiscSums& sums) const {
        if (sums.sharp) return;
        if (FineSums::completes(sums.radius)) {
            fine_->disc(disc, y, strip.x0, sums.scaled[0]);
            sums.signal_error = fine_->error(sums.radius);
        } else {
            scaled_[0].disc<Shape>(disc, y, strip.x0, sums.scaled[0]);
            sums.signal_error = 0;
        }
        sums.sharp = true;
        bound_background(strip, y, sums);
    }

    // Decides `lanes` where bounds of the variance are close enough, and takes them out of it. Sums of the background and of
    // e^2 are made once in a block; the rings between two radii bound those at another.
    Shape::Mask decide_by_bounds(Strip& strip, int y, const Disc& disc, const DiscSums& sums, Shape::Mask& lanes,
                                 VarianceAnchor& anchor) const {
        if (anchor.radius < 0) {
            anchor.radius = sums.radius;
            anchor.area = disc.area();
            anchor.scaled = sums.scaled[0];
            anchor.error = sums.signal_error;
            background_[0].disc<Shape>(disc, y, strip.x0, anchor.background);
            ratio2_.estimate<Shape>(disc, y, strip.x0, anchor.mean_ratio2);
            pixels_.count<Shape>(disc, y, strip.x0, kAllLanes, anchor.npix);
            anchor.ratio2_error = ratio2_.estimate_error(disc);
            for (std::size_t lane = 0; lane < Shape::lanes; ++lane) anchor.mean_ratio2[lane] /= anchor.npix[lane];
        }
        const Range ratios = strip.ratios.within(y, std::max(sums.radius, anchor.radius));
        Shape::Mask reached = 0;
        for_lanes(lanes, [&](std::size_t lane) {
            const Range background = anchor.background_at(sums, lane, ratios);
            const Range ratio2 = anchor.ratio2_at(sums.radius, disc.area(), lane, ratios);
            const double error = sums.signal_error + signal_error(disc, sums, lane);
            const double signal = std::abs(sums.signal(lane));
            const double counts = sums.total_counts(lane);
            const double least = (variance(counts) + ratio2.least * variance(background.least)) * (1 - kSafety);
            const double most = (variance(counts) + ratio2.largest * variance(background.largest)) * (1 + kSafety);
            const double surely = std::max(signal - error, 0.0);
            if (surely * surely >= sn2_ * most) {
                reached |= Shape::Mask{1} << lane;
            } else if (!((signal + error) * (signal + error) < sn2_ * least)) {
                return;
            }
            lanes &= ~(Shape::Mask{1} << lane);
        });
        return reached;
    }

    double variance(double counts) const { return variance_ == Variance::plain ? counts : gehrels_variance(counts); }

    Shape::Mask decide_exactly(const Strip& strip, int y, const Disc& disc, const DiscSums& sums,
                               Shape::Mask lanes) const {
        const bool re_adds = disc.area() <= kReAddLimit;
        BlockLanes ratio2, npix;
        if (ratio2_.present()) {
            re_adds ? ratio2_.estimate<Shape>(disc, y, strip.x0, ratio2)
                    : sum_lanes(ratio2_, strip, y, disc, lanes, ratio2);
            pixels_.count<Shape>(disc, y, strip.x0, lanes, npix);
        } else {
            ratio2.fill(constant_ratio2_);
            npix.fill(1);
        }
        Shape::Mask done = 0;
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
                pixel = add_again(y, strip.x0, lane, sums.radius);
            }
            const double value = pixel.signal() * pixel.signal() / variance_of(pixel);
            if (value >= sn2_) done |= Shape::Mask{1} << lane;
        });
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

    // The pixels' values from the discs that were found for them.
    void write(Strip& strip, int y, Shape::Mask wanted, Found& found, float* out) const {
        const int x0 = strip.x0;
        DiscSums& sums = found.sums;
        if (fine_ != nullptr) wanted = write_sure(strip, y, wanted, found, out);
        if (wanted == 0) return;
        for (std::size_t sign = 0; sign < 2; ++sign) {
            if (counts_[sign].estimated())
                counts_[sign].disc_each<Shape>(discs_, found.radius, y, x0, wanted, sums.counts[sign]);
            if (scaled_[sign].estimated() || (sign == 0 && pairs_ != nullptr && scaled_[0].present()))
                scaled_[sign].disc_each<Shape>(discs_, found.radius, y, x0, wanted, sums.scaled[sign]);
            if (scaled_[0].present() || !background_[sign].estimated()) continue;
            background_[sign].disc_each<Shape>(discs_, found.radius, y, x0, wanted, sums.background[sign]);
            scale_background(sums, sign);
        }
        BlockLanes divisor;
        if (divisor_.present()) divisor_.disc_each<Shape>(discs_, found.radius, y, x0, wanted, divisor);
        for_radii(wanted, found.radius, [&](int radius, Shape::Mask lanes) {
            const Disc& disc = discs_.at(radius, strip.scratch);
            if (!divisor_.present()) pixels_.count<Shape>(disc, y, x0, lanes, divisor);
            for_lanes(lanes, [&](std::size_t lane) {
                double signal = sums.signal(lane);
                const double error = signal_error(disc, sums, lane);
                if (rounds_apart(signal / divisor[lane], error / divisor[lane]) && disc.area() <= kReAddLimit) {
                    signal = add_again(y, x0, lane, radius).signal();
                }
                const auto [v, x] = Shape::pixel(y, x0, lane);
                out[grid_.at(v, x)] = static_cast<float>(signal / divisor[lane]);
            });
        });
    }

    // Those whose value is certain from the sums that were found; returns the others.
    Shape::Mask write_sure(Strip& strip, int y, Shape::Mask wanted, const Found& found, float* out) const {
        Shape::Mask unsure = 0;
        for_radii(wanted, found.radius, [&](int radius, Shape::Mask lanes) {
            const Disc& disc = discs_.at(radius, strip.scratch);
            BlockLanes npix;
            pixels_.count<Shape>(disc, y, strip.x0, lanes, npix);
            for_lanes(lanes, [&](std::size_t lane) {
                const double signal = found.sums.signal(lane);
                // Exact sums may differ by their own rounding, and the right values by as much again.
                const double error = found.signal_error[lane] + 2.1 * signal_error(disc, found.sums, lane);
                if (rounds_apart(signal / npix[lane], error / npix[lane])) {
                    unsure |= Shape::Mask{1} << lane;
                    return;
                }
                const auto [v, x] = Shape::pixel(y, strip.x0, lane);
                out[grid_.at(v, x)] = static_cast<float>(signal / npix[lane]);
            });
        });
        return unsure;
    }

    PixelSums add_again(int block_y, int block_x, std::size_t lane, int radius) const {
        const auto [y0, x0] = Shape::pixel(block_y, block_x, lane);
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

    static constexpr Shape::Mask kAllLanes =
        ~Shape::Mask{0} >> (std::numeric_limits<Shape::Mask>::digits - Shape::lanes);
    static constexpr int kFewLanes = 16;        // real numbers are summed for these alone
    static constexpr double kSafety = 1e-9;     // bounds are taken wider by this
    static constexpr double kRounding = 1e-11;  // of a variance that is not made of whole numbers
    static constexpr double kReach =
        0.8;  // shorter steps than can be hoped for: the sums may grow faster than the area
    static inline const DiscSums nothing_{};
    static constexpr double kPoissonSlope = 2.2;  // the Poisson variance rises by less a count
    static constexpr double kMostWhole = 4294967295.0;

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
    bool rises_with_counts_ = false;
    Channel counts_[2], background_[2], scaled_[2], noise2_, ratio2_, divisor_;
    std::unique_ptr<PairSums> pairs_;
    std::unique_ptr<FineSums> fine_;  // of the scaled background, where it is in pairs
    BlockRanges ratios_;
};

}  // namespace

void smooth_to_signal(const Images& images, const Pixels& pixels, const Discs& discs, const SignalRule& rule,
                      int threads, const Control& control, float* out) {
    const SignalSearch search(images, pixels, discs, rule, threads, control);
    const Grid grid = make_grid(images.ny, images.nx);
    for_strips<Shape>(grid, threads, control, [&](int x0, int first, int last) { search.strip(x0, first, last, out); });
}

}  // namespace chandra_bin::detail
