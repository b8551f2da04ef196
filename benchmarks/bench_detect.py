"""Detection of sources, compared with photutils and sep (completeness: ``tests/test_campaign_detect.py``).

And the ratios of a background in pixels without counts, and a chip turned to the sky.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import chandra_bin

from .race import CHECKOUT, OTHER, Call, Inputs, Peer, Race


def bench_detection(contest: Callable[[], None]) -> None:
    contest()


def _fields() -> Any:
    sys.path.insert(0, str(CHECKOUT / "tests"))
    import detection_fields

    return detection_fields


def _field(quick: bool) -> Inputs:
    made = _fields().scene(256 if quick else 1024, 0.05, 20 if quick else 75, 1)
    return {"image": made["image"], "psf": made["psf"]}


def _detect(inputs: Inputs, _threads: int) -> Call:
    image = inputs["image"]
    scales = [scale for scale in (1.0, 2.0, 4.0, 8.0, 16.0) if scale * 2.8 < min(image.shape)]
    return lambda: chandra_bin.detect_sources(image, chandra_bin.DetectionOptions(scales), psf_sigma_px=inputs["psf"])


def _by(search: str) -> Callable[[Inputs], Call]:
    return lambda inputs: lambda: getattr(_fields(), search)(inputs["image"], clipped=False)


def _sky(quick: bool) -> Inputs:
    counts = np.random.default_rng(4).poisson(0.1, (128, 128) if quick else (2048, 2048)).astype(np.int32)
    return {"counts": counts, "expected": counts * np.linspace(0.2, 0.4, counts.size).reshape(counts.shape)}


def _ratios(inputs: Inputs, _threads: int) -> Call:
    from chandra_bin.sources.background import Background

    return lambda: Background.of(inputs["counts"], inputs["expected"])


def _distance_transform(inputs: Inputs) -> Call:
    from scipy.ndimage import distance_transform_edt

    def call() -> Any:
        counts = inputs["counts"]
        ratio = inputs["expected"] / np.maximum(counts, 1)
        y, x = distance_transform_edt(counts == 0, return_distances=False, return_indices=True)
        return ratio[y, x]

    return call


def _chip(quick: bool) -> Inputs:
    image = np.random.default_rng(5).random((128, 128) if quick else (1100, 1100))
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    return {"image": image, "turn": turn, "offset": np.array([0.3, -0.2]) * len(image), "shape": np.array(image.shape)}


def _interpolated(inputs: Inputs, _threads: int) -> Call:
    from chandra_bin._kernels._interpolate import interpolate

    def call() -> Any:
        values = np.empty(inputs["shape"], np.float32)
        interpolate(inputs["image"], inputs["turn"], inputs["offset"], values=values)
        return values

    return call


def _affine_transform(inputs: Inputs) -> Call:
    from scipy.ndimage import affine_transform

    return lambda: affine_transform(inputs["image"], inputs["turn"], inputs["offset"], tuple(inputs["shape"]),
                                    np.float32, order=1)


RACES = {
    "interpolate": Race("a turned chip of 1100²", _chip, _interpolated, (
        Peer("scipy affine_transform", _affine_transform),), ("interpolate",), threads=1),
    "nearest_values": Race("ratios of 2048², 9 % with counts", _sky, _ratios, (
        Peer("scipy distance_transform_edt", _distance_transform),), ("nearest_values",),
        result=lambda made: made.ratio, threads=1),
    "detect": Race("sources on 1024², 0.05 counts a pixel", _field, _detect, (
        Peer("photutils", _by("photutils_sources"), ("photutils", "skimage"), tolerance=None, note=OTHER),
        Peer("sep", _by("sep_sources"), ("sep",), tolerance=None, note=OTHER)),
        result=lambda found: np.array([source.x for source in found.sources]), threads=1),
}
