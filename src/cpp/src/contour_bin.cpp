#include "chandra_bin/contour_bin.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <type_traits>

#include "chandra_bin/introsort.hpp"
#include "discs.hpp"
#include "heap.hpp"

namespace chandra_bin {
namespace {

using namespace detail;

// Labels while bins grow, on a frame with a border: 0 and up are bins. A pixel that the growing bin b has met, but not
// taken, holds met_by(b), so that it is met once.
constexpr std::int32_t kFree = -1;
constexpr std::int32_t kNever = std::numeric_limits<std::int32_t>::min();  // excluded, the border, or may only start a bin
constexpr std::int32_t met_by(std::int32_t bin) { return -2 - bin; }

constexpr double kLeastVariance = 1e-7;
constexpr double kLeastWeight = 1e-7;
constexpr std::uint32_t kPollEvery = 2048;

// Ascending order of the keys is ascending order of the values; the two zeros are equal.
std::uint32_t ascending_key(float value) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value + 0.0F);
    return bits ^ ((bits >> 31) != 0 ? 0xffffffffU : 0x80000000U);
}

float value_of_ascending(std::uint32_t key) {
    return std::bit_cast<float>(key ^ ((key >> 31) != 0 ? 0x80000000U : 0xffffffffU));
}

// Whether the difference of any two values is exact in float64. Then, since a bin starts with the brightest pixel left,
// |value - start| and the value's key order candidates alike, ties included.
bool differences_exact(std::size_t size, const float* smoothed, const std::uint8_t* use) {
    float largest = 0;
    float least = std::numeric_limits<float>::max();
    for (std::size_t i = 0; i < size; ++i) {
        if (use[i] == 0 || smoothed[i] == 0) continue;
        largest = std::max(largest, std::abs(smoothed[i]));
        least = std::min(least, std::abs(smoothed[i]));
    }
    // Multiples of the least one's last digit, 2^-23 of it, whose differences are below 2^53.
    return largest == 0 || std::ilogb(largest) - std::ilogb(least) + 2 + 23 <= 53;
}

struct Bin {
    PixelSums sums;
    double weight = 0;
    double weight_x = 0;
    double weight_y = 0;
    double x = 0;  // centroid
    double y = 0;
    double travel = 0;  // how far it has moved in all
    int radius = 0;     // R of the constraint
};

// rad(n) + 1 of the constraint, from the areas of the discs, which are made when a bin needs them: a long image has
// as many as it has rows, and bins of few.
class Radii {
public:
    explicit Radii(const Grid& grid) : grid_(grid) {}

