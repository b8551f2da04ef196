"""Event tables of an observation and of its blank sky, with the columns and keywords of archive files."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from chandra_bin._checks.array_types import Floats
from chandra_bin.acis import geometry as acis
from chandra_bin.acis.channels import channels_of
from chandra_bin.events.gti import GTI
from chandra_bin.fits.new_table import NewColumn
from chandra_bin.fits.subspace import write_subspace

from ._islands import islands
from ._observation import LIVE_FRACTION, Observation
from ._photons import Photons
from ._telescope import chip_to_focus
from .tables import (
    BLANK_SKY_PERIOD,
    CREATOR,
    Block,
    Cards,
    about,
    bias_root,
    component,
    date,
    exposures,
    file_root,
    good_time_blocks,
    good_times,
    parameter_root,
    readout,
    sky_keywords,
    table,
)

if TYPE_CHECKING:
    from astropy.io.fits import Header

_GAIN_EV = 4.4
# One of several flight grades of each grade.
_FLIGHT_GRADE = np.array([0, 1, 64, 8, 16, 20, 72, 255])
# CTI correction of each chip, 0 to 9: parallel (P), or in both directions (B).
_CTI_APP = "PPPPPBPBPP"
# Tiled detector coordinates: of the first pixel, and along chipx and chipy, as (tdetx, tdety).
_TILED = {0: ((3061, 5132), (0, -1), (1, 0)), 1: ((5132, 4107), (0, 1), (-1, 0)), 2: ((3061, 4086), (0, -1), (1, 0)),
          3: ((5132, 3061), (0, 1), (-1, 0)),
          **{chip: ((3917 + 1042 * (chip - 7), 1702), (1, 0), (0, 1)) for chip in range(4, 10)}}


def event_blocks(observation: Observation, events: Photons, seed: int) -> tuple[list[Block], list[Block]]:
    """Return the blocks of level 1 and level 2: EVENTS, and a GTI table for each chip, equal to that of flt1.

    Level 2 has no PHAS, as in the archive.
    """
    columns = _event_columns(observation, events, observation.frame_times(events.frame), seed)
    accepted = events.pass_level_2(observation)
    levels = []
    for content, kind, kept in (("EVT1", "ALL", columns),
                                ("EVT2", "ACCEPTED", [each for each in columns if each.name != "phas"])):
        header, rows = table("EVENTS", kept, about(observation))
        header.update({**_event_cards(observation), "CONTENT": content, "HDUCLAS2": kind})
        sky_keywords(header, observation, kept)
        write_subspace(header, [component(chip, grades=content == "EVT2") for chip in observation.chips])
        levels.append([(header, rows[accepted] if content == "EVT2" else rows), *good_time_blocks(observation)])
    return levels[0], levels[1]


def _event_cards(observation: Observation) -> Cards:
    """Return the keywords of EVENTS."""
    root = file_root(observation)
    return {
        "HDUCLASS": "OGIP", "HDUCLAS1": "EVENTS", "ASOLFILE": f"pcadf{observation.obsid:05d}_000N001_asol1.fits",
        "BPIXFILE": f"{root}_bpix1.fits", "FLTFILE": f"{root}_flt1.fits", "MASKFILE": f"{root}_msk1.fits",
        "MTLFILE": f"{root}_mtl1.fits", "STATFILE": f"{root}_stat1.fits",
        "PBKFILE": f"{parameter_root(observation)}.fits",
        **{f"BIASFIL{chip}": f"{bias_root(observation, chip)}.fits" for chip in observation.chips},
        **readout(observation), "PIX_ADJ": "EDSER", "RAND_SKY": 0.0, "RAND_PI": 1.0, "CHKVFPHA": False,
        "CTI_CORR": True, "CTI_APP": _CTI_APP, "GRADESYS": "ASCA", "CORNERS": 2, "FP_TEMP": 153.5, "DY_AVG": 0.0,
        "DZ_AVG": 0.0, "DTH_AVG": 0.0, "ACSYS1": "CHIP:AXAF-ACIS-1.0", "ACSYS2": "TDET:ACIS-2.2",
        "ACSYS3": "DET:ASC-FP-1.1", "ACSYS4": "SKY:ASC-FP-1.1",
        "CALIB": ("APPROX", "simulated: no gain, CTI or true effective area"),
        **exposures(observation)}


def blank_sky_name(observation: Observation, chip: int) -> str:
    """Return the name of a file of blank-sky events on the observation's sky."""
    return f"acisf{observation.obsid:05d}_ccd{chip}_blanksky.fits"


