from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Progress = Callable[[float], object] | None

def smooth(
    counts: Image,
    background: Image | None,
    ratio: Image | None,
    constant_ratio: float,
    noise: Image | None,
    use: NDArray[np.uint8],
    sn: float,
    threads: int,
    progress: Progress,
    smoothed: Image,
) -> None: ...
def smooth_to_weight(
    weights: NDArray[np.float64],
    values: Image,
    use: NDArray[np.uint8],
    threshold: float,
    outside: float,
    threads: int,
    progress: Progress,
    smoothed: Image,
) -> None: ...
def smooth_exposure(
    counts: Image,
    background: Image | None,
    exposure: Image,
    use: NDArray[np.uint8],
    exposure_time: float,
    background_exposure_time: float,
    sn: float,
    max_radius: int,
    threads: int,
    progress: Progress,
    smoothed: Image,
) -> None: ...
