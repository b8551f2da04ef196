"""Contour binning: the reference cases, random images against the reference, invariants, bad input."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from scipy import ndimage

from chandra_bin import ChandraBinWarning, ContourBins, InputError, automask, contour_bin
from chandra_bin.binning.bins import sum_bins
from chandra_bin.binning.histograms import histogram_qdp
from golden_data import Scene, contbin_scene, read_cases, read_expected
from reference import contbin_reference as reference
from scenes import COUNTS, FLOATS, SIGNED, scenes

THREADS = (1, 2, 3, 5)
LONG_WORK = np.random.default_rng(1).poisson(1.0, (1500, 1500))  # progress is told ten times a second


def run(scene: Scene, **more: Any) -> ContourBins:
    """The API on a scene; bins below the threshold and the like are no failure here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChandraBinWarning)
        options = scene.api() | more
        if options.get("smoothed") is None:
            options["contours"] = "counts"  # contbin's
        return contour_bin(scene.counts, **options)


def assert_same(got: ContourBins, want: reference.Result) -> None:
    np.testing.assert_array_equal(got.smoothed, want.smoothed, err_msg="smoothed image")
    np.testing.assert_array_equal(got.binmap, want.binmap, err_msg="binmap")
    np.testing.assert_array_equal(got.signal_image, want.out, err_msg="signal image")
    np.testing.assert_array_equal(got.sn_image, want.sn, err_msg="S/N image")


# ------------------------------------------------------------ the reference cases


@pytest.mark.parametrize("name", read_cases("contbin"))
def test_golden(name: str) -> None:
    case, scene, want = read_cases("contbin")[name], contbin_scene(name), read_expected(name)
    got = run(scene)
    different = got.binmap != want["binmap"]
    assert different.mean() <= case.get("tolerance", 0), f"{different.sum()} pixels differ"
    assert got.binmap.dtype == np.int32
    assert got.signal_image.dtype == got.sn_image.dtype == got.smoothed.dtype == np.float32
    np.testing.assert_array_equal(got.use, np.minimum(want["mask"], 2))
    if not case.get("tolerance"):
        np.testing.assert_array_equal(got.signal_image, want["out"])
        np.testing.assert_array_equal(got.sn_image, want["sn"])
        assert len(got.table) == case["bins"]
        assert np.count_nonzero(got.binmap == -1) == case["unbinned"]


# ------------------------------------------------------------ random images against the reference


def compare(scene: Scene) -> None:
    reference_options = scene.reference()
    want = reference.contour_bin(scene.counts, **reference_options)
    got = run(scene)
    if "smoothed" in scene.maps:  # the original's smoothed image may hold anything where nothing is binned
        want.smoothed = np.where(reference_options["use"] >= 1, want.smoothed, got.smoothed)
    assert_same(got, want)


@given(scenes(COUNTS))
def test_counts_as_reference(scene: Scene) -> None:
    compare(scene)


@given(scenes(COUNTS, largest=6))
def test_small_images_as_reference(scene: Scene) -> None:
    compare(scene)


@given(scenes(FLOATS))
def test_floats_as_reference(scene: Scene) -> None:
    compare(scene)


@given(scenes(SIGNED, largest=16))
def test_signed_as_reference(scene: Scene) -> None:
    used = scene.counts[scene.reference()["use"] >= 1]
    assume((used > 0).any() or not used.any())  # images without a positive pixel are refused
    compare(scene)


@pytest.mark.long
@given(scenes(("poisson", "ties", "float"), largest=70))
def test_larger_images_as_reference(scene: Scene) -> None:
    compare(scene)


@given(scenes(("poisson", "sparse", "float", "signed"), largest=40))
def test_automask_as_reference(scene: Scene) -> None:
    np.testing.assert_array_equal(automask(scene.counts), reference.automask(scene.counts))


# ------------------------------------------------------------ what holds for any image


@given(scenes(COUNTS + FLOATS, largest=16))
def test_bins_cover_usable_pixels(scene: Scene) -> None:
    scene.options["scrub_large"] = None
    got = run(scene)
    used = scene.reference()["use"] >= 1
    np.testing.assert_array_equal(got.binmap >= 0, used)
    np.testing.assert_array_equal(got.use >= 1, used)
    numbers, pixels = np.unique(got.binmap[used], return_counts=True)
    np.testing.assert_array_equal(numbers, np.arange(len(got.table)))
    np.testing.assert_array_equal(got.table["npix"], pixels)


@given(scenes(COUNTS, largest=16))
def test_bins_grow_in_one_piece(scene: Scene) -> None:
    scene.options["scrub"] = False
    binmap = run(scene).binmap
    for number in range(binmap.max() + 1):
        assert ndimage.label(binmap == number)[1] == 1, f"bin {number}"


