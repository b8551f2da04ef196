// The size of an image, the layout of its pixels in memory, and checks of images. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace chandra_bin::detail {

struct Grid {
    int ny;
    int nx;

    std::size_t size() const { return static_cast<std::size_t>(ny) * static_cast<std::size_t>(nx); }
    std::size_t at(int y, int x) const {
        return static_cast<std::size_t>(y) * static_cast<std::size_t>(nx) + static_cast<std::size_t>(x);
    }
    // contbin's largest radius, whose disc covers the image from any pixel.
    int max_radius() const {
        return static_cast<int>(std::sqrt(static_cast<double>(nx) * nx + static_cast<double>(ny) * ny));
    }
};

inline Grid make_grid(std::size_t ny, std::size_t nx) {
    constexpr std::size_t limit = std::numeric_limits<std::int32_t>::max();
    if (ny == 0 || nx == 0) throw std::invalid_argument("the image has no pixels");
    if (nx > limit / 4 || ny > limit / 4 || ny * nx > limit) {
        throw std::invalid_argument("the image has more than 2^31 pixels");
    }
    return {static_cast<int>(ny), static_cast<int>(nx)};
}

// Throws if an image has a NaN or infinite pixel; a null image passes.
inline void check_finite(const Grid& grid, const float* image) {
    if (image == nullptr) return;
    constexpr std::uint32_t exponent = 0x7f800000U;
    std::uint32_t largest = 0;  // integers, so that the compiler can compare several at once
    for (std::size_t i = 0; i < grid.size(); ++i) {
        std::uint32_t bits;
        std::memcpy(&bits, image + i, sizeof bits);
        largest = std::max(largest, bits & exponent);
    }
    if (largest == exponent) throw std::invalid_argument("an image holds NaN or infinite pixels");
}

inline void check_sn(double sn) {
    if (!(sn > 0) || !std::isfinite(sn)) throw std::invalid_argument("the signal-to-noise must be positive");
}

}  // namespace chandra_bin::detail
