#include "chandra_bin/nearest_values.hpp"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "chandra_bin/parallel.hpp"
#include "grid.hpp"
#include "large.hpp"

namespace chandra_bin {
namespace {

using namespace detail;

constexpr std::int32_t kNone = -1;
// Rows and columns that a thread takes at once.
constexpr int kColumns = 4096;
constexpr int kRows = 32;

// For the columns from `first` to `last`, the row of the nearest known pixel of each pixel's own column; kNone in columns
// without known pixels.
void nearest_rows(const Grid& grid, const std::uint8_t* known, int first, int last, std::int32_t* rows) {
    std::vector<std::int32_t> other(static_cast<std::size_t>(last - first), kNone);
    for (int y = grid.ny - 1; y >= 0; --y) {  // the known pixel at or below (of greater y)
        for (int x = first; x < last; ++x) {
            const std::size_t i = grid.at(y, x);
            std::int32_t& below = other[static_cast<std::size_t>(x - first)];
            below = known[i] != 0 ? y : below;
            rows[i] = below;
        }
    }
    std::fill(other.begin(), other.end(), kNone);
    for (int y = 0; y < grid.ny; ++y) {
        for (int x = first; x < last; ++x) {
            const std::size_t i = grid.at(y, x);
            std::int32_t& above = other[static_cast<std::size_t>(x - first)];
            above = known[i] != 0 ? y : above;
            const bool nearer = above != kNone && (rows[i] == kNone || y - above <= rows[i] - y);
            rows[i] = nearer ? above : rows[i];
        }
    }
}

// A column whose nearest known pixel may be the nearest one of some pixels of a row.
struct Candidate {
    int x;
    double square;  // of the distance in y
};

// The candidates of a row, from left to right. All numbers are whole, and exact below 2^53.
void find_candidates(const Grid& grid, int y, const std::int32_t* rows, std::vector<Candidate>& found) {
    found.clear();
    for (int x = 0; x < grid.nx; ++x) {
        const std::int32_t row = rows[grid.at(y, x)];
        if (row == kNone) continue;
        const double dy = row - y;
        const Candidate next{x, dy * dy};
        while (found.size() >= 2) {
            const Candidate& middle = found.back();
            const Candidate& left = found[found.size() - 2];
            const double a = middle.x - left.x;
            const double b = x - middle.x;
            const double c = a + b;
            if (c * middle.square - b * left.square - a * next.square - a * b * c <= 0) break;
            found.pop_back();  // one of its neighbours is nearer everywhere in the row
        }
        found.push_back(next);
    }
}

void fill_row(const Grid& grid, int y, const std::uint8_t* known, const std::int32_t* rows,
              const std::vector<Candidate>& candidates, double* values) {
    const auto distance = [](const Candidate& each, int x) {
        const double dx = each.x - x;
        return dx * dx + each.square;
    };
    std::size_t at = 0;
    for (int x = 0; x < grid.nx; ++x) {
        double nearest = distance(candidates[at], x);
        for (; at + 1 < candidates.size(); ++at) {
            const double next = distance(candidates[at + 1], x);
            if (nearest <= next) break;
            nearest = next;
        }
        const std::size_t i = grid.at(y, x);
        if (known[i] != 0) continue;
        const int column = candidates[at].x;
        values[i] = values[grid.at(rows[grid.at(y, column)], column)];
    }
}

}  // namespace

void nearest_values(std::size_t ny, std::size_t nx, const std::uint8_t* known, int threads, const Control& control,
                    double* values) {
    const Grid grid = make_grid(ny, nx);
    if (std::all_of(known, known + grid.size(), [](std::uint8_t each) { return each == 0; })) {
        throw std::invalid_argument("no pixel has a value");
    }
    LargeVector<std::int32_t> rows(grid.size());
    const auto pieces = [](int size, int part) { return static_cast<std::size_t>((size - 1) / part + 1); };
    parallel_for(pieces(grid.nx, kColumns), threads, control, 0.0, 0.3, [&](std::size_t piece, const auto&) {
        const int first = static_cast<int>(piece) * kColumns;
        nearest_rows(grid, known, first, std::min(first + kColumns, grid.nx), rows.data());
    });
    parallel_for(pieces(grid.ny, kRows), threads, control, 0.3, 1.0, [&](std::size_t piece, const auto&) {
        std::vector<Candidate> candidates;
        candidates.reserve(nx);
        const int first = static_cast<int>(piece) * kRows;
        for (int y = first; y < std::min(first + kRows, grid.ny); ++y) {
            find_candidates(grid, y, rows.data(), candidates);
            fill_row(grid, y, known, rows.data(), candidates, values);
        }
    });
}

}  // namespace chandra_bin
