# C++ declarations for Cython, one file per header: `from chandra_bin.smooth cimport smooth`. Part of the package.
