"""Read images by virtual names, such as ``img.fits[sky=region(f.reg)]`` and ``evt2.fits[bin sky=4]``."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.acis.obsids import obsid_number
from chandra_bin.coords.blocks import block_sums
from chandra_bin.coords.tangent_plane import separation_deg
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, NoImage, warn
from chandra_bin.fits.headers import text_of
from chandra_bin.fits.images import Image, moved_header, read_image_file, size_text
from chandra_bin.fits.sky_keywords import is_of_sky
from chandra_bin.fits.tables import open_fits
from chandra_bin.fits.virtual import (
    BinAxis,
    Binning,
    Block,
    Filter,
    MaskTerm,
    Name,
    RangeTerm,
    RegionTerm,
    Term,
    VirtualFile,
    files_in_filters,
    named_file,
    with_paths,
)

# Events and regions are imported where a name uses them: programs on plain images start faster.

# How far, in pixels, the edges of binned pixels may be from those of the image.
_ON_EDGE = 1e-6
# How far apart, in pixels, the pixels of two images on one grid may be.
_SAME_GRID = 0.01
# The same on the sky: without physical coordinates, and with equal ones, as registered images differ a little.
_SAME_SKY, _REGISTERED = 0.5, 2.0
# Largest number of pixels of an image before it is binned, and largest coordinate of a pixel.
_MOST_PIXELS = 2**30
_FARTHEST = 2**31
_SKY = ("sky", "pos")
_AXES = {"x": 1, "y": 0}


def files_of(*names: Name | None) -> list[Path]:
    """Return the files of virtual names, with the regions, masks and GTIs that their filters read."""
    files = []
    for name in names:
        if name is None:
            continue
        parsed = named_file(name)
        files.append(parsed.file)
        files += files_of(*files_in_filters(parsed))
    return files


def plain_name(name: Name) -> str:
    """Return a virtual name for products, without the folders of the file and of the files in its filters."""
    return str(with_paths(named_file(name), lambda path: Path(path).name))


def absolute_name(name: str, folder: Path) -> str:
    """Return a virtual name with absolute paths, in filters too; relative paths are relative to ``folder``."""
    if name.startswith("@"):
        return f"@{folder.absolute() / name[1:]}"
    folder = folder.absolute()
    return str(with_paths(named_file(name, folder), lambda path: str(folder / path), folder))


def image_shape(name: Name) -> tuple[int, int]:
    """Return the shape (ny, nx) of an image from its header, before filters crop or bin pixels.

    Raises `InputError` for files that cannot be read, and for files without an image.
    """
    parsed = named_file(name)
    if parsed.steps and parsed.binning is not None and is_table(parsed):
        from chandra_bin.events.images import event_image_shape

        return event_image_shape(parsed)
    with open_fits(parsed.file) as hdus:
        for hdu in hdus:
            key = "ZNAXIS" if "ZIMAGE" in hdu.header else "NAXIS"
            sides = [hdu.header.get(f"{key}{n}") for n in (2, 1)]
            if (hdu.is_image or key == "ZNAXIS") and all(isinstance(side, int) for side in sides):
                return sides[0], sides[1]
    raise NoImage(f"{parsed.file}: holds no image")


def read_image(name: Name) -> Image:
    """Read an image by a virtual name: a FITS image, which may be filtered and binned, or events that are binned.

    Filters on an image act like CIAO's: pixels whose centres they exclude become 0 (``[opt null=NaN]``: NaN), and the
    image is cropped to the box of the remaining pixels (not with ``[opt full]``).

    Parameters
    ----------
    name : str or path
        The virtual name.

    Returns
    -------
    Image

    Raises
    ------
    InputError
        Where the image cannot be read; the text is one line that begins with the name.

    Examples
    --------
    >>> from astropy.io import fits
    >>> from chandra_bin import contour_bin, read_image
    >>> from chandra_bin.simulate import cluster_header, cluster_image
    >>> counts = cluster_image((64, 64), counts=20_000, seed=1)
    >>> fits.writeto("cluster.fits", counts, cluster_header(counts.shape, bin_px=4))
    >>> read_image("cluster.fits")
    <Image: 64 x 64 pixels of >i4, cluster.fits>
    >>> contour_bin(read_image("cluster.fits"), sn=20).table["ra"].unit
    Unit("deg")
    """
    parsed = named_file(name)
    path = Path(str(parsed)) if parsed.steps else parsed.file
    if parsed.steps and is_table(parsed):
        if parsed.binning is None:
            raise NoImage(f"{path}: is a table; add the binning to an image, such as [bin sky=4]")
        return _events_image(parsed, path)
    image = read_image_file(parsed.file, parsed.block.name if parsed.block else None)
    return Image(*_filtered(image, parsed), path) if parsed.steps else image


def is_table(name: VirtualFile) -> bool:
    """Return whether the named block, or else the first block with data, is a table. Raises `InputError`."""
    with open_fits(name.file) as hdus:
        for hdu in hdus:
            if name.block is None and not (hdu.is_table or hdu.is_image):
                continue
            if name.block is None or hdu.is_named(name.block.name):
                return hdu.is_table and "ZIMAGE" not in hdu.header
    if name.block is None:
        raise NoImage(f"{name.file}: holds neither an image nor a table")
    raise name.error(name.block.at, f"the file has no block {name.block.name}")


def read_like(name: Name, image: Image, what: str, *, of_any: bool = False) -> Image:
    """Read an image of the same shape as ``image``; ``what`` names it in the `InputError` for another shape.

    An image of another observation is warned of, unless it may be ``of_any``, as masks are.
    """
    other = _read_of_shape(name, image, what, of_any)
    if apart := _apart(other, image):
        warn(f"{other.path}: the {what} lies up to {apart} from the image {image.path}")
    return other


def _read_of_shape(name: Name, image: Image, what: str, of_any: bool) -> Image:
    other = read_image(name)
    if other.data.shape != image.data.shape:
        raise InputError(f"{other.path}: the {what} has {size_text(other.data.shape)} pixels, "
                         f"the image {image.path} has {size_text(image.data.shape)}")
    if not of_any:
        _warn_of_another_observation(other, image, what)
    return other


def _warn_of_another_observation(other: Image, image: Image, what: str) -> None:
    theirs, ours = (obsid_number(text_of(each.header, "OBS_ID")) for each in (other, image))
    if theirs is not None and ours is not None and theirs != ours:
        warn(f"{other.path}: the {what} is of ObsID {theirs}, and the image {image.path} of {ours} (OBS_ID): check "
             "that they belong together")


def read_on_grid(name: Name, image: Image, what: str, *, of_any: bool = False) -> Image:
    """Read like `read_like`, for images whose pixels are added or multiplied: another grid is an `InputError`."""
    other = _read_of_shape(name, image, what, of_any)
    if apart := _apart(other, image):
        raise InputError(f"{other.path}: the {what} is on another grid than {image.path}: its pixels lie up to "
                         f"{apart} from those; make both on one grid")
    return other


def refuse_filled(image: Image) -> Image:
    """Return the image. Raises `InputError` for an image that was filled for display."""
    if image.header.get("FILLED"):
        raise InputError(f"{image.path}: some of its pixels are random values for display (FILLED); give the image "
                         "that it was made from, and its mask")
    return image


def _events_image(parsed: VirtualFile, path: Path) -> Image:
    from chandra_bin.events.images import event_image

    made = event_image(parsed)
    if made.data.ndim != 2:
        raise InputError(f"{path}: is a histogram of one column, not an image; give two axes, such as [bin sky=4]")
    return Image(made.data, made.header, path)


def _filtered(image: Image, name: VirtualFile) -> tuple[NDArray[Any], Any]:
    name.need_only(Block, Filter, Binning, options=("type", "null", "full", "update"))
    coords = ImageCoords(image.header)
    data = image.data
    shape: tuple[int, int] = data.shape
    box = np.array([[0, shape[1]], [0, shape[0]]])
    keep = np.ones(shape, bool)
    for step in name.filters:
        inside = np.ones(shape, bool)
        for term in step.terms:
            pixels, limits = _of_term(term, coords, shape, name)
            inside &= pixels
            if not step.exclude:
                box = np.stack([np.maximum(box[:, 0], limits[:, 0]), np.minimum(box[:, 1], limits[:, 1])], axis=1)
        keep &= ~inside if step.exclude else inside
    if name.filters:
        if not keep.any():
            raise InputError(f"{name}: the filters exclude all pixels")
        data = _blanked(data, keep, name)
    low = np.zeros(2, int)
    if name.filters and "full" not in name.options:
        (x0, x1), (y0, y1) = box.tolist()
        data, low = data[y0:y1, x0:x1], np.array([x0, y0])
    step_px = np.ones(2, int)
    if name.binning is not None:
        data, low, step_px = _binned(data, low, coords, name)
    (x0, y0), (step_x, step_y) = low.tolist(), step_px.tolist()
    return np.ascontiguousarray(_cast(data, name)), moved_header(image, (x0, y0), (step_x, step_y))


def _of_term(term: Term, coords: ImageCoords, shape: tuple[int, int],
             name: VirtualFile) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return the pixels that a term keeps, and the box of pixels (x, y; from, to) around them."""
    whole = np.array([[0, shape[1]], [0, shape[0]]])
    if isinstance(term, RangeTerm) and term.column in _AXES:
        axis = _AXES[term.column]
        pixels = np.arange(shape[axis], dtype=float)
        centres = coords.image_to_physical(pixels, 0.0)[0] if axis else coords.image_to_physical(0.0, pixels)[1]
        inside = np.zeros(shape[axis], bool)
        for each in term.ranges:
            low, high = -math.inf if each.lo is None else each.lo, math.inf if each.hi is None else each.hi
            inside |= (low <= centres) & ((centres == high) if each.single else (centres < high))
        found = np.flatnonzero(inside)
        whole[1 - axis] = [found[0], found[-1] + 1] if len(found) else [0, 0]
        return np.broadcast_to(inside if axis else inside[:, None], shape), whole
    if isinstance(term, RegionTerm) and (term.columns[0] in _SKY or term.columns == ("x", "y")):
        from chandra_bin.events.region_files import region_of
        from chandra_bin.regions import region_box, region_mask

        region = region_of(term, name)
        return region_mask(region, coords, shape), region_box(region, coords, shape)
    if isinstance(term, MaskTerm):
        from chandra_bin.events.filters import read_mask

        mask = read_mask(term, name)
        if mask.data.shape != shape:
            raise name.error(term.at, f"the mask {term.file} has {size_text(mask.data.shape)} pixels, the image "
                                      f"{size_text(shape)}")
        kept: NDArray[np.bool_] = np.nan_to_num(mask.data, nan=0) != 0
        return kept, whole
    raise name.error(term.at, "an image can be filtered by sky=region(..), shapes, x, y and sky=mask(..) only")


