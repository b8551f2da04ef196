// Event kernels on random events compared with simple loops, also with threads, for the sanitizers.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include "chandra_bin/bin_spectra.hpp"
#include "chandra_bin/event_histogram.hpp"
#include "chandra_bin/points_in_region.hpp"
#include "chandra_bin/select_events.hpp"

using namespace chandra_bin;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();

struct Events {
    std::vector<float> x, y, energy;
    std::vector<double> time, weights;
    std::vector<std::int16_t> chip;
    std::vector<std::int32_t> channel;
    std::vector<std::uint32_t> status;
    std::vector<std::uint8_t> flag;

    Events(std::mt19937& random, std::size_t size) {
        const auto number = [&](double low, double high) {
            return low + (high - low) * static_cast<double>(random()) / 4294967296.0;
        };
        for (std::size_t i = 0; i < size; ++i) {
            x.push_back(static_cast<float>(number(-10, 110)));
            y.push_back(static_cast<float>(number(-10, 110)));
            energy.push_back(static_cast<float>(number(0, 100)));
            time.push_back(static_cast<double>(i) + number(0, 3));
            weights.push_back(number(-1, 1));
            chip.push_back(static_cast<std::int16_t>(static_cast<int>(random() % 8) - 2));
            channel.push_back(static_cast<std::int32_t>(random() % 40) - 3);
            status.push_back(static_cast<std::uint32_t>(random()));
            flag.push_back(static_cast<std::uint8_t>(random() % 3));
            const double odd[] = {kNan, kInfinity, -kInfinity, 1e300, -1e300};
            if (random() % 50 == 0) x.back() = static_cast<float>(odd[random() % 3]);
            if (random() % 50 == 0) time.back() = odd[random() % 5];
        }
    }

    std::size_t size() const { return x.size(); }
};

const std::vector<double> kLows{10, 30, 35, 80}, kHighs{20, 40, 50, 80};
const std::vector<std::int64_t> kOffsets{0, 2, 2, 3};
const std::vector<double> kStart{10, 500, -kInfinity}, kStop{400, 1500, 700};

Selection selection_of(const Events& e, const std::vector<std::uint8_t>& mask) {
    Selection tests(e.size());
    tests.ranges(e.energy.data(), kLows, kHighs, false, true);
    tests.bits(e.status.data(), 3, 3, true);
    tests.good_times(e.time.data(), e.chip.data(), kStart, kStop, kOffsets, false);
    tests.mask(e.x.data(), e.y.data(), mask.data(), Edges{0, 10, 9}, Edges{-5, 5, 20}, false);
    tests.flags(e.flag.data(), true);
    return tests;
}

bool passes(const Events& e, std::size_t i, const std::vector<std::uint8_t>& mask) {
    for (std::size_t k = 0; k < kLows.size(); ++k) {
        if (e.energy[i] >= kLows[k] && e.energy[i] < kHighs[k]) return false;
    }
    if ((e.status[i] & 3) == 3 || e.flag[i] != 0 || e.chip[i] < 0 || e.chip[i] > 2) return false;
    bool good = false;
    for (auto k = static_cast<std::size_t>(kOffsets[static_cast<std::size_t>(e.chip[i])]);
         k < static_cast<std::size_t>(kOffsets[static_cast<std::size_t>(e.chip[i]) + 1]); ++k) {
        good |= e.time[i] >= kStart[k] && e.time[i] < kStop[k];
    }
    const double column = std::floor(e.x[i] / 10), row = std::floor((e.y[i] + 5) / 5);
    return good && column >= 0 && column < 9 && row >= 0 && row < 20
           && mask[static_cast<std::size_t>(row) * 9 + static_cast<std::size_t>(column)] != 0;
}

