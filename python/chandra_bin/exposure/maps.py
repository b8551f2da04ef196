"""Geometric exposure maps: the exposure time of each image pixel, weighted by the mirror's vignetting.

For a chip whose pixel c was usable for the fraction A(c) of the good time, and the optical axis at a,

    E(s) = T sum_k w_k A(c_k) V(|s - d_k - a|),    c_k = M^-1 (s - d_k - s0)

sums over the dither: offsets d_k during fractions w_k of the chip's live time T. V = 1 - slope (theta / 10')² is the
vignetting of the mirror. The sum is a convolution in chip pixels, where bad pixels and edges are exact; sky pixels are
means over points one sky pixel apart. An effective-area map is this map multiplied by the area on axis.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.array_types import Float32s, Floats
from chandra_bin._checks.arrays import as_threads
from chandra_bin._kernels import _interpolate
from chandra_bin._kernels._rasterize import rasterize_polygons
from chandra_bin.acis import geometry as acis
from chandra_bin.coords.grids import Grid
from chandra_bin.errors import InputError

from .aspect import Dither, Placement

Window = tuple[slice, slice]

# Columns at the borders of a chip's four nodes, without events of good status. Its outermost rows and columns have no
# events either, as a 3 x 3 island does not fit.
_NODE_BORDERS = (256, 257, 512, 513, 768, 769)
# A column without events is dead if at least this many are expected, from the medians of columns on both sides.
_EXPECTED_EVENTS = 15
_NEIGHBOUR_COLUMNS = 25
# Sub-pixels per side of a sky pixel for rasterized outlines.
_OUTLINE_STEPS = 2
# Numerical noise of convolutions, as a fraction of the largest value.
_NOISE = 1e-6
# Pixels of a flux image processed at once: they stay in the cache.
_PIXELS = 1 << 16
# Directions in which the extent of the dither is evaluated for outlines.
_DIRECTIONS = 90


@dataclass(frozen=True, eq=False)
class ChipExposure:
    """Exposure in seconds of a chip, with the mirror's vignetting, in a window of a grid."""

    chip: int
    window: Window
    seconds: Float32s


@dataclass(frozen=True, eq=False)
class View:
    """A chip with its position, dither and response."""

    chip: int
    placement: Placement
    dither: Dither
    response: Float32s
    """(1024, 1024), (chipy, chipx): fraction of the good time in which each pixel was usable."""
    livetime_s: float


@dataclass(frozen=True, eq=False)
class Outline:
    """A chip for which only the outline of its field of view is known."""

    chip: int
    polygon: Floats
    """(n, 2) sky pixels."""
    livetime_s: float


def usable_pixels(first_row: int = 1, rows: int = acis.CHIP_PX, *, node_borders: bool = True) -> Float32s:
    """Return the response of a chip with these rows read (FIRSTROW, NROWS): 1 and 0, (1024, 1024).

    ``node_borders`` excludes the columns at node borders, for use without a bad pixel file.
    """
    response = np.zeros((acis.CHIP_PX, acis.CHIP_PX), np.float32)
    low, high = max(first_row + 1, 2), min(first_row + rows - 2, acis.CHIP_PX - 1)
    response[low - 1:high, 1:acis.CHIP_PX - 1] = 1
    if node_borders:
        response[:, np.array(_NODE_BORDERS) - 1] = 0
    return response


def dead_columns(chipx: ArrayLike) -> NDArray[np.int64]:
    """Return the columns of a chip, chipx from 1, whose lack of events cannot be chance.

    For use without a bad pixel file: at least 15 events are expected there, by the smaller of the medians of the 25
    columns before and after. ``chipx`` is that of the chip's events.
    """
    counts = np.bincount(np.asarray(chipx, np.int64), minlength=acis.CHIP_PX + 1)[1:acis.CHIP_PX + 1]
    padded = np.pad(counts, _NEIGHBOUR_COLUMNS)
    medians = np.median(np.lib.stride_tricks.sliding_window_view(padded, _NEIGHBOUR_COLUMNS), axis=1)
    before, after = medians[:acis.CHIP_PX], medians[_NEIGHBOUR_COLUMNS + 1:]
    return np.flatnonzero((counts == 0) & (np.minimum(before, after) >= _EXPECTED_EVENTS)) + 1


