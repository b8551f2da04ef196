#include "chandra_bin/select_events.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "chandra_bin/parallel.hpp"
#include "pixel_index.hpp"

namespace chandra_bin {

using detail::require;

// A test takes at most kBlock events, starting at `begin`, and clears the flags (0 or 1) of those that fail.
class Selection::Test {
public:
    explicit Test(bool exclude) : exclude_(exclude) {}
    Test(const Test&) = delete;
    Test& operator=(const Test&) = delete;
    virtual ~Test() = default;
    virtual void keep(std::size_t begin, std::size_t size, std::uint8_t* passes) const = 0;

protected:
    std::uint8_t exclude() const { return exclude_; }

private:
    std::uint8_t exclude_;
};

// An expensive test runs last, with the number of remaining flags. It returns how many it leaves.
class Selection::LateTest {
public:
    LateTest() = default;
    LateTest(const LateTest&) = delete;
    LateTest& operator=(const LateTest&) = delete;
    virtual ~LateTest() = default;
    virtual std::size_t keep(std::size_t begin, std::size_t size, std::uint8_t* passes, std::size_t count) const = 0;

    // Null if the test uses other pixels than these.
    virtual std::shared_ptr<const detail::MaskBits> bits_of(const Coordinates& x, const Coordinates& y,
                                                            const Edges& x_edges, const Edges& y_edges) const = 0;
};

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The values in one of the intervals, including their ends.
template <class T>
struct Interval {
    T low, high;
};

// The numbers of type T in [low, high), or in [low, high] with `closed`; low > high if no number is.
template <class T>
Interval<T> interval_of(double low, double high, bool closed) {
    using Limits = std::numeric_limits<T>;
    constexpr Interval<T> none{Limits::max(), Limits::lowest()};
    closed |= high == kInfinity;
    if (!closed && high == -kInfinity) return none;
    if constexpr (std::is_floating_point_v<T>) {
        auto a = static_cast<T>(low), b = static_cast<T>(high);
        if (static_cast<double>(a) < low) a = std::nextafter(a, Limits::infinity());
        if (closed ? static_cast<double>(b) > high : static_cast<double>(b) >= high)
            b = std::nextafter(b, -Limits::infinity());
        return {a, b};
    } else {
        constexpr double lowest = static_cast<double>(Limits::lowest()),
                         beyond = -lowest;  // of two's complement, both exact
        low = std::ceil(low);
        high = closed ? std::floor(high) : std::ceil(high);
        if (low >= beyond || high < lowest || (!closed && high <= lowest)) return none;
        const T a = low <= lowest ? Limits::lowest() : static_cast<T>(low);
        const T b = high >= beyond ? Limits::max()
                    : closed       ? static_cast<T>(high)
                                   : static_cast<T>(static_cast<T>(high) - 1);
        return {a, b};
    }
}

template <class T>
class RangeTest final : public Selection::Test {
public:
    RangeTest(const T* column, std::span<const double> lows, std::span<const double> highs, bool closed, bool exclude)
        : Test(exclude), column_(column) {
        std::vector<Interval<T>> all;
        for (std::size_t k = 0; k < lows.size(); ++k) {
            const auto interval = interval_of<T>(lows[k], highs[k], closed);
            if (interval.low <= interval.high) all.push_back(interval);
        }
        std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.low < b.low; });
        for (const auto& interval : all) {
            if (!intervals_.empty() && interval.low <= intervals_.back().high) {
                intervals_.back().high = std::max(intervals_.back().high, interval.high);
            } else {
                intervals_.push_back(interval);
            }
        }
    }

    void keep(std::size_t begin, std::size_t size, std::uint8_t* passes) const override {
        const T* column = column_ + begin;
        const std::uint8_t flip = exclude();
        if (intervals_.size() > kFew) {
            for (std::size_t i = 0; i < size; ++i) passes[i] &= static_cast<std::uint8_t>(holds(column[i]) ^ flip);
            return;
        }
        if (intervals_.size() == 1) {
            const auto [low, high] = intervals_.front();
            for (std::size_t i = 0; i < size; ++i) {
                passes[i] &= static_cast<std::uint8_t>(((column[i] >= low) & (column[i] <= high)) ^ flip);
            }
            return;
        }
        std::array<std::uint8_t, kBlock> inside;
        std::fill_n(inside.data(), size, flip);
        for (const auto [low, high] : intervals_) {
            for (std::size_t i = 0; i < size; ++i)
                inside[i] ^= static_cast<std::uint8_t>((column[i] >= low) & (column[i] <= high));
        }
        for (std::size_t i = 0; i < size; ++i) passes[i] &= inside[i];
    }