void one_pass_is_many_loops(unsigned seed, std::size_t size) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const Events e(random, size);
    std::vector<std::uint8_t> mask(9 * 20);
    for (auto& pixel : mask) pixel = static_cast<std::uint8_t>(random() % 2);
    const Selection tests = selection_of(e, mask);

    std::vector<std::uint8_t> expected(size), flags(size, 7);
    for (std::size_t i = 0; i < size; ++i) expected[i] = passes(e, i, mask);
    // Images that are small, and too large for the cache.
    const std::size_t nx = seed % 2 == 0 ? 25 : 1300, ny = seed % 2 == 0 ? 50 : 1200, bins = 6, channels = 30;
    const Edges x_edges{0, 100.0 / static_cast<double>(nx), nx}, y_edges{0, 100.0 / static_cast<double>(ny), ny};
    std::vector<std::int32_t> counts(nx * ny), spectra(2 * bins * channels);
    std::vector<double> sums(nx * ny);
    std::vector<std::int32_t> labels(size);
    for (auto& label : labels) label = static_cast<std::int32_t>(random() % 9) - 2;
    const std::vector<std::int16_t> numbers{2, 0};
    for (std::size_t i = 0; i < size; ++i) {
        if (expected[i] == 0) continue;
        for (std::size_t c = 0; c < 2; ++c) {
            const std::int32_t label = labels[i], channel = e.channel[i] - 1;
            if (e.chip[i] == numbers[c] && label >= 0 && label < 6 && channel >= 0 && channel < 30) {
                ++spectra[(c * bins + static_cast<std::size_t>(label)) * channels + static_cast<std::size_t>(channel)];
            }
        }
        const auto pixel = [](double value, const Edges& edges) {
            std::size_t k = static_cast<std::size_t>(std::max(0.0, value / edges.step - 2));
            while (edges.first + static_cast<double>(k + 1) * edges.step <= value) ++k;
            return k;
        };
        if (!(e.x[i] >= 0 && e.y[i] >= 0 && e.x[i] < x_edges.step * static_cast<double>(nx)
              && e.y[i] < y_edges.step * static_cast<double>(ny)))
            continue;
        const std::size_t at = pixel(e.y[i], y_edges) * nx + pixel(e.x[i], x_edges);
        ++counts[at];
        sums[at] += e.weights[i];
    }
    for (const int threads : {1, 2, 3}) {
        select_events(tests, threads, flags.data());
        CHECK(flags == expected);
        std::vector<std::int32_t> image(nx * ny), made(spectra.size());
        std::vector<double> weighted(nx * ny);
        event_histogram(size, e.x.data(), e.y.data(), x_edges, y_edges, &tests, threads, image.data());
        CHECK(image == counts);
        event_histogram(size, e.x.data(), e.y.data(), e.weights.data(), x_edges, y_edges, &tests, threads,
                        weighted.data());
        CHECK(weighted == sums);
        bin_spectra(size, labels.data(), bins, Channels{e.channel.data(), 1, channels}, Chips{e.chip.data(), numbers},
                    &tests, threads, made.data());
        CHECK(made == spectra);
    }
}

// A mask over the pixels of the image is not looked up as one over others is.
void masks_of_the_image(unsigned seed, std::size_t size) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const Events e(random, size);
    const Edges x_edges{0, 10, 9}, y_edges{-5, 5, 20};
    std::vector<std::uint8_t> mask(9 * 20), flags(size), most(size);
    for (auto& pixel : mask) pixel = static_cast<std::uint8_t>(random() % 3);
    for (auto& flag : most) flag = static_cast<std::uint8_t>(random() % (seed % 3 == 0 ? 20 : 2) == 0);
    Selection tests(size);
    tests.mask(e.x.data(), e.y.data(), mask.data(), x_edges, y_edges, seed % 2 == 0);
    tests.mask(e.x.data(), e.y.data(), mask.data(), x_edges, Edges{-4, 5, 20}, false);
    tests.flags(most.data(), seed % 3 == 1);
    const std::size_t passed = select_events(tests, 1, flags.data());
    Selection flagged(size);
    flagged.flags(flags.data(), false);
    std::vector<std::int32_t> counts(mask.size());
    std::vector<double> sums(mask.size());
    const std::size_t counted =
        event_histogram(size, e.x.data(), e.y.data(), x_edges, y_edges, &flagged, 1, counts.data());
    event_histogram(size, e.x.data(), e.y.data(), e.weights.data(), x_edges, y_edges, &flagged, 1, sums.data());
    CHECK(counted <= passed);
    for (const int threads : {1, 2}) {
        std::vector<std::int32_t> image(mask.size());
        std::vector<double> weighted(mask.size());
        CHECK(event_histogram(size, e.x.data(), e.y.data(), x_edges, y_edges, &tests, threads, image.data())
              == counted);
        CHECK(image == counts);
        event_histogram(size, e.x.data(), e.y.data(), e.weights.data(), x_edges, y_edges, &tests, threads,
                        weighted.data());
        CHECK(weighted == sums);
    }
}

