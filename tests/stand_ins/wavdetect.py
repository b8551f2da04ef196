"""wavdetect: a Mexican hat at several scales, a local background from its negative part, and moments of source cells.

A simple method of its own: what it finds is bright and is where it is, but it is not wavdetect's list.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from . import files
from .errors import ToolError
from .files import Block, note_written
from .images import Image, open_image
from .parameters import Parameters
from .sky import Grid, Plane

Floats = NDArray[np.float64]

_LEAST_COUNTS = 3
_PIXEL_ARCSEC = 0.492
# The radius of a source cell.
_CELL_SCALES = 1.5


@dataclass(frozen=True)
class Peak:
    """A significant maximum, in pixels from 0."""

    x: int
    y: int
    scale: float
    significance: float
    joined: int = 1


@dataclass(frozen=True)
class Source:
    """What the cell of a peak holds, in pixels from 0."""

    x: float
    y: float
    counts: float
    background: float
    spread: tuple[float, float, float]
    """Standard deviations along the longer and the shorter axis, and the angle of the longer, degrees."""
    cell: NDArray[np.bool_]
    peak: Peak


def wavdetect(given: Parameters) -> None:
    """The list of sources, the images beside it, and the region file."""
    outputs = {name: given[name] for name in ("outfile", "scellfile", "imagefile", "defnbkgfile")}
    if missing := [name for name, value in outputs.items() if not value]:
        raise ToolError(f"{missing[0]} must be given")
    regfile = given["regfile"] if given["regfile"].lower() != "none" else ""
    files.check_clobber(given["clobber"], *outputs.values(), *([regfile] if regfile else []))
    image = open_image(given["infile"])
    counts = np.nan_to_num(image.data.astype(float))
    exposure = _map(given["expfile"], image, "exposure map")
    psf = _map(given["psffile"], image, "PSF map")
    scales = [float(each) for each in given["scales"].replace(",", " ").split()]
    if not scales or min(scales) <= 0:
        raise ToolError(f"scales={given['scales']!r}")
    work = Between(given["interdir"])
    level = np.ones(counts.shape) if exposure is None else np.nan_to_num(exposure) / np.nanmax(exposure)
    use = level >= given["expthresh"]
    background = np.zeros(counts.shape)
    peaks: list[Peak] = []
    cleaned = np.where(use, counts, 0.0)
    for turn in range(max(1, given["maxiter"])):
        peaks = []
        for number, scale in enumerate(scales):
            found, background = _peaks(counts, cleaned, np.where(use, level, 0.0), use, scale, given["sigthresh"])
            work.write(f"correl.{number}", background)
            peaks += found
        peaks = _joined(peaks)
        before = cleaned
        cleaned = _without(counts, background, use, peaks)
        if turn and np.array_equal(before, cleaned):
            break
    background = work.read(f"correl.{len(scales) - 1}", counts.shape)
    sources = _measured(counts, background, use, peaks)
    _write(given, image, sources, counts, background, level, exposure, psf, regfile)
    work.remove()
    if given["verbose"]:
        print(f"{len(sources)} sources")


class Between:
    """Files between the steps, with fixed names: two runs in one folder read each other's."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        if not (self.folder.is_dir() and os.access(self.folder, os.W_OK)):
            raise ToolError(f"interdir={folder} does not exist, or cannot be written to")
        self.names: set[str] = set()

    def _path(self, kind: str) -> Path:
        return self.folder / f"wavdetect.{kind}.fits"

    def write(self, kind: str, data: Floats) -> None:
        path = self._path(kind)
        data.astype("<f8").tofile(path)
        self.names.add(kind)

    def read(self, kind: str, shape: tuple[int, ...]) -> Floats:
        try:
            values = np.fromfile(self._path(kind), "<f8")
        except OSError:
            raise ToolError(f"Failed to open {self._path(kind)}") from None
        if values.size != math.prod(shape):
            raise ToolError(f"{self._path(kind)} is not of the size of the input image")
        return values.reshape(shape)

    def remove(self) -> None:
        for kind in self.names:
            self._path(kind).unlink(missing_ok=True)


