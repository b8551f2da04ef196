"""The blocks of an observation's files as headers and rows: the structure and keywords of the archive's, simulated."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin.acis import geometry as acis
from chandra_bin.acis.channels import channels_of
from chandra_bin.events.gti import GTI
from chandra_bin.events.vfaint import SPLIT_ADU
from chandra_bin.fits.headers import text_of
from chandra_bin.fits.new_table import NewColumn, new_table
from chandra_bin.fits.subspace import Component, Condition, write_subspace

from ._islands import islands
from ._observation import FIRST_PX, LAST_PX, LIVE_FRACTION, TIMEDEL_S, Observation
from ._photons import GOOD_GRADES, Photons
from ._telescope import chip_to_focus

if TYPE_CHECKING:
    from astropy.io.fits import Header

Block = tuple["Header", NDArray[np.void]]
Cards = dict[str, object]

CREATOR = "chandra-bin simulate"
BLANK_SKY_PERIOD = "2000-12-01"
"""First day of the period of the calibration database that simulated observations are in."""
_CALIB = ("APPROX", "simulated: no true calibration")
_EPOCH = datetime(1998, 1, 1)
_MJD_EPOCH = 50814.0
_ASPECT_STEP_S = 0.25625
_HOUSEKEEPING_STEP_S = 32.8
_GAIN_EV = 4.4
_BIAS_ADU = 250
_BIAS_BEFORE_S = 2000
# Frames whose aspects span an area.
_MANY = 300
# What a grade is in the flight system's numbers, one of several.
_FLIGHT_GRADE = np.array([0, 1, 64, 8, 16, 20, 72, 255])
# How charge-transfer inefficiency is corrected on each chip, 0 to 9: in parallel (P), or in both directions (B).
_CTI_APP = "PPPPPBPBPP"
# Tiled detector coordinates: of the first pixel, and along chipx and chipy, as (tdetx, tdety).
_TILED = {0: ((3061, 5132), (0, -1), (1, 0)), 1: ((5132, 4107), (0, 1), (-1, 0)), 2: ((3061, 4086), (0, -1), (1, 0)),
          3: ((5132, 3061), (0, 1), (-1, 0)),
          **{chip: ((3917 + 1042 * (chip - 7), 1702), (1, 0), (0, 1)) for chip in range(4, 10)}}


def is_simulated(header: Mapping[str, object]) -> bool:
    """Return whether `chandra-bin simulate` made the events of a header (CREATOR)."""
    return text_of(header, "CREATOR") == CREATOR


def date(time_s: float) -> str:
    """A time of the mission as DATE-OBS has it."""
    return (_EPOCH + timedelta(seconds=time_s)).isoformat(timespec="seconds")


def about(observation: Observation) -> Cards:
    """Keywords that every file of an observation has."""
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
    """The cards of a file's first block."""
    from astropy.io.fits import Header

    return Header({"HDUNAME": "PRIMARY", **_short(observation)})


def event_blocks(observation: Observation, events: Photons, seed: int) -> tuple[list[Block], list[Block]]:
    """Of level 1 and of level 2: EVENTS, and a table of good times for each chip, which are those of flt1.

    Level 2 of the archive has no PHAS.
    """
    columns = _event_columns(observation, events, observation.frame_times(events.frame), seed)
    accepted = events.pass_level_2(observation)
    levels = []
    for content, kind, kept in (("EVT1", "ALL", columns),
                                ("EVT2", "ACCEPTED", [each for each in columns if each.name != "phas"])):
        header, rows = _table("EVENTS", kept, about(observation))
        header.update({**_event_cards(observation), "CONTENT": content, "HDUCLAS2": kind})
        _sky_keywords(header, observation, kept)
        write_subspace(header, [_component(chip, grades=content == "EVT2") for chip in observation.chips])
        levels.append([(header, rows[accepted] if content == "EVT2" else rows), *_good_time_blocks(observation)])
    return levels[0], levels[1]


