"""Join maxima of correlations across scales to sources, and measure each source in its cell."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s, Floats

from ._annuli import Flags
from ._field import AtScale, Field
from ._grids import strips

# The scale at which a Gaussian source of sigma 1 is most significant.
_BEST_SCALE = 1.5
# Scales below this many sigmas of the PSF detect only parts of a point source.
_LEAST_SCALE = 0.5
# Maxima nearer than this many sigmas of the PSF cannot be two resolved point sources.
_CLOSEST = 2.0
# A maximum next to a stronger one is a source of its own if the correlation between them dips by this many sigmas.
_DIP = 3.0
_BESIDE = 6.0  # scales
# The radius of a cell in scales.
_CELL_REACH = 3.0
# The least sigma of a source in pixels: that of an evenly filled pixel.
_LEAST_SIGMA = 12**-0.5
# The least sigma of a source in sigmas of the PSF: few counts can scatter less than the PSF.
_LEAST_OF_PSF = 0.7


@dataclass
class Candidate:
    """Maxima of the correlation that belong to one source."""

    x: float
    y: float
    """Array coordinates of the first maximum, or of the one that joined several sources."""
    strengths: dict[int, float] = field(default_factory=dict)
    """The correlation over its threshold, by the number of the scale."""
    places: dict[int, tuple[int, int]] = field(default_factory=dict)
    """The maximum (y, x) on the grid of the scale."""
    maxima: int = 0

    def take(self, place: Floats, others: "Sequence[Candidate]") -> None:
        """Add the maxima of other sources, and move to a new position."""
        self.x, self.y = place.tolist()
        for other in others:
            self.maxima += other.maxima
            for number, strength in other.strengths.items():
                if strength > self.strengths.get(number, 0):
                    self.strengths[number], self.places[number] = strength, other.places[number]

    def add(self, number: int, place: tuple[int, int], strength: float) -> None:
        """Add a maximum of a scale."""
        self.maxima += 1
        if strength > self.strengths.get(number, 0):
            self.strengths[number], self.places[number] = strength, place


@dataclass(frozen=True)
class Source:
    """A source as measured in its cell; lengths are in pixels of the image."""

    x: float
    y: float
    x_err: float
    y_err: float
    pixels: int
    net: float
    net_err: float
    background: float
    background_err: float
    exposure: float
    """Mean exposure of the cell over the largest in the image."""
    sigmas: tuple[float, float]
    angle_deg: float
    psf_sigma: float
    maxima: int
    scale: float

    @property
    def significance(self) -> float:
        """Net counts over the Gehrels (1986) error of the cell's background, 1 + sqrt(B + 3/4), as in wavdetect."""
        return self.net / float(1 + np.sqrt(0.75 + self.background))


def maxima_of(found: AtScale) -> list[tuple[int, int, float]]:
    """Return the significant local maxima (y, x, strength) of a scale, strongest first."""
    reach = max(1, round(found.scale / 2**found.level / 2))
    correlation, (ny, nx) = found.correlation, found.correlation.shape
    y, x = np.nonzero(found.significant)
    strengths = found.strengths
    # Compare with near pixels first: few pixels remain for the other comparisons.
    around = range(-reach, reach + 1)
    for dy, dx in sorted(product(around, around), key=lambda at: at[0] ** 2 + at[1] ** 2):
        others = correlation[np.clip(y + dy, 0, ny - 1), np.clip(x + dx, 0, nx - 1)]
        peaks = correlation[y, x] >= others
        y, x, strengths = y[peaks], x[peaks], strengths[peaks]
    order = np.lexsort((x, y, -strengths))
    return [(int(y[i]), int(x[i]), float(strengths[i])) for i in order]


