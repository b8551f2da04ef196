"""Draw the picture of docs/explanation/validation.md: contour bins and Voronoi-like bins of a simulated cluster.

    python tests/draw_cluster_bins.py FILE.png
"""

import sys
import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LogNorm

import cluster_truth as truth

mpl.use("Agg")
from matplotlib import pyplot as plt

# Bright, so that there are many bins.
CLUSTER = truth.Cluster("picture", {"seed": 16, "obsids": 2, "array": "S", "counts": 200_000.0, "exposure": 40_000.0},
                        {"binsize": 2, "sn": 40, "smooth_sn": 60})
STEP_ARCMIN = 2 * 0.492 / 60


def short(sn):
    return f"S/N {sn.mean():.0f} ± {sn.std():.0f}"


def painted(binmap, net, exposure):
    """The net flux of the bin of each pixel; NaN outside bins."""
    used, bins = binmap >= 0, int(binmap.max()) + 1
    net, exposure = (np.bincount(binmap[used], each[used], bins) for each in (net, exposure))
    return np.append(net / exposure, np.nan)[binmap]


def draw(file):
    """True brightness, contour bins, Voronoi-like bins, and the spread of true brightness in both."""
    with tempfile.TemporaryDirectory(prefix="chandra-bin-") as folder:
        archive, work, expected = truth.finished(CLUSTER, Path(folder))
        beside = truth.beside_voronoi(work, archive, expected)
        layout = truth.layout_of(work)
        net = truth.pixels(layout.final_image) - truth.background_of(work)
        exposure = truth.pixels(layout.final_expmap)
        front = truth.edges_of(work, archive)
    rows, columns = np.nonzero(beside.binmap >= 0)
    y, x = (int(np.average(each, weights=expected.cluster[rows, columns])) for each in (rows, columns))
    half = int(3.3 / STEP_ARCMIN)
    cut = slice(max(y - half, 0), y + half), slice(max(x - half, 0), x + half)
    extent = [(edge - centre) * STEP_ARCMIN for edge, centre in (
        (cut[1].start, x), (min(cut[1].stop, net.shape[1]), x), (cut[0].start, y), (min(cut[0].stop, net.shape[0]), y))]
    ours, theirs = (painted(binmap, net, exposure) for binmap in (beside.binmap, beside.others))
    model = np.where(beside.binmap >= 0, expected.brightness, np.nan)
    shown = [("true brightness", model / np.nanmedian(model / ours)),  # scaled to the flux of a pixel
             (f"{beside.bins} contour bins, {short(beside.sn)}", ours),
             (f"{beside.other_bins} Voronoi-like bins, {short(beside.other_sn)}", theirs)]
    norm = LogNorm(*np.nanpercentile(shown[0][1][cut], (2, 99.9)))
    figure, axes = plt.subplots(1, 4, figsize=(16, 4.4), width_ratios=(1, 1, 1, 1.1), layout="constrained")
    figure.get_layout_engine().set(wspace=0.04)
    for axis, (title, image) in zip(axes, shown, strict=False):
        drawn = axis.imshow(image[cut], origin="lower", extent=extent, norm=norm, cmap="magma", interpolation="nearest")
        axis.contour(front[cut], [0.5], extent=extent, colors="white", linewidths=0.8, linestyles="dashed")
        axis.set(title=title, xlabel="arcmin", facecolor="0.85")
    axes[0].set_ylabel("arcmin")
    figure.colorbar(drawn, ax=axes[:3], label="photon/cm²/s a pixel (0.98\")", pad=0.01, aspect=30)
    draw_spread(axes[3], beside)
    figure.savefig(file, dpi=90, metadata={"Software": None})


def draw_spread(axis, beside):
    edges = np.linspace(0, 0.6, 31)
    for spread, label, colour in ((beside.spread, "contour bins", "#0072b2"),
                                  (beside.other_spread, "Voronoi-like bins", "#e69f00")):
        axis.hist(np.minimum(spread.bins, edges[-1] - 1e-6), edges, weights=spread.weights / spread.weights.sum(),
                  histtype="step", linewidth=1.8, color=colour, label=f"{label}: rms {spread.mean:.2f}")
    axis.set(title="true brightness within bins", xlabel="standard deviation of ln(brightness)",
             ylabel="part of the cluster's counts", xlim=(0, edges[-1]), ylim=(0, 1.3 * axis.get_ylim()[1]))
    axis.legend(frameon=False, loc="upper right")


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
