"""Contour binning of an image file into a folder of products."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.paths import FileName, as_path
from chandra_bin.binning.bins import LOW_SN, BinSums, ContourBins
from chandra_bin.binning.contour import bin_arrays
from chandra_bin.binning.options import BinningOptions
from chandra_bin.binning.outlines import trace_polygons
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, counted, warn
from chandra_bin.fits.headers import text_of
from chandra_bin.fits.images import Image, product_header, write_image
from chandra_bin.fits.outputs import Outputs
from chandra_bin.plots.bins import bins_png
from chandra_bin.regions import BinTexts, Style

from ._bin_inputs import BinInputs, read_bin_inputs
from ._bin_pixels import binmap_id
from ._blanksky import LOCAL
from ._common import about, ecsv, history, warn_of_odd_bins, warn_of_other_units, write_picture
from .contbin import ContbinFiles, write_contbin_files
from .image_files import ImageFiles
from .inputs import files_of
from .options import BinProducts, RegionLayout

logger = logging.getLogger(__name__)

# Error of a blank-sky background beyond Poisson noise, as a fraction: spectra of the particle background vary by about
# 3 % from observation to observation once scaled at 9 - 12 keV (Markevitch et al. 2003, ApJ 583, 70).
DEFAULT_SYSTEMATIC = 0.03
# A median S/N that differs from the target by more than this fraction raises a warning.
_MEDIAN_OFF = 0.1


@dataclass(frozen=True)
class BackgroundError:
    """1-sigma fractional errors of a background's normalisation, which add in quadrature."""

    systematic: float
    scale: float

    @property
    def total(self) -> float:
        """The sum of both errors in quadrature."""
        return float(np.hypot(self.systematic, self.scale))


@dataclass(frozen=True)
class BinnedImage:
    """Bins, the coordinates of their image, and the folder with their products."""

    bins: ContourBins
    coords: ImageCoords
    folder: Path
    sn_counts: NDArray[np.float64] = field(repr=False)
    """S/N of bins in counts, with the sign of the net counts."""
    reached: NDArray[np.bool_] = field(repr=False)
    """Whether a bin has the target S/N (or net counts), in counts."""
    low: NDArray[np.bool_] = field(repr=False)
    """Whether a bin has a S/N in counts below ``chandra_bin.binning.bins.LOW_SN`` (3)."""
    background_fraction: NDArray[np.float64] = field(repr=False)
    """Expected background over counts of each bin; NaN without counts."""
    background_error: BackgroundError
    """Errors of the background's normalisation, as in the column ``sn_sys``."""


