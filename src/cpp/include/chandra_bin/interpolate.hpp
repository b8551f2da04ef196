// Linear interpolation of images between the centres of their pixels.
#pragma once

#include <cstddef>

namespace chandra_bin {

// The place (y, x) in an image of pixel (row, column) of another: y = offset[0] + row matrix[0] + column matrix[1],
// x = offset[1] + row matrix[2] + column matrix[3]. The centre of the first pixel is at 0.
struct Places {
    double matrix[4];
    double offset[2];
};

// Values (rows, columns) of an image (ny, nx) at places, from the four pixels around each; 0 beyond the centres of the
// outermost pixels. Terms are multiplied and added in the order of scipy.ndimage.affine_transform (order 1), so that all
// bits are equal. O(rows columns). Throws std::invalid_argument for an image without pixels.
void interpolate(std::size_t ny, std::size_t nx, const double* image, const Places& places, std::size_t rows,
                 std::size_t columns, float* values);

// Values of an image (ny, nx) on pixels of half the size, (2 ny, 2 nx): 3/4 of the own pixel and 1/4 of the next one,
// along y, then along x. The outermost pixels are continued outwards. O(pixels); scratch of a row. Throws
// std::invalid_argument for an image without pixels.
void doubled(std::size_t ny, std::size_t nx, const float* image, float* values);

}  // namespace chandra_bin
