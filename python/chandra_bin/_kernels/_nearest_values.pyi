from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

def nearest_values(
    known: NDArray[np.uint8],
    *,
    threads: int,
    progress: Callable[[float], object] | None,
    values: NDArray[np.float64],
) -> None: ...
