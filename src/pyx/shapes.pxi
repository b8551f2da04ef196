# Conversion of regions to C++; included where Bytes, Doubles, Offsets and Shapes are cimported.


cdef Bytes bytes_of(const uint8_t[::1] values):
    return Bytes(&values[0], <size_t>values.shape[0]) if values.shape[0] > 0 else Bytes()


cdef Doubles doubles_of(const double[::1] values):
    return Doubles(&values[0], <size_t>values.shape[0]) if values.shape[0] > 0 else Doubles()


cdef Offsets offsets_of(const int64_t[::1] values):
    return Offsets(&values[0], <size_t>values.shape[0]) if values.shape[0] > 0 else Offsets()


cdef Shapes shapes_of(const uint8_t[::1] kinds, const uint8_t[::1] complements, const double[::1] params,
                      const int64_t[::1] param_offsets, const int64_t[::1] component_offsets):
    cdef Shapes shapes
    shapes.kinds = bytes_of(kinds)
    shapes.complements = bytes_of(complements)
    shapes.params = doubles_of(params)
    shapes.param_offsets = offsets_of(param_offsets)
    shapes.component_offsets = offsets_of(component_offsets)
    return shapes
