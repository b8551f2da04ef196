"""Helpers of all tasks: the history of products, masks, exposure maps and warnings."""

import io
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chandra_bin._checks.memory import check_memory
from chandra_bin._checks.paths import FileName, path_text
from chandra_bin.binning.bins import ContourBins
from chandra_bin.binning.contour import automask as find_empty_blocks
from chandra_bin.binning.options import BinningOptions
from chandra_bin.coords.blocks import block_sums
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, PictureError, counted, warn
from chandra_bin.fits.headers import is_approximate, text_of
from chandra_bin.fits.images import Image, size_text
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.sky_keywords import resembles_sky
from chandra_bin.fits.virtual import MaskTerm, Name, RegionTerm, VirtualFile

from .inputs import plain_name, read_image, read_like, read_on_grid, refuse_filled

if TYPE_CHECKING:
    from astropy.table import Table

    from chandra_bin.regions import Semantics

Parameters = Mapping[str, object]
T = TypeVar("T")

# Log records of the progress of a task: the command line shows them as a bar; by default they go nowhere else.
progress_log = logging.getLogger("chandra_bin.progress")

# Parts without exposure are searched in blocks of this many pixels a side. An image has such parts where more than this
# fraction of blocks is empty, and the other blocks hold so many counts on average that none is empty by chance.
_BLOCK = 32
_EMPTY = 0.05
_SURE = 10


def reporting(items: Sequence[T], start: float = 0.0, end: float = 1.0) -> Iterator[T]:
    """Yield items, and log the fraction of the task that is done after each, from ``start`` to ``end``."""
    for number, each in enumerate(items, start=1):
        yield each
        progress_log.debug("%d of %d", number, len(items),
                           extra={"fraction": start + (end - start) * number / len(items)})



@dataclass(frozen=True)
class Exposures:
    """The factors from background counts to the image, image / background (None: 1), and the pixels without data."""

    image: ArrayLike | None
    background: ArrayLike | None
    excluded: NDArray[np.bool_]


def program() -> str:
    """Return name and version of the program, for products."""
    from chandra_bin import __version__

    return f"chandra-bin {__version__}"


def history(command: str, parameters: Parameters) -> list[str]:
    """Return lines of HISTORY: the program, its version, and every parameter."""
    words = {None: "none", True: "yes", False: "no"}
    lines = (f"  {name} = {words[value] if value is None or isinstance(value, bool) else value}"
             for name, value in plain(parameters).items())
    return [f"{program()}: {command}", *lines]


def plain(parameters: Parameters) -> dict[str, Any]:
    """Return parameters for products: files without their folders, sequences joined."""
    return {name: _plain_value(value) for name, value in parameters.items()}


def ecsv(table: "Table", parameters: Parameters) -> str:
    """Return a table as ECSV text, with the program and the parameters among its metadata."""
    from astropy.table import Table

    described = Table(table, meta={"program": program(), "parameters": plain(parameters)})
    text = io.StringIO()
    described.write(text, format="ascii.ecsv")
    return text.getvalue()


def _plain_value(value: object) -> object:
    if isinstance(value, tuple):
        return " ".join(map(plain_name, value)) or None
    return plain_name(value) if isinstance(value, Path | VirtualFile) else value


def listed(chips: Iterable[int]) -> str:
    """Return the numbers of chips as a text: ``0, 1, 7``."""
    return ", ".join(map(str, chips))


def has_sky_filter(name: VirtualFile) -> bool:
    """Return whether a file is filtered on the sky: by regions, masks, or ranges of x and y."""
    terms = [term for step in name.filters for term in step.terms]
    return any(isinstance(term, RegionTerm | MaskTerm) or getattr(term, "column", "") in ("x", "y") for term in terms)


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Prepend the path of a file to the text of an `InputError` of the array API."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{path}: {error}") from None


def coords_if_usable(image: Image) -> ImageCoords:
    """Return the coordinates of an image for a task that does not need the sky.

    Broken sky coordinates are dropped with a warning. A CTYPE that only begins like one of the sky, such as RAWX, also
    raises a warning.
    """
    coords = ImageCoords(image.header)
    try:
        if coords.sky is not None:
            coords.image_to_sky(0.0, 0.0, "icrs")
        elif resembles_sky(image.header):
            types = " and ".join(repr(str(image.header.get(f"CTYPE{n}", ""))) for n in (1, 2))
            warn(f"{image.path}: has no sky coordinates (CTYPE1, CTYPE2 are {types}): its products lack them, too")
    except InputError as error:
        warn(f"{image.path}: products have no sky coordinates: {error}")
        return coords.without_sky()
    return coords


