// Spectra of all bins in one pass over the events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>

#include "chandra_bin/select_events.hpp"

namespace chandra_bin {

// Events to bins through a binmap (y_edges.size rows of x_edges.size): the label of the pixel that holds (x[i], y[i]).
struct BinmapLookup {
    Coordinates x, y;
    const std::int32_t* binmap;
    Edges x_edges, y_edges;
};

// The bin of each event, from 0; others are in none. A pointer: one label an event.
using EventBins = std::variant<const std::int32_t*, BinmapLookup>;

// Which channel: those from `first` on, `count` of them.
struct Channels {
    std::variant<const std::int16_t*, const std::int32_t*> of_event;
    std::int32_t first;
    std::size_t count;
};

// Spectra chip by chip: those of chips `numbers` (different ones). No numbers: one set of all events.
struct Chips {
    const std::int16_t* of_event = nullptr;
    std::span<const std::int16_t> numbers;
};

// Adds 1 to spectra[chip][bin][channel], a C-ordered array (1 or numbers.size(), bins, channels.count), for each event that
// passes the selection (null: all) and whose bin, channel and chip are among these. Returns how many were counted.
// Less than 2^31 events, and elements; the caller sees to it that sums stay below 2^31. Threads change nothing.
// Cost: O(events). Throws std::invalid_argument for chips that are there twice, and edges as event_histogram does.
std::size_t bin_spectra(std::size_t events, const EventBins& bins, std::size_t bin_count, const Channels& channels,
                        const Chips& chips, const Selection* selection, int threads, std::int32_t* spectra);

}  // namespace chandra_bin
