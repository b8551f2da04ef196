"""Contour binning of an image file into a folder of products."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.binning import BinSums, ContourBins, contour_bin, sum_bins
from chandra_bin.errors import InputError
from chandra_bin.images import Image
from chandra_bin.inputs import files_of, read_image, read_like, read_on_grid, refuse_filled
from chandra_bin.outputs import Outputs
from chandra_bin.plots import bins_png
from chandra_bin.polygons import trace_polygons
from chandra_bin.regions import BinTexts, Style
from chandra_bin.wcs import ImageCoords

from ._common import (
    Exposures,
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

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CountsBehind:
    """The counts of an image that is not one of counts: image, background counts, and what each of these stands for."""

    counts: Path
    background: Path | None = None
    scale: Path | None = None

    def sums(self, bins: ContourBins, image: Image) -> BinSums:
        """Of the bins of an image on the same grid."""
        counts, background, scale = (None if path is None else read_on_grid(path, image, what).data
                                     for path, what in ((self.counts, "image of counts"),
                                                        (self.background, "background"),
                                                        (self.scale, "background scale")))
        assert counts is not None
        return sum_bins(bins.binmap, counts, background=background, ratio=1.0 if scale is None else scale)


@dataclass(frozen=True)
class BinnedImage:
    """Bins, the coordinates of their image, and the folder with their products."""

    bins: ContourBins
    coords: ImageCoords
    folder: Path
    sn_counts: NDArray[np.float64]
    """S/N of bins in counts: ``ContourBins.sn``, but for images that are not of counts."""


def bin_image(image: str | Path, folder: str | Path, *, sn: float = 15, smooth_sn: float = 15,
              counts: float | None = None, constrain: float | None = None, background: Path | None = None,
              background_expmap: Path | None = None, background_scale: float | Path | None = None,
              expmap: Path | None = None, noisemap: Path | None = None,
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
    expmap : exposure map; pixels of exposure <= 0 or NaN are excluded.
    noisemap : image of the noise of each pixel (1 sigma).
    mask : FITS mask: 1 used, 0 excluded, 2 and more may start a bin but never join one.
    exclude, keep : region files: pixels inside the first, and outside all of the second, are excluded.
    smoothed : image to take the contours from, instead of smoothing.
    behind : the counts of an image that is not one of counts, a scaled flux say: the bin table has their S/N.
    automask : exclude empty blocks of 8 x 8 pixels, unless ``mask`` is given.
    clobber : replace the products of an earlier run.

    Region files hold the exact outlines of bins in physical coordinates (in image coordinates, for DS9 and with a log
    line, where the header has none).
    Raises `InputError` and `OutputError`; no file is written then.
    """
    _refuse_nonsense(background, background_expmap, background_scale, expmap)
    if counts is not None and not (np.isfinite(counts) and counts > 0):
        raise InputError(f"counts is {counts:.15g}: it must be positive and finite")
    if scrub_large is not None and not 0 < scrub_large <= 1:
        raise InputError(f"scrub_large (--scrublarge) is {scrub_large:.15g}: it is a fraction of all pixels, above 0 "
                         "and up to 1")
    image, folder = Path(image), Path(folder)
    parameters = {
        "image": image, "sn": sn if counts is None else None, "counts": counts, "smooth_sn": smooth_sn,
        "constrain": constrain, "background": background, "background_expmap": background_expmap,
        "background_scale": background_scale, "expmap": expmap, "noisemap": noisemap, "mask": mask,
        "exclude": tuple(exclude), "keep": tuple(keep),
        "smoothed": smoothed, "automask": automask, "bin_up": bin_up, "scrub": scrub, "scrub_large": scrub_large,
    }
    if behind is not None:
        parameters |= {"counts_behind": behind.counts, "background_behind": behind.background,
                       "scale_behind": behind.scale}
    inputs = [*(value for value in parameters.values() if isinstance(value, Path)), *files_of(*exclude, *keep)]
    files = ContbinFiles.inside(folder)
    table_file, picture_file = folder / "bins.ecsv", folder / "bins.png"
    regions = folder / "outreg"

    with Outputs([*files.all, table_file, picture_file], series=[regions / "xaf_*[0-9].reg"], inputs=files_of(*inputs),
                 clobber=clobber) as outputs:
        pixels = refuse_filled(read_image(image))
        coords = coords_if_usable(pixels)
        exposures = _exposures(pixels, background, background_expmap, background_scale, expmap)
        masked = mask_values(pixels, mask, automask, exclude, keep)
        masked[exposures.excluded] = 0
        check_counts(pixels, masked, constrain)
        background_counts = read_like_if_given(background, pixels, "background")
        noise = read_like_if_given(noisemap, pixels, "noise map")
        contours = read_like_if_given(smoothed, pixels, "smoothed image")
        with about(image):
            bins = contour_bin(
                pixels.data, sn=sn if counts is None else counts, target="sn" if counts is None else "counts",
                smooth_sn=smooth_sn, constrain=constrain,
                background=background_counts,
                exposure=exposures.image, background_exposure=exposures.background,
                noise=noise,
                smoothed=contours,
                mask=masked < 1, seed_only=masked > 1, bin_up=bin_up, scrub=scrub, scrub_large=scrub_large,
                threads=threads, progress=progress)
            table = bins.table_with(coords, None if behind is None else behind.sums(bins, pixels))
        masked[bins.use == 0] = 0
        warn_of_odd_bins(bins)
        write_contbin_files(outputs, files, bins, masked, pixels, history("bin", parameters))
        outputs.write(table_file, ecsv(table, parameters))
        for b, text in _region_texts(bins, coords):
            outputs.write(regions / f"xaf_{b}.reg", text)
        shown = pixels if behind is None else read_on_grid(behind.counts, pixels, "image of counts")
        what = "" if behind is None else "the binned image"
        write_picture(outputs, picture_file,
                      lambda: bins_png(shown.data, bins, coords, title=_title(pixels), sn_in=what))
    return BinnedImage(bins, coords, folder, np.asarray(table["sn"]))


def _refuse_nonsense(background: Path | None, background_expmap: Path | None,
                     background_scale: float | Path | None, expmap: Path | None) -> None:
    if background is None and (background_expmap is not None or background_scale is not None):
        raise InputError("a background scale or exposure map needs a background image")
    if background_expmap is not None and background_scale is not None:
        raise InputError("the background has an exposure map and a scale; give one of the two")
    if background_expmap is not None and expmap is None:
        raise InputError("the exposure map of the background needs that of the image beside it")


def _exposures(image: Image, background: Path | None, background_expmap: Path | None,
               background_scale: float | Path | None, expmap: Path | None) -> Exposures:
    excluded = np.zeros(image.data.shape, dtype=bool)
    if expmap is not None:
        exposure = _positive(expmap, image, "exposure map", excluded)
    if background is None:
        return Exposures(None, None, excluded)
    if background_expmap is not None:
        background_exposure = _positive(background_expmap, image, "exposure map of the background", excluded)
        return Exposures(exposure, background_exposure, excluded)
    if isinstance(background_scale, Path):
        return Exposures(_positive(background_scale, image, "background scale", excluded), 1.0, excluded)
    if background_scale is None:
        logger.info("%s is taken to be on the image's own exposure (scale 1)", background)
        return Exposures(None, None, excluded)
    if not (np.isfinite(background_scale) and background_scale > 0):
        raise InputError(f"the background scale is {background_scale:.15g}, and must be above 0")
    return Exposures(background_scale, 1.0, excluded)


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
    return str(image.header.get("OBJECT", "")).strip() or image.path.name
