"""The events inside a region."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.arrays import as_coordinates, as_threads
from chandra_bin._kernels import _points_in_region
from chandra_bin.coords.given import CoordsLike
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError

from ._convert import convert_region
from ._given import RegionLike, as_region, coords_if_given
from ._mask import flatten, warn_of_two_readings
from ._shapes import PHYSICAL, Component, Region


def points_in_region(region: RegionLike, x: ArrayLike, y: ArrayLike, *, coords: CoordsLike | None = None,
                     threads: int = 1) -> NDArray[np.bool_]:
    """Return which events are inside a region.

    Parameters
    ----------
    region, coords
        As in `region_mask`; ``coords`` are those of the events, needed for regions in other than physical coordinates.
    x, y : array_like (n,)
        Physical (sky pixel) coordinates of the events.
    threads : int

    Returns
    -------
    ndarray of bool (n,)
        Edges count as inside, as in CIAO; NaN and infinite positions are outside. If CIAO and DS9 select different
        events, a `ChandraBinWarning` gives their number.

    Raises
    ------
    InputError
        For regions without area (texts, lines), and for missing ``coords``.

    Examples
    --------
    >>> from chandra_bin import points_in_region
    >>> from chandra_bin.regions import parse_regions
    >>> points_in_region(parse_regions("circle(10,10,5)"), [10.0, 20.0], [12.0, 12.0]).tolist()
    [True, False]
    """
    xs, ys = as_coordinates(x, y)
    coords = coords_if_given(coords)
    region = _physical(as_region(region, coords), coords)
    inside = _inside(region, xs, ys, threads)
    if region.other is not None:
        warn_of_two_readings(region, inside != _inside(region.other, xs, ys, threads), "events")
    return inside


def region_labels(regions: Sequence[RegionLike], x: ArrayLike, y: ArrayLike, *, coords: CoordsLike | None = None,
                  threads: int = 1) -> NDArray[np.int32]:
    """Return the index of the first of ``regions`` that contains each event, (n,) int32; -1 for none.

    Other parameters and errors are those of `points_in_region`.

    Examples
    --------
    >>> from chandra_bin import region_labels
    >>> from chandra_bin.regions import parse_regions
    >>> core, ring = parse_regions("circle(10,10,5)"), parse_regions("annulus(10,10,5,20)")
    >>> region_labels([core, ring], [10.0, 20.0, 90.0], [12.0, 12.0, 90.0]).tolist()
    [0, 1, -1]
    """
    xs, ys = as_coordinates(x, y)
    coords = coords_if_given(coords)
    if not isinstance(regions, Iterable) or isinstance(regions, str | Region):
        raise InputError(f"regions is of the type {type(regions).__name__}: give several regions, [a, b]")
    physical = [_physical(as_region(region, coords), coords) for region in regions]
    # A cut of a region applies to each of its components.
    groups: list[list[Component]] = [
        [(*component, *(cut.complemented() for cut in region.cuts)) for component in region.components]
        for region in physical]
    offsets = np.concatenate([[0], np.cumsum([len(group) for group in groups], dtype=np.int64)]).astype(np.int64)
    labels = np.empty(len(xs), np.int32)
    try:
        _points_in_region.region_labels(*flatten([component for group in groups for component in group]),
                                        group_offsets=offsets, x=xs, y=ys, threads=as_threads(threads), labels=labels)
    except ValueError as error:  # numbers outside the kernel's range
        raise InputError(f"{', '.join(dict.fromkeys(region.source for region in physical))}: {error}") from None
    return labels


def _physical(region: Region, coords: ImageCoords | None) -> Region:
    """Return a region in physical coordinates."""
    areas = list(region.areas)
    if not areas:
        raise InputError(f"{region.source}: holds no shape that covers pixels")
    if all(area.system == PHYSICAL and (area.unit == PHYSICAL or not area.lengths) for area in areas):
        return region if coords is None or region.coords is None else convert_region(region, coords, PHYSICAL)
    if coords is None:
        raise InputError(f"{region.source}: is not in physical coordinates: give those of the events (coords)")
    return convert_region(region, coords, PHYSICAL)


def _inside(region: Region, x: NDArray[np.float64], y: NDArray[np.float64], threads: int) -> NDArray[np.bool_]:
    """Return which points are inside a region."""
    try:
        inside = _components(region.components, x, y, threads)
        if region.cuts:
            inside &= ~_components([(cut,) for cut in region.cuts], x, y, threads)
    except ValueError as error:  # numbers outside the kernel's range
        raise InputError(f"{region.source}: {error}") from None
    return inside


def _components(components: Sequence[Component], x: NDArray[np.float64], y: NDArray[np.float64],
                threads: int) -> NDArray[np.bool_]:
    """Return which points are inside components."""
    inside = np.empty(len(x), np.uint8)
    _points_in_region.points_in_region(*flatten(components), x=x, y=y, threads=as_threads(threads), inside=inside)
    return inside.view(bool)
