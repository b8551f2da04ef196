"""Propose the region files that the step scripts ask a user to draw, each with a picture.

A proposal holds its own checksum. An existing file with another checksum was drawn or edited by the user: it is used
in place of the proposal and never replaced. Earlier proposals and pictures are replaced.
"""

import glob
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import compress
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.options import Options, option
from chandra_bin._checks.paths import FileName, as_path, as_path_or_none, as_paths
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, NoCluster, counted, rename_hint
from chandra_bin.events.region_files import read_regions
from chandra_bin.fits.headers import text_of
from chandra_bin.fits.images import Image
from chandra_bin.fits.outputs import Outputs
from chandra_bin.fits.tables import open_fits
from chandra_bin.plots.figures import Look
from chandra_bin.plots.regions import RegionOverlay, region_png
from chandra_bin.regions import (
    PHYSICAL,
    Component,
    Region,
    Shape,
    convert_region,
    has_shapes,
    region_bytes,
    region_mask,
)
from chandra_bin.regions.marks import is_users, marked
from chandra_bin.sources.proposals import ClusterShape, Ellipse, exposed_box, find_cluster

from ._common import about, excluded_by_regions, read_exposure, warn_of_rims, write_picture
from .inputs import files_of, read_image, read_on_grid, refuse_filled

logger = logging.getLogger(__name__)

# Detections up to this size, in sizes of the PSF, and of at least this significance are points even in a cluster. Of
# simulated detections with less significance hardly any is a point.
COMPACT = 2.0
SIGNIFICANT = 4.5

_IMAGE = "image"
# Columns of a table of sources that separate points from the cluster.
_OF_DETECTIONS = ("psfratio", "src_significance")
# A box on the sky is smaller by this part of a pixel on each side, so that rounded numbers touch no further pixel.
_INSET_PX = 0.1


@dataclass(frozen=True, repr=False)
class Detections(Options):
    """A table of sources, and the limits for points even in a cluster: those that are compact and significant."""

    file: Path
    """As for `propose_point_sources`."""
    compact: float = option(COMPACT, "The largest PSFRATIO of a point.")
    significant: float = option(SIGNIFICANT, "The least SRC_SIGNIFICANCE of a point.")


@dataclass(frozen=True)
class Proposal:
    """A region file, and its picture."""

    file: Path
    picture: Path
    is_users: bool
    """Whether the file is the user's, drawn or edited, and was not changed."""


@dataclass(frozen=True, eq=False)
class ProposedCluster(Proposal):
    """The region of a cluster."""

    shape: ClusterShape
    """The ellipse that was found, also where a user's file is used."""


@dataclass(frozen=True)
class ProposedSources(Proposal):
    """The region of point sources."""

    sources: int
    """Number of sources outside the cluster; 0: no file is written, as no tool reads a region file without a shape."""
    dropped: int
    """Number of detections that are taken for the cluster."""


@dataclass(frozen=True)
class ProposedArea(Proposal):
    """The area of interest, ``square.reg``, also in physical coordinates."""

    physical_file: Path
    """``min_xy.reg``"""
    box: tuple[int, int, int, int]
    """Pixels x0, x1, y0, y1 of the proposal, the ends excluded."""


