"""Find the observations in a folder of Chandra's archive, and their files.

The folder has a folder for each ObsID (``16626/primary``, ``16626/secondary``), is such a folder itself, or has level-2
event files. Files are recognized by their names, gzipped or not. Reprocessed events take precedence over those of the
archive, as in CIAO's scripts. For each other kind, the files that the header of the events names (ASOLFILE, ...) take
precedence, then those of chandra_repro (``_repro_``), then the highest version (N001, N002).
"""

import glob
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chandra_bin.acis import geometry as acis
from chandra_bin.acis.obsids import obsid_number
from chandra_bin.errors import InputError, NoImaging, reason, warn
from chandra_bin.events.reader import EventFile, livetime_fraction, open_events
from chandra_bin.exposure.ancillary import is_remade, named, newest, version_of
from chandra_bin.exposure.blank_skies import LackingSky, blank_sky_folder, search_blank_skies, without_files
from chandra_bin.fits.headers import is_number, text_of
from chandra_bin.fits.tables import open_fits
from chandra_bin.fits.virtual import RangeTerm

if TYPE_CHECKING:
    from astropy.io.fits import Header

# Blank-sky events of `chandra-bin simulate` in the folder of an ObsID, and CIAO's calibration database.
BLANK_SKY = ("blanksky/*.fits*", "$CALDB")
# Names of facts of tasks: the chips of an observation, and the bin length of its light curve.
CHIPS_OF = "chips of ObsID "
LIGHT_CURVE_BIN_S = "seconds a bin of the light curve"
_REPRO = "repro"
_FOLDERS = ("primary", "secondary", "")
# Ends of the names of each kind of file.
_ENDINGS = {kind: re.compile(rf"(?!\.)(.*_)?{word}\.fits(\.gz)?", re.IGNORECASE) for kind, word in (
    ("events", "evt2"), ("events_level1", "evt1"), ("aspect", "asol1"), ("bad_pixels", "bpix1"),
    ("field_of_view", "fov1"), ("mask", "msk1"), ("filter", "flt1"), ("mission_timeline", "mtl1"),
    ("statistics", "stat1"), ("parameter_block", "pbk0"), ("bias", "bias[01]"), ("dead_time", "dtf1"),
    ("ephemeris", "eph1"), ("onboard_aspect", "osol1"))}
# Folder of the aspect solutions of the on-board computer.
_ASPECT = "secondary/aspect"
# Keywords of events that name the files of a kind.
_KEYS = {"aspect": "ASOLFILE", "bad_pixels": "BPIXFILE", "mask": "MASKFILE", "field_of_view": "FOVFILE",
         "filter": "FLTFILE"}
# Advice for observations in several parts.
_ONE_PART = ("the pipeline uses one event file per ObsID: merge the parts by 'chandra-bin merge --exposure' and bin "
             "the merged images by 'chandra-bin bin', or move the part with less exposure out of its folder")


@dataclass(frozen=True)
class ObservationFiles:
    """The files of an observation."""

    obsid: str
    """Digits, without leading zeros."""
    events: Path
    """Level-2 events."""
    events_level1: tuple[Path, ...] = ()
    aspect: tuple[Path, ...] = ()
    bad_pixels: Path | None = None
    field_of_view: Path | None = None
    mask: Path | None = None
    filter: Path | None = None
    """Good times of level 1 (flt1)."""
    blank_sky: tuple[Path, ...] = ()
    caldb: Path | None = None
    """The calibration database that was searched for blank skies, if no pattern matched."""
    lacking_skies: tuple[LackingSky, ...] = ()
    """The chips without a blank sky in the calibration database."""
    no_search: str = ""
    """Why the search in a calibration database failed, without the name of the events."""
    folder: Path = Path()
    """Folder of the ObsID; patterns of blank skies are relative to it."""
    reprocessable: tuple[Path, ...] = ()
    """Input of chandra_repro, the newest version of each kind."""

    def has(self, kind: str) -> bool:
        """Return whether a file of a kind was found; kinds are attributes of this class, or names of `kind_of`."""
        return bool(getattr(self, kind, ())) or any(kind_of(path) == kind for path in self.reprocessable)

    @property
    def is_reprocessed(self) -> bool:
        """Whether chandra_repro made the events."""
        return is_remade(self.events)


