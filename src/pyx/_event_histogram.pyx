"""Images of event counts or weights; see chandra_bin/event_histogram.hpp."""

from libc.stdint cimport int32_t

from chandra_bin.event_histogram cimport event_histogram as c_event_histogram
from chandra_bin.select_events cimport Coordinates, Edges
from chandra_bin.select_events cimport Selection as CSelection

include "events.pxi"


def event_histogram(x not None, y not None, *, double x_first_edge, double x_step, double y_first_edge, double y_step,
                    selection, int threads, int32_t[:, ::1] image not None):
    """Add 1 to the pixels of ``image`` (ny, nx), int32, for events (n,); return how many were counted."""
    cdef Py_ssize_t size = len(x)
    cdef Coordinates xs = coordinates_of(x, size, "x")
    cdef Coordinates ys = coordinates_of(y, size, "y")
    cdef Edges x_edges = edges_of(x_first_edge, x_step, image.shape[1])
    cdef Edges y_edges = edges_of(y_first_edge, y_step, image.shape[0])
    cdef const CSelection* tests = selection_of(selection)
    cdef size_t counted
    if size == 0 or image.shape[0] == 0 or image.shape[1] == 0:
        return 0
    with nogil:
        counted = c_event_histogram(<size_t>size, xs, ys, x_edges, y_edges, tests, threads, &image[0, 0])
    return counted


def weighted_event_histogram(x not None, y not None, weights not None, *, double x_first_edge, double x_step,
                             double y_first_edge, double y_step, selection, int threads, double[:, ::1] image not None):
    """Add ``weights`` (n,) to ``image`` (ny, nx), float64, in the order of events; return how many were added."""
    cdef Py_ssize_t size = len(x)
    cdef Coordinates xs = coordinates_of(x, size, "x")
    cdef Coordinates ys = coordinates_of(y, size, "y")
    cdef Coordinates amounts = coordinates_of(weights, size, "weights")
    cdef Edges x_edges = edges_of(x_first_edge, x_step, image.shape[1])
    cdef Edges y_edges = edges_of(y_first_edge, y_step, image.shape[0])
    cdef const CSelection* tests = selection_of(selection)
    cdef size_t counted
    if size == 0 or image.shape[0] == 0 or image.shape[1] == 0:
        return 0
    with nogil:
        counted = c_event_histogram(<size_t>size, xs, ys, amounts, x_edges, y_edges, tests, threads, &image[0, 0])
    return counted
