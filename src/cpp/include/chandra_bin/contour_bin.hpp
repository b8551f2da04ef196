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
    double threshold = 15;   // S/N or net counts that a bin must reach
    double constrain = 0;    // geometric constraint (section 2.3); 0: none
    bool bin_up = false;     // start from the faintest pixels
    bool scrub = true;       // dissolve bins below the threshold, then renumber
    double scrub_large = 0;  // remove bins with at least this fraction of all binned pixels; 0: none
};

struct Bins {
    std::vector<PixelSums> sums;  // one per bin
    std::size_t stuck = 0;        // bins below the threshold without a neighbour that could absorb them
};

// Fills `binmap` (ny, nx) with bin numbers from 0, and -1 outside. `images`, and `smoothed` (ny, nx) where pixels are
// used, must be finite, else std::invalid_argument is thrown.
//
// The brightest unbinned pixel starts a bin. The bin adds neighbouring pixels, always the one closest to its first
// pixel in smoothed brightness, among those that satisfy the constraint |p - c| < constrain * R (c: the bin's
// flux-weighted centroid; R: the radius of a disc with as many pixels), until it reaches the threshold. Then bins below
// the threshold are dissolved pixel by pixel, the lowest first; each pixel goes to the neighbouring bin with the
// closest brightness.
//
// Pixels, ties and numbers are those of contbin and do not depend on `threads`, which sort, and grow later bins
// speculatively (8 threads at most). Cost: N log N. Scratch: 12 bytes a pixel and slightly more per thread, up to 24
// for each pixel of the bins that grow or wait for their commit (speculative bins have less than 1/16 of the image),
// and 400 bytes a bin.
Bins contour_bin(const Images& images, const float* smoothed, const BinningOptions& options, int threads,
                 const Control& control, std::int32_t* binmap);

}  // namespace chandra_bin
