#include "chandra_bin/polygon_trace.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace chandra_bin {
namespace {

using Index = std::int32_t;

constexpr Index kNoPart = -1;

// The image with a border of one pixel; each pixel has the number of its part.
struct Parts {
    std::size_t ny = 0, nx = 0;        // without the border
    std::size_t stride = 0;            // with the border
    std::vector<Index> of_pixel;       // (ny + 2) x stride
    std::vector<std::int32_t> labels;  // of each part
};

Index root_of(std::vector<Index>& parent, Index part) {
    while (parent[static_cast<std::size_t>(part)] != part) {
        Index& up = parent[static_cast<std::size_t>(part)];
        up = parent[static_cast<std::size_t>(up)];
        part = up;
    }
    return part;
}

// Two passes with a union-find over provisional parts; the lower number wins, so parts are in the order of their first
// pixels.
Parts find_parts(const std::int32_t* labels, std::size_t ny, std::size_t nx) {
    Parts parts{ny, nx, nx + 2, std::vector<Index>((ny + 2) * (nx + 2), kNoPart), {}};
    std::vector<Index> parent;
    std::vector<std::int32_t> provisional_labels;
    for (std::size_t y = 0; y < ny; ++y) {
        const std::int32_t* row = labels + y * nx;
        const std::int32_t* below = y > 0 ? row - nx : nullptr;
        Index* out = parts.of_pixel.data() + (y + 1) * parts.stride + 1;
        for (std::size_t x = 0; x < nx; ++x) {
            const std::int32_t label = row[x];
            if (label < 0) continue;
            const bool joins_left = x > 0 && row[x - 1] == label;
            const bool joins_below = below != nullptr && below[x] == label;
            const Index* under = out - parts.stride;
            if (joins_left) {
                out[x] = out[x - 1];
                // If the pixels to the left and below are already connected, their parts are too.
                if (joins_below && below[x - 1] != label && under[x] != out[x]) {
                    const Index a = root_of(parent, out[x]), b = root_of(parent, under[x]);
                    parent[static_cast<std::size_t>(std::max(a, b))] = std::min(a, b);
                }
            } else if (joins_below) {
                out[x] = under[x];
            } else {
                out[x] = static_cast<Index>(parent.size());
                parent.push_back(out[x]);
                provisional_labels.push_back(label);
            }
        }
    }

    std::vector<Index> number(parent.size());
    for (std::size_t i = 0; i < parent.size(); ++i) {
        const std::size_t root = static_cast<std::size_t>(root_of(parent, static_cast<Index>(i)));
        if (root == i) {
            number[i] = static_cast<Index>(parts.labels.size());
            parts.labels.push_back(provisional_labels[i]);
        } else {
            number[i] = number[root];
        }
    }
    for (Index& part : parts.of_pixel) {
        if (part != kNoPart) part = number[static_cast<std::size_t>(part)];
    }
    return parts;
}

// Rings in the order in which their first pixels are met: the outer ring of a part comes before its holes.
struct Rings {
    std::vector<std::int32_t> corners;  // x, y, ...; corner (0, 0) is the lower left one of the first pixel
    std::vector<std::int64_t> offsets{0};
    std::vector<Index> parts;
};

// Follows outlines with the part on the left. At a corner, if the part is ahead to the right, turn right; else if it is
// ahead to the left, go straight; else turn left. So two pixels that touch at a corner are passed as connected if they
// belong to one part, and as separate if not, and no ring meets itself.
class Tracer {
public:
    explicit Tracer(const Parts& parts) : parts_(parts), bottom_done_(parts.of_pixel.size(), 0) {
        const auto up = static_cast<std::ptrdiff_t>(parts.stride);
        // A corner has the index of the pixel to its upper right. Directions: right, up, left, down.
        step_ = {1, up, -1, -up};
        ahead_left_ = {0, -1, -up - 1, -up};
        ahead_right_ = {-up, 0, -1, -up - 1};
    }

    Rings trace() {
        for (std::size_t y = 1; y <= parts_.ny; ++y) {
            for (std::size_t x = 1; x <= parts_.nx; ++x) {
                const std::size_t pixel = y * parts_.stride + x;
                const Index part = parts_.of_pixel[pixel];
                if (part == kNoPart || part == parts_.of_pixel[pixel - parts_.stride] || bottom_done_[pixel] != 0)
                    continue;
                follow(pixel, part);
            }
        }
        return std::move(rings_);
    }

private:
    static constexpr std::size_t kRight = 0;

