import numpy as np
from numpy.typing import NDArray

def rasterize_shapes(
    kinds: NDArray[np.uint8],
    complements: NDArray[np.uint8],
    params: NDArray[np.float64],
    param_offsets: NDArray[np.int64],
    component_offsets: NDArray[np.int64],
    *,
    x_first: float,
    x_step: float,
    y_first: float,
    y_step: float,
    mask: NDArray[np.uint8],
) -> None: ...
def rasterize_polygons(
    points: NDArray[np.float64],
    ring_offsets: NDArray[np.int64],
    polygon_offsets: NDArray[np.int64],
    labels: NDArray[np.int32],
    *,
    x_first: float,
    x_step: float,
    y_first: float,
    y_step: float,
    image: NDArray[np.int32],
) -> None: ...
