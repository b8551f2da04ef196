"""The binmap that a reader can click on: bin numbers of pixels, packed for the script of the page."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .packed import deflated

# A browser draws this many pixels at once; of larger binmaps every second, third ... pixel is shown.
_MOST_PIXELS = 6_000_000
_COLOURS = 64
# cividis at equal steps (Nunez, Anderton & Renslow 2018, PLoS ONE 13, e0199239).
_CIVIDIS = (
    (0, 34, 78), (0, 46, 106), (26, 56, 111), (50, 67, 109), (67, 78, 108), (83, 90, 109), (97, 101, 111),
    (111, 112, 115), (125, 124, 120), (140, 136, 120), (155, 148, 118), (171, 160, 114), (188, 174, 108),
    (205, 187, 99), (222, 201, 88), (240, 216, 70), (254, 232, 56))


def packed_map(binmap: NDArray[np.int32]) -> dict[str, Any]:
    """Return the part of a binmap (ny, nx) that has bins, for the script ``page.js``.

    ``labels`` holds bin numbers plus 1 (0 outside bins), little-endian, deflated, in base64, the upper row first.
    ``x0`` and ``y0`` are the array coordinates of the lower left pixel; only every ``step``-th pixel is included.
    """
    rows, columns = np.nonzero(binmap >= 0)
    y0, y1, x0, x1 = int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1
    step = 1
    while -(-(y1 - y0) // step) * -(-(x1 - x0) // step) > _MOST_PIXELS:
        step += 1
    part = binmap[y0:y1:step, x0:x1:step][::-1] + 1
    size = 2 if int(binmap.max()) + 1 < 2**16 else 4
    labels = deflated(np.ascontiguousarray(part, dtype=f"<u{size}").tobytes())
    return {"width": part.shape[1], "height": part.shape[0], "x0": x0, "y0": y0, "step": step, "size": size,
            "bins": int(binmap.max()) + 1, "labels": labels, "colours": _colours()}


def _colours() -> list[list[int]]:
    """Return the colours of matplotlib's cividis, which colour-blind readers can use, without matplotlib.

    The browser draws the binmap, so that the page shows it even where matplotlib fails.
    """
    place = np.linspace(0, len(_CIVIDIS) - 1, _COLOURS)
    parts = [np.interp(place, np.arange(len(_CIVIDIS)), part) for part in zip(*_CIVIDIS, strict=True)]
    colours: list[list[int]] = np.rint(np.transpose(parts)).astype(int).tolist()
    return colours
