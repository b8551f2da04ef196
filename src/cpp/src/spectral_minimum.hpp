// Damped Fisher scoring on a statistic whose model is linear in kT between table points. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <optional>

#include "spectral_bin.hpp"

namespace chandra_bin::detail {

struct Bounds {
    Parameters low, high;  // of norm: not used
};

struct Minimum {
    Parameters at{};
    double statistic = std::numeric_limits<double>::infinity();
    bool converged = false;
    Evaluation evaluation;  // the last one, with the derivatives of one side of kT
};

using Vector3 = std::array<double, 3>;

// Solves fisher x = right in place by elimination without pivoting over the parameters that are `free`, whose matrix is
// positive definite; others stay 0. Returns false where a pivot has lost all but 1e-10 of its diagonal.
inline bool solve_free(std::array<Vector3, 3> fisher, Vector3 right, const std::array<bool, 3>& free, Vector3& x) {
    const std::array<Vector3, 3> original = fisher;
    for (std::size_t p = 0; p < 3; ++p) {
        if (!free[p]) continue;
        if (!(fisher[p][p] > 1e-10 * original[p][p]) || !std::isfinite(fisher[p][p])) return false;
        for (std::size_t q = p + 1; q < 3; ++q) {
            if (!free[q]) continue;
            const double factor = fisher[q][p] / fisher[p][p];
            for (std::size_t r = p; r < 3; ++r) fisher[q][r] -= factor * fisher[p][r];
            right[q] -= factor * right[p];
        }
    }
    x = {};
    for (std::size_t p = 3; p-- > 0;) {
        if (!free[p]) continue;
        double sum = right[p];
        for (std::size_t q = p + 1; q < 3; ++q) {
            if (free[q]) sum -= fisher[p][q] * x[q];
        }
        x[p] = sum / fisher[p][p];
    }
    return true;
}

class Minimiser {
public:
    Minimiser(SpectralBin& bin, const Bounds& bounds) : bin_(bin), bounds_(bounds) {}

    // The minimum over the `free` parameters that is reached from `start`: until a step promises less than `tolerance`.
    Minimum minimise(const Parameters& start, const std::array<bool, 3>& free, double tolerance) {
        Minimum best;
        best.at = start;
        double damping = 0;
        Direction next = look(best.at, free, damping);
        best.statistic = next.evaluation.statistic;
        for (int step = 0; step < kMostSteps; ++step) {
            if (!next.solved) {
                if (damping > kMostDamping) break;
                damping = std::max(kFirstDamping, damping * 10);
                next = look(best.at, free, damping);
                continue;
            }
            if (next.promise < tolerance) {
                // A damped step promises little anywhere: only an undamped one ends the search.
                best.converged =
                    damping == 0 || (next = look(best.at, free, 0), next.solved && next.promise < tolerance);
                if (best.converged || damping > kMostDamping) break;
                damping = 0;
            }
            std::optional<Parameters> reached = try_step(best, next, free);
            if (reached) {
                best.at = *reached;
                damping = damping > kFirstDamping ? damping / 10 : 0;
                next = look(best.at, free, damping);
                best.statistic = next.evaluation.statistic;
            } else {
                if (damping > kMostDamping) break;
                damping = std::max(kFirstDamping, damping * 10);
                next = look(best.at, free, damping);
            }
        }
        if (!best.converged) {
            const Direction last = look(best.at, free, 0);
            best.converged = last.solved && last.promise < kGoodEnough;
        }
        best.evaluation = next.evaluation;
        return best;
    }

