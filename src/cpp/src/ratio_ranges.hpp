// The least and the largest ratio of exposures near a pixel, for bounds. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include "disc.hpp"
#include "grid.hpp"

namespace chandra_bin::detail {

struct Range {
    double least = std::numeric_limits<double>::infinity();
    double largest = 0;

    void include(const Range& other) {
        least = std::min(least, other.least);
        largest = std::max(largest, other.largest);
    }
};

// Ranges of an image's values >= 0 in blocks of 32 x 32 pixels.
class BlockRanges {
public:
    static constexpr int kBlock = 32;

    // A number everywhere.
    explicit BlockRanges(double constant) : everywhere_{constant, constant} {}

    // used(i) and value(i) of the pixel i of the grid.
    template <class Used, class Value>
    BlockRanges(const Grid& grid, const Used& used, const Value& value)
        : grid_(grid), across_((grid.nx - 1) / kBlock + 1),
          blocks_(static_cast<std::size_t>(((grid.ny - 1) / kBlock + 1) * across_)) {
        for (int y = 0; y < grid.ny; ++y) {
            for (int x = 0; x < grid.nx; ++x) {
                const std::size_t i = grid.at(y, x);
                if (!used(i)) continue;
                blocks_[static_cast<std::size_t>(y / kBlock * across_ + x / kBlock)].include({value(i), value(i)});
            }
        }
    }

    bool constant() const { return blocks_.empty(); }

    // The range within `radius` of the rows y0 .. y1 and the columns x0 .. x1, or of somewhat more.
    Range within(int y0, int y1, int x0, int x1, int radius) const {
        if (constant()) return everywhere_;
        Range range;
        const int first_x = std::max(x0 - radius, 0) / kBlock;
        const int last_x = std::min(x1 + radius, grid_.nx - 1) / kBlock;
        const int last_y = std::min(y1 + radius, grid_.ny - 1) / kBlock;
        for (int by = std::max(y0 - radius, 0) / kBlock; by <= last_y; ++by) {
            for (int bx = first_x; bx <= last_x; ++bx) {
                range.include(blocks_[static_cast<std::size_t>(by * across_ + bx)]);
            }
        }
        return range;
    }

private:
    Range everywhere_{};
    Grid grid_{};
    int across_ = 0;
    std::vector<Range> blocks_;
};

// The ranges around the pixels of a strip, kept while the strip's rows stay near.
class NearRanges {
public:
    NearRanges(const BlockRanges& blocks, int x0, int columns) : blocks_(blocks), x0_(x0), x1_(x0 + columns - 1) {}

    const Range& within(int y, int radius) {
        const int band = y / kBand;
        if (band != band_) steps_.clear();
        band_ = band;
        const auto step = static_cast<std::size_t>((radius + kStep - 1) / kStep);
        if (step >= steps_.size()) steps_.resize(step + 1, {Range{}, false});
        Step& found = steps_[step];
        if (!found.known) {
            const int rounded = static_cast<int>(step) * kStep;
            found = {blocks_.within(band * kBand, band * kBand + kBand - 1, x0_, x1_, rounded), true};
        }
        return found.range;
    }

private:
    static constexpr int kBand = 32;  // rows
    static constexpr int kStep = 16;  // pixels of radius

    struct Step {
        Range range;
        bool known;
    };

    const BlockRanges& blocks_;
    int x0_, x1_;
    int band_ = -1;
    std::vector<Step> steps_;
};

}  // namespace chandra_bin::detail
