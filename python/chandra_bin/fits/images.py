"""FITS images: read into plain arrays, and written with the header of the image they derive from."""

import re
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from chandra_bin.errors import InputError, NoImage, counted

from .headers import FITS_BLOCK, add_history, open_file, opened_by_astropy, reading, text_of, uncompressed
from .sky_keywords import moved_sky
from .tables import sound_header, write_header

if TYPE_CHECKING:
    from astropy.io.fits import HDUList, Header

# Keywords that describe the stored pixels of the input and would be wrong in an output.
_STALE = re.compile(
    "SIMPLE|XTENSION|BITPIX|NAXIS[0-9]*|EXTEND|PCOUNT|GCOUNT|GROUPS|INHERIT|EXTNAME|EXTVER|EXTLEVEL|BSCALE|BZERO|BLANK"
    "|BUNIT|DATAMIN|DATAMAX|CHECKSUM|DATASUM|ZHECKSUM|ZDATASUM"
)

# Keywords of the third and higher axes.
_HIGHER_AXIS = re.compile(
    "(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA|CNAME|CRDER|CSYER|LTV|WCSTY)[3-9][A-Z]?"
    "|(PC|CD|LTM)([3-9]_[0-9]|[0-9]_[3-9])[A-Z]?|WCSAXES"
)

# Bytes of pixels that are swapped and written at once: they stay in the cache.
_MOST_WRITTEN = 1 << 18


@dataclass(frozen=True, repr=False)
class Image:
    """A 2-D FITS image.

    Attributes
    ----------
    data : ndarray (ny, nx)
        Pixel values with BSCALE and BZERO applied; NaN where a pixel has no value.
    header : astropy.io.fits.Header
        Header of the image's HDU.
    path : pathlib.Path
        The file that the image was read from.
    """

    data: NDArray[Any]
    header: "Header"
    path: Path

    def __repr__(self) -> str:
        return f"<Image: {size_text(self.data.shape)} pixels of {self.data.dtype}, {self.path}>"

    def without_pixels(self) -> "Image":
        """Return the image with all pixels 0 in a broadcast array, so that the memory of its pixels can be freed."""
        return Image(np.broadcast_to(np.zeros((), self.data.dtype), self.data.shape), self.header, self.path)

    def number(self, keyword: str, default: float) -> float:
        """Return a number from the header. Raises `InputError` if the keyword exists but is not a number."""
        value = self.header.get(keyword, default)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise InputError(f"{self.path}: the keyword {keyword} must be a number, got {value!r}") from None


def read_image_file(path: Path, block: str | int | None = None) -> Image:
    """Return the first 2-D image of a FITS file (may be gzipped), or that of the block with a name or number (from 1).

    Axes of length 1 beyond the second are dropped. BSCALE, BZERO and BLANK are applied; blank pixels become NaN. Raises
    `InputError`, one line that begins with the file, if the file cannot be read and for infinite pixels.
    """
    with reading(path), open_file(path) as file:
        return _read_open(file, path, block)


def product_header(header: "Header", history: Iterable[str], **keywords: str | int | float) -> "Header":
    """Return the header of a product: the input's without stale keywords, then ``keywords`` and HISTORY lines.

    WCS and physical keywords are kept. Characters that FITS headers cannot contain are escaped.
    """
    from astropy.io.fits import Header

    product = Header([copy(card) for card in header.cards if not _STALE.fullmatch(card.keyword)])
    product.update(keywords)
    add_history(product, history)
    return product


def moved_header(image: Image, first: tuple[int, int], step: tuple[int, int] = (1, 1)) -> "Header":
    """Return the header of an image cropped to start at pixel ``first`` (x, y; from 0) and binned by ``step``.

    The pixels keep their sky and physical coordinates. Raises `InputError` if coordinate keywords are not numbers.
    """
    header = image.header
    made = product_header(header, [])
    try:
        moved = moved_sky(header, (first[0] + 0.5, first[1] + 0.5), step)
    except InputError as error:
        raise InputError(f"{image.path}: {error}") from None
    for key, value in moved.items():
        if value is None:
            del made[key]
        else:
            made[key] = value
    for n, begin, width in zip((1, 2), first, step, strict=True):
        if not begin and width == 1:
            continue
        if f"CRPIX{n}P" in header:
            made[f"CRPIX{n}P"] = (image.number(f"CRPIX{n}P", 0.0) - begin - 0.5) / width + 0.5
        elif f"CRVAL{n}P" in header:
            made[f"CRPIX{n}P"] = (0.5 - begin - 0.5) / width + 0.5
        if f"CDELT{n}P" in header:
            made[f"CDELT{n}P"] = image.number(f"CDELT{n}P", 0.0) * width
        if f"LTV{n}" in header or f"LTM{n}_{n}" in header:
            made[f"LTV{n}"] = (image.number(f"LTV{n}", 0.0) - begin - 0.5) / width + 0.5
            made[f"LTM{n}_{n}"] = image.number(f"LTM{n}_{n}", 1.0) / width
    return made


