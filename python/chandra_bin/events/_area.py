"""The area of the sky that filters leave."""

import numpy as np

from chandra_bin._kernels._select_events import Selection

from ._filter import RowFilter

# The sky's pixels, where no region says less, and how many points a side measure what regions leave of them.
_SKY_PX = (0.5, 8192.5)
_POINTS = 1024


def sky_area(wanted: RowFilter) -> float:
    """Sky pixels that regions and masks of a filter let events through from, to about one part in a thousand."""
    tests = [(group.tests[0], group.exclude) for group in wanted.groups if len(group.tests) == 1
             and [column.name.lower() for column in group.tests[0].columns] == ["x", "y"]]
    limits = np.array([wanted.limits("x"), wanted.limits("y")])  # of regions, and of ranges of x and y
    box = np.stack([np.maximum(limits[:, 0], _SKY_PX[0]), np.minimum(limits[:, 1], _SKY_PX[1])], axis=1)
    sides = np.maximum(box[:, 1] - box[:, 0], 0)
    if not tests:
        return float(sides.prod())
    steps = (np.arange(_POINTS) + 0.5) / _POINTS
    points = [axis.ravel() for axis in np.meshgrid(*(box[:, 0] + np.outer(steps, sides)).T)]
    selection = Selection(points[0].size)
    for test, exclude in tests:
        test.add(selection, {column.name.lower(): axis for column, axis in zip(test.columns, points, strict=True)},
                 exclude)
    inside = np.empty(points[0].size, np.uint8)
    return selection.evaluate(1, inside) / inside.size * float(sides.prod())
