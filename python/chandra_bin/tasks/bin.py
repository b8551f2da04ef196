"""Contour binning of an image file into a folder of products."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.binning.contour import LOW_SN, BinSums, ContourBins, Contours, contour_bin, sum_bins
from chandra_bin.binning.outlines import trace_polygons
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, counted, warn
from chandra_bin.fits.headers import text_of
from chandra_bin.fits.images import Image, product_header, write_image
from chandra_bin.fits.outputs import Outputs
from chandra_bin.plots.bins import bins_png
from chandra_bin.regions import BinTexts, Style

from ._blanksky import LOCAL
from ._common import (
    about,
    check_counts,
    coords_if_usable,
    ecsv,
    history,
    mask_values,
    need_positive,
    read_like_if_given,
    warn_of_odd_bins,
    write_picture,
)
from .contbin import ContbinFiles, write_contbin_files
from .inputs import files_of, read_image, read_like, read_on_grid, refuse_filled

logger = logging.getLogger(__name__)

# Error of a blank-sky background beyond Poisson noise, as a fraction: spectra of the particle background vary by some
# 3 % from observation to observation once scaled at 9 - 12 keV (Markevitch et al. 2003, ApJ 583, 70).
DEFAULT_SYSTEMATIC = 0.03
# A median S/N that is farther from the target is warned of.
_MEDIAN_OFF = 0.1


@dataclass(frozen=True)
class CountsBehind:
    """The counts of an image that is not one of counts: image, background counts, and what each of these stands for."""

    counts: Path
    background: Path | None = None
    scale: Path | None = None

    def read(self, image: Image) -> "CountsImages":
        """Read the images, which must be on the grid of ``image``."""
        counts = read_on_grid(self.counts, image, "image of counts")
        background, scale = (None if path is None else read_on_grid(path, image, what)
                             for path, what in ((self.background, "background"), (self.scale, "background scale")))
        return CountsImages(counts, background, scale)


@dataclass(frozen=True, eq=False)
class CountsImages:
    """The images of `CountsBehind`."""

    counts: Image
    background: Image | None
    scale: Image | None

    def sums(self, bins: ContourBins) -> BinSums:
        """The sums of each bin."""
        return sum_bins(bins.binmap, self.counts.data,
                        background=None if self.background is None else self.background.data,
                        ratio=1.0 if self.scale is None else self.scale.data)


@dataclass(frozen=True)
class BackgroundError:
    """1-sigma fractional errors of a background's normalisation, which add in quadrature."""

    systematic: float
    scale: float

    @property
    def total(self) -> float:
        return float(np.hypot(self.systematic, self.scale))


@dataclass(frozen=True)
class BinnedImage:
    """Bins, the coordinates of their image, and the folder with their products."""

    bins: ContourBins
    coords: ImageCoords
    folder: Path
    sn_counts: NDArray[np.float64]
    """S/N of bins in counts, with the sign of the net counts."""
    reached: NDArray[np.bool_]
    """Whether a bin has the target S/N (or net counts), in counts."""
    low: NDArray[np.bool_]
    """Whether a bin has a S/N in counts below ``chandra_bin.binning.contour.LOW_SN`` (3)."""
    background_fraction: NDArray[np.float64]
    """Expected background over counts of each bin; NaN without counts."""
    background_error: BackgroundError
    """Errors of the background's normalisation, as in the column ``sn_sys``."""


