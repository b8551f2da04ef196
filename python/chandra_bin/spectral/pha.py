"""Spectra of counts (PHA files of type I), as CIAO's tools, the Chandra Source Catalog and this package write them.

The format is that of OGIP/92-007 (Arnaud et al. 1992).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats, Wholes
from chandra_bin.errors import InputError, counted, warn
from chandra_bin.fits.headers import is_number, text_of
from chandra_bin.fits.tables import Hdu, Rows, open_fits

from .ogip import ABOUT, Rmf

_BAD = (1, 5)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Counts in channels, with the exposure, area and scales that they must be divided by."""

    counts: Floats
    """(channels,)."""
    first_channel: int
    """Number of the first channel."""
    exposure_s: float
    """Live time, seconds (EXPOSURE)."""
    backscal: float
    """Area of the region, as a part of the detector (BACKSCAL)."""
    areascal: float
    """A factor of the effective area (AREASCAL), usually 1."""
    grouping: NDArray[np.int16]
    """(channels,): 1 where a group begins, -1 where it continues, 0 without groups (GROUPING)."""
    quality: NDArray[np.int16]
    """(channels,): 0 good, 1 bad, 2 dubious, 5 bad by the user (QUALITY)."""
    is_poisson: bool = True
    """Whether the numbers are counts: POISSERR, or whole numbers, as old files of CIAO have POISSERR = F for counts."""
    background_file: Path | None = None
    """BACKFILE, in the folder of the spectrum; the same file where it holds the background, too."""
    response_file: Path | None = None
    """RESPFILE."""
    ancillary_file: Path | None = None
    """ANCRFILE."""
    keywords: Mapping[str, str] = field(default_factory=dict)
    """TELESCOP, INSTRUME, OBS_ID and others, as far as the file has them."""
    file: str = ""

    def __repr__(self) -> str:
        return (f"<Spectrum {self.file or 'in memory'}: {self.counts.sum():g} counts in {len(self.counts)} channels, "
                f"{self.exposure_s:.6g} s>")

    @property
    def is_good(self) -> NDArray[np.bool_]:
        """Channels that are not marked as bad (1 or 5), (channels,)."""
        return ~np.isin(self.quality, _BAD)

    def groups(self) -> Wholes:
        """Return the number of the group of each channel, from 0, (channels,); -1 for those that are left out.

        Without grouping each channel is a group. A group with a channel whose quality is not 0 is left out as a whole;
        a `ChandraBinWarning` counts those with good channels.
        """
        number = np.cumsum(self.grouping >= 0) - 1
        if self.grouping[0] < 0:
            number += 1  # the first group begins without a mark
        flawed = np.zeros(number[-1] + 1, dtype=bool)
        flawed[number[self.quality != 0]] = True
        mixed = np.unique(number[flawed[number] & (self.quality == 0)])
        if len(mixed):
            warn(f"{self.file or 'the spectrum'}: {counted(len(mixed), 'group')} with good and bad channels (QUALITY) "
                 "are left out")
        kept = np.cumsum(~flawed) - 1
        return np.where(flawed[number], -1, kept[number])

    def scale_of(self, background: "Spectrum") -> float:
        """Return the scale of a background spectrum to this one, by EXPOSURE, AREASCAL and BACKSCAL."""
        return ((self.exposure_s * self.areascal * self.backscal)
                / (background.exposure_s * background.areascal * background.backscal))

    def check_channels(self, rmf: Rmf) -> None:
        """Raise `InputError` for an RMF whose channels differ from those of the spectrum."""
        if (len(self.counts), self.first_channel) != (len(rmf.channel_lo), rmf.first_channel):
            raise InputError(f"{self.file or 'a spectrum'}: has {len(self.counts)} channels from {self.first_channel}, "
                             f"and {rmf.file or 'the RMF'} {len(rmf.channel_lo)} from {rmf.first_channel}: give the "
                             "RMF that was made for it")


def read_pha(path: str | PathLike[str], part: Literal["source", "background"] = "source") -> Spectrum:
    """Read a spectrum.

    Parameters
    ----------
    path : str or path
        A FITS file, gzipped or not.
    part : {"source", "background"}
        Which spectrum of a file with several, as those of the Chandra Source Catalog: the first that is not a
        background, or the first background (HDUCLAS2). A file with one spectrum holds it as either.

    Returns
    -------
    Spectrum

    Raises
    ------
    InputError
        Where the file is damaged or not a spectrum, holds rates, negative or NaN counts, where EXPOSURE, BACKSCAL or
        AREASCAL are not positive or differ from channel to channel, and where the background was subtracted.
    """
    if part not in ("source", "background"):
        raise InputError(f"part is {part!r}: it must be source or background")
    file = Path(path)
    found: list[Spectrum] = []
    kinds: list[bool] = []
    with open_fits(file) as hdus:
        for hdu in hdus:
            if hdu.is_table and (text_of(hdu.header, "HDUCLAS1") == "SPECTRUM" or hdu.name.upper() == "SPECTRUM"):
                found.append(_spectrum(hdu, hdu.table()))
                kinds.append(text_of(hdu.header, "HDUCLAS2") == "BKG")
    if not found:
        raise InputError(f"{file}: is not a spectrum: no table has the name or the HDUCLAS1 SPECTRUM")
    wanted = part == "background"
    return found[kinds.index(wanted) if wanted in kinds else 0]


