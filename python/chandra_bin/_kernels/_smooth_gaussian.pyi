from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_Image = NDArray[np.float32]

def smooth_gaussian(
    flux: _Image,
    exposure: _Image,
    *,
    use: NDArray[np.uint8],
    sn: float,
    threads: int,
    progress: Callable[[float], object] | None,
    smoothed: _Image,
) -> None: ...