def bin_image(image: FileName, folder: FileName, options: BinningOptions | None = None,
              files: ImageFiles | None = None, *, wanted: BinProducts | None = None, threads: int = 1,
              clobber: bool = False, progress: Callable[[float], None] | None = None) -> BinnedImage:
    """Bin an image and write FITS images, histograms, bin table, region files and a picture into ``folder``.

    Parameters
    ----------
    image : counts image (FITS), or an image in another unit where ``files`` has its ``counts_image``. S/N,
        ``reached`` and pictures are then of the counts, and contbin_sn_image.fits has the S/N of the binned image.
    options : options of the binning; None: the defaults. ``background_error_of`` has the default of
        ``background_systematic``; ``mask`` among the files replaces ``automask``.
    files : background, exposure map and other files of the image. Pixels where an exposure map or a background scale is
        not above 0 are excluded.
    wanted : the region files to write; None: one for each bin.
    threads : number of threads, which changes no pixel.
    clobber : replace the products of an earlier run.
    progress : called now and then with the fraction done.

    Region files hold the exact outlines of bins. Those of each bin are in physical coordinates (in image coordinates,
    for DS9 and with a log line, where the header has none). The one file of all bins is for DS9, in ICRS (in image
    coordinates where the header has no sky); ``Region.bins`` has its bins.
    Warns of bins below the target, of bins without significant net counts, and where the median S/N differs by more
    than 10 % from the target.
    Raises `InputError` and `OutputError`; no file is written then.
    """
    options, files = BinningOptions.or_defaults(options), ImageFiles.or_defaults(files)
    wanted = BinProducts.or_defaults(wanted)
    image, products = as_path(image, "image"), BinFiles(as_path(folder, "folder"))
    has_own_sn = files.counts_image is not None
    optional = {products.sn_image: has_own_sn, products.all_regions: wanted.regions == "one-file"}
    made_files = [*products.all, *(path for path, is_made in optional.items() if is_made)]
    # A file that only an earlier run's option wrote is removed.
    series = [products.regions / "xaf_*[0-9].reg", *(path for path, is_made in optional.items() if not is_made)]
    with Outputs(made_files, series=series, inputs=files_of(image, *files.all), clobber=clobber) as outputs:
        read = read_bin_inputs(image, options, files)
        with about(image):
            bins = bin_arrays(read.arrays, options, threads=threads, progress=progress)
            if not len(bins):
                raise InputError(f"no bin is left: scrub_large = {options.scrub_large} drops all of them")
            sums = bins.sums if read.counts_image is None else read.counts_image.sums(bins)
        read.mask[bins.use == 0] = 0
        error = background_error_of(read.background, options.background_systematic)
        made = _checked(bins, sums, read.coords, products.folder, error, options)
        has_other_units = has_own_sn or files.noisemap is not None
        if has_other_units or not warn_of_other_units(image, bins, options):
            _warn_of_sn(image, made, options)
        _write(outputs, products, made, sums, read, _parameters(image, made, options, files))
        _write_regions(outputs, products, made, wanted.regions)
    return made


def _parameters(image: Path, made: BinnedImage, options: BinningOptions, files: ImageFiles) -> dict[str, Any]:
    """Return the parameters in the order in which products hold them."""
    counts_image = {} if files.counts_image is None else {
        name: getattr(files, name) for name in ("counts_image", "counts_image_background", "counts_image_scale")}
    return {
        "image": image, "sn": options.sn if options.counts is None else None, "counts": options.counts,
        "smooth_sn": options.smooth_sn, "constrain": options.constrain, "background": files.background,
        "background_expmap": files.background_expmap, "background_scale": files.background_scale,
        "background_systematic": made.background_error.systematic, "expmap": files.expmap, "noisemap": files.noisemap,
        "contours": made.bins.contours, "mask": files.mask, "exclude": files.exclude, "keep": files.keep,
        "smoothed": files.smoothed, "automask": options.automask, "bin_up": options.bin_up, "scrub": options.scrub,
        "scrub_large": options.scrub_large, **counts_image, "background_scale_error": made.background_error.scale,
    }


@dataclass(frozen=True)
class BinFiles:
    """The products of `bin_image` in a folder."""

    folder: Path

    @property
    def contbin(self) -> ContbinFiles:
        """The products that contbin writes, too."""
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
        """The bin table."""
        return self.folder / "bins.ecsv"

    @property
    def picture(self) -> Path:
        """The picture of the bins."""
        return self.folder / "bins.png"

    @property
    def regions(self) -> Path:
        """The folder of the region files of each bin."""
        return self.folder / "outreg"

    @property
    def all_regions(self) -> Path:
        """The region file of all bins."""
        return self.folder / "bins.reg"

    @property
    def all(self) -> list[Path]:
        """Every product except region files and `sn_image`, which depend on options."""
        return [*self.contbin.all, self.smoothed, self.table, self.picture]


