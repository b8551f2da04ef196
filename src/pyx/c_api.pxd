cdef extern from "chandra_bin/c_api.h" nogil:
    ctypedef struct ChandraBinAPI:
        unsigned int version

    const char* CHANDRA_BIN_CAPSULE
    const ChandraBinAPI* chandra_bin_api() noexcept
