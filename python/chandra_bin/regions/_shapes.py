"""What a region is: shapes, joined by OR and AND, in one of the systems that region files know."""

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

# The property of DS9 that holds the number of a shape's bin.
_BIN_TAG = re.compile(r"tag=\{bin (\d+)\}")


@dataclass(frozen=True)
class Kind:
    """How many points, lengths and angles a kind of shape has."""

    points: int
    lengths: int = 0
    angles: int = 0


# Kinds that cover pixels, in the order of ShapeKind in rasterize.hpp. docs/developers/add-a-shape.md lists what a new one needs.
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

    ``kind`` is a key of ``AREAS``, or ``text``, ``line``, ``vector`` ... for what only decorates a picture.
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
    """Of lengths: ``image`` or ``physical`` pixels, or ``deg``."""
    complement: bool = False
    """Everything outside the shape."""
    properties: str = ""
    """What stood behind the ``#``: colour, text, tags."""
    line: int = 0
    """Line, or row, of the file; 0 for what no file held."""
    norths: int = 1
    """How often the north of the image turns the angles of a sky system: DS9 counts an epanda's from a turned axis."""

    @property
    def is_area(self) -> bool:
        """Whether the shape covers pixels."""
        return self.kind in AREAS

    @property
    def bin(self) -> int | None:
        """The number of the bin that the tag of the shape names; None for a shape of no bin."""
        named = _BIN_TAG.search(self.properties)
        return int(named[1]) if named else None

    def complemented(self) -> "Shape":
        """Its other side."""
        return replace(self, complement=not self.complement)


def bin_tag(number: int) -> str:
    """Return the tag, a property of DS9's, of the shapes of a bin."""
    return f"tag={{bin {number}}}"


def check_corners(points: Floats) -> None:
    """Raises `InputError` for a rectangle of pixel coordinates that is not given as lower left, upper right.

    CIAO reads it, and finds no pixel in it; after a conversion, which orders corners, there would be some.
    """
    (x0, y0), (x1, y1) = points.tolist()
    if x0 > x1 or y0 > y1:
        raise InputError(f"has its corners in the wrong order ({x0:g},{y0:g},{x1:g},{y1:g}), so that CIAO finds no "
                         "pixel in it: give the lower left one first, then the upper right one")


Component = tuple[Shape, ...]

EVERYWHERE = Shape("field", np.empty((0, 2)))


@dataclass(frozen=True, eq=False, repr=False)
class Region:
    """A region: in any of ``components``, where every shape of a component holds, and in none of ``cuts``."""

    components: tuple[Component, ...]
    cuts: tuple[Shape, ...] = ()
    decorations: tuple[Shape, ...] = ()
    """Texts, lines and others that cover no pixels."""
    format: Format = "ciao"
    """Whose file it is: in the sky, angles are taken from the image's +x (ciao), or from the west as DS9 does (ds9)."""
    other: "Region | None" = field(default=None, repr=False)
    """The region as the other reader (DS9 beside CIAO) understands the file, where that may differ."""
    settings: str = ""
    """DS9's line of global properties."""
    source: str = "the region"
    coords: ImageCoords | None = field(default=None, repr=False)
    """The coordinates of a table whose columns have a sky: physical numbers are pixels of that sky."""

    def __repr__(self) -> str:
        return f"<Region: {counted(len(self.shapes), 'shape')}, {self.source}>"

    @property
    def shapes(self) -> list[Shape]:
        """The shapes that the file held, decorations included, in its order."""
        held = [*(shape for component in self.components for shape in component), *self.cuts, *self.decorations]
        return sorted((shape for shape in held if shape is not EVERYWHERE), key=lambda shape: shape.line)

    @property
    def bins(self) -> "dict[int, Region]":
        """The region of each bin of a file of several bins, by the number of the bin, in the order of the file.

        Numbers are those of DS9's tags ``tag={bin N}``, of CIAO's comments ``# bin N``, and of the column BIN_NUMBER
        of tables. Shapes of no bin are left out; what the file takes away from all shapes is taken away from each bin.
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