def _event_cards(observation: Observation) -> Cards:
    root = file_root(observation)
    return {
        "HDUCLASS": "OGIP", "HDUCLAS1": "EVENTS", "ASOLFILE": f"pcadf{observation.obsid:05d}_000N001_asol1.fits",
        "BPIXFILE": f"{root}_bpix1.fits", "FLTFILE": f"{root}_flt1.fits", "MASKFILE": f"{root}_msk1.fits",
        "MTLFILE": f"{root}_mtl1.fits", "STATFILE": f"{root}_stat1.fits",
        "PBKFILE": f"{parameter_root(observation)}.fits",
        **{f"BIASFIL{chip}": f"{bias_root(observation, chip)}.fits" for chip in observation.chips},
        **_readout(observation), "PIX_ADJ": "EDSER", "RAND_SKY": 0.0, "RAND_PI": 1.0, "CHKVFPHA": False,
        "CTI_CORR": True, "CTI_APP": _CTI_APP, "GRADESYS": "ASCA", "CORNERS": 2, "FP_TEMP": 153.5, "DY_AVG": 0.0,
        "DZ_AVG": 0.0, "DTH_AVG": 0.0, "ACSYS1": "CHIP:AXAF-ACIS-1.0", "ACSYS2": "TDET:ACIS-2.2",
        "ACSYS3": "DET:ASC-FP-1.1", "ACSYS4": "SKY:ASC-FP-1.1",
        "CALIB": ("APPROX", "simulated: no gain, CTI or true effective area"),
        **_exposures(observation)}


def blank_sky_name(observation: Observation, chip: int) -> str:
    """The name of a file of blank-sky events on the observation's sky."""
    return f"acisf{observation.obsid:05d}_ccd{chip}_blanksky.fits"


def blank_sky_blocks(observation: Observation, chip: int, particles: Photons, livetime_s: float,
                     seed: int) -> list[Block]:
    """EVENTS and good times of a blank-sky file: particles on the observation's sky, in a time of their own.

    BKGFILn tells that the events of each observation are drawn by themselves.
    """
    ontime = livetime_s / LIVE_FRACTION
    start = observation.tstart_s
    draw = np.random.default_rng([seed, 6, observation.obsid, chip])
    times = start + np.sort(draw.uniform(0, ontime, len(particles)))
    columns = [column for column in _event_columns(observation, particles, times, None)
               if column.name not in ("expno", "pha_ro", "tdetx", "tdety")]
    own = {**about(observation), "TSTART": start, "TSTOP": start + ontime, "DATE-END": date(start + ontime),
           "OBJECT": "Simulated background", "DETNAM": f"ACIS-{chip}"}
    header, rows = _table("EVENTS", columns, own)
    header.update({"CONTENT": "EVT2", "HDUCLASS": "OGIP", "HDUCLAS1": "EVENTS", "HDUCLAS2": "BKGRND",
                   "ONTIME": ontime, "LIVETIME": livetime_s, "EXPOSURE": livetime_s, f"ONTIME{chip}": ontime,
                   f"LIVTIME{chip}": livetime_s, f"EXPOSUR{chip}": livetime_s, "DTCOR": LIVE_FRACTION,
                   f"BKGFIL{chip}": blank_sky_name(observation, chip),
                   "CALIB": ("APPROX", "simulated particles, and no sky")})
    _sky_keywords(header, observation, columns)
    write_subspace(header, [_component(chip, grades=True)])
    return [(header, rows), _good_times(GTI.of(start, start + ontime), chip, own)]


def caldb_sky_name(observation: Observation, chip: int) -> str:
    """The name that the calibration database would give the blank sky of a chip."""
    return f"acis{chip}{observation.array.lower()}D{BLANK_SKY_PERIOD}bkgrnd_ctiN0001.fits"


