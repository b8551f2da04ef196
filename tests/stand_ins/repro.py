"""chandra_repro: makes level-2 events of level-1 events, and copies the files that belong to them.

As in the script, the reason of a failure is a line on stdout, and the error line says only ``input error``.
"""

import gzip
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from . import files
from .caldb import caldb_version, calibration
from .errors import ToolError
from .events import EventList, apply_filter, open_events
from .files import Block, note_written
from .observe import fov_block, view_of
from .obsinfo import ancillary_of
from .parameters import Parameters, set_user_values
from .virtual import Filter, Range, Term

_GRADES = (0, 2, 3, 4, 6)
# Bit 23 of 32, the highest first.
_VFAINT_BYTE, _VFAINT_BIT = 3 - 23 // 8, 1 << 23 % 8
_KEYWORDS = ("INSTRUME", "DETNAM", "ASCDSVER", "DATAMODE", "DATE-OBS", "GRATING", "RA_TARG", "DEC_TARG", "ASPTYPE",
             "READMODE")
_DATAMODES = ("FAINT", "VFAINT", "FAINT_BIAS", "GRADED")
# Of these kinds there may be one file only; and those that are copied into outdir.
_SINGLE = {"primary": ("bpix1",), "secondary": ("flt1", "msk1", "mtl1", "stat1", "pbk0")}
_COPIED = ("bpix1", "fov1", "asol1", "msk1", "mtl1", "stat1", "pbk0")
_NEEDED = ("bpix1", "asol1", "flt1", "msk1")
_FOR_BAD_PIXELS = ("mtl1", "stat1", "pbk0", "bias0")
_HEADER_NAMES = {"bpix1": "BPIXFILE", "asol1": "ASOLFILE", "flt1": "FLTFILE", "msk1": "MASKFILE",
                 "stat1": "STATFILE", "pbk0": "PBKFILE"}


@dataclass
class _Folders:
    """Where files are looked for: a folder of the archive that is not there is replaced by indir itself."""

    indir: Path
    primary: Path = field(init=False)
    secondary: Path = field(init=False)

    def __post_init__(self) -> None:
        self.primary, self.secondary = (
            self.indir / name if (self.indir / name).is_dir() else self.indir for name in ("primary", "secondary"))


def chandra_repro(given: Parameters) -> None:
    """Grades, status, good times; bad pixels and the rest are those of the archive."""
    indir = Path(given["indir"])
    outdir = Path(given["outdir"] or indir / "repro").absolute()
    if not indir.is_dir():
        print(f"Input is not a directory: '{indir}'. Skipping it")
        return
    for folder in (indir.absolute(), outdir):
        if " " in str(folder):
            raise ToolError(f"the absolute name of a directory cannot contain any spaces: '{folder}'")
    there = _Folders(indir.absolute())
    level1 = _level1_of(there)
    if level1 is None:
        print(f"Unable to locate level=1 event file in {there.indir} or {there.secondary}.  Skipping it")
        return
    root = given["root"] or level1.name.split("_")[0]
    _make_folder(outdir)
    if given["verbose"]:
        print(f"Running chandra_repro\nProcessing input directory '{there.indir}'", flush=True)
    level1 = _unzipped(level1)
    found = _inputs(there, _checked_header(level1), badpixel=given["badpixel"])
    calibration()
    out = {kind: outdir / f"{root}_repro_{kind}.fits" for kind in ("evt2", "bpix1", "flt2", "fov1")}
    files.check_clobber(given["clobber"], *out.values())
    for kind in _COPIED:
        for path in found[kind]:
            shutil.copyfile(path, note_written(outdir / path.name))
    aspect = _aspect_of(found["asol1"], outdir, asol_update=given["asol_update"])
    note_written(outdir / f"{root}_asol1.lis").write_text("".join(f"{path}\n" for path in aspect))
    shutil.copyfile(found["bpix1"][0], note_written(out["bpix1"]))
    shutil.copyfile(found["flt1"][0], note_written(out["flt2"]))
    events = _level2(level1, out["flt2"], check_vf_pha=given["check_vf_pha"])
    header = events.header
    header["ASOLFILE"] = ",".join(path.name for path in aspect)
    header["BPIXFILE"], header["FLTFILE"] = out["bpix1"].name, out["flt2"].name
    header["MASKFILE"] = found["msk1"][0].name
    header["CONTENT"], header["HDUCLAS2"], header["STATFILT"] = "EVT2", "ACCEPTED", "0" * 32
    header["CALDBVER"] = caldb_version()
    files.stamp(header, "acis_process_events", infile=level1.name, check_vf_pha=_yes(given["check_vf_pha"]))
    files.stamp(header, "chandra_repro", indir=indir, outdir=outdir, check_vf_pha=_yes(given["check_vf_pha"]))
    header["CREATOR"] = "acis_process_events - CIAO 4.17.0"
    _write_fov(out["fov1"], events, outdir)
    files.write(out["evt2"], events.blocks())
    if given["set_ardlib"]:
        chips = [each.chip for each in events.good_times if each.chip is not None]
        set_user_values("ardlib", {f"AXAF_ACIS{chip}_BADPIX_FILE": f"{out['bpix1']}[BADPIX{chip}]" for chip in chips})
    if given["verbose"]:
        print(f"\nThe data have been reprocessed.\nStart your analysis with the new products in\n{outdir}")


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _refuse(reason: str, kind: str = "input error") -> NoReturn:
    """Stops as the script does: the reason goes to stdout, and only its kind into the error line."""
    print(f"\n{reason}", flush=True)
    raise ToolError(kind)