private:
    static constexpr std::size_t kFew = 8;

    std::uint8_t holds(T value) const {
        const auto next = std::partition_point(intervals_.begin(), intervals_.end(),
                                               [value](const auto& interval) { return interval.low <= value; });
        return next != intervals_.begin() && value <= std::prev(next)->high;
    }

    const T* column_;
    std::vector<Interval<T>> intervals_;  // ascending and disjoint
};

class BitsTest final : public Selection::Test {
public:
    BitsTest(const std::uint32_t* column, std::uint32_t mask, std::uint32_t value, bool exclude)
        : Test(exclude), column_(column), mask_(mask), value_(value) {}

    void keep(std::size_t begin, std::size_t size, std::uint8_t* passes) const override {
        const std::uint32_t* column = column_ + begin;
        const std::uint32_t mask = mask_, value = value_;
        const std::uint8_t flip = exclude();
        for (std::size_t i = 0; i < size; ++i)
            passes[i] &= static_cast<std::uint8_t>(((column[i] & mask) == value) ^ flip);
    }

private:
    const std::uint32_t* column_;
    std::uint32_t mask_, value_;
};

// A stretch of time in one good interval, or between two; most times are in the same stretch as the time before.
struct Stretch {
    double from, to;
    std::uint8_t good;

    bool holds(double time) const { return (time >= from) & (time < to); }
};

class GoodTimes {
public:
    GoodTimes(std::span<const double> start, std::span<const double> stop) {
        double before = -kInfinity;
        for (std::size_t k = 0; k < start.size(); ++k) {
            require(start[k] >= before && start[k] < stop[k],
                    "good times must be intervals start < stop that rise and do not overlap");
            ends_.push_back(start[k]);
            ends_.push_back(before = stop[k]);
        }
    }

    Stretch around(double time) const {
        const auto next = static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), time) - ends_.begin());
        if (std::isnan(time)) return {time, time, 0};
        return {next == 0 ? -kInfinity : ends_[next - 1], next == ends_.size() ? kInfinity : ends_[next],
                static_cast<std::uint8_t>(next % 2)};
    }

private:
    std::vector<double> ends_;  // start, stop, start, stop, ...
};

[[gnu::always_inline]] inline bool all_in_loop(const Stretch& stretch, const double* time, std::size_t size) {
    const double from = stretch.from, to = stretch.to;
    std::int64_t outside = 0;
    for (std::size_t i = 0; i < size; ++i)
        outside |= static_cast<std::int64_t>(!(time[i] >= from)) | static_cast<std::int64_t>(!(time[i] < to));
    return outside == 0;
}

#ifdef CHANDRA_BIN_AVX2
[[gnu::target("avx2")]] bool all_in_avx2(const Stretch& stretch, const double* time, std::size_t size) {
    return all_in_loop(stretch, time, size);
}
#endif

bool all_in(const Stretch& stretch, const double* time, std::size_t size) {
#ifdef CHANDRA_BIN_AVX2
    static const bool avx2 = __builtin_cpu_supports("avx2") != 0;  // takes half the time
    if (avx2) return all_in_avx2(stretch, time, size);
#endif
    return all_in_loop(stretch, time, size);
}

class GoodTimesTest final : public Selection::Test {
public:
    GoodTimesTest(const double* time, GoodTimes good, bool exclude)
        : Test(exclude), time_(time), good_(std::move(good)) {}

    void keep(std::size_t begin, std::size_t size, std::uint8_t* passes) const override {
        const double* time = time_ + begin;
        const std::uint8_t flip = exclude();
        Stretch stretch = good_.around(time[0]);
        if (all_in(stretch, time, size)) {
            if (stretch.good == flip) std::fill_n(passes, size, std::uint8_t{0});
            return;
        }
        for (std::size_t i = 0; i < size; ++i) {
            if (!stretch.holds(time[i])) stretch = good_.around(time[i]);
            passes[i] &= static_cast<std::uint8_t>(stretch.good ^ flip);
        }
    }

private:
    const double* time_;
    GoodTimes good_;
};

class ChipTimesTest final : public Selection::Test {
public:
    ChipTimesTest(const double* time, const std::int16_t* chip, std::vector<GoodTimes> good, bool exclude)
        : Test(exclude), time_(time), chip_(chip), good_(std::move(good)) {}