@given(scenes(("poisson", "ties", "flat"), largest=16))
def test_the_table_follows_from_the_pixels(scene: Scene) -> None:
    got = run(scene)
    options = scene.reference()
    counts = scene.counts.astype(float)
    background = scene.maps.get("background")
    b = np.zeros_like(counts) if background is None else background.astype(float)
    e = options["exposure_ratio"].astype(float)
    target = scene.options.get("target", "sn")
    columns = {name: np.asarray(getattr(column, "value", column)) for name, column in got.table.items()}
    for values in zip(*columns.values(), strict=True):
        row = dict(zip(columns, values, strict=True))
        inside = got.binmap == row["bin"]
        f_sum, b_sum, bw_sum = counts[inside].sum(), b[inside].sum(), (b * e)[inside].sum()
        if "noise" in scene.maps:
            noise2 = (scene.maps["noise"] ** 2)[inside].sum(dtype=float)
        elif background is not None:
            noise2 = reference.gehrels(f_sum) + (e[inside] ** 2).mean() * reference.gehrels(b_sum)
        else:
            noise2 = reference.gehrels(f_sum)
        signal = f_sum - bw_sum
        assert row["npix"] == inside.sum()
        assert row["counts"] == f_sum
        assert row["signal"] == pytest.approx(signal, rel=1e-9, abs=1e-9 * max(f_sum, bw_sum))
        scale = max(f_sum, bw_sum) / max(1e-7, noise2) ** 0.5
        sn = abs(signal) / noise2**0.5 if noise2 >= 1e-7 else 1e-7**0.5
        if noise2 > 1e-3:  # below, what is left of a running sum decides
            assert abs(row["sn"]) == pytest.approx(sn, rel=1e-6, abs=1e-7 * scale)
            assert row["noise"] == pytest.approx(noise2**0.5, rel=1e-6)
        reached = signal if target == "counts" else np.copysign(sn, signal)
        if abs(reached / scene.options["sn"] - 1) > 1e-6:
            assert row["reached"] == (reached >= scene.options["sn"])


@given(scenes(COUNTS + FLOATS, largest=16))
def test_threads_change_nothing(scene: Scene) -> None:
    first, *others = (run(scene, threads=threads) for threads in THREADS)
    for other in others:
        np.testing.assert_array_equal(first.smoothed, other.smoothed)
        np.testing.assert_array_equal(first.binmap, other.binmap)
        np.testing.assert_array_equal(first.sn_image, other.sn_image)


def test_threads_change_nothing_on_a_large_image() -> None:
    scene = contbin_scene("large")  # above the work threshold of the thread loop
    first, *others = (run(scene, threads=threads) for threads in THREADS)
    for other in others:
        np.testing.assert_array_equal(first.smoothed, other.smoothed)
        np.testing.assert_array_equal(first.binmap, other.binmap)


def read_only(array: Any) -> Any:
    array = np.array(array)
    array.flags.writeable = False
    return array


LAYOUTS = {
    "big-endian float": lambda a: a.astype(">f4"),
    "big-endian int": lambda a: a.astype(">i2"),
    "float64": lambda a: a.astype(np.float64),
    "float32": lambda a: a.astype(np.float32),
    "int64": lambda a: a.astype(np.int64),
    "uint16": lambda a: a.astype(np.uint16),
    "Fortran order": lambda a: np.asfortranarray(a.astype(np.float32)),
    "strided": lambda a: np.repeat(a.astype(np.float32), 2, axis=1)[:, ::2],
    "reversed": lambda a: np.ascontiguousarray(a.astype(np.float32)[::-1])[::-1],
    "read-only": lambda a: read_only(a.astype(np.float32)),
    "list": lambda a: a.tolist(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_gives_the_same(layout: str) -> None:
    rng = np.random.default_rng(3)
    counts, background = rng.poisson(9, (14, 11)), rng.poisson(1, (14, 11))
    exposure = rng.integers(900, 1000, (14, 11))
    mask, seed_only = rng.random((14, 11)) < 0.1, rng.random((14, 11)) < 0.1
    change = LAYOUTS[layout]
    want = contour_bin(
        counts, sn=8, smooth_sn=6, constrain=2, background=background, exposure=exposure,
        background_exposure=2000, mask=mask, seed_only=seed_only,
    )  # fmt: skip
    got = contour_bin(
        change(counts), sn=8, smooth_sn=6, constrain=2, background=change(background),
        exposure=change(exposure), background_exposure=2000, mask=change(mask).astype(bool)
        if layout != "list" else mask.tolist(), seed_only=np.asfortranarray(seed_only),
    )  # fmt: skip
    np.testing.assert_array_equal(got.binmap, want.binmap)
    np.testing.assert_array_equal(got.smoothed, want.smoothed)
    np.testing.assert_array_equal(got.sn_image, want.sn_image)


@given(scenes(COUNTS + FLOATS, largest=10))
def test_inputs_stay_as_they_are(scene: Scene) -> None:
    arguments = scene.api()
    arrays = [scene.counts, *(value for value in arguments.values() if isinstance(value, np.ndarray))]
    before = [array.copy() for array in arrays]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChandraBinWarning)
        got = contour_bin(scene.counts, **arguments)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)
        assert not np.shares_memory(got.smoothed, array)


