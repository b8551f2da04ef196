"""Contour binning, adaptive smoothing and region files for Chandra images of galaxy clusters.

The public names of this package stand in ``__init__.pyi``, which type checkers read too. They are imported on first
use, so that ``import chandra_bin`` does not load numpy. It imports nothing else of the package.
"""

from typing import Any

import lazy_loader

_public, _, _names = lazy_loader.attach_stub(__name__, __file__)
# Attributes that a star import leaves out: it would replace packages of other projects, such as astropy's regions.
_MODULES = {"batch", "pipeline", "regions", "report", "simulate", "spectral", "tasks"}
__all__ = [*sorted({*_names, "__version__"} - {"_C_API"} - _MODULES)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("chandra-bin")
    return _public(name)


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
