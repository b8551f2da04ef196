"""Whole pipelines of simulated clusters: S/N against the truth, and bins beside Voronoi-like ones.

``python -m benchmarks.bench_pipeline FILE.png`` draws the picture of the documentation.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .harness import CHECKOUT, Settings, Table, in_child, say

IMAGES = ("counts", "scaled_flux")
# Of the picture: bright, so that there are many bins.
PICTURE = {"observed": {"seed": 16, "obsids": 2, "array": "S", "counts": 200_000.0, "exposure": 40_000.0},
           "settings": {"binsize": 2, "sn_per_region": 40, "reg_smoothness": 60}}


def tables(settings: Settings) -> Iterator[Table]:
    noise = Table("S/N of the bin table over that of expected counts",
                  ["cluster", "binned", "bins", "S/N in counts (median, 10 to 90 %)", "ratio: mean", "median",
                   "bins within 5 %", "deviation / Poisson's, rms", "largest", "neither within 5 % nor 4 sigma",
                   "the same, background brighter", "background / true"])
    spread = Table("Standard deviation of ln(true brightness) within bins, over all counts",
                   ["cluster", "binned", "bins", "their S/N (10 to 90 %)", "Voronoi-like bins", "their S/N", "spread",
                    "of Voronoi-like bins", "at front and cavities", "of Voronoi-like bins there",
                    "regions cover the binmap"])
    for number in range(1 if settings.quick else 5):
        say(f"pipeline: cluster {number + 1}")
        folder = settings.folder / f"pipeline-{number}"
        folder.mkdir()
        for row in in_child(figures, folder=str(folder), number=None if settings.quick else number):
            noise.add(*row["noise"])
            spread.add(*row["spread"])
    noise.remarks.append("Bins in which the cluster is brighter than the background, but for the last but one column.")
    yield noise
    yield spread


def _tests() -> Any:
    """What the tests know of the truth."""
    sys.path.insert(0, str(CHECKOUT / "tests"))
    import cluster_truth

    return cluster_truth


def figures(folder: str, number: int | None) -> list[dict[str, list[str]]]:
    """In a child: rows of both tables, of one cluster; number None is a small one."""
    import numpy as np

    from chandra_bin.pipeline import runner

    truth = _tests()
    from pipeline_work import change_settings

    cluster = truth.QUICK if number is None else truth.FIVE[number]
    archive, work, expected = truth.finished(cluster, Path(folder))
    rows = []
    for image in IMAGES:
        change_settings(work, binning_image=image)
        runner.run(work)
        binmap = truth.pixels(truth.layout_of(work).binmap)
        inside = np.unique(truth.in_cluster(binmap, expected, renumber=False))
        inside = inside[inside >= 0]
        every = truth.judge(work, expected)
        bins, outer = every[inside], every[np.setdiff1d(np.arange(len(every)), inside)]
        used = binmap >= 0
        behind = truth.background_of(work)[used].sum() / expected.background[used].sum()
        name = [cluster.name if image == IMAGES[0] else "", image.replace("_", " ")]
        beside = truth.beside_voronoi(work, archive, expected)
        rows.append({
            "noise": [*name, str(len(bins)), _range(bins.table), f"{bins.ratio.mean():.3f}",
                      f"{np.median(bins.ratio):.3f}", f"{(np.abs(bins.ratio - 1) < 0.05).mean():.0%}",
                      f"{np.sqrt((bins.pull**2).mean()):.2f}", f"{np.abs(bins.pull).max():.1f}",
                      str(int(bins.wrong.sum())), f"{int(outer.wrong.sum())} of {len(outer)}", f"{behind:.3f}"],
            "spread": [*name, str(beside.bins), _range(beside.sn), str(beside.other_bins), _range(beside.other_sn),
                       *(f"{value:.3f}" for value in (beside.within, beside.other_within, beside.edges,
                                                      beside.other_edges)),
                       "exactly" if truth.covered(work) else "**no**"]})
    return rows


def _range(values: Any) -> str:
    import numpy as np

    low, middle, high = np.percentile(values, (10, 50, 90))
    return f"{middle:.1f} ({low:.1f} - {high:.1f})"


def _short(sn: Any) -> str:
    return f"S/N {sn.mean():.0f} ± {sn.std():.0f}"


def picture(file: Path) -> None:
    """True brightness, contour bins, Voronoi-like bins, and the spread of true brightness in both."""
    import matplotlib as mpl
    import numpy as np

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.colors import LogNorm

    truth = _tests()
    cluster = truth.Cluster("picture", **PICTURE)
    with tempfile.TemporaryDirectory(prefix="chandra-bin-bench-") as folder:
        archive, work, expected = truth.finished(cluster, Path(folder))
        beside = truth.beside_voronoi(work, archive, expected)
        counts, behind = truth.pixels(truth.layout_of(work).final_image), truth.background_of(work)
        exposure = truth.pixels(truth.layout_of(work).final_expmap)
        front = truth.edges_of(work, archive)
    step = 2 * 0.492 / 60
    rows, columns = np.nonzero(beside.binmap >= 0)
    y, x = (int(np.average(each, weights=expected.cluster[rows, columns])) for each in (rows, columns))
    half = int(3.3 / step)
    cut = slice(max(y - half, 0), y + half), slice(max(x - half, 0), x + half)
    extent = [(edge - centre) * step for edge, centre in (
        (cut[1].start, x), (min(cut[1].stop, counts.shape[1]), x), (cut[0].start, y),
        (min(cut[0].stop, counts.shape[0]), y))]

    def painted(binmap: Any) -> Any:
        used = binmap >= 0
        bins = int(binmap.max()) + 1
        net, seen = (np.bincount(binmap[used], each[used], bins) for each in (counts - behind, exposure))
        return np.append(net / seen, np.nan)[binmap]

    model = np.where(beside.binmap >= 0, expected.brightness, np.nan)
    # The same units, so that one scale serves all: flux of a pixel of the image.
    shown = [("true brightness", model / np.nanmedian(model / painted(beside.binmap))),
             (f"{beside.bins} contour bins, {_short(beside.sn)}", painted(beside.binmap)),
             (f"{beside.other_bins} Voronoi-like bins, {_short(beside.other_sn)}", painted(beside.others))]
    inner = shown[0][1][cut]
    norm = LogNorm(np.nanpercentile(inner, 2), np.nanpercentile(inner, 99.9))
    figure, axes = plt.subplots(1, 4, figsize=(16, 4.4), width_ratios=(1, 1, 1, 1.1), layout="constrained")
    figure.get_layout_engine().set(wspace=0.04)
    for axis, (title, image) in zip(axes, shown, strict=False):
        drawn = axis.imshow(image[cut], origin="lower", extent=extent, norm=norm, cmap="magma", interpolation="nearest")
        axis.contour(front[cut], [0.5], extent=extent, colors="white", linewidths=0.8, linestyles="dashed")
        axis.set(title=title, xlabel="arcmin", facecolor="0.85")
    axes[0].set_ylabel("arcmin")
    figure.colorbar(drawn, ax=axes[:3], label="photon/cm²/s a pixel (0.98\")", pad=0.01, aspect=30)
    last = axes[3]
    edges = np.linspace(0, 0.6, 31)
    for spread, label, colour in ((beside.spread, "contour bins", "#0072b2"),
                                  (beside.other_spread, "Voronoi-like bins", "#e69f00")):
        last.hist(np.minimum(spread.bins, edges[-1] - 1e-6), edges, weights=spread.weights / spread.weights.sum(),
                  histtype="step", linewidth=1.8, color=colour, label=f"{label}: rms {spread.mean:.2f}")
    last.set(title="true brightness within bins", xlabel="standard deviation of ln(brightness)",
             ylabel="part of the cluster's counts", xlim=(0, edges[-1]), ylim=(0, 1.3 * last.get_ylim()[1]))
    last.legend(frameon=False, loc="upper right")
    figure.savefig(file, dpi=90, metadata={"Software": None})
    print(f"{file}: {_range(beside.sn)} and {_range(beside.other_sn)} S/N")


if __name__ == "__main__":
    picture(Path(sys.argv[1]))