def _map(name: str, image: Image, what: str) -> Floats | None:
    if not name:
        return None
    other = open_image(name)
    if other.data.shape != image.data.shape:
        raise ToolError(f"the {what} {name} is {other.data.shape[::-1]} pixels, the image {image.data.shape[::-1]}")
    return other.data.astype(float)


def _hat(scale: float, size: int) -> Floats:
    reach = min(math.ceil(5 * scale) + 1, size)
    y, x = np.mgrid[-reach:reach + 1, -reach:reach + 1]
    r2 = (x**2 + y**2) / scale**2
    made: Floats = (2 - r2) * np.exp(-r2 / 2)
    return made


def _convolve(image: Floats, kernel: Floats) -> Floats:
    """Of the size of the image; 0 beyond it."""
    shape = tuple(a + b - 1 for a, b in zip(image.shape, kernel.shape, strict=True))
    both = np.fft.irfft2(np.fft.rfft2(image, shape) * np.fft.rfft2(kernel, shape), shape)
    dy, dx = kernel.shape[0] // 2, kernel.shape[1] // 2
    return np.asarray(both[dy:dy + image.shape[0], dx:dx + image.shape[1]])


def _peaks(counts: Floats, cleaned: Floats, level: Floats, use: NDArray[np.bool_], scale: float,
           sigthresh: float) -> tuple[list[Peak], Floats]:
    """Significant maxima of a scale, and the background that it sees."""
    hat = _hat(scale, max(counts.shape))
    ring = -np.minimum(hat, 0)
    disk = (hat > 0).astype(float)
    seen = np.maximum(_convolve(level, ring), 1e-9 * ring.sum())
    background = np.where(use, np.maximum(_convolve(cleaned, ring), 0) / seen * level, 0.0)
    correlation = _convolve(np.where(use, counts, 0.0) - background, hat)
    noise = np.sqrt(np.maximum(_convolve(background, hat**2), 1e-12))
    strength = correlation / noise
    highest = use & (strength > NormalDist().inv_cdf(1 - sigthresh))
    padded = np.pad(correlation, 1, constant_values=-np.inf)
    for dy in range(3):
        for dx in range(3):
            highest &= correlation >= padded[dy:dy + counts.shape[0], dx:dx + counts.shape[1]]
    inside, expected = _convolve(counts * use, disk), _convolve(background, disk)
    found = []
    for y, x in zip(*np.nonzero(highest), strict=True):
        number = round(float(inside[y, x]))
        if number >= _LEAST_COUNTS and _tail(number, float(expected[y, x])) < sigthresh:
            found.append(Peak(int(x), int(y), scale, float(strength[y, x])))
    return found, background


def _tail(count: int, mean: float) -> float:
    """The probability of so many counts or more."""
    if mean <= 0:
        return 0.0
    if count > mean + 12 * math.sqrt(mean) + 30:
        return 0.0
    term, total = math.exp(-mean), 0.0
    for k in range(count):
        total += term
        term *= mean / (k + 1)
    return max(0.0, 1 - total)


def _joined(peaks: list[Peak]) -> list[Peak]:
    """Maxima of all scales as one a source: the strongest first, others near it are the same."""
    kept: list[Peak] = []
    for each in sorted(peaks, key=lambda peak: -peak.significance):
        owner = next((n for n, other in enumerate(kept) if math.hypot(each.x - other.x, each.y - other.y)
                      <= 2 * max(each.scale, other.scale)), None)
        if owner is None:
            kept.append(each)
        else:
            old = kept[owner]
            kept[owner] = Peak(old.x, old.y, old.scale, old.significance, old.joined + 1)
    return kept


