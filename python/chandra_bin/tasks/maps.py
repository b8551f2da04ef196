"""Maps of the fits of bins with their errors, and maps of hardness, which need no fit."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin._checks.paths import FileName, as_path
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, counted, warn
from chandra_bin.events.spectra import HARD_EV, SOFT_EV, band_channels, hardness
from chandra_bin.fits.images import Image
from chandra_bin.fits.outputs import Outputs
from chandra_bin.plots.maps import Panel, Profile, by_number, maps_png, profile_png, unit_label
from chandra_bin.spectral.derived import DepthOptions, derived_quantities
from chandra_bin.spectral.fit_table import read_fit
from chandra_bin.spectral.results import FitResult

from ._bin_pixels import binmap_id, check_binmap
from ._common import about, ecsv, history, read_binmap, write_picture
from ._spectra_table import read_spectra_of_bins
from .paint import Quantity, painted
from .spectra import ALL_BINS

_COLUMN_UNITS = {"radius": "arcmin", "radius_spread": "arcmin"}
_PICTURE, _TABLE, _PROFILE = "maps.png", "maps.ecsv", "profile.png"
# Titles and colours of the panels after temperature and its error in the picture.
_PANELS = {"abundance": ("Abundance", "viridis"), "nh": ("Column density", "YlGnBu"),
           "redshift": ("Redshift", "coolwarm"), "pressure": ("Pressure", "plasma"), "entropy": ("Entropy", "cividis"),
           "density": ("Density", "magma")}
# Part of the formulas of quantities that no depth along the line of sight has gone into.
_PSEUDO = "norm / area"


@dataclass(frozen=True, eq=False)
class _Map:
    """Values of all bins and their errors, arrays (bins,) by the number of the bin."""

    values: Floats
    unit: str
    about: str
    """Description, for its header."""
    low: Floats | None = None
    high: Floats | None = None


def write_maps(binmap: FileName, fit: FileName, folder: FileName, *, options: DepthOptions | None = None,
               centre_deg: tuple[float, float] | None = None, clobber: bool = False) -> list[Path]:
    """Write maps of the fits of bins: FITS images of each quantity and of its lower and upper error, and a picture.

    Parameters
    ----------
    binmap : the binmap of the fitted bins.
    fit : the table of `fit_spectra_files`.
    folder : for ``kt.fits``, ``kt_low.fits``, ``kt_high.fits``, likewise for abundance, norm (per arcsec²), pressure,
        entropy, with a depth density, and nh or redshift where it was free; ``counts.fits`` (net counts per arcsec²),
        ``goodness.fits``; ``maps.ecsv``, the values of all maps and the distance of each bin from the brightest;
        ``maps.png`` and ``profile.png``.
    options : the depth of the gas along the line of sight; None: pseudo quantities, without a depth.
    centre_deg : RA and Dec (ICRS), the origin of the radii for the depth "volume".

    A bin whose fit is doubtful (the column reason) has NaN. Returns the files. Raises `InputError` and `OutputError`;
    no file is written then.
    """
    binmap, fit, folder = as_path(binmap, "binmap"), as_path(fit, "fit"), as_path(folder, "folder")
    options = DepthOptions.or_defaults(options)
    fitted = read_fit(fit)
    result, area = fitted.result, fitted.area_arcsec2
    image, labels = read_binmap(binmap)
    check_binmap(binmap, binmap_id(labels), fit, fitted.binmap_id)
    with about(binmap):
        coords = ImageCoords(image.header)
        coords.need_sky()
    depths = _radii(coords, labels, result, centre_deg) if options.depth == "volume" else None
    with about(fit):
        made = derived_quantities(result, area, redshift=fitted.redshift, options=options, radii=depths,
                                  abundance_table=fitted.abundance_table)
    good = result.good("kt")
    maps = {
        "kt": _Map(result.kt, "keV", "temperature", result.kt_low, result.kt_high),
        "norm": _Map(result.norm / area, "10**14 cm-5 arcsec-2", "norm of the plasma per area", result.norm_low / area,
                     result.norm_high / area),
        "counts": _Map(result.net_counts / area, "count arcsec-2", "net counts per area"),
        "goodness": _Map(result.goodness, "", "statistic less its expectation, in sigma"),
        **{name: _Map(made.values[name], unit, made.formulas[name], made.low[name], made.high[name])
           for name, unit in made.units.items()}}
    shown = {name: _masked(each, good if name not in ("counts", "goodness") else np.isfinite(each.values))
             for name, each in maps.items()}
    shown |= _of_free_parameters(result)
    if not good.any():
        warn(f"{fit}: no fit is good: all maps are empty (see the column reason)")
    parameters = {"binmap": binmap, "fit": fit, **asdict(options),
                  "centre_deg": None if centre_deg is None else "{:.7g} {:.7g}".format(*centre_deg)}
    keywords = {"MODEL": result.model, "FITSTAT": result.statistic_name, "BKGTYPE": fitted.background,
                "REDSHIFT": fitted.redshift, "ABUNDTAB": fitted.abundance_table,
                "DELTASTA": (result.delta, "rise of the statistic at the ends of errors"),
                "ERRCONF": (round(math.erf(math.sqrt(result.delta / 2)), 4), "confidence of errors, one parameter")}
    lines = history("maps", parameters)
    if fixed := int(np.count_nonzero(result.abundance_fixed & good & np.isfinite(result.abundance))):
        lines.append(f"abundance: fixed in {fixed} of {len(good)} bins, which its map leaves out (abundance_fixed)")
    radii = radii_arcmin(coords, labels, result)
    notes = _Notes([binmap, fit], fitted.binmap_id, lines, _title(result, good), keywords,
                   {"radius": radii[0], "radius_spread": radii[1], "reason": result.reason},
                   profiles_of(radii, {name: (each.values, each.low, each.high) for name, each in shown.items()
                                       if each.low is not None and each.high is not None}))
    return _write(folder, image, labels, result.bin, shown, notes, clobber)


def write_hardness_maps(binmap: FileName, spectra: FileName, folder: FileName, *, clobber: bool = False) -> list[Path]:
    """Write maps of hardness and of counts per area from the spectra of bins alone, without responses.

    ``hardness.fits`` is (H - S) / (H + S) of net counts of 2 - 7 (H) and 0.5 - 2 keV (S) of all observations together,
    with its errors. Hardness depends on the date and the chips of the observations: it compares bins and does not
    measure temperatures. Parameters are as for `write_maps`; ``spectra`` is the folder of `write_spectra`.
    """
    binmap, spectra, folder = as_path(binmap, "binmap"), as_path(spectra, "spectra"), as_path(folder, "folder")
    files = sorted(spectra.glob(f"*/{ALL_BINS}"))
    if not files:
        raise InputError(f"{spectra}: holds no {ALL_BINS} of any observation: make them by 'chandra-bin spectra'")
    image, labels = read_binmap(binmap)
    with about(binmap):
        coords = ImageCoords(image.header)
        coords.need_sky()
    own_id, bins = binmap_id(labels), int(labels.max(initial=-1)) + 1
    sums = {band: np.zeros((2, bins)) for band in (SOFT_EV, HARD_EV)}
    for file in files:
        each = read_spectra_of_bins(file)
        check_binmap(binmap, own_id, file, each.ids["BINMAPID"])
        for band, total in sums.items():
            channels = band_channels(band)
            counts = each.counts[:, channels].sum(axis=1)
            off = np.zeros(len(counts)) if each.off_counts is None else each.off_counts[:, channels].sum(axis=1)
            total[0][each.bin] += counts - each.off_ratio * off
            total[1][each.bin] += counts + each.off_ratio**2 * off
    (soft, soft_variance), (hard, hard_variance) = sums[SOFT_EV], sums[HARD_EV]
    ratio, error = hardness(soft, np.sqrt(soft_variance), hard, np.sqrt(hard_variance))
    pixels = np.bincount(labels[labels >= 0], minlength=bins)
    area = np.where(pixels > 0, pixels, np.nan) * coords.pixel_area_arcsec2
    maps = {"hardness": _Map(ratio, "", "(H - S) / (H + S) of net counts of 2 - 7 and 0.5 - 2 keV", error, error),
            "counts": _Map((soft + hard) / area, "count arcsec-2", "net counts of 0.5 - 7 keV per area")}
    lines = history("maps", {"binmap": binmap, "spectra": spectra})
    notes = _Notes([binmap, *files], own_id, lines, "Hardness: no effective areas, so no temperatures")
    return _write(folder, image, labels, np.arange(bins), maps, notes, clobber)


def profiles_of(radii: tuple[Floats, Floats], values: Mapping[str, tuple[Floats, Floats, Floats]],
                truth: Mapping[str, Floats] | None = None) -> list[Profile]:
    """Return the profiles of temperature and abundance against the radius, with the truth where it is known.

    Parameters
    ----------
    radii : as `radii_arcmin` returns them.
    values : values and their lower and upper errors by quantity, (bins,); NaN where unknown.
    truth : the values of the simulation, by quantity.
    """
    found = []
    for name, label in (("kt", "kT (keV)"), ("abundance", "Abundance")):
        if name in values and np.isfinite(values[name][0]).any():
            found.append(Profile(*radii, *values[name], label, None if truth is None else truth.get(name)))
    return found


def radii_arcmin(coords: ImageCoords, labels: NDArray[np.int32], result: FitResult) -> tuple[Floats, Floats]:
    """Return the mean distance of the pixels of each bin from the middle of the brightest bin, and its spread.

    Both are (bins,), in arcmin; the spread is the standard deviation over the pixels. Means over pixels are used since
    bins can be rings, whose middle lies outside them.
    """
    y, x = np.nonzero(labels >= 0)
    of = labels[y, x]
    size = int(labels.max()) + 1
    pixels = np.maximum(np.bincount(of, minlength=size), 1)
    brightest = result.bin[int(np.argmax(result.net_counts / pixels[result.bin]))]
    distance = np.hypot(x - x[of == brightest].mean(), y - y[of == brightest].mean())
    mean, square = (np.bincount(of, each, size) / pixels for each in (distance, distance**2))
    arcmin = np.sqrt(coords.pixel_area_arcsec2) / 60
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    return np.maximum(mean[result.bin], 0.5) * arcmin, spread[result.bin] * arcmin


def _radii(coords: ImageCoords, labels: NDArray[np.int32], result: FitResult,
           centre_deg: tuple[float, float] | None) -> tuple[Floats, Floats]:
    """Return the smallest and largest distance of the pixels of each bin from the centre, arcsec."""
    if centre_deg is None:
        raise InputError("depth volume needs a centre: give its RA and Dec (--centre)")
    x, y = (float(each) for each in coords.sky_to_image(*centre_deg, "icrs"))
    ny, nx = labels.shape
    if not (-0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5):
        raise InputError(f"the centre, RA {centre_deg[0]:g} and Dec {centre_deg[1]:g}, is not in the binmap: give "
                         "degrees (ICRS)")
    rows, columns = np.nonzero(labels >= 0)
    pixel = np.sqrt(coords.pixel_area_arcsec2)
    distance = np.hypot(columns - x, rows - y) * pixel
    bins = labels[rows, columns]
    size = int(labels.max()) + 1
    inner, outer = np.full(size, np.inf), np.zeros(size)
    np.minimum.at(inner, bins, distance - pixel / 2)
    np.maximum.at(outer, bins, distance + pixel / 2)
    inner = np.maximum(inner, 0)
    if (holds := int(labels[round(y), round(x)])) >= 0:
        inner[holds] = 0
    return inner[result.bin], outer[result.bin]


def _of_free_parameters(result: FitResult) -> dict[str, _Map]:
    """Return maps of the abundance, and of the column density or redshift where it was free."""
    shown: dict[str, _Map] = {}
    if np.isfinite(result.abundance).any():
        every = _Map(result.abundance, "", "abundance of the metals over the table's", result.abundance_low,
                     result.abundance_high)
        shown["abundance"] = _masked(every, result.good("abundance"))
    for name, unit, words in (("nh", "1e22 cm-2", "column density of hydrogen"), ("redshift", "", "redshift")):
        if getattr(result, f"{name}_is") == "free":
            low, high = getattr(result, f"{name}_low"), getattr(result, f"{name}_high")
            every = _Map(getattr(result, name), unit, words, low, high)
            shown[name] = _masked(every, result.good() & np.isfinite(low + high))
    return shown


def _masked(every: _Map, good: NDArray[np.bool_]) -> _Map:
    """Return a map without the values of bins that are not good."""
    values, low, high = (None if part is None else np.where(good, part, np.nan)
                         for part in (every.values, every.low, every.high))
    assert values is not None
    return _Map(values, every.unit, every.about, low, high)


def _title(result: FitResult, good: NDArray[np.bool_]) -> str:
    shown = f"{np.count_nonzero(good)} of {counted(len(good), 'bin')}"
    if poor := int(np.count_nonzero(result.reason == "poor fit")):
        shown += f", {counted(poor, 'poor fit')} among them"
    return f"{shown}; {result.error_text}"


@dataclass(frozen=True, eq=False)
class _Notes:
    """The inputs, history and title of the files of maps."""

    inputs: list[Path]
    binmap_id: str
    history: list[str]
    title: str
    """Title of the picture."""
    keywords: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    """More columns of the table, (bins,)."""
    profiles: Sequence[Profile] = ()


def _write(folder: Path, image: Image, labels: NDArray[np.int32], numbers: NDArray[np.int64], maps: Mapping[str, _Map],
           notes: _Notes, clobber: bool) -> list[Path]:
    parts = {f"{name}{end}": (values, each) for name, each in maps.items()
             for end, values in (("", each.values), ("_low", each.low), ("_high", each.high)) if values is not None}
    files = {name: folder / f"{name}.fits" for name in parts}
    table, picture = folder / _TABLE, folder / _PICTURE
    profile = [folder / _PROFILE] if notes.profiles else []
    with Outputs([*files.values(), table, *profile, picture], inputs=notes.inputs, clobber=clobber) as outputs:
        for name, (values, each) in parts.items():
            of_value, _, end = name.rpartition("_")
            kind, side = {"low": ("lower error of ", "below"), "high": ("upper error of ", "above")}.get(end, ("", ""))
            keywords = dict(notes.keywords)
            if side:
                keywords["ERRSIDE"] = side, f"error: distance {side} {of_value}"
            quantity = Quantity(dict(zip(numbers.tolist(), values.tolist(), strict=True)), each.unit)
            of_map = [*notes.history, f"{name}: {kind}{each.about}"]
            outputs.write(files[name], painted(image, labels, quantity, of_map, keywords))
        outputs.write(table, _table(numbers, parts, notes))
        panels, coords = _panels(labels, numbers, maps), ImageCoords(image.header)
        for file in profile:
            write_picture(outputs, file, lambda: profile_png(notes.profiles, notes.title))
        write_picture(outputs, picture, lambda: maps_png(labels, coords, panels, notes.title))
    return [*files.values(), table, *profile, picture]


def _table(numbers: NDArray[np.int64], parts: Mapping[str, tuple[Floats, _Map]], notes: _Notes) -> str:
    """Return the values of maps as ECSV, a row for each bin."""
    from astropy.table import Table
    from astropy.units import Unit

    table = Table({"bin": numbers})
    for name, (values, each) in parts.items():
        table[name] = values
        table[name].unit = Unit(each.unit) if each.unit else None
    for name, values in notes.columns.items():
        table[name] = values
        table[name].unit = _COLUMN_UNITS.get(name)
    return ecsv(table, {"inputs": tuple(notes.inputs), "binmap_id": notes.binmap_id, **{
        f"about_{name}": each.about for name, (values, each) in parts.items() if values is each.values}})


def _panels(labels: NDArray[np.int32], numbers: NDArray[np.int64], maps: Mapping[str, _Map]) -> list[Panel]:
    def shown(values: Floats) -> Floats:
        return by_number(labels, numbers, values)

    if "kt" not in maps:
        first = maps["hardness"]
        assert first.low is not None
        return [Panel("Hardness", first.unit, shown(first.values), "coolwarm"),
                Panel("Error of hardness", first.unit, shown(first.low), "cividis"),
                Panel("Net counts per area", "counts per arcsec²", shown(maps["counts"].values), "magma")]
    kt = maps["kt"]
    assert kt.low is not None
    assert kt.high is not None
    error = 50 * (kt.low + kt.high) / kt.values
    panels = [Panel("Temperature", "kT (keV)", shown(kt.values)),
              Panel("Error of the temperature", "error of kT (%)", shown(error), "cividis")]
    for name, (of_panel, colours) in _PANELS.items():
        if name in maps:
            title = f"Pseudo-{of_panel.lower()}" if _PSEUDO in maps[name].about else of_panel
            panels.append(Panel(title, unit_label(maps[name].unit), shown(maps[name].values), colours))
    return panels
