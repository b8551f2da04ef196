"""From the sky to the detector and to chips, against the direction of `chandra_bin.acis.geometry`."""

import math

import numpy as np

from chandra_bin.acis import geometry as acis


def to_chip(chip, detx, dety, sim_z_mm):
    """(chipx, chipy) of places on the detector, in the plane of a chip: on it where both are within 0.5 .. 1024.5."""
    origin, axes = acis._plane(chip)
    y = (np.asarray(detx, np.float64) - acis.CENTRE_PX) * acis.PIXEL_MM - acis.SIM_OFFSET_MM[0] - origin[0]
    z = (acis.CENTRE_PX - np.asarray(dety, np.float64)) * acis.PIXEL_MM - acis.SIM_OFFSET_MM[1] - sim_z_mm - origin[1]
    back = np.linalg.inv(axes)
    return 0.5 + back[0, 0] * y + back[0, 1] * z, 0.5 + back[1, 0] * y + back[1, 1] * z


def chip_outline(chip, sim_z_mm):
    """The corners of a chip on the detector, (4, 2) as (detx, dety), in the order LL, LR, UR, UL."""
    low, high = 0.5, acis.CHIP_PX + 0.5
    detx, dety = acis.to_detector(chip, [low, high, high, low], [low, low, high, high], sim_z_mm)
    return np.stack([detx, dety], axis=1)


def from_sky(x, y, roll_deg, offset_x=0.0, offset_y=0.0):
    """(detx, dety) of places on the sky: the inverse of `to_sky`."""
    roll = np.radians(roll_deg)
    u = np.asarray(x, np.float64) - acis.CENTRE_PX - np.asarray(offset_x, np.float64)
    v = np.asarray(y, np.float64) - acis.CENTRE_PX - np.asarray(offset_y, np.float64)
    detx = acis.CENTRE_PX + np.cos(roll) * u - np.sin(roll) * v
    dety = acis.CENTRE_PX + np.sin(roll) * u + np.cos(roll) * v
    return detx, dety


def pointing_offset(ra_deg, dec_deg, ra_nom_deg, dec_nom_deg):
    """Sky pixels (x, y) from the tangent point to a pointing: for `to_sky`, and for rows of an aspect solution."""
    d_ra = np.radians(np.asarray(ra_deg, np.float64) - ra_nom_deg)
    dec, nom = np.radians(np.asarray(dec_deg, np.float64)), math.radians(dec_nom_deg)
    depth = np.sin(dec) * math.sin(nom) + np.cos(dec) * math.cos(nom) * np.cos(d_ra)
    east = np.cos(dec) * np.sin(d_ra) / depth
    north = (np.sin(dec) * math.cos(nom) - np.cos(dec) * math.sin(nom) * np.cos(d_ra)) / depth
    scale = math.radians(acis.PIXEL_ARCSEC / 3600)
    return -east / scale, north / scale


def pointing_at(offset_x, offset_y, ra_nom_deg, dec_nom_deg):
    """(RA, Dec) in degrees at sky pixels (x, y) from a tangent point: the inverse of `pointing_offset`."""
    scale = math.radians(acis.PIXEL_ARCSEC / 3600)
    east = -np.asarray(offset_x, np.float64) * scale
    north = np.asarray(offset_y, np.float64) * scale
    nom = math.radians(dec_nom_deg)
    ahead = math.cos(nom) - north * math.sin(nom)
    ra = ra_nom_deg + np.degrees(np.arctan2(east, ahead))
    dec = np.degrees(np.arctan2(math.sin(nom) + north * math.cos(nom), np.hypot(east, ahead)))
    return ra % 360, dec
