// Covers the bins of a label image with rectangles, as contbin's region files do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace chandra_bin {

// Boxes of bin b are those with offsets[b] <= i < offsets[b + 1]: the pixels x[i] .. x[i] + w[i] - 1 of the rows
// y[i] .. y[i] + h[i] - 1. Those of one bin share no pixel and cover it exactly, in the order they are found.
struct Boxes {
    std::vector<std::int32_t> x, y, w, h;
    std::vector<std::int64_t> offsets;  // bins + 1
};

// `labels` is an image of ny rows of nx pixels; labels outside 0 .. bins - 1 are in no box.
//
// From a bin's first uncovered pixel (rows slow, x fast) a box grows right and up by one as long as the new column,
// the new row, or both with the corner between them are uncovered pixels of the bin; where both could grow but
// the corner is not the bin's, only x grows.
//
// Every pixel is visited once as a corner, and each box costs its area: O(pixels), one pass for all bins.
// Throws std::invalid_argument where bins < 0 or a side is longer than int32 holds.
Boxes cover_with_boxes(const std::int32_t* labels, std::size_t ny, std::size_t nx, std::int32_t bins);

}  // namespace chandra_bin
