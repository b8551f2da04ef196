"""The profile of one bin over a quantity, from fits at several fixed values."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats

from .engines import ABUNDANCE, COVARIANCE, KT, KT_AT_NORM, NORM, NORM_AT_KT, STATISTIC
from .results import FLAGS

WITHIN = 5.0
"""Values whose statistic is up to this many times delta above the least take part in a profile."""
# Beyond an end of the error, a minimum that is below this many times delta, and that deep, may be the true one.
_OTHER_VALLEY, _DIP = 4.0, 0.3
# Points of the mesh on which profiles are interpolated.
_MESH = 801
_PARAMETERS = (KT, ABUNDANCE, NORM)


@dataclass(frozen=True, eq=False)
class FreeFit:
    """The fit of a bin with its value free: the value, its errors, and the row of the kernel's members."""

    value: float
    low: float
    high: float
    row: Floats
    flags: int


def profiled(nodes: Floats, rows: Floats, flags: NDArray[np.int32], delta: float) -> FreeFit:
    """Return the fit of a bin with a free value, from its fits at fixed values.

    Parameters
    ----------
    nodes : (values,), ascending.
    rows : (values, members)
        The kernel's results at each value, with errors at those whose statistic is near the least.
    flags : (values,)
    delta : float
        Rise of the statistic at the ends of errors.

    Notes
    -----
    At the value v, let C(v) be the least statistic, x(v) a parameter there, and x(v) + e(v) the end of its error for a
    rise of delta at fixed v. The statistic, minimised over v too, has risen by delta where x is the largest of
    x(v) + e(v) [1 - (C(v) - C_min) / delta]^(1/2), as profiles at fixed v are nearly parabolic. C, x and e vary
    smoothly and are interpolated; C by a cubic spline.
    """
    first, last = _window(rows[:, STATISTIC], delta)
    nodes, rows, flags = nodes[first:last], rows[first:last], flags[first:last]
    curve = _Curve.of(nodes, rows[:, STATISTIC], delta)
    nearest = int(np.argmin(np.abs(nodes - curve.best)))
    row = rows[nearest].copy()
    for member in range(STATISTIC, COVARIANCE.start):
        row[member] = np.interp(curve.best, nodes, rows[:, member])
    row[STATISTIC] = curve.least
    place = {KT: np.log(rows[:, KT]), ABUNDANCE: rows[:, ABUNDANCE], NORM: np.log(rows[:, NORM])}
    tracks = {p: _interpolated(nodes, place[p]) for p in _PARAMETERS}
    others = {KT: (NORM, NORM_AT_KT), NORM: (KT, KT_AT_NORM)}
    open_ends = 0
    for p in _PARAMETERS:
        row[p] = _out(p, float(tracks[p](curve.best)))
        for side, sign in enumerate((-1, 1)):
            ends = _in(p, rows[:, p + 1 + side])
            at, share = _furthest(curve, nodes, tracks[p], ends - place[p], sign)
            row[p + 1 + side] = np.nan
            if p in others:
                row[others[p][1].start + side] = np.nan
            if at is None:
                open_ends |= FLAGS["abundance open"] if p == ABUNDANCE else FLAGS["error open"]
                continue
            row[p + 1 + side] = _out(p, float(tracks[p](at)) + share * _linear(at, nodes, ends - place[p]))
            if p in others:
                q, members = others[p]
                moved = _in(q, rows[:, members.start + side]) - place[q]
                row[members.start + side] = _out(q, float(tracks[q](at)) + share * _linear(at, nodes, moved))
    row[COVARIANCE] += curve.variance * _outer([float(tracks[p](curve.best, 1)) for p in _PARAMETERS])
    own = FLAGS["error open"] | FLAGS["abundance open"]
    if not np.isfinite(rows[:, ABUNDANCE + 1: ABUNDANCE + 3]).any() and not flags[nearest] & own:
        open_ends &= ~FLAGS["abundance open"]  # a fixed abundance has no errors
    return FreeFit(curve.best, curve.best - curve.low, curve.high - curve.best, row,
                   int(flags[nearest]) & ~own | open_ends)


