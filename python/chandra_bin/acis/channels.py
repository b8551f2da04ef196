"""Channels of Chandra's spectra (PI), and energies."""


import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.arrays import plain
from chandra_bin._checks.units import QuantityLike

PI_WIDTH_EV = 14.6
"""Width of a PI channel of ACIS (CXC, acis_process_events). Channel 1 begins at 0 eV, the last takes all above."""
PI_CHANNELS = 1024


_EV = {"": 1.0, "ev": 1.0, "kev": 1e3, "mev": 1e6, "gev": 1e9}


def ev_per_unit(unit: str) -> float | None:
    """How many eV a unit of energy is; None for an unknown unit. No unit means eV."""
    return _EV.get(unit.strip().lower())


def channels_of(energy_ev: "QuantityLike") -> NDArray[np.int32]:
    """PI channels of energies: numbers in eV, or a Quantity; 0 for NaN and for energies below 0.

    Raises `InputError` for a unit of another dimension, and for masked elements.

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
