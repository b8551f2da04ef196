"""Blocks of the files of a simulated observation as headers and rows, with structure and keywords of the archive."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin.acis import geometry as acis
from chandra_bin.events.gti import GTI
from chandra_bin.events.vfaint import SPLIT_ADU
from chandra_bin.fits.headers import text_of
from chandra_bin.fits.new_table import NewColumn, new_table
from chandra_bin.fits.subspace import Component, Condition, write_subspace

from ._observation import FIRST_PX, LAST_PX, LIVE_FRACTION, TIMEDEL_S, Observation
from ._photons import GOOD_GRADES, Photons

if TYPE_CHECKING:
    from astropy.io.fits import Header

Block = tuple["Header", NDArray[np.void]]
Cards = dict[str, object]

CREATOR = "chandra-bin simulate"
BLANK_SKY_PERIOD = "2000-12-01"
"""First day of the calibration database's period of simulated observations."""
_CALIB = ("APPROX", "simulated: no true calibration")
_EPOCH = datetime(1998, 1, 1)
_MJD_EPOCH = 50814.0
_ASPECT_STEP_S = 0.25625
_HOUSEKEEPING_STEP_S = 32.8
_BIAS_ADU = 250
_BIAS_BEFORE_S = 2000
# Frames whose aspects cover an area.
_MANY = 300


def is_simulated(header: Mapping[str, object]) -> bool:
    """Return whether `chandra-bin simulate` made the events of a header (CREATOR)."""
    return text_of(header, "CREATOR") == CREATOR


def date(time_s: float) -> str:
    """Return a mission time in the format of DATE-OBS."""
    return (_EPOCH + timedelta(seconds=time_s)).isoformat(timespec="seconds")


def about(observation: Observation) -> Cards:
    """Return the keywords of every file of an observation."""
    start, stop = observation.tstart_s, observation.tstop_s
    return {
        "ORIGIN": "SIMULATED", "CREATOR": CREATOR, "ASCDSVER": "SIMULATED", "DATE": date(stop),
        "DATE-OBS": date(start), "DATE-END": date(stop),
        "MJD-OBS": _MJD_EPOCH + start / 86400, "TIMESYS": "TT", "MJDREF": _MJD_EPOCH, "TIMEZERO": 0.0, "TIMEUNIT": "s",
        "TIMEREF": "LOCAL", "TASSIGN": "SATELLITE", "CLOCKAPP": True, "TIERRELA": 1e-9, "TIERABSO": 5e-5,
        "TIMVERSN": "ASC-FITS-2", "TSTART": start, "TSTOP": stop, "TIMEPIXR": 0.5, "TIMEDEL": TIMEDEL_S,
        "OBS_MODE": "POINTING", "DATACLAS": "SIMULATED", "RADESYS": "ICRS", "EQUINOX": 2000.0, "MISSION": "AXAF",
        "TELESCOP": "CHANDRA", "INSTRUME": "ACIS", "DETNAM": observation.detnam, "GRATING": "NONE",
        "SIM_X": -0.6828225, "SIM_Y": 0.0, "SIM_Z": observation.sim_z_mm, "FOC_LEN": acis.FOCAL_LENGTH_MM,
        "DEFOCUS": 0.0, "RA_PNT": observation.ra_deg, "DEC_PNT": observation.dec_deg, "ROLL_PNT": observation.roll_deg,
        "RA_NOM": observation.ra_deg, "DEC_NOM": observation.dec_deg, "ROLL_NOM": observation.roll_deg,
        "RA_TARG": observation.ra_targ_deg, "DEC_TARG": observation.dec_targ_deg, "READMODE": "TIMED",
        "DATAMODE": observation.datamode, "CYCLE": "P", "DTYCYCLE": 0, "FLSHTIME": 0.0, "EXPTIME": acis.FRAME_S,
        "FIRSTROW": 1, "NROWS": acis.CHIP_PX, "TITLE": "A simulated cluster of galaxies", "OBSERVER": "chandra-bin",
        "OBJECT": "Simulated cluster", "OBS_ID": str(observation.obsid), "OBI_NUM": 0, "SEQ_NUM": "900001",
        "REVISION": 1, "ASPTYPE": "KALMAN", "CALIB": _CALIB,
    }


