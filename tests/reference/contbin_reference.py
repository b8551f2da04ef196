"""Slow, obvious reference for everything in the specification of 'identical to contbin' (SPEC below).

Pure Python and numpy, written from that specification alone, to be read beside it line by line: the numbers
in brackets are its sections. Where the specification is silent, the golden cases decide; such places say
"golden:". Nothing here is fast, and the package imports nothing of it: tests compare the kernels with it.

Images are arrays (ny, nx); a pixel is a pair (x, y) as in SPEC, or its index y * nx + x. ``use`` is the mask
of SPEC 2 as an int image: 0 excluded, 1 usable, >= 2 may seed a bin but is never annexed.
"""

import bisect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

T = TypeVar("T")
Image = NDArray[np.float32]
Offset = tuple[int, int]
NEIGHBOURS: tuple[Offset, ...] = ((0, -1), (-1, 0), (1, 0), (0, 1))  # (dx, dy), the order of SPEC's head


# ------------------------------------------------------------ [1], [2] inputs


def _image(values: ArrayLike) -> Image:
    """[1] Images are read to float32."""
    return np.array(values, dtype=np.float32)


def _use(use: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.int64]:
    return np.ones(shape, dtype=np.int64) if use is None else np.array(use, dtype=np.int64)


def exposure_ratio(exposure: ArrayLike, background_exposure: ArrayLike, shape: tuple[int, int]) -> Image:
    """[1], [2] e = float32(expmap / bgexpmap), both clipped from below at 1e-7, divided in float32."""
    floor = np.float32(1e-7)
    upper = np.maximum(np.broadcast_to(np.asarray(exposure, dtype=np.float32), shape), floor)
    lower = np.maximum(np.broadcast_to(np.asarray(background_exposure, dtype=np.float32), shape), floor)
    return np.asarray(upper / lower, dtype=np.float32)


def automask(counts: ArrayLike) -> NDArray[np.bool_]:
    """[2] True (excluded) where the 8x8 block, aligned to pixel (0, 0), has an absolute sum below 1e-5."""
    image = _image(counts).astype(float)
    excluded = np.zeros(image.shape, dtype=bool)
    for y in range(0, image.shape[0], 8):
        for x in range(0, image.shape[1], 8):
            block = slice(y, y + 8), slice(x, x + 8)
            excluded[block] = abs(image[block].sum()) < 1e-5
    return excluded


def gehrels(counts: float) -> float:
    """[2] Noise squared of ``counts`` (Gehrels 1986, eq. 7); NaN where the root is not real."""
    if not counts + 0.75 >= 0:
        return math.nan
    return (1.0 + math.sqrt(counts + 0.75)) ** 2


