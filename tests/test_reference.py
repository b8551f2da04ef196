"""The reference itself, against the outputs of the original programs."""

import math
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from golden_data import contbin_scene, read_cases, read_expected, read_image, read_region_files
from reference import contbin_reference as reference

# The kernels are held by the same files in the first tier.
pytestmark = pytest.mark.full

# Above some seconds in pure Python; the kernels run them all.
SLOW = {"automask", "bg_constrain", "expmap", "noisemap", "scaledflux", "large", "large_free",
        "ngc5044_70_100_c3", "ngc5044_30_50", "ngc5044_auto", "a1835_bg_expmap", "a1835_expmap"}  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.long if n in SLOW else ()) for n in read_cases("contbin")]
)
def test_contbin(name: str) -> None:
    scene, want = contbin_scene(name), read_expected(name)
    case = read_cases("contbin")[name]
    got = reference.contour_bin(scene.counts, **scene.reference())
    np.testing.assert_array_equal(scene.use, want["mask"])
    different = (got.binmap != want["binmap"]) | (got.out != want["out"]) | (got.sn != want["sn"])
    assert different.mean() <= case.get("tolerance", 0)
    if not case.get("tolerance"):
        assert reference.qdp_histogram([math.sqrt(v) for v in got.sn2], "Signal:Noise") == str(want["sn_qdp"])
        assert reference.qdp_histogram(got.signal, "Counts") == str(want["signal_qdp"])
        assert bool(got.stuck) == bool(case["warnings"])


@pytest.mark.parametrize("name", ["constrain3", "mask", "ngc5044_70_100_c3", "tiny"])
def test_region_files(name: str) -> None:
    case = read_cases("region")[name]
    got = reference.region_files(read_expected(name)["binmap"], case["minx"], case["miny"], case["bin"])
    assert got == read_region_files(name)


def image(name: str) -> Any:
    return read_image(name)[0]


EXACT: dict[str, Callable[[], Any]] = {
    "acsmooth": lambda: reference.smooth(image("counts_96x80"), 20),
    "acsmooth_mask": lambda: reference.smooth(image("counts_96x80"), 20, use=image("mask_96x80")),
    "acsmooth_bg": lambda: reference.smooth(
        image("src_128"),
        20,
        background=image("bg_128"),
        exposure_ratio=reference.exposure_ratio(50000, 275000, (128, 128)),
    ),
    "acsmooth_float": lambda: reference.smooth(image("scaledflux_128"), 20),
    "acsmooth_expmap": lambda: reference.smooth_expmap(
        image("expcorr_128"), image("expmap_128"), 20, image("ones_mask_128")
    ),
    "expcorr": lambda: reference.smooth_expcorr(
        image("src_exp_128"), image("expcorr_128"), 20, image("ones_mask_128")
    ),
    "accounts_scale": lambda: reference.counts_scale(image("counts_96x80"), 20, use=image("mask_96x80")),
    "accounts_apply": lambda: reference.apply_scale(
        image("counts_96x80"), read_expected("accounts_scale")["scale"], use=image("mask_96x80")
    ),
}
# The original sums these in float32: 1e-4 was asked for, 1e-5 is kept.
CLOSE: dict[str, Callable[[], Any]] = {
    "accounts_apply_gauss": lambda: reference.apply_scale(
        image("counts_96x80"), read_expected("accounts_scale")["scale"], True, image("mask_96x80")
    ),
    "adaptive_gauss": lambda: reference.smooth_gaussian(
        image("expcorr_128"), image("expmap_128"), 20, image("ones_mask_128")
    ),
    "exposure_smooth": lambda: reference.smooth_exposure(
        image("src_exp_128"),
        image("expmap_128"),
        background=image("bg_128"),
        exposure_time=50000,
        background_exposure_time=275000,
        sn=20,
    ),
}


@pytest.mark.parametrize("name", EXACT)
def test_smoothers_equal(name: str) -> None:
    output = read_cases("smooth")[name]["outputs"][0]
    np.testing.assert_array_equal(EXACT[name](), read_expected(name)[output])


@pytest.mark.parametrize("name", CLOSE)
def test_smoothers_close(name: str) -> None:
    output = read_cases("smooth")[name]["outputs"][0]
    np.testing.assert_allclose(CLOSE[name](), read_expected(name)[output], rtol=1e-5)


SORT = r"""
#include <algorithm>
#include <iostream>
#include <vector>
int main() {
    int n;
    while (std::cin >> n) {
        std::vector<int> key(n), order(n);
        for (auto& k : key) std::cin >> k;
        for (int i = 0; i < n; ++i) order[i] = i;
        std::sort(order.begin(), order.end(), [&](int a, int b) { return key[a] > key[b]; });
        for (int i : order) std::cout << i << ' ';
        std::cout << '\n';
    }
}
"""


def adversary(size: int) -> list[int]:
    """Keys that make quicksort quadratic (McIlroy 1999), so that introsort must change to heapsort."""
    unknown = size
    key, state = [unknown] * size, {"next": 0, "candidate": 0}

    def less(a: int, b: int) -> bool:
        if key[a] == key[b] == unknown:
            key[a if a == state["candidate"] else b] = state["next"]
            state["next"] += 1
        if unknown in (key[a], key[b]):
            state["candidate"] = a if key[a] == unknown else b
        return key[a] < key[b]

    reference.introsort(list(range(size)), less)
    return [-k for k in key]


def test_introsort_is_that_of_the_standard_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++ to ask what std::sort does")
    (tmp_path / "sort.cpp").write_text(SORT)
    subprocess.run([compiler, "-o", tmp_path / "sort", tmp_path / "sort.cpp"], check=True)

    rng = random.Random(1)
    sizes = [0, 1, 2, 3, 15, 16, 17, 18, 31, 32, 33, *(rng.randrange(1500) for _ in range(60))]
    lists = [[rng.randrange(values) for _ in range(n)] for n in sizes for values in (1, 2, 5, 60, 10**6)]
    lists += [[k // ties for k in adversary(n)] for n in (100, 500, 3000) for ties in (1, 7)]
    heapsorts = []
    heapsort = reference._heapsort
    monkeypatch.setattr(reference, "_heapsort", lambda *args: (heapsorts.append(1), heapsort(*args)))

    text = "\n".join(" ".join(map(str, [len(keys), *keys])) for keys in lists)
    run = subprocess.run([tmp_path / "sort"], input=text, capture_output=True, text=True, check=True)
    for keys, line in zip(lists, run.stdout.splitlines(), strict=True):
        order = list(range(len(keys)))
        reference.introsort(order, lambda a, b, keys=keys: keys[a] > keys[b])
        assert order == [int(word) for word in line.split()]
    assert heapsorts, "no list was bad enough for the heapsort"


def test_disc_of_spec_3() -> None:
    assert [len(reference.ring_offsets(r, 9, 9)) for r in range(4)] == [1, 8, 16, 20]
    assert reference.ring_offsets(1, 9, 9)[:4] == [(-1, -1), (0, -1), (1, -1), (-1, 0)]
    assert len(reference.ring_offsets(2, 1, 1)) == 0
