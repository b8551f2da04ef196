// Selection of events by a set of tests, in blocks, so that flags stay in the cache and can be used by other kernels'
// passes.
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

// A column of an event list, one value per event.
using Column = std::variant<const std::int16_t*, const std::int32_t*, const std::int64_t*, const float*, const double*>;

// Coordinates of events; x and y have the same type.
using Coordinates = std::variant<const float*, const double*>;

// The pixels of an image along one axis: pixel i is the half-open interval [first + i * step, first + (i + 1) * step),
// with edges as computed in double precision. The step is positive, and all edges are finite.
struct Edges {
    double first;
    double step;
    std::size_t size;

    bool operator==(const Edges&) const = default;
};

// Events processed at once, so that their flags, pixels and weights stay in the cache.
inline constexpr std::size_t kBlock = 2048;

// Tests joined by AND. The object keeps pointers to its arguments, which must outlive it. A test with `exclude` passes
// exactly the events that fail without it (including NaN, and events outside an image). All methods throw
// std::invalid_argument for values that violate the descriptions here.
class Selection {
public:
    explicit Selection(std::size_t size);
    Selection(Selection&&) noexcept;
    Selection& operator=(Selection&&) noexcept;
    ~Selection();

    std::size_t size() const { return size_; }

    // lows[k] <= v < highs[k] for any k, or v <= highs[k] with `closed`, compared as real numbers (a float32 as the
    // equal double). Infinite limits are open. NaN is in no interval.
    void ranges(const Column& column, std::span<const double> lows, std::span<const double> highs, bool closed,
                bool exclude);

    // (v & mask) == value.
    void bits(const std::uint32_t* column, std::uint32_t mask, std::uint32_t value, bool exclude);

    // start[k] <= time < stop[k] for any k, where start[k] < stop[k] <= start[k + 1]; ends may be infinite.
    void good_times(const double* time, std::span<const double> start, std::span<const double> stop, bool exclude);

    // As above with the intervals offsets[c] .. offsets[c + 1] - 1 for events of chip c; other chips have no intervals.
    void good_times(const double* time, const std::int16_t* chip, std::span<const double> start,
                    std::span<const double> stop, std::span<const std::int64_t> offsets, bool exclude);

    // The pixel of `image` (y.size rows of x.size) that contains the event is not 0. Events outside the image fail. A
    // copy with one bit per pixel is stored.
    void mask(const Coordinates& x, const Coordinates& y, const std::uint8_t* image, const Edges& x_edges,
              const Edges& y_edges, bool exclude);

    // flags[i] is not 0.
    void flags(const std::uint8_t* flags, bool exclude);

    // Sets passes[i] to 1 if event begin + i passes all tests, else to 0, for i < size; returns how many pass. At most
    // kBlock events are allowed at once. Cost: O(events x tests); for unsorted times O(log intervals) whenever an event
    // is in another interval than the one before.
    std::size_t passing(std::size_t begin, std::size_t size, std::uint8_t* passes) const;

    // Returns the tests without the masks on exactly these pixels of these x and y, which are added to `masks`, for
    // callers that find the pixels themselves. The caller must ignore events outside these pixels.
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

// Sets passes[i] to 1 if event i passes all tests, else to 0; returns how many pass.
std::size_t select_events(const Selection& selection, int threads, std::uint8_t* passes);

}  // namespace chandra_bin
