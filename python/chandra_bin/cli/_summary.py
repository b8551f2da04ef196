"""The line that ends a run of binning."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chandra_bin.binning import ContourBins


def bins_line(bins: "ContourBins", seconds: float) -> str:
    """Number of bins, the range of their S/N, and the time it took."""
    if not bins.sn.size:
        return f"no bins in {seconds:.1f} s"
    return f"{bins.sn.size} bins, S/N {bins.sn.min():.3g} to {bins.sn.max():.3g}, in {seconds:.1f} s"
