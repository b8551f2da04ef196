from libc.stddef cimport size_t
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t
from libcpp cimport bool


cdef extern from "<span>" namespace "std" nogil:
    cdef cppclass span[T]:
        span()
        span(T* first, size_t count)


cdef extern from "chandra_bin/select_events.hpp" namespace "chandra_bin" nogil:
    ctypedef span[const double] Doubles "std::span<const double>"
    ctypedef span[const int64_t] Offsets "std::span<const std::int64_t>"

    cdef cppclass Column:
        Column()
        Column(const int16_t*)
        Column(const int32_t*)
        Column(const int64_t*)
        Column(const float*)
        Column(const double*)

    cdef cppclass Coordinates:
        Coordinates()
        Coordinates(const float*)
        Coordinates(const double*)

    cdef cppclass Edges:
        double first
        double step
        size_t size

    cdef cppclass Selection:
        Selection(size_t size) except +
        size_t size()
        void ranges(const Column& column, Doubles lows, Doubles highs, bool closed, bool exclude) except +
        void bits(const uint32_t* column, uint32_t mask, uint32_t value, bool exclude) except +
        void good_times(const double* time, Doubles start, Doubles stop, bool exclude) except +
        void good_times(const double* time, const int16_t* chip, Doubles start, Doubles stop, Offsets offsets,
                        bool exclude) except +
        void mask(const Coordinates& x, const Coordinates& y, const uint8_t* image, const Edges& x_edges,
                  const Edges& y_edges, bool exclude) except +
        void flags(const uint8_t* flags, bool exclude) except +

    size_t select_events(const Selection& selection, int threads, uint8_t* passes) except + nogil
