// The spectra of one bin in one row of groups of channels, with its own mixture of templates. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "background_amounts.hpp"
#include "chandra_bin/fit_spectra.hpp"
#include "spectral_laws.hpp"

namespace chandra_bin::detail {

// Parameters: kT, Z, norm. Steps and derivatives are those of (ln kT, Z, ln norm).
using Parameters = std::array<double, 3>;
constexpr std::size_t kKt = 0, kAbundance = 1, kNorm = 2;

struct Evaluation {
    double statistic = 0;
    std::array<double, 3> slope{};                  // of half the statistic
    std::array<std::array<double, 3>, 3> fisher{};  // of half the statistic
};

// The amounts of the background of a data set in single channels; without components where they are not free.
inline BackgroundAmounts free_amounts(const BinnedSpectra& spectra, std::size_t channels, std::size_t d) {
    const std::size_t bands = spectra.bands, first = d * spectra.components;
    if (spectra.statistic[d] != FitStatistic::c) return {};
    const double* expected = spectra.band_expected + first * bands;
    std::size_t measured = 0;
    while (measured < spectra.components
           && std::any_of(
               expected + measured * bands, expected + (measured + 1) * bands, [](double each) { return each > 0; })) {
        ++measured;
    }
    if (measured == 0) return {};
    return {measured, channels, spectra.background + first * channels, bands, spectra.band_counts + d * bands,
            expected};
}

class SpectralBin {
public:
    SpectralBin(const SpectralTemplates& templates, const BinnedSpectra& spectra, std::size_t bin)
        : templates_(templates), spectra_(spectra) {
        const auto first = static_cast<std::size_t>(spectra.bin_offsets[bin]);
        const auto last = static_cast<std::size_t>(spectra.bin_offsets[bin + 1]);
        for (std::size_t d = first; d < last; ++d) add_set(d);
        lines_.resize(templates.temperatures);
    }

    std::size_t size() const { return counts_.size(); }
    bool response_missing() const { return response_missing_; }
    std::int32_t evaluations() const { return evaluations_; }
    double kt(std::size_t place) const { return templates_.kt[place]; }
    std::size_t temperatures() const { return templates_.temperatures; }

    // The segment [kt(j), kt(j + 1)] that holds kT: the one above a table point, except at the last.
    std::size_t segment(double value) const {
        const double* end = templates_.kt + templates_.temperatures - 1;
        const double* above = std::upper_bound(templates_.kt + 1, end, value);
        return static_cast<std::size_t>(above - templates_.kt) - 1;
    }

    // With the derivative by ln kT of the segment `j`, which holds kT.
    Evaluation evaluate(const Parameters& at, std::size_t j) {
        const double low = kt(j), width = kt(j + 1) - low;
        return evaluate(at, lines(j), lines(j + 1), (at[kKt] - low) / width, at[kKt] / width);
    }

    // At the table point `j`, without the derivative by kT.
    Evaluation evaluate_at_point(const Parameters& at, std::size_t j) { return evaluate(at, lines(j), lines(j), 0, 0); }

    double source_counts() const {
        double sum = 0;
        for (const Set& set : sets_) {
            for (std::size_t i = set.begin; i < set.end; ++i) {
                sum += counts_[i] - (set.statistic == FitStatistic::c ? 1 : set.ratio) * background_[i];
            }
        }
        return sum;
    }

    // Expected source counts for norm 1 and the abundance, at a table point.
    double folded(std::size_t j, double abundance) {
        const double *plain = lines(j), *metals = plain + size();
        double sum = 0;
        for (std::size_t i = 0; i < size(); ++i) sum += std::max(plain[i] + abundance * metals[i], 0.0);
        return sum;
    }

    // Whether Z = 1 changes any expected count at a table point.
    bool abundance_has_effect(std::size_t j) {
        const double* metals = lines(j) + size();
        return std::any_of(metals, metals + size(), [](double each) { return each != 0; });
    }

    bool has_chi2() const {
        return std::any_of(sets_.begin(), sets_.end(),
                           [](const Set& set) { return set.statistic == FitStatistic::chi2; });
    }

