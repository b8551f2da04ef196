"""
Background and exposure maps
============================

One simulated observation from events to bins: image and exposure map, blank-sky counts with the ratio that says what
each of them stands for, and bins of *net* signal.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np

from chandra_bin import contour_bin, read_image, sum_bins
from chandra_bin.tasks import SimulationSettings, blank_sky_background, make_flux_images, simulate_observations

with TemporaryDirectory() as folder:
    settings = SimulationSettings(seed=1, obsids=1, exposure=3000, counts=25_000, blank_sky=5, truth_photons=20_000)
    (made,) = simulate_observations(Path(folder, "sim"), settings)
    root = Path(folder, "img")
    make_flux_images(f"{made.events}[ccd_id=7]", str(root), binsize=8)
    image, exposure = f"{root}_broad_thresh.img", f"{root}_broad_thresh.expmap"
    blank_sky_background(image, sorted(Path(folder, "sim/90001/blanksky").glob("*.fits")), root,
                         events=f"{made.events}[ccd_id=7]")
    counts, exposure, behind, ratio = (read_image(name).data for name in (
        image, exposure, f"{root}_bkg.img", f"{root}_bkg_ratio.img"))

outside = exposure <= 0
print(f"{counts.sum()} counts, {(behind * ratio)[~outside].sum():.0f} of them background")

# %%
# Where the background is as bright as the cluster, bins must be larger to have the S/N in *net* counts. A binner that
# is not told of the background makes bins that fall short of it.

told = contour_bin(counts, sn=15, smooth_sn=25, constrain=3, mask=outside, exposure=exposure,
                   background=behind, background_scale=ratio)
untold = contour_bin(counts, sn=15, smooth_sn=25, constrain=3, mask=outside, exposure=exposure)
truly = sum_bins(untold.binmap, counts, background=behind, background_scale=ratio)

seen, sn = {"cmap": "magma", "norm": "log"}, {"cmap": "viridis", "vmin": 0, "vmax": 20}
panels = [(np.maximum(counts, 0.5), "counts", seen, "counts a pixel"),
          (exposure / 1e6, "exposure map", {"cmap": "cividis"}, "$10^6$ cm$^2$ s"),
          (behind * ratio, "background expected", {"cmap": "cividis"}, "counts a pixel"),
          (told.signal_image, f"{len(told)} bins of net S/N 15", seen, "net counts a pixel"),
          (told.paint(told.sn), "their net S/N", sn, "S/N"),
          (untold.paint(truly.sn), f"{len(untold)} bins, not told: net S/N", sn, "S/N")]

figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained", sharex=True, sharey=True)
for axis, (image, title, style, label) in zip(axes.flat, panels, strict=True):
    shown = axis.imshow(np.where(outside, np.nan, image), origin="lower", interpolation="nearest", **style)
    axis.set_title(title)
    figure.colorbar(shown, ax=axis, label=label, shrink=0.9, extend="max" if label == "S/N" else "neither")
for axis in axes[1]:
    axis.set_xlabel("x (pixel of 3.94 arcsec)")
for axis in axes[:, 0]:
    axis.set_ylabel("y (pixel of 3.94 arcsec)")
plt.show()
