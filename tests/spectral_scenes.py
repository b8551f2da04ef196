"""Spectra of bins drawn from a simple model: thermal continuum and a line complex like iron's, ACIS-like responses."""

import numpy as np

from chandra_bin.spectral.binned import BinSpectra
from chandra_bin.spectral.templates import Templates

CHANNELS = 445
FIRST_CHANNEL = 35
ENERGY = (np.arange(FIRST_CHANNEL, FIRST_CHANNEL + CHANNELS) - 0.5) * 0.0146
GRID = np.linspace(0.3, 9.5, 921)


def templates(temperatures=60, responses=3, low=0.4, high=16.0, has_abundance=True, seed=5):
    """Counts per second for norm 1: exp(-E/kT)/sqrt(kT)/E with Gauss lines at 1 and 6.7 keV that scale with Z."""
    rng = np.random.default_rng(seed)
    kt = np.geomspace(low, high, temperatures)
    rates = np.zeros((responses, temperatures, 2, CHANNELS))
    for r in range(responses):
        peak, soft = rng.uniform(400, 650), rng.uniform(0.4, 0.8)
        area = peak * np.exp(-(soft / GRID) ** 2) / (1 + (GRID / 4.5) ** 4)
        sigma = np.sqrt(0.035**2 + 0.0012 * GRID * rng.uniform(0.9, 1.2))
        matrix = np.exp(-0.5 * ((ENERGY - GRID[:, None]) / sigma[:, None]) ** 2) / sigma[:, None]
        matrix *= 0.0146 / np.sqrt(2 * np.pi)
        for j, each in enumerate(kt):
            continuum = np.exp(-GRID / each) / np.sqrt(each) / GRID
            iron = 0.9 * np.exp(-0.5 * ((GRID - 6.7) / 0.06) ** 2) * np.exp(-6.7 / each) / np.sqrt(each)
            complex_l = 3.0 * np.exp(-0.5 * ((GRID - 1.0) / 0.12) ** 2) * np.exp(-each / 1.2)
            width = GRID[1] - GRID[0]
            rates[r, j, 0] = (area * continuum * width) @ matrix
            rates[r, j, 1] = (area * (iron + complex_l) * width) @ matrix
    if not has_abundance:
        rates[:, :, 1] = 0
    return Templates(kt, rates, FIRST_CHANNEL, has_abundance, "test model")


def interpolated(made, kt):
    """Rates (responses, 2, channels) at kT, linear between table points."""
    j = np.clip(np.searchsorted(made.kt_kev, kt) - 1, 0, made.kt_kev.size - 2)
    part = (kt - made.kt_kev[j]) / (made.kt_kev[j + 1] - made.kt_kev[j])
    return made.rates[:, j] + part * (made.rates[:, j + 1] - made.rates[:, j])


def background_shape():
    shape = 0.4 + 3 * np.exp(-ENERGY / 0.6) + 0.8 * np.exp(-0.5 * ((ENERGY - 2.15) / 0.06) ** 2) + 0.03 * ENERGY**2
    return shape / shape.sum()


def draw(made, net, truth=None, background=0.15, off_times=10.0, sets=3, seed=1, exposure=5e4):
    """Return BinSpectra of bins with ``net`` expected counts each over ``sets`` observations, and the truth.

    ``truth`` is (kT, Z) arrays; None draws them. ``background`` is over net; background files hold ``off_times`` as
    many counts.
    """
    rng = np.random.default_rng(seed)
    net = np.asarray(net, float)
    bins = net.size
    if truth is None:
        truth = np.exp(rng.uniform(np.log(1.5), np.log(9), bins)), rng.uniform(0.2, 0.8, bins)
    kt, abundance = truth
    responses = made.rates.shape[0]
    numbers = np.repeat(np.arange(bins), sets)
    offsets, which, weights = [0], [], []
    source = np.zeros((bins * sets, CHANNELS))
    for d, k in enumerate(numbers):
        mix = rng.dirichlet(np.ones(2)) * rng.uniform(0.7, 1)
        chosen = rng.choice(responses, 2, replace=responses < 2)
        rates = interpolated(made, kt[k])[chosen]
        source[d] = exposure * (mix[:, None] * (rates[:, 0] + abundance[k] * rates[:, 1])).sum(axis=0)
        which.extend(chosen)
        weights.extend(mix)
        offsets.append(len(which))
    total = np.bincount(numbers, source.sum(axis=1))
    norm = net / total
    source *= norm[numbers][:, None]
    behind = background * source.sum(axis=1, keepdims=True) * background_shape()
    spectra = BinSpectra(
        bin=numbers, counts=rng.poisson(source + behind), exposure_s=np.full(numbers.size, exposure),
        weight_offsets=offsets, weight_response=which, weight=weights,
        off_counts=rng.poisson(off_times * behind) if background else None,
        off_ratio=np.full(numbers.size, 1 / off_times if background else 0.0), group=np.arange(numbers.size) % sets)
    return spectra, {"kt": kt, "abundance": abundance, "norm": norm}