def bin_image(image: str | Path, folder: str | Path, *, sn: float = 15, smooth_sn: float = 15,
              counts: float | None = None, constrain: float | None = None, background: Path | None = None,
              background_expmap: Path | None = None, background_scale: float | Path | None = None,
              background_systematic: float | None = None, expmap: Path | None = None, noisemap: Path | None = None,
              contours: Contours | None = None,
              mask: Path | None = None, exclude: Sequence[Path] = (), keep: Sequence[Path] = (),
              smoothed: Path | None = None, behind: CountsBehind | None = None, automask: bool = False,
              bin_up: bool = False, scrub: bool = True, scrub_large: float | None = None, threads: int = 1,
              clobber: bool = False, progress: Callable[[float], None] | None = None) -> BinnedImage:
    """Bins an image into ``folder``: FITS images, histograms, bin table, region files and a picture.

    Parameters
    ----------
    image : FITS image of counts.
    sn, smooth_sn, constrain, bin_up, scrub, scrub_large, threads, progress : as `chandra_bin.contour_bin` takes them.
    counts : net counts that a bin shall reach, instead of a S/N.
    background : image of background counts. Its counts times ``background_scale`` (a number or an image), or times
        ``expmap / background_expmap``, are the expected background in the image; without either, times 1.
    background_systematic : 1-sigma fractional error of the background for the column ``sn_sys``; see
        ``background_error_of`` for the default.
    expmap : exposure map; pixels of exposure <= 0 or NaN are excluded.
    noisemap : image of the noise of each pixel (1 sigma).
    contours : "flux", corrected for ``expmap``, or "counts"; by default "flux" with an exposure map, as
        `chandra_bin.contour_bin` has it.
    mask : FITS mask: 1 used, 0 excluded, 2 and more may start a bin but never join one.
    exclude, keep : region files: pixels inside the first, and outside all of the second, are excluded.
    smoothed : image to take the contours from, instead of smoothing.
    behind : the counts image of an image in other units, such as a scaled flux. S/N, ``reached`` and pictures are
        then of its counts, and contbin_sn_image.fits has the S/N of the binned image.
    automask : exclude empty blocks of 8 x 8 pixels, unless ``mask`` is given.
    clobber : replace the products of an earlier run.

    Region files hold the exact outlines of bins in physical coordinates (in image coordinates, for DS9 and with a log
    line, where the header has none). Warns of bins below the target, of bins without significant net counts, and
    where the median S/N is more than 10 % from the target.
    Raises `InputError` and `OutputError`; no file is written then.
    """
    _refuse_nonsense(background, background_expmap, background_scale, expmap)
    if counts is not None and not (np.isfinite(counts) and counts > 0):
        raise InputError(f"counts is {counts:.15g}: it must be positive and finite")
    if scrub_large is not None and not 0 < scrub_large <= 1:
        raise InputError(f"scrub_large (--scrublarge) is {scrub_large:.15g}: it is a fraction of all pixels, above 0 "
                         "and up to 1")
    image, folder = Path(image), Path(folder)
    if background_systematic is not None and not 0 <= background_systematic < 1:
        raise InputError(f"background_systematic is {background_systematic:.15g}: it is a fraction, from 0 to below 1")
    parameters: dict[str, Any] = {
        "image": image, "sn": sn if counts is None else None, "counts": counts, "smooth_sn": smooth_sn,
        "constrain": constrain, "background": background, "background_expmap": background_expmap,
        "background_scale": background_scale, "background_systematic": background_systematic, "expmap": expmap,
        "noisemap": noisemap, "contours": contours, "mask": mask, "exclude": tuple(exclude), "keep": tuple(keep),
        "smoothed": smoothed, "automask": automask, "bin_up": bin_up, "scrub": scrub, "scrub_large": scrub_large,
    }
    if behind is not None:
        parameters |= {"counts_behind": behind.counts, "background_behind": behind.background,
                       "scale_behind": behind.scale}
    inputs = [*(value for value in parameters.values() if isinstance(value, Path)), *files_of(*exclude, *keep)]
    files = BinFiles(folder)
    # A run without the file of another run's option removes it.
    series = [files.regions / "xaf_*[0-9].reg", *([files.sn_image] if behind is None else [])]
    with Outputs(files.all if behind is None else [*files.all, files.sn_image], series=series,
                 inputs=files_of(*inputs), clobber=clobber) as outputs:
        pixels = refuse_filled(read_image(image))
        coords = coords_if_usable(pixels)
        scaling = _scaling(pixels, background, background_expmap, background_scale, expmap)
        masked = mask_values(pixels, mask, automask, exclude, keep)
        masked[scaling.excluded] = 0
        check_counts(pixels, masked, constrain)
        background_image = None if background is None else refuse_filled(read_like(background, pixels, "background"))
        noise = read_like_if_given(noisemap, pixels, "noise map")
        given = read_like_if_given(smoothed, pixels, "smoothed image")
        with about(image):
            bins = contour_bin(
                pixels.data, sn=sn if counts is None else counts, target="sn" if counts is None else "counts",
                smooth_sn=smooth_sn, constrain=constrain,
                background=None if background_image is None else background_image.data, exposure=scaling.exposure,
                background_exposure=scaling.background_exposure, background_scale=scaling.background_scale,
                noise=noise, contours=contours, smoothed=given, mask=masked < 1, seed_only=masked > 1, bin_up=bin_up,
                scrub=scrub, scrub_large=scrub_large, threads=threads, progress=progress)
            counts_images = None if behind is None else behind.read(pixels)
            sums = bins.sums if counts_images is None else counts_images.sums(bins)
        masked[bins.use == 0] = 0
        error = background_error_of(background_image if counts_images is None else counts_images.background,
                                    background_systematic)
        parameters |= {"contours": bins.contours, "background_systematic": error.systematic,
                       "background_scale_error": error.scale}
        made = _judged(bins, sums, coords, folder, error, sn=sn, counts=counts)
        _warn_of_sn(made, None if counts is not None else sn)
        shown = pixels if counts_images is None else counts_images.counts
        _write(outputs, files, made, sums, masked, pixels, parameters, shown, behind is not None)
    return made


