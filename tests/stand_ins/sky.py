"""Tangent planes, and grids of pixels on them."""

import math
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from numpy.typing import ArrayLike, NDArray

from .errors import ToolError
from .files import Block

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Plane:
    """Physical pixels (x, y) around a tangent point, with north up and east to the left."""

    ra: float
    dec: float
    x0: float
    y0: float
    dx: float
    dy: float

    def to_sky(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """RA and Dec in degrees: the arc of the great circle from the tangent point, at its position angle."""
        xi = np.radians((np.asarray(x, np.float64) - self.x0) * self.dx)
        eta = np.radians((np.asarray(y, np.float64) - self.y0) * self.dy)
        far = np.arctan(np.hypot(xi, eta))
        angle = np.arctan2(xi, eta)
        dec0 = math.radians(self.dec)
        dec = np.arcsin(np.clip(math.sin(dec0) * np.cos(far) + math.cos(dec0) * np.sin(far) * np.cos(angle), -1, 1))
        ra = np.arctan2(np.sin(far) * np.sin(angle),
                        math.cos(dec0) * np.cos(far) - math.sin(dec0) * np.sin(far) * np.cos(angle))
        return (self.ra + np.degrees(ra)) % 360, np.degrees(dec)

    def from_sky(self, ra: ArrayLike, dec: ArrayLike) -> tuple[Floats, Floats]:
        a = np.radians(np.asarray(ra, np.float64) - self.ra)
        d, dec0 = np.radians(np.asarray(dec, np.float64)), math.radians(self.dec)
        depth = math.sin(dec0) * np.sin(d) + math.cos(dec0) * np.cos(d) * np.cos(a)
        xi = np.cos(d) * np.sin(a) / depth
        eta = (math.cos(dec0) * np.sin(d) - math.sin(dec0) * np.cos(d) * np.cos(a)) / depth
        return self.x0 + np.degrees(xi) / self.dx, self.y0 + np.degrees(eta) / self.dy

    def moved(self, ra: float, dec: float) -> "Plane":
        """The same pixels around another tangent point."""
        return Plane(ra, dec, self.x0, self.y0, self.dx, self.dy)


def separation_arcsec(one: Plane, other: Plane) -> float:
    """How far apart two tangent points are."""
    x, y = one.from_sky(other.ra, other.dec)
    return float(np.hypot((x - one.x0) * one.dx, (y - one.y0) * one.dy) * 3600)


def plane_of_columns(block: Block, x: str = "x", y: str = "y") -> Plane:
    """The tangent plane of a table's columns."""
    header, values = block.header, []
    for name in (x, y):
        n = block.number(name)
        try:
            values.append([float(header[f"{key}{n}"]) for key in ("TCRVL", "TCRPX", "TCDLT")])
        except KeyError:
            raise ToolError(f"block {block.name} has no sky coordinates on column {name}") from None
    (ra, x0, dx), (dec, y0, dy) = values
    return Plane(ra, dec, x0, y0, dx, dy)


def plane_of_image(header: fits.Header) -> Plane:
    """The tangent plane of an image, in physical pixels."""
    grid = Grid.of_image(header)
    try:
        ra, dec = float(header["CRVAL1"]), float(header["CRVAL2"])
        x0, y0 = (float(axis.first + (header[f"CRPIX{n}"] - 0.5) * axis.step)
                  for n, axis in ((1, grid.x), (2, grid.y)))
        return Plane(ra, dec, x0, y0, header["CDELT1"] / grid.x.step, header["CDELT2"] / grid.y.step)
    except KeyError as error:
        raise ToolError(f"the image has no sky coordinates ({error})") from None


@dataclass(frozen=True)
class GridAxis:
    """Pixels with the edges first, first + step, ..."""

    first: float
    step: float
    size: int

    @classmethod
    def around(cls, low: float, high: float, step: float) -> "GridAxis":
        """Edges at 0.5 + k step, limits rounded outwards."""
        first = math.floor((low - 0.5) / step + 1e-9)
        last = math.ceil((high - 0.5) / step - 1e-9)
        return cls(0.5 + first * step, step, max(last - first, 1))

    @property
    def centres(self) -> Floats:
        return np.asarray(self.first + (np.arange(self.size) + 0.5) * self.step, np.float64)


@dataclass(frozen=True)
class Grid:
    x: GridAxis
    y: GridAxis

    @property
    def shape(self) -> tuple[int, int]:
        return self.y.size, self.x.size

    @classmethod
    def of_image(cls, header: fits.Header) -> "Grid":
        """The pixels of an image, in its physical coordinates; without these keys `sky` is unknown."""
        axes = []
        for n in (1, 2):
            if f"CRVAL{n}P" not in header:
                raise ToolError("DM Parse error: descriptor sky not found: the image has no physical coordinates")
            step = float(header[f"CDELT{n}P"])
            axes.append(GridAxis(header[f"CRVAL{n}P"] + (0.5 - header[f"CRPIX{n}P"]) * step, step,
                                 int(header[f"NAXIS{n}"])))
        return cls(axes[0], axes[1])

    def histogram(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.int64]:
        """Counts (ny, nx) of places; an edge belongs to the later pixel."""
        column, row = (np.floor((np.asarray(values, np.float64) - axis.first) / axis.step).astype(np.int64)
                       for values, axis in ((x, self.x), (y, self.y)))
        inside = (column >= 0) & (column < self.x.size) & (row >= 0) & (row < self.y.size)
        flat = np.bincount(row[inside] * self.x.size + column[inside], minlength=self.x.size * self.y.size)
        return flat.reshape(self.shape)

    def put_into(self, header: fits.Header, plane: Plane, about: fits.Header | None = None) -> None:
        """The coordinates of an image, as CIAO's have them."""
        names = about or fits.Header()
        header["MTYPE1"], header["MFORM1"] = "sky", "x,y"
        header["MTYPE2"], header["MFORM2"] = "EQPOS", "RA,DEC"
        middle, delta, value = (plane.x0, plane.y0), (plane.dx, plane.dy), (plane.ra, plane.dec)
        for n, axis in ((1, self.x), (2, self.y)):
            header[f"CTYPE{n}"] = names.get(f"CTYPE{n}", ("RA---TAN", "DEC--TAN")[n - 1])
            header[f"CRVAL{n}"] = value[n - 1]
            header[f"CRPIX{n}"] = 0.5 + (middle[n - 1] - axis.first) / axis.step
            header[f"CDELT{n}"], header[f"CUNIT{n}"] = delta[n - 1] * axis.step, "deg"
            header[f"CTYPE{n}P"], header[f"CRVAL{n}P"], header[f"CRPIX{n}P"] = "xy"[n - 1], axis.first, 0.5
            header[f"CDELT{n}P"], header[f"WCSTY{n}P"] = axis.step, "PHYSICAL"
            header[f"LTV{n}"], header[f"LTM{n}_{n}"] = 0.5 - axis.first / axis.step, 1 / axis.step
