// Discs of pixels: their rows, areas and the order of their pixels. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "grid.hpp"

namespace chandra_bin::detail {

constexpr int kLanes = 16;         // neighbouring pixels of a row that are evaluated together
constexpr int kMadeRadius = 1024;  // discs up to this radius are made once

// How lanes lie in the image. Sixteen of a row need least besides their sums; a block shares the cache lines that it reads, and
// its radii differ no more. Blocks of eight by eight pixels are fastest where sums over discs take the time, blocks of four by
// four where each pixel needs more.
template <int rows_of_lanes, int columns_of_lanes>
struct LaneShape {
    static constexpr int rows = rows_of_lanes;
    static constexpr int columns = columns_of_lanes;
    static constexpr int lanes = rows * columns;
    using Lanes = std::array<double, lanes>;
    using Radii = std::array<int, lanes>;
    using Mask = std::conditional_t<(lanes > 32), std::uint64_t, std::uint32_t>;  // a bit for each lane

    struct Place {
        int y, x;
    };
    static Place pixel(int y, int x0, std::size_t lane) {
        return {y + static_cast<int>(lane) / columns, x0 + static_cast<int>(lane) % columns};
    }
};
using LanesInRow = LaneShape<1, kLanes>;
using LanesInBlock = LaneShape<8, 8>;
using LanesInSmallBlock = LaneShape<4, 4>;
using BlockLanes = LanesInBlock::Lanes;

// The least and the largest of lanes, eight comparisons at a time: one would wait for the last.
template <std::size_t lanes, class Better>
double best_lane(const std::array<double, lanes>& values, const Better& better) {
    constexpr std::size_t together = 8;
    static_assert(lanes % together == 0);
    std::array<double, together> best;
    std::copy_n(values.begin(), together, best.begin());
    for (std::size_t i = together; i < lanes; i += together) {
        for (std::size_t k = 0; k < together; ++k) best[k] = better(best[k], values[i + k]);
    }
    for (std::size_t k = 1; k < together; ++k) best[0] = better(best[0], best[k]);
    return best[0];
}
template <std::size_t lanes>
double least_lane(const std::array<double, lanes>& values) {
    return best_lane(values, [](double a, double b) { return std::min(a, b); });
}
template <std::size_t lanes>
double largest_lane(const std::array<double, lanes>& values) {
    return best_lane(values, [](double a, double b) { return std::max(a, b); });
}

struct SinglePixel {
    static constexpr int rows = 1;
    static constexpr int columns = 1;
};

template <class Mask, class Visit>  // visit(lane)
void for_lanes(Mask mask, const Visit& visit) {
    for (; mask != 0; mask &= mask - 1) visit(static_cast<std::size_t>(std::countr_zero(mask)));
}

// Calls visit(radius, lanes) for each of the radii of `lanes`.
template <class Mask, class Radii, class Visit>
void for_radii(Mask lanes, const Radii& radii, const Visit& visit) {
    while (lanes != 0) {
        const int radius = radii[static_cast<std::size_t>(std::countr_zero(lanes))];
        Mask same = 0;
        for_lanes(lanes, [&](std::size_t lane) {
            if (radii[lane] == radius) same |= Mask{1} << lane;
        });
        lanes &= ~same;
        visit(radius, same);
    }
}

// The half-widths of the rows of a disc: row dy holds |dx| <= width(|dy|). Integer radius r: dx^2 + dy^2 < (r + 1)^2.
class Disc {
public:
    void set_radius(int radius) {
        if (radius == radius_) return;
        set_limit(std::int64_t{radius} * (radius + 2));
        radius_ = radius;
    }

    // The disc dx^2 + dy^2 <= limit.
    void set_limit(std::int64_t limit) {
        radius_ = -1;
        std::int64_t area = 0;
        std::int64_t w = static_cast<std::int64_t>(std::sqrt(static_cast<double>(limit)));
        rows_ = static_cast<int>(w);
        widths_.resize(static_cast<std::size_t>(w) + 1);
        for (std::int64_t dy = 0; dy <= rows_; ++dy) {
            while (w * w + dy * dy > limit) --w;
            widths_[static_cast<std::size_t>(dy)] = static_cast<int>(w);
            area += (dy == 0 ? 1 : 2) * (2 * w + 1);
        }
        area_ = static_cast<double>(area);
        beyond_.resize(widths_.size());
        std::int64_t beyond = 0;
        for (std::size_t d = widths_.size(); d-- > 0;) {
            beyond_[d] = static_cast<double>(beyond);
            beyond += 2 * std::int64_t{widths_[d]} + 1;
        }
        square_ = static_cast<int>(std::sqrt(static_cast<double>(limit) / 2));
        while (width(square_) < square_) --square_;
        while (square_ < rows_ && width(square_ + 1) > square_) ++square_;
    }

