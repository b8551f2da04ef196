"""The C API for other extension modules as a capsule; see chandra_bin/c_api.h."""

from cpython.pycapsule cimport PyCapsule_New

from chandra_bin.c_api cimport CHANDRA_BIN_CAPSULE, chandra_bin_api

_C_API = PyCapsule_New(<void*>chandra_bin_api(), CHANDRA_BIN_CAPSULE, NULL)
