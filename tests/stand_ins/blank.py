"""blanksky and blanksky_image."""

import os
import re
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from . import files
from .caldb import calibration
from .errors import ToolError
from .events import EventList, apply_filter, live_fraction, open_events
from .files import Block
from .fluximage import check_folder
from .images import open_image
from .observe import detector_of_chip, read_aspect, sky_of_detector
from .obsinfo import aspect_of
from .parameters import Parameters
from .subspace import energies_of, read_subspace, starts_of_chips
from .virtual import parse

_PARTICLE_EV = (9000.0, 12_000.0)
_POINTING = ("RA_PNT", "DEC_PNT", "ROLL_PNT", "RA_NOM", "DEC_NOM", "ROLL_NOM", "OBS_ID", "OBJECT", "DATE-OBS",
             "DATE-END", "DETNAM", "ASOLFILE", "BPIXFILE", "MASKFILE", "DATAMODE")
_BETWEEN_ARRAYS_MM = -211.85
# Names of the CALDB's package acis_bkgrnd.
_NAME = re.compile(r"acis(?P<chip>\d)(?P<array>[is])D(?P<day>[\d-]{10})bkgrnd(?P<cti>_cti)?N(?P<version>\d{4})\.fits")
_METHODS = ("particle", "time", "particle-rate")


def blanksky(given: Parameters) -> None:
    """The blank-sky events of the chips of an observation, on its sky, with the factors that scale them."""
    _check_parameters(given)
    path, bracket, filters = given["evtfile"].partition("[")
    source = open_events(given["evtfile"])
    chips = _chips_used(source, given["evtfile"])
    _check_keywords(source)
    if given["weight_method"] != "time" and not _particles(source).any():
        raise ToolError("The input event file has zero counts at the energies that scale the background")
    found = _calibration_files(source, chips, path)
    parts, scales = [], {}
    is_cleaned = str(source.header["DATAMODE"]).strip() == "VFAINT" and _is_vfaint_cleaned(source)
    for chip, sky in found.items():
        if is_cleaned:
            sky.keep(~sky.column("status").any(axis=1))
        sky.keep(sky.column("ccd_id") == chip)
        for each in parse(f"{path}{bracket}{filters}").filters:
            apply_filter(sky, each)
        _onto(sky, source, given["asolfile"])
        scales[chip] = _scale(source, sky, chip, given["weight_method"])
        parts.append(sky.rows)
        if parts[-1].dtype != parts[0].dtype:
            raise ToolError("the background files have different columns")
    header = next(iter(found.values())).header.copy()
    for chip, sky in found.items():
        for stem in ("ONTIME", "LIVTIME", "EXPOSUR"):
            if f"{stem}{chip}" in sky.header:
                header[f"{stem}{chip}"] = sky.header[f"{stem}{chip}"]
    header.update({key: source.header[key] for key in _POINTING if key in source.header})
    header.update({f"BKGSCAL{chip}": scale for chip, scale in scales.items()})
    header["BKGMETH"], header["BKGPARAM"] = given["weight_method"], "[energy=9000:12000]"
    files.stamp(header, "blanksky", evtfile=given["evtfile"], outfile=given["outfile"])
    rows = np.empty(sum(map(len, parts)), parts[0].dtype)  # np.concatenate would turn the byte order
    np.concatenate(parts, out=rows)
    files.write(given["outfile"], [Block(fits.Header()), Block(header, rows)])
    if given["verbose"]:
        print("\n".join(f"BKGSCAL{chip} = {scale:.6g}" for chip, scale in scales.items()))


def _check_parameters(given: Parameters) -> None:
    calibration()
    if given["evtfile"].startswith("@"):
        raise ToolError("Input event stacks not supported")
    for name in ("evtfile", "outfile", "asolfile"):
        refuse_spaces(name, given[name])
    check_folder("tmpdir", given["tmpdir"])
    files.check_clobber(given["clobber"], given["outfile"])
    if given["stowedbg"]:
        raise ToolError("stowedbg is not in these stand-ins")
    if given["bkgparams"] not in ("default", "[energy=9000:12000]"):
        raise ToolError("bkgparams is not in these stand-ins")


