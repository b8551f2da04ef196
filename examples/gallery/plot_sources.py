"""
Point sources
=============

Wavelets find sources in a field with a cluster and 40 point sources. They also find structure of the cluster itself; a
region of the cluster excludes these detections.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse

from chandra_bin import DetectionOptions, detect_sources
from chandra_bin.simulate import cluster_model

SIZE, SIGMA = 256, 1.2
rng = np.random.default_rng(5)
y, x = np.indices((SIZE, SIZE))

model = np.full((SIZE, SIZE), 0.05)
model[64:192, 64:192] += 20_000 * cluster_model((128, 128)) / cluster_model((128, 128)).sum()
places, fluxes = rng.uniform(8, SIZE - 8, (40, 2)), rng.uniform(15, 120, 40)
for (x0, y0), flux in zip(places, fluxes, strict=True):
    model += flux / (2 * np.pi * SIGMA**2) * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * SIGMA**2))
counts = rng.poisson(model)

in_cluster = np.hypot(x - 127.5, y - 127.5) < 70
found = detect_sources(counts, DetectionOptions(scales=(1, 2, 4)), psf_sigma_px=np.full(counts.shape, SIGMA),
                       unwanted=in_cluster)
outside = np.hypot(*(places - 127.5).T) >= 70
print(f"{len(found.sources)} sources found of the {outside.sum()} that are not in the cluster; "
      f"{found.dropped} left out there")

# %%
# Sizes and angles of sources are those of their second moments.

figure, axis = plt.subplots(figsize=(7.4, 6.4), layout="constrained")
shown = axis.imshow(np.maximum(counts, 0.5), origin="lower", cmap="magma", norm="log",
                    interpolation="nearest")
for source in found.sources:
    width, height = 8 * np.array(source.sigmas)
    axis.add_patch(Ellipse((source.x, source.y), width, height, angle=source.angle_deg, fill=False, color="#00e5ff"))
axis.plot(*places.T, "+", color="white", markersize=7, label="simulated source")
axis.plot([], [], "o", mfc="none", color="#00e5ff", label="found (4 sigmas)")
axis.add_patch(plt.Circle((127.5, 127.5), 70, fill=False, color="white", linestyle="--"))
figure.colorbar(shown, label="counts per pixel")
axis.set(xlabel="x (pixel)", ylabel="y (pixel)")
axis.legend(loc="lower left", labelcolor="white", facecolor="black")
plt.show()
