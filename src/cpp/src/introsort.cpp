#include "chandra_bin/introsort.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <exception>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "chandra_bin/thread.hpp"

namespace chandra_bin {
namespace {

constexpr std::ptrdiff_t kBlock = 128;           // elements compared at once by the branch-free partition
constexpr std::ptrdiff_t kThreadSize = 1 << 16;  // a shorter piece is too small for a thread

std::uint32_t key(Record record) { return static_cast<std::uint32_t>(record >> 32); }

bool before(Record a, Record b) { return key(a) < key(b); }

void insertion_sort(Record* first, Record* last) {
    for (Record* i = first + 1; i < last; ++i) {
        const Record value = *i;
        Record* hole = i;
        for (; hole > first && before(value, hole[-1]); --hole) *hole = hole[-1];
        *hole = value;
    }
}

// Moves the hole down to a leaf along the larger children, then inserts `value` from there upwards.
void adjust_heap(Record* first, std::ptrdiff_t hole, std::ptrdiff_t size, Record value) {
    const std::ptrdiff_t top = hole;
    std::ptrdiff_t child = hole;
    while (child < (size - 1) / 2) {
        child = 2 * (child + 1);
        if (before(first[child], first[child - 1])) --child;
        first[hole] = first[child];
        hole = child;
    }
    if (size % 2 == 0 && child == (size - 2) / 2) {
        child = 2 * child + 1;
        first[hole] = first[child];
        hole = child;
    }
    std::ptrdiff_t parent = (hole - 1) / 2;
    while (hole > top && before(first[parent], value)) {
        first[hole] = first[parent];
        hole = parent;
        parent = (hole - 1) / 2;
    }
    first[hole] = value;
}

void heap_sort(Record* first, Record* last) {
    const std::ptrdiff_t size = last - first;
    for (std::ptrdiff_t parent = (size - 2) / 2; parent >= 0; --parent) adjust_heap(first, parent, size, first[parent]);
    for (std::ptrdiff_t end = size - 1; end > 0; --end) {
        const Record value = first[end];
        first[end] = first[0];
        adjust_heap(first, 0, end, value);
    }
}

void move_median_to_first(Record* first, Record* a, Record* b, Record* c) {
    Record* median;
    if (before(*a, *b)) {
        median = before(*b, *c) ? b : before(*a, *c) ? c : a;
    } else {
        median = before(*a, *c) ? a : before(*b, *c) ? c : b;
    }
    std::swap(*first, *median);
}

// Hoare's partition of [first, last) by `pivot`: the k-th element from the left that is not before the pivot is swapped
// with the k-th from the right that is not after it, as long as the first is left of the second. Far from the meeting
// point both lists are made block by block, without a branch that could be mispredicted.
Record* partition(Record* first, Record* last, Record pivot) {
    const std::uint32_t middle = key(pivot);
    std::array<std::uint8_t, kBlock> left;
    std::array<std::uint8_t, kBlock> right;
    std::ptrdiff_t left_size = 0, left_next = 0, right_size = 0, right_next = 0;
    while (last - first >= 2 * kBlock) {
        if (left_next == left_size) {
            left_next = left_size = 0;
            for (std::ptrdiff_t i = 0; i < kBlock; ++i) {
                left[static_cast<std::size_t>(left_size)] = static_cast<std::uint8_t>(i);
                left_size += key(first[i]) >= middle;
            }
        }
        if (right_next == right_size) {
            right_next = right_size = 0;
            for (std::ptrdiff_t i = 0; i < kBlock; ++i) {
                right[static_cast<std::size_t>(right_size)] = static_cast<std::uint8_t>(i);
                right_size += key(last[-1 - i]) <= middle;
            }
        }
        const std::ptrdiff_t pairs = std::min(left_size - left_next, right_size - right_next);
        for (std::ptrdiff_t i = 0; i < pairs; ++i) {
            std::swap(first[left[static_cast<std::size_t>(left_next + i)]],
                      last[-1 - right[static_cast<std::size_t>(right_next + i)]]);
        }
        left_next += pairs;
        right_next += pairs;
        if (left_next == left_size) first += kBlock;
        if (right_next == right_size) last -= kBlock;
    }
    // A block that still has misplaced elements is scanned again; all before them are in place, so nothing changes.
    if (left_next < left_size) first += left[static_cast<std::size_t>(left_next)];
    if (right_next < right_size) last -= right[static_cast<std::size_t>(right_next)];
    for (;;) {
        while (key(*first) < middle) ++first;
        --last;
        while (middle < key(*last)) --last;
        if (!(first < last)) return first;
        std::swap(*first, *last);
        ++first;
    }
}

Record* split(Record* first, Record* last) {
    Record* const middle = first + (last - first) / 2;
    move_median_to_first(first, first + 1, middle, last - 1);
    return partition(first + 1, last, *first);
}

// The pieces on both sides of a cut are independent, and so are the insertion sorts of short pieces: an element never
// moves past an equal one, and elements of other pieces are not smaller (or not larger). So threads and their order do
// not affect the result.
class Splitter {
public:
    Splitter(Record* records, std::size_t longest, int threads)
        : records_(records), longest_(static_cast<std::ptrdiff_t>(longest)), free_threads_(std::max(threads, 1) - 1) {}