def _calibration_files(source: EventList, chips: list[int], name: str) -> dict[int, EventList]:
    """The file of the CALDB for each chip: of its aim point, period and correction for charge-transfer inefficiency."""
    folder = Path(os.environ["CALDB"]) / "data/chandra/acis/bkgrnd"
    if not folder.is_dir() or len(list(folder.iterdir())) <= 2:
        raise ToolError("ACIS blanksky background files are not installed in the CalDB")
    array = "i" if float(source.header["SIM_Z"]) < _BETWEEN_ARRAYS_MM else "s"
    day, corrected = (str(source.header[key]).strip() for key in ("DATE-OBS", "CTI_APP"))
    index = [(match, path) for path in sorted(folder.iterdir()) if (match := _NAME.fullmatch(path.name))]
    found = {}
    for chip in chips:
        fitting = [(match["day"], match["cti"], match["version"], path) for match, path in index
                   if match["chip"] == str(chip) and match["array"] == array and match["day"] <= day[:10]
                   and _is_blank_sky(path, match)]
        period = max((each[0] for each in fitting), default=None)
        wanted = "_cti" if corrected[chip:chip + 1] in tuple("PSB") else None
        fitting = [each for each in fitting if each[:2] == (period, wanted)]
        if not fitting:
            raise ToolError(f"Unable to find an ACIS background file for:\n  infile={name}\n  CCD_ID={chip}\n")
        found[chip] = open_events(str(max(fitting, key=lambda each: each[2])[3]))
    return found


def _is_blank_sky(path: Path, match: re.Match[str]) -> bool:
    """Whether the header is that of a file of the CALDB, with chip and period as in its name."""
    header = next(each.header for each in files.read(path) if each.name == "EVENTS")
    said = [str(header.get(key, "")).strip() for key in ("CCNM0001", "CBD10001", "CVSD0001")]
    return said == ["BKGRND", f"CCD_ID({match['chip']})", match["day"]]


def refuse_spaces(name: str, value: str) -> None:
    """Stops where the absolute name of a file has a space."""
    if value and " " in (path := os.path.abspath(value)):
        raise ToolError(f"The absolute path for {name}, '{path}', cannot contain any spaces")


def _particles(events: EventList) -> NDArray[np.bool_]:
    energy = events.column("energy")
    found: NDArray[np.bool_] = (energy >= _PARTICLE_EV[0]) & (energy < _PARTICLE_EV[1])
    return found


def _check_keywords(source: EventList) -> None:
    """Stops where a keyword is missing that the script, or its search for the file of a chip, reads."""
    for key in ("INSTRUME", "OBS_ID", "TSTART", "NROWS", "FIRSTROW", "DATAMODE", "SIM_Z", "FP_TEMP", "DATE-OBS",
                "DATE-END"):
        if key not in source.header:
            raise ToolError(f"'{key}'")


def _chips_used(source: EventList, name: str) -> list[int]:
    """The chips for which there can be a file; each other one is a line on stdout."""
    header = source.header
    if "CTI_APP" not in header:
        raise ToolError(f"CTI_APP header keyword missing from {name}. Please reprocess data with chandra_repro.")
    chips = sorted(int(each) for each in np.unique(source.column("ccd_id")))
    ignored = {4: "ACIS-S0"}
    if chips and {1, 9} & set(chips) and "CTI_CORR" not in header:
        raise ToolError("'CTI_CORR'")
    ignored.update({9: "ACIS-S5"} if header.get("CTI_CORR") else {1: "ACIS-I1"})
    if 0 in chips and set(chips) & set(range(4, 10)):
        for key in ("RA_PNT", "DEC_PNT"):
            if key not in header:
                raise ToolError(f"'{key}'")
        if source.good_times[0].chip not in range(4):
            ignored[0] = "ACIS-I0"
    for chip in sorted(set(chips) & set(ignored)):
        print(f"Ignoring {ignored[chip]}, as no blank-sky map is available for this chip.\n")
    return [chip for chip in chips if chip not in ignored]


