"""Histograms of contbin's qdp files."""

import numpy as np
from numpy.typing import ArrayLike

_STEPS = 30

# Keeps the largest value inside the last step.
_MARGIN = 0.0001


def histogram_qdp(values: ArrayLike, label: str) -> str:
    """Return the QDP text of a histogram of ``values``, (bins,), in 30 steps; ``label`` names the x axis.

    Each line has the middle of a step, to six significant digits, and the number of values in it. Values that are not
    finite (the S/N of bins of negative counts) are skipped.
    """
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)]
    lines = [f"label x {label}", "label y Number", "line step"]
    if array.size:
        lowest = array.min()
        width = (array.max() - lowest + _MARGIN) / _STEPS
        steps = np.minimum(((array - lowest) / width).astype(np.intp), _STEPS - 1)
        numbers = np.bincount(steps, minlength=_STEPS)
        lines += [f"{lowest + (i + 0.5) * width:g}\t{number}" for i, number in enumerate(numbers)]
    return "\n".join(lines) + "\n"
