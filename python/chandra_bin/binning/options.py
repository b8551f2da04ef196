"""Options of contour binning: one class for Python, the command line, batch manifests and the pipeline."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from chandra_bin._checks.options import ERROR, POSITIVE, SHARE, Options, documented, option

Contours: TypeAlias = Literal["flux", "counts"]


@documented
@dataclass(frozen=True, repr=False)
class BinningOptions(Options):
    """Options of contour binning. Raises `InputError` for an option that is out of range."""

    sn: float = option(15, "Target S/N of a bin.", symbol="S", limits=POSITIVE)
    counts: float | None = option(None, "Target net counts of a bin, instead of a target S/N.", unit="counts",
                                  symbol="N", limits=POSITIVE)
    smooth_sn: float = option(15, "S/N of the smoothing that defines the contours.", symbol="S", limits=POSITIVE)
    contours: Contours | None = option(
        None, "Image that the bins follow: corrected for the exposure map (flux), or counts, as in contbin.",
        otherwise="flux with an exposure map, else counts")
    background_systematic: float | None = option(
        None, "Fractional error of the background (1 sigma), for sn_sys in the table; BKGFERR of its header is added "
        "in quadrature.", symbol="F", otherwise="0.03; 0 for a local background with BKGFERR", limits=ERROR)
    constrain: float | None = option(None, "Largest extent of a bin, in radii of a disc of its area; 3 is usual.",
                                     unit="radii", symbol="C", otherwise="no limit", limits=POSITIVE)
    automask: bool = option(False, "Exclude empty blocks of 8 x 8 pixels.")
    bin_up: bool = option(False, "Start with the faintest pixels.")
    scrub: bool = option(True, "Dissolve bins below the target.", negative="Keep bins below the target.")
    scrub_large: float | None = option(None, "Remove bins with at least this fraction of all pixels.", symbol="F",
                                       otherwise="no limit", limits=SHARE)


def two_targets(given: Collection[str]) -> Iterator[str]:
    """Yield an error if the options ``given`` set two targets."""
    if "sn" in given and "counts" in given:
        yield "sn and counts exclude each other: give one of them"
