// Contour binning (Sanders 2006, MNRAS 371, 829): bins that follow the surface brightness of a smoothed image.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "chandra_bin/control.hpp"
#include "chandra_bin/noise.hpp"
#include "chandra_bin/smooth.hpp"

namespace chandra_bin {

struct BinningOptions {
    enum class Target { sn, counts };

    Target target = Target::sn;
    double threshold = 15;   // of a bin: its S/N, or its net counts
    double constrain = 0;    // geometric constraint (section 2.3); 0: none
    bool bin_up = false;     // start from the faintest pixels
    bool scrub = true;       // dissolve bins below the threshold, then renumber
    double scrub_large = 0;  // empty bins that hold this fraction of all binned pixels or more; 0: none
};

struct Bins {
    std::vector<PixelSums> sums;  // a bin each
    std::size_t stuck = 0;        // bins below the threshold that touch no bin they could be given to
};

// Fills `binmap` (ny, nx) with bin numbers from 0, -1 where there is no bin. `images` must be finite, and so must `smoothed`
// (ny, nx) where pixels are used: throws std::invalid_argument.
//
// The brightest unbinned pixel starts a bin, which takes the neighbouring pixel nearest in smoothed brightness to
// its first one, among those that pass the constraint |p - c| < constrain * R (c the bin's flux-weighted centroid, R the
// radius of a disc of as many pixels), until it reaches the threshold. Then the bins below the threshold are given away
// pixel by pixel, the lowest first, each pixel to the neighbouring bin with the nearest brightness.
// Pixels, ties and numbers are contbin's, and do not depend on `threads`, which sort, and grow bins to come ahead of their
// turn (8 at most). Cost: N log N. Scratch: 12 bytes a pixel and a bit more a thread, up to 24 for each pixel of the bins that
// grow or wait for their turn, of which those to come have less than 1/16 of the image, and 400 bytes a bin.
Bins contour_bin(const Images& images, const float* smoothed, const BinningOptions& options, int threads,
                 const Control& control, std::int32_t* binmap);

}  // namespace chandra_bin