    void keep(std::size_t begin, std::size_t size, std::uint8_t* passes) const override {
        const double* time = time_ + begin;
        const std::int16_t* chip = chip_ + begin;
        const std::uint8_t flip = exclude();
        std::vector<Stretch> now;
        Stretch common{-kInfinity, kInfinity, 0};
        for (const GoodTimes& good : good_) {
            now.push_back(good.around(time[0]));
            common.from = std::max(common.from, now.back().from);
            common.to = std::min(common.to, now.back().to);
        }
        const bool together = all_in(common, time, size);
        if (together && now.size() <= kFew) {
            std::array<std::uint8_t, kBlock> inside;
            std::fill_n(inside.data(), size, flip);
            for (std::size_t c = 0; c < now.size(); ++c) {
                if (now[c].good == 0) continue;
                const auto number = static_cast<std::int16_t>(c);
                for (std::size_t i = 0; i < size; ++i) inside[i] ^= static_cast<std::uint8_t>(chip[i] == number);
            }
            for (std::size_t i = 0; i < size; ++i) passes[i] &= inside[i];
            return;
        }
        for (std::size_t i = 0; i < size; ++i) {
            std::uint8_t good = 0;
            if (const auto c = static_cast<std::size_t>(chip[i]); chip[i] >= 0 && c < now.size()) {
                if (!together && !now[c].holds(time[i])) now[c] = good_[c].around(time[i]);
                good = now[c].good;
            }
            passes[i] &= static_cast<std::uint8_t>(good ^ flip);
        }
    }

private:
    const double* time_;
    static constexpr std::size_t kFew = 10;

    const std::int16_t* chip_;
    std::vector<GoodTimes> good_;  // by chip
};

template <class T>
class MaskTest final : public Selection::LateTest {
public:
    MaskTest(const T* x, const T* y, const std::uint8_t* image, const Edges& x_edges, const Edges& y_edges,
             bool exclude)
        : x_(x), y_(y), x_edges_(x_edges), y_edges_(y_edges), finder_(x_edges, y_edges),
          bits_(std::make_shared<detail::MaskBits>(image, x_edges.size * y_edges.size, exclude)) {}

    std::size_t keep(std::size_t begin, std::size_t size, std::uint8_t* passes, std::size_t count) const override {
        std::array<std::int32_t, kBlock> pixels;
        std::array<std::uint8_t, kBlock> inside;
        std::size_t kept = 0;
        if (detail::most(count, size)) {
            finder_.find(x_ + begin, y_ + begin, size, pixels.data());
            bits_->find(pixels.data(), size, inside.data());
            for (std::size_t i = 0; i < size; ++i) passes[i] &= inside[i];
            for (std::size_t i = 0; i < size; ++i) kept += passes[i];
            return kept;
        }
        std::array<std::uint16_t, kBlock> events;
        detail::list(passes, size, events.data());
        finder_.find(x_ + begin, y_ + begin, size, events.data(), count, pixels.data());
        bits_->find(pixels.data(), count, inside.data());
        for (std::size_t i = 0; i < count; ++i) passes[events[i]] = inside[i];
        for (std::size_t i = 0; i < count; ++i) kept += inside[i];
        return kept;
    }

    std::shared_ptr<const detail::MaskBits> bits_of(const Coordinates& x, const Coordinates& y, const Edges& x_edges,
                                                    const Edges& y_edges) const override {
        const bool same = x == Coordinates(x_) && y == Coordinates(y_) && x_edges == x_edges_ && y_edges == y_edges_;
        return same ? bits_ : nullptr;
    }

private:
    const T *x_, *y_;
    Edges x_edges_, y_edges_;
    detail::PixelFinder finder_;
    std::shared_ptr<const detail::MaskBits> bits_;
};

class FlagsTest final : public Selection::Test {
public:
    FlagsTest(const std::uint8_t* flags, bool exclude) : Test(exclude), flags_(flags) {}

    void keep(std::size_t begin, std::size_t size, std::uint8_t* passes) const override {
        const std::uint8_t* flags = flags_ + begin;
        const std::uint8_t flip = exclude();
        for (std::size_t i = 0; i < size; ++i) passes[i] &= static_cast<std::uint8_t>((flags[i] != 0) ^ flip);
    }

private:
    const std::uint8_t* flags_;
};

}  // namespace

Selection::Selection(std::size_t size) : size_(size) {}
Selection::Selection(Selection&&) noexcept = default;
Selection& Selection::operator=(Selection&&) noexcept = default;
Selection::~Selection() = default;

