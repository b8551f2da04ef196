"""Absorption by the interstellar medium against XSPEC's answers, and where it cannot be known."""

import numpy as np
import pytest

from chandra_bin.errors import InputError
from chandra_bin.spectral.absorption import _Phabs, _Tbabs, transmission
from spectral_data import shared, xspec_table

XSPEC = "plasma/xspec_reference.fits.gz"


@pytest.mark.parametrize("nh", [0.05, 0.5])
@pytest.mark.parametrize("table", ["angr", "aspl", "lodd", "wilm"])
def test_phabs_is_that_of_xspec_but_for_bins_with_edges(table, nh):
    edges, columns = xspec_table(shared(XSPEC))
    passed = transmission(edges, nh, "phabs", table)
    smooth = ~_Phabs(table).has_edge(edges)
    assert smooth.sum() > 450
    expected = columns[f"phabs_{table}_nH{nh}"]
    depth = -np.log(expected)
    error = np.abs(passed / expected - 1)[smooth]
    assert np.all(error < 1e-6 * np.maximum(depth[smooth], 1))
    assert np.median(error) < 3e-8


@pytest.mark.parametrize("nh", [0.05, 0.5])
@pytest.mark.parametrize("table", ["angr", "aspl", "wilm"])
def test_tbabs_is_that_of_xspec_as_far_as_its_table_allows(table, nh):
    """The cross section in the table is interpolated between points of 0.05 %: 3e-4 of it at 0.3 keV, 1e-6 at 2 keV."""
    edges, columns = xspec_table(shared(XSPEC))
    expected = columns[f"tbabs_{table}_nH{nh}"]
    passed = transmission(edges, nh, "tbabs", table)
    smooth = ~_Tbabs(table).has_edge(edges)
    assert smooth.sum() > 450
    error = np.abs(passed / expected - 1)[smooth]
    assert error.max() < 2e-3 * nh
    assert np.median(error) < 1e-6 * nh


@pytest.mark.parametrize("model", ["tbabs", "phabs"])
def test_a_bin_with_an_edge_has_the_mean_of_many_narrow_bins(model):
    edges = np.array([0.5, 0.52, 0.56, 0.6])  # oxygen at 0.53 to 0.55 keV
    expected = transmission(np.linspace(0.52, 0.56, 20001), 0.3, model).mean()
    assert transmission(edges, 0.3, model)[1] == pytest.approx(expected, rel=4e-3)


def test_without_gas_everything_comes_through():
    assert np.all(transmission(np.linspace(0.3, 10, 50), 0) == 1)


@pytest.mark.parametrize(("arguments", "message"), [
    (([0.5, 1], -0.1), "nh is -0.1: it must be from 0 to 100"),
    (([0.5, 1], np.nan), "nh is nan: it must be from 0 to 100"),
    (([0.5, 1], 1e20), r"nh is 1e\+20: it must be from 0 to 100, in units of 1e22 cm-2"),
    (([1, 0.5], 0.1), "edges_kev must be 1-D and ascend"),
    (([0.05, 0.5], 0.1), "absorption is known from 0.1 to 20 keV"),
    (([0.5, 1], 0.1, "wabs"), "absorption is 'wabs': it must be tbabs or phabs"),
    (([0.5, 1], 0.1, "tbabs", "lodd"), "abundance_table is 'lodd', which tbabs does not have: choose angr"),
    (([0.5, 1], 0.1, "phabs", "sun"), "abundance_table is 'sun': it must be"),
])
def test_bad_input_is_one_line(arguments, message):
    with pytest.raises(InputError, match=message):
        transmission(*arguments)
