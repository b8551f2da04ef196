"""Pictures of maps with a value for each bin, and profiles of these values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import printable

from .bins import frame_of
from .figures import (
    BAR,
    BAR_GAP,
    BAR_LABEL,
    BOTTOM,
    CUT,
    DPI,
    GAP,
    KEPT,
    LEFT,
    RIGHT,
    TOP,
    Frame,
    add_panel,
    colour_bar,
    draw_scale,
    png_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Maps per row by the number of maps; the default is three.
_ACROSS = {1: 1, 2: 2, 4: 2}
# Percentiles of the bins at the ends of the colour scale, so that outliers do not set it.
_PERCENTILES = (2, 98)
# Least ratio of both ends for a logarithmic scale.
_LOGARITHMIC = 10.0


@dataclass(frozen=True, eq=False)
class Panel:
    """One map."""

    title: str
    unit: str
    values: Floats
    """Values by bin number, (bins,); NaN: no value."""
    colours: str = "inferno"
    limits: tuple[float, float] | None = None
    """Ends of the colour scale; None: from the values."""


def unit_label(unit: str) -> str:
    """Return a unit as a label for matplotlib."""
    from astropy.units import Unit

    return str(Unit(unit).to_string("latex_inline")) if unit else ""


def by_number(labels: NDArray[np.int32], numbers: NDArray[np.int64], values: Floats) -> Floats:
    """Return values by bin number, (bins,), from those of the bins ``numbers``; NaN for others."""
    made = np.full(int(labels.max(initial=-1)) + 1, np.nan)
    made[numbers] = values
    return made


def maps_png(binmap: NDArray[np.int32], coords: ImageCoords, panels: Sequence[Panel], title: str, *,
             kpc_per_arcsec: float | None = None) -> bytes:
    """Return a PNG with maps in rows of two or three. Bins without a value and pixels outside all bins are grey."""
    return png_of(lambda: _figure(binmap, coords, panels, printable(title), kpc_per_arcsec))


def _figure(binmap: NDArray[np.int32], coords: ImageCoords, panels: Sequence[Panel], title: str,
            kpc_per_arcsec: float | None) -> "Figure":
    """Return the figure of `maps_png`."""
    from matplotlib.figure import Figure

    frame = frame_of(binmap)
    width, height = frame.panel
    across = _ACROSS.get(len(panels), 3)
    down = -(-len(panels) // across)
    step, row = width + BAR_GAP + BAR + BAR_LABEL + GAP / 2, height + BOTTOM + 0.5
    size = (LEFT + across * step + RIGHT - GAP, TOP + down * row - 0.5)
    figure = Figure(figsize=size, dpi=DPI)
    figure.suptitle(title, fontsize=16, x=0.5, y=1 - 0.3 / size[1], va="center", parse_math=False)
    for number, panel in enumerate(panels):
        line, column = divmod(number, across)
        bottom = BOTTOM + (down - 1 - line) * row
        axes = add_panel(figure, LEFT + column * step, frame, coords, panel.title, column == 0, bottom)
        _draw(axes, binmap, panel, frame)
        if number == 0:
            draw_scale(axes, coords, frame, kpc_per_arcsec)
    return figure


def _draw(axes: "object", binmap: NDArray[np.int32], panel: Panel, frame: Frame) -> None:
    """Draw a map with its colour bar."""
    from matplotlib.axes import Axes
    from matplotlib.colors import LogNorm, Normalize

    assert isinstance(axes, Axes)
    known = panel.values[np.isfinite(panel.values)]
    low, high = panel.limits or (np.percentile(known, _PERCENTILES) if known.size else (0.0, 1.0))
    if not low < high:
        low, high = low - 0.5 * abs(low) - 1e-30, high + 0.5 * abs(high) + 1e-30
    is_log = panel.limits is None and low > 0 and high > _LOGARITHMIC * low
    shown = np.ma.masked_invalid(np.append(panel.values, np.nan)[binmap])[frame.cut]
    picture = axes.imshow(shown, origin="lower", extent=frame.extent, aspect="auto", interpolation="nearest",
                          cmap=panel.colours, norm=LogNorm(low, high) if is_log else Normalize(low, high))
    below, above = bool((known < low).any()), bool((known > high).any())
    extend = "both" if below and above else "min" if below else "max" if above else "neither"
    colour_bar(axes, picture, panel.unit, extend)


@dataclass(frozen=True, eq=False)
class Profile:
    """A quantity of bins as a function of their distance from a centre, arrays (bins,)."""

    radius_arcmin: Floats
    spread_arcmin: Floats
    """Extent of the bin inwards and outwards."""
    values: Floats
    low: Floats
    high: Floats
    label: str
    truth: Floats | None = None
    """Values of the simulation."""


def profile_png(profiles: Sequence[Profile], title: str, *, kpc_per_arcsec: float | None = None) -> bytes:
    """Return a PNG with a panel for each quantity: a point with its error for each bin, and the truth if known."""
    return png_of(lambda: _profile_figure(profiles, printable(title), kpc_per_arcsec))


def _profile_figure(profiles: Sequence[Profile], title: str, kpc_per_arcsec: float | None) -> "Figure":
    """Return the figure of `profile_png`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.6 + 3.6 * len(profiles)), dpi=DPI, layout="constrained")
    panels = figure.subplots(len(profiles), sharex=True, squeeze=False)[:, 0]
    for axes, profile in zip(panels, profiles, strict=True):
        known = np.isfinite(profile.values)
        errors = np.nan_to_num(np.stack([profile.low, profile.high])[:, known])
        radius, spread = profile.radius_arcmin[known], profile.spread_arcmin[known]
        inwards = np.minimum(spread, radius / 2)  # for the logarithmic axis
        axes.errorbar(radius, profile.values[known], xerr=[inwards, spread], fmt="none", lw=0.5, color=KEPT, alpha=0.35)
        axes.errorbar(radius, profile.values[known], errors, fmt="o", ms=3, lw=0.8, color=KEPT,
                      label="fits of bins, with errors")
        if profile.truth is not None:
            axes.plot(radius, profile.truth[known], "x", ms=4, color=CUT, zorder=3, label="simulated, in the bins")
        axes.set(ylabel=profile.label, xscale="log")
        if known.any():
            least, top = np.percentile(profile.values[known], (2, 98))
            axes.set_ylim(min(0, 1.4 * float(least)), 1.4 * float(top) if top > 0 else None)
    panels[0].legend(fontsize=9)
    panels[0].set_title(title, fontsize=12, parse_math=False)
    panels[-1].set_xlabel("Mean distance from the brightest bin (arcmin)")
    panels[-1].xaxis.set_major_formatter("{x:g}")
    panels[-1].xaxis.set_minor_formatter("")
    if kpc_per_arcsec is not None:
        scale = 60 * kpc_per_arcsec
        above = panels[0].secondary_xaxis("top", functions=(lambda x: np.multiply(x, scale),
                                                            lambda x: np.divide(x, scale)))
        above.set_xlabel("Distance (kpc)")
        above.xaxis.set_major_formatter("{x:g}")
        above.xaxis.set_minor_formatter("")
    return figure