@dataclass(frozen=True, eq=False)
class _Curve:
    """The least statistic by value: where it is lowest, and how it rises on a mesh of values."""

    mesh: Floats
    rise: Floats
    """(mesh,), over delta."""
    best: float
    least: float
    low: float
    high: float
    """The ends of the error; NaN where open."""
    variance: float

    @classmethod
    def of(cls, nodes: Floats, statistic: Floats, delta: float) -> "_Curve":
        if len(nodes) == 1:
            return cls(nodes, np.zeros(1), float(nodes[0]), float(statistic[0]), np.nan, np.nan, 0.0)
        spline = _spline(nodes, statistic)
        mesh = np.union1d(np.linspace(nodes[0], nodes[-1], _MESH), nodes)
        values = spline(mesh)
        place = int(np.argmin(values))
        best, least = float(mesh[place]), float(values[place])
        if 0 < place < len(mesh) - 1:
            root = _between(spline, mesh[place - 1], mesh[place + 1])
            if spline(root) <= least:
                best, least = root, float(spline(root))
        rise = (values - least) / delta
        low, high = (_crossing(mesh, rise, place, step) for step in (-1, 1))
        curvature = float(spline(best, 2))
        return cls(mesh, rise, best, least, low, high, 2 / curvature if curvature > 0 else 0.0)

    def inside(self) -> NDArray[np.bool_]:
        """Where the rise is below delta on the mesh, in the valley of the least statistic."""
        low = -np.inf if np.isnan(self.low) else self.low
        high = np.inf if np.isnan(self.high) else self.high
        return np.asarray((self.rise < 1) & (self.mesh >= low) & (self.mesh <= high))


def _window(statistic: Floats, delta: float) -> tuple[int, int]:
    """Return the first and last value to interpolate between: those of low statistic, at least 4."""
    rise = np.concatenate([[np.inf], statistic - statistic.min(), [np.inf]])
    near = np.flatnonzero(rise < WITHIN * delta)
    first, last = int(near[0]), int(near[-1])
    while True:
        left, right = first > 1, last < len(rise) - 2
        if left and rise[first] < delta:
            first -= 1
        elif right and rise[last] < delta:
            last += 1
        elif last - first < 3 and (left or right):
            first, last = (first - 1, last) if rise[first - 1] < rise[last + 1] else (first, last + 1)
        else:
            return first - 1, last


def _spline(nodes: Floats, values: Floats) -> Any:
    from scipy.interpolate import CubicSpline, make_interp_spline

    if len(nodes) >= 4:
        return CubicSpline(nodes, values)
    return make_interp_spline(nodes, values, k=len(nodes) - 1)


def _interpolated(nodes: Floats, values: Floats) -> Any:
    """Return a function of the value and the order of the derivative; it is NaN where a value is unknown."""
    from scipy.interpolate import PchipInterpolator

    if len(nodes) == 1 or not np.all(np.isfinite(values)):
        return lambda at, order=0: (0.0 if order else np.interp(at, nodes, values))
    return PchipInterpolator(nodes, values)


def _between(spline: Any, low: float, high: float) -> float:
    """Return where the derivative of a spline is 0, or the middle."""
    slopes = float(spline(low, 1)), float(spline(high, 1))
    if not slopes[0] < 0 < slopes[1]:
        return 0.5 * (low + high)
    return float(low + (high - low) * slopes[0] / (slopes[0] - slopes[1]))


def _crossing(mesh: Floats, rise: Floats, place: int, step: int) -> float:
    """Return where the rise passes 1 on one side; NaN where it does not, or falls into another valley."""
    part = slice(place, None) if step > 0 else slice(place, None, -1)
    along, high = mesh[part], rise[part]
    above = np.flatnonzero(high >= 1)
    if not above.size:
        return float("nan")
    beyond = high[above[0]:]
    if (beyond < np.minimum(np.maximum.accumulate(beyond), _OTHER_VALLEY) - _DIP).any():
        return float("nan")
    k = int(above[0])
    if k == 0:
        return float(along[0])
    share = (1 - high[k - 1]) / (high[k] - high[k - 1])
    return float(along[k - 1] + share * (along[k] - along[k - 1]))


def _furthest(curve: _Curve, nodes: Floats, track: Any, distance: Floats, sign: int) -> tuple[float | None, float]:
    """Return the value at which a parameter is most extreme, and its share of the error there; None where open."""
    known = np.isfinite(distance)
    inside = curve.inside()
    at = curve.mesh[inside]
    held = (nodes >= at.min()) & (nodes <= at.max())
    if not known.any() or not known[held].all():
        return None, 0.0
    share = np.sqrt(np.clip(1 - curve.rise[inside], 0, 1))
    reach = sign * (track(at) + share * np.interp(at, nodes[known], distance[known]))
    place = int(np.argmax(reach))
    return float(at[place]), float(share[place])


def _linear(at: float, nodes: Floats, values: Floats) -> float:
    known = np.isfinite(values)
    return float(np.interp(at, nodes[known], values[known])) if known.any() else np.nan


def _in(member: int, values: Floats) -> Floats:
    return np.log(values) if member in (KT, NORM) else values


def _out(member: int, value: float) -> float:
    return float(np.exp(value)) if member in (KT, NORM) else value


def _outer(slopes: list[float]) -> Floats:
    steps = np.nan_to_num(np.array(slopes))
    return np.outer(steps, steps)[np.triu_indices(3)]
