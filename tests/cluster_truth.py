"""What the bins of simulated clusters hold on average: many times as many photons, through the same cuts."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from chandra_bin import simulate
from chandra_bin.binning.bins import BinSums, sum_bins
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.events.vfaint import STATUS_BIT
from chandra_bin.fits.images import read_image_file
from chandra_bin.pipeline import runner
from chandra_bin.pipeline.config import read_config
from chandra_bin.pipeline.layout import Layout
from chandra_bin.pipeline.survey import begin, survey
from chandra_bin.regions import read_regions, region_mask
from chandra_bin.simulate._islands import FLAGGED_PHOTONS
from chandra_bin.simulate._photons import CLUSTER, FLARE, SOURCE
from chandra_bin.simulate._telescope import places
from chandra_bin.tasks.options import SimulationSettings
from chandra_bin.tasks.simulate import scene_of, simulate_observations

BAND_EV = (500.0, 7000.0)
CHIPS = {"I": (0, 1, 2, 3), "S": (7,)}
_OTHER_SEED = 1_000_000


@dataclass(frozen=True)
class Cluster:
    """What to simulate, and how to bin it."""

    name: str
    observed: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def simulation(self):
        return SimulationSettings(truth_photons=1000, **self.observed)


QUICK = Cluster("quick", {"seed": 5, "obsids": 1, "array": "I", "exposure": 8000.0, "counts": 60_000.0,
                          "blank_sky": 4.0},
                {"binsize": 4, "scales": [1, 2, 4], "sn": 20})
_SETTINGS = {"binsize": 2, "sn": 30}
FIVE = [Cluster(*each, _SETTINGS) for each in (
    ("1 x ACIS-S, VFAINT", {"seed": 11, "obsids": 1, "array": "S", "datamode": "VFAINT"}),
    ("2 x ACIS-I, VFAINT and FAINT", {"seed": 12, "obsids": 2, "array": "I"}),
    ("3 x ACIS-S, FAINT", {"seed": 13, "obsids": 3, "array": "S", "datamode": "FAINT"}),
    ("4 x ACIS-I, VFAINT and FAINT", {"seed": 14, "obsids": 4, "array": "I"}),
    ("1 x ACIS-I, FAINT, no blank skies", {"seed": 15, "obsids": 1, "array": "I", "datamode": "FAINT",
                                           "blank_sky": 0.0}),
)]


def finished(cluster, folder):
    """The archive and the finished pipeline of a cluster, as a user makes them, binned by counts; and the truth."""
    archive, work = folder / "sim", folder / "work"
    simulate_observations(archive, cluster.simulation)
    begin(survey(archive), work, name="cluster", **cluster.settings)
    runner.run(work)
    return archive, work, expected(work, archive, cluster.simulation)


def layout_of(work):
    """The files of a pipeline."""
    settings = read_config(work).settings
    return Layout.of(work, settings)


def pixels(path):
    """The pixels of an image file."""
    return read_image_file(path).data


@dataclass(frozen=True)
class Expected:
    """Counts that the final image and its background would hold on average, and the true brightness."""

    counts: np.ndarray
    background: np.ndarray
    """Particles without flares: what the blank skies have, scaled."""
    brightness: np.ndarray
    """Of the cluster: photon/cm²/s a pixel of the truth's."""
    cluster: np.ndarray
    """Counts of the cluster alone."""


