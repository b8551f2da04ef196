"""Draw pixels into axes, and write them to a PNG file, in half the time of the default functions."""

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

# Compression level of zlib: higher levels take twice as long and save 10 % of the bytes.
_LEVEL = 3
_INCHES_PER_M = 1 / 0.0254


def draw_pixels(axes: "Axes", image: NDArray[Any], extent: tuple[float, float, float, float],
                **colours: Any) -> "AxesImage":
    """Fill axes with the pixels of an image as blocks of one colour; the first row is at the bottom.

    The result equals that of ``imshow`` with ``interpolation="nearest"``, without its floating-point operations for
    each pixel of the picture. ``extent`` are the limits of the axes: left, right, bottom, top. ``colours`` are ``norm``
    and ``cmap`` for an image (ny, nx) of numbers.
    """
    from matplotlib.image import PcolorImage

    left, right, bottom, top = extent
    ny, nx = image.shape[:2]
    picture = PcolorImage(axes, np.linspace(left, right, nx + 1), np.linspace(bottom, top, ny + 1), image, **colours)
    axes.add_image(picture)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    return picture


def png_bytes(rgb: NDArray[np.uint8], dpi: float) -> bytes:
    """Return the PNG of an image (ny, nx, 3), with the first row on top.

    Rows are not filtered: pictures with large areas of one colour take less time and fewer bytes than with the five
    filters that Pillow tries.
    """
    ny, nx, _ = rgb.shape
    rows = np.zeros((ny, 1 + 3 * nx), np.uint8)
    rows[:, 1:] = rgb.reshape(ny, 3 * nx)
    pixels_per_m = round(dpi * _INCHES_PER_M)
    return b"\x89PNG\r\n\x1a\n" + b"".join((
        _chunk(b"IHDR", struct.pack(">IIBBBBB", nx, ny, 8, 2, 0, 0, 0)),
        _chunk(b"pHYs", struct.pack(">IIB", pixels_per_m, pixels_per_m, 1)),
        _chunk(b"IDAT", zlib.compress(rows.data, _LEVEL)), _chunk(b"IEND", b"")))


def _chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
