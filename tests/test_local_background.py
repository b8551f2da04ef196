"""Local backgrounds of particles and sky: both parts of a known truth come back, and the error covers the deviation."""

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.cli import run
from chandra_bin.errors import InputError
from chandra_bin.sources.background import BIN_SHARE, local_background
from chandra_bin.sources.local_background import INNER_RADII, elliptical_radius, fit_local_background
from chandra_bin.tasks.background import local_background as write_local_background
from chandra_bin.tasks.fluximage import ExposureSettings
from chandra_bin.tasks.merge import merge_observations
from chandra_bin.tasks.options import SimulationSettings
from chandra_bin.tasks.particles import particle_map
from chandra_bin.tasks.simulate import simulate_observations
from files import listing

SHAPE = (120, 120)
# Particles and sky of the whole image, in counts.
PARTICLES, SKY = 30_000.0, 12_000.0


class Field:
    """A field with two chips of unlike particle rates, a cluster in the middle, and vignetting."""

    def __init__(self, seed, *, beta=0.7, cluster=25_000.0, particles=PARTICLES, sky=SKY):
        y, x = np.indices(SHAPE)
        off_axis = np.hypot(x - 60, y - 55) / 60
        self.exposure = 1e7 * (1 - 0.3 * off_axis**1.5).clip(0.2)
        self.exposure[:, 58:61] = 0
        self.particles = np.where(x < 60, 1.0, 1.3)
        self.particles[:, 58:61] = 0
        self.region = ((x - 58) / 34) ** 2 + ((y - 62) / 27) ** 2 < 1
        there = self.exposure > 0
        both = particles * self.particles / self.particles.sum() + sky * self.exposure / self.exposure.sum()
        self.truth = both * there
        q2 = ((x - 58) / 34) ** 2 + ((y - 62) / 27) ** 2
        shape = self.exposure * (1 + q2 / 0.25**2) ** (0.5 - 3 * beta)
        self.cluster = cluster * shape / shape.sum()
        self.counts = np.random.default_rng(seed).poisson(self.truth + self.cluster)

    def fit(self, **options):
        return fit_local_background(self.counts, self.exposure, self.particles, np.zeros(SHAPE, bool),
                                    cluster=self.region, **options)


def test_particles_and_sky_of_a_field_without_cluster():
    field = Field(1, cluster=0)
    made = fit_local_background(field.counts, field.exposure, field.particles, np.zeros(SHAPE, bool))
    assert made.particles + made.sky == pytest.approx(field.counts.sum(), rel=1e-6)
    assert made.background.expected.sum() == pytest.approx(field.counts.sum(), rel=1e-6)
    assert made.background.error == pytest.approx(1 / np.sqrt(field.counts.sum()), rel=0.2)
    assert made.particles == pytest.approx(PARTICLES, rel=0.1)
    assert made.sky == pytest.approx(SKY, rel=0.25)
    assert (made.cluster, made.beta, made.radius_error) == (0, None, 0)
    assert made.statistic == pytest.approx(1, abs=0.3)


@pytest.mark.full
def test_the_error_covers_the_truth_where_the_outskirts_fill_the_field():
    """One of vignetted counts alone misses by far more than its error: it takes the outskirts for background."""
    deviations, before = [], []
    for seed in (0, 2, 4):
        field = Field(seed, beta=0.55 + 0.07 * seed)
        made = field.fit().background
        total = field.truth.sum()
        deviations.append((made.expected.sum() - total) / (made.error * made.expected.sum()))
        old = local_background(field.counts, field.exposure, field.region)
        before.append((old.expected.sum() - total) / (old.error * old.expected.sum()))
    assert np.sqrt(np.mean(np.square(deviations))) < 1.5
    assert np.abs(deviations).max() < 3
    assert np.sqrt(np.mean(np.square(before))) > 4


def test_each_part_has_its_own_shape():
    field = Field(3)
    made = field.fit()
    expected = made.background.expected
    assert np.all(expected[:, 58:61] == 0)
    np.testing.assert_allclose(expected.sum(), made.particles + made.sky, rtol=1e-12)
    shape = (made.particles * field.particles / field.particles[field.exposure > 0].sum()
             + made.sky * field.exposure / field.exposure.sum())
    np.testing.assert_allclose(expected, np.where(field.exposure > 0, shape, 0), rtol=1e-9)
    # Noise of bins is that of the counts which were fitted; the error of the scale is apart from it.
    assert np.all(made.background.ratio == min(BIN_SHARE * expected.sum() / made.measured, 1))
    fitted = field.counts[(elliptical_radius(field.region) >= INNER_RADII[1]) & (field.exposure > 0)]
    assert made.measured == fitted.sum()


@pytest.mark.full
def test_a_known_ratio_of_particles_is_kept():
    field = Field(5)
    ratio = PARTICLES / field.particles.sum()
    free, known = field.fit(), field.fit(particle_ratio=(ratio, 0.02 * ratio))
    assert known.particles == pytest.approx(PARTICLES, rel=0.08)
    assert abs(known.particles - PARTICLES) <= abs(free.particles - PARTICLES) + 0.02 * PARTICLES
    assert known.background.error < 1.05 * free.background.error


def test_one_chip_without_vignetting_has_a_background_and_no_split():
    """Particles and sky have one shape there: their sum is known, and the parts are not."""
    counts = np.random.default_rng(2).poisson(np.full((40, 40), 5.0))
    made = fit_local_background(counts, np.ones((40, 40)), np.full((40, 40), 3.0), np.zeros((40, 40), bool))
    assert made.background.expected.sum() == pytest.approx(counts.sum(), rel=1e-9)
    assert made.background.error == pytest.approx(1 / np.sqrt(counts.sum()), rel=0.05)
    assert made.particles == pytest.approx(made.sky, rel=1e-6)


