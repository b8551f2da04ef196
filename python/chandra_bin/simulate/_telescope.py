"""The simulator's own telescope: directions as unit vectors, attitudes as rotation matrices, chips between corners.

Of `acis` it takes numbers only. What exposure maps do with sky pixels, a roll angle and a matrix for each chip is done
here another way, so that an error in either shows when they are compared.

Vectors are (3, n) arrays. The body's axes: X along the optical axis to the sky; Y and Z, at roll 0, east and north. The
focal plane has millimetres (y, z), upside down: light from +Y falls at -y.
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
    """Directions of places on the sky."""
    ra, dec = np.radians(np.asarray(ra_deg, np.float64)), np.radians(np.asarray(dec_deg, np.float64))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


def places(vectors: Floats) -> tuple[Floats, Floats]:
    """(RA, Dec) in degrees of directions."""
    east = np.degrees(np.arctan2(vectors[1], vectors[0])) % 360
    north = np.degrees(np.arctan2(vectors[2], np.hypot(vectors[0], vectors[1])))
    return east, north


def attitude(ra_deg: float, dec_deg: float, roll_deg: float) -> Floats:
    """The matrix (3, 3) from the sky into the body: its rows are the body's axes."""
    ra, dec, roll = (math.radians(angle) for angle in (ra_deg, dec_deg, roll_deg))
    about_z = np.array([[math.cos(ra), math.sin(ra), 0], [-math.sin(ra), math.cos(ra), 0], [0, 0, 1]])
    about_y = np.array([[math.cos(dec), 0, math.sin(dec)], [0, 1, 0], [-math.sin(dec), 0, math.cos(dec)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(roll), math.sin(roll)], [0, -math.sin(roll), math.cos(roll)]])
    product: Floats = about_x @ about_y @ about_z
    return product


class Turn(NamedTuple):
    """How the body has turned towards +Y (yaw), then +Z (pitch): the cosines and sines of both, (n,)."""

    cos_yaw: Floats
    sin_yaw: Floats
    cos_pitch: Floats
    sin_pitch: Floats

    @classmethod
    def by(cls, yaw_rad: Floats, pitch_rad: Floats) -> "Turn":
        return cls(np.cos(yaw_rad), np.sin(yaw_rad), np.cos(pitch_rad), np.sin(pitch_rad))

    def of(self, rows: Wholes) -> "Turn":
        """Those of some rows."""
        return Turn(*(each[rows] for each in self))


def turned(vectors: Floats, turn: Turn) -> Floats:
    """Vectors in the body after it has turned."""
    x, y, z = vectors
    made = np.empty(np.broadcast_shapes(vectors.shape, (3, len(turn.cos_yaw))))
    ahead = turn.cos_yaw * x + turn.sin_yaw * y
    np.subtract(turn.cos_yaw * y, turn.sin_yaw * x, out=made[1])
    np.add(turn.cos_pitch * ahead, turn.sin_pitch * z, out=made[0])
    np.subtract(turn.cos_pitch * z, turn.sin_pitch * ahead, out=made[2])
    return made


def turned_back(vectors: Floats, turn: Turn) -> Floats:
    """The inverse of `turned`."""
    x, y, z = vectors
    made = np.empty(np.broadcast_shapes(vectors.shape, (3, len(turn.cos_yaw))))
    ahead = turn.cos_pitch * x - turn.sin_pitch * z
    np.add(turn.cos_pitch * z, turn.sin_pitch * x, out=made[2])
    np.subtract(turn.cos_yaw * ahead, turn.sin_yaw * y, out=made[0])
    np.add(turn.cos_yaw * y, turn.sin_yaw * ahead, out=made[1])
    return made


def pixels(body: Floats) -> tuple[Floats, Floats]:
    """(detx, dety) of directions in the body; (x, y) of those in a body at the tangent point with roll 0."""
    return acis.CENTRE_PX - body[1] / body[0] / _PIXEL_RAD, acis.CENTRE_PX + body[2] / body[0] / _PIXEL_RAD


