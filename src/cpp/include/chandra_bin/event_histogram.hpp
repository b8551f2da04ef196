// Images of event counts or weights.
#pragma once

#include <cstddef>
#include <cstdint>

#include "chandra_bin/select_events.hpp"

namespace chandra_bin {

// Adds 1 to the pixel of `image` (y_edges.size rows of x_edges.size) that contains (x[i], y[i]), for each of `events`
// events that passes the selection (null: all). Events outside, NaN and infinite coordinates are ignored. Returns how
// many were counted. Pixels are half-open, with edges as computed: the result equals that of binary searches among the
// edges.
//
// There must be fewer than 2^31 events and pixels, and the caller must ensure that sums stay below 2^31. The result
// does not depend on threads. Cost: O(events); with threads 16 MB (48 MB with weights) for their exchange, or an image
// per thread if images are small.
std::size_t event_histogram(std::size_t events, const Coordinates& x, const Coordinates& y, const Edges& x_edges,
                            const Edges& y_edges, const Selection* selection, int threads, std::int32_t* image);

// Adds weights[i] instead, in the order of events for any number of threads.
std::size_t event_histogram(std::size_t events, const Coordinates& x, const Coordinates& y, const Coordinates& weights,
                            const Edges& x_edges, const Edges& y_edges, const Selection* selection, int threads,
                            double* image);

}  // namespace chandra_bin