def primary(observation: Observation) -> "Header":
    """Return the header of a primary HDU."""
    from astropy.io.fits import Header

    return Header({"HDUNAME": "PRIMARY", **_short(observation)})


def aspect_blocks(observation: Observation) -> list[Block]:
    """Return ASPSOL: the pointing of the optical axis and the roll, four times a second."""
    count = int((observation.tstop_s - observation.tstart_s) / _ASPECT_STEP_S) + 2
    times = observation.tstart_s + _ASPECT_STEP_S * np.arange(count)
    ra, dec, roll = observation.pointing(times)
    zero = np.zeros(count)
    header, rows = table("ASPSOL", [
        NewColumn("time", "1D", times, "s"), NewColumn("ra", "1D", ra, "deg"), NewColumn("dec", "1D", dec, "deg"),
        NewColumn("roll", "1D", roll, "deg"), NewColumn("dy", "1E", zero, "mm"),
        NewColumn("dz", "1E", zero, "mm"), NewColumn("dtheta", "1E", zero, "deg")], about(observation))
    header.update({"CONTENT": "ASPSOLOBI", "HDUCLASS": "ASC", "HDUCLAS1": "TEMPORALDATA", "HDUCLAS2": "ASPSOL",
                   "INSTRUME": "PCAD", "TIMEPIXR": 0.0, "TIMEDEL": _ASPECT_STEP_S, "DTASPSOL": _ASPECT_STEP_S,
                   "ACSYS1": "ASPSOL=MNC"})
    return [(header, rows)]


def bad_pixel_blocks(observation: Observation) -> list[Block]:
    """Return BADPIX of each chip: points and columns."""
    blocks = []
    for chip in sorted(observation.chips):
        shapes = np.array(observation.bad_rectangles[chip])
        point = (shapes[:, 0] == shapes[:, 1]) & (shapes[:, 2] == shapes[:, 3])
        count = len(shapes)
        status = np.where(point, 1 << 12, 1 << 11)
        header, rows = table("BADPIX", [
            NewColumn("SHAPE", "16A", np.where(point, "point", "rectangle")),
            NewColumn("COMPONENT", "1I", np.arange(count) + 1), NewColumn("CHIPX", "2I", shapes[:, :2], "pixel"),
            NewColumn("CHIPY", "2I", shapes[:, 2:], "pixel"), NewColumn("TIME", "1D", np.zeros(count), "s"),
            NewColumn("TIME_STOP", "1D", np.full(count, observation.tstop_s), "s"),
            NewColumn("STATUS", "32X", status, "coded")], about(observation), version=chip)
        header.update({"CONTENT": "BADPIX", "HDUCLASS": "ASC", "HDUCLAS1": "REGION", "HDUCLAS2": "BADPIX",
                       "MTYPE1": "CHIP", "MFORM1": "CHIPX,CHIPY", "CCD_ID": chip, "STARTROW": 0, "ROWCNT": 1023})
        blocks.append((header, rows))
    return blocks


def mask_blocks(observation: Observation) -> list[Block]:
    """Return MASK of each chip: the rows and columns with events, and the others (SAMP_CYC 0)."""
    used, whole = (FIRST_PX, LAST_PX), (1, acis.CHIP_PX)
    limits = np.array([used, whole, used])
    blocks = []
    for chip in sorted(observation.chips):
        header, rows = table("MASK", [
            NewColumn("SHAPE", "16A", np.array(["rectangle", "rectangle", "!rectangle"])),
            NewColumn("COMPONENT", "1I", np.array([1, 2, 2])), NewColumn("CHIPX", "2I", limits, "pixel"),
            NewColumn("CHIPY", "2I", limits, "pixel"), NewColumn("SAMP_CYC", "1I", np.array([1, 0, 0])),
            NewColumn("PHAMIN", "1I", np.full(3, 39), "adu"), NewColumn("PHAMAX", "1I", np.full(3, 3749), "adu")],
            about(observation), version=chip)
        header.update({"CONTENT": "MSK", "HDUCLASS": "ASC", "HDUCLAS1": "REGION", "HDUCLAS2": "MASK",
                       "MTYPE1": "CHIP", "MFORM1": "CHIPX,CHIPY", "CCD_ID": chip, "FIRSTROW": FIRST_PX,
                       "LASTROW": LAST_PX})
        blocks.append((header, rows))
    return blocks


