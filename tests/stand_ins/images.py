"""Images: read through virtual names, cut by regions, and made of events."""

import math
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from . import files
from .errors import ToolError
from .events import EventList
from .files import Block
from .regions import region_of
from .sky import Grid, Plane, plane_of_image
from .subspace import Component, add_region, read_subspace, write_subspace
from .virtual import Name, parse

_TYPES = {"i2": ">i2", "i4": ">i4", "r4": ">f4", "r8": ">f8"}
_SHORT_MOST = 32_767


@dataclass
class Image:
    """Pixels (ny, nx) with their header, and the blocks behind them."""

    header: fits.Header
    data: NDArray[np.generic]
    rest: list[Block]

    @property
    def grid(self) -> Grid:
        return Grid.of_image(self.header)

    @property
    def plane(self) -> Plane:
        return plane_of_image(self.header)


def is_image(name: Name) -> bool:
    """Whether a virtual name is of an image, and not of a table."""
    blocks = files.read(name.path)
    wanted = [each for each in blocks if not name.block or each.name == name.block.upper()]
    first = next((each for each in wanted if each.data is not None), None)
    return first is not None and not first.is_table


def open_image(text: str | Name) -> Image:
    """The image of a virtual name: pixels that filters cut are 0 (``opt null=NaN``: NaN), and the rest is cropped."""
    name = parse(text) if isinstance(text, str) else text
    blocks = files.read(name.path)
    chosen = next((each for each in blocks if each.data is not None and not each.is_table
                   and (not name.block or each.name == name.block.upper())), None)
    if chosen is None or chosen.data is None:
        raise ToolError(f"Failed to open virtual file {name.path}: no image in it")
    if name.axes:
        raise ToolError(f"Failed to open virtual file {name.path}: images are not binned again by these stand-ins")
    image = Image(chosen.header.copy(), chosen.data, [each for each in blocks if each.is_table])
    _filter(image, name)
    kind = name.options.get("type")
    if kind is not None:
        image.data = image.data.astype(_TYPES[kind])
    return image


def _filter(image: Image, name: Name) -> None:
    if not name.filters:
        return
    grid, subspace = image.grid, read_subspace(image.header)
    x, y = np.meshgrid(grid.x.centres, grid.y.centres)
    passing = np.ones(grid.shape, bool)
    box = [-math.inf, math.inf, -math.inf, math.inf]
    for each in name.filters:
        inside = np.ones(grid.shape, bool)
        for term in each.terms:
            if term.kind == "mask":
                inside &= np.nan_to_num(open_image(term.text).data.astype(float)) != 0
            elif term.kind == "region":
                region = region_of(term.text, _plane_or_none(image.header))
                inside &= region.contains(x, y)
                subspace = add_region(subspace, region.said(exclude=each.exclude))
                if not each.exclude:
                    limits = region.box()
                    box = [max(box[0], limits[0]), min(box[1], limits[1]),
                           max(box[2], limits[2]), min(box[3], limits[3])]
            else:
                raise ToolError(f"DM Parse error: filter on {term.column or term.text} of an image {name.path}")
        passing &= ~inside if each.exclude else inside
    null = name.options.get("null", "0")
    kind = _TYPES.get(name.options.get("type", ""), image.data.dtype)
    image.data = np.where(passing, image.data, np.asarray(float(null))).astype(kind)
    if name.options.get("update") != "no":
        write_subspace(image.header, subspace)
    if "full" not in name.options:
        _crop(image, box)


def _plane_or_none(header: fits.Header) -> Plane | None:
    return plane_of_image(header) if "CRVAL1" in header else None


def _crop(image: Image, box: list[float]) -> None:
    """To the whole pixels that a box (x0, x1, y0, y1) touches."""
    grid = image.grid
    ends = []
    for axis, low, high in ((grid.x, *box[:2]), (grid.y, *box[2:])):
        first = max(0, math.floor((low - axis.first) / axis.step + 1e-6)) if math.isfinite(low) else 0
        last = min(axis.size, math.ceil((high - axis.first) / axis.step - 1e-6)) if math.isfinite(high) else axis.size
        if first >= last:
            raise ToolError("DM Parse error: the filter leaves no pixel of the image")
        ends.append((first, last))
    (x0, x1), (y0, y1) = ends
    image.data = image.data[y0:y1, x0:x1]
    header = image.header
    header["NAXIS1"], header["NAXIS2"] = x1 - x0, y1 - y0
    for n, axis, shift in ((1, grid.x, x0), (2, grid.y, y0)):
        header[f"CRVAL{n}P"], header[f"CRPIX{n}P"] = axis.first + shift * axis.step, 0.5
        for key in (f"CRPIX{n}", f"LTV{n}"):
            if key in header:
                header[key] -= shift


def smallest_counts(counts: NDArray[np.generic]) -> NDArray[np.generic]:
    """Counts as the Data Model stores them: short integers, where these are large enough."""
    return counts.astype(np.int16 if int(np.max(counts, initial=0)) <= _SHORT_MOST else np.int32)


def image_header(events: EventList, grid: Grid, plane: Plane, subspace: list[Component],
                 **about: object) -> fits.Header:
    """The header of an image of events."""
    header = files.without_columns(events.header)
    grid.put_into(header, plane)
    header["HDUNAME"], header["CONTENT"] = "EVENTS_IMAGE", "IMAGE"
    header["HDUCLASS"], header["HDUCLAS1"] = "OGIP", "IMAGE"
    for key, value in about.items():
        header[key] = value
    write_subspace(header, subspace)
    header["NAXIS1"], header["NAXIS2"] = grid.shape[::-1]
    return header
