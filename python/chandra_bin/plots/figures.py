"""Frames, axes, scales and colour bars of all pictures, by matplotlib's objects without pyplot.

Pictures open no window, change no global state, and have the same bytes for the same input.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.coords.blocks import block_sums
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import PictureError, one_line

from .raster import draw_pixels, png_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

# Pixels outside all bins.
OUTSIDE = "#dddddd"

# Sizes in inches.
PANEL = 5.0
LEFT, RIGHT, BOTTOM, TOP = 1.25, 0.75, 0.7, 0.9
BAR_GAP, BAR, BAR_LABEL, GAP = 0.08, 0.13, 0.8, 0.6
DPI = 150

# Part of the figure that a long title takes, the size of its smallest font, and its least number of characters.
_WITHIN, _LEAST_FONT, _LEAST_TEXT = 0.97, 7.0, 12

# Curves: Paul Tol's "vibrant" blue and orange, and grey.
KEPT, CUT, LINES = "#0077bb", "#ee7733", "#555555"
# Excluded pixels.
REMOVED = "#8a8a8a"
# Largest number of blocks along a side of a picture of counts, and its smoothing as a fraction of the longer side.
_MOST_SHOWN = 900
_SMOOTHED = 0.002

# Lengths of scale bars.
_SCALES_ARCSEC = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
_SKY_LABELS = {"RA": "Right ascension", "DEC": "Declination", "GLON": "Galactic longitude", "GLAT": "Galactic latitude",
               "ELON": "Ecliptic longitude", "ELAT": "Ecliptic latitude"}


@dataclass(frozen=True)
class Frame:
    """The part of an image to show, pixels x0 .. x1 - 1 and y0 .. y1 - 1."""

    x0: int
    x1: int
    y0: int
    y1: int

    @property
    def area(self) -> int:
        """The number of pixels."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    @property
    def cut(self) -> tuple[slice, slice]:
        """The slices of the image, (y, x)."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """The limits of the axes: left, right, bottom, top in array coordinates."""
        return self.x0 - 0.5, self.x1 - 0.5, self.y0 - 0.5, self.y1 - 0.5

    @property
    def panel(self) -> tuple[float, float]:
        """Width and height of a panel in inches; the scale of very long images is not uniform."""
        ratio = np.clip((self.y1 - self.y0) / (self.x1 - self.x0), 0.35, 1.8)
        return (PANEL, PANEL * ratio) if ratio <= 1 else (PANEL / ratio, PANEL)


def png_of(draw: Callable[[], "Figure"]) -> bytes:
    """Return the PNG of a figure in matplotlib's default style, so that equal input gives equal bytes.

    Raises `PictureError` if matplotlib cannot be loaded or cannot draw the figure.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        with mpl.rc_context():
            mpl.rcdefaults()
            figure = draw()
            canvas: Any = FigureCanvasAgg(figure)
            canvas.draw()
            if _fit_texts(figure, canvas.get_renderer()):
                canvas.draw()
            return png_bytes(np.asarray(canvas.buffer_rgba())[..., :3], figure.dpi)
    except MemoryError:
        raise
    except Exception as error:
        reason = one_line(f"{type(error).__name__}: {error}")
        raise PictureError(f"the picture cannot be drawn ({reason})") from error


