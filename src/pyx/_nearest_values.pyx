"""Values of the nearest pixel that has one; see chandra_bin/nearest_values.hpp."""

from libc.stdint cimport uint8_t

from chandra_bin.nearest_values cimport nearest_values as cpp_nearest_values

include "shape.pxi"
include "monitor.pxi"


def nearest_values(const uint8_t[:, ::1] known not None, *, int threads, progress, double[:, ::1] values not None):
    """Replace ``values`` (ny, nx), float64, of pixels that are not ``known`` by those of the nearest known pixel."""
    check_shape(known.shape[0], known.shape[1], values.shape[0], values.shape[1])
    if known.size == 0:
        return
    with Monitor(progress) as monitor:
        control = (<Monitor>monitor).control()
        with nogil:
            cpp_nearest_values(known.shape[0], known.shape[1], &known[0, 0], threads, control, &values[0, 0])