def chip_exposures(views: Sequence[View | Outline], grid: Grid, axis: ArrayLike, *,
                   slope: float = acis.VIGNETTING_SLOPE, threads: int = 1) -> list[ChipExposure]:
    """Return the exposure of each chip whose field overlaps the grid.

    Parameters
    ----------
    axis : mean position of the optical axis, (2,) in sky pixels.
    slope : slope of the vignetting; 0 for none.

    Raises `InputError` for a negative slope.
    """
    if not (np.isfinite(slope) and slope >= 0):
        raise InputError(f"the slope of the vignetting must be 0 or more, got {slope:.15g}")
    centre = np.asarray(axis, np.float64)
    with ThreadPoolExecutor(as_threads(threads)) as pool:
        made = pool.map(lambda view: (_of_view if isinstance(view, View) else _of_outline)(view, grid, centre, slope),
                        views)
        return [each for each in made if each is not None]


def sum_exposures(parts: Sequence[ChipExposure], grid: Grid) -> Float32s:
    """Return the exposure of all chips in seconds, (ny, nx)."""
    total = np.zeros(grid.shape, np.float32)
    for part in parts:
        total[part.window] += part.seconds
    return total


def flux_of(counts: ArrayLike, exposure: ArrayLike) -> Float32s:
    """Return counts divided by exposure; NaN without exposure. Raises `InputError` for images of different shapes."""
    above, below = np.asarray(counts), np.asarray(exposure)
    if above.shape != below.shape:
        raise InputError(f"the image has shape {above.shape}, its exposure map {below.shape}")
    made = np.full(above.shape, np.nan, np.float32)
    for first in range(0, above.size, _PIXELS):
        at = slice(first, first + _PIXELS)
        part, exposed = below.ravel()[at].astype(np.float64), made.ravel()[at]
        np.divide(above.ravel()[at].astype(np.float64), part, out=exposed, where=part > 0, casting="same_kind")
    return made


def outlines(views: Sequence[View | Outline]) -> list[Floats]:
    """Return the outline (n, 2), in sky pixels, of the field of each chip with a usable pixel during the dither.

    It is the convex hull of the chip's usable part at all dither positions.
    """
    from scipy.spatial import ConvexHull

    angles = np.linspace(0, 2 * np.pi, _DIRECTIONS, endpoint=False)
    found: list[Floats] = []
    for view in views:
        if isinstance(view, Outline):
            found.append(view.polygon)
            continue
        still = _usable_corners(view)
        if not still.size:
            continue
        # The extremes of the dither in many directions approximate the corners of its convex hull.
        far = {int(np.argmax(view.dither.x * np.cos(angle) + view.dither.y * np.sin(angle))) for angle in angles}
        moved = np.stack([view.dither.x, view.dither.y], axis=1)[sorted(far)]
        points = (still[:, None] + moved).reshape(-1, 2)
        found.append(points[ConvexHull(points).vertices])
    return found


def _usable_corners(view: View) -> Floats:
    """Return the corners (4, 2) of a chip's usable part at zero dither, in sky pixels; (0, 2) if no pixel is usable."""
    rows, columns = (np.flatnonzero(view.response.any(axis=axis)) + 1 for axis in (1, 0))
    if not rows.size:
        return np.empty((0, 2))
    corners = [(u, v) for u in (columns[0] - 0.5, columns[-1] + 0.5) for v in (rows[0] - 0.5, rows[-1] + 0.5)]
    return view.placement.to_sky(np.array(corners))


def outline_box(views: Sequence[View | Outline]) -> Floats:
    """Return the lowest and highest sky coordinates, ((x0, x1), (y0, y1)), of the field of all chips."""
    points = []
    for view in views:
        if isinstance(view, Outline):
            points.append(view.polygon)
            continue
        still = _usable_corners(view)
        if still.size:
            moved = [[low(offset) for offset in (view.dither.x, view.dither.y)] for low in (np.min, np.max)]
            points += [still + each for each in moved]
    if not points:
        raise InputError("no chip has a usable pixel")
    every = np.concatenate(points)
    return np.stack([every.min(axis=0), every.max(axis=0)], axis=1)


def _of_view(view: View, grid: Grid, axis: Floats, slope: float) -> ChipExposure | None:
    """Return the exposure of a chip; None outside the grid."""
    place = view.placement
    back: Floats = np.linalg.inv(place.matrix).astype(np.float64)
    places = np.arange(1.0, acis.CHIP_PX + 1)
    if slope:
        (xu, xv), (yu, yv) = place.matrix
        x0, y0 = place.origin - axis
        distance = np.hypot(x0 + xu * places + xv * places[:, None], y0 + yu * places + yv * places[:, None])
        response = view.response * acis.vignetting(distance * acis.PIXEL_ARCSEC / 60, slope)
    else:
        response = view.response.astype(np.float64)
    spread, reach = _spread(view.dither, back)
    seen = _convolve(response, spread)
    first = 1.0 - reach - 1  # chip coordinate of the first pixel of `seen` with its border of zeros
    seen = np.pad(seen, 1)

    ends = np.array([first, first + len(seen) - 1])
    corners = place.to_sky(np.array([(u, v) for u in ends for v in ends]))
    window = _window(grid, corners)
    if window is None:
        return None
    steps = max(1, round(grid.x.step)), max(1, round(grid.y.step))
    fine = [axis.step / count for axis, count in zip((grid.x, grid.y), steps, strict=True)]
    start = np.array([grid.x.first + window[1].start * grid.x.step + fine[0] / 2,
                      grid.y.first + window[0].start * grid.y.step + fine[1] / 2])
    ny, nx = (part.stop - part.start for part in window)
    # From rows and columns of the fine grid to those of `seen`.
    turn = back[::-1, ::-1] * np.array(fine[::-1])
    offset = (back @ (start - place.origin))[::-1] - first
    points = np.empty((ny * steps[1], nx * steps[0]), np.float32)
    _interpolate.interpolate(seen, turn, offset, values=points)
    seconds = _block_means(points, (ny, nx)) * np.float32(view.livetime_s)
    return ChipExposure(view.chip, window, seconds)


