"""Accumulative smoothing: see chandra_bin/smooth.hpp."""

from libc.stdint cimport uint8_t

from chandra_bin.smooth cimport Images
from chandra_bin.smooth cimport smooth as c_smooth
from chandra_bin.smooth cimport smooth_exposure as c_smooth_exposure
from chandra_bin.smooth cimport smooth_to_weight as c_smooth_to_weight

include "shape.pxi"
include "monitor.pxi"
include "images.pxi"


def smooth(const float[:, ::1] counts not None, *, const float[:, ::1] background, const float[:, ::1] ratio,
           double constant_ratio, const float[:, ::1] noise, const uint8_t[:, ::1] use not None, double sn, int threads,
           progress, float[:, ::1] smoothed not None):
    cdef Images images = make_images(counts, background, ratio, constant_ratio, noise, use)
    check_shape(counts.shape[0], counts.shape[1], smoothed.shape[0], smoothed.shape[1])
    if counts.size == 0:
        return
    with Monitor(progress) as monitor:
        control = (<Monitor>monitor).control()
        with nogil:
            c_smooth(images, sn, threads, control, &smoothed[0, 0])


def smooth_to_weight(const double[:, ::1] weights not None, const float[:, ::1] values not None, *,
                     const uint8_t[:, ::1] use not None, double threshold, float outside, int threads, progress,
                     float[:, ::1] smoothed not None):
    check_shape(values.shape[0], values.shape[1], smoothed.shape[0], smoothed.shape[1])
    check_shape(values.shape[0], values.shape[1], weights.shape[0], weights.shape[1])
    check_shape(values.shape[0], values.shape[1], use.shape[0], use.shape[1])
    if values.size == 0:
        return
    with Monitor(progress) as monitor:
        control = (<Monitor>monitor).control()
        with nogil:
            c_smooth_to_weight(values.shape[0], values.shape[1], &weights[0, 0], &values[0, 0], &use[0, 0], threshold,
                               outside, threads, control, &smoothed[0, 0])


def smooth_exposure(const float[:, ::1] counts not None, *, const float[:, ::1] background,
                    const float[:, ::1] exposure not None, const uint8_t[:, ::1] use not None, double exposure_time,
                    double background_exposure_time, double sn, long max_radius, int threads, progress,
                    float[:, ::1] smoothed not None):
    cdef Images images = make_images(counts, background, None, 1, None, use)
    check_shape(counts.shape[0], counts.shape[1], exposure.shape[0], exposure.shape[1])
    check_shape(counts.shape[0], counts.shape[1], smoothed.shape[0], smoothed.shape[1])
    if counts.size == 0:
        return
    with Monitor(progress) as monitor:
        control = (<Monitor>monitor).control()
        with nogil:
            c_smooth_exposure(images.ny, images.nx, images.counts, images.background, &exposure[0, 0], images.use,
                              exposure_time, background_exposure_time, sn, max_radius, threads, control,
                              &smoothed[0, 0])