    // Variances of chi-square by the counts (Gehrels 1986, ApJ 303, 336).
    void set_variances_by_counts() {
        for (const Set& set : sets_) {
            for (std::size_t i = set.begin; i < set.end; ++i) {
                const double error = 1 + std::sqrt(counts_[i] + 0.75);
                const double off = set.ratio > 0 ? set.ratio * (1 + std::sqrt(background_[i] + 0.75)) : 0;
                variance_[i] = error * error + off * off;
            }
        }
    }

    // Variances of chi-square by the model, with the background as counted.
    void set_variances_by_model(const Parameters& at) {
        fill_source(at);
        for (const Set& set : sets_) {
            for (std::size_t i = set.begin; i < set.end; ++i) {
                const double expected = std::max(source_[i], 0.0) + set.ratio * background_[i];
                variance_[i] = std::max(expected + set.ratio * set.ratio * background_[i], kLeastForWeight);
            }
        }
    }

    // Writes the amounts of the last evaluation, of data sets that have free ones, into (data sets, components).
    void write_amounts(double* amounts) const {
        for (const Set& set : sets_) {
            for (std::size_t k = 0; k < set.amounts.components(); ++k) {
                amounts[set.number * spectra_.components + k] = set.amounts.amount(k);
            }
        }
    }

    // Expected value and variance of the statistic, summed over groups. Of the bands that measure the amounts of a
    // background as many count as there are more than amounts: that many are not fitted exactly.
    std::array<double, 2> expectation(const Parameters& at, const StatisticTable& table) {
        fill_source(at);
        std::array<double, 2> sum{};
        const auto add = [&](double expected, double part) {
            const std::array<double, 2> each = of_table(expected, table);
            sum[0] += part * each[0];
            sum[1] += part * each[1];
        };
        for (Set& set : sets_) {
            fit_amounts(set);
            if (const double bands = static_cast<double>(set.amounts.bands()); bands > 0) {
                const double part = std::max(0.0, 1 - static_cast<double>(set.amounts.components()) / bands);
                for (std::size_t j = 0; j < set.amounts.bands(); ++j) add(set.amounts.band(j), part);
            }
            for (std::size_t i = set.begin; i < set.end; ++i) {
                const double source = std::max(source_[i], 0.0);
                if (set.statistic == FitStatistic::c) {
                    add(source + background_[i], 1);
                } else if (set.statistic == FitStatistic::chi2) {
                    sum[0] += 1;
                    sum[1] += 2;
                } else {  // a guide only: what of the variance is that of the counts, and of the background's
                    const double b = profiled_background(source, counts_[i], background_[i], set.ratio);
                    const double on = source + set.ratio * b, off = set.ratio * set.ratio * b;
                    if (!(on + off > 0)) continue;
                    add(on, on / (on + off));
                    add(b, off / (on + off));
                }
            }
        }
        return sum;
    }

private:
    struct Set {
        std::size_t number, begin, end;
        FitStatistic statistic;
        double ratio;
        bool grouped;
        BackgroundAmounts amounts;
    };

    void add_set(std::size_t d) {
        const auto begin = static_cast<std::size_t>(spectra_.weight_offsets[d]);
        const auto end = static_cast<std::size_t>(spectra_.weight_offsets[d + 1]);
        bool missing = false, seen = false;
        for (std::size_t k = begin; k < end; ++k) {
            missing |= spectra_.weight_response[k] < 0;
            seen |= spectra_.weight[k] > 0;
        }
        response_missing_ |= missing;
        const std::size_t channels = templates_.channels;
        if (missing || !seen || !(spectra_.exposure[d] > 0) || channels == 0) return;
        const std::int32_t* groups = spectra_.groups + d * channels;
        const auto number = static_cast<std::size_t>(groups[channels - 1]) + 1;
        sets_.push_back({d, size(), size() + number, spectra_.statistic[d], spectra_.ratio[d], number != channels, {}});
        Set& set = sets_.back();
        for (std::vector<double>* each : {&counts_, &background_, &variance_, &source_}) each->resize(set.end, 0);
        for (std::size_t c = 0; c < channels; ++c) {
            const std::size_t to = set.begin + static_cast<std::size_t>(groups[c]);
            counts_[to] += spectra_.counts[d * channels + c];
            for (std::size_t k = 0; k < spectra_.components; ++k) {
                background_[to] += spectra_.background[(d * spectra_.components + k) * channels + c];
            }
        }
        if (!set.grouped) set.amounts = free_amounts(spectra_, channels, d);
    }