@pytest.mark.parametrize("threads", [1, 3])
def test_progress_rises_from_0_to_1(threads: int) -> None:
    done: list[float] = []
    contour_bin(LONG_WORK, sn=60, smooth_sn=60, threads=threads, progress=done.append)
    assert done
    assert done == sorted(done)
    assert done[0] >= 0
    assert done[-1] <= 1


def test_an_exception_of_progress_stops_the_work() -> None:
    def stop(done: float) -> None:
        raise KeyError(done)

    with pytest.raises(KeyError):
        contour_bin(LONG_WORK, sn=60, smooth_sn=60, progress=stop)


# ------------------------------------------------------------ bad input


COUNTS_5X6 = np.random.default_rng(0).poisson(20, (5, 6)).astype(np.float32)


@pytest.mark.parametrize(
    "name", ["background", "exposure", "background_exposure", "noise", "smoothed", "mask", "seed_only"]
)
def test_shapes_must_agree(name: str) -> None:
    other = np.ones((6, 5), dtype=bool if name in ("mask", "seed_only") else np.float32)
    with pytest.raises(InputError, match=r"\(6, 5\).*\(5, 6\)|\(5, 6\).*\(6, 5\)") as caught:
        contour_bin(COUNTS_5X6, **{name: other})
    assert name in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("name", ["counts", "background", "noise", "smoothed", "exposure"])
def test_infinite_pixels(name: str, value: float) -> None:
    images = {"counts": COUNTS_5X6.copy(), name: COUNTS_5X6.copy() + 1}
    images[name][2, 3] = value
    with pytest.raises(InputError, match="inf"):
        contour_bin(**images)


@pytest.mark.parametrize("sn", [0, -1, np.nan, np.inf])
@pytest.mark.parametrize("name", ["sn", "smooth_sn", "constrain"])
def test_thresholds_must_be_positive(name: str, sn: float) -> None:
    with pytest.raises(InputError, match=name):
        contour_bin(COUNTS_5X6, **{name: sn})


@pytest.mark.parametrize("fraction", [0, -0.1, np.nan])
def test_scrub_large_must_be_a_fraction(fraction: float) -> None:
    with pytest.raises(InputError, match="scrub_large"):
        contour_bin(COUNTS_5X6, scrub_large=fraction)


def test_unknown_target() -> None:
    with pytest.raises(InputError, match="target"):
        contour_bin(COUNTS_5X6, target="flux")


def test_everything_masked() -> None:
    with pytest.raises(InputError, match=r"mask|exclu|usable"):
        contour_bin(COUNTS_5X6, mask=np.ones((5, 6), dtype=bool))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (7,), (2, 3, 4)])
def test_no_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        contour_bin(np.ones(shape))


@pytest.mark.parametrize("value", [0.0, np.nan, -3.0])
@pytest.mark.parametrize("name", ["exposure", "background_exposure"])
def test_exposure_nowhere(name: str, value: float) -> None:
    with pytest.raises(InputError, match=r"exposure|no data"):
        contour_bin(COUNTS_5X6, background=np.ones((5, 6)), **{name: np.full((5, 6), value)})


@pytest.mark.parametrize("value", [0.0, np.nan, -3.0, np.inf])
@pytest.mark.parametrize("name", ["exposure", "background_exposure"])
def test_invalid_exposure_times_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match="exposure"):
        contour_bin(COUNTS_5X6, background=np.ones((5, 6)), **{name: value})


def test_nan_pixels_are_excluded_with_a_warning() -> None:
    counts = COUNTS_5X6.copy()
    counts[1, 2] = counts[4, 4] = np.nan
    with pytest.warns(ChandraBinWarning, match=r"\b2\b"):
        got = contour_bin(counts, sn=5, smooth_sn=5)
    want = contour_bin(np.nan_to_num(counts), sn=5, smooth_sn=5, mask=np.isnan(counts))
    np.testing.assert_array_equal(got.binmap, want.binmap)
    assert (got.binmap[np.isnan(counts)] == -1).all()


