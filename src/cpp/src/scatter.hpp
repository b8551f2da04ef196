// Addition of events to the cells (pixels, channels) of an array, independent of threads. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

#include "chandra_bin/parallel.hpp"
#include "chandra_bin/select_events.hpp"
#include "pixel_index.hpp"

#ifdef CHANDRA_BIN_AVX2
#include <immintrin.h>
#endif

namespace chandra_bin::detail {

inline constexpr std::size_t kPiece = 16 * kBlock;  // events that are sorted at once
inline constexpr std::size_t kPieces = 128;         // pieces that are kept at once: 2^22 events
inline constexpr unsigned kPartBits = 7;
inline constexpr std::size_t kParts = std::size_t{1} << kPartBits;
inline constexpr std::size_t kAhead = 24;                    // events whose cells are prefetched
inline constexpr std::size_t kCache = std::size_t{1} << 22;  // bytes with fast access

// Adds 1 for each event.
struct Counts {
    using Cell = std::int32_t;
    struct Amount {};

    std::int32_t* cells;

    Amount operator()(std::size_t) const { return {}; }
    // Overflow of int32 wraps around; callers ensure that it does not happen.
    static void add(std::int32_t& cell, Amount) { add_counts(cell, 1); }
    static void add_counts(std::int32_t& cell, std::int32_t more) {
        cell = static_cast<std::int32_t>(static_cast<std::uint32_t>(cell) + static_cast<std::uint32_t>(more));
    }
};

// Adds the weight of each event.
template <class T>
struct Weights {
    using Cell = double;
    using Amount = T;

    double* cells;
    const T* weights;

    T operator()(std::size_t event) const { return weights[event]; }
    static void add(double& cell, T amount) { cell += static_cast<double>(amount); }
};

#ifdef CHANDRA_BIN_AVX2
// For each set of 8 lanes (one bit each) those lanes in order, one byte each: the permutation that moves them to the
// front.
inline constexpr auto kLanes = [] {
    std::array<std::uint64_t, 256> lanes{};
    for (unsigned set = 0; set < 256; ++set) {
        for (unsigned lane = 0, place = 0; lane < 8; ++lane) {
            if (set >> lane & 1) lanes[set] |= std::uint64_t{lane} << (8 * place++);
        }
    }
    return lanes;
}();

// Moves the values that are not negative to the front, in order; returns their number.
[[gnu::target("avx2,popcnt")]] inline std::size_t drop_negative_avx2(std::int32_t* values, std::size_t size) {
    std::size_t kept = 0, i = 0;
    for (; i + 8 <= size; i += 8) {
        const __m256i eight = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + i));
        const auto set = static_cast<unsigned>(~_mm256_movemask_ps(_mm256_castsi256_ps(eight)) & 255);
        const __m256i lanes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<std::int64_t>(kLanes[set])));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(values + kept), _mm256_permutevar8x32_epi32(eight, lanes));
        kept += static_cast<std::size_t>(__builtin_popcount(set));
    }
    for (; i < size; ++i) {
        const std::int32_t value = values[i];
        values[kept] = value;
        kept += value >= 0;
    }
    return kept;
}
#endif

// Returns the cells of the events of a block that have a cell and pass the selection, in the order of events.
// find(begin, size, events, count, cells) sets cells[i], for i < count, to the cell of event begin + events[i], below
// 2^31, or to -1; `events` are ascending indices below `size`.
template <class Adder, class Find>
class BlockCells {
public:
    BlockCells(const Adder& adder, const Find& find, const Selection* selection)
        : adder_(adder), find_(find), selection_(selection) {
        std::iota(all_.begin(), all_.end(), std::uint16_t{0});
    }

