"""The images of one smoothing or binning, checked for meaning and ready for the kernels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.errors import InputError, counted, warn

from .array_types import Float32s
from .arrays import as_flags, as_image, as_number, of_given
from .given import ImageLike, given_image, given_mask, has_pixels
from .units import can_convert, unit_of

# Squares of noise are of float32, as contbin has them.
_MOST_NOISE = np.sqrt(np.finfo(np.float32).max)
# Of exposure maps, of exposure times, and of parts of an exposure.
EXPOSURE_UNITS = ("cm2 s", "s", "")
# Of fluxes: counts over exposure.
FLUX_UNITS = ("1 / (cm2 s)", "1 / s", "")
LEAST_EXPOSURE = np.float32(1e-7)  # contbin clips exposures here before it divides by one


@dataclass(frozen=True)
class KernelImages:
    """What `smooth` and `contour_bin` hand to C++; every image (ny, nx), float32, finite."""

    counts: Float32s
    background: Float32s | None
    ratio: Float32s | None
    constant_ratio: float
    noise: Float32s | None
    use: NDArray[np.uint8]
    coords: Any = None
    """A header or an astropy WCS, where the counts image came with one."""

    @classmethod
    def check(cls, counts: ImageLike, background: ImageLike | None, exposure: ImageLike | None,
              background_exposure: ImageLike | None, noise: ImageLike | None, mask: ImageLike | None,
              seed_only: ImageLike | None = None, *, background_scale: ImageLike | None = None) -> "KernelImages":
        """The images as given to the public functions; what has no data is excluded.

        Masked pixels of any of them are excluded, and an uncertainty of ``counts`` is their noise. Warns of NaN pixels
        and of negative counts. Raises `InputError` for infinite pixels, for shapes that differ, for negative noise and
        when no pixel is left.
        """
        given = given_image(counts, "counts")
        image = of_given(given, "counts")
        if given.noise is not None:
            if noise is not None:
                raise InputError("counts has an uncertainty, and noise is given: give one of the two")
            noise = given.noise
        mask = joined_mask(mask, image.shape, counts=counts, background=background, exposure=exposure,
                           background_exposure=background_exposure, noise=noise, background_scale=background_scale)
        use = use_flags(mask, image.shape, seed_only)
        lowest, highest = image.min(initial=0), image.max(initial=0)  # either is NaN where a pixel is
        if not (np.isfinite(lowest) and np.isfinite(highest)):
            exclude_nan(use, counts=image)
            image = np.where(use > 0, image, np.float32(0))
            lowest = image.min(initial=0)
        behind = _optional(background, "background", image.shape)
        map_ = _optional(noise, "noise", image.shape)
        if behind is not None:
            exclude_nan(use, background=behind)
            if not behind.min(initial=0) >= 0 and np.any(behind[use > 0] < 0):
                warn(f"background has {np.count_nonzero(behind[use > 0] < 0)} negative pixels (least "
                     f"{behind[use > 0].min():g}): it is counts, and the noise of bins may not be a number")
        if map_ is not None:
            exclude_nan(use, noise=map_)
            if np.any(map_[use > 0] < 0):
                raise InputError(f"noise holds negative values (least {map_[use > 0].min():g}): it is 1 sigma")
            if np.any(map_[use > 0] > _MOST_NOISE):
                raise InputError(f"noise holds values up to {map_[use > 0].max():g}, whose squares are beyond what "
                                 "float32 holds: mask or replace them")
            if not np.any(map_[use > 0] > 0) and np.any(image[use > 0] != 0):
                raise InputError("noise is 0 in all pixels that are used: it is 1 sigma of the counts of a pixel")
        ratio = (exposure_ratio(exposure, background_exposure, use) if background_scale is None else
                 _exposure(background_scale, "background_scale", "", use))
        require_pixels(use)
        if not lowest >= 0 and np.any(image[use > 0] < 0):
            warn(f"counts has {np.count_nonzero(image[use > 0] < 0)} negative pixels "
                 f"(least {image[use > 0].min():g}): is a background subtracted already?")
        varying = ratio if isinstance(ratio, np.ndarray) else None
        constant = 1.0 if isinstance(ratio, np.ndarray) else float(ratio)
        behind, varying, map_ = (None if each is None else _cleared(each, use) for each in (behind, varying, map_))
        return cls(image, behind, varying, constant, map_, use, given.coords)

    def refuse_no_counts(self) -> None:
        """Raises `InputError` where all used pixels are negative or zero, unless all are zero."""
        brightest = int(self.counts.argmax())
        if self.counts.flat[brightest] > 0 and self.use.flat[brightest]:
            return
        used = self.counts[self.use > 0]
        if used.max() <= 0 and used.any():
            raise InputError(f"all {used.size} pixels that are used are negative or zero: give counts, before a "
                             "background is subtracted")


def use_flags(mask: ImageLike | None, shape: tuple[int, ...],
              seed_only: ImageLike | None = None) -> NDArray[np.uint8]:
    """The kernels' view of masks (True: excluded): 0 excluded, 1 used, 2 may start a bin but never join one."""
    use = np.ones(shape, np.uint8)
    if seed_only is not None:
        use[as_flags(seed_only, "seed_only", shape)] = 2
    if mask is not None:
        use *= ~as_flags(mask, "mask", shape)
    return use


