"""Random images and options for the binner and the smoothers (hypothesis strategies).

Pixels come from numpy's generator, seeded by hypothesis: shapes, kinds and options shrink, and a failing
example is a call that can be repeated.
"""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from golden_data import Scene
from reference import contbin_reference as reference

Draw = st.DrawFn
Kinds = tuple[str, ...]

COUNTS: Kinds = (
    "poisson",
    "ties",
    "sparse",
    "flat",
)  # whole numbers: exact sums in any order
FLOATS: Kinds = ("float", "huge", "tiny")
SIGNED: Kinds = ("signed", "signed float")


def pixels(rng: np.random.Generator, kind: str, shape: tuple[int, int], level: float) -> NDArray[np.float32]:
    """An image with a peak, of the given kind."""
    y, x = np.indices(shape)
    centre = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
    distance = np.hypot(y - centre[0], x - centre[1]) / rng.uniform(1, 8)
    model = level * (1 + distance**2) ** -1.2 + 0.05 * level
    if kind == "ties":
        image = rng.integers(0, rng.integers(2, 5), shape).astype(float)
    elif kind == "sparse":
        image = rng.poisson(0.05, shape).astype(float)
    elif kind == "flat":
        image = np.full(shape, float(rng.integers(0, 6)))
    elif kind == "float":
        image = rng.poisson(model) * rng.uniform(0.1, 3) * rng.uniform(0.9, 1.1, shape)
    elif kind == "huge":
        image = np.floor(rng.uniform(0, 3e9, shape))  # sums beyond 32 bits
    elif kind == "tiny":
        image = rng.gamma(1.0, 1e-6, shape)
    elif kind == "signed":
        image = rng.poisson(model) - rng.poisson(np.full(shape, level / 2)).astype(float)
    elif kind == "signed float":
        image = rng.normal(model / 2, np.sqrt(model))
    else:
        image = rng.poisson(model).astype(float)
    return image.astype(np.float32)


def generators() -> st.SearchStrategy[np.random.Generator]:
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


