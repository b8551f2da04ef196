// The C API gives the same results as the C++ functions, reports errors, and runs in several threads at once.
#include <doctest/doctest.h>

#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "chandra_bin/c_api.h"
#include "chandra_bin/contour_bin.hpp"
#include "chandra_bin/polygon_trace.hpp"
#include "chandra_bin/thread.hpp"

using namespace chandra_bin;

namespace {

struct Scene {
    std::size_t ny = 40, nx = 50;
    std::vector<float> counts = std::vector<float>(ny * nx);
    std::vector<std::uint8_t> use = std::vector<std::uint8_t>(ny * nx, 1);

    Scene() {
        std::mt19937 random(1);
        for (auto& value : counts) value = static_cast<float>(random() % 5);
    }
    ChandraBinImages images() const { return {ny, nx, counts.data(), nullptr, nullptr, 1, nullptr, use.data()}; }
};

const ChandraBinAPI& api = *chandra_bin_api();
const Scene scene;

TEST_CASE("the C API gives what the C++ functions give") {
    const ChandraBinImages images = scene.images();
    const Images same{scene.ny, scene.nx, scene.counts.data(), nullptr, nullptr, 1, nullptr, scene.use.data()};
    std::vector<float> smoothed(scene.counts.size()), smoothed_cpp(scene.counts.size());
    CHECK(api.smooth(&images, 8, 1, nullptr, smoothed.data(), nullptr, 0) == CHANDRA_BIN_OK);
    smooth(same, 8, 1, Control{}, smoothed_cpp.data());
    CHECK(smoothed == smoothed_cpp);

    const ChandraBinOptions options{CHANDRA_BIN_COUNTS, 60, 2, 1, 1, 0};
    std::vector<std::int32_t> binmap(scene.counts.size()), binmap_cpp(scene.counts.size());
    std::size_t bins = 0;
    CHECK(api.contour_bin(&images, smoothed.data(), &options, 1, nullptr, binmap.data(), &bins, nullptr, 0)
          == CHANDRA_BIN_OK);
    const Bins bins_cpp = contour_bin(same, smoothed.data(), {BinningOptions::Target::counts, 60, 2, true, true, 0}, 1,
                                      Control{}, binmap_cpp.data());
    CHECK(binmap == binmap_cpp);
    CHECK(bins == bins_cpp.sums.size());
    CHECK(bins > 10);

    ChandraBinPolygons polygons;
    CHECK(api.polygon_trace(binmap.data(), scene.ny, scene.nx, &polygons, nullptr, 0) == CHANDRA_BIN_OK);
    const Polygons traced = polygon_trace(binmap.data(), scene.ny, scene.nx);
    CHECK(std::vector<double>(polygons.xy, polygons.xy + 2 * polygons.points) == traced.points);
    CHECK(std::vector<std::int64_t>(polygons.ring_offsets, polygons.ring_offsets + polygons.rings + 1)
          == traced.ring_offsets);
    CHECK(std::vector<std::int64_t>(polygons.polygon_offsets, polygons.polygon_offsets + polygons.polygons + 1)
          == traced.polygon_offsets);
    CHECK(std::vector<std::int32_t>(polygons.labels, polygons.labels + polygons.polygons) == traced.labels);
    api.polygons_free(&polygons);
    CHECK(polygons.owner == nullptr);
    CHECK(polygons.xy == nullptr);
    CHECK(polygons.polygons == 0);
    api.polygons_free(&polygons);
    api.polygons_free(nullptr);
    CHECK(api.polygon_trace(nullptr, 0, 0, &polygons, nullptr, 0) == CHANDRA_BIN_OK);
    CHECK(polygons.rings == 0);
    api.polygons_free(&polygons);
}

TEST_CASE("the C API reports errors") {
    char message[100];
    ChandraBinImages images = scene.images();
    std::vector<float> smoothed(scene.counts.size());
    std::vector<std::int32_t> binmap(scene.counts.size());
    std::size_t bins = 0;
    const auto smooth_says = [&](double sn, const ChandraBinImages* given, std::size_t size) {
        message[0] = '\0';
        CHECK(api.smooth(given, sn, 1, nullptr, smoothed.data(), message, size) == CHANDRA_BIN_INVALID);
        return std::string(message);
    };
    CHECK(smooth_says(-1, &images, sizeof message) == "the signal-to-noise must be positive");
    CHECK(smooth_says(-1, &images, 4) == "the");
    CHECK_MESSAGE(smooth_says(-1, &images, 0).empty(), "no buffer, no message");
    CHECK(smooth_says(5, nullptr, sizeof message) == "images is NULL");
    images.use = nullptr;
    CHECK(smooth_says(5, &images, sizeof message) == "counts or use is NULL");
    images = scene.images();
    ChandraBinOptions options{7, 60, 0, 0, 1, 0};
    CHECK(api.contour_bin(&images, smoothed.data(), &options, 1, nullptr, binmap.data(), &bins, message, sizeof message)
          == CHANDRA_BIN_INVALID);
    options.target = CHANDRA_BIN_SN;
    CHECK(api.contour_bin(&images, smoothed.data(), &options, 1, nullptr, nullptr, &bins, message, sizeof message)
          == CHANDRA_BIN_INVALID);
    images.ny = images.nx = std::size_t{1} << 40;
    CHECK(smooth_says(5, &images, sizeof message) == "the image has more than 2^31 pixels");
    CHECK(api.polygon_trace(nullptr, 3, 3, nullptr, message, sizeof message) == CHANDRA_BIN_INVALID);
}

TEST_CASE("the C API stops when its poll returns 0") {
    const ChandraBinImages images = scene.images();
    std::vector<float> smoothed(scene.counts.size());
    int polls = 0;
    const ChandraBinControl control{[](void* data, double) { return ++*static_cast<int*>(data) < 2 ? 1 : 0; }, &polls};
    CHECK(api.smooth(&images, 8, 1, &control, smoothed.data(), nullptr, 0) == CHANDRA_BIN_CANCELLED);
    CHECK(polls == 2);
}

// Each call waits, in its first poll, until the other has got there too.
TEST_CASE("the C API runs in two threads at once") {
    std::atomic<int> inside{0};
    const auto meet = [](void* data, double) {
        auto& count = *static_cast<std::atomic<int>*>(data);
        if (count < 2) ++count;
        while (count < 2) std::this_thread::yield();
        return 1;
    };
    const ChandraBinImages images = scene.images();
    const ChandraBinControl control{meet, &inside};
    std::vector<float> smoothed[2], alone(scene.counts.size());
    {
        std::vector<Thread> threads;
        for (auto& image : smoothed) {
            image.resize(scene.counts.size());
            threads.emplace_back([&] { api.smooth(&images, 8, 1, &control, image.data(), nullptr, 0); });
        }
    }
    api.smooth(&images, 8, 1, nullptr, alone.data(), nullptr, 0);
    CHECK(smoothed[0] == alone);
    CHECK(smoothed[1] == alone);
}

}  // namespace

TEST_CASE("the version of the C API is that of its header") { CHECK(api.version == CHANDRA_BIN_API_VERSION); }