@dataclass(frozen=True)
class WithoutEvents:
    """An ObsID whose folder has no level-2 events."""

    obsid: str
    folder: Path
    events_level1: tuple[Path, ...] = ()

    @property
    def what_to_do(self) -> str:
        """The error, and what the user can do."""
        cure = "make them from the level-1 events by chandra_repro" if self.events_level1 else (
            f"fetch them by 'download_chandra_obsid {self.obsid}'")
        return f"{self.folder}: ObsID {self.obsid} has no level-2 events (*_evt2.fits): {cure}"


@dataclass(frozen=True)
class Observation:
    """Properties of an observation from the header of its events."""

    target: str
    ra_deg: float
    dec_deg: float
    exposure_s: float
    """Live seconds."""
    datamode: str
    """FAINT, VFAINT, ..."""
    readmode: str
    """TIMED, or CONTINUOUS, which gives no images."""
    instrument: str
    aim_chip: int
    """Chip of the aim point: 3 for ACIS-I, 7 for ACIS-S, rarely another one."""
    date: str

    @property
    def is_acis_i(self) -> bool:
        """Whether the aim point is on ACIS-I."""
        return self.aim_chip <= 3

    @property
    def chips(self) -> str:
        """The chips to use: all of ACIS-I, else that of the aim point."""
        return "0:3" if self.is_acis_i else str(self.aim_chip)

    def uses(self, chip: int) -> bool:
        """Return whether a chip is among `chips`."""
        return chip <= 3 if self.is_acis_i else chip == self.aim_chip


@dataclass(frozen=True)
class _Place:
    """The files of an ObsID by folder."""

    obsid: str
    folder: Path
    files: Mapping[str, Sequence[Path]]
    """Files by the name of the folder in ``folder``; the empty name is ``folder`` itself."""

    def of_kind(self, kind: str, *folders: str) -> list[Path]:
        """Return the files of a kind in some folders."""
        return [path for name in folders for path in self.files[name] if _ENDINGS[kind].fullmatch(path.name)]

    @property
    def is_observation(self) -> bool:
        """Whether there are events of any level."""
        return any(self.of_kind(kind, _REPRO, *_FOLDERS) for kind in ("events", "events_level1"))

    @property
    def has_folders(self) -> bool:
        """Whether any of the archive's folders exists."""
        return any((self.folder / name).is_dir() for name in (_REPRO, *_FOLDERS) if name)


def kind_of(path: Path) -> str | None:
    """Return the kind of an archive file by its name (``events``, ``aspect``, ``bias``, ...); None for other files."""
    return next((kind for kind, ending in _ENDINGS.items() if ending.fullmatch(path.name)), None)


def look_through(directory: Path, blank_sky: Sequence[str] = BLANK_SKY
                 ) -> tuple[list[ObservationFiles], list[WithoutEvents]]:
    """Return the observations of a folder with level-2 events, by ObsID, and the ObsIDs without such events.

    Parameters
    ----------
    directory : Path
        Folder of archive files.
    blank_sky : sequence of str
        Patterns of blank-sky events, relative to the folder of each ObsID, and folders (CALDB, or its folder of blank
        skies) that are searched if no pattern matches. ``$NAME`` is an environment variable.

    Raises
    ------
    InputError
        If the folder has no ObsID, and for an ObsID with two distinct event files.
    """
    places = _places(directory, warns=True)
    found = [(place, _files_of(place, blank_sky)) for place in places]
    return ([files for _, files in found if files is not None],
            [_without(place) for place, files in found if files is None])


def find_observation(directory: Path, obsid: str, blank_sky: Sequence[str] = BLANK_SKY) -> ObservationFiles:
    """Return the files of an ObsID. Raises `InputError` if it does not exist or has no level-2 events."""
    places = {place.obsid: place for place in _places(directory)}
    place = places.get(obsid.lstrip("0"))
    if place is None:
        raise InputError(f"{directory}: ObsID {obsid} not found, only {', '.join(places)}: remove it from obs_ids, or "
                         f"fetch it by 'download_chandra_obsid {obsid}'")
    files = _files_of(place, blank_sky)
    if files is None:
        raise InputError(_without(place).what_to_do)
    return files


