#include "chandra_bin/introsort.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <exception>
#include <utility>

#include "chandra_bin/thread.hpp"

namespace chandra_bin {
namespace {

using Record = std::uint64_t;

constexpr std::ptrdiff_t kInsertionSize = 16;    // shorter pieces are left to the insertion sort
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

// The pieces on both sides of a cut are independent, and so are the insertion sorts of short pieces: an element never
// moves past an equal one, and elements of other pieces are not smaller (or not larger). So threads and their order do
// not affect the result.
void sort_piece(Record* first, Record* last, int depth, std::atomic<int>& free_threads) {
    while (last - first > kInsertionSize) {
        if (depth == 0) {
            heap_sort(first, last);
            return;
        }
        --depth;
        Record* const middle = first + (last - first) / 2;
        move_median_to_first(first, first + 1, middle, last - 1);
        Record* const cut = partition(first + 1, last, *first);
        if (last - cut > kThreadSize && cut - first > kThreadSize && free_threads > 0) {
            if (free_threads.fetch_sub(1) > 0) {
                try {
                    const Thread other([=, &free_threads] {
                        sort_piece(cut, last, depth, free_threads);
                        ++free_threads;
                    });
                    sort_piece(first, cut, depth, free_threads);
                    ++free_threads;  // while this thread waits for the other
                } catch (const std::exception&) {
                    // No thread is available, so this one sorts both pieces.
                    ++free_threads;
                    sort_piece(cut, last, depth, free_threads);
                    last = cut;
                    continue;
                }
                --free_threads;
                return;
            }
            ++free_threads;
        }
        sort_piece(cut, last, depth, free_threads);
        last = cut;
    }
    insertion_sort(first, last);
}

}  // namespace

void introsort(Record* records, std::size_t count, int threads) {
    if (count < 2) return;
    const int depth = 2 * (static_cast<int>(std::bit_width(count)) - 1);
    std::atomic<int> free_threads = std::max(threads, 1) - 1;
    sort_piece(records, records + count, depth, free_threads);
}

}  // namespace chandra_bin
