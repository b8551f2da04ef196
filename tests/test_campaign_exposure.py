"""Exposure maps against 6 x 10^7 photons of a flat field that the simulator thinned one by one.

The campaign of docs/explanation/validation.md: ``pytest -m long tests/test_campaign_exposure.py`` prints its table.
``test_fluximage_truth.py`` does it with fewer photons.
"""

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.tasks.fluximage import ExposureSettings, make_flux_images
from chandra_bin.tasks.options import AncillaryChoice, SimulationSettings
from chandra_bin.tasks.simulate import simulate_observations
from doc_tables import show

pytestmark = pytest.mark.long

PHOTONS = 6 * 10**7
BLOCKS = (1, 4, 8)  # in pixels of the truth, which are of 16 sky pixels


def summed(image, side):
    """Sums of blocks; incomplete blocks at the far edges are cut."""
    ny, nx = (size // side for size in image.shape)
    return image[:ny * side, :nx * side].reshape(ny, side, nx, side).sum(axis=(1, 3))


def deviations(ours, theirs, one_photon_s):
    """How maps deviate where the exposure is above half of its maximum, and from 3 % on ("edges" and gaps)."""
    most = ours.max()
    full, edges = ours > 0.5 * most, (ours > 0.03 * most) & (ours <= 0.5 * most)
    noise = np.sqrt(one_photon_s / np.maximum(ours, 1e-9))
    off = theirs / np.maximum(ours, 1e-9) - 1
    return {"scatter": off[full].std(), "noise": np.sqrt((noise[full]**2).mean()), "largest": np.abs(off[full]).max(),
            "pixels": int(full.sum()), "pull": np.sqrt(((off / noise)[full]**2).mean()),
            "edge pull": np.sqrt(((off / noise)[edges]**2).mean())}


@pytest.mark.parametrize("array", ["I", "S"])
def test_maps_are_those_of_photons(array, tmp_path, capsys):
    """Single pixels within the noise of the photons, and pixels of 64 and 128 sky pixels within 3 %."""
    (done,) = simulate_observations(tmp_path / "sim", SimulationSettings(
        seed=3, obsids=1, exposure=10_000, counts=80_000, array=array, blank_sky=0, truth_photons=PHOTONS))
    (truth,) = tmp_path.glob("sim/truth/*_exposure.fits")
    known = fits.getdata(truth).astype(float)
    one_photon_s = np.median(np.diff(np.unique(known)))  # all exposures are multiples of it
    rows = []
    for aspect, asolfile in (("aspect solution", None), ("events", [])):
        out = tmp_path / aspect.replace(" ", "-")
        out.mkdir()
        make_flux_images(done.events, f"{out}/", files=AncillaryChoice(asolfile), xygrid=truth,
                         settings=ExposureSettings(units="time", slope=0.22, threshold="0"))
        made = fits.getdata(out / "broad_thresh.expmap").astype(float)
        off = made.sum() / known.sum() - 1
        assert abs(off) < 5e-4
        for side in BLOCKS:
            found = deviations(summed(made, side), summed(known, side), one_photon_s)
            rows.append([f"ACIS-{array}, {aspect}", f"{off:.1e}", 16 * side, *(
                f"{found[name]:.2%}" for name in ("scatter", "noise", "largest")), found["pixels"],
                f"{found['pull']:.2f}", f"{found['edge pull']:.2f}"])
            assert 0.9 < found["pull"] < 1.1
            assert side == 1 or found["largest"] < 0.03
            assert 0.6 < found["edge pull"] < 1.2
    show(capsys, f"Exposure maps over those of {PHOTONS:.0e} photons", [
        "array, aspect by", "sum - 1", "sky pixels", "scatter", "noise of the photons", "largest deviation",
        "of so many", "deviations / noise, exposure above 50 %", "3 to 50 %"], rows)