    // `radius` is the answer for fewer pixels, from which it is found.
    int of(double npix, int radius) {
        int count = std::max(radius - 1, 0);
        while (has(count) && areas_[static_cast<std::size_t>(count)] <= npix) ++count;
        return count + 1;
    }

private:
    // Whether there is a disc of this radius: none is larger than the image.
    bool has(int radius) {
        while (static_cast<std::size_t>(radius) >= areas_.size()) {
            const int r = static_cast<int>(areas_.size());
            if (r > grid_.max_radius() || (r > 0 && areas_.back() > double(grid_.size()))) return false;
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

class Binner {
public:
    Binner(const Images& images, const float* smoothed, const BinningOptions& options, int threads,
           const Control& control)
        : images_(images), grid_(make_grid(images.ny, images.nx)), smoothed_(smoothed), options_(options),
          control_(control), stride_(grid_.nx + 2), steps_{-stride_, -1, 1, stride_},
          threshold_(options.target == BinningOptions::Target::sn ? options.threshold * options.threshold
                                                                  : options.threshold),
          radii_(grid_) {
        const auto framed = static_cast<std::size_t>(stride_) * static_cast<std::size_t>(grid_.ny + 2);
        cells_.assign(framed, {0, kNever});
        order_.reserve(grid_.size());
        for (int y = 0; y < grid_.ny; ++y) {
            for (int x = 0; x < grid_.nx; ++x) {
                const std::size_t i = grid_.at(y, x);
                if (images_.use[i] == 0) continue;
                const std::uint32_t key = ascending_key(smoothed[i]);
                const std::uint32_t pixel = frame(y, x);
                Cell& cell = cells_[pixel];
                cell = {options.bin_up ? key : ~key, images_.use[i] == 1 ? kFree : kNever};
                order_.push_back(std::uint64_t{cell.key} << 32 | pixel);
            }
        }
        introsort(order_.data(), order_.size(), threads);
        members_.reserve(order_.size());
    }

    void grow_all() {
        const bool exact = differences_exact(grid_.size(), smoothed_, images_.use);
        for (const std::uint64_t record : order_) {
            const auto pixel = static_cast<std::uint32_t>(record);
            if (cells_[pixel].label >= 0) continue;
            if (bins_.size() + 2 >= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
                throw std::invalid_argument("more bins than int32 can number");
            }
            first_member_.push_back(members_.size());
            exact ? grow<ByKey>(pixel) : grow<ByDifference>(pixel);
        }
        first_member_.push_back(members_.size());
        order_ = {};
    }

    std::size_t scrub();
    void empty_large_bins();
    void renumber();

    Bins result(std::size_t stuck, std::int32_t* binmap) const {
        for (int y = 0; y < grid_.ny; ++y) {
            for (int x = 0; x < grid_.nx; ++x) binmap[grid_.at(y, x)] = std::max(cells_[frame(y, x)].label, -1);
        }
        Bins bins;
        bins.stuck = stuck;
        for (const Bin& bin : bins_) bins.sums.push_back(bin.sums);
        return bins;
    }

private:
    struct Place {
        int y;
        int x;
    };
    struct Cell {
        std::uint32_t key;  // of the smoothed value: candidates with a smaller one are taken first
        std::int32_t label;
    };

    // The order of a growing bin's candidates: nearness to the first pixel's value, then order of discovery.
    struct ByKey {
        std::uint64_t packed;
        ByKey(std::uint32_t key, double, std::uint32_t number) : packed(std::uint64_t{key} << 32 | number) {}
        std::uint32_t number() const { return static_cast<std::uint32_t>(packed); }
        bool operator<(const ByKey& other) const { return packed < other.packed; }
    };
    struct ByDifference {
        double difference;
        std::uint32_t found;
        ByDifference(std::uint32_t, double d, std::uint32_t number) : difference(d), found(number) {}
        std::uint32_t number() const { return found; }
        bool operator<(const ByDifference& other) const {
            return difference < other.difference || (difference == other.difference && found < other.found);
        }
    };
    // A candidate that failed the constraint. It can pass only once the centroid's travel and the growth of the
    // allowed radius have used up the margin by which it failed, that is when the bin's clock shows `wake`.
    template <class Item>
    struct Parked {
        double wake;
        Item item;
        bool operator<(const Parked& other) const { return wake < other.wake; }
    };

    std::uint32_t frame(int y, int x) const {
        return static_cast<std::uint32_t>(y + 1) * static_cast<std::uint32_t>(stride_) + static_cast<std::uint32_t>(x + 1);
    }
    Place place(std::uint32_t pixel) const {
        const auto stride = static_cast<std::uint32_t>(stride_);
        return {static_cast<int>(pixel / stride) - 1, static_cast<int>(pixel % stride) - 1};
    }
    std::uint32_t neighbour(std::uint32_t pixel, std::size_t direction) const {
        return static_cast<std::uint32_t>(static_cast<std::int64_t>(pixel) + steps_[direction]);
    }
    float value(std::uint32_t pixel) const {
        return value_of_ascending(options_.bin_up ? cells_[pixel].key : ~cells_[pixel].key);
    }

    bool constrained() const { return options_.constrain > 0; }

    // What is compared with the threshold: (S/N)^2 or net counts.
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

    // g(c) >= c + 7/4, so that most bins need no square root to be found too small.
    bool certainly_below(const PixelSums& sums) const {
        if (options_.target == BinningOptions::Target::counts || images_.noise != nullptr || sums.counts < 0) return false;
        return sums.signal() * sums.signal() < threshold_ * (1 - 1e-9) * (sums.counts + 1.75);
    }

    // Adds (sign 1) or takes away (sign -1) a pixel; returns its weight in the centroid.
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

    void add(Bin& bin, Place at) {
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
        bin.radius = radii_.of(bin.sums.npix, bin.radius);
    }

    double distance2(const Bin& bin, Place at) const {
        const double dx = at.x - bin.x;
        const double dy = at.y - bin.y;
        return dx * dx + dy * dy;
    }
    bool passes(const Bin& bin, double distance2) const {
        const double radius2 = double(bin.radius) * bin.radius;
        const double constrain2 = options_.constrain * options_.constrain;
        if (std::abs(distance2 - constrain2 * radius2) > 1e-9 * distance2) return distance2 < constrain2 * radius2;
        return distance2 / radius2 < constrain2;  // contbin's form, where rounding decides
    }
    double clock(const Bin& bin) const { return bin.travel + options_.constrain * bin.radius; }
    // A little early rather than late: whoever wakes is tested exactly.
    double wake(const Bin& bin, double distance2) const {
        const double time = bin.travel + std::sqrt(distance2);
        return time - 1e-9 * (1 + time);
    }

    template <class Item>
    struct Frontier {
        Heap<Item> ready;
        Heap<Parked<Item>> parked;
        std::vector<Place> found;
    };
    template <class Item>
    Frontier<Item>& frontier() {
        if constexpr (std::is_same_v<Item, ByKey>) {
            return by_key_;
        } else {
            return by_difference_;
        }
    }

    template <class Item>
    void grow(std::uint32_t seed) {
        Frontier<Item>& edge = frontier<Item>();
        edge.ready.clear();
        edge.parked.clear();
        edge.found.clear();
        const auto number = static_cast<std::int32_t>(bins_.size());
        const std::int32_t met = met_by(number);
        const double start = double{value(seed)};
        Bin bin;
        Place at = place(seed);
        for (;;) {
            const std::uint32_t pixel = frame(at.y, at.x);
            add(bin, at);
            cells_[pixel].label = number;
            members_.push_back(pixel);
            if (members_.size() % kPollEvery == 0) {
                control_.check(double(members_.size()) / double(members_.capacity()));
            }
            if (!below_threshold(bin)) break;
            constexpr std::array<Place, 4> directions{{{-1, 0}, {0, -1}, {0, 1}, {1, 0}}};
            for (std::size_t d = 0; d < 4; ++d) {
                const std::uint32_t other = neighbour(pixel, d);
                Cell& cell = cells_[other];
                if (cell.label >= 0 || cell.label == kNever || cell.label == met) continue;
                cell.label = met;
                const double difference = std::abs(double{value(other)} - start);
                edge.ready.push(Item(cell.key, difference, static_cast<std::uint32_t>(edge.found.size())));
                edge.found.push_back({at.y + directions[d].y, at.x + directions[d].x});
            }
            if (!next(bin, edge, at)) break;
        }
        bins_.push_back(bin);
    }

    // The best candidate that passes the constraint leaves the frontier; false when there is none.
    template <class Item>
    bool next(const Bin& bin, Frontier<Item>& edge, Place& at) const {
        if (constrained()) {
            const double now = clock(bin);
            while (!edge.parked.empty() && edge.parked.top().wake <= now) {
                edge.ready.push(edge.parked.top().item);
                edge.parked.pop();
            }
        }
        while (!edge.ready.empty()) {
            const Item item = edge.ready.top();
            edge.ready.pop();
            at = edge.found[item.number()];
            if (!constrained()) return true;
            const double far = distance2(bin, at);
            if (passes(bin, far)) return true;
            edge.parked.push({wake(bin, far), item});
        }
        return false;
    }

    Images images_;
    Grid grid_;
    const float* smoothed_;
    BinningOptions options_;
    const Control& control_;
    std::int64_t stride_;
    std::array<std::int64_t, 4> steps_;
    double threshold_;
    Radii radii_;
    std::vector<Cell> cells_;
    std::vector<std::uint64_t> order_;
    std::vector<std::uint32_t> members_;      // the pixels of bin after bin, in the order they were taken
    std::vector<std::size_t> first_member_;  // of each bin, and the end
    std::vector<Bin> bins_;
    Frontier<ByKey> by_key_;
    Frontier<ByDifference> by_difference_;

    friend class Scrubber;
};

// Gives the pixels of bins below the threshold to their neighbours.
class Scrubber {
public:
    explicit Scrubber(Binner& binner) : b_(binner), received_(b_.bins_.size()), waiting_(b_.bins_.size()) {}

    // Returns the number of bins that could not be dissolved.
    std::size_t run() {
        std::vector<bool> listed(b_.bins_.size());
        Heap<Low> lowest;
        for (std::size_t i = 0; i < b_.bins_.size(); ++i) {
            const double measure = b_.measure(b_.bins_[i]);
            if (!(measure < b_.threshold_)) continue;
            listed[i] = true;
            lowest.push({measure, i});
        }
        if (lowest.empty()) return 0;
        rank_.assign(b_.cells_.size(), kNoRank);
        listed_ = &listed;
        std::size_t stuck = 0;
        while (!lowest.empty()) {
            const Low low = lowest.top();
            lowest.pop();
            if (!listed[low.bin] || low.measure != b_.measure(b_.bins_[low.bin])) continue;  // out of date
            listed[low.bin] = false;
            stuck += !dissolve(static_cast<std::int32_t>(low.bin));
            for (const std::size_t bin : changed_) {
                waiting_[bin].clear();
                if (!listed[bin]) continue;
                const double measure = b_.measure(b_.bins_[bin]);
                if (measure < b_.threshold_) {
                    lowest.push({measure, bin});
                } else {
                    listed[bin] = false;
                }
            }
            changed_.clear();
        }
        return stuck;
    }

private:
    struct Low {
        double measure;
        std::size_t bin;
        bool operator<(const Low& other) const {
            return measure < other.measure || (measure == other.measure && bin < other.bin);
        }
    };
    // A pixel of the dissolving bin and the neighbour whose bin may take it.
    struct Pair {
        double difference;
        std::uint64_t order;  // rank of the edge pixel, then direction
        std::uint32_t pixel;
        std::size_t direction() const { return static_cast<std::size_t>(order % 4); }
        bool operator<(const Pair& other) const {
            return difference < other.difference || (difference == other.difference && order < other.order);
        }
    };
    static constexpr std::uint32_t kNoRank = std::numeric_limits<std::uint32_t>::max();

    // False when pixels are left that touch no other bin. Any bin that took a pixel is in `changed_` afterwards.
    bool dissolve(std::int32_t number) {
        number_ = number;
        next_rank_ = 0;
        ready_.clear();
        parked_.clear();
        const auto bin = static_cast<std::size_t>(number);
        const auto first = b_.members_.begin() + static_cast<std::ptrdiff_t>(b_.first_member_[bin]);
        const auto last = b_.members_.begin() + static_cast<std::ptrdiff_t>(b_.first_member_[bin + 1]);
        std::for_each(first, last, [&](std::uint32_t pixel) { offer(pixel); });
        for (const std::uint32_t pixel : received_[bin]) offer(pixel);
        while (const Pair* pair = choose()) {
            move(*pair);
            if (++moves_ % kPollEvery == 0) b_.control_.check(1);
        }
        return b_.bins_[bin].sums.npix == 0;
    }

    // Ranks a pixel if it touches another bin, and makes its pairs.
    void offer(std::uint32_t pixel) {
        bool edge = false;
        for (std::size_t d = 0; d < 4; ++d) {
            const std::int32_t label = b_.cells_[b_.neighbour(pixel, d)].label;
            if (label < 0 || label == number_) continue;
            if (!edge) rank_[pixel] = next_rank_++;
            edge = true;
            push_pair(pixel, d);
        }
    }

    void push_pair(std::uint32_t pixel, std::size_t direction) {
        const double difference = double{b_.value(pixel)} - double{b_.value(b_.neighbour(pixel, direction))};
        ready_.push({std::abs(difference), std::uint64_t{rank_[pixel]} * 4 + direction, pixel});
    }

    // The pair to be followed next: the nearest that passes its bin's constraint, else the nearest of all; null when
    // no pixel is left.
    const Pair* choose() {
        while (!ready_.empty()) {
            chosen_ = ready_.top();
            ready_.pop();
            if (b_.cells_[chosen_.pixel].label != number_) continue;
            if (!b_.constrained()) return &chosen_;
            const std::uint32_t other = b_.neighbour(chosen_.pixel, chosen_.direction());
            const auto taker = static_cast<std::size_t>(b_.cells_[other].label);
            const double far = b_.distance2(b_.bins_[taker], b_.place(other));
            if (b_.passes(b_.bins_[taker], far)) return &chosen_;
            if (waiting_[taker].empty()) changed_.push_back(taker);
            waiting_[taker].push({b_.wake(b_.bins_[taker], far), chosen_});
            parked_.push(chosen_);
        }
        while (!parked_.empty()) {
            chosen_ = parked_.top();
            parked_.pop();
            if (b_.cells_[chosen_.pixel].label == number_) return &chosen_;
        }
        return nullptr;
    }

    void move(Pair pair) {
        const std::uint32_t pixel = pair.pixel;
        const auto taker = static_cast<std::size_t>(b_.cells_[b_.neighbour(pixel, pair.direction())].label);
        Bin& bin = b_.bins_[taker];
        const Binner::Place at = b_.place(pixel);
        b_.cells_[pixel].label = static_cast<std::int32_t>(taker);
        rank_[pixel] = kNoRank;
        b_.add(bin, at);
        b_.change_sums(b_.bins_[static_cast<std::size_t>(number_)].sums, b_.grid_.at(at.y, at.x), -1.0);
        if ((*listed_)[taker]) received_[taker].push_back(pixel);
        changed_.push_back(taker);
        if (b_.constrained()) {
            auto& waiting = waiting_[taker];
            const double now = b_.clock(bin);
            while (!waiting.empty() && waiting.top().wake <= now) {
                ready_.push(waiting.top().item);
                waiting.pop();
            }
        }
        for (std::size_t d = 0; d < 4; ++d) {
            const std::uint32_t other = b_.neighbour(pixel, d);
            if (b_.cells_[other].label != number_) continue;
            if (rank_[other] == kNoRank) {
                offer(other);
            } else {
                push_pair(other, 3 - d);
            }
        }
    }

    Binner& b_;
    std::vector<std::vector<std::uint32_t>> received_;
    std::vector<Heap<Binner::Parked<Pair>>> waiting_;  // pairs that failed a bin's constraint, until it changes
    std::vector<bool>* listed_ = nullptr;
    std::vector<std::uint32_t> rank_;
    std::vector<std::size_t> changed_;
    std::int32_t number_ = 0;
    std::uint32_t next_rank_ = 0;
    std::uint32_t moves_ = 0;
    Heap<Pair> ready_;
    Heap<Pair> parked_;  // all that ever failed, for when none passes
    Pair chosen_{};
};

std::size_t Binner::scrub() { return Scrubber(*this).run(); }

void Binner::empty_large_bins() {
    double binned = 0;
    for (const Bin& bin : bins_) binned += bin.sums.npix;
    std::vector<bool> large(bins_.size());
    for (std::size_t i = 0; i < bins_.size(); ++i) {
        large[i] = bins_[i].sums.npix > 0 && bins_[i].sums.npix / binned >= options_.scrub_large;
    }
    for (Cell& cell : cells_) {
        if (cell.label >= 0 && large[static_cast<std::size_t>(cell.label)]) cell.label = kFree;
    }
    for (std::size_t i = 0; i < bins_.size(); ++i) {
        if (large[i]) bins_[i] = Bin();
    }
}

// The two-pointer partition that decides contbin's numbers: the next empty bin from the front changes places with the next
// one that is not empty from the back.
void Binner::renumber() {
    std::vector<std::int32_t> order(bins_.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int32_t>(i);
    const auto empty = [&](std::int32_t bin) { return bins_[static_cast<std::size_t>(bin)].sums.npix == 0; };
    std::size_t front = 0;
    std::size_t back = order.size();
    for (;;) {
        while (front < back && !empty(order[front])) ++front;
        while (front < back && empty(order[back - 1])) --back;
        if (front >= back) break;
        std::swap(order[front++], order[--back]);
    }
    std::vector<Bin> bins(front);
    std::vector<std::int32_t> number(bins_.size(), kFree);
    for (std::size_t i = 0; i < front; ++i) {
        bins[i] = bins_[static_cast<std::size_t>(order[i])];
        number[static_cast<std::size_t>(order[i])] = static_cast<std::int32_t>(i);
    }
    for (Cell& cell : cells_) {
        if (cell.label >= 0) cell.label = number[static_cast<std::size_t>(cell.label)];
    }
    bins_ = std::move(bins);
}

}  // namespace

Bins contour_bin(const Images& images, const float* smoothed, const BinningOptions& options, int threads,
                 const Control& control, std::int32_t* binmap) {
    if (!(options.threshold > 0)) throw std::invalid_argument("the threshold of a bin must be positive");
    if (!(options.constrain >= 0)) throw std::invalid_argument("the constraint must not be negative");
    const Grid grid = make_grid(images.ny, images.nx);
    for (const float* image : {images.counts, images.background, images.ratio, images.noise}) check_finite(grid, image);
    Binner binner(images, smoothed, options, threads, control);
    binner.grow_all();
    std::size_t stuck = 0;
    if (options.scrub) {
        stuck = binner.scrub();
        if (options.scrub_large > 0) binner.empty_large_bins();
        binner.renumber();
    }
    return binner.result(stuck, binmap);
}

}  // namespace chandra_bin
