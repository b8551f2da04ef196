"""Where C++, Cython and C find the kernels (docs/how-to/embedding.md)."""

from pathlib import Path

import chandra_bin
from chandra_bin.errors import ChandraBinError


def get_include() -> str:
    """The folder of the headers: ``#include "chandra_bin/smooth.hpp"``, ``#include "chandra_bin/c_api.h"``."""
    return _installed("include", "chandra_bin/c_api.h")


def get_cmake_dir() -> str:
    """The folder that CMake's ``find_package(chandra_bin)`` looks for: give it as ``chandra_bin_DIR``."""
    return _installed("lib/cmake/chandra_bin", "chandra_bin-config.cmake")


def _installed(folder: str, file: str) -> str:
    """The folder below the package that holds the file; an editable install has the package in two places."""
    for place in chandra_bin.__path__:
        if (Path(place) / folder / file).is_file():
            return str(Path(place) / folder)
    raise ChandraBinError(f"this install of chandra-bin has no {folder}/{file}: install it anew (pip install .)")