def propose_cluster(image: FileName, out: FileName, *, kind: Literal["aperture", "extent"] = "aperture",
                    expmap: FileName | None = None, background: FileName | None = None,
                    background_scale: float | FileName | None = None, exclude: Sequence[FileName] = (),
                    detections: Detections | None = None, mask: FileName | None = None,
                    sky: bool = False) -> ProposedCluster:
    """Propose the region of the cluster of an image: an ellipse.

    Parameters
    ----------
    image : counts image.
    out : ``{obs}_cluster.reg`` or ``src_0.5-7-nps-noem.reg``; the picture has the same name with ``.png``.
    kind : the ``aperture`` of the moments, or the ``extent`` where the growth curve stops.
    expmap, background, background_scale : as for `bin_image`; each is optional.
    exclude : region files of point sources.
    detections : compact and significant detections are left out; others may be the cluster itself.
    mask : FITS mask: pixels of 0 are ignored.
    sky : write hh:mm:ss, dd:mm:ss (in the image's own frame, as CIAO reads them) instead of physical coordinates.

    The ellipse has the second moments of the net brightness within 4 sigma, iterated. Raises `InputError`, also where
    no cluster is found (an earlier proposal is removed then), and `OutputError`.
    """
    image, out = as_path(image, "image"), as_path(out, "out")
    expmap, background = as_path_or_none(expmap, "expmap"), as_path_or_none(background, "background")
    mask, exclude = as_path_or_none(mask, "mask"), as_paths(exclude, "exclude")
    if background is None and background_scale is not None:
        raise InputError("a background scale needs a background image")
    scale: Any = as_path(background_scale) if isinstance(background_scale, str | PathLike) else background_scale
    is_users, picture = _is_users(out), out.with_suffix(".png")
    inputs = [*files_of(image, expmap, background, scale if isinstance(scale, Path) else None, mask), *exclude,
              *([] if detections is None else [detections.file])]
    with _outputs([picture] if is_users else [out, picture], inputs) as outputs:
        pixels = refuse_filled(read_image(image))
        exposure = None if expmap is None else read_exposure(expmap, pixels).data
        expected = _expected(background, scale, pixels)
        excluded = np.zeros(pixels.data.shape, bool) if mask is None else ~(
            read_on_grid(mask, pixels, "mask", of_any=True).data >= 1)
        if exclude:
            excluded |= excluded_by_regions(pixels, exclude, ())
        points = Region(()) if detections is None else _points(detections)
        if points.components:
            with about(pixels.path):
                excluded |= region_mask(points, ImageCoords(pixels.header), pixels.data.shape)
        with about(pixels.path):
            found = find_cluster(pixels.data, exposure=exposure, background=expected, mask=excluded)
        if exposure is None:
            warn_of_rims(pixels, "they count as sky, and the ellipse may be off; give expmap")
        ellipse = found.aperture if kind == "aperture" else found.extent
        coords = ImageCoords(pixels.header).with_shape(pixels.data.shape)
        region = _ellipse_region(ellipse, str(out))
        overlays = [RegionOverlay(region, "proposed")]
        if is_users:
            overlays[:0] = _yours(out)
        else:
            outputs.write(out, _region_bytes(region, coords, pixels, sky))
        left_out = [*(read_regions(path, for_ciao=False) for path in exclude), *([points] if points.components else [])]
        overlays += [RegionOverlay(each, "left out", faint=True) for each in left_out]
        write_picture(outputs, picture, lambda: region_png(
            pixels.data, overlays, coords, _title(pixels, out), exposure=exposure, cluster=found))
    return ProposedCluster(out, picture, is_users, found)


def propose_point_sources(detections: FileName, out: FileName, image: FileName, *, cluster: FileName | None = None,
                          compact: float = COMPACT, significant: float = SIGNIFICANT,
                          sky: bool = True) -> ProposedSources:
    """Propose the region of point sources: detections whose centres are outside the cluster.

    Parameters
    ----------
    detections : source table (SRCLIST of wavdetect, or of ``detect``) or region file.
    out : ``broad_src_0.5-7-pointsources.reg``; the picture has the same name with ``.png``.
    image : the image of the detections.
    cluster : region file of the cluster.
    compact : detections in the cluster count as points where the table's PSFRATIO, the size of the source over that of
        the PSF, is at most ``compact``, and its SRC_SIGNIFICANCE at least ``significant``, as edges of the cluster are
        compact, too, but faint. 0: all detections in the cluster are dropped, and no table is needed.
    sky : as for `propose_cluster`.

    Raises `InputError` and `OutputError`.
    """
    detections, out, image = as_path(detections, "detections"), as_path(out, "out"), as_path(image, "image")
    cluster = as_path_or_none(cluster, "cluster")
    is_users, picture = _is_users(out), out.with_suffix(".png")
    inputs = [*files_of(image), detections, *([] if cluster is None else [cluster])]
    with _outputs([picture] if is_users else [out, picture], inputs) as outputs:
        pixels = refuse_filled(read_image(image))
        coords = ImageCoords(pixels.header).with_shape(pixels.data.shape)
        region, columns = _detections(detections)
        with about(pixels.path):
            components = convert_region(region, coords, _IMAGE).components
        inside = _in_cluster(components, cluster, coords, pixels)
        if inside.any() and compact > 0:
            inside &= ~_is_point(detections, columns, compact, significant)
        kept = [each for each, drop in zip(components, inside, strict=True) if not drop]
        dropped = [each for each, drop in zip(components, inside, strict=True) if drop]
        overlays = []
        if cluster is not None:
            overlays.append(RegionOverlay(read_regions(cluster, for_ciao=False), "cluster", faint=True))
        if dropped:
            overlays.append(RegionOverlay(Region(tuple(dropped)), f"taken for the cluster ({len(dropped)})",
                                          faint=True))
        if is_users:
            overlays[:0] = _yours(out)
        if kept:
            region = Region(tuple(kept), source=str(out))
            overlays.insert(0, RegionOverlay(region, f"proposed ({len(kept)})"))
            if not is_users:
                outputs.write(out, _region_bytes(region, coords, pixels, sky))
        write_picture(outputs, picture, lambda: region_png(pixels.data, overlays, coords, _title(pixels, out)))
    return ProposedSources(out, picture, is_users, len(kept), len(dropped))