def field_blocks(observation: Observation) -> list[Block]:
    """Return FOV: the convex hull of each chip's positions on the sky in its GTIs."""
    polygons = [_seen(observation, chip) for chip in sorted(observation.chips)]
    size = max(map(len, polygons))
    # Short polygons repeat their first vertex, which does not change them.
    padded = np.stack([np.concatenate([each, np.repeat(each[:1], size - len(each), axis=0)]) for each in polygons])
    count = len(polygons)
    nothing = np.full((count, 2), np.nan)
    columns = [
        NewColumn("X", f"{size}D", padded[:, :, 0], "pixel"), NewColumn("Y", f"{size}D", padded[:, :, 1], "pixel"),
        NewColumn("SHAPE", "16A", np.full(count, "Polygon")), NewColumn("R", "2D", nothing, "pixel"),
        NewColumn("ROTANG", "2D", nothing, "deg"), NewColumn("COMPONENT", "1I", np.arange(count) + 1),
        NewColumn("CCD_ID", "1I", np.array(sorted(observation.chips)))]
    header, rows = table("FOV", columns, {**about(observation), **exposures(observation)})
    header.update({"CONTENT": "FOV", "HDUCLASS": "ASC", "HDUCLAS1": "REGION", "HDUCLAS2": "FOV", "MTYPE1": "POS",
                   "MFORM1": "X,Y", "MTYPE2": "EQPOS", "MFORM2": "RA,DEC"})
    sky_keywords(header, observation, columns, names=("X", "Y"))
    return [(header, rows)]


def filter_blocks(observation: Observation) -> list[Block]:
    """Return FILTER, without rows, whose data subspace names the GTIs of each chip, and the GTI tables."""
    header, rows = table("FILTER", [NewColumn("TIME", "1D", np.empty(0), "s"), NewColumn("CCD_ID", "1I", np.empty(0))],
                          {**about(observation), **exposures(observation)})
    header.update({"CONTENT": "GTI", "HDUCLASS": "ASC", "HDUCLAS1": "FILTER"})
    write_subspace(header, [component(chip, grades=False) for chip in observation.chips])
    return [(header, rows), *good_time_blocks(observation)]


def housekeeping_blocks(observation: Observation) -> list[Block]:
    """Return MTL: the constant temperature of the focal plane and position of the SIM."""
    times = np.arange(observation.tstart_s, observation.tstop_s, _HOUSEKEEPING_STEP_S)
    header, rows = table("MTL", [
        NewColumn("time", "1D", times, "s"), NewColumn("fp_temp", "1E", np.full(len(times), 153.5), "K"),
        NewColumn("sim_z", "1D", np.full(len(times), observation.sim_z_mm), "mm")], about(observation))
    header.update({"CONTENT": "MTL", "HDUCLASS": "ASC", "HDUCLAS1": "TEMPORALDATA", "HDUCLAS2": "MTL"})
    return [(header, rows)]


def statistics_blocks(observation: Observation, events: Photons) -> list[Block]:
    """Return EXPSTATS: the number of level-1 events of each frame and chip."""
    chips = np.array(sorted(observation.chips))
    frame, place = (axis.ravel() for axis in np.indices((observation.frames, len(chips))))
    sent = np.bincount(events.frame * len(chips) + np.searchsorted(chips, events.chip), minlength=len(frame))
    nothing = np.zeros(len(frame), np.int64)
    header, rows = table("EXPSTATS", [
        NewColumn("time", "1D", observation.frame_times(frame), "s"), NewColumn("ccd_id", "1I", chips[place]),
        NewColumn("expno", "1J", frame + 1), NewColumn("evtsent", "1J", sent),
        NewColumn("dropamp", "1J", nothing), NewColumn("droppos", "1J", nothing), NewColumn("dropgrd", "1J", nothing)],
        about(observation))
    header.update({"CONTENT": "EXPSTATS", "HDUCLASS": "ASC", "HDUCLAS1": "TEMPORALDATA", "HDUCLAS2": "EXPSTATS"})
    return [(header, rows)]


