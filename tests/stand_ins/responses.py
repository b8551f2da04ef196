"""asphist, sky2tdet, mkarf, mkwarf, mkrmf, mkacisrmf: responses of the simulated telescope.

An area is that on axis, times the vignetting at the place, times the part of the time that the place was on usable
pixels of the chip: means over an aspect histogram. A matrix is a Gaussian of one width.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from . import files
from .caldb import calibration
from .errors import ToolError
from .events import EventList, open_events
from .files import Block
from .observe import (
    CHIP_PX,
    Floats,
    area_cm2,
    detector_of_chip,
    read_aspect,
    read_bad_pixels,
    read_windows,
    usable_pixels,
)
from .parameters import Parameters, value_in_file
from .virtual import parse, stack

_CHANNELS, _CHANNEL_EV = 1024, 14.6
# Elements of a matrix below this are left out; no row is wider than this many channels.
_LEAST, _WIDTH = 1e-6, 48
_GRID = re.compile(r"grid\((.+?)(\[cols ENERG_LO,ENERG_HI\])\)")
# sky2tdet moves an image over the pointings of a histogram: no more than so many of them here.
_POINTINGS = 200


def asphist(given: Parameters) -> None:
    """How long the telescope pointed where: offsets from the tangent point in sky pixels, and roll."""
    files.check_clobber(given["clobber"], given["outfile"])
    events = open_events(given["evtfile"])
    if str(events.header.get("INSTRUME", "")).strip() == "HRC" and not given["dtffile"]:
        raise ToolError("dtffile is required for HRC data")
    times = [each for each in events.good_times if each.total > 0]
    if len(times) != 1:
        raise ToolError(f"{given['evtfile']} has {len(times)} blocks of good times: choose a chip by ccd_id")
    aspect = read_aspect(tuple(map(Path, stack(given["infile"]))), events.plane).during(times[0].intervals)
    scale = given["res_xy"] / calibration()["pixel_arcsec"]
    cells = np.stack([np.floor(aspect.x / scale), np.floor(aspect.y / scale)], axis=1)
    places, rows, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    roll = np.bincount(rows, aspect.roll) / counts
    live = counts / counts.sum() * times[0].total
    made = files.table("ASPHIST", [
        ("X_OFFSET", "1D", "pixel", (places[:, 0] + 0.5) * scale), ("Y_OFFSET", "1D", "pixel",
                                                                    (places[:, 1] + 0.5) * scale),
        ("ROLL_OFFSET", "1D", "deg", roll), ("DURATION", "1D", "s", live)], about=events.header)
    made.header["CCD_ID"] = -1 if times[0].chip is None else times[0].chip
    files.stamp(made.header, "asphist", infile=given["infile"], evtfile=given["evtfile"])
    files.write(given["outfile"], [Block(fits.Header()), made])


def sky2tdet(given: Parameters) -> None:
    """Where the counts of an image on the sky fell on the chip: shares of all of them, on the pixels of the chip."""
    out, _, block = given["outfile"].partition("[")
    files.check_clobber(given["clobber"], out)
    histogram = _read_histogram(given["asphistfile"])
    name = parse(given["infile"])
    counts, x, y = _image_of(given["infile"], len(name.axes) > 0)
    if not counts.sum() > 0:
        raise ToolError(f"{given['infile']} has no counts: the weights cannot be computed")
    chip = int(histogram.header["CCD_ID"])
    step = given["bin"]
    weights = np.zeros((CHIP_PX // step, CHIP_PX // step))
    rows, columns = np.nonzero(counts)
    shares = counts[rows, columns] / counts.sum()
    for pointing in _pointings(histogram):
        u, v = _chip_place(histogram, chip, x[columns], y[rows], pointing)
        inside = (u >= 0.5) & (u < CHIP_PX + 0.5) & (v >= 0.5) & (v < CHIP_PX + 0.5)
        at = tuple((np.rint(each[inside]).astype(int) - 1) // step for each in (v, u))
        np.add.at(weights, at, shares[inside] * pointing[3])
    made = Block(files.without_columns(histogram.header), weights.astype(np.float32))
    made.header["EXTNAME"] = made.header["HDUNAME"] = (block.rstrip("]") or "IMAGE").upper()
    made.header["TDETBIN"] = step
    files.stamp(made.header, "sky2tdet", infile=given["infile"], asphistfile=given["asphistfile"])
    files.write(out, [Block(fits.Header()), made])


def mkarf(given: Parameters) -> None:
    """The area at a place on the sky, with the part of the time that it was on the chip (FRACEXPO)."""
    files.check_clobber(given["clobber"], given["outfile"])
    histogram, events = _read_histogram(given["asphistfile"]), open_events(given["obsfile"])
    chip = _chip_of(given["detsubsys"])
    low, high = _energies(given["engrid"])
    for name in ("maskfile", "pbkfile"):
        _check_file(given[name], name)
    response = _response(events, chip, _path(given["maskfile"]))
    used = kept = 0.0
    centre = calibration()["centre_px"]
    x, y = (np.array([given[f"sourcepixel{axis}"]]) for axis in "xy")
    for pointing in _pointings(histogram):
        u, v = (int(np.rint(each[0])) for each in _chip_place(histogram, chip, x, y, pointing))
        on_chip = 1 <= u <= CHIP_PX and 1 <= v <= CHIP_PX
        seen = pointing[3] * (response[v - 1, u - 1] if on_chip else 0.0)
        far = np.hypot(x[0] - centre - pointing[0], y[0] - centre - pointing[1])
        used, kept = used + seen, kept + seen * _vignetting(far)
    made = _arf(low, high, kept, events.header)
    made.header["FRACEXPO"], made.header["DETNAM"] = round(used, 6), given["detsubsys"]
    made.header["BPIXUSED"] = value_in_file("ardlib", f"AXAF_ACIS{chip}_BADPIX_FILE").rpartition("/")[2]
    files.stamp(made.header, "mkarf", asphistfile=given["asphistfile"], detsubsys=given["detsubsys"])
    files.write(given["outfile"], [Block(fits.Header()), made])


def mkwarf(given: Parameters) -> None:
    """The area of a map of weights, and the weights as mkrmf reads them."""
    files.check_clobber(given["clobber"], given["outfile"], *([given["weightfile"]] if given["weightfile"] else []))
    path, _, block = given["infile"].partition("[")
    wmap = next((each for each in files.read(path) if each.name == block.rstrip("]").upper()), None)
    if wmap is None or "TDETBIN" not in wmap.header:
        raise ToolError(f"{given['infile']} holds no WMAP")
    low, high = _energies(given["egridspec"])
    _check_file(given["mskfile"], "mskfile")
    header, step, chip = wmap.header, int(wmap.header["TDETBIN"]), int(wmap.header["CCD_ID"])
    response = _response(None, chip, _path(given["mskfile"]), header)
    assert wmap.data is not None
    rows, columns = np.nonzero(wmap.data)
    u, v = ((each + 0.5) * step + 0.5 for each in (columns, rows))
    detx, dety = detector_of_chip(chip, u, v, float(header["SIM_Z"]))
    centre = calibration()["centre_px"]
    usable = response[np.minimum(v.astype(int), CHIP_PX) - 1, np.minimum(u.astype(int), CHIP_PX) - 1]
    weights = wmap.data[rows, columns].astype(float)
    area = float((weights * usable * _vignetting(np.hypot(detx - centre, dety - centre))).sum())
    if not area > 0:
        raise ToolError("Could not map response region to FEF region")
    made = _arf(low, high, area, header)
    made.header["FEFFILE"] = "/caldb/acisD2000-01-29fef_phaN0005.fits"
    files.stamp(made.header, "mkwarf", infile=given["infile"])
    files.write(given["outfile"], [Block(fits.Header()), made])
    if given["weightfile"]:
        fef = files.table("WEIGHTS", [("CCD_ID", "1I", "", [chip]), ("WEIGHT", "1D", "", [float(weights.sum())])],
                          about=header)
        files.write(given["weightfile"], [Block(fits.Header()), fef])


def mkrmf(given: Parameters) -> None:
    """A matrix by the weights of mkwarf."""
    files.check_clobber(given["clobber"], given["outfile"])
    if given["infile"] == "CALDB" and not given["weights"]:
        raise ToolError("infile=CALDB needs a file of weights")
    blocks = files.read(given["weights"])
    if not any(each.field("weight") for each in blocks):
        raise ToolError(f"{given['weights']} holds no weights of FEF regions")
    axes = [given[axis].partition("=") for axis in ("axis1", "axis2")]
    if [axis[0] for axis in axes] != ["energy", "pi"]:
        raise ToolError(f"axis1={given['axis1']}, axis2={given['axis2']}: give energy=.. and pi=..")
    header = next(each.header for each in blocks if each.field("weight"))
    _write_rmf(given["outfile"], *_energies(axes[0][2]), axes[1][2], header, "mkrmf", _LEAST * 10)


def mkacisrmf(given: Parameters) -> None:
    """A matrix of a place on a chip, of events that are corrected for CTI."""
    files.check_clobber(given["clobber"], given["outfile"])
    events = open_events(given["obsfile"])
    chip, place = given["ccd_id"], (given["chipx"], given["chipy"])
    for key in ("CTI_APP", "FP_TEMP"):
        if key not in events.header:
            raise ToolError(f"the keyword {key} is missing in {given['obsfile']}")
    applied = str(events.header["CTI_APP"]).strip()
    if given["infile"] not in ("CALDB", f"CALDB(CCD_ID={chip})") or given["gain"] != "CALDB":
        raise ToolError(f"infile={given['infile']}, gain={given['gain']} are not in these stand-ins")
    if given["wmap"].lower() != "none":
        raise ToolError("a WMAP is not in these stand-ins")
    if not all(1 <= each <= CHIP_PX for each in place):
        raise ToolError(f"chipx={place[0]}, chipy={place[1]} is not on the chip")
    if applied[chip] == "N":
        raise ToolError(f"No files found matching CALDB search: query=CTI_CORR.eq.NO.and.CTI_APP.eq.{applied}")
    if given["chantype"] != "PI":
        raise ToolError("chantype=PHA is not in these stand-ins")
    _write_rmf(given["outfile"], *_energies(given["energy"]), given["channel"], events.header, "mkacisrmf", _LEAST)


def _read_histogram(name: str) -> Block:
    block = next((each for each in files.read(name.partition("[")[0]) if each.field("duration")), None)
    if block is None:
        raise ToolError(f"{name} is no aspect histogram")
    calibration()
    return block


def _pointings(histogram: Block) -> list[tuple[float, ...]]:
    """X, Y, roll and share of the time; of many, some that stand for all."""
    columns = np.stack([histogram.column(name).astype(float)
                        for name in ("x_offset", "y_offset", "roll_offset", "duration")], axis=1)
    some = columns[::max(1, len(columns) // _POINTINGS)]
    some[:, 3] /= some[:, 3].sum()
    return [tuple(row) for row in some.tolist()]


def _chip_place(histogram: Block, chip: int, x: Floats, y: Floats, pointing: tuple[float, ...]
                ) -> tuple[Floats, Floats]:
    """(chipx, chipy) of sky pixels at a pointing: the inverse of `observe.sky_of_detector` and `detector_of_chip`."""
    dx, dy, roll, _ = pointing
    centre, sim_z = calibration()["centre_px"], float(histogram.header["SIM_Z"])
    across, up = x - centre - dx, y - centre - dy
    cos, sin = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    det = np.stack([centre + cos * across - sin * up, centre + sin * across + cos * up])
    corners = np.stack(detector_of_chip(chip, [0.5, CHIP_PX + 0.5, 0.5], [0.5, 0.5, CHIP_PX + 0.5], sim_z))
    matrix = (corners[:, 1:] - corners[:, :1]) / CHIP_PX
    u, v = np.linalg.solve(matrix, det - corners[:, :1])
    return u + 0.5, v + 0.5


def _vignetting(distance_px: Any) -> Any:
    numbers = calibration()
    arcmin = distance_px * numbers["pixel_arcsec"] / 60
    return np.maximum(1 - numbers["vignetting_slope"] * (arcmin / 10) ** 2, 0)


def _chip_of(detector: str) -> int:
    found = re.fullmatch(r"ACIS-(?:([IS])(\d)|(\d))(;.*)?", detector)
    chip = -1 if found is None else int(found[3]) if found[3] else int(found[2]) + 4 * (found[1] == "S")
    if not 0 <= chip <= 9:
        raise ToolError(f"{detector} is not a valid detector")
    return chip


def _image_of(text: str, is_binned: bool) -> tuple[NDArray[Any], Floats, Floats]:
    """Counts, and the sky pixels of its columns and rows."""
    if not is_binned:
        raise ToolError(f"{text} is not an image: add [bin sky=1]")
    events = open_events(text)
    x, y = (np.rint(events.column(name)).astype(int) for name in ("x", "y"))
    if not len(x):
        return np.zeros((1, 1)), np.zeros(1), np.zeros(1)
    counts = np.zeros((np.ptp(y) + 1, np.ptp(x) + 1))
    np.add.at(counts, (y - y.min(), x - x.min()), 1)
    return counts, np.arange(x.min(), x.max() + 1.0), np.arange(y.min(), y.max() + 1.0)


def _response(events: EventList | None, chip: int, mask: Path | None, header: fits.Header | None = None) -> Floats:
    """The usable part of a chip; bad pixels are those that ardlib.par names."""
    value = value_in_file("ardlib", f"AXAF_ACIS{chip}_BADPIX_FILE")
    path = None if value in ("CALDB", "NONE") else Path(value.partition("[")[0])
    bad = read_bad_pixels(path)
    windows = read_windows(mask)
    if events is None:
        from .events import GoodTimes

        assert header is not None
        whole = GoodTimes(Block(header), chip, [(float(header["TSTART"]), float(header["TSTOP"]))])
        return usable_pixels(header, chip, whole, windows, bad)
    good = next((each for each in events.good_times if each.chip in (chip, None)), None)
    if good is None:
        raise ToolError(f"{events.path} has no good times of chip {chip}")
    return usable_pixels(events.header, chip, good, windows, bad)


def _path(name: str) -> Path | None:
    return None if name.upper() in ("", "NONE") else Path(name)


def _check_file(name: str, parameter: str) -> None:
    path = _path(name)
    if path is not None and not path.is_file():
        raise ToolError(f"Failed to open virtual file {name} ({parameter}): file does not exist")


def _energies(text: str) -> tuple[Floats, Floats]:
    """Bins in keV: ``lo:hi:step``, or those of a response."""
    if found := _GRID.fullmatch(text):
        block = next((each for each in files.read(found[1].partition("[")[0]) if each.field("energ_lo")), None)
        if block is None:
            raise ToolError(f"{text}: column ENERG_LO not found")
        return block.column("energ_lo").astype(float), block.column("energ_hi").astype(float)
    try:
        low, high, step = map(float, text.split(":"))
    except ValueError:
        raise ToolError(f"{text!r} is not a valid energy grid") from None
    edges = low + step * np.arange(round((high - low) / step) + 1)
    return edges[:-1], edges[1:]


def _arf(low: Floats, high: Floats, factor: float, about: fits.Header) -> Block:
    made = files.table("SPECRESP", [
        ("ENERG_LO", "1E", "keV", low), ("ENERG_HI", "1E", "keV", high),
        ("SPECRESP", "1E", "cm**2", [factor * area_cm2(each) for each in (low + high) / 2])], about=about)
    made.header.update({"HDUCLASS": "OGIP", "HDUCLAS1": "RESPONSE", "HDUCLAS2": "SPECRESP", "HDUVERS": "1.1.0",
                        "ARFVERSN": "1992a"})
    return made


def _write_rmf(path: str, low: Floats, high: Floats, channels: str, about: fits.Header, tool: str, least: float
               ) -> None:
    """A Gaussian of one width around the middle of each bin of energy, cut into channels."""
    from math import erf

    if channels != f"1:{_CHANNELS}:1":
        raise ToolError(f"channels {channels} are not in these stand-ins")
    sigma = calibration()["resolution_ev"]
    edges = np.arange(_CHANNELS + 1) * _CHANNEL_EV
    rows = np.zeros((len(low), _WIDTH))
    first, count = np.ones(len(low), int), np.ones(len(low), int)
    for n, middle in enumerate((low + high) * 500):
        start = int(np.clip(middle / _CHANNEL_EV - _WIDTH // 2, 0, _CHANNELS - _WIDTH))
        away = (edges[start:start + _WIDTH + 1] - middle) / sigma
        below = np.array([0.5 * (1 + erf(each / 2**0.5)) for each in away])
        parts = np.diff(below)
        there = np.flatnonzero(parts >= least)
        if not len(there):  # beyond the channels
            continue
        first[n], count[n] = start + there[0] + 1, there[-1] - there[0] + 1
        rows[n, :count[n]] = parts[there[0]:there[-1] + 1]
    matrix = files.table("MATRIX", [
        ("ENERG_LO", "1E", "keV", low), ("ENERG_HI", "1E", "keV", high), ("N_GRP", "1I", "", np.ones(len(low))),
        ("F_CHAN", "1I", "", first), ("N_CHAN", "1I", "", count), ("MATRIX", f"{_WIDTH}E", "", rows)], about=about)
    common = {"HDUCLASS": "OGIP", "HDUCLAS1": "RESPONSE", "CHANTYPE": "PI", "DETCHANS": _CHANNELS,
              "RMFVERSN": "1992a"}
    matrix.header.update({**common, "HDUCLAS2": "RSP_MATRIX", "HDUCLAS3": "REDIST", "HDUVERS": "1.3.0", "TLMIN4": 1,
                          "TLMAX4": _CHANNELS, "LO_THRES": least})
    bounds = files.table("EBOUNDS", [("CHANNEL", "1I", "", np.arange(1, _CHANNELS + 1)),
                                     ("E_MIN", "1E", "keV", edges[:-1] / 1000),
                                     ("E_MAX", "1E", "keV", edges[1:] / 1000)], about=about)
    bounds.header.update({**common, "HDUCLAS2": "EBOUNDS", "HDUVERS": "1.2.0"})
    files.stamp(matrix.header, tool, outfile=path)
    files.write(path, [Block(fits.Header()), matrix, bounds])