def chips_used(chosen: str, files: "ObservationFiles") -> RangeTerm:
    """Return the chips of an observation to use: ``chosen``, such as ``0:3,6``, or with ``auto`` its own."""
    chips = look(files).chips if chosen == "auto" else chosen
    ends = (part.partition(":") for part in chips.split(","))
    return RangeTerm.of("ccd_id", *((int(first), int(last or first)) for first, _, last in ends))


def look(files: ObservationFiles) -> Observation:
    """Return the properties of an observation from the header of its events.

    Raises
    ------
    NoImaging
        For an observation without images: in continuous clocking mode, of another instrument, without events or without
        good time.
    InputError
        For a file that cannot be read, is truncated, or is of another ObsID.
    """
    with open_events(files.events) as events:
        header = events.hdu.header
        instrument, readmode, grating = (_upper(header, key) for key in ("INSTRUME", "READMODE", "GRATING"))
        obsid = _upper(header, "OBS_ID").lstrip("0")
        where = f"{files.events}: ObsID {files.obsid}"
        if instrument != "ACIS":
            raise NoImaging(f"{where} is of {instrument or 'an unknown instrument'} (INSTRUME), but only ACIS is "
                            "supported: remove it from obs_ids")
        if obsid and obsid != files.obsid:
            raise InputError(f"{files.events}: is in the folder of ObsID {files.obsid}, but has OBS_ID {obsid}: move "
                             "it to a folder of that name")
        if readmode.startswith("CONT"):
            raise NoImaging(f"{where} is in continuous clocking mode (READMODE), which gives no images: remove it from "
                            "obs_ids")
        if not events.hdu.rows:
            raise NoImaging(f"{where} has no events: remove it from obs_ids, or fetch the file again")
        blocks = events.gti_blocks()
        exposure = _number(header, "EXPOSURE", "LIVETIME")
        if exposure is None:
            exposure = blocks[0].gti.total * livetime_fraction(header)
        if exposure <= 0:
            raise NoImaging(f"{where} has no good time: remove it from obs_ids, or fetch the file again")
        chip = blocks[0].chip
        if grating not in ("", "NONE"):
            warn(f"{where} used the grating {grating}: only the zeroth order is an image, and dispersed events lie "
                 "across the field")
        ra, dec = _pointing(events)
        return Observation(text_of(header, "OBJECT"), ra, dec, exposure, _upper(header, "DATAMODE"),
                           readmode or "TIMED", instrument, _aim_chip(events) if chip is None else chip,
                           str(header.get("DATE-OBS", "")).strip())


def _places(directory: Path, *, warns: bool = False) -> list[_Place]:
    """Return the ObsIDs of a folder, by number; ``warns``: warn of event files next to their folders."""
    own = _files_in(directory)
    folders = [path for path in _entries(directory) if obsid_number(path.name) and path.is_dir()]
    found: dict[str, _Place] = {}
    for folder in folders:
        place = _Place(folder.name.lstrip("0"), folder, _files_in(folder))
        if place.is_observation or place.has_folders:
            if place.obsid in found:
                raise InputError(f"{found[place.obsid].folder} and {folder}: both are of ObsID {place.obsid}: move one "
                                 "of them away")
            found[place.obsid] = place
    whole = _Place(directory.resolve().name.lstrip("0"), directory, own)
    loose = [path for kind in ("events", "events_level1") for path in whole.of_kind(kind, "")]
    if found:
        if loose and warns:
            warn(f"{loose[0]}: is ignored, since {directory} has folders of ObsIDs: move it to a folder of its ObsID")
    elif obsid_number(directory.resolve().name) and not loose and whole.has_folders:
        found[whole.obsid] = whole
    else:
        found = _by_header(whole)
    if not found:
        raise InputError(f"{directory}: no observations found, neither folders of ObsIDs (16626/primary) nor level-2 "
                         "event files (*_evt2.fits): fetch some by 'download_chandra_obsid N'")
    return sorted(found.values(), key=lambda place: int(place.obsid))


