"""Regions that are proposed: the cluster, by moments and a growth curve, and the box of good exposure. Arrays only.

Every proposal is for a human to look at. They work on blocks of pixels, of which there are at most 384 along a side.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin._checks.arrays import as_flags, as_image
from chandra_bin.coords.blocks import block_sums
from chandra_bin.errors import InputError, NoCluster

# Blocks along the longer side, of the cluster and of the box.
_MOST_BLOCKS = 384
_MOST_BOX_BLOCKS = 96
# Blocks of less than this part of the largest exposure are left out: what little is there is noise.
_LEAST_EXPOSURE = 0.1
# Smoothing that the brightest place is looked for with, in parts of the image's longer side.
_SEARCH = (1 / 96, 1 / 48, 1 / 24)
_SIGNIFICANT = 5.0
# The aperture of the moments, in their own sigma along each axis.
APERTURE_SIGMA = 4.0
# A ring holds signal when its net brightness is above so many of its errors, and above this part of the background.
_RING_SIGMA = 2.0
_RING_FRACTION = 0.1
_QUIET_RINGS = 3
_RINGS = 60
# The part of the exposed blocks that is always left to measure the background in.
_LEAST_OUTSIDE = 0.1
_MOST_ITERATIONS = 60
_MOST_ELONGATED = 0.2
_GOOD_SHARE = 0.98
_BRIDGED_BLOCKS = 2


@dataclass(frozen=True)
class Ellipse:
    """In array coordinates: centre, semi-axes in pixels, and the angle of the longer one from +x through +y."""

    x: float
    y: float
    a: float
    b: float
    angle_deg: float

    def radius(self, x: ArrayLike, y: ArrayLike) -> Floats:
        """The semi-major axis of the ellipse of this shape through a place, in pixels."""
        turn = math.radians(self.angle_deg)
        dx, dy = np.asarray(x, float) - self.x, np.asarray(y, float) - self.y
        along, across = dx * math.cos(turn) + dy * math.sin(turn), dy * math.cos(turn) - dx * math.sin(turn)
        made: Floats = np.hypot(along, across * (self.a / self.b))
        return made


@dataclass(frozen=True, eq=False)
class GrowthCurve:
    """Net counts within ellipses of one shape; arrays (n,)."""

    radius: Floats
    """Semi-major axes in pixels, the outer ends of the rings."""
    net: Floats
    """Net counts within, as far as there is exposure."""
    error: Floats
    """Of the net counts, 1 sigma, without that of the background level."""
    brightness: Floats
    """Of each ring: net counts over exposure (over pixels, without an exposure map); NaN for rings without any."""
    brightness_error: Floats
    background: float
    """Brightness of the background, in the same unit."""


@dataclass(frozen=True, eq=False)
class ClusterShape:
    """What was found of a cluster."""

    aperture: Ellipse
    """The ellipse of the moments: ``APERTURE_SIGMA`` sigma of the emission within it."""
    extent: Ellipse
    """The ellipse where the signal stops."""
    curve: GrowthCurve
    reaches_edge: bool
    """The signal does not stop within the image: the extent is no more than a lower limit."""


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Sums over blocks of ``size`` x ``size`` pixels."""

    size: int
    net: Floats
    """Counts less the background that is known."""
    variance: Floats
    exposure: Floats
    good: NDArray[np.bool_]
    x: Floats
    y: Floats


def find_cluster(counts: ArrayLike, *, exposure: ArrayLike | None = None, background: ArrayLike | None = None,
                 mask: ArrayLike | None = None) -> ClusterShape:
    """Finds the cluster of an image: its centre, elongation and extent.

    Parameters
    ----------
    counts : (ny, nx)
    exposure : (ny, nx); None: the same everywhere.
    background : expected counts of background (ny, nx), for backgrounds that are not shaped as the exposure is. What
        is left is measured outside the cluster, and taken away as well.
    mask : boolean, True where a pixel is **excluded**: point sources above all.

    Starting from the most significant place of the smoothed image, the second moments of the net brightness are taken
    within an ellipse of 4 sigma of themselves, again and again until they stay; gaps and masked pixels are given the
    mean brightness of their ring. The growth curve is taken in ellipses of that shape, to where three rings in a row
    have no signal (2 sigma, and 10 % of the background); the background is the mean beyond. The aperture reaches no
    farther than the signal.

    Raises `InputError` where there is no exposure, no count, no place 5 sigma above the rest, and for infinite pixels.
    """
    blocks = _blocks(counts, exposure, background, mask)
    shape, level = _start(blocks)
    extent, edge = shape.a, False
    for _ in range(_MOST_ITERATIONS):
        before = shape
        level, extent, edge = _background(blocks, shape, level)
        shape = _moments(blocks, shape, level, extent)
        moved = math.hypot(shape.x - before.x, shape.y - before.y)
        if moved < 0.01 and abs(shape.a / before.a - 1) < 1e-3 and abs(shape.b / before.b - 1) < 1e-3:
            break
    level, extent, edge = _background(blocks, shape, level)
    outer = _scaled(shape, extent)
    return ClusterShape(_to_pixels(shape, blocks.size), _to_pixels(outer, blocks.size),
                        _curve(blocks, shape, level), edge)


