"""Adaptive Gaussian smoothing: see chandra_bin/smooth_gaussian.hpp."""

from libc.stdint cimport uint8_t

from chandra_bin.smooth_gaussian cimport smooth_gaussian as c_smooth_gaussian

include "shape.pxi"
include "monitor.pxi"


def smooth_gaussian(const float[:, ::1] flux not None, const float[:, ::1] exposure not None, *,
                    const uint8_t[:, ::1] use not None, double sn, int threads, progress,
                    float[:, ::1] smoothed not None):
    check_shape(flux.shape[0], flux.shape[1], exposure.shape[0], exposure.shape[1])
    check_shape(flux.shape[0], flux.shape[1], use.shape[0], use.shape[1])
    check_shape(flux.shape[0], flux.shape[1], smoothed.shape[0], smoothed.shape[1])
    if flux.size == 0:
        return
    with Monitor(progress) as monitor:
        control = (<Monitor>monitor).control()
        with nogil:
            c_smooth_gaussian(flux.shape[0], flux.shape[1], &flux[0, 0], &exposure[0, 0], &use[0, 0], sn, threads,
                              control, &smoothed[0, 0])
