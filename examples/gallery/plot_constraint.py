"""
Shapes of constrained bins
==========================

Without a constraint bins may wind around the cluster as thin rings. With ``constrain=C`` a bin takes only pixels that
are nearer to its centroid than C times the radius of a disc of its area: the smaller C, the rounder the bins. All bins
reach the same S/N.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection

from chandra_bin import contour_bin, trace_polygons
from chandra_bin.simulate import cluster_image

counts = cluster_image((160, 160), counts=400_000, seed=1)

figure, axes = plt.subplots(2, 2, figsize=(9.2, 8.4), layout="constrained", sharex=True, sharey=True)
for axis, limit in zip(axes.flat, (None, 3, 2, 1.2), strict=True):
    bins = contour_bin(counts, sn=60, smooth_sn=90, constrain=limit)
    shown = axis.imshow(bins.signal_image, origin="lower", cmap="magma", norm="log", vmin=2, vmax=500,
                        interpolation="nearest")
    outlines = trace_polygons(bins.binmap)
    rings = [np.vstack([ring, ring[:1]]) for polygon in range(len(outlines)) for ring in outlines.rings(polygon)]
    axis.add_collection(LineCollection(rings, colors="white", linewidths=0.5))
    axis.set_title(f"{'no constraint' if limit is None else f'C = {limit}'}: {len(bins)} bins")
for axis in axes[1]:
    axis.set_xlabel("x (pixel)")
for axis in axes[:, 0]:
    axis.set_ylabel("y (pixel)")
figure.colorbar(shown, ax=axes, label="net counts per pixel in bins of S/N 60", shrink=0.8, extend="both")
plt.show()
