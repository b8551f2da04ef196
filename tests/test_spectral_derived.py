"""Density, pressure and entropy of bins, and their errors."""

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.cosmology import FlatLambdaCDM

import spectral_scenes as scenes
from chandra_bin.errors import InputError
from chandra_bin.spectral import DepthOptions, derived_quantities, electrons_per_hydrogen, fit_bins

MADE = scenes.templates()
SPECTRA, TRUTH = scenes.draw(MADE, np.full(40, 3000.0), seed=8)
FIT = fit_bins(SPECTRA, MADE)
AREA = np.full(40, 900.0)


@pytest.mark.parametrize(("table", "electrons"), [("angr", 1.199), ("aspl", 1.173)])
def test_electrons_per_hydrogen_atom(table, electrons):
    assert electrons_per_hydrogen(0.3, table) == pytest.approx(electrons, abs=1e-3)
    assert electrons_per_hydrogen([0.0, 1.0]).shape == (2,)


def test_a_slab_of_known_density_is_found_again():
    """A norm computed with astropy's units from 0.01 electrons per cm3 over 30" x 30" x 1 Mpc gives this density."""
    distance = FlatLambdaCDM(H0=70, Om0=0.3).angular_diameter_distance(0.1)
    area = (30 * u.arcsec * distance).to(u.cm, u.dimensionless_angles()) ** 2
    electrons = 0.01 / u.cm**3
    eta = electrons_per_hydrogen(FIT.abundance)
    norm = (1e-14 / (4 * np.pi * (distance * 1.1) ** 2) * electrons**2 / eta * area * u.Mpc).to_value("cm-5")
    made = derived_quantities(replace(FIT, norm=norm), AREA * u.arcsec**2, redshift=0.1,
                              options=DepthOptions(depth="constant"))
    np.testing.assert_allclose(made.values["density"], 0.01, rtol=1e-9)
    np.testing.assert_allclose(made.values["pressure"], 0.01 * FIT.kt, rtol=1e-9)
    np.testing.assert_allclose(made.values["entropy"], FIT.kt * 0.01 ** (-2 / 3), rtol=1e-9)
    assert made.table["entropy"].unit == u.keV * u.cm**2
    assert "L = 1000 kpc" in made.formulas["density"]


def test_depths_scale_as_stated():
    one, four = (derived_quantities(FIT, AREA, redshift=0.1, options=DepthOptions(depth="constant", length_kpc=length))
                 for length in (500, 2000))
    np.testing.assert_allclose(one.values["pressure"] / four.values["pressure"], 2)
    np.testing.assert_allclose(one.values["entropy"] / four.values["entropy"], 4 ** (-1 / 3))
    radii = (np.zeros(40), np.full(40, 100.0) * u.arcsec)
    volume = derived_quantities(FIT, AREA, redshift=0.1, options=DepthOptions(depth="volume"), radii=radii)
    scale = FlatLambdaCDM(H0=70, Om0=0.3).kpc_proper_per_arcmin(0.1).value / 60
    np.testing.assert_allclose(volume.depth_kpc, 4 / 3 * 100 * scale)


def test_pseudo_quantities_need_no_redshift():
    made = derived_quantities(FIT, AREA)
    assert set(made.values) == {"pressure", "entropy"}
    np.testing.assert_allclose(made.values["pressure"], FIT.kt * np.sqrt(FIT.norm / 900))
    np.testing.assert_allclose(made.values["entropy"], FIT.kt * (FIT.norm / 900) ** (-1 / 3))
    assert made.table["pressure"].unit == u.keV * u.cm**-2.5 / u.arcsec
    assert np.isnan(made.depth_kpc).all()


def test_pulls_of_derived_quantities():
    made = derived_quantities(FIT, AREA)
    for name, power in (("pressure", 0.5), ("entropy", -1 / 3)):
        off = made.values[name] - TRUTH["kt"] * (TRUTH["norm"] / 900) ** power
        pull = off / np.where(off > 0, made.low[name], made.high[name])
        pull = pull[np.isfinite(pull)]
        assert pull.size > 30
        assert abs(pull.mean()) < 0.5
        assert 0.7 < pull.std() < 1.3


def test_errors_use_the_covariance():
    made = derived_quantities(FIT, AREA)
    for name, powers in (("pressure", (1, 0, 0.5)), ("entropy", (1, 0, -1 / 3))):
        sigma = np.sqrt(np.einsum("i,bij,j->b", powers, FIT.covariance, powers) * FIT.delta)
        ok = FIT.good()
        assert np.all(made.high[name][ok] >= made.values[name][ok] * np.expm1(sigma[ok]) * (1 - 1e-12))
        assert np.median(made.high[name][ok] / made.values[name][ok] / sigma[ok]) < 1.3


@pytest.mark.parametrize(("arguments", "message"), [
    ({"area": AREA[1:]}, r"area has shape \(39,\), the fit \(40,\)"), ({"area": 0 * AREA}, "area holds 0"),
    ({"area": AREA * u.s}, "area has the unit s"),
    ({"options": DepthOptions(depth="constant")}, "redshift is 0: densities need a positive one"),
    ({"options": DepthOptions(depth="volume"), "redshift": 0.1}, "needs radii"),
    ({"options": DepthOptions(depth="volume"), "redshift": 0.1, "radii": (AREA, AREA)}, "below the outer")])
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        derived_quantities(FIT, **({"area": AREA} | arguments))
