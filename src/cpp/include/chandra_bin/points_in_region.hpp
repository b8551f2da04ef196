// Which events lie in shapes, and in which of several regions.
//
// The shapes, their components and their edge rule are those of rasterize.hpp: an event at the centre of a pixel is inside
// where rasterize_shapes sets this pixel. Events that are not finite are in no region, nor in a complement.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "chandra_bin/rasterize.hpp"
#include "chandra_bin/select_events.hpp"

namespace chandra_bin {

// Sets inside[i] to 1 where (x[i], y[i]) is in the region, else to 0. Returns how many are.
// Cost: a grid over the shapes knows for each of its cells the components that cover it in part; O(events x these), for
// polygons with the edges that cross the event's height. Below 30 bytes a vertex and 10 MB for the grid.
// Throws std::invalid_argument as rasterize_shapes does.
std::size_t points_in_region(const Shapes& shapes, std::size_t events, const Coordinates& x, const Coordinates& y,
                             int threads, std::uint8_t* inside);

// Region g has the components group_offsets[g] .. group_offsets[g + 1] - 1. Sets labels[i] to the first region that
// holds the event, -1 where none does. Returns how many are in one.
std::size_t region_labels(const Shapes& shapes, std::span<const std::int64_t> group_offsets, std::size_t events,
                          const Coordinates& x, const Coordinates& y, int threads, std::int32_t* labels);

}  // namespace chandra_bin