def _blanked(data: NDArray[Any], keep: NDArray[np.bool_], name: VirtualFile) -> NDArray[Any]:
    null = name.options.get("null", "0")
    try:
        value = float(null)
    except ValueError:
        raise InputError(f"{name}: null must be NaN or a number, got {null}") from None
    wide = _type_of(name) or data.dtype
    bits = 8 * wide.itemsize
    if wide.kind in "iu" and not (value.is_integer() and -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)):
        raise InputError(f"{name}: whole numbers of {bits} bits cannot hold {null}; write "
                         f"[opt null={null},type=r4]")
    return np.where(keep, data.astype(wide) if wide.kind == "f" else data, np.array(value).astype(wide))


def _type_of(name: VirtualFile) -> np.dtype[Any] | None:
    """Return the type of pixels that a name requests."""
    from chandra_bin.events.images import TYPES

    return np.dtype(TYPES[name.options["type"]]) if "type" in name.options else None


def _cast(data: NDArray[Any], name: VirtualFile) -> NDArray[Any]:
    """Return the pixels in the type of ``opt type``."""
    wanted = _type_of(name)
    if wanted is None:
        return data
    made = data.astype(wanted)
    if made.dtype.kind == "i" and (made != data).any():
        raise InputError(f"{name}: the type {name.options['type']} cannot hold the pixels, {np.nanmin(data):g} to "
                         f"{np.nanmax(data):g}; choose another")
    return made