def join(grid: Field, found: Sequence[AtScale], cleaned: Sequence[NDArray[np.uint8]], psf_sigma: Float32s | None,
         probability: float) -> list[Candidate]:
    """Join the maxima of all scales, starting from the smallest scale, to sources.

    A maximum belongs to the nearest source of a smaller scale within its scale or within the resolution of the PSF, or
    to a stronger source of its scale if the dip between both may be noise. Other maxima are new sources if they are
    significant without the pixels of sources of smaller scales. Without a PSF, several sources within a scale become
    one if the maximum at that scale is stronger than all of them.

    ``cleaned`` holds, for each scale, the pixels that were excluded from the background before it, as packed bits.
    """
    sources: list[Candidate] = []
    places = np.empty((0, 2))
    for number, at in enumerate(found):
        smaller = len(sources)
        alone = _without(np.unpackbits(cleaned[number], count=grid.counts.size).reshape(grid.counts.shape), places)
        for y, x, strength in maxima_of(at):
            here = np.array([_finest(x, at.level), _finest(y, at.level)])
            sigma = 0.0 if psf_sigma is None else _value(psf_sigma, here)
            if at.scale < _LEAST_SCALE * sigma:
                continue
            distance = np.hypot(*(places - here).T)
            parts = np.flatnonzero(distance[:smaller] <= at.scale).tolist() if psf_sigma is None else []
            if len(parts) > 1 and strength > max(max(sources[i].strengths.values()) for i in parts):
                sources[parts[0]].take(here, [sources[i] for i in parts[1:]])
                sources[parts[0]].add(number, (y, x), strength)
                places[parts[0]] = here
                places = np.delete(places, parts[1:], axis=0)
                sources = [source for i, source in enumerate(sources) if i not in parts[1:]]
                smaller -= len(parts) - 1
                continue
            owner = None
            for i in np.argsort(distance, kind="stable").tolist():
                if distance[i] > max(_BESIDE * at.scale, _CLOSEST * sigma):
                    break
                if (distance[i] <= _CLOSEST * sigma or (i < smaller and distance[i] <= at.scale)
                        or (number in sources[i].places and _are_one(grid, at, sources[i].places[number], (y, x)))):
                    owner = i
                    break
            if owner is not None:
                sources[owner].add(number, (y, x), strength)
            elif not smaller or grid.is_significant(at, y, x, alone, probability):
                sources.append(Candidate(float(here[0]), float(here[1])))
                sources[-1].add(number, (y, x), strength)
                places = np.vstack([places, here])
    return sources


def _without(cleaned: NDArray[np.uint8], places: Floats) -> Flags:
    """Return all pixels except those that were cleaned around sources."""
    from scipy.ndimage import label

    if not len(places):
        return np.ones(cleaned.shape, bool)
    labels, number = label(cleaned)
    x, y = np.rint(places).astype(int).T
    left = np.ones(number + 1, bool)
    left[labels[y, x]] = False
    left[0] = True
    without: Flags = left[labels]
    return without


