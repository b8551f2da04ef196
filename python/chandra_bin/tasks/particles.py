"""The map of particles of an image: the distribution of its particle background."""

from collections.abc import Sequence

import numpy as np

from chandra_bin._checks.array_types import Floats
from chandra_bin.acis import geometry as acis
from chandra_bin.coords.grids import Grid, GridAxis
from chandra_bin.coords.tangent_plane import reproject, tangent_point
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError
from chandra_bin.events.combined import with_sky
from chandra_bin.events.reader import Events, open_events, read_events
from chandra_bin.exposure.ancillary import find_ancillary
from chandra_bin.exposure.maps import View, chip_exposures
from chandra_bin.fits.virtual import Name, VirtualFile, named_files
from chandra_bin.sources.background import PARTICLE_EV

from ._blanksky import checked_chips
from ._observed import PLACING, observed
from .inputs import read_image


def particle_map(image: Name, events: Sequence[Name], *, threads: int = 1) -> Floats:
    """Return the distribution of particles over an image, (ny, nx): their expected counts at 9 - 12 keV.

    Parameters
    ----------
    image : an image on a tangent plane, with physical coordinates.
    events : virtual names of the events of its observations, with the good times of the image and no
        filter of energies. Their aspect solution, bad pixels and mask are found in their folder.

    The counts of each chip at 9 - 12 keV are distributed as its exposure time, without vignetting, so that each chip of
    each observation has its own rate. Raises `InputError`, also where no events are of 9 - 12 keV.
    """
    pixels = read_image(image)
    coords = ImageCoords(pixels.header)
    grid = _grid(pixels.data.shape, coords)
    total = np.zeros(grid.shape)
    names = named_files(events)
    for name in names:
        _add(total, name, coords, grid, threads)
    if not total.any():
        raise InputError(f"{', '.join(map(str, names))}: no event of 9 - 12 keV, which measure particles, is on "
                         f"{pixels.path}: do not filter energies")
    return total


def _add(total: Floats, name: VirtualFile, coords: ImageCoords, grid: Grid, threads: int) -> None:
    """Add the particles of an observation."""
    with open_events(name) as file:
        there = [column for column in PLACING if column in file.hdu.columns]
    columns = list(dict.fromkeys(["x", "y", "energy", "ccd_id", *there]))
    read = read_events(name, columns)
    point = tangent_point(coords, read.coords)
    header = read.coords.header.copy()
    header["CRVAL1"], header["CRVAL2"] = point
    plane = ImageCoords(header)
    x, y = reproject(read.coords, plane, read["x"], read["y"])
    moved = Events({**read.columns, "x": x, "y": y},
                   with_sky(read.header, plane, point, grid, moved=True), read.good_times, read.file)
    how = observed(moved, find_ancillary(name.file, read.header))
    chip = checked_chips(read["ccd_id"], name)
    high = (read["energy"] >= PARTICLE_EV[0]) & (read["energy"] < PARTICLE_EV[1])
    counts = np.bincount(chip[high], minlength=acis.CHIP_COUNT)
    pixel_area = grid.x.step * grid.y.step
    whole = {view.chip: view.livetime_s * float(view.response.sum(dtype=np.float64))
             * abs(float(np.linalg.det(view.placement.matrix))) for view in how.views if isinstance(view, View)}
    for part in chip_exposures(how.views, grid, how.axis, slope=0.0, threads=threads):
        if part.chip in whole and whole[part.chip] > 0:
            total[part.window] += counts[part.chip] * part.seconds * (pixel_area / whole[part.chip])


def _grid(shape: tuple[int, ...], coords: ImageCoords) -> Grid:
    scale = coords.need_physical().scale
    x, y = coords.lower_left_edge
    return Grid(GridAxis(x, float(scale[0]), shape[1]), GridAxis(y, float(scale[1]), shape[0]))
