"""Wavelet detection of sources in images, over all scales."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Float32s
from chandra_bin._checks.arrays import as_flags, as_image, of_given, warn_of_noise
from chandra_bin._checks.given import ImageLike, given_image
from chandra_bin._checks.images import EXPOSURE_UNITS, joined_mask
from chandra_bin.coords.given import coords_of_image
from chandra_bin.errors import InputError, counted, warn

from ._field import AtScale, Field, Search
from ._grids import doubled
from ._sources import Source, join, measure, reconstructed
from .options import DEFAULT_SCALES, DetectionOptions

if TYPE_CHECKING:
    from astropy.table import QTable

    from chandra_bin.coords.wcs import ImageCoords

# The positive part of the hat, 2.8 scales across, must fit into the image.
_LARGEST_PART = 2.8


@dataclass(frozen=True, eq=False, repr=False)
class Detection:
    """Detected sources, and images (ny, nx) of their cells and of the background."""

    sources: list[Source]
    """In the order of x."""
    cells: NDArray[np.int32]
    """The number of the source, from 1, in the pixels of its cell; 0 elsewhere."""
    background: Float32s
    """Background counts per pixel at the largest exposure, the mean over the scales; NaN without data."""
    reconstructed: Float32s
    """Net counts per pixel of the sources, each as a Gaussian with its moments."""
    scales: tuple[float, ...]
    significant: tuple[int, ...]
    """Number of significant pixels at each scale (at large scales, pixels of a coarser grid times their area)."""
    sigthresh: float
    exposed: int
    """The number of pixels with data."""
    largest_exposure: float
    dropped: int
    """Number of sources that are not listed because they lie in ``unwanted`` pixels."""
    coords: "ImageCoords | None" = None
    """Coordinates of the image; None without coordinates."""

    def __len__(self) -> int:
        """Return the number of sources."""
        return len(self.sources)

    def __repr__(self) -> str:
        ny, nx = self.cells.shape
        return (f"<Detection: {counted(len(self), 'source')} in an image of {nx} x {ny} pixels, at scales of "
                f"{', '.join(f'{scale:g}' for scale in self.scales)} pixels>")

    @cached_property
    def table(self) -> "QTable":
        """A table with a row per source, with units: position (array coordinates), net counts, size, 1-sigma errors.

        An image with sky coordinates adds ``ra`` and ``dec`` (ICRS). ``significance`` is net counts over the Gehrels
        error of the background in the cell, as in wavdetect. ``angle`` is that of the major axis from +x.
        """
        from astropy import units as u
        from astropy.table import QTable

        def column(name: str) -> Any:
            return np.array([getattr(source, name) for source in self.sources], dtype=np.float64)

        table = QTable({"source": np.arange(1, len(self) + 1)})
        for name in ("x", "y", "x_err", "y_err"):
            table[name] = column(name) * u.pix
        if self.coords is not None and self.coords.sky is not None:
            table["ra"], table["dec"] = self.coords.image_to_sky(column("x"), column("y"), "icrs") * u.deg
        for name in ("net", "net_err", "background", "background_err"):
            table[name] = column(name) * u.ct
        table["significance"] = [source.significance for source in self.sources]
        sigmas = np.array([source.sigmas for source in self.sources]).reshape(-1, 2)
        table["major_sigma"], table["minor_sigma"] = sigmas.max(axis=1) * u.pix, sigmas.min(axis=1) * u.pix
        table["angle"] = column("angle_deg") * u.deg
        return table

    @property
    def expected_false(self) -> float:
        """Expected number of pixels that noise makes significant at each scale: ``sigthresh`` x pixels with data.

        This is an upper limit of the false sources of one scale, since pixels of a large scale are correlated and a
        false source has several significant pixels.
        """
        return self.sigthresh * self.exposed


def detect_sources(counts: ImageLike, options: DetectionOptions | None = None, *, exposure: ImageLike | None = None,
                   psf_sigma_px: ImageLike | None = None, mask: ImageLike | None = None,
                   unwanted: ImageLike | None = None, progress: Callable[[float], None] | None = None) -> Detection:
    """Detect sources in a counts image with the Mexican hat wavelet, as CIAO's wavdetect does.

    Parameters
    ----------
    counts : image, (ny, nx)
        Counts per pixel, whole numbers; NaN means no data. An array, or an image with coordinates, as for
        `contour_bin`.
    options : DetectionOptions, optional
        Options of the search.
    exposure : image, (ny, nx), optional
        Exposure map in any unit. Default: uniform.
    psf_sigma_px : image, (ny, nx), optional
        Sigma of a Gaussian PSF in pixels; NaN: unknown. Default: no assumption on the size of sources.
    mask : image of bool, (ny, nx), optional
        True in excluded pixels.
    unwanted : image of bool, (ny, nx), optional
        True in pixels whose sources are not listed, for example in a cluster.
    progress : callable, optional
        Called with the fraction done; an exception from it ends the search.

    Raises
    ------
    InputError
        For negative counts, an exposure of 0 in all pixels, and scales larger than the image.

    Warns
    -----
    ChandraBinWarning
        For counts that are not whole numbers, and images without counts.

    References
    ----------
    Freeman, Kashyap, Rosner & Lamb (2002), ApJS 138, 185.

    Examples
    --------
    >>> import numpy as np
    >>> from chandra_bin import DetectionOptions, detect_sources
    >>> counts = np.random.default_rng(1).poisson(0.1, (64, 64))
    >>> counts[30:33, 40:43] += 9
    >>> detect_sources(counts, DetectionOptions(sigthresh=1e-6))
    <Detection: 1 source in an image of 64 x 64 pixels, at scales of 1, 2, 4, 8, 16 pixels>
    """
    options = DetectionOptions.or_defaults(options)
    return search(prepared(counts, options, exposure=exposure, psf_sigma_px=psf_sigma_px, mask=mask,
                           unwanted=unwanted), options, progress)


@dataclass(frozen=True, eq=False)
class Prepared:
    """Checked input of a search, without references to the caller's arrays, which the caller can then free."""

    field: Field
    scales: tuple[float, ...]
    sigma: Float32s | None
    unwanted: NDArray[np.bool_]
    largest_exposure: float
    coords: "ImageCoords | None"


