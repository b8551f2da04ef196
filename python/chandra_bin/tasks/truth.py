"""Compare fits of simulated clusters with the simulation: a table, two maps, and a profile."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin._checks.paths import FileName, as_path
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError
from chandra_bin.fits.images import Image, read_image_file
from chandra_bin.fits.outputs import Outputs
from chandra_bin.plots.maps import Panel, Profile, by_number, maps_png, profile_png
from chandra_bin.spectral.fit_table import read_fit
from chandra_bin.spectral.results import NORM_UNIT, FitResult

from ._bin_pixels import binmap_id, check_binmap
from ._common import about, ecsv, read_binmap, write_picture
from .maps import radii_arcmin

# A fit of one temperature to gas of several gives about their mean with these weights (Mazzotta et al. 2004, MNRAS 354,
# 10).
_SPECTROSCOPIC_POWER = -0.75
_IMAGES = ("kt", "abundance", "norm")
# Pixels of the simulation are divided into this many parts a side, which are assigned to bins.
_PARTS = 4


@dataclass(frozen=True)
class Pulls:
    """Fits less truth over their errors, of bins with good fits."""

    bins: int
    mean: float
    rms: float
    """Root mean square deviation from the mean."""
    within: float
    """The fraction of bins whose error holds the truth."""


@dataclass(frozen=True)
class Comparison:
    """Comparison of the fits of bins with the simulation."""

    kt: Pulls
    norm: Pulls
    files: tuple[Path, ...]


def compare_with_truth(binmap: FileName, fit: FileName, truth: FileName, folder: FileName, *,
                       clobber: bool = False) -> Comparison:
    """Write ``truth.ecsv``, ``truth.png`` and ``truth_profile.png`` into a folder.

    Parameters
    ----------
    binmap, fit : as for `write_maps`.
    truth : the folder ``truth`` of the simulation.

    The true temperature of a bin is the mean over its pixels with the weights norm kT^(-3/4) (spectroscopic-like), or
    norm (emission-weighted); its true norm is their sum. Pixels of the simulation are divided into 4 x 4 parts. Raises
    `InputError` and `OutputError`; no file is written then.
    """
    binmap, fit = as_path(binmap, "binmap"), as_path(fit, "fit")
    truth, folder = as_path(truth, "truth"), as_path(folder, "folder")
    fitted = read_fit(fit)
    result = fitted.result
    image, labels = read_binmap(binmap)
    check_binmap(binmap, binmap_id(labels), fit, fitted.binmap_id)
    inputs = [binmap, fit, *(truth / f"{name}.fits" for name in _IMAGES)]
    files = [folder / name for name in ("truth.ecsv", "truth.png", "truth_profile.png")]
    with Outputs(files, inputs=inputs, clobber=clobber) as outputs:
        true = _in_bins(image, labels, truth, result.bin)
        good = result.good("kt") & np.isfinite(true["kt"])
        pulls = {name: pulls_of(getattr(result, name), getattr(result, f"{name}_low"), getattr(result, f"{name}_high"),
                                true[name], good) for name in ("kt", "norm")}
        outputs.write(files[0], _table(result, true, {"binmap": binmap, "fit": fit, "binmap_id": fitted.binmap_id}))
        coords = ImageCoords(image.header)
        write_picture(outputs, files[1], lambda: maps_png(labels, coords, _panels(labels, result, true, good),
                                                          _title(pulls["kt"], result.delta)))
        profile = Profile(*radii_arcmin(coords, labels, result), np.where(good, result.kt, np.nan), result.kt_low,
                          result.kt_high, "kT (keV)", true["kt"])
        write_picture(outputs, files[2], lambda: profile_png([profile], _title(pulls["kt"], result.delta)))
    return Comparison(pulls["kt"], pulls["norm"], tuple(files))


def _in_bins(image: Image, labels: NDArray[np.int32], truth: Path, bins: NDArray[np.int64]) -> dict[str, Floats]:
    """Return means and sums over the pixels of the simulation in each bin; NaN for bins without any."""
    maps = {name: read_image_file(truth / f"{name}.fits") for name in _IMAGES}
    kt, abundance, norm = (np.asarray(maps[name].data, np.float64).ravel() for name in _IMAGES)
    parts = _labels_of_parts(image, labels, ImageCoords(maps["norm"].header), maps["norm"].data.shape)
    if all((label < 0).all() for label in parts):
        raise InputError(f"{image.path}: no bin overlaps {truth / 'norm.fits'}: give the truth of this cluster")

    def total(values: Floats) -> Floats:
        sums = np.zeros(int(labels.max()) + 1)
        for label in parts:
            used = label >= 0
            sums += np.bincount(label[used], values[used], len(sums)) / len(parts)
        return np.asarray(sums[bins], np.float64)

    like = norm * kt**_SPECTROSCOPIC_POWER
    with np.errstate(invalid="ignore"):
        return {"kt": total(like * kt) / total(like), "kt_ew": total(norm * kt) / total(norm),
                "abundance": total(norm * abundance) / total(norm), "norm": total(norm)}


def _labels_of_parts(image: Image, labels: NDArray[np.int32], coords: ImageCoords,
                     shape: tuple[int, ...]) -> list[NDArray[np.int32]]:
    """Yield the bins of the parts of each pixel of the simulation, one array (pixels,) per part; -1 outside."""
    y, x = np.indices(shape, dtype=np.float64).reshape(2, -1)
    ours = ImageCoords(image.header)

    def to_binmap(column: Floats, row: Floats) -> Floats:
        return np.stack(ours.sky_to_image(*coords.image_to_sky(column, row, "icrs"), "icrs"))

    with about(image.path):
        middle = to_binmap(x, y)
        # Both are tangent planes of one field: the size of a pixel is the same everywhere to 1e-4.
        centre = np.array([[(size - 1) / 2] for size in shape[::-1]])
        along, up = (to_binmap(*(centre + step)) - to_binmap(*centre) for step in ([[1.0], [0.0]], [[0.0], [1.0]]))
    ny, nx = labels.shape
    places = (np.arange(_PARTS) + 0.5) / _PARTS - 0.5
    found = []
    for right in places:
        for above in places:
            column, row = np.rint(middle + right * along + above * up)
            inside = (column >= 0) & (column < nx) & (row >= 0) & (row < ny)
            label = np.full(len(x), -1, np.int32)
            label[inside] = labels[row[inside].astype(int), column[inside].astype(int)]
            found.append(label)
    return found


def pulls_of(value: Floats, low: Floats, high: Floats, true: Floats, good: NDArray[np.bool_]) -> Pulls:
    """Return the statistics of value less truth over error, in the bins that are good."""
    pull = pull_of_each(value, low, high, true)[good]
    pull = pull[np.isfinite(pull)]
    if not pull.size:
        return Pulls(0, np.nan, np.nan, np.nan)
    return Pulls(len(pull), float(pull.mean()), float(pull.std()), float((np.abs(pull) < 1).mean()))


def pull_of_each(value: Floats, low: Floats, high: Floats, true: Floats) -> Floats:
    """Return value less truth over the error on the side of the truth; NaN where one of them is unknown."""
    return np.asarray((value - true) / np.where(value > true, low, high), np.float64)


def _table(result: FitResult, true: dict[str, Floats], parameters: dict[str, object]) -> str:
    from astropy.table import Table

    units = {"kt": "keV", "kt_ew": "keV", "norm": NORM_UNIT}
    table = Table({"bin": result.bin, **{f"true_{name}": values for name, values in true.items()}, "kt": result.kt,
                   "kt_low": result.kt_low, "kt_high": result.kt_high, "norm": result.norm,
                   "norm_low": result.norm_low, "norm_high": result.norm_high, "reason": result.reason})
    for name in table.colnames:
        table[name].unit = units.get(name.removeprefix("true_").removesuffix("_low").removesuffix("_high"))
    return ecsv(table, parameters)


def _panels(labels: NDArray[np.int32], result: FitResult, true: dict[str, Floats],
            good: NDArray[np.bool_]) -> list[Panel]:
    fitted, simulated = (by_number(labels, result.bin, np.where(good, values, np.nan))
                         for values in (result.kt, true["kt"]))
    known = true["kt"][good]
    limits = (float(known.min()) * 0.9, float(known.max()) * 1.1) if known.size else (0.0, 1.0)
    return [Panel("Temperature, fitted", "kT (keV)", fitted, "inferno", limits),
            Panel("Temperature, simulated", "kT (keV)", simulated, "inferno", limits)]


def _title(pulls: Pulls, delta: float) -> str:
    """Return the title of pictures; ``delta`` is the rise of the statistic at the ends of errors."""
    return (f"{pulls.bins} bins: (fit - truth) / error has mean {pulls.mean:+.2f} and rms {pulls.rms:.2f}; "
            f"{pulls.within:.0%} of errors hold the truth ({math.erf(math.sqrt(delta / 2)):.0%} by chance)")
