// Speculative growth of bins by several threads, with commits in order. Private to src/cpp/src.
//
// Bins are defined one after another: each grows on the pixels that the bins before it have left free. Most bins touch
// none of the last few, so threads can grow later bins in advance on the current field, without marking pixels there.
// This is speculation: whether the result counts is decided when its seed is next in order.
//
//     seeds in order    0        1        2        3        4        5      ...
//                       |        |        |        |        |        |
//                   committed committed  head  speculation  -   speculation
//                                         |        |                 |
//     speculate:   any thread grows a seed on the field as it is, and notes each free pixel that the bin meets
//                                         |        |                 |
//     commit:      [labels set]  <--  at the head, in the order of seeds, one at a time, if every pixel met is still free:
//                                     the bin would then grow the same way now, step by step
//                                                  |                 |
//     abort:       otherwise the growth is dropped; a seed that another bin has taken starts no bin, and a seed that is
//                  still free grows again at the head, where nothing can change under it
//
// Seeds are sorted piece by piece, and only where a free seed is asked for: when the head comes to a piece, bins have
// taken most of its seeds.
//
// Bins and their order do not depend on the number of threads. One mutex guards the list of speculations; only the
// thread that holds it commits. Labels are read without it while bins grow (they are atomic), so a speculation may see
// half of a commit: it has then met a pixel that is no longer free, and is aborted later.
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

template <class Item, class Commit>
class SpeculativeGrowth {
public:
    SpeculativeGrowth(const Field& field, const Seeds& seeds, int threads, const Control& control, const Commit& commit)
        : field_(field), seeds_(seeds), control_(control), commit_(commit),
          threads_(seeds.pixels.size() < kWorthThreads ? 1 : std::clamp(threads, 1, kMostThreads)),
          most_speculations_(kSpeculationsEach * static_cast<std::size_t>(threads_)),
          largest_speculation_(seeds.pixels.size() / kLargestShare) {}

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
            // The system provides fewer threads; the existing ones and this one do the work.
        } catch (const std::bad_alloc&) {
            // There is only memory for fewer threads.
        }
        work(own, true);
        pool.clear();
        if (error_) std::rethrow_exception(error_);
        control_.check(1);  // the other threads may have done all the work
    }