def at_pixels(x: ArrayLike, y: ArrayLike) -> Floats:
    """Directions, not of unit length: the inverse of `pixels`."""
    across, up = np.asarray(x, np.float64) - acis.CENTRE_PX, np.asarray(y, np.float64) - acis.CENTRE_PX
    return np.stack([np.ones_like(across), -across * _PIXEL_RAD, up * _PIXEL_RAD])


def focus(body: Floats) -> Floats:
    """Where directions fall in the focal plane: (2, n), mm."""
    on_plane: Floats = -acis.FOCAL_LENGTH_MM * body[1:] / body[0]
    return on_plane


def behind(focal_mm: Floats) -> Floats:
    """Directions in the body, not of unit length, of places in the focal plane."""
    return np.stack([np.ones_like(focal_mm[0]), *(-focal_mm / acis.FOCAL_LENGTH_MM)])


def chip_to_focus(chip: int, chipx: ArrayLike, chipy: ArrayLike, sim_z_mm: float) -> Floats:
    """The focal plane (2, n), mm, of places on a chip: means of its corners, by weight."""
    right, up = ((np.asarray(place, np.float64) - _FIRST_EDGE) / acis.CHIP_PX for place in (chipx, chipy))
    first, along_x, along_y = _corners(chip, sim_z_mm)
    return np.stack([(1 - right - up) * first[axis] + right * along_x[axis] + up * along_y[axis] for axis in (0, 1)])


def focus_to_chip(chip: int, focal_mm: Floats, sim_z_mm: float) -> tuple[Floats, Floats]:
    """(chipx, chipy) of places in the focal plane: areas of triangles with two corners, over that with all three."""
    first, along_x, along_y = _corners(chip, sim_z_mm)
    whole = _twice_area(first, along_x, along_y)
    right, up = _twice_area(first, focal_mm, along_y) / whole, _twice_area(first, along_x, focal_mm) / whole
    return _FIRST_EDGE + right * acis.CHIP_PX, _FIRST_EDGE + up * acis.CHIP_PX


def off_axis_arcmin(body: Floats) -> Floats:
    """Angles between directions and the optical axis."""
    angle: Floats = np.degrees(np.arctan2(np.hypot(body[1], body[2]), body[0])) * 60
    return angle


def throughput(off_axis: Floats) -> Floats:
    """The part of photons that the mirror lets pass, of those on axis."""
    lost = acis.VIGNETTING_SLOPE * np.square(off_axis) / 100
    passed: Floats = np.where(lost < 1, 1 - lost, 0.0)
    return passed


def r90_arcsec(off_axis: Floats) -> Floats:
    """The radius that holds 90 % of a point source."""
    on_axis, at_ten = acis.PSF_R90_ARCSEC
    radius: Floats = on_axis + at_ten * np.square(off_axis) / 100
    return radius


def scattered(body: Floats, draw: np.random.Generator) -> Floats:
    """Directions after the mirror: none, with probability p, is further away than r90 sqrt(-log10 p)."""
    count = body.shape[1]
    radius = r90_arcsec(off_axis_arcmin(body)) * np.sqrt(-np.log10(1 - draw.random(count))) / acis.PIXEL_ARCSEC
    azimuth = draw.uniform(0, 2 * math.pi, count)
    aside = radius * _PIXEL_RAD * np.stack([np.cos(azimuth), np.sin(azimuth)])
    return np.stack([np.ones(count), *(body[1:] / body[0] + aside)])


def area_cm2(energy_ev: Floats) -> Floats:
    """Mirror and detector on axis, between the rows of the table."""
    kev, area = np.array(acis.AREA_KEV_CM2).T
    between: Floats = np.interp(energy_ev / 1000, kev, area)
    return between


def _corners(chip: int, sim_z_mm: float) -> Floats:
    """Three corners of a chip, (3, 2), with the table in its place."""
    corners: Floats = np.array(acis.CORNERS_MM[chip]) + np.array(acis.SIM_OFFSET_MM) + (0, sim_z_mm)
    return corners


def _twice_area(a: Floats, b: Floats, c: Floats) -> Floats:
    area: Floats = np.asarray((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))
    return area