def propose_area(expmap: FileName, folder: FileName, *, cluster: FileName | None = None, least: float = 0.3,
                 image: FileName | None = None) -> ProposedArea:
    """Propose the area of interest: the box of good exposure, ``square.reg`` (sky) and ``min_xy.reg`` (physical).

    Parameters
    ----------
    expmap : exposure map.
    cluster : region file of the cluster; the box contains its middle.
    least : the least exposure, as a fraction of the largest.
    image : counts image to show in the picture, ``square.png``; None: the exposure map.

    Where a user gave one of the two files, the other is made from it. Raises `InputError` and `OutputError`.
    """
    expmap, folder = as_path(expmap, "expmap"), as_path(folder, "folder")
    cluster, image = as_path_or_none(cluster, "cluster"), as_path_or_none(image, "image")
    square, physical = folder / "square.reg", folder / "min_xy.reg"
    picture = folder / "square.png"
    users = [path for path in (square, physical) if _is_users(path)]
    made = [path for path in (square, physical) if path not in users]
    inputs = [*files_of(expmap, image), *([] if cluster is None else [cluster])]
    with _outputs([*made, picture], inputs) as outputs:
        exposure = read_image(expmap)
        shown = exposure if image is None else read_on_grid(image, exposure, "image")
        coords = ImageCoords(exposure.header).with_shape(exposure.data.shape)
        centre = None if cluster is None else _middle(cluster, coords, exposure)
        with about(exposure.path):
            box = exposed_box(exposure.data, centre, least=least)
        given = _users(users[0]) if users else None
        if square in made:
            outputs.write(square, _region_bytes(given or _box_region(box, _INSET_PX, square), coords, exposure, True))
        if physical in made:
            outputs.write(physical, _region_bytes(given or _box_region(box, 0.0, physical), coords, exposure, False))
        overlays = [RegionOverlay(_box_region(box, 0.0, square), "proposed")]
        if given is not None:
            overlays.insert(0, RegionOverlay(given, "yours"))
        if cluster is not None:
            overlays.append(RegionOverlay(read_regions(cluster, for_ciao=False), "cluster", faint=True))
        label = "Exposure" if image is None else "Counts per pixel"
        write_picture(outputs, picture, lambda: region_png(
            shown.data, overlays, coords, _title(exposure, square), Look(label)))
    return ProposedArea(square, picture, bool(users), physical, box)


@contextmanager
def _outputs(paths: Sequence[Path], inputs: Sequence[Path]) -> Iterator[Outputs]:
    """Yield outputs that replace an earlier proposal; without a cluster the earlier proposal is removed."""
    nothing: NoCluster | None = None
    series = [path.parent / glob.escape(path.name) for path in paths]
    with Outputs(paths, series=series, inputs=inputs, clobber=True) as outputs:
        try:
            yield outputs
        except NoCluster as error:
            nothing = error
    if nothing is not None:
        raise nothing


def _is_users(path: Path) -> bool:
    """Return whether a file exists that differs from a proposal."""
    if not is_users(path):
        return False
    logger.info("%s exists already, and is used without change", path)
    return True


def _users(path: Path) -> Region:
    return read_regions(path, for_ciao=False)


def _yours(path: Path) -> list[RegionOverlay]:
    """Return a user's region for the picture; empty for a file of comments alone, which declares no region."""
    return [RegionOverlay(_users(path), "yours")] if has_shapes(path) else []


def _expected(background: Path | None, scale: float | Path | None, image: Image) -> NDArray[np.float64] | None:
    """Return the expected background counts."""
    if background is None:
        return None
    counts = refuse_filled(read_on_grid(background, image, "background")).data
    factor: Any = 1.0 if scale is None else scale
    if isinstance(scale, Path):
        factor = read_on_grid(scale, image, "background scale").data
    return np.asarray(counts * factor, np.float64)