void regions_are_as_painted(unsigned seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto number = [&] { return static_cast<double>(random() % 400) / 4 - 20; };
    constexpr std::size_t counts[] = {3, 5, 5, 4, 6, 4, 4, 2, 14, 0};
    std::vector<std::uint8_t> kinds, complements;
    std::vector<double> params;
    std::vector<std::int64_t> offsets{0}, components{0}, groups{0};
    for (std::size_t c = 0; c < random() % 12; ++c) {
        for (std::size_t s = 0; s < random() % 3; ++s) {
            const auto kind = static_cast<std::uint8_t>(random() % kShapeKinds);
            std::vector<double> values(counts[kind]);
            for (auto& value : values) value = number();
            for (std::size_t i = 2; i < values.size() && i < 4; ++i) values[i] = std::abs(values[i]);
            if (values.size() > 3 && values[2] > values[3]) std::swap(values[2], values[3]);
            kinds.push_back(kind);
            complements.push_back(random() % 4 == 0);
            params.insert(params.end(), values.begin(), values.end());
            offsets.push_back(static_cast<std::int64_t>(params.size()));
        }
        components.push_back(static_cast<std::int64_t>(kinds.size()));
        if (random() % 2 == 0) groups.push_back(static_cast<std::int64_t>(components.size()) - 1);
    }
    if (groups.back() != static_cast<std::int64_t>(components.size()) - 1)
        groups.push_back(static_cast<std::int64_t>(components.size()) - 1);
    const Shapes shapes{kinds, complements, params, offsets, components};
    const Axis axis{-20, 0.25, 400};
    std::vector<std::uint8_t> mask(axis.size * axis.size), inside(mask.size());
    rasterize_shapes(shapes, axis, axis, mask.data());
    std::vector<double> x, y;
    for (std::size_t i = 0; i < mask.size(); ++i) {
        x.push_back(axis.first + axis.step * static_cast<double>(i % axis.size));
        y.push_back(axis.first + axis.step * static_cast<double>(i / axis.size));
    }
    points_in_region(shapes, x.size(), x.data(), y.data(), 2, inside.data());
    CHECK(inside == mask);
    std::vector<std::int32_t> labels(mask.size());
    region_labels(shapes, groups, x.size(), x.data(), y.data(), 2, labels.data());
    bool same = true;
    for (std::size_t i = 0; i < mask.size(); ++i) same &= (labels[i] >= 0) == (mask[i] != 0);
    CHECK_MESSAGE(same, "labels of regions");
}

