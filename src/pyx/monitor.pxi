# Ctrl-C and progress of long kernels; included by the modules of such kernels.
#
# A kernel polls its Control from the thread that called it. The poll takes the GIL at most ten times a second, lets
# Python run its signal handlers and calls the caller's progress(fraction). An exception raised there stops the kernel
# (Cancelled, a RuntimeError here) and is raised again when the `with` block of the Monitor ends.

from cpython.exc cimport PyErr_CheckSignals
from libcpp cimport bool

from chandra_bin.control cimport Control


cdef extern from *:
    """
    #include <chrono>
    static double chandra_bin_seconds() {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    }
    """
    double chandra_bin_seconds() noexcept nogil


cdef struct PollState:
    void* monitor
    double last


cdef bool ask(void* data, double fraction) noexcept with gil:
    cdef Monitor monitor = <Monitor>data
    try:
        PyErr_CheckSignals()
        if monitor.progress is not None:
            monitor.progress(fraction)
    except BaseException as error:
        monitor.error = error
        return False
    return True


cdef bool poll(void* data, double fraction) noexcept nogil:
    cdef PollState* state = <PollState*>data
    cdef double time = chandra_bin_seconds()
    if time - state.last < 0.1:
        return True
    state.last = time
    return ask(state.monitor, fraction)


cdef class Monitor:
    """Monitor of one kernel call; ``progress`` is called with the fraction done, 0 to 1, or is None."""

    cdef PollState state
    cdef object progress
    cdef object error

    def __cinit__(self, progress=None):
        self.progress = progress
        self.error = None
        self.state.monitor = <void*>self
        self.state.last = chandra_bin_seconds()

    cdef Control control(self):
        cdef Control control
        control.poll = poll
        control.data = &self.state
        return control

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if self.error is not None:
            raise self.error from None
        return False
