"""The smoothers: the reference cases, random images against the reference, invariants, bad input."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from chandra_bin import (
    ChandraBinWarning,
    InputError,
    apply_scale,
    counts_scale,
    smooth,
    smooth_expcorr,
    smooth_expmap,
    smooth_exposure,
    smooth_flux,
    smooth_gaussian,
)
from golden_data import Scene, read_cases, read_expected, read_image
from reference import contbin_reference as reference
from scenes import COUNTS, FLOATS, SIGNED, borderline, bright_backgrounds, fields, generators, masks, pixels, shapes

SN = st.sampled_from([0.5, 1.0, 3.0, 5.0, 15.0, 100.0])
NO_TIES = st.sampled_from([0.713, 1.37, 3.31, 5.19, 14.7])  # no sum of counts sits on these thresholds


def image(name: str) -> NDArray[Any]:
    return read_image(name)[0]


# ------------------------------------------------------------ the reference cases

EXACT: dict[str, Callable[[], NDArray[Any]]] = {
    "acsmooth": lambda: smooth(image("counts_96x80"), sn=20),
    "acsmooth_mask": lambda: smooth(image("counts_96x80"), sn=20, mask=image("mask_96x80") < 1),
    "acsmooth_bg": lambda: smooth(
        image("src_128"), sn=20, background=image("bg_128"), exposure=50000, background_exposure=275000
    ),
    "acsmooth_ngc5044": lambda: smooth(image("ngc5044_364x366"), sn=60),
    "acsmooth_float": lambda: smooth(image("scaledflux_128"), sn=20),
    "acsmooth_expmap": lambda: smooth_expmap(
        image("expcorr_128"), image("expmap_128"), sn=20, mask=image("ones_mask_128") < 1
    ),
    "expcorr": lambda: smooth_expcorr(
        image("src_exp_128"), image("expcorr_128"), sn=20, mask=image("ones_mask_128") < 1
    ),
    "accounts_scale": lambda: counts_scale(image("counts_96x80"), sn=20, mask=image("mask_96x80") < 1),
    "accounts_apply": lambda: apply_scale(
        image("counts_96x80"), read_expected("accounts_scale")["scale"], mask=image("mask_96x80") < 1
    ),
}
# The original sums these in float32; 1e-4 is asked for.
CLOSE: dict[str, Callable[[], NDArray[Any]]] = {
    "accounts_apply_gauss": lambda: apply_scale(
        image("counts_96x80"),
        read_expected("accounts_scale")["scale"],
        gaussian=True,
        mask=image("mask_96x80") < 1,
    ),
    "adaptive_gauss": lambda: smooth_gaussian(
        image("expcorr_128"), image("expmap_128"), sn=20, mask=image("ones_mask_128") < 1
    ),
    "exposure_smooth": lambda: smooth_exposure(
        image("src_exp_128"),
        exposure=image("expmap_128"),
        background=image("bg_128"),
        exposure_time=50000,
        background_exposure_time=275000,
        sn=20,
    ),
}


def test_no_case_is_forgotten() -> None:
    assert set(EXACT) | set(CLOSE) == set(read_cases("smooth"))


@pytest.mark.parametrize("name", EXACT)
def test_golden_equal(name: str) -> None:
    want = read_expected(name)[read_cases("smooth")[name]["outputs"][0]]
    got = EXACT[name]()
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", CLOSE)
def test_golden_close(name: str) -> None:
    want = read_expected(name)[read_cases("smooth")[name]["outputs"][0]]
    got = CLOSE[name]()
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=1e-5)


# ------------------------------------------------------------ random images against the reference


def quietly(function: Callable[..., NDArray[Any]], *args: Any, **more: Any) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChandraBinWarning)
        return function(*args, **more)


def compare_smooth(scene: Scene, sn: float) -> None:
    want = reference.smooth(scene.counts, sn, **scene.reference())
    got = quietly(smooth, scene.counts, sn=sn, **scene.api("seed_only"))
    np.testing.assert_array_equal(got, want)


@given(fields(COUNTS), SN)
def test_smooth_counts(scene: Scene, sn: float) -> None:
    compare_smooth(scene, sn)


@given(fields(COUNTS + FLOATS, largest=5), SN)
def test_smooth_small_images(scene: Scene, sn: float) -> None:
    compare_smooth(scene, sn)


@given(fields(FLOATS), SN)
def test_smooth_floats(scene: Scene, sn: float) -> None:
    compare_smooth(scene, sn)


@given(fields(SIGNED), SN)
def test_smooth_signed(scene: Scene, sn: float) -> None:
    compare_smooth(scene, sn)


@pytest.mark.parametrize("scale", ["number", "image"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (1, 40), (40, 1), (7, 9), (8, 8), (9, 8), (17, 16), (3, 33)])
def test_smooth_backgrounds_at_edges_of_blocks(shape: tuple[int, int], scale: str) -> None:
    rng = np.random.default_rng(shape)
    scene = Scene(rng.poisson(6, shape).astype(np.float32), (rng.random(shape) < 0.8).astype(np.int64))
    scene.use[-1, -1] = 1
    scene.maps["background"] = rng.poisson(20, shape).astype(np.float32)
    scene.exposure = rng.uniform(0.9, 1, shape).astype(np.float32) if scale == "image" else 1.0
    scene.background_exposure = 12.0
    for sn in (1.0, 4.0, 8.0):
        compare_smooth(scene, sn)


@given(bright_backgrounds(), st.sampled_from([0.5, 3.0, 15.0, 40.0, 100.0]))
def test_smooth_bright_backgrounds(scene: Scene, sn: float) -> None:
    compare_smooth(scene, sn)


@given(bright_backgrounds(), NO_TIES, st.booleans())
def test_smooth_exposure_bright_backgrounds(scene: Scene, sn: float, subtract: bool) -> None:
    exposure = np.broadcast_to(np.nan_to_num(np.asarray(scene.exposure, np.float32)), scene.counts.shape)
    options: dict[str, Any] = {"background": scene.maps["background"] if subtract else None, "exposure_time": 5e4,
                               "background_exposure_time": 21e4, "sn": sn}
    use = np.where(exposure > 0, scene.use, 0)
    if not (use >= 1).any():
        return
    want = reference.smooth_exposure(scene.counts, exposure, use=use, **options)
    got = quietly(smooth_exposure, scene.counts, exposure=exposure, mask=use < 1, **options)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-30)


@given(borderline((*COUNTS, "float")))
def test_smooth_on_the_threshold(problem: tuple[Scene, float]) -> None:
    compare_smooth(*problem)


def test_a_pixel_on_the_threshold() -> None:
    counts = np.array([[1, 0, 1, 0, 0, 2], [0, 0, 0, 0, 3, 1], [0, 0, 1, 1, 2, 0]])
    smoothed = smooth(counts, sn=4, noise=np.full(counts.shape, 0.5))
    assert smoothed[0, 5] == 2  # 2² / 0.5² = 4², at radius 0


@pytest.mark.long
@given(fields(("poisson", "sparse", "float"), largest=90), SN)
def test_smooth_larger_images(scene: Scene, sn: float) -> None:
    compare_smooth(scene, sn)


@st.composite
def pairs(draw: st.DrawFn) -> dict[str, Any]:
    """Counts, an exposure map with pixels of no exposure, counts / exposure, a mask that leaves those out."""
    rng = draw(generators())
    shape = draw(shapes())
    kind, level = (
        draw(st.sampled_from(["poisson", "sparse", "ties", "float"])),
        draw(st.sampled_from([1, 9, 400])),
    )
    counts = pixels(rng, kind, shape, level)
    expmap = (5e4 * rng.uniform(0.5, 1, shape)).astype(np.float32)
    expmap[rng.random(shape) < draw(st.sampled_from([0, 0.1]))] = 0
    use = np.minimum(draw(masks(rng, counts)), 1)
    use[expmap == 0] = 0
    if not use.any():
        use.flat[0], expmap.flat[0] = 1, 5e4
    expcorr = np.divide(counts, expmap, out=np.zeros_like(counts), where=expmap > 0)
    return {"counts": counts, "expmap": expmap, "expcorr": expcorr, "use": use}


@given(pairs(), SN)
def test_smooth_expmap(data: dict[str, Any], sn: float) -> None:
    want = reference.smooth_expmap(data["expcorr"], data["expmap"], sn, data["use"])
    got = quietly(smooth_expmap, data["expcorr"], data["expmap"], sn=sn, mask=data["use"] == 0)
    np.testing.assert_array_equal(got, want)


@given(pairs(), SN)
def test_smooth_expcorr(data: dict[str, Any], sn: float) -> None:
    counts = np.floor(data["counts"])
    want = reference.smooth_expcorr(counts, data["expcorr"], sn, data["use"])
    got = quietly(smooth_expcorr, counts, data["expcorr"], sn=sn, mask=data["use"] == 0)
    np.testing.assert_array_equal(got, want)


@given(pairs(), generators(), st.booleans(), SN)
def test_counts_scale(data: dict[str, Any], rng: np.random.Generator, subtract: bool, sn: float) -> None:
    counts = np.floor(data["counts"])
    background = rng.poisson(counts.mean() * 0.2, counts.shape) if subtract else None
    use = data["use"].copy()
    use[rng.random(use.shape) < 0.1] = -2
    want = reference.counts_scale(counts, sn, background, use)
    got = quietly(counts_scale, counts, sn=sn, background=background, mask=use == 0, fill=use == -2)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, want)


@given(pairs(), generators(), st.booleans())
def test_apply_scale(data: dict[str, Any], rng: np.random.Generator, gaussian: bool) -> None:
    scale = rng.integers(-1, draw_limit(data["counts"].shape), data["counts"].shape).astype(np.int32)
    for values in (np.floor(data["counts"]), data["expcorr"]):
        want = reference.apply_scale(values, scale, gaussian, data["use"])
        got = quietly(apply_scale, values, scale, gaussian=gaussian, mask=data["use"] == 0)
        assert got.dtype == np.float32
        if gaussian or values is data["expcorr"]:  # the order of addition is free here
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-30)
        else:
            np.testing.assert_array_equal(got, want)


def draw_limit(shape: tuple[int, ...]) -> int:
    """One more than the square of the image's diagonal, but not beyond 200."""
    return int(min(200, shape[0] ** 2 + shape[1] ** 2)) + 1