def expected(work, archive, settings, times=30):
    """The true model, photon by photon, ``times`` as many as there were, with the good times of the pipeline.

    The photons are new ones (another seed) of the same sky, the same pointings, dither, bad pixels and flares.
    """
    layout = layout_of(work)
    final = read_image_file(layout.final_image)
    coords, shape = ImageCoords(final.header), final.data.shape
    scene = scene_of(settings)
    brighter = replace(scene, gas=scene.gas.times(times), source_flux=scene.source_flux * times)
    sums = dict.fromkeys(("all", "particles", "cluster"), 0)
    for observation in simulate.make_observations(settings.seed, settings.obsids, settings.exposure, settings.array,
                                                  settings.datamode, scene.ra_deg, scene.dec_deg):
        good = fits.getdata(layout.obs(str(observation.obsid)).good_times, "GTI")
        flares = tuple(replace(flare, factor=1 + (flare.factor - 1) * times) for flare in observation.flares)
        photons = simulate.observe(brighter, replace(observation, flares=flares), settings.seed + _OTHER_SEED)
        photons = photons[photons.pass_level_2(observation) & np.isin(photons.origin, (CLUSTER, SOURCE, FLARE))]
        particles = [simulate.blank_sky(observation, chip, times, settings.seed + _OTHER_SEED)[0]
                     for chip in CHIPS[settings.array]]
        screened = observation.datamode == "VFAINT"  # then the pipeline removes events with charge in an outer pixel
        if screened:
            particles = [each[each.status & (1 << STATUS_BIT) == 0] for each in particles]
        left = 1 - screened * FLAGGED_PHOTONS

        def image(events, observation=observation, good=good):
            kept = np.isin(events.chip, CHIPS[settings.array])
            kept &= (events.energy_ev >= BAND_EV[0]) & (events.energy_ev < BAND_EV[1])
            when = observation.frame_times(events.frame)
            interval = np.searchsorted(good["START"], when, side="right") - 1
            kept &= (interval >= 0) & (when < good["STOP"][np.maximum(interval, 0)])
            x, y = coords.sky_to_image(*places(observation.at_sky_pixels(events.x[kept], events.y[kept])))
            edges = [np.arange(size + 1) - 0.5 for size in shape]
            return np.histogram2d(y, x, edges)[0] / times

        behind = sum(image(each) for each in particles)
        sums["particles"] += behind
        sums["all"] += behind + left * image(photons)
        sums["cluster"] += left * image(photons[photons.origin == CLUSTER])
    return Expected(sums["all"], sums["particles"], true_brightness(coords, shape, archive), sums["cluster"])


def true_brightness(coords, shape, archive):
    """The model of the cluster at each pixel."""
    model, header = fits.getdata(archive / "truth/cluster.fits", header=True)
    y, x = np.indices(shape)
    at = ImageCoords(header).sky_to_image(*coords.image_to_sky(x, y))
    return map_coordinates(model.astype(float), at[::-1], order=1)


@dataclass(frozen=True)
class ComparedSn:
    """S/N of bins in the table, beside those of expected counts."""

    table: np.ndarray
    true: np.ndarray
    sigma: np.ndarray
    """What Poisson's scatter of counts and background does to the S/N."""

    def __len__(self):
        return len(self.table)

    def __getitem__(self, bins):
        return ComparedSn(self.table[bins], self.true[bins], self.sigma[bins])

    @property
    def ratio(self):
        return self.table / self.true

    @property
    def pull(self):
        return (self.table - self.true) / self.sigma

    @property
    def wrong(self):
        """Bins off by more than 5 %, and by more than chance does."""
        return (np.abs(self.ratio - 1) > 0.05) & (np.abs(self.pull) > 4)


def compare_sn(work, truth):
    """The bin table of a finished pipeline against the truth: S/N of the same formula, with expected counts."""
    layout = layout_of(work)
    binmap = pixels(layout.binmap)
    ratio = pixels(layout.final_background_ratio).astype(float)
    behind = np.divide(truth.background, ratio, out=np.zeros_like(ratio), where=ratio > 0)
    true = sum_bins(binmap, truth.counts, background=behind, background_scale=ratio)
    return ComparedSn(np.array(Table.read(layout.bin_table)["sn"]), true.sn, _scatter(true, binmap, behind))