    int rows() const { return rows_; }
    int square() const { return square_; }  // half the side of the largest square within, less half a pixel
    double area() const { return area_; }
    const int* widths() const { return widths_.data(); }  // of the rows 0 .. rows()
    int width(int dy) const { return widths_[static_cast<std::size_t>(dy < 0 ? -dy : dy)]; }

    // Pixels of the discs around the pixels (y, x0) .. (y, x0 + lanes - 1) that lie in the image.
    template <int lanes = kLanes>
    void clipped_areas(const Grid& grid, int y, int x0, double* out) const {
        const int above = y;
        const int below = grid.ny - 1 - y;
        const double inside = area_ - beyond(above) - beyond(below);
        if (x0 >= rows_ && x0 + lanes - 1 + rows_ < grid.nx) {
            std::fill(out, out + lanes, inside);
            return;
        }
        if (mostly_beyond(grid, y)) return count_rows<lanes>(grid, y, x0, out);
        for (int lane = 0; lane < lanes; ++lane) {
            const int x = x0 + lane;
            out[lane] = inside - beyond(x) - beyond(std::max(grid.nx - 1 - x, 0));
        }
        // What lies beyond two sides was taken off twice.
        std::int64_t corners[lanes] = {};
        for (const int side : {above, below}) {
            for (int d = side + 1; d <= rows_; ++d) {
                const int w = width(d);
                if (w <= x0 && w <= grid.nx - x0 - lanes) break;
                for (int lane = 0; lane < lanes; ++lane) {
                    corners[lane] += std::max(w - x0 - lane, 0) + std::max(w - (grid.nx - 1 - x0 - lane), 0);
                }
            }
        }
        for (int lane = 0; lane < lanes; ++lane) out[lane] += static_cast<double>(corners[lane]);
    }

    // Whether more rows of a disc around row y lie beyond the image than in it.
    bool mostly_beyond(const Grid& grid, int y) const {
        return std::min(rows_, y) + std::min(rows_, grid.ny - 1 - y) < rows_;
    }

private:
    template <int lanes>
    void count_rows(const Grid& grid, int y, int x0, double* out) const {
        std::int64_t area[lanes] = {};
        for (int dy = std::max(-rows_, -y); dy <= std::min(rows_, grid.ny - 1 - y); ++dy) {
            const int w = width(dy);
            for (int lane = 0; lane < lanes; ++lane) {
                area[lane] += std::min(x0 + lane + w, grid.nx - 1) - std::max(x0 + lane - w, 0) + 1;
            }
        }
        std::copy(area, area + lanes, out);
    }

    // Pixels of the disc that lie farther than `distance` to one side.
    double beyond(int distance) const { return distance >= rows_ ? 0 : beyond_[static_cast<std::size_t>(distance)]; }

    int radius_ = -1;
    int rows_ = -1;
    int square_ = -1;
    double area_ = 0;
    std::vector<int> widths_;
    std::vector<double> beyond_;
};

// The discs of the integer radii, made once and shared by the threads while they are small.
class Discs {
public:
    explicit Discs(int max_radius) : made_(static_cast<std::size_t>(std::min(max_radius, kMadeRadius)) + 1) {
        for (std::size_t r = 0; r < made_.size(); ++r) made_[r].set_radius(static_cast<int>(r));
    }

    const Disc& at(int radius, Disc& scratch) const {
        if (static_cast<std::size_t>(radius) < made_.size()) return made_[static_cast<std::size_t>(radius)];
        scratch.set_radius(radius);
        return scratch;
    }

private:
    std::vector<Disc> made_;
};

// Calls visit(y, x) for the pixels of the disc of an integer radius in the order in which contbin adds them: ring
// after ring, in a ring row after row, both ascending.
template <class Visit>
void walk_rings(const Grid& grid, int y0, int x0, int radius, const Visit& visit) {
    Disc inner, outer;
    for (int ring = 0; ring <= radius; ++ring) {
        outer.set_radius(ring);
        for (int dy = std::max(-ring, -y0); dy <= std::min(ring, grid.ny - 1 - y0); ++dy) {
            const int w = outer.width(dy);
            const int hole = ring > 0 && std::abs(dy) < ring ? inner.width(dy) : -1;
            const auto span = [&](int from, int to) {
                for (int x = std::max(x0 + from, 0); x <= std::min(x0 + to, grid.nx - 1); ++x) visit(y0 + dy, x);
            };
            if (hole < 0) {
                span(-w, w);
            } else {
                span(-w, -hole - 1);
                span(hole + 1, w);
            }
        }
        std::swap(inner, outer);
    }
}

}  // namespace chandra_bin::detail
