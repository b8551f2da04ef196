// The exact pixels of events, for blocks of events. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "avx2.hpp"
#include "chandra_bin/select_events.hpp"

namespace chandra_bin::detail {

inline void require(bool condition, const char* message) {
    if (!condition) throw std::invalid_argument(message);
}

// Returns whether so many events of a block remain that processing all of them in order is cheaper than selecting.
inline bool most(std::size_t count, std::size_t size) { return 2 * count >= size; }

// Writes the indices of set flags (0 or 1).
inline void list(const std::uint8_t* flags, std::size_t size, std::uint16_t* places) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < size; ++i) {
        places[count] = static_cast<std::uint16_t>(i);
        count += flags[i];
    }
}

// Sets the pixels of events with a cleared flag to -1.
inline void drop_failing(const std::uint8_t* flags, std::size_t size, std::int32_t* pixels) {
    for (std::size_t i = 0; i < size; ++i) pixels[i] |= static_cast<std::int32_t>(flags[i]) - 1;
}

// The pixel along one axis, counted from 1: 0 is below the axis (or NaN), size + 1 is above it.
class EdgeFinder {
public:
    explicit EdgeFinder(const Edges& edges)
        : first_(edges.first), step_(edges.step), last_(edges.first + static_cast<double>(edges.size) * edges.step),
          below_(first_ - step_), inverse_(1 / edges.step), size_(edges.size) {
        require(std::isfinite(first_) && step_ > 0 && std::isfinite(last_),
                "edges need a finite first and last value, and a step above 0");
        const double largest = std::max(std::abs(below_), std::abs(last_));
        const double margin = 32 * std::numeric_limits<double>::epsilon() * (largest / step_);
        start_ = 1 - margin;
        near_ =
            margin < 0.25 && size_ < (std::size_t{1} << 30) && std::isfinite(last_ - below_) && std::isfinite(inverse_);
    }

    std::int32_t size() const { return static_cast<std::int32_t>(size_); }

    // Whether the edges are far enough apart for by_estimate; otherwise by_search finds the pixel.
    bool estimates() const { return near_; }

    // An estimate that is right or one too low, whatever the rounding, and a comparison with an edge as computed.
    std::int32_t by_estimate(double value) const {
        value = value > below_ ? value : below_;
        value = value < last_ ? value : last_;
        const double guess = static_cast<double>(static_cast<std::int32_t>((value - first_) * inverse_ + start_));
        return static_cast<std::int32_t>(guess + (value >= first_ + guess * step_ ? 1.0 : 0.0));
    }

    std::int32_t by_search(double value) const {
        if (!(value >= first_)) return 0;
        if (value >= last_) return static_cast<std::int32_t>(size_ + 1);
        std::size_t low = 0, high = size_;  // edge low <= value < edge high
        while (high - low > 1) {
            const std::size_t middle = low + (high - low) / 2;
            (value >= first_ + static_cast<double>(middle) * step_ ? low : high) = middle;
        }
        return static_cast<std::int32_t>(low + 1);
    }

private:
    double first_, step_, last_, below_, inverse_, start_;
    std::size_t size_;
    bool near_;
};

// The pixel y * nx + x of an image, below 2^31.
class PixelFinder {
public:
    PixelFinder(const Edges& x, const Edges& y) : x_(x), y_(y) {
        constexpr std::size_t most = (std::size_t{1} << 31) - 2;
        require(x.size <= most && y.size <= most && (x.size == 0 || y.size <= most / x.size),
                "an image must have less than 2^31 - 1 pixels");
    }

    // Sets pixels[i] for i < count to the pixel of (x[k], y[k]), -1 outside, where k = events[i]. The indices ascend
    // and are below `size`, which is at most kBlock.
    template <class T>
    void find(const T* x, const T* y, std::size_t size, const std::uint16_t* events, std::size_t count,
              std::int32_t* pixels) const {
        if (count == size) return find(x, y, size, pixels);
        std::array<T, kBlock> some_x{}, some_y{};
        for (std::size_t i = 0; i < count; ++i) {
            some_x[i] = x[events[i]];
            some_y[i] = y[events[i]];
        }
        find(some_x.data(), some_y.data(), count, pixels);
    }