    // Fits the amounts to the source counts of the data set in source_, and sets its expected background.
    void fit_amounts(Set& set) {
        if (set.amounts.components() == 0) return;
        set.amounts.fit(source_.data() + set.begin, counts_.data() + set.begin);
        set.amounts.expected_background(background_.data() + set.begin);
    }

    // The two parts of the model at a table point, mixed when they are first asked for.
    const double* lines(std::size_t j) {
        if (lines_[j]) return lines_[j].get();
        lines_[j] = std::make_unique<double[]>(2 * size());
        const std::size_t channels = templates_.channels;
        for (const Set& set : sets_) {
            const auto begin = static_cast<std::size_t>(spectra_.weight_offsets[set.number]);
            const auto end = static_cast<std::size_t>(spectra_.weight_offsets[set.number + 1]);
            const std::int32_t* groups = spectra_.groups + set.number * channels;
            for (std::size_t k = begin; k < end; ++k) {
                const auto response = static_cast<std::size_t>(spectra_.weight_response[k]);
                const double factor = spectra_.weight[k] * spectra_.exposure[set.number];
                for (std::size_t part = 0; part < 2; ++part) {
                    const double* rates =
                        templates_.rates + ((response * templates_.temperatures + j) * 2 + part) * channels;
                    double* mixed = lines_[j].get() + part * size() + set.begin;
                    if (set.grouped) {
                        for (std::size_t c = 0; c < channels; ++c) mixed[groups[c]] += factor * rates[c];
                    } else {
                        for (std::size_t c = 0; c < channels; ++c) mixed[c] += factor * rates[c];
                    }
                }
            }
        }
        return lines_[j].get();
    }

    void fill_source(const Parameters& at) {
        const std::size_t j = segment(at[kKt]);
        const double *low = lines(j), *high = lines(j + 1);
        const double fraction = (at[kKt] - kt(j)) / (kt(j + 1) - kt(j));
        for (std::size_t i = 0; i < size(); ++i) {
            const double plain = low[i] + fraction * (high[i] - low[i]);
            const double metals = low[size() + i] + fraction * (high[size() + i] - low[size() + i]);
            source_[i] = at[kNorm] * (plain + at[kAbundance] * metals);
        }
    }

    static constexpr std::size_t kBlock = kPadding, kLanes = 4;
    using Lanes = std::array<double, kLanes>;

    // Derivatives of the source counts of a block of groups.
    struct Block {
        std::array<double, kBlock> source, by_kt, by_abundance, slope, weight;
    };

    struct LaneSums {
        Lanes value{}, slope_kt{}, slope_abundance{}, slope_norm{};
        Lanes kt_kt{}, kt_abundance{}, kt_norm{}, abundance_abundance{}, abundance_norm{}, norm_norm{};
    };