def _level1_of(there: _Folders) -> Path | None:
    """The level-1 events; a folder that is both indir and its secondary is counted twice."""
    found = [path for folder in (there.indir, there.secondary) for path in _matching(folder, r"evt1\.fits*")]
    if len(found) > 1:
        if len(found) == 2 and sorted(re.sub("_e[12]_", "_e_", path.name) for path in found)[0] == re.sub(
                "_e[12]_", "_e_", found[1].name) and found[0].name != found[1].name:
            raise ToolError("interleaved observations are not in these stand-ins")
        raise ToolError(f"Multiple evt1 files found in directory {there.indir}\n")
    if found and found[0].parent != there.secondary:
        _refuse(f"Could not locate evt1 fits file in: {there.secondary}")
    return found[0] if found else None


def _make_folder(folder: Path) -> None:
    """One level: the parent must be there."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        raise ToolError(f"Unable to create output directory: '{folder}'\n") from None


def _checked_header(level1: Path) -> fits.Header:
    header = open_events(str(level1)).header
    for key in _KEYWORDS:
        if key not in header:
            raise ToolError(f"'{key}'")
    if header["READMODE"].strip() != "TIMED":
        raise ToolError("continuous clocking is not in these stand-ins")
    if header["DATAMODE"].strip() not in _DATAMODES:
        raise ToolError(f"ACIS datamode {header['DATAMODE']} is not supported")
    return header


def _inputs(there: _Folders, header: fits.Header, *, badpixel: bool) -> dict[str, list[Path]]:
    """The files of each kind, unpacked; the reasons for stopping are the script's, in its order."""
    onboard = header["ASPTYPE"].strip() != "KALMAN"
    if onboard:
        print("\nThe aspect solution of the on-board computer is used: guide stars are missing\n")
    found: dict[str, list[Path]] = {}
    for place, kinds in (("primary", ("bpix1", "evt2", "fov1", "asol1")),
                         ("secondary", ("flt1", "msk1", "mtl1", "stat1", "pbk0", "bias0"))):
        folder = getattr(there, place)
        for kind in kinds:
            paths = _matching(folder, f"{'bias[01]' if kind == 'bias0' else kind}\\.fits")
            if len(paths) > 1 and kind in _SINGLE[place]:
                _refuse(f"Multiple input {kind} files found: split observations of several intervals by splitobs")
            found[kind] = [path if kind == "evt2" else _unzipped(path) for path in paths]
    if onboard:
        aspect = there.secondary / "aspect"
        if not aspect.is_dir():
            _refuse(f"Could not read input directory '{there.secondary}'", "read error")
        found["asol1"] += [_unzipped(path) for path in _matching(aspect, r"osol1\.fits")]
    for kind in (*_NEEDED, *(_FOR_BAD_PIXELS if badpixel else ())):
        if not found[kind]:
            plural = "(s)" if kind == "asol1" else ""
            _refuse(f"Could not locate {kind} fits file{plural} in: "
                    f"{there.primary if kind in ('bpix1', 'asol1') else there.secondary}{os.sep}")
    for kind, key in _HEADER_NAMES.items():
        names = [name.strip() for name in str(header.get(key, "")).split(",") if name.strip()]
        for path in found[kind]:
            if names and path.name not in names:
                print(f"Warning: Found {kind} file named '{path.name}', and the event file's header names another")
    return found


