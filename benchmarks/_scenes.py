"""Binmaps to measure on, and lines of a table."""

import numpy as np
from numpy.typing import NDArray


def random_bins(size: int, bins: int, ragged: float = 0.6, seed: int = 0) -> NDArray[np.int32]:
    """Bins of ``size`` x ``size`` pixels around random points, their borders as ragged as those of contour bins."""
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    places = np.stack([y, x], axis=-1) + rng.normal(0, ragged, (size, size, 2))
    nearest = cKDTree(rng.uniform(0, size, (bins, 2))).query(places)[1]
    return np.asarray(nearest, np.int32).reshape(size, size)


def row(what: str, seconds: float | None, target: float | None = None, note: str = "") -> None:
    """One line of a table: what was measured, seconds, and the target."""
    measured = "not installed" if seconds is None else f"{seconds:.4f}"
    wanted = "" if target is None else f"<= {target:g}"
    print(f"{what:<58} {measured:>13} {wanted:>10}  {note}".rstrip())