def background_error_of(background: Image | None, systematic: float | None = None) -> BackgroundError:
    """Return the error of a background image's normalisation, from its header keywords BKGTYPE and BKGFERR.

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
        logger.info("%s: the header has no BKGFERR: sn_sys includes a systematic error of %.3g of the background, but "
                    "no error of its scale", background.path, systematic)
    return BackgroundError(float(systematic), scale)


def _checked(bins: ContourBins, sums: BinSums, coords: ImageCoords, folder: Path, error: BackgroundError,
            options: BinningOptions) -> BinnedImage:
    """Return the bins with their S/N and background fraction in counts."""
    if options.counts is not None:
        reached = sums.signal >= options.counts
    else:  # the kernel's own comparison is exact where the image holds counts
        is_binned = np.array_equal(sums.counts, bins.counts)
        reached = (bins.reached if is_binned else sums.sn >= options.sn) & (sums.signal >= 0)
    fraction = np.divide(sums.background, sums.counts, out=np.full(len(bins), np.nan), where=sums.counts > 0)
    return BinnedImage(bins, coords, folder, sums.sn, reached, sums.sn < LOW_SN, fraction, error)


def _warn_of_sn(image: Path, made: BinnedImage, options: BinningOptions) -> None:
    """Warn of bins whose S/N in counts differs from the target."""
    warn_of_odd_bins(image, made.bins, options)
    if low := int(np.count_nonzero(made.low)):
        warn(f"S/N in counts is below {LOW_SN:g} in {low} of {counted(len(made.low), 'bin')}: their signal is not "
             "significant (low_sn in the table)")
    is_below = len(made.bins) == 1 and not made.bins.reached[0]  # which has its own warning
    if options.counts is None and made.sn_counts.size and not is_below:
        median = float(np.median(made.sn_counts))
        if abs(median / options.sn - 1) > _MEDIAN_OFF:
            warn(f"the median S/N of the bins is {median:.1f} in counts, but the target is {options.sn:g}")


def _write(outputs: Outputs, files: BinFiles, made: BinnedImage, sums: BinSums, read: BinInputs,
           parameters: dict[str, Any]) -> None:
    bins, coords, image, lines = made.bins, made.coords, read.image, history("bin", parameters)
    write_contbin_files(outputs, files.contbin, bins, read.mask, image, lines, sn=sums.sn)
    contours = product_header(image.header, lines, CONTOURS=bins.contours,
                              SMOOTHSN=parameters["smooth_sn"], BUNIT="count/pixel")
    images = {files.smoothed: (np.where(bins.use > 0, bins.smoothed, np.float32(np.nan)), contours)}
    if read.counts_image is not None:
        images[files.sn_image] = bins.sn_image, product_header(image.header, lines)
    for path, (data, header) in images.items():
        with outputs.open(path) as file:
            write_image(file, data, header)
    table = bins.table_with(coords, sums, reached=made.reached, background_error=made.background_error.total)
    outputs.write(files.table, ecsv(table, {**parameters, "binmap_id": binmap_id(bins.binmap)}))
    shown = image if read.counts_image is None else read.counts_image.counts
    write_picture(outputs, files.picture, lambda: bins_png(
        shown.data, bins.binmap, sums.sn, coords, title=_title(image)))


def _write_regions(outputs: Outputs, files: BinFiles, made: BinnedImage, layout: RegionLayout) -> None:
    """Write a file for each bin: CIAO's in physical coordinates, or DS9's in FITS pixels; or one file of all bins."""
    polygons, coords = trace_polygons(made.bins.binmap), made.coords
    if layout == "one-file":
        outputs.write(files.all_regions, BinTexts.for_ds9(polygons, coords).all_in_one())
        return
    style = Style("ciao", "physical")
    if coords.physical is None:
        logger.info("the header has no physical coordinates: the region files are in image coordinates, for DS9%s",
                    "; chandra-bin regions DIR/contbin_binmap.fits --system fk5 makes files for CIAO"
                    if coords.sky is not None else "")
        style = Style("ds9", "image")
    for b, text in BinTexts(polygons, coords, style).of_bins():
        outputs.write(files.regions / f"xaf_{b}.reg", text)


def _title(image: Image) -> str:
    """Return the title of the picture: the name of the target, else of the file."""
    return text_of(image.header, "OBJECT") or image.path.name
