"""The kernel of the fits, called for the spectra of all bins with any templates."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin._kernels import _fit_spectra

from .backgrounds import BackgroundModel
from .binned import BinSpectra
from .statistics import expectation_table
from .templates import Templates

# Members of the kernel's FittedBin, by their places.
MEMBERS = 24
KT, ABUNDANCE, NORM = 0, 3, 6
"""Places of the three parameters; the two ends of the errors of each follow."""
STATISTIC, EXPECTED, VARIANCE = 9, 10, 11
COVARIANCE = slice(12, 18)
"""Of (ln kT, Z, ln norm): 00, 01, 02, 11, 12, 22."""
NORM_AT_KT, KT_AT_NORM = slice(18, 20), slice(20, 22)
"""The norm at both ends of the errors of kT, and kT at those of the norm."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Results of all bins: members of FittedBin (bins, MEMBERS), flags and numbers of evaluations (bins,)."""

    values: Floats
    flags: NDArray[np.int32]
    evaluations: NDArray[np.int32]
    amounts: Floats
    """(datasets, components): amounts of the background, NaN where they were not fitted."""


@dataclass(frozen=True, eq=False)
class KernelFits:
    """Fits of the spectra of all bins, with limits and abundances, of templates that are given at each call."""

    spectra: BinSpectra
    background: BackgroundModel
    kt_limits_kev: tuple[float, float]
    abundance_limits: tuple[float, float]
    fixed_abundance: Floats
    """(bins,): NaN where the abundance is free."""
    threads: int

    def __call__(self, templates: Templates, delta: Floats, progress: Any = None) -> Rows:
        """Fit bins.

        Parameters
        ----------
        delta : (bins,)
            Rise of the statistic at the ends of errors; 0 for a bin without errors, NaN for one that is left out.
        progress : callable or None
            Called with the fraction done.
        """
        spectra, model = self.spectra, self.background
        table, table_first, table_step = expectation_table()
        values = np.full((spectra.bins.size, MEMBERS), np.nan)
        flags, evaluations = np.zeros((2, spectra.bins.size), np.int32)
        amounts = np.full(model.background.shape[:2], np.nan)
        _fit_spectra.fit_spectra(
            np.ascontiguousarray(templates.kt_kev, np.float64), np.ascontiguousarray(templates.rates, np.float64),
            bin_offsets=spectra.offsets, counts=spectra.counts, background=model.background,
            band_counts=model.band_counts, band_expected=model.band_expected, exposure=spectra.exposure_s, ratio=spectra.off_ratio, statistic=model.statistic, groups=model.groups,
            weight_offsets=spectra.weight_offsets, weight_response=spectra.weight_response.astype(np.int32),
            weight=spectra.weight, kt_low=self.kt_limits_kev[0], kt_high=self.kt_limits_kev[1],
            abundance_low=self.abundance_limits[0], abundance_high=self.abundance_limits[1],
            delta=np.ascontiguousarray(delta, np.float64), fixed_abundance=self.fixed_abundance, table=table,
            table_first=table_first, table_step=table_step, threads=self.threads, progress=progress, fitted=values,
            flags=flags, evaluations=evaluations, amounts=amounts)
        return Rows(values, flags, evaluations, amounts)
