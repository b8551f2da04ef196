// Growth of a bin in contour binning: pixels, sums, constraint and candidates. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "chandra_bin/contour_bin.hpp"
#include "chandra_bin/introsort.hpp"
#include "chandra_bin/parallel.hpp"
#include "disc.hpp"
#include "heap.hpp"
#include "large.hpp"

namespace chandra_bin::detail {

// Labels of pixels, on a frame with a border: bins from 0.
constexpr std::int32_t kFree = -1;
constexpr std::int32_t kNever =
    std::numeric_limits<std::int32_t>::min();  // excluded, the border, or may only start a bin

constexpr double kLeastVariance = 1e-7;
constexpr double kLeastWeight = 1e-7;
constexpr std::uint32_t kPollEvery = 2048;

// The order of keys is the order of values; both zeros have the same key.
inline std::uint32_t ascending_key(float value) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value + 0.0F);
    return bits ^ ((bits >> 31) != 0 ? 0xffffffffU : 0x80000000U);
}

inline float value_of_ascending(std::uint32_t key) {
    return std::bit_cast<float>(key ^ ((key >> 31) != 0 ? 0x80000000U : 0xffffffffU));
}

// The key of a smoothed value: pixels with smaller keys start bins, and are taken, first.
inline std::uint32_t seed_key(float value, const BinningOptions& options) {
    const std::uint32_t key = ascending_key(value);
    return options.bin_up ? key : ~key;
}

struct Bin {
    PixelSums sums;
    double weight = 0;
    double weight_x = 0;
    double weight_y = 0;
    double x = 0;  // centroid
    double y = 0;
    double travel = 0;  // total distance it has moved
    int radius = 0;     // R of the constraint
};

// Radii rad(n) + 1 of the constraint, from disc areas that are computed on demand: a long image has as many discs as
// rows, but bins need few.
class Radii {
public:
    explicit Radii(const Grid& grid) : grid_(grid) {}

    // `radius` is the result for fewer pixels, where the search starts.
    int of(double npix, int radius) {
        int count = std::max(radius - 1, 0);
        while (has(count) && areas_[static_cast<std::size_t>(count)] <= npix) ++count;
        return count + 1;
    }

private:
    // Whether a disc of this radius exists: none is larger than the image.
    bool has(int radius) {
        while (static_cast<std::size_t>(radius) >= areas_.size()) {
            const int r = static_cast<int>(areas_.size());
            if (r > grid_.max_radius() || (r > 0 && areas_.back() > static_cast<double>(grid_.size()))) return false;
            disc_.set_radius(r);
            double area = 0;
            for (int dy = -std::min(r, grid_.ny - 1); dy <= std::min(r, grid_.ny - 1); ++dy) {
                area += 2 * std::min(disc_.width(dy), grid_.nx - 1) + 1;
            }
            areas_.push_back(area);
        }
        return true;
    }

    Grid grid_;
    Disc disc_;
    std::vector<double> areas_;
};

struct Place {
    int y;
    int x;
};

// Pixels are numbered row by row, with a border of one pixel around the image.
inline std::uint32_t frame_pixel(const Grid& grid, int y, int x) {
    return static_cast<std::uint32_t>(y + 1) * static_cast<std::uint32_t>(grid.nx + 2)
           + static_cast<std::uint32_t>(x + 1);
}

// Calls body(y) for all rows, in pieces that are large enough for a thread; `done` is the fraction of all work done
// before.
template <class Body>
void for_rows(const Grid& grid, int threads, const Control& control, double done, const Body& body) {
    const int rows = std::max(1, (1 << 16) / grid.nx);
    parallel_for(static_cast<std::size_t>((grid.ny - 1) / rows + 1), threads, control, done, done,
                 [&](std::size_t i, const auto&) {
                     const int first = static_cast<int>(i) * rows;
                     for (int y = first; y < std::min(first + rows, grid.ny); ++y) body(y);
                 });
}