def _are_one(grid: Field, at: AtScale, first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Return whether the dip between two maxima of a scale, the second being lower, may be noise."""
    steps = int(np.ceil(2 * np.hypot(first[0] - second[0], first[1] - second[1]))) + 1
    y, x = (np.rint(np.linspace(a, b, steps)).astype(int) for a, b in zip(first, second, strict=True))
    between = at.correlation[y, x]
    lowest = int(np.argmin(between))
    dip = float(at.correlation[second] - between[lowest])
    noise = grid.variance(at, *second) + grid.variance(at, int(y[lowest]), int(x[lowest]))
    return bool(dip < _DIP * noise**0.5)


def measure(grid: Field, found: Sequence[AtScale], candidates: Sequence[Candidate], psf_sigma: Float32s | None,
            unwanted: Flags) -> tuple[list[Source], NDArray[np.int32], int]:
    """Return sources in the order of x, y, their cells (0 outside, numbers from 1), and the number of dropped sources.

    Sources at ``unwanted`` positions are dropped. The cell of a source consists of the pixels around its maximum with a
    positive correlation at its own scale that are nearer to it than to other sources of similar scale. Sources of small
    scales get their cells first.
    """
    own = [_own_scale(found, source, psf_sigma) for source in candidates]
    order = sorted(range(len(candidates)), key=lambda i: (own[i], -candidates[i].strengths[own[i]]))
    cells = np.zeros(grid.counts.shape, np.int32)
    peaks = np.array([[source.x, source.y] for source in candidates]).reshape(-1, 2)
    scales = np.array([found[number].scale for number in own])
    measured: list[tuple[Source, int]] = []
    for i in order:
        at = found[own[i]]
        box, inside = _cell(grid, at, candidates[i], own[i])
        rivals = (scales <= 2 * scales[i]) & (np.hypot(*(peaks - peaks[i]).T) < 2 * _CELL_REACH * scales[i])
        inside &= cells[box] == 0
        inside &= _nearest(box, inside.shape, peaks[i], peaks[rivals])
        if not inside.any():
            continue
        sigma = 0.0 if psf_sigma is None else _value(psf_sigma, peaks[i])
        source = _measured(grid, at, box, inside, candidates[i], sigma)
        if source is not None:
            cells[box][inside] = len(measured) + 1
            measured.append((source, len(measured) + 1))
    wanted = [entry for entry in measured if not _value(unwanted, np.array([entry[0].x, entry[0].y]))]
    dropped = len(measured) - len(wanted)
    wanted.sort(key=lambda entry: (entry[0].x, entry[0].y))
    numbers = np.zeros(len(measured) + 1, np.int32)
    for number, (_, made) in enumerate(wanted, start=1):
        numbers[made] = number
    ny, nx = grid.inside
    for rows in strips(cells.shape):
        cells[rows] = numbers[cells[rows]]
    return [source for source, _ in wanted], cells[:ny, :nx], dropped


def _own_scale(found: Sequence[AtScale], source: Candidate, psf_sigma: Float32s | None) -> int:
    """Return the number of the scale that suits the PSF best among those of the source; without a PSF the strongest."""
    sigma = 0.0 if psf_sigma is None else _value(psf_sigma, np.array([source.x, source.y]))
    if sigma > 0:
        return min(source.strengths, key=lambda number: abs(np.log(found[number].scale / (_BEST_SCALE * sigma))))
    return max(source.strengths, key=lambda number: source.strengths[number])


def _cell(grid: Field, at: AtScale, source: Candidate, number: int) -> tuple[tuple[slice, slice], Flags]:
    """Return the box around a source, and the pixels of positive correlation that are connected to its maximum."""
    from scipy.ndimage import label

    y, x = source.places[number]
    pixel = 1 << at.level
    reach = int(np.ceil(_CELL_REACH * at.scale / pixel))
    ny, nx = at.correlation.shape
    y0, y1, x0, x1 = max(y - reach, 0), min(y + reach + 1, ny), max(x - reach, 0), min(x + reach + 1, nx)
    part = at.correlation[y0:y1, x0:x1] > 0
    rows, columns = np.ogrid[y0:y1, x0:x1]
    part &= (rows - y) ** 2 + (columns - x) ** 2 <= (_CELL_REACH * at.scale / pixel) ** 2
    labels, _ = label(part)
    inside = (labels == labels[y - y0, x - x0]).repeat(pixel, 0).repeat(pixel, 1)
    box = (slice(y0 * pixel, y1 * pixel), slice(x0 * pixel, x1 * pixel))
    return box, inside & (grid.exposure[box] > 0)


def _nearest(box: tuple[slice, slice], shape: tuple[int, int], own: Floats, others: Floats) -> Flags:
    """Return the pixels of a box that are at least as near to the own position as to all others."""
    y, x = np.indices(shape, dtype=np.float64)
    y, x = y + box[0].start, x + box[1].start
    mine = (x - own[0]) ** 2 + (y - own[1]) ** 2
    nearest = np.ones(shape, bool)
    for other in others:
        nearest &= mine <= (x - other[0]) ** 2 + (y - other[1]) ** 2
    return nearest


def _measured(grid: Field, at: AtScale, box: tuple[slice, slice], inside: Flags, source: Candidate,
              psf_sigma: float) -> Source | None:
    """Return the source as measured in its cell; None without net counts."""
    rows, columns = np.nonzero(inside)
    y, x = rows + box[0].start, columns + box[1].start
    counts = grid.counts[y, x].astype(np.float64)
    exposure = grid.exposure[y, x].astype(np.float64)
    expected = at.background[y >> at.level, x >> at.level] * exposure
    total, background = counts.sum(), expected.sum()
    net = total - background
    if net <= 0:
        return None
    weights = (counts - expected) / net
    centre = np.array([(weights * x).sum(), (weights * y).sum()])
    if np.hypot(*(centre - [source.x, source.y])) > at.scale + 1:
        centre = np.array([source.x, source.y])  # the centroid of few counts on a high background is not reliable
    dx, dy = x - centre[0], y - centre[1]
    moments = np.array([[(weights * dx * dx).sum(), (weights * dx * dy).sum()],
                        [(weights * dx * dy).sum(), (weights * dy * dy).sum()]])
    squares, axes = np.linalg.eigh(moments)
    sigmas = np.sqrt(np.maximum(squares, max(_LEAST_SIGMA, _LEAST_OF_PSF * psf_sigma) ** 2))
    x_err, y_err = (np.sqrt(max((counts * d**2).sum(), total * _LEAST_SIGMA**2)) / net for d in (dx, dy))
    # The background was estimated in an annulus of 25 s² effective pixels.
    background_err = background / np.sqrt(max(25 * at.scale**2 * background / len(x), 1))
    return Source(
        x=float(centre[0]), y=float(centre[1]), x_err=float(x_err), y_err=float(y_err), pixels=len(x), net=float(net),
        net_err=float(np.hypot(np.sqrt(total), background_err)), background=float(background),
        background_err=float(background_err), exposure=float(exposure.mean()),
        sigmas=(float(sigmas[1]), float(sigmas[0])),
        angle_deg=float(np.degrees(np.arctan2(axes[1, 1], axes[0, 1])) % 180), psf_sigma=psf_sigma,
        maxima=source.maxima, scale=at.scale)


def reconstructed(shape: tuple[int, int], sources: Sequence[Source]) -> Float32s:
    """Return an image of the net counts of all sources, each an elliptical Gaussian within five sigmas."""
    image = np.zeros(shape, np.float32)
    for source in sources:
        reach = 5 * source.sigmas[0] + 1
        (y0, y1), (x0, x1) = ((max(int(at - reach), 0), min(int(at + reach) + 2, side))
                              for at, side in zip((source.y, source.x), shape, strict=True))
        rows, columns = np.ogrid[y0:y1, x0:x1]
        angle = np.radians(source.angle_deg)
        along = (columns - source.x) * np.cos(angle) + (rows - source.y) * np.sin(angle)
        across = (rows - source.y) * np.cos(angle) - (columns - source.x) * np.sin(angle)
        shape_of = np.exp(-((along / source.sigmas[0]) ** 2 + (across / source.sigmas[1]) ** 2) / 2)
        image[y0:y1, x0:x1] += source.net / (2 * np.pi * source.sigmas[0] * source.sigmas[1]) * shape_of
    return image


def _finest(at: float, level: int) -> float:
    """Return the array coordinate, on the finest grid, of the centre of a pixel of a coarser grid."""
    pixel = 1 << level
    return at * pixel + (pixel - 1) / 2


def _value(image: NDArray[Any], place: Floats) -> float:
    """Return the value at array coordinates x, y; 0 unless it is finite and positive."""
    y, x = (min(max(round(float(at)), 0), side - 1) for at, side in zip(place[::-1], image.shape, strict=True))
    value = float(image[y, x])
    return value if np.isfinite(value) and value > 0 else 0.0
