// Adds events to the cells (pixels, channels) of an array, with answers that do not depend on threads. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "chandra_bin/parallel.hpp"
#include "chandra_bin/select_events.hpp"
#include "pixel_index.hpp"

namespace chandra_bin::detail {

inline constexpr std::size_t kMostParts = 64;
inline constexpr std::size_t kPiece = 16;   // blocks
inline constexpr std::size_t kPieces = 64;  // kept at a time: 2^21 events
inline constexpr unsigned kLineBits = 4;    // cells in a cache line

// Adds 1 for each event.
struct Counts {
    using Cell = std::int32_t;
    struct Amount {};

    std::int32_t* cells;

    Amount operator()(std::size_t) const { return {}; }
    static void add(std::int32_t& cell, Amount) { ++cell; }
};

// Adds the weight of each event.
template <class T>
struct Weights {
    using Cell = double;
    using Amount = T;

    double* cells;
    const T* weights;

    T operator()(std::size_t event) const { return weights[event]; }
    static void add(double& cell, T amount) { cell += double(amount); }
};

// The cells of the events of a block that have one and pass the selection, in the order of events.
// find(begin, size, cells) sets cells[i] to the cell of event begin + i, below 2^31, or -1.
template <class Adder, class Find>
class BlockCells {
public:
    BlockCells(const Adder& adder, const Find& find, const Selection* selection)
        : adder_(adder), find_(find), selection_(selection) {}

    void read(std::size_t begin, std::size_t size) {
        find_(begin, size, cells_.data());
        if (selection_ != nullptr) {
            selection_->evaluate(begin, begin + size, passes_.data());
            for (std::size_t i = 0; i < size; ++i) cells_[i] |= std::int32_t(passes_[i]) - 1;
        }
        count_ = 0;
        for (std::size_t i = 0; i < size; ++i) {
            const std::int32_t cell = cells_[i];
            cells_[count_] = cell;
            amounts_[count_] = adder_(begin + i);
            count_ += cell >= 0;
        }
    }

    std::size_t count() const { return count_; }
    std::int32_t cell(std::size_t i) const { return cells_[i]; }
    typename Adder::Amount amount(std::size_t i) const { return amounts_[i]; }

private:
    const Adder& adder_;
    const Find& find_;
    const Selection* selection_;
    std::size_t count_ = 0;
    std::array<std::int32_t, kBlock> cells_;
    std::array<std::uint8_t, kBlock> passes_;
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
        for (std::size_t i = 0; i < block.count(); ++i) Adder::add(adder.cells[block.cell(i)], block.amount(i));
    }
    return counted;
}

// Each thread but one counts into an array of its own, and these are added up.
template <class Find>
std::size_t scatter_apart(const Counts& adder, const Find& find, const Selection* selection, std::size_t events,
                          std::size_t cells, std::size_t arrays) {
    constexpr std::size_t kShare = kPiece * kBlock;
    std::vector<std::unique_ptr<std::int32_t[]>> own(arrays);
    std::atomic<std::size_t> counted{0}, next{0};
    parallel_for(arrays, int(arrays), Control{}, 0, 1, [&](std::size_t a, const auto&) {
        if (a > 0) own[a] = std::make_unique<std::int32_t[]>(cells);
        const Counts mine{a > 0 ? own[a].get() : adder.cells};
        for (std::size_t at = 0; (at = next.fetch_add(kShare)) < events;) {
            counted += scatter_range(mine, find, selection, at, std::min(events, at + kShare));
        }
    });
    const std::size_t share = cells / arrays + 1;
    parallel_for(arrays, int(arrays), Control{}, 0, 1, [&](std::size_t part, const auto&) {
        const std::size_t begin = std::min(cells, part * share), end = std::min(cells, begin + share);
        for (std::size_t a = 1; a < arrays; ++a) {
            const std::int32_t* theirs = own[a].get();
            for (std::size_t i = begin; i < end; ++i) adder.cells[i] += theirs[i];
        }
    });
    return counted;
}

