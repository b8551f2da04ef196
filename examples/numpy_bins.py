"""From an array of counts to bins and their outlines, with numpy alone.

    python numpy_bins.py
"""

import numpy as np

import chandra_bin


def main() -> None:
    y, x = np.mgrid[:200, :240]
    model = 60 / (1 + ((x - 120) ** 2 + (y - 90) ** 2) / 30**2)
    counts = np.random.default_rng(1).poisson(model)
    gap = (x > 150) & (x < 156)  # True: excluded

    bins = chandra_bin.contour_bin(counts, sn=40, smooth_sn=60, constrain=3, mask=gap, threads=2)
    outlines = chandra_bin.trace_polygons(bins.binmap)
    painted = chandra_bin.rasterize(outlines, bins.binmap.shape)
    same = np.array_equal(painted, bins.binmap)
    print(f"{bins.binmap.max() + 1} bins, {len(outlines)} polygons, areas {outlines.areas().sum():.0f} pixels")
    print(f"pixels in bins {np.sum(bins.binmap >= 0)}, the outlines paint the same {same}")


if __name__ == "__main__":
    main()
