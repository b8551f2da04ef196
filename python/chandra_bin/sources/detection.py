"""The search: from images to sources, over all scales."""

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
    """Sources, and images of what they were found in (ny, nx)."""

    sources: list[Source]
    """In the order of x."""
    cells: NDArray[np.int32]
    """The number of the source, from 1, in the pixels of its cell; 0 elsewhere."""
    background: Float32s
    """Counts per pixel where the exposure is the largest one, the mean of those of the scales; NaN without data."""
    reconstructed: Float32s
    """Net counts per pixel of the sources, each as a Gaussian of its moments."""
    scales: tuple[float, ...]
    significant: tuple[int, ...]
    """How many pixels are significant at each scale (of large scales, pixels of a coarser grid, times their area)."""
    sigthresh: float
    exposed: int
    """The number of pixels with data."""
    largest_exposure: float
    dropped: int
    """How many sources were left out because they are where none are wanted."""
    coords: "ImageCoords | None" = None
    """Of the image, where it came with coordinates."""

    def __len__(self) -> int:
        """The number of sources."""
        return len(self.sources)

    def __repr__(self) -> str:
        ny, nx = self.cells.shape
        return (f"<Detection: {counted(len(self), 'source')} in an image of {nx} x {ny} pixels, at scales of "
                f"{', '.join(f'{scale:g}' for scale in self.scales)} pixels>")

    @cached_property
    def table(self) -> "QTable":
        """A row for each source, with units: place (array coordinates), net counts, size; with errors (1 sigma).

        ``ra`` and ``dec`` (ICRS) are there where the image came with a sky. ``significance`` is net counts over the
        Gehrels error of the background in the cell, as wavdetect has it. ``angle`` is that of the major axis from +x.
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
        """The number of pixels that noise alone is expected to make significant at each scale: ``sigthresh`` times the
        pixels with data.

        Pixels of a large scale are correlated, and a false source has several, so that this is an upper limit of the
        false sources of one scale.
        """
        return self.sigthresh * self.exposed


def detect_sources(counts: ImageLike, options: DetectionOptions | None = None, *, exposure: ImageLike | None = None,
                   psf_sigma_px: ImageLike | None = None, mask: ImageLike | None = None,
                   unwanted: ImageLike | None = None, progress: Callable[[float], None] | None = None) -> Detection:
    """Finds sources in an image of counts (ny, nx).

    Parameters
    ----------
    counts : whole numbers; NaN is no data. An array, or an image with coordinates, as `contour_bin` takes it.
    options : how to search; None: the defaults.
    exposure : in any unit. None: the same everywhere.
    psf_sigma_px : sigma of a Gaussian PSF in pixels, an image, NaN where it is not known. None: nothing is assumed of
        the size of sources.
    mask : boolean, True where a pixel is excluded.
    unwanted : boolean, True where sources are found but not listed: in a cluster, say.
    progress : called with the fraction done; what it raises ends the search.

    Raises `InputError` for negative counts, no exposure anywhere, and scales larger than the image; warns of counts
    that are not whole numbers, and of images without counts.

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
    """What is searched; it holds none of the arrays that it was made from, so that the caller can free these."""

    field: Field
    scales: tuple[float, ...]
    sigma: Float32s | None
    unwanted: NDArray[np.bool_]
    largest_exposure: float
    coords: "ImageCoords | None"


def prepared(counts: ImageLike, options: DetectionOptions, *, exposure: ImageLike | None = None,
             psf_sigma_px: ImageLike | None = None, mask: ImageLike | None = None,
             unwanted: ImageLike | None = None) -> Prepared:
    """Check and convert the arguments of `detect_sources`, whose errors and warnings it gives."""
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
    """Return what `detect_sources` does."""
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
    del by_scale, keep  # of much memory
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
    """Finds sources in images with the same options: ``SourceFinder(DetectionOptions(sigthresh=1e-6))(image)``."""

    options: DetectionOptions = field(default_factory=DetectionOptions)

    def __post_init__(self) -> None:
        """Raise `InputError` for anything but options of detection."""
        DetectionOptions.or_defaults(self.options)

    def __call__(self, counts: ImageLike, *, exposure: ImageLike | None = None, psf_sigma_px: ImageLike | None = None,
                 mask: ImageLike | None = None, unwanted: ImageLike | None = None,
                 progress: Callable[[float], None] | None = None) -> Detection:
        """Find the sources of an image, as `detect_sources` does."""
        return detect_sources(counts, self.options, exposure=exposure, psf_sigma_px=psf_sigma_px, mask=mask,
                              unwanted=unwanted, progress=progress)


def bytes_needed(shape: tuple[int, int], scales: int) -> int:
    """About how much memory the search takes at most, for an image (ny, nx) and a number of scales."""
    return shape[0] * shape[1] * (50 + 9 * scales)


def _sizes(psf_sigma_px: ImageLike, shape: tuple[int, int]) -> Float32s:
    sigma: Float32s = as_image(psf_sigma_px, "psf_sigma_px", shape=shape)
    if np.any(sigma < 0):
        raise InputError("psf_sigma_px holds negative values: it is the sigma of the PSF in pixels")
    return sigma


def _exposure(image: Float32s, exposure: ImageLike | None, excluded: NDArray[np.bool_], expthresh: float) -> Float32s:
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
        raise InputError("no pixel has data: the exposure is nowhere above 0, or all is NaN or masked")
    return np.where(made < expthresh * largest, np.float32(0), made)


def _scales(scales: tuple[float, ...] | None, shape: tuple[int, int]) -> tuple[float, ...]:
    largest = min(shape) / _LARGEST_PART
    if scales is None:
        fitting = tuple(scale for scale in DEFAULT_SCALES if scale <= largest)
        if not fitting:
            raise InputError(f"the image of {shape[1]} x {shape[0]} pixels is too small to search for sources")
        return fitting
    if not scales:
        raise InputError("no scale is given")
    for scale in scales:
        if not (np.isfinite(scale) and scale >= 0.5):
            raise InputError(f"a scale is {scale:.15g}: scales are pixels, 0.5 or more")
        if scale > largest:
            raise InputError(f"a scale is {scale:.15g}: in an image of {shape[1]} x {shape[0]} pixels the largest that "
                             f"fits is {largest:.3g}")
    return tuple(sorted(set(scales)))


def _check_counts(values: Float32s) -> None:
    if (values < 0).any():
        raise InputError(f"{counted(np.count_nonzero(values < 0), 'pixel is', 'pixels are')} negative: sources are "
                         "found in counts, not in images from which a background was subtracted")
    if np.isinf(values).any():
        raise InputError("some pixels are infinite; set them to NaN to exclude them")
    if (values != np.rint(values)).any():
        warn("the pixels are no whole numbers: thresholds are right for counts only, not for fluxes")
    if not values.any():
        warn("the image has no counts, so no source")


def _mean_background(found: Sequence[AtScale]) -> Float32s:
    """The mean over the scales, on the finest grid."""
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