def prepared(counts: ImageLike, options: DetectionOptions, *, exposure: ImageLike | None = None,
             psf_sigma_px: ImageLike | None = None, mask: ImageLike | None = None,
             unwanted: ImageLike | None = None) -> Prepared:
    """Check and convert the arguments of `detect_sources`, with its errors and warnings."""
    given = given_image(counts, "counts")
    warn_of_noise(given, "counts")
    image = of_given(given, "counts")
    coords = coords_of_image(given.coords, "counts", image.shape)
    excluded = as_flags(joined_mask(mask, image.shape, counts=counts, exposure=exposure), "mask", image.shape)
    not_listed = as_flags(unwanted, "unwanted", image.shape)
    exposed = _exposure(image, exposure, excluded, options.expthresh)
    chosen = _scales(options.scales, image.shape)
    sigma = None if psf_sigma_px is None else _sizes(psf_sigma_px, image.shape)
    has_data = exposed > 0
    _check_counts(image[has_data])
    largest = float(exposed.max())
    exposed /= np.float32(largest)
    return Prepared(Field(np.where(has_data, image, np.float32(0)), exposed, chosen[-1]), chosen, sigma, not_listed,
                    largest, coords)


def search(of: Prepared, options: DetectionOptions, progress: Callable[[float], None] | None = None) -> Detection:
    """Search prepared images, and return the result of `detect_sources`."""
    grid = of.field
    has_data = grid.exposure > 0
    pixels = int(has_data.sum())
    probability = 1 / max(pixels, 2) if options.sigthresh == "auto" else float(options.sigthresh)
    by_scale = Search(grid)
    found: list[AtScale] = []
    keep = np.ones(grid.counts.shape, bool)
    cleaned = [np.packbits(~keep)]
    for number, scale in enumerate(of.scales):
        at, keep = by_scale.at(scale, probability, options.bkgsigthresh, keep, options.maxiter)
        found.append(at)
        cleaned.append(np.packbits(~keep))
        if progress is not None:
            progress((number + 1) / (len(of.scales) + 1))
    del by_scale, keep  # frees memory
    candidates = join(grid, found, cleaned, of.sigma, probability)
    sources, cells, dropped = measure(grid, found, candidates, of.sigma, of.unwanted)
    significant = tuple(len(at.strengths) << 2 * at.level for at in found)
    background = _mean_background(found)
    del found
    background[~has_data] = np.nan
    ny, nx = grid.inside
    return Detection(sources, cells, background[:ny, :nx], reconstructed(grid.inside, sources), of.scales, significant,
                     probability, pixels, of.largest_exposure, dropped, of.coords)


