"""The map of bins that a reader can click on: labels of pixels, packed for the script of the page."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .packed import deflated

# A browser draws so many pixels at once; of larger maps every second, third ... pixel is taken.
_MOST_PIXELS = 6_000_000
_COLOURS = 64
# cividis at equal steps (Nunez, Anderton & Renslow 2018, PLoS ONE 13, e0199239).
_CIVIDIS = (
    (0, 34, 78), (0, 46, 106), (26, 56, 111), (50, 67, 109), (67, 78, 108), (83, 90, 109), (97, 101, 111),
    (111, 112, 115), (125, 124, 120), (140, 136, 120), (155, 148, 118), (171, 160, 114), (188, 174, 108),
    (205, 187, 99), (222, 201, 88), (240, 216, 70), (254, 232, 56))


def packed_map(binmap: NDArray[np.int32]) -> dict[str, Any]:
    """The part of a binmap that has bins, for the script: see ``page.js``.

    ``labels`` are numbers of bins plus 1 (0: none), little-endian, deflated, in base64, the upper row first. ``x0`` and
    ``y0`` are the array coordinates of the lower left pixel, and every ``step``-th pixel is there.
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
    """A colour map from dark to bright that colour-blind readers can use: matplotlib's cividis, without matplotlib.

    The map is drawn by the browser, so that it is there even where no picture can be drawn.
    """
    place = np.linspace(0, len(_CIVIDIS) - 1, _COLOURS)
    parts = [np.interp(place, np.arange(len(_CIVIDIS)), part) for part in zip(*_CIVIDIS, strict=True)]
    colours: list[list[int]] = np.rint(np.transpose(parts)).astype(int).tolist()
    return colours
