"""Spectra of bins from `bin_spectra`, by chip, bin and channel: scaled backgrounds, grouping, hardness.

These functions take arrays; `chandra_bin.tasks.spectra.write_spectra` writes files.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.array_types import Floats
from chandra_bin._checks.arrays import as_limits, as_number, plain
from chandra_bin._checks.units import QuantityLike, in_one_unit
from chandra_bin.acis import geometry as acis
from chandra_bin.acis.channels import PI_CHANNELS, PI_WIDTH_EV
from chandra_bin.errors import InputError
from chandra_bin.sources.background import counts_ratio

BROAD_EV = (500.0, 7000.0)
SOFT_EV = (500.0, 2000.0)
HARD_EV = (2000.0, 7000.0)
# The value of QUALITY for groups with too few counts.
_POOR = 2
# The limit of `bin_spectra`.
_MOST_COUNTERS = 2**31


def band_channels(band_ev: QuantityLike) -> slice:
    """Return the slice of channels whose central energies are in [low, high).

    Parameters
    ----------
    band_ev : (low, high)
        Energies in eV, or Quantities.

    Returns
    -------
    slice
        Indices from 0: channels 35 - 479 are 500 - 7000 eV.

    Raises
    ------
    InputError
        Unless there are two energies and low is below high.

    Examples
    --------
    >>> from astropy import units as u
    >>> from chandra_bin import band_channels
    >>> band_channels((0.5, 7) * u.keV)
    slice(34, 479, None)
    """
    low, high = as_limits(band_ev, "band_ev")
    in_one_unit(low=low, high=high)
    limits = [as_number(energy, "band_ev", "eV") for energy in (low, high)]
    if not limits[0] < limits[1]:
        raise InputError(f"band_ev is {band_ev!r:.80}: it must be (low, high), low below high")
    first, last = np.clip(np.ceil(np.array(limits) / PI_WIDTH_EV - 0.5), 0, PI_CHANNELS).astype(int).tolist()
    return slice(first, last)


def empty_spectra(bins: int) -> NDArray[np.int32]:
    """Return zero counts for `bin_spectra` to add to, int32 (10, bins, 1024). Chips without events take no memory."""
    if acis.CHIP_COUNT * bins * PI_CHANNELS >= _MOST_COUNTERS:
        most = (_MOST_COUNTERS - 1) // (acis.CHIP_COUNT * PI_CHANNELS)
        raise InputError(f"there are {bins} bins, but spectra of at most {most} can be made at once")
    return np.zeros((acis.CHIP_COUNT, bins, PI_CHANNELS), np.int32)


def main_chips(by_chip: NDArray[np.int64], centres: Floats, order: Sequence[int]) -> NDArray[np.int64]:
    """Return the chip (bins,) with the most events of each bin.

    Parameters
    ----------
    by_chip : events (chips, bins).
    centres : positions of the bins (bins, 2). A bin without events gets the chip of the nearest bin with events.
    order : chips, that of the aim point first: the first of equal ones is used, and the first if there are no events.
    """
    ordered = np.array([*order, *(chip for chip in range(len(by_chip)) if chip not in order)])
    chips: NDArray[np.int64] = ordered[np.argmax(by_chip[ordered], axis=0)]
    empty = ~by_chip.any(axis=0)
    if not empty.all():
        seen = np.flatnonzero(~empty)
        for b in np.flatnonzero(empty):
            chips[b] = chips[seen[np.argmin(((centres[seen] - centres[b]) ** 2).sum(axis=1))]]
    return chips


def background_ratios(by_chip: NDArray[np.int64], scales: Floats, without: Floats) -> Floats:
    """Return one factor (bins,) for all background counts of a bin: sum of scale x counts over chips / sum of counts.

    Parameters
    ----------
    by_chip : background counts (chips, bins).
    scales : background scale of each chip (chips,): expected counts in the source's exposure per background count.
    without : factor (bins,) for bins without background counts.
    """
    raw = by_chip.sum(axis=0)
    return counts_ratio(raw, _scaled(by_chip, scales), without)


def net_counts(counts: NDArray[np.int64], background: NDArray[np.int64],
               scales: Floats) -> tuple[Floats, Floats]:
    """Return net counts (bins,) and their errors (1 sigma, Gaussian) from source and background (chips, bins)."""
    total = counts.sum(axis=0)
    net: Floats = total - _scaled(background, scales)
    error: Floats = np.sqrt(total + _scaled(background, scales**2))
    return net, error


def hardness(soft: QuantityLike, soft_error: QuantityLike, hard: QuantityLike,
             hard_error: QuantityLike) -> tuple[Floats, Floats]:
    """Return the hardness ratio (H - S) / (H + S) and its error (1 sigma).

    Parameters
    ----------
    soft, soft_error, hard, hard_error : array_like or Quantity
        Counts or rates and their errors, in plain numbers or Quantities of one dimension; shapes must broadcast.

    Returns
    -------
    ratio, error : ndarray of float64
        NaN where H + S is not above 0.

    Raises
    ------
    InputError
        For units of different dimensions.

    Examples
    --------
    >>> from chandra_bin import hardness
    >>> ratio, error = hardness(100.0, 10.0, 300.0, 17.3)
    >>> float(ratio), round(float(error), 4)
    (0.5, 0.0433)
    """
    soft, soft_error, hard, hard_error = (np.asarray(each, dtype=np.float64) for each in in_one_unit(
        soft=soft, soft_error=soft_error, hard=hard, hard_error=hard_error))
    total = np.where(soft + hard > 0, soft + hard, np.nan)
    ratio: Floats = (hard - soft) / total
    error: Floats = 2 * np.hypot(soft * hard_error, hard * soft_error) / total**2
    return ratio, error


def group_counts(counts: ArrayLike, minimum: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Return GROUPING and QUALITY, int16 (..., channels), of groups with ``minimum`` counts or more.

    Groups begin at the first channel and end as soon as they have enough counts. GROUPING is 1 where a group begins and
    -1 where it continues. QUALITY is 0, and 2 in the remaining channels at the end, one group with too few counts, as
    in CIAO's dmgroup (NUM_CTS) and HEASoft's grppha. Raises `InputError` for a minimum below 1.
    """
    if minimum < 1:
        raise InputError(f"the minimum counts of a group must be 1 or more, got {minimum}")
    of_channel = np.moveaxis(plain(counts, "counts"), -1, 0)
    grouping = np.empty(of_channel.shape, np.int16)
    first = np.zeros(of_channel.shape[1:], np.int64)  # the start of the current group
    held = np.zeros(of_channel.shape[1:], np.int64)
    for channel, found in enumerate(of_channel):
        grouping[channel] = np.where(first == channel, 1, -1)
        held += found
        full = held >= minimum
        held[full] = 0
        first[full] = channel + 1
    channels = np.arange(len(of_channel)).reshape(-1, *[1] * first.ndim)
    quality = np.where(channels >= first, _POOR, 0).astype(np.int16)
    return np.moveaxis(grouping, 0, -1), np.moveaxis(quality, 0, -1)


def _scaled(by_chip: NDArray[np.int64], scales: Floats) -> Floats:
    """Return sums over chips of scale x counts; an unknown scale (NaN) matters only for chips with counts."""
    used = by_chip.any(axis=1)
    total: Floats = scales[used] @ by_chip[used]
    return total