def write_image(file: BinaryIO, data: NDArray[Any], header: "Header") -> None:
    """Write a FITS file with one image, (ny, nx) or (n,), and the cards of ``header`` (see `product_header`)."""
    from astropy.io.fits import Header

    structure = {
        "SIMPLE": True,
        "BITPIX": data.dtype.itemsize * (-8 if data.dtype.kind == "f" else 8),
        "NAXIS": data.ndim,
        **{f"NAXIS{n}": size for n, size in enumerate(reversed(data.shape), start=1)},
    }
    write_header(file, Header([*Header(structure).cards, *header.cards]))
    stored = data.dtype.newbyteorder(">")
    rows = max(1, _MOST_WRITTEN // max(data[:1].nbytes, 1))
    for first in range(0, len(data), rows):
        file.write(np.ascontiguousarray(data[first:first + rows], stored).data.cast("B"))
    file.write(bytes(-data.nbytes % FITS_BLOCK))


def _read_open(file: BinaryIO, path: Path, block: str | int | None) -> Image:
    """Return the image of an open file."""
    stream, size = uncompressed(file, path)
    start = stream.read(9)
    stream.seek(0)
    if not start:
        raise InputError(f"{path}: is empty")
    if start != b"SIMPLE  =":
        raise InputError(f"{path}: is not a FITS file (it begins with {start!r})")
    with opened_by_astropy(stream, path, "is damaged or not a FITS file") as hdus:
        return _first_image(hdus, size, path, block)


def _first_image(hdus: "HDUList", size: int, path: Path, block: str | int | None) -> Image:
    """Return the first 2-D image among the HDUs, or that of ``block``."""
    seen = []
    for number, hdu in enumerate(hdus, start=1):
        if block is not None and block != number and str(block).upper() not in (
                hdu.name.upper(), text_of(hdu.header, "HDUNAME").upper()):
            continue
        shape = hdu.shape if hdu.is_image else ()
        if len(shape) >= 2 and all(side == 1 for side in shape[:-2]):
            return _image(hdu, size, path)
        if shape:
            seen.append(f"{len(shape)}-D ({size_text(shape)})")
    if seen:
        raise InputError(f"{path}: holds no 2-D image, only {', '.join(seen)}; give an image with two axes")
    if block is not None:
        raise NoImage(f"{path}: has no image in block {block}")
    raise NoImage(f"{path}: holds no image; give a 2-D FITS image (an event file must be binned first)")


def _image(hdu: Any, size: int, path: Path) -> Image:
    """Return the image of an HDU after checks of its size and pixels."""
    header = sound_header(hdu.header.copy(), path)
    shape = hdu.shape
    if 0 in shape:
        raise InputError(f"{path}: the image has no pixels ({size_text(shape)})")
    stored = hdu.fileinfo()
    ends = stored["datLoc"] + min(hdu.size, stored["datSpan"])  # the span is shorter for compressed images
    if ends > size:
        raise InputError(f"{path}: is truncated: {size} bytes, but the image ends at byte {ends}; fetch it again")
    if len(shape) > 2:
        for keyword in [card.keyword for card in header.cards if _HIGHER_AXIS.fullmatch(card.keyword)]:
            header.remove(keyword, ignore_missing=True)
    data = hdu.data.reshape(shape[-2:])
    infinite = np.count_nonzero(np.isinf(data))
    if infinite:
        raise InputError(f"{path}: has {counted(infinite, 'infinite pixel')}; replace them, e.g. by NaN (no data)")
    return Image(data, header, path)


def size_text(shape: tuple[int, ...]) -> str:
    """Return a shape in the order of FITS and DS9, first axis first: (80, 96) is 96 x 80."""
    return " x ".join(str(side) for side in reversed(shape))
