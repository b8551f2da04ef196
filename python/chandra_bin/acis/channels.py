"""PI channels of ACIS spectra, and energies."""


import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.arrays import plain
from chandra_bin._checks.units import QuantityLike

PI_WIDTH_EV = 14.6
"""Width of a PI channel of ACIS (CXC, acis_process_events); channel 1 begins at 0 eV, the last has no upper limit."""
PI_CHANNELS = 1024


_EV = {"": 1.0, "ev": 1.0, "kev": 1e3, "mev": 1e6, "gev": 1e9}


def ev_per_unit(unit: str) -> float | None:
    """Return how many eV an energy unit is; 1 for no unit, None for an unknown unit."""
    return _EV.get(unit.strip().lower())


def channels_of(energy_ev: "QuantityLike") -> NDArray[np.int32]:
    """Return the PI channels of ACIS that energies fall into.

    Parameters
    ----------
    energy_ev : array_like or Quantity, any shape
        Energies in eV, or with a unit of energy.

    Returns
    -------
    ndarray of int32, same shape
        Channels 1 to 1024, each 14.6 eV wide; 0 for NaN and for negative energies.

    Raises
    ------
    InputError
        For a unit of another dimension, and for masked elements.

    Examples
    --------
    >>> from astropy import units as u
    >>> from chandra_bin import channels_of
    >>> channels_of([0.5, 7] * u.keV).tolist()
    [35, 480]
    """
    with np.errstate(invalid="ignore"):
        channel = np.floor(plain(energy_ev, "energy_ev", "eV").astype(np.float64) / PI_WIDTH_EV) + 1
        channel = np.where(channel >= 1, np.minimum(channel, PI_CHANNELS), 0)
    found: NDArray[np.int32] = channel.astype(np.int32)
    return found
