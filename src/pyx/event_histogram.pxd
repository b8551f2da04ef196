from libc.stddef cimport size_t
from libc.stdint cimport int32_t

from .select_events cimport Coordinates, Edges, Selection


cdef extern from "chandra_bin/event_histogram.hpp" namespace "chandra_bin" nogil:
    size_t event_histogram(size_t events, const Coordinates& x, const Coordinates& y, const Edges& x_edges,
                           const Edges& y_edges, const Selection* selection, int threads, int32_t* image) except + nogil
    size_t event_histogram(size_t events, const Coordinates& x, const Coordinates& y, const Coordinates& weights,
                           const Edges& x_edges, const Edges& y_edges, const Selection* selection, int threads,
                           double* image) except + nogil
