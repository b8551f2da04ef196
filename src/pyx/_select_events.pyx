"""Selection of events by tests; see chandra_bin/select_events.hpp."""

from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t

from chandra_bin.select_events cimport Column, Coordinates, Doubles, Edges, Offsets
from chandra_bin.select_events cimport Selection as CSelection
from chandra_bin.select_events cimport select_events as c_select_events

include "events.pxi"


cdef Doubles doubles_of(const double[::1] values):
    return Doubles(&values[0], <size_t>values.shape[0]) if values.shape[0] > 0 else Doubles()


cdef Offsets offsets_of(const int64_t[::1] values):
    return Offsets(&values[0], <size_t>values.shape[0]) if values.shape[0] > 0 else Offsets()


cdef Column column_of(object array, Py_ssize_t size, str name) except *:
    cdef const int16_t[::1] shorts
    cdef const int32_t[::1] ints
    cdef const int64_t[::1] longs
    cdef const float[::1] singles
    cdef const double[::1] doubles
    cdef str kind = format_of(array)
    if kind == "h2":
        shorts = array
        check_rows(shorts.shape[0], size, name)
        return Column(&shorts[0] if size > 0 else <const int16_t*>NULL)
    if kind in ("i4", "l4"):
        ints = array
        check_rows(ints.shape[0], size, name)
        return Column(&ints[0] if size > 0 else <const int32_t*>NULL)
    if kind in ("l8", "q8"):
        longs = array
        check_rows(longs.shape[0], size, name)
        return Column(&longs[0] if size > 0 else <const int64_t*>NULL)
    if kind == "f4":
        singles = array
        check_rows(singles.shape[0], size, name)
        return Column(&singles[0] if size > 0 else <const float*>NULL)
    if kind == "d8":
        doubles = array
        check_rows(doubles.shape[0], size, name)
        return Column(&doubles[0] if size > 0 else <const double*>NULL)
    raise ValueError(f"{name} must hold int16, int32, int64, float32 or float64, not '{kind}'")


cdef class Selection:
    """Tests on ``size`` events, joined by AND; ``exclude`` inverts a test. The object keeps its arrays alive."""

    cdef CSelection* tests
    cdef Py_ssize_t rows
    cdef list held

    def __cinit__(self, Py_ssize_t size):
        if size < 0:
            raise ValueError(f"size must not be negative, got {size}")
        self.rows = size
        self.held = []
        self.tests = new CSelection(<size_t>size)

    def __dealloc__(self):
        del self.tests

    @property
    def size(self):
        """The number of events."""
        return self.rows

    @property
    def capsule(self):
        """A capsule for other kernels, valid while this object exists."""
        return PyCapsule_New(self.tests, "chandra_bin.Selection", NULL)

    def ranges(self, column not None, const double[::1] lows not None, const double[::1] highs not None, *, bint closed,
               bint exclude=False):
        """Test that lows[k] <= v < highs[k], or <= with ``closed``, for any k."""
        self.tests.ranges(column_of(column, self.rows, "column"), doubles_of(lows), doubles_of(highs), closed, exclude)
        self.held.append(column)

    def bits(self, const uint32_t[::1] column not None, uint32_t mask, uint32_t value, bint exclude=False):
        """Test that (v & mask) == value."""
        check_rows(column.shape[0], self.rows, "column")
        self.tests.bits(&column[0] if self.rows > 0 else NULL, mask, value, exclude)
        self.held.append(column)

    def good_times(self, const double[::1] time not None, const double[::1] start not None,
                   const double[::1] stop not None, bint exclude=False):
        """Test that start[k] <= t < stop[k] for any k."""
        check_rows(time.shape[0], self.rows, "time")
        self.tests.good_times(&time[0] if self.rows > 0 else NULL, doubles_of(start), doubles_of(stop), exclude)
        self.held.append(time)

    def good_times_by_chip(self, const double[::1] time not None, const int16_t[::1] chip not None, *,
                           const double[::1] start not None, const double[::1] stop not None,
                           const int64_t[::1] offsets not None, bint exclude=False):
        """Test as `good_times` does, with the intervals offsets[c] .. offsets[c + 1] - 1 for chip c."""
        check_rows(time.shape[0], self.rows, "time")
        check_rows(chip.shape[0], self.rows, "chip")
        self.tests.good_times(&time[0] if self.rows > 0 else NULL, &chip[0] if self.rows > 0 else NULL,
                              doubles_of(start), doubles_of(stop), offsets_of(offsets), exclude)
        self.held += [time, chip]

    def mask(self, x not None, y not None, const uint8_t[:, ::1] image not None, *, double x_first_edge, double x_step,
             double y_first_edge, double y_step, bint exclude=False):
        """Test that the pixel of ``image`` (ny, nx) that contains (x, y) is not 0."""
        self.tests.mask(coordinates_of(x, self.rows, "x"), coordinates_of(y, self.rows, "y"),
                        &image[0, 0] if image.shape[0] > 0 and image.shape[1] > 0 else NULL,
                        edges_of(x_first_edge, x_step, image.shape[1]), edges_of(y_first_edge, y_step, image.shape[0]),
                        exclude)
        self.held += [x, y, image]

    def flags(self, const uint8_t[::1] array not None, bint exclude=False):
        """Test that array[i] is not 0."""
        check_rows(array.shape[0], self.rows, "flags")
        self.tests.flags(&array[0] if self.rows > 0 else NULL, exclude)
        self.held.append(array)

    def evaluate(self, int threads, uint8_t[::1] passes not None):
        """Set ``passes`` (n,) to 1 for events that pass all tests, else to 0; return how many pass."""
        check_rows(passes.shape[0], self.rows, "passes")
        cdef size_t passed
        if self.rows == 0:
            return 0
        with nogil:
            passed = c_select_events(self.tests[0], threads, &passes[0])
        return passed
