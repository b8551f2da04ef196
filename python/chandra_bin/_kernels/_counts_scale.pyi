from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_Image = NDArray[np.float32]
_Progress = Callable[[float], object] | None

def counts_scale(
    counts: _Image,
    *,
    background: _Image | None,
    use: NDArray[np.uint8],
    sn: float,
    threads: int,
    progress: _Progress,
    scale: NDArray[np.int32],
) -> None: ...
def apply_scale(
    image: _Image,
    scale: NDArray[np.int32],
    *,
    use: NDArray[np.uint8],
    gaussian: bool,
    threads: int,
    progress: _Progress,
    applied: _Image,
) -> None: ...
