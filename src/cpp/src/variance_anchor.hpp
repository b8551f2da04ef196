// Bounds of the variance at one radius from sums that were made at another. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "known_sums.hpp"
#include "ratio_ranges.hpp"

namespace chandra_bin::detail {

// Sums that bound those at other radii, in one block.
struct VarianceAnchor {
    int radius = -1;
    double area = 0;
    double error = 0;  // of `scaled`
    double ratio2_error = 0;
    BlockLanes scaled, background, mean_ratio2, npix;

    // The sum of the background in the disc of `sums`.
    Range background_at(const DiscSums& sums, std::size_t lane, const Range& ratios) const {
        const double side = sums.radius < radius ? -1 : 1;
        const double ring = side * (sums.scaled[0][lane] - scaled[lane]);
        const double apart = sums.radius == radius ? 0 : sums.signal_error + error;
        const double least = std::max(ring - apart, 0.0) / ratios.largest;
        const double most = std::max(ring + apart, 0.0) / ratios.least;
        if (side > 0) return {background[lane] + least, background[lane] + most};
        return {std::max(background[lane] - most, 0.0), std::max(background[lane] - least, 0.0)};
    }

    // The mean of e^2 in the disc of a radius, whose area is that.
    Range ratio2_at(int radius_there, double area_there, std::size_t lane, const Range& ratios) const {
        const double mean = mean_ratio2[lane];
        const double apart = ratio2_error / npix[lane];
        const double low = ratios.least * ratios.least - mean;
        const double high = ratios.largest * ratios.largest - mean;
        const double ring = std::abs(area_there - area);  // not fewer pixels than the ring has used
        Range range{mean - apart, mean + apart};
        if (radius_there > radius) {
            const double part = std::min(ring / npix[lane], 1.0);
            return {std::max(range.least + part * std::min(low, 0.0), 0.0), range.largest + part * std::max(high, 0.0)};
        }
        const double part = ring < npix[lane] ? ring / (npix[lane] - ring) : std::numeric_limits<double>::infinity();
        if (part > 0) {
            range.least = std::max(range.least - part * std::max(high, 0.0), 0.0);
            range.largest -= part * std::min(low, 0.0);
        }
        return range;
    }
};

}  // namespace chandra_bin::detail
