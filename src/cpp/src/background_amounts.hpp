// The amounts of the components of a background that fit a spectrum best for given source counts. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <vector>

#include "spectral_laws.hpp"

namespace chandra_bin::detail {

constexpr std::size_t kMostComponents = 2;
constexpr std::size_t kPadding = 64;

// Symmetric 2 x 2: 00, 01, 11.
using AmountMatrix = std::array<double, 3>;
using AmountVector = std::array<double, kMostComponents>;

// Expected counts of a spectrum are m + sum of a_k B_k, with the expected background B_k for an amount of 1. The
// background file measures the amounts: in some bands it holds counts, which a_k T_k are expected to be. For given source
// counts m the C-statistic of the spectrum and of these bands is convex in the amounts a_k.
class BackgroundAmounts {
public:
    BackgroundAmounts() = default;

    // `shapes` (components, channels), `bands` (bands), `expected` (components, bands).
    BackgroundAmounts(std::size_t components, std::size_t channels, const double* shapes, std::size_t bands,
                      const double* band_counts, const double* band_expected)
        : components_(components), channels_(channels), stride_((channels / kPadding + 1) * kPadding),
          shapes_(components * stride_) {
        std::vector<std::size_t> used;  // bands that hold nothing tell nothing
        for (std::size_t j = 0; j < bands; ++j) {
            double most = 0;
            for (std::size_t k = 0; k < components; ++k) most = std::max(most, band_expected[k * bands + j]);
            if (most > 0) used.push_back(j);
        }
        for (const std::size_t j : used) band_counts_.push_back(band_counts[j]);
        for (std::size_t k = 0; k < components; ++k) {
            for (const std::size_t j : used) band_expected_.push_back(band_expected[k * bands + j]);
        }
        for (std::size_t k = 0; k < components; ++k) {
            std::copy_n(shapes + k * channels, channels, shapes_.begin() + static_cast<std::ptrdiff_t>(k * stride_));
        }
    }

    std::size_t components() const { return components_; }
    // Without a second component whose amount is practically 0, and stays there.
    std::size_t movable() const { return components_ == 2 && amounts_[1] < 1e-6 ? 1 : components_; }
    std::size_t bands() const { return band_counts_.size(); }
    double amount(std::size_t k) const { return amounts_[k]; }
    // Zeros follow the channels, up to a multiple of kPadding.
    const double* shape(std::size_t k) const { return shapes_.data() + k * stride_; }

    // Newton's method from the amounts of the last call. With one component it begins below the minimum or gets there by
    // its first step, and then ascends, as the derivative is concave; an amount never falls to 0.
    void fit(const double* source, const double* counts) {
        if (components_ == 1) {
            descend<1>(source, counts);
        } else if (components_ == 2) {
            descend<2>(source, counts);
        }
    }

    void expected_background(double* background) const {
        for (std::size_t i = 0; i < channels_; ++i) {
            double sum = 0;
            for (std::size_t k = 0; k < components_; ++k) sum += amounts_[k] * shapes_[k * stride_ + i];
            background[i] = sum;
        }
    }

    double band(std::size_t j) const {
        double sum = 0;
        for (std::size_t k = 0; k < components_; ++k) sum += amounts_[k] * band_expected_[k * bands() + j];
        return sum;
    }

    // Half the statistic of the bands.
    double half_statistic() const {
        double sum = 0;
        for (std::size_t j = 0; j < bands(); ++j) sum += CLaw::at(0, band_counts_[j], band(j), 0).value;
        return sum;
    }

    // The Fisher matrix of the amounts that the bands give.
    AmountMatrix fisher() const {
        AmountMatrix made{};
        for (std::size_t j = 0; j < bands(); ++j) {
            const double weight = 1 / std::max(band(j), kLeastForWeight);
            const double first = band_expected_[j], second = components_ > 1 ? band_expected_[bands() + j] : 0;
            made[0] += weight * first * first;
            made[1] += weight * first * second;
            made[2] += weight * second * second;
        }
        return made;
    }

