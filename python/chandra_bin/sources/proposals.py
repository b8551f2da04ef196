"""Proposed regions: the cluster, from moments and a growth curve, and the box of good exposure. Arrays only.

The user should check every proposal. The functions work on blocks of pixels, at most 384 along a side.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin._checks.arrays import as_flags, as_image
from chandra_bin.coords.blocks import block_sums
from chandra_bin.errors import InputError, NoCluster

# Largest number of blocks along the longer side, for the cluster and for the box.
_MOST_BLOCKS = 384
_MOST_BOX_BLOCKS = 96
# Blocks with less than this fraction of the largest exposure contain mostly noise and are skipped.
_LEAST_EXPOSURE = 0.1
# Sigmas of the smoothing in the search for the brightest position, in fractions of the longer side of the image.
_SEARCH = (1 / 96, 1 / 48, 1 / 24)
_SIGNIFICANT = 5.0
# Semi-axes of the aperture of the moments, in sigmas of the emission.
APERTURE_SIGMA = 4.0
# A ring has signal if its net brightness exceeds this many of its errors, and this fraction of the background.
_RING_SIGMA = 2.0
_RING_FRACTION = 0.1
_QUIET_RINGS = 3
_RINGS = 60
# The fraction of the exposure that is always reserved to measure the background.
_LEAST_OUTSIDE = 0.1
_MOST_ITERATIONS = 60
_MOST_ELONGATED = 0.2
_GOOD_SHARE = 0.98
_BRIDGED_BLOCKS = 2


@dataclass(frozen=True)
class Ellipse:
    """An ellipse in array coordinates: centre, semi-axes in pixels, angle of the major axis from +x towards +y."""

    x: float
    y: float
    a: float
    b: float
    angle_deg: float

    def radius(self, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return the semi-major axis, in pixels, of the similar concentric ellipse through a position."""
        turn = math.radians(self.angle_deg)
        dx, dy = np.asarray(x, float) - self.x, np.asarray(y, float) - self.y
        along, across = dx * math.cos(turn) + dy * math.sin(turn), dy * math.cos(turn) - dx * math.sin(turn)
        made: Floats = np.hypot(along, across * (self.a / self.b))
        return made


@dataclass(frozen=True, eq=False)
class GrowthCurve:
    """Net counts within similar ellipses, arrays (n,)."""

    radius: Floats
    """Semi-major axes in pixels, the outer edges of the rings."""
    net: Floats
    """Net counts within the ellipse, in exposed pixels."""
    error: Floats
    """1-sigma error of the net counts, without that of the background level."""
    brightness: Floats
    """Net counts of each ring over exposure (over pixels, without an exposure map); NaN for rings without exposure."""
    brightness_error: Floats
    background: float
    """Brightness of the background, in the same unit."""


