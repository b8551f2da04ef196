"""How the contour S/N changes the scatter of bins and their spread in brightness, on images whose truth is known.

The campaign of docs/explanation/validation.md: ``pytest -m long tests/test_campaign_contours.py`` prints its table.
"""

import numpy as np
import pytest

from chandra_bin import contour_bin
from chandra_bin.pipeline.config import LEAST_CONTOUR_SN
from doc_tables import show

SIDE = 400
# Radii of the cores in pixels: steep brightness, and flat brightness where noise is larger than the gradient.
CORES = (30, 120)
TARGETS = (8, 11, 15, 20, 25, 30, 34)
# Contour S/N over target S/N, and contour S/N.
FACTORS, CONTOURS = (0.6, 1.0), (15.0, LEAST_CONTOUR_SN, 25.0)
BINS = 1500


def brightness(core, sn):
    """Return a beta model with a front and two cavities, with counts for about 300 bins of the target S/N."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    model = 1 / (1 + (x**2 + y**2) / core**2)
    model[(x**2 + y**2 < 110**2) & (abs(np.arctan2(y, x)) < 0.8)] *= 1.8
    for at_x, at_y in ((0, 50), (-10, -60)):
        model[(x - at_x) ** 2 + (y - at_y) ** 2 < 22**2] *= 0.6
    return model * (325 * sn**2 / model.sum())


def scatter_and_spread(expected, sn, contour_sn, bins, draw):
    """Return the rms of (counts - expected) / error, and the mean relative spread of the true brightness in a bin."""
    pulls, spreads = [], []
    while sum(map(len, pulls)) < bins:
        counts = draw.poisson(expected)
        binned = contour_bin(counts, sn=sn, smooth_sn=contour_sn, constrain=3)
        used, number = binned.binmap >= 0, binned.binmap.max() + 1
        pixels, true, squares, found = (np.bincount(binned.binmap[used], each[used], number) for each in (
            np.ones(counts.shape), expected, expected**2, counts.astype(float)))
        pulls.append((found - true) / np.sqrt(found))
        mean = true / pixels
        spreads.append(np.average(np.sqrt(np.maximum(squares / pixels - mean**2, 0)) / mean, weights=pixels))
    return np.sqrt((np.concatenate(pulls) ** 2).mean()), np.mean(spreads)


@pytest.mark.parametrize("sn", [11, 20])
def test_bins_of_flat_gas_scatter_as_poisson_at_the_least_contour_sn_and_more_below(sn):
    draw, expected = np.random.default_rng(sn), brightness(CORES[1], sn)
    assert 0.9 < scatter_and_spread(expected, sn, LEAST_CONTOUR_SN, 600, draw)[0] < 1.1
    assert scatter_and_spread(expected, sn, 6.6, 600, draw)[0] > 1.2


@pytest.mark.long
def test_the_least_contour_sn_is_best_for_low_targets(capsys):
    draw, rows = np.random.default_rng(3), []
    for core in CORES:
        for sn in TARGETS:
            found = [scatter_and_spread(brightness(core, sn), sn, at, BINS, draw)
                     for at in (*(factor * sn for factor in FACTORS), *CONTOURS)]
            rows.append((core, sn, *(f"{rms:.2f}, {spread:.3f}" for rms, spread in found)))
            rms, spread = found[len(FACTORS) + CONTOURS.index(LEAST_CONTOUR_SN)]
            assert abs(rms - 1) < 0.06
            if sn <= 20:
                assert spread < 1.1 * min(spread for _, spread in found)
    columns = ["core, pixels", "S/N of bins", *(f"{factor:g} x S/N" for factor in FACTORS),
               *(f"{each:g}" for each in CONTOURS)]
    show(capsys, "Contour S/N: rms of (counts - expected) / error, and spread", columns, rows)