def caldb_sky_blocks(observation: Observation, chip: int, particles: Photons, livetime_s: float) -> list[Block]:
    """EVENTS of a blank-sky file as the calibration database has them.

    Events are in chip coordinates and in no order of time. Detector and sky coordinates are those of a pointing at
    RA = Dec = roll = 0 without dither, and mean nothing for an observation.
    """
    draw = np.random.default_rng([8, observation.obsid, chip])
    shuffled = particles[draw.permutation(len(particles))]
    columns = _event_columns(observation, shuffled, np.zeros(len(shuffled)), None)
    columns = [column for column in columns if column.name not in ("time", "expno", "pha_ro")]
    y_mm, z_mm = chip_to_focus(chip, shuffled.chipx, shuffled.chipy, observation.sim_z_mm)
    detx, dety = acis.CENTRE_PX + y_mm / acis.PIXEL_MM, acis.CENTRE_PX - z_mm / acis.PIXEL_MM
    values = {"x": detx, "y": dety, "detx": detx, "dety": dety}
    columns = [replace(column, values=values.get(column.name, column.values)) for column in columns]
    first = f"{BLANK_SKY_PERIOD}T00:00:00"
    cards: Cards = {
        "ORIGIN": "SIMULATED", "CREATOR": CREATOR, "MISSION": "AXAF", "TELESCOP": "CHANDRA", "INSTRUME": "ACIS",
        "DETNAM": f"ACIS-{chip}", "CCD_ID": chip, "OBJECT": "Simulated background", "DATACLAS": "SIMULATED",
        "RADESYS": "ICRS", "EQUINOX": 2000.0, "DATE-OBS": first, "SIM_X": -0.6828225, "SIM_Y": 0.0,
        "SIM_Z": observation.sim_z_mm, "FOC_LEN": acis.FOCAL_LENGTH_MM, "FP_TEMP": 153.5, "CTI_CORR": True,
        "CCLS0001": "BCF", "CDTP0001": "DATA", "CCNM0001": "BKGRND", "CVSD0001": BLANK_SKY_PERIOD,
        "CVST0001": "00:00:00", "CDES0001": "Simulated ACIS background events", "CBD10001": f"CCD_ID({chip})",
        "CONTENT": "CDB_ACIS_BKGRND", "HDUCLASS": "OGIP", "HDUCLAS1": "EVENTS", "HDUCLAS2": "BKGRND",
        "ONTIME": livetime_s / LIVE_FRACTION, "LIVETIME": livetime_s, "EXPOSURE": livetime_s,
        f"ONTIME{chip}": livetime_s / LIVE_FRACTION, f"LIVTIME{chip}": livetime_s, f"EXPOSUR{chip}": livetime_s,
        "DTCOR": LIVE_FRACTION, "CALIB": ("APPROX", "simulated particles, and no sky")}
    header, rows = _table("EVENTS", columns, cards)
    _sky_keywords(header, observation, columns)
    place = {column.name: n for n, column in enumerate(columns, start=1)}
    header.update({f"TCRVL{place[name]}": 0.0 for name in ("x", "y")})
    return [(header, rows)]


def caldb_sky_primary() -> "Header":
    """The cards of the first block of such a file."""
    from astropy.io.fits import Header

    return Header({"HDUNAME": "PRIMARY", "ORIGIN": "SIMULATED", "CREATOR": CREATOR, "TELESCOP": "CHANDRA",
                   "INSTRUME": "ACIS"})


