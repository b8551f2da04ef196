"""Contour binning; see chandra_bin/contour_bin.hpp."""

from libc.stdint cimport int32_t, uint8_t

from chandra_bin.contour_bin cimport BinningOptions, Bins, PixelSums, Target
from chandra_bin.contour_bin cimport contour_bin as c_contour_bin
from chandra_bin.smooth cimport Images

include "shape.pxi"
include "monitor.pxi"
include "images.pxi"


def contour_bin(const float[:, ::1] counts not None, *, const float[:, ::1] background, const float[:, ::1] ratio,
                double constant_ratio, const float[:, ::1] noise, const uint8_t[:, ::1] use not None,
                const float[:, ::1] smoothed not None, bint target_counts, double threshold, double constrain,
                bint bin_up, bint scrub, double scrub_large, int threads, progress, int32_t[:, ::1] binmap not None):
    """Fill ``binmap``; return (sums, stuck): npix, counts, background, signal, variance of each bin, as doubles."""
    cdef Images images = make_images(counts, background, ratio, constant_ratio, noise, use)
    cdef BinningOptions options
    cdef Bins bins
    cdef PixelSums sums
    cdef double[::1] table
    cdef Py_ssize_t i = 0
    cdef bint has_background = background is not None
    cdef bint has_noise = noise is not None
    check_shape(counts.shape[0], counts.shape[1], smoothed.shape[0], smoothed.shape[1])
    check_shape(counts.shape[0], counts.shape[1], binmap.shape[0], binmap.shape[1])
    if counts.size == 0:
        return memoryview(b"").cast("d"), 0
    options.target = Target.counts if target_counts else Target.sn
    options.threshold = threshold
    options.constrain = constrain
    options.bin_up = bin_up
    options.scrub = scrub
    options.scrub_large = scrub_large
    with Monitor(progress) as monitor:
        control = (<Monitor>monitor).control()
        with nogil:
            bins = c_contour_bin(images, &smoothed[0, 0], options, threads, control, &binmap[0, 0])
    values = memoryview(bytearray(5 * sizeof(double) * bins.sums.size())).cast("d")
    table = values
    for sums in bins.sums:
        table[i] = sums.npix
        table[i + 1] = sums.counts
        table[i + 2] = sums.scaled_background
        table[i + 3] = sums.signal()
        table[i + 4] = sums.variance(has_background, has_noise)
        i += 5
    return values, bins.stuck
