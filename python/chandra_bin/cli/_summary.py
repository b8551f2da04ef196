"""The last line of a run of binning."""

from typing import TYPE_CHECKING

from chandra_bin.errors import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def bins_line(sn: "NDArray[np.float64]", seconds: float) -> str:
    """Return a line with the number of bins, the range of their S/N, and the elapsed time."""
    if not sn.size:
        return f"no bins in {seconds:.1f} s"
    return f"{counted(sn.size, 'bin')}, S/N {sn.min():.3g} to {sn.max():.3g}, in {seconds:.1f} s"
