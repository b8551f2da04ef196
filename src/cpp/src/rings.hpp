// Rings of pixels around a pixel, ordered by distance. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "disc.hpp"

namespace chandra_bin::detail {

// An offset (far, near), far >= near >= 0, from the middle of a disc. The other octants have its mirror images.
struct RingOffset {
    std::uint16_t far, near;

    std::int64_t square() const { return std::int64_t{far} * far + std::int64_t{near} * near; }
};

// The offsets of one octant with radius^2 <= dx^2 + dy^2 < (radius + 1)^2, the nearest first: what the disc of `radius`
// has and that of `radius` - 1 has not.
class Ring {
public:
    explicit Ring(int radius) {
        const std::int64_t inner = std::int64_t{radius} * radius;
        const std::int64_t outer = inner + 2 * std::int64_t{radius};
        std::vector<std::size_t> places(static_cast<std::size_t>(outer - inner) + 2, 0);
        for_octant(radius, inner, outer,
                   [&](const RingOffset& offset) { ++places[static_cast<std::size_t>(offset.square() - inner) + 1]; });
        for (std::size_t i = 1; i < places.size(); ++i) places[i] += places[i - 1];
        offsets_.resize(places.back());
        for_octant(radius, inner, outer, [&](const RingOffset& offset) {
            offsets_[places[static_cast<std::size_t>(offset.square() - inner)]++] = offset;
        });
    }

    // Calls visit(square, offsets) for the offsets of each dx^2 + dy^2, until it returns false.
    template <class Visit>
    void for_squares(const Visit& visit) const {
        const std::span<const RingOffset> all(offsets_);
        for (std::size_t from = 0; from < all.size();) {
            const std::int64_t square = all[from].square();
            std::size_t to = from + 1;
            while (to < all.size() && all[to].square() == square) ++to;
            if (!visit(square, all.subspan(from, to - from))) return;
            from = to;
        }
    }

private:
    template <class Visit>
    static void for_octant(std::int64_t radius, std::int64_t inner, std::int64_t outer, const Visit& visit) {
        std::int64_t least = radius;
        for (std::int64_t near = 0; 2 * near * near <= outer; ++near) {
            while (least > 0 && (least - 1) * (least - 1) + near * near >= inner) --least;
            for (std::int64_t far = std::max(least, near); far * far + near * near <= outer; ++far) {
                visit(RingOffset{static_cast<std::uint16_t>(far), static_cast<std::uint16_t>(near)});
            }
        }
    }

    std::vector<RingOffset> offsets_;
};

// The rings up to a radius, made once and shared by the threads while they are small.
class Rings {
public:
    explicit Rings(int max_radius) {
        for (int r = 0; r <= std::min(max_radius, kMadeRadius); ++r) made_.emplace_back(r);
    }

    template <class Use>  // use(ring)
    void with(int radius, const Use& use) const {
        if (static_cast<std::size_t>(radius) < made_.size()) return use(made_[static_cast<std::size_t>(radius)]);
        use(Ring(radius));
    }

private:
    std::vector<Ring> made_;
};

}  // namespace chandra_bin::detail
