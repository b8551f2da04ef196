"""The program ``contbin`` of the original suite: same options, same files, same pixels."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.images import LEAST_EXPOSURE
from chandra_bin._checks.options import Options
from chandra_bin._checks.paths import FileName, as_path
from chandra_bin.binning.bins import ContourBins
from chandra_bin.binning.contour import ImageArrays, bin_arrays
from chandra_bin.binning.histograms import histogram_qdp
from chandra_bin.binning.options import BinningOptions
from chandra_bin.errors import warn
from chandra_bin.fits.images import Image, product_header, write_image
from chandra_bin.fits.outputs import Outputs

from ._common import (
    Exposures,
    about,
    check_counts,
    history,
    mask_values,
    read_like_if_given,
    warn_of_odd_bins,
    warn_of_other_units,
)
from .inputs import files_of, read_image, read_like, refuse_filled

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ContbinFiles:
    """The original's six products, with its names."""

    out: Path = Path("contbin_out.fits")
    sn: Path = Path("contbin_sn.fits")
    binmap: Path = Path("contbin_binmap.fits")
    mask: Path = Path("contbin_mask.fits")
    sn_histogram: Path = Path("bin_sn_stats.qdp")
    signal_histogram: Path = Path("bin_signal_stats.qdp")

    @classmethod
    def inside(cls, folder: Path) -> Self:
        """Return the usual names in a folder."""
        return cls(*(folder / path for path in cls().all))

    @property
    def all(self) -> list[Path]:
        """All six files."""
        return [self.out, self.sn, self.binmap, self.mask, self.sn_histogram, self.signal_histogram]


@dataclass(frozen=True, repr=False)
class ContbinOptions(Options):
    """The options of the original contbin, with the same names, meanings and defaults.

    ``exclude`` and ``keep``, which the original lacks, are region files as in `ImageFiles`.
    """

    out: Path = ContbinFiles.out
    outsn: Path = ContbinFiles.sn
    outbinmap: Path = ContbinFiles.binmap
    bg: Path | None = None
    mask: Path | None = None
    exclude: tuple[Path, ...] = ()
    keep: tuple[Path, ...] = ()
    smoothed: Path | None = None
    expmap: Path | None = None
    bgexpmap: Path | None = None
    noisemap: Path | None = None
    sn: float = 15
    smoothsn: float = 15
    automask: bool = False
    constrainfill: bool = False
    constrainval: float = 3
    noscrub: bool = False
    binup: bool = False
    scrublarge: float | None = None

    def binning(self) -> BinningOptions:
        """Return the options as `BinningOptions`. Raises `InputError` for one that is out of range."""
        # No bin holds more than all pixels: a larger fraction, which the original accepts, changes nothing.
        scrub_large = None if self.scrublarge is not None and 1 < self.scrublarge < np.inf else self.scrublarge
        return BinningOptions(
            sn=self.sn, smooth_sn=self.smoothsn, contours="counts" if self.smoothed is None else None,
            constrain=self.constrainval if self.constrainfill else None, automask=self.automask, bin_up=self.binup,
            scrub=not self.noscrub, scrub_large=scrub_large)

    @property
    def inputs(self) -> list[Path]:
        """Return every file that is read with the image."""
        files = (self.bg, self.mask, self.smoothed, self.expmap, self.bgexpmap, self.noisemap)
        return [*(path for path in files if path is not None), *self.exclude, *self.keep]


def bin_as_contbin(image: FileName, options: ContbinOptions | None = None, *, threads: int = 1,
                   progress: Callable[[float], None] | None = None) -> ContourBins:
    """Bin an image as the original ``contbin`` does.

    Writes (and replaces) ``out``, ``outsn`` and ``outbinmap`` of the options, and in the working directory
    contbin_mask.fits, bin_sn_stats.qdp and bin_signal_stats.qdp. Raises `InputError` and `OutputError`; warns where an
    exposure map masks every pixel.
    """
    image = as_path(image, "image")
    options = ContbinOptions.or_defaults(options)
    files = ContbinFiles(options.out, options.outsn, options.outbinmap)
    with Outputs(files.all, inputs=files_of(image, *options.inputs), clobber=True) as outputs:
        counts = refuse_filled(read_image(image))
        with about(image):
            binning = options.binning()
        mask, arrays = _read_arrays(counts, options, binning)
        with about(image):
            bins = bin_arrays(arrays, binning, threads=threads, progress=progress)
        mask[bins.use == 0] = 0
        if options.noisemap is not None or not warn_of_other_units(image, bins, binning):
            warn_of_odd_bins(image, bins, binning)
        parameters = {"image": image, **{each.name: getattr(options, each.name) for each in fields(options)}}
        write_contbin_files(outputs, files, bins, mask, counts, history("contbin", parameters))
    return bins


