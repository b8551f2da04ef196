"""
Outlines of bins on the sky
===========================

Bins become polygons along the edges of their pixels, in region files for CIAO and DS9. Here the files are written, one
is read back, and all outlines are drawn over the image.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from chandra_bin import BinningOptions, ImageCoords, read_regions, region_mask, trace_polygons
from chandra_bin.simulate import cluster_header, cluster_image
from chandra_bin.tasks import bin_image

counts = cluster_image((160, 160), counts=250_000, seed=1)
header = cluster_header(counts.shape, bin_px=4)

with TemporaryDirectory() as folder:
    image = Path(folder, "img.fits")
    fits.writeto(image, counts, header)
    bins = bin_image(image, Path(folder, "out"), BinningOptions(sn=60, smooth_sn=90, constrain=3)).bins
    region = Path(folder, "out/outreg/xaf_0.reg")
    print(region.read_text()[:150], "...")
    inside = region_mask(read_regions(region), ImageCoords(header), counts.shape)
print(f"{inside.sum()} pixels, those of the bin: {(inside == (bins.binmap == 0)).all()}")

# %%
# ``trace_polygons`` has the outlines of all bins at once: an outer ring, and rings of holes.

polygons = trace_polygons(bins.binmap)

figure = plt.figure(figsize=(7.4, 6.2), layout="constrained")
axis = figure.add_subplot(projection=WCS(header))
shown = axis.imshow(np.maximum(counts, 0.5), origin="lower", cmap="magma", norm="log",
                    interpolation="nearest")
for polygon in range(len(polygons)):
    for ring in polygons.rings(polygon):
        axis.plot(*np.vstack([ring, ring[:1]]).T, color="#00e5ff", linewidth=0.6)
figure.colorbar(shown, label="counts a pixel")
axis.set(xlabel="right ascension (ICRS)", ylabel="declination (ICRS)",
         title=f"{len(bins)} bins of S/N 60, {len(polygons)} polygons")
plt.show()
