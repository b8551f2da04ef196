"""The true responses of the simulated telescope: effective areas of places on chips, and the matrix of all of them."""

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin.acis import geometry as acis
from chandra_bin.acis.channels import PI_CHANNELS, PI_WIDTH_EV
from chandra_bin.spectral.ogip import Arf, Rmf

from . import _telescope as telescope
from ._observation import Observation
from ._photons import RESOLUTION_EV
from ._scene import DRAWN_EV, STEP_EV

# Places a side of a chip.
_PLACES = 3
# Elements of the matrix below this are left out, as CIAO's mkacisrmf does.
_LEAST = 1e-6


def response_places() -> list[tuple[float, float]]:
    """(chipx, chipy) of the places of a chip that have a response."""
    middle = (np.arange(_PLACES) + 0.5) * acis.CHIP_PX / _PLACES + 0.5
    return [(float(x), float(y)) for y in middle for x in middle]


def sky_of_place(observation: Observation, chip: int, place: tuple[float, float]) -> tuple[float, float]:
    """(RA, Dec) in degrees of a place on a chip, at the middle of the dither."""
    body = telescope.behind(telescope.chip_to_focus(chip, [place[0]], [place[1]], observation.sim_z_mm))
    vectors = observation.steady() @ (body / np.linalg.norm(body, axis=0))
    ra, dec = telescope.places(vectors)
    return float(ra[0]), float(dec[0])


def true_arf(observation: Observation, chip: int, place: tuple[float, float]) -> Arf:
    """The area with which photons of a place (chipx, chipy) are drawn: on axis, less what the mirror loses there."""
    low = _energies_ev()
    body = telescope.behind(telescope.chip_to_focus(chip, [place[0]], [place[1]], observation.sim_z_mm))
    area = telescope.area_cm2(low + STEP_EV / 2) * telescope.throughput(telescope.off_axis_arcmin(body))
    return Arf(low / 1000, (low + STEP_EV) / 1000, area, observation.livetime(chip), keywords=_about(observation))


def true_rmf(observation: Observation) -> Rmf:
    """The chance of a photon to be drawn in each channel: a Gaussian around its energy, cut into channels.

    Photons are spread evenly over a bin of energy, so this is the mean over the bin.
    """
    from scipy.special import ndtr

    low = _energies_ev()
    edges = np.arange(PI_CHANNELS + 1) * PI_WIDTH_EV

    def integral(x: Floats) -> Floats:
        """Of the Gaussian's cumulative distribution, from minus infinity; x in sigma."""
        made: Floats = x * ndtr(x) + np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
        return made

    below = [integral((edges[1:-1] - energy[:, np.newaxis]) / RESOLUTION_EV) for energy in (low, low + STEP_EV)]
    inner = (below[0] - below[1]) * RESOLUTION_EV / STEP_EV
    # What lies beyond the channels counts in the outermost ones.
    whole = np.concatenate([np.zeros((len(low), 1)), inner, np.ones((len(low), 1))], axis=1)
    matrix = np.diff(whole, axis=1)
    energies, channels = np.nonzero(matrix >= _LEAST)
    offsets = np.searchsorted(energies, np.arange(len(low) + 1))
    channel_lo = np.arange(PI_CHANNELS) * PI_WIDTH_EV / 1000
    return Rmf(low / 1000, (low + STEP_EV) / 1000, channel_lo, channel_lo + PI_WIDTH_EV / 1000, 1, offsets,
               channels.astype(np.int32), matrix[energies, channels].astype(np.float32), keywords=_about(observation))


def _energies_ev() -> NDArray[np.float64]:
    """The lower edges of the bins of energy."""
    return np.asarray(np.arange(DRAWN_EV[0], DRAWN_EV[1], STEP_EV), np.float64)


def _about(observation: Observation) -> dict[str, str]:
    return {"TELESCOP": "CHANDRA", "INSTRUME": "ACIS", "DETNAM": observation.detnam, "FILTER": "none",
            "OBS_ID": str(observation.obsid)}