    void read(std::size_t begin, std::size_t size) {
        count_ = selection_ == nullptr ? size : selection_->passing(begin, size, passes_.data());
        if (count_ == 0) return;
        std::int32_t signs = 0;
        if (most(count_, size)) {
            find_(begin, size, all_.data(), size, cells_.data());
            if (count_ < size) drop_failing(passes_.data(), size, cells_.data());
            count_ = size;
            for (std::size_t i = 0; i < size; ++i) amounts_[i] = adder_(begin + i);
        } else {
            list(passes_.data(), size, some_.data());
            find_(begin, size, some_.data(), count_, cells_.data());
            for (std::size_t i = 0; i < count_; ++i) amounts_[i] = adder_(begin + some_[i]);
        }
        for (std::size_t i = 0; i < count_; ++i) signs |= cells_[i];
        if (signs >= 0) return;
#ifdef CHANDRA_BIN_AVX2
        if constexpr (std::is_empty_v<typename Adder::Amount>) {
            if (avx2_) {
                count_ = drop_negative_avx2(cells_.data(), count_);
                return;
            }
        }
#endif
        std::size_t kept = 0;
        for (std::size_t i = 0; i < count_; ++i) {
            const std::int32_t cell = cells_[i];
            cells_[kept] = cell;
            amounts_[kept] = amounts_[i];
            kept += cell >= 0;
        }
        count_ = kept;
    }

    std::size_t count() const { return count_; }
    std::int32_t cell(std::size_t i) const { return cells_[i]; }
    typename Adder::Amount amount(std::size_t i) const { return amounts_[i]; }

private:
    const Adder& adder_;
    const Find& find_;
    const Selection* selection_;
    std::size_t count_ = 0;
#ifdef CHANDRA_BIN_AVX2
    bool avx2_ = __builtin_cpu_supports("avx2") != 0;
#endif
    std::array<std::uint8_t, kBlock> passes_;
    std::array<std::uint16_t, kBlock> all_, some_;
    std::array<std::int32_t, kBlock> cells_;
    std::array<typename Adder::Amount, kBlock> amounts_;
};

template <class Adder, class Find>
std::size_t scatter_range(const Adder& adder, const Find& find, const Selection* selection, std::size_t begin,
                          std::size_t end) {
    BlockCells<Adder, Find> block(adder, find, selection);
    std::size_t counted = 0;
    for (std::size_t at = begin; at < end; at += kBlock) {
        block.read(at, std::min(kBlock, end - at));
        counted += block.count();
        for (std::size_t i = 0; i < block.count(); ++i) {
#ifdef __GNUC__
            __builtin_prefetch(adder.cells + block.cell(std::min(i + kAhead, block.count() - 1)), 1);
#endif
            Adder::add(adder.cells[block.cell(i)], block.amount(i));
        }
    }
    return counted;
}

// Each thread but one counts into its own array; the arrays are then summed.
template <class Find>
std::size_t scatter_apart(const Counts& adder, const Find& find, const Selection* selection, std::size_t events,
                          std::size_t cells, std::size_t arrays) {
    std::vector<std::unique_ptr<std::int32_t[]>> own(arrays);
    std::atomic<std::size_t> counted{0}, next{0};
    parallel_for(arrays, static_cast<int>(arrays), Control{}, 0, 1, [&](std::size_t a, const auto&) {
        if (a > 0) own[a] = std::make_unique<std::int32_t[]>(cells);
        const Counts mine{a > 0 ? own[a].get() : adder.cells};
        for (std::size_t at = 0; (at = next.fetch_add(kPiece)) < events;) {
            counted += scatter_range(mine, find, selection, at, std::min(events, at + kPiece));
        }
    });
    const std::size_t share = cells / arrays + 1;
    parallel_for(arrays, static_cast<int>(arrays), Control{}, 0, 1, [&](std::size_t part, const auto&) {
        const std::size_t begin = std::min(cells, part * share), end = std::min(cells, begin + share);
        for (std::size_t a = 1; a < arrays; ++a) {
            const std::int32_t* theirs = own[a].get();
            for (std::size_t i = begin; i < end; ++i) Counts::add_counts(adder.cells[i], theirs[i]);
        }
    });
    return counted;
}

// The events of a piece, sorted by part.
template <class Amount>
struct SortedPiece {
    std::int32_t* cells = nullptr;  // space for kPiece
    Amount* amounts = nullptr;
    std::array<std::uint32_t, kParts + 1> ends;  // part k is [ends[k], ends[k + 1])
};

template <class Adder, class Find>
class PieceSorter {
public:
    PieceSorter(const Adder& adder, const Find& find, const Selection* selection, unsigned shift)
        : block_(adder, find, selection), shift_(shift), cells_(kPiece), amounts_(kPiece) {}

