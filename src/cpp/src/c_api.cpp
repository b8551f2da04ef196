#include "chandra_bin/c_api.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string_view>

#include "chandra_bin/contour_bin.hpp"
#include "chandra_bin/polygon_trace.hpp"
#include "chandra_bin/smooth.hpp"

namespace {

using namespace chandra_bin;

void put_message(std::string_view what, char* message, std::size_t size) {
    if (message == nullptr || size == 0) return;
    const std::size_t length = std::min(what.size(), size - 1);
    std::memcpy(message, what.data(), length);
    message[length] = '\0';
}

// Calls body() and converts exceptions into error codes, as C cannot handle them.
template <class Body>
int guarded(char* message, std::size_t size, const Body& body) noexcept {
    try {
        body();
        return CHANDRA_BIN_OK;
    } catch (const Cancelled& error) {
        put_message(error.what(), message, size);
        return CHANDRA_BIN_CANCELLED;
    } catch (const std::invalid_argument& error) {
        put_message(error.what(), message, size);
        return CHANDRA_BIN_INVALID;
    } catch (const std::bad_alloc&) {
        put_message("not enough memory", message, size);
    } catch (const std::exception& error) {
        put_message(error.what(), message, size);
    } catch (...) {
        put_message("unknown error", message, size);
    }
    return CHANDRA_BIN_FAILED;
}

void require(bool condition, const char* what) {
    if (!condition) throw std::invalid_argument(what);
}

Images images_of(const ChandraBinImages* images) {
    require(images != nullptr, "images is NULL");
    require(images->counts != nullptr && images->use != nullptr, "counts or use is NULL");
    return {images->ny,    images->nx, images->counts, images->background, images->ratio, images->constant_ratio,
            images->noise, images->use};
}

bool poll(void* data, double fraction) {
    const auto* control = static_cast<const ChandraBinControl*>(data);
    return control->poll(control->data, fraction) != 0;
}

Control control_of(const ChandraBinControl* control) {
    if (control == nullptr || control->poll == nullptr) return {};
    return {poll, const_cast<ChandraBinControl*>(control)};
}

int smooth_c(const ChandraBinImages* images, double sn, int threads, const ChandraBinControl* control, float* smoothed,
             char* message, std::size_t size) {
    return guarded(message, size, [&] {
        require(smoothed != nullptr, "smoothed is NULL");
        smooth(images_of(images), sn, threads, control_of(control), smoothed);
    });
}

int contour_bin_c(const ChandraBinImages* images, const float* smoothed, const ChandraBinOptions* options, int threads,
                  const ChandraBinControl* control, std::int32_t* binmap, std::size_t* bins, char* message,
                  std::size_t size) {
    return guarded(message, size, [&] {
        require(smoothed != nullptr && options != nullptr, "smoothed or options is NULL");
        require(binmap != nullptr && bins != nullptr, "binmap or bins is NULL");
        require(options->target == CHANDRA_BIN_SN || options->target == CHANDRA_BIN_COUNTS,
                "target is neither CHANDRA_BIN_SN nor CHANDRA_BIN_COUNTS");
        const BinningOptions settings{
            options->target == CHANDRA_BIN_COUNTS ? BinningOptions::Target::counts : BinningOptions::Target::sn,
            options->threshold,
            options->constrain,
            options->bin_up != 0,
            options->scrub != 0,
            options->scrub_large};
        *bins = contour_bin(images_of(images), smoothed, settings, threads, control_of(control), binmap).sums.size();
    });
}

int polygon_trace_c(const std::int32_t* labels, std::size_t ny, std::size_t nx, ChandraBinPolygons* polygons,
                    char* message, std::size_t size) {
    return guarded(message, size, [&] {
        require(polygons != nullptr, "polygons is NULL");
        *polygons = {};
        require(labels != nullptr || ny == 0 || nx == 0, "labels is NULL");
        auto traced = std::make_unique<Polygons>(polygon_trace(labels, ny, nx));
        polygons->points = traced->points.size() / 2;
        polygons->rings = traced->ring_offsets.size() - 1;
        polygons->polygons = traced->labels.size();
        polygons->xy = traced->points.data();
        polygons->ring_offsets = traced->ring_offsets.data();
        polygons->polygon_offsets = traced->polygon_offsets.data();
        polygons->labels = traced->labels.data();
        polygons->owner = traced.release();
    });
}

void polygons_free(ChandraBinPolygons* polygons) {
    if (polygons == nullptr) return;
    delete static_cast<Polygons*>(polygons->owner);
    *polygons = {};
}

constexpr ChandraBinAPI kApi{CHANDRA_BIN_API_VERSION, smooth_c, contour_bin_c, polygon_trace_c, polygons_free};

}  // namespace

const ChandraBinAPI* chandra_bin_api() { return &kApi; }