    void run(Record* first, Record* last, int depth) {
        while (last - first > longest_) {
            if (depth == 0) {
                heap_sort(first, last);
                depth = Piece::kSorted;
                for (; last - first > longest_; first += longest_) add(first, first + longest_, depth);
                break;
            }
            --depth;
            Record* const cut = split(first, last);
            if (last - cut > kThreadSize && cut - first > kThreadSize && free_threads_ > 0) {
                if (free_threads_.fetch_sub(1) > 0) {
                    std::exception_ptr failed;
                    std::optional<Thread> other;
                    try {
                        other.emplace([=, this, &failed] {
                            try {
                                run(cut, last, depth);
                            } catch (...) {
                                failed = std::current_exception();
                            }
                            ++free_threads_;
                        });
                    } catch (const std::exception&) {
                        // No thread is available, so this one splits both pieces.
                        ++free_threads_;
                        run(cut, last, depth);
                        last = cut;
                        continue;
                    }
                    run(first, cut, depth);
                    ++free_threads_;  // while this thread waits for the other
                    other.reset();
                    if (failed) std::rethrow_exception(failed);
                    --free_threads_;
                    return;
                }
                ++free_threads_;
            }
            run(cut, last, depth);
            last = cut;
        }
        if (first != last) add(first, last, depth);
    }

    std::vector<Piece> pieces() {
        std::sort(pieces_.begin(), pieces_.end(), [](const Piece& a, const Piece& b) { return a.first < b.first; });
        return std::move(pieces_);
    }

private:
    void add(Record* first, Record* last, int depth) {
        const std::lock_guard lock(mutex_);
        pieces_.push_back({static_cast<std::size_t>(first - records_), static_cast<std::size_t>(last - first), depth});
    }

    Record* records_;
    std::ptrdiff_t longest_;
    std::atomic<int> free_threads_;
    std::mutex mutex_;  // guards pieces_
    std::vector<Piece> pieces_;
};

}  // namespace

std::vector<Piece> introsort_pieces(Record* records, std::size_t count, std::size_t longest, int threads) {
    Splitter splitter(records, longest, threads);
    splitter.run(records, records + count, 2 * (static_cast<int>(std::bit_width(count)) - 1));
    return splitter.pieces();
}

Piece introsort_split(Record* records, Piece& piece) {
    Record* const first = records + piece.first;
    Record* const last = first + piece.size;
    if (piece.depth == 0) {
        heap_sort(first, last);
        piece.depth = Piece::kSorted;
        return {};
    }
    const auto size = static_cast<std::size_t>(split(first, last) - first);
    const Piece second{piece.first + size, piece.size - size, piece.depth - 1};
    piece = {piece.first, size, piece.depth - 1};
    return second;
}

void introsort_short(Record* records, Piece& piece) {
    insertion_sort(records + piece.first, records + piece.first + piece.size);
    piece.depth = Piece::kSorted;
}

}  // namespace chandra_bin
