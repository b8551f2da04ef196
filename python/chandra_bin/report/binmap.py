"""The map of bins that a reader can click on: labels of pixels, packed for the script of the page."""

import zlib
from base64 import b64encode
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A browser draws so many pixels at once; of larger maps every second, third ... pixel is taken.
_MOST_PIXELS = 6_000_000
_COLOURS = 64


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
    labels = zlib.compress(np.ascontiguousarray(part, dtype=f"<u{size}").tobytes(), 9)
    return {"width": part.shape[1], "height": part.shape[0], "x0": x0, "y0": y0, "step": step, "size": size,
            "bins": int(binmap.max()) + 1, "labels": b64encode(labels).decode(), "colours": _colours()}


def _colours() -> list[list[int]]:
    """A colour map from dark to bright that colour-blind readers can use."""
    from matplotlib import colormaps

    shades = colormaps["cividis"](np.linspace(0, 1, _COLOURS))[:, :3]
    return [[round(255 * float(part)) for part in shade] for shade in shades]