def first_square(
    counts: NDArray[Any], background: NDArray[Any] | None, use: NDArray[Any], y: int, x: int, sn: float
) -> int:
    """The least r² around one pixel that reaches, from its surroundings sorted by distance."""
    v, u = np.nonzero(use > 0)
    square = (v - y) ** 2 + (u - x) ** 2
    order = np.argsort(square, kind="stable")
    square, v, u = square[order], v[order], u[order]
    total = np.cumsum(counts[v, u].astype(float))
    net = total if background is None else total - np.cumsum(background[v, u].astype(float))
    with np.errstate(divide="ignore", invalid="ignore"):
        reached = (np.sqrt(total) if background is None else net / np.sqrt(total)) >= sn
    whole_disc = np.append(square[1:] != square[:-1], True)
    hits = np.flatnonzero(reached & whole_disc)
    return int(square[hits[0]]) if hits.size else -1


def field_with_holes(rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """A source of 150 x 131 pixels in an empty corner, and a mask with excluded and with filled pixels."""
    yy, xx = np.mgrid[:150, :131]
    counts = rng.poisson(0.3 + 30 * np.exp(-((yy - 90) ** 2 + (xx - 40) ** 2) / 300))
    counts[:70, 60:] = 0
    use = np.ones(counts.shape, dtype=int)
    use[rng.random(use.shape) < 0.05] = 0
    use[80:95, 30:50] = -2
    return counts, use


def sampled_pixels(rng: np.random.Generator, shape: tuple[int, int], number: int) -> list[tuple[int, int]]:
    corners = [(y, x) for y in (0, shape[0] - 1) for x in (0, shape[1] - 1)]
    return corners + [(int(y), int(x)) for y, x in rng.integers(0, shape, (number, 2))]


@pytest.mark.parametrize("kind", ["counts", "bright", "flux", "bright corner"])
@pytest.mark.parametrize("behind", ["nothing", "counts", "smooth", "spikes"])
@pytest.mark.parametrize("sn", [7.31, 41.7, 300.0])
def test_scales_of_large_discs(kind: str, behind: str, sn: float) -> None:
    rng = np.random.default_rng(8)
    counts, use = field_with_holes(rng)
    factor = {"bright": 700, "flux": 3.7e-9}.get(kind, 1)
    values = (counts * factor).astype(np.float32)
    level = float(values.mean())
    if kind == "bright corner":  # more counts than 32 bits hold
        values[-20:, -20:] = 1.6e7
    background = {
        "nothing": None,
        "counts": rng.poisson(0.2 * level, counts.shape),
        "smooth": (level * rng.uniform(0.1, 0.3, counts.shape)).astype(np.float32),
        "spikes": (level * rng.pareto(0.8, counts.shape) / 50).astype(np.float32),
    }[behind]
    sn *= factor**0.5
    got = counts_scale(values, sn=sn, background=background, mask=use == 0, fill=use == -2, threads=2)
    for y, x in sampled_pixels(rng, counts.shape, 60):
        want = -1 if use[y, x] == 0 else first_square(values, background, use, y, x, sn)
        assert got[y, x] == want, (y, x)


@pytest.mark.parametrize("behind", ["nothing", "counts", "smooth"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (1, 40), (40, 1), (7, 9), (8, 8), (9, 8), (17, 16), (3, 33)])
def test_scales_at_edges_of_blocks(shape: tuple[int, int], behind: str) -> None:
    rng = np.random.default_rng(shape)
    counts = rng.poisson(6, shape).astype(np.float32)
    use = (rng.random(shape) < 0.8).astype(int)
    use[-1, -1] = 1
    background = {"nothing": None, "counts": rng.poisson(2, shape), "smooth": rng.uniform(1, 2, shape)}[behind]
    background = None if background is None else background.astype(np.float32)
    for sn in (1.37, 4.11, 8.3):
        got = counts_scale(counts, sn=sn, background=background, mask=use == 0)
        for y, x in np.ndindex(shape):
            assert got[y, x] == (-1 if use[y, x] == 0 else first_square(counts, background, use, y, x, sn)), (y, x, sn)


def added_one_by_one(pixels: NDArray[Any], used: NDArray[Any], y: int, x: int, square: int) -> Any:
    """The mean over one disc, row after row, each row added up alone."""
    total, number = 0.0, 0
    for v in range(pixels.shape[0]):
        here = used[v] & ((v - y) ** 2 + (np.arange(pixels.shape[1]) - x) ** 2 <= square)
        if here.any():
            total += float(np.add.accumulate(pixels[v, here].astype(float))[-1])
            number += int(here.sum())
    return np.float32(total / number) if number else np.float32(np.nan)


@pytest.mark.parametrize("kind", ["counts", "many counts", "flux", "net", "net counts", "with holes"])
def test_means_over_large_discs(kind: str) -> None:
    rng = np.random.default_rng(9)
    counts, use = field_with_holes(rng)
    values = {
        "counts": counts,
        "many counts": counts * 2.0**24,
        "flux": counts * rng.uniform(1e-9, 3e-9, counts.shape),
        "net": counts - rng.uniform(0, 3, counts.shape),
        "net counts": counts - rng.poisson(2, counts.shape),
        "with holes": np.where(counts > 3, counts * 1.1, 0),
    }[kind].astype(np.float32)
    values[3, 4] = np.nan
    used = (use == 1) & np.isfinite(values)
    scale = rng.integers(-1, 220, counts.shape) ** 2 + rng.integers(0, 5, counts.shape)
    scale[rng.random(scale.shape) < 0.1] = -1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChandraBinWarning)
        got = apply_scale(values, scale, mask=use != 1, threads=2)
    for y, x in sampled_pixels(rng, counts.shape, 200):
        want = np.float32(np.nan) if scale[y, x] < 0 else added_one_by_one(values, used, y, x, scale[y, x])
        np.testing.assert_array_equal(got[y, x], want, err_msg=f"{y} {x}")


