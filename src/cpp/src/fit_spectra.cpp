#include "chandra_bin/fit_spectra.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "chandra_bin/parallel.hpp"
#include "pixel_index.hpp"
#include "spectral_bin.hpp"
#include "spectral_minimum.hpp"

namespace chandra_bin {
namespace {

using detail::Bounds;
using detail::Evaluation;
using detail::kAbundance;
using detail::kKt;
using detail::kNorm;
using detail::Minimiser;
using detail::Minimum;
using detail::Parameters;
using detail::require;
using detail::SpectralBin;
using detail::Vector3;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Of the search for starts: points of kT at this distance in ln kT, and the decrease that ends a fit there.
constexpr double kGridStep = 0.18, kGridTolerance = 1e-2;
// Local minima of the grid that are followed.
constexpr std::size_t kMostStarts = 4;
constexpr double kTolerance = 1e-6;
// Of the statistic at the end of a profile, as a part of its rise.
constexpr double kProfileTolerance = 5e-3;
// A profile that falls below the minimum by this much has found a better one.
constexpr double kBetter = 1e-3;
// A second minimum within this of the first is reported.
constexpr double kSecond = 1;
constexpr double kFirstAbundance = 0.3;
constexpr int kMostRestarts = 3, kMostProfileSteps = 40;
// Steps of a profile after which brackets are halved, as at a jump, and the width of a bracket that ends the search, as
// a part of its outer end.
constexpr int kParabolicSteps = 12;
constexpr double kClosed = 1e-4;
// Searches for amounts that follow each other: the first is right within 1e-8 of the statistic, and each Newton step
// doubles the digits.
constexpr int kAmountSearches = 3;
using Free = std::array<bool, 3>;

struct ProfileEnd {
    std::optional<Parameters> at;  // none: open
    std::optional<Minimum> better;
};

// Where a profile passes `delta`: between the furthest distance from the minimum at which it has risen by less, and the
// nearest one, if there is any, at which it has risen by more.
struct Bracket {
    double delta;
    double inner = 0, inner_rise = 0;
    double outer = kInfinity, outer_rise = 0;  // infinity until a point has risen by delta

    bool is_closed() const { return outer - inner < kClosed * outer; }

    void add(double distance, double rise) {
        if (rise < delta) {
            inner = distance;
            inner_rise = std::max(rise, 0.0);
        } else {
            outer = distance;
            outer_rise = rise;
        }
    }

    // Where to look next: further out, or within, by the parabola through both ends, or at the middle.
    double next(bool at_middle) const {
        if (outer == kInfinity)
            return inner * (inner_rise > 0 ? std::clamp(1.02 * std::sqrt(delta / inner_rise), 1.1, 3.0) : 3.0);
        const double from = std::sqrt(inner_rise), to = std::sqrt(outer_rise);
        const double part = (std::sqrt(delta) - from) / (to - from);
        return inner + (outer - inner) * (at_middle ? 0.5 : std::clamp(part, 0.05, 0.95));
    }
};

class BinFit {
public:
    BinFit(SpectralBin& bin, const FitSettings& settings, double fixed_abundance, double delta)
        : bin_(bin), settings_(settings), delta_(delta),
          bounds_{{settings.kt_low, settings.abundance_low, 0}, {settings.kt_high, settings.abundance_high, 0}},
          minimiser_(bin, bounds_), free_{true, std::isnan(fixed_abundance), true},
          abundance_(std::isnan(fixed_abundance)
                         ? std::clamp(kFirstAbundance, settings.abundance_low, settings.abundance_high)
                         : fixed_abundance) {}

    template <class Check>
    std::int32_t fit(FittedBin& fitted, const Check& check) {
        if (bin_.response_missing()) flags_ |= kResponseMissing;
        if (bin_.size() == 0) return flags_ | kNoData;
        if (free_[kAbundance] && !abundance_has_effect()) {
            free_[kAbundance] = false;
            abundance_ = 0;
            flags_ |= kAbundanceWithoutEffect;
        }
        std::vector<Minimum> minima = local_minima(check);
        if (minima.empty()) return flags_ | kNotConverged;
        best_ = minima.front();
        if (!std::isfinite(best_.statistic)) return flags_ | kNotConverged;
        std::array<std::array<ProfileEnd, 2>, 3> ends;
        for (int restart = 0; restart <= kMostRestarts; ++restart) {
            if (!find_covariance()) flags_ |= kDegenerate;
            if (flags_ & kDegenerate || delta_ == 0) break;
            const std::optional<Minimum> better = profiles(ends, check);
            if (!better) break;
            best_ = *better;
        }
        write(fitted, ends);
        find_second(fitted, minima, ends);
        return flags_;
    }

private:
    bool abundance_has_effect() {
        for (std::size_t j = bin_.segment(settings_.kt_low); j < bin_.temperatures(); ++j) {
            if (bin_.kt(j) <= settings_.kt_high && bin_.abundance_has_effect(j)) return true;
        }
        return false;
    }

