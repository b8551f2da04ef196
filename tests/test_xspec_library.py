"""Models against XSPEC's own library, where it is installed, for random parameters."""

from importlib.util import find_spec

import numpy as np
import pytest

from apec_files import write_plasma
from chandra_bin.spectral import ModelOptions, thermal_model
from chandra_bin.spectral.absorption import _Phabs, _Tbabs, transmission
from chandra_bin.spectral.table_model_files import table_model_content
from required import absent
from xspec_answers import Question, answers

if find_spec("xspectrampoline") is None:
    absent("xspec", "XSPEC's library of models (pip install xspectrampoline) is not installed")

# No edge of absorption lies at the end of a bin, as one at 0.78 keV would.
EDGES = np.linspace(0.305, 10.005, 486)
# XSPEC's norm of bremsstrahlung is 3.02e-15 / (4 pi D^2) times the integral that the plasma's has with 1e-14.
BREMSSTRAHLUNG_NORM = 1e14 * 3.02e-15


@pytest.mark.parametrize(("model", "table", "known", "within"), [
    *(("phabs", table, _Phabs, 1e-6) for table in ("angr", "aspl", "lodd", "wilm")),
    *(("tbabs", table, _Tbabs, 2e-3) for table in ("angr", "aspl", "wilm"))])
def test_absorption_is_that_of_xspec_but_for_bins_with_edges(model, table, known, within, tmp_path):
    columns = np.random.default_rng(5).uniform(0.01, 1, 6)
    expected = answers([Question(f"C_{model}", (float(nh),), table) for nh in columns], EDGES, tmp_path)
    smooth = ~known(table).has_edge(EDGES)
    assert smooth.sum() > 450
    for nh, of_xspec in zip(columns, expected, strict=True):
        error = np.abs(transmission(EDGES, nh, model, table) / of_xspec - 1)[smooth]
        assert np.all(error < within * np.maximum(-np.log(of_xspec[smooth]), 1))


@pytest.mark.parametrize("table", ["angr", "aspl", "lodd"])
def test_plasma_is_that_of_xspec_on_the_same_tables(table, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    draw = np.random.default_rng(7)
    drawn = np.column_stack([draw.uniform(0.4, 15, 12), draw.uniform(0, 2, 12), draw.uniform(0, 0.6, 12)])
    folder = write_plasma(tmp_path / "tables")
    expected = answers([Question("C_apec", tuple(map(float, each)), table, str(folder / "apec_v9.9.2"))
                        for each in drawn], EDGES, tmp_path)
    for (kt, abundance, redshift), of_xspec in zip(drawn, expected, strict=True):
        assert of_xspec.any()
        made = thermal_model(ModelOptions(apec=folder, redshift=redshift, abundance_table=table))
        np.testing.assert_allclose(made.spectrum(EDGES, kt, abundance), of_xspec, rtol=2e-7)


def test_bremsstrahlung_is_that_of_xspec_within_the_accuracy_of_its_gaunt_factors(tmp_path):
    draw = np.random.default_rng(9)
    drawn = np.column_stack([draw.uniform(1.5, 12, 8), draw.uniform(0, 0.5, 8)])
    expected = answers([Question("C_zbremss", tuple(map(float, each))) for each in drawn], EDGES, tmp_path)
    above = EDGES[:-1] >= 0.5
    for (kt, redshift), of_xspec in zip(drawn, expected, strict=True):
        made = thermal_model(ModelOptions(model="brems", redshift=redshift, abundance_table="aspl"), (1, 20))
        np.testing.assert_allclose(made.spectrum(EDGES, kt)[above], BREMSSTRAHLUNG_NORM * of_xspec[above], rtol=0.02)


def test_xspec_reads_table_models_as_written(tmp_path):
    kt = np.geomspace(1, 10, 7)
    spectra = np.exp(-EDGES[:-1] / kt[:, None]) / kt[:, None] ** 0.5
    path = tmp_path / "gas.mod"
    path.write_bytes(table_model_content("gas", "kT", kt, EDGES, spectra, has_redshift=True))
    made = answers([Question("atable", (float(value), 0.0), file=str(path)) for value in (*kt, 3.3)], EDGES, tmp_path)
    np.testing.assert_allclose(made[:-1], spectra, rtol=1e-5)
    # Between two spectra XSPEC interpolates linearly in the parameter.
    part = (3.3 - kt[3]) / (kt[4] - kt[3])
    np.testing.assert_allclose(made[-1], (1 - part) * spectra[3] + part * spectra[4], rtol=1e-5)
