// Bins one after another, by several threads. Private to src/cpp/src.
//
// Each bin sees what those before it have taken, yet most touch none of the last few. So while the bin whose turn it is
// grows, other threads grow bins of seeds to come, on the field as it is. In its turn such a bin is taken if all pixels
// that it met are still free: what was taken then is taken now, so that it would grow the same way, step by step. Else it
// grows again. Bins, and their order, do not depend on the threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <vector>

#include "chandra_bin/control.hpp"
#include "chandra_bin/introsort.hpp"
#include "chandra_bin/parallel.hpp"
#include "chandra_bin/thread.hpp"
#include "growth.hpp"

namespace chandra_bin::detail {

// Pixels in the order in which they may start bins; the upper half of a record is its key.
using Seeds = std::vector<std::uint64_t>;

inline Seeds sorted_seeds(const Field& field, int threads, const Control& control) {
    const Grid& grid = field.grid();
    const std::uint8_t* const use = field.images().use;
    const auto ny = static_cast<std::size_t>(grid.ny);
    std::vector<std::size_t> first(ny + 1);  // of each row
    for (std::size_t y = 0; y < ny; ++y) {
        const std::uint8_t* const row = use + grid.at(static_cast<int>(y), 0);
        first[y + 1] = first[y] + static_cast<std::size_t>(grid.nx - std::count(row, row + grid.nx, 0));
    }
    Seeds seeds(first[ny]);
    parallel_for(ny, threads, control, 0, 0, [&](std::size_t i, const auto&) {
        const int y = static_cast<int>(i);
        std::size_t next = first[i];
        for (int x = 0; x < grid.nx; ++x) {
            if (use[grid.at(y, x)] == 0) continue;
            const std::uint32_t pixel = field.frame(y, x);
            seeds[next++] = std::uint64_t{field.key(pixel)} << 32 | pixel;
        }
    });
    introsort(seeds.data(), seeds.size(), threads);
    return seeds;
}

template <class Item, class Take>
class InTurn {
public:
    InTurn(const Field& field, const Seeds& seeds, const Control& control, const Take& take)
        : field_(field), seeds_(seeds), control_(control), take_(take), largest_ahead_(seeds.size() / kLargestShare) {}

    void run(int threads) {
        const int helpers = seeds_.size() < kWorthThreads ? 0 : std::min(threads, kMostThreads) - 1;
        helped_ = helpers > 0;
        std::vector<Thread> pool;
        try {
            for (int t = 0; t < helpers; ++t) pool.emplace_back([this] { work(false); });
        } catch (const std::system_error&) {
            // The system gives no more threads: those there are, and this one, do the work.
        }
        work(true);
        pool.clear();
        if (error_) std::rethrow_exception(error_);
    }

private:
    static constexpr std::size_t kWorthThreads = 1 << 14;  // pixels
    static constexpr int kMostThreads = 8;                 // more find no bins that are far from all others
    static constexpr std::size_t kMostAhead = 32;          // bins that grow or wait for their turn
    static constexpr std::size_t kLeastLook = 1 << 14;     // seeds from the one whose turn it is, to find one to grow ahead
    static constexpr std::size_t kLook = 8;                // the same in bins: farther ones are overtaken
    static constexpr std::size_t kLargestShare = 16;       // of all pixels; larger bins meet others, and take memory
    static constexpr double kReach = 2;                    // of a bin from its seed, in roots of its pixels: 1.5 - 3 do

    // A bin that grows or has grown; its seed is seeds_[position].
    struct Ahead {
        std::size_t position = 0;
        bool in_turn = false;  // since it began, so that no other is taken meanwhile
        bool done = false;
        Growth growth;
    };

    void work(bool polls) {
        try {
            Grower<Item> grower(field_);
            std::unique_lock lock(mutex_);
            while (!stop_) {
                take_those_in_turn();
                if (stop_) break;
                Ahead* const bin = next_to_grow();
                if (bin == nullptr) {
                    wait(lock, polls);
                    continue;
                }
                const auto goes_on = [&] {
                    check(polls);
                    return bin->in_turn || bin->growth.members.size() < largest_ahead_;
                };
                lock.unlock();
                const bool whole = grower.grow(pixel(bin->position), bin->growth, goes_on);
                lock.lock();
                if (whole) {
                    bin->done = true;
                } else {
                    give_up(bin);
                }
                if (helped_) changed_.notify_all();
            }
        } catch (...) {
            const std::lock_guard lock(mutex_);
            if (!stop_) error_ = std::current_exception();
            stop();
        }
    }

    void check(bool polls) const {
        if (stop_) throw Cancelled();
        if (polls) control_.check(double(taken_) / double(seeds_.size()));
    }

