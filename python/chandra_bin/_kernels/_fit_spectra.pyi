from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int32]

def fit_spectra(
    kt: _Floats,
    rates: _Floats,
    *,
    bin_offsets: NDArray[np.int64],
    counts: _Floats,
    background: _Floats,
    band_counts: _Floats,
    band_expected: _Floats,
    exposure: _Floats,
    ratio: _Floats,
    statistic: NDArray[np.uint8],
    groups: _Ints,
    weight_offsets: NDArray[np.int64],
    weight_response: _Ints,
    weight: _Floats,
    kt_low: float,
    kt_high: float,
    abundance_low: float,
    abundance_high: float,
    delta: _Floats,
    fixed_abundance: _Floats,
    table: _Floats,
    table_first: float,
    table_step: float,
    threads: int,
    progress: Callable[[float], object] | None,
    fitted: _Floats,
    flags: _Ints,
    evaluations: _Ints,
    amounts: _Floats,
) -> None: ...
def fit_background_amounts(
    source: _Floats,
    *,
    counts: _Floats,
    background: _Floats,
    band_counts: _Floats,
    band_expected: _Floats,
    statistic: NDArray[np.uint8],
    amounts: _Floats,
) -> None: ...