@pytest.mark.parametrize("name", ["background", "noise"])
def test_nan_in_a_map_excludes_the_pixel(name: str) -> None:
    values = np.full((5, 6), 2.0)
    values[1, 2] = np.nan
    with pytest.warns(ChandraBinWarning, match=r"\b1\b"):
        got = contour_bin(COUNTS_5X6, sn=3, smooth_sn=3, **{name: values})
    assert got.binmap[1, 2] == -1
    assert (got.binmap >= 0).sum() == 29


@pytest.mark.filterwarnings("ignore::chandra_bin.ChandraBinWarning")
def test_only_nan() -> None:
    with pytest.raises(InputError):
        contour_bin(np.full((5, 6), np.nan))


def test_an_image_too_bright_to_be_smoothed_in_float32() -> None:
    counts = np.full((5, 6), 3e38, np.float32)
    with pytest.warns(ChandraBinWarning, match="negative pixels"), pytest.raises(InputError, match="exceeds float32"):
        contour_bin(counts, background=-counts, exposure=3.0, background_exposure=1.0)


def test_nan_in_a_given_smoothed_image() -> None:
    smoothed = np.full((5, 6), 2.0)
    smoothed[1, 2] = np.nan
    with pytest.raises(InputError, match="smoothed"):
        contour_bin(COUNTS_5X6, smoothed=smoothed)
    mask = np.isnan(smoothed)
    assert contour_bin(COUNTS_5X6, smoothed=smoothed, mask=mask).binmap[1, 2] == -1


def test_masked_pixels_may_hold_anything() -> None:
    counts = COUNTS_5X6.copy()
    mask = np.zeros((5, 6), dtype=bool)
    mask[2, 2] = True
    want = contour_bin(counts, sn=5, smooth_sn=5, mask=mask)
    counts[2, 2] = np.nan
    got = contour_bin(counts, sn=5, smooth_sn=5, mask=mask)  # without a warning: it was excluded already
    np.testing.assert_array_equal(got.binmap, want.binmap)


def test_negative_counts_warn() -> None:
    counts = COUNTS_5X6.copy()
    counts[3, 3] = -2
    with pytest.warns(ChandraBinWarning, match="negative"):
        contour_bin(counts, sn=5, smooth_sn=5)


def test_a_bin_of_negative_counts_is_left_out_of_the_histogram():
    counts = np.full((6, 6), 4.0, dtype=np.float32)
    counts[2, 3] = -40
    with pytest.warns(ChandraBinWarning, match="1 negative"):
        bins = contour_bin(counts, sn=3, smoothed=-counts)
    assert np.isnan(bins.sn).any()
    numbers = [int(line.split("\t")[1]) for line in histogram_qdp(bins.sn, "Signal:Noise").splitlines()[3:]]
    assert sum(numbers) == np.count_nonzero(np.isfinite(bins.sn))


def test_a_mask_of_numbers_is_refused():
    counts = np.full((6, 6), 9)
    with pytest.raises(InputError, match=r"mask must be boolean.*file_mask < 1"):
        contour_bin(counts, mask=np.ones(counts.shape, dtype=np.int16))


@pytest.mark.parametrize("threads", [0, -3, 1.5])
def test_invalid_numbers_of_threads_are_refused(threads):
    with pytest.raises(InputError, match="threads is"):
        contour_bin(np.full((6, 6), 9), threads=threads)


# ------------------------------------------------------------ the sums of any bins


@pytest.mark.parametrize("ratio", [None, 0.25, "image"])
def test_sums_of_bins_are_those_of_the_binner(ratio: float | str | None) -> None:
    rng = np.random.default_rng(3)
    counts = rng.poisson(4.0, (40, 50)).astype(float)
    background = None if ratio is None else rng.poisson(2.0, counts.shape).astype(float)
    scale = rng.uniform(0.1, 0.4, counts.shape) if ratio == "image" else ratio
    bins = contour_bin(counts, sn=10, smooth_sn=10, background=background, background_scale=scale)
    sums = sum_bins(bins.binmap, counts, background=background, background_scale=scale)
    assert len(bins) > 3
    for name in ("counts", "background", "signal", "noise", "sn"):
        np.testing.assert_allclose(getattr(sums, name), getattr(bins, name), rtol=1e-6, err_msg=name)


def test_sums_refuse_images_of_another_shape() -> None:
    binmap, counts = np.zeros((3, 4), np.int32), np.ones((3, 4))
    with pytest.raises(InputError, match="counts"):
        sum_bins(binmap, np.ones((4, 3)))
    with pytest.raises(InputError, match="background"):
        sum_bins(binmap, counts, background=np.ones((4, 3)))
    with pytest.raises(InputError, match="background_scale"):
        sum_bins(binmap, counts, background=counts, background_scale=np.ones((2, 2)))
