// Fits of bins on spectra without noise, with threads too: for the sanitizers to watch.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "chandra_bin/fit_spectra.hpp"

using namespace chandra_bin;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Scene {
    static constexpr std::size_t temperatures = 20, channels = 30, bins = 5;
    std::vector<double> kt, rates, counts, background, exposure, ratio, weight, fixed, delta, mean, variance,
        band_counts, band_expected;
    std::vector<std::int64_t> bin_offsets, weight_offsets;
    std::vector<std::int32_t> groups, response;
    std::vector<FitStatistic> statistic;
    mutable std::vector<double> amounts;

    explicit Scene(FitStatistic law, double background_amount = 3)
        : fixed(bins, kNan), delta(bins, 1), mean(50, 1), variance(50, 2) {
        for (std::size_t j = 0; j < temperatures; ++j) {
            kt.push_back(0.5 * std::pow(1.2, static_cast<double>(j)));
            for (std::size_t part = 0; part < 2; ++part) {
                for (std::size_t c = 0; c < channels; ++c) rates.push_back(rate(kt[j], part, c));
            }
        }
        for (std::size_t k = 0; k < bins; ++k) {
            bin_offsets.push_back(static_cast<std::int64_t>(k));
            weight_offsets.push_back(static_cast<std::int64_t>(k));
            response.push_back(0);
            weight.push_back(1);
            exposure.push_back(1e4);
            ratio.push_back(0.1);
            statistic.push_back(law);
            for (std::size_t c = 0; c < channels; ++c) {
                counts.push_back(1e4 * (rate(kt[6 + k], 0, c) + 0.4 * rate(kt[6 + k], 1, c)) + 3);
                background.push_back(law == FitStatistic::c ? background_amount : 30);
                groups.push_back(static_cast<std::int32_t>(c));
            }
            band_counts.push_back(10 * background_amount * channels);
            band_expected.push_back(10 * background_amount * channels);
        }
        bin_offsets.push_back(bins);
        weight_offsets.push_back(bins);
    }

    static double rate(double temperature, std::size_t part, std::size_t channel) {
        const double energy = 0.5 + 0.2 * static_cast<double>(channel);
        const double line = std::exp(-(energy - 3) * (energy - 3) / 0.1) * temperature;
        return part == 0 ? std::exp(-energy / temperature) / std::sqrt(temperature) : 0.1 * line;
    }

    std::vector<FittedBin> fitted(int threads, std::vector<std::int32_t>& flags) const {
        std::vector<FittedBin> made(bins);
        std::vector<std::int32_t> evaluations(bins);
        flags.assign(bins, -1);
        amounts.assign(bins, -1);
        const SpectralTemplates templates{kt.data(), rates.data(), 1, temperatures, channels};
        const BinnedSpectra spectra{bin_offsets.data(),
                                    bins,
                                    counts.data(),
                                    background.data(),
                                    exposure.data(),
                                    ratio.data(),
                                    statistic.data(),
                                    groups.data(),
                                    weight_offsets.data(),
                                    response.data(),
                                    weight.data(),
                                    1,
                                    1,
                                    band_counts.data(),
                                    band_expected.data()};
        const FitSettings settings{kt.front(),
                                   kt.back(),
                                   -1,
                                   5,
                                   delta.data(),
                                   fixed.data(),
                                   {mean.data(), variance.data(), mean.size(), -10, 0.3}};
        fit_spectra(templates, spectra, settings, threads, {}, made.data(), flags.data(), evaluations.data(),
                    amounts.data());
        return made;
    }
};

}  // namespace

TEST_CASE("fits find the parameters of spectra without noise, whatever the threads") {
    for (const FitStatistic law : {FitStatistic::c, FitStatistic::w, FitStatistic::chi2}) {
        const Scene scene(law);
        std::vector<std::int32_t> flags, again;
        const std::vector<FittedBin> made = scene.fitted(1, flags), threaded = scene.fitted(4, again);
        CHECK(flags == again);
        for (std::size_t k = 0; k < Scene::bins; ++k) {
            CHECK(made[k].kt == doctest::Approx(scene.kt[6 + k]).epsilon(1e-4));
            CHECK(made[k].abundance == doctest::Approx(0.4).epsilon(1e-3));
            CHECK(made[k].norm == doctest::Approx(1).epsilon(1e-4));
            CHECK(made[k].kt_low < made[k].kt);
            CHECK(made[k].kt_high > made[k].kt);
            CHECK(made[k].kt == threaded[k].kt);
            CHECK(made[k].norm_high == threaded[k].norm_high);
        }
    }
}

TEST_CASE("the amount of a background is fitted where its file does not know it well") {
    Scene scene(FitStatistic::c, 2);  // of counts that hold 3
    std::vector<std::int32_t> flags;
    scene.fitted(1, flags);
    const double strict = scene.amounts[0];
    CHECK(strict > 1);
    for (std::vector<double>* each : {&scene.band_counts, &scene.band_expected}) {
        for (double& of_bin : *each) of_bin *= 1e-9;
    }
    const std::vector<FittedBin> made = scene.fitted(1, flags);
    CHECK(scene.amounts[0] == doctest::Approx(1.5).epsilon(0.01));
    CHECK(strict < 1.2);
    CHECK(made[0].kt == doctest::Approx(scene.kt[6]).epsilon(0.01));
    scene.band_expected.assign(Scene::bins, 0);
    scene.fitted(1, flags);
    CHECK(std::isnan(scene.amounts[0]));
}

TEST_CASE("a bin without a rise of the statistic has no errors, and one with NaN is left out") {
    Scene scene(FitStatistic::c);
    std::vector<std::int32_t> flags;
    const std::vector<FittedBin> all = scene.fitted(1, flags);
    scene.delta[1] = 0;
    scene.delta[3] = kNan;
    const std::vector<FittedBin> made = scene.fitted(2, flags);
    CHECK(made[1].kt == all[1].kt);
    CHECK(std::isnan(made[1].kt_low));
    CHECK(std::isnan(made[3].kt));
    CHECK(flags == std::vector<std::int32_t>(Scene::bins, 0));
    scene.delta[0] = -1;
    CHECK_THROWS_AS(scene.fitted(1, flags), std::invalid_argument);
}

TEST_CASE("bins without a response have no data, and wrong input throws") {
    Scene scene(FitStatistic::c);
    std::vector<std::int32_t> flags;
    scene.response[2] = -1;
    CHECK(std::isnan(scene.fitted(2, flags)[2].kt));
    CHECK((flags[2] & kNoData) != 0);
    CHECK((flags[2] & kResponseMissing) != 0);
    scene.response[2] = 1;
    CHECK_THROWS_AS(scene.fitted(1, flags), std::invalid_argument);
    scene.response[2] = 0;
    scene.groups[5] = 9;
    CHECK_THROWS_AS(scene.fitted(1, flags), std::invalid_argument);
    scene.groups[5] = 5;
    scene.kt[3] = scene.kt[2];
    CHECK_THROWS_AS(scene.fitted(1, flags), std::invalid_argument);
}