    Evaluation evaluate(const Parameters& at, const double* low, const double* high, double fraction, double kt_step) {
        ++evaluations_;
        LaneSums sums;
        AmountSums profiled;
        for (Set& set : sets_) {
            if (set.amounts.components() > 0) {
                for (std::size_t i = set.begin; i < set.end; ++i) {
                    const double metals = low[size() + i] + fraction * (high[size() + i] - low[size() + i]);
                    source_[i] = at[kNorm] * (low[i] + fraction * (high[i] - low[i]) + at[kAbundance] * metals);
                }
                fit_amounts(set);
            }
            AmountTotals of_amounts;
            for (std::size_t begin = set.begin; begin < set.end; begin += kBlock) {
                const std::size_t count = std::min(kBlock, set.end - begin);
                Block block{};
                for (std::size_t i = 0; i < count; ++i) {
                    const std::size_t from = begin + i, metals = size() + from;
                    const double plain_step = high[from] - low[from], metals_step = high[metals] - low[metals];
                    const double metals_here = low[metals] + fraction * metals_step;
                    block.source[i] = at[kNorm] * (low[from] + fraction * plain_step + at[kAbundance] * metals_here);
                    block.by_kt[i] = at[kNorm] * kt_step * (plain_step + at[kAbundance] * metals_step);
                    block.by_abundance[i] = at[kNorm] * metals_here;
                }
                apply_law(set, begin, count, block, sums.value);
                add_block(block, sums);
                if (set.amounts.components() > 0) add_amount_block(set, begin, block, of_amounts);
            }
            if (set.amounts.components() > 0) profiled.add(set.amounts, of_amounts);
        }
        Evaluation made = collected(sums);
        made.statistic += 2 * profiled.value;
        for (std::size_t p = 0; p < 3; ++p) {
            for (std::size_t q = 0; q < 3; ++q) made.fisher[p][q] -= profiled.lost[p][q];
        }
        return made;
    }

    // Sums over the channels of a data set: elements of the Fisher matrix of its amounts, and of these with ln kT, Z and
    // ln norm.
    struct AmountTotals {
        AmountMatrix of_amounts{};
        std::array<std::array<double, 3>, kMostComponents> mixed{};
    };

    // The statistic of the bands of the background, and what the Fisher matrix loses where amounts are fitted again: its
    // Schur complement is left.
    struct AmountSums {
        double value = 0;
        std::array<std::array<double, 3>, 3> lost{};

        void add(const BackgroundAmounts& amounts, const AmountTotals& totals) {
            value += amounts.half_statistic();
            AmountMatrix matrix = amounts.fisher();
            for (std::size_t k = 0; k < 3; ++k) matrix[k] += totals.of_amounts[k];
            std::array<AmountVector, 3> mixed{};
            for (std::size_t p = 0; p < 3; ++p) {
                for (std::size_t k = 0; k < amounts.components(); ++k) mixed[p][k] = totals.mixed[k][p];
            }
            for (std::size_t p = 0; p < 3; ++p) {
                AmountVector solved;
                if (!BackgroundAmounts::solve(amounts.movable(), matrix, mixed[p], solved)) return;
                for (std::size_t q = 0; q < 3; ++q) lost[p][q] += solved[0] * mixed[q][0] + solved[1] * mixed[q][1];
            }
        }
    };

    // A block beyond its count holds zeros, and so does the shape.
    static void add_amount_block(const Set& set, std::size_t begin, const Block& block, AmountTotals& sums) {
        const std::size_t components = set.amounts.components();
        for (std::size_t k = 0; k < components; ++k) {
            const double* shape = set.amounts.shape(k) + (begin - set.begin);
            Lanes own{}, by_kt{}, by_abundance{}, by_norm{};
            for (std::size_t i = 0; i < kBlock; i += kLanes) {
                for (std::size_t lane = 0; lane < kLanes; ++lane) {
                    const double weighted = block.weight[i + lane] * shape[i + lane];
                    own[lane] += weighted * shape[i + lane];
                    by_kt[lane] += weighted * block.by_kt[i + lane];
                    by_abundance[lane] += weighted * block.by_abundance[i + lane];
                    by_norm[lane] += weighted * block.source[i + lane];
                }
            }
            sums.of_amounts[2 * k] += total(own);
            sums.mixed[k][kKt] += total(by_kt);
            sums.mixed[k][kAbundance] += total(by_abundance);
            sums.mixed[k][kNorm] += total(by_norm);
        }
        if (components == 2) {
            const double* first = set.amounts.shape(0) + (begin - set.begin);
            const double* second = set.amounts.shape(1) + (begin - set.begin);
            for (std::size_t i = 0; i < kBlock; ++i) sums.of_amounts[1] += block.weight[i] * first[i] * second[i];
        }
    }

