"""The images of one smoothing or binning run, checked and converted for the kernels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.errors import InputError, counted, warn

from .array_types import Float32s
from .arrays import as_flags, as_image, as_number, of_given
from .given import ImageLike, given_image, given_mask, has_pixels
from .units import can_convert, unit_of

# Noise is squared in float32, as in contbin.
_MOST_NOISE = np.sqrt(np.finfo(np.float32).max)
# Units of exposure maps, exposure times and exposure fractions.
EXPOSURE_UNITS = ("cm2 s", "s", "")
# Units of fluxes: counts divided by exposure.
FLUX_UNITS = ("1 / (cm2 s)", "1 / s", "")
LEAST_EXPOSURE = np.float32(1e-7)  # contbin clips exposures at this value before it divides by them


@dataclass(frozen=True)
class KernelImages:
    """Images that `smooth` and `contour_bin` pass to C++: each (ny, nx), float32 and finite."""

    counts: Float32s
    background: Float32s | None
    ratio: Float32s | None
    constant_ratio: float
    noise: Float32s | None
    use: NDArray[np.uint8]
    coords: Any = None
    """The header or astropy WCS of the counts image, if it has one."""

    @classmethod
    def check(cls, counts: ImageLike, background: ImageLike | None, exposure: ImageLike | None,
              background_exposure: ImageLike | None, noise: ImageLike | None, mask: ImageLike | None,
              seed_only: ImageLike | None = None, *, background_scale: ImageLike | None = None) -> "KernelImages":
        """Check and convert the images given to the public functions; exclude pixels without data.

        Pixels masked in any image are excluded, and an uncertainty of ``counts`` becomes the noise. Warns about NaN
        pixels and negative counts. Raises `InputError` for infinite pixels, unequal shapes, negative noise, and if no
        pixel is left.
        """
        given = given_image(counts, "counts")
        image = of_given(given, "counts")
        if given.noise is not None:
            if noise is not None:
                raise InputError("both noise and an uncertainty of counts are given: give only one")
            noise = given.noise
        mask = joined_mask(mask, image.shape, counts=counts, background=background, exposure=exposure,
                           background_exposure=background_exposure, noise=noise, background_scale=background_scale)
        use = use_flags(mask, image.shape, seed_only)
        lowest, highest = image.min(initial=0), image.max(initial=0)  # either is NaN where a pixel is
        if not (np.isfinite(lowest) and np.isfinite(highest)):
            exclude_nan(use, counts=image)
            image = np.where(use > 0, image, np.float32(0))
            lowest = image.min(initial=0)
        background_counts = _optional(background, "background", image.shape)
        noise_map = _optional(noise, "noise", image.shape)
        if background_counts is not None:
            exclude_nan(use, background=background_counts)
            if not background_counts.min(initial=0) >= 0 and np.any(background_counts[use > 0] < 0):
                warn(f"background has {np.count_nonzero(background_counts[use > 0] < 0)} negative pixels (minimum "
                     f"{background_counts[use > 0].min():g}): give counts, else the noise of bins may be NaN")
        if noise_map is not None:
            exclude_nan(use, noise=noise_map)
            if np.any(noise_map[use > 0] < 0):
                raise InputError(f"noise has negative values (minimum {noise_map[use > 0].min():g}): give 1 sigma")
            if np.any(noise_map[use > 0] > _MOST_NOISE):
                raise InputError(f"noise has values up to {noise_map[use > 0].max():g}, whose squares overflow "
                                 "float32: mask or replace them")
            if not np.any(noise_map[use > 0] > 0) and np.any(image[use > 0] != 0):
                raise InputError("noise is 0 in all pixels that are used: give 1 sigma of the counts in a pixel")
        ratio = (exposure_ratio(exposure, background_exposure, use) if background_scale is None else
                 _exposure(background_scale, "background_scale", "", use))
        require_pixels(use)
        if not lowest >= 0 and np.any(image[use > 0] < 0):
            warn(f"counts has {np.count_nonzero(image[use > 0] < 0)} negative pixels "
                 f"(minimum {image[use > 0].min():g}): check that no background was subtracted")
        varying = ratio if isinstance(ratio, np.ndarray) else None
        constant = 1.0 if isinstance(ratio, np.ndarray) else float(ratio)
        background_counts, varying, noise_map = (
            None if each is None else _cleared(each, use) for each in (background_counts, varying, noise_map))
        return cls(image, background_counts, varying, constant, noise_map, use, given.coords)

    def refuse_no_counts(self) -> None:
        """Raise `InputError` if all used pixels are zero or negative and at least one is negative."""
        brightest = int(self.counts.argmax())
        if self.counts.flat[brightest] > 0 and self.use.flat[brightest]:
            return
        used = self.counts[self.use > 0]
        if used.max() <= 0 and used.any():
            raise InputError(f"all {used.size} pixels that are used are negative or zero: give counts without "
                             "background subtraction")


def use_flags(mask: ImageLike | None, shape: tuple[int, ...],
              seed_only: ImageLike | None = None) -> NDArray[np.uint8]:
    """Convert masks (True: excluded) to kernel codes: 0 excluded, 1 used, 2 may start a bin but never join one."""
    use = np.ones(shape, np.uint8)
    if seed_only is not None:
        use[as_flags(seed_only, "seed_only", shape)] = 2
    if mask is not None:
        use *= ~as_flags(mask, "mask", shape)
    return use


def joined_mask(mask: ImageLike | None, shape: tuple[int, ...], **images: Any) -> NDArray[np.bool_] | None:
    """Return the union of ``mask`` and the masks of ``images`` (each may be None), True: excluded; None for no mask."""
    joined = None if mask is None else as_flags(mask, "mask", shape)
    for name, image in images.items():
        masked = given_mask(image, name)
        if masked is not None and masked.shape == shape:
            joined = masked if joined is None else joined | masked
    return joined


def exclude_nan(use: NDArray[np.uint8], **images: Float32s) -> None:
    """Exclude NaN pixels from ``use`` and warn how many; raise `InputError` for infinite pixels."""
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
    """Return whether all pixels are finite; testing the extremes is faster than testing each pixel."""
    return bool(np.isfinite(image.min(initial=0)) and np.isfinite(image.max(initial=0)))


def refuse_infinite(image: Float32s, name: str, use: NDArray[np.uint8]) -> None:
    """Raise `InputError` if a used pixel is infinite, which numbers beyond float32 become."""
    infinite = np.count_nonzero(np.isinf(image) & (use > 0))
    if infinite:
        raise InputError(f"{name} has {counted(infinite, 'pixel that is', 'pixels that are')} infinite, or beyond the "
                         "float32 limit of 3.4e38: mask or replace them")


def exclude_unexposed(exposure: Float32s, use: NDArray[np.uint8]) -> None:
    """Exclude pixels whose exposure is NaN or <= 0; raise `InputError` for infinite ones, and if no pixel is left."""
    refuse_infinite(exposure, "exposure", use)
    use *= exposure > 0
    require_pixels(use)


def require_pixels(use: NDArray[np.uint8]) -> None:
    """Raise `InputError` if every pixel is excluded."""
    if not use.any():
        raise InputError("no pixel is left: all are masked or have no data")


def exposure_ratio(exposure: ImageLike | None, background_exposure: ImageLike | None,
                   use: NDArray[np.uint8]) -> Float32s | np.float32:
    """Return exposure / background exposure in float32; a number if both are. Exclude pixels without exposure."""
    if exposure is None and background_exposure is None:
        return np.float32(1)
    unit = exposure_unit(exposure=exposure, background_exposure=background_exposure)
    over = _exposure(exposure, "exposure", unit, use)
    with np.errstate(over="ignore"):
        ratio: Float32s | np.float32 = over / _exposure(background_exposure, "background_exposure", unit, use)
    if not np.all(np.isfinite(ratio) | (use == 0)):
        raise InputError("exposure / background_exposure overflows float32: check their units")
    return ratio


def exposure_unit(**exposures: Any) -> str:
    """Return the common unit of exposures: cm2 s, s for exposure times, or "" for fractions. Plain numbers fit any.

    Raises `InputError` if one is in cm2 s and another in s.
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
        raise InputError(f"{plain[0]} has no unit, but {next(iter(of_each))} has one: give both a unit, or neither")
    if len(set(of_each.values())) > 1:
        stated = " and ".join(f"{name} is in {unit}" for name, unit in of_each.items())
        raise InputError(f"{stated}: give both in one unit")
    return next(iter(of_each.values()), EXPOSURE_UNITS[0])


def _exposure(exposure: ImageLike | None, name: str, unit: str, use: NDArray[np.uint8]) -> Float32s | np.float32:
    """Return an exposure clipped at `LEAST_EXPOSURE`; exclude pixels without exposure from ``use``."""
    if exposure is None:
        return np.float32(1)
    if not has_pixels(exposure):
        value = as_number(exposure, name, unit)
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"{name} is {value:.15g}: it must be positive")
        return max(np.float32(value), LEAST_EXPOSURE)
    image = as_image(exposure, name, shape=use.shape, units=(unit,))
    refuse_infinite(image, name, use)
    use *= image > 0  # NaN or <= 0: no data
    clipped: Float32s = np.maximum(np.nan_to_num(image, nan=1), LEAST_EXPOSURE)
    return clipped


def _optional(values: ImageLike | None, name: str, shape: tuple[int, ...]) -> Float32s | None:
    """Return an image as float32, or None."""
    return None if values is None else as_image(values, name, shape=shape)


def _cleared(image: Float32s, use: NDArray[np.uint8]) -> Float32s:
    """Return the image with 0 in unused pixels if it has NaN, so that the kernels see finite numbers only."""
    if is_finite(image):
        return image
    return np.where(use > 0, image, np.float32(0))