def calib_of(*headers: Mapping[str, Any]) -> dict[str, str]:
    """Return the keyword CALIB of products of these headers: APPROX where one of them is approximate."""
    return {"CALIB": "APPROX"} if any(map(is_approximate, headers)) else {}


def read_exposure(path: Name, image: Image) -> Image:
    """Return an exposure map on the grid of ``image``. Raises `InputError` where no pixel is above 0."""
    exposure = read_on_grid(path, image, "exposure map")
    need_positive(exposure, "exposure map")
    return exposure


def need_positive(image: Image, what: str) -> None:
    """Raise `InputError` where no pixel is above 0."""
    if np.isnan(image.data).all():
        raise InputError(f"{image.path}: all pixels of the {what} are NaN")
    if not (image.data > 0).any():
        raise InputError(f"{image.path}: no pixel of the {what} is above 0 (largest value: "
                         f"{np.nanmax(image.data):g})")


def warn_of_rims(counts: Image, what: str) -> None:
    """Warn of an image with large empty parts that is used without an exposure map."""
    ny, nx = (side // _BLOCK for side in counts.data.shape)
    blocks = block_sums(np.nan_to_num(counts.data[: ny * _BLOCK, : nx * _BLOCK]), _BLOCK)
    empty = blocks == 0
    if blocks.size and empty.mean() > _EMPTY and blocks.sum() > _SURE * np.count_nonzero(~empty):
        warn(f"{counts.path}: {empty.mean():.0%} of the image is empty: without an exposure map {what}")


def names_root(outroot: FileName) -> str:
    """Return the begin of names of products: ``clean_`` for ``clean``, and the folder for ``images/``."""
    text = path_text(outroot, "outroot")
    if not text:
        raise InputError("OUTROOT is empty: give the begin of the names of the products, such as clean or images/")
    return text if text.endswith("/") else f"{text}_"


def need_memory(path: Path, shape: tuple[int, ...], needed: float) -> None:
    """Raise `InputError` where an image of this shape needs more memory than is available."""
    check_memory(needed, f"{path}: {size_text(shape)} pixels", "bin or crop the image, for example by [bin sky=2]")


def read_like_if_given(path: Path | None, image: Image, name: str) -> NDArray[Any] | None:
    """Return the pixels of an optional image of the same shape as ``image``."""
    return None if path is None else refuse_filled(read_like(path, image, name)).data


def read_mask(path: Path, image: Image) -> NDArray[np.int16]:
    """Return a mask file in contbin's sense: 0 excluded, 1 used, 2 and more may start a bin but never join one."""
    values = np.nan_to_num(read_like(path, image, "mask", of_any=True).data, nan=0)
    limits = np.iinfo(np.int16)
    mask: NDArray[np.int16] = np.trunc(np.clip(values, limits.min, limits.max)).astype(np.int16)
    return mask


def mask_values(image: Image, path: Path | None, automask: bool, exclude: Sequence[Path] = (),
                keep: Sequence[Path] = ()) -> NDArray[np.int16]:
    """Return the initial mask, like `read_mask`; a file replaces the automask, and regions exclude more pixels."""
    if path is not None:
        mask = read_mask(path, image)
    elif automask:
        mask = np.where(find_empty_blocks(image.data), 0, 1).astype(np.int16)
    else:
        mask = np.ones(image.data.shape, dtype=np.int16)
    if exclude or keep:
        mask[excluded_by_regions(image, exclude, keep)] = 0
    return mask


def excluded_by_regions(image: Image, exclude: Sequence[Path], keep: Sequence[Path],
                        semantics: "Semantics | None" = None) -> NDArray[np.bool_]:
    """Return True inside any region of ``exclude``, and outside all regions of ``keep``, if any are given."""
    from chandra_bin.events.region_files import read_regions  # late, for a faster start on plain images
    from chandra_bin.regions import region_mask

    coords = ImageCoords(image.header)
    shape = cast(tuple[int, int], image.data.shape)

    outside: list[str] = []

    def inside(path: Path) -> NDArray[np.bool_]:
        region = read_regions(path, semantics, for_ciao=False)
        with about(image.path):
            found = region_mask(region, coords, shape)
        if not found.any():
            outside.append(f"{path}: no pixel of {image.path} is inside")
        return found

    excluded = np.zeros(shape, dtype=bool)
    for path in exclude:
        excluded |= inside(path)
    kept = [inside(path) for path in keep]
    if kept:
        excluded |= ~np.logical_or.reduce(kept)
    if excluded.all():
        why = f" ({'; '.join(outside)})" if outside else ""
        raise InputError(f"{image.path}: the regions leave no pixel to use{why}")
    for text in outside:
        warn(text)
    return excluded


def check_counts(image: Image, mask: NDArray[np.int16], constrain: float | None) -> None:
    """Raise `InputError` where no used pixel is positive; warn of a constraint that no disc meets."""
    used = image.data[mask > 0].astype(np.float32)
    if not (used > 0).any() and (known := used[~np.isnan(used)]).size:
        what = "negative or zero" if known.any() else "zero"
        raise InputError(f"{image.path}: all {known.size} used pixels are {what}; at least one must be positive")
    if constrain is not None and 0 < constrain < 1:
        warn(f"the constraint is {constrain:.15g}: below 1, not even a disc meets it")


def write_picture(outputs: Outputs, path: Path, draw: Callable[[], bytes]) -> None:
    """Write a picture. A picture that cannot be drawn is a warning, and the other products are still written."""
    try:
        content = draw()
    except PictureError as error:
        warn(f"{path}: {error}; all other products are written")
        outputs.leave_out(path)
        return
    outputs.write(path, content)


def warn_of_other_units(path: Path, bins: ContourBins, options: BinningOptions) -> bool:
    """Warn where pixels that are not whole numbers sum to less than the target, and return whether this is so.

    No counts image of any use has such pixels. Images with a noise map or a counts image can have them.
    """
    total = float(bins.counts.sum())
    if total == round(total) or total >= (options.sn if options.counts is None else options.counts):
        return False
    warn(f"{path}: pixels sum to {total:.3g} and are not whole numbers: this is not a counts image; bin the counts "
         "image, or give it by --counts-image of bin")
    return True


def warn_of_odd_bins(path: Path, bins: ContourBins, options: BinningOptions) -> None:
    """Warn of an image below the target, of bins that stay below it and touch no other bin, and of negative bins."""
    if len(bins) == 1 and not bins.reached[0]:
        has, target = ((f"S/N {bins.sn[0]:.4g}", f"{options.sn:.15g}") if options.counts is None else
                       (f"{bins.signal[0]:.4g} net counts", f"{options.counts:.15g}"))
        warn(f"{path}: the whole image has only {has}, and the target is {target}: choose a lower target")
    elif bins.stuck:
        stuck = counted(bins.stuck, "bin below the threshold touches", "bins below the threshold touch")
        share = float(bins.counts[~bins.reached].sum()) / (float(bins.counts.sum()) or 1.0)
        why = "; --automask keeps each block of 8 x 8 pixels with a count" if options.automask else ""
        warn(f"{stuck} no other bin and cannot be joined, with {100 * share:.2g} % of the counts: the mask has "
             f"islands{why}; keep one connected area, the region of the cluster by --keep or a mask by --mask")
    if negative := int(np.count_nonzero(bins.signal < 0)):
        those = counted(negative, f"of {len(bins)} bins has", f"of {len(bins)} bins have")
        warn(f"{those} less than the background, and an S/N without its sign: is the background scaled to "
             "the image?")


def read_binmap(path: Path) -> tuple[Image, NDArray[np.int32]]:
    """Return a binmap and its bin numbers (-1 outside); floats must be whole numbers, and NaN is outside."""
    image = read_image(path)
    if text_of(image.header, "BUNIT").lower().startswith("count"):
        raise InputError(f"{path}: is a counts image (BUNIT); give the binmap")
    values = image.data
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), -1, values)
        broken = values[values != np.rint(values)]
        if broken.size:
            raise InputError(f"{path}: holds {broken[0]:g} where a binmap holds whole bin numbers; give the binmap")
    if values.size and values.max() >= np.iinfo(np.int32).max:
        raise InputError(f"{path}: holds {values.max():g}, which is out of range for bin numbers; give the binmap")
    return image, (values if values.dtype.kind == "u" else np.maximum(values, -1)).astype(np.int32)
