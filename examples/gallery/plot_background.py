"""
Background and exposure maps
============================

One simulated observation from events to bins: image and exposure map, blank-sky counts with the factor that scales
them to the observation, and bins of *net* signal.
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
    counts, exposure, background, scale = (read_image(name).data for name in (
        image, exposure, f"{root}_bkg.img", f"{root}_bkg_ratio.img"))

outside = exposure <= 0
print(f"{counts.sum()} counts, {(background * scale)[~outside].sum():.0f} of them background")

# %%
# Where the background is as bright as the cluster, bins must be larger to reach the S/N in *net* counts. Without the
# background image, the bins fall short of the target.

net = contour_bin(counts, sn=15, smooth_sn=25, constrain=3, mask=outside, exposure=exposure,
                  background=background, background_scale=scale)
gross = contour_bin(counts, sn=15, smooth_sn=25, constrain=3, mask=outside, exposure=exposure)
net_of_gross = sum_bins(gross.binmap, counts, background=background, background_scale=scale)

seen, sn = {"cmap": "magma", "norm": "log"}, {"cmap": "viridis", "vmin": 0, "vmax": 20}
panels = [(np.maximum(counts, 0.5), "counts", seen, "counts per pixel"),
          (exposure / 1e6, "exposure map", {"cmap": "cividis"}, "$10^6$ cm$^2$ s"),
          (background * scale, "expected background", {"cmap": "cividis"}, "counts per pixel"),
          (net.signal_image, f"{len(net)} bins of net S/N 15", seen, "net counts per pixel"),
          (net.paint(net.sn), "their net S/N", sn, "S/N"),
          (gross.paint(net_of_gross.sn), f"{len(gross)} bins without background: net S/N", sn, "S/N")]

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