def _binned(data: NDArray[Any], low: NDArray[np.int64], coords: ImageCoords,
            name: VirtualFile) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """Return sums of whole pixels; ``low`` is the first pixel of the data in the image, (x, y)."""
    binning = name.binning
    assert binning is not None
    axes: dict[str, BinAxis] = {}
    for axis in binning.axes:
        for column in ("x", "y") if axis.column in _SKY else (axis.column,):
            if column not in _AXES or column in axes:
                raise name.error(axis.at, "an image has the axes x and y, or sky for both")
            axes[column] = axis
    first, count, step = low.copy(), np.array(data.shape[::-1]), np.ones(2, int)
    for column, axis in axes.items():
        i = 1 - _AXES[column]
        scale = float(coords.need_physical().scale[i])
        width = scale if axis.step is None else axis.step
        ends = [None if end is None else float(np.array(coords.physical_to_image(end, end))[i]) + 0.5
                for end in (axis.lo, axis.hi)]
        begin = float(low[i]) if ends[0] is None else ends[0]
        end = float(low[i] + count[i]) if ends[1] is None else ends[1]
        pixels = (end - begin) / axis.count if axis.count else width / scale
        if not all(abs(each) < _FARTHEST for each in (begin, end, pixels)):
            raise name.error(axis.at, f"ends beyond the largest image of pixels {scale:g} wide")
        if end <= begin:
            raise name.error(axis.at, "lies outside the image")
        step[i], first[i] = round(pixels), round(begin)
        if step[i] < 1 or abs(step[i] - pixels) > _ON_EDGE or abs(first[i] - begin) > _ON_EDGE:
            raise name.error(axis.at, f"an image is binned by whole pixels, here {scale:g} wide: "
                                      f"write for example {axis.column}={scale * max(round(pixels), 2):g}")
        count[i] = math.ceil((end - begin) / pixels - _ON_EDGE) * step[i]
    if math.prod(count.tolist()) > _MOST_PIXELS:
        raise name.error(binning.at, f"an image of {count[0]} x {count[1]} pixels is too large; give limits")
    whole = data.dtype.kind in "iu"
    made = np.zeros(count[::-1], data.dtype)
    _paste(made, data, low - first)
    sums = block_sums(made, (int(step[1]), int(step[0])), np.int64 if whole else np.float64)
    if not whole:
        return sums.astype(data.dtype), first, step
    fits = np.abs(sums).max(initial=0) <= np.iinfo(np.int32).max
    return sums.astype(np.int32 if fits else np.int64), first, step


