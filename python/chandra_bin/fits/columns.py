"""Columns of a user's table: CSV, ECSV or FITS, by the file name's ending."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandra_bin.errors import InputError

from .tables import Column, Rows, open_fits

_FORMATS = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".fits": "fits", ".fit": "fits", ".gz": "fits"}


def read_columns(path: Path) -> dict[str, tuple[Any, str]]:
    """Return the values of each column, missing ones masked, and its unit ("" if unknown).

    Raises `InputError` for a file without a table, and for endings other than .csv, .ecsv and .fits.
    """
    return read_columns_and_meta(path)[0]


def read_columns_and_meta(path: Path) -> tuple[dict[str, tuple[Any, str]], dict[str, Any]]:
    """Return the columns as `read_columns` does, and the metadata of an ECSV file (`Table.meta`; else empty)."""
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"{path}: unknown table format; give a .csv, .ecsv or .fits file")
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
            # Spreadsheets write a byte order mark before the first name.
            table = Table.read(path, format=kind, **({"encoding": "utf-8-sig"} if kind == "ascii.csv" else {}))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception as error:  # each format raises its own types
        raise InputError(f"{path}: cannot be read as a table: {' '.join(str(error).split())[:200]}") from error
    return {name: (table[name], str(table[name].unit or "")) for name in table.colnames}, dict(table.meta)


def _values(column: Column, rows: Rows) -> NDArray[Any]:
    """Return the values of a FITS column, nulls masked; a column of arrays or strings is returned as stored."""
    if not column.is_scalar and not column.is_logical:
        return np.asarray(rows[column.name])
    values = column.values(rows)
    if column.is_logical:
        return np.ma.masked_less(values, 0)
    return values if column.null is None else np.ma.masked_equal(values, column.null)
