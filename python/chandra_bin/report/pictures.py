"""The pictures of the report: those of `chandra_bin.plots`, a light curve with its cuts, and histograms."""

import io
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chandra_bin.binning.profiles import RadialProfile
from chandra_bin.events.gti import GTI
from chandra_bin.events.lightcurve import LightCurve
from chandra_bin.plots.figures import png_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Paul Tol's "vibrant" blue, orange and teal, and greys: distinct for all kinds of colour vision, and in print.
_KEPT, _CUT, _OTHER, _LINES = "#0077bb", "#ee7733", "#009988", "#444444"
_DPI = 150
_WEBP_QUALITY = 82
_WEBP_METHOD = 1  # more effort takes time of each report for a seventh of the bytes


@dataclass(frozen=True)
class Picture:
    """A picture of the report."""

    name: str
    """Name of the file, without .png."""
    alt: str
    """Alternative text that describes the picture."""
    caption: str
    png: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, from the header of the PNG."""
        return int.from_bytes(self.png[16:20], "big"), int.from_bytes(self.png[20:24], "big")

    @property
    def is_wide(self) -> bool:
        """Whether the picture needs the full width of the page."""
        width, height = self.size
        return width > 2.5 * height

    @property
    def uri(self) -> str:
        """The data URI of the picture: WebP, a fifth of the PNG's size, or PNG where WebP cannot be written."""
        from PIL import Image  # matplotlib needs it

        file = io.BytesIO()
        try:
            picture = Image.open(io.BytesIO(self.png)).convert("RGB")
            picture.save(file, "WEBP", quality=_WEBP_QUALITY, method=_WEBP_METHOD)
        except (KeyError, OSError, ValueError):  # Pillow can be built without WebP
            return f"data:image/png;base64,{b64encode(self.png).decode()}"
        return f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}"


def histogram_png(sn: NDArray[np.float64], sn_image: NDArray[np.float64] | None, asked: float, title: str) -> bytes:
    """Draw a histogram of the S/N of bins in counts, and in the image that was binned where that differs."""
    return png_of(lambda: _histogram(sn, sn_image, asked, title))


def profile_png(profile: RadialProfile, arcsec_per_pixel: float, unit: str, background_error: float, title: str,
                kpc_per_arcsec: float | None = None) -> bytes:
    """Draw net brightness against radius, with the background and its error (a fraction)."""
    return png_of(lambda: _profile(profile, arcsec_per_pixel, unit, background_error, title, kpc_per_arcsec))


def cut_intervals(curve: LightCurve, kept: GTI) -> list[tuple[float, float]]:
    """Return the intervals with exposure outside the GTIs, as runs of whole bins; s, from the begin of the curve."""
    cut = exposed(curve) & ~kept_bins(curve, kept)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], cut.astype(np.int8), [0]])))
    begin = curve.time_min[0]
    return [(float(curve.time_min[first] - begin), float(curve.time_max[last - 1] - begin))
            for first, last in edges.reshape(-1, 2)]


def exposed(curve: LightCurve) -> NDArray[np.bool_]:
    """Return which bins have exposure; all bins where the exposure is unknown."""
    there: NDArray[np.bool_] = np.isfinite(curve.rate)
    return there & (curve.exposure_s > 0) if curve.exposure_s is not None else there


def kept_bins(curve: LightCurve, kept: GTI) -> NDArray[np.bool_]:
    """Return which bins have their middle in the GTIs."""
    middle = (curve.time_min + curve.time_max) / 2
    number = np.searchsorted(kept.start, middle, side="right") - 1
    inside: NDArray[np.bool_] = (number >= 0) & (middle < np.append(kept.stop, -np.inf)[number])
    return inside


def _histogram(sn: NDArray[np.float64], sn_image: NDArray[np.float64] | None, asked: float, title: str) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4.2), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    low = min(float(each.min()) for each in (sn, sn_image) if each is not None)
    high = max(float(each.max()) for each in (sn, sn_image) if each is not None)
    room = max(0.02 * (high - low), 0.01 * abs(high), 1e-3)
    edges = np.linspace(low - room, high + room, int(np.clip(3 * np.sqrt(sn.size), 12, 60)) + 1).tolist()
    axes.hist(sn, edges, color=_KEPT, alpha=0.85, label=f"in counts: median {np.median(sn):.4g}")
    if sn_image is not None:
        axes.hist(sn_image, edges, histtype="step", color=_CUT, lw=2,
                  label=f"in the image that was binned: median {np.median(sn_image):.4g}")
    axes.axvline(asked, color=_LINES, lw=1.2, ls="--", label=f"target: {asked:g}")
    axes.set_xlabel("S/N of a bin")
    axes.set_ylabel("Number of bins")
    axes.set_title(title, fontsize=12, parse_math=False)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=9)
    return figure