    // A point to search from in the segment below (-1) or above (1) that of a minimum: none where the statistic rises from
    // the table point between both into that segment. Models of one segment are mixtures of its two ends, so for a given
    // abundance its statistic has one minimum, and that is then at the table point.
    std::optional<Parameters> falls_beyond(const Minimum& from, double sign, const std::array<bool, 3>& free) {
        const std::size_t j = bin_.segment(from.at[kKt]);
        const bool at_point = from.at[kKt] == bin_.kt(j);
        if (sign > 0 ? j + 2 >= bin_.temperatures() : j < (at_point ? 2 : 1)) return std::nullopt;
        const std::size_t point = sign > 0 ? j + 1 : j - (at_point ? 1 : 0);
        const std::size_t beyond = sign > 0 ? point : point - 1;
        if (sign > 0 ? bin_.kt(point) >= high(kKt) : bin_.kt(point) <= low(kKt)) return std::nullopt;
        std::array<bool, 3> others = free;
        others[kKt] = false;
        Vector3 given{}, step;
        given[kKt] = std::log(bin_.kt(point) / from.at[kKt]);
        if (!constrained(from.evaluation, others, given, 0, step)) return std::nullopt;
        Parameters at = moved(from.at, step);
        at[kKt] = bin_.kt(point);
        std::array<bool, 3> with_kt = others;
        with_kt[kKt] = true;
        const Direction next = direction(bin_.evaluate(at, beyond), at, with_kt, 0);
        if (next.solved && !(sign * next.step[kKt] > 0)) return std::nullopt;
        at[kKt] += sign * kInside * (bin_.kt(beyond + 1) - bin_.kt(beyond));
        at[kKt] = std::clamp(at[kKt], low(kKt), high(kKt));
        return at;
    }

private:
    static constexpr int kMostSteps = 60;
    // Where a search begins in the next segment, as a part of its width from the table point.
    static constexpr double kInside = 0.1;
    static constexpr double kFirstDamping = 1e-2, kMostDamping = 1e8;
    // A step must decrease the statistic by this part of its promise.
    static constexpr double kLeastDecrease = 0.1;
    // Of a search that ends because no step decreases the statistic by more than rounding.
    static constexpr double kGoodEnough = 1e-2;

    struct Direction {
        Evaluation evaluation;
        Vector3 step{};
        double promise = 0;  // decrease of the statistic, by the quadratic model
        bool solved = false;
    };

    double low(std::size_t p) const { return bounds_.low[p]; }
    double high(std::size_t p) const { return bounds_.high[p]; }

    // The best step from a point; at a table point that of the side to which the statistic falls.
    Direction look(const Parameters& at, const std::array<bool, 3>& free, double damping) {
        const std::size_t j = bin_.segment(at[kKt]);
        if (!free[kKt]) {
            const Evaluation made = at[kKt] == bin_.kt(j) ? bin_.evaluate_at_point(at, j) : bin_.evaluate(at, j);
            return direction(made, at, free, damping);
        }
        const Direction above = direction(bin_.evaluate(at, j), at, free, damping);
        if (at[kKt] != bin_.kt(j) || j == 0) return above;
        const Direction below = direction(bin_.evaluate(at, j - 1), at, free, damping);
        const bool up = above.solved && above.step[kKt] > 0, down = below.solved && below.step[kKt] < 0;
        if (up && down) return above.promise >= below.promise ? above : below;
        if (up || !above.solved) return above;
        if (down || !below.solved) return below;
        std::array<bool, 3> others = free;  // the statistic rises on both sides of the kink
        others[kKt] = false;
        return direction(above.evaluation, at, others, damping);
    }

