"""Masks: the pixels of an image inside a region."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.arrays import as_shape
from chandra_bin._kernels._rasterize import rasterize_shapes
from chandra_bin.coords.given import CoordsLike, as_coords
from chandra_bin.errors import InputError, warn

from ._convert import convert_region
from ._given import RegionLike, as_region
from ._shapes import AREAS, IMAGE, PHYSICAL, Component, Region

FlatShapes = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]

_KIND_NUMBERS = {kind: number for number, kind in enumerate(AREAS)}


def region_mask(region: "RegionLike", coords: "CoordsLike", shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of a region on an image: True where the centre of a pixel is inside.

    Parameters
    ----------
    region : Region, str, Path or astropy region(s)
        A region of `read_regions` or `chandra_bin.regions.parse_regions`, the name of a region file, or a Region or
        Regions of astropy's ``regions``, in pixels or in the sky.
    coords : ImageCoords, FITS header or astropy WCS
        The coordinates of the image.
    shape : (ny, nx)
        The shape of the image.

    Returns
    -------
    ndarray of bool (ny, nx)
        Edges count as inside, as in CIAO. Regions in physical coordinates are evaluated in these. If CIAO and DS9
        select different pixels, a `ChandraBinWarning` gives their number.

    Raises
    ------
    InputError
        For regions without area (texts, lines), and for shapes that cannot be converted to the image's pixels.

    Examples
    --------
    >>> from chandra_bin import region_mask
    >>> from regions import CirclePixelRegion, PixCoord
    >>> int(region_mask(CirclePixelRegion(PixCoord(5, 5), 2), {}, (11, 11)).sum())
    13
    """
    coords, shape = as_coords(coords), as_shape(shape)
    region = as_region(region, coords)
    if not any(True for _ in region.areas):
        raise InputError(f"{region.source}: holds no shape that covers pixels")
    physical = None
    if region.coords is not None:
        region = convert_region(region, coords.with_shape(shape), PHYSICAL if coords.physical else IMAGE)
    if all(area.system == PHYSICAL and (area.unit == PHYSICAL or not area.lengths) for area in region.areas):
        physical = coords.physical
    if physical is not None and not physical.turned:
        offset, scale = physical.offset, physical.scale
        axes = (float(offset[0]), float(scale[0]), float(offset[1]), float(scale[1]))
    else:
        region = convert_region(region, coords.with_shape(shape), IMAGE)
        axes = (1.0, 1.0, 1.0, 1.0)
    try:
        mask = _mask(region, axes, shape)
    except ValueError as error:  # numbers outside the kernel's range
        raise InputError(f"{region.source}: {error}") from None
    if region.other is not None:
        warn_of_two_readings(region, mask != _mask(region.other, axes, shape), "pixels")
    return mask


def warn_of_two_readings(region: Region, differ: NDArray[np.bool_], of_what: str) -> None:
    """Warn how many pixels or events are in the region for only one of CIAO and DS9."""
    if differ.any():
        warn(f"{region.source}: CIAO and DS9 disagree about {np.count_nonzero(differ)} {of_what}: CIAO subtracts an "
             "excluded shape from the shape before it, DS9 from all shapes. The file is read as "
             f"{'DS9' if region.cuts else 'CIAO'} reads it; choose by --semantics ciao or ds9 "
             "(in Python: semantics), or write A*!C, B*!C")


def _mask(region: Region, axes: tuple[float, float, float, float], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of components and cuts."""
    mask = _components_mask(region.components, axes, shape)
    if region.cuts:
        mask &= ~_components_mask([(cut,) for cut in region.cuts], axes, shape)
    return mask


def _components_mask(components: Sequence[Component], axes: tuple[float, float, float, float],
                     shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of components."""
    mask = np.zeros(shape, np.uint8)
    x_first, x_step, y_first, y_step = axes
    rasterize_shapes(*flatten(components), x_first=x_first, x_step=x_step, y_first=y_first, y_step=y_step, mask=mask)
    return mask.view(bool)


def flatten(components: Sequence[Component]) -> FlatShapes:
    """Return components for the kernels: kinds, complements, params, param_offsets, component_offsets."""
    shapes = [shape for component in components for shape in component]
    params = [np.concatenate([s.points.ravel(), s.lengths, s.angles]) for s in shapes]
    return (
        np.array([_KIND_NUMBERS[s.kind] for s in shapes], np.uint8),
        np.array([s.complement for s in shapes], np.uint8),
        np.concatenate([np.empty(0), *params]),
        _offsets(map(len, params)),
        _offsets(map(len, components)),
    )


def _offsets(lengths: "map[int]") -> NDArray[np.int64]:
    """Return cumulative offsets, starting at 0."""
    return np.concatenate([[0], np.cumsum([*lengths], dtype=np.int64)]).astype(np.int64)
