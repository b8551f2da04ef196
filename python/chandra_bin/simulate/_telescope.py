"""Telescope of the simulator: directions as unit vectors, attitudes as rotation matrices, chips between corners.

The module uses only numbers of `acis`. Exposure maps use sky pixels, a roll angle and a matrix for each chip; the
independent method here reveals errors in either when both are compared.

Vectors are (3, n) arrays. Axes of the body: X along the optical axis to the sky; Y and Z, at roll 0, east and north.
Positions (y, z) in the focal plane are in mm and inverted: light from +Y falls at -y.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from chandra_bin._checks.array_types import Floats, Wholes
from chandra_bin.acis import geometry as acis

_PIXEL_RAD = math.radians(acis.PIXEL_ARCSEC / 3600)
_FIRST_EDGE = 0.5


def unit_vectors(ra_deg: ArrayLike, dec_deg: ArrayLike) -> Floats:
    """Return the directions of positions on the sky."""
    ra, dec = np.radians(np.asarray(ra_deg, np.float64)), np.radians(np.asarray(dec_deg, np.float64))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


def places(vectors: Floats) -> tuple[Floats, Floats]:
    """Return (RA, Dec) in degrees of directions."""
    east = np.degrees(np.arctan2(vectors[1], vectors[0])) % 360
    north = np.degrees(np.arctan2(vectors[2], np.hypot(vectors[0], vectors[1])))
    return east, north


def attitude(ra_deg: float, dec_deg: float, roll_deg: float) -> Floats:
    """Return the matrix (3, 3) from the sky to the body; its rows are the axes of the body."""
    ra, dec, roll = (math.radians(angle) for angle in (ra_deg, dec_deg, roll_deg))
    about_z = np.array([[math.cos(ra), math.sin(ra), 0], [-math.sin(ra), math.cos(ra), 0], [0, 0, 1]])
    about_y = np.array([[math.cos(dec), 0, math.sin(dec)], [0, 1, 0], [-math.sin(dec), 0, math.cos(dec)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(roll), math.sin(roll)], [0, -math.sin(roll), math.cos(roll)]])
    product: Floats = about_x @ about_y @ about_z
    return product


class Turn(NamedTuple):
    """Turns of the body towards +Y (yaw), then +Z (pitch): cosines and sines of both, (n,)."""

    cos_yaw: Floats
    sin_yaw: Floats
    cos_pitch: Floats
    sin_pitch: Floats

    @classmethod
    def by(cls, yaw_rad: Floats, pitch_rad: Floats) -> "Turn":
        """Return the turns by these angles."""
        return cls(np.cos(yaw_rad), np.sin(yaw_rad), np.cos(pitch_rad), np.sin(pitch_rad))

    def of(self, rows: Wholes) -> "Turn":
        """Return the turns of some rows."""
        return Turn(*(each[rows] for each in self))


def turned(vectors: Floats, turn: Turn) -> Floats:
    """Return vectors in the body after its turn."""
    x, y, z = vectors
    made = np.empty(np.broadcast_shapes(vectors.shape, (3, len(turn.cos_yaw))))
    ahead = turn.cos_yaw * x + turn.sin_yaw * y
    np.subtract(turn.cos_yaw * y, turn.sin_yaw * x, out=made[1])
    np.add(turn.cos_pitch * ahead, turn.sin_pitch * z, out=made[0])
    np.subtract(turn.cos_pitch * z, turn.sin_pitch * ahead, out=made[2])
    return made


def turned_back(vectors: Floats, turn: Turn) -> Floats:
    """Return vectors before the turn: the inverse of `turned`."""
    x, y, z = vectors
    made = np.empty(np.broadcast_shapes(vectors.shape, (3, len(turn.cos_yaw))))
    ahead = turn.cos_pitch * x - turn.sin_pitch * z
    np.add(turn.cos_pitch * z, turn.sin_pitch * x, out=made[2])
    np.subtract(turn.cos_yaw * ahead, turn.sin_yaw * y, out=made[0])
    np.add(turn.cos_yaw * y, turn.sin_yaw * ahead, out=made[1])
    return made


def pixels(body: Floats) -> tuple[Floats, Floats]:
    """Return (detx, dety) of directions in the body; (x, y) if the body is at the tangent point with roll 0."""
    return acis.CENTRE_PX - body[1] / body[0] / _PIXEL_RAD, acis.CENTRE_PX + body[2] / body[0] / _PIXEL_RAD


def at_pixels(x: ArrayLike, y: ArrayLike) -> Floats:
    """Return directions, not of unit length: the inverse of `pixels`."""
    across, up = np.asarray(x, np.float64) - acis.CENTRE_PX, np.asarray(y, np.float64) - acis.CENTRE_PX
    return np.stack([np.ones_like(across), -across * _PIXEL_RAD, up * _PIXEL_RAD])


def focus(body: Floats) -> Floats:
    """Return the positions of directions in the focal plane, (2, n), mm."""
    on_plane: Floats = -acis.FOCAL_LENGTH_MM * body[1:] / body[0]
    return on_plane


def behind(focal_mm: Floats) -> Floats:
    """Return directions in the body, not of unit length, of positions in the focal plane."""
    return np.stack([np.ones_like(focal_mm[0]), *(-focal_mm / acis.FOCAL_LENGTH_MM)])


def chip_to_focus(chip: int, chipx: ArrayLike, chipy: ArrayLike, sim_z_mm: float) -> Floats:
    """Return the positions in the focal plane, (2, n), mm, of positions on a chip: weighted means of its corners."""
    right, up = ((np.asarray(place, np.float64) - _FIRST_EDGE) / acis.CHIP_PX for place in (chipx, chipy))
    first, along_x, along_y = _corners(chip, sim_z_mm)
    return np.stack([(1 - right - up) * first[axis] + right * along_x[axis] + up * along_y[axis] for axis in (0, 1)])


def focus_to_chip(chip: int, focal_mm: Floats, sim_z_mm: float) -> tuple[Floats, Floats]:
    """Return (chipx, chipy) of positions in the focal plane: areas of triangles with two corners over that of three."""
    first, along_x, along_y = _corners(chip, sim_z_mm)
    whole = _twice_area(first, along_x, along_y)
    right, up = _twice_area(first, focal_mm, along_y) / whole, _twice_area(first, along_x, focal_mm) / whole
    return _FIRST_EDGE + right * acis.CHIP_PX, _FIRST_EDGE + up * acis.CHIP_PX


def off_axis_arcmin(body: Floats) -> Floats:
    """Return the angles between directions and the optical axis in arcmin."""
    angle: Floats = np.degrees(np.arctan2(np.hypot(body[1], body[2]), body[0])) * 60
    return angle


def throughput(off_axis: Floats) -> Floats:
    """Return the throughput of the mirror relative to the optical axis."""
    lost = acis.VIGNETTING_SLOPE * np.square(off_axis) / 100
    passed: Floats = np.where(lost < 1, 1 - lost, 0.0)
    return passed


def r90_arcsec(off_axis: Floats) -> Floats:
    """Return the radius in arcsec that contains 90 % of a point source."""
    on_axis, at_ten = acis.PSF_R90_ARCSEC
    radius: Floats = on_axis + at_ten * np.square(off_axis) / 100
    return radius


def scattered(body: Floats, draw: np.random.Generator) -> Floats:
    """Return directions after the mirror: the offset exceeds r90 sqrt(-log10 p) with probability p."""
    count = body.shape[1]
    radius = r90_arcsec(off_axis_arcmin(body)) * np.sqrt(-np.log10(1 - draw.random(count))) / acis.PIXEL_ARCSEC
    azimuth = draw.uniform(0, 2 * math.pi, count)
    aside = radius * _PIXEL_RAD * np.stack([np.cos(azimuth), np.sin(azimuth)])
    return np.stack([np.ones(count), *(body[1:] / body[0] + aside)])


def area_cm2(energy_ev: Floats) -> Floats:
    """Return the on-axis area of mirror and detector in cm², interpolated in the table."""
    kev, area = np.array(acis.AREA_KEV_CM2).T
    between: Floats = np.interp(energy_ev / 1000, kev, area)
    return between


def _corners(chip: int, sim_z_mm: float) -> Floats:
    """Return three corners of a chip, (3, 2), for the position of the SIM."""
    corners: Floats = np.array(acis.CORNERS_MM[chip]) + np.array(acis.SIM_OFFSET_MM) + (0, sim_z_mm)
    return corners


def _twice_area(a: Floats, b: Floats, c: Floats) -> Floats:
    """Return twice the signed area of a triangle."""
    area: Floats = np.asarray((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))
    return area
