import numpy as np
from numpy.typing import NDArray

def cover_with_boxes(
    labels: NDArray[np.int32], bins: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]: ...
