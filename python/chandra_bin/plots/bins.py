"""Pictures of bins: the image, its bins and their brightness side by side."""

import base64
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.binning.bins import LOW_SN
from chandra_bin.binning.outlines import Polygons, trace_polygons
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, printable

from .figures import (
    BAR,
    BAR_GAP,
    BAR_LABEL,
    BOTTOM,
    DPI,
    GAP,
    LEFT,
    LINES,
    OUTSIDE,
    PANEL,
    RIGHT,
    TOP,
    Frame,
    Look,
    add_panel,
    box_around,
    colour_bar,
    draw_scale,
    draw_smoothed,
    label_sky,
    png_of,
)
from .raster import draw_pixels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Paul Tol's "light" scheme, which is safe for colour-blind readers. Grey is for pixels outside all bins.
_BIN_COLOURS = ("#77aadd", "#ee8866", "#eedd88", "#ffaabb", "#99ddff", "#44bb99", "#bbcc33")

# A bin with more than this fraction of the binned pixels is pale, so that faint outskirts do not dominate the picture.
_LARGE, _LARGE_BIN = 0.2, "#e8e7ff"

# Above this number, bins are too small on a picture to select their colours.
_MOST_COLOURED = 50_000
# Least mean size of bins with outlines, in pixels of the picture: outlines would cover smaller bins.
_OUTLINED_PX = 12
# The longest side of the picture that notebooks show.
_THUMBNAIL_PX = 256


def bins_png(image: NDArray[Any], binmap: NDArray[np.int32], sn: NDArray[np.float64], coords: ImageCoords, title: str,
             *, kpc_per_arcsec: float | None = None) -> bytes:
    """Return a PNG of an image, its bins, and the brightness of the bins with their outlines.

    The brightness of a bin is the mean of the image over its pixels. Neighbouring bins have different colours; a bin
    with much of the image is pale. Outlines are omitted if bins are too small on the picture. Pixels outside all bins
    are grey in the maps. If nearly all bins are in a small part of the image, only that part is shown. The same input
    gives the same bytes.

    Parameters
    ----------
    image : (ny, nx)
        The binned image.
    binmap : int32 (ny, nx)
        Bin numbers, -1 outside.
    sn : float64 (bins,)
        S/N of the bins; bins below 3 are hatched.
    coords : ImageCoords
        Coordinates of the image: axes are RA and Dec with a sky WCS, else pixels.
    title : str
        Title of the picture.
    kpc_per_arcsec : float, optional
        Adds kpc to the scale bar.
    """
    return png_of(lambda: _figure(image, binmap, sn, coords, printable(title), kpc_per_arcsec))


def draw_bins(binmap: NDArray[np.int32], coords: ImageCoords | None, ax: Any, values: Any = None, label: str = "",
              **options: Any) -> Any:
    """Draw bins, or an image (ny, nx) of ``values``, on axes and return the axes; None: new axes of pyplot.

    The colour bar of ``values`` gets the ``label`` and the unit of the values.
    """
    if ax is not None and not hasattr(ax, "imshow"):
        raise InputError(f"ax must be axes of matplotlib, got {type(ax).__name__}: give e.g. fig.add_subplot()")
    if ax is None:
        from matplotlib import pyplot

        sky = None if coords is None else coords.sky
        ax = pyplot.figure().add_subplot(projection=sky)
        if sky is None or coords is None:
            ax.set(xlabel="x (pixels)", ylabel="y (pixels)")
        else:
            label_sky(ax, coords)
    shown = _bin_colours(binmap) if values is None else getattr(values, "value", values)
    picture = ax.imshow(shown, **{"origin": "lower", "interpolation": "nearest", **options})
    if values is not None:
        unit = str(getattr(values, "unit", ""))
        ax.figure.colorbar(picture, ax=ax, label=f"{label} ({unit})" if label and unit else label or unit)
    return ax


