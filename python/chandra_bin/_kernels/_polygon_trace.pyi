import numpy as np
from numpy.typing import NDArray

def polygon_trace(
    labels: NDArray[np.int32],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]: ...
