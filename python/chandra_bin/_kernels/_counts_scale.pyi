from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Progress = Callable[[float], object] | None

def counts_scale(
    counts: Image,
    background: Image | None,
    use: NDArray[np.uint8],
    sn: float,
    threads: int,
    progress: Progress,
    scale: NDArray[np.int32],
) -> None: ...
def apply_scale(
    image: Image,
    scale: NDArray[np.int32],
    use: NDArray[np.uint8],
    gaussian: bool,
    threads: int,
    progress: Progress,
    applied: Image,
) -> None: ...
