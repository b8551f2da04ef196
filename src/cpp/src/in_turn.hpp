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
#include <new>
#include <system_error>
#include <vector>

#include "chandra_bin/control.hpp"
#include "chandra_bin/thread.hpp"
#include "growth.hpp"

namespace chandra_bin::detail {

template <class Item, class Take>
class InTurn {
public:
    InTurn(const Field& field, const Seeds& seeds, int threads, const Control& control, const Take& take)
        : field_(field), seeds_(seeds), control_(control), take_(take),
          threads_(seeds.size() < kWorthThreads ? 1 : std::clamp(threads, 1, kMostThreads)),
          most_ahead_(kAheadEach * static_cast<std::size_t>(threads_)), largest_ahead_(seeds.size() / kLargestShare) {}

    void run() {
        Grower<Item> own(field_);
        std::vector<Grower<Item>> growers;
        std::vector<Thread> pool;
        try {
            const auto helpers = static_cast<std::size_t>(threads_ - 1);
            growers.reserve(helpers);
            pool.reserve(helpers);
            while (pool.size() < helpers) {
                growers.emplace_back(field_);
                pool.emplace_back([this, grower = &growers.back()] { work(*grower, false); });
            }
        } catch (const std::system_error&) {
            // The system gives no more threads: those there are, and this one, do the work.
        } catch (const std::bad_alloc&) {
            // Nor memory for them.
        }
        work(own, true);
        pool.clear();
        if (error_) std::rethrow_exception(error_);
        control_.check(1);  // the others may have done it all
    }

private:
    static constexpr std::size_t kWorthThreads = 1 << 14;  // pixels of an image
    static constexpr std::size_t kWorthAhead = 256;        // pixels of a bin
    static constexpr int kMostThreads = 8;                 // more find no bins that are far from all others
    static constexpr std::size_t kAheadEach = 4;           // bins a thread that grow or wait for their turn
    static constexpr std::size_t kLargestShare = 16;       // of all pixels; larger bins meet others, and take memory
    // How far from the turn seeds are looked at, and how many at once while all others wait; farther ones are overtaken.
    static constexpr std::size_t kLeastLook = 1 << 14;
    static constexpr std::size_t kLookBins = 8;
    static constexpr std::size_t kLookAtOnce = 1 << 12;
    static constexpr double kReach = 2;  // of a bin from its seed, in roots of its pixels: 1.5 - 3 do

    // A bin that grows or has grown; its seed is seeds_[position].
    struct Ahead {
        std::size_t position = 0;
        bool in_turn = false;  // since it began, so that no other is taken meanwhile
        bool done = false;
        Growth growth;
    };

    void work(Grower<Item>& grower, bool polls) {
        std::unique_lock lock(mutex_, std::defer_lock);
        try {
            lock.lock();
            while (!stop_) {
                take_those_in_turn();
                if (stop_) break;
                Ahead* const bin = next_to_grow();
                if (bin == nullptr) {
                    wait(lock, polls);
                    continue;
                }
                lock.unlock();
                const bool whole = grower.grow(pixel(bin->position), bin->growth, [&] { return goes_on(*bin, polls); });
                lock.lock();
                if (whole) {
                    bin->done = true;
                } else {
                    give_up(bin);
                }
                if (is_worth_ahead()) changed_.notify_all();
            }
        } catch (...) {
            if (!lock.owns_lock()) lock.lock();
            if (!error_) error_ = std::current_exception();
            stop();
        }
    }

    void poll() const { control_.check(double(taken_) / double(seeds_.size())); }

    bool goes_on(const Ahead& bin, bool polls) const {
        if (polls) poll();
        if (stop_) return false;
        return bin.in_turn
               || (bin.growth.members.size() < largest_ahead_ && field_.label(pixel(bin.position)) < 0);
    }

    // Until another thread has something new, unless there are seeds that were not looked at.
    void wait(std::unique_lock<std::mutex>& lock, bool polls) {
        if (!may_grow_ahead() || look_ >= look_end()) changed_.wait_for(lock, std::chrono::milliseconds(20));
        lock.unlock();
        if (polls) poll();
        lock.lock();
    }

