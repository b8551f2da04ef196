"""Pictures of light curves: rates of good and cut bins, and the limits."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chandra_bin.errors import counted, printable
from chandra_bin.events.deflare import runs_of
from chandra_bin.events.lightcurve import LightCurve

from .figures import CUT, DPI, KEPT, LINES, png_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CUT_TIME, _CUT_HATCH = "#fdeee4", "#f5c3a2"
# Largest number of bins with error bars.
_MOST_ERROR_BARS = 2000

# Flares brighter than this many times the limit switch to a logarithmic scale.
_BRIGHT = 8.0


@dataclass(frozen=True)
class RateLimits:
    """The limits that select good bins of a light curve. Rates are in counts per second."""

    method: str
    mean: float
    """The quiescent rate."""
    low: float
    high: float
    cut_by_noise: float | None = None
    """Expected number of bins that noise alone cuts."""


def light_curve_png(curve: LightCurve, good: NDArray[np.bool_] | None, title: str,
                    limits: RateLimits | None = None) -> bytes:
    """Return a PNG of a light curve: rates of good and cut bins, the quiescent rate and the limits.

    Cut bins have crosses on a hatched background. The legend is below the axes. The scale is logarithmic above the
    upper limit if flares are much brighter. Bins without exposure are omitted. The same input gives the same bytes.

    Parameters
    ----------
    curve : LightCurve
        The light curve.
    good : bool (bins,), optional
        True in good bins. Default: no bin is marked.
    title : str
        Title of the picture.
    limits : RateLimits, optional
        Limits to draw as lines.
    """
    return png_of(lambda: _curve_figure(curve, good, printable(title), limits))


def _curve_figure(curve: LightCurve, good: NDArray[np.bool_] | None, title: str,
                  limits: RateLimits | None) -> "Figure":
    """Return the figure of `light_curve_png`."""
    from matplotlib.figure import Figure

    exposed = np.isfinite(curve.rate) & (curve.exposure_s > 0 if curve.exposure_s is not None else curve.rate >= 0)
    figure = Figure(figsize=(10, 5.2), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    start, stop, ks = ((each - curve.time_min[0]) / 1e3 for each in (curve.time_min, curve.time_max, curve.time))
    kept = exposed if good is None else exposed & good
    for first, last in runs_of(exposed & ~kept):
        axes.axvspan(start[first], stop[last - 1], facecolor=_CUT_TIME, edgecolor=_CUT_HATCH, hatch="//", lw=0,
                     zorder=0)
    few = len(curve) <= _MOST_ERROR_BARS
    noise = ""
    if limits is not None and limits.cut_by_noise is not None:
        noise = f" (noise alone is expected to cut {limits.cut_by_noise:.1f})"
    for here, colour, marker, label in (
            (kept, KEPT, "o", f"kept: {counted(np.count_nonzero(kept), 'bin')} of {curve.bin_length_s:.5g} s"),
            (exposed & ~kept, CUT, "X", f"cut: {counted(np.count_nonzero(exposed & ~kept), 'bin')}{noise}")):
        if few and curve.counts is not None and curve.exposure_s is not None:
            axes.errorbar(ks[here], curve.rate[here], curve.rate_error[here], fmt="none", ecolor=colour, alpha=0.45,
                          lw=0.8)
        axes.plot(ks[here], curve.rate[here], marker if few else ",", color=colour, ms=4.5 if marker == "o" else 7,
                  mec="white", mew=0.4, ls="none", label=label)
    usual = float(curve.rate[kept].max(initial=0)) or 1.0
    if limits is not None:
        _draw_limits(axes, limits)
        usual = limits.high
    elif kept.any():
        mean = float(curve.rate[kept].mean())
        axes.axhline(mean, color=LINES, lw=1, label=f"mean rate of the kept bins {mean:.4g} count/s")
    highest = float((curve.rate + (curve.rate_error if few and curve.counts is not None else 0))[exposed].max(
        initial=usual))
    if highest > _BRIGHT * usual:
        axes.set_yscale("symlog", linthresh=usual, linscale=1.5, subs=(2, 5))
        for which in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            which("{x:g}")
    axes.set_ylim(-0.03 * min(highest, _BRIGHT * usual), (1.3 if highest > _BRIGHT * usual else 1.05) * highest)
    axes.margins(x=0.01)
    axes.set_xlabel(f"Time (ks) since mission time {curve.time_min[0]:.1f} s")
    axes.set_ylabel("Count rate (count/s)")
    axes.set_title(title, fontsize=12, parse_math=False)
    figure.legend(fontsize=9, loc="outside lower center", ncols=2, frameon=False)  # it hides no bin there
    return figure


def _draw_limits(axes: "Axes", limits: RateLimits) -> None:
    """Draw the quiescent rate and the limits as lines."""
    axes.axhline(limits.mean, color=LINES, lw=1, label=f"quiescent rate {limits.mean:.4g} count/s")
    axes.axhline(limits.high, color=LINES, lw=1, ls="--",
                 label=f"limits {max(limits.low, 0):.4g} and {limits.high:.4g} count/s ({limits.method})")
    if limits.low > 0:
        axes.axhline(limits.low, color=LINES, lw=1, ls="--")
