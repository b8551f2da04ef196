"""Images, binmaps and event lists that the benchmarks measure on, simulated from fixed seeds.

``quick`` asks for a small one.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .race import CHECKOUT, Inputs

Floats = NDArray[np.float64]
NGC5044 = "contbin/golden/inputs/ngc5044_364x366.fits.gz"


def shared_file(name: str) -> Path:
    """Return a file in the folder of real data: $CHANDRA_BIN_SHARED, or ``../shared`` next to the checkout."""
    return Path(os.environ.get("CHANDRA_BIN_SHARED") or CHECKOUT.parent / "shared") / name


def ngc5044(**others: Any) -> Callable[[bool], Inputs]:
    """The counts image of NGC 5044."""

    def inputs(_quick: bool) -> Inputs:
        from astropy.io import fits

        data = fits.getdata(shared_file(NGC5044))
        return {"counts": data.astype(data.dtype.newbyteorder("=")), **others}

    return inputs


def cluster(size: int, counts: float, **others: Any) -> Callable[[bool], Inputs]:
    """A cluster on ``size`` x ``size`` pixels; ``others`` (for example a S/N) become inputs as they are."""

    def inputs(quick: bool) -> Inputs:
        from chandra_bin.simulate import cluster_image

        side, total = (64, 4e4) if quick else (size, counts)
        return {"counts": cluster_image((side, side), total, seed=1), **others}

    return inputs


def sparse(size: int, mean: float = 1.84e6 / 2048**2, flat: float = 0.08, core: float = 84 / 2048,
           **others: Any) -> Callable[[bool], Inputs]:
    """A beta model (beta 2/3) on ``flat`` counts a pixel, ``mean`` in all; its core radius in sides of the image."""

    def inputs(quick: bool) -> Inputs:
        side = 64 if quick else size
        y, x = np.indices((side, side)) - (side - 1) / 2
        model = (1 + (x**2 + y**2) / (core * side) ** 2) ** -1.5
        total = (mean - flat) * side**2
        counts = np.random.default_rng(2).poisson(total * model / model.sum() + flat).astype(np.int32)
        return {"counts": counts, **others}

    return inputs


def _vignetting(size: int, off_axis: float) -> Floats:
    """The response of a telescope around a point ``off_axis`` half images off the middle; its maximum is 1."""
    y, x = (np.indices((size, size)) - (size - 1) / 2) / (size / 2)
    factor: Floats = 1 - 0.25 * ((x - off_axis) ** 2 + y**2)
    return factor


def with_background(size: int, counts: float) -> Inputs:
    """A cluster, a blank-sky image of four times its exposure, and the exposure maps (seconds) of both."""
    from chandra_bin.simulate import cluster_image

    exposure = 1e5 * _vignetting(size, 0.1)
    background_exposure = 4e5 * _vignetting(size, -0.1)
    expected = 0.02 * counts / size**2 * background_exposure / exposure  # the background in cluster_image is 0.02
    return {
        "counts": cluster_image((size, size), counts, seed=1),
        "background": np.random.default_rng(3).poisson(expected).astype(np.int32),
        "exposure": exposure.astype(np.float32),
        "background_exposure": background_exposure.astype(np.float32),
    }


def scaled_flux(size: int, counts: float) -> Inputs:
    """A cluster divided by its relative exposure, which is 1 on average: floats, scaled to counts."""
    from chandra_bin.simulate import cluster_image

    relative = _vignetting(size, 0.1)
    image = cluster_image((size, size), counts, seed=1) / (relative / relative.mean())
    return {"counts": image.astype(np.float32)}


def random_bins(size: int, bins: int, ragged: float = 0.6) -> NDArray[np.int32]:
    """A binmap: bins around random points, with borders as ragged as those of contour bins."""
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    at = np.stack([y, x], axis=-1) + rng.normal(0, ragged, (size, size, 2))
    nearest = cKDTree(rng.uniform(0, size, (bins, 2))).query(at)[1]
    return np.asarray(nearest, np.int32).reshape(size, size)


def long_outline(vertices: int, middle: float = 182, radius: float = 140) -> Floats:
    """A ragged ring (n, 2) around the middle of an image of 364 pixels, or of another scale."""
    rng = np.random.default_rng(2)
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    scale = radius / 140
    length = scale * (140 + 25 * np.cos(5 * angle) + rng.uniform(-3, 3, vertices))
    return np.column_stack([middle + length * np.cos(angle), middle + length * np.sin(angle)])


def places(scene: str, size: int, events: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """x and y of events in 0 .. ``size``: "even" over the field, or mostly in a "cluster"."""
    rng = np.random.default_rng(1)
    xy = rng.uniform(0, size, (2, events))
    if scene == "cluster":
        clustered = rng.random(events) < 0.7
        xy[:, clustered] = size / 2 + rng.normal(0, size / 20, (2, np.count_nonzero(clustered)))
    x, y = np.clip(xy, 0, np.nextafter(np.float32(size), np.float32(0))).astype(np.float32)
    return x, y


def columns(events: int) -> dict[str, Any]:
    """Columns that filters read: energies in eV, times in order, and chips."""
    rng = np.random.default_rng(2)
    return {
        "energy": rng.uniform(300, 10_000, events).astype(np.float32),
        "time": np.arange(events) + 0.5,
        "chip": rng.integers(0, 4, events).astype(np.int16),
    }