    void stop() {
        stop_ = true;
        changed_.notify_all();
    }

    void take_those_in_turn() {
        for (;;) {
            while (next_ < seeds_.size() && is_taken(next_)) ++next_;
            if (next_ == seeds_.size()) return stop();
            std::erase_if(ahead_, [&](std::unique_ptr<Ahead>& bin) {
                const bool gone = bin->done && is_taken(bin->position);
                if (gone) spare_.push_back(std::move(bin));
                return gone;
            });
            const auto bin = std::find_if(ahead_.begin(), ahead_.end(), [&](const auto& each) { return each->position == next_; });
            if (bin == ahead_.end() || !(*bin)->done) return;
            const Growth& growth = (*bin)->growth;
            if ((*bin)->in_turn || is_as_now(growth)) {
                take_(growth);
                taken_ += growth.members.size();
                if (!field_.below_threshold(growth.bin)) usual_ = growth.members.size();
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
        if (!is_listed(next_)) return start(next_);
        if (!may_grow_ahead()) return nullptr;
        look_ = std::max(look_, next_ + 1);
        for (const std::size_t end = std::min(look_end(), look_ + kLookAtOnce); look_ < end; ++look_) {
            if (is_likely_seed(pixel(look_))) return start(look_++);
        }
        return nullptr;
    }

    bool is_worth_ahead() const { return threads_ > 1 && usual_ >= kWorthAhead; }
    bool may_grow_ahead() const { return is_worth_ahead() && ahead_.size() < most_ahead_; }
    std::size_t look_end() const { return std::min(next_ + std::max(kLeastLook, kLookBins * usual_), seeds_.size()); }

    bool is_listed(std::size_t position) const {
        return std::any_of(ahead_.begin(), ahead_.end(), [&](const auto& bin) { return bin->position == position; });
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

    void give_up(const Ahead* bin) {
        const auto at = std::find_if(ahead_.begin(), ahead_.end(), [&](const auto& each) { return each.get() == bin; });
        spare_.push_back(std::move(*at));
        ahead_.erase(at);
    }

    // A free pixel that is far from the bins that grow: those nearer are mostly theirs in the end.
    bool is_likely_seed(std::uint32_t seed) const {
        if (field_.label(seed) >= 0) return false;
        const Place at = field_.place(seed);
        return std::all_of(ahead_.begin(), ahead_.end(), [&](const auto& bin) {
            const Place other = field_.place(pixel(bin->position));
            const double dy = at.y - other.y;
            const double dx = at.x - other.x;
            return dy * dy + dx * dx > kReach * kReach * double(usual_);
        });
    }

    std::uint32_t pixel(std::size_t position) const { return static_cast<std::uint32_t>(seeds_[position]); }
    bool is_taken(std::size_t position) const { return field_.label(pixel(position)) >= 0; }

    const Field& field_;
    const Seeds& seeds_;
    const Control& control_;
    const Take& take_;
    int threads_;
    std::size_t most_ahead_;
    std::size_t largest_ahead_;
    std::atomic<bool> stop_{false};
    std::atomic<std::size_t> taken_{0};  // pixels
    std::mutex mutex_;  // of all below, and of who calls take_
    std::condition_variable changed_;
    std::size_t next_ = 0;   // all seeds before have been taken
    std::size_t look_ = 0;   // those before are taken, listed, or not likely
    std::size_t usual_ = 0;  // pixels of the last bin that reached the threshold
    std::vector<std::unique_ptr<Ahead>> ahead_;
    std::vector<std::unique_ptr<Ahead>> spare_;
    std::exception_ptr error_;
};

// Calls take(growth), which labels the pixels of `growth.members`, for bin after bin, never twice at once.
template <class Item, class Take>
void grow_in_turn(const Field& field, const Seeds& seeds, int threads, const Control& control, const Take& take) {
    InTurn<Item, Take>(field, seeds, threads, control, take).run();
}

}  // namespace chandra_bin::detail