@dataclass(frozen=True)
class SourceFinder:
    """Detects sources in several images with the same options: ``SourceFinder(DetectionOptions(maxiter=5))(image)``."""

    options: DetectionOptions = field(default_factory=DetectionOptions)

    def __post_init__(self) -> None:
        """Raise `InputError` unless the options are `DetectionOptions`."""
        DetectionOptions.or_defaults(self.options)

    def __call__(self, counts: ImageLike, *, exposure: ImageLike | None = None, psf_sigma_px: ImageLike | None = None,
                 mask: ImageLike | None = None, unwanted: ImageLike | None = None,
                 progress: Callable[[float], None] | None = None) -> Detection:
        """Detect the sources of an image, as `detect_sources` does."""
        return detect_sources(counts, self.options, exposure=exposure, psf_sigma_px=psf_sigma_px, mask=mask,
                              unwanted=unwanted, progress=progress)


def bytes_needed(shape: tuple[int, int], scales: int) -> int:
    """Return the approximate peak memory of a search in bytes, for an image (ny, nx) and a number of scales."""
    return shape[0] * shape[1] * (50 + 9 * scales)


def _sizes(psf_sigma_px: ImageLike, shape: tuple[int, int]) -> Float32s:
    """Return the checked sizes of the PSF."""
    sigma: Float32s = as_image(psf_sigma_px, "psf_sigma_px", shape=shape)
    if np.any(sigma < 0):
        raise InputError("psf_sigma_px has negative values: it must be the sigma of the PSF in pixels")
    return sigma


def _exposure(image: Float32s, exposure: ImageLike | None, excluded: NDArray[np.bool_], expthresh: float) -> Float32s:
    """Return the exposure of the pixels to search, 0 in all others."""
    if exposure is None:
        made = np.ones(image.shape, np.float32)
    else:
        map_ = as_image(exposure, "exposure", shape=image.shape, units=EXPOSURE_UNITS)
        made = np.nan_to_num(map_, nan=0, posinf=np.inf)
        if np.isinf(made).any():
            raise InputError("the exposure is infinite in some pixels; set them to NaN to exclude them")
    made = np.where(np.isnan(image) | excluded | (made <= 0), np.float32(0), made)
    largest = float(made.max(initial=0))
    if largest <= 0:
        raise InputError("no pixel has data: the exposure is 0 everywhere, or all pixels are NaN or masked")
    return np.where(made < expthresh * largest, np.float32(0), made)


def _scales(scales: tuple[float, ...] | None, shape: tuple[int, int]) -> tuple[float, ...]:
    """Return the scales to search, in ascending order."""
    largest = min(shape) / _LARGEST_PART
    if scales is None:
        fitting = tuple(scale for scale in DEFAULT_SCALES if scale <= largest)
        if not fitting:
            raise InputError(f"the image of {shape[1]} x {shape[0]} pixels is too small to search for sources")
        return fitting
    if not scales:
        raise InputError("the list of scales is empty: give one or more")
    for scale in scales:
        if not (np.isfinite(scale) and scale >= 0.5):
            raise InputError(f"scales must be 0.5 pixels or more, got {scale:.15g}")
        if scale > largest:
            raise InputError(f"the scale {scale:.15g} is too large for an image of {shape[1]} x {shape[0]} pixels: the "
                             f"largest that fits is {largest:.3g}")
    return tuple(sorted(set(scales)))


def _check_counts(values: Float32s) -> None:
    """Raise `InputError` for negative and infinite counts, and warn of other values that are not counts."""
    if (values < 0).any():
        raise InputError(f"{counted(np.count_nonzero(values < 0), 'pixel is', 'pixels are')} negative: give "
                         "counts, not an image with the background subtracted")
    if np.isinf(values).any():
        raise InputError("some pixels are infinite; set them to NaN to exclude them")
    if (values != np.rint(values)).any():
        warn("the pixels are not whole numbers: thresholds are valid for counts, not for fluxes")
    if not values.any():
        warn("the image has no counts, so that no source is found")


def _mean_background(found: Sequence[AtScale]) -> Float32s:
    """Return the mean background over the scales, on the finest grid."""
    coarsest = max(found, key=lambda at: at.level)
    total = np.zeros(coarsest.background.shape, np.float32)
    for level in range(coarsest.level, -1, -1):
        for at in found:
            if at.level == level:
                total += at.background
        if level:
            total = doubled(total)
    total /= np.float32(len(found))
    return total