    // Solves matrix x = right; false where the matrix is singular.
    static bool solve(std::size_t components, const AmountMatrix& matrix, const AmountVector& right, AmountVector& x) {
        x = {};
        if (!(matrix[0] > 0)) return false;
        if (components == 1) {
            x[0] = right[0] / matrix[0];
            return std::isfinite(x[0]);
        }
        const double pivot = matrix[2] - matrix[1] * matrix[1] / matrix[0];
        if (!(pivot > 1e-12 * matrix[2])) return false;
        x[1] = (right[1] - matrix[1] / matrix[0] * right[0]) / pivot;
        x[0] = (right[0] - matrix[1] * x[1]) / matrix[0];
        return std::isfinite(x[0]) && std::isfinite(x[1]);
    }

private:
    static constexpr int kMostSteps = 30;
    // A step that promises less is the last one: after it the statistic is right within about the square of this.
    static constexpr double kSmall = 1e-4;
    // A step takes an amount to this part of it at least; one that tends to 0 so gets as near as matters.
    static constexpr double kMostCut = 1.0 / 16, kSmallCut = 1e-8, kLeastAmount = 1e-30;
    static constexpr double kLeast = 1e-100;  // its square is a number, too
    static constexpr std::size_t kLanes = 4;
    using Lanes = std::array<double, kLanes>;

    template <std::size_t K>
    void descend(const double* source, const double* counts) {
        for (int step = 0; step < kMostSteps; ++step) {
            std::array<Lanes, K> slopes{};
            std::array<Lanes, 3> curves{};
            std::size_t i = 0;
            for (; i + kLanes <= channels_; i += kLanes) {
                for (std::size_t lane = 0; lane < kLanes; ++lane) {
                    add<K>(source[i + lane], counts[i + lane], i + lane, lane, slopes, curves);
                }
            }
            for (; i < channels_; ++i) add<K>(source[i], counts[i], i, 0, slopes, curves);
            AmountVector right{};
            AmountMatrix curve{};
            for (std::size_t k = 0; k < K; ++k) right[k] = -total(slopes[k]);
            for (std::size_t k = 0; k < 3; ++k) curve[k] = total(curves[k]);
            add_bands(right, curve);
            AmountVector move;
            if (!solve(K, curve, right, move)) return;
            double promise = 0, promise_of_cut = 0;
            bool cut = false;
            for (std::size_t k = 0; k < K && !cut; ++k) {
                const double least = -(1 - kMostCut) * amounts_[k];
                if (!(move[k] < least)) continue;
                cut = true;  // the other moves to its best place for that
                promise_of_cut = right[k] * least;
                move[k] = least;
                if constexpr (K > 1) {
                    const std::size_t other = 1 - k, own = 2 * other;
                    if (!(curve[own] > 0)) return;
                    const double best = (right[other] - curve[1] * least) / curve[own];
                    move[other] = std::max(best, -(1 - kMostCut) * amounts_[other]);
                    promise = move[other] * move[other] * curve[own];
                }
            }
            for (std::size_t k = 0; k < K; ++k) {
                if (!cut) promise += right[k] * move[k];
                amounts_[k] = std::max(amounts_[k] + move[k], kLeastAmount);
            }
            if (promise < kSmall && promise_of_cut < kSmallCut) return;
        }
    }

    template <std::size_t K>
    void add(double source, double counts, std::size_t i, std::size_t lane, std::array<Lanes, K>& slopes,
             std::array<Lanes, 3>& curves) const {
        const double first = shapes_[i], second = K > 1 ? shapes_[(K - 1) * stride_ + i] : 0;
        const double sum = source + amounts_[0] * first + (K > 1 ? amounts_[1] * second : 0);
        const double inverse = 1 / std::max(sum, kLeast);
        const double ratio = counts * inverse;
        const double slope = sum > 0 || counts > 0 ? 1 - ratio : 0, curve = ratio * inverse;
        slopes[0][lane] += slope * first;
        curves[0][lane] += curve * first * first;
        if constexpr (K > 1) {
            slopes[1][lane] += slope * second;
            curves[1][lane] += curve * first * second;
            curves[2][lane] += curve * second * second;
        }
    }

    void add_bands(AmountVector& right, AmountMatrix& curve) const {
        for (std::size_t j = 0; j < bands(); ++j) {
            const double inverse = 1 / std::max(band(j), kLeast), ratio = band_counts_[j] * inverse;
            const double first = band_expected_[j], second = components_ > 1 ? band_expected_[bands() + j] : 0;
            right[0] -= (1 - ratio) * first;
            right[1] -= (1 - ratio) * second;
            curve[0] += ratio * inverse * first * first;
            curve[1] += ratio * inverse * first * second;
            curve[2] += ratio * inverse * second * second;
        }
    }

    static double total(const Lanes& lanes) { return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]); }

    std::size_t components_ = 0, channels_ = 0, stride_ = 0;
    std::vector<double> shapes_, band_counts_, band_expected_;
    AmountVector amounts_{1, 1};
};

}  // namespace chandra_bin::detail
