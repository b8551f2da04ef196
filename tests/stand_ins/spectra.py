"""specextract: spectra of regions, with responses that are flat."""

from itertools import zip_longest

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from . import files
from .caldb import calibration
from .dm_tools import spectrum
from .errors import ToolError, is_since
from .events import EventList, open_events
from .files import Block
from .fluximage import check_folder
from .observe import area_cm2
from .obsinfo import ancillary_of
from .parameters import Parameters
from .regions import region_of
from .spectra_checks import (
    check_blanks,
    check_header,
    check_names,
    check_place,
    commonest_scale,
    is_blank_sky,
    make_folder,
    numbered,
)
from .virtual import parse, stack

_CHANNEL_KEV = 0.0146
_CHANNELS = 1024


def specextract(given: Parameters) -> None:
    """For each source OUT.pi, OUT.arf, OUT.rmf, and OUT_grp.pi; of its background OUT_bkg.pi.

    All sources are checked before the first one is extracted.
    """
    calibration()
    check_blanks(given)
    check_folder("tmpdir", given["tmpdir"])
    sources = stack(given["infile"])
    roots = [root.replace(" ", "") for root in stack(given["outroot"])]
    skies = stack(given["bkgfile"]) if given["bkgfile"] else []
    if len(roots) == 1 and len(sources) > 1:
        roots = numbered(roots[0], len(sources))
    if len(roots) != len(sources) or len(skies) not in (0, len(sources)):
        raise ToolError(f"infile, outroot and bkgfile have {len(sources)}, {len(roots)} and {len(skies)} elements")
    if given["combine"] or given["correctpsf"]:
        raise ToolError("combine and correctpsf are not in these stand-ins")
    check_names([*sources, *skies], roots)
    for source, sky in zip_longest(sources, skies, fillvalue=""):
        _check(source, sky, given)
    energies = _energies(given["energy"])
    for source, root, sky in zip_longest(sources, roots, skies, fillvalue=""):
        _extract(source, root, sky, energies, given)


def _check(source: str, sky: str, given: Parameters) -> None:
    events = open_events(source)
    check_header(events)
    near = ancillary_of(events, given["asp"], given["badpixfile"], given["mskfile"], all_needed=True)
    place = given["resp_pos"] if is_since("4.15") else "REGION"
    if place not in ("REGION", "MAX"):
        raise ToolError(f"resp_pos={place} is not in these stand-ins")
    check_place(source, events, near, place)
    if sky and is_blank_sky(open_events(sky)) and given["bkgresp"]:
        raise ToolError(f"{sky} is a blank-sky file: responses of it cannot be made, give bkgresp=no")


def _extract(source: str, root: str, sky: str, energies: NDArray[np.float64], given: Parameters) -> None:
    make_folder(root)
    grouped = given["grouptype"] != "NONE"
    with_bkg_response = bool(sky) and given["bkgresp"]
    names = [f"{root}{ending}" for ending in (
        ".pi", ".arf", ".rmf", *(["_grp.pi"] if grouped else []), *(["_bkg.pi"] if sky else []),
        *(["_bkg.arf", "_bkg.rmf"] if with_bkg_response else []))]
    files.check_clobber(given["clobber"], *names)
    events = open_events(source)
    stem = root.rsplit("/", 1)[-1]
    linked = {"RESPFILE": f"{stem}.rmf", "ANCRFILE": f"{stem}.arf", "BACKSCAL": _backscale(events, source),
              "BACKFILE": f"{stem}_bkg.pi" if sky else "none"}
    _responses(events, root, energies)
    made = spectrum(events, linked)
    files.stamp(made.header, "specextract", infile=source, outroot=root)
    files.write(f"{root}.pi", [Block(fits.Header()), made])
    if sky:
        behind = open_events(sky)
        of_sky = {"BACKSCAL": _backscale(behind, sky)}
        if is_blank_sky(behind):
            of_sky["AREASCAL"] = commonest_scale(behind)
        if with_bkg_response:
            _responses(behind, f"{root}_bkg", energies)
            of_sky |= {"RESPFILE": f"{stem}_bkg.rmf", "ANCRFILE": f"{stem}_bkg.arf"}
        files.write(f"{root}_bkg.pi", [Block(fits.Header()), spectrum(behind, of_sky)])
    if grouped:
        if given["grouptype"] != "NUM_CTS":
            raise ToolError(f"grouptype={given['grouptype']} is not in these stand-ins")
        files.write(f"{root}_grp.pi", [Block(fits.Header()), _grouped(made, int(given["binspec"]))])


