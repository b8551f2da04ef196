import numpy as np
from numpy.typing import NDArray

def interpolate(
    image: NDArray[np.float64],
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    *,
    values: NDArray[np.float32],
) -> None: ...
def doubled(image: NDArray[np.float32], *, values: NDArray[np.float32]) -> None: ...