def _is_vfaint_cleaned(source: EventList) -> bool:
    """By CHKVFPHA; without it the HISTORY must tell how the events were processed."""
    if "CHKVFPHA" in source.header:
        return source.header["CHKVFPHA"] is True
    lines = [str(each) for each in source.header.get("HISTORY", ())]
    if not any("acis_process_events" in line for line in lines):
        raise ToolError(f"acis_process_events was not used to generate {source.path}")
    return any("check_vf_pha=yes" in line for line in lines)


def _onto(sky: EventList, source: EventList, asolfile: str) -> None:
    """Puts a background onto the sky of a source: each event gets a pointing of its aspect solution, by turns."""
    plane = source.plane
    aspect = read_aspect(aspect_of(source, asolfile), plane).during(
        [each for good in source.good_times for each in good.intervals])
    rows = sky.rows.copy()
    header = sky.header.copy()
    turn = np.random.default_rng(0).integers(0, len(aspect.time), len(rows))
    chip = int(rows[sky.block.field("ccd_id")][0]) if len(rows) else 0
    det = detector_of_chip(chip, sky.column("chipx"), sky.column("chipy"), float(source.header["SIM_Z"]))
    places = sky_of_detector(*det, aspect.roll[turn], (aspect.x[turn], aspect.y[turn]), plane)
    for name, values, tangent in zip(("x", "y"), places, (plane.ra, plane.dec), strict=True):
        rows[sky.block.field(name)] = values
        header[f"TCRVL{sky.block.number(name)}"] = tangent
    sky.block = Block(header, rows)


def _scale(source: EventList, sky: EventList, chip: int, method: str) -> float:
    counts, seconds = [], []
    for events in (source, sky):
        counts.append(int((_particles(events) & (events.column("ccd_id") == chip)).sum()))
        seconds.append(float(events.header.get(f"LIVTIME{chip}", events.header.get("LIVETIME", 0.0))
                             or live_fraction(events.header, chip)))
    if method != "time" and not counts[1]:
        raise ToolError("division by zero")
    times = seconds[0] / seconds[1]
    return times if method == "time" else counts[0] / counts[1] / (times if method == "particle-rate" else 1)


def blanksky_image(given: Parameters) -> None:
    """The background of an image: events of its chips and energies times BKGSCALn; and the image without it."""
    for name in ("bkgfile", "outroot", "imgfile"):
        refuse_spaces(name, given[name])
    check_folder("tmpdir", given["tmpdir"])
    image = open_image(given["imgfile"])
    subspace = read_subspace(image.header)
    energies, chips = energies_of(subspace), starts_of_chips(subspace)
    if energies is None or not chips:
        raise ToolError(f"the energies or chips of {given['imgfile']} are unknown: it has no data subspace of these")
    sky = open_events(given["bkgfile"])
    method = str(sky.header.get("BKGMETH", "")).strip()
    if method not in _METHODS:
        raise ToolError(f"{given['bkgfile']} was not made by blanksky (BKGMETH)")
    root = given["outroot"]
    bgnd, left = Path(f"{root}_{method}_bgnd.img"), Path(f"{root}_{method}_bkgsub.img")
    files.check_clobber(given["clobber"], left)  # the background is always overwritten
    expected = _expected(sky, image.grid.histogram, chips, energies)
    header = image.header.copy()
    files.stamp(header, "blanksky_image", bkgfile=given["bkgfile"], imgfile=given["imgfile"])
    files.write(bgnd, [Block(header, expected.astype(np.float32)), *image.rest])
    files.write(left, [Block(header, (image.data.astype(float) - expected).astype(np.float32)), *image.rest])


def _expected(sky: EventList, histogram: object, chips: list[int], energies: tuple[float, float]
              ) -> NDArray[np.float64]:
    assert callable(histogram)
    energy, chip_of, x, y = (sky.column(each) for each in ("energy", "ccd_id", "x", "y"))
    made = histogram(x[:0], y[:0]).astype(float)
    for chip in chips:
        if f"BKGSCAL{chip}" not in sky.header:
            raise ToolError(f"'BKGSCAL{chip}'")
        chosen = (chip_of == chip) & (energy >= energies[0]) & (energy < energies[1])
        made += float(sky.header[f"BKGSCAL{chip}"]) * histogram(x[chosen], y[chosen])
    return made