    // Points of kT where the search begins: table points within the limits, and the limits themselves.
    std::vector<double> grid() const {
        std::vector<double> points{settings_.kt_low};
        for (std::size_t j = 0; j < bin_.temperatures(); ++j) {
            const double kt = bin_.kt(j);
            if (kt > points.back() * std::exp(kGridStep) && kt < settings_.kt_high) points.push_back(kt);
        }
        if (points.back() < settings_.kt_high) points.push_back(settings_.kt_high);
        return points;
    }

    // The minima that are reached from local minima of the statistic along a grid of kT, the best first.
    template <class Check>
    std::vector<Minimum> local_minima(const Check& check) {
        const bool chi2 = bin_.has_chi2();
        if (chi2) bin_.set_variances_by_counts();
        const std::vector<double> points = grid();
        std::vector<Minimum> along;
        Parameters start{points.front(), abundance_, first_norm(points.front())};
        if (!(start[kNorm] > 0)) return {};
        for (const double kt : points) {
            if (!along.empty()) {  // the counts are nearly the same: as many photons, another area
                const double here = bin_.folded(bin_.segment(kt), start[kAbundance]);
                const double there = bin_.folded(bin_.segment(start[kKt]), start[kAbundance]);
                if (here > 0 && there > 0) start[kNorm] *= there / here;
            }
            start[kKt] = kt;
            along.push_back(minimiser_.minimise(start, {false, free_[kAbundance], true}, kGridTolerance));
            start = along.back().at;
            check();
        }
        std::vector<Minimum> starts;
        for (std::size_t i = 0; i < along.size(); ++i) {
            const double here = along[i].statistic;
            if ((i == 0 || here < along[i - 1].statistic)
                && (i + 1 == along.size() || here <= along[i + 1].statistic)) {
                starts.push_back(along[i]);
            }
        }
        sort(starts);
        starts.resize(std::min(starts.size(), kMostStarts));
        for (Minimum& each : starts) {
            each = beside_table_points(minimiser_.minimise(each.at, free_, kTolerance), free_, kTolerance);
            check();
        }
        if (chi2 && !starts.empty()) follow_variances(starts);
        sort(starts);
        return starts;
    }

    // A table point may lie between two minima: the lowest of this one and of those that are reached from the two
    // segments next to its own.
    Minimum beside_table_points(Minimum best, const Free& free, double tolerance) {
        for (int round = 0; round < kMostRestarts; ++round) {
            const Minimum here = best;
            for (const double sign : {-1.0, 1.0}) {
                const std::optional<Minimum> there = in_next_segment(here, sign, free, tolerance);
                if (there && there->statistic < best.statistic - tolerance) best = *there;
            }
            if (best.statistic == here.statistic) break;
        }
        return best;
    }

    // The minimum of the segment below (-1) or above (1) that of kT, where the statistic falls into it.
    std::optional<Minimum> in_next_segment(const Minimum& from, double sign, const Free& free, double tolerance) {
        const std::optional<Parameters> start = minimiser_.falls_beyond(from, sign, free);
        return start ? std::optional(minimiser_.minimise(*start, free, tolerance)) : std::nullopt;
    }

    // Variances by the model of the best fit, until they hardly change it.
    void follow_variances(std::vector<Minimum>& starts) {
        for (int pass = 0; pass < 3; ++pass) {
            sort(starts);
            bin_.set_variances_by_model(starts.front().at);
            for (Minimum& each : starts) each = minimiser_.minimise(each.at, free_, kTolerance);
        }
    }

    static void sort(std::vector<Minimum>& minima) {
        std::stable_sort(minima.begin(), minima.end(),
                         [](const Minimum& a, const Minimum& b) { return a.statistic < b.statistic; });
    }

