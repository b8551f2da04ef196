#include "chandra_bin/interpolate.hpp"

#include <algorithm>
#include <vector>

#include "grid.hpp"

namespace chandra_bin {

using namespace detail;

void interpolate(std::size_t ny, std::size_t nx, const double* image, const Places& places, std::size_t rows,
                 std::size_t columns, float* values) {
    const Grid grid = make_grid(ny, nx);
    const double last_y = grid.ny - 1;
    const double last_x = grid.nx - 1;
    for (std::size_t row = 0; row < rows; ++row) {
        const double begin_y = places.offset[0] + static_cast<double>(row) * places.matrix[0];
        const double begin_x = places.offset[1] + static_cast<double>(row) * places.matrix[2];
        float* const made = values + row * columns;
        for (std::size_t column = 0; column < columns; ++column) {
            const double y = begin_y + static_cast<double>(column) * places.matrix[1];
            const double x = begin_x + static_cast<double>(column) * places.matrix[3];
            if (!(y >= 0 && y <= last_y && x >= 0 && x <= last_x)) {  // also NaN
                made[column] = 0;
                continue;
            }
            const int above = static_cast<int>(y);
            const int left = static_cast<int>(x);
            const double up = 1 - (y - above);
            const double down = 1 - up;
            const double near = 1 - (x - left);
            const double far = 1 - near;
            const double* const first = image + grid.at(above, left);
            const std::size_t next = left + 1 < grid.nx ? 1 : 0;  // beyond the last pixel the weight is 0
            const double* const second = image + grid.at(std::min(above + 1, grid.ny - 1), left);
            double sum = first[0] * up * near;
            sum += first[next] * up * far;
            sum += second[0] * down * near;
            sum += second[next] * down * far;
            made[column] = static_cast<float>(sum);
        }
    }
}

void doubled(std::size_t ny, std::size_t nx, const float* image, float* values) {
    make_grid(ny, nx);
    constexpr float own = 0.75F;
    constexpr float other = 0.25F;
    std::vector<float> tall(nx);
    for (std::size_t row = 0; row < 2 * ny; ++row) {
        const std::size_t y = row / 2;
        const std::size_t beside = row % 2 == 0 ? (y == 0 ? 0 : y - 1) : std::min(y + 1, ny - 1);
        const float* const here = image + y * nx;
        const float* const there = image + beside * nx;
        for (std::size_t x = 0; x < nx; ++x) tall[x] = own * here[x] + other * there[x];
        float* const made = values + row * 2 * nx;
        made[0] = own * tall[0] + other * tall[0];
        for (std::size_t x = 0; x + 1 < nx; ++x) {
            made[2 * x + 1] = own * tall[x] + other * tall[x + 1];
            made[2 * x + 2] = own * tall[x + 1] + other * tall[x];
        }
        made[2 * nx - 1] = own * tall[nx - 1] + other * tall[nx - 1];
    }
}

}  // namespace chandra_bin
