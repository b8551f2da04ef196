"""blanksky and blanksky_image."""

import os
import sys
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from . import files
from .caldb import calibration
from .errors import ToolError
from .events import EventList, live_fraction, open_events
from .files import Block
from .fluximage import check_folder
from .images import open_image
from .observe import beside, detector_of_chip, read_aspect, sky_of_detector
from .parameters import Parameters
from .subspace import chips_of, energies_of, read_subspace

_PARTICLE_EV = (9000.0, 12_000.0)
_POINTING = ("RA_PNT", "DEC_PNT", "ROLL_PNT", "RA_NOM", "DEC_NOM", "ROLL_NOM", "OBS_ID", "OBJECT", "DATE-OBS",
             "DATE-END", "DETNAM", "ASOLFILE", "BPIXFILE", "MASKFILE", "DATAMODE")
_SAME_DEG = 1e-4
_METHODS = ("particle", "time", "particle-rate")


def blanksky(given: Parameters) -> None:
    """The blank-sky events of the chips of an observation, on its sky, with the factors that scale them."""
    calibration()
    if " " in given["evtfile"]:
        raise ToolError(f"there are spaces in evtfile={given['evtfile']!r}")
    check_folder("tmpdir", given["tmpdir"])
    files.check_clobber(given["clobber"], given["outfile"])
    if given["stowedbg"]:
        raise ToolError("stowedbg is not in these stand-ins")
    if given["bkgparams"] not in ("default", "[energy=9000:12000]"):
        raise ToolError("bkgparams is not in these stand-ins")
    source = open_events(given["evtfile"])
    found = _calibration_files(source)
    parts, scales = [], {}
    for chip, sky in found.items():
        if str(source.header.get("DATAMODE", "")).strip() == "VFAINT" and source.header.get("CHKVFPHA") is True:
            sky.keep(~sky.column("status").any(axis=1))
        sky.keep(sky.column("ccd_id") == chip)
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


def _calibration_files(source: EventList) -> dict[int, EventList]:
    """A file of the CALDB for each chip: that of the observation's own sky where there is one, else by its date."""
    chips = sorted(int(each) for each in np.unique(source.column("ccd_id")))
    folder = Path(os.environ["CALDB"]) / "data/chandra/acis/bkgrnd"
    obsid, date = (str(source.header.get(key, "")).strip() for key in ("OBS_ID", "DATE-OBS"))
    best: dict[int, tuple[tuple[bool, bool, str], Path]] = {}
    for path in sorted(folder.glob("*.fits*")):
        header = next(each.header for each in files.read(path) if each.name == "EVENTS")
        said = str(header.get("DATE-OBS", "")).strip()
        rank = (str(header.get("OBS_ID", "")).strip() == obsid, said <= date, said)
        for chip in _chips_of_file(header):
            if chip in chips and (chip not in best or rank > best[chip][0]):
                best[chip] = rank, path
    if not best:
        raise ToolError(f"no blank-sky background file was found for chips {', '.join(map(str, chips))}: is the "
                        "acis_bkgrnd CALDB package installed?")
    for chip in (each for each in chips if each not in best):
        print(f"WARNING: no background file for chip {chip}; it is skipped", file=sys.stderr)
    return {chip: open_events(str(path)) for chip, (_, path) in sorted(best.items())}


def _chips_of_file(header: fits.Header) -> list[int]:
    digits = str(header.get("DETNAM", "")).removeprefix("ACIS-").strip()
    return [int(each) for each in digits] if digits.isdigit() else chips_of(read_subspace(header))


def _onto(sky: EventList, source: EventList, asolfile: str) -> None:
    """Puts a background onto the sky of a source: each event gets a pointing of its aspect solution, by turns."""
    if all(abs(float(sky.header.get(key, 0)) - float(source.header.get(key, 0))) < _SAME_DEG
           for key in ("RA_PNT", "DEC_PNT", "ROLL_PNT", "RA_NOM", "DEC_NOM")):
        return
    plane = source.plane
    aspect = read_aspect(beside(source, asolfile).aspect, plane).during(
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
        energy = events.column("energy")[events.column("ccd_id") == chip]
        counts.append(int(((energy >= _PARTICLE_EV[0]) & (energy < _PARTICLE_EV[1])).sum()))
        seconds.append(float(events.header.get(f"LIVTIME{chip}", events.header.get("LIVETIME", 0.0))
                             or live_fraction(events.header, chip)))
    if method != "time" and not counts[0]:
        raise ToolError(f"there are no counts of chip {chip} in the energies from which it is scaled")
    times = seconds[0] / seconds[1]
    return times if method == "time" else counts[0] / counts[1] / (times if method == "particle-rate" else 1)


def blanksky_image(given: Parameters) -> None:
    """The background of an image: events of its chips and energies times BKGSCALn; and the image without it."""
    check_folder("tmpdir", given["tmpdir"])
    image = open_image(given["imgfile"])
    subspace = read_subspace(image.header)
    energies, chips = energies_of(subspace), chips_of(subspace)
    if energies is None or not chips:
        raise ToolError(f"the energies or chips of {given['imgfile']} are unknown: it has no data subspace of these")
    sky = open_events(given["bkgfile"])
    method = str(sky.header.get("BKGMETH", "")).strip()
    if method not in _METHODS:
        raise ToolError(f"{given['bkgfile']} was not made by blanksky (BKGMETH)")
    root = given["outroot"]
    bgnd, left = Path(f"{root}_{method}_bgnd.img"), Path(f"{root}_{method}_bkgsub.img")
    files.check_clobber(given["clobber"], left)  # the background is always overwritten
    expected = _expected(sky, image.grid.histogram, chips, energies, given["bkgfile"])
    header = image.header.copy()
    files.stamp(header, "blanksky_image", bkgfile=given["bkgfile"], imgfile=given["imgfile"])
    files.write(bgnd, [Block(header, expected.astype(np.float32)), *image.rest])
    files.write(left, [Block(header, (image.data.astype(float) - expected).astype(np.float32)), *image.rest])


def _expected(sky: EventList, histogram: object, chips: list[int], energies: tuple[float, float],
              name: str) -> NDArray[np.float64]:
    assert callable(histogram)
    energy, chip_of, x, y = (sky.column(each) for each in ("energy", "ccd_id", "x", "y"))
    made = histogram(x[:0], y[:0]).astype(float)
    for chip in chips:
        if f"BKGSCAL{chip}" not in sky.header:
            print(f"WARNING: {name} has no background of chip {chip}", file=sys.stderr)
            continue
        chosen = (chip_of == chip) & (energy >= energies[0]) & (energy < energies[1])
        made += float(sky.header[f"BKGSCAL{chip}"]) * histogram(x[chosen], y[chosen])
    return made