def aspect_blocks(observation: Observation) -> list[Block]:
    """ASPSOL: where the optical axis points, and the roll, four times a second."""
    count = int((observation.tstop_s - observation.tstart_s) / _ASPECT_STEP_S) + 2
    times = observation.tstart_s + _ASPECT_STEP_S * np.arange(count)
    ra, dec, roll = observation.pointing(times)
    zero = np.zeros(count)
    header, rows = _table("ASPSOL", [
        NewColumn("time", "1D", times, "s"), NewColumn("ra", "1D", ra, "deg"), NewColumn("dec", "1D", dec, "deg"),
        NewColumn("roll", "1D", roll, "deg"), NewColumn("dy", "1E", zero, "mm"),
        NewColumn("dz", "1E", zero, "mm"), NewColumn("dtheta", "1E", zero, "deg")], about(observation))
    header.update({"CONTENT": "ASPSOLOBI", "HDUCLASS": "ASC", "HDUCLAS1": "TEMPORALDATA", "HDUCLAS2": "ASPSOL",
                   "INSTRUME": "PCAD", "TIMEPIXR": 0.0, "TIMEDEL": _ASPECT_STEP_S, "DTASPSOL": _ASPECT_STEP_S,
                   "ACSYS1": "ASPSOL=MNC"})
    return [(header, rows)]


