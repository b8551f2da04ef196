"""fluximage and mkpsfmap."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from . import files
from .bands import Band, bands_of
from .caldb import calibration
from .errors import ToolError
from .events import EventList
from .files import Block
from .images import image_header, open_image
from .observe import View, area_cm2, fov_block, view_of
from .obsinfo import ancillary_of, label_of, observed
from .parameters import Parameters
from .sky import Grid, GridAxis
from .subspace import limit, without_time
from .virtual import Range, parse

Floats = NDArray[np.float64]
_BINSIZE = 8.0
_FOLDERS = ("repro", "primary", ".")


@dataclass(frozen=True)
class Maps:
    """The images of a band."""

    counts: NDArray[np.int64]
    exposure: Floats
    radii: Floats | None

    @property
    def flux(self) -> Floats:
        """NaN without exposure."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.exposure > 0, self.counts / self.exposure, np.nan)


def fluximage(given: Parameters) -> None:
    """Image, exposure map and flux of each band, the PSF map, and the field of view."""
    calibration()
    work_in(given["tmpdir"])
    for name in ("xygrid", "dtffile"):
        if given[name]:
            raise ToolError(f"{name} is not in these stand-ins")
    if given["background"] not in ("default", "none"):
        raise ToolError(f"background={given['background']} is not in these stand-ins")
    infile = _one_file(given["infile"])
    wanted = bands_of(given["bands"])
    events = observed(infile)
    if not len(events.rows):
        raise ToolError(f"{infile} has no events")
    root = rooted(given["outroot"])
    outputs = {band: output_names(f"{root}{band.label}_", psf=given["psfecf"] is not None,
                                  thresh=has_threshold(given["expmapthresh"])) for band in wanted}
    fov = fov_name(root, label_of(events))
    files.check_clobber(given["clobber"], *(path for each in outputs.values() for path in each.values()), fov)
    near = ancillary_of(events, given["asolfile"], given["badpixfile"], given["maskfile"],
                        verbose=bool(given["verbose"]))
    view = view_of(events, near)
    grid = _limited(grid_of(view, given["binsize"] or _BINSIZE), infile, events, given["binsize"] or _BINSIZE)
    if given["verbose"]:
        print(f"Running fluximage\nUsing event file {infile}\nThe output images will have {grid.x.size} by "
              f"{grid.y.size} pixels, pixel size of {grid.x.step * 0.492:.4g} arcsec.", flush=True)
    files.write(fov, [Block(fits.Header()), fov_block([view], events.header, events.plane)])
    area = given["units"] != "time"
    seconds = view.exposure(grid, vignetted=area)
    for band, paths in outputs.items():
        maps = maps_of(events, band, grid, seconds, view, given)
        write_maps(paths, maps, events, band, grid, given, "fluximage", {"infile": infile, "bands": given["bands"]},
                   chips_in(infile))
    if given["verbose"]:
        print("The following files were created:\n" + "\n".join(f"     {each}" for each in files.written))


def _one_file(infile: str) -> str:
    """An event file; in a directory, the one file that looks like one."""
    if not os.path.isdir(infile):
        return infile
    for folder in _FOLDERS:
        found = sorted(Path(infile, folder).glob("*evt*"))
        if len(found) > 1:
            raise ToolError(f"only one event file can be used, and {infile} has {', '.join(map(str, found))}")
        if found:
            return str(found[0])
    raise ToolError(f"no event file in {infile}")


def check_folder(name: str, folder: str) -> None:
    """Stops where a folder for temporary files is not there."""
    if not (os.path.isdir(folder) and os.access(folder, os.W_OK)):
        raise ToolError(f"{name}={folder} does not exist, or cannot be written to")


def work_in(folder: str) -> None:
    """The folder for temporary files, for the tools that a script calls too."""
    check_folder("tmpdir", folder)
    os.environ["ASCDS_WORK_PATH"] = os.path.abspath(folder)


def rooted(outroot: str) -> str:
    """What file names begin with; a folder is made, but not the one that it is to be in."""
    if outroot == ".":
        return ""
    folder = outroot.rstrip("/") if outroot.endswith("/") else os.path.dirname(outroot)
    if folder and not os.path.isdir(folder):
        try:
            os.mkdir(folder)
        except OSError as error:
            raise ToolError(f"Unable to create output directory {folder}: {error.strerror}") from None
    if not os.access(folder or ".", os.W_OK):
        raise ToolError(f"the output directory {folder or '.'} cannot be written to")
    return outroot if not outroot or outroot.endswith(("/", "_")) else f"{outroot}_"


def fov_name(root: str, label: str) -> Path:
    """The field-of-view file of an observation: its label is not repeated where the root ends with it."""
    return Path(f"{root[:-1]}.fov" if root.endswith(f"{label}_") else f"{root}{label}.fov")


def has_threshold(text: str) -> bool:
    """Whether exposures below a threshold are cut, which names of files tell."""
    return text.strip().lower() not in ("", "none", "0", "0%", ":")


def chips_in(infile: str) -> tuple[Range, ...]:
    """The ranges of a filter on chips; empty without one."""
    terms = [term for each in parse(infile).filters for term in each.terms if term.column == "ccd_id"]
    return terms[-1].ranges if terms else ()