void Selection::ranges(const Column& column, std::span<const double> lows, std::span<const double> highs, bool closed,
                       bool exclude) {
    require(lows.size() == highs.size(), "lows and highs differ in length");
    const auto is_nan = [](double v) { return std::isnan(v); };
    require(std::none_of(lows.begin(), lows.end(), is_nan) && std::none_of(highs.begin(), highs.end(), is_nan),
            "an end of a range is not a number");
    tests_.push_back(std::visit(
        [&](const auto* values) -> std::shared_ptr<const Test> {
            using T = std::remove_cvref_t<decltype(*values)>;
            return std::make_shared<RangeTest<T>>(values, lows, highs, closed, exclude);
        },
        column));
}

void Selection::bits(const std::uint32_t* column, std::uint32_t mask, std::uint32_t value, bool exclude) {
    tests_.push_back(std::make_shared<BitsTest>(column, mask, value, exclude));
}

void Selection::good_times(const double* time, std::span<const double> start, std::span<const double> stop,
                           bool exclude) {
    require(start.size() == stop.size(), "start and stop differ in length");
    tests_.push_back(std::make_shared<GoodTimesTest>(time, GoodTimes(start, stop), exclude));
}

void Selection::good_times(const double* time, const std::int16_t* chip, std::span<const double> start,
                           std::span<const double> stop, std::span<const std::int64_t> offsets, bool exclude) {
    require(start.size() == stop.size(), "start and stop differ in length");
    require(!offsets.empty() && offsets.front() == 0 && offsets.back() == static_cast<std::int64_t>(start.size())
                && std::is_sorted(offsets.begin(), offsets.end()),
            "offsets must rise from 0 to the number of good times");
    std::vector<GoodTimes> good;
    for (std::size_t c = 0; c + 1 < offsets.size(); ++c) {
        const auto first = static_cast<std::size_t>(offsets[c]),
                   count = static_cast<std::size_t>(offsets[c + 1] - offsets[c]);
        good.emplace_back(start.subspan(first, count), stop.subspan(first, count));
    }
    tests_.push_back(std::make_shared<ChipTimesTest>(time, chip, std::move(good), exclude));
}

void Selection::mask(const Coordinates& x, const Coordinates& y, const std::uint8_t* image, const Edges& x_edges,
                     const Edges& y_edges, bool exclude) {
    require(x.index() == y.index(), "x and y differ in type");
    late_tests_.push_back(std::visit(
        [&](const auto* xs) -> std::shared_ptr<const LateTest> {
            using T = std::remove_cvref_t<decltype(*xs)>;
            return std::make_shared<MaskTest<T>>(xs, std::get<const T*>(y), image, x_edges, y_edges, exclude);
        },
        x));
}

void Selection::flags(const std::uint8_t* flags, bool exclude) {
    tests_.push_back(std::make_shared<FlagsTest>(flags, exclude));
}

std::size_t Selection::passing(std::size_t begin, std::size_t size, std::uint8_t* passes) const {
    std::fill_n(passes, size, std::uint8_t{1});
    for (const auto& test : tests_) test->keep(begin, size, passes);
    std::size_t count = 0;
    for (std::size_t i = 0; i < size; ++i) count += passes[i];
    for (const auto& test : late_tests_) {
        if (count > 0) count = test->keep(begin, size, passes, count);
    }
    return count;
}

Selection Selection::without_masks_of(const Coordinates& x, const Coordinates& y, const Edges& x_edges,
                                      const Edges& y_edges, MaskList& masks) const {
    Selection others(size_);
    others.tests_ = tests_;
    for (const auto& test : late_tests_) {
        if (auto bits = test->bits_of(x, y, x_edges, y_edges)) {
            masks.push_back(std::move(bits));
        } else {
            others.late_tests_.push_back(test);
        }
    }
    return others;
}

std::size_t select_events(const Selection& selection, int threads, std::uint8_t* passes) {
    constexpr std::size_t kPiece = 32 * kBlock;
    std::atomic<std::size_t> passed{0};
    const std::size_t size = selection.size();
    parallel_for((size + kPiece - 1) / kPiece, threads, Control{}, 0, 1, [&](std::size_t piece, const auto&) {
        const std::size_t end = std::min(size, (piece + 1) * kPiece);
        std::size_t count = 0;
        for (std::size_t at = piece * kPiece; at < end; at += kBlock) {
            count += selection.passing(at, std::min(kBlock, end - at), passes + at);
        }
        passed += count;
    });
    return passed;
}

}  // namespace chandra_bin
