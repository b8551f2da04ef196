"""How the contour S/N changes the scatter of bins and their spread in brightness, on images whose truth is known.

The campaign of docs/explanation/validation.md: ``pytest -m long tests/test_campaign_contours.py`` prints its table.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from chandra_bin import contour_bin
from chandra_bin.pipeline.config import LEAST_CONTOUR_SN, Settings
from doc_tables import show

SIDE = 400
TARGETS = (8, 11, 15, 20, 25, 34, 70)
# Contour S/N over target S/N.
FACTORS = (0.6, 1.0, 1.5)
BINS = 1500


@dataclass(frozen=True)
class Image:
    """A beta model with a front and two cavities; the radius of its core in pixels tells how flat it is."""

    name: str
    core: float
    bins: float
    """About how many bins it has."""

    def brightness(self, sn):
        y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
        model = 1 / (1 + (x**2 + y**2) / self.core**2)
        if np.isfinite(self.core):
            model[(x**2 + y**2 < 110**2) & (abs(np.arctan2(y, x)) < 0.8)] *= 1.8
            for at_x, at_y in ((0, 50), (-10, -60)):
                model[(x - at_x) ** 2 + (y - at_y) ** 2 < 22**2] *= 0.6
        return model * (1.08 * self.bins * sn**2 / model.sum())


STEEP, FLAT = Image("core of 30 pixels", 30, 300), Image("core of 120 pixels", 120, 300)
IMAGES = (STEEP, FLAT, Image("core of 120 pixels, more counts", 120, 1200), Image("uniform", np.inf, 300))


def scatter_and_spread(expected, sn, contour_sn, bins, draw):
    """Return the standard deviation of (counts - expected) / error, and the spread of true brightness within bins.

    The spread is the standard deviation of ln(brightness) within bins, weighted by counts, as in the other tables.
    """
    pulls, variance, weight = [], 0.0, 0.0
    while sum(map(len, pulls)) < bins:
        counts = draw.poisson(expected)
        binmap = contour_bin(counts, sn=sn, smooth_sn=contour_sn, constrain=3).binmap
        used, number = binmap >= 0, binmap.max() + 1
        log = np.log(expected)
        true, found, first, second = (np.bincount(binmap[used], each[used], number) for each in (
            expected, counts.astype(float), expected * log, expected * log**2))
        pulls.append((found - true) / np.sqrt(found))
        variance += (second - first**2 / true).sum()
        weight += true.sum()
    return float(np.concatenate(pulls).std()), float(np.sqrt(max(variance, 0) / weight))


@pytest.mark.parametrize("sn", [11, 20])
def test_bins_of_flat_gas_scatter_as_poisson_at_the_least_contour_sn_and_more_below(sn):
    draw, expected = np.random.default_rng(sn), FLAT.brightness(sn)
    assert 0.9 < scatter_and_spread(expected, sn, LEAST_CONTOUR_SN, 600, draw)[0] < 1.1
    assert scatter_and_spread(expected, sn, 6.6, 600, draw)[0] > 1.2


@pytest.mark.long
def test_bins_follow_noise_in_flat_gas_below_1_5_times_the_target(capsys):
    draw, rows = np.random.default_rng(3), []
    for image in IMAGES:
        for sn in TARGETS:
            default = Settings(name="c", cluster_directory="c", obs_ids=["1"], sn=sn).contour_sn
            found = [scatter_and_spread(image.brightness(sn), sn, at, BINS, draw)
                     for at in (*(factor * sn for factor in FACTORS), default)]
            rows.append((image.name, sn, *(f"{scatter:.2f}, {spread:.3f}" for scatter, spread in found)))
            if image in (STEEP, FLAT):
                assert abs(found[-1][0] - 1) < 0.07
            assert found[2][0] < 1.2
    columns = ["image", "S/N of bins", *(f"contours at {factor:g} x" for factor in FACTORS), "default"]
    show(capsys, "Standard deviation of (counts - expected) / error, and spread", columns, rows)
