// The kernels on random images with every option: invariants that need no reference, for the sanitizers to watch.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "chandra_bin/contour_bin.hpp"
#include "chandra_bin/counts_scale.hpp"
#include "chandra_bin/interpolate.hpp"
#include "chandra_bin/nearest_values.hpp"
#include "chandra_bin/smooth.hpp"
#include "chandra_bin/smooth_gaussian.hpp"

using namespace chandra_bin;

namespace {

bool same(const std::vector<float>& a, const std::vector<float>& b) {
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (!(a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i])))) return false;
    }
    return true;
}

void one_scene(int seed) {
    CAPTURE(seed);
    std::mt19937 random(static_cast<unsigned>(seed));
    const auto any = [&](int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); };
    const std::size_t ny = 1 + static_cast<std::size_t>(any(60));
    const std::size_t nx = 1 + static_cast<std::size_t>(any(60));
    const std::size_t size = ny * nx;
    std::vector<float> counts(size), background(size), ratio(size), noise(size);
    std::vector<std::uint8_t> use(size, 1);
    const bool floats = any(4) == 0;
    const bool negative = any(8) == 0;
    for (std::size_t i = 0; i < size; ++i) {
        counts[i] = static_cast<float>(any(9)) * (floats ? 0.37F : 1.0F) - (negative ? 1.0F : 0.0F);
        background[i] = static_cast<float>(any(4));
        ratio[i] = 0.2F + 0.01F * static_cast<float>(any(30));
        noise[i] = 0.5F + static_cast<float>(any(3));
        if (any(3) == 0) use[i] = static_cast<std::uint8_t>(any(3));
    }
    Images images;
    images.ny = ny;
    images.nx = nx;
    images.counts = counts.data();
    images.use = use.data();
    if (any(2) != 0) images.background = background.data();
    if (any(2) != 0) images.ratio = ratio.data();
    if (any(4) == 0) images.noise = noise.data();
    const double sn = 1 + any(12);

    std::vector<float> smoothed(size), again(size);
    smooth(images, sn, 1, Control{}, smoothed.data());
    smooth(images, sn, 3, Control{}, again.data());
    CHECK_MESSAGE(same(smoothed, again), "smoothing does not depend on threads");

    BinningOptions options;
    options.threshold = sn;
    options.constrain = any(2) != 0 ? 1.0 + any(3) : 0.0;
    options.bin_up = any(4) == 0;
    options.scrub = any(4) != 0;
    options.scrub_large = any(4) == 0 ? 0.3 : 0.0;
    if (any(4) == 0) options.target = BinningOptions::Target::counts;
    std::vector<std::int32_t> binmap(size), binmap_again(size);
    const Bins bins = contour_bin(images, smoothed.data(), options, 1, Control{}, binmap.data());
    contour_bin(images, smoothed.data(), options, 2, Control{}, binmap_again.data());
    CHECK(binmap == binmap_again);
    std::vector<double> npix(bins.sums.size(), 0);
    bool numbered = true;
    for (std::size_t i = 0; i < size; ++i) {
        if (binmap[i] < 0) continue;
        if (static_cast<std::size_t>(binmap[i]) >= npix.size() || use[i] == 0) {
            numbered = false;
        } else {
            npix[static_cast<std::size_t>(binmap[i])] += 1;
        }
    }
    CHECK_MESSAGE(numbered, "labels are bin numbers, on used pixels only");
    bool counted = true;
    for (std::size_t b = 0; b < npix.size(); ++b) counted = counted && npix[b] == bins.sums[b].npix;
    CHECK_MESSAGE(counted, "a bin's pixels are those of its label");

    if (!negative) {
        std::vector<std::int32_t> scale(size), scale_again(size);
        counts_scale(ny, nx, counts.data(), images.background, use.data(), sn, 1, Control{}, scale.data());
        counts_scale(ny, nx, counts.data(), images.background, use.data(), sn, 2, Control{}, scale_again.data());
        CHECK(scale == scale_again);
        apply_scale(ny, nx, counts.data(), scale.data(), use.data(), any(2) != 0, 2, Control{}, again.data());
        const std::vector<double> weights(counts.begin(), counts.end());
        smooth_to_weight(ny, nx, weights.data(), ratio.data(), use.data(), sn, 0.0F, 2, Control{}, again.data());
        smooth_exposure(ny, nx, counts.data(), images.background, ratio.data(), use.data(), 3.0, 2.0, sn, -1, 2,
                        Control{}, again.data());
        smooth_gaussian(ny, nx, counts.data(), ratio.data(), use.data(), sn, 2, Control{}, again.data());
    }
}

