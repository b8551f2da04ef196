"""Abundances of the Sun."""

import numpy as np
import pytest

from chandra_bin.errors import InputError
from chandra_bin.spectral.abundances import SOURCES, abundances


@pytest.mark.parametrize("name", SOURCES)
def test_each_table_has_31_entries_relative_to_hydrogen(name):
    table = abundances(name)
    assert table.shape == (31,)
    assert table[0] == 0
    assert table[1] == 1
    assert 0.07 < table[2] < 0.1
    assert np.all(table >= 0)
    # Oxygen is the most abundant metal.
    assert table[3:].argmax() + 3 == 8


def test_iron_differs_by_half_between_the_tables():
    assert abundances("angr")[26] / abundances("aspl")[26] == pytest.approx(1.481, abs=1e-3)


def test_an_unknown_table_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="abundance_table is 'agss': it must be angr, aspl, lodd, wilm"):
        abundances("agss")
