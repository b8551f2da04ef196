"""Conversion of arrays and numbers to what the kernels take, with checks of type, shape, size and units."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from chandra_bin.errors import InputError, counted, warn

from .given import Given, ImageLike, given_image
from .options import POSITIVE
from .units import numbers, seconds

MOST_THREADS = 512
# Kernels count pixels and events in int32, and double the distances between pixels.
_MOST_VALUES = 2**31 - 1
_LONGEST_SIDE = _MOST_VALUES // 4


def as_image(values: ImageLike, name: str, dtype: DTypeLike = np.float32, shape: tuple[int, ...] | None = None, *,
             units: tuple[str, ...] = ("",)) -> NDArray[Any]:
    """Return an image (ny, nx) as C-ordered, native-endian ``dtype`` in one of ``units``; copy only if needed.

    Masked pixels become NaN. Raises `InputError` if ``values`` is not 2-D, contains no real numbers, differs from
    ``shape``, or has masked pixels and a ``dtype`` without NaN.
    """
    given = given_image(values, name, *units)
    warn_of_noise(given, name)
    return of_given(given, name, dtype, shape)


def warn_of_noise(given: Given, name: str) -> None:
    """Warn that the uncertainty of an image is ignored."""
    if given.noise is not None:
        warn(f"the uncertainty of {name} is not used here")


def of_given(given: Given, name: str, dtype: DTypeLike = np.float32, shape: tuple[int, ...] | None = None
             ) -> NDArray[Any]:
    """Convert the parts of an image as `as_image` does."""
    array = given.data
    if array.ndim != 2:
        raise InputError(f"{name} must be 2-D (ny, nx), not of shape {array.shape}")
    if shape is not None and array.shape != shape:
        raise InputError(f"{name} has shape {array.shape}, the image {shape}")
    _check_size(array, name)
    if max(array.shape) > _LONGEST_SIDE:
        raise InputError(f"{name} has {array.shape[1]} x {array.shape[0]} pixels: give at most {_LONGEST_SIDE} a side")
    with np.errstate(over="ignore"):
        image: NDArray[Any] = np.ascontiguousarray(array, dtype=dtype)
    if given.mask is None:
        return image
    if image.dtype.kind != "f":
        raise InputError(f"{name} has {np.count_nonzero(given.mask)} masked pixels: fill them first, {name}.filled()")
    return np.where(given.mask, image.dtype.type(np.nan), image)


def as_flags(values: ImageLike | None, name: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a boolean image of ``shape``; all False for None.

    Raises `InputError` for other types: 1 means "use" in mask files but would mean "excluded" here.
    """
    if values is None:
        return np.zeros(shape, dtype=bool)
    if (given := given_image(values, name)).data.dtype.kind != "b":
        raise InputError(f"{name} must be boolean, True where it applies, not {given.data.dtype}: in a mask file 1 "
                         "means used, so give file_mask < 1")
    flags: NDArray[np.bool_] = as_image(values, name, dtype=np.bool_, shape=shape)
    return flags


def as_labels(values: ImageLike, name: str = "binmap",
              meaning: str = "-1 outside, bins from 0") -> NDArray[np.int32]:
    """Return an image (ny, nx) of int32; all negative numbers become -1. ``meaning`` describes the numbers in messages.

    Raises `InputError` for floats and for numbers beyond int32.
    """
    array = given_image(getattr(values, "binmap", values), name).data
    if array.dtype.kind not in "iu":
        raise InputError(f"{name} must hold whole numbers ({meaning}), not {array.dtype}")
    _check_size(array, name)
    if array.size and array.max() > np.iinfo(np.int32).max:
        raise InputError(f"{name} holds {array.max()}, above the int32 maximum")
    if array.dtype.kind == "i":
        array = np.maximum(array, -1)  # before a wider type can wrap around
    labels: NDArray[np.int32] = as_image(array, name, dtype=np.int32)
    return labels


def as_column(values: ArrayLike, name: str, dtypes: Sequence[DTypeLike], size: int | None = None) -> NDArray[Any]:
    """Return a contiguous, native-endian column (n,), one value an event; copy only if needed.

    A type in ``dtypes`` is kept; other types become the last of ``dtypes``. Raises `InputError` if ``values`` is not
    1-D, contains no real numbers, differs from ``size``, or does not fit the integer type.
    """
    array = plain(values, name)
    if isinstance(array, np.ma.MaskedArray):
        raise InputError(f"{name} is a masked array: give a plain array, {name}.data")
    if array.ndim != 1:
        raise InputError(f"{name} must be 1-D, one value an event, not of shape {array.shape}")
    if size is not None and len(array) != size:
        raise InputError(f"{name} has {counted(len(array), 'value')}, for {counted(size, 'event')}")
    _check_size(array, name)
    known = [np.dtype(dtype) for dtype in dtypes]
    dtype = array.dtype.newbyteorder("=") if array.dtype.newbyteorder("=") in known else known[-1]
    if dtype.kind == "i" and array.dtype != dtype:
        if array.dtype.kind == "f" and array.size:
            raise InputError(f"{name} must hold whole numbers, not {array.dtype}")
        limits = np.iinfo(dtype)
        if array.size and not limits.min <= array.min() <= array.max() <= limits.max:
            raise InputError(f"{name} holds numbers beyond {limits.min} .. {limits.max}")
    return np.ascontiguousarray(array, dtype=dtype)


