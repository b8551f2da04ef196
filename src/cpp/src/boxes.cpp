#include "chandra_bin/boxes.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace chandra_bin {
namespace {

struct Box {
    std::int32_t bin;
    std::size_t x, y, w, h;
};

// The binmap without the pixels that are covered already.
class Uncovered {
public:
    static constexpr std::int32_t none = -1;

    Uncovered(const std::int32_t* labels, std::size_t ny, std::size_t nx, std::int32_t bins)
        : ny_(ny), nx_(nx), labels_(labels, labels + ny * nx) {
        for (std::int32_t& label : labels_) {
            if (label < 0 || label >= bins) label = none;
        }
    }

    std::int32_t at(std::size_t x, std::size_t y) const { return labels_[y * nx_ + x]; }

    Box grow(std::size_t x, std::size_t y) const {
        Box box{at(x, y), x, y, 1, 1};
        for (;;) {
            const bool right = has_column(box, x + box.w);
            const bool up = has_row(box, y + box.h);
            if (!right && !up) return box;
            const bool both = right && up && at(x + box.w, y + box.h) == box.bin;
            if (right) ++box.w;
            if (both || !right) ++box.h;
        }
    }

    void cover(const Box& box) {
        for (std::size_t y = box.y; y < box.y + box.h; ++y) {
            std::fill_n(labels_.begin() + static_cast<std::ptrdiff_t>(y * nx_ + box.x), box.w, none);
        }
    }

private:
    bool has_column(const Box& box, std::size_t x) const {
        if (x >= nx_) return false;
        for (std::size_t y = box.y; y < box.y + box.h; ++y) {
            if (at(x, y) != box.bin) return false;
        }
        return true;
    }

    bool has_row(const Box& box, std::size_t y) const {
        if (y >= ny_) return false;
        const auto row = labels_.begin() + static_cast<std::ptrdiff_t>(y * nx_ + box.x);
        return std::all_of(row, row + static_cast<std::ptrdiff_t>(box.w),
                           [&](std::int32_t label) { return label == box.bin; });
    }

    std::size_t ny_, nx_;
    std::vector<std::int32_t> labels_;
};

// A stable counting sort: ascending bins, in the order found inside a bin.
Boxes by_bin(const std::vector<Box>& found, std::int32_t bins) {
    Boxes boxes;
    boxes.offsets.assign(static_cast<std::size_t>(bins) + 1, 0);
    for (const Box& box : found) ++boxes.offsets[static_cast<std::size_t>(box.bin) + 1];
    for (std::size_t b = 1; b < boxes.offsets.size(); ++b) boxes.offsets[b] += boxes.offsets[b - 1];

    std::vector<std::int64_t> next(boxes.offsets.begin(), boxes.offsets.end() - 1);
    for (auto* side : {&boxes.x, &boxes.y, &boxes.w, &boxes.h}) side->resize(found.size());
    for (const Box& box : found) {
        const auto i = static_cast<std::size_t>(next[static_cast<std::size_t>(box.bin)]++);
        boxes.x[i] = static_cast<std::int32_t>(box.x);
        boxes.y[i] = static_cast<std::int32_t>(box.y);
        boxes.w[i] = static_cast<std::int32_t>(box.w);
        boxes.h[i] = static_cast<std::int32_t>(box.h);
    }
    return boxes;
}

}  // namespace

Boxes cover_with_boxes(const std::int32_t* labels, std::size_t ny, std::size_t nx, std::int32_t bins) {
    if (bins < 0) throw std::invalid_argument("the number of bins is negative");
    constexpr auto longest = static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
    if (ny > longest || nx > longest) throw std::invalid_argument("the image is too large");

    Uncovered uncovered(labels, ny, nx, bins);
    std::vector<Box> found;
    for (std::size_t y = 0; y < ny; ++y) {
        for (std::size_t x = 0; x < nx; ++x) {
            if (uncovered.at(x, y) == Uncovered::none) continue;
            found.push_back(uncovered.grow(x, y));
            uncovered.cover(found.back());
        }
    }
    return by_bin(found, bins);
}

}  // namespace chandra_bin
