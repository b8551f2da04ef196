"""Abundances of the elements in the Sun, by number relative to hydrogen, as XSPEC's tables have them."""

from typing import Literal, TypeAlias, get_args

import numpy as np

from chandra_bin._checks.array_types import Floats
from chandra_bin.errors import InputError

AbundanceTable: TypeAlias = Literal["angr", "aspl", "lodd", "wilm"]
HEAVIEST = 30
"""Atomic number of the last element of the tables, zinc."""

SOURCES: dict[str, str] = {
    "angr": "Anders & Grevesse 1989, GCA 53, 197",
    "aspl": "Asplund et al. 2009, ARA&A 47, 481",
    "lodd": "Lodders 2003, ApJ 591, 1220",
    "wilm": "Wilms, Allen & McCray 2000, ApJ 542, 914",
}

# From hydrogen to zinc, ten elements a line.
_TABLES: dict[str, str] = {
    "angr": """1 9.77e-2 1.45e-11 1.41e-11 3.98e-10 3.63e-4 1.12e-4 8.51e-4 3.63e-8 1.23e-4
        2.14e-6 3.80e-5 2.95e-6 3.55e-5 2.82e-7 1.62e-5 3.16e-7 3.63e-6 1.32e-7 2.29e-6
        1.26e-9 9.77e-8 1.00e-8 4.68e-7 2.45e-7 4.68e-5 8.32e-8 1.78e-6 1.62e-8 3.98e-8""",
    "aspl": """1 8.51e-2 1.12e-11 2.40e-11 5.01e-10 2.69e-4 6.76e-5 4.90e-4 3.63e-8 8.51e-5
        1.74e-6 3.98e-5 2.82e-6 3.24e-5 2.57e-7 1.32e-5 3.16e-7 2.51e-6 1.07e-7 2.19e-6
        1.41e-9 8.91e-8 8.51e-9 4.37e-7 2.69e-7 3.16e-5 9.77e-8 1.66e-6 1.55e-8 3.63e-8""",
    "lodd": """1 7.92e-2 1.90e-9 2.57e-11 6.03e-10 2.45e-4 6.76e-5 4.90e-4 2.88e-8 7.41e-5
        1.99e-6 3.55e-5 2.88e-6 3.47e-5 2.88e-7 1.55e-5 1.82e-7 3.55e-6 1.29e-7 2.19e-6
        1.17e-9 8.32e-8 1.00e-8 4.47e-7 3.16e-7 2.95e-5 8.13e-8 1.66e-6 1.82e-8 4.27e-8""",
    "wilm": """1 9.77e-2 0 0 0 2.40e-4 7.59e-5 4.90e-4 0 8.71e-5
        1.45e-6 2.51e-5 2.14e-6 1.86e-5 2.63e-7 1.23e-5 1.32e-7 2.57e-6 0 1.58e-6
        0 6.46e-8 0 3.24e-7 2.19e-7 2.69e-5 8.32e-8 1.12e-6 0 0""",
}


def abundances(name: AbundanceTable) -> Floats:
    """Return the numbers of atoms of each element for one of hydrogen.

    Parameters
    ----------
    name : {"angr", "aspl", "lodd", "wilm"}
        The table: Anders & Grevesse 1989, Asplund et al. 2009, Lodders 2003, or Wilms, Allen & McCray 2000 (the
        interstellar medium).

    Returns
    -------
    array (31,) of float64
        Its index is the atomic number; index 0 is unused and 0.

    Raises
    ------
    InputError
        For another name.

    References
    ----------
    Anders & Grevesse 1989, GCA 53, 197; Asplund et al. 2009, ARA&A 47, 481; Lodders 2003, ApJ 591, 1220; Wilms, Allen
    & McCray 2000, ApJ 542, 914: the numbers of XSPEC's ``abund`` command.

    Examples
    --------
    >>> from chandra_bin.spectral import abundances
    >>> round(float(abundances("angr")[26] / abundances("aspl")[26]), 2)  # iron
    1.48
    """
    if name not in _TABLES:
        raise InputError(f"abundance_table is {name!r}: it must be {', '.join(get_args(AbundanceTable))}")
    return np.array([0.0, *map(float, _TABLES[name].split())])