def as_coordinates(x: ArrayLike, y: ArrayLike, size: int | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the columns x and y, (n,) each: both float32, or both float64."""
    xs = as_column(x, "x", (np.float32, np.float64), size)
    ys = as_column(y, "y", (np.float32, np.float64), len(xs))
    dtype = np.result_type(xs, ys)
    return xs.astype(dtype, copy=False), ys.astype(dtype, copy=False)


def plain(values: Any, name: str, unit: str = "") -> NDArray[Any]:
    """Return the numbers of an array in ``unit``, as `numbers` does. Raises `InputError` for masked elements, too."""
    _refuse_masked(values, name)
    return np.asanyarray(numbers(getattr(values, "unmasked", values), name, unit))


def _refuse_masked(values: Any, name: str) -> None:
    """Raise `InputError` if an element is masked."""
    mask = getattr(values, "mask", False)
    if not callable(mask) and np.any(mask):  # pandas has a method of this name
        raise InputError(f"{name} has masked elements: remove them first, {name}[~mask]")


def as_seconds(values: Any, name: str) -> NDArray[np.float64]:
    """Return times as float64 seconds, of any shape; ``Time`` becomes seconds of Chandra's clock (see `seconds`).

    Raises `InputError` as `plain` does, and for dates without a time scale.
    """
    _refuse_masked(values, name)
    return seconds(getattr(values, "unmasked", values), name)


def as_number(value: object, name: str, unit: str = "") -> float:
    """Return a real number in ``unit`` as float. Raises `InputError` for arrays, strings, booleans and other units."""
    if value is None or isinstance(value, str | bytes | bool | np.bool_) or np.ndim(cast(Any, value)) != 0:
        raise InputError(f"{name} is {value!r}: it must be one number")
    try:
        return float(plain(cast(Any, value), name, unit))
    except InputError:
        raise
    except (TypeError, ValueError):
        raise InputError(f"{name} is {value!r}: it must be one number") from None


def as_positive(value: object, name: str, unit: str = "") -> float:
    """Return one finite number above 0 in ``unit``. Raises `InputError` for any other value."""
    number = as_number(value, name, unit)
    if fault := POSITIVE.fault(number):
        raise InputError(f"{name} is {number:.15g}{f' {unit}' if unit else ''}: {fault}")
    return number


def as_progress(progress: Any) -> Any:
    """Return a callback that takes the fraction done, or None. Raises `InputError` for any other value."""
    if progress is not None and not callable(progress):
        raise InputError(f"progress is {progress!r}: it must be a function of the fraction done, or None")
    return progress


def as_whole(value: Any, name: str, least: int = 0) -> int:
    """Return a whole number, ``least`` or more. Raises `InputError` for any other value."""
    number = as_number(value, name)
    if not number >= least or number % 1 != 0:  # also NaN and infinity
        raise InputError(f"{name} is {value}: it must be a whole number, {least} or more")
    return int(number)


def as_threads(threads: int) -> int:
    """Return a number of threads, at most `MOST_THREADS`. Raises `InputError` below 1."""
    return min(as_whole(threads, "threads", 1), MOST_THREADS)


def as_shape(shape: Any) -> tuple[int, int]:
    """Return the shape (ny, nx) of an image. Raises `InputError` unless it is two whole numbers, 0 or more."""
    sides = tuple(shape) if isinstance(shape, Iterable) else ()
    if len(sides) != 2 or not all(isinstance(side, int | np.integer) and side >= 0 for side in sides):
        shown = f"of the type {type(shape).__name__}" if len(sides) > 3 or np.ndim(sides[:1]) > 1 else repr(shape)
        raise InputError(f"shape is {shown}: it must be (ny, nx), two whole numbers")
    return int(sides[0]), int(sides[1])


def as_limits(limits: Any, name: str) -> tuple[Any, Any]:
    """Return the two values of (low, high) unchanged. Raises `InputError` unless there are two."""
    try:
        values = () if isinstance(limits, str) else tuple(limits)
    except TypeError:
        values = ()
    if len(values) != 2:
        raise InputError(f"{name} is {limits!r:.80}: it must be (low, high)")
    return values[0], values[1]


def _check_size(array: NDArray[Any], name: str) -> None:
    """Raise `InputError` for too many values, before a copy: a strided array may be larger than memory."""
    if array.size > _MOST_VALUES:
        raise InputError(f"{name} has {array.size} values, but at most {_MOST_VALUES} can be used: split it")
