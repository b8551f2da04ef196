// Sums of real numbers over discs around single pixels, by areas. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "chandra_bin/control.hpp"
#include "chandra_bin/parallel.hpp"
#include "disc_sums.hpp"

namespace chandra_bin::detail {

// As AreaSums, in float64: 2.3 r reads for a disc of radius r, where sums along rows alone need 4 r. A sum is the
// difference of sums over large parts of the image, so that discs much fainter than the image are less exact.
class RealAreaSums {
public:
    // pixel(y, x) gives the values that `rows` are sums of; `total` is the sum of their absolute values.
    template <class Pixel>
    RealAreaSums(const RowSums<double>& rows, double total, int threads, const Control& control, const Pixel& pixel)
        : rows_(rows), columns_(rows.grid(), rows.grid().ny + 1), areas_(rows.grid(), rows.grid().ny + 1),
          area_error_(16 * total * std::numeric_limits<double>::epsilon()) {
        const Grid& grid = rows.grid();
        const int pieces = (grid.nx - 1) / kPiece + 1;
        std::vector<double> largest(static_cast<std::size_t>(pieces));
        parallel_for(largest.size(), threads, control, 0, 0, [&](std::size_t i, const auto& check) {
            const int first = static_cast<int>(i) * kPiece;
            largest[i] = fill_columns(first, std::min(first + kPiece, grid.nx), pixel, check);
        });
        column_error_ = 2 * *std::max_element(largest.begin(), largest.end()) * std::numeric_limits<double>::epsilon();
        parallel_for(static_cast<std::size_t>(grid.ny) + 1, threads, control, 0, 0,
                     [&](std::size_t v, const auto&) { fill_areas(static_cast<int>(v)); });
    }

    // The sum over the disc around the pixel (y, x).
    double disc_at(const Disc& disc, int y, int x) const {
        const int ny = rows_.grid().ny;
        const int nx = rows_.grid().nx;
        const int r = disc.rows();
        const bool inside = y >= r && x >= r && y + r < ny && x + r < nx;
        if (!inside && disc.mostly_beyond(rows_.grid(), y)) return rows_.disc_at(disc, y, x);
        return inside ? add<true>(disc, y, x) : add<false>(disc, y, x);
    }

    // How far a sum may be from the true one, without the rounding of its own additions.
    double error(const Disc& disc) const { return area_error_ + 2.0 * disc.rows() * column_error_; }

private:
    static constexpr int kPiece = 256;

    // The additions of the four caps do not wait for each other. What lies beyond the image is zero.
    template <bool inside>
    double add(const Disc& disc, int y, int x) const {
        const int ny = rows_.grid().ny;
        const int nx = rows_.grid().nx;
        const auto left = [&](int w) { return inside ? x - w : std::max(x - w, 0); };
        const auto right = [&](int w) { return inside ? x + w + 1 : std::min(x + w + 1, nx); };
        const auto top = [&](int w) { return inside ? y - w : std::max(y - w, 0); };
        const auto bottom = [&](int w) { return inside ? y + w + 1 : std::min(y + w + 1, ny); };
        const int s = disc.square();
        const double* const before = areas_.row(top(s));
        const double* const after = areas_.row(bottom(s));
        double above = 0, below = 0, west = 0, east = 0;
        for (int d = s + 1; d <= disc.rows(); ++d) {
            const int w = disc.widths()[d];
            const int from = left(w);
            const int to = right(w);
            const double* const upper = columns_.row(top(w));
            const double* const lower = columns_.row(bottom(w));
            if (inside || y >= d) above += rows_.row(y - d)[to] - rows_.row(y - d)[from];
            if (inside || y + d < ny) below += rows_.row(y + d)[to] - rows_.row(y + d)[from];
            if (inside || x >= d) west += lower[x - d] - upper[x - d];
            if (inside || x + d < nx) east += lower[x + d] - upper[x + d];
        }
        return (after[right(s)] - after[left(s)]) - (before[right(s)] - before[left(s)]) + (above + below)
               + (west + east);
    }

    // Returns the largest sum of absolute values of a column. Sums are compensated (Kahan 1965).
    template <class Pixel, class Check>
    double fill_columns(int first, int last, const Pixel& pixel, const Check& check) {
        std::vector<double> lost(static_cast<std::size_t>(last - first), 0.0);
        std::vector<double> absolute(lost.size(), 0.0);
        std::fill(columns_.row(0) + first, columns_.row(0) + last, 0.0);
        for (int y = 0; y < rows_.grid().ny; ++y) {
            if (y % kPollRows == 0) check();
            const double* const column = columns_.row(y) + first;
            double* const next = columns_.row(y + 1) + first;
            for (std::size_t i = 0; i < lost.size(); ++i) {
                const double value = pixel(y, first + static_cast<int>(i));
                const double term = value - lost[i];
                next[i] = column[i] + term;
                lost[i] = (next[i] - column[i]) - term;
                absolute[i] += std::abs(value);
            }
        }
        return *std::max_element(absolute.begin(), absolute.end());
    }

    void fill_areas(int v) {
        const double* const column = columns_.row(v);
        double* const area = areas_.row(v);
        double total = 0;
        double lost = 0;
        area[0] = 0;
        for (int x = 0; x < rows_.grid().nx; ++x) {
            const double term = column[x] - lost;
            const double next = total + term;
            lost = (next - total) - term;
            total = next;
            area[x + 1] = total;
        }
    }

    static constexpr int kPollRows = 1 << 8;

    const RowSums<double>& rows_;
    // Row v has the sums of the first v rows: of the column x, and of the columns before x.
    LaneRows<double> columns_;
    LaneRows<double> areas_;
    double area_error_;
    double column_error_ = 0;
};

}  // namespace chandra_bin::detail