def _energies(text: str) -> NDArray[np.float64]:
    low, high, step = map(float, text.split(":"))
    return np.asarray(low + step * np.arange(round((high - low) / step) + 1), np.float64)


def _backscale(events: EventList, name: str) -> float:
    """The area of the regions over that of the sky, by points half a sky pixel apart."""
    regions = [(region_of(term.text, events.plane), each.exclude) for each in parse(name).filters
               for term in each.terms if term.kind == "region"]
    boxes = np.array([region.box() for region, exclude in regions if not exclude])
    low, high = np.maximum(boxes[:, ::2].max(axis=0), 0.5), np.minimum(boxes[:, 1::2].min(axis=0), 8192.5)
    x, y = np.meshgrid(*(np.arange(a + 0.25, b, 0.5) for a, b in zip(low, high, strict=True)))
    left = np.ones(x.shape, bool)
    for region, exclude in regions:
        left &= region.contains(x, y) != exclude
    return float(left.sum() * 0.25 / 8192**2)


def _grouped(made: Block, least: int) -> Block:
    """Groups of at least so many counts."""
    counts = made.column("counts")
    grouping = np.full(len(counts), -1)
    total, begins = 0, True
    last = 0
    for n, each in enumerate(counts.tolist()):
        if begins:
            grouping[n], last = 1, n
        total += each
        begins = total >= least
        total = 0 if begins else total
    quality = np.zeros(len(counts), int)
    if not begins:
        quality[last:] = 2
    columns = [(name, form, "", made.column(name)) for name, form in (
        ("CHANNEL", "1J"), ("PI", "1D"), ("COUNTS", "1J"), ("COUNT_RATE", "1D"))]
    grouped = files.table("SPECTRUM", [*columns, ("GROUPING", "1I", "", grouping), ("QUALITY", "1I", "", quality)],
                          about=made.header)
    for key in ("GROUPING", "QUALITY"):
        grouped.header.remove(key, ignore_missing=True)
    return grouped


def _responses(events: EventList, root: str, energies: NDArray[np.float64]) -> None:
    low, high = energies[:-1], energies[1:]
    about = fits.Header({"TELESCOP": "CHANDRA", "INSTRUME": "ACIS", "FILTER": "NONE", "HDUCLASS": "OGIP",
                         "HDUCLAS1": "RESPONSE", "CHANTYPE": "PI", "DETCHANS": _CHANNELS,
                         "EXPOSURE": float(events.header.get("EXPOSURE", 0))})
    arf = files.table("SPECRESP", [
        ("ENERG_LO", "1E", "keV", low), ("ENERG_HI", "1E", "keV", high),
        ("SPECRESP", "1E", "cm**2", [area_cm2(each) for each in (low + high) / 2])], about=about)
    arf.header["HDUCLAS2"], arf.header["HDUVERS"], arf.header["ARFVERSN"] = "SPECRESP", "1.1.0", "1992a"
    files.write(f"{root}.arf", [Block(fits.Header()), arf])
    channel = np.clip(((low + high) / 2 / _CHANNEL_KEV).astype(int) + 1, 1, _CHANNELS)
    matrix = files.table("MATRIX", [
        ("ENERG_LO", "1E", "keV", low), ("ENERG_HI", "1E", "keV", high), ("N_GRP", "1I", "", np.ones(len(low))),
        ("F_CHAN", "1I", "", channel), ("N_CHAN", "1I", "", np.ones(len(low))),
        ("MATRIX", "1E", "", np.ones(len(low)))], about=about)
    for key, value in {"HDUCLAS2": "RSP_MATRIX", "HDUCLAS3": "REDIST", "HDUVERS": "1.3.0", "RMFVERSN": "1992a",
                       "TLMIN4": 1, "TLMAX4": _CHANNELS, "LO_THRES": 1e-5}.items():
        matrix.header[key] = value
    edges = np.arange(_CHANNELS + 1) * _CHANNEL_KEV
    bounds = files.table("EBOUNDS", [("CHANNEL", "1I", "", np.arange(1, _CHANNELS + 1)),
                                     ("E_MIN", "1E", "keV", edges[:-1]), ("E_MAX", "1E", "keV", edges[1:])],
                         about=about)
    bounds.header["HDUCLAS2"], bounds.header["HDUVERS"] = "EBOUNDS", "1.2.0"
    files.write(f"{root}.rmf", [Block(fits.Header()), matrix, bounds])
