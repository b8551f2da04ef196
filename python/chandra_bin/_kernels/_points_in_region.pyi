import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float32] | NDArray[np.float64]

def points_in_region(
    kinds: NDArray[np.uint8],
    complements: NDArray[np.uint8],
    params: NDArray[np.float64],
    param_offsets: NDArray[np.int64],
    component_offsets: NDArray[np.int64],
    *,
    x: _Floats,
    y: _Floats,
    threads: int,
    inside: NDArray[np.uint8],
) -> int: ...
def region_labels(
    kinds: NDArray[np.uint8],
    complements: NDArray[np.uint8],
    params: NDArray[np.float64],
    param_offsets: NDArray[np.int64],
    component_offsets: NDArray[np.int64],
    *,
    group_offsets: NDArray[np.int64],
    x: _Floats,
    y: _Floats,
    threads: int,
    labels: NDArray[np.int32],
) -> int: ...