def parameter_blocks(observation: Observation) -> list[Block]:
    """Return PBK, the commanded parameters of the readout: one row for each chip."""
    chips = np.array(observation.chips)
    header, rows = table("PBK", [
        NewColumn("fep_id", "1I", np.arange(len(chips))), NewColumn("ccd_id", "1I", chips),
        NewColumn("firstrow", "1I", np.ones(len(chips))), NewColumn("nrows", "1I", np.full(len(chips), acis.CHIP_PX)),
        NewColumn("evthresh", "1I", np.full(len(chips), 38), "adu"),
        NewColumn("spthresh", "1I", np.full(len(chips), SPLIT_ADU), "adu")],
        {**about(observation), **readout(observation)})
    header.update({"CONTENT": "PBK", "HDUCLASS": "ASC", "HDUCLAS1": "PARAMETER"})
    return [(header, rows)]


def bias_image(observation: Observation, chip: int) -> "tuple[NDArray[np.int16], Header]":
    """Return the bias map of a chip, (1024, 1024) adu as [chipy - 1, chipx - 1], and its header."""
    from astropy.io.fits import Header

    header = Header({"HDUNAME": "BIAS"})
    header.update({**about(observation), **readout(observation), "CCD_ID": chip,
                   "FEP_ID": observation.chips.index(chip), "CONTENT": "BIAS", "HDUCLASS": "ASC", "HDUCLAS1": "IMAGE",
                   "HDUCLAS2": "BIAS", "BUNIT": "adu"})
    return np.full((acis.CHIP_PX, acis.CHIP_PX), _BIAS_ADU, np.int16), header


def good_time_block(observation: Observation, gti: GTI) -> Block:
    """Return one GTI table for all chips."""
    return good_times(gti, None, about(observation))


def file_root(observation: Observation) -> str:
    """Return the common root of ACIS file names."""
    return f"acisf{observation.obsid:05d}_000N001"


def parameter_root(observation: Observation) -> str:
    """Return the name of the parameter-block file without its ending; it contains a time."""
    return f"acisf{int(observation.tstart_s):09d}N001_pbk0"


def bias_root(observation: Observation, chip: int) -> str:
    """Return the name of a chip's bias file without its ending; it contains an earlier time and the processor."""
    return f"acisf{int(observation.tstart_s) - _BIAS_BEFORE_S:09d}N001_{observation.chips.index(chip)}_bias0"


def readout(observation: Observation) -> Cards:
    """Return the keywords of the readout; FEP_CCD has the chip of each front-end processor."""
    return {"OCLKPAIR": 8, "ORC_MODE": 0, "SUM_2X2": 0, "FEP_CCD": "".join(map(str, observation.chips))}


def _short(observation: Observation) -> Cards:
    keys = ("ORIGIN", "CREATOR", "ASCDSVER", "DATE", "DATE-OBS", "DATE-END", "MJD-OBS", "TIMESYS", "MJDREF",
            "TIMEZERO", "TIMEUNIT", "CLOCKAPP", "TSTART", "TSTOP", "MISSION", "TELESCOP", "INSTRUME", "OBS_ID",
            "OBI_NUM", "SEQ_NUM")
    whole = about(observation)
    return {key: whole[key] for key in keys}


def exposures(observation: Observation) -> Cards:
    """Return the keywords of good time, live time and exposure, in all and of each chip."""
    aim = observation.chips[0]
    cards: Cards = {}
    for suffix, chip in [("", aim), *((str(chip), chip) for chip in observation.chips)]:
        good = observation.good_times(chip).total
        live = good * LIVE_FRACTION
        cards.update({f"ONTIME{suffix}": good, f"LIVTIME{suffix}" if suffix else "LIVETIME": live,
                      f"EXPOSUR{suffix}" if suffix else "EXPOSURE": live})
    return {**cards, "DTCOR": LIVE_FRACTION}


