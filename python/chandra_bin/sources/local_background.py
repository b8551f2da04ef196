"""Fit of a background to an image: particles, the sky, and the outskirts of the cluster.

The expected counts in a pixel i of the fitted part are

    m_i = p U_i + s E_i + k E_i (1 + (q_i / c)**2)**-g

with U the particle map (exposure time without vignetting, weighted on each chip with its counts at 9 - 12 keV), E the
exposure map with the mirror's vignetting, and q the elliptical radius in units of the cluster's region. p, s and k are
0 or more; g = 3 beta - 1/2 as in a beta model. The background of the whole image is p U + s E. The likelihood is that
of Poisson counts summed over pixels of similar radius and vignetting.

The result is the mean over models, weighted with their likelihoods: particles of 0 to 1 of the background, outskirts
with beta of 0.4 to 1 and core radii of 0.1 to 0.6, with equal priors. Its variance is the variance of the amplitudes
(inverse Fisher matrix) plus that between models, scaled up by C over the degrees of freedom of the best model if this
exceeds 1. With a cluster, the squares of `SHAPE_ERROR` and of the largest change between the inner radii are added.

References: Cash 1979, ApJ 228, 939 (likelihood); Cavaliere & Fusco-Femiano 1976, A&A 49, 137 (beta models); Vikhlinin,
Forman & Jones 1999, ApJ 525, 47 (slopes of outskirts: beta of 0.65 to 0.85).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin._checks.arrays import as_flags, as_image
from chandra_bin.errors import InputError

from .background import BIN_SHARE, Background

INNER_RADII = (0.5, 0.7, 0.9)
"""Inner radii of the outskirts, in radii of the cluster's region. The fit uses the middle one; the change of the result
with the others is part of the error."""
SHAPE_ERROR = 0.03
"""1-sigma fractional error of the background with a cluster: outskirts differ from beta models, and particles vary over
a chip. Blank skies have the same systematic error by default."""
_RADIUS_STEP = 0.03  # of cells, in ln q
_VIGNETTING_CELLS = 24
# Slopes beta, and core radii in units of the region's radius. Clusters have no slopes outside this range, and steeper
# ones would count the outskirts as background.
_BETAS = (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
_CORES = (0.1, 0.2, 0.3, 0.45, 0.6)
_SHARES = tuple(step / 10 for step in range(11))  # of particles
_ROUNDS = 60
_CONVERGED = 1e-5


@dataclass(frozen=True, eq=False)
class LocalFit:
    """The background of an image, fitted in a part of it. Numbers are counts unless stated otherwise."""

    background: Background
    particles: float
    """Particles in the whole image."""
    sky: float
    """Vignetted sky in the whole image."""
    cluster: float
    """Outskirts of the cluster in the fitted part."""
    beta: float | None
    """Mean slope beta of the outskirts; None without a cluster."""
    measured: float
    """All counts in the fitted part."""
    fit_error: float
    """1-sigma error of the background in the whole image, from noise and from the shape of the outskirts."""
    radius_error: float
    """Largest change of the background with the inner radius of the outskirts; 0 without a cluster."""
    statistic: float
    """Cash statistic of the best model, minus that of a perfect model, over the degrees of freedom."""


@dataclass(frozen=True, eq=False)
class _Cells:
    """Sums over pixels of similar radius and vignetting, arrays (cells,)."""

    counts: Floats
    particles: Floats
    sky: Floats
    radius: Floats
    """The elliptical radius q; 1 without a cluster."""

    def parts(self, shape: "_Shape", whole: Floats) -> Floats:
        """Return the parts of the model, (cells, 1 or 2): for one background count in the image, and for k = 1."""
        parts = [shape.share * self.particles / whole[0] + (1 - shape.share) * self.sky / whole[1]]
        if shape.beta is not None:
            parts.append(self.sky * (1 + (self.radius / shape.core) ** 2) ** (0.5 - 3 * shape.beta))
        return np.stack(parts, axis=1)


@dataclass(frozen=True)
class _Shape:
    """The shape of a model."""

    share: float
    """Fraction of particles in the background counts."""
    beta: float | None = None
    """None without a cluster."""
    core: float = 1.0


@dataclass(frozen=True, eq=False)
class _Solution:
    """The mean of the fits of several shapes, weighted with their likelihoods."""

    particles: float
    sky: float
    """Counts in the whole image."""
    cluster: float
    beta: float | None
    variance: float
    """Variance of the background counts in the whole image."""
    statistic: float


def fit_local_background(counts: ArrayLike, exposure: ArrayLike, particles: ArrayLike, mask: ArrayLike, *,
                         cluster: ArrayLike | None = None, particle_ratio: tuple[float, float] | None = None,
                         share: float = BIN_SHARE) -> LocalFit:
    """Fit a background of particles and sky outside a cluster, and scale each part with its own map: see the module.

    Parameters
    ----------
    counts : image, (ny, nx)
        Counts per pixel.
    exposure : image, (ny, nx)
        Vignetted exposure map in any unit; pixels of 0 or less are excluded.
    particles : image, (ny, nx)
        The map U, expected counts at 9 - 12 keV; see `chandra_bin.tasks.particles.particle_map`.
    mask : image of bool, (ny, nx)
        True in pixels that are excluded from the fit: sources, and a cluster that is not modelled.
    cluster : image of bool, (ny, nx), optional
        True in the cluster's region. The model includes its outskirts, a beta model outside `INNER_RADII`. Default: no
        cluster is modelled.
    particle_ratio : (float, float), optional
        p and its 1-sigma error, above 0: particle counts in the band per count at 9 - 12 keV, for example from stowed
        observations. Default: p is free.
    share : float
        The fraction of the image's background, above 0 and at most 1, of bins that get the true noise: see
        `local_background`.

    Raises `InputError` if no pixel or no counts are left to fit.
    """
    image = as_image(counts, "counts", np.float64)
    exposed, flat = (as_image(each, name, np.float64, image.shape)
                     for each, name in ((exposure, "exposure"), (particles, "particles")))
    there = (exposed > 0) & (flat > 0) & np.isfinite(image) & np.isfinite(exposed) & np.isfinite(flat)
    free = there & ~as_flags(mask, "mask", image.shape)
    radius = np.ones(image.shape)
    inner: tuple[float, ...] = (0.0,)
    if cluster is not None:
        radius, inner = elliptical_radius(as_flags(cluster, "cluster", image.shape)), INNER_RADII
    whole = np.array([float(each[there].sum()) for each in (flat, exposed)])
    solved = []
    for begin in inner:
        here = free & (radius >= begin)
        if not math.fsum(image[here]) > 0:
            raise InputError(f"the background cannot be fitted to {math.fsum(image[here]):g} counts in "
                             f"{np.count_nonzero(here)} pixels: give a smaller region of the cluster")
        solved.append(_solve(_cells(image[here], exposed[here], flat[here], radius[here]), whole, particle_ratio,
                             modelled=cluster is not None))
    middle = len(inner) // 2
    made = solved[middle]
    expected = np.where(there, made.particles / whole[0] * flat + made.sky / whole[1] * exposed, 0.0)
    total = float(expected.sum())
    if not total > 0:
        raise InputError("the fit assigns all counts to the outskirts of the cluster: give a larger image, or a blank "
                         "sky")
    change = max(abs(each.particles + each.sky - total) for each in solved)
    error = math.sqrt(made.variance + change**2 + (0.0 if cluster is None else SHAPE_ERROR * total)**2) / total
    measured = math.fsum(image[free & (radius >= inner[middle])])
    ratio = min(share * total / measured, 1.0)
    background = Background(expected / ratio, np.full(image.shape, ratio), error)
    return LocalFit(background, made.particles, made.sky, made.cluster, made.beta, measured, math.sqrt(made.variance),
                    change, made.statistic)


def elliptical_radius(region: NDArray[np.bool_]) -> Floats:
    """Return the radius of each pixel in units of a region, (ny, nx): 1 on the edge of an ellipse of its moments."""
    y, x = np.nonzero(region)
    if len(x) < 3:
        raise InputError(f"the region of the cluster covers {len(x)} pixels of the image: give a larger one")
    centre = np.array([x.mean(), y.mean()])
    # A filled ellipse of semi-axis a has the variance a² / 4; that of a pixel is 1 / 12.
    moments = np.cov(np.stack([x, y]), bias=True) + np.eye(2) / 12
    inverse = np.linalg.inv(4 * moments)
    rows, columns = np.indices(region.shape, dtype=np.float64)
    u, v = columns - centre[0], rows - centre[1]
    made: Floats = np.sqrt(inverse[0, 0] * u**2 + 2 * inverse[0, 1] * u * v + inverse[1, 1] * v**2)
    return made


def _cells(counts: Floats, exposure: Floats, particles: Floats, radius: Floats) -> _Cells:
    """Return the sums over pixels of similar radius and vignetting."""
    vignetting = exposure / particles
    edges = np.quantile(vignetting, np.linspace(0, 1, _VIGNETTING_CELLS + 1)[1:-1])
    cell = np.searchsorted(edges, vignetting)
    logs = np.log(radius)
    cell += _VIGNETTING_CELLS * np.floor((logs - logs.min()) / _RADIUS_STEP).astype(np.int64)
    _, cell = np.unique(cell, return_inverse=True)
    sums = [np.bincount(cell, each).astype(np.float64) for each in (counts, particles, exposure, exposure * logs)]
    return _Cells(sums[0], sums[1], sums[2], np.exp(sums[3] / sums[2]))


def _solve(cells: _Cells, whole: Floats, known: tuple[float, float] | None, *, modelled: bool) -> _Solution:
    """Return the mean over models, weighted with their likelihoods."""
    shapes = [_Shape(share, beta, core) for share in _SHARES for beta in _BETAS for core in _CORES]
    if not modelled:
        shapes = [_Shape(share) for share in _SHARES]
    fits = [_fit(cells.parts(shape, whole), cells.counts, shape.share / whole[0], known) for shape in shapes]
    least = min(each.statistic for each in fits)
    reduced = least / max(len(cells.counts) - (5 if modelled else 2), 1)
    excess = max(reduced, 1.0)
    weights = np.array([math.exp((least - each.statistic) / (2 * excess)) for each in fits])
    weights /= weights.sum()
    totals = np.array([each.background for each in fits])
    mean = float(weights @ totals)
    variance = float(weights @ (np.array([each.variance * excess for each in fits]) + (totals - mean) ** 2))
    particles = float(weights @ (totals * [shape.share for shape in shapes]))
    beta = float(weights @ [shape.beta or 0.0 for shape in shapes]) if modelled else None
    return _Solution(particles, mean - particles, float(weights @ [each.cluster for each in fits]), beta, variance,
                     reduced)


@dataclass(frozen=True)
class _Fit:
    """The fit of one model."""

    background: float
    """Counts in the whole image."""
    cluster: float
    """Counts of the outskirts in the fitted part."""
    variance: float
    """Variance of the background counts."""
    statistic: float


def _fit(parts: Floats, counts: Floats, ratio: float, known: tuple[float, float] | None) -> _Fit:
    """Return the maximum-likelihood amplitudes of one model. ``ratio`` is p for one background count.

    Iterated least squares, weighted with the variances of the model, solve the likelihood equations.
    """
    from scipy.optimize import nnls

    sizes = parts.sum(axis=0)
    scaled = parts / sizes
    first = np.zeros((1, len(sizes)))
    wanted = 0.0
    if known is not None:
        first[0, 0] = ratio / sizes[0] / known[1]
        wanted = known[0] / known[1]
    values = np.full(len(sizes), counts.sum() / len(sizes))
    for _ in range(_ROUNDS):
        spread = np.sqrt(np.maximum(scaled @ values, 1e-9))
        new, _ = nnls(np.concatenate([scaled / spread[:, None], first]), np.append(counts / spread, wanted))
        done = np.abs(new - values).max() <= _CONVERGED * counts.sum()
        values = new
        if done:
            break
    model = np.maximum(scaled @ values, 1e-9)
    seen = counts > 0
    logs: Any = np.log(counts[seen] / model[seen])
    statistic = 2 * (math.fsum(model - counts) + math.fsum(counts[seen] * logs))
    statistic += float(first[0] @ values - wanted) ** 2
    fisher = scaled.T @ (scaled / model[:, None]) + first.T @ first
    variance = float(np.linalg.pinv(fisher, rcond=1e-12, hermitian=True)[0, 0]) / sizes[0] ** 2
    return _Fit(float(values[0] / sizes[0]), float(values[1:].sum()), max(variance, 0.0), statistic)