    // As above for all events.
    template <class T>
    void find(const T* x, const T* y, std::size_t size, std::int32_t* pixels) const {
        if (!x_.estimates() || !y_.estimates()) {
            find_by<BySearch>(x, y, size, pixels);
#ifdef CHANDRA_BIN_AVX2
        } else if (avx2_) {
            find_by_avx2(x, y, size, pixels);
#endif
        } else {
            find_by<ByEstimate>(x, y, size, pixels);
        }
    }

private:
    struct ByEstimate {
        static std::int32_t pixel(const EdgeFinder& axis, double value) { return axis.by_estimate(value); }
    };
    struct BySearch {
        static std::int32_t pixel(const EdgeFinder& axis, double value) { return axis.by_search(value); }
    };

    template <class By, class T>
    [[gnu::always_inline]] void find_by(const T* x, const T* y, std::size_t size, std::int32_t* pixels) const {
        const EdgeFinder x_axis = x_, y_axis = y_;  // copies, kept in registers
        const std::int32_t nx = x_.size(), ny = y_.size();
        for (std::size_t i = 0; i < size; ++i) {
            const std::int32_t column = By::pixel(x_axis, static_cast<double>(x[i])) - 1,
                               row = By::pixel(y_axis, static_cast<double>(y[i])) - 1;
            const std::int32_t outside = (column | (nx - 1 - column) | row | (ny - 1 - row)) >> 31;
            pixels[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(row) * static_cast<std::uint32_t>(nx)
                                                  + static_cast<std::uint32_t>(column))
                        | outside;
        }
    }

#ifdef CHANDRA_BIN_AVX2
    // The same instructions on wider vectors (without fused ones): the same pixels, in a third of the time.
    template <class T>
    [[gnu::target("avx2")]] void find_by_avx2(const T* x, const T* y, std::size_t size, std::int32_t* pixels) const {
        find_by<ByEstimate>(x, y, size, pixels);
    }

    bool avx2_ = __builtin_cpu_supports("avx2") != 0;
#endif
    EdgeFinder x_, y_;
};

// A mask of pixels: one bit per pixel, an eighth of the image, and one bit for positions outside.
class MaskBits {
public:
    MaskBits(const std::uint8_t* image, std::size_t pixels, bool exclude)
        : outside_(static_cast<std::uint32_t>(pixels)) {
        const std::uint8_t flip = exclude;
        bits_.assign(pixels / 8 + 1, 0);
        for (std::size_t k = 0; k < pixels / 8; ++k) {
            for (unsigned b = 0; b < 8; ++b)
                bits_[k] |= static_cast<std::uint8_t>(((image[8 * k + b] != 0) ^ flip) << b);
        }
        for (std::size_t i = pixels / 8 * 8; i < pixels; ++i) {
            bits_.back() |= static_cast<std::uint8_t>(((image[i] != 0) ^ flip) << (i % 8));
        }
        bits_.back() |= static_cast<std::uint8_t>(flip << (pixels % 8));
    }

    // Sets passes[i], for i < count, to 1 if an event in pixels[i] (-1 outside) passes, else to 0.
    void find(const std::int32_t* pixels, std::size_t count, std::uint8_t* passes) const {
        const std::uint8_t* bits = bits_.data();
        const std::uint32_t outside = outside_;
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint32_t pixel = std::min(static_cast<std::uint32_t>(pixels[i]), outside);
            passes[i] = (bits[pixel / 8] >> (pixel % 8)) & 1;
        }
    }

private:
    std::vector<std::uint8_t> bits_;
    std::uint32_t outside_;
};

}  // namespace chandra_bin::detail