@given(pairs(), NO_TIES)
def test_smooth_gaussian(data: dict[str, Any], sn: float) -> None:
    want = reference.smooth_gaussian(data["expcorr"], data["expmap"], sn, data["use"])
    got = quietly(smooth_gaussian, data["expcorr"], data["expmap"], sn=sn, mask=data["use"] == 0)
    reached = np.isfinite(want)  # where the whole image is not enough the original says nothing
    np.testing.assert_allclose(got[reached], want[reached], rtol=1e-5, atol=1e-30)
    assert np.isnan(got[data["use"] == 0]).all()


@given(pairs(), generators(), NO_TIES, st.booleans(), st.sampled_from([None, None, 0, 1, 4]))
def test_smooth_exposure(
    data: dict[str, Any], rng: np.random.Generator, sn: float, subtract: bool, max_radius: int | None
) -> None:
    counts = data["counts"]
    options = {
        "background": rng.poisson(counts.mean() * 0.2, counts.shape) if subtract else None,
        "exposure_time": 5e4,
        "background_exposure_time": 27e4,
        "sn": sn,
        "max_radius": max_radius,
    }
    want = reference.smooth_exposure(counts, data["expmap"], use=data["use"], **options)
    got = quietly(smooth_exposure, counts, exposure=data["expmap"], mask=data["use"] == 0, **options)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-30)