def exposed_box(exposure: ArrayLike, centre: tuple[float, float] | None = None, *,
                least: float = 0.3) -> tuple[int, int, int, int]:
    """The box of pixels (x0, x1, y0, y1; ends excluded) with most exposure above ``least`` times the largest.

    Gaps between chips belong to the field: what is narrower than four blocks, a 24th of the image, is bridged. 98 % of
    the box or more are in the field. It holds ``centre`` (x, y; array coordinates), where one is given. The largest
    exposure is the 99th percentile of those above 0. Raises `InputError` for none or an infinite one, and for a centre
    outside the image or without exposure around it.
    """
    image = as_image(exposure, "exposure", np.float64)
    _refuse_infinite(image, "exposure")
    ny, nx = image.shape
    if not 0 < least < 1:
        raise InputError(f"the least exposure is {least:.15g} times the largest: it must be between 0 and 1")
    if not np.any(image > 0):
        raise InputError("the exposure is 0 in all pixels")
    if centre is not None and not (-0.5 <= centre[0] < nx - 0.5 and -0.5 <= centre[1] < ny - 0.5):
        raise InputError(f"the centre, {centre[0]:.1f} {centre[1]:.1f}, is outside the image of {nx} x {ny} pixels")
    good = image >= least * np.percentile(image[image > 0], 99)
    size = max(1, math.ceil(max(image.shape) / _MOST_BOX_BLOCKS))
    pixels = block_sums(np.ones(image.shape), size)
    shares = _bridged(block_sums(good.astype(float), size), pixels)
    at = None if centre is None else (int((centre[0] + 0.5) // size), int((centre[1] + 0.5) // size))
    penalty = 1.0
    while True:
        # Pixels that are not good count against the box, the more the longer too many of them are in it.
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
        raise InputError("there is not enough exposure around the centre for a box")
    return x0 * size, min(x1 * size, nx), y0 * size, min(y1 * size, ny)


def _bridged(good: Floats, pixels: Floats) -> Floats:
    """Good pixels of blocks, with all pixels of those that lie in gaps."""
    from scipy.ndimage import binary_closing

    around = _BRIDGED_BLOCKS + 1
    inside = np.pad(good > 0.5 * pixels, around)
    closed = binary_closing(inside, np.ones((3, 3)), _BRIDGED_BLOCKS)[around:-around, around:-around]
    return np.where(closed, pixels, good)


def _blocks(counts: ArrayLike, exposure: ArrayLike | None, background: ArrayLike | None,
            mask: ArrayLike | None) -> _Blocks:
    image = as_image(counts, "counts", np.float64)
    exposed = np.ones(image.shape) if exposure is None else as_image(exposure, "exposure", np.float64, image.shape)
    known = np.zeros(image.shape) if background is None else as_image(background, "background", np.float64, image.shape)
    for values, what in ((image, "counts"), (exposed, "exposure"), (known, "background")):
        _refuse_infinite(values, what)
    use = ~as_flags(mask, "mask", image.shape) & np.isfinite(image) & np.isfinite(known) & (exposed > 0)
    if not use.any():
        raise InputError("no pixel with exposure is left to look for a cluster in")
    if not image[use].any():
        raise InputError(f"all {np.count_nonzero(use)} pixels that are used are 0: there is no cluster")
    size = max(1, math.ceil(max(image.shape) / _MOST_BLOCKS))
    total, behind, seconds = (block_sums(np.where(use, each, 0), size) for each in (image, known, exposed))
    y, x = np.indices(total.shape, dtype=float)
    good = seconds > _LEAST_EXPOSURE * np.percentile(seconds[seconds > 0], 99)
    return _Blocks(size, total - behind, total, seconds, good, x, y)


def _refuse_infinite(image: Floats, what: str) -> None:
    if infinite := np.count_nonzero(np.isinf(image)):
        raise InputError(f"the {what} {'are' if what == 'counts' else 'is'} infinite in {infinite} pixels; set them to "
                         "NaN to leave them out")


def _start(blocks: _Blocks) -> tuple[Ellipse, float]:
    """A circle at the most significant place, and the background to begin with."""
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
        # Of a sum with the weights of a Gaussian, whose squares are those of one of sigma / sqrt(2), / (4 pi sigma^2).
        error = np.sqrt(np.maximum(noise[there], 1e-12) / (4 * math.pi * sigma**2))
        significance = (smooth[there] - floor * seconds[there]) / error
        at = int(np.argmax(significance))
        if significance[at] > best:
            best, width, level = float(significance[at]), sigma, floor
            row, column = (int(each[at]) for each in np.nonzero(there))
            place = row, column
    if best < _SIGNIFICANT:
        raise NoCluster(f"no cluster is found: the brightest place is {best:.1f} sigma above the rest, and "
                        f"{_SIGNIFICANT:g} are needed; draw the region by hand")
    return Ellipse(float(place[1]), float(place[0]), 4 * width, 4 * width, 0.0), level


def _rings(blocks: _Blocks, shape: Ellipse) -> tuple[Floats, NDArray[np.intp], int]:
    """The radius of each block, its ring, and the number of rings: narrow ones inside, wider ones outside."""
    radius = shape.radius(blocks.x, blocks.y)
    # Equal steps of the square root of the radius, none of less than a block.
    ends = np.linspace(0, math.sqrt(float(radius[blocks.good].max()) + 1e-9), _RINGS + 1)[1:] ** 2
    kept = [float(ends[0])] if ends[0] >= 1 else []
    for end in ends.tolist():
        if end >= (kept[-1] if kept else 0.0) + 1:
            kept.append(end)
    kept = kept or [float(ends[-1])]
    kept[-1] = max(kept[-1], float(ends[-1]))
    return radius, np.searchsorted(kept, radius), len(kept)


def _ring_sums(blocks: _Blocks, ring: NDArray[np.intp], rings: int) -> tuple[Floats, Floats, Floats]:
    """Net counts, variance and exposure of the rings."""
    good = blocks.good & (ring < rings)
    net, variance, exposure = (np.bincount(ring[good], each[good], rings).astype(float)
                               for each in (blocks.net, blocks.variance, blocks.exposure))
    return net, variance, exposure


def _background(blocks: _Blocks, shape: Ellipse, level: float) -> tuple[float, float, bool]:
    """The brightness beyond the signal, the radius where the signal stops, and whether it does not."""
    radius, ring, rings = _rings(blocks, shape)
    net, variance, exposure = _ring_sums(blocks, ring, rings)
    # Rings of masked pixels say nothing: the next ones are their neighbours.
    seen = np.flatnonzero(exposure > 0)
    brightness = net[seen] / exposure[seen]
    error = np.sqrt(np.maximum(variance[seen], 1)) / exposure[seen]
    outer = np.cumsum(exposure[::-1])[::-1] / exposure.sum()
    last = int(np.flatnonzero(outer >= _LEAST_OUTSIDE)[-1])  # the background begins no farther out
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
    inside = radius[(ring < stop) & blocks.good]
    return level, max(float(inside.max(initial=1.0)), 1.0), not found


def _moments(blocks: _Blocks, shape: Ellipse, level: float, extent: float) -> Ellipse:
    """The ellipse of the moments of the net brightness within an aperture, gaps filled with the mean of their ring."""
    _, ring, rings = _rings(blocks, shape)
    net, _, exposure = _ring_sums(blocks, ring, rings)
    seen = np.flatnonzero(exposure > 0)
    of_ring = np.interp(np.arange(rings), seen, net[seen] / exposure[seen])  # a masked core is as bright as around it
    brightness = np.where(blocks.good, blocks.net / np.where(blocks.good, blocks.exposure, 1),
                          of_ring[np.minimum(ring, rings - 1)]) - level
    limited = _scaled(shape, min(shape.a, extent))
    inside = limited.radius(blocks.x, blocks.y) <= limited.a
    flux = brightness[inside]
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
    # Steps of half the way: an aperture that is far off does not jump beyond the one that stays.
    return Ellipse(cx, cy, math.sqrt(a * shape.a), math.sqrt(a * shape.a) * math.sqrt(minor / major), angle)


def _scaled(shape: Ellipse, a: float) -> Ellipse:
    return Ellipse(shape.x, shape.y, a, a * shape.b / shape.a, shape.angle_deg)


def _to_pixels(shape: Ellipse, size: int) -> Ellipse:
    return Ellipse((shape.x + 0.5) * size - 0.5, (shape.y + 0.5) * size - 0.5, shape.a * size, shape.b * size,
                   shape.angle_deg)


def _curve(blocks: _Blocks, shape: Ellipse, level: float) -> GrowthCurve:
    radius, ring, rings = _rings(blocks, shape)
    net, variance, exposure = _ring_sums(blocks, ring, rings)
    ends = np.array([radius[(ring <= k) & blocks.good].max(initial=0.0) for k in range(rings)])
    clean = net - level * exposure
    some = exposure > 0
    brightness = np.divide(clean, exposure, out=np.full(rings, np.nan), where=some)
    error = np.divide(np.sqrt(np.maximum(variance, 1)), exposure, out=np.full(rings, np.nan), where=some)
    return GrowthCurve(ends * blocks.size, np.cumsum(clean), np.sqrt(np.cumsum(variance)), brightness, error, level)


def _largest_sum(weights: Floats, at: tuple[int, int] | None) -> tuple[int, int, int, int] | None:
    """The box (x0, x1, y0, y1; ends excluded) with the largest sum, of those that hold the block ``at`` (x, y)."""
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
