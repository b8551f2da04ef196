cdef extern from "chandra_bin/interpolate.hpp" namespace "chandra_bin" nogil:
    struct Places:
        double matrix[4]
        double offset[2]

    void interpolate(size_t ny, size_t nx, const double* image, const Places& places, size_t rows, size_t columns,
                     float* values) except +
    void doubled(size_t ny, size_t nx, const float* image, float* values) except +