def bad_pixel_blocks(observation: Observation) -> list[Block]:
    """BADPIX of each chip: points and columns."""
    blocks = []
    for chip in sorted(observation.chips):
        shapes = np.array(observation.bad_rectangles[chip])
        point = (shapes[:, 0] == shapes[:, 1]) & (shapes[:, 2] == shapes[:, 3])
        count = len(shapes)
        status = np.where(point, 1 << 12, 1 << 11)
        header, rows = _table("BADPIX", [
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
    """MASK of each chip: the rows and columns that give events, and the others (SAMP_CYC 0)."""
    used, whole = (FIRST_PX, LAST_PX), (1, acis.CHIP_PX)
    limits = np.array([used, whole, used])
    blocks = []
    for chip in sorted(observation.chips):
        header, rows = _table("MASK", [
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
    """FOV: what each chip saw of the sky during its good times, the convex hull of its places."""
    polygons = [_seen(observation, chip) for chip in sorted(observation.chips)]
    size = max(map(len, polygons))
    # Short ones repeat their first vertex, which changes no polygon.
    padded = np.stack([np.concatenate([each, np.repeat(each[:1], size - len(each), axis=0)]) for each in polygons])
    count = len(polygons)
    nothing = np.full((count, 2), np.nan)
    columns = [
        NewColumn("X", f"{size}D", padded[:, :, 0], "pixel"), NewColumn("Y", f"{size}D", padded[:, :, 1], "pixel"),
        NewColumn("SHAPE", "16A", np.full(count, "Polygon")), NewColumn("R", "2D", nothing, "pixel"),
        NewColumn("ROTANG", "2D", nothing, "deg"), NewColumn("COMPONENT", "1I", np.arange(count) + 1),
        NewColumn("CCD_ID", "1I", np.array(sorted(observation.chips)))]
    header, rows = _table("FOV", columns, {**about(observation), **_exposures(observation)})
    header.update({"CONTENT": "FOV", "HDUCLASS": "ASC", "HDUCLAS1": "REGION", "HDUCLAS2": "FOV", "MTYPE1": "POS",
                   "MFORM1": "X,Y", "MTYPE2": "EQPOS", "MFORM2": "RA,DEC"})
    _sky_keywords(header, observation, columns, names=("X", "Y"))
    return [(header, rows)]


def filter_blocks(observation: Observation) -> list[Block]:
    """FILTER, without rows, whose subspace names the good times of each chip, and these."""
    header, rows = _table("FILTER", [NewColumn("TIME", "1D", np.empty(0), "s"), NewColumn("CCD_ID", "1I", np.empty(0))],
                          {**about(observation), **_exposures(observation)})
    header.update({"CONTENT": "GTI", "HDUCLASS": "ASC", "HDUCLAS1": "FILTER"})
    write_subspace(header, [_component(chip, grades=False) for chip in observation.chips])
    return [(header, rows), *_good_time_blocks(observation)]


def housekeeping_blocks(observation: Observation) -> list[Block]:
    """MTL: temperature of the focal plane and place of the table, as steady as a simulation's are."""
    times = np.arange(observation.tstart_s, observation.tstop_s, _HOUSEKEEPING_STEP_S)
    header, rows = _table("MTL", [
        NewColumn("time", "1D", times, "s"), NewColumn("fp_temp", "1E", np.full(len(times), 153.5), "K"),
        NewColumn("sim_z", "1D", np.full(len(times), observation.sim_z_mm), "mm")], about(observation))
    header.update({"CONTENT": "MTL", "HDUCLASS": "ASC", "HDUCLAS1": "TEMPORALDATA", "HDUCLAS2": "MTL"})
    return [(header, rows)]


def statistics_blocks(observation: Observation, events: Photons) -> list[Block]:
    """EXPSTATS: the level-1 events of each frame and chip."""
    chips = np.array(sorted(observation.chips))
    frame, place = (axis.ravel() for axis in np.indices((observation.frames, len(chips))))
    sent = np.zeros((observation.frames, len(chips)), np.int64)
    np.add.at(sent, (events.frame, np.searchsorted(chips, events.chip)), 1)
    nothing = np.zeros(len(frame), np.int64)
    header, rows = _table("EXPSTATS", [
        NewColumn("time", "1D", observation.frame_times(frame), "s"), NewColumn("ccd_id", "1I", chips[place]),
        NewColumn("expno", "1J", frame + 1), NewColumn("evtsent", "1J", sent.ravel()),
        NewColumn("dropamp", "1J", nothing), NewColumn("droppos", "1J", nothing), NewColumn("dropgrd", "1J", nothing)],
        about(observation))
    header.update({"CONTENT": "EXPSTATS", "HDUCLASS": "ASC", "HDUCLAS1": "TEMPORALDATA", "HDUCLAS2": "EXPSTATS"})
    return [(header, rows)]


def parameter_blocks(observation: Observation) -> list[Block]:
    """Return PBK, the commanded parameters of the readout: one row for each chip."""
    chips = np.array(observation.chips)
    header, rows = _table("PBK", [
        NewColumn("fep_id", "1I", np.arange(len(chips))), NewColumn("ccd_id", "1I", chips),
        NewColumn("firstrow", "1I", np.ones(len(chips))), NewColumn("nrows", "1I", np.full(len(chips), acis.CHIP_PX)),
        NewColumn("evthresh", "1I", np.full(len(chips), 38), "adu"),
        NewColumn("spthresh", "1I", np.full(len(chips), SPLIT_ADU), "adu")],
        {**about(observation), **_readout(observation)})
    header.update({"CONTENT": "PBK", "HDUCLASS": "ASC", "HDUCLAS1": "PARAMETER"})
    return [(header, rows)]


def bias_image(observation: Observation, chip: int) -> "tuple[NDArray[np.int16], Header]":
    """Return the bias map of a chip, (1024, 1024) adu as [chipy - 1, chipx - 1], and its header."""
    from astropy.io.fits import Header

    header = Header({"HDUNAME": "BIAS"})
    header.update({**about(observation), **_readout(observation), "CCD_ID": chip,
                   "FEP_ID": observation.chips.index(chip), "CONTENT": "BIAS", "HDUCLASS": "ASC", "HDUCLAS1": "IMAGE",
                   "HDUCLAS2": "BIAS", "BUNIT": "adu"})
    return np.full((acis.CHIP_PX, acis.CHIP_PX), _BIAS_ADU, np.int16), header


def good_time_block(observation: Observation, gti: GTI) -> Block:
    """One table of good times for all chips."""
    return _good_times(gti, None, about(observation))


def file_root(observation: Observation) -> str:
    """How the names of ACIS's files begin."""
    return f"acisf{observation.obsid:05d}_000N001"


def parameter_root(observation: Observation) -> str:
    """Return the name of the parameter-block file without its ending: the archive names it by a time."""
    return f"acisf{int(observation.tstart_s):09d}N001_pbk0"


def bias_root(observation: Observation, chip: int) -> str:
    """Return the name of a chip's bias file without its ending: a time before the observation and the processor."""
    return f"acisf{int(observation.tstart_s) - _BIAS_BEFORE_S:09d}N001_{observation.chips.index(chip)}_bias0"


def _readout(observation: Observation) -> Cards:
    """Return keywords of how the chips were read out; FEP_CCD holds the chip of each front-end processor."""
    return {"OCLKPAIR": 8, "ORC_MODE": 0, "SUM_2X2": 0, "FEP_CCD": "".join(map(str, observation.chips))}


def _short(observation: Observation) -> Cards:
    keys = ("ORIGIN", "CREATOR", "ASCDSVER", "DATE", "DATE-OBS", "DATE-END", "MJD-OBS", "TIMESYS", "MJDREF",
            "TIMEZERO", "TIMEUNIT", "CLOCKAPP", "TSTART", "TSTOP", "MISSION", "TELESCOP", "INSTRUME", "OBS_ID",
            "OBI_NUM", "SEQ_NUM")
    whole = about(observation)
    return {key: whole[key] for key in keys}


def _event_columns(observation: Observation, events: Photons, times: Floats,
                   seed: int | None) -> list[NewColumn]:
    """Columns of EVENTS in the archive's order; ``seed`` None: without the pulse heights of single pixels."""
    energy = np.maximum(events.energy_ev, 0).astype(np.float32)
    pi = np.maximum(channels_of(energy), 1)
    pha = np.rint(energy / _GAIN_EV).astype(np.int64)
    tdetx, tdety = np.empty_like(events.chip), np.empty_like(events.chip)
    for chip in observation.chips:
        on = events.chip == chip
        first, along_x, along_y = _TILED[chip]
        x, y = events.chipx[on], events.chipy[on]
        tdetx[on] = first[0] + along_x[0] * x + along_y[0] * y
        tdety[on] = first[1] + along_x[1] * x + along_y[1] * y
    columns = [
        NewColumn("time", "1D", times, "s", (observation.tstart_s, observation.tstop_s)),
        NewColumn("ccd_id", "1I", events.chip, "", (0, 9)),
        NewColumn("node_id", "1I", (events.chipx - 1) // 256, "", (0, 3)),
        NewColumn("expno", "1J", events.frame + 1, "", (0, 2147483647)),
        NewColumn("chipx", "1I", events.chipx, "pixel", (1, 1024)),
        NewColumn("chipy", "1I", events.chipy, "pixel", (1, 1024)),
        NewColumn("tdetx", "1I", tdetx, "pixel", (1, 8192)), NewColumn("tdety", "1I", tdety, "pixel", (1, 8192)),
        *(NewColumn(name, "1E", values, "pixel", (0.5, 8192.5))
          for name, values in (("detx", events.detx), ("dety", events.dety), ("x", events.x), ("y", events.y)))]
    if seed is not None:
        side = 5 if observation.datamode == "VFAINT" else 3
        columns.append(NewColumn("phas", f"{side * side}I", islands(events, pha, side, [seed, 7, observation.obsid]),
                                 "adu", (-4096, 4095), {"TDIM": f"({side},{side})"}))
    return [*columns, NewColumn("pha", "1J", pha, "adu", (0, 36855)), NewColumn("pha_ro", "1J", pha, "adu", (0, 36855)),
            NewColumn("energy", "1E", energy, "eV", (0, 1_000_000)), NewColumn("pi", "1J", pi, "chan", (1, 1024)),
            NewColumn("fltgrade", "1I", _FLIGHT_GRADE[events.grade], "", (0, 255)),
            NewColumn("grade", "1I", events.grade, "", (0, 7)), NewColumn("status", "32X", events.status)]


def _exposures(observation: Observation) -> Cards:
    aim = observation.chips[0]
    cards: Cards = {}
    for suffix, chip in [("", aim), *((str(chip), chip) for chip in observation.chips)]:
        good = observation.good_times(chip).total
        live = good * LIVE_FRACTION
        cards.update({f"ONTIME{suffix}": good, f"LIVTIME{suffix}" if suffix else "LIVETIME": live,
                      f"EXPOSUR{suffix}" if suffix else "EXPOSURE": live})
    return {**cards, "DTCOR": LIVE_FRACTION}


def tangent_plane(ra_deg: float, dec_deg: float) -> tuple[Cards, Cards]:
    """Return the keywords, without their numbers, of two columns of sky coordinates whose tangent point this is."""
    step = acis.PIXEL_ARCSEC / 3600
    axes = ("RA---TAN", ra_deg, -step), ("DEC--TAN", dec_deg, step)
    x, y = ({"TCTYP": kind, "TCRVL": value, "TCRPX": acis.CENTRE_PX, "TCDLT": width, "TCUNI": "deg"}
            for kind, value, width in axes)
    return x, y


def _sky_keywords(header: "Header", observation: Observation, columns: Sequence[NewColumn],
                  names: tuple[str, str] = ("x", "y")) -> None:
    """The tangent plane, on columns of sky coordinates; and, for events, what the pairs of columns are."""
    place = {column.name: n for n, column in enumerate(columns, start=1)}
    for name, cards in zip(names, tangent_plane(observation.ra_deg, observation.dec_deg), strict=True):
        header.update({f"{key}{place[name]}": value for key, value in cards.items()})
    if names == ("X", "Y"):
        return
    pairs = [("chip", "chipx,chipy"), ("tdet", "tdetx,tdety"), ("det", "detx,dety"), ("sky", "x,y")]
    there = [pair for pair in pairs if pair[1].split(",")[0] in place]
    for n, (name, form) in enumerate([*there, ("EQPOS", "RA,DEC")], start=1):
        header[f"MTYPE{n}"], header[f"MFORM{n}"] = name, form


def _component(chip: int, *, grades: bool) -> Component:
    conditions = {"time": Condition("TABLE", "D", "s", f":GTI{chip}"), "ccd_id": Condition(f"{chip}:{chip}", "I")}
    if grades:
        conditions["grade"] = Condition(",".join(f"{grade}:{grade}" for grade in GOOD_GRADES), "I")
    return Component(conditions)


def _good_time_blocks(observation: Observation) -> list[Block]:
    return [_good_times(observation.good_times(chip), chip, about(observation)) for chip in observation.chips]


def _good_times(gti: GTI, chip: int | None, cards: Cards) -> Block:
    header, rows = _table("GTI", [NewColumn("START", "1D", gti.start, "s"), NewColumn("STOP", "1D", gti.stop, "s")],
                          cards, version=chip)
    header.update(CONTENT="GTI", HDUCLASS="OGIP", HDUCLAS1="GTI", HDUCLAS2="STANDARD")
    if chip is not None:
        header["CCD_ID"] = chip
    return header, rows


def _seen(observation: Observation, chip: int) -> Floats:
    """The convex hull, on the sky, of the corners of a chip's usable part wherever the dither took them."""
    from scipy.spatial import ConvexHull

    times = observation.frame_times(np.flatnonzero(~observation.lost[chip]))
    if len(times) > _MANY:  # fewer may lie on a line
        times = times[ConvexHull(np.stack(observation.aspect_offset(times), axis=1)).vertices]
    points = observation.chip_on_sky(chip, FIRST_PX - 0.5, LAST_PX + 0.5, times)
    hull: Floats = points[ConvexHull(points).vertices]
    return np.concatenate([hull, hull[:1]])


def _table(name: str, columns: Sequence[NewColumn], cards: Cards, *, version: int | None = None) -> Block:
    """A header with the keywords of columns and these cards, and the rows."""
    first: Cards = {"EXTNAME": name}
    if version is not None:
        first["EXTVER"] = version
    header, rows = new_table(columns, {**first, "HDUNAME": name if version is None else f"{name}{version}"})
    header.update(cards)
    return header, rows