    double first_norm(double kt) {
        const double net = std::max(bin_.source_counts(), 1.0);
        return net / bin_.folded(bin_.segment(kt), abundance_);
    }

    // The inverse of the Fisher matrix over the parameters that are free; false where these cannot be told apart.
    bool find_covariance() {
        const Evaluation made = bin_.evaluate(best_.at, bin_.segment(best_.at[kKt]));
        covariance_ = {};
        for (std::size_t p = 0; p < 3; ++p) {
            if (!free_[p]) continue;
            Vector3 unit{};
            unit[p] = 1;
            if (!(made.fisher[p][p] > 0) || !detail::solve_free(made.fisher, unit, free_, covariance_[p])) return false;
        }
        return true;
    }

    // The ends of the errors of all free parameters; or a better minimum that one of the profiles has met.
    template <class Check>
    std::optional<Minimum> profiles(std::array<std::array<ProfileEnd, 2>, 3>& ends, const Check& check) {
        for (std::size_t p = 0; p < 3; ++p) {
            if (!free_[p]) continue;
            for (std::size_t side = 0; side < 2; ++side) {
                ends[p][side] = profile(p, side == 0 ? -1 : 1);
                if (ends[p][side].better) return ends[p][side].better;
                check();
            }
        }
        return std::nullopt;
    }

    // How far a parameter may go from the minimum: in ln kT, Z, ln norm.
    double room(std::size_t p, double sign) const {
        const double bound = sign < 0 ? bounds_.low[p] : bounds_.high[p];
        if (p == kKt) return std::abs(std::log(bound / best_.at[kKt]));
        if (p == kAbundance) return std::abs(bound - best_.at[kAbundance]);
        return 30;
    }

    // Where to begin at a distance: by the covariance, or in the proportions of the last point, at `last_distance`.
    Parameters shifted(std::size_t p, double sign, double distance, const std::optional<Minimum>& last,
                       double last_distance) const {
        Parameters to;
        for (std::size_t q = 0; q < 3; ++q) {
            double move = sign * distance * (q == p ? 1 : covariance_[p][q] / covariance_[p][p]);
            if (last && q != p) {
                const double seen = q == kAbundance ? last->at[q] - best_.at[q] : std::log(last->at[q] / best_.at[q]);
                move = seen * distance / last_distance;
            }
            to[q] = q == kAbundance ? best_.at[q] + move : best_.at[q] * std::exp(std::clamp(move, -30.0, 30.0));
            if (q != kNorm) to[q] = std::clamp(to[q], bounds_.low[q], bounds_.high[q]);
        }
        return to;
    }

    // How far a parameter is from the minimum: in ln kT, Z, ln norm.
    double apart(std::size_t p, const Parameters& at) const {
        return std::abs(p == kAbundance ? at[p] - best_.at[p] : std::log(at[p] / best_.at[p]));
    }

    // The point of a profile that is below the one found, beyond a table point: with the parameter held, or, where it
    // is kT, further from the minimum and not yet risen by delta. The one found, where none is lower by more than the
    // profile's tolerance.
    Minimum lower_beside(std::size_t p, double sign, const Minimum& found, const Free& others) {
        const double tolerance = kProfileTolerance * delta_;
        if (p != kKt) return beside_table_points(found, others, tolerance);
        const std::optional<Minimum> there = in_next_segment(found, sign, free_, tolerance);
        const bool further = there && sign * (there->at[kKt] - found.at[kKt]) > 0;
        const double least = std::min(found.statistic - tolerance, best_.statistic + delta_);
        return further && there->statistic < least ? *there : found;
    }