def _ellipse_region(ellipse: Ellipse, source: str) -> Region:
    shape = Shape("ellipse", np.array([[ellipse.x + 1, ellipse.y + 1]]), (ellipse.a, ellipse.b), (ellipse.angle_deg,),
                  _IMAGE, _IMAGE)
    return Region(((shape,),), source=source)


def _box_region(box: tuple[int, int, int, int], inset: float, source: Path) -> Region:
    x0, x1, y0, y1 = box
    centre = np.array([[(x0 + x1 + 1) / 2, (y0 + y1 + 1) / 2]])
    shape = Shape("box", centre, (x1 - x0 - 2 * inset, y1 - y0 - 2 * inset), (0.0,), _IMAGE, _IMAGE)
    return Region(((shape,),), source=str(source))


def _region_bytes(region: Region, coords: ImageCoords, image: Image, sky: bool) -> bytes:
    """Return a region file that is marked as a proposal."""
    with about(image.path):
        if sky:
            content = region_bytes(region, coords, format="ciao", system="wcs", sexagesimal=True)
        else:
            content = region_bytes(region, coords, format="ciao", system=PHYSICAL)
    return marked(content)


def _detections(path: Path) -> tuple[Region, dict[str, NDArray[np.float64]]]:
    """Return detections, a component each, and the columns of a table that separate points from the cluster."""
    found: dict[str, NDArray[np.float64]] = {}
    content = path.read_bytes() if path.is_file() else b""
    if content.startswith((b"SIMPLE  =", b"\x1f\x8b")):
        with open_fits(path) as hdus:
            for hdu in hdus:
                if hdu.is_table and {"x", "y", "shape"} <= set(hdu.columns):
                    if hdu.rows == 0:
                        return Region(()), {}
                    rows = hdu.table()
                    found = {name: hdu.columns[name].values(rows) for name in _OF_DETECTIONS if name in hdu.columns}
                    break
    elif content and not has_shapes(path):
        return Region(()), {}
    region = read_regions(path, for_ciao=False)
    if region.cuts:
        raise InputError(f"{path}: holds excluded shapes (-); give a list of sources")
    for values in found.values():
        if len(values) != len(region.components):
            raise InputError(f"{path}: has {counted(len(values), 'row')} for "
                             f"{counted(len(region.components), 'source')}: COMPONENT joins "
                             "some")
    return region, found


def _is_point(path: Path, columns: Mapping[str, NDArray[np.float64]], compact: float,
              significant: float) -> NDArray[np.bool_]:
    """Return which detections are points even in a cluster."""
    if missing := [name for name in _OF_DETECTIONS if name not in columns]:
        raise InputError(f"{path}: has no column {missing[0].upper()}, which separates compact sources from the "
                         f"cluster; give the source table{rename_hint(missing, columns)}")
    ratio, significance = (columns[name] for name in _OF_DETECTIONS)
    found: NDArray[np.bool_] = (ratio <= compact) & (significance >= significant)
    return found


def _points(detections: Detections) -> Region:
    """Return the detections that are points even in a cluster."""
    region, columns = _detections(detections.file)
    if not region.components:
        return region
    are_points = _is_point(detections.file, columns, detections.compact, detections.significant)
    return replace(region, components=tuple(compress(region.components, are_points)))


def _in_cluster(components: Sequence[Component], cluster: Path | None, coords: ImageCoords,
                image: Image) -> NDArray[np.bool_]:
    """Return which detections have their centres in the cluster."""
    if cluster is None or not components:
        return np.zeros(len(components), bool)
    with about(image.path):
        covered = region_mask(read_regions(cluster, for_ciao=False), coords, image.data.shape)
    centres = np.array([component[0].points.mean(axis=0) for component in components]) - 1
    x, y = np.rint(centres).astype(int).T
    ny, nx = image.data.shape
    inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
    found: NDArray[np.bool_] = inside & covered[np.clip(y, 0, ny - 1), np.clip(x, 0, nx - 1)]
    return found


def _middle(cluster: Path, coords: ImageCoords, image: Image) -> tuple[float, float]:
    """Return the mean place of the pixels of a region, array coordinates."""
    with about(image.path):
        inside = region_mask(read_regions(cluster, for_ciao=False), coords, image.data.shape)
        if not inside.any():
            raise InputError(f"no pixel is inside {cluster}")
    y, x = np.nonzero(inside)
    return float(x.mean()), float(y.mean())


def _title(image: Image, out: Path) -> str:
    target = text_of(image.header, "OBJECT")
    return f"{target}: {out.name}" if target else out.name
