"""
From bins to a map of hardness
==============================

This example bins events of a cluster whose core is cooler than its surroundings, counts the spectra of all bins in one
pass, and paints their hardness into an image.
"""

import matplotlib.pyplot as plt
import numpy as np

from chandra_bin import band_channels, bin_spectra, channels_of, contour_bin, event_histogram, hardness
from chandra_bin.simulate import cluster_model

SIZE = 160
rng = np.random.default_rng(1)

# %%
# 300 000 events: places from the model of the cluster, energies from exp(-E/kT) with kT of 2 keV in the core and 6 keV
# far from it. The simulation omits the telescope.

model = cluster_model((SIZE, SIZE))
pixel = rng.choice(model.size, 300_000, p=(model / model.sum()).ravel())
y, x = np.divmod(pixel, SIZE) + rng.uniform(-0.5, 0.5, (2, pixel.size))
temperature_kev = 2 + 4 * (1 - np.exp(-((np.hypot(x - 76, y - 83) / 30) ** 2)))
energy_ev = 500 + 1000 * rng.exponential(temperature_kev)

counts = event_histogram(x, y, x_range=(-0.5, SIZE - 0.5), y_range=(-0.5, SIZE - 0.5), shape=(SIZE, SIZE),
                         keep=energy_ev < 7000)
bins = contour_bin(counts, sn=40, smooth_sn=60, constrain=3)

# %%
# Hardness is (H - S) / (H + S), with S the counts of 0.5 - 2 keV and H those of 2 - 7 keV.

spectra = bin_spectra(bins.binmap, channels_of(energy_ev), x=x, y=y)
soft, hard = (spectra[:, band_channels(band)].sum(axis=1) for band in ((500, 2000), (2000, 7000)))
ratio, error = hardness(soft, np.sqrt(soft), hard, np.sqrt(hard))

figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
shown = axes[0].imshow(bins.paint(ratio), origin="lower", cmap="cividis", interpolation="nearest")
figure.colorbar(shown, ax=axes[0], label="hardness (H - S) / (H + S)")
axes[0].set(xlabel="x (pixel)", ylabel="y (pixel)", title=f"{len(bins)} bins of S/N 40")

radius = np.hypot(bins.table["x"].value - 76, bins.table["y"].value - 83)
axes[1].errorbar(radius, ratio, error, fmt="o", color="#0077bb", markersize=4, linewidth=1)
axes[1].set(xlabel="radius (pixel)", ylabel="hardness (H - S) / (H + S)", title="the same against radius")
plt.show()