// What small images do not reach: long rows, discs with more than 2^16 counts, strips of more than one piece.
TEST_CASE("large images do not depend on threads") {
    struct Shape {
        std::size_t ny, nx;
        float counts;
    };
    for (const Shape& shape : {Shape{1, 3000, 1}, Shape{3000, 1, 1}, Shape{300, 40, 900}, Shape{260, 200, 0.3F}}) {
        const std::size_t size = shape.ny * shape.nx;
        std::vector<float> counts(size), background(size, 0.25F), smoothed(size), again(size);
        for (std::size_t i = 0; i < size; ++i) counts[i] = shape.counts * static_cast<float>(i % 7);
        const std::vector<std::uint8_t> use(size, 1);
        Images images;
        images.ny = shape.ny;
        images.nx = shape.nx;
        images.counts = counts.data();
        images.use = use.data();
        for (const float* behind : {static_cast<const float*>(nullptr), static_cast<const float*>(background.data())}) {
            images.background = behind;
            for (double sn : {30.0, 400.0}) {
                smooth(images, sn, 1, Control{}, smoothed.data());
                smooth(images, sn, 2, Control{}, again.data());
                CHECK_MESSAGE(same(smoothed, again), "large images do not depend on threads");
                std::vector<std::int32_t> binmap(size);
                BinningOptions options;
                options.threshold = sn;
                options.constrain = 2;
                contour_bin(images, smoothed.data(), options, 2, Control{}, binmap.data());
            }
        }
    }
}

bool stops(const Images& images, const std::vector<float>& smoothed, const BinningOptions& options, int threads,
           const Control& control) {
    std::vector<std::int32_t> binmap(smoothed.size());
    try {
        contour_bin(images, smoothed.data(), options, threads, control, binmap.data());
    } catch (const Cancelled&) {
        return true;
    }
    return false;
}

