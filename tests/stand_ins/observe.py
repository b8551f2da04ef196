"""What chips saw: the aspect solution, chips by their corners in the CALDB, bad pixels, and so exposure maps.

The sky at the time t of a place on the detector is  tangent point + pointing(t) + turn(roll) (det - 4096.5).  Maps are
made on the sky: the response of each chip at the mean pointing, in sky pixels, moved over all of the dither.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import ArrayLike, NDArray

from . import files
from .caldb import calibration
from .errors import ToolError
from .events import EventList, GoodTimes, Intervals, inside, live_fraction
from .obsinfo import Ancillary
from .sky import Grid, Plane

Floats = NDArray[np.float64]

CHIP_PX = 1024
# Points a side of a sky pixel at which the response of a chip is taken.
_POINTS = 3


@dataclass(frozen=True)
class Aspect:
    """Pointings: sky pixels from the tangent point (x, y), and roll in degrees, at times."""

    time: Floats
    x: Floats
    y: Floats
    roll: Floats

    def during(self, intervals: Intervals) -> "Aspect":
        """The rows in good times."""
        kept = inside(intervals, self.time)
        if not kept.any():
            raise ToolError("the aspect solution does not cover the good times")
        return Aspect(self.time[kept], self.x[kept], self.y[kept], self.roll[kept])

    @property
    def mean(self) -> Floats:
        return np.array([self.x.mean(), self.y.mean()])

    @property
    def mean_roll(self) -> float:
        turn = np.radians(self.roll)
        return math.degrees(math.atan2(np.sin(turn).mean(), np.cos(turn).mean()))


def read_aspect(paths: tuple[Path, ...], plane: Plane) -> Aspect:
    """The rows of aspect solutions."""
    parts = []
    for path in paths:
        block = next((each for each in files.read(path) if each.field("ra") and each.field("roll")), None)
        if block is None:
            raise ToolError(f"{path} is no aspect solution")
        parts.append([block.column(name) for name in ("time", "ra", "dec", "roll")])
    time, ra, dec, roll = (np.concatenate(each) for each in zip(*parts, strict=True))
    x, y = plane.from_sky(ra, dec)
    return Aspect(time, x - plane.x0, y - plane.y0, roll)


def detector_of_chip(chip: int, chipx: ArrayLike, chipy: ArrayLike, sim_z: float) -> tuple[Floats, Floats]:
    """(detx, dety) of places on a chip."""
    numbers = calibration()
    first, along_x, along_y = (np.array(each) for each in numbers["chip_corners_mm"][str(chip)])
    u, v = (np.asarray(each, np.float64) - 0.5 for each in (chipx, chipy))
    offset = numbers["sim_offset_mm"]
    y, z = (first[n] + (along_x[n] - first[n]) * u / CHIP_PX + (along_y[n] - first[n]) * v / CHIP_PX + offset[n]
            for n in (0, 1))
    pixel = numbers["focal_length_mm"] * math.radians(numbers["pixel_arcsec"] / 3600)
    return numbers["centre_px"] + y / pixel, numbers["centre_px"] - (z + sim_z) / pixel


def sky_of_detector(detx: ArrayLike, dety: ArrayLike, roll_deg: ArrayLike, pointing: ArrayLike,
                    plane: Plane) -> tuple[Floats, Floats]:
    """Sky pixels, with the telescope at ``pointing`` sky pixels from the tangent point."""
    centre = calibration()["centre_px"]
    u, v = np.asarray(detx, np.float64) - centre, np.asarray(dety, np.float64) - centre
    cos, sin = np.cos(np.radians(roll_deg)), np.sin(np.radians(roll_deg))
    dx, dy = pointing
    return plane.x0 + dx + cos * u + sin * v, plane.y0 + dy - sin * u + cos * v


@dataclass(frozen=True)
class Chip:
    """A chip at the mean pointing: sky = origin + matrix (chipx, chipy); and where it went from there."""

    number: int
    origin: Floats
    matrix: Floats
    dither: Floats
    """(n, 2) sky pixels, from the mean."""
    response: Floats
    """(chipy, chipx): the part of the time that each pixel was usable."""
    live_s: float

    def box(self) -> tuple[float, float, float, float]:
        """Least and greatest x, and y, that usable pixels saw."""
        rows, columns = (np.flatnonzero(self.response.any(axis=axis)) + 1 for axis in (1, 0))
        if not len(rows):
            raise ToolError(f"chip {self.number} has no usable pixel")
        corners = [(u, v) for u in (columns[0] - 0.5, columns[-1] + 0.5) for v in (rows[0] - 0.5, rows[-1] + 0.5)]
        places = self.origin + np.array(corners) @ self.matrix.T
        low = places.min(axis=0) + self.dither.min(axis=0)
        high = places.max(axis=0) + self.dither.max(axis=0)
        return float(low[0]), float(high[0]), float(low[1]), float(high[1])


@dataclass(frozen=True)
class View:
    """What an observation saw, on a plane."""

    chips: list[Chip]
    axis: Floats
    """The mean pointing, sky pixels."""
    plane: Plane

    def box(self) -> tuple[float, float, float, float]:
        x0, x1, y0, y1 = zip(*(chip.box() for chip in self.chips), strict=True)
        return min(x0), max(x1), min(y0), max(y1)

    def exposure(self, grid: Grid, *, vignetted: bool) -> Floats:
        """Seconds, times the vignetting, (ny, nx)."""
        total = np.zeros(grid.shape)
        for chip in self.chips:
            _add_exposure(total, chip, grid, self.axis, vignetted=vignetted)
        return total

    def psf_radius(self, grid: Grid, ecf: float) -> Floats:
        """Arcsec; (ny, nx)."""
        numbers = calibration()
        x, y = np.meshgrid(grid.x.centres - self.axis[0], grid.y.centres - self.axis[1])
        arcmin = np.hypot(x, y) * numbers["pixel_arcsec"] / 60
        on_axis, more = numbers["psf_r90_arcsec"]
        wider: float = math.sqrt(math.log(1 - ecf) / math.log(0.1))
        return (on_axis + more * (arcmin / 10) ** 2) * wider


def view_of(events: EventList, near: Ancillary, plane: Plane | None = None) -> View:
    """What the chips of events saw in their good times; ``plane``: where it is wanted, else that of the events."""
    own = events.plane
    plane = plane or own
    times = [each for each in events.good_times if each.total > 0]
    if not times:
        raise ToolError(f"{events.path} has no good time")
    aspect = read_aspect(near.aspect, own)
    whole = aspect.during([each for good in times for each in good.intervals])
    windows = read_windows(near.mask)
    bad = read_bad_pixels(near.bad_pixels)
    chips = []
    for number, good in ((number, each) for each in times for number in _numbers(each, events)):
        response = usable_pixels(events.header, number, good, windows, bad)
        chips.append(_placed(number, events, whole, aspect.during(good.intervals), own, plane, response,
                             good.total * live_fraction(events.header, number)))
    x, y = plane.from_sky(*own.to_sky(own.x0 + whole.mean[0], own.y0 + whole.mean[1]))
    return View(chips, np.array([float(x), float(y)]), plane)


def usable_pixels(header: fits.Header, number: int, good: GoodTimes, windows: dict[int, Floats],
                  bad: dict[int, list[tuple[Any, ...]]]) -> Floats:
    """(chipy, chipx): the part of the good time in which each pixel of a chip was usable."""
    response = np.zeros((CHIP_PX, CHIP_PX))
    first = max(int(header.get("FIRSTROW", 1)) + 1, 2)
    last = min(int(header.get("FIRSTROW", 1)) + int(header.get("NROWS", CHIP_PX)) - 2, CHIP_PX - 1)
    response[first - 1:last, 1:CHIP_PX - 1] = 1
    response *= windows.get(number, 1.0)
    for x0, x1, y0, y1, start, stop in bad.get(number, []):
        share = sum(max(0.0, min(b, stop) - max(a, start)) for a, b in good.intervals) / good.total
        pixels = response[max(y0 - 1, 0):y1, max(x0 - 1, 0):x1]
        np.minimum(pixels, 1 - share, out=pixels)
    return response


def _numbers(times: GoodTimes, events: EventList) -> list[int]:
    if times.chip is not None:
        return [times.chip]
    return [int(each) for each in np.unique(events.column("ccd_id"))]


def _placed(number: int, events: EventList, whole: Aspect, aspect: Aspect, own: Plane, plane: Plane,
            response: Floats, live_s: float) -> Chip:
    """A chip on a plane, by least squares: other planes bend straight lines a little."""
    along = np.linspace(0.5, CHIP_PX + 0.5, 9)
    u, v = (each.ravel() for each in np.meshgrid(along, along))
    det = detector_of_chip(number, u, v, float(events.header["SIM_Z"]))
    places = sky_of_detector(*det, whole.mean_roll, whole.mean, own)
    moved = np.stack([own.x0 + aspect.x, own.y0 + aspect.y]), np.array([[own.x0], [own.y0]]) + whole.mean[:, None]
    if plane != own:
        places = plane.from_sky(*own.to_sky(*places))
        moved = tuple(np.stack(plane.from_sky(*own.to_sky(*each))) for each in moved)
    design = np.stack([np.ones(len(u)), u, v], axis=1)
    solved = np.linalg.lstsq(design, np.stack(places, axis=1), rcond=None)[0]
    return Chip(number, solved[0], solved[1:].T.copy(), (moved[0] - moved[1]).T, response, live_s)


def read_windows(path: Path | None) -> dict[int, Floats]:
    found: dict[int, Floats] = {}
    for block in files.read(path) if path else []:
        if not block.field("samp_cyc") or "CCD_ID" not in block.header:
            continue
        window = np.zeros((CHIP_PX, CHIP_PX))
        for shape, x, y, cycle in zip(*(block.column(name) for name in ("shape", "chipx", "chipy", "samp_cyc")),
                                      strict=True):
            if bytes(shape).strip().lower() == b"rectangle" and cycle > 0:
                window[y.min() - 1:y.max(), x.min() - 1:x.max()] = 1 / cycle
        found[int(block.header["CCD_ID"])] = window
    return found


def read_bad_pixels(path: Path | None) -> dict[int, list[tuple[Any, ...]]]:
    found: dict[int, list[tuple[Any, ...]]] = {}
    for block in files.read(path) if path else []:
        if not block.field("chipx") or "CCD_ID" not in block.header:
            continue
        rows = found.setdefault(int(block.header["CCD_ID"]), [])
        for x, y, start, stop in zip(*(block.column(name) for name in ("chipx", "chipy", "time", "time_stop")),
                                     strict=True):
            rows.append((int(np.min(x)), int(np.max(x)), int(np.min(y)), int(np.max(y)), float(start),
                         float(stop) if stop > 0 else math.inf))
    return found


def _add_exposure(total: Floats, chip: Chip, grid: Grid, axis: Floats, *, vignetted: bool) -> None:
    """The response on the sky at points of a fine grid, summed over the dither, and averaged over pixels."""
    fine_x, fine_y = (max(1, round(each.step)) for each in (grid.x, grid.y))
    step = np.array([grid.x.step / fine_x, grid.y.step / fine_y])
    reach = np.ceil(np.abs(chip.dither / step).max(axis=0)).astype(int) + 1
    corners = chip.origin + np.array([(u, v) for u in (0.5, 1024.5) for v in (0.5, 1024.5)]) @ chip.matrix.T
    window = []
    for n, each in ((0, grid.x), (1, grid.y)):
        far = reach[n] * step[n]
        low = max(math.floor((corners[:, n].min() - far - each.first) / each.step) - 1, 0)
        high = min(math.ceil((corners[:, n].max() + far - each.first) / each.step) + 1, each.size)
        if low >= high:
            return
        window.append((low, high))
    (x0, x1), (y0, y1) = window
    # With a rim as wide as the dither, so that what is moved in from outside is there.
    x = grid.x.first + x0 * grid.x.step + (np.arange(-reach[0], (x1 - x0) * fine_x + reach[0]) + 0.5) * step[0]
    y = grid.y.first + y0 * grid.y.step + (np.arange(-reach[1], (y1 - y0) * fine_y + reach[1]) + 0.5) * step[1]
    seen = _response_on_sky(chip, x, y, step, axis if vignetted else None)
    moved = _moved(seen, chip.dither / step, reach)
    means = moved.reshape(y1 - y0, fine_y, x1 - x0, fine_x).mean(axis=(1, 3))
    total[y0:y1, x0:x1] += means * chip.live_s


def _response_on_sky(chip: Chip, x: Floats, y: Floats, step: Floats, axis: Floats | None) -> Floats:
    """The response (len(y), len(x)), means of points in each pixel."""
    back = np.linalg.inv(chip.matrix)
    padded = np.pad(chip.response, 1)
    seen = np.zeros((len(y), len(x)))
    for n in range(_POINTS**2):
        dx, dy = (((each + 0.5) / _POINTS - 0.5) * step[k] for k, each in enumerate(divmod(n, _POINTS)))
        px, py = x + dx - chip.origin[0], (y + dy - chip.origin[1])[:, None]
        u = np.rint(back[0, 0] * px + back[0, 1] * py).astype(np.int32)
        v = np.rint(back[1, 0] * px + back[1, 1] * py).astype(np.int32)
        seen += padded[np.clip(v, 0, CHIP_PX + 1), np.clip(u, 0, CHIP_PX + 1)]
    seen /= _POINTS**2
    if axis is not None:
        numbers = calibration()
        arcmin = np.hypot(x - axis[0], (y - axis[1])[:, None]) * numbers["pixel_arcsec"] / 60
        seen *= np.maximum(1 - numbers["vignetting_slope"] * (arcmin / 10) ** 2, 0)
    return seen


def _moved(seen: Floats, offsets: Floats, reach: NDArray[np.int64]) -> Floats:
    """The mean of an image moved by all offsets (n, 2), without its rim; each offset is shared by the four nearest."""
    kernel = np.zeros((2 * reach[1] + 1, 2 * reach[0] + 1))
    low = np.floor(offsets).astype(int)
    part = offsets - low
    for du in (0, 1):
        for dv in (0, 1):
            share = (part[:, 0] if du else 1 - part[:, 0]) * (part[:, 1] if dv else 1 - part[:, 1])
            np.add.at(kernel, (low[:, 1] + dv + reach[1], low[:, 0] + du + reach[0]), share / len(offsets))
    shape = tuple(_fast(a + b - 1) for a, b in zip(seen.shape, kernel.shape, strict=True))
    both = np.fft.irfft2(np.fft.rfft2(seen, shape) * np.fft.rfft2(kernel, shape), shape)
    # The full convolution begins a reach before the image, and its rim is another reach.
    whole = both[2 * reach[1]:seen.shape[0], 2 * reach[0]:seen.shape[1]]
    return np.where(whole > 1e-9, whole, 0.0)


def _fast(size: int) -> int:
    """The next size of small factors."""
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 1


def area_cm2(kev: float) -> float:
    """Effective area on axis."""
    energies, areas = zip(*calibration()["area_kev_cm2"], strict=True)
    return float(np.interp(kev, energies, areas))


def fov_block(views: list[View], header: fits.Header, plane: Plane) -> files.Block:
    """Outlines of chips at the mean pointing, as skyfov has them."""
    rows = []
    for view in views:
        for chip in view.chips:
            corners = np.array([(0.5, 0.5), (1024.5, 0.5), (1024.5, 1024.5), (0.5, 1024.5), (0.5, 0.5)])
            rows.append((chip.number, chip.origin + corners @ chip.matrix.T))
    places = np.array([each for _, each in rows])
    made = files.table("FOV", [
        ("X", "5D", "pixel", places[:, :, 0]), ("Y", "5D", "pixel", places[:, :, 1]),
        ("SHAPE", "16A", "", [b"Polygon"] * len(rows)), ("R", "2D", "pixel", np.full((len(rows), 2), np.nan)),
        ("ROTANG", "2D", "deg", np.full((len(rows), 2), np.nan)),
        ("COMPONENT", "1I", "", np.arange(1, len(rows) + 1)), ("CCD_ID", "1I", "", [chip for chip, _ in rows])],
        about=header)
    made.header["MTYPE1"], made.header["MFORM1"] = "pos", "X,Y"
    for n, kind, value, middle, delta in ((1, "RA---TAN", plane.ra, plane.x0, plane.dx),
                                          (2, "DEC--TAN", plane.dec, plane.y0, plane.dy)):
        made.header[f"TCTYP{n}"], made.header[f"TCRVL{n}"] = kind, value
        made.header[f"TCRPX{n}"], made.header[f"TCDLT{n}"], made.header[f"TCUNI{n}"] = middle, delta, "deg"
    made.header["HDUCLASS"], made.header["HDUCLAS1"] = "ASC", "REGION"
    return made
