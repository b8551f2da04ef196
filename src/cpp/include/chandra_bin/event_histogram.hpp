// Events to images of counts, or of weights.
#pragma once

#include <cstddef>
#include <cstdint>

#include "chandra_bin/select_events.hpp"

namespace chandra_bin {

// Adds 1 to the pixel of `image` (y_edges.size rows of x_edges.size) that holds (x[i], y[i]), for each of `events` events
// that passes the selection (null: all); others, and those outside or not finite, are left out. Returns how many were
// counted. Pixels are half-open, with their edges as computed: the same as binary searches among them would give.
// Less than 2^31 events, and pixels; the caller sees to it that sums stay below 2^31. Threads change nothing.
// Cost: O(events); with threads 16 MB (48 MB with weights) for their exchange, or an image of each thread where these are small.
std::size_t event_histogram(std::size_t events, const Coordinates& x, const Coordinates& y, const Edges& x_edges,
                            const Edges& y_edges, const Selection* selection, int threads, std::int32_t* image);

// Adds weights[i] instead, in the order of events, whatever the number of threads.
std::size_t event_histogram(std::size_t events, const Coordinates& x, const Coordinates& y, const Coordinates& weights,
                            const Edges& x_edges, const Edges& y_edges, const Selection* selection, int threads,
                            double* image);

}  // namespace chandra_bin
