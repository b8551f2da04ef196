// The C API gives what the C++ functions give, says what is wrong, and runs in several threads at once.
#include <atomic>
#include <cstdio>
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

int failures = 0;

void expect(bool holds, const char* what) {
    if (holds) return;
    ++failures;
    std::printf("failed: %s\n", what);
}

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

void gives_what_cpp_gives() {
    const ChandraBinImages images = scene.images();
    const Images same{scene.ny, scene.nx, scene.counts.data(), nullptr, nullptr, 1, nullptr, scene.use.data()};
    std::vector<float> smoothed(scene.counts.size()), smoothed_cpp(scene.counts.size());
    expect(api.smooth(&images, 8, 1, nullptr, smoothed.data(), nullptr, 0) == CHANDRA_BIN_OK, "smooth is well");
    smooth(same, 8, 1, Control{}, smoothed_cpp.data());
    expect(smoothed == smoothed_cpp, "smooth gives the same pixels");

    const ChandraBinOptions options{CHANDRA_BIN_COUNTS, 60, 2, 1, 1, 0};
    std::vector<std::int32_t> binmap(scene.counts.size()), binmap_cpp(scene.counts.size());
    std::size_t bins = 0;
    expect(api.contour_bin(&images, smoothed.data(), &options, 1, nullptr, binmap.data(), &bins, nullptr, 0)
               == CHANDRA_BIN_OK,
           "contour_bin is well");
    const Bins bins_cpp = contour_bin(same, smoothed.data(), {BinningOptions::Target::counts, 60, 2, true, true, 0}, 1,
                                      Control{}, binmap_cpp.data());
    expect(binmap == binmap_cpp && bins == bins_cpp.sums.size() && bins > 10, "contour_bin gives the same bins");

    ChandraBinPolygons polygons;
    expect(api.polygon_trace(binmap.data(), scene.ny, scene.nx, &polygons, nullptr, 0) == CHANDRA_BIN_OK,
           "polygon_trace is well");
    const Polygons traced = polygon_trace(binmap.data(), scene.ny, scene.nx);
    expect(std::vector<double>(polygons.xy, polygons.xy + 2 * polygons.points) == traced.points, "points");
    expect(std::vector<std::int64_t>(polygons.ring_offsets, polygons.ring_offsets + polygons.rings + 1)
               == traced.ring_offsets,
           "rings");
    expect(std::vector<std::int64_t>(polygons.polygon_offsets, polygons.polygon_offsets + polygons.polygons + 1)
               == traced.polygon_offsets,
           "polygons");
    expect(std::vector<std::int32_t>(polygons.labels, polygons.labels + polygons.polygons) == traced.labels, "labels");
    api.polygons_free(&polygons);
    expect(polygons.owner == nullptr && polygons.xy == nullptr && polygons.polygons == 0, "freed is nothing");
    api.polygons_free(&polygons);
    api.polygons_free(nullptr);
    expect(api.polygon_trace(nullptr, 0, 0, &polygons, nullptr, 0) == CHANDRA_BIN_OK && polygons.rings == 0,
           "an image of no pixels has no rings");
    api.polygons_free(&polygons);
}

void says_what_is_wrong() {
    char message[100];
    ChandraBinImages images = scene.images();
    std::vector<float> smoothed(scene.counts.size());
    std::vector<std::int32_t> binmap(scene.counts.size());
    std::size_t bins = 0;
    const auto smooth_says = [&](double sn, const ChandraBinImages* given, std::size_t size) {
        message[0] = '\0';
        expect(api.smooth(given, sn, 1, nullptr, smoothed.data(), message, size) == CHANDRA_BIN_INVALID, "is invalid");
        return std::string(message);
    };
    expect(smooth_says(-1, &images, sizeof message) == "the signal-to-noise must be positive", "the S/N");
    expect(smooth_says(-1, &images, 4) == "the", "a message is cut to its buffer");
    expect(smooth_says(-1, &images, 0).empty(), "no buffer, no message");
    expect(smooth_says(5, nullptr, sizeof message) == "images is NULL", "no images");
    images.use = nullptr;
    expect(smooth_says(5, &images, sizeof message) == "counts or use is NULL", "no mask");
    images = scene.images();
    ChandraBinOptions options{7, 60, 0, 0, 1, 0};
    expect(
        api.contour_bin(&images, smoothed.data(), &options, 1, nullptr, binmap.data(), &bins, message, sizeof message)
            == CHANDRA_BIN_INVALID,
        "a target that there is not");
    options.target = CHANDRA_BIN_SN;
    expect(api.contour_bin(&images, smoothed.data(), &options, 1, nullptr, nullptr, &bins, message, sizeof message)
               == CHANDRA_BIN_INVALID,
           "no binmap");
    images.ny = images.nx = std::size_t{1} << 40;
    expect(smooth_says(5, &images, sizeof message) == "the image has more than 2^31 pixels", "too many pixels");
    expect(api.polygon_trace(nullptr, 3, 3, nullptr, message, sizeof message) == CHANDRA_BIN_INVALID, "no polygons");
}

void stops_when_told() {
    const ChandraBinImages images = scene.images();
    std::vector<float> smoothed(scene.counts.size());
    int polls = 0;
    const ChandraBinControl control{[](void* data, double) { return ++*static_cast<int*>(data) < 2 ? 1 : 0; }, &polls};
    expect(api.smooth(&images, 8, 1, &control, smoothed.data(), nullptr, 0) == CHANDRA_BIN_CANCELLED, "cancelled");
    expect(polls == 2, "polled until it said stop, and no more");
}

// Each call waits, in its first poll, until the other has got there too.
void runs_in_two_threads_at_once() {
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
    expect(smoothed[0] == alone && smoothed[1] == alone, "two calls at once give what each gives alone");
}

}  // namespace

int main() {
    expect(api.version == CHANDRA_BIN_API_VERSION, "the version is the header's");
    gives_what_cpp_gives();
    says_what_is_wrong();
    stops_when_told();
    runs_in_two_threads_at_once();
    return failures == 0 ? 0 : 1;
}
