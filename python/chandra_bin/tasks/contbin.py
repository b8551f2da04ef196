"""The original's main program: same options, same files, same pixels."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.images import LEAST_EXPOSURE
from chandra_bin.binning.contour import ContourBins, contour_bin
from chandra_bin.binning.histograms import histogram_qdp
from chandra_bin.errors import warn
from chandra_bin.fits.images import Image, product_header, write_image
from chandra_bin.fits.outputs import Outputs

from ._common import Exposures, about, check_counts, history, mask_values, read_like_if_given, warn_of_odd_bins
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
        """The usual names in a folder."""
        return cls(*(folder / path for path in cls().all))

    @property
    def all(self) -> list[Path]:
        return [self.out, self.sn, self.binmap, self.mask, self.sn_histogram, self.signal_histogram]


def bin_as_contbin(image: Path, *, out: Path = Path("contbin_out.fits"), outsn: Path = Path("contbin_sn.fits"),
                   outbinmap: Path = Path("contbin_binmap.fits"), bg: Path | None = None, mask: Path | None = None,
                   exclude: Sequence[Path] = (), keep: Sequence[Path] = (),
                   smoothed: Path | None = None, expmap: Path | None = None, bgexpmap: Path | None = None,
                   noisemap: Path | None = None, sn: float = 15, smoothsn: float = 15, automask: bool = False,
                   constrainfill: bool = False, constrainval: float = 3, noscrub: bool = False, binup: bool = False,
                   scrublarge: float | None = None, threads: int = 1,
                   progress: Callable[[float], None] | None = None) -> ContourBins:
    """Bins an image as the original's ``contbin`` does; its options have the names and meanings they have there.

    Writes (and replaces) ``out``, ``outsn`` and ``outbinmap``, and in the working directory contbin_mask.fits,
    bin_sn_stats.qdp and bin_signal_stats.qdp. ``exclude`` and ``keep`` are region files, as in `bin_image`.
    Raises `InputError` and `OutputError`; warns where an exposure map
    masks every pixel.
    """
    parameters = {
        "image": image, "out": out, "outsn": outsn, "outbinmap": outbinmap, "bg": bg, "mask": mask,
        "exclude": tuple(exclude), "keep": tuple(keep),
        "smoothed": smoothed, "expmap": expmap, "bgexpmap": bgexpmap, "noisemap": noisemap, "sn": sn,
        "smoothsn": smoothsn, "automask": automask, "constrainfill": constrainfill, "constrainval": constrainval,
        "noscrub": noscrub, "binup": binup, "scrublarge": scrublarge,
    }
    inputs = [path for path in (image, bg, mask, smoothed, expmap, bgexpmap, noisemap) if path is not None]
    inputs += [*files_of(*exclude, *keep)]
    files = ContbinFiles(out, outsn, outbinmap)
    with Outputs(files.all, inputs=files_of(*inputs), clobber=True) as outputs:
        counts = refuse_filled(read_image(image))
        background = None if bg is None else refuse_filled(read_like(bg, counts, "background"))
        exposures = _exposures(counts, background, expmap, bgexpmap)
        masked = mask_values(counts, mask, automask, exclude, keep)
        masked[exposures.excluded] = 0
        constrain = constrainval if constrainfill else None
        check_counts(counts, masked, constrain)
        noise = read_like_if_given(noisemap, counts, "noise map")
        contours = read_like_if_given(smoothed, counts, "smoothed image")
        with about(image):
            bins = contour_bin(
                counts.data, sn=sn, smooth_sn=smoothsn, constrain=constrain,
                background=None if background is None else background.data,
                exposure=exposures.image, background_exposure=exposures.background,
                noise=noise, contours="counts" if contours is None else None,
                smoothed=contours,
                mask=masked < 1, seed_only=masked > 1, bin_up=binup, scrub=not noscrub, scrub_large=scrublarge,
                threads=threads, progress=progress)
        masked[bins.use == 0] = 0
        warn_of_odd_bins(bins)
        write_contbin_files(outputs, files, bins, masked, counts, history("contbin", parameters))
    return bins


def write_contbin_files(outputs: Outputs, files: ContbinFiles, bins: ContourBins, mask: NDArray[np.int16],
                        image: Image, lines: list[str], sn: NDArray[np.float64] | None = None) -> None:
    """Writes the original's six products, with the header of ``image`` and ``lines`` of HISTORY.

    ``sn`` replaces the S/N of the bins in contbin_sn.fits and in its histogram.
    """
    sn = bins.sn if sn is None else sn
    header = product_header(image.header, lines)
    images: dict[Path, NDArray[Any]] = {
        files.out: bins.signal_image, files.sn: bins.paint(sn, outside=-1), files.binmap: bins.binmap, files.mask: mask}
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
