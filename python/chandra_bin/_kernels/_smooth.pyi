from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_Image = NDArray[np.float32]
_Progress = Callable[[float], object] | None

def smooth(
    counts: _Image,
    *,
    background: _Image | None,
    ratio: _Image | None,
    constant_ratio: float,
    noise: _Image | None,
    use: NDArray[np.uint8],
    sn: float,
    threads: int,
    progress: _Progress,
    smoothed: _Image,
) -> None: ...
def smooth_to_weight(
    weights: NDArray[np.float64],
    values: _Image,
    *,
    use: NDArray[np.uint8],
    threshold: float,
    outside: float,
    threads: int,
    progress: _Progress,
    smoothed: _Image,
) -> None: ...
def smooth_exposure(
    counts: _Image,
    *,
    background: _Image | None,
    exposure: _Image,
    use: NDArray[np.uint8],
    exposure_time: float,
    background_exposure_time: float,
    sn: float,
    max_radius: int,
    threads: int,
    progress: _Progress,
    smoothed: _Image,
) -> None: ...
