"""Coordinates of an image: array (pixel centres at whole numbers from 0), physical (sky pixels) and sky.

The one module that knows the offsets between them: FITS pixel = array + 1, and physical coordinates come from
CRVALnP / CRPIXnP / CDELTnP or LTVn / LTMn_n.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.wcs import WCS

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ImageCoords:
    """The coordinate systems that an image's header defines."""

    header: "Header"

    @cached_property
    def physical(self) -> tuple[Floats, Floats] | None:
        """(offset, scale), each (x, y): physical = offset + scale * array. None where the header has none."""
        header = self.header
        try:
            if "CDELT1P" in header or "CRVAL1P" in header:
                crval = [float(header[f"CRVAL{n}P"]) for n in (1, 2)]
                crpix = [float(header.get(f"CRPIX{n}P", 0.5)) for n in (1, 2)]
                scale = [float(header.get(f"CDELT{n}P", 1.0)) for n in (1, 2)]
                offset = [crval[i] + (1.0 - crpix[i]) * scale[i] for i in (0, 1)]
            elif "LTM1_1" in header or "LTV1" in header:
                ltm = [float(header.get(f"LTM{n}_{n}", 1.0)) for n in (1, 2)]
                ltv = [float(header.get(f"LTV{n}", 0.0)) for n in (1, 2)]
                scale = [1.0 / m for m in ltm]
                offset = [(1.0 - ltv[i]) / ltm[i] for i in (0, 1)]
            else:
                return None
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise InputError(f"the header's physical coordinates cannot be used: {error}") from None
        return np.array(offset), np.array(scale)

    @cached_property
    def sky(self) -> "WCS | None":
        """The celestial WCS, or None where the header has none."""
        if not str(self.header.get("CTYPE1", "")).startswith(("RA", "DEC", "GLON", "GLAT", "ELON", "ELAT")):
            return None
        from astropy.wcs import WCS

        return WCS(self.header).celestial

    def image_to_physical(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """Array coordinates to physical ones. Raises `InputError` where the header has no physical coordinates."""
        if self.physical is None:
            raise InputError("the header has no physical coordinates (CRVAL1P ... or LTV1, LTM1_1)")
        offset, scale = self.physical
        return offset[0] + scale[0] * np.asarray(x, float), offset[1] + scale[1] * np.asarray(y, float)

    def image_to_sky(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """Array coordinates to longitude and latitude in degrees, in the image's own frame."""
        if self.sky is None:
            raise InputError("the header has no sky coordinates (CTYPE1, CRVAL1, ...)")
        lon, lat = self.sky.all_pix2world(np.asarray(x, float), np.asarray(y, float), 0)
        return lon, lat

    @property
    def lower_left_edge(self) -> tuple[float, float]:
        """Physical coordinates of the lower left edge of the first pixel (contbin's minx, miny)."""
        x, y = self.image_to_physical(-0.5, -0.5)
        return float(x), float(y)

    @property
    def pixel_area_arcsec2(self) -> float:
        """Area of a pixel on the sky at the reference point, in arcsec^2."""
        if self.sky is None:
            raise InputError("the header has no sky coordinates (CTYPE1, CRVAL1, ...)")
        from astropy.wcs.utils import proj_plane_pixel_area

        return float(proj_plane_pixel_area(self.sky)) * 3600.0**2
