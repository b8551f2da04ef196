"""The options of contour binning: one class for Python, the command line, manifests of batches and the pipeline."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from chandra_bin._checks.options import ERROR, POSITIVE, SHARE, Options, documented, option

Contours: TypeAlias = Literal["flux", "counts"]


@documented
@dataclass(frozen=True, repr=False)
class BinningOptions(Options):
    """How an image is binned. Raises `InputError` for an option that is out of range."""

    sn: float = option(15, "S/N that a bin shall reach.", symbol="S", limits=POSITIVE)
    counts: float | None = option(None, "Net counts that a bin shall reach, instead of a S/N.", unit="counts",
                                  symbol="N", limits=POSITIVE)
    smooth_sn: float = option(15, "S/N of the smoothed image that the contours come from.", symbol="S", limits=POSITIVE)
    contours: Contours | None = option(
        None, "What the bins follow: the image corrected for the exposure map, or the counts, as contbin does.",
        otherwise="flux with an exposure map, else counts")
    background_systematic: float | None = option(
        None, "Error of the background for sn_sys in the table, as a fraction (1 sigma); BKGFERR of its header adds in "
        "quadrature.", symbol="F", otherwise="0.03; 0 for a local background with BKGFERR", limits=ERROR)
    constrain: float | None = option(None, "How far bins may reach, in radii of a disc of their area; 3 is usual.",
                                     unit="radii", symbol="C", otherwise="no limit", limits=POSITIVE)
    automask: bool = option(False, "Exclude empty blocks of 8 x 8 pixels.")
    bin_up: bool = option(False, "Begin with the faintest pixels.")
    scrub: bool = option(True, "Dissolve bins below the S/N.", negative="Keep bins below the S/N.")
    scrub_large: float | None = option(None, "Drop bins with this fraction of all pixels or more.", symbol="F",
                                       otherwise="no limit", limits=SHARE)


def two_targets(given: Collection[str]) -> Iterator[str]:
    """Report options, by their names, that both set the goal of a bin."""
    if "sn" in given and "counts" in given:
        yield "sn and counts exclude each other: give one of the two"
