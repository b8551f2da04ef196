// The smallest disc whose signal-to-noise reaches a threshold, with a background or a noise map. Private to src/cpp/src.
//
// The signal-to-noise may rise and fall with the radius, and the first radius counts. All sums rise when their terms are not
// negative (those of signed images are kept apart by sign), so over a range of radii (S/N)^2 is bounded by the largest
// possible signal over the least possible noise; without negative pixels, more closely by the most counts and the least
// background. Ranges that cannot reach are skipped, others are halved; the decision itself is always made with the exact
// expression.
#pragma once

#include "chandra_bin/control.hpp"
#include "chandra_bin/smooth.hpp"
#include "channel.hpp"

namespace chandra_bin::detail {

// Where the variance comes from: Gehrels' approximation, the counts themselves, or the noise map.
enum class Variance { gehrels, plain, map };

struct SignalRule {
    double sn;
    Variance variance;
    const float* divisor;  // an image: the signal is divided by its sum over the disc; null: by the number of pixels
    float outside;         // the value of pixels that are not used
    int max_radius;        // where even this disc falls short it is taken all the same
};

void smooth_to_signal(const Images& images, const Pixels& pixels, const Discs& discs, const SignalRule& rule,
                      int threads, const Control& control, float* out);

}  // namespace chandra_bin::detail