// Bins that threads grow speculatively are those of one thread, in the same order.
TEST_CASE("bins that threads grow speculatively are those of one thread") {
    for (int seed = 0; seed < 8; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(static_cast<unsigned>(seed));
        const auto any = [&](int n) { return std::uniform_int_distribution<>(0, n - 1)(random); };
        Images images;
        images.ny = static_cast<std::size_t>(130 + any(60));
        images.nx = static_cast<std::size_t>(130 + any(60));
        const std::size_t size = images.ny * images.nx;
        std::vector<float> counts(size), smoothed(size);
        std::vector<std::uint8_t> use(size, 1);
        const bool level = any(3) == 0;  // no slope: seeds all over the image
        for (std::size_t i = 0; i < size; ++i) {
            const float y = static_cast<float>(i / images.nx) - 70;
            const float x = static_cast<float>(i % images.nx) - 80;
            counts[i] = static_cast<float>(any(4)) + (level ? 0 : std::floor(2000 / (40 + x * x + y * y)));
            if (any(40) == 0) use[i] = static_cast<std::uint8_t>(2 * any(2));
        }
        images.counts = counts.data();
        images.use = use.data();
        smooth(images, 4 + any(8), 1, Control{}, smoothed.data());
        if (any(4) == 0) std::fill(smoothed.begin(), smoothed.end(), 1.0F);  // all ties
        if (any(4) == 0) smoothed[size / 2] = 1e-30F;                        // differences of values are not exact
        BinningOptions options;
        options.threshold = any(4) == 0 ? 200 : 5 + any(20);  // some bins hold more than a sixteenth
        options.constrain = any(2) != 0 ? 1.5 : 0;
        options.bin_up = any(4) == 0;
        options.scrub = any(3) != 0;
        std::vector<std::int32_t> binmap(size), again(size);
        const Bins bins = contour_bin(images, smoothed.data(), options, 1, Control{}, binmap.data());
        for (int threads : {2, 3, 8}) {
            const Bins same = contour_bin(images, smoothed.data(), options, threads, Control{}, again.data());
            const auto equal = [](const PixelSums& a, const PixelSums& b) {
                return a.npix == b.npix && a.counts == b.counts;
            };
            CHECK(binmap == again);
            CHECK(bins.stuck == same.stuck);
            CHECK(std::equal(bins.sums.begin(), bins.sums.end(), same.sums.begin(), same.sums.end(), equal));
        }
        options.threshold = 3;  // bins of less than the steps between polls
        const auto while_growing = [](void*, double done) { return !(done > 0 && done < 1); };
        CHECK_MESSAGE(stops(images, smoothed, options, 1, Control{while_growing, nullptr}), "a poll ends binning");
    }
}

// The distances are compared, since equally near pixels are all right here.
TEST_CASE("a pixel without a value gets that of a pixel at the least distance") {
    for (int seed = 0; seed < 60; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(static_cast<unsigned>(seed));
        const int ny = 1 + static_cast<int>(random() % 70);
        const int nx = 1 + static_cast<int>(random() % 70);
        const auto size = static_cast<std::size_t>(ny) * static_cast<std::size_t>(nx);
        std::vector<std::uint8_t> known(size);
        for (auto& each : known) each = random() % (1 + static_cast<unsigned>(seed)) == 0 ? 1 : 0;
        known[random() % size] = 1;
        std::vector<double> values(size, -1);
        for (std::size_t i = 0; i < size; ++i) {
            if (known[i] != 0) values[i] = static_cast<double>(i);
        }
        std::vector<double> again(values);
        nearest_values(static_cast<std::size_t>(ny), static_cast<std::size_t>(nx), known.data(), 1, Control{},
                       values.data());
        nearest_values(static_cast<std::size_t>(ny), static_cast<std::size_t>(nx), known.data(), 4, Control{},
                       again.data());
        CHECK(values == again);
        const auto square = [nx](std::size_t i, std::size_t j) {
            const int a = static_cast<int>(i), b = static_cast<int>(j);
            const int dy = a / nx - b / nx, dx = a % nx - b % nx;
            return dy * dy + dx * dx;
        };
        bool nearest = true;
        for (std::size_t i = 0; i < size; ++i) {
            const auto found = static_cast<std::size_t>(values[i]);
            nearest = nearest && known[found] != 0;
            for (std::size_t j = 0; j < size; ++j)
                nearest = nearest && (known[j] == 0 || square(i, found) <= square(i, j));
        }
        CHECK(nearest);
    }
    const std::vector<std::uint8_t> unknown(6, 0);
    std::vector<double> values(6, 1.0);
    CHECK_THROWS_AS((nearest_values(2, 3, unknown.data(), 1, Control{}, values.data())), std::invalid_argument);
}

