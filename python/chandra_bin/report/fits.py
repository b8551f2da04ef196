"""The section of the fits: maps with their errors, profiles, and the comparison with a simulation."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats, Wholes
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import counted
from chandra_bin.plots.maps import Panel, by_number, maps_png, profile_png, unit_label
from chandra_bin.spectral.results import FitResult
from chandra_bin.tasks.maps import profiles_of
from chandra_bin.tasks.truth import Pulls, pull_of_each, pulls_of

from .collect import Columns, Folder
from .gallery import Gallery, coords_of
from .pictures import Picture, truth_png
from .spectra import VARIED, varied_parameter

_POOR = "poor fit"
# Colours of errors reach from 0 to this percentile of both errors.
_PERCENTILE = 98
# Colours of pulls end at this value, sigma.
_MOST_PULL = 4.0


@dataclass(frozen=True)
class _Quantity:
    """Title, colours and caption of a map."""

    title: str
    colours: str
    to_see: str
    """Description of the map, for the caption."""
    is_relative: bool = True
    """Whether errors are shown as fractions of the value."""


_QUANTITIES = {
    "kt": _Quantity("temperature", "inferno", "Temperature of the gas, weighted by emission along the line of sight: "
                    "cool cores, fronts and shocks are steps from bin to bin that exceed the errors"),
    "abundance": _Quantity("abundance", "viridis", "Abundance of the metals over that of the table: peaks mark gas "
                           "that galaxies enriched. Bins with few counts have a fixed abundance, which is not shown",
                           is_relative=False),
    "nh": _Quantity("column density", "YlGnBu", "Column density of hydrogen: our galaxy's varies smoothly over the "
                    "sky. Its errors and those of the temperature are correlated. Bins with few counts have the given "
                    "one, which is not shown", is_relative=False),
    "redshift": _Quantity("redshift", "coolwarm", "Redshift of the gas. Bins with few counts have the given one, which "
                          "is not shown", is_relative=False),
    "pressure": _Quantity("pressure", "plasma", "Pressure of the electrons: smooth and round in gas at rest; an edge "
                          "in pressure is a shock, an edge in density alone is a cold front"),
    "entropy": _Quantity("entropy", "cividis", "Entropy of the gas: lowest in a cool core, and rising outwards in gas "
                         "at rest; low entropy outside the core is gas that was displaced"),
    "density": _Quantity("density", "magma", "Density of the electrons: it depends on the depth that is assumed"),
    "norm": _Quantity("norm per area", "magma", "Norm of the plasma per area: the square of the density along the line "
                      "of sight"),
    "hardness": _Quantity("hardness", "coolwarm", "Hardness (H - S) / (H + S), with net counts of 2 - 7 and "
                          "0.5 - 2 keV: compares bins, and is not a temperature", is_relative=False),
}
_PSEUDO = ". Per area of the sky, without a depth (pseudo): compare bins, and take no value for itself"


def section(gallery: Gallery) -> dict[str, Any] | None:
    """Return the contents of the section on steps 9 and 10; None where the settings leave these out."""
    folder = gallery.folder
    if not folder.config.settings.spectra:
        return None
    facts = {**folder.facts("fit"), **folder.facts("maps")}
    labels = {"model": "Model", "bins": "Bins by the outcome of their fits", "errors": "Errors"}
    found: dict[str, Any] = {"facts": {label: str(facts[name]) for name, label in labels.items() if name in facts},
                             "maps": [], "profile": None, "truth": None, "missing": []}
    path = folder.layout.maps / "maps.ecsv"
    table, binmap, fit = folder.columns(path), folder.image(folder.layout.binmap), folder.fit()
    found["facts"] |= {} if fit is None else tied_facts(fit)
    needed = [path, folder.layout.binmap, *([] if fit is None else [folder.layout.fit_spectra])]
    found["missing"] = [folder.missing(each) for each in needed if not each.is_file()]
    if table is None or binmap is None:
        return found
    labels_of_pixels = np.asarray(binmap.data, np.int32)
    columns = {"bin", *(f"{name}{end}" for name in _QUANTITIES if name in table for end in ("_low", "_high"))}
    if absent := sorted(columns - set(table)):
        folder.problem(f"{path} has no column {absent[0]}: make it again with 'chandra-bin maps'")
        return found
    numbers = np.asarray(table["bin"][0], np.int64)
    if not numbers.size or numbers.max() > labels_of_pixels.max():
        folder.problem(f"{path} does not belong to {folder.layout.binmap.name}")
        return found
    maps = _Maps(gallery, labels_of_pixels, coords_of(binmap), numbers, table, fit)
    found["maps"] = [picture for name in _QUANTITIES if name in table and (picture := maps.picture(name))]
    truth = _truth(folder, fit)
    found["profile"] = maps.profile(truth)
    if fit is not None and truth is not None:
        found["truth"] = {"pictures": [each for each in (maps.truth_maps(fit, truth), _against(gallery, fit, truth))
                                       if each], "rows": _pull_rows(fit, truth)}
    return found


def tied_facts(fit: FitResult) -> dict[str, str]:
    """Return the column density or redshift that all bins share, with its errors."""
    return {f"{label} of all bins": " ".join(each for each in varied_parameter(label, fit, name, 0)[1:] if each)
            for name, label in VARIED if fit.bin.size and getattr(fit, f"{name}_is") == "tied"}


@dataclass(frozen=True, eq=False)
class _Maps:
    """Draws maps of bins from the table of the maps."""

    gallery: Gallery
    labels: NDArray[np.int32]
    coords: ImageCoords
    numbers: Wholes
    """Bin numbers of the rows of the table."""
    table: Columns
    fit: FitResult | None

    def picture(self, name: str) -> Picture | None:
        """Return a picture of a map with its lower and upper error."""
        quantity = _QUANTITIES[name]
        values, low, high = _with_errors(self.table, name)
        unit = self.table[name][1]
        is_pseudo = name in ("pressure", "entropy") and "arcsec" in unit
        title = f"pseudo-{quantity.title}" if is_pseudo else quantity.title
        label = {"kt": "kT "}.get(name, "") + (f"({unit_label(unit)})" if name == "kt" else unit_label(unit))
        if quantity.is_relative:
            low, high = 100 * low / np.abs(values), 100 * high / np.abs(values)
        errors = np.concatenate([low, high])
        errors = errors[np.isfinite(errors)]
        limits = (0.0, float(np.percentile(errors, _PERCENTILE)) or 1.0) if errors.size else (0.0, 1.0)
        of = f"% of {'kT' if name == 'kt' else 'the value'}" if quantity.is_relative else label or quantity.title
        panels = [Panel(title.capitalize(), label, self._shown(values), quantity.colours),
                  Panel("Lower error", of, self._shown(low), "cividis", limits),
                  Panel("Upper error", of, self._shown(high), "cividis", limits)]
        shown = f"{np.isfinite(values).sum()} of {counted(values.size, 'bin')}"
        pseudo = _PSEUDO if is_pseudo or (name == "norm" and "density" not in self.table) else ""
        return self._draw(f"fit_{name}", panels, f"{title}, {shown}", f"Step 10: {quantity.to_see}{pseudo}. "
                          f"{self._hidden(name, values)}. Errors are {self._confidence()}, on one scale of colours",
                          f"Three maps of the bins side by side: {title}, its lower and its upper error; {shown}.")

    def profile(self, truth: Mapping[str, Floats] | None) -> Picture | None:
        """Return a picture of temperature and abundance against radius; None without fits."""
        if not {"radius", "radius_spread"} <= set(self.table):
            return None
        quantities: tuple[str, ...] = ("kt", "abundance")
        values = {name: _with_errors(self.table, name) for name in quantities if name in self.table}
        radii = _plain(self.table, "radius"), _plain(self.table, "radius_spread")
        profiles = profiles_of(radii, values, truth)
        if not profiles:
            return None
        what = " and ".join("kT" if each.label.startswith("kT") else each.label.lower() for each in profiles)
        crosses = "; crosses are the simulated values in the same bins" if truth else ""
        return self.gallery.add(
            "fit_profile", f"{what} of the bins against their distance from the brightest bin, with errors.",
            f"Step 10: {what} of each bin against the mean distance of its pixels from the brightest bin, with "
            f"its reach (faint); errors are {self._confidence()}{crosses}. Bins without a good fit are left out",
            profile_png, profiles, f"{self.gallery.target}: {what} against radius",
            kpc_per_arcsec=self.gallery.kpc_per_arcsec)

    def truth_maps(self, fit: FitResult, truth: Mapping[str, Floats]) -> Picture | None:
        """Return a picture of fitted and simulated temperature in the same colours, and of the pulls."""
        good = fit.good() & np.isfinite(truth["kt"])
        if not good.any():
            return None
        fitted, simulated, pull = (np.where(good, each, np.nan) for each in (
            fit.kt, truth["kt"], pull_of_each(fit.kt, fit.kt_low, fit.kt_high, truth["kt"])))
        limits = float(simulated[good].min()) * 0.9, float(simulated[good].max()) * 1.1
        panels = [Panel("Temperature, fitted", "kT (keV)", self._shown(fitted, fit.bin), "inferno", limits),
                  Panel("Temperature, simulated", "kT (keV)", self._shown(simulated, fit.bin), "inferno", limits),
                  Panel("(fit - truth) / error", "sigma", self._shown(pull, fit.bin), "RdBu_r",
                        (-_MOST_PULL, _MOST_PULL))]
        shown = counted(int(good.sum()), "bin")
        return self._draw("fit_truth_maps", panels, f"fitted and simulated temperature, {shown}",
                          "Step 10: fitted temperature next to the simulated one, in the same colours, and their "
                          "difference over the error: without bias its signs are mixed, and show no pattern",
                          "Three maps of the bins side by side: fitted temperature, simulated temperature, and their "
                          "difference over the error.")

    def _draw(self, name: str, panels: list[Panel], title: str, caption: str, alt: str) -> Picture | None:
        return self.gallery.add(name, alt, caption, maps_png, self.labels, self.coords, panels,
                                f"{self.gallery.target}: {title}", kpc_per_arcsec=self.gallery.kpc_per_arcsec)

    def _shown(self, values: Floats, numbers: Wholes | None = None) -> Floats:
        return by_number(self.labels, self.numbers if numbers is None else numbers, values)

    def _hidden(self, name: str, values: Floats) -> str:
        """Return a text on how many bins have no value, and why."""
        hidden = ~np.isfinite(values)
        if not hidden.any():
            return "All bins are shown"
        grey = f"{hidden.sum()} of {counted(hidden.size, 'bin')} {'is' if hidden.sum() == 1 else 'are'} grey"
        if self.fit is None or not np.array_equal(self.fit.bin, self.numbers):
            return f"{grey}: without a value"
        fixed = np.zeros(hidden.size, bool)
        if name == "abundance":
            fixed = self.fit.abundance_fixed & self.fit.good()
        for varied, _ in VARIED:
            if name == varied:
                fixed = self.fit.is_given(varied) & self.fit.good()
        words = f"{_QUANTITIES[name].title} fixed"
        reasons = Counter(np.where(fixed, words, self.fit.reason)[hidden].tolist())
        why = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
        return f"{grey}: {why}"

    def _confidence(self) -> str:
        """Return the confidence of the errors, in words."""
        return "1 sigma" if self.fit is None else f"of {math.erf(math.sqrt(self.fit.delta / 2)):.1%} confidence"


def _with_errors(table: Columns, name: str) -> tuple[Floats, Floats, Floats]:
    """Return a quantity, its lower and its upper error."""
    return _plain(table, name), _plain(table, f"{name}_low"), _plain(table, f"{name}_high")


def _plain(table: Columns, name: str) -> Floats:
    return np.asarray(np.ma.filled(np.ma.asarray(table[name][0], np.float64), np.nan), np.float64)


def _truth(folder: Folder, fit: FitResult | None) -> dict[str, Floats] | None:
    """Return the simulated values of the bins, where they are known and belong to the bins of the fits."""
    path = folder.layout.maps / "truth.ecsv"
    table = folder.columns(path)
    if table is None or fit is None:
        return None
    names = [f"true_{name}" for name in ("kt", "abundance", "norm")]
    if not {"bin", *names} <= set(table) or not np.array_equal(table["bin"][0], fit.bin):
        folder.problem(f"{path} does not belong to the bins of {folder.layout.fit.name}")
        return None
    return {name.removeprefix("true_"): _plain(table, name) for name in names}


def _pull_rows(fit: FitResult, truth: Mapping[str, Floats]) -> list[dict[str, str]]:
    """Return the comparison of the fits with the simulation, a row for each quantity."""
    rows = []
    for name, label in (("kt", "kT"), ("abundance", "Abundance"), ("norm", "Norm")):
        good = fit.good("abundance" if name == "abundance" else "kt")
        values, low, high = (getattr(fit, f"{name}{end}") for end in ("", "_low", "_high"))
        pulls = pulls_of(values, low, high, truth[name], good)
        if pulls.bins:
            rows.append({"Quantity": label, **_pull_texts(pulls)})
    return rows


def _pull_texts(pulls: Pulls) -> dict[str, str]:
    expected = math.sqrt(0.683 * 0.317 / pulls.bins)
    return {"Bins": str(pulls.bins), "Mean of (fit - truth) / error": f"{pulls.mean:+.2f}",
            "expected mean": f"0 ± {1 / math.sqrt(pulls.bins):.2f}", "rms": f"{pulls.rms:.2f}",
            "expected rms": f"1 ± {1 / math.sqrt(2 * pulls.bins):.2f}", "Within the error": f"{pulls.within:.0%}",
            "expected share": f"68 ± {100 * expected:.0f} %"}


def _against(gallery: Gallery, fit: FitResult, truth: Mapping[str, Floats]) -> Picture | None:
    """Return a picture of fitted against simulated temperature, and of the distribution of the pulls."""
    good = fit.good() & np.isfinite(truth["kt"] + fit.kt_low + fit.kt_high)
    if not good.any():
        return None
    value, low, high, true = (each[good] for each in (fit.kt, fit.kt_low, fit.kt_high, truth["kt"]))
    pull = pull_of_each(value, low, high, true)
    return gallery.add(
        "fit_truth", "Fitted against simulated temperature of the bins with the line where both are equal, and the "
        "distribution of their difference over the error.",
        "Step 10: fitted against simulated temperature (spectroscopic-like mean in each bin), and the distribution of "
        "(fit - truth) / error with the normal distribution that correct errors have", truth_png, true, value, low,
        high, pull, f"{gallery.target}: fits compared with the simulation")
