"""Models of hot plasma against XSPEC's answers."""

import dataclasses

import numpy as np
import pytest

from chandra_bin.errors import InputError
from chandra_bin.spectral.bremsstrahlung import Bremsstrahlung
from chandra_bin.spectral.models import ModelOptions, ThermalModel, thermal_model
from spectral_data import shared, xspec_table

# XSPEC's norm of bremsstrahlung is 3.02e-15 / (4 pi D^2) times the integral that the plasma's has with 1e-14.
NORM = 1e14 * 3.02e-15


class AtTemperatures(Bremsstrahlung):
    """Bremsstrahlung at given temperatures instead of a grid."""

    def __init__(self, kt_kev, table="aspl"):
        super().__init__((0.2, 20), table)
        self.kt_kev = np.asarray(kt_kev, float)


@pytest.mark.parametrize(("kt", "within"), [(0.5, 0.015), (1, 0.018), (2, 0.015), (4, 0.015), (8, 0.015), (12, 0.015)])
def test_bremsstrahlung_is_that_of_xspec_within_the_accuracy_of_its_gaunt_factors(kt, within):
    """XSPEC's fits of Kellogg et al. 1975 and its 8.5 % of helium, as in aspl, are the less exact part."""
    edges, columns = xspec_table(shared("plasma/xspec_reference.fits.gz"))
    made = AtTemperatures([kt]).photons(edges)[0, 0]
    above = edges[:-1] >= 0.5
    np.testing.assert_allclose(made[above], NORM * columns[f"bremss_kT{kt}"][above], rtol=within)


def test_redshifted_bremsstrahlung_is_that_of_xspec():
    edges, columns = xspec_table(shared("plasma/xspec_reference.fits.gz"))
    made = ThermalModel(AtTemperatures([4]), redshift=0.1, abundance_table="aspl").photons(edges)[0, 0]
    above = edges[:-1] >= 0.5
    np.testing.assert_allclose(made[above], NORM * columns["zbremss_kT4_z0.1"][above], rtol=0.015)


def test_bremsstrahlung_without_gaunt_factors_is_the_textbooks_formula():
    """Rybicki & Lightman, fig. 5.3: at kT >> E the Gaunt factor of hydrogen is (sqrt 3 / pi) ln(4 / (1.781 u))."""
    model = AtTemperatures([1.0], "angr")
    energy = np.array([0.001])
    expected = np.sqrt(3) / np.pi * np.log(4 / 1.781 / 0.001)
    assert model._gaunt(energy, 1.0, 1)[0] == pytest.approx(expected, rel=0.02)


def test_bins_are_integrals_of_the_spectrum():
    model = AtTemperatures([0.5, 3])
    fine = np.linspace(0.3, 2.3, 2001)
    coarse = fine[::50]
    np.testing.assert_allclose(model.photons(coarse), model.photons(fine).reshape(2, 2, 40, 50).sum(-1), rtol=1e-5)


def test_bremsstrahlung_is_linear_between_temperatures_of_its_grid():
    edges = np.linspace(0.3, 10, 500)
    model = thermal_model(ModelOptions(model="brems", nh=0.1))
    grid = model.kt_kev
    between = np.sqrt(grid[1:] * grid[:-1])
    exact = dataclasses.replace(model, emission=AtTemperatures(between, "angr")).photons(edges)[:, 0]
    linear = np.array([model.spectrum(edges, kt) for kt in between[::10]])
    # What a telescope with the area of a mirror sees of it.
    area = edges[1:] ** 2 * np.exp(-0.5 * edges[1:])
    error = np.abs((linear - exact[::10]) * area).max(1) / (exact[::10] * area).max(1)
    assert error.max() < 1e-3


def test_abundance_has_no_effect_on_bremsstrahlung():
    model = thermal_model(ModelOptions(model="brems"))
    assert not model.has_abundance
    assert not model.photons([1, 2, 3])[:, 1].any()
    np.testing.assert_array_equal(model.spectrum([1, 2, 3], 4, 0), model.spectrum([1, 2, 3], 4, 1))


def test_the_words_of_a_model_name_its_parameters():
    model = thermal_model(ModelOptions(model="brems", nh=0.05, redshift=0.1, absorption="phabs"))
    assert model.describe() == ("phabs(nH 0.05e22 cm-2) * bremsstrahlung (no lines, no abundance), redshift 0.1, "
                                "abundances angr")


@pytest.mark.parametrize(("options", "message"), [
    ({"redshift": -0.1}, "redshift is -0.1: it must be from 0 to 10"),
    ({"redshift": 11}, "redshift is 11: it must be from 0 to 10"),
    ({"nh": -1}, "nh is -1: it must be from 0 to 100"),
    ({"nh": 5e20}, r"nh is 5e\+20: it must be from 0 to 100, in units of 1e22 cm-2"),
    ({"absorption": "wabs"}, "absorption is 'wabs': it must be"),
    ({"abundance_table": "feld"}, "abundance_table is 'feld': it must be"),
])
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        ModelOptions(model="brems", **options)


def test_temperatures_outside_the_grid_are_refused():
    model = thermal_model(ModelOptions(model="brems"), (0.5, 10))
    with pytest.raises(InputError, match=r"kt_kev is 20: the model goes from 0.5 to 10 keV"):
        model.spectrum([1, 2], 20)
    with pytest.raises(InputError, match="kt_limits_kev is 5 to 2: they must ascend"):
        thermal_model(ModelOptions(model="brems"), (5, 2))
