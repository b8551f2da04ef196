// The events inside regions, and the first of several regions that contains each event.
//
// The shapes, their components and their edge rule are those of rasterize.hpp: an event at the centre of a pixel is
// inside if rasterize_shapes sets this pixel. Events with NaN or infinite coordinates are in no region, and in no
// complement.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "chandra_bin/rasterize.hpp"
#include "chandra_bin/select_events.hpp"

namespace chandra_bin {

// Sets inside[i] to 1 if (x[i], y[i]) is in the region, else to 0. Returns how many are inside. Cost: each cell of a
// grid over the shapes stores the components that partly cover it; O(events x these components), for polygons with the
// edges that cross the event's height. The grid takes less than 30 bytes a vertex plus 10 MB. Throws
// std::invalid_argument as rasterize_shapes does.
std::size_t points_in_region(const Shapes& shapes, std::size_t events, const Coordinates& x, const Coordinates& y,
                             int threads, std::uint8_t* inside);

// Region g has the components group_offsets[g] .. group_offsets[g + 1] - 1. Sets labels[i] to the first region that
// contains the event, -1 for none. Returns how many are in a region.
std::size_t region_labels(const Shapes& shapes, std::span<const std::int64_t> group_offsets, std::size_t events,
                          const Coordinates& x, const Coordinates& y, int threads, std::int32_t* labels);

}  // namespace chandra_bin