@dataclass(frozen=True)
class BinFiles:
    """The products of `bin_image` in a folder."""

    folder: Path

    @property
    def contbin(self) -> ContbinFiles:
        """Those that contbin has too."""
        return ContbinFiles.inside(self.folder)

    @property
    def smoothed(self) -> Path:
        """The image whose contours the bins follow."""
        return self.folder / "contbin_smoothed.fits"

    @property
    def sn_image(self) -> Path:
        """The S/N of the binned image, where that is not a counts image."""
        return self.folder / "contbin_sn_image.fits"

    @property
    def table(self) -> Path:
        return self.folder / "bins.ecsv"

    @property
    def picture(self) -> Path:
        return self.folder / "bins.png"

    @property
    def regions(self) -> Path:
        return self.folder / "outreg"

    @property
    def all(self) -> list[Path]:
        """Every product but region files and `sn_image`."""
        return [*self.contbin.all, self.smoothed, self.table, self.picture]


def background_error_of(background: Image | None, systematic: float | None = None) -> BackgroundError:
    """The error of a background image's normalisation, from its header keywords BKGTYPE and BKGFERR.

    BKGFERR is the 1-sigma fractional error of the scale (from counts at 9 - 12 keV, or from the fit of a local
    background). ``systematic`` adds in quadrature; by default 0.03 for blank skies (BKGTYPE = 'BLANKSKY') and for
    backgrounds of unknown kind, and 0 for a local background (BKGTYPE = 'LOCAL') with BKGFERR. A log line states
    defaults that stand in for missing keywords.
    """
    if background is None:
        return BackgroundError(0.0, 0.0)
    kind = text_of(background.header, "BKGTYPE").upper()
    known = "BKGFERR" in background.header
    scale = background.number("BKGFERR", 0.0)
    if not (np.isfinite(scale) and scale >= 0):
        raise InputError(f"{background.path}: the keyword BKGFERR is {scale:g}: it must be a fraction of 0 or more")
    if systematic is None:
        systematic = 0.0 if kind == LOCAL and known else DEFAULT_SYSTEMATIC
    if not known:
        logger.info("%s: the header has no BKGFERR: sn_sys has a systematic error of %.3g of the background, and no "
                    "error of its scale", background.path, systematic)
    return BackgroundError(float(systematic), scale)


def _judged(bins: ContourBins, sums: BinSums, coords: ImageCoords, folder: Path, error: BackgroundError, *,
            sn: float, counts: float | None) -> BinnedImage:
    """What the bins hold in counts."""
    if counts is not None:
        reached = sums.signal >= counts
    else:  # the kernel's own comparison is exact where the image holds counts
        reached = (bins.reached if np.array_equal(sums.counts, bins.counts) else sums.sn >= sn) & (sums.signal >= 0)
    fraction = np.divide(sums.background, sums.counts, out=np.full(len(bins), np.nan), where=sums.counts > 0)
    return BinnedImage(bins, coords, folder, sums.sn, reached, sums.sn < LOW_SN, fraction, error)


def _warn_of_sn(made: BinnedImage, target: float | None) -> None:
    """Warns of bins whose S/N in counts is not the one that was asked for."""
    warn_of_odd_bins(made.bins)
    if low := int(np.count_nonzero(made.low)):
        warn(f"S/N in counts is below {LOW_SN:g} in {low} of {counted(len(made.low), 'bin')}: there is no significant "
             "signal there (low_sn in the table)")
    if target is not None and made.sn_counts.size:
        median = float(np.median(made.sn_counts))
        if abs(median / target - 1) > _MEDIAN_OFF:
            warn(f"the median S/N of the bins is {median:.1f} in counts, and the target is {target:g}")