    std::size_t sort(std::size_t begin, std::size_t end, SortedPiece<typename Adder::Amount>& sorted) {
        std::array<std::uint32_t, kParts + 1> place{};
        std::size_t count = 0;
        for (std::size_t at = begin; at < end; at += kBlock) {
            block_.read(at, std::min(kBlock, end - at));
            for (std::size_t i = 0; i < block_.count(); ++i) {
                cells_[count + i] = block_.cell(i);
                amounts_[count + i] = block_.amount(i);
                ++place[(static_cast<std::uint32_t>(block_.cell(i)) >> shift_) + 1];
            }
            count += block_.count();
        }
        std::partial_sum(place.begin(), place.end(), place.begin());
        sorted.ends = place;
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint32_t to = place[static_cast<std::uint32_t>(cells_[i]) >> shift_]++;
            sorted.cells[to] = cells_[i];
            sorted.amounts[to] = amounts_[i];
        }
        return count;
    }

private:
    BlockCells<Adder, Find> block_;
    unsigned shift_;
    std::vector<std::int32_t> cells_;
    std::vector<typename Adder::Amount> amounts_;
};

// Cells are divided into parts that fit in the cache. Events are sorted by part, piece by piece; then each part is
// summed by one thread, in the order of events.
template <class Adder, class Find>
std::size_t scatter_by_parts(const Adder& adder, const Find& find, const Selection* selection, std::size_t events,
                             std::size_t cells, int threads) {
    const auto bits = static_cast<unsigned>(std::bit_width(cells - 1));
    const unsigned shift = std::max(bits, kPartBits) - kPartBits;
    const std::size_t parts = ((cells - 1) >> shift) + 1;
    std::vector<SortedPiece<typename Adder::Amount>> pieces(std::min(kPieces, (events + kPiece - 1) / kPiece));
    const std::unique_ptr<std::int32_t[]> all_cells(new std::int32_t[pieces.size() * kPiece]);
    const std::unique_ptr<typename Adder::Amount[]> all_amounts(new typename Adder::Amount[pieces.size() * kPiece]);
    for (std::size_t p = 0; p < pieces.size(); ++p) {
        pieces[p].cells = all_cells.get() + p * kPiece;
        pieces[p].amounts = all_amounts.get() + p * kPiece;
    }
    std::atomic<std::size_t> counted{0};
    for (std::size_t first = 0; first < events; first += kPieces * kPiece) {
        const std::size_t used = std::min(kPieces, (events - first + kPiece - 1) / kPiece);
        std::atomic<std::size_t> next{0};
        parallel_for(static_cast<std::size_t>(threads), threads, Control{}, 0, 1, [&](std::size_t, const auto&) {
            PieceSorter<Adder, Find> sorter(adder, find, selection, shift);
            for (std::size_t p; (p = next++) < used;) {
                const std::size_t at = first + p * kPiece;
                counted += sorter.sort(at, std::min(events, at + kPiece), pieces[p]);
            }
        });
        parallel_for(parts, threads, Control{}, 0, 1, [&](std::size_t part, const auto&) {
            for (std::size_t p = 0; p < used; ++p) {
                const auto& piece = pieces[p];
                for (std::uint32_t i = piece.ends[part]; i < piece.ends[part + 1]; ++i) {
                    Adder::add(adder.cells[piece.cells[i]], piece.amounts[i]);
                }
            }
        });
    }
    return counted;
}

// Adds the events 0 .. events - 1; returns how many have a cell and pass. Weights are added in the order of events.
template <class Adder, class Find>
std::size_t scatter(const Adder& adder, const Find& find, const Selection* selection, std::size_t events,
                    std::size_t cells, int threads) {
    constexpr std::size_t kFewEvents = 1 << 17;  // below this, threads cost more than they gain
    require(events < (std::size_t{1} << 31), "give less than 2^31 events at a time");
    require(cells < (std::size_t{1} << 31), "there must be less than 2^31 cells");
    require(selection == nullptr || selection->size() == events, "the selection is of another number of events");
    if (cells == 0) return 0;
    if (events < kFewEvents) threads = 1;
    if (threads <= 1) return scatter_range(adder, find, selection, 0, events);
    if constexpr (std::is_same_v<Adder, Counts>) {
        if (cells * sizeof(std::int32_t) <= kCache && cells * static_cast<std::size_t>(threads) <= events) {
            return scatter_apart(adder, find, selection, events, cells, static_cast<std::size_t>(threads));
        }
    }
    return scatter_by_parts(adder, find, selection, events, cells, threads);
}

}  // namespace chandra_bin::detail
