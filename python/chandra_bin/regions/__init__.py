"""Region files of CIAO and DS9: reading, conversion, masks, and writing of equivalent files.

A pixel is in a region if its centre is, and edges belong to the shape, as in CIAO.
"""

import re
from typing import TYPE_CHECKING

from chandra_bin._checks.paths import FileName, as_path
from chandra_bin.errors import InputError, reason, warn

from ._astropy import from_astropy, to_astropy
from ._convert import convert_region
from ._extent import region_box, region_extent
from ._format import Style
from ._mask import region_mask
from ._parse import parse_regions
from ._points import points_in_region, region_labels
from ._shapes import PHYSICAL, PIXEL_SYSTEMS, WCS, Component, Format, Region, Semantics, Shape
from ._table import put_sky, read_table
from ._write import BinTexts, region_bytes, region_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "PHYSICAL",
    "PIXEL_SYSTEMS",
    "BinTexts",
    "Component",
    "Format",
    "Region",
    "Semantics",
    "Shape",
    "Style",
    "convert_region",
    "from_astropy",
    "has_shapes",
    "is_table_file",
    "parse_regions",
    "points_in_region",
    "put_sky",
    "read_regions",
    "region_box",
    "region_bytes",
    "region_extent",
    "region_labels",
    "region_mask",
    "region_of",
    "to_astropy",
]

# The first bytes of FITS files, gzipped or not.
_TABLE = (b"\x1f\x8b", b"SIMPLE  =")
# A shape with or without parentheses; DS9 accepts both.
_SHAPE = re.compile(r"[(]|[A-Za-z][ \t]+[-+.0-9]")


def read_regions(path: FileName, semantics: Semantics | None = None, *, for_ciao: bool = True,
                 block: int | None = None, rows: "NDArray[np.bool_] | None" = None) -> Region:
    """Return a region from a CIAO or DS9 file, or from a CIAO FITS region table.

    ``semantics`` is as in `parse_regions`. With ``for_ciao``, a `ChandraBinWarning` reports numbers in DS9 files that
    CIAO would silently read as physical pixels: degrees and image coordinates. For a FITS file, ``block`` is the number
    of the HDU to read (0: the primary one), by default the first region table, and ``rows`` (n,) is True for the rows
    to read, by default all. Raises `InputError`, with file and line, if the file cannot be read.
    """
    path = as_path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from None
    if content.startswith(_TABLE):
        return read_table(content, path, block, rows)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if "\0" in text:
        raise InputError(f"{path}: is neither a text file nor a FITS file")
    region = parse_regions(text, str(path), semantics)
    if for_ciao:
        _warn_of_misreading(region, text)
    return region


def is_table_file(path: FileName) -> bool:
    """Return whether a file is FITS (gzipped or not) by its first bytes; False if it cannot be read."""
    try:
        with as_path(path).open("rb") as file:
            return file.read(16).startswith(_TABLE)
    except OSError:
        return False


def has_shapes(path: FileName) -> bool:
    """Return whether a region file exists and contains a shape, not only comments, ``global`` or a coordinate system.

    A file without shapes is how a user states, by hand or with DS9, that there is nothing to exclude.
    """
    path = as_path(path)
    if not path.is_file():
        return False
    content = path.read_bytes()
    if content.startswith(_TABLE):
        return True
    lines = (line.split("#")[0] for line in content.decode(errors="replace").splitlines())
    return any(_SHAPE.search(line) for line in lines if not line.lstrip().startswith("global"))


def _warn_of_misreading(region: Region, text: str) -> None:
    """Warn about numbers that CIAO would read as physical pixels."""
    if region.format != "ds9":
        return
    lines = text.split("\n")
    for shape in region.shapes:
        if not shape.is_area or shape.system in ("physical", WCS):
            continue
        if shape.system in PIXEL_SYSTEMS or ":" not in lines[shape.line - 1].split("#")[0]:
            what = "image coordinates" if shape.system in PIXEL_SYSTEMS else f"{shape.system} degrees"
            warn(f"{region.source}: line {shape.line}: CIAO silently reads these {what} as physical pixels; "
                 "give CIAO tools a converted file (chandra-bin convert)")
            return