def _scatter(true: BinSums, binmap, behind):
    """The standard deviation of S/N: what it changes by with each count, times the scatter of counts."""
    bins = len(true.sn)
    b = np.bincount(binmap[binmap >= 0], behind[binmap >= 0], bins)
    scale = np.divide(true.background, b, out=np.zeros(bins), where=b > 0)

    def slope(counts):  # of (1 + sqrt(N + 3/4))²
        return 1 + 1 / np.sqrt(counts + 0.75)

    part = true.signal / (2 * true.noise**3)
    by_counts = 1 / true.noise - part * slope(true.counts)
    by_background = -scale / true.noise - part * scale**2 * slope(b)
    return np.sqrt(by_counts**2 * true.counts + by_background**2 * b)


def covered(work):
    """Whether each pixel is in the region of its own bin and in no other, in both systems of coordinates."""
    layout = layout_of(work)
    binmap = read_image_file(layout.binmap)
    coords = ImageCoords(binmap.header)
    for folder, ending in ((layout.bin_regions, ""), (layout.sky_regions, "_sex")):
        painted = np.full(binmap.data.shape, -1)
        number = binmap.data.max() + 1
        if len(list(folder.glob("xaf_*.reg"))) != number:
            return False
        for each in range(number):
            inside = region_mask(read_regions(folder / f"xaf_{each}{ending}.reg"), coords, binmap.data.shape)
            if (painted[inside] != -1).any():
                return False
            painted[inside] = each
        if not np.array_equal(painted, binmap.data):
            return False
    return True


def renumbered(binmap, keep):
    """A binmap of some of its bins."""
    new = np.append(np.where(keep, np.cumsum(keep) - 1, -1), -1)
    return new[binmap]


def in_cluster(binmap, truth, *, renumber=True):
    """The bins in which the cluster is brighter than the background; -1 elsewhere."""
    use = binmap >= 0
    bins = int(binmap.max()) + 1
    cluster, behind = (np.bincount(binmap[use], each[use], bins) for each in (truth.cluster, truth.background))
    keep = cluster > behind
    return renumbered(binmap, keep) if renumber else np.where(np.append(keep, False)[binmap], binmap, -1)


def voronoi(binmap, counts, background, rounds=30):
    """As many Voronoi-like bins of one S/N on the same pixels: a weighted tessellation (Diehl & Statler 2006).

    A pixel is in the bin whose centre is nearest in units of the bin's own size. Centres move to the middle of their
    pixels, and sizes to that of a disc with the mean S/N.
    """
    use = binmap >= 0
    y, x = np.nonzero(use)
    bins, labels = int(binmap.max()) + 1, binmap[use]
    counts, background = counts[use].astype(float), background[use].astype(float)
    size = np.sqrt(np.bincount(labels, minlength=bins) / np.pi)
    # Long bins have their middles in each other: centres are places of counts first, one for each bin.
    first = np.random.default_rng(1).choice(len(x), bins, False, _chance(counts, labels))
    at = np.stack([x, y])[:, first].astype(float)
    for _ in range(rounds):
        labels = _nearest(x, y, at, size)
        npix = np.bincount(labels, minlength=bins)
        there = npix > 0
        for axis, place in enumerate((x, y)):
            at[axis, there] = np.bincount(labels, place, bins)[there] / npix[there]
        total = np.bincount(labels, counts, bins)
        sn = (total - np.bincount(labels, background, bins)) / (1 + np.sqrt(total + 0.75))
        # A disc's S/N grows with its radius.
        size = np.sqrt(np.maximum(npix, 1) / np.pi) * np.sqrt(np.mean(sn) / np.maximum(sn, 0.1 * np.mean(sn)))
    tessellation = np.full(binmap.shape, -1, binmap.dtype)
    tessellation[use] = labels
    return renumbered(tessellation, npix > 0)


def _chance(counts, labels):
    """Of each pixel to be a first centre: the same sum in all bins."""
    weight = counts / np.maximum(np.bincount(labels, counts)[labels], 1e-9)
    return weight / weight.sum()


def _nearest(x, y, at, size):
    """The centre that is nearest in units of its size, of those around."""
    away, which = cKDTree(at.T).query(np.stack([x, y], axis=1), k=min(16, at.shape[1]))
    best = np.argmin(away / size[which], axis=1)
    return which[np.arange(len(x)), best]