def _read_arrays(counts: Image, options: ContbinOptions,
                 binning: BinningOptions) -> tuple[NDArray[np.int16], ImageArrays]:
    """Return the mask, (ny, nx), in contbin's sense, and the images to bin."""
    background = None if options.bg is None else refuse_filled(read_like(options.bg, counts, "background"))
    exposures = _exposures(counts, background, options.expmap, options.bgexpmap)
    mask = mask_values(counts, options.mask, options.automask, options.exclude, options.keep)
    mask[exposures.excluded] = 0
    check_counts(counts, mask, binning.constrain)
    return mask, ImageArrays(
        counts.data, background=None if background is None else background.data,
        exposure=exposures.image, background_exposure=exposures.background,
        noise=read_like_if_given(options.noisemap, counts, "noise map"),
        smoothed=read_like_if_given(options.smoothed, counts, "smoothed image"),
        mask=mask < 1, seed_only=mask > 1)


def write_contbin_files(outputs: Outputs, files: ContbinFiles, bins: ContourBins, mask: NDArray[np.int16],
                        image: Image, lines: list[str], sn: NDArray[np.float64] | None = None) -> None:
    """Write the original's six products, with the header of ``image`` and ``lines`` of HISTORY.

    ``sn`` replaces the S/N of the bins in contbin_sn.fits and in its histogram.
    """
    sn = bins.sn if sn is None else sn
    header = product_header(image.header, lines)
    images: dict[Path, NDArray[Any]] = {
        files.out: bins.signal_image, files.sn: bins.paint(sn, outside=-1).astype(np.float32),
        files.binmap: bins.binmap, files.mask: mask}
    for path, pixels in images.items():
        with outputs.open(path) as file:
            write_image(file, pixels, header)
    outputs.write(files.sn_histogram, histogram_qdp(sn, "Signal:Noise"))
    outputs.write(files.signal_histogram, histogram_qdp(bins.signal, "Counts"))


def _exposures(counts: Image, background: Image | None, expmap: Path | None, bgexpmap: Path | None) -> Exposures:
    excluded = np.zeros(counts.data.shape, dtype=bool)
    exposure: ArrayLike = counts.number("EXPOSURE", 1.0)
    if expmap is not None:
        exposure = read_like(expmap, counts, "exposure map").data
        excluded |= ~(exposure >= 1)
        _tell_of_small_exposures(expmap, exposure)
    if background is None:
        return Exposures(None, None, excluded)
    background_exposure: ArrayLike = background.number("EXPOSURE", 1.0)
    if bgexpmap is not None:
        background_exposure = read_like(bgexpmap, counts, "exposure map of the background").data
        excluded |= np.isnan(background_exposure)
    return Exposures(_clipped(exposure), _clipped(background_exposure), excluded)


def _clipped(exposure: ArrayLike) -> NDArray[np.float32]:
    return np.fmax(np.asarray(exposure, dtype=np.float32), LEAST_EXPOSURE)


def _tell_of_small_exposures(path: Path, exposure: NDArray[np.floating]) -> None:
    masked = np.count_nonzero(~(exposure >= 1))
    if masked == exposure.size:
        warn(f"{path}: all {masked} pixels have an exposure below 1, and are masked as the original does; "
             f"its unit should be seconds (largest value: {np.nanmax(exposure, initial=0):g})")
    elif masked:
        logger.info("%s: %d pixels with an exposure below 1 are masked", path, masked)
