# C++ for Cython, a file a header: `from chandra_bin.smooth cimport smooth`. Installed beside chandra_bin/__init__.py.
