"""The compiled kernels, one module a kernel.

The contract of this layer: arguments are native-endian, C-ordered arrays of exactly the dtypes that the ``.pyi``
files name (read-only ones are taken); shapes are checked here, meaning is not; the GIL is released for the one call
into C++. Import the public functions from ``chandra_bin`` instead: their gate, ``_arrays``, takes anything.
"""
