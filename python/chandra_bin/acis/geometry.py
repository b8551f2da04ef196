"""Positions of the ACIS chips, and approximate formulas for the mirror and the detector.

This module has only numbers and plain formulas. The simulator shares the numbers but has its own, independently derived
formulas, which test these. Products made with the approximations have CALIB = 'APPROX' in their headers; CIAO and its
CALDB give the accurate values.

Coordinates: ``chipx``, ``chipy`` run from 0.5 to 1024.5 over a chip, with pixel centres at whole numbers. ``detx``,
``dety`` are pixels of 0.492 arcsec in the plane tangent to the optical axis, which is at 4096.5. Sky ``x``, ``y`` are
detector coordinates rotated by the roll and shifted by the aspect, with north up and east to the left.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from chandra_bin._checks.array_types import Floats

CHIP_COUNT = 10
CHIPS = range(CHIP_COUNT)
CHIP_NAMES = ("I0", "I1", "I2", "I3", "S0", "S1", "S2", "S3", "S4", "S5")
BACK_ILLUMINATED = frozenset({5, 7})
CHIP_PX = 1024
PIXEL_ARCSEC = 0.492
# The optical axis in detector pixels, and the tangent point in sky pixels.
CENTRE_PX = 4096.5
FOCAL_LENGTH_MM = 10070.0
# One sky pixel in the focal plane.
PIXEL_MM = FOCAL_LENGTH_MM * math.radians(PIXEL_ARCSEC / 3600)
# For each array, the chip of the aim point and the position of the instrument table (SIM_Z) for it.
AIM_CHIP = {"I": 3, "S": 7}
AIM_SIM_Z_MM = {"I": -233.587, "S": -190.143}
_BETWEEN_ARRAYS_MM = sum(AIM_SIM_Z_MM.values()) / 2
# Exposure of a frame of six chips and the transfer time between frames, s.
FRAME_S = 3.2
TRANSFER_S = 0.04104

# The origin of the instrument coordinates at SIM_Z = 0, from current headers (PIXLIB: SIM Offset).
SIM_OFFSET_MM = (0.75, 236.552)

# The corners (chipx, chipy) = (0.5, 0.5), (1024.5, 0.5) and (0.5, 1024.5) of each chip: Y and Z in mm, projected along
# the optical axis onto the focal plane.
#
# The corners are fits of detx, dety against chipx, chipy. Chips 0 to 3: events of ObsID 754, shifted together by
# (-0.036, -0.236) mm onto the CXC's table of corners, as the aspect alignment (dy, dz) of that observation would.
# Chips 6 and 7: events of ObsID 28229, whose dy and dz are 0. Chips 4, 5, 8 and 9 continue that row at a pitch of
# 25.054 mm. The tilts of chips are only in their projected sizes. The fits agree with the events within 0.1 pixel,
# and within half a pixel beyond the rows that ObsID 28229 read out; chips 4, 5, 8 and 9 within about 6 pixels.
#
# The table, which sets the zero point of ACIS-I, is also Table 2.4.1 of the ACIS science operations plan (MIT,
# https://acisweb.mit.edu/acis/sop-01/node34.html). Ten of its corners, of chips 0, 1 and 2, are within 0.02 mm (one
# pixel) of these, 0.01 mm on average. It describes the design and has not been tested with events of known dy and dz.
_ROW_PITCH_MM = (25.0538, 0.0119)
_S3_MM = ((-6.027, -59.167), (18.536, -59.153), (-6.038, -34.601))


def array_of(sim_z_mm: float) -> str:
    """Return the array of the aim point, ``I`` or ``S``, from the position of the instrument table (SIM_Z, mm)."""
    return "I" if sim_z_mm < _BETWEEN_ARRAYS_MM else "S"


def _in_row(steps: int) -> tuple[tuple[float, float], ...]:
    """Return the corners of the chip ``steps`` places from S3 in the row of ACIS-S, mm."""
    return tuple((y + steps * _ROW_PITCH_MM[0], z + steps * _ROW_PITCH_MM[1]) for y, z in _S3_MM)


CORNERS_MM: dict[int, tuple[tuple[float, float], ...]] = {
    0: ((-26.483, 23.088), (-26.543, -1.448), (-1.947, 23.086)),
    1: ((23.085, -1.439), (23.024, 23.098), (-1.450, -1.440)),
    2: ((-26.548, -1.985), (-26.488, -26.520), (-2.013, -1.984)),
    3: ((23.019, -26.525), (23.080, -1.991), (-1.516, -26.525)),
    4: _in_row(-3),
    5: _in_row(-2),
    6: ((-31.075, -59.185), (-6.512, -59.165), (-31.098, -34.613)),
    7: _S3_MM,
    8: _in_row(1),
    9: _in_row(2),
}


def to_detector(chip: int, chipx: ArrayLike, chipy: ArrayLike, sim_z_mm: float) -> tuple[Floats, Floats]:
    """Return (detx, dety) of positions on a chip, for an instrument table at ``sim_z_mm`` (SIM_Z in the header)."""
    origin, axes = _plane(chip)
    u, v = np.asarray(chipx, np.float64) - 0.5, np.asarray(chipy, np.float64) - 0.5
    y = origin[0] + axes[0, 0] * u + axes[0, 1] * v + SIM_OFFSET_MM[0]
    z = origin[1] + axes[1, 0] * u + axes[1, 1] * v + SIM_OFFSET_MM[1] + sim_z_mm
    return CENTRE_PX + y / PIXEL_MM, CENTRE_PX - z / PIXEL_MM


def to_sky(detx: ArrayLike, dety: ArrayLike, roll_deg: ArrayLike, offset_x: ArrayLike = 0.0,
           offset_y: ArrayLike = 0.0) -> tuple[Floats, Floats]:
    """Return sky (x, y) of detector positions, with the optical axis ``offset`` sky pixels from the tangent point.

    The offset comes from the aspect at the time of each photon. Tangent planes of pointings less than an arcminute
    apart are treated as one (0.01 pixel).
    """
    roll = np.radians(roll_deg)
    u, v = np.asarray(detx, np.float64) - CENTRE_PX, np.asarray(dety, np.float64) - CENTRE_PX
    x = CENTRE_PX + np.cos(roll) * u + np.sin(roll) * v + np.asarray(offset_x, np.float64)
    y = CENTRE_PX - np.sin(roll) * u + np.cos(roll) * v + np.asarray(offset_y, np.float64)
    return x, y


def off_axis_arcmin(detx: ArrayLike, dety: ArrayLike) -> Floats:
    """Return the distance from the optical axis in arcminutes."""
    distance = np.hypot(np.asarray(detx, np.float64) - CENTRE_PX, np.asarray(dety, np.float64) - CENTRE_PX)
    arcmin: Floats = distance * PIXEL_ARCSEC / 60
    return arcmin


VIGNETTING_SLOPE = 0.22


def vignetting(theta_arcmin: ArrayLike, slope: float = VIGNETTING_SLOPE) -> Floats:
    """Return the mirror's area at an off-axis angle relative to on-axis: 1 - slope (theta / 10')², at least 0.

    The slope of 0.22 holds at 2.3 keV for angles up to about 12'.
    """
    fraction: Floats = np.maximum(1 - slope * (np.asarray(theta_arcmin, np.float64) / 10) ** 2, 0)
    return fraction


# The 90 % encircled-energy radius on axis, and its increase at 10 arcmin off axis, arcsec.
PSF_R90_ARCSEC = (1.0, 10.0)
_ECF = 0.9


def psf_radius_arcsec(theta_arcmin: ArrayLike, ecf: float = _ECF) -> Floats:
    """Return the radius that encloses a fraction ``ecf`` of a point source: 1" + 10" (theta / 10')² for 90 %.

    Other fractions follow a circular Gaussian, r² proportional to -ln(1 - ecf), which is too small above 95 %.
    """
    at_90 = PSF_R90_ARCSEC[0] + PSF_R90_ARCSEC[1] * (np.asarray(theta_arcmin, np.float64) / 10) ** 2
    radius: Floats = at_90 * math.sqrt(math.log1p(-ecf) / math.log1p(-_ECF))
    return radius


# Energy (keV) and on-axis area (cm²) of mirror and front-illuminated chip together, early in the mission.
AREA_KEV_CM2 = (
    (0.20, 0), (0.30, 8), (0.50, 50), (0.70, 180), (1.00, 380), (1.25, 490), (1.50, 560), (1.80, 520), (2.05, 420),
    (2.10, 350), (2.30, 320), (3.00, 300), (4.00, 330), (5.00, 320), (6.00, 240), (7.00, 130), (8.00, 55), (9.00, 20),
    (10.0, 6), (11.0, 0))


def effective_area_cm2(energy_ev: ArrayLike) -> Floats:
    """Return the approximate on-axis area in cm² from a table accurate to 20 %, the same for every chip."""
    kev, cm2 = zip(*AREA_KEV_CM2, strict=True)
    area: Floats = np.interp(np.asarray(energy_ev, np.float64) / 1000, kev, cm2)
    return area


def _plane(chip: int) -> tuple[Floats, Floats]:
    """Return the origin of a chip, (Y, Z) in mm, and the columns of its axes, mm a pixel."""
    first, along_x, along_y = (np.array(corner) for corner in CORNERS_MM[chip])
    return first, np.stack([along_x - first, along_y - first], axis=1) / CHIP_PX
