"""Pictures of images with regions, and the profile of a cluster next to them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.coords.pixel_areas import pixel_areas_arcsec2
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import printable
from chandra_bin.regions import Region, Shape, convert_region
from chandra_bin.sources.proposals import ClusterShape

from .figures import (
    BAR,
    BAR_GAP,
    BAR_LABEL,
    BOTTOM,
    CUT,
    DPI,
    KEPT,
    LEFT,
    LINES,
    PANEL,
    REMOVED,
    Frame,
    Look,
    add_panel,
    box_around,
    draw_scale,
    draw_smoothed,
    png_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches above the picture.
_TITLE = 0.5

# Legend below a picture: entries per row, and the heights of a row and of the margins.
_ENTRIES, _ENTRY, _AROUND = 3, 0.2, 0.1

# Colours of outlines, normal and faint.
_OUTLINES, _FAINT = ("#00e5ff", "#ffffff"), ("#b8e986", "#ffb000")


@dataclass(frozen=True)
class RegionOverlay:
    """A region to draw on an image."""

    region: Region
    label: str
    faint: bool = False


def region_png(image: NDArray[Any], overlays: Sequence[RegionOverlay], coords: ImageCoords, title: str,
               look: Look | None = None, *, exposure: NDArray[Any] | None = None,
               cluster: ClusterShape | None = None) -> bytes:
    """Return a PNG of an image (ny, nx) with outlines of regions, and next to it the profile of a cluster.

    With ``exposure`` only the exposed part of the image is shown. The same input gives the same bytes.
    """
    return png_of(lambda: _region_figure(image, overlays, coords, printable(title), exposure, cluster, look or Look()))


def _region_figure(image: NDArray[Any], overlays: Sequence[RegionOverlay], coords: ImageCoords, title: str,
                   exposure: NDArray[Any] | None, cluster: ClusterShape | None, look: Look) -> "Figure":
    """Return the figure of `region_png`."""
    from matplotlib.figure import Figure

    seen = (image if exposure is None else exposure) > 0  # False for NaN
    frame = box_around(seen, (0, 100), 0.03) if seen.any() else Frame(0, image.shape[1], 0, image.shape[0])
    width, height = frame.panel
    of_profile = 0.0 if cluster is None else LEFT + PANEL
    bottom = BOTTOM + (_ENTRY * -(-len(overlays) // _ENTRIES) + _AROUND if overlays else 0.0)
    size = (LEFT + width + BAR_GAP + BAR + BAR_LABEL + of_profile + 0.2, bottom + height + _TITLE)
    figure = Figure(figsize=size, dpi=DPI)
    axes = add_panel(figure, LEFT, frame, coords, title, labelled=True, bottom=bottom)
    axes.title.set_parse_math(False)
    axes.set_facecolor("black" if look.excluded is None else REMOVED)
    draw_smoothed(axes, image, frame, look)
    colours = {False: cycle(_OUTLINES), True: cycle(_FAINT)}
    handles = [_draw_region(axes, overlay, coords, next(colours[overlay.faint])) for overlay in overlays]
    if handles:  # the legend is outside the picture, where it hides no sources
        figure.legend(handles=handles, fontsize=9, loc="lower left", ncols=_ENTRIES, facecolor="black",
                      labelcolor="white", edgecolor="none", framealpha=1,
                      bbox_to_anchor=(LEFT / size[0], 0.1 / size[1]), borderaxespad=0)
    axes.set_xlim(frame.x0 - 0.5, frame.x1 - 0.5)
    axes.set_ylim(frame.y0 - 0.5, frame.y1 - 0.5)
    draw_scale(axes, coords, frame, look.kpc_per_arcsec)
    if cluster is not None:
        left = (size[0] - 0.2 - PANEL) / size[0]
        _draw_profile(figure, (left, bottom / size[1], PANEL / size[0], height / size[1]), cluster, coords)
    return figure


def _draw_region(axes: "Axes", overlay: RegionOverlay, coords: ImageCoords, colour: str) -> Any:
    """Draw the outlines of a region, and return the handle for the legend."""
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"color": colour, "lw": 1.0 if overlay.faint else 1.6,
                            "ls": "--" if overlay.faint and len(overlay.region.components) == 1 else "-"}
    for shape in convert_region(overlay.region, coords, "image").areas:
        for line in _outlines(shape):
            axes.plot(*line, **look)
    return Line2D([], [], label=overlay.label, **look)


def _outlines(shape: Shape) -> Iterator[NDArray[np.float64]]:
    """Yield the lines (2, n) of a shape, in array coordinates; points, fields and sectors have no lines."""
    if shape.kind in ("polygon", "rectangle"):
        points = shape.points
        if shape.kind == "rectangle":
            (x0, y0), (x1, y1) = points
            points = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        yield np.vstack([points, points[:1]]).T - 1
        return
    around = np.linspace(0, 2 * np.pi, 181)
    lines: list[NDArray[np.float64]] = []
    if shape.kind in ("circle", "annulus", "pie"):
        lines = [length * np.array([np.cos(around), np.sin(around)]) for length in shape.lengths]
    elif shape.kind in ("ellipse", "box"):
        a, b = shape.lengths
        plain = np.array([a * np.cos(around), b * np.sin(around)])
        if shape.kind == "box":
            plain = np.array([[-a, a, a, -a, -a], [-b, -b, b, b, -b]]) / 2
        turn = np.radians(shape.angles[0])
        lines = [np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ plain]
    elif shape.kind not in ("point", "field", "sector"):
        raise AssertionError(f"unknown shape {shape.kind}")
    for line in lines:
        yield line + shape.points[0][:, None] - 1


def _draw_profile(figure: "Figure", place: tuple[float, float, float, float], cluster: ClusterShape,
                  coords: ImageCoords) -> None:
    """Draw net brightness and net counts as functions of the radius."""
    from matplotlib.ticker import LogLocator

    curve = cluster.curve
    arcsec = coords.sky is not None
    scale = float(np.sqrt(pixel_areas_arcsec2(coords, cluster.aperture.x, cluster.aperture.y))) if arcsec else 1.0
    left, bottom, width, height = place
    upper: Axes = figure.add_axes((left, bottom + 0.53 * height, width, 0.47 * height))
    lower: Axes = figure.add_axes((left, bottom, width, 0.47 * height), sharex=upper)
    radius = curve.radius * scale
    there = np.isfinite(curve.brightness) & (curve.brightness > 0)
    middle = (radius + np.append(0.0, radius[:-1])) / 2
    errors = np.minimum(curve.brightness_error, 0.999 * np.abs(curve.brightness))
    upper.errorbar(middle[there], curve.brightness[there], [errors[there], curve.brightness_error[there]], fmt="o",
                   ms=3.5, color=KEPT, ecolor=KEPT, elinewidth=0.8, label="net")
    if curve.background > 0:
        upper.axhline(curve.background, color=LINES, lw=1, ls=":", label="background")
        upper.set_ylim(bottom=0.02 * curve.background)
    upper.set_yscale("log")
    upper.set_ylabel("Counts / exposure")
    upper.tick_params(labelbottom=False)
    lower.errorbar(radius, curve.net, curve.error, fmt="o-", ms=3.5, lw=0.8, color=KEPT, elinewidth=0.8)
    lower.set_ylabel("Net counts within")
    lower.set_xlabel("Semi-major axis (arcsec)" if arcsec else "Semi-major axis (pixels)")
    for axes in (upper, lower):
        axes.axvline(cluster.aperture.a * scale, color=CUT, lw=1.2, label="aperture of the moments")
        axes.axvline(cluster.extent.a * scale, color=LINES, lw=1.2, ls="--", label="signal stops"
                     if not cluster.reaches_edge else "edge of the field")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # fewer ticks take less time, and all are labelled
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
    upper.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    upper.legend(fontsize=9, loc="lower left")
