"""What specextract insists on before it begins, and where it takes the responses of a region."""

import os
import re
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import ToolError, is_since
from .events import EventList, open_events
from .observe import View, view_of
from .obsinfo import Ancillary
from .parameters import Parameters
from .regions import Region, region_of
from .virtual import parse

Floats = NDArray[np.float64]

_FILES = ("infile", "outroot", "bkgfile", "asp", "dtffile", "mskfile", "rmffile", "badpixfile", "dafile")
_REPRO_IV = ("OCLKPAIR", "ORC_MODE", "SUM_2X2", "FEP_CCD")
_NEEDED = ("CTI_APP", "FP_TEMP", "TSTART", "READMODE", "HDUNAME", "OBS_ID")
_OF_ONE = ("TITLE", "OBSERVER", "OBJECT", "OBS_ID", "DS_IDENT")
_REGION = re.compile(r"\[(?:sky|\(x,y\)|pos)=")


def check_blanks(given: Parameters) -> None:
    """Stops for a blank in the absolute name of a file parameter, also of an empty one: that is the current folder."""
    for name in _FILES:
        path = os.path.join(os.path.realpath(os.getcwd()), given[name].lstrip("@"))
        if " " in path:
            raise ToolError(f"spaces in the path of {name} are not allowed: {path}")


def check_names(sources: list[str], roots: list[str]) -> None:
    """Stops for filters without a region, files of regions that cannot be read, and roots without a name."""
    for source in sources:
        if not _REGION.search(source) or "(" not in source or "=(" in source:
            raise ToolError(f"{source} has no region filter")
        for path in re.findall(r"region\(([^()]*)\)", source):
            if not Path(path).is_file():
                raise ToolError(f"region file {path} does not exist")
            if b"\r" in Path(path).read_bytes():
                raise ToolError(f"region file {path} has line ends of DOS")
    for root in roots:
        if root.endswith("/") or not root:
            raise ToolError(f"outroot={root} names a folder")


def make_folder(root: str) -> None:
    """The folder of a root: one level is made, no more."""
    folder = os.path.dirname(root)
    if folder and not os.path.isdir(folder):
        try:
            os.mkdir(folder)
        except OSError as error:
            raise ToolError(f"could not make the output directory {folder}: {error.strerror}") from None
    if not os.access(folder or ".", os.W_OK):
        raise ToolError(f"output directory {folder} is not writable")


def check_header(events: EventList) -> None:
    """Stops without the keywords of today's processing, for merged events, and for a blank sky."""
    header = events.header
    if missing := [key for key in _REPRO_IV if key not in header]:
        raise ToolError(f"Repro IV header keywords {', '.join(missing)} are missing in {events.path}")
    for key in _NEEDED:
        if key not in header:
            raise ToolError(f"{key}")
    for key in _OF_ONE:
        if str(header.get(key, "")).strip().lower() == "merged":
            raise ToolError(f"merged event files are not supported: {key} of {events.path} is Merged")
    if is_blank_sky(events):
        raise ToolError(f"{events.path} is a blank-sky file, and no source")


def is_blank_sky(events: EventList) -> bool:
    return "BKGMETH" in events.header


def check_place(source: str, events: EventList, near: Ancillary, resp_pos: str) -> None:
    """Stops where the responses have no place: without counts, or where that place is on a chip without events."""
    may_be_empty = resp_pos == "REGION" and is_since("4.18")
    if not len(events.rows):
        if may_be_empty:
            return
        raise ToolError(f"{source} has zero counts")
    low = (events.column("energy") >= 300) & (events.column("energy") < 2000)
    if not low.any() and not is_since("4.18"):
        raise ToolError(f"{source} has zero counts in energy_wmap")
    whole, view = _unfiltered(str(parse(source).path), near)
    x, y = _brightest(events) if resp_pos != "REGION" else _first_shape(source, events)
    chip = _chip_of(x, y, view)
    if is_since("4.18") and chip not in whole.column("ccd_id"):
        raise ToolError(f"the position ({x:.1f}, {y:.1f}) of the response is on a chip without events: {chip}")
    if not (events.column("ccd_id") == chip).any():
        raise ToolError("Error generating WMAP")


def _brightest(events: EventList) -> tuple[float, float]:
    """The middle of the sky pixel with most events."""
    pixels = np.stack([np.floor(events.column(name) + 0.5) for name in ("x", "y")], axis=1)
    places, counts = np.unique(pixels, axis=0, return_counts=True)
    x, y = places[np.argmax(counts)]
    return float(x), float(y)


def _first_shape(source: str, events: EventList) -> tuple[float, float]:
    """The mean of the vertices of the first shape, or its middle."""
    regions: list[Region] = [region_of(term.text, events.plane) for each in parse(source).filters
                             for term in each.terms if term.kind == "region"]
    shape = regions[0].components[0][0]
    if len(regions[0].components) > 1:
        print("WARNING: there is more than one shape in the region; the first one gives the position of the response.")
    if shape.kind == "polygon":
        return float(np.mean(shape.numbers[::2])), float(np.mean(shape.numbers[1::2]))
    return shape.numbers[0], shape.numbers[1]


@cache
def _unfiltered(path: str, near: Ancillary) -> tuple[EventList, View]:
    whole = open_events(path)
    return whole, view_of(whole, near)


def _chip_of(x: float, y: float, view: View) -> int | None:
    """The chip at a place of the sky at the mean pointing; None outside all chips."""
    for chip in view.chips:
        u, v = np.linalg.solve(chip.matrix, np.array([x, y]) - chip.origin)
        if 0.5 <= u < 1024.5 and 0.5 <= v < 1024.5:
            return chip.number
    return None


def commonest_scale(events: EventList) -> float:
    """AREASCAL of a blank sky: 1 / BKGSCALn of the chip with most of its events."""
    chips, counts = np.unique(events.column("ccd_id"), return_counts=True)
    key = f"BKGSCAL{chips[np.argmax(counts)]}" if len(chips) else ""
    if key not in events.header:
        raise ToolError(f"{key} of {events.path}")
    return 1 / float(events.header[key])


def numbered(root: str, count: int) -> list[str]:
    """Roots of several sources: as many digits as the last one needs."""
    digits = len(str(count))
    return [f"{root}_src{n:0{digits}d}" for n in range(1, count + 1)]

