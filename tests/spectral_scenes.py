"""Spectra of bins drawn from a simple model: thermal continuum and a line complex like iron's, ACIS-like responses."""

import numpy as np
from scipy.special import ndtr

from chandra_bin.spectral.binned import BinSpectra
from chandra_bin.spectral.families import TemplateFamily
from chandra_bin.spectral.models import ThermalModel
from chandra_bin.spectral.ogip import Arf, Rmf
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


def background_shape(channels=CHANNELS):
    energy = ENERGY if channels == CHANNELS else np.linspace(0.5, 8, channels)
    shape = 0.4 + 3 * np.exp(-energy / 0.6) + 0.8 * np.exp(-0.5 * ((energy - 2.15) / 0.06) ** 2) + 0.03 * energy**2
    return shape / shape.sum()


def two_background_shapes():
    """Shapes of particles, and of a soft sky, in the channels of `templates`."""
    particles = 0.5 + 0.8 * np.exp(-0.5 * ((ENERGY - 2.15) / 0.06) ** 2) + 0.03 * ENERGY**2
    soft = np.exp(-ENERGY / 0.5) + 0.02 * np.exp(-ENERGY / 3)
    return particles / particles.sum(), soft / soft.sum()


def draw(made, net, truth=None, background=0.15, off_times=10.0, sets=3, seed=1, exposure=5e4, sky=None):
    """Return BinSpectra of bins with ``net`` expected counts each over ``sets`` observations, and the truth.

    ``truth`` is (kT, Z) arrays; None draws them. ``background`` is over net; background files hold ``off_times`` as
    many counts. ``sky`` is the share of the sky in the background of each bin, of which the rest are particles.
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
    channels = made.rates.shape[3]
    source = np.zeros((bins * sets, channels))
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
    behind = background * source.sum(axis=1, keepdims=True) * background_shape(channels)
    hard = None
    if sky is not None:
        share, total = np.asarray(sky)[numbers][:, None], behind.sum(axis=1, keepdims=True)
        particles, soft = two_background_shapes()
        behind = total * ((1 - share) * particles + share * soft)
        hard = rng.poisson(off_times * (0.8 * total * (1 - share))[:, 0])
    spectra = BinSpectra(
        bin=numbers, counts=rng.poisson(source + behind), exposure_s=np.full(numbers.size, exposure),
        weight_offsets=offsets, weight_response=which, weight=weights,
        off_counts=rng.poisson(off_times * behind) if background else None,
        off_ratio=np.full(numbers.size, 1 / off_times if background else 0.0), group=np.arange(numbers.size) % sets,
        off_hard=hard)
    return spectra, {"kt": kt, "abundance": abundance, "norm": norm}


class LinePlasma:
    """Continuum with iron's K and L complexes at rest, the lines in proportion to the abundance."""

    has_abundance = has_redshift = True
    name = "test plasma"

    def __init__(self, temperatures=30, low=0.8, high=14.0):
        self.kt_kev = np.geomspace(low, high, temperatures)

    def photons(self, edges_kev):
        middle, width, kt = 0.5 * (edges_kev[1:] + edges_kev[:-1]), np.diff(edges_kev), self.kt_kev[:, None]

        def line(energy, sigma):
            return np.diff(ndtr((edges_kev - energy) / sigma))

        plain = np.exp(-middle / kt) / np.sqrt(kt) / middle * width
        iron_k = 0.11 * line(6.7, 0.03) * np.exp(-6.7 / kt) / np.sqrt(kt)
        iron_l = 0.75 * line(1.0, 0.1) * np.exp(-kt / 1.2)
        silicon = 0.02 * line(2.0, 0.02) * np.exp(-kt / 4)
        return np.stack([plain, iron_k + iron_l + silicon], axis=1)


def family(nh=0.05, redshift=0.1, responses=3, channels=150, seed=5):
    """A `TemplateFamily` of the plasma with ``responses`` on a coarse grid of channels from 0.5 to 8 keV."""
    rng = np.random.default_rng(seed)
    edges, bands = np.linspace(0.3, 9.5, 461), np.linspace(0.5, 8.0, channels + 1)
    energy, at = 0.5 * (edges[1:] + edges[:-1]), 0.5 * (bands[1:] + bands[:-1])
    sigma = np.sqrt(0.035**2 + 0.0012 * energy)[:, None]
    matrix = np.exp(-0.5 * ((at - energy[:, None]) / sigma) ** 2) / sigma * (bands[1] - bands[0]) / np.sqrt(2 * np.pi)
    rmf = Rmf(edges[:-1], edges[1:], bands[:-1], bands[1:], 1, np.arange(461) * channels,
              np.tile(np.arange(channels, dtype=np.int32), 460), matrix.ravel())
    arfs = [Arf(edges[:-1], edges[1:], rng.uniform(400, 650) * np.exp(-(rng.uniform(0.4, 0.8) / energy) ** 2)
                / (1 + (energy / 4.5) ** 4)) for _ in range(responses)]
    return TemplateFamily(ThermalModel(LinePlasma(), redshift, nh), [(arf, rmf) for arf in arfs], (0.5, 8.0))


def draw_varied(made, values, name, net=4000.0, sets=2, background=0.15, seed=1):
    """Return BinSpectra of bins each with its own column density or redshift, ``values``, and the truth."""
    rng = np.random.default_rng(seed)
    parts, truth = [], {"kt": [], "abundance": [], "norm": []}
    for place, value in enumerate(values):
        kt, abundance = np.exp(rng.uniform(np.log(2), np.log(7))), rng.uniform(0.3, 0.7)
        spectra, of = draw(made.at(**{name: float(value)}), [net], (np.array([kt]), np.array([abundance])), background,
                           sets=sets, seed=seed + place)
        parts.append(spectra)
        for key, each in truth.items():
            each.append(of[key][0])
    numbers = np.concatenate([np.diff(part.weight_offsets) for part in parts])
    joined = BinSpectra(
        bin=np.repeat(np.arange(len(parts)), sets), counts=np.concatenate([part.counts for part in parts]),
        exposure_s=np.concatenate([part.exposure_s for part in parts]),
        weight_offsets=np.concatenate([[0], np.cumsum(numbers)]),
        weight_response=np.concatenate([part.weight_response for part in parts]),
        weight=np.concatenate([part.weight for part in parts]),
        off_counts=np.concatenate([part.off_counts for part in parts]),
        off_ratio=np.concatenate([part.off_ratio for part in parts]),
        group=np.concatenate([part.group for part in parts]))
    return joined, {key: np.array(each) for key, each in truth.items()} | {name: np.asarray(values)}
