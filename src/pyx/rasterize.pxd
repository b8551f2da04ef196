from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t


cdef extern from "<span>" namespace "std" nogil:
    cdef cppclass span[T]:
        span()
        span(T* first, size_t count)


cdef extern from "chandra_bin/rasterize.hpp" namespace "chandra_bin" nogil:
    ctypedef span[const uint8_t] Bytes "std::span<const std::uint8_t>"
    ctypedef span[const double] Doubles "std::span<const double>"
    ctypedef span[const int64_t] Offsets "std::span<const std::int64_t>"
    ctypedef span[const int32_t] Labels "std::span<const std::int32_t>"

    cdef cppclass Axis:
        double first
        double step
        size_t size

    cdef cppclass Shapes:
        Bytes kinds
        Bytes complements
        Doubles params
        Offsets param_offsets
        Offsets component_offsets

    void rasterize_shapes(const Shapes& shapes, const Axis& x, const Axis& y, uint8_t* mask) except + nogil
    void rasterize_polygons(Doubles points, Offsets ring_offsets, Offsets polygon_offsets, Labels labels,
                            const Axis& x, const Axis& y, int32_t* image) except + nogil
