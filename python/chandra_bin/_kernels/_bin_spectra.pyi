import numpy as np
from numpy.typing import NDArray

from ._select_events import Selection

_Floats = NDArray[np.float32] | NDArray[np.float64]
_Channels = NDArray[np.int16] | NDArray[np.int32]

def bin_spectra(
    labels: NDArray[np.int32],
    channels: _Channels,
    *,
    first_channel: int,
    chips: NDArray[np.int16] | None,
    chip_numbers: NDArray[np.int16] | None,
    selection: Selection | None,
    threads: int,
    spectra: NDArray[np.int32],
) -> int: ...
def bin_spectra_by_map(
    x: _Floats,
    y: _Floats,
    binmap: NDArray[np.int32],
    *,
    x_first_edge: float,
    x_step: float,
    y_first_edge: float,
    y_step: float,
    channels: _Channels,
    first_channel: int,
    chips: NDArray[np.int16] | None,
    chip_numbers: NDArray[np.int16] | None,
    selection: Selection | None,
    threads: int,
    spectra: NDArray[np.int32],
) -> int: ...
