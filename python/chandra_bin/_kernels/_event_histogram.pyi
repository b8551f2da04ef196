import numpy as np
from numpy.typing import NDArray

from ._select_events import Selection

_Floats = NDArray[np.float32] | NDArray[np.float64]

def event_histogram(
    x: _Floats,
    y: _Floats,
    *,
    x_first_edge: float,
    x_step: float,
    y_first_edge: float,
    y_step: float,
    selection: Selection | None,
    threads: int,
    image: NDArray[np.int32],
) -> int: ...
def weighted_event_histogram(
    x: _Floats,
    y: _Floats,
    weights: _Floats,
    *,
    x_first_edge: float,
    x_step: float,
    y_first_edge: float,
    y_step: float,
    selection: Selection | None,
    threads: int,
    image: NDArray[np.float64],
) -> int: ...
