"""Detection of sources, compared with photutils and sep (completeness: ``tests/test_campaign_detect.py``)."""

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


RACES = {
    "detect": Race("sources on 1024², 0.05 counts a pixel", _field, _detect, (
        Peer("photutils", _by("photutils_sources"), ("photutils", "skimage"), tolerance=None, note=OTHER),
        Peer("sep", _by("sep_sources"), ("sep",), tolerance=None, note=OTHER)),
        result=lambda found: np.array([source.x for source in found.sources]), threads=1),
}
