"""The pictures of the report: those of `chandra_bin.plots`, a light curve with its cuts, and histograms."""

import io
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chandra_bin.gti import GTI
from chandra_bin.lightcurve import LightCurve
from chandra_bin.plots import png_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Paul Tol's "vibrant" blue, orange and teal, and greys: all kinds of colour vision tell them apart, and so does print.
_KEPT, _CUT, _OTHER, _LINES = "#0077bb", "#ee7733", "#009988", "#444444"
_CUT_TIME, _CUT_HATCH = "#fdeee4", "#f5c3a2"
_DPI = 150
_MOST_ERROR_BARS = 2000
# Rates so many times above the largest that is kept are drawn on a logarithmic scale.
_BRIGHT = 8.0
_WEBP_QUALITY = 82


@dataclass(frozen=True)
class Picture:
    """A picture of the report."""

    name: str
    """Of the file, without .png."""
    alt: str
    """What there is to see, for those who do not see it."""
    caption: str
    png: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, which a PNG has at this place."""
        return int.from_bytes(self.png[16:20], "big"), int.from_bytes(self.png[20:24], "big")

    @property
    def is_wide(self) -> bool:
        """Whether it needs the width of the page to be read."""
        width, height = self.size
        return width > 2.5 * height

    @property
    def uri(self) -> str:
        """The picture inside the page: WebP, a fifth of the PNG's size."""
        from matplotlib.image import imread, imsave

        pixels = (imread(io.BytesIO(self.png), format="png")[..., :3] * 255).round().astype(np.uint8)
        file = io.BytesIO()
        imsave(file, pixels, format="webp", pil_kwargs={"quality": _WEBP_QUALITY, "method": 4})
        return f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}"


def light_curve_png(curve: LightCurve, kept: GTI | None, title: str) -> bytes:
    """Rates against time, the cut intervals shaded; bins without exposure are left out."""
    return png_of(lambda: _light_curve(curve, kept, title))


def histogram_png(sn: NDArray[np.float64], sn_image: NDArray[np.float64] | None, asked: float, title: str) -> bytes:
    """How many bins have which S/N: in counts, and in the image that was binned, where that is another."""
    return png_of(lambda: _histogram(sn, sn_image, asked, title))


def cut_intervals(curve: LightCurve, kept: GTI) -> list[tuple[float, float]]:
    """When there is exposure and it is not kept, as runs of whole bins; s, from the curve's begin."""
    cut = exposed(curve) & ~kept_bins(curve, kept)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], cut.astype(np.int8), [0]])))
    begin = curve.time_min[0]
    return [(float(curve.time_min[first] - begin), float(curve.time_max[last - 1] - begin))
            for first, last in edges.reshape(-1, 2)]


def exposed(curve: LightCurve) -> NDArray[np.bool_]:
    """Bins with exposure, as far as that is known."""
    there: NDArray[np.bool_] = np.isfinite(curve.rate)
    return there & (curve.exposure_s > 0) if curve.exposure_s is not None else there


def kept_bins(curve: LightCurve, kept: GTI) -> NDArray[np.bool_]:
    """Bins whose middle is in the good times."""
    middle = (curve.time_min + curve.time_max) / 2
    number = np.searchsorted(kept.start, middle, side="right") - 1
    inside: NDArray[np.bool_] = (number >= 0) & (middle < np.append(kept.stop, -np.inf)[number])
    return inside


def _light_curve(curve: LightCurve, kept: GTI | None, title: str) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    begin, there = curve.time_min[0], exposed(curve)
    middle = ((curve.time_min + curve.time_max) / 2 - begin) / 1e3
    good = there if kept is None else there & kept_bins(curve, kept)
    cuts = [] if kept is None else cut_intervals(curve, kept)
    for n, (start, stop) in enumerate(cuts):
        lost = sum(last - first for first, last in cuts) / 1e3
        axes.axvspan(start / 1e3, stop / 1e3, facecolor=_CUT_TIME, edgecolor=_CUT_HATCH, hatch="//", lw=0, zorder=0,
                     label=f"cut: {lost:.2f} ks" if n == 0 else None)
    for which, colour, marker, word in ((good, _KEPT, "o", "kept"), (there & ~good, _CUT, "X", "cut")):
        if not which.any():
            continue
        if curve.counts is not None and curve.exposure_s is not None and len(curve) <= _MOST_ERROR_BARS:
            axes.errorbar(middle[which], curve.rate[which], curve.rate_error[which], fmt="none", ecolor=colour,
                          alpha=0.5, lw=0.8)
        axes.plot(middle[which], curve.rate[which], marker, color=colour, ms=4.5 if word == "kept" else 7,
                  mec="white", mew=0.4, ls="none",
                  label=f"{word}: {np.count_nonzero(which)} bins of {curve.bin_length_s:.4g} s")
    highest, usual = float(curve.rate[there].max(initial=0)), float(curve.rate[good].max(initial=0))
    if usual and highest > _BRIGHT * usual:
        axes.set_yscale("symlog", linthresh=1.2 * usual, linscale=1.5, subs=(2, 5))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.set_ylim(-0.05 * usual, 1.3 * highest)
    else:
        axes.set_ylim(0, 1.25 * highest if highest else 1)
    if good.any():
        axes.axhline(float(curve.rate[good].mean()), color=_LINES, lw=1, ls="--",
                     label=f"mean of kept bins: {curve.rate[good].mean():.4g} count/s")
    axes.margins(x=0.01)
    axes.set_xlabel(f"Time (ks) since mission time {begin:.1f} s")
    axes.set_ylabel("Count rate (count/s)")
    axes.set_title(title, fontsize=12, parse_math=False)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=9, loc="upper right", framealpha=0.92)
    return figure


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
    axes.axvline(asked, color=_LINES, lw=1.2, ls="--", label=f"asked for: {asked:g}")
    axes.set_xlabel("S/N of a bin")
    axes.set_ylabel("Number of bins")
    axes.set_title(title, fontsize=12, parse_math=False)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=9)
    return figure