def _profile(profile: RadialProfile, arcsec_per_pixel: float, unit: str, background_error: float, title: str,
             kpc_per_arcsec: float | None) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.6), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    per = arcsec_per_pixel**2
    outer = profile.outer * arcsec_per_pixel
    inner = np.maximum(profile.inner * arcsec_per_pixel, outer / 4)  # a logarithmic axis has no radius 0
    middle = np.sqrt(inner * outer)
    net, error, background = (each / per for each in (profile.brightness, profile.error, profile.background))
    seen = net > error
    axes.errorbar(middle[seen], net[seen], np.minimum(error, 0.999 * np.abs(net))[seen],
                  [(middle - inner)[seen], (outer - middle)[seen]], fmt="o", ms=3.5, color=_KEPT,
                  elinewidth=0.9, label="net, Poisson errors")
    if (~seen).any():
        axes.plot(middle[~seen], (np.maximum(net, 0) + 2 * error)[~seen], "v", ms=5, color=_KEPT, mfc="none",
                  label="below 1 sigma: 2 sigma upper limits")
    if (background > 0).any():
        axes.plot(middle, background, color=_CUT, lw=1.4, label="background that is subtracted")
        if background_error > 0:
            axes.plot(middle, background_error * background, color=_CUT, lw=1.2, ls="--",
                      label=f"its error ({background_error:.1%})")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("Radius (arcsec)")
    axes.set_ylabel(f"Brightness ({unit})")
    axes.set_title(title, fontsize=12, parse_math=False)
    if kpc_per_arcsec is not None:
        scale = kpc_per_arcsec
        above = axes.secondary_xaxis("top", functions=(lambda x: np.multiply(x, scale), lambda x: np.divide(x, scale)))
        above.set_xlabel("Radius (kpc)")
        above.xaxis.set_major_formatter("{x:g}")
    figure.legend(fontsize=9, loc="outside lower center", ncols=2, frameon=False)  # below: it hides no point
    return figure


def truth_png(true: NDArray[np.float64], value: NDArray[np.float64], low: NDArray[np.float64],
              high: NDArray[np.float64], pull: NDArray[np.float64], title: str) -> bytes:
    """Draw fitted against simulated temperature (keV) of bins, and the distribution of their pulls."""
    return png_of(lambda: _truth(true, value, low, high, pull, title))


def _truth(true: NDArray[np.float64], value: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64],
           pull: NDArray[np.float64], title: str) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(12, 5), dpi=_DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    figure.suptitle(title, fontsize=13, parse_math=False)
    left.errorbar(true, value, [low, high], fmt="o", ms=3.5, color=_KEPT, elinewidth=0.9, label="bins, with errors")
    ends = [0.9 * min(true.min(), value.min()), 1.1 * max(true.max(), value.max())]
    left.plot(ends, ends, "--", color=_LINES, lw=1.2, label="fitted = simulated")
    left.set(xlabel="Simulated kT (keV)", ylabel="Fitted kT (keV)", xlim=ends, ylim=ends, aspect="equal")
    left.legend(fontsize=9, loc="upper left")
    reach = max(4.0, float(np.ceil(np.abs(pull).max())))
    edges = np.linspace(-reach, reach, int(np.clip(4 * np.sqrt(pull.size), 16, 60)) + 1)
    right.hist(pull, edges.tolist(), color=_KEPT, alpha=0.85,
               label=f"{pull.size} bins: mean {pull.mean():+.2f}, rms {pull.std():.2f}")
    fine = np.linspace(-reach, reach, 301)
    step = edges[1] - edges[0]
    right.plot(fine, pull.size * step * np.exp(-fine**2 / 2) / np.sqrt(2 * np.pi), color=_CUT, lw=2,
               label="normal distribution")
    right.set(xlabel="(fit - truth) / error", ylabel="Number of bins", ylim=(0, 1.3 * right.get_ylim()[1]))
    right.yaxis.set_major_locator(MaxNLocator(integer=True))
    right.legend(fontsize=9, loc="upper left")
    return figure
