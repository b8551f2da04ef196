"""Draw the picture of the README from a finished pipeline on simulated observations.

    chandra-bin simulate sim --seed 21 --obsids 2 --exposure 60000 --counts 500000 --datamode FAINT
    chandra-bin init sim -o work --engine native --sn 45
    chandra-bin run work
    python examples/draw_readme.py work docs/images/overview.png
"""

import sys
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from chandra_bin import trace_polygons

# Half the side of the shown part, in pixels.
HALF = 430


def per_bin(binmap, table, column):
    """Return an image of a column of a table with a row for each bin, NaN outside bins."""
    values = np.full(binmap.max() + 2, np.nan)
    values[np.asarray(table["bin"])] = np.asarray(table[column])
    return values[binmap]


def draw(work, out):
    (bins,) = Path(work, "spec_files").glob("*/")
    binmap = fits.getdata(bins / "contbin_binmap.fits").astype(np.int32)
    (folder,) = [each for each in Path(work).glob("merge_*") if not each.is_symlink()]
    counts = fits.getdata(folder / "broad_thresh_final.img")
    table, truth = Table.read(bins / "bins.ecsv"), Table.read(bins / "maps/truth.ecsv")
    rings = trace_polygons(binmap)
    lines = [np.vstack([ring, ring[:1]]) for polygon in range(len(rings)) for ring in rings.rings(polygon)]
    bright = np.asarray(table["brightness"])
    middle = [np.average(np.asarray(table[axis]), weights=np.clip(bright, 0, None) ** 2) for axis in ("x", "y")]
    true = np.asarray(truth["true_kt"])[np.isfinite(np.asarray(truth["kt"]))]
    kt = {"vmin": np.floor(true.min()), "vmax": np.ceil(true.max()), "cmap": "inferno"}
    log = {"norm": LogNorm(0.08, np.nanmax(bright)), "cmap": "magma"}
    panels = (("Counts and outlines of the bins", gaussian_filter(counts.astype(float), 1.0), log),
              ("Brightness of the bins", per_bin(binmap, table, "brightness"), log),
              ("Fitted temperature", per_bin(binmap, truth, "kt"), kt),
              ("True temperature", per_bin(binmap, truth, "true_kt"), kt))
    figure = Figure(figsize=(10, 8.2), dpi=110, layout="constrained")
    for n, (axes, (title, image, colours)) in enumerate(zip(figure.subplots(2, 2).flat, panels, strict=True)):
        shown = np.where(binmap < 0, np.nan, np.fmax(image, 0.08) if colours is log else image)
        picture = axes.imshow(shown, origin="lower", interpolation="nearest", **colours)
        if n < 2:
            axes.add_collection(LineCollection(lines, colors="white", linewidths=0.35, alpha=0.8))
        axes.set(title=title, xticks=[], yticks=[], facecolor="#dddddd",
                 xlim=(middle[0] - HALF, middle[0] + HALF), ylim=(middle[1] - HALF, middle[1] + HALF))
        figure.colorbar(picture, ax=axes, shrink=0.9, label="counts per pixel" if n < 2 else "kT (keV)")
    FigureCanvasAgg(figure).print_png(out)


if __name__ == "__main__":
    draw(*sys.argv[1:])