def shapes(largest: int = 24) -> st.SearchStrategy[tuple[int, int]]:
    side = st.sampled_from(range(1, largest + 1))  # evenly, where integers() prefers the small ones
    long = st.sampled_from(range(largest // 2, largest + 1))
    rows, columns = st.tuples(st.just(1), side), st.tuples(side, st.just(1))
    return st.one_of(st.tuples(side, side), st.tuples(long, long), st.tuples(long, long), rows, columns)


@st.composite
def masks(draw: Draw, rng: np.random.Generator, counts: NDArray[np.float32]) -> NDArray[np.int64]:
    """A mask of contbin (0 excluded, 1, 2 seed only) with at least one pixel to use."""
    use = np.ones(counts.shape, dtype=np.int64)
    kind = draw(st.sampled_from(["none", "few", "many", "seeds", "automask", "block"]))
    if kind == "few":
        use[rng.random(use.shape) < 0.1] = 0
    elif kind == "many":
        use[rng.random(use.shape) < 0.6] = 0
    elif kind == "seeds":
        use = rng.choice([0, 1, 1, 1, 2, 3], use.shape)
    elif kind == "automask":
        use[reference.automask(counts)] = 0
    elif kind == "block":
        use[: use.shape[0] // 2, : use.shape[1] // 3] = 0
    if not use.any():
        use.flat[rng.integers(use.size)] = 1
    return use


@st.composite
def exposures(draw: Draw, rng: np.random.Generator, shape: tuple[int, int]) -> Any:
    """A scalar, or an image which may have pixels without data."""
    kind = draw(st.sampled_from(["one", "scalar", "image", "holes"]))
    if kind == "one":
        return 1.0
    time = float(np.float32(rng.uniform(1e3, 1e5)))
    if kind == "scalar":
        return time
    y, x = np.indices(shape)
    image = (time * (1 - 0.3 * (y + x) / (y + x + 1).max()) * rng.uniform(0.95, 1.0, shape)).astype(
        np.float32
    )
    if kind == "holes":
        image[rng.random(shape) < 0.1] = 0
        image[rng.random(shape) < 0.03] = np.nan
        image[rng.random(shape) < 0.03] = -1
        image.flat[rng.integers(image.size)] = time
    return image


@st.composite
def fields(draw: Draw, kinds: Kinds = COUNTS, largest: int = 24) -> Scene:
    """Counts, mask, maybe background, exposures and noise map: what a smoother needs."""
    rng = draw(generators())
    shape = draw(shapes(largest))
    level = draw(st.sampled_from([1.0, 5.0, 30.0, 300.0, 1e5]))
    scene = Scene(pixels(rng, draw(st.sampled_from(kinds)), shape, level), np.ones(shape, dtype=np.int64))
    scene.use = draw(masks(rng, scene.counts))
    if draw(st.booleans()):
        kind = draw(st.sampled_from(["poisson", "ties", "sparse", "float"]))
        scene.maps["background"] = pixels(rng, kind, shape, level * 0.2)
        scene.exposure = draw(exposures(rng, shape))
        scene.background_exposure = draw(exposures(rng, shape))
    if draw(st.integers(0, 3)) == 0:
        noise = np.sqrt(np.abs(scene.counts) + rng.choice([0.0, 1.0])) * rng.choice([1.0, 1.1])
        if draw(st.booleans()):  # (S/N)² that sits on the threshold
            noise = np.full(shape, rng.choice([0.5, 1.0, 2.0]))
        scene.maps["noise"] = noise.astype(np.float32)
    if not (scene.reference()["use"] >= 1).any():  # masks and holes may leave nothing
        scene.use[:] = 1
        scene.exposure = scene.background_exposure = 1.0
    return scene


@st.composite
def bright_backgrounds(draw: Draw, largest: int = 24) -> Scene:
    """Counts on a background that holds most of them, or more than there are: sums within 16 bits and far beyond."""
    rng = draw(generators())
    shape = draw(shapes(largest))
    level = draw(st.sampled_from([0.3, 3.0, 40.0, 3000.0]))
    times = draw(st.sampled_from([1.0, 4.0, 11.0]))  # of the background's exposure over that of the counts
    share = draw(st.sampled_from([0.5, 0.95, 1.0, 1.3]))  # of the background in the counts outside the cluster
    counts = pixels(rng, "poisson", shape, level) + rng.poisson(level, shape)
    scene = Scene(counts.astype(np.float32), np.ones(shape, dtype=np.int64))
    background = rng.poisson(level * share * times, shape).astype(np.float32)
    if draw(st.booleans()):
        background *= np.float32(1.3)  # not whole
    scene.maps["background"] = background
    scene.use = draw(masks(rng, scene.counts))
    time = draw(exposures(rng, shape))
    scene.exposure = time
    scene.background_exposure = times * np.nanmax(time)
    if draw(st.booleans()):
        scene.background_exposure = (scene.background_exposure * rng.uniform(0.97, 1.03, shape)).astype(np.float32)
    if not (scene.reference()["use"] >= 1).any():  # masks and holes may leave nothing
        scene.use[:] = 1
        scene.exposure, scene.background_exposure = 1.0, times
    return scene


@st.composite
def scenes(draw: Draw, kinds: Kinds = COUNTS, largest: int = 24) -> Scene:
    """A field and the options of contour binning."""
    scene = draw(fields(kinds, largest))
    rng = draw(generators())
    total = abs(float(scene.counts.sum(dtype=float)))
    # Thresholds that a few pixels, many pixels, or not even the whole image reach.
    sn = draw(st.sampled_from([1, 2, 3, 5, 15, 50]))
    if draw(st.booleans()):
        sn = max(0.1, round(total**0.5 * draw(st.sampled_from([0.05, 0.1, 0.2, 0.4, 2.0])), 2))
    options: dict[str, Any] = {
        "sn": float(sn),
        "smooth_sn": draw(st.sampled_from([1.0, 3.0, 5.0, 15.0, 100.0])),
    }
    if draw(st.integers(0, 3)) == 0:
        options["target"] = "counts"
        share = draw(st.sampled_from([0.01, 0.05, 0.2, 2.0]))
        options["sn"] = max(1e-6, round(total * share) or total * share)
    options["constrain"] = draw(st.sampled_from([None, 0.3, 1.0, 1.5, 2.0, 3.0]))
    options["bin_up"] = draw(st.booleans())
    options["scrub"] = draw(st.sampled_from([True, True, True, False]))
    options["scrub_large"] = draw(st.sampled_from([None, None, 0.02, 0.1, 0.5, 1.0]))
    scene.options = options
    if draw(st.integers(0, 3)) == 0:
        kind = draw(st.sampled_from(["smooth", "ties", "signed zeros", "wide"]))
        smoothed = rng.normal(0 if kind == "signed zeros" else 3, 1, scene.counts.shape)
        if kind == "wide":  # differences from a bright aim that even float64 cannot tell apart
            smoothed = np.exp(rng.uniform(1, 10) * smoothed)
        if kind in ("ties", "signed zeros"):
            smoothed = np.round(smoothed)
        scene.maps["smoothed"] = smoothed.astype(np.float32)
    return scene


@st.composite
def borderline(draw: Draw, kinds: Kinds = COUNTS, largest: int = 30) -> tuple[Scene, float]:
    """A field, and a threshold that the disc of some pixel meets exactly: bounds too tight would skip it."""
    scene = draw(fields(kinds, largest))
    rng = draw(generators())
    shape = scene.counts.shape
    kind = draw(st.sampled_from(["as it is", "noise", "background"]))
    if kind == "noise":
        scene.maps["noise"] = rng.choice([0.5, 0.75, 1.0], shape if draw(st.booleans()) else 1) * np.ones(
            shape
        )
    elif kind == "background":
        scene.maps.pop("noise", None)
        scene.maps["background"] = rng.integers(0, 5, shape) / 4
        scene.background_exposure, scene.exposure = 1.0, rng.choice([0.25, 1.0])
    options = scene.reference()
    height, width = scene.counts.shape
    y0, x0 = rng.choice(np.argwhere(options["use"] >= 1))
    radius = rng.integers(0, 12)
    disc = [
        (y, x) for y, x in np.argwhere(options["use"] >= 1) if np.floor(np.hypot(y - y0, x - x0)) <= radius
    ]
    within = np.zeros((height, width), dtype=np.int64)
    within[tuple(np.transpose(disc))] = 1
    options.pop("use")
    # A threshold beyond reach makes one bin of the disc, whose S/N is the one wanted.
    whole = reference.contour_bin(scene.counts, sn=1e30, smoothed=scene.counts, use=within, **options)
    sn2 = max(whole.sn2)
    sn = sn2**0.5 if 0 < sn2 < 1e30 else 3.0
    return scene, float(np.nextafter(sn, 0)) if sn * sn > sn2 > 0 else float(sn)
