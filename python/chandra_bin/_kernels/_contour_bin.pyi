from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_Image = NDArray[np.float32]

def contour_bin(
    counts: _Image,
    *,
    background: _Image | None,
    ratio: _Image | None,
    constant_ratio: float,
    noise: _Image | None,
    use: NDArray[np.uint8],
    smoothed: _Image,
    target_counts: bool,
    threshold: float,
    constrain: float,
    bin_up: bool,
    scrub: bool,
    scrub_large: float,
    threads: int,
    progress: Callable[[float], object] | None,
    binmap: NDArray[np.int32],
) -> tuple[memoryview, int]: ...