def _by_header(whole: _Place) -> dict[str, _Place]:
    """Return the observations of event files in one folder, by OBS_ID."""
    of: dict[str, None] = {}
    for path in (path for kind in ("events", "events_level1") for path in whole.of_kind(kind, _REPRO, *_FOLDERS)):
        obsid = _obsid_of(path)
        if (number := obsid_number(obsid)) is None:
            raise InputError(f"{path}: OBS_ID is {obsid!r}, but must be the number of one observation: give the "
                             "unmerged files")
        of[number] = None
    if len(of) < 2:
        return {obsid: _Place(obsid, whole.folder, whole.files) for obsid in of}
    by_file = {path: _obsid_of(path).lstrip("0") for files in whole.files.values() for path in files
            if any(ending.fullmatch(path.name) for ending in _ENDINGS.values())}
    return {obsid: _Place(obsid, whole.folder, {
        name: [path for path in files if by_file.get(path) == obsid] for name, files in whole.files.items()})
        for obsid in of}


def _files_of(place: _Place, blank_sky: Sequence[str]) -> ObservationFiles | None:
    """Return the files of an ObsID; None without level-2 events."""
    events = _events_of(place)
    if events is None:
        return None
    folders = (_REPRO, *_FOLDERS) if place.of_kind("events", _REPRO) else _FOLDERS
    found = _chosen(place, folders, events)
    one = {kind: next(iter(found[kind]), None) for kind in ("bad_pixels", "field_of_view", "mask", "filter")}
    there = {kind: newest(files) for kind in _ENDINGS if (files := _of_archive(place, kind))}
    skies = _blank_skies(place.folder, blank_sky, events)
    return ObservationFiles(
        place.obsid, events, tuple(found["events_level1"]), tuple(found["aspect"]), one["bad_pixels"],
        one["field_of_view"], one["mask"], one["filter"], folder=place.folder,
        reprocessable=tuple(path for files in there.values() for path in files), **skies)


def _chosen(place: _Place, folders: Sequence[str], events: Path) -> dict[str, list[Path]]:
    """Return the files of each kind for the events: by keyword in any folder, else from the first folder with any."""
    try:
        with open_events(events) as file:
            header = {kind: file.hdu.header.get(key) for kind, key in _KEYS.items()}
    except InputError:  # step 1 reports it
        header = {}
    found = {}
    for kind in _ENDINGS:
        first = next((files for name in folders if (files := place.of_kind(kind, name))), [])
        found[kind] = named(place.of_kind(kind, *folders), header.get(kind)) or (newest(first) if first else [])
    return found


def _of_archive(place: _Place, kind: str) -> list[Path]:
    """Return the files of a kind without those of chandra_repro."""
    return [path for path in place.of_kind(kind, *_FOLDERS, _ASPECT) if not is_remade(path)]


def _blank_skies(folder: Path, entries: Iterable[str], events: Path) -> dict[str, Any]:
    """Return the fields of `ObservationFiles` about blank skies."""
    known = [text for text in map(os.path.expandvars, entries) if "$" not in text]
    folders = [folder / text for text in known if (folder / text).is_dir()]
    if files := _matching(folder, (text for text in known if not (folder / text).is_dir())):
        return {"blank_sky": files}
    if not folders:
        return {}
    database = next((each for each in folders if blank_sky_folder(each) is not None), None)
    if database is None:
        return {"no_search": without_files(folders[0])}
    with open_events(events) as file:
        header = file.hdu.header
    chips = [int(digit) for digit in re.findall(r"\d", _upper(header, "DETNAM"))]
    try:
        found, lacking = search_blank_skies(database, header, chips, "events")
    except InputError as error:
        return {"caldb": database, "no_search": str(error)}
    return {"blank_sky": tuple(found), "caldb": database, "lacking_skies": tuple(lacking)}