def _paste(target: NDArray[Any], source: NDArray[Any], at: NDArray[np.int64]) -> None:
    """Copy the overlap of the source, at the place ``at`` (x, y), to the target."""
    into, of = [], []
    for offset, size, have in zip(at[::-1].tolist(), target.shape, source.shape, strict=True):
        into.append(slice(max(offset, 0), max(min(offset + have, size), 0)))
        of.append(slice(max(-offset, 0), max(min(size - offset, have), 0)))
    target[tuple(into)] = source[tuple(of)]


def _apart(other: Image, image: Image) -> str:
    """Return how far apart the pixels of two images of one shape are, in words.

    The text is empty for negligible distances, and for images without coordinates, whose distance is unknown.
    """
    ny, nx = image.data.shape
    theirs, ours = ImageCoords(other.header), ImageCoords(image.header)
    most = _SAME_SKY
    x, y = np.array([0.0, nx - 1, 0.0, nx - 1]), np.array([0.0, 0.0, ny - 1, ny - 1])
    if theirs.physical is not None and ours.physical is not None:
        corners = [np.array(each.image_to_physical(x, y)) for each in (theirs, ours)]
        pixel = np.abs(np.diff(corners[1][:, [0, 3]])).max() / max(nx - 1, ny - 1, 1)
        apart = float(np.abs(corners[0] - corners[1]).max())
        if apart > _SAME_GRID * pixel:
            return f"{apart:g} physical pixels"
        most = _REGISTERED
    if _sky_keywords(other) == _sky_keywords(image):
        return ""
    try:
        if theirs.sky is None or ours.sky is None:
            return ""
        theirs_sky, ours_sky = (zip(*each.image_to_sky(x, y, "icrs"), strict=True) for each in (theirs, ours))
        # Corners that the projection does not reach are NaN.
        arcsec = 3600 * np.nan_to_num([*map(separation_deg, theirs_sky, ours_sky)]).max()
        return f"{arcsec:.{0 if arcsec > 10 else 2}f} arcsec" if arcsec > most * ours.pixel_area_arcsec2**0.5 else ""
    except InputError:  # what needs sky coordinates reports that they cannot be read
        return ""


def _sky_keywords(image: Image) -> dict[str, Any]:
    return {key: image.header[key] for key in image.header if is_of_sky(key)}
