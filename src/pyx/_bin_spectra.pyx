"""Spectra of all bins in one pass over the events; see chandra_bin/bin_spectra.hpp."""

from libc.stdint cimport int16_t, int32_t

from chandra_bin.bin_spectra cimport BinmapLookup, EventBins, ChannelColumn, Channels, Chips, Numbers
from chandra_bin.bin_spectra cimport bin_spectra as c_bin_spectra
from chandra_bin.select_events cimport Coordinates, Edges
from chandra_bin.select_events cimport Selection as CSelection

include "events.pxi"


cdef ChannelColumn channels_of(object array, Py_ssize_t size) except *:
    cdef const int16_t[::1] shorts
    cdef const int32_t[::1] ints
    cdef str kind = format_of(array)
    if kind == "h2":
        shorts = array
        check_rows(shorts.shape[0], size, "channels")
        return ChannelColumn(&shorts[0] if size > 0 else <const int16_t*>NULL)
    if kind in ("i4", "l4"):
        ints = array
        check_rows(ints.shape[0], size, "channels")
        return ChannelColumn(&ints[0] if size > 0 else <const int32_t*>NULL)
    raise ValueError(f"channels must hold int16 or int32, not '{kind}'")


cdef size_t add(Py_ssize_t size, const EventBins& bins, object channels, int32_t first_channel,
                const int16_t[::1] chips, const int16_t[::1] chip_numbers, object selection, int threads,
                int32_t[:, :, ::1] spectra) except? 0:
    cdef Channels which
    which.of_event = channels_of(channels, size)
    which.first = first_channel
    which.count = <size_t>spectra.shape[2]
    cdef Chips where
    if chips is not None:
        check_rows(chips.shape[0], size, "chips")
        if chip_numbers is None or chip_numbers.shape[0] == 0:
            raise ValueError("chips needs chip_numbers")
        where.of_event = &chips[0] if size > 0 else NULL
        where.numbers = Numbers(&chip_numbers[0], <size_t>chip_numbers.shape[0])
    cdef Py_ssize_t sets = 1 if chips is None else chip_numbers.shape[0]
    if spectra.shape[0] != sets:
        raise ValueError(f"spectra has {spectra.shape[0]} sets, but there are {sets} chips")
    cdef const CSelection* tests = selection_of(selection)
    cdef size_t bin_count = <size_t>spectra.shape[1]
    cdef size_t counted = 0
    if size > 0 and spectra.shape[1] > 0 and spectra.shape[2] > 0:
        with nogil:
            counted = c_bin_spectra(<size_t>size, bins, bin_count, which, where, tests, threads, &spectra[0, 0, 0])
    return counted


def bin_spectra(const int32_t[::1] labels not None, channels not None, *, int32_t first_channel,
                const int16_t[::1] chips, const int16_t[::1] chip_numbers, selection, int threads,
                int32_t[:, :, ::1] spectra not None):
    """Add events (n,) of bins ``labels`` to ``spectra`` (chips, bins, channels), int32; return how many were added.

    If ``chips`` is None, there is one set of spectra for all events.
    """
    cdef Py_ssize_t size = labels.shape[0]
    cdef EventBins bins = EventBins(&labels[0] if size > 0 else <const int32_t*>NULL)
    return add(size, bins, channels, first_channel, chips, chip_numbers, selection, threads, spectra)


def bin_spectra_by_map(x not None, y not None, const int32_t[:, ::1] binmap not None, *, double x_first_edge,
                       double x_step, double y_first_edge, double y_step, channels not None, int32_t first_channel,
                       const int16_t[::1] chips, const int16_t[::1] chip_numbers, selection, int threads,
                       int32_t[:, :, ::1] spectra not None):
    """Add events as `bin_spectra` does, with the bins of their pixels in ``binmap`` (ny, nx)."""
    cdef Py_ssize_t size = len(x)
    cdef BinmapLookup lookup
    lookup.x = coordinates_of(x, size, "x")
    lookup.y = coordinates_of(y, size, "y")
    lookup.binmap = &binmap[0, 0] if binmap.shape[0] > 0 and binmap.shape[1] > 0 else NULL
    lookup.x_edges = edges_of(x_first_edge, x_step, binmap.shape[1])
    lookup.y_edges = edges_of(y_first_edge, y_step, binmap.shape[0])
    cdef EventBins bins = EventBins(lookup)
    return add(size, bins, channels, first_channel, chips, chip_numbers, selection, threads, spectra)
