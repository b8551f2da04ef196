// Tracing and painting back on random label images, and shapes on random grids: for the sanitizers to watch.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <stdexcept>
#include <vector>

#include "chandra_bin/polygon_trace.hpp"
#include "chandra_bin/rasterize.hpp"

using namespace chandra_bin;

namespace {

void labels_come_back(unsigned seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const std::size_t ny = random() % 40, nx = random() % 40;
    const unsigned kinds = 1 + static_cast<unsigned>(random() % 6);
    std::vector<std::int32_t> labels(ny * nx);
    for (auto& label : labels) label = static_cast<std::int32_t>(random() % kinds) - 1;
    const Polygons polygons = polygon_trace(labels.data(), ny, nx);
    std::vector<std::int32_t> back(ny * nx, -1);
    rasterize_polygons(polygons.points, polygons.ring_offsets, polygons.polygon_offsets, polygons.labels,
                       Axis{0, 1, nx}, Axis{0, 1, ny}, back.data());
    CHECK(back == labels);
}

void complements_are_complements(unsigned seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto number = [&] { return static_cast<double>(random() % 200) / 4 - 10; };
    const Axis x{number(), random() % 2 == 0 ? 0.5 : -1.25, random() % 50}, y{number(), 1.0, random() % 50};
    constexpr std::size_t counts[] = {3, 5, 5, 4, 6, 4, 4, 2, 14, 0};
    const auto kind = static_cast<std::uint8_t>(random() % kShapeKinds);
    std::vector<double> params(counts[kind]);
    for (auto& value : params) value = number();
    for (std::size_t i = 2; i < params.size() && i < 4; ++i) params[i] = std::abs(params[i]) + static_cast<double>(i);
    if (params.size() > 3 && params[2] > params[3]) std::swap(params[2], params[3]);
    const std::vector<std::int64_t> offsets{0, static_cast<std::int64_t>(params.size())}, one{0, 1};
    std::vector<std::uint8_t> masks[2];
    for (std::uint8_t complement = 0; complement < 2; ++complement) {
        masks[complement].assign(x.size * y.size, 9);
        const std::vector<std::uint8_t> kinds{kind}, complements{complement};
        rasterize_shapes(Shapes{kinds, complements, params, offsets, one}, x, y, masks[complement].data());
    }
    bool apart = true;
    for (std::size_t i = 0; i < masks[0].size(); ++i) apart &= masks[0][i] + masks[1][i] == 1;
    CHECK_MESSAGE(apart, "a pixel is in a shape or in its complement");
}

TEST_CASE("offsets beyond the points are refused") {
    const std::vector<double> points{0, 0, 1, 0, 1, 1};
    const std::vector<std::int64_t> right{0, 3}, wrong{0, 4}, one{0, 1};
    const std::vector<std::int32_t> label{0};
    std::vector<std::int32_t> image(4);
    // offsets beyond the points
    CHECK_THROWS_AS((rasterize_polygons(points, wrong, one, label, Axis{0, 1, 2}, Axis{0, 1, 2}, image.data())),
                    std::invalid_argument);
}

TEST_CASE("extreme axes and points are refused") {
    const std::vector<std::int64_t> six{0, 6}, three{0, 3}, one{0, 1};
    const std::vector<std::int32_t> label{0};
    const std::vector<std::uint8_t> polygon{static_cast<std::uint8_t>(ShapeKind::polygon)}, no{0};
    const std::vector<double> far{0, 0, 1e308, -1e308, -1e308, 3}, near{0, 0, 1, 0, 0, 1};
    std::vector<std::int32_t> image(4);
    std::vector<std::uint8_t> mask(4);
    const Axis good{0, 1, 2};
    const auto paint = [&](const std::vector<double>& points, const Axis& axis) {
        rasterize_polygons(points, three, one, label, axis, good, image.data());
    };
    const auto fill = [&](const std::vector<double>& points, const Axis& axis) {
        rasterize_shapes(Shapes{polygon, no, points, six, one}, good, axis, mask.data());
    };
    for (const Axis& axis : {Axis{0, 5e-324, 2}, Axis{1e308, 1e308, 2}, Axis{0, 0, 2}}) {
        // an extreme axis (polygons)
        CHECK_THROWS_AS(paint(near, axis), std::invalid_argument);
        // an extreme axis (shapes)
        CHECK_THROWS_AS(fill(near, axis), std::invalid_argument);
    }
    // far points (polygons)
    CHECK_THROWS_AS(paint(far, good), std::invalid_argument);
    // far points (shapes)
    CHECK_THROWS_AS(fill(far, good), std::invalid_argument);
    for (const Axis& axis : {Axis{0, 1e-300, 2}, Axis{-1e307, 1e307, 2}, Axis{1e300, -2.3e-308, 2}}) {
        paint(near, axis);
        fill(near, axis);
    }
}

}  // namespace

TEST_CASE("painting traced polygons gives the label image back") {
    for (unsigned seed = 0; seed < 3000; ++seed) labels_come_back(seed);
}

TEST_CASE("each pixel is in a shape or in its complement") {
    for (unsigned seed = 0; seed < 3000; ++seed) complements_are_complements(seed);
}
