"""Radial profiles of net brightness."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats

# Rows of an image whose pixels are added at once, which limits memory.
_ROWS = 64


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


def radial_profile(counts: NDArray[Any], centre: tuple[float, float], *, exposure: NDArray[Any] | None = None,
                   background: NDArray[Any] | None = None, ratio: NDArray[Any] | float = 1.0,
                   use: NDArray[np.bool_] | None = None, annuli: int = 24) -> RadialProfile:
    """Return the net brightness of an image in annuli around a centre.

    Parameters
    ----------
    counts : number (ny, nx)
        Counts per pixel.
    centre : (float, float)
        x, y in array coordinates (the centre of the first pixel is 0).
    exposure : number (ny, nx), optional
        Exposure map. Pixels without exposure are excluded. Default: 1 everywhere.
    background : number (ny, nx), optional
        Background counts per pixel; NaN counts as 0.
    ratio : number, or numbers (ny, nx)
        Factor that scales ``background`` to ``counts``; NaN counts as 0.
    use : bool (ny, nx), optional
        True in pixels to use. Default: all.
    annuli : int
        Largest number of annuli, 2 or more. Radii are spaced logarithmically; annuli without pixels are skipped.
    """
    inside = np.isfinite(counts)
    if use is not None:
        inside &= use
    if exposure is not None:
        inside &= exposure > 0  # False for NaN
    squares = [(np.arange(side) - middle) ** 2 for side, middle in zip(counts.shape, centre[::-1], strict=True)]
    largest = max((float((squares[1][row] + square).max()) for row, square in zip(inside, squares[0], strict=True)
                   if row.any()), default=0.0)
    edges = np.concatenate([[0.0], np.geomspace(1.5, max(largest**0.5, 3.0), annuli)])
    edges[-1] *= 1 + 1e-9
    ratio = np.broadcast_to(np.asarray(ratio), counts.shape)
    weight, seen, expected, noise = np.zeros((4, annuli))
    for first in range(0, len(counts), _ROWS):
        rows = slice(first, first + _ROWS)
        used = inside[rows]
        radius = np.sqrt(squares[0][rows, None] + squares[1])[used]
        number = np.searchsorted(edges, radius, side="right") - 1
        weight += np.bincount(number, None if exposure is None else exposure[rows][used], annuli)
        seen += np.bincount(number, counts[rows][used], annuli)
        if background is not None:
            scale = ratio[rows][used].astype(np.float64)
            behind = np.nan_to_num(background[rows][used] * scale)
            expected += np.bincount(number, behind, annuli)
            noise += np.bincount(number, np.nan_to_num(behind * scale), annuli)
    there = weight > 0
    weight = weight[there]
    return RadialProfile(edges[:-1][there], edges[1:][there], (seen - expected)[there] / weight,
                         np.sqrt((seen + noise)[there]) / weight, expected[there] / weight)
