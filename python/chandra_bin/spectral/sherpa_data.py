"""What Sherpa fits for one bin: its data and folded model, by kinds of statistics. Sherpa is not imported here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats, Wholes

from .backgrounds import STATISTICS, BackgroundModel
from .binned import MISSING, BinSpectra
from .engines import Fits
from .fit import fitted_sets
from .templates import Templates

_C = STATISTICS["cstat"]
# An amount of a second component of the background below this does not move, as in the kernel.
_LEAST_AMOUNT = 1e-6


@dataclass(frozen=True, eq=False)
class Part:
    """All channels, or groups of channels, of a bin that have one statistic: arrays (groups,)."""

    kind: int
    """Number of the statistic (`STATISTICS`)."""
    counts: Floats
    background: Floats
    """Expected counts for amounts of 1 for the C-statistic, counts of the background spectrum for the others."""
    ratio: Floats
    """Counts of background in the source spectrum for one in the background spectrum."""
    model: Floats
    """(temperatures, 2, groups): expected counts for norm 1, of Z = 0 and what Z = 1 adds."""
    known: BackgroundModel | None = None
    """The backgrounds of the data sets of the C-statistic, whose amounts are fitted; None for the others."""

    @property
    def data(self) -> Floats:
        """The counts, and for the C-statistic those of the bands that measure the amounts of the background."""
        return self.counts if self.known is None else np.append(self.counts, self.known.band_counts[self._bands])

    def amounts(self, source: Floats) -> Floats:
        """Return the best amounts of the background (datasets, components) for given source counts."""
        if self.known is None:
            return np.zeros((0, 0))
        sets = len(self.known.statistic)
        return self.known.fitted_amounts(source.reshape(sets, -1), self.counts.reshape(sets, -1))

    def expected(self, source: Floats) -> Floats:
        """Return what the data are expected to be: for the C-statistic with the background in its best amounts."""
        if self.known is None:
            return source
        amounts = self.amounts(source)
        return np.append(source + self.known.expected(amounts).ravel(),
                         self.known.expected_in_bands(amounts)[self._bands])

    def slopes_by_amounts(self, source: Floats) -> Floats:
        """Return the slopes of `expected` by each amount that is fitted and well above 0."""
        if self.known is None:
            return np.zeros((0, self.data.size))
        amounts = self.amounts(source)
        movable = np.isfinite(amounts)
        movable[:, 1:] &= amounts[:, 1:] >= _LEAST_AMOUNT
        rows = []
        for each in np.argwhere(movable):
            one = np.zeros(amounts.shape)
            one[*each] = 1
            of_channels = np.einsum("dk,dkc->dc", one, self.known.background)
            rows.append(np.append(of_channels, self.known.expected_in_bands(one)[self._bands]))
        return np.reshape(rows, (len(rows), self.data.size))

    @property
    def terms(self) -> Floats:
        """How much each of the data counts for the expectation of the statistic.

        As many bands of a data set count as there are more than amounts: that many are not fitted exactly.
        """
        if self.known is None:
            return np.ones(self.data.size)
        bands, amounts = self._bands.sum(axis=1), self.known.band_expected.any(axis=2).sum(axis=1)
        part = np.maximum(1 - amounts / np.maximum(bands, 1), 0)
        return np.append(np.ones(self.counts.size), np.repeat(part, bands))

    @property
    def _bands(self) -> NDArray[np.bool_]:
        assert self.known is not None
        return self.known.used_bands


@dataclass(frozen=True, eq=False)
class BinToFit:
    """The data and the folded model of one bin."""

    kt_kev: Floats
    parts: tuple[Part, ...]
    sets: Wholes
    """Places of the data sets of the C-statistic."""
    has_missing: bool
    """Whether a response of one of its data sets is missing."""
    fixed_abundance: float
    """NaN: free."""
    kt_limits: tuple[float, float]
    abundance_limits: tuple[float, float]
    delta: float
    """0: without errors."""


def bin_to_fit(fits: Fits, templates: Templates, number: int, delta: float) -> BinToFit:
    """Return what Sherpa fits for a bin, which is the number-th one of the spectra."""
    spectra, background = fits.spectra, fits.background
    of_bin = np.arange(*spectra.offsets[number:number + 2])
    used = of_bin[fitted_sets(spectra)[of_bin]]
    kinds = background.statistic[used]
    sets = [_of_set(spectra, templates, background, d) for d in used.tolist()]
    expected = used[kinds == _C]
    parts = tuple(_joined([each for each in sets if each.kind == kind], background.of(expected) if kind == _C else None)
                  for kind in dict.fromkeys(kinds.tolist()))
    weights = slice(*spectra.weight_offsets[spectra.offsets[number:number + 2]])
    return BinToFit(templates.kt_kev, parts, expected, bool(np.any(spectra.weight_response[weights] == MISSING)),
                    float(fits.fixed_abundance[number]), fits.kt_limits_kev, fits.abundance_limits, delta)


def _of_set(spectra: BinSpectra, templates: Templates, background: BackgroundModel, d: int) -> Part:
    weights = slice(*spectra.weight_offsets[d:d + 2])
    model = spectra.exposure_s[d] * np.tensordot(
        spectra.weight[weights], templates.rates[spectra.weight_response[weights]], axes=1)
    groups = background.groups[d]
    first = np.flatnonzero(np.diff(groups, prepend=-1))

    def grouped(values: Floats) -> Floats:
        return np.asarray(np.add.reduceat(values, first, axis=-1))

    return Part(int(background.statistic[d]), grouped(spectra.counts[d]), grouped(background.background[d].sum(axis=0)),
                np.full(first.size, spectra.off_ratio[d]), grouped(model))


def _joined(parts: list[Part], known: BackgroundModel | None) -> Part:
    counts, background, ratio, model = (np.concatenate([getattr(part, name) for part in parts], axis=-1)
                                        for name in ("counts", "background", "ratio", "model"))
    return Part(parts[0].kind, counts, background, ratio, model, known)
