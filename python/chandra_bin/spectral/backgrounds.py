"""The background of each data set: its expected counts, or the groups of channels of the W-statistic."""

from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats, Wholes
from chandra_bin._kernels import _fit_spectra
from chandra_bin.errors import InputError

from .background_shapes import one_shape, sky_varies, two_shapes
from .binned import BinSpectra
from .statistics import channel_groups

Statistic: TypeAlias = Literal["cstat", "wstat", "chi2"]
STATISTICS: dict[Statistic, int] = {"cstat": 0, "wstat": 1, "chi2": 2}
"""Numbers of the kernel."""

# Background counts of each group of the W-statistic: 3 to 5 leave no bias.
W_COUNTS = 3
# Counts of each group of chi-square.
CHI2_COUNTS = 25
# Bands of a fitted spectrum in which the counts of its background tell the amounts of particles and sky.
_BANDS = 5
# A data set whose pooled shape is known so badly that its variance is more than this part of that of the counts is
# fitted by the W-statistic, which knows of the error, if it has as many background counts.
_NOISY = 0.25
_LEAST_FOR_W = 30


@dataclass(frozen=True, eq=False)
class BackgroundModel:
    """What the kernel takes: for each data set the number of its statistic, its background and its groups.

    For the C-statistic the background is that expected for amounts of 1, of each component. The counts of the
    background file in bands measure the amounts; ``band_expected`` holds the counts expected there for amounts of 1.
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
        if amounts.shape != self.background.shape[:2]:
            raise InputError(f"amounts have the shape {amounts.shape}, not {self.background.shape[:2]} (data sets, "
                             "components): give those of the same fit")
        return np.asarray(np.einsum("dk,dkc->dc", np.nan_to_num(amounts, nan=1.0), self.background))

    def expected_in_bands(self, amounts: Floats) -> Floats:
        """Return the expected counts (datasets, bands) of the background file; 0 where amounts are not fitted."""
        return np.asarray(np.einsum("dk,dkb->db", np.nan_to_num(amounts, nan=0.0), self.band_expected))

    @property
    def used_bands(self) -> NDArray[np.bool_]:
        """(datasets, bands): the bands that measure amounts, which are terms of the C-statistic."""
        is_fitted = self.band_expected[:, :1].any(axis=2) & (self.statistic == STATISTICS["cstat"])[:, np.newaxis]
        return np.asarray((self.band_expected > 0).any(axis=1) & is_fitted)

    def fitted_amounts(self, source: Floats, counts: Floats) -> Floats:
        """Return the amounts (datasets, components) that minimise the C-statistic for given source counts.

        Parameters
        ----------
        source, counts : array (datasets, channels)
            Expected source counts, and the counts of the spectra.

        Returns
        -------
        array (datasets, components) of float64
            NaN where nothing measures an amount, and for other statistics.
        """
        amounts = np.full(self.background.shape[:2], np.nan)
        _fit_spectra.fit_background_amounts(
            np.ascontiguousarray(source, np.float64), counts=np.ascontiguousarray(counts, np.float64),
            background=self.background, band_counts=self.band_counts, band_expected=self.band_expected,
            statistic=self.statistic, amounts=amounts)
        return amounts

    def of(self, datasets: Wholes) -> "BackgroundModel":
        """Return the backgrounds of some data sets."""
        return BackgroundModel(*(np.ascontiguousarray(getattr(self, each.name)[datasets]) for each in fields(self)))


def background_model(spectra: BinSpectra, statistic: Statistic) -> BackgroundModel:
    """Return expected background counts for the C-statistic, counts and groups of channels for the others.

    For the C-statistic the shape of a background is that of all data sets of its group together, and its amount, which
    is fitted, is what its own counts tell. Where counts of 9 - 12 keV are given, and show that the share of the sky
    varies over the group, particles and sky have a shape and an amount each. A data set whose group holds so few
    background counts that the noise of the shape adds more than a quarter to the variance of its counts, such as one
    alone with a small region near the source, is fitted by the W-statistic, if it has 30 background counts.
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
    expected = kinds == STATISTICS["cstat"]
    background, band_counts, band_expected = _pooled(spectra, off)
    background[~expected] = 0
    background[~expected, 0] = off[~expected]
    band_expected[~expected] = 0
    for d in np.flatnonzero(~expected):
        of, least = (off[d], W_COUNTS) if kinds[d] == STATISTICS["wstat"] else (spectra.counts[d], CHI2_COUNTS)
        groups[d] = channel_groups(of, least)
    return BackgroundModel(kinds, background, band_counts, band_expected, groups)


def _pooled(spectra: BinSpectra, off: Floats) -> tuple[Floats, Floats, Floats]:
    """Return expected backgrounds (datasets, components, channels) of shapes that groups of data sets share.

    And the counts of the background file in bands, (datasets, bands), with what is expected there of each component.
    With one component there is one band.
    """
    groups = [np.flatnonzero(spectra.group == group) for group in np.unique(spectra.group)]
    hard = spectra.off_hard
    varies = [hard is not None and sky_varies(off[of], hard[of]) for of in groups]
    components, bands = (2, _BANDS + 1) if any(varies) else (1, 1)
    background = np.zeros((len(off), components, off.shape[1]))
    band_counts, band_expected = np.zeros((len(off), bands)), np.zeros((len(off), components, bands))
    edges = _band_edges(off.sum(axis=0))
    for of, two in zip(groups, varies, strict=True):
        if two and hard is not None:
            shapes, expected_hard = two_shapes(off[of], hard[of])
            background[of] = shapes.transpose(1, 0, 2)
            band_counts[of, :edges.size] = np.add.reduceat(off[of], edges, axis=1)
            band_counts[of, _BANDS] = hard[of]
            band_expected[of, :, :edges.size] = np.add.reduceat(background[of], edges, axis=2)
            band_expected[of, 0, _BANDS] = expected_hard
        else:
            background[of, 0] = one_shape(off[of])
            band_counts[of, 0] = off[of].sum(axis=1)
            band_expected[of, 0, 0] = band_counts[of, 0]
    background *= spectra.off_ratio[:, np.newaxis, np.newaxis]
    band_expected[spectra.off_ratio == 0] = 0
    return background, band_counts, band_expected


def _band_edges(pooled: Floats) -> Wholes:
    """Return the first channels of bands, in ascending order.

    There are five bands with about equal counts, or with equal numbers of channels where the spectra have no counts;
    fewer where single channels hold more than a fifth of the counts.
    """
    weight = pooled if np.count_nonzero(pooled) >= 2 * _BANDS else np.ones(pooled.size)
    first = np.searchsorted(np.cumsum(weight), weight.sum() * np.arange(_BANDS) / _BANDS, side="right")
    first[0] = 0
    return np.unique(np.minimum(first, pooled.size - 1)).astype(np.int64)
