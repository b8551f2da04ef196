// Spectra of all bins in one pass over the events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>

#include "chandra_bin/select_events.hpp"

namespace chandra_bin {

// The bins of events through a binmap (y_edges.size rows of x_edges.size): the bin number of the pixel that contains
// (x[i], y[i]).
struct BinmapLookup {
    Coordinates x, y;
    const std::int32_t* binmap;
    Edges x_edges, y_edges;
};

// The bin of each event, from 0; negative or too large numbers mean no bin. A pointer has one bin number per event.
using EventBins = std::variant<const std::int32_t*, BinmapLookup>;

// The channels to count: `count` channels from `first`.
struct Channels {
    std::variant<const std::int16_t*, const std::int32_t*> of_event;
    std::int32_t first;
    std::size_t count;
};

// The chips to separate, `numbers` (all different). Without numbers, there is one set of spectra for all events.
struct Chips {
    const std::int16_t* of_event = nullptr;
    std::span<const std::int16_t> numbers;
};

// Adds 1 to spectra[chip][bin][channel], a C-ordered array (1 or numbers.size(), bins, channels.count), for each event
// that passes the selection (null: all) and has a valid bin, channel and chip. Returns how many were counted.
//
// There must be fewer than 2^31 events and elements, and the caller must ensure that sums stay below 2^31. The result
// does not depend on threads. Cost: O(events). Throws std::invalid_argument for duplicate chips, and for edges as
// event_histogram does.
std::size_t bin_spectra(std::size_t events, const EventBins& bins, std::size_t bin_count, const Channels& channels,
                        const Chips& chips, const Selection* selection, int threads, std::int32_t* spectra);

}  // namespace chandra_bin