def tangent_plane(ra_deg: float, dec_deg: float) -> tuple[Cards, Cards]:
    """Return the keywords, without column numbers, of two columns of sky coordinates with this tangent point."""
    step = acis.PIXEL_ARCSEC / 3600
    axes = ("RA---TAN", ra_deg, -step), ("DEC--TAN", dec_deg, step)
    x, y = ({"TCTYP": kind, "TCRVL": value, "TCRPX": acis.CENTRE_PX, "TCDLT": width, "TCUNI": "deg"}
            for kind, value, width in axes)
    return x, y


def sky_keywords(header: "Header", observation: Observation, columns: Sequence[NewColumn],
                  names: tuple[str, str] = ("x", "y")) -> None:
    """Write the tangent plane of columns of sky coordinates, and for events the names of pairs of columns."""
    place = {column.name: n for n, column in enumerate(columns, start=1)}
    for name, cards in zip(names, tangent_plane(observation.ra_deg, observation.dec_deg), strict=True):
        header.update({f"{key}{place[name]}": value for key, value in cards.items()})
    if names == ("X", "Y"):
        return
    pairs = [("chip", "chipx,chipy"), ("tdet", "tdetx,tdety"), ("det", "detx,dety"), ("sky", "x,y")]
    there = [pair for pair in pairs if pair[1].split(",")[0] in place]
    for n, (name, form) in enumerate([*there, ("EQPOS", "RA,DEC")], start=1):
        header[f"MTYPE{n}"], header[f"MFORM{n}"] = name, form


def component(chip: int, *, grades: bool) -> Component:
    """Return the data subspace of a chip; ``grades``: with the condition on grades of level 2."""
    conditions = {"time": Condition("TABLE", "D", "s", f":GTI{chip}"), "ccd_id": Condition(f"{chip}:{chip}", "I")}
    if grades:
        conditions["grade"] = Condition(",".join(f"{grade}:{grade}" for grade in GOOD_GRADES), "I")
    return Component(conditions)


def good_time_blocks(observation: Observation) -> list[Block]:
    """Return the GTI table of each chip."""
    return [good_times(observation.good_times(chip), chip, about(observation)) for chip in observation.chips]


def good_times(gti: GTI, chip: int | None, cards: Cards) -> Block:
    """Return the GTI table of a chip, or of all chips if ``chip`` is None."""
    header, rows = table("GTI", [NewColumn("START", "1D", gti.start, "s"), NewColumn("STOP", "1D", gti.stop, "s")],
                          cards, version=chip)
    header.update(CONTENT="GTI", HDUCLASS="OGIP", HDUCLAS1="GTI", HDUCLAS2="STANDARD")
    if chip is not None:
        header["CCD_ID"] = chip
    return header, rows


def _seen(observation: Observation, chip: int) -> Floats:
    """Return the convex hull, on the sky, of the corners of a chip's usable part over the dither."""
    from scipy.spatial import ConvexHull

    times = observation.frame_times(np.flatnonzero(~observation.lost[chip]))
    if len(times) > _MANY:  # fewer may lie on a line
        times = times[ConvexHull(np.stack(observation.aspect_offset(times), axis=1)).vertices]
    points = observation.chip_on_sky(chip, FIRST_PX - 0.5, LAST_PX + 0.5, times)
    hull: Floats = points[ConvexHull(points).vertices]
    return np.concatenate([hull, hull[:1]])


def table(name: str, columns: Sequence[NewColumn], cards: Cards, *, version: int | None = None) -> Block:
    """Return a header with the keywords of columns and these cards, and the rows."""
    first: Cards = {"EXTNAME": name}
    if version is not None:
        first["EXTVER"] = version
    return new_table(columns, {**first, "HDUNAME": name if version is None else f"{name}{version}"}, cards)
