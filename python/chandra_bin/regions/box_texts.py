"""Bins as boxes in text: the region files of contbin's ``make_region_files``."""

from collections.abc import Iterator

import numpy as np

from chandra_bin.binning.boxes import BinBoxes

from ._format import CIAO_HEAD


def region_texts(boxes: BinBoxes, edge: tuple[float, float], scale: tuple[float, float]) -> Iterator[str]:
    """Yield the text of ``xaf_0.reg``, ``xaf_1.reg``, ... up to the first number without pixels.

    ``edge`` is the physical position (x, y) of the lower left edge of the first pixel, ``scale`` the physical size of a
    pixel (negative for a reversed axis). Numbers have six significant digits, as in contbin's files.
    """
    x = edge[0] + scale[0] * (boxes.x + boxes.w / 2)
    y = edge[1] + scale[1] * (boxes.y + boxes.h / 2)
    rows = np.column_stack([x, y, abs(scale[0]) * boxes.w, abs(scale[1]) * boxes.h]).tolist()
    line = "rotbox(%.6g,%.6g,%.6g,%.6g,0)\n"
    for b in range(boxes.numbered):
        first, last = boxes.offsets[b : b + 2]
        yield CIAO_HEAD + "".join(line % tuple(row) for row in rows[first:last])
