"""The engine that calls the compiled kernel."""

import numpy as np

from chandra_bin._checks.array_types import Floats
from chandra_bin._kernels import _fit_spectra

from .engines import MEMBERS, Fits, Progress, Rows
from .statistics import expectation_table
from .templates import Templates


class KernelEngine:
    """Fits by the compiled kernel, bins by threads."""

    name = "native"

    def fit(self, fits: Fits, templates: Templates, delta: Floats, progress: Progress) -> Rows:
        """Fit bins; see `Engine`."""
        spectra, model = fits.spectra, fits.background
        table, table_first, table_step = expectation_table()
        values = np.full((spectra.bins.size, len(MEMBERS)), np.nan)
        flags, evaluations = np.zeros((2, spectra.bins.size), np.int32)
        amounts = np.full(model.background.shape[:2], np.nan)
        _fit_spectra.fit_spectra(
            np.ascontiguousarray(templates.kt_kev, np.float64), np.ascontiguousarray(templates.rates, np.float64),
            bin_offsets=spectra.offsets, counts=spectra.counts, background=model.background,
            band_counts=model.band_counts, band_expected=model.band_expected,
            exposure=spectra.exposure_s, ratio=spectra.off_ratio, statistic=model.statistic, groups=model.groups,
            weight_offsets=spectra.weight_offsets, weight_response=spectra.weight_response.astype(np.int32),
            weight=spectra.weight, kt_low=fits.kt_limits_kev[0], kt_high=fits.kt_limits_kev[1],
            abundance_low=fits.abundance_limits[0], abundance_high=fits.abundance_limits[1],
            delta=np.ascontiguousarray(delta, np.float64), fixed_abundance=fits.fixed_abundance, table=table,
            table_first=table_first, table_step=table_step, threads=fits.threads, progress=progress, fitted=values,
            flags=flags, evaluations=evaluations, amounts=amounts)
        return Rows(values, flags, evaluations, amounts)
