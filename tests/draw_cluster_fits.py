"""Draw the picture of temperatures in docs/explanation/validation.md: a simulated cluster, fitted and true.

    python tests/draw_cluster_fits.py FILE.png
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from warnings import catch_warnings, simplefilter

import matplotlib as mpl
import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS, FITSFixedWarning

from chandra_bin.simulate._cluster import _FRONT_RADIUS, _FRONT_TOWARDS_DEG, plane
from test_cluster_fits import CLUSTERS, finished

mpl.use("Agg")
from matplotlib import pyplot as plt

# Bins within this angle of the direction that the cold front faces are "across the front".
SECTOR_DEG = 60
FITTED, TRUE = "#0072b2", "#e69f00"


@dataclass(frozen=True)
class Bins:
    """Radius (arcmin), fitted temperature with its errors, true temperature (keV), and weight of each bin."""

    radius: np.ndarray
    kt: np.ndarray
    low: np.ndarray
    high: np.ndarray
    true: np.ndarray
    weight: np.ndarray


def bin_places(layout, truth_file):
    """Return radius (arcmin) and angle (deg) of each bin about the cluster's centre, and the front's radius."""
    with fits.open(layout.binmap) as file, catch_warnings():
        simplefilter("ignore", FITSFixedWarning)  # dates
        binmap, wcs = file[0].data, WCS(file[0].header)
    with fits.open(truth_file) as file:
        u, v = plane(file[0].data.shape)
        there, step = WCS(file[0].header), abs(file[0].header["CDELT2"]) * 60
    rows, columns = np.nonzero(binmap >= 0)
    x, y = there.wcs_world2pix(*wcs.wcs_pix2world(columns, rows, 0), 0)
    # Positions are linear in pixels.
    across = u[0, 0] + x * (u[0, 1] - u[0, 0])
    up = v[0, 0] + y * (v[1, 0] - v[0, 0])
    # The mean radius of the pixels: the centre of an arc lies inside the arc.
    number = binmap[rows, columns]
    radius, across, up = (np.bincount(number, each) / np.bincount(number)
                          for each in (np.hypot(across, up), across, up))
    arcmin = step / (u[0, 1] - u[0, 0])
    return binmap, radius * arcmin, np.degrees(np.arctan2(up, across)), _FRONT_RADIUS * arcmin


def draw(file):
    """Fitted and true temperatures as maps, against radius, and across the cold front."""
    with tempfile.TemporaryDirectory(prefix="chandra-bin-") as folder:
        layout = finished(CLUSTERS[0], Path(folder))
        fit, true = Table.read(layout.fit), np.asarray(Table.read(layout.maps / "truth.ecsv")["true_kt"])
        binmap, radius, angle, front = bin_places(layout, Path(folder) / "sim" / "truth" / "kt.fits")
        step = abs(fits.getval(layout.binmap, "CDELT2")) * 60
    ok = np.asarray(fit["reason"]) == "ok"
    kt, low, high = (np.where(ok, np.asarray(fit[name]), np.nan) for name in ("kt", "kt_low", "kt_high"))
    rows, columns = np.nonzero(binmap >= 0)
    cut = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    extent = (0, step * (cut[1].stop - cut[1].start), 0, step * (cut[0].stop - cut[0].start))
    figure, axes = plt.subplots(1, 4, figsize=(17, 4.3), width_ratios=(1, 1, 1.15, 1.15), layout="constrained")
    for axis, title, values in ((axes[0], f"fitted, {ok.sum()} bins", kt), (axes[1], "true", true)):
        drawn = axis.imshow(np.append(values, np.nan)[binmap][cut], origin="lower", extent=extent, vmin=2, vmax=9,
                            cmap="inferno", interpolation="nearest")
        axis.set(title=title, xlabel="arcmin", facecolor="0.85")
    axes[0].set_ylabel("arcmin")
    figure.colorbar(drawn, ax=axes[:2], label="kT, keV", pad=0.01, aspect=30)
    facing = np.abs((angle - _FRONT_TOWARDS_DEG + 180) % 360 - 180) < SECTOR_DEG
    # Weights by errors would favour bins that are too cold by chance, whose errors are smaller.
    bins = Bins(radius, kt, low, high, true, np.asarray(fit["net_counts"]))
    order = np.flatnonzero(ok)[np.argsort(radius[ok])]
    draw_profile(axes[2], bins, np.array_split(order, len(order) // 12))
    axes[2].set_title("against radius, means of 12 bins")
    across = order[facing[order]]
    inside, outside = across[radius[across] < front], across[radius[across] >= front]
    draw_profile(axes[3], bins, np.array_split(inside, len(inside) // 6), np.array_split(outside, 2))
    axes[3].axvline(front, color="0.4", linestyle="dashed", linewidth=1)
    axes[3].set_title(f"towards the cold front (dashed), ±{SECTOR_DEG}°")
    figure.savefig(file, dpi=90, metadata={"Software": None})


def draw_profile(axis, bins, *parts):
    """Draw the temperatures of bins by radius, and the means of groups of bins, fitted and true; lines join a part."""
    every = np.concatenate([of for groups in parts for of in groups])
    axis.errorbar(bins.radius[every], bins.kt[every], [bins.low[every], bins.high[every]], fmt=".", color="0.75",
                  elinewidth=0.6, label="bins")
    for n, groups in enumerate(parts):
        shares = [bins.weight[of] / bins.weight[of].sum() for of in groups]
        radius, kt, true = ([float(each[of] @ share) for of, share in zip(groups, shares, strict=True)]
                            for each in (bins.radius, bins.kt, bins.true))
        error = [float(np.linalg.norm((bins.low + bins.high)[of] / 2 * share))
                 for of, share in zip(groups, shares, strict=True)]
        axis.plot(radius, true, color=TRUE, linewidth=2, label=None if n else "true means", zorder=3)
        axis.errorbar(radius, kt, error, fmt="o", color=FITTED, markersize=4, label=None if n else "fitted means",
                      zorder=4)
    axis.set(xlabel="radius, arcmin", ylabel="kT, keV", ylim=(0, 12))
    axis.legend(frameon=False)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
