"""Radial profiles of net brightness."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats


@dataclass(frozen=True, eq=False)
class RadialProfile:
    """Mean brightness in annuli, arrays (annuli,). Radii are in pixels, brightness in counts per exposure and pixel."""

    inner: Floats
    outer: Floats
    brightness: Floats
    """Net brightness: counts minus the scaled background."""
    error: Floats
    """1-sigma Poisson error of the counts and of the background counts."""
    background: Floats
    """The scaled background."""


def radial_profile(counts: Floats, centre: tuple[float, float], *, exposure: Floats | None = None,
                   background: Floats | None = None, ratio: Floats | float = 1.0, use: NDArray[np.bool_] | None = None,
                   annuli: int = 24) -> RadialProfile:
    """Return the net brightness of an image in annuli around a centre.

    Parameters
    ----------
    counts : float (ny, nx)
        Counts per pixel.
    centre : (float, float)
        x, y in array coordinates (the centre of the first pixel is 0).
    exposure : float (ny, nx), optional
        Exposure map. Pixels without exposure are excluded. Default: 1 everywhere.
    background : float (ny, nx), optional
        Background counts per pixel.
    ratio : float or float (ny, nx)
        Factor that scales ``background`` to ``counts``.
    use : bool (ny, nx), optional
        True in pixels to use. Default: all.
    annuli : int
        Largest number of annuli. Radii are spaced logarithmically; annuli without pixels are skipped.
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