@dataclass(frozen=True)
class Spread:
    """The spread of true brightness within bins."""

    bins: np.ndarray
    """Of each bin: the standard deviation of ln brightness, weighted by expected counts."""
    weights: np.ndarray
    """Expected counts of each bin."""

    @property
    def mean(self):
        """The root of the mean square, over all counts."""
        return float(np.sqrt(np.average(self.bins**2, weights=self.weights)))


def spread(binmap, truth, where=None):
    """How much the true brightness varies within bins; ``where``: in these pixels only, about their bins' means."""
    use = (binmap >= 0) & (truth.brightness > 0)
    labels, value, weight = binmap[use], np.log(truth.brightness[use]), truth.cluster[use] + 1e-12
    bins = int(binmap.max()) + 1
    total = np.bincount(labels, weight, bins)
    mean = np.bincount(labels, weight * value, bins) / np.maximum(total, 1e-12)
    if where is not None:
        weight = weight * where[use]
        total = np.bincount(labels, weight, bins)
    square = np.bincount(labels, weight * (value - mean[labels]) ** 2, bins)
    return Spread(np.sqrt(square / np.maximum(total, 1e-12)), total)


@dataclass(frozen=True)
class Beside:
    """Bins in which the cluster is brighter than the background, and Voronoi-like ones of the same pixels."""

    binmap: np.ndarray
    others: np.ndarray
    sn: np.ndarray
    other_sn: np.ndarray
    spread: Spread
    other_spread: Spread
    edges: float
    """The spread near front and cavities."""
    other_edges: float

    @property
    def bins(self):
        return len(self.sn)

    @property
    def other_bins(self):
        return len(self.other_sn)

    @property
    def within(self):
        return self.spread.mean

    @property
    def other_within(self):
        return self.other_spread.mean


def beside_voronoi(work, archive, truth):
    """The bins of a finished pipeline beside Voronoi-like ones."""
    layout = layout_of(work)
    binmap = in_cluster(pixels(layout.binmap), truth)
    counts, background, ratio = (pixels(path) for path in (
        layout.final_image, layout.final_background, layout.final_background_ratio))
    others = voronoi(binmap, counts, background * ratio)
    ours, theirs = (sum_bins(each, counts, background=background, background_scale=ratio).sn
                    for each in (binmap, others))
    where = edges_of(work, archive)
    return Beside(binmap, others, ours, theirs, spread(binmap, truth), spread(others, truth),
                  spread(binmap, truth, where).mean, spread(others, truth, where).mean)


def background_of(work):
    """Counts a pixel that the pipeline takes for background."""
    layout = layout_of(work)
    return pixels(layout.final_background) * pixels(layout.final_background_ratio)


def edges_of(work, archive):
    """`edges` on the pixels of the binmap."""
    binmap = read_image_file(layout_of(work).binmap)
    return edges(ImageCoords(binmap.header), binmap.data.shape, archive)


def edges(coords, shape, archive):
    """Where brightness changes within a few arcseconds: the cold front, and the rims of cavities."""
    model, header = fits.getdata(archive / "truth/cluster.fits", header=True)
    ny, nx = model.shape
    y, x = np.indices(shape)
    at = ImageCoords(header).sky_to_image(*coords.image_to_sky(x, y))
    scale = 0.5 * min(ny, nx)
    u, v = (at[0] - 0.48 * (nx - 1)) / scale, (at[1] - 0.52 * (ny - 1)) / scale
    angle = np.degrees(np.arctan2(v, u))
    found = (np.abs(np.hypot(u, v) - 0.42) < 0.04) & (np.abs((angle + 50 + 180) % 360 - 180) < 60)
    for offset_x, offset_y, radius in ((0.13, 0.07, 0.06), (-0.12, -0.09, 0.07)):
        found |= np.hypot(u - offset_x, v - offset_y) < 1.6 * radius
    return found
