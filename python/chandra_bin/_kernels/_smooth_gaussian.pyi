from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

def smooth_gaussian(
    flux: Image,
    exposure: Image,
    use: NDArray[np.uint8],
    sn: float,
    threads: int,
    progress: Callable[[float], object] | None,
    smoothed: Image,
) -> None: ...
