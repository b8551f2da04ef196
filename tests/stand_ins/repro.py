"""chandra_repro: level-1 events to level 2, with their files beside them."""

import gzip
import os
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import files
from .caldb import caldb_version, calibration
from .errors import ToolError
from .events import EventList, apply_filter, open_events
from .files import Block, note_written
from .observe import beside, fov_block, view_of
from .parameters import Parameters, set_user_values
from .virtual import Filter, Range, Term

_GRADES = (0, 2, 3, 4, 6)
# Bit 23 of 32, the highest first.
_VFAINT_BYTE, _VFAINT_BIT = 3 - 23 // 8, 1 << 23 % 8
# What belongs to an observation and comes along into outdir, and where it may lie.
_KINDS = ("asol1", "msk1", "mtl1", "stat1", "flt1", "pbk0")
_FOLDERS = ("", "primary", "secondary")


def chandra_repro(given: Parameters) -> None:
    """Grades, status, good times; bad pixels and the rest are those of the archive."""
    indir = Path(given["indir"])
    outdir = Path(given["outdir"] or indir / "repro")
    for folder in (indir, outdir):
        if " " in str(folder.absolute()):
            raise ToolError(f"there are spaces in the directory path: {folder.absolute()}")
    if not indir.is_dir():
        raise ToolError(f"input directory {indir} does not exist")
    calibration()
    _unzip(indir)
    level1 = _found(indir, "evt1")
    if not level1:
        raise ToolError(f"Unable to locate level=1 event file in {indir}")
    if len(level1) > 1:
        raise ToolError(f"found {len(level1)} level=1 event files in {indir}: {', '.join(map(str, level1))}")
    root = given["root"] or level1[0].name.split("_")[0]
    outdir.mkdir(parents=True, exist_ok=True)
    out = {kind: outdir / f"{root}_repro_{kind}.fits" for kind in ("evt2", "bpix1", "flt2", "fov1")}
    files.check_clobber(given["clobber"], *out.values())
    if given["verbose"]:
        print(f"Running chandra_repro\nProcessing input directory '{indir.absolute()}'", flush=True)

    beside_it = {kind: _found(indir, kind) for kind in (*_KINDS, "bpix1", "fov1")}
    for kind in ("asol1", "bpix1", "flt1", "msk1"):
        if not beside_it[kind]:
            raise ToolError(f"Unable to locate {kind} file in {indir}")
    for kind in _KINDS:
        for path in beside_it[kind]:
            _bring(path, outdir / path.name)
    note_written(outdir / f"{root}_asol1.lis").write_text(
        "".join(f"{outdir / path.name}\n" for path in beside_it["asol1"]))
    shutil.copyfile(beside_it["bpix1"][0], note_written(out["bpix1"]))
    shutil.copyfile(beside_it["flt1"][0], note_written(out["flt2"]))
    events = _level2(level1[0], out["flt2"], check_vf_pha=given["check_vf_pha"])
    header = events.header
    header["ASOLFILE"] = ",".join(path.name for path in beside_it["asol1"])
    header["BPIXFILE"], header["FLTFILE"] = out["bpix1"].name, out["flt2"].name
    header["MASKFILE"] = beside_it["msk1"][0].name
    header["CONTENT"], header["HDUCLAS2"] = "EVT2", "ACCEPTED"
    header["CALDBVER"] = caldb_version()
    files.stamp(header, "acis_process_events", infile=level1[0].name, check_vf_pha=_yes(given["check_vf_pha"]))
    files.stamp(header, "chandra_repro", indir=indir, outdir=outdir, check_vf_pha=_yes(given["check_vf_pha"]))
    header["CREATOR"] = "acis_process_events - CIAO 4.17.0"
    _write_fov(beside_it["fov1"], out, events, outdir)
    files.write(out["evt2"], events.blocks())
    if given["set_ardlib"]:
        chips = [each.chip for each in events.good_times if each.chip is not None]
        set_user_values("ardlib", {f"AXAF_ACIS{chip}_BADPIX_FILE": f"{out['bpix1']}[BADPIX{chip}]" for chip in chips})
    if given["verbose"]:
        print(f"\nThe data have been reprocessed.\nStart your analysis with the new products in\n{outdir.absolute()}")


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _unzip(indir: Path) -> None:
    """In place, as the archive is taken to be the user's own copy."""
    for folder in ("primary", "secondary"):
        for path in sorted((indir / folder).glob("*.fits.gz")):
            with gzip.open(path, "rb") as packed, path.with_suffix("").open("wb") as plain:
                shutil.copyfileobj(packed, plain)
            path.unlink()


def _found(indir: Path, kind: str) -> list[Path]:
    """The files of a kind."""
    return sorted(path for folder in _FOLDERS for path in (indir / folder).glob(f"*_{kind}.fits") if "repro" not in
                  path.name)


def _bring(path: Path, to: Path) -> None:
    """Copies a file, or links to it (STAND_IN_LINKS=1)."""
    note_written(to)
    if to.is_symlink() or to.exists():
        if path.resolve() == to.resolve():
            return
        to.unlink()
    if os.environ.get("STAND_IN_LINKS") == "1":
        to.symlink_to(path.absolute())
    else:
        shutil.copyfile(path, to)


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


def _write_fov(found: list[Path], out: dict[str, Path], events: EventList, outdir: Path) -> None:
    if found:
        shutil.copyfile(found[0], note_written(out["fov1"]))
        return
    events.path = outdir / out["evt2"].name
    view = view_of(events, beside(events))
    files.write(out["fov1"], [Block(events.primary), fov_block([view], events.header, events.plane)])
