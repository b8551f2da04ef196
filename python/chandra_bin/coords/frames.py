"""Sky frames, and conversion of directions between them."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from chandra_bin._checks.array_types import Floats
from chandra_bin.errors import InputError

J2000_MJD = 51544.5
# DS9's aliases of frames.
_DS9_FRAMES = {"b1950": "fk4", "j2000": "fk5"}
# Equinoxes before this year default to FK4 with Besselian years (FITS standard 4.0, section 8.3).
FIRST_JULIAN = 1984.0
# Rotation from FK5 (J2000) to IAU 1958 galactic coordinates: pole 12h49m +27.4 deg, position angle 123 deg, in B1950
# (Blaauw et al. 1960), converted to J2000 as in SLALIB.
_GALACTIC = np.array([
    [-0.054875539726, -0.873437108010, -0.483834985808],
    [+0.494109453312, -0.444829589425, +0.746982251810],
    [-0.867666135858, -0.198076386122, +0.455983795705],
])


def sky_frame(name: str, mjd: float | None = None) -> Any:
    """Return the astropy frame with a name such as ``fk5``, ``icrs``, ``galactic`` or ``ecliptic``.

    FK4 (B1950) rotates slowly against FK5. As in SAOImage DS9, it is evaluated at the date of the observation ``mjd``,
    and ``ecliptic`` is the mean ecliptic of that date; without a date they refer to B1950 and J2000. Raises
    `InputError` for an unknown name.
    """
    from astropy.coordinates import FK4, BarycentricMeanEcliptic, frame_transform_graph
    from astropy.time import Time

    lower = name.lower()
    if lower == "ecliptic":
        return BarycentricMeanEcliptic(equinox=Time(J2000_MJD if mjd is None else mjd, format="mjd"))
    kind = frame_transform_graph.lookup_name(_DS9_FRAMES.get(lower, lower))
    if kind is None:
        raise InputError(f"unknown sky frame {name!r}: use fk5, icrs, galactic, fk4, ecliptic or one of astropy's")
    if kind is FK4 and mjd is not None:
        return FK4(obstime=Time(mjd, format="mjd"))
    frame = kind()
    if lower not in ("fk5", "icrs", "galactic", "fk4", *_DS9_FRAMES):
        _need_direction_only(frame, name)
    return frame


def _need_direction_only(frame: Any, name: str) -> None:
    """Raise `InputError` for frames that also need a location, time or distance (AltAz, heliocentric frames)."""
    from astropy import units as u
    from astropy.coordinates import ICRS

    try:
        ICRS(0 * u.deg, 0 * u.deg).transform_to(frame)
    except Exception as error:  # astropy's frames raise various types
        raise InputError(f"the sky frame {name!r} needs more than a direction: use fk5, icrs, galactic, ...") from error


def convert_frame(
    lon: ArrayLike, lat: ArrayLike, frame: Any, to: Any, mjd: float = J2000_MJD
) -> tuple[Floats, Floats]:
    """Convert longitudes and latitudes in degrees between astropy frames, for an observation at ``mjd``.

    FK5, FK4, galactic and ecliptic coordinates are converted as in SAOImage DS9, other frames by astropy.
    """
    lon, lat = np.asarray(lon, float), np.asarray(lat, float)
    if frame.is_equivalent_frame(to):
        return lon, lat
    from astropy.coordinates import FK4, FK4NoETerms

    for each in (frame, to):
        if isinstance(each, FK4 | FK4NoETerms):
            mjd = float(each.obstime.mjd)
    turn, turn_to = _turn_from_icrs(frame, mjd), _turn_from_icrs(to, mjd)
    if turn is None:
        middle, turn = _middle(frame, mjd)
        lon, lat = _by_astropy(lon, lat, frame, middle)
    if turn_to is None:
        middle, turn_to = _middle(to, mjd)
        return _by_astropy(*_turned(lon, lat, turn_to @ turn.T), middle, to)
    return _turned(lon, lat, turn_to @ turn.T)


def _middle(frame: Any, mjd: float) -> tuple[Any, Floats]:
    """Return the frame through which astropy converts, FK5 (J2000) for FK4, else ICRS, and its rotation from ICRS."""
    from astropy.coordinates import FK4, FK5, ICRS, FK4NoETerms

    if isinstance(frame, FK4 | FK4NoETerms | FK5):
        return FK5(), _turn_to_fk5(mjd)
    return ICRS(), np.eye(3)


def _turn_to_fk5(mjd: float) -> Floats:
    """Return the rotation matrix from ICRS to FK5 (J2000) at a date."""
    import erfa

    ra, dec, *_ = erfa.hfk5z([0, np.pi / 2, 0], [0, 0, np.pi / 2], 2400000.5, mjd)
    turn: Floats = erfa.s2c(ra, dec).T
    return turn


def _turn_from_icrs(frame: Any, mjd: float) -> Floats | None:
    """Return the rotation from ICRS to a frame that DS9 reaches through FK5 (J2000), at ``mjd``; None for others."""
    import erfa
    from astropy.coordinates import FK5, ICRS, BarycentricMeanEcliptic, Galactic

    if frame.is_equivalent_frame(ICRS()):
        return np.eye(3)
    if isinstance(frame, Galactic):
        return np.asarray(_GALACTIC @ _turn_to_fk5(mjd))
    if frame.is_equivalent_frame(FK5()):
        return _turn_to_fk5(mjd)
    if isinstance(frame, BarycentricMeanEcliptic):
        equinox = frame.equinox.tt.jd1, frame.equinox.tt.jd2
        return np.asarray(erfa.rx(erfa.obl06(*equinox), erfa.pmat06(*equinox)) @ _turn_to_fk5(mjd))
    return None


def _turned(lon: Floats, lat: Floats, matrix: Floats) -> tuple[Floats, Floats]:
    """Rotate directions in degrees by a matrix."""
    import erfa

    lon, lat = erfa.c2s(erfa.rxp(matrix, erfa.s2c(np.radians(lon), np.radians(lat))))
    return np.degrees(lon) % 360, np.degrees(lat)


def _by_astropy(lon: Floats, lat: Floats, frame: Any, to: Any) -> tuple[Floats, Floats]:
    """Convert directions in degrees with astropy."""
    if frame.is_equivalent_frame(to):
        return lon, lat
    from astropy.coordinates import SkyCoord

    try:
        # With merged attributes the conversion from FK4 to FK5 would end in FK5 of B1950.
        found = SkyCoord(lon, lat, unit="deg", frame=frame).transform_to(to, merge_attributes=False).spherical
    except ValueError as error:
        raise InputError(f"position is off the sky: {error}") from None
    return np.asarray(found.lon.deg), np.asarray(found.lat.deg)


def towards(lon1: Floats, lat1: Floats, lon2: Floats, lat2: Floats) -> tuple[Floats, Floats]:
    """Return the angular distance from the first point to the second, and its direction east of north, in degrees."""
    lat1, lat2 = np.radians(lat1), np.radians(lat2)
    step = np.radians(lon2 - lon1)
    east = np.cos(lat2) * np.sin(step)
    north = np.cos(lat1) * np.sin(lat2) - np.sin(lat1) * np.cos(lat2) * np.cos(step)
    ahead = np.sin(lat1) * np.sin(lat2) + np.cos(lat1) * np.cos(lat2) * np.cos(step)
    return np.degrees(np.arctan2(np.hypot(east, north), ahead)), np.degrees(np.arctan2(east, north))