def read_background(spectrum: Spectrum) -> Spectrum:
    """Read the background that a spectrum names (BACKFILE).

    Raises
    ------
    InputError
        As `read_pha` does, and where the spectrum names no background, the file is missing, or has other channels.
    """
    if spectrum.background_file is None:
        raise InputError(f"{spectrum.file or 'the spectrum'}: names no background (BACKFILE)")
    if not spectrum.background_file.is_file():
        raise InputError(f"{spectrum.background_file}: no such file; {spectrum.file} names it as its background "
                         "(BACKFILE): put it there, or fit without background")
    background = read_pha(spectrum.background_file, "background")
    if (len(background.counts), background.first_channel) != (len(spectrum.counts), spectrum.first_channel):
        raise InputError(f"{background.file}: has {len(background.counts)} channels from {background.first_channel}, "
                         f"and {spectrum.file} {len(spectrum.counts)} from {spectrum.first_channel}: extract both")
    return background


def _spectrum(hdu: Hdu, rows: Rows) -> Spectrum:
    if text_of(hdu.header, "HDUCLAS2") == "NET":
        raise hdu.error("has its background subtracted (HDUCLAS2 = NET): give the two as separate files")
    if "counts" in hdu.columns and hdu.columns["counts"].repeat > 1:
        raise hdu.error(f"holds {counted(len(rows), 'spectrum', 'spectra')} (type II): give a file with one spectrum")
    if "counts" not in hdu.columns and "rate" in hdu.columns:
        raise hdu.error("holds rates, not counts: make the spectrum with a column COUNTS")
    counts = hdu.need_numbers("COUNTS")[0].values(rows).astype(np.float64)
    channel = hdu.need_numbers("CHANNEL")[0].values(rows)
    if not len(channel) or np.any(np.diff(channel) != 1):
        raise hdu.error("does not hold its channels one by one (CHANNEL)")
    if np.any(wrong := ~(np.isfinite(counts) & (counts >= 0))):
        raise hdu.error(f"has {counts[wrong][0]:g} counts in channel {channel[wrong][0]}: counts must be zero or more")
    number = hdu.header.get("DETCHANS", len(channel))
    if number != len(channel):
        raise hdu.error(f"has {len(channel)} channels, and DETCHANS = {number}: give a spectrum of all channels")
    is_poisson = bool(hdu.header.get("POISSERR", "stat_err" not in hdu.columns)) or bool(np.all(counts % 1 == 0))
    return Spectrum(
        counts, int(channel[0]), _scale(hdu, "EXPOSURE"), _scale(hdu, "BACKSCAL"), _scale(hdu, "AREASCAL"),
        _flags(hdu, rows, "GROUPING"), _flags(hdu, rows, "QUALITY"), is_poisson,
        _beside(hdu, "BACKFILE"), _beside(hdu, "RESPFILE"), _beside(hdu, "ANCRFILE"),
        {key: text_of(hdu.header, key) for key in ABOUT if key in hdu.header}, str(hdu.path))


def _scale(hdu: Hdu, key: str) -> float:
    """Return EXPOSURE, BACKSCAL or AREASCAL, which may be missing if it is 1."""
    if key.lower() in hdu.columns:
        raise hdu.error(f"has a {key} for each channel: one number for all is needed")
    value = hdu.header.get(key, None if key == "EXPOSURE" else 1.0)
    if not is_number(value) or value <= 0:
        raise hdu.error(f"has {key} = {value}: it must be positive; extract the spectrum again")
    return float(value)


def _flags(hdu: Hdu, rows: Rows, name: str) -> NDArray[np.int16]:
    """Return GROUPING or QUALITY of each channel; a keyword holds for all."""
    if name.lower() in hdu.columns:
        return hdu.need_numbers(name)[0].values(rows).astype(np.int16)
    value = hdu.header.get(name, 0)
    return np.full(len(rows), value if is_number(value) else 0, dtype=np.int16)


def _beside(hdu: Hdu, key: str) -> Path | None:
    """Return a file that a keyword names, in the folder of the spectrum, gzipped or not; None where it names none."""
    name = text_of(hdu.header, key).partition("[")[0].strip()
    if name.lower() in ("", "none"):
        return None
    file = hdu.path.parent / name
    packed = file.with_name(f"{file.name}.gz")
    return packed if packed.is_file() and not file.is_file() else file