def _spread(dither: Dither, back: Floats) -> tuple[Floats, int]:
    """Return the dither as an image in chip pixels, centred on offset 0, and its extent from there."""
    offsets = back @ np.stack([dither.x, dither.y])
    reach = int(np.ceil(np.abs(offsets).max(initial=0))) + 1
    size = 2 * reach + 1
    low = np.floor(offsets).astype(np.int64)
    u1, v1 = offsets - low
    image = np.zeros(size * size)
    for dv, of_v in ((0, 1 - v1), (1, v1)):
        for du, of_u in ((0, 1 - u1), (1, u1)):
            at = (low[1] + dv + reach) * size + low[0] + du + reach
            image += np.bincount(at, dither.weight * of_u * of_v, minlength=size * size)
    return image.reshape(size, size), reach


def _convolve(image: Floats, kernel: Floats) -> Floats:
    """Return the full convolution of two square images."""
    from scipy import fft

    size = len(image) + len(kernel) - 1
    fast = fft.next_fast_len(size, real=True)
    both = fft.rfft2(image, (fast, fast)) * fft.rfft2(kernel, (fast, fast))
    made: Floats = fft.irfft2(both, (fast, fast))[:size, :size]
    made[made < _NOISE * made.max()] = 0
    return made


def _of_outline(view: Outline, grid: Grid, axis: Floats, slope: float) -> ChipExposure | None:
    """Return the exposure of a chip from its outline; None outside the grid."""
    window = _window(grid, view.polygon)
    if window is None:
        return None
    ny, nx = (part.stop - part.start for part in window)
    steps = [max(1, round(each.step)) * _OUTLINE_STEPS for each in (grid.x, grid.y)]
    fine = [each.step / count for each, count in zip((grid.x, grid.y), steps, strict=True)]
    start = [grid.x.first + window[1].start * grid.x.step, grid.y.first + window[0].start * grid.y.step]
    painted = np.zeros((ny * steps[1], nx * steps[0]), np.int32)
    rasterize_polygons(np.ascontiguousarray(view.polygon), np.array([0, len(view.polygon)]), np.array([0, 1]),
                       np.ones(1, np.int32), x_first=start[0] + fine[0] / 2, x_step=fine[0],
                       y_first=start[1] + fine[1] / 2, y_step=fine[1], image=painted)
    seconds = _block_means(painted.astype(np.float32), (ny, nx)) * np.float32(view.livetime_s)
    if slope:
        x, y = grid.x.centres[window[1]] - axis[0], grid.y.centres[window[0]] - axis[1]
        seconds *= acis.vignetting(np.hypot(x, y[:, None]) * acis.PIXEL_ARCSEC / 60, slope).astype(np.float32)
    return ChipExposure(view.chip, window, seconds)


def _window(grid: Grid, points: Floats) -> Window | None:
    """Return the pixels of a grid that the bounding box of these points may cover; None if it covers no pixel."""
    parts = []
    for axis, values in ((grid.y, points[:, 1]), (grid.x, points[:, 0])):
        low = max(int(np.floor((values.min() - axis.first) / axis.step)) - 1, 0)
        high = min(int(np.ceil((values.max() - axis.first) / axis.step)) + 1, axis.size)
        if low >= high:
            return None
        parts.append(slice(low, high))
    return parts[0], parts[1]


def _block_means(fine: Float32s, shape: tuple[int, int]) -> Float32s:
    """Return the means over blocks, (ny, nx)."""
    ny, nx = shape
    if fine.shape == shape:
        return fine
    blocks = fine.reshape(ny, fine.shape[0] // ny, nx, fine.shape[1] // nx)
    means: Float32s = blocks.mean(axis=(1, 3), dtype=np.float32)
    return means
