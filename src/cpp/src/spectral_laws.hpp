// Statistics of one group of channels and their derivatives by the expected source counts. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <cmath>

namespace chandra_bin::detail {

// Expected counts below this are taken for it: the statistic stays finite where counts meet an expectation of zero.
constexpr double kLeastExpected = 1e-300;
// The weight of a group in the Fisher matrix is that of this many expected counts at most: at an expectation of nearly
// zero, which a negative abundance can lead to, the matrix would otherwise forbid any step.
constexpr double kLeastForWeight = 1e-3;

// Half the statistic, its first derivative by the source counts, and the expectation of the second.
struct HalfStatistic {
    double value, slope, weight;
};

inline double log_ratio_term(double counts, double expected) {
    return counts > 0 ? counts * std::log(counts / expected) : 0;
}

// Cash 1979 (ApJ 228, 939) in the form m - D + D ln(D / m). `background`: expected counts. Convex: an expectation below 0,
// which a negative abundance can lead to, costs nothing where there are no counts, and more than anything where there are.
struct CLaw {
    static HalfStatistic at(double source, double counts, double background, double) {
        const double sum = source + background, expected = std::max(sum, kLeastExpected);
        const double value = expected - counts + log_ratio_term(counts, expected);
        const double slope = sum > 0 || counts > 0 ? 1 - counts / expected : 0;
        return {value, slope, 1 / std::max(expected, kLeastForWeight)};
    }
};

// The background rate of a group that maximises the likelihood: the larger root of
// s (1 + s) b^2 + [(1 + s) m - s (D + B)] b - B m = 0. The source m may be negative, but m + s b is not.
inline double profiled_background(double source, double counts, double background, double ratio) {
    if (!(ratio > 0)) return background;
    if (!(background > 0)) return std::max(0.0, counts / (1 + ratio) - source / ratio);
    if (!(counts > 0)) return std::max(background / (1 + ratio), -source / ratio);
    const double square = ratio * (1 + ratio);
    const double linear = (1 + ratio) * source - ratio * (counts + background);
    const double constant = -background * source;
    const double root = std::sqrt(std::max(0.0, linear * linear - 4 * square * constant));
    // The form without cancellation.
    return linear > 0 ? -2 * constant / (linear + root) : (root - linear) / (2 * square);
}

// C of source and background with the background rate of each group free. `background`: counts of the background file.
// The weight is the Schur complement of the Fisher matrix of (m, b) in m.
struct WLaw {
    static HalfStatistic at(double source, double counts, double background, double ratio) {
        const double b = profiled_background(source, counts, background, ratio);
        const double sum = source + ratio * b;
        const double expected = std::max(sum, kLeastExpected), off = std::max(b, kLeastExpected);
        const double value =
            expected - counts + log_ratio_term(counts, expected) + off - background + log_ratio_term(background, off);
        const bool held = !(counts > 0) && source < 0 && b * ratio <= -source;  // b follows the source: m + s b = 0
        const double slope = held ? -(1 - background / off) / ratio : 1 - counts / expected;
        return {value, slope, 1 / std::max(expected + ratio * ratio * b, kLeastForWeight)};
    }
};

// Chi-square with given variances.
struct Chi2Law {
    static HalfStatistic at(double source, double counts, double background, double ratio, double variance) {
        const double difference = counts - ratio * background - source;
        return {difference * difference / (2 * variance), -difference / variance, 1 / variance};
    }
};

}  // namespace chandra_bin::detail
