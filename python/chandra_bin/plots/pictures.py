"""Pictures of results, from matplotlib's objects, never pyplot: no window, no global state, equal bytes each time."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.binning.contour import LOW_SN
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import PictureError, counted, one_line, printable
from chandra_bin.events.lightcurve import LightCurve
from chandra_bin.regions import Region, Shape, convert_region
from chandra_bin.sources.proposals import ClusterShape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Fills that all kinds of colour vision tell apart: Paul Tol's "light" scheme. Grey is for pixels in no bin.
_BIN_COLOURS = ("#77aadd", "#ee8866", "#eedd88", "#ffaabb", "#99ddff", "#44bb99", "#bbcc33")
_OUTSIDE = "#dddddd"
# A bin with more of the binned pixels than this is pale, so that a faint outskirt is not the loudest part.
_LARGE, _LARGE_BIN = 0.2, "#f7f5ef"

# More bins than this are too small on a picture for a choice of their colours.
_MOST_COLOURED = 50_000

# Sizes in inches.
_PANEL = 5.0
_LEFT, _RIGHT, _BOTTOM, _TOP = 1.25, 0.75, 0.7, 0.9
_BAR_GAP, _BAR, _BAR_LABEL, _GAP = 0.08, 0.13, 0.8, 0.6
_TITLE = 0.5
# Of a legend below a picture: entries in a row, and the heights of a row and of what is around them.
_ENTRIES, _ENTRY, _AROUND = 3, 0.2, 0.1
_DPI = 150

# Light curves: Paul Tol's "vibrant" blue and orange, and grey. Above the last number error bars are a smear.
_KEPT, _CUT, _LINES = "#0077bb", "#ee7733", "#555555"
_CUT_TIME, _CUT_HATCH = "#fdeee4", "#f5c3a2"
_MOST_ERROR_BARS = 2000
# Flares so many times above the limit are drawn on a logarithmic scale.
_BRIGHT = 8.0

# Outlines on pictures of counts; faint ones beside them. And how many blocks of pixels a side such a picture has.
_OUTLINES, _FAINT = ("#00e5ff", "#ffffff"), ("#b8e986", "#ffb000")
_REMOVED = "#8a8a8a"
_MOST_SHOWN = 900
# Their smoothing, in parts of the longer side.
_SMOOTHED = 0.002

# Lengths of scale bars.
_SCALES_ARCSEC = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)

_SKY_LABELS = {"RA": "Right ascension", "DEC": "Declination", "GLON": "Galactic longitude", "GLAT": "Galactic latitude",
               "ELON": "Ecliptic longitude", "ELAT": "Ecliptic latitude"}


@dataclass(frozen=True)
class _Frame:
    """The part of an image that is shown, pixels x0 .. x1 - 1 and y0 .. y1 - 1."""

    x0: int
    x1: int
    y0: int
    y1: int

    @property
    def area(self) -> int:
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    @property
    def cut(self) -> tuple[slice, slice]:
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        return self.x0 - 0.5, self.x1 - 0.5, self.y0 - 0.5, self.y1 - 0.5

    @property
    def panel(self) -> tuple[float, float]:
        """Width and height of a panel in inches; very long images are not shown to scale."""
        ratio = np.clip((self.y1 - self.y0) / (self.x1 - self.x0), 0.35, 1.8)
        return (_PANEL, _PANEL * ratio) if ratio <= 1 else (_PANEL / ratio, _PANEL)


def png_of(draw: Callable[[], "Figure"]) -> bytes:
    """Return the PNG of a figure, in matplotlib's own style, so that equal input gives equal bytes.

    Raises `PictureError` where matplotlib cannot be loaded, or cannot draw the figure.
    """
    try:
        import matplotlib as mpl

        with mpl.rc_context():
            mpl.rcdefaults()
            file = io.BytesIO()
            draw().savefig(file, format="png", metadata={"Software": None})
    except MemoryError:
        raise
    except Exception as error:
        reason = one_line(f"{type(error).__name__}: {error}")
        raise PictureError(f"the picture cannot be drawn ({reason})") from error
    return file.getvalue()


def bins_png(image: NDArray[Any], binmap: NDArray[np.int32], sn: NDArray[np.float64], coords: ImageCoords, title: str,
             *, target: float | None = None, sn_in: str = "", kpc_per_arcsec: float | None = None) -> bytes:
    """A PNG with an image (ny, nx), its bins and their S/N side by side; ``sn_in`` says what that S/N is of.

    Axes are right ascension and declination where the header has a sky WCS, else pixels. Neighbouring bins have
    different colours, and a bin with much of the image has a pale one. Pixels in no bin are grey in the maps. Colours
    of S/N go from 0 to 1.2 times the target (or times the median, where there is none); bins of S/N below 3 are
    hatched. Where nearly all bins are in a small part of the image, that part is shown. A scale bar is in arcmin, and
    in kpc too with ``kpc_per_arcsec``. The same input gives the same bytes.
    """
    return png_of(lambda: _figure(image, binmap, sn, coords, printable(title), target, sn_in, kpc_per_arcsec))


@dataclass(frozen=True)
class RateLimits:
    """What the bins of a light curve were cut by. Rates are counts per second."""

    method: str
    mean: float
    """The quiescent rate."""
    low: float
    high: float
    cut_by_noise: float | None = None
    """The number of bins that noise alone is expected to cut."""


def light_curve_png(curve: LightCurve, good: NDArray[np.bool_] | None, title: str,
                    limits: RateLimits | None = None) -> bytes:
    """Return a PNG of a light curve: rates of kept and cut bins, the quiescent rate and the limits.

    Parameters
    ----------
    good : bool (n,), True where a bin is kept; None marks no bin.
    limits : drawn as lines where given.

    Cut bins have crosses on a hatched ground. The legend is below the axes. The scale is logarithmic above the upper
    limit where flares are many times brighter. Bins without exposure are left out. The same input gives the same bytes.
    """
    return png_of(lambda: _curve_figure(curve, good, printable(title), limits))


@dataclass(frozen=True)
class RegionOverlay:
    """A region to be drawn on an image."""

    region: Region
    label: str
    faint: bool = False


def region_png(image: NDArray[Any], overlays: Sequence[RegionOverlay], coords: ImageCoords, title: str, *,
               exposure: NDArray[Any] | None = None, cluster: ClusterShape | None = None,
               label: str = "Counts per pixel", smooth: bool | None = None, excluded: NDArray[np.bool_] | None = None,
               colours: str = "magma", logarithmic: bool = True, limits: tuple[float, float] | None = None,
               kpc_per_arcsec: float | None = None) -> bytes:
    """A PNG of an image (ny, nx), smoothed a little, with outlines of regions; beside it the profile of a cluster.

    ``exposure``: only the part of the image that has some is shown. ``smooth`` (None: images of whole numbers are).
    ``excluded``: pixels that are grey. ``colours`` is a colour map of matplotlib. ``limits``: the values of the first
    and the last colour, on a linear scale. A scale bar is in arcmin, and in kpc too with ``kpc_per_arcsec``. The same
    input gives the same bytes.
    """
    look = _Look(label, np.issubdtype(image.dtype, np.integer) if smooth is None else smooth, excluded, colours,
                 logarithmic and limits is None, limits, kpc_per_arcsec)
    return png_of(lambda: _region_figure(image, overlays, coords, printable(title), exposure, cluster, look))


@dataclass(frozen=True, eq=False)
class _Look:
    """How an image is shown under its regions."""

    label: str
    smooth: bool
    excluded: NDArray[np.bool_] | None = None
    colours: str = "magma"
    logarithmic: bool = True
    limits: tuple[float, float] | None = None
    kpc_per_arcsec: float | None = None


def _region_figure(image: NDArray[Any], overlays: Sequence[RegionOverlay], coords: ImageCoords, title: str,
                   exposure: NDArray[Any] | None, cluster: ClusterShape | None, look: _Look) -> "Figure":
    from matplotlib.figure import Figure

    seen = np.nan_to_num(image if exposure is None else exposure) > 0
    frame = _box_around(seen, (0, 100), 0.03) if seen.any() else _Frame(0, image.shape[1], 0, image.shape[0])
    width, height = frame.panel
    beside = 0.0 if cluster is None else _LEFT + _PANEL
    bottom = _BOTTOM + (_ENTRY * -(-len(overlays) // _ENTRIES) + _AROUND if overlays else 0.0)
    size = (_LEFT + width + _BAR_GAP + _BAR + _BAR_LABEL + beside + 0.2, bottom + height + _TITLE)
    figure = Figure(figsize=size, dpi=_DPI)
    axes = _panel(figure, _LEFT, frame, coords, title, labelled=True, bottom=bottom)
    axes.title.set_parse_math(False)
    axes.set_facecolor("black" if look.excluded is None else _REMOVED)
    _draw_smoothed(axes, image, frame, look)
    colours = {False: cycle(_OUTLINES), True: cycle(_FAINT)}
    handles = [_draw_region(axes, overlay, coords, next(colours[overlay.faint])) for overlay in overlays]
    if handles:  # not on the picture, where it would hide sources
        figure.legend(handles=handles, fontsize=9, loc="lower left", ncols=_ENTRIES, facecolor="black",
                      labelcolor="white", edgecolor="none", framealpha=1,
                      bbox_to_anchor=(_LEFT / size[0], 0.1 / size[1]), borderaxespad=0)
    axes.set_xlim(frame.x0 - 0.5, frame.x1 - 0.5)
    axes.set_ylim(frame.y0 - 0.5, frame.y1 - 0.5)
    _draw_scale(axes, coords, frame, look.kpc_per_arcsec)
    if cluster is not None:
        left = (size[0] - 0.2 - _PANEL) / size[0]
        _draw_profile(figure, (left, bottom / size[1], _PANEL / size[0], height / size[1]), cluster, coords)
    return figure


def _draw_smoothed(axes: "Axes", image: NDArray[Any], frame: _Frame, look: _Look) -> None:
    """The image in blocks of pixels, each the mean of those used, smoothed so that faint emission is seen."""
    from matplotlib.colors import Normalize
    from scipy.ndimage import gaussian_filter

    cut = np.nan_to_num(np.asarray(image[frame.cut], float))
    block = max(1, -(-max(cut.shape) // _MOST_SHOWN))
    shown = _in_blocks(cut, block)
    if look.excluded is not None:
        used = _in_blocks(~look.excluded[frame.cut], block)
        shown = _in_blocks(np.where(look.excluded[frame.cut], 0, cut), block)
    sigma = _SMOOTHED * max(shown.shape) if look.smooth else 0.0
    if sigma:
        shown = gaussian_filter(shown, sigma)
    if look.excluded is not None:
        weight = gaussian_filter(used, sigma) if sigma else used
        shown = np.divide(shown, weight, out=np.full(shown.shape, np.nan), where=used > 0.5)
    ny, nx = shown.shape
    extent = (frame.x0 - 0.5, frame.x0 - 0.5 + nx * block, frame.y0 - 0.5, frame.y0 - 0.5 + ny * block)
    limits = look.limits or (0.0, max(float(np.nanmax(shown)), 1e-30))
    norm = _brightness_of_smoothed(shown) if look.logarithmic else Normalize(*limits)
    dark = np.where(np.isnan(shown), np.nan, np.fmax(shown, norm.vmin or 0.0))
    picture = axes.imshow(dark, origin="lower", extent=extent, aspect="auto", norm=norm, cmap=look.colours,
                          interpolation="nearest")
    _colour_bar(axes, picture, f"{look.label}, smoothed" if look.smooth else look.label)


def _in_blocks(pixels: NDArray[Any], block: int) -> NDArray[np.float64]:
    """Means of blocks of pixels; those that are missing at the rim count as 0."""
    ny, nx = (-(-side // block) for side in pixels.shape)
    padded = np.zeros((ny * block, nx * block))
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    blocks: NDArray[np.float64] = padded.reshape(ny, block, nx, block).mean(axis=(1, 3))
    return blocks


def _brightness_of_smoothed(image: NDArray[Any]) -> Any:
    """A logarithmic scale from half the median to the brightest pixels; a plain one for what hardly varies."""
    from matplotlib.colors import LogNorm, Normalize

    positive = image[image > 0]
    if not positive.size:
        return Normalize(0.0, 1.0)
    low, high = 0.5 * float(np.median(positive)), float(np.percentile(positive, 99.98))
    return LogNorm(low, high) if high > 5 * low else Normalize(0.0, high)


def _draw_region(axes: "Axes", overlay: RegionOverlay, coords: ImageCoords, colour: str) -> Any:
    """Outlines of the shapes of a region; returns what a legend shows."""
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"color": colour, "lw": 1.0 if overlay.faint else 1.6,
                            "ls": "--" if overlay.faint and len(overlay.region.components) == 1 else "-"}
    for shape in convert_region(overlay.region, coords, "image").areas:
        for line in _outlines(shape):
            axes.plot(*line, **look)
    return Line2D([], [], label=overlay.label, **look)


def _outlines(shape: Shape) -> Iterator[NDArray[np.float64]]:
    """The lines of a shape in image coordinates, (2, n) in array coordinates; none for fields and sectors."""
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
    for line in lines:
        yield line + shape.points[0][:, None] - 1


def _draw_profile(figure: "Figure", place: tuple[float, float, float, float], cluster: ClusterShape,
                  coords: ImageCoords) -> None:
    """Net brightness and net counts against the radius."""
    curve = cluster.curve
    arcsec = coords.sky is not None
    scale = float(np.sqrt(coords.pixel_areas_arcsec2(cluster.aperture.x, cluster.aperture.y))) if arcsec else 1.0
    left, bottom, width, height = place
    upper: Axes = figure.add_axes((left, bottom + 0.53 * height, width, 0.47 * height))
    lower: Axes = figure.add_axes((left, bottom, width, 0.47 * height), sharex=upper)
    radius = curve.radius * scale
    there = np.isfinite(curve.brightness) & (curve.brightness > 0)
    middle = (radius + np.append(0.0, radius[:-1])) / 2
    errors = np.minimum(curve.brightness_error, 0.999 * np.abs(curve.brightness))
    upper.errorbar(middle[there], curve.brightness[there], [errors[there], curve.brightness_error[there]], fmt="o",
                   ms=3.5, color=_KEPT, ecolor=_KEPT, elinewidth=0.8, label="net")
    if curve.background > 0:
        upper.axhline(curve.background, color=_LINES, lw=1, ls=":", label="background")
        upper.set_ylim(bottom=0.02 * curve.background)
    upper.set_yscale("log")
    upper.set_ylabel("Counts / exposure")
    upper.tick_params(labelbottom=False)
    lower.errorbar(radius, curve.net, curve.error, fmt="o-", ms=3.5, lw=0.8, color=_KEPT, elinewidth=0.8)
    lower.set_ylabel("Net counts within")
    lower.set_xlabel("Semi-major axis (arcsec)" if arcsec else "Semi-major axis (pixels)")
    for axes in (upper, lower):
        axes.axvline(cluster.aperture.a * scale, color=_CUT, lw=1.2, label="aperture of the moments")
        axes.axvline(cluster.extent.a * scale, color=_LINES, lw=1.2, ls="--", label="signal stops"
                     if not cluster.reaches_edge else "edge of the field")
        axes.set_xscale("log")
    upper.legend(fontsize=9, loc="lower left")


def _curve_figure(curve: LightCurve, good: NDArray[np.bool_] | None, title: str,
                  limits: RateLimits | None) -> "Figure":
    from matplotlib.figure import Figure

    exposed = np.isfinite(curve.rate) & (curve.exposure_s > 0 if curve.exposure_s is not None else curve.rate >= 0)
    figure = Figure(figsize=(10, 5.2), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    start, stop, ks = ((each - curve.time_min[0]) / 1e3 for each in (curve.time_min, curve.time_max, curve.time))
    kept = exposed if good is None else exposed & good
    for first, last in _runs(exposed & ~kept):
        axes.axvspan(start[first], stop[last - 1], facecolor=_CUT_TIME, edgecolor=_CUT_HATCH, hatch="//", lw=0,
                     zorder=0)
    few = len(curve) <= _MOST_ERROR_BARS
    noise = ""
    if limits is not None and limits.cut_by_noise is not None:
        noise = f" (noise alone is expected to cut {limits.cut_by_noise:.1f})"
    for here, colour, marker, label in (
            (kept, _KEPT, "o", f"kept: {counted(np.count_nonzero(kept), 'bin')} of {curve.bin_length_s:.5g} s"),
            (exposed & ~kept, _CUT, "X", f"cut: {counted(np.count_nonzero(exposed & ~kept), 'bin')}{noise}")):
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
        axes.axhline(mean, color=_LINES, lw=1, label=f"mean rate of the kept bins {mean:.4g} count/s")
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
    figure.legend(fontsize=9, loc="outside lower center", ncols=2, frameon=False)  # below: it hides no bin
    return figure


def _draw_limits(axes: "Axes", limits: RateLimits) -> None:
    axes.axhline(limits.mean, color=_LINES, lw=1, label=f"quiescent rate {limits.mean:.4g} count/s")
    axes.axhline(limits.high, color=_LINES, lw=1, ls="--",
                 label=f"limits {max(limits.low, 0):.4g} and {limits.high:.4g} count/s ({limits.method})")
    if limits.low > 0:
        axes.axhline(limits.low, color=_LINES, lw=1, ls="--")


def _runs(flags: NDArray[np.bool_]) -> NDArray[np.intp]:
    """First and past-the-end index (n, 2) of each run of True."""
    return np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))).reshape(-1, 2)


def _figure(image: NDArray[Any], binmap: NDArray[np.int32], sn: NDArray[np.float64], coords: ImageCoords, title: str,
            target: float | None, sn_in: str, kpc_per_arcsec: float | None) -> "Figure":
    from matplotlib.figure import Figure

    frame = _frame(binmap)
    width, height = frame.panel
    with_bar = width + _BAR_GAP + _BAR + _BAR_LABEL
    size = (_LEFT + 2 * with_bar + width + _GAP + _RIGHT - _BAR_LABEL, _BOTTOM + height + _TOP)
    figure = Figure(figsize=size, dpi=_DPI)
    figure.suptitle(title, fontsize=16, x=(_LEFT + (size[0] - _LEFT - _RIGHT) / 2) / size[0], y=1 - 0.3 / size[1],
                    va="center", parse_math=False)

    lefts = (_LEFT, _LEFT + with_bar, _LEFT + with_bar + width + _GAP)
    low = np.append(sn < LOW_SN, False)[binmap][frame.cut]
    hatched = f" (hatched: below {LOW_SN:g})" if low.any() else ""
    titles = ("Image", _bins_title(binmap, frame), f"Signal to noise{sn_in and f' in {sn_in}'}{hatched}")
    panels = [_panel(figure, left, frame, coords, name, labelled=left == _LEFT)
              for left, name in zip(lefts, titles, strict=True)]
    if np.issubdtype(image.dtype, np.integer) and not np.median(image[frame.cut]):  # next to nothing would be seen
        _draw_smoothed(panels[0], image, frame, _Look("Counts per pixel", np.issubdtype(image.dtype, np.integer)))
        panels[0].set_xlim(*frame.extent[:2])
        panels[0].set_ylim(*frame.extent[2:])
    else:
        _draw_image(panels[0], image[frame.cut], frame)
    panels[1].imshow(_bin_colours(binmap)[frame.cut], origin="lower", extent=frame.extent, aspect="auto",
                     interpolation="nearest")
    _draw_sn(panels[2], binmap, sn, frame, target)
    _draw_scale(panels[0], coords, frame, kpc_per_arcsec)
    if low.any():
        for panel in panels[1:]:
            _hatch(panel, low, frame)
    return figure


def _hatch(axes: "Axes", inside: NDArray[np.bool_], frame: _Frame) -> None:
    """Hatches some pixels of the part that is shown."""
    import matplotlib as mpl

    with mpl.rc_context({"hatch.linewidth": 0.6, "hatch.color": _LINES}):
        axes.contourf(np.pad(inside.astype(float), 1), levels=[0.5, 1.5], hatches=["//////"], colors="none",
                      extent=(frame.x0 - 1.5, frame.x1 + 0.5, frame.y0 - 1.5, frame.y1 + 0.5), origin="lower")
    axes.set_xlim(*frame.extent[:2])
    axes.set_ylim(*frame.extent[2:])


def _frame(binmap: NDArray[np.int32]) -> _Frame:
    """The part of the image to show: that with bins and a margin, or a much smaller one with nine in ten of them.

    A few huge bins far out shall not leave a dot of all the others.
    """
    binned = binmap >= 0
    if not binned.any():
        return _Frame(0, binmap.shape[1], 0, binmap.shape[0])
    whole = _box_around(binned, (0, 100), 0.03)
    npix = np.bincount(binmap[binned])
    small = npix <= np.percentile(npix[npix > 0], 90)
    core = _box_around(binned & np.append(small, False)[binmap], (1, 99), 0.4)
    if (npix > 0).sum() < 10 or core.area > 0.3 * whole.area:
        return whole
    return core


def _box_around(inside: NDArray[np.bool_], percentiles: tuple[float, float], margin: float) -> _Frame:
    """The box that holds the pixels ``inside`` between two percentiles, and a margin (fraction of its longer side)."""
    rows, columns = np.nonzero(inside)
    (x0, x1), (y0, y1) = (np.percentile(places, percentiles, method="nearest") for places in (columns, rows))
    room = 1 + int(margin * max(x1 - x0, y1 - y0))
    ny, nx = inside.shape
    return _Frame(max(int(x0) - room, 0), min(int(x1) + room + 1, nx),
                  max(int(y0) - room, 0), min(int(y1) + room + 1, ny))


def _bins_title(binmap: NDArray[np.int32], frame: _Frame) -> str:
    number = np.unique(binmap[binmap >= 0]).size
    shown = binmap[frame.cut]
    here = np.unique(shown[shown >= 0]).size
    words = f"{number} bin{'' if number == 1 else 's'}"
    return words if here == number else f"{words}, {here} of them here"


def _panel(figure: "Figure", left: float, frame: _Frame, coords: ImageCoords, title: str, labelled: bool,
           bottom: float = _BOTTOM) -> "Axes":
    width, height = figure.get_size_inches()
    panel_width, panel_height = frame.panel
    place = (left / width, bottom / height, panel_width / width, panel_height / height)
    if coords.sky is None:
        axes: Axes = figure.add_axes(place)
        axes.set_xlabel("x (pixels)")
        axes.set_ylabel("y (pixels)" if labelled else "")
        axes.tick_params(labelleft=labelled)
    else:
        axes = _sky_panel(figure, place, coords, labelled)
    axes.set_title(title, fontsize=12, pad=8)
    axes.set_facecolor(_OUTSIDE)
    return axes


def _sky_panel(figure: "Figure", place: tuple[float, float, float, float], coords: ImageCoords,
               labelled: bool) -> "Axes":
    axes: Any = figure.add_axes(place, projection=coords.sky)
    for n, axis in enumerate(axes.coords):
        name = coords.header[f"CTYPE{n + 1}"][:4].rstrip("-")
        axis.set_axislabel(_SKY_LABELS.get(name, name), minpad=0.6)
        axis.set_ticks(number=4 + n)
        axis.set_ticklabel(exclude_overlapping=True, size=9)
        axis.display_minor_ticks(True)
    if not labelled:
        axes.coords[1].set_axislabel("")
        axes.coords[1].set_ticklabel_visible(False)
    panel: Axes = axes
    return panel


def _draw_image(axes: "Axes", image: NDArray[Any], frame: _Frame) -> None:
    norm = _brightness(image)
    shown = np.fmax(image, norm.vmin)  # zeros, and NaN
    picture = axes.imshow(shown, origin="lower", extent=frame.extent, aspect="auto", norm=norm, cmap="magma")
    _colour_bar(axes, picture, "Counts per pixel")


def _brightness(image: NDArray[Any]) -> Any:
    """A logarithmic scale from below the faintest value above 0 (zeros are darkest) over at most four decades."""
    from matplotlib.colors import LogNorm, Normalize

    positive = image[image > 0]
    if not positive.size:
        return Normalize(0.0, 1.0)
    brightest = float(positive.max())
    return LogNorm(max(0.7 * float(positive.min()), 1e-4 * brightest), brightest)


def _draw_sn(axes: "Axes", binmap: NDArray[np.int32], sn: NDArray[np.float64], frame: _Frame,
             target: float | None) -> None:
    """S/N from 0 to 1.2 times the target, which the colour bar marks: bins of nearly one S/N look alike."""
    if target is None:
        target = float(np.median(sn)) if sn.size else 1.0
    highest = 1.2 * target if target > 0 else 1.0
    shown = np.ma.masked_where(binmap < 0, np.append(sn, np.nan)[binmap])[frame.cut]
    picture = axes.imshow(shown, origin="lower", extent=frame.extent, aspect="auto", interpolation="nearest",
                          cmap="cividis", vmin=0, vmax=highest)
    below, above = bool((sn < 0).any()), bool((sn > highest).any())
    extend = "both" if below and above else "min" if below else "max" if above else "neither"
    bar = _colour_bar(axes, picture, "S/N", extend)
    bar.ax.axhline(target, color="white", lw=1.2)


def _draw_scale(axes: "Axes", coords: ImageCoords, frame: _Frame, kpc_per_arcsec: float | None) -> None:
    """A bar of a round number of arcsec or arcmin, about a fifth of the panel, at the lower left."""
    from matplotlib.patheffects import withStroke

    if coords.sky is None:
        return
    pixel = coords.pixel_area_arcsec2**0.5
    width = frame.x1 - frame.x0
    fitting = [each for each in _SCALES_ARCSEC if each <= 0.25 * width * pixel]
    if not (fitting and np.isfinite(pixel) and pixel > 0):
        return
    arcsec = fitting[-1]
    label = f"{arcsec / 60:g}'" if arcsec >= 60 else f'{arcsec:g}"'
    if kpc_per_arcsec is not None:
        label += f" = {kpc_per_arcsec * arcsec:.3g} kpc"
    left, low = frame.x0 - 0.5 + 0.04 * width, frame.y0 - 0.5 + 0.05 * (frame.y1 - frame.y0)
    outline = [withStroke(linewidth=2.2, foreground="black")]
    axes.plot([left, left + arcsec / pixel], [low, low], color="white", lw=1.8, zorder=5, solid_capstyle="butt",
              path_effects=[withStroke(linewidth=3.4, foreground="black")])
    axes.annotate(label, (left, low), (0, 4), textcoords="offset points", color="white", fontsize=10,
                  fontweight="bold", path_effects=outline, zorder=5)


def _colour_bar(axes: "Axes", picture: Any, label: str, extend: str = "neither") -> Any:
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogLocator

    figure: Any = axes.figure
    width = figure.get_size_inches()[0]
    panel = axes.get_position()
    place = (panel.x1 + _BAR_GAP / width, panel.y0, _BAR / width, panel.height)
    # 1, 2, 5, 10, ... rather than powers of ten
    ticks = {"ticks": LogLocator(subs=(1, 2, 5)), "format": "%g"} if isinstance(picture.norm, LogNorm) else {}
    bar = figure.colorbar(picture, cax=figure.add_axes(place), extend=extend, **ticks)
    if ticks:
        bar.minorticks_off()
    bar.set_label(label, fontsize=10)
    bar.ax.tick_params(labelsize=9)
    return bar


def _bin_colours(binmap: NDArray[np.int32]) -> NDArray[np.uint8]:
    """An RGB image (ny, nx, 3) where bins that touch, corners included, differ."""
    palette = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)]
                        for colour in (*_BIN_COLOURS, _LARGE_BIN, _OUTSIDE)], dtype=np.uint8)
    chosen = _choose_colours(binmap)
    if len(chosen) > 1:
        npix = np.bincount(binmap[binmap >= 0])
        largest = int(npix.argmax())  # only one, so that bins of this colour never touch
        if npix[largest] > _LARGE * npix.sum():
            chosen[largest] = len(_BIN_COLOURS)
    colours = np.append(chosen, len(_BIN_COLOURS) + 1)  # the last one is for label -1
    painted: NDArray[np.uint8] = palette[colours[binmap]]
    return painted


def _choose_colours(binmap: NDArray[np.int32]) -> NDArray[np.intp]:
    """A colour number for each bin: the one least used so far that no neighbour has; crowded bins first."""
    bins = int(binmap.max(initial=-1)) + 1
    if bins > _MOST_COLOURED:
        return np.arange(bins) % len(_BIN_COLOURS)
    neighbours: list[set[int]] = [set() for _ in range(bins)]
    for a, b in _touching(binmap):
        neighbours[a].add(b)
        neighbours[b].add(a)
    chosen = np.full(bins, -1, dtype=np.intp)
    used = [0] * len(_BIN_COLOURS)
    for b in sorted(range(bins), key=lambda b: -len(neighbours[b])):
        near = [0] * len(_BIN_COLOURS)
        for other in neighbours[b]:
            if chosen[other] >= 0:
                near[chosen[other]] += 1
        chosen[b] = min(range(len(_BIN_COLOURS)), key=lambda colour: (near[colour], used[colour]))
        used[chosen[b]] += 1
    return chosen


def _touching(binmap: NDArray[np.int32]) -> Iterator[tuple[int, int]]:
    """Pairs of bins that have neighbouring pixels, corners included."""
    sides = ((binmap[:, :-1], binmap[:, 1:]), (binmap[:-1], binmap[1:]),
             (binmap[:-1, :-1], binmap[1:, 1:]), (binmap[:-1, 1:], binmap[1:, :-1]))
    for first, second in sides:
        border = (first != second) & (first >= 0) & (second >= 0)
        pairs = np.unique(np.column_stack([first[border], second[border]]), axis=0)
        yield from map(tuple, pairs.tolist())
