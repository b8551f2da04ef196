"""merge_obs and reproject_obs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from . import files
from .bands import bands_of
from .caldb import calibration
from .errors import ToolError
from .events import EventList, GoodTimes, merge_intervals, open_events
from .files import Block
from .fluximage import (
    Maps,
    chips_in,
    fov_name,
    has_threshold,
    maps_of,
    output_names,
    rooted,
    work_in,
    write_maps,
)
from .observe import fov_block, view_of
from .obsinfo import Ancillary, ancillary_of, aspect_of, label_of, named, observed
from .parameters import Parameters
from .regions import degrees_of
from .sky import Grid, GridAxis, Plane, separation_arcsec
from .virtual import stack

Floats = NDArray[np.float64]

# Observations this near to the common tangent point are copied as they are.
_SAME_ARCSEC = 0.05
_BINSIZE = 8.0
# Stored coordinates stay in the same eighth of a pixel, and so in the same pixel of any grid.
_CELL = 0.125
_COLUMNS = ("time", "chipx", "detx", "x", "ccd_id", "energy")
_KEYWORDS = ("RAND_PI", "READMODE", "EXPTIME", "GRATING", "DETNAM", "RA_NOM", "DEC_NOM", "DATE-OBS", "EXPOSURE",
             "SIM_Z", "FP_TEMP")
_COMPARED = ("GRATING", "DATAMODE", "EXPTIME", "CTI_CORR", "READMODE", "SIM_X", "SIM_Y")


@dataclass
class Observation:
    """An observation, on the common plane once it is moved."""

    obsid: str
    events: EventList
    near: Ancillary
    own_plane: Plane
    name: str


def merge_obs(given: Parameters) -> None:
    """Events on one tangent plane, and images of each observation and of all."""
    calibration()
    for name in ("xygrid", "maxsize", "badpixfiles", "maskfiles", "dtffiles"):
        if given[name]:
            raise ToolError(f"{name} is not in these stand-ins")
    wanted = bands_of(given["bands"])
    observations, plane = _reprojected(given, with_merged=True)
    root = rooted(given["outroot"])
    views = [view_of(*_on_own_plane(each), plane) for each in observations]
    boxes = np.array([view.box() for view in views])
    step = given["binsize"] or _BINSIZE
    grid = Grid(GridAxis.around(boxes[:, 0].min(), boxes[:, 1].max(), step),
                GridAxis.around(boxes[:, 2].min(), boxes[:, 3].max(), step))
    names = {(stem, band.label): output_names(f"{root}{stem}{band.label}_", psf=given["psfecf"] is not None,
                                              thresh=has_threshold(given["expmapthresh"]))
             for stem in ("", *(f"{each.obsid}_" for each in observations)) for band in wanted}
    files.check_clobber(given["clobber"], *(path for each in names.values() for path in each.values()))
    for each, view in zip(observations, views, strict=True):
        files.write(fov_name(root, each.obsid), [Block(fits.Header()),
                                                 fov_block([view], each.events.header, plane)])
    files.write(f"{root}merged.fov", [Block(fits.Header()), fov_block(views, observations[0].events.header, plane)])
    whole = _joined(observations)
    parameters: dict[str, object] = {"infiles": given["infiles"], "outroot": given["outroot"], "bands": given["bands"]}
    for band in wanted:
        made = []
        for each, view in zip(observations, views, strict=True):
            seconds = view.exposure(grid, vignetted=given["units"] != "time")
            made.append(maps_of(each.events, band, grid, seconds, view, given))
            write_maps(names[f"{each.obsid}_", band.label], made[-1], each.events, band, grid, given, "merge_obs",
                       parameters, chips_in(each.name))
        write_maps(names["", band.label], _summed(made, observations, given["psfmerge"]), whole, band, grid, given,
                   "merge_obs", parameters, chips_in(observations[0].name))
    if given["verbose"]:
        print("\nThe following files were created:\n" + "\n".join(f"     {each}" for each in files.written))


def reproject_obs(given: Parameters) -> None:
    """Events on one tangent plane."""
    _reprojected(given, with_merged=given["merge"])


def _reprojected(given: Parameters, *, with_merged: bool) -> tuple[list[Observation], Plane]:
    """Reads and moves the observations, and writes their events."""
    work_in(given["tmpdir"])
    names = stack(given["infiles"])
    observations = _read(names, given["asolfiles"], verbose=bool(given["verbose"]))
    plane = _reference(given["refcoord"], observations)
    root = rooted(given["outroot"])
    outputs = {each.obsid: Path(f"{root}{each.obsid}_reproj_evt.fits") for each in observations}
    merged = Path(f"{root}merged_evt.fits")
    files.check_clobber(given["clobber"], *outputs.values(), *([merged] if with_merged else []))
    if given["verbose"]:
        print(f"Found {len(names)} observations\nThe observations will be reprojected to a common tangent point of "
              f"{plane.ra:.6f} {plane.dec:.6f} .\nwarning: DTCOR has different values, omit - ...FAIL...", flush=True)
    for each in observations:
        if separation_arcsec(each.own_plane, plane) > _SAME_ARCSEC:
            _move(each, plane)
        files.stamp(each.events.header, "reproject_events", infile=each.events.path)
        files.write(outputs[each.obsid], each.events.blocks())
    if with_merged:
        whole = _joined(observations)
        files.stamp(whole.header, "dmmerge", infile=given["infiles"])
        files.write(merged, whole.blocks())
    return observations, plane


def _read(names: list[str], asolfiles: str, *, verbose: bool) -> list[Observation]:
    """The observations that are used, by their start; others are left out with a line on stdout."""
    events_of: dict[str, tuple[str, EventList]] = {}
    skipped = 0
    for name in names:
        try:
            events = observed(name)
            label = label_of(events)
        except (ToolError, OSError) as error:
            print(f"Skipping file: {error}")
            skipped += 1
            continue
        if why := _why_left_out(events, label, events_of):
            print(f"Skipping {name} as {why}")
            skipped += 1
        else:
            events_of[label] = name, events
    if skipped:
        print(f"Skipped {skipped} observation{'s' if skipped > 1 else ''}.")
    if not events_of:
        raise ToolError("no observations are left to merge")
    in_order = sorted(events_of.items(), key=lambda each: float(each[1][1].header["TSTART"]))
    for _, (name, events) in in_order:
        for key in _KEYWORDS:
            if key not in events.header:
                raise ToolError(f"the keyword {key} is missing in {name}")
    _check_alike([events for _, (_, events) in in_order])
    near = _all_ancillary([events for _, (_, events) in in_order], asolfiles, verbose=verbose)
    return [Observation(label, events, files_of, events.plane, name)
            for (label, (name, events)), files_of in zip(in_order, near, strict=True)]


def _why_left_out(events: EventList, label: str, before: dict[str, tuple[str, EventList]]) -> str:
    header = events.header
    instrument = str(header["INSTRUME"]).strip()
    if not len(events.rows):
        return "it contains no data"
    if label in before:
        return f"it repeats ObsId {label}"
    if any(str(other.header["INSTRUME"]).strip() != instrument for _, other in before.values()):
        return f"it is of {instrument}"
    if "READMODE" not in header or str(header["READMODE"]).strip() == "CONTINUOUS":
        return "it is in continuous clocking mode, or has no READMODE"
    lacking = [name for name in _COLUMNS if not events.has(name)]
    return f"it has no column {', '.join(lacking)}" if lacking else ""


def _check_alike(observations: list[EventList]) -> None:
    for key in _COMPARED:
        if len({str(events.header.get(key)) for events in observations}) > 1:
            print(f"WARNING - {key} values differ")


def _all_ancillary(observations: list[EventList], asolfiles: str, *, verbose: bool) -> list[Ancillary]:
    """Files that belong to the events: of bad pixels and masks, all may be missing, but not some."""
    for key in ("BPIXFILE", "MASKFILE"):
        there = [bool(named(events, key)) or str(events.header.get(key, "")).strip() == "NONE"
                 for events in observations]
        if any(there) and not all(there):
            raise ToolError(f"{key} was found for some of the observations only")
    for events in observations:
        aspect_of(events, asolfiles)
    return [ancillary_of(events, asolfiles, verbose=verbose) for events in observations]


def _reference(refcoord: str, observations: list[Observation]) -> Plane:
    """The common plane: as refcoord says (a file, or RA and Dec), else around the mean of tangent points."""
    like = observations[0].own_plane
    if refcoord:
        if Path(refcoord).exists():
            other = open_events(refcoord).plane
            return like.moved(other.ra, other.dec)
        words = refcoord.replace(",", " ").split()
        if len(words) != 2:
            raise ToolError(f"refcoord={refcoord!r} is neither a file nor a position")
        try:
            ra = degrees_of(words[0]) * (15 if ":" in words[0] else 1)
            return like.moved(ra, degrees_of(words[1]))
        except ValueError:
            raise ToolError(f"refcoord={refcoord!r} is neither a file nor a position") from None
    points = np.radians([(each.own_plane.ra, each.own_plane.dec) for each in observations])
    if len({(each.own_plane.ra, each.own_plane.dec) for each in observations}) == 1:
        return like
    vectors = np.stack([np.cos(points[:, 1]) * np.cos(points[:, 0]), np.cos(points[:, 1]) * np.sin(points[:, 0]),
                        np.sin(points[:, 1])], axis=1).mean(axis=0)
    x, y, z = vectors / np.linalg.norm(vectors)
    return like.moved(float(np.degrees(np.arctan2(y, x)) % 360), float(np.degrees(np.arcsin(z))))


def _move(observation: Observation, plane: Plane) -> None:
    """Puts x and y, and the keywords of the tangent point, on the plane."""
    events, own = observation.events, observation.own_plane
    rows = events.rows.copy()
    places = plane.from_sky(*own.to_sky(events.column("x").astype(float), events.column("y").astype(float)))
    header = events.header.copy()
    for name, values, tangent in zip(("x", "y"), places, (plane.ra, plane.dec), strict=True):
        field = events.block.field(name)
        rows[field] = _stored(values) if rows.dtype[field].itemsize == 4 else values
        header[f"TCRVL{events.block.number(name)}"] = tangent
    header["RA_NOM"], header["DEC_NOM"] = plane.ra, plane.dec
    events.block = Block(header, rows)


def _stored(values: Floats) -> NDArray[np.float32]:
    """As single precision, rounded down where rounding up would reach another cell."""
    near = values.astype(np.float32)
    reached = np.floor(near.astype(np.float64) / _CELL) > np.floor(values / _CELL)
    near[reached] = np.nextafter(near[reached], np.float32(-np.inf))
    return near


def _on_own_plane(observation: Observation) -> tuple[EventList, Ancillary]:
    """The observation with the tangent point that its roll and pointing belong to."""
    events = observation.events
    header = events.header.copy()
    for name, tangent in (("x", observation.own_plane.ra), ("y", observation.own_plane.dec)):
        header[f"TCRVL{events.block.number(name)}"] = tangent
    own = EventList(events.path, events.primary, Block(header, events.rows), events.good_times, events.subspace)
    return own, observation.near


def _joined(observations: list[Observation]) -> EventList:
    """All events, in the columns that all have; keywords of the first, but for what differs."""
    first = observations[0].events
    common = [name for name in first.rows.dtype.names or () if name.lower() != "phas" and all(
        each.events.rows.dtype.fields is not None and name in each.events.rows.dtype.names
        and each.events.rows.dtype[name] == first.rows.dtype[name] for each in observations)]
    kept = np.dtype([(name, first.rows.dtype[name]) for name in common])
    rows = np.zeros(sum(len(each.events.rows) for each in observations), kept)
    at = 0
    for each in observations:
        for name in common:
            rows[name][at:at + len(each.events.rows)] = each.events.rows[name]
        at += len(each.events.rows)
    header = _header_of_columns(first, common)
    for key in ("ONTIME", "LIVETIME", "EXPOSURE"):
        header[key] = sum(float(each.events.header[key]) for each in observations)
    if len(observations) > 1:
        header["OBS_ID"], header["TITLE"], header["OBSERVER"] = "Merged", "Merged", "Merged"
        header.update(dict.fromkeys(("ASOLFILE", "BPIXFILE", "MASKFILE"), "Merged"))
        header["DETNAM"] = "Merged" if len({each.events.header.get("DETNAM") for each in observations}) > 1 else header[
            "DETNAM"]
    header["TSTART"] = min(each.events.header["TSTART"] for each in observations)
    header["TSTOP"] = max(each.events.header["TSTOP"] for each in observations)
    times: dict[int | None, GoodTimes] = {}
    for each in observations:
        for good in each.events.good_times:
            there = times.get(good.chip)
            before = there.intervals if there else []
            times[good.chip] = GoodTimes(good.block, good.chip, merge_intervals(before, good.intervals))
    return EventList(first.path, first.primary, Block(header, rows), list(times.values()), first.subspace)


def _header_of_columns(events: EventList, names: list[str]) -> fits.Header:
    """The header of a table with these columns only."""
    header = events.header
    made = files.without_columns(header)
    made["EXTNAME"], made["HDUNAME"] = "EVENTS", "EVENTS"
    for n, name in enumerate(names, start=1):
        old = events.block.number(name)
        for key in ("TTYPE", "TFORM", "TUNIT", "TLMIN", "TLMAX", "TDIM", "TCTYP", "TCRVL", "TCRPX", "TCDLT", "TCUNI"):
            if f"{key}{old}" in header:
                made[f"{key}{n}"] = header[f"{key}{old}"]
    for key in header:
        if key.startswith(("MTYPE", "MFORM")):
            made[key] = header[key]
    return made


def _summed(made: list[Maps], observations: list[Observation], psfmerge: str) -> Maps:
    counts = np.sum([each.counts for each in made], axis=0)
    exposure = np.sum([each.exposure.astype(np.float32) for each in made], axis=0, dtype=np.float64)
    if made[0].radii is None:
        return Maps(counts, exposure, None)
    radii = np.array([each.radii for each in made])
    there = np.isfinite(radii)
    none = ~there.any(axis=0)
    known = np.where(none, 0.0, radii)
    weights = {"exptime": [np.full(exposure.shape, float(each.events.header["EXPOSURE"])) for each in observations],
               "expmap": [each.exposure for each in made]}
    if psfmerge in weights:
        parts = np.where(there, np.array(weights[psfmerge]), 0)
        merged = np.nansum(parts * np.nan_to_num(radii), axis=0) / np.where(none, 1, parts.sum(axis=0))
    elif psfmerge == "mid":
        merged = (np.nanmin(known, axis=0) + np.nanmax(known, axis=0)) / 2
    else:
        reduced = {"min": np.nanmin, "max": np.nanmax, "mean": np.nanmean, "median": np.nanmedian}
        merged = reduced[psfmerge](known, axis=0)
    return Maps(counts, exposure, np.where(none, np.nan, merged))
