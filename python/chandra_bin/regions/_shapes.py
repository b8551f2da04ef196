"""The structure of a region: shapes joined by OR and AND, in a coordinate system of region files."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from chandra_bin._checks.array_types import Floats
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, counted

Semantics = Literal["ciao", "ds9"]
Format = Literal["ciao", "ds9", "fits"]

IMAGE, PHYSICAL, WCS = "image", "physical", "wcs"
PIXEL_SYSTEMS = (IMAGE, PHYSICAL)
DEGREES = "deg"

# The DS9 property with the number of a shape's bin.
_BIN_TAG = re.compile(r"tag=\{bin (\d+)\}")


@dataclass(frozen=True)
class Kind:
    """The numbers of points, lengths and angles of a kind of shape."""

    points: int
    lengths: int = 0
    angles: int = 0


# Kinds that cover pixels, in the order of ShapeKind in rasterize.hpp. To add a kind, see
# docs/developers/add-a-shape.md.
AREAS = {
    "circle": Kind(1, 1),
    "ellipse": Kind(1, 2, 1),
    "box": Kind(1, 2, 1),
    "annulus": Kind(1, 2),
    "pie": Kind(1, 2, 2),
    "sector": Kind(1, 0, 2),
    "rectangle": Kind(2),
    "point": Kind(1),
    "polygon": Kind(3),
    "field": Kind(0),
}


@dataclass(frozen=True, eq=False)
class Shape:
    """One shape of a region file.

    ``kind`` is a key of ``AREAS``, or ``text``, ``line``, ``vector`` ... for decorations of a picture.
    """

    kind: str
    points: Floats
    """x and y (n, 2) in ``system``: FITS pixels (the first centre at 1) in ``image``, degrees in the sky."""
    lengths: tuple[float, ...] = ()
    """Radii, or width and height, in ``unit``."""
    angles: tuple[float, ...] = ()
    """Degrees, counter-clockwise from +x (in a sky system of DS9: from west through north)."""
    system: str = PHYSICAL
    """``image``, ``physical``, ``wcs`` (the image's own frame) or a frame of astropy."""
    unit: str = PHYSICAL
    """Unit of lengths: ``image`` or ``physical`` pixels, or ``deg``."""
    complement: bool = False
    """Everything outside the shape."""
    properties: str = ""
    """The text after ``#``: colour, text, tags."""
    line: int = 0
    """Line, or row, of the file; 0 for shapes that are not from a file."""
    norths: int = 1
    """How often the image's north rotates angles of a sky system: DS9 measures an epanda's from a rotated axis."""

    @property
    def is_area(self) -> bool:
        """Whether the shape covers pixels."""
        return self.kind in AREAS

    @property
    def bin(self) -> int | None:
        """The bin number in the shape's tag; None for a shape without a bin."""
        named = _BIN_TAG.search(self.properties)
        return int(named[1]) if named else None

    def complemented(self) -> "Shape":
        """Return the complement of the shape."""
        return replace(self, complement=not self.complement)


def bin_tag(number: int) -> str:
    """Return the tag, a DS9 property, of the shapes of a bin."""
    return f"tag={{bin {number}}}"


def check_corners(points: Floats) -> None:
    """Raise `InputError` for a pixel rectangle whose corners are not lower left, upper right.

    CIAO reads such a rectangle without finding a pixel in it; a conversion, which orders corners, would change that.
    """
    (x0, y0), (x1, y1) = points.tolist()
    if x0 > x1 or y0 > y1:
        raise InputError(f"has its corners in the wrong order ({x0:g},{y0:g},{x1:g},{y1:g}), so CIAO finds no pixel in "
                         "it: give the lower left corner first, then the upper right corner")


Component = tuple[Shape, ...]

EVERYWHERE = Shape("field", np.empty((0, 2)))


@dataclass(frozen=True, eq=False, repr=False)
class Region:
    """A region: a position is inside if all shapes of any of ``components`` contain it, and none of ``cuts`` does."""

    components: tuple[Component, ...]
    cuts: tuple[Shape, ...] = ()
    decorations: tuple[Shape, ...] = ()
    """Texts, lines and other shapes without area."""
    format: Format = "ciao"
    """Format of the file: sky angles are measured from the image's +x (ciao), or from the west (ds9)."""
    other: "Region | None" = field(default=None, repr=False)
    """The region as the other reader (DS9 for CIAO files, and vice versa) understands the file, if that may differ."""
    settings: str = ""
    """DS9's line of global properties."""
    source: str = "the region"
    coords: ImageCoords | None = field(default=None, repr=False)
    """The coordinates of a table whose columns have sky coordinates; physical coordinates are pixels of that sky."""

    def __repr__(self) -> str:
        return f"<Region: {counted(len(self.shapes), 'shape')}, {self.source}>"

    @property
    def shapes(self) -> list[Shape]:
        """The shapes of the file in its order, including decorations."""
        held = [*(shape for component in self.components for shape in component), *self.cuts, *self.decorations]
        return sorted((shape for shape in held if shape is not EVERYWHERE), key=lambda shape: shape.line)

    @property
    def bins(self) -> "dict[int, Region]":
        """The region of each bin by bin number, in the order of the file.

        Bin numbers come from DS9's tags ``tag={bin N}``, CIAO's comments ``# bin N``, or the column BIN_NUMBER of
        tables. Shapes without a bin are ignored; shapes excluded from all shapes are excluded from each bin.
        """
        components: dict[int, list[Component]] = {}
        for component in self.components:
            if (number := component[0].bin) is not None:
                components.setdefault(number, []).append(component)
        return {number: Region(tuple(own), self.cuts, format=self.format, source=f"{self.source}, bin {number}",
                               coords=self.coords) for number, own in components.items()}

    @property
    def areas(self) -> Iterator[Shape]:
        """The shapes that cover pixels."""
        for component in self.components:
            yield from component
        yield from self.cuts
