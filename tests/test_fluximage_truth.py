"""fluximage against simulated observations, whose photons are thinned one by one: the map's shape, and the flux."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from scipy.ndimage import map_coordinates

from chandra_bin.cli import run
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.tasks.options import SimulationSettings
from chandra_bin.tasks.simulate import simulate_observations

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sim") / "sim"
    simulate_observations(folder, SimulationSettings(seed=3, obsids=1, array="I", exposure=10_000, counts=80_000,
                                                     truth_photons=8_000_000))
    return folder


def the(pattern, folder):
    (file,) = folder.glob(pattern)
    return file


def in_blocks(image, side):
    ny, nx = (size // side for size in image.shape)
    return image[:ny * side, :nx * side].astype(float).reshape(ny, side, nx, side).sum(axis=(1, 3))


@pytest.mark.parametrize("aspect", ["asol", "events"])
def test_the_map_is_that_of_photons_within_three_percent(simulated, tmp_path, aspect):
    truth = the("truth/*_exposure.fits", simulated)
    words = [] if aspect == "asol" else ["--asolfile", "none"]
    assert run(["fluximage", "-q", str(the("*/primary/*evt2*", simulated)), f"{tmp_path}/", "--units", "time",
                "--vignetting", "0.22", "--expmapthresh", "0", "--xygrid", str(truth), *words]) == 0
    made, header = fits.getdata(tmp_path / "broad_thresh.expmap", header=True)
    known, noise = fits.getdata(truth), fits.getval(truth, "NOISE")
    assert header["EXPASP"] == aspect
    # Each pixel, edges and gaps too: no more than the noise of the truth, which is Poisson's.
    sure = made > 0.03 * made.max()
    error = (made - known)[sure] / (noise * np.sqrt(made[sure] * made.max()))
    assert np.std(error) < 1.1
    assert known.sum() == pytest.approx(made.sum(), rel=3e-3)
    # Blocks of 128 sky pixels: noise below 1 %.
    ours, theirs = in_blocks(made, 8), in_blocks(known, 8)
    full = theirs > 0.5 * theirs.max()
    assert np.abs(ours[full] / theirs[full] - 1).max() < 0.03


def test_flux_is_that_of_the_cluster(simulated, tmp_path):
    cluster = the("truth/cluster.fits", simulated)
    truth, about = fits.getdata(cluster, header=True)
    events, gti = the("*/primary/*evt2*", simulated), the("truth/*_clean.gti", simulated)
    assert run(["fluximage", "-q", f"{events}[@{gti}]", f"{tmp_path}/", "--binsize", "4", "--area", str(about["AREA"]),
                "--bands", "0.5:7:2.3"]) == 0
    counts = fits.getdata(tmp_path / "0.5-7_thresh.img").astype(float)
    exposure, header = fits.getdata(tmp_path / "0.5-7_thresh.expmap", header=True)
    coords = ImageCoords(header)
    y, x = np.indices(counts.shape)
    at = ImageCoords(about).sky_to_image(*coords.image_to_sky(x, y))
    expected = map_coordinates(truth.astype(float), at[::-1], order=1) * 4 * exposure  # pixels of 4 x 4 from 2 x 2

    particles = np.zeros_like(counts)
    for chip in range(4):
        file = the(f"*/blanksky/*_ccd{chip}_*", simulated)
        with fits.open(file) as blank:
            rows = blank[1].data[(blank[1].data["energy"] >= 500) & (blank[1].data["energy"] < 7000)]
            places = coords.physical_to_image(rows["x"], rows["y"])
            edges = [np.arange(size + 1) - 0.5 for size in counts.shape]
            live = header[f"EXPOSUR{chip}"] / blank[1].header["EXPOSURE"]
            particles += live * np.histogram2d(places[1], places[0], edges)[0]

    use = exposure > 0
    for source in Table.read(the("truth/*_sources.ecsv", simulated)):
        place = coords.physical_to_image(source["x"], source["y"])
        use &= np.hypot(x - place[0], y - place[1]) * 4 * 0.492 > 3 * source["r90"]
    middle = coords.sky_to_image(about["CRVAL1"], about["CRVAL2"])
    radius = np.hypot(x - middle[0], y - middle[1]) * 4 * 0.492 / 60
    for low, high in ((0, 0.5), (0.5, 1), (1, 2), (2, 3), (3, 4), (4, 6)):
        ring = use & (radius >= low) & (radius < high)
        off = (counts - particles)[ring].sum() - expected[ring].sum()
        sigma = np.sqrt(counts[ring].sum() + 0.1 * particles[ring].sum())
        assert abs(off) < max(0.02 * expected[ring].sum(), 3 * sigma), (low, high)
