"""
Flares in a light curve
=======================

Soft protons raise the background for minutes. A light curve shows these flares, and later steps use the good time
intervals without them. This example applies two methods to one chip of a simulated observation of 12 ks, in bins of 20
frames.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt

from chandra_bin import cut_flares
from chandra_bin.tasks import SimulationSettings, simulate_observations, write_light_curve

with TemporaryDirectory() as folder:
    settings = SimulationSettings(seed=3, obsids=1, exposure=12_000, counts=500, blank_sky=0, truth_photons=20_000)
    (made,) = simulate_observations(Path(folder, "sim"), settings)
    curve = write_light_curve(f"{made.events}[energy=500:7000,ccd_id=7][bin time=::64.8208]", Path(folder, "lc.fits"))

# %%
# ``clean`` is the method of CIAO's lc_clean: it keeps bins within a factor of 1.2 of the quiescent rate. Where bins
# hold few counts, this range is narrower than their noise, and bins outside the flare are cut, too. ``robust`` derives
# its limits from the noise.

figure, axes = plt.subplots(2, 1, figsize=(8.5, 6.4), layout="constrained", sharex=True)
for axis, method in zip(axes, ("clean", "robust"), strict=True):
    found = cut_flares(curve, method)
    time = (curve.time - curve.time_min[0]) / 1000
    exposed = curve.exposure_s > 0
    for chosen, colour, marker, label in ((found.good & exposed, "#0077bb", "o", "kept"),
                                          (~found.good & exposed, "#ee7733", "s", "cut")):
        axis.errorbar(time[chosen], curve.rate[chosen], curve.rate_error[chosen], fmt=marker, color=colour,
                      markersize=4, linewidth=1, label=label)
    axis.axhline(found.mean, color="#555555", linewidth=1, label="quiescent rate")
    axis.axhspan(found.low, found.high, color="#555555", alpha=0.15, linewidth=0, label="limits of the kept rates")
    axis.set(ylabel="counts/s, 0.5 - 7 keV", title=f"{method}: {found.kept} of {exposed.sum()} bins, "
             f"{found.gti.total / 1000:.1f} ks kept")
axes[0].legend(loc="upper left", ncols=2)
axes[1].set_xlabel("time since the first bin (ks)")
plt.show()
