# Shape checks that prevent out-of-bounds access; included by the kernels' modules.


cdef int check_shape(Py_ssize_t ny, Py_ssize_t nx, Py_ssize_t other_ny, Py_ssize_t other_nx) except -1:
    if other_ny != ny or other_nx != nx:
        raise ValueError(f"an array has shape ({other_ny}, {other_nx}), the image ({ny}, {nx})")
    return 0
