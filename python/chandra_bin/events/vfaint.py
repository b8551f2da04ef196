"""VFAINT events: detection of particles by the outer pixels of 5 x 5 islands.

The rule is that of CIAO's acis_process_events with check_vf_pha=yes: one or more of the outer 16 pulse heights exceeds
the split threshold. The pulse heights are those of PHAS; CIAO writes heights corrected for charge transfer inefficiency
to another column (PHAS_ADJ). Particles have bit 23 of STATUS set, and level 2 contains only events with STATUS 0.

References
----------
CXC, "ACIS VFAINT Background Cleaning", https://cxc.harvard.edu/ciao/why/aciscleanvf.html
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.errors import InputError
from chandra_bin.fits.headers import text_of

if TYPE_CHECKING:
    from astropy.io.fits import Header

SPLIT_ADU = 13
"""The split threshold, ADU."""
NOTE = "VFAINT screening"
"""The name of the pipeline's note on whether particles were removed."""
STATUS_BIT = 23
"""The STATUS bit of particles; 0 is the lowest."""
PIXELS = 25
"""Number of pulse heights of a VFAINT event."""
OUTER = np.pad(np.zeros((3, 3), bool), 1, constant_values=True).ravel()
"""(25,), the outer 16 pixels of an island."""
# One event a frame, chip and pixel.
KEY_COLUMNS = ("expno", "ccd_id", "chipx", "chipy")
"""The columns that identify an event of an observation."""
_KEY_BITS = (31, 4, 11, 11)


def is_vfaint(header: "Header") -> bool:
    """Return whether events were taken in VFAINT mode (DATAMODE)."""
    return text_of(header, "DATAMODE").upper() == "VFAINT"


def is_cleaned(header: "Header") -> bool:
    """Return whether particles were removed from VFAINT events.

    CIAO 4.16 and later write CHKVFPHA; for earlier versions HISTORY has the parameter of acis_process_events. For such
    an observation the matching blank-sky events are those with STATUS 0.
    """
    if not is_vfaint(header):
        return False
    if isinstance(value := header.get("CHKVFPHA"), bool):
        return value
    return "check_vf_pha=yes" in "".join(str(header.get("HISTORY", "")).split())


def particles(phas: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which events are particles according to their outer pixels.

    Parameters
    ----------
    phas : (n, 25) or (n, 5, 5), pulse heights in ADU.

    Returns
    -------
    (n,) : True for particles (STATUS bit 23).

    Raises
    ------
    InputError : for islands of another size.
    """
    flat = phas.reshape(len(phas), -1) if len(phas) else np.empty((0, PIXELS), phas.dtype)
    if flat.shape[1] != PIXELS:
        raise InputError(f"an event has {flat.shape[1]} pulse heights (PHAS), but VFAINT events have {PIXELS}")
    flagged = np.zeros(len(flat), bool)
    for pixel in np.flatnonzero(OUTER):  # column by column needs no copy of the islands
        flagged |= flat[:, pixel] > SPLIT_ADU
    return flagged


def keys(expno: NDArray[Any], ccd_id: NDArray[Any], chipx: NDArray[Any], chipy: NDArray[Any]) -> NDArray[np.int64]:
    """Return a number (n,) for each event that is unique in the observation, from frame, chip and pixel.

    Raises
    ------
    InputError : for numbers outside the range of frames, chips or pixels.
    """
    packed = np.zeros(len(expno), np.int64)
    for name, values, bits in zip(KEY_COLUMNS, (expno, ccd_id, chipx, chipy), _KEY_BITS, strict=True):
        least, most = (values.min(), values.max()) if len(values) else (0, 0)
        if least < 0 or most >= 1 << bits:
            raise InputError(f"{name} is from {least} to {most}: it must be from 0 to {(1 << bits) - 1}")
        packed = packed << bits | values.astype(np.int64)
    return packed


class Matching:
    """Match events (level 2) with others that come in blocks (level 1), by their `keys`.

    Events with the same key are one event; it is flagged if any of them is. The memory is about 25 bytes per event.
    """

    def __init__(self, wanted: NDArray[np.int64]) -> None:
        self._keys, self._place = np.unique(wanted, return_inverse=True)
        self._found = np.zeros(len(self._keys), bool)
        self._flagged = np.zeros(len(self._keys), bool)

    def add(self, others: NDArray[np.int64], flagged: NDArray[np.bool_]) -> None:
        """Add a block of other events, and which of them are flagged."""
        if not len(self._keys):
            return
        at = np.minimum(np.searchsorted(self._keys, others), len(self._keys) - 1)
        same = self._keys[at] == others
        self._found[at[same]] = True
        self._flagged[at[same & flagged]] = True

    @property
    def missing(self) -> int:
        """The number of events not found among the others."""
        return int(np.count_nonzero(~self._found[self._place]))

    def flagged(self) -> NDArray[np.bool_]:
        """Return which events are flagged, in the order of ``wanted``."""
        made: NDArray[np.bool_] = self._flagged[self._place]
        return made
