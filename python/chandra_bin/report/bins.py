"""The section of the bins: their map, table, pictures and warnings."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.binning.bins import LOW_SN
from chandra_bin.binning.profiles import radial_profile
from chandra_bin.errors import InputError, counted
from chandra_bin.fits.headers import approximation, is_number, text_of
from chandra_bin.fits.images import Image
from chandra_bin.plots.bins import bins_png

from .binmap import packed_map
from .collect import Folder
from .gallery import Gallery, coords_of
from .pictures import Picture, histogram_png, profile_png
from .spectra import packed_spectra
from .tables import bin_rows, plain

if TYPE_CHECKING:
    from astropy.table import QTable

# Bins with a larger background fraction get a warning.
MOSTLY = 0.5


@dataclass(frozen=True, eq=False)
class Net:
    """The counts that were binned, and their background."""

    image: Image
    background: NDArray[Any] | None
    ratio: NDArray[Any] | float
    header: Mapping[str, Any]
    """Header of the background image."""

    @property
    def counts(self) -> NDArray[Any]:
        """The pixels of the image."""
        return self.image.data

    @property
    def signal(self) -> NDArray[Any]:
        """Counts less the scaled background."""
        return self.counts if self.background is None else self.counts - np.nan_to_num(self.background * self.ratio)


def parameters_of(table: "QTable | None") -> Mapping[str, Any]:
    """Return the parameters that bins were made with; empty without a table."""
    found = {} if table is None else table.meta.get("parameters", {})
    return found if isinstance(found, Mapping) else {}


def section(gallery: Gallery, table: "QTable | None") -> dict[str, Any]:
    """Return the contents of the section of the bins."""
    folder, layout = gallery.folder, gallery.folder.layout
    binmap = folder.image(layout.binmap)
    net = _net(folder)
    found: dict[str, Any] = {"map": None, "spectra": None, "columns": [], "rows": [], "line": "", "explained": [],
                             "warnings": [], "missing": [folder.missing(path) for path in (
                                 layout.smoothed, layout.binmap, layout.bin_table) if not path.exists()]}
    found["images"] = [each for each in (_net_picture(gallery, net), _profile(gallery, net, parameters_of(table)))
                       if each]
    pictures = [_smoothed(gallery)]
    if binmap is not None and table is not None:
        labels = np.asarray(binmap.data, np.int32)
        if not (labels >= 0).any() or len(table) <= int(labels.max()) or "sn" not in table.colnames:
            folder.problem(f"{layout.bin_table} does not belong to {layout.binmap.name}, or holds no bin")
        else:
            pictures = [*_pictures(gallery, binmap, labels, table), *pictures]
            found["line"] = _sn_line(folder, plain(table, "sn"))
            found["explained"] = _explained(folder, table, net)
            found["warnings"] = _warnings(table)
            found["map"] = packed_map(labels)
            found["spectra"] = packed_spectra(folder, found["map"]["bins"])
            found["columns"], found["rows"] = bin_rows(_with_fit(folder, table))
    found["pictures"] = [each for each in pictures if each]
    return found


def _pictures(gallery: Gallery, binmap: Image, labels: NDArray[np.int32], table: "QTable") -> list[Picture | None]:
    folder, target = gallery.folder, gallery.folder.config.settings.sn
    sn = plain(table, "sn")
    made = [_maps(gallery, binmap, labels, sn)]
    seen = plain(table, "sn_image") if "sn_image" in table.colnames else None
    differs = seen is not None and not np.allclose(seen, sn)
    made.append(gallery.add(
        "sn_histogram", f"Histogram of the S/N of {counted(len(sn), 'bin')}; in counts the median is "
                        f"{np.median(sn):.3g}.",
        "S/N of the bins", histogram_png, sn, seen if differs else None, target,
        f"{gallery.target}: S/N of {counted(len(sn), 'bin')}"))
    if "background_fraction" in table.colnames and folder.layout.final_background.is_file():
        fraction = np.append(plain(table, "background_fraction"), np.nan)
        made.append(gallery.pixels(
            binmap, fraction[labels], "background_fraction", "background fraction of the bins",
            "Scaled background over counts of each bin; above 0.5 most of the counts are background",
            label="Background over counts", excluded=labels < 0, colours="cividis", limits=(0.0, 1.0)))
    return made


def _with_fit(folder: Folder, table: "QTable") -> "QTable":
    """Return the table of bins with the temperature and abundance of good fits, where fits exist."""
    fit = folder.fit()
    if fit is None or fit.bin[-1] >= len(table):
        return table
    made = table.copy()
    known = {"kt": (fit.kt, fit.good()), "kt_low": (fit.kt_low, fit.good()), "kt_high": (fit.kt_high, fit.good()),
             "abundance": (fit.abundance, fit.good("abundance"))}
    for name, (values, good) in known.items():
        column = np.full(len(table), np.nan)
        column[fit.bin] = np.where(good, values, np.nan)
        if np.isfinite(column).any():
            made[name] = column
    reasons = np.full(len(table), "", dtype=object)
    reasons[fit.bin] = fit.reason
    made["fit"] = reasons.astype(str)
    return made


def _maps(gallery: Gallery, binmap: Image, labels: NDArray[np.int32], sn: NDArray[np.float64]) -> Picture | None:
    counts = gallery.folder.image(gallery.folder.layout.final_image)
    if counts is None or counts.data.shape != labels.shape:
        return None
    return gallery.add(
        "bins", f"Three maps side by side: counts, the bins ({len(sn)}), and their brightness.",
        "Step 7: counts, bins, and the brightness of each bin", bins_png, np.nan_to_num(counts.data), labels, sn,
        coords_of(binmap), title=gallery.target, kpc_per_arcsec=gallery.kpc_per_arcsec)


def is_of_counts(folder: Folder) -> bool:
    """Return whether the existing bins are bins of counts; the setting may have changed since."""
    of_record = next((task.record.settings for task in folder.tasks if task.name == "bin" and task.record), {})
    binned: str = of_record.get("binning_image", folder.config.settings.binning_image)
    return binned == "counts"


def _sn_line(folder: Folder, sn: NDArray[np.float64]) -> str:
    """Return a line on the S/N in counts that the settings gave."""
    low, middle, high = np.percentile(sn, (10, 50, 90))
    what = "counts" if is_of_counts(folder) else "the scaled flux"
    settings = folder.config.settings
    return (f"{counted(len(sn), 'bin')}: the target is S/N {settings.sn:g} in {what}, with contours of S/N "
            f"{settings.contour_sn:g}; in counts it is {middle:.1f} (median; {low:.1f} - {high:.1f} for 80 % of the "
            "bins)")


def _explained(folder: Folder, table: "QTable", net: Net | None) -> list[str]:
    """Return texts that define the S/N in counts and state the errors of the background."""
    parameters = parameters_of(table)
    texts = ["S/N in counts is N / σ, with net counts N = C - r B of a bin: C counts, B background counts, and the "
             "factor r that scales B to the observation. σ² is the Poisson variance of C and of r B (Gehrels 1986, "
             f"equation 7). A bin below S/N {LOW_SN:g} holds no significant signal, and is hatched in pictures."]
    if not is_of_counts(folder):
        texts.append("Bins were made of the scaled flux, whose S/N differs from that of counts: that is the column "
                     "\"S/N, image\".")
    if net is None or net.background is None:
        texts.append("No background was subtracted: S/N is that of all counts.")
        return texts
    systematic, scale = (parameters.get(f"background_{name}") for name in ("systematic", "scale_error"))
    errors = [f"{value:.1%} ({what})" for value, what in ((systematic, "systematic"), (scale, "of its scale"))
              if is_number(value) and value > 0]
    if errors:
        texts.append(f"The column \"S/N with the background's error\" adds, in quadrature, an error of the whole "
                     f"background of {' and '.join(errors)}.")
    return texts


def _warnings(table: "QTable") -> list[str]:
    """Return a warning of bins in which the background is more than half of the counts."""
    if "background_fraction" not in table.colnames:
        return []
    fraction = plain(table, "background_fraction")
    if not (many := int(np.count_nonzero(fraction > MOSTLY))):
        return []
    lowest = f"; the lowest S/N with its error is {plain(table, 'sn_sys')[fraction > MOSTLY].min():.1f}" \
        if "sn_sys" in table.colnames else ""
    return [f"{many} of {len(table)} bins {'are' if many > 1 else 'is'} mostly background (up to "
            f"{np.nanmax(fraction):.0%} of the counts): results there depend on the background's scale{lowest}"]


def _net(folder: Folder) -> Net | None:
    layout = folder.layout
    image = folder.image(layout.final_image)
    if image is None:
        return None
    background, ratio = folder.image(layout.final_background), folder.image(layout.final_background_ratio)
    if background is None or background.data.shape != image.data.shape:
        return Net(image, None, 1.0, {})
    scale = 1.0 if ratio is None or ratio.data.shape != image.data.shape else ratio.data
    return Net(image, background.data, scale, background.header)


def _net_picture(gallery: Gallery, net: Net | None) -> Picture | None:
    """Return a picture of the counts less the background."""
    if net is None or net.background is None:
        return None
    return gallery.pixels(
        net.image, net.signal, "net_counts", "counts less background", "Counts less the scaled background, smoothed; "
        "pixels that are removed are grey", label="Net counts per pixel", smooth=True,
        excluded=gallery.excluded(net.image))


def _profile(gallery: Gallery, net: Net | None, parameters: Mapping[str, Any]) -> Picture | None:
    """Return a picture of the net brightness in annuli around the brightest pixel of the smoothed image."""
    folder, layout = gallery.folder, gallery.folder.layout
    smoothed, expmap = folder.image(layout.smoothed), folder.image(layout.final_expmap)
    if net is None or smoothed is None or smoothed.data.shape != net.counts.shape or np.isnan(smoothed.data).all():
        return None
    try:
        coords = coords_of(net.image)
        arcsec = coords.pixel_area_arcsec2**0.5 if coords.sky is not None else None
    except InputError:
        arcsec = None
    if arcsec is None:
        return None
    y, x = np.unravel_index(np.nanargmax(smoothed.data), smoothed.data.shape)
    excluded = gallery.excluded(net.image)
    is_exposed = expmap is not None and expmap.data.shape == net.counts.shape
    profile = radial_profile(
        net.counts, (float(x), float(y)), background=net.background, ratio=net.ratio,
        exposure=expmap.data if expmap is not None and is_exposed else None,
        use=None if excluded is None else ~excluded)
    unit, how = "net counts/arcsec²", ""
    if expmap is not None and is_exposed:
        per = text_of(expmap.header, "BUNIT").replace("**2", "²")
        unit, how = f"photons/({per} arcsec²)" if per else unit, approximation(expmap.header)
    errors = [value if is_number(value := parameters.get(f"background_{name}")) else 0.0
              for name in ("systematic", "scale_error")]
    error = math.hypot(*errors)
    return gallery.add(
        "profile", "Net brightness against radius, with the background.",
        f"Net brightness in annuli around the brightest pixel of the smoothed image{f'; {how}' if how else ''}",
        profile_png, profile, arcsec, f"{unit}, approximate" if how else unit, error,
        f"{gallery.target}: radial profile", gallery.kpc_per_arcsec)


def _smoothed(gallery: Gallery) -> Picture | None:
    """Return a picture of the image whose contours the bins follow, as the binner wrote it."""
    folder, path = gallery.folder, gallery.folder.layout.smoothed
    image = folder.image(path)
    if image is None:
        return None
    target = f"S/N {image.header.get('SMOOTHSN', folder.config.settings.contour_sn):g}"
    flux = text_of(image.header, "CONTOURS") == "flux"
    label = ("Net counts per pixel at the mean exposure" if flux else "Counts per pixel" if is_of_counts(folder)
             else "Scaled flux per pixel")
    what = "Net counts over exposure in" if flux else "The mean of"
    return gallery.pixels(
        image, image.data, "smoothed", f"smoothed to {target}", f"{what} the smallest disc around each pixel whose "
        f"{'counts have' if flux else 'signal has'} {target}; bins follow the contours ({folder.name_of(path)})",
        label=label, excluded=np.isnan(image.data))