    // Where the statistic, minimised over the other parameters, has risen by delta.
    ProfileEnd profile(std::size_t p, double sign) {
        const double delta = delta_, most = room(p, sign);
        Free others = free_;
        others[p] = false;
        Bracket bracket{delta};
        double distance = std::sqrt(delta * covariance_[p][p]);
        std::optional<Minimum> last;
        if (!(most > 0)) return {};
        for (int step = 0; step < kMostProfileSteps; ++step) {
            const bool at_bound = distance >= most;
            distance = std::min(distance, most);
            Minimum here = minimiser_.minimise(shifted(p, sign, distance, last, bracket.inner), others, 1e-4 * delta);
            if (std::abs(here.statistic - best_.statistic - delta) < kProfileTolerance * delta || bracket.is_closed()) {
                const Minimum lower = lower_beside(p, sign, here, others);
                const bool is_end = lower.statistic == here.statistic || lower.statistic - best_.statistic >= delta;
                if (is_end) return {lower.at, std::nullopt};
                here = lower;  // the end is further out, and the outer end of the bracket belongs to another valley
                distance = apart(p, here.at);
                bracket.outer = kInfinity;
            }
            const double rise = here.statistic - best_.statistic;
            if (rise < -kBetter) {
                Minimum better = minimiser_.minimise(here.at, free_, kTolerance);
                if (better.statistic < best_.statistic - kBetter) return {std::nullopt, better};
            }
            bracket.add(distance, rise);
            if (rise < delta) {
                if (at_bound) return {};
                last = here;  // never one beyond the end, which may lie in the valley of another minimum
            }
            distance = bracket.next(step > kParabolicSteps);
        }
        return {};
    }

    void write(FittedBin& fitted, const std::array<std::array<ProfileEnd, 2>, 3>& ends) {
        const auto end = [&](std::size_t p, std::size_t side, std::size_t of) {
            return ends[p][side].at ? (*ends[p][side].at)[of] : kNaN;
        };
        fitted.kt = best_.at[kKt];
        fitted.abundance = best_.at[kAbundance];
        fitted.norm = best_.at[kNorm];
        fitted.kt_low = end(kKt, 0, kKt);
        fitted.kt_high = end(kKt, 1, kKt);
        fitted.abundance_low = end(kAbundance, 0, kAbundance);
        fitted.abundance_high = end(kAbundance, 1, kAbundance);
        fitted.norm_low = end(kNorm, 0, kNorm);
        fitted.norm_high = end(kNorm, 1, kNorm);
        fitted.norm_at_kt_low = end(kKt, 0, kNorm);
        fitted.norm_at_kt_high = end(kKt, 1, kNorm);
        fitted.kt_at_norm_low = end(kNorm, 0, kKt);
        fitted.kt_at_norm_high = end(kNorm, 1, kKt);
        fitted.statistic = best_.statistic;
        const std::array<double, 2> expected = bin_.expectation(best_.at, settings_.table);
        fitted.expected = expected[0];
        fitted.variance = expected[1];
        if (!best_.converged) flags_ |= kNotConverged;
        if (best_.at[kKt] <= bounds_.low[kKt] || best_.at[kKt] >= bounds_.high[kKt]) flags_ |= kTemperatureAtLimit;
        if (free_[kAbundance]
            && (best_.at[kAbundance] <= bounds_.low[kAbundance] || best_.at[kAbundance] >= bounds_.high[kAbundance])) {
            flags_ |= kAbundanceAtLimit;
        }
        if (flags_ & kDegenerate) return;
        std::size_t k = 0;
        for (std::size_t p = 0; p < 3; ++p) {
            for (std::size_t q = p; q < 3; ++q) fitted.covariance[k++] = covariance_[p][q];
        }
        if (delta_ == 0) return;
        for (const std::size_t p : {kKt, kNorm}) {
            if (!ends[p][0].at || !ends[p][1].at) flags_ |= kErrorOpen;
        }
        if (free_[kAbundance] && (!ends[kAbundance][0].at || !ends[kAbundance][1].at)) flags_ |= kAbundanceOpen;
    }

    // The best other minimum: outside the error of kT, so that neighbours of one valley are not told apart.
    void find_second(FittedBin& fitted, const std::vector<Minimum>& minima,
                     const std::array<std::array<ProfileEnd, 2>, 3>& ends) {
        const auto& [lower, upper] = ends[kKt];
        const double low = lower.at ? (*lower.at)[kKt] : bounds_.low[kKt];
        const double high = upper.at ? (*upper.at)[kKt] : bounds_.high[kKt];
        for (const Minimum& each : minima) {
            const double delta = each.statistic - best_.statistic;
            const double kt = each.at[kKt];
            if (kt >= low && kt <= high) continue;
            fitted.second_kt = kt;
            fitted.second_delta = delta;
            if (delta < kSecond) flags_ |= kSecondMinimum;
            return;
        }
    }

