"""What tests look for in pictures: pixels of a PNG, their colours, and the points of a light curve."""

import io

import numpy as np
from matplotlib.image import imread

OUTSIDE = (0xDD, 0xDD, 0xDD)  # pixels in no bin
KEPT, CUT = (0x00, 0x77, 0xBB), (0xEE, 0x77, 0x33)  # bins of light curves
OUTLINE, FAINT_OUTLINE = (0x00, 0xE5, 0xFF), (0xB8, 0xE9, 0x86)  # of regions


def pixels_of(png):
    """The RGB pixels (ny, nx, 3) of a PNG, 0 to 255."""
    return np.rint(255 * imread(io.BytesIO(png), format="png")[..., :3]).astype(int)


def number_of(colour, png):
    """How many pixels of a PNG have a colour."""
    return np.count_nonzero((pixels_of(png) == colour).all(axis=2))


def colours_of(png):
    """The colours of a PNG, 0xRRGGBB."""
    return set(np.unique(pixels_of(png) @ (1 << 16, 1 << 8, 1)).tolist())


def points_of(figure):
    """The points (n, 2) of the kept and of the cut bins of a light curve: time in ks, and rate."""
    (axes,) = figure.axes
    kept, cut = (line.get_xydata() for line in axes.lines if line.get_marker() in {"o", "X", ","})
    return kept, cut
