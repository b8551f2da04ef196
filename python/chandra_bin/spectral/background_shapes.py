"""Background shapes that many spectra share: one shape, or one of the particles and one of the sky."""

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats

from .statistics import channel_groups

# Pooled counts of each run of channels in which a shape is flat: for one shape, and for two, which are less certain.
SHAPE_COUNTS = 10
TWO_SHAPES_COUNTS = 40
# Two shapes are separated in this many bands and steps; then each channel is divided between them in fewer steps.
_BANDS, _STEPS, _CHANNEL_STEPS = 40, 300, 60
# Spectra of a group, and their counts of 9 - 12 keV together, that two shapes need.
_LEAST_SPECTRA, _LEAST_HARD = 10, 300
# The share of the sky varies where its chi-square is this many sigma above what noise gives.
_SIGNIFICANT = 4.0
# The least amount, as a fraction of the mean share, so that a fit can raise an amount that is 0 by chance.
_LEAST_PART = 0.1
_TINY = 1e-12


def one_shape(off: Floats) -> Floats:
    """Return the expected counts (datasets, channels) of spectra that share one shape and differ in their counts."""
    pooled = off.sum(axis=0)
    if not pooled.any():
        return np.zeros(off.shape)
    runs = channel_groups(pooled, SHAPE_COUNTS)
    shape = (np.bincount(runs, pooled) / np.bincount(runs))[runs] / pooled.sum()
    return np.outer(off.sum(axis=1), shape)


def sky_varies(off: Floats, hard: Floats) -> bool:
    """Return whether spectra need a shape of the sky: whether their ratio to 9 - 12 keV varies more than by noise.

    ``off`` (datasets, channels) are counts of background spectra, ``hard`` (datasets,) their counts of 9 - 12 keV,
    which are particles alone.
    """
    total, seen = off.sum(axis=1), hard > 0
    if np.count_nonzero(seen) < _LEAST_SPECTRA or hard.sum() < _LEAST_HARD:
        return False
    ratio = total.sum() / hard.sum()
    variance = np.maximum(ratio * (total + hard), _TINY)
    chi_square = float(((total - ratio * hard) ** 2 / variance).sum())
    return bool(chi_square > len(hard) + _SIGNIFICANT * np.sqrt(2 * len(hard)))


def two_shapes(off: Floats, hard: Floats) -> tuple[Floats, Floats]:
    """Return the expected counts of particles and of the sky in spectra that share the shapes of both.

    Parameters
    ----------
    off : (datasets, channels)
        Counts of background spectra.
    hard : (datasets,)
        Their counts of 9 - 12 keV, which are particles alone.

    Returns
    -------
    expected : (2, datasets, channels)
        Counts for amounts of 1. A component that is nearly absent has at least a tenth of its mean share, so that its
        amount can be fitted.
    expected_hard : (datasets,)

    Notes
    -----
    The spectra and their counts of 9 - 12 keV are factored into amounts and shapes, all positive, that maximise the
    Poisson likelihood, by the multiplicative steps of Lee & Seung; the sky has no counts of 9 - 12 keV. Any part of the
    sky that is the same in all spectra may go with the particles: the expected sum is the same.

    References
    ----------
    Lee & Seung 1999, Nature 401, 788.
    """
    pooled = off.sum(axis=0)
    bands = channel_groups(pooled, pooled.sum() / _BANDS)
    counts = np.column_stack([_summed(off, bands), hard])
    amounts, shapes = _first_guess(counts)
    for _ in range(_STEPS):
        amounts *= _shared(counts, amounts, shapes) @ shapes.T / shapes.sum(axis=1)
        shapes *= amounts.T @ _shared(counts, amounts, shapes) / amounts.sum(axis=0)[:, np.newaxis]
    runs = channel_groups(pooled, TWO_SHAPES_COUNTS)
    of_runs = _summed(off, runs)
    size, size_of_bands = np.bincount(runs), np.bincount(bands)
    fine = np.maximum(_summed((shapes[:, :-1] / size_of_bands)[:, bands], runs), _TINY)
    for _ in range(_CHANNEL_STEPS):
        fine *= amounts.T @ _shared(of_runs, amounts, fine) / amounts.sum(axis=0)[:, np.newaxis]
    amounts = np.maximum(amounts, _LEAST_PART * np.outer(amounts.sum(axis=1), amounts.sum(axis=0)) / amounts.sum())
    return amounts.T[:, :, np.newaxis] * (fine / size)[:, np.newaxis, runs], amounts @ shapes[:, -1]


def _first_guess(counts: Floats) -> tuple[Floats, Floats]:
    """Return amounts (datasets, 2) and shapes (2, bands), from the spectra of least and largest hard-count ratio."""
    total, hard = counts[:, :-1].sum(axis=1), counts[:, -1]
    order = np.argsort(total / np.maximum(hard, 0.5))
    third = max(len(order) // 3, 1)
    poor, rich = counts[order[:third]].sum(axis=0), counts[order[-third:]].sum(axis=0)
    sky = np.maximum(rich - poor * rich[-1] / max(poor[-1], 0.5), 1e-3 * rich)
    sky[-1] = 0  # multiplicative steps leave it 0
    shapes = np.stack([np.maximum(poor, 1e-3 * rich.mean()), sky])
    shapes /= shapes.sum(axis=1, keepdims=True)
    particles = np.clip(hard / shapes[0, -1], 0.05 * total, total)
    return np.column_stack([particles, np.maximum(total - particles, 0.05 * total)]) + _TINY, shapes


def _shared(counts: Floats, amounts: Floats, shapes: Floats) -> Floats:
    return np.asarray(counts / np.maximum(amounts @ shapes, _TINY))


def _summed(values: Floats, groups: NDArray[np.int32]) -> Floats:
    """Sum over groups of channels, which ascend: (rows, channels) -> (rows, groups)."""
    return np.asarray(np.add.reduceat(values, np.flatnonzero(np.diff(groups, prepend=-1)), axis=1))
