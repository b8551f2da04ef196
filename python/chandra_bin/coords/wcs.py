"""Coordinates of an image: array (pixel centres at whole numbers from 0), physical (sky pixels) and sky.

Only this module knows the offsets between them: FITS pixel = array + 1, and physical coordinates follow from
CRVALnP / CRPIXnP / CDELTnP or LTVn / LTMn_n. Sky coordinates are degrees in the image's own frame or in any frame that
astropy knows by name.

FK5 differs from ICRS by a fixed rotation of about 0.03 arcsec and a slow spin. SAOImage DS9 evaluates the spin at the
date of the observation (0.006 arcsec in 2008); astropy ignores it. This module follows DS9, with ``erfa.hfk5z``.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from chandra_bin._checks.array_types import Floats
from chandra_bin.errors import InputError
from chandra_bin.fits.headers import is_number
from chandra_bin.fits.sky_keywords import for_astropy, from_columns, sky_axes, unusable, without_sky

from .frames import FIRST_JULIAN, J2000_MJD, convert_frame, sky_frame, towards

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.wcs import WCS

# Two physical systems are the same if they agree this well, this far around the tangent point.
_SAME_PX = 0.01
_FIELD = 4096.0
_COLUMN_NAME = re.compile(r"TTYPE([1-9]\d{0,2})")


@dataclass(frozen=True, eq=False)
class Physical:
    """Physical coordinates of an image: physical = offset + matrix @ array, in the order (x, y)."""

    offset: Floats
    matrix: Floats

    @property
    def turned(self) -> bool:
        """Whether the image axes are rotated or skewed against the physical axes."""
        return bool(self.matrix[0, 1] or self.matrix[1, 0])

    @property
    def scale(self) -> Floats:
        """Physical pixels per image pixel along x and y. Raises `InputError` if the axes are rotated."""
        if self.turned:
            raise InputError("the header's physical coordinates are rotated against the image (LTM1_2, LTM2_1)")
        return self.matrix.diagonal()


@dataclass(frozen=True, repr=False)
class ImageCoords:
    """The coordinate systems that an image header defines: array, physical and sky.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of an image, or of an event list's columns with `from_events`.

    Raises
    ------
    InputError
        If ``header`` is not a FITS header. Methods raise it if the header lacks the coordinates they need.

    Notes
    -----
    Array coordinates are (x, y) with 0 at the centre of the first pixel. Instances may be shared by threads.
    """

    header: Header

    def __post_init__(self) -> None:
        if hasattr(self.header, "to_header") or not hasattr(self.header, "get"):
            raise InputError(f"the header is of the type {type(self.header).__name__}: give a FITS header, such as "
                             "WCS.to_header()")

    def __repr__(self) -> str:
        kinds = [str(self.header.get(f"CTYPE{n}", "")) for n in (1, 2)]
        size = f"{self.header.get('NAXIS1', '?')} x {self.header.get('NAXIS2', '?')} pixels"
        return f"<ImageCoords: {size}, sky {' '.join(kinds) if all(kinds) else 'unknown'}>"

    @classmethod
    def from_events(cls, header: Header, x: str = "x", y: str = "y") -> ImageCoords:
        """Return the coordinates of an event list, or of a region table, from the keywords of two columns.

        They are those of an image with pixels of one sky pixel: physical = FITS pixel. The sky coordinates come from
        the column keywords (``fits/sky_keywords.py``). Raises `InputError` if a column does not exist.
        """
        columns = {str(header[key]).strip().lower(): int(match[1])
                   for key in header if (match := _COLUMN_NAME.fullmatch(key))}
        if x.lower() not in columns or y.lower() not in columns:
            raise InputError(f"the table has no columns {x} and {y}, only {', '.join(columns)}")
        made = header.__class__()
        for key, value in from_columns(header, (columns[x.lower()], columns[y.lower()])).items():
            made[key] = value
        for axis in (1, 2):
            made[f"CRVAL{axis}P"] = made[f"CRPIX{axis}P"] = made[f"CDELT{axis}P"] = 1.0
            made[f"NAXIS{axis}"] = round(2 * float(made.get(f"CRPIX{axis}", 1)))
        return cls(made)

    def __getstate__(self) -> dict[str, Any]:
        return {"header": self.header}  # cached values are recomputed; they cannot be pickled

    def with_shape(self, shape: tuple[int, int]) -> ImageCoords:
        """Return the coordinates with the image size (ny, nx), for headers that lack NAXIS1 and NAXIS2."""
        if "NAXIS1" in self.header and "NAXIS2" in self.header:
            return self
        header = self.header.copy()
        header["NAXIS1"], header["NAXIS2"] = shape[1], shape[0]
        return ImageCoords(header)

    @cached_property
    def physical(self) -> Physical | None:
        """The conversion from array to physical coordinates, or None if the header has none."""
        header = self.header
        try:
            if "CDELT1P" in header or "CRVAL1P" in header:
                crval = [float(header[f"CRVAL{n}P"]) for n in (1, 2)]
                crpix = [float(header.get(f"CRPIX{n}P", 0.5)) for n in (1, 2)]
                scale = [float(header.get(f"CDELT{n}P", 1.0)) for n in (1, 2)]
                offset = np.array([crval[i] + (1.0 - crpix[i]) * scale[i] for i in (0, 1)])
                matrix = np.diag(scale)
            elif any(key in header for key in ("LTM1_1", "LTM1_2", "LTM2_1", "LTV1")):
                across = [float(header.get(key, 0.0)) for key in ("LTM1_2", "LTM2_1")]
                ltm = [float(header.get(f"LTM{n}_{n}", 0.0 if any(across) else 1.0)) for n in (1, 2)]
                ltv = [float(header.get(f"LTV{n}", 0.0)) for n in (1, 2)]
                if any(across):
                    matrix = np.linalg.inv([[ltm[0], across[0]], [across[1], ltm[1]]])
                    offset = matrix @ (1.0 - np.array(ltv))
                else:
                    matrix = np.diag([1.0 / m for m in ltm])
                    offset = np.array([(1.0 - ltv[i]) / ltm[i] for i in (0, 1)])
            else:
                return None
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise InputError(f"the header's physical coordinates cannot be used: {error}") from None
        if not (np.isfinite(offset).all() and np.isfinite(matrix).all()) or np.linalg.det(matrix) == 0:
            raise InputError(f"the header's physical coordinates cannot be used: scale {matrix.diagonal().tolist()}, "
                             f"offset {offset.tolist()}")
        return Physical(offset, matrix)

    @property
    def sky(self) -> WCS | None:
        """The celestial WCS, or None if the header has none.

        Each thread has its own copy, as astropy's WCS is not thread-safe.
        """
        local = self._local
        if not hasattr(local, "sky"):
            local.sky = self._make_sky()
        made: WCS | None = local.sky
        return made

    @cached_property
    def _local(self) -> threading.local:
        """The copies of each thread."""
        return threading.local()

    def _make_sky(self) -> WCS | None:
        """Return a new celestial WCS, or None."""
        if sky_axes(self.header) is None:
            return None
        from astropy.wcs import WCS

        try:
            made = WCS(for_astropy(self.header)).celestial
            if made.naxis != 2:
                raise ValueError(f"they have {made.naxis} sky axes, not 2")
            return made
        except InputError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split()).rpartition(": ")[2] or type(error).__name__
            keys = [key for key in self.header if re.fullmatch(r"(CRVAL|CDELT)[12]|(PC|CD)[12]_[12]", key)]
            values = "" if "CTYPE" in reason else f" ({', '.join(f'{key} {self.header[key]!r}' for key in keys)})"
            raise unusable(f"{reason.rstrip('.')}{values}") from error

    def without_sky(self) -> ImageCoords:
        """Return the same pixels and physical coordinates without sky coordinates."""
        return ImageCoords(without_sky(self.header))

    def need_sky(self) -> WCS:
        """Return the celestial WCS; raise `InputError` if the header has none."""
        if self.sky is None:
            raise InputError("the header has no sky coordinates (CTYPE1, CRVAL1, ...)")
        return self.sky

    def need_physical(self) -> Physical:
        """Return `physical`; raise `InputError` if the header has none."""
        if self.physical is None:
            raise InputError("the header has no physical coordinates (CRVAL1P ... or LTV1, LTM1_1)")
        return self.physical

    @cached_property
    def frame(self) -> Any:
        """The astropy frame of the image's sky coordinates.

        It follows from CTYPE, RADESYS, EQUINOX (EPOCH) and the date (FITS standard 4.0, section 8.3). Raises
        `InputError` for unknown frames.
        """
        from astropy.coordinates import FK4, FK5, ICRS, BarycentricMeanEcliptic, FK4NoETerms, Galactic
        from astropy.time import Time

        sky = self.need_sky()
        axis, system, equinox = sky.wcs.ctype[sky.wcs.lng][:4], sky.wcs.radesys.strip(), sky.wcs.equinox
        if axis == "GLON":
            return Galactic()
        if np.isnan(equinox):
            equinox = 1950.0 if system.startswith("FK4") else 2000.0
        if axis == "ELON" and system in ("", "ICRS", "FK5") and equinox >= FIRST_JULIAN:
            return BarycentricMeanEcliptic(equinox=Time(equinox, format="jyear"))
        if axis == "RA--" and system in ("FK4", "FK4-NO-E"):
            equinox = Time(equinox, format="byear")
            observed = equinox if self._mjd is None else Time(self._mjd, format="mjd")
            return (FK4 if system == "FK4" else FK4NoETerms)(equinox=equinox, obstime=observed)
        if axis == "RA--" and system == "FK5":
            return FK5(equinox=Time(equinox, format="jyear"))
        if axis == "RA--" and system == "ICRS":
            return ICRS()
        raise InputError("the header's sky coordinates are in an unknown frame (RADESYS, EQUINOX): "
                         f"{axis.rstrip('-')} of {system or 'no RADESYS'}, equinox {equinox:g}")

    @cached_property
    def equatorial(self) -> str:
        """The name of the frame for right ascensions: the image's own if it is FK5 or FK4, else ``icrs``."""
        name = str(self.frame.name)
        return name if name in ("fk5", "fk4") and self.frame.is_equivalent_frame(self._frame(name)) else "icrs"

    @property
    def equinox_and_date(self) -> dict[str, float]:
        """EQUINOX and MJD-OBS as header keywords, those that the image has."""
        found = {"EQUINOX": float(self.need_sky().wcs.equinox), "MJD-OBS": self._mjd}
        return {key: value for key, value in found.items() if value is not None and np.isfinite(value)}

    @cached_property
    def mjd(self) -> float:
        """The date of the observation, MJD; J2000 if the header has none."""
        return J2000_MJD if self._mjd is None else self._mjd

    @cached_property
    def _mjd(self) -> float | None:
        """The date of the observation, MJD, or None."""
        for key in ("MJD-OBS", "MJD_OBS"):
            value = self.header.get(key)
            if is_number(value):
                return float(value)
        from astropy.time import Time

        try:
            return float(Time(self.header["DATE-OBS"]).mjd)
        except (KeyError, ValueError):
            return None

    def image_to_physical(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """Convert array to physical coordinates, any shape. Raises `InputError` if the header has none."""
        physical = self.need_physical()
        x, y, offset = np.asarray(x, float), np.asarray(y, float), physical.offset
        if physical.turned:
            (xx, xy), (yx, yy) = physical.matrix
            return offset[0] + xx * x + xy * y, offset[1] + yx * x + yy * y
        scale = physical.scale
        return offset[0] + scale[0] * x, offset[1] + scale[1] * y

    def physical_to_image(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """Convert physical to array coordinates, any shape. Raises `InputError` if the header has none."""
        physical = self.need_physical()
        x, y = np.asarray(x, float) - physical.offset[0], np.asarray(y, float) - physical.offset[1]
        if physical.turned:
            (xx, xy), (yx, yy) = np.linalg.inv(physical.matrix)
            return xx * x + xy * y, yx * x + yy * y
        scale = physical.scale
        return x / scale[0], y / scale[1]

    def image_to_sky(
        self, x: ArrayLike, y: ArrayLike, frame: str | None = None
    ) -> tuple[Floats, Floats]:
        """Convert array coordinates to longitude and latitude in degrees, in ``frame`` (None: the image's own)."""
        sky = self.need_sky()
        world = sky.all_pix2world(np.asarray(x, float), np.asarray(y, float), 0)
        lon, lat = world[sky.wcs.lng], world[sky.wcs.lat]
        return convert_frame(lon, lat, self.frame, self._frame(frame), self.mjd)

    def sky_to_image(
        self, lon: ArrayLike, lat: ArrayLike, frame: str | None = None
    ) -> tuple[Floats, Floats]:
        """Convert longitude and latitude in degrees, in ``frame`` (None: the image's own), to array coordinates.

        The result is NaN more than 90 degrees from the tangent point, and where the image's distortion has no inverse.
        """
        sky = self.need_sky()
        lon, lat = convert_frame(lon, lat, self._frame(frame), self.frame, self.mjd)
        world = (lon, lat) if sky.wcs.lng < sky.wcs.lat else (lat, lon)
        if not sky.has_distortion:
            x, y = sky.wcs_world2pix(*world, 0)
            return x, y
        return _undistorted(sky, *world)

    def physical_to_sky(
        self, x: ArrayLike, y: ArrayLike, frame: str | None = None
    ) -> tuple[Floats, Floats]:
        """Convert physical coordinates to longitude and latitude in degrees, in ``frame`` (None: the image's own)."""
        return self.image_to_sky(*self.physical_to_image(x, y), frame)

    def sky_to_physical(
        self, lon: ArrayLike, lat: ArrayLike, frame: str | None = None
    ) -> tuple[Floats, Floats]:
        """Convert longitude and latitude in degrees, in ``frame`` (None: the image's own), to physical coordinates."""
        return self.image_to_physical(*self.sky_to_image(lon, lat, frame))

    def scale_and_north(
        self, x: ArrayLike, y: ArrayLike, frame: str | None = None
    ) -> tuple[Floats, Floats]:
        """Return degrees per pixel, and the angle of +y from north through east in degrees, at array coordinates.

        Both are measured along a step of one pixel in y, as in SAOImage DS9.
        """
        x, y = np.asarray(x, float), np.asarray(y, float)
        here = self.image_to_sky(x, y, frame)
        above = self.image_to_sky(x, y + 1, frame)
        return towards(*here, *above)

    @property
    def ds9_centre(self) -> tuple[float, float]:
        """Array coordinates of the point where DS9 measures the scale and the north direction of an image.

        It is the reference pixel of the sky if the header lacks the image size (see `with_shape`).
        """
        try:
            size = self.header["NAXIS1"], self.header["NAXIS2"]
        except KeyError:
            x, y = self.need_sky().wcs.crpix - 1
            return float(x), float(y)
        return size[0] / 2 - 1, size[1] / 2 - 1

    @property
    def lower_left_edge(self) -> tuple[float, float]:
        """Physical coordinates of the lower left edge of the first pixel (contbin's minx, miny)."""
        x, y = self.image_to_physical(-0.5, -0.5)
        return float(x), float(y)

    @property
    def pixel_area_arcsec2(self) -> float:
        """Area of the pixel at the tangent point (CRPIX), in arcsec^2."""
        from astropy.wcs.utils import proj_plane_pixel_area

        return float(proj_plane_pixel_area(self.need_sky())) * 3600.0**2

    def _frame(self, name: str | None) -> Any:
        """Return the named frame; the image's own for None."""
        return self.frame if name is None else sky_frame(name, self._mjd)


def _undistorted(sky: WCS, first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Return array coordinates of sky positions for a WCS with distortion, by iteration; NaN without a solution."""
    from astropy.wcs import NoConvergence

    first, second = np.broadcast_arrays(first, second)
    pixels = np.full((first.size, 2), np.nan)
    # A position off the projection would end the search for all positions.
    reached = np.isfinite(sky.wcs_world2pix(first.ravel(), second.ravel(), 0)).all(axis=0)
    if reached.any():
        try:
            found = np.column_stack(sky.all_world2pix(first.ravel()[reached], second.ravel()[reached], 0))
        except NoConvergence as error:
            found = np.array(error.best_solution, float)
            for lost in (error.divergent, error.slow_conv):
                if lost is not None:
                    found[lost] = np.nan
        pixels[reached] = found
    return pixels[:, 0].reshape(first.shape), pixels[:, 1].reshape(first.shape)


def physical_agree(events: ImageCoords, image: ImageCoords) -> bool:
    """Return whether physical coordinates of both mean the same sky positions, within 0.01 pixel over 8192 pixels.

    Raises `InputError` if one has no sky coordinates.
    """
    events.need_sky()
    image.need_sky()
    if image.physical is None:
        return False
    x0, y0 = events.image_to_physical(*(events.need_sky().wcs.crpix - 1))
    x, y = (x0 + _FIELD * np.array([0, -1, 1, -1, 1])), (y0 + _FIELD * np.array([0, -1, -1, 1, 1]))
    there = image.sky_to_physical(*events.physical_to_sky(x, y, "icrs"), "icrs")
    apart = np.hypot(there[0] - x, there[1] - y)
    return bool((apart <= _SAME_PX).all())
