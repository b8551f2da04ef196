"""The background of each data set: its expected counts, or the groups of channels of the W-statistic."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats

from .binned import BinSpectra
from .statistics import channel_groups

Statistic: TypeAlias = Literal["cstat", "wstat", "chi2"]
STATISTICS: dict[Statistic, int] = {"cstat": 0, "wstat": 1, "chi2": 2}
"""Numbers of the kernel."""

# Background counts of each group of the W-statistic: 3 to 5 leave no bias.
W_COUNTS = 3
# Counts of each group of chi-square.
CHI2_COUNTS = 25
# Pooled counts of each run of channels in which the shape of a background is flat.
SHAPE_COUNTS = 10
# A data set whose background is known so badly that its variance is more than this part of that of the counts is fitted
# by the W-statistic, which knows of the error, if it has as many background counts.
_NOISY = 0.25
_LEAST_FOR_W = 30


@dataclass(frozen=True, eq=False)
class BackgroundModel:
    """What the kernel takes: for each data set the number of its statistic, its background and its groups."""

    statistic: NDArray[np.uint8]
    background: Floats
    groups: NDArray[np.int32]


def background_model(spectra: BinSpectra, statistic: Statistic) -> BackgroundModel:
    """Return expected background counts for the C-statistic, counts and groups of channels for the others.

    For the C-statistic the shape of a background is that of all data sets of its group together, and its counts are its
    own, times their ratio. A data set whose background adds more than a quarter to the variance of its counts, such
    as one from a small region beside the source, is fitted by the W-statistic, if it has 30 background counts.
    """
    sets, channels = spectra.counts.shape
    groups = np.tile(np.arange(channels, dtype=np.int32), (sets, 1))
    kinds = np.full(sets, STATISTICS[statistic], np.uint8)
    off = np.zeros((sets, channels)) if spectra.off_counts is None else spectra.off_counts
    # Without background, C is W.
    off_sum = off.sum(axis=1) * (spectra.off_ratio > 0)
    if statistic == "wstat":
        kinds[off_sum < W_COUNTS] = STATISTICS["cstat"]
    elif statistic == "cstat":
        noisy = spectra.off_ratio**2 * off_sum > _NOISY * spectra.counts.sum(axis=1)
        kinds[noisy & (off_sum >= _LEAST_FOR_W)] = STATISTICS["wstat"]
    background = np.array(off)
    expected = kinds == STATISTICS["cstat"]
    if np.any(expected) and spectra.off_counts is not None:
        background[expected] = pooled_background(spectra)[expected]
    for d in np.flatnonzero(~expected):
        of, least = (off[d], W_COUNTS) if kinds[d] == STATISTICS["wstat"] else (spectra.counts[d], CHI2_COUNTS)
        groups[d] = channel_groups(of, least)
    return BackgroundModel(kinds, background, groups)


def pooled_background(spectra: BinSpectra) -> Floats:
    """Return the expected background counts (datasets, channels) of shapes that groups of data sets share.

    A shape is flat within runs of channels that hold 10 counts of all data sets of the group.
    """
    off = spectra.off_counts
    expected = np.zeros(spectra.counts.shape)
    if off is None:
        return expected
    for group in np.unique(spectra.group):
        of = spectra.group == group
        pooled = off[of].sum(axis=0)
        if not pooled.any():
            continue
        runs = channel_groups(pooled, SHAPE_COUNTS)
        shape = (np.bincount(runs, pooled) / np.bincount(runs))[runs] / pooled.sum()
        expected[of] = np.outer(spectra.off_ratio[of] * off[of].sum(axis=1), shape)
    return expected
