"""Selection of the blank-sky files of Chandra's calibration database for an observation.

The files are named ``acis7sD2005-09-01bkgrnd_ctiN0001.fits``: chip, array of the aim point (i or s), first day of the
period, ``_cti`` for events corrected for charge-transfer inefficiency (CTI), version. CIAO's ``acis_bkgrnd_lookup``
finds the same files through the index of the database. Their events are in chip coordinates, without sky coordinates.
"""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chandra_bin.acis import geometry as acis
from chandra_bin.errors import InputError
from chandra_bin.fits.headers import is_number, text_of

_NAME = re.compile(r"acis(\d)([is])D(\d{4}-\d\d-\d\d)bkgrnd(_cti)?N(\d{4})\.fits(?:\.gz)?", re.IGNORECASE)
# The folder of the files in the database.
_FOLDER = Path("data/chandra/acis/bkgrnd")
# Letters of CTI_APP, one per chip: corrected for parallel CTI (P), serial CTI (S) or both (B).
_CORRECTED = frozenset("PSB")


@dataclass(frozen=True, order=True)
class _SkyFile:
    """A blank-sky file by its name; files of one chip, array and CTI correction sort by period and version."""

    day: str
    version: int
    chip: int
    array: str
    is_corrected: bool
    path: Path


@dataclass(frozen=True)
class LackingSky:
    """A chip of an observation without a blank-sky file."""

    chip: int
    conditions: str
    """The conditions of the file: ``aim point on ACIS-I, 2000-01-01, with CTI correction``."""
    is_never_there: bool
    """Whether the calibration database has no such file for any period."""

    def __str__(self) -> str:
        return f"chip {self.chip}, {self.conditions}"


def blank_sky_folder(folder: Path) -> Path | None:
    """Return the folder of blank-sky files in ``folder`` (a CALDB folder, or that folder itself), or None."""
    return next((each for each in (folder / _FOLDER, folder) if _files_in(each)), None)


def without_files(folder: Path) -> str:
    """Return the error message for a folder without blank-sky files."""
    return (f"{folder}: holds no blank-sky files (acis*bkgrnd*.fits in {_FOLDER}): install CALDB's package "
            "acis_bkgrnd, or give its folder")


def is_in_chip_coordinates(header: Mapping[str, Any]) -> bool:
    """Return whether blank-sky events are in the database's form, without the sky coordinates of an observation.

    Such a file has CCNM0001 = 'BKGRND'. CIAO's ``blanksky`` keeps this keyword and adds BKGMETH and BKGSCALn.
    """
    is_of_caldb = text_of(header, "CCNM0001").upper() == "BKGRND"
    return is_of_caldb and not any(key == "BKGMETH" or key.startswith("BKGSCAL") for key in header)


def find_blank_skies(folder: Path, header: Mapping[str, Any], chips: Collection[int], name: str
                     ) -> tuple[list[Path], list[str]]:
    """Return the blank-sky file of each chip of an observation (see `search_blank_skies`), and notes on excluded chips.

    There is a note for each chip for which the database never has a file (4; 9 with and 1 without CTI correction; 0
    with the aim point on ACIS-S); CIAO's ``blanksky`` excludes these too. Raises `InputError` if a keyword or the file
    of another chip is missing, and if no chip has a file.
    """
    found, lacking = search_blank_skies(folder, header, chips, name)
    if missing := next((each for each in lacking if not each.is_never_there), None):
        raise InputError(f"{blank_sky_folder(folder)}: has no blank-sky file for {name} ({missing}): update CALDB's "
                         "package acis_bkgrnd, or exclude this chip")
    without = [f"the calibration database has no blank sky of {each}" for each in lacking]
    if not found:
        raise InputError(f"{blank_sky_folder(folder)}: has no blank-sky file for {name}: {'; '.join(without)}")
    return found, without


def search_blank_skies(folder: Path, header: Mapping[str, Any], chips: Collection[int], name: str
                       ) -> tuple[list[Path], list[LackingSky]]:
    """Return the blank-sky files of the chips of an observation, and the chips without one.

    Parameters
    ----------
    folder : CALDB, or its folder of blank-sky files.
    header : header of the observation's events, with SIM_Z, DATE-OBS and CTI_APP.
    chips : ccd_id of the chips in use.
    name : name of the observation in messages.

    The file of a chip is the highest version of the newest period that began before the observation. Raises
    `InputError` if the folder has no blank-sky files, and if a keyword is missing.
    """
    where = blank_sky_folder(folder)
    if where is None:
        raise InputError(without_files(folder))
    array, day, corrected = _array(header, name), _day(header, name), _corrections(header, name)
    files = _files_in(where)
    found: list[Path] = []
    lacking: list[LackingSky] = []
    for chip in sorted(chips):
        own = [each for each in files if each.chip == chip and each.array == array and each.day <= day]
        period = max((each.day for each in own), default=None)
        fitting = [each for each in own if each.day == period and each.is_corrected == corrected[chip]]
        if fitting:
            found.append(max(fitting).path)
        else:
            correction = "with" if corrected[chip] else "without"
            lacking.append(LackingSky(chip, f"aim point on ACIS-{array.upper()}, {day}, {correction} CTI correction",
                                      _is_never_there(chip, array, corrected[chip])))
    return found, lacking


def _is_never_there(chip: int, array: str, is_corrected: bool) -> bool:
    """Return whether the database has no file for a chip in any period."""
    return (chip == 4 or (chip == 9 and is_corrected) or (chip == 1 and not is_corrected)
            or (chip == 0 and array == "s"))


def _files_in(folder: Path) -> Sequence[_SkyFile]:
    """Return the blank-sky files in a folder."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    matches = [(folder / name, match) for name in names if (match := _NAME.fullmatch(name))]
    return [_SkyFile(match[3], int(match[5]), int(match[1]), match[2].lower(), bool(match[4]), path)
            for path, match in matches]


def _array(header: Mapping[str, Any], name: str) -> str:
    """Return the array of the aim point, ``i`` or ``s``."""
    sim_z = header.get("SIM_Z")
    if not is_number(sim_z):
        raise InputError(f"{name}: has no SIM_Z, which selects the blank sky by the aim point: reprocess the events")
    return acis.array_of(float(sim_z)).lower()


def _day(header: Mapping[str, Any], name: str) -> str:
    """Return the date of the observation."""
    day = str(header.get("DATE-OBS", "")).strip()[:10]
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", day):
        raise InputError(f"{name}: DATE-OBS, which selects the blank sky by date, is {header.get('DATE-OBS')!r}: "
                         "reprocess the events")
    return day


def _corrections(header: Mapping[str, Any], name: str) -> list[bool]:
    """Return for each chip whether its events are corrected for CTI."""
    text = text_of(header, "CTI_APP").upper()
    if len(text) != 10:
        raise InputError(f"{name}: CTI_APP, which selects the blank sky by a letter for each of 10 chips, is "
                         f"{header.get('CTI_APP')!r}: reprocess the events (chandra_repro)")
    return [letter in _CORRECTED for letter in text]
