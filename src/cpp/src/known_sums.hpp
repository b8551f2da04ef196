// The sums over discs that a search for a signal-to-noise has made around a block. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <vector>

#include "disc.hpp"

namespace chandra_bin::detail {

// Sums over the discs of one radius, one for each lane.
struct DiscSums {
    // [0]: positive terms, [1]: negative terms, negated
    BlockLanes counts[2]{}, background[2]{}, scaled[2]{}, noise2{};
    double signal_error = 0;  // beyond rounding
    double variance_error = 0;
    int radius = -1;
    bool sharp = true;  // as close as estimates can be

    double up(std::size_t lane) const { return counts[0][lane] + scaled[1][lane]; }
    double down(std::size_t lane) const { return counts[1][lane] + scaled[0][lane]; }
    double total_counts(std::size_t lane) const { return counts[0][lane] - counts[1][lane]; }
    double total_background(std::size_t lane) const { return background[0][lane] - background[1][lane]; }
    double total_scaled(std::size_t lane) const { return scaled[0][lane] - scaled[1][lane]; }
    double signal(std::size_t lane) const { return total_counts(lane) - total_scaled(lane); }
};

// Sums that are known around the pixels `age` rows above, made one block of rows after the other. The disc r of a pixel lies in their disc r + age and
// holds their disc r - age, so that they bound its sums until they are too old to be of use.
class KnownSums {
public:
    struct Known {
        int radius;
        int age;
        DiscSums* sums;
    };

    void grow_older(int rows) {
        for (Known& each : by_radius_) each.age += rows;
    }

    // Sums that no disc of `radius` or more falls below; null when no such sums are known.
    const DiscSums* within(int radius) const {
        const DiscSums* best = nullptr;
        for (const Known& each : by_radius_) {
            if (each.radius > radius) break;
            if (each.radius + each.age <= radius) best = each.sums;
        }
        return best;
    }

    // The nearest sums that some disc larger than `radius` does not exceed; null when no such sums are known.
    const Known* beyond(int radius) const {
        for (const Known& each : by_radius_) {
            if (each.radius - each.age > radius) return &each;
        }
        return nullptr;
    }

    // The nearest sums larger than `radius` that were made around these very pixels; null when there are none.
    const Known* made_beyond(int radius) const {
        for (const Known& each : by_radius_) {
            if (each.age == 0 && each.radius > radius) return &each;
        }
        return nullptr;
    }

    // A place for new sums at `radius`, instead of older ones that say less.
    DiscSums& make_room(int radius) {
        std::erase_if(by_radius_, [&](const Known& each) {
            const bool stale = std::abs(each.radius - radius) <= each.age;
            if (stale) free_.push_back(each.sums);
            return stale;
        });
        if (free_.empty()) free_.push_back(owned_.emplace_back(std::make_unique<DiscSums>()).get());
        DiscSums* const sums = free_.back();
        free_.pop_back();
        const auto after =
            std::find_if(by_radius_.begin(), by_radius_.end(), [=](const Known& each) { return each.radius > radius; });
        by_radius_.insert(after, {radius, 0, sums});
        return *sums;
    }

private:
    std::vector<Known> by_radius_;
    std::vector<std::unique_ptr<DiscSums>> owned_;
    std::vector<DiscSums*> free_;
};

}  // namespace chandra_bin::detail
