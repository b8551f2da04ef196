#include "chandra_bin/contour_bin.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "growth.hpp"
#include "large.hpp"
#include "speculative_growth.hpp"

namespace chandra_bin {
namespace {

using namespace detail;

// Returns whether the difference of any two values is exact in float64. As a bin starts with the brightest remaining
// pixel, |value - start| and the value's key then give the same order of candidates, including ties.
bool differences_exact(std::size_t size, const float* smoothed, const std::uint8_t* use) {
    float largest = 0;
    float least = std::numeric_limits<float>::max();
    for (std::size_t i = 0; i < size; ++i) {
        if (use[i] == 0 || smoothed[i] == 0) continue;
        largest = std::max(largest, std::abs(smoothed[i]));
        least = std::min(least, std::abs(smoothed[i]));
    }
    // All values are multiples of the smallest one's last digit, 2^-23 of it, and differences are below 2^53 of these.
    return largest == 0 || std::ilogb(largest) - std::ilogb(least) + 2 + 23 <= 53;
}

class Binner {
public:
    Binner(const Images& images, const float* smoothed, const BinningOptions& options, int threads,
           const Control& control)
        : seeds_(ordered_seeds(images, smoothed, options, threads, control)),
          field_(images, smoothed, options, threads, control), options_(options), control_(control),
          exact_(differences_exact(field_.grid().size(), smoothed, images.use)) {}

    void grow_all(int threads) {
        const auto commit = [this](const Growth& growth) { this->commit(growth); };
        exact_ ? grow_speculatively<ByKey>(field_, seeds_, threads, control_, commit)
               : grow_speculatively<ByDifference>(field_, seeds_, threads, control_, commit);
        seeds_ = Seeds();
        first_member_.push_back(members_.size());
        for (std::size_t i = 0; i < bins_.size(); ++i) number_.push_back(static_cast<std::int32_t>(i));
    }

    std::size_t scrub();
    void empty_large_bins();
    void renumber();

    Bins result(std::size_t stuck, int threads, std::int32_t* binmap) const {
        const Grid& grid = field_.grid();
        for_rows(grid, threads, control_, 1, [&](int y) {
            for (int x = 0; x < grid.nx; ++x) {
                const std::int32_t label = field_.label(field_.frame(y, x));
                binmap[grid.at(y, x)] = label < 0 ? kFree : number_[static_cast<std::size_t>(label)];
            }
        });
        Bins bins;
        bins.stuck = stuck;
        for (const Bin& bin : bins_) bins.sums.push_back(bin.sums);
        return bins;
    }

private:
    void commit(const Growth& growth) {
        if (bins_.size() + 2 >= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
            throw std::invalid_argument("more bins than int32 can number");
        }
        const auto number = static_cast<std::int32_t>(bins_.size());
        first_member_.push_back(members_.size());
        if (options_.scrub && field_.measure(growth.bin) < field_.threshold()) {
            members_.insert(members_.end(), growth.members.begin(), growth.members.end());
        }
        bins_.push_back(growth.bin);
        for (const std::uint32_t pixel : growth.members) field_.set_label(pixel, number);
    }

    Seeds seeds_;
    Field field_;
    BinningOptions options_;
    const Control& control_;
    bool exact_;
    std::vector<std::uint32_t> members_;     // of bins to dissolve, in the order they were added
    std::vector<std::size_t> first_member_;  // of each bin, and the end
    std::vector<Bin> bins_;
    std::vector<std::int32_t> number_;  // of each bin in the binmap, by its label

    friend class Scrubber;
};

// Moves the pixels of bins below the threshold to their neighbours.
class Scrubber {
public:
    explicit Scrubber(Binner& binner)
        : b_(binner), field_(binner.field_), radii_(field_.grid()), received_(b_.bins_.size()),
          waiting_(b_.bins_.size()), rank_(field_.framed()) {}

