from libc.stddef cimport size_t
from libc.stdint cimport int16_t, int32_t

from .select_events cimport Coordinates, Edges, Selection


cdef extern from "<span>" namespace "std" nogil:
    cdef cppclass span[T]:
        span()
        span(T* first, size_t count)


cdef extern from "chandra_bin/bin_spectra.hpp" namespace "chandra_bin" nogil:
    ctypedef span[const int16_t] Numbers "std::span<const std::int16_t>"

    cdef cppclass ChannelColumn "std::variant<const std::int16_t*, const std::int32_t*>":
        ChannelColumn()
        ChannelColumn(const int16_t*)
        ChannelColumn(const int32_t*)

    cdef cppclass BinmapLookup:
        Coordinates x
        Coordinates y
        const int32_t* binmap
        Edges x_edges
        Edges y_edges

    cdef cppclass EventBins:
        EventBins()
        EventBins(const int32_t*)
        EventBins(BinmapLookup)

    cdef cppclass Channels:
        ChannelColumn of_event
        int32_t first
        size_t count

    cdef cppclass Chips:
        const int16_t* of_event
        Numbers numbers

    size_t bin_spectra(size_t events, const EventBins& bins, size_t bin_count, const Channels& channels,
                       const Chips& chips, const Selection* selection, int threads, int32_t* spectra) except + nogil