    void add_corner(std::size_t corner) {
        rings_.corners.push_back(static_cast<std::int32_t>(corner % parts_.stride) - 1);
        rings_.corners.push_back(static_cast<std::int32_t>(corner / parts_.stride) - 1);
    }

    void follow(std::size_t first, Index part) {
        const Index* of_pixel = parts_.of_pixel.data();
        std::size_t corner = first;
        std::size_t direction = kRight;
        add_corner(corner);
        while (true) {
            if (direction == kRight) bottom_done_[corner] = 1;
            corner = static_cast<std::size_t>(static_cast<std::ptrdiff_t>(corner) + step_[direction]);
            const Index* here = of_pixel + corner;
            if (here[ahead_right_[direction]] == part) {
                direction = (direction + 3) % 4;
            } else if (here[ahead_left_[direction]] == part) {
                continue;
            } else {
                direction = (direction + 1) % 4;
            }
            if (corner == first && direction == kRight) break;
            add_corner(corner);
        }
        rings_.offsets.push_back(static_cast<std::int64_t>(rings_.corners.size() / 2));
        rings_.parts.push_back(part);
    }

    const Parts& parts_;
    std::vector<std::uint8_t> bottom_done_;  // whether the lower side of each pixel is already on a ring
    std::array<std::ptrdiff_t, 4> step_{}, ahead_left_{}, ahead_right_{};
    Rings rings_;
};

// The order that sorts `keys` (0 .. count - 1), stable.
template <class Key>
std::vector<std::size_t> stable_order(const std::vector<Key>& keys) {
    std::vector<std::size_t> order(keys.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return keys[a] < keys[b]; });
    return order;
}

Polygons sorted_by_label(const Rings& rings, const Parts& parts) {
    const std::vector<std::size_t> part_order = stable_order(parts.labels);
    std::vector<std::size_t> rank(part_order.size());
    for (std::size_t i = 0; i < part_order.size(); ++i) rank[part_order[i]] = i;
    std::vector<std::size_t> ring_rank(rings.parts.size());
    for (std::size_t r = 0; r < ring_rank.size(); ++r) ring_rank[r] = rank[static_cast<std::size_t>(rings.parts[r])];

    Polygons polygons;
    polygons.points.reserve(rings.corners.size());
    polygons.ring_offsets.reserve(rings.offsets.size());
    polygons.ring_offsets.push_back(0);
    polygons.polygon_offsets.reserve(parts.labels.size() + 1);
    polygons.labels.reserve(parts.labels.size());
    for (const std::size_t r : stable_order(ring_rank)) {
        if (ring_rank[r] == polygons.labels.size()) {
            polygons.polygon_offsets.push_back(static_cast<std::int64_t>(polygons.ring_offsets.size()) - 1);
            polygons.labels.push_back(parts.labels[static_cast<std::size_t>(rings.parts[r])]);
        }
        for (auto i = static_cast<std::size_t>(2 * rings.offsets[r]);
             i < static_cast<std::size_t>(2 * rings.offsets[r + 1]); ++i) {
            polygons.points.push_back(static_cast<double>(rings.corners[i]) - 0.5);
        }
        polygons.ring_offsets.push_back(static_cast<std::int64_t>(polygons.points.size() / 2));
    }
    polygons.polygon_offsets.push_back(static_cast<std::int64_t>(polygons.ring_offsets.size()) - 1);
    return polygons;
}

}  // namespace

Polygons polygon_trace(const std::int32_t* labels, std::size_t ny, std::size_t nx) {
    constexpr auto limit = static_cast<std::size_t>(std::numeric_limits<Index>::max());
    if (ny >= limit || nx >= limit || (ny + 2) > limit / (nx + 2)) {
        throw std::invalid_argument("the image has 2^31 pixels or more");
    }
    const Parts parts = find_parts(labels, ny, nx);
    return sorted_by_label(Tracer(parts).trace(), parts);
}

}  // namespace chandra_bin