def _gehrels(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        root = 1.0 + np.sqrt(counts + 0.75)
    return root * root


# ------------------------------------------------------------ [3] smoothing


def ring_offsets(radius: int, reach_x: int, reach_y: int) -> list[Offset]:
    """[3] Offsets (dx, dy) with floor(sqrt(dx² + dy²)) == radius; y is the slow index, both ascend."""
    return [
        (dx, dy)
        for dy in range(-min(radius, reach_y), min(radius, reach_y) + 1)
        for dx in range(-min(radius, reach_x), min(radius, reach_x) + 1)
        if math.isqrt(dx * dx + dy * dy) == radius
    ]


def _rings(shape: tuple[int, int]) -> Iterator[tuple[int, list[Offset]]]:
    """[3] Rings of radius 0, 1, 2, ... as long as r does not pass floor(sqrt(W² + H²))."""
    height, width = shape
    for radius in range(math.isqrt(width * width + height * height) + 1):
        yield radius, ring_offsets(radius, width - 1, height - 1)


def _add_shifted(total: NDArray[np.float64], image: NDArray[np.float64], dx: int, dy: int) -> None:
    """total(x, y) += image(x + dx, y + dy) for every pixel at once, clipped to the image.

    Called offset by offset in the order of [3], it adds up every pixel's disc in the original's order.
    """
    height, width = image.shape
    to_y, to_x = slice(max(0, -dy), height - max(0, dy)), slice(max(0, -dx), width - max(0, dx))
    from_y, from_x = slice(max(0, dy), height + min(0, dy)), slice(max(0, dx), width + min(0, dx))
    total[to_y, to_x] += image[from_y, from_x]


def _top_hat(
    terms: dict[str, NDArray[np.float64]],
    usable: NDArray[np.bool_],
    *,
    reached: Callable[[dict[str, NDArray[np.float64]]], NDArray[np.bool_]],
    value: Callable[[dict[str, NDArray[np.float64]]], NDArray[np.float64]],
    masked: float = 0.0,
    max_radius: int | None = None,
) -> Image:
    """[3] Sums of all ``terms`` (and ``n``) over growing discs; ``value`` at the first radius ``reached``.

    Where no radius reaches it, the value of the last disc.
    """
    terms = {name: np.where(usable, term, 0.0) for name, term in terms.items()}
    terms["n"] = usable.astype(float)
    sums = {name: np.zeros(usable.shape) for name in terms}
    result = np.full(usable.shape, masked, dtype=np.float32)
    waiting = usable.copy()
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for radius, ring in _rings(usable.shape):
            if max_radius is not None and radius > max_radius:
                break
            for dx, dy in ring:
                for name, term in terms.items():
                    _add_shifted(sums[name], term, dx, dy)
            now = waiting & reached(sums)
            result[now] = value(sums).astype(np.float32)[now]
            waiting &= ~now
            if not waiting.any():
                break
        result[waiting] = value(sums).astype(np.float32)[waiting]
    return result


def smooth(
    counts: ArrayLike,
    sn: float = 15,
    *,
    background: ArrayLike | None = None,
    exposure_ratio: ArrayLike | None = None,
    noise: ArrayLike | None = None,
    use: ArrayLike | None = None,
) -> Image:
    """[3] Accumulative smoothing; ``exposure_ratio`` is the float32 image e of [1] (default 1)."""
    image = _image(counts)
    usable = _use(use, image.shape) >= 1
    terms = {"F": image.astype(float)}
    if background is not None:
        ratio = np.ones_like(image) if exposure_ratio is None else _image(exposure_ratio)
        terms["B"] = _image(background).astype(float)
        terms["Bw"] = terms["B"] * ratio.astype(float)
        terms["E2"] = ratio.astype(float) * ratio.astype(float)
    if noise is not None:
        squares = _image(noise) * _image(noise)  # [1] a float32 product ...
        terms["N2"] = squares.astype(float)  # ... then widened

    def signal(s: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        return s["F"] - s["Bw"] if background is not None else s["F"]

    def noise2(s: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        if noise is not None:
            return s["N2"]
        if background is not None:
            return _gehrels(s["F"]) + (s["E2"] / s["n"]) * _gehrels(s["B"])
        return _gehrels(s["F"])

    return _top_hat(
        terms,
        usable,
        reached=lambda s: signal(s) * signal(s) / noise2(s) >= sn * sn,
        value=lambda s: signal(s) / s["n"],
    )


# ------------------------------------------------------------ [4.1] the order std::sort leaves ties in


def introsort(items: list[T], less: Callable[[T, T], bool]) -> None:
    """[4.1] Sort in place, ties ordered as by std::sort of libstdc++ (introsort, see `_introsort_loop`)."""
    if items:
        _introsort_loop(items, 0, len(items), 2 * (len(items).bit_length() - 1), less)
        _insertion_sort(items, 0, min(16, len(items)), less)
        for i in range(16, len(items)):  # the rest unguarded: the least item is among the first 16
            _insert_unguarded(items, i, less)


def _introsort_loop(a: list[T], first: int, last: int, depth: int, less: Callable[[T, T], bool]) -> None:
    """Quicksort down to runs of 16; heapsort for what is left when ``depth`` partitions were not enough."""
    while last - first > 16:
        if depth == 0:
            _heapsort(a, first, last, less)
            return
        depth -= 1
        _median_to_first(a, first, (first + 1, first + (last - first) // 2, last - 1), less)
        cut = _partition_unguarded(a, first + 1, last, a[first], less)
        _introsort_loop(a, cut, last, depth, less)
        last = cut


def _median_to_first(a: list[T], to: int, three: tuple[int, int, int], less: Callable[[T, T], bool]) -> None:
    """Swap the median of the ``three`` items to ``to``; which of equal ones is taken matters."""
    i, j, k = three
    if less(a[i], a[j]):
        median = j if less(a[j], a[k]) else (k if less(a[i], a[k]) else i)
    else:
        median = i if less(a[i], a[k]) else (k if less(a[j], a[k]) else j)
    a[to], a[median] = a[median], a[to]


def _partition_unguarded(a: list[T], first: int, last: int, pivot: T, less: Callable[[T, T], bool]) -> int:
    """Hoare's partition; items equal to the pivot stop both walks."""
    while True:
        while less(a[first], pivot):
            first += 1
        last -= 1
        while less(pivot, a[last]):
            last -= 1
        if first >= last:
            return first
        a[first], a[last] = a[last], a[first]
        first += 1


def _insertion_sort(a: list[T], first: int, last: int, less: Callable[[T, T], bool]) -> None:
    for i in range(first + 1, last):
        if less(a[i], a[first]):
            a.insert(first, a.pop(i))
        else:
            _insert_unguarded(a, i, less)


def _insert_unguarded(a: list[T], i: int, less: Callable[[T, T], bool]) -> None:
    item = a[i]
    while less(item, a[i - 1]):
        a[i] = a[i - 1]
        i -= 1
    a[i] = item


def _heapsort(a: list[T], first: int, last: int, less: Callable[[T, T], bool]) -> None:
    heap = a[first:last]
    for parent in range(len(heap) // 2 - 1, -1, -1):
        _sift(heap, parent, len(heap), heap[parent], less)
    for end in range(len(heap) - 1, 0, -1):
        item, heap[end] = heap[end], heap[0]
        _sift(heap, 0, end, item, less)
    a[first:last] = heap


def _sift(heap: list[T], top: int, size: int, item: T, less: Callable[[T, T], bool]) -> None:
    """Let the hole at ``top`` sink to a leaf along the larger children, then let ``item`` rise from there."""
    hole = top
    while 2 * hole + 1 < size:
        child = 2 * hole + 2
        if child == size or less(heap[child], heap[child - 1]):
            child -= 1
        heap[hole] = heap[child]
        hole = child
    while hole > top and less(heap[(hole - 1) // 2], item):
        heap[hole] = heap[(hole - 1) // 2]
        hole = (hole - 1) // 2
    heap[hole] = item


# ------------------------------------------------------------ [4], [5] contour binning


@dataclass
class Bin:
    """A bin and its running sums; ``pixels`` are in the order they were added."""

    number: int
    aim: float
    pixels: list[int] = field(default_factory=list)
    F: float = 0.0
    B: float = 0.0
    Bw: float = 0.0
    E2: float = 0.0
    N2: float = 0.0
    sum_w: float = 0.0
    sum_wx: float = 0.0
    sum_wy: float = 0.0

    @property
    def signal(self) -> float:
        return self.F - self.Bw


@dataclass
class Result:
    """What `contour_bin` returns; ``bins`` are numbered as in ``binmap`` (an emptied one has no pixels)."""

    binmap: NDArray[np.int32]
    out: Image
    sn: Image
    smoothed: Image
    bins: list[Bin]
    sn2: list[float]
    signal: list[float]
    stuck: list[int]  # pixels of bins that could not be dissolved


class _Binner:
    def __init__(
        self,
        *,
        counts: Image,
        background: Image | None,
        ratio: Image,
        noise: Image | None,
        smoothed: Image,
        use: NDArray[np.int64],
        threshold: float,
        constrain: float | None,
        target: str,
        bin_up: bool,
    ) -> None:
        self.height, self.width = counts.shape
        # Flat lists of Python floats: float32 pixels, widened.
        self.counts: list[float] = counts.ravel().tolist()
        self.has_background = background is not None
        empty = np.zeros_like(counts)
        self.background: list[float] = (empty if background is None else background).ravel().tolist()
        self.e: list[float] = ratio.ravel().tolist()
        self.has_noise = noise is not None
        squares = empty if noise is None else noise * noise  # [1] a float32 product, then widened
        self.noise2: list[float] = squares.ravel().tolist()
        self.smoothed: list[float] = smoothed.ravel().tolist()
        self.use: list[int] = use.ravel().tolist()
        self.threshold, self.constrain, self.target, self.bin_up = threshold, constrain, target, bin_up
        self.owner = [-1] * len(self.counts)
        self.bins: list[Bin] = []
        self.stuck: list[int] = []
        # [4.4] A(r), as far as it can ever be asked for.
        self.disc_areas: list[int] = []
        area = 0
        for _, ring in _rings(counts.shape):
            area += len(ring)
            self.disc_areas.append(area)

    def neighbours(self, pixel: int) -> Iterator[int]:
        y, x = divmod(pixel, self.width)
        for dx, dy in NEIGHBOURS:
            if 0 <= x + dx < self.width and 0 <= y + dy < self.height:
                yield (y + dy) * self.width + x + dx

    # -- sums [2]

    def sn2(self, b: Bin) -> float:
        if self.has_noise:
            noise2 = b.N2
        elif self.has_background:
            noise2 = gehrels(b.F) + (b.E2 / len(b.pixels)) * gehrels(b.B)
        else:
            noise2 = gehrels(b.F)
        if noise2 < 1e-7:
            return 1e-7
        return b.signal * b.signal / noise2

    def merit(self, b: Bin) -> float:
        """What has to reach the threshold: (S/N)², or the net counts with target="counts"."""
        return b.signal if self.target == "counts" else self.sn2(b)

    def add(self, b: Bin, p: int) -> None:
        y, x = divmod(p, self.width)
        b.pixels.append(p)
        self.owner[p] = b.number
        b.F += self.counts[p]
        b.B += self.background[p]
        b.Bw += self.background[p] * self.e[p]
        b.E2 += self.e[p] * self.e[p]
        b.N2 += self.noise2[p]
        weight = max(self.counts[p] - self.background[p] * self.e[p], 1e-7)  # [4.4]
        b.sum_w += weight
        b.sum_wx += x * weight
        b.sum_wy += y * weight

    def remove(self, b: Bin, p: int) -> None:
        """[5] The sums lose the pixel, the centroid does not."""
        b.pixels.remove(p)
        self.owner[p] = -1
        b.F -= self.counts[p]
        b.B -= self.background[p]
        b.Bw -= self.background[p] * self.e[p]
        b.E2 -= self.e[p] * self.e[p]
        b.N2 -= self.noise2[p]

    def passes(self, b: Bin, p: int) -> bool:
        """[4.4] Does pixel p pass the constraint of bin b as it is now?"""
        if self.constrain is None:
            return True
        y, x = divmod(p, self.width)
        dx, dy = x - b.sum_wx / b.sum_w, y - b.sum_wy / b.sum_w
        radius = bisect.bisect_right(self.disc_areas, len(b.pixels)) + 1  # number of A(r) <= n, plus 1
        return (dx * dx + dy * dy) / (radius * radius) < self.constrain * self.constrain

    # -- growing [4]

    def grow_all(self) -> None:
        order = [p for p in range(len(self.use)) if self.use[p] >= 1]
        s = self.smoothed
        introsort(order, (lambda a, b: s[a] < s[b]) if self.bin_up else (lambda a, b: s[a] > s[b]))
        for seed in order:
            if self.owner[seed] == -1:
                self.grow(seed)

    def grow(self, seed: int) -> None:
        b = Bin(len(self.bins), aim=self.smoothed[seed])
        self.bins.append(b)
        self.add(b, seed)
        candidates: dict[int, None] = {}  # in order of discovery, which is the rank of ties [4.3]
        newest = seed
        while self.merit(b) < self.threshold:
            for q in self.neighbours(newest):
                if self.owner[q] == -1 and self.use[q] == 1:
                    candidates.setdefault(q)
            allowed = [p for p in candidates if self.passes(b, p)]
            if not allowed:
                return
            newest = min(allowed, key=lambda p: abs(self.smoothed[p] - b.aim))  # the first of equals
            del candidates[newest]
            self.add(b, newest)

    # -- scrubbing [5]

    def scrub_all(self) -> None:
        below = [b for b in self.bins if self.merit(b) < self.threshold]
        while True:
            below = [b for b in below if self.merit(b) < self.threshold]
            if not below:
                return
            worst = min(below, key=self.merit)  # the first of equals
            self.dissolve(worst)
            below.remove(worst)

    def foreign(self, b: Bin, p: int) -> list[int]:
        """Neighbours of p in another real bin."""
        return [q for q in self.neighbours(p) if self.owner[q] not in (-1, b.number)]

    def dissolve(self, b: Bin) -> None:
        edge = [p for p in b.pixels if self.foreign(b, p)]
        while b.pixels:
            pairs = [(p, q) for p in edge for q in self.foreign(b, p)]
            if not pairs:
                self.stuck += b.pixels
                return
            pairs.sort(
                key=lambda pair: abs(self.smoothed[pair[0]] - self.smoothed[pair[1]])
            )  # keeps ties in order
            allowed = (pair for pair in pairs if self.passes(self.bins[self.owner[pair[1]]], pair[1]))
            p, q = next(allowed, pairs[0])
            edge.remove(p)
            self.remove(b, p)
            self.add(self.bins[self.owner[q]], p)
            edge += [d for d in self.neighbours(p) if self.owner[d] == b.number and d not in edge]

    def empty_large(self, fraction: float) -> None:
        total = sum(len(b.pixels) for b in self.bins)
        for b in self.bins:
            if b.pixels and len(b.pixels) / total >= fraction:
                for p in b.pixels:
                    self.owner[p] = -1
                b.pixels = []

    def renumber(self) -> None:
        """[5] Two pointers: swap the first empty bin with the last that is not, until they meet."""
        bins = self.bins
        front, back = 0, len(bins)
        while True:
            while front < back and bins[front].pixels:
                front += 1
            while front < back and not bins[back - 1].pixels:
                back -= 1
            if front >= back:
                break
            bins[front], bins[back - 1] = bins[back - 1], bins[front]
        del bins[front:]
        for number, b in enumerate(bins):
            b.number = number
            for p in b.pixels:
                self.owner[p] = number


def contour_bin(
    counts: ArrayLike,
    *,
    sn: float = 15,
    smooth_sn: float = 15,
    constrain: float | None = None,
    background: ArrayLike | None = None,
    exposure_ratio: ArrayLike | None = None,
    noise: ArrayLike | None = None,
    smoothed: ArrayLike | None = None,
    use: ArrayLike | None = None,
    target: str = "sn",
    bin_up: bool = False,
    scrub: bool = True,
    scrub_large: float | None = None,
) -> Result:
    """[2]-[6] The whole of contbin. ``constrain`` None: no constraint; ``scrub`` False: --noscrub.

    ``target`` "counts" is ours, not contbin's: ``sn`` is then the net counts F - Bw that a bin shall reach.
    """
    image = _image(counts)
    mask = _use(use, image.shape)
    if smoothed is None:
        smoothed = smooth(
            image, smooth_sn, background=background, exposure_ratio=exposure_ratio, noise=noise, use=mask
        )
    binner = _Binner(
        counts=image,
        background=None if background is None else _image(background),
        ratio=np.ones_like(image) if exposure_ratio is None else _image(exposure_ratio),
        noise=None if noise is None else _image(noise),
        smoothed=_image(smoothed),
        use=mask,
        threshold=sn if target == "counts" else sn * sn,
        constrain=constrain,
        target=target,
        bin_up=bin_up,
    )
    binner.grow_all()
    if scrub:
        binner.scrub_all()
        if scrub_large is not None:
            binner.empty_large(scrub_large)
        binner.renumber()

    sn2 = [binner.sn2(b) for b in binner.bins]
    signal = [b.signal for b in binner.bins]
    out = np.full(image.shape, -1, dtype=np.float32)
    sn_image = np.full(image.shape, -1, dtype=np.float32)
    for number, b in enumerate(binner.bins):
        out.flat[b.pixels] = signal[number] / len(b.pixels)
        sn_image.flat[b.pixels] = math.sqrt(sn2[number]) if sn2[number] >= 0 else math.nan
    binmap = np.array(binner.owner, dtype=np.int32).reshape(image.shape)
    return Result(binmap, out, sn_image, _image(smoothed), binner.bins, sn2, signal, binner.stuck)


def qdp_histogram(values: list[float], label: str) -> str:
    """[6] The text of bin_sn_stats.qdp (``label`` Signal:Noise) and bin_signal_stats.qdp (Counts)."""
    low, high = min(values), max(values)
    width = (high - low + 0.0001) / 30
    numbers = [0] * 30
    for value in values:
        numbers[int((value - low) / width)] += 1
    lines = [f"label x {label}", "label y Number", "line step"]
    lines += [f"{low + (i + 0.5) * width:.6g}\t{number}" for i, number in enumerate(numbers)]
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------ [7] make_region_files


def region_boxes(binmap: ArrayLike, number: int) -> list[tuple[int, int, int, int]]:
    """[7] Boxes (x, y, width, height) in pixels that cover bin ``number``, in the order they are found."""
    inside = np.array(binmap) == number
    height, width = inside.shape
    boxes = []
    for y in range(height):
        for x in range(width):
            if not inside[y, x]:
                continue
            w = h = 1
            while True:
                grow_x = x + w < width and inside[y : y + h, x + w].all()
                grow_y = y + h < height and inside[y + h, x : x + w].all()
                if grow_x and grow_y and not inside[y + h, x + w]:
                    grow_y = False  # both could grow, but the corner pixel is not in the bin
                if not (grow_x or grow_y):
                    break
                w, h = w + grow_x, h + grow_y
            inside[y : y + h, x : x + w] = False
            boxes.append((x, y, w, h))
    return boxes


def region_files(binmap: ArrayLike, minx: float, miny: float, pixel: float) -> dict[str, str]:
    """[7] Name and text of the region file of every bin 0, 1, 2, ... until a number has no pixel."""
    files: dict[str, str] = {}
    while boxes := region_boxes(binmap, len(files)):
        lines = ["# Region file format: CIAO version 1.0"]
        for x, y, w, h in boxes:
            xc, yc = minx + pixel * (x + w / 2), miny + pixel * (y + h / 2)
            lines.append(f"rotbox({xc:.6g},{yc:.6g},{w * pixel:.6g},{h * pixel:.6g},0)")
        files[f"xaf_{len(files)}.reg"] = "\n".join(lines) + "\n"
    return files


# ------------------------------------------------------------ [8] the other programs


def smooth_expmap(
    expcorr: ArrayLike, expmap: ArrayLike, sn: float = 15, use: ArrayLike | None = None
) -> Image:
    """[8] accumulate_smooth_expmap."""
    flux, exposure = _image(expcorr), _image(expmap)
    usable = _use(use, flux.shape) >= 1
    return _top_hat(
        {"flux": flux.astype(float), "counts": flux.astype(float) * exposure.astype(float)},
        usable,
        reached=lambda s: (s["counts"] > 0) & (s["counts"] >= sn * sn),
        value=lambda s: s["flux"] / s["n"],
    )


def smooth_expcorr(
    counts: ArrayLike, expcorr: ArrayLike, sn: float = 15, use: ArrayLike | None = None
) -> Image:
    """[8] accumulate_smooth_expcorr."""
    image, flux = _image(counts), _image(expcorr)
    usable = _use(use, image.shape) >= 1
    return _top_hat(
        {"counts": image.astype(float), "flux": flux.astype(float)},
        usable,
        reached=lambda s: s["counts"] >= sn * sn,
        value=lambda s: s["flux"] / s["n"],
        masked=math.nan,
    )


def _discs_by_square(shape: tuple[int, int]) -> Iterator[tuple[int, list[Offset]]]:
    """[8] r² = 0, 1, 2, ... and the offsets that the disc dx² + dy² <= r² has more than the one before."""
    height, width = shape
    by_square: dict[int, list[Offset]] = {}
    for dy in range(-(height - 1), height):
        for dx in range(-(width - 1), width):
            by_square.setdefault(dx * dx + dy * dy, []).append((dx, dy))
    for square in sorted(by_square):
        yield square, by_square[square]


def counts_scale(
    counts: ArrayLike, sn: float = 15, background: ArrayLike | None = None, use: ArrayLike | None = None
) -> NDArray[np.int32]:
    """[8] accumulate_counts: the least r² that reaches sn; ``use`` > 0 is summed, -2 only gets a scale."""
    image = _image(counts)
    mask = _use(use, image.shape)
    wanted = (mask > 0) | (mask == -2)
    f_term = np.where(mask > 0, image.astype(float), 0.0)
    b_term = np.zeros(image.shape)
    if background is not None:
        b_term = np.where(mask > 0, _image(background).astype(float), 0.0)
    f, b = np.zeros(image.shape), np.zeros(image.shape)
    scale = np.full(image.shape, -1, dtype=np.int32)
    for square, ring in _discs_by_square((image.shape[0], image.shape[1])):
        for dx, dy in ring:
            _add_shifted(f, f_term, dx, dy)
            _add_shifted(b, b_term, dx, dy)
        with np.errstate(divide="ignore", invalid="ignore"):
            reached = (np.sqrt(f) if background is None else (f - b) / np.sqrt(f)) >= sn
        scale[wanted & (scale == -1) & reached] = square
    return scale


def apply_scale(
    image: ArrayLike, scale: ArrayLike, gaussian: bool = False, use: ArrayLike | None = None
) -> Image:
    """[8] accumulate_counts --apply, --gaussian: means of the usable pixels; NaN without a scale."""
    pixels = _image(image).astype(float)
    usable = _use(use, pixels.shape) > 0
    squares = np.array(scale)
    height, width = pixels.shape
    yy, xx = np.mgrid[0:height, 0:width]
    result = np.full(pixels.shape, np.nan, dtype=np.float32)
    for y in range(height):
        for x in range(width):
            if squares[y, x] < 0:
                continue
            distance2 = (xx - x) ** 2 + (yy - y) ** 2
            if gaussian:
                sigma = max(1.0, math.sqrt(squares[y, x]))
                inside = usable & (distance2 <= int(4 * sigma) ** 2)  # golden: truncated
                weight = np.exp(-0.5 * distance2[inside] / sigma**2)
            else:
                inside = usable & (distance2 <= squares[y, x])
                weight = np.ones(inside.sum())
            if inside.any():
                result[y, x] = sum((weight * pixels[inside]).tolist()) / sum(weight.tolist())
    return result


def smooth_gaussian(
    expcorr: ArrayLike, expmap: ArrayLike, sn: float = 15, use: ArrayLike | None = None
) -> Image:
    """[8] adaptive_gaussian_smooth."""
    flux, exposure = _image(expcorr).astype(float), _image(expmap).astype(float)
    usable = _use(use, flux.shape) >= 1
    height, width = flux.shape
    result = np.full(flux.shape, np.nan, dtype=np.float32)  # golden: NaN where masked
    waiting = usable.copy()
    sigma = 0.25
    while waiting.any():
        half = math.ceil(3 * sigma)  # golden
        sums = {"w": np.zeros(flux.shape), "m": np.zeros(flux.shape), "t": np.zeros(flux.shape)}
        for dy in range(-min(half, height - 1), min(half, height - 1) + 1):
            for dx in range(-min(half, width - 1), min(half, width - 1) + 1):
                weight = math.exp(-0.5 * (dx * dx + dy * dy) / sigma**2)
                _add_shifted(sums["w"], np.where(usable, weight, 0.0), dx, dy)
                _add_shifted(sums["m"], np.where(usable, weight * flux, 0.0), dx, dy)
                _add_shifted(sums["t"], np.where(usable, weight * exposure, 0.0), dx, dy)
        with np.errstate(invalid="ignore", divide="ignore"):
            m, t = sums["m"] / sums["w"], sums["t"] / sums["w"]
        now = waiting & (m * t * math.pi * (2 * sigma) ** 2 >= sn * sn)
        result[now] = m[now]
        waiting &= ~now
        sigma += 0.25
        if half > max(height, width):
            break
    return result


def smooth_exposure(
    counts: ArrayLike,
    exposure: ArrayLike,
    *,
    background: ArrayLike | None = None,
    exposure_time: float = 1,
    background_exposure_time: float = 1,
    sn: float = 15,
    max_radius: int | None = None,
    use: ArrayLike | None = None,
) -> Image:
    """[8] exposure_smooth; golden: pixels without exposure are masked, masked pixels are NaN."""
    image = _image(counts)
    usable = (_use(use, image.shape) >= 1) & (_image(exposure) > 0)
    tf, tb = exposure_time, background_exposure_time
    bg = np.zeros_like(image) if background is None else _image(background)
    terms = {"fg": image.astype(float), "bg": bg.astype(float), "exp": _image(exposure).astype(float)}
    return _top_hat(
        terms,
        usable,
        reached=lambda s: (s["fg"] / tf - s["bg"] / tb) ** 2 / (s["fg"] / tf**2 + s["bg"] / tb**2) >= sn * sn,
        value=lambda s: (s["fg"] - s["bg"] * tf / tb) / s["exp"],
        masked=math.nan,
        max_radius=max_radius,
    )