def _events_of(place: _Place) -> Path | None:
    """Return the newest level-2 events. Raises `InputError` for two files that are not versions of one."""
    files = place.of_kind("events", _REPRO) or place.of_kind("events", *_FOLDERS)
    files = [path for path in files if is_remade(path)] or files
    latest: dict[str, tuple[int, Path]] = {}
    for path in sorted(files, key=lambda path: path.suffix == ".gz"):
        root, version = version_of(path)
        root = root.replace("_000_", "_")  # older names omit the first, usually the only, interval
        if root not in latest or version > latest[root][0]:
            latest[root] = version, path
    if len(latest) > 1:
        (one, (_, first)), (other, (_, second)) = sorted(latest.items())[:2]
        if all(re.search(r"_e[12]_", root) for root in (one, other)):
            cure = f"are the two parts of an interleaved observation (e1, e2): {_ONE_PART}"
        elif re.sub(r"_\d{3}(?=_)", "", one) == re.sub(r"_\d{3}(?=_)", "", other):
            cure = f"are of several intervals (OBI) of ObsID {place.obsid}: {_ONE_PART}"
        else:
            cure = (f"are distinct level-2 event files of ObsID {place.obsid}: move the one that is not to be used out "
                    "of its folder")
        raise InputError(f"{first} and {second}: {cure}")
    return next((path for _, path in latest.values()), None)


def _without(place: _Place) -> WithoutEvents:
    """Return the description of an ObsID without level-2 events."""
    return WithoutEvents(place.obsid, place.folder, tuple(place.of_kind("events_level1", *_FOLDERS, _REPRO)))


def _matching(folder: Path, patterns: Iterable[str]) -> tuple[Path, ...]:
    """Return the files that match patterns, in the order of the patterns, each once."""
    names = (name for pattern in patterns for name in sorted(glob.glob(pattern, root_dir=folder, recursive=True)))
    return tuple(path for name in dict.fromkeys(names) if (path := folder / name).is_file())


def _files_in(folder: Path) -> dict[str, list[Path]]:
    """Return the files of a folder and of the archive's folders in it."""
    return {name: [path for path in _entries(folder / name) if path.is_file()] if (folder / name).is_dir() or not name
            else [] for name in (_REPRO, *_FOLDERS, _ASPECT)}


def _entries(folder: Path) -> list[Path]:
    """Return the sorted entries of a folder. Raises `InputError`."""
    try:
        return [folder / name for name in sorted(os.listdir(folder))]
    except FileNotFoundError:
        raise InputError(f"{folder}: no such folder") from None
    except NotADirectoryError:
        raise InputError(f"{folder}: is a file: give the folder of the ObsIDs") from None
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {reason(error)}") from None


def _obsid_of(path: Path) -> str:
    """Return the first OBS_ID of a file, or an empty text."""
    with open_fits(path) as hdus:
        return next((str(hdu.header["OBS_ID"]).strip() for hdu in hdus if "OBS_ID" in hdu.header), "")


def _upper(header: "Header", key: str) -> str:
    """Return a keyword in capital letters."""
    return text_of(header, key).upper()


def _number(header: "Header", *keys: str) -> float | None:
    """Return the first of some keywords that is a number, or None."""
    for key in keys:
        value = header.get(key)
        if is_number(value):
            return float(value)
    return None


def _pointing(events: EventFile) -> tuple[float, float]:
    """Return the RA and Dec of the pointing in degrees."""
    for ending in ("NOM", "PNT", "TARG"):
        ra, dec = (_number(events.hdu.header, f"{axis}_{ending}") for axis in ("RA", "DEC"))
        if ra is not None and dec is not None:
            return ra, dec
    raise events.hdu.error("lacks the pointing (RA_NOM, DEC_NOM): fetch the file again")


def _aim_chip(events: EventFile) -> int:
    """Return the chip of the aim point from the position of the detector, or from the array of most chips."""
    header = events.hdu.header
    sim_z, detector = _number(header, "SIM_Z"), _upper(header, "DETNAM")
    chips = [int(digit) for digit in re.findall(r"\d", detector)]
    if sim_z is not None:
        return acis.AIM_CHIP[acis.array_of(sim_z)]
    of_i = sum(chip <= acis.AIM_CHIP["I"] for chip in chips)
    if 2 * of_i == len(chips):
        raise events.hdu.error(f"does not give the chip of the aim point: no GTI table has a CCD_ID, SIM_Z is "
                               f"missing, and DETNAM is {detector!r}: fetch the file again")
    array, of_array = ("I", range(4)) if 2 * of_i > len(chips) else ("S", range(4, 10))
    return acis.AIM_CHIP[array] if acis.AIM_CHIP[array] in chips else next(chip for chip in chips if chip in of_array)
