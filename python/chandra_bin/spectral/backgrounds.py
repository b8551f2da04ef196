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
# A data set whose pooled shape is known so badly that its variance is more than this part of that of the counts is fitted
# by the W-statistic, which knows of the error, if it has as many background counts.
_NOISY = 0.25
_LEAST_FOR_W = 30


@dataclass(frozen=True, eq=False)
class BackgroundModel:
    """What the kernel takes: for each data set the number of its statistic, its background and its groups.

    For the C-statistic the background is that expected for amounts of 1, of each component. What is known of the amounts
    are the counts of the background file in bands, and what is expected there for amounts of 1.
    """

    statistic: NDArray[np.uint8]
    """(datasets,)."""
    background: Floats
    """(datasets, components, channels)."""
    band_counts: Floats
    """(datasets, bands)."""
    band_expected: Floats
    """(datasets, components, bands)."""
    groups: NDArray[np.int32]
    """(datasets, channels)."""

    def expected(self, amounts: Floats) -> Floats:
        """Return the expected background counts (datasets, channels) of the C-statistic.

        ``amounts`` (datasets, components) are those of `FitResult.background_amounts`; NaN stands for 1.
        """
        return np.asarray(np.einsum("dk,dkc->dc", np.nan_to_num(amounts, nan=1.0), self.background))


def background_model(spectra: BinSpectra, statistic: Statistic) -> BackgroundModel:
    """Return expected background counts for the C-statistic, counts and groups of channels for the others.

    For the C-statistic the shape of a background is that of all data sets of its group together, and its amount, which is
    fitted, is what its own counts tell. A data set whose group holds so few background counts that the noise of the shape
    adds more than a quarter to the variance of its counts, such as one alone with a small region beside the source, is
    fitted by the W-statistic, if it has 30 background counts.
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
        _, number = np.unique(spectra.group, return_inverse=True)
        pooled = np.bincount(number, off_sum)[number] if sets else np.zeros(0)
        variance = np.divide((spectra.off_ratio * off_sum) ** 2, pooled, out=np.zeros(sets), where=pooled > 0)
        kinds[(variance > _NOISY * spectra.counts.sum(axis=1)) & (off_sum >= _LEAST_FOR_W)] = STATISTICS["wstat"]
    background, band_counts = off[:, np.newaxis].copy(), np.zeros((sets, 1))
    expected = kinds == STATISTICS["cstat"]
    if np.any(expected) and spectra.off_counts is not None:
        background[expected, 0] = pooled_background(spectra)[expected]
        band_counts[expected, 0] = off_sum[expected]
    for d in np.flatnonzero(~expected):
        of, least = (off[d], W_COUNTS) if kinds[d] == STATISTICS["wstat"] else (spectra.counts[d], CHI2_COUNTS)
        groups[d] = channel_groups(of, least)
    return BackgroundModel(kinds, background, band_counts, band_counts[:, np.newaxis].copy(), groups)


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
