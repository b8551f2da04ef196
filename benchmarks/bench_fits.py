"""Fits of a thermal model to the spectra of bins, with errors of all parameters."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from chandra_bin.spectral import BinSpectra, FitOptions, Templates, cstat, fit_bins, predicted_counts
from chandra_bin.spectral.backgrounds import background_model

from .race import CHECKOUT, Call, Inputs, Peer, Race

_SPECTRA = ("bin", "counts", "exposure_s", "weight_offsets", "weight_response", "weight", "off_counts", "off_ratio",
            "group")


def bench_fits(contest: Callable[[], None]) -> None:
    contest()


def drawn(bins: int, quick_bins: int, responses: int) -> Callable[[bool], Inputs]:
    """Bins of 1000 to 3000 net counts in four observations, 445 channels, 70 temperatures."""
    def inputs(quick: bool) -> Inputs:
        sys.path.insert(0, str(CHECKOUT / "tests"))
        import spectral_scenes

        made = spectral_scenes.templates(70, 4 if quick else responses)
        net = np.geomspace(1000, 3000, quick_bins if quick else bins)
        spectra, _ = spectral_scenes.draw(made, net, sets=4)
        return {"kt": made.kt_kev, "rates": made.rates, **{name: getattr(spectra, name) for name in _SPECTRA}}

    return inputs


def _given(inputs: Inputs) -> tuple[BinSpectra, Templates]:
    return (BinSpectra(**{name: inputs[name] for name in _SPECTRA}),
            Templates(inputs["kt"], inputs["rates"], 35, True, "test model"))


def fits(inputs: Inputs, threads: int) -> Call:
    return partial(fit_bins, *_given(inputs), FitOptions(abundance=0.3), threads=threads)


def _free_fits(inputs: Inputs, threads: int) -> Call:
    return partial(fit_bins, *_given(inputs), FitOptions(min_counts_abundance=0), threads=threads)


def _scipy(inputs: Inputs) -> Call:
    from scipy.optimize import minimize

    spectra, templates = _given(inputs)
    background = background_model(spectra, "cstat").background[:, 0]

    def fitted(k: int) -> float:
        sets = range(*spectra.offsets[k : k + 2])

        def of(x: Any) -> float:
            at = (float(np.exp(x[0])), 0.3, float(np.exp(x[1])))
            return float(sum(cstat(spectra.counts[d], predicted_counts(spectra, templates, d, at) + background[d]).sum()
                             for d in sets))

        net = float(sum((spectra.counts[d] - background[d]).sum() for d in sets))
        folded = float(sum(predicted_counts(spectra, templates, d, (3.0, 0.3, 1.0)).sum() for d in sets))
        found = minimize(of, [np.log(3.0), np.log(net / folded)], method="Nelder-Mead",
                         options={"xatol": 1e-4, "fatol": 1e-4})
        return float(np.exp(found.x[0]))

    return lambda: np.array([fitted(k) for k in range(spectra.bins.size)])


RACES = {
    "fit_spectra": Race("kT and norm of 40 bins x 4 observations", drawn(40, 3, 8), fits, (
        Peer("numpy C, scipy Nelder-Mead", _scipy, tolerance=2e-2, note="no errors, known backgrounds"),),
        ("fit_spectra",), result=lambda fit: fit.kt),
    "fit_spectra_free": Race("kT, Z, norm and their errors of 1000 bins x 4 observations, 200 responses",
                             drawn(1000, 5, 200), _free_fits, result=lambda fit: fit.kt),
}
