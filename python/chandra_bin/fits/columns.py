"""The columns of a table that a user names: CSV, ECSV or FITS, by the ending of the file."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.errors import InputError

from .tables import Column, Rows, open_fits

_FORMATS = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".fits": "fits", ".fit": "fits", ".gz": "fits"}


def read_columns(path: Path) -> dict[str, tuple[Any, str]]:
    """Return the values of each column, those that are missing masked, and its unit ("" where unknown).

    Raises `InputError` for a file that holds no table, and for endings other than .csv, .ecsv and .fits.
    """
    return read_columns_and_meta(path)[0]


def read_columns_and_meta(path: Path) -> tuple[dict[str, tuple[Any, str]], dict[str, Any]]:
    """Return the columns as `read_columns` does, and the notes of an ECSV file (`Table.meta`); others have none."""
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"{path}: is no table that is known here; give a .csv, .ecsv or .fits file")
    if kind == "fits":
        with open_fits(path) as hdus:
            for hdu in hdus:
                if hdu.is_table:
                    rows = hdu.table()
                    return {each.name: (_values(each, rows), each.unit) for each in hdu.columns.values()}, {}
        raise InputError(f"{path}: holds no table")
    from astropy.table import Table

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Spreadsheets put a byte order mark before the first name.
            table = Table.read(path, format=kind, **({"encoding": "utf-8-sig"} if kind == "ascii.csv" else {}))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception as error:  # each format has its own
        raise InputError(f"{path}: cannot be read as a table: {' '.join(str(error).split())[:200]}") from error
    return {name: (table[name], str(table[name].unit or "")) for name in table.colnames}, dict(table.meta)


def _values(column: Column, rows: Rows) -> NDArray[Any]:
    """The values of a FITS column, null values masked; a column that holds no single number as it is in the rows."""
    if not column.is_scalar and not column.is_logical:
        return np.asarray(rows[column.name])
    values = column.values(rows)
    if column.is_logical:
        return np.ma.masked_less(values, 0)
    return values if column.null is None else np.ma.masked_equal(values, column.null)
