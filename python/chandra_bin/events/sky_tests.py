"""The area of the sky that filters leave."""

import numpy as np
from numpy.typing import NDArray

from chandra_bin._kernels._select_events import Selection

from .filters import RowFilter
from .row_tests import RowTest, RowTests

# The sky's pixels, where no region says less, and how many points a side measure what regions leave of them.
_SKY_PX = (0.5, 8192.5)
_POINTS = 1024
# What exposure follows without a test of the sky: good times, chips; bands are looked at by themselves.
_KNOWN = {"time", "ccd_id", "energy", "pi"}


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
    inside = _passing(tests, points)
    return np.count_nonzero(inside) / inside.size * float(sides.prod())


def sky_passes(wanted: RowFilter, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether filters on the sky (regions, masks, ranges of x and y) let events through at these places, (n,)."""
    tests = [(group.tests[0], group.exclude) for group in wanted.groups if _is_of_sky(group)]
    return _passing(tests, [x, y]) if tests else np.ones(len(x), bool)


def has_sky_tests(wanted: RowFilter) -> bool:
    """Whether `sky_passes` may be False anywhere."""
    return any(map(_is_of_sky, wanted.groups))


def columns_beyond_exposure(wanted: RowFilter) -> list[str]:
    """The columns, as text, of filters that say more than where, when, on which chip and at which energy."""
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
    return len(group.tests) == 1 and {column.name.lower() for column in group.tests[0].columns} <= {"x", "y"}


def _passing(tests: list[tuple[RowTest, bool]], points: list[NDArray[np.float64]]) -> NDArray[np.bool_]:
    selection = Selection(points[0].size)
    for test, exclude in tests:
        names = [column.name.lower() for column in test.columns]
        pair = names if len(names) == 2 else ["x", "y"]
        test.add(selection, dict(zip(pair, points, strict=True)), exclude)
    inside = np.empty(points[0].size, np.uint8)
    selection.evaluate(1, inside)
    return inside.view(bool)
