"""The expected counts of the best fit of each bin."""

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats

from .binned import BinSpectra
from .families import TemplateFamily, given_templates
from .fit import fitted_sets, predicted_counts
from .results import FitResult
from .templates import Templates

# Templates that are folded where each bin has its own column density or redshift.
_NODES = 9
_LEAST = 1e-30


def best_models(spectra: BinSpectra, templates: Templates | TemplateFamily, result: FitResult) -> Floats:
    """Return the expected source counts of the best fits.

    Parameters
    ----------
    spectra, templates
        As for `fit_bins`.
    result : FitResult
        The result of the fit of these spectra.

    Returns
    -------
    array (datasets, channels) of float64
        NaN for bins and data sets that were not fitted. Where column density or redshift differ from bin to bin, the
        logarithm of the counts is interpolated between nine values.
    """
    every = np.ones(spectra.bin.size, bool)
    if not isinstance(templates, TemplateFamily) or result.nh_is == result.redshift_is == "fixed":
        return _at(spectra, given_templates(templates), result, every)
    varies, values = ("nh", result.nh) if result.nh_is != "fixed" else ("redshift", result.redshift)
    known = values[np.isfinite(values)]
    nodes = np.unique(np.linspace(known.min(), known.max(), _NODES)) if known.size else np.zeros(0)
    of_set = np.repeat(values, np.diff(spectra.offsets))
    logarithm = np.where(np.isfinite(of_set), 0, np.nan)[:, np.newaxis] * np.ones(spectra.counts.shape)
    for place, node in enumerate(nodes):
        share = np.interp(of_set, nodes, np.eye(len(nodes))[place])
        near = share > 0
        counts = _at(spectra, templates.at(**{varies: float(node)}), result, near)[near]
        logarithm[near] += share[near, np.newaxis] * np.log(np.maximum(counts, _LEAST))
    return np.asarray(np.exp(logarithm))


def _at(spectra: BinSpectra, templates: Templates, result: FitResult, wanted: NDArray[np.bool_]) -> Floats:
    """Return the expected counts for one set of templates, of data sets that are wanted."""
    counts = np.full(spectra.counts.shape, np.nan)
    of_bin = np.repeat(np.arange(len(result.bin)), np.diff(spectra.offsets))
    for dataset in np.flatnonzero(wanted & fitted_sets(spectra) & np.isfinite(result.kt[of_bin])).tolist():
        bin = of_bin[dataset]
        counts[dataset] = predicted_counts(spectra, templates, dataset,
                                           (result.kt[bin], result.abundance[bin], result.norm[bin]))
    return counts
