// Sums over discs, each way, beside those that are added up pixel by pixel: at every place of small images, by radii that
// reach over the edges and beyond.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "../src/disc_sums.hpp"

using namespace chandra_bin;
using namespace chandra_bin::detail;

namespace {

template <class T>
RowSums<T> rows_of(const Grid& grid, const std::vector<T>& image) {
    RowSums<T> rows(grid);
    for (int y = 0; y < grid.ny; ++y) {
        rows.template fill_row<T>(y, [&](int x) { return image[grid.at(y, x)]; }, [](T sum) { return sum; });
    }
    return rows;
}

template <class T>
void one_grid(const Grid& grid, std::mt19937& random) {
    std::vector<T> image(grid.size());
    for (T& pixel : image) pixel = static_cast<T>(random());  // sums wrap around
    const RowSums<T> rows = rows_of(grid, image);
    const AreaSums<T> areas(rows_of(grid, image), 2, Control{}, 16);
    for (int radius = 0; radius <= grid.max_radius() + 2; ++radius) {
        Disc disc;
        disc.set_radius(radius);
        for (int y = 0; y < grid.ny; ++y) {
            for (int x0 = 0; x0 < grid.nx; x0 += kLanes) {
                T by_rows[kLanes];
                T by_areas[kLanes];
                Lanes pixels;
                rows.disc(disc, y, x0, by_rows);
                areas.disc(disc, y, x0, by_areas);
                disc.clipped_areas(grid, y, x0, pixels);
                for (int x = x0; x < std::min(x0 + kLanes, grid.nx); ++x) {
                    T sum{0};
                    int count = 0;
                    for (int v = 0; v < grid.ny; ++v) {
                        for (int u = 0; u < grid.nx; ++u) {
                            if ((v - y) * (v - y) + (u - x) * (u - x) >= (radius + 1) * (radius + 1)) continue;
                            sum = static_cast<T>(sum + image[grid.at(v, u)]);
                            ++count;
                        }
                    }
                    const auto lane = static_cast<std::size_t>(x - x0);
                    // A CHECK for each of these millions of sums would take most of the time.
                    if (by_rows[lane] == sum && by_areas[lane] == sum && pixels[lane] == count) continue;
                    CAPTURE(radius);
                    CAPTURE(y);
                    CAPTURE(x);
                    CHECK(by_rows[lane] == sum);
                    CHECK(by_areas[lane] == sum);
                    CHECK(pixels[lane] == count);
                }
            }
        }
    }
}

// Discs that are far larger than an image of a row or two: pixels within are the image, or what is near enough.
TEST_CASE("discs that are much larger than a thin image") {
    for (const auto& [ny, nx] : {std::pair{1, 40000}, {2, 65536}, {65536, 2}}) {
        const Grid grid = make_grid(static_cast<std::size_t>(ny), static_cast<std::size_t>(nx));
        for (int radius : {100, 37000, grid.max_radius()}) {
            Disc disc;
            disc.set_radius(radius);
            const int reach = radius;  // all rows, or all columns, of so thin an image are as wide as the disc
            for (int at : {0, 16, 20000, 39984}) {
                const int y = ny > nx ? at : 0;
                const int x0 = ny > nx ? 0 : at;
                Lanes pixels;
                disc.clipped_areas(grid, y, x0, pixels);
                const int length = std::max(ny, nx);
                const double within =
                    static_cast<double>(std::min(at + reach, length - 1) - std::max(at - reach, 0) + 1)
                    * std::min(ny, nx);
                CHECK(pixels[0] == within);
            }
        }
    }
}

}  // namespace

TEST_CASE("sums over discs are those that are added up pixel by pixel") {
    std::mt19937 random(1);
    for (const auto& [ny, nx] : {std::pair{1, 1}, {1, 40}, {23, 1}, {17, 15}, {9, 16}, {12, 17}, {30, 50}, {2, 60}}) {
        const Grid grid = make_grid(static_cast<std::size_t>(ny), static_cast<std::size_t>(nx));
        one_grid<std::uint16_t>(grid, random);
        one_grid<std::uint32_t>(grid, random);
    }
}
