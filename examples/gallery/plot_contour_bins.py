"""
Bins along the contours
=======================

A cool-core cluster with two cavities and a cold front, binned to a signal-to-noise of 50. Each bin follows the surface
brightness of the smoothed image, so the rims of the cavities and the front are edges of bins.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection

from chandra_bin import contour_bin, trace_polygons
from chandra_bin.simulate import cluster_image

counts = cluster_image((200, 200), counts=600_000, seed=1)
bins = contour_bin(counts, sn=50, smooth_sn=75, constrain=3)
print(f"{len(bins)} bins, S/N {bins.sn.min():.1f} to {bins.sn.max():.1f}")

# %%
# ``bins.paint`` makes an image of one value per bin; ``trace_polygons`` returns the outlines.

outlines = trace_polygons(bins.binmap)
rings = [np.vstack([ring, ring[:1]]) for polygon in range(len(outlines)) for ring in outlines.rings(polygon)]

figure, axes = plt.subplots(2, 2, figsize=(9.6, 8.4), layout="constrained", sharex=True, sharey=True)
panels = [(np.maximum(counts, 0.5), "counts", {"cmap": "magma", "norm": "log"}, "counts a pixel"),
          (bins.smoothed, "smoothed to S/N 75", {"cmap": "magma", "norm": "log"}, "counts a pixel"),
          (bins.signal_image, f"{len(bins)} bins", {"cmap": "magma", "norm": "log"}, "net counts a pixel"),
          (bins.paint(bins.sn), "their S/N", {"cmap": "viridis", "vmin": 50, "vmax": 55}, "S/N")]
for axis, (image, title, style, label) in zip(axes.flat, panels, strict=True):
    shown = axis.imshow(image, origin="lower", interpolation="nearest", **style)
    axis.set_title(title)
    figure.colorbar(shown, ax=axis, label=label, extend="max" if label == "S/N" else "neither")
for axis in axes[1]:
    axis.add_collection(LineCollection(rings, colors="white", linewidths=0.3))
    axis.set_xlabel("x (pixel)")
for axis in axes[:, 0]:
    axis.set_ylabel("y (pixel)")
plt.show()