@dataclass(frozen=True, eq=False)
class ClusterShape:
    """Shape and extent of a cluster."""

    aperture: Ellipse
    """The ellipse of the moments, with semi-axes of ``APERTURE_SIGMA`` sigmas of the emission within it."""
    extent: Ellipse
    """The ellipse where the signal stops."""
    curve: GrowthCurve
    reaches_edge: bool
    """Whether the signal extends to the edge of the image: the extent is then a lower limit."""


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Sums over blocks of ``size`` x ``size`` pixels."""

    size: int
    net: Floats
    """Counts minus the known background."""
    variance: Floats
    exposure: Floats
    good: NDArray[np.bool_]
    x: Floats
    y: Floats


@dataclass(frozen=True, eq=False)
class _Rings:
    """Elliptical rings of blocks, wider further out, and their sums over good blocks, (n,)."""

    radius: Floats
    """The semi-major axis of the ellipse through each block."""
    ring: NDArray[np.intp]
    """The ring of each block; n beyond the last."""
    net: Floats
    variance: Floats
    exposure: Floats


def find_cluster(counts: ArrayLike, *, exposure: ArrayLike | None = None, background: ArrayLike | None = None,
                 mask: ArrayLike | None = None) -> ClusterShape:
    """Find the centre, elongation and extent of the cluster in an image.

    Parameters
    ----------
    counts : image, (ny, nx)
        Counts per pixel.
    exposure : image, (ny, nx), optional
        Exposure map. Default: uniform.
    background : image, (ny, nx), optional
        Expected background counts, for a background that does not follow the exposure. The remaining background is
        measured outside the cluster and also subtracted.
    mask : image of bool, (ny, nx), optional
        True in **excluded** pixels: above all point sources.

    Raises
    ------
    InputError
        Without exposure, counts, or a position 5 sigma above the rest, and for infinite pixels.

    Notes
    -----
    The search starts at the most significant position of the smoothed image. The second moments of the net brightness
    within an ellipse of 4 of their own sigmas are iterated until they converge; gaps and masked pixels get the mean
    brightness of their ring. The growth curve in ellipses of this shape extends to the first three successive rings
    without signal (2 sigma, and 10 % of the background). The background is the mean outside. The aperture ends at the
    latest where the signal stops.
    """
    blocks = _blocks(counts, exposure, background, mask)
    shape, level = _start(blocks)
    extent, edge = shape.a, False
    for _ in range(_MOST_ITERATIONS):
        before, rings = shape, _rings(blocks, shape)
        level, extent, edge = _background(blocks, rings, level)
        shape = _moments(blocks, shape, rings, level, extent)
        moved = math.hypot(shape.x - before.x, shape.y - before.y)
        if moved < 0.01 and abs(shape.a / before.a - 1) < 1e-3 and abs(shape.b / before.b - 1) < 1e-3:
            break
    rings = _rings(blocks, shape)
    level, extent, edge = _background(blocks, rings, level)
    outer = _scaled(shape, extent)
    return ClusterShape(_to_pixels(shape, blocks.size), _to_pixels(outer, blocks.size),
                        _curve(blocks, rings, level), edge)


def exposed_box(exposure: ArrayLike, centre: tuple[float, float] | None = None, *,
                least: float = 0.3) -> tuple[int, int, int, int]:
    """Return the largest box of pixels (x0, x1, y0, y1; ends excluded) with good exposure.

    Good means above ``least`` times the 99th percentile of exposures above 0. Gaps between chips, narrower than four
    blocks (1/24 of the image), count as good. At least 98 % of the box are good. A box contains ``centre`` (x, y; array
    coordinates) if given. Raises `InputError` for an exposure of 0 in all pixels or an infinite one, and for a centre
    outside the image or without exposure around it.
    """
    image = as_image(exposure, "exposure", np.float64)
    _refuse_infinite(image, "exposure")
    ny, nx = image.shape
    if not 0 < least < 1:
        raise InputError(f"the least fraction of the largest exposure must be between 0 and 1, got {least:.15g}")
    if not np.any(image > 0):
        raise InputError("the exposure is 0 in all pixels")
    if centre is not None and not (-0.5 <= centre[0] < nx - 0.5 and -0.5 <= centre[1] < ny - 0.5):
        raise InputError(f"the centre ({centre[0]:.1f}, {centre[1]:.1f}) is outside the image of {nx} x {ny} pixels")
    good = image >= least * np.percentile(image[image > 0], 99)
    size = max(1, math.ceil(max(image.shape) / _MOST_BOX_BLOCKS))
    pixels = block_sums(np.ones(image.shape), size)
    shares = _bridged(block_sums(good.astype(float), size), pixels)
    at = None if centre is None else (int((centre[0] + 0.5) // size), int((centre[1] + 0.5) // size))
    penalty = 1.0
    while True:
        # Bad pixels count against the box, with a penalty that grows until the box has few of them.
        box = _largest_sum(shares - penalty * (pixels - shares), at)
        if box is not None:
            x0, x1, y0, y1 = box
            share = shares[y0:y1, x0:x1].sum() / pixels[y0:y1, x0:x1].sum()
            if share >= _GOOD_SHARE or penalty > 1e4:
                break
        elif penalty > 1e4:
            break
        penalty *= 1.5
    if box is None or shares[y0:y1, x0:x1].sum() == 0:
        raise InputError("the exposure around the centre is too low for a box: give another centre")
    return x0 * size, min(x1 * size, nx), y0 * size, min(y1 * size, ny)


def _bridged(good: Floats, pixels: Floats) -> Floats:
    """Return the good pixels of blocks, with all pixels of blocks in gaps counted as good."""
    from scipy.ndimage import binary_closing

    around = _BRIDGED_BLOCKS + 1
    inside = np.pad(good > 0.5 * pixels, around)
    closed = binary_closing(inside, np.ones((3, 3)), _BRIDGED_BLOCKS)[around:-around, around:-around]
    return np.where(closed, pixels, good)


def _blocks(counts: ArrayLike, exposure: ArrayLike | None, background: ArrayLike | None,
            mask: ArrayLike | None) -> _Blocks:
    """Return the sums over blocks of checked images."""
    image = as_image(counts, "counts", np.float64)
    exposed = np.ones(image.shape) if exposure is None else as_image(exposure, "exposure", np.float64, image.shape)
    known = None if background is None else as_image(background, "background", np.float64, image.shape)
    _refuse_infinite(image, "counts")
    _refuse_infinite(exposed, "exposure")
    use = ~as_flags(mask, "mask", image.shape) & np.isfinite(image) & (exposed > 0)
    if known is not None:
        _refuse_infinite(known, "background")
        use &= np.isfinite(known)
    if not use.any():
        raise InputError("no pixel with exposure is left to search for a cluster: exclude fewer pixels")
    if not image[use].any():
        raise InputError(f"all {np.count_nonzero(use)} used pixels are 0: no cluster can be found")
    size = max(1, math.ceil(max(image.shape) / _MOST_BLOCKS))
    total, seconds = (block_sums(np.where(use, each, 0), size) for each in (image, exposed))
    net = total if known is None else total - block_sums(np.where(use, known, 0), size)
    y, x = np.indices(total.shape, dtype=float)
    good = seconds > _LEAST_EXPOSURE * np.percentile(seconds[seconds > 0], 99)
    return _Blocks(size, net, total, seconds, good, x, y)


def _refuse_infinite(image: Floats, what: str) -> None:
    """Raise `InputError` for infinite pixels."""
    if infinite := np.count_nonzero(np.isinf(image)):
        raise InputError(f"the {what} {'are' if what == 'counts' else 'is'} infinite in {infinite} pixels: set them to "
                         "NaN to exclude them")


def _start(blocks: _Blocks) -> tuple[Ellipse, float]:
    """Return a circle at the most significant position, and a first background."""
    from scipy.ndimage import gaussian_filter

    net, exposure = np.where(blocks.good, blocks.net, 0), np.where(blocks.good, blocks.exposure, 0)
    variance = np.where(blocks.good, blocks.variance, 0)
    longest = max(net.shape)
    best, place, width, level = 0.0, (0, 0), 1.0, 0.0
    for part in _SEARCH:
        sigma = max(part * longest, 1.0)
        smooth, seconds, noise = (gaussian_filter(each, sigma, mode="constant")
                                  for each in (net, exposure, variance))
        there = blocks.good & (seconds > 0.3 * np.percentile(seconds[blocks.good], 50))
        brightness = smooth[there] / seconds[there]
        floor = float(np.percentile(brightness, 20))
        # Error of a sum with Gaussian weights, whose squares are a Gaussian of sigma / sqrt(2) over 4 pi sigma^2.
        error = np.sqrt(np.maximum(noise[there], 1e-12) / (4 * math.pi * sigma**2))
        significance = (smooth[there] - floor * seconds[there]) / error
        at = int(np.argmax(significance))
        if significance[at] > best:
            best, width, level = float(significance[at]), sigma, floor
            row, column = (int(each[at]) for each in np.nonzero(there))
            place = row, column
    if best < _SIGNIFICANT:
        raise NoCluster(f"no cluster found: the brightest position is {best:.1f} sigma above the rest, but "
                        f"{_SIGNIFICANT:g} are needed: draw the region by hand")
    return Ellipse(float(place[1]), float(place[0]), 4 * width, 4 * width, 0.0), level


def _rings(blocks: _Blocks, shape: Ellipse) -> _Rings:
    """Return the rings around an ellipse."""
    radius = shape.radius(blocks.x, blocks.y)
    # Equal steps in the square root of the radius, each at least one block.
    ends = np.linspace(0, math.sqrt(float(radius[blocks.good].max()) + 1e-9), _RINGS + 1)[1:] ** 2
    kept = [float(ends[0])] if ends[0] >= 1 else []
    for end in ends.tolist():
        if end >= (kept[-1] if kept else 0.0) + 1:
            kept.append(end)
    kept = kept or [float(ends[-1])]
    kept[-1] = max(kept[-1], float(ends[-1]))
    ring = np.searchsorted(kept, radius)
    good = blocks.good & (ring < len(kept))
    rings = ring[good]
    net, variance, exposure = (np.bincount(rings, each[good], len(kept)).astype(float)
                               for each in (blocks.net, blocks.variance, blocks.exposure))
    return _Rings(radius, ring, net, variance, exposure)


def _background(blocks: _Blocks, rings: _Rings, level: float) -> tuple[float, float, bool]:
    """Return the brightness beyond the signal, the radius where the signal stops, and whether it never stops."""
    net, variance, exposure = rings.net, rings.variance, rings.exposure
    # Fully masked rings are skipped.
    seen = np.flatnonzero(exposure > 0)
    brightness = net[seen] / exposure[seen]
    error = np.sqrt(np.maximum(variance[seen], 1)) / exposure[seen]
    outer = np.cumsum(exposure[::-1])[::-1] / exposure.sum()
    last = int(np.flatnonzero(outer >= _LEAST_OUTSIDE)[-1])  # the last ring where the background may begin
    stop = last
    found = False
    for _ in range(_MOST_ITERATIONS):
        quiet = brightness - level < np.maximum(_RING_SIGMA * error, _RING_FRACTION * abs(level))
        run = np.convolve(quiet, np.ones(_QUIET_RINGS), "full")[: len(seen)] == _QUIET_RINGS
        ends = seen[np.flatnonzero(run) - (_QUIET_RINGS - 1)]
        found = bool(len(ends) and ends[0] <= last)
        new = max(int(ends[0]), 1) if found else last
        level = float(net[new:].sum() / exposure[new:].sum())
        if new == stop:
            break
        stop = new
    inside = rings.radius[(rings.ring < stop) & blocks.good]
    return level, max(float(inside.max(initial=1.0)), 1.0), not found


def _moments(blocks: _Blocks, shape: Ellipse, rings: _Rings, level: float, extent: float) -> Ellipse:
    """Return the ellipse of the moments of the net brightness in an aperture; gaps get the mean of their ring."""
    seen = np.flatnonzero(rings.exposure > 0)
    number = len(rings.net)
    of_ring = np.interp(np.arange(number), seen, rings.net[seen] / rings.exposure[seen])  # fills masked cores
    limited = _scaled(shape, min(shape.a, extent))
    inside = rings.radius <= limited.a
    good = blocks.good[inside]
    flux = np.where(good, blocks.net[inside] / np.where(good, blocks.exposure[inside], 1),
                    of_ring[np.minimum(rings.ring[inside], number - 1)]) - level
    total = flux.sum()
    if not total > 0:
        return limited
    x, y = blocks.x[inside], blocks.y[inside]
    cx, cy = float((flux * x).sum() / total), float((flux * y).sum() / total)
    dx, dy = x - cx, y - cy
    matrix = np.array([[(flux * dx * dx).sum(), (flux * dx * dy).sum()],
                       [(flux * dx * dy).sum(), (flux * dy * dy).sum()]]) / total
    values, vectors = np.linalg.eigh(matrix)
    major = max(float(values[1]), 0.25)
    minor = max(float(values[0]), _MOST_ELONGATED**2 * major)
    angle = math.degrees(math.atan2(vectors[1, 1], vectors[0, 1])) % 180
    a = min(APERTURE_SIGMA * math.sqrt(major), max(extent, 1.0))
    # Half steps: a distant aperture does not overshoot the solution.
    return Ellipse(cx, cy, math.sqrt(a * shape.a), math.sqrt(a * shape.a) * math.sqrt(minor / major), angle)


def _scaled(shape: Ellipse, a: float) -> Ellipse:
    """Return the similar ellipse of another semi-major axis."""
    return Ellipse(shape.x, shape.y, a, a * shape.b / shape.a, shape.angle_deg)


def _to_pixels(shape: Ellipse, size: int) -> Ellipse:
    """Return an ellipse in blocks as one in pixels."""
    return Ellipse((shape.x + 0.5) * size - 0.5, (shape.y + 0.5) * size - 0.5, shape.a * size, shape.b * size,
                   shape.angle_deg)


def _curve(blocks: _Blocks, rings: _Rings, level: float) -> GrowthCurve:
    """Return the growth curve in rings, with a background subtracted."""
    number, exposure, variance = len(rings.net), rings.exposure, rings.variance
    ends = np.zeros(number)
    good = blocks.good & (rings.ring < number)
    np.maximum.at(ends, rings.ring[good], rings.radius[good])
    ends = np.maximum.accumulate(ends)
    clean = rings.net - level * exposure
    some = exposure > 0
    brightness = np.divide(clean, exposure, out=np.full(number, np.nan), where=some)
    error = np.divide(np.sqrt(np.maximum(variance, 1)), exposure, out=np.full(number, np.nan), where=some)
    return GrowthCurve(ends * blocks.size, np.cumsum(clean), np.sqrt(np.cumsum(variance)), brightness, error, level)


def _largest_sum(weights: Floats, at: tuple[int, int] | None) -> tuple[int, int, int, int] | None:
    """Return the box (x0, x1, y0, y1; ends excluded) with the largest sum that contains the block ``at`` (x, y)."""
    ny, nx = weights.shape
    above = np.zeros((ny + 1, nx))
    np.cumsum(weights, axis=0, out=above[1:])
    best, found = 0.0, None
    for y0 in range(ny if at is None else at[1] + 1):
        first = y0 + 1 if at is None else max(y0, at[1]) + 1
        strips = above[first:] - above[y0]  # of the rows y0 .. y1 - 1, for each y1
        sums = np.zeros((strips.shape[0], nx + 1))
        np.cumsum(strips, axis=1, out=sums[:, 1:])
        if at is None:
            lowest = np.minimum.accumulate(sums[:, :-1], axis=1)
            gain = sums[:, 1:] - lowest
        else:
            lowest = sums[:, : at[0] + 1].min(axis=1, keepdims=True)
            gain = sums[:, at[0] + 1:] - lowest
        row, column = np.unravel_index(int(np.argmax(gain)), gain.shape)
        if gain[row, column] > best:
            best = float(gain[row, column])
            x1 = int(column) + 1 + (0 if at is None else at[0])
            x0 = int(np.argmin(sums[row, : x1 if at is None else at[0] + 1]))
            found = (x0, x1, y0, first + int(row))
    return found