TEST_CASE("values that are not finite and extreme edges count no event that they should not") {
    const std::vector<double> odd{kNan, kInfinity, -kInfinity, 1e300, -1e300, 1e-320, 0, -0.0};
    for (const double first : {-1e300, -1.0, 0.0, 1e15}) {
        for (const double step : {5e-324, 1e-300, 1e-9, 1.0, 1e290}) {
            std::vector<std::int32_t> image(9);
            const Edges edges{first, step, 3};
            const auto counted =
                event_histogram(odd.size(), odd.data(), odd.data(), edges, edges, nullptr, 1, image.data());
            CHECK(counted <= 5);
        }
    }
    for (const double low : odd) {
        for (const double high : odd) {
            if (std::isnan(low) || std::isnan(high)) continue;
            const std::vector<std::int16_t> shorts{-32768, 0, 32767};
            const std::vector<std::int64_t> longs{std::numeric_limits<std::int64_t>::min(), 0,
                                                  std::numeric_limits<std::int64_t>::max()};
            const std::vector<float> floats{-3e38f, 0, 3e38f};
            for (const bool closed : {false, true}) {
                Selection tests(3);
                tests.ranges(shorts.data(), std::span(&low, 1), std::span(&high, 1), closed, false);
                tests.ranges(longs.data(), std::span(&low, 1), std::span(&high, 1), closed, false);
                tests.ranges(floats.data(), std::span(&low, 1), std::span(&high, 1), closed, false);
                std::vector<std::uint8_t> passed(3);
                select_events(tests, 1, passed.data());
                for (std::size_t i = 0; i < 3; ++i) {
                    const double value = i == 1 ? 0.0 : i == 0 ? -32768.0 : 32767.0;
                    const bool inside = value >= low && (closed || high == kInfinity ? value <= high : value < high);
                    CHECK((passed[i] != 0) <= inside);
                }
            }
        }
    }
}

TEST_CASE("bad arguments of event kernels are refused") {
    const std::vector<double> zero(2);
    const std::vector<float> single(2);
    std::vector<std::int32_t> image(4);
    const Edges good{0, 1, 2};
    const auto histogram = [&](const Coordinates& y, const Edges& edges, const Selection* tests) {
        event_histogram(2, zero.data(), y, edges, good, tests, 1, image.data());
    };
    const Selection other(3);
    // two types
    CHECK_THROWS_AS(histogram(single.data(), good, nullptr), std::invalid_argument);
    // no step
    CHECK_THROWS_AS((histogram(zero.data(), Edges{0, 0, 2}, nullptr)), std::invalid_argument);
    // a step that is NaN
    CHECK_THROWS_AS((histogram(zero.data(), Edges{0, kNan, 2}, nullptr)), std::invalid_argument);
    // a selection of others
    CHECK_THROWS_AS(histogram(zero.data(), good, &other), std::invalid_argument);
    // too many pixels
    CHECK_THROWS_AS((histogram(zero.data(), Edges{0, 1, std::size_t{1} << 31}, nullptr)), std::invalid_argument);
    const std::vector<std::int16_t> twice{1, 1};
    const std::vector<std::int32_t> ones{1, 1};
    // a chip twice
    CHECK_THROWS_AS((bin_spectra(2, ones.data(), 2, Channels{ones.data(), 1, 2}, Chips{twice.data(), twice}, nullptr, 1,
                                 image.data())),
                    std::invalid_argument);
    Selection tests(2);
    const std::vector<double> later{5, 1}, latest{6, 2}, none;
    // good times that fall
    CHECK_THROWS_AS(tests.good_times(zero.data(), later, latest, false), std::invalid_argument);
    // lows without highs
    CHECK_THROWS_AS(tests.ranges(zero.data(), later, none, false, false), std::invalid_argument);
}

}  // namespace

TEST_CASE("one pass over events gives what many loops give") {
    for (unsigned seed = 0; seed < 8; ++seed) one_pass_is_many_loops(seed, seed < 2 ? 0 : seed < 6 ? 3000 : 150'000);
}

TEST_CASE("a mask on the pixels of the image selects the events of any other mask") {
    for (unsigned seed = 0; seed < 6; ++seed) masks_of_the_image(seed, seed < 4 ? 5000 : 150'000);
}

TEST_CASE("events lie in regions where the painted mask is 1") {
    for (unsigned seed = 0; seed < 40; ++seed) regions_are_as_painted(seed);
}
