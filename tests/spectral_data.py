"""Where the public data of tests of spectra are, and what XSPEC made of them."""

from functools import cache
from pathlib import Path

import numpy as np
from astropy.io import fits

from golden_data import shared_folder


def shared(name):
    """The path of one of the shared data on spectra; skips the test where it is not there."""
    return shared_folder() / f"spectra/data/{name}"


@cache
def xspec_table(path: Path):
    """The edges of the bins, keV, and columns by name, of a table of XSPEC's answers."""
    table = fits.getdata(path, 1)
    edges = np.append(table["E_LO"], table["E_HI"][-1])
    return edges, {name: np.asarray(table[name], float) for name in table.names[2:]}
