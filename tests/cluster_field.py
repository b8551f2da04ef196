"""A cluster in a field with an edge, and detections in it: files for proposals of regions."""

import math

import numpy as np
from astropy.io import fits
from astropy.table import Table

from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.simulate import cluster_header
from files import write_fits

CIAO = "# Region file format: CIAO version 1.0\n"
FIELD = (300, 360)


def beta_model(shape, x, y, core, ratio, angle_deg, beta=0.66):
    """An elliptical beta model, its sum 1."""
    turn = math.radians(angle_deg)
    rows, columns = np.indices(shape, dtype=float)
    along = (columns - x) * math.cos(turn) + (rows - y) * math.sin(turn)
    across = ((rows - y) * math.cos(turn) - (columns - x) * math.sin(turn)) / ratio
    made = (1 + (along**2 + across**2) / core**2) ** (0.5 - 3 * beta)
    return made / made.sum()


def write_field(folder):
    """Writes img.fits, exp.fits, four detections as src.fits and src.reg (two are in the cluster), and none.fits."""
    header = dict(cluster_header(FIELD, bin_px=2))
    exposure = np.full(FIELD, 1e7, np.float32)
    exposure[:12] = exposure[:, 340:] = 0
    model = (2e4 * beta_model(FIELD, 200, 160, 8, 0.6, 35) + 0.05) * (exposure > 0)
    write_fits(folder / "img.fits", np.random.default_rng(1).poisson(model).astype(np.int32), **header)
    write_fits(folder / "exp.fits", exposure, **header)
    coords = ImageCoords(fits.getheader(folder / "img.fits"))
    places = [(60, 60), (200, 162), (300, 250), (190, 150)]
    x, y = np.transpose([coords.image_to_physical(*place) for place in places])
    table = Table({"X": x, "Y": y, "SHAPE": ["Ellipse"] * 4, "R": [[8.0, 6.0], [9.0, 9.0], [5.0, 4.0], [4.0, 3.0]],
                   "ROTANG": [10.0, 0.0, 80.0, 0.0], "COMPONENT": [1, 2, 3, 4], "PSFRATIO": [0.9, 6.0, 1.1, 0.8],
                   "SRC_SIGNIFICANCE": [5.0, 40.0, 5.0, 3.0]})
    fits.BinTableHDU(table, name="SRCLIST").writeto(folder / "src.fits")
    fits.BinTableHDU(table[:0], name="SRCLIST").writeto(folder / "none.fits")
    (folder / "src.reg").write_text(CIAO + "".join(
        f"ellipse({a:.2f},{b:.2f},6,5,0)\n" for a, b in zip(x, y, strict=True)))
    return folder