def _disc(shape: tuple[int, ...], x: float, y: float, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[:shape[0], :shape[1]]
    return np.asarray((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)


def _without(counts: Floats, background: Floats, use: NDArray[np.bool_], peaks: list[Peak]) -> Floats:
    """The counts with sources replaced by background."""
    made = np.where(use, counts, 0.0)
    for peak in peaks:
        cell = _disc(counts.shape, peak.x, peak.y, _CELL_SCALES * peak.scale + 0.5)
        made[cell] = background[cell]
    return made


def _measured(counts: Floats, background: Floats, use: NDArray[np.bool_], peaks: list[Peak]) -> list[Source]:
    sources = []
    for peak in peaks:
        x, y = float(peak.x), float(peak.y)
        radius = _CELL_SCALES * peak.scale + 0.5
        cell = _disc(counts.shape, x, y, radius) & use
        net = np.where(cell, counts - background, 0.0)
        if net.sum() <= 0:
            continue
        rows, columns = np.nonzero(cell)
        weights = np.maximum(net[rows, columns], 0)
        x, y = float(weights @ columns / weights.sum()), float(weights @ rows / weights.sum())
        moments = np.cov(columns - x, rows - y, aweights=weights, bias=True) if len(rows) > 1 else np.zeros((2, 2))
        sizes, axes = np.linalg.eigh(moments + np.eye(2) / 12)
        angle = math.degrees(math.atan2(axes[1, 1], axes[0, 1])) % 180
        spread = math.sqrt(max(sizes[1], 0.25)), math.sqrt(max(sizes[0], 0.25)), angle
        sources.append(Source(x, y, float(counts[cell].sum()), float(background[cell].sum()), spread, cell, peak))
    return sources


def _write(given: Parameters, image: Image, sources: list[Source], counts: Floats, background: Floats, level: Floats,
           exposure: Floats | None, psf: Floats | None, regfile: str) -> None:
    header = image.header.copy()
    files.stamp(header, "wavdetect", infile=given["infile"], scales=given["scales"], sigthresh=given["sigthresh"],
                ellsigma=given["ellsigma"])
    grid, plane = image.grid, image.plane
    cells, reconstructed = np.zeros(counts.shape, np.int32), np.zeros(counts.shape)
    for number, source in enumerate(sources, start=1):
        cells[source.cell & (cells == 0)] = number
        reconstructed[source.cell] = np.maximum(counts - background, 0)[source.cell]
    for name, data in (("scellfile", cells), ("imagefile", reconstructed.astype(np.float32)),
                       ("defnbkgfile", background.astype(np.float32))):
        files.write(given[name], [Block(header, data)])
    table = _table(sources, grid, plane, header, given["ellsigma"], level, exposure, psf)
    files.write(given["outfile"], [Block(fits.Header()), table])
    if regfile:
        _write_regions(regfile, table)


def _table(sources: list[Source], grid: Grid, plane: Plane, header: fits.Header, ellsigma: float, level: Floats,
           exposure: Floats | None, psf: Floats | None) -> Block:
    step = grid.x.step
    rows: dict[str, list[object]] = {name: [] for name, _, _ in _COLUMNS}
    for number, source in enumerate(sources, start=1):
        x, y = grid.x.first + (source.x + 0.5) * step, grid.y.first + (source.y + 0.5) * grid.y.step
        ra, dec = plane.to_sky(x, y)
        net = source.counts - source.background
        at = min(max(round(source.y), 0), level.shape[0] - 1), min(max(round(source.x), 0), level.shape[1] - 1)
        # A map is in the unit of its pixels' time and area; without one it is the live time.
        seen = float(exposure[at]) if exposure is not None else float(header.get("EXPOSURE", 1.0))
        size = float(psf[at]) / (_PIXEL_ARCSEC * step) if psf is not None else math.nan
        error = [spread / math.sqrt(max(source.counts, 1)) for spread in source.spread[:2]]
        major, minor, angle = source.spread
        noise = math.sqrt(max(source.counts, 1))
        values = {
            "RA": float(ra), "DEC": float(dec), "RA_ERR": error[0] * step * abs(plane.dx),
            "DEC_ERR": error[1] * step * abs(plane.dy), "X": x, "Y": y, "X_ERR": error[0] * step,
            "Y_ERR": error[1] * step, "NPIXSOU": int(source.cell.sum()), "NET_COUNTS": net, "NET_COUNTS_ERR": noise,
            "BKG_COUNTS": source.background, "BKG_COUNTS_ERR": math.sqrt(source.background), "NET_RATE": net / seen,
            "NET_RATE_ERR": noise / seen, "BKG_RATE": source.background / seen,
            "BKG_RATE_ERR": math.sqrt(source.background) / seen, "EXPTIME": seen, "EXPTIME_ERR": 0.0,
            "SRC_SIGNIFICANCE": net / (1 + math.sqrt(0.75 + source.background)), "PSF_SIZE": size * step,
            "MULTI_CORREL_MAX": source.peak.joined, "SHAPE": b"Ellipse",
            "R": (major * ellsigma * step, minor * ellsigma * step), "ROTANG": angle,
            # Of a Gaussian that holds the PSF's fraction of counts, 90 %, within its radius.
            "PSFRATIO": math.sqrt(major * minor) / (size / math.sqrt(-2 * math.log(0.1))), "COMPONENT": number}
        for name, value in values.items():
            rows[name].append(value)
    columns = [(name, form, unit, np.reshape(rows[name], (-1, 2)) if name == "R" else rows[name])
               for name, form, unit in _COLUMNS]
    made = files.table("SRCLIST", columns, about=header)
    numbers = {name: n for n, (name, _, _) in enumerate(_COLUMNS, start=1)}
    made.header["MTYPE1"], made.header["MFORM1"] = "POS", "X,Y"
    made.header["MTYPE2"], made.header["MFORM2"] = "EQPOS", "RA,DEC"
    for name, kind, value, middle, delta in (("X", "RA---TAN", plane.ra, plane.x0, plane.dx),
                                             ("Y", "DEC--TAN", plane.dec, plane.y0, plane.dy)):
        n = numbers[name]
        made.header[f"TCTYP{n}"], made.header[f"TCRVL{n}"], made.header[f"TCRPX{n}"] = kind, value, middle
        made.header[f"TCDLT{n}"], made.header[f"TCUNI{n}"] = delta, "deg"
    for key in [key for key in made.header if key.startswith(
            ("CTYPE", "CRVAL", "CRPIX", "CDELT", "CUNIT", "WCSTY", "LTV", "LTM", "BUNIT"))]:
        made.header.remove(key)
    made.header["HDUCLASS"], made.header["HDUCLAS1"], made.header["CONTENT"] = "ASC", "REGION", "SRCLIST"
    return made


_RATE = "count/pixel**2/s"
_COLUMNS = (
    ("RA", "1D", "deg"), ("DEC", "1D", "deg"), ("RA_ERR", "1D", "deg"), ("DEC_ERR", "1D", "deg"), ("X", "1D", "pixel"),
    ("Y", "1D", "pixel"), ("X_ERR", "1D", "pixel"), ("Y_ERR", "1D", "pixel"), ("NPIXSOU", "1J", "pixel"),
    ("NET_COUNTS", "1D", "count"), ("NET_COUNTS_ERR", "1D", "count"), ("BKG_COUNTS", "1D", "count"),
    ("BKG_COUNTS_ERR", "1D", "count"), ("NET_RATE", "1D", "count/s"), ("NET_RATE_ERR", "1D", "count/s"),
    ("BKG_RATE", "1D", _RATE), ("BKG_RATE_ERR", "1D", _RATE), ("EXPTIME", "1D", "s"), ("EXPTIME_ERR", "1D", "s"),
    ("SRC_SIGNIFICANCE", "1D", ""), ("PSF_SIZE", "1D", "pixel"), ("MULTI_CORREL_MAX", "1J", ""), ("SHAPE", "16A", ""),
    ("R", "2D", "pixel"), ("ROTANG", "1D", "deg"), ("PSFRATIO", "1D", ""), ("COMPONENT", "1J", ""))


def _write_regions(path: str, table: Block) -> None:
    """DS9's format, physical coordinates; without a source there is the head alone, which no tool reads."""
    lines = ["# Region file format: DS9 version 4.1",
             'global color=green dashlist=8 3 width=1 font="helvetica 10 normal roman" select=1 highlite=1 dash=0 '
             "fixed=0 edit=1 move=1 delete=1 include=1 source=1", "physical"]
    x, y, r, angle = (table.column(name) for name in ("X", "Y", "R", "ROTANG"))
    lines += [f"ellipse({a:g},{b:g},{c[0]:g},{c[1]:g},{d:g}) #" for a, b, c, d in zip(x, y, r, angle, strict=True)]
    note_written(path).write_text("\n".join(lines) + "\n")