TEST_CASE("interpolate reads no pixel beyond the image") {
    const std::vector<double> image{0, 1, 2, 3, 4, 5};  // 2 x 3: 3 y + x
    std::vector<float> values(20, -1);
    interpolate(2, 3, image.data(), {{0.5, 0, 0, 0.5}, {-0.5, -0.5}}, 4, 5, values.data());
    for (std::size_t row = 0; row < 4; ++row) {
        for (std::size_t column = 0; column < 5; ++column) {
            const double y = 0.5 * static_cast<double>(row) - 0.5;
            const double x = 0.5 * static_cast<double>(column) - 0.5;
            CHECK(values[row * 5 + column] == doctest::Approx(y < 0 || x < 0 ? 0 : 3 * y + x));
        }
    }
    const double nan = std::nan("");
    interpolate(2, 3, image.data(), {{nan, 0, 0, 1}, {0, 1e300}}, 1, 2, values.data());
    CHECK(values[0] == 0);
    interpolate(2, 3, image.data(), {{1, 0, 0, 1}, {1, 2}}, 1, 1, values.data());  // the last pixel
    CHECK(values[0] == 5);
    interpolate(1, 1, image.data() + 3, {{1, 0, 0, 1}, {0, 0}}, 1, 1, values.data());
    CHECK(values[0] == 3);
    CHECK_THROWS_AS((interpolate(0, 3, image.data(), {{1, 0, 0, 1}, {0, 0}}, 1, 1, values.data())),
                    std::invalid_argument);
}

TEST_CASE("doubled continues the outermost pixels") {
    const std::vector<float> image{0, 4, 8, 12};
    std::vector<float> values(16);
    doubled(2, 2, image.data(), values.data());
    CHECK(values == std::vector<float>{0, 1, 3, 4, 2, 3, 5, 6, 6, 7, 9, 10, 8, 9, 11, 12});
    doubled(1, 1, image.data() + 1, values.data());
    CHECK((values[0] == 4 && values[1] == 4 && values[2] == 4 && values[3] == 4));
    CHECK_THROWS_AS((doubled(2, 0, image.data(), values.data())), std::invalid_argument);
}

TEST_CASE("images that are not finite are refused") {
    std::vector<float> counts(6, 1.0F), smoothed(6);
    const std::vector<std::uint8_t> use(6, 1);
    counts[4] = std::nanf("");
    Images images;
    images.ny = 2;
    images.nx = 3;
    images.counts = counts.data();
    images.use = use.data();
    // NaN is refused
    CHECK_THROWS_AS((smooth(images, 3, 1, Control{}, smoothed.data())), std::invalid_argument);
    counts[4] = 1;
    smoothed[4] = std::numeric_limits<float>::infinity();
    BinningOptions options;
    options.threshold = 1;
    std::vector<std::int32_t> binmap(6);
    // an infinite smoothed pixel is refused
    CHECK_THROWS_AS((contour_bin(images, smoothed.data(), options, 1, Control{}, binmap.data())),
                    std::invalid_argument);
}

// Threads stop while they work, on images of which the calling thread must see some of the work.
TEST_CASE("a kernel stops when its poll returns false") {
    std::vector<float> counts(1500 * 1500), smoothed(counts.size());
    std::mt19937 random(1);
    for (float& pixel : counts) pixel = static_cast<float>(random() % 3);
    const std::vector<std::uint8_t> use(counts.size(), 1);
    Images images;
    images.ny = images.nx = 1500;
    images.counts = counts.data();
    images.use = use.data();
    double seen = 0;
    const auto while_working = [](void* data, double done) {
        *static_cast<double*>(data) = done;
        return !(done > 0 && done < 1);
    };
    const Control control{while_working, &seen};
    bool cancelled = false;
    try {
        smooth(images, 20, 3, control, smoothed.data());
    } catch (const Cancelled&) {
        cancelled = true;
    }
    CHECK(cancelled);
    CHECK(seen < 1);
    smoothed = counts;
    BinningOptions options;
    options.threshold = 20;
    CHECK(stops(images, smoothed, options, 3, control));
    CHECK(seen < 1);
    CHECK(stops(images, smoothed, options, 1, control));
    CHECK(seen < 1);
}

}  // namespace

TEST_CASE("results on random images do not depend on threads, and bins are numbered and counted") {
    for (int seed = 0; seed < 200; ++seed) one_scene(seed);
}
