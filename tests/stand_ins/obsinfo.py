"""What scripts insist on in an event file before they use it, and the files that belong to it."""

from dataclasses import dataclass
from pathlib import Path

from astropy.io import fits

from . import files
from .errors import ToolError
from .events import EventList, open_events

# Where scripts look for the files that a header names, from the event file's folder.
_FOLDERS = (".", "repro", "primary", "secondary", "../repro", "../primary", "../secondary")
_KEYWORDS = ("INSTRUME", "DETNAM", "GRATING", "TSTART", "TSTOP", "OBS_ID")
# ObsIDs of several observation intervals.
_MULTI_OBI = frozenset((82, 108, 279, 380, 400, 433, 800, 861, 897, 906, 943, 1411, 1431, 1456, 1561, 1578, 2010, 2042,
                        2077, 2365, 2783, 3057, 3182, 3764, 4175, 60879, 60880, 62249, 62264, 62796))
_ASPECT = ("ASPSOL", "ASPSOLOBI", "ASPSOL3")


@dataclass(frozen=True)
class Ancillary:
    """The files of an observation that belong to its events."""

    aspect: tuple[Path, ...]
    bad_pixels: Path | None
    mask: Path | None


def observed(name: str) -> EventList:
    """Opens an event file as scripts do. The error names the keyword or table that is missing."""
    events = open_events(name)
    for key in _KEYWORDS:
        if key not in events.header:
            raise ToolError(f"the keyword {key} is missing in {events.path}")
    if _word(events, "INSTRUME") not in ("ACIS", "HRC"):
        raise ToolError(f"INSTRUME={_word(events, 'INSTRUME')} in {events.path} is neither ACIS nor HRC")
    if not events.good_times or "CCD_ID" not in events.good_times[0].block.header:
        raise ToolError(f"the first GTI block of {events.path} has no CCD_ID keyword")
    tangents = [key for key in events.header if key.startswith("TCTYP") and str(events.header[key]).endswith("-TAN")]
    if len(tangents) != 2:
        raise ToolError(f"{events.path} must have one column with a TAN transform, and has {len(tangents) // 2}")
    if _word(events, "OBS_ID").lower() == "merged":
        raise ToolError(f"{events.path} is a merged event file")
    return events


def label_of(events: EventList) -> str:
    """The name of an observation in file names: OBS_ID, the OBI where there are several, e1 or e2 where interleaved."""
    obsid, header = _word(events, "OBS_ID"), events.header
    if obsid.isdigit() and int(obsid) in _MULTI_OBI:
        if "OBI_NUM" not in header:
            raise ToolError(f"ObsId {obsid} has multiple OBIs, and OBI_NUM is missing in {events.path}")
        obsid = f"{obsid}_{int(header['OBI_NUM']):03d}"
    if _word(events, "CYCLE") in ("P", "S") and float(header.get("TIMEDELB", 0)) > 0:
        obsid += "e1" if _word(events, "CYCLE") == "P" else "e2"
    return obsid


def ancillary_of(events: EventList, asolfile: str = "", badpixfile: str = "", maskfile: str = "", *,
           all_needed: bool = False, verbose: bool = True) -> Ancillary:
    """By parameters, else by ASOLFILE, BPIXFILE and MASKFILE in the header.

    Bad pixels and a mask that are not there are warnings, unless all are needed; a missing keyword is an error.
    """
    found = []
    for what, given, key, instead in (("bad pixel", badpixfile, "BPIXFILE", "Using CALDB version."),
                                      ("mask", maskfile, "MASKFILE", "No mask is used.")):
        value = given or str(events.header.get(key, "")).strip()
        if not value and (key == "BPIXFILE" or all_needed):
            raise ToolError(f"the keyword {key} is missing in {events.path}")
        if value.upper() in ("NONE", "CALDB", ""):
            path = None
        else:
            path = Path(given) if given else next(iter(named(events, key)), None)
        if path is None or not path.exists():
            if all_needed or given not in ("", "NONE", "CALDB", "none"):
                raise ToolError(f"Unable to find the {what} file {value} ({key}) of {events.path}")
            if verbose and not given:
                print(f"WARNING: the {what} file {value or key} of {events.path} was not found. {instead}")
            path = None
        else:
            _check_obsid(path, events, what)
        found.append(path)
    return Ancillary(aspect_of(events, asolfile), *found)


def aspect_of(events: EventList, asolfile: str = "") -> tuple[Path, ...]:
    """The aspect solutions, which must be there, of one kind."""
    from .virtual import stack

    paths = tuple(Path(each) for each in stack(asolfile)) if asolfile else named(events, "ASOLFILE")
    if not paths or not all(path.exists() for path in paths):
        raise ToolError(f"Unable to find the aspect solution of {events.path} (ASOLFILE="
                        f"{events.header.get('ASOLFILE', '')})")
    kinds = set()
    for path in paths:
        block = next((each for each in files.read(path) if each.is_table), None)
        content = str(block.header.get("CONTENT", "")).strip() if block else ""
        lacks = block is None or not all(block.field(name) for name in ("time", "ra", "dec", "roll"))
        if lacks or content not in _ASPECT:
            raise ToolError(f"{path} is not an aspect solution (CONTENT={content})")
        kinds.add(content)
    if len(kinds) > 1:
        raise ToolError(f"the aspect solutions of {events.path} are of different kinds: {', '.join(sorted(kinds))}")
    return paths


def named(events: EventList, key: str) -> tuple[Path, ...]:
    """The files that a keyword names; none where one of them is not found."""
    names = [each.strip() for each in str(events.header.get(key, "")).split(",") if each.strip()]
    found = []
    for name in names:
        places = (events.path.parent / folder / (name + ending) for folder in _FOLDERS for ending in ("", ".gz"))
        place = next((each for each in places if each.exists()), None)
        if place is not None:
            found.append(place)
    return tuple(found) if len(found) == len(names) else ()


def _check_obsid(path: Path, events: EventList, what: str) -> None:
    header = next((each.header for each in files.read(path) if "OBS_ID" in each.header), fits.Header())
    theirs, ours = str(header.get("OBS_ID", "")).strip(), _word(events, "OBS_ID")
    if theirs != ours:
        raise ToolError(f"the {what} file {path} is of OBS_ID {theirs}, and {events.path} of {ours}")


def _word(events: EventList, key: str) -> str:
    return str(events.header.get(key, "")).strip()
