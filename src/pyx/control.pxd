from libcpp cimport bool


cdef extern from "chandra_bin/control.hpp" namespace "chandra_bin" nogil:
    cdef cppclass Control:
        bool (*poll)(void* data, double fraction) noexcept nogil
        void* data
