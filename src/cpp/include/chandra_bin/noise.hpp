// Noise of counts and the signal-to-noise ratio of a set of pixels, as defined by contbin.
#pragma once

#include <cmath>

namespace chandra_bin {

// Variance of `counts` Poisson counts: the square of the upper 1-sigma limit's width, 1 + sqrt(counts + 3/4)
// (Gehrels 1986, ApJ 303, 336, eq. 7). NaN below -0.75 counts.
inline double gehrels_variance(double counts) {
    const double sigma = 1.0 + std::sqrt(counts + 0.75);
    return sigma * sigma;
}

// Sums over a set of pixels. `scaled_background` is the sum of background * e, `ratio2` that of e^2, where e is the
// ratio of the image's exposure to that of the background; `noise2` is the sum of squares of the noise map.
struct PixelSums {
    double counts = 0;
    double background = 0;
    double scaled_background = 0;
    double ratio2 = 0;
    double noise2 = 0;
    double npix = 0;

    double signal() const { return counts - scaled_background; }

    // Variance of the signal (Sanders 2006, MNRAS 371, 829, section 2.1).
    double variance(bool has_background, bool has_noise) const {
        if (has_noise) return noise2;
        if (!has_background) return gehrels_variance(counts);
        return gehrels_variance(counts) + ratio2 / npix * gehrels_variance(background);
    }
};

}  // namespace chandra_bin
