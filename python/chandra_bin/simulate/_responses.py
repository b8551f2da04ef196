"""True responses of the simulated telescope: effective areas of positions on chips, and their common matrix."""

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

# Positions along a side of a chip.
_PLACES = 3
# Smaller elements of the matrix are omitted, as in CIAO's mkacisrmf.
_LEAST = 1e-6


def response_places() -> list[tuple[float, float]]:
    """Return (chipx, chipy) of the positions on a chip with a response."""
    middle = (np.arange(_PLACES) + 0.5) * acis.CHIP_PX / _PLACES + 0.5
    return [(float(x), float(y)) for y in middle for x in middle]


def sky_of_place(observation: Observation, chip: int, place: tuple[float, float]) -> tuple[float, float]:
    """Return (RA, Dec) in degrees of a position on a chip, without dither."""
    body = telescope.behind(telescope.chip_to_focus(chip, [place[0]], [place[1]], observation.sim_z_mm))
    vectors = observation.steady() @ (body / np.linalg.norm(body, axis=0))
    ra, dec = telescope.places(vectors)
    return float(ra[0]), float(dec[0])


def true_arf(observation: Observation, chip: int, place: tuple[float, float]) -> Arf:
    """Return the area of photons at a position (chipx, chipy): the on-axis area times the vignetting."""
    low = _energies_ev()
    body = telescope.behind(telescope.chip_to_focus(chip, [place[0]], [place[1]], observation.sim_z_mm))
    area = telescope.area_cm2(low + STEP_EV / 2) * telescope.throughput(telescope.off_axis_arcmin(body))
    return Arf(low / 1000, (low + STEP_EV) / 1000, area, observation.livetime(chip), keywords=_about(observation))


def true_rmf(observation: Observation) -> Rmf:
    """Return the probability of a photon in each channel: a Gaussian around its energy, integrated over channels.

    The result is the mean over an energy bin, since photons are uniform in the bin.
    """
    from scipy.special import ndtr

    low = _energies_ev()
    edges = np.arange(PI_CHANNELS + 1) * PI_WIDTH_EV

    def integral(x: Floats) -> Floats:
        """Return the integral of the Gaussian's cumulative distribution from minus infinity to x (in sigma)."""
        made: Floats = x * ndtr(x) + np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
        return made

    below = [integral((edges[1:-1] - energy[:, np.newaxis]) / RESOLUTION_EV) for energy in (low, low + STEP_EV)]
    inner = (below[0] - below[1]) * RESOLUTION_EV / STEP_EV
    # Energies beyond the channels count in the outermost ones.
    whole = np.concatenate([np.zeros((len(low), 1)), inner, np.ones((len(low), 1))], axis=1)
    matrix = np.diff(whole, axis=1)
    energies, channels = np.nonzero(matrix >= _LEAST)
    offsets = np.searchsorted(energies, np.arange(len(low) + 1))
    channel_lo = np.arange(PI_CHANNELS) * PI_WIDTH_EV / 1000
    return Rmf(low / 1000, (low + STEP_EV) / 1000, channel_lo, channel_lo + PI_WIDTH_EV / 1000, 1, offsets,
               channels.astype(np.int32), matrix[energies, channels].astype(np.float32), keywords=_about(observation))


def _energies_ev() -> NDArray[np.float64]:
    """Return the lower edges of the energy bins."""
    return np.asarray(np.arange(DRAWN_EV[0], DRAWN_EV[1], STEP_EV), np.float64)


def _about(observation: Observation) -> dict[str, str]:
    """Return the keywords of an observation."""
    return {"TELESCOP": "CHANDRA", "INSTRUME": "ACIS", "DETNAM": observation.detnam, "FILTER": "none",
            "OBS_ID": str(observation.obsid)}
