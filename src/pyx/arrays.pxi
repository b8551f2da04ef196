# Conversion of C++ vectors to arrays; included by modules whose result size is only known in C++.

import numpy as np

from libc.string cimport memcpy


cdef object as_array(const void* values, size_t count, size_t size, dtype):
    array = np.empty(count, dtype)
    cdef unsigned char[::1] buffer = array.view(np.uint8)
    if count > 0:
        memcpy(&buffer[0], values, count * size)
    return array
