// Exact outlines of the bins of a binmap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace chandra_bin {

// Ragged polygons in flat arrays. A polygon is one part of a bin: its outer ring, then its holes.
struct Polygons {
    std::vector<double> points;                 // x, y, x, y, ...: array coordinates (pixel centres at whole numbers)
    std::vector<std::int64_t> ring_offsets;     // ring r has the points ring_offsets[r] .. ring_offsets[r + 1] - 1
    std::vector<std::int64_t> polygon_offsets;  // polygon p has the rings polygon_offsets[p] .. [p + 1] - 1
    std::vector<std::int32_t> labels;           // the bin of each polygon, not decreasing
};

// Traces all bins of `labels` (ny rows of nx, C order; negative: no bin) in one pass.
//
// A part is a set of pixels of one bin connected through sides, not corners. Vertices are pixel corners
// (half-integers); those on a straight line are dropped, and the first is not repeated. Outer rings run
// counter-clockwise (x to the right, y up), holes clockwise: the bin is always on the left. No ring crosses or touches
// itself; rings of one polygon may meet in single points, where two pixels of the part touch at a corner. Parts of a
// bin are in the order of their first pixel. Each ring begins at the lower left corner of its first pixel in that
// order.
//
// Cost: O(pixels + length of all outlines, + parts and rings x their logarithm for the order). Memory, counting the
// filled part of growing vectors (they may use twice that): 5 bytes a pixel; 12 for each run of equal pixels in a row
// that does not join the row before (all pixels at worst), until the parts are numbered; then 24 bytes a vertex (16 of
// them the result), and about 36 bytes a ring and a part. Throws std::invalid_argument if the image has 2^31 pixels or
// more (including a border of one pixel).
Polygons polygon_trace(const std::int32_t* labels, std::size_t ny, std::size_t nx);

}  // namespace chandra_bin