def test_the_radius_of_a_region_is_1_on_its_edge():
    field = Field(0)
    y, x = np.indices(SHAPE)
    radius = elliptical_radius(field.region)
    np.testing.assert_allclose(radius**2, ((x - 58) / 34) ** 2 + ((y - 62) / 27) ** 2, rtol=0.02, atol=0.02)


def test_a_fit_without_background_is_refused():
    field = Field(0)
    with pytest.raises(InputError, match=r"cannot be fitted to 0 counts in 0 pixels"):
        fit_local_background(field.counts, field.exposure, field.particles, np.ones(SHAPE, bool), cluster=field.region)
    with pytest.raises(InputError, match=r"cannot be fitted to 0 counts in .* give a smaller region"):
        fit_local_background(np.zeros(SHAPE), field.exposure, field.particles, np.zeros(SHAPE, bool))
    with pytest.raises(InputError, match="the region of the cluster covers 0 pixels of the image"):
        fit_local_background(field.counts, field.exposure, field.particles, np.zeros(SHAPE, bool),
                             cluster=np.zeros(SHAPE, bool))


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    """A simulated observation: its events, and images of 0.5 - 7 keV."""
    folder = tmp_path_factory.mktemp("observed")
    simulate_observations(folder / "sim", SimulationSettings(
        obsids=1, array="I", exposure=3000, counts=8000, datamode="FAINT", blank_sky=0, truth_photons=1000))
    events = str(next(folder.glob("sim/90001/primary/*evt2.fits.gz")))
    merge_observations([f"{events}[ccd_id=0:3]"], folder / "m", bands="0.5:7:2.3", binsize=16,
                       exposure=ExposureSettings())
    (folder / "cluster.reg").write_text("# Region file format: CIAO version 1.0\n"
                                        "ellipse(17:12:28.2,-23:22:14,5',4',35)\n")
    return folder, f"{events}[ccd_id=0:3]"


def test_particles_lie_where_chips_looked_at_their_own_rates(observed):
    folder, events = observed
    made = particle_map(folder / "m/0.5-7_thresh.img", [events])
    table = fits.getdata(events.partition("[")[0], 1)
    high = (table["energy"] >= 9000) & (table["energy"] < 12_000) & (table["ccd_id"] < 4)
    assert made.sum() == pytest.approx(np.count_nonzero(high), rel=0.02)
    # Without vignetting: flat where one chip looked all the time.
    header = fits.getheader(folder / "m/0.5-7_thresh.img")
    x, y = ((table[name][high] - header[f"CRVAL{n}P"]) / header[f"CDELT{n}P"] for name, n in (("x", 1), ("y", 2)))
    for chip in range(4):
        on_chip = table["ccd_id"][high] == chip
        rows, columns = (np.clip(np.round(each[on_chip]).astype(int), 0, size - 1)
                         for each, size in zip((y, x), made.shape, strict=True))
        middle = made[rows, columns]
        # 8.4' squared in pixels of 16, without bad pixels.
        assert np.median(middle) == pytest.approx(np.count_nonzero(on_chip) / (1024 / 16) ** 2, rel=0.05)


def test_a_local_background_of_particles_and_sky_by_the_command(observed, tmp_path, monkeypatch, capsys):
    folder, events = observed
    monkeypatch.chdir(tmp_path)
    image, exposure = folder / "m/0.5-7_thresh.img", folder / "m/0.5-7_thresh.expmap"
    assert run(["background", str(image), "--expmap", str(exposure), "--events", events, "--cluster",
                str(folder / "cluster.reg"), "-o", "local"]) == 0
    told = capsys.readouterr().out
    header = fits.getheader("local_bkg.img")
    assert f"particles: {header['BKGNPART']:.1f} counts; sky: {header['BKGNSKY']:.1f}; outskirts" in told
    assert (header["BKGTYPE"], header["BKGMETH"]) == ("LOCAL", "local fit")
    expected = fits.getdata("local_bkg.img") * fits.getdata("local_bkg_ratio.img")
    assert expected.sum() == pytest.approx(header["BKGNPART"] + header["BKGNSKY"], rel=1e-6)
    # The simulator's background is particles at 0.60 counts a second and chip in 0.3 - 12 keV.
    table = fits.getdata(events.partition("[")[0], 1)
    high = np.count_nonzero((table["energy"] >= 9000) & (table["energy"] < 12_000) & (table["ccd_id"] < 4))
    truth = 3.08 * high
    assert abs(expected.sum() - truth) < 3 * np.hypot(header["BKGFERR"] * expected.sum(), truth / np.sqrt(high))
    assert run(["background", str(image), "--expmap", str(exposure), "--exclude", str(folder / "cluster.reg"), "-o",
                "before"]) == 0
    assert "The whole background, with particles, is distributed" in capsys.readouterr().out


def test_a_local_background_refuses_events_without_particles(observed, tmp_path, monkeypatch):
    folder, events = observed
    monkeypatch.chdir(tmp_path)
    files = folder / "m/0.5-7_thresh.img", folder / "m/0.5-7_thresh.expmap", "out"
    with pytest.raises(InputError, match=r"no event of 9 - 12 keV, which measure particles, is on .*do not filter"):
        write_local_background(*files, cluster=folder / "cluster.reg", events=[f"{events}[energy=500:7000]"])
    with pytest.raises(InputError, match="the region of the cluster is used by a fit of particles and sky: give the"):
        write_local_background(*files, cluster=folder / "cluster.reg")
    with pytest.raises(InputError, match=r"^3 \+- 0: a ratio of particles and its error must be above 0"):
        write_local_background(*files, cluster=folder / "cluster.reg", events=[events], particle_ratio=(3, 0))
    assert not listing(tmp_path)
