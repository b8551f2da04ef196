"""The sky area that filters leave."""

import numpy as np
from numpy.typing import NDArray

from chandra_bin._kernels._select_events import Selection

from .filters import RowFilter
from .row_tests import RowTest, RowTests

# The sky pixels without a region, and the number of sample points per side for measuring areas.
_SKY_PX = (0.5, 8192.5)
_POINTS = 1024
# Columns whose filters do not limit the sky: good times and chips are in the exposure, bands are handled apart.
_KNOWN = {"time", "ccd_id", "energy", "pi"}


def sky_area(wanted: RowFilter) -> float:
    """Return the area in sky pixels that regions and masks of a filter leave, to about one part in a thousand."""
    tests = [(group.tests[0], group.exclude) for group in wanted.groups if len(group.tests) == 1
             and [column.name.lower() for column in group.tests[0].columns] == ["x", "y"]]
    limits = np.array([wanted.limits("x"), wanted.limits("y")])  # of regions, and of ranges of x and y
    box = np.stack([np.maximum(limits[:, 0], _SKY_PX[0]), np.minimum(limits[:, 1], _SKY_PX[1])], axis=1)
    sides = np.maximum(box[:, 1] - box[:, 0], 0)
    if not tests:
        return float(sides.prod())
    steps = (np.arange(_POINTS) + 0.5) / _POINTS
    points = [axis.ravel() for axis in np.meshgrid(*(box[:, 0] + np.outer(steps, sides)).T)]
    inside = _passing(tests, points)
    return np.count_nonzero(inside) / inside.size * float(sides.prod())


def sky_passes(wanted: RowFilter, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether filters on the sky (regions, masks, ranges of x and y) pass events at these positions, (n,)."""
    tests = [(group.tests[0], group.exclude) for group in wanted.groups if _is_of_sky(group)]
    return _passing(tests, [x, y]) if tests else np.ones(len(x), bool)


def has_sky_tests(wanted: RowFilter) -> bool:
    """Return whether `sky_passes` may be False anywhere."""
    return any(map(_is_of_sky, wanted.groups))


def columns_beyond_exposure(wanted: RowFilter) -> list[str]:
    """Return the columns, as text, of filters on other quantities than position, time, chip and energy."""
    found = []
    for group in wanted.groups:
        names = list(dict.fromkeys(column.name.lower() for test in group.tests for column in test.columns))
        if _is_of_sky(group):
            continue
        if not group.exclude and set(names) <= _KNOWN:
            continue
        if group.exclude and set(names) <= {"time", "ccd_id"}:
            continue
        found.append(f"{' and '.join(names)}{' (exclude)' if group.exclude else ''}")
    return list(dict.fromkeys(found))


def _is_of_sky(group: RowTests) -> bool:
    """Return whether a group is one test of x, y or both."""
    return len(group.tests) == 1 and {column.name.lower() for column in group.tests[0].columns} <= {"x", "y"}


def _passing(tests: list[tuple[RowTest, bool]], points: list[NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Return whether points pass the tests."""
    selection = Selection(points[0].size)
    for test, exclude in tests:
        names = [column.name.lower() for column in test.columns]
        pair = names if len(names) == 2 else ["x", "y"]
        test.add(selection, dict(zip(pair, points, strict=True)), exclude)
    inside = np.empty(points[0].size, np.uint8)
    selection.evaluate(1, inside)
    return inside.view(bool)
