"""
Ways to smooth
==============

Every pixel becomes a mean over its surroundings, which grow until they hold enough signal. Contour binning follows top
hats of the contour S/N; Gaussians look smoother, and need an exposure map.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm

from chandra_bin import counts_scale, smooth, smooth_gaussian
from chandra_bin.simulate import cluster_image

counts = cluster_image((140, 140), counts=120_000, seed=1)
panels = {"counts": np.maximum(counts, 0.5),
          "top hats of S/N 10": smooth(counts, sn=10),
          "top hats of S/N 30": smooth(counts, sn=30),
          "Gaussians of S/N 30": smooth_gaussian(counts, np.ones(counts.shape), sn=30)}

figure, axes = plt.subplots(2, 2, figsize=(9, 8.2), layout="constrained", sharex=True, sharey=True)
for axis, (title, image) in zip(axes.flat, panels.items(), strict=True):
    shown = axis.imshow(image, origin="lower", cmap="magma", norm=LogNorm(0.5, 500), interpolation="nearest")
    axis.set_title(title)
for axis in axes[1]:
    axis.set_xlabel("x (pixel)")
for axis in axes[:, 0]:
    axis.set_ylabel("y (pixel)")
figure.colorbar(shown, ax=axes, label="counts per pixel", shrink=0.8, extend="both")

# %%
# The radii of the discs: small in the core, large where it is faint. ``apply_scale`` smooths other images with them.

radius = np.sqrt(counts_scale(counts, sn=30))

figure, axis = plt.subplots(figsize=(5.6, 4.6), layout="constrained")
shown = axis.imshow(radius, origin="lower", cmap="cividis", interpolation="nearest")
figure.colorbar(shown, label="radius of S/N 30 (pixel)")
axis.set(xlabel="x (pixel)", ylabel="y (pixel)")
plt.show()