// The images, the owners of pixels, and the rules of bins. Labels may be read while other threads set them.
class Field {
public:
    Field(const Images& images, const float* smoothed, const BinningOptions& options, int threads,
          const Control& control)
        : images_(images), grid_(make_grid(images.ny, images.nx)), options_(options), stride_(grid_.nx + 2),
          steps_{-stride_, -1, 1, stride_},
          threshold_(options.target == BinningOptions::Target::sn ? options.threshold * options.threshold
                                                                  : options.threshold),
          cells_(static_cast<std::size_t>(stride_) * static_cast<std::size_t>(grid_.ny + 2)) {
        for (const int y : {-1, grid_.ny}) {
            for (int x = -1; x <= grid_.nx; ++x) set_label(frame(y, x), kNever);
        }
        for_rows(grid_, threads, control, 0, [&](int y) {
            for (const int x : {-1, grid_.nx}) set_label(frame(y, x), kNever);
            for (int x = 0; x < grid_.nx; ++x) {
                const std::size_t i = grid_.at(y, x);
                const std::uint32_t pixel = frame(y, x);
                if (images_.use[i] != 0) cells_[pixel].key = seed_key(smoothed[i], options_);
                set_label(pixel, images_.use[i] == 1 ? kFree : kNever);
            }
        });
    }

    const Images& images() const { return images_; }
    const Grid& grid() const { return grid_; }
    double threshold() const { return threshold_; }
    std::size_t framed() const { return cells_.size(); }

    std::int32_t label(std::uint32_t pixel) const { return cells_[pixel].label.load(std::memory_order_relaxed); }
    void set_label(std::uint32_t pixel, std::int32_t label) {
        cells_[pixel].label.store(label, std::memory_order_relaxed);
    }
    std::uint32_t key(std::uint32_t pixel) const { return cells_[pixel].key; }
    float value(std::uint32_t pixel) const {
        return value_of_ascending(options_.bin_up ? cells_[pixel].key : ~cells_[pixel].key);
    }

    // Prefetches the data of a pixel that is about to be added: nearly all pixels that are met are added.
    void prefetch([[maybe_unused]] std::uint32_t pixel, [[maybe_unused]] Place at) const {
#ifdef __GNUC__
        __builtin_prefetch(&cells_[neighbour(pixel, 0)]);
        __builtin_prefetch(&cells_[neighbour(pixel, 3)]);
        __builtin_prefetch(images_.counts + grid_.at(at.y, at.x));
#endif
    }

    std::uint32_t frame(int y, int x) const { return frame_pixel(grid_, y, x); }
    Place place(std::uint32_t pixel) const {
        const auto stride = static_cast<std::uint32_t>(stride_);
        return {static_cast<int>(pixel / stride) - 1, static_cast<int>(pixel % stride) - 1};
    }
    std::uint32_t neighbour(std::uint32_t pixel, std::size_t direction) const {
        return static_cast<std::uint32_t>(static_cast<std::int64_t>(pixel) + steps_[direction]);
    }

    bool constrained() const { return options_.constrain > 0; }

    // The quantity compared with the threshold: (S/N)^2 or net counts.
    double measure(const Bin& bin) const {
        if (options_.target == BinningOptions::Target::counts) return bin.sums.signal();
        const double variance = bin.sums.variance(images_.background != nullptr, images_.noise != nullptr);
        if (variance < kLeastVariance) return kLeastVariance;
        return bin.sums.signal() * bin.sums.signal() / variance;
    }

    bool below_threshold(const Bin& bin) const {
        if (certainly_below(bin.sums)) return true;
        return measure(bin) < threshold_;
    }

    // Adds (sign 1) or subtracts (sign -1) a pixel; returns its weight in the centroid.
    double change_sums(PixelSums& sums, std::size_t i, double sign) const {
        const double counts = double{images_.counts[i]};
        double weight = counts;
        sums.counts += sign * counts;
        if (images_.background != nullptr) {
            const double ratio = images_.ratio != nullptr ? double{images_.ratio[i]} : images_.constant_ratio;
            const double background = double{images_.background[i]};
            sums.background += sign * background;
            sums.scaled_background += sign * (background * ratio);
            sums.ratio2 += sign * (ratio * ratio);
            weight -= background * ratio;
        }
        if (images_.noise != nullptr) sums.noise2 += sign * double{images_.noise[i] * images_.noise[i]};
        sums.npix += sign;
        return std::max(weight, kLeastWeight);
    }

    void add(Bin& bin, Place at, Radii& radii) const {
        const double weight = change_sums(bin.sums, grid_.at(at.y, at.x), 1.0);
        if (!constrained()) return;
        bin.weight += weight;
        bin.weight_x += weight * at.x;
        bin.weight_y += weight * at.y;
        const double x = bin.weight_x / bin.weight;
        const double y = bin.weight_y / bin.weight;
        const double dx = x - bin.x;
        const double dy = y - bin.y;
        if (bin.radius > 0) bin.travel += std::sqrt(dx * dx + dy * dy);
        bin.x = x;
        bin.y = y;
        bin.radius = radii.of(bin.sums.npix, bin.radius);
    }