private:
    static constexpr std::size_t kWorthThreads = 1 << 14;  // minimum pixels of an image for threads
    static constexpr std::size_t kWorthSpeculation = 256;  // minimum pixels of a bin for speculation
    static constexpr int kMostThreads = 8;                 // more threads find no bins far from all others
    static constexpr std::size_t kSpeculationsEach = 4;    // per thread: bins that grow or wait for their commit
    static constexpr std::size_t kLargestShare = 16;       // of all pixels: larger bins meet others, and take memory
    // How far behind the head seeds are considered; farther ones are overtaken.
    static constexpr std::size_t kLeastLook = 1 << 14;
    static constexpr std::size_t kLookBins = 8;
    static constexpr std::uint32_t kNoSeed = 0;  // a pixel of the border
    static constexpr double kReach = 2;  // of a bin from its seed, in units of the root of its pixels; 1.5 - 3 work

    // A bin that grows or has grown but is not committed.
    struct Speculation {
        std::uint32_t seed = 0;
        bool began_at_head = false;  // no other bin is committed while it grows, so its result is always valid
        bool grown = false;
        Growth growth;
    };

    void work(Grower<Item>& grower, bool polls) {
        std::unique_lock lock(mutex_, std::defer_lock);
        try {
            lock.lock();
            while (!stop_) {
                commit_grown();
                if (stop_) break;
                Speculation* const bin = next_to_grow();
                if (bin == nullptr) {
                    wait(lock, polls);
                    continue;
                }
                lock.unlock();
                const bool whole = grower.grow(bin->seed, bin->growth, [&] { return goes_on(*bin, polls); });
                lock.lock();
                if (whole) {
                    bin->grown = true;
                } else {
                    abort(bin);
                }
                if (worth_speculating()) changed_.notify_all();
            }
        } catch (...) {
            if (!lock.owns_lock()) lock.lock();
            if (!error_) error_ = std::current_exception();
            stop();
        }
    }

    void poll() const {
        control_.check(static_cast<double>(committed_pixels_) / static_cast<double>(seeds_.pixels.size()));
    }

    // Returns whether growing is still useful: a speculation is not once its seed is taken, or if it grows too large.
    bool goes_on(const Speculation& bin, bool polls) const {
        if (polls) poll();
        if (stop_) return false;
        return bin.began_at_head || (bin.growth.members.size() < largest_speculation_ && !is_taken(bin.seed));
    }

    // Waits until another thread has news, unless some pieces have not been considered.
    void wait(std::unique_lock<std::mutex>& lock, bool polls) {
        if (!may_speculate() || look_cursor_.entered >= look_end())
            changed_.wait_for(lock, std::chrono::milliseconds(20));
        lock.unlock();
        if (polls) poll();
        lock.lock();
    }

    void stop() {
        stop_ = true;
        changed_.notify_all();
    }

    // Advances the head over all seeds that are taken and all that have grown, which are committed or aborted.
    void commit_grown() {
        for (;;) {
            if (!find_head()) return stop();
            std::erase_if(speculations_, [&](std::unique_ptr<Speculation>& bin) {
                const bool aborted = bin->grown && is_taken(bin->seed);
                if (aborted) spare_.push_back(std::move(bin));
                return aborted;
            });
            const auto bin = std::find_if(speculations_.begin(), speculations_.end(),
                                          [&](const auto& each) { return each->seed == head_; });
            if (bin == speculations_.end() || !(*bin)->grown) return;
            const Growth& growth = (*bin)->growth;
            if ((*bin)->began_at_head || is_valid(growth)) {
                commit_(growth);
                committed_pixels_ += growth.members.size();
                if (!field_.below_threshold(growth.bin)) usual_ = growth.members.size();
            }
            spare_.push_back(std::move(*bin));
            speculations_.erase(bin);
        }
    }

    // Seeds of consecutive pieces in order.
    struct Cursor {
        std::size_t entered = 0;  // number of pieces to the one that is read
        PieceSorter sorter;
    };

    // Sets `seed` to the next seed for which matters(seed) is true, in the pieces before `end`; returns false if no such
    // seed is left.
    template <class Matters>
    bool next_seed(Cursor& cursor, std::size_t end, const Matters& matters, std::uint32_t& seed) {
        const auto record_matters = [&](Record record) { return matters(static_cast<std::uint32_t>(record)); };
        Record record = 0;
        while (!cursor.sorter.next(record_matters, record)) {
            if (cursor.entered >= end) return false;
            const Piece& piece = seeds_.pieces[cursor.entered++];
            const std::uint32_t* const first = &seeds_.pixels[piece.first];
            if (std::none_of(first, first + piece.size, matters)) continue;
            std::transform(first, first + piece.size, cursor.sorter.restart(piece).begin(),
                           [&](std::uint32_t each) { return std::uint64_t{field_.key(each)} << 32 | each; });
        }
        seed = static_cast<std::uint32_t>(record);
        return true;
    }

    // Moves the head to the first free seed; returns false if all are taken.
    bool find_head() {
        const auto is_free = [&](std::uint32_t seed) { return !is_taken(seed); };
        return (head_ != kNoSeed && is_free(head_)) || next_seed(head_cursor_, seeds_.pieces.size(), is_free, head_);
    }

    // Returns whether the bin would grow the same way now.
    bool is_valid(const Growth& growth) const {
        return std::all_of(growth.met.begin(), growth.met.end(),
                           [&](Place at) { return field_.label(field_.frame(at.y, at.x)) == kFree; });
    }

    void abort(const Speculation* bin) {
        const auto at = std::find_if(speculations_.begin(), speculations_.end(),
                                     [&](const auto& each) { return each.get() == bin; });
        spare_.push_back(std::move(*at));
        speculations_.erase(at);
    }

    // Returns the seed at the head, if no thread grows it, or a later one; null if no seed is available.
    Speculation* next_to_grow() {
        if (!is_listed(head_)) return begin(head_);
        if (!may_speculate()) return nullptr;
        look_cursor_.entered = std::max(look_cursor_.entered, head_cursor_.entered - 1);
        std::uint32_t seed = kNoSeed;
        const auto is_likely = [&](std::uint32_t each) { return is_likely_seed(each); };
        // One piece at a time, as all others wait.
        const std::size_t end = std::min(look_cursor_.entered + 1, look_end());
        return next_seed(look_cursor_, end, is_likely, seed) ? begin(seed) : nullptr;
    }

    bool worth_speculating() const { return threads_ > 1 && usual_ >= kWorthSpeculation; }
    bool may_speculate() const { return worth_speculating() && speculations_.size() < most_speculations_; }
    // The end of the pieces in which seeds are considered.
    std::size_t look_end() const {
        const std::size_t pixels =
            seeds_.pieces[head_cursor_.entered - 1].first + std::max(kLeastLook, kLookBins * usual_);
        std::size_t end = std::max(look_cursor_.entered, head_cursor_.entered);
        while (end < seeds_.pieces.size() && seeds_.pieces[end].first < pixels) ++end;
        return end;
    }

    bool is_listed(std::uint32_t seed) const {
        return std::any_of(speculations_.begin(), speculations_.end(),
                           [&](const auto& bin) { return bin->seed == seed; });
    }

    Speculation* begin(std::uint32_t seed) {
        if (spare_.empty()) spare_.push_back(std::make_unique<Speculation>());
        speculations_.push_back(std::move(spare_.back()));
        spare_.pop_back();
        speculations_.back()->seed = seed;
        speculations_.back()->began_at_head = seed == head_;
        speculations_.back()->grown = false;
        return speculations_.back().get();
    }

    // Returns whether a pixel is free and far from the growing bins, which usually take nearby pixels.
    bool is_likely_seed(std::uint32_t seed) const {
        if (is_taken(seed)) return false;
        const Place at = field_.place(seed);
        return std::all_of(speculations_.begin(), speculations_.end(), [&](const auto& bin) {
            const Place other = field_.place(bin->seed);
            const double dy = at.y - other.y;
            const double dx = at.x - other.x;
            return dy * dy + dx * dx > kReach * kReach * static_cast<double>(usual_);
        });
    }

    bool is_taken(std::uint32_t seed) const { return field_.label(seed) >= 0; }

    const Field& field_;
    const Seeds& seeds_;
    const Control& control_;
    const Commit& commit_;
    int threads_;
    std::size_t most_speculations_;
    std::size_t largest_speculation_;
    std::atomic<bool> stop_{false};
    std::atomic<std::size_t> committed_pixels_{0};
    std::mutex mutex_;  // guards all members below, and calls of commit_
    std::condition_variable changed_;
    std::uint32_t head_ = kNoSeed;  // all seeds before it are taken
    Cursor head_cursor_;            // behind the head
    Cursor look_cursor_;            // all seeds before it are taken, listed, or unlikely
    std::size_t usual_ = 0;         // pixels of the last committed bin that reached the threshold
    std::vector<std::unique_ptr<Speculation>> speculations_;
    std::vector<std::unique_ptr<Speculation>> spare_;
    std::exception_ptr error_;
};

// Calls commit(growth), which labels the pixels of `growth.members`, for each bin in order, one call at a time.
template <class Item, class Commit>
void grow_speculatively(const Field& field, const Seeds& seeds, int threads, const Control& control,
                        const Commit& commit) {
    SpeculativeGrowth<Item, Commit>(field, seeds, threads, control, commit).run();
}

}  // namespace chandra_bin::detail
