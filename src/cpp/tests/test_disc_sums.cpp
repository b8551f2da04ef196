// Sums over discs, each way, compared with sums pixel by pixel: at every place of small images, by radii that
// reach over the edges and beyond.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "../src/block_sums.hpp"
#include "../src/disc_sums.hpp"
#include "../src/pair_sums.hpp"
#include "../src/real_area_sums.hpp"
#include "../src/ring_sums.hpp"
#include "../src/rings.hpp"

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
                LanesInRow::Lanes pixels;
                rows.disc(disc, y, x0, by_rows);
                areas.disc(disc, y, x0, by_areas);
                disc.clipped_areas(grid, y, x0, pixels.data());
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

// Real numbers of both signs, with a bright pixel whose rounding all sums share.
TEST_CASE("sums of real numbers by areas are within their error") {
    std::mt19937 random(5);
    std::normal_distribution<double> noise(0.2, 1);
    for (const auto& [ny, nx] : {std::pair{1, 1}, {1, 40}, {23, 1}, {37, 31}, {5, 70}}) {
        const Grid grid = make_grid(static_cast<std::size_t>(ny), static_cast<std::size_t>(nx));
        std::vector<double> image(grid.size());
        for (double& pixel : image) pixel = noise(random);
        image[grid.size() / 2] = 1e9;
        double total = 0;
        for (double pixel : image) total += std::abs(pixel);
        const auto pixel = [&](int y, int x) { return image[grid.at(y, x)]; };
        const RowSums<double> rows = rows_of(grid, image);
        const RealAreaSums areas(rows, total, 2, Control{}, pixel);
        double farthest = 0;
        for (int radius = 0; radius <= grid.max_radius() + 2; ++radius) {
            Disc disc;
            disc.set_radius(radius);
            for (int y = 0; y < ny; ++y) {
                for (int x = 0; x < nx; ++x) {
                    long double sum = 0;
                    for (int v = 0; v < ny; ++v) {
                        for (int u = 0; u < nx; ++u) {
                            if ((v - y) * (v - y) + (u - x) * (u - x) < (radius + 1) * (radius + 1)) sum += pixel(v, u);
                        }
                    }
                    const double off = std::abs(static_cast<double>(areas.disc_at(disc, y, x) - sum));
                    const double rounding = 1e-14 * static_cast<double>(std::abs(sum));
                    farthest = std::max(farthest, off / (areas.error(disc) + rounding));
                }
            }
        }
        CHECK(farthest < 1);
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
                LanesInRow::Lanes pixels;
                disc.clipped_areas(grid, y, x0, pixels.data());
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

template <class Shape>
void one_disc_around_blocks(const Disc& disc, const RowSums<std::uint32_t>& rows, const AreaSums<std::uint32_t>& areas,
                            const BlockAreaSums<std::uint32_t>& blocks) {
    const Grid& grid = rows.grid();
    for (int y = 0; y < grid.ny; y += Shape::rows) {
        for (int x0 = 0; x0 < grid.nx; x0 += Shape::columns) {
            std::uint32_t block[Shape::lanes];
            std::uint32_t by_columns[Shape::lanes];
            std::uint32_t plain[Shape::lanes];
            areas.disc<Shape>(disc, y, x0, block);
            blocks.disc<Shape>(disc, y, x0, by_columns);
            blocks.disc_plain<Shape>(disc, y, x0, plain);
            for (std::size_t lane = 0; lane < Shape::lanes; ++lane) {
                const auto [v, x] = Shape::pixel(y, x0, lane);
                if (v >= grid.ny || x >= grid.nx) continue;
                std::uint32_t sum[1];
                rows.disc_each<1>({{{&disc, v, x}}}, sum);
                if (block[lane] != sum[0]) CHECK(block[lane] == sum[0]);
                if (by_columns[lane] != sum[0]) CHECK(by_columns[lane] == sum[0]);
                if (plain[lane] != sum[0]) CHECK(plain[lane] == sum[0]);
            }
        }
    }
}

TEST_CASE("sums over discs around a block are those around its rows") {
    std::mt19937 random(2);
    for (const auto& [ny, nx] : {std::pair{1, 1}, {7, 40}, {23, 3}, {30, 50}, {61, 33}, {6, 130}, {200, 1}, {90, 9}}) {
        const Grid grid = make_grid(static_cast<std::size_t>(ny), static_cast<std::size_t>(nx));
        std::vector<std::uint32_t> image(grid.size());
        for (std::uint32_t& pixel : image) pixel = static_cast<std::uint32_t>(random());
        const RowSums<std::uint32_t> rows = rows_of(grid, image);
        const AreaSums<std::uint32_t> areas(rows_of(grid, image), 1, Control{}, 16);
        const BlockAreaSums<std::uint32_t> blocks(rows_of(grid, image), 2, Control{});
        for (int radius = 0; radius <= grid.max_radius() + 2; ++radius) {
            Disc disc;
            disc.set_radius(radius);
            one_disc_around_blocks<LanesInBlock>(disc, rows, areas, blocks);
            one_disc_around_blocks<LanesInSmallBlock>(disc, rows, areas, blocks);
        }
    }
}

// The terms of each sum must be added in the order of `disc`, or the last digits differ.
TEST_CASE("sums of doubles one by one are those of all lanes to the last digit") {
    std::mt19937 random(3);
    std::uniform_real_distribution<double> real(0, 1);
    const Grid grid = make_grid(45, 70);
    std::vector<double> image(grid.size());
    for (double& pixel : image) pixel = real(random);
    RowSums<double> rows(grid);
    for (int y = 0; y < grid.ny; ++y) {
        rows.fill_row<double>(y, [&](int x) { return image[grid.at(y, x)]; }, [](double sum) { return sum; });
    }
    std::uniform_int_distribution<int> any_radius(0, grid.max_radius());
    for (int y = 0; y < grid.ny; ++y) {
        for (int x0 = 0; x0 < grid.nx; x0 += kLanes) {
            const int v = grid.ny - 1 - y;  // of the second disc
            Disc discs[2];
            double lanes[2][kLanes];
            for (int k = 0; k < 2; ++k) {
                discs[k].set_radius(any_radius(random));
                rows.disc(discs[k], k == 0 ? y : v, x0, lanes[k]);
            }
            for (int x = x0; x + 1 < std::min(x0 + kLanes, grid.nx); ++x) {
                double sums[2];
                rows.disc_each<2>({{{&discs[0], y, x}, {&discs[1], v, x + 1}}}, sums);
                const bool same = sums[0] == lanes[0][x - x0] && sums[1] == lanes[1][x + 1 - x0];
                if (!same) CHECK(same);
            }
        }
    }
}

TEST_CASE("pairs of sums in 16 bits are completed") {
    std::mt19937 random(4);
    for (const auto& [ny, nx, largest, unit] :
         {std::tuple{30, 50, 40, 1.0}, {61, 33, 3000, 1.0}, {9, 200, 60000, 1.0}, {50, 50, 900, 0.25}}) {
        const Grid grid = make_grid(static_cast<std::size_t>(ny), static_cast<std::size_t>(nx));
        std::uniform_int_distribution<int> counts(0, largest);
        std::vector<double> first(grid.size()), second(grid.size());
        for (double& pixel : first) pixel = counts(random);
        for (double& pixel : second) pixel = unit == 1 ? counts(random) : 0.001 * counts(random);
        const auto at = [&](const std::vector<double>& image) {
            return [&](int y, int x) { return image[grid.at(y, x)]; };
        };
        const PairSums pairs(grid, 2, Control{}, unit, at(first), at(second));
        const FineSums fine(grid, 2, Control{}, unit, at(second));
        int found = 0;
        for (int radius = 0; radius <= grid.max_radius() + 2; radius += 1 + radius / 8) {
            Disc disc;
            disc.set_radius(radius);
            for (int y = 0; y < ny; y += LanesInBlock::rows) {
                for (int x0 = 0; x0 < nx; x0 += LanesInBlock::columns) {
                    BlockLanes sums[2] = {};
                    if (!pairs.disc(disc, y, x0, false, sums[0], sums[1])) continue;
                    ++found;
                    BlockLanes finer;
                    for (std::size_t lane = 0; lane < LanesInBlock::lanes; ++lane) finer[lane] = sums[1][lane] * unit;
                    CHECK(FineSums::completes(radius));
                    fine.disc(disc, y, x0, finer);
                    for (std::size_t lane = 0; lane < LanesInBlock::lanes; ++lane) {
                        const auto [v, x] = LanesInBlock::pixel(y, x0, lane);
                        if (v >= ny || x >= nx) continue;
                        double want[2] = {};
                        walk_rings(grid, v, x, radius, [&](int row, int column) {
                            want[0] += first[grid.at(row, column)];
                            want[1] += second[grid.at(row, column)];
                        });
                        const double error = unit == 1 ? 0 : PairSums::rounding(radius) * unit;
                        const bool right =
                            sums[0][lane] == want[0] && std::abs(sums[1][lane] * unit - want[1]) <= error;
                        if (!right) CHECK(right);
                        const double rounding = 1e-12 * want[1];
                        const bool fine_right = std::abs(finer[lane] - want[1]) <= fine.error(radius) + rounding;
                        if (!fine_right) CHECK(fine_right);
                    }
                }
            }
        }
        CHECK(found > 0);
    }
}

TEST_CASE("rings add to a disc what the next ones have") {
    using Shape = LanesInSmallBlock;
    std::mt19937 random(3);
    for (const auto& [ny, nx] : {std::pair{1, 1}, {7, 40}, {23, 3}, {20, 21}, {2, 60}}) {
        const Grid grid = make_grid(static_cast<std::size_t>(ny), static_cast<std::size_t>(nx));
        std::vector<std::uint32_t> image(grid.size());
        const auto largest = static_cast<std::uint32_t>(PixelPairs::kLargest);
        for (std::uint32_t& pixel : image) pixel = largest - static_cast<std::uint32_t>(random() % 3);
        const RowSums<std::uint32_t> rows = rows_of(grid, image);
        const AreaSums<std::uint32_t> areas(rows_of(grid, image), 1, Control{}, 16);
        const PixelPairs pairs(grid, 2, Control{}, 0.5, [&](int y, int x) { return 0.5 * image[grid.at(y, x)]; });
        const Rings rings(grid.max_radius() / 2);  // larger ones are made when they are needed
        for (int y = 0; y < ny; y += Shape::rows) {
            for (int x0 = 0; x0 < nx; x0 += Shape::columns) {
                Shape::Lanes by_rows{};
                Shape::Lanes by_pairs{};
                std::int64_t last = -1;
                const auto compare = [&](std::int64_t square, std::span<const RingOffset> offsets, int radius) {
                    if (square <= last || square < radius * radius) CHECK(square > last);
                    last = square;
                    add_ring<Shape>(rows, offsets, radius, y, x0, by_rows);
                    pairs.add_ring<Shape>(offsets, radius, y, x0, by_pairs);
                    Disc disc;
                    disc.set_limit(square);
                    for (std::size_t lane = 0; lane < Shape::lanes; ++lane) {
                        const auto [v, x] = Shape::pixel(y, x0, lane);
                        if (v >= grid.ny || x >= grid.nx) continue;
                        const double sum = rows.disc_at(disc, v, x);
                        std::uint32_t alone;
                        areas.disc<SinglePixel>(disc, v, x, &alone);
                        if (by_rows[lane] != sum) CHECK(by_rows[lane] == sum);
                        if (by_pairs[lane] != 0.5 * sum) CHECK(by_pairs[lane] == 0.5 * sum);
                        if (alone != sum) CHECK(alone == sum);
                    }
                };
                for (int radius = 0; radius <= grid.max_radius() + 1; ++radius) {
                    rings.with(radius, [&](const Ring& ring) {
                        ring.for_squares([&](std::int64_t square, std::span<const RingOffset> offsets) {
                            compare(square, offsets, radius);
                            return true;
                        });
                    });
                    CHECK(last < (radius + 1) * (radius + 1));
                }
            }
        }
    }
}
