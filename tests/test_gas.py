"""The simulated gas and telescope: photons are drawn with the spectra and the responses that the truth states."""

import numpy as np
import pytest

from chandra_bin import simulate
from chandra_bin.errors import InputError
from chandra_bin.simulate import _telescope as telescope
from chandra_bin.simulate._gas import Gas, cluster_abundance, cluster_temperature
from chandra_bin.spectral.models import ModelOptions, thermal_model
from chandra_bin.spectral.ogip import read_arf, read_rmf
from chandra_bin.spectral.response_files import arf_content, rmf_content
from chandra_bin.spectral.templates import fold
from chandra_bin.tasks.options import SimulationSettings
from chandra_bin.tasks.simulate import scene_of

SETTINGS = SimulationSettings(seed=3, counts=50_000, exposure=20_000)


class Lines:
    """A plasma whose metals radiate one line: unlike the gas of the demo, it depends on the abundance."""

    kt_kev = np.geomspace(0.3, 20, 40)
    has_abundance = True

    def photons(self, edges_kev):
        middle = 0.5 * (edges_kev[1:] + edges_kev[:-1])
        smooth = np.exp(-middle / self.kt_kev[:, None]) / np.sqrt(self.kt_kev[:, None]) * np.diff(edges_kev)
        line = np.exp(-0.5 * ((middle - 6.5) / 0.03) ** 2) * np.diff(edges_kev) / self.kt_kev[:, None]
        return 1e-3 * np.stack([smooth, 3 * line], axis=1)

    def describe(self):
        return "a line"


@pytest.fixture(scope="module")
def observation():
    scene = scene_of(SETTINGS)
    (made,) = simulate.make_observations(3, 1, 20_000, "I", "FAINT", scene.ra_deg, scene.dec_deg)
    return made


def test_the_core_is_cool_and_the_gas_beyond_the_front_hot():
    kt, abundance = cluster_temperature((400, 400)), cluster_abundance((400, 400))
    centre = 208, 192
    assert kt[centre] == pytest.approx(kt.min(), rel=0.02)
    assert abundance[centre] == pytest.approx(0.8, rel=0.02)
    assert abundance[0, 0] < 0.35
    # The front faces -50 degrees at 0.42 of half the image.
    towards = np.radians(-50)
    inside, outside = (kt[int(208 + r * np.sin(towards)), int(192 + r * np.cos(towards))] for r in (78, 92))
    assert 1.25 < outside / inside < 1.6


def test_photons_of_a_place_have_the_spectrum_that_its_response_predicts(observation):
    """Drawn photon by photon, and folded: two ways through the same telescope."""
    model = Lines()
    low = np.arange(300.0, 10_000.0, 10.0)
    arf, rmf = simulate.true_arf(observation, 3, (960.0, 960.0)), simulate.true_rmf(observation)
    gas = Gas.of(model, np.ones((64, 64)), low, 10.0, arf.area_cm2, (500.0, 7000.0))
    pixel, count = 2080, 400_000
    draw = np.random.default_rng(1)
    energy = gas.draw(np.full(count, pixel), draw) + 50 * draw.standard_normal(count)
    channel = np.minimum(np.floor(energy / 14.6).astype(int) + 1, 1024)
    templates = fold(model, [(arf, rmf)], (0.5, 8.0))
    kt, abundance = gas.kt_kev.ravel()[pixel], gas.abundance.ravel()[pixel]
    above = np.searchsorted(templates.kt_kev, kt)
    part = (kt - templates.kt_kev[above - 1]) / np.diff(templates.kt_kev)[above - 1]
    rates = (1 - part) * templates.rates[0, above - 1] + part * templates.rates[0, above]
    expected = (rates[0] + abundance * rates[1]) * count / gas.per_norm(gas.counts, None).ravel()[pixel]
    found = np.bincount(channel, minlength=1025)[templates.first_channel:][: expected.size]
    chi2 = ((found - expected) ** 2 / expected).mean()
    assert chi2 == pytest.approx(1, abs=5 * np.sqrt(2 / expected.size))
    assert found.sum() == pytest.approx(expected.sum(), rel=5 / np.sqrt(expected.sum()))


def test_rates_of_pixels_are_those_of_their_photons():
    gas = scene_of(SETTINGS).gas
    band = simulate.FLUX_BAND_EV
    livetime = SETTINGS.exposure * simulate.LIVE_FRACTION
    assert gas.rate(band).sum() * livetime == pytest.approx(SETTINGS.counts)
    brighter = gas.times(2)
    np.testing.assert_allclose(brighter.flux(band), 2 * gas.flux(band))
    # A brighter pixel has as much more flux: the brightness is that of cluster_model.
    model = simulate.cluster_model((768, 768))
    np.testing.assert_allclose(gas.flux(band) / gas.flux(band).sum(), model / model.sum(), rtol=1e-10)


def test_a_model_without_the_temperatures_of_the_cluster_is_refused():
    model = thermal_model(ModelOptions(model="brems"), kt_limits_kev=(3, 5))
    with pytest.raises(InputError, match="3 to 5 keV, but the cluster needs"):
        simulate.make_scene(1, 1000, 1000, model)


def test_responses_survive_their_files(observation, tmp_path):
    arf, rmf = simulate.true_arf(observation, 2, (171.0, 171.0)), simulate.true_rmf(observation)
    (tmp_path / "a.arf").write_bytes(arf_content(arf))
    (tmp_path / "a.rmf").write_bytes(rmf_content(rmf))
    again, matrix = read_arf(tmp_path / "a.arf"), read_rmf(tmp_path / "a.rmf")
    np.testing.assert_allclose(again.area_cm2, arf.area_cm2, rtol=1e-6)
    np.testing.assert_allclose(matrix.matrix(), rmf.matrix(), rtol=1e-6)
    # Of 2 keV, hardly anything is lost at either end of the channels.
    assert rmf.matrix()[170].sum() == pytest.approx(1, abs=1e-5)


def test_tiles_lie_where_their_photons_fall(observation):
    """A photon from the sky place of a tile hits that place of the chip."""
    for chip in observation.chips:
        for place in simulate.response_places():
            ra, dec = simulate.sky_of_place(observation, chip, place)
            body = observation.steady().T @ telescope.unit_vectors([ra], [dec])
            x, y = telescope.focus_to_chip(chip, telescope.focus(body), observation.sim_z_mm)
            assert (float(x[0]), float(y[0])) == pytest.approx(place, abs=1e-3)
