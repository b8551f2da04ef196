"""Events in chip coordinates on the sky of an observation, at random times of its dither."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin.acis import geometry as acis
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError
from chandra_bin.events.reader import open_events, read_events
from chandra_bin.exposure.ancillary import find_ancillary
from chandra_bin.exposure.maps import View
from chandra_bin.fits.virtual import VirtualFile

from ._observed import PLACING, observed

# Random numbers per event: whether its pixel was in use, its time, and its place in the pixel, x and y.
_DRAWS = 4


class SkyPlacer:
    """Puts events in chip coordinates on the sky of an observation, as CIAO's reproject_events does.

    Each event gets a random time of the chip's GTIs, with the dither of the aspect solution at that time, and a random
    place within its pixel of the chip. Events on pixels that the observation did not use (bad pixels, rows outside the
    window) are dropped, so that the blank sky has the observation's holes; reproject_events keeps them.

    Parameters
    ----------
    events : virtual name of the observation's events, with its good times.
    ancillary_of : the event file whose folder holds the aspect solution, bad pixels and mask; None: ``events``.
    seed : seed of the random numbers, which depend only on the seed, the chip and the row of an event.

    Raises
    ------
    InputError
        Where neither chip coordinates nor the header give the places of the chips.
    """

    def __init__(self, events: VirtualFile, ancillary_of: Path | None, seed: int) -> None:
        with open_events(events) as file:
            header = file.hdu.header
            there = [column for column in PLACING if column in file.hdu.columns]
        read = read_events(events, ["x", "y", *there])
        self.coords: ImageCoords = read.coords
        self.header = header
        self._seed = seed
        ancillary = find_ancillary(ancillary_of or events.file, header)
        self._views = {view.chip: view for view in observed(read, ancillary).views
                       if isinstance(view, View)}
        self._times = {chip: np.cumsum(view.dither.weight) for chip, view in self._views.items()}
        self._name = str(events)

    def draws(self, chip: int) -> np.random.Generator:
        """Return the random numbers of a chip's events, for `place`."""
        return np.random.default_rng([self._seed, chip])

    def place(self, chip: int, chipx: NDArray[Any], chipy: NDArray[Any], draw: np.random.Generator
              ) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Return sky x and y of events of a chip, (n,), and which of them are on pixels in use.

        Calls with parts of the events, in order, give the same as one call. Raises `InputError` for a chip without
        good time.
        """
        if chip not in self._views:
            raise InputError(f"{self._name}: has no good time on chip {chip}, or the place of the chip is unknown: "
                             "its blank sky cannot be placed")
        view, times = self._views[chip], self._times[chip]
        random = draw.random((len(chipx), _DRAWS))
        inside = (chipx >= 1) & (chipx <= acis.CHIP_PX) & (chipy >= 1) & (chipy <= acis.CHIP_PX)
        rows, columns = (np.clip(each, 1, acis.CHIP_PX).astype(np.intp) - 1 for each in (chipy, chipx))
        used = inside & (random[:, 0] < view.response[rows, columns])
        when = np.minimum(np.searchsorted(times, random[:, 1] * times[-1], side="right"), len(times) - 1)
        places = np.stack([chipx, chipy], axis=1) + random[:, 2:] - 0.5
        x, y = view.placement.to_sky(places).T
        return x + view.dither.x[when], y + view.dither.y[when], used
