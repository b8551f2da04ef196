# Conversion of event columns, pixel edges and selections to C++; included where these types are cimported.
# Types of arrays are distinguished by the format of their buffer. A column without rows has the address NULL.

from cpython.pycapsule cimport PyCapsule_GetPointer


cdef int check_rows(Py_ssize_t rows, Py_ssize_t size, str name) except -1:
    if rows != size:
        raise ValueError(f"{name} has {rows} rows, not {size}")
    return 0


cdef str format_of(object array):
    view = memoryview(array)
    return f"{view.format.lstrip('=@<')}{view.itemsize}" if view.ndim == 1 else "not one-dimensional"


cdef Coordinates coordinates_of(object array, Py_ssize_t size, str name) except *:
    cdef const float[::1] singles
    cdef const double[::1] doubles
    cdef str kind = format_of(array)
    if kind == "f4":
        singles = array
        check_rows(singles.shape[0], size, name)
        return Coordinates(&singles[0] if size > 0 else <const float*>NULL)
    if kind == "d8":
        doubles = array
        check_rows(doubles.shape[0], size, name)
        return Coordinates(&doubles[0] if size > 0 else <const double*>NULL)
    raise ValueError(f"{name} must hold float32 or float64, not '{kind}'")


cdef Edges edges_of(double first, double step, Py_ssize_t size) noexcept:
    cdef Edges made
    made.first = first
    made.step = step
    made.size = <size_t>size
    return made


cdef const CSelection* selection_of(object selection) except? NULL:
    """Return the C++ object of a Selection of _select_events, which the caller must keep alive; NULL for None."""
    if selection is None:
        return NULL
    return <const CSelection*>PyCapsule_GetPointer(selection.capsule, "chandra_bin.Selection")
