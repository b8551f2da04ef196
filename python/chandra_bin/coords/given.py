"""Coordinates in the forms users have: an `ImageCoords`, a FITS header, an astropy WCS."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

from chandra_bin.errors import InputError

from .wcs import ImageCoords


class HeaderHolder(Protocol):
    """An ``astropy.wcs.WCS``."""

    def to_header(self, *args: Any, **options: Any) -> Any:
        """Return the FITS header of the coordinates."""


class FitsHeader(Protocol):
    """An ``astropy.io.fits.Header``."""

    @property
    def cards(self) -> Any:
        """The cards of the header."""


# The coordinates of an image.
CoordsLike: TypeAlias = ImageCoords | Mapping[str, Any] | FitsHeader | HeaderHolder


def as_coords(given: CoordsLike, name: str = "coords", shape: tuple[int, int] | None = None) -> ImageCoords:
    """Return the coordinates of an image from an `ImageCoords`, a FITS header or a celestial `astropy.wcs.WCS`.

    ``shape`` (ny, nx) is for headers and WCS without the image size. An astropy WCS has no physical coordinates (sky
    pixels). Raises `InputError` for other types, and for a WCS with distortion tables, which a header cannot contain.
    """
    if isinstance(given, ImageCoords):
        coords = given
    elif isinstance(given, Mapping) or hasattr(given, "cards"):
        from astropy.io.fits import Header

        coords = ImageCoords(given if isinstance(given, Header) else Header(given))
    elif hasattr(given, "to_header") and hasattr(given, "has_celestial"):
        coords = _of_wcs(given, name)
    else:
        raise InputError(f"{name} is of the type {type(given).__name__}: give an ImageCoords, a FITS header or an "
                         "astropy WCS")
    return coords if shape is None else coords.with_shape(shape)


def coords_of_image(given: Any, name: str, shape: tuple[int, int]) -> ImageCoords | None:
    """Return the coordinates from the header or WCS of an image; None if it has none, or no sky coordinates."""
    if given is None or (hasattr(given, "has_celestial") and not given.has_celestial):
        return None
    return as_coords(given, f"the WCS of {name}", shape)


def _of_wcs(wcs: Any, name: str) -> ImageCoords:
    """Return the coordinates of an astropy WCS."""
    if not wcs.has_celestial:
        raise InputError(f"{name} has no celestial axes: give a celestial WCS")
    if any(getattr(wcs, table) is not None for table in ("cpdis1", "cpdis2", "det2im1", "det2im2")):
        raise InputError(f"{name} has distortion tables, which are not supported: give a WCS without them")
    celestial = wcs.celestial
    header = celestial.to_header(relax=True)
    if celestial.pixel_shape is not None:
        header["NAXIS1"], header["NAXIS2"] = celestial.pixel_shape
    return ImageCoords(header)