def bins_thumbnail(binmap: NDArray[np.int32]) -> str:
    """Return a small picture of bins as an HTML ``img`` element."""
    from matplotlib.image import imsave

    colours = _bin_colours(binmap)[:: -1]
    step = max(1, -(-max(binmap.shape) // _THUMBNAIL_PX))
    picture = io.BytesIO()
    imsave(picture, colours[::step, ::step], format="png")
    return f'<img src="data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}" alt="bins">'


def _figure(image: NDArray[Any], binmap: NDArray[np.int32], sn: NDArray[np.float64], coords: ImageCoords, title: str,
            kpc_per_arcsec: float | None) -> "Figure":
    """Return the figure of `bins_png`."""
    from matplotlib.figure import Figure

    frame = frame_of(binmap)
    width, height = frame.panel
    with_bar = width + BAR_GAP + BAR + BAR_LABEL
    size = (LEFT + 2 * with_bar + width + GAP + RIGHT - BAR_LABEL, BOTTOM + height + TOP)
    figure = Figure(figsize=size, dpi=DPI)
    figure.suptitle(title, fontsize=16, x=(LEFT + (size[0] - LEFT - RIGHT) / 2) / size[0], y=1 - 0.3 / size[1],
                    va="center", parse_math=False)

    lefts = (LEFT, LEFT + with_bar, LEFT + with_bar + width + GAP)
    low = np.append(sn < LOW_SN, False)[binmap][frame.cut]
    hatched = f" (hatched: S/N below {LOW_SN:g})" if low.any() else ""
    titles = ("Image", _bins_title(binmap, frame), f"Brightness of the bins{hatched}")
    panels = [add_panel(figure, left, frame, coords, name, labelled=left == LEFT)
              for left, name in zip(lefts, titles, strict=True)]
    if np.issubdtype(image.dtype, np.integer) and not np.median(image[frame.cut]):  # single counts would be invisible
        draw_smoothed(panels[0], image, frame, Look())
        panels[0].set_xlim(*frame.extent[:2])
        panels[0].set_ylim(*frame.extent[2:])
    else:
        _draw_image(panels[0], image[frame.cut], frame)
    draw_pixels(panels[1], _bin_colours(binmap)[frame.cut], frame.extent)
    _draw_brightness(panels[2], image, binmap, frame)
    draw_scale(panels[0], coords, frame, kpc_per_arcsec)
    if low.any():
        for panel in panels[1:]:
            _hatch(panel, low, frame)
    return figure


def _hatch(axes: "Axes", inside: NDArray[np.bool_], frame: Frame) -> None:
    """Hatch some pixels of the frame."""
    import matplotlib as mpl

    with mpl.rc_context({"hatch.linewidth": 0.6, "hatch.color": LINES}):
        axes.contourf(np.pad(inside.astype(float), 1), levels=[0.5, 1.5], hatches=["//////"], colors="none",
                      extent=(frame.x0 - 1.5, frame.x1 + 0.5, frame.y0 - 1.5, frame.y1 + 0.5), origin="lower")
    axes.set_xlim(*frame.extent[:2])
    axes.set_ylim(*frame.extent[2:])


def frame_of(binmap: NDArray[np.int32]) -> Frame:
    """Return the part of the image to show: that with all bins, or a much smaller part with the smallest 90 % of them.

    A few huge bins in the outskirts must not shrink all others to a dot.
    """
    binned = binmap >= 0
    if not binned.any():
        return Frame(0, binmap.shape[1], 0, binmap.shape[0])
    whole = box_around(binned, (0, 100), 0.03)
    npix = np.bincount(binmap[binned])
    small = npix <= np.percentile(npix[npix > 0], 90)
    core = box_around(binned & np.append(small, False)[binmap], (1, 99), 0.4)
    if (npix > 0).sum() < 10 or core.area > 0.3 * whole.area:
        return whole
    return core


def _bins_title(binmap: NDArray[np.int32], frame: Frame) -> str:
    """Return the number of bins, in the image and in the frame."""
    number = np.unique(binmap[binmap >= 0]).size
    shown = binmap[frame.cut]
    here = np.unique(shown[shown >= 0]).size
    words = f"{number} bin{'' if number == 1 else 's'}"
    return words if here == number else f"{words}, {here} of them here"


def _draw_image(axes: "Axes", image: NDArray[Any], frame: Frame) -> None:
    """Draw the image on a logarithmic scale."""
    norm = _brightness(image)
    shown = np.fmax(image, norm.vmin)  # zeros, and NaN
    if max(image.shape) > PANEL * DPI:  # imshow averages image pixels that share a pixel of the picture
        picture = axes.imshow(shown, origin="lower", extent=frame.extent, aspect="auto", norm=norm, cmap="magma")
    else:
        picture = draw_pixels(axes, shown, frame.extent, norm=norm, cmap="magma")
    colour_bar(axes, picture, "Counts per pixel")


def _brightness(image: NDArray[Any]) -> Any:
    """Return a logarithmic norm of at most four decades, from below the faintest value above 0."""
    from matplotlib.colors import LogNorm, Normalize

    positive = image[image > 0]
    if not positive.size:
        return Normalize(0.0, 1.0)
    brightest = float(positive.max())
    return LogNorm(max(0.7 * float(positive.min()), 1e-4 * brightest), brightest)


def _draw_brightness(axes: "Axes", image: NDArray[Any], binmap: NDArray[np.int32], frame: Frame) -> None:
    """Draw the mean of the image in each bin, and the outlines of the bins."""
    mean = _mean_of_bins(image, binmap)
    norm = _brightness(mean)
    shown = np.ma.masked_invalid(np.append(np.maximum(mean, norm.vmin), np.nan)[binmap])[frame.cut]
    picture = draw_pixels(axes, shown, frame.extent, norm=norm, cmap="magma")
    colour_bar(axes, picture, "Mean counts per pixel")
    shown_bins = np.unique(binmap[frame.cut]).size
    if shown_bins * _OUTLINED_PX**2 <= frame.panel[0] * frame.panel[1] * DPI**2:
        _draw_outlines(axes, trace_polygons(binmap))


def _mean_of_bins(image: NDArray[Any], binmap: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the mean of the finite pixels of each bin (bins,), NaN for bins without any."""
    used = (binmap >= 0) & np.isfinite(image)
    bins = int(binmap.max(initial=-1)) + 1
    npix = np.bincount(binmap[used], minlength=bins)
    sums = np.bincount(binmap[used], image[used], minlength=bins)
    mean: NDArray[np.float64] = np.divide(sums, npix, out=np.full(bins, np.nan), where=npix > 0)
    return mean


def _draw_outlines(axes: "Axes", polygons: Polygons) -> None:
    """Draw polygons as thin lines."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if not len(polygons.points):
        return
    codes = np.full(len(polygons.points), Path.LINETO, dtype=Path.code_type)
    first, last = polygons.ring_offsets[:-1], polygons.ring_offsets[1:]
    codes[first] = Path.MOVETO
    points = np.insert(polygons.points, last, polygons.points[first], axis=0)  # each ring ends where it begins
    path = Path(points, np.insert(codes, last, Path.LINETO))
    # add_patch would walk along all points, one by one, to find their limits
    axes.add_artist(PathPatch(path, fill=False, edgecolor="white", linewidth=0.5, alpha=0.8))


def _bin_colours(binmap: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return an RGB image (ny, nx, 3) in which bins that touch, corners included, have different colours."""
    palette = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)]
                        for colour in (*_BIN_COLOURS, _LARGE_BIN, OUTSIDE)], dtype=np.uint8)
    chosen = _choose_colours(binmap)
    if len(chosen) > 1:
        npix = np.bincount(binmap[binmap >= 0])
        largest = int(npix.argmax())  # only one, so that bins of this colour never touch
        if npix[largest] > _LARGE * npix.sum():
            chosen[largest] = len(_BIN_COLOURS)
    colours = np.append(chosen, len(_BIN_COLOURS) + 1)  # the last one is for pixels of -1
    painted: NDArray[np.uint8] = palette[colours[binmap]]
    return painted


def _choose_colours(binmap: NDArray[np.int32]) -> NDArray[np.intp]:
    """Return a colour number for each bin: the least used one that no neighbour has; most neighbours first."""
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
    """Yield pairs of bins that touch, corners included."""
    sides = ((binmap[:, :-1], binmap[:, 1:]), (binmap[:-1], binmap[1:]),
             (binmap[:-1, :-1], binmap[1:, 1:]), (binmap[:-1, 1:], binmap[1:, :-1]))
    for first, second in sides:
        border = (first != second) & (first >= 0) & (second >= 0)
        pairs = np.unique(first[border].astype(np.int64) << 32 | second[border])
        yield from zip((pairs >> 32).tolist(), (pairs & 0xFFFFFFFF).tolist(), strict=True)
