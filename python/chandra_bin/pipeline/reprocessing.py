"""Input of chandra_repro: the files that it needs, the folders that it searches, and the observations that it refuses.

The rules are those of the public script (CIAO 4.13 to 4.18). The script reads each kind of file from one folder of the
archive. If a file is missing, the script stops after it has read the others, and its error does not name the file. This
module checks the input in advance, before hours of work.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from chandra_bin.errors import InputError
from chandra_bin.fits.headers import text_of
from chandra_bin.fits.tables import open_fits

from .archive import ObservationFiles, kind_of

if TYPE_CHECKING:
    from astropy.io.fits import Header

# The folder in which chandra_repro looks for each kind; all others are in ``secondary``.
_FOLDERS = {"events": "primary", "aspect": "primary", "bad_pixels": "primary", "field_of_view": "primary",
            "ephemeris": "primary", "dead_time": "primary", "onboard_aspect": "secondary/aspect"}
# The required kinds, by their names in download_chandra_obsid.
NEEDED = {"evt1": "events_level1", "asol": "aspect", "bpix": "bad_pixels", "flt": "filter", "msk": "mask",
          "mtl": "mission_timeline", "stat": "statistics", "pbk": "parameter_block", "bias": "bias"}
# Kinds with a single file.
_SINGLE = ("evt1", "bpix", "flt", "msk", "mtl", "stat", "pbk")
_KEYWORDS = ("INSTRUME", "DETNAM", "ASCDSVER", "DATAMODE", "DATE-OBS", "GRATING", "RA_TARG", "DEC_TARG", "ASPTYPE",
             "READMODE")
_DATAMODES = ("FAINT", "VFAINT", "FAINT_BIAS", "GRADED")
# ObsIDs with several observation intervals (OBI).
MULTI_OBI = frozenset((82, 108, 279, 380, 400, 433, 800, 861, 897, 906, 943, 1411, 1431, 1456, 1561, 1578, 2010, 2042,
                       2077, 2365, 2783, 3057, 3182, 3764, 4175, 60879, 60880, 62249, 62264, 62796))


def staging_folders(files: ObservationFiles) -> dict[str, tuple[Path, ...]]:
    """Return the files of an observation by the folder in which chandra_repro looks for them: ``primary``, ..."""
    found: dict[str, list[Path]] = {"primary": [], "secondary": []}
    for path in files.reprocessable:
        found.setdefault(_FOLDERS.get(kind_of(path) or "", "secondary"), []).append(path)
    return {folder: tuple(paths) for folder, paths in found.items()}


def why_not(files: ObservationFiles) -> str | None:
    """Return why chandra_repro would refuse an observation, in one line; None if it would accept it.

    Reads the header of the level-1 events. Raises `InputError` if that file is damaged.
    """
    found = list(other_obstacles(files))
    if missing := missing_files(files):
        found.insert(0, f"{', '.join(missing)} not found: fetch them by 'download_chandra_obsid {files.obsid}'")
    return f"{files.folder}: chandra_repro would refuse ObsID {files.obsid}: {'; '.join(found)}" if found else None


def missing_files(files: ObservationFiles) -> tuple[str, ...]:
    """Return the missing kinds of files that chandra_repro needs: evt1, asol, ..."""
    found = {kind_of(path) for path in files.reprocessable}
    return tuple(word for word, kind in NEEDED.items()
                 if kind not in found and not (word == "asol" and "onboard_aspect" in found))


def other_obstacles(files: ObservationFiles) -> Iterator[str]:
    """Yield other reasons why chandra_repro would refuse. Raises `InputError` if the level-1 events are damaged."""
    if int(files.obsid.partition("_")[0]) in MULTI_OBI:
        yield "it has several observation intervals (OBI): split it by CIAO's splitobs, and give each part a folder"
        return
    of_kind = {word: [path for path in files.reprocessable if kind_of(path) == NEEDED[word]] for word in _SINGLE}
    level_1 = of_kind["evt1"]
    if any(re.search(r"_e[12]_", path.name) for path in (*level_1, files.events)):
        yield "it is interleaved (e1, e2): split it by CIAO's splitobs, and give each part a folder"
        return
    for word, paths in of_kind.items():
        if len(paths) > 1:
            yield (f"{' and '.join(path.name for path in paths[:2])} are both of the kind {word}: move the one that "
                   "is not to be used away")
    aspect = [path for path in files.reprocessable if kind_of(path) == "aspect"]
    if len(aspect) > 1 and sum(text_of(_header_of(path), "CONTENT") == "ASPSOLOBI" for path in aspect) > 1:
        yield (f"{' and '.join(path.name for path in aspect[:2])} are both aspect solutions of the whole interval "
               "(CONTENT is ASPSOLOBI): move the one that is not to be used away")
    if level_1:
        header = _header_of(level_1[0])
        yield from _of_header(level_1[0], header)
        if (text_of(header, "ASPTYPE") not in ("KALMAN", "")
                and not any(kind_of(path) == "onboard_aspect" for path in files.reprocessable)):
            yield (f"ASPTYPE is {header['ASPTYPE']!r} and secondary/aspect/*_osol1.fits, the aspect solution of the "
                   f"on-board computer, is missing: fetch it by 'download_chandra_obsid {files.obsid}'")


def _of_header(path: Path, header: "Header") -> Iterator[str]:
    """Yield the reasons in the header of the level-1 events."""
    lacking = [key for key in _KEYWORDS if key not in header]
    if lacking:
        yield f"{path.name} lacks {', '.join(lacking)} in its header: fetch it again"
    mode = text_of(header, "DATAMODE")
    if text_of(header, "READMODE") == "TIMED" and mode and mode not in _DATAMODES:
        yield f"{path.name} has DATAMODE {mode!r}, which must be one of {', '.join(_DATAMODES)}"


def _header_of(path: Path) -> "Header":
    """Return the header of the first table of a file."""
    stat = path.stat()
    return _header_at(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _header_at(path: Path, _mtime_ns: int, _size: int) -> "Header":
    """Return the header of the first table of a file; plans need it repeatedly."""
    with open_fits(path) as hdus:
        for hdu in hdus:
            if hdu.is_table:
                return hdu.header
    raise InputError(f"{path}: has no table: fetch it again")