def joined_mask(mask: ImageLike | None, shape: tuple[int, ...], **images: Any) -> NDArray[np.bool_] | None:
    """True where ``mask``, or the mask of one of ``images`` (which may be None), excludes a pixel; None for no mask."""
    joined = None if mask is None else as_flags(mask, "mask", shape)
    for name, image in images.items():
        masked = given_mask(image, name)
        if masked is not None and masked.shape == shape:
            joined = masked if joined is None else joined | masked
    return joined


def exclude_nan(use: NDArray[np.uint8], **images: Float32s) -> None:
    """Excludes NaN pixels from ``use``, with a warning that counts them; infinite ones are an `InputError`."""
    for name, image in images.items():
        if is_finite(image):
            continue
        refuse_infinite(image, name, use)
        missing = np.isnan(image)
        lost = np.count_nonzero(missing & (use > 0))
        use *= ~missing
        if lost:
            warn(f"{lost} NaN pixels of {name} are excluded")


def is_finite(image: NDArray[np.floating]) -> bool:
    """Whether all pixels are finite: the extremes are found in less time than all are looked at."""
    return bool(np.isfinite(image.min(initial=0)) and np.isfinite(image.max(initial=0)))


def refuse_infinite(image: Float32s, name: str, use: NDArray[np.uint8]) -> None:
    """Raises `InputError` where an image has used pixels of infinity, as numbers beyond float32 become."""
    infinite = np.count_nonzero(np.isinf(image) & (use > 0))
    if infinite:
        raise InputError(f"{name} has {counted(infinite, 'pixel that is', 'pixels that are')} infinite, or beyond the "
                         "3.4e38 of float32: mask or replace them")


def exclude_unexposed(exposure: Float32s, use: NDArray[np.uint8]) -> None:
    """Excludes pixels whose exposure is NaN or <= 0; `InputError` for infinite ones, and where no pixel is left."""
    refuse_infinite(exposure, "exposure", use)
    use *= exposure > 0
    require_pixels(use)


def require_pixels(use: NDArray[np.uint8]) -> None:
    """Raises `InputError` when every pixel is excluded."""
    if not use.any():
        raise InputError("no pixel is left: all are masked or have no data")


def exposure_ratio(exposure: ImageLike | None, background_exposure: ImageLike | None,
                   use: NDArray[np.uint8]) -> Float32s | np.float32:
    """e = exposure / background exposure in float32, a number where both are; no exposure excludes the pixel."""
    if exposure is None and background_exposure is None:
        return np.float32(1)
    unit = exposure_unit(exposure=exposure, background_exposure=background_exposure)
    over = _exposure(exposure, "exposure", unit, use)
    with np.errstate(over="ignore"):
        ratio: Float32s | np.float32 = over / _exposure(background_exposure, "background_exposure", unit, use)
    if not np.all(np.isfinite(ratio) | (use == 0)):
        raise InputError("exposure / background_exposure is beyond what float32 holds: check their units")
    return ratio


def exposure_unit(**exposures: Any) -> str:
    """The unit of exposures: cm2 s, s for exposure times, or none for parts of an exposure. Plain numbers have any.

    Raises `InputError` where one is in cm2 s and another in s.
    """
    of_each = {}
    for name, exposure in exposures.items():
        if exposure is None:
            continue
        unit = unit_of(exposure)
        if unit is not None:
            of_each[name] = next((each for each in EXPOSURE_UNITS if can_convert(unit, each)), EXPOSURE_UNITS[0])
    plain = [name for name, exposure in exposures.items() if exposure is not None and name not in of_each]
    if of_each and plain:
        raise InputError(f"{plain[0]} has no unit, and {next(iter(of_each))} has one: give both one, or neither")
    if len(set(of_each.values())) > 1:
        stated = " and ".join(f"{name} is in {unit}" for name, unit in of_each.items())
        raise InputError(f"{stated}: give both in one unit")
    return next(iter(of_each.values()), EXPOSURE_UNITS[0])


def _exposure(exposure: ImageLike | None, name: str, unit: str, use: NDArray[np.uint8]) -> Float32s | np.float32:
    if exposure is None:
        return np.float32(1)
    if not has_pixels(exposure):
        value = as_number(exposure, name, unit)
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"{name} is {value:.15g}: it must be positive")
        return max(np.float32(value), LEAST_EXPOSURE)
    image = as_image(exposure, name, shape=use.shape, units=(unit,))
    refuse_infinite(image, name, use)
    use *= image > 0  # NaN and no exposure: no data
    clipped: Float32s = np.maximum(np.nan_to_num(image, nan=1), LEAST_EXPOSURE)
    return clipped


def _optional(values: ImageLike | None, name: str, shape: tuple[int, ...]) -> Float32s | None:
    return None if values is None else as_image(values, name, shape=shape)


def _cleared(image: Float32s, use: NDArray[np.uint8]) -> Float32s:
    """The image with 0 where it is not used, so that the kernels see finite numbers only."""
    if is_finite(image):
        return image
    return np.where(use > 0, image, np.float32(0))
