"""Headers of FITS files: lines of HISTORY, and what to look for before astropy reads one."""

import io
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .errors import InputError

if TYPE_CHECKING:
    from astropy.io.fits import Header

# FITS files consist of blocks of this many bytes, and headers of cards of this many.
FITS_BLOCK = 2880
CARD = 80
_MOST_AXES = 999
_SIZE = re.compile(rb"(?:HIERARCH +)?(BITPIX|NAXIS\d*|PCOUNT|GCOUNT) *= *([-+]?\d+)", re.IGNORECASE)


def add_history(header: "Header", lines: Iterable[str]) -> None:
    """Adds lines of HISTORY; characters that FITS headers cannot hold are escaped."""
    for line in lines:
        header.add_history(line.encode("ascii", "backslashreplace").decode().replace("\n", "\\n"))


def check_axes(stream: BinaryIO, path: Path) -> None:
    """Raises `InputError` for a FITS file that says of a block that it has more axes than FITS knows (999).

    astropy goes through all of them before it looks whether the header has them, and takes hours for 10^12.
    """
    stream.seek(0, io.SEEK_END)
    end, at = stream.tell(), 0
    while at < end:
        stream.seek(at)
        sizes: dict[str, int] = {}
        block = b""
        while b"END" not in {block[i : i + CARD].rstrip() for i in range(0, len(block), CARD)}:
            block = stream.read(FITS_BLOCK)
            if not block:
                break
            for i in range(0, len(block), CARD):
                if said := _SIZE.match(block, i, i + CARD):
                    sizes.setdefault(said[1].decode().upper(), int(said[2]))
        axes = sizes.get("NAXIS", 0)
        if axes > _MOST_AXES:
            raise InputError(f"{path}: is damaged or not a FITS file: a header says that there are {axes} axes (NAXIS)")
        pixels = math.prod(sizes.get(f"NAXIS{n}", 0) for n in range(1, axes + 1)) if axes > 0 else 0
        data = abs(sizes.get("BITPIX", 8)) // 8 * sizes.get("GCOUNT", 1) * (pixels + sizes.get("PCOUNT", 0))
        at = stream.tell() + max(-(-data // FITS_BLOCK) * FITS_BLOCK, 0)
    stream.seek(0)