    Direction direction(const Evaluation& made, const Parameters& at, const std::array<bool, 3>& free, double damping) {
        Direction found;
        found.evaluation = made;
        std::array<bool, 3> solving = free;
        Vector3 given{};
        for (int round = 0; round < 3; ++round) {
            if (!constrained(made, solving, given, damping, found.step)) return found;
            std::size_t outside = 3;
            for (const std::size_t p : {kKt, kAbundance}) {
                if (!solving[p]) continue;
                const double bound = found.step[p] < 0 ? low(p) : high(p);
                const double room = p == kKt ? std::log(bound / at[p]) : bound - at[p];
                if (std::abs(found.step[p]) > std::abs(room)) {
                    outside = p;
                    given[p] = room;
                    break;
                }
            }
            if (outside == 3) break;
            solving[outside] = false;
        }
        shorten(found.step);
        double curve = 0, slope = 0;
        for (std::size_t p = 0; p < 3; ++p) {
            slope += made.slope[p] * found.step[p];
            for (std::size_t q = 0; q < 3; ++q) curve += found.step[p] * made.fisher[p][q] * found.step[q];
        }
        found.promise = -(2 * slope + curve);
        found.solved = std::isfinite(found.promise);
        return found;
    }

    // The step of the parameters that are solved for, where the others move as given.
    static bool constrained(const Evaluation& made, const std::array<bool, 3>& solving, const Vector3& given,
                            double damping, Vector3& step) {
        std::array<Vector3, 3> fisher = made.fisher;
        Vector3 right{};
        for (std::size_t p = 0; p < 3; ++p) {
            right[p] = -made.slope[p];
            for (std::size_t q = 0; q < 3; ++q) {
                if (!solving[q]) right[p] -= made.fisher[p][q] * given[q];
            }
            fisher[p][p] *= 1 + damping;
        }
        if (!solve_free(fisher, right, solving, step)) return false;
        for (std::size_t p = 0; p < 3; ++p) {
            if (!solving[p]) step[p] = given[p];
        }
        return true;
    }

    static void shorten(Vector3& step) {
        constexpr Vector3 longest{1, 2, 2};
        double factor = 1;
        for (std::size_t p = 0; p < 3; ++p) {
            if (std::abs(step[p]) * factor > longest[p]) factor = longest[p] / std::abs(step[p]);
        }
        for (double& each : step) each *= factor;
    }

    Parameters moved(const Parameters& at, const Vector3& step) const {
        Parameters to = at;
        if (step[kKt] != 0) to[kKt] = std::clamp(at[kKt] * std::exp(step[kKt]), low(kKt), high(kKt));
        if (step[kAbundance] != 0) {
            to[kAbundance] = std::clamp(at[kAbundance] + step[kAbundance], low(kAbundance), high(kAbundance));
        }
        to[kNorm] = at[kNorm] * std::exp(step[kNorm]);
        return to;
    }

    double statistic(const Parameters& at) { return bin_.evaluate(at, bin_.segment(at[kKt])).statistic; }

    // Where the step, or the step to the first table point on its way, decreases the statistic enough.
    std::optional<Parameters> try_step(const Minimum& from, const Direction& next, const std::array<bool, 3>& free) {
        const Parameters full = moved(from.at, next.step);
        if (from.statistic - statistic(full) > kLeastDecrease * next.promise) return full;
        if (!free[kKt] || next.step[kKt] == 0) return std::nullopt;
        std::size_t j = bin_.segment(from.at[kKt]);
        if (next.step[kKt] < 0 && from.at[kKt] == bin_.kt(j)) --j;
        const double point = next.step[kKt] > 0 ? bin_.kt(j + 1) : bin_.kt(j);
        const bool crosses = next.step[kKt] > 0 ? full[kKt] > point : full[kKt] < point;
        if (!crosses || point < low(kKt) || point > high(kKt)) return std::nullopt;
        std::array<bool, 3> others = free;
        others[kKt] = false;
        Vector3 given{};
        given[kKt] = std::log(point / from.at[kKt]);
        Vector3 step;
        if (!constrained(next.evaluation, others, given, 0, step)) return std::nullopt;
        Parameters clipped = moved(from.at, step);
        clipped[kKt] = point;
        if (from.statistic - statistic(clipped) > 1e-3 * next.promise * std::abs(given[kKt] / next.step[kKt]))
            return clipped;
        return std::nullopt;
    }

    SpectralBin& bin_;
    Bounds bounds_;
};

}  // namespace chandra_bin::detail
