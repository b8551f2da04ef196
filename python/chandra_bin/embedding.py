"""Locations of the installed headers and CMake files for C++, Cython and C (docs/how-to/embedding.md)."""

from pathlib import Path

import chandra_bin
from chandra_bin.errors import ChandraBinError


def get_include() -> str:
    """Return the folder of the C++ and C headers, for the compiler's include path.

    It contains ``chandra_bin/smooth.hpp`` and the other kernel headers, and ``chandra_bin/c_api.h``.

    Returns
    -------
    str
        Absolute path.

    Raises
    ------
    ChandraBinError
        If the installation is incomplete.
    """
    return _installed("include", "chandra_bin/c_api.h")


def get_cmake_dir() -> str:
    """Return the folder of ``chandra_bin-config.cmake``; pass it to CMake as ``chandra_bin_DIR``.

    Returns
    -------
    str
        Absolute path.

    Raises
    ------
    ChandraBinError
        If the installation is incomplete.
    """
    return _installed("lib/cmake/chandra_bin", "chandra_bin-config.cmake")


def _installed(folder: str, file: str) -> str:
    """Return the folder that contains ``file``; an editable install spreads the package over two folders."""
    for place in chandra_bin.__path__:
        if (Path(place) / folder / file).is_file():
            return str(Path(place) / folder)
    raise ChandraBinError(f"this install of chandra-bin has no {folder}/{file}: reinstall it (pip install .)")