    SpectralBin& bin_;
    const FitSettings& settings_;
    double delta_;
    Bounds bounds_;
    Minimiser minimiser_;
    Free free_;
    double abundance_;
    std::int32_t flags_ = 0;
    Minimum best_;
    std::array<Vector3, 3> covariance_{};
};

FittedBin nothing_fitted() {
    FittedBin made{};
    double* first = &made.kt;
    std::fill_n(first, sizeof(FittedBin) / sizeof(double), kNaN);
    return made;
}

void check_components(const BinnedSpectra& spectra) {
    require(spectra.components >= 1 && spectra.components <= detail::kMostComponents,
            "a background must have 1 or 2 components");
}

void check_input(const SpectralTemplates& templates, const BinnedSpectra& spectra, const FitSettings& settings) {
    require(templates.temperatures >= 2, "there must be two temperatures at least");
    for (std::size_t j = 1; j < templates.temperatures; ++j) {
        require(templates.kt[j] > templates.kt[j - 1], "temperatures must ascend");
    }
    require(templates.kt[0] > 0 && templates.kt[0] <= settings.kt_low && settings.kt_low < settings.kt_high
                && settings.kt_high <= templates.kt[templates.temperatures - 1],
            "the limits of kT must ascend within the table");
    require(settings.abundance_low <= settings.abundance_high, "the limits of the abundance must ascend");
    require(settings.table.step > 0, "the step of the table must be positive");
    require(spectra.bin_offsets[0] == 0 && spectra.weight_offsets[0] == 0, "offsets must begin with 0");
    for (std::size_t k = 0; k < spectra.bins; ++k) {
        require(spectra.bin_offsets[k] <= spectra.bin_offsets[k + 1], "offsets must ascend");
        require(!(settings.delta[k] < 0), "delta must not be negative");
    }
    const auto sets = static_cast<std::size_t>(spectra.bin_offsets[spectra.bins]);
    check_components(spectra);
    for (std::size_t d = 0; d < sets; ++d) {
        require(spectra.statistic[d] <= FitStatistic::chi2, "an unknown statistic");
        require(spectra.weight_offsets[d] <= spectra.weight_offsets[d + 1], "offsets must ascend");
        std::int32_t last = 0;
        for (std::size_t c = 0; c < templates.channels; ++c) {
            const std::int32_t group = spectra.groups[d * templates.channels + c];
            require(c == 0 ? group == 0 : group == last || group == last + 1, "groups must ascend by 0 or 1 from 0");
            last = group;
        }
    }
    for (std::int64_t k = 0; k < spectra.weight_offsets[sets]; ++k) {
        require(spectra.weight_response[k] < static_cast<std::int64_t>(templates.responses),
                "a response is beyond the templates");
    }
}

}  // namespace

void fit_spectra(const SpectralTemplates& templates, const BinnedSpectra& spectra, const FitSettings& settings,
                 int threads, const Control& control, FittedBin* fitted, std::int32_t* flags, std::int32_t* evaluations,
                 double* amounts) {
    if (spectra.bins == 0) return;
    check_input(templates, spectra, settings);
    parallel_for(spectra.bins, threads, control, 0, 1, [&](std::size_t k, const auto& check) {
        fitted[k] = nothing_fitted();
        flags[k] = evaluations[k] = 0;
        const auto components = static_cast<std::int64_t>(spectra.components);
        std::fill(amounts + spectra.bin_offsets[k] * components, amounts + spectra.bin_offsets[k + 1] * components,
                  kNaN);
        if (std::isnan(settings.delta[k])) return;
        SpectralBin bin(templates, spectra, k);
        flags[k] = BinFit(bin, settings, settings.fixed_abundance[k], settings.delta[k]).fit(fitted[k], check);
        evaluations[k] = bin.evaluations();
        if (std::isfinite(fitted[k].statistic)) bin.write_amounts(amounts);
    });
}

void fit_background_amounts(const BinnedSpectra& spectra, std::size_t sets, std::size_t channels, const double* source,
                            double* amounts) {
    check_components(spectra);
    for (std::size_t d = 0; d < sets; ++d) {
        detail::BackgroundAmounts found = detail::free_amounts(spectra, channels, d);
        for (int search = 0; search < kAmountSearches; ++search) {
            found.fit(source + d * channels, spectra.counts + d * channels);
        }
        for (std::size_t k = 0; k < spectra.components; ++k) {
            amounts[d * spectra.components + k] = k < found.components() ? found.amount(k) : kNaN;
        }
    }
}

}  // namespace chandra_bin
