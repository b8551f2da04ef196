"""Images in the forms users have: arrays, masked arrays, Quantity, NDData, CCDData, HDUs and images of this package.

Each image is split into numbers, mask, noise and coordinates, so that no part is dropped silently.
"""

from dataclasses import dataclass
from os import PathLike
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin.errors import InputError

from .array_types import Floats
from .units import as_array, numbers, unit_of


class ImageHolder(Protocol):
    """An image object: ``NDData``, ``CCDData``, an HDU of ``astropy.io.fits``, or an `Image`."""

    @property
    def data(self) -> Any: ...


# Arrays (including masked arrays, Quantities and nested lists), and image objects.
ImageLike: TypeAlias = ArrayLike | ImageHolder


@dataclass(frozen=True, eq=False)
class Given:
    """The parts of an image."""

    data: NDArray[Any]
    mask: NDArray[np.bool_] | None = None
    """True where a pixel is masked."""
    noise: Floats | None = None
    """1 sigma, in the unit of the data."""
    coords: Any = None
    """An astropy WCS, or a FITS header; None for an image without coordinates."""


def given_image(values: Any, name: str, unit: str = "", *others: str) -> Given:
    """Split an image into its parts, its numbers in ``unit`` (or one of ``others``) as `numbers` converts them.

    Raises `InputError` for file names, lists of HDUs, and an uncertainty of an unknown kind.
    """
    if isinstance(values, str | bytes | PathLike):
        raise InputError(f"{name} is {values!r}: give the image itself, chandra_bin.read_image({str(values)!r})")
    if hasattr(values, "uncertainty") and hasattr(values, "wcs"):
        return _of_nddata(values, name, unit, others)
    if hasattr(values, "filename") and isinstance(values, list):  # an HDUList
        raise InputError(f"{name} is a list of HDUs: give the HDU of the image, such as hdus[0]")
    if hasattr(values, "data") and hasattr(values, "header"):  # an HDU, or an image of this package
        if values.data is None:
            raise InputError(f"{name} is an HDU without an image: give the HDU of the image, such as hdus[1]")
        return Given(_with_unit(as_array(values.data, name), unit_of(values), name, unit, others),
                     coords=values.header)
    if hasattr(values, "unmasked"):  # astropy's Masked
        return Given(numbers(values.unmasked, name, unit, *others), _flags(values.mask, name, np.shape(values)))
    array = numbers(values, name, unit, *others)
    if isinstance(array, np.ma.MaskedArray):
        return Given(array.data, _flags(array.mask, name, array.shape))
    return Given(array)


def has_pixels(values: Any) -> bool:
    """Return whether a value is an image (or a file name) rather than a number."""
    return (np.ndim(values) > 0 or hasattr(values, "wcs") or hasattr(values, "header")
            or isinstance(values, str | bytes | PathLike))


def given_mask(values: Any, name: str) -> NDArray[np.bool_] | None:
    """Return the mask of an image, True where a pixel is masked; None if no pixel is."""
    mask = getattr(values, "mask", None)
    if mask is None or callable(mask):  # pandas has a method of this name
        return None
    return _flags(mask, name, np.shape(values.data if hasattr(values, "wcs") else values))


def _of_nddata(values: Any, name: str, unit: str, others: tuple[str, ...]) -> Given:
    """Split an ``NDData`` into its parts."""
    data = as_array(values.data, name)
    in_unit = _with_unit(data, values.unit, name, unit, others)
    noise = None
    if values.uncertainty is not None:
        sigma = _standard_deviation(values.uncertainty, name)
        noise = np.asarray(_with_unit(np.asarray(sigma.array), sigma.unit or values.unit, f"the uncertainty of {name}",
                                      unit, others), dtype=np.float64)
    return Given(in_unit, _flags(values.mask, name, data.shape), noise, values.wcs)


def _with_unit(data: NDArray[Any], given: Any, name: str, unit: str, others: tuple[str, ...]) -> NDArray[Any]:
    """Return data of the unit ``given`` (None: no unit) in ``unit`` or one of ``others``."""
    if given is None:
        return data
    from astropy.units import Quantity

    return numbers(Quantity(data, given, copy=None), name, unit, *others)


def _standard_deviation(uncertainty: Any, name: str) -> Any:
    """Return an uncertainty as standard deviation."""
    from astropy.nddata import IncompatibleUncertaintiesException, StdDevUncertainty

    try:
        return uncertainty.represent_as(StdDevUncertainty)
    except (IncompatibleUncertaintiesException, AttributeError, TypeError):
        raise InputError(f"the uncertainty of {name} is of an unknown kind: convert it to StdDevUncertainty") from None


def _flags(mask: Any, name: str, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Return a mask of ``shape``; None if no pixel is masked."""
    if mask is None or mask is np.ma.nomask:
        return None
    flags = np.asarray(mask)
    if flags.dtype.kind != "b":
        raise InputError(f"the mask of {name} must be boolean, True where a pixel is masked, not {flags.dtype}")
    if flags.ndim and flags.shape != shape:
        raise InputError(f"the mask of {name} has shape {flags.shape}, the image {shape}")
    return np.broadcast_to(flags, shape) if flags.any() else None