    static double distance2(const Bin& bin, Place at) {
        const double dx = at.x - bin.x;
        const double dy = at.y - bin.y;
        return dx * dx + dy * dy;
    }
    bool passes(const Bin& bin, double distance2) const {
        const double radius2 = static_cast<double>(bin.radius) * bin.radius;
        const double constrain2 = options_.constrain * options_.constrain;
        if (std::abs(distance2 - constrain2 * radius2) > 1e-9 * distance2) return distance2 < constrain2 * radius2;
        return distance2 / radius2 < constrain2;  // contbin's form of the expression, where rounding decides
    }
    // A pixel that failed the constraint can pass only after the centroid's travel and the growth of the allowed radius
    // have used up the margin of the failure, when the bin's clock reaches `wake`.
    double clock(const Bin& bin) const { return bin.travel + options_.constrain * bin.radius; }
    // Slightly early rather than late, as the exact test follows.
    static double wake(const Bin& bin, double distance2) {
        const double time = bin.travel + std::sqrt(distance2);
        return time - 1e-9 * (1 + time);
    }

private:
    struct Cell {
        // Both are set by the thread that first touches them; with `= default`, vectors would set them to 0 before.
        Cell() {}  // NOLINT(modernize-use-equals-default)
        std::uint32_t key;
        std::atomic<std::int32_t> label;
    };

    // g(c) >= c + 7/4, so most bins are found too small without a square root.
    bool certainly_below(const PixelSums& sums) const {
        if (options_.target == BinningOptions::Target::counts || images_.noise != nullptr || sums.counts < 0)
            return false;
        return sums.signal() * sums.signal() < threshold_ * (1 - 1e-9) * (sums.counts + 1.75);
    }

    Images images_;
    Grid grid_;
    BinningOptions options_;
    std::int64_t stride_;
    std::array<std::int64_t, 4> steps_;
    double threshold_;
    LargeVector<Cell> cells_;
};

// Frame pixels in the order in which they may start bins, except that pieces are still to be sorted by `introsort`.
struct Seeds {
    LargeVector<std::uint32_t> pixels;
    std::vector<Piece> pieces;
};

constexpr std::size_t kLongestPiece = 4096;  // 512 to 16384 take the same time

// Throws if a used pixel is not finite. It needs 12 bytes a pixel and keeps 4 of them, so it runs before a field is
// allocated.
inline Seeds ordered_seeds(const Images& images, const float* smoothed, const BinningOptions& options, int threads,
                           const Control& control) {
    const Grid grid = make_grid(images.ny, images.nx);
    const std::uint8_t* const use = images.use;
    const auto ny = static_cast<std::size_t>(grid.ny);
    std::vector<std::size_t> first(ny + 1);  // of each row
    for (std::size_t y = 0; y < ny; ++y) {
        const std::uint8_t* const row = use + grid.at(static_cast<int>(y), 0);
        first[y + 1] = first[y] + static_cast<std::size_t>(grid.nx - std::count(row, row + grid.nx, 0));
    }
    LargeVector<std::uint64_t> records(first[ny]);  // the upper half is the key
    for_rows(grid, threads, control, 0, [&](int y) {
        std::size_t next = first[static_cast<std::size_t>(y)];
        for (int x = 0; x < grid.nx; ++x) {
            const std::size_t i = grid.at(y, x);
            if (use[i] == 0) continue;
            if (!std::isfinite(smoothed[i]))
                throw std::invalid_argument("smoothed must be finite where pixels are used");
            records[next++] = std::uint64_t{seed_key(smoothed[i], options)} << 32 | frame_pixel(grid, y, x);
        }
    });
    Seeds seeds;
    seeds.pieces = introsort_pieces(records.data(), records.size(), kLongestPiece, threads);
    seeds.pixels.resize(records.size());
    for_rows(grid, threads, control, 0, [&](int y) {
        const auto row = static_cast<std::size_t>(y);
        for (std::size_t i = first[row]; i < first[row + 1]; ++i)
            seeds.pixels[i] = static_cast<std::uint32_t>(records[i]);
    });
    return seeds;
}

template <class Item>
struct Parked {
    double wake;
    Item item;
    bool operator<(const Parked& other) const { return wake < other.wake; }
};