    // Returns the number of bins that could not be dissolved.
    std::size_t run() {
        std::vector<bool> listed(b_.bins_.size());
        Heap<Low> lowest;
        for (std::size_t i = 0; i < b_.bins_.size(); ++i) {
            const double measure = field_.measure(b_.bins_[i]);
            if (!(measure < field_.threshold())) continue;
            listed[i] = true;
            lowest.push({measure, i});
        }
        if (lowest.empty()) return 0;
        listed_ = &listed;
        std::size_t stuck = 0;
        while (!lowest.empty()) {
            const Low low = lowest.top();
            lowest.pop();
            if (!listed[low.bin] || low.measure != field_.measure(b_.bins_[low.bin])) continue;  // outdated
            listed[low.bin] = false;
            stuck += !dissolve(static_cast<std::int32_t>(low.bin));
            for (const std::size_t bin : changed_) {
                waiting_[bin].clear();
                if (!listed[bin]) continue;
                const double measure = field_.measure(b_.bins_[bin]);
                if (measure < field_.threshold()) {
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
    // A pixel of the dissolving bin, and the neighbour whose bin may take it.
    struct Pair {
        double difference;
        std::uint64_t order;  // rank of the edge pixel, then direction
        std::uint32_t pixel;
        std::size_t direction() const { return static_cast<std::size_t>(order % 4); }
        bool operator<(const Pair& other) const {
            return difference < other.difference || (difference == other.difference && order < other.order);
        }
    };
    static constexpr std::uint32_t kNoRank = 0;

    // Returns false if the remaining pixels touch no other bin. `changed_` lists the bins that took a pixel.
    bool dissolve(std::int32_t number) {
        number_ = number;
        next_rank_ = kNoRank + 1;
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

    // Ranks a pixel that touches another bin, and makes its pairs.
    void offer(std::uint32_t pixel) {
        bool edge = false;
        for (std::size_t d = 0; d < 4; ++d) {
            const std::int32_t label = field_.label(field_.neighbour(pixel, d));
            if (label < 0 || label == number_) continue;
            if (!edge) rank_[pixel] = next_rank_++;
            edge = true;
            push_pair(pixel, d);
        }
    }

    void push_pair(std::uint32_t pixel, std::size_t direction) {
        const double difference =
            double{field_.value(pixel)} - double{field_.value(field_.neighbour(pixel, direction))};
        ready_.push({std::abs(difference), std::uint64_t{rank_[pixel]} * 4 + direction, pixel});
    }

    // Returns the next pair: the closest that satisfies its bin's constraint, else the closest of all; null if no pixel
    // remains.
    const Pair* choose() {
        while (!ready_.empty()) {
            chosen_ = ready_.top();
            ready_.pop();
            if (field_.label(chosen_.pixel) != number_) continue;
            if (!field_.constrained()) return &chosen_;
            const std::uint32_t other = field_.neighbour(chosen_.pixel, chosen_.direction());
            const auto taker = static_cast<std::size_t>(field_.label(other));
            const double far = field_.distance2(b_.bins_[taker], field_.place(other));
            if (field_.passes(b_.bins_[taker], far)) return &chosen_;
            if (waiting_[taker].empty()) changed_.push_back(taker);
            waiting_[taker].push({field_.wake(b_.bins_[taker], far), chosen_});
            parked_.push(chosen_);
        }
        while (!parked_.empty()) {
            chosen_ = parked_.top();
            parked_.pop();
            if (field_.label(chosen_.pixel) == number_) return &chosen_;
        }
        return nullptr;
    }

    void move(Pair pair) {
        const std::uint32_t pixel = pair.pixel;
        const auto taker = static_cast<std::size_t>(field_.label(field_.neighbour(pixel, pair.direction())));
        Bin& bin = b_.bins_[taker];
        const Place at = field_.place(pixel);
        field_.set_label(pixel, static_cast<std::int32_t>(taker));
        rank_[pixel] = kNoRank;
        field_.add(bin, at, radii_);
        field_.change_sums(b_.bins_[static_cast<std::size_t>(number_)].sums, field_.grid().at(at.y, at.x), -1.0);
        if ((*listed_)[taker]) received_[taker].push_back(pixel);
        changed_.push_back(taker);
        if (field_.constrained()) {
            auto& waiting = waiting_[taker];
            const double now = field_.clock(bin);
            while (!waiting.empty() && waiting.top().wake <= now) {
                ready_.push(waiting.top().item);
                waiting.pop();
            }
        }
        for (std::size_t d = 0; d < 4; ++d) {
            const std::uint32_t other = field_.neighbour(pixel, d);
            if (field_.label(other) != number_) continue;
            if (rank_[other] == kNoRank) {
                offer(other);
            } else {
                push_pair(other, 3 - d);
            }
        }
    }

    Binner& b_;
    Field& field_;
    Radii radii_;
    std::vector<std::vector<std::uint32_t>> received_;
    std::vector<Heap<Parked<Pair>>> waiting_;  // pairs that failed a bin's constraint, until the bin changes
    std::vector<bool>* listed_ = nullptr;
    SparseZeros<std::uint32_t> rank_;
    std::vector<std::size_t> changed_;
    std::int32_t number_ = 0;
    std::uint32_t next_rank_ = kNoRank + 1;
    std::uint32_t moves_ = 0;
    Heap<Pair> ready_;
    Heap<Pair> parked_;  // all pairs that failed, for when no pair passes
    Pair chosen_{};
};

std::size_t Binner::scrub() { return Scrubber(*this).run(); }

void Binner::empty_large_bins() {
    double binned = 0;
    for (const Bin& bin : bins_) binned += bin.sums.npix;
    for (Bin& bin : bins_) {
        if (bin.sums.npix > 0 && bin.sums.npix / binned >= options_.scrub_large) bin = Bin();
    }
}

// The two-pointer partition that gives contbin's numbers: the next empty bin from the front is swapped with the next
// non-empty bin from the back.
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
    std::fill(number_.begin(), number_.end(), kFree);
    for (std::size_t i = 0; i < front; ++i) {
        bins[i] = bins_[static_cast<std::size_t>(order[i])];
        number_[static_cast<std::size_t>(order[i])] = static_cast<std::int32_t>(i);
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
    binner.grow_all(threads);
    std::size_t stuck = 0;
    if (options.scrub) {
        stuck = binner.scrub();
        if (options.scrub_large > 0) binner.empty_large_bins();
        binner.renumber();
    }
    return binner.result(stuck, threads, binmap);
}

}  // namespace chandra_bin