def _write(outputs: Outputs, files: BinFiles, made: BinnedImage, sums: BinSums, masked: NDArray[np.int16],
           pixels: Image, parameters: dict[str, Any], shown: Image, has_own_sn: bool) -> None:
    bins, coords, lines = made.bins, made.coords, history("bin", parameters)
    write_contbin_files(outputs, files.contbin, bins, masked, pixels, lines, sn=sums.sn)
    contours = product_header(pixels.header, lines, CONTOURS=bins.contours,
                              SMOOTHSN=parameters["smooth_sn"], BUNIT="count/pixel")
    images = {files.smoothed: (np.where(bins.use > 0, bins.smoothed, np.float32(np.nan)), contours)}
    if has_own_sn:
        images[files.sn_image] = bins.sn_image, product_header(pixels.header, lines)
    for path, (data, header) in images.items():
        with outputs.open(path) as file:
            write_image(file, data, header)
    table = bins.table_with(coords, sums, reached=made.reached, background_error=made.background_error.total)
    outputs.write(files.table, ecsv(table, parameters))
    for b, text in _region_texts(bins, coords):
        outputs.write(files.regions / f"xaf_{b}.reg", text)
    target = parameters["sn"]
    write_picture(outputs, files.picture, lambda: bins_png(
        shown.data, bins.binmap, sums.sn, coords, title=_title(pixels), target=target,
        sn_in="counts" if has_own_sn else ""))


def _refuse_nonsense(background: Path | None, background_expmap: Path | None,
                     background_scale: float | Path | None, expmap: Path | None) -> None:
    if background is None and (background_expmap is not None or background_scale is not None):
        raise InputError("a background scale or exposure map needs a background image")
    if background_expmap is not None and background_scale is not None:
        raise InputError("the background has an exposure map and a scale; give one of the two")
    if background_expmap is not None and expmap is None:
        raise InputError("the exposure map of the background needs that of the image beside it")


@dataclass(frozen=True)
class _Scaling:
    """Exposure map and what scales the background, as `contour_bin` takes them; and the pixels without data."""

    exposure: NDArray[Any] | None
    background_exposure: NDArray[Any] | None
    background_scale: NDArray[Any] | float | None
    excluded: NDArray[np.bool_]


def _scaling(image: Image, background: Path | None, background_expmap: Path | None,
             background_scale: float | Path | None, expmap: Path | None) -> _Scaling:
    excluded = np.zeros(image.data.shape, dtype=bool)
    exposure = None if expmap is None else _positive(expmap, image, "exposure map", excluded)
    if background is None:
        return _Scaling(exposure, None, None, excluded)
    if background_expmap is not None:
        background_exposure = _positive(background_expmap, image, "exposure map of the background", excluded)
        return _Scaling(exposure, background_exposure, None, excluded)
    if isinstance(background_scale, Path):
        return _Scaling(exposure, None, _positive(background_scale, image, "background scale", excluded), excluded)
    if background_scale is None:
        logger.info("%s is taken to be on the image's own exposure (scale 1)", background)
        return _Scaling(exposure, None, 1.0, excluded)
    if not (np.isfinite(background_scale) and background_scale > 0):
        raise InputError(f"the background scale is {background_scale:.15g}, and must be above 0")
    return _Scaling(exposure, None, background_scale, excluded)


def _positive(path: Path, image: Image, name: str, excluded: NDArray[np.bool_]) -> NDArray[Any]:
    """An exposure map or scale; where it holds no value above 0 the pixel is ``excluded``, and the value 1."""
    read = read_like(path, image, name)
    need_positive(read, name)
    values = read.data
    without = ~(values > 0)
    if without.any():
        logger.info("%s: %d pixels without a value above 0 are excluded", path, np.count_nonzero(without))
    excluded |= without
    return np.where(without, 1, values)


def _region_texts(bins: ContourBins, coords: ImageCoords) -> Iterator[tuple[int, str]]:
    """Bins and their region files: CIAO's in physical coordinates, or DS9's in FITS pixels where there are none."""
    style = Style("ciao", "physical")
    if coords.physical is None:
        logger.info("the header has no physical coordinates: the region files are in image coordinates, for DS9%s",
                    "; chandra-bin regions DIR/contbin_binmap.fits --system fk5 makes files for CIAO"
                    if coords.sky is not None else "")
        style = Style("ds9", "image")
    return BinTexts(trace_polygons(bins.binmap), coords, style).of_bins()


def _title(image: Image) -> str:
    """What the picture shows: the target's name, else the file's."""
    return text_of(image.header, "OBJECT") or image.path.name