// The order of a growing bin's candidates: by distance from the first pixel's value, then by discovery.
struct ByKey {
    std::uint64_t packed = 0;
    ByKey() = default;
    ByKey(std::uint32_t key, double, std::uint32_t number) : packed(std::uint64_t{key} << 32 | number) {}
    std::uint32_t number() const { return static_cast<std::uint32_t>(packed); }
    bool operator<(const ByKey& other) const { return packed < other.packed; }
};
struct ByDifference {
    double difference = 0;
    std::uint32_t found = 0;
    ByDifference() = default;
    ByDifference(std::uint32_t, double d, std::uint32_t number) : difference(d), found(number) {}
    std::uint32_t number() const { return found; }
    bool operator<(const ByDifference& other) const {
        return difference < other.difference || (difference == other.difference && found < other.found);
    }
};

// The result of growing from a seed.
struct Growth {
    Bin bin;
    std::vector<std::uint32_t> members;  // the pixels in the order they were added, seed first
    std::vector<Place> met;              // all free pixels that the bin touched
};

// Grows bins one after another, without marking the field. Each thread has its own instance.
template <class Item>
class Grower {
public:
    explicit Grower(const Field& field) : field_(field), radii_(field.grid()), met_(field.framed() / 8 + 1, 0) {}

    // goes_on() is called regularly; if it returns false, the growth and its result are dropped.
    template <class GoesOn>
    bool grow(std::uint32_t seed, Growth& out, const GoesOn& goes_on) {
        const bool whole = take_pixels(seed, out, goes_on);
        met_[seed / 8] = 0;
        for (const Place at : out.met) met_[field_.frame(at.y, at.x) / 8] = 0;
        return whole;
    }

private:
    template <class GoesOn>
    bool take_pixels(std::uint32_t seed, Growth& out, const GoesOn& goes_on) {
        ready_.clear();
        parked_.clear();
        out.members.clear();
        out.met.clear();
        out.bin = Bin();
        const double start = double{field_.value(seed)};
        meet(seed);
        Place at = field_.place(seed);
        for (;;) {
            const std::uint32_t pixel = field_.frame(at.y, at.x);
            field_.add(out.bin, at, radii_);
            out.members.push_back(pixel);
            if (++steps_ % kPollEvery == 0 && !goes_on()) return false;
            if (!field_.below_threshold(out.bin)) return true;
            constexpr std::array<Place, 4> directions{{{-1, 0}, {0, -1}, {0, 1}, {1, 0}}};
            // Branch prediction fails for new neighbours, so they are first listed without a branch.
            std::array<std::uint8_t, 4> fresh;
            std::size_t count = 0;
            for (std::size_t d = 0; d < 4; ++d) {
                const std::uint32_t other = field_.neighbour(pixel, d);
                fresh[count] = static_cast<std::uint8_t>(d);
                count += static_cast<std::size_t>(static_cast<int>(field_.label(other) == kFree)
                                                  & static_cast<int>(!has_met(other)));
            }
            for (std::size_t i = 0; i < count; ++i) {
                const std::size_t d = fresh[i];
                const std::uint32_t other = field_.neighbour(pixel, d);
                meet(other);
                const Place there{at.y + directions[d].y, at.x + directions[d].x};
                field_.prefetch(other, there);
                const double difference = std::abs(double{field_.value(other)} - start);
                ready_.push(Item(field_.key(other), difference, static_cast<std::uint32_t>(out.met.size())));
                out.met.push_back(there);
            }
            if (!next(out, at)) return true;
        }
    }

    bool has_met(std::uint32_t pixel) const { return ((met_[pixel / 8] >> (pixel % 8)) & 1U) != 0; }
    void meet(std::uint32_t pixel) { met_[pixel / 8] |= static_cast<std::uint8_t>(1U << (pixel % 8)); }

    // Removes the best candidate that satisfies the constraint from the frontier; returns false if no candidate does.
    bool next(const Growth& growth, Place& at) {
        const Bin& bin = growth.bin;
        if (field_.constrained()) {
            const double now = field_.clock(bin);
            while (!parked_.empty() && parked_.top().wake <= now) {
                ready_.push(parked_.top().item);
                parked_.pop();
            }
        }
        while (!ready_.empty()) {
            const Item item = ready_.top();
            ready_.pop();
            at = growth.met[item.number()];
            if (!field_.constrained()) return true;
            const double far = Field::distance2(bin, at);
            if (field_.passes(bin, far)) return true;
            parked_.push({Field::wake(bin, far), item});
        }
        return false;
    }

    const Field& field_;
    Radii radii_;
    LargeVector<std::uint8_t> met_;  // pixels met by the growing bin, one bit each
    std::uint32_t steps_ = 0;        // over all bins
    LayeredQueue<Item> ready_;
    Heap<Parked<Item>> parked_;
};

}  // namespace chandra_bin::detail