    void wait(std::unique_lock<std::mutex>& lock, bool polls) {
        changed_.wait_for(lock, std::chrono::milliseconds(20));
        if (!polls) return;
        lock.unlock();
        check(true);
        lock.lock();
    }

    void stop() {
        stop_ = true;
        changed_.notify_all();
    }

    void take_those_in_turn() {
        for (;;) {
            while (next_ < seeds_.size() && field_.label(pixel(next_)) >= 0) ++next_;
            if (next_ == seeds_.size()) return stop();
            std::erase_if(ahead_, [&](std::unique_ptr<Ahead>& bin) {  // their seeds were taken by others
                const bool gone = bin->done && bin->position < next_;
                if (gone) spare_.push_back(std::move(bin));
                return gone;
            });
            const auto bin = std::find_if(ahead_.begin(), ahead_.end(), [&](const auto& each) { return each->position == next_; });
            if (bin == ahead_.end() || !(*bin)->done) return;
            if ((*bin)->in_turn || is_as_now((*bin)->growth)) {
                take_((*bin)->growth);
                if (!field_.below_threshold((*bin)->growth.bin)) {
                    reach_ = kReach * std::sqrt((*bin)->growth.bin.sums.npix);
                    look_far_ = std::max(kLeastLook, kLook * (*bin)->growth.members.size());
                }
                taken_ += (*bin)->growth.members.size();
            }
            spare_.push_back(std::move(*bin));
            ahead_.erase(bin);
        }
    }

    // Whether the bin would grow the same way in its turn.
    bool is_as_now(const Growth& growth) const {
        return std::all_of(growth.met.begin(), growth.met.end(),
                           [&](Place at) { return field_.label(field_.frame(at.y, at.x)) == kFree; });
    }

    // The bin whose turn it is, if nobody grows it, or one to come; null when there is none at hand.
    Ahead* next_to_grow() {
        if (!grows(next_)) return start(next_);
        if (ahead_.size() >= kMostAhead) return nullptr;
        look_ = std::max(look_, next_ + 1);
        for (const std::size_t end = std::min(next_ + look_far_, seeds_.size()); look_ < end; ++look_) {
            if (is_likely_seed(pixel(look_)) && !grows(look_)) return start(look_++);
        }
        return nullptr;
    }

    bool grows(std::size_t position) const {
        return std::any_of(ahead_.begin(), ahead_.end(), [&](const auto& bin) { return bin->position == position; });
    }

    void give_up(const Ahead* bin) {
        const auto at = std::find_if(ahead_.begin(), ahead_.end(), [&](const auto& each) { return each.get() == bin; });
        spare_.push_back(std::move(*at));
        ahead_.erase(at);
    }

    Ahead* start(std::size_t position) {
        if (spare_.empty()) spare_.push_back(std::make_unique<Ahead>());
        ahead_.push_back(std::move(spare_.back()));
        spare_.pop_back();
        ahead_.back()->position = position;
        ahead_.back()->in_turn = position == next_;
        ahead_.back()->done = false;
        return ahead_.back().get();
    }

    // A free pixel that is far from the bins that grow: those nearer are mostly theirs in the end.
    bool is_likely_seed(std::uint32_t seed) const {
        if (field_.label(seed) >= 0) return false;
        const Place at = field_.place(seed);
        return std::all_of(ahead_.begin(), ahead_.end(), [&](const auto& bin) {
            const Place other = field_.place(pixel(bin->position));
            return std::hypot(at.y - other.y, at.x - other.x) > reach_;
        });
    }

    std::uint32_t pixel(std::size_t position) const { return static_cast<std::uint32_t>(seeds_[position]); }

    const Field& field_;
    const Seeds& seeds_;
    const Control& control_;
    const Take& take_;
    std::size_t largest_ahead_;
    bool helped_ = false;
    std::mutex mutex_;  // of all below, and of who calls take_
    std::condition_variable changed_;
    std::size_t next_ = 0;  // all seeds before have been taken
    std::size_t look_ = 0;  // those before are taken, grow, or are not likely
    std::size_t look_far_ = kLeastLook;
    double reach_ = 0;      // of a bin from its seed, guessed
    std::vector<std::unique_ptr<Ahead>> ahead_;
    std::vector<std::unique_ptr<Ahead>> spare_;
    std::exception_ptr error_;
    std::atomic<bool> stop_{false};
    std::atomic<std::size_t> taken_{0};  // pixels
};

// Calls take(growth), which labels the pixels of `growth.members`, for bin after bin, never twice at once.
template <class Item, class Take>
void grow_in_turn(const Field& field, const Seeds& seeds, int threads, const Control& control, const Take& take) {
    InTurn<Item, Take>(field, seeds, control, take).run(threads);
}

}  // namespace chandra_bin::detail