    static double total(const Lanes& lanes) { return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]); }

    void apply_law(const Set& set, std::size_t begin, std::size_t count, Block& block, Lanes& value) const {
        const auto each = [&](const auto& law) {
            for (std::size_t i = 0; i < count; ++i) {
                const HalfStatistic half = law(block.source[i], begin + i);
                value[i % kLanes] += half.value;
                block.slope[i] = half.slope;
                block.weight[i] = half.weight;
            }
        };
        switch (set.statistic) {
            case FitStatistic::c:
                each([&](double source, std::size_t i) { return CLaw::at(source, counts_[i], background_[i], 0); });
                break;
            case FitStatistic::w:
                each([&](double source, std::size_t i) {
                    return WLaw::at(source, counts_[i], background_[i], set.ratio);
                });
                break;
            case FitStatistic::chi2:
                each([&](double source, std::size_t i) {
                    return Chi2Law::at(source, counts_[i], background_[i], set.ratio, variance_[i]);
                });
                break;
        }
    }

    // A block beyond its count holds zeros, which add nothing.
    static void add_block(const Block& block, LaneSums& sums) {
        for (std::size_t begin = 0; begin < kBlock; begin += kLanes) {
            for (std::size_t lane = 0; lane < kLanes; ++lane) {
                const std::size_t i = begin + lane;
                const double by_kt = block.by_kt[i], by_abundance = block.by_abundance[i], by_norm = block.source[i];
                sums.slope_kt[lane] += block.slope[i] * by_kt;
                sums.slope_abundance[lane] += block.slope[i] * by_abundance;
                sums.slope_norm[lane] += block.slope[i] * by_norm;
                const double weight_kt = block.weight[i] * by_kt, weight_abundance = block.weight[i] * by_abundance;
                sums.kt_kt[lane] += weight_kt * by_kt;
                sums.kt_abundance[lane] += weight_kt * by_abundance;
                sums.kt_norm[lane] += weight_kt * by_norm;
                sums.abundance_abundance[lane] += weight_abundance * by_abundance;
                sums.abundance_norm[lane] += weight_abundance * by_norm;
                sums.norm_norm[lane] += block.weight[i] * by_norm * by_norm;
            }
        }
    }

    static Evaluation collected(const LaneSums& sums) {
        Evaluation made;
        made.statistic = 2 * total(sums.value);
        made.slope = {total(sums.slope_kt), total(sums.slope_abundance), total(sums.slope_norm)};
        const double kt_abundance = total(sums.kt_abundance), kt_norm = total(sums.kt_norm);
        const double abundance_norm = total(sums.abundance_norm);
        made.fisher = {{{total(sums.kt_kt), kt_abundance, kt_norm},
                        {kt_abundance, total(sums.abundance_abundance), abundance_norm},
                        {kt_norm, abundance_norm, total(sums.norm_norm)}}};
        return made;
    }

    static std::array<double, 2> of_table(double expected, const StatisticTable& table) {
        if (!(expected > 0)) return {0, 0};
        const double place = (std::log(expected) - table.first) / table.step;
        if (place < 0) {  // below the table a channel holds no count or, seldom, one
            const double one = 2 * (expected - 1 - std::log(expected));
            return {2 * expected + expected * (one - 2 * expected), expected * one * one};
        }
        const auto j = static_cast<std::size_t>(place);
        if (j + 1 >= table.size) {  // Kaastra 2017 (A&A 605, A51)
            const double inverse = 1 / expected;
            return {1 + inverse * (0.1649 + 0.226 * inverse), 2 + inverse * (0.6747 + inverse * (0.79 + 12 * inverse))};
        }
        const double fraction = place - static_cast<double>(j);
        return {table.mean[j] + fraction * (table.mean[j + 1] - table.mean[j]),
                table.variance[j] + fraction * (table.variance[j + 1] - table.variance[j])};
    }

    const SpectralTemplates& templates_;
    const BinnedSpectra& spectra_;
    std::vector<Set> sets_;
    std::vector<double> counts_, background_, variance_, source_;
    std::vector<std::unique_ptr<double[]>> lines_;
    bool response_missing_ = false;
    std::int32_t evaluations_ = 0;
};

}  // namespace chandra_bin::detail