def _fit_texts(figure: "Figure", renderer: Any) -> bool:
    """Shrink titles and labels that reach beyond the figure, and shorten them if they would be unreadable.

    Titles have names of files and clusters, of any length. Returns whether a text was changed.
    """
    changed = False
    for text in (*figure.texts, *(each for axes in figure.axes
                                  for each in (axes.title, axes.xaxis.label, axes.yaxis.label))):
        while 0 < (room := _room_for(text, figure, renderer)) < 1 and len(words := text.get_text()) > _LEAST_TEXT:
            size = float(text.get_fontsize()) * _WITHIN * room
            if size < _LEAST_FONT:
                kept = max(min(int(len(words) * size / _LEAST_FONT), len(words) - 1) // 2 - 2, _LEAST_TEXT // 3)
                text.set_text(f"{words[:kept]}...{words[-kept:]}")
            text.set_fontsize(max(size, _LEAST_FONT))
            changed = True
    return changed


def _room_for(text: "Text", figure: "Figure", renderer: Any) -> float:
    """Return the length that the figure has for a text, over the length of the text."""
    box = text.get_window_extent(renderer)
    if box.width >= box.height:
        middle, length, side = (box.x0 + box.x1) / 2, box.width, figure.bbox.width
    else:
        middle, length, side = (box.y0 + box.y1) / 2, box.height, figure.bbox.height
    return float(2 * min(middle, side - middle) / max(length, 1))


@dataclass(frozen=True, eq=False)
class Look:
    """The appearance of an image under its regions."""

    label: str = "Counts per pixel"
    smooth: bool | None = None
    """Whether to smooth slightly; None: images of whole numbers only."""
    excluded: NDArray[np.bool_] | None = None
    """Grey pixels, (ny, nx)."""
    colours: str = "magma"
    """Colour map of matplotlib."""
    logarithmic: bool = True
    limits: tuple[float, float] | None = None
    """Values of the first and the last colour, on a linear scale."""
    kpc_per_arcsec: float | None = None
    """Adds kpc to the scale bar."""


def draw_smoothed(axes: "Axes", image: NDArray[Any], frame: Frame, look: Look) -> None:
    """Draw the image in blocks, the means of used pixels, smoothed to show faint emission."""
    from matplotlib.colors import Normalize
    from scipy.ndimage import gaussian_filter

    cut = image[frame.cut]
    block = max(1, -(-max(cut.shape) // _MOST_SHOWN))
    if look.excluded is not None:
        used = _in_blocks(~look.excluded[frame.cut], block)
        cut = np.where(look.excluded[frame.cut], 0, cut)
    shown = _in_blocks(cut, block)
    smooth = np.issubdtype(image.dtype, np.integer) if look.smooth is None else look.smooth
    sigma = _SMOOTHED * max(shown.shape) if smooth else 0.0
    if sigma:
        shown = gaussian_filter(shown, sigma)
    if look.excluded is not None:
        weight = gaussian_filter(used, sigma) if sigma else used
        shown = np.divide(shown, weight, out=np.full(shown.shape, np.nan), where=used > 0.5)
    ny, nx = shown.shape
    extent = (frame.x0 - 0.5, frame.x0 - 0.5 + nx * block, frame.y0 - 0.5, frame.y0 - 0.5 + ny * block)
    limits = look.limits or (0.0, max(float(np.nanmax(shown)), 1e-30))
    norm = _brightness_of_smoothed(shown) if look.logarithmic and look.limits is None else Normalize(*limits)
    dark = np.where(np.isnan(shown), np.nan, np.fmax(shown, norm.vmin or 0.0))
    picture = draw_pixels(axes, dark, extent, norm=norm, cmap=look.colours)
    colour_bar(axes, picture, f"{look.label}, smoothed" if smooth else look.label)


def _in_blocks(pixels: NDArray[Any], block: int) -> NDArray[np.float64]:
    """Return the means of blocks of pixels; NaN and pixels beyond the edge count as 0."""
    means = block_sums(pixels, block, np.float64) / block**2
    if not np.isfinite(means).all():  # rare: avoid a copy of large images
        means = block_sums(np.nan_to_num(pixels.astype(np.float64)), block) / block**2
    return np.asarray(means)


def _brightness_of_smoothed(image: NDArray[Any]) -> Any:
    """Return a logarithmic norm from half the median to the brightest pixels, or a linear one for flat images."""
    from matplotlib.colors import LogNorm, Normalize

    positive = image[image > 0]
    if not positive.size:
        return Normalize(0.0, 1.0)
    low, high = 0.5 * float(np.median(positive)), float(np.percentile(positive, 99.98))
    return LogNorm(low, high) if high > 5 * low else Normalize(0.0, high)


def box_around(inside: NDArray[np.bool_], percentiles: tuple[float, float], margin: float) -> Frame:
    """Return the box of the pixels ``inside`` between two percentiles, with a margin (fraction of its longer side)."""
    (y0, y1), (x0, x1) = (_between(inside.sum(axis=axis), percentiles) for axis in (1, 0))
    room = 1 + int(margin * max(x1 - x0, y1 - y0))
    ny, nx = inside.shape
    return Frame(max(int(x0) - room, 0), min(int(x1) + room + 1, nx),
                  max(int(y0) - room, 0), min(int(y1) + room + 1, ny))


def _between(counts: NDArray[np.int64], percentiles: tuple[float, float]) -> tuple[int, int]:
    """Return the indices nearest to two percentiles of pixels, from the number of pixels at each index."""
    sums = np.cumsum(counts)
    ranks = np.percentile([0, sums[-1] - 1], percentiles)
    low, high = np.searchsorted(sums, np.round(ranks), side="right").tolist()
    return low, high


def add_panel(figure: "Figure", left: float, frame: Frame, coords: ImageCoords, title: str, labelled: bool,
              bottom: float = BOTTOM) -> "Axes":
    """Add axes of the sky, or of pixels without a sky WCS; ``left`` and ``bottom`` are in inches."""
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
    axes.set_facecolor(OUTSIDE)
    return axes


def label_sky(axes: Any, coords: ImageCoords) -> None:
    """Label axes of the sky."""
    for n, axis in enumerate(axes.coords):
        name = coords.header[f"CTYPE{n + 1}"][:4].rstrip("-")
        axis.set_axislabel(_SKY_LABELS.get(name, name), minpad=0.6)


def _sky_panel(figure: "Figure", place: tuple[float, float, float, float], coords: ImageCoords,
               labelled: bool) -> "Axes":
    """Add axes of the sky."""
    axes: Any = figure.add_axes(place, projection=coords.sky)
    label_sky(axes, coords)
    for n, axis in enumerate(axes.coords):
        axis.set_ticks(number=4 + n)
        axis.set_ticklabel(exclude_overlapping=True, size=9)
        axis.display_minor_ticks(True)
    if not labelled:
        axes.coords[1].set_axislabel("")
        axes.coords[1].set_ticklabel_visible(False)
    panel: Axes = axes
    return panel


def draw_scale(axes: "Axes", coords: ImageCoords, frame: Frame, kpc_per_arcsec: float | None) -> None:
    """Draw a scale bar of a round number of arcsec or arcmin, about a fifth of the panel, at the lower left."""
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


def colour_bar(axes: "Axes", picture: Any, label: str, extend: str = "neither") -> Any:
    """Add a colour bar next to the axes of an image, with ticks at 1, 2 and 5 on a logarithmic scale."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogLocator

    figure: Any = axes.figure
    width = figure.get_size_inches()[0]
    panel = axes.get_position()
    place = (panel.x1 + BAR_GAP / width, panel.y0, BAR / width, panel.height)
    # ticks at 1, 2, 5, 10, ... instead of powers of ten
    ticks = {"ticks": LogLocator(subs=(1, 2, 5)), "format": "%g"} if isinstance(picture.norm, LogNorm) else {}
    bar = figure.colorbar(picture, cax=figure.add_axes(place), extend=extend, **ticks)
    if ticks:
        bar.minorticks_off()
    bar.set_label(label, fontsize=10)
    bar.ax.tick_params(labelsize=9)
    return bar
