"""Region files of a binmap, as the original's ``make_region_files`` writes them."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chandra_bin._checks.paths import FileName, as_path
from chandra_bin.binning.boxes import cover_with_boxes
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError, warn
from chandra_bin.fits.images import Image
from chandra_bin.fits.outputs import Outputs
from chandra_bin.regions.box_texts import region_texts

from ._common import about, read_binmap

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegionFiles:
    """The numbers of region files and of their boxes, and their grid (``minx``, ``miny``, ``bin``)."""

    files: int
    boxes: int
    minx: float
    miny: float
    bin: float


def make_region_files(binmap: FileName, *, minx: float | None = None, miny: float | None = None,
                      bin: float | None = None, outdir: FileName = Path()) -> RegionFiles:
    """Write ``outdir/xaf_0.reg``, ``xaf_1.reg``, ... up to the first bin number without pixels.

    ``minx`` and ``miny`` are the physical coordinates of the lower left edge of the first pixel and ``bin`` the
    physical size of a pixel; those not given come from the header, or are 0, 0 and 1 where that has no physical
    coordinates. Files of the same names are replaced; files with higher numbers stay, with a warning.
    """
    binmap, outdir = as_path(binmap, "binmap"), as_path(outdir, "outdir")
    image, labels = read_binmap(binmap)
    with about(binmap):
        boxes = cover_with_boxes(labels)
        if not boxes.numbered:
            raise InputError("no pixel is in bin 0; bins must be numbered from 0")
        header_x, header_y, header_bin = _grid(image, bin)
    grid = (header_x if minx is None else minx, header_y if miny is None else miny, header_bin)
    if not np.isfinite(grid).all() or grid[2] <= 0:
        raise InputError(f"minx {grid[0]:g}, miny {grid[1]:g}, bin {grid[2]:g}: invalid grid: all must be finite, and "
                         "bin above 0")
    texts = list(region_texts(boxes, grid[:2], (grid[2], grid[2])))
    if boxes.numbered < len(boxes):
        warn(f"{binmap}: no pixel is in bin {boxes.numbered}; bins above it get no region file")
    with Outputs(clobber=True) as outputs:
        for b, text in enumerate(texts):
            outputs.write(outdir / f"xaf_{b}.reg", text)
    if (outdir / f"xaf_{len(texts)}.reg").exists():
        warn(f"{outdir / f'xaf_{len(texts)}.reg'} and others remain from an earlier run with more bins")
    return RegionFiles(len(texts), int(boxes.offsets[boxes.numbered]), *grid)


def _grid(image: Image, bin: float | None) -> tuple[float, float, float]:
    """Return minx, miny and bin from the header; a given ``bin`` takes precedence."""
    coords = ImageCoords(image.header)
    if coords.physical is None:
        logger.info("the header has no physical coordinates: minx, miny and bin are 0, 0 and 1 where not given")
        return 0.0, 0.0, 1.0 if bin is None else bin
    scale_x, scale_y = coords.physical.scale
    if bin is None and abs(scale_x - scale_y) > 1e-9 * abs(scale_x):
        raise InputError(f"pixels are {scale_x:g} x {scale_y:g} in physical coordinates: give --bin")
    return (*coords.lower_left_edge, float(scale_x) if bin is None else bin)