def blank_sky_blocks(observation: Observation, chip: int, particles: Photons, livetime_s: float,
                     seed: int) -> list[Block]:
    """Return EVENTS and GTIs of a blank-sky file: particles on the observation's sky, with their own times.

    BKGFILn states that the events of each observation are independent.
    """
    ontime = livetime_s / LIVE_FRACTION
    start = observation.tstart_s
    draw = np.random.default_rng([seed, 6, observation.obsid, chip])
    times = start + np.sort(draw.uniform(0, ontime, len(particles)))
    columns = [column for column in _event_columns(observation, particles, times, None)
               if column.name not in ("expno", "pha_ro", "tdetx", "tdety")]
    own = {**about(observation), "TSTART": start, "TSTOP": start + ontime, "DATE-END": date(start + ontime),
           "OBJECT": "Simulated background", "DETNAM": f"ACIS-{chip}"}
    header, rows = table("EVENTS", columns, own)
    header.update({"CONTENT": "EVT2", "HDUCLASS": "OGIP", "HDUCLAS1": "EVENTS", "HDUCLAS2": "BKGRND",
                   "ONTIME": ontime, "LIVETIME": livetime_s, "EXPOSURE": livetime_s, f"ONTIME{chip}": ontime,
                   f"LIVTIME{chip}": livetime_s, f"EXPOSUR{chip}": livetime_s, "DTCOR": LIVE_FRACTION,
                   f"BKGFIL{chip}": blank_sky_name(observation, chip),
                   "CALIB": ("APPROX", "simulated particles, and no sky")})
    sky_keywords(header, observation, columns)
    write_subspace(header, [component(chip, grades=True)])
    return [(header, rows), good_times(GTI.of(start, start + ontime), chip, own)]


def caldb_sky_name(observation: Observation, chip: int) -> str:
    """Return the name of the blank sky of a chip in the calibration database."""
    return f"acis{chip}{observation.array.lower()}D{BLANK_SKY_PERIOD}bkgrnd_ctiN0001.fits"


def caldb_sky_blocks(observation: Observation, chip: int, particles: Photons, livetime_s: float) -> list[Block]:
    """Return EVENTS of a blank-sky file as in the calibration database.

    Events have chip coordinates and are not sorted by time. Detector and sky coordinates are those of a pointing at
    RA = Dec = roll = 0 without dither, and have no meaning for an observation.
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
    header, rows = table("EVENTS", columns, cards)
    sky_keywords(header, observation, columns)
    place = {column.name: n for n, column in enumerate(columns, start=1)}
    header.update({f"TCRVL{place[name]}": 0.0 for name in ("x", "y")})
    return [(header, rows)]


def caldb_sky_primary() -> "Header":
    """Return the header of the primary HDU of a blank-sky file of the calibration database."""
    from astropy.io.fits import Header

    return Header({"HDUNAME": "PRIMARY", "ORIGIN": "SIMULATED", "CREATOR": CREATOR, "TELESCOP": "CHANDRA",
                   "INSTRUME": "ACIS"})


def _event_columns(observation: Observation, events: Photons, times: Floats,
                   seed: int | None) -> list[NewColumn]:
    """Return the columns of EVENTS in the archive's order; ``seed`` None: without pulse heights of single pixels."""
    energy = np.maximum(events.energy_ev, 0).astype(np.float32)
    pi = np.maximum(channels_of(energy), 1)
    pha = np.rint(energy / _GAIN_EV).astype(np.int64)
    tdetx, tdety = np.empty_like(events.chipx), np.empty_like(events.chipy)
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