def _aspect_of(paths: Iterable[Path], outdir: Path, *, asol_update: bool) -> list[Path]:
    """The aspect solutions that are used, by CONTENT: those of the whole interval first."""
    of: dict[str, list[Path]] = {}
    for path in sorted(paths):
        block = next((each for each in files.read(path) if each.is_table), None)
        of.setdefault(str(block.header.get("CONTENT", "")).strip() if block else "", []).append(path)
    if len(of.get("ASPSOLOBI", ())) > 1:
        _refuse("Too many ASPSOLOBI aspect files found")
    if "ASPSOLOBI" in of:
        for path in of.get("ASPSOL", ()):
            (outdir / path.name).unlink()
        return of["ASPSOLOBI"]
    if "OBCSOL" in of:
        return of["OBCSOL"]
    if "ASPSOL" not in of:
        _refuse("Unknown CONTENT of aspect solution files")
    return [_corrected(of["ASPSOL"], outdir)] if asol_update else of["ASPSOL"]


def _corrected(paths: list[Path], outdir: Path) -> Path:
    """One file of solutions by constant interval; the boresight is taken as it is."""
    blocks = [next(each for each in files.read(path) if each.is_table) for path in paths]
    obsid = {str(block.header["OBS_ID"]).strip() for block in blocks}
    if len(obsid) > 1:
        _refuse("ERROR: the OBS_ID of aspect solution files differ")
    header = blocks[0].header.copy()
    header["CONTENT"] = "ASPSOLOBI"
    rows = np.empty(sum(len(block.data) for block in blocks if block.data is not None), blocks[0].data.dtype)
    np.concatenate([block.data for block in blocks], out=rows)
    path = outdir / f"pcadf{int(obsid.pop()):05d}_repro_asol1.fits"
    files.write(path, [Block(fits.Header()), Block(header, rows)])
    return path


def _matching(folder: Path, pattern: str) -> list[Path]:
    """Files of a folder whose names hold what a pattern says, anywhere; a packed one only if it is the only one."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and re.search(pattern, path.name))
    return [folder / name for name in names if not (name.endswith(".gz") and name.removesuffix(".gz") in names)]


def _unzipped(path: Path) -> Path:
    """In place, as the archive is taken to be the user's own copy."""
    if path.suffix != ".gz":
        return path
    with gzip.open(path, "rb") as packed, path.with_suffix("").open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    path.unlink()
    return path.with_suffix("")


def _level2(level1: Path, times: Path, *, check_vf_pha: bool) -> EventList:
    events = open_events(str(level1))
    rows = events.rows.copy()
    if check_vf_pha and str(events.header.get("DATAMODE", "")).strip() == "VFAINT":
        flagged = _vfaint_flagged(events)
        status = rows[events.block.field("status")]
        status[flagged, _VFAINT_BYTE] |= _VFAINT_BIT
        events.block = Block(events.header, rows)
        events.header["CHKVFPHA"] = True
    grades = Term("ranges", "grade", tuple(Range(each, each, single=True) for each in _GRADES))
    status = Term("ranges", "status", (Range(0, 0, single=True),))
    apply_filter(events, Filter((grades,)))
    apply_filter(events, Filter((status,)))
    apply_filter(events, Filter((Term("gti", text=str(times)),)))
    events.good_times = [each for each in events.good_times if each.total > 0]
    return events


def _vfaint_flagged(events: EventList) -> NDArray[np.bool_]:
    """Events with any outer pixel of the 5 x 5 above the split threshold."""
    islands = events.column("phas").reshape(len(events.rows), -1)
    if islands.shape[1] != 25:
        return np.zeros(len(events.rows), bool)
    outer = np.ones((5, 5), bool)
    outer[1:4, 1:4] = False
    flagged: NDArray[np.bool_] = (islands[:, outer.ravel()] > calibration()["split_threshold_adu"]).any(axis=1)
    return flagged


def _write_fov(path: Path, events: EventList, outdir: Path) -> None:
    events.path = outdir / path.name
    view = view_of(events, ancillary_of(events))
    files.write(path, [Block(events.primary), fov_block([view], events.header, events.plane)])