def plain_flux(counts, exposure, background, use, sn):
    """`smooth_flux` by its definition, disc by disc."""
    ny, nx = counts.shape
    y, x = np.indices(counts.shape)
    flux = np.full(counts.shape, np.nan)
    for v, u in zip(*np.nonzero(use), strict=True):
        ring = np.floor(np.hypot(y - v, x - u))
        for radius in range(ny + nx):
            disc = use & (ring <= radius)
            total = counts[disc].sum()
            if total / (1 + np.sqrt(total + 0.75)) >= sn or radius == ny + nx - 1:
                flux[v, u] = (total - background[disc].sum()) / exposure[disc].sum()
                break
    return flux * exposure[use].mean()


@pytest.mark.parametrize("sn", [0.5, 4, 9, 1000])
def test_smooth_flux_is_net_counts_over_exposure_of_the_first_disc(sn: float) -> None:
    rng = np.random.default_rng(7)
    shape = (13, 17)
    counts, background = rng.poisson(5, shape), rng.poisson(8, shape)
    exposure, scale = rng.uniform(50, 400, shape), rng.uniform(0.1, 0.4, shape)
    mask = rng.random(shape) < 0.2
    exposure[0, :4] = 0
    exposure[1, 0] = np.nan
    got = smooth_flux(counts, exposure, sn=sn, background=background, background_scale=scale, mask=mask)
    use = ~mask & (exposure > 0)
    np.testing.assert_allclose(got, plain_flux(counts, exposure, background * scale, use, sn), rtol=2e-5, atol=1e-5)
    again = smooth_flux(counts, exposure * 3e7, sn=sn, background=background, background_scale=scale, mask=mask)
    np.testing.assert_allclose(again, got, rtol=1e-5, atol=1e-6)  # the unit of the exposure has no effect


