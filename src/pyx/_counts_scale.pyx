"""Smoothing scales from counts; see chandra_bin/counts_scale.hpp."""

from libc.stdint cimport int32_t, uint8_t

from chandra_bin.counts_scale cimport apply_scale as c_apply_scale
from chandra_bin.counts_scale cimport counts_scale as c_counts_scale

include "shape.pxi"
include "monitor.pxi"


def counts_scale(const float[:, ::1] counts not None, *, const float[:, ::1] background,
                 const uint8_t[:, ::1] use not None, double sn, int threads, progress, int32_t[:, ::1] scale not None):
    """Fill ``scale`` (ny, nx), int32, with the squared radii whose discs reach the S/N."""
    cdef const float* background_data = NULL
    check_shape(counts.shape[0], counts.shape[1], use.shape[0], use.shape[1])
    check_shape(counts.shape[0], counts.shape[1], scale.shape[0], scale.shape[1])
    if counts.size == 0:
        return
    if background is not None:
        check_shape(counts.shape[0], counts.shape[1], background.shape[0], background.shape[1])
        background_data = &background[0, 0]
    with Monitor(progress) as monitor:
        control = (<Monitor>monitor).control()
        with nogil:
            c_counts_scale(counts.shape[0], counts.shape[1], &counts[0, 0], background_data, &use[0, 0], sn, threads,
                           control, &scale[0, 0])


def apply_scale(const float[:, ::1] image not None, const int32_t[:, ::1] scale not None, *,
                const uint8_t[:, ::1] use not None, bint gaussian, int threads, progress,
                float[:, ::1] applied not None):
    """Fill ``applied`` (ny, nx), float32, with means of ``image`` over discs of the squared radii ``scale``."""
    check_shape(image.shape[0], image.shape[1], use.shape[0], use.shape[1])
    check_shape(image.shape[0], image.shape[1], scale.shape[0], scale.shape[1])
    check_shape(image.shape[0], image.shape[1], applied.shape[0], applied.shape[1])
    if image.size == 0:
        return
    with Monitor(progress) as monitor:
        control = (<Monitor>monitor).control()
        with nogil:
            c_apply_scale(image.shape[0], image.shape[1], &image[0, 0], &scale[0, 0], &use[0, 0], gaussian, threads,
                          control, &applied[0, 0])
