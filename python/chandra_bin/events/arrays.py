"""Images and spectra from event arrays with one value an event.

Columns are (n,) arrays of any numeric dtype and byte order. ``keep`` selects events: a boolean array (n,), or a
`Selection` of tests that is evaluated in the same pass. ``threads`` never changes a result. The functions raise
`InputError`, a ``ValueError``, for unusable input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from chandra_bin._checks.arrays import (
    as_column,
    as_coordinates,
    as_image,
    as_labels,
    as_limits,
    as_number,
    as_shape,
    as_threads,
    as_whole,
    plain,
)
from chandra_bin._checks.units import QuantityLike, as_array, in_one_unit
from chandra_bin._kernels import _bin_spectra, _event_histogram
from chandra_bin._kernels._select_events import Selection
from chandra_bin.errors import InputError

if TYPE_CHECKING:
    from chandra_bin.binning.bins import ContourBins

__all__ = ["Selection", "bin_spectra", "event_histogram"]

_MOST_CELLS = 2**31


def event_histogram(x: QuantityLike, y: QuantityLike, *, x_range: QuantityLike, y_range: QuantityLike,
                    shape: tuple[int, int], weights: ArrayLike | None = None,
                    keep: ArrayLike | Selection | None = None, threads: int = 1,
                    out: NDArray[np.int32 | np.float64] | None = None) -> NDArray[np.int32 | np.float64]:
    """Bin events into an image.

    Column i contains the events with x_low + i step <= x < x_low + (i + 1) step, where step = (x_high - x_low) / nx in
    double precision; rows likewise. Events outside the ranges, and NaN or infinite coordinates, are ignored.

    Parameters
    ----------
    x, y : array_like (n,) or Quantity
        Coordinates, as plain numbers in the unit of ``x_range`` and ``y_range``, or Quantities.
    x_range, y_range : (low, high)
        Outer edges of the image.
    shape : (ny, nx)
    weights : array_like (n,), optional
        Value to add for each event instead of 1.
    keep : array_like of bool (n,) or Selection, optional
        The events to use.
    threads : int
    out : ndarray (ny, nx), optional
        An earlier result to add to.

    Returns
    -------
    ndarray (ny, nx)
        int32 counts, or float64 sums of weights; ``out`` itself if given.

    Raises
    ------
    InputError
        For unusable input, and for units of another dimension.

    Examples
    --------
    >>> from chandra_bin import event_histogram
    >>> event_histogram([0.5, 1.5, 1.6], [0.5, 0.5, 1.5], x_range=(0, 2), y_range=(0, 2), shape=(2, 2)).tolist()
    [[1, 1], [0, 1]]
    """
    (x_low, x_high), (y_low, y_high) = as_limits(x_range, "x_range"), as_limits(y_range, "y_range")
    x, *x_range = in_one_unit(x=x, x_low=x_low, x_high=x_high)
    y, *y_range = in_one_unit(y=y, y_low=y_low, y_high=y_high)
    xs, ys = as_coordinates(x, y)
    ny, nx = _sizes(shape)
    x_first_edge, x_step = _axis(x_range, nx, "x_range")
    y_first_edge, y_step = _axis(y_range, ny, "y_range")
    tests = _tests(keep, len(xs))
    threads = as_threads(threads)
    if weights is None:
        counts = _counts(out, (ny, nx), len(xs))
        _event_histogram.event_histogram(xs, ys, x_first_edge=x_first_edge, x_step=x_step, y_first_edge=y_first_edge,
                                         y_step=y_step, selection=tests, threads=threads, image=counts)
        return counts
    sums = _output(out, (ny, nx), np.float64)
    amounts = as_column(weights, "weights", (np.float32, np.float64), len(xs))
    _event_histogram.weighted_event_histogram(xs, ys, amounts, x_first_edge=x_first_edge, x_step=x_step,
                                              y_first_edge=y_first_edge, y_step=y_step, selection=tests,
                                              threads=threads, image=sums)
    return sums


def bin_spectra(bins: ArrayLike | ContourBins, channels: ArrayLike, *, x: QuantityLike | None = None,
                y: QuantityLike | None = None, bin_count: int | None = None, first_channel: int = 1,
                channel_count: int = 1024, chips: ArrayLike | None = None, chip_numbers: ArrayLike | None = None,
                keep: ArrayLike | Selection | None = None, threads: int = 1,
                out: NDArray[np.int32] | None = None) -> NDArray[np.int32]:
    """Return the spectra of all bins: counts of events by bin and channel, in one pass.

    Parameters
    ----------
    bins : array_like or ContourBins
        Bin of each event (n,), from 0, negative for no bin; or, with ``x`` and ``y``, a binmap (ny, nx).
    channels : array_like of int (n,)
        Channel of each event (Chandra's PI: 1 to 1024). Events outside the ``channel_count`` channels from
        ``first_channel`` are ignored.
    x, y : array_like (n,), optional
        Positions of the events on the binmap in array coordinates: 0 is the centre of its first pixel.
    bin_count : int, optional
        Number of bins; by default that of ``out``, else the largest bin number plus 1.
    chips, chip_numbers : array_like of int, optional
        Chip of each event (n,), and the chips to separate; events of other chips are ignored.
    keep : array_like of bool (n,) or Selection, optional
        The events to use.
    out : ndarray of int32, optional
        An earlier result to add to, e.g. of the previous block of a file.

    Returns
    -------
    ndarray of int32
        (bins, channels), or (chips, bins, channels) with ``chips``; ``out`` itself if given.

    Raises
    ------
    InputError
        For unusable input.

    Examples
    --------
    >>> from chandra_bin import bin_spectra
    >>> spectra = bin_spectra([0, 0, 1, -1], [35, 35, 100, 200])
    >>> spectra.shape, spectra.sum(axis=1).tolist(), int(spectra[0, 34])
    ((2, 1024), [2, 1], 2)
    """
    labels = as_array(getattr(bins, "binmap", bins), "bins")
    on_map = labels.ndim == 2
    if on_map != (x is not None) or on_map != (y is not None):
        raise InputError("bins must be a binmap (ny, nx) with x and y, or one bin number an event without x and y")
    if not on_map:
        labels = as_column(labels, "bins", (np.int32,))
    elif labels.dtype != np.int32:
        labels = as_labels(labels)
    else:  # as it is, since events are often added block by block, and each check reads the whole binmap
        labels = as_image(labels, "bins", np.int32)
    if bin_count is None:
        bin_count = int(labels.max(initial=-1)) + 1 if out is None else _bins_of(out)
    bin_count, channel_count = as_whole(bin_count, "bin_count"), as_whole(channel_count, "channel_count")
    first_channel = as_whole(first_channel, "first_channel", np.iinfo(np.int32).min)
    of_event = as_column(channels, "channels", (np.int16, np.int32), None if on_map else len(labels))
    if (chips is None) != (chip_numbers is None):
        raise InputError("give both chips and chip_numbers, or neither")
    of_chip = None if chips is None else as_column(chips, "chips", (np.int16,), len(of_event))
    numbers = None if chip_numbers is None else as_column(chip_numbers, "chip_numbers", (np.int16,))
    if numbers is not None and len(np.unique(numbers)) != max(len(numbers), 1):
        raise InputError("chip_numbers must contain at least one chip and no duplicates")
    shape = (1 if numbers is None else len(numbers), bin_count, channel_count)
    if min(shape) < 0 or math.prod(shape) >= _MOST_CELLS:
        raise InputError(f"spectra of the shape {shape} cannot be made: reduce the number of bins or channels")
    made = _counts(out, shape if numbers is not None else shape[1:], len(of_event))
    spectra = made.reshape(shape)
    tests = _tests(keep, len(of_event))
    threads = as_threads(threads)
    if x is not None and y is not None:
        xs, ys = as_coordinates(x, y, len(of_event))
        _bin_spectra.bin_spectra_by_map(
            xs, ys, labels, x_first_edge=-0.5, x_step=1.0, y_first_edge=-0.5, y_step=1.0, channels=of_event,
            first_channel=first_channel, chips=of_chip, chip_numbers=numbers, selection=tests, threads=threads,
            spectra=spectra)
    else:
        _bin_spectra.bin_spectra(labels, of_event, first_channel=first_channel, chips=of_chip, chip_numbers=numbers,
                                 selection=tests, threads=threads, spectra=spectra)
    return made


def _bins_of(out: NDArray[np.int32]) -> int:
    """Return the number of bins of an earlier result."""
    return int(np.shape(out)[-2]) if np.ndim(out) >= 2 else 0


def _counts(out: NDArray[Any] | None, shape: tuple[int, ...], events: int) -> NDArray[Any]:
    """Return the counts to add to; raise `InputError` if ``events`` more could overflow int32."""
    made = _output(out, shape, np.int32)
    if out is not None and (largest := int(made.max(initial=0))) + events > np.iinfo(np.int32).max:
        raise InputError(f"out has up to {largest} counts a pixel, so {events} more events could overflow int32: add "
                         "them to another array")
    return made


def _output(out: NDArray[Any] | None, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return the array to add to: zeros, or ``out``, which must not need a copy."""
    if out is None:
        return np.zeros(shape, dtype)
    if not isinstance(out, np.ndarray) or out.dtype != dtype or out.shape != shape:
        raise InputError(f"out must be an array {np.dtype(dtype)} of the shape {shape}, not "
                         f"{getattr(out, 'dtype', type(out).__name__)} of {np.shape(out)}")
    if not (out.flags.c_contiguous and out.flags.writeable):
        raise InputError("out must be writable, and in C order")
    return out


def _sizes(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the shape of an image that is neither empty nor too large."""
    ny, nx = as_shape(shape)
    if ny < 1 or nx < 1 or ny * nx >= _MOST_CELLS - 1:
        raise InputError(f"shape is {shape}: it must be (ny, nx), both 1 or more, below 2^31 pixels")
    return ny, nx


def _axis(limits: Sequence[Any], size: int, name: str) -> tuple[float, float]:
    """Return the first edge and the step of an axis."""
    low, high = (as_number(limit, name) for limit in limits)
    if not (math.isfinite(low) and math.isfinite(high) and low < high and math.isfinite(high - low)):
        raise InputError(f"{name} is ({low:g}, {high:g}): it must be (low, high), finite")
    return low, (high - low) / size


def _tests(keep: ArrayLike | Selection | None, size: int) -> Selection | None:
    """Return the events to use as a selection; None for all."""
    if keep is None:
        return None
    if isinstance(keep, Selection):
        if keep.size != size:
            raise InputError(f"keep is a selection of {keep.size} events, not of {size}")
        return keep
    flags = plain(keep, "keep")
    if flags.dtype.kind != "b" or flags.shape != (size,):
        raise InputError(f"keep must be boolean of shape ({size},), not {flags.dtype} of {flags.shape}")
    tests = Selection(size)
    tests.flags(np.ascontiguousarray(flags).view(np.uint8))
    return tests