def test_smooth_flux_with_one_exposure_is_smooth() -> None:
    counts = image("counts_300x260")
    np.testing.assert_allclose(smooth_flux(counts, np.full(counts.shape, 3.0), sn=20), smooth(counts, sn=20), rtol=1e-6)


# ------------------------------------------------------------ what holds for any image


@given(fields(COUNTS + FLOATS), SN)
def test_threads_change_nothing(scene: Scene, sn: float) -> None:
    first, *others = (
        quietly(smooth, scene.counts, sn=sn, threads=threads, **scene.api("seed_only"))
        for threads in (1, 2, 3, 5)
    )
    for other in others:
        np.testing.assert_array_equal(first, other)


CALLS: dict[str, Callable[..., NDArray[Any]]] = {
    "smooth": smooth,
    "smooth with background": lambda counts, **more: smooth(counts, background=counts // 4, **more),
    "smooth_expmap": lambda counts, **more: smooth_expmap(counts / 7, np.full(counts.shape, 7.0), **more),
    "smooth_expcorr": lambda counts, **more: smooth_expcorr(counts, counts / 7, **more),
    "smooth_flux": lambda counts, **more: smooth_flux(counts, np.full(counts.shape, 7.0), **more),
    "counts_scale": counts_scale,
    "smooth_gaussian": lambda counts, **more: smooth_gaussian(counts / 7, np.full(counts.shape, 7.0), **more),
    "smooth_exposure": lambda counts, **more: smooth_exposure(
        counts, exposure=np.full(counts.shape, 7.0), **more
    ),
}


def test_threads_change_nothing_anywhere() -> None:
    counts = image("counts_300x260")
    for name, call in CALLS.items():
        first, *others = (call(counts, sn=12, threads=threads) for threads in (1, 2, 3, 5))
        for other in others:
            np.testing.assert_array_equal(first, other, err_msg=name)
    scale = counts_scale(counts, sn=8)
    for gaussian in (False, True):
        first, *others = (
            apply_scale(counts, scale, gaussian=gaussian, threads=threads) for threads in (1, 2, 3, 5)
        )
        for other in others:
            np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize("name", CALLS)
def test_any_layout_gives_the_same(name: str) -> None:
    counts = np.random.default_rng(4).poisson(8, (13, 17))
    frozen = counts.astype(np.float32)
    frozen.flags.writeable = False
    want = CALLS[name](counts, sn=7)
    for other in (
        counts.astype(">f4"),
        counts.astype(">i2"),
        counts.astype(float),
        counts.astype(np.uint16),
        np.asfortranarray(counts.astype(np.float32)),
        np.repeat(counts, 2, axis=1)[:, ::2],
        frozen,
    ):
        np.testing.assert_array_equal(CALLS[name](other, sn=7), want, err_msg=str(other.dtype))
    np.testing.assert_array_equal(frozen, counts)


# ------------------------------------------------------------ bad input

COUNTS_5X6 = np.random.default_rng(0).poisson(20, (5, 6)).astype(np.float32)
WRONG = np.ones((6, 5), dtype=np.float32)
BOTH = r"\(6, 5\).*\(5, 6\)|\(5, 6\).*\(6, 5\)"


@pytest.mark.parametrize("sn", [0, -2, np.nan, np.inf])
@pytest.mark.parametrize("name", CALLS)
def test_threshold_must_be_positive(name: str, sn: float) -> None:
    with pytest.raises(InputError, match="sn"):
        CALLS[name](COUNTS_5X6, sn=sn)


@pytest.mark.parametrize("name", CALLS)
def test_everything_masked(name: str) -> None:
    with pytest.raises(InputError, match=r"mask|exclu|usable"):
        CALLS[name](COUNTS_5X6, mask=np.ones((5, 6), dtype=bool))


@pytest.mark.parametrize("name", CALLS)
def test_infinite_pixels(name: str) -> None:
    counts = COUNTS_5X6.copy()
    counts[1, 1] = np.inf
    with pytest.raises(InputError, match="inf"), np.errstate(invalid="ignore"):
        CALLS[name](counts)


@pytest.mark.parametrize("name", CALLS)
def test_nan_pixels_are_excluded_with_a_warning(name: str) -> None:
    counts = COUNTS_5X6.copy()
    counts[1, 1] = counts[2, 3] = np.nan
    want = CALLS[name](np.nan_to_num(counts), sn=6, mask=np.isnan(counts))
    with pytest.warns(ChandraBinWarning, match=r"\b2\b"):
        got = CALLS[name](counts, sn=6)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    "call",
    [
        lambda: smooth(COUNTS_5X6, background=WRONG),
        lambda: smooth(COUNTS_5X6, noise=WRONG),
        lambda: smooth(COUNTS_5X6, background=COUNTS_5X6, exposure=WRONG),
        lambda: smooth(COUNTS_5X6, background=COUNTS_5X6, background_exposure=WRONG),
        lambda: smooth(COUNTS_5X6, mask=WRONG > 2),
        lambda: smooth_expmap(COUNTS_5X6, WRONG),
        lambda: smooth_expcorr(COUNTS_5X6, WRONG),
        lambda: counts_scale(COUNTS_5X6, background=WRONG),
        lambda: counts_scale(COUNTS_5X6, fill=WRONG > 2),
        lambda: apply_scale(COUNTS_5X6, WRONG.astype(int)),
        lambda: apply_scale(COUNTS_5X6, COUNTS_5X6.astype(int), mask=WRONG > 2),
        lambda: smooth_gaussian(COUNTS_5X6, WRONG),
        lambda: smooth_exposure(COUNTS_5X6, exposure=WRONG),
        lambda: smooth_exposure(COUNTS_5X6, exposure=COUNTS_5X6, background=WRONG),
    ],
)
def test_shapes_must_agree(call: Callable[[], Any]) -> None:
    with pytest.raises(InputError, match=BOTH):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: smooth_exposure(COUNTS_5X6, exposure=np.zeros((5, 6))),
        lambda: smooth_exposure(COUNTS_5X6, exposure=np.full((5, 6), np.nan)),
        lambda: smooth_exposure(COUNTS_5X6, exposure=np.ones((5, 6)), exposure_time=0),
        lambda: smooth_exposure(COUNTS_5X6, exposure=np.ones((5, 6)), background_exposure_time=-1),
        lambda: smooth(COUNTS_5X6, background=COUNTS_5X6, exposure=0),
    ],
)
def test_no_exposure_anywhere(call: Callable[[], Any]) -> None:
    with pytest.raises(InputError, match=r"exposure|no data"):
        call()


def test_negative_max_radius() -> None:
    with pytest.raises(InputError, match="max_radius"):
        smooth_exposure(COUNTS_5X6, exposure=np.ones((5, 6)), max_radius=-1)


def test_a_huge_negative_pixel() -> None:
    counts = np.full((6, 8), 3.0, np.float32)
    counts[4, 1] = -1e15
    smoothed = quietly(smooth_exposure, counts, exposure=np.ones(counts.shape), sn=8)
    assert smoothed[4, 1] < 0 < smoothed[0, 7]