def output_names(root: str, *, psf: bool, thresh: bool) -> dict[str, Path]:
    """The images of a band."""
    start = "thresh" if thresh else ""
    kinds = {"counts": f"{start}.img", "exposure": f"{start}.expmap", "flux": "flux.img"}
    if psf:
        kinds["psf"] = f"{start}.psfmap"
    return {kind: Path(f"{root.removesuffix('_') if ending.startswith('.') else root}{ending}")
            for kind, ending in kinds.items()}


def grid_of(view: View, binsize: float) -> Grid:
    """All that the chips saw."""
    x0, x1, y0, y1 = view.box()
    return Grid(GridAxis.around(x0, x1, binsize), GridAxis.around(y0, y1, binsize))


def _limited(grid: Grid, infile: str, events: EventList, binsize: float) -> Grid:
    """What regions that are kept leave of a grid."""
    from .regions import region_of

    x0, x1 = grid.x.first, grid.x.first + grid.x.size * grid.x.step
    y0, y1 = grid.y.first, grid.y.first + grid.y.size * grid.y.step
    for each in parse(infile).filters:
        for term in each.terms:
            if term.kind == "region" and not each.exclude:
                box = region_of(term.text, events.plane).box()
                x0, x1, y0, y1 = max(x0, box[0]), min(x1, box[1]), max(y0, box[2]), min(y1, box[3])
    return Grid(GridAxis.around(x0, x1, binsize), GridAxis.around(y0, y1, binsize))


def maps_of(events: EventList, band: Band, grid: Grid, seconds: Floats, view: View, given: Parameters) -> Maps:
    """The images of a band: 0 where the exposure is below the threshold."""
    exposure = seconds * (1.0 if given["units"] == "time" else area_cm2(band.effective_kev))
    text = given["expmapthresh"] if has_threshold(given["expmapthresh"]) else "0.0"
    least = float(exposure.max()) * float(text[:-1]) / 100 if text.endswith("%") else float(text)
    used = (exposure > 0) & (exposure >= least)
    energy = events.column("energy")
    chosen = (energy >= band.low_ev) & (energy < band.high_ev)
    counts = grid.histogram(events.column("x")[chosen], events.column("y")[chosen])
    ecf = given["psfecf"]
    return Maps(np.where(used, counts, 0), np.where(used, exposure, 0.0),
                None if ecf is None else np.where(used, view.psf_radius(grid, ecf), np.nan))


def write_maps(paths: dict[str, Path], maps: Maps, events: EventList, band: Band, grid: Grid, given: Parameters,
               tool: str, parameters: dict[str, object], chips: tuple[Range, ...] = ()) -> None:
    """Counts, exposure map, flux, and PSF map: none of them has good times."""
    subspace = limit(events.subspace, "energy", (Range(band.low_ev, band.high_ev, single=False),), whole=False,
                     unit="eV")
    subspace = without_time(subspace, chips)
    header = image_header(events, grid, events.plane, subspace)
    files.stamp(header, tool, **parameters)
    files.write(paths["counts"], [Block(_with(header, BUNIT="count"), maps.counts.astype(np.int32))])
    area = given["units"] != "time"
    files.write(paths["exposure"], [Block(_with(
        header, BUNIT="cm**2 s" if area else "s", HDUNAME="EXPMAP", CONTENT="EXPMAP", ENERG_LO=band.effective_kev,
        ENERG_HI=band.effective_kev), maps.exposure.astype(np.float32))])
    files.write(paths["flux"], [Block(_with(
        header, BUNIT="count /cm**2 /s" if area else "count /(s)", HDUNAME="PFLUX_IMAGE"),
        maps.flux.astype(np.float32))])
    if maps.radii is not None:
        files.write(paths["psf"], [Block(_psf_header(header, band.effective_kev, given["psfecf"], "arcsec"),
                                         maps.radii.astype(np.float32))])


def _with(header: fits.Header, **keywords: object) -> fits.Header:
    made = header.copy()
    for key, value in keywords.items():
        made[key] = value
    return made


def _psf_header(header: fits.Header, kev: float, ecf: float, units: str) -> fits.Header:
    return _with(header, BUNIT=units, HDUNAME="PSFMAP", CONTENT="PSFMAP", ENERGY=kev, ECF=ecf)


def mkpsfmap(given: Parameters) -> None:
    """PSF sizes in the pixels of an image, around the pointing in its header."""
    files.check_clobber(given["clobber"], given["outfile"])
    if given["spectrum"]:
        raise ToolError("spectrum is not in these stand-ins")
    if given["energy"] is None or given["ecf"] is None:
        raise ToolError("energy and ecf must be given")
    image = open_image(given["infile"])
    grid, plane = image.grid, image.plane
    x, y = plane.from_sky(image.header["RA_PNT"], image.header["DEC_PNT"])
    radii = View([], np.array([float(x), float(y)]), plane).psf_radius(grid, given["ecf"])
    pixel = calibration()["pixel_arcsec"]
    radii /= {"arcsec": 1.0, "physical": pixel, "logical": pixel * grid.x.step}[given["units"]]
    header = _psf_header(image.header, given["energy"], given["ecf"], given["units"])
    if not math.isfinite(float(radii.max())):
        raise ToolError("the PSF has no size")
    files.stamp(header, "mkpsfmap", infile=given["infile"], energy=given["energy"], ecf=given["ecf"])
    files.write(given["outfile"], [Block(header, radii.astype(np.float32))])
