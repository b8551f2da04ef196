"""The spectra of the bins that a reader selects in the map: points, models and numbers for the script of the page."""

import json
import math
from typing import Any, Literal

import numpy as np

from chandra_bin.acis.channels import PI_WIDTH_EV
from chandra_bin.spectral.grouped import LEAST_CHANNELS, LEAST_COUNTS, GroupedSpectra
from chandra_bin.spectral.results import FitResult
from chandra_bin.spectral.weights import ResponseWeights

from .collect import Folder
from .packed import deflated, packed_arrays, rounded

# What an observation sees a share of, by what weighs the pixels of a bin (PIXWT).
_SEEN = {"BRIGHTNESS": "light", "AREA": "area"}
# Number of responses of a bin in an observation that are named; the others are counted.
_MOST_RESPONSES = 4
# Parameters that can be free or tied, and their labels.
VARIED: tuple[tuple[Literal["nh", "redshift"], str], ...] = (("nh", "nH (10²² cm⁻²)"), ("redshift", "Redshift"))
# Counts of a point in the spectrum of one of several ObsIDs, which has fewer counts than their sum: S/N 3.
_LEAST_OF_ONE = 9
# Numbers below 0.01 are written with a power of ten.
_LEAST_POWER = -2


def packed_spectra(folder: Folder, bins: int) -> dict[str, Any] | None:
    """Return the spectra, models and fits of the bins for ``spectra.js``; None without them.

    Spectra of other bins than those of the binmap, which has ``bins`` bins, are a problem of the report.
    """
    spectra, fit = folder.grouped_spectra(), folder.fit()
    if spectra is None or fit is None or not spectra.bin.size:
        return None
    if spectra.bin[-1] >= bins or not np.isin(spectra.bin, fit.bin).all():
        folder.problem(f"{folder.layout.fit_spectra} does not belong to {folder.layout.binmap.name}")
        return None
    obsids = np.unique(spectra.obsid)
    arrays = {
        "bin": spectra.bin, "obsid": np.searchsorted(obsids, spectra.obsid), "fitted": spectra.is_fitted,
        "size": np.diff(spectra.offsets), "channel": spectra.channel, "counts": spectra.counts,
        "exposure": rounded(spectra.exposure_s), "share": rounded(spectra.share), "ratio": rounded(spectra.off_ratio),
        "background": rounded(spectra.background), "model": rounded(spectra.model)}
    weights = folder.response_weights()
    texts = {"fits": {number: _fit_texts(fit, place) for place, number in enumerate(fit.bin.tolist())},
             "responses": [] if weights is None else _responses(weights, spectra)}
    return {"obsids": obsids.tolist(), "end": int(spectra.end.max()), "width": PI_WIDTH_EV / 1000,
            "least": LEAST_COUNTS, "least_of_one": _LEAST_OF_ONE, "ev": round(LEAST_CHANNELS * PI_WIDTH_EV),
            "seen": "bin" if weights is None else _SEEN.get(weights.ids.get("PIXWT", ""), "bin"),
            "band": f"{spectra.low_kev.min():.2g} - {spectra.high_kev.max():.2g} keV",
            "texts": deflated(json.dumps(texts, separators=(",", ":")).encode()), **packed_arrays(arrays)}


def _fit_texts(fit: FitResult, place: int) -> dict[str, Any]:
    """Return the parameters of a bin with their errors, and the quality of the fit, as texts."""
    facts = {"Fit": ", ".join(fit.reasons(place)) or "ok", "Net counts": f"{fit.net_counts[place]:.1f}",
             "Background counts": f"{fit.background_counts[place]:.1f}"}
    if not np.isfinite(fit.kt[place]):
        return {"parameters": [], "facts": facts}
    facts |= {f"Statistic ({fit.statistic_name})": f"{fit.statistic[place]:.1f}",
              "Expected statistic": f"{fit.expected[place]:.1f} ± {math.sqrt(fit.variance[place]):.1f}",
              "Goodness": f"{fit.goodness[place]:+.2f} sigma".replace("-", "−")}
    parameters = [_parameter("kT (keV)", fit.kt, fit.kt_low, fit.kt_high, place),
                  _parameter("Norm (cm⁻⁵)", fit.norm, fit.norm_low, fit.norm_high, place)]
    if np.isfinite(fit.abundance[place]):
        abundance = _parameter("Abundance", fit.abundance, fit.abundance_low, fit.abundance_high, place)
        if fit.abundance_fixed[place]:
            abundance = ["Abundance", f"{fit.abundance[place]:.4g}", "fixed", "fixed"]
        parameters.insert(1, abundance)
    for name, label in VARIED:
        if (how := getattr(fit, f"{name}_is")) != "fixed":
            of = ", of all bins" if how == "tied" else ""
            parameters.append(varied_parameter(f"{label}{of}", fit, name, place))
    return {"parameters": parameters, "facts": facts}


def varied_parameter(label: str, fit: FitResult, name: Literal["nh", "redshift"], place: int) -> list[str]:
    """Return a column density or redshift that was free or tied; bins with few counts have the given one."""
    values, low, high = (getattr(fit, f"{name}{end}") for end in ("", "_low", "_high"))
    if fit.is_given(name)[place]:
        return [label, f"{values[place]:.4g}", "fixed", "fixed"]
    return _parameter(label, values, low, high, place)


def _parameter(label: str, values: Any, low: Any, high: Any, place: int) -> list[str]:
    """Return a parameter, its value, and its lower and upper error, with two digits of the smaller error."""
    value, *errors = (float(each[place]) for each in (values, low, high))
    if not np.isfinite(value):
        return [label, "unknown", "", ""]
    size = math.floor(math.log10(abs(value))) if value else 0
    known = [error for error in errors if np.isfinite(error) and error > 0]
    digits = 1 - math.floor(math.log10(min(known))) if known else 3 - size
    power = size if size < _LEAST_POWER else 0
    form, times = f".{max(digits + power, 0)}f", f" × 10{_raised(power)}" if power else ""

    def text(number: float, form: str) -> str:
        return f"{number / 10.0**power:{form}}{times}".replace("-", "−")

    return [label, text(value, form), *("open" if not np.isfinite(error) else text(sign * error, f"+{form}")
                                        for sign, error in zip((-1, 1), errors, strict=True))]


def _raised(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _responses(weights: ResponseWeights, spectra: GroupedSpectra) -> list[str]:
    """Return the responses of each data set with their shares, as texts."""
    of: dict[tuple[int, int], list[tuple[float, str]]] = {}
    for number, obsid, tile, seconds in zip(weights.bin.tolist(), weights.obsid.tolist(), weights.tile.tolist(),
                                            weights.seconds.tolist(), strict=True):
        of.setdefault((number, obsid), []).append((seconds, weights.tiles[tile].arf.name))
    return [_listed(of.get(key, [])) for key in zip(spectra.bin.tolist(), spectra.obsid.tolist(), strict=True)]


def _listed(parts: list[tuple[float, str]]) -> str:
    total = sum(seconds for seconds, _ in parts)
    if not total:
        return "none"
    parts = sorted(parts, reverse=True)
    named = [f"{name} {seconds / total:.0%}" for seconds, name in parts[:_MOST_RESPONSES]]
    more = len(parts) - len(named)
    return ", ".join([*named, *([f"and {more} more"] if more else [])])
