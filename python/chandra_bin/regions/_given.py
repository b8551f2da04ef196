"""Regions in the forms users have: of this package, of astropy's ``regions``, or in a file."""

import sys
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from chandra_bin.coords.given import CoordsLike, as_coords
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError

from ._astropy import from_astropy
from ._shapes import Region


class AstropyRegion(Protocol):
    """A region of astropy's ``regions``, in pixels or in the sky."""

    @property
    def meta(self) -> Any:
        """Metadata, such as ``include``."""

    @property
    def visual(self) -> Any:
        """Attributes for drawing."""


# A region, the name of a region file, or one or several regions of astropy's package.
RegionLike: TypeAlias = Region | str | PathLike[str] | AstropyRegion | Sequence[AstropyRegion]


def as_region(given: RegionLike, coords: ImageCoords | None, name: str = "region") -> Region:
    """Return a `Region` from a `Region`, the name of a region file, or a Region or Regions of astropy's package.

    ``coords`` convert astropy's sky regions. Raises `InputError` for other types.
    """
    if isinstance(given, Region):
        return given
    if isinstance(given, str | PathLike):
        from . import read_regions

        return read_regions(Path(given))
    package: Any = sys.modules.get("regions")
    if package is not None:
        if isinstance(given, package.Region):
            return from_astropy([given], coords)
        if isinstance(given, package.Regions | Sequence) and all(isinstance(each, package.Region) for each in given):
            return from_astropy(given, coords)
    raise InputError(f"{name} is of the type {type(given).__name__}: give a region of read_regions, the name of a "
                     "region file, or a Region of astropy's regions")


def coords_if_given(coords: CoordsLike | None, shape: tuple[int, int] | None = None) -> ImageCoords | None:
    """Return the given coordinates; None for None."""
    return None if coords is None else as_coords(coords, shape=shape)
