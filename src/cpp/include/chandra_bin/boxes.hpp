// Rectangles that cover the bins of a binmap, as in contbin's region files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace chandra_bin {

// Bin b has the boxes offsets[b] <= i < offsets[b + 1]: the pixels x[i] .. x[i] + w[i] - 1 of the rows y[i] .. y[i] +
// h[i] - 1. The boxes of a bin cover it exactly without overlap, in the order they are found.
struct Boxes {
    std::vector<std::int32_t> x, y, w, h;
    std::vector<std::int64_t> offsets;  // bins + 1
};

// `labels` is an image of ny rows of nx pixels; numbers outside 0 .. bins - 1 are in no box.
//
// From a bin's first uncovered pixel (rows slow, x fast) a box grows right and up by one as long as the new column, the
// new row, or both with the corner between them are uncovered pixels of the bin. If both could grow but the corner is
// not part of the bin, only x grows.
//
// Every pixel is visited once as a corner, and each box costs its area: O(pixels), in one pass for all bins. Throws
// std::invalid_argument if bins < 0 or a side exceeds int32.
Boxes cover_with_boxes(const std::int32_t* labels, std::size_t ny, std::size_t nx, std::int32_t bins);

}  // namespace chandra_bin
