// Which events pass a set of tests, found block by block, so that flags stay in the cache and join other kernels' passes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <variant>
#include <vector>

namespace chandra_bin {

namespace detail {
class MaskBits;  // private to src/cpp/src
}

// The columns of an event list that tests read; one value an event.
using Column = std::variant<const std::int16_t*, const std::int32_t*, const std::int64_t*, const float*, const double*>;

// Coordinates of events; x and y are of one type.
using Coordinates = std::variant<const float*, const double*>;

// The pixels of an image along one axis: pixel i is the half-open [first + i * step, first + (i + 1) * step), with
// these edges as computed in double precision. step > 0, all edges finite.
struct Edges {
    double first;
    double step;
    std::size_t size;

    bool operator==(const Edges&) const = default;
};

// Events that are taken at a time: what is made of them (flags, pixels, weights) stays in the cache.
inline constexpr std::size_t kBlock = 2048;

// Tests joined by AND. It keeps pointers to what it is given, which must outlive it. A test with `exclude` passes
// exactly the events that fail it without (so also NaN, and events outside an image).
// All methods throw std::invalid_argument for values that are not as described here.
class Selection {
public:
    explicit Selection(std::size_t size);
    Selection(Selection&&) noexcept;
    Selection& operator=(Selection&&) noexcept;
    ~Selection();

    std::size_t size() const { return size_; }

    // lows[k] <= v < highs[k] for any k, or v <= highs[k] with `closed`, compared as real numbers (a float32 as the double
    // that it is). Infinite ends are no limits. NaN is in no interval.
    void ranges(const Column& column, std::span<const double> lows, std::span<const double> highs, bool closed,
                bool exclude);

    // (v & mask) == value.
    void bits(const std::uint32_t* column, std::uint32_t mask, std::uint32_t value, bool exclude);

    // start[k] <= time < stop[k] for any k, where start[k] < stop[k] <= start[k + 1]; ends may be infinite.
    void good_times(const double* time, std::span<const double> start, std::span<const double> stop, bool exclude);

    // The same with the intervals offsets[c] .. offsets[c + 1] - 1 for events of chip c; other chips have none.
    void good_times(const double* time, const std::int16_t* chip, std::span<const double> start,
                    std::span<const double> stop, std::span<const std::int64_t> offsets, bool exclude);

    // The pixel of `image` (y.size rows of x.size) that holds the event is not 0. Events outside the image fail.
    // It keeps a copy, of a bit a pixel.
    void mask(const Coordinates& x, const Coordinates& y, const std::uint8_t* image, const Edges& x_edges,
              const Edges& y_edges, bool exclude);

    // flags[i] is not 0.
    void flags(const std::uint8_t* flags, bool exclude);

    // Sets passes[i] to 1 where event begin + i passes all tests, to 0 elsewhere, for i < size; returns how many pass.
    // At most kBlock events at a time. Cost: O(events x tests); times out of order: O(log intervals) each time that an
    // interval is left.
    std::size_t passing(std::size_t begin, std::size_t size, std::uint8_t* passes) const;

    // The same without the masks over just these pixels of these x and y, which are added to `masks`: for who finds the
    // pixels himself. Events outside them count for nothing there.
    using MaskList = std::vector<std::shared_ptr<const detail::MaskBits>>;
    Selection without_masks_of(const Coordinates& x, const Coordinates& y, const Edges& x_edges, const Edges& y_edges,
                               MaskList& masks) const;

    class Test;  // these are private to select_events.cpp
    class LateTest;

private:
    std::size_t size_;
    std::vector<std::shared_ptr<const Test>> tests_;
    std::vector<std::shared_ptr<const LateTest>> late_tests_;
};

// Sets passes[i] to 1 where event i passes all tests, to 0 elsewhere; returns how many pass.
std::size_t select_events(const Selection& selection, int threads, std::uint8_t* passes);

}  // namespace chandra_bin
