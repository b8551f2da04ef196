"""Radial profiles of net brightness."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats


@dataclass(frozen=True, eq=False)
class RadialProfile:
    """Mean brightness in annuli. Radii are pixels; brightness is counts per unit of exposure and pixel."""

    inner: Floats
    outer: Floats
    brightness: Floats
    """Net: counts less the scaled background."""
    error: Floats
    """1 sigma, Poisson: of the counts and of the background's counts."""
    background: Floats
    """The scaled background."""


def radial_profile(counts: Floats, centre: tuple[float, float], *, exposure: Floats | None = None,
                   background: Floats | None = None, ratio: Floats | float = 1.0, use: NDArray[np.bool_] | None = None,
                   annuli: int = 24) -> RadialProfile:
    """Return the net brightness of an image in annuli around a centre.

    Parameters
    ----------
    counts : (ny, nx), counts.
    centre : x, y in array coordinates (the first pixel's centre is 0).
    exposure : (ny, nx), exposure map; None: 1 everywhere. Pixels without exposure are left out.
    background : (ny, nx), background counts; ``ratio`` (a number or an image) scales them to ``counts``.
    use : (ny, nx), True where pixels are used.
    annuli : their largest number. Radii are spaced logarithmically; annuli without pixels are left out.
    """
    exposed = np.ones(counts.shape) if exposure is None else np.nan_to_num(exposure)
    behind = np.zeros(counts.shape) if background is None else np.nan_to_num(background)
    used = (exposed > 0) & np.isfinite(counts)
    if use is not None:
        used &= use
    y, x = np.nonzero(used)
    radius = np.hypot(x - centre[0], y - centre[1])
    edges = np.concatenate([[0.0], np.geomspace(1.5, max(float(radius.max(initial=0)), 3.0), annuli)])
    edges[-1] *= 1 + 1e-9
    number = np.searchsorted(edges, radius, side="right") - 1
    scale = np.broadcast_to(np.asarray(ratio, float), counts.shape)[used]

    def total(values: Floats) -> Floats:
        return np.bincount(number, values, annuli)[:annuli].astype(np.float64)

    seen, expected = total(counts[used]), total(behind[used] * scale)
    variance = seen + total(behind[used] * scale**2)
    weight = total(exposed[used])
    there = weight > 0
    weight = weight[there]
    return RadialProfile(edges[:-1][there], edges[1:][there], (seen - expected)[there] / weight,
                         np.sqrt(variance[there]) / weight, expected[there] / weight)
