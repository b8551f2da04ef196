"""A folder of Chandra's archive: which observations it holds, and which of their files."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ObservationFiles:
    """The files of an observation that were found."""

    obsid: str
    """Digits, without zeros in front."""
    events: Path
    """Level 2."""
    events_level1: tuple[Path, ...] = ()
    aspect: tuple[Path, ...] = ()
    bad_pixels: Path | None = None
    field_of_view: Path | None = None
    mask: Path | None = None
    filter: Path | None = None
    """Good times of level 1 (flt1)."""
    blank_sky: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Observation:
    """What the header of the events says."""

    target: str
    ra_deg: float
    dec_deg: float
    exposure_s: float
    """Live seconds."""
    datamode: str
    """FAINT, VFAINT, ..."""
    readmode: str
    """TIMED, or CONTINUOUS, which makes no images."""
    instrument: str
    aim_chip: int
    """3 for ACIS-I, 7 for ACIS-S, and sometimes another one."""
    date: str

    @property
    def is_acis_i(self) -> bool:
        return self.aim_chip <= 3

    @property
    def chips(self) -> str:
        """The chips that are used: all of ACIS-I, else that of the aim point."""
        return "0:3" if self.is_acis_i else str(self.aim_chip)