using PartEnds = std::array<std::uint32_t, kMostParts + 1>;

// The events of some blocks, those of each block sorted by part.
template <class Amount>
struct SortedPiece {
    std::vector<std::int32_t> cells;
    std::vector<Amount> amounts;
    std::array<PartEnds, kPiece> ends;  // part k of a block is [ends[k], ends[k + 1])
};

// Cells are dealt out to parts, a cache line at a time, so that what is concentrated somewhere belongs to all. Events are
// sorted by part, block by block; then each part is added by one thread, in the order of events.
template <class Adder, class Find>
std::size_t scatter_by_parts(const Adder& adder, const Find& find, const Selection* selection, std::size_t events,
                             int threads) {
    const std::size_t parts = std::min(kMostParts, std::bit_ceil(std::size_t(threads)));
    const auto part_of = [mask = std::uint32_t(parts - 1)](std::int32_t cell) {
        return (std::uint32_t(cell) >> kLineBits) & mask;
    };
    std::vector<SortedPiece<typename Adder::Amount>> pieces(std::min(kPieces, (events + kPiece * kBlock - 1) / (kPiece * kBlock)));
    std::atomic<std::size_t> counted{0};
    for (std::size_t first = 0; first < events; first += kPieces * kPiece * kBlock) {
        const std::size_t last = std::min(events, first + kPieces * kPiece * kBlock);
        const std::size_t blocks = (last - first + kBlock - 1) / kBlock, used = (blocks + kPiece - 1) / kPiece;
        parallel_for(used, threads, Control{}, 0, 1, [&](std::size_t p, const auto&) {
            auto& piece = pieces[p];
            piece.cells.resize(kPiece * kBlock);
            piece.amounts.resize(kPiece * kBlock);
            BlockCells<Adder, Find> block(adder, find, selection);
            std::uint32_t begin = 0;
            for (std::size_t b = p * kPiece; b < std::min(blocks, (p + 1) * kPiece); ++b) {
                const std::size_t at = first + b * kBlock;
                block.read(at, std::min(kBlock, last - at));
                PartEnds place{};
                for (std::size_t i = 0; i < block.count(); ++i) ++place[part_of(block.cell(i)) + 1];
                place[0] = begin;
                for (std::size_t k = 1; k <= parts; ++k) place[k] += place[k - 1];
                piece.ends[b - p * kPiece] = place;
                for (std::size_t i = 0; i < block.count(); ++i) {
                    const std::uint32_t to = place[part_of(block.cell(i))]++;
                    piece.cells[to] = block.cell(i);
                    piece.amounts[to] = block.amount(i);
                }
                begin += std::uint32_t(block.count());
            }
            counted += begin;
        });
        parallel_for(parts, threads, Control{}, 0, 1, [&](std::size_t part, const auto&) {
            for (std::size_t b = 0; b < blocks; ++b) {
                const auto& piece = pieces[b / kPiece];
                const auto& ends = piece.ends[b % kPiece];
                for (std::uint32_t i = ends[part]; i < ends[part + 1]; ++i) {
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
    constexpr std::size_t kFewEvents = 1 << 17;  // what threads cost more than they gain
    require(events < (std::size_t{1} << 31), "give less than 2^31 events at a time");
    require(cells < (std::size_t{1} << 31), "there must be less than 2^31 cells");
    require(selection == nullptr || selection->size() == events, "the selection is of another number of events");
    if (cells == 0) return 0;
    if (threads <= 1 || events < kFewEvents) return scatter_range(adder, find, selection, 0, events);
    if constexpr (std::is_same_v<Adder, Counts>) {
        if (cells * std::size_t(threads) <= events / 2) {
            return scatter_apart(adder, find, selection, events, cells, std::size_t(threads));
        }
    }
    return scatter_by_parts(adder, find, selection, events, threads);
}

}  // namespace chandra_bin::detail
